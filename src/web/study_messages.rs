//! The messages of the Studies view, as TypeScript is told of them. `www/studies/worker.js` says in
//! its opening comment when each is sent.

use ts_rs::TS;

use super::messages::TraceFile;
use super::reproduce::{FileErratum, RecognisedFile, Reproduced};
use super::studies::StudyInfo;
use crate::error::ErrorReport;
use crate::study::Study;

/// From the page to the coordinator.
#[derive(TS)]
#[ts(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(
    clippy::large_enum_variant,
    reason = "a shape for TypeScript, never a value"
)]
pub enum ToStudies {
    List {},
    Plan {
        run_id: u32,
        job: StudyJob,
    },
    Run {
        run_id: u32,
        job: StudyJob,
        /// Most runs at a time.
        runners: u32,
    },
    /// What a file is, as to published figures.
    Recognise {
        run_id: u32,
        file: TraceFile,
        /// Rows of published result files to compare with, instead of the built-in figures.
        rows: Option<TraceFile>,
    },
    /// Published figures against simulated ones.
    Reproduce {
        run_id: u32,
        job: ReproduceJob,
        /// Most runs at a time.
        runners: u32,
    },
    Cancel {
        run_id: u32,
    },
    Zip {
        run_id: u32,
        files: Vec<NamedBlob>,
    },
}

/// A study to run.
#[derive(TS)]
pub struct StudyJob {
    pub study: Study,
    pub replications: u32,
    /// The reader's own trace, in place of the study's.
    pub file: Option<TraceFile>,
}

/// A file to hold against published figures.
#[derive(TS)]
pub struct ReproduceJob {
    pub file: TraceFile,
    /// As for `recognise`.
    pub rows: Option<TraceFile>,
    /// Also where they are not about it.
    pub anyway: bool,
}

#[derive(TS)]
pub struct NamedBlob {
    pub name: String,
    #[ts(type = "Blob")]
    pub blob: (),
}

/// From the coordinator to the page.
#[derive(TS)]
#[ts(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
#[allow(
    clippy::large_enum_variant,
    reason = "a shape for TypeScript, never a value"
)]
pub enum FromStudies {
    Ready {
        studies: Vec<StudyInfo>,
    },
    /// What is known before the first run: later steps may follow from outcomes.
    Planned {
        run_id: u32,
        #[ts(type = "number")]
        runs: u64,
        #[ts(type = "number")]
        requests: u64,
    },
    Progress {
        run_id: u32,
        progress: StudyProgress,
    },
    /// A sentence about the study, such as what the trace's length lowered.
    Said {
        run_id: u32,
        sentence: String,
    },
    Done {
        run_id: u32,
        result: StudyResult,
    },
    Recognised {
        run_id: u32,
        recognised: RecognisedFile,
    },
    Reproduced {
        run_id: u32,
        result: ReproduceResult,
    },
    Cancelled {
        run_id: u32,
    },
    Error {
        run_id: u32,
        error: ErrorReport,
    },
    Zip {
        run_id: u32,
        #[ts(type = "Blob")]
        blob: (),
    },
    Crashed {
        run_id: u32,
        message: String,
    },
}

#[derive(TS)]
pub struct StudyProgress {
    pub stage: StudyStage,
    /// The first is 1.
    pub step: u32,
    /// Runs or files of this stage and step that are done, and all of them.
    pub done: u32,
    pub of: u32,
    /// Of this stage and step, from 0 to 1.
    pub share: f64,
}

/// What a study is busy with.
#[derive(TS)]
#[ts(rename_all = "kebab-case")]
pub enum StudyStage {
    Reading,
    Running,
    Drawing,
}

/// What a finished study leaves.
#[derive(TS)]
pub struct StudyResult {
    pub files: Vec<ShownFile>,
    #[ts(type = "number")]
    pub runs: u64,
    #[ts(type = "number")]
    pub requests: u64,
    pub runners: u32,
    pub elapsed_ms: f64,
}

/// Every published figure beside the simulated one.
#[derive(TS)]
pub struct ReproduceResult {
    pub reproduced: Reproduced,
    /// As of `batchscope reproduce --out`.
    #[ts(type = "Blob")]
    pub csv: (),
    pub runs: u32,
    #[ts(type = "number")]
    pub requests: u64,
    pub elapsed_ms: f64,
}

/// A file as the module hands it out.
#[derive(TS)]
pub struct StudyFile {
    pub kind: FileKind,
    pub name: String,
    #[ts(type = "Uint8Array<ArrayBuffer>")]
    pub bytes: (),
    /// Of a figure, else empty.
    pub title: String,
    /// Of a figure, else empty.
    pub caption: String,
    /// Header and first rows of a table, else empty.
    pub preview: Vec<Vec<String>>,
    /// Of a table, without its header.
    #[ts(type = "number")]
    pub rows: u64,
    /// What is known to be wrong with what was published here, apart from what concerns the whole
    /// study.
    pub errata: Vec<FileErratum>,
}

#[derive(TS)]
#[ts(rename_all = "kebab-case")]
pub enum FileKind {
    Table,
    Text,
    Json,
    /// An SVG, or the PNG of the same picture, as the name's ending says.
    Figure,
    Outcomes,
}

/// A file as it crosses to the page.
#[derive(TS)]
pub struct ShownFile {
    pub kind: FileKind,
    pub name: String,
    #[ts(type = "Blob")]
    pub blob: (),
    pub title: String,
    pub caption: String,
    pub preview: Vec<Vec<String>>,
    #[ts(type = "number")]
    pub rows: u64,
    pub errata: Vec<FileErratum>,
    /// Of a text, else empty.
    pub text: String,
}
