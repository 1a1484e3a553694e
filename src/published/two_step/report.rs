//! `STRESS_TEST_REPORT.md`: the published structure, every number and sentence from the runs.

use super::choice::{
    GOOD_ENOUGH, KEEPS_UP, LITTLE, VIOLATION_LIMIT, enough, keeps_up, optimum, scaling,
    served_share,
};
use super::{
    Group, Step, TwoStep, best, bin_count, description, efficiency, fleet, gpu_count, throughput,
};
use crate::metrics::Summary;
use crate::published::published_columns::token_violation_rate;
use crate::published::runs::{best_by, latency_model};
use crate::scenario::Source;
use crate::words::{change, counted, gpus, or_dash, percent, pipes, rounded, short, thousands};

/// A fleet is good enough if it keeps both SLAs for this share of the requests.
const GOOD: f64 = 0.95;

pub(super) fn text(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut text = String::from("# Two-step stress test\n\n");
    text += &configuration(study, groups);
    if study.step != Step::Methods {
        text += "\n## Step 1: grid search\n";
        text += &summary(groups);
        text += &gpu_scaling(study, groups);
        text += &effect_of_bins(study, groups);
        text += &diminishing(study, groups);
        text += &gpu_efficiency(study, groups);
        text += &optima(groups);
    }
    if study.step != Step::Grid {
        text += &methods(study, groups);
    }
    if study.step != Step::Methods {
        text += &recommendations(study, groups);
    }
    text += &field(study, groups);
    text
}

fn requests(group: &Group<'_>) -> String {
    thousands(group.requests.into())
}

fn p95(s: &Summary) -> f64 {
    s.published().p95_latency_s
}

fn seconds(s: &Summary) -> String {
    format!("{} s", short(p95(s)))
}

fn list(counts: &[u32]) -> String {
    let counts: Vec<String> = counts.iter().map(|&n| thousands(n.into())).collect();
    counts.join(", ")
}

fn all<'a>(groups: &'a [Group<'a>]) -> impl Iterator<Item = &'a Summary> {
    groups.iter().flat_map(|g| g.grid.iter().chain(g.methods))
}

fn configuration(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut text = String::from(
        "Step 1 searches a grid of fleets and bins with multi-bin dynamic batching; step 2 compares \
         methods. Latencies, violations and throughput are counted as published, until the last \
         section.\n\n## Test configuration\n\n",
    );
    let trace = match &study.trace {
        Source::File { name, .. } => name.replace('|', "\\|"),
        Source::Synthetic(_) => format!("generated, seed {} (not BurstGPT itself)", study.seed),
    };
    let mut rows = vec![
        vec!["Trace".to_owned(), trace],
        vec![
            "Arrival times divided by".to_owned(),
            study.rps_scaling.to_string(),
        ],
        vec!["Requests".to_owned(), list(&study.request_counts)],
    ];
    if study.step != Step::Methods {
        rows.push(vec!["GPUs".to_owned(), list(&study.gpu_counts)]);
        rows.push(vec!["Bins".to_owned(), list(&study.bin_counts)]);
    }
    let first = all(groups).next();
    if let Some(s) = first {
        let sla = &s.scenario.sla;
        rows.push(vec![
            "SLA".to_owned(),
            format!(
                "{} ms per token of the batch's longest output",
                sla.token_ms
            ),
        ]);
    }
    text += &pipes(&["Parameter", "Value"], &rows);
    if let Some(s) = first {
        text += &format!("\nLatency model:\n\n```\n{}```\n", latency_model(s));
        text += "\nThese are fall-back values of the published program, not a measurement of any GPU.\n";
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .filter_map(|g| {
            let s = g.grid.iter().chain(g.methods).next()?;
            Some(vec![
                requests(g),
                thousands(s.workload.rows_failed),
                or_dash(s.workload.offered_requests_per_s, short),
                or_dash(s.workload.offered_tokens_per_s, rounded),
            ])
        })
        .collect();
    text + "\nMore requests reach further into the trace, so each count also has a rate of its own:\n\n"
        + &pipes(
            &[
                "Requests",
                "Failed",
                "Offered requests/s",
                "Offered tokens/s",
            ],
            &rows,
        )
}

fn summary(groups: &[Group<'_>]) -> String {
    let rows: Vec<Vec<String>> = groups
        .iter()
        .filter_map(|group| {
            let best = best(group.grid)?;
            Some(vec![
                requests(group),
                fleet(best.latency),
                seconds(best.latency),
                fleet(best.throughput),
                format!("{} tok/s", rounded(throughput(best.throughput))),
                fleet(best.efficiency),
                format!("{} tok/s/GPU", rounded(efficiency(best.efficiency))),
            ])
        })
        .collect();
    let head = [
        "Workload",
        "Best latency config",
        "Best latency (P95)",
        "Best throughput config",
        "Best throughput",
        "Best efficiency config",
        "Efficiency",
    ];
    format!("\n### Summary table\n\n{}", pipes(&head, &rows))
}

fn gpu_scaling(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let read = study.read_bins();
    let mut text = format!("\n### GPU scaling ({})\n", counted(read, "bin"));
    for group in groups {
        let steps = scaling(group.grid, read);
        let (Some(first), Some((run, next))) = (steps.first(), enough(&steps)) else {
            continue;
        };
        text += &format!(
            "\n**{} requests:** P95 is {} with {} and {} with {}, {} less.",
            requests(group),
            seconds(first.run),
            gpus(gpu_count(first.run)),
            seconds(run),
            gpus(gpu_count(run)),
            percent(1.0 - p95(run) / p95(first.run)),
        );
        text += &match next {
            Some(next) => format!(
                " The next larger fleet changes it by {}.\n",
                change(-next, 1)
            ),
            None => format!(
                " No step of the grid brings less than {}.\n",
                percent(LITTLE)
            ),
        };
    }
    text
}

fn effect_of_bins(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut head = vec!["Workload".to_owned(), "GPUs".to_owned()];
    head.extend(study.bin_counts.iter().map(|&k| format!("K={k}")));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut rows = Vec::new();
    let mut said = String::new();
    for group in groups {
        for &fleet in &study.gpu_counts {
            let runs: Vec<&Summary> = group
                .grid
                .iter()
                .filter(|s| gpu_count(s) == fleet)
                .collect();
            let mut row = vec![requests(group), fleet.to_string()];
            row.extend(runs.iter().map(|s| short(p95(s))));
            rows.push(row);
        }
        let best_bins = |gpus: u32| {
            let runs = group.grid.iter().filter(move |s| gpu_count(s) == gpus);
            best_by(runs, |s| -p95(s))
        };
        let least = study.gpu_counts.iter().min();
        let most = study.gpu_counts.iter().max();
        if let (Some(few), Some(many)) = (
            least.and_then(|&gpus| best_bins(gpus)),
            most.and_then(|&gpus| best_bins(gpus)),
        ) {
            said += &format!(
                "- {} requests: the lowest P95 on {} is that of {}, on {} that of {}.\n",
                requests(group),
                gpus(gpu_count(few)),
                counted(bin_count(few), "bin"),
                gpus(gpu_count(many)),
                counted(bin_count(many), "bin"),
            );
        }
    }
    format!(
        "\n### Effect of bins\n\nP95 latency, s:\n\n{}\n{said}",
        pipes(&head, &rows)
    )
}

fn diminishing(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut rows = Vec::new();
    for group in groups {
        for &k in &study.bin_counts {
            if let Some((run, next)) = enough(&scaling(group.grid, k)) {
                rows.push(vec![
                    requests(group),
                    k.to_string(),
                    gpu_count(run).to_string(),
                    seconds(run),
                    next.map_or_else(|| "-".to_owned(), |next| change(-next, 1)),
                ]);
            }
        }
    }
    format!(
        "\n### Diminishing returns\n\nThe last fleet before a step that lowers P95 by less than {}, or the largest where \
         there is no such step:\n\n{}",
        percent(LITTLE),
        pipes(&["Workload", "Bins", "GPUs", "P95", "Next step"], &rows)
    )
}

fn gpu_efficiency(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut head = vec!["GPUs".to_owned()];
    head.extend(groups.iter().map(|g| format!("{} requests", requests(g))));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let read = study.read_bins();
    let rows: Vec<Vec<String>> = study
        .gpu_counts
        .iter()
        .map(|&fleet| {
            let mut row = vec![fleet.to_string()];
            row.extend(groups.iter().map(|group| {
                let here = |s: &&Summary| gpu_count(s) == fleet && bin_count(s) == read;
                or_dash(group.grid.iter().find(here), |s| rounded(efficiency(s)))
            }));
            row
        })
        .collect();
    format!(
        "\n### GPU efficiency ({})\n\nTokens/s per GPU:\n\n{}",
        counted(read, "bin"),
        pipes(&head, &rows)
    )
}

fn optima(groups: &[Group<'_>]) -> String {
    let mut rows = Vec::new();
    let mut none = Vec::new();
    for group in groups {
        let Some(best) = optimum(group.grid) else {
            continue;
        };
        rows.push(vec![
            requests(group),
            fleet(best.run),
            format!("{} tok/s", rounded(throughput(best.run))),
            seconds(best.run),
            percent(token_violation_rate(best.run)),
        ]);
        if !best.within_limit {
            none.push(requests(group));
        }
    }
    let mut text = format!(
        "\n### Optimal configuration\n\nThe smallest fleet, then the fewest bins, with at least {} of the \
         best throughput among runs in which fewer than {} of the requests break the SLA:\n\n{}",
        percent(GOOD_ENOUGH),
        percent(VIOLATION_LIMIT),
        pipes(
            &[
                "Workload",
                "Optimum",
                "Throughput",
                "P95 latency",
                "SLA violation"
            ],
            &rows
        )
    );
    if !none.is_empty() {
        text += &format!(
            "\nNo run is below that limit at {} requests; there the run with the fewest violations stands.\n",
            none.join(", ")
        );
    }
    text
}

fn methods(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut text = String::from("\n## Step 2: method comparison\n");
    if study.step == Step::Methods {
        text += "\nThe fourth method, with the optimum of step 1, needs step 1 and did not run.\n";
    }
    for group in groups {
        let rows: Vec<Vec<String>> = group
            .methods
            .iter()
            .enumerate()
            .map(|(at, s)| {
                vec![
                    description(at, s),
                    format!("{} tok/s", rounded(throughput(s))),
                    seconds(s),
                    percent(token_violation_rate(s)),
                ]
            })
            .collect();
        text += &format!(
            "\n### {} requests\n\n{}",
            requests(group),
            pipes(
                &["Method", "Throughput", "P95 latency", "SLA violation"],
                &rows
            )
        );
        let [fixed, dynamic, rest @ ..] = group.methods else {
            continue;
        };
        let against = |name: &str, s: &Summary, base: &str, other: &Summary| {
            format!(
                "- {name} against {base}: throughput {}, P95 {}.\n",
                change(throughput(s) / throughput(other) - 1.0, 1),
                change(p95(s) / p95(other) - 1.0, 1)
            )
        };
        text.push('\n');
        text += &against("Dynamic", dynamic, "static", fixed);
        for (at, s) in rest.iter().enumerate() {
            text += &against(&description(at + 2, s), s, "dynamic on one GPU", dynamic);
        }
        let most =
            group.methods.iter().enumerate().max_by(|(_, a), (_, b)| {
                token_violation_rate(a).total_cmp(&token_violation_rate(b))
            });
        if let Some((at, s)) = most
            && token_violation_rate(s) >= 0.0005
        {
            text += &format!(
                "- Most violations: {} with {}.\n",
                description(at, s),
                percent(token_violation_rate(s))
            );
        }
    }
    text
}

fn recommendations(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut rows = Vec::new();
    for group in groups {
        // Of the fleets that are enough for their number of bins: the smallest, then the fastest.
        let candidates: Vec<&Summary> = study
            .bin_counts
            .iter()
            .filter_map(|&k| Some(enough(&scaling(group.grid, k))?.0))
            .collect();
        let Some(least) = candidates.iter().map(|s| gpu_count(s)).min() else {
            continue;
        };
        let smallest = candidates.into_iter().filter(|s| gpu_count(s) == least);
        if let Some(run) = best_by(smallest, |s| -p95(s)) {
            rows.push(vec![
                requests(group),
                fleet(run),
                format!("P95 {}, {} tok/s", seconds(run), rounded(throughput(run))),
            ]);
        }
    }
    format!(
        "\n## Recommendations\n\nOf the fleets under \"Diminishing returns\", one for each number of bins, the smallest, with the bins that \
         give it the lowest P95:\n\n{}",
        pipes(&["Workload", "Configuration", "Result"], &rows)
    )
}

/// Erratum 8: most throughput figures are the offered load.
fn field(study: &TwoStep, groups: &[Group<'_>]) -> String {
    let mut text = format!(
        "\n## How the field counts the same runs\n\nFailed requests are in none of these figures. A fleet \
         keeps up if it serves at least {} of the offered tokens per second; its throughput is then the \
         load that it was given, and says nothing of what it could serve. Where it does not keep up, \
         work is left over at the last arrival: its throughput is near its capacity, and its latencies \
         grow with the length of the trace.\n",
        percent(KEEPS_UP)
    );
    if let Some(s) = all(groups).next() {
        let sla = &s.scenario.sla;
        text += &format!(
            "\nTPOT: time per output token after the first, of each request by its own output, at most {} ms. \
             E2E: arrival to end, at most {} s. Goodput: requests that keep both, per second. Waste: \
             padding, the share of a batch's token positions in which a member is already done.\n",
            sla.token_ms, sla.request_s
        );
    }
    if study.step != Step::Methods {
        text += &load_and_capacity(groups);
    }
    if study.step != Step::Grid {
        for group in groups {
            let rows: Vec<Vec<String>> = group
                .methods
                .iter()
                .enumerate()
                .map(|(at, s)| field_row(description(at, s), s))
                .collect();
            text += &format!(
                "\n### {} requests, methods\n\n{}",
                requests(group),
                pipes(&FIELD, &rows)
            );
        }
    }
    text + "\nAll runs: `two_step_honest.csv`.\n"
}

const FIELD: [&str; 9] = [
    "Method",
    "Keeps up",
    "Served of offered",
    "TPOT kept",
    "E2E kept",
    "TTFT P95 s",
    "E2E P95 s",
    "Goodput/s",
    "Waste",
];

fn field_row(name: String, s: &Summary) -> Vec<String> {
    let h = &s.honest;
    vec![
        name,
        if keeps_up(s) { "yes" } else { "no" }.to_owned(),
        or_dash(served_share(s), percent),
        or_dash(h.sla.token, percent),
        or_dash(h.sla.request, percent),
        or_dash(h.ttft_s.as_ref(), |d| short(d.p95)),
        or_dash(h.e2e_s.as_ref(), |d| short(d.p95)),
        short(h.goodput_requests_per_s),
        or_dash(h.padding_waste, percent),
    ]
}

/// What the published optimum is for, by the field's count: the fewest GPUs, then bins, that keep
/// both SLAs, beside what the published optimum keeps.
fn smallest_good(group: &Group<'_>) -> String {
    let joint = |s: &Summary| s.honest.sla.joint.unwrap_or(0.0);
    let good = group.grid.iter().filter(|s| joint(s) >= GOOD);
    let first = match good.min_by_key(|s| (gpu_count(s), bin_count(s))) {
        Some(s) => format!(
            "the smallest fleet that keeps both SLAs for {} of the requests is {}",
            percent(GOOD),
            fleet(s)
        ),
        None => format!(
            "no run keeps both SLAs for {} of the requests",
            percent(GOOD)
        ),
    };
    let published = optimum(group.grid).map_or_else(String::new, |best| {
        format!(
            "; the published optimum, {}, keeps them for {}",
            fleet(best.run),
            or_dash(best.run.honest.sla.joint, percent)
        )
    });
    format!("- {} requests: {first}{published}.\n", requests(group))
}

fn load_and_capacity(groups: &[Group<'_>]) -> String {
    let mut rows = Vec::new();
    let mut said = String::new();
    for group in groups {
        let (up, saturated): (Vec<&Summary>, Vec<&Summary>) =
            group.grid.iter().partition(|s| keeps_up(s));
        let range = |runs: &[&Summary]| {
            let all = || runs.iter().map(|s| s.honest.served_tokens_per_s);
            let (low, high) = (
                all().fold(f64::INFINITY, f64::min),
                all().fold(0.0, f64::max),
            );
            if runs.is_empty() {
                "-".to_owned()
            } else {
                format!("{} to {}", rounded(low), rounded(high))
            }
        };
        let smallest = up.iter().min_by_key(|s| (gpu_count(s), bin_count(s)));
        let offered = group
            .grid
            .first()
            .and_then(|s| s.honest.offered_tokens_per_s);
        rows.push(vec![
            requests(group),
            or_dash(offered, rounded),
            up.len().to_string(),
            range(&up),
            smallest.map_or_else(|| "-".to_owned(), |s| fleet(s)),
            saturated.len().to_string(),
            range(&saturated),
        ]);
        if let Some(best) = best_by(up.iter().copied(), |s| s.honest.goodput_requests_per_s) {
            said += &format!(
                "- {} requests: among the runs that keep up, {} has the highest goodput, {} requests/s \
                 of {} offered, and keeps both SLAs for {} of the requests.\n",
                requests(group),
                fleet(best),
                short(best.honest.goodput_requests_per_s),
                or_dash(best.honest.offered_requests_per_s, short),
                or_dash(best.honest.sla.joint, percent),
            );
            said += &smallest_good(group);
        } else {
            said += &format!(
                "- {} requests: no fleet of the grid keeps up.\n",
                requests(group)
            );
        }
    }
    let head = [
        "Workload",
        "Offered tokens/s",
        "Runs that keep up",
        "Their tokens/s: the load",
        "Smallest that keeps up",
        "Saturated runs",
        "Their tokens/s: capacity",
    ];
    format!("\n### Load or capacity\n\n{}\n{said}", pipes(&head, &rows))
}
