//! `batchscope sweep`: one scenario a line in, one outcome a line out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::{Condvar, Mutex};

use serde::Serialize;

use super::args::SweepArgs;
use super::traces::Traces;
use super::{files, pool, replay};
use crate::error::ErrorReport;
use crate::scenario::describe;
use crate::{Error, Scenario};

/// The line of a scenario that could not run.
#[derive(Serialize)]
struct Failure {
    error: ErrorReport,
}

/// The longest line: far more than a scenario with every list at its longest.
const MOST_LINE: usize = 4 << 20;
/// How many lines may be taken before the outcome of the first of them is printed.
const MOST_AHEAD: usize = 4096;

/// Reads scenarios from standard input and writes outcomes to standard output as they come, in
/// order. A line that takes long holds at most [`MOST_AHEAD`] finished ones back.
///
/// Errors: [`Error::FailedLines`] at the end, where lines failed; each has an error object on its
/// line.
pub fn sweep(args: SweepArgs) -> Result<(), Error> {
    let jobs = args.jobs.unwrap_or_else(pool::default_jobs);
    let traces = Traces::keeping(2 * jobs);
    let unread = Mutex::new(None);
    let printed = Printed::default();
    let mut input = io::BufReader::new(files::Interruptible(io::stdin()));
    let lines = std::iter::from_fn(|| match next_line(&mut input) {
        Ok(line) => line,
        // Handled after the lines before it: what was asked for there is still answered.
        Err(e) => {
            *unread.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
            None
        }
    });
    let numbered = (1u64..)
        .zip(lines.fuse())
        .filter(|(_, line)| {
            line.as_ref()
                .is_none_or(|line| !line.trim_ascii().is_empty())
        })
        .enumerate()
        .map(|(i, line)| {
            printed.wait_for((i + 1).saturating_sub(MOST_AHEAD));
            line
        });
    let mut waiting = BTreeMap::new();
    let (mut next, mut failed, mut all) = (0, 0u64, 0u64);
    let ended = pool::each(
        jobs,
        numbered,
        |(row, line)| answer(row, line.as_deref(), &args.set.assignments, &traces),
        |i, line: Result<Result<String, Error>, Error>| {
            let print = || -> Result<(), Error> {
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
                    // A line at a time: the program that sends the scenarios may wait for each answer.
                    files::print(|output| writeln!(output, "{text}"))?;
                }
                Ok(())
            };
            let done = print();
            // After an error nothing is printed any more, and nothing must wait for it.
            printed.tell(if done.is_ok() { next } else { usize::MAX });
            done
        },
    );
    ended?;
    if let Some(e) = unread.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(files::problem("read", Path::new("standard input"), &e));
    }
    if failed > 0 {
        return Err(Error::FailedLines { failed, all });
    }
    Ok(())
}

/// How many outcomes are printed, for those that wait for it.
#[derive(Default)]
struct Printed {
    lines: Mutex<usize>,
    more: Condvar,
}

impl Printed {
    fn tell(&self, lines: usize) {
        *self.lines.lock().unwrap_or_else(|e| e.into_inner()) = lines;
        self.more.notify_all();
    }

    fn wait_for(&self, lines: usize) {
        let printed = self.lines.lock().unwrap_or_else(|e| e.into_inner());
        // A thread that panicked while it held the lock wrote nothing but a number.
        drop(self.more.wait_while(printed, |printed| *printed < lines));
    }
}

/// The next line with its end, `Some(None)` for one that is too long; the rest of that is passed over.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut line = Vec::new();
    let read = input
        .by_ref()
        .take(MOST_LINE as u64 + 1)
        .read_until(b'\n', &mut line)?;
    if read <= MOST_LINE {
        return Ok((read > 0).then_some(Some(line)));
    }
    while !line.ends_with(b"\n") {
        line.clear();
        let more = input.by_ref().take(MOST_LINE as u64);
        if { more }.read_until(b'\n', &mut line)? == 0 {
            break;
        }
    }
    Ok(Some(None))
}

/// The outcome line of a scenario line. The outer error ends the sweep.
fn answer(
    row: u64,
    line: Option<&[u8]>,
    set: &[String],
    traces: &Traces,
) -> Result<Result<String, Error>, Error> {
    let Some(line) = line else {
        return Ok(Err(Error::too_large(
            format!("scenario {row}"),
            format!("the line is longer than {} MiB", MOST_LINE >> 20),
            format!("at most {} MiB", MOST_LINE >> 20),
        )));
    };
    let outcome = scenario(row, line).and_then(|mut scenario| {
        describe::set_all(&mut scenario, set, describe::Before::Text, &[])?;
        let trace = traces.get(&scenario)?;
        replay::replay_quietly(&trace, &scenario)
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
