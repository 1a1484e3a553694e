//! A run of a real server, and the same requests simulated.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use crate::latency::StepLatency;
use crate::quantiles::mean_and_quantiles;
use crate::scenario::Engine;
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::{Capacity, Reuse};
use crate::sim::continuous::{Fate, Level};
use crate::trace::{self, Format, PrefixBlocks};
use crate::{Error, Outcome, Scenario, Trace, simulate};

/// What a run's run_meta.json says of the engine; what it does not say is vLLM's default or not known.
#[derive(Debug, Clone, Deserialize)]
pub struct Meta {
    pub vllm_version: Option<String>,
    pub engine_kwargs: Kwargs,
    #[serde(default)]
    pub kv_cache: KvCache,
}

/// Arguments of the engine.
#[derive(Debug, Clone, Deserialize)]
pub struct Kwargs {
    pub max_num_seqs: u32,
    pub max_num_batched_tokens: u32,
    #[serde(default = "one")]
    pub tensor_parallel_size: u32,
    #[serde(default = "one")]
    pub data_parallel_size: u32,
    #[serde(default)]
    pub long_prefill_token_threshold: u32,
    #[serde(default)]
    pub enable_expert_parallel: bool,
    pub async_scheduling: Option<bool>,
    /// Batch sizes that CUDA graphs were captured for; empty where the run does not say.
    #[serde(default)]
    pub cudagraph_capture_sizes: Vec<u32>,
}

/// What the engine said of its cache.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct KvCache {
    pub num_gpu_blocks: Option<u32>,
    pub num_kv_tokens: Option<u32>,
    pub block_size: u32,
    pub gpu_memory_utilization: Option<f64>,
    pub enable_prefix_caching: bool,
}

impl Default for KvCache {
    fn default() -> Self {
        KvCache {
            num_gpu_blocks: None,
            num_kv_tokens: None,
            block_size: 16,
            gpu_memory_utilization: None,
            enable_prefix_caching: true,
        }
    }
}

fn one() -> u32 {
    1
}

impl Meta {
    /// Errors: the line and what is wrong with it.
    pub fn read(text: &str, file: &str) -> Result<Meta, Error> {
        serde_json::from_str(text).map_err(|e| Error::BadRow {
            file: file.to_owned(),
            row: e.line() as u64,
            problem: e.to_string(),
        })
    }

    /// Blocks that the engine reported, of one replica and with the null block; `None` where it did not.
    pub fn blocks(&self) -> Option<u32> {
        let kv = &self.kv_cache;
        let tokens = kv.num_kv_tokens.filter(|_| kv.block_size > 0);
        kv.num_gpu_blocks.or_else(|| Some(tokens? / kv.block_size))
    }

    /// Replicas and GPUs of the run, and the engine's settings with this latency. Without a number of blocks the
    /// cache is what the scenario's `memory` leaves.
    pub fn serve(&self, scenario: &Scenario, latency: StepLatency) -> Scenario {
        let kwargs = &self.engine_kwargs;
        let mut server = Server {
            max_sequences: kwargs.max_num_seqs,
            max_batched_tokens: kwargs.max_num_batched_tokens,
            long_prefill_token_threshold: kwargs.long_prefill_token_threshold,
            async_scheduling: kwargs.async_scheduling.unwrap_or(false),
            tensor_parallel: kwargs.tensor_parallel_size,
            latency,
            memory: *scenario.memory(),
            ..Server::default()
        };
        server.kv.block_tokens = self.kv_cache.block_size;
        server.kv.null_block = true;
        if let Some(blocks) = self.blocks() {
            server.kv.capacity = Capacity::Blocks(blocks);
        }
        if self.kv_cache.enable_prefix_caching {
            server.kv.prefix.reuse = Reuse::Own;
        }
        let mut scenario = scenario.clone();
        let replicas = kwargs.data_parallel_size;
        scenario.fleet.gpus = replicas.saturating_mul(kwargs.tensor_parallel_size);
        scenario.engine = Engine::Continuous(Box::new(server));
        scenario
    }
}

/// The hashes of a prompt's whole blocks.
#[derive(Deserialize)]
struct PromptBlocks {
    request_id: String,
    prompt_tokens: u32,
    block_tokens: u32,
    hash_ids: Vec<u64>,
}

/// A request of a measured run, as vLLM's engine logs it; clocks of the front end and the engine differ.
#[derive(Deserialize)]
struct Logged {
    #[serde(default)]
    request_id: String,
    arrival_time: f64,
    output_toks: u32,
    queued_ts: f64,
    first_token_ts: f64,
    last_token_ts: f64,
}

/// A measured run: its requests as a trace, and their times in order of arrival.
pub struct Measured {
    pub trace: Trace,
    ids: Vec<String>,
    times: Times,
}

/// The run simulated with other numbers of blocks and other step times.
#[derive(Debug, Clone, PartialEq)]
pub struct Perturbed {
    /// More than the run's.
    pub blocks: i32,
    /// Of the run's.
    pub step_times: f64,
    /// The largest error of all figures.
    pub worst: f64,
}

/// By how many blocks and by which factors of the step time a run is perturbed: each with each.
pub const PERTURBED_BLOCKS: [i32; 5] = [-2, -1, 0, 1, 2];
pub const PERTURBED_STEPS: [f64; 3] = [0.996, 1.0, 1.004];

/// The longest run that is read, s: 115 days. The clocks of a log count from 1970 or from the start of a
/// machine; a log that mixes the two spans decades.
const MOST_RUN_S: f64 = 1e7;
/// Most moments of a comparison; a longer run has them further apart.
const MOST_MOMENTS: f64 = 10_000.0;

/// By request, s.
#[derive(Default)]
pub(super) struct Times {
    pub ttft: Vec<f64>,
    pub tpot: Vec<f64>,
    pub e2e: Vec<f64>,
    /// Output of the requests that were done.
    pub tokens: f64,
}

fn no_server() -> Error {
    Error::contradiction(
        "engine",
        "a real server joins requests continuously; use engine.continuous",
    )
}

/// What the requests of a run got that were done.
///
/// Errors: a run of closed batches.
pub(super) fn times(outcome: &Outcome, trace: &Trace) -> Result<Times, Error> {
    let Some(served) = &outcome.served else {
        return Err(no_server());
    };
    let (served, _) = served.as_ref();
    let arrivals = outcome.requests.arrivals(trace);
    let mut found = Times::default();
    for (row, &fate) in served.fate.iter().enumerate() {
        if fate != Fate::Done {
            continue;
        }
        let arrival = arrivals.of(row);
        found.ttft.push(served.first_token_s[row] - arrival);
        found.e2e.push(served.done_s[row] - arrival);
        let output = trace.output[row];
        found.tokens += f64::from(output);
        if output > 1 {
            let decoding = served.done_s[row] - served.first_token_s[row];
            found.tpot.push(decoding / (f64::from(output) - 1.0));
        }
    }
    Ok(found)
}

/// One figure, measured and simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// TTFT, TPOT or E2E.
    pub metric: &'static str,
    /// mean, P50, P90, P95 or P99.
    pub statistic: &'static str,
    pub measured_s: f64,
    pub simulated_s: f64,
}

impl Row {
    /// (simulated - measured)/measured.
    pub fn error(&self) -> f64 {
        self.simulated_s / self.measured_s - 1.0
    }
}

/// The simulated levels at moments of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub at_s: f64,
    pub running: f64,
    pub waiting: f64,
    /// Share of the blocks.
    pub kv: f64,
}

/// A run against its simulation.
pub struct Comparison {
    pub rows: Vec<Row>,
    pub moments: Vec<Moment>,
    pub preemptions: u64,
}

impl Measured {
    /// Reads JSON lines with `arrival_time`, `input_toks`, `output_toks`, `queued_ts`, `first_token_ts` and
    /// `last_token_ts`, all in seconds. The offset between the two clocks is that of the request that was
    /// queued soonest after its arrival.
    ///
    /// Errors: the line and what is wrong with it; times that are more than 1e7 s apart, which two clocks in one
    /// column are.
    pub fn read(text: &str, file: &str) -> Result<Measured, Error> {
        let trace = trace::read(text.as_bytes(), file, Some(Format::Jsonl))?;
        let (mut logged, mut rows) = (Vec::new(), Vec::new());
        for (row, line) in (1u64..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let one: Logged = serde_json::from_str(line).map_err(|e| Error::BadRow {
                file: file.to_owned(),
                row,
                problem: e.to_string(),
            })?;
            let ordered =
                one.queued_ts <= one.first_token_ts && one.first_token_ts <= one.last_token_ts;
            if !ordered {
                return Err(Error::BadRow {
                    file: file.to_owned(),
                    row,
                    problem: "queued_ts, first_token_ts and last_token_ts do not follow each other"
                        .to_owned(),
                });
            }
            logged.push(one);
            rows.push(row);
        }
        one_clock(&logged, &rows, file)?;
        // As the trace is: by arrival, stable.
        logged.sort_by(|a, b| a.arrival_time.total_cmp(&b.arrival_time));
        let offsets = logged.iter().map(|one| one.queued_ts - one.arrival_time);
        let offset = offsets.fold(f64::INFINITY, f64::min);
        let mut times = Times::default();
        for one in &logged {
            let arrival = one.arrival_time + offset;
            times.ttft.push(one.first_token_ts - arrival);
            times.e2e.push(one.last_token_ts - arrival);
            if one.output_toks > 1 {
                let gaps = f64::from(one.output_toks) - 1.0;
                times
                    .tpot
                    .push((one.last_token_ts - one.first_token_ts) / gaps);
            }
        }
        let ids = logged.into_iter().map(|one| one.request_id).collect();
        Ok(Measured { trace, ids, times })
    }

    /// Gives the trace the block hashes of its prompts: JSON lines with `request_id`, `prompt_tokens`,
    /// `block_tokens` and `hash_ids` (of each whole block, chained: two prompts share a hash where they share all
    /// up to its end).
    ///
    /// Errors: the line and what is wrong with it; a request without a line.
    pub fn read_prompts(&mut self, text: &str, file: &str) -> Result<(), Error> {
        let bad = |row: u64, problem: String| Error::BadRow {
            file: file.to_owned(),
            row,
            problem,
        };
        let mut prompts: HashMap<String, (u64, PromptBlocks)> = HashMap::new();
        let mut unit = None;
        for (row, line) in (1u64..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let one: PromptBlocks =
                serde_json::from_str(line).map_err(|e| bad(row, e.to_string()))?;
            let first = *unit.get_or_insert(one.block_tokens);
            if one.block_tokens == 0 || one.block_tokens != first {
                let problem = format!(
                    "block_tokens {} where the first line has {first}",
                    one.block_tokens
                );
                return Err(bad(row, problem));
            }
            let whole = one.prompt_tokens / one.block_tokens;
            if one.hash_ids.len() != whole as usize {
                let problem = format!(
                    "{} hash_ids, and a prompt of {} tokens has {whole} whole blocks",
                    one.hash_ids.len(),
                    one.prompt_tokens
                );
                return Err(bad(row, problem));
            }
            let id = one.request_id.clone();
            if prompts.insert(id.clone(), (row, one)).is_some() {
                return Err(bad(row, format!("request {id} a second time")));
            }
        }
        let mut known: HashMap<u64, u32> = HashMap::new();
        let mut prefix = PrefixBlocks {
            tokens_per_block: unit.unwrap_or(0),
            offsets: vec![0],
            blocks: Vec::new(),
        };
        for (id, &tokens) in self.ids.iter().zip(&self.trace.prompt) {
            let Some((row, prompt)) = prompts.get(id) else {
                return Err(Error::contradiction(
                    file,
                    format!("there is no line for request {id:?} of the run"),
                ));
            };
            if prompt.prompt_tokens != tokens {
                let problem = format!(
                    "request {id} has {} prompt tokens here and {tokens} in the run",
                    prompt.prompt_tokens
                );
                return Err(bad(*row, problem));
            }
            for hash in &prompt.hash_ids {
                let next = known.len() as u32;
                prefix.blocks.push(*known.entry(*hash).or_insert(next));
            }
            prefix.offsets.push(prefix.blocks.len() as u32);
        }
        self.trace.prefix = Some(prefix);
        Ok(())
    }

    /// Simulates the run 15 times: with 0 to 2 blocks more or less, and with step times as they are, 0.4 %
    /// shorter or longer. A scenario whose capacity is no number of blocks keeps it, and has 3 runs.
    ///
    /// Errors: as [`Measured::against`].
    pub fn perturbed(&self, scenario: &Scenario) -> Result<Vec<Perturbed>, Error> {
        let mut all = Vec::new();
        for blocks in PERTURBED_BLOCKS {
            for step_times in PERTURBED_STEPS {
                let mut scenario = scenario.clone();
                if let Some(server) = scenario.server_mut() {
                    match &mut server.kv.capacity {
                        Capacity::Blocks(all) => *all = all.saturating_add_signed(blocks),
                        Capacity::Memory | Capacity::Unlimited if blocks != 0 => continue,
                        Capacity::Memory | Capacity::Unlimited => {}
                    }
                    server.latency = server.latency.times(step_times);
                }
                let rows = self.against(&scenario, f64::INFINITY)?.rows;
                let errors = rows.iter().map(|row| row.error().abs());
                all.push(Perturbed {
                    blocks,
                    step_times,
                    worst: errors.fold(0.0, f64::max),
                });
            }
        }
        Ok(all)
    }

    /// Simulates the run under a scenario of continuous batching and compares, with levels every
    /// `every_s` (none for infinity), and at 10,000 moments at most.
    ///
    /// Errors: as [`simulate`]; a scenario that serves none of the requests.
    pub fn against(&self, scenario: &Scenario, every_s: f64) -> Result<Comparison, Error> {
        let outcome = simulate(&self.trace, scenario)?;
        let simulated = times(&outcome, &self.trace)?;
        let Some(served) = &outcome.served else {
            return Err(no_server());
        };
        let (_, totals) = served.as_ref();
        let mut rows = Vec::new();
        for (metric, measured, simulated) in [
            ("TTFT", &self.times.ttft, &simulated.ttft),
            ("TPOT", &self.times.tpot, &simulated.tpot),
            ("E2E", &self.times.e2e, &simulated.e2e),
        ] {
            let (measured, simulated) =
                (mean_and_quantiles(measured), mean_and_quantiles(simulated));
            for ((statistic, measured_s), simulated_s) in ["mean", "P50", "P90", "P95", "P99"]
                .into_iter()
                .zip(measured)
                .zip(simulated)
            {
                rows.push(Row {
                    metric,
                    statistic,
                    measured_s,
                    simulated_s,
                });
            }
        }
        let series = &totals.series;
        let blocks = totals.blocks.map_or(f64::INFINITY, |blocks| blocks as f64)
            * totals.busy_s.len() as f64;
        let every_s = every_s.max(totals.end_s / MOST_MOMENTS);
        let moments = (0..)
            .map(|i| f64::from(i) * every_s)
            .take_while(|&at_s| at_s < totals.end_s)
            .map(|at_s| {
                let interval = (at_s / series.width_s) as usize;
                let level = |level| series.mean(level, interval, totals.end_s);
                Moment {
                    at_s,
                    running: level(Level::Running),
                    waiting: level(Level::Waiting),
                    kv: level(Level::Blocks) / blocks,
                }
            })
            .collect();
        Ok(Comparison {
            rows,
            moments,
            preemptions: totals.preemptions,
        })
    }
}

/// Refuses a log whose times lie further apart than a run is long, by the first line that does.
fn one_clock(logged: &[Logged], rows: &[u64], file: &str) -> Result<(), Error> {
    let Some(first) = logged.first() else {
        return Ok(());
    };
    for (one, &row) in logged.iter().zip(rows) {
        let engine = |name, time| (name, time, "queued_ts", first.queued_ts);
        for (name, time, other, from) in [
            (
                "arrival_time",
                one.arrival_time,
                "arrival_time",
                first.arrival_time,
            ),
            engine("queued_ts", one.queued_ts),
            engine("first_token_ts", one.first_token_ts),
            engine("last_token_ts", one.last_token_ts),
        ] {
            let apart = (time - from).abs();
            // What overflowed is in no range.
            if !(0.0..=MOST_RUN_S).contains(&apart) {
                return Err(Error::BadCell {
                    file: file.to_owned(),
                    row,
                    column: name.to_owned(),
                    value: time.to_string(),
                    allowed: format!(
                        "within {MOST_RUN_S} s of the {other} of the first request, {from}; the log mixes two \
                         clocks"
                    ),
                });
            }
        }
    }
    Ok(())
}

/// The median of the worst errors.
pub fn median_worst(all: &[Perturbed]) -> f64 {
    let mut worst: Vec<f64> = all.iter().map(|run| run.worst).collect();
    worst.sort_by(f64::total_cmp);
    worst.get(worst.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A row of the log of levels.
#[derive(Deserialize)]
struct LoggedLevels {
    t: f64,
    running: f64,
    waiting: f64,
    kv_cache_pct: f64,
}

/// Reads levels over time from a CSV with `t` (s), `running`, `waiting` and `kv_cache_pct`.
///
/// Errors: the row and what is wrong with it.
pub fn read_levels(input: impl Read, file: &str) -> Result<[Vec<f64>; 4], Error> {
    let mut columns: [Vec<f64>; 4] = Default::default();
    let mut reader = csv::Reader::from_reader(input);
    for (row, record) in (2u64..).zip(reader.deserialize::<LoggedLevels>()) {
        let r = record.map_err(|e| Error::BadRow {
            file: file.to_owned(),
            row,
            problem: e.to_string(),
        })?;
        let values = [r.t, r.running, r.waiting, r.kv_cache_pct];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
    Ok(columns)
}
