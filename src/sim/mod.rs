//! The clock: which event is next, and what it does to the fleet.
//!
//! [`simulate`] is the whole; [`Run`] is the same in slices, so that a worker can show progress
//! and drop a run that nobody waits for any more.

mod closed;
mod fleet;
mod python_heap;
mod workload;

use crate::{Error, Outcome, Scenario, Trace};

pub use closed::Run;

/// Replays a trace under a scenario: pure, deterministic, no I/O, no clock, no threads; the same
/// bytes on every target.
///
/// Errors: a scenario field outside its range, or a window in which the trace has no request.
pub fn simulate(trace: &Trace, scenario: &Scenario) -> Result<Outcome, Error> {
    let mut run = Run::new(trace, scenario)?;
    while !run.advance(trace, u64::MAX) {}
    Ok(run.finish(trace))
}
