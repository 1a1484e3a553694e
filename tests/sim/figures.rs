//! Figures of a run with continuous batching, counted a second time from its requests and steps.

use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::hardware::Card;
use batchscope::latency::roofline::Ceiling;
use batchscope::metrics::{Outcome, Summary, figures, rows};
use batchscope::scenario::put_on_hardware;
use batchscope::sched::Policy;
use batchscope::sched::continuous::kv::Capacity;
use batchscope::sched::continuous::{Class, Warmup};
use batchscope::sim::Run;
use batchscope::sim::continuous::{Fate, StepRow};
use batchscope::trace::Labels;
use batchscope::trace::synth::{Shape, Synthetic};
use batchscope::{Scenario, Trace, simulate};
use proptest::prelude::*;

/// One step of a replica.
struct Step {
    replica: usize,
    start: f64,
    end: f64,
    sequences: f64,
    prompt_tokens: f64,
    /// In the cache before it.
    tokens: f64,
}

/// Rows of like steps, step by step.
fn steps(rows: &[StepRow]) -> Vec<Step> {
    let mut steps = Vec::new();
    for row in rows {
        let n = f64::from(row.steps);
        let all = row.end_s - row.start_s;
        let slope = if row.steps > 1 {
            2.0 * (all - n * row.first_s) / (n * (n - 1.0))
        } else {
            0.0
        };
        for k in 0..row.steps {
            let k = f64::from(k);
            let until = |k: f64| row.start_s + k * row.first_s + slope * k * (k - 1.0) / 2.0;
            steps.push(Step {
                replica: usize::from(row.replica),
                start: until(k),
                end: if k + 1.0 == n {
                    row.end_s
                } else {
                    until(k + 1.0)
                },
                sequences: f64::from(row.sequences),
                prompt_tokens: f64::from(row.prompt_tokens),
                tokens: row.tokens as f64 + k * f64::from(row.sequences),
            });
        }
    }
    steps
}

/// A request that was served; times in s.
struct Served {
    replica: usize,
    arrival: f64,
    joined: f64,
    first: f64,
    done: f64,
    prompt: f64,
    output: f64,
}

struct Seen {
    summary: Summary,
    steps: Vec<Step>,
    requests: Vec<Served>,
    end: f64,
}

fn run(trace: &Trace, scenario: &Scenario) -> Seen {
    let mut run = Run::new(trace, scenario).unwrap();
    run.record_steps();
    while !run.advance(trace, 1 << 20) {}
    let rows = run.take_steps().unwrap();
    let outcome = Outcome::of(trace, run.finish());
    let (served, _) = &**outcome.served.as_ref().unwrap();
    let arrivals = outcome.requests.arrivals(trace);
    let requests = (0..trace.arrival.len()).map(|row| {
        assert_eq!(served.fate[row], Fate::Done);
        Served {
            replica: usize::from(served.replica[row]),
            arrival: arrivals.of(row),
            joined: served.joined_s[row],
            first: served.first_token_s[row],
            done: served.done_s[row],
            prompt: f64::from(trace.prompt[row].max(1)),
            output: f64::from(trace.output[row]),
        }
    });
    let steps = steps(&rows);
    Seen {
        requests: requests.collect(),
        end: steps.iter().map(|s| s.end).fold(0.0, f64::max),
        steps,
        summary: outcome.summary,
    }
}

/// Without preemption, rejection or prefix cache.
fn plenty(replicas: u32, budget: u32, warmup: Warmup) -> Scenario {
    let mut scenario = Scenario::continuous();
    scenario.fleet.gpus = replicas;
    let (model, card) = ("llama-3.1-8b", Card::preset("h100").unwrap());
    let model = Architecture::preset(model).unwrap();
    put_on_hardware(&mut scenario, &model, Precision::F16, &card, 1, 0.9).unwrap();
    if let Some(server) = scenario.server_mut() {
        server.kv.capacity = Capacity::Unlimited;
        server.max_batched_tokens = budget;
        server.max_sequences = 16;
        server.warmup = warmup;
    }
    scenario.sla.token_ms = 6.0;
    scenario.sla.ttft_s = Some(0.05);
    scenario.sla.request_s = 0.3;
    scenario
}

fn trace() -> impl Strategy<Value = Trace> {
    let request = (0.0..0.05f64, 1u32..400, 1u32..60);
    prop::collection::vec(request, 40..160).prop_map(|requests| {
        let mut at = 0.0;
        let mut trace = Trace::default();
        for (gap, prompt, output) in requests {
            at += gap;
            trace.arrival.push(at);
            trace.prompt.push(prompt);
            trace.output.push(output);
        }
        trace
    })
}

fn is(name: &str, got: f64, want: f64) -> Result<(), TestCaseError> {
    let near = (got - want).abs() <= 1e-9 * want.abs().max(1e-6);
    prop_assert!(near, "{name} is {got}, counted again it is {want}");
    Ok(())
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.sum()
}

/// Rates, shares and levels between a moment and another; requests by their arrival from `first` on.
struct Counted {
    steps: f64,
    decoded: f64,
    prompt_tokens: f64,
    emitted: f64,
    served: f64,
    seconds: f64,
    busy: f64,
    tokens_s: f64,
    /// Of the steps that ended.
    work_s: f64,
    /// Tokens computed, keys and values that decoding read, and pairs within prompts, each of one step.
    computed: f64,
    context: f64,
    pairs: f64,
}

impl Counted {
    fn between(seen: &Seen, from: f64, to: f64) -> Counted {
        let inside = |at: f64| at > from && at <= to;
        let overlap = |s: &Step| (s.end.min(to) - s.start.max(from)).max(0.0);
        let ended = || seen.steps.iter().filter(|s| inside(s.end));
        let begun = || seen.requests.iter().filter(|r| inside(r.first));
        let firsts = begun().count();
        // The k-th token behind the first of a request reads its prompt and k tokens.
        let (mut context, mut decoded) = (0.0, 0.0);
        for r in &seen.requests {
            let within = |s: &&Step| s.end > r.first && s.end <= r.done;
            let own = seen.steps.iter().filter(|s| s.replica == r.replica);
            for (k, step) in (1u32..).zip(own.filter(within)) {
                if inside(step.end) {
                    context += r.prompt + f64::from(k);
                    decoded += 1.0;
                }
            }
        }
        Counted {
            steps: ended().count() as f64,
            decoded: sum(ended().map(|s| s.sequences)),
            prompt_tokens: sum(ended().map(|s| s.prompt_tokens)),
            emitted: sum(ended().map(|s| s.sequences)) + firsts as f64,
            served: seen.requests.iter().filter(|r| inside(r.done)).count() as f64,
            seconds: to - from,
            busy: sum(seen.steps.iter().map(overlap)),
            tokens_s: sum(seen.steps.iter().map(|s| overlap(s) * s.tokens)),
            work_s: sum(ended().map(|s| s.end - s.start)),
            computed: decoded + sum(begun().map(|r| r.prompt)),
            context,
            pairs: sum(begun().map(|r| r.prompt * (r.prompt + 1.0) / 2.0)),
        }
    }

    /// Of the peaks of arithmetic and of bandwidth, where each prompt is one step.
    fn shares(&self, ceiling: &Ceiling) -> [f64; 2] {
        let flops =
            ceiling.token_flops * self.computed + ceiling.pair_flops * (self.context + self.pairs);
        let bytes = ceiling.weight_bytes * self.steps
            + ceiling.token_bytes * (self.context + self.computed);
        [
            flops / ceiling.peak_flops / self.work_s,
            bytes / ceiling.bandwidth_bytes_per_s / self.work_s,
        ]
    }
}

fn check(seen: &Seen, scenario: &Scenario, warm: usize) -> Result<(), TestCaseError> {
    let replicas = f64::from(scenario.fleet.gpus);
    let (h, c) = (
        &seen.summary.honest,
        seen.summary.continuous.as_ref().unwrap(),
    );
    // The marks: the arrivals with which twentieths of all begin.
    let all = seen.requests.len();
    let mark = |part: usize| match part {
        20 => seen.end,
        _ => seen.requests[(part * all).div_ceil(20)]
            .arrival
            .min(seen.end),
    };
    let first = (warm * all).div_ceil(20);
    let from = if warm == 0 { 0.0 } else { mark(warm) };
    let counted = Counted::between(seen, from, seen.end);
    let later = &seen.requests[first..];
    is("warm-up", c.statistics.warmup_requests as f64, first as f64)?;
    is("steps", c.steps as f64, counted.steps)?;
    is("batch", c.mean_batch, counted.decoded / counted.steps)?;
    is(
        "prompt tokens",
        c.mean_prompt_tokens,
        counted.prompt_tokens / counted.steps,
    )?;
    is(
        "tokens",
        c.kv.mean_tokens,
        counted.tokens_s / counted.seconds,
    )?;
    let token_bytes = scenario.memory().kv_gb_per_token * 1e9;
    is(
        "bytes",
        c.kv.mean_bytes,
        counted.tokens_s / counted.seconds * token_bytes,
    )?;
    is(
        "peak bytes",
        c.kv.peak_bytes,
        c.kv.peak_tokens as f64 * token_bytes,
    )?;
    is(
        "busy",
        h.utilization.mean,
        counted.busy / counted.seconds / replicas,
    )?;
    is(
        "output",
        h.output_tokens_per_s,
        counted.emitted / counted.seconds,
    )?;
    is(
        "served",
        h.served_requests_per_s,
        counted.served / counted.seconds,
    )?;
    let prompts = seen.requests.iter().filter(|r| r.first > from);
    let tokens = counted.emitted + sum(prompts.map(|r| r.prompt));
    is(
        "tokens served",
        h.served_tokens_per_s,
        tokens / counted.seconds,
    )?;
    let there = seen
        .requests
        .iter()
        .map(|r| (r.done - r.arrival.max(from)).max(0.0));
    is("in system", h.mean_in_system, sum(there) / counted.seconds)?;
    let span = seen.requests[all - 1].arrival - from;
    is(
        "offered",
        h.offered_requests_per_s.unwrap(),
        later.len() as f64 / span,
    )?;
    let offered = sum(later.iter().map(|r| r.prompt + r.output));
    is(
        "tokens offered",
        h.offered_tokens_per_s.unwrap(),
        offered / span,
    )?;
    let mean = |of: &dyn Fn(&Served) -> f64| sum(later.iter().map(of)) / later.len() as f64;
    is(
        "queueing",
        h.queueing_s.unwrap().mean,
        mean(&|r| r.joined - r.arrival),
    )?;
    is(
        "ttft",
        h.ttft_s.unwrap().mean,
        mean(&|r| r.first - r.arrival),
    )?;
    is(
        "latency",
        h.e2e_s.unwrap().mean,
        mean(&|r| r.done - r.arrival),
    )?;
    let sla = &scenario.sla;
    let in_token =
        |r: &Served| r.output < 2.0 || (r.done - r.first) / (r.output - 1.0) <= sla.token_ms / 1e3;
    let in_time = |r: &Served| r.done - r.arrival <= sla.request_s;
    let in_first = |r: &Served| r.first - r.arrival <= sla.ttft_s.unwrap();
    let all_kept = |r: &Served| in_token(r) && in_time(r) && in_first(r);
    let share = |of: &dyn Fn(&Served) -> bool| mean(&|r| f64::from(u8::from(of(r))));
    is("token SLA", h.sla.token.unwrap(), share(&in_token))?;
    is("request SLA", h.sla.request.unwrap(), share(&in_time))?;
    is("TTFT SLA", h.sla.ttft.unwrap(), share(&in_first))?;
    is("all SLAs", h.sla.joint.unwrap(), share(&all_kept))?;
    let kept = seen
        .requests
        .iter()
        .filter(|r| r.done > from && all_kept(r))
        .count() as f64;
    is("goodput", h.goodput_requests_per_s, kept / counted.seconds)?;
    for (replica, &share) in h.utilization.per_gpu.iter().enumerate() {
        let own = seen.steps.iter().filter(|s| s.replica == replica);
        let busy = sum(own.map(|s| (s.end - s.start.max(from)).max(0.0)));
        is("a replica's share", share, busy / counted.seconds)?;
    }
    // Everything that the model computed and read.
    let Some(server) = scenario.server() else {
        panic!("no server");
    };
    let ceiling = server.ceiling.as_ref().unwrap();
    intervals(
        seen,
        warm,
        replicas,
        &mark,
        ceiling,
        server.max_batched_tokens,
    )?;
    // Where a prompt takes several steps, the pairs of each are not known here.
    if warm > 0 && server.max_batched_tokens < 8192 {
        return Ok(());
    }
    let [mfu, mbu] = counted.shares(ceiling);
    is("MFU", c.mfu.unwrap(), mfu)?;
    is("MBU", c.mbu.unwrap(), mbu)?;
    if warm > 0 {
        return Ok(());
    }
    let peak = seen
        .steps
        .iter()
        .map(|s| s.tokens + s.sequences + s.prompt_tokens);
    is("peak", c.kv.peak_tokens as f64, peak.fold(0.0, f64::max))?;
    let decoded = sum(seen.requests.iter().map(|r| r.output - 1.0));
    is("gaps", c.tbt_ms.unwrap().count as f64, decoded)?;
    let gaps = sum(seen.requests.iter().map(|r| r.done - r.first));
    is("mean gap", c.tbt_ms.unwrap().mean, gaps / decoded * 1e3)
}

/// Student's t, 97.5 %, of 19 and 13 degrees of freedom (tables).
const T_19: f64 = 2.093_024_054_408_263;
const T_13: f64 = 2.160_368_656_461_012_7;

const SHARES: [&str; 3] = [
    "honest.utilization.mean",
    "continuous.mfu",
    "continuous.mbu",
];

/// Intervals by batch means: around the figure of the whole, as wide as the parts differ.
fn intervals(
    seen: &Seen,
    warm: usize,
    replicas: f64,
    mark: &dyn Fn(usize) -> f64,
    ceiling: &Ceiling,
    budget: u32,
) -> Result<(), TestCaseError> {
    let statistics = &seen.summary.continuous.as_ref().unwrap().statistics;
    let parts: Vec<Counted> = (warm..20)
        .map(|part| {
            let from = if part == 0 { 0.0 } else { mark(part) };
            Counted::between(seen, from, mark(part + 1))
        })
        .collect();
    prop_assert_eq!(statistics.parts as usize, parts.len());
    let t = if warm == 0 { T_19 } else { T_13 };
    type Of<'a> = &'a dyn Fn(&Counted) -> f64;
    let figures: [(&str, Of<'_>); 8] = [
        ("continuous.mfu", &|c| c.shares(ceiling)[0]),
        ("continuous.mbu", &|c| c.shares(ceiling)[1]),
        ("honest.served_requests_per_s", &|c| c.served / c.seconds),
        ("honest.output_tokens_per_s", &|c| c.emitted / c.seconds),
        ("continuous.mean_batch", &|c| c.decoded / c.steps.max(1.0)),
        ("continuous.mean_prompt_tokens", &|c| {
            c.prompt_tokens / c.steps.max(1.0)
        }),
        ("continuous.kv.mean_tokens", &|c| c.tokens_s / c.seconds),
        ("honest.utilization.mean", &|c| c.busy / c.seconds),
    ];
    // Where a prompt takes several steps, the pairs of each are not known here.
    let known = if budget < 8192 { 2 } else { 0 };
    for (name, of) in figures.into_iter().skip(known) {
        let scale = if name.ends_with("utilization.mean") {
            replicas
        } else {
            1.0
        };
        let values: Vec<f64> = parts.iter().map(|part| of(part) / scale).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
        let half = t * (squares / (n - 1.0) / n).sqrt();
        let Some(interval) = statistics.intervals.iter().find(|i| i.figure == name) else {
            // A part that takes no time has no rates; what is too wide or does not vary says nothing.
            let no_time = parts
                .iter()
                .any(|part| part.seconds <= 0.0 || part.work_s <= 0.0);
            let says_nothing = half > mean || half < 1e-12 * mean;
            prop_assert!(no_time || says_nothing, "{name}: {values:?}");
            continue;
        };
        let value = interval.value;
        let ends = if SHARES.contains(&name) {
            // In the log-odds.
            let (odds, half) = ((value / (1.0 - value)).ln(), half / (value * (1.0 - value)));
            [odds - half, odds + half].map(|x| 1.0 / (1.0 + (-x).exp()))
        } else {
            [-half / value, half / value].map(|x| value * x.exp())
        };
        for (got, want) in [(interval.low, ends[0]), (interval.high, ends[1])] {
            // The simulator's t is an expansion: Hill, Algorithm 396.
            let near = (got - want).abs() <= 1e-6 * want.abs();
            prop_assert!(near, "{name} ends at {got}, counted again at {want}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_figure_follows_from_requests_and_steps(
        trace in trace(),
        replicas in 1u32..3,
        warm in prop::sample::select(vec![0usize, 6]),
        budget in prop::sample::select(vec![64, 256, 8192]),
    ) {
        let warmup = if warm == 0 { Warmup::None } else { Warmup::Share(warm as f64 / 20.0) };
        let scenario = plenty(replicas, budget, warmup);
        check(&run(&trace, &scenario), &scenario, warm)?;
    }
}

/// Two classes in three sessions, by hand: every step lasts 1 s and takes all prompts.
#[test]
fn fairness_and_rows_are_those_of_the_requests() {
    let trace = Trace {
        arrival: vec![0.0, 0.0, 2.0, 2.0],
        prompt: vec![4, 4, 4, 4],
        output: vec![1, 3, 2, 4],
        session: Some(vec![0, 1, 0, 2]),
        log_type: Some(Labels {
            names: vec!["chat".to_owned(), "api".to_owned()],
            ids: vec![0, 1, 1, 0],
        }),
        ..Trace::default()
    };
    let mut scenario = Scenario::continuous();
    scenario.fleet.gpus = 1;
    if let Some(server) = scenario.server_mut() {
        server.latency = serde_json::from_value(serde_json::json!({"linear": {
            "c0_s": 1.0, "c1_s_per_sequence": 0.0, "c2_s_per_context_token": 0.0,
            "c3_s_per_prefill_token": 0.0, "compute": null
        }}))
        .unwrap();
        server.classes = vec![Class {
            label: "chat".to_owned(),
            level: 0.0,
            deadline_s: None,
        }];
    }
    let outcome = batchscope::simulate(&trace, &scenario).unwrap();
    // All join at once: latencies 1, 3, 2 and 4 s, a second a token.
    let fairness = &outcome.summary.continuous.as_ref().unwrap().fairness;
    assert_eq!(fairness.sessions_jain, Some(1.0));
    let means: Vec<(&str, f64, f64)> = fairness
        .classes
        .iter()
        .map(|class| (&*class.label, class.ttft_s.mean, class.e2e_s.mean))
        .collect();
    assert_eq!(means, [("chat", 1.0, 2.5), ("api", 1.0, 2.5)]);
    let mut csv = Vec::new();
    rows::requests_csv(&trace, &outcome, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 5);
    let cell = |row: usize, name: &str| {
        let column = lines[0].split(',').position(|head| head == name).unwrap();
        lines[row]
            .split(',')
            .nth(column)
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    for (row, arrival, output) in [(1, 0.0, 1.0), (2, 0.0, 3.0), (3, 2.0, 2.0), (4, 2.0, 4.0)] {
        for (name, want) in [
            ("request", row as f64),
            ("arrival_s", arrival),
            ("joined_s", arrival),
            ("first_token_s", arrival + 1.0),
            ("done_s", arrival + output),
            ("queueing_s", 0.0),
            ("ttft_s", 1.0),
            ("latency_s", output),
        ] {
            assert_eq!(cell(row, name), want, "{name} of {row}: {csv}");
        }
        if output > 1.0 {
            assert_eq!(cell(row, "tpot_ms"), 1000.0, "{csv}");
        }
    }
    // Sessions that fare differently: per token 1 s, and 2.5 s for the one that waits.
    let waits = Trace {
        arrival: vec![0.0, 0.0],
        prompt: vec![4, 4],
        output: vec![1, 2],
        session: Some(vec![0, 1]),
        ..Trace::default()
    };
    if let Some(server) = scenario.server_mut() {
        server.max_sequences = 1;
        server.classes.clear();
    }
    let outcome = batchscope::simulate(&waits, &scenario).unwrap();
    let jain = outcome.summary.continuous.unwrap().fairness.sessions_jain;
    // 1 s and 3/2 s a token.
    assert_eq!(jain, Some(2.5 * 2.5 / (2.0 * (1.0 + 2.25))));
}

/// Three batches of closed batching, one after another, and each event in a slice of its own.
#[test]
fn closed_batches_over_time() {
    let mut scenario = Scenario::default();
    scenario.fleet.gpus = 1;
    scenario.closed_mut().policy = Policy::StaticFifo;
    scenario.closed_mut().latency = serde_json::from_value(serde_json::json!({"linear": {
        "alpha_s": 2.0, "beta_s_per_token": 0.0, "gamma": 0.0, "growth": 0.0, "floor_s": 1e-9
    }}))
    .unwrap();
    let trace = Trace {
        arrival: vec![0.0, 4.0, 6.0],
        prompt: vec![1; 3],
        output: vec![1; 3],
        ..Trace::default()
    };
    let outcome = batchscope::simulate(&trace, &scenario).unwrap();
    // Busy from 0 to 2, 4 to 6 and 6 to 8.
    let series = figures::series(&trace, &outcome, 4);
    assert_eq!(series.t_s, [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(series.busy_gpus, [1.0, 0.0, 1.0, 1.0]);
    let mut run = Run::new(&trace, &scenario).unwrap();
    let mut slices = 1;
    while !run.advance(&trace, 1) {
        slices += 1;
    }
    // Three arrivals and three ends, and the slice that finds nothing more.
    assert_eq!(slices, 7);
}

/// What the laboratory draws of closed batches, from the rows that the command line writes.
#[test]
fn curves_of_closed_batches_are_those_of_their_rows() {
    let trace = Synthetic {
        requests: 600,
        shape: Shape::BurstgptLike,
    }
    .generate(3)
    .unwrap();
    let mut scenario = Scenario::default();
    scenario.workload.time_scale = 200.0;
    scenario.fleet.gpus = 2;
    let outcome = simulate(&trace, &scenario).unwrap();
    let mut csv = Vec::new();
    rows::requests_csv(&trace, &outcome, &mut csv).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|h| h == name).unwrap();
    let (ttft, latency, failed) = (at("ttft_s"), at("latency_s"), at("failed"));
    let good: Vec<csv::StringRecord> = reader
        .records()
        .map(Result::unwrap)
        .filter(|row| &row[failed] == "0" && !row[latency].is_empty())
        .collect();
    let column = |i: usize| {
        let mut all: Vec<f64> = good.iter().map(|row| row[i].parse().unwrap()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let cdfs = figures::served_cdfs(&trace, &outcome, 1_000_000);
    for (found, wanted) in [(&cdfs.ttft, column(ttft)), (&cdfs.latency, column(latency))] {
        assert!(found.latency_s.len() > 50 && found.fraction.last() == Some(&1.0));
        // Each point is the share of the rows below it.
        for (x, share) in found.latency_s.iter().zip(&found.fraction) {
            let below = wanted.partition_point(|y| y < x) as f64 / wanted.len() as f64;
            assert!(
                (below - share).abs() < 1e-12,
                "{x}: {share}, and {below} of the rows"
            );
        }
    }
    // Requests in service over time are their service times.
    let series = figures::served_series(&trace, &outcome);
    let width = outcome.summary.honest.makespan_s / series.t_s.len() as f64;
    let batches = &outcome.batches;
    let served: f64 = (0..batches.len())
        .map(|i| f64::from(batches.size[i]) * (batches.end(i) - batches.start[i]))
        .sum();
    let drawn = series.running.iter().sum::<f64>() * width;
    assert!((drawn / served - 1.0).abs() < 1e-9, "{drawn} and {served}");
    assert!(series.kv_blocks.is_empty() && cdfs.tbt.latency_s.is_empty());
}
