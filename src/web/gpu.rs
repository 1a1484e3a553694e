//! The calibrate view's side of the door: the GPU, calibrations and what their fits say. Compiled
//! with the feature `gpu` alone, into the module that the page loads when that view is opened.

use std::cell::RefCell;

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::{Engine, failure, plain, read, read_scenario};
use crate::error::Error;
use crate::experiment::calibrated;
use crate::experiment::serving::proof::Loads;
use crate::gpu::check::Effort;
use crate::gpu::{Cancel, Gpu, Options, Progress, serve};
use crate::latency::architecture::Architecture;
use crate::latency::calibration::{Calibration, Proof, Warning};
use crate::latency::hardware::Card;
use crate::latency::roofline::Stored;
use crate::latency::step::Step;
use crate::latency::{ClosedForm, Latency, StepLatency};
use crate::metrics::Summary;
use crate::sched::Policy;
use crate::words::counted;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { Adapter, Calibration, Checked, Derived, Described, ErrorRange, ErrorReport, CalibrateProgress, GpuModel, CalibrateOptions, CalibratePlan, Policy } from "../www/types.js";"#;

/// Sequences and context of each, in tokens, of the steps that every calibration is asked for.
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
    pub(super) gpu: Gpu,
    /// Of the run in progress.
    pub(super) cancel: RefCell<Cancel>,
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
    /// How far off predicted step times typically are, in proportion.
    pub error: f64,
    /// The same of the straight line that the simulator's closed batches come from.
    pub line_error: f64,
    /// The predicted time at each of the calibration's points, s.
    pub predicted: Vec<f64>,
    /// Predictions at the same places for every calibration.
    pub places: Vec<Place>,
    /// The same steps by data sheets.
    pub sheets: Vec<DataSheet>,
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

/// What a GPU's data sheet allows the calibrated model at best.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct DataSheet {
    pub card: Card,
    /// Whether it is the measured GPU's own.
    pub own: bool,
    /// Times of [`Described::places`], s.
    pub seconds: Vec<f64>,
    /// Of the measured GPU's own sheet, at the same places: the share of its peak bandwidth and
    /// arithmetic that the fitted times amount to.
    pub mbu: Option<Vec<f64>>,
    pub mfu: Option<Vec<f64>>,
}

/// A latency model for a trace's lengths.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Derived {
    pub latency: Latency,
    pub form: ClosedForm,
}

#[wasm_bindgen]
impl GpuEngine {
    /// Asks the browser for a GPU and opens it. `name` and `user_agent` are what the browser says of
    /// the GPU and of itself; `subgroups`, whether the device that it gives has them.
    pub async fn open(
        name: String,
        user_agent: String,
        subgroups: bool,
    ) -> Result<GpuEngine, JsValue> {
        Ok(GpuEngine {
            gpu: Gpu::open_in(name, user_agent, subgroups)
                .await
                .map_err(|e| failure(&e))?,
            cancel: RefCell::new(Cancel::new()),
        })
    }

    /// Every kernel on this GPU against its twin on the processor; `full` with all sizes.
    #[wasm_bindgen(unchecked_return_type = "Checked[]")]
    pub async fn check(&self, seed: u32, full: bool) -> Result<JsValue, JsValue> {
        let effort = if full { Effort::Full } else { Effort::Quick };
        let cancel = self.cancel.borrow().clone();
        let checked = self.gpu.self_check(seed, effort, &cancel).await;
        plain(&checked.map_err(|e| failure(&e))?)
    }

    /// What a browser without WebGPU is answered, as [`GpuEngine::open`] fails.
    #[wasm_bindgen(js_name = noWebGpu, unchecked_return_type = "ErrorReport")]
    pub fn no_web_gpu() -> JsValue {
        failure(&Error::Gpu {
            code: "no-webgpu",
            problem: "this browser has no WebGPU, or not on this page".to_owned(),
        })
    }

    /// Every model that can be run, in order of size.
    #[wasm_bindgen(unchecked_return_type = "GpuModel[]")]
    pub fn models() -> Result<JsValue, JsValue> {
        let models: Vec<GpuModel> = Architecture::PRESETS
            .into_iter()
            .filter_map(Architecture::preset)
            .map(|architecture| GpuModel {
                weights: architecture.step_weights(),
                architecture,
            })
            .collect();
        plain(&models)
    }

    /// A calibration from the text of its file.
    #[wasm_bindgen(unchecked_return_type = "Described")]
    pub fn read(text: &str, name: &str) -> Result<JsValue, JsValue> {
        describe(Calibration::from_json(text, name).map_err(|e| failure(&e))?)
    }

    /// What a calibration says.
    #[wasm_bindgen(unchecked_return_type = "Described")]
    pub fn describe(
        #[wasm_bindgen(unchecked_param_type = "Calibration")] calibration: JsValue,
    ) -> Result<JsValue, JsValue> {
        describe(read(calibration, "calibration")?)
    }

    #[wasm_bindgen(unchecked_return_type = "Adapter")]
    pub fn adapter(&self) -> Result<JsValue, JsValue> {
        plain(self.gpu.adapter())
    }

    /// What would run, for how long and in how much memory.
    #[wasm_bindgen(unchecked_return_type = "CalibratePlan")]
    pub fn plan(
        &self,
        #[wasm_bindgen(unchecked_param_type = "CalibrateOptions")] options: JsValue,
    ) -> Result<JsValue, JsValue> {
        let options: Options = read(options, "options")?;
        plain(&self.gpu.plan(&options))
    }

    /// Measures and fits; gives way to the worker's messages between two submissions.
    #[wasm_bindgen(unchecked_return_type = "Described")]
    pub async fn calibrate(
        &self,
        #[wasm_bindgen(unchecked_param_type = "CalibrateOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(event: CalibrateProgress) => void")]
        progress: Function,
    ) -> Result<JsValue, JsValue> {
        let options: Options = read(options, "options")?;
        let cancel = Cancel::new();
        self.cancel.replace(cancel.clone());
        let mut report = |event: Progress| {
            let told = plain(&event).and_then(|event| progress.call1(&JsValue::UNDEFINED, &event));
            // Nobody listens any more.
            if told.is_err() {
                cancel.cancel();
            }
        };
        let mut measuring = |mut event: Progress| {
            event.done *= BEFORE_PROOF;
            report(event);
        };
        let calibrated = self.gpu.calibrate(&options, &cancel, &mut measuring);
        let mut calibration = calibrated.await.map_err(|e| failure(&e))?;
        let stop = || cancel.check().is_err();
        match self.prove(&calibration, &stop, &mut report).await {
            Ok(proof) => calibration.proof = Some(proof),
            // The measurement stands without it.
            Err(why) => calibration.warnings.push(Warning::no_proof(&why)),
        }
        describe(calibration)
    }

    /// Ends the run in progress at its next submission.
    pub fn cancel(&self) {
        self.cancel.borrow().cancel();
    }

    /// Gives the GPU's memory back.
    pub fn destroy(&self) {
        self.gpu.destroy();
    }
}

/// Share of a calibration's progress that its measurements are; the rest is the proof.
const BEFORE_PROOF: f64 = 0.85;

impl GpuEngine {
    /// Two loads served by the real decoder, beside the calibration's predictions.
    async fn prove(
        &self,
        calibration: &Calibration,
        stop: &dyn Fn() -> bool,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Proof, Error> {
        let loads = Loads::new(calibration)?;
        let Loads { trace, scenarios } = &loads;
        let pool_tokens = serve::pool_tokens(trace, scenarios)?;
        let device = self.gpu.device().clone();
        let decoder = serve::decoder(device, calibration, "the calibration", pool_tokens);
        let mut decoder = decoder.await?;
        let mut tell = |now: serve::Progress| {
            let of_level = f64::from(now.answered) / f64::from(now.requests.max(1));
            let part = (f64::from(now.level) + of_level) / f64::from(now.levels.max(1));
            report(Progress {
                stage: "proof".to_owned(),
                what: format!(
                    "{}, {} of {}",
                    counted(now.users, "user"),
                    now.answered,
                    counted(now.requests, "request")
                ),
                done: BEFORE_PROOF + (1.0 - BEFORE_PROOF) * part,
                kernel: None,
                point: None,
                check: None,
            });
        };
        let measured = serve::serve(&mut decoder, trace, scenarios, stop, &mut tell);
        loads.proof(&measured.await?)
    }
}

#[wasm_bindgen]
impl Engine {
    /// A calibration as the latency model of a scenario, for the lengths of the trace at hand and the
    /// largest batch of the policies that are to be run.
    #[wasm_bindgen(unchecked_return_type = "Derived")]
    pub fn derive(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Calibration")] calibration: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Scenario")] scenario: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Policy[]")] policies: JsValue,
    ) -> Result<JsValue, JsValue> {
        let calibration: Calibration = read(calibration, "calibration")?;
        let policies: Vec<Policy> = read(policies, "policies")?;
        let mut scenario = read_scenario(&scenario)?;
        let bins = scenario.bins.clone();
        let largest = policies.into_iter().max_by_key(|policy| {
            let mut closed = scenario.closed().cloned().unwrap_or_default();
            closed.policy = *policy;
            closed.largest_batch(&bins)
        });
        if let Some(policy) = largest {
            scenario.closed_mut().policy = policy;
        }
        let form = calibrated::put_form_on(&calibration, &self.trace, &mut scenario)
            .map_err(|e| failure(&e))?;
        plain(&Derived {
            latency: Latency::Linear(form.linear),
            form,
        })
    }

    /// The figures of a run within an error of its step times.
    #[wasm_bindgen(unchecked_return_type = "ErrorRange")]
    pub fn range(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Summary")] summary: JsValue,
        error: f64,
    ) -> Result<JsValue, JsValue> {
        let summary: Summary = read(summary, "summary")?;
        let range = calibrated::error_range(&self.trace, &summary, error, &crate::simulate)
            .map_err(|e| failure(&e))?;
        plain(&range)
    }
}

fn describe(calibration: Calibration) -> Result<JsValue, JsValue> {
    let fit = &calibration.fit.model;
    let steps = StepLatency::from(&calibration).model();
    let step = |(sequences, context): (u32, u32)| {
        steps
            .decode(sequences, u64::from(sequences) * u64::from(context))
            .at_s
    };
    let by_sheet = |sheet: &Step, (sequences, context): (u32, u32)| {
        let sequences = f64::from(sequences);
        sheet.step_s(sequences, sequences * f64::from(context), 0.0)
    };
    let stored = Stored::new(&calibration.model.architecture, calibration.model.precision);
    let own = Card::of_adapter(&calibration.adapter.name).map(|card| card.key);
    let sheets = Card::all()
        .iter()
        .map(|card| {
            let hardware = card.hardware_for(stored.precision);
            let bound = stored.roofline(&hardware);
            let own = own.as_deref() == Some(&*card.key);
            let used = |share: &dyn Fn(f64, f64, f64) -> f64| -> Option<Vec<f64>> {
                own.then(|| {
                    PLACES
                        .map(|place| {
                            let b = f64::from(place.0);
                            share(b, b * f64::from(place.1), step(place))
                        })
                        .to_vec()
                })
            };
            DataSheet {
                own,
                seconds: PLACES.map(|place| by_sheet(&bound, place)).to_vec(),
                mbu: used(&|b, c, s| hardware.mbu(&stored.work(b, c, 0.0), s)),
                mfu: used(&|b, c, s| hardware.mfu(&stored.work(b, c, 0.0), s)),
                card: card.clone(),
            }
        })
        .collect();
    let described = Described {
        text: calibration.to_json().map_err(|e| failure(&e))?,
        error: calibration.step_error(),
        line_error: calibration.line_error(),
        predicted: calibration
            .points
            .iter()
            .map(|p| match calibration.steps.is_empty() {
                // Their points have no submission, and the line through them has none.
                true => fit.step_s(p.sequences.into(), p.context.into(), p.prefill.into()),
                false => steps.step(&p.work(&mut Vec::new())).seconds,
            })
            .collect(),
        places: PLACES
            .map(|place| Place {
                sequences: place.0,
                context: place.1,
                seconds: step(place),
            })
            .to_vec(),
        sheets,
        calibration,
    };
    plain(&described)
}
