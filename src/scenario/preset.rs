//! The published studies as complete settings: `--preset` on the command line, one click on the
//! page.

use super::Engine;
use super::{Scenario, Ties, TokenRule};
use crate::Error;
use crate::latency::StepLatency;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::hardware::{Card, Hardware};
use crate::latency::model::Model;
use crate::latency::roofline::{Ceiling, Stored};
use crate::latency::typical::{self, Basis, Group};
use crate::latency::{Latency, Linear};
use crate::sched::bins::{Bins, Boundaries};
use crate::sched::controller::{Controller, Feedback, RunningFloor, Variant};
use crate::sched::memory::Memory;
use crate::sched::{Closed, MemoryBound};
use crate::trace::Failed;
use crate::trace::predict::{Kind, Predictor};

/// Share of a GPU's memory that a server uses where nothing else is said: the default of vLLM's
/// `gpu_memory_utilization`.
pub const MEMORY_SHARE: f64 = 0.9;

/// Puts a model on GPUs of a data sheet: the step that the sheet allows at best, the memory that the weights leave, and
/// for a server with continuous batching the peaks for MFU and MBU. Other settings stay.
///
/// `tensor_parallel` GPUs share the weights, the cache and the arithmetic evenly, but for heads of keys and
/// values that several of them hold ([`Stored::on_gpus`]); inter-GPU communication is not modelled.
/// `memory_share`: of a GPU's memory that the server may use, as vLLM's `gpu_memory_utilization`.
///
/// Errors: a number of GPUs that the model's heads cannot be split over; closed batches on several GPUs together.
pub fn put_on_hardware(
    scenario: &mut Scenario,
    model: &Architecture,
    precision: Precision,
    card: &Card,
    tensor_parallel: u32,
    memory_share: f64,
) -> Result<(), Error> {
    let stored = Stored::new(model, precision);
    let split = stored.clone().on_gpus(tensor_parallel)?;
    let gpus = f64::from(tensor_parallel);
    let one = card.hardware_for(precision);
    let group = Hardware {
        peak_flops: one.peak_flops * gpus,
        bandwidth_bytes_per_s: one.bandwidth_bytes_per_s * gpus,
        ..one
    };
    let steps = StepLatency::Linear(split.roofline(&group));
    let memory = Memory {
        capacity_gb: card.memory_bytes * memory_share / 1e9,
        model_gb: split.memory_bytes() / 1e9,
        kv_gb_per_token: split.token_bytes() / 1e9,
        margin_gb: 0.0,
    };
    match &mut scenario.engine {
        Engine::Continuous(server) => {
            server.latency = steps;
            server.memory = memory;
            // What the model asks for: copies are the group's doing.
            server.ceiling = Some(stored.ceiling(&group));
            server.tensor_parallel = tensor_parallel;
        }
        Engine::Closed(closed) if tensor_parallel == 1 => {
            closed.latency = Latency::Steps(Box::new(steps));
            closed.memory = memory;
        }
        Engine::Closed(_) => {
            return Err(Error::bad_field(
                "tensor_parallel",
                tensor_parallel,
                "1, because each GPU serves closed batches by itself",
            ));
        }
    }
    let groups = scenario.fleet.gpus.div_ceil(tensor_parallel);
    scenario.fleet.gpus = groups * tensor_parallel;
    Ok(())
}

/// A model on the GPUs of a replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement<'a> {
    pub model: &'a Model,
    /// How weights are stored, instead of as the model's publisher stores them.
    pub precision: Option<Precision>,
    pub card: &'a Card,
    pub tensor_parallel: u32,
    /// Whether each GPU has experts of its own, instead of a part of each.
    pub expert_parallel: bool,
    /// Of a GPU's memory that the server may use, as vLLM's `gpu_memory_utilization`.
    pub memory_share: f64,
    pub basis: Basis,
}

impl Placement<'_> {
    /// Puts the model on the scenario's GPUs: its steps, the memory that its weights leave, and peaks for MFU and MBU. Other
    /// settings stay.
    ///
    /// States are taken off the memory for as many sequences as the server may have.
    ///
    /// Errors: a number of GPUs that the model's heads cannot be split over; expert parallelism without experts; closed batches
    /// on several GPUs together.
    pub fn put_on(&self, scenario: &mut Scenario) -> Result<(), Error> {
        let plain = self.model.plain(self.precision);
        let plain = plain.filter(|_| !self.expert_parallel);
        if let (Basis::Datasheet, Some((architecture, precision))) = (self.basis, plain) {
            return put_on_hardware(
                scenario,
                &architecture,
                precision,
                self.card,
                self.tensor_parallel,
                self.memory_share,
            );
        }
        let model = self.stored();
        self.check_split(&model)?;
        let groups = if self.expert_parallel {
            self.tensor_parallel
        } else {
            1
        };
        let group = Group {
            card: self.card,
            gpus: self.tensor_parallel,
            expert_groups: groups,
        };
        let steps = StepLatency::Modelled(Box::new(typical::step(&model, &group, self.basis)));
        match &mut scenario.engine {
            Engine::Continuous(server) => {
                server.latency = steps;
                server.memory = self.memory(&model, server.max_sequences)?;
                server.ceiling = self.ceiling();
                server.tensor_parallel = self.tensor_parallel;
            }
            Engine::Closed(closed) if self.tensor_parallel == 1 => {
                closed.latency = Latency::Steps(Box::new(steps));
                closed.memory = self.memory(&model, closed.max_batch)?;
            }
            Engine::Closed(_) => {
                return Err(Error::bad_field(
                    "tensor_parallel",
                    self.tensor_parallel,
                    "1, because each GPU serves closed batches by itself",
                ));
            }
        }
        let replicas = scenario.fleet.gpus.div_ceil(self.tensor_parallel);
        scenario.fleet.gpus = replicas * self.tensor_parallel;
        Ok(())
    }

    /// The model as it is stored here.
    fn stored(&self) -> Model {
        match self.precision {
            Some(precision) => self.model.clone().in_precision(precision),
            None => self.model.clone(),
        }
    }

    /// The memory of a replica with so many sequences. What a window holds is taken off it for all of them where that is a
    /// quarter of what the weights leave or less; else it counts as if no token left the window.
    ///
    /// Errors: more sequences than there is memory for their states.
    fn memory(&self, model: &Model, sequences: u32) -> Result<Memory, Error> {
        let copies = typical::copies(model, self.tensor_parallel);
        let value_gb = model.kv_bits() / 8.0 * copies / 1e9;
        let one_gb = self.card.memory_bytes * self.memory_share / 1e9;
        let free_gb = one_gb * f64::from(self.tensor_parallel) - model.weight_bytes() / 1e9;
        let windows = model.window_values();
        let held: f64 = windows
            .iter()
            .map(|(w, values)| f64::from(*w) * *values as f64)
            .sum();
        let added: u64 = windows.iter().map(|(_, values)| values).sum();
        let all = f64::from(sequences);
        let fixed = held * value_gb * all <= 0.25 * free_gb;
        let (windows_gb, more) = if fixed {
            (held * value_gb * all, 0)
        } else {
            (0.0, added)
        };
        let state_gb = model.state_bytes() as f64 / 1e9;
        if free_gb > 0.0 && state_gb * all >= free_gb {
            return Err(Error::bad_field(
                "engine.continuous.max_sequences",
                sequences,
                format!(
                    "at most {}, because the state of a sequence of {} takes {:.3} GB and the weights leave {:.1}",
                    libm::floor(0.9 * free_gb / state_gb),
                    model.name,
                    state_gb,
                    free_gb
                ),
            ));
        }
        Ok(Memory {
            capacity_gb: one_gb,
            model_gb: model.weight_bytes() / 1e9 + state_gb * all + windows_gb,
            kv_gb_per_token: (model.kv_values() + more) as f64 * value_gb,
            margin_gb: 0.0,
        })
    }

    /// What the hardware could do at most; of models whose steps read a varying part of their weights, none is given.
    fn ceiling(&self) -> Option<Ceiling> {
        let (architecture, precision) = self.model.plain(self.precision)?;
        let one = self.card.hardware_for(precision);
        let gpus = f64::from(self.tensor_parallel);
        let group = Hardware {
            peak_flops: one.peak_flops * gpus,
            bandwidth_bytes_per_s: one.bandwidth_bytes_per_s * gpus,
            ..one
        };
        Some(Stored::new(&architecture, precision).ceiling(&group))
    }

    fn check_split(&self, model: &Model) -> Result<(), Error> {
        let gpus = self.tensor_parallel;
        let refuse = |allowed: String| {
            Err(Error::bad_field(
                "engine.continuous.tensor_parallel",
                gpus,
                allowed,
            ))
        };
        if self.expert_parallel && model.experts().is_none() {
            return Err(Error::contradiction(
                "--expert-parallel",
                format!("{} has no experts; leave it out", model.name),
            ));
        }
        if self.expert_parallel && gpus == 1 {
            let why = "a replica of one GPU has all experts";
            return Err(Error::contradiction(
                "--expert-parallel",
                format!("it would have no effect: {why}; leave it out"),
            ));
        }
        let together = self.card.link.as_ref().map_or(8, |link| link.domain_gpus);
        if gpus > together {
            return refuse(format!(
                "at most {together}, the GPUs that {} connects in one machine; several machines are not modelled",
                self.card.link.as_ref().map_or("PCIe", |link| &*link.name),
            ));
        }
        for heads in model.heads() {
            if gpus == 0 || !heads.is_multiple_of(gpus) {
                return refuse(format!(
                    "a number of GPUs that divides the {heads} query heads of {}",
                    model.name
                ));
            }
        }
        Ok(())
    }
}

/// A version of the published program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 24 November, 16:10: recorded arrival times, idle GPUs in ascending order.
    RealTime,
    /// 24 November, 18:02 to 20:31: the first grid, 1 s end to end, the controller that cannot grow
    /// again.
    ThreeStep,
    /// 29 November, 18:41: recorded arrival times, 50 ms end to end.
    RealTimeAfternoon,
    /// 29 November, 20:41: recorded arrival times, the fitted grid.
    RealTimeEvening,
    /// 29 November, 22:15 to 22:58: fall-back latency values, 50 ms and 10 s.
    TwoStep,
    /// 30 November, 00:49: the fitted grid, 30 ms and 20 s.
    StressV2,
    /// 30 November, 01:18: bins by predictions, with caps.
    V3,
    /// 30 November, 02:34: tokens judged by the decode step, 10 ms.
    V4First,
    /// 30 November, 03:10: the controller sees the decode step too.
    V4Fixed,
    /// 30 November, 03:17: the final grid search, time scale 100.
    V4,
    /// 30 November, 04:15: time scale 10.
    V4Low,
    /// 30 November, 10:27: recorded arrival times.
    V4UltraLow,
    /// Seeds and sensitivity, time scale 10.
    Seeds,
    /// 4 December, commit 7b91bbb: running requests counted when a batch is formed.
    December,
    /// The last commit, f1be833: half the band from delta.
    LastCommit,
}

/// How a version differs from the others.
struct Version {
    name: &'static str,
    describe: &'static str,
    latency: Linear,
    /// Controller and memory of 24 November.
    nov24: bool,
    feedback: Feedback,
    /// What the controller steers to and what a token may take, s.
    token_s: f64,
    epsilon_s: f64,
    request_s: f64,
    /// Boundaries come from the predictions of at most this number of requests; absent: from outputs.
    predictions: Option<u32>,
    batch_caps: bool,
    token_rule: TokenRule,
    time_scale: f64,
}

/// The state of 29 November, which most versions are near.
const NOV29: Version = Version {
    name: "",
    describe: "",
    latency: Linear::STRESS_V2,
    nov24: false,
    feedback: Feedback::Total,
    token_s: 0.05,
    epsilon_s: 0.005,
    request_s: 20.0,
    predictions: None,
    batch_caps: false,
    token_rule: TokenRule::BatchTbt,
    time_scale: 200.0,
};

/// The state of 24 November.
const NOV24: Version = Version {
    latency: Linear::THREE_STEP,
    nov24: true,
    feedback: Feedback::Service,
    token_s: 1.0,
    epsilon_s: 0.1,
    request_s: 1.0,
    predictions: Some(5_000),
    token_rule: TokenRule::EndToEnd,
    ..NOV29
};

/// The state of 29 November, 18:41.
const AFTERNOON: Version = Version {
    feedback: Feedback::Total,
    token_s: 0.05,
    epsilon_s: 0.010,
    request_s: 20.0,
    time_scale: 1.0,
    ..NOV24
};

/// The last grid search.
const V4: Version = Version {
    feedback: Feedback::Decode,
    token_s: 0.010,
    epsilon_s: 0.001,
    predictions: Some(u32::MAX),
    batch_caps: true,
    token_rule: TokenRule::DecodeStep,
    time_scale: 100.0,
    ..NOV29
};

/// The runs over seeds and settings.
const SEEDS: Version = Version {
    epsilon_s: 0.005,
    time_scale: 10.0,
    ..V4
};

impl Preset {
    /// In the order of their dates.
    pub const ALL: [Preset; 15] = [
        Preset::RealTime,
        Preset::ThreeStep,
        Preset::RealTimeAfternoon,
        Preset::RealTimeEvening,
        Preset::TwoStep,
        Preset::StressV2,
        Preset::V3,
        Preset::V4First,
        Preset::V4Fixed,
        Preset::V4,
        Preset::V4Low,
        Preset::V4UltraLow,
        Preset::Seeds,
        Preset::December,
        Preset::LastCommit,
    ];

    /// Those that a study of this project repeats: the page's choices.
    pub const STUDIES: [Preset; 3] = [Preset::StressV2, Preset::TwoStep, Preset::ThreeStep];

    fn version(self) -> Version {
        match self {
            Preset::RealTime => Version {
                name: "real-time",
                describe: "recorded arrivals of 24 November: first grid, GPUs woken in ascending order",
                time_scale: 1.0,
                ..NOV24
            },
            Preset::ThreeStep => Version {
                name: "three-step",
                describe: "three-step study: first latency grid, 1 s end to end",
                ..NOV24
            },
            Preset::RealTimeAfternoon => Version {
                name: "real-time-afternoon",
                describe: "recorded arrivals of 29 November, 18:41: first grid, 50 ms end to end",
                ..AFTERNOON
            },
            Preset::RealTimeEvening => Version {
                name: "real-time-evening",
                describe: "recorded arrivals of 29 November, 20:41: fitted grid, 50 ms a token",
                latency: Linear::STRESS_V2,
                token_rule: TokenRule::BatchTbt,
                ..AFTERNOON
            },
            Preset::TwoStep => Version {
                name: "two-step",
                describe: "two-step study: fall-back latency model, SLAs of 50 ms and 10 s",
                latency: Linear::TWO_STEP,
                request_s: 10.0,
                ..NOV29
            },
            Preset::StressV2 => Version {
                name: "stress-v2",
                describe: "stress test v2: fitted latency grid, SLAs of 30 ms and 20 s",
                token_s: 0.03,
                ..NOV29
            },
            Preset::V3 => Version {
                name: "v3",
                describe: "stress test v3: bins by predictions, batches capped by bin",
                token_s: 0.03,
                epsilon_s: 0.010,
                predictions: Some(u32::MAX),
                batch_caps: true,
                ..NOV29
            },
            Preset::V4First => Version {
                name: "v4-first",
                describe: "first run of v4: tokens judged by the decode step, 10 ms",
                feedback: Feedback::Total,
                epsilon_s: 0.005,
                time_scale: 200.0,
                ..V4
            },
            Preset::V4Fixed => Version {
                name: "v4-fixed",
                describe: "v4 fixed: the controller sees the decode step too",
                epsilon_s: 0.010,
                time_scale: 200.0,
                ..V4
            },
            Preset::V4 => Version {
                name: "v4",
                describe: "v4 final: time scale 100",
                ..V4
            },
            Preset::V4Low => Version {
                name: "v4-low",
                describe: "v4 final at low load: time scale 10",
                time_scale: 10.0,
                ..V4
            },
            Preset::V4UltraLow => Version {
                name: "v4-ultra-low",
                describe: "v4 final at recorded arrivals",
                time_scale: 1.0,
                ..V4
            },
            Preset::Seeds => Version {
                name: "seeds",
                describe: "seeds and sensitivity: v4 with a dead band of 5 ms, time scale 10",
                ..SEEDS
            },
            Preset::December => Version {
                name: "december",
                describe: "commit 7b91bbb of 4 December: running requests counted at formation",
                ..SEEDS
            },
            Preset::LastCommit => Version {
                name: "last-commit",
                describe: "the last commit, f1be833: half the band from delta",
                ..SEEDS
            },
        }
    }

    /// As in `--preset`.
    pub fn name(self) -> &'static str {
        self.version().name
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// One sentence for a list of choices.
    pub fn describe(self) -> &'static str {
        self.version().describe
    }

    /// Sets latency model, controller, memory constants, predictor, boundaries, order of events,
    /// failed rows, time scale (hence recorded arrivals, no closed loop) and SLAs as that version
    /// had them; the trace, the policy, K, the fleet and the limit stay as they are.
    pub fn apply(self, scenario: &mut Scenario) {
        let version = self.version();
        scenario.seed = 42;
        scenario.workload.failed = Failed::Keep;
        scenario.workload.ties = match self {
            Preset::RealTime => Ties::PublishedHeapAscending,
            _ => Ties::PublishedHeap,
        };
        scenario.workload.time_scale = version.time_scale;
        scenario.workload.rate_per_s = None;
        scenario.workload.closed_loop = None;
        scenario.predictor = Predictor {
            kind: Kind::Published,
            ..Predictor::default()
        };
        let at_formation = matches!(self, Preset::December | Preset::LastCommit);
        let running_floor = match version.nov24 {
            true => RunningFloor::Off,
            false if at_formation => RunningFloor::AtFormation,
            false => RunningFloor::AtLastEnd,
        };
        let mut bins = Bins {
            count: scenario.bins.count,
            boundaries: Boundaries::EqualMassOutputs,
            below_range_to_last: true,
            batch_caps: version.batch_caps,
            ..Bins::default()
        };
        if let Some(requests) = version.predictions {
            bins.boundaries = Boundaries::EqualMassPredictions;
            bins.sample_size = requests;
        }
        scenario.bins = bins;
        let closed = scenario.closed_mut();
        *closed = Closed {
            policy: closed.policy,
            memory_bound: MemoryBound {
                at_least_running: at_formation,
                ..MemoryBound::default()
            },
            controller: Controller {
                variant: match version.nov24 {
                    true => Variant::Nov24,
                    false => Variant::Nov29,
                },
                feedback: version.feedback,
                target_s: version.nov24.then_some(version.token_s),
                epsilon_s: version.epsilon_s,
                running_floor,
                band_from_delta: self == Preset::LastCommit,
                ..Controller::default()
            },
            // The evening's memory is not known: at its load either constant gives the same figures.
            memory: match version.nov24 && self != Preset::RealTimeEvening {
                true => Memory {
                    model_gb: 2.0,
                    kv_gb_per_token: 5e-6,
                    ..Memory::default()
                },
                false => Memory::default(),
            },
            latency: Latency::Linear(version.latency),
            ..Closed::default()
        };
        scenario.sla.token_ms = version.token_s * 1e3;
        scenario.sla.request_s = version.request_s;
        scenario.sla.published_token_rule = version.token_rule;
    }

    /// The version's settings on top of the defaults.
    pub fn scenario(self) -> Scenario {
        let mut scenario = Scenario::default();
        self.apply(&mut scenario);
        scenario
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::continuous::Server;
    use crate::sched::continuous::kv::Capacity;
    use crate::{Trace, simulate};

    fn placed(model: &str, card: &str, precision: Precision, gpus: u32) -> Result<Scenario, Error> {
        let mut scenario = Scenario::continuous();
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
            Err(Error::BadField { field, .. }) => {
                assert_eq!(field, "engine.continuous.memory.capacity_gb")
            }
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
        assert_eq!(*h100.memory(), Memory::LLAMA_3_1_8B_ON_H100);
        assert_eq!(h100.server().unwrap().latency, Server::default().latency);

        let read = |text: &str| Scenario::from_json(text, "a file").unwrap();
        let default = read(r#"{"engine": {"continuous": {}}}"#);
        assert_eq!(default.memory(), h100.memory());
        assert_eq!(blocks(&default), Some(26_674));
        assert!(!warnings(&default).contains(&"two-machines".to_owned()));
        assert_eq!(*read("{}").memory(), Memory::default());
        assert_eq!(
            read(r#"{"engine": "closed", "memory": {"margin_gb": 2}}"#)
                .closed()
                .unwrap()
                .memory,
            Memory {
                margin_gb: 2.0,
                ..Memory::default()
            }
        );
        let part = read(r#"{"engine": {"continuous": {}}, "memory": {"capacity_gb": 40}}"#);
        assert_eq!(
            *part.memory(),
            Memory {
                capacity_gb: 40.0,
                ..*h100.memory()
            }
        );
        // What a file says stays.
        assert_eq!(read(&part.to_json()), part);
        let mut mixed = Scenario::continuous();
        *mixed.memory_mut() = Memory::default();
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
        let pairs = Server {
            tensor_parallel: 2,
            ..default()
        };
        // Step and memory of one data sheet; the memory is as large as the default's.
        let mut sheet = Scenario::continuous();
        let (model, a100) = ("llama-3.1-8b", Card::preset("a100").unwrap());
        let model = Architecture::preset(model).unwrap();
        put_on_hardware(&mut sheet, &model, Precision::F16, &a100, 1, MEMORY_SHARE).unwrap();
        assert_eq!(*sheet.memory(), Memory::LLAMA_3_1_8B_ON_H100);
        assert!(!warnings(&sheet).contains(&"two-machines".to_owned()));
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
            (pairs, h100, true),
        ] {
            let server = Server { memory, ..server };
            let scenario = Scenario {
                engine: Engine::Continuous(Box::new(server.clone())),
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
