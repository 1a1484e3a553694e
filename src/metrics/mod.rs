//! What happened: the [`Outcome`] of a run, as a summary, as columns and as down-sampled figures.

pub mod digest;
pub mod figures;
pub mod honest;
pub mod published;
pub mod rows;
mod tally;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::sim::{Batches, Record, Requests, WorkloadReport};
use crate::trace::Trace;
use tally::{Ledger, Totals};

pub use honest::Honest;
pub use published::Published;

/// The result of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The figures, always.
    pub summary: Summary,
    /// Every batch that was served, in order of its start.
    pub batches: Batches,
    /// Which request was in which batch.
    pub requests: Requests,
}

/// Every figure of a run. `published` and `honest` are computed apart and never mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Summary {
    /// The resolved scenario, every default written out.
    pub scenario: Scenario,
    pub workload: WorkloadReport,
    /// The bins that were used, `[lower, upper)` in tokens; empty for policies without bins.
    pub bins: Vec<[u32; 2]>,
    pub published: Published,
    pub honest: Honest,
}

impl Outcome {
    /// Works every figure out from the record of a finished replay of `trace`.
    pub fn of(trace: &Trace, record: Record) -> Outcome {
        let Record {
            scenario,
            workload,
            bins,
            prediction,
            latency,
            batches,
            requests,
        } = record;
        let ledger = Ledger {
            trace,
            batches: &batches,
            requests: &requests,
            arrivals: requests.arrivals(trace),
            latency: &latency,
            report: &workload,
            sla: &scenario.sla,
            memory: &scenario.memory,
            gpus: scenario.fleet.gpus as usize,
            failed: scenario.workload.failed,
            prediction,
        };
        let totals = Totals::of(ledger);
        let (published, honest) = tally::metrics(ledger, totals);
        Outcome {
            summary: Summary {
                bins,
                scenario,
                workload,
                published,
                honest,
            },
            batches,
            requests,
        }
    }
}
