//! Rows of the original's result files as it wrote them: one run a row, a column for every figure,
//! its settings as words in column `run` (docs/MODEL.md, "Reproduction").

use std::collections::BTreeMap;

use super::published_values::{Exactness, Figure, Value};
use crate::Error;
use crate::error::printable;
use crate::latency::{Latency, Linear};
use crate::scenario::{Preset, Scenario, Ties, TokenRule};
use crate::sched::{Boundaries, Feedback, Policy};

/// Columns that say what a row is; all others are figures.
const ABOUT: [&str; 17] = [
    "file",
    "commit",
    "also_in",
    "line",
    "timestamp",
    "version",
    "state",
    "scheduler",
    "requests",
    "gpus",
    "bins",
    "time_scale",
    "seed",
    "precision",
    "reproduced",
    "run",
    "note",
];

/// Those of them that a table must have.
const NEEDED: [&str; 3] = ["version", "precision", "run"];

/// Reads a table of rows; `file` is for the errors.
///
/// Errors: a column that is missing or unknown, a row whose settings or figures cannot be read.
pub fn read(text: &str, file: &str) -> Result<Vec<Value>, Error> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|e| bad_csv(file, &e))?.clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    for needed in NEEDED {
        if place(needed).is_none() {
            return Err(Error::MissingColumn {
                file: file.to_owned(),
                needed: needed.to_owned(),
                found: header.iter().collect::<Vec<_>>().join(","),
            });
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| bad_csv(file, &e))?;
        if record.len() != header.len() {
            let found = record.len();
            return Err(Error::BadRow {
                file: file.to_owned(),
                row: record.position().map_or(0, csv::Position::line),
                problem: format!("{found} fields where {} belong", header.len()),
            });
        }
        rows.push(record);
    }
    let table = Table {
        file,
        header: &header,
    };
    let decimals = table.decimals(&rows);
    let mut values = Vec::new();
    for row in &rows {
        table.row(row, &decimals, &mut values)?;
    }
    if values.is_empty() {
        return Err(Error::EmptyTrace {
            file: file.to_owned(),
            problem: "no published figure in it".to_owned(),
        });
    }
    Ok(values)
}

fn bad_csv(file: &str, e: &csv::Error) -> Error {
    Error::BadRow {
        file: file.to_owned(),
        row: e.position().map_or(1, csv::Position::line),
        problem: e.to_string(),
    }
}

/// Most decimals that a column of a published file shows: its trailing zeros are cut, so one number
/// alone does not tell. By file, commit, precision and column.
type Decimals<'a> = BTreeMap<(&'a str, &'a str, &'a str, usize), u32>;

struct Table<'a> {
    file: &'a str,
    header: &'a csv::StringRecord,
}

impl Table<'_> {
    fn cell<'r>(&self, row: &'r csv::StringRecord, column: &str) -> &'r str {
        let place = self.header.iter().position(|name| name == column);
        place.and_then(|i| row.get(i)).unwrap_or_default()
    }

    fn published_in<'r>(&self, row: &'r csv::StringRecord) -> (&'r str, &'r str, &'r str) {
        (
            self.cell(row, "file"),
            self.cell(row, "commit"),
            self.cell(row, "precision"),
        )
    }

    fn decimals<'r>(&self, rows: &'r [csv::StringRecord]) -> Decimals<'r> {
        let mut most = Decimals::new();
        for row in rows {
            let (file, commit, precision) = self.published_in(row);
            for (column, text) in row.iter().enumerate() {
                let shown = decimals(text);
                let entry = most.entry((file, commit, precision, column)).or_default();
                *entry = shown.max(*entry);
            }
        }
        most
    }

    fn row(
        &self,
        row: &csv::StringRecord,
        decimals: &Decimals<'_>,
        values: &mut Vec<Value>,
    ) -> Result<(), Error> {
        let line = row.position().map_or(0, csv::Position::line);
        let bad = |column: &str, value: &str, allowed: &str| Error::BadCell {
            file: self.file.to_owned(),
            row: line,
            column: column.to_owned(),
            value: printable(value.as_bytes()),
            allowed: allowed.to_owned(),
        };
        let scenario = scenario(self.cell(row, "run")).map_err(|e| match e {
            Problem::Word { word, allowed } => bad("run", &word, &allowed),
            Problem::Scenario(e) => Error::BadRow {
                file: self.file.to_owned(),
                row: line,
                problem: e.to_string(),
            },
        })?;
        let (file, commit, precision) = self.published_in(row);
        let full = match precision {
            "full" => true,
            "rounded" | "spreadsheet" => false,
            other => return Err(bad("precision", other, "full, rounded or spreadsheet")),
        };
        let note = self.cell(row, "note");
        let rounded_before = rounded_before(note);
        let version = self.cell(row, "version");
        let before = values.len();
        for (i, text) in row.iter().enumerate() {
            let column = self.header.get(i).unwrap_or_default();
            if ABOUT.contains(&column) || text.is_empty() {
                continue;
            }
            let Some(figure) = Figure::of_column(column, version) else {
                let known = Figure::columns().collect::<Vec<_>>().join(", ");
                return Err(bad("header", column, &format!("one of {known}")));
            };
            let number = text.parse::<f64>().ok().filter(|x| x.is_finite());
            let number = number.ok_or_else(|| bad(column, text, "a number"))?;
            if number == 0.0 && note.contains(&format!("{column} is printed as 0")) {
                continue;
            }
            let shown = decimals.get(&(file, commit, precision, i));
            values.push(Value {
                study: version.to_owned(),
                scenario: scenario.clone(),
                figure,
                published: text.to_owned(),
                exactness: match full {
                    true => Exactness::Full,
                    false => Exactness::Decimals {
                        shown: shown.copied().unwrap_or_default(),
                        before: rounded_before,
                    },
                },
                source: format!("{file} @ {commit}, line {}", self.cell(row, "line")),
                row: line,
            });
        }
        if values.len() == before {
            return Err(Error::BadRow {
                file: self.file.to_owned(),
                row: line,
                problem: "no figure in it".to_owned(),
            });
        }
        Ok(())
    }
}

/// Decimals of a printed number. A spreadsheet that saves again what it rounded may print 0.347278
/// as 0.3472779999999999: digits beyond a float's own exactness are none.
fn decimals(text: &str) -> u32 {
    let shown = text.split_once('.').map_or(0, |(_, d)| d.len() as u32);
    let number: f64 = text.parse().unwrap_or_default();
    let stands = |&decimals: &u32| {
        let short = number
            - format!("{number:.*}", decimals as usize)
                .parse()
                .unwrap_or(0.0);
        short.abs() <= 1e-15 * number.abs()
    };
    match shown {
        0..=12 => shown,
        _ => (0..shown).find(stands).unwrap_or(shown),
    }
}

/// Decimals to which a figure was rounded before it was printed, as a row's note says it: "already
/// rounded to 2 decimals".
fn rounded_before(note: &str) -> Option<u32> {
    let (_, rest) = note.split_once("already rounded to ")?;
    rest.split(' ').next()?.parse().ok()
}

/// Why the words of a run are no scenario.
#[derive(Debug)]
pub enum Problem {
    Word { word: String, allowed: String },
    Scenario(Error),
}

/// The scenario that the words of column `run` describe, without a trace.
///
/// `--limit` rows, `--scale` time scale, `--state` of controller and program (nov24, nov29, v4),
/// `--sched`, `--gpus`, `--bins`, `--bounds` (output, predicted, sample:N), `--cap`, `--model`
/// (grid-old, fallback, grid-new), `--target` and `--eps` of the controller (s), `--token-sla`,
/// `--request-sla` and `--deadline` (s), `--rule` (tbt, decode, deadline), `--feed` (service, tbt,
/// decode), `--kv` and `--mmod` (GB), `--wake` (set, ascending), `--seed`. The last of equal words
/// counts.
pub fn scenario(words: &str) -> Result<Scenario, Problem> {
    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rest = words.split_whitespace();
    while let Some(word) = rest.next() {
        match word {
            "--cap" => {
                given.insert(word, "");
            }
            _ if WORDS.contains(&word) => {
                let value = rest.next().filter(|value| !value.starts_with("--"));
                given.insert(word, value.ok_or_else(|| refuse(word, "a value after it"))?);
            }
            _ => {
                let allowed = format!("one of {}, --cap", WORDS.join(", "));
                return Err(refuse(word, &allowed));
            }
        }
    }
    for needed in [
        "--limit", "--scale", "--state", "--sched", "--gpus", "--model",
    ] {
        if !given.contains_key(needed) {
            return Err(refuse(words, &format!("a run with {needed}")));
        }
    }
    let words = Words(given);
    let preset = words.choice(
        "--state",
        &[
            ("nov24", Preset::ThreeStep),
            ("nov29", Preset::TwoStep),
            ("v4", Preset::Seeds),
        ],
    )?;
    let mut s = preset.unwrap_or(Preset::TwoStep).scenario();
    s.workload.limit = words.whole("--limit")?;
    let set = |to: &mut f64, value: Option<f64>| *to = value.unwrap_or(*to);
    set(&mut s.workload.time_scale, words.number("--scale")?);
    let policies = [
        ("static_fifo", Policy::StaticFifo),
        ("dynamic_no_bins", Policy::Dynamic),
        ("multi_bin_dynamic", Policy::MultiBinDynamic),
        ("multi_bin_only", Policy::MultiBin),
    ];
    s.closed_mut().policy = words.choice("--sched", &policies)?.unwrap_or_default();
    s.fleet.gpus = words.whole("--gpus")?.unwrap_or(s.fleet.gpus);
    s.seed = words.whole("--seed")?.unwrap_or(s.seed);
    let models = [
        ("grid-old", Linear::THREE_STEP),
        ("fallback", Linear::TWO_STEP),
        ("grid-new", Linear::STRESS_V2),
    ];
    if let Some(linear) = words.choice("--model", &models)? {
        s.closed_mut().latency = Latency::Linear(linear);
    }
    words.bins(&mut s)?;

    set(&mut s.memory_mut().kv_gb_per_token, words.number("--kv")?);
    set(&mut s.memory_mut().model_gb, words.number("--mmod")?);
    let orders = [
        ("set", Ties::PublishedHeap),
        ("ascending", Ties::PublishedHeapAscending),
    ];
    s.workload.ties = words.choice("--wake", &orders)?.unwrap_or(s.workload.ties);

    let feeds = [
        ("service", Feedback::Service),
        ("tbt", Feedback::Total),
        ("decode", Feedback::Decode),
    ];
    let controller = &mut s.closed_mut().controller;
    if let Some(feed) = words.choice("--feed", &feeds)? {
        controller.feedback = feed;
    }
    set(&mut controller.epsilon_s, words.number("--eps")?);
    let token_s = words.number("--token-sla")?;
    let target_s = words.number("--target")?.or(token_s);
    controller.target_s = target_s.or(controller.target_s);
    set(&mut s.sla.token_ms, token_s.map(|token_s| token_s * 1e3));
    set(&mut s.sla.request_s, words.number("--request-sla")?);
    let rules = [
        ("tbt", TokenRule::BatchTbt),
        ("decode", TokenRule::DecodeStep),
        ("deadline", TokenRule::EndToEnd),
    ];
    if let Some(rule) = words.choice("--rule", &rules)? {
        s.sla.published_token_rule = rule;
    }
    let deadline_s = words.number("--deadline")?;
    if s.sla.published_token_rule == TokenRule::EndToEnd {
        // A constant of the original, whatever its SLA said.
        s.sla.token_ms = deadline_s.unwrap_or(1.0) * 1e3;
    }
    s.validate().map_err(Problem::Scenario)?;
    Ok(s)
}

/// Words with a value.
const WORDS: [&str; 19] = [
    "--limit",
    "--scale",
    "--state",
    "--sched",
    "--gpus",
    "--bins",
    "--bounds",
    "--model",
    "--target",
    "--eps",
    "--token-sla",
    "--request-sla",
    "--rule",
    "--deadline",
    "--feed",
    "--kv",
    "--mmod",
    "--wake",
    "--seed",
];

struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl Words<'_> {
    fn number(&self, word: &str) -> Result<Option<f64>, Problem> {
        let Some(text) = self.0.get(word) else {
            return Ok(None);
        };
        let number = text.parse::<f64>().ok().filter(|x| x.is_finite());
        let number = number.ok_or_else(|| refuse(text, &format!("a number after {word}")))?;
        Ok(Some(number))
    }

    fn whole(&self, word: &str) -> Result<Option<u32>, Problem> {
        let Some(text) = self.0.get(word) else {
            return Ok(None);
        };
        let whole = text.parse();
        let allowed = || refuse(text, &format!("a whole number after {word}"));
        whole.map(Some).map_err(|_| allowed())
    }

    fn choice<T: Copy>(&self, word: &str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.get(word) else {
            return Ok(None);
        };
        let found = choices.iter().find(|(name, _)| name == text);
        let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
        let allowed = || refuse(text, &format!("after {word}: {}", names.join(", ")));
        found.map(|&(_, choice)| Some(choice)).ok_or_else(allowed)
    }

    fn bins(&self, s: &mut Scenario) -> Result<(), Problem> {
        let count = self.whole("--bins")?;
        let sorts = s.has_bins();
        let bins = &mut s.bins;
        bins.batch_caps = self.0.contains_key("--cap");
        bins.count = count.unwrap_or(1);
        if !sorts {
            return Ok(());
        }
        let missing = |word: &str| refuse("multi_bin_dynamic", &format!("a run with {word}"));
        count.ok_or_else(|| missing("--bins"))?;
        let bounds = self.0.get("--bounds");
        let bounds = *bounds.ok_or_else(|| missing("--bounds"))?;
        let (boundaries, sample_size) = match (bounds, bounds.strip_prefix("sample:")) {
            ("output", _) => (Boundaries::EqualMassOutputs, Some(10_000)),
            ("predicted", _) => (Boundaries::EqualMassPredictions, Some(u32::MAX)),
            (_, Some(rows)) => (Boundaries::EqualMassPredictions, rows.parse().ok()),
            _ => (bins.boundaries, None),
        };
        bins.boundaries = boundaries;
        bins.sample_size = sample_size
            .ok_or_else(|| refuse(bounds, "after --bounds: output, predicted or sample:N"))?;
        Ok(())
    }
}

fn refuse(word: &str, allowed: &str) -> Problem {
    Problem::Word {
        word: word.to_owned(),
        allowed: allowed.to_owned(),
    }
}
