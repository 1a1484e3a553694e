//! `batchscope study three-step`.

use clap::Args;

use super::{Common, set};
use crate::cli::args::{count, number};
use crate::published::Study;
use crate::published::three_step::{Steps, ThreeStep};
use crate::scenario::MAX_GPUS;

#[derive(Args)]
pub struct ThreeStepArgs {
    #[command(flatten)]
    common: Common,
    /// Requests of the largest runs; step 1 begins at 1,000 and goes up in tens [default: 1000000].
    #[arg(long, value_name = "N", value_parser = count(1, u32::MAX))]
    max_requests: Option<u32>,
    /// The largest fleet of step 2 [default: 100].
    #[arg(long, value_name = "G", value_parser = count(1, MAX_GPUS))]
    max_gpus: Option<u32>,
    /// Replay arrivals at the trace's own pace.
    #[arg(long, conflicts_with = "rps_scaling")]
    use_real_timestamps: bool,
    /// Arrival times are divided by this [default: 200].
    #[arg(long, value_name = "X", value_parser = number(1e-6, 1e9))]
    rps_scaling: Option<f64>,
    /// The SLA, arrival to end, and the controllers' target, s [default: 1].
    #[arg(long, value_name = "S", value_parser = number(1e-6, 1e4))]
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
    #[arg(long, value_name = "G", value_parser = count(1, MAX_GPUS))]
    best_gpu_count: Option<u32>,
}

impl ThreeStepArgs {
    pub fn study(self) -> (Study, Common) {
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
