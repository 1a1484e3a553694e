//! The saturation study: levels of users against the simulated server, or levels that were measured.

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::experiment::saturation::ceilings::{Hardware, ModelSize};
use crate::experiment::saturation::points::{Level, Times};
use crate::experiment::saturation::{Settings, files};
use crate::latency::{Latency, Linear, hardware};
use crate::metrics::Summary;
use crate::metrics::honest::Distribution;
use crate::published::server::Server;
use crate::report::document::File;
use crate::scenario::Engine;
use crate::scenario::{ClosedLoop, Scenario, Source};
use crate::sched::memory::{Memory, MemoryBound, MemoryRule};
use crate::sched::{Closed, Controller, Policy, Variant};
use crate::{Error, error};

/// Settings of the study, with those of the published benchmark as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Saturation {
    /// Levels of load.
    pub users: Vec<u32>,
    pub requests_per_user: u32,
    /// Shortest pause between an answer and the next request, s.
    pub think_min_s: f64,
    /// Longest, s.
    pub think_max_s: f64,
    /// Of every request; the published benchmark drew from eight short sentences.
    pub prompt_tokens: u32,
    pub output_tokens: u32,
    pub server: Server,
    /// Of the server, for the ceilings and MFU; absent: not given.
    pub hardware: Option<Hardware>,
    pub model: Option<ModelSize>,
    pub seed: u32,
    /// Measured levels; with these nothing runs, and nothing above is of them.
    pub measured: Option<Measured>,
}

/// Levels that somebody measured, and what is known of the server that they were measured on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "MeasuredLevels"))]
pub struct Measured {
    /// Whose, for the reader.
    pub source: String,
    pub levels: Vec<Level>,
    pub hardware: Option<Hardware>,
    pub model: Option<ModelSize>,
    /// Most requests that the server works on at once.
    pub max_batch: Option<u32>,
    /// Mean pause of a user between two requests, s.
    pub think_time_s: Option<f64>,
}

impl Measured {
    /// Levels on the published benchmark's server, with its think time.
    pub fn as_published(source: &str, levels: Vec<Level>) -> Measured {
        let published = Settings::published();
        Measured {
            source: format!("{source}, on the server of the published benchmark"),
            levels,
            hardware: published.hardware,
            model: published.model,
            max_batch: published.max_batch,
            think_time_s: published.think_time_s,
        }
    }
}

/// The largest batch of the published server.
const MAX_BATCH: u32 = 256;

impl Default for Saturation {
    fn default() -> Self {
        let (sheet, model) = (hardware::Hardware::a40(), ModelSize::LLAMA_3_8B_FP16);
        Saturation {
            users: vec![10, 50, 100],
            requests_per_user: 5,
            think_min_s: 0.5,
            think_max_s: 2.0,
            prompt_tokens: 12,
            output_tokens: 128,
            server: Saturation::server(sheet.bandwidth_bytes_per_s, 16e9),
            hardware: Some(sheet.into()),
            model: Some(model),
            seed: 42,
            measured: None,
        }
    }
}

impl Saturation {
    /// A server whose every step takes as long as reading all weights once, whatever the batch:
    /// what the data sheets allow at best (docs/MODEL.md, "Studies"). The KV cache is that of
    /// Llama-3-8B, 2 x 32 layers x 8 heads x 128 x 2 bytes a token, in the A40's 48 GB.
    pub fn server(bandwidth_bytes_per_s: f64, weight_bytes: f64) -> Server {
        Server {
            engine: Engine::Closed(Box::new(Closed {
                policy: Policy::Dynamic,
                latency: Latency::Linear(Linear {
                    alpha_s: 0.0,
                    beta_s_per_token: weight_bytes / bandwidth_bytes_per_s,
                    gamma: 0.0,
                    ..Linear::default()
                }),
                max_batch: MAX_BATCH,
                memory_bound: MemoryBound {
                    rule: MemoryRule::Off,
                    ..MemoryBound::default()
                },
                controller: Controller {
                    variant: Variant::Off,
                    ..Controller::default()
                },
                memory: Memory {
                    capacity_gb: 48.0,
                    model_gb: weight_bytes / 1e9,
                    kv_gb_per_token: 131_072e-9,
                    margin_gb: 3.84,
                },
                ..Closed::default()
            })),
            ..Server::default()
        }
    }

    fn settings(&self) -> Settings {
        match &self.measured {
            Some(measured) => Settings {
                name: measured.source.clone(),
                hardware: measured.hardware.clone(),
                model: measured.model,
                max_batch: measured.max_batch,
                gpus: 1,
                think_time_s: measured.think_time_s,
                absent: "not measured",
            },
            None => Settings {
                name: "the simulated server".to_owned(),
                hardware: self.hardware.clone().map(renamed),
                model: self.model,
                max_batch: Some(largest_batch(&self.server)),
                gpus: self.server.fleet.gpus,
                think_time_s: Some((self.think_min_s + self.think_max_s) / 2.0),
                absent: "not modelled",
            },
        }
    }
}

/// Most requests that a GPU of a server works on at once.
fn largest_batch(server: &Server) -> u32 {
    match &server.engine {
        Engine::Closed(closed) => closed.largest_batch(&server.bins),
        Engine::Continuous(continuous) => continuous.max_sequences,
    }
}

/// The hardware, under another name where its figures are no longer those of the A40 that it is called.
fn renamed(hardware: Hardware) -> Hardware {
    let a40 = Hardware::a40();
    let is_called_a40 = (&hardware.name, &hardware.source) == (&a40.name, &a40.source);
    if is_called_a40 && hardware != a40 {
        return Hardware {
            name: "the accelerator".to_owned(),
            source: "as given, else as an NVIDIA A40".to_owned(),
            ..hardware
        };
    }
    hardware
}

impl Plan for Saturation {
    fn name(&self) -> &'static str {
        "saturation"
    }

    fn describe(&self) -> &'static str {
        "GPU benchmark: throughput against users, and what the points can support"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        if self.measured.is_some() || !done.is_empty() {
            return Ok(Vec::new());
        }
        error::counts("saturation.users", &self.users, 1_000_000)?;
        if let [only] = self.users[..] {
            return Err(Error::bad_field(
                "saturation.users",
                only,
                "at least two levels of users".to_owned(),
            ));
        }
        let scenario = |&users| {
            let users = ClosedLoop {
                users,
                requests_per_user: self.requests_per_user,
                think_min_s: self.think_min_s,
                think_max_s: self.think_max_s,
            };
            self.server
                .used_by(users, self.prompt_tokens, self.output_tokens, self.seed)
        };
        Ok(self.users.iter().map(scenario).collect())
    }

    fn files(&self, outcomes: &[Summary]) -> Result<Vec<File>, Error> {
        let levels = match &self.measured {
            Some(measured) => measured.levels.clone(),
            None => outcomes.iter().map(level).collect(),
        };
        files(levels, &self.settings())
    }

    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        None
    }

    fn seed_mut(&mut self) -> Option<&mut u32> {
        Some(&mut self.seed)
    }

    fn rows_needed(&self) -> u32 {
        0
    }

    fn limit_to(&mut self, _: u64) -> Option<String> {
        None
    }
}

/// A simulated level. Power is not modelled.
fn level(run: &Summary) -> Level {
    let h = &run.honest;
    let times = |d: &Option<Distribution>| {
        d.map_or_else(Times::default, |d| Times {
            avg: Some(d.mean * 1e3),
            p50: Some(d.p50 * 1e3),
            p95: Some(d.p95 * 1e3),
            p99: Some(d.p99 * 1e3),
        })
    };
    let requests = u32::try_from(h.requests).ok();
    Level {
        users: run.scenario.workload.closed_loop.map_or(0, |c| c.users),
        tok_s: h.output_tokens_per_s,
        requests,
        // The engine fails nobody.
        successful: requests,
        duration_s: Some(run.honest.makespan_s),
        ttft_ms: times(&h.ttft_s),
        latency_ms: times(&h.e2e_s),
        request_tok_s: h.request_tokens_per_s.map(|d| d.mean),
        request_tok_s_p50: h.request_tokens_per_s.map(|d| d.p50),
        power_w: None,
        tokens_per_request: Some(run.workload.output_tokens as f64 / h.requests.max(1) as f64),
    }
}
