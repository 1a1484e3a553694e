//! `batchscope serve`: users against a server with continuous batching, predicted from a calibration or
//! a data sheet, and with `--measure` measured on the calibrated GPU beside it.

use std::path::{Path, PathBuf};
#[cfg(feature = "gpu")]
use std::rc::Rc;

use clap::Parser;

use super::args::{PrecisionArg, card, count, model, number, think};
use super::manifest::Manifest;
#[cfg(feature = "gpu")]
use super::study;
use super::{calibrated, files, interrupt, table};
use crate::Error;
#[cfg(feature = "gpu")]
use crate::gpu::{Device, adapters, serve as on_device};
use crate::latency::architecture::Architecture;
use crate::latency::calibration::Calibration;
use crate::latency::roofline::{Card, Hardware};
use crate::scenario::{MAX_BATCH, no_effect};
use crate::sched::joining::{Limits, Load, MAX_USERS, Record};
use crate::study::document::{Content, File};
use crate::study::serving::{self, Comparison, Stack};

/// As in the list of a folder's files.
const NAME: &str = "serve";

#[derive(Parser)]
pub struct ServeArgs {
    /// Calibration of a GPU and model, as `batchscope calibrate` writes it ("-" for standard input).
    #[arg(long, value_name = "CALIBRATION", required_unless_present = "hardware")]
    latency: Option<PathBuf>,
    /// A data sheet instead of a calibration: what the GPU allows at best.
    #[arg(long, value_name = "NAME", conflicts_with = "latency", requires = "model", value_parser = card)]
    hardware: Option<Card>,
    /// The model, with a data sheet.
    #[arg(long, value_name = "MODEL", requires = "hardware", value_parser = model)]
    model: Option<Architecture>,
    /// How the model's weights are stored, with a data sheet [default: f16].
    #[arg(long, value_name = "P", requires = "hardware")]
    precision: Option<PrecisionArg>,
    /// Serve the load on the calibrated GPU as well, with a real decoder of random weights.
    #[cfg(feature = "gpu")]
    // clap forgets what is required where it contradicts what is there: hence the second.
    #[arg(long, requires = "latency", conflicts_with_all = ["block_tokens", "hardware"])]
    measure: bool,
    /// Which adapter, as `batchscope adapters` numbers them; default: the one of the calibration.
    #[cfg(feature = "gpu")]
    #[arg(long, value_name = "N", requires = "measure", value_parser = adapter)]
    adapter: Option<usize>,
    /// Levels of load: users who each keep one request under way.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,2,4,8", allow_hyphen_values = true, value_parser = count(1, MAX_USERS))]
    users: Vec<u32>,
    /// Requests of each user, one after another [default: 4].
    #[arg(long, value_name = "R", value_parser = count(1, 1_000_000))]
    requests_per_user: Option<u32>,
    /// Prompt tokens of each request [default: 64].
    #[arg(long, value_name = "N", value_parser = count(1, 131_072))]
    prompt: Option<u32>,
    /// Output tokens of each request [default: 32].
    #[arg(long, value_name = "N", value_parser = count(1, 131_072))]
    output: Option<u32>,
    /// Shortest and longest pause between an answer and the next request, s; one number stands for
    /// both [default: 0].
    #[arg(long, value_name = "MIN,MAX", num_args = 1, allow_hyphen_values = true, value_parser = think)]
    think: Option<[f64; 2]>,
    /// Of the think times [default: 42].
    #[arg(long, value_name = "N", value_parser = count(0, u32::MAX))]
    seed: Option<u32>,
    /// Sequences that the server works on at once [default: 256 with --hardware, 64 with --latency].
    #[arg(long, value_name = "N", value_parser = count(1, MAX_BATCH))]
    sequences: Option<u32>,
    /// Tokens of a step, decoded and of prompts [default: 2048 with --hardware, 128 with --latency].
    #[arg(long, value_name = "N", value_parser = count(1, 1 << 24))]
    rows: Option<u32>,
    /// Blocks of the KV cache; default: with --hardware what the weights leave of nine tenths of its memory, with
    /// --latency enough for every sequence.
    #[arg(long, value_name = "N", value_parser = count(1, u32::MAX))]
    kv_blocks: Option<u32>,
    /// Tokens of a block [default: 16].
    #[arg(long, value_name = "N", value_parser = count(1, 4096))]
    block_tokens: Option<u32>,
    /// Peak of the GPU by its data sheet, FLOP/s, for MFU and ceilings; default: that of a known data
    /// sheet of the calibrated GPU.
    #[arg(long, value_name = "FLOPS", conflicts_with = "hardware", value_parser = number(1e6, 1e24))]
    peak_flops: Option<f64>,
    /// Print every figure as JSON.
    #[arg(long)]
    json: bool,
    /// Folder for tables, reports and figures, those of the study saturation among them.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ServeArgs {
    fn load(&self, limits: Limits) -> Load {
        let load = Load::default();
        let [think_min_s, think_max_s] = self.think.unwrap_or([0.0, 0.0]);
        Load {
            users: load.users,
            requests_per_user: self.requests_per_user.unwrap_or(load.requests_per_user),
            prompt_tokens: self.prompt.unwrap_or(load.prompt_tokens),
            output_tokens: self.output.unwrap_or(load.output_tokens),
            think_min_s,
            think_max_s,
            seed: self.seed.unwrap_or(load.seed),
            limits: Limits {
                sequences: self.sequences.unwrap_or(limits.sequences),
                rows: self.rows.unwrap_or(limits.rows),
                kv_blocks: self.kv_blocks,
                block_tokens: self.block_tokens.unwrap_or(limits.block_tokens),
            },
        }
    }
}

pub fn serve(args: ServeArgs) -> Result<(), Error> {
    // clap lets these pass: they require what conflicts with --latency.
    for (flag, given) in [
        ("--model", args.model.is_some()),
        ("--precision", args.precision.is_some()),
    ] {
        if given && args.latency.is_some() {
            return Err(no_effect(
                flag,
                "the calibration (--latency) is of a model of its own",
            ));
        }
    }
    #[cfg(feature = "gpu")]
    if args.adapter.is_some() && !args.measure {
        return Err(no_effect(
            "--adapter",
            "nothing is measured; --measure serves on a GPU",
        ));
    }
    let thinks = args.think.is_some_and(|[least, most]| most > least);
    if args.seed.is_some() && !(thinks && args.requests_per_user != Some(1)) {
        return Err(no_effect(
            "--seed",
            "only think times are random, and these users have none, or one length of them",
        ));
    }
    let calibration = args.latency.as_deref().map(calibrated::read).transpose()?;
    let mut stack = stack(&args, calibration.as_ref())?;
    let loads = serving::levels(&args.users, &args.load(stack.limits()))?;
    // A folder that is refused is refused before anything runs.
    if let Some(folder) = &args.out {
        Manifest::read(folder, NAME)?;
    }
    let measured = measured(&args, calibration.as_ref(), &mut stack, &loads)?;
    let mut levels = Vec::with_capacity(loads.len());
    for (i, load) in loads.iter().enumerate() {
        levels.push(Comparison::of(&stack, load, measured.get(i))?);
        interrupt::check()?;
    }
    let documents = serving::files(&stack, &levels)?;
    let written = match &args.out {
        Some(folder) => Some((folder.as_path(), write_all(folder, &documents)?)),
        None => None,
    };
    print(&documents, args.json, written)
}

/// What serves.
fn stack(args: &ServeArgs, calibration: Option<&Calibration>) -> Result<Stack, Error> {
    let mut stack = match (calibration, &args.hardware, &args.model) {
        (Some(calibration), _, _) => Stack::from(calibration),
        (None, Some(card), Some(model)) => Stack::of_data_sheet(
            card,
            model.clone(),
            args.precision.map(|p| p.0).unwrap_or_default(),
        )?,
        // clap asks for one of the two, and for the model with the second.
        (None, _, _) => {
            return Err(Error::BadArgument {
                argument: "--latency".to_owned(),
                problem: "it is missing; --help says what it is".to_owned(),
            });
        }
    };
    if let Some(peak_flops) = args.peak_flops {
        stack.hardware = Some(Hardware {
            name: stack.gpu.clone(),
            peak_flops,
            bandwidth_bytes_per_s: stack.read_bytes_per_s,
            source: "peak as given, bandwidth as measured".to_owned(),
        });
    }
    Ok(stack)
}

/// What a device took for each of the loads; nothing where none was asked to.
#[cfg(feature = "gpu")]
fn measured(
    args: &ServeArgs,
    calibration: Option<&Calibration>,
    stack: &mut Stack,
    loads: &[Load],
) -> Result<Vec<Record>, Error> {
    let (Some(calibration), Some(path), true) = (calibration, &args.latency, args.measure) else {
        return Ok(Vec::new());
    };
    let file = path.display().to_string();
    // A calibration that cannot be served is refused before a device is opened.
    calibration.kernels(&file)?;
    // The decoder's limits are narrower than what can be predicted.
    for load in loads {
        load.check()?;
    }
    let number = match args.adapter {
        Some(number) => number,
        None => adapter_of(&stack.gpu)?,
    };
    let device = Rc::new(pollster::block_on(Device::open(Some(number)))?);
    let name = &device.adapter().name;
    stack.measured_on = (*name != stack.gpu).then(|| name.clone());
    let mut decoder = pollster::block_on(on_device::decoder(device, calibration, &file, loads))?;
    let all: u32 = loads.iter().map(Load::requests).sum();
    let bar = study::new_bar(all as usize, "requests");
    let mut before = 0;
    let mut progress = |progress: on_device::Progress| {
        if progress.elapsed_s == 0.0 {
            before = bar.position();
        }
        bar.set_position(before + u64::from(progress.answered));
    };
    let records = pollster::block_on(on_device::serve(
        &mut decoder,
        loads,
        &interrupt::requested,
        &mut progress,
    ));
    bar.finish_and_clear();
    records
}

#[cfg(not(feature = "gpu"))]
fn measured(
    _: &ServeArgs,
    _: Option<&Calibration>,
    _: &mut Stack,
    _: &[Load],
) -> Result<Vec<Record>, Error> {
    Ok(Vec::new())
}

/// The adapter with the calibration's name.
#[cfg(feature = "gpu")]
fn adapter_of(gpu: &str) -> Result<usize, Error> {
    let adapters = pollster::block_on(adapters());
    let found = adapters.iter().position(|a| a.name == gpu);
    found.ok_or_else(|| {
        let here: Vec<&str> = adapters.iter().map(|a| a.name.as_str()).collect();
        Error::Contradiction {
            what: "--measure".to_owned(),
            why: format!(
                "the calibration is of {gpu}, and here is {}; --adapter N serves on another all the same",
                if here.is_empty() {
                    "no adapter".to_owned()
                } else {
                    here.join(", ")
                }
            ),
        }
    })
}

#[cfg(feature = "gpu")]
fn adapter(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "a number that `batchscope adapters` lists".to_owned())
}

/// How many files the folder holds then.
fn write_all(folder: &Path, documents: &[File]) -> Result<u64, Error> {
    files::create_folder(folder)?;
    Manifest::read(folder, NAME)?.write_all(folder, documents, None)
}

/// The report or the JSON document, and where the rest is.
fn print(documents: &[File], json: bool, written: Option<(&Path, u64)>) -> Result<(), Error> {
    files::print(|output| {
        for document in documents {
            match &document.content {
                Content::Text(text) if !json => {
                    output.write_all(text.as_bytes())?;
                    break;
                }
                Content::Json(value) if json => {
                    writeln!(output, "{value:#}")?;
                    break;
                }
                _ => {}
            }
        }
        match written {
            // Whoever asked for JSON reads nothing else.
            Some((folder, files)) if !json => {
                let files = table::counted(files, "file");
                writeln!(output, "\n{files} in {}", folder.display())
            }
            _ => Ok(()),
        }
    })
}
