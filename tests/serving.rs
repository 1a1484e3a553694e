//! Users against a server with continuous joining: the figures against closed forms, and what is
//! said of measured and predicted levels side by side.
#![cfg(feature = "figures")]

mod support;

use batchscope::Error;
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::roofline::{Card, Hardware};
use batchscope::latency::step::{Compute, Step};
use batchscope::report as bytes_of;
use batchscope::sched::joining::{Limits, Load, Record};
use batchscope::study::document::Cell;
use batchscope::study::saturation::points::Times;
use batchscope::study::serving::{
    Comparison, Origin, Served, Stack, StepErrors, files, levels, predict, report,
};
use support::studies::{column, figure, names, table, text};

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

fn served(load: &Load, model: &Step) -> Served {
    Served::of(load, &predict(load, model).unwrap())
}

#[test]
fn one_user_waits_for_the_chunks_of_a_prompt_and_then_a_step_a_token() {
    let load = Load {
        requests_per_user: 3,
        prompt_tokens: 100,
        output_tokens: 21,
        ..Load::default()
    };
    let served = served(&load, &STEP);
    // Chunks of 64 and 36 tokens; then steps at contexts of 101 to 120.
    let ttft = 2.0 * 10.0 + 100.0 * 0.1;
    let gap = |context: f64| 10.0 + 1.0 + 0.02 * context;
    let decode: f64 = (101..=120).map(|context| gap(f64::from(context))).sum();
    let level = &served.level;
    for time in [level.ttft_ms.avg, level.ttft_ms.p50, level.ttft_ms.p99] {
        near(time.unwrap(), ttft);
    }
    near(level.latency_ms.avg.unwrap(), ttft + decode);
    near(served.tbt_ms.avg.unwrap(), decode / 20.0);
    near(served.tbt_ms.p50.unwrap(), gap(110.5));
    // 60 gaps, three of each: place 0.95 x 59 = 56.05 is just behind the last at a context of 119.
    near(served.tbt_ms.p95.unwrap(), gap(119.05));
    near(level.duration_s.unwrap(), 3.0 * (ttft + decode) / 1e3);
    near(level.tok_s, 21.0 / ((ttft + decode) / 1e3));
    near(level.request_tok_s.unwrap(), level.tok_s);
    near(served.busy_s, level.duration_s.unwrap());
    assert_eq!(served.steps, 3 * 22);
    assert_eq!(served.queueing_ms.p99, Some(0.0));
    near(served.prefill, 300.0 / 66.0);
}

#[test]
fn prompts_that_join_together_decode_at_the_saturated_rate() {
    for users in [1, 4, 16, 64] {
        let load = Load {
            users,
            requests_per_user: 2,
            prompt_tokens: 1,
            output_tokens: 100,
            ..Load::default()
        };
        let served = served(&load, &FLAT);
        let n = f64::from(users);
        let step_s = 0.010 + 0.001 * n;
        // n slots, a + b n a step: TPOT = a + b n, throughput n/(a + b n) but for the prompts' step.
        near(served.tbt_ms.avg.unwrap(), step_s * 1e3);
        near(served.tbt_ms.p99.unwrap(), step_s * 1e3);
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
        limits: Limits {
            sequences: 8,
            rows: 16,
            prefill_rows: 8,
            ..Limits::default()
        },
        ..Load::default()
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

#[test]
fn a_cache_for_so_many_requests_is_as_good_as_so_many_slots() {
    let few = |sequences, kv_blocks| Load {
        users: 12,
        prompt_tokens: 20,
        output_tokens: 13,
        limits: Limits {
            sequences,
            kv_blocks,
            ..Limits::default()
        },
        ..Load::default()
    };
    // 32 positions are two blocks of 16.
    let by_blocks = predict(&few(64, Some(11)), &STEP).unwrap();
    assert_eq!(by_blocks, predict(&few(5, None), &STEP).unwrap());
    assert_ne!(by_blocks, predict(&few(6, None), &STEP).unwrap());
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
            ..Load::default()
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
        think_min_s: 2.0,
        think_max_s: 2.0,
        ..Load::default()
    };
    let (pausing, steady) = (
        served(&load, &STEP),
        served(
            &Load {
                think_min_s: 0.0,
                think_max_s: 0.0,
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
        ..Load::default()
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
        match predict(&Load::default(), &model) {
            Err(Error::BadField { field, .. }) => assert_eq!(field, "fit.model"),
            other => panic!("{c0_s}: {other:?}"),
        }
    }
}

// ---- Measured beside predicted -----------------------------------------------------------------

fn stack() -> Stack {
    Stack {
        gpu: "a GPU".to_owned(),
        measured_on: None,
        architecture: Architecture::preset("qwen3-0.6b").unwrap(),
        precision: Precision::F16,
        model: STEP,
        submission_s: 0.0,
        read_bytes_per_s: 1e12,
        origin: Origin::Calibration,
        errors: None,
        warnings: Vec::new(),
        hardware: None,
    }
}

/// A device whose every step takes so many times as long as the model says.
fn device(load: &Load, slower: f64) -> Record {
    let model = Step {
        c0_s: STEP.c0_s * slower,
        c1_s_per_sequence: STEP.c1_s_per_sequence * slower,
        c2_s_per_context_token: STEP.c2_s_per_context_token * slower,
        c3_s_per_prefill_token: STEP.c3_s_per_prefill_token * slower,
        c4_s_per_prefill_pair: 0.0,
        compute: None,
    };
    predict(load, &model).unwrap()
}

fn compared(users: &[u32], slower: Option<f64>) -> Vec<Comparison> {
    levels(users, &Load::default())
        .unwrap()
        .iter()
        .map(|load| {
            let record = slower.map(|slower| device(load, slower));
            Comparison::of(load, &STEP, record.as_ref()).unwrap()
        })
        .collect()
}

#[test]
fn a_slower_device_is_off_by_as_much_in_every_figure() {
    let all = files(&stack(), &compared(&[1, 2, 4, 8], Some(1.25))).unwrap();
    let levels = table(&all, "serving_levels.csv");
    let mut seen = 0;
    for row in &levels.rows {
        let Cell::Text(metric) = &row[1] else {
            panic!("a figure without a name")
        };
        let wanted = match metric.as_str() {
            "tok_s" | "request_tok_s" | "request_tok_s_p50" | "mbu_pct" => 25.0,
            "steps" | "sequences" | "context" | "prefill" | "busy_share" => 0.0,
            name if name.ends_with("ms") || name.ends_with("_s") => -20.0,
            _ => continue,
        };
        // Nobody waits for a slot where there are enough.
        let Cell::Number(error) = row[4] else {
            assert!(metric.starts_with("queueing"), "{metric}: {row:?}");
            continue;
        };
        assert!((error - wanted).abs() < 1e-6, "{metric}: {row:?}");
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
    let throughput: Vec<f64> = measured.iter().map(|l| l.best().level.tok_s).collect();
    assert_eq!(column(study, "tok_s"), throughput);
    assert!(text(&all, "saturation_report.txt").contains(", measured"));
}

#[test]
fn files_of_predictions_say_that_nothing_was_measured() {
    let all = files(&stack(), &compared(&[1, 4, 64], None)).unwrap();
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
    let one = files(&stack(), &compared(&[4], None)).unwrap();
    assert_eq!(names(&one).len(), 4);
    assert!(text(&one, "serving_report.txt").contains("One level says nothing"));
    assert!(files(&stack(), &[]).is_err());
}

#[test]
fn a_data_sheet_gives_mfu_and_ceilings() {
    let mut stack = stack();
    let levels = compared(&[1, 8], None);
    let mfu = |stack: &Stack| {
        let all = files(stack, &levels).unwrap();
        let rows = &table(&all, "serving_levels.csv").rows;
        let row = rows.iter().rfind(|row| row[1] == Cell::from("mfu_pct"));
        row.unwrap()[3].clone()
    };
    assert_eq!(mfu(&stack), Cell::Empty);
    stack.hardware = Some(Hardware {
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
    let served = &levels[1].predicted;
    let load = &served.load;
    let a = &stack.architecture;
    let weights = a.step_weights() as f64;
    let tokens = f64::from(load.requests() * load.positions());
    let context: u32 = (load.prompt_tokens + 1..=load.positions()).sum();
    let context = f64::from(load.requests() * context);
    let flops =
        2.0 * weights * tokens + 4.0 * context * f64::from(a.layers * a.heads * a.head_size);
    near(pct, 100.0 * flops / (1e14 * served.busy_s));
    let kv_bytes = f64::from(a.layers * 2 * a.kv_heads * a.head_size * 2);
    let bytes = 2.0 * weights * f64::from(served.steps) + kv_bytes * (context + tokens);
    near(stack.mbu(served), bytes / (1e12 * served.busy_s));
}

#[test]
fn every_step_pays_for_its_submission() {
    for compute in [
        None,
        Some(Compute {
            d0_s: 0.0,
            d1_s_per_token: 0.004,
        }),
    ] {
        let stack = Stack {
            model: Step { compute, ..STEP },
            submission_s: 0.003,
            ..stack()
        };
        // Bound by memory, and by arithmetic.
        for work in [[1.0, 100.0, 0.0], [8.0, 100.0, 60.0]] {
            let [b, c, p] = work;
            near(
                stack.step().step_s(b, c, p),
                stack.model.step_s(b, c, p) + 0.003,
            );
        }
        let load = Load::default();
        let level = Comparison::of(&load, &stack.step(), None).unwrap();
        assert!(
            report(&stack, &[level])
                .unwrap()
                .contains("3.000 ms for its")
        );
    }
}

#[test]
fn nothing_is_better_than_the_data_sheet() {
    let h100 = Card::preset("h100").unwrap().hardware;
    let model = Architecture::preset("qwen3-1.7b").unwrap();
    let stack = Stack::of_data_sheet(h100, model, Precision::F16);
    for load in levels(&[1, 16, 64], &Load::default()).unwrap() {
        let level = Comparison::of(&load, &stack.model, None).unwrap();
        let (mbu, mfu) = (stack.mbu(level.best()), stack.mfu(level.best()).unwrap());
        assert!(mbu <= 1.0 + 1e-12 && mfu <= 1.0, "{mbu} {mfu}");
        // Steps of one user read and do nothing else.
        assert!(load.users > 1 || mbu > 0.999, "{mbu}");
        let report = report(&stack, &[level]).unwrap();
        assert!(report.contains("roofline of the data sheet"), "{report}");
    }
}

#[test]
fn the_figure_has_lines_predicted_and_dots_measured() {
    let all = files(&stack(), &compared(&[1, 2, 4], Some(1.1))).unwrap();
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
    let load = Load::default();
    let errors = StepErrors::of(&device(&load, 0.8), &STEP).unwrap().unwrap();
    near(errors.median, 0.25);
    near(errors.p95_size, 0.25);
    assert_eq!(StepErrors::of(&Record::default(), &STEP).unwrap(), None);
}

#[test]
fn levels_are_each_there_once() {
    let load = Load::default();
    for (users, allowed) in [
        (vec![], "at least one number"),
        (vec![1, 2, 1], "each number once"),
        (vec![65], "a whole number from 1 to 64"),
    ] {
        match levels(&users, &load) {
            Err(Error::BadField {
                field,
                allowed: said,
                ..
            }) => {
                assert_eq!((field.as_str(), said.as_str()), ("load.users", allowed));
            }
            other => panic!("{users:?}: {other:?}"),
        }
    }
}
