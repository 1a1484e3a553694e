//! From times of submissions to the time of one repetition. Pure: no device, no clock.
//!
//! A single submission cannot be timed: launching and waiting cost many kernels' time, a browser's
//! clock counts in steps of up to 100 us, and some look for finished work only every 100 ms. So the
//! work is repeated within a submission, at several counts in turn; how the time grows with the count
//! is the time of one repetition, and what is left at count zero is the cost of asking. A line through
//! the samples of all rounds, in which one repetition may become steadily slower or faster from the
//! first round to the last, is fitted by least squares and then again without what lies far off it:
//! submissions that something disturbed, and a clock that drifts, do not move it.

use crate::latency::calibration::Estimate;
use crate::least_squares::Weighted;
use crate::quantiles::median;

/// One submission: repetitions within it, and its time, s.
pub type Sample = [f64; 2];

/// Counts at which a round measures, as parts of the largest, from the fewest.
const PARTS: [f64; 3] = [0.25, 0.5, 1.0];

/// How to measure something.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Repetitions within a submission, ascending, at least two different ones.
    pub counts: Vec<u32>,
    pub rounds: u32,
}

/// What is known of the clock and of the wait for an end before anything is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Time of a submission that does nothing, s: the least that can be seen.
    pub submission_s: f64,
    /// Its spread from one submission to the next, s: half the difference of the 90 % and 10 %
    /// quantiles, and no less than the clock's step.
    pub spread_s: f64,
}

impl Timing {
    /// From times of submissions that do nothing.
    pub fn of(idle: &[f64]) -> Timing {
        let mut sorted = idle.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * (sorted.len().max(1) - 1) as f64).round() as usize;
            sorted.get(place).copied().unwrap_or(0.0)
        };
        Timing {
            submission_s: at(0.5),
            spread_s: ((at(0.9) - at(0.1)) / 2.0).max(CLOCK_STEP_S),
        }
    }
}

/// The step to which browsers round their clocks at worst where a page is not isolated, s.
const CLOCK_STEP_S: f64 = 1e-4;

/// What a measurement may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Wanted length of a round's longest submission, s; longer where the timing asks for it.
    pub wanted_s: f64,
    /// Longest submission: drivers end what takes seconds.
    pub longest_s: f64,
    pub rounds: u32,
}

/// Chooses counts for work that takes about `each_s` a repetition.
///
/// The longest submission is at least 60 times the spread of an idle one, as far as `longest_s`
/// allows: over the rounds the estimate is then within a few percent.
pub fn design(each_s: f64, timing: Timing, budget: Budget) -> Design {
    let wanted = budget
        .wanted_s
        .max(60.0 * timing.spread_s)
        .min(budget.longest_s);
    let most = (wanted / each_s.max(1e-9)).clamp(2.0, 1e6);
    let mut counts: Vec<u32> = PARTS
        .iter()
        .map(|part| (part * most).round().max(1.0) as u32)
        .collect();
    counts.dedup();
    if counts.len() < 2 {
        counts = vec![1, 2];
    }
    Design {
        counts,
        rounds: budget.rounds,
    }
}

/// What the samples say.
#[derive(Debug, Clone, PartialEq)]
pub struct Slope {
    /// One repetition in the middle of the rounds, s.
    pub each_s: f64,
    /// Median absolute deviation of the single rounds' slopes from their common trend, s.
    pub mad_s: f64,
    /// What a submission costs whatever is in it, s.
    pub intercept_s: f64,
}

/// Tukey's bisquare: residuals beyond this many standard deviations have no say.
const BISQUARE: f64 = 4.685;
/// Passes of reweighting; the weights have settled long before.
const PASSES: u32 = 20;
/// From a median absolute deviation to a standard deviation, for normal errors.
const MAD_TO_SD: f64 = 1.482_602_218_505_602;

/// The time of one repetition from rounds of samples at two counts or more.
///
/// `None` without that, or where time does not grow with the count.
pub fn slope(rounds: &[Vec<Sample>], timing: Timing) -> Option<Slope> {
    let last = rounds.len().saturating_sub(1).max(1) as f64;
    let samples: Vec<(f64, Sample)> = rounds
        .iter()
        .zip(0u32..)
        .flat_map(|(round, i)| {
            let when = f64::from(i) / last - 0.5;
            round.iter().map(move |&sample| (when, sample))
        })
        .collect();
    // A start that no single outlier moves: the median of the rounds' lines.
    let lines: Vec<[f64; 2]> = rounds.iter().filter_map(|round| line(round)).collect();
    let mut start = [0, 1].map(|i| lines.iter().map(|line| line[i]).collect::<Vec<f64>>());
    let mut at = [median(&mut start[0])?, median(&mut start[1])?, 0.0];
    let columns = |&(when, [count, _]): &(f64, Sample)| [1.0, count, count * when];
    let off = |at: &[f64; 3], sample: &(f64, Sample)| {
        sample.1[1]
            - columns(sample)
                .iter()
                .zip(at)
                .map(|(c, a)| c * a)
                .sum::<f64>()
    };
    // Part of the noise grows with the time (clocks), part does not (rounding, waiting).
    let size = |at: &[f64; 3], sample: &(f64, Sample)| {
        let noise = 0.005 * (at[1] * sample.1[0]).abs() + timing.spread_s;
        (off(at, sample) / noise, noise)
    };
    let drifts = rounds.len() > 2;
    for _ in 0..PASSES {
        let mut sizes: Vec<f64> = samples.iter().map(|s| size(&at, s).0.abs()).collect();
        let scale = (MAD_TO_SD * median(&mut sizes)?).max(1e-6);
        let mut sum = Weighted::<3>::default();
        for sample in &samples {
            let (residual, noise) = size(&at, sample);
            let part = residual / (scale * BISQUARE);
            let trust = (1.0 - part * part).max(0.0);
            sum.add(
                &columns(sample),
                sample.1[1],
                trust * trust / (noise * noise),
            );
        }
        let Some(solution) = sum.solve([true, true, drifts]) else {
            break;
        };
        at = solution.at;
    }
    let mut spread: Vec<f64> = lines
        .iter()
        .zip(0u32..)
        .map(|(line, i)| (line[1] - at[1] - at[2] * (f64::from(i) / last - 0.5)).abs())
        .collect();
    Some(Slope {
        each_s: at[1],
        mad_s: median(&mut spread)?,
        intercept_s: at[0].max(0.0),
    })
    .filter(|slope| slope.each_s > 0.0 && slope.each_s.is_finite())
}

/// Intercept and slope of the least-squares line through a round.
fn line(round: &[Sample]) -> Option<[f64; 2]> {
    let n = round.len() as f64;
    let mean = |i: usize| round.iter().map(|s| s[i]).sum::<f64>() / n;
    let [x, y] = [mean(0), mean(1)];
    let spread: f64 = round.iter().map(|s| (s[0] - x) * (s[0] - x)).sum();
    let shared: f64 = round.iter().map(|s| (s[0] - x) * (s[1] - y)).sum();
    (spread > 0.0).then(|| {
        let slope = shared / spread;
        [y - slope * x, slope]
    })
}

/// A slope as it is kept, its samples with it.
pub fn estimate(slope: &Slope, rounds: &[Vec<Sample>]) -> Estimate {
    let samples = rounds.concat();
    Estimate {
        value: slope.each_s,
        unit: "s".to_owned(),
        mad: slope.mad_s,
        n: samples.len() as u32,
        samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1 (xorshift).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// A device with one rounding clock, a wait that looks every `tick_s`, outliers and drift.
    struct Device {
        random: Random,
        launch_s: f64,
        clock_step_s: f64,
        tick_s: f64,
        outliers: f64,
        /// How much slower it is at the end than at the beginning, in proportion.
        drift: f64,
    }

    impl Device {
        fn times(&mut self, work_s: f64, progress: f64) -> f64 {
            let slowed = work_s * (1.0 + self.drift * (progress - 0.5));
            let noise = 1.0 + 0.01 * (self.random.next() - 0.5);
            let mut t = self.launch_s * (0.8 + 0.4 * self.random.next()) + slowed * noise;
            if self.random.next() < self.outliers {
                t *= 2.0 + 3.0 * self.random.next();
            }
            if self.tick_s > 0.0 {
                // The end is seen at the next look; looks come at any phase.
                let phase = self.random.next() * self.tick_s;
                t = ((t + phase) / self.tick_s).ceil() * self.tick_s - phase;
            }
            if self.clock_step_s > 0.0 {
                let begun = self.random.next() * self.clock_step_s;
                let step = self.clock_step_s;
                t = ((begun + t) / step).floor() * step - (begun / step).floor() * step;
            }
            t
        }

        fn timing(&mut self) -> Timing {
            let idle: Vec<f64> = (0..20).map(|_| self.times(0.0, 0.5)).collect();
            Timing::of(&idle)
        }

        /// Measures several kernels side by side, as a calibration does.
        fn measure(&mut self, truths: &[f64], budget: Budget) -> Vec<Slope> {
            let timing = self.timing();
            let designs: Vec<Design> = truths.iter().map(|&t| design(t, timing, budget)).collect();
            let mut rounds = vec![Vec::new(); truths.len()];
            for round in 0..budget.rounds {
                for (i, truth) in truths.iter().enumerate() {
                    let progress = (f64::from(round) + i as f64 / truths.len() as f64)
                        / f64::from(budget.rounds);
                    let samples = designs[i]
                        .counts
                        .iter()
                        .map(|&count| {
                            let count = f64::from(count);
                            [count, self.times(truth * count, progress)]
                        })
                        .collect();
                    rounds[i].push(samples);
                }
            }
            rounds.iter().map(|r| slope(r, timing).unwrap()).collect()
        }
    }

    const TIMING: Timing = Timing {
        submission_s: 1e-4,
        spread_s: 1e-4,
    };
    const TRUTHS: [f64; 5] = [3e-6, 4e-5, 2.5e-4, 1.7e-3, 9e-3];

    fn worst(device: &mut Device, budget: Budget) -> f64 {
        device
            .measure(&TRUTHS, budget)
            .iter()
            .zip(TRUTHS)
            .map(|(slope, truth)| (slope.each_s / truth - 1.0).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn rounding_outliers_and_drift_leave_three_percent() {
        let budget = Budget {
            wanted_s: 0.03,
            longest_s: 0.25,
            rounds: 7,
        };
        for seed in 1..200 {
            let mut device = Device {
                random: Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)),
                launch_s: 3e-4,
                clock_step_s: 1e-4,
                tick_s: 0.0,
                outliers: 0.05,
                drift: 0.1,
            };
            let worst = worst(&mut device, budget);
            assert!(worst < 0.03, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn a_wait_of_100_ms_leaves_three_percent_where_time_is_given() {
        // As long as the timing asks for, and rounds enough: a browser that looks every 100 ms.
        let budget = Budget {
            wanted_s: 0.03,
            longest_s: 5.0,
            rounds: 15,
        };
        let mut beyond = 0;
        for seed in 1..200 {
            let mut device = Device {
                random: Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)),
                launch_s: 3e-4,
                clock_step_s: 1e-4,
                tick_s: 0.1,
                outliers: 0.05,
                drift: 0.1,
            };
            beyond += u32::from(worst(&mut device, budget) >= 0.03);
        }
        assert_eq!(beyond, 0, "of 199 calibrations");
    }

    #[test]
    fn a_clean_line_is_found_exactly() {
        let round: Vec<Sample> = [1.0, 2.0, 4.0].map(|n| [n, 0.002 + 0.0005 * n]).to_vec();
        let found = slope(&vec![round; 3], TIMING).unwrap();
        assert!((found.each_s - 0.0005).abs() < 1e-15 && (found.intercept_s - 0.002).abs() < 1e-15);
        assert!(found.mad_s < 1e-15);
    }

    #[test]
    fn what_does_not_grow_has_no_slope() {
        assert_eq!(slope(&[vec![[1.0, 0.2], [2.0, 0.2]]], TIMING), None);
        assert_eq!(slope(&[vec![[1.0, 0.2]]], TIMING), None);
        assert_eq!(slope(&[], TIMING), None);
    }

    #[test]
    fn counts_fit_the_time() {
        let timing = Timing::of(&[1e-4; 9]);
        let budget = Budget {
            wanted_s: 0.02,
            longest_s: 0.25,
            rounds: 5,
        };
        assert_eq!(design(1e-3, timing, budget).counts, [5, 10, 20]);
        // Work longer than a submission may be is still done twice at most.
        assert_eq!(design(3.0, timing, budget).counts, [1, 2]);
        // A slow wait asks for longer submissions, up to the longest.
        let slow = Timing {
            submission_s: 0.05,
            spread_s: 0.04,
        };
        assert_eq!(design(1e-3, slow, budget).counts, [63, 125, 250]);
    }
}
