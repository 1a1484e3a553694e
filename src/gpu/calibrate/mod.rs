//! The recipe: what is measured, in which order, and what it leaves (docs/MODEL.md, "From whole steps to a
//! prediction").

mod kernels;
mod steps;

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use web_time::{Instant, SystemTime, UNIX_EPOCH};

use self::steps::{DEMONSTRATION, FULL, Grid, QUICK, Size};
use super::Cancel;
use super::check::{self, Effort, Part};
use super::decoder::{Config, Decoder};
use super::device::Device;
use super::estimator::{Budget, Timing};
use super::kernels::fill;
use super::measure::Measure;
use super::pace::{STEADY, Settled};
use crate::error::Error;
use crate::latency::StepLatency;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::calibration::{
    self, Calibration, Check, KIND, KernelTime, Measured, Point, Steadiness, VERSION, Warning,
};
use crate::latency::step_fit;
use crate::quantiles::median;

/// What to calibrate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "CalibrateOptions"))]
pub struct Options {
    pub architecture: Architecture,
    pub precision: Precision,
    /// Fewer sizes, fewer and shorter repetitions.
    pub quick: bool,
    pub seed: u32,
    /// Bytes of layers after which no further one is put into the GPU's memory; absent: as many as
    /// it holds.
    #[serde(default)]
    #[cfg_attr(feature = "ts", ts(optional, type = "number"))]
    pub most_bytes: Option<u64>,
}

/// What would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "CalibratePlan"))]
pub struct Plan {
    /// About how long, s.
    pub seconds: f64,
    /// GPU memory, if all layers fit.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub bytes: u64,
    pub layers: u32,
    /// The stages in their order.
    pub steps: Vec<String>,
}

/// What a calibration is busy with, and what it has just found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "CalibrateProgress"))]
pub struct Progress {
    /// verify, build, read, kernels or points.
    pub stage: String,
    /// What is measured now.
    pub what: String,
    /// From 0 to 1.
    pub done: f64,
    pub kernel: Option<KernelTime>,
    /// By what is known so far: a later one of the same size replaces it.
    pub point: Option<Point>,
    pub check: Option<Check>,
}

/// A listener of [`Progress`].
pub type Listener<'a> = &'a mut dyn FnMut(Progress);

/// Stages, their names for people, and by when they are done.
const STAGES: [(&str, &str, f64); 5] = [
    ("verify", "every kernel against the processor", 0.06),
    ("build", "build the model in the GPU's memory", 0.12),
    ("read", "how fast the GPU reads its memory", 0.15),
    ("kernels", "each kernel on the model's shapes", 0.3),
    ("points", "whole steps of many sizes, in rounds", 1.0),
];
const VERIFY: usize = 0;
const BUILD: usize = 1;
const READ: usize = 2;
const KERNELS: usize = 3;
const POINTS: usize = 4;

/// Tokens of the cache: contexts worth half the weights, within bounds.
fn pool_tokens(options: &Options) -> u32 {
    let a = &options.architecture;
    let weights = a.step_weights() as f64 * options.precision.bytes_per_weight();
    let per_token = f64::from(a.layers) * a.kv_values() as f64 * 2.0;
    let tokens = (0.5 * weights / per_token).clamp(4096.0, 32_768.0);
    (tokens as u32).div_ceil(256) * 256
}

/// The decoder that a calibration with these options builds.
pub fn config(options: &Options) -> Config {
    Config {
        architecture: options.architecture.clone(),
        precision: options.precision,
        pool_tokens: pool_tokens(options),
        seed: options.seed,
        temperature: 1.0,
        most_bytes: options.most_bytes,
    }
}

/// What would run, for how long, in how much memory.
pub fn plan(device: &Device, options: &Options) -> Plan {
    Plan {
        seconds: match (device.adapter().software, options.quick) {
            // By the weights that a processor gets through; drivers differ by a factor of five.
            (true, _) => 45.0 + 3.0 * options.architecture.step_weights() as f64 / 1e6,
            (false, true) => 10.0,
            (false, false) => 40.0,
        },
        bytes: config(options).bytes(),
        layers: options.architecture.layers,
        steps: STAGES
            .iter()
            .map(|(_, name, _)| (*name).to_owned())
            .collect(),
    }
}

/// The sizes for a device, and the columns at which its kernels are timed.
fn grid(device: &Device, options: &Options) -> (&'static Grid, &'static [u32]) {
    if device.adapter().software {
        // It has no bandwidth to spare, and takes seconds for many columns.
        (&DEMONSTRATION, &[1])
    } else if options.quick {
        (&QUICK, &[1])
    } else {
        (&FULL, &[1, 8, 64])
    }
}

/// One calibration on its way.
struct Run<'a> {
    device: Rc<Device>,
    options: &'a Options,
    cancel: &'a Cancel,
    listener: Listener<'a>,
    budget: Budget,
    timing: Timing,
    group_s: f64,
    /// Bytes/s.
    bandwidth: f64,
    begun: Instant,
}

impl Run<'_> {
    fn measure(&self) -> Measure<'_> {
        Measure {
            device: &self.device,
            cancel: self.cancel,
            timing: self.timing,
            budget: self.budget,
            group_s: self.group_s,
        }
    }

    /// Says what is going on; `part` of the stage is done.
    fn say(&mut self, stage: usize, what: String, part: f64) -> Progress {
        let before = if stage == 0 { 0.0 } else { STAGES[stage - 1].2 };
        let progress = Progress {
            stage: STAGES[stage].0.to_owned(),
            what,
            done: before + (STAGES[stage].2 - before) * part,
            kernel: None,
            point: None,
            check: None,
        };
        (self.listener)(progress.clone());
        progress
    }
}

/// Calibrates a device: measures, fits, checks.
///
/// Errors: `interrupted` where that was asked for, `wrong-result` where the device computes something
/// else than the processor, `out-of-gpu-memory`, `device-lost`, `gpu-refused`.
pub async fn calibrate(
    device: &Rc<Device>,
    options: &Options,
    cancel: &Cancel,
    listener: Listener<'_>,
) -> Result<Calibration, Error> {
    let (grid, columns) = grid(device, options);
    let idle_bytes = device.filled(&[0u32; 16]);
    let idle = device.dispatch(
        &fill::source(device.flavour(), fill::Kind::Scales),
        &[
            &idle_bytes,
            &device.uniform(&fill::shape(16, 1, 1.0, 32, 16, 0)),
        ],
        [1, 1, 1],
    );
    let begun = Instant::now();
    let (timing, idle_times) = Measure::timing(device, &idle, cancel).await?;
    let mut run = Run {
        device: device.clone(),
        options,
        cancel,
        listener,
        budget: Budget {
            wanted_s: if options.quick { 0.008 } else { 0.024 },
            longest_s: 0.2,
            rounds: if options.quick { 5 } else { 7 },
        },
        timing,
        group_s: if options.quick { 0.4 } else { 1.5 },
        bandwidth: 0.0,
        begun,
    };
    let mut warnings = Vec::new();

    run.say(VERIFY, "every kernel against its twin".to_owned(), 0.0);
    check::kernels(device, options.seed, Effort::Quick, cancel).await?;
    run.say(BUILD, "the decoder with random weights".to_owned(), 0.0);
    let mut decoder = Decoder::build(device.clone(), config(options), cancel).await?;
    let total = options.architecture.layers;
    let resident = decoder.layers();
    if resident < total {
        warn(
            &mut warnings,
            "fewer-layers",
            format!(
                "the GPU's memory holds {resident} of {total} layers; times of all layers are extrapolated by layer count"
            ),
        );
    }

    let chosen = kernels::tune(&mut run, &mut decoder).await?;
    // The first check was of the kernels that a device begins with.
    let part = Part::Gemv(options.precision);
    check::part(device, part, options.seed, Effort::Quick, cancel).await?;

    run.say(READ, "streaming reads".to_owned(), 0.0);
    let bandwidth = kernels::read_bandwidth(&run).await?;
    run.bandwidth = bandwidth.read.value;
    match bandwidth.by_timestamps {
        None => warn(
            &mut warnings,
            "no-timestamps",
            "this device has no usable timestamps to check the clock by".to_owned(),
        ),
        Some(by) if (by / bandwidth.read.value - 1.0).abs() > 0.15 => warn(
            &mut warnings,
            "timestamps-disagree",
            format!(
                "timestamps give {:.1} GB/s and the clock {:.1} GB/s; something disturbed the measurement, or the browser rounds its timestamps",
                by / 1e9,
                bandwidth.read.value / 1e9
            ),
        ),
        Some(_) => {}
    }
    let launch = kernels::launch(&run, &idle, &idle_times).await?;

    let mut kernels = kernels::squares(&mut run).await?;
    kernels.extend(kernels::shapes(&mut run, &mut decoder, columns).await?);

    let found = steps::measure(&mut run, &mut decoder, grid).await?;
    let mut points = found.points;
    step_fit::hold_out(&mut points);
    let fit = step_fit::fit(&points, "the measured steps")?;
    let profile = calibration::profile(total, &found.steps)
        .ok_or_else(|| super::device::gpu_error("gpu-refused", "no step was measured"))?;
    let checks = checked(StepLatency::Profile(Box::new(profile)), &found.checks);
    for (&check, (size, _)) in checks.iter().zip(&found.checks) {
        let mut said = run.say(POINTS, size.words(), 1.0);
        said.check = Some(check);
        (run.listener)(said);
    }
    let layers = found.layers;
    if let Some(layers) = layers.as_ref().filter(|l| l.nonlinearity.abs() > 0.1) {
        let so = if layers.extrapolated {
            "extrapolated times are that uncertain"
        } else {
            "something disturbed the measurement, or a cache holds a part of the model"
        };
        warn(
            &mut warnings,
            "nonlinear-layers",
            format!(
                "steps do not grow in proportion to their layers (off by {:.0} %); {so}",
                100.0 * layers.nonlinearity.abs()
            ),
        );
    }

    let mut errors: Vec<f64> = checks.iter().map(|c| c.error.abs()).collect();
    let check_worst_error = errors.iter().copied().fold(0.0, f64::max);
    let check_median_error = median(&mut errors).unwrap_or(0.0);
    judge(
        &mut warnings,
        device,
        options,
        check_median_error,
        found.steadiness,
        found.drift,
    );
    run.say(STAGES.len() - 1, "done".to_owned(), 1.0);
    let adapter = device.adapter().clone();
    Ok(Calibration {
        kind: KIND.to_owned(),
        version: VERSION,
        program: format!("batchscope {}", env!("CARGO_PKG_VERSION")),
        commit: None,
        measured_at: now(),
        demonstration: adapter.software || options.architecture.name == "demo",
        adapter,
        model: Measured {
            architecture: options.architecture.clone(),
            precision: options.precision,
            layers_resident: resident,
            quick: options.quick,
        },
        many_columns: Some(chosen.wide),
        few_columns: Some(chosen.gemv),
        bandwidth,
        launch,
        kernels,
        steps: found.steps,
        host: Some(found.host),
        points,
        fit,
        checks,
        check_median_error,
        check_worst_error,
        drift: Some(found.drift),
        steadiness: Some(found.steadiness),
        proof: None,
        layers,
        warnings,
        took_s: run.begun.elapsed().as_secs_f64(),
    })
}

fn warn(warnings: &mut Vec<Warning>, code: &str, message: String) {
    warnings.push(Warning {
        code: code.to_owned(),
        message,
    });
}

/// Warnings that follow from the results.
fn judge(
    warnings: &mut Vec<Warning>,
    device: &Device,
    options: &Options,
    check_median: f64,
    pace: Steadiness,
    drift: f64,
) {
    let adapter = device.adapter();
    if adapter.software {
        warn(
            warnings,
            "software-adapter",
            format!(
                "{} runs GPU programs on the processor: this is a demonstration, not a measurement of a GPU",
                adapter.name
            ),
        );
    }
    if options.architecture.name == "demo" {
        warn(
            warnings,
            "made-up-model",
            "the model is made up and small: a demonstration".to_owned(),
        );
    }
    if options.precision == Precision::F16 && !adapter.shader_f16 {
        warn(
            warnings,
            "no-f16",
            "this device has no half-precision arithmetic (shader-f16); weights are unpacked from words, at the same bytes".to_owned(),
        );
    }
    let moved = drift.abs().max(pace.spread);
    if moved > STEADY {
        warn(
            warnings,
            "drift",
            format!(
                "the GPU's pace was not steady: one small step, taken again and again, moved by {:.0} % ({:+.0} % from the first third to the last), and {:.0} % of the measured steps did not count; no prediction is better than that. Close other programs and calibrate again",
                100.0 * moved,
                100.0 * drift,
                100.0 * pace.left_out
            ),
        );
    }
    if check_median > STEADY {
        warn(
            warnings,
            "poor-check",
            format!(
                "half of the whole steps that the calibration had not seen are off by more than {:.1} % from what it predicts",
                100.0 * check_median
            ),
        );
    }
}

/// Whole steps at sizes that the profile has not seen, against it.
fn checked(latency: StepLatency, checks: &[(Size, Settled)]) -> Vec<Check> {
    let model = latency.model();
    let check = |&(size, time): &(Size, Settled)| {
        let mut check = Check {
            sequences: size.sequences,
            context: size.sequences * size.context,
            prefill: size.chunk,
            measured_s: time.took_s,
            mad_s: time.mad_s,
            predicted_s: 0.0,
            error: 0.0,
        };
        check.predicted_s = model.step(&check.work(&mut Vec::new())).seconds;
        check.error = check.predicted_s / check.measured_s - 1.0;
        check
    };
    checks.iter().map(check).collect()
}

/// The time now, UTC.
fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    utc(seconds)
}

/// Seconds since 1970 as a calendar time (Hinnant's days to civil).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year_of_era + era * 400, month + 3)
    } else {
        (year_of_era + era * 400 + 1, month - 9)
    };
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_times() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_651_322), "2026-11-26T00:02:02Z");
    }
}
