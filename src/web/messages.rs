//! The messages between the page and its worker, as TypeScript is told of them. `www/worker.js`
//! says in its opening comment when each is sent.

use std::collections::BTreeMap;

use ts_rs::TS;

use super::TraceInfo;
use crate::error::ErrorReport;
use crate::metrics::Summary;
use crate::scenario::Scenario;
use crate::sched::Policy;

/// From the page to the worker.
#[derive(TS)]
#[ts(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(
    clippy::large_enum_variant,
    reason = "a shape for TypeScript, never a value"
)]
pub enum ToWorker {
    Run {
        run_id: u32,
        scenario: Scenario,
        policies: Vec<Policy>,
        file: Option<TraceFile>,
    },
    Cancel {
        run_id: u32,
    },
    Csv {
        run_id: u32,
        policy: Policy,
    },
    Digests {
        run_id: u32,
        policy: Policy,
    },
    /// Batches and requests of the scheduler's last run, for the timeline.
    Timeline {
        run_id: u32,
        policy: Policy,
    },
    Seed {
        run_id: u32,
    },
}

/// A file of the reader's; `id` tells files apart, since a `Blob` is another object on each side.
#[derive(TS)]
pub struct TraceFile {
    pub id: u32,
    pub name: String,
    #[ts(type = "Blob")]
    pub blob: (),
}

/// From the worker to the page.
#[derive(TS)]
#[ts(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(
    clippy::large_enum_variant,
    reason = "a shape for TypeScript, never a value"
)]
pub enum FromWorker {
    Ready {
        version: String,
    },
    Trace {
        run_id: u32,
        trace: TraceInfo,
    },
    Progress {
        run_id: u32,
        stage: Stage,
        done: f64,
    },
    Result {
        run_id: u32,
        result: RunResult,
    },
    Done {
        run_id: u32,
        elapsed_ms: f64,
    },
    Cancelled {
        run_id: u32,
    },
    Error {
        run_id: u32,
        error: ErrorReport,
    },
    Csv {
        run_id: u32,
        policy: Policy,
        #[ts(type = "Blob")]
        blob: (),
    },
    Digests {
        run_id: u32,
        policy: Policy,
        digests: BTreeMap<String, String>,
    },
    Timeline {
        run_id: u32,
        policy: Policy,
        batches: BatchColumns,
        requests: RequestColumns,
    },
    Seed {
        run_id: u32,
        seed: u32,
    },
    Crashed {
        run_id: u32,
        message: String,
    },
}

/// What a run is busy with.
#[derive(TS)]
#[ts(rename_all = "kebab-case")]
pub enum Stage {
    Reading,
    Simulating,
}

/// One scheduler's run: its figures, ready to draw.
#[derive(TS)]
pub struct RunResult {
    pub policy: Policy,
    pub summary: Summary,
    pub cdf: CdfColumns,
    pub series: SeriesColumns,
    /// Time in the simulator, without figures and messages, ms.
    pub simulated_ms: f64,
}

/// The latency distribution: `fraction[i]` of the requests took less than `latency_s[i]`.
#[derive(TS)]
pub struct CdfColumns {
    #[ts(type = "Float64Array")]
    pub latency_s: (),
    #[ts(type = "Float64Array")]
    pub fraction: (),
}

/// Down-sampled columns over simulated time.
#[derive(TS)]
pub struct SeriesColumns {
    #[ts(type = "Float64Array")]
    pub t_s: (),
    #[ts(type = "Float64Array")]
    pub waiting_mean: (),
    #[ts(type = "Float64Array")]
    pub waiting_max: (),
    #[ts(type = "Float64Array")]
    pub batch_mean: (),
    #[ts(type = "Float64Array")]
    pub batch_max: (),
    #[ts(type = "Float64Array")]
    pub busy_gpus: (),
}

/// Every request of a run, batch by batch; `predicted_tokens` is empty for policies without bins.
#[derive(TS)]
pub struct RequestColumns {
    #[ts(type = "Uint32Array")]
    pub row: (),
    #[ts(type = "Float64Array")]
    pub arrival_s: (),
    #[ts(type = "Float64Array")]
    pub start_s: (),
    #[ts(type = "Float64Array")]
    pub end_s: (),
    #[ts(type = "Uint32Array")]
    pub prompt_tokens: (),
    #[ts(type = "Uint32Array")]
    pub output_tokens: (),
    #[ts(type = "Uint32Array")]
    pub predicted_tokens: (),
    #[ts(type = "Uint32Array")]
    pub batch: (),
    #[ts(type = "Uint32Array")]
    pub gpu: (),
}

/// Every batch of a run, in order of its start; `first` is where its members begin among the requests.
#[derive(TS)]
pub struct BatchColumns {
    #[ts(type = "Float64Array")]
    pub start_s: (),
    #[ts(type = "Float64Array")]
    pub end_s: (),
    #[ts(type = "Uint16Array")]
    pub gpu: (),
    #[ts(type = "Uint8Array")]
    pub bin: (),
    #[ts(type = "Uint32Array")]
    pub first: (),
    #[ts(type = "Uint32Array")]
    pub size: (),
    #[ts(type = "Uint32Array")]
    pub longest_total: (),
    #[ts(type = "Uint32Array")]
    pub longest_output: (),
}

/// What an SLA controller did, batch by batch.
#[derive(TS)]
pub struct ControllerColumns {
    #[ts(type = "Float64Array")]
    pub start_s: (),
    #[ts(type = "Float64Array")]
    pub low: (),
    #[ts(type = "Float64Array")]
    pub high: (),
    #[ts(type = "Uint32Array")]
    pub allowed: (),
    #[ts(type = "Uint32Array")]
    pub size: (),
    #[ts(type = "Float64Array")]
    pub tau_s: (),
}

/// What decoding steps cost at best.
#[derive(TS)]
pub struct Cost {
    /// The whole step, s, by number of sequences.
    #[ts(type = "Float64Array")]
    pub step_s: (),
    /// Of it, reading the caches, s.
    #[ts(type = "Float64Array")]
    pub cache_s: (),
    /// Of it, reading the weights, s.
    pub weights_s: f64,
    pub weight_bytes: f64,
    /// Keys and values of a token, bytes.
    pub token_bytes: f64,
    /// Of the GPU, bytes, and the share of it that a server uses.
    pub memory_bytes: f64,
    pub memory_share: f64,
}
