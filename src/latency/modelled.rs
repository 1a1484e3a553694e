//! A step by what its model reads and computes, and by the shares of the peaks that an engine reaches: any decoder,
//! experts and fixed states included (docs/MODEL.md, "Modelled steps").

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::work::{Chunk, Piece, StepWork, Timed};
use crate::Error;

/// The numbers of such a step. Every time is that of one replica, on all GPUs that it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Modelled {
    /// What the times rest on, as in "typical, llama-3.1-8b in bf16 on H100".
    pub basis: String,
    /// Whether reads and arithmetic overlap fully, as no engine makes them: the upper bound of a data sheet.
    pub ideal: bool,
    /// What every step costs beside its kernels' work: the engine's own part and launching kernels, s.
    pub step_s: f64,
    /// Per sequence that draws a token: sampling, and the engine's book-keeping, s.
    pub sequence_s: f64,
    /// More for a step with prompt tokens, which runs outside captured graphs, s.
    pub prompt_step_s: f64,
    /// Weights that every token uses: attention, MLPs, shared experts and the LM head.
    pub dense: Dense,
    /// Routed experts, where the model has some.
    pub experts: Option<Experts>,
    /// Reading the keys and values of one token of context in the layers that attend to all of it, s.
    pub context_token_s: f64,
    /// Layers that attend to the last tokens only.
    pub windows: Vec<Window>,
    /// Attention of a prompt token to one token in the layers that attend to all of it, s.
    pub pair_s: f64,
    /// Exchange between the GPUs of a replica, per token of the step, s.
    pub exchange_token_s: f64,
    /// Measured step times over predicted ones of models left out of the fit: the quantiles of 5 and 95 %. Absent where
    /// nothing was fitted.
    pub spread: Option<Spread>,
}

/// Between which factors of a predicted step time nine of ten measured ones are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Spread {
    /// The quantile of 5 %.
    pub low: f64,
    /// The quantile of 95 %.
    pub high: f64,
}

/// Weights that every token of a step uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Dense {
    /// Reading all of them, s.
    pub read_s: f64,
    /// Arithmetic of one token of the step, s.
    pub token_s: f64,
    /// Arithmetic of one token that is drawn (the LM head), s.
    pub sampled_s: f64,
}

/// Routed experts of all layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Experts {
    /// Of a layer.
    pub count: u32,
    /// That a token is sent to.
    pub active: u32,
    /// Groups that the experts of a layer are divided into, each on GPUs of its own: 1 where every GPU has a part of each
    /// expert.
    pub groups: u32,
    /// Share of a step's tokens after the first that count as choosing their experts independently of the others, fraction of
    /// 1: 1 for a router without preferences, less where tokens of a step choose alike.
    pub independent: f64,
    /// Reading one expert in each layer, s.
    pub read_s: f64,
    /// Arithmetic of one token of the step, s.
    pub token_s: f64,
}

/// Layers that attend to the last tokens of a sequence only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Window {
    /// Most tokens that a token attends to.
    pub tokens: u32,
    /// Reading the keys and values of one of them, s.
    pub token_s: f64,
    /// Attention of a prompt token to one of them, s.
    pub pair_s: f64,
}

/// No coefficient of a step is longer, s.
const MOST_S: f64 = 1e3;

impl Modelled {
    /// The same with every time multiplied.
    pub fn multiply(&mut self, factor: f64) {
        for time in self.times() {
            *time *= factor;
        }
    }

    fn times(&mut self) -> Vec<&mut f64> {
        let mut times = vec![
            &mut self.step_s,
            &mut self.sequence_s,
            &mut self.prompt_step_s,
            &mut self.dense.read_s,
            &mut self.dense.token_s,
            &mut self.dense.sampled_s,
            &mut self.context_token_s,
            &mut self.pair_s,
            &mut self.exchange_token_s,
        ];
        if let Some(experts) = &mut self.experts {
            times.extend([&mut experts.read_s, &mut experts.token_s]);
        }
        for window in &mut self.windows {
            times.extend([&mut window.token_s, &mut window.pair_s]);
        }
        times
    }

    /// Errors: names what is wrong, by its path under `at`.
    pub fn check(&self, at: &str) -> Result<(), Error> {
        let refuse = |field: &str, value: String, allowed: &str| {
            Err(Error::bad_field(format!("{at}.{field}"), value, allowed))
        };
        let bad = |time: &&mut f64| !(0.0..=MOST_S).contains(*time);
        if let Some(time) = self.clone().times().into_iter().find(bad) {
            return refuse("step_s", time.to_string(), "times from 0 to 1000 s");
        }
        if let Some(e) = &self.experts {
            if e.active == 0 || e.active > e.count || e.count > 1 << 16 {
                return refuse(
                    "experts.active",
                    e.active.to_string(),
                    "from 1 to the number of experts, which is at most 65536",
                );
            }
            if e.groups == 0 || e.groups > e.count {
                let value = e.groups.to_string();
                return refuse("experts.groups", value, "from 1 to the number of experts");
            }
            if !(e.independent > 0.0 && e.independent <= 1.0) {
                let value = e.independent.to_string();
                return refuse("experts.independent", value, "above 0 and at most 1");
            }
        }
        if let Some(Spread { low, high }) = self.spread
            && !(low > 0.0 && low <= high && high <= 100.0)
        {
            let value = format!("{low} to {high}");
            return refuse(
                "spread",
                value,
                "two factors above 0, in order, at most 100",
            );
        }
        // The shortest steps: of one sequence or of one prompt token, without what experts add.
        let decode_s = self.step_s + self.sequence_s + self.dense.read_s + self.context_token_s;
        let prompt_s = self.step_s + self.prompt_step_s + self.dense.read_s + self.pair_s;
        let least_s = decode_s.min(prompt_s);
        if least_s < 1e-9 {
            let value = format!("a step of {least_s} s");
            return refuse(
                "step_s",
                value,
                "times that make every step last at least 1e-9 s, even without experts",
            );
        }
        Ok(())
    }
}

impl Experts {
    /// Experts of a layer that the busiest group reads, where `tokens` choose: the greatest of `groups` binomial numbers
    /// on average.
    fn busiest(&self, tokens: f64) -> f64 {
        let share = f64::from(self.active) / f64::from(self.count);
        // Where less than one token chooses, the first one's choice is scaled.
        let independent = 1.0 + (tokens - 1.0) * self.independent;
        let chosen = 1.0 - libm::pow(1.0 - share, independent.max(0.0));
        let each = self.count.div_ceil(self.groups);
        if self.groups == 1 {
            return f64::from(each) * chosen;
        }
        let groups = f64::from(self.groups);
        let (mut below, mut term) = (0.0, libm::pow(1.0 - chosen, f64::from(each)));
        let mut greatest = 0.0;
        for k in 0..each {
            below += term;
            greatest += 1.0 - libm::pow(below.min(1.0), groups);
            term *= f64::from(each - k) / f64::from(k + 1) * chosen / (1.0 - chosen).max(1e-300);
        }
        greatest
    }

    /// [`Experts::busiest`] by tokens, between steps of a twentieth.
    fn curve(&self) -> Curve {
        let mut points = vec![(0.0, 0.0)];
        let mut tokens = 1.0;
        while tokens < 1e6 {
            points.push((tokens, self.busiest(tokens)));
            tokens = (tokens * 1.05_f64).max(tokens + 1.0);
        }
        Curve::new(points)
    }
}

/// [`Modelled`], ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelledModel {
    step: Modelled,
    busiest: Curve,
}

impl ModelledModel {
    pub fn new(step: Modelled) -> ModelledModel {
        let busiest = step.experts.map_or_else(Curve::default, |e| e.curve());
        ModelledModel { step, busiest }
    }

    /// A part that reads for `read_s` and computes for `compute_s`.
    fn part(&self, read_s: f64, compute_s: f64) -> f64 {
        if self.step.ideal {
            read_s.max(compute_s)
        } else {
            libm::sqrt(read_s * read_s + compute_s * compute_s)
        }
    }

    /// A step without attention.
    fn weights(&self, tokens: f64, sampled: f64) -> f64 {
        let s = &self.step;
        let dense = self.part(
            s.dense.read_s,
            s.dense.token_s * tokens + s.dense.sampled_s * sampled,
        );
        let experts = s.experts.map_or(0.0, |e| {
            let read = e.read_s * self.busiest.line(tokens).y;
            self.part(read, e.token_s * tokens)
        });
        s.step_s + s.sequence_s * sampled + dense + experts + s.exchange_token_s * tokens
    }

    /// Time of a step.
    pub fn step(&self, work: &StepWork<'_>) -> Timed {
        let s = &self.step;
        let seconds = if work.chunks.is_empty() {
            self.decode(work.sequences, work.context).at_s
        } else {
            let tokens = work.chunks.iter().map(|c| f64::from(c.tokens)).sum::<f64>()
                + f64::from(work.sequences);
            let attention: f64 = work.chunks.iter().map(|chunk| self.attention(*chunk)).sum();
            s.prompt_step_s
                + self.weights(tokens, f64::from(work.sampled))
                + self.cache(work.sequences, work.context).at_s
                + attention
        };
        Timed {
            seconds,
            inside: true,
        }
    }

    /// Attention of a part of a prompt.
    fn attention(&self, chunk: Chunk) -> f64 {
        let windows = self.step.windows.iter();
        windows.fold(self.step.pair_s * chunk.pairs(), |sum, window| {
            sum + window.pair_s * windowed(chunk, window.tokens)
        })
    }

    /// Reading the keys and values of `sequences` with `context` tokens together, each taken to have its share.
    fn cache(&self, sequences: u32, context: u64) -> Piece {
        let s = &self.step;
        let mut piece = Piece {
            at_s: s.context_token_s * context as f64,
            per_token_s: s.context_token_s,
            until: u64::MAX,
            inside: true,
        };
        for window in &s.windows {
            let most = u64::from(sequences) * u64::from(window.tokens);
            piece.at_s += window.token_s * context.min(most) as f64;
            if context < most {
                piece.per_token_s += window.token_s;
                piece.until = piece.until.min(most);
            }
        }
        piece
    }

    /// The line of steps that only decode.
    #[inline]
    pub fn decode(&self, sequences: u32, context: u64) -> Piece {
        let b = f64::from(sequences);
        let cache = self.cache(sequences, context);
        Piece {
            at_s: self.weights(b, b) + cache.at_s,
            ..cache
        }
    }
}

/// Pairs of a token of the chunk and one of the last `most` tokens before and with it.
fn windowed(chunk: Chunk, most: u32) -> f64 {
    let (q, before, most) = (
        f64::from(chunk.tokens),
        f64::from(chunk.before),
        f64::from(most),
    );
    // The first tokens see fewer than `most`: their number, and what they see.
    let short = (most - before).clamp(0.0, q);
    short * before + short * (short + 1.0) / 2.0 + (q - short) * most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experts(count: u32, active: u32, groups: u32) -> Experts {
        Experts {
            count,
            active,
            groups,
            independent: 1.0,
            read_s: 1e-3,
            token_s: 0.0,
        }
    }

    #[test]
    fn one_token_reads_the_experts_that_it_is_sent_to() {
        assert!((experts(128, 8, 1).busiest(1.0) - 8.0).abs() < 1e-9);
        // Two of four experts, each on a GPU of its own: one of the GPUs always reads.
        let greatest = experts(4, 1, 4).busiest(1.0);
        // 1 - (3/4)^4 where the four choices are taken to be independent.
        assert!(
            (greatest - (1.0 - 0.75f64.powi(4))).abs() < 1e-12,
            "{greatest}"
        );
        // Many tokens reach every expert.
        assert!((experts(128, 8, 8).busiest(4096.0) - 16.0).abs() < 1e-6);
    }

    #[test]
    fn the_busiest_group_by_enumeration() {
        // Two groups of two experts: all sixteen outcomes.
        let e = experts(4, 1, 2);
        let p = 1.0 - libm::pow(0.75, 3.0);
        let mut expected = 0.0;
        for outcome in 0u32..16 {
            let hits = [outcome & 3, outcome >> 2].map(u32::count_ones);
            let all = outcome.count_ones() as i32;
            expected += p.powi(all) * (1.0 - p).powi(4 - all) * f64::from(hits[0].max(hits[1]));
        }
        assert!((e.busiest(3.0) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_window_sees_its_last_tokens() {
        for (tokens, before, most) in [
            (10, 0, 4),
            (10, 3, 4),
            (10, 8, 4),
            (3, 0, 100),
            (5, 98, 100),
        ] {
            let by_token: u32 = (1..=tokens).map(|i| (before + i).min(most)).sum();
            let chunk = Chunk { tokens, before };
            assert_eq!(
                windowed(chunk, most),
                f64::from(by_token),
                "{tokens} {before} {most}"
            );
        }
    }
}
