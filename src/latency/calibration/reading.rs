//! The JSON form of a calibration in and out: its kind, its version and the range of every number.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Calibration, Estimate, KIND, Kernels, VERSION, WholeStep};
use crate::error::{Error, printable};
use crate::json;
use crate::latency::StepLatency;
use crate::quantiles::median;

/// Above every number that means anything here.
const MOST: f64 = 1e18;
/// No coefficient of a step that anybody waits for is longer, s.
const MOST_STEP_S: f64 = 1e3;

/// How far the steps may be from the line through them, as a factor: a staircase is within two.
const FAR: f64 = 10.0;

/// The preset of [`Architecture`](crate::latency::architecture::Architecture) that is no real model.
const MADE_UP: &str = "demo";

/// What a document says of itself.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    kind: String,
    version: Option<f64>,
    #[serde(default)]
    program: String,
}

impl Calibration {
    /// Whether a text says of itself that it is a calibration, or something else with a kind.
    pub fn has_kind(text: &str) -> bool {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match serde_json::from_str::<Head>(text) {
            Ok(head) => !head.kind.is_empty(),
            // The beginning of one has it too.
            Err(_) => text.contains(KIND),
        }
    }

    /// Reads the JSON form; `file` is for the error's sentence.
    ///
    /// Errors: [`Error::BadCalibration`] for text that is not JSON or no calibration, another
    /// version, an unknown or missing field, and a number outside its range, each by name.
    pub fn from_json(text: &str, file: &str) -> Result<Calibration, Error> {
        // Editors of some systems put a mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let head: Option<Head> = serde_json::from_str(text).ok();
        if let Some(head) = head {
            if head.kind != KIND {
                return Err(refuse(
                    file,
                    "kind",
                    format!(
                        "\"{}\" is not \"{KIND}\", so this is no calibration; `batchscope \
                         calibrate` and the page write some",
                        printable(head.kind.as_bytes())
                    ),
                ));
            }
            if !(1..=VERSION).any(|known| head.version == Some(f64::from(known))) {
                return Err(refuse(
                    file,
                    "version",
                    format!(
                        "it is {}, written by {}, and this program reads 1 to {VERSION}; measure again \
                         with this program, or read it with that one",
                        head.version
                            .map_or_else(|| "missing".to_owned(), |v| v.to_string()),
                        match printable(head.program.as_bytes()).as_str() {
                            "" => "an unknown program".to_owned(),
                            program => program.to_owned(),
                        }
                    ),
                ));
            }
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let read: Result<Calibration, _> = serde_path_to_error::deserialize(&mut reader);
        let wrong = |field: String, e: &serde_json::Error| {
            let whole = serde_json::from_str::<&RawValue>(text).is_ok();
            Error::BadCalibration {
                file: file.to_owned(),
                line: e.line(),
                column: e.column(),
                field,
                problem: if whole {
                    json::problem(e, whole)
                } else if e.is_eof() && text.contains(KIND) {
                    "the file ends in the middle of the calibration; expected is a whole one, as `batchscope \
                     calibrate --out` or the page's \"Save as JSON\" writes it"
                        .to_owned()
                } else {
                    format!("this is no calibration file: {}", json::problem(e, whole))
                },
            }
        };
        let calibration = read.map_err(|e| {
            let path = e.path().to_string();
            // "." is the document, "?" is where text that is no JSON ends.
            let field = match path.as_str() {
                "." | "?" => String::new(),
                _ => path.trim_end_matches(".?").to_owned(),
            };
            wrong(field, &e.into_inner())
        })?;
        reader.end().map_err(|e| wrong(String::new(), &e))?;
        calibration.check(file)?;
        Ok(calibration)
    }

    /// The JSON form, with an end of line.
    ///
    /// Errors: a number that JSON cannot say (NaN, an infinity) or that is outside its range.
    pub fn to_json(&self) -> Result<String, Error> {
        self.check("calibration")?;
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| refuse("calibration", "", e.to_string()))?;
        Ok(text + "\n")
    }

    /// The kernels that a device has to use for these step times to hold; `file` is for the error's
    /// sentence.
    ///
    /// Errors: [`Error::BadCalibration`] for a calibration of version 1, which does not name them.
    pub fn kernels(&self, file: &str) -> Result<Kernels, Error> {
        let many_columns = self.many_columns.ok_or_else(|| {
            refuse(
                file,
                "many_columns",
                format!(
                    "it is missing, as in every file of version 1: the file does not name the kernels that it \
                     timed, and with others the GPU takes other times; to serve on the GPU, calibrate it \
                     again with this program (version {VERSION})"
                ),
            )
        })?;
        Ok(Kernels {
            many_columns,
            gemv: self.few_columns,
        })
    }

    /// Refuses numbers that no measurement gives.
    fn check(&self, file: &str) -> Result<(), Error> {
        let number = |field: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let allowed = match (low == high, low == -high, high < MOST || value > high) {
                (true, _, _) => format!("{low}"),
                (_, true, _) => "a finite number".to_owned(),
                (_, _, false) => format!("{low} or more"),
                _ if high < MOST => format!("{low} to {high}"),
                _ => format!("{low} to {high:e}"),
            };
            let problem = format!("{value} is not allowed; allowed is {allowed}");
            Err(refuse(file, field, problem))
        };
        let positive = |field: &str, value| number(field, value, 1e-12, MOST);
        let not_negative = |field: &str, value| number(field, value, 0.0, MOST);
        let any = |field: &str, value| number(field, value, -MOST, MOST);
        let share = |field: &str, value| number(field, value, 0.0, 1e6);
        let seconds = |field: &str, value| number(field, value, 1e-12, 1e6);
        let whole = |field: &str, value: u32, low: u32, high: u32| {
            number(field, f64::from(value), f64::from(low), f64::from(high))
        };
        let estimate = |field: &str, e: &Estimate| {
            not_negative(&format!("{field}.value"), e.value)?;
            not_negative(&format!("{field}.mad"), e.mad)?;
            for (i, [repeats, took]) in e.samples.iter().enumerate() {
                not_negative(&format!("{field}.samples[{i}][0]"), *repeats)?;
                not_negative(&format!("{field}.samples[{i}][1]"), *took)?;
            }
            Ok(())
        };

        // Names and sentences are shown as they are, in terminals too.
        for (field, text) in [
            ("program", &self.program),
            ("measured_at", &self.measured_at),
            ("adapter.name", &self.adapter.name),
            ("adapter.backend", &self.adapter.backend),
            ("adapter.driver", &self.adapter.driver),
            ("model.architecture.name", &self.model.architecture.name),
            ("model.architecture.source", &self.model.architecture.source),
        ]
        .into_iter()
        .chain(self.commit.iter().map(|text| ("commit", text)))
        .chain(
            self.adapter
                .user_agent
                .iter()
                .map(|text| ("adapter.user_agent", text)),
        )
        .chain(self.kernels.iter().map(|k| ("kernels", &k.name)))
        .chain(
            self.warnings
                .iter()
                .flat_map(|w| [("warnings", &w.code), ("warnings", &w.message)]),
        ) {
            if text.chars().any(char::is_control) {
                let shown = printable(text.as_bytes());
                let problem = format!(
                    "\"{shown}\" is not allowed; allowed is text without control characters"
                );
                return Err(refuse(file, field, problem));
            }
        }
        if self.version > 1 && self.many_columns.is_none() {
            return Err(refuse(
                file,
                "many_columns",
                format!(
                    "it is missing; from version 2 on it names three kernels (this is version {})",
                    self.version
                ),
            ));
        }
        let software = self.adapter.software || self.model.architecture.name == MADE_UP;
        if software && !self.demonstration {
            return Err(refuse(
                file,
                "demonstration",
                "it is false, and a software adapter or a made-up model measured it; allowed is true"
                    .to_owned(),
            ));
        }

        let a = &self.model.architecture;
        for (field, value, most) in [
            ("layers", a.layers, 1_000),
            ("hidden", a.hidden, 1 << 20),
            ("heads", a.heads, 4_096),
            ("kv_heads", a.kv_heads, 4_096),
            ("head_size", a.head_size, 65_536),
            ("mlp", a.mlp, 1 << 24),
            ("vocabulary", a.vocabulary, 1 << 28),
        ] {
            whole(&format!("model.architecture.{field}"), value, 1, most)?;
        }
        if !a.heads.is_multiple_of(a.kv_heads) {
            return Err(refuse(
                file,
                "model.architecture.kv_heads",
                format!(
                    "{} is not allowed; allowed is what divides heads, which is {}",
                    a.kv_heads, a.heads
                ),
            ));
        }
        positive("model.architecture.rope_theta", a.rope_theta)?;
        not_negative("model.architecture.norm_epsilon", a.norm_epsilon)?;
        whole(
            "model.layers_resident",
            self.model.layers_resident,
            1,
            a.layers,
        )?;

        self.check_steps(file)?;
        positive("bandwidth.read.value", self.bandwidth.read.value)?;
        estimate("bandwidth.read", &self.bandwidth.read)?;
        if let Some(by_timestamps) = self.bandwidth.by_timestamps {
            positive("bandwidth.by_timestamps", by_timestamps)?;
        }
        estimate("launch.dispatch", &self.launch.dispatch)?;
        estimate("launch.submission", &self.launch.submission)?;
        for (field, value) in [
            ("launch.dispatch.value", self.launch.dispatch.value),
            ("launch.submission.value", self.launch.submission.value),
        ] {
            number(field, value, 0.0, MOST_STEP_S)?;
        }
        for (i, kernel) in self.kernels.iter().enumerate() {
            not_negative(&format!("kernels[{i}].bytes"), kernel.bytes)?;
            estimate(&format!("kernels[{i}].seconds"), &kernel.seconds)?;
            any(&format!("kernels[{i}].share_of_read"), kernel.share_of_read)?;
        }
        for (i, point) in self.points.iter().enumerate() {
            seconds(&format!("points[{i}].seconds"), point.seconds)?;
            not_negative(&format!("points[{i}].mad_s"), point.mad_s)?;
        }

        let step = &self.fit.model;
        let coefficient =
            |field: &str, value| number(&format!("fit.model.{field}"), value, 0.0, MOST_STEP_S);
        coefficient("c0_s", step.c0_s)?;
        coefficient("c1_s_per_sequence", step.c1_s_per_sequence)?;
        coefficient("c2_s_per_context_token", step.c2_s_per_context_token)?;
        coefficient("c3_s_per_prefill_token", step.c3_s_per_prefill_token)?;
        coefficient("c4_s_per_prefill_pair", step.c4_s_per_prefill_pair)?;
        if let Some(compute) = &step.compute {
            coefficient("compute.d0_s", compute.d0_s)?;
            coefficient("compute.d1_s_per_token", compute.d1_s_per_token)?;
        }
        if step.step_s(1.0, 1.0, 1.0) <= 0.0 {
            return Err(refuse(
                file,
                "fit.model",
                "every step takes no time; at least one coefficient is more than 0".to_owned(),
            ));
        }
        for (i, interval) in self.fit.intervals.iter().enumerate() {
            if let Some([low, high]) = *interval {
                any(&format!("fit.intervals[{i}][0]"), low)?;
                number(&format!("fit.intervals[{i}][1]"), high, low, MOST)?;
            }
        }
        number("fit.r2", self.fit.r2, -1e6, 1.0)?;
        share("fit.held_out_median", self.fit.held_out_median)?;
        share("fit.held_out_worst", self.fit.held_out_worst)?;
        let held_out = self.points.iter().filter(|p| p.held_out).count() as f64;
        let fitted = self.points.len() as f64 - held_out;
        for (field, value, least, most) in [
            ("fit.fitted", f64::from(self.fit.fitted), fitted, fitted),
            (
                "fit.held_out",
                f64::from(self.fit.held_out),
                held_out,
                held_out,
            ),
            (
                "fit.held_out_median",
                self.fit.held_out_median,
                0.0,
                self.fit.held_out_worst,
            ),
            (
                "check_median_error",
                self.check_median_error,
                0.0,
                self.check_worst_error,
            ),
        ] {
            number(field, value, least, most)?;
        }

        for (i, check) in self.checks.iter().enumerate() {
            seconds(&format!("checks[{i}].measured_s"), check.measured_s)?;
            not_negative(&format!("checks[{i}].mad_s"), check.mad_s)?;
            not_negative(&format!("checks[{i}].predicted_s"), check.predicted_s)?;
            any(&format!("checks[{i}].error"), check.error)?;
        }
        share("check_median_error", self.check_median_error)?;
        share("check_worst_error", self.check_worst_error)?;
        if let Some(drift) = self.drift {
            // How much longer the last steps took than the first.
            number("drift", drift, -1.0, 1e6)?;
        }
        if let Some(host) = self.host {
            number("host.per_step_s", host.per_step_s, 0.0, MOST_STEP_S)?;
            number("host.per_dispatch_s", host.per_dispatch_s, 0.0, MOST_STEP_S)?;
        }
        if let Some(pace) = self.steadiness {
            seconds("steadiness.usual_s", pace.usual_s)?;
            share("steadiness.spread", pace.spread)?;
            number("steadiness.left_out", pace.left_out, 0.0, 1.0)?;
        }
        for (i, level) in self
            .proof
            .iter()
            .flat_map(|proof| &proof.levels)
            .enumerate()
        {
            whole(&format!("proof.levels[{i}].users"), level.users, 1, 1 << 20)?;
            for (side, figures) in [("predicted", level.predicted), ("measured", level.measured)] {
                for (field, value) in [
                    ("output_tokens_per_s", figures.output_tokens_per_s),
                    ("tbt_mean_ms", figures.tbt_mean_ms),
                    ("tbt_p95_ms", figures.tbt_p95_ms),
                ] {
                    positive(&format!("proof.levels[{i}].{side}.{field}"), value)?;
                }
            }
        }
        if let Some(layers) = &self.layers {
            for (i, [count, took]) in layers.counts.iter().enumerate() {
                positive(&format!("layers.counts[{i}][0]"), *count)?;
                not_negative(&format!("layers.counts[{i}][1]"), *took)?;
            }
            any("layers.per_layer_s", layers.per_layer_s)?;
            any("layers.nonlinearity", layers.nonlinearity)?;
        }
        not_negative("took_s", self.took_s)?;
        self.check_agreement(file)
    }

    /// That the times agree with each other: the steps and the points with the fit, the checks with their errors, the proof
    /// with the steps that predict it.
    fn check_agreement(&self, file: &str) -> Result<(), Error> {
        let line = |b: u32, context: u32, p: u32| {
            let [b, context, p] = [b, context, p].map(f64::from);
            self.fit.model.step_s(b, context, p)
        };
        let steps = self.steps.iter().map(|s| {
            let context = s
                .sequences
                .saturating_mul(s.context)
                .saturating_add(s.before);
            s.seconds / line(s.sequences, context, s.chunk)
        });
        let points = self.points.iter();
        let points = points.map(|p| p.seconds / line(p.sequences, p.context, p.prefill));
        for (field, mut ratios) in [
            ("steps", steps.collect::<Vec<f64>>()),
            ("points", points.collect()),
        ] {
            let ratio = median(&mut ratios).unwrap_or(1.0);
            if !(1.0 / FAR..=FAR).contains(&ratio) {
                let problem = format!(
                    "half of them take {ratio:.3} times what `fit` says of them, or more; allowed is {} to {FAR}",
                    1.0 / FAR
                );
                return Err(refuse(file, field, problem));
            }
        }
        for (i, check) in self.checks.iter().enumerate() {
            let error = check.predicted_s / check.measured_s - 1.0;
            if (check.error - error).abs() > 1e-6 * (1.0 + error.abs()) {
                let problem = format!(
                    "{} is not allowed; predicted_s and measured_s make it {error}",
                    check.error
                );
                return Err(refuse(file, &format!("checks[{i}].error"), problem));
            }
        }
        self.check_proof(file)
    }

    /// That the steps predict what the proof says they do. Between two tokens of one user is a step of one sequence, whose
    /// context is 80 tokens in the middle of a request; between those of several users, a longer one.
    fn check_proof(&self, file: &str) -> Result<(), Error> {
        let alone_ms = 1e3 * StepLatency::from(self).model().decode(1, 80).at_s;
        let longest_ms = 1e3 * self.steps.iter().map(|s| s.seconds).fold(0.0, f64::max);
        let levels = self.proof.iter().flat_map(|proof| &proof.levels);
        for (i, level) in levels.enumerate() {
            let most = match level.users {
                1 => 1.1 * alone_ms,
                // A step with a prompt and sequences takes up to both together.
                _ => 2.0 * longest_ms,
            };
            let (least, said) = (0.9 * alone_ms, level.predicted.tbt_mean_ms);
            if self.steps.is_empty() || (least..=most).contains(&said) {
                continue;
            }
            let problem =
                format!("{said} is not what the steps predict; by them it is {least} to {most}");
            return Err(refuse(
                file,
                &format!("proof.levels[{i}].predicted.tbt_mean_ms"),
                problem,
            ));
        }
        Ok(())
    }

    /// The measured steps, and that they make a profile.
    fn check_steps(&self, file: &str) -> Result<(), Error> {
        for (i, step) in self.steps.iter().enumerate() {
            let times = [
                ("seconds", step.seconds, 1e-9),
                ("mad_s", step.mad_s, 0.0),
                ("host_s", step.host_s, 0.0),
            ];
            for (field, value, least) in times {
                if !(least..=MOST_STEP_S).contains(&value) {
                    let problem =
                        format!("{value} is not allowed; allowed is {least} to {MOST_STEP_S}");
                    return Err(refuse(file, &format!("steps[{i}].{field}"), problem));
                }
            }
            if step.sampled != 0 && step.sampled != step.sequences {
                let problem = format!(
                    "{} is not allowed; allowed is 0 and sequences, which is {}",
                    step.sampled, step.sequences
                );
                return Err(refuse(file, &format!("steps[{i}].sampled"), problem));
            }
            if !(0.0..MOST).contains(&step.bytes) {
                let problem = format!("{} is not allowed; allowed is 0 or more", step.bytes);
                return Err(refuse(file, &format!("steps[{i}].bytes"), problem));
            }
        }
        if self.version < 3 {
            if self.steps.is_empty() {
                return Ok(());
            }
            let problem = format!(
                "they are of version 3, and this is version {}",
                self.version
            );
            return Err(refuse(file, "steps", problem));
        }
        for (field, is_there) in [
            ("host", self.host.is_some()),
            ("drift", self.drift.is_some()),
            ("steadiness", self.steadiness.is_some()),
        ] {
            if !is_there {
                let problem = "it is missing; version 3 has it".to_owned();
                return Err(refuse(file, field, problem));
            }
        }
        let none = || {
            let problem = format!(
                "they are missing; from version 3 on predictions come from them (this is version {})",
                self.version
            );
            refuse(file, "steps", problem)
        };
        if self.steps.is_empty() {
            return Err(none());
        }
        self.check_sizes(file)?;
        let few = self.few_columns.ok_or_else(|| {
            let problem = format!(
                "it is missing; from version 3 on it names four kernels (this is version {})",
                self.version
            );
            refuse(file, "few_columns", problem)
        })?;
        for (i, (way, columns)) in few.into_iter().zip([1, 2, 4, 8]).enumerate() {
            if !way.is_allowed(columns) {
                let problem = format!(
                    "{} is not allowed; allowed are 2, 4 and 8 rows, with {columns} columns no more than {} sums",
                    way.rows,
                    if way.subgroups { 32 } else { 16 }
                );
                return Err(refuse(file, &format!("few_columns[{i}].rows"), problem));
            }
        }
        let profile = self.profile().ok_or_else(none)?;
        profile
            .check("steps")
            .map_err(|e| refuse(file, "steps", e.to_string()))
    }

    /// That every size is there once, and that what predictions need is there.
    fn check_sizes(&self, file: &str) -> Result<(), Error> {
        let size = |s: &WholeStep| [s.sequences, s.context, s.chunk, s.before, s.sampled];
        for (i, step) in self.steps.iter().enumerate() {
            if self.steps[..i]
                .iter()
                .any(|other| size(other) == size(step))
            {
                let problem = "this step is there twice".to_owned();
                return Err(refuse(file, &format!("steps[{i}]"), problem));
            }
        }
        let decoding = |s: &&WholeStep| s.chunk == 0 && s.sequences > 0;
        let short = self.steps.iter().filter(decoding).map(|s| s.context).min();
        for (i, step) in self.steps.iter().enumerate().filter(|(_, s)| decoding(s)) {
            let with = |context, sampled| {
                let wanted = [step.sequences, context, 0, 0, sampled];
                self.steps.iter().any(|other| size(other) == wanted)
            };
            let alone = [0, step.sequences].map(|sampled| short.is_some_and(|c| with(c, sampled)));
            if alone != [true, true] {
                let problem = format!(
                    "of {} sequences there must be a step at the shortest context that draws no token and one that \
                     draws all",
                    step.sequences
                );
                return Err(refuse(file, &format!("steps[{i}]"), problem));
            }
        }
        let prompts = self
            .steps
            .iter()
            .filter(|s| s.sequences == 0 && s.chunk > 0);
        if !prompts.clone().any(|s| s.before > 0) || !prompts.clone().any(|s| s.before == 0) {
            let problem =
                "there must be prompts alone, at their beginning and behind a context".to_owned();
            return Err(refuse(file, "steps", problem));
        }
        Ok(())
    }
}

fn refuse(file: &str, field: &str, problem: String) -> Error {
    Error::BadCalibration {
        file: file.to_owned(),
        line: 0,
        column: 0,
        field: field.to_owned(),
        problem,
    }
}
