//! The browser's door, and the only room that names `wasm_bindgen`. Mechanical: each method hands
//! its arguments to the core and its result to JavaScript.
//!
//! What crosses: scenarios, summaries and errors as plain objects; columns as typed arrays that the
//! worker transfers; a trace file as a [`Blob`](web_sys::Blob) that is read in bounded chunks. No
//! JSON that grows with the trace.

mod article;
mod blob;
mod columns;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod lab;
#[cfg(feature = "figures")]
pub mod reproduce;
#[cfg(feature = "figures")]
mod search;
#[cfg(feature = "gpu")]
pub mod serving;
#[cfg(feature = "figures")]
pub mod studies;

use std::collections::BTreeMap;
use std::io::Read;

use js_sys::{Float64Array, Object};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::error::{Error, ErrorReport};
use crate::metrics::{Outcome, figures};
use crate::scenario::{Scenario, Source};
use crate::sim::Run;
use crate::trace::stats::{Stats, stats};
use crate::trace::{self, ReadReport, Reading, Trace};

/// Hands the sentence of a panic to the worker. The module aborts on panic, so without this the
/// worker would see a bare trap.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| {
        wasm_bindgen::throw_str(&panic.to_string())
    }));
}

/// One worker's simulator: a trace, the run in progress, and the outcomes of the runs that ended.
#[wasm_bindgen]
#[derive(Default)]
pub struct Engine {
    trace: Trace,
    run: Option<Run>,
    /// By the caller's key, one per scheduler.
    outcomes: BTreeMap<String, Outcome>,
}

#[wasm_bindgen]
impl Engine {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Engine {
        Engine::default()
    }

    /// Reads a file of the reader's, without ever holding the whole of it, as the scenario's
    /// `trace.file` says. `progress` is called with the share of its bytes that were read. On an error
    /// the former trace stays.
    #[wasm_bindgen(js_name = loadBlob, unchecked_return_type = "TraceInfo")]
    pub fn load_blob(
        &mut self,
        blob: web_sys::Blob,
        name: &str,
        #[wasm_bindgen(unchecked_param_type = "Scenario | null")] scenario: JsValue,
        progress: Option<js_sys::Function>,
    ) -> Result<JsValue, JsValue> {
        let reading = match scenario.is_null() {
            true => Reading::default(),
            false => read_scenario(&scenario)?.trace.reading(),
        };
        self.read(
            Box::new(blob::BlobReader::new(blob, progress)?),
            name,
            &reading,
        )
    }

    /// Reads a file that is in memory already.
    #[wasm_bindgen(js_name = loadBytes, unchecked_return_type = "TraceInfo")]
    pub fn load_bytes(&mut self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        self.read(Box::new(bytes), name, &Reading::default())
    }

    /// Makes the trace that a scenario with a generator describes.
    #[wasm_bindgen(unchecked_return_type = "TraceInfo")]
    pub fn generate(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
    ) -> Result<JsValue, JsValue> {
        let scenario = read_scenario(&scenario)?;
        match &scenario.trace {
            Source::Synthetic(synthetic) => self.take(synthetic.generate(scenario.seed)),
            Source::File { name, .. } => Err(failure(&Error::EmptyTrace {
                file: name.clone(),
                problem: "the scenario names this file; choose it again".to_owned(),
            })),
        }
    }

    /// Begins a run over the trace at hand; a run in progress is forgotten.
    pub fn begin(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
    ) -> Result<(), JsValue> {
        let scenario = read_scenario(&scenario)?;
        self.run = Some(Run::new(&self.trace, &scenario).map_err(|e| failure(&e))?);
        Ok(())
    }

    /// Carries the run on by about so many events; true once it has ended.
    pub fn advance(&mut self, events: u32) -> bool {
        match &mut self.run {
            Some(run) => run.advance(&self.trace, u64::from(events)),
            None => true,
        }
    }

    /// How far the run is, from 0 to 1.
    pub fn progress(&self) -> f64 {
        self.run.as_ref().map_or(1.0, Run::progress)
    }

    /// Ends the run, keeps its outcome under `key` and returns its summary.
    #[wasm_bindgen(unchecked_return_type = "Summary")]
    pub fn finish(&mut self, key: &str) -> Result<JsValue, JsValue> {
        let run = self.run.take().ok_or_else(nothing_there)?;
        let outcome = Outcome::of(&self.trace, run.finish());
        let summary = plain(&outcome.summary)?;
        self.outcomes.insert(key.to_owned(), outcome);
        Ok(summary)
    }

    /// The distribution of latencies, dense in the tail.
    #[wasm_bindgen(unchecked_return_type = "CdfColumns")]
    pub fn cdf(&self, key: &str, points: u32) -> Result<Object, JsValue> {
        let cdf = figures::latency_cdf(&self.trace, self.outcome(key)?, points as usize);
        columns::object([
            ("latency_s", floats(&cdf.latency_s)),
            ("fraction", floats(&cdf.fraction)),
        ])
    }

    /// Queue, batch size and busy GPUs over time, down-sampled.
    #[wasm_bindgen(unchecked_return_type = "SeriesColumns")]
    pub fn series(&self, key: &str, buckets: u32) -> Result<Object, JsValue> {
        let series = figures::series(&self.trace, self.outcome(key)?, buckets as usize);
        columns::object([
            ("t_s", floats(&series.t_s)),
            ("waiting_mean", floats(&series.waiting_mean)),
            ("waiting_max", floats(&series.waiting_max)),
            ("batch_mean", floats(&series.batch_mean)),
            ("batch_max", floats(&series.batch_max)),
            ("busy_gpus", floats(&series.busy_gpus)),
        ])
    }

    /// Every request of a run, a typed array per column.
    #[wasm_bindgen(unchecked_return_type = "RequestColumns")]
    pub fn requests(&self, key: &str) -> Result<Object, JsValue> {
        columns::requests(&self.trace, self.outcome(key)?)
    }

    /// Digests of a run's columns: equal digests mean equal bytes.
    #[wasm_bindgen(unchecked_return_type = "Record<string, string>")]
    pub fn digests(&self, key: &str) -> Result<JsValue, JsValue> {
        plain(&self.outcome(key)?.digests())
    }
}

impl Engine {
    /// One reader type for every source: the readers are the larger part of the module.
    fn read(
        &mut self,
        input: Box<dyn Read + '_>,
        name: &str,
        reading: &Reading,
    ) -> Result<JsValue, JsValue> {
        self.take(trace::read_as(input, name, reading))
    }

    fn take(&mut self, trace: Result<Trace, Error>) -> Result<JsValue, JsValue> {
        self.trace = trace.map_err(|e| failure(&e))?;
        self.run = None;
        self.outcomes.clear();
        plain(&TraceInfo {
            name: self.trace.name.clone(),
            requests: self.trace.len() as u64,
            report: self.trace.report.clone(),
            stats: stats(&self.trace),
        })
    }

    fn outcome(&self, key: &str) -> Result<&Outcome, JsValue> {
        self.outcomes.get(key).ok_or_else(nothing_there)
    }
}

/// What was read or generated, and what it is like.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TraceInfo {
    pub name: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub requests: u64,
    pub report: ReadReport,
    pub stats: Stats,
}

/// The package's version.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A fresh seed from the browser's source of randomness.
#[wasm_bindgen(js_name = randomSeed)]
pub fn random_seed() -> Result<u32, JsValue> {
    getrandom::u32().map_err(|e| JsValue::from_str(&e.to_string()))
}

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { BatchColumns, CdfColumns, ControllerColumns, Cost, RequestColumns, Scenario, SeriesColumns, Summary, TraceInfo } from "../www/types.js";"#;

#[cfg(feature = "figures")]
#[wasm_bindgen(typescript_custom_section)]
const STUDY_TYPES: &str = r#"import type { RecognisedFile, Reproduced, Study, StudyFile, StudyInfo } from "../www/types.js";"#;

/// A scenario of version 2 from a plain object.
fn read_scenario(value: &JsValue) -> Result<Scenario, JsValue> {
    let scenario: Scenario = serde_wasm_bindgen::from_value(value.clone()).map_err(|e| {
        failure(&Error::BadScenario {
            file: "scenario".to_owned(),
            line: 0,
            column: 0,
            field: String::new(),
            problem: e.to_string(),
        })
    })?;
    scenario.validate().map_err(|e| failure(&e))?;
    Ok(scenario)
}

/// A plain object as a value of the core; the error names the field.
fn read<T: serde::de::DeserializeOwned>(value: JsValue, what: &str) -> Result<T, JsValue> {
    let reader = serde_wasm_bindgen::Deserializer::from(value);
    serde_path_to_error::deserialize(reader).map_err(|e| {
        failure(&Error::BadScenario {
            file: what.to_owned(),
            line: 0,
            column: 0,
            field: e.path().to_string(),
            problem: e.inner().to_string(),
        })
    })
}

/// A plain object, with `null` for what is absent.
fn plain<T: Serialize>(value: &T) -> Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(JsValue::from)
}

fn floats(column: &[f64]) -> JsValue {
    Float64Array::from(column).into()
}

/// An error as the plain [`ErrorReport`]: the worker knows it by its `code`, and everything else
/// that is thrown for a crash.
fn failure(error: &Error) -> JsValue {
    let report: ErrorReport = error.report();
    plain(&report).unwrap_or_else(|e| e)
}

fn nothing_there() -> JsValue {
    JsValue::from_str("asked for the result of a run that has not ended")
}
