//! `batchscope study contract`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Common, Print, server};
use crate::Error;
use crate::cli::files;
use crate::published::Study;
use crate::published::contract::{self, Contract, Workload};
use crate::published::server::Server;

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
    /// Scenario whose engine, predictor, scheduler, fleet, latency model, memory and SLA are the server.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// The server without --server: continuous batching of Llama-3.1-8B on one H100 by data sheet, with a
    /// prefix cache and speculative decoding, or closed dynamic batches on one GPU.
    #[arg(
        long,
        value_name = "ENGINE",
        default_value = "continuous",
        conflicts_with = "server"
    )]
    engine: EngineArg,
    /// Judge this report (JSON or CSV with the names of contract_report) instead of running.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "workload", "server", "engine", "seed", "replications", "from_outcomes", "emit_scenarios",
    ])]
    measured: Option<PathBuf>,
    /// What is printed; the folder of --out gets everything.
    #[arg(long, value_name = "WHAT", default_value = "markdown")]
    print: Print,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineArg {
    Continuous,
    Closed,
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
    pub fn study(mut self) -> Result<(Study, Common), Error> {
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
        if let EngineArg::Closed = self.engine {
            study.server = Server::default();
        }
        if let Some(path) = &self.server {
            study.server = server(path)?;
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
