//! The walk over a finished run from which every figure comes: it counts, sums and fills the
//! histograms ([`crate::quantiles`]), after a look at a sample that says which values to keep for
//! the quantiles. A second walk follows only where that guess was wrong.

use super::Outcome;
use super::honest::{Attainment, DEAR_PREFILL, Distribution, Honest, NOT_MODELLED, Utilization};
use super::published::Published;
use crate::Trace;
use crate::latency::LinearTable;
use crate::quantiles::Histogram;
use crate::scenario::{Sla, TokenRule};
use crate::sched::memory::Memory;
use crate::sim::{Arrivals, Batches, Prediction, Requests, WorkloadReport};
use crate::trace::Failed;

/// What the figures are made from.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub trace: &'a Trace,
    pub batches: &'a Batches,
    pub requests: &'a Requests,
    pub arrivals: Arrivals<'a>,
    /// Absent where steps are added up.
    pub latency: Option<&'a LinearTable>,
    pub report: &'a WorkloadReport,
    pub sla: &'a Sla,
    pub memory: &'a Memory,
    pub gpus: usize,
    pub failed: Failed,
    pub prediction: Option<Prediction>,
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
    decode_step: f64,
    first: FirstToken,
}

/// When the members of a batch have their first tokens, after its start: `base + pace x positions`, s.
#[derive(Clone, Copy)]
struct FirstToken {
    base: f64,
    pace: f64,
    /// A member's positions are its prompt and one more; else there is one for all.
    own_prompt: bool,
}

impl FirstToken {
    #[inline(always)]
    fn positions(self, prompt: u32) -> f64 {
        if self.own_prompt {
            f64::from(prompt) + 1.0
        } else {
            1.0
        }
    }
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
    pub fn queueing(&self, batch: &Batch) -> f64 {
        batch.start - self.arrival
    }

    pub fn ttft(&self, batch: &Batch) -> f64 {
        let queueing = self.queueing(batch);
        ttft(
            queueing,
            batch.first.base,
            batch.first.pace,
            batch.first.positions(self.prompt),
            self.latency,
        )
    }

    /// `None` where nothing follows a first token.
    pub fn tpot_ms(&self, ttft: f64) -> Option<f64> {
        (self.output > 1).then(|| tpot_ms(self.latency, ttft, self.output))
    }
}

/// By the studies' formula a batch walks through token positions one by one, and a member's first token follows its own
/// prompt; in steps the first tokens follow the pass over all prompts: docs/MODEL.md, "Honest metrics".
#[inline(always)]
fn ttft(queueing: f64, base: f64, pace: f64, positions: f64, latency: f64) -> f64 {
    let ttft = queueing + base + pace * positions;
    // The service time has a floor; no time is a NaN.
    if ttft < latency { ttft } else { latency }
}

/// Of no meaning for an output of less than two tokens.
#[inline(always)]
fn tpot_ms(latency: f64, ttft: f64, output: u32) -> f64 {
    (latency - ttft) / (f64::from(output) - 1.0) * 1e3
}

impl<'a> Ledger<'a> {
    /// Of an outcome whose figures are made; `latency`: its scenario's [`Scenario::linear_table`](crate::Scenario::linear_table).
    pub fn of(trace: &'a Trace, outcome: &'a Outcome, latency: Option<&'a LinearTable>) -> Self {
        let summary = &outcome.summary;
        Ledger {
            trace,
            batches: &outcome.batches,
            requests: &outcome.requests,
            arrivals: outcome.requests.arrivals(trace),
            latency,
            report: &summary.workload,
            sla: &summary.scenario.sla,
            memory: summary.scenario.memory(),
            gpus: summary.scenario.fleet.gpus as usize,
            failed: summary.scenario.workload.failed,
            prediction: summary.honest.prediction,
        }
    }

    #[inline(always)]
    pub fn batch(self, index: usize) -> Batch {
        let b = self.batches;
        let decode_step = self.decode_step(index);
        Batch {
            index,
            size: b.size[index],
            start: b.start[index],
            end: b.end(index),
            tbt: match b.longest_output[index] {
                0 => 0.0,
                longest => b.clocked_service(index) / f64::from(longest),
            },
            decode_step,
            first: match self.latency {
                Some(table) => FirstToken {
                    base: table.base_s(),
                    pace: decode_step,
                    own_prompt: true,
                },
                None => FirstToken {
                    base: 0.0,
                    pace: b.first_token[index],
                    own_prompt: false,
                },
            },
        }
    }

    /// Time of a decode step of a batch, s.
    #[inline(always)]
    fn decode_step(self, index: usize) -> f64 {
        match self.latency {
            Some(table) => table.decode_step_s(self.batches.size[index]),
            None => self.batches.decode_step(index),
        }
    }

    /// Token positions of a batch: as many for each member as its longest has; in steps, for each its own prompt and the
    /// longest output.
    #[inline(always)]
    fn positions(self, index: usize) -> u64 {
        let b = self.batches;
        let size = u64::from(b.size[index]);
        if self.latency.is_some() {
            return size * u64::from(b.longest_total[index]);
        }
        let members = self.requests.members(b, index).iter();
        let prompts = members.map(|&row| u64::from(self.trace.prompt[row as usize]));
        prompts.sum::<u64>() + size * u64::from(b.longest_output[index])
    }

    #[inline]
    pub fn request(self, batch: Batch, row: u32) -> Request {
        let row = row as usize;
        let arrival = self.arrivals.of(row);
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
pub(super) const POINTS: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// Both sets of metrics of a finished run. Each has its own counters and histograms: among the
/// published ones every replayed row counts, failed ones too; among the honest ones only requests
/// that produced output. They share the walk over the requests because the walk is what costs.
pub(super) fn metrics(ledger: Ledger<'_>, totals: Totals) -> (Published, Honest) {
    let mut times = Times::guess(ledger);
    let mut tally = Tally::default();
    walk(ledger, 1, &mut tally, |block| times.add(block));
    let [latency, queueing, ttft, tpot, e2e] = times.distributions(ledger);
    let e2e = if separate_e2e(ledger) { e2e } else { latency };
    let failed_replayed = ledger.requests.order.len() as u64 - tally.requests;
    let published = published(ledger, &tally, &totals, latency, queueing);
    let honest = Honest {
        failed_replayed,
        prediction: ledger.prediction,
        queueing_s: queueing,
        ttft_s: ttft,
        tpot_ms: tpot,
        e2e_s: e2e,
        request_tokens_per_s: request_tokens_per_s(ledger),
        ..honest(ledger, &tally, totals, times.0[0].sum())
    };
    (published, honest)
}

/// Whether failed rows were replayed; without them the published latencies are the honest ones too.
fn separate_e2e(ledger: Ledger<'_>) -> bool {
    ledger.failed == Failed::Keep && ledger.report.rows_failed > 0
}

/// The distributions over requests: published latency; then honest queueing, TTFT, TPOT and, where
/// failed rows were replayed, end-to-end latency.
struct Times([Histogram; 5]);

impl Times {
    /// Runs up to this size keep every value.
    const SHORT: usize = 20_000;
    /// Requests in the sample of a longer one.
    const SAMPLE: usize = 1 << 15;

    /// Histograms that will most likely keep what the quantiles need.
    fn guess(ledger: Ledger<'_>) -> Times {
        let requests = ledger.requests.order.len();
        if requests <= Self::SHORT {
            return Times(std::array::from_fn(|_| Histogram::keeping_all()));
        }
        let mut sample = Times(std::array::from_fn(|_| Histogram::default()));
        let step = requests.div_ceil(Self::SAMPLE);
        walk(ledger, step, &mut Tally::default(), |block| {
            sample.add(block)
        });
        // The members of a batch are alike: a batch is worth about one draw.
        let draws = ledger.batches.len() as f64 / step as f64;
        Times(std::array::from_fn(|i| {
            Histogram::watching(&sample.0[i], &POINTS, draws, requests)
        }))
    }

    fn add(&mut self, block: &Block) {
        for (histogram, column) in self.0.iter_mut().zip(block.columns()) {
            histogram.add_all(column);
        }
    }

    fn distributions(&self, ledger: Ledger<'_>) -> [Option<Distribution>; 5] {
        let mut second_walk = Vec::new();
        let mut points = [[0.0; 5]; 5];
        for (i, histogram) in self.0.iter().enumerate() {
            match histogram.quantiles(POINTS) {
                Ok(found) => points[i] = found,
                Err(selection) => second_walk.push((i, selection)),
            }
        }
        if !second_walk.is_empty() {
            walk(ledger, 1, &mut Tally::default(), |block| {
                for (i, selection) in &mut second_walk {
                    selection.add_all(block.columns()[*i]);
                }
            });
            for (i, selection) in second_walk {
                points[i] = selection.finish();
            }
        }
        std::array::from_fn(|i| distribution(&self.0[i], points[i]))
    }
}

/// Counters over requests.
#[derive(Default)]
struct Tally {
    published_token_violations: u64,
    published_request_violations: u64,
    /// Of every replayed request; summed only where failed rows are replayed.
    queueing_s: f64,
    /// Of requests that produced output, from here on.
    requests: u64,
    met_token: u64,
    met_request: u64,
    met_ttft: u64,
    met_joint: u64,
    good_tokens: u64,
    peak_tokens: u64,
    over_memory: u64,
    positions: u64,
}

/// So many requests are worked on at a time: their columns stay in the nearest cache.
const BLOCK: usize = 256;

/// Some requests, a column per property, so that every step is a short loop over columns. Times in
/// s, but `tpot` in ms.
struct Block {
    size: usize,
    arrival: [f64; BLOCK],
    start: [f64; BLOCK],
    end: [f64; BLOCK],
    base: [f64; BLOCK],
    pace: [f64; BLOCK],
    positions: [f64; BLOCK],
    prompt: [u32; BLOCK],
    output: [u32; BLOCK],
    latency: [f64; BLOCK],
    /// The first `good` of the next three belong to requests that produced output, once
    /// [`Block::work`] has closed the gaps.
    good: usize,
    queueing: [f64; BLOCK],
    ttft: [f64; BLOCK],
    e2e: [f64; BLOCK],
    /// And the first `decoding` of this to requests of more than one token.
    decoding: usize,
    tpot: [f64; BLOCK],
    separate_e2e: bool,
}

impl Block {
    fn new(ledger: Ledger<'_>) -> Block {
        Block {
            size: 0,
            arrival: [0.0; BLOCK],
            start: [0.0; BLOCK],
            end: [0.0; BLOCK],
            base: [0.0; BLOCK],
            pace: [0.0; BLOCK],
            positions: [0.0; BLOCK],
            prompt: [0; BLOCK],
            output: [0; BLOCK],
            latency: [0.0; BLOCK],
            good: 0,
            queueing: [0.0; BLOCK],
            ttft: [0.0; BLOCK],
            e2e: [0.0; BLOCK],
            decoding: 0,
            tpot: [0.0; BLOCK],
            separate_e2e: separate_e2e(ledger),
        }
    }

    /// Takes members of one batch, as many as there is room for; gives how many and their tokens.
    #[inline(always)]
    fn take(&mut self, ledger: Ledger<'_>, batch: &Batch, rows: &[u32]) -> (usize, u64) {
        let from = self.size;
        let taken = rows.len().min(BLOCK - from);
        let to = from + taken;
        self.start[from..to].fill(batch.start);
        self.end[from..to].fill(batch.end);
        self.base[from..to].fill(batch.first.base);
        self.pace[from..to].fill(batch.first.pace);
        let (arrival, rows) = (&mut self.arrival[from..to], &rows[..taken]);
        let (prompt, output) = (&mut self.prompt[from..to], &mut self.output[from..to]);
        let positions = &mut self.positions[from..to];
        let mut tokens = 0;
        for i in 0..taken {
            let row = rows[i] as usize;
            arrival[i] = ledger.arrivals.recorded[row];
            prompt[i] = ledger.trace.prompt[row];
            output[i] = ledger.trace.output[row];
            positions[i] = batch.first.positions(prompt[i]);
            tokens += u64::from(prompt[i]) + u64::from(output[i]);
        }
        self.size += taken;
        (taken, tokens)
    }

    /// Works out the times of the requests taken and counts them.
    fn work(&mut self, ledger: Ledger<'_>, tally: &mut Tally) {
        let n = self.size;
        let sla = ledger.sla;
        let first_sla_s = sla.ttft_s.unwrap_or(f64::INFINITY);
        let (mut late, mut token, mut joint, mut good_late) = (0u32, 0u32, 0u32, 0u32);
        let mut in_first_token = 0u32;
        let mut good_tokens = 0u64;
        // Slices of one length, so that the bounds are checked once and not at every access.
        let arrival = &mut self.arrival[..n];
        let (start, end) = (&self.start[..n], &self.end[..n]);
        let (base, pace, positions) = (&self.base[..n], &self.pace[..n], &self.positions[..n]);
        let (prompt, output) = (&self.prompt[..n], &self.output[..n]);
        let (latency, queueing) = (&mut self.latency[..n], &mut self.queueing[..n]);
        let (first, tpot) = (&mut self.ttft[..n], &mut self.tpot[..n]);
        for i in 0..n {
            let at = ledger.arrivals.scaled(arrival[i]);
            arrival[i] = at;
            let whole = end[i] - at;
            latency[i] = whole;
            queueing[i] = start[i] - at;
            first[i] = ttft(queueing[i], base[i], pace[i], positions[i], whole);
            tpot[i] = tpot_ms(whole, first[i], output[i]);
            let in_time = whole <= sla.request_s;
            let good = output[i] > 0;
            let in_token = good & ((output[i] == 1) | (tpot[i] <= sla.token_ms));
            let in_first = good & (first[i] <= first_sla_s);
            late += u32::from(!in_time);
            good_late += u32::from(good & !in_time);
            token += u32::from(in_token);
            in_first_token += u32::from(in_first);
            joint += u32::from(in_token & in_time & in_first);
            good_tokens += (u64::from(prompt[i]) + u64::from(output[i])) * u64::from(good);
        }
        if sla.published_token_rule == TokenRule::EndToEnd {
            for i in 0..n {
                let deadline = arrival[i] + sla.token_ms / 1e3;
                tally.published_token_violations += u64::from(end[i] > deadline);
            }
        }
        self.compact(tally);
        tally.good_tokens += good_tokens;
        tally.published_request_violations += u64::from(late);
        tally.requests += self.good as u64;
        tally.met_token += u64::from(token);
        tally.met_request += self.good as u64 - u64::from(good_late);
        tally.met_ttft += u64::from(in_first_token);
        tally.met_joint += u64::from(joint);
    }

    /// Closes the gaps that requests without a time leave in its column, without a branch on the data.
    fn compact(&mut self, tally: &mut Tally) {
        let n = self.size;
        self.decoding = 0;
        for i in 0..n {
            self.tpot[self.decoding] = self.tpot[i];
            self.decoding += usize::from(self.output[i] > 1);
        }
        self.good = n;
        if self.separate_e2e {
            self.good = 0;
            for i in 0..n {
                tally.queueing_s += self.queueing[i];
                self.queueing[self.good] = self.queueing[i];
                self.ttft[self.good] = self.ttft[i];
                self.e2e[self.good] = self.latency[i];
                self.good += usize::from(self.output[i] > 0);
            }
        }
    }

    /// In the order of [`Times`].
    fn columns(&self) -> [&[f64]; 5] {
        [
            &self.latency[..self.size],
            &self.queueing[..self.good],
            &self.ttft[..self.good],
            &self.tpot[..self.decoding],
            &self.e2e[..if self.separate_e2e { self.good } else { 0 }],
        ]
    }
}

/// Walks over the members of every `step`th batch, counting into the tally and showing their times
/// to `sink`, a block at a time.
fn walk(ledger: Ledger<'_>, step: usize, tally: &mut Tally, mut sink: impl FnMut(&Block)) {
    let sla = ledger.sla;
    let token_sla_s = sla.token_ms / 1e3;
    let token_limit = ledger.memory.token_limit();
    let mut block = Block::new(ledger);
    let mut index = 0;
    while index < ledger.batches.len() {
        let batch = ledger.batch(index);
        let violated = match sla.published_token_rule {
            TokenRule::BatchTbt => batch.tbt > token_sla_s,
            TokenRule::DecodeStep => batch.decode_step > token_sla_s,
            TokenRule::EndToEnd => false,
        };
        tally.published_token_violations += u64::from(violated) * u64::from(batch.size);
        let mut rows = ledger.requests.members(ledger.batches, index);
        let mut batch_tokens = 0;
        while !rows.is_empty() {
            if block.size == BLOCK {
                block.work(ledger, tally);
                sink(&block);
                block.size = 0;
            }
            let (taken, tokens) = block.take(ledger, &batch, rows);
            rows = &rows[taken..];
            batch_tokens += tokens;
        }
        tally.peak_tokens = tally.peak_tokens.max(batch_tokens);
        tally.over_memory += u64::from(batch_tokens > token_limit);
        tally.positions += ledger.positions(index);
        index += step;
    }
    block.work(ledger, tally);
    sink(&block);
}

fn published(
    ledger: Ledger<'_>,
    tally: &Tally,
    totals: &Totals,
    latency: Option<Distribution>,
    queueing: Option<Distribution>,
) -> Published {
    let (tbt, [p95_tbt_ms, p99_tbt_ms]) = tbt(ledger);
    let requests = ledger.requests.order.len() as f64;
    let makespan_s = totals.makespan_s;
    let tokens = ledger.report.prompt_tokens + ledger.report.output_tokens;
    // A run without requests is refused before it begins.
    let latency = latency.unwrap_or_default();
    let avg_service_s = totals.request_service_s / requests;
    let avg_queueing_s = if separate_e2e(ledger) {
        tally.queueing_s / requests
    } else {
        queueing.map_or(0.0, |d| d.mean)
    };
    Published {
        token_violations: tally.published_token_violations,
        request_violations: tally.published_request_violations,
        avg_decode_step_ms: 1e3 * totals.request_steps_s / requests,
        avg_tbt_ms: tbt.mean(),
        p95_tbt_ms,
        p99_tbt_ms,
        max_tbt_ms: tbt.max(),
        avg_latency_s: latency.mean,
        p50_latency_s: latency.p50,
        p95_latency_s: latency.p95,
        p99_latency_s: latency.p99,
        max_latency_s: latency.max,
        avg_queueing_s,
        avg_service_s,
        gpu_utilization_mean: totals.utilization.mean,
        gpu_utilization_min: totals.utilization.min,
        gpu_utilization_max: totals.utilization.max,
        batches: ledger.batches.len() as u64,
        avg_batch: requests / ledger.batches.len() as f64,
        min_batch: totals.min_batch,
        max_batch: totals.max_batch,
        makespan_s,
        tokens_per_s: tokens as f64 / makespan_s,
        requests_per_s: requests / makespan_s,
        capacity_qps_under_sla: (requests - tally.published_token_violations as f64) / makespan_s,
    }
}

/// Time between tokens as published, ms: every member of a batch counts with the batch's.
fn tbt(ledger: Ledger<'_>) -> (Histogram, [f64; 2]) {
    const POINTS: [f64; 2] = [0.95, 0.99];
    let fill = |histogram: &mut Histogram, step: usize| {
        for i in (0..ledger.batches.len()).step_by(step) {
            let batch = ledger.batch(i);
            histogram.add_times(batch.tbt * 1e3, batch.size);
        }
    };
    let step = ledger.batches.len().div_ceil(Times::SAMPLE);
    let mut sample = Histogram::default();
    fill(&mut sample, step);
    let draws = ledger.batches.len() as f64 / step as f64;
    let requests = ledger.requests.order.len();
    let mut tbt = Histogram::watching(&sample, &POINTS, draws, requests);
    fill(&mut tbt, 1);
    let points = tbt.quantiles(POINTS).unwrap_or_else(|_| {
        let mut all = Histogram::keeping_all();
        fill(&mut all, 1);
        // A histogram that keeps everything has every quantile.
        all.quantiles(POINTS).unwrap_or_default()
    });
    (tbt, points)
}

/// Everything honest but the distributions over requests. `in_system_s` is the sum of the time
/// that every replayed request spent in the system.
fn honest(ledger: Ledger<'_>, tally: &Tally, totals: Totals, in_system_s: f64) -> Honest {
    let report = ledger.report;
    let requests = tally.requests;
    let makespan_s = totals.makespan_s;
    let share = |n: u64| (requests > 0).then(|| n as f64 / requests as f64);
    let per_span = |n: f64| report.offered_requests_per_s.map(|_| n / report.span_s);
    let good_tokens = tally.good_tokens as f64;
    Honest {
        requests,
        failed_replayed: 0,
        failed_dropped: report.rows_taken - report.rows_replayed,
        queueing_s: None,
        ttft_s: None,
        tpot_ms: None,
        e2e_s: None,
        request_tokens_per_s: None,
        sla: Attainment {
            token: share(tally.met_token),
            request: share(tally.met_request),
            joint: share(tally.met_joint),
            ttft: ledger.sla.ttft_s.and_then(|_| share(tally.met_ttft)),
        },
        makespan_s,
        goodput_requests_per_s: tally.met_joint as f64 / makespan_s,
        offered_requests_per_s: per_span(requests as f64),
        served_requests_per_s: requests as f64 / makespan_s,
        offered_tokens_per_s: per_span(good_tokens),
        served_tokens_per_s: good_tokens / makespan_s,
        output_tokens_per_s: report.output_tokens as f64 / makespan_s,
        padding_waste: (tally.positions > 0).then(|| 1.0 - good_tokens / tally.positions as f64),
        utilization: totals.utilization,
        gpu_s_for_failed_only: totals.failed_only_s,
        backlog_at_last_arrival: totals.backlog,
        mean_in_system: in_system_s / makespan_s,
        peak_batch_tokens: tally.peak_tokens,
        batches_over_memory: tally.over_memory,
        prediction: None,
        outside_measurements: None,
        not_modelled: NOT_MODELLED
            .iter()
            .filter(|&&what| ledger.latency.is_some() || what != DEAR_PREFILL)
            .map(|&what| what.to_owned())
            .collect(),
    }
}

/// A walk of its own: only closed loops, which are short, ask for it.
fn request_tokens_per_s(ledger: Ledger<'_>) -> Option<Distribution> {
    if ledger.requests.sent.is_empty() {
        return None;
    }
    let mut rates = Histogram::keeping_all();
    for batch in ledger.batches() {
        for request in ledger.members(batch).filter(|r| r.output > 0) {
            rates.add(f64::from(request.output) / request.latency);
        }
    }
    // A histogram that keeps everything has every quantile.
    distribution(&rates, rates.quantiles(POINTS).unwrap_or_default())
}

fn distribution(values: &Histogram, [p50, p90, p95, p99, p999]: [f64; 5]) -> Option<Distribution> {
    (values.count() > 0).then(|| Distribution {
        count: values.count(),
        mean: values.mean(),
        p50,
        p90,
        p95,
        p99,
        p999,
        max: values.max(),
    })
}

/// What the batch columns alone tell.
#[derive(Clone)]
pub(super) struct Totals {
    /// Last end; arrivals begin at 0. The published "total time", and the denominator of their
    /// utilisation as well: the last moment any GPU was busy.
    pub makespan_s: f64,
    pub min_batch: u32,
    pub max_batch: u32,
    /// Service time of every request's batch, summed, s.
    pub request_service_s: f64,
    /// Decode step of every request's batch, summed, s.
    pub request_steps_s: f64,
    pub failed_only_s: f64,
    /// Requests whose service began after the last arrival.
    pub backlog: u64,
    pub utilization: Utilization,
}

impl Totals {
    pub fn of(ledger: Ledger<'_>) -> Totals {
        let mut busy = vec![0.0; ledger.gpus];
        let (mut makespan_s, mut failed_only_s) = (0.0f64, 0.0);
        let (mut min_batch, mut max_batch, mut backlog) = (u32::MAX, 0, 0);
        let (mut request_service_s, mut request_steps_s) = (0.0, 0.0);
        let b = ledger.batches;
        for i in 0..b.len() {
            makespan_s = makespan_s.max(b.end(i));
            min_batch = min_batch.min(b.size[i]);
            max_batch = max_batch.max(b.size[i]);
            request_service_s += b.clocked_service(i) * f64::from(b.size[i]);
            request_steps_s += ledger.decode_step(i) * f64::from(b.size[i]);
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
            min_batch,
            max_batch,
            request_service_s,
            request_steps_s,
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
