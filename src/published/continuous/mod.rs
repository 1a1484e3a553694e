//! Do bins still pay? Closed batches, continuous batching and bins on both, on the same requests, fleets,
//! promises and seeds (docs/MODEL.md, "Studies").

mod report;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::Error;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::hardware::Card;
use crate::metrics::Summary;
use crate::report::document::File;
use crate::scenario::{Engine, Scenario, Source};
use crate::scenario::{MEMORY_SHARE, put_on_hardware};
use crate::sched::Policy;
use crate::sched::continuous::kv::Preemption;
use crate::sched::continuous::router::Router;
use crate::sched::continuous::{Order, Rule, Server};
use crate::trace::predict::{Kind, Predictor};
use crate::trace::synth::{Arrivals, Lengths, Shape, Synthetic};

/// Settings of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ContinuousStudy"))]
pub struct Continuous {
    /// The first seed.
    pub seed: u32,
    /// Seeds of each run: systems are compared seed by seed.
    pub seeds: u32,
    /// Of each run and GPU.
    pub requests_per_gpu: u32,
    /// Arrivals per second and GPU.
    pub rates_per_gpu: Vec<f64>,
    pub gpu_counts: Vec<u32>,
    /// Bins where they are not varied.
    pub bins: u32,
    /// Bins where they are, at the middle rate on the first fleet.
    pub bin_counts: Vec<u32>,
    /// A model that [`Architecture::preset`] knows, and a card that [`Card::preset`] knows.
    pub model: String,
    pub hardware: String,
}

impl Default for Continuous {
    fn default() -> Self {
        Continuous {
            seed: 1,
            seeds: 8,
            requests_per_gpu: 4_000,
            rates_per_gpu: vec![15.0, 30.0, 42.0],
            gpu_counts: vec![1, 4],
            bins: 4,
            bin_counts: vec![1, 2, 4, 8],
            model: "llama-3.1-8b".to_owned(),
            hardware: "h100".to_owned(),
        }
    }
}

/// Most scenarios of a study.
const MOST_RUNS: usize = 200_000;

/// A way to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum System {
    /// vLLM's schedule, in order of arrival: what the others are compared with.
    Plain,
    Orca,
    /// Chunks within 512 tokens a step.
    Chunked,
    Sjf,
    /// One bin at a time on a replica.
    Bins,
    /// Each bin on replicas of its own.
    BinReplicas,
    /// Closed batches of the size that memory and the SLA allow.
    Closed,
    /// The same, and bins by predicted length.
    ClosedBins,
}

impl System {
    pub const ALL: [System; 8] = [
        System::Plain,
        System::Orca,
        System::Chunked,
        System::Sjf,
        System::Bins,
        System::BinReplicas,
        System::Closed,
        System::ClosedBins,
    ];

    pub fn name(self) -> &'static str {
        match self {
            System::Plain => "continuous",
            System::Orca => "orca",
            System::Chunked => "chunked prefill",
            System::Sjf => "shortest first",
            System::Bins => "bins share a replica",
            System::BinReplicas => "bins have replicas",
            System::Closed => "closed batches",
            System::ClosedBins => "closed batches, bins",
        }
    }

    /// Whether a better prediction can change anything.
    pub fn predicts(self) -> bool {
        matches!(
            self,
            System::Sjf | System::Bins | System::BinReplicas | System::ClosedBins
        )
    }

    fn engine(self) -> Engine {
        match self {
            System::Closed | System::ClosedBins => Engine::default(),
            _ => Engine::Continuous(Box::default()),
        }
    }

    fn put_on(self, scenario: &mut Scenario, bins: u32) {
        scenario.bins.count = bins;
        let server = match &mut scenario.engine {
            Engine::Continuous(server) => server,
            Engine::Closed(closed) => {
                closed.policy = match self {
                    System::Closed => Policy::Dynamic,
                    _ => Policy::MultiBinDynamic,
                };
                // As many as the other servers have at work.
                closed.max_batch = Server::default().max_sequences;
                return;
            }
        };
        match self {
            System::Plain => {}
            System::Orca => server.rule = Rule::Orca,
            System::Chunked => {
                server.rule = Rule::Sarathi;
                server.max_batched_tokens = 512;
            }
            System::Sjf => {
                server.order = Order::Sjf;
                // A minute of waiting outweighs 600 tokens of output.
                server.ageing_per_s = 10.0;
            }
            System::Bins => server.bins = true,
            System::BinReplicas => server.router = Router::BinAffinity,
            System::Closed | System::ClosedBins => {}
        }
    }
}

/// Predictors from perfect to useless, and their names.
pub(super) const PREDICTORS: [(&str, Kind, f64); 5] = [
    ("perfect", Kind::Oracle, 0.0),
    ("sd 0.25", Kind::Noisy, 0.25),
    ("sd 0.5", Kind::Noisy, 0.5),
    ("sd 1", Kind::Noisy, 1.0),
    // It looks at the prompt alone, and the outputs do not depend on it.
    ("useless", Kind::PromptOnly, 0.0),
];

/// Promises: name, TTFT in s, token in ms, whole request in s.
pub(super) const PROMISES: [(&str, f64, f64, f64); 2] =
    [("tight", 0.5, 15.0, 10.0), ("loose", 5.0, 50.0, 30.0)];

/// One place of the study; its seeds run one after another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub system: System,
    pub rate_per_gpu: f64,
    pub gpus: u32,
    pub bins: u32,
    pub predictor: usize,
    pub promise: usize,
}

impl Continuous {
    /// Every place, in order.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for &gpus in &self.gpu_counts {
            for &rate_per_gpu in &self.rates_per_gpu {
                for promise in 0..PROMISES.len() {
                    for system in System::ALL {
                        if system == System::BinReplicas && gpus < 2 {
                            continue;
                        }
                        let predictors = if system.predicts() {
                            PREDICTORS.len()
                        } else {
                            1
                        };
                        for predictor in 0..predictors {
                            places.push(Place {
                                system,
                                rate_per_gpu,
                                gpus,
                                bins: self.bins,
                                predictor,
                                promise,
                            });
                        }
                    }
                }
            }
        }
        if let (Some(&gpus), Some(&rate)) = (
            self.gpu_counts.first(),
            self.rates_per_gpu.get(self.rates_per_gpu.len() / 2),
        ) {
            for &bins in &self.bin_counts {
                for system in [System::Bins, System::ClosedBins] {
                    places.push(Place {
                        system,
                        rate_per_gpu: rate,
                        gpus,
                        bins,
                        predictor: 0,
                        promise: PROMISES.len() - 1,
                    });
                }
            }
        }
        places
    }

    fn scenario(&self, place: &Place, seed: u32) -> Result<Scenario, Error> {
        let unknown = |field: &str, value: &str, allowed: String| {
            Error::bad_field(format!("continuous.{field}"), value.to_owned(), allowed)
        };
        let model = Architecture::preset(&self.model)
            .ok_or_else(|| unknown("model", &self.model, Architecture::PRESETS.join(", ")))?;
        let card = Card::preset(&self.hardware)
            .ok_or_else(|| unknown("hardware", &self.hardware, Card::names()))?;
        let (_, kind, sigma) = PREDICTORS[place.predictor];
        let (_, ttft_s, token_ms, request_s) = PROMISES[place.promise];
        let mut scenario = Scenario {
            trace: Source::Synthetic(Synthetic {
                requests: self.requests_per_gpu.saturating_mul(place.gpus),
                shape: Shape::Custom {
                    arrivals: Arrivals::Poisson {
                        rate: place.rate_per_gpu * f64::from(place.gpus),
                    },
                    // Means of 695 and 240 tokens, as the peers' workload has them.
                    prompt: Lengths::Lognormal {
                        median: 421.5,
                        sigma: 1.0,
                    },
                    output: Lengths::Lognormal {
                        median: 145.6,
                        sigma: 1.0,
                    },
                    failed_share: 0.0,
                },
            }),
            predictor: Predictor {
                kind,
                sigma,
                ..Predictor::default()
            },
            engine: place.system.engine(),
            seed,
            ..Scenario::default()
        };
        scenario.fleet.gpus = place.gpus;
        scenario.sla.ttft_s = Some(ttft_s);
        scenario.sla.token_ms = token_ms;
        scenario.sla.request_s = request_s;
        put_on_hardware(
            &mut scenario,
            &model,
            Precision::F16,
            &card,
            1,
            MEMORY_SHARE,
        )?;
        if let Some(server) = scenario.server_mut() {
            server.kv.preemption = Preemption::Recompute;
        }
        place.system.put_on(&mut scenario, place.bins);
        Ok(scenario)
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |field: &str, value: String, allowed: &str| {
            Err(Error::bad_field(
                format!("continuous.{field}"),
                value,
                allowed.to_owned(),
            ))
        };
        if !(3..=1000).contains(&self.seeds) {
            return refuse(
                "seeds",
                self.seeds.to_string(),
                "a whole number from 3 to 1000",
            );
        }
        if !(100..=1_000_000).contains(&self.requests_per_gpu) {
            let value = self.requests_per_gpu.to_string();
            return refuse(
                "requests_per_gpu",
                value,
                "a whole number from 100 to 1000000",
            );
        }
        let good = |rate: &f64| (1e-3..=1e4).contains(rate);
        if self.rates_per_gpu.is_empty() || !self.rates_per_gpu.iter().all(good) {
            let value = format!("{:?}", self.rates_per_gpu);
            return refuse(
                "rates_per_gpu",
                value,
                "at least one number from 0.001 to 10000",
            );
        }
        if self.gpu_counts.is_empty() || !self.gpu_counts.iter().all(|g| (1..=64).contains(g)) {
            let value = format!("{:?}", self.gpu_counts);
            return refuse(
                "gpu_counts",
                value,
                "at least one whole number from 1 to 64",
            );
        }
        let bins = self.bin_counts.iter().chain([&self.bins]);
        if let Some(bins) = bins.into_iter().find(|b| !(1..=64).contains(*b)) {
            return refuse("bins", bins.to_string(), "whole numbers from 1 to 64");
        }
        let runs = self.places().len().saturating_mul(self.seeds as usize);
        if runs > MOST_RUNS {
            return refuse(
                "seeds",
                format!("{runs} runs"),
                "at most 200000 runs in all",
            );
        }
        Ok(())
    }
}

impl Plan for Continuous {
    fn name(&self) -> &'static str {
        "continuous"
    }

    fn describe(&self) -> &'static str {
        "continuous batching: do bins still pay where requests join and leave at every step?"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        self.check()?;
        if !done.is_empty() {
            return Ok(Vec::new());
        }
        let mut scenarios = Vec::new();
        for place in self.places() {
            for seed in 0..self.seeds {
                scenarios.push(self.scenario(&place, self.seed.wrapping_add(seed))?);
            }
        }
        Ok(scenarios)
    }

    fn files(&self, outcomes: &[Summary]) -> Result<Vec<File>, Error> {
        let places = self.places();
        if outcomes.len() != places.len() * self.seeds as usize {
            return Err(Error::contradiction(
                "outcomes",
                format!(
                    "there are {} for {} places and {} seeds",
                    outcomes.len(),
                    places.len(),
                    self.seeds
                ),
            ));
        }
        Ok(report::files(self, &places, outcomes))
    }

    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        None
    }

    fn seed_mut(&mut self) -> Option<&mut u32> {
        Some(&mut self.seed)
    }

    fn rows_needed(&self) -> u32 {
        self.requests_per_gpu
    }

    fn limit_to(&mut self, _rows: u64) -> Option<String> {
        None
    }
}
