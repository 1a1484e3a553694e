//! `batchscope validate --results`: load tests of real servers, predicted and measured.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::{ScenarioArgs, ServerArgs, ValidateArgs};
use super::table::{new_table, short};
use super::{calibrated, files, run};
use crate::experiment::validation::load_test::{self, Prediction, Row};
use crate::results::{self, Load, Statistic};
use crate::sched::continuous::Rule;
use crate::words::{change, or_dash};
use crate::{Error, Scenario, Trace};

/// A row with its error, for JSON.
#[derive(Serialize)]
struct WithError<'a> {
    #[serde(flatten)]
    row: &'a Row,
    error: Option<f64>,
}

#[derive(Serialize)]
struct Compared<'a> {
    file: &'a str,
    benchmark: &'a str,
    load: &'a str,
    requests: usize,
    notes: &'a [String],
    rows: Vec<WithError<'a>>,
}

/// Predicts every benchmark of the files and prints it beside what was measured.
///
/// Errors: no server; a file that cannot be read or replayed.
pub fn validate(args: &ValidateArgs) -> Result<(), Error> {
    if let Some(path) = &args.out {
        files::check_place(path)?;
    }
    let scenario = server(args)?;
    let load = load(&args.server)?;
    let mut found = Vec::new();
    for path in &args.results {
        let text = files::read_result(path)?;
        for benchmark in results::read(&text, &path.display().to_string())? {
            found.push(load_test::predict(&benchmark, &scenario, load.as_ref())?);
        }
    }
    if args.json {
        let all: Vec<Compared> = found.iter().map(compared).collect();
        return match &args.out {
            None => files::print_json(&all),
            Some(path) => files::write(path, |file| {
                serde_json::to_writer_pretty(&mut *file, &all)?;
                file.write_all(b"\n")
            }),
        };
    }
    let text: String = found.iter().map(words).collect();
    match &args.out {
        None => files::print(|output| output.write_all(text.as_bytes())),
        Some(path) => files::write(path, |file| file.write_all(text.as_bytes())),
    }
}

fn compared(one: &Prediction) -> Compared<'_> {
    let rows = one.rows.iter().map(|row| WithError {
        row,
        error: row.error(),
    });
    Compared {
        file: &one.file,
        benchmark: &one.benchmark,
        load: &one.load,
        requests: one.requests,
        notes: &one.notes,
        rows: rows.collect(),
    }
}

/// The scenario of the flags, as `run` makes it, with continuous batching and one replica where nothing else is said.
fn server(args: &ValidateArgs) -> Result<Scenario, Error> {
    let of = &args.server;
    let from_file = of.scenario.is_some();
    if !from_file && args.model.is_none() && of.step_latency.is_none() && of.latency.is_none() {
        return Err(Error::bad_argument(
            "--results",
            "a server is missing: --model with --hardware, --step-latency, --latency or --scenario",
        ));
    }
    if args.model.is_some() != args.hardware.is_some() {
        let (given, missing) = match args.model {
            Some(_) => ("--model", "--hardware is missing"),
            None => ("--hardware", "--model is missing"),
        };
        return Err(Error::bad_argument(given, missing));
    }
    let one_replica = (!from_file).then(|| of.tensor_parallel.unwrap_or(1));
    let flags = ScenarioArgs {
        scenario: of.scenario.clone(),
        model: args.model.clone(),
        hardware: args.hardware.clone(),
        precision: of.precision,
        tensor_parallel: of.tensor_parallel,
        expert_parallel: of.expert_parallel,
        gpus: of.gpus.or(one_replica),
        rule: (!from_file).then(Rule::default),
        max_sequences: of.max_sequences,
        max_batched_tokens: of.max_batched_tokens,
        step_latency: of.step_latency.clone(),
        latency: of.latency.clone(),
        seed: of.seed,
        set: of.set.clone(),
        ..ScenarioArgs::default()
    };
    let (mut scenario, _) = run::resolve(&flags, [])?;
    calibrated::put_on(&flags, &Trace::default(), &mut scenario)?;
    Ok(scenario)
}

/// The load of the flags.
fn load(args: &ServerArgs) -> Result<Option<Load>, Error> {
    let rate = args.rate.map(|per_s| Load::Rate {
        per_s,
        steady: false,
    });
    match args.rate {
        Some(per_s) if !(1e-9..=1e9).contains(&per_s) => Err(Error::bad_field(
            "--rate",
            per_s,
            "a number from 1e-9 to 1e9",
        )),
        _ => Ok(args.users.map(|users| Load::Users { users }).or(rate)),
    }
}

fn words(one: &Prediction) -> String {
    let mut text = format!(
        "{}, {}\n{} requests: {}\n",
        one.file, one.benchmark, one.requests, one.load
    );
    for note in &one.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let mut table = new_table(&["figure", "", "measured", "predicted", "error", "field"]);
    for row in &one.rows {
        let value = |x: f64| shown(row, x);
        table.add_row([
            row.figure.to_owned(),
            statistic(row.statistic).to_owned(),
            row.measured.map_or_else(|| "not given".to_owned(), value),
            or_dash(row.predicted, value),
            or_dash(row.error(), |error| change(error, 1)),
            row.field.clone().unwrap_or_default(),
        ]);
    }
    let _ = writeln!(text, "{table}\n");
    text
}

fn statistic(of: Statistic) -> &'static str {
    match of {
        Statistic::Mean => "mean",
        Statistic::P50 => "P50",
        Statistic::P90 => "P90",
        Statistic::P95 => "P95",
        Statistic::P99 => "P99",
    }
}

/// Times in ms, rates as they are.
fn shown(row: &Row, value: f64) -> String {
    if row.figure.ends_with("/s") {
        short(value)
    } else {
        format!("{} ms", short(value * 1e3))
    }
}
