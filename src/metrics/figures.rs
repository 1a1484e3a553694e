//! Down-sampled columns for pictures: a curve has as many points as a screen has pixels, however
//! long the trace.

use super::Outcome;
use super::continuous;
use super::tally::Ledger;
use crate::Trace;
use crate::quantiles::Histogram;
use crate::sim::continuous::{Level, MARKS};
use crate::trace::Failed;

/// Points of a distribution function.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cdf {
    /// Ascending, s.
    pub latency_s: Vec<f64>,
    /// Share of requests with a latency below it.
    pub fraction: Vec<f64>,
}

/// Exact points of the end-to-end latency distribution of requests that did not fail, at most
/// `points` of them and dense in the tail.
pub fn latency_cdf(trace: &Trace, outcome: &Outcome, points: usize) -> Cdf {
    let mut histogram = Histogram::default();
    let batches = &outcome.batches;
    let arrivals = outcome.requests.arrivals(trace);
    for i in 0..batches.len() {
        let end = batches.end(i);
        for &row in outcome.requests.members(batches, i) {
            let row = row as usize;
            if trace.output[row] > 0 {
                histogram.add(end - arrivals.of(row));
            }
        }
    }
    thinned(&histogram.cumulative(), points)
}

/// At most `points` of the points of a distribution function, dense in the tail.
fn thinned(all: &[(f64, f64)], points: usize) -> Cdf {
    let mut cdf = Cdf::default();
    if all.is_empty() || points < 2 {
        return cdf;
    }
    // Equal steps in -log10(1 - p), the axis such curves are drawn on: p99.9 gets as many points
    // as p90. The last point, where 1 - p is 0, is kept as it is.
    let nines = |p: f64| -libm::log10((1.0 - p).max(1e-9));
    let top = all
        .iter()
        .rev()
        .map(|&(_, p)| p)
        .find(|&p| p < 1.0)
        .map_or(1.0, nines)
        .max(1e-9);
    let mut next = f64::NEG_INFINITY;
    let last = all.len() - 1;
    for (i, &(x, p)) in all.iter().enumerate() {
        let place = nines(p);
        if i == 0 || i == last || place >= next {
            cdf.latency_s.push(x);
            cdf.fraction.push(p);
            // One point is for the last; with two points, first and last are all there is.
            next = place + top / (points - 2) as f64;
        }
    }
    cdf
}

/// The distributions of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServedCdfs {
    /// Of requests that were done: time to first token, and latency.
    pub ttft: Cdf,
    pub latency: Cdf,
    /// Of gaps between tokens, every one, a step counting for each of its sequences; by buckets of
    /// 0.4 %. Of closed batches there are none: they are not modelled token by token.
    pub tbt: Cdf,
}

/// Points of the distributions of a run, at most `points` of each and dense in the tail. Like the figures they leave the
/// warm-up out.
pub fn served_cdfs(trace: &Trace, outcome: &Outcome, points: usize) -> ServedCdfs {
    let Some(served) = &outcome.served else {
        return closed_cdfs(trace, outcome, points);
    };
    let (served, totals) = (&served.0, &served.1);
    let arrivals = outcome.requests.arrivals(trace);
    let first_row = outcome.requests.first_row as usize;
    let (warm, parts) = match &outcome.summary.continuous {
        Some(c) => (c.statistics.warmup_requests, c.statistics.parts as usize),
        None => (0, MARKS),
    };
    let early = continuous::in_warmup(&outcome.requests, served, warm);
    let (mut ttft, mut latency) = (Histogram::default(), Histogram::default());
    for (i, (&first, &done)) in served.first_token_s.iter().zip(&served.done_s).enumerate() {
        // Not a number where the request was not done.
        if done >= first && !early.get(i).is_some_and(|early| *early) {
            let arrival = arrivals.of(first_row + i);
            ttft.add(first - arrival);
            latency.add(done - arrival);
        }
    }
    ServedCdfs {
        ttft: thinned(&ttft.cumulative(), points),
        latency: thinned(&latency.cumulative(), points),
        tbt: thinned(
            &continuous::gaps_from(totals, MARKS - parts).cumulative(),
            points,
        ),
    }
}

/// Those of closed batches.
fn closed_cdfs(trace: &Trace, outcome: &Outcome, points: usize) -> ServedCdfs {
    let table = outcome.summary.scenario.linear_table();
    let ledger = Ledger::of(trace, outcome, table.as_ref());
    let mut ttft = Histogram::default();
    for batch in ledger.batches() {
        for request in ledger.members(batch).filter(|request| request.output > 0) {
            ttft.add(request.ttft(&batch));
        }
    }
    ServedCdfs {
        ttft: thinned(&ttft.cumulative(), points),
        latency: latency_cdf(trace, outcome, points),
        tbt: Cdf::default(),
    }
}

/// State of all replicas together over time, time averages in equal intervals from time 0 to the end
/// of the last step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServedSeries {
    /// Middle of each interval, s.
    pub t_s: Vec<f64>,
    /// Requests waiting and at work.
    pub waiting: Vec<f64>,
    pub running: Vec<f64>,
    /// Blocks of the caches in use, and tokens in them; empty of closed batches, whose memory is not modelled over time.
    pub kv_blocks: Vec<f64>,
    pub kv_tokens: Vec<f64>,
    /// Replicas that do a step.
    pub busy: Vec<f64>,
}

/// State over time, at most 1024 intervals.
pub fn served_series(trace: &Trace, outcome: &Outcome) -> ServedSeries {
    let Some(served) = &outcome.served else {
        let series = series(trace, outcome, 1024);
        return ServedSeries {
            t_s: series.t_s,
            waiting: series.waiting_mean,
            running: series.running,
            kv_blocks: Vec::new(),
            kv_tokens: Vec::new(),
            busy: series.busy_gpus,
        };
    };
    let totals = &served.1;
    let (series, end_s) = (&totals.series, totals.end_s);
    let intervals = series.intervals(end_s);
    let level = |level| {
        (0..intervals)
            .map(|i| series.mean(level, i, end_s))
            .collect()
    };
    let middle = |i: usize| {
        let from = i as f64 * series.width_s;
        from + (end_s - from).min(series.width_s) * 0.5
    };
    ServedSeries {
        t_s: (0..intervals).map(middle).collect(),
        waiting: level(Level::Waiting),
        running: level(Level::Running),
        kv_blocks: level(Level::Blocks),
        kv_tokens: level(Level::Tokens),
        busy: level(Level::Busy),
    }
}

/// State over time, in equal intervals from the first arrival to the last completion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Middle of each interval, s.
    pub t_s: Vec<f64>,
    /// Requests waiting, time average and peak.
    pub waiting_mean: Vec<f64>,
    pub waiting_max: Vec<f64>,
    /// Size of the batches that started in the interval: mean and largest; NaN where none did.
    pub batch_mean: Vec<f64>,
    pub batch_max: Vec<f64>,
    /// GPUs in service, time average.
    pub busy_gpus: Vec<f64>,
    /// Requests in service, time average.
    pub running: Vec<f64>,
}

/// State over time in `buckets` equal intervals.
pub fn series(trace: &Trace, outcome: &Outcome, buckets: usize) -> Series {
    let makespan = outcome.summary.published().makespan_s;
    let batches = &outcome.batches;
    if buckets == 0 || batches.is_empty() || makespan <= 0.0 {
        return Series::default();
    }
    let width = makespan / buckets as f64;
    let bucket_of = |t: f64| ((t / width) as usize).min(buckets - 1);

    let mut waiting = StepIntegral::new(width, buckets);
    let mut arrivals = arrivals(trace, outcome).peekable();
    let mut count = vec![0.0; buckets];
    let mut sum = vec![0.0; buckets];
    let mut largest = vec![f64::NAN; buckets];
    let mut busy = vec![0.0; buckets];
    let mut running = vec![0.0; buckets];
    for i in 0..batches.len() {
        let (start, end, size) = (batches.start[i], batches.end(i), f64::from(batches.size[i]));
        while let Some(at) = arrivals.next_if(|&at| at <= start) {
            waiting.step(at, 1.0);
        }
        waiting.step(start, -size);
        let b = bucket_of(start);
        count[b] += 1.0;
        sum[b] += size;
        largest[b] = size.max(largest[b]);
        for b in bucket_of(start)..=bucket_of(end) {
            let (low, high) = (b as f64 * width, (b + 1) as f64 * width);
            let share = (end.min(high) - start.max(low)).max(0.0) / width;
            busy[b] += share;
            running[b] += size * share;
        }
    }
    for at in arrivals {
        waiting.step(at, 1.0);
    }
    let (waiting_mean, waiting_max) = waiting.finish();
    Series {
        t_s: (0..buckets).map(|b| (b as f64 + 0.5) * width).collect(),
        waiting_mean,
        waiting_max,
        batch_mean: sum.iter().zip(&count).map(|(s, n)| s / n).collect(),
        batch_max: largest,
        busy_gpus: busy,
        running,
    }
}

/// Arrival times of the replayed requests, in order.
fn arrivals<'a>(trace: &'a Trace, outcome: &'a Outcome) -> impl Iterator<Item = f64> + 'a {
    let requests = &outcome.requests;
    let arrivals = requests.arrivals(trace);
    let first = requests.first_row as usize;
    // Users do not send in the order of the rows.
    let recorded = match requests.sent.is_empty() {
        true => outcome.summary.workload.rows_taken as usize,
        false => 0,
    };
    let drop_failed = outcome.summary.scenario.workload.failed == Failed::Drop;
    (first..first + recorded)
        .filter(move |&row| !(drop_failed && trace.output[row] == 0))
        .chain(requests.sent.iter().map(|&row| row as usize))
        .map(move |row| arrivals.of(row))
}

/// Time average and peak per interval of a quantity that changes in steps.
struct StepIntegral {
    width: f64,
    level: f64,
    at: f64,
    bucket: usize,
    integral: Vec<f64>,
    peak: Vec<f64>,
}

impl StepIntegral {
    fn new(width: f64, buckets: usize) -> StepIntegral {
        StepIntegral {
            width,
            level: 0.0,
            at: 0.0,
            bucket: 0,
            integral: vec![0.0; buckets],
            peak: vec![0.0; buckets],
        }
    }

    /// Times must not decrease.
    fn step(&mut self, at: f64, change: f64) {
        self.advance(at);
        self.level += change;
        self.peak[self.bucket] = self.peak[self.bucket].max(self.level);
    }

    fn advance(&mut self, to: f64) {
        loop {
            let edge = (self.bucket + 1) as f64 * self.width;
            if to < edge || self.bucket + 1 == self.integral.len() {
                break;
            }
            self.integral[self.bucket] += self.level * (edge - self.at);
            self.at = edge;
            self.bucket += 1;
            self.peak[self.bucket] = self.level;
        }
        self.integral[self.bucket] += self.level * (to - self.at).max(0.0);
        self.at = self.at.max(to);
    }

    fn finish(mut self) -> (Vec<f64>, Vec<f64>) {
        self.advance(self.integral.len() as f64 * self.width);
        let width = self.width;
        (
            self.integral.iter().map(|area| area / width).collect(),
            self.peak,
        )
    }
}
