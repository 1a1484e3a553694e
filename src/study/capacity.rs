//! What a fleet can promise: the highest arrival rate at which an SLA attainment holds, and its
//! inverse, the fewest GPUs for a rate (docs/MODEL.md, "Capacity search").
//!
//! Common random numbers: within a replication every rate and every fleet serves the same requests
//! with the same predictions; only the clock or the fleet changes. Replications differ by seed
//! where the trace is generated, and by a block of rows of their own where it is a file.

use serde::{Deserialize, Serialize};

use crate::least_squares::student_t_975;
use crate::metrics::honest::Attainment;
use crate::scenario::{Fleet, Scenario, Source};
use crate::{Error, Outcome, Trace};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "FleetPromise"))]
pub struct Promise {
    pub which: Which,
    /// Share of the requests, above 0 and at most 1.
    pub share: f64,
}

/// The attainment that is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "PromiseKind"))]
pub enum Which {
    /// Time per output token.
    Token,
    /// Latency.
    Request,
    /// Both.
    Joint,
}

impl Which {
    fn of(self, sla: &Attainment) -> Option<f64> {
        match self {
            Which::Token => sla.token,
            Which::Request => sla.request,
            Which::Joint => sla.joint,
        }
    }
}

/// A run at one rate and fleet, as far as the search looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Probe {
    /// Offered, requests/s.
    pub rate_per_s: f64,
    pub gpus: u32,
    /// Attainment of the promise, a share.
    pub attainment: f64,
    /// Busy share of the fleet.
    pub utilization: f64,
    /// Requests not yet in service when the last one arrived.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub backlog: u64,
}

/// The highest rate of one replication.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Highest {
    /// It holds at this probe and fails at a rate [`PRECISION`] above.
    Found(Probe),
    /// It fails at every rate that was tried; the lowest one.
    Never(Probe),
    /// It holds even at this rate, at which the fleet serves a full backlog: no higher one can be
    /// kept up, and the trace is too short to show where the promise ends.
    Unbounded(Probe),
}

/// The answer to "how high a rate".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct HighestRate {
    /// Requests/s; absent where a replication found no bound or no rate at all.
    pub rate_per_s: Option<Estimate>,
    pub replications: Vec<Highest>,
}

impl HighestRate {
    /// Of at least one replication.
    pub fn of(replications: Vec<Highest>) -> HighestRate {
        let rates: Option<Vec<f64>> = replications
            .iter()
            .map(|highest| match highest {
                Highest::Found(probe) => Some(probe.rate_per_s),
                Highest::Never(_) | Highest::Unbounded(_) => None,
            })
            .collect();
        HighestRate {
            rate_per_s: rates.map(|rates| Estimate::of(&rates)),
            replications,
        }
    }
}

/// Rates are bisected to this relative width.
pub const PRECISION: f64 = 0.005;
/// Rates are tried down to the fleet's throughput over this.
const REACH: f64 = 1024.0;
/// The highest rate that a scenario may ask for.
const MOST_RATE: f64 = 1e7;
/// The largest fleet that is tried.
const MOST_GPUS: u32 = 4096;

/// One replication of a search: its trace and the scenario without rate and fleet.
#[derive(Debug, Clone)]
pub struct Replication {
    scenario: Scenario,
    promise: Promise,
}

/// Carries a run out, or ends the search: how the command line stops at Ctrl-C.
pub type Simulate<'a> = &'a (dyn Fn(&Trace, &Scenario) -> Result<Outcome, Error> + Sync);

impl Replication {
    /// Replication `index` of `of`. Generated traces get another seed; a file gives its `index`th
    /// block of rows, `of` blocks of equal numbers of rows inside the scenario's window.
    ///
    /// Errors: a share outside (0, 1], users of a closed loop, whose rate nobody sets, or fewer rows
    /// than replications.
    pub fn new(
        trace: &Trace,
        scenario: &Scenario,
        promise: Promise,
        index: u32,
        of: u32,
    ) -> Result<Replication, Error> {
        if !(promise.share > 0.0 && promise.share <= 1.0) {
            return Err(Error::BadField {
                field: "attainment".to_owned(),
                value: promise.share.to_string(),
                allowed: "a share above 0 and up to 1".to_owned(),
            });
        }
        if scenario.workload.closed_loop.is_some() {
            return Err(Error::Contradiction {
                what: "workload.closed_loop".to_owned(),
                why: "the search varies the rate of arrivals, and users of a closed loop send when they have \
                      their answer; leave the users out"
                    .to_owned(),
            });
        }
        let mut scenario = scenario.clone();
        scenario.seed = scenario.seed.wrapping_add(index);
        if matches!(scenario.trace, Source::File { .. }) && of > 1 {
            block(trace, &mut scenario, index, of)?;
        }
        Ok(Replication { scenario, promise })
    }

    /// The seed that this replication's trace is generated from.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The scenario at a rate and a fleet.
    pub fn at(&self, rate_per_s: f64, gpus: u32) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.workload.rate_per_s = Some(rate_per_s);
        scenario.fleet = Fleet { gpus };
        scenario
    }

    fn probe(
        &self,
        trace: &Trace,
        rate_per_s: f64,
        gpus: u32,
        simulate: Simulate<'_>,
    ) -> Result<Probe, Error> {
        let summary = simulate(trace, &self.at(rate_per_s, gpus))?.summary;
        let honest = &summary.honest;
        let Some(attainment) = self.promise.which.of(&honest.sla) else {
            return Err(Error::EmptyTrace {
                file: trace.name.clone(),
                problem: "no request produced output, so no SLA can be judged".to_owned(),
            });
        };
        Ok(Probe {
            rate_per_s,
            gpus,
            attainment,
            utilization: honest.utilization.mean,
            backlog: honest.backlog_at_last_arrival,
        })
    }

    fn holds(&self, probe: &Probe) -> bool {
        probe.attainment >= self.promise.share
    }

    /// The rate at which a fleet serves when all requests arrive at once, requests/s: a higher one
    /// makes the queue grow as long as it lasts.
    fn throughput(&self, trace: &Trace, gpus: u32, simulate: Simulate<'_>) -> Result<f64, Error> {
        let flood = simulate(trace, &self.at(MOST_RATE, gpus))?.summary;
        let served = match &flood.published {
            Some(published) => published.requests_per_s,
            None => flood.honest.served_requests_per_s,
        };
        Ok(served.min(MOST_RATE))
    }

    /// The highest rate at which the promise holds on the scenario's fleet, up to the fleet's
    /// throughput: beyond that only the end of the trace keeps a promise.
    ///
    /// Attainment need not fall with the rate everywhere (full batches form late at low rates), so
    /// rates are tried from high to low in steps of sqrt 2 before the last step is bisected.
    pub fn highest_rate(&self, trace: &Trace, simulate: Simulate<'_>) -> Result<Highest, Error> {
        let gpus = self.scenario.fleet.gpus;
        let probe = |rate: f64| self.probe(trace, rate, gpus, simulate);
        let throughput = self.throughput(trace, gpus, simulate)?;
        let mut high = probe(throughput)?;
        if self.holds(&high) {
            return Ok(Highest::Unbounded(high));
        }
        loop {
            let low = probe(high.rate_per_s / std::f64::consts::SQRT_2)?;
            if self.holds(&low) {
                return self.bisect(low, high, probe).map(Highest::Found);
            }
            if low.rate_per_s < throughput / REACH {
                return Ok(Highest::Never(low));
            }
            high = low;
        }
    }

    fn bisect(
        &self,
        mut low: Probe,
        mut high: Probe,
        probe: impl Fn(f64) -> Result<Probe, Error>,
    ) -> Result<Probe, Error> {
        while high.rate_per_s > low.rate_per_s * (1.0 + PRECISION) {
            let middle = probe(libm::sqrt(low.rate_per_s * high.rate_per_s))?;
            if self.holds(&middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The promise at one rate and fleet, and the fleet's throughput.
    pub fn attempt(
        &self,
        trace: &Trace,
        rate_per_s: f64,
        gpus: u32,
        simulate: Simulate<'_>,
    ) -> Result<Attempt, Error> {
        Ok(Attempt {
            attainment: self.probe(trace, rate_per_s, gpus, simulate)?.attainment,
            throughput_per_s: self.throughput(trace, gpus, simulate)?,
        })
    }
}

/// One replication of one fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    pub attainment: f64,
    /// Served per second with a full backlog.
    pub throughput_per_s: f64,
}

/// Narrows the scenario's window to its `index`th block of `of`. A block begins with the first row
/// of its moment.
fn block(trace: &Trace, scenario: &mut Scenario, index: u32, of: u32) -> Result<(), Error> {
    let rows = crate::sim::rows(trace, scenario);
    let (index, of) = (index as usize, of as usize);
    if rows.len() < 2 * of {
        return Err(Error::BadField {
            field: "replications".to_owned(),
            value: of.to_string(),
            allowed: format!(
                "at most {}: each takes a block of the file's {} rows",
                (rows.len() / 2).max(1),
                rows.len()
            ),
        });
    }
    let zero = trace.arrival[0];
    let first = rows.start + rows.len() * index / of;
    let size = rows.len() / of;
    if trace.arrival[first] == trace.arrival[first + size - 1] {
        return Err(Error::EmptyTrace {
            file: trace.name.clone(),
            problem: format!(
                "the {size} rows of block {} of {of} arrive at one moment, so they have no rate; \
                 ask for fewer replications",
                index + 1
            ),
        });
    }
    let workload = &mut scenario.workload;
    workload.window_start_s = Some(trace.arrival[first] - zero);
    workload.window_end_s = None;
    workload.limit = Some(size as u32);
    Ok(())
}

/// A mean over replications with its 95 % interval (Student's t); a single one has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "MeanEstimate"))]
pub struct Estimate {
    pub mean: f64,
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Estimate {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let freedom = values.len().saturating_sub(1) as u32;
        let interval = (freedom > 0).then(|| {
            let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            let half = student_t_975(freedom) * libm::sqrt(squares / f64::from(freedom) / n);
            [mean - half, mean + half]
        });
        Estimate { mean, interval }
    }
}

/// The answer to "how many GPUs for this rate".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fewest {
    pub rate_per_s: f64,
    /// The fewest at which the mean attainment of all replications keeps the promise; absent where
    /// even the largest fleet does not.
    pub gpus: Option<u32>,
    /// The fewest at which the lower end of its 95 % interval does too; absent for one replication
    /// and where no fleet up to twice `gpus` does.
    pub gpus_with_confidence: Option<u32>,
    /// Every fleet that was tried, ascending.
    pub tried: Vec<Tried>,
}

/// A fleet with its attainment and its throughput on a full backlog.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Tried {
    pub gpus: u32,
    pub attainment: Estimate,
    /// Requests/s; a fleet whose throughput is below the rate cannot keep a promise for long.
    pub throughput_per_s: Estimate,
}

/// The fewest GPUs that keep the promise at a rate and can keep the rate up. `attempt` gives every
/// replication of a number of GPUs, and `group` GPUs work together ([`Scenario::gpus_together`]), so that
/// fleets are multiples of it.
///
/// Fleets are doubled until the promise holds, then bisected: a larger fleet is taken to serve no
/// worse, which `tried` shows.
pub fn fewest_gpus(
    rate_per_s: f64,
    promise: Promise,
    group: u32,
    attempt: impl Fn(u32) -> Result<Vec<Attempt>, Error>,
) -> Result<Fewest, Error> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut at = |groups: u32| -> Result<Tried, Error> {
        let gpus = groups * group;
        match tried.binary_search_by_key(&gpus, |t| t.gpus) {
            Ok(i) => Ok(tried[i]),
            Err(i) => {
                let attempts = attempt(gpus)?;
                let of = |pick: fn(&Attempt) -> f64| {
                    Estimate::of(&attempts.iter().map(pick).collect::<Vec<_>>())
                };
                let fleet = Tried {
                    gpus,
                    attainment: of(|a| a.attainment),
                    throughput_per_s: of(|a| a.throughput_per_s),
                };
                tried.insert(i, fleet);
                Ok(fleet)
            }
        }
    };
    let mut smallest = |from: u32, most: u32, holds: &dyn Fn(&Tried) -> bool| {
        let (mut fails, mut keeps) = (from - 1, from);
        while !holds(&at(keeps)?) {
            if keeps >= most {
                return Ok(None);
            }
            fails = keeps;
            keeps = keeps.saturating_mul(2).min(most);
        }
        while keeps - fails > 1 {
            let middle = fails + (keeps - fails) / 2;
            if holds(&at(middle)?) {
                keeps = middle;
            } else {
                fails = middle;
            }
        }
        Ok::<_, Error>(Some(keeps))
    };
    let most = (MOST_GPUS / group).max(1);
    let groups = smallest(1, most, &|t| {
        t.attainment.mean >= promise.share && t.throughput_per_s.mean >= rate_per_s
    })?;
    let with_confidence = match groups {
        Some(groups) => smallest(groups, groups.saturating_mul(2).min(most), &|t| {
            let low = |e: Estimate, least: f64| e.interval.is_some_and(|[low, _]| low >= least);
            low(t.attainment, promise.share) && low(t.throughput_per_s, rate_per_s)
        })?,
        None => None,
    };
    Ok(Fewest {
        rate_per_s,
        gpus: groups.map(|n| n * group),
        gpus_with_confidence: with_confidence.map(|n| n * group),
        tried,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: Promise = Promise {
        which: Which::Joint,
        share: 0.895,
    };

    /// A fleet that keeps up with any rate.
    fn fast(attainment: f64) -> Attempt {
        Attempt {
            attainment,
            throughput_per_s: 1e6,
        }
    }

    #[test]
    fn a_fleet_that_falls_behind_does_not_count() {
        // Three GPUs keep the promise to the end of the trace, four keep up with the rate.
        let at = |g: u32| {
            Ok(vec![Attempt {
                attainment: if g >= 3 { 1.0 } else { 0.0 },
                throughput_per_s: 0.3 * f64::from(g),
            }])
        };
        assert_eq!(fewest_gpus(1.0, PROMISE, 1, at).unwrap().gpus, Some(4));
    }

    #[test]
    fn the_fewest_gpus_by_mean_and_with_confidence() {
        // Attainment rises by .01 a GPU from .5, and replications differ by .02.
        let at = |g: u32| {
            let mean = (0.5 + 0.01 * f64::from(g)).min(1.0);
            Ok([mean - 0.02, mean, mean + 0.02].map(fast).to_vec())
        };
        let found = fewest_gpus(1.0, PROMISE, 1, at).unwrap();
        assert_eq!(found.gpus, Some(40));
        // 4.303 * .02 / sqrt 3 = .0497 below the mean.
        assert_eq!(found.gpus_with_confidence, Some(45));
        assert!(found.tried.is_sorted_by_key(|t| t.gpus));
    }

    #[test]
    fn no_fleet_keeps_an_impossible_promise() {
        let found = fewest_gpus(1.0, PROMISE, 1, |_| Ok(vec![fast(0.5)])).unwrap();
        assert_eq!(found.gpus, None);
        assert_eq!(found.tried.last().unwrap().gpus, MOST_GPUS);
    }

    #[test]
    fn one_replication_gives_no_confidence() {
        let found = fewest_gpus(1.0, PROMISE, 1, |_| Ok(vec![fast(1.0)])).unwrap();
        assert_eq!((found.gpus, found.gpus_with_confidence), (Some(1), None));
    }
}
