//! The continuous engine against an engine that does every step (tests/step_oracle): the same fates, counts
//! and times on random traces and settings, every rule and feature among them.

mod step_oracle;

use std::sync::Mutex;

use batchscope::latency::step::{Compute, Step};
use batchscope::latency::{StepLatency, StepTable};
use batchscope::scenario::{ClosedLoop, Engine};
use batchscope::sched::Boundaries;
use batchscope::sched::continuous::kv::{Capacity, Eviction, Kv, Preemption, PrefixCache, Reuse};
use batchscope::sched::continuous::router::Router;
use batchscope::sched::continuous::speculative::Speculative;
use batchscope::sched::continuous::{Admission, Class, Order, Rule, Server};
use batchscope::sim::continuous::{Fate, Level};
use batchscope::trace::predict::Kind;
use batchscope::trace::{Labels, NO_SESSION, PrefixBlocks};
use batchscope::{Outcome, Scenario, Trace, simulate};
use proptest::prelude::*;
use step_oracle::Told;

/// One request in the making.
#[derive(Debug, Clone)]
struct Row {
    pause_s: f64,
    prompt: u32,
    output: u32,
    label: u8,
    session: u32,
    family: u32,
    /// Where its prompt leaves the family's.
    depth: u32,
}

fn row() -> impl Strategy<Value = Row> {
    (
        // Simultaneous arrivals, and pauses that no step's end will meet.
        prop_oneof![2 => Just(0.0), 5 => 0.0..0.9f64, 1 => 0.5..9.0f64],
        0..90u32,
        prop_oneof![1 => Just(0u32), 2 => Just(1u32), 12 => 2..50u32],
        0..2u8,
        prop_oneof![1 => Just(NO_SESSION), 4 => 0..5u32],
        0..3u32,
        0..8u32,
    )
        .prop_map(
            |(pause_s, prompt, output, label, session, family, depth)| Row {
                pause_s,
                prompt,
                output,
                label,
                session,
                family,
                depth,
            },
        )
}

fn trace_of(rows: &[Row], unit: u32) -> Trace {
    let mut trace = Trace {
        name: "drawn".to_owned(),
        ..Trace::default()
    };
    let (mut at, mut ids, mut sessions) = (0.0, Vec::new(), Vec::new());
    let mut prefix = PrefixBlocks {
        tokens_per_block: unit,
        offsets: vec![0],
        blocks: Vec::new(),
    };
    for (i, row) in (0u32..).zip(rows) {
        at += row.pause_s;
        trace.arrival.push(at);
        trace.prompt.push(row.prompt);
        trace.output.push(row.output);
        ids.push(row.label);
        sessions.push(row.session);
        for depth in 0..row.prompt.div_ceil(unit) {
            // Families share ids up to a depth; behind it every request has its own.
            let own = 1000 + i * 100 + depth;
            let shared = row.family * 50 + depth;
            prefix
                .blocks
                .push(if depth < row.depth { shared } else { own });
        }
        prefix.offsets.push(prefix.blocks.len() as u32);
    }
    trace.log_type = Some(Labels {
        names: vec!["chat".to_owned(), "api".to_owned()],
        ids,
    });
    trace.session = Some(sessions);
    trace.prefix = Some(prefix);
    trace
}

fn kv() -> impl Strategy<Value = Kv> {
    (
        prop_oneof![Just(1u32), Just(2), Just(4), Just(7), Just(16)],
        prop_oneof![
            6 => (0u32..60).prop_map(Capacity::Blocks),
            1 => Just(Capacity::Unlimited),
            1 => Just(Capacity::Memory),
        ],
        prop_oneof![2 => Just(0.0), 1 => 0.0..0.3f64],
        prop_oneof![
            2 => Just(Preemption::Recompute),
            1 => (0.5..50.0f64).prop_map(|gb_per_s| Preemption::Swap { gb_per_s }),
        ],
        prop_oneof![
            Just(Reuse::Off),
            Just(Reuse::Own),
            Just(Reuse::Hashes),
            Just(Reuse::Sessions)
        ],
        prop_oneof![Just(Eviction::Lru), Just(Eviction::Lfu)],
        prop_oneof![2 => Just(0.0), 1 => 1e-4..3e-3f64],
    )
        .prop_map(
            |(block_tokens, capacity, watermark, preemption, reuse, eviction, eviction_s)| Kv {
                block_tokens,
                capacity,
                watermark,
                preemption,
                prefix: PrefixCache {
                    reuse,
                    eviction,
                    eviction_s,
                },
            },
        )
}

fn latency() -> impl Strategy<Value = StepLatency> {
    prop_oneof![3 => linear(), 1 => measured()]
}

/// Measured steps that rise and fall as they like.
fn measured() -> impl Strategy<Value = StepLatency> {
    let point = (
        0..9u32,
        0..600u32,
        prop_oneof![3 => Just(0u32), 1 => 1..60u32],
        3.0..60.0f64,
    );
    prop::collection::vec(point, 0..14).prop_map(|mut points| {
        points.extend([(1, 40, 0, 30.0), (4, 300, 0, 20.0)]);
        StepLatency::Table(StepTable {
            sequences: points.iter().map(|p| p.0).collect(),
            context: points.iter().map(|p| p.1).collect(),
            prefill: points.iter().map(|p| p.2).collect(),
            time_ms: points.iter().map(|p| p.3).collect(),
        })
    })
}

fn linear() -> impl Strategy<Value = StepLatency> {
    (
        0.003..0.05f64,
        0.0..2e-3f64,
        0.0..5e-5f64,
        0.0..5e-4f64,
        0.0..3e-6f64,
        prop_oneof![
            Just(None),
            (0.0..0.01f64, 0.0..2e-3f64).prop_map(|(d0_s, d1_s_per_token)| Some(Compute {
                d0_s,
                d1_s_per_token
            }))
        ],
    )
        .prop_map(|(c0, c1, c2, c3, c4, compute)| {
            StepLatency::Linear(Step {
                c0_s: c0,
                c1_s_per_sequence: c1,
                c2_s_per_context_token: c2,
                c3_s_per_prefill_token: c3,
                c4_s_per_prefill_pair: c4,
                compute,
            })
        })
}

fn server() -> impl Strategy<Value = Server> {
    let rules = (
        prop_oneof![
            3 => Just(Rule::Vllm),
            2 => Just(Rule::Sarathi),
            2 => Just(Rule::Orca),
            2 => Just(Rule::Closed)
        ],
        prop_oneof![
            Just(Order::Fcfs),
            Just(Order::Sjf),
            Just(Order::Edf),
            Just(Order::Priority)
        ],
        prop_oneof![Just(0.0), 0.0..9.0f64],
        any::<bool>(),
        prop_oneof![Just(0.0), 0.0..2.0f64],
        1..9u32,
        0..60u32,
    );
    let rest = (
        kv(),
        prop_oneof![
            3 => Just(None),
            1 => (1..5u32, prop::collection::vec(0.0..1.0f64, 1..4), 0.0..2e-3f64, 0.0..1e-4f64)
                .prop_map(|(draft_tokens, acceptance, draft_s, draft_s_per_sequence)| {
                    Some(Speculative {
                        draft_tokens,
                        acceptance,
                        draft_s,
                        draft_s_per_sequence,
                    })
                })
        ],
        (
            any::<bool>(),
            prop_oneof![3 => Just(None), 1 => (0..6u32).prop_map(Some)],
            prop_oneof![3 => Just(None), 1 => (0.05..4.0f64).prop_map(Some)],
        ),
        prop_oneof![
            Just(Router::RoundRobin),
            Just(Router::Random),
            Just(Router::LeastRequests),
            Just(Router::LeastWork),
            Just(Router::PowerOfTwo),
            Just(Router::BinAffinity),
            Just(Router::PrefixAffinity),
            Just(Router::SessionSticky)
        ],
        1..3u32,
        latency(),
    );
    (rules, rest).prop_map(|(rules, rest)| {
        let (rule, order, ageing_per_s, bins, bin_patience_s, max_sequences, more) = rules;
        let (kv, speculative, admission, router, tensor_parallel, latency) = rest;
        let (whole_prompt_fits, max_waiting, timeout_s) = admission;
        let per_sequence = 1 + speculative.as_ref().map_or(0, |d| d.draft_tokens);
        let router = match (router, kv.prefix.reuse) {
            (Router::PrefixAffinity, reuse) if reuse != Reuse::Hashes => Router::LeastRequests,
            (router, _) => router,
        };
        Server {
            rule,
            order,
            ageing_per_s,
            classes: vec![Class {
                label: "chat".to_owned(),
                level: -1.5,
                deadline_s: Some(2.25),
            }],
            bins,
            bin_patience_s,
            max_sequences,
            max_batched_tokens: max_sequences * per_sequence + more,
            kv,
            speculative,
            admission: Admission {
                whole_prompt_fits,
                max_waiting,
                timeout_s,
                reject_too_long: true,
            },
            router,
            tensor_parallel,
            latency,
            ..Server::default()
        }
    })
}

#[derive(Debug, Clone)]
struct Case {
    trace: Trace,
    scenario: Scenario,
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(row(), 1..40),
        server(),
        1..4u32,
        1..4u32,
        prop_oneof![2 => Just(Kind::Oracle), 1 => Just(Kind::Noisy)],
        prop_oneof![3 => Just(None), 1 => (1..6u32, 0.0..0.7f64).prop_map(Some)],
        any::<u32>(),
    )
        .prop_map(|(rows, mut server, replicas, unit, kind, users, seed)| {
            let trace = trace_of(&rows, unit * server.kv.block_tokens);
            let mut scenario = Scenario {
                seed,
                ..Scenario::default()
            };
            scenario.fleet.gpus = replicas * server.tensor_parallel;
            scenario.predictor.kind = kind;
            scenario.predictor.sigma = 0.6;
            scenario.scheduler.bins.boundaries = Boundaries::Fixed;
            scenario.scheduler.bins.cuts = vec![9, 21];
            scenario.sla.request_s = 3.0;
            scenario.sla.token_ms = 31.0;
            // 40 to 100 tokens a GPU where memory decides.
            scenario.memory.capacity_gb = 1.0;
            scenario.memory.model_gb = 0.41;
            scenario.memory.margin_gb = 0.1;
            scenario.memory.kv_gb_per_token = 0.0051;
            // A cache in which most requests fit, and not many of them.
            if let Capacity::Blocks(more) = server.kv.capacity {
                let least = 100u32.div_ceil(server.kv.block_tokens);
                server.kv.capacity = Capacity::Blocks(least + more / server.kv.block_tokens);
            }
            let good = trace.output.iter().filter(|&&o| o > 0).count() as u32;
            if let Some((users, think)) = users
                && good >= users
            {
                scenario.workload.closed_loop = Some(ClosedLoop {
                    users,
                    requests_per_user: good / users,
                    think_min_s: think,
                    think_max_s: think,
                });
            }
            scenario.engine = Engine::Continuous(Box::new(server));
            Case { trace, scenario }
        })
        .prop_filter("somebody has output", |case| {
            case.trace.output.iter().any(|&o| o > 0)
        })
}

/// How often each feature was at work over all cases.
static SEEN: Mutex<Seen> = Mutex::new(Seen {
    cases: 0,
    near_ties: 0,
    counts: [0; 12],
});

struct Seen {
    cases: u64,
    near_ties: u64,
    counts: [u64; 12],
}

const FEATURES: [&str; 12] = [
    "preempted",
    "computed again",
    "swapped",
    "found in the prefix cache",
    "evicted",
    "proposed",
    "rejected",
    "timed out",
    "too long",
    "several replicas",
    "closed loops",
    "chunks of a prompt",
];

fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// Both engines' steps, side by side, for whoever has to find out why they differ.
fn steps(case: &Case, told: &Told) -> String {
    let mut text = String::new();
    if let Ok(batchscope::sim::Run::Continuous(mut run)) =
        batchscope::sim::Run::new(&case.trace, &case.scenario)
    {
        run.record_steps();
        while !run.advance(&case.trace, u64::MAX) {}
        for s in run.take_steps() {
            text += &format!(
                "engine {} {:.6}..{:.6} x{} b={} p={} tokens={}\n",
                s.replica, s.start_s, s.end_s, s.steps, s.sequences, s.prompt_tokens, s.tokens
            );
        }
    }
    for (replica, from, to, sequences, tokens) in &told.log {
        text += &format!("oracle {replica} {from:.6}..{to:.6} b={sequences} tokens={tokens}\n");
    }
    text
}

/// A replica does a step at every moment at which a request is there, waiting or at work.
fn conserves_work(case: &Case, outcome: &Outcome) -> Result<(), TestCaseError> {
    let Ok(batchscope::sim::Run::Continuous(mut run)) =
        batchscope::sim::Run::new(&case.trace, &case.scenario)
    else {
        return Err(TestCaseError::fail("no run of the continuous engine"));
    };
    run.record_steps();
    while !run.advance(&case.trace, u64::MAX) {}
    let mut steps = run.take_steps();
    steps.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let Engine::Continuous(server) = &case.scenario.engine else {
        return Err(TestCaseError::fail("no continuous engine"));
    };
    let served = &outcome.served.as_ref().unwrap().0;
    let arrivals = outcome.requests.arrivals(&case.trace);
    let first_row = outcome.requests.first_row as usize;
    for (row, &fate) in served.fate.iter().enumerate() {
        let arrival = arrivals.of(first_row + row);
        let gone = match fate {
            Fate::Done => served.done_s[row],
            Fate::TimedOut => arrival + server.admission.timeout_s.unwrap_or(0.0),
            Fate::Dropped | Fate::Rejected | Fate::TooLong => continue,
        };
        let mut worked_until = arrival;
        for step in steps.iter().filter(|s| s.replica == served.replica[row]) {
            if step.start_s <= worked_until + 1e-9 * (1.0 + worked_until) {
                worked_until = worked_until.max(step.end_s);
            }
        }
        prop_assert!(
            worked_until >= gone - 1e-9 * (1.0 + gone),
            "row {} is there from {} to {}, and replica {} rests at {}",
            row,
            arrival,
            gone,
            served.replica[row],
            worked_until
        );
    }
    Ok(())
}

fn compare(case: &Case) -> Result<(), TestCaseError> {
    let Case { trace, scenario } = case;
    let outcome = simulate(trace, scenario).map_err(|e| TestCaseError::fail(e.to_string()))?;
    conserves_work(case, &outcome)?;
    let (served, totals) = *outcome.served.clone().unwrap();
    let predicted = &outcome.requests.predicted;
    let cuts = &scenario.scheduler.bins.cuts;
    let bin_of: Vec<u8> = (0..trace.len())
        .map(|row| {
            let length = predicted.get(row).copied().unwrap_or(0);
            cuts.iter().filter(|&&cut| length >= cut).count() as u8
        })
        .collect();
    // A closed loop takes no more rows than its users need.
    let rows = served.fate.len();
    let told: Told = step_oracle::run(trace, scenario, predicted, &bin_of, &served.replica);
    if told.near_tie {
        SEEN.lock().unwrap().near_ties += 1;
        return Ok(());
    }
    for row in 0..rows {
        let at = format!("row {row}");
        prop_assert_eq!(served.fate[row], told.fate[row], "fate, {}", &at);
        let placed = !matches!(served.fate[row], Fate::Dropped | Fate::TooLong);
        if placed {
            prop_assert_eq!(served.replica[row], told.replica[row], "replica, {}", &at);
        }
        for (what, a, b) in [
            ("joined", served.joined_s[row], told.joined_s[row]),
            ("first token", served.first_token_s[row], told.first_s[row]),
            ("done", served.done_s[row], told.done_s[row]),
        ] {
            prop_assert!(
                close(a, b),
                "{} of {}: {} and {}\n{}",
                what,
                &at,
                a,
                b,
                steps(case, &told)
            );
        }
    }
    for (what, a, b) in [
        ("steps", totals.steps, told.steps),
        ("preemptions", totals.preemptions, told.preemptions),
        ("recomputed", totals.recomputed_tokens, told.recomputed),
        ("swapped", totals.swapped_blocks, told.swapped_blocks),
        ("peak blocks", totals.peak_blocks, told.peak_blocks),
        ("peak tokens", totals.peak_tokens, told.peak_tokens),
        ("looked up", totals.looked_up_tokens, told.looked_up),
        ("found", totals.found_tokens, told.found),
        ("evictions", totals.evictions, told.evictions),
        ("proposed", totals.proposed, told.proposed),
        ("accepted", totals.accepted, told.accepted),
        ("gaps", totals.gaps.count, told.gaps.len() as u64),
        ("the fullest chosen", 0, told.chosen_fullest),
    ] {
        prop_assert_eq!(a, b, "{}", what);
    }
    let sum: f64 = told.gaps.iter().sum();
    let most = told.gaps.iter().copied().fold(0.0, f64::max);
    let bound = scenario.sla.token_ms / 1e3;
    let [surely, perhaps] = [bound * (1.0 - 1e-9), bound * (1.0 + 1e-9)]
        .map(|bound| told.gaps.iter().filter(|&&gap| gap <= bound).count() as u64);
    let within = totals.gaps.within;
    prop_assert!(
        (surely..=perhaps).contains(&within),
        "gaps within {bound}: {within} and {surely}"
    );
    for (what, a, b) in [
        ("decoded", totals.decoded, told.decoded),
        ("context", totals.context, told.context),
        ("prefilled", totals.prefilled, told.prefilled),
        ("pairs", totals.pairs, told.pairs),
        ("token s", totals.token_s, told.token_s),
        ("swap s", totals.swap_s, told.swap_s),
        ("eviction s", totals.eviction_s, told.eviction_s),
        ("end", totals.end_s, told.end_s),
        ("sum of gaps", totals.gaps.sum, sum),
        ("longest gap", totals.gaps.max, most),
    ] {
        prop_assert!(
            close(a, b),
            "{}: {} and {}\n{}",
            what,
            a,
            b,
            steps(case, &told)
        );
    }
    for (a, b) in totals.busy_s.iter().zip(&told.busy_s) {
        prop_assert!(close(*a, *b), "busy: {} and {}", a, b);
    }
    // Little's law: what the levels over time say is what the requests say.
    let arrivals = outcome.requests.arrivals(trace);
    let timeout_s = match &scenario.engine {
        Engine::Continuous(server) => server.admission.timeout_s.unwrap_or(0.0),
        Engine::Closed => 0.0,
    };
    let in_system: f64 = (0..rows)
        .map(|row| match served.fate[row] {
            Fate::Done => served.done_s[row] - arrivals.of(row),
            Fate::TimedOut => timeout_s,
            _ => 0.0,
        })
        .sum();
    let levels = totals.series.integral(Level::Waiting) + totals.series.integral(Level::Running);
    prop_assert!(
        close(in_system, levels),
        "Little: {} and {}",
        in_system,
        levels
    );
    let busy: f64 = totals.busy_s.iter().sum();
    prop_assert!(close(totals.series.integral(Level::Busy), busy));
    // Within the bound, but for gaps that lie on it to a rounding.
    let bound = scenario.sla.token_ms / 1e3;
    let below = told
        .gaps
        .iter()
        .filter(|&&g| g <= bound * (1.0 - 1e-9))
        .count() as u64;
    let not_above = told
        .gaps
        .iter()
        .filter(|&&g| g <= bound * (1.0 + 1e-9))
        .count() as u64;
    prop_assert!((below..=not_above).contains(&totals.gaps.within));
    let mut sorted = told.gaps.clone();
    sorted.sort_by(f64::total_cmp);
    for q in [0.5, 0.9, 0.99] {
        if !sorted.is_empty() {
            let rank = (q * (sorted.len() - 1) as f64).floor() as usize;
            let (low, high) = (sorted[rank], sorted[(rank + 1).min(sorted.len() - 1)]);
            let found = totals.gaps.quantile(q);
            prop_assert!(
                (low * 0.995 - 1e-7..=high * 1.005 + 1e-7).contains(&found),
                "quantile {} of gaps: {} not in {}..{}",
                q,
                found,
                low,
                high
            );
        }
    }

    let fates = |fate: Fate| told.fate.iter().filter(|f| **f == fate).count() as u64;
    let mut seen = SEEN.lock().unwrap();
    seen.cases += 1;
    let Engine::Continuous(server) = &scenario.engine else {
        unreachable!()
    };
    let longest = trace.prompt.iter().copied().max().unwrap();
    for (count, is) in seen.counts.iter_mut().zip([
        told.preemptions,
        told.recomputed,
        told.swapped_blocks,
        told.found,
        told.evictions,
        told.proposed,
        fates(Fate::Rejected),
        fates(Fate::TimedOut),
        fates(Fate::TooLong),
        u64::from(scenario.replicas() > 1),
        u64::from(scenario.workload.closed_loop.is_some()),
        u64::from(longest > server.max_batched_tokens),
    ]) {
        *count += u64::from(is > 0);
    }
    Ok(())
}

#[test]
fn every_step_agrees() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1500);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    if let Err(failed) = runner.run(&case(), |case| compare(&case)) {
        panic!("{failed}");
    }
    let seen = SEEN.lock().unwrap();
    println!("{} cases left out for near ties", seen.near_ties);
    assert!(seen.near_ties * 20 <= seen.cases);
    for (what, count) in FEATURES.iter().zip(seen.counts) {
        println!("{what}: {count} of {} cases", seen.cases);
        assert!(
            count * 100 >= seen.cases,
            "{what} was at work in {count} of {} cases only",
            seen.cases
        );
    }
}
