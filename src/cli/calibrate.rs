//! `batchscope calibrate`.

use std::fmt::Write as _;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::CalibrateArgs;
use super::table::{new_table, percent, short};
use super::{files, interrupt};
use crate::Error;
use crate::gpu::{Gpu, Options, Progress};
use crate::latency::calibration::{Calibration, ManyColumns};
use crate::latency::roofline::Stored;
use crate::words::counted;

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
    let calibration = calibrated?;
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
    for warning in &c.warnings {
        say(format!("warning: {} [{}]", warning.message, warning.code));
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
        "\nR2 {:.5} over {} points; {} held out: median error {}, worst {}",
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
        "\nwhole steps: median error {}, worst {}; the first measurement, repeated: {}",
        percent(c.check_median_error),
        percent(c.check_worst_error),
        c.drift.map_or_else(
            || "not measured".to_owned(),
            |drift| format!("{:+.1} %", 100.0 * drift)
        )
    ));
    text
}
