//! A batch that starts and ends together, in steps: exactly, and as the published
//! [`Linear`] form, on which the published schedulers run (docs/MODEL.md, "Closed-batch form of a
//! step").

use serde::Serialize;

use super::Linear;
use super::step::Step;
use crate::least_squares::Weighted;
use crate::quantiles::middle;

/// What a workload asks of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Shape {
    /// Mean prompt, tokens.
    pub prompt: f64,
    /// Mean output, tokens; less than one counts as one.
    pub output: f64,
    /// Tokens of all members together that no batch exceeds, where something bounds them.
    pub most_tokens: Option<f64>,
}

/// A [`Step`] in the closed-batch form, and how far that form is from the steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ClosedForm {
    pub linear: Linear,
    /// Median and greatest error of `linear` against the sum over steps, in proportion, over the
    /// batches that it was derived from.
    pub median_error: f64,
    pub worst_error: f64,
    /// Those batches: sizes from 1 to this, and lengths (prompt + output) from and to these, tokens.
    pub max_batch: u32,
    pub lengths: [f64; 2],
    /// A decoding step of one sequence in the middle of its output, s. In the form it takes
    /// `linear.beta_s_per_token`, which is less the longer prompts are, because there a prompt token
    /// costs as much as an output token.
    pub step_s: f64,
}

/// The lengths that a [`ClosedForm`] is derived from, in units of the workload's mean: the longest
/// member of a batch is longer than the mean, and bins bring short requests together.
const LENGTHS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

impl Step {
    /// Time of a closed batch of `b` equal members, s: one pass over all prompts, which gives each its
    /// first output token, and a step for each further token, over contexts that grow by one. The sum
    /// over these steps in closed form; exact for whole numbers.
    pub fn batch_s(&self, b: f64, prompt: f64, output: f64) -> f64 {
        let steps = (output - 1.0).max(0.0);
        // The step that writes token k + 1 reads the keys and values of prompt + k tokens each.
        let context = b * (steps * prompt + steps * (steps + 1.0) / 2.0);
        self.step_s(0.0, 0.0, b * prompt)
            + steps * self.step_s(b, 0.0, 0.0)
            + self.c2_s_per_context_token * context
    }

    /// The closed-batch form for a workload and batches of up to `max_batch`.
    ///
    /// A batch of length L has prompts and outputs in the workload's proportion. `alpha`, `beta` and
    /// `beta growth` are the nonnegative least squares of the relative error over batch sizes 1, 2, 4
    /// and so on up to `max_batch` and lengths from a quarter of the mean to four times it, without
    /// what exceeds [`Shape::most_tokens`]. `gamma` is 0: no part of a step's time levels off as the
    /// batch grows. The floor is the time of a step that does nothing.
    pub fn closed_batch(&self, shape: Shape, max_batch: u32) -> ClosedForm {
        let prompt = shape.prompt.max(0.0);
        let output = shape.output.max(1.0);
        let mean = prompt + output;
        let exact = |b: f64, length: f64| {
            let part = length / mean;
            self.batch_s(b, prompt * part, output * part)
        };
        let max_batch = max_batch.max(1);
        let sizes = std::iter::successors(Some(1u32), |b| {
            (*b < max_batch).then(|| b.saturating_mul(2).min(max_batch))
        });
        let mut batches: Vec<(u32, f64)> = sizes
            .flat_map(|b| LENGTHS.map(|part| (b, part * mean)))
            .collect();
        // A single request is served whatever its length.
        batches.retain(|&(b, length)| {
            b == 1
                || shape
                    .most_tokens
                    .is_none_or(|most| f64::from(b) * length <= most)
        });

        let mut system = Weighted::<3>::default();
        for &(b, length) in &batches {
            let seconds = exact(f64::from(b), length);
            let columns = [1.0, length, length * f64::from(b - 1)];
            system.add(&columns, seconds, 1.0 / (seconds * seconds));
        }
        let one_size = batches.iter().all(|&(b, _)| b == 1);
        let [alpha, beta, beta_growth] = system
            .solve_nonnegative([true, true, !one_size])
            .map_or([0.0; 3], |solution| solution.at);
        let linear = Linear {
            alpha_s: alpha,
            beta_s_per_token: beta,
            gamma: 0.0,
            growth: if beta > 0.0 { beta_growth / beta } else { 0.0 },
            floor_s: self.step_s(0.0, 0.0, 0.0).clamp(1e-9, 10.0),
        };
        let mut errors: Vec<f64> = batches
            .iter()
            .map(|&(b, length)| {
                let form = (alpha + beta * length * linear.h(b)).max(linear.floor_s);
                (form / exact(f64::from(b), length) - 1.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        ClosedForm {
            linear,
            median_error: middle(&errors).unwrap_or(0.0),
            worst_error: errors.last().copied().unwrap_or_default(),
            max_batch,
            lengths: [LENGTHS[0] * mean, LENGTHS[LENGTHS.len() - 1] * mean],
            step_s: self.step_s(1.0, prompt + output / 2.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::step::Compute;

    /// 3.4 GB of weights and 115 kB a token at 1 TB/s.
    const STEP: Step = Step {
        c0_s: 3.4e-3,
        c1_s_per_sequence: 20e-6,
        c2_s_per_context_token: 0.115e-6,
        c3_s_per_prefill_token: 20e-6,
        c4_s_per_prefill_pair: 0.0,
        compute: Some(Compute {
            d0_s: 0.0,
            d1_s_per_token: 22e-6,
        }),
    };
    const SHAPE: Shape = Shape {
        prompt: 586.0,
        output: 135.0,
        most_tokens: None,
    };

    #[test]
    fn a_batch_is_the_sum_of_its_steps() {
        for (b, prompt, output) in [
            (1, 1, 1),
            (1, 500, 2),
            (7, 0, 130),
            (64, 586, 135),
            (200, 9, 40),
        ] {
            let size = f64::from(b);
            let mut sum = STEP.step_s(0.0, 0.0, f64::from(b * prompt));
            for written in 1..output {
                sum += STEP.step_s(size, f64::from(b * (prompt + written)), 0.0);
            }
            let closed = STEP.batch_s(size, prompt.into(), output.into());
            assert!((closed / sum - 1.0).abs() < 1e-12, "{b} {prompt} {output}");
        }
    }

    #[test]
    fn steps_without_context_have_the_form_itself() {
        // A prompt token costs what a decoded one costs, and no context is read: T is c0 O + c1 b
        // (L - 1), and only the missing 1 is no multiple of L.
        let step = Step {
            c2_s_per_context_token: 0.0,
            compute: None,
            ..STEP
        };
        let form = step.closed_batch(SHAPE, 128);
        assert!(form.worst_error < 0.005, "{form:?}");
        let share = SHAPE.output / (SHAPE.prompt + SHAPE.output);
        let beta = step.c0_s * share + step.c1_s_per_sequence;
        assert!((form.linear.beta_s_per_token / beta - 1.0).abs() < 0.005);
        let growth = step.c1_s_per_sequence / beta;
        assert!((form.linear.growth / growth - 1.0).abs() < 0.005);
        assert_eq!(form.linear.gamma, 0.0);
        assert_eq!(form.step_s, step.step_s(1.0, 0.0, 0.0));
    }

    #[test]
    fn the_stated_error_is_the_error() {
        for most_tokens in [None, Some(37_333.0)] {
            let shape = Shape {
                most_tokens,
                ..SHAPE
            };
            let form = STEP.closed_batch(shape, 100);
            assert_eq!(form.max_batch, 100);
            let mean = SHAPE.prompt + SHAPE.output;
            assert_eq!(form.lengths, [mean / 4.0, mean * 4.0]);
            let mut worst = 0.0f64;
            for b in [1, 2, 4, 8, 16, 32, 64, 100] {
                for part in [0.25, 0.5, 1.0, 2.0, 4.0] {
                    let tokens = mean * part * f64::from(b);
                    if b > 1 && most_tokens.is_some_and(|most| tokens > most) {
                        continue;
                    }
                    let l = &form.linear;
                    let said = l.alpha_s + l.beta_s_per_token * mean * part * l.h(b);
                    let is = STEP.batch_s(b.into(), SHAPE.prompt * part, SHAPE.output * part);
                    worst = worst.max((said / is - 1.0).abs());
                }
            }
            assert!((form.worst_error - worst).abs() < 1e-12);
            assert!(form.median_error < 0.12 && form.median_error < worst);
        }
        // Batches that no memory holds are not what the form is made for.
        let bound = Shape {
            most_tokens: Some(37_333.0),
            ..SHAPE
        };
        let [within, beyond] = [bound, SHAPE].map(|s| STEP.closed_batch(s, 128));
        assert!(within.worst_error < 0.3 && beyond.worst_error > 0.5);
    }

    #[test]
    fn odd_workloads_have_a_form() {
        let shape = |prompt, output| Shape {
            prompt,
            output,
            most_tokens: Some(0.0),
        };
        for (shape, max_batch) in [
            (shape(0.0, 0.0), 0),
            (shape(0.0, 1.0), 1),
            (shape(1e6, 1.0), 4096),
            (shape(0.0, 1e6), 7),
        ] {
            let form = STEP.closed_batch(shape, max_batch);
            let l = form.linear;
            for x in [l.alpha_s, l.beta_s_per_token, l.growth, form.worst_error] {
                assert!(x.is_finite() && x >= 0.0, "{form:?}");
            }
            assert!(l.service_s(1, 100) > 0.0);
        }
    }
}
