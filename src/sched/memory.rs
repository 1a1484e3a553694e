//! How large a batch the KV memory allows.

use serde::{Deserialize, Serialize};

/// The batch bound by memory, estimated from the lengths of batches that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct MemoryBound {
    pub rule: MemoryRule,
    /// Share of the KV tokens kept free by rule `published`.
    pub reserve: f64,
    /// Probability of overflow that rule `exact` accepts.
    pub overflow_probability: f64,
    /// Weight of the newest batch in the moving averages.
    pub smoothing: f64,
    /// First estimate of the mean prompt, tokens.
    pub initial_prompt_tokens: f64,
    /// First estimate of the mean output, tokens.
    pub initial_output_tokens: f64,
    /// First estimate of the standard deviation of prompt + output, tokens (rule `exact`).
    pub initial_sd_tokens: f64,
}

impl Default for MemoryBound {
    fn default() -> Self {
        MemoryBound {
            rule: MemoryRule::default(),
            reserve: 0.1,
            overflow_probability: 0.05,
            smoothing: 0.2,
            initial_prompt_tokens: 300.0,
            initial_output_tokens: 200.0,
            initial_sd_tokens: 500.0,
        }
    }
}

/// How the bound follows from the estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum MemoryRule {
    /// `floor((1 - reserve) eta / E[prompt + output])`: the published studies' shortcut.
    #[default]
    Published,
    /// Equation (12) of the dynamic-batching paper (arXiv 2503.05248).
    Exact,
    /// No bound but the hard limit and `max_batch`.
    Off,
}

/// The GPU's memory as the scheduler knows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Memory {
    /// GB.
    pub capacity_gb: f64,
    /// Weights and everything else that stays, GB.
    pub model_gb: f64,
    /// KV cache of one token, GB.
    pub kv_gb_per_token: f64,
    /// Kept free by the hard limit of each batch, GB.
    pub margin_gb: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            capacity_gb: 12.0,
            model_gb: 4.0,
            kv_gb_per_token: 1.875e-4,
            margin_gb: 1.0,
        }
    }
}
