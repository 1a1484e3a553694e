//! The time of one step of a server whose requests join and leave at every step.

use serde::{Deserialize, Serialize};

/// `t_step(b, C, p) = c2 C + max(c0 + c1 b + c3 p, compute)` for a step that decodes one token of each
/// of `b` sequences whose contexts have `C` tokens together, and processes `p` prompt tokens
/// (docs/MODEL.md, "Step latency").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "StepLatency"))]
pub struct Step {
    /// What every step costs: the weights are read once, s.
    pub c0_s: f64,
    /// Per decoding sequence, s.
    pub c1_s_per_sequence: f64,
    /// Per token of context whose keys and values are read, s.
    pub c2_s_per_context_token: f64,
    /// Per prompt token, s.
    pub c3_s_per_prefill_token: f64,
    /// The branch that arithmetic bounds, where the measurements show one.
    pub compute: Option<Compute>,
}

/// `d0 + d1 (b + p)`: the weights' part of a step once arithmetic bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Compute {
    /// s.
    pub d0_s: f64,
    /// Per token of the step, decoded or of a prompt, s.
    pub d1_s_per_token: f64,
}

impl Step {
    /// Time of a step, s: `sequences` decode one token each, their contexts have `context` tokens
    /// together, and `prefill` prompt tokens are processed.
    pub fn step_s(&self, sequences: f64, context: f64, prefill: f64) -> f64 {
        let memory =
            self.c0_s + self.c1_s_per_sequence * sequences + self.c3_s_per_prefill_token * prefill;
        let weights = match self.compute {
            Some(c) => memory.max(c.d0_s + c.d1_s_per_token * (sequences + prefill)),
            None => memory,
        };
        self.c2_s_per_context_token * context + weights
    }
}
