//! `batchscope run` at several numbers of users, predicted, and with `--measure` measured on the calibrated GPU beside
//! it.

use std::path::Path;
#[cfg(feature = "gpu")]
use std::rc::Rc;

use super::args::RunArgs;
use super::calibrated::Calibrated;
use super::manifest::Manifest;
#[cfg(feature = "gpu")]
use super::study;
use super::{files, interrupt};
use crate::experiment::calibrated::spread;
use crate::experiment::serving::{self, Comparison, Levels, Stack};
#[cfg(feature = "gpu")]
use crate::gpu::{Device, adapters, serve as on_device};
use crate::latency::hardware::Hardware;
use crate::report::document::{Content, File};
use crate::sim::device::Measured;
use crate::words;
use crate::{Error, Scenario, Trace};

/// As in the list of a folder's files.
const NAME: &str = "run";

/// Whether a run is asked for at levels of load.
pub fn asked(args: &RunArgs) -> bool {
    args.scenario.users.len() > 1 || args.out.is_some() || measures(args)
}

fn measures(args: &RunArgs) -> bool {
    #[cfg(feature = "gpu")]
    let measure = args.measure;
    #[cfg(not(feature = "gpu"))]
    let (_, measure) = (args, false);
    measure
}

/// Refuses what is of one run alone.
pub fn check(args: &RunArgs) -> Result<(), Error> {
    // clap does not ask for --latency where a flag that conflicts with it is given.
    #[cfg(feature = "gpu")]
    let adapter = args.adapter.is_some();
    #[cfg(not(feature = "gpu"))]
    let adapter = false;
    for (flag, given) in [
        ("--closed-form", args.scenario.closed_form),
        ("--measure", measures(args)),
        ("--adapter", adapter),
        ("--peak-flops", args.peak_flops.is_some()),
    ] {
        if given && args.scenario.calibration().is_none() {
            return Err(Error::bad_argument(flag, "--latency is missing"));
        }
    }
    for (flag, given) in [
        ("--requests-csv", args.requests_csv.is_some()),
        ("--batches-csv", args.batches_csv.is_some()),
        ("--chrome-trace", args.chrome_trace.is_some()),
        ("--digest", args.digest),
        ("--print-scenario", args.print_scenario),
    ] {
        if given && asked(args) {
            return Err(Error::contradiction(
                flag,
                "it is about one run, and --out, --measure and several numbers in --users are about levels of \
                      load; name one number",
            ));
        }
    }
    if args.peak_flops.is_some() && !asked(args) {
        return Err(Error::contradiction(
            "--peak-flops",
            "only the report on levels of load has an MFU; name several numbers in --users",
        ));
    }
    Ok(())
}

/// Serves the scenario at every level and prints the report.
pub fn run(
    args: &RunArgs,
    trace: &Trace,
    scenario: &Scenario,
    calibrated: Option<&Calibrated>,
) -> Result<(), Error> {
    let scenarios = serving::levels(&args.scenario.users, scenario)?;
    // A folder that is refused is refused before anything runs.
    if let Some(folder) = &args.out {
        Manifest::read(folder, NAME)?;
    }
    let mut stack = stack(args, calibrated, scenario)?;
    let measured = measured(args, calibrated, &mut stack, trace, &scenarios)?;
    let mut levels = Vec::with_capacity(scenarios.len());
    for (i, scenario) in scenarios.iter().enumerate() {
        levels.push(Comparison::of(trace, scenario, measured.get(i))?);
        interrupt::check()?;
    }
    let levels = Levels {
        stack: &stack,
        trace,
        scenarios: &scenarios,
        levels: &levels,
    };
    let documents = levels.files()?;
    let written = match &args.out {
        Some(folder) => Some((folder.as_path(), write_all(folder, &documents)?)),
        None => None,
    };
    print(&documents, args.json, written)
}

/// What serves.
fn stack(
    args: &RunArgs,
    calibrated: Option<&Calibrated>,
    scenario: &Scenario,
) -> Result<Stack, Error> {
    let flags = &args.scenario;
    let mut stack = match (calibrated, flags.placed()?) {
        (Some(calibrated), _) => Stack::from(&calibrated.calibration),
        (None, Some((model, card))) => match model.plain(flags.precision) {
            Some((architecture, precision)) => Stack::of_data_sheet(&card, architecture, precision),
            None => Stack::of_model(&model.name, &card.hardware.name),
        },
        (None, None) => Stack::default(),
    };
    if let (Some(peak_flops), Some(machine)) = (args.peak_flops, &mut stack.machine) {
        machine.hardware = Some(Hardware {
            name: machine.gpu.clone(),
            peak_flops,
            bandwidth_bytes_per_s: machine.read_bytes_per_s,
            source: "peak as given, bandwidth as measured".to_owned(),
        });
    }
    if let (None, Some((_, spread))) = (calibrated, spread(scenario)) {
        stack = stack.typical(spread);
    }
    Ok(stack.together(scenario.gpus_together()))
}

/// What a device took for each of the levels; nothing where none was asked to.
#[cfg(feature = "gpu")]
fn measured(
    args: &RunArgs,
    calibrated: Option<&Calibrated>,
    stack: &mut Stack,
    trace: &Trace,
    scenarios: &[Scenario],
) -> Result<Vec<Measured>, Error> {
    let (Some(calibrated), Some(path), true) =
        (calibrated, args.scenario.calibration(), args.measure)
    else {
        return Ok(Vec::new());
    };
    let (calibration, file) = (&calibrated.calibration, path.display().to_string());
    // What cannot be served is refused before a device is opened.
    calibration.kernels(&file)?;
    let pool_tokens = on_device::pool_tokens(trace, scenarios)?;
    let calibrated_on = &calibration.adapter.name;
    let number = match args.adapter {
        Some(number) => number,
        None => adapter_of(calibrated_on)?,
    };
    let device = Rc::new(pollster::block_on(Device::open(Some(number)))?);
    let name = &device.adapter().name;
    stack.measured_on = (name != calibrated_on).then(|| name.clone());
    let decoder = on_device::decoder(device, calibration, &file, pool_tokens);
    let mut decoder = pollster::block_on(decoder)?;
    let each = scenarios
        .iter()
        .filter_map(|s| s.workload.closed_loop.as_ref());
    let all: u32 = each
        .map(|users| users.users * users.requests_per_user)
        .sum();
    let bar = study::new_bar(all as usize, "requests");
    let mut before = 0;
    let mut progress = |progress: on_device::Progress| {
        if progress.elapsed_s == 0.0 {
            before = bar.position();
        }
        bar.set_position(before + u64::from(progress.answered));
    };
    let measured = pollster::block_on(on_device::serve(
        &mut decoder,
        trace,
        scenarios,
        &interrupt::requested,
        &mut progress,
    ));
    bar.finish_and_clear();
    measured
}

#[cfg(not(feature = "gpu"))]
fn measured(
    _: &RunArgs,
    _: Option<&Calibrated>,
    _: &mut Stack,
    _: &Trace,
    _: &[Scenario],
) -> Result<Vec<Measured>, Error> {
    Ok(Vec::new())
}

/// The adapter with the calibration's name.
#[cfg(feature = "gpu")]
fn adapter_of(gpu: &str) -> Result<usize, Error> {
    let adapters = pollster::block_on(adapters());
    let found = adapters.iter().position(|a| a.name == gpu);
    found.ok_or_else(|| {
        let here: Vec<&str> = adapters.iter().map(|a| a.name.as_str()).collect();
        Error::contradiction("--measure", format!(
                "the calibration is of {gpu}, and here is {}; --adapter N serves on another all the same",
                if here.is_empty() {
                    "no adapter".to_owned()
                } else {
                    here.join(", ")
                }
            ))
    })
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
                let files = words::counted(files, "file");
                writeln!(output, "\n{files} in {}", folder.display())
            }
            _ => Ok(()),
        }
    })
}

/// What is typed today for `batchscope serve`, whose name was given up for `run --users`.
pub fn instead_of_serve(words: &[String]) -> Error {
    let mut today: Vec<&str> = vec!["batchscope", "run", "--gpus", "1"];
    let has = |flag: &str| {
        words
            .iter()
            .any(|word| word.split('=').next() == Some(flag))
    };
    if !has("--model") {
        today.extend(["--rule", "vllm"]);
    }
    // "--flag=value" and "--flag value" are the same.
    let mut parts = words.iter().flat_map(|word| word.splitn(2, '='));
    let mut block_tokens = None;
    while let Some(part) = parts.next() {
        match part {
            "--sequences" => today.push("--max-sequences"),
            "--rows" => today.push("--max-batched-tokens"),
            "--block-tokens" => block_tokens = parts.next(),
            other => today.push(other),
        }
    }
    let block_tokens =
        block_tokens.map(|tokens| format!("engine.continuous.kv.block_tokens={tokens}"));
    if let Some(assignment) = &block_tokens {
        today.extend(["--set", assignment]);
    }
    for (flag, value) in [
        ("--users", "1,2,4,8"),
        ("--requests-per-user", "4"),
        ("--prompt", "64"),
        ("--output", "32"),
    ] {
        if !has(flag) {
            today.extend([flag, value]);
        }
    }
    if has("--latency") {
        for (flag, old, value) in [
            ("--max-sequences", "--sequences", "64"),
            ("--max-batched-tokens", "--rows", "128"),
        ] {
            if !has(old) {
                today.extend([flag, value]);
            }
        }
        if !has("--kv-blocks") {
            today.extend(["--set", "engine.continuous.kv.capacity=unlimited"]);
        }
    }
    Error::bad_argument(
        "serve",
        format!("it is a part of `run` now; type: {}", today.join(" ")),
    )
}
