//! The figures of served loads: which there are, as a table and as JSON.

use serde_json::{Value, json};

use super::{Levels, Served};
use crate::report::document::Table;

/// A figure of a served load.
pub(super) struct Metric {
    /// As the column of a table of the study `saturation`, where that has it.
    pub name: &'static str,
    /// For people, with the unit.
    pub label: &'static str,
    pub of: fn(&Served) -> Option<f64>,
}

const fn metric(name: &'static str, label: &'static str, of: fn(&Served) -> Option<f64>) -> Metric {
    Metric { name, label, of }
}

/// What people look at first; the report has these.
pub(super) const MAIN: [Metric; 7] = [
    metric("tok_s", "throughput (tok/s)", |s| Some(s.level.tok_s)),
    metric("ttft_ms", "TTFT, mean (ms)", |s| s.level.ttft_ms.avg),
    metric("ttft_p95_ms", "TTFT, P95 (ms)", |s| s.level.ttft_ms.p95),
    metric("tbt_ms", "TBT, mean (ms)", |s| s.tbt_ms.avg),
    metric("tbt_p95_ms", "TBT, P95 (ms)", |s| s.tbt_ms.p95),
    metric("latency_ms", "latency, mean (ms)", |s| {
        s.level.latency_ms.avg
    }),
    metric("latency_p95_ms", "latency, P95 (ms)", |s| {
        s.level.latency_ms.p95
    }),
];

const REST: [Metric; 24] = [
    metric("duration_s", "duration (s)", |s| s.level.duration_s),
    metric("ttft_p50_ms", "TTFT, P50 (ms)", |s| s.level.ttft_ms.p50),
    metric("ttft_p99_ms", "TTFT, P99 (ms)", |s| s.level.ttft_ms.p99),
    metric("tbt_p50_ms", "TBT, P50 (ms)", |s| s.tbt_ms.p50),
    metric("tbt_p99_ms", "TBT, P99 (ms)", |s| s.tbt_ms.p99),
    metric("latency_p50_ms", "latency, P50 (ms)", |s| {
        s.level.latency_ms.p50
    }),
    metric("latency_p99_ms", "latency, P99 (ms)", |s| {
        s.level.latency_ms.p99
    }),
    metric("request_tok_s", "rate of a request, mean (tok/s)", |s| {
        s.level.request_tok_s
    }),
    metric("request_tok_s_p50", "rate of a request, P50 (tok/s)", |s| {
        s.level.request_tok_s_p50
    }),
    metric("queueing_ms", "queueing, mean (ms)", |s| s.queueing_ms.avg),
    metric("queueing_p50_ms", "queueing, P50 (ms)", |s| {
        s.queueing_ms.p50
    }),
    metric("queueing_p95_ms", "queueing, P95 (ms)", |s| {
        s.queueing_ms.p95
    }),
    metric("queueing_p99_ms", "queueing, P99 (ms)", |s| {
        s.queueing_ms.p99
    }),
    metric("step_ms", "step, mean (ms)", |s| s.step_ms.avg),
    metric("step_p50_ms", "step, P50 (ms)", |s| s.step_ms.p50),
    metric("step_p95_ms", "step, P95 (ms)", |s| s.step_ms.p95),
    metric("step_p99_ms", "step, P99 (ms)", |s| s.step_ms.p99),
    metric("steps", "steps", |s| Some(f64::from(s.steps))),
    metric("busy_s", "time in steps (s)", |s| Some(s.busy_s)),
    metric("sequences", "decoding sequences of a step, mean", |s| {
        Some(s.sequences)
    }),
    metric("context", "context of a step, mean (tokens)", |s| {
        Some(s.context)
    }),
    metric("busy_share", "time in steps, share of the duration", |s| {
        Some(s.busy_s / s.level.duration_s?)
    }),
    metric("prefill", "prompt tokens of a step, mean", |s| {
        Some(s.prefill)
    }),
    metric("pairs", "pairs in prompts of a step, mean", |s| {
        Some(s.pairs)
    }),
];

/// (predicted - measured)/measured, %; nothing where there is no such quotient.
pub(super) fn error_pct(predicted: Option<f64>, measured: Option<f64>) -> Option<f64> {
    let (predicted, measured) = predicted.zip(measured)?;
    (measured > 0.0).then(|| 100.0 * (predicted - measured) / measured)
}

/// A row for each level and figure.
pub(super) fn levels(all: &Levels<'_>) -> Table {
    let mut table = Table::new(["users", "metric", "measured", "predicted", "error_pct"]);
    let mut add = |users: u32, name: &str, measured: Option<f64>, predicted: Option<f64>| {
        table.rows.push(vec![
            users.into(),
            name.into(),
            measured.into(),
            predicted.into(),
            error_pct(predicted, measured).into(),
        ]);
    };
    for level in all.levels {
        let (predicted, measured) = (&level.predicted, level.measured.as_ref());
        let users = level.users();
        for Metric { name, of, .. } in MAIN.iter().chain(&REST) {
            add(users, name, measured.and_then(of), of(predicted));
        }
        let pct = |share: Option<f64>| share.map(|share| 100.0 * share);
        let mbu = |served: &Served| pct(all.stack.mbu(served));
        let mfu = |served: &Served| pct(all.stack.mfu(served));
        add(users, "mbu_pct", measured.and_then(mbu), mbu(predicted));
        add(users, "mfu_pct", measured.and_then(mfu), mfu(predicted));
    }
    table
}

/// Everything, unrounded.
pub(super) fn json(all: &Levels<'_>) -> Value {
    let stack = all.stack;
    let machine = stack.machine.as_ref();
    json!({
        "gpu": machine.map(|machine| &machine.gpu),
        "measured_on": stack.measured_on,
        "architecture": machine.map(|machine| &machine.architecture),
        "precision": machine.map(|machine| machine.precision),
        "origin": stack.origin,
        "step_error": stack.step_error,
        "warnings": stack.warnings,
        "submission_s": stack.submission_s,
        "read_bytes_per_s": machine.map(|machine| machine.read_bytes_per_s),
        "hardware": machine.and_then(|machine| machine.hardware.as_ref()),
        "scenario": all.scenarios.first(),
        "levels": all.levels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_figure_has_another_s_name() {
        let all: Vec<&Metric> = MAIN.iter().chain(&REST).collect();
        let names: BTreeSet<&str> = all.iter().map(|m| m.name).collect();
        let labels: BTreeSet<&str> = all.iter().map(|m| m.label).collect();
        assert_eq!((names.len(), labels.len()), (all.len(), all.len()));
    }

    #[test]
    fn an_error_is_relative_to_what_was_measured() {
        assert_eq!(error_pct(Some(3.0), Some(4.0)), Some(-25.0));
        assert_eq!(error_pct(Some(3.0), Some(0.0)), None);
        assert_eq!(error_pct(None, Some(4.0)), None);
    }
}
