//! What a calibration of a GPU leaves: everything measured, the fit, and how far to trust it. One
//! versioned JSON document, written by `batchscope calibrate` and by the page, read by both.

#[cfg(any(feature = "cli", feature = "figures", feature = "gpu"))]
mod reading;

use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, Precision};
use super::step::Step;

/// The version of the JSON form that this code writes. Version 1 lacks [`Calibration::many_columns`].
pub const VERSION: u32 = 2;
/// Says of a JSON document that it is one of these.
pub const KIND: &str = "batchscope-calibration";

/// A whole calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Calibration {
    /// [`KIND`].
    pub kind: String,
    pub version: u32,
    /// Version of the program, and the commit it was built from where that is known.
    pub program: String,
    pub commit: Option<String>,
    /// When it was measured, UTC, as in 2026-11-25T20:15:00Z.
    pub measured_at: String,
    pub adapter: Adapter,
    pub model: Measured,
    /// The kernels that multiplied a matrix by 9 to 16, by 17 to 32 and by more columns (sequences and
    /// prompt tokens of a step); absent in version 1. Step times hold for these kernels alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub many_columns: Option<[ManyColumns; 3]>,
    pub bandwidth: Bandwidth,
    pub launch: Launch,
    pub kernels: Vec<KernelTime>,
    /// What the fit was made from, and the points held out of it.
    pub points: Vec<Point>,
    pub fit: Fit,
    /// Whole steps at points that the fit has not seen.
    pub checks: Vec<Check>,
    /// Median and greatest relative error of the checks.
    pub check_median_error: f64,
    pub check_worst_error: f64,
    /// Of the first measurement and of its repetition at the end, in proportion: above 0.1 the GPU's
    /// clock was not steady.
    pub drift: Option<f64>,
    /// How whole steps grow with the number of layers.
    pub layers: Option<LayerScaling>,
    pub warnings: Vec<Warning>,
    /// Measured on a software adapter or with a made-up model: shows how it works, and says nothing
    /// of any GPU.
    pub demonstration: bool,
    /// Wall-clock time of the whole calibration, s.
    pub took_s: f64,
}

impl Calibration {
    /// A step as a server takes it, which needs the tokens of one before it begins the next: the fitted work, and
    /// one submission and the wait for it, which the fit leaves out.
    pub fn served_step(&self) -> Step {
        self.fit.model.with_submission(self.launch.submission.value)
    }
}

/// The device and what it can do, as its driver says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Adapter {
    pub name: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// Driver and its version; empty where a browser hides it.
    pub driver: String,
    /// The browser, where one measured.
    pub user_agent: Option<String>,
    /// Whether a processor plays the GPU.
    pub software: bool,
    pub subgroups: bool,
    pub subgroup_min: u32,
    pub subgroup_max: u32,
    pub shader_f16: bool,
    pub timestamps: bool,
    /// Longest buffer and longest part of one that a kernel can see, bytes.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub max_buffer_bytes: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub max_binding_bytes: u64,
}

/// What ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "MeasuredModel"))]
pub struct Measured {
    pub architecture: Architecture,
    pub precision: Precision,
    /// Layers that were in the device's memory; times of more are extrapolated by layer count.
    pub layers_resident: u32,
    /// Whether `--quick` was asked for.
    pub quick: bool,
}

/// A kernel that multiplies a matrix by more columns than a GEMV has. Which one is faster depends on
/// the device: it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum ManyColumns {
    /// Tiles read the weights once for all columns.
    Tiles,
    /// GEMVs of eight columns each read the weights again, from a cache if there is a large one.
    Eights,
}

/// A number that was measured several times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Estimate {
    pub value: f64,
    pub unit: String,
    /// Median absolute deviation of the single estimates, same unit.
    pub mad: f64,
    /// How many samples.
    pub n: u32,
    /// Every sample: repeats within one submission, seconds.
    pub samples: Vec<[f64; 2]>,
}

/// Streaming reads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Bandwidth {
    /// By wall clock, bytes/s.
    pub read: Estimate,
    /// Bytes that were cycled through.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub working_set_bytes: u64,
    /// The same by timestamps, bytes/s, where the device has them and they make sense.
    pub by_timestamps: Option<f64>,
}

/// What it costs to ask for work.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Launch {
    /// One more dispatch within a pass, s.
    pub dispatch: Estimate,
    /// One submission and the wait for it, s.
    pub submission: Estimate,
}

/// One kernel at one shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct KernelTime {
    /// As in `gemv-f16 6144x2048` (rows and width of the matrix) and `attention 16/8x128` (query heads,
    /// heads of keys, and their size).
    pub name: String,
    /// Columns (sequences) at once.
    pub columns: u32,
    /// Context of each, where it matters, tokens.
    pub context: Option<u32>,
    /// Bytes that must be read at least once.
    pub bytes: f64,
    pub seconds: Estimate,
    /// `bytes / seconds` over the measured read bandwidth.
    pub share_of_read: f64,
}

/// A step's time, composed of its kernels' times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Point {
    /// Decoding sequences.
    pub sequences: u32,
    /// Their contexts together, tokens.
    pub context: u32,
    /// Prompt tokens processed besides.
    pub prefill: u32,
    pub seconds: f64,
    /// Median absolute deviation of `seconds`.
    pub mad_s: f64,
    /// Not used by the fit; its error is judged here.
    pub held_out: bool,
}

/// The fitted step latency and how well it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fit {
    pub model: Step,
    /// 95 % intervals of c0, c1, c2, c3; null where nothing determines the coefficient.
    pub intervals: [Option<[f64; 2]>; 4],
    /// Coefficient of determination over the fitted points.
    pub r2: f64,
    /// Relative errors of the points that were held out.
    pub held_out_median: f64,
    pub held_out_worst: f64,
    /// Points fitted and held out.
    pub fitted: u32,
    pub held_out: u32,
}

/// A whole step, measured and predicted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Check {
    pub sequences: u32,
    pub context: u32,
    pub prefill: u32,
    /// Extrapolated by layer count where not all layers were resident.
    pub measured_s: f64,
    pub mad_s: f64,
    pub predicted_s: f64,
    /// (predicted - measured)/measured.
    pub error: f64,
}

/// Whole steps with fewer layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct LayerScaling {
    /// Layer count and seconds of a step, with growing count.
    pub counts: Vec<[f64; 2]>,
    /// Per layer, by the first two counts, s.
    pub per_layer_s: f64,
    /// How far the last count is from the line through the first two, in proportion.
    pub nonlinearity: f64,
    /// Whether the steps of all layers were extrapolated.
    pub extrapolated: bool,
}

/// Something that a reader must know before trusting the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Warning {
    /// Stable: software-adapter, made-up-model, drift, fewer-layers, no-f16, no-timestamps,
    /// timestamps-disagree, nonlinear-layers, poor-fit, poor-check; from the page besides hidden-page,
    /// on-battery.
    pub code: String,
    pub message: String,
}
