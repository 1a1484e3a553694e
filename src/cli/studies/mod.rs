//! The studies' own flags, a file each, and the [`Study`] that they describe.

mod continuous;
mod contract;
mod paper;
mod saturation;
mod stress_v2;
mod three_step;
mod two_step;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::args::{ReadingArgs, count, jobs};
use super::files;
use crate::published::Study;
use crate::published::execution::MAX_REPLICATIONS;
use crate::published::server::Server;
use crate::{Error, Scenario};

#[derive(Subcommand)]
pub enum StudyCommand {
    /// Stress test v2: schedulers and a fleet under a token and a request SLA.
    #[command(name = "stress-v2")]
    StressV2(stress_v2::StressV2Args),
    /// Three steps: more requests, more GPUs, more bins, under one second end to end.
    #[command(name = "three-step")]
    ThreeStep(three_step::ThreeStepArgs),
    /// Two steps: a grid of GPUs and bins, then four methods; P95 latency and throughput.
    #[command(name = "two-step")]
    TwoStep(two_step::TwoStepArgs),
    /// GPU benchmark: throughput against users, simulated or measured, and what it supports.
    Saturation(saturation::SaturationArgs),
    /// Demo contract: three small workloads, or a measured report, against three years' thresholds.
    Contract(contract::ContractArgs),
    /// The two papers: multi-bin throughput in theory and simulation, the dynamic-batching model.
    Paper(paper::PaperArgs),
    /// Continuous batching: do bins still pay where requests join and leave at every step?
    Continuous(continuous::ContinuousArgs),
}

impl StudyCommand {
    /// The study that the flags describe, and how to run it.
    ///
    /// Errors: those of the files that the flags name.
    pub fn study(self) -> Result<(Study, Common), Error> {
        Ok(match self {
            StudyCommand::StressV2(args) => args.study()?,
            StudyCommand::ThreeStep(args) => args.study(),
            StudyCommand::TwoStep(args) => args.study(),
            StudyCommand::Saturation(args) => args.study()?,
            StudyCommand::Contract(args) => args.study()?,
            StudyCommand::Paper(args) => args.study(),
            StudyCommand::Continuous(args) => args.study(),
        })
    }
}

/// Which of a study's documents goes to standard output.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Print {
    /// The report.
    #[default]
    Markdown,
    /// The first table, a row per column of its file.
    Table,
    /// The first JSON document.
    Json,
}

/// How a study runs and where its files go.

#[derive(Args)]
pub struct Common {
    /// Folder for tables, report and figures; without it the report alone is printed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Trace file, plain or gzip; default: a generated one, shaped like BurstGPT's first week.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    #[command(flatten)]
    pub reading: ReadingArgs,
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    pub seed: Option<u32>,
    /// Repeat every run with R seeds and add tables of means and 95 % intervals.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = count(1, MAX_REPLICATIONS))]
    pub replications: u32,
    /// Threads; default: one per core.
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// Print the scenarios to run next, one a line, and stop; `batchscope sweep` runs them.
    #[arg(long)]
    pub emit_scenarios: bool,
    /// Take outcomes from this file (lines of `batchscope sweep`, "-" for standard input) instead
    /// of running.
    #[arg(long, value_name = "FILE")]
    pub from_outcomes: Option<PathBuf>,
    /// Of studies that let people choose.
    #[arg(skip)]
    pub print: Print,
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The server of the scenario in a file.
fn server(path: &Path) -> Result<Server, Error> {
    let text = files::read_text(path)?;
    Scenario::from_json(&text, &path.display().to_string()).map(Server::from)
}
