//! `batchscope adapters` from outside, on whatever drivers there are, and without any.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{done, program, text};

fn run(args: &[&str], no_driver: bool) -> Output {
    let folder = TempDir::new().unwrap();
    let mut command = program();
    command
        .args(args)
        // Mesa complains on standard error where there is none.
        .env("XDG_RUNTIME_DIR", folder.path());
    if no_driver {
        command
            .env("VK_DRIVER_FILES", folder.path().join("none.json"))
            .env_remove("VK_ADD_DRIVER_FILES");
    }
    command.output().unwrap()
}

fn refused(output: &Output, exit: i32, code: &str, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{message}");
    assert_eq!(text(&output.stdout), "");
    assert!(
        message.trim_end().ends_with(&format!("[{code}]")),
        "{message}"
    );
    for word in words {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
}

/// The adapters as JSON; none, with a message, where there is no driver.
fn listed(args: &[&str]) -> Vec<Value> {
    let output = run(args, false);
    if output.status.code() == Some(5) {
        refused(&output, 5, "no-adapter", &["driver"]);
        eprintln!("skipped: {}", text(&output.stderr).trim_end());
        return Vec::new();
    }
    serde_json::from_str(done(&output)).unwrap()
}

#[test]
fn adapters_are_listed_by_number() {
    let list = listed(&["adapters", "--json"]);
    if list.is_empty() {
        return;
    }
    let table = run(&["adapters"], false);
    let table = done(&table);
    for (number, listed) in list.iter().enumerate() {
        assert_eq!(listed["number"], number);
        assert_eq!(listed.get("check"), None);
        let name = listed["adapter"]["name"].as_str().unwrap();
        assert!(table.contains(name), "{name} is not in:\n{table}");
        assert!(listed["adapter"]["max_binding_bytes"].as_u64() >= Some(1 << 20));
    }
    let last = (list.len() - 1).to_string();
    let one = run(&["adapters", "--adapter", &last, "--json"], false);
    let one: Vec<Value> = serde_json::from_str(done(&one)).unwrap();
    assert_eq!(one, list[list.len() - 1..]);
    refused(
        &run(&["adapters", "--adapter", "999"], false),
        5,
        "no-adapter",
        &["there is no adapter 999", &format!("0 to {last}")],
    );
}

#[test]
fn every_kernel_is_checked_on_every_adapter() {
    let list = listed(&["adapters", "--check", "--json"]);
    for listed in &list {
        assert_eq!(listed.get("error"), None);
        let checks = listed["check"].as_array().unwrap();
        assert!(checks.len() > 10);
        for check in checks {
            assert!(check["cases"].as_u64() > Some(0));
            assert!(check["worst_error"].as_f64() <= check["tolerance"].as_f64());
        }
    }
    if !list.is_empty() {
        let table = run(
            &["adapters", "--adapter", "0", "--check", "--seed", "7"],
            false,
        );
        for word in [
            "0: every kernel computes what it should",
            "gemv int4",
            "attention",
        ] {
            assert!(done(&table).contains(word), "{word}");
        }
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for (args, words) in [
        (
            &["--adapter", "x"][..],
            &["--adapter", "a number that `batchscope adapters` lists"][..],
        ),
        (&["--full"], &["--check"]),
    ] {
        let args = [&["adapters"], args].concat();
        refused(&run(&args, false), 2, "bad-argument", words);
    }
}

/// Elsewhere the system's own drivers cannot be hidden.
#[cfg(target_os = "linux")]
#[test]
fn without_a_driver_the_words_say_what_to_install() {
    for args in [
        &["adapters"][..],
        &["adapters", "--json"],
        &["adapters", "--check"],
        &["adapters", "--adapter", "0"],
    ] {
        let output = run(args, true);
        refused(
            &output,
            5,
            "no-adapter",
            &["no driver", "Vulkan", "lavapipe"],
        );
    }
}
