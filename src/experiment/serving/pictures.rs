//! Measured and predicted levels in one figure.

use super::{Comparison, Levels, Served, report};
use crate::report::figure::{Axis, Figure, Form, Panel, Plot, Scale, Series};

/// Levels this far apart are shown by powers of two.
const WIDE: u32 = 8;

/// What is drawn of a served load.
type Drawn = (&'static str, fn(&Served) -> Option<f64>);

/// Throughput, TTFT, TBT and latency against users: lines predicted, dots measured.
pub(super) fn levels(all: &Levels<'_>) -> Figure {
    let levels = all.levels;
    let users = levels.iter().map(Comparison::users);
    let (least, most) = (users.clone().min().unwrap_or(1), users.max().unwrap_or(1));
    let x = || Axis {
        label: "users".to_owned(),
        scale: if most / least.max(1) >= WIDE {
            Scale::Log2
        } else {
            Scale::Linear
        },
    };
    let panels: [(&str, &str, &[Drawn]); 4] = [
        (
            "Throughput",
            "throughput (tok/s)",
            &[("all users", |s| Some(s.level.tok_s))],
        ),
        (
            "Time to first token",
            "TTFT (ms)",
            &[
                ("mean", |s| s.level.ttft_ms.avg),
                ("P95", |s| s.level.ttft_ms.p95),
            ],
        ),
        (
            "Time between tokens",
            "TBT (ms)",
            &[("mean", |s| s.tbt_ms.avg), ("P95", |s| s.tbt_ms.p95)],
        ),
        (
            "Latency",
            "latency (ms)",
            &[
                ("mean", |s| s.level.latency_ms.avg),
                ("P95", |s| s.level.latency_ms.p95),
            ],
        ),
    ];
    let panels: Vec<Panel> = panels
        .into_iter()
        .map(|(title, unit, drawn)| Panel {
            title: title.to_owned(),
            x: x(),
            y: Axis {
                label: unit.to_owned(),
                scale: Scale::Linear,
            },
            plot: Plot::Series {
                series: drawn
                    .iter()
                    .flat_map(|(name, of)| series(levels, name, *of))
                    .collect(),
                marks: Vec::new(),
            },
        })
        // Outputs of one token have no gaps.
        .filter(|panel| matches!(&panel.plot, Plot::Series { series, .. } if !series.is_empty()))
        .collect();
    Figure {
        title: format!("Serving users: {}", all.stack.name()),
        caption: report::caption(all),
        columns: 2.min(panels.len()),
        panels,
    }
}

/// The predicted curve of one figure, and on it the measured dots, which share its look; nothing
/// where the figure has no value.
fn series(levels: &[Comparison], name: &str, of: fn(&Served) -> Option<f64>) -> Vec<Series> {
    let points = |pick: &dyn Fn(&Comparison) -> Option<f64>| -> Vec<[f64; 2]> {
        levels
            .iter()
            .filter_map(|level| Some([f64::from(level.users()), pick(level)?]))
            .collect()
    };
    let predicted = points(&|level| of(&level.predicted));
    let measured = points(&|level| level.measured.as_ref().and_then(of));
    let curve = (!predicted.is_empty()).then(|| Series {
        name: name.to_owned(),
        form: Form::Curve(predicted),
    });
    let dots = (!measured.is_empty()).then(|| Series {
        name: String::new(),
        form: Form::Dots(measured),
    });
    curve.into_iter().chain(dots).collect()
}
