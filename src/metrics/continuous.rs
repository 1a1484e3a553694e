//! Figures of a run with continuous batching (docs/MODEL.md, "Continuous batching" and "Honest
//! metrics").

use serde::{Deserialize, Serialize};

use super::honest::{Attainment, Distribution, Honest, Utilization};
use super::statistics::{self, Losses, Statistics, Warning};
use super::tally::POINTS;
use crate::Trace;
use crate::latency::StepLatency;
use crate::latency::roofline::Ceiling;
use crate::sched::continuous::kv::{Capacity, Reuse};
use crate::sched::continuous::{Server, Warmup};
use crate::sched::memory::Memory;
use crate::sim::continuous::{Fate, Gaps, MARKS, Mark, Series, Served, Totals};
use crate::sim::{Record, Requests};
use crate::trace::NO_SESSION;

/// What only continuous batching has; absent parts are not modelled in this scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Continuous {
    /// Gaps between the tokens of a request, every one, ms; quantiles to within 0.4 %.
    pub tbt_ms: Option<Distribution>,
    /// Share of these gaps within the token SLA.
    pub tbt_within_sla: Option<f64>,
    /// Requests that found too many waiting, that can never fit into the cache, and that gave up.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rejected: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub too_long: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub timed_out: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub steps: u64,
    /// Decoding sequences of a step, mean over the steps.
    pub mean_batch: f64,
    /// Prompt tokens of a step, mean over the steps.
    pub mean_prompt_tokens: f64,
    /// Steps beyond the measurements of the latency model.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub steps_outside: u64,
    /// Model FLOP/s and bandwidth utilisation of busy replicas; absent without `ceiling`.
    pub mfu: Option<f64>,
    pub mbu: Option<f64>,
    pub kv: KvFigures,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub preemptions: u64,
    /// Tokens that were in the cache when their request was preempted and not when it joined again.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub recomputed_tokens: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub swapped_blocks: u64,
    /// Time of steps that copying took, s.
    pub swap_s: f64,
    pub prefix: Option<PrefixFigures>,
    pub speculative: Option<SpeculativeFigures>,
    pub fairness: Fairness,
    pub statistics: Statistics,
}

/// How differently requests fare by whose they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fairness {
    /// By log type, where the trace has several.
    pub classes: Vec<ClassFigures>,
    /// Jain's index (Jain, Chiu and Hawe 1984) over sessions of their mean latency per output token: 1 where
    /// all fare alike, 1/n where one has it all. Absent without sessions.
    pub sessions_jain: Option<f64>,
}

/// One class of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ClassFigures {
    pub label: String,
    pub ttft_s: Distribution,
    pub e2e_s: Distribution,
}

/// The KV cache of a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct KvFigures {
    /// Blocks of a replica; absent where there is no limit.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub blocks: Option<u64>,
    /// Most blocks in use on one replica.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub peak_blocks: u64,
    /// Most tokens in the cache of one replica.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub peak_tokens: u64,
    /// Tokens in the caches of all replicas, time average.
    pub mean_tokens: f64,
    /// The same in bytes, by `engine.continuous.memory.kv_gb_per_token`.
    pub peak_bytes: f64,
    pub mean_bytes: f64,
}

/// The prefix cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct PrefixFigures {
    /// Prompt tokens found in the cache over prompt tokens looked up, from 0 to 1.
    pub hit_rate: Option<f64>,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub looked_up_tokens: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub found_tokens: u64,
    /// Blocks with content that were taken for something else.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub evictions: u64,
    /// What that cost, s.
    pub eviction_s: f64,
}

/// Speculative decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct SpeculativeFigures {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub proposed: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub accepted: u64,
    /// Accepted over proposed tokens.
    pub accept_rate: Option<f64>,
}

/// What a reader might look for here and the engine does not model.
const NOT_MODELLED: [&str; 6] = [
    "time of the network, the tokeniser and the scheduler itself",
    "unequal replicas, prefill and decode on different replicas, failures, autoscaling",
    "communication between the GPUs of a replica",
    "beam search and parallel sampling",
    "energy",
    "cost",
];

/// Values of requests that are done, in order of arrival, and where each part of the run ends.
#[derive(Default)]
struct Column {
    values: Vec<f64>,
    ends: Vec<usize>,
}

impl Column {
    fn part(&mut self, part: usize) -> &mut [f64] {
        let from = match part {
            0 => 0,
            _ => self.ends[part - 1],
        };
        &mut self.values[from..self.ends[part]]
    }

    /// The values from a part on.
    fn rest(&mut self, part: usize) -> &mut [f64] {
        let from = match part {
            0 => 0,
            _ => self.ends[part - 1],
        };
        &mut self.values[from..]
    }
}

/// Counters over requests.
#[derive(Clone, Copy, Default)]
struct Counts {
    requests: u64,
    met: [u64; 4],
    offered_tokens: u64,
    offered: u64,
    fates: [u64; 5],
}

impl Counts {
    fn sum(parts: &[Counts]) -> Counts {
        let mut all = Counts::default();
        for part in parts {
            all.add(part);
        }
        all
    }

    /// Of the requests that were offered, the share that these are.
    fn share(&self, n: u64) -> Option<f64> {
        (self.offered > 0).then(|| n as f64 / self.offered as f64)
    }

    fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.offered_tokens += other.offered_tokens;
        self.offered += other.offered;
        for (mine, its) in self.met.iter_mut().zip(other.met) {
            *mine += its;
        }
        for (mine, its) in self.fates.iter_mut().zip(other.fates) {
            *mine += its;
        }
    }

    fn losses(&self) -> Losses {
        let of = |fate: Fate| self.fates[fate as usize];
        Losses {
            offered: self.offered,
            gave_up: of(Fate::Rejected) + of(Fate::TimedOut),
            too_long: of(Fate::TooLong),
        }
    }
}

/// What requests did in a part of the run, whenever they arrived.
#[derive(Clone, Copy, Default)]
struct Ended {
    /// Requests that had their last token, and those of them that met every SLA.
    requests: u64,
    joint: u64,
    /// Prompt tokens of requests that had their first token.
    prompt_tokens: u64,
}

/// What the requests tell, part by part: `counts` and the columns by arrival, `ended` by time.
struct Walk {
    queueing: Column,
    ttft: Column,
    e2e: Column,
    tpot_ms: Column,
    /// Own output tokens over latency; only in a closed loop.
    rate: Column,
    counts: Vec<Counts>,
    ended: Vec<Ended>,
}

impl Walk {
    fn new(trace: &Trace, record: &Record, served: &Served, marks: &[Mark]) -> Walk {
        let requests = &record.requests;
        let first = requests.first_row as usize;
        let closed_loop = !requests.sent.is_empty();
        let parts = MARKS;
        let mut walk = Walk {
            queueing: Column::default(),
            ttft: Column::default(),
            e2e: Column::default(),
            tpot_ms: Column::default(),
            rate: Column::default(),
            counts: vec![Counts::default(); parts],
            ended: vec![Ended::default(); parts],
        };
        // In the order of arrival: users do not send in the order of the rows.
        let recorded = if closed_loop { 0 } else { served.fate.len() };
        let rows = (0..recorded)
            .filter(|&row| served.fate[row] != Fate::Dropped)
            .chain(requests.sent.iter().map(|&row| row as usize - first));
        let all = record.workload.rows_replayed;
        let mut part = 0;
        for (number, row) in (0u64..).zip(rows) {
            // The first arrivals of each part are those of its mark.
            while number * parts as u64 >= (part as u64 + 1) * all {
                walk.end_part();
                part += 1;
            }
            walk.request(trace, record, served, marks, part, row);
        }
        while part < parts {
            walk.end_part();
            part += 1;
        }
        walk
    }

    /// Takes a request of a part down.
    #[inline]
    fn request(
        &mut self,
        trace: &Trace,
        record: &Record,
        served: &Served,
        marks: &[Mark],
        part: usize,
        row: usize,
    ) {
        let requests = &record.requests;
        let trace_row = requests.first_row as usize + row;
        let (prompt, output) = (trace.prompt[trace_row], trace.output[trace_row]);
        let counts = &mut self.counts[part];
        let fate = served.fate[row];
        counts.fates[fate as usize] += 1;
        counts.offered += 1;
        counts.offered_tokens += u64::from(prompt) + u64::from(output);
        if fate != Fate::Done {
            return;
        }
        let sla = &record.scenario.sla;
        let arrival = requests.arrivals(trace).of(trace_row);
        let e2e = served.done_s[row] - arrival;
        let ttft = served.first_token_s[row] - arrival;
        self.queueing.values.push(served.joined_s[row] - arrival);
        self.ttft.values.push(ttft);
        self.e2e.values.push(e2e);
        let in_token = if output > 1 {
            let tpot_ms = (e2e - ttft) / (f64::from(output) - 1.0) * 1e3;
            self.tpot_ms.values.push(tpot_ms);
            tpot_ms <= sla.token_ms
        } else {
            true
        };
        if !requests.sent.is_empty() {
            self.rate.values.push(f64::from(output) / e2e);
        }
        let in_time = e2e <= sla.request_s;
        let in_first = sla.ttft_s.is_none_or(|bound| ttft <= bound);
        let joint = in_token && in_time && in_first;
        counts.requests += 1;
        let kept = [in_token, in_time, in_first, joint];
        for (met, is) in counts.met.iter_mut().zip(kept) {
            *met += u64::from(is);
        }
        // Steps that end at the moment of a mark come before it.
        let part_at = |at_s: f64| marks[1..MARKS].partition_point(|mark| mark.at_s < at_s);
        self.ended[part_at(served.first_token_s[row])].prompt_tokens += u64::from(prompt);
        let ended = &mut self.ended[part_at(served.done_s[row])];
        ended.requests += 1;
        ended.joint += u64::from(joint);
    }

    fn end_part(&mut self) {
        for column in self.columns() {
            column.ends.push(column.values.len());
        }
    }

    /// Distributions of a part, or from a part on, as in [`DISTRIBUTIONS`].
    fn distributions(
        &mut self,
        values: fn(&mut Column, usize) -> &mut [f64],
        part: usize,
        tbt: Option<Distribution>,
    ) -> [Option<Distribution>; 5] {
        let of = |column: &mut Column| distribution(values(column, part));
        [
            of(&mut self.queueing),
            of(&mut self.ttft),
            of(&mut self.tpot_ms),
            of(&mut self.e2e),
            tbt,
        ]
    }

    fn columns(&mut self) -> [&mut Column; 5] {
        [
            &mut self.queueing,
            &mut self.ttft,
            &mut self.e2e,
            &mut self.tpot_ms,
            &mut self.rate,
        ]
    }
}

/// Parts that the warm-up takes.
fn warm_parts(server: &Server, walk: &Walk) -> usize {
    match server.warmup {
        Warmup::None => 0,
        Warmup::Share(share) => libm::ceil(share * MARKS as f64) as usize,
        Warmup::Auto => {
            // Means of about ten groups a part; what is dropped is rounded up to whole parts.
            let values = &walk.e2e.values;
            let group = (values.len() / (10 * MARKS)).max(1);
            let means: Vec<f64> = values
                .chunks_exact(group)
                .map(|group| group.iter().sum::<f64>() / group.len() as f64)
                .collect();
            let dropped = statistics::mser(&means) * group;
            let ends = &walk.e2e.ends;
            match dropped {
                0 => 0,
                _ => ends.partition_point(|&end| end < dropped) + 1,
            }
            .min(MARKS / 2)
        }
    }
}

/// What was done in a part of the run, or in several.
struct Span {
    seconds: f64,
    ended: Ended,
    steps: f64,
    decoded: f64,
    context: f64,
    prefilled: f64,
    pairs: f64,
    proposed: f64,
    emitted: f64,
    token_s: f64,
    busy_s: f64,
    /// Length of the steps that ended.
    step_s: f64,
    gaps: Gaps,
}

impl Span {
    /// From the first to the last of these marks, with what ended in each part between them.
    fn of(marks: &[Mark], ended: &[Ended]) -> Span {
        let (from, to) = (&marks[0], &marks[marks.len() - 1]);
        let seconds = to.at_s - from.at_s;
        let (from, to) = (&from.totals, &to.totals);
        let busy_s = |totals: &Totals| totals.busy_s.iter().sum::<f64>();
        let ends = marks[1..].iter().map(|mark| mark.totals.gaps.part);
        let ends = ends.fold([f64::INFINITY, 0.0], |[min, max], [least, most]| {
            [least.min(min), most.max(max)]
        });
        Span {
            seconds,
            ended: Ended {
                requests: ended.iter().map(|part| part.requests).sum(),
                joint: ended.iter().map(|part| part.joint).sum(),
                prompt_tokens: ended.iter().map(|part| part.prompt_tokens).sum(),
            },
            steps: (to.steps - from.steps) as f64,
            decoded: to.decoded - from.decoded,
            context: to.context - from.context,
            prefilled: to.prefilled - from.prefilled,
            pairs: to.pairs - from.pairs,
            proposed: (to.proposed - from.proposed) as f64,
            emitted: (to.emitted - from.emitted) as f64,
            token_s: to.token_s - from.token_s,
            busy_s: busy_s(to) - busy_s(from),
            step_s: (busy_s(to) - to.at_hand_s) - (busy_s(from) - from.at_hand_s),
            gaps: to.gaps.since(&from.gaps, ends),
        }
    }

    fn per_s(&self, amount: f64) -> f64 {
        if self.seconds > 0.0 {
            amount / self.seconds
        } else {
            0.0
        }
    }

    /// `None` of a part that takes no time, such as one of requests that arrive at one moment.
    fn rate(&self, amount: f64) -> Option<f64> {
        (self.seconds > 0.0).then(|| amount / self.seconds)
    }

    fn per_step(&self, amount: f64) -> f64 {
        amount / self.steps.max(1.0)
    }

    /// Prompt and output tokens that were served.
    fn tokens(&self) -> f64 {
        self.ended.prompt_tokens as f64 + self.emitted
    }

    /// Shares of the peaks of arithmetic and of bandwidth, over the steps that ended.
    fn mfu_mbu(&self, ceiling: &Ceiling) -> Option<[f64; 2]> {
        let tokens = self.decoded + self.prefilled;
        let flops = ceiling.token_flops * tokens + ceiling.pair_flops * (self.context + self.pairs);
        let bytes =
            ceiling.weight_bytes * self.steps + ceiling.token_bytes * (self.context + tokens);
        (self.step_s > 0.0).then(|| {
            [
                flops / (self.step_s * ceiling.peak_flops),
                bytes / (self.step_s * ceiling.bandwidth_bytes_per_s),
            ]
        })
    }
}

/// Distributions with an interval, in their order.
const DISTRIBUTIONS: [&str; 5] = [
    "honest.queueing_s",
    "honest.ttft_s",
    "honest.tpot_ms",
    "honest.e2e_s",
    "continuous.tbt_ms",
];

/// What is known of a part of the run, or of all of it.
struct Part {
    distributions: [Option<Distribution>; 5],
    counts: Counts,
    span: Span,
}

impl Part {
    /// Its figures that have an interval: names and values.
    fn named(
        &self,
        sla_ttft: bool,
        replicas: f64,
        shares: Option<[f64; 2]>,
    ) -> Vec<(String, Option<f64>)> {
        let mut figures = Vec::new();
        for (name, distribution) in DISTRIBUTIONS.iter().zip(&self.distributions) {
            // A quantile of fewer values than it has ranks is the maximum under another name.
            let enough = |least: u64| distribution.filter(|d| d.count >= least);
            for (figure, value) in [
                ("mean", distribution.map(|d| d.mean)),
                ("p50", enough(2).map(|d| d.p50)),
                ("p90", enough(10).map(|d| d.p90)),
                ("p95", enough(20).map(|d| d.p95)),
                ("p99", enough(100).map(|d| d.p99)),
                ("p999", enough(1000).map(|d| d.p999)),
            ] {
                figures.push((format!("{name}.{figure}"), value));
            }
        }
        let Part { counts, span, .. } = self;
        let [token, request, ttft, joint] = counts.met.map(|met| counts.share(met));
        let ended = &span.ended;
        for (name, value) in [
            ("honest.sla.token", token),
            ("honest.sla.request", request),
            ("honest.sla.ttft", ttft.filter(|_| sla_ttft)),
            ("honest.sla.joint", joint),
            (
                "honest.goodput_requests_per_s",
                span.rate(ended.joint as f64),
            ),
            (
                "honest.served_requests_per_s",
                span.rate(ended.requests as f64),
            ),
            ("honest.output_tokens_per_s", span.rate(span.emitted)),
            ("honest.utilization.mean", span.rate(span.busy_s / replicas)),
            (
                "continuous.tbt_within_sla",
                part_of(span.gaps.within, span.gaps.count),
            ),
            ("continuous.mean_batch", Some(span.per_step(span.decoded))),
            (
                "continuous.mean_prompt_tokens",
                Some(span.per_step(span.prefilled - span.proposed)),
            ),
            ("continuous.kv.mean_tokens", span.rate(span.token_s)),
            ("continuous.mfu", shares.map(|s| s[0])),
            ("continuous.mbu", shares.map(|s| s[1])),
        ] {
            figures.push((name.to_owned(), value));
        }
        figures
    }
}

fn part_of(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// A finished replay and what its requests told.
struct Told<'a> {
    trace: &'a Trace,
    record: &'a Record,
    served: &'a Served,
    totals: &'a Totals,
    server: &'a Server,
    marks: Vec<Mark>,
    /// Parts that the warm-up takes, and what was offered in them.
    warm: usize,
    warm_counts: Counts,
}

/// The figures of a finished replay.
pub(super) fn figures(
    trace: &Trace,
    record: &Record,
    served: &Served,
    totals: &Totals,
) -> (Honest, Continuous) {
    let none = Server::default();
    // The record is of this engine.
    let server = record.scenario.server().unwrap_or(&none);
    let marks = marks(totals);
    let mut walk = Walk::new(trace, record, served, &marks);
    let warm = warm_parts(server, &walk).min(MARKS - 1);

    // Parts first: taking a quantile puts values into another order, and a part's stay in it.
    let parts: Vec<Part> = (warm..MARKS)
        .map(|part| {
            let span = Span::of(&marks[part..part + 2], &walk.ended[part..=part]);
            Part {
                distributions: walk.distributions(Column::part, part, gaps(&span.gaps)),
                counts: walk.counts[part],
                span,
            }
        })
        .collect();
    let span = Span::of(&marks[warm..], &walk.ended[warm..]);
    let whole = Part {
        distributions: walk.distributions(Column::rest, warm, gaps(&span.gaps)),
        counts: Counts::sum(&walk.counts[warm..]),
        span,
    };
    let told = Told {
        trace,
        record,
        served,
        totals,
        server,
        marks,
        warm,
        warm_counts: Counts::sum(&walk.counts[..warm]),
    };
    let statistics = told.statistics(&parts, &whole);
    let rate = distribution(walk.rate.rest(warm));
    (
        told.honest(&whole, rate),
        told.continuous(&whole, statistics),
    )
}

impl Told<'_> {
    /// What had been done when the warm-up was over.
    fn from(&self) -> &Totals {
        &self.marks[self.warm].totals
    }

    /// Shares of the peaks of arithmetic and of bandwidth.
    fn mfu_mbu(&self, span: &Span) -> Option<[f64; 2]> {
        let ceiling = self.server.ceiling.as_ref()?;
        span.mfu_mbu(ceiling)
    }

    /// The greatest number that any part behind the warm-up has.
    fn peak(&self, of: fn(&Totals) -> u64) -> u64 {
        let done = &self.marks[self.warm + 1..];
        done.iter().map(|mark| of(&mark.totals)).max().unwrap_or(0)
    }

    /// Steps beyond what the latency model was measured for.
    fn steps_outside(&self) -> u64 {
        self.totals.steps_outside - self.from().steps_outside
    }

    /// Intervals by batch means, and what a reader must know.
    fn statistics(&self, parts: &[Part], whole: &Part) -> Statistics {
        let scenario = &self.record.scenario;
        let replicas = self.totals.busy_s.len() as f64;
        let named = |part: &Part| {
            let shares = self.mfu_mbu(&part.span);
            part.named(scenario.sla.ttft_s.is_some(), replicas, shares)
        };
        let of_parts: Vec<_> = parts.iter().map(named).collect();
        let mut intervals = Vec::new();
        for (i, (name, value)) in named(whole).iter().enumerate() {
            let values: Vec<Option<f64>> = of_parts.iter().map(|part| part[i].1).collect();
            let offered = whole.counts.offered;
            intervals.extend(statistics::interval(name, *value, &values, offered));
        }
        let latency = parts.iter().filter_map(|part| part.distributions[3]);
        let latency: Vec<f64> = latency.map(|e2e| e2e.mean).collect();
        let backlog = self.totals.backlog_at_last_arrival;
        let mut warnings = statistics::warnings(&latency, whole.counts.requests, backlog);
        let losses: Vec<Losses> = parts.iter().map(|part| part.counts.losses()).collect();
        warnings.extend(statistics::loss_warnings(&losses, &warnings));
        warnings.extend(two_machines(self.server));
        let outside = self.steps_outside();
        if outside > 0 {
            warnings.push(Warning {
                code: "outside-measurements".to_owned(),
                message: format!(
                    "{outside} of {} steps lie beyond what the latency model was measured for",
                    whole.span.steps
                ),
            });
        }
        Statistics {
            warmup_requests: self.warm_counts.offered,
            parts: (MARKS - self.warm) as u32,
            intervals,
            warnings,
        }
    }

    fn honest(&self, whole: &Part, request_tokens_per_s: Option<Distribution>) -> Honest {
        let Record {
            scenario,
            workload: report,
            prediction,
            ..
        } = self.record;
        let Part { counts, span, .. } = whole;
        let [queueing_s, ttft_s, tpot_ms, e2e_s, _] = whole.distributions;
        let from_s = self.marks[self.warm].at_s;
        let arrivals_s = report.span_s - from_s;
        let offered = report.offered_requests_per_s.filter(|_| arrivals_s > 0.0);
        let per_span = |n: f64| offered.map(|_| n / arrivals_s);
        // A request that was turned away or gave up met no SLA.
        let [token, request, ttft, joint] = counts.met.map(|met| counts.share(met));
        let (trace, record, served) = (self.trace, self.record, self.served);
        Honest {
            outside_measurements: None,
            requests: counts.requests,
            failed_replayed: 0,
            failed_dropped: report.rows_taken - report.rows_replayed,
            queueing_s,
            ttft_s,
            tpot_ms,
            e2e_s,
            request_tokens_per_s,
            sla: Attainment {
                token,
                request,
                joint,
                ttft: scenario.sla.ttft_s.and(ttft),
            },
            makespan_s: self.totals.end_s,
            goodput_requests_per_s: span.per_s(span.ended.joint as f64),
            offered_requests_per_s: per_span(counts.offered as f64),
            served_requests_per_s: span.per_s(span.ended.requests as f64),
            offered_tokens_per_s: per_span(counts.offered_tokens as f64),
            served_tokens_per_s: span.per_s(span.tokens()),
            output_tokens_per_s: span.per_s(span.emitted),
            padding_waste: None,
            utilization: self.utilization(span),
            gpu_s_for_failed_only: 0.0,
            backlog_at_last_arrival: self.totals.backlog_at_last_arrival,
            mean_in_system: span.per_s(in_system_s(trace, record, served, from_s)),
            peak_batch_tokens: self.peak(|totals| totals.part_peak_tokens),
            batches_over_memory: 0,
            prediction: *prediction,
            not_modelled: NOT_MODELLED.map(str::to_owned).to_vec(),
        }
    }

    /// Of the replicas.
    fn utilization(&self, span: &Span) -> Utilization {
        let busy = self.totals.busy_s.iter().zip(&self.from().busy_s);
        let per_gpu: Vec<f64> = busy.map(|(to, from)| span.per_s(to - from)).collect();
        Utilization {
            mean: span.per_s(span.busy_s) / per_gpu.len() as f64,
            min: per_gpu.iter().copied().fold(f64::INFINITY, f64::min),
            max: per_gpu.iter().copied().fold(0.0, f64::max),
            per_gpu,
        }
    }

    fn continuous(&self, whole: &Part, statistics: Statistics) -> Continuous {
        let Part { counts, span, .. } = whole;
        let (from, to) = (self.from(), self.totals);
        let shares = self.mfu_mbu(span);
        let (trace, record, served) = (self.trace, self.record, self.served);
        Continuous {
            tbt_ms: whole.distributions[4],
            tbt_within_sla: part_of(span.gaps.within, span.gaps.count),
            rejected: counts.fates[Fate::Rejected as usize],
            too_long: counts.fates[Fate::TooLong as usize],
            timed_out: counts.fates[Fate::TimedOut as usize],
            steps: to.steps - from.steps,
            mean_batch: span.per_step(span.decoded),
            mean_prompt_tokens: span.per_step(span.prefilled - span.proposed),
            steps_outside: self.steps_outside(),
            mfu: shares.map(|s| s[0]),
            mbu: shares.map(|s| s[1]),
            kv: self.kv(span),
            preemptions: to.preemptions - from.preemptions,
            recomputed_tokens: to.recomputed_tokens - from.recomputed_tokens,
            swapped_blocks: to.swapped_blocks - from.swapped_blocks,
            swap_s: to.swap_s - from.swap_s,
            prefix: self.prefix(),
            speculative: self
                .server
                .speculative
                .as_ref()
                .map(|_| SpeculativeFigures {
                    proposed: to.proposed - from.proposed,
                    accepted: to.accepted - from.accepted,
                    accept_rate: part_of(to.accepted - from.accepted, to.proposed - from.proposed),
                }),
            fairness: fairness(trace, record, served, self.warm_counts.offered),
            statistics,
        }
    }

    fn kv(&self, span: &Span) -> KvFigures {
        let token_bytes = self.record.scenario.memory().kv_gb_per_token * 1e9;
        let mean_tokens = span.per_s(span.token_s);
        let peak_tokens = self.peak(|totals| totals.part_peak_tokens);
        KvFigures {
            blocks: self.totals.blocks,
            peak_blocks: self.peak(|totals| totals.part_peak_blocks),
            peak_tokens,
            mean_tokens,
            peak_bytes: peak_tokens as f64 * token_bytes,
            mean_bytes: mean_tokens * token_bytes,
        }
    }

    /// Of the prefix cache, where there is one.
    fn prefix(&self) -> Option<PrefixFigures> {
        let (from, to) = (self.from(), self.totals);
        let (found, looked_up) = (
            to.found_tokens - from.found_tokens,
            to.looked_up_tokens - from.looked_up_tokens,
        );
        (self.server.kv.prefix.reuse != Reuse::Off).then(|| PrefixFigures {
            hit_rate: part_of(found, looked_up),
            looked_up_tokens: looked_up,
            found_tokens: found,
            evictions: to.evictions - from.evictions,
            eviction_s: to.eviction_s - from.eviction_s,
        })
    }
}

/// The marks at which the parts of the run begin, and its end. A request that arrives after the last step
/// and is turned away makes the run no longer.
fn marks(totals: &Totals) -> Vec<Mark> {
    let mut marks = totals.marks.clone();
    for mark in &mut marks {
        mark.at_s = mark.at_s.min(totals.end_s);
    }
    let end = Mark {
        at_s: totals.end_s,
        totals: Totals {
            series: Series::default(),
            marks: Vec::new(),
            ..totals.clone()
        },
    };
    marks.resize(MARKS + 1, end);
    marks
}

/// The gaps that ended from the mark of part `warm` on.
pub(super) fn gaps_from(totals: &Totals, warm: usize) -> Gaps {
    match totals.marks.get(warm) {
        Some(from) => {
            let all = &totals.gaps;
            all.since(&from.totals.gaps, [all.min, all.max])
        }
        None => Gaps::default(),
    }
}

/// Time that requests were there, waiting or at work, from `from_s` on, summed over all, s.
fn in_system_s(trace: &Trace, record: &Record, served: &Served, from_s: f64) -> f64 {
    let Record {
        scenario, requests, ..
    } = record;
    let timeout_s = scenario
        .server()
        .and_then(|server| server.admission.timeout_s);
    let arrivals = requests.arrivals(trace);
    let first = requests.first_row as usize;
    let mut sum = 0.0;
    for (row, &fate) in served.fate.iter().enumerate() {
        let arrival = arrivals.of(first + row);
        let gone = match (fate, timeout_s) {
            (Fate::Done, _) => served.done_s[row],
            (Fate::TimedOut, Some(timeout_s)) => arrival + timeout_s,
            _ => continue,
        };
        sum += (gone - arrival.max(from_s)).max(0.0);
    }
    sum
}

/// Which rows of the window are among the first `warm` arrivals; empty where there are none.
pub(super) fn in_warmup(requests: &Requests, served: &Served, warm: u64) -> Vec<bool> {
    if warm == 0 {
        return Vec::new();
    }
    let first = requests.first_row as usize;
    let mut early = vec![false; served.fate.len()];
    if requests.sent.is_empty() {
        let arrived = (0..early.len()).filter(|&row| served.fate[row] != Fate::Dropped);
        for row in arrived.take(warm as usize) {
            early[row] = true;
        }
    } else {
        for &row in requests.sent.iter().take(warm as usize) {
            early[row as usize - first] = true;
        }
    }
    early
}

/// Says where memory and step latency are defaults of different machines, and the memory has a say; and where
/// several GPUs work together at the default step of one.
fn two_machines(server: &Server) -> Option<Warning> {
    // Data sheets put step, peaks and memory into a scenario together.
    if server.ceiling.is_some() {
        return None;
    }
    let memory = &server.memory;
    let step = server.latency == StepLatency::default();
    if step && server.tensor_parallel > 1 {
        return Some(Warning {
            code: "two-machines".to_owned(),
            message: format!(
                "the step latency is the default, of Llama-3.1-8B on one H100, and each replica has {} GPUs; give the \
                 step latency of such a group, or a model and its hardware",
                server.tensor_parallel
            ),
        });
    }
    let (h100, studies) = (
        *memory == Memory::LLAMA_3_1_8B_ON_H100,
        *memory == Memory::default(),
    );
    let counts = server.kv.capacity == Capacity::Memory;
    (counts && (studies || (h100 && !step))).then(|| Warning {
        code: "two-machines".to_owned(),
        message: format!(
            "the step latency is {}, and the memory is that of {}; set memory, kv.capacity, or a model and its hardware",
            if step {
                "the default, of Llama-3.1-8B on an H100"
            } else {
                "given"
            },
            if studies {
                "the published studies"
            } else {
                "the default, Llama-3.1-8B on an H100"
            },
        ),
    })
}

/// How differently classes and sessions fare, without the first `warm` requests.
fn fairness(trace: &Trace, record: &Record, served: &Served, warm: u64) -> Fairness {
    let first = record.requests.first_row as usize;
    let arrivals = record.requests.arrivals(trace);
    let early = in_warmup(&record.requests, served, warm);
    let counts = |row: usize| !early.get(row).is_some_and(|early| *early);
    let done = || {
        let rows = 0..served.fate.len();
        rows.filter(|&row| served.fate[row] == Fate::Done && counts(row))
    };
    let latency = |row: usize| served.done_s[row] - arrivals.of(first + row);
    let classes = match &trace.log_type {
        Some(labels) if labels.names.len() > 1 => {
            let mut columns = vec![[Vec::new(), Vec::new()]; labels.names.len()];
            for row in done() {
                let columns = &mut columns[usize::from(labels.ids[first + row])];
                columns[0].push(served.first_token_s[row] - arrivals.of(first + row));
                columns[1].push(latency(row));
            }
            let named = labels.names.iter().zip(&mut columns);
            named
                .filter_map(|(label, [ttft, e2e])| {
                    Some(ClassFigures {
                        label: label.clone(),
                        ttft_s: distribution(ttft)?,
                        e2e_s: distribution(e2e)?,
                    })
                })
                .collect()
        }
        _ => Vec::new(),
    };
    let sessions_jain = trace.session.as_ref().and_then(|sessions| {
        let most = sessions.iter().filter(|s| **s != NO_SESSION).max()?;
        // By session: time per output token summed, and requests.
        let mut sums = vec![(0.0, 0u32); *most as usize + 1];
        for row in done() {
            if let Some(sum) = sums.get_mut(sessions[first + row] as usize) {
                sum.0 += latency(row) / f64::from(trace.output[first + row]);
                sum.1 += 1;
            }
        }
        let means = sums.iter().filter(|sum| sum.1 > 0);
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for mean in means.map(|&(sum, n)| sum / f64::from(n)) {
            n += 1.0;
            sum += mean;
            squares += mean * mean;
        }
        (squares > 0.0).then(|| sum * sum / (n * squares))
    });
    Fairness {
        classes,
        sessions_jain,
    }
}

fn gaps(gaps: &Gaps) -> Option<Distribution> {
    if gaps.count == 0 {
        return None;
    }
    let [p50, p90, p95, p99, p999] = POINTS.map(|q| gaps.quantile(q) * 1e3);
    Some(Distribution {
        count: gaps.count,
        mean: gaps.mean() * 1e3,
        p50,
        p90,
        p95,
        p99,
        p999,
        max: gaps.max * 1e3,
    })
}

/// Exact figures of values, which are put into another order.
fn distribution(values: &mut [f64]) -> Option<Distribution> {
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    // From the highest quantile down: each selection leaves the smaller values in front.
    let mut below = count;
    let mut found = [0.0; 5];
    let mut max = f64::NAN;
    for (i, q) in POINTS.into_iter().enumerate().rev() {
        let place = (count - 1) as f64 * q;
        let low = libm::floor(place) as usize;
        let weight = place - low as f64;
        let (_, &mut lower, above) =
            values[..below.max(low + 1)].select_nth_unstable_by(low, f64::total_cmp);
        if max.is_nan() {
            max = above.iter().copied().fold(lower, f64::max);
        }
        let upper = above.iter().copied().fold(f64::INFINITY, f64::min);
        let upper = if above.is_empty() {
            // The next greater value stands at the place that the selection before left.
            values.get(low + 1).copied().unwrap_or(lower)
        } else {
            upper
        };
        found[i] = if weight >= 0.5 {
            upper - (upper - lower) * (1.0 - weight)
        } else {
            lower + (upper - lower) * weight
        };
        below = low + 1;
    }
    let [p50, p90, p95, p99, p999] = found;
    Some(Distribution {
        count: count as u64,
        mean,
        p50,
        p90,
        p95,
        p99,
        p999,
        max,
    })
}
