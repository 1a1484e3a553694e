//! The study's figures.

use super::decode::DecodeModel;
use super::{Paper, Point, Row, published};
use crate::report::figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series};
use crate::words::{rounded, thousands};

/// Points of a drawn function.
const STEPS: u32 = 64;

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
    }
}

fn series(name: String, form: Form) -> Series {
    Series { name, form }
}

/// A pair of panels per batch size: throughput against bins, and against the prediction error.
pub(super) fn multi_bin(paper: &Paper, rows: &[Row<'_>]) -> Figure {
    let mut panels = Vec::new();
    for &batch in &paper.batch_sizes {
        let of_batch: Vec<&Row<'_>> = rows.iter().filter(|r| r.point.batch == batch).collect();
        panels.push(throughput_panel(paper, batch, &of_batch));
        panels.push(error_panel(paper, batch, &of_batch));
    }
    Figure {
        title: "Multi-bin batching: theory and simulation".to_owned(),
        caption: multi_bin_caption(paper, rows),
        columns: 2,
        panels,
    }
}

fn multi_bin_caption(paper: &Paper, rows: &[Row<'_>]) -> String {
    let largest = rows
        .iter()
        .map(|row| row.difference().abs())
        .fold(0.0, f64::max);
    let mut caption = format!(
        "Throughput of multi-bin batching with service times uniform on [{}, {}] s: over {} runs of \
         {} requests, simulation and theory differ by at most {:.2} %",
        paper.shortest_s,
        paper.longest_s,
        rows.len(),
        thousands(paper.requests.into()),
        1e2 * largest
    );
    for &batch in &paper.batch_sizes {
        let theory = paper.uniform(batch);
        if let Some(&most) = paper.bin_counts.iter().max() {
            caption += &format!(
                "; with batches of {batch}, {most} bins reach {:.1} % of the capacity of {:.4} \
                 requests/s and one bin {:.1} %",
                1e2 * theory.throughput(f64::from(most)) / theory.capacity(),
                theory.capacity(),
                1e2 * theory.throughput(1.0) / theory.capacity()
            );
        }
    }
    caption + ". Lines are theory, points simulation."
}

fn throughput_panel(paper: &Paper, batch: u32, rows: &[&Row<'_>]) -> Panel {
    let theory = paper.uniform(batch);
    let most = paper.bin_counts.iter().copied().max().unwrap_or(1).max(1);
    let curve = (0..=STEPS)
        .map(|i| libm::pow(f64::from(most), f64::from(i) / f64::from(STEPS)))
        .map(|k| [k, theory.throughput(k)])
        .collect();
    let dots = rows
        .iter()
        .filter(|row| row.point.error == 0.0 && paper.bin_counts.contains(&row.point.bins))
        .map(|row| [f64::from(row.point.bins), row.simulated()])
        .collect();
    Panel {
        title: format!("Batches of {batch}"),
        x: axis("Bins", Scale::Log2),
        y: axis("Throughput (requests/s)", Scale::Linear),
        plot: Plot::Series {
            series: vec![
                series("Theorem 4.2".to_owned(), Form::Curve(curve)),
                series("Simulated".to_owned(), Form::Dots(dots)),
            ],
            marks: vec![Mark {
                label: format!("capacity {:.4}", theory.capacity()),
                at: At::Y(theory.capacity()),
            }],
        },
    }
}

fn error_panel(paper: &Paper, batch: u32, rows: &[&Row<'_>]) -> Panel {
    let theory = paper.uniform(batch);
    let most = paper.bin_errors.iter().copied().fold(0.0, f64::max);
    let mut all = Vec::new();
    for &bins in &paper.error_bin_counts {
        // Denser near 0, where one stray spoils a batch.
        let curve = (0..=STEPS)
            .map(|i| f64::from(i) / f64::from(STEPS))
            .map(|share| most * share * share)
            .map(|p| [p, theory.throughput_with_errors(bins, p)])
            .collect();
        let dots = rows
            .iter()
            .filter(|row| {
                let Point { bins: k, error, .. } = row.point;
                k == bins && paper.bin_errors.contains(&error)
            })
            .map(|row| [row.point.error, row.simulated()])
            .collect();
        all.push(series(format!("{bins} bins"), Form::Curve(curve)));
        all.push(series(String::new(), Form::Dots(dots)));
    }
    Panel {
        title: format!("Batches of {batch}, prediction errors"),
        x: axis(
            "Chance of one bin too low, and of one too high",
            Scale::Linear,
        ),
        y: axis("Throughput (requests/s)", Scale::Linear),
        plot: Plot::Series {
            series: all,
            marks: vec![Mark {
                label: format!("one bin {:.4}", theory.throughput(1.0)),
                at: At::Y(theory.throughput(1.0)),
            }],
        },
    }
}

/// tau and Phi against the batch, with the paper's two limits.
pub(super) fn decode() -> Figure {
    let model = DecodeModel::PAPER;
    let last = published::DECODE_READINGS
        .iter()
        .map(|&(sla_ms, ..)| model.batch_at(sla_ms))
        .fold(1.0, f64::max);
    let top = libm::ceil(last / 50.0 + 0.5) * 50.0;
    let curve = |f: &dyn Fn(f64) -> f64| {
        (0..=STEPS)
            .map(|i| top * f64::from(i) / f64::from(STEPS))
            .map(|b| [b, f(b)])
            .collect()
    };
    let panel = |y: &str, name: &str, form, stated, marks| Panel {
        title: String::new(),
        x: axis("Batch (requests)", Scale::Linear),
        y: axis(y, Scale::Linear),
        plot: Plot::Series {
            series: vec![
                series(name.to_owned(), Form::Curve(form)),
                series("Read off in the paper".to_owned(), Form::Dots(stated)),
            ],
            marks,
        },
    };
    let limits = published::DECODE_READINGS;
    let sla_marks = limits
        .iter()
        .map(|&(sla_ms, ..)| Mark {
            label: format!("{sla_ms} ms"),
            at: At::Y(sla_ms),
        })
        .collect();
    let batch_marks = limits
        .iter()
        .map(|&(sla_ms, ..)| Mark {
            label: format!("{:.0} at {sla_ms} ms", model.batch_at(sla_ms)),
            at: At::X(model.batch_at(sla_ms)),
        })
        .collect();
    let readings: Vec<String> = limits
        .iter()
        .map(|&(sla_ms, ..)| {
            let batch = model.batch_at(sla_ms);
            format!(
                "{sla_ms} ms allow a batch of {batch:.0} and {} tokens/s",
                rounded(model.tokens_per_s(batch))
            )
        })
        .collect();
    Figure {
        title: "Dynamic batching: the linear decode model".to_owned(),
        caption: format!(
            "A decode step takes {} b + {} ms: {}; a larger batch never serves more than {} tokens/s.",
            model.slope_ms,
            model.base_ms,
            readings.join(", "),
            rounded(model.limit_tokens_per_s())
        ),
        columns: 2,
        panels: vec![
            panel(
                "Decode step (ms)",
                "Decode step",
                curve(&|b| model.step_ms(b)),
                limits.iter().map(|&(sla_ms, b, _)| [b, sla_ms]).collect(),
                sla_marks,
            ),
            panel(
                "Throughput (tokens/s)",
                "Throughput",
                curve(&|b| model.tokens_per_s(b)),
                limits.iter().map(|&(_, b, tokens)| [b, tokens]).collect(),
                batch_marks,
            ),
        ],
    }
}
