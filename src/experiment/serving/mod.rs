//! Users against a server with continuous batching: what a load gets, predicted by the engine of
//! `batchscope run` or measured on a device (docs/MODEL.md, "Serving users: measured and predicted").
//!
//! [`predict`] runs the load on the continuous engine; a device that takes the same engine's steps leaves a [`Record`]
//! too. [`Served`] has the figures of either, [`Levels`] sets the two side by side and hands them to the study
//! `saturation`.

mod pictures;
pub mod proof;
mod report;
mod tables;

use serde::{Deserialize, Serialize};

use crate::experiment::saturation::ceilings::ModelSize;
use crate::experiment::saturation::points::{Level, Times};
use crate::experiment::saturation::{self, Settings};
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::calibration::Calibration;
use crate::latency::hardware::{Card, Hardware};
use crate::latency::modelled::Spread;
use crate::latency::roofline::{self, Stored};
use crate::latency::{StepModel, StepWork};
use crate::metrics::Outcome;
use crate::metrics::honest::Distribution;
use crate::quantiles::{Histogram, median};
use crate::report::document::{Content, File};
use crate::scenario::{ClosedLoop, Scenario};
use crate::sched::continuous::Server;
use crate::sim::continuous::{Gaps, StepRow};
use crate::sim::device::{Measured, Taken};
use crate::{Error, Trace, error, sim};

/// As a scenario allows.
const MAX_USERS: u32 = 10_000_000;

/// Serves a load on the continuous engine, as `batchscope run --users` does.
///
/// Errors: as of [`sim::Run::new`].
pub fn predict(trace: &Trace, scenario: &Scenario) -> Result<Served, Error> {
    let mut run = sim::Run::new(trace, scenario)?;
    run.record_steps();
    while !run.advance(trace, u64::MAX) {}
    let steps = run.take_steps()?;
    let outcome = Outcome::of(trace, run.finish());
    let totals = outcome.served.as_ref().map(|served| &served.1);
    let busy_s = totals.map_or(0.0, |totals| totals.busy_s.iter().sum());
    Ok(Served::of(&outcome, step_times(&steps), busy_s))
}

/// What a load got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ServedLoad"))]
pub struct Served {
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
    /// Of them, those beyond what the step latency was measured for; 0 where a device took them.
    pub steps_outside: u32,
    /// Time in steps, s. In the rest of the level's duration nobody had anything to ask, or a device's driver put the
    /// next step together.
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
    pub fn measured(trace: &Trace, measured: &Measured) -> Served {
        let outcome = Outcome::of(trace, measured.record.clone());
        let mut steps = Gaps::default();
        for step in &measured.steps {
            steps.add(step.took_s, 1);
        }
        let busy_s = measured.steps.iter().map(|step| step.took_s).sum();
        Served::of(&outcome, counted(&steps), busy_s)
    }

    /// Figures of a run: its own, not computed a second time.
    fn of(outcome: &Outcome, step_ms: Times, busy_s: f64) -> Served {
        let honest = &outcome.summary.honest;
        let run = outcome.summary.continuous.as_ref();
        let totals = outcome.served.as_ref().map(|served| &served.1);
        let users = &outcome.summary.scenario.workload.closed_loop;
        let ms = |seconds: &Option<Distribution>| seconds.map_or(Times::default(), |d| of(&d, 1e3));
        let steps = run.map_or(0, |run| run.steps);
        let per_step = |sum: f64| sum / steps.max(1) as f64;
        let rate = honest.request_tokens_per_s;
        let workload = &outcome.summary.workload;
        Served {
            level: Level {
                users: users.as_ref().map_or(0, |users| users.users),
                tok_s: honest.output_tokens_per_s,
                requests: Some(workload.rows_replayed as u32),
                successful: Some(honest.requests as u32),
                duration_s: Some(honest.makespan_s),
                ttft_ms: ms(&honest.ttft_s),
                latency_ms: ms(&honest.e2e_s),
                request_tok_s: rate.map(|d| d.mean),
                request_tok_s_p50: rate.map(|d| d.p50),
                power_w: None,
                tokens_per_request: Some(
                    workload.output_tokens as f64 / workload.rows_replayed.max(1) as f64,
                ),
            },
            tbt_ms: run
                .and_then(|run| run.tbt_ms)
                .map_or(Times::default(), |d| of(&d, 1.0)),
            queueing_ms: ms(&honest.queueing_s),
            step_ms,
            steps: steps as u32,
            steps_outside: run.map_or(0, |run| run.steps_outside as u32),
            busy_s,
            sequences: run.map_or(0.0, |run| run.mean_batch),
            context: totals.map_or(0.0, |totals| per_step(totals.context)),
            prefill: run.map_or(0.0, |run| run.mean_prompt_tokens),
            pairs: totals.map_or(0.0, |totals| per_step(totals.pairs)),
        }
    }
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
    fn of(steps: &[Taken], model: &StepModel) -> Option<StepErrors> {
        let mut errors = Vec::with_capacity(steps.len());
        for step in steps.iter().filter(|step| step.took_s > 0.0) {
            let work = StepWork {
                sequences: step.sequences,
                context: step.context,
                chunks: &step.chunks,
                sampled: step.sampled,
            };
            errors.push((model.step(&work).seconds - step.took_s) / step.took_s);
        }
        let sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        let sizes = times(&sizes);
        let median = median(&mut errors)?;
        Some(StepErrors {
            median,
            median_size: sizes.p50?,
            p95_size: sizes.p95?,
        })
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
    pub fn of(
        trace: &Trace,
        scenario: &Scenario,
        measured: Option<&Measured>,
    ) -> Result<Comparison, Error> {
        let model = scenario.server().map(|server| server.latency.model());
        Ok(Comparison {
            predicted: predict(trace, scenario)?,
            measured: measured.map(|measured| Served::measured(trace, measured)),
            step_errors: measured
                .zip(model)
                .and_then(|(measured, model)| StepErrors::of(&measured.steps, &model)),
        })
    }

    /// Measured where it was, else predicted.
    pub fn best(&self) -> &Served {
        self.measured.as_ref().unwrap_or(&self.predicted)
    }

    fn users(&self) -> u32 {
        self.predicted.level.users
    }
}

/// The scenario at each of these numbers of users. A user's think times are the same at every level.
///
/// Errors: no level, one that is there twice, closed batches, or no users in the scenario.
pub fn levels(users: &[u32], scenario: &Scenario) -> Result<Vec<Scenario>, Error> {
    error::counts("workload.closed_loop.users", users, MAX_USERS)?;
    if scenario.server().is_none() {
        return Err(Error::contradiction(
            "--users",
            "levels of load are of continuous batching; add --rule or --model",
        ));
    }
    let at = |&users: &u32| {
        let mut level = scenario.clone();
        let closed_loop = level
            .workload
            .closed_loop
            .get_or_insert(ClosedLoop::default());
        closed_loop.users = users;
        level
    };
    Ok(users.iter().map(at).collect())
}

/// Where a step latency comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Fitted to measurements.
    Calibration,
    /// The same on a software adapter or with a made-up model: says nothing of any GPU.
    Demonstration,
    /// What the data sheet allows at best.
    DataSheet,
    /// What engines reach on this hardware, by shares of its peaks that were fitted to others' measurements.
    Typical,
    /// The scenario's own, of which nothing else is known.
    #[default]
    Given,
}

/// What serves, as far as figures need it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stack {
    /// The model and the GPU whose step latency predicts; absent where a scenario gives the latency alone.
    pub machine: Option<Machine>,
    /// What serves, where `machine` is absent and that is known: "gpt-oss-120b on NVIDIA B200".
    pub named: Option<String>,
    /// Which GPU served, where it has another name.
    pub measured_on: Option<String>,
    /// What each step costs besides its work: one submission and the wait for it, s. A calibration leaves it out of its
    /// fit, and a server, which needs a step's tokens before the next, pays it every time.
    pub submission_s: f64,
    pub origin: Origin,
    /// How far off a calibration's step times typically are, in proportion ([`Calibration::step_error`]).
    pub step_error: Option<f64>,
    /// What a reader of the calibration must know, a sentence each.
    pub warnings: Vec<String>,
}

/// A model on a GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub gpu: String,
    pub architecture: Architecture,
    pub precision: Precision,
    /// Read bandwidth of the GPU, of which MBU is a share, bytes/s: measured, or the data sheet's.
    pub read_bytes_per_s: f64,
    /// Its data sheet, for MFU and ceilings.
    pub hardware: Option<Hardware>,
}

impl From<&Calibration> for Stack {
    /// With the data sheet of the adapter, where that is known by name.
    fn from(calibration: &Calibration) -> Stack {
        let warnings = calibration.warnings.iter().map(|w| w.message.clone());
        Stack {
            machine: Some(Machine {
                gpu: calibration.adapter.name.clone(),
                architecture: calibration.model.architecture.clone(),
                precision: calibration.model.precision,
                read_bytes_per_s: calibration.bandwidth.read.value,
                hardware: Card::of_adapter(&calibration.adapter.name)
                    .map(|card| card.hardware_for(calibration.model.precision)),
            }),
            named: None,
            measured_on: None,
            submission_s: if calibration.steps.is_empty() {
                calibration.launch.submission.value
            } else {
                0.0
            },
            origin: if calibration.demonstration {
                Origin::Demonstration
            } else {
                Origin::Calibration
            },
            step_error: Some(calibration.step_error()),
            warnings: warnings.chain(calibration.lacks()).collect(),
        }
    }
}

impl Stack {
    /// A GPU as good as its data sheet, by the roofline of a model.
    pub fn of_data_sheet(card: &Card, architecture: Architecture, precision: Precision) -> Stack {
        let hardware = card.hardware_for(precision);
        Stack {
            machine: Some(Machine {
                gpu: hardware.name.clone(),
                architecture,
                precision,
                read_bytes_per_s: hardware.bandwidth_bytes_per_s,
                hardware: Some(hardware),
            }),
            origin: Origin::DataSheet,
            ..Stack::default()
        }
    }

    /// A model whose steps read a varying part of its weights, so that MFU and MBU are not modelled.
    pub fn of_model(model: &str, gpu: &str) -> Stack {
        Stack {
            named: Some(format!("{model} on {gpu}")),
            origin: Origin::DataSheet,
            ..Stack::default()
        }
    }

    /// The same where the steps are what engines typically reach, 90 % of them within these factors.
    pub fn typical(self, spread: Spread) -> Stack {
        Stack {
            origin: Origin::Typical,
            step_error: Some((1.0 - spread.low).max(spread.high - 1.0)),
            ..self
        }
    }

    /// So many of the GPUs together, as tensor parallelism has them: peaks and bandwidth are those of all.
    pub fn together(mut self, gpus: u32) -> Stack {
        if let Some(machine) = self.machine.as_mut().filter(|_| gpus > 1) {
            let times = f64::from(gpus);
            machine.gpu = format!("{gpus} x {}", machine.gpu);
            machine.read_bytes_per_s *= times;
            if let Some(hardware) = &mut machine.hardware {
                hardware.name = format!("{gpus} x {}", hardware.name);
                hardware.peak_flops *= times;
                hardware.bandwidth_bytes_per_s *= times;
            }
        }
        if let Some(named) = self.named.as_mut().filter(|_| gpus > 1) {
            *named = format!("{named}, {gpus} GPUs together");
        }
        self
    }

    /// "qwen3-1.7b (f16) on NVIDIA H100".
    pub fn name(&self) -> String {
        match &self.machine {
            Some(machine) => machine.on(&machine.gpu),
            None => match &self.named {
                Some(named) => named.clone(),
                None => "the scenario's server".to_owned(),
            },
        }
    }

    /// Model bandwidth utilisation while the GPU was at work, fraction of 1: weights, keys and values over
    /// [`Machine::read_bytes_per_s`].
    pub fn mbu(&self, served: &Served) -> Option<f64> {
        let machine = self.machine.as_ref()?;
        let steps = f64::from(served.steps);
        Some(machine.work(served).bytes * steps / served.busy_s / machine.read_bytes_per_s)
    }

    /// Model FLOP/s utilisation while the GPU was at work, fraction of 1: of prompts and outputs, attention included,
    /// over the data sheet's peak.
    pub fn mfu(&self, served: &Served) -> Option<f64> {
        let machine = self.machine.as_ref()?;
        let step_s = served.busy_s / f64::from(served.steps);
        let hardware = machine.hardware.as_ref()?;
        Some(hardware.mfu(&machine.work(served), step_s))
    }

    /// The study's settings for this load.
    fn settings(
        &self,
        replicas: u32,
        server: &Server,
        users: &ClosedLoop,
        measured: bool,
    ) -> Settings {
        let machine = self.machine.as_ref();
        Settings {
            name: match (machine, measured, &self.measured_on) {
                (Some(machine), true, Some(gpu)) => format!("{}, measured", machine.on(gpu)),
                (_, true, _) => format!("{}, measured", self.name()),
                (_, false, _) => format!("{}, predicted", self.name()),
            },
            hardware: machine
                .and_then(|machine| machine.hardware.clone())
                .map(Into::into),
            model: machine.map(|machine| ModelSize {
                params: machine.architecture.step_weights() as f64,
                bytes_per_param: Some(machine.precision.bytes_per_weight()),
            }),
            max_batch: Some(server.max_sequences),
            gpus: replicas,
            think_time_s: Some((users.think_min_s + users.think_max_s) / 2.0),
            absent: if measured {
                "not measured"
            } else {
                "not modelled"
            },
        }
    }
}

impl Machine {
    fn on(&self, gpu: &str) -> String {
        let (model, precision) = (&self.architecture.name, self.precision.name());
        format!("{model} ({precision}) on {gpu}")
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
}

/// Levels of load with what served them, for the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels<'a> {
    pub stack: &'a Stack,
    pub trace: &'a Trace,
    /// Of each level; they differ in users alone.
    pub scenarios: &'a [Scenario],
    pub levels: &'a [Comparison],
}

impl Levels<'_> {
    /// The server and the users of the level with the most of them.
    fn fullest(&self) -> Result<(&Server, &ClosedLoop), Error> {
        let of = |scenario: &'_ Scenario| {
            scenario
                .workload
                .closed_loop
                .as_ref()
                .map_or(0, |u| u.users)
        };
        let fullest = self.scenarios.iter().max_by_key(|scenario| of(scenario));
        match fullest.map(|scenario| (scenario.server(), &scenario.workload.closed_loop)) {
            Some((Some(server), Some(users))) => Ok((server, users)),
            _ => Err(Error::bad_field(
                "workload.closed_loop.users",
                "an empty list",
                "at least one number".to_owned(),
            )),
        }
    }

    /// The report on these loads alone, without the study's.
    ///
    /// Errors: there are no loads.
    pub fn report(&self) -> Result<String, Error> {
        let (server, users) = self.fullest()?;
        Ok(report::text(self, server, users))
    }

    /// `serving_report.txt`, `serving_levels.csv`, `serving.json`, the figure `serving_levels`, and where
    /// there are two levels or more the study's files (`saturation_...`): of the measured levels, or of
    /// the predicted ones where none was measured.
    ///
    /// Errors: there are no loads, or as of [`saturation::files`].
    pub fn files(&self) -> Result<Vec<File>, Error> {
        let (server, users) = self.fullest()?;
        let report = report::text(self, server, users);
        let mut files = vec![
            File::new("serving_report.txt", Content::Text(report)),
            File::new("serving_levels.csv", Content::Table(tables::levels(self))),
            File::new("serving.json", Content::Json(tables::json(self))),
            File::new("serving_levels", Content::Figure(pictures::levels(self))),
        ];
        if self.levels.len() > 1 {
            let measured = self.levels.iter().all(|level| level.measured.is_some());
            let served = self.levels.iter().map(|level| {
                let of = if measured {
                    level.best()
                } else {
                    &level.predicted
                };
                of.level.clone()
            });
            let replicas = self.scenarios.first().map_or(1, Scenario::replicas);
            let settings = self.stack.settings(replicas, server, users, measured);
            files.extend(saturation::files(served.collect(), &settings)?);
        }
        Ok(files)
    }
}
