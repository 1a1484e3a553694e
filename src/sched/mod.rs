//! Who runs next and with whom: policies, bins, memory bound, SLA controller.
//!
//! A policy sees queues, predicted lengths and feedback of batches that ended. True lengths decide
//! in one place only: where a batch is cut at the hard memory limit, as in the published studies
//! (a real server would find out while it runs).

// Functions of one idea: 60 lines at most (clippy.toml).
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod bins;
pub mod continuous;
pub mod controller;
mod dynamic;
mod full_bins;
pub mod memory;
mod queues;
mod static_fifo;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use dynamic::Dynamic;
use full_bins::FullBins;
use memory::{Ended, Memory};
use static_fifo::StaticFifo;

pub use bins::{Bins, Boundaries, Served};
pub use controller::{Controller, Feedback, RunningFloor, Variant};
pub use memory::{MemoryBound, MemoryRule};
pub use queues::{Lengths, Queues, Shape};

/// Which scheduler forms the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Policy {
    /// One queue; takes up to `static_batch` requests, never waits for more.
    StaticFifo,
    /// One queue; batch size from the memory bound and the SLA controller.
    Dynamic,
    /// The multi-bin paper: a bin waits until it has `full_batch` requests; full batches are
    /// served in the order in which they filled.
    MultiBin,
    /// Bins by predicted length, each with a memory bound and an SLA controller of its own; never
    /// waits.
    #[default]
    MultiBinDynamic,
}

impl Policy {
    /// Whether requests are sorted into bins by predicted length.
    pub fn has_bins(self) -> bool {
        matches!(self, Policy::MultiBin | Policy::MultiBinDynamic)
    }
}

/// Closed batches: the policy that forms them with every parameter, how long they take, and the memory that bounds them.
/// A parameter that the chosen policy does not use must have its default: `--set` and files that change it are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Closed {
    pub policy: Policy,
    /// Batch size of `static-fifo`.
    pub static_batch: u32,
    /// No batch of the two dynamic policies is larger.
    pub max_batch: u32,
    pub memory_bound: MemoryBound,
    pub controller: Controller,
    pub latency: Latency,
    pub memory: Memory,
}

impl Default for Closed {
    fn default() -> Self {
        Closed {
            policy: Policy::default(),
            static_batch: 8,
            max_batch: 128,
            memory_bound: MemoryBound::default(),
            controller: Controller::default(),
            latency: Latency::default(),
            memory: Memory::default(),
        }
    }
}

impl Closed {
    /// The largest batch that the policy forms.
    pub fn largest_batch(&self, bins: &Bins) -> u32 {
        match self.policy {
            Policy::StaticFifo => self.static_batch,
            Policy::MultiBin => bins.full_batch,
            Policy::Dynamic | Policy::MultiBinDynamic => self.max_batch,
        }
    }

    /// The cap of a bin's batch; absent where the policy's bins have none.
    pub(crate) fn batch_cap(&self, bins: &Bins, interval: [u32; 2]) -> Option<u32> {
        let capped = self.policy == Policy::MultiBinDynamic && bins.batch_caps;
        capped.then(|| self.memory.batch_cap(interval, self.max_batch))
    }
}

/// A batch that a policy has decided on: the front of one bin's queue.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub bin: u8,
    pub shape: Shape,
}

/// A policy at work. One `match` a batch; nothing is allocated after construction but the paper's
/// list of full batches.
#[derive(Debug, Clone)]
pub enum Former {
    StaticFifo(StaticFifo),
    Dynamic(Dynamic),
    FullBins(FullBins),
}

impl Former {
    /// `intervals`: that of each queue; `token_sla_s`: what the controllers steer to.
    pub fn new(closed: &Closed, bins: &Bins, token_sla_s: f64, intervals: &[[u32; 2]]) -> Former {
        match closed.policy {
            Policy::StaticFifo => Former::StaticFifo(StaticFifo::new(closed.static_batch)),
            Policy::Dynamic | Policy::MultiBinDynamic => {
                Former::Dynamic(Dynamic::new(closed, bins, token_sla_s, intervals))
            }
            Policy::MultiBin => Former::FullBins(FullBins::new(bins.full_batch, intervals.len())),
        }
    }

    /// A request joined the queue of `bin`.
    #[inline(always)]
    pub fn arrived(&mut self, queues: &Queues, bin: u8) {
        if let Former::FullBins(policy) = self {
            policy.arrived(queues, bin);
        }
    }

    /// Nobody who waits can be joined by another request: none will arrive, or none before these
    /// are answered. `arrival`: times by trace row.
    pub fn closed(&mut self, queues: &Queues, arrival: &[f64]) {
        if let Former::FullBins(policy) = self {
            policy.closed(queues, arrival);
        }
    }

    /// The next batch for a GPU that is free, or nothing to do. Never an empty batch.
    #[inline(always)]
    pub fn form(
        &mut self,
        queues: &Queues,
        lengths: Lengths<'_>,
        running_elsewhere: u32,
    ) -> Option<Plan> {
        match self {
            Former::StaticFifo(policy) => policy.form(queues, lengths),
            Former::Dynamic(policy) => policy.form(queues, lengths, running_elsewhere),
            Former::FullBins(policy) => policy.form(queues, lengths),
        }
    }

    /// A batch from `bin` ended, with `running_elsewhere` requests in service on the other GPUs.
    #[inline(always)]
    pub fn ended(&mut self, bin: u8, ended: &Ended, running_elsewhere: u32) {
        if let Former::Dynamic(policy) = self {
            policy.ended(bin, ended, running_elsewhere);
        }
    }
}
