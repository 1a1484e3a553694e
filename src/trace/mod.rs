//! Requests in: one columnar [`Trace`], whatever the file looked like.
//!
//! [`read`] understands six formats, plain or gzip:
//!
//! | format | recognised by | arrival time |
//! |---|---|---|
//! | `burstgpt` | columns `Timestamp`, `Request tokens`, `Response tokens` | seconds |
//! | `azure` | columns `TIMESTAMP`, `ContextTokens`, `GeneratedTokens` | calendar time |
//! | `bailian` | fields `chat_id`, `timestamp`, `input_length`, `output_length` | seconds |
//! | `mooncake` | fields `timestamp`, `input_length`, `output_length` | milliseconds |
//! | `csv`, `jsonl` | any accepted name for each of arrival, prompt and output | see below |
//!
//! Column names are compared without regard to case, spaces, `_` and `-`, and columns may stand in
//! any order. Generic tables may call the arrival `arrival_s`, `arrival`, `arrival_time`,
//! `arrived_at`, `timestamp`, `time`, `ts` (seconds, or calendar times) or `arrival_ms`,
//! `timestamp_ms`, `time_ms`; the prompt `prompt`, `prompt_tokens`, `input_tokens`, `input_length`,
//! `num_prefill_tokens`, `context_tokens` and the like; the output `output`, `output_tokens`,
//! `output_length`, `num_decode_tokens`, `completion_tokens` and the like. Every format may have a `model`,
//! a `log_type`, a `session_id`, and `hash_ids` of a prompt's blocks with their `block_tokens`. The complete
//! list is in the sentence of the error for a table that lacks one. Other columns are not read.
//!
//! A [`Reading`] names what the file does not say or says otherwise: format, unit of time, tokens of a
//! hash block.
//!
//! What is wrong in a file is an [`Error`] with its row and column; what is mended is counted in the
//! [`ReadReport`]: rows out of time order are sorted (stable), blank rows are passed over.

mod azure;
mod bailian;
mod burstgpt;
mod columns;
mod lines;
mod mooncake;
pub mod predict;
pub(crate) mod random;
pub mod stats;
pub mod synth;
mod table;

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::error::{Error, printable};
use lines::{Lines, UNDERSTOOD};

use columns::MAX_HASH_TOKENS;
#[cfg(feature = "cli")]
pub(crate) use lines::damaged_gzip;
pub use stats::{LengthStats, Stats, stats};

/// Requests in arrival order, one column per property; every column has the same length.
///
/// Columns hold what the file says: failed requests (0 output tokens) are still in it, and time is
/// not scaled. [`crate::Scenario`] says what a run makes of that.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// For people: the file's name, or the generator's.
    pub name: String,
    /// Seconds on the trace's own clock, finite, never decreasing.
    pub arrival: Vec<f64>,
    /// Prompt (prefill) tokens.
    pub prompt: Vec<u32>,
    /// Output (decode) tokens; 0 marks a failed request.
    pub output: Vec<u32>,
    /// Which model answered, where the log says.
    pub model: Option<Labels>,
    /// Conversation or API, where the log says.
    pub log_type: Option<Labels>,
    /// Session number of each request, dense from 0, where the log says; [`NO_SESSION`] for none.
    pub session: Option<Vec<u32>>,
    /// Prefix-block hashes, where the log has them.
    pub prefix: Option<PrefixBlocks>,
    /// What reading (or generating) found and mended.
    pub report: ReadReport,
}

/// A request that belongs to no session.
pub const NO_SESSION: u32 = u32::MAX;

/// A column of few distinct names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels {
    pub names: Vec<String>,
    /// Index into `names`, one per request.
    pub ids: Vec<u8>,
}

/// Hash blocks of each request's prompt: request `i` has
/// `blocks[offsets[i] as usize..offsets[i + 1] as usize]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PrefixBlocks {
    /// Tokens that a block stands for; 0 where neither the file nor its reader says.
    pub tokens_per_block: u32,
    pub offsets: Vec<u32>,
    /// Hash ids renumbered densely from 0 in order of first appearance.
    pub blocks: Vec<u32>,
}

impl PrefixBlocks {
    /// The blocks of request `i`; none where there is no such request.
    pub fn of(&self, i: usize) -> &[u32] {
        let place = self.offsets.get(i).zip(self.offsets.get(i + 1));
        place
            .and_then(|(from, to)| self.blocks.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }
}

/// What a reader found and what it mended; shown to the person, never swallowed.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ReadReport {
    /// The format that was recognised, as in `--format`; "synthetic" for a generator.
    pub format: String,
    /// Data rows in the file, the header not counted.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows: u64,
    /// Rows that stood behind a later one and were moved in front of it (stable sort).
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_sorted: u64,
    /// Blank rows that were passed over.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_blank: u64,
    /// Requests with 0 output tokens, kept in the trace as failed.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_failed: u64,
}

/// What to do with failed requests (0 output tokens).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Failed {
    /// Leave them out of the run and count them: they never reached the model.
    #[default]
    Drop,
    /// Serve them like any other request, as the published studies did.
    Keep,
}

impl Trace {
    pub fn len(&self) -> usize {
        self.arrival.len()
    }

    pub fn is_empty(&self) -> bool {
        self.arrival.is_empty()
    }
}

/// A trace file's format, as in `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Format {
    /// BurstGPT releases 1 to 3.
    Burstgpt,
    /// Azure LLM inference traces 2023 and 2024.
    Azure,
    /// Qwen-Bailian's JSON lines.
    Bailian,
    /// Mooncake's JSON lines.
    Mooncake,
    /// CSV with named columns.
    Csv,
    /// JSON lines with named fields.
    Jsonl,
}

impl Format {
    /// As in `--format` and in [`ReadReport::format`].
    pub fn name(self) -> &'static str {
        match self {
            Format::Burstgpt => "burstgpt",
            Format::Azure => "azure",
            Format::Bailian => "bailian",
            Format::Mooncake => "mooncake",
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
        }
    }
}

/// A unit of arrival times, as in `--time-unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl TimeUnit {
    fn per_second(self) -> f64 {
        match self {
            TimeUnit::S => 1.0,
            TimeUnit::Ms => 1e3,
            TimeUnit::Us => 1e6,
            TimeUnit::Ns => 1e9,
        }
    }

    fn name(self) -> &'static str {
        match self {
            TimeUnit::S => "s",
            TimeUnit::Ms => "ms",
            TimeUnit::Us => "us",
            TimeUnit::Ns => "ns",
        }
    }

    fn words(self) -> &'static str {
        match self {
            TimeUnit::S => "seconds",
            TimeUnit::Ms => "milliseconds",
            TimeUnit::Us => "microseconds",
            TimeUnit::Ns => "nanoseconds",
        }
    }
}

/// How to read a trace file. What is absent follows from the file: its format from the first line, the
/// rest from the format and the names of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    pub format: Option<Format>,
    /// Unit of the arrival times.
    pub time_unit: Option<TimeUnit>,
    /// Tokens that a hash of a prompt's blocks stands for.
    pub hash_tokens: Option<u32>,
    /// Reading ends after this many rows, whatever follows them.
    pub most_rows: Option<u64>,
}

impl Reading {
    /// Refuses a size of hash blocks outside its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.hash_tokens {
            Some(tokens) if !(1..=MAX_HASH_TOKENS).contains(&tokens) => Err(Error::bad_field(
                "trace.file.hash_tokens",
                tokens,
                format!("a whole number from 1 to {MAX_HASH_TOKENS}"),
            )),
            _ => Ok(()),
        }
    }
}

impl From<Option<Format>> for Reading {
    fn from(format: Option<Format>) -> Self {
        Reading {
            format,
            ..Reading::default()
        }
    }
}

/// Reads a trace. `name` is for errors and for [`Trace::name`]; without a `format` the first line
/// decides. The input is streamed: beside the columns themselves memory stays under 10 MiB. More than
/// 100 million rows (8 million in a browser) are an error, and so is a row of more than 4 MiB.
///
/// # Errors
/// Those of [`read_as`].
pub fn read<R: Read>(input: R, name: &str, format: Option<Format>) -> Result<Trace, Error> {
    read_as(input, name, &format.into())
}

/// Reads a trace as [`read`] does, with what the file does not say.
///
/// # Errors
/// Names file, row (the header is row 1) and column of the first thing wrong: an unknown format, a
/// missing column, a cell that is not what its column holds (lengths are whole numbers to
/// 100 million, times finite and not negative), a number of hash blocks that a prompt's length
/// contradicts, too few or too many fields, an unclosed quote, more than 256 distinct labels, a gzip
/// stream that stops early or is damaged, no rows at all, or the operating system's refusal.
pub fn read_as<R: Read>(input: R, name: &str, reading: &Reading) -> Result<Trace, Error> {
    reading.check()?;
    let mut lines = Lines::open(input, name)?;
    let Some(first) = lines.peek()? else {
        return Err(Error::EmptyTrace {
            file: name.to_owned(),
            problem: "the file is empty".to_owned(),
        });
    };
    let format = match reading.format {
        Some(format) => format,
        None => recognise(&first, name)?,
    };
    match format {
        Format::Burstgpt => table::read_csv(lines, &burstgpt::NAMES, reading),
        Format::Azure => table::read_csv(lines, &azure::NAMES, reading),
        Format::Csv => table::read_csv(lines, &table::CSV, reading),
        Format::Bailian => table::read_json(lines, &bailian::NAMES, reading),
        Format::Mooncake => table::read_json(lines, &mooncake::NAMES, reading),
        Format::Jsonl => table::read_json(lines, &table::JSONL, reading),
    }
}

/// The format of a file by its first filled line.
fn recognise(first: &[u8], file: &str) -> Result<Format, Error> {
    let unknown = |problem: String| Error::UnknownFormat {
        file: file.to_owned(),
        problem,
        allowed: UNDERSTOOD.to_owned(),
    };
    if first.trim_ascii_start().starts_with(b"{") {
        let keys = table::keys(first);
        return Ok(if bailian::NAMES.fit(&keys) {
            Format::Bailian
        } else if mooncake::NAMES.fit(&keys) {
            Format::Mooncake
        } else {
            Format::Jsonl
        });
    }
    if first.trim_ascii_start().starts_with(b"[") {
        return Err(unknown(
            "a JSON array; write one object per line".to_owned(),
        ));
    }
    let header = match std::str::from_utf8(first) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\t') => text,
        _ => return Err(unknown("the first line is not text".to_owned())),
    };
    let header: Vec<String> = header
        .split(',')
        .map(|name| name.trim().trim_matches('"').trim().to_owned())
        .collect();
    if burstgpt::NAMES.fit(&header) {
        Ok(Format::Burstgpt)
    } else if azure::NAMES.fit(&header) {
        Ok(Format::Azure)
    } else if table::CSV.know_any(&header) {
        Ok(Format::Csv)
    } else {
        let why = if servegen(&header) {
            "has the rate of a window of time, as ServeGen's chunks do, and no request"
        } else if header.iter().all(|cell| cell.parse::<f64>().is_ok()) {
            "holds numbers; a table begins with the names of its columns"
        } else {
            "names no column that is known"
        };
        Err(unknown(format!(
            "the first line, \"{}\", {why}",
            printable(first)
        )))
    }
}

/// Whether a line is of a ServeGen chunk: start of a window, rate, coefficient of variation, distribution and
/// its two parameters.
fn servegen(cells: &[String]) -> bool {
    let number = |cell: &String| cell.parse::<f64>().is_ok();
    matches!(cells, [start, rate, cv, distribution, a, b]
        if [start, rate, cv, a, b].into_iter().all(number) && !number(distribution))
}
