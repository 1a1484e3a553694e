//! Scenarios of version 1, in which the settings of closed batches and the memory stood beside the engine.

use serde::{Deserialize, Deserializer};

use super::settings::refusal;
use super::{Engine, Fleet, Scenario, Sla, Source, Workload};
use crate::error::Error;
use crate::latency::Latency;
use crate::sched::continuous::Server;
use crate::sched::memory::Memory;
use crate::sched::{Bins, Closed, Controller, MemoryBound, Policy};
use crate::trace::predict::Predictor;

/// What version 1 said; the defaults are those of the scenario.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Version1 {
    #[serde(rename = "version")]
    _version: u32,
    trace: Source,
    workload: Workload,
    predictor: Predictor,
    scheduler: Scheduler,
    engine: Named,
    fleet: Fleet,
    latency: Latency,
    memory: Given,
    sla: Sla,
    seed: Option<u32>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Scheduler {
    policy: Policy,
    static_batch: u32,
    full_batch: u32,
    max_batch: u32,
    bins: Bins,
    memory_bound: MemoryBound,
    controller: Controller,
}

impl Default for Scheduler {
    fn default() -> Self {
        let (closed, bins) = (Closed::default(), Bins::default());
        Scheduler {
            policy: closed.policy,
            static_batch: closed.static_batch,
            full_batch: bins.full_batch,
            max_batch: closed.max_batch,
            bins,
            memory_bound: closed.memory_bound,
            controller: closed.controller,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Named {
    #[default]
    Closed,
    Continuous(Box<Server>),
}

/// The fields of `memory` that a text gives; the others are of the engine's usual machine.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    #[serde(deserialize_with = "some")]
    capacity_gb: Option<f64>,
    #[serde(deserialize_with = "some")]
    model_gb: Option<f64>,
    #[serde(deserialize_with = "some")]
    kv_gb_per_token: Option<f64>,
    #[serde(deserialize_with = "some")]
    margin_gb: Option<f64>,
}

/// `null` is no number.
fn some<'de, D: Deserializer<'de>>(number: D) -> Result<Option<f64>, D::Error> {
    f64::deserialize(number).map(Some)
}

impl Given {
    fn is_given(&self) -> bool {
        let all = [
            self.capacity_gb,
            self.model_gb,
            self.kv_gb_per_token,
            self.margin_gb,
        ];
        all.iter().any(Option::is_some)
    }

    fn beside(self, usual: Memory) -> Memory {
        Memory {
            capacity_gb: self.capacity_gb.unwrap_or(usual.capacity_gb),
            model_gb: self.model_gb.unwrap_or(usual.model_gb),
            kv_gb_per_token: self.kv_gb_per_token.unwrap_or(usual.kv_gb_per_token),
            margin_gb: self.margin_gb.unwrap_or(usual.margin_gb),
        }
    }
}

impl Version1 {
    /// The same scenario in the form of today.
    ///
    /// Errors: settings of closed batches that differ from their defaults, with continuous batching.
    pub fn upgrade(self) -> Result<Scenario, Error> {
        let scheduler = self.scheduler;
        if scheduler.bins.full_batch != Bins::default().full_batch {
            return Err(refusal(
                "scheduler.bins.full_batch",
                "version 1 has it as scheduler.full_batch",
            ));
        }
        let closed = Closed {
            policy: scheduler.policy,
            static_batch: scheduler.static_batch,
            max_batch: scheduler.max_batch,
            memory_bound: scheduler.memory_bound,
            controller: scheduler.controller,
            latency: self.latency,
            memory: Memory::default(),
        };
        let engine = match self.engine {
            Named::Closed => Engine::Closed(Box::new(Closed {
                memory: self.memory.beside(closed.memory),
                ..closed
            })),
            Named::Continuous(server) => {
                if let Some(field) = first_difference(&closed) {
                    return Err(refusal(
                        field,
                        "it is about closed batches, and this run is of continuous batching (engine.continuous)",
                    ));
                }
                if self.memory.is_given() && server.memory != Server::default().memory {
                    return Err(Error::contradiction(
                        "memory",
                        "engine.continuous.memory, where it stands in version 2, is given too; give one of them",
                    ));
                }
                let memory = self.memory.beside(server.memory);
                Engine::Continuous(Box::new(Server { memory, ..*server }))
            }
        };
        let now = Scenario::default();
        Ok(Scenario {
            version: now.version,
            trace: self.trace,
            workload: self.workload,
            predictor: self.predictor,
            bins: Bins {
                full_batch: scheduler.full_batch,
                ..scheduler.bins
            },
            engine,
            fleet: self.fleet,
            sla: self.sla,
            seed: self.seed.unwrap_or(now.seed),
        })
    }
}

/// The first field of version 1 that differs from its default.
fn first_difference(closed: &Closed) -> Option<&'static str> {
    let usual = Closed::default();
    [
        ("scheduler.policy", closed.policy != usual.policy),
        (
            "scheduler.static_batch",
            closed.static_batch != usual.static_batch,
        ),
        ("scheduler.max_batch", closed.max_batch != usual.max_batch),
        (
            "scheduler.memory_bound",
            closed.memory_bound != usual.memory_bound,
        ),
        (
            "scheduler.controller",
            closed.controller != usual.controller,
        ),
        ("latency", closed.latency != usual.latency),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}
