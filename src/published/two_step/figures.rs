//! The figures of the two-step study; all of them count as published.

use super::choice::{enough, keeps_up, scaling};
use super::{
    Group, Step, TwoStep, best, bin_count, description, efficiency, fleet, gpu_count, throughput,
};
use crate::metrics::Summary;
use crate::published::runs::best_by;
use crate::report::document::{Content, File};
use crate::report::figure::{Axis, Figure, Form, Panel, Plot, Scale, Series};
use crate::words::{gpus, short, thousands};

pub(super) fn all(study: &TwoStep, groups: &[Group<'_>]) -> Vec<File> {
    let mut files = Vec::new();
    let mut add = |name: String, figure| files.push(File::new(name, Content::Figure(figure)));
    if study.step != Step::Methods {
        add(
            "gpu_scaling_by_workload".to_owned(),
            gpu_scaling(study, groups),
        );
        for group in groups {
            add(
                format!("latency_heatmap_{}", label(group.requests)),
                heatmap(study, group),
            );
        }
        add("gpu_efficiency".to_owned(), gpu_efficiency(study, groups));
    }
    if study.step != Step::Grid {
        add("step2_method_comparison".to_owned(), methods(groups));
    }
    files
}

/// 100k, 1m; other counts in full.
fn label(requests: u32) -> String {
    if requests > 0 && requests.is_multiple_of(1_000_000) {
        format!("{}m", requests / 1_000_000)
    } else if requests > 0 && requests.is_multiple_of(1_000) {
        format!("{}k", requests / 1_000)
    } else {
        requests.to_string()
    }
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
    }
}

fn title(group: &Group<'_>) -> String {
    format!("{} requests", thousands(group.requests.into()))
}

/// A line over the number of GPUs.
fn line(name: String, runs: &[&Summary], value: impl Fn(&Summary) -> f64) -> Series {
    let point = |s: &&Summary| [f64::from(gpu_count(s)), value(s)];
    Series {
        name,
        form: Form::Line(runs.iter().map(point).collect()),
    }
}

fn by_gpus<'a>(group: &Group<'a>, bins: u32) -> Vec<&'a Summary> {
    let steps = scaling(group.grid, bins);
    steps.into_iter().map(|step| step.run).collect()
}

fn gpu_scaling(study: &TwoStep, groups: &[Group<'_>]) -> Figure {
    let said: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let steps = scaling(group.grid, study.read_bins());
            let (run, next) = enough(&steps)?;
            Some(format!(
                "{}{} ({} s) at {}",
                if next.is_some() {
                    ""
                } else {
                    "no fleet up to "
                },
                gpus(gpu_count(run)),
                short(run.published().p95_latency_s),
                title(group),
            ))
        })
        .collect();
    Figure {
        title: "P95 latency over the fleet, as published".to_owned(),
        caption: format!(
            "With {} bins, more GPUs lower P95 by less than 10 % from here on: {}.",
            study.read_bins(),
            said.join("; ")
        ),
        columns: 2,
        panels: groups
            .iter()
            .map(|group| Panel {
                title: title(group),
                x: axis("GPUs", Scale::Log2),
                y: axis("P95 latency (s)", Scale::Log10),
                plot: Plot::Series {
                    series: study
                        .bin_counts
                        .iter()
                        .map(|&bins| {
                            let runs = by_gpus(group, bins);
                            line(format!("K = {bins}"), &runs, |s| {
                                s.published().p95_latency_s
                            })
                        })
                        .collect(),
                    marks: Vec::new(),
                },
            })
            .collect(),
    }
}

fn heatmap(study: &TwoStep, group: &Group<'_>) -> Figure {
    let names = |counts: &[u32]| Scale::Names(counts.iter().map(u32::to_string).collect());
    let panel = |title: &str, label: &str, best_low: bool, value: &dyn Fn(&Summary) -> f64| Panel {
        title: title.to_owned(),
        x: axis("GPUs", names(&study.gpu_counts)),
        y: axis("Bins", names(&study.bin_counts)),
        plot: Plot::Heat {
            values: study
                .bin_counts
                .iter()
                .map(|&bins| {
                    study
                        .gpu_counts
                        .iter()
                        .map(|&gpus| {
                            let here = |s: &&Summary| gpu_count(s) == gpus && bin_count(s) == bins;
                            group.grid.iter().find(here).map(value)
                        })
                        .collect()
                })
                .collect(),
            label: label.to_owned(),
            best_low,
        },
    };
    let caption = best(group.grid).map_or_else(String::new, |best| {
        format!(
            "The lowest P95 is {} s ({}), the highest throughput {} tokens/s ({}).{}",
            short(best.latency.published().p95_latency_s),
            fleet(best.latency),
            thousands(libm::round(throughput(best.throughput)) as u64),
            fleet(best.throughput),
            best.throughput
                .honest
                .offered_tokens_per_s
                .filter(|_| keeps_up(best.throughput))
                .map_or_else(String::new, |offered| format!(
                    " That is the load, {} tokens/s offered, not a capacity.",
                    thousands(libm::round(offered) as u64)
                )),
        )
    });
    Figure {
        title: format!("Fleet and bins at {}, as published", title(group)),
        caption,
        columns: 2,
        panels: vec![
            panel("P95 latency", "s", true, &|s| s.published().p95_latency_s),
            panel("Throughput", "tokens/s", false, &throughput),
        ],
    }
}

fn gpu_efficiency(study: &TwoStep, groups: &[Group<'_>]) -> Figure {
    let said: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let best = best_by(by_gpus(group, study.read_bins()), efficiency)?;
            Some(format!(
                "{} with {} at {}",
                thousands(libm::round(efficiency(best)) as u64),
                gpus(gpu_count(best)),
                title(group),
            ))
        })
        .collect();
    Figure {
        title: format!(
            "Throughput per GPU with {} bins, as published",
            study.read_bins()
        ),
        caption: format!(
            "Most tokens/s per GPU: {}. A fleet that keeps up serves the offered load, so its line \
             falls as 1/GPUs.",
            said.join(", ")
        ),
        columns: 1,
        panels: vec![Panel {
            title: String::new(),
            x: axis("GPUs", Scale::Log2),
            y: axis("Throughput per GPU (tokens/s)", Scale::Log10),
            plot: Plot::Series {
                series: groups
                    .iter()
                    .map(|group| {
                        let runs = by_gpus(group, study.read_bins());
                        line(title(group), &runs, efficiency)
                    })
                    .collect(),
                marks: Vec::new(),
            },
        }],
    }
}

/// A line per method over the request counts.
fn methods(groups: &[Group<'_>]) -> Figure {
    // The optimum is another fleet at each count.
    let name = |at: usize, s: &Summary| match at {
        3.. => "Optimized".to_owned(),
        _ => description(at, s),
    };
    let most = groups.iter().map(|g| g.methods.len()).max().unwrap_or(0);
    let lines = |value: fn(&Summary) -> f64| -> Vec<Series> {
        (0..most)
            .map(|at| {
                let runs = || groups.iter().filter_map(|g| Some((g, g.methods.get(at)?)));
                Series {
                    name: runs().next().map_or_else(String::new, |(_, s)| name(at, s)),
                    form: Form::Line(
                        runs()
                            .map(|(g, s)| [f64::from(g.requests), value(s)])
                            .collect(),
                    ),
                }
            })
            .collect()
    };
    let panel = |label: &str, scale, value| Panel {
        title: String::new(),
        x: axis("Requests", Scale::Log10),
        y: axis(label, scale),
        plot: Plot::Series {
            series: lines(value),
            marks: Vec::new(),
        },
    };
    let optima: Vec<String> = groups
        .iter()
        .filter_map(|g| Some(format!("{} at {}", fleet(g.methods.get(3)?), title(g))))
        .collect();
    // The method with the lowest P95 at each count, but for the optimum.
    let lowest: Vec<String> = groups
        .iter()
        .filter_map(|g| {
            let p95 = |s: &Summary| s.published().p95_latency_s;
            let (at, run) = g
                .methods
                .iter()
                .enumerate()
                .min_by(|(_, a), (_, b)| p95(a).total_cmp(&p95(b)))?;
            (at < 3).then(|| {
                format!(
                    "{}, where {} has it, {} s",
                    title(g),
                    description(at, run),
                    short(p95(run)),
                )
            })
        })
        .collect();
    Figure {
        title: "Methods by number of requests, as published".to_owned(),
        caption: match (optima.is_empty(), lowest.is_empty()) {
            (true, _) => "Without the optimum of the grid, which needs step 1.".to_owned(),
            (false, true) => format!(
                "Optimized is {}. It has the lowest P95 throughout.",
                optima.join("; ")
            ),
            (false, false) => format!(
                "Optimized is {}. It has the lowest P95 but at {}.",
                optima.join("; "),
                lowest.join("; ")
            ),
        },
        columns: 2,
        panels: vec![
            panel("Throughput (tokens/s)", Scale::Linear, throughput),
            panel("P95 latency (s)", Scale::Log10, |s| {
                s.published().p95_latency_s
            }),
        ],
    }
}
