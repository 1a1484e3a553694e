//! Requests in: one columnar [`Trace`], whatever the file looked like.

pub mod predict;
pub mod synth;

use serde::{Deserialize, Serialize};

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

/// Hash blocks of each request's prompt (Mooncake): request `i` has
/// `blocks[offsets[i] as usize..offsets[i + 1] as usize]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PrefixBlocks {
    pub tokens_per_block: u32,
    pub offsets: Vec<u32>,
    /// Hash ids renumbered densely from 0 in order of first appearance.
    pub blocks: Vec<u32>,
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
    /// Rows that stood out of time order and were moved (stable sort).
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
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Format {
    /// BurstGPT releases 1 to 3.
    Burstgpt,
    /// Azure LLM inference traces 2023 and 2024.
    Azure,
    /// Mooncake's JSON lines.
    Mooncake,
    /// CSV with named columns.
    Csv,
    /// JSON lines with named fields.
    Jsonl,
}
