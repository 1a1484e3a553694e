//! What a replay leaves behind: which requests, in which batches, when. Figures come later.

use serde::{Deserialize, Serialize};

use super::continuous::{Served, Totals};
use crate::Trace;
use crate::scenario::Scenario;

/// The record of a finished replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The resolved scenario.
    pub scenario: Scenario,
    pub workload: WorkloadReport,
    /// The bins that were used, `[lower, upper)` in tokens; empty where nothing asks for bins.
    pub bins: Vec<[u32; 2]>,
    /// Absent where nothing asks for predictions, and where no request produced output.
    pub prediction: Option<Prediction>,
    /// When requests arrived, and with closed batches, which was in which batch.
    pub requests: Requests,
    pub work: Work,
}

/// What the servers did.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    Closed(Box<ClosedWork>),
    Continuous(Box<(Served, Totals)>),
}

/// The work of a fleet that serves closed batches.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedWork {
    /// Every batch that was served, in order of its start.
    pub batches: Batches,
    /// Batches with a step beyond what the step latency was measured for; absent where no steps are added up.
    pub outside: Option<u64>,
}

/// What the run took from the trace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct WorkloadReport {
    pub trace: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_in_trace: u64,
    /// Rows inside window and limit; in a closed loop, of these as many as the users need.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_taken: u64,
    /// Failed rows (0 output tokens) among them.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_failed: u64,
    /// Rows that were replayed: `rows_taken`, less the failed ones where those are dropped.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows_replayed: u64,
    /// The factor that arrival times were divided by, also where a rate was asked for.
    pub time_scale: f64,
    /// First to last arrival after scaling, s; in a closed loop, as it came about.
    pub span_s: f64,
    /// Replayed requests over the span; absent where the span is 0, and in a closed loop, where
    /// the answers set the pace.
    pub offered_requests_per_s: Option<f64>,
    /// Prompt and output tokens over the span; absent like `offered_requests_per_s`.
    pub offered_tokens_per_s: Option<f64>,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub prompt_tokens: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub output_tokens: u64,
}

/// How good the predictor was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Prediction {
    /// Share of requests sorted into the bin of their true output; absent where none is sorted into bins.
    pub bin_accuracy: Option<f64>,
    /// Mean of |predicted - true| output tokens.
    pub mean_abs_error_tokens: f64,
}

/// The batches of a run, a column per property.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batches {
    /// Service start, s.
    pub start: Vec<f64>,
    /// Service time, s; the batch ends at `start + service`.
    pub service: Vec<f64>,
    pub gpu: Vec<u16>,
    /// Bin it was formed from; 0 for policies without bins.
    pub bin: Vec<u8>,
    /// Where its members begin in [`Requests::order`].
    pub first: Vec<u32>,
    /// Number of members.
    pub size: Vec<u32>,
    /// Longest prompt + output among the members, tokens.
    pub longest_total: Vec<u32>,
    /// Longest output among the members, tokens.
    pub longest_output: Vec<u32>,
    /// From the start to the first tokens of all members, s; empty unless steps are added up, because by the studies'
    /// formula each member has its own.
    pub first_token: Vec<f64>,
}

impl Batches {
    pub fn len(&self) -> usize {
        self.start.len()
    }

    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// When batch `i` ends, s.
    #[inline(always)]
    pub fn end(&self, i: usize) -> f64 {
        self.start[i] + self.service[i]
    }

    /// The mean of the decode steps of batch `i`, s; only where steps are added up.
    pub fn decode_step(&self, i: usize) -> f64 {
        mean_decode_step_s(self.first_token[i], self.service[i], self.longest_output[i])
    }

    /// The service time of batch `i` as a clock shows it, s: end less start, which rounds.
    #[inline(always)]
    pub fn clocked_service(&self, i: usize) -> f64 {
        self.end(i) - self.start[i]
    }
}

/// The mean of a batch's decode steps, s; of a batch that decodes nothing, the one step that it takes.
pub(super) fn mean_decode_step_s(first_token_s: f64, service_s: f64, longest_output: u32) -> f64 {
    if longest_output > 1 {
        (service_s - first_token_s) / f64::from(longest_output - 1)
    } else {
        first_token_s
    }
}

/// A batch on its way into [`Batches`].
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchRow {
    pub start: f64,
    pub service: f64,
    pub gpu: u16,
    pub bin: u8,
    pub first: u32,
    pub size: u32,
    pub longest_total: u32,
    pub longest_output: u32,
}

impl Batches {
    /// Appends rows. In blocks, because eight columns that each look for room cost more for one
    /// batch than forming it.
    pub fn extend(&mut self, rows: &[BatchRow]) {
        self.start.extend(rows.iter().map(|row| row.start));
        self.service.extend(rows.iter().map(|row| row.service));
        self.gpu.extend(rows.iter().map(|row| row.gpu));
        self.bin.extend(rows.iter().map(|row| row.bin));
        self.first.extend(rows.iter().map(|row| row.first));
        self.size.extend(rows.iter().map(|row| row.size));
        self.longest_total
            .extend(rows.iter().map(|row| row.longest_total));
        self.longest_output
            .extend(rows.iter().map(|row| row.longest_output));
    }
}

/// The requests of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Requests {
    /// Trace rows, grouped so that each batch's members stand side by side in arrival order.
    pub order: Vec<u32>,
    /// Predicted output tokens, one per row taken, in trace order; empty for policies without
    /// bins.
    pub predicted: Vec<u32>,
    /// The first trace row of the window.
    pub first_row: u32,
    /// Trace time of arrival 0, s.
    pub origin_s: f64,
    /// Arrival times are divided by this.
    pub time_scale: f64,
    /// By trace row, when its user sent it, s on the run's clock; empty unless the loop was closed.
    pub sent_s: Vec<f64>,
    /// Trace rows in the order in which they were sent; empty like `sent_s`.
    pub sent: Vec<u32>,
}

/// When requests arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrivals<'a> {
    /// By trace row, s on a clock of its own.
    pub recorded: &'a [f64],
    origin_s: f64,
    time_scale: f64,
}

impl Arrivals<'_> {
    /// A recorded time on the run's clock, s.
    #[inline(always)]
    pub fn scaled(self, recorded_s: f64) -> f64 {
        (recorded_s - self.origin_s) / self.time_scale
    }

    /// Arrival of a trace row on the run's clock, s.
    #[inline(always)]
    pub fn of(self, row: usize) -> f64 {
        self.scaled(self.recorded[row])
    }
}

impl Requests {
    /// Trace rows of batch `i`, in arrival order.
    #[inline(always)]
    pub fn members(&self, batches: &Batches, i: usize) -> &[u32] {
        let first = batches.first[i] as usize;
        &self.order[first..first + batches.size[i] as usize]
    }

    /// When they arrived: as the trace has it, or as the users of a closed loop sent them.
    pub fn arrivals<'a>(&'a self, trace: &'a Trace) -> Arrivals<'a> {
        Arrivals {
            recorded: if self.sent_s.is_empty() {
                &trace.arrival
            } else {
                &self.sent_s
            },
            origin_s: self.origin_s,
            time_scale: self.time_scale,
        }
    }
}
