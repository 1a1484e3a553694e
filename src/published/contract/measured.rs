//! Reading a measured report: our own `contract_report.json` or `contract_report.csv`, or a file
//! with the same names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::metric::{Metric, Sample};
use super::verdict::ALL_WORKLOADS;
use super::{Measured, report};
use crate::error::{Error, printable};

/// The column that is no metric.
const WORKLOAD: &str = "workload";

/// What the JSON file is; the rest of a report of ours is accepted and not read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    workloads: Vec<BTreeMap<String, &'a RawValue>>,
    #[serde(rename = "source")]
    _source: Option<IgnoredAny>,
    #[serde(rename = "server")]
    _server: Option<IgnoredAny>,
    #[serde(rename = "years")]
    _years: Option<IgnoredAny>,
    #[serde(rename = "verdicts")]
    _verdicts: Option<IgnoredAny>,
    #[serde(rename = "findings")]
    _findings: Option<IgnoredAny>,
    #[serde(rename = "notes")]
    _notes: Option<IgnoredAny>,
}

/// Reads a measured report, JSON where it begins with a brace and else CSV. `file` is for the
/// errors and the report.
///
/// Errors: text that is neither, an unknown metric, a value outside its metric's range, a workload
/// without a name or named twice, no workload at all; each with row and column.
pub fn read(text: &str, file: &str) -> Result<Measured, Error> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader {
        file,
        samples: Vec::new(),
    };
    if text.trim_start().starts_with('{') {
        reader.json(text)?;
    } else {
        reader.csv(text)?;
    }
    if reader.samples.is_empty() {
        return Err(reader.bad_row(1, "no workloads; at least one is needed".to_owned()));
    }
    Ok(Measured {
        source: file.to_owned(),
        samples: reader.samples,
    })
}

struct Reader<'f> {
    file: &'f str,
    samples: Vec<Sample>,
}

impl Reader<'_> {
    fn json(&mut self, text: &str) -> Result<(), Error> {
        let document: Document<'_> = serde_json::from_str(text)
            .map_err(|e| self.bad_row(e.line().max(1) as u64, e.to_string()))?;
        for (i, fields) in document.workloads.iter().enumerate() {
            let path = |name: &str| format!("workloads[{i}].{name}");
            let mut cells = Vec::new();
            for (name, raw) in fields {
                let row = line_of(text, raw.get());
                let value = match serde_json::from_str(raw.get()) {
                    Ok(Some(value)) => value,
                    // Null: not known, like an empty cell.
                    Ok(None) => serde_json::Value::from(""),
                    Err(e) => return Err(self.bad_row(row, e.to_string())),
                };
                let text = match value {
                    serde_json::Value::String(text) => text,
                    // As it stands in the file, so that no digit is lost.
                    _ => raw.get().to_owned(),
                };
                cells.push((row, name.as_str(), path(name), text));
            }
            // A workload without fields has no place in the text.
            let first = cells.iter().map(|cell| cell.0).min().unwrap_or(1);
            self.sample(first, &path(WORKLOAD), &cells)?;
        }
        Ok(())
    }

    fn csv(&mut self, text: &str) -> Result<(), Error> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let header = reader.headers().map_err(|e| self.broken(&e))?.clone();
        for (i, name) in header.iter().enumerate() {
            if header.iter().take(i).any(|earlier| earlier == name) {
                let problem = format!("two columns \"{}\"", printable(name.as_bytes()));
                return Err(self.bad_row(1, problem));
            }
        }
        if !header.iter().any(|name| name == WORKLOAD) {
            return Err(Error::MissingColumn {
                file: self.file.to_owned(),
                needed: format!("\"{WORKLOAD}\""),
                found: printable(header.iter().collect::<Vec<_>>().join(", ").as_bytes()),
            });
        }
        for record in reader.records() {
            let record = record.map_err(|e| self.broken(&e))?;
            let row = record.position().map_or(1, csv::Position::line);
            let cells: Vec<_> = header
                .iter()
                .zip(&record)
                .map(|(name, text)| (row, name, name.to_owned(), text.to_owned()))
                .collect();
            self.sample(row, WORKLOAD, &cells)?;
        }
        Ok(())
    }

    /// One workload; `cells`: row, name, path and text of each of its fields.
    fn sample(
        &mut self,
        row: u64,
        path: &str,
        cells: &[(u64, &str, String, String)],
    ) -> Result<(), Error> {
        let mut workload = String::new();
        let mut values = BTreeMap::new();
        for (row, name, path, text) in cells {
            if *name == WORKLOAD {
                workload = text.clone();
                continue;
            }
            let Some(metric) = Metric::ALL.into_iter().find(|m| m.name() == *name) else {
                let names: Vec<_> = Metric::ALL.iter().map(|m| m.name()).collect();
                let problem = format!(
                    "unknown field {}; understood are {WORKLOAD}, {}",
                    printable(path.as_bytes()),
                    names.join(", ")
                );
                return Err(self.bad_row(*row, problem));
            };
            if report::is_absent(text) {
                continue;
            }
            // NaN, which every range refuses, stands for what is no number.
            let value = text.parse().unwrap_or(f64::NAN);
            if let Some(allowed) = metric.refuses(value) {
                return Err(self.bad_cell(*row, path, text, allowed));
            }
            values.insert(metric, value);
        }
        let plain = printable(workload.as_bytes()) == workload;
        if workload.is_empty() || !plain || workload == ALL_WORKLOADS {
            let allowed = "the name of a workload, up to 40 printable characters";
            return Err(self.bad_cell(row, path, &workload, allowed));
        }
        if self.samples.iter().any(|s| s.workload == workload) {
            return Err(self.bad_cell(row, path, &workload, "a name of its own; it stands twice"));
        }
        self.samples.push(Sample { workload, values });
        Ok(())
    }

    fn bad_cell(&self, row: u64, column: &str, value: &str, allowed: &str) -> Error {
        Error::BadCell {
            file: self.file.to_owned(),
            row,
            column: column.to_owned(),
            value: printable(value.as_bytes()),
            allowed: allowed.to_owned(),
        }
    }

    fn bad_row(&self, row: u64, problem: String) -> Error {
        Error::BadRow {
            file: self.file.to_owned(),
            row,
            problem,
        }
    }

    fn broken(&self, e: &csv::Error) -> Error {
        Error::of_csv(e, self.file)
    }
}

/// The line, from 1, on which `part` of `text` begins; `part` is a slice of `text`.
fn line_of(text: &str, part: &str) -> u64 {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|b| **b == b'\n').count() as u64
}
