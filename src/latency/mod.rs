//! How long work takes. [`Linear`] is the closed-batch model of the published studies; [`fit`]
//! finds its coefficients from measurements. [`step::Step`] is the time of one step of a real
//! server and [`step_fit`] finds its coefficients; [`calibration`] is what a measured GPU leaves and
//! [`roofline`] what a data sheet allows.

pub mod architecture;
mod batch;
pub mod calibration;
mod closed_form;
mod columns;
mod curve;
pub mod fit;
pub mod hardware;
mod linear;
#[cfg(feature = "cli")]
pub mod measured;
pub mod model;
pub mod modelled;
pub mod profile;
pub mod roofline;
pub mod step;
pub mod step_fit;
mod step_latency;
mod step_table;
pub mod typical;
mod work;

use serde::{Deserialize, Serialize};

pub use batch::{BatchModel, BatchSteps, BatchTime};
pub use closed_form::{ClosedForm, Shape};
pub use linear::{Linear, LinearTable};
#[cfg(feature = "figures")]
pub use step_latency::StepTimes;
pub use step_latency::{StepLatency, StepModel};
pub use step_table::StepTable;
pub use work::{Chunk, Piece, StepWork, Timed};

/// How long closed batches take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Latency {
    /// `T(b, L) = alpha + beta L h(b)`: docs/MODEL.md, "Closed-batch latency".
    Linear(Linear),
    /// By the steps of a server, added up: one pass over a batch's prompts, then a step for each further token of its longest
    /// output ("Closed batches in steps").
    Steps(Box<StepLatency>),
}

impl Latency {
    /// The coefficients of the studies' formula, where it is used.
    pub fn linear(&self) -> Option<&Linear> {
        match self {
            Latency::Linear(linear) => Some(linear),
            Latency::Steps(_) => None,
        }
    }

    /// The studies' formula with `h` tabulated for every batch size up to `max_batch`; absent where steps are added up.
    pub fn table(&self, max_batch: u32) -> Option<LinearTable> {
        self.linear().map(|linear| linear.table(max_batch))
    }

    /// The model for the inner loop, for batches of up to `max_batch`.
    pub fn model(&self, max_batch: u32) -> BatchModel {
        match self {
            Latency::Linear(linear) => BatchModel::Linear(linear.table(max_batch)),
            Latency::Steps(steps) => BatchModel::Steps(Box::new(BatchSteps::new(steps.model()))),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Latency::Linear(Linear::default())
    }
}
