//! The outcomes of a study in progress, so that an interrupted one goes on where it stopped.
//!
//! A line per outcome is appended to `unfinished.jsonl` in the study's folder as soon as its run
//! ends; the first line says which study, version and trace they belong to. A line that a crash cut
//! short is dropped. Once the study's files are written the journal is removed. While a study runs it
//! holds a lock on the journal, so that no other one writes into its folder; the system releases
//! the lock when the process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::problem;
use super::table::counted;
use crate::metrics::Summary;
use crate::trace::Failed;
use crate::{Error, Scenario};

const NAME: &str = "unfinished.jsonl";

/// What a journal's outcomes belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub batchscope: String,
    pub study: String,
    /// SHA-256 of the trace's columns; empty for generated traces, which their scenario describes.
    pub trace: String,
}

/// Outcomes on disk, and more to come.
pub struct Journal {
    path: PathBuf,
    file: File,
    found: Vec<Summary>,
}

impl Journal {
    /// Opens the folder's journal, or begins one where there is none or where it belongs to
    /// something else. The second result says what was found, for a person.
    pub fn open(folder: &Path, header: &Header) -> Result<(Journal, Option<String>), Error> {
        let path = folder.join(NAME);
        let failed = |action| {
            let path = path.clone();
            move |e: io::Error| problem(action, &path, &e)
        };
        let mut file = locked(folder, &path)?;
        let (mut found, mut said, mut whole) = (Vec::new(), None, 0);
        if file.metadata().map_err(failed("read"))?.len() > 0 {
            match read(&file, header).map_err(failed("read"))? {
                Some((outcomes, bytes)) => {
                    if !outcomes.is_empty() {
                        said = Some(format!(
                            "going on after {} of an interrupted study",
                            counted(outcomes.len() as u64, "run")
                        ));
                    }
                    (found, whole) = (outcomes, bytes);
                }
                None => {
                    said = Some(format!(
                        "{} belongs to another study, trace or version; starting anew",
                        path.display()
                    ));
                }
            }
        }
        // Whatever follows the last whole line was never an outcome.
        file.set_len(whole).map_err(failed("write"))?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed("write"))?;
        let mut journal = Journal { path, file, found };
        if whole == 0
            && let Err(e) = journal.line(header)
        {
            // Nothing worth keeping. What stopped the writing is what a person must hear.
            let _ = journal.remove();
            return Err(e);
        }
        Ok((journal, said))
    }

    /// Takes out the outcome of a scenario, where the journal has it.
    pub fn take(&mut self, scenario: &Scenario) -> Option<Summary> {
        let place = self.found.iter().position(|s| s.scenario == *scenario)?;
        Some(self.found.swap_remove(place))
    }

    /// Appends an outcome.
    pub fn add(&mut self, outcome: &Summary) -> Result<(), Error> {
        self.line(outcome)
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

/// The outcomes of a journal with this header and the length of its whole lines; `None` where it
/// is another's.
fn read(file: &File, header: &Header) -> io::Result<Option<(Vec<Summary>, u64)>> {
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    let mut bytes = lines.read_until(b'\n', &mut line)? as u64;
    match serde_json::from_slice::<Header>(&line) {
        Ok(found) if found == *header && line.ends_with(b"\n") => {}
        _ => return Ok(None),
    }
    let mut outcomes = Vec::new();
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            return Ok(Some((outcomes, bytes)));
        }
        // Damage in the middle: what stands before it is still good.
        let Ok(outcome) = serde_json::from_slice(&line) else {
            return Ok(Some((outcomes, bytes)));
        };
        outcomes.push(outcome);
        bytes += length;
    }
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
        published: p,
        honest: h,
        ..
    } = outcome;
    if let Err(e) = scenario.validate() {
        return Some(e.to_string());
    }
    // Counts, times, shares and rates: none of them is ever below 0.
    for (name, values) in [
        ("workload", serde_json::to_value(w)),
        ("published", serde_json::to_value(p)),
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
            "honest requests + failed_replayed",
            h.requests.checked_add(h.failed_replayed),
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
            "fleet.gpus",
            u64::from(scenario.fleet.gpus),
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
        ("bin_accuracy", h.prediction.map(|p| p.bin_accuracy)),
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
    let mut ascending = vec![
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
