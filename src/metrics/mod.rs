//! What happened: the [`Outcome`] of a run, as a summary, as columns and as down-sampled figures.

#[cfg(feature = "continuous")]
pub mod continuous;
pub mod digest;
pub mod figures;
pub mod honest;
pub mod published;
pub mod rows;
#[cfg(feature = "continuous")]
pub mod statistics;
pub mod steering;
mod tally;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
#[cfg(feature = "continuous")]
use crate::sim::continuous::{Fate, Served, Totals as ServedTotals};
use crate::sim::{Batches, ClosedRecord, Record, Requests, WorkloadReport};
use crate::trace::Trace;
use tally::{Ledger, Totals};

#[cfg(feature = "continuous")]
pub use continuous::Continuous;
pub use honest::Honest;
pub use published::Published;

/// Without that engine there is none of its figures; in JSON it is null, as of a run of closed batches.
#[cfg(not(feature = "continuous"))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Continuous {}

/// The result of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The figures, always.
    pub summary: Summary,
    /// Every batch that was served, in order of its start.
    pub batches: Batches,
    /// Which request was in which batch; with continuous batching, when they arrived.
    pub requests: Requests,
    /// With continuous batching, what became of each request and what the replicas did.
    #[cfg(feature = "continuous")]
    pub served: Option<Box<(Served, ServedTotals)>>,
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
    /// Absent with continuous batching: the studies define their figures on closed batches.
    pub published: Option<Published>,
    pub honest: Honest,
    /// What only continuous batching has.
    pub continuous: Option<Continuous>,
}

impl Summary {
    /// The studies' figures of a run of closed batches, as every run of theirs is; no numbers where
    /// there are none.
    pub fn published(&self) -> &Published {
        self.published.as_ref().unwrap_or(&Published::NONE)
    }
}

impl Outcome {
    /// Works every figure out from the record of a finished replay of `trace`.
    pub fn of(trace: &Trace, record: Record) -> Outcome {
        match record {
            Record::Closed(record) => Outcome::of_closed(trace, *record),
            #[cfg(feature = "continuous")]
            Record::Continuous(record) => continuous::outcome(trace, *record),
        }
    }

    /// Requests that were served to their end, warm-up included.
    pub fn requests_served(&self) -> u64 {
        #[cfg(feature = "continuous")]
        if let Some(served) = &self.served {
            let done = served.0.fate.iter().filter(|&&fate| fate == Fate::Done);
            return done.count() as u64;
        }
        self.summary.workload.rows_replayed
    }

    fn of_closed(trace: &Trace, record: ClosedRecord) -> Outcome {
        let ClosedRecord {
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
                published: Some(published),
                honest,
                continuous: None,
            },
            batches,
            requests,
            #[cfg(feature = "continuous")]
            served: None,
        }
    }
}
