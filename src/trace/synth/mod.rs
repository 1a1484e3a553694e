//! Generated traces: one shaped like BurstGPT, and any built from an arrival process and two length
//! distributions.
//!
//! A seed gives the same bytes on every target and in every build. Each column draws from a stream
//! of its own, in row order, so the first rows of a longer trace are the rows of a shorter one.

mod arrivals;
mod burstgpt;
mod lengths;
mod week1;
mod week1_tables;

use serde::{Deserialize, Serialize};

pub use arrivals::Arrivals;
pub use lengths::{Lengths, MAX_TOKENS};

use super::random::{Purpose, Stream};
use super::{Labels, ReadReport, Trace};
use crate::error::Error;
use crate::error::number;

/// The most requests that are generated: their columns are 180 MB, which a browser tab still holds.
pub const MAX_REQUESTS: u32 = 10_000_000;

/// A generated trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Synthetic {
    /// Requests to make, failed ones among them.
    pub requests: u32,
    pub shape: Shape,
}

impl Default for Synthetic {
    fn default() -> Self {
        Synthetic {
            requests: 10_000,
            shape: Shape::default(),
        }
    }
}

/// What the generated requests look like.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Shape {
    /// Bursts, hours of the day, lengths, failures and labels after the published aggregates of
    /// BurstGPT_1.csv; whole seconds, as there.
    BurstgptLike,
    /// The first week of BurstGPT_1.csv by its aggregates; whole seconds, as there. Later days are made
    /// as in `burstgpt-like`, with the published volumes in the file's order.
    #[default]
    BurstgptWeek1,
    /// Independent columns.
    Custom {
        arrivals: Arrivals,
        prompt: Lengths,
        output: Lengths,
        /// Share of requests that failed: 0 prompt and 0 output tokens, as BurstGPT logs them.
        #[serde(default)]
        failed_share: f64,
    },
}

impl Synthetic {
    /// Requests of these lengths, one a second.
    pub fn alike(requests: u32, prompt: u32, output: u32) -> Synthetic {
        Synthetic {
            requests,
            shape: Shape::Custom {
                arrivals: Arrivals::Poisson { rate: 1.0 },
                prompt: Lengths::Fixed { tokens: prompt },
                output: Lengths::Fixed { tokens: output },
                failed_share: 0.0,
            },
        }
    }

    /// Refuses a parameter outside its range; `field` is the path of this in the scenario, as in
    /// "trace.synthetic".
    ///
    /// # Errors
    /// [`Error::BadField`] with the dotted path of the first such parameter.
    pub fn check(&self, field: &str) -> Result<(), Error> {
        if !(1..=MAX_REQUESTS).contains(&self.requests) {
            return Err(Error::bad_field(
                format!("{field}.requests"),
                self.requests,
                format!("a whole number from 1 to {MAX_REQUESTS}"),
            ));
        }
        match &self.shape {
            Shape::BurstgptLike | Shape::BurstgptWeek1 => Ok(()),
            Shape::Custom {
                arrivals,
                prompt,
                output,
                failed_share,
            } => {
                arrivals.check(&format!("{field}.shape.custom.arrivals"))?;
                prompt.check(&format!("{field}.shape.custom.prompt"))?;
                output.check(&format!("{field}.shape.custom.output"))?;
                number(
                    &format!("{field}.shape.custom.failed_share"),
                    *failed_share,
                    0.0,
                    1.0,
                )
            }
        }
    }

    /// Makes the trace.
    ///
    /// # Errors
    /// Those of [`Synthetic::check`], with paths that begin with "trace.synthetic".
    pub fn generate(&self, seed: u32) -> Result<Trace, Error> {
        self.check("trace.synthetic")?;
        let mut trace = match &self.shape {
            Shape::BurstgptLike => burstgpt::generate(self.requests, seed),
            Shape::BurstgptWeek1 => week1::generate(self.requests, seed),
            Shape::Custom {
                arrivals,
                prompt,
                output,
                failed_share,
            } => {
                let n = self.requests as usize;
                let mut trace = Trace {
                    name: "synthetic".to_owned(),
                    arrival: arrivals.sample(n, seed),
                    prompt: prompt.sample(n, Stream::new(seed, Purpose::Prompts)),
                    output: output.sample(n, Stream::new(seed, Purpose::Outputs)),
                    ..Trace::default()
                };
                let mut failures = Stream::new(seed, Purpose::Failures);
                for (p, o) in trace.prompt.iter_mut().zip(&mut trace.output) {
                    if failures.uniform() < *failed_share {
                        (*p, *o) = (0, 0);
                    }
                }
                trace
            }
        };
        trace.report = ReadReport {
            format: "synthetic".to_owned(),
            rows: u64::from(self.requests),
            rows_failed: trace.output.iter().filter(|o| **o == 0).count() as u64,
            ..ReadReport::default()
        };
        Ok(trace)
    }
}

/// Labels with the given names and room for `n` requests.
fn labels(names: [&str; 2], n: usize) -> Labels {
    Labels {
        names: names.map(str::to_owned).to_vec(),
        ids: Vec::with_capacity(n),
    }
}
