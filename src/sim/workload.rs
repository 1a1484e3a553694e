//! What a run takes from a trace: window, limit, scale, failed rows, and each row's bin.

use std::ops::Range;

use super::arrivals::Arrivals;
use super::record::{Prediction, Record, Requests, Work, WorkloadReport};
use crate::scenario::ClosedLoop;
use crate::sched::bins::{BinTable, DROPPED, Sample};
use crate::trace::Failed;
use crate::trace::predict::{Kind, bin_errors};
use crate::words::counted;
use crate::{Error, Scenario, Trace};

/// The requests of a run: which rows of the trace, in which bins, and when they arrive.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub rows: Range<usize>,
    /// Bin of each row in `rows`, [`DROPPED`] where it is not replayed.
    pub bin_of: Vec<u8>,
    pub bins: BinTable,
    /// Empty for policies without bins.
    pub predicted: Vec<u32>,
    /// How good the predictions are, over requests that produce output.
    pub prediction: Option<Prediction>,
    pub report: WorkloadReport,
    pub arrivals: Arrivals,
}

impl Workload {
    pub fn new(trace: &Trace, scenario: &Scenario) -> Result<Workload, Error> {
        let mut rows = rows(trace, scenario);
        let drop_failed = scenario.workload.failed == Failed::Drop;
        if let Some(users) = &scenario.workload.closed_loop {
            rows.end = end_of_bodies(trace, rows.clone(), drop_failed, users)?;
        }
        let mut report = counts(trace, rows.clone(), drop_failed);
        let replayed = |row: &usize| !(drop_failed && trace.output[*row] == 0);
        let (Some(first), Some(last)) = (
            rows.clone().find(|row| replayed(row)),
            rows.clone().rev().find(|row| replayed(row)),
        ) else {
            return Err(nothing_left(trace, scenario, &report, drop_failed));
        };
        // Users send by the run's own clock.
        let (origin_s, recorded_span_s) = match scenario.workload.closed_loop {
            Some(_) => (0.0, 0.0),
            None => (
                trace.arrival[first],
                trace.arrival[last] - trace.arrival[first],
            ),
        };
        put_in_time(&mut report, scenario, recorded_span_s)?;

        let outputs = &trace.output[rows.clone()];
        let mut workload = Workload {
            bin_of: outputs
                .iter()
                .map(|&output| match output {
                    0 if drop_failed => DROPPED,
                    _ => 0,
                })
                .collect(),
            bins: BinTable::single(),
            predicted: Vec::new(),
            prediction: None,
            arrivals: Arrivals::new(rows.start, origin_s, report.time_scale),
            report,
            rows: rows.clone(),
        };
        if scenario.predicts() {
            workload.predicted =
                scenario
                    .predictor
                    .predict(&trace.prompt[rows.clone()], outputs, scenario.seed);
        }
        if scenario.has_bins() {
            workload.sort_into_bins(trace, scenario, drop_failed)?;
        }
        if scenario.predicts() {
            workload.prediction = workload.judge_predictions(outputs, scenario.has_bins());
        }
        workload.arrivals.begin(trace, &workload.bin_of, scenario);
        Ok(workload)
    }

    /// Share of the requests that have arrived, 0 to 1.
    pub fn progress(&self) -> f64 {
        self.arrivals.arrived as f64 / self.report.rows_replayed as f64
    }

    /// The record of a replay that is over. `order`: of the trace rows in closed batches.
    pub fn record(self, scenario: Scenario, work: Work, order: Vec<u32>) -> Record {
        let Workload {
            bins,
            predicted,
            prediction,
            mut report,
            arrivals,
            ..
        } = self;
        let bins = match scenario.has_bins() {
            true => bins.intervals().to_vec(),
            false => Vec::new(),
        };
        let (first_row, origin_s, time_scale) =
            (arrivals.first_row, arrivals.origin_s, arrivals.time_scale);
        let (sent_s, sent) = arrivals.sent();
        if let Some(&last) = sent.last() {
            report.span_s = sent_s[last as usize];
        }
        Record {
            scenario,
            workload: report,
            bins,
            prediction,
            requests: Requests {
                order,
                predicted,
                first_row: first_row as u32,
                origin_s,
                time_scale,
                sent_s,
                sent,
            },
            work,
        }
    }

    /// Whether every request has arrived.
    pub fn have_all_arrived(&self) -> bool {
        self.arrivals.arrived == self.report.rows_replayed
    }

    fn sort_into_bins(
        &mut self,
        trace: &Trace,
        scenario: &Scenario,
        drop_failed: bool,
    ) -> Result<(), Error> {
        let settings = &scenario.bins;
        let outputs = &trace.output[self.rows.clone()];
        let mut sample_outputs: Vec<u32> = trace
            .output
            .iter()
            .take(settings.sample_rows as usize)
            .copied()
            .filter(|&output| output > 0)
            .take(settings.sample_size as usize)
            .collect();
        let mut sample_predictions: Vec<u32> = self
            .predicted
            .iter()
            .zip(outputs)
            .filter(|&(_, &output)| !(drop_failed && output == 0))
            .map(|(&predicted, _)| predicted)
            .take(settings.sample_size as usize)
            .collect();
        self.bins = settings.table(
            Sample {
                outputs: &mut sample_outputs,
                predictions: &mut sample_predictions,
            },
            scenario.bins.full_batch,
        )?;
        self.bin_of = self
            .predicted
            .iter()
            .zip(outputs)
            .map(|(&predicted, &output)| {
                if drop_failed && output == 0 {
                    DROPPED
                } else {
                    self.bins.bin(predicted)
                }
            })
            .collect();
        if scenario.predictor.kind == Kind::Noisy && scenario.predictor.bin_error > 0.0 {
            let errors = bin_errors(
                scenario.predictor.bin_error,
                scenario.seed,
                self.bin_of.len(),
            );
            for (bin, error) in self.bin_of.iter_mut().zip(errors) {
                *bin = stray(*bin, error, self.bins.len());
            }
        }
        Ok(())
    }

    /// `sorted`: whether predictions sort requests into bins.
    fn judge_predictions(&self, outputs: &[u32], sorted: bool) -> Option<Prediction> {
        let (mut requests, mut right_bin, mut error_tokens) = (0u64, 0u64, 0u64);
        for ((&output, &predicted), &bin) in outputs.iter().zip(&self.predicted).zip(&self.bin_of) {
            if output > 0 {
                requests += 1;
                right_bin += u64::from(self.bins.bin(output) == bin);
                error_tokens += u64::from(predicted.abs_diff(output));
            }
        }
        (requests > 0).then(|| Prediction {
            bin_accuracy: sorted.then(|| right_bin as f64 / requests as f64),
            mean_abs_error_tokens: error_tokens as f64 / requests as f64,
        })
    }
}

/// Counts what is replayed of these rows.
fn counts(trace: &Trace, rows: Range<usize>, drop_failed: bool) -> WorkloadReport {
    let mut report = WorkloadReport {
        trace: trace.name.clone(),
        rows_in_trace: trace.len() as u64,
        rows_taken: rows.len() as u64,
        ..WorkloadReport::default()
    };
    let lengths = trace.prompt[rows.clone()].iter().zip(&trace.output[rows]);
    for (&prompt, &output) in lengths {
        let failed = output == 0;
        report.rows_failed += u64::from(failed);
        if !(failed && drop_failed) {
            report.rows_replayed += 1;
            report.prompt_tokens += u64::from(prompt);
            report.output_tokens += u64::from(output);
        }
    }
    report
}

/// Works out the time scale, the span and the rates from the span in the trace, s.
///
/// Errors: a rate that no scale gives.
fn put_in_time(
    report: &mut WorkloadReport,
    scenario: &Scenario,
    recorded_span_s: f64,
) -> Result<(), Error> {
    report.time_scale = match scenario.workload.rate_per_s {
        None => scenario.workload.time_scale,
        Some(rate) if recorded_span_s > 0.0 => rate * recorded_span_s / report.rows_replayed as f64,
        Some(_) => {
            return Err(Error::contradiction(
                "workload.rate_per_s",
                format!(
                    "{} at one moment, so that no time scale gives a rate",
                    match report.rows_replayed {
                        1 => "the one request to replay arrives".to_owned(),
                        n => format!("all {n} requests to replay arrive"),
                    }
                ),
            ));
        }
    };
    report.span_s = recorded_span_s / report.time_scale;
    if report.span_s > 0.0 {
        let tokens = report.prompt_tokens + report.output_tokens;
        report.offered_requests_per_s = Some(report.rows_replayed as f64 / report.span_s);
        report.offered_tokens_per_s = Some(tokens as f64 / report.span_s);
    }
    Ok(())
}

/// Why no row is left: the trace has none to replay, or window and limit leave it out.
fn nothing_left(
    trace: &Trace,
    scenario: &Scenario,
    report: &WorkloadReport,
    drop_failed: bool,
) -> Error {
    let problem = format!(
        "no request is left to replay ({} inside window and limit, {} of them failed); take more of the trace, or \
         keep failed rows",
        counted(report.rows_taken, "row"),
        report.rows_failed
    );
    let workload = &scenario.workload;
    let has_some = trace
        .output
        .iter()
        .any(|&output| !drop_failed || output > 0);
    let setting = if !has_some {
        None
    } else if workload.window_start_s.is_some() {
        Some("workload.window_start_s")
    } else if workload.window_end_s.is_some() {
        Some("workload.window_end_s")
    } else {
        workload.limit.map(|_| "workload.limit")
    };
    match setting {
        Some(field) => Error::contradiction(field, format!("of {} {problem}", trace.name)),
        None => Error::EmptyTrace {
            file: trace.name.clone(),
            problem,
        },
    }
}

/// A bin next to the true one; at the edges there is only one neighbour to stray to.
fn stray(bin: u8, error: i8, bins: usize) -> u8 {
    if bin == DROPPED {
        return bin;
    }
    let strayed = i32::from(bin) + i32::from(error);
    strayed.clamp(0, bins as i32 - 1) as u8
}

/// The end of the rows that a closed loop needs: one per request, failed rows not counted where
/// they are left out. Rows are never used twice.
fn end_of_bodies(
    trace: &Trace,
    rows: Range<usize>,
    drop_failed: bool,
    users: &ClosedLoop,
) -> Result<usize, Error> {
    let mut found = 0;
    for row in rows.clone() {
        found += u64::from(!(drop_failed && trace.output[row] == 0));
        if found == users.requests() {
            return Ok(row + 1);
        }
    }
    if found == 0 {
        // Nothing to replay at all, which is another error.
        return Ok(rows.end);
    }
    Err(Error::contradiction(
        "workload.closed_loop",
        format!(
            "{} with {} each need {} rows, and {} has {found} to replay ({} inside \
             the limit, {} of them failed and left out); ask for fewer requests, or take a longer \
             trace",
            counted(users.users, "user"),
            counted(users.requests_per_user, "request"),
            users.requests(),
            trace.name,
            rows.len(),
            rows.len() as u64 - found,
        ),
    ))
}

/// The rows inside window and limit: arrivals are sorted, so they are one range.
pub(crate) fn rows(trace: &Trace, scenario: &Scenario) -> Range<usize> {
    let workload = &scenario.workload;
    let zero = trace.arrival.first().copied().unwrap_or(0.0);
    let start = workload
        .window_start_s
        .map_or(0, |s| trace.arrival.partition_point(|&t| t - zero < s));
    let end = workload
        .window_end_s
        .map_or(trace.len(), |s| {
            trace.arrival.partition_point(|&t| t - zero < s)
        })
        .max(start);
    let limit = workload.limit.map_or(usize::MAX, |n| n as usize);
    start..end.min(start.saturating_add(limit))
}
