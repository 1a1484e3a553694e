//! The Studies view's side of the door: which scenarios a study runs next, and its files. Compiled
//! with the feature `figures` alone, into the module that the page loads when that view is opened;
//! the runs themselves go through [`Engine`](super::Engine) in workers of their own.

use js_sys::{Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::reproduce::{FileErratum, Reproduction};
use super::{blob, columns, failure, plain, read};
use crate::error::{Error, printable};
use crate::metrics::Summary;
use crate::published::{Execution, Study, errata};
use crate::report;
use crate::report::document::{Content, File};
use crate::scenario::Source;

/// Rows of a table that cross beside its file, to be shown.
const PREVIEW_ROWS: usize = 50;

/// A study on its way: opened, fed with outcomes until nothing is pending, then asked for its
/// files. Or a file on its way to be held against published figures (`reproduce.rs`).
#[wasm_bindgen]
#[derive(Default)]
pub struct StudyEngine {
    execution: Option<Execution>,
    files: Vec<File>,
    reproduction: Option<Reproduction>,
}

/// A study that can be chosen.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StudyInfo {
    /// As in `batchscope study NAME`.
    pub name: String,
    pub description: String,
    /// With its published settings.
    pub study: Study,
    /// Whether it replays a trace that can be another.
    pub takes_trace: bool,
    /// What is known to be wrong with all of what was published.
    pub errata: Vec<FileErratum>,
}

#[wasm_bindgen]
impl StudyEngine {
    #[wasm_bindgen(constructor)]
    pub fn new() -> StudyEngine {
        StudyEngine::default()
    }

    /// Every study with its published settings.
    #[wasm_bindgen(unchecked_return_type = "StudyInfo[]")]
    pub fn studies() -> Result<JsValue, JsValue> {
        let studies: Vec<StudyInfo> = Study::all()
            .into_iter()
            .map(|mut study| StudyInfo {
                name: study.name().to_owned(),
                description: study.describe().to_owned(),
                takes_trace: study.trace_mut().is_some(),
                errata: errata::concerning(study.name(), "")
                    .into_iter()
                    .map(FileErratum::from)
                    .collect(),
                study,
            })
            .collect();
        plain(&studies)
    }

    /// Begins a study; one in progress is forgotten. A reader's trace of so many rows takes the
    /// place of the study's, as `--trace` does. The sentence says what that lowered, if anything.
    pub fn open(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Study")] study: JsValue,
        replications: u32,
        trace_name: Option<String>,
        trace_rows: Option<u32>,
    ) -> Result<Option<String>, JsValue> {
        let mut study: Study = read(study, "study")?;
        let mut said = None;
        if let (Some(name), Some(rows), Some((source, _))) =
            (trace_name, trace_rows, study.trace_mut())
        {
            *source = Source::file(name);
            said = study.limit_to(u64::from(rows));
        }
        self.files.clear();
        self.execution = None;
        self.execution = Some(Execution::new(study, replications).map_err(|e| failure(&e))?);
        Ok(said)
    }

    /// The scenarios to run now; empty once the study is complete.
    #[wasm_bindgen(unchecked_return_type = "Scenario[]")]
    pub fn pending(&self) -> Result<JsValue, JsValue> {
        plain(&self.opened()?.pending())
    }

    /// Takes the summaries of all pending scenarios, in their order.
    pub fn take(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Summary[]")] outcomes: JsValue,
    ) -> Result<(), JsValue> {
        let outcomes: Vec<Summary> = read(outcomes, "outcomes")?;
        let execution = self.execution.as_mut().ok_or_else(not_opened)?;
        execution.take(outcomes).map_err(|e| failure(&e))
    }

    /// Works out the files of a complete study; how many there are for [`StudyEngine::file`].
    pub fn finish(&mut self) -> Result<u32, JsValue> {
        self.files = self.opened()?.files().map_err(|e| failure(&e))?;
        Ok(self.files.len() as u32 + 1)
    }

    /// The files that one of them becomes, written and drawn: a figure is an SVG and a PNG. The
    /// last are the outcomes, one a line.
    #[wasm_bindgen(unchecked_return_type = "StudyFile[]")]
    pub fn file(&self, number: u32) -> Result<Array, JsValue> {
        let Some(file) = self.files.get(number as usize) else {
            let outcomes = self.outcomes().map_err(|e| {
                failure(&Error::contradiction(
                    "outcomes",
                    printable(e.to_string().as_bytes()),
                ))
            })?;
            let shown = Shown::new("outcomes", "outcomes.jsonl", &outcomes);
            return Ok(Array::of1(&shown.object()?));
        };
        let list = Array::new();
        let study = self.opened()?.study().name();
        let of_all = errata::concerning(study, "");
        let errata: Vec<FileErratum> = errata::concerning(study, &file.name)
            .into_iter()
            .filter(|erratum| !of_all.contains(erratum))
            .map(FileErratum::from)
            .collect();
        for (name, bytes) in report::bytes(file).map_err(|e| failure(&e))? {
            let mut shown = Shown::new("text", &name, &bytes);
            shown.errata = &errata;
            match &file.content {
                Content::Table(table) => {
                    shown.kind = "table";
                    shown.rows = table.rows.len();
                    shown.preview = preview(&bytes);
                }
                Content::Text(_) => {}
                Content::Json(_) => shown.kind = "json",
                Content::Figure(figure) => {
                    shown.kind = "figure";
                    shown.title.clone_from(&figure.title);
                    shown.caption.clone_from(&figure.caption);
                }
            }
            list.push(&shown.object()?);
        }
        Ok(list)
    }
}

#[wasm_bindgen]
impl StudyEngine {
    /// Reads a file of the reader's and says what it is and what can be compared with it: the built-in figures, or
    /// the rows of published result files in `rows`, whose name is `rows_name`. `progress` is called with the share
    /// of its bytes that were read.
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
        self.recognise(blob::BlobReader::new(blob, progress)?, name, rows)
    }

    /// The same of a file that is in memory already.
    #[wasm_bindgen(js_name = recogniseBytes, unchecked_return_type = "RecognisedFile")]
    pub fn recognise_bytes(&mut self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        self.recognise(bytes, name, None)
    }

    /// The scenarios to run over the file. One that published figures are not about is refused
    /// unless the reader wants it `anyway`.
    #[wasm_bindgen(unchecked_return_type = "Scenario[]")]
    pub fn reproduce(&self, anyway: bool) -> Result<JsValue, JsValue> {
        let found = self.reproduction.as_ref().ok_or_else(not_recognised)?;
        plain(&found.scenarios(anyway).map_err(|e| failure(&e))?)
    }

    /// Holds the summaries of all scenarios, in their order, against the published figures.
    #[wasm_bindgen(unchecked_return_type = "Reproduced")]
    pub fn judge(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Summary[]")] outcomes: JsValue,
    ) -> Result<JsValue, JsValue> {
        let outcomes: Vec<Summary> = read(outcomes, "outcomes")?;
        let found = self.reproduction.as_mut().ok_or_else(not_recognised)?;
        let judged = found.judge(&outcomes);
        plain(&judged.ok_or_else(|| JsValue::from_str("a run has no outcome"))?)
    }

    /// The file of `batchscope reproduce --out`, byte for byte.
    #[wasm_bindgen(js_name = comparisonsCsv, unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub fn comparisons_csv(&self) -> Result<Uint8Array, JsValue> {
        let found = self.reproduction.as_ref().ok_or_else(not_recognised)?;
        Ok(Uint8Array::from(found.csv().as_bytes()))
    }
}

impl StudyEngine {
    fn recognise(
        &mut self,
        input: impl std::io::Read,
        name: &str,
        rows: Option<(String, String)>,
    ) -> Result<JsValue, JsValue> {
        self.reproduction = None;
        let found = Reproduction::recognise(input, name, rows);
        let (reproduction, recognised) = found.map_err(|e| failure(&e))?;
        self.reproduction = Some(reproduction);
        plain(&recognised)
    }

    fn opened(&self) -> Result<&Execution, JsValue> {
        self.execution.as_ref().ok_or_else(not_opened)
    }

    /// Every outcome, one JSON object a line.
    fn outcomes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut lines = Vec::new();
        for outcome in self.execution.iter().flat_map(Execution::outcomes) {
            serde_json::to_writer(&mut lines, outcome)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

/// A file on its way to the page, with what is shown of it there.
struct Shown<'a> {
    kind: &'static str,
    name: &'a str,
    bytes: &'a [u8],
    title: String,
    caption: String,
    preview: Vec<Vec<String>>,
    rows: usize,
    errata: &'a [FileErratum],
}

impl<'a> Shown<'a> {
    fn new(kind: &'static str, name: &'a str, bytes: &'a [u8]) -> Shown<'a> {
        Shown {
            kind,
            name,
            bytes,
            title: String::new(),
            caption: String::new(),
            preview: Vec::new(),
            rows: 0,
            errata: &[],
        }
    }

    fn object(&self) -> Result<JsValue, JsValue> {
        let object = columns::object([
            ("kind", self.kind.into()),
            ("name", self.name.into()),
            ("bytes", Uint8Array::from(self.bytes).into()),
            ("title", self.title.as_str().into()),
            ("caption", self.caption.as_str().into()),
            ("preview", plain(&self.preview)?),
            ("rows", (self.rows as f64).into()),
            ("errata", plain(&self.errata)?),
        ])?;
        Ok(object.into())
    }
}

/// The first records of a CSV file, header included, as they are written there.
fn preview(file: &[u8]) -> Vec<Vec<String>> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(file)
        .records()
        .take(1 + PREVIEW_ROWS)
        .map_while(Result::ok)
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

fn not_opened() -> JsValue {
    JsValue::from_str("no study was opened")
}

fn not_recognised() -> JsValue {
    JsValue::from_str("no file was recognised")
}
