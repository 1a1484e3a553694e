//! The closed-batch engine: a batch starts together and leaves together.
//!
//! Two kinds of event: a request arrives, a batch ends. Ties: the end before the arrival, then the
//! lowest GPU, then the earlier row ([`Ties::Fixed`]); or as the published program's heap has it
//! ([`Ties::PublishedHeap`]). An arrival wakes idle GPUs in ascending order, or in the order of the
//! published program's set; a GPU whose batch ended looks for its next batch at once. Scheduling
//! itself takes no time.
//!
//! Requests arrive when the trace says, or, in a closed loop, when their users have thought; of
//! users at one moment the lower number comes first.

use super::fleet::Fleet;
use super::published::{Event, IdleSet, PublishedOrder, PythonHeap};
use super::record::{BatchRow, Batches, ClosedRecord, Prediction, Requests, WorkloadReport};
use super::users::Users;
use super::workload::Prepared;
use crate::latency::{Latency, LinearTable};
use crate::scenario::Ties;
use crate::sched::bins::{BinTable, DROPPED};
use crate::sched::memory::Ended;
use crate::sched::{Former, Lengths, Plan, Queues};
use crate::{Error, Scenario, Trace};

/// A replay that has begun.
#[derive(Debug, Clone)]
pub struct Run {
    scenario: Scenario,
    report: WorkloadReport,
    bins: BinTable,
    prediction: Option<Prediction>,
    predicted: Vec<u32>,
    first_row: usize,
    origin_s: f64,
    time_scale: f64,
    /// Bin of each row of the window; [`DROPPED`] where it is not replayed.
    bin_of: Vec<u8>,
    /// The next row of the window that has not arrived; with the published heap and in a closed
    /// loop, how many have.
    next: usize,
    /// When it arrives; infinity when there is none.
    next_arrival_s: f64,
    latency: LinearTable,
    queues: Queues,
    former: Former,
    fleet: Fleet,
    /// The published program's event queue and idle GPUs, where its order is asked for.
    published: Option<Box<PublishedOrder>>,
    /// Who sends the requests, in a closed loop.
    users: Option<Users>,
    /// What each busy GPU is serving.
    serving: Vec<Serving>,
    /// Requests in service on all GPUs.
    running: u32,
    batches: Batches,
    /// Started since the columns of `batches` were last extended.
    recent: Vec<BatchRow>,
}

/// So many batches are recorded before they go into their columns.
const RECENT: usize = 256;

#[derive(Debug, Clone, Copy, Default)]
struct Serving {
    bin: u8,
    /// Where the members begin in the order of the queues.
    first: u32,
    /// What its policy will learn at the end.
    ended: Ended,
}

impl Run {
    /// Checks the scenario and prepares the replay: rows, predictions, bins, queues.
    pub fn new(trace: &Trace, scenario: &Scenario) -> Result<Run, Error> {
        scenario.validate()?;
        let prepared = Prepared::new(trace, scenario)?;
        let Latency::Linear(linear) = &scenario.latency;
        let scheduler = &scenario.scheduler;
        let queues = Queues::new(&prepared.bin_of, prepared.bins.len());
        // `validate` bounds the fleet; the conversion cannot lose GPUs.
        let gpus = u16::try_from(scenario.fleet.gpus).unwrap_or(u16::MAX);
        let mut run = Run {
            former: Former::new(
                scheduler,
                &scenario.memory,
                scenario.sla.token_ms / 1e3,
                prepared.bins.intervals(),
            ),
            fleet: Fleet::new(gpus),
            serving: vec![Serving::default(); usize::from(gpus)],
            latency: linear.table(scheduler.largest_batch()),
            queues,
            scenario: scenario.clone(),
            report: prepared.report,
            bins: prepared.bins,
            prediction: prepared.prediction,
            predicted: prepared.predicted,
            first_row: prepared.rows.start,
            origin_s: prepared.origin_s,
            time_scale: prepared.time_scale,
            bin_of: prepared.bin_of,
            next: 0,
            next_arrival_s: 0.0,
            running: 0,
            batches: Batches::default(),
            recent: Vec::with_capacity(RECENT),
            published: None,
            users: None,
        };
        match (scenario.workload.closed_loop, scenario.workload.ties) {
            (Some(settings), _) => {
                let users = Users::new(settings, scenario.seed, run.first_row, &run.bin_of);
                run.users = Some(users);
            }
            (None, Ties::Fixed) => run.find_next_arrival(trace),
            (None, Ties::PublishedHeap) => {
                run.published = Some(run.published_order(trace, IdleSet::new(gpus))?);
            }
            (None, Ties::PublishedHeapAscending) => {
                run.published = Some(run.published_order(trace, IdleSet::ascending(gpus))?);
            }
        }
        Ok(run)
    }

    /// Share of the requests that have arrived, 0 to 1.
    pub fn progress(&self) -> f64 {
        // Where `next` counts arrivals, dropped rows are not among them.
        let all = if self.published.is_some() || self.users.is_some() {
            self.report.rows_replayed as usize
        } else {
            self.bin_of.len()
        };
        self.next as f64 / all as f64
    }

    /// Handles up to about `events` events; true when the replay is over.
    pub fn advance(&mut self, trace: &Trace, events: u64) -> bool {
        let lengths = Lengths {
            prompt: &trace.prompt,
            output: &trace.output,
        };
        if let Some(mut order) = self.published.take() {
            let over = self.advance_as_published(trace, lengths, &mut order, events);
            self.published = Some(order);
            return over;
        }
        if let Some(mut users) = self.users.take() {
            let over = self.advance_by_users(lengths, &mut users, events);
            self.users = Some(users);
            return over;
        }
        self.advance_in_order(trace, lengths, events)
    }

    /// Arrivals are sorted and there are few GPUs: no queue holds more than the fleet.
    fn advance_in_order(&mut self, trace: &Trace, lengths: Lengths<'_>, events: u64) -> bool {
        let mut budget = events;
        while budget > 0 {
            let end_s = self.fleet.next_end_s();
            if end_s <= self.next_arrival_s {
                let Some(gpu) = self.fleet.ending() else {
                    return true;
                };
                self.settle(gpu);
                match self.former.form(&self.queues, lengths, self.running) {
                    Some(plan) => {
                        let service_s = self.start(gpu, plan, end_s);
                        self.fleet.restart(end_s + service_s);
                    }
                    None => self.fleet.rest(),
                }
                budget -= 1;
            } else if self.fleet.any_idle() {
                let now_s = self.next_arrival_s;
                self.next_arrives(trace);
                self.wake_idle(lengths, now_s);
                budget -= 1;
            } else {
                // All GPUs are busy until `end_s`: whoever arrives before only queues.
                while self.next_arrival_s < end_s && budget > 0 {
                    self.next_arrives(trace);
                    budget -= 1;
                }
            }
        }
        false
    }

    /// Arrivals follow from ends: the users who think are a heap of their own.
    fn advance_by_users(&mut self, lengths: Lengths<'_>, users: &mut Users, events: u64) -> bool {
        for _ in 0..events {
            let mut over = false;
            let end_s = self.fleet.next_end_s();
            if users.next_s() < end_s {
                let Some(row) = users.send(self.first_row) else {
                    return true;
                };
                self.next += 1;
                self.arrives(row);
                if self.next == self.report.rows_replayed as usize {
                    self.former.closed(&self.queues, &users.arrival);
                }
            } else if let Some(gpu) = self.fleet.ending() {
                let Serving { first, ended, .. } = self.serving[usize::from(gpu)];
                let answered = self.queues.taken(first, ended.shape.size);
                users.answer(answered, self.first_row, end_s);
                self.settle(gpu);
                self.fleet.rest();
            } else {
                // Nothing is served and nobody thinks. Where requests wait for a bin to fill, their
                // users wait with them, and it never will.
                self.former.closed(&self.queues, &users.arrival);
                over = true;
            }
            // An end frees one GPU, and the queues were empty if another was idle before it.
            while let Some(gpu) = self.fleet.lowest_idle() {
                let Some(end_s) = self.serve_out_of_line(lengths, gpu, users.now_s) else {
                    break;
                };
                self.fleet.start(gpu, end_s);
                over = false;
            }
            if over {
                return true;
            }
        }
        false
    }

    fn advance_as_published(
        &mut self,
        trace: &Trace,
        lengths: Lengths<'_>,
        order: &mut PublishedOrder,
        events: u64,
    ) -> bool {
        let PublishedOrder { events: heap, idle } = order;
        for _ in 0..events {
            let Some((now_s, event)) = heap.pop() else {
                return true;
            };
            // An end lets its own GPU try alone; an arrival tries those that are idle now in turn.
            let mut tried = None;
            match event {
                Event::Arrival { row } => {
                    self.next += 1;
                    self.arrives(row as usize);
                    if self.next == self.report.rows_replayed as usize {
                        self.former.closed(&self.queues, &trace.arrival);
                    }
                }
                Event::Free { gpu } => {
                    self.settle(gpu);
                    idle.add(gpu);
                    tried = Some(gpu);
                }
            }
            let mut slot = 0;
            while let Some(gpu) = tried.or_else(|| {
                let (at, gpu) = idle.next(slot)?;
                slot = at + 1;
                Some(gpu)
            }) {
                // Where one finds nothing to do, none of the rest would.
                let Some(end_s) = self.serve_out_of_line(lengths, gpu, now_s) else {
                    break;
                };
                idle.remove(gpu);
                heap.push_free(gpu, end_s);
                if tried.is_some() {
                    break;
                }
            }
        }
        false
    }

    /// Every arrival of the window, and the idle fleet.
    fn published_order(&self, trace: &Trace, idle: IdleSet) -> Result<Box<PublishedOrder>, Error> {
        if self.bin_of.len() > PythonHeap::MAX_ROWS {
            return Err(Error::Contradiction {
                what: "workload.ties".to_owned(),
                why: format!(
                    "the published event queue numbers at most {} rows; set workload.limit",
                    PythonHeap::MAX_ROWS
                ),
            });
        }
        let arrivals = (0u32..)
            .zip(&self.bin_of)
            .filter(|&(_, &bin)| bin != DROPPED)
            .map(|(row, _)| (row, self.arrival_s(trace, row as usize)));
        Ok(Box::new(PublishedOrder {
            events: PythonHeap::new(arrivals),
            idle,
        }))
    }

    /// The record of a replay that is over.
    pub fn finish(mut self) -> ClosedRecord {
        self.batches.extend(&self.recent);
        let (sent_s, sent) = match self.users {
            Some(users) => (users.arrival, users.in_order),
            None => (Vec::new(), Vec::new()),
        };
        if let Some(&last) = sent.last() {
            self.report.span_s = sent_s[last as usize];
        }
        ClosedRecord {
            bins: if self.scenario.has_bins() {
                self.bins.intervals().to_vec()
            } else {
                Vec::new()
            },
            scenario: self.scenario,
            workload: self.report,
            prediction: self.prediction,
            latency: self.latency,
            batches: self.batches,
            requests: Requests {
                order: self.queues.into_order(),
                predicted: self.predicted,
                first_row: self.first_row as u32,
                origin_s: self.origin_s,
                time_scale: self.time_scale,
                sent_s,
                sent,
            },
        }
    }

    #[inline(always)]
    fn next_arrives(&mut self, trace: &Trace) {
        self.arrives(self.next);
        self.next += 1;
        self.find_next_arrival(trace);
        if self.next_arrival_s == f64::INFINITY {
            self.former.closed(&self.queues, &trace.arrival);
        }
    }

    #[inline(always)]
    fn arrives(&mut self, row: usize) {
        let bin = self.bin_of[row];
        self.queues.arrive(bin, (self.first_row + row) as u32);
        self.former.arrived(&self.queues, bin);
    }

    #[inline(always)]
    fn find_next_arrival(&mut self, trace: &Trace) {
        while self.bin_of.get(self.next) == Some(&DROPPED) {
            self.next += 1;
        }
        self.next_arrival_s = if self.next < self.bin_of.len() {
            self.arrival_s(trace, self.next)
        } else {
            f64::INFINITY
        };
    }

    #[inline(always)]
    fn arrival_s(&self, trace: &Trace, row: usize) -> f64 {
        (trace.arrival[self.first_row + row] - self.origin_s) / self.time_scale
    }

    /// Idle GPUs in ascending order, until one finds nothing to do: then none of the rest would.
    #[inline]
    fn wake_idle(&mut self, lengths: Lengths<'_>, now_s: f64) {
        while let Some(gpu) = self.fleet.lowest_idle() {
            let Some(plan) = self.former.form(&self.queues, lengths, self.running) else {
                break;
            };
            let service_s = self.start(gpu, plan, now_s);
            self.fleet.start(gpu, now_s + service_s);
        }
    }

    /// A batch for a GPU, if there is one, and its end, s. Not inlined: two of the three event loops
    /// share one copy of the policies, for the size of the page's module.
    #[inline(never)]
    fn serve_out_of_line(&mut self, lengths: Lengths<'_>, gpu: u16, now_s: f64) -> Option<f64> {
        let plan = self.former.form(&self.queues, lengths, self.running)?;
        Some(now_s + self.start(gpu, plan, now_s))
    }

    /// The batch on a GPU is over: its members leave and its policy learns.
    #[inline(always)]
    fn settle(&mut self, gpu: u16) {
        let served = self.serving[usize::from(gpu)];
        self.running -= served.ended.shape.size;
        self.former.ended(served.bin, &served.ended, self.running);
    }

    /// Puts a batch on a GPU and into the record; gives its service time, s.
    #[inline(always)]
    fn start(&mut self, gpu: u16, plan: Plan, now_s: f64) -> f64 {
        let Plan { bin, shape } = plan;
        let service_s = self.latency.service_s(shape.size, shape.longest_total);
        let first = self.queues.take(bin, shape.size);
        self.running += shape.size;
        self.serving[usize::from(gpu)] = Serving {
            bin,
            first,
            ended: Ended {
                shape,
                // As a clock shows it, which rounds: the published program's feedback.
                service_s: (now_s + service_s) - now_s,
                decode_step_s: self.latency.decode_step_s(shape.size),
            },
        };
        if self.recent.len() == RECENT {
            self.batches.extend(&self.recent);
            self.recent.clear();
        }
        self.recent.push(BatchRow {
            start: now_s,
            service: service_s,
            gpu,
            bin,
            first,
            size: shape.size,
            longest_total: shape.longest_total,
            longest_output: shape.longest_output,
        });
        service_s
    }
}
