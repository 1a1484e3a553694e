//! The demo contract: three small workloads against the thresholds of three years, and the reading
//! of a report that claims to meet them (docs/MODEL.md, "Studies").
//!
//! Either the workloads run on a server that a scenario describes, or a measured report is judged
//! and nothing runs.

mod findings;
pub mod measured;
mod metric;
mod report;
mod simulated;
mod verdict;

use serde::{Deserialize, Serialize};

use super::Plan;
use super::server::Server;
use crate::Error;
use crate::metrics::Summary;
use crate::report::document::File;
use crate::scenario::{ClosedLoop, Scenario, Source};
use crate::{
    latency::{
        architecture::{Architecture, Precision},
        hardware::Card,
    },
    scenario::{Engine, Fleet, MEMORY_SHARE, put_on_hardware},
    sched::continuous::{
        self, Admission,
        kv::{Kv, PrefixCache, Reuse},
        speculative::Speculative,
    },
};

pub use metric::{Kind, Metric, Sample};

/// Settings of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Contract {
    /// What runs; without meaning for a measured report.
    pub workloads: Vec<Workload>,
    /// What it runs on.
    pub server: Server,
    pub seed: u32,
    /// A measured report to judge instead of running anything.
    pub measured: Option<Measured>,
}

impl Default for Contract {
    fn default() -> Self {
        Contract {
            workloads: Workload::ALL.to_vec(),
            server: usual_server(),
            seed: 42,
            measured: None,
        }
    }
}

/// One H100 with Llama-3.1-8B by data sheet, continuous batching by rule `vllm`, a prefix cache and
/// speculative decoding: a server of which every metric of the published report is known.
fn usual_server() -> Server {
    let mut scenario = Scenario {
        fleet: Fleet { gpus: 1 },
        engine: Engine::Continuous(Box::new(continuous::Server {
            kv: Kv {
                prefix: PrefixCache {
                    reuse: Reuse::Own,
                    ..PrefixCache::default()
                },
                ..Kv::default()
            },
            speculative: Some(Speculative {
                draft_tokens: 3,
                acceptance: vec![0.7],
                draft_s: 0.0,
                draft_s_per_sequence: 0.0,
            }),
            admission: Admission {
                reject_too_long: true,
                ..Admission::default()
            },
            ..continuous::Server::default()
        })),
        ..Scenario::default()
    };
    let model = Architecture::preset("llama-3.1-8b");
    if let (Some(model), Some(card)) = (model, Card::preset("h100")) {
        // One GPU holds every head: nothing is refused.
        let _ = put_on_hardware(
            &mut scenario,
            &model,
            Precision::F16,
            &card,
            1,
            MEMORY_SHARE,
        );
    }
    Server::from(scenario)
}

/// A measured report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Measured {
    /// Where it comes from, for the reader.
    pub source: String,
    pub samples: Vec<Sample>,
}

/// A workload of the contract: requests of one length, one after another or all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ContractWorkload"))]
pub enum Workload {
    /// 5 requests of 128 prompt and 128 output tokens, one after another.
    Short,
    /// 3 requests of 200 and 200 tokens, one after another: what the published program ran.
    Long,
    /// 10 requests of 256 and 256 tokens at once.
    Stress,
    /// 3 requests of 2,048 and 512 tokens, one after another: what the contract's text says of the
    /// long workload.
    ContractLong,
}

impl Workload {
    pub const ALL: [Workload; 4] = [
        Workload::Short,
        Workload::Long,
        Workload::Stress,
        Workload::ContractLong,
    ];

    /// As in `--workload`.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Short => "short",
            Workload::Long => "long",
            Workload::Stress => "stress",
            Workload::ContractLong => "contract-long",
        }
    }

    /// By our name or the published report's.
    pub fn named(name: &str) -> Option<Workload> {
        match name {
            "short_input" => Some(Workload::Short),
            "long_input" => Some(Workload::Long),
            "stress_test" => Some(Workload::Stress),
            _ => Workload::ALL.into_iter().find(|w| w.name() == name),
        }
    }

    /// Tokens of each prompt.
    pub fn prompt(self) -> u32 {
        match self {
            Workload::Short => 128,
            Workload::Long => 200,
            Workload::Stress => 256,
            Workload::ContractLong => 2048,
        }
    }

    /// Tokens of each output.
    pub fn output(self) -> u32 {
        match self {
            Workload::Short => 128,
            Workload::Long => 200,
            Workload::Stress => 256,
            Workload::ContractLong => 512,
        }
    }

    /// Requests at a time.
    pub fn users(self) -> u32 {
        match self {
            Workload::Stress => 10,
            Workload::Short | Workload::Long | Workload::ContractLong => 1,
        }
    }

    /// Requests of each user, one after another.
    pub fn requests_per_user(self) -> u32 {
        match self {
            Workload::Short => 5,
            Workload::Long | Workload::ContractLong => 3,
            Workload::Stress => 1,
        }
    }
}

impl Contract {
    fn scenario(&self, workload: Workload) -> Scenario {
        let users = ClosedLoop {
            users: workload.users(),
            requests_per_user: workload.requests_per_user(),
            think_min_s: 0.0,
            think_max_s: 0.0,
        };
        self.server
            .used_by(users, workload.prompt(), workload.output(), self.seed)
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |field: String, value: String, allowed: &str| {
            Error::bad_field(format!("contract.{field}"), value, allowed.to_owned())
        };
        let Some(measured) = &self.measured else {
            let twice = |(i, w): (usize, &Workload)| self.workloads[..i].contains(w);
            return if self.workloads.is_empty() {
                Err(refuse(
                    "workloads".to_owned(),
                    "an empty list".to_owned(),
                    "short, long, stress or contract-long",
                ))
            } else if self.workloads.iter().enumerate().any(twice) {
                Err(refuse(
                    "workloads".to_owned(),
                    "a list that names one twice".to_owned(),
                    "each workload once",
                ))
            } else {
                Ok(())
            };
        };
        if measured.samples.is_empty() {
            return Err(refuse(
                "measured.samples".to_owned(),
                "an empty list".to_owned(),
                "at least one workload",
            ));
        }
        for (i, sample) in measured.samples.iter().enumerate() {
            for (metric, value) in &sample.values {
                if let Some(allowed) = metric.refuses(*value) {
                    return Err(refuse(
                        format!("measured.samples[{i}].values.{}", metric.name()),
                        value.to_string(),
                        allowed,
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Plan for Contract {
    fn name(&self) -> &'static str {
        "contract"
    }

    fn describe(&self) -> &'static str {
        "demo contract: three small workloads against the thresholds of three years"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        self.check()?;
        if self.measured.is_some() || !done.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.workloads.iter().map(|&w| self.scenario(w)).collect())
    }

    fn files(&self, outcomes: &[Summary]) -> Result<Vec<File>, Error> {
        if let Some(measured) = &self.measured {
            return Ok(report::measured(measured));
        }
        if outcomes.len() != self.workloads.len() {
            return Err(Error::contradiction(
                "outcomes",
                format!(
                    "there are {} for {} workloads",
                    outcomes.len(),
                    self.workloads.len()
                ),
            ));
        }
        let runs: Vec<_> = self.workloads.iter().copied().zip(outcomes).collect();
        Ok(report::simulated(&self.server, &runs))
    }

    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        None
    }

    fn rows_needed(&self) -> u32 {
        let rows = |w: &Workload| w.users() * w.requests_per_user();
        self.workloads.iter().map(rows).max().unwrap_or(1)
    }

    fn limit_to(&mut self, _rows: u64) -> Option<String> {
        None
    }
}
