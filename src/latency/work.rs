//! What a step is asked to do, and the time it takes: the words that all models of step times share.

use serde::Serialize;

/// What a step asks of the hardware.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Work {
    /// Weights, keys and values read, and keys and values written.
    pub bytes: f64,
    /// Multiplications and additions of matrices and attention.
    pub flops: f64,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepWork<'a> {
    /// Sequences that decode a token.
    pub sequences: u32,
    /// The keys and values that these read, their own of this step included, tokens.
    pub context: u64,
    /// Prompt chunks in the same step.
    pub chunks: &'a [Chunk],
    /// Sequences that a next token is sampled for: all that decode, and those whose prompt ends.
    pub sampled: u32,
}

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub tokens: u32,
    /// Tokens of its sequence that were processed before.
    pub before: u32,
}

impl Chunk {
    /// Pairs of a token of the chunk and a token that it attends to, its own included.
    pub fn pairs(self) -> f64 {
        let q = f64::from(self.tokens);
        q * f64::from(self.before) + q * (q + 1.0) / 2.0
    }
}

/// A time, and whether the numbers that it comes from reach so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    pub seconds: f64,
    /// False where the model had to go beyond what was measured.
    pub inside: bool,
}

/// Steps that only decode, with one number of sequences, as a line in their context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// At the context that was asked for, s.
    pub at_s: f64,
    /// For each further token of context, s.
    pub per_token_s: f64,
    /// The last context for which the line holds, tokens.
    pub until: u64,
    /// As in [`Timed`].
    pub inside: bool,
}
