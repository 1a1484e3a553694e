//! The messages of the calibrate view, as TypeScript is told of them. `www/calibrate/worker.js` says
//! in its opening comment when each is sent.

use ts_rs::TS;

use super::gpu::{Derived, Described, GpuModel};
use super::messages::TraceFile;
use super::serving::ServedLevels;
use crate::error::ErrorReport;
use crate::experiment::calibrated::ErrorRange;
use crate::gpu::{Options, Plan, serve};
use crate::latency::calibration::{Adapter, Calibration, Check, KernelTime, Point};
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
pub enum ToGpu {
    /// Asks for the adapter, again if there was one.
    Open {
        run_id: u32,
    },
    Plan {
        run_id: u32,
        options: Options,
    },
    Calibrate {
        run_id: u32,
        options: Options,
    },
    /// A scenario with as many users at each level as `users` says: measured, or only predicted.
    Serve {
        run_id: u32,
        calibration: Calibration,
        users: Vec<u32>,
        #[ts(type = "object")]
        scenario: Scenario,
        measure: bool,
    },
    Cancel {
        run_id: u32,
    },
    /// A calibration file of the reader's.
    Read {
        run_id: u32,
        name: String,
        text: String,
    },
    /// A calibration that the page changed: told it what only the page knows.
    Describe {
        run_id: u32,
        calibration: Calibration,
    },
    /// The latency model of a calibration, for the lengths of a trace and the largest batch of the
    /// policies.
    Derive {
        run_id: u32,
        calibration: Calibration,
        scenario: Scenario,
        policies: Vec<Policy>,
        file: Option<TraceFile>,
    },
    /// The same runs with all step times shorter and longer by a share.
    Range {
        run_id: u32,
        summaries: Vec<Summary>,
        file: Option<TraceFile>,
        error: f64,
    },
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
pub enum FromGpu {
    /// The module is loaded; no GPU was asked for.
    Ready {
        models: Vec<GpuModel>,
    },
    Opened {
        run_id: u32,
        adapter: Adapter,
    },
    Planned {
        run_id: u32,
        plan: Plan,
    },
    Progress {
        run_id: u32,
        progress: GpuProgress,
    },
    Calibrated {
        run_id: u32,
        result: Described,
    },
    Serving {
        run_id: u32,
        progress: serve::Progress,
    },
    Served {
        run_id: u32,
        result: ServedLevels,
    },
    Described {
        run_id: u32,
        result: Described,
    },
    Derived {
        run_id: u32,
        derived: Derived,
    },
    Ranged {
        run_id: u32,
        ranges: Vec<PolicyRange>,
    },
    Cancelled {
        run_id: u32,
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

/// What a calibration is at, and what it measured since the last message.
#[derive(TS)]
pub struct GpuProgress {
    pub stage: String,
    pub what: String,
    /// Of the whole calibration, from 0 to 1.
    pub done: f64,
    pub kernels: Vec<KernelTime>,
    pub points: Vec<Point>,
    pub checks: Vec<Check>,
}

/// The figures of one scheduler at both ends of an error.
#[derive(TS)]
pub struct PolicyRange {
    pub policy: Policy,
    pub range: ErrorRange,
}
