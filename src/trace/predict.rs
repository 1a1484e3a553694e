//! Predictors of output length: what a scheduler believes before it serves a request.

use serde::{Deserialize, Serialize};

use super::random::{NumpyLegacy, Purpose, Stream, normal_quantile};

/// A predictor and its parameters; those that a kind does not use are ignored by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Predictor {
    pub kind: Kind,
    /// Standard deviation of the logarithmic error (`published`, `noisy`).
    pub sigma: f64,
    /// Chance that `noisy` sorts a request one bin too low, and the same chance of one too high
    /// (the multi-bin paper's p_e).
    pub bin_error: f64,
    /// `published` and `prompt-only` predict `scale * prompt^exponent`.
    pub exponent: f64,
    /// The factor in `scale * prompt^exponent`.
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
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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

/// Prompts up to here have their `scale * prompt^exponent` looked up rather than computed anew.
const TABLE: usize = 1 << 16;

impl Predictor {
    /// Predicted output tokens of every request, in row order; at least 1 each, whatever the true
    /// output: a failed row (0 tokens) that is kept must still sort into some bin. Rows without a
    /// partner in the other column have no prediction.
    ///
    /// `published` follows the published studies to the bit: `int(prompt**exponent * scale *
    /// np.random.lognormal(0, sigma))` after `np.random.seed(seed)`, one draw for every row, clamped
    /// to 1..=max_tokens. numpy takes `exp`, `log` and `pow` from the platform's C library and this
    /// from `libm`; they could differ by one only where the product comes within a rounding of a
    /// whole number (in a million rows it never did).
    ///
    /// `noisy` multiplies the true output by `exp(N(0, sigma))`, rounds to the nearest token and
    /// clamps to 1..=`u32::MAX`. It does not apply `bin_error`: see [`bin_errors`].
    pub fn predict(&self, prompt: &[u32], output: &[u32], seed: u32) -> Vec<u32> {
        let rows = prompt.iter().zip(output);
        match self.kind {
            Kind::Published => {
                let mut random = NumpyLegacy::new(seed);
                let mut curve = Curve::new(self);
                let mut predicted = Vec::with_capacity(prompt.len().min(output.len()));
                let mut errors = [0.0; 1024];
                let rows = prompt.get(..output.len()).unwrap_or(prompt);
                for block in rows.chunks(errors.len()) {
                    let errors = errors.get_mut(..block.len()).unwrap_or_default();
                    random.lognormals(self.sigma, errors);
                    let block = block.iter().zip(errors);
                    predicted.extend(block.map(|(p, e)| self.clamped(curve.at(*p) * *e)));
                }
                predicted
            }
            Kind::PromptOnly => {
                let mut curve = Curve::new(self);
                rows.map(|(p, _)| self.clamped(curve.at(*p))).collect()
            }
            Kind::Oracle => rows.map(|(_, o)| (*o).max(1)).collect(),
            Kind::Noisy => {
                let mut random = Stream::new(seed, Purpose::PredictionNoise);
                let error = LogNormal::new(self.sigma);
                rows.map(|(_, o)| {
                    let error = error.quantile(random.uniform());
                    ((f64::from(*o) * error + 0.5) as u32).max(1)
                })
                .collect()
            }
        }
    }

    /// Truncates as Python's `int` does; the cast saturates where that would overflow.
    #[inline]
    fn clamped(&self, tokens: f64) -> u32 {
        (tokens as u32).min(self.max_tokens).max(1)
    }
}

/// Whether each of `n` requests is sorted one bin too low (-1), into its own (0) or one too high (1),
/// with probability `p` for either mistake: the error of the multi-bin paper's p_e, a random stream
/// apart from the predictions' own.
pub fn bin_errors(p: f64, seed: u32, n: usize) -> Vec<i8> {
    let mut random = Stream::new(seed, Purpose::BinErrors);
    (0..n)
        .map(|_| {
            let u = random.uniform();
            i8::from(u >= p && u < 2.0 * p) - i8::from(u < p)
        })
        .collect()
}

/// The quantile function of `exp(N(0, sigma))`: interpolated between knots (off by less than
/// `0.001 sigma` in proportion), exact in the outer 1.6 % where it is steep. Three times as fast as
/// a normal quantile and an exponential for every request.
struct LogNormal {
    sigma: f64,
    knots: Vec<f64>,
}

impl LogNormal {
    const CELLS: usize = 1024;
    /// So many cells at either end are computed exactly.
    const TAIL: usize = 8;

    fn new(sigma: f64) -> LogNormal {
        let exact = |i: usize| {
            let inside = i.clamp(Self::TAIL, Self::CELLS - Self::TAIL);
            libm::exp(sigma * normal_quantile(inside as f64 / Self::CELLS as f64))
        };
        LogNormal {
            sigma,
            knots: (0..=Self::CELLS).map(exact).collect(),
        }
    }

    /// `0 < u < 1`.
    #[inline(always)]
    fn quantile(&self, u: f64) -> f64 {
        let place = u * Self::CELLS as f64;
        let cell = place as usize;
        match self.knots.get(cell..cell + 2) {
            Some(&[low, high]) if (Self::TAIL..Self::CELLS - Self::TAIL).contains(&cell) => {
                low + (high - low) * (place - cell as f64)
            }
            _ => libm::exp(self.sigma * normal_quantile(u)),
        }
    }
}

/// `prompt^exponent * scale`, each prompt length's power computed once.
struct Curve {
    exponent: f64,
    scale: f64,
    /// By prompt length; NaN where not computed yet.
    table: Vec<f64>,
}

impl Curve {
    fn new(predictor: &Predictor) -> Self {
        Curve {
            exponent: predictor.exponent,
            scale: predictor.scale,
            table: Vec::new(),
        }
    }

    #[inline]
    fn at(&mut self, prompt: u32) -> f64 {
        match self.table.get(prompt as usize) {
            Some(value) if !value.is_nan() => *value,
            _ => self.computed(prompt),
        }
    }

    #[cold]
    fn computed(&mut self, prompt: u32) -> f64 {
        let value = libm::pow(f64::from(prompt), self.exponent) * self.scale;
        let index = prompt as usize;
        if index < TABLE {
            if index >= self.table.len() {
                // Powers of two: few growths, and a trace of short prompts pays for a short table.
                self.table.resize((index + 1).next_power_of_two(), f64::NAN);
            }
            if let Some(slot) = self.table.get_mut(index) {
                *slot = value;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolated_errors_are_log_normal() {
        for sigma in [0.05, 0.1, 0.5, 1.0] {
            let error = LogNormal::new(sigma);
            for i in 1..100_000 {
                let u = f64::from(i) / 1e5;
                let exact = libm::exp(sigma * normal_quantile(u));
                let off = (error.quantile(u) / exact - 1.0).abs();
                assert!(off < 0.001 * sigma, "sigma {sigma}, u {u}: {off}");
            }
        }
    }
}
