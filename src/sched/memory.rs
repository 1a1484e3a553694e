//! How large a batch the KV memory allows.

use serde::{Deserialize, Serialize};

use super::queues::Shape;
use crate::trace::random::normal_quantile;

/// The batch bound by memory, estimated from the lengths of batches that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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
    /// Never below the number of requests in service on the other GPUs (the published program from
    /// 4 December on; the paper's Algorithm 1).
    pub at_least_running: bool,
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
            at_least_running: false,
        }
    }
}

/// How the bound follows from the estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Memory {
    /// Memory of a GPU (of a group of GPUs that work together), GB.
    pub capacity_gb: f64,
    /// Weights and everything else that stays, GB.
    pub model_gb: f64,
    /// KV cache of one token, GB.
    pub kv_gb_per_token: f64,
    /// Kept free beside weights, keys and values, GB; of closed batches the hard limit keeps it.
    pub margin_gb: f64,
}

/// That of the published studies.
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

/// A server's memory as it is read: fields that are not given are those of the machine whose step is the default.
#[derive(Deserialize)]
#[serde(remote = "Memory", default = "Memory::on_an_h100", deny_unknown_fields)]
pub(crate) struct OnAnH100 {
    capacity_gb: f64,
    model_gb: f64,
    kv_gb_per_token: f64,
    margin_gb: f64,
}

impl Memory {
    /// An H100 that serves Llama-3.1-8B in f16 with nine tenths of its memory, as `put_on_hardware` has it (a
    /// test holds it): the memory that belongs to the default step of a server with continuous batching.
    pub const LLAMA_3_1_8B_ON_H100: Memory = Memory {
        capacity_gb: 72.0,
        model_gb: 16.059_990_016,
        kv_gb_per_token: 1.310_72e-4,
        margin_gb: 0.0,
    };

    fn on_an_h100() -> Memory {
        Memory::LLAMA_3_1_8B_ON_H100
    }

    /// KV tokens that fit beside the model: the paper's eta.
    pub fn kv_tokens(&self) -> f64 {
        (self.capacity_gb - self.model_gb) / self.kv_gb_per_token
    }

    /// Whether a batch of so many tokens exceeds the hard limit.
    #[inline]
    pub fn exceeds_limit(&self, tokens: u64) -> bool {
        // Written as the published program has it: the order of operations decides ties.
        self.model_gb + self.kv_gb_per_token * tokens as f64 > self.capacity_gb - self.margin_gb
    }

    /// The most requests of a bin in one batch where `bins.batch_caps` is set: as many as
    /// the hard limit holds if prompt and output each are as long as the middle of the bin, 1 to
    /// `most`.
    ///
    /// A bin ends at 4,096 tokens at most: the published predictor's longest prediction.
    pub fn batch_cap(&self, [low, high]: [u32; 2], most: u32) -> u32 {
        const LONGEST: u32 = 4096;
        let middle = low.saturating_add(high.min(LONGEST)) / 2;
        let room = self.capacity_gb - self.model_gb - self.margin_gb;
        // Written as the published program has it. A middle of 0 gives infinity: the cast saturates.
        let cap = room / (f64::from(middle) * 2.0 * self.kv_gb_per_token);
        (cap as u32).clamp(1, most)
    }

    /// The most tokens a batch may hold, so that the inner loop compares integers.
    pub fn token_limit(&self) -> u64 {
        let room = (self.capacity_gb - self.margin_gb - self.model_gb) / self.kv_gb_per_token;
        // The division may round past the limit's own comparison by a token either way.
        let mut limit = libm::floor(room.max(0.0)) as u64 + 1;
        while limit > 0 && self.exceeds_limit(limit) {
            limit -= 1;
        }
        limit
    }
}

/// The running estimate of one queue and the bound that follows from it.
#[derive(Debug, Clone)]
pub struct MemoryEstimate {
    rule: MemoryRule,
    /// `published`: KV tokens less the reserve; `exact`: KV tokens.
    budget: f64,
    /// Normal quantile at 1 - overflow probability: the paper's theta.
    theta: f64,
    smoothing: f64,
    mean_prompt: f64,
    mean_output: f64,
    /// Variance of prompt + output of one request, tokens squared.
    variance: f64,
    at_least_running: bool,
    max_batch: u32,
}

impl MemoryEstimate {
    pub fn new(bound: &MemoryBound, memory: &Memory, max_batch: u32) -> MemoryEstimate {
        let eta = memory.kv_tokens();
        MemoryEstimate {
            rule: bound.rule,
            budget: match bound.rule {
                MemoryRule::Published => eta - bound.reserve * eta,
                MemoryRule::Exact | MemoryRule::Off => eta,
            },
            theta: normal_quantile(1.0 - bound.overflow_probability),
            smoothing: bound.smoothing,
            mean_prompt: bound.initial_prompt_tokens,
            mean_output: bound.initial_output_tokens,
            variance: bound.initial_sd_tokens * bound.initial_sd_tokens,
            at_least_running: bound.at_least_running,
            max_batch,
        }
    }

    /// Bounds the batch below the scheduler's maximum.
    pub(super) fn capped(mut self, cap: u32) -> MemoryEstimate {
        self.max_batch = self.max_batch.min(cap);
        self
    }

    /// The batch size that memory allows, 1..=max_batch, with `running_elsewhere` requests in
    /// service on the other GPUs.
    #[inline(always)]
    pub fn bound(&self, running_elsewhere: u32) -> u32 {
        let mean = self.mean_prompt + self.mean_output;
        let bound = match self.rule {
            MemoryRule::Off => return self.max_batch,
            MemoryRule::Published => self.budget / mean,
            MemoryRule::Exact => {
                let spread = self.theta * libm::sqrt(self.variance);
                // The paper's (sqrt(..) - spread) / (2 mean), rationalised: no cancellation, and a
                // mean of 0 (no first estimate, or failed requests only) is no 0/0.
                let root = 2.0 * self.budget
                    / (libm::sqrt(spread * spread + 4.0 * mean * self.budget) + spread);
                root * root
            }
        };
        // A mean that decays towards 0 makes the quotient larger than any integer of the published
        // program, which died of it; the clamp is what it meant.
        // The cast takes the whole part and saturates.
        let floor = if self.at_least_running {
            running_elsewhere
        } else {
            0
        };
        (bound as u32).max(floor).clamp(1, self.max_batch)
    }

    /// Learns from a batch that ended.
    #[inline(always)]
    pub fn ended(&mut self, ended: &Ended) {
        let size = f64::from(ended.shape.size);
        let prompt = ended.shape.prompt_tokens as f64 / size;
        let output = ended.shape.output_tokens as f64 / size;
        let keep = 1.0 - self.smoothing;
        if self.rule == MemoryRule::Exact {
            // The batch's mean square distance from the estimate so far.
            let mean = self.mean_prompt + self.mean_output;
            let second = ended.shape.squared_tokens / size;
            let distance = second - 2.0 * mean * (prompt + output) + mean * mean;
            self.variance = self.smoothing * distance.max(0.0) + keep * self.variance;
        }
        self.mean_prompt = self.smoothing * prompt + keep * self.mean_prompt;
        self.mean_output = self.smoothing * output + keep * self.mean_output;
    }
}

/// What a batch that ended was like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ended {
    pub shape: Shape,
    pub service_s: f64,
    /// Time of one decode position at this batch size, s.
    pub decode_step_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_start_values() {
        let estimate = MemoryEstimate::new(&MemoryBound::default(), &Memory::default(), 128);
        assert_eq!(estimate.bound(0), 76);
        assert_eq!(Memory::default().token_limit(), 37_333);
    }

    #[test]
    fn token_limit_is_the_comparison_itself() {
        for kv in [1.875e-4, 5e-6, 1e-3, 0.1, 3.3e-5] {
            for margin in [0.0, 0.5, 1.0, 7.9] {
                let memory = Memory {
                    kv_gb_per_token: kv,
                    margin_gb: margin,
                    ..Memory::default()
                };
                let limit = memory.token_limit();
                assert!(limit == 0 || !memory.exceeds_limit(limit), "{kv} {margin}");
                assert!(memory.exceeds_limit(limit + 1), "{kv} {margin}");
            }
        }
    }

    #[test]
    fn exact_bound_solves_its_equation() {
        // At the bound b: b mu + theta sigma sqrt(b) <= eta, and not at b + 1.
        let bound = MemoryBound {
            rule: MemoryRule::Exact,
            ..MemoryBound::default()
        };
        let memory = Memory::default();
        let estimate = MemoryEstimate::new(&bound, &memory, 128);
        let theta = 1.644_853_626_951_472_2;
        let need = |b: f64| b * 500.0 + theta * 500.0 * b.sqrt();
        let b = f64::from(estimate.bound(0));
        assert!(need(b) <= memory.kv_tokens() && need(b + 1.0) > memory.kv_tokens());
    }

    #[test]
    fn exact_bound_without_a_first_estimate() {
        // No mean yet: b sigma^2 theta^2 <= eta^2 alone bounds the batch, here beyond the maximum.
        let bound = MemoryBound {
            rule: MemoryRule::Exact,
            initial_prompt_tokens: 0.0,
            initial_output_tokens: 0.0,
            ..MemoryBound::default()
        };
        let estimate = MemoryEstimate::new(&bound, &Memory::default(), 128);
        assert_eq!(estimate.bound(0), 128);
    }

    #[test]
    fn endless_failures_do_not_overflow() {
        for rule in [MemoryRule::Published, MemoryRule::Exact] {
            let bound = MemoryBound {
                rule,
                ..MemoryBound::default()
            };
            let mut estimate = MemoryEstimate::new(&bound, &Memory::default(), 128);
            for _ in 0..20_000 {
                estimate.ended(&Ended {
                    shape: Shape {
                        size: 1,
                        ..Shape::default()
                    },
                    ..Ended::default()
                });
            }
            assert_eq!(estimate.bound(0), 128, "{rule:?}");
        }
    }
}
