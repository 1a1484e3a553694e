//! `batchscope calibrate`.

use std::fmt::Write as _;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::CalibrateArgs;
use super::table::{new_table, percent, short};
use super::{files, interrupt, study};
use crate::Error;
use crate::experiment::serving::proof::{Loads, verdict};
use crate::gpu::{Gpu, Options, Progress, serve as on_device};
use crate::latency::calibration::{Calibration, ManyColumns, Proof, Warning};
use crate::latency::roofline::Stored;
use crate::words::{change, counted};

pub fn calibrate(args: CalibrateArgs) -> Result<(), Error> {
    let options = Options {
        architecture: args.model,
        precision: args.precision,
        quick: args.quick,
        seed: args.seed,
        most_bytes: args.memory.map(|gb| (gb * 1e9) as u64),
    };
    if let Some(gb) = args.memory.filter(|gb| !(1e-6..=1e6).contains(gb)) {
        return Err(Error::bad_field("memory", gb, "1e-6 to 1e6 GB"));
    }
    // What cannot be written is known before anything is measured.
    if let Some(out) = &args.out {
        files::check_place(out)?;
    }
    let cancel = interrupt::cancel();
    let gpu = pollster::block_on(Gpu::open(args.adapter))?;
    let plan = gpu.plan(&options);
    eprintln!(
        "{} ({}): {} in {}, {} GB of its memory, about {:.0} s",
        gpu.adapter().name,
        gpu.adapter().backend,
        options.architecture.name,
        options.precision.name(),
        short(plan.bytes as f64 / 1e9),
        plan.seconds
    );
    let bar = ProgressBar::new(1000);
    // The template is a constant that indicatif accepts; were it not, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} % {msg}") {
        bar.set_style(style);
    }
    let mut listener = |progress: Progress| {
        bar.set_position((progress.done * 1000.0) as u64);
        bar.set_message(progress.what);
    };
    let calibrated = pollster::block_on(gpu.calibrate(&options, &cancel, &mut listener));
    bar.finish_and_clear();
    let mut calibration = calibrated?;
    match prove(&gpu, &calibration) {
        Ok(proof) => calibration.proof = Some(proof),
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        // The measurement stands without it.
        Err(why) => calibration.warnings.push(Warning::no_proof(&why)),
    }
    let json = calibration.to_json()?;
    // Should the file fail after all, the measurement is not lost.
    let written = match &args.out {
        Some(out) => files::write(out, |output| output.write_all(json.as_bytes())),
        None => Ok(()),
    };
    let text = if args.json || written.is_err() {
        json
    } else {
        report(&calibration)
    };
    files::print(|output| output.write_all(text.as_bytes()))?;
    written
}

/// Two loads served by the real decoder, beside the calibration's predictions.
///
/// Errors: those of the device, and fewer layers in memory than a server needs.
fn prove(gpu: &Gpu, calibration: &Calibration) -> Result<Proof, Error> {
    let loads = Loads::new(calibration)?;
    let Loads { trace, scenarios } = &loads;
    let pool_tokens = on_device::pool_tokens(trace, scenarios)?;
    let device = gpu.device().clone();
    let decoder = on_device::decoder(device, calibration, "the calibration", pool_tokens);
    let mut decoder = pollster::block_on(decoder)?;
    let bar = study::new_bar(trace.len(), "requests served as a proof");
    let mut progress = |now: on_device::Progress| bar.set_position(u64::from(now.answered));
    let measured = pollster::block_on(on_device::serve(
        &mut decoder,
        trace,
        scenarios,
        &interrupt::requested,
        &mut progress,
    ));
    bar.finish_and_clear();
    loads.proof(&measured?)
}

/// Everything that a person looks at first.
fn report(c: &Calibration) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut say = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    say(format!(
        "{} ({}{}), {} in {}, {} of {} layers in memory, measured in {:.0} s",
        c.adapter.name,
        c.adapter.backend,
        if c.adapter.driver.is_empty() {
            String::new()
        } else {
            format!(", {}", c.adapter.driver)
        },
        c.model.architecture.name,
        c.model.precision.name(),
        c.model.layers_resident,
        c.model.architecture.layers,
        c.took_s
    ));
    if let Some(proof) = &c.proof {
        say(verdict(proof));
    }
    say(format!(
        "With what else is known of its errors, step times are typically off by {}.",
        percent(c.step_error())
    ));
    for warning in &c.warnings {
        say(format!("warning: {} [{}]", warning.message, warning.code));
    }
    if let Some(proof) = &c.proof {
        let mut table = new_table(&["users", "", "tok/s", "TBT, mean (ms)", "TBT, P95 (ms)"]);
        for level in &proof.levels {
            for (name, side) in [("measured", level.measured), ("predicted", level.predicted)] {
                table.add_row([
                    level.users.to_string(),
                    name.to_owned(),
                    short(side.output_tokens_per_s),
                    short(side.tbt_mean_ms),
                    short(side.tbt_p95_ms),
                ]);
            }
            let errors = level.errors().map(|error| change(error, 1));
            let [rate, mean, p95] = errors;
            table.add_row([String::new(), "error".to_owned(), rate, mean, p95]);
        }
        say(format!("\n{table}"));
    }
    say(format!(
        "\nreads {} GB/s; a dispatch costs {} us, a submission and its wait {} us",
        short(c.bandwidth.read.value / 1e9),
        short(c.launch.dispatch.value * 1e6),
        short(c.launch.submission.value * 1e6)
    ));

    if let Some(many) = c.many_columns {
        let by: Vec<String> = ["9 to 16 columns", "17 to 32", "more"]
            .iter()
            .zip(many)
            .map(|(columns, kernel)| match kernel {
                ManyColumns::Tiles => format!("{columns} in tiles"),
                ManyColumns::Eights => format!("{columns} in eights"),
            })
            .collect();
        say(format!("the faster kernels: {}", by.join(", ")));
    }

    if let Some(host) = c.host {
        say(format!(
            "the processor prepares a step in {} us and {} us a dispatch",
            short(host.per_step_s * 1e6),
            short(host.per_dispatch_s * 1e6)
        ));
    }

    if let Some(few) = c.few_columns {
        let by = ["1 column", "2", "up to 4", "up to 8"].iter().zip(few);
        let by: Vec<String> = by
            .map(|(columns, way)| {
                let sums = if way.subgroups {
                    "subgroups"
                } else {
                    "workgroup memory"
                };
                format!("{columns}: {} rows, {sums}", way.rows)
            })
            .collect();
        say(format!(
            "rows of a workgroup, and where sums are added up: {}",
            by.join("; ")
        ));
    }
    let mut kernels = new_table(&["kernel", "columns", "context", "us", "GB/s", "of read"]);
    for k in &c.kernels {
        kernels.add_row([
            k.name.clone(),
            k.columns.to_string(),
            k.context.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            short(k.seconds.value * 1e6),
            short(k.bytes / k.seconds.value / 1e9),
            percent(k.share_of_read),
        ]);
    }
    say(format!("\n{kernels}"));

    let mut steps = new_table(&[
        "whole step, sequences",
        "context",
        "prompt",
        "behind",
        "tokens drawn",
        "dispatches",
        "MB read",
        "ms",
        "of it host",
        "of read",
    ]);
    for step in &c.steps {
        steps.add_row([
            step.sequences.to_string(),
            step.context.to_string(),
            step.chunk.to_string(),
            step.before.to_string(),
            step.sampled.to_string(),
            step.dispatches.to_string(),
            short(step.bytes / 1e6),
            short(step.seconds * 1e3),
            short(step.host_s * 1e3),
            percent(step.bytes / step.seconds / c.bandwidth.read.value),
        ]);
    }
    say(format!("\n{steps}"));

    let mut fit = new_table(&["t_step(b, C, p)", "value", "95 % from", "to"]);
    let m = &c.fit.model;
    let names = [
        ("c0, a step (ms)", m.c0_s, 1e3),
        ("c1, a sequence (us)", m.c1_s_per_sequence, 1e6),
        ("c2, a token of context (ns)", m.c2_s_per_context_token, 1e9),
        ("c3, a prompt token (us)", m.c3_s_per_prefill_token, 1e6),
    ];
    for ((name, value, unit), interval) in names.into_iter().zip(c.fit.intervals) {
        let end = |i: usize| interval.map_or_else(|| "-".to_owned(), |ends| short(ends[i] * unit));
        fit.add_row([name.to_owned(), short(value * unit), end(0), end(1)]);
    }
    if let Some(compute) = m.compute {
        for (name, value, unit) in [
            ("d0, a step that computes (ms)", compute.d0_s, 1e3),
            ("d1, a token of it (us)", compute.d1_s_per_token, 1e6),
        ] {
            let none = || "-".to_owned();
            fit.add_row([name.to_owned(), short(value * unit), none(), none()]);
        }
    }
    say(format!("\n{fit}"));
    say(format!(
        "the straight line nearest to the steps, for the closed-batch form: R2 {:.5} over {} points; {} held out: median error {}, worst {}",
        c.fit.r2,
        c.fit.fitted,
        c.fit.held_out,
        percent(c.fit.held_out_median),
        percent(c.fit.held_out_worst)
    ));

    let mut checks = new_table(&[
        "whole step",
        "context",
        "prompt",
        "measured, ms",
        "predicted",
        "error",
        "of read",
    ]);
    let stored = Stored::new(&c.model.architecture, c.model.precision);
    for check in &c.checks {
        let [b, context, prompt] = [check.sequences, check.context, check.prefill].map(f64::from);
        let bytes = stored.work(b, context, prompt).bytes;
        checks.add_row([
            counted(check.sequences, "sequence"),
            check.context.to_string(),
            check.prefill.to_string(),
            short(check.measured_s * 1e3),
            short(check.predicted_s * 1e3),
            percent(check.error),
            percent(bytes / check.measured_s / c.bandwidth.read.value),
        ]);
    }
    say(format!("\n{checks}"));
    say(format!(
        "\nwhole steps that the calibration had not seen: median error {}, worst {}; a small step, taken again and \
         again: {} from the first third to the last{}",
        percent(c.check_median_error),
        percent(c.check_worst_error),
        c.drift
            .map_or_else(|| "not measured".to_owned(), |drift| change(drift, 1)),
        c.steadiness.map_or_else(String::new, |pace| format!(
            ", a spread of {}, {} of the steps left out",
            percent(pace.spread),
            percent(pace.left_out)
        ))
    ));
    text
}
