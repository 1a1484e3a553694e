//! The studies' own flags, and the [`Study`] that they describe.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::args::FormatArg;
use super::files;
use crate::study::Study;
use crate::study::paper::Paper;
use crate::study::saturation::{Measured, Saturation, points};
use crate::study::server::Server;
use crate::study::stress_v2::{SlaMode, StressV2};
use crate::study::two_step::{Step, TwoStep};
use crate::{Error, Scenario};

#[derive(Subcommand)]
pub enum StudyCommand {
    /// Stress test v2: schedulers and a fleet under a token and a request SLA.
    #[command(name = "stress-v2")]
    StressV2(StressV2Args),
    /// GPU benchmark: throughput against users, simulated or measured, and what the points support.
    Saturation(SaturationArgs),
    /// Two steps: a grid of fleets and bins, then four methods, the last with the grid's optimum.
    #[command(name = "two-step")]
    TwoStep(TwoStepArgs),
    /// The papers on multi-bin and dynamic batching: closed forms beside simulation.
    Paper(PaperArgs),
}

impl StudyCommand {
    /// The study that the flags describe, and how to run it.
    ///
    /// Errors: those of the files that the flags name.
    pub fn study(self) -> Result<(Study, Common), Error> {
        Ok(match self {
            StudyCommand::StressV2(args) => args.study(),
            StudyCommand::Saturation(args) => args.study()?,
            StudyCommand::TwoStep(args) => args.study(),
            StudyCommand::Paper(args) => args.study(),
        })
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
pub struct SaturationArgs {
    #[command(flatten)]
    common: Common,
    /// Measured levels (CSV or JSON: users, tok_s, and more) instead of running; "-" for standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "users", "requests_per_user", "think", "prompt", "output", "server", "seed",
        "replications", "from_outcomes", "emit_scenarios",
    ])]
    points: Option<PathBuf>,
    /// Levels of load [default: 10,50,100].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    users: Option<Vec<u32>>,
    /// Requests of each user, one after another [default: 5].
    #[arg(long, value_name = "R")]
    requests_per_user: Option<u32>,
    /// Shortest and longest pause between an answer and the next request, s [default: 0.5,2].
    #[arg(long, value_name = "MIN,MAX", value_delimiter = ',', num_args = 1..=2)]
    think: Option<Vec<f64>>,
    /// Prompt tokens of each request [default: 12].
    #[arg(long, value_name = "N")]
    prompt: Option<u32>,
    /// Output tokens of each request [default: 128].
    #[arg(long, value_name = "N")]
    output: Option<u32>,
    /// Scenario whose predictor, scheduler, fleet, latency model, memory and SLA are the server;
    /// default: an A40 whose every step reads the weights of an 8-billion-parameter model once.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Peak of the accelerator, FLOP/s [default: 149.7e12, an A40].
    #[arg(long, value_name = "FLOPS")]
    peak_flops: Option<f64>,
    /// Memory bandwidth of the accelerator, bytes/s [default: 696e9, an A40].
    #[arg(long, value_name = "B_PER_S")]
    bandwidth: Option<f64>,
    /// Parameters of the model [default: 8e9].
    #[arg(long, value_name = "N")]
    params: Option<f64>,
    /// Bytes of one parameter [default: 2].
    #[arg(long, value_name = "B")]
    bytes_per_param: Option<f64>,
    /// Largest batch of the server [default: 256].
    #[arg(long, value_name = "B", conflicts_with = "server")]
    max_batch: Option<u32>,
}

impl SaturationArgs {
    fn study(self) -> Result<(Study, Common), Error> {
        let mut study = Saturation::default();
        set(&mut study.users, self.users);
        set(&mut study.requests_per_user, self.requests_per_user);
        if let Some([min, max]) = self.think.as_deref() {
            (study.think_min_s, study.think_max_s) = (*min, *max);
        } else if let Some([one]) = self.think.as_deref() {
            (study.think_min_s, study.think_max_s) = (*one, *one);
        }
        set(&mut study.prompt_tokens, self.prompt);
        set(&mut study.output_tokens, self.output);
        if self.peak_flops.is_some() || self.bandwidth.is_some() {
            study.hardware.name = "the accelerator".to_owned();
            study.hardware.source = "given".to_owned();
        }
        set(&mut study.hardware.peak_flops, self.peak_flops);
        set(&mut study.hardware.bandwidth_bytes_per_s, self.bandwidth);
        set(&mut study.model.params, self.params);
        set(&mut study.model.bytes_per_param, self.bytes_per_param);
        if let Some(path) = &self.server {
            let text = files::read_text(path)?;
            let scenario = Scenario::from_json(&text, &path.display().to_string())?;
            study.server = Server::from(scenario);
        } else {
            study.server = Saturation::server(&study.hardware, study.model);
        }
        set(&mut study.server.scheduler.max_batch, self.max_batch);
        if let Some(path) = &self.points {
            let source = match path.to_str() {
                Some("-") => "standard input".to_owned(),
                _ => path.display().to_string(),
            };
            let levels = points::read(files::read_text(path)?.as_bytes(), &source)?;
            study.measured = Some(Measured { source, levels });
        }
        Ok((Study::Saturation(study), self.common))
    }
}

#[derive(Args)]
pub struct TwoStepArgs {
    #[command(flatten)]
    common: Common,
    /// 1: the grid; 2: the methods on one GPU, without the optimum, which needs the grid; all: both.
    #[arg(long, default_value = "all")]
    step: StepArg,
    /// Numbers of requests, from the head of the trace [default: 1000,10000,100000,1000000].
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    request_counts: Option<Vec<u32>>,
    /// Fleets of the grid [default: 1,2,4,8,16,32,64,100].
    #[arg(long, value_name = "G,G,...", value_delimiter = ',')]
    gpu_counts: Option<Vec<u32>>,
    /// Numbers of bins of the grid [default: 1,2,4,8,16,32].
    #[arg(long, value_name = "K,K,...", value_delimiter = ',')]
    bin_counts: Option<Vec<u32>>,
    /// Arrival times are divided by this [default: 200].
    #[arg(long, value_name = "X")]
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
    fn study(self) -> (Study, Common) {
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

#[derive(Args)]
pub struct PaperArgs {
    #[command(flatten)]
    common: Common,
    /// Requests of each run [default: 400000].
    #[arg(long, value_name = "N")]
    requests: Option<u32>,
    /// Batch sizes [default: 128,8].
    #[arg(long, value_name = "B,B,...", value_delimiter = ',')]
    batch_sizes: Option<Vec<u32>>,
    /// Numbers of bins without prediction errors [default: 1,2,3,4,5,8,16,32].
    #[arg(long, value_name = "K,K,...", value_delimiter = ',')]
    bin_counts: Option<Vec<u32>>,
    /// Numbers of bins with prediction errors [default: 2,4,8].
    #[arg(long, value_name = "K,K,...", value_delimiter = ',')]
    error_bin_counts: Option<Vec<u32>>,
    /// Chances of one bin too low, and the same of one too high [default: 0,0.01,0.05,0.1,0.25,0.5].
    #[arg(long, value_name = "P,P,...", value_delimiter = ',')]
    bin_errors: Option<Vec<f64>>,
}

impl PaperArgs {
    fn study(self) -> (Study, Common) {
        let mut study = Paper::default();
        set(&mut study.requests, self.requests);
        set(&mut study.batch_sizes, self.batch_sizes);
        set(&mut study.bin_counts, self.bin_counts);
        set(&mut study.error_bin_counts, self.error_bin_counts);
        set(&mut study.bin_errors, self.bin_errors);
        (Study::Paper(study), self.common)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
