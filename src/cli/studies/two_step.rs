//! `batchscope study two-step`.

use clap::{Args, ValueEnum};

use super::{Common, set};
use crate::cli::args::{count, number};
use crate::published::Study;
use crate::published::two_step::{Step, TwoStep};
use crate::scenario::MAX_GPUS;
use crate::sched::bins::MAX_BINS;

#[derive(Args)]
pub struct TwoStepArgs {
    #[command(flatten)]
    common: Common,
    /// 1: the grid; 2: the methods on one GPU, without the optimum, which needs the grid; all: both.
    #[arg(long, default_value = "all")]
    step: StepArg,
    /// Numbers of requests, from the head of the trace [default: 1000,10000,100000,1000000].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, u32::MAX))]
    request_counts: Option<Vec<u32>>,
    /// Fleets of the grid [default: 1,2,4,8,16,32,64,100].
    #[arg(long, value_name = "G,G,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_GPUS))]
    gpu_counts: Option<Vec<u32>>,
    /// Numbers of bins of the grid [default: 1,2,4,8,16,32].
    #[arg(long, value_name = "K,K,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_BINS))]
    bin_counts: Option<Vec<u32>>,
    /// Arrival times are divided by this [default: 200].
    #[arg(long, value_name = "X", value_parser = number(1e-6, 1e9))]
    rps_scaling: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum StepArg {
    #[value(name = "1")]
    Grid,
    #[value(name = "2")]
    Methods,
    All,
}

impl TwoStepArgs {
    pub fn study(self) -> (Study, Common) {
        let mut study = TwoStep {
            step: match self.step {
                StepArg::Grid => Step::Grid,
                StepArg::Methods => Step::Methods,
                StepArg::All => Step::All,
            },
            ..TwoStep::default()
        };
        set(&mut study.request_counts, self.request_counts);
        set(&mut study.gpu_counts, self.gpu_counts);
        set(&mut study.bin_counts, self.bin_counts);
        set(&mut study.rps_scaling, self.rps_scaling);
        (Study::TwoStep(study), self.common)
    }
}
