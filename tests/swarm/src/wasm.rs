//! The same cases by the browser's module in Node.js: batches of cases, and the digests of both.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

use batchscope::scenario::Source;
use batchscope::simulate;
use serde_json::{Value, json};

use crate::case::Case;
use crate::harness::{Tally, replay_line};

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

    /// Adds a case; returns how many of a full batch differ.
    pub fn add(&mut self, seed: u64, number: u64, case: &Case) -> u64 {
        let Some(line) = line(number, case) else {
            return 0;
        };
        self.waiting.push(line);
        if self.waiting.len() < BATCH {
            return 0;
        }
        self.compare(seed)
    }

    /// Compares what waits; returns how many differ, and prints each.
    pub fn compare(&mut self, seed: u64) -> u64 {
        if self.waiting.is_empty() {
            return 0;
        }
        let began = Instant::now();
        let batch = std::mem::take(&mut self.waiting);
        let differ = match run(&batch) {
            Ok(differ) => differ,
            Err(error) => {
                eprintln!("FAILED native and wasm: {error}");
                vec![Value::Null]
            }
        };
        for one in &differ {
            let case = one["case"].as_u64().unwrap_or(0);
            eprintln!(
                "FAILED native and wasm: {}\n  {}",
                one["differs"],
                replay_line(seed, case)
            );
        }
        self.tally.inputs += batch.len() as u64;
        self.tally.accepted += batch.len() as u64;
        self.tally.failures += differ.len() as u64;
        self.tally.busy += began.elapsed().max(Duration::from_micros(1));
        differ.len() as u64
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
fn run(batch: &[String]) -> io::Result<Vec<Value>> {
    let folder = env::temp_dir();
    let path = folder.join(format!("batchscope-swarm-{}.jsonl", process::id()));
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
            None => differ.push(value),
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
