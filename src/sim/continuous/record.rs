//! What a replay with continuous batching leaves behind: when each request was served, and what the
//! replicas did.

use super::gaps::Gaps;
use super::series::Series;

/// What became of each request: a column per property, an entry per row of the window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Served {
    /// Start of the step that processed the first token, s; NaN for requests that never joined.
    pub joined_s: Vec<f64>,
    /// When the first token came, s; NaN where none did.
    pub first_token_s: Vec<f64>,
    /// When the last token came, s; NaN where it did not.
    pub done_s: Vec<f64>,
    /// Where it was served.
    pub replica: Vec<u16>,
    pub fate: Vec<Fate>,
}

impl Served {
    /// Creates the columns for `rows` requests that have not arrived.
    pub(super) fn new(rows: usize) -> Served {
        Served {
            joined_s: vec![f64::NAN; rows],
            first_token_s: vec![f64::NAN; rows],
            done_s: vec![f64::NAN; rows],
            replica: vec![0; rows],
            fate: vec![Fate::Dropped; rows],
        }
    }

    /// Whether a request that arrived has not joined, and is not gone.
    pub(super) fn waits(&self, row: u32) -> bool {
        self.joined_s[row as usize].is_nan() && self.fate[row as usize] == Fate::Dropped
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Fate {
    /// Failed in the trace and left out.
    #[default]
    Dropped,
    Done,
    /// Found too many waiting.
    Rejected,
    /// Can never fit into the cache.
    TooLong,
    /// Waited too long.
    TimedOut,
}

impl Fate {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Dropped => "dropped",
            Fate::Done => "done",
            Fate::Rejected => "rejected",
            Fate::TooLong => "too-long",
            Fate::TimedOut => "timed-out",
        }
    }
}

/// What all replicas did, together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// When the last step ended, s.
    pub end_s: f64,
    pub steps: u64,
    /// Sum over the steps of sequences that decoded, of their contexts, of prompt tokens processed (and
    /// proposed tokens checked), and of their pairs.
    pub decoded: f64,
    pub context: f64,
    pub prefilled: f64,
    pub pairs: f64,
    /// Output tokens that came.
    pub emitted: u64,
    /// At a mark, how much of the busy time is of steps that have not ended, s.
    pub at_hand_s: f64,
    /// Steps whose time the latency model had to reach beyond its measurements for.
    pub steps_outside: u64,
    /// Busy time of each replica, s.
    pub busy_s: Vec<f64>,
    /// Every gap between two tokens of a request.
    pub gaps: Gaps,
    pub preemptions: u64,
    /// Tokens that were computed again after a preemption (less those found in the cache).
    pub recomputed_tokens: u64,
    /// Blocks that were copied out and in.
    pub swapped_blocks: u64,
    pub swap_s: f64,
    /// Blocks of a replica; `None` where there is no limit.
    pub blocks: Option<u64>,
    /// Most blocks in use on one replica, and most tokens in them.
    pub peak_blocks: u64,
    pub peak_tokens: u64,
    /// The same since the last mark.
    pub part_peak_blocks: u64,
    pub part_peak_tokens: u64,
    /// Integral over time of tokens in the caches of all replicas, token s.
    pub token_s: f64,
    /// Prompt tokens looked up in the prefix cache, and of these found: all of a prompt when its request first joins;
    /// when a preempted request joins again, those found beyond what it had processed.
    pub looked_up_tokens: u64,
    pub found_tokens: u64,
    /// Blocks with content that were taken for something else, and what that cost, s.
    pub evictions: u64,
    pub eviction_s: f64,
    /// Tokens that drafts proposed, and of these accepted.
    pub proposed: u64,
    pub accepted: u64,
    /// Requests that waited when the last one had arrived and all had joined that could.
    pub backlog_at_last_arrival: u64,
    /// State over time, all replicas together.
    pub series: Series,
    /// What had been done when each twentieth of the requests had arrived, from none on.
    pub marks: Vec<Mark>,
}

/// Parts of the arrivals between marks.
pub const MARKS: usize = 20;

/// What had been done at a moment: differences of two are what was done between them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mark {
    /// s.
    pub at_s: f64,
    /// Totals up to this moment, without `series` and `marks`. Of a jump that goes on, the steps count that
    /// have ended; times and integrals over time go up to the moment itself.
    pub totals: Totals,
}

impl Totals {
    /// When this part of the run began, s; before the first mark, before everything.
    pub(super) fn last_mark_s(&self) -> f64 {
        self.marks
            .last()
            .map_or(f64::NEG_INFINITY, |mark| mark.at_s)
    }
}
