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
        policy: Option<Policy>,
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
