//! The figures of the three-step study. All but the last show the published way of counting.

use super::StepRuns;
use super::analysis::{
    best_bins, bins, by_count, fleet, qps, requests, saturation, scaling, violations,
};
use crate::metrics::Summary;
use crate::published::runs::{best_by, method, scheduler};
use crate::report::figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series};
use crate::sched::Policy;
use crate::words::{gpus, percent, short, thousands};

/// The scheduler of steps 2 and 3.
const BINNED: &str = "Multi-Bin dynamic";

/// What can be drawn of the steps that ran, by file name.
pub(super) fn all(steps: StepRuns) -> Vec<(&'static str, Figure)> {
    let mut figures = Vec::new();
    if !steps.requests.is_empty() {
        figures.push(("request_scaling_capacity", capacity(steps.requests)));
        figures.push(("request_scaling_latency", latency(steps.requests)));
    }
    if !steps.gpus.is_empty() {
        figures.push(("gpu_scaling_analysis", gpu_scaling(steps.gpus)));
        figures.push(("scaling_efficiency", efficiency(steps.gpus)));
    }
    if !steps.bins.is_empty() {
        figures.push(("kbins_sensitivity", bin_sensitivity(steps.bins)));
    }
    if let Some(figure) = heat(steps.requests) {
        figures.push(("scheduler_comparison_heatmap", figure));
    }
    figures.push(("throughput_latency_tradeoff", tradeoff(steps)));
    figures.push(("batch_size_analysis", batches(steps)));
    figures.push(("three_step_honest", honest(steps)));
    figures
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
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

fn line(
    name: &str,
    runs: &[&Summary],
    x: impl Fn(&Summary) -> f64,
    y: impl Fn(&Summary) -> f64,
) -> Series {
    Series {
        name: name.to_owned(),
        form: Form::Line(runs.iter().map(|s| [x(s), y(s)]).collect()),
    }
}

fn level(label: &str, y: f64) -> Mark {
    Mark {
        label: label.to_owned(),
        at: At::Y(y),
    }
}

fn number_of_requests(s: &Summary) -> f64 {
    s.workload.rows_replayed as f64
}

fn number_of_gpus(s: &Summary) -> f64 {
    fleet(s).into()
}

fn number_of_bins(s: &Summary) -> f64 {
    bins(s).into()
}

/// A line per method of step 1.
fn by_method(runs: &[Summary], y: impl Fn(&Summary) -> f64) -> Vec<Series> {
    let mut names: Vec<String> = Vec::new();
    for name in runs.iter().map(method) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
        .iter()
        .map(|name| {
            let of: Vec<&Summary> = runs.iter().filter(|s| method(s) == *name).collect();
            line(name, &of, number_of_requests, &y)
        })
        .collect()
}

/// One sentence per request count of step 1, joined.
fn per_count(runs: &[Summary], says: impl Fn(&[Summary]) -> Option<String>) -> String {
    let said: Vec<String> = by_count(runs)
        .into_iter()
        .filter_map(|group| {
            Some(format!(
                "{} requests: {}.",
                thousands(requests(group)),
                says(group)?
            ))
        })
        .collect();
    said.join(" ")
}

fn capacity(runs: &[Summary]) -> Figure {
    Figure {
        title: "Capacity under the SLA by number of requests, as published".to_owned(),
        caption: most_capacity(runs),
        columns: 1,
        panels: vec![panel(
            "",
            axis("Requests", Scale::Log10),
            axis("Capacity (requests/s)", Scale::Log10),
            by_method(runs, qps),
            Vec::new(),
        )],
    }
}

/// Once, where one method has the highest capacity at every request count.
fn most_capacity(runs: &[Summary]) -> String {
    let groups = by_count(runs);
    let best: Vec<&Summary> = groups.iter().filter_map(|g| best_by(*g, qps)).collect();
    match best.as_slice() {
        [first, rest @ ..]
            if !rest.is_empty() && rest.iter().all(|s| method(s) == method(first)) =>
        {
            let rates: Vec<String> = best.iter().map(|s| short(qps(s))).collect();
            format!(
                "{} has the highest at every number of requests: {} requests/s.",
                method(first),
                rates.join(", ")
            )
        }
        _ => per_count(runs, |group| {
            let best = best_by(group, qps)?;
            Some(format!(
                "{} has the highest, {} requests/s",
                method(best),
                short(qps(best))
            ))
        }),
    }
}

fn latency(runs: &[Summary]) -> Figure {
    let of = |title: &str, value: fn(&Summary) -> f64| {
        panel(
            title,
            axis("Requests", Scale::Log10),
            axis("Latency (s)", Scale::Log10),
            by_method(runs, value),
            sla(runs),
        )
    };
    Figure {
        title: "Latency by number of requests, as published".to_owned(),
        caption: latency_range(runs).unwrap_or_default(),
        columns: 2,
        panels: vec![
            of("Mean", |s| s.published().avg_latency_s),
            of("P95", |s| s.published().p95_latency_s),
        ],
    }
}

/// At the largest request count, where a backlog has had the most time to grow.
fn latency_range(runs: &[Summary]) -> Option<String> {
    let groups = by_count(runs);
    let group = *groups.last()?;
    let mean = |s: &Summary| s.published().avg_latency_s;
    let (best, worst) = (best_by(group, |s| -mean(s))?, best_by(group, mean)?);
    Some(format!(
        "At {} requests the mean runs from {} s with {} to {} s with {}. Under a method that cannot \
         keep up, latencies grow with the number of requests.",
        thousands(requests(group)),
        short(mean(best)),
        method(best),
        short(mean(worst)),
        method(worst),
    ))
}

fn sla(runs: &[Summary]) -> Vec<Mark> {
    let limit = runs.first().map(|s| s.scenario.sla.request_s);
    limit
        .map(|s| level(&format!("SLA {s} s"), s))
        .into_iter()
        .collect()
}

fn gpu_scaling(runs: &[Summary]) -> Figure {
    let all: Vec<&Summary> = runs.iter().collect();
    let x = || axis("GPUs", Scale::Log2);
    let of = |value: fn(&Summary) -> f64| vec![line(BINNED, &all, number_of_gpus, value)];
    let caption = match (saturation(runs), runs.first(), runs.last()) {
        (Some((before, after, gain)), _, _) => format!(
            "Capacity gains {2:.1} % from {0} to {1}, the first gain below 10 %.",
            gpus(fleet(before)),
            gpus(fleet(after)),
            gain * 100.0
        ),
        (None, Some(first), Some(last)) => format!(
            "From {} to {} the capacity goes from {}/s to {}/s.",
            gpus(fleet(first)),
            gpus(fleet(last)),
            short(qps(first)),
            short(qps(last)),
        ),
        _ => String::new(),
    };
    Figure {
        title: format!(
            "{} requests on more GPUs, K={}, as published",
            thousands(requests(runs)),
            runs.first().map_or(0, bins)
        ),
        caption,
        columns: 2,
        panels: vec![
            panel(
                "",
                x(),
                axis("Capacity (requests/s)", Scale::Linear),
                of(qps),
                Vec::new(),
            ),
            panel(
                "",
                x(),
                axis("SLA violations (%)", Scale::Percent),
                of(violations),
                Vec::new(),
            ),
            panel(
                "",
                x(),
                axis("Mean latency (s)", Scale::Log10),
                of(|s| s.published().avg_latency_s),
                sla(runs),
            ),
            panel(
                "",
                x(),
                axis("GPU utilisation (%)", Scale::Percent),
                of(|s| s.published().gpu_utilization_mean * 100.0),
                Vec::new(),
            ),
        ],
    }
}

fn efficiency(runs: &[Summary]) -> Figure {
    let scaling = scaling(runs);
    Figure {
        title: "Scaling efficiency, as published: capacity ratio over GPU ratio".to_owned(),
        caption: match scaling.as_slice() {
            [base, .., last] => format!(
                "{} have {:.2} times the capacity of {}, an efficiency of {}.{}",
                gpus(last.gpus),
                last.qps_ratio,
                gpus(base.gpus),
                percent(last.efficiency),
                match runs.first().map(violations) {
                    Some(failed) if failed > 50.0 => format!(
                        " The base is weak, not the rest strong: {failed:.1} % of its requests break \
                         the SLA."
                    ),
                    _ => String::new(),
                }
            ),
            _ => "The smallest fleet has no capacity to compare with.".to_owned(),
        },
        columns: 1,
        panels: vec![panel(
            "",
            axis("GPUs", Scale::Log2),
            axis("Efficiency (1 = linear)", Scale::Linear),
            vec![Series {
                name: BINNED.to_owned(),
                form: Form::Line(
                    scaling
                        .iter()
                        .map(|x| [f64::from(x.gpus), x.efficiency])
                        .collect(),
                ),
            }],
            vec![level("linear", 1.0)],
        )],
    }
}

fn bin_sensitivity(runs: &[Summary]) -> Figure {
    let all: Vec<&Summary> = runs.iter().collect();
    let x = || axis("Bins", Scale::Log2);
    let of = |name: &str, value: fn(&Summary) -> f64| line(name, &all, number_of_bins, value);
    Figure {
        title: format!(
            "Bins on {}, as published",
            gpus(runs.first().map_or(0, fleet))
        ),
        caption: best_bins(runs).map_or_else(String::new, |best| {
            format!(
                "K={} has the fewest violations, {:.2} %, and a capacity of {} requests/s.",
                bins(best),
                violations(best),
                short(qps(best))
            )
        }),
        columns: 2,
        panels: vec![
            panel(
                "",
                x(),
                axis("Capacity (requests/s)", Scale::Linear),
                vec![of(BINNED, qps)],
                Vec::new(),
            ),
            panel(
                "",
                x(),
                axis("SLA violations (%)", Scale::Linear),
                vec![of(BINNED, violations)],
                Vec::new(),
            ),
            panel(
                "",
                x(),
                axis("Latency (s)", Scale::Log10),
                vec![
                    of("mean", |s| s.published().avg_latency_s),
                    of("P95", |s| s.published().p95_latency_s),
                    of("P99", |s| s.published().p99_latency_s),
                ],
                sla(runs),
            ),
            panel(
                "",
                x(),
                axis("GPU utilisation (%)", Scale::Linear),
                vec![of(BINNED, |s| s.published().gpu_utilization_mean * 100.0)],
                Vec::new(),
            ),
        ],
    }
}

/// A row of the heat map: its name, its value, whether a low value is good.
type Measure = (&'static str, fn(&Summary) -> f64, bool);

const MEASURES: [Measure; 5] = [
    ("capacity", qps, false),
    ("SLA kept", |s| 100.0 - violations(s), false),
    ("throughput", |s| s.published().requests_per_s, false),
    ("mean latency", |s| s.published().avg_latency_s, true),
    ("P95 latency", |s| s.published().p95_latency_s, true),
];

/// At 10,000 requests, or the count of step 1 nearest to it.
fn heat(runs: &[Summary]) -> Option<Figure> {
    let groups = by_count(runs);
    let runs = *groups
        .iter()
        .min_by_key(|group| requests(group).abs_diff(10_000))?;
    let values = MEASURES
        .iter()
        .map(|&(_, value, low)| {
            let all = || runs.iter().map(value);
            let best = if low {
                all().fold(f64::INFINITY, f64::min)
            } else {
                all().fold(0.0, f64::max)
            };
            all()
                .map(|x| {
                    let (part, whole) = if low { (best, x) } else { (x, best) };
                    (whole > 0.0).then(|| 100.0 * part / whole)
                })
                .collect()
        })
        .collect();
    let best = best_by(runs, qps)?;
    let fastest = best_by(runs, |s| -s.published().avg_latency_s)?;
    Some(Figure {
        title: format!(
            "Schedulers at {} requests, as published",
            thousands(requests(runs))
        ),
        caption: format!(
            "100 is the best of a row, 50 half as good. {}.",
            if method(best) == method(fastest) {
                format!(
                    "{} has the highest capacity, {} requests/s, and the lowest mean latency, {} s",
                    method(best),
                    short(qps(best)),
                    short(fastest.published().avg_latency_s),
                )
            } else {
                format!(
                    "{} has the highest capacity, {} requests/s, and {} the lowest mean latency, {} s",
                    method(best),
                    short(qps(best)),
                    method(fastest),
                    short(fastest.published().avg_latency_s),
                )
            },
        ),
        columns: 1,
        panels: vec![Panel {
            title: String::new(),
            x: axis("Method", Scale::Names(runs.iter().map(method).collect())),
            y: axis(
                "",
                Scale::Names(MEASURES.iter().map(|m| m.0.to_owned()).collect()),
            ),
            plot: Plot::Heat {
                values,
                label: "% of the best".to_owned(),
                best_low: false,
            },
        }],
    })
}

fn tradeoff(steps: StepRuns) -> Figure {
    // Step 3 repeats one fleet; it is drawn only where nothing else is. Large bubbles come first,
    // so that small ones lie on top.
    let mut all: Vec<&Summary> = steps.requests.iter().chain(steps.gpus).collect();
    if all.is_empty() {
        all = steps.bins.iter().collect();
    }
    all.sort_by_key(|s| std::cmp::Reverse(fleet(s)));
    let binned = all
        .iter()
        .filter(|s| s.scenario.policy() == Some(Policy::MultiBinDynamic));
    let mut counts: Vec<u32> = binned.map(|s| bins(s)).collect();
    counts.sort_unstable();
    counts.dedup();
    let multi_bin = match counts.as_slice() {
        [least, .., most] => format!("Multi-Bin K={least} to {most}"),
        [only] => format!("Multi-Bin K={only}"),
        [] => String::new(),
    };
    let series = [
        ("Static FIFO", Policy::StaticFifo),
        ("Dynamic No-Bins", Policy::Dynamic),
        (multi_bin.as_str(), Policy::MultiBinDynamic),
    ]
    .into_iter()
    .filter_map(|(name, policy)| {
        let of = all.iter().filter(|s| s.scenario.policy() == Some(policy));
        let mut points: Vec<[f64; 3]> = of
            .map(|s| {
                let p = s.published();
                [p.requests_per_s, p.avg_latency_s, number_of_gpus(s)]
            })
            .collect();
        // The same run may stand in both steps.
        points.dedup();
        (!points.is_empty()).then(|| Series {
            name: name.to_owned(),
            form: Form::Bubbles(points),
        })
    })
    .collect();
    let most = best_by(all.iter().copied(), |s| s.published().requests_per_s);
    Figure {
        title: "Throughput and mean latency, as published; a bubble's area is the number of GPUs"
            .to_owned(),
        caption: most.map_or_else(String::new, |s| {
            format!(
                "{} reaches the highest throughput, {} requests/s, at {} requests, with a mean \
                 latency of {} s.",
                method(s),
                short(s.published().requests_per_s),
                thousands(s.workload.rows_replayed),
                short(s.published().avg_latency_s),
            )
        }),
        columns: 1,
        panels: vec![panel(
            "",
            axis("Throughput (requests/s)", Scale::Linear),
            axis("Mean latency (s)", Scale::Log10),
            series,
            Vec::new(),
        )],
    }
}

fn batches(steps: StepRuns) -> Figure {
    let y = || axis("Requests per batch", Scale::Log10);
    let mut panels = Vec::new();
    if !steps.requests.is_empty() {
        panels.push(panel(
            "Step 1: mean batch",
            axis("Requests", Scale::Log10),
            y(),
            by_method(steps.requests, |s| s.published().avg_batch),
            Vec::new(),
        ));
    }
    let both = |runs: &[Summary], x: fn(&Summary) -> f64| {
        let all: Vec<&Summary> = runs.iter().collect();
        vec![
            line("mean", &all, x, |s| s.published().avg_batch),
            line("largest", &all, x, |s| s.published().max_batch.into()),
        ]
    };
    if !steps.gpus.is_empty() {
        let series = both(steps.gpus, number_of_gpus);
        panels.push(panel(
            "Step 2: more GPUs",
            axis("GPUs", Scale::Log2),
            y(),
            series,
            Vec::new(),
        ));
    }
    if !steps.bins.is_empty() {
        let series = both(steps.bins, number_of_bins);
        panels.push(panel(
            "Step 3: more bins",
            axis("Bins", Scale::Log2),
            y(),
            series,
            Vec::new(),
        ));
    }
    let all = || steps.named().into_iter().flat_map(|(_, runs)| runs);
    let batch = |s: &Summary| s.published().avg_batch;
    let caption = match (best_by(all(), |s| -batch(s)), best_by(all(), batch)) {
        (Some(least), Some(most)) => format!(
            "The mean batch runs from {} requests with {} to {} with {}.",
            short(batch(least)),
            method(least),
            short(batch(most)),
            method(most),
        ),
        _ => String::new(),
    };
    Figure {
        title: "Batch sizes by requests, GPUs and bins".to_owned(),
        caption,
        columns: 2,
        panels,
    }
}

fn honest(steps: StepRuns) -> Figure {
    let goodput = |s: &Summary| s.honest.goodput_requests_per_s;
    let y = || axis("Goodput (requests/s)", Scale::Linear);
    let offered = |runs: &[Summary]| -> Vec<Mark> {
        let rate = runs.first().and_then(|s| s.honest.offered_requests_per_s);
        rate.map(|rate| level(&format!("offered {}", short(rate)), rate))
            .into_iter()
            .collect()
    };
    let mut panels = Vec::new();
    if !steps.requests.is_empty() {
        panels.push(panel(
            "Step 1: methods",
            axis("Requests", Scale::Log10),
            axis("Goodput (requests/s)", Scale::Log10),
            by_method(steps.requests, goodput),
            Vec::new(),
        ));
    }
    let mut one = |title: String, runs: &[Summary], x: Axis, at: fn(&Summary) -> f64| {
        if !runs.is_empty() {
            let all: Vec<&Summary> = runs.iter().collect();
            let series = vec![line(BINNED, &all, at, goodput)];
            panels.push(panel(&title, x, y(), series, offered(runs)));
        }
    };
    one(
        format!("Step 2: GPUs, K={}", steps.gpus.first().map_or(0, bins)),
        steps.gpus,
        axis("GPUs", Scale::Log2),
        number_of_gpus,
    );
    one(
        format!(
            "Step 3: bins on {}",
            gpus(steps.bins.first().map_or(0, fleet))
        ),
        steps.bins,
        axis("Bins", Scale::Log2),
        number_of_bins,
    );
    let all = steps.named().into_iter().flat_map(|(_, runs)| runs);
    Figure {
        title: "Goodput: the same runs, counted per request as the field does".to_owned(),
        caption: best_by(all, goodput).map_or_else(String::new, |best| {
            format!(
                "{} on {} reaches the highest goodput, {} requests/s, at {} requests.",
                scheduler(best),
                gpus(fleet(best)),
                short(goodput(best)),
                thousands(best.workload.rows_replayed),
            )
        }),
        columns: 2,
        panels,
    }
}
