//! How the field counts the same runs: the table and the section that stand beside the published
//! figures of every study, never among them.

use super::published_columns::{self, Column};
use crate::metrics::Summary;
use crate::metrics::honest::Distribution;
use crate::published::runs::{best_by, method, token_pass};
use crate::report::document::{Cell, Table};
use crate::scenario::TokenRule;
use crate::words::{aligned, or_dash, percent, rule, short};

/// Honest figures of every run, one row each; docs/MODEL.md, "Honest metrics".
pub(super) fn table(runs: &[Summary]) -> Table {
    published_columns::table(&COLUMNS, runs)
}

const COLUMNS: [Column; 26] = [
    ("method_label", |s| method(s).into()),
    ("num_requests", |s| s.workload.rows_replayed.into()),
    ("num_gpus", |s| s.scenario.fleet.gpus.into()),
    ("k_bins", |s| s.scenario.bins.count.into()),
    ("failed_requests", |s| s.honest.failed_replayed.into()),
    ("token_sla_kept", |s| s.honest.sla.token.into()),
    ("request_sla_kept", |s| s.honest.sla.request.into()),
    ("both_slas_kept", |s| s.honest.sla.joint.into()),
    ("goodput_requests_per_s", |s| {
        s.honest.goodput_requests_per_s.into()
    }),
    ("offered_requests_per_s", |s| {
        s.honest.offered_requests_per_s.into()
    }),
    ("served_requests_per_s", |s| {
        s.honest.served_requests_per_s.into()
    }),
    ("offered_tokens_per_s", |s| {
        s.honest.offered_tokens_per_s.into()
    }),
    ("served_tokens_per_s", |s| {
        s.honest.served_tokens_per_s.into()
    }),
    ("output_tokens_per_s", |s| {
        s.honest.output_tokens_per_s.into()
    }),
    ("ttft_p50_s", |s| of(&s.honest.ttft_s, |d| d.p50)),
    ("ttft_p95_s", |s| of(&s.honest.ttft_s, |d| d.p95)),
    ("tpot_p50_ms", |s| of(&s.honest.tpot_ms, |d| d.p50)),
    ("tpot_p95_ms", |s| of(&s.honest.tpot_ms, |d| d.p95)),
    ("e2e_p50_s", |s| of(&s.honest.e2e_s, |d| d.p50)),
    ("e2e_p95_s", |s| of(&s.honest.e2e_s, |d| d.p95)),
    ("e2e_p99_s", |s| of(&s.honest.e2e_s, |d| d.p99)),
    ("padding_waste", |s| s.honest.padding_waste.into()),
    ("gpu_utilization", |s| s.honest.utilization.mean.into()),
    ("backlog_at_last_arrival", |s| {
        s.honest.backlog_at_last_arrival.into()
    }),
    ("batches_over_memory", |s| {
        s.honest.batches_over_memory.into()
    }),
    ("right_bin", |s| {
        s.honest.prediction.and_then(|p| p.bin_accuracy).into()
    }),
];

fn of(distribution: &Option<Distribution>, value: fn(&Distribution) -> f64) -> Cell {
    distribution.as_ref().map(value).into()
}

/// The section "How the field counts the same runs": a table per group of runs, then what differs
/// from the published figures, from the numbers.
pub(super) fn section(groups: &[(String, &[Summary])]) -> String {
    let mut text = rule('=');
    text += "HOW THE FIELD COUNTS THE SAME RUNS\n";
    text += &rule('=');
    text += "\nPer request, with its own output; failed requests are in none of these shares.\n";
    if let Some(first) = groups.iter().find_map(|(_, runs)| runs.first()) {
        let sla = &first.scenario.sla;
        text += &format!(
            "TPOT: time per output token after the first, at most {} ms. E2E: arrival to end, at\n\
             most {} s. Goodput: requests that kept both, per second. Waste: padding, the share of\n\
             a batch's token positions in which a member is already done. Backlog: share of the\n\
             requests not yet in service when the last one arrived.\n",
            sla.token_ms, sla.request_s
        );
    }
    for (title, runs) in groups {
        text += &format!("\n{title}\n\n");
        let rows: Vec<Vec<String>> = runs.iter().map(field_row).collect();
        text += &aligned(
            &[
                "method",
                "TPOT kept",
                "E2E kept",
                "both",
                "TTFT P95 s",
                "TPOT P95 ms",
                "E2E P95 s",
                "goodput/s",
                "waste",
                "backlog",
            ],
            &rows,
        );
        text.push('\n');
        for sentence in differences(runs) {
            text += &format!("- {sentence}\n");
        }
    }
    text
}

fn field_row(s: &Summary) -> Vec<String> {
    let h = &s.honest;
    vec![
        method(s),
        or_dash(h.sla.token, percent),
        or_dash(h.sla.request, percent),
        or_dash(h.sla.joint, percent),
        or_dash(h.ttft_s.as_ref(), |d| short(d.p95)),
        or_dash(h.tpot_ms.as_ref(), |d| short(d.p95)),
        or_dash(h.e2e_s.as_ref(), |d| short(d.p95)),
        short(h.goodput_requests_per_s),
        or_dash(h.padding_waste, percent),
        percent(backlog(s)),
    ]
}

/// Share of the requests not yet in service when the last one arrived.
fn backlog(s: &Summary) -> f64 {
    s.honest.backlog_at_last_arrival as f64 / s.workload.rows_replayed as f64
}

/// The honest share that stands beside the published token SLA: the same promise, counted per
/// request.
fn counterpart(s: &Summary) -> Option<f64> {
    match s.scenario.sla.published_token_rule {
        TokenRule::EndToEnd => s.honest.sla.request,
        TokenRule::BatchTbt | TokenRule::DecodeStep => s.honest.sla.token,
    }
}

/// What the honest figures of a group say otherwise than the published ones.
fn differences(runs: &[Summary]) -> Vec<String> {
    let mut said = Vec::new();
    let rule = runs.first().map(|s| s.scenario.sla.published_token_rule);
    let (promise, how) = match rule {
        Some(TokenRule::EndToEnd) => ("SLA", "without failed requests"),
        _ => ("token SLA", "when it is counted per request"),
    };
    let gap = |s: &Summary| counterpart(s).map_or(0.0, |own| token_pass(s) - own);
    if let Some(widest) = best_by(runs, |s| gap(s).abs())
        && let Some(own) = counterpart(widest)
        && gap(widest).abs() >= 0.001
    {
        said.push(format!(
            "{}: {} keep the {promise} as published, {} {how}: the widest gap.",
            method(widest),
            percent(token_pass(widest)),
            percent(own),
        ));
    }
    let same = |value: fn(&Summary) -> f64| runs.windows(2).all(|w| value(&w[0]) == value(&w[1]));
    if runs.len() > 1 && same(token_pass) && same(|s| s.honest.goodput_requests_per_s) {
        said.push("All methods keep the same share and have the same goodput.".to_owned());
    } else if let (Some(published), Some(honest)) = (
        best_by(runs, token_pass),
        best_by(runs, |s| s.honest.goodput_requests_per_s),
    ) && runs.len() > 1
    {
        let goodput = |s: &Summary| short(s.honest.goodput_requests_per_s);
        said.push(if method(published) == method(honest) {
            format!(
                "{} is best by the published {promise} and by goodput ({}/s).",
                method(honest),
                goodput(honest)
            )
        } else {
            format!(
                "Best by the published {promise} is {} (goodput {}/s); best by goodput is {} \
                 ({}/s).",
                method(published),
                goodput(published),
                method(honest),
                goodput(honest)
            )
        });
    }
    let overloaded: Vec<String> = runs
        .iter()
        .filter(|s| backlog(s) > 0.1)
        .map(method)
        .collect();
    if !overloaded.is_empty() {
        said.push(format!(
            "More than a tenth of the requests still waited at the last arrival under {}: those \
             latencies grow with the length of the trace.",
            overloaded.join(", ")
        ));
    }
    said
}
