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

/// At least one whole number from 1 to `most`, each once.
pub(super) fn counts(field: &str, values: &[u32], most: u32) -> Result<(), Error> {
    if values.is_empty() {
        return Err(refuse(
            field,
            "an empty list",
            "at least one number".to_owned(),
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
