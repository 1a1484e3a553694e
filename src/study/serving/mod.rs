//! Users against a server with continuous batching: what a load gets, predicted by the engine of
//! `batchscope run` or measured on a device (docs/MODEL.md, "Serving users: measured and predicted").
//!
//! [`predict`] runs the load on the continuous engine; a real device leaves a [`Record`]. [`Served`] has the
//! figures of either, [`files`] sets the two side by side and hands them to the study `saturation`.

mod pictures;
mod report;
mod tables;

use serde::{Deserialize, Serialize};

use super::document::{Content, File};
use super::saturation::ceilings::ModelSize;
use super::saturation::points::{Level, Times};
use super::saturation::{self, Settings};
use crate::Error;
use crate::latency::StepLatency;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::calibration::Calibration;
use crate::latency::roofline::{self, Card, Hardware, Stored};
use crate::latency::step::Step;
use crate::metrics::Outcome;
use crate::metrics::honest::Distribution;
use crate::quantiles::Histogram;
use crate::scenario::{ClosedLoop, Engine, MEMORY_SHARE, Scenario, put_on_hardware};
use crate::sched::continuous::Server;
use crate::sched::continuous::kv::Capacity;
use crate::sched::joining::{Limits, Load, Record, Work};
use crate::sched::memory::Memory;
use crate::sim::continuous::{Gaps, StepRow};
use crate::{Trace, sim};

/// Serves a load on the continuous engine, as `batchscope run --users` does.
///
/// Errors: a load out of range, a step without time, or a memory that holds neither the model nor a request.
pub fn predict(stack: &Stack, load: &Load) -> Result<Served, Error> {
    load.check_predicted()?;
    let scenario = stack.scenario(load);
    let rows = load.requests() as usize;
    let trace = Trace {
        name: "equal requests".to_owned(),
        arrival: vec![0.0; rows],
        prompt: vec![load.prompt_tokens; rows],
        output: vec![load.output_tokens; rows],
        ..Trace::default()
    };
    let mut run = sim::Run::new(&trace, &scenario)?;
    run.record_steps();
    while !run.advance(&trace, u64::MAX) {}
    let steps = run.take_steps()?;
    let outcome = Outcome::of(&trace, run.finish());
    Ok(Served::predicted(load, &outcome, &steps))
}

fn step_s(model: &Step, work: Work) -> Result<f64, Error> {
    let Work {
        sequences,
        context,
        prefill,
    } = work;
    let step_s = model.step_s(f64::from(sequences), f64::from(context), f64::from(prefill));
    if (1e-9..=1e6).contains(&step_s) {
        return Ok(step_s);
    }
    Err(Error::BadField {
        field: "fit.model".to_owned(),
        value: format!(
            "{step_s} s for a step of {sequences} sequences with {context} tokens of context and \
             {prefill} prompt tokens"
        ),
        allowed: "coefficients that give every step 1e-9 to 1e6 s".to_owned(),
    })
}

/// What a load got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ServedLoad"))]
pub struct Served {
    pub load: Load,
    /// As the study `saturation` reads it: throughput, TTFT, latency, rate of a request.
    pub level: Level,
    /// Between two tokens of one request, all such gaps together, ms; without values where outputs
    /// have one token.
    pub tbt_ms: Times,
    /// From sending to the step that takes up the prompt, ms.
    pub queueing_ms: Times,
    /// Of a step, ms.
    pub step_ms: Times,
    pub steps: u32,
    /// Time in steps, s; the rest of the level's duration nobody had anything to ask.
    pub busy_s: f64,
    /// Decoding sequences of a step, mean.
    pub sequences: f64,
    /// Their contexts together, tokens, mean.
    pub context: f64,
    /// Prompt tokens of a step, mean.
    pub prefill: f64,
    /// Pairs of a prompt token and one that it attends to, of a step, mean.
    pub pairs: f64,
}

impl Served {
    /// Figures of a load that a device served to the end.
    pub fn of(load: &Load, record: &Record) -> Served {
        let ms = |later: f64, earlier: f64| ((later - earlier) * 1e3).max(0.0);
        let output = f64::from(load.output_tokens);
        let (mut ttft, mut latency, mut rate) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tbt, mut steps, mut queueing) = (Gaps::default(), Gaps::default(), Vec::new());
        let mut end_s: f64 = 0.0;
        for request in &record.requests {
            queueing.extend(
                request
                    .joined_s
                    .map(|joined_s| ms(joined_s, request.sent_s)),
            );
            if let (Some(&first), Some(&last)) = (request.tokens_s.first(), request.tokens_s.last())
            {
                ttft.push(ms(first, request.sent_s));
                latency.push(ms(last, request.sent_s));
                if last > request.sent_s {
                    rate.push(output / (last - request.sent_s));
                }
                end_s = end_s.max(last);
            }
            let later = request.tokens_s.iter().skip(1);
            for (&a, &b) in request.tokens_s.iter().zip(later) {
                tbt.add((b - a).max(0.0), 1);
            }
        }
        let begin_s = record.requests.first().map_or(0.0, |first| first.sent_s);
        let duration_s = end_s - begin_s;
        for step in &record.steps {
            steps.add((step.ended_s - step.began_s).max(0.0), 1);
        }
        let mean = |of: fn(&Work) -> u32| {
            let sum: f64 = record.steps.iter().map(|s| f64::from(of(&s.work))).sum();
            sum / record.steps.len().max(1) as f64
        };
        let rate = times(&rate);
        Served {
            load: *load,
            level: Level {
                users: load.users,
                tok_s: latency.len() as f64 * output / duration_s,
                requests: Some(load.requests()),
                successful: Some(latency.len() as u32),
                duration_s: Some(duration_s),
                ttft_ms: times(&ttft),
                latency_ms: times(&latency),
                request_tok_s: rate.avg,
                request_tok_s_p50: rate.p50,
                power_w: None,
                tokens_per_request: Some(output),
            },
            tbt_ms: counted(&tbt),
            queueing_ms: times(&queueing),
            step_ms: counted(&steps),
            steps: record.steps.len() as u32,
            busy_s: record.steps.iter().map(|s| s.ended_s - s.began_s).sum(),
            sequences: mean(|work| work.sequences),
            context: mean(|work| work.context),
            prefill: mean(|work| work.prefill),
            // Every prompt token attends to all before it and to itself.
            pairs: latency.len() as f64 * prompt_pairs(load) / record.steps.len().max(1) as f64,
        }
    }

    /// Figures of a load that the engine served: those of its run, not computed a second time.
    fn predicted(load: &Load, outcome: &Outcome, rows: &[StepRow]) -> Served {
        let honest = &outcome.summary.honest;
        let run = outcome.summary.continuous.as_ref();
        let totals = outcome.served.as_ref().map(|served| &served.1);
        let ms = |seconds: &Option<Distribution>| seconds.map_or(Times::default(), |d| of(&d, 1e3));
        let steps = run.map_or(0, |run| run.steps);
        let per_step = |sum: f64| sum / steps.max(1) as f64;
        let rate = honest.request_tokens_per_s;
        Served {
            load: *load,
            level: Level {
                users: load.users,
                tok_s: honest.output_tokens_per_s,
                requests: Some(load.requests()),
                successful: Some(honest.requests as u32),
                duration_s: Some(honest.makespan_s),
                ttft_ms: ms(&honest.ttft_s),
                latency_ms: ms(&honest.e2e_s),
                request_tok_s: rate.map(|d| d.mean),
                request_tok_s_p50: rate.map(|d| d.p50),
                power_w: None,
                tokens_per_request: Some(f64::from(load.output_tokens)),
            },
            tbt_ms: run
                .and_then(|run| run.tbt_ms)
                .map_or(Times::default(), |d| of(&d, 1.0)),
            queueing_ms: ms(&honest.queueing_s),
            step_ms: step_times(rows),
            steps: steps as u32,
            busy_s: totals.map_or(0.0, |totals| totals.busy_s.iter().sum()),
            sequences: run.map_or(0.0, |run| run.mean_batch),
            context: totals.map_or(0.0, |totals| per_step(totals.context)),
            prefill: run.map_or(0.0, |run| run.mean_prompt_tokens),
            pairs: totals.map_or(0.0, |totals| per_step(totals.pairs)),
        }
    }
}

/// Pairs of a token of a prompt and one that it attends to.
fn prompt_pairs(load: &Load) -> f64 {
    let prompt = f64::from(load.prompt_tokens);
    prompt * (prompt + 1.0) / 2.0
}

fn of(distribution: &Distribution, unit: f64) -> Times {
    Times {
        avg: Some(distribution.mean * unit),
        p50: Some(distribution.p50 * unit),
        p95: Some(distribution.p95 * unit),
        p99: Some(distribution.p99 * unit),
    }
}

/// Of all steps of a run.
fn step_times(rows: &[StepRow]) -> Times {
    let mut steps = Gaps::default();
    for row in rows {
        let n = f64::from(row.steps);
        // The sum of the steps is known, and that they are a line.
        let slope_s = if row.steps > 1 {
            (row.end_s - row.start_s - n * row.first_s) / (n * (n - 1.0) / 2.0)
        } else {
            0.0
        };
        steps.add_line(row.first_s, slope_s, u64::from(row.steps), 1, 0);
    }
    counted(&steps)
}

/// Of gaps or steps, ms; quantiles to within 0.4 %.
fn counted(gaps: &Gaps) -> Times {
    let some = |seconds: f64| (gaps.count > 0).then_some(seconds * 1e3);
    Times {
        avg: some(gaps.mean()),
        p50: some(gaps.quantile(0.5)),
        p95: some(gaps.quantile(0.95)),
        p99: some(gaps.quantile(0.99)),
    }
}

/// Mean and percentiles (docs/MODEL.md, "Quantiles"); without values where there is none.
fn times(values: &[f64]) -> Times {
    if values.is_empty() {
        return Times::default();
    }
    let mut all = Histogram::keeping_all();
    all.add_all(values);
    let [p50, p95, p99] = match all.quantiles([0.5, 0.95, 0.99]) {
        Ok(quantiles) => quantiles,
        Err(mut selection) => {
            selection.add_all(values);
            selection.finish()
        }
    };
    Times {
        avg: Some(all.mean()),
        p50: Some(p50),
        p95: Some(p95),
        p99: Some(p99),
    }
}

/// The middle of the values; `None` where there are none.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let above = *values.get(middle)?;
    match values.get(middle.wrapping_sub(1)) {
        Some(below) if values.len().is_multiple_of(2) => Some((below + above) / 2.0),
        _ => Some(above),
    }
}

/// Relative errors of a step latency at steps that a device took: (model - measured)/measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StepErrors {
    /// Median over the steps, sign kept: whether the model is early or late on the whole.
    pub median: f64,
    /// Median of the sizes.
    pub median_size: f64,
    /// 95 % of the sizes are no greater.
    pub p95_size: f64,
}

impl StepErrors {
    /// `None` where no step took any time.
    ///
    /// Errors: as of [`predict`].
    pub fn of(record: &Record, model: &Step) -> Result<Option<StepErrors>, Error> {
        let mut errors = Vec::with_capacity(record.steps.len());
        for step in &record.steps {
            let measured_s = step.ended_s - step.began_s;
            if measured_s > 0.0 {
                errors.push((step_s(model, step.work)? - measured_s) / measured_s);
            }
        }
        let sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        let sizes = times(&sizes);
        let Some(median) = median(&mut errors) else {
            return Ok(None);
        };
        Ok(sizes
            .p50
            .zip(sizes.p95)
            .map(|(median_size, p95_size)| StepErrors {
                median,
                median_size,
                p95_size,
            }))
    }
}

/// One load, predicted and where a device served it too, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ServedComparison"))]
pub struct Comparison {
    pub predicted: Served,
    pub measured: Option<Served>,
    /// Of the model at the steps that were measured: the part of the difference that is not of
    /// queueing.
    pub step_errors: Option<StepErrors>,
}

impl Comparison {
    /// Predicts a load, and makes figures of what a device took for it.
    ///
    /// Errors: as of [`predict`].
    pub fn of(stack: &Stack, load: &Load, measured: Option<&Record>) -> Result<Comparison, Error> {
        Ok(Comparison {
            predicted: predict(stack, load)?,
            measured: measured.map(|record| Served::of(load, record)),
            step_errors: match measured {
                Some(record) => StepErrors::of(record, &stack.step())?,
                None => None,
            },
        })
    }

    /// Measured where it was, else predicted.
    pub fn best(&self) -> &Served {
        self.measured.as_ref().unwrap_or(&self.predicted)
    }
}

/// Loads that differ in users alone. A user's requests and think times are the same at every level.
///
/// Errors: no level, one that is there twice, or as of [`Load::check_predicted`].
pub fn levels(users: &[u32], load: &Load) -> Result<Vec<Load>, Error> {
    super::check::counts("load.users", users, crate::sched::joining::MAX_USERS)?;
    let loads: Vec<Load> = users.iter().map(|&users| Load { users, ..*load }).collect();
    for load in &loads {
        load.check_predicted()?;
    }
    Ok(loads)
}

/// Where a step latency comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Fitted to measurements.
    Calibration,
    /// The same on a software adapter or with a made-up model: says nothing of any GPU.
    Demonstration,
    /// What the data sheet allows at best.
    DataSheet,
}

/// What serves: a decoder on a GPU, as far as figures need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// Whose step latency predicts.
    pub gpu: String,
    /// Which GPU served, where it has another name.
    pub measured_on: Option<String>,
    pub architecture: Architecture,
    pub precision: Precision,
    /// The work of a step on the GPU.
    pub model: Step,
    /// What each step costs besides: one submission and the wait for it, s. A calibration leaves it
    /// out of its fit, and a server, which needs a step's tokens before the next, pays it every time.
    pub submission_s: f64,
    pub origin: Origin,
    /// Median relative errors of a calibration, at points held out of its fit and of whole steps.
    pub errors: Option<[f64; 2]>,
    /// What a reader of the calibration must know, a sentence each.
    pub warnings: Vec<String>,
    /// Read bandwidth of the GPU, of which MBU is a share, bytes/s: measured, or the data sheet's.
    pub read_bytes_per_s: f64,
    /// Its data sheet, for MFU and ceilings.
    pub hardware: Option<Hardware>,
    /// Its memory, where a server has all that the weights leave of it. `None` for a decoder, whose cache is as
    /// large as a load asks.
    pub memory: Option<Memory>,
}

impl From<&Calibration> for Stack {
    /// With the data sheet of the adapter, where that is known by name.
    fn from(calibration: &Calibration) -> Stack {
        Stack {
            gpu: calibration.adapter.name.clone(),
            measured_on: None,
            architecture: calibration.model.architecture.clone(),
            precision: calibration.model.precision,
            model: calibration.fit.model,
            submission_s: calibration.launch.submission.value,
            origin: if calibration.demonstration {
                Origin::Demonstration
            } else {
                Origin::Calibration
            },
            errors: Some([
                calibration.fit.held_out_median,
                calibration.check_median_error,
            ]),
            warnings: calibration
                .warnings
                .iter()
                .map(|warning| warning.message.clone())
                .collect(),
            read_bytes_per_s: calibration.bandwidth.read.value,
            hardware: Card::of_adapter(&calibration.adapter.name)
                .map(|card| card.hardware_for(calibration.model.precision)),
            memory: None,
        }
    }
}

impl Stack {
    /// A GPU as good as its data sheet, by the roofline of a model: step and memory as `batchscope run
    /// --model --hardware` has them.
    ///
    /// Errors: as of [`put_on_hardware`].
    pub fn of_data_sheet(
        card: &Card,
        architecture: Architecture,
        precision: Precision,
    ) -> Result<Stack, Error> {
        let mut scenario = Scenario::default();
        put_on_hardware(
            &mut scenario,
            &architecture,
            precision,
            card,
            1,
            MEMORY_SHARE,
        )?;
        let hardware = card.hardware_for(precision);
        Ok(Stack {
            gpu: hardware.name.clone(),
            measured_on: None,
            model: Stored::new(&architecture, precision).roofline(&hardware),
            architecture,
            precision,
            submission_s: 0.0,
            origin: Origin::DataSheet,
            errors: None,
            warnings: Vec::new(),
            read_bytes_per_s: hardware.bandwidth_bytes_per_s,
            hardware: Some(hardware),
            memory: Some(scenario.memory),
        })
    }

    /// The limits of this server where nothing else is said: of a data sheet those of the engine, else those of
    /// the decoder that was calibrated.
    pub fn limits(&self) -> Limits {
        let engine = Server::default();
        match self.memory {
            Some(_) => Limits {
                sequences: engine.max_sequences,
                rows: engine.max_batched_tokens,
                kv_blocks: None,
                block_tokens: engine.kv.block_tokens,
            },
            None => Limits::default(),
        }
    }

    /// One GPU that serves the load.
    pub fn scenario(&self, load: &Load) -> Scenario {
        let limits = &load.limits;
        let mut server = Server {
            max_sequences: limits.sequences,
            max_batched_tokens: limits.rows,
            latency: StepLatency::Linear(self.step()),
            ..Server::default()
        };
        server.kv.block_tokens = limits.block_tokens;
        let memory = self.memory.unwrap_or_default();
        match (self.memory, limits.kv_blocks) {
            (Some(_), Some(blocks)) => server.kv.capacity = Capacity::Blocks(blocks),
            (Some(_), None) => {}
            // The decoder takes all blocks of a request when it joins: equal requests make them seats.
            (None, blocks) => {
                let seats = blocks.map_or(u32::MAX, |blocks| blocks / load.blocks());
                server.max_sequences = limits.sequences.min(seats);
                server.kv.capacity = Capacity::Unlimited;
            }
        }
        let mut scenario = Scenario {
            engine: Engine::Continuous(Box::new(server)),
            memory,
            seed: load.seed,
            ..Scenario::default()
        };
        scenario.fleet.gpus = 1;
        scenario.workload.closed_loop = Some(ClosedLoop {
            users: load.users,
            requests_per_user: load.requests_per_user,
            think_min_s: load.think_min_s,
            think_max_s: load.think_max_s,
        });
        scenario
    }

    /// "qwen3-1.7b (f16) on NVIDIA H100".
    pub fn name(&self) -> String {
        self.named(&self.gpu)
    }

    fn named(&self, gpu: &str) -> String {
        let (model, precision) = (&self.architecture.name, self.precision.name());
        format!("{model} ({precision}) on {gpu}")
    }

    /// A step as a server takes it, from submission to its tokens.
    pub fn step(&self) -> Step {
        self.model.with_submission(self.submission_s)
    }

    /// What the steps of a level asked for on average; of steps it is linear, so that the average
    /// step has it.
    fn work(&self, served: &Served) -> roofline::Work {
        let stored = Stored::new(&self.architecture, self.precision);
        let work = stored.work(served.sequences, served.context, served.prefill);
        roofline::Work {
            flops: work.flops + stored.context_flops() * served.pairs,
            ..work
        }
    }

    /// Model bandwidth utilisation while the GPU was at work, fraction of 1: weights, keys and values
    /// over [`Stack::read_bytes_per_s`].
    pub fn mbu(&self, served: &Served) -> f64 {
        let steps = f64::from(served.steps);
        self.work(served).bytes * steps / served.busy_s / self.read_bytes_per_s
    }

    /// Model FLOP/s utilisation while the GPU was at work, fraction of 1: of prompts and outputs,
    /// attention included, over the data sheet's peak.
    pub fn mfu(&self, served: &Served) -> Option<f64> {
        let step_s = served.busy_s / f64::from(served.steps);
        let hardware = self.hardware.as_ref()?;
        Some(hardware.mfu(&self.work(served), step_s))
    }

    /// The study's settings for these loads.
    fn settings(&self, load: &Load, measured: bool) -> Settings {
        Settings {
            name: match (measured, &self.measured_on) {
                (true, Some(gpu)) => format!("{}, measured", self.named(gpu)),
                (true, None) => format!("{}, measured", self.name()),
                (false, _) => format!("{}, predicted", self.name()),
            },
            hardware: self.hardware.clone().map(Into::into),
            model: Some(ModelSize {
                params: self.architecture.step_weights() as f64,
                bytes_per_param: Some(self.precision.bytes_per_weight()),
            }),
            max_batch: Some(load.limits.sequences),
            gpus: 1,
            think_time_s: Some((load.think_min_s + load.think_max_s) / 2.0),
            absent: if measured {
                "not measured"
            } else {
                "not modelled"
            },
        }
    }
}

/// The report on these loads alone, without the study's.
///
/// Errors: there are no loads.
pub fn report(stack: &Stack, levels: &[Comparison]) -> Result<String, Error> {
    let load = first(levels)?;
    Ok(report::text(stack, load, levels))
}

/// `serving_report.txt`, `serving_levels.csv`, `serving.json`, the figure `serving_levels`, and where
/// there are two levels or more the study's files (`saturation_...`): of the measured levels, or of
/// the predicted ones where none was measured.
///
/// Errors: there are no loads, or as of [`saturation::files`].
pub fn files(stack: &Stack, levels: &[Comparison]) -> Result<Vec<File>, Error> {
    let load = first(levels)?;
    let mut files = vec![
        File::new(
            "serving_report.txt",
            Content::Text(report::text(stack, load, levels)),
        ),
        File::new(
            "serving_levels.csv",
            Content::Table(tables::levels(stack, levels)),
        ),
        File::new("serving.json", Content::Json(tables::json(stack, levels))),
        File::new(
            "serving_levels",
            Content::Figure(pictures::levels(stack, load, levels)),
        ),
    ];
    if levels.len() > 1 {
        let measured = levels.iter().all(|level| level.measured.is_some());
        let served = levels.iter().map(|level| {
            let of = if measured {
                level.best()
            } else {
                &level.predicted
            };
            of.level.clone()
        });
        files.extend(saturation::files(
            served.collect(),
            &stack.settings(load, measured),
        )?);
    }
    Ok(files)
}

fn first(levels: &[Comparison]) -> Result<&Load, Error> {
    levels
        .first()
        .map(|level| &level.predicted.load)
        .ok_or_else(|| {
            super::check::refuse(
                "load.users",
                "an empty list",
                "at least one number".to_owned(),
            )
        })
}
