//! Speculative decoding (Leviathan, Kalman and Matias, ICML 2023): a draft proposes tokens, and one
//! step of the model checks them all.

use serde::{Deserialize, Serialize};

/// How a draft proposes and how often it is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Speculative {
    /// Tokens that are proposed for each sequence in each step.
    pub draft_tokens: u32,
    /// Chance that a proposed token is accepted, if all before it were: of the first position, the
    /// second, ...; the last value holds for all that follow.
    pub acceptance: Vec<f64>,
    /// Time that the draft takes for one token of all sequences, s.
    #[serde(default)]
    pub draft_s: f64,
    /// What the draft takes longer for each sequence of the step, s.
    #[serde(default)]
    pub draft_s_per_sequence: f64,
}

/// Most tokens that a draft can propose.
pub const MAX_DRAFT: u32 = 16;

impl Speculative {
    /// How many of `drafted` proposed tokens are accepted, by one uniform number in (0, 1): the
    /// chance of at least k is the product of the first k acceptances.
    pub fn accepted(&self, drafted: u32, uniform: f64) -> u32 {
        let mut chance = 1.0;
        let mut accepted = 0;
        while accepted < drafted {
            chance *= self.chance(accepted);
            if uniform >= chance {
                break;
            }
            accepted += 1;
        }
        accepted
    }

    fn chance(&self, position: u32) -> f64 {
        let last = self.acceptance.len().saturating_sub(1);
        let place = (position as usize).min(last);
        self.acceptance.get(place).copied().unwrap_or(0.0)
    }

    /// Time of the draft in a step, s.
    pub fn draft_s(&self, sequences: u32) -> f64 {
        f64::from(self.draft_tokens)
            * (self.draft_s + self.draft_s_per_sequence * f64::from(sequences))
    }
}

/// The uniform number that decides about the tokens proposed to a request that has `emitted` tokens:
/// SplitMix64's finaliser (Steele, Lea and Flood 2014) of seed, row and place, so that it belongs to
/// the request whatever the others do.
pub fn uniform(seed: u32, row: u32, emitted: u32) -> f64 {
    crate::trace::random::hashed(seed, row, emitted)
}
