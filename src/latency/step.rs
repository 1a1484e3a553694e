//! The time of one step of a server whose requests join and leave at every step.

use serde::{Deserialize, Serialize};

use super::work::StepWork;

/// `t_step = c2 C + c4 A + max(c0 + c1 b + c3 p, compute)` for a step that decodes one token of each
/// of `b` sequences whose contexts have `C` tokens together, and processes `p` prompt tokens, which
/// attend to `A` tokens together (docs/MODEL.md, "Step latency").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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
    /// Per pair of a prompt token and a token that it attends to, its own included, s; 0 in a
    /// calibration, which measures short prompts.
    #[serde(default)]
    pub c4_s_per_prefill_pair: f64,
    /// The branch that arithmetic bounds, where the measurements show one.
    pub compute: Option<Compute>,
}

/// `d0 + d1 (b + p)`: the weights' part of a step once arithmetic bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Compute {
    /// What every such step costs, s.
    pub d0_s: f64,
    /// Per token of the step, decoded or of a prompt, s.
    pub d1_s_per_token: f64,
}

impl Step {
    /// Llama-3.1-8B in f16 on one H100: what `Stored::roofline` makes of the two data sheets (a test
    /// holds it).
    pub const LLAMA_3_1_8B_ON_H100: Step = Step {
        c0_s: 0.004_480_393_093_731_343,
        c1_s_per_sequence: 3.912_597_014_925_373e-8,
        c2_s_per_context_token: 3.912_597_014_925_373e-8,
        c3_s_per_prefill_token: 3.912_597_014_925_373e-8,
        c4_s_per_prefill_pair: 5.299_049_929_250_05e-10,
        compute: Some(Compute {
            d0_s: 0.0,
            d1_s_per_token: 1.517_012_013_745_704_4e-5,
        }),
    };

    /// A step as a server takes it, from submission to its tokens: the work, and `submission_s`, which a
    /// calibration's fit leaves out.
    pub fn with_submission(self, submission_s: f64) -> Step {
        Step {
            c0_s: self.c0_s + submission_s,
            compute: self.compute.map(|compute| Compute {
                d0_s: compute.d0_s + submission_s,
                ..compute
            }),
            ..self
        }
    }

    /// Time of any step, s.
    pub fn work_s(&self, work: &StepWork<'_>) -> f64 {
        let (mut tokens, mut pairs) = (0.0, 0.0);
        for chunk in work.chunks {
            tokens += f64::from(chunk.tokens);
            pairs += chunk.pairs();
        }
        self.step_s(f64::from(work.sequences), work.context as f64, tokens)
            + self.c4_s_per_prefill_pair * pairs
    }

    /// Time of a step without attention within prompts, s: `sequences` decode one token each, their contexts have `context` tokens
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
