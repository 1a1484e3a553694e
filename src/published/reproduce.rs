//! Published figures against simulated ones: what a file is, which figures can be checked with it,
//! and whether they agree. Pure; whoever calls reads the file and runs the scenarios.

use serde::Serialize;

use super::published_values::Value;
use crate::Trace;
use crate::metrics::{Summary, digest};
use crate::report::document::{Cell, Table};
use crate::scenario::{Scenario, Source, TokenRule};
use crate::sched::{Boundaries, Policy};
use crate::words::counted;

/// The complete BurstGPT_1.csv with CRLF and with LF at the ends of its lines: size, and the digits
/// of its SHA-256 that people who have it printed (beginning and end).
const WHOLE: [(u64, &str, &str); 2] = [
    (52_283_111, "4bb37836", "e12122"),
    (50_853_373, "46fc9480", ""),
];

/// Rows by which a beginning of BurstGPT_1.csv is known.
pub const HEAD_ROWS: usize = 400;

/// The longest beginning first: its rows, and the digest of their columns.
const HEADS: [(usize, &str); 2] = [
    (
        19_431,
        "ea810c03da4a727519f83ba75dfca341fa3cca7a36cbca10946321bc2a066926",
    ),
    (
        HEAD_ROWS,
        "012cf92f1129f55a96338eb955137ad172f96ca37041f12ec44c9b52b1c8e179",
    ),
];

/// Rows of BurstGPT_1.csv that hold the first 10,000 requests with output: what bins made from
/// outputs need.
const OUTPUT_SAMPLE: (u32, u64) = (10_000, 10_956);

/// Said beside every verdict about a file that published figures are not about.
pub const CAVEAT: &str =
    "the published figures are not about this file: no verdict below means anything";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Recognised {
    /// The complete BurstGPT_1.csv, by size and checksum.
    Whole,
    /// It begins with the first 19,431 rows of BurstGPT_1.csv (seven days).
    Week,
    /// It begins with the first 400 rows of BurstGPT_1.csv; what follows has no known checksum.
    Beginning,
    /// Something else: published figures say nothing about it.
    Unknown,
}

/// Recognises a file by its size, its SHA-256 in lower-case hex, and its rows.
pub fn recognise(trace: &Trace, bytes: u64, sha256: &str) -> Recognised {
    let whole = WHOLE.iter().any(|&(size, begin, end)| {
        bytes == size && sha256.starts_with(begin) && sha256.ends_with(end)
    });
    if whole {
        return Recognised::Whole;
    }
    let head = HEADS
        .iter()
        .find(|&&(rows, known)| trace.len() >= rows && digest::head(trace, rows) == known);
    match head {
        Some(&(HEAD_ROWS, _)) => Recognised::Beginning,
        Some(_) => Recognised::Week,
        None => Recognised::Unknown,
    }
}

/// A file that was read, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct FileReport {
    pub name: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub bytes: u64,
    /// Of its bytes, in lower-case hex.
    pub sha256: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub rows: u64,
    pub recognised: Recognised,
}

impl FileReport {
    pub fn of(trace: &Trace, name: String, bytes: u64, sha256: String) -> FileReport {
        FileReport {
            name,
            bytes,
            rows: trace.len() as u64,
            recognised: recognise(trace, bytes, &sha256),
            sha256,
        }
    }

    /// What it is, in a sentence that begins with its name.
    pub fn describe(&self) -> String {
        let (name, rows) = (&self.name, self.rows);
        match self.recognised {
            Recognised::Whole => format!("{name}: the complete BurstGPT_1.csv"),
            Recognised::Week if rows == HEADS[0].0 as u64 => {
                format!("{name}: the first {rows} rows of BurstGPT_1.csv, seven days")
            }
            Recognised::Week => format!(
                "{name}: {rows} rows; the first {} are those of BurstGPT_1.csv, no checksum is \
                 known for more",
                HEADS[0].0
            ),
            Recognised::Beginning if rows == HEAD_ROWS as u64 => {
                format!("{name}: the first {HEAD_ROWS} rows of BurstGPT_1.csv")
            }
            Recognised::Beginning => format!(
                "{name}: {rows} rows; the first {HEAD_ROWS} are those of BurstGPT_1.csv, no \
                 checksum is known for more"
            ),
            Recognised::Unknown => {
                format!("{name}: {}, not from BurstGPT_1.csv", counted(rows, "row"))
            }
        }
    }

    /// Why it is not compared with published figures unless somebody asks for it all the same.
    pub fn refusal(&self) -> Option<String> {
        (self.recognised == Recognised::Unknown).then(|| {
            format!(
                "{} is neither BurstGPT_1.csv nor a beginning of it of at least {HEAD_ROWS} rows, \
                 so the published figures are not about it",
                self.name
            )
        })
    }
}

/// One run and the published figures that it should meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub study: String,
    pub scenario: Scenario,
    pub values: Vec<Value>,
}

/// Published figures that a file is too short for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct LeftOut {
    pub study: String,
    /// Rows, from the first, without which they cannot be computed.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub needs_rows: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub figures: u64,
}

/// What to run and what to leave out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the order of the table; figures of one run stand together.
    pub rows: Vec<Row>,
    pub left_out: Vec<LeftOut>,
}

/// Sorts published values into runs over a trace of `rows_in_trace` rows that comes from `source`.
pub fn plan(values: Vec<Value>, rows_in_trace: u64, source: &Source) -> Plan {
    let mut plan = Plan::default();
    for value in values {
        let needs_rows = needs_rows(&value.scenario);
        if needs_rows > rows_in_trace {
            let found = plan
                .left_out
                .iter_mut()
                .find(|l| l.study == value.study && l.needs_rows == needs_rows);
            match found {
                Some(left_out) => left_out.figures += 1,
                None => plan.left_out.push(LeftOut {
                    study: value.study,
                    needs_rows,
                    figures: 1,
                }),
            }
            continue;
        }
        let mut scenario = value.scenario.clone();
        scenario.trace = source.clone();
        // Figures of one run follow each other: the last run first.
        let found = plan
            .rows
            .iter_mut()
            .rev()
            .find(|row| row.study == value.study && row.scenario == scenario);
        match found {
            Some(row) => row.values.push(value),
            None => plan.rows.push(Row {
                study: value.study.clone(),
                scenario,
                values: vec![value],
            }),
        }
    }
    // Stable: studies stay in the order of the table.
    plan.left_out.sort_by_key(|l| l.needs_rows);
    plan
}

/// The rows of the file that decide a run: those it replays and those that its bins are made from.
fn needs_rows(scenario: &Scenario) -> u64 {
    let replayed = scenario.workload.limit.map_or(0, u64::from);
    let bins = &scenario.bins;
    let bins_from_file = scenario.policy() == Some(Policy::MultiBinDynamic)
        && bins.count > 1
        && bins.boundaries == Boundaries::EqualMassOutputs;
    if bins_from_file {
        let (requests, rows) = OUTPUT_SAMPLE;
        let sample_rows = u64::from(bins.sample_rows);
        replayed.max(match bins.sample_size == requests {
            true => sample_rows.min(rows),
            false => sample_rows,
        })
    } else {
        replayed
    }
}

/// A published figure beside the simulated one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub study: String,
    pub requests: u64,
    pub scheduler: Policy,
    pub gpus: u32,
    pub bins: u32,
    pub time_scale: f64,
    pub token_rule: TokenRule,
    pub figure: &'static str,
    /// As printed.
    pub published: String,
    /// Absent where the run has no such figure.
    pub simulated: Option<f64>,
    /// Simulated less published.
    pub difference: Option<f64>,
    /// Half a unit in the last printed digit, or 1e-9 of a figure with all its digits.
    pub tolerance: f64,
    pub agrees: bool,
    pub source: String,
    /// Row of the table that lists the published figure.
    pub row: u64,
}

/// Holds a run's outcome against the published figures of its row.
pub fn judge(row: &Row, outcome: &Summary) -> Vec<Comparison> {
    let scenario = &row.scenario;
    row.values
        .iter()
        .map(|value| {
            let (number, tolerance) = (value.number(), value.tolerance());
            let simulated = value.simulated(outcome);
            let difference = simulated.map(|x| x - number);
            // Half a unit is inside; the rest is what a decimal loses as a binary fraction.
            let slack = tolerance + 1e-12 * number.abs();
            Comparison {
                study: row.study.clone(),
                requests: outcome.workload.rows_taken,
                scheduler: scenario.policy().unwrap_or_default(),
                gpus: scenario.fleet.gpus,
                bins: scenario.bins.count,
                time_scale: scenario.workload.time_scale,
                token_rule: scenario.sla.published_token_rule,
                figure: value.figure.name(),
                published: value.published.clone(),
                simulated,
                difference,
                tolerance,
                agrees: difference.is_some_and(|d| d.abs() <= slack),
                source: value.source.clone(),
                row: value.row,
            }
        })
        .collect()
}

impl Comparison {
    /// Its run, as in "1000 requests / 200, multi-bin-dynamic, 32 GPUs, 8 bins".
    pub fn run_name(&self) -> String {
        let mut run = format!(
            "{} / {}, {}, {}",
            counted(self.requests, "request"),
            self.time_scale,
            name(&self.scheduler),
            counted(self.gpus, "GPU")
        );
        if self.scheduler.has_bins() {
            run += &format!(", {}", counted(self.bins, "bin"));
        }
        if self.token_rule == TokenRule::DecodeStep {
            run += ", decode-step";
        }
        run
    }

    /// The simulated figure with two digits more than were printed, which show how near it is;
    /// counts as they are.
    pub fn simulated_text(&self) -> String {
        self.simulated
            .map_or_else(absent, |x| format!("{x:.0$}", self.digits(x)))
    }

    /// The difference, likewise, with its sign.
    pub fn difference_text(&self) -> String {
        self.difference
            .map_or_else(absent, |x| format!("{x:+.0$}", self.digits(x)))
    }

    fn digits(&self, x: f64) -> usize {
        match self.published.split_once('.') {
            None if x.fract() == 0.0 => 0,
            None => 2,
            Some((_, decimals)) => decimals.len() + 2,
        }
    }
}

/// Of a figure that the run does not have.
fn absent() -> String {
    "-".to_owned()
}

/// Rows of a table of published rows, and how many of them agree in every figure.
pub fn rows_agree(comparisons: &[Comparison]) -> (usize, usize) {
    let mut rows = std::collections::BTreeMap::new();
    for c in comparisons {
        *rows.entry(c.row).or_insert(true) &= c.agrees;
    }
    (rows.len(), rows.values().filter(|&&agrees| agrees).count())
}

/// The comparisons of one study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyComparisons<'a> {
    pub study: &'a str,
    /// How many differ.
    pub differ: usize,
    /// What differs first; otherwise in the order of the plan.
    pub comparisons: Vec<&'a Comparison>,
}

/// Comparisons for somebody who looks for mismatches: studies with one first, and so within each.
pub fn differing_first(comparisons: &[Comparison]) -> Vec<StudyComparisons<'_>> {
    let mut studies: Vec<StudyComparisons<'_>> = Vec::new();
    for comparison in comparisons {
        let place = studies.iter().position(|s| s.study == comparison.study);
        let place = place.unwrap_or_else(|| {
            studies.push(StudyComparisons {
                study: &comparison.study,
                differ: 0,
                comparisons: Vec::new(),
            });
            studies.len() - 1
        });
        let study = &mut studies[place];
        study.differ += usize::from(!comparison.agrees);
        study.comparisons.push(comparison);
    }
    // Stable sorts: what is equal here keeps its order.
    for study in &mut studies {
        study.comparisons.sort_by_key(|c| c.agrees);
    }
    studies.sort_by_key(|s| s.differ == 0);
    studies
}

/// Every comparison as a table of a row each.
pub fn table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new([
        "study",
        "requests",
        "scheduler",
        "gpus",
        "bins",
        "time_scale",
        "token_rule",
        "figure",
        "published",
        "simulated",
        "difference",
        "tolerance",
        "verdict",
        "source",
    ]);
    for c in comparisons {
        table.rows.push(vec![
            Cell::from(c.study.as_str()),
            Cell::from(c.requests),
            Cell::from(name(&c.scheduler)),
            Cell::from(c.gpus),
            Cell::from(c.bins),
            Cell::from(c.time_scale),
            Cell::from(name(&c.token_rule)),
            Cell::from(c.figure),
            Cell::from(c.published.as_str()),
            Cell::from(c.simulated),
            Cell::from(c.difference),
            Cell::from(c.tolerance),
            Cell::from(verdict(c)),
            Cell::from(c.source.as_str()),
        ]);
    }
    table
}

/// In a word.
pub fn verdict(comparison: &Comparison) -> &'static str {
    if comparison.agrees {
        "agrees"
    } else {
        "differs"
    }
}

/// A choice by its JSON name.
pub fn name(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(name)) => name,
        // Choices without data are strings.
        _ => String::new(),
    }
}
