//! Everything that can go wrong with what a person gives us, in one enum.
//!
//! An error is handled exactly once: the CLI prints it and exits, the page shows it. Each variant
//! has a stable [`Error::code`], a sentence that says what was wrong and what is allowed, and
//! where it applies a file, a row and a field.

use std::borrow::Cow;

use serde::Serialize;

#[cfg(feature = "cli")]
use crate::words::counted;

/// What was wrong, where, and what is allowed instead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
// What only the command line meets is only in the command line: the page downloads every sentence.
#[non_exhaustive]
pub enum Error {
    /// A cell of a trace or table that cannot be read as what its column holds.
    #[error("{}, row {row}, column \"{}\": \"{}\" is not {allowed}", clean(.file), clean(.column), clean(.value))]
    BadCell {
        file: String,
        /// Counted as an editor counts lines: the header is row 1.
        row: u64,
        column: String,
        /// The offending text, shortened to a printable length.
        value: String,
        /// What would have been right, as in "a whole number from 0 to 4294967295".
        allowed: String,
    },
    /// A row whose shape is wrong: too few fields, an unclosed quote, not JSON.
    #[error("{}, row {row}: {}", clean(.file), clean(.problem))]
    BadRow {
        file: String,
        row: u64,
        problem: String,
    },
    /// The header lacks a column that the format needs.
    #[error("{}: no column {needed}; the header has {}", clean(.file), clean(.found))]
    MissingColumn {
        file: String,
        needed: String,
        found: String,
    },
    /// The file is none of the formats that are understood, or not the one that was asked for.
    #[error("{}: {}; understood are {allowed}", clean(.file), clean(.problem))]
    UnknownFormat {
        file: String,
        problem: String,
        allowed: String,
    },
    /// There is nothing to replay.
    #[error("{}: {}", clean(.file), clean(.problem))]
    EmptyTrace { file: String, problem: String },
    /// A compressed file ends before its data does, or its data is damaged. Where is not said: how far a
    /// damaged stream is decoded depends on the pieces in which it is read.
    #[error("{}: {detail}; copy or download the file again", clean(.file))]
    Truncated { file: String, detail: String },
    /// An argument of the command line that cannot be read.
    #[error("{argument}: {problem}")]
    #[cfg(feature = "cli")]
    BadArgument { argument: String, problem: String },
    /// A scenario field outside its range.
    #[error("{}: {} is not allowed; allowed is {}", clean(.field), clean(.value), clean(.allowed))]
    BadField {
        /// Dotted path in the scenario's JSON, as in "bins.count".
        field: String,
        value: String,
        allowed: String,
    },
    /// Text that is not a scenario: broken JSON, an unknown field, a wrong type.
    #[error("{}{}{}: {}", clean(.file), at_line(*.line, *.column), at_field(.field), clean(.problem))]
    BadScenario {
        file: String,
        /// 0 where the scenario came as an object and not as text.
        line: usize,
        column: usize,
        /// Dotted path of the field, empty where the text is not JSON at all.
        field: String,
        problem: String,
    },
    /// Text that is not a calibration, or one with a number outside its range.
    #[error("{}{}{}: {}", clean(.file), at_line(*.line, *.column), at_field(.field), clean(.problem))]
    #[cfg(any(feature = "cli", feature = "figures", feature = "gpu"))]
    BadCalibration {
        file: String,
        /// 0 where the text is fine and what it says is not.
        line: usize,
        column: usize,
        /// Dotted path of the field, empty where the text is not JSON at all.
        field: String,
        problem: String,
    },
    /// Two settings that contradict each other.
    #[error("{}: {}", clean(.what), clean(.why))]
    Contradiction { what: String, why: String },
    /// More than this program takes into memory.
    #[error("{}: {}; allowed is {}", clean(.what), clean(.found), clean(.most))]
    TooLarge {
        /// A file, or a part of it.
        what: String,
        found: String,
        /// The limit, as in "at most 64 MiB".
        most: String,
    },
    /// A fit that the data does not determine.
    #[error("{}: no fit: {}", clean(.file), clean(.problem))]
    NoFit { file: String, problem: String },
    /// Some lines of a sweep could not run.
    #[error("{failed} of {} failed; each has an error object in its place", counted(*.all, "line"))]
    #[cfg(feature = "cli")]
    FailedLines { failed: u64, all: u64 },
    /// Published figures that a simulation did not meet.
    #[error(
        "{differ} of {} {} by more than rounding",
        counted(*.compared as u64, "published figure"), if *.differ == 1 { "differs" } else { "differ" }
    )]
    #[cfg(feature = "cli")]
    Mismatch { differ: usize, compared: usize },
    /// The reader's GPU: there is none, it was lost, it refused.
    #[error("{problem}")]
    #[cfg(feature = "gpu")]
    Gpu {
        /// The error's code: `no-webgpu`, `no-adapter`, `device-lost`, `out-of-gpu-memory`,
        /// `gpu-refused` or `wrong-result`.
        code: &'static str,
        problem: String,
    },
    /// The operating system refused a file.
    #[error("cannot {action} {}: {}", clean(.path), clean(.detail))]
    File {
        action: &'static str,
        path: String,
        detail: String,
    },
    /// The person stopped the run.
    #[error("interrupted; no partial file was left behind")]
    Interrupted,
    /// The person stopped a study whose outcomes so far are kept in a file.
    #[error(
        "interrupted; {journal} holds {}, and the same command goes on from there",
        counted(*.runs, "finished run")
    )]
    #[cfg(feature = "cli")]
    InterruptedStudy { journal: String, runs: u64 },
}

fn at_line(line: usize, column: usize) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(", line {line}, column {column}")
    }
}

fn at_field(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!(", field {}", clean(field))
    }
}

impl Error {
    /// A setting outside its range, by its path or flag.
    pub(crate) fn bad_field(
        field: impl Into<String>,
        value: impl ToString,
        allowed: impl Into<String>,
    ) -> Error {
        Error::BadField {
            field: field.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }

    /// A setting that contradicts another, or has no effect beside it.
    pub(crate) fn contradiction(what: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Contradiction {
            what: what.into(),
            why: why.into(),
        }
    }

    /// What is wrong with a row of CSV.
    pub(crate) fn of_csv(e: &csv::Error, file: &str) -> Error {
        Error::BadRow {
            file: file.to_owned(),
            row: e.position().map_or(1, csv::Position::line),
            problem: match e.kind() {
                csv::ErrorKind::UnequalLengths {
                    expected_len, len, ..
                } => format!("{len} fields, but the header has {expected_len}"),
                csv::ErrorKind::Utf8 { .. } => "not UTF-8 text".to_owned(),
                other => format!("{other:?}"),
            },
        }
    }

    /// More than fits.
    pub(crate) fn too_large(
        what: impl Into<String>,
        found: impl Into<String>,
        most: impl Into<String>,
    ) -> Error {
        Error::TooLarge {
            what: what.into(),
            found: found.into(),
            most: most.into(),
        }
    }

    /// An argument that cannot be read.
    #[cfg(feature = "cli")]
    pub(crate) fn bad_argument(argument: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::BadArgument {
            argument: argument.into(),
            problem: problem.into(),
        }
    }

    /// Stable identifier for programs and tests; never reworded.
    pub fn code(&self) -> &'static str {
        match self {
            Error::BadCell { .. } => "bad-cell",
            Error::BadRow { .. } => "bad-row",
            Error::MissingColumn { .. } => "missing-column",
            Error::UnknownFormat { .. } => "unknown-format",
            Error::EmptyTrace { .. } => "empty-trace",
            Error::Truncated { .. } => "truncated",
            #[cfg(feature = "cli")]
            Error::BadArgument { .. } => "bad-argument",
            Error::BadField { .. } => "bad-field",
            Error::BadScenario { .. } => "bad-scenario",
            #[cfg(any(feature = "cli", feature = "figures", feature = "gpu"))]
            Error::BadCalibration { .. } => "bad-calibration",
            Error::Contradiction { .. } => "contradiction",
            Error::TooLarge { .. } => "too-large",
            Error::NoFit { .. } => "no-fit",
            #[cfg(feature = "cli")]
            Error::FailedLines { .. } => "failed-lines",
            #[cfg(feature = "cli")]
            Error::Mismatch { .. } => "mismatch",
            #[cfg(feature = "gpu")]
            Error::Gpu { code, .. } => code,
            Error::File { .. } => "file",
            Error::Interrupted => "interrupted",
            #[cfg(feature = "cli")]
            Error::InterruptedStudy { .. } => "interrupted",
        }
    }

    /// The plain-data form that crosses to the page and into `--json`.
    pub fn report(&self) -> ErrorReport {
        let (file, row, field) = match self {
            Error::BadCell {
                file, row, column, ..
            } => (Some(file), Some(*row), Some(column)),
            Error::BadRow { file, row, .. } => (Some(file), Some(*row), None),
            Error::MissingColumn { file, needed, .. } => (Some(file), None, Some(needed)),
            Error::UnknownFormat { file, .. }
            | Error::EmptyTrace { file, .. }
            | Error::Truncated { file, .. }
            | Error::NoFit { file, .. } => (Some(file), None, None),
            Error::BadField { field, .. } => (None, None, Some(field)),
            Error::BadScenario {
                file, line, field, ..
            } => (
                Some(file),
                (*line > 0).then_some(*line as u64),
                (!field.is_empty()).then_some(field),
            ),
            #[cfg(any(feature = "cli", feature = "figures", feature = "gpu"))]
            Error::BadCalibration {
                file, line, field, ..
            } => (
                Some(file),
                (*line > 0).then_some(*line as u64),
                (!field.is_empty()).then_some(field),
            ),
            Error::File { path, .. } => (Some(path), None, None),
            Error::Contradiction { what, .. } => (None, None, Some(what)),
            Error::TooLarge { what, .. } => (Some(what), None, None),
            Error::Interrupted => (None, None, None),
            #[cfg(feature = "gpu")]
            Error::Gpu { .. } => (None, None, None),
            #[cfg(feature = "cli")]
            Error::InterruptedStudy { journal: path, .. } => (Some(path), None, None),
            #[cfg(feature = "cli")]
            Error::BadArgument { argument, .. } => (None, None, Some(argument)),
            #[cfg(feature = "cli")]
            Error::FailedLines { .. } | Error::Mismatch { .. } => (None, None, None),
        };
        ErrorReport {
            code: self.code().to_owned(),
            message: self.to_string(),
            file: file.cloned(),
            row,
            field: field.cloned(),
        }
    }
}

/// An [`Error`] as plain data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ErrorReport {
    pub code: String,
    pub message: String,
    pub file: Option<String>,
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub row: Option<u64>,
    pub field: Option<String>,
}

/// Part of a sentence, which may hold text from a file or the name of one: without characters that drive a
/// terminal, and not longer than a screen.
fn clean(text: &str) -> Cow<'_, str> {
    const LIMIT: usize = 1000;
    let long = text.len() > LIMIT && text.chars().nth(LIMIT).is_some();
    if !long && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut clean: String = text
        .chars()
        .take(LIMIT)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if long {
        clean.push('…');
    }
    Cow::Owned(clean)
}

/// Shortens text from a file so that it fits a sentence and cannot drive a terminal.
pub fn printable(text: &[u8]) -> String {
    const LIMIT: usize = 40;
    let text = String::from_utf8_lossy(text);
    let mut short: String = text
        .chars()
        .take(LIMIT)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(LIMIT).is_some() {
        short.push('…');
    }
    short
}

/// Refuses a number outside a range; NaN and infinities are in none.
pub(crate) fn number(field: &str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(Error::bad_field(field, value, format!("{low} to {high}"))),
    }
}

/// Refuses a whole number outside a range.
pub(crate) fn whole(field: &str, value: u32, low: u32, high: u32) -> Result<(), Error> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => {
            let allowed = format!("a whole number from {low} to {high}");
            Err(Error::bad_field(field, value, allowed))
        }
    }
}

/// Longest list of whole numbers in a setting. Far more than anybody runs; a slip could ask for millions.
pub(crate) const MAX_LIST: usize = 10_000;

/// Whole numbers from 1 to `most`, each once: at least one, and no more than [`MAX_LIST`].
pub(crate) fn counts(field: &str, values: &[u32], most: u32) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::bad_field(
            field,
            "an empty list",
            "at least one number".to_owned(),
        ));
    }
    if values.len() > MAX_LIST {
        return Err(Error::bad_field(
            field,
            format!("a list of {}", values.len()),
            format!("at most {MAX_LIST} numbers"),
        ));
    }
    for (i, &value) in values.iter().enumerate() {
        whole(field, value, 1, most)?;
        if values.iter().take(i).any(|&earlier| earlier == value) {
            return Err(Error::bad_field(
                field,
                value,
                "each number once".to_owned(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_file_drives_a_terminal_or_fills_a_screen() {
        let bad = format!("\u{1b}[2J\u{0}{}", "x".repeat(1 << 20));
        let all = [
            Error::MissingColumn {
                file: "a\u{7}b".to_owned(),
                needed: "batch".to_owned(),
                found: bad.clone(),
            },
            Error::BadScenario {
                file: "s.json".to_owned(),
                line: 1,
                column: 2,
                field: bad.clone(),
                problem: bad.clone(),
            },
            Error::BadRow {
                file: "r".to_owned(),
                row: 1,
                problem: bad.clone(),
            },
            Error::BadField {
                field: bad.clone(),
                value: bad.clone(),
                allowed: bad.clone(),
            },
            Error::Contradiction {
                what: bad.clone(),
                why: bad.clone(),
            },
        ];
        for error in all {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{}", error.code());
            assert!(text.chars().count() < 3100, "{}", error.code());
        }
    }
}
