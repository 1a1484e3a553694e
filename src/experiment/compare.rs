//! Two scenarios on the same seeds, and how their figures differ.
//!
//! Both replay one trace for each seed, so that what the requests do to both is no part of the difference:
//! its interval is that of the mean of paired differences (Law 2015, chapter 10). Where the two take other
//! requests from the trace, at other times, or do not answer all of them, [`Requests`] says so.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::experiment::capacity::Simulate;
use crate::interval::{self, Range};
use crate::metrics::Summary;
use crate::scenario::{Sla, Source};
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

/// Whether two scenarios serve the same requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ComparedRequests"))]
pub struct Requests {
    /// The same rows arrive at the same times, and every figure counts all of them.
    pub same: bool,
    /// What differs, a sentence each.
    pub differ: Vec<String>,
}

/// Two scenarios compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "PairedComparison"))]
pub struct Comparison {
    pub requests: Requests,
    /// Bounds that differ between the two, a sentence each: their attainments and goodputs are then of different
    /// promises.
    pub promises: Vec<String>,
    pub differences: Vec<Difference>,
}

/// Both runs with one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    runs: [Summary; 2],
    /// The first row that each takes from the trace.
    first_row: [usize; 2],
    /// Requests that each serves to the end.
    served: [u64; 2],
}

/// Compares two scenarios that ran with the same seeds.
pub fn comparison([a, b]: [&Scenario; 2], pairs: &[Pair]) -> Comparison {
    let (of_a, of_b): (Vec<_>, Vec<_>) = pairs
        .iter()
        .map(|pair| (figures(&pair.runs[0]), figures(&pair.runs[1])))
        .unzip();
    Comparison {
        requests: requests([a, b], pairs),
        promises: promises(&a.sla, &b.sla),
        differences: differences(&of_a, &of_b),
    }
}

fn promises(a: &Sla, b: &Sla) -> Vec<String> {
    let bound = |s: Option<f64>, unit: &str| match s {
        Some(bound) => format!("{bound} {unit}"),
        None => "not promised".to_owned(),
    };
    [
        ("sla.token_ms", Some(a.token_ms), Some(b.token_ms), "ms"),
        ("sla.request_s", Some(a.request_s), Some(b.request_s), "s"),
        ("sla.ttft_s", a.ttft_s, b.ttft_s, "s"),
    ]
    .into_iter()
    .filter(|(_, a, b, _)| a != b)
    .map(|(name, a, b, unit)| {
        format!(
            "{name} is {} in A and {} in B",
            bound(a, unit),
            bound(b, unit)
        )
    })
    .collect()
}

fn requests([a, b]: [&Scenario; 2], pairs: &[Pair]) -> Requests {
    let each = |same: fn(&Pair) -> bool| pairs.iter().all(same);
    let rows = each(|pair| {
        let [a, b] = &pair.runs;
        let (a, b) = (&a.workload, &b.workload);
        pair.first_row[0] == pair.first_row[1]
            && (a.rows_taken, a.rows_replayed) == (b.rows_taken, b.rows_replayed)
    });
    let times = each(|pair| {
        let [a, b] = &pair.runs;
        let users = (
            &a.scenario.workload.closed_loop,
            &b.scenario.workload.closed_loop,
        );
        match users {
            (None, None) => {
                let (a, b) = (a.workload.span_s, b.workload.span_s);
                (a - b).abs() <= 1e-9 * a.max(b)
            }
            // Users with the same settings send when they have their answers.
            (a, b) => a == b,
        }
    });
    let mut differ = Vec::new();
    if !(rows && times) {
        let what = if rows {
            "the same rows of the trace arrive at other times"
        } else {
            "A and B take other rows of the trace"
        };
        differ.push(format!("{what}: {}", settings(a, b)));
    }
    let sum = |of: fn(&Pair) -> [u64; 2]| {
        pairs
            .iter()
            .map(of)
            .fold([0, 0], |[a, b], [more_a, more_b]| [a + more_a, b + more_b])
    };
    let served = sum(|pair| pair.served);
    let replayed = sum(|pair| [0, 1].map(|i| pair.runs[i].workload.rows_replayed));
    if served != replayed {
        differ.push(format!(
            "A answers {} of {} requests and B {} of {}, and times are of the answered ones alone",
            served[0], replayed[0], served[1], replayed[1]
        ));
    }
    let warm = sum(|pair| [0, 1].map(|i| warmup(&pair.runs[i])));
    if warm[0] != warm[1] {
        differ.push(format!(
            "the figures of A leave out {} requests as warm-up, those of B {}",
            warm[0], warm[1]
        ));
    }
    Requests {
        same: differ.is_empty(),
        differ,
    }
}

fn warmup(run: &Summary) -> u64 {
    run.continuous
        .as_ref()
        .map_or(0, |c| c.statistics.warmup_requests)
}

/// The settings of `workload` that differ.
fn settings(a: &Scenario, b: &Scenario) -> String {
    let (a, b) = (json!(a.workload), json!(b.workload));
    let fields = a.as_object().into_iter().flatten();
    let found: Vec<String> = fields
        .filter(|(name, value)| b.get(name) != Some(value) && name.as_str() != "ties")
        .map(|(name, value)| {
            format!(
                "workload.{name} is {value} in A and {} in B",
                b[name.as_str()]
            )
        })
        .collect();
    found.join("; ")
}

/// Refuses two scenarios that do not replay the same requests: their differences would have no pairs.
pub fn check_pair(a: &Scenario, b: &Scenario) -> Result<(), Error> {
    if a.trace == b.trace {
        return Ok(());
    }
    Err(Error::contradiction(
        "trace",
        "the two scenarios replay different traces, and paired differences need the same requests; make \
              the two alike, or replay one file with both (--trace)",
    ))
}

/// Both scenarios with one seed: what is generated and drawn from it is the same in both. `file` is the
/// trace where both name one; requests that are generated are made here.
pub fn pair(
    [a, b]: [&Scenario; 2],
    file: Option<&Trace>,
    seed: u32,
    simulate: Simulate<'_>,
) -> Result<Pair, Error> {
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
    let first_row = [&a, &b].map(|scenario| crate::sim::rows(trace, scenario).start);
    let (a, b) = (simulate(trace, &a)?, simulate(trace, &b)?);
    Ok(Pair {
        served: [a.requests_served(), b.requests_served()],
        first_row,
        runs: [a.summary, b.summary],
    })
}

/// How the figures of `b` differ from those of `a`, seed by seed; of figures that every run has.
fn differences(a: &[BTreeMap<String, f64>], b: &[BTreeMap<String, f64>]) -> Vec<Difference> {
    let Some(first) = a.first() else {
        return Vec::new();
    };
    let of = |runs: &[BTreeMap<String, f64>], name: &str| -> Option<Vec<f64>> {
        runs.iter().map(|run| run.get(name).copied()).collect()
    };
    first
        .keys()
        .filter_map(|name| {
            let (a, b) = (of(a, name)?, of(b, name)?);
            Some(difference(name, &a, &b))
        })
        .collect()
}

fn difference(figure: &str, a: &[f64], b: &[f64]) -> Difference {
    let each: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let difference = interval::mean(&each);
    // The same from seed to seed in both: the seed has no say, and there is no interval.
    let varies = [a, b]
        .iter()
        .any(|runs| runs.windows(2).any(|w| w[0] != w[1]));
    let range = Range::of_figure(figure).of_difference();
    // Where both vary alike, the difference is known.
    let interval =
        interval::of_mean(&each, range).or_else(|| varies.then_some([difference, difference]));
    Difference {
        figure: figure.to_owned(),
        a: interval::mean(a),
        b: interval::mean(b),
        difference,
        low: interval.map(|[low, _]| low),
        high: interval.map(|[_, high]| high),
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
