//! How far the figures of one run can be trusted: intervals by batch means, warm-up, and a look at whether
//! the run was long enough and its queue settled (docs/MODEL.md, "Intervals of a run").

use serde::{Deserialize, Serialize};

use crate::interval::{self, Range, mean, variance};

/// A figure and its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Interval {
    /// Its path in `honest` or `continuous`, as in "honest.ttft_s.p99".
    pub figure: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Something that a reader must know before trusting a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RunWarning"))]
pub struct Warning {
    /// Stable: short-run, unsettled, correlated, warm-up, survivors, outside-measurements,
    /// two-machines.
    pub code: String,
    pub message: String,
}

/// The statistics of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Statistics {
    /// Requests that arrived before the window that the figures are of.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub warmup_requests: u64,
    /// Parts of the run that the intervals come from.
    pub parts: u32,
    pub intervals: Vec<Interval>,
    pub warnings: Vec<Warning>,
}

/// The interval of a figure whose value over the whole run is `value` and over its parts `parts`
/// (batch means, Law 2015, chapter 9; around the figure of the whole, as sectioning has it, because
/// quantiles of short parts are biased). `requests` is the number that SLA attainment is a share of.
/// `None` where the data do not suffice ([`interval::about`]), of fewer than three parts, or where a
/// part has no such figure.
pub(super) fn interval(
    figure: &str,
    value: Option<f64>,
    parts: &[Option<f64>],
    requests: u64,
) -> Option<Interval> {
    let value = value?;
    let parts: Vec<f64> = parts.iter().copied().collect::<Option<_>>()?;
    if parts.len() < 3 {
        return None;
    }
    let [low, high] = if figure.starts_with("honest.sla.") {
        interval::of_share(value, &parts, requests)
    } else {
        interval::about(value, &parts, Range::of_figure(figure))
    }?;
    Some(Interval {
        figure: figure.to_owned(),
        value,
        low,
        high,
    })
}

/// MSER (White 1997): how many of the first values to drop, so that the standard error of the mean of the
/// rest is least; at most half of them.
pub(super) fn mser(values: &[f64]) -> usize {
    let mut best = (f64::INFINITY, 0);
    for drop in 0..=values.len() / 2 {
        let rest = &values[drop..];
        if rest.len() < 3 {
            break;
        }
        let error = variance(rest) / rest.len() as f64;
        if error < best.0 {
            best = (error, drop);
        }
    }
    best.1
}

/// Lag-1 correlation of values; 0 where they do not vary.
fn correlation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let all: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    let pairs = values.iter().zip(values.iter().skip(1));
    let lagged: f64 = pairs.map(|(a, b)| (a - mean) * (b - mean)).sum();
    if all > 0.0 { lagged / all } else { 0.0 }
}

/// Least-squares slope over 0, 1, 2, ... in units of its standard error.
fn trend(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let (at, mean) = ((n - 1.0) / 2.0, mean(values));
    let (mut xx, mut xy) = (0.0, 0.0);
    for (i, y) in values.iter().enumerate() {
        let x = i as f64 - at;
        xx += x * x;
        xy += x * (y - mean);
    }
    let slope = xy / xx;
    let mut rest = 0.0;
    for (i, y) in values.iter().enumerate() {
        let residual = y - mean - slope * (i as f64 - at);
        rest += residual * residual;
    }
    let error = libm::sqrt(rest / (n - 2.0) / xx);
    if slope == 0.0 { 0.0 } else { slope / error }
}

/// How many requests of a part of the run arrived, and how many were not served.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub offered: u64,
    /// Rejected or timed out.
    pub gave_up: u64,
    /// Can never fit into the cache.
    pub too_long: u64,
}

impl Losses {
    fn sum(parts: &[Losses]) -> Losses {
        parts.iter().fold(Losses::default(), |sum, part| Losses {
            offered: sum.offered + part.offered,
            gave_up: sum.gave_up + part.gave_up,
            too_long: sum.too_long + part.too_long,
        })
    }
}

/// Share of the requests that may be lost before distributions are said to be of the others: above it, the P99
/// of all requests is beyond every one that was served.
const LOST: f64 = 0.01;
/// Share of the last third's requests that give up in an overload.
const OVERLOAD: f64 = 0.1;

/// What is doubtful about a run in which requests were not served, beside the `warnings` that were found.
pub(super) fn loss_warnings(parts: &[Losses], warnings: &[Warning]) -> Vec<Warning> {
    let mut found = Vec::new();
    let percent = |n: u64, of: u64| libm::round(n as f64 / of as f64 * 1000.0) / 10.0;
    let all = Losses::sum(parts);
    let lost = all.gave_up + all.too_long;
    if lost as f64 > LOST * all.offered as f64 {
        found.push(Warning {
            code: "survivors".to_owned(),
            message: format!(
                "{lost} of {} requests were not served: latencies and their percentiles are of the other {}, \
                 which are {} % of all",
                all.offered,
                all.offered - lost,
                percent(all.offered - lost, all.offered)
            ),
        });
    }
    let last = Losses::sum(&parts[parts.len() - parts.len() / 3..]);
    if last.gave_up as f64 > OVERLOAD * last.offered as f64
        && warnings.iter().all(|warning| warning.code != "unsettled")
    {
        found.push(Warning {
            code: "unsettled".to_owned(),
            message: format!(
                "more arrives than is served: of the last third of the requests {} % were rejected or timed \
                 out, and latencies are as short as they are because of that",
                percent(last.gave_up, last.offered)
            ),
        });
    }
    found
}

/// What is doubtful about a run, from the mean latency (s) and the requests of each of its parts; `backlog`:
/// requests that waited when the last one arrived.
pub(super) fn warnings(latency: &[f64], requests: u64, backlog: u64) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, message: String| {
        warnings.push(Warning {
            code: code.to_owned(),
            message,
        });
    };
    let parts = latency.len();
    if parts < 3 || requests < 50 * parts as u64 {
        warn(
            "short-run",
            format!(
                "{} too few for P99 and for intervals: have at least {}",
                match requests {
                    1 => "1 request is".to_owned(),
                    n => format!("{n} requests are"),
                },
                50 * parts.max(20)
            ),
        );
        return warnings;
    }
    let third = parts / 3;
    let (middle, last) = (
        mean(&latency[third..2 * third]),
        mean(&latency[parts - third..]),
    );
    if trend(latency) > 3.0 && last > 1.3 * middle && backlog > 0 {
        warn(
            "unsettled",
            format!(
                "the mean latency grows from part to part ({} times the middle third's in the last): \
                 more arrives than is served, or the run ends in a burst; figures depend on its length",
                libm::round(last / middle * 10.0) / 10.0
            ),
        );
    }
    let lag = correlation(latency);
    // The bound of the lag-1 correlation of independent values, 95 %.
    if lag > 2.0 / libm::sqrt(parts as f64) {
        warn(
            "correlated",
            format!(
                "neighbouring parts of the run are alike (correlation {}): the load changes too slowly for a \
                     run of this length, and the true intervals are wider",
                libm::round(lag * 100.0) / 100.0
            ),
        );
    }
    let rest = &latency[1..];
    let spread = libm::sqrt(variance(rest));
    if latency[0] < mean(rest) - 4.0 * spread {
        warn(
            "warm-up",
            "the first part of the run is far quicker than all others: set a warm-up".to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_by_hand() {
        // Mean 12, sample variance 5/3, four parts: half 3.182 x sqrt(5/3/4), in the logarithm half/12.
        let parts = [10.5, 11.5, 12.5, 13.5].map(Some);
        let half = 3.182_446 * (5.0f64 / 3.0 / 4.0).sqrt();
        let found = interval("x", Some(12.0), &parts, 0).unwrap();
        assert!((found.high - 12.0 * (half / 12.0).exp()).abs() < 1e-4);
        assert!((found.low - 12.0 * (-half / 12.0).exp()).abs() < 1e-4);
        // The same around 2 does not leave the positive numbers.
        let near_zero = [0.5, 1.5, 2.5, 3.5].map(Some);
        let near = interval("x", Some(2.0), &near_zero, 0).unwrap();
        assert!((near.low - 2.0 * (-half / 2.0).exp()).abs() < 1e-4);
        assert_eq!(
            interval("x", Some(2.0), &[Some(1.0), None, Some(2.0)], 0),
            None
        );
        assert_eq!(interval("x", None, &parts, 0), None);
        // Parts that are all alike show no spread; a share has its requests to count.
        let alike = [Some(1.0); 20];
        assert_eq!(interval("honest.e2e_s.p50", Some(1.0), &alike, 1000), None);
        let kept = interval("honest.sla.joint", Some(1.0), &alike, 1000).unwrap();
        assert_eq!(kept.high, 1.0);
        assert!((kept.low - 0.996_173).abs() < 1e-6);
    }

    #[test]
    fn the_interval_of_a_share_stays_in_its_range() {
        let parts: Vec<_> = (0..20)
            .map(|i| Some(if i < 2 { 0.4 } else { 1.0 }))
            .collect();
        let found = interval("honest.sla.joint", Some(0.94), &parts, 1000).unwrap();
        assert!(found.low > 0.7 && found.high < 1.0, "{found:?}");
    }

    #[test]
    fn the_beginning_goes_and_no_more() {
        let mut values = vec![10.0, 8.0, 5.0];
        values.extend((0..40).map(|i| f64::from(i % 3)));
        assert_eq!(mser(&values), 3);
        let flat: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        assert!(mser(&flat) <= 1);
    }

    #[test]
    fn a_growing_queue_is_told_from_a_steady_one() {
        let growing: Vec<f64> = (0..20).map(|i| f64::from(i) + f64::from(i % 2)).collect();
        let codes = |latency: &[f64], backlog| -> Vec<String> {
            let found = warnings(latency, 100_000, backlog);
            found.into_iter().map(|w| w.code).collect()
        };
        assert!(codes(&growing, 500).contains(&"unsettled".to_owned()));
        let steady: Vec<f64> = (0..20).map(|i| 5.0 + f64::from(i * 7 % 5)).collect();
        assert_eq!(codes(&steady, 3), Vec::<String>::new());
        let starts_cold: Vec<f64> = (0..20)
            .map(|i| {
                if i == 0 {
                    0.1
                } else {
                    5.0 + f64::from(i * 7 % 5) * 0.1
                }
            })
            .collect();
        assert_eq!(codes(&starts_cold, 3), ["warm-up"]);
        assert_eq!(warnings(&steady, 100, 0)[0].code, "short-run");
        assert_eq!(correlation(&[1.0, 2.0, 3.0, 4.0]), 0.25);
        assert_eq!(correlation(&[1.0, -1.0, 1.0, -1.0]), -0.75);
        assert_eq!(correlation(&[3.0; 5]), 0.0);
        // Slope 0.8, residuals -0.3, 0.9, -0.9, 0.3: a standard error of sqrt(1.8/2/5).
        let rises = trend(&[1.0, 3.0, 2.0, 4.0]);
        assert!((rises - 0.8 / libm::sqrt(0.18)).abs() < 1e-12, "{rises}");
        // A straight line leaves no residual.
        let line: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(trend(&line), f64::INFINITY);
        assert_eq!(trend(&[4.0; 20]), 0.0);
        assert!(codes(&line, 500).contains(&"unsettled".to_owned()));
    }
}
