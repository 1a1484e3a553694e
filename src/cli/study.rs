//! `batchscope study`: runs a study's scenarios on threads, keeps a journal, writes its files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::journal::{self, Header, Journal};
use super::manifest::{Last, Manifest};
use super::studies::{Common, Print, StudyCommand};
use super::traces::Traces;
use super::{files, interrupt, pool, replay, table};
use crate::metrics::{Summary, digest};
use crate::published::{Execution, Study};
use crate::report::document::{Content, File};
use crate::scenario::Source;
use crate::sim;
use crate::trace::Failed;
use crate::words;
use crate::{Error, Scenario, Trace};

/// Traces in memory at a time; a study uses one or few.
const TRACES: usize = 8;

pub fn study(command: StudyCommand) -> Result<(), Error> {
    let (mut study, common) = command.study()?;
    let traces = Traces::keeping(TRACES).with_file(common.trace.clone());
    let trace_digest = prepare(&mut study, &common, &traces)?;
    let mut execution = Execution::new(study, common.replications)?;
    if let Some(path) = &common.from_outcomes {
        from_outcomes(&mut execution, path, &traces, common.emit_scenarios)?;
    }
    if common.emit_scenarios {
        return emit(execution.pending());
    }
    let mut journal = open_journal(&execution, &common, trace_digest)?;
    let ended = complete(&mut execution, &traces, &common, journal.as_mut());
    let (documents, written) = ended?;
    if let Some(Resumed { journal, .. }) = journal {
        journal.remove()?;
        interrupt::forget();
    }
    let out = common.out.as_deref().map(|folder| (folder, written));
    print_report(&documents, common.print, out)
}

/// Gives the study its trace and seed; the digest of a trace that was read, for the journal.
fn prepare(study: &mut Study, common: &Common, traces: &Traces) -> Result<String, Error> {
    let name = study.name();
    if let Some(n) = common.seed {
        match study.seed_mut() {
            Some(seed) => *seed = n,
            None => {
                return Err(Error::contradiction(
                    "--seed",
                    format!("nothing in the study {name} is random; leave it out"),
                ));
            }
        }
    }
    let Some((source, _)) = study.trace_mut() else {
        return match common.trace {
            Some(_) => Err(Error::contradiction(
                "--trace",
                format!("the study {name} makes its own requests; leave it out"),
            )),
            None => Ok(String::new()),
        };
    };
    let Some(path) = &common.trace else {
        return match common.reading.given() {
            Some(flag) => Err(Error::contradiction(
                flag,
                "the study's trace is generated, not read; name a file with --trace",
            )),
            None => Ok(String::new()),
        };
    };
    let reading = common.reading.reading();
    *source = Source::File {
        name: path.display().to_string(),
        format: reading.format,
        time_unit: reading.time_unit,
        hash_tokens: reading.hash_tokens,
    };
    let scenario = Scenario {
        trace: source.clone(),
        ..Scenario::default()
    };
    let trace = traces.get(&scenario)?;
    if let Some(sentence) = study.limit_to(trace.len() as u64) {
        eprintln!("batchscope: {sentence}");
    }
    Ok(digest::trace(&trace))
}

/// Runs what must run and writes the files; the documents, and how many files there are.
fn complete(
    execution: &mut Execution,
    traces: &Traces,
    common: &Common,
    mut resumed: Option<&mut Resumed>,
) -> Result<(Vec<File>, u64), Error> {
    while !execution.pending().is_empty() {
        let journal = resumed.as_mut().map(|resumed| &mut resumed.journal);
        let outcomes = run_all(execution.pending(), traces, common, journal)?;
        execution.take(outcomes)?;
    }
    let documents = execution.files()?;
    let written = match (&common.out, resumed) {
        (Some(folder), Some(resumed)) => {
            write_all(folder, &documents, execution, &resumed.manifest)?
        }
        _ => 0,
    };
    Ok((documents, written))
}

/// A study's folder as an earlier run of it left it.
struct Resumed {
    journal: Journal,
    manifest: Manifest,
}

fn open_journal(
    execution: &Execution,
    common: &Common,
    trace: String,
) -> Result<Option<Resumed>, Error> {
    let Some(folder) = &common.out else {
        return Ok(None);
    };
    files::create_folder(folder)?;
    // A folder that is refused is left as it is.
    Manifest::read(folder, execution.study().name())?;
    let header = Header {
        batchscope: env!("CARGO_PKG_VERSION").to_owned(),
        study: execution.study().clone(),
        replications: common.replications,
        trace,
    };
    let journal = Journal::open(folder, &header)?;
    files::remove_abandoned(folder);
    // Again, under the lock: another run may have ended in between.
    let manifest = Manifest::read(folder, execution.study().name())?;
    if journal.damaged() > 0 {
        eprintln!(
            "batchscope: {} of {} cannot be used; their runs are made again",
            words::counted(journal.damaged(), "damaged line"),
            journal.path().display()
        );
    }
    let known = known(execution, &journal)?;
    if known > 0 {
        eprintln!(
            "batchscope: going on after {} of an interrupted study",
            words::counted(known, "run")
        );
    }
    interrupt::keep(journal.path(), known);
    Ok(Some(Resumed { journal, manifest }))
}

/// The outcomes of a journal that the study asks for, step by step as far as they go.
fn known(execution: &Execution, journal: &Journal) -> Result<u64, Error> {
    let mut ahead = execution.clone();
    let mut known = 0;
    while !ahead.pending().is_empty() {
        let all = ahead.pending().len();
        let outcomes: Vec<Summary> = ahead
            .pending()
            .iter()
            .filter_map(|scenario| journal.get(scenario).cloned())
            .collect();
        known += outcomes.len() as u64;
        if outcomes.len() < all {
            break;
        }
        ahead.take(outcomes)?;
    }
    Ok(known)
}

/// The outcomes of `scenarios` in their order: from the journal where it has them, else by running.
fn run_all(
    scenarios: &[Scenario],
    traces: &Traces,
    common: &Common,
    mut journal: Option<&mut Journal>,
) -> Result<Vec<Summary>, Error> {
    let mut outcomes: Vec<Option<Summary>> = scenarios
        .iter()
        .map(|s| journal.as_ref().and_then(|j| j.get(s).cloned()))
        .collect();
    let mut missing: Vec<usize> = (0..scenarios.len())
        .filter(|&i| outcomes[i].is_none())
        .collect();
    // The longest first, so that no thread is left with one at the end.
    missing.sort_by_key(|&i| std::cmp::Reverse(scenarios[i].workload.limit.unwrap_or(u32::MAX)));
    let bar = new_bar(missing.len(), "runs");
    let ended = pool::each(
        common.jobs.unwrap_or_else(pool::default_jobs),
        missing.iter().copied(),
        |i| {
            let trace = traces.get(&scenarios[i])?;
            Ok((i, replay::replay_quietly(&trace, &scenarios[i])?.summary))
        },
        |_, result: Result<(usize, Summary), Error>| {
            let (i, summary) = result?;
            if let Some(journal) = &mut journal {
                interrupt::one_more(|| journal.add(&summary))?;
            }
            outcomes[i] = Some(summary);
            bar.inc(1);
            Ok(())
        },
    );
    bar.finish_and_clear();
    ended?;
    // Every place was filled, or an error has ended it.
    Ok(outcomes.into_iter().flatten().collect())
}

/// `what`: what is counted, in the plural.
pub fn new_bar(count: usize, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64);
    // The template is one that indicatif accepts; were it not, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template(&format!(
        "{{bar:40}} {{pos}} of {{len}} {what}, {{eta}} left"
    )) {
        bar.set_style(style);
    }
    bar
}

/// The scenario as `batchscope sweep` takes it. A study's points have one base for all policies, with settings that
/// some of them ignore.
fn effective(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.reset_without_effect();
    scenario
}

/// Outcomes by the JSON of their scenario with an effect, each with its row.
type Found = BTreeMap<String, (u64, Summary)>;

/// Feeds the outcomes of a file to the execution, as far as they go.
fn from_outcomes(
    execution: &mut Execution,
    path: &Path,
    traces: &Traces,
    partly: bool,
) -> Result<(), Error> {
    let name = path.display().to_string();
    let found = read_outcomes(path, &name)?;
    while !execution.pending().is_empty() {
        let all = execution.pending().len();
        let mut outcomes = Vec::with_capacity(all);
        for scenario in execution.pending() {
            let Some((row, outcome)) = found.get(&journal::key(&effective(scenario))) else {
                continue;
            };
            if let Source::File { .. } = scenario.trace
                && let Some(difference) = other_trace(&*traces.get(scenario)?, outcome)
            {
                return Err(Error::BadRow {
                    file: name,
                    row: *row,
                    problem: format!(
                        "this run replayed another {} than the one at hand: {difference}",
                        outcome.workload.trace
                    ),
                });
            }
            // As the study has it, whose tables name settings of every policy.
            outcomes.push(Summary {
                scenario: scenario.clone(),
                ..outcome.clone()
            });
        }
        if outcomes.len() == all {
            execution.take(outcomes)?;
        } else if partly {
            return Ok(());
        } else {
            return Err(Error::contradiction(
                name,
                format!(
                    "{} of {all} scenarios have no outcome there; --emit-scenarios with the same \
                     flags prints what must run",
                    all - outcomes.len()
                ),
            ));
        }
    }
    Ok(())
}

fn read_outcomes(path: &Path, name: &str) -> Result<Found, Error> {
    let mut found = Found::new();
    for (row, line) in (1u64..).zip(files::read_log(path)?.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let bad = |problem| Error::BadRow {
            file: name.to_owned(),
            row,
            problem,
        };
        let outcome: Summary =
            serde_json::from_str(line).map_err(|e| bad(not_an_outcome(line, &e)))?;
        if let Some(flaw) = journal::flaw(&outcome) {
            return Err(bad(format!("no run has this outcome: {flaw}")));
        }
        match found.entry(journal::key(&effective(&outcome.scenario))) {
            Entry::Vacant(place) => {
                place.insert((row, outcome));
            }
            Entry::Occupied(first) if first.get().1 == outcome => {}
            Entry::Occupied(first) => {
                return Err(bad(format!(
                    "the scenario of row {} again, with another outcome; keep the right one",
                    first.get().0
                )));
            }
        }
    }
    Ok(found)
}

fn not_an_outcome(line: &str, why: &serde_json::Error) -> String {
    let value = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
    match value.get("error") {
        Some(error) => match error.get("message").and_then(|message| message.as_str()) {
            Some(message) => format!("this run failed: {message}"),
            None => "this run failed; its error object has no message".to_owned(),
        },
        None => format!("not an outcome of `batchscope sweep`: {why}"),
    }
}

/// What an outcome says of its trace and this trace does not bear out. An outcome names its file
/// alone, and two files may share a name.
fn other_trace(trace: &Trace, outcome: &Summary) -> Option<String> {
    let (report, workload) = (&outcome.workload, &outcome.scenario.workload);
    let drop_failed = workload.failed == Failed::Drop;
    let rows = sim::rows(trace, &outcome.scenario);
    let wanted = workload
        .closed_loop
        .map_or(u64::MAX, |users| users.requests());
    let (mut taken, mut failed, mut replayed, mut prompts, mut outputs) = (0u64, 0, 0, 0, 0);
    let (mut first_s, mut last_s) = (None, 0.0);
    let columns = trace.prompt.iter().zip(&trace.output).zip(&trace.arrival);
    for ((&prompt, &output), &arrival) in columns.take(rows.end).skip(rows.start) {
        if replayed == wanted {
            break;
        }
        taken += 1;
        failed += u64::from(output == 0);
        if output > 0 || !drop_failed {
            replayed += 1;
            prompts += u64::from(prompt);
            outputs += u64::from(output);
            last_s = arrival;
            first_s.get_or_insert(arrival);
        }
    }
    let counts = [
        ("rows", report.rows_in_trace, trace.len() as u64),
        ("rows taken", report.rows_taken, taken),
        ("failed rows", report.rows_failed, failed),
        ("rows replayed", report.rows_replayed, replayed),
        ("prompt tokens", report.prompt_tokens, prompts),
        ("output tokens", report.output_tokens, outputs),
    ];
    if let Some((what, there, here)) = counts.into_iter().find(|(_, a, b)| a != b) {
        return Some(format!("{there} {what} there, {here} here"));
    }
    // In a closed loop the users' clock sets the span.
    let recorded_s = last_s - first_s.unwrap_or(last_s);
    let span_s = recorded_s / report.time_scale;
    (workload.closed_loop.is_none() && report.span_s != span_s).then(|| {
        format!(
            "its arrivals span {} s there, {span_s} s here",
            report.span_s
        )
    })
}

fn emit(scenarios: &[Scenario]) -> Result<(), Error> {
    files::print(|output| {
        for scenario in scenarios {
            serde_json::to_writer(&mut *output, &effective(scenario))?;
            output.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// The documents, and after them the outcomes, which say that all is there; how many files there are.
fn write_all(
    folder: &Path,
    documents: &[File],
    execution: &Execution,
    manifest: &Manifest,
) -> Result<u64, Error> {
    let outcomes = |file: &mut dyn Write| {
        for outcome in execution.outcomes() {
            serde_json::to_writer(&mut *file, outcome)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    };
    let has_outcomes = execution.outcomes().next().is_some();
    let last: Option<Last<'_>> = has_outcomes.then_some(("outcomes.jsonl", &outcomes));
    manifest.write_all(folder, documents, last)
}

/// The document that was asked for, and where the rest is.
fn print_report(documents: &[File], print: Print, out: Option<(&Path, u64)>) -> Result<(), Error> {
    let wanted = documents.iter().find(|document| {
        matches!(
            (&document.content, print),
            (Content::Text(_), Print::Markdown)
                | (Content::Table(_), Print::Table)
                | (Content::Json(_), Print::Json)
        )
    });
    files::print(|output| {
        match wanted.map(|document| &document.content) {
            Some(Content::Text(text)) => output.write_all(text.as_bytes())?,
            Some(Content::Table(table)) => output.write_all(table::turned(table).as_bytes())?,
            Some(Content::Json(value)) => writeln!(output, "{value:#}")?,
            Some(Content::Figure(_)) | None => {}
        }
        match out {
            // Whoever asked for JSON reads nothing else.
            Some((folder, written)) if print != Print::Json => {
                let files = words::counted(written, "file");
                writeln!(output, "\n{files} in {}", folder.display())
            }
            _ => Ok(()),
        }
    })
}
