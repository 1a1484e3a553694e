//! A load test of a real server, from its result file, and the same load simulated.

use serde::Serialize;

use super::server::{Times, times};
use crate::metrics::honest::Distribution;
use crate::quantiles::mean_and_quantiles;
use crate::results::{Benchmark, Load, Quantity, Request, Sent, Statistic};
use crate::scenario::{ClosedLoop, Scenario, Workload};
use crate::trace::random::{Purpose, Stream};
use crate::trace::synth::MAX_TOKENS;
use crate::words::{counted, short};
use crate::{Error, Trace, simulate};

/// Most requests that are replayed.
const MOST_REQUESTS: f64 = 1e6;
/// Requests of each user, or of an open loop, where the file does not say how many there were.
const PER_USER: f64 = 10.0;
const OF_A_RATE: f64 = 1000.0;

/// What is compared, with its name.
const COMPARED: [(Quantity, &str); 6] = [
    (Quantity::RequestRate, "requests/s"),
    (Quantity::OutputRate, "output tokens/s"),
    (Quantity::Ttft, "TTFT"),
    (Quantity::Tpot, "TPOT"),
    (Quantity::Itl, "ITL"),
    (Quantity::E2e, "E2E"),
];

/// A figure, predicted and measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub figure: &'static str,
    pub statistic: Statistic,
    /// s, 1/s or tokens/s; `None` where the file does not give it.
    pub measured: Option<f64>,
    /// Of the file's figure.
    pub field: Option<String>,
    /// `None` where the simulation has none, as gaps of outputs of one token.
    pub predicted: Option<f64>,
}

impl Row {
    /// (predicted - measured) / measured, where both are there and the measured is not 0.
    pub fn error(&self) -> Option<f64> {
        let measured = self.measured.filter(|&m| m > 0.0)?;
        Some(self.predicted? / measured - 1.0)
    }
}

/// A benchmark beside its simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    pub file: String,
    pub benchmark: String,
    /// How the requests were sent, in words.
    pub load: String,
    pub requests: usize,
    /// What the replay took for granted, and what it could not serve.
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
}

/// Simulates the load of a benchmark on the scenario's server. `load` takes the place of one that the file does not
/// give; seeds are the scenario's.
///
/// Errors: neither says how requests were sent; no lengths, or lengths that no request has; a scenario of closed batches,
/// or that serves none of the requests; as [`simulate`].
pub fn predict(
    benchmark: &Benchmark,
    scenario: &Scenario,
    load: Option<&Load>,
) -> Result<Prediction, Error> {
    let replay = replay(benchmark, scenario.seed, load)?;
    let mut scenario = scenario.clone();
    scenario.workload = Workload {
        closed_loop: replay.closed_loop,
        ..Workload::default()
    };
    let outcome = simulate(&replay.trace, &scenario)?;
    let served = times(&outcome, &replay.trace)?;
    let mut notes = replay.notes;
    let done = served.e2e.len();
    if done < replay.trace.len() {
        let left = counted((replay.trace.len() - done) as u64, "request");
        notes.push(format!("{left} could not be served by this server"));
    }
    let simulated = Simulated {
        span_s: outcome.summary.honest.makespan_s,
        gaps: outcome.summary.continuous.as_ref().and_then(|c| c.tbt_ms),
        served,
    };
    Ok(Prediction {
        file: benchmark.origin.file.clone(),
        benchmark: benchmark.what.clone(),
        load: replay.load,
        requests: replay.trace.len(),
        notes,
        rows: rows(benchmark, &simulated),
    })
}

/// What a run gave.
struct Simulated {
    span_s: f64,
    served: Times,
    /// Of all gaps between tokens, ms.
    gaps: Option<Distribution>,
}

impl Simulated {
    /// In the order of [`Statistic::ALL`].
    fn figures(&self, quantity: Quantity) -> [Option<f64>; 5] {
        let rate = |amount: f64| {
            let rate = (self.span_s > 0.0).then(|| amount / self.span_s);
            [rate, None, None, None, None]
        };
        let of = |values: &[f64]| match values {
            [] => [None; 5],
            values => mean_and_quantiles(values).map(Some),
        };
        match quantity {
            Quantity::RequestRate => rate(self.served.e2e.len() as f64),
            Quantity::OutputRate => rate(self.served.tokens),
            Quantity::Ttft => of(&self.served.ttft),
            Quantity::Tpot => of(&self.served.tpot),
            Quantity::E2e => of(&self.served.e2e),
            Quantity::Itl => self.gaps.map_or([None; 5], |d| {
                [d.mean, d.p50, d.p90, d.p95, d.p99].map(|ms| Some(ms / 1e3))
            }),
            Quantity::Prompt | Quantity::Output => [None; 5],
        }
    }
}

fn rows(benchmark: &Benchmark, simulated: &Simulated) -> Vec<Row> {
    let mut rows = Vec::new();
    for (quantity, figure) in COMPARED {
        for (statistic, predicted) in Statistic::ALL.into_iter().zip(simulated.figures(quantity)) {
            let is_rate = matches!(quantity, Quantity::RequestRate | Quantity::OutputRate);
            if is_rate && statistic != Statistic::Mean {
                continue;
            }
            let found = benchmark.figure(quantity, statistic);
            rows.push(Row {
                figure,
                statistic,
                measured: found.map(|f| f.value),
                field: found.map(|f| f.field.clone()),
                predicted,
            });
        }
    }
    rows
}

/// The load of a benchmark as a run replays it.
struct Replay {
    trace: Trace,
    closed_loop: Option<ClosedLoop>,
    load: String,
    notes: Vec<String>,
}

fn replay(benchmark: &Benchmark, seed: u32, given: Option<&Load>) -> Result<Replay, Error> {
    let mut notes = Vec::new();
    let load = load_of(benchmark, given)?;
    let is_closed = matches!(load, Load::Users { .. });
    let known = !is_closed && benchmark.sent != Sent::Unknown && !benchmark.each.is_empty();
    let mut lengths = lengths(benchmark, load, known, &mut notes)?;
    let (mut closed_loop, mut arrival) = (None, vec![0.0; lengths.len()]);
    let said = match load {
        Load::Users { users } => {
            let users = as_users(*users, &mut lengths, &mut notes);
            arrival = vec![0.0; lengths.len()];
            closed_loop = Some(users);
            let users = counted(users.users, "user");
            format!("{users}, each with one request at a time")
        }
        _ if known => {
            let all = benchmark.each.iter();
            arrival = all.map(|r| r.sent_s.unwrap_or(0.0)).collect();
            arrival.sort_by(f64::total_cmp);
            sent_in_words(benchmark.sent).to_owned()
        }
        Load::Rate { per_s, steady } => {
            arrival = at_rate(lengths.len(), *per_s, *steady, seed);
            let how = if *steady {
                "at even distances"
            } else {
                notes.push(format!(
                    "the file gives a rate and no times of arrival; they are Poisson's, of seed {seed}"
                ));
                "Poisson arrivals"
            };
            format!("{} requests/s, {how}", short(*per_s))
        }
        Load::AtOnce => "all requests at once".to_owned(),
        Load::Unknown => return Err(no_load(benchmark)),
    };
    let (prompt, output) = lengths.into_iter().unzip();
    Ok(Replay {
        trace: Trace {
            name: benchmark.origin.file.clone(),
            arrival,
            prompt,
            output,
            ..Trace::default()
        },
        closed_loop,
        load: said,
        notes,
    })
}

/// The file's load, or the given one where the file has none.
fn load_of<'a>(benchmark: &'a Benchmark, given: Option<&'a Load>) -> Result<&'a Load, Error> {
    match (&benchmark.load, given) {
        (Load::Unknown, Some(given)) => Ok(given),
        (load, None) => Ok(load),
        (_, Some(_)) => Err(Error::contradiction(
            format!("{}, {}", benchmark.origin.file, benchmark.what),
            "the file says itself how requests were sent; leave out --users and --rate",
        )),
    }
}

fn no_load(benchmark: &Benchmark) -> Error {
    Error::contradiction(
        format!("{}, {}", benchmark.origin.file, benchmark.what),
        "the file does not say how requests were sent; say it with --users or --rate",
    )
}

/// Users with as many requests each; the first lengths come again where the requests do not divide.
fn as_users(users: u32, lengths: &mut Vec<(u32, u32)>, notes: &mut Vec<String>) -> ClosedLoop {
    let users = users.clamp(1, lengths.len() as u32);
    let requests_per_user = (lengths.len() as u32).div_ceil(users);
    let all = users as usize * requests_per_user as usize;
    if all > lengths.len() {
        notes.push(format!(
            "{} for {}, so that each of {users} users sends as many; the first lengths come again",
            counted(all as u64, "request"),
            lengths.len()
        ));
        *lengths = lengths.iter().copied().cycle().take(all).collect();
    }
    ClosedLoop {
        users,
        requests_per_user,
        ..ClosedLoop::default()
    }
}

fn sent_in_words(sent: Sent) -> &'static str {
    match sent {
        Sent::Regenerated => {
            "arrival times of vLLM's generator with seed 0, which explain the file's duration"
        }
        Sent::Given | Sent::Unknown => "the file's arrival times",
    }
}

fn at_rate(requests: usize, per_s: f64, steady: bool, seed: u32) -> Vec<f64> {
    let mut stream = Stream::new(seed, Purpose::Arrivals);
    let mut now = 0.0;
    let mut one = |_| {
        let at = now;
        now += if steady { 1.0 } else { stream.exponential() } / per_s;
        at
    };
    (0..requests).map(&mut one).collect()
}

/// Prompt and output of each request, in order of arrival where that is known.
fn lengths(
    benchmark: &Benchmark,
    load: &Load,
    in_order: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<(u32, u32)>, Error> {
    let each = &benchmark.each;
    if !each.is_empty() && each.iter().all(|r| r.prompt.is_some()) {
        let mut order: Vec<&Request> = each.iter().collect();
        if in_order {
            let sent = |r: &Request| r.sent_s.unwrap_or(0.0);
            order.sort_by(|a, b| sent(a).total_cmp(&sent(b)));
        }
        let empty = each.iter().filter(|r| r.output < 1.0).count();
        if empty > 0 {
            let some = counted(empty as u64, "request");
            notes.push(format!(
                "{some} without an output token in the file: 1 is simulated"
            ));
        }
        return order
            .into_iter()
            .map(|r| pair(benchmark, r.prompt.unwrap_or(0.0), r.output))
            .collect();
    }
    let (_, prompt) = benchmark.need(Quantity::Prompt)?;
    let (_, output) = benchmark.need(Quantity::Output)?;
    let requests = benchmark.requests.unwrap_or_else(|| {
        let requests = match load {
            Load::Users { users } => f64::from(*users) * PER_USER,
            _ => OF_A_RATE,
        };
        notes.push(format!(
            "the file does not say how many requests; {requests} are simulated"
        ));
        requests
    });
    if !(1.0..=MOST_REQUESTS).contains(&requests) {
        return Err(Error::too_large(
            format!("{}, {}", benchmark.origin.file, benchmark.what),
            format!("{requests} requests"),
            format!("1 to {MOST_REQUESTS} requests"),
        ));
    }
    notes.push("the file has no lengths of single requests; all have the mean lengths".to_owned());
    let one = pair(benchmark, prompt, output)?;
    Ok(vec![one; requests.round() as usize])
}

/// Whole lengths of at least a token.
fn pair(benchmark: &Benchmark, prompt: f64, output: f64) -> Result<(u32, u32), Error> {
    let whole = |quantity: Quantity, tokens: f64| {
        if tokens > f64::from(MAX_TOKENS) {
            let most = format!("at most {MAX_TOKENS} tokens");
            let field = benchmark.field(quantity);
            return Err(benchmark.origin.refuse(field, &tokens.to_string(), &most));
        }
        Ok(tokens.round().max(1.0) as u32)
    };
    Ok((
        whole(Quantity::Prompt, prompt)?,
        whole(Quantity::Output, output)?,
    ))
}
