//! The command line from outside: the real program, real files, pipes and signals.
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use batchscope::scenario::Preset;
use batchscope::{Scenario, Trace};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{PROGRAM, done, fed, program, run, text};

fn parsed(output: &Output) -> Value {
    serde_json::from_str(done(output)).unwrap()
}

#[test]
fn two_scenarios_are_compared_on_the_same_seeds() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, change: Value| -> String {
        let mut scenario =
            json!({ "trace": { "synthetic": { "requests": 400 } }, "fleet": { "gpus": 2 } });
        for (key, value) in change.as_object().unwrap() {
            scenario[key] = value.clone();
        }
        let path = folder.path().join(name);
        std::fs::write(&path, scenario.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let busy = json!({ "time_scale": 40 });
    let fifo = file(
        "a.json",
        json!({ "workload": busy, "scheduler": { "policy": "static-fifo" } }),
    );
    let bins = file(
        "b.json",
        json!({ "workload": busy, "scheduler": { "policy": "multi-bin-dynamic" } }),
    );
    let of = |found: &Value, figure: &str| -> Value {
        let all = found["differences"].as_array().unwrap();
        all.iter().find(|d| d["figure"] == figure).unwrap().clone()
    };

    let found = parsed(&run(&[
        "compare",
        &fifo,
        &bins,
        "--replications",
        "6",
        "--json",
    ]));
    assert_eq!(found["seeds"], json!([42, 43, 44, 45, 46, 47]));
    let latency = of(&found, "honest.e2e_s.mean");
    let number = |name: &str| latency[name].as_f64().unwrap();
    assert!((number("b") - number("a") - number("difference")).abs() < 1e-9);
    assert!(number("low") < number("difference") && number("difference") < number("high"));
    // One seed of it is the run itself.
    let single = parsed(&run(&[
        "compare",
        &fifo,
        &bins,
        "--replications",
        "1",
        "--json",
    ]));
    let alone = parsed(&run(&["run", &bins, "--json"]));
    assert_eq!(
        of(&single, "honest.e2e_s.mean")["b"],
        alone["honest"]["e2e_s"]["mean"]
    );
    assert_eq!(of(&single, "honest.e2e_s.mean")["low"], Value::Null);
    // However many threads.
    let threads = parsed(&run(&[
        "compare",
        &fifo,
        &bins,
        "--replications",
        "6",
        "--json",
        "--jobs",
        "1",
    ]));
    assert_eq!(found, threads);

    let same = run(&["compare", &fifo, &fifo, "--replications", "3"]);
    let table = done(&same);
    assert!(
        table.contains("Seeds 42 to 44, the same in both\nThe same requests in both"),
        "{table}"
    );
    assert!(table.contains("no difference shown"), "{table}");
    assert!(!table.contains("no interval"), "{table}");

    let served = file(
        "c.json",
        json!({ "workload": busy, "engine": { "continuous": {} } }),
    );
    let csv = folder.path().join("all.csv");
    let out = run(&[
        "compare",
        &fifo,
        &served,
        "--replications",
        "3",
        "--out",
        csv.to_str().unwrap(),
    ]);
    assert!(done(&out).contains("TTFT, P99"));
    let rows = std::fs::read_to_string(&csv).unwrap();
    assert!(
        rows.starts_with("figure,a,b,difference,low,high\n"),
        "{rows}"
    );
    // What only one of the two has cannot be compared.
    assert!(!rows.contains("continuous."), "{rows}");

    // Figures of other requests are not called figures of the same.
    assert_eq!(
        found["requests"],
        json!({ "same": true, "differ": [] }),
        "{found}"
    );
    let served_with = |name: &str, workload: Value, engine: Value| {
        file(
            name,
            json!({ "workload": workload, "engine": { "continuous": engine } }),
        )
    };
    let all = served_with("all.json", busy.clone(), json!({}));
    for (other, words) in [
        (
            served_with("scale.json", json!({ "time_scale": 80 }), json!({})),
            vec![
                "arrive at other times",
                "workload.time_scale is 40.0 in A and 80.0 in B",
            ],
        ),
        (
            served_with(
                "limit.json",
                json!({ "time_scale": 40, "limit": 100 }),
                json!({}),
            ),
            vec!["other rows", "workload.limit is null in A and 100 in B"],
        ),
        (
            served_with(
                "window.json",
                json!({ "time_scale": 40, "window_start_s": 100.0 }),
                json!({}),
            ),
            vec![
                "other rows",
                "workload.window_start_s is null in A and 100.0 in B",
            ],
        ),
        (
            served_with(
                "impatient.json",
                busy.clone(),
                json!({ "max_sequences": 1, "admission": { "timeout_s": 0.5 } }),
            ),
            vec!["times are of the answered ones alone"],
        ),
        (
            served_with(
                "warm.json",
                busy.clone(),
                json!({ "warmup": { "share": 0.5 } }),
            ),
            vec!["as warm-up, those of B"],
        ),
    ] {
        let text = run(&["compare", &all, &other, "--replications", "2"]);
        let text = done(&text);
        assert!(text.contains("Not the same requests in both"), "{text}");
        assert!(!text.contains("The same requests"), "{text}");
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        let found = parsed(&run(&[
            "compare",
            &all,
            &other,
            "--replications",
            "2",
            "--json",
        ]));
        assert_eq!(found["requests"]["same"], false);
    }

    let other = file(
        "d.json",
        json!({ "trace": { "synthetic": { "requests": 300 } } }),
    );
    refused(
        &run(&["compare", &fifo, &other]),
        2,
        "contradiction",
        &["different traces", "--trace"],
    );
    refused(
        &run(&["compare", "-", "-"]),
        2,
        "contradiction",
        &["standard input"],
    );
    refused(
        &run(&["compare", &fifo, &bins, "--replications", "0"]),
        2,
        "bad-field",
        &["replications", "from 1 to 1000"],
    );
}

#[test]
fn a_step_is_fitted_to_measurements_and_served_with() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (csv, step, residuals) = (path("steps.csv"), path("step.json"), path("residuals.csv"));
    let mut rows = "batch,context,prefill,time_ms\n".to_owned();
    for b in [1, 4, 16, 64] {
        for each in [100, 1000] {
            for p in [0, 512] {
                let time =
                    8.0 + 0.03 * f64::from(b) + 1e-4 * f64::from(b * each) + 0.02 * f64::from(p);
                rows += &format!("{b},{},{p},{time}\n", b * each);
            }
        }
    }
    std::fs::write(&csv, rows).unwrap();
    let fit = run(&[
        "latency",
        "fit",
        &csv,
        "--out",
        &step,
        "--residuals",
        &residuals,
    ]);
    let printed = done(&fit);
    for words in ["c0 (ms)", "8.000", "30.00", "0.1000", "20.00", "held out"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let lines = std::fs::read_to_string(&residuals).unwrap();
    assert!(lines.starts_with(
        "file,what,sequences,context,prefill,measured_ms,fitted_ms,error,held_out,note\n"
    ));
    assert_eq!(lines.lines().count(), 17);
    let served = parsed(&run(&[
        "run",
        "--step-latency",
        &step,
        "--limit",
        "200",
        "--json",
    ]));
    let tbt = served["continuous"]["tbt_ms"]["p50"].as_f64().unwrap();
    assert!((8.0..9.0).contains(&tbt), "{tbt}");

    // The same steps in closed batches, and a table of steps that does not reach so far.
    let closed = ["run", "--scheduler", "static-fifo", "--limit", "200"];
    let fitted = run(&[&closed[..], &["--step-latency", &step]].concat());
    let printed = done(&fitted);
    assert!(!printed.contains("outside-measurements"));
    assert!(printed.contains("caution (two-machines): "), "{printed}");
    let sheet = ["--model", "llama-3.1-8b", "--hardware", "h100"];
    assert!(!done(&run(&[&closed[..], &sheet].concat())).contains("two-machines"));
    let table = folder.path().join("table.csv");
    std::fs::write(
        &table,
        "batch,context,prefill,time_ms\n1,10,0,8\n2,40,0,8.1\n0,0,16,9\n",
    )
    .unwrap();
    let table = table.to_str().unwrap();
    let short = run(&[&closed[..], &["--step-latency", table]].concat());
    let printed = done(&short);
    assert!(
        printed.contains("caution (outside-measurements): "),
        "{printed}"
    );
    let json = parsed(&run(
        &[&closed[..], &["--step-latency", table, "--json"]].concat()
    ));
    assert!(json["honest"]["outside_measurements"].as_u64().unwrap() > 0);

    std::fs::write(
        &csv,
        "batch,context,prefill,time_ms\n1,100,0,8\n2,200,0,8.1\n",
    )
    .unwrap();
    refused(
        &run(&["latency", "fit", &csv]),
        3,
        "no-fit",
        &["steps.csv", "held out"],
    );
    std::fs::write(&csv, "{}").unwrap();
    refused(
        &run(&["latency", "fit", &csv]),
        3,
        "unknown-format",
        &["guidellm"],
    );
}

/// Asserts an exit code, an error code and every word of the message.
fn refused(output: &Output, exit: i32, code: &str, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{message}");
    assert_eq!(
        text(&output.stdout),
        "",
        "nothing on standard output beside an error"
    );
    assert!(
        message.trim_end().ends_with(&format!("[{code}]")),
        "{message}"
    );
    for word in words {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with a small BurstGPT-like trace in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace.csv");
    let mut text = String::from("arrival_s,prompt_tokens,output_tokens\n");
    for i in 0..300u32 {
        let output = if i % 20 == 7 { 0 } else { 1 + i * 37 % 500 };
        text += &format!("{},{},{output}\n", i / 3, 10 + i * 91 % 900);
    }
    std::fs::write(&trace, text).unwrap();
    (folder, trace)
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Keys of a group of pretty-printed JSON, in the order in which they stand.
fn keys_in_order(json: &str, group: &str) -> Vec<String> {
    let start = json.find(&format!("\"{group}\": {{")).unwrap();
    json[start..]
        .lines()
        .skip(1)
        .take_while(|line| line.trim() != "}," && line.trim() != "}")
        .map(|line| line.trim().split('"').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn the_published_figures_have_their_names() {
    let wanted = [
        "token_violations",
        "request_violations",
        "avg_decode_step_ms",
        "avg_tbt_ms",
        "p95_tbt_ms",
        "p99_tbt_ms",
        "max_tbt_ms",
        "avg_latency_s",
        "p50_latency_s",
        "p95_latency_s",
        "p99_latency_s",
        "max_latency_s",
        "avg_queueing_s",
        "avg_service_s",
        "gpu_utilization_mean",
        "gpu_utilization_min",
        "gpu_utilization_max",
        "batches",
        "avg_batch",
        "min_batch",
        "max_batch",
        "makespan_s",
        "tokens_per_s",
        "requests_per_s",
        "capacity_qps_under_sla",
    ];
    let (_folder, small) = folder();
    let small = run(&["run", "--trace", path(&small), "--json"]);
    assert_eq!(keys_in_order(done(&small), "published"), wanted);

    let Some(head) = crate::support::shared("data/burstgpt_slice/BurstGPT_1_head.csv") else {
        return;
    };
    let args = [
        "run",
        "--trace",
        path(&head),
        "--preset",
        "stress-v2",
        "--json",
    ];
    let output = run(&args);
    assert_eq!(keys_in_order(done(&output), "published"), wanted);
    // The numbers are those of the library, to the bit.
    let mut scenario = Preset::StressV2.scenario();
    scenario.trace = batchscope::scenario::Source::file(path(&head));
    let outcome =
        batchscope::simulate(&crate::support::burstgpt_head().unwrap(), &scenario).unwrap();
    assert_eq!(
        parsed(&output),
        serde_json::to_value(&outcome.summary).unwrap()
    );
}

#[test]
fn flags_override_the_preset_which_overrides_the_file() {
    let (folder, trace) = folder();
    let file = folder.path().join("s.json");
    let settings = json!({
        "trace": {"file": {"name": path(&trace)}},
        "fleet": {"gpus": 3},
        "sla": {"token_ms": 77.0},
        "scheduler": {"policy": "multi-bin-dynamic", "max_batch": 99},
    });
    std::fs::write(&file, settings.to_string()).unwrap();
    let show = |more: &[&str]| {
        let mut args = vec!["run", path(&file), "--print-scenario"];
        args.extend(more);
        parsed(&run(&args))
    };
    let plain = show(&[]);
    assert_eq!(plain["fleet"]["gpus"], 3);
    assert_eq!(plain["sla"]["token_ms"], 77.0);
    assert_eq!(show(&["--preset", "two-step"])["sla"]["token_ms"], 50.0);
    for (flag, value, pointers, wanted) in [
        ("--gpus", "5", &["/fleet/gpus"][..], json!(5)),
        ("--limit", "17", &["/workload/limit"], json!(17)),
        ("--time-scale", "2.5", &["/workload/time_scale"], json!(2.5)),
        ("--rate", "1.5", &["/workload/rate_per_s"], json!(1.5)),
        ("--failed", "drop", &["/workload/failed"], json!("drop")),
        (
            "--scheduler",
            "multi-bin",
            &["/engine/closed/policy"],
            json!("multi-bin"),
        ),
        ("--bins", "6", &["/bins/count"], json!(6)),
        (
            "--boundaries",
            "equal-width",
            &["/bins/boundaries"],
            json!("equal-width"),
        ),
        (
            "--max-batch",
            "31",
            &["/engine/closed/max_batch"],
            json!(31),
        ),
        (
            "--batch",
            "9",
            &["/engine/closed/static_batch", "/bins/full_batch"],
            json!(9),
        ),
        ("--token-sla", "12.5", &["/sla/token_ms"], json!(12.5)),
        ("--request-sla", "4", &["/sla/request_s"], json!(4.0)),
        (
            "--predictor",
            "oracle",
            &["/predictor/kind"],
            json!("oracle"),
        ),
        ("--sigma", "0.5", &["/predictor/sigma"], json!(0.5)),
        (
            "--bin-error",
            "0.25",
            &["/predictor/bin_error"],
            json!(0.25),
        ),
        ("--seed", "7", &["/seed"], json!(7)),
        (
            "--trace",
            "other.csv",
            &["/trace/file/name"],
            json!("other.csv"),
        ),
        ("--format", "csv", &["/trace/file/format"], json!("csv")),
    ] {
        // A flag is allowed only where the scenario uses it.
        let base = match flag {
            "--batch" => &["--preset", "two-step", "--scheduler", "multi-bin"][..],
            "--bin-error" => &["--preset", "two-step", "--predictor", "noisy"],
            _ => &["--preset", "two-step"],
        };
        let mut expected = show(base);
        if flag == "--time-scale" {
            expected["workload"]["rate_per_s"] = Value::Null;
        }
        for pointer in pointers {
            let before = std::mem::replace(expected.pointer_mut(pointer).unwrap(), wanted.clone());
            assert_ne!(before, wanted, "{flag} would change nothing");
        }
        // The flag changes its own fields and no other, but for those that lose their effect.
        let mut with_effect: Scenario = serde_json::from_value(expected).unwrap();
        with_effect.reset_without_effect();
        let expected = serde_json::to_value(with_effect).unwrap();
        assert_eq!(show(&[base, &[flag, value]].concat()), expected, "{flag}");
    }
}

#[test]
fn a_printed_scenario_gives_the_same_digests() {
    let (folder, trace) = folder();
    let flags = [
        "--trace",
        path(&trace),
        "--preset",
        "two-step",
        "--bins",
        "4",
        "--gpus",
        "2",
        "--failed",
        "keep",
        "--limit",
        "250",
        "--seed",
        "9",
    ];
    let printed = run(&[&["run"], &flags[..], &["--print-scenario"]].concat());
    let file = folder.path().join("s.json");
    std::fs::write(&file, done(&printed)).unwrap();
    let by_flags = parsed(&run(&[&["run"], &flags[..], &["--digest"]].concat()));
    let by_file = parsed(&run(&["run", path(&file), "--digest"]));
    let by_input = parsed(&fed(&["run", "-", "--digest"], done(&printed).as_bytes()));
    assert_eq!(by_flags, by_file);
    assert_eq!(by_flags, by_input);
    assert!(by_flags.as_object().unwrap().len() > 5);
    let other = parsed(&run(&["run", path(&file), "--gpus", "3", "--digest"]));
    assert_ne!(other["batches.gpu"], by_flags["batches.gpu"]);
}

#[test]
fn a_trace_may_be_piped_or_compressed() {
    let (folder, plain) = folder();
    let bytes = std::fs::read(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&bytes).unwrap();
    let packed = gzip.finish().unwrap();
    let file = folder.path().join("trace.csv.gz");
    std::fs::write(&file, &packed).unwrap();
    let without_name = |output: &Output| {
        let mut digests = parsed(output);
        // The summary says where the trace came from.
        digests.as_object_mut().unwrap().remove("summary").unwrap();
        digests
    };
    let wanted = without_name(&run(&["run", "--trace", path(&plain), "--digest"]));
    for output in [
        run(&["run", "--trace", path(&file), "--digest"]),
        fed(&["run", "--trace", "-", "--digest"], &bytes),
        fed(&["run", "--trace", "-", "--digest"], &packed),
    ] {
        assert_eq!(without_name(&output), wanted);
    }
    std::fs::write(&file, &packed[..packed.len() / 2]).unwrap();
    let half = run(&["run", "--trace", path(&file)]);
    refused(&half, 3, "truncated", &["trace.csv.gz"]);
}

#[test]
fn exit_codes_and_messages() {
    let (folder, trace) = folder();
    let trace = path(&trace);
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    // Without a command: the help.
    assert_eq!(run(&[]).status.code(), Some(2));
    assert!(text(&run(&[]).stderr).contains("Usage: batchscope"));

    let output = run(&["run", "--trace", trace, "--gpus", "0"]);
    refused(
        &output,
        2,
        "bad-field",
        &["fleet.gpus", "0 is not allowed", "1 to 4096"],
    );
    let output = run(&["run", "--format", "csv"]);
    refused(&output, 2, "contradiction", &["--format"]);
    let file = folder.path().join("s.json");
    std::fs::write(&file, "{\n  \"fleet\": {\"gpu\": 1}\n}").unwrap();
    let output = run(&["run", path(&file)]);
    refused(
        &output,
        2,
        "bad-scenario",
        &["s.json, line 2", "column", "fleet.gpu", "expected"],
    );

    let bad = folder.path().join("bad.csv");
    let bad_trace = |rows: &str| {
        let text = format!("arrival_s,prompt_tokens,output_tokens\n{rows}");
        std::fs::write(&bad, text).unwrap();
        run(&["run", "--trace", path(&bad)])
    };
    refused(
        &bad_trace("0,5,5\n1,5,5\n2,many,5\n"),
        3,
        "bad-cell",
        &["bad.csv", "row 4", "\"prompt_tokens\"", "\"many\""],
    );
    refused(
        &bad_trace("0,5,5\n1,5\n"),
        3,
        "bad-row",
        &["bad.csv", "row 3"],
    );
    refused(&bad_trace(""), 3, "empty-trace", &["bad.csv"]);
    refused(
        &bad_trace("0,5,0\n"),
        3,
        "empty-trace",
        &["bad.csv", "1 of them failed"],
    );
    std::fs::write(&bad, "arrival_s,prompt_tokens\n1,2\n").unwrap();
    let output = run(&["trace", "stats", path(&bad)]);
    refused(&output, 3, "missing-column", &["bad.csv", "output"]);
    std::fs::write(&bad, "what is this\n").unwrap();
    let output = run(&["trace", "stats", path(&bad)]);
    refused(&output, 3, "unknown-format", &["bad.csv", "BurstGPT"]);

    let absent = folder.path().join("absent.csv");
    for args in [
        &["run", "--trace", path(&absent)][..],
        &["run", path(&absent)],
        &["trace", "stats", path(&absent)],
        &["fit", path(&absent)],
    ] {
        refused(&run(args), 4, "file", &["absent.csv", "No such file"]);
    }
}

#[test]
fn rows_are_written_whole() {
    let (folder, trace) = folder();
    let requests = folder.path().join("requests.csv");
    let batches = folder.path().join("batches.csv");
    let output = run(&[
        "run",
        "--trace",
        path(&trace),
        "--json",
        "--requests-csv",
        path(&requests),
        "--batches-csv",
        path(&batches),
    ]);
    let summary = parsed(&output);
    let replayed = summary["workload"]["rows_replayed"].as_u64().unwrap() as usize;
    assert_eq!(replayed, 285);
    let lines = |file: &Path| {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.ends_with('\n'));
        text.lines()
            .map(|l| l.split(',').map(str::to_owned).collect())
            .collect::<Vec<Vec<_>>>()
    };
    let column = |table: &[Vec<String>], name: &str| {
        let at = table[0].iter().position(|cell| cell == name).unwrap();
        table[1..]
            .iter()
            .map(|row| row[at].parse::<f64>().unwrap())
            .collect::<Vec<_>>()
    };
    let requests = lines(&requests);
    assert_eq!(requests.len(), replayed + 1);
    let tokens: f64 = column(&requests, "prompt_tokens").iter().sum::<f64>()
        + column(&requests, "output_tokens").iter().sum::<f64>();
    let w = &summary["workload"];
    assert_eq!(
        tokens,
        w["prompt_tokens"].as_f64().unwrap() + w["output_tokens"].as_f64().unwrap()
    );
    let batches = lines(&batches);
    assert_eq!(
        batches.len() as u64,
        summary["published"]["batches"].as_u64().unwrap() + 1
    );
    assert_eq!(
        column(&batches, "size").iter().sum::<f64>(),
        replayed as f64
    );
    let last_end = column(&batches, "end_s").into_iter().fold(0.0, f64::max);
    assert_eq!(
        last_end,
        summary["published"]["makespan_s"].as_f64().unwrap()
    );
    assert_eq!(
        names_in(folder.path()),
        ["batches.csv", "requests.csv", "trace.csv"]
    );
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing() {
    let (folder, trace) = folder();
    let nowhere = folder.path().join("no-such-folder").join("rows.csv");
    let taken = folder.path().join("taken.csv");
    std::fs::create_dir(&taken).unwrap();
    for flag in ["--requests-csv", "--batches-csv"] {
        for target in [&nowhere, &taken] {
            let output = run(&["run", "--trace", path(&trace), flag, path(target)]);
            refused(&output, 4, "file", &["cannot write", path(target)]);
            assert_eq!(names_in(folder.path()), ["taken.csv", "trace.csv"]);
            assert!(names_in(&taken).is_empty());
        }
    }
    let output = run(&[
        "trace",
        "generate",
        "--requests",
        "10",
        "--out",
        path(&taken),
    ]);
    refused(&output, 4, "file", &["taken.csv"]);
    assert_eq!(names_in(folder.path()), ["taken.csv", "trace.csv"]);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let mut child = program()
        .args(["trace", "generate", "--requests", "50000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    pipe.read_line(&mut first).unwrap();
    assert!(
        first.starts_with("arrival_s,prompt_tokens,output_tokens"),
        "{first}"
    );
    drop(pipe);
    let mut message = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), message.as_str()),
        (Some(0), "")
    );
}

/// Runs the program, interrupts it when `ready` says so, and gives its exit code and message.
#[cfg(unix)]
fn interrupted(args: &[&str], mut ready: impl FnMut() -> bool) -> (Option<i32>, String) {
    use std::time::{Duration, Instant};
    let mut child = program()
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !ready() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it could be interrupted"
        );
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it never began"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    let mut message = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    (child.wait().unwrap().code(), message)
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_no_partial_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s.json");
    let mut scenario: Value = serde_json::from_str(&Scenario::default().to_json()).unwrap();
    scenario["trace"] = json!({
        "synthetic": {
            "requests": 1_000_000,
            "shape": {"custom": {
                "arrivals": {"poisson": {"rate": 50.0}},
                "prompt": {"fixed": {"tokens": 100}},
                "output": {"gamma": {"mean": 100.0, "cv": 1.0}},
            }},
        },
    });
    std::fs::write(&file, scenario.to_string()).unwrap();
    let rows = folder.path().join("out");
    std::fs::create_dir(&rows).unwrap();
    let target = rows.join("requests.csv");
    let args = ["run", path(&file), "--requests-csv", path(&target)];

    // While the rows are being written: there is a temporary file, and it is gone afterwards.
    let (code, message) = interrupted(&args, || !names_in(&rows).is_empty());
    assert_eq!(code, Some(130), "{message}");
    assert!(message.trim_end().ends_with("[interrupted]"), "{message}");
    assert!(names_in(&rows).is_empty(), "{:?}", names_in(&rows));

    // Before anything is written. The program has read its scenario from a pipe when the pipe
    // breaks, and it listens for signals before it reads.
    let mut child = program()
        .args(["run", "-", "--requests-csv", path(&target)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than a pipe holds: when it is written, the program is reading.
    input.write_all(" ".repeat(1 << 20).as_bytes()).unwrap();
    input.write_all(scenario.to_string().as_bytes()).unwrap();
    drop(input);
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(names_in(&rows).is_empty());
}

#[test]
fn fit_of_the_published_grid() {
    // Rows of 128, 256, 512, 1024 and 2048 tokens; seconds.
    let grid = [
        (1, [0.80, 1.55, 3.05, 6.05, 12.05]),
        (2, [0.88, 1.71, 3.36, 6.66, 13.26]),
        (4, [0.96, 1.86, 3.66, 7.26, 14.46]),
        (8, [1.00, 1.94, 3.82, 7.58, 15.10]),
        (16, [1.02, 1.98, 3.90, 7.74, 15.42]),
        (32, [1.04, 2.01, 3.95, 7.83, 15.59]),
    ];
    let mut csv =
        String::from("batch_size,max_seq_len,mean_latency_sec,std_latency_sec,num_trials\n");
    for (batch, seconds) in grid {
        for (i, s) in seconds.iter().enumerate() {
            csv += &format!("{batch},{},{s},{},5\n", 128 << i, s * 0.07);
        }
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("grid.csv");
    std::fs::write(&file, &csv).unwrap();
    let table = run(&["fit", path(&file)]);
    for number in [
        "0.05965278",
        "0.00574200",
        "0.31568071",
        "R2 0.99946010",
        "30 points",
    ] {
        assert!(
            done(&table).contains(number),
            "{number} is not in\n{}",
            done(&table)
        );
    }
    assert_eq!(done(&fed(&["fit", "-"], csv.as_bytes())), done(&table));
    let fit = parsed(&run(&["fit", path(&file), "--json"]));
    assert_eq!(fit["points"], 30);
    std::fs::write(&file, csv.replace("0.88", "fast")).unwrap();
    let output = run(&["fit", path(&file)]);
    refused(
        &output,
        3,
        "bad-cell",
        &["grid.csv", "row 7", "mean_latency_sec", "fast"],
    );
    std::fs::write(&file, csv.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    refused(&run(&["fit", path(&file)]), 3, "no-fit", &["grid.csv"]);
}

#[test]
fn a_generated_trace_reads_back() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("made.csv");
    let to_file = run(&[
        "trace",
        "generate",
        "--requests",
        "3000",
        "--seed",
        "5",
        "--out",
        path(&file),
    ]);
    assert_eq!(done(&to_file), "");
    let to_pipe = run(&["trace", "generate", "--requests", "3000", "--seed", "5"]);
    assert_eq!(done(&to_pipe), std::fs::read_to_string(&file).unwrap());

    let made: Trace = batchscope::trace::synth::Synthetic {
        requests: 3000,
        ..Default::default()
    }
    .generate(5)
    .unwrap();
    let wanted = serde_json::to_value(batchscope::trace::stats(&made)).unwrap();
    let from_file = parsed(&run(&["trace", "stats", path(&file), "--json"]));
    assert_eq!(from_file["stats"], wanted);
    assert_eq!(from_file["read"]["rows"], 3000);
    let piped = fed(&["trace", "stats", "-", "--json"], &to_pipe.stdout);
    assert_eq!(parsed(&piped)["stats"], wanted);
    let table = fed(&["trace", "stats", "-"], &to_pipe.stdout);
    assert!(done(&table).contains("3000"));

    // Replayed from the file or from the seed: the same batches.
    let by_file = parsed(&run(&["run", "--trace", path(&file), "--digest"]));
    let scenario = Scenario {
        trace: batchscope::scenario::Source::file(path(&file)),
        ..Scenario::default()
    };
    let outcome = batchscope::simulate(&made, &scenario).unwrap();
    assert_eq!(by_file["batches.start"], outcome.digests()["batches.start"]);
    assert_eq!(
        by_file["requests.order"],
        outcome.digests()["requests.order"]
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_pipes_stay_pipes() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    let folder = TempDir::new().unwrap();
    let real = folder.path().join("real.csv");
    let link = folder.path().join("link.csv");
    std::fs::write(&real, "old").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&real, &link).unwrap();
    let done = program()
        .args(["trace", "generate", "--requests", "3", "--out"])
        .arg(&link)
        .status()
        .unwrap();
    assert!(done.success());
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(
        std::fs::read_to_string(&real)
            .unwrap()
            .starts_with("arrival_s")
    );
    let mode = std::fs::metadata(&real).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = Command::new("cat")
        .arg(&pipe)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let done = program()
        .args(["trace", "generate", "--requests", "3", "--out"])
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(done.success());
    let read = reader.wait_with_output().unwrap().stdout;
    assert_eq!(read.iter().filter(|&&byte| byte == b'\n').count(), 4);
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn outputs_never_overwrite_each_other_or_the_trace() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace.csv");
    let rows = "arrival_s,prompt_tokens,output_tokens\n0,5,5\n";
    std::fs::write(&trace, rows).unwrap();
    for outputs in [
        [("--requests-csv", "trace.csv"), ("--batches-csv", "b.csv")],
        [("--requests-csv", "a.csv"), ("--batches-csv", "a.csv")],
    ] {
        let mut command = program();
        command.arg("run").arg("--trace").arg(&trace);
        for (flag, name) in outputs {
            command.arg(flag).arg(folder.path().join(name));
        }
        let done = command.output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&done.stderr).contains("[contradiction]"));
        assert_eq!(std::fs::read_to_string(&trace).unwrap(), rows);
    }
}

#[test]
fn users_send_requests_instead_of_the_trace() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mine.json");
    // The two forms of a benchmark's "10 users with 5 requests each".
    let users = json!({
        "users": 10, "requests_per_user": 5, "think_min_s": 0.5, "think_max_s": 2.0
    });
    let settings = json!({
        "trace": {"synthetic": {"requests": 200}},
        "workload": {"closed_loop": users},
        "fleet": {"gpus": 2},
    });
    std::fs::write(&file, settings.to_string()).unwrap();
    let csv = folder.path().join("requests.csv");
    let by_file = run(&["run", path(&file), "--requests-csv", path(&csv)]);
    let table = done(&by_file).to_owned();
    for line in [
        "50 of 200 rows replayed by 10 users with 5 requests each, thinking 0.5 to 2 s, on 2 GPUs",
        " of 10 users waiting for an answer, as a time average",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    assert!(!table.contains("overload"), "{table}");
    // The first ten are sent at once, and nobody sends before an answer.
    let rows = std::fs::read_to_string(&csv).unwrap();
    let cells: Vec<Vec<&str>> = rows.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| cells[0].iter().position(|cell| *cell == name).unwrap();
    let (arrival, end) = (column("arrival_s"), column("end_s"));
    let time = |row: usize, column: usize| cells[row + 1][column].parse::<f64>().unwrap();
    assert_eq!(cells.len(), 51);
    for row in 0..10 {
        assert_eq!(time(row, arrival), 0.0);
    }
    for row in 10..50 {
        let thought = time(row, arrival) - time(row - 10, end);
        assert!((0.5..=2.0).contains(&thought), "row {row}: {thought}");
    }

    let digests = |args: &[&str]| parsed(&run(args));
    let wanted = digests(&["run", path(&file), "--digest"]);
    let plain = json!({"trace": {"synthetic": {"requests": 200}}, "fleet": {"gpus": 2}});
    std::fs::write(&file, plain.to_string()).unwrap();
    let flags = [
        "run",
        path(&file),
        "--users",
        "10",
        "--requests-per-user",
        "5",
        "--think",
        "0.5,2",
        "--digest",
    ];
    assert_eq!(digests(&flags), wanted);
    // On top of a study's settings, whose arrivals it replaces.
    let show = |more: &[&str]| {
        let mut args = vec!["run", "--print-scenario", "--preset", "two-step"];
        args.extend(more);
        parsed(&run(&args))
    };
    let (study, mixed) = (
        show(&[]),
        show(&["--users", "3", "--requests-per-user", "2", "--think", "1"]),
    );
    assert_eq!(
        mixed["workload"]["closed_loop"],
        json!({"users": 3, "requests_per_user": 2, "think_min_s": 1.0, "think_max_s": 1.0})
    );
    assert_eq!(mixed["workload"]["time_scale"], 1.0);
    assert_eq!(mixed["workload"]["ties"], "fixed");
    assert_eq!(mixed["engine"], study["engine"]);

    refused(
        &run(&["run", "--think", "1"]),
        2,
        "contradiction",
        &["--users"],
    );
    refused(
        &run(&["run", "--users", "9999", "--requests-per-user", "2"]),
        2,
        "contradiction",
        &["19998", "workload.closed_loop"],
    );
    refused(
        &run(&["run", "--users", "2", "--think", "2,1"]),
        2,
        "bad-field",
        &["workload.closed_loop.think_max_s"],
    );
    refused(
        &run(&["capacity", "--users", "2"]),
        2,
        "contradiction",
        &["workload.closed_loop", "leave the users out"],
    );
    let usage = run(&["run", "--users", "2", "--think", "a,b"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(text(&usage.stderr).contains("MIN,MAX in seconds"));
}

#[test]
fn arguments_that_cannot_be_read_are_refused_in_one_line() {
    for (args, words) in [
        (
            &["run", "--gpus", "-1"][..],
            &["--gpus: \"-1\"", "a whole number from 1 to 4096"][..],
        ),
        (&["run", "--gpu", "1"], &["--gpu:", "did you mean --gpus?"]),
        (&["run", "--seed", "x"], &["--seed", "0 to 4294967295"]),
        (&["capacity", "--jobs", "0"], &["--jobs", "1 to 1024"]),
        (
            &["study", "two-step", "--jobs", "0"],
            &["--jobs", "1 to 1024"],
        ),
        (
            &["study", "three-step", "--max-gpus", "-5"],
            &["--max-gpus", "1 to 4096"],
        ),
        (&["sweep", "--job", "1"], &["did you mean --jobs?"]),
        (&["reproduce"], &["--trace", "missing"]),
        (&["nonsense"], &["nonsense", "no such command"]),
    ] {
        let output = run(args);
        refused(&output, 2, "bad-argument", words);
        let message = text(&output.stderr);
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.starts_with("batchscope: "), "{message}");
        assert!(!message.contains("-- -"), "{message}");
    }
    // A number that can be read meets the range of its field.
    let below = run(&["run", "--sigma", "-1"]);
    refused(&below, 2, "bad-field", &["predictor.sigma", "0 to 5"]);
    let below = run(&["run", "--think", "-1,2", "--users", "2"]);
    refused(&below, 2, "bad-field", &["think_min_s", "-1"]);
    assert!(text(&run(&["run", "--help"]).stdout).contains("Usage: batchscope run"));
}

#[test]
fn a_flag_without_effect_is_refused() {
    for (args, flag) in [
        ("--users 3 --think 1", "--think"),
        ("--trace t.csv --hash-tokens 16", "--hash-tokens"),
        ("--trace t.csv --scheduler dynamic --seed 7", "--seed"),
        ("--rule vllm --scheduler dynamic", "--scheduler"),
        ("--rule vllm --max-batch 4", "--max-batch"),
        ("--rule vllm --batch 4", "--batch"),
        ("--scheduler dynamic --bins 4", "--bins"),
        ("--scheduler static-fifo --bins 4", "--bins"),
        ("--boundaries fixed --bins 4", "--bins"),
        (
            "--scheduler dynamic --boundaries equal-width",
            "--boundaries",
        ),
        ("--scheduler static-fifo --predictor oracle", "--predictor"),
        ("--scheduler dynamic --sigma 0.5", "--sigma"),
        ("--predictor oracle --sigma 0.5", "--sigma"),
        ("--predictor prompt-only --sigma 0.5", "--sigma"),
        ("--predictor oracle --bin-error 0.1", "--bin-error"),
        ("--scheduler dynamic --bin-error 0.1", "--bin-error"),
        ("--scheduler static-fifo --max-batch 4", "--max-batch"),
        ("--scheduler multi-bin --max-batch 4", "--max-batch"),
        ("--scheduler dynamic --batch 4", "--batch"),
        ("--scheduler multi-bin-dynamic --batch 4", "--batch"),
        ("--rule vllm --bins 4", "--bins"),
        ("--rule vllm --order sjf --bins 4", "--bins"),
        ("--rule vllm --router least-work --bins 4", "--bins"),
        (
            "--rule vllm --order sjf --boundaries equal-width",
            "--boundaries",
        ),
        ("--rule vllm --order sjf --bin-error 0.1", "--bin-error"),
        ("--rule vllm --predictor oracle", "--predictor"),
        ("--rule vllm --sigma 0.5", "--sigma"),
    ] {
        let args: Vec<&str> = ["run", "--print-scenario"]
            .into_iter()
            .chain(args.split(' '))
            .collect();
        refused(
            &run(&args),
            2,
            "contradiction",
            &[&format!("{flag}: it would have no effect")],
        );
    }
    let time_scale = run(&["capacity", "--time-scale", "2"]);
    refused(
        &time_scale,
        2,
        "contradiction",
        &["--time-scale", "no effect"],
    );
    for (step, flag) in [("2", "--gpu-counts"), ("1", "--optimal-bins")] {
        let args = ["study", "stress-v2", "--step", step, flag, "2"];
        refused(&run(&args), 2, "contradiction", &[flag, "no effect"]);
    }
    for args in [
        "--boundaries exponential-optimal --batch 4",
        "--scheduler multi-bin --batch 4 --bins 2",
        "--scheduler dynamic --max-batch 4",
        "--predictor published --sigma 0.5",
        "--rule vllm --order sjf --sigma 0.5",
        "--rule vllm --share-bins --bins 4 --bin-error 0.1",
        "--rule vllm --router bin-affinity --bins 4",
        "--rule vllm --share-bins --boundaries exponential-optimal --batch 4",
    ] {
        let args: Vec<&str> = ["run", "--print-scenario"]
            .into_iter()
            .chain(args.split(' '))
            .collect();
        parsed(&run(&args));
    }
    // What a flag or a preset replaced goes back to its default, so that the printed scenario is one that can be read.
    let file = json!({"bins": {"count": 3}, "seed": 9}).to_string();
    for args in [
        "run - --print-scenario --scheduler static-fifo",
        "run - --print-scenario --preset v4 --scheduler dynamic",
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let shown = fed(&args, file.as_bytes());
        assert_eq!(parsed(&shown)["bins"]["count"], 8);
        let again = fed(&["run", "-", "--print-scenario"], &shown.stdout);
        assert_eq!(again.stdout, shown.stdout);
    }
}

#[test]
fn a_setting_without_effect_is_refused_in_every_file() {
    let folder = TempDir::new().unwrap();
    let scenario = |name: &str, settings: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, settings.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = scenario(
        "right.json",
        json!({"trace": {"synthetic": {"requests": 50}}}),
    );
    let wrong = [
        (
            json!({"engine": {"closed": {"policy": "static-fifo"}}, "bins": {"count": 3}}),
            "bins.count: ",
        ),
        (
            json!({"engine": {"continuous": {"kv": {"capacity": "unlimited", "null_block": true}}}}),
            "engine.continuous.kv.null_block: ",
        ),
        (
            json!({"engine": {"continuous": {}}, "scheduler": {"max_batch": 9}}),
            "scheduler.max_batch: ",
        ),
        (
            json!({"engine": {"continuous": {"order": "edf"}}}),
            "engine.continuous.order: ",
        ),
    ];
    for (i, (settings, field)) in wrong.iter().enumerate() {
        let path = scenario(&format!("{i}.json"), settings.clone());
        for args in [
            vec!["run", &path],
            vec!["compare", &right, &path],
            vec!["capacity", &path],
            vec!["trace", "generate", &path],
            vec!["study", "continuous", "--server", &path],
        ] {
            let output = run(&args);
            if args[0] == "study" && text(&output.stderr).contains("--server: ") {
                continue;
            }
            refused(&output, 2, "contradiction", &[field]);
        }
        let output = fed(&["sweep"], settings.to_string().as_bytes());
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        let line: Value = serde_json::from_str(text(&output.stdout)).unwrap();
        assert_eq!(line["error"]["code"], "contradiction");
        assert!(
            line["error"]["message"].as_str().unwrap().contains(field),
            "{line}"
        );
    }
}

#[test]
fn compare_refuses_a_seed_where_nothing_is_random() {
    let (folder, trace) = folder();
    let scenario = |name: &str, settings: Value| {
        let file = folder.path().join(name);
        std::fs::write(&file, settings.to_string()).unwrap();
        path(&file).to_owned()
    };
    let fifo = scenario("a.json", json!({"scheduler": {"policy": "static-fifo"}}));
    let dynamic = scenario("b.json", json!({"scheduler": {"policy": "dynamic"}}));
    let bins = scenario("c.json", json!({"scheduler": {"bins": {"count": 2}}}));
    let seeded = [
        "--seed",
        "3",
        "--replications",
        "2",
        "--trace",
        path(&trace),
    ];
    let output = run(&[&["compare", &fifo, &dynamic][..], &seeded].concat());
    refused(
        &output,
        2,
        "contradiction",
        &["--seed: ", "nothing of this run is random"],
    );
    // Predictions of one of the two are random.
    done(&run(&[&["compare", &fifo, &bins][..], &seeded].concat()));
}

#[test]
fn a_refusal_gives_the_true_reason() {
    let refusal = |args: &str, what: &str, words: &[&str]| {
        let args: Vec<&str> = args.split(' ').collect();
        let words: Vec<&str> = [what].into_iter().chain(words.iter().copied()).collect();
        let output = run(&args);
        refused(&output, 2, "contradiction", &words);
        let message = text(&output.stderr);
        assert!(!message.contains("multi-bin-dynamic"), "{message}");
    };
    refusal(
        "run --rule vllm --order sjf --bins 4",
        "--bins: ",
        &["--share-bins"],
    );
    refusal(
        "run --rule vllm --predictor oracle",
        "--predictor: ",
        &["does not look at predictions"],
    );
    for order in ["priority", "edf"] {
        let words = ["by their classes", "engine.continuous.classes is empty"];
        refusal(
            &format!("run --rule vllm --order {order}"),
            "--order: ",
            &words,
        );
        let scenario = json!({"engine": {"continuous": {"order": order}}}).to_string();
        let output = fed(&["run", "-"], scenario.as_bytes());
        refused(
            &output,
            2,
            "contradiction",
            &[
                "engine.continuous.order: ",
                "engine.continuous.classes is empty",
            ],
        );
    }
    refusal(
        "run --rule vllm --gpus 1 --router random",
        "--router: ",
        &["one replica"],
    );
    refusal(
        "run --rule vllm --batches-csv b.csv",
        "--batches-csv: ",
        &["no closed batches"],
    );
    refusal(
        "run --chrome-trace c.json",
        "--chrome-trace: ",
        &["continuous batching"],
    );
    refusal(
        "run --time-unit ms",
        "--time-unit: ",
        &["generated, not read"],
    );
    refusal(
        "run --hash-tokens 16",
        "--hash-tokens: ",
        &["generated, not read"],
    );
    refusal(
        "study two-step --format csv",
        "--format: ",
        &["generated, not read"],
    );
    for flag in ["--requests-csv", "--batches-csv", "--chrome-trace"] {
        let output = run(&["run", "--print-scenario", flag, "x"]);
        refused(&output, 2, "bad-argument", &["--print-scenario", flag]);
    }
}

#[test]
fn classes_are_labels_of_the_trace() {
    let with = |order: &str, label: &str| {
        let class = |label: &str, value: f64| match order {
            "edf" => json!({"label": label, "deadline_s": value}),
            _ => json!({"label": label, "level": value}),
        };
        let scenario = json!({
            "trace": {"synthetic": {"requests": 300}},
            "engine": {"continuous": {"order": order, "classes": [class("API log", 2.0), class(label, 1.0)]}},
        });
        fed(&["run", "-", "--json"], scenario.to_string().as_bytes())
    };
    parsed(&with("priority", "Conversation log"));
    // An order that does not look at classes has no use for their labels.
    let classes = [
        "engine.continuous.classes: ",
        "fcfs does not look at classes",
    ];
    refused(
        &with("fcfs", "Conversation log"),
        2,
        "contradiction",
        &classes,
    );
    for order in ["priority", "edf"] {
        refused(
            &with(order, "conversation"),
            2,
            "contradiction",
            &[
                "classes[1].label",
                "\"conversation\"",
                "Conversation log, API log",
            ],
        );
    }
    let (_folder, trace) = folder();
    let scenario = json!({"engine": {"continuous": {
        "order": "edf", "classes": [{"label": "a", "level": 0, "deadline_s": 1}],
    }}});
    let output = fed(
        &["run", "-", "--trace", path(&trace)],
        scenario.to_string().as_bytes(),
    );
    refused(
        &output,
        2,
        "contradiction",
        &["classes[0].label", "no log types"],
    );
}

#[test]
fn a_file_is_read_as_flags_and_scenario_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.jsonl");
    // A second turn finds the three full blocks of the first.
    let rows = "{\"timestamp\":0.5,\"input_length\":61,\"output_length\":9,\"hash_ids\":[0,1,2,3]}\n\
                {\"timestamp\":30.5,\"input_length\":91,\"output_length\":9,\"hash_ids\":[0,1,2,4,5,6]}\n";
    std::fs::write(&file, rows).unwrap();
    let name = path(&file);
    refused(
        &run(&["trace", "stats", name]),
        3,
        "bad-cell",
        &["row 1", "0.5", "--time-unit"],
    );
    refused(
        &run(&["trace", "stats", name, "--time-unit", "s"]),
        3,
        "bad-row",
        &["row 1", "61 tokens", "--hash-tokens"],
    );
    let stats = parsed(&run(&[
        "trace",
        "stats",
        name,
        "--time-unit",
        "s",
        "--hash-tokens",
        "16",
        "--json",
    ]));
    assert_eq!(stats["stats"]["span_s"], 30.0);
    assert_eq!(stats["stats"]["prefix_hit_ratio"], 0.3);
    let flags = [
        "run",
        "--trace",
        name,
        "--time-unit",
        "s",
        "--hash-tokens",
        "16",
        "--rule",
        "vllm",
        "--reuse",
        "hashes",
        "--gpus",
        "1",
        "--json",
    ];
    let by_flags = parsed(&run(&flags));
    assert_eq!(by_flags["continuous"]["prefix"]["found_tokens"], 48);
    let scenario = json!({
        "trace": {"file": {"name": name, "time_unit": "s", "hash_tokens": 16}},
        "engine": {"continuous": {"kv": {"prefix": {"reuse": "hashes"}}}},
        "fleet": {"gpus": 1},
    });
    let by_scenario = parsed(&fed(
        &["run", "-", "--json"],
        scenario.to_string().as_bytes(),
    ));
    assert_eq!(by_scenario, by_flags);
    // Generic rows do not say how many tokens a hash stands for.
    let args = [
        "run", "--trace", name, "--format", "jsonl", "--rule", "vllm", "--reuse", "hashes",
    ];
    refused(
        &run(&args),
        2,
        "contradiction",
        &["kv.prefix.reuse", "--hash-tokens"],
    );
    refused(
        &run(&["run", "--trace", name, "--hash-tokens", "0"]),
        2,
        "bad-field",
        &["trace.file.hash_tokens", "from 1 to"],
    );
}

#[test]
fn a_window_that_leaves_nothing_is_a_wrong_setting() {
    let (folder, trace) = folder();
    let file = folder.path().join("s.json");
    let with_workload = |workload: Value, trace: &Path| {
        let settings = json!({"trace": {"file": {"name": path(trace)}}, "workload": workload});
        std::fs::write(&file, settings.to_string()).unwrap();
        run(&["run", path(&file)])
    };
    for (workload, field) in [
        (json!({"window_start_s": 1e6}), "workload.window_start_s"),
        (
            json!({"window_start_s": 0.25, "window_end_s": 0.5}),
            "workload.window_start_s",
        ),
    ] {
        refused(
            &with_workload(workload, &trace),
            2,
            "contradiction",
            &[field, "trace.csv", "0 rows inside window"],
        );
    }
    let failed_first = folder.path().join("failed.csv");
    let rows = "arrival_s,prompt_tokens,output_tokens\n0,5,0\n1,5,5\n";
    std::fs::write(&failed_first, rows).unwrap();
    let dropped = json!({"limit": 1, "failed": "drop"});
    refused(
        &with_workload(dropped, &failed_first),
        2,
        "contradiction",
        &["workload.limit"],
    );
    // Nothing in the trace itself: no window would help.
    std::fs::write(&failed_first, rows.replace("1,5,5\n", "")).unwrap();
    let dropped = json!({"limit": 1, "window_end_s": 5.0, "failed": "drop"});
    refused(
        &with_workload(dropped, &failed_first),
        3,
        "empty-trace",
        &["1 of them failed"],
    );
}

#[test]
fn one_of_a_thing_is_singular() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("one.csv");
    std::fs::write(&trace, "arrival_s,prompt_tokens,output_tokens\n0,5,5\n").unwrap();
    let output = run(&["run", "--trace", path(&trace), "--gpus", "1", "--bins", "1"]);
    let table = done(&output);
    for line in [
        "1 of 1 row replayed",
        "on 1 GPU, multi-bin-dynamic with 1 bin\n",
        "0 rows failed",
        "1 batch, ",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    let sweep = fed(&["sweep"], b"[]\n");
    let message = text(&sweep.stderr);
    assert!(message.contains("1 of 1 line failed"), "{message}");
}

#[test]
fn a_fit_that_cannot_be_simulated_is_shown_and_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("grid.csv");
    let grid = |seconds: fn(f64, f64) -> f64| {
        let mut csv = String::from("batch_size,max_seq_len,mean_latency_sec\n");
        for batch in [1.0, 2.0, 4.0, 8.0] {
            for length in [128.0, 256.0, 512.0, 1024.0] {
                csv += &format!("{batch},{length},{}\n", seconds(batch, length));
            }
        }
        std::fs::write(&file, csv).unwrap();
    };
    for (field, seconds) in [
        (
            "beta_s_per_token",
            (|_, l| 9.0 - 0.005 * l) as fn(f64, f64) -> f64,
        ),
        ("alpha_s", |b, l| {
            -0.5 + 0.006 * l * (1.0 + 0.3 * (b - 1.0) / b)
        }),
        ("gamma", |b, l| {
            0.1 + 0.006 * l * (1.0 - 0.3 * (b - 1.0) / b)
        }),
    ] {
        grid(seconds);
        for json in [false, true] {
            let mut args = vec!["fit", path(&file)];
            args.extend(json.then_some("--json"));
            let output = run(&args);
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{field}: {message}");
            assert!(message.trim_end().ends_with("[no-fit]"), "{message}");
            assert!(message.contains(&format!("{field} is -")), "{message}");
            assert!(message.contains("can be simulated"), "{message}");
            if json {
                let fit: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert!(fit["model"][field].as_f64().unwrap() < 0.0);
            } else {
                assert!(text(&output.stdout).contains("gamma"));
            }
        }
    }
    // No effect of the batch size but noise: below 0, and 0 within its error.
    grid(|b, l| 0.1 + 0.006 * l + if b == 2.0 { 0.01 } else { 0.0 } - 0.0001 * b);
    let fit = run(&["fit", path(&file)]);
    assert!(
        done(&fit).contains("gamma is 0 within its error"),
        "{}",
        done(&fit)
    );
}

#[test]
fn a_folder_takes_one_study_at_a_time() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let args = ["study", "saturation", "--users", "2,4", "--out", path(&out)];
    let journal = out.join("unfinished.jsonl");
    let busy = std::fs::File::create(&journal).unwrap();
    busy.lock().unwrap();
    let output = run(&args);
    refused(&output, 4, "file", &["another study", path(&out), "--out"]);
    assert_eq!(names_in(&out), ["unfinished.jsonl"]);
    // Whoever held it is gone, however it ended; its file does not block.
    drop(busy);
    let output = run(&args);
    let report = done(&output);
    let names = names_in(&out);
    assert!(!names.contains(&"unfinished.jsonl".to_owned()), "{names:?}");
    assert!(
        report.contains(&format!("\n{} files in ", names.len())),
        "{report}"
    );
}

#[test]
fn a_study_that_cannot_write_says_so() {
    let folder = TempDir::new().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    for out in [taken.clone(), taken.join("below")] {
        let output = run(&["study", "saturation", "--users", "2,4", "--out", path(&out)]);
        refused(&output, 4, "file", &["cannot create", path(&out)]);
    }
    assert_eq!(names_in(folder.path()), ["taken"]);
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
    let gpus: Vec<String> = (1..=4096).map(|n| n.to_string()).collect();
    let output = run(&["study", "two-step", "--gpu-counts", &gpus.join(",")]);
    refused(
        &output,
        2,
        "bad-field",
        &["gpu_counts", "at most 10000 runs"],
    );
}

/// A limit on file sizes stands in for a full disk: writing fails in the middle of a file.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_partial_file() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(PROGRAM)
        .args(["study", "saturation", "--users", "2,4", "--out", path(&out)])
        .output()
        .unwrap();
    refused(&output, 4, "file", &["cannot write", path(&out)]);
    let left: Vec<(String, Vec<u8>)> = names_in(&out)
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(out.join(name)).unwrap()))
        .collect();
    // With room again the study ends, and what was there before is as it was: whole.
    let again = run(&["study", "saturation", "--users", "2,4", "--out", path(&out)]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    let names = names_in(&out);
    assert!(!names.contains(&"unfinished.jsonl".to_owned()), "{names:?}");
    for (name, bytes) in left {
        // The journal holds the outcomes so far.
        if name != "unfinished.jsonl" {
            assert_eq!(std::fs::read(out.join(&name)).unwrap(), bytes, "{name}");
        }
    }
}

#[test]
fn a_sweep_answers_for_a_trace_that_is_not_there() {
    let input = [
        json!({"trace": {"file": {"name": "no-such-trace.csv"}}}),
        json!({"trace": {"file": {"name": "-"}}}),
    ];
    let lines = input.map(|line| format!("{line}\n")).concat();
    let output = fed(&["sweep"], lines.as_bytes());
    assert_eq!(output.status.code(), Some(3));
    let answers: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers[0]["error"]["code"], "file");
    assert_eq!(answers[0]["error"]["file"], "no-such-trace.csv");
    assert_eq!(answers[1]["error"]["code"], "bad-field");
    assert_eq!(answers[1]["error"]["field"], "trace.file.name");
}

#[test]
fn a_load_test_is_predicted_and_said_to_lack_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let summary = json!({
        "request_rate": "inf", "max_concurrency": 4, "completed": 40, "duration": 20.0, "total_input_tokens": 4000,
        "total_output_tokens": 2000, "mean_ttft_ms": 40.0, "mean_tpot_ms": 20.0,
    })
    .to_string();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(summary.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let whole = file("result.json.gz", &packed);
    let cut = file("cut.json.gz", &packed[..packed.len() - 12]);
    let step = json!({ "linear": {
        "c0_s": 0.018, "c1_s_per_sequence": 1e-5, "c2_s_per_context_token": 1e-7, "c3_s_per_prefill_token": 1e-5,
    }});
    let step = file("step.json", step.to_string().as_bytes());

    let on_steps = ["validate", "--results", &whole, "--step-latency", &step];
    let printed = run(&on_steps);
    let printed = done(&printed);
    for words in [
        "40 requests: 4 users, each with one request at a time",
        "all have the mean lengths",
        "mean_tpot_ms",
        "not given",
    ] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let found = parsed(&run(&[&on_steps[..], &["--json"]].concat()));
    let rows = found[0]["rows"].as_array().unwrap();
    let row = |figure: &str, statistic: &str| {
        let mut all = rows.iter();
        all.find(|r| r["figure"] == figure && r["statistic"] == statistic)
            .unwrap()
    };
    let tpot = row("TPOT", "mean");
    assert_eq!(tpot["measured"], json!(0.02));
    // 18 ms, 4 sequences, 4 x 125 tokens of context, now and then a prompt.
    let predicted = tpot["predicted"].as_f64().unwrap();
    assert!((0.018..0.0195).contains(&predicted), "{predicted}");
    assert!((tpot["error"].as_f64().unwrap() - (predicted / 0.02 - 1.0)).abs() < 1e-12);
    assert_eq!(row("E2E", "p99")["measured"], Value::Null);

    for (args, words) in [
        (
            &["validate", "--results", &cut, "--step-latency", &step][..],
            "ends in the middle",
        ),
        (
            &["validate", "--results", &whole][..],
            "a server is missing",
        ),
        (
            &["validate", "--results", &whole, "--model", "llama-3.1-8b"][..],
            "--hardware is missing",
        ),
        (&["validate", "--json"][..], "--results"),
        (&["validate", "--model", "llama-3.1-8b"][..], "--r"),
        (&["validate", "--set", "seed=3"][..], "--results is missing"),
        (
            &[
                "validate",
                "--results",
                &whole,
                "--step-latency",
                &step,
                "--users",
                "3",
            ][..],
            "the file says itself",
        ),
        (
            &["study", "saturation", "--points", &whole][..],
            "at least 2",
        ),
        (
            &["study", "saturation", "--points", &step, "--points", &whole][..],
            "a table of levels",
        ),
    ] {
        let output = run(args);
        let said = text(&output.stderr);
        assert!(said.contains(words), "{args:?}: {said}");
        assert_ne!(output.status.code(), Some(0));
        assert!(!said.contains("panicked"), "{said}");
    }
    // Twice the users, as a second level.
    let more = summary.replace("\"max_concurrency\":4", "\"max_concurrency\":8");
    let more = file("more.json", more.replace("20.0,", "11.0,").as_bytes());
    let out = folder.path().join("study");
    let out = out.to_str().unwrap();
    let output = run(&[
        "study",
        "saturation",
        "--points",
        &whole,
        "--points",
        &more,
        "--out",
        out,
    ]);
    done(&output);
}
