//! Replays that Ctrl-C ends.

use super::interrupt;
use crate::sim::Run;
use crate::{Error, Outcome, Scenario, Trace};

/// Events between two looks at the clock and at Ctrl-C.
pub const SLICE: u64 = 200_000;

/// Replays a trace: [`crate::simulate`], without a bar of its own.
pub fn replay_quietly(trace: &Trace, scenario: &Scenario) -> Result<Outcome, Error> {
    let mut run = Run::new(trace, scenario)?;
    while !run.advance(trace, SLICE) {
        interrupt::check()?;
    }
    Ok(Outcome::of(trace, run.finish()))
}
