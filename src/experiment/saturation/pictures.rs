//! The study's two figures.

use super::curves::MichaelisMenten;
use super::points::{Level, Times};
use super::verdict::per_user;
use super::{Analysis, Settings};
use crate::report::figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series};
use crate::words::tenths;

/// Points of a drawn curve.
const POINTS: u32 = 120;

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
    }
}

fn series(name: &str, form: Form) -> Series {
    Series {
        name: name.to_owned(),
        form,
    }
}

/// Users from `low` to `high`, evenly or by equal factors.
fn places(low: f64, high: f64, by_factors: bool) -> Vec<f64> {
    (0..=POINTS)
        .map(|i| {
            let share = f64::from(i) / f64::from(POINTS);
            if by_factors {
                low * libm::pow(high / low, share)
            } else {
                low + (high - low) * share
            }
        })
        .collect()
}

/// Throughput with the fitted curves, and where the Michaelis-Menten curve is extrapolated beyond
/// the levels, a second panel up to its 95 % point.
pub fn curve(analysis: &Analysis, settings: &Settings) -> Figure {
    let (least, most) = match (analysis.levels.first(), analysis.levels.last()) {
        (Some(first), Some(last)) => (f64::from(first.users), f64::from(last.users)),
        _ => (1.0, 1.0),
    };
    let near = most * 1.25;
    let mut panels = vec![throughput(
        analysis,
        "Up to 1.25 times the highest load",
        &places(1.0, near, false),
        Scale::Linear,
    )];
    let far = analysis
        .curves
        .michaelis_menten
        .as_ref()
        .ok()
        .map(MichaelisMenten::users_at_95)
        .filter(|&users| users > near);
    if let Some(far) = far {
        panels.push(throughput(
            analysis,
            "Extrapolated to the fit's 95 % point",
            &places(least, far, true),
            Scale::Log10,
        ));
    }
    Figure {
        title: format!("Throughput against users: {}", settings.name),
        caption: caption(analysis),
        columns: 2.min(panels.len()),
        panels,
    }
}

fn caption(analysis: &Analysis) -> String {
    let levels = analysis.levels.len();
    let fit = match &analysis.curves.michaelis_menten {
        Ok(fit) => format!(
            "Michaelis-Menten maximum {} tok/s, half-saturation {} users",
            tenths(fit.v_max.value),
            tenths(fit.k.value)
        ),
        Err(_) => "no Michaelis-Menten fit".to_owned(),
    };
    let verdict = if analysis.verdict.supports_maximum {
        "the data can support a maximum"
    } else {
        "the data cannot support a maximum"
    };
    let band = analysis
        .curves
        .michaelis_menten
        .as_ref()
        .is_ok_and(|fit| fit.band(1.0).is_some());
    let band = if band {
        " The band is the 95 % interval of that curve, cut at 0 and at the top of the panel."
    } else {
        ""
    };
    format!("{levels} load levels, {fit}; {verdict}.{band}")
}

fn throughput(analysis: &Analysis, title: &str, users: &[f64], scale: Scale) -> Panel {
    let curves = &analysis.curves;
    let along =
        |at: &dyn Fn(f64) -> f64| -> Vec<[f64; 2]> { users.iter().map(|&u| [u, at(u)]).collect() };
    let points: Vec<[f64; 2]> = analysis
        .levels
        .iter()
        .map(|l| [f64::from(l.users), l.tok_s])
        .collect();
    let far = matches!(scale, Scale::Log10);
    let mut top = points.iter().map(|p| p[1]).fold(0.0, f64::max) * 1.25;
    if far {
        let fitted = curves.michaelis_menten.as_ref().map(|f| f.v_max.value);
        let ceilings = [analysis.ceilings.compute, analysis.ceilings.weights];
        top = ceilings
            .into_iter()
            .flatten()
            .chain(fitted)
            .fold(top, f64::max)
            * 1.1;
    }
    // First, so that they look the same whichever curves there are.
    let mut all = vec![series("Load levels", Form::Dots(points))];
    // What leaves the panel is not drawn, so that the points stay large.
    let inside = |curve: Vec<[f64; 2]>| -> Vec<[f64; 2]> {
        curve
            .into_iter()
            .filter(|p| (0.0..=top).contains(&p[1]))
            .collect()
    };
    all.push(series(
        "Straight line",
        Form::Curve(inside(along(&|u| curves.line.at(u)))),
    ));
    if let Ok(fit) = &curves.usl {
        let name = if fit.kappa.value == 0.0 && curves.michaelis_menten.is_ok() {
            "Universal Scalability Law (= Michaelis-Menten)"
        } else if fit.kappa.value == 0.0 {
            "Universal Scalability Law (kappa 0)"
        } else {
            "Universal Scalability Law"
        };
        all.push(series(name, Form::Curve(inside(along(&|u| fit.at(u))))));
    }
    if let Ok(fit) = &curves.michaelis_menten {
        all.push(series(
            "Michaelis-Menten",
            Form::Curve(inside(along(&|u| fit.at(u)))),
        ));
        let band: Vec<[f64; 3]> = users
            .iter()
            .filter_map(|&u| {
                let [low, high] = fit.band(u)?;
                let (low, high) = (low.clamp(0.0, top), high.clamp(0.0, top));
                Some([u, low, high])
            })
            .collect();
        if !band.is_empty() {
            all.push(series("95 % interval", Form::Band(band)));
        }
    }

    let mut marks = Vec::new();
    let ceilings = [
        ("compute bound", analysis.ceilings.compute),
        ("weight-bandwidth bound", analysis.ceilings.weights),
    ];
    for (name, value) in ceilings {
        if let Some(value) = value.filter(|&v| v <= top) {
            marks.push(Mark {
                label: name.to_owned(),
                at: At::Y(value),
            });
        }
    }
    let (first, last) = (users.first(), users.last());
    if let (Some(batch), Some(&first), Some(&last)) = (analysis.ceilings.max_batch, first, last)
        && (first..=last).contains(&f64::from(batch))
    {
        marks.push(Mark {
            label: "largest batch".to_owned(),
            at: At::X(f64::from(batch)),
        });
    }
    Panel {
        title: title.to_owned(),
        x: axis("users", scale),
        y: axis("throughput (tok/s)", Scale::Linear),
        plot: Plot::Series { series: all, marks },
    }
}

/// What each level gave besides throughput; a panel for each metric that is there.
pub fn levels(analysis: &Analysis, settings: &Settings) -> Figure {
    let levels = &analysis.levels;
    let line = |value: &dyn Fn(&Level) -> Option<f64>| -> Vec<[f64; 2]> {
        levels
            .iter()
            .filter_map(|l| Some([f64::from(l.users), value(l)?]))
            .collect()
    };
    let panel = |title: &str, unit: &str, series: Vec<Series>| Panel {
        title: title.to_owned(),
        x: axis("users", Scale::Linear),
        y: axis(unit, Scale::Linear),
        plot: Plot::Series {
            series,
            marks: Vec::new(),
        },
    };
    let mut panels = vec![panel(
        "Throughput per user",
        "tok/s per user",
        vec![series("", Form::Line(line(&|l| Some(l.tok_s_per_user()))))],
    )];
    let times = |of: &dyn Fn(&Level) -> Times| -> Vec<Series> {
        Times::default()
            .named()
            .into_iter()
            .enumerate()
            .map(|(i, (name, _))| series(name, Form::Line(line(&|l| of(l).named()[i].1))))
            .filter(|s| !matches!(&s.form, Form::Line(points) if points.is_empty()))
            .collect()
    };
    for (title, unit, lines) in [
        ("Time to first token", "TTFT (ms)", times(&|l| l.ttft_ms)),
        ("Total latency", "latency (ms)", times(&|l| l.latency_ms)),
    ] {
        if !lines.is_empty() {
            panels.push(panel(title, unit, lines));
        }
    }
    for (title, unit, points) in [
        (
            "Model FLOP/s utilisation",
            "MFU (%)",
            line(&|l| analysis.ceilings.mfu_pct(l.tok_s)),
        ),
        (
            "Output per energy",
            "tokens per joule",
            line(&Level::tokens_per_joule),
        ),
    ] {
        if !points.is_empty() {
            panels.push(panel(title, unit, vec![series("", Form::Line(points))]));
        }
    }
    let ends = levels.first().zip(levels.last());
    Figure {
        title: format!("Load levels: {}", settings.name),
        caption: ends.map_or(String::new(), |(first, last)| {
            format!(
                "Throughput per user {}; metrics that are {} have no panel.",
                per_user(
                    first.users,
                    first.tok_s_per_user(),
                    last.users,
                    last.tok_s_per_user()
                ),
                settings.absent
            )
        }),
        columns: 2.min(panels.len()),
        panels,
    }
}
