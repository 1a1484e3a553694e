//! The figures as the field defines them (docs/MODEL.md, "Honest metrics"). Failed requests are
//! counted apart and are in none of the distributions.

use serde::{Deserialize, Serialize};

use crate::sim::Prediction;

/// Honest metrics of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Honest {
    /// Requests that produced output.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub requests: u64,
    /// Failed requests that were replayed all the same (`failed: keep`).
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed_replayed: u64,
    /// Failed requests that were left out (`failed: drop`).
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed_dropped: u64,
    /// Arrival to start of service, s.
    pub queueing_s: Option<Distribution>,
    /// Arrival to first token, s.
    pub ttft_s: Option<Distribution>,
    /// (latency - TTFT) / (own output - 1), ms; requests of one output token have none.
    pub tpot_ms: Option<Distribution>,
    /// Arrival to the end of the batch, s.
    pub e2e_s: Option<Distribution>,
    /// A request's own output tokens over its latency, tok/s; only in a closed loop, where it is
    /// what one user gets.
    pub request_tokens_per_s: Option<Distribution>,
    pub sla: Attainment,
    /// From the first arrival to the last end, s.
    pub makespan_s: f64,
    /// Requests that met every SLA, per second of makespan.
    pub goodput_requests_per_s: f64,
    /// Absent where all requests arrive at one moment, and in a closed loop.
    pub offered_requests_per_s: Option<f64>,
    pub served_requests_per_s: f64,
    /// Prompt and output tokens of requests that did not fail, per second of the arrival span;
    /// absent like `offered_requests_per_s`.
    pub offered_tokens_per_s: Option<f64>,
    /// The same tokens, per second of makespan.
    pub served_tokens_per_s: f64,
    /// Output tokens alone, per second of makespan.
    pub output_tokens_per_s: f64,
    /// Share of the batches' token positions in which a member had already finished (or had
    /// failed): 1 - sum(prompt + output) / sum(batch size x longest member); where steps are added up, a member stays for
    /// its prompt and the longest output.
    pub padding_waste: Option<f64>,
    /// Busy time over makespan, per GPU and over all.
    pub utilization: Utilization,
    /// GPU time of batches in which every member had failed, s.
    pub gpu_s_for_failed_only: f64,
    /// Requests not yet in service when the last one had arrived: a large backlog means that latencies
    /// grow with the trace's length and say little about the scheduler.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub backlog_at_last_arrival: u64,
    /// Time average of requests in the system (waiting or in service), those that gave up included.
    pub mean_in_system: f64,
    /// Largest KV tokens of one batch (every member's prompt + output).
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub peak_batch_tokens: u64,
    /// Batches whose tokens exceed the hard memory limit: `static-fifo` and `multi-bin` do not look
    /// at memory, and a single request may be too long for any policy. Served all the same; a real
    /// server would have failed.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub batches_over_memory: u64,
    /// Batches with a step beyond what the step latency was measured for; absent where closed batches take the studies'
    /// formula, and with continuous batching, which counts such steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional, type = "number"))]
    pub outside_measurements: Option<u64>,
    /// How good the predictor was; absent for policies that do not predict.
    pub prediction: Option<Prediction>,
    /// What a reader might look for here and this engine does not model.
    pub not_modelled: Vec<String>,
}

/// A distribution over requests. Quantiles interpolate linearly between order statistics.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Distribution {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Shares of requests that met an SLA; absent where no request produced output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Attainment {
    /// TPOT within the token SLA; requests of one output token meet it.
    pub token: Option<f64>,
    /// E2E latency within the request SLA.
    pub request: Option<f64>,
    /// All that are promised.
    pub joint: Option<f64>,
    /// TTFT within its SLA; absent where none is promised.
    pub ttft: Option<f64>,
}

/// Busy shares of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Utilization {
    pub mean: f64,
    pub min: f64,
    pub max: f64,
    pub per_gpu: Vec<f64>,
}

/// By the studies' formula a prompt's token costs what an output's costs.
pub const DEAR_PREFILL: &str = "prefill that is cheaper per token than decode";

/// What a reader might look for here and closed batches do not model, however long they take.
pub const NOT_MODELLED: [&str; 7] = [
    "tokens streamed to the client before the batch ends",
    "requests that join or leave a running batch",
    DEAR_PREFILL,
    "paged KV cache, prefix cache and preemption",
    "time of the network, the tokeniser and the scheduler itself",
    "energy",
    "cost",
];
