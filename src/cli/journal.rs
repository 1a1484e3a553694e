//! The outcomes of a study in progress, so that an interrupted one goes on where it stopped.
//!
//! A line per outcome is appended to `unfinished.jsonl` in the study's folder as soon as its run
//! ends; the first line says which study, settings, version and trace they belong to; those of another
//! are never thrown away. A line that a crash cut short is dropped. Once the study's files are written the journal is removed. While a study runs it
//! holds a lock on the journal, so that no other one writes into its folder; the system releases
//! the lock when the process ends, however it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::files::{self, problem};
use crate::error::printable;
use crate::metrics::Summary;
use crate::published::Study;
use crate::trace::Failed;
use crate::words::counted;
use crate::{Error, Scenario};

const NAME: &str = "unfinished.jsonl";

/// What a journal's outcomes belong to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Header {
    pub batchscope: String,
    /// With all its settings.
    pub study: Study,
    pub replications: u32,
    /// SHA-256 of the trace's columns; empty for generated traces, which their scenario describes.
    pub trace: String,
}

/// How every header begins.
const BEGIN: &[u8] = b"{\"batchscope\":";

/// Outcomes on disk, and more to come.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// By the JSON of their scenario.
    found: BTreeMap<String, Summary>,
    /// Lines that are no outcome, although they are whole.
    damaged: u64,
    /// When what is in it was last put on the disk.
    synced: Instant,
}

/// How many seconds of finished runs a loss of power may cost.
const SYNC_EVERY: Duration = Duration::from_secs(1);

impl Journal {
    /// Opens the folder's journal, or begins one where there is none.
    ///
    /// Errors: it holds outcomes of something else, which would be lost; another study is writing
    /// into the folder.
    pub fn open(folder: &Path, header: &Header) -> Result<Journal, Error> {
        let path = folder.join(NAME);
        let failed = |action| {
            let path = path.clone();
            move |e: io::Error| problem(action, &path, &e)
        };
        let mut file = locked(folder, &path)?;
        let mut begin = serde_json::to_vec(header)
            .map_err(io::Error::from)
            .map_err(failed("write"))?;
        begin.push(b'\n');
        let mut read = Read::default();
        if file.metadata().map_err(failed("read"))?.len() > 0 {
            read = Read::of(&file, &begin).map_err(failed("read"))?;
            if let Some(other) = &read.other {
                return Err(Error::contradiction(
                    path.display().to_string(),
                    other.clone(),
                ));
            }
        }
        // Whatever follows the last whole line was never an outcome.
        file.set_len(read.whole).map_err(failed("write"))?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed("write"))?;
        let mut journal = Journal {
            path,
            file,
            found: read.found,
            damaged: read.damaged,
            synced: Instant::now(),
        };
        if read.whole == 0
            && let Err(e) = journal.line(header)
        {
            // Nothing worth keeping. What stopped the writing is what a person must hear.
            let _ = journal.remove();
            return Err(e);
        }
        journal.sync()?;
        files::sync_folder(folder).map_err(|e| problem("write", folder, &e))?;
        Ok(journal)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whole lines that are no outcome.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The outcome of a scenario, where the journal had it.
    pub fn get(&self, scenario: &Scenario) -> Option<&Summary> {
        self.found.get(&key(scenario))
    }

    /// Appends an outcome.
    pub fn add(&mut self, outcome: &Summary) -> Result<(), Error> {
        self.line(outcome)?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.file
            .sync_data()
            .map_err(|e| problem("write", &self.path, &e))?;
        self.synced = Instant::now();
        Ok(())
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), Error> {
        // One write a line, so that a crash cuts at most the last one.
        let written = serde_json::to_vec(value)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                self.file.write_all(&line)
            });
        written.map_err(|e| problem("write", &self.path, &e))
    }

    /// Everything is written elsewhere now.
    pub fn remove(self) -> Result<(), Error> {
        // Before the lock is released: who gets it next must not find a journal that is going.
        fs::remove_file(&self.path).map_err(|e| problem("remove", &self.path, &e))
    }
}

/// The journal's file, made where there is none, and ours alone.
fn locked(folder: &Path, path: &Path) -> Result<File, Error> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| problem("write", path, &e))?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => return Ok(file),
            // A study that just ended has removed it between our two steps.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::File {
                    action: "write into",
                    path: folder.display().to_string(),
                    detail: "another study is writing there; wait until it ends, or name another \
                             folder with --out"
                        .to_owned(),
                });
            }
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                eprintln!(
                    "batchscope: {} is on a file system without locks; run one study at a time there",
                    folder.display()
                );
                return Ok(file);
            }
            Err(TryLockError::Error(e)) => return Err(problem("lock", path, &e)),
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// The longest line that is read, far more than an outcome: what is longer is damage.
const MOST_LINE: u64 = 16 << 20;

/// Reads up to the next end of a line and gives its length; of a longer line than [`MOST_LINE`] only its
/// end stays in `line`.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    let mut length = 0;
    loop {
        line.clear();
        let mut part = lines.by_ref().take(MOST_LINE);
        let read = part.read_until(b'\n', line)? as u64;
        length += read;
        if read < MOST_LINE || line.ends_with(b"\n") {
            return Ok(length);
        }
    }
}

/// What stands in a journal.
#[derive(Default)]
struct Read {
    found: BTreeMap<String, Summary>,
    damaged: u64,
    /// The length of its whole lines; 0 where it begins anew.
    whole: u64,
    /// Why it must stay as it is: it has outcomes of something else.
    other: Option<String>,
}

impl Read {
    fn of(file: &File, header: &[u8]) -> io::Result<Read> {
        let mut lines = BufReader::new(file);
        let mut first = Vec::new();
        let mut read = Read {
            whole: next_line(&mut lines, &mut first)?,
            ..Read::default()
        };
        let (mut line, mut all) = (Vec::new(), 0u64);
        let mut contradicted = BTreeSet::new();
        let ours = first == header;
        loop {
            let length = next_line(&mut lines, &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            read.whole += length;
            all += 1;
            if !ours {
                continue;
            }
            // Damage in the middle: the other lines are still good.
            match serde_json::from_slice::<Summary>(&line) {
                Ok(outcome) if flaw(&outcome).is_none() => {
                    let key = key(&outcome.scenario);
                    if read.found.get(&key).is_some_and(|other| *other != outcome) {
                        contradicted.insert(key.clone());
                        read.damaged += 1;
                    }
                    read.found.insert(key, outcome);
                }
                _ => read.damaged += 1,
            }
        }
        // Which of the two is right is not known; the run is made again.
        read.found.retain(|key, _| !contradicted.contains(key));
        if ours {
            return Ok(read);
        }
        if all == 0 && (first.starts_with(BEGIN) || BEGIN.starts_with(&first)) {
            // It never had an outcome.
            return Ok(Read::default());
        }
        read.other = Some(whose(&first, header, all));
        Ok(read)
    }
}

/// The sentence about a journal that is not this study's.
fn whose(first: &[u8], header: &[u8], lines: u64) -> String {
    let theirs = owner(first);
    let ours = owner(header).unwrap_or_default();
    let runs = counted(lines, "finished run");
    let difference = match theirs {
        Some(theirs) if theirs == ours => format!(
            "it holds {runs} of the study {ours} with other settings, another trace or another \
             version of batchscope"
        ),
        Some(theirs) => {
            format!("it holds {runs} of the study {theirs}, and this is the study {ours}")
        }
        None => "it is not a journal of batchscope, or its first line is damaged".to_owned(),
    };
    format!(
        "{difference}; end that one with its own command, or start anew: remove the file, or name \
         another folder with --out"
    )
}

/// Name and seed of the study in a header, also of another version's.
fn owner(header: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(header).ok()?;
    let (name, seed) = match value.get("study")? {
        Value::String(name) => (name, None),
        Value::Object(study) => {
            let (name, settings) = study.iter().next()?;
            (name, settings.get("seed").and_then(Value::as_u64))
        }
        _ => return None,
    };
    let name = printable(name.as_bytes());
    Some(match seed {
        Some(seed) => format!("{name} with seed {seed}"),
        None => name,
    })
}

/// A scenario as text that is equal where the scenarios are.
pub fn key(scenario: &Scenario) -> String {
    // Plain numbers and strings cannot fail to serialise.
    serde_json::to_string(scenario).unwrap_or_default()
}

/// Rounding may put a share or a quantile this much beyond its bound.
const ROUNDING: f64 = 1e-9;

/// Why an outcome cannot be that of a run, where it cannot: files may be edited or damaged.
pub fn flaw(outcome: &Summary) -> Option<String> {
    let Summary {
        scenario,
        workload: w,
        honest: h,
        ..
    } = outcome;
    let p = outcome.published();
    let others = match &outcome.continuous {
        Some(c) => c
            .rejected
            .saturating_add(c.too_long)
            .saturating_add(c.timed_out)
            .saturating_add(c.statistics.warmup_requests),
        None => 0,
    };
    if let Err(e) = scenario.validate() {
        return Some(e.to_string());
    }
    // Counts, times, shares and rates: none of them is ever below 0.
    for (name, values) in [
        ("workload", serde_json::to_value(w)),
        ("published", serde_json::to_value(&outcome.published)),
        ("continuous", serde_json::to_value(&outcome.continuous)),
        ("honest", serde_json::to_value(h)),
    ] {
        match values {
            Ok(values) => {
                if let Some(said) = below_zero(name, &values) {
                    return Some(said);
                }
            }
            Err(e) => return Some(format!("{name}: {e}")),
        }
    }
    let dropped = match scenario.workload.failed {
        Failed::Drop => w.rows_failed,
        Failed::Keep => 0,
    };
    let equal = [
        (
            "rows_replayed + dropped rows",
            w.rows_replayed.checked_add(dropped),
            "rows_taken",
            w.rows_taken,
        ),
        (
            "honest requests + failed_replayed + requests turned away or of the warm-up",
            h.requests
                .checked_add(h.failed_replayed)
                .and_then(|n| n.checked_add(others)),
            "rows_replayed",
            w.rows_replayed,
        ),
        (
            "failed_replayed + failed_dropped",
            h.failed_replayed.checked_add(h.failed_dropped),
            "rows_failed",
            w.rows_failed,
        ),
        (
            "the number of GPUs in utilization.per_gpu",
            Some(h.utilization.per_gpu.len() as u64),
            "the scenario's number of them",
            u64::from(scenario.replicas()),
        ),
    ];
    for (what, a, other, b) in equal {
        if a != Some(b) {
            return Some(format!("{what} is not {other}, {b}"));
        }
    }
    let at_most = [
        ("rows_taken", w.rows_taken, "rows_in_trace", w.rows_in_trace),
        (
            "token_violations",
            p.token_violations,
            "rows_replayed",
            w.rows_replayed,
        ),
        (
            "request_violations",
            p.request_violations,
            "rows_replayed",
            w.rows_replayed,
        ),
        ("batches", p.batches, "rows_replayed", w.rows_replayed),
        (
            "backlog_at_last_arrival",
            h.backlog_at_last_arrival,
            "rows_replayed",
            w.rows_replayed,
        ),
        (
            "batches_over_memory",
            h.batches_over_memory,
            "batches",
            p.batches,
        ),
    ];
    for (what, a, other, b) in at_most {
        if a > b {
            return Some(format!("{what} is {a}, above {other}, {b}"));
        }
    }
    let utilization = &h.utilization;
    let shares = [
        ("gpu_utilization_mean", Some(p.gpu_utilization_mean)),
        ("gpu_utilization_min", Some(p.gpu_utilization_min)),
        ("gpu_utilization_max", Some(p.gpu_utilization_max)),
        ("sla.token", h.sla.token),
        ("sla.request", h.sla.request),
        ("sla.joint", h.sla.joint),
        ("padding_waste", h.padding_waste),
        ("utilization.mean", Some(utilization.mean)),
        ("utilization.min", Some(utilization.min)),
        ("utilization.max", Some(utilization.max)),
        ("bin_accuracy", h.prediction.and_then(|p| p.bin_accuracy)),
    ];
    let per_gpu = utilization
        .per_gpu
        .iter()
        .map(|&share| ("utilization.per_gpu", Some(share)));
    for (what, share) in shares.into_iter().chain(per_gpu) {
        if let Some(share) = share
            && share > 1.0 + ROUNDING
        {
            return Some(format!("{what} is {share}, above 1"));
        }
    }
    let published = vec![
        ("tbt", vec![p.p95_tbt_ms, p.p99_tbt_ms, p.max_tbt_ms]),
        (
            "latency",
            vec![
                p.p50_latency_s,
                p.p95_latency_s,
                p.p99_latency_s,
                p.max_latency_s,
            ],
        ),
        (
            "batch",
            vec![f64::from(p.min_batch), p.avg_batch, f64::from(p.max_batch)],
        ),
    ];
    let mut ascending = match &outcome.published {
        Some(_) => published,
        None => Vec::new(),
    };
    for (what, distribution) in [
        ("queueing_s", h.queueing_s),
        ("ttft_s", h.ttft_s),
        ("tpot_ms", h.tpot_ms),
        ("e2e_s", h.e2e_s),
        ("request_tokens_per_s", h.request_tokens_per_s),
    ] {
        if let Some(d) = distribution {
            if d.count > h.requests {
                return Some(format!(
                    "{what}.count is {}, above requests, {}",
                    d.count, h.requests
                ));
            }
            ascending.push((what, vec![d.p50, d.p90, d.p95, d.p99, d.max]));
            ascending.push((what, vec![d.mean, d.max]));
        }
    }
    for (what, values) in ascending {
        if values
            .windows(2)
            .any(|pair| pair[0] > pair[1] + ROUNDING * (1.0 + pair[1]))
        {
            return Some(format!("the figures of {what} are not in ascending order"));
        }
    }
    None
}

/// The first number below 0, with its path.
fn below_zero(path: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(n) => n
            .as_f64()
            .filter(|&x| x < -ROUNDING)
            .map(|x| format!("{path} is {x}, below 0")),
        Value::Array(values) => values.iter().find_map(|v| below_zero(path, v)),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, v)| below_zero(&format!("{path}.{name}"), v)),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}
