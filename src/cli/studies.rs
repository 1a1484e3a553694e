//! The studies' own flags, and the [`Study`] that they describe.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::args::FormatArg;
use super::files;
use crate::study::Study;
use crate::study::contract::{self, Contract, Server, Workload};
use crate::study::stress_v2::{SlaMode, StressV2};
use crate::{Error, Scenario};

#[derive(Subcommand)]
pub enum StudyCommand {
    /// Stress test v2: schedulers and a fleet under a token and a request SLA.
    #[command(name = "stress-v2")]
    StressV2(StressV2Args),
    /// Demo contract: three small workloads, or a measured report, against three years' thresholds.
    Contract(ContractArgs),
}

impl StudyCommand {
    /// The study that the flags describe, and how to run it.
    ///
    /// Errors: those of the files that the flags name.
    pub fn study(self) -> Result<(Study, Common), Error> {
        Ok(match self {
            StudyCommand::StressV2(args) => args.study(),
            StudyCommand::Contract(args) => args.study()?,
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
    /// Trace file, plain or gzip; default: a generated one, shaped like BurstGPT.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Format of the trace file; default: recognised from its content.
    #[arg(long, value_name = "F", requires = "trace")]
    pub format: Option<FormatArg>,
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,
    /// Repeat every run with R seeds and add tables of means and 95 % intervals.
    #[arg(long, value_name = "R", default_value_t = 1)]
    pub replications: u32,
    /// Threads; default: one per core.
    #[arg(long, value_name = "N")]
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

#[derive(Args)]
pub struct StressV2Args {
    #[command(flatten)]
    common: Common,
    /// 1: grid of GPUs and bins; 2: comparison of schedulers.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=2))]
    step: u32,
    /// Numbers of requests, taken from the head of the trace.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    request_counts: Option<Vec<u32>>,
    /// Fleets of step 1.
    #[arg(long, value_name = "G,G,...", value_delimiter = ',')]
    gpu_counts: Option<Vec<u32>>,
    /// Numbers of bins of step 1.
    #[arg(long, value_name = "K,K,...", value_delimiter = ',')]
    bin_counts: Option<Vec<u32>>,
    /// Fleet of the last method of step 2 [default: 32].
    #[arg(long, value_name = "G")]
    optimal_gpus: Option<u32>,
    /// Bins of the last method of step 2 [default: 8].
    #[arg(long, value_name = "K")]
    optimal_bins: Option<u32>,
    /// strict: 10 ms, 5 s; default: 10 ms, 10 s; loose: 30 ms, 20 s (published).
    #[arg(long, default_value = "loose")]
    sla: SlaArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum SlaArg {
    Strict,
    Default,
    Loose,
}

impl StressV2Args {
    fn study(self) -> (Study, Common) {
        let mut study = StressV2 {
            step: self.step,
            sla: match self.sla {
                SlaArg::Strict => SlaMode::Strict,
                SlaArg::Default => SlaMode::Default,
                SlaArg::Loose => SlaMode::Loose,
            },
            ..StressV2::default()
        };
        set(&mut study.request_counts, self.request_counts);
        set(&mut study.gpu_counts, self.gpu_counts);
        set(&mut study.bin_counts, self.bin_counts);
        study.optimal_gpus = self.optimal_gpus.or(study.optimal_gpus);
        study.optimal_bins = self.optimal_bins.or(study.optimal_bins);
        (Study::StressV2(study), self.common)
    }
}

#[derive(Args)]
pub struct ContractArgs {
    #[command(flatten)]
    common: Common,
    /// Which workloads run.
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "all"
    )]
    workload: Vec<WorkloadArg>,
    /// Scenario whose predictor, scheduler, fleet, latency model, memory and SLA are the server;
    /// default: one GPU, dynamic batches.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Judge this report (JSON or CSV with the names of contract_report) instead of running.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "workload", "server", "seed", "replications", "from_outcomes", "emit_scenarios",
    ])]
    measured: Option<PathBuf>,
    /// What is printed; the folder of --out gets everything.
    #[arg(long, value_name = "WHAT", default_value = "markdown")]
    print: Print,
}

#[derive(Clone, Copy, ValueEnum)]
enum WorkloadArg {
    Short,
    Long,
    Stress,
    ContractLong,
    All,
}

impl ContractArgs {
    fn study(mut self) -> Result<(Study, Common), Error> {
        self.common.print = self.print;
        let mut study = Contract {
            workloads: Vec::new(),
            ..Contract::default()
        };
        for workload in self.workload {
            match workload {
                WorkloadArg::Short => study.workloads.push(Workload::Short),
                WorkloadArg::Long => study.workloads.push(Workload::Long),
                WorkloadArg::Stress => study.workloads.push(Workload::Stress),
                WorkloadArg::ContractLong => study.workloads.push(Workload::ContractLong),
                WorkloadArg::All => study.workloads.extend(Workload::ALL),
            }
        }
        if let Some(path) = &self.server {
            let text = files::read_text(path)?;
            let scenario = Scenario::from_json(&text, &path.display().to_string())?;
            study.server = Server::from(scenario);
        }
        if let Some(path) = &self.measured {
            let name = match path.to_str() {
                Some("-") => "standard input".to_owned(),
                _ => path.display().to_string(),
            };
            study.measured = Some(contract::measured::read(&files::read_text(path)?, &name)?);
        }
        if let Some(seed) = self.common.seed {
            study.seed = seed;
        }
        Ok((Study::Contract(study), self.common))
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
