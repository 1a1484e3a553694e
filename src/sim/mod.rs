//! The clock: which event is next, and what it does to the fleet.
//!
//! A [`Run`] advances in slices, so that a worker can show progress and drop a run that nobody
//! waits for any more; at the end it leaves a [`Record`]. [`crate::simulate`] is the whole.

mod closed;
#[cfg(feature = "continuous")]
pub mod continuous;
mod due;
mod fleet;
mod published;
mod record;
mod users;
mod workload;

pub(crate) use workload::rows;

pub use record::{Arrivals, BatchRow, Batches, ClosedRecord, Prediction, Requests, WorkloadReport};

use crate::scenario::Engine;
use crate::{Error, Scenario, Trace};

/// A replay that has begun, by either engine.
#[derive(Debug, Clone)]
pub enum Run {
    Closed(Box<closed::Run>),
    #[cfg(feature = "continuous")]
    Continuous(Box<continuous::Run>),
}

/// The record of a finished replay.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Closed(Box<ClosedRecord>),
    #[cfg(feature = "continuous")]
    Continuous(Box<continuous::Record>),
}

impl Run {
    /// Checks the scenario and prepares the replay.
    pub fn new(trace: &Trace, scenario: &Scenario) -> Result<Run, Error> {
        Ok(match &scenario.engine {
            Engine::Closed => Run::Closed(Box::new(closed::Run::new(trace, scenario)?)),
            #[cfg(feature = "continuous")]
            Engine::Continuous(_) => {
                Run::Continuous(Box::new(continuous::Run::new(trace, scenario)?))
            }
        })
    }

    /// Share of the requests that have arrived, 0 to 1.
    pub fn progress(&self) -> f64 {
        match self {
            Run::Closed(run) => run.progress(),
            #[cfg(feature = "continuous")]
            Run::Continuous(run) => run.progress(),
        }
    }

    /// Handles up to about `events` events; true when the replay is over.
    pub fn advance(&mut self, trace: &Trace, events: u64) -> bool {
        match self {
            Run::Closed(run) => run.advance(trace, events),
            #[cfg(feature = "continuous")]
            Run::Continuous(run) => run.advance(trace, events),
        }
    }

    /// The record of a replay that is over.
    pub fn finish(self) -> Record {
        match self {
            Run::Closed(run) => Record::Closed(Box::new(run.finish())),
            #[cfg(feature = "continuous")]
            Run::Continuous(run) => Record::Continuous(Box::new(run.finish())),
        }
    }
}
