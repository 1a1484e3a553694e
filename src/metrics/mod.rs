//! What happened: the [`Outcome`] of a run, as a summary, as columns and as down-sampled figures.

// Functions of one idea: 60 lines at most (clippy.toml).
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod continuous;
pub mod digest;
pub mod figures;
pub mod honest;
pub mod published;
pub mod rows;
pub mod statistics;
pub mod steering;
mod tally;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::sim::continuous::{Fate, Served, Totals as ServedTotals};
use crate::sim::{Batches, ClosedWork, Record, Requests, Work, WorkloadReport};
use crate::trace::Trace;
use tally::{Ledger, Totals};

pub use continuous::Continuous;
pub use honest::Honest;
pub use published::Published;

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
        let (published, honest, continuous) = match &record.work {
            Work::Closed(work) => {
                let (published, honest) = closed_figures(trace, &record, work);
                (Some(published), honest, None)
            }
            Work::Continuous(done) => {
                let (honest, continuous) = continuous::figures(trace, &record, &done.0, &done.1);
                (None, honest, Some(continuous))
            }
        };
        let (batches, served) = match record.work {
            Work::Closed(work) => (work.batches, None),
            Work::Continuous(done) => (Batches::default(), Some(done)),
        };
        Outcome {
            summary: Summary {
                bins: record.bins,
                scenario: record.scenario,
                workload: record.workload,
                published,
                honest,
                continuous,
            },
            batches,
            requests: record.requests,
            served,
        }
    }

    /// Requests that were served to their end, warm-up included.
    pub fn requests_served(&self) -> u64 {
        if let Some(served) = &self.served {
            let done = served.0.fate.iter().filter(|&&fate| fate == Fate::Done);
            return done.count() as u64;
        }
        self.summary.workload.rows_replayed
    }
}

fn closed_figures(trace: &Trace, record: &Record, work: &ClosedWork) -> (Published, Honest) {
    let scenario = &record.scenario;
    let latency = scenario.linear_table();
    let ledger = Ledger {
        trace,
        batches: &work.batches,
        requests: &record.requests,
        arrivals: record.requests.arrivals(trace),
        latency: latency.as_ref(),
        report: &record.workload,
        sla: &scenario.sla,
        memory: scenario.memory(),
        gpus: scenario.fleet.gpus as usize,
        failed: scenario.workload.failed,
        prediction: record.prediction,
    };
    let (published, mut honest) = tally::metrics(ledger, Totals::of(ledger));
    honest.outside_measurements = work.outside;
    (published, honest)
}
