//! What a fleet can promise: the highest arrival rate at which an SLA attainment holds, and its
//! inverse, the fewest GPUs for a rate (docs/MODEL.md, "Capacity search").
//!
//! One rule: the answer is a playback of the scenario as it stands (the whole file, or the requests
//! of its seed) at that rate and fleet. Other seeds, or blocks of the file, serve the interval alone.
//!
//! Common random numbers: within a replication every rate and every fleet serves the same requests
//! with the same predictions; only the clock or the fleet changes.

use serde::{Deserialize, Serialize};

use crate::interval::{self, Range};
use crate::metrics::honest::Attainment;
use crate::scenario::{Fleet, Scenario, Source};
use crate::trace::Failed;
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
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "PromiseKind"))]
pub enum Which {
    /// Time per output token.
    Token,
    /// Latency.
    Request,
    /// All that are set.
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

/// A playback at one rate and fleet, as far as the search looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Probe {
    /// Offered, requests/s; of a block, the rate of the whole file at the block's time scale.
    pub rate_per_s: f64,
    pub gpus: u32,
    /// Attainment of the promise, a share.
    pub attainment: f64,
    /// Requests that were played.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub requests: u64,
    pub seed: u32,
    /// Busy share of the fleet.
    pub utilization: f64,
    /// Requests not yet in service when the last one arrived.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub backlog: u64,
    /// Served requests over the makespan, requests/s.
    pub served_per_s: f64,
    /// Requests arrive faster than they are served: a promise that is kept is kept because the trace ends. So it is
    /// taken where less than 0.9 of the rate is served and more than 5 % of the requests wait when the last arrives;
    /// a short trace alone has the first, for its last requests take their time.
    pub overloaded: bool,
}

/// A playback, and what tells whether the fleet keeps up.
#[derive(Debug, Clone, Copy)]
struct Play {
    probe: Probe,
    /// Served requests over the span of the arrivals, 1/s: what the fleet has to keep up with.
    demanded_per_s: f64,
    /// Served requests over the makespan, 1/s: what it did.
    served_per_s: f64,
    /// Some requests were turned away or gave up.
    lossy: bool,
    /// Less than a quarter of what arrived per second was served per second.
    flooded: bool,
}

impl Play {
    /// Whether a fleet that can serve `most_per_s` keeps up with what this playback demands.
    fn kept_up_by(&self, most_per_s: f64) -> bool {
        self.demanded_per_s <= most_per_s * (1.0 + ROUNDING)
    }
}

/// The highest rate of one replication.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Highest {
    /// It holds at this probe and fails at the next higher rate that was played, at most
    /// [`PRECISION`] above.
    Found(Probe),
    /// It fails at every rate that was played; the lowest one.
    Never(Probe),
    /// It holds at this probe, and at the next higher rate the fleet cannot keep up: this is the
    /// highest rate, but the trace is too short to show where the promise ends.
    Unbounded(Probe),
}

impl Highest {
    fn rate(&self) -> Option<f64> {
        match self {
            Highest::Found(probe) | Highest::Unbounded(probe) => Some(probe.rate_per_s),
            Highest::Never(_) => None,
        }
    }
}

/// The answer to "how high a rate".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct HighestRate {
    /// Requests/s; absent where the promise fails at every rate.
    pub rate_per_s: Option<f64>,
    /// The playback of the scenario as it stands that the answer rests on.
    pub verified: Highest,
    /// How far the rate can be trusted; absent for one replication and where one has none.
    pub over_replications: Option<Estimate>,
    /// Seeds (the first is the scenario's own), or blocks of the file; empty for one replication.
    pub replications: Vec<Highest>,
}

impl HighestRate {
    /// Of the results of [`Part::all`], in its order.
    pub fn of(scenario: &Scenario, found: &[Highest]) -> HighestRate {
        let verified = found[0];
        let rate_per_s = verified.rate();
        let replications = Part::replications(scenario, found);
        let rates: Option<Vec<f64>> = replications.iter().map(Highest::rate).collect();
        HighestRate {
            rate_per_s,
            verified,
            over_replications: rates.filter(|rates| rates.len() > 1).and_then(|rates| {
                let value = match scenario.trace {
                    Source::Synthetic(_) => interval::mean(&rates),
                    Source::File { .. } => rate_per_s?,
                };
                Some(Estimate {
                    value,
                    interval: interval::about(value, &rates, Range::Positive),
                })
            }),
            replications: replications.to_vec(),
        }
    }
}

/// A value over replications with its 95 % interval; absent where they are too few or too unlike.
///
/// Over seeds the value is their mean. Over blocks of a file it is that of the whole file, which the
/// interval is about: blocks differ in load, and their mean is not the file's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ReplicatedEstimate"))]
pub struct Estimate {
    pub value: f64,
    pub interval: Option<[f64; 2]>,
}

/// Rates that fail lie at most this far above the answer, in proportion.
pub const PRECISION: f64 = 0.005;
/// Rates are played from high to low in steps of sqrt 2, then of the tenth and the hundredth part of
/// such a step.
const FINER: i32 = 10;
/// Rates are tried down to the fleet's throughput over this.
const REACH: f64 = 1024.0;
/// The lowest and the highest rate that a scenario may ask for.
const RATES: [f64; 2] = [1e-6, 1e7];
/// The largest fleet that is tried.
const MOST_GPUS: u32 = 4096;
/// Equal rates may differ by rounding.
const ROUNDING: f64 = 1e-9;

/// What a replication plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The scenario as it stands.
    Whole,
    /// The scenario with its seed plus this.
    Seed(u32),
    /// A block of the file's rows, `of` blocks of equal numbers of rows inside the scenario's window,
    /// at the time scale of the whole file.
    Block { index: u32, of: u32 },
}

impl Part {
    /// The whole first, then what the interval takes.
    pub fn all(scenario: &Scenario, replications: u32) -> Vec<Part> {
        let others = (0..replications).filter_map(|index| match scenario.trace {
            Source::Synthetic(_) => (index > 0).then_some(Part::Seed(index)),
            Source::File { .. } => (replications > 1).then_some(Part::Block {
                index,
                of: replications,
            }),
        });
        std::iter::once(Part::Whole).chain(others).collect()
    }

    /// Of results for [`Part::all`], those that are replications of each other.
    fn replications<'a, T>(scenario: &Scenario, all: &'a [T]) -> &'a [T] {
        match scenario.trace {
            Source::Synthetic(_) if all.len() > 1 => all,
            _ => all.get(1..).unwrap_or_default(),
        }
    }

    /// The seed of a replication's requests.
    pub fn seed(self, scenario: &Scenario) -> u32 {
        match self {
            Part::Seed(more) => scenario.seed.wrapping_add(more),
            Part::Whole | Part::Block { .. } => scenario.seed,
        }
    }
}

/// One replication of a search: the scenario without rate and fleet.
#[derive(Debug, Clone)]
pub struct Replication {
    scenario: Scenario,
    promise: Promise,
    part: Part,
    /// Rate of these requests over that of the whole, at one time scale.
    of_whole: f64,
    /// A rate to begin with, of these requests.
    natural_per_s: f64,
}

/// Carries a run out, or ends the search: how the command line stops at Ctrl-C.
pub type Simulate<'a> = &'a (dyn Fn(&Trace, &Scenario) -> Result<Outcome, Error> + Sync);

impl Replication {
    /// Errors: a share outside (0, 1], users of a closed loop, whose rate nobody sets, or fewer rows
    /// than blocks.
    pub fn new(
        trace: &Trace,
        scenario: &Scenario,
        promise: Promise,
        part: Part,
    ) -> Result<Replication, Error> {
        if !(promise.share > 0.0 && promise.share <= 1.0) {
            return Err(Error::bad_field(
                "attainment",
                promise.share,
                "a share above 0 and up to 1",
            ));
        }
        if scenario.workload.closed_loop.is_some() {
            return Err(Error::contradiction(
                "workload.closed_loop",
                "the search varies the rate of arrivals, and users of a closed loop send when they have \
                      their answer; leave the users out",
            ));
        }
        let mut own = scenario.clone();
        own.seed = part.seed(scenario);
        // A trace without a rate is refused when it is played.
        let whole_per_s = natural_rate(trace, scenario).unwrap_or(1.0);
        let mut natural_per_s = whole_per_s;
        if let Part::Block { index, of } = part {
            block(trace, &mut own, index, of)?;
            natural_per_s = natural_rate(trace, &own).unwrap_or(1.0);
        }
        Ok(Replication {
            // As recorded: the scenario's own speed must not change the answer.
            natural_per_s,
            of_whole: natural_per_s / whole_per_s,
            scenario: own,
            promise,
            part,
        })
    }

    /// The scenario at a rate of the whole and a fleet.
    pub fn at(&self, rate_per_s: f64, gpus: u32) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.workload.rate_per_s = Some(rate_per_s * self.of_whole);
        scenario.fleet = Fleet { gpus };
        scenario
    }

    fn play(
        &self,
        trace: &Trace,
        rate_per_s: f64,
        gpus: u32,
        simulate: Simulate<'_>,
    ) -> Result<Play, Error> {
        let outcome = simulate(trace, &self.at(rate_per_s, gpus))?;
        let summary = &outcome.summary;
        let honest = &summary.honest;
        let Some(attainment) = self.promise.which.of(&honest.sla) else {
            return Err(Error::EmptyTrace {
                file: trace.name.clone(),
                problem: "no request produced output, so no SLA can be judged".to_owned(),
            });
        };
        let (requests, served) = (summary.workload.rows_replayed, outcome.requests_served());
        let served_per_s = served as f64 / honest.makespan_s;
        let backlog = honest.backlog_at_last_arrival;
        let overloaded = served_per_s < 0.9 * rate_per_s * self.of_whole
            && backlog as f64 > 0.05 * requests as f64;
        Ok(Play {
            probe: Probe {
                rate_per_s,
                gpus,
                attainment,
                requests,
                seed: self.scenario.seed,
                utilization: honest.utilization.mean,
                backlog,
                overloaded,
                served_per_s: if served == 0 { 0.0 } else { served_per_s },
            },
            demanded_per_s: served as f64 / summary.workload.span_s,
            served_per_s: if served == 0 { 0.0 } else { served_per_s },
            lossy: served < requests,
            flooded: served_per_s.is_nan() || served_per_s < rate_per_s * self.of_whole / 4.0,
        })
    }

    fn met(&self, play: &Play) -> bool {
        play.probe.attainment >= self.promise.share
    }

    /// The most that the fleet serves per second at any of the rates that are played here, from the
    /// trace's own rate in steps of four until four times as much arrives; and whether requests are
    /// lost at any. A flood at one moment would do for a fleet that serves everything in the end, but
    /// not for one that turns requests away.
    fn throughput(&self, play: impl Fn(f64) -> Result<Play, Error>) -> Result<(f64, bool), Error> {
        let [lowest, highest] = RATES.map(|rate| rate / self.of_whole);
        let mut rate = round_down((self.natural_per_s / self.of_whole).clamp(lowest, highest));
        let mut last = play(rate)?;
        let (mut most, mut lossy) = (last.served_per_s, last.lossy);
        let down = last.flooded;
        while last.flooded == down && (last.lossy || !down) {
            rate = round_down(if down { rate / 4.0 } else { rate * 4.0 });
            if !(lowest..=highest).contains(&rate) {
                break;
            }
            last = play(rate)?;
            most = most.max(last.served_per_s);
            lossy |= last.lossy;
        }
        Ok((most, lossy))
    }

    /// The highest rate at which the promise holds on the scenario's fleet and the fleet keeps up:
    /// serves, at some rate, as many requests per second as it has to at this one. Beyond that only
    /// the end of the trace keeps a promise.
    ///
    /// Attainment need not fall with the rate everywhere (full batches form late at low rates), so
    /// rates are played from high to low, in steps of sqrt 2 and then in finer ones between the
    /// highest that holds and the one above it. The answer is the highest rate played that holds. A
    /// higher one can only hide between two rates that fail.
    ///
    /// Rates have four significant digits, so that the printed one is the one that was played.
    pub fn highest_rate(&self, trace: &Trace, simulate: Simulate<'_>) -> Result<Highest, Error> {
        let gpus = self.scenario.fleet.gpus;
        let play = |rate: f64| self.play(trace, rate, gpus, simulate);
        let (most, lossy) = self.throughput(play)?;
        let holds = |play: &Play| self.met(play) && play.kept_up_by(most);
        // A promise may be kept while requests are lost, but not at a rate of which this share cannot be served.
        let top = most / self.of_whole / if lossy { self.promise.share } else { 1.0 };
        let [lowest, highest] = RATES.map(|rate| rate / self.of_whole);
        let mut rate = round_down(top.clamp(lowest, highest));
        let last = (top / REACH).max(lowest);
        let mut above: Option<Play> = None;
        let mut low = loop {
            let next = play(rate)?;
            if holds(&next) {
                break next;
            }
            rate = round_down(rate / std::f64::consts::SQRT_2);
            if rate < last {
                return Ok(Highest::Never(next.probe));
            }
            above = Some(next);
        };
        let Some(mut high) = above else {
            return Ok(Highest::Unbounded(low.probe));
        };
        for parts in [FINER, FINER * FINER] {
            let step = libm::pow(2.0, 0.5 / f64::from(parts));
            loop {
                let rate = round_down(high.probe.rate_per_s / step);
                if rate <= low.probe.rate_per_s {
                    break;
                }
                let next = play(rate)?;
                if holds(&next) {
                    low = next;
                    break;
                }
                high = next;
            }
        }
        Ok(if self.met(&high) {
            Highest::Unbounded(low.probe)
        } else {
            Highest::Found(low.probe)
        })
    }

    /// Plays one rate on one fleet.
    pub fn attempt(
        &self,
        trace: &Trace,
        rate_per_s: f64,
        gpus: u32,
        simulate: Simulate<'_>,
    ) -> Result<Attempt, Error> {
        let play = |rate: f64| self.play(trace, rate, gpus, simulate);
        let first = play(rate_per_s)?;
        let keeps_up = if self.part == Part::Whole && self.met(&first) {
            Some(self.keeps_up(&first, play)?)
        } else {
            None
        };
        Ok(Attempt {
            probe: first.probe,
            keeps_up,
        })
    }

    /// Whether the fleet serves, at this rate or a higher one, what the playback demands.
    fn keeps_up(
        &self,
        of: &Play,
        play: impl Fn(f64) -> Result<Play, Error>,
    ) -> Result<bool, Error> {
        let mut last = *of;
        while !of.kept_up_by(last.served_per_s) {
            let rate = last.probe.rate_per_s * 2.0;
            if last.flooded || rate * self.of_whole > RATES[1] {
                return Ok(false);
            }
            last = play(rate)?;
        }
        Ok(true)
    }
}

/// Four significant digits, which is what a table prints.
fn round_down(rate: f64) -> f64 {
    let magnitude = libm::floor(libm::log10(rate)) as i32 - 3;
    // A power of ten up to 22 is exact, so that the result is the number that its digits name.
    let unit = libm::pow(10.0, f64::from(magnitude.abs()));
    if magnitude < 0 {
        libm::floor(rate * unit) / unit
    } else {
        libm::floor(rate / unit) * unit
    }
}

/// The rate of the rows that a scenario replays, on the trace's own clock, requests/s; `None` where
/// there is no row or they all arrive at one moment.
fn natural_rate(trace: &Trace, scenario: &Scenario) -> Option<f64> {
    let drops = scenario.workload.failed == Failed::Drop;
    let mut rows =
        crate::sim::rows(trace, scenario).filter(|&row| !(drops && trace.output[row] == 0));
    let first = rows.next()?;
    let (count, last) = rows.fold((1u32, first), |(count, _), row| (count + 1, row));
    let span_s = trace.arrival[last] - trace.arrival[first];
    (span_s > 0.0).then(|| f64::from(count) / span_s)
}

/// One replication of one fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    pub probe: Probe,
    /// Of the scenario as it stands, where it keeps the promise.
    pub keeps_up: Option<bool>,
}

/// Narrows the scenario's window to its `index`th block of `of`. A block begins with the first row
/// of its moment.
fn block(trace: &Trace, scenario: &mut Scenario, index: u32, of: u32) -> Result<(), Error> {
    let rows = crate::sim::rows(trace, scenario);
    let (index, of) = (index as usize, of as usize);
    if rows.len() < 2 * of {
        return Err(Error::bad_field(
            "replications",
            of,
            format!(
                "at most {}: each takes a block of the file's {} rows",
                (rows.len() / 2).max(1),
                rows.len()
            ),
        ));
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

/// The answer to "how many GPUs for this rate".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fewest {
    pub rate_per_s: f64,
    /// The fewest that keep the promise, and keep up, when the scenario is played as it stands;
    /// absent where even the largest fleet does not.
    pub gpus: Option<u32>,
    /// The playback that this rests on.
    pub verified: Option<Probe>,
    /// The fewest at which the lower end of the 95 % interval keeps the promise too; absent for one
    /// replication and where no fleet up to twice `gpus` does.
    pub gpus_with_confidence: Option<u32>,
    /// Every fleet that was tried, ascending.
    pub tried: Vec<Tried>,
}

/// A fleet that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Tried {
    /// The playback of the scenario as it stands.
    pub probe: Probe,
    /// 95 % interval of the attainment, from the replications.
    pub interval: Option<[f64; 2]>,
    /// Whether the fleet serves requests as fast as they arrive; absent where the promise fails. One
    /// that does not cannot keep a promise for long.
    pub keeps_up: Option<bool>,
}

impl Tried {
    fn of(scenario: &Scenario, attempts: &[Attempt]) -> Tried {
        let whole = attempts[0];
        let replications = Part::replications(scenario, attempts);
        let shares: Vec<f64> = replications.iter().map(|a| a.probe.attainment).collect();
        let requests = replications.iter().map(|a| a.probe.requests).sum();
        let value = match scenario.trace {
            Source::Synthetic(_) if !shares.is_empty() => interval::mean(&shares),
            _ => whole.probe.attainment,
        };
        Tried {
            probe: whole.probe,
            interval: interval::of_share(value, &shares, requests),
            keeps_up: whole.keeps_up,
        }
    }
}

/// The fewest GPUs that keep the promise at a rate and can keep the rate up. `attempt` plays every
/// part ([`Part::all`]) on a number of GPUs. Fleets are multiples of the GPUs that work together
/// ([`Scenario::gpus_together`]).
///
/// Fleets are doubled until the promise holds, then bisected: a larger fleet is taken to serve no
/// worse, which `tried` shows.
pub fn fewest_gpus(
    scenario: &Scenario,
    rate_per_s: f64,
    promise: Promise,
    attempt: impl Fn(u32) -> Result<Vec<Attempt>, Error>,
) -> Result<Fewest, Error> {
    let group = scenario.gpus_together();
    let mut tried: Vec<Tried> = Vec::new();
    let mut at = |groups: u32| -> Result<Tried, Error> {
        let gpus = groups * group;
        match tried.binary_search_by_key(&gpus, |t| t.probe.gpus) {
            Ok(i) => Ok(tried[i]),
            Err(i) => {
                let fleet = Tried::of(scenario, &attempt(gpus)?);
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
    let holds = |t: &Tried| t.probe.attainment >= promise.share && t.keeps_up == Some(true);
    let groups = smallest(1, most, &holds)?;
    let with_confidence = match groups {
        Some(groups) => smallest(groups, groups.saturating_mul(2).min(most), &|t| {
            holds(t) && t.interval.is_some_and(|[low, _]| low >= promise.share)
        })?,
        None => None,
    };
    let gpus = groups.map(|n| n * group);
    Ok(Fewest {
        rate_per_s,
        gpus,
        verified: tried
            .iter()
            .map(|t| t.probe)
            .find(|probe| Some(probe.gpus) == gpus),
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

    fn attempt(gpus: u32, attainment: f64, keeps_up: bool) -> Attempt {
        Attempt {
            probe: Probe {
                rate_per_s: 1.0,
                gpus,
                attainment,
                requests: 1000,
                seed: 1,
                utilization: 0.5,
                backlog: 0,
                served_per_s: 1.0,
                overloaded: false,
            },
            keeps_up: Some(keeps_up),
        }
    }

    fn fewest(of: impl Fn(u32) -> Vec<Attempt>) -> Fewest {
        fewest_gpus(&Scenario::default(), 1.0, PROMISE, |gpus| Ok(of(gpus))).unwrap()
    }

    #[test]
    fn a_fleet_that_falls_behind_does_not_count() {
        // Three GPUs keep the promise to the end of the trace, four keep up with the rate.
        let found = fewest(|g| vec![attempt(g, if g >= 3 { 1.0 } else { 0.0 }, g >= 4)]);
        assert_eq!(found.gpus, Some(4));
        assert_eq!(found.verified.unwrap().gpus, 4);
    }

    #[test]
    fn the_fewest_gpus_by_playback_and_with_confidence() {
        // Attainment rises by .01 a GPU from .5, and replications differ by .01.
        let found = fewest(|g| {
            let mean = (0.5 + 0.01 * f64::from(g)).min(0.97);
            [mean, mean - 0.01, mean + 0.01]
                .map(|share| attempt(g, share, true))
                .to_vec()
        });
        assert_eq!(found.gpus, Some(40));
        // 4.303 * .01 / sqrt 3 = .02484 on the scale of shares. In log-odds, 42 GPUs (.92) have
        // ln 11.5 - .02484/.0736 = 2.105, a share of .8914; 43 (.93): 2.205, .9007.
        assert_eq!(found.gpus_with_confidence, Some(43));
        assert!(found.tried.is_sorted_by_key(|t| t.probe.gpus));
        for fleet in &found.tried {
            let [low, high] = fleet.interval.unwrap();
            assert!(0.0 < low && high < 1.0);
        }
    }

    #[test]
    fn replications_that_all_meet_the_promise_are_sure_by_their_count() {
        let found = fewest(|g| vec![attempt(g, 1.0, true); 5]);
        assert_eq!((found.gpus, found.gpus_with_confidence), (Some(1), Some(1)));
        let [low, high] = found.tried[0].interval.unwrap();
        assert!(low > 0.999 && high == 1.0);
    }

    #[test]
    fn no_fleet_keeps_an_impossible_promise() {
        let found = fewest(|g| vec![attempt(g, 0.5, true)]);
        assert_eq!((found.gpus, found.verified), (None, None));
        assert_eq!(found.tried.last().unwrap().probe.gpus, MOST_GPUS);
    }

    #[test]
    fn one_replication_gives_no_confidence() {
        let found = fewest(|g| vec![attempt(g, 1.0, true)]);
        assert_eq!((found.gpus, found.gpus_with_confidence), (Some(1), None));
    }

    #[test]
    fn rates_have_the_digits_that_are_printed() {
        for (rate, expected) in [
            (18.7654321, 18.76),
            (0.00123456, 0.001234),
            (1234567.0, 1234000.0),
            (9.9999, 9.999),
            (5.0, 5.0),
        ] {
            assert_eq!(round_down(rate), expected);
        }
    }
}
