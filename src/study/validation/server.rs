//! A run of a real server, and the same requests simulated.

use std::io::Read;

use serde::Deserialize;

use crate::quantiles::Histogram;
use crate::sim::continuous::{Fate, Level};
use crate::trace::{self, Format};
use crate::{Error, Scenario, Trace, simulate};

/// A request of a measured run, as vLLM's engine logs it; clocks of the front end and the engine differ.
#[derive(Deserialize)]
struct Logged {
    arrival_time: f64,
    output_toks: u32,
    queued_ts: f64,
    first_token_ts: f64,
    last_token_ts: f64,
}

/// A measured run: its requests as a trace, and their times in order of arrival.
pub struct Measured {
    pub trace: Trace,
    times: Times,
}

/// By request, s.
#[derive(Default)]
struct Times {
    ttft: Vec<f64>,
    tpot: Vec<f64>,
    e2e: Vec<f64>,
}

/// One figure, measured and simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// TTFT, TPOT or E2E.
    pub metric: &'static str,
    /// mean, P50, P90, P95 or P99.
    pub statistic: &'static str,
    pub measured_s: f64,
    pub simulated_s: f64,
}

impl Row {
    /// (simulated - measured)/measured.
    pub fn error(&self) -> f64 {
        self.simulated_s / self.measured_s - 1.0
    }
}

/// The simulated levels at moments of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub at_s: f64,
    pub running: f64,
    pub waiting: f64,
    /// Share of the blocks.
    pub kv: f64,
}

/// A run against its simulation.
pub struct Comparison {
    pub rows: Vec<Row>,
    pub moments: Vec<Moment>,
    pub preemptions: u64,
}

impl Measured {
    /// Reads JSON lines with `arrival_time`, `input_toks`, `output_toks`, `queued_ts`, `first_token_ts` and
    /// `last_token_ts`, all in seconds. The offset between the two clocks is that of the request that was
    /// queued soonest after its arrival.
    ///
    /// Errors: the line and what is wrong with it.
    pub fn read(text: &str, file: &str) -> Result<Measured, Error> {
        let trace = trace::read(text.as_bytes(), file, Some(Format::Jsonl))?;
        let mut logged = Vec::new();
        for (row, line) in (1u64..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let one: Logged = serde_json::from_str(line).map_err(|e| Error::BadRow {
                file: file.to_owned(),
                row,
                problem: e.to_string(),
            })?;
            let ordered =
                one.queued_ts <= one.first_token_ts && one.first_token_ts <= one.last_token_ts;
            if !ordered {
                return Err(Error::BadRow {
                    file: file.to_owned(),
                    row,
                    problem: "queued_ts, first_token_ts and last_token_ts do not follow each other"
                        .to_owned(),
                });
            }
            logged.push(one);
        }
        // As the trace is: by arrival, stable.
        logged.sort_by(|a, b| a.arrival_time.total_cmp(&b.arrival_time));
        let offsets = logged.iter().map(|one| one.queued_ts - one.arrival_time);
        let offset = offsets.fold(f64::INFINITY, f64::min);
        let mut times = Times::default();
        for one in &logged {
            let arrival = one.arrival_time + offset;
            times.ttft.push(one.first_token_ts - arrival);
            times.e2e.push(one.last_token_ts - arrival);
            if one.output_toks > 1 {
                let gaps = f64::from(one.output_toks) - 1.0;
                times
                    .tpot
                    .push((one.last_token_ts - one.first_token_ts) / gaps);
            }
        }
        Ok(Measured { trace, times })
    }

    /// Simulates the run under a scenario of continuous batching and compares, with levels every
    /// `every_s`.
    ///
    /// Errors: as [`simulate`]; a scenario that serves none of the requests.
    pub fn against(&self, scenario: &Scenario, every_s: f64) -> Result<Comparison, Error> {
        let outcome = simulate(&self.trace, scenario)?;
        let Some(served) = &outcome.served else {
            return Err(Error::Contradiction {
                what: "engine".to_owned(),
                why: "a real server joins requests continuously; use engine.continuous".to_owned(),
            });
        };
        let (served, totals) = served.as_ref();
        let arrivals = outcome.requests.arrivals(&self.trace);
        let mut simulated = Times::default();
        for (row, &fate) in served.fate.iter().enumerate() {
            if fate != Fate::Done {
                continue;
            }
            let arrival = arrivals.of(row);
            simulated.ttft.push(served.first_token_s[row] - arrival);
            simulated.e2e.push(served.done_s[row] - arrival);
            let output = self.trace.output[row];
            if output > 1 {
                let decoding = served.done_s[row] - served.first_token_s[row];
                simulated.tpot.push(decoding / (f64::from(output) - 1.0));
            }
        }
        let mut rows = Vec::new();
        for (metric, measured, simulated) in [
            ("TTFT", &self.times.ttft, &simulated.ttft),
            ("TPOT", &self.times.tpot, &simulated.tpot),
            ("E2E", &self.times.e2e, &simulated.e2e),
        ] {
            let (measured, simulated) = (statistics(measured), statistics(simulated));
            for ((statistic, measured_s), simulated_s) in ["mean", "P50", "P90", "P95", "P99"]
                .into_iter()
                .zip(measured)
                .zip(simulated)
            {
                rows.push(Row {
                    metric,
                    statistic,
                    measured_s,
                    simulated_s,
                });
            }
        }
        let series = &totals.series;
        let blocks = totals.blocks.map_or(f64::INFINITY, |blocks| blocks as f64);
        let moments = (0..)
            .map(|i| f64::from(i) * every_s)
            .take_while(|&at_s| at_s < totals.end_s)
            .map(|at_s| {
                let interval = (at_s / series.width_s) as usize;
                let level = |level| series.mean(level, interval, totals.end_s);
                Moment {
                    at_s,
                    running: level(Level::Running),
                    waiting: level(Level::Waiting),
                    kv: level(Level::Blocks) / blocks,
                }
            })
            .collect();
        Ok(Comparison {
            rows,
            moments,
            preemptions: totals.preemptions,
        })
    }
}

/// A row of the log of levels.
#[derive(Deserialize)]
struct LoggedLevels {
    t: f64,
    running: f64,
    waiting: f64,
    kv_cache_pct: f64,
}

/// Reads levels over time from a CSV with `t` (s), `running`, `waiting` and `kv_cache_pct`.
///
/// Errors: the row and what is wrong with it.
pub fn read_levels(input: impl Read, file: &str) -> Result<[Vec<f64>; 4], Error> {
    let mut columns: [Vec<f64>; 4] = Default::default();
    let mut reader = csv::Reader::from_reader(input);
    for (row, record) in (2u64..).zip(reader.deserialize::<LoggedLevels>()) {
        let r = record.map_err(|e| Error::BadRow {
            file: file.to_owned(),
            row,
            problem: e.to_string(),
        })?;
        let values = [r.t, r.running, r.waiting, r.kv_cache_pct];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
    Ok(columns)
}

/// Mean and quantiles.
fn statistics(values: &[f64]) -> [f64; 5] {
    let mut all = Histogram::keeping_all();
    all.add_all(values);
    // A histogram that keeps everything has every quantile.
    let [p50, p90, p95, p99] = all.quantiles([0.5, 0.9, 0.95, 0.99]).unwrap_or_default();
    [all.mean(), p50, p90, p95, p99]
}
