//! `--set` and `batchscope scenario` from outside.
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::fed;

fn done(args: &[&str], input: &str) -> String {
    let output = fed(args, input.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_flag_and_its_path_are_one_setting() {
    let limit = ["run", "--limit", "300", "--digest"];
    for (flags, paths) in [
        (
            &["--max-batch", "16"][..],
            &["--set", "engine.closed.max_batch=16"][..],
        ),
        (
            &["--scheduler", "static-fifo", "--batch", "4"],
            &[
                "--set",
                "engine.closed.policy=static-fifo",
                "--set",
                "engine.closed.static_batch=4",
            ],
        ),
        (
            &["--rule", "sarathi", "--kv-blocks", "9000"],
            &[
                "--set",
                "engine.continuous.rule=sarathi",
                "--set",
                "engine.continuous.kv.capacity.blocks=9000",
            ],
        ),
    ] {
        let [a, b] = [flags, paths].map(|more| done(&[&limit, more].concat(), ""));
        assert_eq!(a, b, "{flags:?}");
    }
    // One of the two would have no effect.
    for twice in [
        &["--gpus", "3", "--set", "fleet.gpus=5"][..],
        &[
            "--latency",
            "cal.json",
            "--set",
            "engine.closed.latency.linear.alpha_s=1",
        ],
        &["--users", "4", "--set", "workload.closed_loop=null"],
        &["--token-sla", "40", "--set", r#"sla={"token_ms":10}"#],
    ] {
        let output = fed(&[&["run"], twice].concat(), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let flag = format!("{} sets it too; give one of them", twice[0]);
        assert!(said.contains(&flag), "{said}");
    }
}

#[test]
fn flags_need_what_they_are_about() {
    let step = ["--model", "llama-3.1-8b", "--hardware", "h100"];
    for (flag, value) in [("--closed-form", None), ("--peak-flops", Some("1e12"))] {
        let args: Vec<&str> = ["run", "--limit", "9", "--users", "1,2"]
            .into_iter()
            .chain(step)
            .chain([flag])
            .chain(value)
            .collect();
        let output = fed(&args, b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("{flag}: --latency is missing")),
            "{said}"
        );
    }
    // What the search sets.
    for args in [
        &["--set", "workload.time_scale=3"][..],
        &["--set", "workload.rate_per_s=3"],
        &["--fewest-gpus", "--rate", "1", "--set", "fleet.gpus=3"],
    ] {
        let output = fed(&[&["capacity"], args].concat(), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("the search sets it too"), "{said}");
    }
}

#[test]
fn other_commands_set_settings_too() {
    let set = ["--set", "fleet.gpus=2"];
    let scenario = r#"{"workload": {"limit": 200}}"#;
    let text = done(&[&["sweep"][..], &set].concat(), scenario);
    let outcome: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(outcome["scenario"]["fleet"]["gpus"], 2);

    let folder = TempDir::new().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let a = path("a.json", scenario);
    let b = path(
        "b.json",
        r#"{"workload": {"limit": 200}, "fleet": {"gpus": 7}}"#,
    );
    let text = done(
        &[
            &["compare", &a, &b, "--replications", "1", "--json"][..],
            &set,
        ]
        .concat(),
        "",
    );
    // Both have two GPUs now, so nothing differs.
    let found: Value = serde_json::from_str(&text).unwrap();
    let figures = found.to_string();
    assert!(!figures.contains("\"gpus\":7"), "{figures}");
}

#[test]
fn an_engine_is_not_left_without_a_word() {
    for (args, words) in [
        (
            &["--rule", "vllm", "--set", "engine.closed.policy=dynamic"][..],
            "--rule: it chose or set one engine",
        ),
        (
            &[
                "--scheduler",
                "dynamic",
                "--set",
                "engine.continuous.rule=orca",
            ],
            "--scheduler: it chose or set one engine",
        ),
        (
            &[
                "--set",
                "engine.continuous.rule=orca",
                "--set",
                "engine.closed.policy=dynamic",
            ],
            "--set engine.continuous.rule: it would have no effect",
        ),
    ] {
        let output = fed(&[&["run", "--limit", "9"], args].concat(), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_cannot_be_set_is_one_sentence() {
    for (assignment, words) in [
        (
            "fleet.gpus=0",
            "fleet.gpus: 0 is not allowed; allowed is a whole number from 1 to 4096",
        ),
        ("fleet.gpu=1", "allowed is a part of fleet: gpus"),
        (
            "engine.closed.static_batch=4",
            "--set engine.closed.static_batch: it would have no effect",
        ),
        ("fleet.gpus", "it has no \"=\""),
    ] {
        let output = fed(&["run", "--set", assignment], b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(words), "{assignment}: {said}");
    }
}

#[test]
fn settings_are_described() {
    let schema: Value = serde_json::from_str(&done(&["scenario", "schema"], "")).unwrap();
    assert_eq!(schema["title"], "Scenario");
    assert_eq!(
        done(&["scenario", "settings"], ""),
        fs::read_to_string("docs/SETTINGS.md").unwrap()
    );
    let text = done(&["scenario", "explain", "sla.token_ms"], "");
    assert!(text.contains("from 0.001 to 10000000 (ms)"), "{text}");
    let output = fed(&["scenario", "explain", "sla.tokens"], b"");
    assert_eq!(output.status.code(), Some(2));
}
