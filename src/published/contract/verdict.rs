//! The contract's thresholds, and what meets them.

use super::metric::{Metric, Sample};

/// Whether a value keeps a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Met,
    NotMet,
    /// The value is not known.
    NotJudged,
}

/// On which side of its threshold a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    AtMost,
    AtLeast,
}

/// One threshold of the contract, for each year that has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    pub metric: Metric,
    pub side: Side,
    pub years: [Option<f64>; YEARS],
}

/// Years of the contract.
pub const YEARS: usize = 3;

/// The thresholds of the contract (docs/MODEL.md, "Studies").
pub const LIMITS: [Limit; 8] = [
    at_most(Metric::TtftAvgMs, [100.0, 50.0, 30.0]),
    at_most(Metric::TbtAvgMs, [20.0, 10.0, 5.0]),
    at_most(Metric::TpotAvgMs, [20.0, 10.0, 5.0]),
    at_least(
        Metric::ThroughputTokensPerS,
        [Some(50.0), Some(100.0), Some(200.0)],
    ),
    at_most(Metric::ErrorRate, [0.05, 0.02, 0.01]),
    at_most(Metric::MemoryPeakMb, [32_768.0, 24_576.0, 16_384.0]),
    at_least(Metric::PrefixHitRate, [None, Some(0.7), Some(0.85)]),
    at_least(Metric::SpeculativeAcceptRate, [None, None, Some(0.6)]),
];

const fn at_most(metric: Metric, [one, two, three]: [f64; YEARS]) -> Limit {
    Limit {
        metric,
        side: Side::AtMost,
        years: [Some(one), Some(two), Some(three)],
    }
}

const fn at_least(metric: Metric, years: [Option<f64>; YEARS]) -> Limit {
    Limit {
        metric,
        side: Side::AtLeast,
        years,
    }
}

impl Limit {
    /// The verdict of a year (from 0) on a value; absent where the year has no such threshold.
    pub fn judge(&self, year: usize, value: Option<f64>) -> Option<Verdict> {
        let limit = (*self.years.get(year)?)?;
        Some(match (value, self.side) {
            (None, _) => Verdict::NotJudged,
            (Some(value), Side::AtMost) if value <= limit => Verdict::Met,
            (Some(value), Side::AtLeast) if value >= limit => Verdict::Met,
            (Some(_), _) => Verdict::NotMet,
        })
    }

    /// How much of the threshold a value uses up: above 1 it is broken. Absent where that is no
    /// number, as for a hit rate of 0.
    pub fn margin(&self, year: usize, value: Option<f64>) -> Option<f64> {
        let (limit, value) = ((*self.years.get(year)?)?, value?);
        let ratio = match self.side {
            Side::AtMost => value / limit,
            Side::AtLeast => limit / value,
        };
        ratio.is_finite().then_some(ratio)
    }
}

/// One value and its thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// [`ALL_WORKLOADS`] for what is of all requests together.
    pub workload: String,
    pub value: Option<f64>,
    pub limit: Limit,
}

/// Stands for a workload's name.
pub const ALL_WORKLOADS: &str = "all workloads";

/// Every value of every workload that has a threshold, and the error rate of all requests.
pub fn lines(samples: &[Sample]) -> Vec<Line> {
    let mut lines = Vec::new();
    for sample in samples {
        for limit in LIMITS {
            lines.push(Line {
                workload: sample.workload.clone(),
                value: match limit.metric {
                    Metric::ErrorRate => sample.error_rate(),
                    metric => sample.get(metric),
                },
                limit,
            });
        }
    }
    if samples.len() > 1 {
        let errors = LIMITS.into_iter().filter(|l| l.metric == Metric::ErrorRate);
        lines.extend(errors.map(|limit| Line {
            workload: ALL_WORKLOADS.to_owned(),
            value: overall_error_rate(samples),
            limit,
        }));
    }
    lines
}

/// Failed requests over requests; absent where one workload does not tell.
pub fn overall_error_rate(samples: &[Sample]) -> Option<f64> {
    let (mut failed, mut requests) = (0.0, 0.0);
    for sample in samples {
        failed += sample.failed()?;
        requests += sample.get(Metric::Requests)?;
    }
    (requests > 0.0).then_some(failed / requests)
}

/// The lines of one year, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    pub met: u64,
    pub not_met: u64,
    pub not_judged: u64,
}

impl Count {
    pub fn of(lines: &[Line], year: usize) -> Count {
        let mut count = Count::default();
        for line in lines {
            match line.limit.judge(year, line.value) {
                Some(Verdict::Met) => count.met += 1,
                Some(Verdict::NotMet) => count.not_met += 1,
                Some(Verdict::NotJudged) => count.not_judged += 1,
                None => {}
            }
        }
        count
    }

    /// One broken line breaks the contract; one unknown line leaves it open.
    pub fn verdict(&self) -> Verdict {
        match self {
            Count { not_met: 1.., .. } => Verdict::NotMet,
            Count {
                not_judged: 1.., ..
            } => Verdict::NotJudged,
            // Nothing judged is nothing met.
            Count { met: 0, .. } => Verdict::NotJudged,
            _ => Verdict::Met,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A sample that keeps every threshold of every year.
    fn good() -> Sample {
        let values = [
            (Metric::Requests, 5.0),
            (Metric::Failed, 0.0),
            (Metric::ErrorRate, 0.0),
            (Metric::TtftAvgMs, 30.0),
            (Metric::TbtAvgMs, 5.0),
            (Metric::TpotAvgMs, 5.0),
            (Metric::ThroughputTokensPerS, 200.0),
            (Metric::MemoryPeakMb, 16_384.0),
            (Metric::PrefixHitRate, 0.85),
            (Metric::SpeculativeAcceptRate, 0.6),
        ];
        Sample {
            workload: "short".to_owned(),
            values: BTreeMap::from(values),
        }
    }

    fn verdict(sample: &Sample, year: usize) -> Verdict {
        Count::of(&lines(std::slice::from_ref(sample)), year).verdict()
    }

    #[test]
    fn a_value_at_every_threshold_meets_the_contract() {
        for year in 0..YEARS {
            assert_eq!(verdict(&good(), year), Verdict::Met);
        }
    }

    #[test]
    fn each_line_can_fail_alone_and_each_can_be_unknown() {
        for limit in LIMITS {
            for year in 0..YEARS {
                let Some(at) = limit.years[year] else {
                    continue;
                };
                let mut sample = good();
                let broken = match limit.side {
                    Side::AtMost => at * 1.001,
                    Side::AtLeast => at * 0.999,
                };
                sample.values.insert(limit.metric, broken);
                let count = Count::of(&lines(std::slice::from_ref(&sample)), year);
                assert_eq!(count.not_met, 1, "{:?} {year}", limit.metric);
                assert_eq!(count.verdict(), Verdict::NotMet);
                assert!(limit.margin(year, Some(broken)) > Some(1.0));

                sample.values.remove(&limit.metric);
                sample.values.remove(&Metric::Failed);
                let count = Count::of(&lines(std::slice::from_ref(&sample)), year);
                assert_eq!(count.not_met, 0);
                assert_eq!(count.not_judged, 1, "{:?} {year}", limit.metric);
                assert_eq!(count.verdict(), Verdict::NotJudged);
            }
        }
    }

    #[test]
    fn a_broken_line_outweighs_unknown_ones() {
        let mut sample = good();
        sample.values.remove(&Metric::TbtAvgMs);
        sample.values.insert(Metric::TtftAvgMs, 101.0);
        assert_eq!(verdict(&sample, 0), Verdict::NotMet);
    }

    #[test]
    fn years_without_a_threshold_do_not_ask() {
        let mut sample = good();
        sample.values.remove(&Metric::PrefixHitRate);
        sample.values.remove(&Metric::SpeculativeAcceptRate);
        assert_eq!(verdict(&sample, 0), Verdict::Met);
        assert_eq!(verdict(&sample, 1), Verdict::NotJudged);
        assert_eq!(Count::of(&lines(&[sample]), 2).not_judged, 2);
    }

    #[test]
    fn one_failing_workload_breaks_the_rate_of_all() {
        let mut bad = good();
        bad.workload = "stress".to_owned();
        bad.values.insert(Metric::Requests, 10.0);
        bad.values.insert(Metric::Failed, 1.0);
        bad.values.insert(Metric::ErrorRate, 0.1);
        let samples = [good(), bad];
        assert_eq!(overall_error_rate(&samples), Some(1.0 / 15.0));
        let count = Count::of(&lines(&samples), 0);
        assert_eq!(count.not_met, 2);
    }

    #[test]
    fn nothing_judged_is_not_met() {
        assert_eq!(Count::default().verdict(), Verdict::NotJudged);
    }
}
