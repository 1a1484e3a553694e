//! Published figures against simulated ones: which can be checked with a file, and whether they
//! agree. Pure; whoever calls runs the scenarios.

use serde::Serialize;

use super::document::{Cell, Table};
use super::published_values::Value;
use crate::Trace;
use crate::metrics::{Summary, digest};
use crate::scenario::{Scenario, Source, TokenRule};
use crate::sched::{Boundaries, Policy};

/// Size of the complete BurstGPT_1.csv, and the digits of its SHA-256 that its publishers' users
/// have printed.
const WHOLE_BYTES: u64 = 52_283_111;
const WHOLE_SHA256: [&str; 2] = ["4bb37836", "e12122"];

/// Rows by which a beginning of BurstGPT_1.csv is known, and the digest of their columns.
pub const HEAD_ROWS: usize = 400;
const HEAD_SHA256: &str = "012cf92f1129f55a96338eb955137ad172f96ca37041f12ec44c9b52b1c8e179";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recognised {
    /// The complete BurstGPT_1.csv, by size and checksum.
    Whole,
    /// It begins with the first 400 rows of BurstGPT_1.csv; what follows has no known checksum.
    Beginning,
    /// Something else: published figures say nothing about it.
    Unknown,
}

/// Recognises a file by its size, its SHA-256 in lower-case hex, and its rows.
pub fn recognise(trace: &Trace, bytes: u64, sha256: &str) -> Recognised {
    let [begin, end] = WHOLE_SHA256;
    if bytes == WHOLE_BYTES && sha256.starts_with(begin) && sha256.ends_with(end) {
        Recognised::Whole
    } else if trace.len() >= HEAD_ROWS && digest::head(trace, HEAD_ROWS) == HEAD_SHA256 {
        Recognised::Beginning
    } else {
        Recognised::Unknown
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
pub struct LeftOut {
    pub study: String,
    /// Rows, from the first, without which they cannot be computed.
    pub needs_rows: u64,
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
        let found = plan
            .rows
            .iter_mut()
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
    let scheduler = &scenario.scheduler;
    let bins_from_file = scheduler.policy == Policy::MultiBinDynamic
        && scheduler.bins.count > 1
        && scheduler.bins.boundaries == Boundaries::EqualMassOutputs;
    if bins_from_file {
        replayed.max(scheduler.bins.sample_rows.into())
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
    /// Half a unit in the last printed digit.
    pub tolerance: f64,
    pub agrees: bool,
    pub source: String,
}

/// Holds a run's outcome against the published figures of its row.
pub fn judge(row: &Row, outcome: &Summary) -> Vec<Comparison> {
    let scenario = &row.scenario;
    row.values
        .iter()
        .map(|value| {
            let (number, tolerance) = (value.number(), value.tolerance());
            let simulated = value.figure.of(outcome);
            let difference = simulated.map(|x| x - number);
            // Half a unit is inside; the rest is what a decimal loses as a binary fraction.
            let slack = tolerance + 1e-12 * number.abs();
            Comparison {
                study: row.study.clone(),
                requests: outcome.workload.rows_taken,
                scheduler: scenario.scheduler.policy,
                gpus: scenario.fleet.gpus,
                bins: scenario.scheduler.bins.count,
                time_scale: scenario.workload.time_scale,
                token_rule: scenario.sla.published_token_rule,
                figure: value.figure.name(),
                published: value.published.clone(),
                simulated,
                difference,
                tolerance,
                agrees: difference.is_some_and(|d| d.abs() <= slack),
                source: value.source.clone(),
            }
        })
        .collect()
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
