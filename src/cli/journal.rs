//! The outcomes of a study in progress, so that an interrupted one goes on where it stopped.
//!
//! A line per outcome is appended to `unfinished.jsonl` in the study's folder as soon as its run
//! ends; the first line says which study, version and trace they belong to. A line that a crash cut
//! short is dropped. Once the study's files are written the journal is removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::problem;
use crate::metrics::Summary;
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
        let (mut found, mut said, mut whole) = (Vec::new(), None, 0);
        if path.exists() {
            let file = File::open(&path).map_err(failed("open"))?;
            match read(file, header).map_err(failed("read"))? {
                Some((outcomes, bytes)) => {
                    said = Some(format!(
                        "going on after {} runs of an interrupted study",
                        outcomes.len()
                    ));
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
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("write"))?;
        // Whatever follows the last whole line was never an outcome.
        file.set_len(whole).map_err(failed("write"))?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed("write"))?;
        let mut journal = Journal { path, file, found };
        if whole == 0 {
            journal.line(header)?;
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
        drop(self.file);
        fs::remove_file(&self.path).map_err(|e| problem("remove", &self.path, &e))
    }
}

/// The outcomes of a journal with this header and the length of its whole lines; `None` where it
/// is another's.
fn read(file: File, header: &Header) -> io::Result<Option<(Vec<Summary>, u64)>> {
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
