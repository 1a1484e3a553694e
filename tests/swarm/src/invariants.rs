//! What must hold of every run, each with a name. docs/RELIABILITY.md lists them; `twins` shows of each
//! that a fault breaks it.

use std::collections::BTreeMap;
use std::ops::Range;

use batchscope::metrics::honest::Distribution;
use batchscope::metrics::{Summary, figures};
use batchscope::sched::Policy;
use batchscope::sched::continuous::kv::{Preemption, Reuse};
use batchscope::sched::continuous::{Server, Warmup};
use batchscope::sim::continuous::{Fate, Level, Served, Totals};
use batchscope::trace::Failed;
use batchscope::{Outcome, Scenario, Trace};
use serde_json::Value;

use crate::ways;

/// An outcome with the trace and the scenario that it is of.
pub struct Seen<'a> {
    pub trace: &'a Trace,
    pub scenario: &'a Scenario,
    pub outcome: &'a Outcome,
    /// Rows of the trace that the window, the limit and the users take.
    taken: Range<usize>,
    /// Of these, the ones to serve.
    requests: Vec<Request>,
}

/// A request to serve and what the outcome says of it.
struct Request {
    row: usize,
    prompt: u32,
    output: u32,
    arrival: f64,
    /// How often the outcome has it served.
    times: usize,
    start: f64,
    /// NaN where the engine has none.
    first_token: f64,
    end: f64,
    fate: Fate,
}

impl Request {
    fn tokens(&self) -> u64 {
        u64::from(self.prompt) + u64::from(self.output)
    }
}

type Check = fn(&Seen<'_>) -> Result<(), String>;

/// Every invariant of an outcome by itself.
pub const OF_AN_OUTCOME: [(&str, Check); 15] = [
    ("one fate", one_fate),
    ("counts agree", counts_agree),
    ("times in order", times_in_order),
    ("one batch at a time", one_batch_at_a_time),
    ("tokens conserved", tokens_conserved),
    ("prefill conserved", prefill_conserved),
    ("blocks conserved", blocks_conserved),
    ("cache within capacity", cache_within_capacity),
    ("utilisation", utilisation),
    ("percentiles in order", percentiles_in_order),
    (
        "distributions of the requests",
        distributions_of_the_requests,
    ),
    ("shares from 0 to 1", shares),
    ("finite", finite),
    ("Little's law", littles_law),
    ("intervals hold their value", intervals),
];

/// The names of those that compare two outcomes of one scenario.
pub const SAME_BYTES: &str = "same bytes however run";
pub const STEP_BY_STEP: &str = "jumps are steps";

/// What is broken: a name of the lists above, and a sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    pub name: &'static str,
    pub detail: String,
}

/// Every invariant of an outcome that is broken.
pub fn broken(trace: &Trace, scenario: &Scenario, outcome: &Outcome) -> Vec<Broken> {
    let seen = match Seen::new(trace, scenario, outcome) {
        Ok(seen) => seen,
        Err(detail) => {
            let name = "one fate";
            return vec![Broken { name, detail }];
        }
    };
    let broken = |(name, check): (&'static str, Check)| {
        let detail = check(&seen).err()?;
        Some(Broken { name, detail })
    };
    OF_AN_OUTCOME.into_iter().filter_map(broken).collect()
}

/// Checks every invariant of one outcome.
pub fn check(trace: &Trace, scenario: &Scenario, outcome: &Outcome) -> Result<(), Broken> {
    let seen = Seen::new(trace, scenario, outcome).map_err(|detail| Broken {
        name: "one fate",
        detail,
    })?;
    for (name, check) in OF_AN_OUTCOME {
        check(&seen).map_err(|detail| Broken { name, detail })?;
    }
    Ok(())
}

/// Checks that two outcomes are the same, byte for byte.
pub fn same_bytes(one: &Outcome, other: &Outcome, how: &str) -> Result<(), Broken> {
    let broken = |detail: String| {
        Err(Broken {
            name: SAME_BYTES,
            detail,
        })
    };
    for ((name, one), (_, other)) in ways::bytes(one).iter().zip(&ways::bytes(other)) {
        if one != other {
            let at = one.iter().zip(other).position(|(a, b)| a != b);
            let text = |bytes: &[u8]| {
                let from = at.unwrap_or(0).saturating_sub(40);
                let cut = bytes
                    .get(from..bytes.len().min(from + 100))
                    .unwrap_or_default();
                String::from_utf8_lossy(cut).into_owned()
            };
            let shown = match *name {
                "summary" => format!(": {} / {}", text(one), text(other)),
                _ => String::new(),
            };
            return broken(format!("{how}: {name} differs from byte {at:?} on{shown}"));
        }
    }
    let totals = |outcome: &Outcome| outcome.served.as_ref().map(|served| served.1.clone());
    if totals(one) != totals(other) {
        return broken(format!("{how}: the totals differ"));
    }
    Ok(())
}

/// Checks that doing each step by itself gives what jumping over steps gives: the same fates and counts, times
/// but for rounding.
pub fn same_steps(jumped: &Outcome, stepped: &Outcome) -> Result<(), Broken> {
    let broken = |detail: String| {
        Err(Broken {
            name: STEP_BY_STEP,
            detail,
        })
    };
    let (Some(a), Some(b)) = (&jumped.served, &stepped.served) else {
        return Ok(());
    };
    let ((a, at), (b, bt)) = (a.as_ref(), b.as_ref());
    // Over more steps rounding adds up to a good part of a short step, and decides where an arrival falls.
    if at.steps > MOST_STEPS {
        return Ok(());
    }
    if a.fate != b.fate || a.replica != b.replica {
        return broken("fates or replicas differ".to_owned());
    }
    let counts = |t: &Totals| {
        [
            t.steps,
            t.emitted,
            t.preemptions,
            t.recomputed_tokens,
            t.swapped_blocks,
            t.peak_blocks,
            t.peak_tokens,
            t.looked_up_tokens,
            t.found_tokens,
            t.proposed,
            t.accepted,
        ]
    };
    if counts(at) != counts(bt) {
        return broken(format!("counts {:?} and {:?}", counts(at), counts(bt)));
    }
    for (name, a, b) in [
        ("joined_s", &a.joined_s, &b.joined_s),
        ("first_token_s", &a.first_token_s, &b.first_token_s),
        ("done_s", &a.done_s, &b.done_s),
    ] {
        for (row, (a, b)) in a.iter().zip(b).enumerate() {
            let same = a.is_nan() && b.is_nan() || near(*a, *b, at.end_s * 1e3);
            if !same {
                return broken(format!("{name} of row {row}: {a} and {b}"));
            }
        }
    }
    if !near(at.token_s, bt.token_s, at.token_s * 10.0) {
        return broken(format!("token_s {} and {}", at.token_s, bt.token_s));
    }
    Ok(())
}

/// Most steps of a run that is compared step by step.
const MOST_STEPS: u64 = 100_000;

/// Equal but for rounding at this scale.
fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * scale.abs().max(a.abs()).max(b.abs())
}

fn ensure(holds: bool, detail: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(detail()) }
}

impl<'a> Seen<'a> {
    fn new(
        trace: &'a Trace,
        scenario: &'a Scenario,
        outcome: &'a Outcome,
    ) -> Result<Seen<'a>, String> {
        let drops = scenario.workload.failed == Failed::Drop;
        let taken = taken(trace, scenario);
        let arrivals = outcome.requests.arrivals(trace);
        let mut requests: Vec<Request> = taken
            .clone()
            .filter(|&row| !(drops && trace.output[row] == 0))
            .map(|row| Request {
                row,
                prompt: trace.prompt[row],
                output: trace.output[row],
                arrival: if arrivals.recorded.len() > row {
                    arrivals.of(row)
                } else {
                    f64::NAN
                },
                times: 0,
                start: f64::NAN,
                first_token: f64::NAN,
                end: f64::NAN,
                fate: Fate::Dropped,
            })
            .collect();
        let place = |requests: &[Request], row: usize| {
            requests
                .binary_search_by_key(&row, |request| request.row)
                .map_err(|_| format!("row {row} is served, and the scenario does not replay it"))
        };
        match &outcome.served {
            None => {
                let b = &outcome.batches;
                for i in 0..b.len() {
                    let first = b.first[i] as usize;
                    let members = outcome
                        .requests
                        .order
                        .get(first..first + b.size[i] as usize);
                    for &row in
                        members.ok_or_else(|| format!("batch {i} has members beyond the list"))?
                    {
                        let place = place(&requests, row as usize)?;
                        let request = &mut requests[place];
                        request.times += 1;
                        request.start = b.start[i];
                        request.end = b.end(i);
                        request.fate = Fate::Done;
                    }
                }
            }
            Some(served) => {
                let served = &served.0;
                ensure(served.fate.len() == taken.len(), || {
                    format!("{} fates of {} rows", served.fate.len(), taken.len())
                })?;
                for (i, &fate) in served.fate.iter().enumerate() {
                    if fate == Fate::Dropped {
                        continue;
                    }
                    let place = place(&requests, taken.start + i)?;
                    let request = &mut requests[place];
                    request.times += 1;
                    request.start = served.joined_s[i];
                    request.first_token = served.first_token_s[i];
                    request.end = served.done_s[i];
                    request.fate = fate;
                }
            }
        }
        Ok(Seen {
            trace,
            scenario,
            outcome,
            taken,
            requests,
        })
    }

    fn served(&self) -> Option<(&Served, &Totals, &Server)> {
        let (served, totals) = self.outcome.served.as_deref()?;
        Some((served, totals, self.scenario.server()?))
    }

    /// Whether the figures are of the whole run.
    fn whole(&self) -> bool {
        self.served()
            .is_none_or(|(_, _, server)| server.warmup == Warmup::None)
    }

    fn done(&self) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .filter(|request| request.fate == Fate::Done)
    }

    fn with(&self, fate: Fate) -> u64 {
        self.requests
            .iter()
            .filter(|request| request.fate == fate)
            .count() as u64
    }

    fn summary(&self) -> &Summary {
        &self.outcome.summary
    }
}

/// The rows that a scenario takes, worked out from its own words.
fn taken(trace: &Trace, scenario: &Scenario) -> Range<usize> {
    let w = &scenario.workload;
    let zero = trace.arrival.first().copied().unwrap_or(0.0);
    let after = |bound: Option<f64>, none: usize| match bound {
        Some(bound) => trace
            .arrival
            .iter()
            .take_while(|at| **at - zero < bound)
            .count(),
        None => none,
    };
    let start = after(w.window_start_s, 0);
    let mut end = after(w.window_end_s, trace.len()).max(start);
    if let Some(limit) = w.limit {
        end = end.min(start.saturating_add(limit as usize));
    }
    if let Some(users) = &w.closed_loop {
        // As many as the users send.
        let mut left = users.requests();
        let mut last = start;
        while left > 0 && last < end {
            left -= u64::from(!(w.failed == Failed::Drop && trace.output[last] == 0));
            last += 1;
        }
        end = last;
    }
    start..end
}

fn one_fate(seen: &Seen<'_>) -> Result<(), String> {
    for request in &seen.requests {
        ensure(request.times == 1, || {
            format!("row {} has {} fates", request.row, request.times)
        })?;
        let done = request.fate == Fate::Done;
        ensure(request.end.is_finite() == done, || {
            format!(
                "row {} is {:?} and ends at {}",
                request.row, request.fate, request.end
            )
        })?;
        if let Some((_, _, server)) = seen.served() {
            ensure(
                request.first_token.is_finite() == done && request.start.is_finite() == done,
                || {
                    format!(
                        "row {} is {:?} with start {} and first token {}",
                        request.row, request.fate, request.start, request.first_token
                    )
                },
            )?;
            let may = match request.fate {
                Fate::TimedOut => server.admission.timeout_s.is_some(),
                Fate::Rejected => server.admission.max_waiting.is_some(),
                Fate::TooLong => server.admission.reject_too_long,
                Fate::Done | Fate::Dropped => true,
            };
            ensure(may, || {
                format!(
                    "row {} is {:?}, which no setting allows",
                    request.row, request.fate
                )
            })?;
        }
    }
    Ok(())
}

fn counts_agree(seen: &Seen<'_>) -> Result<(), String> {
    let (w, honest) = (&seen.summary().workload, &seen.summary().honest);
    let failed = seen
        .taken
        .clone()
        .filter(|&row| seen.trace.output[row] == 0)
        .count() as u64;
    let replayed = seen.requests.len() as u64;
    let with_output = seen.done().filter(|request| request.output > 0).count() as u64;
    let lost = seen.summary().continuous.as_ref();
    let lost = lost.map_or([0; 3], |c| [c.rejected, c.too_long, c.timed_out]);
    for (what, got, want) in [
        ("rows_in_trace", w.rows_in_trace, seen.trace.len() as u64),
        ("rows_taken", w.rows_taken, seen.taken.len() as u64),
        ("rows_failed", w.rows_failed, failed),
        ("rows_replayed", w.rows_replayed, replayed),
        (
            "failed_dropped",
            honest.failed_dropped,
            seen.taken.len() as u64 - replayed,
        ),
        (
            "prompt_tokens",
            w.prompt_tokens,
            seen.requests.iter().map(|r| u64::from(r.prompt)).sum(),
        ),
        (
            "output_tokens",
            w.output_tokens,
            seen.requests.iter().map(|r| u64::from(r.output)).sum(),
        ),
    ] {
        ensure(got == want, || format!("{what} is {got}, not {want}"))?;
    }
    if seen.whole() {
        for (what, got, want) in [
            ("requests", honest.requests, with_output),
            ("rejected", lost[0], seen.with(Fate::Rejected)),
            ("too_long", lost[1], seen.with(Fate::TooLong)),
            ("timed_out", lost[2], seen.with(Fate::TimedOut)),
            (
                "failed_replayed",
                honest.failed_replayed,
                seen.done().filter(|r| r.output == 0).count() as u64,
            ),
        ] {
            ensure(got == want, || format!("{what} is {got}, not {want}"))?;
        }
    } else if let Some(c) = &seen.summary().continuous {
        let all = honest.requests + lost.iter().sum::<u64>() + c.statistics.warmup_requests;
        ensure(all == replayed, || {
            format!("{all} requests with the warm-up's, not {replayed}")
        })?;
    }
    ensure(
        seen.outcome.requests_served() == seen.done().count() as u64,
        || format!("requests_served is {}", seen.outcome.requests_served()),
    )
}

/// The shortest step or service that a scenario may have, s.
const SHORTEST_S: f64 = 1e-9;

fn times_in_order(seen: &Seen<'_>) -> Result<(), String> {
    for r in seen.done() {
        // From some 97 days on, the clock's steps are longer than the shortest service.
        let coarse = r.start.next_up() - r.start > SHORTEST_S;
        let served = r.start < r.end || coarse && r.start == r.end;
        let mut ordered = r.arrival <= r.start && served;
        if !r.first_token.is_nan() {
            ordered = ordered && r.start <= r.first_token && r.first_token <= r.end;
        }
        ensure(ordered && r.arrival >= 0.0, || {
            format!(
                "row {}: arrival {}, start {}, first token {}, end {}",
                r.row, r.arrival, r.start, r.first_token, r.end
            )
        })?;
        let makespan = seen.summary().honest.makespan_s;
        ensure(r.end <= makespan, || {
            format!("row {} ends at {} after {makespan}", r.row, r.end)
        })?;
    }
    Ok(())
}

fn one_batch_at_a_time(seen: &Seen<'_>) -> Result<(), String> {
    let b = &seen.outcome.batches;
    let mut free: BTreeMap<u16, f64> = BTreeMap::new();
    for i in 0..b.len() {
        let gpu = b.gpu[i];
        ensure(u32::from(gpu) < seen.scenario.fleet.gpus, || {
            format!("batch {i} on GPU {gpu}")
        })?;
        ensure(b.size[i] > 0 && b.service[i] > 0.0, || {
            format!("batch {i} is empty or takes no time")
        })?;
        let free = free.entry(gpu).or_insert(0.0);
        ensure(b.start[i] >= *free, || {
            format!(
                "batch {i} starts at {} and GPU {gpu} is busy to {free}",
                b.start[i]
            )
        })?;
        *free = b.end(i);
    }
    if let Some((_, totals, _)) = seen.served() {
        for (replica, busy) in totals.busy_s.iter().enumerate() {
            ensure(*busy >= 0.0 && *busy <= totals.end_s * (1.0 + 1e-9), || {
                format!("replica {replica} is busy for {busy} s of {}", totals.end_s)
            })?;
        }
    }
    Ok(())
}

fn tokens_conserved(seen: &Seen<'_>) -> Result<(), String> {
    let honest = &seen.summary().honest;
    let makespan = honest.makespan_s;
    let output: u64 = seen.done().map(|r| u64::from(r.output)).sum();
    if seen.whole() {
        let all: u64 = seen
            .done()
            .filter(|r| r.output > 0)
            .map(Request::tokens)
            .sum();
        for (what, per_s, tokens) in [
            ("output_tokens_per_s", honest.output_tokens_per_s, output),
            ("served_tokens_per_s", honest.served_tokens_per_s, all),
            (
                "served_requests_per_s",
                honest.served_requests_per_s,
                honest.requests,
            ),
        ] {
            ensure(near(per_s * makespan, tokens as f64, 0.0), || {
                format!("{what} {per_s} over {makespan} s is not {tokens}")
            })?;
        }
    }
    let b = &seen.outcome.batches;
    for i in 0..b.len() {
        let rows = || {
            seen.outcome
                .requests
                .members(b, i)
                .iter()
                .map(|&row| row as usize)
        };
        let (prompt, output) = (&seen.trace.prompt, &seen.trace.output);
        let total = rows().map(|row| prompt[row] + output[row]).max();
        let longest = rows().map(|row| output[row]).max();
        ensure(
            (total, longest) == (Some(b.longest_total[i]), Some(b.longest_output[i])),
            || {
                format!(
                    "batch {i} of longest {} and {}, members have {total:?} and {longest:?}",
                    b.longest_total[i], b.longest_output[i]
                )
            },
        )?;
    }
    if let Some((_, totals, server)) = seen.served() {
        ensure(totals.emitted == output, || {
            format!("{} tokens came, not {output}", totals.emitted)
        })?;
        let gaps = output - seen.done().count() as u64;
        ensure(totals.gaps.count == gaps, || {
            format!("{} gaps, not {gaps}", totals.gaps.count)
        })?;
        let [proposed, accepted] = [totals.proposed, totals.accepted];
        ensure(accepted <= proposed, || {
            format!("{accepted} of {proposed} proposed tokens accepted")
        })?;
        if server.speculative.is_none() {
            ensure(proposed == 0, || {
                format!("{proposed} tokens proposed without a draft")
            })?;
        }
    }
    Ok(())
}

/// Every prompt token is processed once, but for those found in the cache and those computed again. A request
/// that is computed again samples its next token at the end of that, and not by a step of decoding: the token
/// before it is processed with the prompt.
fn prefill_conserved(seen: &Seen<'_>) -> Result<(), String> {
    let Some((_, totals, _)) = seen.served() else {
        return Ok(());
    };
    let prompts: u64 = seen.done().map(|r| u64::from(r.prompt.max(1))).sum();
    ensure(totals.found_tokens <= totals.looked_up_tokens, || {
        format!(
            "{} of {} tokens found",
            totals.found_tokens, totals.looked_up_tokens
        )
    })?;
    let sampled = totals.emitted as f64 - totals.decoded - totals.accepted as f64;
    let again = sampled - seen.done().count() as f64;
    ensure(again >= 0.0 && again <= totals.preemptions as f64, || {
        format!(
            "{again} tokens sampled after {} preemptions",
            totals.preemptions
        )
    })?;
    let want = prompts as f64 + totals.recomputed_tokens as f64 - totals.found_tokens as f64;
    let got = totals.prefilled - totals.proposed as f64;
    ensure(got - want == again, || {
        format!(
            "{got} prompt tokens processed, not {want}: {prompts} of the prompts, {} and {again} again, {} found",
            totals.recomputed_tokens, totals.found_tokens
        )
    })
}

fn blocks_conserved(seen: &Seen<'_>) -> Result<(), String> {
    let Some((_, totals, server)) = seen.served() else {
        return Ok(());
    };
    let block = u64::from(server.kv.block_tokens);
    let needs =
        |r: &Request| (u64::from(r.prompt.max(1)) + u64::from(r.output.max(1)) - 1).div_ceil(block);
    let most = seen.done().map(needs).max().unwrap_or(0);
    ensure(totals.peak_blocks >= most, || {
        format!(
            "{} blocks at most, and one request needs {most}",
            totals.peak_blocks
        )
    })?;
    if server.kv.prefix.reuse == Reuse::Off {
        let blocks_s = totals.series.integral(Level::Blocks);
        let tokens_s = totals.series.integral(Level::Tokens);
        // By two counts: a step's tokens count from its end on in the total, and evenly in the series.
        for (what, tokens_s) in [("series", tokens_s), ("total", totals.token_s)] {
            let whole: f64 = seen
                .done()
                .map(|r| r.tokens() as f64 * (r.end - r.start))
                .sum();
            let prompts: f64 = seen
                .done()
                .map(|r| f64::from(r.prompt) * (r.end - r.first_token))
                .sum();
            // With asynchronous scheduling a request that is done leaves one step later.
            let most = if server.async_scheduling {
                f64::INFINITY
            } else {
                whole
            };
            let least = if totals.preemptions == 0 {
                prompts
            } else {
                0.0
            };
            let slack = 1e-9 * whole + 1e-9;
            ensure((least - slack..=most + slack).contains(&tokens_s), || {
                format!("{tokens_s} token s in the {what}, and the requests held {least} to {most}")
            })?;
        }
        ensure(tokens_s <= blocks_s * block as f64 * (1.0 + 1e-9), || {
            format!("{tokens_s} token s in {blocks_s} block s of {block}")
        })?;
        ensure(totals.peak_tokens <= totals.peak_blocks * block, || {
            format!(
                "{} tokens in {} blocks",
                totals.peak_tokens, totals.peak_blocks
            )
        })?;
        // What all hold together at most: their whole lengths and the next block, while they are served.
        let held: f64 = seen
            .done()
            .map(|r| (needs(r) + 1) as f64 * (r.end - r.start))
            .sum();
        let draft = server
            .speculative
            .as_ref()
            .map_or(0, |draft| draft.draft_tokens);
        if !server.async_scheduling && draft == 0 && totals.preemptions == 0 {
            ensure(blocks_s <= held * (1.0 + 1e-9) + 1e-9, || {
                format!("{blocks_s} block s, and the requests held {held} at most")
            })?;
        }
    }
    if server.kv.preemption == Preemption::Recompute {
        ensure(totals.swapped_blocks == 0 && totals.swap_s == 0.0, || {
            format!("{} blocks swapped without swapping", totals.swapped_blocks)
        })?;
    }
    Ok(())
}

fn cache_within_capacity(seen: &Seen<'_>) -> Result<(), String> {
    if let Some((_, totals, server)) = seen.served() {
        let Some(blocks) = totals.blocks else {
            return Ok(());
        };
        ensure(totals.peak_blocks <= blocks, || {
            format!("{} of {blocks} blocks in use", totals.peak_blocks)
        })?;
        let tokens = blocks as f64 * f64::from(server.kv.block_tokens);
        let mean = seen
            .summary()
            .continuous
            .as_ref()
            .map_or(0.0, |c| c.kv.mean_tokens);
        if server.kv.prefix.reuse == Reuse::Off {
            let all = tokens * totals.busy_s.len() as f64;
            ensure(mean <= all * (1.0 + 1e-9), || {
                format!("{mean} tokens on average in room for {all}")
            })?;
        }
        return Ok(());
    }
    let b = &seen.outcome.batches;
    let looks = matches!(
        seen.scenario.policy(),
        Some(Policy::Dynamic | Policy::MultiBinDynamic)
    );
    let (mut over, mut peak) = (0, 0);
    for i in 0..b.len() {
        let members = seen
            .outcome
            .requests
            .members(b, i)
            .iter()
            .map(|&row| row as usize);
        let tokens: u64 = members
            .map(|row| u64::from(seen.trace.prompt[row]) + u64::from(seen.trace.output[row]))
            .sum();
        let exceeds = seen.scenario.memory().exceeds_limit(tokens);
        over += u64::from(exceeds);
        peak = peak.max(tokens);
        ensure(!(looks && exceeds && b.size[i] > 1), || {
            format!("batch {i} of {tokens} tokens")
        })?;
    }
    let honest = &seen.summary().honest;
    ensure(
        (honest.batches_over_memory, honest.peak_batch_tokens) == (over, peak),
        || {
            format!(
                "{} batches over memory and a peak of {} tokens, not {over} and {peak}",
                honest.batches_over_memory, honest.peak_batch_tokens
            )
        },
    )
}

fn utilisation(seen: &Seen<'_>) -> Result<(), String> {
    let u = &seen.summary().honest.utilization;
    let top = 1.0 + 1e-9;
    for (i, &share) in u.per_gpu.iter().enumerate() {
        ensure((0.0..=top).contains(&share), || {
            format!("GPU {i} is busy for a share of {share}")
        })?;
    }
    let n = u.per_gpu.len() as f64;
    let (low, high) = (
        u.per_gpu.iter().copied().fold(f64::INFINITY, f64::min),
        u.per_gpu.iter().copied().fold(0.0, f64::max),
    );
    let mean = u.per_gpu.iter().sum::<f64>() / n;
    ensure(
        (u.min, u.max) == (low, high) && near(u.mean, mean, 1.0),
        || {
            format!(
                "mean {}, min {}, max {} of {:?}",
                u.mean, u.min, u.max, u.per_gpu
            )
        },
    )?;
    let makespan = seen.summary().honest.makespan_s;
    if let Some((_, totals, _)) = seen.served() {
        let busy: f64 = totals.busy_s.iter().sum();
        if seen.whole() && makespan > 0.0 {
            let share = busy / (makespan * totals.busy_s.len() as f64);
            ensure(near(u.mean, share, 1.0), || {
                format!("{} and {share} by busy time", u.mean)
            })?;
        }
        let series = totals.series.integral(Level::Busy);
        ensure(near(series, busy, busy * 10.0), || {
            format!("busy {series} s in the series and {busy} in total")
        })?;
    } else {
        let b = &seen.outcome.batches;
        let busy: f64 = b.service.iter().sum();
        let share = busy / (makespan * f64::from(seen.scenario.fleet.gpus));
        ensure(near(u.mean, share, 1.0), || {
            format!("{} and {share} by service times", u.mean)
        })?;
        let p = seen.summary().published();
        let published = [
            p.gpu_utilization_mean,
            p.gpu_utilization_min,
            p.gpu_utilization_max,
        ];
        ensure(near(published[0], u.mean, 1.0), || {
            format!("published {published:?}, honest {u:?}")
        })?;
    }
    Ok(())
}

/// Every distribution of a summary, by its path.
fn distributions(summary: &Value) -> Vec<(String, Distribution)> {
    fn walk(value: &Value, path: &str, found: &mut Vec<(String, Distribution)>) {
        if let Ok(distribution) = serde_json::from_value(value.clone())
            && value.get("p999").is_some()
        {
            found.push((path.to_owned(), distribution));
            return;
        }
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(name, v)| walk(v, &format!("{path}.{name}"), found)),
            Value::Array(list) => list
                .iter()
                .for_each(|v| walk(v, &format!("{path}[]"), found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for part in ["honest", "continuous"] {
        walk(&summary[part], part, &mut found);
    }
    found
}

fn percentiles_in_order(seen: &Seen<'_>) -> Result<(), String> {
    let summary = serde_json::to_value(seen.summary()).map_err(|e| e.to_string())?;
    for (path, d) in distributions(&summary) {
        let points = [d.p50, d.p90, d.p95, d.p99, d.p999, d.max];
        ensure(points.is_sorted() && d.count > 0, || {
            format!("{path}: {d:?}")
        })?;
        ensure(
            d.mean <= d.max * (1.0 + 1e-12) && d.mean >= 0.0 && d.p50 >= 0.0,
            || format!("{path}: {d:?}"),
        )?;
    }
    let p = seen.summary().published.as_ref();
    if let Some(p) = p {
        for points in [
            [
                p.p50_latency_s,
                p.p95_latency_s,
                p.p99_latency_s,
                p.max_latency_s,
            ],
            [
                p.p95_tbt_ms.min(p.p99_tbt_ms),
                p.p95_tbt_ms,
                p.p99_tbt_ms,
                p.max_tbt_ms,
            ],
        ] {
            ensure(points.is_sorted(), || format!("published: {points:?}"))?;
        }
        ensure(p.avg_latency_s <= p.max_latency_s * (1.0 + 1e-12), || {
            format!(
                "published latency of {} on average, {} at most",
                p.avg_latency_s, p.max_latency_s
            )
        })?;
    }
    Ok(())
}

/// The distributions over requests are those of the requests' own times.
fn distributions_of_the_requests(seen: &Seen<'_>) -> Result<(), String> {
    if !seen.whole() {
        return Ok(());
    }
    let honest = &seen.summary().honest;
    let of = |value: fn(&Request) -> f64| -> Vec<f64> {
        let mut values: Vec<f64> = seen.done().filter(|r| r.output > 0).map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let mut all = vec![
        (
            "queueing_s",
            &honest.queueing_s,
            of(|r| r.start - r.arrival),
        ),
        ("e2e_s", &honest.e2e_s, of(|r| r.end - r.arrival)),
    ];
    if seen.served().is_some() {
        all.push(("ttft_s", &honest.ttft_s, of(|r| r.first_token - r.arrival)));
    }
    for (name, given, sorted) in all {
        let Some(d) = given else {
            ensure(sorted.is_empty(), || {
                format!("{name} is absent, and {} requests have it", sorted.len())
            })?;
            continue;
        };
        let n = sorted.len();
        ensure(n as u64 == d.count && n > 0, || {
            format!("{name} of {} requests, not {n}", d.count)
        })?;
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let scale = sorted[n - 1].abs();
        ensure(near(d.mean, mean, scale), || {
            format!("{name}: mean {}, not {mean}", d.mean)
        })?;
        ensure(d.max == sorted[n - 1], || {
            format!("{name}: max {}, not {}", d.max, sorted[n - 1])
        })?;
        ensure(d.mean >= sorted[0] - 1e-12 * scale, || {
            format!("{name}: mean {} below {}", d.mean, sorted[0])
        })?;
        for (q, got) in [
            (0.5, d.p50),
            (0.9, d.p90),
            (0.95, d.p95),
            (0.99, d.p99),
            (0.999, d.p999),
        ] {
            let place = (n - 1) as f64 * q;
            let (low, high) = (
                sorted[place.floor() as usize],
                sorted[place.ceil() as usize],
            );
            let want = low + (high - low) * place.fract();
            ensure(near(got, want, scale), || {
                format!("{name}: quantile {q} is {got}, not {want}")
            })?;
        }
    }
    Ok(())
}

fn shares(seen: &Seen<'_>) -> Result<(), String> {
    let honest = &seen.summary().honest;
    let s = &honest.sla;
    let c = seen.summary().continuous.as_ref();
    let all = [
        ("sla.token", s.token),
        ("sla.request", s.request),
        ("sla.joint", s.joint),
        ("sla.ttft", s.ttft),
        ("padding_waste", honest.padding_waste),
        (
            "prediction.bin_accuracy",
            honest.prediction.and_then(|p| p.bin_accuracy),
        ),
        ("tbt_within_sla", c.and_then(|c| c.tbt_within_sla)),
        (
            "prefix.hit_rate",
            c.and_then(|c| c.prefix.as_ref()?.hit_rate),
        ),
        (
            "speculative.accept_rate",
            c.and_then(|c| c.speculative.as_ref()?.accept_rate),
        ),
        (
            "fairness.sessions_jain",
            c.and_then(|c| c.fairness.sessions_jain),
        ),
    ];
    for (name, share) in all {
        let Some(share) = share else { continue };
        ensure((0.0..=1.0 + 1e-12).contains(&share), || {
            format!("{name} is {share}")
        })?;
    }
    let least = [s.token, s.request, s.ttft]
        .into_iter()
        .flatten()
        .fold(1.0, f64::min);
    ensure(s.joint.is_none_or(|joint| joint <= least), || {
        format!("{s:?}")
    })?;
    ensure(
        honest.goodput_requests_per_s <= honest.served_requests_per_s * (1.0 + 1e-12),
        || {
            format!(
                "goodput {} above {}",
                honest.goodput_requests_per_s, honest.served_requests_per_s
            )
        },
    )
}

/// JSON has no NaN and no infinity: a summary that has one does not come back as it was.
fn finite(seen: &Seen<'_>) -> Result<(), String> {
    let text = serde_json::to_string(seen.summary()).map_err(|e| e.to_string())?;
    let back: Summary = serde_json::from_str(&text).map_err(|e| format!("the summary: {e}"))?;
    ensure(back == *seen.summary(), || {
        "the summary changes when it is written and read".to_owned()
    })?;
    let makespan = seen.summary().honest.makespan_s;
    ensure(makespan.is_finite() && makespan >= 0.0, || {
        format!("makespan {makespan}")
    })
}

fn littles_law(seen: &Seen<'_>) -> Result<(), String> {
    if !seen.whole() {
        return Ok(());
    }
    let honest = &seen.summary().honest;
    let timeout = seen
        .served()
        .and_then(|(_, _, server)| server.admission.timeout_s);
    let gone = |r: &Request| match r.fate {
        Fate::Done => r.end,
        Fate::TimedOut => r.arrival + timeout.unwrap_or(0.0),
        _ => r.arrival,
    };
    let there: f64 = seen.requests.iter().map(|r| gone(r) - r.arrival).sum();
    let area = honest.mean_in_system * honest.makespan_s;
    if honest.makespan_s > 0.0 {
        ensure(near(area, there, there), || {
            format!("{area} request s by the mean, {there} by the requests")
        })?;
    }
    match seen.served() {
        Some((_, totals, server)) => {
            let waiting = totals.series.integral(Level::Waiting);
            let running = totals.series.integral(Level::Running);
            // Those who were turned away later waited too.
            if server.admission.max_waiting.is_none() {
                ensure(near(waiting + running, there, there * 100.0), || {
                    format!(
                        "{waiting} waiting and {running} running in the series, {there} by the requests"
                    )
                })?;
            }
        }
        None => {
            let waited: f64 = seen.done().map(|r| r.start - r.arrival).sum();
            let buckets = 16;
            let series = figures::series(seen.trace, seen.outcome, buckets);
            let area = series.waiting_mean.iter().sum::<f64>() * honest.makespan_s / buckets as f64;
            ensure(near(area, waited, honest.makespan_s), || {
                format!("{area} waited in the series, {waited} by the requests")
            })?;
        }
    }
    Ok(())
}

fn intervals(seen: &Seen<'_>) -> Result<(), String> {
    let Some(c) = &seen.summary().continuous else {
        return Ok(());
    };
    for i in &c.statistics.intervals {
        ensure(i.low <= i.value && i.value <= i.high, || format!("{i:?}"))?;
    }
    Ok(())
}
