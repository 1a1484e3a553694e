//! `batchscope reproduce`: published figures against simulated ones, on threads.

use std::path::Path;

use serde::Serialize;

use super::args::ReproduceArgs;
use super::{files, pool, replay, study, table};
use crate::metrics::Summary;
use crate::published::published_rows;
use crate::published::published_values::{self, COLUMNS, Value};
use crate::published::reproduce::{
    self, CAVEAT, Comparison, FileReport, LeftOut, Plan, Recognised, judge, plan,
};
use crate::report;
use crate::scenario::Source;
use crate::words;
use crate::{Error, Trace};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: FileReport,
    compared: usize,
    differ: usize,
    /// Of a table of published rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Rows>,
    comparisons: &'a [Comparison],
    left_out: &'a [LeftOut],
}

#[derive(Serialize)]
struct Rows {
    compared: usize,
    agree: usize,
    differ: usize,
}

/// Compares every published figure that the file allows.
///
/// Errors: [`Error::Mismatch`] after everything is printed, where a figure differs.
pub fn reproduce(args: ReproduceArgs) -> Result<(), Error> {
    check_files(&args)?;
    let format = args.format;
    let (trace, bytes, sha256) = files::read_hashed(&args.trace, format)?;
    let file = FileReport::of(&trace, args.trace.display().to_string(), bytes, sha256);
    let values = match (&args.published, &args.rows) {
        (Some(path), _) => read_values(path)?,
        (None, Some(path)) => {
            published_rows::read(&files::read_text(path)?, &path.display().to_string())?
        }
        (None, None) => published_values::built_in()?,
    };
    if let Some(refusal) = file.refusal()
        && args.published.is_none()
        && !args.anyway
    {
        return Err(Error::contradiction(
            "--trace",
            format!(
                "{refusal}; --anyway compares all the same, --published FILE compares with figures \
                 of your own"
            ),
        ));
    }
    let source = Source::File {
        name: file.name.clone(),
        format,
        time_unit: None,
        hash_tokens: None,
    };
    let plan = plan(values, file.rows, &source);
    let jobs = args.jobs.unwrap_or_else(pool::default_jobs);
    let comparisons = compare(&plan, &trace, jobs)?;
    let differ = comparisons.iter().filter(|c| !c.agrees).count();
    if let Some(path) = &args.out {
        let csv = report::csv(&reproduce::table(&comparisons));
        files::write(path, |file| file.write_all(csv.as_bytes()))?;
    }
    let rows = args.rows.is_some().then(|| {
        let (compared, agree) = reproduce::rows_agree(&comparisons);
        Rows {
            compared,
            agree,
            differ: compared - agree,
        }
    });
    let report = Report {
        file,
        compared: comparisons.len(),
        differ,
        rows,
        comparisons: &comparisons,
        left_out: &plan.left_out,
    };
    if args.json {
        files::print_json(&report)?;
    } else {
        let text = text(&report, args.published.as_deref());
        files::print(|output| output.write_all(text.as_bytes()))?;
    }
    match differ {
        0 => Ok(()),
        _ => Err(Error::Mismatch {
            differ,
            compared: comparisons.len(),
        }),
    }
}

/// Refuses an output that would overwrite what is read.
fn check_files(args: &ReproduceArgs) -> Result<(), Error> {
    let inputs = [
        ("the trace", Some(&args.trace)),
        ("the published values", args.published.as_ref()),
        ("the published rows", args.rows.as_ref()),
    ];
    for (what, input) in inputs {
        if let (Some(out), Some(input)) = (&args.out, input)
            && files::same_file(out, input)
        {
            return Err(Error::contradiction(
                "--out",
                format!("it is the same file as {what}; give it another name"),
            ));
        }
    }
    Ok(())
}

/// A table of published values of the reader's own.
fn read_values(path: &Path) -> Result<Vec<Value>, Error> {
    let file = path.display().to_string();
    let text = files::read_text(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut values = Vec::new();
    let mut header = true;
    for record in reader.records() {
        let record = record.map_err(|e| Error::BadRow {
            file: file.clone(),
            row: e.position().map_or(1, csv::Position::line),
            problem: e.to_string(),
        })?;
        if std::mem::take(&mut header) {
            if !record.iter().eq(COLUMNS) {
                return Err(Error::MissingColumn {
                    file,
                    needed: COLUMNS.join(","),
                    found: record.iter().collect::<Vec<_>>().join(","),
                });
            }
            continue;
        }
        let row = record.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = record.iter().collect();
        values.push(Value::of(&fields, &file, row)?);
    }
    if values.is_empty() {
        return Err(Error::EmptyTrace {
            file,
            problem: "no published value in it".to_owned(),
        });
    }
    Ok(values)
}

/// Every comparison, in the order of the plan.
fn compare(plan: &Plan, trace: &Trace, jobs: usize) -> Result<Vec<Comparison>, Error> {
    let mut order: Vec<usize> = (0..plan.rows.len()).collect();
    // The longest first, so that no thread is left with one at the end.
    order.sort_by_key(|&i| std::cmp::Reverse(plan.rows[i].scenario.workload.limit));
    let mut judged = vec![Vec::new(); plan.rows.len()];
    let bar = study::new_bar(order.len(), "runs");
    let ended = pool::each(
        jobs,
        order.into_iter(),
        |i| {
            Ok((
                i,
                replay::replay_quietly(trace, &plan.rows[i].scenario)?.summary,
            ))
        },
        |_, result: Result<(usize, Summary), Error>| {
            let (i, outcome) = result?;
            judged[i] = judge(&plan.rows[i], &outcome);
            bar.inc(1);
            Ok(())
        },
    );
    bar.finish_and_clear();
    ended?;
    Ok(judged.into_iter().flatten().collect())
}

fn text(report: &Report, own_values: Option<&Path>) -> String {
    let file = &report.file;
    let mut text = format!("{}\n", file.describe());
    match own_values {
        Some(path) => text += &format!("published values: {}\n", path.display()),
        None if file.recognised == Recognised::Unknown => {
            text += &format!("{CAVEAT}\n");
        }
        None => {}
    }
    if let Some(rows) = &report.rows {
        return text + &rows_text(report, rows);
    }
    for comparisons in report.comparisons.chunk_by(|a, b| a.study == b.study) {
        text += &format!("\n{}\n", comparisons[0].study);
        let mut table = table::new_table(&[
            "run",
            "figure",
            "published",
            "simulated",
            "difference",
            "verdict",
        ]);
        let mut last = String::new();
        for c in comparisons {
            let run = c.run_name();
            table.add_row([
                if run == last {
                    String::new()
                } else {
                    run.clone()
                },
                c.figure.to_owned(),
                c.published.clone(),
                c.simulated_text(),
                c.difference_text(),
                reproduce::verdict(c).to_owned(),
            ]);
            last = run;
        }
        text += &format!("{table}\n");
    }
    text += "\n";
    text += &left_out(report.left_out);
    text += &format!(
        "{} compared: {} within half a unit of the last printed digit, {}\n",
        words::counted(report.compared as u64, "figure"),
        verb(report.compared - report.differ, "agree"),
        verb(report.differ, "differ")
    );
    text
}

fn left_out(left_out: &[LeftOut]) -> String {
    let line = |left_out: &LeftOut| {
        format!(
            "{}: {} the first {}\n",
            left_out.study,
            match left_out.figures {
                1 => "1 figure needs".to_owned(),
                n => format!("{n} figures need"),
            },
            words::counted(left_out.needs_rows, "row")
        )
    };
    left_out.iter().map(line).collect()
}

/// Every figure that differs, with both values, and how many rows agree.
fn rows_text(report: &Report, rows: &Rows) -> String {
    let mut text = String::new();
    for c in report.comparisons.iter().filter(|c| !c.agrees) {
        text += &format!(
            "row {} ({}; {}; {}): {} published {}, simulated {}\n",
            c.row,
            c.study,
            c.run_name(),
            c.source,
            c.figure,
            c.published,
            c.simulated
                .map_or_else(|| "-".to_owned(), |x| x.to_string()),
        );
    }
    text += &left_out(report.left_out);
    text += &format!(
        "{} compared: ",
        words::counted(report.compared as u64, "figure")
    );
    text += &format!("{}\n", verb(report.differ, "differ"));
    text += &format!("{} compared: ", words::counted(rows.compared as u64, "row"));
    text + &format!("{} agree, {} differ\n", rows.agree, rows.differ)
}

/// "1 differs", "2 differ".
fn verb(n: usize, verb: &str) -> String {
    format!("{n} {verb}{}", if n == 1 { "s" } else { "" })
}
