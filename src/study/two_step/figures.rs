//! The figures of the two-step study; all of them count as published.

use super::choice::{enough, scaling};
use super::{
    Group, Step, TwoStep, best, bin_count, description, efficiency, fleet, gpu_count, throughput,
};
use crate::metrics::Summary;
use crate::study::document::{Content, File};
use crate::study::figure::{Axis, Figure, Form, Panel, Plot, Scale, Series};
use crate::study::text::{best_by, gpus, short, thousands};

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
            let next = match next {
                Some(next) => format!("the next step brings {:.1} %", next * 1e2),
                None => "every step up to there brings 10 % or more".to_owned(),
            };
            Some(format!(
                "{}: {} reach a P95 of {} s and {next}.",
                title(group),
                gpus(gpu_count(run)),
                short(run.published.p95_latency_s)
            ))
        })
        .collect();
    Figure {
        title: "P95 latency over the fleet, as published".to_owned(),
        caption: format!("With {} bins. {}", study.read_bins(), said.join(" ")),
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
                            line(format!("K = {bins}"), &runs, |s| s.published.p95_latency_s)
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
            "{}: the lowest P95 is {} s ({}), the highest throughput {} tokens/s ({}).",
            title(group),
            short(best.latency.published.p95_latency_s),
            fleet(best.latency),
            thousands(libm::round(throughput(best.throughput)) as u64),
            fleet(best.throughput),
        )
    });
    Figure {
        title: format!("Fleet and bins at {}, as published", title(group)),
        caption,
        columns: 2,
        panels: vec![
            panel("P95 latency", "s", true, &|s| s.published.p95_latency_s),
            panel("Throughput", "tokens/s", false, &throughput),
        ],
    }
}

fn gpu_efficiency(study: &TwoStep, groups: &[Group<'_>]) -> Figure {
    let said: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let best = best_by(group.grid, efficiency)?;
            Some(format!(
                "{}: {} tokens/s per GPU with {}.",
                title(group),
                thousands(libm::round(efficiency(best)) as u64),
                fleet(best)
            ))
        })
        .collect();
    Figure {
        title: "Throughput per GPU, as published".to_owned(),
        caption: format!(
            "{} A fleet that keeps up serves the offered load, so its line falls as 1/GPUs.",
            said.join(" ")
        ),
        columns: 1,
        panels: vec![Panel {
            title: format!("{} bins", study.read_bins()),
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

fn methods(groups: &[Group<'_>]) -> Figure {
    let mut panels = Vec::new();
    let mut said = Vec::new();
    for group in groups {
        let names: Vec<String> = group
            .methods
            .iter()
            .enumerate()
            .map(|(at, s)| description(at, s))
            .collect();
        for (label, value) in [
            ("Throughput (tokens/s)", throughput as fn(&Summary) -> f64),
            ("P95 latency (s)", |s| s.published.p95_latency_s),
        ] {
            panels.push(Panel {
                title: title(group),
                x: axis("Method", Scale::Names(names.clone())),
                y: axis(label, Scale::Linear),
                plot: Plot::Series {
                    series: vec![Series {
                        name: String::new(),
                        form: Form::Bars(group.methods.iter().map(|s| Some(value(s))).collect()),
                    }],
                    marks: Vec::new(),
                },
            });
        }
        let lowest = group.methods.iter().zip(&names).min_by(|(a, _), (b, _)| {
            a.published
                .p95_latency_s
                .total_cmp(&b.published.p95_latency_s)
        });
        if let Some((run, name)) = lowest {
            said.push(format!(
                "{}: {name} has the lowest P95, {} s.",
                title(group),
                short(run.published.p95_latency_s)
            ));
        }
    }
    Figure {
        title: "Methods, as published".to_owned(),
        caption: said.join(" "),
        columns: 2,
        panels,
    }
}
