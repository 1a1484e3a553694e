//! The two walks over a finished run from which every figure comes.
//!
//! Walk one counts and sums and fills the histograms; walk two selects the quantiles
//! ([`crate::quantiles`]). Nothing is stored per request.

use super::honest::{Attainment, Distribution, Honest, NOT_MODELLED, Prediction, Utilization};
use super::published::Published;
use super::{Batches, Requests, WorkloadReport};
use crate::Trace;
use crate::latency::LinearTable;
use crate::quantiles::Histogram;
use crate::scenario::{Sla, TokenRule};
use crate::sched::bins::BinTable;
use crate::sched::memory::Memory;

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

/// The published metrics of a finished run: every replayed row counts, failed ones too.
pub(super) fn published(ledger: Ledger<'_>, totals: &Totals) -> Published {
    let token_sla_s = ledger.sla.token_ms / 1e3;
    let request_sla_s = ledger.sla.request_s;
    let rule = ledger.sla.published_token_rule;
    let mut tbt = Histogram::default();
    let mut latency = Histogram::default();
    let mut token_violations = 0;
    let mut request_violations = 0;
    for batch in ledger.batches() {
        tbt.add_times(batch.tbt * 1e3, batch.size);
        match rule {
            TokenRule::BatchTbt if batch.tbt > token_sla_s => {
                token_violations += u64::from(batch.size);
            }
            TokenRule::DecodeStep if batch.decode_step > token_sla_s => {
                token_violations += u64::from(batch.size);
            }
            _ => {}
        }
        for request in ledger.members(batch) {
            latency.add(request.latency);
            request_violations += u64::from(request.latency > request_sla_s);
            if rule == TokenRule::EndToEnd {
                token_violations += u64::from(batch.end > request.arrival + token_sla_s);
            }
        }
    }
    let mut tbt_points = tbt.select([0.95, 0.99]);
    let mut latency_points = latency.select(POINTS);
    for batch in ledger.batches() {
        tbt_points.add_times(batch.tbt * 1e3, batch.size);
        for request in ledger.members(batch) {
            latency_points.add(request.latency);
        }
    }
    let [p95_tbt_ms, p99_tbt_ms] = tbt_points.finish();
    let [p50_latency_s, _, p95_latency_s, p99_latency_s] = latency_points.finish();
    let requests = latency.count() as f64;
    let makespan_s = totals.makespan_s;
    let tokens = ledger.report.prompt_tokens + ledger.report.output_tokens;
    Published {
        token_violations,
        request_violations,
        avg_tbt_ms: tbt.mean(),
        p95_tbt_ms,
        p99_tbt_ms,
        max_tbt_ms: tbt.max(),
        avg_latency_s: latency.mean(),
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
        capacity_qps_under_sla: (requests - token_violations as f64) / makespan_s,
    }
}

/// The honest metrics of a finished run: only requests that produced output count.
pub(super) fn honest(ledger: Ledger<'_>, totals: Totals) -> Honest {
    let report = ledger.report;
    let first_row = ledger.requests.first_row as usize;
    let predicts = !ledger.requests.predicted.is_empty();
    let token_limit = ledger.memory.token_limit();
    let mut queueing = Histogram::default();
    let mut ttft = Histogram::default();
    let mut tpot = Histogram::default();
    let mut e2e = Histogram::default();
    let (mut met_token, mut met_request, mut met_joint) = (0u64, 0u64, 0u64);
    let (mut good_tokens, mut positions, mut peak_tokens, mut over_memory) = (0u64, 0u64, 0u64, 0);
    let mut in_system_s = 0.0;
    let (mut right_bin, mut error_tokens) = (0u64, 0u64);
    for batch in ledger.batches() {
        let mut batch_tokens = 0;
        for request in ledger.members(batch) {
            let tokens = u64::from(request.prompt) + u64::from(request.output);
            batch_tokens += tokens;
            in_system_s += request.latency;
            if request.output == 0 {
                continue;
            }
            good_tokens += tokens;
            let first_token = request.ttft(&batch);
            queueing.add(request.queueing(&batch));
            ttft.add(first_token);
            e2e.add(request.latency);
            let token = match request.tpot_ms(first_token) {
                Some(ms) => {
                    tpot.add(ms);
                    ms <= ledger.sla.token_ms
                }
                None => true,
            };
            let in_time = request.latency <= ledger.sla.request_s;
            met_token += u64::from(token);
            met_request += u64::from(in_time);
            met_joint += u64::from(token && in_time);
            if predicts {
                let predicted = ledger.requests.predicted[request.row - first_row];
                let bin = ledger.batches.bin[batch.index];
                right_bin += u64::from(ledger.bins.bin(request.output) == bin);
                error_tokens += u64::from(predicted.abs_diff(request.output));
            }
        }
        peak_tokens = peak_tokens.max(batch_tokens);
        over_memory += u64::from(batch_tokens > token_limit);
        positions += u64::from(batch.size) * u64::from(ledger.batches.longest_total[batch.index]);
    }
    let mut queueing_points = queueing.select(POINTS);
    let mut ttft_points = ttft.select(POINTS);
    let mut tpot_points = tpot.select(POINTS);
    let mut e2e_points = e2e.select(POINTS);
    for batch in ledger.batches() {
        for request in ledger.members(batch) {
            if request.output == 0 {
                continue;
            }
            let first_token = request.ttft(&batch);
            queueing_points.add(request.queueing(&batch));
            ttft_points.add(first_token);
            e2e_points.add(request.latency);
            if let Some(ms) = request.tpot_ms(first_token) {
                tpot_points.add(ms);
            }
        }
    }
    let requests = e2e.count();
    let makespan_s = totals.makespan_s;
    let share = |n: u64| (requests > 0).then(|| n as f64 / requests as f64);
    let per_span = |n: f64| (report.span_s > 0.0).then(|| n / report.span_s);
    Honest {
        requests,
        failed_replayed: report.rows_replayed - requests,
        failed_dropped: report.rows_taken - report.rows_replayed,
        queueing_s: distribution(&queueing, queueing_points.finish()),
        ttft_s: distribution(&ttft, ttft_points.finish()),
        tpot_ms: distribution(&tpot, tpot_points.finish()),
        e2e_s: distribution(&e2e, e2e_points.finish()),
        sla: Attainment {
            token: share(met_token),
            request: share(met_request),
            joint: share(met_joint),
        },
        goodput_requests_per_s: met_joint as f64 / makespan_s,
        offered_requests_per_s: per_span(requests as f64),
        served_requests_per_s: requests as f64 / makespan_s,
        offered_tokens_per_s: per_span(good_tokens as f64),
        served_tokens_per_s: good_tokens as f64 / makespan_s,
        output_tokens_per_s: report.output_tokens as f64 / makespan_s,
        padding_waste: (positions > 0).then(|| 1.0 - good_tokens as f64 / positions as f64),
        utilization: totals.utilization,
        gpu_s_for_failed_only: totals.failed_only_s,
        backlog_at_last_arrival: totals.backlog,
        mean_in_system: in_system_s / makespan_s,
        peak_batch_tokens: peak_tokens,
        batches_over_memory: over_memory,
        prediction: share(right_bin)
            .filter(|_| predicts)
            .map(|bin_accuracy| Prediction {
                bin_accuracy,
                mean_abs_error_tokens: error_tokens as f64 / requests as f64,
            }),
        not_modelled: NOT_MODELLED.map(str::to_owned).to_vec(),
    }
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
