//! The figures as the published studies define them (docs/MODEL.md, "Published metrics"), flaws
//! included: docs/ERRATA.md says what is wrong with each.

use serde::{Deserialize, Serialize};

/// Published metrics of one run; the names are part of the `--json` contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Published {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub token_violations: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub request_violations: u64,
    /// Mean over requests of their batch's decode step, `beta h(b)`, ms.
    pub avg_decode_step_ms: f64,
    /// Mean over requests of batch service time / longest output of the batch, ms.
    pub avg_tbt_ms: f64,
    pub p95_tbt_ms: f64,
    pub p99_tbt_ms: f64,
    pub max_tbt_ms: f64,
    /// Completion - arrival, failed rows included, s.
    pub avg_latency_s: f64,
    pub p50_latency_s: f64,
    pub p95_latency_s: f64,
    pub p99_latency_s: f64,
    pub max_latency_s: f64,
    /// Start of service - arrival, mean over requests, s.
    pub avg_queueing_s: f64,
    /// Service time of the request's batch, mean over requests, s.
    pub avg_service_s: f64,
    /// Busy time over the last moment any GPU was busy, mean over GPUs.
    pub gpu_utilization_mean: f64,
    pub gpu_utilization_min: f64,
    pub gpu_utilization_max: f64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub batches: u64,
    pub avg_batch: f64,
    pub min_batch: u32,
    pub max_batch: u32,
    /// Last completion - first arrival, s.
    pub makespan_s: f64,
    /// Prompt and output tokens over the makespan.
    pub tokens_per_s: f64,
    pub requests_per_s: f64,
    /// Requests without token violation over the makespan.
    pub capacity_qps_under_sla: f64,
}

impl Published {
    /// No figure at all.
    pub(super) const NONE: Published = Published {
        token_violations: 0,
        request_violations: 0,
        avg_decode_step_ms: f64::NAN,
        avg_tbt_ms: f64::NAN,
        p95_tbt_ms: f64::NAN,
        p99_tbt_ms: f64::NAN,
        max_tbt_ms: f64::NAN,
        avg_latency_s: f64::NAN,
        p50_latency_s: f64::NAN,
        p95_latency_s: f64::NAN,
        p99_latency_s: f64::NAN,
        max_latency_s: f64::NAN,
        avg_queueing_s: f64::NAN,
        avg_service_s: f64::NAN,
        gpu_utilization_mean: f64::NAN,
        gpu_utilization_min: f64::NAN,
        gpu_utilization_max: f64::NAN,
        batches: 0,
        avg_batch: f64::NAN,
        min_batch: 0,
        max_batch: 0,
        makespan_s: f64::NAN,
        tokens_per_s: f64::NAN,
        requests_per_s: f64::NAN,
        capacity_qps_under_sla: f64::NAN,
    };
}
