//! Hostile input from outside: endless files, signals while nothing comes, names of any bytes, crashes.
#![cfg(all(feature = "cli", unix))]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_batchscope");

/// Runs the program with at most 1 GiB of address space.
fn confined(args: &[&str], input: Stdio) -> Output {
    Command::new("sh")
        .args(["-c", "ulimit -v 1048576; exec \"$@\"", "sh", PROGRAM])
        .args(args)
        .stdin(input)
        .output()
        .unwrap()
}

/// The sentence of a refusal with this code and exit code, one line.
#[track_caller]
fn refused(output: &Output, exit: i32, code: &str) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit), "{message}");
    assert!(message.ends_with(&format!("[{code}]\n")), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[track_caller]
fn done(output: &Output) -> Value {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

// ---- Limits ------------------------------------------------------------------------------------

#[test]
fn a_file_without_an_end_is_refused() {
    for args in [
        &["run", "/dev/zero"][..],
        &["run", "--step-latency", "/dev/zero"],
        &["fit", "/dev/zero"],
        &["latency", "table", "/dev/zero"],
        &["latency", "fit", "/dev/zero"],
        &["compare", "/dev/zero", "/dev/zero"],
        &["roofline", "--latency", "/dev/zero"],
    ] {
        let message = refused(&confined(args, Stdio::null()), 3, "too-large");
        assert!(
            message.contains("zero: it goes on after 64 MiB"),
            "{message}"
        );
        assert!(message.contains("allowed is at most 64 MiB"), "{message}");
    }
    let endless = || Stdio::from(std::fs::File::open("/dev/zero").unwrap());
    let message = refused(&confined(&["run", "-"], endless()), 3, "too-large");
    assert!(message.contains("standard input"), "{message}");
    // A trace is streamed; no line of it is endless.
    let message = refused(&confined(&["run", "--trace", "-"], endless()), 3, "bad-row");
    assert!(message.contains("longer than 4 MiB"), "{message}");
}

#[test]
fn a_small_archive_of_much_is_no_burden() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bomb.csv.gz");
    for (byte, code) in [(b' ', "bad-row"), (b'\n', "empty-trace")] {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..256 {
            gz.write_all(&vec![byte; 1 << 20]).unwrap();
        }
        std::fs::write(&file, gz.finish().unwrap()).unwrap();
        let output = confined(&["trace", "stats", path(&file)], Stdio::null());
        refused(&output, 3, code);
    }
}

#[test]
fn a_limit_ends_the_reading_of_a_pipe() {
    let folder = TempDir::new().unwrap();
    let rows = |n: u32| -> String {
        (0..n).fold(
            "arrival_s,prompt_tokens,output_tokens\n".to_owned(),
            |text, i| text + &format!("{},{},{}\n", i, 10 + i % 7, 20 + i % 5),
        )
    };
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, rows(30_000)).unwrap();
    // Bins come from the first 20,000 rows, whatever the limit.
    for (scheduler, sent) in [("dynamic", 50), ("multi-bin", 20_000)] {
        let args = ["--limit", "50", "--digest", "--scheduler", scheduler];
        let mut child = Command::new(PROGRAM)
            .args(["run", "--trace", "-"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Stays open: a program that waits for more would wait for ever.
        let mut input = child.stdin.take().unwrap();
        input.write_all(rows(sent).as_bytes()).unwrap();
        let mut piped = done(&child.wait_with_output().unwrap());
        drop(input);
        let mut whole = done(
            &Command::new(PROGRAM)
                .args(["run", "--trace", path(&file)])
                .args(args)
                .output()
                .unwrap(),
        );
        // The summary tells the trace's name and how many rows were read.
        for digests in [&mut piped, &mut whole] {
            assert!(digests.as_object_mut().unwrap().remove("summary").is_some());
        }
        assert_eq!(piped, whole, "{scheduler}");
    }
}

#[test]
fn a_line_of_a_sweep_has_a_longest_length() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("lines");
    let small = r#"{"trace":{"synthetic":{"requests":10}}}"#;
    let long = " ".repeat(9 << 20);
    std::fs::write(&file, format!("{small}\n{long}{small}\n{small}\n{long}")).unwrap();
    let input = Stdio::from(std::fs::File::open(&file).unwrap());
    let output = confined(&["sweep", "--jobs", "2"], input);
    assert_eq!(output.status.code(), Some(3));
    let codes: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["code"].clone())
        .collect();
    let long = Value::from("too-large");
    assert_eq!(codes, [Value::Null, long.clone(), Value::Null, long]);
}

#[test]
fn names_and_replications_have_a_limit() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sessions.csv");
    let row = |name: &str| {
        format!("arrival_s,prompt_tokens,output_tokens,session_id\n0,5,5,{name}\n1,5,5,{name}\n")
    };
    let stats = || {
        Command::new(PROGRAM)
            .args(["trace", "stats", "--json", path(&file)])
            .output()
            .unwrap()
    };
    std::fs::write(&file, row(&"s".repeat(256))).unwrap();
    done(&stats());
    std::fs::write(&file, row(&"s".repeat(257))).unwrap();
    let message = refused(&stats(), 3, "bad-cell");
    assert!(message.contains("a name of at most 256 bytes"), "{message}");

    let scenario = folder.path().join("s.json");
    std::fs::write(
        &scenario,
        r#"{"trace":{"synthetic":{"requests":10000000}}}"#,
    )
    .unwrap();
    let args = ["capacity", path(&scenario), "--replications", "11"];
    let message = refused(&confined(&args, Stdio::null()), 3, "too-large");
    assert!(message.contains("100000000 in all"), "{message}");
}

// ---- Numbers -----------------------------------------------------------------------------------

#[test]
fn numbers_beyond_any_measurement_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    let refusal = |text: &str, args: &[&str], code| {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(PROGRAM)
            .args(args)
            .arg(&file)
            .output()
            .unwrap();
        let message = refused(&output, 3, code);
        assert!(
            !message.contains("inf") && !message.contains("NaN"),
            "{message}"
        );
        message
    };
    for time in ["1e300", "1e-320", "1e10"] {
        let grid = format!("b,tokens,s\n1,128,0.8\n1,256,1.5\n2,128,0.9\n2,256,{time}\n");
        let message = refusal(&grid, &["fit"], "bad-cell");
        assert!(message.contains("a time from 1e-9 to 1e9 s"), "{message}");
        let contract = format!("workload,ttft_p95_ms\na,{time}\n");
        if time != "1e10" {
            let args = ["study", "contract", "--measured"];
            let message = refusal(&contract, &args, "bad-cell");
            assert!(
                message.contains("0, or a number from 1e-15 to 1e15"),
                "{message}"
            );
        }
    }
}
