//! The studies' own flags, and the [`Study`] that they describe.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::args::FormatArg;
use crate::study::Study;
use crate::study::stress_v2::{SlaMode, StressV2};
use crate::study::three_step::{Steps, ThreeStep};

#[derive(Subcommand)]
pub enum StudyCommand {
    /// Stress test v2: schedulers and a fleet under a token and a request SLA.
    #[command(name = "stress-v2")]
    StressV2(StressV2Args),
    /// Three steps: more requests, more GPUs, more bins, under one second end to end.
    #[command(name = "three-step")]
    ThreeStep(ThreeStepArgs),
}

impl StudyCommand {
    /// The study that the flags describe, and how to run it.
    pub fn study(self) -> (Study, Common) {
        match self {
            StudyCommand::StressV2(args) => args.study(),
            StudyCommand::ThreeStep(args) => args.study(),
        }
    }
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
        if self.without_optimal {
            (study.optimal_gpus, study.optimal_bins) = (None, None);
        }
        (Study::StressV2(study), self.common)
    }
}

#[derive(Args)]
pub struct ThreeStepArgs {
    #[command(flatten)]
    common: Common,
    /// Requests of the largest runs; step 1 begins at 1,000 and goes up in tens [default: 1000000].
    #[arg(long, value_name = "N")]
    max_requests: Option<u32>,
    /// The largest fleet of step 2 [default: 100].
    #[arg(long, value_name = "G")]
    max_gpus: Option<u32>,
    /// Replay arrivals at the trace's own pace.
    #[arg(long, conflicts_with = "rps_scaling")]
    use_real_timestamps: bool,
    /// Arrival times are divided by this [default: 200].
    #[arg(long, value_name = "X")]
    rps_scaling: Option<f64>,
    /// The SLA, arrival to end, and the controllers' target, s [default: 1].
    #[arg(long, value_name = "S")]
    d_sla: Option<f64>,
    /// More requests only.
    #[arg(long, group = "only")]
    step1_only: bool,
    /// More GPUs only.
    #[arg(long, group = "only")]
    step2_only: bool,
    /// More bins only.
    #[arg(long, group = "only")]
    step3_only: bool,
    /// The fleet of step 3; default: the one of step 2 with the highest published capacity, 32
    /// without step 2.
    #[arg(long, value_name = "G")]
    best_gpu_count: Option<u32>,
}

impl ThreeStepArgs {
    fn study(self) -> (Study, Common) {
        let mut study = ThreeStep {
            use_real_timestamps: self.use_real_timestamps,
            steps: match (self.step1_only, self.step2_only, self.step3_only) {
                (true, _, _) => Steps::Step1,
                (_, true, _) => Steps::Step2,
                (_, _, true) => Steps::Step3,
                _ => Steps::All,
            },
            best_gpu_count: self.best_gpu_count,
            ..ThreeStep::default()
        };
        set(&mut study.max_requests, self.max_requests);
        set(&mut study.max_gpus, self.max_gpus);
        set(&mut study.rps_scaling, self.rps_scaling);
        set(&mut study.d_sla_s, self.d_sla);
        (Study::ThreeStep(study), self.common)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
