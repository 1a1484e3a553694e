//! What a calibration of a GPU leaves: everything measured, the fit, and how far to trust it. One
//! versioned JSON document, written by `batchscope calibrate` and by the page, read by both.

#[cfg(any(feature = "cli", feature = "figures", feature = "gpu"))]
mod reading;
mod steps;

use serde::{Deserialize, Serialize};

pub use steps::{Host, Proof, ProofLevel, ProofSide, Steadiness, WholeStep, profile};

use super::architecture::{Architecture, Precision};
use super::step::Step;
use super::work::{Chunk, StepWork};
use crate::error::Error;

/// The version of the JSON form that this code writes. Version 1 lacks [`Calibration::many_columns`], versions 1 and
/// 2 lack [`Calibration::steps`] and what follows from them.
pub const VERSION: u32 = 3;
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
    /// The kernels for 1, for 2, for up to 4 and for up to 8 columns; absent before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub few_columns: Option<[Gemv; 4]>,
    pub bandwidth: Bandwidth,
    pub launch: Launch,
    pub kernels: Vec<KernelTime>,
    /// Whole steps as a server takes them. Predictions come from these; empty in versions 1 and 2, whose predictions
    /// come from `fit`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<WholeStep>,
    /// The processor's part of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub host: Option<Host>,
    /// What the fit was made from, and the points held out of it: since version 3 those whole steps that are decode
    /// or short prompts, before it steps composed of their kernels.
    pub points: Vec<Point>,
    /// The straight line nearest to the points. Since version 3 only the closed-batch form comes from it.
    pub fit: Fit,
    /// Whole steps at sizes that nothing above has seen, against the prediction.
    pub checks: Vec<Check>,
    /// Median and greatest relative error of the checks.
    pub check_median_error: f64,
    pub check_worst_error: f64,
    /// How much longer a step took at the end than at the beginning, in proportion: above 0.1 the GPU's clock was
    /// not steady.
    pub drift: Option<f64>,
    /// How even the device's pace was meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub steadiness: Option<Steadiness>,
    /// Loads that the device served after the calibration, beside their predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub proof: Option<Proof>,
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
    /// The line through steps as a server takes them, which needs the tokens of one before it begins the next. Before
    /// version 3 the fit left out one submission and the wait for it, which are added.
    pub fn served_line(&self) -> Step {
        if self.steps.is_empty() {
            self.fit.model.with_submission(self.launch.submission.value)
        } else {
            self.fit.model
        }
    }

    /// How far off predicted step times typically are, in proportion: the median error of whole steps that the
    /// prediction had not seen, and no less than what the device's pace moved meanwhile or than the error of the loads
    /// that it served as a proof. Before version 3 no less than the error of the points held out of the fit.
    pub fn step_error(&self) -> f64 {
        if self.steps.is_empty() {
            return self.line_error();
        }
        let moved = self.steadiness.map_or(0.0, |steadiness| steadiness.spread);
        let drift = self.drift.map_or(0.0, f64::abs);
        let proof = self.proof.as_ref().map_or(0.0, Proof::error);
        let errors = [self.check_median_error, moved, drift, proof];
        errors.into_iter().fold(0.0, f64::max)
    }

    /// The most sequences of a step that was measured.
    pub fn most_sequences(&self) -> u32 {
        let whole = self.steps.iter().map(|step| step.sequences);
        let points = self.points.iter().map(|point| point.sequences);
        whole.chain(points).max().unwrap_or(0)
    }

    /// What a reader must know that the file lacks, in sentences.
    pub fn lacks(&self) -> Vec<String> {
        if self.steps.is_empty() {
            return vec![format!(
                "the file is of version {}: it has no whole steps as a server takes them, so predictions come from a \
                 straight line, without the processor's part, and can be far off; calibrate again for better ones",
                self.version
            )];
        }
        match self.proof {
            Some(_) => Vec::new(),
            None => vec!["no users were served to prove the calibration".to_owned()],
        }
    }

    /// As [`Calibration::step_error`], of the line, which has only two slopes where steps are a staircase.
    pub fn line_error(&self) -> f64 {
        self.fit.held_out_median.max(self.check_median_error)
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

/// How the kernel for few columns shares its work out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "GemvKernel"))]
pub struct Gemv {
    /// Rows of the matrix that a workgroup has.
    pub rows: u32,
    /// Whether its sums are added up by subgroups, or else in workgroup memory.
    pub subgroups: bool,
}

impl Gemv {
    /// Whether so many columns' sums fit into a workgroup's registers and memory.
    pub fn is_allowed(self, columns: u32) -> bool {
        let most = if self.subgroups { 32 } else { 16 };
        [2, 4, 8].contains(&self.rows) && self.rows * columns <= most
    }
}

/// The kernels that a calibration timed. Its step times hold with these alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    pub many_columns: [ManyColumns; 3],
    /// For 1, 2, 4 and 8 columns; `None` in version 2, when there was one way.
    pub gemv: Option<[Gemv; 4]>,
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

impl Point {
    /// What the step is asked to do; its prompt, if it has one, goes into `chunks`. Those that decode are sampled.
    pub fn work<'a>(&self, chunks: &'a mut Vec<Chunk>) -> StepWork<'a> {
        work(self.sequences, self.context, self.prefill, chunks)
    }
}

impl Check {
    /// As [`Point::work`].
    pub fn work<'a>(&self, chunks: &'a mut Vec<Chunk>) -> StepWork<'a> {
        work(self.sequences, self.context, self.prefill, chunks)
    }
}

fn work(sequences: u32, context: u32, prefill: u32, chunks: &mut Vec<Chunk>) -> StepWork<'_> {
    chunks.clear();
    if prefill > 0 {
        chunks.push(Chunk {
            tokens: prefill,
            before: 0,
        });
    }
    StepWork {
        sequences,
        context: u64::from(context),
        chunks,
        sampled: sequences,
    }
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
    /// timestamps-disagree, nonlinear-layers, poor-fit (before version 3), poor-check, no-proof; from the page
    /// besides hidden-page, on-battery.
    pub code: String,
    pub message: String,
}

impl Warning {
    /// Why no load was served beside the calibration's predictions.
    pub fn no_proof(why: &Error) -> Warning {
        Warning {
            code: "no-proof".to_owned(),
            message: format!("the calibration was not proved by serving users: {why}"),
        }
    }
}
