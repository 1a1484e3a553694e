//! The Studies view's side of `batchscope reproduce`: what a reader's file is, which scenarios it
//! allows, and how their outcomes compare with the published figures.

use std::io::Read;

use serde::Serialize;

use crate::error::{Error, printable};
use crate::metrics::{Summary, digest::Hashing};
use crate::published::errata;
use crate::published::published_rows;
use crate::published::published_values;
use crate::published::reproduce::{
    self, CAVEAT, Comparison, FileReport, LeftOut, Plan, Recognised, differing_first, judge, plan,
    rows_agree,
};
use crate::report;
use crate::scenario::{Scenario, Source};
use crate::trace;

/// A file that was read and what can be compared with it.
pub struct Reproduction {
    file: FileReport,
    plan: Plan,
    /// Whether the figures are those of a reader's rows.
    rows: bool,
    comparisons: Vec<Comparison>,
}

/// An item of docs/ERRATA.md that concerns a study or one of its files.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct FileErratum {
    pub number: u8,
    pub title: &'static str,
    /// Where to read it, from the root of the repository and of the site.
    pub link: String,
}

impl From<errata::Erratum> for FileErratum {
    fn from(erratum: errata::Erratum) -> FileErratum {
        FileErratum {
            number: erratum.number,
            title: erratum.title,
            link: erratum.link(),
        }
    }
}

/// What a reader's file is and what it allows.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RecognisedFile {
    pub file: FileReport,
    /// What it is.
    pub sentence: String,
    /// Why it is not compared unless the reader asks for it all the same.
    pub refusal: Option<String>,
    pub runs: usize,
    /// That all runs replay.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub requests: u64,
    /// Published figures to compare.
    pub figures: usize,
    pub left_out: Vec<LeftOut>,
}

/// Published figures beside simulated ones.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Reproduced {
    pub compared: usize,
    pub differ: usize,
    /// Of rows of the reader's: how many there are and how many agree in every figure.
    pub rows: Option<RowsAgree>,
    /// Where published figures are not about the file.
    pub caveat: Option<&'static str>,
    pub left_out: Vec<LeftOut>,
    /// Those with a mismatch first.
    pub studies: Vec<ReproducedStudy>,
}

#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RowsAgree {
    pub compared: usize,
    pub agree: usize,
}

#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ReproducedStudy {
    pub study: String,
    pub compared: usize,
    pub differ: usize,
    /// What is known to be wrong with all of what it published.
    pub errata: Vec<FileErratum>,
    /// Mismatches first; of rows of the reader's, which may be thousands of figures, they alone.
    pub figures: Vec<ReproducedFigure>,
}

/// A published figure beside the simulated one, as text.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ReproducedFigure {
    pub run: String,
    pub figure: &'static str,
    pub published: String,
    pub simulated: String,
    pub difference: String,
    pub agrees: bool,
    pub verdict: &'static str,
    /// The file that prints it.
    pub source: String,
    /// What is known to be wrong with this figure, apart from what concerns the whole study.
    pub errata: Vec<FileErratum>,
}

impl Reproduction {
    /// Reads a file, without ever holding the whole of it, and says what it is and what can be compared with it:
    /// the built-in figures, or the rows of published result files in `rows` (their text and name).
    pub fn recognise(
        input: impl Read,
        name: &str,
        rows: Option<(String, String)>,
    ) -> Result<(Reproduction, RecognisedFile), Error> {
        let mut input = Hashing::new(input);
        let trace = trace::read(&mut input, name, None)?;
        let (bytes, sha256) = input.finish().map_err(|e| Error::File {
            action: "read",
            path: name.to_owned(),
            detail: printable(e.to_string().as_bytes()),
        })?;
        let file = FileReport::of(&trace, name.to_owned(), bytes, sha256);
        let values = match &rows {
            Some((text, rows_name)) => published_rows::read(text, rows_name),
            None => published_values::built_in(),
        };
        let plan = plan(values?, file.rows, &Source::file(file.name.clone()));
        let limits = plan.rows.iter().map(|row| row.scenario.workload.limit);
        let recognised = RecognisedFile {
            sentence: file.describe(),
            refusal: file.refusal(),
            runs: plan.rows.len(),
            requests: limits.map(|n| n.map_or(file.rows, u64::from)).sum(),
            figures: plan.rows.iter().map(|row| row.values.len()).sum(),
            left_out: plan.left_out.clone(),
            file: file.clone(),
        };
        let reproduction = Reproduction {
            file,
            plan,
            rows: rows.is_some(),
            comparisons: Vec::new(),
        };
        Ok((reproduction, recognised))
    }

    /// The scenarios to run over the file. One that published figures are not about is refused unless the reader
    /// wants it `anyway`.
    pub fn scenarios(&self, anyway: bool) -> Result<Vec<&Scenario>, Error> {
        if let Some(why) = self.file.refusal()
            && !anyway
        {
            let what = self.file.name.clone();
            return Err(Error::Contradiction { what, why });
        }
        Ok(self.plan.rows.iter().map(|row| &row.scenario).collect())
    }

    /// Holds the summaries of all scenarios, in their order, against the published figures; `None` where one is
    /// missing.
    pub fn judge(&mut self, outcomes: &[Summary]) -> Option<Reproduced> {
        if outcomes.len() != self.plan.rows.len() {
            return None;
        }
        let rows = self.plan.rows.iter().zip(outcomes);
        self.comparisons = rows
            .flat_map(|(row, outcome)| judge(row, outcome))
            .collect();
        Some(self.shown())
    }

    /// The file of `batchscope reproduce --out`, byte for byte.
    pub fn csv(&self) -> String {
        report::csv(&reproduce::table(&self.comparisons))
    }

    fn shown(&self) -> Reproduced {
        let studies = differing_first(&self.comparisons).into_iter().map(|found| {
            let of_all = errata::concerning(found.study, "");
            let compared = found.comparisons.len();
            let shown = found.comparisons.into_iter();
            let shown = shown.filter(|c| !(self.rows && c.agrees));
            let figures = shown.map(|c| ReproducedFigure {
                run: c.run_name(),
                figure: c.figure,
                published: c.published.clone(),
                simulated: c.simulated_text(),
                difference: c.difference_text(),
                agrees: c.agrees,
                verdict: reproduce::verdict(c),
                source: c.source.clone(),
                errata: errata::concerning(&c.study, c.figure)
                    .into_iter()
                    .filter(|erratum| !of_all.contains(erratum))
                    .map(FileErratum::from)
                    .collect(),
            });
            ReproducedStudy {
                study: found.study.to_owned(),
                compared,
                differ: found.differ,
                figures: figures.collect(),
                errata: of_all.iter().copied().map(FileErratum::from).collect(),
            }
        });
        Reproduced {
            compared: self.comparisons.len(),
            differ: self.comparisons.iter().filter(|c| !c.agrees).count(),
            rows: self.rows.then(|| {
                let (compared, agree) = rows_agree(&self.comparisons);
                RowsAgree { compared, agree }
            }),
            caveat: (self.file.recognised == Recognised::Unknown).then_some(CAVEAT),
            left_out: self.plan.left_out.clone(),
            studies: studies.collect(),
        }
    }
}
