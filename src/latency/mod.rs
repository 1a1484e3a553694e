//! How long work takes. [`Linear`] is the closed-batch model of the published studies; [`fit`]
//! finds its coefficients from measurements. [`step::Step`] is the time of one step of a real
//! server and [`step_fit`] finds its coefficients; [`calibration`] is what a measured GPU leaves and
//! [`roofline`] what a data sheet allows.

pub mod architecture;
pub mod calibration;
mod closed_form;
#[cfg(feature = "continuous")]
mod columns;
#[cfg(feature = "continuous")]
mod curve;
pub mod fit;
mod linear;
#[cfg(feature = "cli")]
pub mod measured;
#[cfg(feature = "continuous")]
pub mod profile;
pub mod roofline;
pub mod step;
pub mod step_fit;
#[cfg(feature = "continuous")]
mod step_latency;
#[cfg(feature = "continuous")]
mod step_table;
#[cfg(feature = "continuous")]
mod work;

use serde::{Deserialize, Serialize};

pub use closed_form::{ClosedForm, Shape};
pub use linear::{Linear, LinearTable};
#[cfg(feature = "continuous")]
pub use step_latency::{StepLatency, StepModel};
#[cfg(feature = "continuous")]
pub use step_table::StepTable;
#[cfg(feature = "continuous")]
pub use work::{Chunk, Piece, StepWork, Timed};

/// A latency model and its coefficients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Latency {
    /// `T(b, L) = alpha + beta L h(b)`: docs/MODEL.md, "Closed-batch latency".
    Linear(Linear),
}

impl Default for Latency {
    fn default() -> Self {
        Latency::Linear(Linear::default())
    }
}
