//! What the versions of TravisLeeTS/llm-scheduler-sim printed, as data: `published.csv`, one figure a
//! line. Figures that were printed with all digits stand there with six decimals.
//!
//! | `study` | source |
//! |---|---|
//! | `stress-v2` | `results_v2.csv` (run of 30 November 2025) |
//! | `two-step` | `STRESS_TEST_REPORT.md` and the CSV files of 29 November; offered loads follow from tokens and arrival rates in those files |
//! | `three-step` | `comprehensive_stress_results_optimized_step*.csv` of 24 November |
//! | a preset's name | the result files of that version (docs/MODEL.md, "The versions of the published program") |
//! | `head-400` | the same program run on the first 400 rows alone, arrival times divided by 2,000 or 20,000 |
//!
//! Cells that a study left empty or that failed are not in the table. Neither is the two-step
//! report's "efficiency" per fleet, which does not say its K, nor an offered load for 1,000,000
//! requests: the report's own throughputs of 44,325 and 44,326 tokens/s leave its last digit open.

use serde::Deserialize;
use serde::de::value::{Error as NoSuchName, StrDeserializer};

use crate::Error;
use crate::error::printable;
use crate::metrics::Summary;
use crate::scenario::{Preset, Scenario, TokenRule};
use crate::sched::{Boundaries, Feedback, Policy};

/// The columns of a table of published values, in order.
pub const COLUMNS: [&str; 12] = [
    "study",
    "preset",
    "requests",
    "time_scale",
    "boundary_rows",
    "variant",
    "scheduler",
    "gpus",
    "bins",
    "figure",
    "published",
    "source",
];

const BUILT_IN: &str = include_str!("published.csv");

/// One published figure and the run that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Where it is listed; of the studies, or any other name.
    pub study: String,
    /// The settings of its run, without a trace.
    pub scenario: Scenario,
    pub figure: Figure,
    /// As printed.
    pub published: String,
    pub exactness: Exactness,
    /// The file that prints it.
    pub source: String,
    /// Row of the table that lists it, counted as an editor does.
    pub row: u64,
}

/// How exactly a published figure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exactness {
    /// Rounded to this number of decimals; before that, some were rounded to `before` decimals of the
    /// figure's own unit, where a share is a fraction.
    Decimals { shown: u32, before: Option<u32> },
    /// Every digit that the program had: sums may differ in the order of their terms.
    Full,
}

impl Value {
    /// What a simulated figure may be off by: half a unit in the last printed digit, or 1e-9 of a
    /// figure that has all its digits.
    pub fn tolerance(&self) -> f64 {
        match self.exactness {
            Exactness::Decimals { shown, .. } => 0.5 * unit(shown),
            Exactness::Full => 1e-9 * self.number().abs(),
        }
    }

    /// The figure of an outcome, rounded before as the published one was.
    pub fn simulated(&self, outcome: &Summary) -> Option<f64> {
        let simulated = self.figure.of(outcome)?;
        Some(match self.exactness {
            Exactness::Decimals {
                before: Some(decimals),
                ..
            } => {
                let unit = unit(decimals) * self.figure.whole();
                libm::round(simulated / unit) * unit
            }
            _ => simulated,
        })
    }

    /// The printed text as a number.
    pub fn number(&self) -> f64 {
        // Read by the same rule when the line was taken.
        self.published.parse().unwrap_or(f64::NAN)
    }

    /// Takes a line's fields; `row` counts as an editor does, for the error.
    ///
    /// Errors: a wrong number of fields, an unknown name, a number out of range.
    pub fn of(fields: &[&str], file: &str, row: u64) -> Result<Value, Error> {
        let &[
            study,
            preset,
            requests,
            time_scale,
            boundary_rows,
            variant,
            scheduler,
            gpus,
            bins,
            figure,
            published,
            source,
        ] = fields
        else {
            return Err(Error::BadRow {
                file: file.to_owned(),
                row,
                problem: format!("{} fields where {} belong", fields.len(), COLUMNS.len()),
            });
        };
        let bad = |column: &str, value: &str, allowed: &str| Error::BadCell {
            file: file.to_owned(),
            row,
            column: column.to_owned(),
            value: printable(value.as_bytes()),
            allowed: allowed.to_owned(),
        };
        let whole = |column: &str, value: &str| {
            value
                .parse::<u32>()
                .map_err(|_| bad(column, value, "a whole number from 0 to 4294967295"))
        };
        let preset = Preset::named(preset).ok_or_else(|| {
            let names = Preset::ALL.map(Preset::name);
            bad("preset", preset, &format!("one of {}", names.join(", ")))
        })?;
        let mut scenario = preset.scenario();
        scenario.workload.limit = Some(whole("requests", requests)?);
        scenario.workload.time_scale = time_scale
            .parse()
            .map_err(|_| bad("time_scale", time_scale, "a number"))?;
        if !boundary_rows.is_empty() {
            let rows = whole("boundary_rows", boundary_rows)?;
            let bins = &mut scenario.bins;
            match bins.boundaries {
                Boundaries::EqualMassPredictions => bins.sample_size = rows,
                _ => bins.sample_rows = rows,
            }
        }
        match variant {
            "" => {}
            "decode-step" => {
                scenario.closed_mut().controller.feedback = Feedback::Decode;
                scenario.sla.published_token_rule = TokenRule::DecodeStep;
            }
            _ => return Err(bad("variant", variant, "empty or decode-step")),
        }
        scenario.closed_mut().policy =
            Policy::deserialize(StrDeserializer::<NoSuchName>::new(scheduler)).map_err(|_| {
                bad(
                    "scheduler",
                    scheduler,
                    "static-fifo, dynamic, multi-bin-dynamic or multi-bin",
                )
            })?;
        scenario.fleet.gpus = whole("gpus", gpus)?;
        scenario.bins.count = whole("bins", bins)?;
        scenario.validate().map_err(|e| Error::BadRow {
            file: file.to_owned(),
            row,
            problem: e.to_string(),
        })?;
        let figure = Figure::named(figure).ok_or_else(|| {
            let names: Vec<_> = FIGURES.iter().map(|(name, _)| *name).collect();
            bad("figure", figure, &format!("one of {}", names.join(", ")))
        })?;
        let plain = published
            .bytes()
            .all(|c| c.is_ascii_digit() || c == b'.' || c == b'-');
        if !plain || !published.parse().is_ok_and(f64::is_finite) {
            return Err(bad(
                "published",
                published,
                "a decimal number without exponent or thousands separators",
            ));
        }
        Ok(Value {
            study: study.to_owned(),
            scenario,
            figure,
            published: published.to_owned(),
            exactness: Exactness::Decimals {
                shown: published.split_once('.').map_or(0, |(_, d)| d.len() as u32),
                before: None,
            },
            source: source.to_owned(),
            row,
        })
    }
}

/// One unit in the last of this number of decimals.
fn unit(decimals: u32) -> f64 {
    // Divided, not multiplied by 0.1: powers of ten are exact.
    1.0 / (0..decimals).fold(1.0, |unit, _| unit * 10.0)
}

/// The built-in table.
pub fn built_in() -> Result<Vec<Value>, Error> {
    (1u64..)
        .zip(BUILT_IN.lines())
        .skip(1)
        .map(|(row, line)| {
            let fields: Vec<&str> = line.split(',').collect();
            Value::of(&fields, "published.csv", row)
        })
        .collect()
}

/// A figure that a study printed, and where an outcome has it.
#[derive(Clone, Copy)]
pub struct Figure(&'static (&'static str, Getter));

/// Absent where the run has no such figure.
type Getter = fn(&Summary) -> Option<f64>;

impl Figure {
    /// By its name in the table.
    pub fn named(name: &str) -> Option<Figure> {
        FIGURES.iter().find(|(n, _)| *n == name).map(Figure)
    }

    /// By the name of its column in a published file. Versions 3 and 4 print requests over total
    /// time as `actual_rps`, and "v4 fixed" prints percentages as `sla_violation_rate_*`.
    pub fn of_column(column: &str, version: &str) -> Option<Figure> {
        let served = version.starts_with("v3") || version.starts_with("v4");
        let special = match column {
            "actual_rps" if served => Some("served_rps"),
            "sla_violation_rate_token" if version == "v4 fixed" => Some("token_violation_pct"),
            "sla_violation_rate_request" if version == "v4 fixed" => Some("request_violation_pct"),
            "token_sla_pct" => Some("token_violation_pct"),
            "request_sla_pct" => Some("request_violation_pct"),
            _ => None,
        };
        let name = special.unwrap_or(column);
        ROW_FIGURES.iter().find(|(n, _)| *n == name).map(Figure)
    }

    /// Every column that is a figure of published files.
    pub fn columns() -> impl Iterator<Item = &'static str> {
        ROW_FIGURES.iter().map(|(name, _)| *name)
    }

    pub fn name(self) -> &'static str {
        self.0.0
    }

    /// What stands for a share of 1.
    fn whole(self) -> f64 {
        match self.name().ends_with("_pct") {
            true => 100.0,
            false => 1.0,
        }
    }

    /// Its value in an outcome; absent where the run has no such figure, as a rate without a span.
    pub fn of(self, outcome: &Summary) -> Option<f64> {
        (self.0.1)(outcome)
    }
}

impl PartialEq for Figure {
    fn eq(&self, other: &Figure) -> bool {
        self.name() == other.name()
    }
}

impl std::fmt::Debug for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

static FIGURES: [(&str, Getter); 29] = [
    ("token_violations", |s| {
        Some(s.published().token_violations as f64)
    }),
    ("token_violations_percent", |s| {
        Some(100.0 * s.published().token_violations as f64 / s.workload.rows_replayed as f64)
    }),
    ("request_violations", |s| {
        Some(s.published().request_violations as f64)
    }),
    ("avg_tbt_ms", |s| Some(s.published().avg_tbt_ms)),
    ("p95_tbt_ms", |s| Some(s.published().p95_tbt_ms)),
    ("p99_tbt_ms", |s| Some(s.published().p99_tbt_ms)),
    ("max_tbt_ms", |s| Some(s.published().max_tbt_ms)),
    ("avg_latency_s", |s| Some(s.published().avg_latency_s)),
    ("p50_latency_s", |s| Some(s.published().p50_latency_s)),
    ("p95_latency_s", |s| Some(s.published().p95_latency_s)),
    ("p99_latency_s", |s| Some(s.published().p99_latency_s)),
    ("max_latency_s", |s| Some(s.published().max_latency_s)),
    ("avg_queueing_s", |s| Some(s.published().avg_queueing_s)),
    ("avg_service_s", |s| Some(s.published().avg_service_s)),
    ("gpu_utilization_mean", |s| {
        Some(s.published().gpu_utilization_mean)
    }),
    ("gpu_utilization_percent", |s| {
        Some(100.0 * s.published().gpu_utilization_mean)
    }),
    ("gpu_utilization_min", |s| {
        Some(s.published().gpu_utilization_min)
    }),
    ("gpu_utilization_max", |s| {
        Some(s.published().gpu_utilization_max)
    }),
    ("batches", |s| Some(s.published().batches as f64)),
    ("avg_batch", |s| Some(s.published().avg_batch)),
    ("min_batch", |s| Some(f64::from(s.published().min_batch))),
    ("max_batch", |s| Some(f64::from(s.published().max_batch))),
    ("makespan_s", |s| Some(s.published().makespan_s)),
    ("tokens_per_s", |s| Some(s.published().tokens_per_s)),
    ("requests_per_s", |s| Some(s.published().requests_per_s)),
    ("capacity_qps_under_sla", |s| {
        Some(s.published().capacity_qps_under_sla)
    }),
    ("total_tokens", |s| {
        Some((s.workload.prompt_tokens + s.workload.output_tokens) as f64)
    }),
    ("offered_requests_per_s", |s| {
        s.workload.offered_requests_per_s
    }),
    ("offered_tokens_per_s", |s| s.workload.offered_tokens_per_s),
];

fn token_violation_rate(s: &Summary) -> f64 {
    s.published().token_violations as f64 / s.workload.rows_replayed as f64
}

fn request_violation_rate(s: &Summary) -> f64 {
    s.published().request_violations as f64 / s.workload.rows_replayed as f64
}

/// Figures by the names of their columns in the published files.
static ROW_FIGURES: [(&str, Getter); 39] = [
    ("sla_violation_rate", |s| Some(token_violation_rate(s))),
    ("sla_violation_rate_token", |s| {
        Some(token_violation_rate(s))
    }),
    ("sla_violation_rate_request", |s| {
        Some(request_violation_rate(s))
    }),
    ("token_violation_pct", |s| {
        Some(100.0 * token_violation_rate(s))
    }),
    ("request_violation_pct", |s| {
        Some(100.0 * request_violation_rate(s))
    }),
    ("sla_violations_token", |s| {
        Some(s.published().token_violations as f64)
    }),
    ("sla_violations_request", |s| {
        Some(s.published().request_violations as f64)
    }),
    ("capacity_qps_under_sla", |s| {
        Some(s.published().capacity_qps_under_sla)
    }),
    ("throughput_requests_per_sec", |s| {
        Some(s.published().requests_per_s)
    }),
    ("throughput_tokens_per_sec", |s| {
        Some(s.published().tokens_per_s)
    }),
    ("actual_rps", |s| s.workload.offered_requests_per_s),
    ("served_rps", |s| Some(s.published().requests_per_s)),
    ("avg_latency", |s| Some(s.published().avg_latency_s)),
    ("p50_latency", |s| Some(s.published().p50_latency_s)),
    ("p95_latency", |s| Some(s.published().p95_latency_s)),
    ("p99_latency", |s| Some(s.published().p99_latency_s)),
    ("max_latency", |s| Some(s.published().max_latency_s)),
    ("p50_latency_ms", |s| {
        Some(1e3 * s.published().p50_latency_s)
    }),
    ("p99_latency_ms", |s| {
        Some(1e3 * s.published().p99_latency_s)
    }),
    ("avg_queueing_delay", |s| Some(s.published().avg_queueing_s)),
    ("avg_service_time", |s| Some(s.published().avg_service_s)),
    ("avg_gpu_utilization", |s| {
        Some(s.published().gpu_utilization_mean)
    }),
    ("min_gpu_utilization", |s| {
        Some(s.published().gpu_utilization_min)
    }),
    ("max_gpu_utilization", |s| {
        Some(s.published().gpu_utilization_max)
    }),
    ("gpu_utilization_pct", |s| {
        Some(100.0 * s.published().gpu_utilization_mean)
    }),
    ("num_batches", |s| Some(s.published().batches as f64)),
    ("avg_batch_size", |s| Some(s.published().avg_batch)),
    ("min_batch_size", |s| {
        Some(f64::from(s.published().min_batch))
    }),
    ("max_batch_size", |s| {
        Some(f64::from(s.published().max_batch))
    }),
    ("total_time", |s| Some(s.published().makespan_s)),
    ("total_tokens", |s| {
        Some((s.workload.prompt_tokens + s.workload.output_tokens) as f64)
    }),
    ("num_completed", |s| Some(s.workload.rows_replayed as f64)),
    ("avg_ttft_ms", |s| {
        let linear = s.scenario.closed()?.latency.linear()?;
        Some(1e3 * linear.alpha_s)
    }),
    ("avg_decode_tbt_ms", |s| {
        Some(s.published().avg_decode_step_ms)
    }),
    ("avg_tbt_ms", |s| Some(s.published().avg_tbt_ms)),
    ("p95_tbt_ms", |s| Some(s.published().p95_tbt_ms)),
    ("p99_tbt_ms", |s| Some(s.published().p99_tbt_ms)),
    ("max_tbt_ms", |s| Some(s.published().max_tbt_ms)),
    ("max_latency_ms", |s| {
        Some(1e3 * s.published().max_latency_s)
    }),
];
