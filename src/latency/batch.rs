//! How long a closed batch takes, ready for the inner loop: by the studies' formula, or step by step
//! (docs/MODEL.md, "Closed batches in steps").

use super::{Chunk, LinearTable, Piece, StepModel, StepWork};

/// [`Latency`](super::Latency), ready to be asked once a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchModel {
    Linear(LinearTable),
    Steps(Box<BatchSteps>),
}

/// Times of a closed batch from its start, s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchTime {
    /// Until the pass over all prompts is done, which gives each member its first token.
    pub first_token_s: f64,
    /// Until the longest output is complete; all members leave then.
    pub service_s: f64,
    /// Whether the numbers that the steps' times come from reach so far.
    pub inside: bool,
}

/// A step model, and room for the members of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSteps {
    model: StepModel,
    chunks: Vec<Chunk>,
    members: Vec<Member>,
}

/// Tokens of a member of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Member {
    prompt: u32,
    output: u32,
    /// Among this member and all with longer outputs.
    longest_prompt: u32,
}

impl BatchSteps {
    pub fn new(model: StepModel) -> BatchSteps {
        BatchSteps {
            model,
            chunks: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Times of a batch whose members have these prompts and outputs, in tokens. A prompt of 0 tokens counts as 1; a member
    /// without output, a failed request, leaves with the others.
    pub fn time(&mut self, members: impl Iterator<Item = (u32, u32)>) -> BatchTime {
        self.take(members);
        let prefill = self.model.step(&StepWork {
            sequences: 0,
            context: 0,
            chunks: &self.chunks,
            sampled: self.chunks.len() as u32,
        });
        let (decode_s, inside) = self.decode();
        BatchTime {
            first_token_s: prefill.seconds,
            service_s: prefill.seconds + decode_s,
            inside: prefill.inside && inside,
        }
    }

    /// In order of their outputs.
    fn take(&mut self, members: impl Iterator<Item = (u32, u32)>) {
        self.members.clear();
        self.members.extend(members.map(|(prompt, output)| Member {
            prompt: prompt.max(1),
            output: output.max(1),
            longest_prompt: 0,
        }));
        self.chunks.clear();
        self.chunks.extend(self.members.iter().map(|m| Chunk {
            tokens: m.prompt,
            before: 0,
        }));
        self.members.sort_unstable_by_key(|m| m.output);
        let mut longest_prompt = 0;
        for member in self.members.iter_mut().rev() {
            longest_prompt = longest_prompt.max(member.prompt);
            member.longest_prompt = longest_prompt;
        }
    }

    /// The time of all decode steps, s. While the same members are unfinished, a step's time is linear in the context.
    fn decode(&self) -> (f64, bool) {
        let sequences = self.members.len() as u32;
        // What the next step reads: of each member its prompt and the tokens so far, the step's own included; of those that
        // are done, what they last read.
        let mut context: u64 = self.members.iter().map(|m| u64::from(m.prompt) + 1).sum();
        let mut longest_done = 0;
        let (mut done, mut steps) = (0, 0u64);
        let (mut seconds, mut inside) = (0.0, true);
        while let Some(next) = self.members.get(done) {
            let most = u64::from(next.output) - 1 - steps;
            if most == 0 {
                longest_done = longest_done.max(u64::from(next.prompt) + steps);
                context -= 1;
                done += 1;
                continue;
            }
            let longest = longest_done.max(u64::from(next.longest_prompt) + steps + 1);
            let piece = self.piece(sequences, context, longest, done > 0);
            let active = (self.members.len() - done) as u64;
            let count = match piece.until {
                u64::MAX => most,
                until => most.min(until.saturating_sub(context) / active + 1),
            };
            let n = count as f64;
            seconds += n * piece.at_s + piece.per_token_s * active as f64 * (n * (n - 1.0) / 2.0);
            inside &= piece.inside;
            steps += count;
            context += active * count;
        }
        (seconds, inside)
    }

    /// The line that the next steps follow.
    fn piece(&self, sequences: u32, context: u64, longest: u64, some_done: bool) -> Piece {
        let mut piece = self.model.decode(sequences, context);
        if sequences > 1 && self.model.is_skewed() {
            let work = StepWork {
                sequences,
                context,
                chunks: &[],
                sampled: sequences,
            };
            let skew = self.model.skew(&work, longest);
            piece.at_s += skew.at_s;
            piece.per_token_s += skew.per_token_s;
            piece.inside &= skew.inside;
            // The context of those that are done does not grow, so that the line holds for one step.
            let until = if some_done { context } else { skew.until };
            piece.until = piece.until.min(until);
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::step::Step;
    use crate::latency::{StepLatency, StepTable};
    use proptest::prelude::*;

    /// Every step by itself, for the sum.
    fn one_by_one(model: &StepModel, members: &[(u32, u32)]) -> BatchTime {
        let chunks: Vec<Chunk> = members
            .iter()
            .map(|&(prompt, _)| Chunk {
                tokens: prompt.max(1),
                before: 0,
            })
            .collect();
        let sequences = members.len() as u32;
        let prefill = model.step(&StepWork {
            sequences: 0,
            context: 0,
            chunks: &chunks,
            sampled: sequences,
        });
        let longest_output = members.iter().map(|&(_, output)| output).max().unwrap();
        let (mut service_s, mut inside) = (prefill.seconds, prefill.inside);
        for step in 1..longest_output.max(1) {
            let context = members
                .iter()
                .map(|&(prompt, output)| u64::from(prompt.max(1) + step.min(output.max(1) - 1)));
            let timed = model.step(&StepWork {
                sequences,
                context: context.sum(),
                chunks: &[],
                sampled: sequences,
            });
            service_s += timed.seconds;
            inside &= timed.inside;
        }
        BatchTime {
            first_token_s: prefill.seconds,
            service_s,
            inside,
        }
    }

    fn table() -> StepLatency {
        let mut table = StepTable::default();
        for prefill in [0, 64, 2000] {
            for sequences in [0, 1, 4, 16] {
                for context in [0, 100, 1000] {
                    table.prefill.push(prefill);
                    table.sequences.push(sequences);
                    table.context.push(context);
                    let i = table.time_ms.len() as f64;
                    table.time_ms.push(5.0 + i * i / 7.0);
                }
            }
        }
        StepLatency::Table(table)
    }

    proptest! {
        #[test]
        fn a_batch_is_the_sum_of_its_steps(
            members in prop::collection::vec((0u32..3000, 0u32..300), 1..20),
            by_table in any::<bool>(),
        ) {
            let latency = if by_table { table() } else { StepLatency::default() };
            let model = latency.model();
            let exact = one_by_one(&model, &members);
            let time = BatchSteps::new(model).time(members.iter().copied());
            prop_assert_eq!(time.first_token_s, exact.first_token_s);
            prop_assert_eq!(time.inside, exact.inside);
            prop_assert!((time.service_s / exact.service_s - 1.0).abs() < 1e-12, "{:?} {:?}", time, exact);
        }
    }

    #[test]
    fn equal_members_take_the_sum_in_closed_form() {
        let step = Step::LLAMA_3_1_8B_ON_H100;
        let time = BatchSteps::new(StepModel::Linear(step)).time([(700, 240); 32].into_iter());
        // `batch_s` knows no attention within prompts.
        let pairs = 32.0 * 700.0 * 701.0 / 2.0;
        let expected = step.batch_s(32.0, 700.0, 240.0) + step.c4_s_per_prefill_pair * pairs;
        assert!((time.service_s / expected - 1.0).abs() < 1e-12);
    }
}
