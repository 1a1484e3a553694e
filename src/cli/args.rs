//! What can be said on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::files;
use crate::Error;
use crate::experiment::capacity::Which;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::hardware::Card;
use crate::latency::model::Model;
use crate::latency::typical::Basis;
use crate::published::execution::MAX_REPLICATIONS;
use crate::scenario::{ClosedLoop, MAX_BATCH, Preset, Scenario, Source, describe};
use crate::sched::continuous::kv::Reuse;
use crate::sched::continuous::router::Router;
use crate::sched::continuous::{Order, Rule};
use crate::sched::{Boundaries, Policy};
use crate::trace::synth::MAX_TOKENS;
use crate::trace::{Failed, Format, Reading, TimeUnit, predict};

#[derive(Subcommand)]
pub enum LatencyCommand {
    /// From kernel profiles: three CSV files.
    Profile {
        /// prefill_chunk, kv_prefill, n_decode, kv_decode, time_us of one layer.
        #[arg(long, value_name = "CSV")]
        attention: PathBuf,
        /// layer, tokens, time_us.
        #[arg(long, value_name = "CSV")]
        dense: PathBuf,
        /// layer, sequences, time_us.
        #[arg(long, value_name = "CSV")]
        per_sequence: PathBuf,
        /// Decoding sequences with unequal contexts: n, pc, t_mean_us, t_max_us, t_skew_us.
        #[arg(long, value_name = "CSV")]
        skew: Option<PathBuf>,
        /// Batch sizes that CUDA graphs are captured for: a step that only decodes is padded to the next.
        #[arg(long, value_name = "N,N", value_delimiter = ',')]
        captured: Vec<u32>,
        /// Layers of the model.
        #[arg(long, value_name = "N", value_parser = count(1, 1024))]
        layers: u32,
    },
    /// From measured steps: a CSV with batch, context (of all sequences), prefill and time_ms.
    Table { csv: PathBuf },
    /// Fit the linear step to measured steps and to results of serving benchmarks.
    ///
    /// A file is CSV (as for `table`), or the JSON that vllm bench serve, SGLang's bench_serving, guidellm, aiperf, llmperf,
    /// inference-perf or llm-d-benchmark leave, plain or gzip. Several files are fitted together: a sweep over the load,
    /// with two lengths of prompts or outputs at least. Of a file with every request's gaps and time of arrival one is
    /// enough.
    Fit {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Write the fitted step, for --step-latency, to this file.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Write every point with its residual as CSV.
        #[arg(long, value_name = "FILE")]
        residuals: Option<PathBuf>,
        /// Print fit and points as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Parser)]
pub struct CompareArgs {
    /// The scenario that is compared with; "-" is standard input.
    pub a: PathBuf,
    /// The scenario whose figures are said to differ.
    pub b: PathBuf,
    /// Seeds that both run with, one after another from --seed on.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count(1, MAX_REPLICATIONS))]
    pub replications: u32,
    /// First seed; default: that of A.
    #[arg(long, value_name = "N")]
    pub seed: Option<u32>,
    /// Replay this file in both, instead of what they say.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Threads; default: one per core.
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// Print every figure as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write every figure as CSV.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(Parser)]
#[command(group = clap::ArgGroup::new("measured").args(["run", "results"]))]
pub struct ValidateArgs {
    /// Folder with the log of a vLLM run and the kernel profiles of its GPU: run_requests.jsonl,
    /// run_meta.json, profile_attention.csv, profile_dense.csv and profile_per_sequence.csv. Optional:
    /// run_timeseries.csv, prompt_blocks.jsonl (block hashes of the prompts) and profile_skew.csv.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Result file of a load test, plain or gzip: vllm bench serve, SGLang's bench_serving, guidellm, aiperf, llmperf,
    /// inference-perf or llm-d. Its load is replayed on the server of the flags below, and what is predicted printed beside
    /// what was measured. May be repeated.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["splitwise", "layers"])]
    pub results: Vec<PathBuf>,
    /// Measurements of Splitwise (perf_model.csv): how far a fit to three quarters of them is off on the rest.
    #[arg(long, value_name = "CSV")]
    pub splitwise: Option<PathBuf>,
    /// Layers of the run's model.
    #[arg(long, value_name = "N", requires = "run", default_value_t = 32, value_parser = count(1, 1024))]
    pub layers: u32,
    /// With --run: its model and GPU, for the same with a data sheet alone [default: llama-3.1-8b on rtx-4090]. With
    /// --results: the server's model on --hardware.
    #[arg(long, value_name = "MODEL", requires = "measured")]
    pub model: Option<String>,
    #[arg(long, value_name = "NAME", requires = "measured")]
    pub hardware: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Print the comparison as JSON.
    #[arg(long, requires = "results")]
    pub json: bool,
    /// Write the report here instead of printing it; with --run, figure and table beside it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The server on which a result's load is replayed, as `run` takes it.
#[derive(clap::Args)]
pub struct ServerArgs {
    /// Scenario as JSON whose server it is ("-" for standard input); flags override it.
    #[arg(long, value_name = "FILE", requires = "results")]
    pub scenario: Option<PathBuf>,
    /// How all weights of --model are stored [default: as published].
    #[arg(long, value_name = "P", requires_all = ["results", "model"], value_parser = choice::<Precision>())]
    pub precision: Option<Precision>,
    /// GPUs that share --model as one replica [default: 1].
    #[arg(long, value_name = "N", requires_all = ["results", "model"], value_parser = count(1, 1024))]
    pub tensor_parallel: Option<u32>,
    /// Each GPU of a replica has experts of its own.
    #[arg(long, requires_all = ["results", "model"])]
    pub expert_parallel: bool,
    /// GPUs of all replicas [default: one replica].
    #[arg(long, value_name = "G", requires = "results", value_parser = setting::<u32>(|s| s.fleet.gpus = 0))]
    pub gpus: Option<u32>,
    /// Most requests at work on a replica.
    #[arg(long, value_name = "N", requires = "results", value_parser = count(1, MAX_BATCH))]
    pub max_sequences: Option<u32>,
    /// Most tokens of a step.
    #[arg(long, value_name = "N", requires = "results", value_parser = count(1, 1 << 24))]
    pub max_batched_tokens: Option<u32>,
    /// The latency of a step, as `batchscope latency` writes it.
    #[arg(long, value_name = "FILE", requires = "results", conflicts_with_all = ["latency", "model"])]
    pub step_latency: Option<PathBuf>,
    /// With --model `typical` or `datasheet`, or the file of a calibrated GPU ("-" for standard input).
    #[arg(long, value_name = "WHAT", requires = "results", value_parser = latency_of)]
    pub latency: Option<LatencyOf>,
    /// Users, each with one request at a time, where the file does not say how requests were sent.
    #[arg(long, value_name = "N", requires = "results", conflicts_with = "rate", value_parser = count(1, 1_000_000))]
    pub users: Option<u32>,
    /// Requests/s, at Poisson's times, where the file does not say it.
    #[arg(long, value_name = "PER_S", requires = "results", value_parser = number(1e-9, 1e9))]
    pub rate: Option<f64>,
    /// Seed of everything random: Poisson's arrivals, routers, drafts.
    #[arg(long, value_name = "N", requires = "results", value_parser = count(0, u32::MAX))]
    pub seed: Option<u32>,
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(Subcommand)]
pub enum TraceCommand {
    /// Statistics of a trace: rate, bursts, lengths, failures.
    Stats(StatsArgs),
    /// Make a trace from a seed and write it as CSV.
    Generate(GenerateArgs),
}

/// How to read a trace file.
#[derive(Default, clap::Args)]
pub struct ReadingArgs {
    /// Format of the trace file; default: recognised from its content.
    #[arg(long, value_name = "F", value_parser = choice::<Format>())]
    pub format: Option<Format>,
    /// Unit of its arrival times; default: the format's, or that of the column's name.
    #[arg(long, value_name = "UNIT", value_parser = choice::<TimeUnit>())]
    pub time_unit: Option<TimeUnit>,
    /// Tokens that each of a prompt's hash_ids stands for; default: the format's, or what the rows say.
    #[arg(long, value_name = "N", value_parser = setting::<u32>(|s| s.trace = NO_TOKENS))]
    pub hash_tokens: Option<u32>,
}

impl ReadingArgs {
    pub fn reading(&self) -> Reading {
        Reading {
            format: self.format,
            time_unit: self.time_unit,
            hash_tokens: self.hash_tokens,
            most_rows: None,
        }
    }

    /// The first flag that is given.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--format", self.format.is_some()),
            ("--time-unit", self.time_unit.is_some()),
            ("--hash-tokens", self.hash_tokens.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}

/// A scenario of file, preset and flags.
#[derive(Default, clap::Args)]
pub struct ScenarioArgs {
    /// Scenario as JSON ("-" for standard input); flags override it.
    pub scenario: Option<PathBuf>,
    /// Trace file, plain or gzip ("-" for standard input); default: the scenario's own source.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Only the first N rows. Of a pipe no more are read.
    #[arg(long, value_name = "N", value_parser = setting::<u32>(|s| s.workload.limit = Some(0)))]
    pub limit: Option<u32>,
    /// Divide arrival times by this.
    #[arg(long, value_name = "S", conflicts_with = "rate", value_parser = setting::<f64>(|s| s.workload.time_scale = f64::NAN))]
    pub time_scale: Option<f64>,
    /// Scale arrival times to this mean rate, requests/s.
    #[arg(long, value_name = "PER_S", value_parser = setting::<f64>(|s| s.workload.rate_per_s = Some(f64::NAN)))]
    pub rate: Option<f64>,
    /// Closed loop: N users send the requests, each one after another. Of the trace only the lengths
    /// count; time scale, rate and order of ties go back to their defaults. `run` takes several numbers, separated by
    /// commas: levels of load.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', conflicts_with_all = ["rate", "time_scale"], value_parser = setting::<u32>(|s| s.workload.closed_loop = Some(NOBODY)))]
    pub users: Vec<u32>,
    /// Requests of each user; default: 1, or the scenario's.
    #[arg(long, value_name = "R", value_parser = setting::<u32>(|s| s.workload.closed_loop = Some(NO_REQUESTS)))]
    pub requests_per_user: Option<u32>,
    /// Think time after each answer, s, uniform between the two; default: none, or the scenario's.
    #[arg(long, value_name = "MIN,MAX", num_args = 1, allow_hyphen_values = true, value_parser = think)]
    pub think: Option<[f64; 2]>,
    /// Prompt tokens of every request of the users, instead of the trace's.
    #[arg(long, value_name = "TOKENS", requires_all = ["users", "output"], conflicts_with = "trace", value_parser = count(1, MAX_TOKENS))]
    pub prompt: Option<u32>,
    /// Output tokens of every request of the users, instead of the trace's.
    #[arg(long, value_name = "TOKENS", requires = "prompt", value_parser = count(1, MAX_TOKENS))]
    pub output: Option<u32>,
    /// Where the latency comes from: with --model and --hardware `typical` (what engines reach, the default) or `datasheet`
    /// (the upper bound); or the file of a calibrated GPU, as `calibrate` and the page write it, instead of the scenario's
    /// ("-" for standard input); memory stays the scenario's.
    #[arg(long, value_name = "WHAT", value_parser = latency_of)]
    pub latency: Option<LatencyOf>,
    /// The steps of --latency in the form of the studies' formula, fitted to the trace's lengths, instead of added up; for
    /// closed batches.
    #[arg(long)]
    pub closed_form: bool,
    /// Continuous batching instead of closed batches, with this rule for a step.
    #[arg(long, value_name = "RULE", value_parser = choice::<Rule>())]
    pub rule: Option<Rule>,
    /// Who of those that wait comes first, with continuous batching.
    #[arg(long, value_name = "ORDER", value_parser = choice::<Order>())]
    pub order: Option<Order>,
    /// How requests are spread over replicas, with continuous batching.
    #[arg(long, value_name = "ROUTER", value_parser = choice::<Router>())]
    pub router: Option<Router>,
    /// Only requests of one bin share a replica at a time, with continuous batching.
    #[arg(long)]
    pub share_bins: bool,
    /// Most requests at work on a replica, with continuous batching.
    #[arg(long, value_name = "N", value_parser = count(1, MAX_BATCH))]
    pub max_sequences: Option<u32>,
    /// Most tokens of a step, with continuous batching.
    #[arg(long, value_name = "N", value_parser = count(1, 1 << 24))]
    pub max_batched_tokens: Option<u32>,
    /// Blocks of a replica's KV cache, with continuous batching.
    #[arg(long, value_name = "N", value_parser = count(1, 1 << 30))]
    pub kv_blocks: Option<u32>,
    /// What a request can find in the prefix cache, with continuous batching.
    #[arg(long, value_name = "WHAT", value_parser = choice::<Reuse>())]
    pub reuse: Option<Reuse>,
    /// The latency of a step, as `batchscope latency` writes it: with --scheduler of closed batches, else of continuous
    /// batching.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["latency", "model"])]
    pub step_latency: Option<PathBuf>,
    /// This model on --hardware, by its name in the catalogue (`batchscope models`) or by its config.json of Hugging Face:
    /// latency, memory and peaks; with --scheduler in closed batches, else with continuous batching.
    #[arg(long, value_name = "MODEL", requires = "hardware")]
    pub model: Option<String>,
    /// The GPU of --model: a name, or a JSON file that describes one (docs/MODEL.md, "Hardware").
    #[arg(long, value_name = "NAME", requires = "model")]
    pub hardware: Option<String>,
    /// How all weights of --model are stored [default: as published].
    #[arg(long, value_name = "P", requires = "model", value_parser = choice::<Precision>())]
    pub precision: Option<Precision>,
    /// GPUs that share --model as one replica [default: 1].
    #[arg(long, value_name = "N", requires = "model", value_parser = count(1, 1024))]
    pub tensor_parallel: Option<u32>,
    /// Each GPU of a replica has experts of its own, instead of a part of every expert; for models with experts.
    #[arg(long, requires = "model")]
    pub expert_parallel: bool,
    /// Failed requests (0 output tokens): leave out, or serve as the published studies did.
    #[arg(long, value_name = "WHAT", value_parser = choice::<Failed>())]
    pub failed: Option<Failed>,
    /// The settings of a published study, instead of the scenario file's. The file's trace, window, limit,
    /// GPUs, scheduler, number of bins and TTFT SLA stay; other flags override it.
    #[arg(long, value_name = "STUDY")]
    pub preset: Option<PresetArg>,
    /// Closed batches, formed by this policy.
    #[arg(long, value_name = "POLICY", value_parser = choice::<Policy>())]
    pub scheduler: Option<Policy>,
    /// Number of bins, K.
    #[arg(long, value_name = "K", value_parser = setting::<u32>(|s| s.bins.count = 0))]
    pub bins: Option<u32>,
    /// Where the bin boundaries come from.
    #[arg(long, value_name = "RULE", value_parser = choice::<Boundaries>())]
    pub boundaries: Option<Boundaries>,
    /// GPUs of the fleet.
    #[arg(long, value_name = "G", value_parser = setting::<u32>(|s| s.fleet.gpus = 0))]
    pub gpus: Option<u32>,
    /// Largest batch of the dynamic schedulers.
    #[arg(long, value_name = "B", value_parser = setting::<u32>(|s| s.closed_mut().max_batch = 0))]
    pub max_batch: Option<u32>,
    /// Batch size of static-fifo, and the size that multi-bin waits for.
    #[arg(long, value_name = "B", value_parser = setting::<u32>(|s| s.closed_mut().static_batch = 0))]
    pub batch: Option<u32>,
    /// Promised time per output token, ms.
    #[arg(long, value_name = "MS", value_parser = setting::<f64>(|s| s.sla.token_ms = f64::NAN))]
    pub token_sla: Option<f64>,
    /// Promised time from arrival to the end, s.
    #[arg(long, value_name = "S", value_parser = setting::<f64>(|s| s.sla.request_s = f64::NAN))]
    pub request_sla: Option<f64>,
    /// How output lengths are predicted, for the schedulers and routers that look at predictions.
    #[arg(long, value_name = "P", value_parser = choice::<predict::Kind>())]
    pub predictor: Option<predict::Kind>,
    /// Standard deviation of the predictor's logarithmic error.
    #[arg(long, value_name = "SD", value_parser = setting::<f64>(|s| s.predictor.sigma = f64::NAN))]
    pub sigma: Option<f64>,
    /// Chance that the noisy predictor picks the next lower bin, and the same for the next higher.
    #[arg(long, value_name = "P_E", value_parser = setting::<f64>(|s| s.predictor.bin_error = f64::NAN))]
    pub bin_error: Option<f64>,
    /// Seed of everything random: generated requests, predictions, think times, routers, drafts.
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    pub seed: Option<u32>,
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(Clone, Default, Parser)]
pub struct SetArgs {
    /// Set any setting of the scenario, as JSON or a bare word; an object sets several. `scenario settings` lists them. May
    /// be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub assignments: Vec<String>,
}

#[derive(Subcommand)]
pub enum ScenarioCommand {
    /// Print the JSON schema of a scenario.
    Schema,
    /// Say what a setting means, its range, its default and when it has an effect.
    Explain {
        /// As in `engine.continuous.max_sequences`.
        path: String,
    },
    /// Print every setting, as docs/SETTINGS.md has them.
    Settings,
}

#[derive(Parser)]
pub struct RunArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Print every figure as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print a SHA-256 of every result column as JSON; equal on every machine and in the browser.
    #[arg(long, conflicts_with = "json")]
    pub digest: bool,
    /// Print the complete resolved scenario and stop.
    #[arg(long, conflicts_with_all = ["json", "digest", "requests_csv", "batches_csv", "chrome_trace"])]
    pub print_scenario: bool,
    /// Write a row per request.
    #[arg(long, value_name = "FILE")]
    pub requests_csv: Option<PathBuf>,
    /// Write a row per batch.
    #[arg(long, value_name = "FILE")]
    pub batches_csv: Option<PathBuf>,
    /// Write the steps of continuous batching for a trace viewer (Perfetto, chrome://tracing).
    #[arg(long, value_name = "FILE")]
    pub chrome_trace: Option<PathBuf>,
    /// Serve the users on the calibrated GPU as well, with a real decoder of random weights.
    #[cfg(feature = "gpu")]
    #[arg(long, requires = "users")]
    pub measure: bool,
    /// Which adapter, as `batchscope adapters` numbers them; default: the one of the calibration.
    #[cfg(feature = "gpu")]
    #[arg(long, value_name = "N", requires = "measure", value_parser = adapter)]
    pub adapter: Option<usize>,
    /// Peak of the GPU by its data sheet, FLOP/s, for MFU and ceilings; default: that of a known data sheet of the
    /// calibrated GPU.
    #[arg(long, value_name = "FLOPS", requires = "users", value_parser = number(1e6, 1e24))]
    pub peak_flops: Option<f64>,
    /// Folder for tables, reports and figures of the levels of load, those of the study saturation among them.
    #[arg(long, value_name = "DIR", requires = "users")]
    pub out: Option<PathBuf>,
}

#[derive(Parser)]
pub struct StatsArgs {
    /// Trace file, plain or gzip ("-" for standard input).
    pub file: PathBuf,
    #[command(flatten)]
    pub reading: ReadingArgs,
    #[arg(long)]
    pub json: bool,
}

#[derive(Parser)]
pub struct GenerateArgs {
    /// Scenario whose trace is made; default: the generated one that `run` replays.
    pub scenario: Option<PathBuf>,
    #[arg(long, value_name = "N", value_parser = setting::<u32>(no_requests))]
    pub requests: Option<u32>,
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    pub seed: Option<u32>,
    /// Where the CSV goes; default: standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

#[derive(Parser)]
pub struct CapacityArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Share of the requests that must meet the SLA.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    pub attainment: f64,
    /// Which SLA: time per output token, latency, or all that are set.
    #[arg(long, value_name = "SLA", default_value = "joint", value_parser = choice::<Which>())]
    pub of: Which,
    /// The fewest GPUs for --rate, instead of the highest rate for --gpus.
    #[arg(long, requires = "rate")]
    pub fewest_gpus: bool,
    /// Repeat the search with R seeds (or R blocks of a trace file) for a 95 % interval; default: 5, fewer for a
    /// file of less than 10 requests.
    #[arg(long, value_name = "R", value_parser = count(1, MAX_REPLICATIONS))]
    pub replications: Option<u32>,
    /// Threads; default: one per core.
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Parser)]
pub struct ReproduceArgs {
    /// BurstGPT_1.csv, or a beginning of it of at least 400 rows ("-" for standard input).
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// Format of the trace file; default: recognised from its content.
    #[arg(long, value_name = "F", value_parser = choice::<Format>())]
    pub format: Option<Format>,
    /// Compare with this table of published values instead of the built-in one (docs/MODEL.md,
    /// "Reproduction", lists its columns).
    #[arg(long, value_name = "FILE")]
    pub published: Option<PathBuf>,
    /// Compare with the rows of result files as they were published: one run a row, a column for
    /// every figure, the settings as words in column "run" (docs/MODEL.md, "Reproduction").
    #[arg(long, value_name = "FILE", conflicts_with = "published")]
    pub rows: Option<PathBuf>,
    /// Compare although the file is not the published one.
    #[arg(long, conflicts_with = "published")]
    pub anyway: bool,
    /// Threads; default: one per core.
    #[arg(short, long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// Print every comparison as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write every comparison as CSV.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Parser)]
pub struct SweepArgs {
    /// Threads; default: one per core.
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    #[command(flatten)]
    pub set: SetArgs,
}

#[derive(Parser)]
pub struct FitArgs {
    /// CSV with batch_size, max_seq_len and mean_latency_sec.
    pub grid: PathBuf,
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "gpu")]
#[derive(Parser)]
pub struct AdaptersArgs {
    /// Only this one, by its number.
    #[arg(long, value_name = "N", value_parser = adapter)]
    pub adapter: Option<usize>,
    /// Run every kernel on it and compare with the same computed in double precision.
    #[arg(long)]
    pub check: bool,
    /// Check more sizes, and the variants that the adapter would not use too.
    #[arg(long, requires = "check")]
    pub full: bool,
    /// Seed of the check's random numbers.
    #[arg(long, value_name = "N", requires = "check", default_value_t = 42, value_parser = count(0, u32::MAX))]
    pub seed: u32,
    #[arg(long)]
    pub json: bool,
}

#[cfg(feature = "gpu")]
#[derive(Parser)]
pub struct CalibrateArgs {
    /// The model whose shapes are measured: demo (small, for software adapters), qwen3-0.6b,
    /// llama-3.2-1b, qwen3-1.7b, qwen3-4b, qwen3-8b or llama-3.1-8b; weights are random.
    #[arg(long, value_name = "MODEL", default_value = "qwen3-1.7b", value_parser = model)]
    pub model: Architecture,
    /// How the weights are stored.
    #[arg(long, value_name = "P", default_value = "f16", value_parser = choice::<Precision>())]
    pub precision: Precision,
    /// Fewer sizes and shorter repetitions: about 10 s on a GPU.
    #[arg(long)]
    pub quick: bool,
    /// Which adapter, as `batchscope adapters` numbers them; default: the first.
    #[arg(long, value_name = "N", value_parser = adapter)]
    pub adapter: Option<usize>,
    /// Write the calibration as JSON, for `--latency` of other commands and for the page.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the calibration as JSON.
    #[arg(long)]
    pub json: bool,
    /// Put no more than so many GB of layers into the GPU's memory; times of the rest are extrapolated.
    #[arg(long, value_name = "GB", value_parser = number(1e-6, 1e6))]
    pub memory: Option<f64>,
    /// Seed of the random weights.
    #[arg(long, value_name = "N", default_value_t = 42, value_parser = count(0, u32::MAX))]
    pub seed: u32,
}

#[cfg(feature = "gpu")]
fn adapter(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "a number that `batchscope adapters` lists".to_owned())
}

#[derive(Parser)]
pub struct ModelsArgs {
    /// Only this model: a name of the catalogue, or a config.json of Hugging Face.
    #[arg(value_name = "MODEL")]
    pub model: Option<String>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Parser)]
pub struct RooflineArgs {
    /// The model; default: the calibration's.
    #[arg(long, value_name = "MODEL", required_unless_present = "latency", value_parser = model)]
    pub model: Option<Architecture>,
    /// How weights are stored; default: f16, or as in the calibration.
    #[arg(long, value_name = "P", value_parser = choice::<Precision>())]
    pub precision: Option<Precision>,
    /// One data sheet; default: all, or that of the calibrated GPU where it is known.
    #[arg(long, value_name = "NAME", value_parser = card, conflicts_with_all = ["bandwidth", "tflops"])]
    pub hardware: Option<Card>,
    /// A data sheet of one's own: peak memory bandwidth, GB/s.
    #[arg(long, value_name = "GB_S", requires = "tflops", value_parser = number(1e-3, 1e9))]
    pub bandwidth: Option<f64>,
    /// And its peak rate of dense arithmetic, TFLOP/s.
    #[arg(long, value_name = "T", requires = "bandwidth", value_parser = number(1e-3, 1e9))]
    pub tflops: Option<f64>,
    /// Context of each sequence, tokens.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = count(0, MAX_CONTEXT))]
    pub context: u32,
    /// A calibration, to set its steps beside ("-" for standard input).
    #[arg(long, value_name = "CALIBRATION")]
    pub latency: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

/// Longest context of `roofline`, tokens.
pub const MAX_CONTEXT: u32 = 10_000_000;

/// What `--latency` names.
#[derive(Debug, Clone, PartialEq)]
pub enum LatencyOf {
    /// What --model and --hardware make of it.
    Basis(Basis),
    /// A calibration.
    File(PathBuf),
}

fn latency_of(text: &str) -> Result<LatencyOf, String> {
    Ok(match text {
        "typical" => LatencyOf::Basis(Basis::Typical),
        "datasheet" => LatencyOf::Basis(Basis::Datasheet),
        file => LatencyOf::File(PathBuf::from(file)),
    })
}

impl ScenarioArgs {
    /// The calibration that `--latency` names.
    pub fn calibration(&self) -> Option<&Path> {
        match &self.latency {
            Some(LatencyOf::File(path)) => Some(path),
            Some(LatencyOf::Basis(_)) | None => None,
        }
    }

    /// The model and the GPU that are named.
    ///
    /// Errors: those of [`model_of`] and [`card_of`].
    pub fn placed(&self) -> Result<Option<(Model, Card)>, Error> {
        match (&self.model, &self.hardware) {
            (Some(model), Some(card)) => Ok(Some((model_of(model)?, card_of(card)?))),
            _ => Ok(None),
        }
    }

    /// What the steps of `--model` rest on.
    pub fn basis(&self) -> Basis {
        match &self.latency {
            Some(LatencyOf::Basis(basis)) => *basis,
            Some(LatencyOf::File(_)) | None => Basis::default(),
        }
    }
}

/// A model of the catalogue, or one that a config.json describes.
///
/// Errors: a name that is neither, and those of the file.
pub fn model_of(name: &str) -> Result<Model, Error> {
    // The made-up model for demonstrations is in no catalogue.
    let demonstration = || Architecture::preset(name).map(|a| Model::from(&a));
    if let Some(model) = Model::named(name).or_else(demonstration) {
        return Ok(model);
    }
    let path = Path::new(name);
    if path.exists() {
        return Model::from_config(&files::read_text(path)?, name);
    }
    Err(Error::bad_field(
        "--model",
        name,
        "a name that `batchscope models` lists, or the path of a config.json",
    ))
}

/// A data sheet by its name, or one that a file describes.
///
/// Errors: a name that is neither, and those of the file.
pub fn card_of(name: &str) -> Result<Card, Error> {
    if let Some(card) = Card::preset(name) {
        return Ok(card);
    }
    let path = Path::new(name);
    if path.exists() {
        return Card::from_json(&files::read_text(path)?, name);
    }
    Err(Error::bad_field(
        "--hardware",
        name,
        format!("the path of a file, or one of {}", Card::names()),
    ))
}

/// A model by its name.
pub fn model(name: &str) -> Result<Architecture, String> {
    Architecture::preset(name).ok_or_else(|| Architecture::PRESETS.join(", "))
}

/// A data sheet by its name.
pub fn card(name: &str) -> Result<Card, String> {
    Card::preset(name).ok_or_else(Card::names)
}

/// Most threads of any command.
const MAX_JOBS: usize = 1024;

const NO_TOKENS: Source = Source::File {
    name: String::new(),
    format: None,
    time_unit: None,
    hash_tokens: Some(0),
};
const NOBODY: ClosedLoop = ClosedLoop {
    users: 0,
    ..NO_REQUESTS
};
const NO_REQUESTS: ClosedLoop = ClosedLoop {
    users: 1,
    requests_per_user: 0,
    think_min_s: 0.0,
    think_max_s: 0.0,
};

/// Reads the number of a scenario's field. The scenario checks its range; where the text is no
/// such number at all, the range is what the scenario says when `spoil` has spoilt the field.
fn setting<T: FromStr>(
    spoil: fn(&mut Scenario),
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse().map_err(|_| {
            let mut scenario = Scenario::default();
            spoil(&mut scenario);
            match scenario.validate() {
                Err(Error::BadField { allowed, .. }) => allowed,
                Err(other) => other.to_string(),
                Ok(()) => "a number".to_owned(),
            }
        })
    }
}

fn no_requests(scenario: &mut Scenario) {
    if let Source::Synthetic(synthetic) = &mut scenario.trace {
        synthetic.requests = 0;
    }
}

/// Reads a whole number whose range, named where it is none, somebody else checks.
pub fn count(
    least: u32,
    most: u32,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse()
            .map_err(|_| format!("a whole number from {least} to {most}"))
    }
}

/// Reads a number whose range, named where it is none, somebody else checks.
pub fn number(
    least: f64,
    most: f64,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse().map_err(|_| {
            if most < 1e15 {
                format!("a number from {least} to {most}")
            } else {
                format!("a number from {least:e} to {most:e}")
            }
        })
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .map_err(|_| "a share above 0 and up to 1".to_owned())
}

/// A number of threads.
pub fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs) if (1..=MAX_JOBS).contains(&jobs) => Ok(jobs),
        _ => Err(format!("a whole number from 1 to {MAX_JOBS}")),
    }
}

/// "MIN,MAX", or one number for both. Ranges are the scenario's to check.
pub fn think(text: &str) -> Result<[f64; 2], String> {
    let (least, most) = text.split_once(',').unwrap_or((text, text));
    match (least.trim().parse(), most.trim().parse()) {
        (Ok(least), Ok(most)) => Ok([least, most]),
        _ => Err("MIN,MAX in seconds, as in 0.5,2".to_owned()),
    }
}

/// A choice by its name in JSON; names and sentences are those of its type.
pub fn choice<T>() -> impl TypedValueParser<Value = T>
where
    T: JsonSchema + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let words = describe::choices::<T>();
    let words = words
        .into_iter()
        .map(|(word, about)| PossibleValue::new(word).help(about));
    PossibleValuesParser::new(words)
        .try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

#[derive(Clone, Copy)]
pub struct PresetArg(pub Preset);

impl ValueEnum for PresetArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [PresetArg; Preset::ALL.len()] = {
            let mut all = [PresetArg(Preset::StressV2); Preset::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = PresetArg(Preset::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()).help(self.0.describe()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_their_names() {
        for preset in PresetArg::value_variants() {
            let name = preset.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(preset.0.name(), name);
        }
    }

    #[test]
    fn every_choice_has_a_sentence() {
        fn check<T: JsonSchema>(count: usize) {
            let choices = describe::choices::<T>();
            assert_eq!(choices.len(), count, "{choices:?}");
            assert!(
                choices.iter().all(|(_, about)| !about.is_empty()),
                "{choices:?}"
            );
        }
        check::<Format>(6);
        check::<TimeUnit>(4);
        check::<Failed>(2);
        check::<Policy>(4);
        check::<Which>(3);
        check::<Rule>(3);
        check::<Order>(4);
        check::<Router>(Router::ALL.len());
        check::<Reuse>(4);
        check::<Boundaries>(5);
        check::<predict::Kind>(4);
        check::<Precision>(4);
    }
}
