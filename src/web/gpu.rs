//! The calibrate view's side of the door: the GPU, calibrations and what their fits say. Compiled
//! with the feature `gpu` alone, into the module that the page loads when that view is opened.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::{Engine, failure, plain, read_scenario};
use crate::error::Error;
use crate::gpu::{Cancel, Gpu, Options, Progress};
use crate::latency::Latency;
use crate::latency::architecture::Architecture;
use crate::latency::calibration::Calibration;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { Adapter, Calibration, Derived, Described, GpuModel, Options, Plan, Progress, ErrorRange } from "../www/types.js";"#;

/// Sequences at which a curve of the fit is drawn, and the most that a page draws.
const DRAWN: u32 = 64;
/// Sequences and contexts of each that every calibration is asked for, to compare two.
const PLACES: [(u32, u32); 6] = [
    (1, 1024),
    (8, 1024),
    (32, 1024),
    (1, 8192),
    (8, 8192),
    (32, 8192),
];

/// An opened GPU.
#[wasm_bindgen]
pub struct GpuEngine {
    gpu: Gpu,
    /// Of the run in progress.
    cancel: RefCell<Cancel>,
}

/// A model that can be run.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct GpuModel {
    pub architecture: Architecture,
    /// Weights that a step reads.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub weights: u64,
}

/// A calibration with what its fit says.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Described {
    pub calibration: Calibration,
    /// The file, as the command line writes it.
    pub text: String,
    /// The fit's time at each of the calibration's points, s.
    pub predicted: Vec<f64>,
    /// The fit along each context that was measured.
    pub curves: Vec<Curve>,
    /// The fit at the same places for every calibration.
    pub places: Vec<Place>,
    /// The same step by data sheets.
    pub sheets: Vec<DataSheet>,
}

/// Step time against batch at one context.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Curve {
    /// Of each sequence, tokens.
    pub context: u32,
    pub sequences: Vec<u32>,
    pub seconds: Vec<f64>,
}

/// A step that is asked of every calibration.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Place {
    pub sequences: u32,
    /// Of each sequence, tokens.
    pub context: u32,
    pub seconds: f64,
}

/// What a GPU's data sheet allows the calibrated model.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct DataSheet {
    pub name: String,
    pub source: String,
    pub bytes_per_s: f64,
    /// Dense, f16.
    pub flops: f64,
    /// A step of 1 and of 32 sequences with 1,024 tokens of context each, s.
    pub one_s: f64,
    pub many_s: f64,
}

/// A latency model for a trace's lengths.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Derived {
    pub latency: Latency,
    /// Greatest relative difference to the exact sum over steps.
    pub worst_error: f64,
}

/// One end of an error bar.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RangeEnd {
    /// Share of requests that kept both promises.
    pub joint: Option<f64>,
    /// E2E latency, s.
    pub p95_s: Option<f64>,
}

/// The figures with all step times shorter and longer.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ErrorRange {
    pub shorter: RangeEnd,
    pub longer: RangeEnd,
}
