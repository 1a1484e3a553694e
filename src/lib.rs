//! Batchscope replays LLM-serving requests through batching schedulers and says what a GPU fleet
//! can promise. One noun in, one noun out: [`simulate`] takes a [`Trace`] and a [`Scenario`] and
//! gives an [`Outcome`], the same bytes on every target.
//!
//! # Rooms, from the ground up (imports point down only)
//!
//! | room | what it holds |
//! |---|---|
//! | [`error`] | the one error enum: stable code, sentence, file/row/field |
//! | `json` | what is wrong with JSON text, in words of JSON |
//! | [`quantiles`] | exact order statistics of a stream, without sorting it |
//! | [`trace`] | requests in: the columnar [`Trace`], a reader per format, generators, predictors |
//! | [`least_squares`] | Levenberg-Marquardt in three parameters, linear models in any number, Student's t |
//! | `results` | result files of load tests: one type for what each program writes |
//! | [`interval`] | 95 % intervals that stay inside the range of their figure |
//! | [`latency`] | how long work takes: the published linear model, the step of a real server, tables, kernel profiles, rooflines, fits |
//! | [`sched`] | who runs next and with whom: policies, bins, memory bound, SLA controller; queues, paged cache and routers of continuous batching |
//! | [`scenario`] | the complete description of one run, its defaults, validation and presets |
//! | [`sim`] | the clock: fleet and event order, the closed-batch and the continuous engine |
//! | [`metrics`] | what happened: percentiles, SLA, throughput, utilisation, intervals, down-sampled figures |
//! | [`study`] | many runs: the published studies, sweeps, searches, served users, validation; files as plain data |
//! | [`report`] | a study's files as bytes: CSV, Markdown, SVG, PNG |
//! | `gpu` | the reader's GPU: kernels, a decoder, measurements; leaves a calibration |
//! | `web`, `cli` | the two doors; mechanical, no logic |
//!
//! # Units
//!
//! | quantity | unit |
//! |---|---|
//! | time inside the core | seconds, `f64` |
//! | names ending in `_ms` | milliseconds |
//! | lengths | tokens, `u32` |
//! | memory | GB (1e9 bytes) |
//! | rates | per second of simulated time |
//! | shares, attainment, utilisation | fraction of 1 |

pub mod error;
pub mod experiment;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod interval;
mod json;
pub mod latency;
pub mod least_squares;
pub mod metrics;
pub mod published;
pub mod quantiles;
pub mod report;
#[cfg(feature = "cli")]
pub mod results;
pub mod scenario;
pub mod sched;
pub mod sim;
pub mod trace;
mod words;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "web")]
pub mod web;

pub use error::Error;
pub use metrics::Outcome;
pub use scenario::Scenario;
pub use trace::Trace;

/// Replays a trace under a scenario: pure, deterministic, no I/O, no clock, no threads; the same
/// bytes on every target.
///
/// Errors: a scenario field outside its range, or a window in which the trace has no request.
pub fn simulate(trace: &Trace, scenario: &Scenario) -> Result<Outcome, Error> {
    let mut run = sim::Run::new(trace, scenario)?;
    while !run.advance(trace, u64::MAX) {}
    Ok(Outcome::of(trace, run.finish()))
}
