//! The same cases by the browser's module in Node.js: batches of cases, and the digests of both.
//!
//! `pkg-studies` must be built.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

use batchscope::scenario::Source;
use batchscope::simulate;
use serde_json::{Value, json};

use crate::case::Case;
use crate::harness::Tally;
use crate::invariants::Broken;

/// This comparison among the targets, and what breaks in it.
pub const NATIVE_AND_WASM: &str = "native and wasm";

/// Cases of one batch.
const BATCH: usize = 500;
/// The script beside this crate's manifest.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wasm.mjs");

/// Cases that wait for their comparison, and what became of the others.
pub struct Wasm {
    waiting: Vec<String>,
    pub tally: Tally,
}

impl Wasm {
    pub fn new() -> Wasm {
        Wasm {
            waiting: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Adds a case; returns those of a full batch that differ, by their numbers.
    pub fn add(&mut self, number: u64, case: &Case) -> Vec<(u64, Broken)> {
        if let Some(line) = line(number, case) {
            self.waiting.push(line);
        }
        if self.waiting.len() < BATCH {
            return Vec::new();
        }
        self.compare()
    }

    /// Compares what waits; returns those that differ, by their numbers.
    pub fn compare(&mut self) -> Vec<(u64, Broken)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let batch = std::mem::take(&mut self.waiting);
        let differ = run(&batch).unwrap_or_else(|error| vec![(0, broken(error.to_string()))]);
        self.tally.inputs += batch.len() as u64;
        self.tally.accepted += batch.len() as u64;
        self.tally.failures += differ.len() as u64;
        self.tally.busy += began.elapsed().max(Duration::from_micros(1));
        differ
    }
}

/// What differs between the two in this one case; a case that cannot be compared does not.
pub fn differs(case: &Case) -> Option<Broken> {
    let differ = run(&[line(0, case)?]);
    let (_, broken) = differ
        .unwrap_or_else(|error| vec![(0, broken(error.to_string()))])
        .pop()?;
    Some(broken)
}

fn broken(detail: String) -> Broken {
    Broken {
        name: NATIVE_AND_WASM,
        detail,
    }
}

impl Default for Wasm {
    fn default() -> Self {
        Wasm::new()
    }
}

/// A case as a line for the script; `None` where the page cannot be told how to read the file from memory.
fn line(number: u64, case: &Case) -> Option<String> {
    let (scenario, trace) = case.open().ok()?;
    let text = match &scenario.trace {
        Source::Synthetic(_) => Value::Null,
        Source::File {
            time_unit: None,
            hash_tokens: None,
            ..
        } if !case.rows.is_empty() => json!(case.text(&scenario)),
        Source::File { .. } => return None,
    };
    let outcome = simulate(&trace, &scenario).ok()?;
    let digests = outcome.digests();
    let scenario: Value = serde_json::from_str(&scenario.to_json()).ok()?;
    Some(json!({ "case": number, "scenario": scenario, "text": text, "name": trace.name, "digests": digests }).to_string())
}

/// Runs the script over a batch and reads the cases that differ.
fn run(batch: &[String]) -> io::Result<Vec<(u64, Broken)>> {
    let folder = env::temp_dir();
    static FILES: AtomicU64 = AtomicU64::new(0);
    let number = FILES.fetch_add(1, Relaxed);
    let path = folder.join(format!("batchscope-swarm-{}-{number}.jsonl", process::id()));
    let mut file = fs::File::create(&path)?;
    file.write_all(batch.join("\n").as_bytes())?;
    drop(file);
    let ran = Command::new("node")
        .arg(Path::new(SCRIPT))
        .arg(&path)
        .stderr(Stdio::inherit())
        .output();
    fs::remove_file(&path)?;
    let ran = ran?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let mut differ = Vec::new();
    let mut compared = None;
    for line in text.lines() {
        let value: Value = serde_json::from_str(line)?;
        match value.get("compared") {
            Some(count) => compared = count.as_u64(),
            None => differ.push((
                value["case"].as_u64().unwrap_or(0),
                broken(value["differs"].to_string()),
            )),
        }
    }
    // A script that dies has compared nothing.
    if !ran.status.success() || compared != Some(batch.len() as u64) {
        return Err(io::Error::other(format!(
            "node ended with {} after {compared:?} of {} cases",
            ran.status,
            batch.len()
        )));
    }
    Ok(differ)
}
