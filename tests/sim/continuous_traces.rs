//! Continuous batching of real traces, where they are there, and of settings that cannot be.

use std::fs::File;
use std::path::Path;

use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::hardware::Card;
use batchscope::latency::{StepLatency, StepTable};
use batchscope::metrics::figures;
use batchscope::scenario::{Engine, put_on_hardware};
use batchscope::sched::continuous::kv::{Capacity, Reuse};
use batchscope::sched::continuous::router::Router;
use batchscope::sched::continuous::speculative::Speculative;
use batchscope::sched::continuous::{Server, Warmup};
use batchscope::sim::continuous::{Fate, Level};
use batchscope::trace::synth::Synthetic;
use batchscope::trace::{self, Failed};
use batchscope::{Error, Outcome, Scenario, Trace, simulate};

fn read(file: &str) -> Option<Trace> {
    let path = Path::new("../shared/data").join(file);
    match File::open(&path) {
        Ok(input) => Some(trace::read(input, file, None).unwrap()),
        Err(_) => {
            println!("skipped: {} is not there", path.display());
            None
        }
    }
}

fn on_h100(change: impl FnOnce(&mut Server)) -> Scenario {
    let mut scenario = Scenario::continuous();
    scenario.fleet.gpus = 4;
    let model = Architecture::preset("llama-3.1-8b").unwrap();
    let card = Card::preset("h100").unwrap();
    put_on_hardware(&mut scenario, &model, Precision::F16, &card, 1, 0.9).unwrap();
    if let Some(server) = scenario.server_mut() {
        change(server);
    }
    scenario
}

/// Everybody is done, and the levels over time add up to the times of the requests.
fn all_done(trace: &Trace, scenario: &Scenario) -> Outcome {
    let outcome = simulate(trace, scenario).unwrap();
    let h = &outcome.summary.honest;
    let good = trace.output.iter().filter(|&&o| o > 0).count() as u64;
    assert_eq!(h.requests, good);
    let totals = &outcome.served.as_ref().unwrap().1;
    let levels = totals.series.integral(Level::Waiting) + totals.series.integral(Level::Running);
    let in_system = h.e2e_s.unwrap().mean * good as f64;
    assert!(
        (levels / in_system - 1.0).abs() < 1e-9,
        "{levels} {in_system}"
    );
    let tokens: u64 = trace.output.iter().map(|&o| u64::from(o)).sum();
    let gaps = outcome
        .summary
        .continuous
        .as_ref()
        .unwrap()
        .tbt_ms
        .unwrap()
        .count;
    assert_eq!(gaps, tokens - good);
    outcome
}

#[test]
fn azure_code() {
    let Some(trace) = read("azure2023/AzureLLMInferenceTrace_code.csv.gz") else {
        return;
    };
    let outcome = all_done(&trace, &on_h100(|_| {}));
    let c = outcome.summary.continuous.unwrap();
    assert!(
        c.mean_prompt_tokens > c.mean_batch,
        "code has long prompts and short answers"
    );
}

#[test]
fn mooncake_with_its_prefix_hashes() {
    let Some(trace) = read("mooncake/conversation_trace.jsonl.gz") else {
        return;
    };
    // Printed for this file by its authors.
    let ideal = trace::stats(&trace).prefix_hit_ratio.unwrap();
    assert!((ideal - 0.3664).abs() < 5e-5, "{ideal}");
    // By hand, in the terms of the engine: whole blocks of 512 tokens from the first on, and a token at least
    // is computed.
    let prefix = trace.prefix.as_ref().unwrap();
    let mut seen = vec![false; prefix.blocks.iter().max().map_or(0, |&m| m as usize + 1)];
    let (mut found, mut all) = (0u64, 0u64);
    for row in 0..trace.len() {
        let prompt = trace.prompt[row];
        let whole = &prefix.of(row)[..(prompt / 512) as usize];
        let mut hits = whole
            .iter()
            .take_while(|&&unit| seen[unit as usize])
            .count() as u32;
        if hits > 0 && hits * 512 >= prompt {
            hits -= 1;
        }
        found += u64::from(hits * 512);
        all += u64::from(prompt);
        whole.iter().for_each(|&unit| seen[unit as usize] = true);
    }
    let infinite = on_h100(|server| {
        server.kv.capacity = Capacity::Unlimited;
        server.kv.prefix.reuse = Reuse::Hashes;
    });
    let one = Scenario {
        fleet: batchscope::scenario::Fleet { gpus: 1 },
        ..infinite.clone()
    };
    let hit_rate = |outcome: &Outcome| {
        let prefix = outcome.summary.continuous.as_ref().unwrap().prefix.clone();
        prefix.unwrap().hit_rate.unwrap()
    };
    let best = hit_rate(&all_done(&trace, &one));
    assert!((best - found as f64 / all as f64).abs() < 1e-12, "{best}");
    // Spread over replicas prompts meet less of what went before; whoever looks for it meets more.
    let rate = |router| {
        let mut scenario = infinite.clone();
        if let Some(server) = scenario.server_mut() {
            server.router = router;
        }
        hit_rate(&all_done(&trace, &scenario))
    };
    let (blind, seeing) = (rate(Router::RoundRobin), rate(Router::PrefixAffinity));
    assert!(blind < seeing && seeing <= best, "{blind} {seeing} {best}");
    // A cache with an end finds less, and evicts.
    let bounded = all_done(
        &trace,
        &on_h100(|server| server.kv.prefix.reuse = Reuse::Hashes),
    );
    let prefix = bounded
        .summary
        .continuous
        .as_ref()
        .unwrap()
        .prefix
        .clone()
        .unwrap();
    assert!(prefix.hit_rate.unwrap() < best && prefix.evictions > 0);
}

#[test]
fn lengths_of_sharegpt() {
    let Some(trace) = read("sharegpt_lengths/sharegpt-llama-3.1-8b-300-sps10.csv") else {
        return;
    };
    all_done(&trace, &on_h100(|_| {}));
}

#[test]
fn a_warm_up_is_left_out_of_every_figure() {
    let synthetic = batchscope::trace::synth::Synthetic {
        requests: 4000,
        ..Default::default()
    };
    let trace = synthetic.generate(1).unwrap();
    let whole = simulate(&trace, &on_h100(|_| {})).unwrap().summary;
    let cut = simulate(&trace, &on_h100(|s| s.warmup = Warmup::Share(0.22)))
        .unwrap()
        .summary;
    let warm = cut.continuous.as_ref().unwrap().statistics.warmup_requests;
    // A quarter: whole twentieths.
    assert_eq!(warm, whole.honest.requests.div_ceil(4));
    assert_eq!(cut.honest.requests + warm, whole.honest.requests);
    assert_eq!(cut.continuous.unwrap().statistics.parts, 15);
}

/// The curves that the laboratory draws are those of the rows and of the totals.
#[test]
fn curves_and_levels_are_those_of_the_rows() {
    let source = Synthetic {
        requests: 3000,
        ..Synthetic::default()
    };
    let trace = source.generate(3).unwrap();
    let mut scenario = on_h100(|s| {
        s.kv.capacity = Capacity::Blocks(700);
        s.admission.timeout_s = Some(20.0);
    });
    scenario.workload.time_scale = 600.0;
    let outcome = simulate(&trace, &scenario).unwrap();
    let (served, totals) = &**outcome.served.as_ref().unwrap();
    assert!(outcome.summary.continuous.as_ref().unwrap().timed_out > 0);
    let arrivals = outcome.requests.arrivals(&trace);
    let of = |times: &[f64]| -> Vec<f64> {
        let rows = times.iter().enumerate().zip(&served.fate);
        let done = rows.filter(|&(_, &fate)| fate == Fate::Done);
        done.map(|((row, &t), _)| t - arrivals.of(row)).collect()
    };
    let cdfs = figures::served_cdfs(&trace, &outcome, 200);
    for (curve, values) in [
        (&cdfs.ttft, of(&served.first_token_s)),
        (&cdfs.latency, of(&served.done_s)),
    ] {
        assert!((50..=200).contains(&curve.latency_s.len()));
        assert_eq!(curve.fraction.last(), Some(&1.0));
        for (&x, &share) in curve.latency_s.iter().zip(&curve.fraction) {
            let below = values.iter().filter(|&&value| value < x).count();
            assert_eq!(share, below as f64 / values.len() as f64);
        }
    }
    assert_eq!(cdfs.tbt.fraction.last(), Some(&1.0));
    assert!(cdfs.tbt.latency_s.last() >= Some(&totals.gaps.max));

    let series = figures::served_series(&trace, &outcome);
    let width = totals.series.width_s;
    // As fine as 1024 intervals allow.
    let intervals = series.t_s.len();
    assert!((512..=1024).contains(&intervals), "{intervals}");
    for (values, level) in [
        (&series.waiting, Level::Waiting),
        (&series.running, Level::Running),
        (&series.kv_blocks, Level::Blocks),
        (&series.kv_tokens, Level::Tokens),
        (&series.busy, Level::Busy),
    ] {
        // The last interval may be cut short; its middle says how long it is.
        let lengths = series.t_s.iter().enumerate().map(|(i, &middle)| {
            let from = i as f64 * width;
            (2.0 * (middle - from)).min(width)
        });
        let area: f64 = values.iter().zip(lengths).map(|(v, l)| v * l).sum();
        let whole = totals.series.integral(level);
        assert!(
            (area - whole).abs() < 1e-9 * whole,
            "{level:?}: {area} {whole}"
        );
    }
}

/// One replica whose steps last 1 s.
fn by_seconds(change: impl FnOnce(&mut Server)) -> Scenario {
    let mut server = Server {
        latency: StepLatency::Linear(batchscope::latency::step::Step {
            c0_s: 1.0,
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

fn requests(rows: &[(f64, u32, u32)]) -> Trace {
    Trace {
        name: "by hand".to_owned(),
        arrival: rows.iter().map(|r| r.0).collect(),
        prompt: rows.iter().map(|r| r.1).collect(),
        output: rows.iter().map(|r| r.2).collect(),
        ..Trace::default()
    }
}

fn first_tokens(trace: &Trace, scenario: &Scenario) -> Vec<f64> {
    let outcome = simulate(trace, scenario).unwrap();
    outcome.served.unwrap().0.first_token_s
}

#[test]
fn asynchronous_scheduling_by_hand() {
    // The second arrives during the first step: it joins the second step, or the third.
    let trace = requests(&[(0.0, 10, 5), (0.5, 10, 5)]);
    assert_eq!(first_tokens(&trace, &by_seconds(|_| {})), [1.0, 2.0]);
    let ahead = by_seconds(|s| s.async_scheduling = true);
    assert_eq!(first_tokens(&trace, &ahead), [1.0, 3.0]);
    // The first is done at 2 s: its place is free for the step that begins then, or one step later, while the
    // second decodes.
    let trace = requests(&[(0.0, 10, 2), (0.0, 10, 9), (0.0, 10, 1)]);
    let places = |ahead| {
        by_seconds(move |s| {
            s.max_sequences = 2;
            s.async_scheduling = ahead;
        })
    };
    assert_eq!(first_tokens(&trace, &places(false)), [1.0, 1.0, 3.0]);
    assert_eq!(first_tokens(&trace, &places(true)), [1.0, 1.0, 4.0]);
    // Its blocks: 4 of 16 tokens, one for each prompt of 10 and two for the third of 30.
    let blocks = |ahead| {
        by_seconds(move |s| {
            s.kv.capacity = Capacity::Blocks(3);
            s.async_scheduling = ahead;
        })
    };
    let trace = requests(&[(0.0, 10, 2), (0.0, 10, 5), (0.0, 30, 1)]);
    assert_eq!(first_tokens(&trace, &blocks(false)), [1.0, 1.0, 3.0]);
    assert_eq!(first_tokens(&trace, &blocks(true)), [1.0, 1.0, 4.0]);
    // With nobody else at work no step is under way: the next begins at once.
    let trace = requests(&[(0.0, 10, 2), (0.5, 10, 1)]);
    let one = |ahead| {
        by_seconds(move |s| {
            s.max_sequences = 1;
            s.async_scheduling = ahead;
        })
    };
    assert_eq!(first_tokens(&trace, &one(false)), [1.0, 3.0]);
    assert_eq!(first_tokens(&trace, &one(true)), [1.0, 3.0]);
}

#[test]
fn the_null_block_and_the_watermark_by_hand() {
    // Four blocks for two prompts of two: with a null block the second waits for the first, which is done at 3 s.
    let trace = requests(&[(0.0, 30, 3), (0.0, 30, 3)]);
    let four = |null_block| {
        by_seconds(move |s| {
            s.kv.capacity = Capacity::Blocks(4);
            s.kv.null_block = null_block;
        })
    };
    assert_eq!(first_tokens(&trace, &four(false)), [1.0, 1.0]);
    assert_eq!(first_tokens(&trace, &four(true)), [1.0, 4.0]);
    let alone = by_seconds(|s| {
        s.kv.capacity = Capacity::Blocks(1);
        s.kv.null_block = true;
    });
    assert!(
        refused(&alone)
            .contains("kv.capacity.blocks: 1 is not allowed; allowed is a whole number from 2")
    );
    // 0.4 of 4 blocks is 1: with 5 blocks of which 4 are taken, one stays free; 0.7 of 5 is 3.
    let trace = requests(&[(0.0, 30, 3), (0.0, 30, 3)]);
    let five = |watermark| {
        by_seconds(move |s| {
            s.kv.capacity = Capacity::Blocks(5);
            s.kv.watermark = watermark;
        })
    };
    assert_eq!(first_tokens(&trace, &five(0.39)), [1.0, 1.0]);
    assert_eq!(first_tokens(&trace, &five(0.4)), [1.0, 4.0]);
}

#[test]
fn a_long_prompt_leaves_room_by_hand() {
    // 100 tokens a step, at most 40 of one prompt: the second, of 50, ends in the second step, the first in the
    // third.
    let trace = requests(&[(0.0, 120, 2), (0.0, 50, 2)]);
    let capped = |most| {
        by_seconds(move |s| {
            s.max_sequences = 10;
            s.max_batched_tokens = 100;
            s.long_prefill_token_threshold = most;
        })
    };
    assert_eq!(first_tokens(&trace, &capped(0)), [2.0, 2.0]);
    assert_eq!(first_tokens(&trace, &capped(40)), [3.0, 2.0]);
}

#[test]
fn hash_units_of_any_size_by_hand() {
    use batchscope::trace::PrefixBlocks;
    // Two prompts of 25 tokens that share their first tokens, the second after the first is done: how many of its
    // tokens are found, by hash unit, block and shared units.
    for (unit, block, shared, found) in [
        (4, 4, 6, 24u32),
        (4, 4, 3, 12),
        // Smaller: two hashes a block, of three shared the third is half a block.
        (4, 8, 3, 8),
        (4, 8, 4, 16),
        // Larger: a unit of 12 is two blocks of 6.
        (12, 6, 1, 12),
        (12, 6, 2, 24),
        // Not dividing: 18 tokens are four blocks of 4 and a half; the fifth ends in no shared unit.
        (6, 4, 3, 16),
        (6, 4, 2, 12),
        (10, 4, 1, 8),
        (10, 4, 2, 20),
    ] {
        let mut trace = requests(&[(0.0, 25, 1), (5.0, 25, 1)]);
        let whole = 25 / unit;
        let mut blocks: Vec<u32> = (0..whole).collect();
        blocks.extend((0..whole).map(|k| if k < shared { k } else { whole + k }));
        trace.prefix = Some(PrefixBlocks {
            tokens_per_block: unit,
            offsets: vec![0, whole, 2 * whole],
            blocks,
        });
        let scenario = by_seconds(|s| {
            s.kv.block_tokens = block;
            s.kv.capacity = Capacity::Blocks(40);
            s.kv.prefix.reuse = Reuse::Hashes;
        });
        let totals = simulate(&trace, &scenario).unwrap().served.unwrap().1;
        assert_eq!(
            totals.found_tokens,
            u64::from(found),
            "{unit} {block} {shared}"
        );
    }
    // A second turn of 20 tokens that begins with a prompt of 8 and an answer of 9: 16 tokens are in whole blocks of
    // the cache (the last token of an answer never is), and are found where the trace says that it is a next turn.
    let mut trace = requests(&[(0.0, 8, 9), (20.0, 20, 1)]);
    trace.prefix = Some(PrefixBlocks {
        tokens_per_block: 4,
        offsets: vec![0, 2, 7],
        blocks: vec![0, 1, 0, 1, 2, 3, 4],
    });
    let scenario = by_seconds(|s| {
        s.kv.block_tokens = 4;
        s.kv.prefix.reuse = Reuse::Hashes;
    });
    let found = |trace: &Trace| {
        let served = simulate(trace, &scenario).unwrap().served.unwrap();
        served.1.found_tokens
    };
    assert_eq!(found(&trace), 8);
    trace.session = Some(vec![0, 0]);
    assert_eq!(found(&trace), 16);
    // A next prompt too short for the answer does not hold it.
    trace.prompt[1] = 16;
    assert_eq!(found(&trace), 8);
}

/// What is refused, by field.
fn refused(scenario: &Scenario) -> String {
    let trace = Trace {
        name: "three".to_owned(),
        arrival: vec![0.0, 0.1, 0.2],
        prompt: vec![100, 5000, 10],
        output: vec![10, 20, 30],
        ..Trace::default()
    };
    match simulate(&trace, scenario) {
        Ok(_) => "accepted".to_owned(),
        Err(error @ (Error::BadField { .. } | Error::Contradiction { .. })) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn settings_that_cannot_be_are_refused_by_field() {
    let linear = |change: fn(&mut batchscope::latency::step::Step)| {
        on_h100(|server| {
            if let StepLatency::Linear(step) = &mut server.latency {
                change(step);
            }
        })
    };
    let mut cases = vec![
        (
            on_h100(|s| s.kv.capacity = Capacity::Blocks(0)),
            "engine.continuous.kv.capacity.blocks: 0 is not allowed; allowed is a whole number from 1",
        ),
        (
            on_h100(|s| s.kv.capacity = Capacity::Blocks(300)),
            "at least 314 blocks, which request 2 of three needs (5000 prompt and 20 output tokens)",
        ),
        (
            on_h100(|s| s.kv.block_tokens = 0),
            "engine.continuous.kv.block_tokens",
        ),
        (
            on_h100(|s| s.kv.watermark = -0.1),
            "engine.continuous.kv.watermark",
        ),
        (
            on_h100(|s| s.max_sequences = 0),
            "engine.continuous.max_sequences",
        ),
        (
            on_h100(|s| s.max_batched_tokens = 100),
            "engine.continuous.max_batched_tokens: 100 is not allowed; allowed is a whole number from 256",
        ),
        (
            on_h100(|s| s.ageing_per_s = f64::NAN),
            "engine.continuous.ageing_per_s",
        ),
        (
            on_h100(|s| s.bin_patience_s = -1.0),
            "engine.continuous.bin_patience_s",
        ),
        (
            on_h100(|s| s.admission.timeout_s = Some(-1.0)),
            "engine.continuous.admission.timeout_s",
        ),
        (
            on_h100(|s| s.tensor_parallel = 3),
            "fleet.gpus: 4 is not allowed; allowed is a multiple of",
        ),
        (
            on_h100(|s| s.kv.prefix.reuse = Reuse::Hashes),
            "three has no prefix hashes",
        ),
        (
            on_h100(|s| s.kv.prefix.reuse = Reuse::Sessions),
            "three has no sessions",
        ),
        (
            on_h100(|s| s.router = Router::SessionSticky),
            "three has no sessions",
        ),
        (
            on_h100(|s| s.router = Router::PrefixAffinity),
            "needs kv.prefix.reuse to be hashes",
        ),
        (
            on_h100(|s| s.warmup = Warmup::Share(0.9)),
            "engine.continuous.warmup.share",
        ),
        (
            on_h100(|s| {
                s.speculative = Some(Speculative {
                    draft_tokens: 3,
                    acceptance: vec![0.5, 1.5],
                    draft_s: 0.0,
                    draft_s_per_sequence: 0.0,
                });
                s.max_batched_tokens = 4096;
            }),
            "engine.continuous.speculative.acceptance[1]: 1.5",
        ),
        (
            on_h100(|s| s.latency = StepLatency::Table(StepTable::default())),
            "engine.continuous.latency.table",
        ),
        (
            linear(|s| s.c0_s = f64::NAN),
            "engine.continuous.latency.linear.c0_s: NaN",
        ),
        (
            linear(|s| s.c2_s_per_context_token = -1e-9),
            "c2_s_per_context_token",
        ),
        (
            linear(|s| {
                s.c0_s = 0.0;
                s.c1_s_per_sequence = 0.0;
                s.c2_s_per_context_token = 0.0;
                s.compute = None;
            }),
            "make every step last at least 1e-9 s",
        ),
    ];
    let mut keeps = on_h100(|_| {});
    keeps.workload.failed = Failed::Keep;
    cases.push((keeps, "workload.failed"));
    let mut small = on_h100(|_| {});
    small.memory_mut().capacity_gb = small.memory().model_gb + 1e-4;
    cases.push((small, "memory.capacity_gb"));
    for (scenario, said) in cases {
        let refusal = refused(&scenario);
        assert!(refusal.contains(said), "{refusal}\nlacks {said}");
    }
    let rejecting = on_h100(|s| {
        s.kv.capacity = Capacity::Blocks(300);
        s.admission.reject_too_long = true;
    });
    assert_eq!(refused(&rejecting), "accepted");
    // More bins than requests, where bins are used.
    let mut many = on_h100(|s| s.bins = true);
    many.bins.count = 4;
    assert_eq!(
        refused(&many),
        "bins.count: 4 is not allowed; allowed is at most the number of requests to serve, which is 3"
    );
    many.bins.count = 3;
    assert_eq!(refused(&many), "accepted");
    many.bins.count = 4;
    many.engine = on_h100(|_| {}).engine;
    assert_eq!(refused(&many), "accepted");
}
