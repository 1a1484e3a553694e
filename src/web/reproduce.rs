//! The Studies view's side of `batchscope reproduce`: what a reader's file is, which scenarios it
//! allows, and how their outcomes compare with the published figures.

use std::io::Read;

use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::read;
use super::studies::{FileErratum, StudyEngine};
use super::{blob, failure, plain};
use crate::error::{Error, printable};
use crate::metrics::{Summary, digest::Hashing};
use crate::report;
use crate::scenario::{Scenario, Source};
use crate::study::errata;
use crate::study::published_rows;
use crate::study::published_values;
use crate::study::reproduce::{
    self, CAVEAT, Comparison, FileReport, LeftOut, Plan, Recognised, differing_first, judge, plan,
    rows_agree,
};
use crate::trace;

/// A file that was read and what can be compared with it.
pub(super) struct Reproduction {
    file: FileReport,
    plan: Plan,
    /// Whether the figures are those of a reader's rows.
    rows: bool,
    comparisons: Vec<Comparison>,
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

#[wasm_bindgen]
impl StudyEngine {
    /// Reads a file of the reader's, without ever holding the whole of it, and says what it is and
    /// what can be compared with it: the built-in figures, or the rows of published result files in
    /// `rows`, whose name is `rows_name`. `progress` is called with the share of its bytes that were read.
    #[wasm_bindgen(js_name = recogniseBlob, unchecked_return_type = "RecognisedFile")]
    pub fn recognise_blob(
        &mut self,
        blob: web_sys::Blob,
        name: &str,
        progress: Option<js_sys::Function>,
        rows: Option<String>,
        rows_name: Option<String>,
    ) -> Result<JsValue, JsValue> {
        let rows = rows.zip(rows_name);
        self.recognise(Box::new(blob::BlobReader::new(blob, progress)?), name, rows)
    }

    /// The same of a file that is in memory already.
    #[wasm_bindgen(js_name = recogniseBytes, unchecked_return_type = "RecognisedFile")]
    pub fn recognise_bytes(&mut self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        self.recognise(Box::new(bytes), name, None)
    }

    /// The scenarios to run over the file. One that published figures are not about is refused
    /// unless the reader wants it `anyway`.
    #[wasm_bindgen(unchecked_return_type = "Scenario[]")]
    pub fn reproduce(&self, anyway: bool) -> Result<JsValue, JsValue> {
        let Reproduction { file, plan, .. } =
            self.reproduction.as_ref().ok_or_else(not_recognised)?;
        if let Some(why) = file.refusal()
            && !anyway
        {
            let what = file.name.clone();
            return Err(failure(&Error::Contradiction { what, why }));
        }
        let scenarios: Vec<&Scenario> = plan.rows.iter().map(|row| &row.scenario).collect();
        plain(&scenarios)
    }

    /// Holds the summaries of all scenarios, in their order, against the published figures.
    #[wasm_bindgen(unchecked_return_type = "Reproduced")]
    pub fn judge(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Summary[]")] outcomes: JsValue,
    ) -> Result<JsValue, JsValue> {
        let outcomes: Vec<Summary> = read(outcomes, "outcomes")?;
        let found = self.reproduction.as_mut().ok_or_else(not_recognised)?;
        if outcomes.len() != found.plan.rows.len() {
            return Err(JsValue::from_str("a run has no outcome"));
        }
        let rows = found.plan.rows.iter().zip(&outcomes);
        found.comparisons = rows
            .flat_map(|(row, outcome)| judge(row, outcome))
            .collect();
        plain(&found.shown())
    }

    /// The file of `batchscope reproduce --out`, byte for byte.
    #[wasm_bindgen(js_name = comparisonsCsv, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub fn comparisons_csv(&self) -> Result<Uint8Array, JsValue> {
        let found = self.reproduction.as_ref().ok_or_else(not_recognised)?;
        let csv = report::csv(&reproduce::table(&found.comparisons));
        Ok(Uint8Array::from(csv.as_bytes()))
    }
}

impl StudyEngine {
    fn recognise(
        &mut self,
        input: Box<dyn Read + '_>,
        name: &str,
        rows: Option<(String, String)>,
    ) -> Result<JsValue, JsValue> {
        self.reproduction = None;
        let mut input = Hashing::new(input);
        let trace = trace::read(&mut input, name, None).map_err(|e| failure(&e))?;
        let (bytes, sha256) = input.finish().map_err(|e| {
            failure(&Error::File {
                action: "read",
                path: name.to_owned(),
                detail: printable(e.to_string().as_bytes()),
            })
        })?;
        let file = FileReport::of(&trace, name.to_owned(), bytes, sha256);
        let values = match &rows {
            Some((text, rows_name)) => published_rows::read(text, rows_name),
            None => published_values::built_in(),
        };
        let values = values.map_err(|e| failure(&e))?;
        let source = Source::file(file.name.clone());
        let plan = plan(values, file.rows, &source);
        let limits = plan.rows.iter().map(|row| row.scenario.workload.limit);
        let recognised = plain(&RecognisedFile {
            sentence: file.describe(),
            refusal: file.refusal(),
            runs: plan.rows.len(),
            requests: limits.map(|n| n.map_or(file.rows, u64::from)).sum(),
            figures: plan.rows.iter().map(|row| row.values.len()).sum(),
            left_out: plan.left_out.clone(),
            file: file.clone(),
        })?;
        self.reproduction = Some(Reproduction {
            file,
            plan,
            rows: rows.is_some(),
            comparisons: Vec::new(),
        });
        Ok(recognised)
    }
}

impl Reproduction {
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

fn not_recognised() -> JsValue {
    JsValue::from_str("no file was recognised")
}
