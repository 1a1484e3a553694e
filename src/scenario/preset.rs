//! The published studies as complete settings: `--preset` on the command line, one click on the
//! page.

#[cfg(feature = "continuous")]
use super::Engine;
use super::{Scenario, Ties, TokenRule};
#[cfg(feature = "continuous")]
use crate::latency::StepLatency;
#[cfg(feature = "continuous")]
use crate::latency::architecture::{Architecture, Precision};
#[cfg(feature = "continuous")]
use crate::latency::roofline::{Card, Hardware, Stored};
use crate::latency::{Latency, Linear};
use crate::sched::bins::{Bins, Boundaries};
use crate::sched::controller::{Controller, Feedback, Variant};
use crate::sched::memory::Memory;
use crate::trace::Failed;
use crate::trace::predict::{Kind, Predictor};

/// Share of a GPU's memory that a server uses where nothing else is said: the default of vLLM's
/// `gpu_memory_utilization`.
pub const MEMORY_SHARE: f64 = 0.9;

/// Puts a model on GPUs of a data sheet: continuous batching with the step that the sheet allows at best, the
/// memory that the weights leave, and the peaks for MFU and MBU. Other settings of the server stay.
///
/// `tensor_parallel` GPUs share the weights, the cache and the arithmetic evenly; what they say to each other
/// is not modelled. `memory_share`: of a GPU's memory that the server may use, as vLLM's
/// `gpu_memory_utilization`.
#[cfg(feature = "continuous")]
pub fn put_on_hardware(
    scenario: &mut Scenario,
    model: &Architecture,
    precision: Precision,
    card: &Card,
    tensor_parallel: u32,
    memory_share: f64,
) {
    let mut server = match &scenario.engine {
        Engine::Continuous(server) => server.clone(),
        Engine::Closed => Box::default(),
    };
    let gpus = f64::from(tensor_parallel);
    let group = Hardware {
        peak_flops: card.hardware.peak_flops * gpus,
        bandwidth_bytes_per_s: card.hardware.bandwidth_bytes_per_s * gpus,
        ..card.hardware.clone()
    };
    let stored = Stored::new(model, precision);
    server.latency = StepLatency::Linear(stored.roofline(&group));
    server.ceiling = Some(stored.ceiling(&group));
    server.tensor_parallel = tensor_parallel;
    scenario.engine = Engine::Continuous(server);
    let embeddings = if model.tied { 0 } else { model.head_weights() };
    let more = embeddings as f64 * precision.bytes_per_weight();
    scenario.memory = Memory {
        capacity_gb: card.memory_bytes * memory_share / 1e9,
        model_gb: (stored.weight_bytes() + more) / 1e9,
        kv_gb_per_token: stored.token_bytes() / 1e9,
        margin_gb: 0.0,
    };
    let groups = scenario.fleet.gpus.div_ceil(tensor_parallel);
    scenario.fleet.gpus = groups * tensor_parallel;
}

/// A published study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// November 30 to December 2: the fitted grid, 30 ms and 20 s.
    StressV2,
    /// November 29: fall-back latency values, 50 ms and 10 s.
    TwoStep,
    /// November 24: the first grid, 1 s end to end, the controller that cannot grow again.
    ThreeStep,
}

impl Preset {
    pub const ALL: [Preset; 3] = [Preset::StressV2, Preset::TwoStep, Preset::ThreeStep];

    /// As in `--preset`.
    pub fn name(self) -> &'static str {
        match self {
            Preset::StressV2 => "stress-v2",
            Preset::TwoStep => "two-step",
            Preset::ThreeStep => "three-step",
        }
    }

    /// One sentence for a list of choices.
    pub fn describe(self) -> &'static str {
        match self {
            Preset::StressV2 => "stress test v2: fitted latency grid, SLAs of 30 ms and 20 s",
            Preset::TwoStep => "two-step study: fall-back latency model, SLAs of 50 ms and 10 s",
            Preset::ThreeStep => "three-step study: first latency grid, 1 s end to end",
        }
    }

    /// Sets latency model, controller, memory constants, predictor, boundaries, failed rows, time
    /// scale (hence recorded arrivals, no closed loop) and SLAs as that study had them; the trace,
    /// the policy, K, the fleet and the limit stay as they are.
    pub fn apply(self, scenario: &mut Scenario) {
        scenario.seed = 42;
        scenario.workload.failed = Failed::Keep;
        scenario.workload.ties = Ties::PublishedHeap;
        scenario.workload.time_scale = 200.0;
        scenario.workload.rate_per_s = None;
        scenario.workload.closed_loop = None;
        scenario.predictor = Predictor {
            kind: Kind::Published,
            ..Predictor::default()
        };
        let kept = &scenario.scheduler;
        scenario.scheduler = crate::sched::Scheduler {
            policy: kept.policy,
            bins: Bins {
                count: kept.bins.count,
                boundaries: Boundaries::EqualMassOutputs,
                below_range_to_last: true,
                ..Bins::default()
            },
            ..crate::sched::Scheduler::default()
        };
        scenario.memory = Memory::default();
        scenario.sla.published_token_rule = TokenRule::BatchTbt;
        match self {
            Preset::StressV2 => {
                scenario.latency = Latency::Linear(Linear::STRESS_V2);
                scenario.sla.token_ms = 30.0;
                scenario.sla.request_s = 20.0;
            }
            Preset::TwoStep => {
                scenario.latency = Latency::Linear(Linear::TWO_STEP);
                scenario.sla.token_ms = 50.0;
                scenario.sla.request_s = 10.0;
            }
            Preset::ThreeStep => {
                scenario.latency = Latency::Linear(Linear::THREE_STEP);
                scenario.sla.token_ms = 1000.0;
                scenario.sla.request_s = 1.0;
                scenario.sla.published_token_rule = TokenRule::EndToEnd;
                scenario.memory = Memory {
                    model_gb: 2.0,
                    kv_gb_per_token: 5e-6,
                    margin_gb: 0.0,
                    ..Memory::default()
                };
                scenario.scheduler.controller = Controller {
                    variant: Variant::Nov24,
                    feedback: Feedback::Service,
                    target_s: Some(1.0),
                    epsilon_s: 0.1,
                    ..Controller::default()
                };
                scenario.scheduler.bins.boundaries = Boundaries::EqualMassPredictions;
                scenario.scheduler.bins.sample_size = 5_000;
            }
        }
    }

    /// The study's settings on top of the defaults.
    pub fn scenario(self) -> Scenario {
        let mut scenario = Scenario::default();
        self.apply(&mut scenario);
        scenario
    }
}
