//! The report of the three-step study. The published one is a note about the program; this one has
//! its three steps and key findings, all from the runs.

use super::analysis::{fleet, honest_bins, honest_scaling, key_findings, qps, violations};
use super::{StepRuns, ThreeStep, analysis};
use crate::metrics::Summary;
use crate::published::field;
use crate::published::runs::{latency_model, method};
use crate::scenario::Source;
use crate::words::{aligned, gpus, or_dash, percent, rule, short, thousands};

pub(super) fn report(study: &ThreeStep, steps: StepRuns) -> String {
    let mut text = opening(study, steps);
    text += &format!(
        "\n{}KEY FINDINGS (AS PUBLISHED)\n{}\n",
        rule('='),
        rule('=')
    );
    for (i, finding) in (1..).zip(key_findings(steps)) {
        text += &format!("{i}. {finding}.\n");
    }
    text += "\nA violation is a completion later than arrival + SLA, failed requests included; there \
             is no\nnormalised space. QPS is requests without violation per second.\n";
    if let Some(base) = steps.gpus.first()
        && violations(base) > 50.0
        && analysis::scaling(steps.gpus)
            .iter()
            .any(|x| x.efficiency > 1.05)
    {
        text += &format!(
            "Efficiencies above 100 % compare with a fleet that fails most requests: on {} {:.2} % \
             are\nviolations.\n",
            gpus(fleet(base)),
            violations(base),
        );
    }
    let few = |s: &Summary| violations(s) > 99.0;
    if analysis::by_count(steps.requests)
        .into_iter()
        .filter_map(analysis::rivals)
        .any(|r| few(r.fixed) || few(r.dynamic))
    {
        text += "A QPS ratio against a method that keeps the SLA for less than 1 % of its requests says \
                 how\nfew those are, not how much faster the other is; compare the served/s below.\n";
    }
    for (title, runs) in [
        ("STEP 1: REQUEST SCALING", steps.requests),
        ("STEP 2: GPU SCALING", steps.gpus),
        ("STEP 3: K-BINS SENSITIVITY", steps.bins),
    ] {
        if !runs.is_empty() {
            text += &format!("\n{}{title}\n{}\n", rule('-'), rule('-'));
            text += &published_table(runs);
        }
    }
    text.push('\n');
    text += &field_section(steps);
    text
}

fn opening(study: &ThreeStep, steps: StepRuns) -> String {
    let runs = steps.named().map(|(_, runs)| runs.len());
    let mut text = rule('=') + "3-STEP COMPREHENSIVE STRESS TEST\n" + &rule('=');
    text += &format!(
        "\nSLA: {} s from arrival to the end of the request; target of the controllers too\n",
        study.d_sla_s
    );
    text += &format!(
        "Arrivals: {}\n",
        if study.use_real_timestamps {
            "at the trace's own pace".to_owned()
        } else {
            format!("{} times as fast as the trace", study.rps_scaling)
        }
    );
    text += &match &study.trace {
        Source::File { name, .. } => format!("Requests: {name}\n"),
        Source::Synthetic(_) => format!(
            "Requests: generated trace, seed {} (not BurstGPT itself)\n",
            study.seed
        ),
    };
    text += &format!(
        "Runs: {} + {} + {} = {}\n",
        runs[0],
        runs[1],
        runs[2],
        runs.iter().sum::<usize>()
    );
    if let Some(first) = steps.named().iter().find_map(|(_, runs)| runs.first()) {
        text += "\nLatency model (the first grid, generated from this formula, not measured):\n";
        text += &latency_model(first);
    }
    text
}

fn published_table(runs: &[Summary]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|s| {
            let p = s.published();
            vec![
                method(s),
                thousands(s.workload.rows_replayed),
                or_dash(s.workload.offered_requests_per_s, short),
                short(p.requests_per_s),
                format!("{:.2} %", violations(s)),
                short(qps(s)),
                short(p.avg_latency_s),
                short(p.p95_latency_s),
                percent(p.gpu_utilization_mean),
                short(p.avg_batch),
                p.max_batch.to_string(),
            ]
        })
        .collect();
    aligned(
        &[
            "method",
            "requests",
            "offered/s",
            "served/s",
            "violations",
            "QPS",
            "mean s",
            "P95 s",
            "GPUs busy",
            "mean batch",
            "largest",
        ],
        &rows,
    )
}

fn field_section(steps: StepRuns) -> String {
    let mut groups: Vec<(String, &[Summary])> = analysis::by_count(steps.requests)
        .into_iter()
        .map(|runs| {
            let title = format!("Step 1, {} requests", thousands(analysis::requests(runs)));
            (title, runs)
        })
        .collect();
    for (step, runs) in [("Step 2", steps.gpus), ("Step 3", steps.bins)] {
        if !runs.is_empty() {
            let title = format!("{step}, {} requests", thousands(analysis::requests(runs)));
            groups.push((title, runs));
        }
    }
    let mut text = field::section(&groups);
    text.push('\n');
    let counts = analysis::by_count(steps.requests);
    if let [_, .., _] = counts.as_slice() {
        let rates: Vec<String> = counts
            .iter()
            .filter_map(|runs| runs.first()?.workload.offered_requests_per_s)
            .map(short)
            .collect();
        text += &format!(
            "- Step 1 changes the arrival rate with the number of requests: {} requests/s.\n",
            rates.join(", ")
        );
    }
    if let Some(sentence) = honest_scaling(steps.gpus) {
        text += &format!("- Step 2: {sentence}\n");
    }
    if let Some(sentence) = honest_bins(steps.bins) {
        text += &format!("- Step 3: {sentence}\n");
    }
    text
}
