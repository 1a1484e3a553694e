//! The published studies as complete settings: `--preset` on the command line, one click on the
//! page.

#[cfg(feature = "continuous")]
use super::Engine;
use super::{Scenario, Ties, TokenRule};
#[cfg(feature = "continuous")]
use crate::Error;
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
/// `tensor_parallel` GPUs share the weights, the cache and the arithmetic evenly, but for heads of keys and
/// values that several of them hold ([`Stored::on_gpus`]); inter-GPU communication is not modelled.
/// `memory_share`: of a GPU's memory that the server may use, as vLLM's `gpu_memory_utilization`.
///
/// Errors: a number of GPUs that the model's heads cannot be split over.
#[cfg(feature = "continuous")]
pub fn put_on_hardware(
    scenario: &mut Scenario,
    model: &Architecture,
    precision: Precision,
    card: &Card,
    tensor_parallel: u32,
    memory_share: f64,
) -> Result<(), Error> {
    let mut server = match &scenario.engine {
        Engine::Continuous(server) => server.clone(),
        Engine::Closed => Box::default(),
    };
    let stored = Stored::new(model, precision);
    let split = stored.clone().on_gpus(tensor_parallel)?;
    let gpus = f64::from(tensor_parallel);
    let one = card.hardware_for(precision);
    let group = Hardware {
        peak_flops: one.peak_flops * gpus,
        bandwidth_bytes_per_s: one.bandwidth_bytes_per_s * gpus,
        ..one
    };
    server.latency = StepLatency::Linear(split.roofline(&group));
    // What the model asks for: copies are the group's doing.
    server.ceiling = Some(stored.ceiling(&group));
    server.tensor_parallel = tensor_parallel;
    scenario.engine = Engine::Continuous(server);
    scenario.memory = Memory {
        capacity_gb: card.memory_bytes * memory_share / 1e9,
        model_gb: split.memory_bytes() / 1e9,
        kv_gb_per_token: split.token_bytes() / 1e9,
        margin_gb: 0.0,
    };
    let groups = scenario.fleet.gpus.div_ceil(tensor_parallel);
    scenario.fleet.gpus = groups * tensor_parallel;
    Ok(())
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

#[cfg(all(test, feature = "continuous"))]
mod tests {
    use super::*;
    use crate::sched::continuous::Server;
    use crate::sched::continuous::kv::Capacity;
    use crate::{Trace, simulate};

    fn placed(model: &str, card: &str, precision: Precision, gpus: u32) -> Result<Scenario, Error> {
        let mut scenario = Scenario::default();
        scenario.fleet.gpus = gpus;
        put_on_hardware(
            &mut scenario,
            &Architecture::preset(model).unwrap(),
            precision,
            &Card::preset(card).unwrap(),
            gpus,
            MEMORY_SHARE,
        )?;
        Ok(scenario)
    }

    fn three_requests() -> Trace {
        Trace {
            arrival: vec![0.0, 1.0, 2.0],
            prompt: vec![100; 3],
            output: vec![10; 3],
            ..Trace::default()
        }
    }

    fn blocks(scenario: &Scenario) -> Option<u64> {
        let outcome = simulate(&three_requests(), scenario).unwrap();
        outcome.summary.continuous.unwrap().kv.blocks
    }

    fn warnings(scenario: &Scenario) -> Vec<String> {
        let outcome = simulate(&three_requests(), scenario).unwrap();
        let all = outcome.summary.continuous.unwrap().statistics.warnings;
        all.into_iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn a_group_holds_what_one_gpu_does_not() {
        // 32.1 GB in f32, on GPUs with 21.6 GB each.
        let one = placed("llama-3.1-8b", "l4", Precision::F32, 1).unwrap();
        match one.validate() {
            Err(Error::BadField { field, .. }) => assert_eq!(field, "memory.capacity_gb"),
            other => panic!("{other:?}"),
        }
        let two = placed("llama-3.1-8b", "l4", Precision::F32, 2).unwrap();
        // (43.2 - 4 x 8.029995008) GB in blocks of 16 x 131,072 bytes.
        assert_eq!(blocks(&two), Some(5283));
    }

    #[test]
    fn copied_heads_fill_the_memory() {
        // 16 GPUs and 8 heads of keys and values: a token takes twice 131,072 bytes, and the weights of keys
        // and values, 32 x 4096 x 2048, are there twice.
        for (gpus, token_bytes, copied) in [(8, 131_072.0, 0.0), (16, 262_144.0, 268_435_456.0)] {
            let scenario = placed("llama-3.1-8b", "a100", Precision::F16, gpus).unwrap();
            let free = f64::from(gpus) * 72e9 - 2.0 * (8_029_995_008.0 + copied);
            let expected = (free / (16.0 * token_bytes)).floor() as u64;
            assert_eq!(blocks(&scenario), Some(expected), "{gpus}");
        }
        match placed("llama-3.1-8b", "a100", Precision::F16, 3) {
            Err(Error::BadField { field, .. }) => {
                assert_eq!(field, "engine.continuous.tensor_parallel");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_of_one_machine() {
        let h100 = placed("llama-3.1-8b", "h100", Precision::F16, 1).unwrap();
        assert_eq!(h100.memory, Memory::LLAMA_3_1_8B_ON_H100);
        let Engine::Continuous(server) = &h100.engine else {
            panic!("no server")
        };
        assert_eq!(server.latency, Server::default().latency);

        let read = |text: &str| Scenario::from_json(text, "a file").unwrap();
        let default = read(r#"{"engine": {"continuous": {}}}"#);
        assert_eq!(default.memory, h100.memory);
        assert_eq!(blocks(&default), Some(26_674));
        assert!(!warnings(&default).contains(&"two-machines".to_owned()));
        assert_eq!(read("{}").memory, Memory::default());
        assert_eq!(
            read(r#"{"engine": "closed", "memory": {"margin_gb": 2}}"#).memory,
            Memory {
                margin_gb: 2.0,
                ..Memory::default()
            }
        );
        let part = read(r#"{"engine": {"continuous": {}}, "memory": {"capacity_gb": 40}}"#);
        assert_eq!(
            part.memory,
            Memory {
                capacity_gb: 40.0,
                ..h100.memory
            }
        );
        // What a file says stays.
        assert_eq!(read(&part.to_json()), part);
        let mixed = Scenario {
            engine: Engine::Continuous(Box::default()),
            ..Scenario::default()
        };
        assert_eq!(read(&mixed.to_json()), mixed);
    }

    #[test]
    fn two_machines_are_a_warning() {
        let default = || Server::default();
        let own = Server {
            latency: StepLatency::Linear(crate::latency::step::Step {
                c0_s: 0.01,
                ..crate::latency::step::Step::LLAMA_3_1_8B_ON_H100
            }),
            ..default()
        };
        let mut counted = own.clone();
        counted.kv.capacity = Capacity::Blocks(2588);
        let mine = Memory {
            capacity_gb: 20.0,
            ..Memory::default()
        };
        let h100 = Memory::LLAMA_3_1_8B_ON_H100;
        for (server, memory, warned) in [
            (default(), Memory::default(), true),
            (default(), h100, false),
            (default(), mine, false),
            (own.clone(), h100, true),
            (own.clone(), Memory::default(), true),
            (own, mine, false),
            (counted, h100, false),
        ] {
            let scenario = Scenario {
                engine: Engine::Continuous(Box::new(server.clone())),
                memory,
                ..Scenario::default()
            };
            let found = warnings(&scenario).contains(&"two-machines".to_owned());
            assert_eq!(found, warned, "{server:?} {memory:?}");
        }
    }

    #[test]
    fn a_step_without_time_is_refused() {
        for (linear, said) in [
            (
                r#""c0_s": 0, "c1_s_per_sequence": 0.01, "c3_s_per_prefill_token": 0"#,
                "one prompt token",
            ),
            (
                r#""c0_s": 0, "c1_s_per_sequence": 0, "c3_s_per_prefill_token": 0.01"#,
                "one sequence",
            ),
        ] {
            let text = format!(
                r#"{{"engine": {{"continuous": {{"latency": {{"linear": {{{linear},
                "c2_s_per_context_token": 0, "compute": null}}}}}}}}}}"#
            );
            let refused = Scenario::from_json(&text, "a file")
                .unwrap_err()
                .to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
