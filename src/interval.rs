//! 95 % intervals that stay inside the range of their figure (docs/MODEL.md, "Intervals").

use crate::least_squares::student_t_975;

/// The values that a figure can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Any number: a difference.
    Any,
    /// Above 0: a time, a rate, a count. The interval is symmetric in the logarithm.
    Positive,
    /// From 0 to 1. The interval is symmetric in the log-odds.
    Share,
    /// From -1 to 1.
    ShareDifference,
}

impl Range {
    /// Of a figure of a run, by its path.
    pub fn of_figure(figure: &str) -> Range {
        const SHARES: [&str; 12] = [
            "honest.sla.token",
            "honest.sla.request",
            "honest.sla.ttft",
            "honest.sla.joint",
            "honest.padding_waste",
            "honest.utilization.mean",
            "honest.prediction.bin_accuracy",
            "continuous.tbt_within_sla",
            "continuous.mfu",
            "continuous.mbu",
            "continuous.prefix.hit_rate",
            "continuous.speculative.accept_rate",
        ];
        if SHARES.contains(&figure) {
            Range::Share
        } else {
            Range::Positive
        }
    }

    /// Of the difference of two figures of this range.
    pub fn of_difference(self) -> Range {
        match self {
            Range::Share => Range::ShareDifference,
            _ => Range::Any,
        }
    }
}

/// Wider positive intervals say nothing: an end would lie more than this factor from the value.
const MOST_FACTOR: f64 = 10.0;

/// The 97.5 % quantile of the normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// The arithmetic mean of at least one value.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample variance of at least two values.
pub fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    squares / (values.len() as f64 - 1.0)
}

/// The 95 % interval of the mean of independent values; see [`about`].
pub fn of_mean(values: &[f64], range: Range) -> Option<[f64; 2]> {
    about(mean(values), values, range)
}

/// The 95 % interval about `value`, from the spread of its parts or repetitions:
/// `h = t(0.975, n - 1) sd / sqrt(n)` on the figure's own scale, carried to the logarithm or the
/// log-odds by the delta method. Small intervals are therefore `value -+ h` in every range.
///
/// `None` where the data do not suffice: fewer than two parts, parts that are all equal, a value at
/// the end of its range, or a positive interval wider than a factor of ten to each side.
pub fn about(value: f64, parts: &[f64], range: Range) -> Option<[f64; 2]> {
    let n = parts.len();
    if n < 2 || parts.windows(2).all(|pair| pair[0] == pair[1]) {
        return None;
    }
    let half = student_t_975(n as u32 - 1) * libm::sqrt(variance(parts) / n as f64);
    if !(half.is_finite() && value.is_finite()) {
        return None;
    }
    let ends = match range {
        Range::Any => Some([value - half, value + half]),
        Range::Positive => {
            let log_half = half / value;
            (value > 0.0 && log_half <= libm::log(MOST_FACTOR))
                .then(|| [-log_half, log_half].map(|h| value * libm::exp(h)))
        }
        Range::Share => within_0_1(value, half),
        Range::ShareDifference => {
            within_0_1((1.0 + value) / 2.0, half / 2.0).map(|ends| ends.map(|end| 2.0 * end - 1.0))
        }
    };
    ends.map(|ends| holding(value, ends))
}

/// The same ends, moved where rounding has put one on the wrong side of the value.
fn holding(value: f64, [low, high]: [f64; 2]) -> [f64; 2] {
    [low.min(value), high.max(value)]
}

fn within_0_1(value: f64, half: f64) -> Option<[f64; 2]> {
    let odds_half = half / (value * (1.0 - value));
    (value > 0.0 && value < 1.0).then(|| {
        let odds = libm::log(value / (1.0 - value));
        [odds - odds_half, odds + odds_half].map(|x| 1.0 / (1.0 + libm::exp(-x)))
    })
}

/// The interval of a share about `value`; Wilson's by the count of requests where the parts do not
/// vary, as where all or none of the requests meet a promise.
pub fn of_share(value: f64, parts: &[f64], requests: u64) -> Option<[f64; 2]> {
    if parts.len() < 2 {
        return None;
    }
    about(value, parts, Range::Share).or_else(|| wilson(value, requests))
}

/// Wilson's score interval (1927) of a share among independent requests.
fn wilson(share: f64, requests: u64) -> Option<[f64; 2]> {
    if requests == 0 || !(0.0..=1.0).contains(&share) {
        return None;
    }
    let n = requests as f64;
    let z2 = NORMAL_975 * NORMAL_975;
    let middle = share + z2 / (2.0 * n);
    let half = NORMAL_975 * libm::sqrt((share * (1.0 - share) + z2 / (4.0 * n)) / n);
    // At the ends of the range rounding may pass them.
    let ends = [middle - half, middle + half].map(|end| (end / (1.0 + z2 / n)).clamp(0.0, 1.0));
    Some(holding(share, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_value() {
        // The ends of a share of 0 or 1 are the share itself, which rounding missed for 98 of these counts.
        for requests in 1..2000 {
            assert_eq!(wilson(1.0, requests).unwrap()[1], 1.0, "{requests}");
            assert_eq!(wilson(0.0, requests).unwrap()[0], 0.0, "{requests}");
        }
        for value in [0.1, 0.3, 0.7, 0.99] {
            let parts = [value, value * (1.0 - 1e-15), value];
            for range in [Range::Share, Range::ShareDifference, Range::Positive] {
                let [low, high] = about(value, &parts, range).unwrap_or([value, value]);
                assert!(low <= value && value <= high, "{value}: {low} to {high}");
            }
        }
    }

    fn close(found: Option<[f64; 2]>, expected: [f64; 2]) {
        let found = found.unwrap();
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-6, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn by_hand_in_each_range() {
        // Mean 2, sd 1, three values: h = 4.302653 / sqrt 3 = 2.484138.
        let values = [1.0, 2.0, 3.0];
        close(of_mean(&values, Range::Any), [-0.484_138, 4.484_138]);
        // 2 exp(-+1.242069).
        close(of_mean(&values, Range::Positive), [0.577_572, 6.925_541]);
        // A difference of shares, .8 with sd .1: the same interval on the scale from -1 to 1.
        let differences = [0.7, 0.8, 0.9];
        close(
            of_mean(&differences, Range::ShareDifference),
            [2.0 * 0.693_631 - 1.0, 2.0 * 0.972_809 - 1.0],
        );
        // Mean .9, sd .05: h = .124207, in log-odds 1.380075 about ln 9 = 2.197225.
        let shares = [0.85, 0.9, 0.95];
        close(of_mean(&shares, Range::Share), [0.693_631, 0.972_809]);
    }

    #[test]
    fn small_intervals_are_students_in_every_range() {
        let values = [0.4999, 0.5, 0.5001];
        let [low, high] = of_mean(&values, Range::Any).unwrap();
        for range in [Range::Positive, Range::Share] {
            let [a, b] = of_mean(&values, range).unwrap();
            assert!((a - low).abs() < 1e-7 && (b - high).abs() < 1e-7);
        }
    }

    #[test]
    fn no_interval_leaves_its_range() {
        // The two fleets of a published complaint: 5.1 % -+ 6.1 and 94.8 % -+ 7.7.
        for values in [[0.001, 0.15, 0.002], [0.999, 0.846, 1.0]] {
            let [any_low, any_high] = of_mean(&values, Range::Any).unwrap();
            assert!(any_low < 0.0 || any_high > 1.0);
            let [low, high] = of_mean(&values, Range::Share).unwrap();
            let mean = mean(&values);
            assert!(0.0 < low && low < mean && mean < high && high < 1.0);
        }
    }

    #[test]
    fn too_little_data_has_no_interval() {
        for range in [Range::Any, Range::Positive, Range::Share] {
            assert_eq!(of_mean(&[0.5], range), None);
            assert_eq!(of_mean(&[0.5, 0.5, 0.5], range), None);
        }
        // One part of twenty holds everything: the spread is as large as the mean allows.
        let mut burst = [0.0; 20];
        burst[19] = 1.0;
        let [low, high] = of_mean(&burst, Range::Positive).unwrap();
        assert!(0.0 < low && high < 0.5);
        assert_eq!(about(1e-3, &burst, Range::Positive), None);
        assert_eq!(about(0.0, &[0.0, 1.0], Range::Positive), None);
        assert_eq!(of_share(0.5, &[0.5], 100), None);
    }

    #[test]
    fn a_share_that_all_parts_have_is_judged_by_counts() {
        // 1 - z^2 / (n + z^2) for n of n.
        close(of_share(1.0, &[1.0; 5], 1000), [0.996_173, 1.0]);
        close(of_share(0.0, &[0.0; 5], 1000), [0.0, 0.003_827]);
        assert_eq!(of_share(1.0, &[1.0; 5], 0), None);
    }
}
