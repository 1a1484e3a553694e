//! The clock.
use crate::{Error, Outcome, Scenario, Trace};
/// Replays.
pub fn simulate(_trace: &Trace, _scenario: &Scenario) -> Result<Outcome, Error> {
    Err(Error::Interrupted)
}
