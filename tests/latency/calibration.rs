//! A calibration as a file: what is read, what is refused, and what the command line makes of it.
use std::path::Path;

use batchscope::experiment::calibrated::{error_range, put_form_on, put_on, shape};
use batchscope::latency::calibration::{Calibration, Proof, ProofLevel, ProofSide};
use batchscope::latency::{Chunk, Latency, StepLatency, StepWork};
use batchscope::{Error, Scenario, Trace, simulate};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::calibration::{STEPS_TRUTH, TRUTH, calibration};
use crate::support::program::run;

fn done(args: &[&str]) -> String {
    let output = run(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and the sentence.
fn refused(args: &[&str]) -> (i32, String) {
    let output = run(args);
    assert_eq!(output.stdout, b"");
    let sentence = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), sentence)
}

fn file(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("cal.json");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// With one value changed, or taken out.
fn with(pointer: &str, value: Option<Value>) -> Result<Calibration, Error> {
    let mut document: Value = serde_json::from_str(&calibration().to_json().unwrap()).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(group), Some(value)) => {
            group.insert(name.to_owned(), value);
        }
        (Value::Object(group), None) => {
            group.remove(name).unwrap();
        }
        (Value::Array(list), Some(value)) => list[name.parse::<usize>().unwrap()] = value,
        (other, value) => panic!("{pointer}: {other} {value:?}"),
    }
    Calibration::from_json(&document.to_string(), "cal.json")
}

#[test]
fn what_is_written_is_read_again() {
    let written = calibration();
    let text = written.to_json().unwrap();
    assert_eq!(Calibration::from_json(&text, "cal.json").unwrap(), written);
    assert_eq!(
        Calibration::from_json(&text, "cal.json").unwrap().to_json(),
        Ok(text)
    );
}

#[test]
fn another_version_or_kind_is_refused_in_words() {
    let error = with("/version", Some(json!(4))).unwrap_err();
    assert_eq!(error.code(), "bad-calibration");
    assert_eq!(
        error.to_string(),
        "cal.json, field version: it is 4, written by batchscope 0.1.0, and this program reads 1 to 3; \
         measure again with this program, or read it with that one"
    );
    // Whatever else a later version may hold.
    let text = r#"{"kind": "batchscope-calibration", "version": 7, "program": "x", "news": [1]}"#;
    let error = Calibration::from_json(text, "cal.json").unwrap_err();
    assert_eq!(error.report().field.as_deref(), Some("version"));
    for (text, words) in [
        ("{}", "\"\" is not \"batchscope-calibration\""),
        (r#"{"kind": "x", "version": 1}"#, "\"x\" is not"),
    ] {
        let error = Calibration::from_json(text, "cal.json").unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn version_1_predicts_but_names_no_kernels() {
    let text = calibration().to_json().unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["version"] = json!(1);
    for lacking in ["many_columns", "few_columns", "steps", "host", "steadiness"] {
        document.as_object_mut().unwrap().remove(lacking).unwrap();
    }
    let first = Calibration::from_json(&document.to_string(), "old.json").unwrap();
    assert_eq!(first.fit, calibration().fit);
    // It stays what it is when it is written again: a program of its time reads it.
    let again: Value = serde_json::from_str(&first.to_json().unwrap()).unwrap();
    assert_eq!(again, document);
    let error = first.kernels("old.json").unwrap_err();
    assert_eq!(error.code(), "bad-calibration");
    let sentence = error.to_string();
    assert!(
        sentence.starts_with(
            "old.json, field many_columns: it is missing, as in every file of version 1"
        ),
        "{sentence}"
    );
    // From version 2 on it is there, with three kernels that are known.
    let named = calibration().kernels("cal.json").unwrap();
    assert_eq!(Some(named.many_columns), calibration().many_columns);
    assert_eq!(named.gemv, calibration().few_columns);
    for (pointer, value, words) in [
        ("/few_columns", None, "field few_columns: it is missing"),
        ("/few_columns/1/rows", Some(json!(3)), "few_columns[1].rows"),
        ("/few_columns/3/rows", Some(json!(8)), "few_columns[3].rows"),
    ] {
        let error = with(pointer, value).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    for (value, words) in [
        (None, "field many_columns: it is missing"),
        (Some(json!(["tiles", "eights"])), "field many_columns"),
        (
            Some(json!(["tiles", "eights", "nines"])),
            "field many_columns[2]",
        ),
    ] {
        let error = with("/many_columns", value).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// What a server's steps take by a calibration: at the measured sizes what was measured, between them a line, and a step
/// that draws no token costs no drawing.
#[test]
fn predictions_come_from_the_whole_steps() {
    let calibration = calibration();
    let model = StepLatency::from(&calibration).model();
    let near = |found: f64, truth: f64, what: &str| {
        assert!(
            (found / truth - 1.0).abs() < 1e-4,
            "{what}: {found}, not {truth}"
        );
    };
    for step in &calibration.steps {
        let chunk = Chunk {
            tokens: step.chunk,
            before: step.before,
        };
        let work = StepWork {
            sequences: step.sequences,
            context: u64::from(step.sequences * step.context),
            chunks: if step.chunk > 0 { &[chunk] } else { &[] },
            sampled: step.sampled,
        };
        // Steps that decode always draw their tokens, but for those that measure what drawing costs.
        if step.chunk > 0 || step.sampled > 0 {
            near(
                model.step(&work).seconds,
                step.seconds,
                &format!("{step:?}"),
            );
        }
    }
    // Two prompts, one of which ends, beside six sequences: nothing of this was measured.
    let chunks = [
        Chunk {
            tokens: 40,
            before: 0,
        },
        Chunk {
            tokens: 20,
            before: 0,
        },
    ];
    let work = StepWork {
        sequences: 6,
        context: 6 * 2000,
        chunks: &chunks,
        sampled: 7,
    };
    let truth = STEPS_TRUTH.step_s(6.0, 12_000.0, 60.0);
    let found = model.step(&work).seconds;
    assert!((found / truth - 1.0).abs() < 0.02, "{found}, not {truth}");

    // Version 2 lacks them, and predicts by its line.
    let mut second = calibration.clone();
    second.version = 2;
    second.steps.clear();
    let line = second.served_line();
    assert_eq!(
        line.c0_s,
        second.fit.model.c0_s + second.launch.submission.value
    );
    assert_eq!(StepLatency::from(&second), StepLatency::Linear(line));
    assert_eq!(second.step_error(), second.line_error());
    second.version = 3;
    let error = second.to_json().unwrap_err().to_string();
    assert!(error.contains("field steps: they are missing"), "{error}");
}

/// Rows that decode run another kernel than rows of a prompt. Where they take longer, neither is predicted by the other.
#[test]
fn a_prompt_is_not_charged_what_decoding_costs() {
    let mut calibration = calibration();
    for step in calibration.steps.iter_mut().filter(|s| s.sequences > 0) {
        step.seconds += 20e-6 * f64::from(step.sequences);
    }
    let model = StepLatency::from(&calibration).model();
    for step in calibration
        .steps
        .iter()
        .filter(|s| s.chunk > 0 || s.sampled > 0)
    {
        let chunk = Chunk {
            tokens: step.chunk,
            before: step.before,
        };
        let work = StepWork {
            sequences: step.sequences,
            context: u64::from(step.sequences * step.context),
            chunks: if step.chunk > 0 { &[chunk] } else { &[] },
            sampled: step.sampled,
        };
        let found = model.step(&work).seconds;
        assert!(
            (found / step.seconds - 1.0).abs() < 1e-3,
            "{step:?}: {found}"
        );
    }
}

#[test]
fn steps_that_predictions_need_are_named_where_they_lack() {
    let refused = |change: &dyn Fn(&mut Calibration)| {
        let mut calibration = calibration();
        change(&mut calibration);
        calibration.to_json().unwrap_err().to_string()
    };
    let text = refused(&|c| c.steps.retain(|s| s.sequences != 8 || s.sampled > 0));
    assert!(
        text.contains("of 8 sequences there must be a step"),
        "{text}"
    );
    let text = refused(&|c| c.steps.push(c.steps[3]));
    assert!(text.contains("this step is there twice"), "{text}");
    let text = refused(&|c| c.steps.retain(|s| s.chunk == 0));
    assert!(text.contains("there must be prompts alone"), "{text}");
    let text = refused(&|c| c.version = 2);
    assert!(
        text.contains("field steps: they are of version 3"),
        "{text}"
    );
    let text = refused(&|c| c.steadiness = None);
    assert!(text.contains("field steadiness: it is missing"), "{text}");
}

/// No prediction is said to be better than the device's pace was steady.
#[test]
fn the_error_of_steps_is_no_less_than_what_the_device_moved() {
    let mut calibration = calibration();
    assert_eq!(calibration.step_error(), calibration.check_median_error);
    calibration.drift = Some(-0.31);
    assert_eq!(calibration.step_error(), 0.31);
    if let Some(pace) = &mut calibration.steadiness {
        pace.spread = 0.42;
    }
    assert_eq!(calibration.step_error(), 0.42);
}

#[test]
fn what_was_measured_on_a_processor_says_that_it_is_a_demonstration() {
    let mut calibration = calibration();
    calibration.adapter.software = true;
    calibration.demonstration = false;
    let error = calibration.to_json().unwrap_err().to_string();
    assert!(
        error.contains("field demonstration: it is false"),
        "{error}"
    );
    calibration.demonstration = true;
    assert!(calibration.to_json().is_ok());
}

#[test]
fn every_refusal_names_the_field() {
    for (pointer, value, field, words) in [
        (
            "/fit/model/c0_s",
            Some(json!(-1.0)),
            "fit.model.c0_s",
            "-1 is not allowed; allowed is 0 to 1000",
        ),
        (
            "/fit/model/c1_s_per_sequence",
            Some(json!("x")),
            "fit.model.c1_s_per_sequence",
            "expected a number",
        ),
        (
            "/fit/model/c2_s_per_context_token",
            None,
            "fit.model",
            "missing field",
        ),
        (
            "/fit/model/c9",
            Some(json!(1)),
            "fit.model.c9",
            "unknown field",
        ),
        ("/fit/r2", Some(json!(1.5)), "fit.r2", "1.5 is not allowed"),
        (
            "/fit/intervals/0",
            Some(json!([2.0, 1.0])),
            "fit.intervals[0][1]",
            "1 is not allowed",
        ),
        (
            "/fit/held_out_median",
            Some(json!(-0.1)),
            "fit.held_out_median",
            "-0.1",
        ),
        (
            "/check_median_error",
            Some(json!(-0.1)),
            "check_median_error",
            "-0.1",
        ),
        (
            "/points/3/seconds",
            Some(json!(0.0)),
            "points[3].seconds",
            "0 is not allowed",
        ),
        (
            "/checks/1/measured_s",
            Some(json!(-2.0)),
            "checks[1].measured_s",
            "-2",
        ),
        (
            "/bandwidth/read/value",
            Some(json!(0.0)),
            "bandwidth.read.value",
            "0 is not allowed",
        ),
        (
            "/model/precision",
            Some(json!("f8")),
            "model.precision",
            "unknown variant",
        ),
        (
            "/model/layers_resident",
            Some(json!(29)),
            "model.layers_resident",
            "29 is not allowed; allowed is 1 to 28",
        ),
        (
            "/model/architecture/kv_heads",
            Some(json!(7)),
            "model.architecture.kv_heads",
            "divides heads",
        ),
        (
            "/model/architecture/layers",
            Some(json!(0)),
            "model.architecture.layers",
            "0 is not allowed",
        ),
        (
            "/launch/submission/value",
            Some(json!(-0.05)),
            "launch.submission.value",
            "-0.05 is not allowed",
        ),
        (
            "/fit/fitted",
            Some(json!(0)),
            "fit.fitted",
            "0 is not allowed",
        ),
        (
            "/fit/held_out_median",
            Some(json!(50.0)),
            "fit.held_out_median",
            "50 is not allowed",
        ),
        (
            "/adapter/name",
            Some(json!("\u{1b}[31mred")),
            "adapter.name",
            "without control characters",
        ),
        (
            "/took_s",
            Some(json!(-1.0)),
            "took_s",
            "-1 is not allowed; allowed is 0 or more",
        ),
        (
            "/adapter/software",
            Some(json!(3)),
            "adapter.software",
            "expected true or false",
        ),
    ] {
        let error = with(pointer, value).unwrap_err();
        assert_eq!(error.code(), "bad-calibration", "{error}");
        assert_eq!(error.report().field.as_deref(), Some(field), "{error}");
        assert!(error.to_string().contains(words), "{pointer}: {error}");
    }
    for text in [
        "",
        "[1",
        "nonsense",
        "{\"kind\": \"batchscope-calibration\", \"version\": 1}",
    ] {
        let error = Calibration::from_json(text, "cal.json").unwrap_err();
        assert_eq!(error.code(), "bad-calibration", "{error}");
    }
    // After the end of the document.
    let text = calibration().to_json().unwrap() + "{}";
    assert!(Calibration::from_json(&text, "cal.json").is_err());
}

#[test]
fn numbers_that_contradict_each_other_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Calibration), field: &str, words: &str| {
        let mut calibration = calibration();
        change(&mut calibration);
        let error = calibration.to_json().unwrap_err();
        assert_eq!(error.code(), "bad-calibration", "{error}");
        assert_eq!(error.report().field.as_deref(), Some(field), "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    };
    let longer = |c: &mut Calibration| c.steps.iter_mut().for_each(|s| s.seconds *= 1e3);
    refused(&longer, "steps", "times what `fit` says");
    let longer = |c: &mut Calibration| c.points.iter_mut().for_each(|p| p.seconds *= 1e3);
    refused(&longer, "points", "times what `fit` says");
    let other = |c: &mut Calibration| c.checks[1].error = 0.5;
    refused(&other, "checks[1].error", "0.5 is not allowed");
    refused(&|c| c.drift = Some(-1.5), "drift", "-1.5 is not allowed");

    // Of steps of 1.42 ms.
    let proof = |users: u32, tbt_mean_ms: f64| {
        let side = ProofSide {
            output_tokens_per_s: 500.0,
            tbt_mean_ms,
            tbt_p95_ms: tbt_mean_ms,
        };
        let level = ProofLevel {
            users,
            requests: 3,
            predicted: side,
            measured: side,
        };
        Some(Proof {
            levels: vec![level],
        })
    };
    for (users, gap_ms) in [(1, 2.0), (1, 1.2), (16, 1.2), (16, 1e3)] {
        refused(
            &|c| c.proof = proof(users, gap_ms),
            "proof.levels[0].predicted.tbt_mean_ms",
            "is not what the steps predict",
        );
    }
    let mut proved = calibration();
    for (users, gap_ms) in [(1, 1.42), (16, 1.7)] {
        proved.proof = proof(users, gap_ms);
        assert!(proved.to_json().is_ok(), "{:?}", proved.to_json());
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused_with_its_line() {
    let text = calibration().to_json().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines[..lines.len() / 2].join("\n");
    let folder = TempDir::new().unwrap();
    let path = file(&folder, &cut);
    let line = format!("line {}", lines.len() / 2);
    for flag in ["--latency", "--step-latency"] {
        let (code, sentence) = refused(&["run", flag, &path, "--rule", "vllm"]);
        assert_eq!(code, 3, "{sentence}");
        for words in [
            "cal.json",
            &line,
            "ends in the middle",
            "batchscope calibrate --out",
        ] {
            assert!(sentence.contains(words), "{words}: {sentence}");
        }
    }
}

#[test]
fn every_number_is_checked() {
    // JSON has no NaN; a document of 1e300 where a number stands must be refused, or be of a field
    // that is free (a count, an identifier).
    fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Number(_) => found.push(path.to_owned()),
            Value::Object(group) => group
                .iter()
                .for_each(|(name, value)| numbers(value, &format!("{path}/{name}"), found)),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(i, value)| numbers(value, &format!("{path}/{i}"), found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&calibration().to_json().unwrap()).unwrap();
    let mut found = Vec::new();
    numbers(&document, "", &mut found);
    assert!(found.len() > 200);
    for pointer in found {
        assert!(with(&pointer, Some(json!(1e300))).is_err(), "{pointer}");
    }
    let mut broken = calibration();
    broken.took_s = f64::NAN;
    assert_eq!(broken.to_json().unwrap_err().code(), "bad-calibration");
}

/// Requests of very different lengths, some of them failed.
fn requests() -> Trace {
    let mut trace = Trace::default();
    for i in 0..400u32 {
        trace.arrival.push(f64::from(i) * 0.02);
        trace.prompt.push(100 + i * 37 % 900);
        trace
            .output
            .push(if i % 20 == 3 { 0 } else { 20 + i * 53 % 300 });
    }
    trace
}

#[test]
fn a_scenario_on_a_calibration() {
    let calibration = calibration();
    let trace = requests();
    let mut scenario = Scenario::default();
    let before = scenario.clone();
    let form = put_form_on(&calibration, &trace, &mut scenario).unwrap();
    let linear = *scenario.closed().unwrap().latency.linear().unwrap();
    assert_eq!(linear, form.linear);
    assert!(linear.growth > 0.0 && linear.gamma == 0.0);
    assert_eq!(form.max_batch, before.closed().unwrap().max_batch);
    // Nothing else changed.
    scenario.closed_mut().latency = before.closed().unwrap().latency.clone();
    assert_eq!(scenario, before);

    // The lengths are those of the rows that the scenario takes, without failed requests.
    let mean = |rows: std::ops::Range<usize>, of: &[u32]| {
        let kept: Vec<f64> = rows
            .filter(|&i| trace.output[i] > 0)
            .map(|i| f64::from(of[i]))
            .collect();
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    let all = shape(&trace, &before);
    assert_eq!(all.prompt, mean(0..400, &trace.prompt));
    assert_eq!(all.most_tokens, Some(37_333.0));
    let mut some = before.clone();
    some.workload.limit = Some(50);
    assert_eq!(shape(&trace, &some).output, mean(0..50, &trace.output));
    some.closed_mut().policy = batchscope::sched::Policy::StaticFifo;
    assert_eq!(shape(&trace, &some).most_tokens, None);
    assert_eq!(
        put_form_on(&calibration, &trace, &mut some)
            .unwrap()
            .max_batch,
        8
    );
    // Steps are what they are, whatever the lengths.
    put_on(&calibration, &mut some).unwrap();
    let steps = StepLatency::from(&calibration);
    assert_eq!(
        some.closed().unwrap().latency,
        Latency::Steps(Box::new(steps))
    );
    let mut served = Scenario::continuous();
    assert!(put_form_on(&calibration, &trace, &mut served).is_err());

    // A batch of means takes what its steps take, within the stated error.
    let exact = TRUTH.batch_s(8.0, all.prompt, all.output);
    let said = linear.service_s(8, (all.prompt + all.output).round() as u32);
    assert!((said / exact - 1.0).abs() < form.worst_error + 0.05);
}

#[test]
fn figures_move_with_the_step_times() {
    let mut scenario = Scenario::default();
    scenario.fleet.gpus = 1;
    put_on(&calibration(), &mut scenario).unwrap();
    moves_with_the_step_times(&scenario);
    put_form_on(&calibration(), &requests(), &mut scenario).unwrap();
    moves_with_the_step_times(&scenario);
}

fn moves_with_the_step_times(scenario: &Scenario) {
    let trace = requests();
    let summary = simulate(&trace, scenario).unwrap().summary;
    let range = error_range(&trace, &summary, 0.2, &simulate).unwrap();
    assert_eq!(range.e2e_p95_s.at, summary.honest.e2e_s.map(|d| d.p95));
    let p95 = range.e2e_p95_s;
    assert!(p95.faster < p95.at && p95.at < p95.slower, "{p95:?}");
    assert_eq!(p95.ends(), p95.faster.zip(p95.slower).map(|(a, b)| [a, b]));
    assert!(range.joint.faster >= range.joint.slower);
    // No error, no range.
    let none = error_range(&trace, &summary, 0.0, &simulate).unwrap();
    assert_eq!(none.e2e_p95_s.faster, none.e2e_p95_s.slower);
    assert_eq!(none.joint.at, none.joint.faster);
    // However large an error, times stay positive.
    assert!(error_range(&trace, &summary, 50.0, &simulate).is_ok());
}

#[test]
fn run_with_a_calibration() {
    let folder = TempDir::new().unwrap();
    let cal = file(&folder, &calibration().to_json().unwrap());
    let base = [
        "run",
        "--latency",
        &cal,
        "--limit",
        "500",
        "--rate",
        "20",
        "--closed-form",
    ];
    // Without a closed form, steps are added up.
    let steps: Value = serde_json::from_str(&done(&[&base[..7], &["--json"]].concat())).unwrap();
    assert!(steps["scenario"]["engine"]["closed"]["latency"]["steps"]["profile"].is_object());
    assert!(steps["calibration"]["closed_form"].is_null());
    let table = done(&base);
    for line in [
        "latency: qwen3-1.7b in f16 on NVIDIA H100 80GB HBM3 (Vulkan), measured 2026-11-25T20:15:00Z",
        "of 3 whole steps that the calibration had not seen half are off by more than",
        "the straight line through its steps",
        "closed-batch form: off by",
        "no step of more than 64 sequences was measured",
        "memory: the scenario's, 12 GB with 4 GB for the model and 187.5 kB a token",
        "with all steps",
        "a demonstration: measured on a software adapter or with a made-up model",
        "warning: times are by the wall clock alone [no-timestamps]",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    // The printed scenario is the run without the calibration.
    let with_flag = |flag: &str| done(&[&base[..], &[flag]].concat());
    let scenario = with_flag("--print-scenario");
    let path = folder.path().join("scenario.json");
    std::fs::write(&path, &scenario).unwrap();
    let again = done(&["run", path.to_str().unwrap(), "--digest"]);
    assert_eq!(again, with_flag("--digest"));
    let scenario: Value = serde_json::from_str(&scenario).unwrap();
    assert!(
        scenario["engine"]["closed"]["latency"]["linear"]["growth"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    // JSON: the summary with one more group.
    let json: Value = serde_json::from_str(&with_flag("--json")).unwrap();
    assert_eq!(json["scenario"], scenario);
    let note = &json["calibration"];
    assert_eq!(note["demonstration"], true);
    assert_eq!(
        note["closed_form"]["linear"],
        scenario["engine"]["closed"]["latency"]["linear"]
    );
    let p95 = &note["range"]["e2e_p95_s"];
    assert_eq!(p95["at"], json["honest"]["e2e_s"]["p95"]);
    for figure in ["faster", "slower"] {
        assert_ne!(p95[figure], p95["at"]);
    }
}

#[test]
fn capacity_with_a_calibration() {
    let folder = TempDir::new().unwrap();
    let cal = file(&folder, &calibration().to_json().unwrap());
    let table = done(&[
        "capacity",
        "--latency",
        &cal,
        "--limit",
        "300",
        "--gpus",
        "1",
        "--replications",
        "2",
    ]);
    assert!(table.contains("latency: qwen3-1.7b in f16"), "{table}");
}

#[test]
fn what_is_wrong_with_a_calibration_is_said() {
    let folder = TempDir::new().unwrap();
    let broken = file(&folder, "{\"kind\": \"batchscope-calibration\"}");
    let (code, sentence) = refused(&["run", "--latency", &broken]);
    assert_eq!(code, 3);
    assert!(
        sentence.contains("field version: it is missing"),
        "{sentence}"
    );
    assert!(sentence.trim_end().ends_with("[bad-calibration]"));
    let absent = folder.path().join("absent.json");
    let (code, sentence) = refused(&["run", "--latency", absent.to_str().unwrap()]);
    assert_eq!(code, 4, "{sentence}");
    for twice in [
        ["run", "-", "--latency", "-"],
        ["run", "--trace=-", "--latency", "-"],
    ] {
        let (code, sentence) = refused(&twice);
        assert_eq!(code, 2, "{sentence}");
        assert!(sentence.contains("two files at once"), "{sentence}");
    }
    // No output takes the calibration's place.
    let (code, sentence) = refused(&["run", "--latency", &broken, "--requests-csv", &broken]);
    assert_eq!(code, 2);
    assert!(
        sentence.contains("it is the same file as --latency"),
        "{sentence}"
    );
    assert!(Path::new(&broken).exists());
}

#[test]
fn rooflines() {
    let table = done(&["roofline", "--model", "qwen3-1.7b"]);
    assert!(table.contains("3.441 GB of weights"), "{table}");
    for name in ["Apple M2 Pro", "NVIDIA L4", "NVIDIA H200 SXM"] {
        assert!(table.contains(name), "{name}: {table}");
    }
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&done(&[&["roofline", "--json"], args].concat())).unwrap()
    };
    let own = json(&[
        "--model",
        "qwen3-1.7b",
        "--bandwidth",
        "1000",
        "--tflops",
        "100",
    ]);
    let step = &own["hardware"][0]["steps"][0];
    // 3.441 GB and 1025 tokens of 114,688 bytes at 1000 GB/s.
    let seconds = (own["weight_bytes"].as_f64().unwrap() + 1025.0 * 114_688.0) / 1e12;
    assert!((step["seconds"].as_f64().unwrap() / seconds - 1.0).abs() < 1e-12);
    assert_eq!(step["fits"], Value::Null);
    let large = json(&[
        "--model",
        "llama-3.1-8b",
        "--precision",
        "f32",
        "--hardware",
        "l4",
    ]);
    assert_eq!(large["hardware"][0]["steps"][0]["fits"], false);
    let table = done(&["roofline", "--model", "llama-3.1-8b", "--precision", "f32"]);
    assert!(table.contains("* more than the memory holds"), "{table}");
}

#[test]
fn a_calibration_beside_its_roofline() {
    let folder = TempDir::new().unwrap();
    let cal = file(&folder, &calibration().to_json().unwrap());
    let json: Value =
        serde_json::from_str(&done(&["roofline", "--latency", &cal, "--json"])).unwrap();
    let beside = &json["calibration"];
    // The data sheet is found by the adapter's name.
    assert_eq!(beside["peak"]["name"], "NVIDIA H100 SXM");
    let one = &beside["steps"][0];
    let (mfu, mbu) = (one["mfu"].as_f64().unwrap(), one["mbu"].as_f64().unwrap());
    assert!((0.6..0.9).contains(&mbu), "{mbu}");
    // 2 FLOP a weight, 1.72e9 weights, about 1.45 ms, 989.4 TFLOP/s.
    assert!((0.002..0.003).contains(&mfu), "{mfu}");
    let table = done(&["roofline", "--latency", &cal]);
    assert!(
        table.contains("as calibrated on NVIDIA H100 80GB HBM3"),
        "{table}"
    );
    assert!(table.contains("shares of NVIDIA H100 SXM"), "{table}");
    let (code, sentence) = refused(&["roofline", "--latency", &cal, "--model", "qwen3-8b"]);
    assert_eq!(code, 2);
    assert!(
        sentence.contains("the calibration measured qwen3-1.7b"),
        "{sentence}"
    );
    let (code, sentence) = refused(&["roofline", "--latency", &cal, "--precision", "int4"]);
    assert_eq!(code, 2, "{sentence}");
}

/// The rows of the table of contributed calibrations in docs/GPU.md that do not say what their files do; `folder` has the
/// files.
fn wrong_rows(text: &str, folder: &Path) -> Vec<String> {
    const HEAD: &str =
        "| GPU | through | model | weights | step of 1 sequence, ms | error of the proof | file |";
    let after = text
        .split_once(HEAD)
        .expect("the table of contributed calibrations")
        .1;
    let rows = after
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let file = folder.join(cells.last().copied().unwrap_or_default());
        let found = std::fs::read_to_string(&file)
            .map_err(|e| e.to_string())
            .and_then(|text| Calibration::from_json(&text, row).map_err(|e| e.to_string()));
        let says = found.and_then(|c| {
            let proof = c.proof.as_ref().ok_or("it has no proof")?;
            let alone = c.steps.iter().find(|s| s.sequences == 1 && s.sampled == 1);
            let alone = alone.ok_or("it has no step of 1 sequence")?;
            if c.demonstration || c.warnings.iter().any(|w| w.code == "drift") {
                return Err("it is a demonstration, or the device's pace was not steady".to_owned());
            }
            Ok(vec![
                c.adapter.name.clone(),
                c.adapter.backend.clone(),
                c.model.architecture.name.clone(),
                c.model.precision.name().to_owned(),
                format!("{:.3}", alone.seconds * 1e3),
                format!("{:.1} %", proof.error() * 100.0),
            ])
        });
        match says {
            Ok(says) if cells[..cells.len() - 1] == says => {}
            other => wrong.push(format!("{row}: {other:?}")),
        }
    }
    wrong
}

#[test]
fn contributed_calibrations_are_what_their_table_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let text = std::fs::read_to_string(docs.join("GPU.md")).unwrap();
    assert_eq!(wrong_rows(&text, &docs.join("calibrations")), [""; 0]);

    // And would be found out.
    let folder = TempDir::new().unwrap();
    let mut contributed = calibration();
    contributed.demonstration = false;
    let side = ProofSide {
        output_tokens_per_s: 500.0,
        tbt_mean_ms: 1.42,
        tbt_p95_ms: 1.5,
    };
    contributed.proof = Some(Proof {
        levels: vec![ProofLevel {
            users: 1,
            requests: 3,
            predicted: side,
            measured: ProofSide {
                tbt_mean_ms: 1.136,
                ..side
            },
        }],
    });
    std::fs::write(
        folder.path().join("h100.json"),
        contributed.to_json().unwrap(),
    )
    .unwrap();
    let row = |error: &str| {
        format!(
            "| NVIDIA H100 80GB HBM3 | Vulkan | qwen3-1.7b | f16 | 1.416 | {error} | h100.json |"
        )
    };
    let with = |row: String| {
        text.replacen(
            "|---|---|---|---|---|---|---|",
            &format!("|---|---|---|---|---|---|---|\n{row}"),
            1,
        )
    };
    assert_eq!(wrong_rows(&with(row("25.0 %")), folder.path()), [""; 0]);
    assert_eq!(wrong_rows(&with(row("5.0 %")), folder.path()).len(), 1);
    let missing = row("25.0 %").replace("h100", "h200");
    assert_eq!(wrong_rows(&with(missing), folder.path()).len(), 1);
}
