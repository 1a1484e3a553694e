//! `batchscope study stress-v2`.

use clap::{Args, ValueEnum};

use super::{Common, set};
use crate::Error;
use crate::cli::args::count;
use crate::published::Study;
use crate::published::stress_v2::{SlaMode, StressV2};
use crate::scenario::MAX_GPUS;
use crate::sched::bins::MAX_BINS;

#[derive(Args)]
pub struct StressV2Args {
    #[command(flatten)]
    common: Common,
    /// 1: grid of GPUs and bins; 2: comparison of schedulers.
    #[arg(long, default_value_t = 2, value_parser = step)]
    step: u32,
    /// Numbers of requests, taken from the head of the trace.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, u32::MAX))]
    request_counts: Option<Vec<u32>>,
    /// Fleets of step 1.
    #[arg(long, value_name = "G,G,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_GPUS))]
    gpu_counts: Option<Vec<u32>>,
    /// Numbers of bins of step 1.
    #[arg(long, value_name = "K,K,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_BINS))]
    bin_counts: Option<Vec<u32>>,
    /// Fleet of the last method of step 2 [default: 32].
    #[arg(long, value_name = "G", value_parser = count(1, MAX_GPUS))]
    optimal_gpus: Option<u32>,
    /// Bins of the last method of step 2 [default: 8].
    #[arg(long, value_name = "K", value_parser = count(1, MAX_BINS))]
    optimal_bins: Option<u32>,
    /// End step 2 with dynamic on 4 GPUs and multi-bin on 4 and 8 GPUs instead of one fleet.
    #[arg(long, conflicts_with_all = ["optimal_gpus", "optimal_bins"])]
    without_optimal: bool,
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

fn step(text: &str) -> Result<u32, String> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("1 or 2".to_owned()),
    }
}

impl StressV2Args {
    pub fn study(self) -> Result<(Study, Common), Error> {
        let other_step = |flag: &str, step: u32| {
            Error::contradiction(
                flag,
                format!(
                    "it would have no effect: it is about step {step} (--step {step}); leave it out"
                ),
            )
        };
        for (flag, given, step) in [
            ("--gpu-counts", self.gpu_counts.is_some(), 1),
            ("--bin-counts", self.bin_counts.is_some(), 1),
            ("--optimal-gpus", self.optimal_gpus.is_some(), 2),
            ("--optimal-bins", self.optimal_bins.is_some(), 2),
            ("--without-optimal", self.without_optimal, 2),
        ] {
            if given && self.step != step {
                return Err(other_step(flag, step));
            }
        }
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
        if self.without_optimal {
            (study.optimal_gpus, study.optimal_bins) = (None, None);
        }
        Ok((Study::StressV2(study), self.common))
    }
}
