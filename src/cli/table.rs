//! Results as text for a person: at most four significant digits, units beside every number.

use comfy_table::{CellAlignment, LineStyle, Table, presets};

use crate::experiment::capacity::{Estimate, Fewest, Highest, HighestRate, Probe, Promise, Which};
#[cfg(feature = "gpu")]
use crate::gpu::check::Checked;
#[cfg(feature = "gpu")]
use crate::latency::calibration::Adapter;
use crate::latency::fit::Fit;
use crate::metrics::honest::Distribution;
use crate::metrics::{Continuous, Summary};
use crate::report::document::{self, Cell};
use crate::scenario::{ClosedLoop, Engine, Source};
use crate::sched::Closed;
use crate::sched::continuous::Order;
use crate::sched::memory::Memory;
use crate::trace::{LengthStats, ReadReport, Stats};
use crate::words::{self, counted};
use crate::{Scenario, Trace};

/// Four significant digits, or "-" for what does not exist.
pub fn short(value: impl Into<Option<f64>>) -> String {
    words::or_dash(value.into(), words::significant)
}

pub fn percent(share: impl Into<Option<f64>>) -> String {
    words::or_dash(share.into(), words::percent)
}

pub fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    // Rules around the header and at the end, none between the rows.
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(header.to_vec());
    for i in 1..header.len() {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A study's table for a screen: its rows side by side, so that many columns fit.
pub fn turned(table: &document::Table) -> String {
    let name = |i: usize| table.columns.get(i).map_or("", String::as_str);
    let cell = |row: &[Cell], i: usize| match row.get(i) {
        Some(Cell::Text(text)) => text.clone(),
        Some(Cell::Whole(n)) => n.to_string(),
        Some(Cell::Number(x)) => short(*x),
        Some(Cell::NotModelled) => "not modelled".to_owned(),
        Some(Cell::Empty) | None => String::new(),
    };
    let line = |i: usize| {
        let values = table.rows.iter().map(move |row| cell(row, i));
        std::iter::once(name(i).to_owned()).chain(values)
    };
    let header: Vec<String> = line(0).collect();
    let mut out = new_table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for i in 1..table.columns.len() {
        out.add_row(line(i));
    }
    format!("{out}\n")
}

/// The table of `batchscope adapters`: a column for each, by its number.
#[cfg(feature = "gpu")]
pub fn adapters(list: &[(usize, Adapter)]) -> String {
    let numbers: Vec<String> = list.iter().map(|(number, _)| number.to_string()).collect();
    let mut header = vec!["adapter"];
    header.extend(numbers.iter().map(String::as_str));
    let mut out = new_table(&header);
    fn yes(is: bool) -> String {
        if is { "yes" } else { "no" }.to_owned()
    }
    type Property = fn(&Adapter) -> String;
    let lines: [(&str, Property); 9] = [
        ("name", |a| a.name.clone()),
        ("kind", |a| {
            if a.software { "software" } else { "GPU" }.to_owned()
        }),
        ("backend", |a| a.backend.clone()),
        ("driver", |a| a.driver.clone()),
        ("subgroups", |a| {
            match (a.subgroups, a.subgroup_min, a.subgroup_max) {
                (false, ..) => "no".to_owned(),
                (true, min, max) if min == max => format!("of {min}"),
                (true, min, max) => format!("of {min} to {max}"),
            }
        }),
        ("f16", |a| yes(a.shader_f16)),
        ("timestamps", |a| yes(a.timestamps)),
        ("largest buffer (GB)", |a| {
            short(a.max_buffer_bytes as f64 / 1e9)
        }),
        ("seen at once (GB)", |a| {
            short(a.max_binding_bytes as f64 / 1e9)
        }),
    ];
    for (name, value) in lines {
        let values = list.iter().map(|(_, adapter)| value(adapter));
        out.add_row(std::iter::once(name.to_owned()).chain(values));
    }
    format!("{out}\n")
}

/// The table of `batchscope adapters --check`.
#[cfg(feature = "gpu")]
pub fn checked(list: &[Checked]) -> String {
    let mut out = new_table(&["kernel", "cases", "worst error", "allowed"]);
    for one in list {
        let error = |error: f64| match error {
            0.0 => "0".to_owned(),
            error => format!("{error:.1e}"),
        };
        out.add_row([
            one.kernel.clone(),
            one.cases.to_string(),
            error(one.worst_error),
            error(one.tolerance),
        ]);
    }
    format!("{out}\n")
}

/// The table of `batchscope run`.
pub fn outcome(s: &Summary, read: &ReadReport) -> String {
    let w = &s.workload;
    if let Some(continuous) = &s.continuous {
        return served(s, continuous, read);
    }
    let (p, h) = (s.published(), &s.honest);
    let closed_loop = s.scenario.workload.closed_loop;
    let mut text = format!(
        "{}: {} of {} replayed {} on {}, {}\n",
        w.trace,
        w.rows_replayed,
        counted(w.rows_in_trace, "row"),
        match &closed_loop {
            Some(users) => format!("by {}", sent_by(users)),
            None => format!("at {} requests/s", short(w.offered_requests_per_s)),
        },
        counted(s.scenario.fleet.gpus, "GPU"),
        policy(&s.scenario, s.bins.len()),
    );
    text += &repairs(read);
    text += &format!(
        "{} failed in the log ({} served all the same, {} left out)\n\n",
        counted(w.rows_failed, "row"),
        h.failed_replayed,
        h.failed_dropped
    );

    let mut table = new_table(&["", "as published", "honest"]);
    let latency = |pick: fn(&Distribution) -> f64| short(h.e2e_s.as_ref().map(pick));
    let requests = (p.requests_per_s * p.makespan_s).round();
    let met = |violations: u64| percent(1.0 - violations as f64 / requests);
    let first_token = s.scenario.sla.ttft_s.map(|ttft| {
        [
            format!("first token within {ttft} s"),
            "-".to_owned(),
            percent(h.sla.ttft),
        ]
    });
    let both = match first_token {
        Some(_) => "all met",
        None => "both met",
    };
    for row in [
        [
            format!("token SLA ({} ms) met", s.scenario.sla.token_ms),
            met(p.token_violations),
            percent(h.sla.token),
        ],
        [
            format!("request SLA ({} s) met", s.scenario.sla.request_s),
            met(p.request_violations),
            percent(h.sla.request),
        ],
    ]
    .into_iter()
    .chain(first_token)
    .chain([
        [both.to_owned(), "-".to_owned(), percent(h.sla.joint)],
        [
            "time per output token, mean (ms)".to_owned(),
            short(p.avg_tbt_ms),
            short(h.tpot_ms.as_ref().map(|d| d.mean)),
        ],
        [
            "time per output token, P95 (ms)".to_owned(),
            short(p.p95_tbt_ms),
            short(h.tpot_ms.as_ref().map(|d| d.p95)),
        ],
        [
            "time per output token, P99 (ms)".to_owned(),
            short(p.p99_tbt_ms),
            short(h.tpot_ms.as_ref().map(|d| d.p99)),
        ],
        [
            "latency, mean (s)".to_owned(),
            short(p.avg_latency_s),
            latency(|d| d.mean),
        ],
        [
            "latency, P50 (s)".to_owned(),
            short(p.p50_latency_s),
            latency(|d| d.p50),
        ],
        [
            "latency, P95 (s)".to_owned(),
            short(p.p95_latency_s),
            latency(|d| d.p95),
        ],
        [
            "latency, P99 (s)".to_owned(),
            short(p.p99_latency_s),
            latency(|d| d.p99),
        ],
        [
            "time to first token, P95 (s)".to_owned(),
            "-".to_owned(),
            short(h.ttft_s.as_ref().map(|d| d.p95)),
        ],
        [
            "queueing, mean (s)".to_owned(),
            short(p.avg_queueing_s),
            short(h.queueing_s.as_ref().map(|d| d.mean)),
        ],
        [
            "requests/s within the token SLA".to_owned(),
            short(p.capacity_qps_under_sla),
            "-".to_owned(),
        ],
        [
            "requests/s within every SLA".to_owned(),
            "-".to_owned(),
            short(h.goodput_requests_per_s),
        ],
        [
            "requests/s served".to_owned(),
            short(p.requests_per_s),
            short(h.served_requests_per_s),
        ],
        [
            "tokens/s served".to_owned(),
            short(p.tokens_per_s),
            short(h.served_tokens_per_s),
        ],
        [
            "tokens/s offered".to_owned(),
            "-".to_owned(),
            short(h.offered_tokens_per_s),
        ],
        [
            "GPU utilisation, mean".to_owned(),
            percent(p.gpu_utilization_mean),
            percent(h.utilization.mean),
        ],
        [
            "padding waste".to_owned(),
            "-".to_owned(),
            percent(h.padding_waste),
        ],
    ]) {
        table.add_row(row);
    }
    text += &format!("{table}\n\n");
    text += &format!(
        "{}, {} requests on average, {} at most; {} s from first arrival to last end\n",
        counted(p.batches, "batch"),
        short(p.avg_batch),
        p.max_batch,
        short(p.makespan_s)
    );
    if let Some(users) = &closed_loop {
        text += &format!(
            "{} of {} waiting for an answer, as a time average; the others were thinking or done\n",
            short(h.mean_in_system),
            counted(users.users, "user")
        );
    } else {
        text += &backlog(h.backlog_at_last_arrival);
    }
    let scenario = &s.scenario;
    let two_machines =
        |closed: &Closed| closed.latency.linear().is_none() && closed.memory == Memory::default();
    if scenario.closed().is_some_and(two_machines) {
        text += "caution (two-machines): the steps are given, and the memory is that of the published studies; set memory, or \
                 give a model and its hardware\n";
    }
    let outside = h.outside_measurements.unwrap_or(0);
    if outside > 0 {
        text += &format!(
            "caution (outside-measurements): {} a step beyond what the latency model was measured for\n",
            match outside {
                1 => "1 batch has".to_owned(),
                n => format!("{n} batches have"),
            }
        );
    }
    if h.batches_over_memory > 0 {
        text += &format!(
            "{} the memory that the scenario gives a GPU; a real server would have failed\n",
            match h.batches_over_memory {
                1 => "1 batch exceeds".to_owned(),
                n => format!("{n} batches exceed"),
            }
        );
    }
    if let Some(share) = h.prediction.and_then(|p| p.bin_accuracy) {
        text += &format!(
            "the predictor found the right bin for {} of the requests\n",
            percent(share)
        );
    }
    text + "why the columns differ: docs/MODEL.md; what is wrong with the published ones: docs/ERRATA.md\n"
}

/// The table of `batchscope run` with continuous batching.
fn served(s: &Summary, c: &Continuous, read: &ReadReport) -> String {
    let (w, h) = (&s.workload, &s.honest);
    let mut text = format!(
        "{}: {} of {} replayed {} on {}, {}\n",
        w.trace,
        w.rows_replayed,
        counted(w.rows_in_trace, "row"),
        match &s.scenario.workload.closed_loop {
            Some(users) => format!("by {}", sent_by(users)),
            None => format!("at {} requests/s", short(w.offered_requests_per_s)),
        },
        counted(s.scenario.replicas(), "replica"),
        policy(&s.scenario, s.bins.len()),
    );
    text += &repairs(read);
    text += &format!(
        "{} failed in the log and left out\n\n",
        counted(w.rows_failed, "row")
    );
    let mut table = new_table(&["", "mean", "P50", "P90", "P95", "P99", "P99.9", "max"]);
    for (what, distribution) in [
        ("queueing (s)", &h.queueing_s),
        ("time to first token (s)", &h.ttft_s),
        ("time between tokens (ms)", &c.tbt_ms),
        ("time per output token (ms)", &h.tpot_ms),
        ("latency (s)", &h.e2e_s),
    ] {
        let values = match distribution {
            Some(d) => [d.mean, d.p50, d.p90, d.p95, d.p99, d.p999, d.max].map(short),
            None => std::array::from_fn(|_| "-".to_owned()),
        };
        table.add_row(std::iter::once(what.to_owned()).chain(values));
    }
    text += &format!("{table}\n\n");
    let mut table = new_table(&["", ""]);
    let sla = &s.scenario.sla;
    let mut rows = vec![
        (
            format!("token SLA ({} ms) met", sla.token_ms),
            percent(h.sla.token),
        ),
        (
            format!("gaps within {} ms", sla.token_ms),
            percent(c.tbt_within_sla),
        ),
        (
            format!("request SLA ({} s) met", sla.request_s),
            percent(h.sla.request),
        ),
    ];
    if let Some(ttft) = sla.ttft_s {
        rows.push((format!("first token within {ttft} s"), percent(h.sla.ttft)));
    }
    rows.push(("all met".to_owned(), percent(h.sla.joint)));
    rows.push((
        "requests/s within every SLA".to_owned(),
        short(h.goodput_requests_per_s),
    ));
    rows.push((
        "requests/s served".to_owned(),
        short(h.served_requests_per_s),
    ));
    rows.push(("output tokens/s".to_owned(), short(h.output_tokens_per_s)));
    rows.push((
        "replicas busy, mean".to_owned(),
        percent(h.utilization.mean),
    ));
    if let (Some(mfu), Some(mbu)) = (c.mfu, c.mbu) {
        rows.push((
            "of the peaks: arithmetic, bandwidth".to_owned(),
            format!("{}, {}", percent(mfu), percent(mbu)),
        ));
    }
    rows.push((
        "decoding sequences in a step, mean".to_owned(),
        short(c.mean_batch),
    ));
    rows.push((
        "prompt tokens in a step, mean".to_owned(),
        short(c.mean_prompt_tokens),
    ));
    rows.push((
        "KV cache of a replica, peak".to_owned(),
        match c.kv.blocks {
            Some(blocks) => format!(
                "{} of {blocks} blocks, {} tokens",
                c.kv.peak_blocks, c.kv.peak_tokens
            ),
            None => format!("{} tokens, no limit", c.kv.peak_tokens),
        },
    ));
    rows.push((
        "preemptions".to_owned(),
        if c.swapped_blocks > 0 {
            format!("{}, {} blocks copied", c.preemptions, c.swapped_blocks)
        } else {
            format!(
                "{}, {} tokens computed again",
                c.preemptions, c.recomputed_tokens
            )
        },
    ));
    rows.push((
        "prefix cache".to_owned(),
        match &c.prefix {
            Some(p) => format!(
                "{} of the prompt tokens found, {} evicted",
                percent(p.hit_rate),
                counted(p.evictions, "block")
            ),
            None => "off".to_owned(),
        },
    ));
    if let Some(speculative) = &c.speculative {
        rows.push((
            "proposed tokens accepted".to_owned(),
            percent(speculative.accept_rate),
        ));
    }
    rows.push((
        "rejected, too long, timed out".to_owned(),
        format!("{}, {}, {}", c.rejected, c.too_long, c.timed_out),
    ));
    for (what, value) in rows {
        table.add_row([what, value]);
    }
    text += &format!(
        "{table}\n\n{} s from first arrival to last end\n",
        short(h.makespan_s)
    );
    let shown: Vec<String> = [
        ("TTFT mean", "honest.ttft_s.mean", "s"),
        ("TTFT P99", "honest.ttft_s.p99", "s"),
        ("TPOT mean", "honest.tpot_ms.mean", "ms"),
        ("latency P99", "honest.e2e_s.p99", "s"),
        ("goodput", "honest.goodput_requests_per_s", "requests/s"),
    ]
    .into_iter()
    .map(|(what, figure, unit)| {
        let mut intervals = c.statistics.intervals.iter();
        match intervals.find(|i| i.figure == figure) {
            Some(found) => format!(
                "{what} {} to {} {unit}",
                short(found.low),
                short(found.high)
            ),
            None => format!("{what} -"),
        }
    })
    .collect();
    text += &if c.statistics.intervals.is_empty() {
        "95 % intervals: not enough data\n".to_owned()
    } else {
        format!(
            "95 % intervals by {} parts of the run: {} (all with --json; -: not enough data)\n",
            c.statistics.parts,
            shown.join(", ")
        )
    };
    if c.statistics.warmup_requests > 0 {
        text += &format!(
            "{} at the beginning left out as warm-up\n",
            counted(c.statistics.warmup_requests, "request")
        );
    }
    for warning in &c.statistics.warnings {
        text += &format!("caution ({}): {}\n", warning.code, warning.message);
    }
    text += &backlog(h.backlog_at_last_arrival);
    if let Some(share) = h.prediction.and_then(|p| p.bin_accuracy) {
        text += &format!(
            "the predictor found the right bin for {} of the requests\n",
            percent(share)
        );
    }
    text
}

/// "10 users with 5 requests each, thinking 0.5 to 2 s".
fn sent_by(users: &ClosedLoop) -> String {
    let (least, most) = (users.think_min_s, users.think_max_s);
    let think = if users.requests_per_user == 1 {
        String::new()
    } else if most == 0.0 {
        ", without a pause".to_owned()
    } else if least == most {
        format!(", thinking {least} s")
    } else {
        format!(", thinking {least} to {most} s")
    };
    format!(
        "{} with {} each{think},",
        counted(users.users, "user"),
        counted(users.requests_per_user, "request")
    )
}

/// Who waited when the last request arrived. In overload they are many, and latencies grow with the length of the
/// trace; whether it is one is for the cautions to say.
fn backlog(requests: u64) -> String {
    match requests {
        0 => String::new(),
        1 => "1 request was still waiting when the last one arrived\n".to_owned(),
        n => format!("{n} requests were still waiting when the last one arrived\n"),
    }
}

/// A choice by its JSON name.
pub fn name(choice: impl serde::Serialize) -> String {
    serde_json::to_value(choice)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The policy by its JSON name, with K where it has bins.
fn policy(s: &Scenario, bins: usize) -> String {
    let name = match &s.engine {
        Engine::Closed(closed) => name(closed.policy),
        Engine::Continuous(server) => {
            let order = match server.order {
                Order::Fcfs => String::new(),
                order => format!(", {}", name(order)),
            };
            format!("continuous batching ({}{order})", name(server.rule))
        }
    };
    match bins {
        0 => name,
        bins => format!("{name} with {}", counted(bins as u64, "bin")),
    }
}

fn repairs(read: &ReadReport) -> String {
    let mut text = String::new();
    if read.rows_sorted > 0 {
        text += &format!(
            "{} out of time order, now sorted\n",
            counted(read.rows_sorted, "row")
        );
    }
    if read.rows_blank > 0 {
        text += &format!("{} passed over\n", counted(read.rows_blank, "blank row"));
    }
    text
}

/// The table of `batchscope trace stats`.
pub fn stats(trace: &Trace, s: &Stats) -> String {
    let mut text = format!("{} ({})\n", trace.name, trace.report.format);
    text += &repairs(&trace.report);
    let mut table = new_table(&["arrivals", ""]);
    for (what, value) in [
        ("requests", s.requests.to_string()),
        ("span (s)", short(s.span_s)),
        ("mean rate (1/s)", short(s.mean_per_s)),
        ("most in 1 s", s.peak_1s.to_string()),
        ("most in 60 s (1/s)", short(s.peak_60s_per_s)),
        ("index of dispersion, 1 s", short(s.iod_1s)),
        ("index of dispersion, 60 s", short(s.iod_60s)),
        ("CV of gaps", short(s.cv_gap)),
        (
            "failed (0 output tokens)",
            format!("{:.2} %", s.failed_share * 100.0),
        ),
        (
            "prefix blocks already seen",
            s.prefix_hit_ratio
                .map_or_else(|| "no prefix blocks".to_owned(), short),
        ),
    ] {
        table.add_row([what.to_owned(), value]);
    }
    for label in s.models.iter().chain(&s.log_types) {
        table.add_row([label.name.clone(), label.requests.to_string()]);
    }
    text += &format!("{table}\n\n");
    let mut table = new_table(&["tokens", "mean", "P50", "P90", "P95", "P99", "max"]);
    let row = |name: &str, l: &LengthStats| {
        [name.to_owned()]
            .into_iter()
            .chain([l.mean, l.p50, l.p90, l.p95, l.p99].map(short))
            .chain([l.max.to_string()])
            .collect::<Vec<_>>()
    };
    table.add_row(row("prompt", &s.prompt));
    table.add_row(row("output", &s.output));
    text + &format!("{table}\n")
}

/// The table of `batchscope fit`.
pub fn fit(f: &Fit) -> String {
    let mut table = new_table(&["", "value", "95 % from", "to"]);
    let row = |name: &str, value: f64, [low, high]: [f64; 2]| {
        [
            name.to_owned(),
            format!("{value:.8}"),
            format!("{low:.8}"),
            format!("{high:.8}"),
        ]
    };
    table.add_row(row("alpha (s)", f.model.alpha_s, f.alpha_s_interval));
    table.add_row(row(
        "beta (s/token)",
        f.model.beta_s_per_token,
        f.beta_s_per_token_interval,
    ));
    table.add_row(row("gamma", f.model.gamma, f.gamma_interval));
    let mut text = format!(
        "T(b, L) = alpha + beta L (1 + gamma (b - 1) / b)\n{table}\n\nR2 {:.8} over {} points, RMSE {} s, worst {} off\n",
        f.r2,
        f.points,
        short(f.rmse_s),
        percent(f.worst_relative_error),
    );
    if f.gamma_may_be_zero() {
        text += "gamma is 0 within its error; a scenario takes 0, and nothing below\n";
    }
    if !f.outside_published_bounds.is_empty() {
        text += &format!(
            "outside the bounds of the published fit: {}\n",
            f.outside_published_bounds.join(", ")
        );
    }
    text
}

/// The table of `batchscope capacity`.
pub fn highest_rate(found: &HighestRate, scenario: &Scenario, promise: &Promise) -> String {
    let mut text = format!(
        "highest rate at which {} on {}, {}\n",
        promised(promise),
        counted(scenario.fleet.gpus, "GPU"),
        policy(
            scenario,
            if scenario.has_bins() {
                scenario.bins.count as usize
            } else {
                0
            }
        ),
    );
    let mut table = new_table(&[
        "",
        "",
        "requests/s",
        "attainment",
        "utilisation",
        "backlog",
        "requests",
    ]);
    let mut row = |of: String, highest: &Highest| {
        let (what, probe) = match highest {
            Highest::Found(probe) => ("highest", probe),
            Highest::Never(probe) => ("fails even at", probe),
            Highest::Unbounded(probe) => ("holds even at", probe),
        };
        table.add_row([
            of,
            what.to_owned(),
            short(probe.rate_per_s),
            percent(probe.attainment),
            percent(probe.utilization),
            probe.backlog.to_string(),
            probe.requests.to_string(),
        ]);
    };
    let from_file = matches!(scenario.trace, Source::File { .. });
    row(
        if from_file {
            "whole file".to_owned()
        } else {
            format!("seed {}", scenario.seed)
        },
        &found.verified,
    );
    let own = usize::from(!from_file);
    for (number, highest) in (1..).zip(&found.replications).skip(own) {
        let of = match highest {
            _ if from_file => format!("block {number}"),
            Highest::Found(probe) | Highest::Never(probe) | Highest::Unbounded(probe) => {
                format!("seed {}", probe.seed)
            }
        };
        row(of, highest);
    }
    text += &format!("{table}\n\n");
    let probe = match &found.verified {
        Highest::Found(probe) | Highest::Unbounded(probe) => probe,
        Highest::Never(_) => {
            return text
                + "the promise fails at every rate that was tried: this fleet and scheduler cannot keep it\n";
        }
    };
    text += &format!(
        "{} requests/s\n{}",
        short(probe.rate_per_s),
        verified(probe, scenario)
    );
    text += &match (&found.over_replications, found.replications.len()) {
        (_, 0) => "one replication: no interval\n".to_owned(),
        (Some(Estimate { value, interval }), n) => {
            let ends = match interval {
                Some([low, high]) => format!("95 % interval {} to {}", short(*low), short(*high)),
                None => "95 % interval: not enough data".to_owned(),
            };
            if from_file {
                format!("{ends} requests/s, from {n} blocks at the file's time scale\n")
            } else {
                format!("mean of {n} seeds {} requests/s, {ends}\n", short(*value))
            }
        }
        (None, _) => "95 % interval: not enough data, a replication has no such rate\n".to_owned(),
    };
    if matches!(found.verified, Highest::Unbounded(_)) {
        text += "at no higher rate does the fleet serve as fast as requests arrive; the promise still holds there,\n\
                 and the trace is too short to show where it ends: give it more requests\n";
    }
    text
}

/// What an answer was verified with.
fn verified(probe: &Probe, scenario: &Scenario) -> String {
    let mut text = format!(
        "verified by playing {} of {} at {} requests/s on {}, seed {}: {} met\n",
        counted(probe.requests, "request"),
        match &scenario.trace {
            Source::File { name, .. } => name.clone(),
            Source::Synthetic(_) => "the generated trace".to_owned(),
        },
        short(probe.rate_per_s),
        counted(probe.gpus, "GPU"),
        probe.seed,
        percent(probe.attainment),
    );
    if probe.overloaded {
        text += &format!(
            "caution: it serves {} requests/s while {} arrive, and {} still waiting when the last one arrived: the \
             promise holds because the trace ends; give it more requests\n",
            short(probe.served_per_s),
            short(probe.rate_per_s),
            match probe.backlog {
                1 => "1 request was".to_owned(),
                n => format!("{n} were"),
            }
        );
    }
    text
}

/// The table of `batchscope capacity --fewest-gpus`.
pub fn fewest(found: &Fewest, scenario: &Scenario, promise: &Promise) -> String {
    let mut table = new_table(&["GPUs", "attainment", "95 % from", "to", "keeps up"]);
    for fleet in &found.tried {
        let [low, high] = match fleet.interval {
            Some(ends) => ends.map(percent),
            None => ["-".to_owned(), "-".to_owned()],
        };
        table.add_row([
            fleet.probe.gpus.to_string(),
            percent(fleet.probe.attainment),
            low,
            high,
            match fleet.keeps_up {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            }
            .to_owned(),
        ]);
    }
    let mut text = format!(
        "fewest GPUs with which {} at {} requests/s\n{table}\n\n",
        promised(promise),
        found.rate_per_s,
    );
    text += &match (found.gpus, found.gpus_with_confidence) {
        (None, _) if found.tried.iter().any(|fleet| fleet.probe.attainment >= promise.share) => {
            "fleets above keep the promise, and none of them serves as fast as requests arrive: the trace is too \
             short to show that they would go on keeping it; give it more requests\n"
                .to_owned()
        }
        (None, _) => "no fleet that was tried keeps the promise\n".to_owned(),
        (Some(n), None) if found.tried.iter().any(|fleet| fleet.interval.is_some()) => {
            format!("{n}; by the lower end of the 95 % interval none that was tried\n")
        }
        (Some(n), None) => format!("{n}\n"),
        (Some(n), Some(sure)) => {
            format!("{n}; {sure} by the lower end of the 95 % interval\n")
        }
    };
    if let Some(probe) = &found.verified {
        text += &verified(probe, scenario);
    }
    text
}

fn promised(promise: &Promise) -> String {
    let which = match promise.which {
        Which::Token => "the token SLA",
        Which::Request => "the request SLA",
        Which::Joint => "all SLAs",
    };
    let verb = if promise.which == Which::Joint {
        "are"
    } else {
        "is"
    };
    format!(
        "{which} {verb} met by {} of the requests",
        percent(promise.share)
    )
}
