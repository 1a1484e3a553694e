//! The laboratory's door: what runs with continuous batching have besides, and models put on GPUs by
//! their data sheets.

use js_sys::Object;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::{Engine, columns, failure, floats, nothing_there, plain, read, read_scenario};
use crate::error::Error;
#[cfg(feature = "figures")]
use crate::experiment::calibrated;
#[cfg(feature = "figures")]
use crate::latency::StepTimes;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::hardware::Card;
use crate::metrics::{Outcome, figures, rows};
use crate::scenario::{Scenario, put_on_hardware};

/// A model on GPUs by data sheet, as `--model`, `--hardware` and `--precision` say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Placement {
    pub model: String,
    pub hardware: String,
    pub precision: Precision,
    /// Share of a GPU's memory that the server may use, above 0 and at most 1.
    pub memory_share: f64,
}

impl Placement {
    /// The scenario with its latency, memory and peaks; how many GPUs work together is the scenario's
    /// to say.
    pub(super) fn place(&self, scenario: &mut Scenario) -> Result<(), Error> {
        let known = |field: &str, value: &str, allowed: &[&str]| {
            Error::bad_field(field, value, allowed.join(", "))
        };
        let model = Architecture::preset(&self.model)
            .ok_or_else(|| known("on.model", &self.model, &Architecture::PRESETS))?;
        let card = Card::preset(&self.hardware)
            .ok_or_else(|| Error::bad_field("on.hardware", &self.hardware, Card::names()))?;
        if !(self.memory_share > 0.0 && self.memory_share <= 1.0) {
            let value = self.memory_share.to_string();
            return Err(known(
                "on.memory_share",
                &value,
                &["a share above 0 and at most 1"],
            ));
        }
        let group = scenario.gpus_together();
        put_on_hardware(
            scenario,
            &model,
            self.precision,
            &card,
            group,
            self.memory_share,
        )
    }
}

#[wasm_bindgen]
impl Engine {
    /// A scenario with a model put on its GPUs.
    #[wasm_bindgen(unchecked_return_type = "Scenario")]
    pub fn place(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Placement")] placement: JsValue,
    ) -> Result<JsValue, JsValue> {
        let mut scenario = read_scenario(&scenario)?;
        let placement: Placement = read(placement, "on")?;
        placement.place(&mut scenario).map_err(|e| failure(&e))?;
        plain(&scenario)
    }

    /// The scenario with every setting that has no effect at its default. The page's form keeps settings that
    /// another choice has put out of use; what runs and what the reader downloads must not, because the command
    /// line refuses them.
    #[wasm_bindgen(unchecked_return_type = "Scenario")]
    pub fn effective(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
    ) -> Result<JsValue, JsValue> {
        let mut scenario = read_scenario(&scenario)?;
        scenario.reset_without_effect();
        plain(&scenario)
    }

    /// Step times out of a file of the reader's.
    #[cfg(feature = "figures")]
    #[wasm_bindgen(js_name = stepTimes, unchecked_return_type = "StepTimes")]
    pub fn step_times(&self, text: &str, name: &str) -> Result<JsValue, JsValue> {
        plain(&StepTimes::from_text(text, name).map_err(|e| failure(&e))?)
    }

    /// The scenario with all steps shorter, and with all steps longer, by an error in proportion.
    #[cfg(feature = "figures")]
    #[wasm_bindgen(js_name = withinError, unchecked_return_type = "Scenario[]")]
    pub fn within_error(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
        error: f64,
    ) -> Result<JsValue, JsValue> {
        let scenario = read_scenario(&scenario)?;
        plain(&calibrated::ends(&scenario, error).map_err(|e| failure(&e))?)
    }

    /// Begins a run whose every step is taken down, for [`Engine::finish_traced`].
    #[wasm_bindgen(js_name = beginTraced)]
    pub fn begin_traced(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
    ) -> Result<(), JsValue> {
        self.begin(scenario)?;
        if let Some(run) = &mut self.run {
            run.record_steps();
        }
        Ok(())
    }

    /// Ends such a run: its steps as trace events, a file that Perfetto opens.
    #[wasm_bindgen(js_name = finishTraced)]
    pub fn finish_traced(&mut self) -> Result<Vec<u8>, JsValue> {
        let mut run = self.run.take().ok_or_else(nothing_there)?;
        let steps = run.take_steps().map_err(|e| failure(&e))?;
        let outcome = Outcome::of(&self.trace, run.finish());
        let mut file = Vec::new();
        rows::chrome_trace(&self.trace, &outcome, &steps, &mut file).map_err(unwritten)?;
        Ok(file)
    }

    /// A row per request, the file that the command line writes.
    #[wasm_bindgen(js_name = requestsCsv)]
    pub fn requests_csv(&self, key: &str) -> Result<Vec<u8>, JsValue> {
        let mut file = Vec::new();
        let outcome = self.outcome(key)?;
        rows::requests_csv(&self.trace, outcome, &mut file).map_err(unwritten)?;
        Ok(file)
    }

    /// Distributions of a run, dense in the tail.
    #[wasm_bindgen(js_name = servedCdfs, unchecked_return_type = "ServedCdfColumns")]
    pub fn served_cdfs(&self, key: &str, points: u32) -> Result<Object, JsValue> {
        let cdfs = figures::served_cdfs(&self.trace, self.outcome(key)?, points as usize);
        columns::object([
            ("ttft_s", floats(&cdfs.ttft.latency_s)),
            ("ttft_fraction", floats(&cdfs.ttft.fraction)),
            ("latency_s", floats(&cdfs.latency.latency_s)),
            ("latency_fraction", floats(&cdfs.latency.fraction)),
            ("tbt_s", floats(&cdfs.tbt.latency_s)),
            ("tbt_fraction", floats(&cdfs.tbt.fraction)),
        ])
    }

    /// State over time of a run.
    #[wasm_bindgen(js_name = servedSeries, unchecked_return_type = "ServedSeriesColumns")]
    pub fn served_series(&self, key: &str) -> Result<Object, JsValue> {
        let series = figures::served_series(&self.trace, self.outcome(key)?);
        columns::object([
            ("t_s", floats(&series.t_s)),
            ("waiting", floats(&series.waiting)),
            ("running", floats(&series.running)),
            ("kv_blocks", floats(&series.kv_blocks)),
            ("kv_tokens", floats(&series.kv_tokens)),
            ("busy", floats(&series.busy)),
        ])
    }

    /// Forgets the outcome under `key`, if there is one.
    pub fn forget(&mut self, key: &str) {
        self.outcomes.remove(key);
    }
}

/// Memory is the only place these files are written to.
fn unwritten(error: std::io::Error) -> JsValue {
    JsValue::from_str(&error.to_string())
}

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { Placement, StepTimes, ServedCdfColumns, ServedSeriesColumns } from "../www/types.js";"#;
