//! `batchscope roofline`.

use serde::Serialize;

use super::args::{MAX_CONTEXT, RooflineArgs};
use super::table::{new_table, percent, short};
use super::{calibrated, files};
use crate::Error;
use crate::latency::StepLatency;
use crate::latency::architecture::{Architecture, Precision};
use crate::latency::calibration::Calibration;
use crate::latency::hardware::{Card, Hardware};
use crate::latency::roofline::Stored;
use crate::latency::step::Step;

/// Sequences that decode together in the tables.
const BATCHES: [u32; 3] = [1, 8, 64];

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report {
    model: Architecture,
    precision: Precision,
    /// Weights that a step reads, weights that the memory holds (untied embeddings too), and keys and
    /// values of one token, bytes.
    weight_bytes: f64,
    memory_bytes: f64,
    token_bytes: f64,
    /// Context of each sequence, tokens.
    context: u32,
    hardware: Vec<Sheet>,
    calibration: Option<Beside>,
}

/// A data sheet's steps.
#[derive(Serialize)]
struct Sheet {
    hardware: Hardware,
    memory_bytes: Option<f64>,
    roofline: Step,
    steps: Vec<At>,
}

/// One step.
#[derive(Serialize)]
struct At {
    sequences: u32,
    seconds: f64,
    /// Output tokens per second of such steps.
    tokens_per_s: f64,
    /// Whether weights and contexts fit into the memory, where that is known.
    fits: Option<bool>,
}

/// A calibration's steps and the peak that they are compared with.
#[derive(Serialize)]
struct Beside {
    adapter: String,
    demonstration: bool,
    /// Of step times, in proportion.
    step_error: f64,
    /// What the file's predictions do without.
    lacking: Vec<String>,
    /// The data sheet of the shares; without one they are of the measured read bandwidth.
    peak: Option<Hardware>,
    steps: Vec<Share>,
}

#[derive(Serialize)]
struct Share {
    sequences: u32,
    seconds: f64,
    /// Whether the measurements reach so far.
    measured: bool,
    tokens_per_s: f64,
    mfu: Option<f64>,
    mbu: f64,
}

pub fn roofline(args: &RooflineArgs) -> Result<(), Error> {
    if args.context > MAX_CONTEXT {
        return Err(out_of_range(
            "context",
            args.context,
            format!("a whole number from 0 to {MAX_CONTEXT}"),
        ));
    }
    for (field, value) in [("bandwidth", args.bandwidth), ("tflops", args.tflops)] {
        if let Some(value) = value.filter(|v| !(1e-3..=1e9).contains(v)) {
            return Err(out_of_range(
                field,
                value,
                "a number from 0.001 to 1e9".to_owned(),
            ));
        }
    }
    let calibration = args.latency.as_deref().map(calibrated::read).transpose()?;
    let (model, precision) = subject(args, calibration.as_ref())?;
    let stored = Stored::new(&model, precision);
    let own = args
        .bandwidth
        .zip(args.tflops)
        .map(|(gb_s, tflops)| Hardware {
            name: "as given".to_owned(),
            peak_flops: tflops * 1e12,
            bandwidth_bytes_per_s: gb_s * 1e9,
            source: "--bandwidth and --tflops".to_owned(),
        });
    let named = args.hardware.clone().or_else(|| {
        let adapter = &calibration.as_ref()?.adapter.name;
        own.is_none().then(|| Card::of_adapter(adapter)).flatten()
    });
    let peak = own
        .clone()
        .or_else(|| named.as_ref().map(|card| card.hardware_for(precision)));
    let cards = match (&own, &args.hardware) {
        (Some(own), _) => vec![(own.clone(), None)],
        (None, Some(card)) => vec![(card.hardware_for(precision), Some(card.memory_bytes))],
        (None, None) => Card::all()
            .iter()
            .map(|card| (card.hardware_for(precision), Some(card.memory_bytes)))
            .collect(),
    };
    let report = Report {
        weight_bytes: stored.weight_bytes(),
        memory_bytes: stored.memory_bytes(),
        token_bytes: stored.token_bytes(),
        context: args.context,
        hardware: cards
            .into_iter()
            .map(|(hardware, memory)| sheet(&stored, hardware, memory, args.context))
            .collect(),
        calibration: calibration.map(|c| beside(&stored, c, peak, args.context)),
        precision,
        model: model.clone(),
    };
    if args.json {
        return files::print_json(&report);
    }
    let text = text(&report);
    files::print(|output| output.write_all(text.as_bytes()))
}

fn out_of_range(field: &str, value: impl ToString, allowed: String) -> Error {
    Error::bad_field(field, value, allowed)
}

/// The model and how it is stored: the flags', which must be the calibration's where there is one.
fn subject(
    args: &RooflineArgs,
    calibration: Option<&Calibration>,
) -> Result<(Architecture, Precision), Error> {
    let differs = |what: &str, asked: &str, measured: &str| {
        Err(Error::contradiction(
            what,
            format!(
                "the calibration measured {measured}, and {asked} has other step times; leave the flag out"
            ),
        ))
    };
    let asked = args.precision;
    match calibration.map(|c| &c.model) {
        None => match &args.model {
            Some(model) => Ok((model.clone(), asked.unwrap_or_default())),
            None => Err(Error::bad_argument(
                "--model",
                "it is missing; --help says what it is",
            )),
        },
        Some(measured) => match (&args.model, asked) {
            (Some(model), _) if *model != measured.architecture => {
                differs("--model", &model.name, &measured.architecture.name)
            }
            (_, Some(precision)) if precision != measured.precision => {
                differs("--precision", precision.name(), measured.precision.name())
            }
            _ => Ok((measured.architecture.clone(), measured.precision)),
        },
    }
}

fn sheet(stored: &Stored<'_>, hardware: Hardware, memory: Option<f64>, context: u32) -> Sheet {
    let roofline = stored.roofline(&hardware);
    let steps = BATCHES.map(|sequences| {
        let b = f64::from(sequences);
        let all = b * f64::from(context);
        let seconds = roofline.step_s(b, all, 0.0);
        At {
            sequences,
            seconds,
            tokens_per_s: b / seconds,
            fits: memory.map(|bytes| stored.memory_bytes() + stored.token_bytes() * all <= bytes),
        }
    });
    Sheet {
        hardware,
        memory_bytes: memory,
        roofline,
        steps: steps.into(),
    }
}

fn beside(
    stored: &Stored<'_>,
    calibration: Calibration,
    peak: Option<Hardware>,
    context: u32,
) -> Beside {
    let model = StepLatency::from(&calibration).model();
    let read = calibration.bandwidth.read.value;
    let steps = BATCHES.map(|sequences| {
        let b = f64::from(sequences);
        let all = b * f64::from(context);
        let piece = model.decode(sequences, u64::from(sequences) * u64::from(context));
        let seconds = piece.at_s;
        let work = stored.work(b, all, 0.0);
        Share {
            sequences,
            seconds,
            measured: piece.inside,
            tokens_per_s: b / seconds,
            mfu: peak.as_ref().map(|peak| peak.mfu(&work, seconds)),
            mbu: match &peak {
                Some(peak) => peak.mbu(&work, seconds),
                None => work.bytes / (seconds * read),
            },
        }
    });
    Beside {
        step_error: calibration.step_error(),
        lacking: calibration.lacks(),
        adapter: calibration.adapter.name,
        demonstration: calibration.demonstration,
        peak,
        steps: steps.into(),
    }
}

fn text(report: &Report) -> String {
    let held = if report.memory_bytes > report.weight_bytes {
        format!(" ({} GB in memory)", short(report.memory_bytes / 1e9))
    } else {
        String::new()
    };
    let mut text = format!(
        "{} in {}: {} GB of weights read in each step{held}, {} kB of keys and values a token\n\
         a step at best, each sequence with {} tokens of context\n",
        report.model.name,
        report.precision.name(),
        short(report.weight_bytes / 1e9),
        short(report.token_bytes / 1e3),
        report.context,
    );
    let batches: Vec<String> = BATCHES
        .iter()
        .flat_map(|b| [format!("batch {b} (ms)"), "tok/s".to_owned()])
        .collect();
    let header: Vec<&str> = ["", "GB", "GB/s", "TFLOP/s"]
        .into_iter()
        .chain(batches.iter().map(String::as_str))
        .collect();
    let mut table = new_table(&header);
    let mut beyond = false;
    for sheet in &report.hardware {
        let h = &sheet.hardware;
        let mut row = vec![
            h.name.clone(),
            short(sheet.memory_bytes.map(|bytes| bytes / 1e9)),
            short(h.bandwidth_bytes_per_s / 1e9),
            short(h.peak_flops / 1e12),
        ];
        for at in &sheet.steps {
            let mark = if at.fits == Some(false) { "*" } else { "" };
            beyond |= !mark.is_empty();
            row.push(format!("{}{mark}", short(at.seconds * 1e3)));
            row.push(short(at.tokens_per_s));
        }
        table.add_row(row);
    }
    text += &format!("{table}\n");
    if beyond {
        text += "* more than the memory holds\n";
    }
    if let Some(beside) = &report.calibration {
        text += &format!("\nas calibrated on {}\n", beside.adapter);
        let mut table = new_table(&["batch", "ms", "tok/s", "MFU", "MBU"]);
        let mut beyond_measured = false;
        for share in &beside.steps {
            let mark = if share.measured { "" } else { "*" };
            beyond_measured |= !share.measured;
            table.add_row([
                share.sequences.to_string(),
                format!("{}{mark}", short(share.seconds * 1e3)),
                short(share.tokens_per_s),
                percent(share.mfu),
                percent(share.mbu),
            ]);
        }
        text += &format!("{table}\n");
        if beyond_measured {
            text += "* beyond the steps that were measured\n";
        }
        text += &format!(
            "step times are typically off by {}\n",
            percent(beside.step_error)
        );
        for sentence in &beside.lacking {
            text += &format!("{sentence}\n");
        }
        text += &match &beside.peak {
            Some(peak) => format!("shares of {}: {}\n", peak.name, peak.source),
            None => {
                "MBU is of the read bandwidth that was measured; --hardware, or --bandwidth and \
                     --tflops, name a data sheet\n"
                    .to_owned()
            }
        };
        if beside.demonstration {
            text += "a demonstration: measured on a software adapter or with a made-up model, it says \
                     nothing of any GPU\n";
        }
    }
    text
}
