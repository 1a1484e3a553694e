//! Searches over many runs, for a worker that does nothing else: the fewest GPUs for a rate, the highest
//! rate for a fleet, and how two scenarios differ from seed to seed. What `batchscope capacity` and
//! `batchscope compare` answer, by the same searches.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::lab::Placement;
use super::{Engine, failure, plain, read, read_scenario};
use crate::error::Error;
use crate::experiment::capacity::{HighestRate, Part, Promise, Replication, fewest_gpus};
use crate::experiment::compare;
use crate::published::execution::check_replications;
use crate::scenario::{Scenario, Source};
use crate::simulate;
use crate::trace::Trace;

#[wasm_bindgen]
impl Engine {
    /// The fewest GPUs that keep a promise at a rate. `progress` is called with
    /// each number of GPUs before it is tried. Scenarios that name a file search over the trace at hand.
    #[wasm_bindgen(js_name = fewestGpus, unchecked_return_type = "Fewest")]
    pub fn fewest_gpus(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Placement | null")] on: JsValue,
        #[wasm_bindgen(unchecked_param_type = "FleetPromise")] promise: JsValue,
        rate_per_s: f64,
        replications: u32,
        progress: &Function,
    ) -> Result<JsValue, JsValue> {
        let scenario = placed(&scenario, on)?;
        let promise: Promise = read(promise, "promise")?;
        let found = self
            .replications(&scenario, promise, replications)
            .and_then(|all| {
                fewest_gpus(&scenario, rate_per_s, promise, |gpus| {
                    tell(progress, gpus);
                    all.iter()
                        .map(|(trace, one)| {
                            one.attempt(self.or(trace), rate_per_s, gpus, &simulate)
                        })
                        .collect()
                })
            })
            .map_err(|e| failure(&e))?;
        plain(&found)
    }

    /// The highest rate at which a fleet keeps a promise. `progress` is called with the part that
    /// begins, from 0: the scenario as it stands, then its replications.
    #[wasm_bindgen(js_name = highestRate, unchecked_return_type = "HighestRate")]
    pub fn highest_rate(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Placement | null")] on: JsValue,
        #[wasm_bindgen(unchecked_param_type = "FleetPromise")] promise: JsValue,
        replications: u32,
        progress: &Function,
    ) -> Result<JsValue, JsValue> {
        let scenario = placed(&scenario, on)?;
        let promise: Promise = read(promise, "promise")?;
        let found = self
            .replications(&scenario, promise, replications)
            .and_then(|all| {
                (0..)
                    .zip(&all)
                    .map(|(index, (trace, one))| {
                        tell(progress, index);
                        one.highest_rate(self.or(trace), &simulate)
                    })
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(|e| failure(&e))?;
        plain(&HighestRate::of(&scenario, &found))
    }

    /// How the figures of `b` differ from those of `a`, over paired seeds, and whether both serve the same
    /// requests. `progress` is called with the number of the pair that begins, from 0.
    #[wasm_bindgen(unchecked_return_type = "PairedComparison")]
    pub fn differences(
        &self,
        #[wasm_bindgen(unchecked_param_type = "[Scenario, Placement | null]")] a: Vec<JsValue>,
        #[wasm_bindgen(unchecked_param_type = "[Scenario, Placement | null]")] b: Vec<JsValue>,
        replications: u32,
        progress: &Function,
    ) -> Result<JsValue, JsValue> {
        let both = |one: Vec<JsValue>| match <[JsValue; 2]>::try_from(one) {
            Ok([scenario, on]) => placed(&scenario, on),
            Err(_) => Err(JsValue::from_str("a scenario and where it is placed")),
        };
        let (a, b) = (both(a)?, both(b)?);
        let pairs = check_replications(replications)
            .and_then(|()| compare::check_pair(&a, &b))
            .and_then(|()| {
                let file = match &a.trace {
                    Source::File { .. } => Some(&self.trace),
                    Source::Synthetic(_) => None,
                };
                (0..replications)
                    .map(|i| {
                        tell(progress, i);
                        compare::pair([&a, &b], file, a.seed.wrapping_add(i), &simulate)
                    })
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(|e| failure(&e))?;
        plain(&compare::comparison([&a, &b], &pairs))
    }
}

impl Engine {
    /// Every part of a search, with its own trace where that is generated.
    fn replications(
        &self,
        scenario: &Scenario,
        promise: Promise,
        count: u32,
    ) -> Result<Vec<(Option<Trace>, Replication)>, Error> {
        check_replications(count)?;
        Part::all(scenario, count)
            .into_iter()
            .map(|part| {
                let own = match &scenario.trace {
                    Source::Synthetic(synthetic) => Some(synthetic.generate(part.seed(scenario))?),
                    Source::File { .. } => None,
                };
                let one = Replication::new(self.or(&own), scenario, promise, part)?;
                Ok((own, one))
            })
            .collect()
    }

    fn or<'a>(&'a self, own: &'a Option<Trace>) -> &'a Trace {
        own.as_ref().unwrap_or(&self.trace)
    }
}

/// A scenario, put on hardware where `on` is not null.
fn placed(scenario: &JsValue, on: JsValue) -> Result<Scenario, JsValue> {
    let mut scenario = read_scenario(scenario)?;
    let on: Option<Placement> = read(on, "on")?;
    if let Some(placement) = on {
        placement.place(&mut scenario).map_err(|e| failure(&e))?;
    }
    Ok(scenario)
}

/// Calls the worker's function; that it failed is the worker's to notice.
fn tell(progress: &Function, number: u32) {
    let _ = progress.call1(&JsValue::NULL, &JsValue::from(number));
}

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { Fewest, FleetPromise, HighestRate, PairedComparison } from "../www/types.js";"#;
