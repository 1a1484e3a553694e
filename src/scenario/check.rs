//! Ranges of every field.
use super::Scenario;
use crate::error::Error;
pub(super) fn scenario(_s: &Scenario) -> Result<(), Error> {
    Ok(())
}
