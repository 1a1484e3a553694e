//! The server of studies that bring their own requests, and users who wait for its answers.

use serde::{Deserialize, Serialize};

use crate::scenario::{ClosedLoop, Engine, Fleet, Scenario, Sla, Source, Workload};
use crate::sched::{Bins, Closed, Policy};
use crate::trace::predict::Predictor;
use crate::trace::synth::{Arrivals, Lengths, Shape, Synthetic};

/// The parts of a scenario that describe a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Server {
    pub predictor: Predictor,
    pub bins: Bins,
    pub engine: Engine,
    pub fleet: Fleet,
    pub sla: Sla,
}

impl Default for Server {
    /// One GPU with dynamic batches and a scenario's default latency model and memory.
    fn default() -> Self {
        Server {
            predictor: Predictor::default(),
            bins: Bins::default(),
            engine: Engine::Closed(Box::new(Closed {
                policy: Policy::Dynamic,
                ..Closed::default()
            })),
            fleet: Fleet { gpus: 1 },
            sla: Sla::default(),
        }
    }
}

impl From<Scenario> for Server {
    /// The scenario's trace, workload and seed say nothing of a server.
    fn from(scenario: Scenario) -> Server {
        Server {
            predictor: scenario.predictor,
            bins: scenario.bins,
            engine: scenario.engine,
            fleet: scenario.fleet,
            sla: scenario.sla,
        }
    }
}

impl Server {
    /// Users who send requests of one length, each waiting for its answer before the next.
    pub fn used_by(&self, users: ClosedLoop, prompt: u32, output: u32, seed: u32) -> Scenario {
        let server = self.clone();
        Scenario {
            trace: Source::Synthetic(Synthetic {
                // `validate` refuses more than a trace can have.
                requests: u32::try_from(users.requests()).unwrap_or(u32::MAX),
                shape: Shape::Custom {
                    // Users send when they have their answer; no arrival time is read.
                    arrivals: Arrivals::Poisson { rate: 1.0 },
                    prompt: Lengths::Fixed { tokens: prompt },
                    output: Lengths::Fixed { tokens: output },
                    failed_share: 0.0,
                },
            }),
            workload: Workload {
                closed_loop: Some(users),
                ..Workload::default()
            },
            predictor: server.predictor,
            bins: server.bins,
            engine: server.engine,
            fleet: server.fleet,
            sla: server.sla,
            seed,
            ..Scenario::default()
        }
    }
}
