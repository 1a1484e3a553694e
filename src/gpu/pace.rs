//! From times of whole steps to what a step takes on a device whose pace changes. Pure: no device, no clock.
//!
//! Steps of all sizes are taken in rounds. Between them one small step, the beacon, is taken again and again: where it
//! takes longer or shorter than usual, another program has the device, or its clock has changed, and the steps
//! beside it do not count. They are taken again.

use crate::latency::calibration::Steadiness;
use crate::quantiles::median;

/// How far the beacon may be from its usual time, in proportion, for the steps beside it to count.
pub const STEADY: f64 = 0.1;

/// One time of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// From laying it out to its tokens, s.
    pub took_s: f64,
    /// Of it until the work was submitted, s.
    pub host_s: f64,
    /// The beacon's times before it and after it.
    pub beacons_s: [f64; 2],
}

impl Sample {
    /// Whether the device had its usual pace before the step and after it.
    pub fn is_steady(&self, usual_s: f64) -> bool {
        let near = |beacon_s: f64| (beacon_s / usual_s - 1.0).abs() <= STEADY;
        self.beacons_s.into_iter().all(near)
    }
}

/// The beacon's usual time, s: the median. A spell of other work that takes less than half of the time does not move it,
/// and a device that is always disturbed serves at that pace too.
pub fn usual(beacons_s: &[f64]) -> f64 {
    quantile(beacons_s, 0.5)
}

/// How much longer steps take in the mean than in the median, in proportion: one factor for all steps, because a few
/// samples of each do not tell. `of` are the samples of one step each. Servers are made of means: a step in ten that
/// takes half as long again is in every throughput.
pub fn unevenness<'a>(of: impl IntoIterator<Item = &'a [Sample]>, usual_s: f64) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for samples in of {
        let Some(settled) = settle(samples, usual_s) else {
            continue;
        };
        for sample in samples.iter().filter(|sample| sample.is_steady(usual_s)) {
            sum += (sample.took_s / settled.took_s).min(MOST_UNEVEN);
            count += 1.0;
        }
    }
    if count > 0.0 { sum / count } else { 1.0 }
}

/// What counts of a step that took longer than its median, in proportion: more is no pace but a stall.
const MOST_UNEVEN: f64 = 2.0;

/// What a step takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settled {
    /// Medians over the steady samples; over all where none is.
    pub took_s: f64,
    pub mad_s: f64,
    pub host_s: f64,
    pub counted: u32,
    pub left_out: u32,
}

/// `None` without samples.
pub fn settle(samples: &[Sample], usual_s: f64) -> Option<Settled> {
    let mut steady: Vec<Sample> = samples
        .iter()
        .filter(|sample| sample.is_steady(usual_s))
        .copied()
        .collect();
    let counted = steady.len() as u32;
    if steady.is_empty() {
        steady = samples.to_vec();
    }
    let middle =
        |of: &dyn Fn(&Sample) -> f64| median(&mut steady.iter().map(of).collect::<Vec<_>>());
    let took_s = middle(&|sample| sample.took_s)?;
    Some(Settled {
        took_s,
        mad_s: middle(&|sample| (sample.took_s - took_s).abs())?,
        host_s: middle(&|sample| sample.host_s)?,
        counted,
        left_out: samples.len() as u32 - counted,
    })
}

/// The pace over a whole calibration, and how much longer the beacon took in the last third than in the first, in
/// proportion. `left_out` of so many `samples` did not count.
pub fn steadiness(beacons_s: &[f64], left_out: u32, samples: u32) -> (Steadiness, f64) {
    let third = beacons_s.len().div_ceil(3);
    let (first, last) = (&beacons_s[..third], &beacons_s[beacons_s.len() - third..]);
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| quantile(beacons_s, share));
    let steadiness = Steadiness {
        usual_s: usual(beacons_s),
        spread: (high - low) / 2.0 / middle,
        left_out: f64::from(left_out) / f64::from(samples.max(1)),
    };
    (steadiness, quantile(last, 0.5) / quantile(first, 0.5) - 1.0)
}

/// The value at a share of the way from the least to the greatest; NaN without values.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * (sorted.len().max(1) - 1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1 (xorshift).
    fn random(state: &mut u64) -> f64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A device on which a step of 1 ms takes so much longer at each moment; a beacon before and after each sample.
    fn measured(seed: u64, factor: impl Fn(u32) -> f64) -> (Vec<Sample>, Vec<f64>) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut noisy = |s: f64| s * (1.0 + 0.02 * (random(&mut state) - 0.5));
        let beacons: Vec<f64> = (0..61).map(|i| noisy(2e-4 * factor(i))).collect();
        let samples = (0..60).map(|i| Sample {
            took_s: noisy(1e-3 * factor(i)),
            host_s: 1e-4,
            beacons_s: [beacons[i as usize], beacons[i as usize + 1]],
        });
        (samples.collect(), beacons)
    }

    #[test]
    fn bursts_of_other_work_do_not_move_a_step() {
        for seed in 1..200 {
            // Two spells, together a third of the time, in which everything takes half as long again.
            let (samples, beacons) = measured(seed, |i| {
                if (10..20).contains(&i) || (40..50).contains(&i) {
                    1.5
                } else {
                    1.0
                }
            });
            let usual_s = usual(&beacons);
            let settled = settle(&samples, usual_s).unwrap();
            assert!(
                (settled.took_s / 1e-3 - 1.0).abs() < 0.01,
                "seed {seed}: {settled:?}"
            );
            assert_eq!(settled.counted + settled.left_out, 60);
            assert!(
                (20..=24).contains(&settled.left_out),
                "seed {seed}: {settled:?}"
            );
            let (pace, drift) = steadiness(&beacons, settled.left_out, 60);
            assert!(pace.spread > 0.2 && pace.left_out > 0.3, "{pace:?}");
            assert!(drift.abs() < 0.03, "{drift}");
        }
    }

    #[test]
    fn a_drift_is_found_and_a_quiet_device_has_none() {
        for seed in 1..200 {
            let (_, beacons) = measured(seed, |i| 1.0 + 0.4 * f64::from(i) / 60.0);
            let (pace, drift) = steadiness(&beacons, 0, 60);
            // From the middle of the first third to that of the last.
            assert!((drift - 0.25).abs() < 0.02, "seed {seed}: {drift}");
            assert!(pace.spread > STEADY, "{pace:?}");
            let (samples, beacons) = measured(seed, |_| 1.0);
            let settled = settle(&samples, usual(&beacons)).unwrap();
            let (pace, drift) = steadiness(&beacons, settled.left_out, 60);
            assert!(settled.left_out == 0 && pace.left_out == 0.0, "{settled:?}");
            assert!(drift.abs() < 0.01 && pace.spread < 0.01, "{pace:?} {drift}");
        }
    }

    #[test]
    fn steps_that_jump_are_in_the_mean() {
        // One step in ten takes half as long again; the beacon is a median and does not show it.
        let sample = |took_s| Sample {
            took_s,
            host_s: 0.0,
            beacons_s: [1.0; 2],
        };
        let mut samples = vec![sample(2.0); 9];
        samples.push(sample(3.0));
        let factor = unevenness([&samples[..], &samples[..]], 1.0);
        assert!((factor - 1.05).abs() < 1e-12, "{factor}");
        // A stall is no pace, and without a sample nothing is known.
        samples[9].took_s = 2000.0;
        assert!((unevenness([&samples[..]], 1.0) - 1.1).abs() < 1e-12);
        assert_eq!(unevenness([], 1.0), 1.0);
    }

    #[test]
    fn without_a_steady_sample_all_count_and_none_is_said_to() {
        let sample = Sample {
            took_s: 2.0,
            host_s: 0.5,
            beacons_s: [1.0, 1.5],
        };
        let settled = settle(&[sample], 1.0).unwrap();
        assert_eq!(
            (settled.took_s, settled.counted, settled.left_out),
            (2.0, 0, 1)
        );
        assert_eq!(settle(&[], 1.0), None);
    }
}
