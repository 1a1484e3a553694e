//! The two walks over a finished run from which every figure comes.
//!
//! Walk one counts and sums and fills the histograms; walk two selects the quantiles
//! ([`crate::quantiles`]).

use super::honest::{Attainment, Distribution, Honest, NOT_MODELLED, Prediction, Utilization};
use super::published::Published;
use super::{Batches, Requests, WorkloadReport};
use crate::Trace;
use crate::latency::LinearTable;
use crate::quantiles::Histogram;
use crate::scenario::{Sla, TokenRule};
use crate::sched::bins::BinTable;
use crate::sched::memory::Memory;
use crate::trace::Failed;

/// What the figures are made from.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub trace: &'a Trace,
    pub batches: &'a Batches,
    pub requests: &'a Requests,
    pub latency: &'a LinearTable,
    pub bins: &'a BinTable,
    pub report: &'a WorkloadReport,
    pub sla: &'a Sla,
    pub memory: &'a Memory,
    pub gpus: usize,
    pub failed: Failed,
}

/// A batch as the walks see it; times in s.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub index: usize,
    pub size: u32,
    pub start: f64,
    pub end: f64,
    /// Service time / longest output; 0 where every member failed.
    tbt: f64,
    base: f64,
    decode_step: f64,
}

/// A request as the walks see it; times in s.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub row: usize,
    pub prompt: u32,
    pub output: u32,
    pub arrival: f64,
    pub latency: f64,
}

impl Request {
    #[inline]
    pub fn queueing(&self, batch: &Batch) -> f64 {
        batch.start - self.arrival
    }

    /// The batch walks through token positions one by one, and a member's first token follows its
    /// own prompt: docs/MODEL.md, "Honest metrics".
    #[inline]
    pub fn ttft(&self, batch: &Batch) -> f64 {
        let positions = f64::from(self.prompt) + 1.0;
        (self.queueing(batch) + batch.base + batch.decode_step * positions).min(self.latency)
    }

    /// `None` for a single output token: nothing follows the first.
    #[inline]
    pub fn tpot_ms(&self, ttft: f64) -> Option<f64> {
        (self.output > 1).then(|| (self.latency - ttft) / f64::from(self.output - 1) * 1e3)
    }
}

impl<'a> Ledger<'a> {
    #[inline]
    pub fn batch(self, index: usize) -> Batch {
        let b = self.batches;
        Batch {
            index,
            size: b.size[index],
            start: b.start[index],
            end: b.end(index),
            tbt: match b.longest_output[index] {
                0 => 0.0,
                longest => b.service[index] / f64::from(longest),
            },
            base: self.latency.base_s(),
            decode_step: self.latency.decode_step_s(b.size[index]),
        }
    }

    #[inline]
    pub fn request(self, batch: Batch, row: u32) -> Request {
        let row = row as usize;
        let arrival = self.requests.arrival_s(self.trace.arrival[row]);
        Request {
            row,
            prompt: self.trace.prompt[row],
            output: self.trace.output[row],
            arrival,
            latency: batch.end - arrival,
        }
    }

    pub fn batches(self) -> impl Iterator<Item = Batch> + 'a {
        (0..self.batches.len()).map(move |index| self.batch(index))
    }

    #[inline]
    pub fn members(self, batch: Batch) -> impl Iterator<Item = Request> + 'a {
        self.requests
            .members(self.batches, batch.index)
            .iter()
            .map(move |&row| self.request(batch, row))
    }
}

/// The quantiles of [`Distribution`].
const POINTS: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Both sets of metrics of a finished run. Each has its own counters and histograms: among the
/// published ones every replayed row counts, failed ones too; among the honest ones only requests
/// that produced output. They share the walk over the requests because the walk is what costs.
pub(super) fn metrics(ledger: Ledger<'_>, totals: Totals) -> (Published, Honest) {
    let failed_replayed = match ledger.failed {
        Failed::Keep => ledger.report.rows_failed,
        Failed::Drop => 0,
    };
    let mut published = PublishedTally::default();
    let mut honest = HonestTally::new(&ledger);
    for batch in ledger.batches() {
        published.batch(&ledger, &batch);
        honest.begin_batch();
        for request in ledger.members(batch) {
            published.request(&ledger, &batch, &request);
            honest.any_request(&request);
            if request.output > 0 {
                honest.request(&ledger, &batch, &request);
            }
        }
        honest.end_batch(&batch);
    }
    let everyone_succeeded = failed_replayed == 0;
    if !everyone_succeeded {
        for batch in ledger.batches() {
            for request in ledger.members(batch).filter(|request| request.output > 0) {
                honest.e2e.add(request.latency);
            }
        }
    }

    // Second walk: the quantiles. Latency and queueing need no more than the arrival.
    let mut tbt_points = published.tbt.select([0.95, 0.99]);
    let mut latency_points = published.latency.select(POINTS);
    let mut e2e_points = honest.e2e.select(POINTS);
    let mut queueing_points = honest.queueing.select(POINTS);
    for batch in ledger.batches() {
        tbt_points.add_times(batch.tbt * 1e3, batch.size);
        for &row in ledger.requests.members(ledger.batches, batch.index) {
            let arrival = ledger
                .requests
                .arrival_s(ledger.trace.arrival[row as usize]);
            latency_points.add(batch.end - arrival);
            if everyone_succeeded {
                queueing_points.add(batch.start - arrival);
            } else if ledger.trace.output[row as usize] > 0 {
                queueing_points.add(batch.start - arrival);
                e2e_points.add(batch.end - arrival);
            }
        }
    }
    let latency_points = latency_points.finish();
    let e2e = if everyone_succeeded {
        distribution(&published.latency, latency_points)
    } else {
        distribution(&honest.e2e, e2e_points.finish())
    };
    let queueing = distribution(&honest.queueing, queueing_points.finish());
    (
        published.finish(&ledger, &totals, tbt_points.finish(), latency_points),
        honest.finish(&ledger, totals, failed_replayed, e2e, queueing),
    )
}

#[derive(Default)]
struct PublishedTally {
    tbt: Histogram,
    latency: Histogram,
    token_violations: u64,
    request_violations: u64,
}

impl PublishedTally {
    #[inline]
    fn batch(&mut self, ledger: &Ledger<'_>, batch: &Batch) {
        self.tbt.add_times(batch.tbt * 1e3, batch.size);
        let token_sla_s = ledger.sla.token_ms / 1e3;
        let violated = match ledger.sla.published_token_rule {
            TokenRule::BatchTbt => batch.tbt > token_sla_s,
            TokenRule::DecodeStep => batch.decode_step > token_sla_s,
            TokenRule::EndToEnd => false,
        };
        if violated {
            self.token_violations += u64::from(batch.size);
        }
    }

    #[inline]
    fn request(&mut self, ledger: &Ledger<'_>, batch: &Batch, request: &Request) {
        self.latency.add(request.latency);
        self.request_violations += u64::from(request.latency > ledger.sla.request_s);
        if ledger.sla.published_token_rule == TokenRule::EndToEnd {
            let deadline = request.arrival + ledger.sla.token_ms / 1e3;
            self.token_violations += u64::from(batch.end > deadline);
        }
    }

    fn finish(
        self,
        ledger: &Ledger<'_>,
        totals: &Totals,
        [p95_tbt_ms, p99_tbt_ms]: [f64; 2],
        [p50_latency_s, _, p95_latency_s, p99_latency_s]: [f64; 4],
    ) -> Published {
        let requests = self.latency.count() as f64;
        let makespan_s = totals.makespan_s;
        let tokens = ledger.report.prompt_tokens + ledger.report.output_tokens;
        Published {
            token_violations: self.token_violations,
            request_violations: self.request_violations,
            avg_tbt_ms: self.tbt.mean(),
            p95_tbt_ms,
            p99_tbt_ms,
            max_tbt_ms: self.tbt.max(),
            avg_latency_s: self.latency.mean(),
            p50_latency_s,
            p95_latency_s,
            p99_latency_s,
            gpu_utilization_mean: totals.utilization.mean,
            gpu_utilization_min: totals.utilization.min,
            gpu_utilization_max: totals.utilization.max,
            batches: ledger.batches.len() as u64,
            avg_batch: requests / ledger.batches.len() as f64,
            max_batch: totals.max_batch,
            makespan_s,
            tokens_per_s: tokens as f64 / makespan_s,
            requests_per_s: requests / makespan_s,
            capacity_qps_under_sla: (requests - self.token_violations as f64) / makespan_s,
        }
    }
}

struct HonestTally {
    queueing: Histogram,
    ttft: Histogram,
    tpot: Histogram,
    /// Only filled where failed rows were replayed; otherwise the published latencies are these.
    e2e: Histogram,
    /// The same values one by one, for the selection: 16 bytes a request.
    ttft_values: Vec<f64>,
    tpot_values: Vec<f64>,
    requests: u64,
    met_token: u64,
    met_request: u64,
    met_joint: u64,
    good_tokens: u64,
    batch_tokens: u64,
    peak_tokens: u64,
    over_memory: u64,
    positions: u64,
    in_system_s: f64,
    right_bin: u64,
    error_tokens: u64,
    token_limit: u64,
    longest_total: u32,
}

impl HonestTally {
    fn new(ledger: &Ledger<'_>) -> HonestTally {
        let requests = ledger.requests.order.len();
        HonestTally {
            queueing: Histogram::default(),
            ttft: Histogram::default(),
            tpot: Histogram::default(),
            e2e: Histogram::default(),
            ttft_values: Vec::with_capacity(requests),
            tpot_values: Vec::with_capacity(requests),
            requests: 0,
            met_token: 0,
            met_request: 0,
            met_joint: 0,
            good_tokens: 0,
            batch_tokens: 0,
            peak_tokens: 0,
            over_memory: 0,
            positions: 0,
            in_system_s: 0.0,
            right_bin: 0,
            error_tokens: 0,
            token_limit: ledger.memory.token_limit(),
            longest_total: 0,
        }
    }

    #[inline]
    fn begin_batch(&mut self) {
        self.batch_tokens = 0;
        self.longest_total = 0;
    }

    #[inline]
    fn any_request(&mut self, request: &Request) {
        let total = request.prompt.saturating_add(request.output);
        self.longest_total = self.longest_total.max(total);
        self.batch_tokens += u64::from(total);
        self.in_system_s += request.latency;
    }

    #[inline]
    fn request(&mut self, ledger: &Ledger<'_>, batch: &Batch, request: &Request) {
        self.requests += 1;
        self.good_tokens += u64::from(request.prompt) + u64::from(request.output);
        let ttft = request.ttft(batch);
        self.queueing.add(request.queueing(batch));
        self.ttft.add(ttft);
        self.ttft_values.push(ttft);
        let mut token = true;
        if let Some(ms) = request.tpot_ms(ttft) {
            self.tpot.add(ms);
            self.tpot_values.push(ms);
            token = ms <= ledger.sla.token_ms;
        }
        let in_time = request.latency <= ledger.sla.request_s;
        self.met_token += u64::from(token);
        self.met_request += u64::from(in_time);
        self.met_joint += u64::from(token & in_time);
        let row = request.row - ledger.requests.first_row as usize;
        if let Some(predicted) = ledger.requests.predicted.get(row) {
            let bin = ledger.batches.bin[batch.index];
            self.right_bin += u64::from(ledger.bins.bin(request.output) == bin);
            self.error_tokens += u64::from(predicted.abs_diff(request.output));
        }
    }

    #[inline]
    fn end_batch(&mut self, batch: &Batch) {
        self.peak_tokens = self.peak_tokens.max(self.batch_tokens);
        self.over_memory += u64::from(self.batch_tokens > self.token_limit);
        self.positions += u64::from(batch.size) * u64::from(self.longest_total);
    }

    fn finish(
        self,
        ledger: &Ledger<'_>,
        totals: Totals,
        failed_replayed: u64,
        e2e_s: Option<Distribution>,
        queueing_s: Option<Distribution>,
    ) -> Honest {
        let report = ledger.report;
        let requests = self.requests;
        let makespan_s = totals.makespan_s;
        let share = |n: u64| (requests > 0).then(|| n as f64 / requests as f64);
        let per_span = |n: f64| (report.span_s > 0.0).then(|| n / report.span_s);
        let good_tokens = self.good_tokens as f64;
        Honest {
            requests,
            failed_replayed,
            failed_dropped: report.rows_taken - report.rows_replayed,
            queueing_s,
            ttft_s: distribution(&self.ttft, select(&self.ttft, self.ttft_values)),
            tpot_ms: distribution(&self.tpot, select(&self.tpot, self.tpot_values)),
            e2e_s,
            sla: Attainment {
                token: share(self.met_token),
                request: share(self.met_request),
                joint: share(self.met_joint),
            },
            goodput_requests_per_s: self.met_joint as f64 / makespan_s,
            offered_requests_per_s: per_span(requests as f64),
            served_requests_per_s: requests as f64 / makespan_s,
            offered_tokens_per_s: per_span(good_tokens),
            served_tokens_per_s: good_tokens / makespan_s,
            output_tokens_per_s: report.output_tokens as f64 / makespan_s,
            padding_waste: (self.positions > 0).then(|| 1.0 - good_tokens / self.positions as f64),
            utilization: totals.utilization,
            gpu_s_for_failed_only: totals.failed_only_s,
            backlog_at_last_arrival: totals.backlog,
            mean_in_system: self.in_system_s / makespan_s,
            peak_batch_tokens: self.peak_tokens,
            batches_over_memory: self.over_memory,
            prediction: share(self.right_bin)
                .filter(|_| !ledger.requests.predicted.is_empty())
                .map(|bin_accuracy| Prediction {
                    bin_accuracy,
                    mean_abs_error_tokens: self.error_tokens as f64 / requests as f64,
                }),
            not_modelled: NOT_MODELLED.map(str::to_owned).to_vec(),
        }
    }
}

fn select(histogram: &Histogram, values: Vec<f64>) -> [f64; 4] {
    let mut selection = histogram.select(POINTS);
    values.iter().for_each(|&value| selection.add(value));
    selection.finish()
}

fn distribution(values: &Histogram, [p50, p90, p95, p99]: [f64; 4]) -> Option<Distribution> {
    (values.count() > 0).then(|| Distribution {
        count: values.count(),
        mean: values.mean(),
        p50,
        p90,
        p95,
        p99,
        max: values.max(),
    })
}

/// What the batch columns alone tell.
#[derive(Clone)]
pub(super) struct Totals {
    /// Last end; arrivals begin at 0. The published "total time", and the denominator of their
    /// utilisation as well: the last moment any GPU was busy.
    pub makespan_s: f64,
    pub max_batch: u32,
    pub failed_only_s: f64,
    /// Requests whose service began after the last arrival.
    pub backlog: u64,
    pub utilization: Utilization,
}

impl Totals {
    pub fn of(ledger: Ledger<'_>) -> Totals {
        let mut busy = vec![0.0; ledger.gpus];
        let (mut makespan_s, mut failed_only_s) = (0.0f64, 0.0);
        let (mut max_batch, mut backlog) = (0, 0);
        let b = ledger.batches;
        for i in 0..b.len() {
            makespan_s = makespan_s.max(b.end(i));
            max_batch = max_batch.max(b.size[i]);
            busy[usize::from(b.gpu[i])] += b.service[i];
            if b.longest_output[i] == 0 {
                failed_only_s += b.service[i];
            }
            if b.start[i] > ledger.report.span_s {
                backlog += u64::from(b.size[i]);
            }
        }
        let per_gpu: Vec<f64> = busy.iter().map(|busy| busy / makespan_s).collect();
        Totals {
            makespan_s,
            max_batch,
            failed_only_s,
            backlog,
            utilization: Utilization {
                mean: per_gpu.iter().sum::<f64>() / per_gpu.len() as f64,
                min: per_gpu.iter().copied().fold(f64::INFINITY, f64::min),
                max: per_gpu.iter().copied().fold(0.0, f64::max),
                per_gpu,
            },
        }
    }
}
