//! Ranges of a study's settings; a refusal names the field, as in "stress-v2.request_counts".

use crate::Error;

/// A whole number from 1 to `most`.
pub(super) fn count(field: &str, value: u32, most: u32) -> Result<(), Error> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(refuse(
        field,
        value,
        format!("a whole number from 1 to {most}"),
    ))
}

/// Most runs of one step of a study, replications not counted. Larger than any study here by far;
/// a slip in a list could ask for millions.
pub(super) const MAX_RUNS: usize = 10_000;

/// That a grid of these lists has at most [`MAX_RUNS`] runs; `fields` names them.
pub(super) fn grid(fields: &str, lists: [&[u32]; 3]) -> Result<(), Error> {
    let runs = lists
        .iter()
        .fold(1usize, |runs, list| runs.saturating_mul(list.len()));
    if runs <= MAX_RUNS {
        return Ok(());
    }
    Err(refuse(
        fields,
        format!("a grid of {runs} runs"),
        format!("at most {MAX_RUNS} runs"),
    ))
}

/// Whole numbers from 1 to `most`, each once: at least one, and no more than [`MAX_RUNS`].
pub(super) fn counts(field: &str, values: &[u32], most: u32) -> Result<(), Error> {
    if values.is_empty() {
        return Err(refuse(
            field,
            "an empty list",
            "at least one number".to_owned(),
        ));
    }
    if values.len() > MAX_RUNS {
        return Err(refuse(
            field,
            format!("a list of {}", values.len()),
            format!("at most {MAX_RUNS} numbers"),
        ));
    }
    for (i, &value) in values.iter().enumerate() {
        count(field, value, most)?;
        if values.iter().take(i).any(|&earlier| earlier == value) {
            return Err(refuse(field, value, "each number once".to_owned()));
        }
    }
    Ok(())
}

/// A number in a range; NaN is in none.
pub(super) fn number(field: &str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(refuse(field, value, format!("{low} to {high}")))
}

pub(super) fn refuse(field: &str, value: impl ToString, allowed: String) -> Error {
    Error::BadField {
        field: field.to_owned(),
        value: value.to_string(),
        allowed,
    }
}
