//! The columns of the studies' result tables under their published names, one row a run.
//!
//! The studies order them differently, so a table is a list of these. Rates are fractions, times
//! seconds unless a name ends in `_ms`; docs/MODEL.md, "Studies", says what each means.

use crate::metrics::Summary;
use crate::report::document::{Cell, Table};
use crate::sched::Policy;

/// A column: its published name and what a run has there.
pub(super) type Column = (&'static str, fn(&Summary) -> Cell);

/// One row per run.
pub(super) fn table(columns: &[Column], runs: &[Summary]) -> Table {
    let mut table = Table::new(columns.iter().map(|&(name, _)| name));
    table.rows = runs
        .iter()
        .map(|run| columns.iter().map(|(_, cell)| cell(run)).collect())
        .collect();
    table
}

/// The published name of a scheduler.
pub(super) fn scheduler_type(policy: Policy) -> &'static str {
    match policy {
        Policy::StaticFifo => "static_fifo",
        Policy::Dynamic => "dynamic_no_bins",
        Policy::MultiBinDynamic => "multi_bin_dynamic",
        Policy::MultiBin => "multi_bin_only",
    }
}

/// `timestamp` is empty: the time of day would make two equal runs differ.
pub(super) const RUN: [Column; 4] = [
    ("timestamp", |_| Cell::Empty),
    ("scheduler_type", |s| {
        scheduler_type(s.scenario.policy().unwrap_or_default()).into()
    }),
    ("num_requests", |s| s.workload.rows_replayed.into()),
    ("num_gpus", |s| s.scenario.fleet.gpus.into()),
];

pub(super) const K_BINS: Column = ("k_bins", |s| s.scenario.bins.count.into());

/// Requests over the span of their arrivals.
pub(super) const ACTUAL_RPS: Column = ("actual_rps", |s| s.workload.offered_requests_per_s.into());

pub(super) const RPS_SCALING: Column = ("rps_scaling", |s| s.workload.time_scale.into());

/// Token violations over requests.
pub(super) const SLA_VIOLATION_RATE: Column =
    ("sla_violation_rate", |s| token_violation_rate(s).into());

pub(super) const CAPACITY: Column = ("capacity_qps_under_sla", |s| {
    s.published().capacity_qps_under_sla.into()
});

pub(super) const REQUESTS_PER_S: Column = ("throughput_requests_per_sec", |s| {
    s.published().requests_per_s.into()
});

pub(super) const TOKENS_PER_S: Column = ("throughput_tokens_per_sec", |s| {
    s.published().tokens_per_s.into()
});

/// What all three studies have from `avg_latency` to `status`. `execution_time_seconds` is empty
/// for the same reason as `timestamp`.
pub(super) const OUTCOME: [Column; 19] = [
    ("avg_latency", |s| s.published().avg_latency_s.into()),
    ("p50_latency", |s| s.published().p50_latency_s.into()),
    ("p95_latency", |s| s.published().p95_latency_s.into()),
    ("p99_latency", |s| s.published().p99_latency_s.into()),
    ("max_latency", |s| s.published().max_latency_s.into()),
    ("avg_queueing_delay", |s| {
        s.published().avg_queueing_s.into()
    }),
    ("avg_service_time", |s| s.published().avg_service_s.into()),
    ("avg_gpu_utilization", |s| {
        s.published().gpu_utilization_mean.into()
    }),
    ("min_gpu_utilization", |s| {
        s.published().gpu_utilization_min.into()
    }),
    ("max_gpu_utilization", |s| {
        s.published().gpu_utilization_max.into()
    }),
    ("num_batches", |s| s.published().batches.into()),
    ("avg_batch_size", |s| s.published().avg_batch.into()),
    ("min_batch_size", |s| s.published().min_batch.into()),
    ("max_batch_size", |s| s.published().max_batch.into()),
    ("total_time", |s| s.published().makespan_s.into()),
    ("total_tokens", |s| total_tokens(s).into()),
    ("num_completed", |s| s.workload.rows_replayed.into()),
    ("execution_time_seconds", |_| Cell::Empty),
    ("status", |_| "success".into()),
];

/// Prompt and output tokens of the replayed requests.
fn total_tokens(s: &Summary) -> u64 {
    s.workload.prompt_tokens + s.workload.output_tokens
}

/// Token violations, as published, over requests.
pub(super) fn token_violation_rate(s: &Summary) -> f64 {
    s.published().token_violations as f64 / s.workload.rows_replayed as f64
}

/// Request violations, as published, over requests.
pub(super) fn request_violation_rate(s: &Summary) -> f64 {
    s.published().request_violations as f64 / s.workload.rows_replayed as f64
}
