//! The clock: which event is next, and what it does to the fleet.
//!
//! A [`Run`] advances in slices, so that a worker can show progress and drop a run that nobody
//! waits for any more; at the end it leaves a [`Record`]. [`crate::simulate`] is the whole.
//!
//! Two servers, because they differ in more than a setting: closed batches start and leave together; with continuous
//! batching requests join and leave at every step. Requests, their arrivals and the record are the same.

// Functions of one idea: 60 lines at most (clippy.toml).
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod arrivals;
mod closed;
pub mod continuous;
pub mod device;
mod due;
mod fleet;
mod published;
mod record;
mod users;
mod workload;

pub(crate) use workload::rows;

pub use record::{
    Arrivals, BatchRow, Batches, ClosedWork, Prediction, Record, Requests, Work, WorkloadReport,
};

use crate::scenario::Engine;
use crate::{Error, Scenario, Trace};
use closed::ClosedServer;
use continuous::{ContinuousServer, StepRow};
use workload::Workload;

/// A replay that has begun.
#[derive(Debug, Clone)]
pub struct Run {
    scenario: Scenario,
    workload: Workload,
    server: Server,
}

#[derive(Debug, Clone)]
enum Server {
    Closed(Box<ClosedServer>),
    Continuous(Box<ContinuousServer>),
}

impl Run {
    /// Checks the scenario and prepares the replay: rows, predictions, bins, queues.
    pub fn new(trace: &Trace, scenario: &Scenario) -> Result<Run, Error> {
        scenario.validate()?;
        let workload = Workload::new(trace, scenario)?;
        let server = match &scenario.engine {
            Engine::Closed(closed) => Server::Closed(Box::new(ClosedServer::new(
                trace, scenario, closed, &workload,
            )?)),
            Engine::Continuous(server) => Server::Continuous(Box::new(ContinuousServer::new(
                trace, scenario, server, &workload,
            )?)),
        };
        Ok(Run {
            scenario: scenario.clone(),
            workload,
            server,
        })
    }

    /// Share of the requests that have arrived, 0 to 1.
    pub fn progress(&self) -> f64 {
        self.workload.progress()
    }

    /// Does every step by itself, instead of many like ones at once; closed batches have no steps.
    pub fn step_by_step(&mut self) {
        if let Server::Continuous(server) = &mut self.server {
            server.step_by_step();
        }
    }

    /// Takes every step down, for pictures of it; [`Run::take_steps`] gives them.
    pub fn record_steps(&mut self) {
        if let Server::Continuous(server) = &mut self.server {
            server.record_steps();
        }
    }

    /// The steps taken down so far; none of closed batches.
    ///
    /// Errors: more of them than are kept.
    pub fn take_steps(&mut self) -> Result<Vec<StepRow>, Error> {
        match &mut self.server {
            Server::Closed(_) => Ok(Vec::new()),
            Server::Continuous(server) => server.take_steps(),
        }
    }

    /// Handles up to about `events` events; true when the replay is over.
    pub fn advance(&mut self, trace: &Trace, events: u64) -> bool {
        let workload = &mut self.workload;
        match &mut self.server {
            Server::Closed(server) => server.advance(trace, workload, events),
            Server::Continuous(server) => server.advance(trace, workload, events),
        }
    }

    /// The record of a replay that is over.
    pub fn finish(self) -> Record {
        let (work, order) = match self.server {
            Server::Closed(server) => {
                let (work, order) = server.finish();
                (Work::Closed(Box::new(work)), order)
            }
            Server::Continuous(server) => (Work::Continuous(Box::new(server.finish())), Vec::new()),
        };
        self.workload.record(self.scenario, work, order)
    }
}
