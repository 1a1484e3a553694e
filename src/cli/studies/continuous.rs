//! `batchscope study continuous`.

use clap::Args;

use super::{Common, set};
use crate::cli::args::{card, count, model, number};
use crate::latency::architecture::Architecture;
use crate::latency::hardware::Card;
use crate::published::Study;
use crate::published::continuous::Continuous;

#[derive(Args)]
pub struct ContinuousArgs {
    #[command(flatten)]
    common: Common,
    /// Seeds of each run; systems are compared seed by seed [default: 8].
    #[arg(long, value_name = "N", value_parser = count(3, 1000))]
    seeds: Option<u32>,
    /// Requests of each run and GPU [default: 4000].
    #[arg(long, value_name = "N", value_parser = count(100, 1_000_000))]
    requests_per_gpu: Option<u32>,
    /// Arrivals per second and GPU [default: 15,30,42].
    #[arg(long, value_name = "R,R,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = number(1e-3, 1e4))]
    rates_per_gpu: Option<Vec<f64>>,
    /// Fleets [default: 1,4].
    #[arg(long, value_name = "G,G,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, 64))]
    gpu_counts: Option<Vec<u32>>,
    /// Bins, where they are not varied [default: 4].
    #[arg(long, value_name = "K", value_parser = count(1, 64))]
    bins: Option<u32>,
    /// The model [default: llama-3.1-8b].
    #[arg(long, value_name = "MODEL", value_parser = model)]
    model: Option<Architecture>,
    /// The GPU [default: h100].
    #[arg(long, value_name = "NAME", value_parser = card)]
    hardware: Option<Card>,
}

impl ContinuousArgs {
    pub fn study(self) -> (Study, Common) {
        let mut study = Continuous::default();
        set(&mut study.seeds, self.seeds);
        set(&mut study.requests_per_gpu, self.requests_per_gpu);
        set(&mut study.rates_per_gpu, self.rates_per_gpu);
        set(&mut study.gpu_counts, self.gpu_counts);
        set(&mut study.bins, self.bins);
        set(&mut study.model, self.model.map(|m| m.name));
        set(&mut study.hardware, self.hardware.map(|c| c.key.to_owned()));
        (Study::Continuous(study), self.common)
    }
}
