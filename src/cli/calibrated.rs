//! `--latency`: a calibration in the place of a scenario's latency, and what a reader must know of it.

use std::path::Path;

use serde::Serialize;

use super::args::ScenarioArgs;
use super::table::{self, percent, short};
use super::{files, replay};
use crate::experiment::calibrated::{self, ErrorRange, Moved};
use crate::latency::ClosedForm;
use crate::latency::calibration::{Calibration, Warning};
use crate::latency::modelled::Spread;
use crate::metrics::Summary;
use crate::sched::continuous::kv::Capacity;
use crate::words;
use crate::{Error, Scenario, Trace};

/// A calibration, and its closed-batch form for one workload where it is asked for.
pub struct Calibrated {
    pub calibration: Calibration,
    form: Option<ClosedForm>,
}

/// Reads a calibration's file, or standard input where the path is "-".
pub fn read(path: &Path) -> Result<Calibration, Error> {
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    Calibration::from_json(&files::read_text(path)?, &name)
}

/// Refuses standard input as two files at once.
pub fn one_standard_input(args: &ScenarioArgs) -> Result<(), Error> {
    let input = Some(Path::new("-"));
    let others = [args.scenario.as_deref(), args.trace.as_deref()];
    if args.calibration() == input && others.contains(&input) {
        return Err(Error::contradiction(
            "--latency",
            "standard input cannot be two files at once; name one of them",
        ));
    }
    Ok(())
}

/// The calibration that `--latency` names, put on the scenario; `None` without the flag.
pub fn put_on(
    args: &ScenarioArgs,
    trace: &Trace,
    scenario: &mut Scenario,
) -> Result<Option<Calibrated>, Error> {
    let Some(path) = args.calibration() else {
        return match args.closed_form {
            true => Err(Error::bad_argument("--closed-form", "--latency is missing")),
            false => Ok(None),
        };
    };
    let calibration = read(path)?;
    let form = if args.closed_form {
        Some(calibrated::put_form_on(&calibration, trace, scenario)?)
    } else {
        calibrated::put_on(&calibration, scenario)?;
        None
    };
    Ok(Some(Calibrated { calibration, form }))
}

impl Calibrated {
    /// What is known of the calibration, and how far the run's figures move within its error.
    pub fn note(&self, trace: &Trace, summary: &Summary) -> Result<Note<'_>, Error> {
        let calibration = &self.calibration;
        let error = match self.form {
            Some(_) => calibration.line_error(),
            None => calibration.step_error(),
        };
        let range = calibrated::error_range(trace, summary, error, &replay::replay_quietly)?;
        Ok(self.about(Some(range)))
    }

    /// The same without further runs.
    pub fn about(&self, range: Option<ErrorRange>) -> Note<'_> {
        let c = &self.calibration;
        Note {
            adapter: &c.adapter.name,
            backend: &c.adapter.backend,
            model: &c.model.architecture.name,
            precision: c.model.precision.name(),
            measured_at: &c.measured_at,
            demonstration: c.demonstration,
            step_error: c.step_error(),
            line_median_error: c.fit.held_out_median,
            line_worst_error: c.fit.held_out_worst,
            check_median_error: c.check_median_error,
            check_worst_error: c.check_worst_error,
            checks: c.checks.len(),
            lacking: c.lacks(),
            most_sequences: c.most_sequences(),
            closed_form: self.form,
            range,
            warnings: &c.warnings,
        }
    }
}

/// Whose latency a run had, and how far to trust it.
#[derive(Serialize)]
pub struct Note<'a> {
    adapter: &'a str,
    backend: &'a str,
    model: &'a str,
    precision: &'static str,
    measured_at: &'a str,
    demonstration: bool,
    /// Of predicted steps, in proportion.
    step_error: f64,
    /// Of the fitted line at points held out of it: what the closed-batch form comes from, and before version 3 of the
    /// file every prediction.
    line_median_error: f64,
    line_worst_error: f64,
    check_median_error: f64,
    check_worst_error: f64,
    checks: usize,
    /// What the file's predictions do without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lacking: Vec<String>,
    /// Of the steps that were measured.
    most_sequences: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_form: Option<ClosedForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<ErrorRange>,
    warnings: &'a [Warning],
}

/// The JSON form of a run with a calibration: the summary, and `calibration` beside its groups.
#[derive(Serialize)]
pub struct WithNote<'a> {
    #[serde(flatten)]
    pub summary: &'a Summary,
    pub calibration: &'a Note<'a>,
}

impl Note<'_> {
    /// Lines below a table.
    pub fn text(&self, scenario: &Scenario) -> String {
        let whole_steps = match self.checks {
            0 => "whole steps were not checked".to_owned(),
            n => format!(
                "of {} that the calibration had not seen half are off by more than {}, and the worst by {}",
                words::counted(n as u64, "whole step"),
                percent(self.check_median_error),
                percent(self.check_worst_error)
            ),
        };
        let memory = scenario.memory();
        let mut text = format!(
            "\nlatency: {} in {} on {} ({}), measured {}\n\
             step times are typically off by {}; {whole_steps}\n",
            self.model,
            self.precision,
            self.adapter,
            self.backend,
            self.measured_at,
            percent(self.step_error),
        );
        if let Some(form) = &self.closed_form {
            text += &format!(
                "the straight line through its steps, of which the closed-batch form is made, is off by {} at half of the \
                 points held out of it (at worst {})\n\
                 closed-batch form: off by {} of the steps it stands for (median; at worst {}), batches of 1 \
                 to {} and {:.0} to {:.0} tokens\n\
                 it charges a prompt token like an output token, {} ms at batch 1, where a decoding step takes {} \
                 ms: times per output token come out too short, and times to first token too long\n",
                percent(self.line_median_error),
                percent(self.line_worst_error),
                percent(form.median_error),
                percent(form.worst_error),
                form.max_batch,
                form.lengths[0],
                form.lengths[1],
                short(form.linear.beta_s_per_token * 1e3),
                short(form.step_s * 1e3),
            );
        }
        let most = self.most_sequences;
        if self.closed_form.is_some_and(|form| form.max_batch > most) {
            text += &format!(
                "no step of more than {most} sequences was measured: larger batches go beyond that\n"
            );
        }
        text += &match blocks(scenario) {
            Some(blocks) => format!("memory: the scenario's, {blocks}\n"),
            None => format!(
                "memory: the scenario's, {} GB with {} GB for the model and {} kB a token\n",
                memory.capacity_gb,
                memory.model_gb,
                short(memory.kv_gb_per_token * 1e6),
            ),
        };
        if let Some(range) = &self.range {
            let title = format!("with all steps {} shorter, longer", percent(range.error));
            text += &range_table(&title, range);
        }
        if self.demonstration {
            text += "a demonstration: measured on a software adapter or with a made-up model, it says \
                     nothing of any GPU\n";
        }
        for sentence in &self.lacking {
            text += &format!("{sentence}\n");
        }
        for warning in self.warnings {
            text += &format!("warning: {} [{}]\n", warning.message, warning.code);
        }
        text
    }
}

/// A run's main figures within the error of its step times.
fn range_table(title: &str, range: &ErrorRange) -> String {
    let mut table = table::new_table(&[title, "as predicted", "least", "most"]);
    let mut row = |name: &str, m: Moved, print: &dyn Fn(Option<f64>) -> String| {
        let [least, most] = m.ends().map_or([None; 2], |ends| ends.map(Some));
        table.add_row([name.to_owned(), print(m.at), print(least), print(most)]);
    };
    row("output tokens/s", range.output_tokens_per_s, &|x| short(x));
    row("TTFT, P50 (s)", range.ttft_p50_s, &|x| short(x));
    row("TTFT, P95 (s)", range.ttft_p95_s, &|x| short(x));
    row("TPOT, P50 (ms)", range.tpot_p50_ms, &|x| short(x));
    row("latency, P95 (s)", range.e2e_p95_s, &|x| short(x));
    row("both SLAs met", range.joint, &|x| percent(x));
    let goodput = range.goodput_requests_per_s;
    row("requests/s within every SLA", goodput, &|x| short(x));
    format!("{table}\n")
}

/// What the figures of a model on a GPU rest on, and how far they may be off.
#[derive(Serialize)]
pub struct Prediction {
    /// As in "typical, llama-3.1-8b in bf16 on NVIDIA H100 SXM5 80 GB".
    basis: String,
    /// Measured step times over predicted ones of models left out of the fit: quantiles of 5 and 95 %.
    spread: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<ErrorRange>,
}

impl Prediction {
    /// Of a scenario whose steps are a model's by fitted shares; without the range, which takes two further runs.
    pub fn about(scenario: &Scenario) -> Option<Prediction> {
        let (step, spread) = calibrated::spread(scenario)?;
        Some(Prediction {
            basis: step.basis.clone(),
            spread,
            range: None,
        })
    }

    /// The same with the figures' ranges.
    pub fn of(trace: &Trace, summary: &Summary) -> Result<Option<Prediction>, Error> {
        let Some(without) = Prediction::about(&summary.scenario) else {
            return Ok(None);
        };
        let factors = [without.spread.low, without.spread.high];
        let range = calibrated::moved_by(trace, summary, factors, &replay::replay_quietly)?;
        Ok(Some(Prediction {
            range: Some(range),
            ..without
        }))
    }

    /// Lines below a table.
    pub fn text(&self) -> String {
        let Spread { low, high } = self.spread;
        let mut text = format!(
            "\nlatency: {}\nof models that the fit had not seen, 90 % of the measured times were {} to {} times the predicted \
             ones\n",
            self.basis,
            short(low),
            short(high)
        );
        if let Some(range) = &self.range {
            text += &range_table("90 % interval", range);
        }
        text
    }
}

/// The JSON form of a run of a model on a GPU: the summary, and `prediction` beside its groups.
#[derive(Serialize)]
pub struct WithPrediction<'a> {
    #[serde(flatten)]
    pub summary: &'a Summary,
    pub prediction: &'a Prediction,
}

/// A cache that the scenario gives otherwise than by memory.
fn blocks(scenario: &Scenario) -> Option<String> {
    let server = scenario.server()?;
    match server.kv.capacity {
        Capacity::Memory => None,
        Capacity::Blocks(blocks) => Some(format!(
            "{blocks} blocks of {} tokens",
            server.kv.block_tokens
        )),
        Capacity::Unlimited => Some("a cache without a limit".to_owned()),
    }
}
