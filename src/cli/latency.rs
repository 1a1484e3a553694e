//! `batchscope latency`: the latency of a step out of measurements.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::LatencyCommand;
use super::files;
use super::table::{new_table, percent, short};
use crate::Error;
use crate::latency::calibration::{Calibration, Fit, Point};
use crate::latency::{StepLatency, StepTable, StepTimes, measured, profile, step_fit};

pub fn latency(command: LatencyCommand) -> Result<(), Error> {
    let latency = match command {
        LatencyCommand::Profile {
            attention,
            dense,
            per_sequence,
            skew,
            captured,
            layers,
        } => read_profile(
            layers,
            &attention,
            &dense,
            &per_sequence,
            skew.as_deref(),
            &captured,
        )?,
        LatencyCommand::Table { csv } => StepLatency::Table(StepTable::read(
            files::read_bytes(&csv)?.as_slice(),
            &csv.display().to_string(),
        )?),
        LatencyCommand::Fit {
            files,
            out,
            residuals,
            json,
        } => return fit(&files, out.as_deref(), residuals.as_deref(), json),
    };
    files::print_json(&latency)
}

/// Kernel profiles of three files, one of unequal contexts where there is one, and captured batch sizes.
pub fn read_profile(
    layers: u32,
    attention: &Path,
    dense: &Path,
    per_sequence: &Path,
    skew: Option<&Path>,
    captured: &[u32],
) -> Result<StepLatency, Error> {
    let [a, d, p] = [attention, dense, per_sequence];
    let bytes = [a, d, p].map(files::read_bytes);
    let [attention, dense, per_sequence] = bytes;
    let mut profile = profile::read(
        layers,
        (attention?.as_slice(), &a.display().to_string()),
        (dense?.as_slice(), &d.display().to_string()),
        (per_sequence?.as_slice(), &p.display().to_string()),
    )?;
    if let Some(path) = skew {
        profile.skew = Some(profile::read_skew(
            files::read_bytes(path)?.as_slice(),
            &path.display().to_string(),
        )?);
    }
    profile.captured = captured.to_vec();
    profile.check("latency.profile")?;
    Ok(StepLatency::Profile(Box::new(profile)))
}

/// The latency that `--step-latency` names.
pub fn read(path: &Path) -> Result<StepLatency, Error> {
    let (text, file) = (files::read_text(path)?, path.display().to_string());
    // Its figures would stand without whose GPU it is and how far its step times are off.
    if Calibration::has_kind(&text) {
        Calibration::from_json(&text, &file)?;
        let why = format!("{file} is a calibration; --latency takes it");
        return Err(Error::contradiction("--step-latency", why));
    }
    Ok(StepTimes::from_text(&text, &file)?.latency)
}

/// A measured step beside the fitted one.
#[derive(Serialize)]
struct Residual<'a> {
    file: &'a str,
    what: &'a str,
    sequences: u32,
    context: u32,
    prefill: u32,
    measured_ms: f64,
    fitted_ms: f64,
    /// Of the fit, in proportion to what was measured.
    error: f64,
    held_out: bool,
    note: Option<&'a str>,
}

fn fit(
    paths: &[PathBuf],
    out: Option<&Path>,
    residuals: Option<&Path>,
    json: bool,
) -> Result<(), Error> {
    for path in [out, residuals].into_iter().flatten() {
        files::check_place(path)?;
    }
    let mut found = Vec::new();
    for path in paths {
        let text = files::read_result(path)?;
        found.extend(measured::read(&text, &path.display().to_string())?);
    }
    let mut points: Vec<Point> = found.iter().map(|m| m.point).collect();
    step_fit::hold_out(&mut points);
    let name = match paths {
        [one] => one.display().to_string(),
        several => format!("{} files", several.len()),
    };
    let fit = step_fit::fit(&points, &name)?;
    let rows: Vec<Residual> = found
        .iter()
        .zip(&points)
        .map(|(m, p)| {
            let fitted = fit.model.step_s(
                f64::from(p.sequences),
                f64::from(p.context),
                f64::from(p.prefill),
            );
            Residual {
                file: &m.file,
                what: &m.what,
                sequences: p.sequences,
                context: p.context,
                prefill: p.prefill,
                measured_ms: p.seconds * 1e3,
                fitted_ms: fitted * 1e3,
                error: fitted / p.seconds - 1.0,
                held_out: p.held_out,
                note: m.note.as_deref(),
            }
        })
        .collect();
    if let Some(path) = residuals {
        files::write(path, |output| {
            let mut csv = csv::Writer::from_writer(output);
            for row in &rows {
                csv.serialize(row)?;
            }
            csv.flush()
        })?;
    }
    if let Some(path) = out {
        let mut text = serde_json::to_string_pretty(&StepLatency::Linear(fit.model))
            .map_err(|e| files::problem("write", path, &e.into()))?;
        text.push('\n');
        files::write(path, |output| output.write_all(text.as_bytes()))?;
    }
    if json {
        return files::print_json(&serde_json::json!({ "fit": fit, "points": rows }));
    }
    let text = words(&fit, &rows);
    files::print(|output| output.write_all(text.as_bytes()))
}

/// Most points, and most notes, that are printed one by one.
const MOST_PRINTED: usize = 40;
const MOST_NOTES: usize = 5;

fn words(fit: &Fit, rows: &[Residual]) -> String {
    let model = &fit.model;
    let mut text = String::from(match model.compute {
        None => "t_step = c0 + c1 b + c2 C + c3 p\n",
        Some(_) => "t_step = max(c0 + c1 b + c3 p, d0 + d1 (b + p)) + c2 C\n",
    });
    let mut table = new_table(&["", "value", "95 % from", "to"]);
    let coefficients = [
        ("c0 (ms)", model.c0_s, 1e3),
        ("c1 (us a sequence)", model.c1_s_per_sequence, 1e6),
        (
            "c2 (us a token of context)",
            model.c2_s_per_context_token,
            1e6,
        ),
        ("c3 (us a prompt token)", model.c3_s_per_prefill_token, 1e6),
    ];
    for ((name, value, unit), interval) in coefficients.into_iter().zip(fit.intervals) {
        let [low, high] = match interval {
            Some(interval) => interval.map(|x| short(x * unit)),
            None => ["not determined".to_owned(), "by these points".to_owned()],
        };
        table.add_row([name.to_owned(), short(value * unit), low, high]);
    }
    if let Some(compute) = &model.compute {
        for (name, value, unit) in [
            ("d0 (ms)", compute.d0_s, 1e3),
            ("d1 (us a token)", compute.d1_s_per_token, 1e6),
        ] {
            let none = String::new();
            table.add_row([name.to_owned(), short(value * unit), none.clone(), none]);
        }
    }
    let _ = writeln!(text, "{table}\n");
    let _ = writeln!(
        text,
        "R2 {:.6} over {} points; {} held out: median error {}, worst {}\n",
        fit.r2,
        fit.fitted,
        fit.held_out,
        percent(fit.held_out_median),
        percent(fit.held_out_worst),
    );
    let mut shown: Vec<&Residual> = rows.iter().collect();
    if rows.len() > MOST_PRINTED {
        shown.sort_by(|a, b| b.error.abs().total_cmp(&a.error.abs()));
        shown.truncate(MOST_PRINTED);
        let _ = writeln!(
            text,
            "The {MOST_PRINTED} points that are furthest off, of {}:",
            rows.len()
        );
    }
    let mut table = new_table(&[
        "point",
        "b",
        "C",
        "p",
        "measured (ms)",
        "fitted (ms)",
        "error",
    ]);
    for row in shown {
        table.add_row([
            format!(
                "{}, {}{}",
                row.file,
                row.what,
                if row.held_out { " (held out)" } else { "" }
            ),
            row.sequences.to_string(),
            row.context.to_string(),
            row.prefill.to_string(),
            short(row.measured_ms),
            short(row.fitted_ms),
            format!("{:+.1} %", row.error * 100.0),
        ]);
    }
    let _ = writeln!(text, "{table}");
    let notes: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}, {}: {}", row.file, row.what, row.note?)))
        .collect();
    for note in notes.iter().take(MOST_NOTES) {
        let _ = writeln!(text, "note: {note}");
    }
    if notes.len() > MOST_NOTES {
        let _ = writeln!(
            text,
            "note: the same holds for {} more points; --json and --residuals name them",
            notes.len() - MOST_NOTES
        );
    }
    text
}
