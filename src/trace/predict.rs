//! Predictors of output length: what a scheduler believes before it serves a request.

use serde::{Deserialize, Serialize};

/// A predictor and its parameters; those that a kind does not use are ignored by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Predictor {
    pub kind: Kind,
    /// Standard deviation of the logarithmic error (`published`, `noisy`).
    pub sigma: f64,
    /// Chance that `noisy` sorts a request one bin too low, and the same chance of one too high
    /// (the multi-bin paper's p_e).
    pub bin_error: f64,
    /// `published` and `prompt-only`: `scale * prompt^exponent`.
    pub exponent: f64,
    pub scale: f64,
    /// Predictions are clamped to 1..=max_tokens (`published` and `prompt-only`).
    pub max_tokens: u32,
}

impl Default for Predictor {
    fn default() -> Self {
        Predictor {
            kind: Kind::default(),
            sigma: 0.1,
            bin_error: 0.0,
            exponent: 0.7,
            scale: 1.5,
            max_tokens: 4096,
        }
    }
}

/// What a prediction is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Kind {
    /// The published studies' `scale * prompt^exponent * exp(N(0, sigma))`, from numpy's legacy
    /// generator; it never looks at the output.
    Published,
    /// The true output.
    Oracle,
    /// The true output times `exp(N(0, sigma))`, and `bin_error`.
    #[default]
    Noisy,
    /// `scale * prompt^exponent` without noise.
    PromptOnly,
}
