//! `batchscope sweep`: one scenario a line in, one outcome a line out.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Mutex;

use serde::Serialize;

use super::args::SweepArgs;
use super::traces::Traces;
use super::{files, pool, run};
use crate::error::ErrorReport;
use crate::{Error, Scenario};

/// The line of a scenario that could not run.
#[derive(Serialize)]
struct Failure {
    error: ErrorReport,
}

/// Reads scenarios from standard input and writes outcomes to standard output as they come, in
/// order.
///
/// Errors: [`Error::BadLines`] at the end, where lines failed; each has an error object on its
/// line.
pub fn sweep(args: SweepArgs) -> Result<(), Error> {
    let jobs = args.jobs.unwrap_or_else(pool::default_jobs);
    let traces = Traces::keeping(2 * jobs);
    let unread = Mutex::new(None);
    let mut input = io::BufReader::new(io::stdin());
    let lines = std::iter::from_fn(|| {
        let mut line = Vec::new();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(line),
            // Handled after the lines before it: what was asked for there is still answered.
            Err(e) => {
                *unread.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
                None
            }
        }
    });
    let numbered = (1u64..)
        .zip(lines.fuse())
        .filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut waiting = BTreeMap::new();
    let (mut next, mut failed, mut all) = (0, 0u64, 0u64);
    pool::each(
        jobs,
        numbered,
        |(row, line)| answer(row, &line, &traces),
        |i, line: Result<Result<String, Error>, Error>| {
            // An interrupted run is not an answer.
            waiting.insert(i, line?);
            while let Some(line) = waiting.remove(&next) {
                next += 1;
                all += 1;
                let text = line.unwrap_or_else(|error| {
                    failed += 1;
                    let error = error.report();
                    // Plain strings and numbers cannot fail to serialise.
                    serde_json::to_string(&Failure { error }).unwrap_or_default()
                });
                // A line at a time: whoever feeds the sweep may wait for it.
                files::print(|output| writeln!(output, "{text}"))?;
            }
            Ok(())
        },
    )?;
    if let Some(e) = unread.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(files::problem("read", Path::new("standard input"), &e));
    }
    if failed > 0 {
        return Err(Error::FailedLines { failed, all });
    }
    Ok(())
}

/// The outcome line of a scenario line. The outer error ends the sweep.
fn answer(row: u64, line: &[u8], traces: &Traces) -> Result<Result<String, Error>, Error> {
    let outcome = scenario(row, line).and_then(|scenario| {
        let trace = traces.get(&scenario)?;
        run::replay_quietly(&trace, &scenario)
    });
    match outcome {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => Ok(Err(error)),
        // Plain numbers and strings cannot fail to serialise.
        Ok(outcome) => Ok(Ok(
            serde_json::to_string(&outcome.summary).unwrap_or_default()
        )),
    }
}

fn scenario(row: u64, line: &[u8]) -> Result<Scenario, Error> {
    let name = format!("scenario {row}");
    match std::str::from_utf8(line.trim_ascii_end()) {
        Ok(text) => Scenario::from_json(text, &name),
        Err(e) => Err(Error::BadScenario {
            file: name,
            line: 1,
            column: e.valid_up_to() + 1,
            field: String::new(),
            problem: "the line is not UTF-8 text".to_owned(),
        }),
    }
}
