//! Tables, figures and words of the study.

use std::fmt::Write as _;

use super::{Continuous, PREDICTORS, PROMISES, Place, System};
use crate::interval::{self, Range};
use crate::metrics::Summary;
use crate::report::document::{Cell, Content, File, Table};
use crate::report::figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series};
use crate::words::{self, change, pipes};

/// A figure of a run.
type Of = fn(&Summary) -> Option<f64>;

/// What is compared.
const FIGURES: [(&str, Of); 7] = [
    ("goodput_per_s", |s| Some(s.honest.goodput_requests_per_s)),
    ("ttft_mean_s", |s| s.honest.ttft_s.map(|d| d.mean)),
    ("ttft_p99_s", |s| s.honest.ttft_s.map(|d| d.p99)),
    ("e2e_mean_s", |s| s.honest.e2e_s.map(|d| d.mean)),
    ("e2e_p99_s", |s| s.honest.e2e_s.map(|d| d.p99)),
    ("tpot_mean_ms", |s| s.honest.tpot_ms.map(|d| d.mean)),
    ("output_tokens_per_s", |s| {
        Some(s.honest.output_tokens_per_s)
    }),
];
const GOODPUT: usize = 0;
const LATENCY: usize = 3;

/// A mean with its 95 % interval; absent where the seeds show no spread.
#[derive(Clone, Copy)]
struct Mean {
    value: f64,
    interval: Option<[f64; 2]>,
}

impl Mean {
    fn of(values: &[f64]) -> Mean {
        Mean {
            value: interval::mean(values),
            interval: interval::of_mean(values, Range::Positive),
        }
    }

    /// Of relative differences, which are above -1: of ratios less 1.
    fn of_ratios(ratios: &[f64]) -> Mean {
        let Mean { value, interval } = Mean::of(ratios);
        Mean {
            value: value - 1.0,
            interval: interval.map(|ends| ends.map(|end| end - 1.0)),
        }
    }
}

/// A place, its runs and what they are against the plain system's with the same seeds.
struct Row<'a> {
    place: Place,
    /// By figure: over the seeds.
    means: Vec<Option<Mean>>,
    /// By figure: relative difference to the plain system, seed by seed.
    differences: Vec<Option<Mean>>,
    runs: &'a [Summary],
}

fn rows<'a>(study: &Continuous, places: &[Place], outcomes: &'a [Summary]) -> Vec<Row<'a>> {
    let seeds = study.seeds as usize;
    let runs = |i: usize| &outcomes[i * seeds..(i + 1) * seeds];
    places
        .iter()
        .enumerate()
        .map(|(i, place)| {
            let plain = places.iter().position(|other| {
                other.system == System::Plain
                    && other.rate_per_gpu == place.rate_per_gpu
                    && other.gpus == place.gpus
                    && other.promise == place.promise
            });
            let plain = plain.map(runs);
            let means = FIGURES.iter().map(|(_, of)| {
                let values: Option<Vec<f64>> = runs(i).iter().map(of).collect();
                Some(Mean::of(&values?))
            });
            let differences = FIGURES.iter().map(|(_, of)| {
                let pairs = runs(i).iter().zip(plain?);
                let values: Option<Vec<f64>> = pairs
                    .map(|(mine, other)| {
                        let (mine, other) = (of(mine)?, of(other)?);
                        (other > 0.0).then(|| mine / other)
                    })
                    .collect();
                Some(Mean::of_ratios(&values?))
            });
            Row {
                place: *place,
                means: means.collect(),
                differences: differences.collect(),
                runs: runs(i),
            }
        })
        .collect()
}

pub(super) fn files(study: &Continuous, places: &[Place], outcomes: &[Summary]) -> Vec<File> {
    let rows = rows(study, places, outcomes);
    vec![
        File::new("continuous_report.md", Content::Text(text(study, &rows))),
        File::new("continuous_points.csv", Content::Table(points(&rows))),
        File::new(
            "continuous_differences.csv",
            Content::Table(differences(&rows)),
        ),
        File::new("continuous_systems", Content::Figure(systems(study, &rows))),
        File::new(
            "continuous_predictions",
            Content::Figure(predictions(study, &rows)),
        ),
    ]
}

const PLACE: [&str; 6] = [
    "system",
    "rate_per_gpu",
    "gpus",
    "bins",
    "predictor",
    "promise",
];

fn place_cells(place: &Place) -> Vec<Cell> {
    let predicts = place.system.predicts();
    vec![
        Cell::from(place.system.name()),
        Cell::from(place.rate_per_gpu),
        Cell::from(place.gpus),
        if predicts {
            Cell::from(place.bins)
        } else {
            Cell::Empty
        },
        if predicts {
            Cell::from(PREDICTORS[place.predictor].0)
        } else {
            Cell::Empty
        },
        Cell::from(PROMISES[place.promise].0),
    ]
}

fn points(rows: &[Row]) -> Table {
    let more = FIGURES.iter().map(|(name, _)| *name);
    let mut table = Table::new(
        PLACE
            .into_iter()
            .chain(["seed"])
            .chain(more)
            .chain(["preemptions"]),
    );
    for row in rows {
        for run in row.runs {
            let mut cells = place_cells(&row.place);
            cells.push(Cell::from(run.scenario.seed));
            cells.extend(FIGURES.iter().map(|(_, of)| Cell::from(of(run))));
            cells.push(Cell::from(run.continuous.as_ref().map(|c| c.preemptions)));
            table.rows.push(cells);
        }
    }
    table
}

fn differences(rows: &[Row]) -> Table {
    let mut columns: Vec<String> = PLACE.map(str::to_owned).to_vec();
    for (name, _) in FIGURES {
        columns.extend(["", "_low", "_high"].map(|end| format!("{name}_difference{end}")));
    }
    let mut table = Table {
        columns,
        rows: Vec::new(),
    };
    for row in rows.iter().filter(|row| row.place.system != System::Plain) {
        let mut cells = place_cells(&row.place);
        for difference in &row.differences {
            cells.extend(match difference {
                Some(d) => [
                    Cell::from(d.value),
                    Cell::from(d.interval.map(|[low, _]| low)),
                    Cell::from(d.interval.map(|[_, high]| high)),
                ],
                None => [Cell::Empty, Cell::Empty, Cell::Empty],
            });
        }
        table.rows.push(cells);
    }
    table
}

/// Better, worse, or neither for certain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    Open,
}

fn verdict(difference: &Mean, low_is_good: bool) -> Verdict {
    let Some([low, high]) = difference.interval else {
        return Verdict::Open;
    };
    let (bad, good) = if low_is_good {
        (low > 0.0, high < 0.0)
    } else {
        (high < 0.0, low > 0.0)
    };
    match (good, bad) {
        (true, _) => Verdict::Better,
        (_, true) => Verdict::Worse,
        _ => Verdict::Open,
    }
}

/// At the study's own number of bins, and with a perfect prediction where one is made.
fn main_rows<'a, 'b>(
    study: &'b Continuous,
    rows: &'b [Row<'a>],
) -> impl Iterator<Item = &'b Row<'a>> {
    rows.iter()
        .take(study.places().len() - 2 * study.bin_counts.len())
        .filter(|row| row.place.predictor == 0)
}

fn text(study: &Continuous, rows: &[Row]) -> String {
    let mut text = String::from("# Do bins still pay with continuous batching?\n\n");
    let _ = writeln!(
        text,
        "{} on {} by its data sheet; Poisson arrivals, log-normal lengths (means of about 695 prompt and 240 output \
         tokens), {} requests a GPU, {} seeds. Differences are to plain continuous batching on the same requests, \
         seed by seed, with 95 % intervals.\n",
        study.model, study.hardware, study.requests_per_gpu, study.seeds
    );
    text += &answer(study, rows);
    for &gpus in &study.gpu_counts {
        for &rate in &study.rates_per_gpu {
            let _ = writeln!(text, "\n## {}, {rate} requests/s each\n", words::gpus(gpus));
            let mut lines = Vec::new();
            for system in System::ALL {
                let at = |promise: usize| {
                    main_rows(study, rows).find(|row| {
                        row.place.system == system
                            && row.place.gpus == gpus
                            && row.place.rate_per_gpu == rate
                            && row.place.promise == promise
                    })
                };
                let (Some(tight), Some(loose)) = (at(0), at(1)) else {
                    continue;
                };
                let cell = |row: &Row, figure: usize| match row.means[figure] {
                    Some(mean) => format!("{:.2}", mean.value),
                    None => "–".to_owned(),
                };
                let against = match &loose.differences[LATENCY] {
                    Some(d) if system != System::Plain => match d.interval {
                        Some([low, high]) => format!(
                            "{} ({} to {})",
                            change(d.value, 1),
                            change(low, 1),
                            change(high, 1)
                        ),
                        None => format!("{} (no spread over the seeds)", change(d.value, 1)),
                    },
                    _ => "–".to_owned(),
                };
                lines.push(vec![
                    system.name().to_owned(),
                    cell(tight, GOODPUT),
                    cell(loose, GOODPUT),
                    cell(loose, 2),
                    cell(loose, LATENCY),
                    against,
                ]);
            }
            text += &pipes(
                &[
                    "system",
                    "goodput, tight",
                    "goodput, loose",
                    "TTFT P99, s",
                    "latency mean, s",
                    "against plain",
                ],
                &lines,
            );
        }
    }
    text += &by_bins(study, rows);
    text
}

/// The answer in words, from the numbers.
fn answer(study: &Continuous, rows: &[Row]) -> String {
    let mut text = String::new();
    for system in [
        System::Bins,
        System::BinReplicas,
        System::Sjf,
        System::Chunked,
        System::Orca,
    ] {
        let mut counts = [[0usize; 3]; 2];
        let mut extreme: [Option<(f64, &Row)>; 2] = [None, None];
        let mut all = 0;
        for row in main_rows(study, rows).filter(|row| row.place.system == system) {
            all += 1;
            for (i, (figure, low_is_good)) in [(GOODPUT, false), (LATENCY, true)].iter().enumerate()
            {
                let Some(d) = &row.differences[*figure] else {
                    continue;
                };
                counts[i][verdict(d, *low_is_good) as usize] += 1;
            }
            if let Some(d) = &row.differences[LATENCY] {
                if extreme[0].is_none_or(|(value, _)| d.value < value) {
                    extreme[0] = Some((d.value, row));
                }
                if extreme[1].is_none_or(|(value, _)| d.value > value) {
                    extreme[1] = Some((d.value, row));
                }
            }
        }
        let (Some(best), Some(worst)) = (extreme[0], extreme[1]) else {
            continue;
        };
        let place = |row: &Row| {
            format!(
                "{} at {}/s each",
                words::gpus(row.place.gpus),
                row.place.rate_per_gpu
            )
        };
        let [goodput, latency] = counts;
        let _ = writeln!(
            text,
            "- **{}**{}: goodput is better in {} of {all} places, worse in {}, and the interval includes no difference \
             in {}; mean latency is better in {}, worse in {}, open in {}. Mean latency against plain: from {} ({}) to {} \
             ({}).",
            system.name(),
            if system.predicts() {
                " with a perfect prediction"
            } else {
                ""
            },
            goodput[0],
            goodput[1],
            goodput[2],
            latency[0],
            latency[1],
            latency[2],
            change(best.0, 1),
            place(best.1),
            change(worst.0, 1),
            place(worst.1)
        );
    }
    // Closed batches, with bins and without, where both are there.
    let mut helped = Vec::new();
    let mut behind = Vec::new();
    for row in main_rows(study, rows).filter(|row| row.place.system == System::ClosedBins) {
        let other = main_rows(study, rows).find(|other| {
            other.place.system == System::Closed
                && other.place.gpus == row.place.gpus
                && other.place.rate_per_gpu == row.place.rate_per_gpu
                && other.place.promise == row.place.promise
        });
        let pair = other.and_then(|other| other.means[LATENCY].zip(row.means[LATENCY]));
        if let Some((without, with)) = pair {
            helped.push(with.value / without.value - 1.0);
        }
        behind.extend(row.differences[LATENCY].map(|d| d.value));
    }
    let range = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{} to {}", change(low, 1), change(high, 1))
    };
    if !helped.is_empty() && !behind.is_empty() {
        let _ = writeln!(
            text,
            "- **closed batches**: bins change their mean latency by {}; with bins it is still {} above that of plain \
             continuous batching.",
            range(&helped),
            range(&behind)
        );
    }
    text
}

/// The number of bins, at the middle rate.
fn by_bins(study: &Continuous, rows: &[Row]) -> String {
    let varied = &rows[rows.len() - 2 * study.bin_counts.len()..];
    let mut text = String::new();
    if let Some(first) = varied.first() {
        let _ = writeln!(
            text,
            "\n## Number of bins, {}, {} requests/s each, perfect prediction\n",
            words::gpus(first.place.gpus),
            first.place.rate_per_gpu
        );
    }
    let mut lines = Vec::new();
    for pair in varied.chunks(2) {
        let cell = |row: Option<&Row>| {
            let mean = row.and_then(|row| row.means[LATENCY]);
            mean.map_or("–".to_owned(), |m| match m.interval {
                Some([low, high]) => format!("{:.2} ({low:.2} to {high:.2})", m.value),
                None => format!("{:.2}", m.value),
            })
        };
        lines.push(vec![
            pair[0].place.bins.to_string(),
            cell(pair.first()),
            cell(pair.get(1)),
        ]);
    }
    if !lines.is_empty() {
        text += &pipes(
            &[
                "K",
                "bins share a replica: latency mean, s",
                "closed batches: latency mean, s",
            ],
            &lines,
        );
    }
    text
}

/// Mean latency of each system, a panel per load.
fn systems(study: &Continuous, rows: &[Row]) -> Figure {
    let names: Vec<String> = System::ALL.iter().map(|s| s.name().to_owned()).collect();
    let mut panels = Vec::new();
    for &gpus in &study.gpu_counts {
        for &rate in &study.rates_per_gpu {
            let found: Vec<(f64, Mean)> = (0u8..)
                .zip(System::ALL)
                .filter_map(|(i, system)| {
                    let row = main_rows(study, rows).find(|row| {
                        row.place.system == system
                            && row.place.gpus == gpus
                            && row.place.rate_per_gpu == rate
                            && row.place.promise == 1
                    })?;
                    Some((f64::from(i), row.means[LATENCY]?))
                })
                .collect();
            panels.push(Panel {
                title: format!("{}, {rate}/s each", words::gpus(gpus)),
                x: Axis {
                    label: String::new(),
                    scale: Scale::Names(names.clone()),
                },
                y: Axis {
                    label: "mean latency (s)".to_owned(),
                    scale: Scale::Log10,
                },
                plot: Plot::Series {
                    series: vec![
                        Series {
                            name: "mean".to_owned(),
                            form: Form::Dots(found.iter().map(|(i, m)| [*i, m.value]).collect()),
                        },
                        Series {
                            name: "95 % interval".to_owned(),
                            form: Form::Whiskers(
                                found
                                    .iter()
                                    .filter_map(|(i, m)| m.interval.map(|[a, b]| [*i, a, b]))
                                    .collect(),
                            ),
                        },
                    ],
                    // The first is the plain one.
                    marks: found
                        .first()
                        .map(|(_, m)| Mark {
                            label: "plain".to_owned(),
                            at: At::Y(m.value),
                        })
                        .into_iter()
                        .collect(),
                },
            });
        }
    }
    Figure {
        title: "Ways to serve the same requests".to_owned(),
        caption: format!(
            "Mean latency of {} ways to serve, those that predict with a perfect prediction, in {} places; the line is \
             plain continuous batching.",
            System::ALL.len(),
            panels.len()
        ),
        columns: study.rates_per_gpu.len().min(3),
        panels,
    }
}

/// What a worse prediction costs, at the highest rate on the largest fleet.
fn predictions(study: &Continuous, rows: &[Row]) -> Figure {
    let gpus = study.gpu_counts.last().copied().unwrap_or(1);
    let rate = study.rates_per_gpu.last().copied().unwrap_or(1.0);
    let mut series = Vec::new();
    for system in System::ALL.into_iter().filter(|s| s.predicts()) {
        let found: Vec<(f64, Mean)> = (0..PREDICTORS.len())
            .filter_map(|predictor| {
                let row = rows.iter().find(|row| {
                    row.place.system == system
                        && row.place.gpus == gpus
                        && row.place.rate_per_gpu == rate
                        && row.place.promise == 1
                        && row.place.predictor == predictor
                })?;
                Some((predictor as f64, row.means[LATENCY]?))
            })
            .collect();
        if found.is_empty() {
            continue;
        }
        series.push(Series {
            name: system.name().to_owned(),
            form: Form::Line(found.iter().map(|(i, m)| [*i, m.value]).collect()),
        });
        series.push(Series {
            name: String::new(),
            form: Form::Whiskers(
                found
                    .iter()
                    .filter_map(|(i, m)| m.interval.map(|[a, b]| [*i, a, b]))
                    .collect(),
            ),
        });
    }
    let plain = main_rows(study, rows).find(|row| {
        row.place.system == System::Plain
            && row.place.gpus == gpus
            && row.place.rate_per_gpu == rate
            && row.place.promise == 1
    });
    let plain = plain.and_then(|row| row.means[LATENCY]);
    Figure {
        title: "What a wrong prediction costs".to_owned(),
        caption: format!(
            "Mean latency on {gpus} GPUs at {rate} requests/s each, from a perfect to a useless prediction of output \
             lengths{}.",
            plain.map_or(String::new(), |m| format!(
                "; plain continuous batching, which predicts nothing, has {:.2} s",
                m.value
            ))
        ),
        columns: 1,
        panels: vec![Panel {
            title: String::new(),
            x: Axis {
                label: "prediction".to_owned(),
                scale: Scale::Names(PREDICTORS.map(|p| p.0.to_owned()).to_vec()),
            },
            y: Axis {
                label: "mean latency (s)".to_owned(),
                scale: Scale::Log10,
            },
            plot: Plot::Series {
                series,
                marks: plain
                    .map(|m| Mark {
                        label: "plain continuous".to_owned(),
                        at: At::Y(m.value),
                    })
                    .into_iter()
                    .collect(),
            },
        }],
    }
}
