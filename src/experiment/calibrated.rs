//! Runs on a measured GPU: a scenario whose latency is a calibration's, and how far its figures move
//! within the calibration's error (docs/MODEL.md, "Closed-batch form of a step").

use serde::Serialize;

use crate::experiment::capacity::Simulate;
use crate::latency::calibration::Calibration;
use crate::latency::modelled::{Modelled, Spread};
use crate::latency::{ClosedForm, Latency, Shape, StepLatency};
use crate::metrics::Summary;
use crate::scenario::Engine;
use crate::scenario::Scenario;
use crate::sched::Policy;
use crate::trace::Trace;
use crate::{Error, sim};

/// What the rows that a scenario takes ask of a batch: their mean lengths, without failed requests, and
/// for the policies that look at memory the tokens that fit.
pub fn shape(trace: &Trace, scenario: &Scenario) -> Shape {
    let rows = sim::rows(trace, scenario);
    let lengths = trace.prompt[rows.clone()]
        .iter()
        .zip(&trace.output[rows])
        .filter(|(_, output)| **output > 0);
    let (mut requests, mut prompts, mut outputs) = (0.0, 0.0, 0.0);
    for (&prompt, &output) in lengths {
        requests += 1.0;
        prompts += f64::from(prompt);
        outputs += f64::from(output);
    }
    let mean = |sum: f64| if requests > 0.0 { sum / requests } else { 0.0 };
    let looks_at_memory = match scenario.policy() {
        Some(Policy::Dynamic | Policy::MultiBinDynamic) => true,
        Some(Policy::StaticFifo | Policy::MultiBin) | None => false,
    };
    Shape {
        prompt: mean(prompts),
        output: mean(outputs),
        most_tokens: looks_at_memory.then(|| scenario.memory().token_limit() as f64),
    }
}

/// Gives a scenario the steps of a calibration. Everything else, memory too, stays the scenario's.
///
/// Errors: a step so slow that no scenario takes it.
pub fn put_on(calibration: &Calibration, scenario: &mut Scenario) -> Result<(), Error> {
    let steps = StepLatency::from(calibration);
    match &mut scenario.engine {
        Engine::Continuous(server) => server.latency = steps,
        Engine::Closed(closed) => closed.latency = Latency::Steps(Box::new(steps)),
    }
    scenario.validate()
}

/// Puts a calibration's step into a scenario of closed batches in the studies' form, derived for this trace and scheduler.
///
/// Errors: as [`put_on`]; a scenario with continuous batching.
pub fn put_form_on(
    calibration: &Calibration,
    trace: &Trace,
    scenario: &mut Scenario,
) -> Result<ClosedForm, Error> {
    let Some(closed) = scenario.closed() else {
        return Err(Error::contradiction(
            "--closed-form",
            "it is about closed batches, and this run is of continuous batching (engine.continuous)",
        ));
    };
    let largest = closed.largest_batch(&scenario.bins);
    let form = calibration
        .served_line()
        .closed_batch(shape(trace, scenario), largest);
    scenario.closed_mut().latency = Latency::Linear(form.linear);
    scenario.validate()?;
    Ok(form)
}

/// A figure as simulated, with all steps faster, and with all steps slower.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Moved {
    pub at: Option<f64>,
    pub faster: Option<f64>,
    pub slower: Option<f64>,
}

impl Moved {
    /// The least and the most of the three; schedulers do not always answer to faster steps with
    /// better figures.
    pub fn ends(&self) -> Option<[f64; 2]> {
        let (at, faster, slower) = (self.at?, self.faster?, self.slower?);
        Some([at.min(faster).min(slower), at.max(faster).max(slower)])
    }
}

/// The main figures of a run within the error of its step times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ErrorRange {
    /// By how much the steps are faster and slower, in proportion; of two unequal ones the greater.
    pub error: f64,
    /// Times the steps' times: faster, slower.
    pub factors: [f64; 2],
    /// Output tokens/s.
    pub output_tokens_per_s: Moved,
    /// Time to the first token, s.
    pub ttft_p50_s: Moved,
    pub ttft_p95_s: Moved,
    /// Time per output token after the first, median over requests, ms.
    pub tpot_p50_ms: Moved,
    /// Share of the requests that met both SLAs.
    pub joint: Moved,
    /// E2E latency, s.
    pub e2e_p95_s: Moved,
    /// Requests that met both SLAs, per second.
    pub goodput_requests_per_s: Moved,
}

/// No steps are faster than this share of what was fitted, however large the error.
const FASTEST: f64 = 0.1;

/// The scenario with all steps shorter, and with all steps longer, by `error` in proportion.
///
/// Errors: an `error` that is no number from 0 to 1e6.
pub fn ends(scenario: &Scenario, error: f64) -> Result<[Scenario; 2], Error> {
    if !(0.0..=1e6).contains(&error) {
        return Err(Error::bad_field("step_error", error, "0 to 1000000"));
    }
    Ok(factors_of(error).map(|by| scaled(scenario, by)))
}

fn factors_of(error: f64) -> [f64; 2] {
    [(1.0 - error).max(FASTEST), 1.0 + error]
}

/// The scenario with every step's time multiplied.
fn scaled(scenario: &Scenario, by: f64) -> Scenario {
    let mut scenario = scenario.clone();
    match &mut scenario.engine {
        Engine::Continuous(server) => server.latency = server.latency.times(by),
        Engine::Closed(closed) => match &mut closed.latency {
            // A number that leaves a scenario's range by this is at its bound.
            Latency::Linear(linear) => {
                linear.alpha_s = (linear.alpha_s * by).min(1e3);
                linear.beta_s_per_token = (linear.beta_s_per_token * by).min(10.0);
                linear.floor_s = (linear.floor_s * by).clamp(1e-9, 10.0);
            }
            Latency::Steps(steps) => **steps = steps.times(by),
        },
    }
    scenario
}

/// Runs the scenario twice more, with step times lower and higher by `error` (in proportion), beside the
/// figures of the run as it is.
///
/// Errors: those of the runs.
pub fn error_range(
    trace: &Trace,
    summary: &Summary,
    error: f64,
    simulate: Simulate<'_>,
) -> Result<ErrorRange, Error> {
    Ok(ErrorRange {
        error,
        ..moved_by(trace, summary, factors_of(error), simulate)?
    })
}

/// The spread of the steps that a scenario takes, where they are those of a model by fitted shares.
pub fn spread(scenario: &Scenario) -> Option<(&Modelled, Spread)> {
    let steps = match &scenario.engine {
        Engine::Continuous(server) => &server.latency,
        Engine::Closed(closed) => match &closed.latency {
            Latency::Steps(steps) => steps,
            Latency::Linear(_) => return None,
        },
    };
    match steps {
        StepLatency::Modelled(step) => Some((step, step.spread?)),
        _ => None,
    }
}

/// Runs the scenario twice more, with step times multiplied by two factors, the faster first, beside the figures of the run as
/// it is.
///
/// Errors: those of the runs.
pub fn moved_by(
    trace: &Trace,
    summary: &Summary,
    factors: [f64; 2],
    simulate: Simulate<'_>,
) -> Result<ErrorRange, Error> {
    let run = |by: f64| simulate(trace, &scaled(&summary.scenario, by));
    let [faster, slower] = factors;
    let (faster, slower) = (run(faster)?.summary, run(slower)?.summary);
    let moved = |of: &dyn Fn(&Summary) -> Option<f64>| Moved {
        at: of(summary),
        faster: of(&faster),
        slower: of(&slower),
    };
    Ok(ErrorRange {
        error: (1.0 - factors[0]).abs().max((factors[1] - 1.0).abs()),
        factors,
        output_tokens_per_s: moved(&|s| Some(s.honest.output_tokens_per_s)),
        ttft_p50_s: moved(&|s| s.honest.ttft_s.as_ref().map(|d| d.p50)),
        ttft_p95_s: moved(&|s| s.honest.ttft_s.as_ref().map(|d| d.p95)),
        tpot_p50_ms: moved(&|s| s.honest.tpot_ms.as_ref().map(|d| d.p50)),
        joint: moved(&|s| s.honest.sla.joint),
        e2e_p95_s: moved(&|s| s.honest.e2e_s.as_ref().map(|d| d.p95)),
        goodput_requests_per_s: moved(&|s| Some(s.honest.goodput_requests_per_s)),
    })
}
