//! `batchscope run --users` at several levels from outside: a calibration or a data sheet in, figures and files out.
use std::fs;
use std::path::Path;
use std::process::Output;

use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::calibration::{
    Adapter, Bandwidth, Calibration, Estimate, Fit, KIND, Launch, ManyColumns, Measured, Warning,
};
use batchscope::latency::step::Step;
use batchscope::latency::{StepLatency, StepTimes};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{done, program, run};

/// A made-up GPU, calibrated by version 2: 9.5 ms a step and 0.5 ms to submit it, 1 ms a sequence, 0.1 ms a prompt token, nothing for context.
fn calibration() -> Calibration {
    let read = Estimate {
        value: 1e11,
        unit: "bytes/s".to_owned(),
        ..Estimate::default()
    };
    Calibration {
        kind: KIND.to_owned(),
        version: 2,
        program: "0.1.0".to_owned(),
        commit: None,
        measured_at: "2026-11-25T20:15:00Z".to_owned(),
        adapter: Adapter {
            name: "a made-up GPU".to_owned(),
            ..Adapter::default()
        },
        model: Measured {
            architecture: Architecture::preset("demo").unwrap(),
            precision: Precision::F16,
            layers_resident: 4,
            quick: false,
        },
        many_columns: Some([ManyColumns::Tiles; 3]),
        few_columns: None,
        bandwidth: Bandwidth {
            read,
            ..Bandwidth::default()
        },
        launch: Launch {
            submission: Estimate {
                value: 0.0005,
                ..Estimate::default()
            },
            ..Launch::default()
        },
        kernels: Vec::new(),
        steps: Vec::new(),
        host: None,
        points: Vec::new(),
        fit: Fit {
            model: Step {
                c0_s: 0.0095,
                c1_s_per_sequence: 0.001,
                c2_s_per_context_token: 0.0,
                c3_s_per_prefill_token: 1e-4,
                c4_s_per_prefill_pair: 0.0,
                compute: None,
            },
            intervals: [None; 4],
            r2: 1.0,
            held_out_median: 0.01,
            held_out_worst: 0.01,
            fitted: 0,
            held_out: 0,
        },
        checks: Vec::new(),
        check_median_error: 0.02,
        check_worst_error: 0.02,
        drift: None,
        steadiness: None,
        proof: None,
        layers: None,
        warnings: vec![Warning {
            code: "drift".to_owned(),
            message: "the clock was not steady".to_owned(),
        }],
        demonstration: true,
        took_s: 1.0,
    }
}

fn saved(folder: &TempDir) -> String {
    save(folder, &calibration())
}

fn save(folder: &TempDir, calibration: &Calibration) -> String {
    let path = folder.path().join("cal.json");
    fs::write(&path, serde_json::to_vec(calibration).unwrap()).unwrap();
    path.display().to_string()
}

/// One GPU with a cache for everybody, as a decoder has it; 64 prompt and 32 output tokens where nothing else is said.
fn serve(args: &[&str]) -> Output {
    let has = |flag: &&str| args.contains(flag);
    let mut all = vec!["run", "--gpus", "1"];
    if !has(&"--model") {
        all.extend(["--rule", "vllm", "--kv-blocks", "9999"]);
        all.extend(["--max-sequences", "64", "--max-batched-tokens", "128"]);
    }
    for (flag, value) in [
        ("--users", "1,2,4,8"),
        ("--requests-per-user", "4"),
        ("--prompt", "64"),
        ("--output", "32"),
    ] {
        if !has(&flag) {
            all.extend([flag, value]);
        }
    }
    all.extend(args);
    run(&all)
}

fn refused(output: &Output, exit: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert_eq!(output.stdout, b"");
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_calibration_predicts_what_users_get() {
    let folder = TempDir::new().unwrap();
    let cal = saved(&folder);
    let out = serve(&[
        "--latency",
        &cal,
        "--users",
        "1,4",
        "--prompt",
        "16",
        "--output",
        "11",
        "--json",
    ]);
    let found: Value = serde_json::from_str(done(&out)).unwrap();
    let number = |level: usize, path: &str| {
        let at = format!("/levels/{level}/predicted/{path}");
        found.pointer(&at).and_then(Value::as_f64).unwrap()
    };
    let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}");
    for (level, n) in [(0, 1.0), (1, 4.0)] {
        // One step for the prompts of all, ten for the tokens after the first.
        let (ttft, gap) = (10.0 + 1.6 * n, 10.0 + n);
        near(number(level, "level/ttft_ms/avg"), ttft);
        near(number(level, "tbt_ms/p95"), gap);
        near(number(level, "level/latency_ms/p50"), ttft + 10.0 * gap);
        near(
            number(level, "level/tok_s"),
            n * 11.0 / (ttft + 10.0 * gap) * 1e3,
        );
    }
    assert_eq!(found["levels"][0]["measured"], Value::Null);
    // A step that `run` takes from the same file pays for its submission too.
    let text = fs::read_to_string(&cal).unwrap();
    match StepTimes::from_text(&text, "cal.json").unwrap().latency {
        StepLatency::Linear(step) => assert_eq!(step.c0_s, 0.0095 + 0.0005),
        other => panic!("{other:?}"),
    }
    // By one flag alone: the other would say neither whose GPU it is nor how far its steps are off.
    let args = ["run", "--step-latency", &cal, "--rule", "vllm"];
    let output = program().args(args).output().unwrap();
    refused(
        &output,
        2,
        &["--step-latency", "is a calibration; --latency takes it"],
    );

    let output = serve(&["--latency", &cal]);
    let text = done(&output);
    for words in [
        "SERVING USERS: demo (f16) on a made-up GPU",
        "A demonstration",
        "step times are typically off by 2.0 %",
        "the clock was not steady",
        "4 requests, one after another, of 64 prompt and 32 output tokens",
        "nothing was measured",
        "no data sheet to give an MFU by",
    ] {
        assert!(text.replace('\n', " ").contains(words), "{words}: {text}");
    }
    let output = serve(&["--latency", &cal, "--peak-flops", "1e12"]);
    let text = done(&output);
    assert!(
        text.replace('\n', " ")
            .contains("of the peak of a made-up GPU"),
        "{text}"
    );
}

#[test]
fn a_data_sheet_says_what_is_possible_at_best() {
    let sheet = ["--latency", "datasheet"];
    let args = ["--hardware", "h100", "--model", "qwen3-1.7b"];
    let args = [&args[..], &sheet].concat();
    let text = done(&serve(&args)).replace('\n', " ");
    for words in [
        "qwen3-1.7b (f16) on NVIDIA H100 SXM",
        "roofline of the data sheet",
        "of the data sheet's bandwidth",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Limits are the server's, and a model that the memory does not hold is refused as by `run`.
    assert!(
        text.contains("up to 256 sequences at once, with up to 2048 tokens"),
        "{text}"
    );
    refused(
        &serve(&[
            "--hardware",
            "l4",
            "--model",
            "llama-3.1-8b",
            "--precision",
            "f32",
        ]),
        2,
        &["memory.capacity_gb", "32.1"],
    );
    // A quarter of the weights' bytes, and scales of a half byte in eight.
    let tok_s = |more: &[&str]| {
        let all = [&args[..], more, &["--users", "1,2", "--json"]].concat();
        let found: Value = serde_json::from_str(done(&serve(&all))).unwrap();
        let at = "/levels/0/predicted/level/tok_s";
        found.pointer(at).and_then(Value::as_f64).unwrap()
    };
    let gain = tok_s(&["--precision", "int4"]) / tok_s(&[]);
    assert!((3.4..3.6).contains(&gain), "{gain}");
}

/// One question, one answer: a level among others, and the same number of users alone.
#[test]
fn a_level_is_the_run_with_as_many_users() {
    let folder = TempDir::new().unwrap();
    for (users, each, prompt, output, rate) in [
        ("64", "10", "512", "128", 20_746.0),
        ("600", "2", "100", "20", 0.0),
    ] {
        let json = |output: Output| -> Value { serde_json::from_str(done(&output)).unwrap() };
        let out = folder.path().join("out");
        let place = out.display().to_string();
        let both = [
            "--hardware",
            "h100",
            "--model",
            "qwen3-1.7b",
            "--latency",
            "datasheet",
            "--requests-per-user",
            each,
            "--prompt",
            prompt,
            "--output",
            output,
            "--json",
        ];
        let two = format!("{users},7");
        let serve = json(serve(
            &[&both[..], &["--users", &two, "--out", &place]].concat(),
        ));
        let run = json(self::serve(&[&both[..], &["--users", users]].concat()));
        let of = |value: &Value, path: &str| {
            let found = value.pointer(path).and_then(Value::as_f64);
            found.unwrap_or_else(|| panic!("{path}"))
        };
        let served = |path: &str| of(&serve, &format!("/levels/0/predicted/{path}"));
        for (mine, theirs) in [
            ("level/ttft_ms", "/honest/ttft_s"),
            ("level/latency_ms", "/honest/e2e_s"),
            ("queueing_ms", "/honest/queueing_s"),
            ("tbt_ms", "/continuous/tbt_ms"),
        ] {
            let unit = if theirs.ends_with("_s") { 1e3 } else { 1.0 };
            for (quantile, same) in [
                ("avg", "mean"),
                ("p50", "p50"),
                ("p95", "p95"),
                ("p99", "p99"),
            ] {
                let (a, b) = (
                    served(&format!("{mine}/{quantile}")),
                    of(&run, &format!("{theirs}/{same}")) * unit,
                );
                assert_eq!(a, b, "{mine} {quantile}");
            }
        }
        for (mine, theirs) in [
            ("level/tok_s", "/honest/output_tokens_per_s"),
            ("level/duration_s", "/honest/makespan_s"),
            ("steps", "/continuous/steps"),
            ("sequences", "/continuous/mean_batch"),
            ("prefill", "/continuous/mean_prompt_tokens"),
        ] {
            assert_eq!(served(mine), of(&run, theirs), "{mine}");
        }
        if rate > 0.0 {
            assert_eq!(served("level/tok_s").round(), rate);
        }
        // The utilisations are of one definition too.
        let levels = fs::read_to_string(out.join("serving_levels.csv")).unwrap();
        for (mine, theirs) in [
            ("mbu_pct", "/continuous/mbu"),
            ("mfu_pct", "/continuous/mfu"),
        ] {
            let row = levels.lines().find(|row| row.contains(mine)).unwrap();
            let value: f64 = row.split(',').nth(3).unwrap().parse().unwrap();
            assert!(
                (value / (100.0 * of(&run, theirs)) - 1.0).abs() < 1e-9,
                "{row}"
            );
        }
    }
}

/// Peaks are those of all GPUs that work together: a level has the utilisation of the run alone.
#[test]
fn gpus_that_work_together_are_measured_by_all_their_peaks() {
    for gpus in ["1", "2", "4"] {
        let folder = TempDir::new().unwrap();
        let place = folder.path().join("out").display().to_string();
        let both = [
            "run",
            "--hardware",
            "h100",
            "--model",
            "llama-3.1-8b",
            "--tensor-parallel",
            gpus,
            "--gpus",
            gpus,
            "--requests-per-user",
            "2",
            "--prompt",
            "64",
            "--output",
            "32",
        ];
        let levels = ["--users", "8,1", "--out", &place];
        done(&run(&[&both[..], &levels].concat()));
        let output = run(&[&both[..], &["--users", "8", "--json"]].concat());
        let alone = done(&output);
        let alone: Value = serde_json::from_str(alone).unwrap();
        let levels = fs::read_to_string(folder.path().join("out/serving_levels.csv")).unwrap();
        for name in ["mbu", "mfu"] {
            let row = levels.lines().find(|row| row.contains(name)).unwrap();
            let pct: f64 = row.split(',').nth(3).unwrap().parse().unwrap();
            let share = alone["continuous"][name].as_f64().unwrap();
            assert!((pct / (100.0 * share) - 1.0).abs() < 1e-9, "{gpus}: {row}");
            assert!(pct <= 100.0, "{gpus}: {row}");
        }
    }
}

/// Serves on the first adapter here; says so where there is none.
#[cfg(feature = "gpu")]
#[test]
fn a_device_is_measured_beside_the_prediction() {
    let folder = TempDir::new().unwrap();
    let small = [
        "--measure",
        "--users",
        "1,2",
        "--prompt",
        "8",
        "--output",
        "4",
        "--requests-per-user",
        "2",
    ];
    let with = |cal: &str, more: &[&str]| serve(&[&["--latency", cal], &small[..], more].concat());
    // Nobody measures one GPU and means another by mistake. A driver may say something too.
    let other = with(&saved(&folder), &[]);
    assert_eq!(other.status.code(), Some(2));
    let said = String::from_utf8_lossy(&other.stderr);
    let last = said.lines().last().unwrap();
    for words in ["a made-up GPU", "--adapter N", "[contradiction]"] {
        assert!(last.contains(words), "{words}: {said}");
    }
    let adapters = pollster::block_on(batchscope::gpu::adapters());
    let Some(adapter) = adapters.first() else {
        eprintln!("skipped: no driver for Vulkan, Metal or Direct3D 12 here");
        return;
    };
    let mut own = calibration();
    own.adapter = adapter.clone();
    let cal = save(&folder, &own);
    let out = folder.path().join("out");
    let output = with(&cal, &["--out", &out.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap().replace('\n', " ");
    for words in [
        "measured  predicted",
        "error of the step latency",
        "Steps fill",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    let found: Value =
        serde_json::from_slice(&fs::read(out.join("serving.json")).unwrap()).unwrap();
    for level in found["levels"].as_array().unwrap() {
        let (measured, predicted) = (&level["measured"], &level["predicted"]);
        assert_eq!(measured["level"]["users"], predicted["level"]["users"]);
        assert_eq!(
            measured["level"]["successful"],
            measured["level"]["requests"]
        );
        assert!(measured["level"]["tok_s"].as_f64().unwrap() > 0.0);
        assert!(level["step_errors"]["p95_size"].as_f64().unwrap() > 0.0);
    }
    let study = fs::read_to_string(out.join("saturation_report.txt")).unwrap();
    assert!(
        study.contains(&format!("{}, measured", adapter.name)),
        "{study}"
    );

    // A file that does not say which kernels it timed, or that timed others than run here now.
    let mut first_version = own.clone();
    (first_version.version, first_version.many_columns) = (1, None);
    let mut other_kernels = own;
    other_kernels.adapter.shader_f16 = !adapter.shader_f16;
    for (refused, words) in [
        (first_version, "field many_columns: it is missing"),
        (other_kernels, "field adapter: it timed kernels with"),
    ] {
        let output = with(&save(&folder, &refused), &[]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{words}: {said}");
        assert!(said.contains("calibrate it again"), "{said}");
    }

    // On another GPU than the calibration's, and said so.
    let output = with(&saved(&folder), &["--adapter", "0"]);
    let report = String::from_utf8(output.stdout).unwrap().replace('\n', " ");
    let words = "predicted by a calibration of a made-up GPU";
    assert!(
        report.contains(&adapter.name) && report.contains(words),
        "{report}"
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_are_written_whole_and_stale_ones_removed() {
    let folder = TempDir::new().unwrap();
    let cal = saved(&folder);
    let out = folder.path().join("out");
    let place = out.display().to_string();
    let output = serve(&["--latency", &cal, "--users", "1,2,8", "--out", &place]);
    let text = done(&output);
    assert!(text.ends_with(&format!("13 files in {place}\n")), "{text}");
    let all = names(&out);
    assert_eq!(all.len(), 13, "{all:?}");
    for name in [
        "serving_levels.svg",
        "saturation_fit.json",
        "saturation_curve.png",
    ] {
        assert!(all.iter().any(|n| n == name), "{name}: {all:?}");
    }
    // Equal calls write equal bytes.
    let before = fs::read(out.join("serving_levels.csv")).unwrap();
    done(&serve(&[
        "--latency",
        &cal,
        "--users",
        "1,2,8",
        "--out",
        &place,
    ]));
    assert_eq!(before, fs::read(out.join("serving_levels.csv")).unwrap());
    // One level has no study.
    done(&serve(&[
        "--latency",
        &cal,
        "--users",
        "8",
        "--out",
        &place,
    ]));
    assert_eq!(
        names(&out),
        [
            "files.json",
            "serving.json",
            "serving_levels.csv",
            "serving_levels.png",
            "serving_levels.svg",
            "serving_report.txt",
        ]
    );
    // A study's folder is not for this.
    fs::write(
        out.join("files.json"),
        r#"{"study":"saturation","files":[]}"#,
    )
    .unwrap();
    refused(
        &serve(&["--latency", &cal, "--out", &place]),
        2,
        &["saturation", "--out", "[contradiction]"],
    );
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let folder = TempDir::new().unwrap();
    let cal = saved(&folder);
    let with = |args: &[&str]| serve(&[&["--latency", &cal], args].concat());
    refused(
        &with(&["--users", "0,1"]),
        2,
        &["workload.closed_loop.users", "1 to 10000000", "[bad-field]"],
    );
    refused(&with(&["--users", "x"]), 2, &["--users", "1 to 10000000"]);
    refused(
        &with(&["--users", "2,2"]),
        2,
        &["workload.closed_loop.users", "each number once"],
    );
    refused(
        &with(&["--hardware", "h100", "--model", "demo"]),
        2,
        &["--latency", "leave out --model and --hardware"],
    );
    // Closed batches, another command, and outputs of one run.
    let levels = ["--users", "1,2", "--prompt", "64", "--output", "32"];
    refused(
        &run(&[&["run"], &levels[..]].concat()),
        2,
        &["--users", "continuous batching"],
    );
    refused(
        &run(&[&["capacity"], &levels[..]].concat()),
        2,
        &["--users", "levels of load"],
    );
    for flag in ["--requests-csv", "--chrome-trace"] {
        let path = folder.path().join("rows").display().to_string();
        refused(&with(&[flag, &path]), 2, &[flag, "name one number"]);
        assert!(!Path::new(&path).exists());
    }
    refused(&with(&["--digest"]), 2, &["--digest", "one run"]);
    refused(
        &with(&["--peak-flops", "1e12", "--users", "1"]),
        2,
        &["--peak-flops", "MFU"],
    );
    // A trace has the lengths, or two flags have them.
    refused(
        &run(&["run", "--rule", "vllm", "--users", "1", "--prompt", "64"]),
        2,
        &["--output"],
    );
    refused(
        &run(&["run", "--rule", "vllm", "--prompt", "64", "--output", "32"]),
        2,
        &["--users"],
    );
    refused(
        &serve(&["--latency", "/nonexistent/cal.json"]),
        4,
        &["cal.json", "[file]"],
    );

    let path = folder.path().join("other.json");
    let place = path.display().to_string();
    let mut other = serde_json::to_value(calibration()).unwrap();
    other["fit"]["model"]["c0_s"] = Value::from(-1.0);
    fs::write(&path, other.to_string()).unwrap();
    refused(&serve(&["--latency", &place]), 3, &["fit.model.c0_s"]);
    other["version"] = Value::from(99);
    fs::write(&path, other.to_string()).unwrap();
    refused(
        &serve(&["--latency", &place]),
        3,
        &["other.json", "version", "99", "[bad-calibration]"],
    );
    fs::write(&path, "{}").unwrap();
    refused(&serve(&["--latency", &place]), 3, &["other.json"]);
}

#[test]
fn the_old_name_prints_what_to_type() {
    let old = run(&[
        "serve",
        "--latency=cal.json",
        "--rows",
        "64",
        "--block-tokens",
        "32",
        "--measure",
    ]);
    let today = "batchscope run --gpus 1 --rule vllm --latency cal.json --max-batched-tokens 64 --measure --set \
                 engine.continuous.kv.block_tokens=32 --users 1,2,4,8 --requests-per-user 4 --prompt 64 --output \
                 32 --max-sequences 64 --set engine.continuous.kv.capacity=unlimited";
    refused(&old, 2, &["serve", today]);
    let words: Vec<&str> = today.split(' ').collect();
    // What it prints is a command that is understood: the file is what is missing.
    refused(&run(&words[1..]), 4, &["cal.json", "[file]"]);
    refused(&run(&["serve"]), 2, &["batchscope run"]);
}
