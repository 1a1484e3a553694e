//! Hostile input from outside: endless files, signals while nothing comes, names of any bytes, crashes.
use std::ffi::OsStr;
use std::io::Read;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{PROGRAM, program};

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
        let mut child = program()
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
            &program()
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
        program()
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

// ---- Signals -----------------------------------------------------------------------------------

/// Makes a named pipe.
fn fifo(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    path
}

fn start(args: &[&str], input: Stdio) -> Child {
    program()
        .args(args)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the program handles signals: Linux tells which ones a process catches.
#[cfg(target_os = "linux")]
fn listens(child: &mut Child) {
    let status = format!("/proc/{}/status", child.id());
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        // SIGTERM is 15, SIGINT 2.
        if caught & (1 << 14) != 0 && caught & (1 << 1) != 0 {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it never listens"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends one signal and gives how long the program took to end, its exit code and its message.
#[cfg(target_os = "linux")]
fn ended_by(signal: &str, child: &mut Child) -> (Duration, Option<i32>, String) {
    // Waiting for a child closes its input, which must stay open and silent.
    let _open = child.stdin.take();
    let mut kill = Command::new("kill");
    let kill = kill.args([signal, &child.id().to_string()]);
    let began = Instant::now();
    assert!(kill.status().unwrap().success());
    let status = child.wait().unwrap();
    let took = began.elapsed();
    let mut message = String::new();
    let mut pipe = child.stderr.take().unwrap();
    pipe.read_to_string(&mut message).unwrap();
    (took, status.code(), message)
}

/// A process that only sleeps takes this long to be killed and waited for: what the machine adds.
#[cfg(target_os = "linux")]
fn baseline() -> Duration {
    let mut child = Command::new("sleep")
        .arg("60")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ended_by("-TERM", &mut child).0
}

#[cfg(target_os = "linux")]
#[test]
fn one_signal_ends_every_command_that_waits() {
    let folder = TempDir::new().unwrap();
    let fifo = fifo(&folder);
    let fifo = path(&fifo);
    let out = folder.path().join("out");
    let commands: &[&[&str]] = &[
        // A named pipe that nobody opens, and standard input that stays open and silent.
        &["run", "--trace", fifo],
        &["run", "--trace", "-"],
        &["run", fifo],
        &["run", "-"],
        &["trace", "stats", fifo],
        &["trace", "stats", "-"],
        &["capacity", "--trace", "-"],
        &["compare", fifo, fifo],
        &["compare", "-", fifo],
        &["sweep"],
        &["fit", "-"],
        &["fit", fifo],
        &["latency", "table", fifo],
        &["latency", "fit", fifo],
        &["roofline", "--latency", "-"],
        &["run", "--rule", "vllm", "--users", "1,2", "--latency", fifo],
        &["reproduce", "--trace", "-"],
        &["validate", "--splitwise", fifo],
        &["study", "stress-v2", "--trace", fifo, "--out", path(&out)],
        // What computes for long and never looks.
        &["validate"],
        &[
            "run",
            "--hardware",
            "h100",
            "--model",
            "llama-3.1-8b",
            "--users",
            "999,1000",
            "--requests-per-user",
            "2000",
            "--prompt",
            "64",
            "--output",
            "32",
        ],
    ];
    for args in commands {
        for signal in ["-TERM", "-INT"] {
            ends_in_time(args, signal);
        }
    }
}

/// One signal ends it with 130 and a sentence, within 300 ms and what the machine adds. A machine that is busy
/// may add more to one try than to the baseline beside it, or keep the sentence waiting for longer than a process that
/// must end waits for it; in three tries it does not.
#[cfg(target_os = "linux")]
fn ends_in_time(args: &[&str], signal: &str) {
    let mut tries = Vec::new();
    for _ in 0..3 {
        let mut child = start(args, Stdio::piped());
        listens(&mut child);
        let (took, code, message) = ended_by(signal, &mut child);
        assert_eq!(code, Some(130), "{args:?}: {message}");
        let said = message.ends_with("[interrupted]\n");
        assert!(said || message.is_empty(), "{args:?}: {message}");
        let most = Duration::from_millis(300) + baseline();
        if took < most && said {
            return;
        }
        tries.push((took, most, said));
    }
    panic!(
        "{args:?} {signal}: how long each try took, at most, and whether it was said: {tries:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_is_gone_or_stuck_stops_no_signal() {
    // Standard output and standard error are pipes that are full and that nobody reads.
    let full = "dd if=/dev/zero bs=1 count=65536 status=none; exec \"$@\" 2>&1";
    let mut child = Command::new("sh")
        .args(["-c", full, "sh", PROGRAM, "run", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    listens(&mut child);
    let (_, code, _) = ended_by("-TERM", &mut child);
    assert_eq!(code, Some(130));
}

// ---- Files -------------------------------------------------------------------------------------

#[test]
fn names_need_not_be_text() {
    let folder = TempDir::new().unwrap();
    // In macOS's file system every name is text.
    let file = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    let trace = file(b"tr\xffce.csv");
    let rows: String = (0..50).fold(
        "arrival_s,prompt_tokens,output_tokens\n".to_owned(),
        |text, i| text + &format!("{i},10,20\n"),
    );
    if std::fs::write(&trace, rows).is_err() {
        println!("skipped: this file system takes no such name");
        return;
    }
    let with = |args: &[&OsStr]| program().args(args).output().unwrap();
    let word = OsStr::new;
    let out = file(b"o\xfet.csv");
    let ran = with(&[
        word("run"),
        word("--trace"),
        trace.as_os_str(),
        word("--json"),
        word("--requests-csv"),
        out.as_os_str(),
    ]);
    assert_eq!(done(&ran)["workload"]["rows_replayed"], 50);
    assert!(out.exists());
    done(&with(&[
        word("trace"),
        word("stats"),
        word("--json"),
        trace.as_os_str(),
    ]));

    let scenario = file(b"s\xff.json");
    std::fs::write(&scenario, "{}").unwrap();
    let found = with(&[
        word("compare"),
        scenario.as_os_str(),
        scenario.as_os_str(),
        word("--trace"),
        trace.as_os_str(),
        word("--replications"),
        word("2"),
        word("--json"),
    ]);
    done(&found);
    let searched = with(&[
        word("capacity"),
        word("--trace"),
        trace.as_os_str(),
        word("--replications"),
        word("1"),
        word("--json"),
    ]);
    done(&searched);
    let studied = with(&[
        word("study"),
        word("stress-v2"),
        word("--trace"),
        trace.as_os_str(),
        word("--request-counts"),
        word("50"),
        word("--out"),
        file(b"st\xffudy").as_os_str(),
    ]);
    assert_eq!(
        studied.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&studied.stderr)
    );
    // A scenario is text, and cannot name the file.
    let printed = with(&[
        word("run"),
        word("--trace"),
        trace.as_os_str(),
        word("--print-scenario"),
    ]);
    let message = refused(&printed, 2, "bad-argument");
    assert!(message.contains("not UTF-8 text"), "{message}");
}

/// Names in a folder.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    entries.map(|e| name(e).into_string().unwrap()).collect()
}

#[test]
fn what_a_killed_process_left_is_removed_by_the_next() {
    let folder = TempDir::new().unwrap();
    let scenario = folder.path().join("s.json");
    std::fs::write(&scenario, r#"{"trace":{"synthetic":{"requests":1000000}}}"#).unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let target = out.join("requests.csv");
    let args = ["run", path(&scenario), "--requests-csv", path(&target)];
    let mut child = start(&args, Stdio::null());
    while names_in(&out).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = names_in(&out);
    if left == ["requests.csv"] {
        println!("skipped: it was written before it could be killed");
        return;
    }
    assert!(
        left[0].starts_with(".batchscope-") && left[0].ends_with(".part"),
        "{left:?}"
    );
    let other = out.join("other.csv");
    std::fs::write(&scenario, r#"{"trace":{"synthetic":{"requests":10}}}"#).unwrap();
    let next = [
        "run",
        path(&scenario),
        "--json",
        "--requests-csv",
        path(&other),
    ];
    done(&program().args(next).output().unwrap());
    assert_eq!(names_in(&out), ["other.csv"]);
}

// ---- Numbers -----------------------------------------------------------------------------------

#[test]
fn numbers_beyond_any_measurement_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    let refusal = |text: &str, args: &[&str], code| {
        std::fs::write(&file, text).unwrap();
        let output = program().args(args).arg(&file).output().unwrap();
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
