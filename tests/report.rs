//! The report room: tables as CSV and Markdown, figures as SVG and PNG.
#![cfg(feature = "figures")]

use std::{fs, path::Path, time::Instant};

use batchscope::{
    report,
    study::{
        document::{Cell, Content, File, Table},
        figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series},
    },
};
use proptest::prelude::*;

// ---- Figures to look at ------------------------------------------------------------------------

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
    }
}

fn names(list: &[&str]) -> Scale {
    Scale::Names(list.iter().map(|&name| name.to_owned()).collect())
}

fn series(name: &str, form: Form) -> Series {
    Series {
        name: name.to_owned(),
        form,
    }
}

fn mark(label: &str, at: At) -> Mark {
    Mark {
        label: label.to_owned(),
        at,
    }
}

fn panel(title: &str, x: Axis, y: Axis, series: Vec<Series>, marks: Vec<Mark>) -> Panel {
    Panel {
        title: title.to_owned(),
        x,
        y,
        plot: Plot::Series { series, marks },
    }
}

fn figure(title: &str, caption: &str, columns: usize, panels: Vec<Panel>) -> Figure {
    Figure {
        title: title.to_owned(),
        caption: caption.to_owned(),
        columns,
        panels,
    }
}

const POLICIES: [&str; 4] = ["static FIFO", "dynamic", "multi-bin", "multi-bin dynamic"];

fn bars() -> Figure {
    let values = [
        [0.42, 0.55, 0.61, 0.72],
        [0.38, 0.64, 0.70, 0.81],
        [0.91, 0.93, 0.95, 0.97],
    ];
    let bars = POLICIES.iter().enumerate().map(|(i, policy)| {
        let heights = (0..5).map(|x| (x != 3).then(|| values[x % 3][i] * (1.0 - 0.1 * x as f64)));
        series(policy, Form::Bars(heights.collect()))
    });
    figure(
        "Share of requests served within the SLA",
        "Over five loads the multi-bin dynamic scheduler holds the most promises: 97 % at the lightest \
         load and 43 % at the heaviest. At 75 req/s nothing was measured.",
        1,
        vec![panel(
            "",
            axis(
                "Arrival rate",
                names(&[
                    "1 req/s",
                    "10 req/s",
                    "50 req/s (the published load)",
                    "75 req/s",
                    "100 req/s",
                ]),
            ),
            axis("SLA attainment (share of requests)", Scale::Linear),
            bars.collect(),
            vec![mark("target 90 %", At::Y(0.9))],
        )],
    )
}

fn curves() -> Figure {
    let mut all = Vec::new();
    for (i, policy) in POLICIES.iter().enumerate() {
        let at = |k: i32| {
            let x = f64::from(1 << k);
            [x, 800.0 / x + 2.0 * (i + 1) as f64]
        };
        all.push(series(policy, Form::Line((0..8).map(at).collect())));
        let whisker = |k: i32| {
            let [x, y] = at(k);
            [x, y * 0.8, y * 1.3]
        };
        if i % 2 == 0 {
            all.push(series("", Form::Whiskers((0..8).map(whisker).collect())));
        }
    }
    figure(
        "P95 latency falls with the fleet until the service time is all that is left",
        "From 1 to 128 GPUs. Whiskers are the range of ten seeds.",
        1,
        vec![panel(
            "",
            axis("GPUs", Scale::Log2),
            axis("P95 latency (s)", Scale::Log10),
            all,
            vec![
                mark("SLA 10 s", At::Y(10.0)),
                mark("published 9 s", At::Y(9.0)),
                mark("fleet of the study", At::X(16.0)),
                mark("budget", At::X(20.0)),
            ],
        )],
    )
}

fn heat() -> Figure {
    let values = (0..6)
        .map(|y| {
            (0..8)
                .map(|x| {
                    (x + y != 9).then(|| 0.4 * f64::from(1 << x) * (1.0 + f64::from(y)).powi(2))
                })
                .collect()
        })
        .collect();
    figure(
        "Waiting time over fleet and load",
        "Blank where the run does not end within a day.",
        1,
        vec![Panel {
            title: String::new(),
            x: axis(
                "Arrival rate (req/s)",
                names(&["1", "2", "4", "8", "16", "32", "64", "128"]),
            ),
            y: axis(
                "Scheduler",
                names(&[
                    "static FIFO",
                    "dynamic",
                    "multi-bin, 4 bins of equal mass",
                    "multi-bin dynamic",
                    "oracle lengths",
                    "no bins",
                ]),
            ),
            plot: Plot::Heat {
                values,
                label: "P95 wait (s)".to_owned(),
                best_low: true,
            },
        }],
    )
}

fn bubbles() -> Figure {
    let cloud = |seed: f64| {
        (0..12)
            .map(|i| {
                let i = f64::from(i);
                [
                    2.0 + i * 3.0 + seed,
                    30.0 + 20.0 * (i + seed) / (1.0 + i),
                    1.0 + i * i,
                ]
            })
            .collect()
    };
    figure(
        "Cost against latency; area is the number of GPUs",
        "Each bubble is one fleet.",
        1,
        vec![panel(
            "",
            axis("Cost ($ per million tokens)", Scale::LinearTight),
            axis("P95 latency (s)", Scale::Linear),
            vec![
                series("A100", Form::Bubbles(cloud(0.0))),
                series("H100", Form::Bubbles(cloud(4.0))),
                series(
                    "Pareto front",
                    Form::Curve(vec![[2.0, 30.0], [10.0, 20.0], [20.0, 18.0], [38.0, 16.0]]),
                ),
            ],
            vec![],
        )],
    )
}

fn grid() -> Figure {
    let wave = |k: f64, n: i32| {
        (0..n)
            .map(|i| {
                let x = f64::from(i) * 10.0;
                [x, k * x * (120.0 - x / 12.0).max(0.0)]
            })
            .collect::<Vec<_>>()
    };
    let one = |title: &str, y: Scale| {
        panel(
            title,
            axis("Time (s)", Scale::Linear),
            axis("Queue (requests)", y),
            vec![
                series("static FIFO", Form::Curve(wave(1.0, 130))),
                series(
                    "",
                    Form::Band(
                        wave(1.0, 130)
                            .iter()
                            .map(|p| [p[0], p[1] * 0.8, p[1] * 1.2])
                            .collect(),
                    ),
                ),
                series("multi-bin", Form::Curve(wave(0.6, 130))),
                series("multi-bin dynamic", Form::Curve(wave(0.4, 130))),
            ],
            vec![mark("burst ends", At::X(700.0))],
        )
    };
    let mut bars = panel(
        "Batches formed",
        axis(
            "",
            names(&[
                "Static FIFO, fixed",
                "Dynamic",
                "Multi-bin with oracle",
                "A rather long name of a policy",
                "Extraordinarily-long",
                "Plain",
            ]),
        ),
        axis("Batches", Scale::Linear),
        vec![series(
            "batches",
            Form::Bars(
                [1200.0, 45_000.0, 9_000.0, 3_100.0, 22_000.0, 500.0]
                    .into_iter()
                    .map(Some)
                    .collect(),
            ),
        )],
        vec![],
    );
    bars.title = "Batches formed".to_owned();
    figure(
        "Four panels",
        "The queue over time at two scales, what was left out, and how many batches each policy formed.",
        2,
        vec![
            one("Linear", Scale::Linear),
            one("Logarithmic: zero has no place", Scale::Log10),
            panel(
                "One point",
                axis("Load (req/s)", Scale::Log10),
                axis("Latency (s)", Scale::LinearTight),
                vec![series(
                    "measured",
                    Form::Dots(vec![[3.0, 7.0], [f64::NAN, 1.0]]),
                )],
                vec![],
            ),
            bars,
        ],
    )
}

fn three() -> Figure {
    let one = |title: &str, k: f64| {
        let line = |j: f64| {
            (1..20)
                .map(|i| [f64::from(i) * 50.0, k * j / f64::from(i)])
                .collect()
        };
        panel(
            title,
            axis("Requests per second", Scale::Linear),
            axis("Utilisation", Scale::LinearTight),
            vec![
                series("published", Form::Line(line(1.0))),
                series("honest", Form::Line(line(0.7))),
            ],
            vec![mark("published value", At::Y(k * 0.4))],
        )
    };
    figure(
        "Three columns",
        "",
        3,
        vec![
            one("A100", 1.0),
            one("H100", 1.4),
            one("B200", 1e6),
            one("none", 1e-9),
        ],
    )
}

fn gallery() -> Vec<(&'static str, Figure)> {
    vec![
        ("bars", bars()),
        ("curves", curves()),
        ("heat", heat()),
        ("bubbles", bubbles()),
        ("grid", grid()),
        ("three", three()),
    ]
}

/// Writes the figures above into the folder that `GALLERY` names, to be looked at.
#[test]
#[ignore = "draws for eyes; set GALLERY to a folder"]
fn draw_a_gallery() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::var("GALLERY")?;
    for (name, figure) in gallery() {
        let begun = Instant::now();
        let svg = report::svg(&figure)?;
        let between = begun.elapsed();
        let png = report::png(&figure, 2)?;
        println!(
            "{name}: svg {} bytes in {:.1} ms, png {} bytes in {:.1} ms",
            svg.len(),
            between.as_secs_f64() * 1e3,
            png.len(),
            (begun.elapsed() - between).as_secs_f64() * 1e3
        );
        fs::write(Path::new(&folder).join(format!("gallery-{name}.svg")), svg)?;
        fs::write(Path::new(&folder).join(format!("gallery-{name}.png")), png)?;
    }
    Ok(())
}
