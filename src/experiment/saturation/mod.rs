//! The saturation study: throughput, latency and efficiency against the number of users, four
//! curves through the throughput, and what they can support (docs/MODEL.md, "Studies").
//!
//! [`points`] reads load levels, [`analyse`] works everything out, [`files`] writes it down. The
//! levels may be measured or simulated; nothing here runs anything.

pub mod ceilings;
pub mod curves;
pub mod gains;
#[cfg(feature = "cli")]
pub mod load_tests;
mod pictures;
pub mod points;
mod report;
mod tables;
pub mod verdict;

use crate::error::Error;
use crate::report::document::{Content, File};
use ceilings::{Ceilings, Hardware, ModelSize};
use curves::Curves;
use gains::Gains;
use points::Level;
use verdict::Verdict;

/// What is known about the server of the levels. `None` means not given, and nothing is
/// said that needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whose levels these are, in headings and errors.
    pub name: String,
    pub hardware: Option<Hardware>,
    pub model: Option<ModelSize>,
    /// Most requests that the server works on at once.
    pub max_batch: Option<u32>,
    /// Servers of this kind, which share the users.
    pub gpus: u32,
    /// Mean pause of a user between two requests, s.
    pub think_time_s: Option<f64>,
    /// What stands where a level lacks a metric: "not measured" or "not modelled".
    pub absent: &'static str,
}

impl Settings {
    /// The published benchmark: Llama-3-8B in FP16 on an A40, batches of up to 256, think time
    /// uniform from 0.5 to 2 s.
    pub fn published() -> Settings {
        Settings {
            name: "Llama-3-8B on an NVIDIA A40, as published".to_owned(),
            hardware: Some(Hardware::a40()),
            model: Some(ModelSize::LLAMA_3_8B_FP16),
            max_batch: Some(256),
            gpus: 1,
            think_time_s: Some(1.25),
            absent: "not measured",
        }
    }

    /// Levels about which nothing else is known.
    pub fn bare(name: &str, absent: &'static str) -> Settings {
        Settings {
            name: name.to_owned(),
            hardware: None,
            model: None,
            max_batch: None,
            gpus: 1,
            think_time_s: None,
            absent,
        }
    }

    /// Errors: a number that is not finite or outside its range.
    fn check(&self) -> Result<(), Error> {
        let hardware = self.hardware.as_ref();
        let model = self.model.as_ref();
        for (field, value, least, most) in [
            (
                "hardware.peak_flops",
                hardware.and_then(|h| h.peak_flops),
                1e6,
                1e24,
            ),
            (
                "hardware.bandwidth_bytes_per_s",
                hardware.and_then(|h| h.bandwidth_bytes_per_s),
                1e3,
                1e21,
            ),
            ("model.params", model.map(|m| m.params), 1.0, 1e18),
            (
                "model.bytes_per_param",
                model.and_then(|m| m.bytes_per_param),
                0.01,
                16.0,
            ),
            ("max_batch", self.max_batch.map(f64::from), 1.0, 1e9),
            ("think_time_s", self.think_time_s, 0.0, 1e9),
        ] {
            if let Some(value) = value.filter(|v| !(least..=most).contains(v)) {
                return Err(Error::bad_field(
                    field,
                    value,
                    format!("a number from {least:e} to {most:e}"),
                ));
            }
        }
        Ok(())
    }
}

/// Everything that is worked out from a set of levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Checked, in order of users.
    pub levels: Vec<Level>,
    pub gains: Gains,
    pub curves: Curves,
    pub ceilings: Ceilings,
    pub verdict: Verdict,
    /// The half unit to which throughputs are given, tok/s, and the least and greatest Vmax within
    /// it; `None` in place of one that is not finite.
    pub rounding: Option<(f64, [Option<f64>; 2])>,
}

/// Works everything out. Pure; the levels may come in any order.
///
/// Errors: what [`points::check`] refuses, or a setting outside its range.
pub fn analyse(levels: Vec<Level>, settings: &Settings) -> Result<Analysis, Error> {
    settings.check()?;
    let levels = points::check(levels, &settings.name)?;
    let gains = Gains::of(&levels).ok_or_else(|| Error::NoFit {
        file: settings.name.clone(),
        problem: "there are no load levels".to_owned(),
    })?;
    let curves = Curves::fit(&levels);
    let ceilings = Ceilings::of(
        settings.hardware.as_ref(),
        settings.model.as_ref(),
        settings.max_batch,
    )
    .times(settings.gpus);
    let rounding = points::half_unit(&levels).and_then(|half| {
        let fit = curves.michaelis_menten.as_ref().ok()?;
        Some((half, fit.v_max_within(&levels, half)?))
    });
    let verdict = Verdict::of(&levels, settings, &curves, &ceilings);
    Ok(Analysis {
        levels,
        gains,
        curves,
        ceilings,
        verdict,
        rounding,
    })
}

/// The study's files: `saturation_levels.csv`, `saturation_report.txt`, `saturation_fit.json` and
/// the figures `saturation_curve` and `saturation_levels`.
///
/// Errors: as [`analyse`].
pub fn files(levels: Vec<Level>, settings: &Settings) -> Result<Vec<File>, Error> {
    let analysis = analyse(levels, settings)?;
    Ok(vec![
        File::new(
            "saturation_levels.csv",
            Content::Table(tables::levels(&analysis, settings)),
        ),
        File::new(
            "saturation_report.txt",
            Content::Text(report::text(&analysis, settings)),
        ),
        File::new(
            "saturation_fit.json",
            Content::Json(tables::fit(&analysis, settings)),
        ),
        File::new(
            "saturation_curve",
            Content::Figure(pictures::curve(&analysis, settings)),
        ),
        File::new(
            "saturation_levels",
            Content::Figure(pictures::levels(&analysis, settings)),
        ),
    ])
}
