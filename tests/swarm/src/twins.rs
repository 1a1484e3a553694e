//! Negative twins: a fault for each invariant, put where a fault of an engine would show, which the invariant
//! must notice. An invariant that no fault breaks is removed.

use batchscope::sched::continuous::Warmup;
use batchscope::sched::continuous::kv::Reuse;
use batchscope::sim::continuous::{Fate, Level, Served, Totals};
use batchscope::sim::{ClosedWork, Record, Work};
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
        Engine(|record| with_done(record, |s, _, row| s.fate[row] = Fate::Dropped)),
    ),
    twin(
        "one fate",
        "a request gives up and is served all the same",
        Engine(|record| with_done(record, |s, _, row| s.fate[row] = Fate::TimedOut)),
    ),
    twin(
        "one fate",
        "a request is in two batches, and another in none",
        Engine(|record| {
            with_batches(record, |work, order| {
                let b = &work.batches;
                if b.len() < 2 {
                    return false;
                }
                order[b.first[b.len() - 1] as usize] = order[b.first[0] as usize];
                true
            })
        }),
    ),
    twin(
        "counts agree",
        "a prompt token is counted twice",
        Engine(|record| {
            record.workload.prompt_tokens += 1;
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
        Engine(|record| with_done(record, |s, _, row| s.joined_s[row] = -1.0)),
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
        Engine(|record| {
            with_done(record, |s, _, row| {
                s.first_token_s[row] = s.done_s[row] + 1e-6
            })
        }),
    ),
    twin(
        "times in order",
        "a request ends after the run",
        Engine(|record| with_done(record, |s, totals, row| s.done_s[row] = totals.end_s + 1.0)),
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
        Engine(|record| {
            with_totals(record, |t| {
                t.busy_s[0] = t.end_s * 1.001;
                t.end_s > 0.0
            })
        }),
    ),
    twin(
        "tokens conserved",
        "a token comes that nobody asked for",
        Engine(|record| {
            match &mut record.work {
                Work::Continuous(done) => done.1.emitted += 1,
                Work::Closed(work) => work.batches.longest_output[0] += 1,
            }
            true
        }),
    ),
    twin(
        "tokens conserved",
        "a gap between tokens is counted twice",
        Engine(|record| {
            with_totals(record, |t| {
                t.gaps.count += 1;
                true
            })
        }),
    ),
    twin(
        "prefill conserved",
        "a prompt token is processed twice",
        Engine(|record| {
            with_totals(record, |t| {
                t.prefilled += 1.0;
                t.preemptions == 0
            })
        }),
    ),
    twin(
        "prefill conserved",
        "a token is found in the cache that nobody looked up",
        Engine(|record| {
            with_totals(record, |t| {
                t.found_tokens = t.looked_up_tokens + 1;
                true
            })
        }),
    ),
    twin(
        "blocks conserved",
        "blocks are never given back",
        Engine(|record| {
            is_settled(record)
                && with_totals(record, |t| {
                    t.series.hold(Level::Blocks, 0.0, t.end_s, 1e9);
                    true
                })
        }),
    ),
    twin(
        "blocks conserved",
        "a request holds fewer blocks than it fills",
        Engine(|record| with_totals(record, |t| std::mem::take(&mut t.peak_blocks) > 0)),
    ),
    twin(
        "blocks conserved",
        "tokens stay in the cache",
        Engine(|record| {
            is_settled(record)
                && with_totals(record, |t| {
                    let some = t.token_s > 0.0;
                    t.token_s = 1e6 * t.token_s + 1e6;
                    some
                })
        }),
    ),
    twin(
        "cache within capacity",
        "one block more than there are",
        Engine(|record| {
            with_totals(record, |t| {
                t.peak_blocks = t.blocks.map_or(t.peak_blocks, |blocks| blocks + 1);
                t.blocks.is_some()
            })
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
        Engine(|record| {
            with_totals(record, |t| {
                let some = t.busy_s[0] > 1e-3 * t.end_s;
                t.busy_s[0] *= 0.999;
                some
            })
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
        Engine(|record| {
            unwarmed(&record.scenario) && with_done(record, |s, _, row| s.done_s[row] = f64::NAN)
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
        Engine(|record| {
            is_settled(record)
                && with_totals(record, |t| {
                    t.series.hold(Level::Waiting, 0.0, t.end_s, 1e3);
                    true
                })
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

/// Does something to a request that was served step by step, the one that ended last.
fn with_done(record: &mut Record, fault: fn(&mut Served, &Totals, usize)) -> bool {
    let Work::Continuous(done) = &mut record.work else {
        return false;
    };
    let (served, totals) = done.as_mut();
    let rows = (0..served.fate.len()).filter(|&row| served.fate[row] == Fate::Done);
    let last = rows.max_by(|&a, &b| served.done_s[a].total_cmp(&served.done_s[b]));
    last.is_some_and(|row| {
        fault(served, totals, row);
        true
    })
}

/// Does something to what replicas did; false where none did anything.
fn with_totals(record: &mut Record, fault: fn(&mut Totals) -> bool) -> bool {
    match &mut record.work {
        Work::Continuous(done) => fault(&mut done.1),
        Work::Closed(_) => false,
    }
}

/// Does something to closed batches.
fn with_batches(record: &mut Record, fault: fn(&mut ClosedWork, &mut [u32]) -> bool) -> bool {
    match &mut record.work {
        Work::Closed(work) => fault(work, &mut record.requests.order),
        Work::Continuous(_) => false,
    }
}

/// Whether figures are of the whole run.
fn whole(outcome: &Outcome) -> bool {
    unwarmed(&outcome.summary.scenario)
}

fn unwarmed(scenario: &Scenario) -> bool {
    scenario
        .server()
        .is_none_or(|server| server.warmup == Warmup::None)
}

/// Whether nothing is shared, drafted, preempted, turned away or left out as warm-up: what a run holds then
/// follows from its requests.
fn is_settled(record: &mut Record) -> bool {
    record.scenario.server().is_some_and(|s| {
        s.kv.prefix.reuse == Reuse::Off
            && s.speculative.is_none()
            && !s.async_scheduling
            && s.admission.max_waiting.is_none()
            && s.warmup == Warmup::None
    }) && with_totals(record, |t| t.preemptions == 0 && t.end_s > 0.0)
}
