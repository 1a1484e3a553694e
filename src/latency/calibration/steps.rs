//! Whole steps as a server takes them, and the kernel profile that they amount to (docs/MODEL.md, "From whole steps to
//! a prediction").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Calibration;
use crate::latency::curve::Curve;
use crate::latency::profile::{Attention, HEAD, LEAST_US, Profile, Sweep, WHOLE};

/// A step timed as it runs: laid out, encoded, submitted, computed, its tokens read back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct WholeStep {
    /// Rows that decode: one for each sequence.
    pub sequences: u32,
    /// Context of each of them, tokens.
    pub context: u32,
    /// Prompt tokens beside them, of one sequence.
    pub chunk: u32,
    /// Tokens of that sequence before the chunk.
    pub before: u32,
    /// Rows after which a token is drawn: all that decode, or none.
    pub sampled: u32,
    /// Kernels that it dispatches.
    pub dispatches: u32,
    /// Bytes of weights and cache that it reads at least once.
    pub bytes: f64,
    /// Median over the rounds that count, times what all steps take longer in the mean than in the median, s; of more
    /// layers than are in memory, extrapolated.
    pub seconds: f64,
    /// Median absolute deviation of `seconds`.
    pub mad_s: f64,
    /// The part of it until the work was submitted, s.
    pub host_s: f64,
    /// Rounds that count, and rounds left out because the device was slower or faster than usual just then.
    pub rounds: u32,
    pub left_out: u32,
}

/// What a step costs the processor before the device has it: `per_step_s + per_dispatch_s x dispatches`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "HostTime"))]
pub struct Host {
    pub per_step_s: f64,
    pub per_dispatch_s: f64,
}

/// The pace of a device while it was calibrated, by one small step that was taken again and again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Steadiness {
    /// What that step usually took: the median, s.
    pub usual_s: f64,
    /// Half the difference of its 90 % and 10 % quantiles over its median.
    pub spread: f64,
    /// Share of the measured steps that were left out.
    pub left_out: f64,
}

/// Loads that a device served, beside their predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Proof {
    pub levels: Vec<ProofLevel>,
}

/// One load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ProofLevel {
    pub users: u32,
    pub requests: u32,
    pub predicted: ProofSide,
    pub measured: ProofSide,
}

/// The figures of a load that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ProofSide {
    pub output_tokens_per_s: f64,
    /// Between two tokens of a request: mean and 95 % quantile, ms.
    pub tbt_mean_ms: f64,
    pub tbt_p95_ms: f64,
}

impl ProofLevel {
    /// Of throughput, mean and P95 of the time between tokens: (predicted - measured)/measured.
    pub fn errors(&self) -> [f64; 3] {
        let of = |side: &ProofSide| [side.output_tokens_per_s, side.tbt_mean_ms, side.tbt_p95_ms];
        let (predicted, measured) = (of(&self.predicted), of(&self.measured));
        std::array::from_fn(|i| predicted[i] / measured[i] - 1.0)
    }
}

impl Proof {
    /// The greatest error of throughput and of the mean time between tokens, in proportion.
    pub fn error(&self) -> f64 {
        let errors = self.levels.iter().flat_map(|level| {
            let [rate, mean, _] = level.errors();
            [rate.abs(), mean.abs()]
        });
        errors.fold(0.0, f64::max)
    }
}

impl Calibration {
    /// The measured steps as a kernel profile; `None` before version 3.
    pub fn profile(&self) -> Option<Profile> {
        profile(self.model.architecture.layers, &self.steps)
    }
}

/// Measured steps of a model as a kernel profile; `None` without steps of decoding sequences.
///
/// With D(r) for what r rows cost whatever they are, P(s) for s sampled rows, and A and B for the attention of
/// decoding rows and of a prompt's:
///
/// - `D(n)` is the time of n decoding rows at the shortest context without sampling, less what they take more than as many
///   rows of a prompt, which run another kernel: that is in A;
/// - `P(n)` is what sampling adds;
/// - `A(n, C)` is what the context adds;
/// - `B(q, s)` is what a chunk of q tokens behind s takes more than `D(q)`. Beyond the most decoding rows there is
///   no `D(q)` of its own: `B(q, 0)` is that of the largest chunk which has one, and `D(q)` is the rest.
///
/// At the measured sizes the sum is what was measured, but for the least time that a profile allows a kernel.
pub fn profile(layers: u32, steps: &[WholeStep]) -> Option<Profile> {
    let short = steps.iter().map(|s| s.context).filter(|c| *c > 0).min()?;
    let is_short = |s: &&WholeStep| s.chunk == 0 && s.context == short;
    let mut rows: BTreeMap<u32, f64> = BTreeMap::new();
    let mut all: BTreeMap<u32, f64> = BTreeMap::new();
    for step in steps.iter().filter(is_short) {
        let map = if step.sampled == 0 {
            &mut rows
        } else {
            &mut all
        };
        map.insert(step.sequences, step.seconds);
    }
    let mut dearer = vec![(0.0, 0.0)];
    for chunk in steps.iter().filter(|s| s.sequences == 0 && s.before == 0) {
        if let Some(seconds) = rows.get(&chunk.chunk) {
            let more = (seconds - chunk.seconds).max(0.0);
            dearer.push((f64::from(chunk.chunk), more));
        }
    }
    let dearer = Curve::new(dearer);
    let dearer = |n: u32| dearer.line(f64::from(n)).y;
    let mut heads = Sweep::default();
    let us = |seconds: f64| (seconds * 1e6).max(LEAST_US);
    let mut head = |count: u32, seconds: f64| {
        heads.count.push(count);
        heads.time_us.push(us(seconds));
    };
    head(0, 0.0);
    for (n, seconds) in &all {
        head(*n, seconds - rows.get(n)?);
    }
    for (n, seconds) in &mut rows {
        *seconds -= dearer(*n);
    }

    let mut attention = Attention::default();
    let mut attend = |[chunk, before, decode, context]: [u32; 4], seconds: f64| {
        attention.prefill_chunk.push(chunk);
        attention.kv_prefill.push(before);
        attention.n_decode.push(decode);
        attention.kv_decode.push(context);
        attention.time_us.push(us(seconds / f64::from(layers)));
    };
    let decoding = steps.iter().filter(|s| s.chunk == 0 && s.sampled > 0);
    for step in decoding {
        let longer = steps.iter().any(|other| {
            other.chunk == 0 && other.sequences == step.sequences && other.context > short
        });
        let n = step.sequences;
        if longer {
            attend(
                [0, 0, n, step.context],
                step.seconds - all.get(&n)? + dearer(n),
            );
        }
    }
    let mut chunks: Vec<&WholeStep> = steps
        .iter()
        .filter(|s| s.sequences == 0 && s.chunk > 0)
        .collect();
    chunks.sort_by_key(|s| (s.chunk, s.before));
    let mut least_s = 0.0;
    for step in &chunks {
        let q = step.chunk;
        let dense_s = match rows.get(&q) {
            Some(&dense_s) => dense_s,
            None => {
                let dense_s = step.seconds - least_s;
                rows.insert(q, dense_s);
                dense_s
            }
        };
        let attention_s = step.seconds - dense_s;
        if step.before == 0 {
            least_s = attention_s.max(0.0);
        }
        // Without a longer context behind it, a size says nothing of attention.
        if chunks
            .iter()
            .any(|other| other.chunk == q && other.before > 0)
        {
            attend([q, step.before, 0, 0], attention_s);
        }
    }
    let whole = Sweep {
        count: rows.keys().copied().collect(),
        time_us: rows.values().map(|s| us(s / f64::from(layers))).collect(),
    };
    Some(Profile {
        layers,
        attention,
        dense: BTreeMap::from([(WHOLE.to_owned(), whole)]),
        per_sequence: BTreeMap::from([(HEAD.to_owned(), heads)]),
        captured: Vec::new(),
        skew: None,
    })
}
