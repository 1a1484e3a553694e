//! Ranges of a study's settings; a refusal names the field, as in "stress-v2.request_counts".

use crate::error::{Error, MAX_LIST, whole};

/// A whole number from 1 to `most`.
pub(super) fn count(field: &str, value: u32, most: u32) -> Result<(), Error> {
    whole(field, value, 1, most)
}

/// Most runs of one step of a study, replications not counted. Larger than any study here by far;
/// a slip in a list could ask for millions.
pub(super) const MAX_RUNS: usize = MAX_LIST;

/// That a grid of these lists has at most [`MAX_RUNS`] runs; `fields` names them.
pub(super) fn grid(fields: &str, lists: [&[u32]; 3]) -> Result<(), Error> {
    let runs = lists
        .iter()
        .fold(1usize, |runs, list| runs.saturating_mul(list.len()));
    if runs <= MAX_RUNS {
        return Ok(());
    }
    Err(Error::bad_field(
        fields,
        format!("a grid of {runs} runs"),
        format!("at most {MAX_RUNS} runs"),
    ))
}
