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
use super::record::{BatchRow, Batches, ClosedWork, mean_decode_step_s};
use super::workload::Workload;
use crate::latency::BatchModel;
use crate::scenario::Ties;
use crate::sched::bins::DROPPED;
use crate::sched::memory::Ended;
use crate::sched::{Closed, Former, Lengths, Plan, Queues, Shape};
use crate::{Error, Scenario, Trace};

/// GPUs that serve closed batches.
#[derive(Debug, Clone)]
pub(super) struct ClosedServer {
    latency: BatchModel,
    queues: Queues,
    former: Former,
    fleet: Fleet,
    /// The published program's event queue and idle GPUs, where its order is asked for.
    published: Option<Box<PublishedOrder>>,
    /// What each busy GPU is serving.
    serving: Vec<Serving>,
    /// Requests in service on all GPUs.
    running: u32,
    /// In a closed loop, the time of the latest event, s.
    now_s: f64,
    batches: Batches,
    /// Batches with a step beyond what the step latency was measured for.
    outside: u64,
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

impl ClosedServer {
    pub fn new(
        trace: &Trace,
        scenario: &Scenario,
        closed: &Closed,
        workload: &Workload,
    ) -> Result<ClosedServer, Error> {
        // `validate` bounds the fleet; the conversion cannot lose GPUs.
        let gpus = u16::try_from(scenario.fleet.gpus).unwrap_or(u16::MAX);
        let idle = match scenario.workload.ties {
            _ if workload.arrivals.by_users() => None,
            Ties::Fixed => None,
            Ties::PublishedHeap => Some(IdleSet::new(gpus)),
            Ties::PublishedHeapAscending => Some(IdleSet::ascending(gpus)),
        };
        Ok(ClosedServer {
            former: Former::new(
                closed,
                &scenario.bins,
                scenario.sla.token_ms / 1e3,
                workload.bins.intervals(),
            ),
            fleet: Fleet::new(gpus),
            serving: vec![Serving::default(); usize::from(gpus)],
            latency: closed.latency.model(closed.largest_batch(&scenario.bins)),
            queues: Queues::new(&workload.bin_of, workload.bins.len()),
            running: 0,
            now_s: 0.0,
            batches: Batches::default(),
            outside: 0,
            recent: Vec::with_capacity(RECENT),
            published: idle
                .map(|idle| published_order(trace, workload, idle))
                .transpose()?,
        })
    }

    /// Handles up to about `events` events; true when the replay is over.
    pub fn advance(&mut self, trace: &Trace, workload: &mut Workload, events: u64) -> bool {
        if let Some(mut order) = self.published.take() {
            let over = self.advance_as_published(trace, workload, &mut order, events);
            self.published = Some(order);
            return over;
        }
        if workload.arrivals.by_users() {
            return self.advance_by_users(trace, workload, events);
        }
        self.advance_in_order(trace, workload, events)
    }

    /// Arrivals are sorted and there are few GPUs: no queue holds more than the fleet.
    fn advance_in_order(&mut self, trace: &Trace, workload: &mut Workload, events: u64) -> bool {
        let lengths = Lengths::of(trace);
        let mut budget = events;
        while budget > 0 {
            let end_s = self.fleet.next_end_s();
            let arrival_s = workload.arrivals.next_open_s();
            if end_s <= arrival_s {
                let Some(gpu) = self.fleet.ending() else {
                    return true;
                };
                self.settle(gpu);
                match self.former.form(&self.queues, lengths, self.running) {
                    Some(plan) => {
                        let service_s = self.start(gpu, plan, lengths, end_s);
                        self.fleet.restart(end_s + service_s);
                    }
                    None => self.fleet.rest(),
                }
                budget -= 1;
            } else if self.fleet.any_idle() {
                self.next_arrives(trace, workload);
                self.wake_idle(lengths, arrival_s);
                budget -= 1;
            } else {
                // All GPUs are busy until `end_s`: whoever arrives before only queues.
                while workload.arrivals.next_open_s() < end_s && budget > 0 {
                    self.next_arrives(trace, workload);
                    budget -= 1;
                }
            }
        }
        false
    }

    /// Arrivals follow from ends: the users who think are a heap of their own.
    fn advance_by_users(&mut self, trace: &Trace, workload: &mut Workload, events: u64) -> bool {
        let lengths = Lengths::of(trace);
        for _ in 0..events {
            let end_s = self.fleet.next_end_s();
            let arrival_s = workload.arrivals.next_s();
            let mut over = false;
            if arrival_s < end_s {
                let Some(row) = workload.arrivals.take(trace, &workload.bin_of) else {
                    return true;
                };
                self.arrives(row, workload);
                if workload.have_all_arrived() {
                    self.former
                        .closed(&self.queues, workload.arrivals.times(trace));
                }
            } else if let Some(gpu) = self.fleet.ending() {
                let Serving { first, ended, .. } = self.serving[usize::from(gpu)];
                let answered = self.queues.taken(first, ended.shape.size);
                workload.arrivals.answered(answered, end_s);
                self.settle(gpu);
                self.fleet.rest();
            } else {
                // Nothing is served and nobody thinks. Where requests wait for a bin to fill, their
                // users wait with them, and it never will.
                self.former
                    .closed(&self.queues, workload.arrivals.times(trace));
                over = true;
            }
            if !over {
                self.now_s = arrival_s.min(end_s);
            }
            // An end frees one GPU, and the queues were empty if another was idle before it.
            while let Some(gpu) = self.fleet.lowest_idle() {
                let Some(end_s) = self.serve_out_of_line(lengths, gpu, self.now_s) else {
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
        workload: &mut Workload,
        order: &mut PublishedOrder,
        events: u64,
    ) -> bool {
        let lengths = Lengths::of(trace);
        let PublishedOrder { events: heap, idle } = order;
        for _ in 0..events {
            let Some((now_s, event)) = heap.pop() else {
                return true;
            };
            // An end lets its own GPU try alone; an arrival tries those that are idle now in turn.
            let mut tried = None;
            match event {
                Event::Arrival { row } => {
                    workload.arrivals.arrived += 1;
                    self.arrives(row as usize, workload);
                    if workload.have_all_arrived() {
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

    /// What was done, and the order in which the requests stand in their batches.
    pub fn finish(mut self) -> (ClosedWork, Vec<u32>) {
        self.batches.extend(&self.recent);
        let work = ClosedWork {
            batches: self.batches,
            outside: matches!(self.latency, BatchModel::Steps(_)).then_some(self.outside),
        };
        (work, self.queues.into_order())
    }

    #[inline(always)]
    fn next_arrives(&mut self, trace: &Trace, workload: &mut Workload) {
        let row = workload.arrivals.take_open(trace, &workload.bin_of);
        self.arrives(row, workload);
        if workload.arrivals.next_open_s() == f64::INFINITY {
            self.former.closed(&self.queues, &trace.arrival);
        }
    }

    #[inline(always)]
    fn arrives(&mut self, row: usize, workload: &Workload) {
        let bin = workload.bin_of[row];
        self.queues
            .arrive(bin, (workload.arrivals.first_row + row) as u32);
        self.former.arrived(&self.queues, bin);
    }

    /// Idle GPUs in ascending order, until one finds nothing to do: then none of the rest would.
    #[inline]
    fn wake_idle(&mut self, lengths: Lengths<'_>, now_s: f64) {
        while let Some(gpu) = self.fleet.lowest_idle() {
            let Some(plan) = self.former.form(&self.queues, lengths, self.running) else {
                break;
            };
            let service_s = self.start(gpu, plan, lengths, now_s);
            self.fleet.start(gpu, now_s + service_s);
        }
    }

    /// A batch for a GPU, if there is one, and its end, s. Not inlined: two of the three event loops
    /// share one copy of the policies, for the size of the page's module.
    #[inline(never)]
    fn serve_out_of_line(&mut self, lengths: Lengths<'_>, gpu: u16, now_s: f64) -> Option<f64> {
        let plan = self.former.form(&self.queues, lengths, self.running)?;
        Some(now_s + self.start(gpu, plan, lengths, now_s))
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
    fn start(&mut self, gpu: u16, plan: Plan, lengths: Lengths<'_>, now_s: f64) -> f64 {
        let Plan { bin, shape } = plan;
        let first = self.queues.take(bin, shape.size);
        let (service_s, decode_step_s) = match &self.latency {
            BatchModel::Linear(table) => (
                table.service_s(shape.size, shape.longest_total),
                table.decode_step_s(shape.size),
            ),
            BatchModel::Steps(_) => self.step_by_step(first, shape, lengths),
        };
        self.running += shape.size;
        self.serving[usize::from(gpu)] = Serving {
            bin,
            first,
            ended: Ended {
                shape,
                // As a clock shows it, which rounds: the published program's feedback.
                service_s: (now_s + service_s) - now_s,
                decode_step_s,
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

    /// The service time of the batch that begins at `first` in the order of the queues, and the mean of its decode steps,
    /// s. Not inlined: the studies' formula is two operations.
    #[inline(never)]
    fn step_by_step(&mut self, first: u32, shape: Shape, lengths: Lengths<'_>) -> (f64, f64) {
        let BatchModel::Steps(steps) = &mut self.latency else {
            return (0.0, 0.0);
        };
        let rows = self.queues.taken(first, shape.size).iter();
        let time = steps.time(rows.map(|&row| {
            let row = row as usize;
            (lengths.prompt[row], lengths.output[row])
        }));
        self.outside += u64::from(!time.inside);
        self.batches.first_token.push(time.first_token_s);
        let decode_step_s =
            mean_decode_step_s(time.first_token_s, time.service_s, shape.longest_output);
        (time.service_s, decode_step_s)
    }
}

/// Every arrival of the window, and the idle fleet.
fn published_order(
    trace: &Trace,
    workload: &Workload,
    idle: IdleSet,
) -> Result<Box<PublishedOrder>, Error> {
    if workload.bin_of.len() > PythonHeap::MAX_ROWS {
        return Err(Error::contradiction(
            "workload.ties",
            format!(
                "the published event queue numbers at most {} rows; set workload.limit",
                PythonHeap::MAX_ROWS
            ),
        ));
    }
    let arrivals = (0u32..)
        .zip(&workload.bin_of)
        .filter(|&(_, &bin)| bin != DROPPED)
        .map(|(row, _)| (row, workload.arrivals.recorded_s(trace, row as usize)));
    Ok(Box::new(PublishedOrder {
        events: PythonHeap::new(arrivals),
        idle,
    }))
}
