//! The time of one step of a server with continuous batching, whichever way it is known.

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::modelled::{Modelled, ModelledModel};
use super::profile::{Profile, ProfileModel};
use super::step::{Compute, Step};
use super::step_table::{StepTable, StepTableModel};
use super::work::{Piece, StepWork, Timed};
#[cfg(feature = "figures")]
use crate::Error;

/// A model of step times and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "StepLatencyModel"))]
pub enum StepLatency {
    /// Linear in sequences, context and prompt tokens: docs/MODEL.md, "Step latency".
    Linear(Step),
    /// Between measured steps: "Measured step tables".
    Table(StepTable),
    /// From kernels: "Kernel profiles".
    Profile(Box<Profile>),
    /// From what the model reads and computes: "Modelled steps".
    Modelled(Box<Modelled>),
}

/// Llama-3.1-8B in f16 on one H100, as its data sheet allows at best.
impl Default for StepLatency {
    fn default() -> Self {
        StepLatency::Linear(Step::LLAMA_3_1_8B_ON_H100)
    }
}

/// The steps of a calibrated GPU as a server takes them: between its measured steps, or the fitted line of a calibration
/// before version 3.
impl From<&Calibration> for StepLatency {
    fn from(calibration: &Calibration) -> StepLatency {
        match calibration.profile() {
            Some(profile) => StepLatency::Profile(Box::new(profile)),
            None => StepLatency::Linear(calibration.served_line()),
        }
    }
}

/// Step times out of a file.
#[cfg(feature = "figures")]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StepTimes {
    pub latency: StepLatency,
    /// How far off they typically are, in proportion, where a calibration says it.
    pub error: Option<f64>,
}

#[cfg(feature = "figures")]
impl StepTimes {
    /// From a file of any kind that says how long steps take: a calibration of a GPU, the JSON form of
    /// [`StepLatency`], or measured steps as CSV ([`StepTable::read`]); `file` is for the error's sentence.
    ///
    /// Errors: of the kind that the text begins like.
    pub fn from_text(text: &str, file: &str) -> Result<StepTimes, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let latency = if !text.trim_start().starts_with('{') {
            StepLatency::Table(StepTable::read(text.as_bytes(), file)?)
        } else if Calibration::has_kind(text) {
            let calibration = Calibration::from_json(text, file)?;
            return Ok(StepTimes {
                latency: StepLatency::from(&calibration),
                error: Some(calibration.step_error()),
            });
        } else {
            StepLatency::from_json(text, file)?
        };
        Ok(StepTimes {
            latency,
            error: None,
        })
    }
}

#[cfg(feature = "figures")]
impl StepLatency {
    fn from_json(text: &str, file: &str) -> Result<StepLatency, Error> {
        serde_json::from_str(text).map_err(|e| Error::BadScenario {
            file: file.to_owned(),
            line: e.line(),
            column: e.column(),
            field: String::new(),
            problem: e.to_string(),
        })
    }
}

impl StepLatency {
    /// The same with every time multiplied.
    pub fn times(&self, factor: f64) -> StepLatency {
        match self {
            StepLatency::Linear(step) => StepLatency::Linear(Step {
                c0_s: step.c0_s * factor,
                c1_s_per_sequence: step.c1_s_per_sequence * factor,
                c2_s_per_context_token: step.c2_s_per_context_token * factor,
                c3_s_per_prefill_token: step.c3_s_per_prefill_token * factor,
                c4_s_per_prefill_pair: step.c4_s_per_prefill_pair * factor,
                compute: step.compute.map(|compute| Compute {
                    d0_s: compute.d0_s * factor,
                    d1_s_per_token: compute.d1_s_per_token * factor,
                }),
            }),
            StepLatency::Table(table) => {
                let mut table = table.clone();
                table.time_ms.iter_mut().for_each(|time| *time *= factor);
                StepLatency::Table(table)
            }
            StepLatency::Profile(profile) => {
                let mut profile = profile.clone();
                profile.multiply(factor);
                StepLatency::Profile(profile)
            }
            StepLatency::Modelled(step) => {
                let mut step = step.clone();
                step.multiply(factor);
                StepLatency::Modelled(step)
            }
        }
    }

    /// The model for the inner loop.
    pub fn model(&self) -> StepModel {
        match self {
            StepLatency::Linear(step) => StepModel::Linear(*step),
            StepLatency::Table(table) => StepModel::Table(table.model()),
            StepLatency::Profile(profile) => StepModel::Profile(Box::new(profile.model())),
            StepLatency::Modelled(step) => {
                StepModel::Modelled(Box::new(ModelledModel::new(*step.clone())))
            }
        }
    }
}

/// [`StepLatency`], ready to be asked once or twice a request.
#[derive(Debug, Clone, PartialEq)]
pub enum StepModel {
    Linear(Step),
    Table(StepTableModel),
    Profile(Box<ProfileModel>),
    Modelled(Box<ModelledModel>),
}

impl StepModel {
    /// Time of a step.
    pub fn step(&self, work: &StepWork<'_>) -> Timed {
        match self {
            StepModel::Linear(step) => Timed {
                seconds: step.work_s(work),
                inside: true,
            },
            StepModel::Table(table) => table.step(work),
            StepModel::Profile(profile) => profile.step(work),
            StepModel::Modelled(step) => step.step(work),
        }
    }

    /// Whether a step's time depends on more of the contexts than their sum.
    pub fn is_skewed(&self) -> bool {
        matches!(self, StepModel::Profile(profile) if profile.is_skewed())
    }

    /// What unequal contexts add to [`StepModel::step`] and to [`StepModel::decode`], where `longest` is the longest
    /// context of a sequence that decodes.
    pub fn skew(&self, work: &StepWork<'_>, longest: u64) -> Piece {
        match self {
            StepModel::Profile(profile) => profile.skew(work, longest),
            StepModel::Linear(_) | StepModel::Table(_) | StepModel::Modelled(_) => Piece {
                at_s: 0.0,
                per_token_s: 0.0,
                until: u64::MAX,
                inside: true,
            },
        }
    }

    /// The line that steps follow in which `sequences` (at least one) decode and nothing else happens, from
    /// a context of `context` tokens on. At that context it gives what [`StepModel::step`] gives.
    #[inline]
    pub fn decode(&self, sequences: u32, context: u64) -> Piece {
        match self {
            StepModel::Linear(step) => Piece {
                at_s: step.step_s(f64::from(sequences), context as f64, 0.0),
                per_token_s: step.c2_s_per_context_token,
                until: u64::MAX,
                inside: true,
            },
            StepModel::Table(table) => table.decode(sequences, context),
            StepModel::Profile(profile) => profile.decode(sequences, context),
            StepModel::Modelled(step) => step.decode(sequences, context),
        }
    }
}
