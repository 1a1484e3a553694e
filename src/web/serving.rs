//! The calibrate view's side of serving users: the real decoder under a load, and the prediction
//! beside it. With the feature `gpu` alone, as `gpu.rs`.

use std::rc::Rc;

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::gpu::GpuEngine;
use super::{failure, plain, read};
use crate::experiment::saturation::curves::MichaelisMenten;
use crate::experiment::serving::{self, Comparison, Levels, Stack};
use crate::gpu::{Cancel, Device, serve};
use crate::latency::StepLatency;
use crate::latency::calibration::Calibration;
use crate::report;
use crate::report::document::Content;
use crate::scenario::{Scenario, Source};
use crate::sim::device::Measured;
use crate::{Error, Trace};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { ServeProgress, ServedLevels } from "../www/types.js";"#;

/// A load at several numbers of users.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ServedLevels {
    /// By rising users.
    pub levels: Vec<ServedLevel>,
    /// For people, with the maximum that the saturation study's curves find.
    pub report: String,
    /// The report and the tables, as `batchscope run --users --out` writes them.
    pub files: Vec<ServedFile>,
    /// The maximum of the curve u/(K + u) through the levels, output tokens/s, where they determine
    /// one.
    pub most: Option<f64>,
}

/// One number of users.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ServedLevel {
    pub comparison: Comparison,
    /// Of what was measured, else of what is predicted.
    pub mbu: Option<f64>,
    /// Where the data sheet is known.
    pub mfu: Option<f64>,
}

/// A text file.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ServedFile {
    pub name: String,
    pub text: String,
}

#[wasm_bindgen]
impl GpuEngine {
    /// Serves users on the GPU, a level after another; the calibration predicts the same.
    #[wasm_bindgen(unchecked_return_type = "ServedLevels")]
    pub async fn serve(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Calibration")] calibration: JsValue,
        users: Vec<u32>,
        #[wasm_bindgen(unchecked_param_type = "object")] scenario: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(progress: ServeProgress) => void")]
        progress: Function,
    ) -> Result<JsValue, JsValue> {
        let load = Load::read(calibration, &users, scenario)?;
        let cancel = Cancel::new();
        self.cancel.replace(cancel.clone());
        let mut report = |now: serve::Progress| {
            let told = plain(&now).and_then(|now| progress.call1(&JsValue::UNDEFINED, &now));
            // Nobody listens any more.
            if told.is_err() {
                cancel.cancel();
            }
        };
        let stop = || cancel.check().is_err();
        let device = self.gpu.device().clone();
        let measured = load.measure(device, &stop, &mut report).await;
        let levels = measured.and_then(|measured| load.levels(&measured));
        plain(&levels.map_err(|e| failure(&e))?)
    }

    /// The prediction alone.
    #[wasm_bindgen(unchecked_return_type = "ServedLevels")]
    pub fn predict(
        #[wasm_bindgen(unchecked_param_type = "Calibration")] calibration: JsValue,
        users: Vec<u32>,
        #[wasm_bindgen(unchecked_param_type = "object")] scenario: JsValue,
    ) -> Result<JsValue, JsValue> {
        let load = Load::read(calibration, &users, scenario)?;
        plain(&load.levels(&[]).map_err(|e| failure(&e))?)
    }
}

/// What is asked for: a calibrated GPU, and a scenario at several numbers of users.
struct Load {
    calibration: Calibration,
    trace: Trace,
    scenarios: Vec<Scenario>,
}

impl Load {
    fn read(calibration: JsValue, users: &[u32], scenario: JsValue) -> Result<Load, JsValue> {
        let calibration: Calibration = read(calibration, "calibration")?;
        let scenario: Scenario = read(scenario, "scenario")?;
        Load::new(calibration, users, scenario).map_err(|e| failure(&e))
    }

    fn new(calibration: Calibration, users: &[u32], mut scenario: Scenario) -> Result<Load, Error> {
        if let Some(server) = scenario.server_mut() {
            server.latency = StepLatency::from(&calibration);
        }
        let scenarios = serving::levels(users, &scenario)?;
        let trace = match &scenario.trace {
            Source::Synthetic(synthetic) => synthetic.generate(scenario.seed)?,
            Source::File { .. } => {
                return Err(Error::bad_field(
                    "trace",
                    "a file",
                    "requests that are made",
                ));
            }
        };
        Ok(Load {
            calibration,
            trace,
            scenarios,
        })
    }

    async fn measure(
        &self,
        device: Rc<Device>,
        stop: &dyn Fn() -> bool,
        report: &mut dyn FnMut(serve::Progress),
    ) -> Result<Vec<Measured>, Error> {
        let (trace, scenarios) = (&self.trace, &self.scenarios);
        let pool_tokens = serve::pool_tokens(trace, scenarios)?;
        let calibration = &self.calibration;
        let decoder = serve::decoder(device, calibration, "the calibration", pool_tokens);
        serve::serve(&mut decoder.await?, trace, scenarios, stop, report).await
    }

    /// `measured`: at each of the levels; empty where nothing was.
    fn levels(&self, measured: &[Measured]) -> Result<ServedLevels, Error> {
        let stack = Stack::from(&self.calibration);
        let levels = self
            .scenarios
            .iter()
            .enumerate()
            .map(|(i, scenario)| Comparison::of(&self.trace, scenario, measured.get(i)))
            .collect::<Result<Vec<_>, _>>()?;
        served(&Levels {
            stack: &stack,
            trace: &self.trace,
            scenarios: &self.scenarios,
            levels: &levels,
        })
    }
}

fn served(all: &Levels<'_>) -> Result<ServedLevels, Error> {
    let files = all
        .files()?
        .into_iter()
        .filter_map(|file| {
            let text = match &file.content {
                Content::Text(text) => text.clone(),
                Content::Table(table) => report::csv(table),
                Content::Json(value) => format!("{value:#}\n"),
                // The page draws its own.
                Content::Figure(_) => return None,
            };
            Some(ServedFile {
                name: file.name,
                text,
            })
        })
        .collect();
    let best = all.levels.iter().map(|level| level.best().level.clone());
    let curve = MichaelisMenten::fit(&best.collect::<Vec<_>>());
    Ok(ServedLevels {
        report: all.report()?,
        files,
        most: curve.ok().map(|curve| curve.v_max.value),
        levels: all
            .levels
            .iter()
            .map(|level| ServedLevel {
                mbu: all.stack.mbu(level.best()),
                mfu: all.stack.mfu(level.best()),
                comparison: level.clone(),
            })
            .collect(),
    })
}
