//! Users against a server with continuous batching: the figures against closed forms, and what is said of measured and
//! predicted levels side by side.
use crate::support::studies::{column, figure, names, table, text};
use batchscope::experiment::saturation::points::Times;
use batchscope::experiment::serving::{
    Comparison, Levels, Machine, Origin, Served, Stack, levels, predict,
};
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::hardware::{Card, Hardware};
use batchscope::latency::roofline::Stored;
use batchscope::latency::step::{Compute, Step};
use batchscope::latency::{StepLatency, StepWork};
use batchscope::report as bytes_of;
use batchscope::report::document::{Cell, File};
use batchscope::scenario::{ClosedLoop, Engine, MEMORY_SHARE, put_on_hardware};
use batchscope::sched::continuous::Server;
use batchscope::sched::continuous::kv::Capacity;
use batchscope::sim::device::{DeviceRun, Limits, Measured, Next, Taken};
use batchscope::{Error, Scenario, Trace};

const STEP: Step = Step {
    c0_s: 0.010,
    c1_s_per_sequence: 0.001,
    c2_s_per_context_token: 2e-5,
    c3_s_per_prefill_token: 1e-4,
    c4_s_per_prefill_pair: 0.0,
    compute: None,
};

/// No step depends on what its members have written, or on prompts.
const FLAT: Step = Step {
    c2_s_per_context_token: 0.0,
    c3_s_per_prefill_token: 0.0,
    c4_s_per_prefill_pair: 0.0,
    ..STEP
};

fn near(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
}

/// Quantiles of gaps and steps are to within 0.4 %.
fn nearly(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 0.004, "{a} is not about {b}");
}

/// Users with equal requests, and what the server can hold.
#[derive(Debug, Clone, Copy)]
struct Load {
    users: u32,
    requests_per_user: u32,
    prompt_tokens: u32,
    output_tokens: u32,
    think_s: f64,
    sequences: u32,
    rows: u32,
}

const LOAD: Load = Load {
    users: 1,
    requests_per_user: 4,
    prompt_tokens: 64,
    output_tokens: 32,
    think_s: 0.0,
    sequences: 64,
    rows: 128,
};

impl Load {
    fn requests(&self) -> u32 {
        self.users * self.requests_per_user
    }

    /// Positions of the cache that a request fills.
    fn positions(&self) -> u32 {
        self.prompt_tokens + self.output_tokens - 1
    }

    fn trace(&self) -> Trace {
        let rows = self.requests() as usize;
        Trace {
            arrival: vec![0.0; rows],
            prompt: vec![self.prompt_tokens; rows],
            output: vec![self.output_tokens; rows],
            ..Trace::default()
        }
    }

    fn on(&self, mut scenario: Scenario) -> Scenario {
        scenario.fleet.gpus = 1;
        scenario.workload.closed_loop = Some(ClosedLoop {
            users: self.users,
            requests_per_user: self.requests_per_user,
            think_min_s: self.think_s,
            think_max_s: self.think_s,
        });
        scenario
    }

    fn scenario(&self, model: &Step) -> Scenario {
        let mut server = Server {
            max_sequences: self.sequences,
            max_batched_tokens: self.rows,
            latency: StepLatency::Linear(*model),
            ..Server::default()
        };
        server.kv.capacity = Capacity::Unlimited;
        self.on(Scenario {
            engine: Engine::Continuous(Box::new(server)),
            ..Scenario::default()
        })
    }
}

fn served(load: &Load, model: &Step) -> Served {
    predict(&load.trace(), &load.scenario(model)).unwrap()
}

#[test]
fn one_user_waits_for_the_chunks_of_a_prompt_and_then_a_step_a_token() {
    let load = Load {
        requests_per_user: 3,
        prompt_tokens: 200,
        output_tokens: 21,
        ..LOAD
    };
    let served = served(&load, &STEP);
    // Chunks of 128 and 72 tokens; then steps at contexts of 201 to 220.
    let ttft = 2.0 * 10.0 + 200.0 * 0.1;
    let gap = |context: f64| 10.0 + 1.0 + 0.02 * context;
    let decode: f64 = (201..=220).map(|context| gap(f64::from(context))).sum();
    let level = &served.level;
    for time in [level.ttft_ms.avg, level.ttft_ms.p50, level.ttft_ms.p99] {
        near(time.unwrap(), ttft);
    }
    near(level.latency_ms.avg.unwrap(), ttft + decode);
    near(served.tbt_ms.avg.unwrap(), decode / 20.0);
    nearly(served.tbt_ms.p50.unwrap(), gap(210.5));
    // 60 gaps, three of each: place 0.95 x 59 = 56.05 is just behind the last at a context of 219.
    nearly(served.tbt_ms.p95.unwrap(), gap(219.05));
    near(served.step_ms.avg.unwrap(), (ttft + decode) / 22.0);
    // Of 66 steps the 60 that decode are the shorter ones.
    nearly(served.step_ms.p50.unwrap(), gap(211.5));
    near(served.pairs, 3.0 * 200.0 * 201.0 / 2.0 / 66.0);
    near(level.duration_s.unwrap(), 3.0 * (ttft + decode) / 1e3);
    near(level.tok_s, 21.0 / ((ttft + decode) / 1e3));
    near(level.request_tok_s.unwrap(), level.tok_s);
    near(served.busy_s, level.duration_s.unwrap());
    assert_eq!(served.steps, 3 * 22);
    assert_eq!(served.queueing_ms.p99, Some(0.0));
    near(served.prefill, 600.0 / 66.0);
}

#[test]
fn prompts_that_join_together_decode_at_the_saturated_rate() {
    for users in [1, 4, 16, 64] {
        let load = Load {
            users,
            requests_per_user: 2,
            prompt_tokens: 1,
            output_tokens: 100,
            ..LOAD
        };
        let served = served(&load, &FLAT);
        let n = f64::from(users);
        let step_s = 0.010 + 0.001 * n;
        // n slots, a + b n a step: TPOT = a + b n, throughput n/(a + b n) but for the prompts' step.
        near(served.tbt_ms.avg.unwrap(), step_s * 1e3);
        nearly(served.tbt_ms.p99.unwrap(), step_s * 1e3);
        near(served.level.tok_s, n * 100.0 / (0.010 + 99.0 * step_s));
    }
}

#[test]
fn more_users_than_slots_keep_every_slot_at_work() {
    let load = Load {
        users: 32,
        requests_per_user: 20,
        prompt_tokens: 4,
        output_tokens: 400,
        sequences: 8,
        rows: 16,
        ..LOAD
    };
    let served = served(&load, &FLAT);
    // n/(a + b n), but for first tokens, which cost nothing with this model, and for
    // the end, when slots become empty.
    let saturated = 8.0 / (0.010 + 0.001 * 8.0);
    let share = served.level.tok_s / saturated;
    assert!((share - 1.0).abs() < 0.01, "{share}");
    // Three of four users wait, for as long as three requests before theirs take.
    let (queueing, latency) = (served.queueing_ms.avg, served.level.latency_ms.avg);
    let share = queueing.unwrap() / latency.unwrap();
    assert!((share - 0.75).abs() < 0.02, "{share}");
}

/// The model on one GPU by its data sheet.
fn on_card(model: &Architecture, precision: Precision, card: &Card) -> Result<Scenario, Error> {
    let mut scenario = Scenario::continuous();
    put_on_hardware(&mut scenario, model, precision, card, 1, MEMORY_SHARE)?;
    Ok(scenario)
}

#[test]
fn a_data_sheet_is_served_by_the_engine_of_run() {
    // The longest prompt: 64 chunks of 2048 tokens, and every pair of its tokens.
    let model = Architecture::preset("qwen3-1.7b").unwrap();
    let card = Card::preset("h100").unwrap();
    let stack = Stack::of_data_sheet(&card, model.clone(), Precision::F16);
    let scenario = on_card(&model, Precision::F16, &card).unwrap();
    let step = Stored::new(&model, Precision::F16).roofline(&card.hardware);
    let load = Load {
        requests_per_user: 1,
        prompt_tokens: 131_072,
        output_tokens: 2,
        ..LOAD
    };
    let pairs = 131_072.0 * 131_073.0 / 2.0;
    let ttft_s = 64.0 * step.step_s(0.0, 0.0, 2048.0) + step.c4_s_per_prefill_pair * pairs;
    let served = predict(&load.trace(), &load.on(scenario.clone())).unwrap();
    near(served.level.ttft_ms.avg.unwrap(), ttft_s * 1e3);
    assert_eq!((ttft_s * 10.0).round() / 10.0, 2.4);
    // Attention is in the MFU: 2 FLOP for each weight and token, and 4 layers x heads x head size a pair.
    let weights = model.step_weights() as f64;
    let flops = 2.0 * weights * 131_073.0 + 4.0 * 28.0 * 16.0 * 128.0 * (pairs + 131_073.0);
    near(
        stack.mfu(&served).unwrap(),
        flops / (989.4e12 * served.busy_s),
    );

    // With 64 tokens a step each of 2048 steps reads all weights: 2.1 s, and 2.0 s of attention.
    let mut narrow = load.on(scenario.clone());
    if let Some(server) = narrow.server_mut() {
        (server.max_sequences, server.max_batched_tokens) = (1, 64);
    }
    let ttft_s = 2048.0 * step.step_s(0.0, 0.0, 64.0) + step.c4_s_per_prefill_pair * pairs;
    let served = predict(&load.trace(), &narrow).unwrap();
    near(served.level.ttft_ms.avg.unwrap(), ttft_s * 1e3);
    assert_eq!((ttft_s * 10.0).round() / 10.0, 4.1);

    // Users beyond the server's sequences wait.
    let [full, beyond] = [256, 1000].map(|users| {
        let load = Load { users, ..LOAD };
        predict(&load.trace(), &load.on(scenario.clone())).unwrap()
    });
    assert!(beyond.queueing_ms.p50.unwrap() > full.level.latency_ms.p50.unwrap());
    assert!(full.queueing_ms.p50.unwrap() < 0.1 * full.level.latency_ms.p50.unwrap());
    assert_eq!(beyond.level.successful, Some(4000));

    // A model that the memory does not hold is no server.
    let model = Architecture::preset("llama-3.1-8b").unwrap();
    let l4 = Card::preset("l4").unwrap();
    let refused = on_card(&model, Precision::F32, &l4)
        .and_then(|scenario| predict(&LOAD.trace(), &LOAD.on(scenario)));
    match refused {
        Err(Error::BadField { field, .. }) => {
            assert_eq!(field, "engine.continuous.memory.capacity_gb")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn arithmetic_bounds_a_full_step() {
    let model = Step {
        compute: Some(Compute {
            d0_s: 0.0,
            d1_s_per_token: 0.005,
        }),
        ..FLAT
    };
    let at = |users| {
        let load = Load {
            users,
            prompt_tokens: 1,
            ..LOAD
        };
        served(&load, &model).tbt_ms.avg.unwrap()
    };
    near(at(2), 12.0);
    near(at(10), 50.0);
}

#[test]
fn thinking_users_are_not_at_work() {
    let load = Load {
        requests_per_user: 3,
        think_s: 2.0,
        ..LOAD
    };
    let (pausing, steady) = (
        served(&load, &STEP),
        served(
            &Load {
                think_s: 0.0,
                ..load
            },
            &STEP,
        ),
    );
    near(pausing.busy_s, steady.busy_s);
    near(
        pausing.level.duration_s.unwrap(),
        steady.level.duration_s.unwrap() + 4.0,
    );
    near(
        pausing.level.latency_ms.p95.unwrap(),
        steady.level.latency_ms.p95.unwrap(),
    );
}

#[test]
fn outputs_of_one_token_have_no_gaps() {
    let load = Load {
        output_tokens: 1,
        ..LOAD
    };
    let served = served(&load, &STEP);
    assert_eq!(served.tbt_ms, Times::default());
    assert_eq!(served.level.ttft_ms, served.level.latency_ms);
}

#[test]
fn a_step_without_time_is_refused() {
    for c0_s in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
        let model = Step {
            c0_s,
            c1_s_per_sequence: 0.0,
            ..FLAT
        };
        match predict(&LOAD.trace(), &LOAD.scenario(&model)) {
            Err(Error::BadField { field, .. }) => {
                assert!(
                    field.starts_with("engine.continuous.latency.linear"),
                    "{field}"
                );
            }
            other => panic!("{c0_s}: {other:?}"),
        }
    }
}

// ---- Measured beside predicted -----------------------------------------------------------------

fn stack() -> Stack {
    Stack {
        machine: Some(Machine {
            gpu: "a GPU".to_owned(),
            architecture: Architecture::preset("qwen3-0.6b").unwrap(),
            precision: Precision::F16,
            read_bytes_per_s: 1e12,
            hardware: None,
        }),
        origin: Origin::Calibration,
        ..Stack::default()
    }
}

/// A device whose every step takes so many times as long as the model says.
fn device(load: &Load, slower: f64) -> Measured {
    let (trace, scenario) = (load.trace(), load.scenario(&STEP));
    let limits = Limits {
        sequences: 64,
        rows: 128,
        block_tokens: 16,
    };
    let model = StepLatency::Linear(STEP).model();
    let mut run = DeviceRun::new(&trace, &scenario, limits).unwrap();
    let mut now_s = 0.0;
    loop {
        match run.next(now_s) {
            Next::Step { rows, .. } => {
                let Taken {
                    sequences,
                    context,
                    chunks,
                    sampled,
                    ..
                } = Taken::of(rows, 0.0);
                let work = StepWork {
                    sequences,
                    context,
                    chunks: &chunks,
                    sampled,
                };
                let took_s = slower * model.step(&work).seconds;
                now_s += took_s;
                run.ended(now_s, took_s);
            }
            Next::Wait(until_s) => now_s = until_s,
            Next::Done => return run.finish(),
        }
    }
}

/// Levels of load, served by a device too where it is said how much slower it is.
struct Compared {
    trace: Trace,
    scenarios: Vec<Scenario>,
    levels: Vec<Comparison>,
}

impl Compared {
    fn of<'a>(&'a self, stack: &'a Stack) -> Levels<'a> {
        Levels {
            stack,
            trace: &self.trace,
            scenarios: &self.scenarios,
            levels: &self.levels,
        }
    }

    fn files(&self) -> Vec<File> {
        self.of(&stack()).files().unwrap()
    }
}

fn compared(users: &[u32], slower: Option<f64>) -> Compared {
    let most = Load {
        users: *users.iter().max().unwrap(),
        ..LOAD
    };
    let (trace, scenario) = (most.trace(), most.scenario(&STEP));
    let scenarios = levels(users, &scenario).unwrap();
    let levels = users.iter().zip(&scenarios).map(|(&users, scenario)| {
        let measured = slower.map(|slower| device(&Load { users, ..LOAD }, slower));
        Comparison::of(&trace, scenario, measured.as_ref()).unwrap()
    });
    Compared {
        levels: levels.collect(),
        trace,
        scenarios,
    }
}

#[test]
fn a_slower_device_is_off_by_as_much_in_every_figure() {
    let all = compared(&[1, 2, 4, 8], Some(1.25)).files();
    let levels = table(&all, "serving_levels.csv");
    let mut seen = 0;
    for row in &levels.rows {
        let Cell::Text(metric) = &row[1] else {
            panic!("a figure without a name")
        };
        let wanted = match metric.as_str() {
            "tok_s" | "request_tok_s" | "request_tok_s_p50" | "mbu_pct" => 25.0,
            "steps" | "sequences" | "context" | "prefill" | "pairs" | "busy_share" => 0.0,
            name if name.ends_with("ms") || name.ends_with("_s") => -20.0,
            _ => continue,
        };
        // Nobody waits for a slot where there are enough.
        let Cell::Number(error) = row[4] else {
            assert!(metric.starts_with("queueing"), "{metric}: {row:?}");
            continue;
        };
        // The engine counts gaps and steps in buckets.
        let counted = ["tbt_p", "step_p"].iter().any(|of| metric.starts_with(of));
        let most = if counted { 0.8 * 2.0 * 0.4 } else { 1e-6 };
        assert!((error - wanted).abs() < most, "{metric}: {row:?}");
        seen += 1;
    }
    assert!(seen >= 4 * 24, "{seen}");
    let report = text(&all, "serving_report.txt");
    for words in [
        "Throughput is predicted within 25.0 % at every level",
        "Mean TTFT is predicted within 20.0 % at every level",
        "8 users -20.0 % 20.0 % 20.0 %",
    ] {
        let flat = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words}: {report}");
    }
    // The study's files are of the measured levels.
    let study = table(&all, "saturation_levels.csv");
    let measured = compared(&[1, 2, 4, 8], Some(1.25));
    let throughput: Vec<f64> = measured
        .levels
        .iter()
        .map(|l| l.best().level.tok_s)
        .collect();
    assert_eq!(column(study, "tok_s"), throughput);
    assert!(text(&all, "saturation_report.txt").contains(", measured"));
}

#[test]
fn files_of_predictions_say_that_nothing_was_measured() {
    let all = compared(&[1, 4, 64], None).files();
    assert_eq!(
        names(&all),
        [
            "serving_report.txt",
            "serving_levels.csv",
            "serving.json",
            "serving_levels",
            "saturation_levels.csv",
            "saturation_report.txt",
            "saturation_fit.json",
            "saturation_curve",
            "saturation_levels",
        ]
    );
    assert!(text(&all, "serving_report.txt").contains("nothing was measured"));
    assert!(text(&all, "saturation_report.txt").contains(", predicted"));
    for file in &all {
        assert!(!bytes_of::bytes(file).unwrap().is_empty());
    }
    // One level cannot saturate.
    let one = compared(&[4], None).files();
    assert_eq!(names(&one).len(), 4);
    assert!(text(&one, "serving_report.txt").contains("One level says nothing"));
    let none = Compared {
        trace: LOAD.trace(),
        scenarios: Vec::new(),
        levels: Vec::new(),
    };
    assert!(none.of(&stack()).files().is_err());
}

#[test]
fn a_data_sheet_gives_mfu_and_ceilings() {
    let mut stack = stack();
    let levels = compared(&[1, 8], None);
    let mfu = |stack: &Stack| {
        let all = levels.of(stack).files().unwrap();
        let rows = &table(&all, "serving_levels.csv").rows;
        let row = rows.iter().rfind(|row| row[1] == Cell::from("mfu_pct"));
        row.unwrap()[3].clone()
    };
    assert_eq!(mfu(&stack), Cell::Empty);
    stack.machine.as_mut().unwrap().hardware = Some(Hardware {
        name: "the accelerator".to_owned(),
        peak_flops: 1e14,
        bandwidth_bytes_per_s: 1e12,
        source: "given".to_owned(),
    });
    let Cell::Number(pct) = mfu(&stack) else {
        panic!("no MFU")
    };
    // Every token that goes through the weights is 2 FLOP for each, prompts too; attention to a token
    // of context 4 for each value of each head in each layer. Every step reads the weights and the
    // contexts, and writes keys and values of its tokens.
    let served = &levels.levels[1].predicted;
    let load = Load { users: 8, ..LOAD };
    let a = &stack.machine.as_ref().unwrap().architecture;
    let weights = a.step_weights() as f64;
    let tokens = f64::from(load.requests() * load.positions());
    let context: u32 = (load.prompt_tokens + 1..=load.positions()).sum();
    let context = f64::from(load.requests() * context);
    let pairs = f64::from(load.requests() * load.prompt_tokens * (load.prompt_tokens + 1) / 2);
    let flops = 2.0 * weights * tokens
        + 4.0 * (context + pairs) * f64::from(a.layers * a.heads * a.head_size);
    near(pct, 100.0 * flops / (1e14 * served.busy_s));
    let kv_bytes = f64::from(a.layers * 2 * a.kv_heads * a.head_size * 2);
    let bytes = 2.0 * weights * f64::from(served.steps) + kv_bytes * (context + tokens);
    near(stack.mbu(served).unwrap(), bytes / (1e12 * served.busy_s));
}

#[test]
fn a_submission_is_told_of() {
    let stack = Stack {
        submission_s: 0.003,
        ..stack()
    };
    let report = compared(&[1], None).of(&stack).report().unwrap();
    assert!(report.contains("3.000 ms for its"), "{report}");
}

#[test]
fn nothing_is_better_than_the_data_sheet() {
    let h100 = Card::preset("h100").unwrap();
    let model = Architecture::preset("qwen3-1.7b").unwrap();
    let scenario = on_card(&model, Precision::F16, &h100).unwrap();
    let stack = Stack::of_data_sheet(&h100, model, Precision::F16);
    let load = Load { users: 64, ..LOAD };
    let trace = load.trace();
    let scenarios = levels(&[1, 16, 64], &load.on(scenario)).unwrap();
    for (scenario, users) in scenarios.iter().zip([1, 16, 64]) {
        let level = Comparison::of(&trace, scenario, None).unwrap();
        let (mbu, mfu) = (
            stack.mbu(level.best()).unwrap(),
            stack.mfu(level.best()).unwrap(),
        );
        assert!(mbu <= 1.0 + 1e-12 && mfu <= 1.0, "{mbu} {mfu}");
        // Steps of one user read and do nothing else.
        assert!(users > 1 || mbu > 0.999, "{mbu}");
        let all = Levels {
            stack: &stack,
            trace: &trace,
            scenarios: std::slice::from_ref(scenario),
            levels: &[level],
        };
        let report = all.report().unwrap();
        assert!(report.contains("roofline of the data sheet"), "{report}");
    }
}

#[test]
fn a_server_of_a_scenario_alone_has_no_utilisation() {
    let levels = compared(&[1, 2], None);
    let stack = Stack::default();
    let report = levels.of(&stack).report().unwrap();
    assert!(
        report.contains("SERVING USERS: the scenario's server"),
        "{report}"
    );
    assert!(!report.contains("MBU"), "{report}");
    let all = levels.of(&stack).files().unwrap();
    let rows = &table(&all, "serving_levels.csv").rows;
    let row = rows.iter().find(|row| row[1] == Cell::from("mbu_pct"));
    assert_eq!(row.unwrap()[3], Cell::Empty);
}

#[test]
fn the_figure_has_lines_predicted_and_dots_measured() {
    let all = compared(&[1, 2, 4], Some(1.1)).files();
    let figure = figure(&all, "serving_levels");
    assert_eq!(figure.panels.len(), 4);
    assert!(
        figure.caption.contains("10.0 % at most"),
        "{}",
        figure.caption
    );
    let svg = bytes_of::svg(figure).unwrap();
    for words in [
        "all users",
        "P95",
        "lines predicted",
        "dots measured",
        "TTFT (ms)",
    ] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn errors_of_steps_keep_their_sign() {
    let levels = compared(&[1], Some(0.8)).levels;
    let errors = levels[0].step_errors.unwrap();
    near(errors.median, 0.25);
    near(errors.p95_size, 0.25);
    assert_eq!(compared(&[1], None).levels[0].step_errors, None);
}

#[test]
fn levels_are_each_there_once() {
    for (users, allowed) in [
        (vec![], "at least one number"),
        (vec![1, 2, 1], "each number once"),
        (vec![10_000_001], "a whole number from 1 to 10000000"),
    ] {
        match levels(&users, &LOAD.scenario(&STEP)) {
            Err(Error::BadField {
                field,
                allowed: said,
                ..
            }) => {
                assert_eq!(
                    (field.as_str(), said.as_str()),
                    ("workload.closed_loop.users", allowed)
                );
            }
            other => panic!("{users:?}: {other:?}"),
        }
    }
    match levels(&[1], &Scenario::default()) {
        Err(Error::Contradiction { what, .. }) => assert_eq!(what, "--users"),
        other => panic!("{other:?}"),
    }
}
