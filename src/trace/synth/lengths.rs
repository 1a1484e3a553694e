//! Distributions of prompt and output lengths.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::error::number;
use crate::trace::random::Stream;

/// The longest length generated, tokens; every draw is rounded to a whole number and clamped to
/// 1..=MAX_TOKENS.
pub const MAX_TOKENS: u32 = 1_000_000;

/// The most values of an empirical distribution.
const MAX_VALUES: usize = 100_000;

/// How long prompts or outputs are, tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Lengths {
    /// `median * exp(N(0, sigma))`.
    Lognormal { median: f64, sigma: f64 },
    /// Gamma with this mean and coefficient of variation.
    Gamma { mean: f64, cv: f64 },
    /// 1..=max with probability proportional to `k^-theta`.
    Zipf { theta: f64, max: u32 },
    /// Every whole number of min..=max equally often.
    Uniform { min: u32, max: u32 },
    /// Always the same.
    Fixed { tokens: u32 },
    /// One of `values`, each with its weight; no weights mean equal ones.
    Empirical {
        values: Vec<u32>,
        #[serde(default)]
        weights: Vec<f64>,
    },
}

impl Lengths {
    /// As in JSON.
    fn name(&self) -> &'static str {
        match self {
            Lengths::Lognormal { .. } => "lognormal",
            Lengths::Gamma { .. } => "gamma",
            Lengths::Zipf { .. } => "zipf",
            Lengths::Uniform { .. } => "uniform",
            Lengths::Fixed { .. } => "fixed",
            Lengths::Empirical { .. } => "empirical",
        }
    }

    pub(super) fn check(&self, field: &str) -> Result<(), Error> {
        let field = format!("{field}.{}", self.name());
        let range = |name: &str, value: f64, low: f64, high: f64| {
            number(&format!("{field}.{name}"), value, low, high)
        };
        let top = f64::from(MAX_TOKENS);
        match self {
            Lengths::Lognormal { median, sigma } => {
                range("median", *median, 1.0, top)?;
                range("sigma", *sigma, 0.0, 5.0)
            }
            Lengths::Gamma { mean, cv } => {
                range("mean", *mean, 1.0, top)?;
                range("cv", *cv, 0.01, 20.0)
            }
            Lengths::Zipf { theta, max } => {
                range("theta", *theta, 0.0, 10.0)?;
                range("max", f64::from(*max), 1.0, top)
            }
            Lengths::Uniform { min, max } => {
                range("min", f64::from(*min), 1.0, top)?;
                range("max", f64::from(*max), f64::from(*min), top)
            }
            Lengths::Fixed { tokens } => range("tokens", f64::from(*tokens), 1.0, top),
            Lengths::Empirical { values, weights } => {
                let bad = |name: &str, value: String, allowed: String| {
                    let field = format!("{field}.{name}");
                    Err(Error::BadField {
                        field,
                        value,
                        allowed,
                    })
                };
                if values.is_empty() || values.len() > MAX_VALUES {
                    let count = format!("a list of {}", values.len());
                    return bad(
                        "values",
                        count,
                        format!("a list of 1 to {MAX_VALUES} lengths"),
                    );
                }
                for value in values {
                    range("values", f64::from(*value), 1.0, top)?;
                }
                if !weights.is_empty() && weights.len() != values.len() {
                    let count = format!("a list of {}", weights.len());
                    let allowed =
                        format!("a list of {}, one for each value, or none", values.len());
                    return bad("weights", count, allowed);
                }
                for weight in weights {
                    range("weights", *weight, 0.0, 1e12)?;
                }
                if !weights.is_empty() && weights.iter().all(|w| *w == 0.0) {
                    let allowed = "a list with at least one weight above 0".to_owned();
                    return bad("weights", "all 0".to_owned(), allowed);
                }
                Ok(())
            }
        }
    }

    /// `n` lengths; the parameters have been checked.
    pub(super) fn sample(&self, n: usize, mut random: Stream) -> Vec<u32> {
        match self {
            Lengths::Lognormal { median, sigma } => (0..n)
                .map(|_| tokens(median * libm::exp(sigma * random.normal())))
                .collect(),
            Lengths::Gamma { mean, cv } => {
                let shape = 1.0 / (cv * cv);
                (0..n)
                    .map(|_| tokens(mean / shape * random.gamma(shape)))
                    .collect()
            }
            Lengths::Zipf { theta, max } => {
                let weights = (1..=*max).map(|k| libm::pow(f64::from(k), -theta));
                let table = Cumulative::new(weights);
                (0..n)
                    .map(|_| tokens((table.draw(&mut random) + 1) as f64))
                    .collect()
            }
            Lengths::Uniform { min, max } => {
                let count = f64::from(max - min) + 1.0;
                (0..n)
                    // The product may round up to the count itself.
                    .map(|_| (min + (random.uniform() * count) as u32).min(*max))
                    .collect()
            }
            Lengths::Fixed { tokens } => vec![*tokens; n],
            Lengths::Empirical { values, weights } => {
                let table = if weights.is_empty() {
                    Cumulative::new(values.iter().map(|_| 1.0))
                } else {
                    Cumulative::new(weights.iter().copied())
                };
                (0..n)
                    .map(|_| {
                        let index = table.draw(&mut random);
                        values.get(index).copied().unwrap_or(1)
                    })
                    .collect()
            }
        }
    }
}

/// To the nearest whole number within 1..=[`MAX_TOKENS`].
#[inline]
pub(super) fn tokens(length: f64) -> u32 {
    // The cast saturates, so that not even an infinite length escapes the clamp.
    ((length + 0.5) as u32).clamp(1, MAX_TOKENS)
}

/// Draws an index with probability proportional to its weight, by binary search among the sums.
struct Cumulative(Vec<f64>);

impl Cumulative {
    fn new(weights: impl Iterator<Item = f64>) -> Self {
        Cumulative(
            weights
                .scan(0.0, |sum, weight| {
                    *sum += weight;
                    Some(*sum)
                })
                .collect(),
        )
    }

    fn draw(&self, random: &mut Stream) -> usize {
        let at = random.uniform() * self.0.last().copied().unwrap_or_default();
        // The first sum above `at` has a weight above 0; rounding up to the total would pass it.
        let index = self.0.partition_point(|sum| *sum <= at);
        index.min(self.0.len().saturating_sub(1))
    }
}
