//! The figures of stress test v2; titles say which way of counting they show.

use super::StressV2;
use crate::metrics::Summary;
use crate::published::runs::{best_by, method, request_pass, token_pass};
use crate::report::figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series};
use crate::words::{gpus, percent, short, thousands};

/// One bar per method.
fn bars(name: &str, runs: &[Summary], value: impl Fn(&Summary) -> Option<f64>) -> Series {
    Series {
        name: name.to_owned(),
        form: Form::Bars(runs.iter().map(value).collect()),
    }
}

/// A panel of bars over the methods of one request count.
fn panel(
    runs: &[Summary],
    title: &str,
    label: &str,
    series: Vec<Series>,
    marks: Vec<Mark>,
) -> Panel {
    let requests = runs.first().map_or(0, |s| s.workload.rows_replayed);
    Panel {
        title: format!("{} requests{title}", thousands(requests)),
        x: Axis {
            label: "Method".to_owned(),
            scale: Scale::Names(runs.iter().map(method).collect()),
        },
        y: Axis {
            label: label.to_owned(),
            scale: if label.ends_with("(%)") {
                Scale::Percent
            } else {
                Scale::Linear
            },
        },
        plot: Plot::Series { series, marks },
    }
}

fn level(label: &str, y: f64) -> Mark {
    Mark {
        label: label.to_owned(),
        at: At::Y(y),
    }
}

/// One sentence per request count, joined.
fn caption(groups: &[&[Summary]], says: impl Fn(&[Summary]) -> Option<String>) -> String {
    let said: Vec<String> = groups
        .iter()
        .filter_map(|runs| {
            let requests = runs.first()?.workload.rows_replayed;
            Some(format!("{} requests: {}", thousands(requests), says(runs)?))
        })
        .collect();
    said.join(" ")
}

pub(super) fn comparison(groups: &[&[Summary]]) -> Figure {
    Figure {
        title: "Requests that keep each SLA, as published".to_owned(),
        caption: caption(groups, |runs| {
            let token = best_by(runs, token_pass)?;
            let request = best_by(runs, request_pass)?;
            Some(format!(
                "{} keeps the token SLA most often, {}, and {} the request SLA, {}.",
                method(token),
                percent(token_pass(token)),
                method(request),
                percent(request_pass(request)),
            ))
        }),
        columns: 2,
        panels: groups
            .iter()
            .map(|runs| {
                panel(
                    runs,
                    "",
                    "Requests that keep the SLA (%)",
                    vec![
                        bars("token SLA", runs, |s| Some(token_pass(s) * 100.0)),
                        bars("request SLA", runs, |s| Some(request_pass(s) * 100.0)),
                    ],
                    vec![level("95 %", 95.0), level("90 %", 90.0)],
                )
            })
            .collect(),
    }
}

pub(super) fn tbt(groups: &[&[Summary]]) -> Figure {
    Figure {
        title: "Time between tokens, as published: batch time over longest output".to_owned(),
        caption: caption(groups, |runs| {
            let least = best_by(runs, |s| -s.published().avg_tbt_ms)?;
            let most = best_by(runs, |s| s.published().avg_tbt_ms)?;
            Some(format!(
                "the mean TBT runs from {:.1} ms with {} to {:.1} ms with {}.",
                least.published().avg_tbt_ms,
                method(least),
                most.published().avg_tbt_ms,
                method(most),
            ))
        }),
        columns: 2,
        panels: groups
            .iter()
            .map(|runs| {
                let limit = runs.first().map(|s| s.scenario.sla.token_ms);
                panel(
                    runs,
                    "",
                    "TBT (ms)",
                    vec![
                        bars("mean", runs, |s| Some(s.published().avg_tbt_ms)),
                        bars("P95", runs, |s| Some(s.published().p95_tbt_ms)),
                    ],
                    limit
                        .map(|ms| level(&format!("SLA {ms} ms"), ms))
                        .into_iter()
                        .collect(),
                )
            })
            .collect(),
    }
}

pub(super) fn honest(groups: &[&[Summary]]) -> Figure {
    let share = |x: Option<f64>| x.map(|x| x * 100.0);
    Figure {
        title: "The same runs, counted per request as the field does".to_owned(),
        caption: caption(groups, |runs| {
            let best = best_by(runs, |s| s.honest.goodput_requests_per_s)?;
            Some(format!(
                "{} has the highest goodput, {} requests/s; {} of its requests keep both SLAs.",
                method(best),
                short(best.honest.goodput_requests_per_s),
                percent(best.honest.sla.joint?),
            ))
        }),
        columns: 2,
        panels: groups
            .iter()
            .flat_map(|runs| {
                let offered = runs.first().and_then(|s| s.honest.offered_requests_per_s);
                [
                    panel(
                        runs,
                        ": SLA attainment",
                        "Requests that keep the SLA (%)",
                        vec![
                            bars("TPOT", runs, |s| share(s.honest.sla.token)),
                            bars("E2E", runs, |s| share(s.honest.sla.request)),
                            bars("both", runs, |s| share(s.honest.sla.joint)),
                        ],
                        Vec::new(),
                    ),
                    panel(
                        runs,
                        ": goodput",
                        "Goodput (requests/s)",
                        vec![bars("goodput", runs, |s| {
                            Some(s.honest.goodput_requests_per_s)
                        })],
                        offered
                            .map(|rate| level(&format!("offered {}", short(rate)), rate))
                            .into_iter()
                            .collect(),
                    ),
                ]
            })
            .collect(),
    }
}

/// GPUs by bins, a pair of panels per request count.
pub(super) fn grid(study: &StressV2, groups: &[&[Summary]]) -> Figure {
    let names = |counts: &[u32]| Scale::Names(counts.iter().map(u32::to_string).collect());
    let heat = |runs: &[Summary], title: &str, label: &str, value: fn(&Summary) -> f64| Panel {
        title: format!(
            "{} requests: {title}",
            thousands(runs.first().map_or(0, |s| s.workload.rows_replayed))
        ),
        x: Axis {
            label: "Bins".to_owned(),
            scale: names(&study.bin_counts),
        },
        y: Axis {
            label: "GPUs".to_owned(),
            scale: names(&study.gpu_counts),
        },
        plot: Plot::Heat {
            values: runs
                .chunk_by(|a, b| a.scenario.fleet.gpus == b.scenario.fleet.gpus)
                .map(|row| row.iter().map(|s| Some(value(s))).collect())
                .collect(),
            label: label.to_owned(),
            best_low: false,
        },
    };
    Figure {
        title: "Multi-bin over GPUs and bins".to_owned(),
        caption: caption(groups, |runs| {
            let published = best_by(runs, |s| s.published().capacity_qps_under_sla)?;
            let honest = best_by(runs, |s| s.honest.goodput_requests_per_s)?;
            let place = |s: &Summary| {
                format!(
                    "{} and K={}",
                    gpus(s.scenario.fleet.gpus),
                    s.scenario.bins.count
                )
            };
            Some(format!(
                "the published capacity is highest with {} ({}/s), goodput with {} ({}/s).",
                place(published),
                short(published.published().capacity_qps_under_sla),
                place(honest),
                short(honest.honest.goodput_requests_per_s),
            ))
        }),
        columns: 2,
        panels: groups
            .iter()
            .flat_map(|runs| {
                [
                    heat(runs, "published capacity", "capacity, requests/s", |s| {
                        s.published().capacity_qps_under_sla
                    }),
                    heat(runs, "goodput", "goodput, requests/s", |s| {
                        s.honest.goodput_requests_per_s
                    }),
                ]
            })
            .collect(),
    }
}
