//! What the article's figures and the timeline ask besides summaries: batches, the controller's states,
//! the roofline and the theorem.

use js_sys::Object;
use wasm_bindgen::prelude::*;

use super::{Engine, columns, failure, floats};
use crate::error::Error;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::hardware::Card;
use crate::latency::roofline::Stored;
use crate::metrics::steering::steering;
use crate::published::paper::multi_bin::UniformTimes;
use crate::scenario::MEMORY_SHARE;

#[wasm_bindgen]
impl Engine {
    /// Every batch of a run, a typed array per column, in order of its start.
    #[wasm_bindgen(unchecked_return_type = "BatchColumns")]
    pub fn batches(&self, key: &str) -> Result<Object, JsValue> {
        columns::batches(&self.outcome(key)?.batches)
    }

    /// The controller of a bin through a run; empty for policies without one.
    #[wasm_bindgen(unchecked_return_type = "ControllerColumns")]
    pub fn controller(&self, key: &str, bin: u8) -> Result<Object, JsValue> {
        let steering = steering(self.outcome(key)?, bin);
        columns::object([
            ("start_s", floats(&steering.start_s)),
            ("low", floats(&steering.low)),
            ("high", floats(&steering.high)),
            ("allowed", columns::ints(&steering.allowed)),
            ("size", columns::ints(&steering.size)),
            ("tau_s", floats(&steering.tau_s)),
        ])
    }
}

/// The decoding steps that a data sheet allows at best: of each number of `sequences`, every one with a
/// context of `context` tokens.
#[wasm_bindgen(js_name = stepCosts, unchecked_return_type = "Cost")]
pub fn step_costs(
    model: &str,
    card: &str,
    precision: &str,
    context: f64,
    sequences: &[f64],
) -> Result<Object, JsValue> {
    let unknown = |field: &str, value: &str, allowed: String| {
        failure(&Error::bad_field(field, value, allowed))
    };
    let architecture = Architecture::preset(model)
        .ok_or_else(|| unknown("model", model, Architecture::PRESETS.join(", ")))?;
    let card = Card::preset(card).ok_or_else(|| unknown("hardware", card, Card::names()))?;
    let precision = Precision::ALL
        .into_iter()
        .find(|known| known.name() == precision)
        .ok_or_else(|| {
            let names = Precision::ALL.map(Precision::name);
            unknown("precision", precision, names.join(", "))
        })?;
    let stored = Stored::new(&architecture, precision);
    let step = stored.roofline(&card.hardware_for(precision));
    let each = |cost: &dyn Fn(f64) -> f64| {
        floats(&sequences.iter().map(|&n| cost(n)).collect::<Vec<f64>>())
    };
    columns::object([
        ("step_s", each(&|n| step.step_s(n, n * context, 0.0))),
        (
            "cache_s",
            each(&|n| step.c2_s_per_context_token * n * context),
        ),
        ("weights_s", step.c0_s.into()),
        ("weight_bytes", stored.weight_bytes().into()),
        ("token_bytes", stored.token_bytes().into()),
        ("memory_bytes", card.memory_bytes.into()),
        ("memory_share", MEMORY_SHARE.into()),
    ])
}

/// Theorem 4.2 of the multi-bin paper: requests per second of batches of `batch` with service times uniform
/// from `low_s` to `high_s`, for each number of bins.
#[wasm_bindgen(js_name = uniformThroughput)]
pub fn uniform_throughput(batch: u32, low_s: f64, high_s: f64, bins: &[f64]) -> Vec<f64> {
    let times = UniformTimes {
        batch,
        low_s,
        high_s,
    };
    bins.iter().map(|&k| times.throughput(k)).collect()
}
