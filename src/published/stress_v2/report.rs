//! The reports of stress test v2. Step 2 has the published structure and line forms; every number
//! and every finding comes from the runs.

use super::{BASE_BINS, SlaMode, StressV2};
use crate::metrics::Summary;
use crate::published::field;
use crate::published::runs::{best_by, latency_model, method, request_pass, scheduler, token_pass};
use crate::scenario::Source;
use crate::sched::Policy;
use crate::words::{aligned, gpus, or_dash, percent, rule, short, thousands};

/// The share of requests that the published figure marks as a met request SLA.
const REQUEST_TARGET: f64 = 0.90;

fn requests(runs: &[Summary]) -> u64 {
    runs.first().map_or(0, |s| s.workload.rows_replayed)
}

fn opening(study: &StressV2, groups: &[&[Summary]], title: &str) -> String {
    let mut text = rule('=') + title + "\n" + &rule('=');
    let (token_ms, request_s) = study.sla.limits();
    let mode = match study.sla {
        SlaMode::Strict => "strict",
        SlaMode::Default => "default",
        SlaMode::Loose => "Gemini-Like",
    };
    text += &format!(
        "\nSLA Configuration ({mode}):\n  Token SLA:   {token_ms}ms ({:.0} tok/s minimum)\n  \
         Request SLA: {request_s}s (total latency)\n",
        1e3 / token_ms
    );
    text += "\nLatency Model:\n";
    if let Some(first) = groups.iter().find_map(|runs| runs.first()) {
        text += &latency_model(first);
    }
    text += "  A fit to a constructed table. The published report calls it R\u{b2} = 0.9995, fitted \
             from\n  RTX 4080 + Qwen3 1.7B, and leaves out prompt tokens; no GPU was measured.\n";
    text += "\nRequests:\n";
    match &study.trace {
        Source::File { name, .. } => text += &format!("  {name}\n"),
        Source::Synthetic(_) => {
            text += &format!(
                "  generated trace, seed {} (not BurstGPT itself)\n",
                study.seed
            );
        }
    }
    for runs in groups {
        if let Some(s) = runs.first() {
            text += &format!(
                "  {} requests, {} of them failed: {} requests/s, {} tokens/s offered\n",
                thousands(requests(runs)),
                thousands(s.workload.rows_failed),
                or_dash(s.workload.offered_requests_per_s, short),
                or_dash(s.workload.offered_tokens_per_s, short),
            );
        }
    }
    text
}

fn field_section(groups: &[&[Summary]]) -> String {
    let groups: Vec<(String, &[Summary])> = groups
        .iter()
        .map(|&runs| (format!("{} requests", thousands(requests(runs))), runs))
        .collect();
    field::section(&groups)
}

pub(super) fn comparison(study: &StressV2, groups: &[&[Summary]]) -> String {
    let mut text = opening(study, groups, "STRESS TEST v2 RESULTS SUMMARY");
    for runs in groups {
        text += &format!(
            "\n{}{} REQUESTS\n{}",
            rule('-'),
            thousands(requests(runs)),
            rule('-')
        );
        for s in *runs {
            text += &format!(
                "\n{}:\n  Token SLA Pass:    {:>6}\n  Request SLA Pass:  {:>6}\n  \
                 Avg TBT:            {:.1} ms\n  P95 TBT:            {:.1} ms\n  \
                 GPU Utilization:   {:>6}\n",
                method(s),
                percent(token_pass(s)),
                percent(request_pass(s)),
                s.published().avg_tbt_ms,
                s.published().p95_tbt_ms,
                percent(s.published().gpu_utilization_mean),
            );
        }
    }
    text += &format!("\n{}KEY FINDINGS\n{}\n", rule('='), rule('='));
    text += &token_finding(groups);
    text.push('\n');
    text += &request_finding(study, groups);
    text.push('\n');
    text += &tbt_finding(groups);
    text += "\nTBT and the token SLA above are as published: the service time of a batch over its \
             longest\noutput, credited to every member, failed requests included.\n\n";
    text += &field_section(groups);
    text
}

/// Static batching and multi-bin on one GPU, which the published findings compare.
fn rivals(runs: &[Summary]) -> Option<(&Summary, &Summary)> {
    let one = |policy, bins| {
        runs.iter().find(|s| {
            s.scenario.fleet.gpus == 1
                && s.scenario.policy() == Some(policy)
                && s.scenario.bins.count == bins
        })
    };
    Some((
        one(Policy::StaticFifo, 1)?,
        one(Policy::MultiBinDynamic, BASE_BINS)?,
    ))
}

/// "IMPROVEMENT" where all changes are up, "LOSS" where all are down, else "COMPARISON".
fn verdict(changes: &[f64], up: &'static str, down: &'static str) -> &'static str {
    if changes.is_empty() {
        "COMPARISON"
    } else if changes.iter().all(|&x| x > 0.0) {
        up
    } else if changes.iter().all(|&x| x < 0.0) {
        down
    } else {
        "COMPARISON"
    }
}

fn token_finding(groups: &[&[Summary]]) -> String {
    let mut lines = String::new();
    let mut changes = Vec::new();
    for (fixed, bins) in groups.iter().filter_map(|runs| rivals(runs)) {
        let (before, after) = (token_pass(fixed), token_pass(bins));
        changes.push(after - before);
        lines += &format!(
            "   {} req: {} ({}) vs Static ({})\n             \u{2192} ",
            thousands(fixed.workload.rows_replayed),
            scheduler(bins),
            percent(after),
            percent(before),
        );
        lines += &if before == 0.0 && after == 0.0 {
            "neither keeps it for any request\n".to_owned()
        } else if before == 0.0 {
            "static batching keeps it for no request\n".to_owned()
        } else {
            let ratio = after / before;
            let what = match ratio {
                r if r > 1.0 => "improvement",
                r if r < 1.0 => "as many: worse than static batching",
                _ => "as many: no change",
            };
            format!("{ratio:.2}x {what}\n")
        };
    }
    let title = verdict(&changes, "IMPROVEMENT", "LOSS");
    format!("1. TOKEN SLA {title}:\n{lines}")
}

fn request_finding(study: &StressV2, groups: &[&[Summary]]) -> String {
    let (_, limit) = study.sla.limits();
    let target = percent(REQUEST_TARGET);
    let named = |s: &Summary| format!("{} req {}", thousands(s.workload.rows_replayed), method(s));
    let all = || groups.iter().flat_map(|runs| runs.iter());
    let single = || all().filter(|s| s.scenario.fleet.gpus == 1);
    let meets = |s: &&Summary| request_pass(s) >= REQUEST_TARGET;
    let mut lines = String::new();
    let meeting: Vec<String> = single().filter(meets).map(named).collect();
    if meeting.is_empty() {
        lines += &format!(
            "   No single GPU configuration meets the {limit}s Request SLA for {target} of the \
             requests;\n"
        );
    } else if meeting.len() == single().count() {
        lines += &format!(
            "   Every single GPU configuration meets the {limit}s Request SLA for {target} of the \
             requests;\n"
        );
    } else {
        lines += &format!(
            "   {} of {} single GPU runs meet the {limit}s Request SLA for {target} of the \
             requests;\n",
            meeting.len(),
            single().count()
        );
    }
    if let Some(best) = best_by(single(), request_pass) {
        lines += &format!(
            "   the best is {} with {}.\n",
            named(best),
            percent(request_pass(best))
        );
    }
    let best_single = best_by(single(), request_pass).map_or(0.0, request_pass);
    let mut fleets: Vec<(u32, String)> = all()
        .map(|s| (s.scenario.fleet.gpus, scheduler(s)))
        .filter(|&(n, _)| n > 1)
        .collect();
    fleets.sort();
    fleets.dedup();
    for (n, name) in fleets {
        let shares: Vec<f64> = all()
            .filter(|s| s.scenario.fleet.gpus == n && scheduler(s) == name)
            .map(request_pass)
            .collect();
        let low = shares.iter().copied().fold(1.0, f64::min);
        let high = shares.iter().copied().fold(0.0, f64::max);
        let verb = if low >= REQUEST_TARGET {
            "achieves"
        } else if high > best_single {
            "reaches"
        } else {
            "does not help: it reaches"
        };
        let range = if percent(low) == percent(high) {
            percent(low)
        } else {
            format!("{} to {}", percent(low), percent(high))
        };
        lines += &format!(
            "   Multi-GPU scaling ({}, {name}) {verb} {range} Request SLA compliance.\n",
            gpus(n)
        );
    }
    let fleets: Vec<f64> = groups
        .iter()
        .filter_map(|runs| {
            let pass = |multi: bool| {
                let of = runs.iter().filter(|s| (s.scenario.fleet.gpus > 1) == multi);
                best_by(of, request_pass).map(request_pass)
            };
            Some(pass(true)? - pass(false)?)
        })
        .collect();
    let title = verdict(&fleets, "IMPROVEMENT", "LOSS");
    format!("2. REQUEST SLA {title}:\n{lines}")
}

fn tbt_finding(groups: &[&[Summary]]) -> String {
    let mut lines = String::new();
    let mut changes = Vec::new();
    for (fixed, bins) in groups.iter().filter_map(|runs| rivals(runs)) {
        let (before, after) = (fixed.published().avg_tbt_ms, bins.published().avg_tbt_ms);
        changes.push(before - after);
        let change = if before == 0.0 {
            "no base to compare with".to_owned()
        } else {
            let percent = (before - after) / before * 100.0;
            let word = if percent < 0.0 {
                "increase"
            } else {
                "reduction"
            };
            format!("{:.1} % {word}", percent.abs())
        };
        lines += &format!(
            "   {} req: {before:.1}ms \u{2192} {after:.1}ms ({change})\n",
            thousands(fixed.workload.rows_replayed),
        );
    }
    let title = verdict(&changes, "REDUCTION", "INCREASE");
    format!("3. TBT {title}:\n{lines}")
}

pub(super) fn grid(study: &StressV2, groups: &[&[Summary]]) -> String {
    let mut text = opening(
        study,
        groups,
        "STRESS TEST v2, STEP 1: GRID OF GPUS AND BINS",
    );
    for runs in groups {
        text += &format!(
            "\n{}{} REQUESTS\n{}",
            rule('-'),
            thousands(requests(runs)),
            rule('-')
        );
        for (title, value) in [
            (
                "Published capacity (requests/s without token violation)",
                (|s| s.published().capacity_qps_under_sla) as fn(&Summary) -> f64,
            ),
            (
                "Honest goodput (requests/s that keep both SLAs, by their own outputs)",
                |s| s.honest.goodput_requests_per_s,
            ),
        ] {
            text += &format!("\n{title}\n\n{}", matrix(study, runs, value));
            if let Some(best) = best_by(*runs, value) {
                text += &format!("Best: {} with {}/s\n", method(best), short(value(best)));
            }
        }
    }
    text.push('\n');
    text += &field_section(groups);
    text
}

/// GPUs down, bins across.
fn matrix(study: &StressV2, runs: &[Summary], value: fn(&Summary) -> f64) -> String {
    let names: Vec<String> = study.bin_counts.iter().map(|k| format!("K={k}")).collect();
    let header: Vec<&str> = std::iter::once("GPUs")
        .chain(names.iter().map(String::as_str))
        .collect();
    let rows: Vec<Vec<String>> = runs
        .chunk_by(|a, b| a.scenario.fleet.gpus == b.scenario.fleet.gpus)
        .map(|row| {
            let gpus = row.first().map_or(0, |s| s.scenario.fleet.gpus);
            std::iter::once(gpus.to_string())
                .chain(row.iter().map(|s| short(value(s))))
                .collect()
        })
        .collect();
    aligned(&header, &rows)
}
