//! Continuous batching: requests join and leave a replica at every step (Yu et al., Orca, OSDI 2022),
//! their keys and values lie in blocks of a paged cache (Kwon et al., vLLM, SOSP 2023), prompts may be
//! processed in chunks (Agrawal et al., Sarathi-Serve, OSDI 2024). What exactly happens in a step:
//! docs/MODEL.md, "Continuous batching".
//!
//! Settings here; [`waiting`] is the queue, [`kv`] the cache, [`router`] the choice of a replica.
//! Nothing here knows the clock or an output length that was not predicted.

pub mod kv;
pub mod router;
pub mod speculative;
pub mod waiting;

use serde::{Deserialize, Serialize};

use crate::latency::StepLatency;
use crate::latency::roofline::Ceiling;
use crate::sched::memory::{Memory, OnAnH100};
use kv::Kv;
use router::Router;
use speculative::Speculative;

/// A server with continuous batching, and how its replicas share the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ContinuousServer"))]
pub struct Server {
    /// What a step does with prompts, and who may join.
    pub rule: Rule,
    /// Who of those that wait comes first.
    pub order: Order,
    /// Priority lowered per second of waiting: tokens of predicted output (`sjf`), levels
    /// (`priority`); no effect with other orders. With 0 a request may wait forever.
    pub ageing_per_s: f64,
    /// Classes of requests by the trace's log type; `priority` and `edf` look here.
    pub classes: Vec<Class>,
    /// Only requests of one bin (`bins`, by predicted output) share a replica at a time.
    pub bins: bool,
    /// A bin keeps its replica until a request of another bin has waited so long, s.
    pub bin_patience_s: f64,
    /// Most requests at work on a replica.
    pub max_sequences: u32,
    /// Most tokens of a step, decoded and of prompts.
    pub max_batched_tokens: u32,
    /// Most tokens of one prompt in a step, so that a long prompt leaves room for others; 0 for no such limit.
    pub long_prefill_token_threshold: u32,
    /// The next step is put together while a step runs, as in vLLM since 0.19: a request that arrives during a
    /// step waits for one step more, and one that is done keeps its place and its blocks for one step more.
    pub async_scheduling: bool,
    pub kv: Kv,
    pub speculative: Option<Speculative>,
    pub admission: Admission,
    pub router: Router,
    /// GPUs that work together as one replica; `fleet.gpus` is a multiple. The latency must be that of
    /// such a group.
    pub tensor_parallel: u32,
    /// Time of a step.
    pub latency: StepLatency,
    /// Of each GPU; a text that gives some of its fields has the others of the default.
    #[serde(deserialize_with = "OnAnH100::deserialize")]
    pub memory: Memory,
    /// What the model asks of the hardware, where known: MFU and MBU are shares of it.
    pub ceiling: Option<Ceiling>,
    /// Requests at the beginning before the window that the figures are of (docs/MODEL.md, "Intervals of a
    /// run").
    pub warmup: Warmup,
}

/// Requests at the beginning before the window that the figures are of, in twentieths of all.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Warmup {
    /// None: the trace is what happened, from its first request on.
    #[default]
    None,
    /// As many as make the rest look the same throughout (MSER, White 1997), at most half.
    Auto,
    /// This share of all, rounded up.
    Share(f64),
}

impl Default for Server {
    fn default() -> Self {
        Server {
            rule: Rule::default(),
            order: Order::default(),
            ageing_per_s: 0.0,
            classes: Vec::new(),
            bins: false,
            bin_patience_s: 2.0,
            max_sequences: 256,
            max_batched_tokens: 2048,
            long_prefill_token_threshold: 0,
            async_scheduling: false,
            kv: Kv::default(),
            speculative: None,
            admission: Admission::default(),
            router: Router::default(),
            tensor_parallel: 1,
            latency: StepLatency::default(),
            memory: Memory::LLAMA_3_1_8B_ON_H100,
            ceiling: None,
            warmup: Warmup::None,
        }
    }
}

impl Server {
    /// Whether anything asks which bin a request is in.
    pub fn has_bins(&self) -> bool {
        self.bins || self.router == Router::BinAffinity
    }

    /// Whether anything asks for predicted outputs.
    pub fn predicts(&self) -> bool {
        self.has_bins() || self.order == Order::Sjf || self.router.predicts()
    }
}

/// How a step is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "StepRule"))]
pub enum Rule {
    /// Prompts first and whole; the running requests decode beside them. The token limit is for
    /// prompts alone, and a longer prompt goes by itself.
    Orca,
    /// vLLM v1: running requests first, then prompts with what is left of the token limit, in chunks;
    /// blocks are taken as tokens need them.
    #[default]
    Vllm,
    /// Sarathi-Serve: as `vllm`, and the blocks of a whole prompt are taken when it joins, so that a
    /// prompt once begun is never short of memory.
    Sarathi,
}

/// Who of those that wait comes first, and who is preempted: the last. A preempted request goes back to
/// its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "QueueOrder"))]
pub enum Order {
    /// In order of arrival.
    #[default]
    Fcfs,
    /// The shortest predicted output.
    Sjf,
    /// The earliest deadline: arrival and the class's `deadline_s`, or the request SLA.
    Edf,
    /// The lowest level of the class.
    Priority,
}

impl Order {
    /// Whether the order looks at the classes of requests; without any it is that of arrival.
    pub fn has_classes(self) -> bool {
        matches!(self, Order::Edf | Order::Priority)
    }
}

/// A class of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RequestClass"))]
pub struct Class {
    /// The trace's log type.
    pub label: String,
    /// Lower comes first; requests of no class have 0.
    #[serde(default)]
    pub level: f64,
    /// From arrival, s; absent means the request SLA.
    #[serde(default)]
    pub deadline_s: Option<f64>,
}

/// Who is turned away, and who goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Admission {
    /// A request joins only if the blocks of its whole prompt are free, also where it takes no more
    /// than its first chunk's (vLLM's `scheduler_reserve_full_isl`, on since 0.19).
    pub whole_prompt_fits: bool,
    /// Most requests that wait at a replica: a request that would have to wait beside as many is rejected. Absent: no
    /// limit.
    pub max_waiting: Option<u32>,
    /// A request that has not joined this long after its arrival gives up, s.
    pub timeout_s: Option<f64>,
    /// Reject a request that can never fit into the cache, instead of refusing the whole run.
    pub reject_too_long: bool,
}

impl Default for Admission {
    fn default() -> Self {
        Admission {
            whole_prompt_fits: true,
            max_waiting: None,
            timeout_s: None,
            reject_too_long: false,
        }
    }
}
