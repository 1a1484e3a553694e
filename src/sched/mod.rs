//! Who runs next and with whom: policies, bins, memory bound, SLA controller.
//!
//! A policy sees queues, lengths that a scheduler may know (never the true output of a waiting
//! request, except through the `oracle` predictor) and feedback of batches that ended.

pub mod bins;
pub mod controller;
pub mod memory;

use serde::{Deserialize, Serialize};

pub use bins::{Bins, Boundaries, Served};
pub use controller::{Controller, Feedback, Variant};
pub use memory::{MemoryBound, MemoryRule};

/// Which scheduler forms the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// A policy with every parameter; those that a policy does not use are ignored by it, so that
/// switching the policy keeps the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Scheduler {
    pub policy: Policy,
    /// Batch size of `static-fifo`.
    pub static_batch: u32,
    /// Batch size that `multi-bin` waits for.
    pub full_batch: u32,
    /// No batch of the two dynamic policies is larger.
    pub max_batch: u32,
    pub bins: Bins,
    pub memory_bound: MemoryBound,
    pub controller: Controller,
}

impl Default for Scheduler {
    fn default() -> Self {
        Scheduler {
            policy: Policy::default(),
            static_batch: 8,
            full_batch: 32,
            max_batch: 128,
            bins: Bins::default(),
            memory_bound: MemoryBound::default(),
            controller: Controller::default(),
        }
    }
}
