//! The continuous engine against an engine that does every step (tests/step_oracle): the same fates, counts
//! and times on random traces and settings, every rule and feature among them. The figures of these runs,
//! with and without a warm-up, against the steps themselves; and figures of small runs derived by hand.

use std::sync::Mutex;

use crate::step_oracle::Told;
use batchscope::latency::step::{Compute, Step};
use batchscope::latency::{StepLatency, StepTable, profile};
use batchscope::scenario::{ClosedLoop, Engine};
use batchscope::sched::Boundaries;
use batchscope::sched::continuous::kv::{Capacity, Eviction, Kv, Preemption, PrefixCache, Reuse};
use batchscope::sched::continuous::router::Router;
use batchscope::sched::continuous::speculative::Speculative;
use batchscope::sched::continuous::{Admission, Class, Order, Rule, Server, Warmup};
use batchscope::sched::memory::Memory;
use batchscope::sim::continuous::{Fate, Level};
use batchscope::trace::predict::Kind;
use batchscope::trace::{Labels, NO_SESSION, PrefixBlocks};
use batchscope::{Outcome, Scenario, Trace, simulate};
use proptest::prelude::*;

use crate::step_oracle;

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
        trace.output.push(row.output);
        ids.push(row.label);
        // A later turn begins with prompt and answer of the one before it.
        let before = (row.family > 0 && row.session != NO_SESSION)
            .then(|| sessions.iter().rposition(|s| *s == row.session))
            .flatten();
        sessions.push(row.session);
        let turn = before.map(|before| {
            let said = trace.prompt[before] + trace.output[before];
            (before, said + row.prompt % 20)
        });
        let turn = turn.filter(|&(_, prompt)| prompt <= 90);
        let prompt = turn.map_or(row.prompt, |(_, prompt)| prompt);
        let known = turn.map_or(Vec::new(), |(before, _)| {
            let whole = trace.prompt[before] / unit;
            prefix.of(before)[..whole as usize].to_vec()
        });
        trace.prompt.push(prompt);
        prefix.blocks.extend(&known);
        for depth in known.len() as u32..prompt.div_ceil(unit) {
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
        (prop_oneof![2 => Just(0.0), 1 => 0.0..0.3f64], any::<bool>()),
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
            |(block_tokens, capacity, spared, preemption, reuse, eviction, eviction_s)| Kv {
                block_tokens,
                capacity,
                watermark: spared.0,
                null_block: spared.1,
                preemption,
                prefix: PrefixCache {
                    reuse,
                    eviction,
                    eviction_s,
                },
            },
        )
}

/// Kernels of one layer in ms, with unequal contexts and captured sizes.
fn kernels(share: f64) -> StepLatency {
    let mut attention = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n".to_owned();
    for n in [1, 2, 4, 8] {
        for kv in [8, 32, 64, 100] {
            // Longer contexts cost more than in proportion.
            let us = 2000 + n * kv * 9 + n * (kv / 32) * (kv / 32) * 200;
            attention += &format!("0,0,{n},{kv},{us}\n");
            attention += &format!("16,0,{n},{kv},{}\n", us + 2064);
        }
    }
    for q in [16, 64] {
        for s in [0, 60] {
            attention += &format!("{q},{s},0,0,{}\n", 2000 + q * (s + q / 2) / 2);
        }
    }
    let mut dense = "layer,tokens,time_us\n".to_owned();
    for name in ["qkv_proj", "o_proj", "gate_up_proj", "down_proj", "qk_norm"] {
        dense += &format!("{name},1,1100\n{name},61,2330\n");
    }
    let heads = "layer,sequences,time_us\nlm_head,1,700\nlm_head,9,1511\n";
    let skew = format!(
        "n,pc,t_mean_us,t_max_us,t_skew_us\n2,0,100,200,{}\n8,0,100,200,{}\n4,16,100,200,150\n",
        100.0 + 100.0 * share,
        100.0 + 50.0 * share
    );
    let mut profile = profile::read(
        1,
        (attention.as_bytes(), "attention"),
        (dense.as_bytes(), "dense"),
        (heads.as_bytes(), "heads"),
    )
    .unwrap();
    profile.skew = Some(profile::read_skew(skew.as_bytes(), "skew").unwrap());
    profile.captured = vec![1, 2, 4, 7];
    StepLatency::Profile(Box::new(profile))
}

fn latency() -> impl Strategy<Value = StepLatency> {
    prop_oneof![4 => linear(), 1 => (0.0..1.2f64).prop_map(kernels), 1 => measured()]
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
            2 => Just(Rule::Orca)
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
        (
            0..60u32,
            prop_oneof![2 => Just(0u32), 1 => 1..30u32],
            prop_oneof![2 => Just(false), 1 => Just(true)],
        ),
    );
    let rest = (
        kv(),
        prop_oneof![
            3 => Just(None),
            1 => (1..5u32, prop::collection::vec(0.0..1.0f64, 1..4), 0.0..2e-3f64, 0.0..1e-4f64)
                .prop_map(|(draft_tokens, mut acceptance, draft_s, draft_s_per_sequence)| {
                    acceptance.truncate(draft_tokens as usize);
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
        prop::sample::select(&Router::ALL[..]),
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
            max_batched_tokens: max_sequences * per_sequence + more.0,
            long_prefill_token_threshold: more.1,
            async_scheduling: more.2,
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
        // Hash units of a multiple of a block's tokens, and of any number.
        prop_oneof![
            (1..4u32).prop_map(|blocks| (blocks, 0)),
            (4..40u32).prop_map(|tokens| (0, tokens))
        ],
        prop_oneof![2 => Just(Kind::Oracle), 1 => Just(Kind::Noisy)],
        prop_oneof![3 => Just(None), 1 => (1..6u32, 0.0..0.7f64).prop_map(Some)],
        any::<u32>(),
    )
        .prop_map(|(rows, mut server, replicas, unit, kind, users, seed)| {
            let unit = unit.0 * server.kv.block_tokens + unit.1;
            let trace = trace_of(&rows, unit);
            let mut scenario = Scenario {
                seed,
                ..Scenario::default()
            };
            scenario.fleet.gpus = replicas * server.tensor_parallel;
            scenario.predictor.kind = kind;
            scenario.predictor.sigma = 0.6;
            scenario.bins.boundaries = Boundaries::Fixed;
            scenario.bins.cuts = vec![9, 21];
            scenario.sla.request_s = 3.0;
            scenario.sla.token_ms = 31.0;
            // 40 to 100 tokens a GPU where memory decides.
            server.memory = Memory {
                capacity_gb: 1.0,
                model_gb: 0.41,
                margin_gb: 0.1,
                kv_gb_per_token: 0.0051,
            };
            // A cache in which most requests fit, and not many of them.
            if let Capacity::Blocks(more) = server.kv.capacity {
                let null = u32::from(server.kv.null_block);
                let least = 100u32.div_ceil(server.kv.block_tokens) + null;
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
    counts: [0; 16],
});

struct Seen {
    cases: u64,
    near_ties: u64,
    counts: [u64; 16],
}

const FEATURES: [&str; 16] = [
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
    "put together ahead",
    "prompts cut by the threshold",
    "answers found by hash",
    "unequal contexts",
];

fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

/// Both engines' steps, side by side, for whoever has to find out why they differ.
fn steps(case: &Case, told: &Told) -> String {
    let mut text = String::new();
    if let Ok(mut run) = batchscope::sim::Run::new(&case.trace, &case.scenario) {
        run.record_steps();
        while !run.advance(&case.trace, u64::MAX) {}
        for s in run.take_steps().unwrap() {
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
    let mut run = batchscope::sim::Run::new(&case.trace, &case.scenario)
        .map_err(|e| TestCaseError::fail(e.to_string()))?;
    run.record_steps();
    while !run.advance(&case.trace, u64::MAX) {}
    let mut steps = run.take_steps().unwrap();
    steps.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let mut free_s = vec![0.0; case.scenario.replicas() as usize];
    for step in &steps {
        let free_s = &mut free_s[usize::from(step.replica)];
        prop_assert!(step.start_s >= *free_s - 1e-9, "two steps at once");
        *free_s = step.end_s;
    }
    let Some(server) = case.scenario.server() else {
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

/// The figures of a run, of all of it or behind a warm-up, from the steps and tokens of the step-by-step
/// engine.
fn figures_of_a_window(case: &Case, outcome: &Outcome, told: &Told) -> Result<(), TestCaseError> {
    let Case { trace, scenario } = case;
    let Some(server) = scenario.server() else {
        return Err(TestCaseError::fail("no continuous engine"));
    };
    let (h, c) = (
        &outcome.summary.honest,
        outcome.summary.continuous.as_ref().unwrap(),
    );
    let (served, _) = &**outcome.served.as_ref().unwrap();

    // Arrivals in order, and the moment of the mark.
    let arrivals = outcome.requests.arrivals(trace);
    let mut order: Vec<usize> = if outcome.requests.sent.is_empty() {
        (0..served.fate.len())
            .filter(|&row| served.fate[row] != Fate::Dropped)
            .collect()
    } else {
        outcome
            .requests
            .sent
            .iter()
            .map(|&row| row as usize)
            .collect()
    };
    let all = order.len() as u64;
    prop_assert_eq!(all, outcome.summary.workload.rows_replayed);
    let warm = c.statistics.warmup_requests as usize;
    let end_s = told.end_s;
    let from_s = match warm {
        0 => 0.0,
        _ => order
            .get(warm)
            .map_or(end_s, |&row| arrivals.of(row).min(end_s)),
    };
    let seconds = end_s - from_s;
    let per_s = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0);

    // Everybody is counted once.
    prop_assert_eq!(
        h.requests + c.rejected + c.too_long + c.timed_out + warm as u64,
        all
    );
    prop_assert!(h.backlog_at_last_arrival <= all);
    // A window so short that roundings decide what is in it has no figures to compare.
    if seconds > 0.0 && seconds < 1e-6 {
        return Ok(());
    }

    // Time: of each replica, and of the tokens in the caches.
    let mut busy = vec![0.0; told.busy_s.len()];
    let mut token_s = 0.0;
    for &(replica, from, to, _, held) in &told.log {
        let inside = (to - from.max(from_s)).max(0.0);
        busy[replica] += inside;
        token_s += held as f64 * inside;
    }
    let u = &h.utilization;
    prop_assert_eq!(u.per_gpu.len(), busy.len());
    for (&share, &busy) in u.per_gpu.iter().zip(&busy) {
        prop_assert!(
            near(share, per_s(busy)),
            "busy {} and {}",
            share,
            per_s(busy)
        );
        prop_assert!((0.0..=1.0 + 1e-9).contains(&share));
    }
    let mean = u.per_gpu.iter().sum::<f64>() / u.per_gpu.len() as f64;
    prop_assert!(near(u.mean, mean));
    prop_assert!(u.min <= u.mean + 1e-9 && u.mean <= u.max + 1e-9);
    prop_assert!(
        near(c.kv.mean_tokens, per_s(token_s)),
        "tokens {} and {}",
        c.kv.mean_tokens,
        per_s(token_s)
    );
    prop_assert!(c.kv.mean_tokens <= c.kv.peak_tokens as f64 * busy.len() as f64 + 1e-6);
    prop_assert_eq!(c.kv.peak_tokens, h.peak_batch_tokens);

    // What came in the window; at its edge roundings decide.
    let eps = 1e-9 * end_s.max(1.0);
    let between = |count: f64, times: &[f64]| {
        let least = times.iter().filter(|&&t| t > from_s + eps).count() as f64;
        let most = times.iter().filter(|&&t| t > from_s - eps).count() as f64;
        count >= least - 1e-6 * least.max(1.0) && count <= most + 1e-6 * most.max(1.0)
    };
    let done: Vec<f64> = told
        .done_s
        .iter()
        .copied()
        .filter(|t| !t.is_nan())
        .collect();
    let step_ends: Vec<f64> = told.log.iter().map(|step| step.2).collect();
    prop_assert!(between(h.served_requests_per_s * seconds, &done));
    prop_assert!(between(h.output_tokens_per_s * seconds, &told.tokens_s));
    prop_assert!(between(c.steps as f64, &step_ends));
    prop_assert!(h.goodput_requests_per_s <= h.served_requests_per_s + 1e-9);
    prop_assert!(h.output_tokens_per_s <= h.served_tokens_per_s + 1e-9);
    prop_assert!(c.mean_batch <= f64::from(server.max_sequences));
    if warm == 0 && end_s > 0.0 {
        prop_assert!(near(h.served_requests_per_s * end_s, done.len() as f64));
        let gaps = c.tbt_ms.map_or(0, |gaps| gaps.count);
        prop_assert_eq!(gaps, told.gaps.len() as u64);
    }

    // Little's law, those who gave up included.
    let timeout_s = server.admission.timeout_s.unwrap_or(0.0);
    let in_system: f64 = order
        .iter()
        .map(|&row| {
            let gone = match told.fate[row] {
                Fate::Done => told.done_s[row],
                Fate::TimedOut => arrivals.of(row) + timeout_s,
                _ => return 0.0,
            };
            (gone - arrivals.of(row).max(from_s)).max(0.0)
        })
        .sum();
    prop_assert!(
        near(h.mean_in_system, per_s(in_system)),
        "in system {} and {}",
        h.mean_in_system,
        per_s(in_system)
    );

    // Distributions are of those who arrived from the mark on.
    let counted: Vec<usize> = order.split_off(warm);
    let latencies: Vec<f64> = counted
        .iter()
        .filter(|&&row| told.fate[row] == Fate::Done)
        .map(|&row| told.done_s[row] - arrivals.of(row))
        .collect();
    prop_assert_eq!(h.requests, latencies.len() as u64);
    if let Some(e2e) = h.e2e_s {
        prop_assert_eq!(e2e.count, h.requests);
        let mean = latencies.iter().sum::<f64>() / latencies.len() as f64;
        prop_assert!(near(e2e.mean, mean));
    }
    for d in [h.queueing_s, h.ttft_s, h.tpot_ms, h.e2e_s, c.tbt_ms]
        .into_iter()
        .flatten()
    {
        let rising = [d.p50, d.p90, d.p95, d.p99, d.p999, d.max];
        prop_assert!(rising.is_sorted(), "{:?}", d);
        prop_assert!(d.mean <= d.max * (1.0 + 1e-12) + 1e-12);
    }
    let shares = [h.sla.token, h.sla.request, h.sla.joint, h.sla.ttft];
    for share in shares.into_iter().flatten().chain(c.tbt_within_sla) {
        prop_assert!((0.0..=1.0).contains(&share));
    }
    Ok(())
}

fn compare(case: &Case) -> Result<(), TestCaseError> {
    let Case { trace, scenario } = case;
    let outcome = simulate(trace, scenario).map_err(|e| TestCaseError::fail(e.to_string()))?;
    conserves_work(case, &outcome)?;
    let (served, totals) = *outcome.served.clone().unwrap();
    let predicted = &outcome.requests.predicted;
    let cuts = &scenario.bins.cuts;
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
    let timeout_s = scenario
        .server()
        .and_then(|server| server.admission.timeout_s)
        .unwrap_or(0.0);
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

    figures_of_a_window(case, &outcome, &told)?;
    let warmup = if scenario.seed.is_multiple_of(3) {
        Warmup::Auto
    } else {
        Warmup::Share(f64::from(scenario.seed % 51) / 100.0)
    };
    let mut warm = case.clone();
    if let Some(server) = warm.scenario.server_mut() {
        server.warmup = warmup;
    }
    let outcome =
        simulate(trace, &warm.scenario).map_err(|e| TestCaseError::fail(e.to_string()))?;
    figures_of_a_window(&warm, &outcome, &told)?;

    let fates = |fate: Fate| told.fate.iter().filter(|f| **f == fate).count() as u64;
    let mut seen = SEEN.lock().unwrap();
    seen.cases += 1;
    let Some(server) = scenario.server() else {
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
        told.lingered,
        u64::from(
            server.rule != Rule::Orca
                && (1..longest).contains(&server.long_prefill_token_threshold),
        ),
        told.answer_units,
        told.skewed,
    ]) {
        *count += u64::from(is > 0);
    }
    Ok(())
}

/// Cases in which the least urgent is preempted again and again, also where it joined before others or has a part of the
/// step at hand: little memory, prompts in chunks, all at once on one replica.
fn urgent_case() -> impl Strategy<Value = Case> {
    let order = prop_oneof![Just(Order::Sjf), Just(Order::Edf), Just(Order::Priority)];
    let rule = prop_oneof![3 => Just(Rule::Vllm), 1 => Just(Rule::Sarathi)];
    (case(), order, rule, 1..4u32, 0..40u32).prop_map(|(mut case, order, rule, block, more)| {
        let scenario = &mut case.scenario;
        scenario.workload.closed_loop = None;
        scenario.workload.time_scale = 40.0;
        if let Some(server) = scenario.server_mut() {
            server.order = order;
            server.rule = rule;
            server.kv.block_tokens = block;
            let least = 100u32.div_ceil(block) + u32::from(server.kv.null_block);
            server.kv.capacity = Capacity::Blocks(least + more / block);
            server.kv.watermark = 0.0;
            server.bins = false;
            server.router = Router::RoundRobin;
            server.admission = Admission {
                whole_prompt_fits: false,
                reject_too_long: true,
                ..Admission::default()
            };
            scenario.fleet.gpus = server.tensor_parallel;
        }
        case
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_step_agrees_where_the_least_urgent_are_preempted(case in urgent_case()) {
        compare(&case)?;
    }
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

// ---- By hand -------------------------------------------------------------------------------------

/// One replica that serves one request at a time, 10 ms a token: a request of o tokens takes o/100 s.
fn plain(change: impl FnOnce(&mut Server)) -> Scenario {
    let mut server = Server {
        max_sequences: 1,
        latency: StepLatency::Linear(Step {
            c0_s: 0.01,
            c1_s_per_sequence: 0.0,
            c2_s_per_context_token: 0.0,
            c3_s_per_prefill_token: 0.0,
            c4_s_per_prefill_pair: 0.0,
            compute: None,
        }),
        ..Server::default()
    };
    server.kv.capacity = Capacity::Unlimited;
    change(&mut server);
    let mut scenario = Scenario::default();
    scenario.fleet.gpus = 1;
    scenario.engine = Engine::Continuous(Box::new(server));
    scenario
}

fn rows(rows: impl IntoIterator<Item = (f64, u32, u32)>) -> Trace {
    let mut trace = Trace {
        name: "by hand".to_owned(),
        ..Trace::default()
    };
    for (arrival, prompt, output) in rows {
        trace.arrival.push(arrival);
        trace.prompt.push(prompt);
        trace.output.push(output);
    }
    trace
}

#[track_caller]
fn is(got: f64, right: f64) {
    assert!(
        (got - right).abs() <= 1e-9 * right.abs().max(1.0),
        "{got} for {right}"
    );
}

fn fates(outcome: &Outcome) -> Vec<Fate> {
    outcome.served.as_ref().unwrap().0.fate.clone()
}

fn codes(outcome: &Outcome) -> Vec<String> {
    let c = outcome.summary.continuous.as_ref().unwrap();
    let warnings = c.statistics.warnings.iter();
    warnings.map(|warning| warning.code.clone()).collect()
}

/// The first request runs from 0 to 100 s, and the others arrive 5 ms after one of its steps began.
#[test]
fn a_window_counts_what_happens_in_it() {
    let others = (0..19).map(|_| (99.005, 1, 10));
    let trace = rows([(0.0, 1, 10_000)].into_iter().chain(others));
    let outcome = simulate(&trace, &plain(|s| s.warmup = Warmup::Share(0.05))).unwrap();
    let (h, c) = (outcome.summary.honest, outcome.summary.continuous.unwrap());
    let seconds = 101.9 - 99.005;
    assert_eq!(c.statistics.warmup_requests, 1);
    assert_eq!(h.requests, 19);
    for busy in [h.utilization.mean, h.utilization.min, h.utilization.max] {
        is(busy, 1.0);
    }
    is(h.utilization.per_gpu[0], 1.0);
    // The long one ends in the window too.
    is(h.served_requests_per_s, 20.0 / seconds);
    // Its tokens of 99.01, 99.02, ..., 100 s, and 19 x 10.
    is(h.output_tokens_per_s, 290.0 / seconds);
    is(h.served_tokens_per_s, (290.0 + 19.0) / seconds);
    assert_eq!(c.steps, 290);
    is(c.mean_batch, (100.0 + 19.0 * 9.0) / 290.0);
    let gaps = c.tbt_ms.unwrap();
    assert_eq!(gaps.count, 100 + 19 * 9);
    is(gaps.max, 10.0);
    // 9900 tokens for 5 ms, then 9901 to 9999 for 10 ms each, then 0 to 9 of each of the others.
    let tokens = 9900.0 * 0.005 + 0.01 * (99.0 * 9950.0) + 19.0 * 0.01 * 45.0;
    is(c.kv.mean_tokens, tokens / seconds);
    assert_eq!(c.kv.peak_tokens, 10_000);
    // One leaves after 0.995 s, the others 0.1 s after one another.
    let in_system: f64 = (0..20).map(|i| 0.995 + 0.1 * f64::from(i)).sum();
    is(h.mean_in_system, in_system / seconds);
    is(h.e2e_s.unwrap().mean, (in_system - 0.995) / 19.0);
    // All others arrive at the mark: there is no span of arrivals after it.
    assert_eq!(h.offered_requests_per_s, None);
}

#[test]
fn an_overload_serves_as_much_after_a_warm_up() {
    // 20/s onto 10/s: served from 0 to 20 s without a pause.
    let trace =
        rows((0..200).map(|i| (f64::from(i) * 0.05 + if i > 0 { 0.002 } else { 0.0 }, 1, 10)));
    let served = |warmup| {
        let outcome = simulate(&trace, &plain(|s| s.warmup = warmup)).unwrap();
        outcome.summary.honest.served_requests_per_s
    };
    is(served(Warmup::None), 10.0);
    // From 5.002 s on 150 of the 200 end.
    is(served(Warmup::Share(0.5)), 150.0 / 14.998);
}

#[test]
fn arrivals_that_are_turned_away_after_the_last_step_make_no_run_longer() {
    let scenario = plain(|s| {
        s.kv.capacity = Capacity::Blocks(2);
        s.admission.reject_too_long = true;
    });
    let trace = rows([(0.0, 1, 10), (0.0, 1, 10), (50.0, 100, 10)]);
    let h = simulate(&trace, &scenario).unwrap().summary.honest;
    is(h.makespan_s, 0.2);
    is(h.utilization.mean, 1.0);
    is(h.utilization.per_gpu[0], 1.0);
    is(h.served_requests_per_s, 10.0);
    is(h.goodput_requests_per_s, 10.0);
}

#[test]
fn those_who_wait_at_the_last_arrival_and_those_who_give_up_are_counted() {
    let backlog = |n: u32| {
        let trace = rows((0..n).map(|_| (0.0, 10, 10)));
        let outcome = simulate(&trace, &plain(|_| {})).unwrap();
        outcome.summary.honest.backlog_at_last_arrival
    };
    assert_eq!(backlog(100), 99);
    assert_eq!(backlog(1), 0);
    // A straight line of latencies, and 1999 in the queue.
    let trace = rows((0..2000).map(|_| (0.0, 10, 10)));
    let outcome = simulate(&trace, &plain(|_| {})).unwrap();
    assert!(codes(&outcome).contains(&"unsettled".to_owned()));
    // One is served for 1 s, nine leave after 0.5 s: 5.5 request seconds in 1 s.
    let trace = rows((0..10).map(|_| (0.0, 1, 100)));
    let outcome = simulate(&trace, &plain(|s| s.admission.timeout_s = Some(0.5))).unwrap();
    is(outcome.summary.honest.mean_in_system, 5.5);
}

/// L needs 4 blocks with its 5th token, H 5: of 8 blocks too few, and L is less urgent though it joined first.
#[test]
fn the_least_urgent_is_preempted_and_goes_back_to_its_place() {
    let mut trace = rows([(0.0, 1, 6), (0.005, 1, 6), (0.045, 1, 1)]);
    trace.log_type = Some(Labels {
        names: ["low", "high", "middle"].map(str::to_owned).to_vec(),
        ids: vec![0, 1, 2],
    });
    let by = |order, deadlines: [f64; 3]| {
        let mut scenario = plain(|s| {
            s.max_sequences = 2;
            s.kv.block_tokens = 1;
            s.kv.capacity = Capacity::Blocks(8);
            s.order = order;
            s.classes = [("low", 5.0, 0), ("high", 0.0, 1), ("middle", 1.0, 2)]
                .map(|(label, level, i)| Class {
                    label: label.to_owned(),
                    level,
                    deadline_s: Some(deadlines[i]),
                })
                .to_vec();
        });
        // Predicts as many tokens as the prompt has, for all the same.
        scenario.predictor.kind = Kind::PromptOnly;
        scenario.predictor.scale = 1.0;
        simulate(&trace, &scenario).unwrap()
    };
    for outcome in [
        by(Order::Priority, [9.0; 3]),
        by(Order::Edf, [9.0, 1.0, 2.0]),
    ] {
        let (served, totals) = &**outcome.served.as_ref().unwrap();
        // H has its tokens at 0.02, 0.03, ..., 0.07; M joins at 0.05, when L lacks blocks; L computes 5 tokens
        // at once from 0.07 on.
        for (row, right) in [0.09, 0.07, 0.06].into_iter().enumerate() {
            is(served.done_s[row], right);
        }
        assert_eq!((totals.preemptions, totals.recomputed_tokens), (1, 4));
    }
    // By arrival L stays: H is preempted at 0.04, L is done at 0.06, and H computes 4 tokens from there on.
    let outcome = by(Order::Fcfs, [9.0; 3]);
    let served = &outcome.served.as_ref().unwrap().0;
    for (row, right) in [0.06, 0.09, 0.07].into_iter().enumerate() {
        is(served.done_s[row], right);
    }
}

/// L loses its blocks with its 150th token and has its next one when H has left, 102 steps later.
#[test]
fn gaps_of_more_than_a_day_are_told() {
    let mut trace = rows([(0.0, 1, 200), (0.5, 1, 250)]);
    trace.log_type = Some(Labels {
        names: ["low", "high"].map(str::to_owned).to_vec(),
        ids: vec![0, 1],
    });
    for warmup in [Warmup::None, Warmup::Share(0.5)] {
        let scenario = plain(|s| {
            s.max_sequences = 2;
            s.kv.block_tokens = 1;
            s.kv.capacity = Capacity::Blocks(300);
            s.order = Order::Priority;
            s.classes = vec![Class {
                label: "low".to_owned(),
                level: 1.0,
                deadline_s: None,
            }];
            s.warmup = warmup;
            if let StepLatency::Linear(step) = &mut s.latency {
                step.c0_s = 1000.0;
            }
        });
        let outcome = simulate(&trace, &scenario).unwrap();
        let gaps = outcome.summary.continuous.unwrap().tbt_ms.unwrap();
        is(gaps.max, 102.0 * 1e6);
    }
}

#[test]
fn an_idle_server_serves_whoever_comes() {
    let apart = rows([(0.0, 1, 10), (0.05, 1, 10), (0.2, 1, 10)]);
    let nobody_waits = plain(|s| s.admission.max_waiting = Some(0));
    let no_patience = plain(|s| s.admission.timeout_s = Some(0.0));
    for (scenario, second) in [
        (&nobody_waits, Fate::Rejected),
        (&no_patience, Fate::TimedOut),
    ] {
        let outcome = simulate(&apart, scenario).unwrap();
        assert_eq!(fates(&outcome), [Fate::Done, second, Fate::Done]);
        is(outcome.summary.honest.makespan_s, 0.3);
    }
    // A time-out too short to change the time of arrival.
    let late = rows([(0.0, 1, 10), (1e8, 1, 10)]);
    let outcome = simulate(&late, &plain(|s| s.admission.timeout_s = Some(1e-9))).unwrap();
    assert_eq!(fates(&outcome), [Fate::Done; 2]);
    // One whose patience ends with the step before its own joins.
    let exact = rows([(0.0, 1, 1), (0.0, 1, 1), (0.0, 1, 1)]);
    let outcome = simulate(&exact, &plain(|s| s.admission.timeout_s = Some(0.01))).unwrap();
    assert_eq!(fates(&outcome), [Fate::Done, Fate::Done, Fate::TimedOut]);

    // Of three at one moment one is served, one waits where one may; two replicas serve two.
    let at_once = rows([(0.0, 1, 10), (0.0, 1, 10), (0.0, 1, 10)]);
    let one_waits = plain(|s| s.admission.max_waiting = Some(1));
    let outcome = simulate(&at_once, &one_waits).unwrap();
    assert_eq!(fates(&outcome), [Fate::Done, Fate::Done, Fate::Rejected]);
    for router in [Router::RoundRobin, Router::LeastRequests, Router::LeastWork] {
        for mut scenario in [nobody_waits.clone(), no_patience.clone()] {
            scenario.fleet.gpus = 2;
            if let Some(server) = scenario.server_mut() {
                server.router = router;
            }
            let found = fates(&simulate(&at_once, &scenario).unwrap());
            assert_eq!(found[..2], [Fate::Done; 2], "{router:?}");
            assert_ne!(found[2], Fate::Done);
        }
    }
    // A user who waits for each answer never finds anybody.
    for mut scenario in [nobody_waits, no_patience] {
        for think_s in [0.0, 0.05] {
            scenario.workload.closed_loop = Some(ClosedLoop {
                users: 1,
                requests_per_user: 3,
                think_min_s: think_s,
                think_max_s: think_s,
            });
            let outcome = simulate(&at_once, &scenario).unwrap();
            assert_eq!(fates(&outcome), [Fate::Done; 3]);
        }
    }
}

#[test]
fn percentiles_of_survivors_come_with_a_caution() {
    // 100/s onto 10/s, and who waits half a second is gone.
    let trace = rows((0..2000).map(|i| (f64::from(i) * 0.01, 1, 10)));
    let outcome = simulate(&trace, &plain(|s| s.admission.timeout_s = Some(0.5))).unwrap();
    let c = outcome.summary.continuous.as_ref().unwrap();
    let found = codes(&outcome);
    for code in ["survivors", "unsettled"] {
        assert!(found.contains(&code.to_owned()), "{found:?}");
    }
    let said = c.statistics.warnings.iter().find(|w| w.code == "survivors");
    let said = &said.unwrap().message;
    let served = outcome.summary.honest.requests;
    assert!(
        said.contains(&format!("{} of 2000 requests", c.timed_out)),
        "{said}"
    );
    assert!(said.contains(&format!("the other {served}")), "{said}");
    // Without time-outs the queue grows, and everybody is served.
    let found = codes(&simulate(&trace, &plain(|_| {})).unwrap());
    assert!(found.contains(&"unsettled".to_owned()), "{found:?}");
    assert!(!found.contains(&"survivors".to_owned()), "{found:?}");
    // Half the load: nothing to say.
    let calm = rows((0..2000).map(|i| (f64::from(i) * 0.2, 1, 10)));
    let outcome = simulate(&calm, &plain(|s| s.admission.timeout_s = Some(0.5))).unwrap();
    let found = codes(&outcome);
    assert!(
        !found
            .iter()
            .any(|code| code == "unsettled" || code == "survivors"),
        "{found:?}"
    );
}

/// A case of the reviewers: 2000 requests at 100/s onto 5.6/s, and 1856 of them give up after 5 s.
#[test]
fn the_survivors_of_an_overload() {
    let folder = std::path::Path::new("../shared/cases/14-survivors");
    let (Ok(input), Ok(scenario)) = (
        std::fs::File::open(folder.join("over.csv")),
        std::fs::read_to_string(folder.join("scenario.json")),
    ) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let trace = batchscope::trace::read(input, "over.csv", None).unwrap();
    let scenario: Scenario = serde_json::from_str(&scenario).unwrap();
    let outcome = simulate(&trace, &scenario).unwrap();
    let c = outcome.summary.continuous.as_ref().unwrap();
    assert_eq!((c.timed_out, outcome.summary.honest.requests), (1856, 144));
    let found = codes(&outcome);
    for code in ["survivors", "unsettled"] {
        assert!(found.contains(&code.to_owned()), "{found:?}");
    }
    let said = c.statistics.warnings.iter().find(|w| w.code == "survivors");
    assert!(said.unwrap().message.contains("7.2 %"));
}
