//! The messages of the laboratory, as TypeScript is told of them. `www/lab/worker.js` says in its
//! opening comment when each is sent.

use ts_rs::TS;

use super::TraceInfo;
use super::lab::Placement;
use super::messages::{Stage, TraceFile};
use crate::error::ErrorReport;
use crate::experiment::capacity::{Fewest, HighestRate, Promise};
use crate::experiment::compare::Comparison;
use crate::latency::StepLatency;
use crate::metrics::Summary;
use crate::scenario::Scenario;

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
pub enum ToLab {
    Run {
        run_id: u32,
        runs: Vec<LabJob>,
        /// Keys of outcomes that are still shown; the others are forgotten.
        keep: Vec<String>,
        file: Option<TraceFile>,
    },
    Cancel {
        run_id: u32,
    },
    /// Every request of a run, which is done once more where it was forgotten.
    Csv {
        run_id: u32,
        run: LabJob,
        file: Option<TraceFile>,
    },
    /// Every step of a run, which is done once more for it.
    Steps {
        run_id: u32,
        run: LabJob,
        file: Option<TraceFile>,
    },
    Seed {
        run_id: u32,
    },
    /// Step times out of a file.
    Latency {
        run_id: u32,
        name: String,
        text: String,
    },
}

/// One run.
#[derive(TS)]
pub struct LabJob {
    /// The page's name of it.
    pub key: String,
    pub scenario: Scenario,
    /// Puts a model on the GPUs first.
    pub on: Option<Placement>,
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
pub enum FromLab {
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
        result: LabResult,
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
        #[ts(type = "Blob")]
        blob: (),
    },
    Steps {
        run_id: u32,
        #[ts(type = "Blob")]
        blob: (),
    },
    Seed {
        run_id: u32,
        seed: u32,
    },
    Latency {
        run_id: u32,
        latency: StepLatency,
    },
    Crashed {
        run_id: u32,
        message: String,
    },
}

/// From the page to the worker that searches (`www/search/worker.js`), which is ended when its answer is
/// not wanted any more.
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
pub enum ToSearch {
    /// The fewest GPUs that keep a promise at a rate.
    FewestGpus {
        run_id: u32,
        run: LabJob,
        promise: Promise,
        rate_per_s: f64,
        replications: u32,
        file: Option<TraceFile>,
    },
    /// The highest rate at which the fleet keeps it.
    HighestRate {
        run_id: u32,
        run: LabJob,
        promise: Promise,
        replications: u32,
        file: Option<TraceFile>,
    },
    /// How run `b` differs from run `a`.
    Differences {
        run_id: u32,
        a: LabJob,
        b: LabJob,
        replications: u32,
        file: Option<TraceFile>,
    },
}

/// From that worker to the page.
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
pub enum FromSearch {
    /// What is tried now: a number of GPUs, or a replication.
    Trying {
        run_id: u32,
        number: u32,
    },
    FewestGpus {
        run_id: u32,
        found: Fewest,
    },
    HighestRate {
        run_id: u32,
        found: HighestRate,
    },
    Differences {
        run_id: u32,
        found: Comparison,
    },
    Error {
        run_id: u32,
        error: ErrorReport,
    },
    Crashed {
        run_id: u32,
        message: String,
    },
}

/// What a run with continuous batching left.
#[derive(TS)]
pub struct LabResult {
    pub key: String,
    pub summary: Summary,
    pub cdfs: ServedCdfColumns,
    pub series: ServedSeriesColumns,
    /// Time in the simulator, without breaks, ms.
    pub simulated_ms: f64,
}

/// Distributions: ascending times, s, and shares below them.
#[derive(TS)]
pub struct ServedCdfColumns {
    #[ts(type = "Float64Array")]
    pub ttft_s: (),
    #[ts(type = "Float64Array")]
    pub ttft_fraction: (),
    #[ts(type = "Float64Array")]
    pub latency_s: (),
    #[ts(type = "Float64Array")]
    pub latency_fraction: (),
    #[ts(type = "Float64Array")]
    pub tbt_s: (),
    #[ts(type = "Float64Array")]
    pub tbt_fraction: (),
}

/// Time averages of all replicas together.
#[derive(TS)]
pub struct ServedSeriesColumns {
    /// Middle of each interval, s.
    #[ts(type = "Float64Array")]
    pub t_s: (),
    #[ts(type = "Float64Array")]
    pub waiting: (),
    #[ts(type = "Float64Array")]
    pub running: (),
    #[ts(type = "Float64Array")]
    pub kv_blocks: (),
    #[ts(type = "Float64Array")]
    pub kv_tokens: (),
    #[ts(type = "Float64Array")]
    pub busy: (),
}
