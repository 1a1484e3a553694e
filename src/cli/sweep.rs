//! `batchscope sweep`: one scenario a line in, one outcome a line out.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::sync::atomic::{AtomicBool, Ordering};

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
    let unread = AtomicBool::new(false);
    let lines = io::BufReader::new(io::stdin()).lines().map_while(|line| {
        // Handled after the lines before it: what was asked for there is still answered.
        line.inspect_err(|_| unread.store(true, Ordering::Relaxed))
            .ok()
    });
    let numbered = (1u64..)
        .zip(lines)
        .filter(|(_, line)| !line.trim().is_empty());
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
    if unread.load(Ordering::Relaxed) {
        return Err(Error::File {
            action: "read",
            path: "standard input".to_owned(),
            detail: format!("the line after the {all} answered ones is not UTF-8 text"),
        });
    }
    if failed > 0 {
        return Err(Error::FailedLines { failed, all });
    }
    Ok(())
}

/// The outcome line of a scenario line. The outer error ends the sweep.
fn answer(row: u64, line: &str, traces: &Traces) -> Result<Result<String, Error>, Error> {
    let outcome = Scenario::from_json(line, &format!("scenario {row}")).and_then(|scenario| {
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
