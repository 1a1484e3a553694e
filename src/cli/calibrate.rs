//! `batchscope calibrate`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::CalibrateArgs;
use super::{files, interrupt};
use crate::Error;
use crate::gpu::{Cancel, Gpu, Options, Progress};

pub fn calibrate(args: CalibrateArgs) -> Result<(), Error> {
    let options = Options {
        architecture: args.model,
        precision: args.precision.0,
        quick: args.quick,
        seed: args.seed,
    };
    let cancel = Cancel::new();
    let watched = cancel.clone();
    // Ctrl-C reaches the work at its next submission.
    std::thread::spawn(move || {
        while !interrupt::requested() {
            std::thread::sleep(Duration::from_millis(20));
        }
        watched.cancel();
    });
    let gpu = pollster::block_on(Gpu::open(args.adapter))?;
    let adapter = gpu.adapter();
    eprintln!(
        "{} ({}): {} in {}, {:.1} GB; takes about {:.0} s on a GPU",
        adapter.name,
        adapter.backend,
        options.architecture.name,
        options.precision.name(),
        gpu.plan(&options).bytes as f64 / 1e9,
        gpu.plan(&options).seconds
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
    let calibration = pollster::block_on(gpu.calibrate(&options, &cancel, &mut listener));
    bar.finish_and_clear();
    let calibration = calibration?;
    let text = serde_json::to_string_pretty(&calibration).unwrap_or_default();
    if let Some(out) = &args.out {
        files::write(out, |output| output.write_all(text.as_bytes()))?;
    }
    files::print(|output| writeln!(output, "{text}"))
}
