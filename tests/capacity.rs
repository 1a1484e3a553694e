//! The capacity search against queueing theory, and its command.
#![cfg(feature = "cli")]

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn capacity(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_batchscope"))
        .arg("capacity")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn parsed(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One GPU that serves one request at a time in exactly 1 s, Poisson arrivals: M/D/1.
fn md1(folder: &TempDir, sla_s: f64) -> String {
    let scenario = serde_json::json!({
        "trace": {"synthetic": {"requests": 100_000, "shape": {"custom": {
            "arrivals": {"poisson": {"rate": 1.0}},
            "prompt": {"fixed": {"tokens": 50}},
            "output": {"fixed": {"tokens": 50}},
        }}}},
        "scheduler": {"policy": "static-fifo", "static_batch": 1},
        "fleet": {"gpus": 1},
        "latency": {"linear": {"alpha_s": 0.0, "beta_s_per_token": 0.01, "gamma": 0.0}},
        "sla": {"request_s": sla_s},
    });
    let path = folder.path().join("md1.json");
    std::fs::write(&path, scenario.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// P(waiting <= t) of M/D/1 with service time 1 at load rho (Erlang 1909; Crommelin 1932).
fn waits_at_most(t: f64, rho: f64) -> f64 {
    let mut factorial = 1.0;
    let mut sum = 0.0;
    for k in 0..=(t.floor() as i32) {
        if k > 0 {
            factorial *= f64::from(k);
        }
        let x = rho * (f64::from(k) - t);
        sum += x.powi(k) / factorial * (-x).exp();
    }
    (1.0 - rho) * sum
}

#[test]
fn the_highest_rate_of_m_d_1_is_theorys() {
    // Latency within 5.5 s is waiting within 4.5 s.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let rho = (low + high) / 2.0;
        if waits_at_most(4.5, rho) >= 0.95 {
            low = rho
        } else {
            high = rho
        }
    }
    let folder = TempDir::new().unwrap();
    let scenario = md1(&folder, 5.5);
    let found = parsed(&capacity(&[
        &scenario,
        "--of",
        "request",
        "--attainment",
        "0.95",
        "--replications",
        "8",
        "--json",
    ]));
    let rate = &found["rate_per_s"];
    let [from, to] = [0, 1].map(|i| rate["interval"][i].as_f64().unwrap());
    // Bisection stops up to 0.5 % below the rate, never above it.
    assert!(from <= low && low <= to * 1.005, "{from} {low} {to}");
    assert!((to - from) / low < 0.03, "{from} {to}");
}

#[test]
fn the_fewest_gpus_serve_the_offered_load() {
    let folder = TempDir::new().unwrap();
    let scenario = md1(&folder, 60.0);
    let found = parsed(&capacity(&[
        &scenario,
        "--of",
        "request",
        "--fewest-gpus",
        "--rate",
        "7.5",
        "--replications",
        "3",
        "--json",
    ]));
    // 7.5 erlangs of 1-s requests: 7 GPUs fall ever further behind, 8 keep up.
    assert_eq!(found["gpus"], 8);
}

#[test]
fn hopeless_and_endless_promises_are_said_to_be_so() {
    let folder = TempDir::new().unwrap();
    // No request is served in less than 1 s.
    let scenario = md1(&folder, 0.5);
    let output = capacity(&[&scenario, "--of", "request", "--replications", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("fails even at"), "{text}");
    // All 100,000 requests at once are served within 100,000 s.
    let scenario = md1(&folder, 200_000.0);
    let output = capacity(&[&scenario, "--of", "request", "--replications", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("holds even at"), "{text}");
    assert!(text.contains("too short"), "{text}");
    assert!(text.contains("full backlog"), "{text}");
}

#[test]
fn a_file_is_replicated_by_blocks() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace.csv");
    let made = Command::new(env!("CARGO_BIN_EXE_batchscope"))
        .args(["trace", "generate", "--requests", "4000", "--out"])
        .arg(&trace)
        .output()
        .unwrap();
    assert!(made.status.success());
    let trace = trace.to_str().unwrap();
    let found = parsed(&capacity(&[
        "--trace",
        trace,
        "--replications",
        "4",
        "--json",
    ]));
    let rates: Vec<f64> = found["replications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["found"]["rate_per_s"].as_f64().unwrap())
        .collect();
    assert_eq!(rates.len(), 4);
    assert!(rates.iter().any(|&r| r != rates[0]), "{rates:?}");

    let output = capacity(&["--trace", trace, "--limit", "1000", "--replications", "600"]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("at most 500"), "{message}");
}

#[test]
fn a_rate_without_its_question_is_refused() {
    let output = capacity(&["--rate", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let output = capacity(&["--attainment", "1.5"]);
    assert_eq!(output.status.code(), Some(2));
    let output = capacity(&["--replications", "0"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn no_rate_is_promised_that_the_fleet_cannot_keep_up() {
    // 1,000 requests of 1 s and 60 s of patience: at 1.05/s the trace ends before the queue is
    // long enough to break the promise, and yet nobody serves 1.05/s with one GPU.
    let folder = TempDir::new().unwrap();
    let scenario = md1(&folder, 60.0);
    let args = [&scenario, "--of", "request", "--limit", "1000", "--json"];
    let found = parsed(&capacity(&args));
    for replication in found["replications"].as_array().unwrap() {
        let probe = replication.get("found").or(replication.get("unbounded"));
        let rate = probe.unwrap()["rate_per_s"].as_f64().unwrap();
        assert!(rate <= 1.0, "{replication}");
    }
    let args = [
        &scenario,
        "--of",
        "request",
        "--limit",
        "1000",
        "--fewest-gpus",
    ];
    let found = parsed(&capacity(
        &[&args[..], &["--rate", "1.05", "--json"]].concat(),
    ));
    assert_eq!(found["gpus"], 2);
}
