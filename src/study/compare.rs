//! Two scenarios on the same seeds, and how their figures differ.
//!
//! Both replay the same generated requests for each seed, so that what the requests do to both is no part
//! of the difference: its interval is that of the mean of paired differences (Law 2015, chapter 10).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::least_squares::student_t_975;
use crate::metrics::Summary;
use crate::scenario::Source;
use crate::study::capacity::Simulate;
use crate::{Error, Scenario, Trace};

/// A figure of both scenarios, means over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Difference {
    /// Its path in `honest` or `continuous`, as in "honest.ttft_s.p99".
    pub figure: String,
    pub a: f64,
    pub b: f64,
    /// b - a.
    pub difference: f64,
    /// Its 95 % interval; absent with one seed, and where nothing varies from seed to seed.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Difference {
    /// Whether the interval has no 0 in it, as far as there is one.
    pub fn shown(&self) -> Option<bool> {
        let (low, high) = self.low.zip(self.high)?;
        Some(low > 0.0 || high < 0.0)
    }
}

/// Refuses two scenarios that do not replay the same requests: their differences would have no pairs.
pub fn check_pair(a: &Scenario, b: &Scenario) -> Result<(), Error> {
    if a.trace == b.trace {
        return Ok(());
    }
    Err(Error::Contradiction {
        what: "trace".to_owned(),
        why: "the two scenarios replay different traces, and paired differences need the same requests; make \
              the two alike, or replay one file with both (--trace)"
            .to_owned(),
    })
}

/// Both scenarios with one seed: what is generated and drawn from it is the same in both. `file` is the
/// trace where both name one; requests that are generated are made here.
pub fn pair(
    [a, b]: [&Scenario; 2],
    file: Option<&Trace>,
    seed: u32,
    simulate: Simulate<'_>,
) -> Result<[Summary; 2], Error> {
    let with = |scenario: &Scenario| Scenario {
        seed,
        ..scenario.clone()
    };
    let (a, b) = (with(a), with(b));
    let generated;
    let trace = match (file, &a.trace) {
        (Some(trace), _) => trace,
        (None, Source::Synthetic(synthetic)) => {
            generated = synthetic.generate(seed)?;
            &generated
        }
        (None, Source::File { name, .. }) => {
            return Err(Error::EmptyTrace {
                file: name.clone(),
                problem: "the scenarios name this file; choose it again".to_owned(),
            });
        }
    };
    Ok([simulate(trace, &a)?.summary, simulate(trace, &b)?.summary])
}

/// How the figures of `b` differ from those of `a`, seed by seed; of figures that every run has.
pub fn differences(a: &[Summary], b: &[Summary]) -> Vec<Difference> {
    let (a, b): (Vec<_>, Vec<_>) = (
        a.iter().map(figures).collect(),
        b.iter().map(figures).collect(),
    );
    let Some(first) = a.first() else {
        return Vec::new();
    };
    let of = |runs: &[BTreeMap<String, f64>], name: &str| -> Option<Vec<f64>> {
        runs.iter().map(|run| run.get(name).copied()).collect()
    };
    first
        .keys()
        .filter_map(|name| {
            let (a, b) = (of(&a, name)?, of(&b, name)?);
            Some(difference(name, &a, &b))
        })
        .collect()
}

fn difference(figure: &str, a: &[f64], b: &[f64]) -> Difference {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let each: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let middle = mean(&each);
    let n = each.len();
    let squares: f64 = each.iter().map(|x| (x - middle) * (x - middle)).sum();
    // The same from seed to seed in both: the seed has no say, and an interval of no width would be a lie.
    let varies = [a, b]
        .iter()
        .any(|runs| runs.windows(2).any(|w| w[0] != w[1]));
    let half = (n > 1 && varies).then(|| {
        let variance = squares / (n as f64 - 1.0);
        student_t_975(n as u32 - 1) * libm::sqrt(variance / n as f64)
    });
    Difference {
        figure: figure.to_owned(),
        a: mean(a),
        b: mean(b),
        difference: middle,
        low: half.map(|half| middle - half),
        high: half.map(|half| middle + half),
    }
}

/// Every number of `honest` and `continuous` by its path; entries of lists are of single GPUs and classes,
/// and not compared.
fn figures(summary: &Summary) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    collect("honest", &json!(summary.honest), &mut found);
    if let Some(continuous) = &summary.continuous {
        collect("continuous", &json!(continuous), &mut found);
    }
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, f64>) {
    match value {
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                found.insert(path.to_owned(), number);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(&format!("{path}.{name}"), value, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paired_interval_by_hand() {
        // Differences 1, 2, 3: 2 -+ 4.302653 / sqrt(3).
        let found = difference("x", &[10.0, 20.0, 30.0], &[11.0, 22.0, 33.0]);
        assert_eq!((found.a, found.b, found.difference), (20.0, 22.0, 2.0));
        assert!((found.low.unwrap() + 0.484_138).abs() < 1e-6);
        assert!((found.high.unwrap() - 4.484_138).abs() < 1e-6);
        assert_eq!(found.shown(), Some(false));
        let clear = difference("x", &[10.0, 20.0, 30.0], &[12.0, 22.1, 32.0]);
        assert_eq!(clear.shown(), Some(true));
    }

    #[test]
    fn what_does_not_vary_has_no_interval() {
        let fixed = difference("x", &[1.0, 1.0], &[3.0, 3.0]);
        assert_eq!(
            (fixed.difference, fixed.low, fixed.shown()),
            (2.0, None, None)
        );
        let single = difference("x", &[1.0], &[3.0]);
        assert_eq!(single.high, None);
        // Equal in both, but not from seed to seed: the difference is 0, and that is known.
        let same = difference("x", &[1.0, 2.0], &[1.0, 2.0]);
        assert_eq!(
            (same.low, same.high, same.shown()),
            (Some(0.0), Some(0.0), Some(false))
        );
    }
}
