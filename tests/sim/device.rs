//! Steps that a device takes: with the model's own times they give the simulated run, and with any times every token
//! comes once and in order, and no slot, row or block is used twice.

use std::collections::BTreeMap;

use batchscope::latency::step::Step;
use batchscope::latency::{StepLatency, StepWork};
use batchscope::scenario::{ClosedLoop, Engine};
use batchscope::sched::continuous::kv::Capacity;
use batchscope::sched::continuous::{Order, Rule, Server};
use batchscope::sim::Run;
use batchscope::sim::continuous::Fate;
use batchscope::sim::device::{DeviceRun, Limits, Measured, Next, Row, Taken};
use batchscope::{Outcome, Scenario, Trace};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    sequences: 64,
    rows: 128,
    block_tokens: 4,
};

/// Traces of a few requests, open and by users, with too few slots, rows or blocks among them.
fn case() -> impl Strategy<Value = (Trace, Scenario)> {
    let request = (0.0..0.4f64, 1..40u32, 1..12u32);
    (
        prop::collection::vec(request, 1..30),
        (1..=8u32, 0..=8u32, prop::option::of(14..60u32)),
        (
            any::<bool>(),
            any::<bool>(),
            prop::option::of((1..6u32, 0.0..0.7f64)),
            prop::option::of(0.3..3.0f64),
            prop::option::of(0..4u32),
        ),
        any::<u32>(),
    )
        .prop_map(|(requests, (sequences, more, blocks), rest, seed)| {
            let (sarathi, shortest, users, timeout_s, max_waiting) = rest;
            let mut at_s = 0.0;
            let mut trace = Trace::default();
            for &(gap_s, prompt, output) in &requests {
                trace.arrival.push(at_s);
                trace.prompt.push(prompt);
                trace.output.push(output);
                at_s += gap_s;
            }
            let mut server = Server {
                rule: if sarathi { Rule::Sarathi } else { Rule::Vllm },
                order: if shortest { Order::Sjf } else { Order::Fcfs },
                max_sequences: sequences,
                max_batched_tokens: sequences + more,
                latency: StepLatency::Linear(Step {
                    c0_s: 0.0101,
                    c1_s_per_sequence: 0.00113,
                    c2_s_per_context_token: 1.7e-5,
                    c3_s_per_prefill_token: 1.3e-4,
                    c4_s_per_prefill_pair: 1e-7,
                    compute: None,
                }),
                ..Server::default()
            };
            server.kv.block_tokens = 4;
            server.kv.capacity = blocks.map_or(Capacity::Unlimited, Capacity::Blocks);
            server.kv.null_block = false;
            server.admission.timeout_s = timeout_s;
            server.admission.max_waiting = max_waiting;
            let mut scenario = Scenario {
                engine: Engine::Continuous(Box::new(server)),
                seed,
                ..Scenario::default()
            };
            scenario.fleet.gpus = 1;
            if let Some((users, think_s)) = users
                && users <= requests.len() as u32
            {
                scenario.workload.closed_loop = Some(ClosedLoop {
                    users,
                    requests_per_user: requests.len() as u32 / users,
                    think_min_s: 0.0,
                    think_max_s: think_s,
                });
            }
            (trace, scenario)
        })
}

fn server(scenario: &Scenario) -> &Server {
    scenario.server().unwrap()
}

/// What a decoder would see, and what it may rely on.
#[derive(Default)]
struct Decoder {
    /// By slot that is in use: positions that are filled.
    filled: BTreeMap<u32, u32>,
    rows: u64,
    sampled: u64,
}

impl Decoder {
    fn take(&mut self, vacant: &[u32], rows: &[Row], server: &Server) {
        for slot in vacant {
            assert!(self.filled.remove(slot).is_some(), "slot {slot} was free");
        }
        assert!(!rows.is_empty() && rows.len() as u32 <= server.max_batched_tokens);
        let mut sampled = Vec::new();
        let mut prompts_began = false;
        for row in rows {
            assert!(row.slot < server.max_sequences);
            if row.position == 0 {
                let taken = self.filled.insert(row.slot, 0);
                assert_eq!(taken, None, "slot {} is in use", row.slot);
            }
            let filled = self.filled.get_mut(&row.slot).expect("a slot that began");
            assert_eq!(row.position, *filled, "positions follow one another");
            *filled += 1;
            assert!(
                row.prompt || !prompts_began,
                "decoding sequences come first"
            );
            prompts_began |= row.prompt;
            assert!(row.prompt || row.sampled);
            if row.sampled {
                assert!(!sampled.contains(&row.slot), "one token a step");
                sampled.push(row.slot);
            }
        }
        assert!(self.filled.len() as u32 <= server.max_sequences);
        self.rows += rows.len() as u64;
        self.sampled += sampled.len() as u64;
        if let Capacity::Blocks(blocks) = server.kv.capacity {
            let used: u32 = self.filled.values().map(|filled| filled.div_ceil(4)).sum();
            assert!(used <= blocks, "{used} blocks of {blocks}");
        }
    }
}

/// Serves a scenario; `took_s` says how long a step takes.
fn serve(
    trace: &Trace,
    scenario: &Scenario,
    mut took_s: impl FnMut(&Taken) -> f64,
) -> (Measured, Decoder) {
    let mut run = DeviceRun::new(trace, scenario, LIMITS).unwrap();
    let mut decoder = Decoder::default();
    let mut now_s = 0.0;
    loop {
        match run.next(now_s) {
            Next::Step { vacant, rows } => {
                let (vacant, rows) = (vacant.to_vec(), rows.to_vec());
                decoder.take(&vacant, &rows, server(scenario));
                let again = Next::Step {
                    vacant: &vacant,
                    rows: &rows,
                };
                assert_eq!(run.next(now_s), again);
                let step_s = took_s(&Taken::of(&rows, 0.0));
                now_s += step_s;
                run.ended(now_s, step_s);
                // Nothing is under way.
                run.ended(now_s, step_s);
            }
            Next::Wait(until_s) => {
                assert!(until_s > now_s, "waiting for what is past");
                now_s = until_s;
            }
            Next::Done => break,
        }
    }
    let (answered, all) = run.answered();
    assert_eq!(answered, all);
    (run.finish(), decoder)
}

proptest! {
    #[test]
    fn a_device_that_takes_the_model_s_time_is_the_simulated_run((trace, scenario) in case()) {
        let model = server(&scenario).latency.model();
        let (measured, decoder) = serve(&trace, &scenario, |step| {
            let work = StepWork {
                sequences: step.sequences,
                context: step.context,
                chunks: &step.chunks,
                sampled: step.sampled,
            };
            model.step(&work).seconds
        });
        let steps = measured.steps.len() as u64;
        let device = Outcome::of(&trace, measured.record);
        let mut run = Run::new(&trace, &scenario).unwrap();
        run.step_by_step();
        while !run.advance(&trace, 1) {}
        let simulated = Outcome::of(&trace, run.finish());
        let (a, b) = (device.served.as_ref().unwrap(), simulated.served.as_ref().unwrap());
        prop_assert_eq!(&a.0.fate, &b.0.fate);
        for (a, b) in [
            (&a.0.joined_s, &b.0.joined_s),
            (&a.0.first_token_s, &b.0.first_token_s),
            (&a.0.done_s, &b.0.done_s),
        ] {
            for (a, b) in a.iter().zip(b) {
                prop_assert!((a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-9, "{} and {}", a, b);
            }
        }
        prop_assert_eq!(a.1.steps, b.1.steps);
        prop_assert_eq!(steps, b.1.steps);
        prop_assert_eq!(a.1.emitted, b.1.emitted);
        prop_assert_eq!(a.1.preemptions, b.1.preemptions);
        prop_assert_eq!(a.1.gaps.count, b.1.gaps.count);
        for (a, b) in [(a.1.gaps.sum, b.1.gaps.sum), (a.1.token_s, b.1.token_s)] {
            prop_assert!((a - b).abs() < 1e-9 * b.max(1.0), "{} and {}", a, b);
        }
        // Every token that goes through the decoder is one that the engine counts.
        prop_assert_eq!(decoder.rows as f64, b.1.decoded + b.1.prefilled);
    }

    #[test]
    fn every_token_comes_once_whatever_the_steps_take(
        (trace, scenario) in case(),
        times_s in prop::collection::vec(0.01..2.0f64, 1..20),
    ) {
        let mut times = times_s.iter().cycle();
        let (measured, decoder) = serve(&trace, &scenario, |_| *times.next().unwrap());
        let outcome = Outcome::of(&trace, measured.record);
        let (served, totals) = &**outcome.served.as_ref().unwrap();
        let done = served.fate.iter().filter(|fate| **fate == Fate::Done).count();
        prop_assert_eq!(outcome.summary.honest.requests, done as u64);
        let tokens: u32 = served.fate.iter().zip(&trace.output)
            .filter(|(fate, _)| **fate == Fate::Done).map(|(_, output)| output).sum();
        prop_assert_eq!(totals.emitted, u64::from(tokens));
        prop_assert_eq!(decoder.sampled, u64::from(tokens));
        prop_assert_eq!(decoder.rows as f64, totals.decoded + totals.prefilled);
        let busy_s: f64 = measured.steps.iter().map(|step| step.took_s).sum();
        prop_assert!((totals.busy_s[0] - busy_s).abs() < 1e-9 * busy_s.max(1.0));
        for row in 0..served.fate.len() {
            if served.fate[row] == Fate::Done {
                prop_assert!(served.joined_s[row] < served.first_token_s[row]);
                prop_assert!(served.first_token_s[row] <= served.done_s[row]);
            }
        }
    }
}

#[test]
fn a_request_joins_at_the_next_step_while_another_decodes() {
    let trace = Trace {
        arrival: vec![0.0; 2],
        prompt: vec![3; 2],
        output: vec![3; 2],
        ..Trace::default()
    };
    let mut server = Server {
        max_sequences: 2,
        max_batched_tokens: 4,
        ..Server::default()
    };
    server.kv.capacity = Capacity::Unlimited;
    server.kv.block_tokens = 4;
    let mut scenario = Scenario {
        engine: Engine::Continuous(Box::new(server)),
        ..Scenario::default()
    };
    scenario.fleet.gpus = 1;
    let row = |slot, position, sampled| Row {
        slot,
        position,
        prompt: position < 3,
        sampled,
    };
    let mut run = DeviceRun::new(&trace, &scenario, LIMITS).unwrap();
    let (mut steps, mut left) = (Vec::new(), Vec::new());
    let mut now_s = 0.0;
    while let Next::Step { vacant, rows } = run.next(now_s) {
        steps.push(rows.to_vec());
        left.push(vacant.to_vec());
        now_s += 1.0;
        run.ended(now_s, 1.0);
    }
    assert_eq!(
        steps,
        [
            // The first prompt whole, and what room is left for the second.
            vec![
                row(0, 0, false),
                row(0, 1, false),
                row(0, 2, true),
                row(1, 0, false)
            ],
            vec![row(0, 3, true), row(1, 1, false), row(1, 2, true)],
            vec![row(0, 4, true), row(1, 3, true)],
            vec![row(1, 4, true)],
        ]
    );
    assert_eq!(left, [vec![], vec![], vec![], vec![0]]);
    let outcome = Outcome::of(&trace, run.finish().record);
    let served = &outcome.served.unwrap().0;
    assert_eq!(served.first_token_s, [1.0, 2.0]);
    assert_eq!(served.done_s, [3.0, 4.0]);
    assert_eq!(served.joined_s, [0.0, 0.0]);
}

#[test]
fn a_device_needs_a_cache_for_all_that_can_be_at_work() {
    let trace = Trace {
        arrival: vec![0.0; 3],
        prompt: vec![10, 3, 0],
        output: vec![5, 2, 1],
        ..Trace::default()
    };
    let mut scenario = Scenario::continuous();
    scenario.fleet.gpus = 1;
    let tokens = |capacity, scenario: &mut Scenario| {
        if let Some(server) = scenario.server_mut() {
            server.max_sequences = 2;
            // As many rows as the device takes.
            server.max_batched_tokens = LIMITS.rows;
            server.kv.block_tokens = 4;
            server.kv.capacity = capacity;
        }
        let run = DeviceRun::new(&trace, scenario, LIMITS).unwrap();
        run.cache_tokens()
    };
    // Two requests of 15 tokens, in 4 blocks of 4 each.
    assert_eq!(tokens(Capacity::Unlimited, &mut scenario), 32);
    assert_eq!(tokens(Capacity::Blocks(5), &mut scenario), 20);
    scenario.workload.closed_loop = Some(ClosedLoop {
        users: 1,
        requests_per_user: 3,
        ..ClosedLoop::default()
    });
    assert_eq!(tokens(Capacity::Unlimited, &mut scenario), 16);
}
