//! Readers of files: what each accepts must be sound, and what it refuses, refused in a sentence.

use std::io::Read;

use batchscope::experiment::validation::server::{self, Meta};
use batchscope::latency::calibration::Calibration;
use batchscope::latency::{Chunk, StepLatency, StepTimes, StepWork, fit, measured, profile};
use batchscope::published::{Execution, Study, contract, published_rows};
use batchscope::report::document::Content;
use batchscope::trace::{Format, Reading, TimeUnit};
use batchscope::{Error, Scenario, Trace, report, trace};

use crate::case::Case;
use crate::mutate;
use crate::rng::Rng;

#[path = "../../support/calibration.rs"]
mod calibration;

/// A file's bytes, and how to read them where there is a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub choice: u64,
}

/// What a reader made of a file: refused with this error, or sound, or not.
pub type Read_ = Result<Result<(), Error>, String>;

/// A reader with files of its kind.
pub struct Reader {
    pub name: &'static str,
    /// How many of 100 inputs of readers are its own.
    pub share: u64,
    pub make: fn(&mut Rng) -> File,
    pub read: fn(&File) -> Read_,
}

macro_rules! corpus {
    ($($name:literal),+) => { &[$(include_str!(concat!("../corpus/", $name))),+] };
}

/// Between files of one input.
const CUT: &str = "\n#####\n";

pub const READERS: [Reader; 11] = [
    Reader {
        name: "trace",
        share: 40,
        make: a_trace,
        read: read_trace,
    },
    Reader {
        name: "scenario",
        share: 3,
        make: a_scenario,
        read: read_scenario,
    },
    Reader {
        name: "step times",
        share: 6,
        make: step_times,
        read: read_step_times,
    },
    Reader {
        name: "kernel profile",
        share: 3,
        make: a_profile,
        read: read_profile,
    },
    Reader {
        name: "batch times",
        share: 8,
        make: batch_times,
        read: read_batch_times,
    },
    Reader {
        name: "benchmark",
        share: 6,
        make: a_benchmark,
        read: read_benchmark,
    },
    Reader {
        name: "calibration",
        share: 2,
        make: a_calibration,
        read: read_calibration,
    },
    Reader {
        name: "published rows",
        share: 8,
        make: rows_published,
        read: read_published,
    },
    Reader {
        name: "contract report",
        share: 8,
        make: a_report,
        read: read_report,
    },
    Reader {
        name: "load levels",
        share: 8,
        make: levels,
        read: read_levels,
    },
    Reader {
        name: "server run",
        share: 8,
        make: server_run,
        read: read_server_run,
    },
];

fn varied(corpus: &[&str], rng: &mut Rng) -> File {
    let original = rng.pick(corpus);
    File {
        bytes: mutate::text(original, rng),
        choice: 0,
    }
}

/// Several files in one, each varied with this chance.
fn together(files: &[&str], rng: &mut Rng) -> File {
    let mut bytes = Vec::new();
    for (i, file) in files.iter().enumerate() {
        if i > 0 {
            bytes.extend(CUT.as_bytes());
        }
        if rng.chance(0.5) {
            bytes.extend(mutate::text(file, rng));
        } else {
            bytes.extend(file.as_bytes());
        }
    }
    File { bytes, choice: 0 }
}

fn parts<const N: usize>(file: &File) -> [Vec<u8>; N] {
    let cut = CUT.as_bytes();
    let mut rest = file.bytes.as_slice();
    std::array::from_fn(|_| {
        let end = rest.windows(cut.len()).position(|window| window == cut);
        let part = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[], |end| &rest[end + cut.len()..]);
        part.to_vec()
    })
}

/// What a caller that reads text does with a file.
fn utf8(file: &File) -> String {
    String::from_utf8_lossy(&file.bytes).into_owned()
}

fn sound(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// A second reading must find what the first found.
fn read_again<T: PartialEq>(found: &T, again: Result<T, Error>, how: &str) -> Result<(), String> {
    match again {
        Ok(again) => sound(*found == again, || format!("{how} it is another")),
        Err(error) => Err(format!("{how} it is refused: {error}")),
    }
}

// ---- Traces ------------------------------------------------------------------------------------

const FORMATS: [Format; 6] = [
    Format::Burstgpt,
    Format::Azure,
    Format::Bailian,
    Format::Mooncake,
    Format::Csv,
    Format::Jsonl,
];
const UNITS: [TimeUnit; 4] = [TimeUnit::S, TimeUnit::Ms, TimeUnit::Us, TimeUnit::Ns];

fn a_trace(rng: &mut Rng) -> File {
    let mut file = varied(
        corpus![
            "burstgpt.csv",
            "azure.csv",
            "own.csv",
            "own.jsonl",
            "mooncake.jsonl",
            "bailian.jsonl"
        ],
        rng,
    );
    if rng.chance(0.04) {
        file.bytes = mutate::gzip(&file.bytes, rng);
    }
    if rng.chance(0.2) {
        file.choice = rng.word();
    }
    file
}

fn reading(choice: u64) -> Reading {
    let at = |shift: u32, n: u64| (choice >> shift) as usize % n as usize;
    Reading {
        format: FORMATS.get(at(0, 9)).copied(),
        time_unit: UNITS.get(at(16, 10)).copied(),
        hash_tokens: [1, 16, 512, 1 << 20].get(at(32, 12)).copied(),
        ..Reading::default()
    }
}

/// Gives so many bytes at a time.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(into.len()).min(self.0.len());
        let (now, rest) = self.0.split_at(count);
        into[..count].copy_from_slice(now);
        self.0 = rest;
        Ok(count)
    }
}

fn read_trace(file: &File) -> Read_ {
    let reading = match file.choice {
        0 => Reading::default(),
        choice => reading(choice),
    };
    let found = trace::read_as(file.bytes.as_slice(), "file", &reading);
    if file.bytes.len() < 1 << 16 {
        let dripped = trace::read_as(Dripping(&file.bytes, 7), "file", &reading);
        match (&found, dripped) {
            // Of a damaged gzip stream more or less text comes out before the damage is noticed, and the
            // sentence is about what came first.
            (Err(_), Err(_)) if file.bytes.starts_with(&[0x1f, 0x8b]) => {}
            (Err(error), Err(again)) => sound(*error == again, || {
                format!("in pieces of 7 bytes it is refused otherwise: {again}")
            })?,
            (Err(_), Ok(_)) => return Err("in pieces of 7 bytes it is accepted".to_owned()),
            (Ok(trace), dripped) => read_again(trace, dripped, "in pieces of 7 bytes")?,
        }
    }
    match found {
        Ok(trace) => sound_trace(&trace).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

/// What every trace must be.
pub fn sound_trace(trace: &Trace) -> Result<(), String> {
    let n = trace.len();
    sound(
        n > 0 && trace.prompt.len() == n && trace.output.len() == n,
        || "columns differ in length".to_owned(),
    )?;
    sound(
        trace.arrival.iter().all(|at| at.is_finite() && *at >= 0.0),
        || "an arrival is no finite time from 0 up".to_owned(),
    )?;
    sound(trace.arrival.is_sorted(), || {
        "arrivals are not in order".to_owned()
    })?;
    for labels in [&trace.model, &trace.log_type].into_iter().flatten() {
        let known = labels
            .ids
            .iter()
            .all(|id| usize::from(*id) < labels.names.len());
        sound(labels.ids.len() == n && known, || {
            "labels without names".to_owned()
        })?;
    }
    if let Some(sessions) = &trace.session {
        sound(sessions.len() == n, || {
            "sessions differ in length".to_owned()
        })?;
        let most = sessions.iter().filter(|s| **s != trace::NO_SESSION).max();
        sound(most.is_none_or(|most| (*most as usize) < n), || {
            "sessions are not dense".to_owned()
        })?;
    }
    if let Some(prefix) = &trace.prefix {
        let ends = prefix.offsets.first() == Some(&0)
            && prefix.offsets.last().map(|end| *end as usize) == Some(prefix.blocks.len());
        sound(
            prefix.offsets.len() == n + 1 && ends && prefix.offsets.is_sorted(),
            || "offsets of blocks are not in order".to_owned(),
        )?;
        let tokens = prefix.tokens_per_block;
        for row in 0..n {
            let count = prefix.of(row).len() as u64;
            let fits = tokens == 0 || count <= u64::from(trace.prompt[row].div_ceil(tokens));
            sound(fits, || {
                format!(
                    "row {row}: {count} blocks of {tokens} for a prompt of {}",
                    trace.prompt[row]
                )
            })?;
        }
    }
    let r = &trace.report;
    let failed = trace.output.iter().filter(|output| **output == 0).count() as u64;
    sound(
        (r.rows, r.rows_failed) == (n as u64 + r.rows_blank, failed)
            || (r.rows, r.rows_failed) == (n as u64, failed),
        || format!("{n} rows, {failed} failed, and a report of {r:?}"),
    )
}

// ---- Scenarios ---------------------------------------------------------------------------------

fn a_scenario(rng: &mut Rng) -> File {
    let scenario = Case::random(rng).scenario;
    let text = if rng.chance(0.5) {
        serde_json::to_string_pretty(&scenario).unwrap_or_default()
    } else {
        scenario.to_string()
    };
    File {
        bytes: mutate::text(&text, rng),
        choice: 0,
    }
}

fn read_scenario(file: &File) -> Read_ {
    match Scenario::from_json(&utf8(file), "file") {
        Err(error) => Ok(Err(error)),
        Ok(scenario) => {
            let again = Scenario::from_json(&scenario.to_json(), "file");
            read_again(&scenario, again, "from its own JSON").map(Ok)
        }
    }
}

// ---- Latencies ---------------------------------------------------------------------------------

fn step_times(rng: &mut Rng) -> File {
    if rng.chance(0.3) {
        // The JSON form, of any kind.
        loop {
            let scenario = Case::random(rng).scenario;
            if let Some(latency) = scenario.pointer("/engine/continuous/latency") {
                let bytes = mutate::text(&latency.to_string(), rng);
                return File { bytes, choice: 0 };
            }
        }
    }
    varied(corpus!["steps.csv"], rng)
}

/// Steps of a sound model last a positive, finite time.
fn sound_steps(latency: &StepLatency) -> Result<(), String> {
    let model = latency.model();
    for (sequences, context, tokens) in [
        (1, 1, 0),
        (0, 0, 1),
        (8, 4096, 0),
        (64, 300_000, 256),
        (0, 0, 8192),
    ] {
        let chunks = [Chunk { tokens, before: 0 }];
        let work = StepWork {
            sequences,
            context,
            chunks: if tokens > 0 { &chunks } else { &[] },
            sampled: sequences.max(1),
        };
        let seconds = model.step(&work).seconds;
        sound(seconds.is_finite() && seconds > 0.0, || {
            format!(
                "a step of {sequences} sequences, {context} tokens of context and {tokens} of a prompt takes {seconds} s"
            )
        })?;
    }
    Ok(())
}

fn read_step_times(file: &File) -> Read_ {
    let latency = match StepTimes::from_text(&utf8(file), "file") {
        Err(error) => return Ok(Err(error)),
        Ok(times) => times.latency,
    };
    // As the command line and the page do: the scenario's check follows.
    let mut scenario = Scenario::default();
    let server = batchscope::sched::continuous::Server {
        latency: latency.clone(),
        ..Default::default()
    };
    scenario.engine = batchscope::scenario::Engine::Continuous(Box::new(server));
    if let Err(error) = scenario.validate() {
        return Ok(Err(error));
    }
    sound_steps(&latency)?;
    Ok(Ok(()))
}

fn a_profile(rng: &mut Rng) -> File {
    together(
        corpus!["attention.csv", "dense.csv", "per_sequence.csv", "skew.csv"],
        rng,
    )
}

fn read_profile(file: &File) -> Read_ {
    let [attention, dense, per_sequence, skew] = parts(file);
    let found = profile::read(
        4,
        (attention.as_slice(), "attention.csv"),
        (dense.as_slice(), "dense.csv"),
        (per_sequence.as_slice(), "per_sequence.csv"),
    );
    let mut profile = match found {
        Err(error) => return Ok(Err(error)),
        Ok(profile) => profile,
    };
    match profile::read_skew(skew.as_slice(), "skew.csv") {
        Err(error) => return Ok(Err(error)),
        Ok(skew) => profile.skew = Some(skew),
    }
    if let Err(error) = profile.check("profile") {
        return Ok(Err(error));
    }
    sound_steps(&StepLatency::Profile(Box::new(profile)))?;
    Ok(Ok(()))
}

fn batch_times(rng: &mut Rng) -> File {
    varied(corpus!["grid.csv"], rng)
}

fn read_batch_times(file: &File) -> Read_ {
    let points = match fit::read_grid(file.bytes.as_slice(), "file") {
        Err(error) => return Ok(Err(error)),
        Ok(points) => points,
    };
    let fit = match fit::linear(&points, "file") {
        Err(error) => return Ok(Err(error)),
        Ok(fit) => fit,
    };
    let m = &fit.model;
    let numbers = [
        m.alpha_s,
        m.beta_s_per_token,
        m.gamma,
        m.growth,
        m.floor_s,
        fit.rmse_s,
        fit.worst_relative_error,
    ];
    sound(numbers.iter().all(|x| x.is_finite()), || format!("{fit:?}"))?;
    Ok(Ok(()))
}

fn a_benchmark(rng: &mut Rng) -> File {
    varied(
        corpus!["vllm.json", "guidellm.json", "aiperf.json", "steps.csv"],
        rng,
    )
}

fn read_benchmark(file: &File) -> Read_ {
    let found = match measured::read(&utf8(file), "file") {
        Err(error) => return Ok(Err(error)),
        Ok(found) => found,
    };
    for one in &found {
        let p = &one.point;
        sound(
            p.seconds.is_finite() && p.seconds > 0.0 && p.mad_s.is_finite(),
            || format!("{one:?}"),
        )?;
    }
    Ok(Ok(()))
}

fn a_calibration(rng: &mut Rng) -> File {
    thread_local! {
        static TEXT: String = calibration::calibration().to_json().unwrap_or_default();
    }
    let bytes = TEXT.with(|text| mutate::text(text, rng));
    File { bytes, choice: 0 }
}

fn read_calibration(file: &File) -> Read_ {
    let found = match Calibration::from_json(&utf8(file), "file") {
        Err(error) => return Ok(Err(error)),
        Ok(found) => found,
    };
    let text = found.to_json().map_err(|e| e.to_string())?;
    let again = Calibration::from_json(&text, "file");
    read_again(&found, again, "from its own JSON").map(Ok)
}

// ---- Studies -----------------------------------------------------------------------------------

fn rows_published(rng: &mut Rng) -> File {
    varied(corpus!["published.csv"], rng)
}

fn read_published(file: &File) -> Read_ {
    match published_rows::read(&utf8(file), "file") {
        Err(error) => Ok(Err(error)),
        Ok(values) => {
            for value in &values {
                value
                    .scenario
                    .validate()
                    .map_err(|e| format!("a scenario that is refused: {e}"))?;
            }
            Ok(Ok(()))
        }
    }
}

fn a_report(rng: &mut Rng) -> File {
    varied(corpus!["contract.csv", "contract.json"], rng)
}

fn read_report(file: &File) -> Read_ {
    match contract::measured::read(&utf8(file), "file") {
        Err(error) => Ok(Err(error)),
        Ok(found) => {
            sound(!found.samples.is_empty(), || "no sample".to_owned())?;
            // A report repeats the names and notes of the file.
            if has_odd_number(&utf8(file)) {
                return Ok(Ok(()));
            }
            let study = Study::Contract(contract::Contract {
                measured: Some(found),
                ..contract::Contract::default()
            });
            let files = Execution::new(study, 1).and_then(|execution| execution.files());
            for document in files.map_err(|e| e.to_string())? {
                let text = match &document.content {
                    Content::Text(text) => text.clone(),
                    Content::Table(table) => report::csv(table),
                    Content::Json(value) => value.to_string(),
                    Content::Figure(_) => continue,
                };
                sound(!has_odd_number(&text), || {
                    format!("{}: {text}", document.name)
                })?;
            }
            Ok(Ok(()))
        }
    }
}

/// Whether a text holds NaN or infinity as a word.
fn has_odd_number(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric())
        .any(|word| ["NaN", "inf"].contains(&word))
}

fn levels(rng: &mut Rng) -> File {
    varied(corpus!["levels.csv", "levels.json"], rng)
}

fn read_levels(file: &File) -> Read_ {
    let levels =
        match batchscope::experiment::saturation::points::read(file.bytes.as_slice(), "file") {
            Err(error) => return Ok(Err(error)),
            Ok(levels) => levels,
        };
    sound(levels.is_sorted_by(|a, b| a.users < b.users), || {
        "levels are not in order of users".to_owned()
    })?;
    sound(
        levels
            .iter()
            .all(|level| level.tok_s.is_finite() && level.tok_s >= 0.0),
        || format!("{levels:?}"),
    )?;
    Ok(Ok(()))
}

fn server_run(rng: &mut Rng) -> File {
    together(
        corpus!["meta.json", "served.jsonl", "prompts.jsonl", "moments.csv"],
        rng,
    )
}

fn read_server_run(file: &File) -> Read_ {
    let [meta, served, prompts, moments] =
        parts(file).map(|part| String::from_utf8_lossy(&part).into_owned());
    let read = || -> Result<_, Error> {
        let meta = Meta::read(&meta, "meta.json")?;
        let mut run = server::Measured::read(&served, "served.jsonl")?;
        run.read_prompts(&prompts, "prompts.jsonl")?;
        let moments = server::read_levels(moments.as_bytes(), "moments.csv")?;
        // As `validate --run` does it; a small run, because it is simulated.
        let scenario = meta.serve(&Scenario::default(), StepLatency::default());
        let found = match run.trace.len() {
            0..=100 => Some(run.against(&scenario, 1.0)?),
            _ => None,
        };
        Ok((run, moments, found))
    };
    match read() {
        Err(error) => Ok(Err(error)),
        Ok((run, moments, found)) => {
            sound_trace(&run.trace)?;
            let rows = found.iter().flat_map(|found| &found.rows);
            for row in rows {
                sound(
                    row.measured_s.is_finite() && row.simulated_s.is_finite(),
                    || format!("{row:?}"),
                )?;
            }
            sound(
                moments
                    .iter()
                    .all(|column| column.len() == moments[0].len()),
                || "columns differ".to_owned(),
            )?;
            Ok(Ok(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let text = include_str!("../corpus/own.jsonl");
        trace::read(text.as_bytes(), "own.jsonl", None).unwrap()
    }

    /// The negative twins of a sound trace.
    #[test]
    fn a_trace_that_is_not_sound_is_noticed() {
        let faults: [fn(&mut Trace); 9] = [
            |t| t.arrival.reverse(),
            |t| t.arrival[2] = f64::NAN,
            |t| t.prompt.truncate(2),
            |t| t.output.truncate(2),
            |t| t.log_type.as_mut().unwrap().ids[0] = 9,
            |t| t.session.as_mut().unwrap()[0] = 7,
            |t| t.prefix.as_mut().unwrap().offsets[1] = 99,
            |t| t.prefix.as_mut().unwrap().tokens_per_block = 1000,
            |t| t.report.rows_failed += 1,
        ];
        assert_eq!(sound_trace(&trace()), Ok(()));
        for (i, fault) in faults.into_iter().enumerate() {
            let mut faulty = trace();
            fault(&mut faulty);
            assert!(sound_trace(&faulty).is_err(), "fault {i}");
        }
    }

    /// The negative twins of a second reading.
    #[test]
    fn another_second_reading_is_noticed() {
        let refused = || Scenario::from_json("{", "file");
        assert_eq!(read_again(&trace(), Ok(trace()), "again"), Ok(()));
        let mut faulty = trace();
        faulty.prompt[1] += 1;
        assert!(read_again(&trace(), Ok(faulty), "again").is_err());
        assert!(read_again(&Scenario::default(), refused(), "again").is_err());
    }

    #[test]
    fn every_corpus_is_accepted_as_it_stands() {
        for reader in READERS {
            let accepted = (0..400).filter(|&case| {
                let file = (reader.make)(&mut Rng::new(5, case, 1));
                (reader.read)(&file).is_ok_and(|verdict| verdict.is_ok())
            });
            assert!(accepted.count() > 20, "{}", reader.name);
        }
    }
}
