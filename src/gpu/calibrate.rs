//! The recipe: what is measured, in which order, and how the kernels' times become a latency model
//! (docs/MODEL.md, "From kernels to a step").

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use web_time::{Instant, SystemTime, UNIX_EPOCH};

use super::Cancel;
use super::check::{self, Effort};
use super::decoder::{Config, Decoder, MOST_ROWS, Product, Row, SLOTS};
use super::device::{Device, Dispatch, gpu_error};
use super::estimator::{Budget, Timing};
use super::kernels::gemv::{TILES, Wide};
use super::kernels::{BLOCK, fill, read, spread};
use super::measure::{Job, Measure, Timed};
use crate::error::Error;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::calibration::{
    Bandwidth, Calibration, Check, Estimate, Fit, KIND, KernelTime, Launch, LayerScaling, Measured,
    Point, VERSION, Warning,
};
use crate::latency::step_fit;
use crate::quantiles::median;
use crate::words::counted;

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
    /// build, verify, read, kernels, points, checks, layers or drift.
    pub stage: String,
    /// What is measured now.
    pub what: String,
    /// From 0 to 1.
    pub done: f64,
    pub kernel: Option<KernelTime>,
    pub point: Option<Point>,
    pub check: Option<Check>,
}

/// A listener of [`Progress`].
pub type Listener<'a> = &'a mut dyn FnMut(Progress);

/// Stages, their names for people, and by when they are done.
const STAGES: [(&str, &str, f64); 8] = [
    ("verify", "every kernel against the processor", 0.06),
    ("build", "build the model in the GPU's memory", 0.12),
    ("read", "how fast the GPU reads its memory", 0.15),
    ("kernels", "each kernel on the model's shapes", 0.35),
    (
        "points",
        "steps of many sizes, composed of their kernels",
        0.75,
    ),
    (
        "checks",
        "whole steps at sizes that the fit has not seen",
        0.92,
    ),
    ("layers", "whole steps with fewer layers", 0.97),
    ("drift", "the first measurement once more", 1.0),
];

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
            (true, _) => 25.0 + options.architecture.step_weights() as f64 / 1e6,
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

/// Longest context of a sequence, tokens.
const LONGEST: u32 = 8192;

/// The sizes at which steps are measured.
struct Grid {
    /// Decoding sequences, in the order in which they are measured: neighbours apart.
    batches: &'static [u32],
    /// Contexts as shares of the cache, all sequences together.
    shares: &'static [f64],
    /// Sequences and prompt tokens.
    prefills: &'static [(u32, u32)],
    /// Sequences, share of the cache, prompt tokens.
    checks: &'static [(u32, f64, u32)],
    /// Columns at which every kernel is timed.
    columns: &'static [u32],
}

const FULL: Grid = Grid {
    batches: &[1, 64, 8, 2, 32, 4, 16, 48, 6, 24, 3, 12],
    shares: &[0.06, 0.3, 1.0],
    prefills: &[
        (1, 16),
        (4, 16),
        (16, 16),
        (1, 32),
        (8, 32),
        (32, 32),
        (1, 64),
        (16, 64),
        (32, 96),
    ],
    checks: &[
        (1, 0.5, 0),
        (5, 0.7, 0),
        (7, 0.2, 0),
        (14, 0.6, 0),
        (20, 0.15, 0),
        (40, 0.8, 0),
        (56, 0.4, 0),
        (6, 0.3, 24),
        (20, 0.5, 40),
    ],
    columns: &[1, 8, 64],
};

const QUICK: Grid = Grid {
    batches: &[1, 64, 8, 32, 2, 16, 4],
    shares: &[0.1, 1.0],
    prefills: &[(1, 16), (8, 32), (1, 64), (16, 64)],
    checks: &[(1, 0.5, 0), (6, 0.5, 0), (20, 0.3, 0), (40, 0.7, 0)],
    columns: &[1],
};

/// For processors that play a GPU: they have no bandwidth to spare, and take seconds for many columns.
const DEMONSTRATION: Grid = Grid {
    batches: &[1, 16, 4, 8, 2],
    shares: &[0.1, 1.0],
    prefills: &[(1, 8), (4, 8), (2, 16)],
    checks: &[
        (1, 0.5, 0),
        (3, 0.6, 0),
        (6, 0.3, 0),
        (12, 0.7, 0),
        (2, 0.4, 8),
    ],
    columns: &[1],
};

/// The sizes for a device.
fn grid(device: &Device, options: &Options) -> &'static Grid {
    if device.adapter().software {
        &DEMONSTRATION
    } else if options.quick {
        &QUICK
    } else {
        &FULL
    }
}

/// A step of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    sequences: u32,
    /// Tokens of each sequence's context.
    context: u32,
    prefill: u32,
}

impl Size {
    /// A share of the longest context that the cache holds for each of `sequences`, up to
    /// [`LONGEST`]; room for a prompt is left.
    fn new(sequences: u32, share: f64, prefill: u32, pool: u32) -> Size {
        let each = f64::from(pool - 2 * MOST_ROWS) / f64::from(sequences);
        let room = each.min(f64::from(LONGEST)) * share;
        Size {
            sequences,
            // Whole blocks for everybody.
            context: (room as u32 / BLOCK * BLOCK).max(BLOCK),
            prefill,
        }
    }

    /// The rows, with room for them in the cache.
    fn rows(self, decoder: &mut Decoder) -> Result<Vec<Row>, Error> {
        let no_room = || gpu_error("gpu-refused", "the cache is too small for this step");
        for slot in 0..SLOTS {
            decoder.release(slot);
        }
        let mut rows = Vec::new();
        for slot in 0..self.sequences {
            if !decoder.reserve(slot, self.context) {
                return Err(no_room());
            }
            rows.push(Row {
                slot,
                position: self.context - 1,
                token: None,
                sample: true,
            });
        }
        if self.prefill > 0 {
            let slot = self.sequences;
            if !decoder.reserve(slot, self.prefill) {
                return Err(no_room());
            }
            let vocabulary = decoder.config().architecture.vocabulary;
            rows.extend((0..self.prefill).map(|position| Row {
                slot,
                position,
                token: Some(fill::hash(position) % vocabulary),
                sample: false,
            }));
        }
        Ok(rows)
    }

    fn words(self) -> String {
        let prompt = if self.prefill > 0 {
            format!(", {} prompt tokens", self.prefill)
        } else {
            String::new()
        };
        format!(
            "{} of {} tokens{prompt}",
            counted(self.sequences, "sequence"),
            self.context
        )
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
    let grid = grid(device, options);
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

    run.say(0, "every kernel against its twin".to_owned(), 0.0);
    check::kernels(device, options.seed, Effort::Quick, cancel).await?;
    run.say(1, "the decoder with random weights".to_owned(), 0.0);
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

    let many_columns = tune(&mut run, &mut decoder).await?;

    run.say(2, "streaming reads".to_owned(), 0.0);
    let bandwidth = read_bandwidth(&run).await?;
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
    let launch = launch(&run, &idle, &idle_times).await?;

    let mut kernels = squares(&mut run).await?;
    kernels.extend(shapes(&mut run, &mut decoder, grid).await?);

    let (mut points, attention, first) = points(&mut run, &mut decoder, grid).await?;
    kernels.extend(attention);
    step_fit::hold_out(&mut points);
    let fit = step_fit::fit(&points, "the measured steps")?;
    let checks = checks(&mut run, &mut decoder, grid, &fit).await?;
    let layers = layer_scaling(&mut run, &mut decoder).await?;
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
    let drift = drift(&mut run, &mut decoder, first).await?;

    let mut errors: Vec<f64> = checks.iter().map(|c| c.error.abs()).collect();
    let check_worst_error = errors.iter().copied().fold(0.0, f64::max);
    let check_median_error = median(&mut errors).unwrap_or(0.0);
    judge(
        &mut warnings,
        device,
        options,
        &fit,
        check_median_error,
        drift,
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
        many_columns: Some(many_columns),
        bandwidth,
        launch,
        kernels,
        points,
        fit,
        checks,
        check_median_error,
        check_worst_error,
        drift: Some(drift),
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
    fit: &Fit,
    check_median: f64,
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
    if drift.abs() > 0.1 {
        warn(
            warnings,
            "drift",
            format!(
                "the first measurement, repeated at the end, took {:+.0} %: the GPU's clock was not steady (heat, power saving, other programs)",
                100.0 * drift
            ),
        );
    }
    if fit.held_out_median > 0.05 {
        warn(
            warnings,
            "poor-fit",
            format!(
                "half of the points held out of the fit are off by more than {:.1} %",
                100.0 * fit.held_out_median
            ),
        );
    }
    if check_median > 0.1 {
        warn(
            warnings,
            "poor-check",
            format!(
                "half of the whole steps are off by more than {:.1} % from what their kernels predict",
                100.0 * check_median
            ),
        );
    }
}

/// Chooses the kernels for many columns, the faster one at each size, and leaves the device with them.
/// All sizes: serving asks for steps that the grid of a small calibration lacks.
async fn tune(run: &mut Run<'_>, decoder: &mut Decoder) -> Result<[Wide; TILES.len()], Error> {
    let mut chosen = [Wide::Tiles; TILES.len()];
    for (i, (columns, choice)) in TILES.into_iter().zip(&mut chosen).enumerate() {
        run.say(
            1,
            format!("the faster kernel for {columns} columns"),
            0.4 + 0.2 * i as f64,
        );
        let size = Size {
            sequences: columns,
            context: 16,
            prefill: 0,
        };
        let rows = size.rows(decoder)?;
        let both = [Wide::Tiles, Wide::Eights];
        let jobs = both.map(|wide| Job {
            what: format!("{columns} columns by {wide:?}"),
            rows: rows.clone(),
            units: decoder
                .widest()
                .map(|product| product.by(columns, wide).collect())
                .collect(),
        });
        let timed = run.measure().group(Some(decoder), &jobs).await?;
        if timed[1].slope.each_s < timed[0].slope.each_s {
            *choice = Wide::Eights;
        }
    }
    run.device.choose(chosen);
    Ok(chosen)
}

// ---- The device itself ---------------------------------------------------------------------------

/// Bytes of a buffer that is read as a whole; a software adapter reads less.
fn read_bytes(run: &Run) -> (u64, u32) {
    let adapter = run.device.adapter();
    let (each, buffers) = if adapter.software {
        (16 << 20, 4)
    } else {
        (64 << 20, 8)
    };
    (
        adapter.max_binding_bytes.min(each) / 65_536 * 65_536,
        buffers,
    )
}

async fn read_bandwidth(run: &Run<'_>) -> Result<Bandwidth, Error> {
    let device = &run.device;
    let (bytes, buffers) = read_bytes(run);
    let workgroups = (bytes / u64::from(read::BYTES)) as u32;
    let kept = device.storage(u64::from(workgroups) * 4);
    let mut sources = Vec::new();
    for seed in 0..buffers {
        run.cancel.check()?;
        // Where memory is short, fewer: the working set is what there is.
        let Some(source) = device.try_storage(bytes).await? else {
            break;
        };
        let words = (bytes / 4) as u32;
        let [x, y] = spread(words.div_ceil(fill::WORKGROUP));
        let random = device.dispatch(
            &fill::source(device.flavour(), fill::Kind::Weights(Precision::Int4)),
            &[
                &source,
                &device.uniform(&fill::shape(words, seed, 1.0, u32::MAX, u32::MAX, 0)),
            ],
            [x, y, 1],
        );
        device.run([&random]).await?;
        sources.push(source);
    }
    let [x, y] = spread(workgroups);
    let job = Job {
        what: "a streaming read".to_owned(),
        rows: Vec::new(),
        units: sources
            .iter()
            .map(|source| {
                let source = [source, &kept];
                vec![device.dispatch(&read::source(device.flavour()), &source, [x, y, 1])]
            })
            .collect(),
    };
    if job.units.is_empty() {
        return Err(gpu_error(
            "out-of-gpu-memory",
            "the GPU's memory is full before anything was measured; close other programs that use it",
        ));
    }
    let timed = run.measure().group(None, &[job]).await?.remove(0);
    let working_set_bytes = bytes * sources.len() as u64;
    sources.iter().for_each(wgpu::Buffer::destroy);
    kept.destroy();
    let bytes = bytes as f64;
    Ok(Bandwidth {
        read: rate(&timed.estimate, bytes),
        working_set_bytes,
        by_timestamps: timed.device_s.map(|s| bytes / s),
    })
}

/// A time as a rate.
fn rate(time: &Estimate, bytes: f64) -> Estimate {
    Estimate {
        value: bytes / time.value,
        unit: "bytes/s".to_owned(),
        mad: bytes / time.value * (time.mad / time.value),
        ..time.clone()
    }
}

async fn launch(run: &Run<'_>, idle: &Dispatch, idle_times: &[f64]) -> Result<Launch, Error> {
    let job = Job {
        what: "a dispatch".to_owned(),
        rows: Vec::new(),
        units: vec![vec![idle.clone()]],
    };
    let dispatch = run.measure().group(None, &[job]).await?.remove(0).estimate;
    let mut times = idle_times.to_vec();
    let value = median(&mut times).unwrap_or(0.0);
    let mut off: Vec<f64> = times.iter().map(|t| (t - value).abs()).collect();
    Ok(Launch {
        dispatch,
        submission: Estimate {
            value,
            unit: "s".to_owned(),
            mad: median(&mut off).unwrap_or(0.0),
            n: idle_times.len() as u32,
            samples: idle_times.iter().map(|&t| [1.0, t]).collect(),
        },
    })
}

fn kernel_time(
    run: &Run,
    name: String,
    columns: u32,
    context: Option<u32>,
    bytes: f64,
    seconds: Estimate,
) -> KernelTime {
    KernelTime {
        name,
        columns,
        context,
        bytes,
        share_of_read: bytes / seconds.value / run.bandwidth,
        seconds,
    }
}

/// GEMV in every precision on a square matrix, with more copies than a cache holds: what the kernel
/// makes of the bandwidth, whatever the model.
async fn squares(run: &mut Run<'_>) -> Result<Vec<KernelTime>, Error> {
    let device = run.device.clone();
    let (side, working_set) = if device.adapter().software {
        (1024u32, 8u64 << 20)
    } else {
        (4096, 256 << 20)
    };
    let mut times = Vec::new();
    for (i, precision) in Precision::ALL.into_iter().enumerate() {
        run.say(
            3,
            format!("GEMV, {} {side} x {side}", precision.name()),
            0.1 * i as f64,
        );
        let bytes = f64::from(side) * f64::from(side) * precision.bytes_per_weight();
        let copies = (working_set as f64 / bytes).ceil() as u32;
        let x = device.filled(&vec![0.25f32; side as usize]);
        let y = device.storage(u64::from(side) * 4);
        let count = device.uniform(&[1, 0, 0, 0]);
        let mut products = Vec::new();
        for seed in 0..copies {
            run.cancel.check()?;
            let shape = [side, side];
            match Product::new(&device, precision, shape, seed, &x, &y, &count).await? {
                Some(product) => products.push(product),
                None => break,
            }
        }
        if products.is_empty() {
            continue;
        }
        let job = Job {
            what: format!("GEMV in {}", precision.name()),
            rows: Vec::new(),
            units: products.iter().map(|p| p.over(1).collect()).collect(),
        };
        let timed = run.measure().group(None, &[job]).await?.remove(0);
        times.push(kernel_time(
            run,
            format!("gemv-{} {side}x{side}", precision.name()),
            1,
            None,
            bytes,
            timed.estimate,
        ));
        let mut said = run.say(
            3,
            format!("GEMV, {} {side} x {side}", precision.name()),
            0.1 * (i + 1) as f64,
        );
        said.kernel = times.last().cloned();
        (run.listener)(said);
    }
    Ok(times)
}

/// The model's own matrices, all layers in turn.
async fn shapes(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    grid: &Grid,
) -> Result<Vec<KernelTime>, Error> {
    let mut times = Vec::new();
    for (i, &columns) in grid.columns.iter().enumerate() {
        run.say(
            3,
            format!("the model's matrices, {columns} columns"),
            0.4 + 0.6 * i as f64 / grid.columns.len() as f64,
        );
        let size = Size {
            sequences: columns,
            context: 16,
            prefill: 0,
        };
        let rows = size.rows(decoder)?;
        decoder.lay(&rows)?;
        let mut jobs = Vec::new();
        let mut named = Vec::new();
        for (name, bytes, units) in decoder.products(columns) {
            jobs.push(Job {
                what: name.clone(),
                rows: rows.clone(),
                units,
            });
            named.push((name, bytes));
        }
        let timed = run.measure().group(Some(decoder), &jobs).await?;
        for ((name, bytes), timed) in named.into_iter().zip(timed) {
            times.push(kernel_time(run, name, columns, None, bytes, timed.estimate));
            let mut said = run.say(
                3,
                format!("the model's matrices, {columns} columns"),
                0.4 + 0.6 * (i + 1) as f64 / grid.columns.len() as f64,
            );
            said.kernel = times.last().cloned();
            (run.listener)(said);
        }
    }
    Ok(times)
}

// ---- Steps ---------------------------------------------------------------------------------------

/// The first measured part of a step, for the drift.
struct First {
    size: Size,
    seconds: f64,
}

fn layer_jobs(decoder: &Decoder, size: Size, rows: &[Row]) -> Job {
    Job {
        what: format!("a layer without attention, {}", size.words()),
        rows: rows.to_vec(),
        units: (0..decoder.layers() as usize)
            .map(|layer| {
                let mut unit = Vec::new();
                decoder.layer_without_attention(layer, &mut unit);
                unit
            })
            .collect(),
    }
}

fn attention_job(decoder: &Decoder, size: Size, rows: &[Row]) -> Job {
    Job {
        what: format!("attention, {}", size.words()),
        rows: rows.to_vec(),
        units: (0..decoder.layers() as usize)
            .map(|layer| {
                let mut unit = Vec::new();
                decoder.attention(layer, &mut unit);
                unit
            })
            .collect(),
    }
}

fn rest_job(decoder: &Decoder, size: Size, rows: &[Row]) -> Job {
    Job {
        what: format!("embeddings, LM head and sampling, {}", size.words()),
        rows: rows.to_vec(),
        units: vec![decoder.without_layers()],
    }
}

/// Steps of many sizes: all layers' parts, their attention, and the rest, added up.
async fn points(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    grid: &Grid,
) -> Result<(Vec<Point>, Vec<KernelTime>, First), Error> {
    let pool = decoder.config().pool_tokens;
    let a = run.options.architecture.clone();
    let mut groups: Vec<Vec<Size>> = grid
        .batches
        .iter()
        .map(|&b| {
            let mut sizes: Vec<Size> = grid
                .shares
                .iter()
                .map(|&share| Size::new(b, share, 0, pool))
                .collect();
            sizes.dedup();
            sizes
        })
        .collect();
    groups.extend(
        grid.prefills
            .iter()
            .map(|&(b, p)| vec![Size::new(b, 0.3, p, pool)]),
    );
    let mut points = Vec::new();
    let mut kernels = Vec::new();
    let mut first = None;
    let count = groups.len();
    for (i, sizes) in groups.into_iter().enumerate() {
        let Some(&size) = sizes.first() else { continue };
        run.say(4, size.words(), i as f64 / count as f64);
        // What does not depend on the context is measured once for all contexts, beside them.
        let rows = size.rows(decoder)?;
        decoder.lay(&rows)?;
        let mut jobs = vec![
            layer_jobs(decoder, size, &rows),
            rest_job(decoder, size, &rows),
        ];
        for &size in &sizes {
            let rows = size.rows(decoder)?;
            decoder.lay(&rows)?;
            jobs.push(attention_job(decoder, size, &rows));
        }
        // Room for the longest, which holds the shorter ones' too.
        if let Some(&longest) = sizes.iter().max_by_key(|s| s.context) {
            longest.rows(decoder)?;
        }
        let timed = run.measure().group(Some(decoder), &jobs).await?;
        let [layer, rest, attention @ ..] = &timed[..] else {
            continue;
        };
        first.get_or_insert(First {
            size,
            seconds: layer.slope.each_s,
        });
        for (size, attention) in sizes.iter().zip(attention) {
            let point = compose(a.layers, *size, [layer, attention, rest]);
            points.push(point);
            let mut said = run.say(4, size.words(), (i + 1) as f64 / count as f64);
            said.point = Some(point);
            if size.prefill == 0 {
                let bytes = f64::from(size.sequences * size.context) * a.kv_values() as f64 * 2.0;
                kernels.push(kernel_time(
                    run,
                    format!("attention {}/{}x{}", a.heads, a.kv_heads, a.head_size),
                    size.sequences,
                    Some(size.context),
                    bytes,
                    attention.estimate.clone(),
                ));
                said.kernel = kernels.last().cloned();
            }
            (run.listener)(said);
        }
    }
    let first = first.ok_or_else(|| gpu_error("gpu-refused", "no step was measured"))?;
    Ok((points, kernels, first))
}

/// A step's time from its parts: all layers, their attention, the rest.
fn compose(layers: u32, size: Size, [layer, attention, rest]: [&Timed; 3]) -> Point {
    let layers = f64::from(layers);
    let mads = [
        layers * layer.slope.mad_s,
        layers * attention.slope.mad_s,
        rest.slope.mad_s,
    ];
    Point {
        sequences: size.sequences,
        context: size.sequences * size.context,
        prefill: size.prefill,
        seconds: layers * (layer.slope.each_s + attention.slope.each_s) + rest.slope.each_s,
        mad_s: libm::sqrt(mads.iter().map(|m| m * m).sum()),
        held_out: false,
    }
}

/// Whole steps through `layers` layers.
fn whole_job(decoder: &Decoder, size: Size, rows: &[Row], layers: u32) -> Job {
    Job {
        what: format!("a step through {layers} layers, {}", size.words()),
        rows: rows.to_vec(),
        units: vec![decoder.whole(layers)],
    }
}

/// Whole steps at sizes that are not among the points, against the fit.
async fn checks(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    grid: &Grid,
    fit: &Fit,
) -> Result<Vec<Check>, Error> {
    let pool = decoder.config().pool_tokens;
    let (resident, total) = (decoder.layers(), run.options.architecture.layers);
    let mut checks = Vec::new();
    for (i, &(sequences, share, prefill)) in grid.checks.iter().enumerate() {
        let size = Size::new(sequences, share, prefill, pool);
        run.say(5, size.words(), i as f64 / grid.checks.len() as f64);
        let rows = size.rows(decoder)?;
        decoder.lay(&rows)?;
        let mut jobs = vec![whole_job(decoder, size, &rows, resident)];
        if resident < total {
            jobs.push(whole_job(decoder, size, &rows, resident / 2));
        }
        let timed = run.measure().group(Some(decoder), &jobs).await?;
        let whole = &timed[0].slope;
        // Where not all layers are in memory, the rest cost what the upper half of them did.
        let missing = match timed.get(1) {
            Some(half) => {
                let per_layer =
                    (whole.each_s - half.slope.each_s) / f64::from(resident - resident / 2);
                per_layer * f64::from(total - resident)
            }
            None => 0.0,
        };
        let measured_s = whole.each_s + missing;
        let context = size.sequences * size.context;
        let predicted_s =
            fit.model
                .step_s(f64::from(sequences), f64::from(context), f64::from(prefill));
        let check = Check {
            sequences,
            context,
            prefill,
            measured_s,
            mad_s: whole.mad_s,
            predicted_s,
            error: predicted_s / measured_s - 1.0,
        };
        checks.push(check);
        let mut said = run.say(5, size.words(), (i + 1) as f64 / grid.checks.len() as f64);
        said.check = Some(check);
        (run.listener)(said);
    }
    Ok(checks)
}

/// Whole steps with a quarter, half and all of the layers in memory.
async fn layer_scaling(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
) -> Result<Option<LayerScaling>, Error> {
    let resident = decoder.layers();
    run.say(6, format!("up to {resident} layers"), 0.0);
    let mut counts = vec![resident.div_ceil(4), resident.div_ceil(2), resident];
    counts.dedup();
    let [few, some, all] = counts[..] else {
        return Ok(None);
    };
    let size = Size::new(1, 0.1, 0, decoder.config().pool_tokens);
    let rows = size.rows(decoder)?;
    decoder.lay(&rows)?;
    let jobs = [few, some, all].map(|layers| whole_job(decoder, size, &rows, layers));
    let timed = run.measure().group(Some(decoder), &jobs).await?;
    let seconds: Vec<f64> = timed.iter().map(|t| t.slope.each_s).collect();
    let per_layer_s = (seconds[1] - seconds[0]) / f64::from(some - few);
    let expected = seconds[1] + per_layer_s * f64::from(all - some);
    Ok(Some(LayerScaling {
        counts: counts
            .iter()
            .zip(&seconds)
            .map(|(&count, &s)| [f64::from(count), s])
            .collect(),
        per_layer_s,
        nonlinearity: seconds[2] / expected - 1.0,
        extrapolated: resident < run.options.architecture.layers,
    }))
}

/// How much longer the first measurement takes at the end, in proportion.
async fn drift(run: &mut Run<'_>, decoder: &mut Decoder, first: First) -> Result<f64, Error> {
    run.say(7, first.size.words(), 0.0);
    let rows = first.size.rows(decoder)?;
    decoder.lay(&rows)?;
    let job = layer_jobs(decoder, first.size, &rows);
    let again = run
        .measure()
        .group(Some(decoder), &[job])
        .await?
        .remove(0)
        .slope;
    Ok(again.each_s / first.seconds - 1.0)
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

    #[test]
    fn every_size_fits_the_cache_and_no_check_is_a_point() {
        for name in Architecture::PRESETS {
            for precision in Precision::ALL {
                for (quick, grid) in [(false, &FULL), (true, &QUICK), (true, &DEMONSTRATION)] {
                    let options = Options {
                        architecture: Architecture::preset(name).unwrap(),
                        precision,
                        quick,
                        seed: 1,
                        most_bytes: None,
                    };
                    let pool = pool_tokens(&options);
                    let decoding = grid
                        .batches
                        .iter()
                        .flat_map(|&b| grid.shares.iter().map(move |&s| (b, s, 0)));
                    let prompts = grid.prefills.iter().map(|&(b, p)| (b, 0.3, p));
                    let points: Vec<Size> = decoding
                        .chain(prompts)
                        .map(|(b, share, p)| Size::new(b, share, p, pool))
                        .collect();
                    let checks = grid
                        .checks
                        .iter()
                        .map(|&(b, share, p)| Size::new(b, share, p, pool));
                    for check in checks.clone() {
                        assert!(!points.contains(&check), "{name}: {check:?}");
                    }
                    for size in points.iter().copied().chain(checks) {
                        let blocks = size.sequences * size.context.div_ceil(BLOCK)
                            + size.prefill.div_ceil(BLOCK);
                        assert!(blocks <= pool / BLOCK, "{name}: {size:?} of {pool}");
                        assert!(size.sequences + size.prefill <= MOST_ROWS);
                        assert!(size.sequences + u32::from(size.prefill > 0) <= SLOTS);
                    }
                }
            }
        }
    }
}
