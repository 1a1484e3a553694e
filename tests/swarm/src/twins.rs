//! Negative twins: a fault for each invariant, put where a fault of an engine would show, which the invariant
//! must notice. An invariant that no fault breaks is removed.

use batchscope::scenario::Engine as Serving;
use batchscope::sched::continuous::kv::Reuse;
use batchscope::sched::continuous::{Rule, Server, Warmup};
use batchscope::sim::Record;
use batchscope::sim::continuous::{Fate, Level, Record as Served};
use batchscope::{Outcome, Scenario, Trace};

use crate::invariants::{SAME_BYTES, STEP_BY_STEP};

/// Puts the fault in; false where this run has no place for it.
enum Fault {
    /// Into what an engine leaves, before any figure is made of it.
    Engine(fn(&mut Record) -> bool),
    /// Into the figures.
    Figures(fn(&mut Outcome) -> bool),
}

/// A fault and the invariant that must notice it.
pub struct Twin {
    pub breaks: &'static str,
    pub what: &'static str,
    fault: Fault,
}

use Fault::{Engine, Figures};

const fn twin(breaks: &'static str, what: &'static str, fault: Fault) -> Twin {
    Twin {
        breaks,
        what,
        fault,
    }
}

pub const TWINS: [Twin; 34] = [
    twin(
        "one fate",
        "a request is forgotten",
        Engine(|record| match record {
            Record::Continuous(r) => with_done(r, |r, row| r.served.fate[row] = Fate::Dropped),
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "one fate",
        "a request gives up and is served all the same",
        Engine(|record| match record {
            Record::Continuous(r) => with_done(r, |r, row| r.served.fate[row] = Fate::TimedOut),
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "one fate",
        "a request is in two batches, and another in none",
        Engine(|record| match record {
            Record::Closed(r) if r.batches.len() > 1 => {
                let last = r.batches.first[r.batches.len() - 1] as usize;
                r.requests.order[last] = r.requests.order[r.batches.first[0] as usize];
                true
            }
            _ => false,
        }),
    ),
    twin(
        "counts agree",
        "a prompt token is counted twice",
        Engine(|record| {
            match record {
                Record::Closed(r) => r.workload.prompt_tokens += 1,
                Record::Continuous(r) => r.workload.prompt_tokens += 1,
            }
            true
        }),
    ),
    twin(
        "counts agree",
        "a request is counted twice",
        Figures(|outcome| {
            outcome.summary.honest.requests += 1;
            true
        }),
    ),
    twin(
        "times in order",
        "a request starts before it arrives",
        Engine(|record| match record {
            Record::Continuous(r) => with_done(r, |r, row| r.served.joined_s[row] = -1.0),
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "times in order",
        "a batch starts before its requests arrive",
        Figures(|outcome| {
            let start = outcome.batches.start.first_mut();
            start.map(|start| *start = -1.0).is_some()
        }),
    ),
    twin(
        "times in order",
        "the first token comes after the last",
        Engine(|record| match record {
            Record::Continuous(r) => with_done(r, |r, row| {
                r.served.first_token_s[row] = r.served.done_s[row] + 1e-6
            }),
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "times in order",
        "a request ends after the run",
        Engine(|record| match record {
            Record::Continuous(r) => {
                with_done(r, |r, row| r.served.done_s[row] = r.totals.end_s + 1.0)
            }
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "one batch at a time",
        "a GPU takes a batch before it is free",
        Figures(|outcome| {
            let b = &mut outcome.batches;
            let next = (1..b.len()).find(|&i| b.gpu[i] == b.gpu[0]);
            next.is_some_and(|next| {
                b.start[next] = b.start[0];
                true
            })
        }),
    ),
    twin(
        "one batch at a time",
        "a replica is busy for longer than the run",
        Engine(|record| match record {
            Record::Continuous(r) if r.totals.end_s > 0.0 => {
                r.totals.busy_s[0] = r.totals.end_s * 1.001;
                true
            }
            _ => false,
        }),
    ),
    twin(
        "tokens conserved",
        "a token comes that nobody asked for",
        Engine(|record| match record {
            Record::Continuous(r) => {
                r.totals.emitted += 1;
                true
            }
            Record::Closed(r) => {
                r.batches.longest_output[0] += 1;
                true
            }
        }),
    ),
    twin(
        "tokens conserved",
        "a gap between tokens is counted twice",
        Engine(|record| match record {
            Record::Continuous(r) => {
                r.totals.gaps.count += 1;
                true
            }
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "prefill conserved",
        "a prompt token is processed twice",
        Engine(|record| match record {
            Record::Continuous(r) if r.totals.preemptions == 0 => {
                r.totals.prefilled += 1.0;
                true
            }
            _ => false,
        }),
    ),
    twin(
        "prefill conserved",
        "a token is found in the cache that nobody looked up",
        Engine(|record| match record {
            Record::Continuous(r) => {
                r.totals.found_tokens = r.totals.looked_up_tokens + 1;
                true
            }
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "blocks conserved",
        "blocks are never given back",
        Engine(|record| match record {
            Record::Continuous(r) if settled(r) => {
                let (end, blocks) = (r.totals.end_s, 1e9);
                r.totals.series.hold(Level::Blocks, 0.0, end, blocks);
                true
            }
            _ => false,
        }),
    ),
    twin(
        "blocks conserved",
        "a request holds fewer blocks than it fills",
        Engine(|record| match record {
            Record::Continuous(r) => {
                let some = r.totals.peak_blocks > 0;
                r.totals.peak_blocks = 0;
                some
            }
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "blocks conserved",
        "tokens stay in the cache",
        Engine(|record| match record {
            Record::Continuous(r) if settled(r) && r.totals.token_s > 0.0 => {
                r.totals.token_s = 1e6 * r.totals.token_s + 1e6;
                true
            }
            _ => false,
        }),
    ),
    twin(
        "cache within capacity",
        "one block more than there are",
        Engine(|record| match record {
            Record::Continuous(r) => r.totals.blocks.is_some_and(|blocks| {
                r.totals.peak_blocks = blocks + 1;
                true
            }),
            Record::Closed(_) => false,
        }),
    ),
    twin(
        "cache within capacity",
        "a batch over memory is not counted",
        Figures(|outcome| {
            outcome.summary.honest.batches_over_memory += 1;
            outcome.served.is_none()
        }),
    ),
    twin(
        "utilisation",
        "a GPU is busy for less than it serves",
        Engine(|record| match record {
            Record::Continuous(r) if r.totals.busy_s[0] > 1e-3 * r.totals.end_s => {
                r.totals.busy_s[0] *= 0.999;
                true
            }
            _ => false,
        }),
    ),
    twin(
        "utilisation",
        "the mean is of other GPUs",
        Figures(|outcome| {
            let u = &mut outcome.summary.honest.utilization;
            u.mean *= 1.001;
            u.mean > 1e-3
        }),
    ),
    twin(
        "utilisation",
        "the published share is another",
        Figures(|outcome| {
            let Some(published) = &mut outcome.summary.published else {
                return false;
            };
            published.gpu_utilization_mean *= 1.001;
            published.gpu_utilization_mean > 1e-3
        }),
    ),
    twin(
        "percentiles in order",
        "median and maximum are exchanged",
        Figures(|outcome| {
            let Some(d) = &mut outcome.summary.honest.e2e_s else {
                return false;
            };
            std::mem::swap(&mut d.p50, &mut d.max);
            d.p50 != d.max
        }),
    ),
    twin(
        "distributions of the requests",
        "the mean leaves a request out",
        Figures(|outcome| {
            let Some(d) = &mut outcome.summary.honest.e2e_s else {
                return false;
            };
            d.mean *= 1.0 - 1e-6;
            whole(outcome)
        }),
    ),
    twin(
        "distributions of the requests",
        "the slowest request is left out",
        Engine(|record| match record {
            Record::Continuous(r) if unwarmed(&r.scenario) => {
                with_done(r, |r, row| r.served.done_s[row] = f64::NAN)
            }
            _ => false,
        }),
    ),
    twin(
        "shares from 0 to 1",
        "more requests meet an SLA than there are",
        Figures(|outcome| {
            outcome.summary.honest.sla.joint = Some(1.0 + 1e-6);
            true
        }),
    ),
    twin(
        "finite",
        "a rate is divided by nothing",
        Figures(|outcome| {
            outcome.summary.honest.goodput_requests_per_s = f64::NAN;
            true
        }),
    ),
    twin(
        "finite",
        "an optional figure is infinite",
        Figures(|outcome| {
            outcome.summary.honest.padding_waste = Some(f64::INFINITY);
            true
        }),
    ),
    twin(
        "Little's law",
        "the mean number in the system is another",
        Figures(|outcome| {
            outcome.summary.honest.mean_in_system *= 1.0 + 1e-6;
            whole(outcome) && outcome.summary.honest.mean_in_system > 0.0
        }),
    ),
    twin(
        "Little's law",
        "one who left is counted as waiting",
        Engine(|record| match record {
            Record::Continuous(r) if settled(r) && r.totals.end_s > 0.0 => {
                let end = r.totals.end_s;
                r.totals.series.hold(Level::Waiting, 0.0, end, 1e3);
                true
            }
            _ => false,
        }),
    ),
    twin(
        "intervals hold their value",
        "an interval ends below its value",
        Figures(|outcome| {
            let Some(c) = &mut outcome.summary.continuous else {
                return false;
            };
            c.statistics.intervals.first_mut().is_some_and(|interval| {
                interval.high = interval.value - interval.value.abs() * 1e-9 - 1e-12;
                true
            })
        }),
    ),
    twin(
        SAME_BYTES,
        "the last bit of a time is another",
        Figures(|outcome| {
            let nudge = |time: &mut f64| *time = f64::from_bits(time.to_bits() ^ 1);
            match &mut outcome.served {
                Some(served) => served
                    .0
                    .done_s
                    .iter_mut()
                    .find(|t| t.is_finite())
                    .map(nudge)
                    .is_some(),
                None => outcome.batches.start.first_mut().map(nudge).is_some(),
            }
        }),
    ),
    twin(
        STEP_BY_STEP,
        "a jump takes a millisecond too long",
        Figures(|outcome| {
            let Some(served) = &mut outcome.served else {
                return false;
            };
            let late = |time: &mut f64| *time += 1e-3;
            served.1.end_s < 100.0
                && served
                    .0
                    .done_s
                    .iter_mut()
                    .find(|t| t.is_finite())
                    .map(late)
                    .is_some()
        }),
    ),
];

impl Twin {
    /// The outcome of a finished run with the fault; `None` where the run has no place for it.
    pub fn outcome(&self, trace: &Trace, mut record: Record) -> Option<Outcome> {
        let (mut outcome, fits) = match self.fault {
            Engine(fault) => {
                let fits = fault(&mut record);
                (Outcome::of(trace, record), fits)
            }
            Figures(_) => (Outcome::of(trace, record), true),
        };
        let fits = match self.fault {
            Figures(fault) => fault(&mut outcome),
            Engine(_) => fits,
        };
        fits.then_some(outcome)
    }
}

/// Does something to a request that was served, the one that ended last.
fn with_done(record: &mut Served, fault: fn(&mut Served, usize)) -> bool {
    let rows = 0..record.served.fate.len();
    let done = rows.filter(|&row| record.served.fate[row] == Fate::Done);
    let last = done.max_by(|&a, &b| record.served.done_s[a].total_cmp(&record.served.done_s[b]));
    last.is_some_and(|row| {
        fault(record, row);
        true
    })
}

/// Whether figures are of the whole run.
fn whole(outcome: &Outcome) -> bool {
    unwarmed(&outcome.summary.scenario)
}

fn unwarmed(scenario: &Scenario) -> bool {
    server_of(scenario).is_none_or(|server| server.warmup == Warmup::None)
}

fn server_of(scenario: &Scenario) -> Option<&Server> {
    match &scenario.engine {
        Serving::Continuous(server) => Some(server),
        Serving::Closed => None,
    }
}

/// Whether nothing is shared, drafted, preempted, turned away or left out as warm-up: what a run holds then
/// follows from its requests.
fn settled(record: &Served) -> bool {
    server_of(&record.scenario).is_some_and(|s| {
        s.kv.prefix.reuse == Reuse::Off
            && s.speculative.is_none()
            && s.rule != Rule::Closed
            && !s.async_scheduling
            && s.admission.max_waiting.is_none()
            && s.warmup == Warmup::None
            && record.totals.preemptions == 0
            && record.totals.end_s > 0.0
    })
}
