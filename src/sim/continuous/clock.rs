//! The clock: which event is next, and what each does.
//!
//! Events at one moment: steps that end, the lowest replica first; arrivals; all replicas that can begin a step begin
//! it; then requests that wait give up. A new kind of event is a variant of [`Event`], a line in
//! [`Clock::next`] that says when it comes, and a method that handles it.

use std::collections::VecDeque;

use super::fleet::{Ends, Routing};
use super::keys::Keys;
use super::record::{Fate, MARKS, Mark, Served, Totals};
use super::replica::{Context, Replica};
use crate::Trace;
use crate::sched::continuous::Admission;
use crate::sim::arrivals::Arrivals;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Steps of a replica end.
    StepEnds,
    Arrival,
    /// All replicas that are due put a step together.
    StepsBegin,
    /// A waiting request times out.
    GivesUp,
}

/// A fleet of replicas, and the time.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub replicas: Vec<Replica>,
    ends: Ends,
    routing: Routing,
    keys: Keys,
    admission: Admission,
    now_s: f64,
    /// Replicas that may begin a step now.
    due: Vec<u16>,
    is_due: Vec<bool>,
    /// When those that wait give up: time, row, replica, in order of arrival.
    patience: VecDeque<(f64, u32, u16)>,
    /// Requests to arrive in all, and how many have at the next mark.
    requests: u64,
    next_mark: u64,
    /// Whether the last request arrives at this moment.
    last_arrives: bool,
}

impl Clock {
    /// `requests`: that will arrive in all.
    pub fn new(
        replicas: Vec<Replica>,
        routing: Routing,
        keys: Keys,
        admission: Admission,
        requests: u64,
    ) -> Clock {
        let count = replicas.len();
        Clock {
            replicas,
            ends: Ends::new(count),
            routing,
            keys,
            admission,
            now_s: 0.0,
            due: Vec::with_capacity(count),
            is_due: vec![false; count],
            patience: VecDeque::new(),
            requests,
            next_mark: 0,
            last_arrives: false,
        }
    }

    /// Handles the next event. Returns false when there is none.
    pub fn tick(&mut self, trace: &Trace, arrivals: &mut Arrivals, cx: &mut Context<'_>) -> bool {
        let Some(event) = self.next(arrivals.next_s(), cx) else {
            return false;
        };
        match event {
            Event::StepsBegin => self.steps_begin(cx),
            Event::StepEnds => self.step_ends(cx),
            Event::GivesUp => self.gives_up(cx),
            Event::Arrival => self.arrival(trace, arrivals, cx),
        }
        if !cx.answered.is_empty() {
            if arrivals.by_users() {
                for row in cx.answered.iter_mut() {
                    *row += arrivals.first_row as u32;
                }
                arrivals.answered(cx.answered, self.now_s);
            }
            cx.answered.clear();
        }
        true
    }

    /// Finds the next event and moves the clock to its time.
    #[inline]
    fn next(&mut self, arrival_s: f64, cx: &mut Context<'_>) -> Option<Event> {
        let end_s = self.ends.first_s();
        let gone_s = self.next_to_give_up_s(cx.served);
        let next_s = end_s.min(arrival_s);
        if next_s > self.now_s {
            if !self.due.is_empty() {
                return Some(Event::StepsBegin);
            }
            if self.last_arrives {
                self.last_arrives = false;
                let waiting = self.replicas.iter().map(|replica| replica.waiting.count());
                cx.totals.backlog_at_last_arrival = waiting.map(u64::from).sum();
            }
        }
        let (at_s, event) = if end_s <= arrival_s && end_s <= gone_s {
            (end_s, Event::StepEnds)
        } else if gone_s < arrival_s {
            (gone_s, Event::GivesUp)
        } else {
            (arrival_s, Event::Arrival)
        };
        if at_s == f64::INFINITY {
            return None;
        }
        self.now_s = at_s;
        Some(event)
    }

    /// Returns when the next waiting request times out, s.
    #[inline]
    fn next_to_give_up_s(&mut self, served: &Served) -> f64 {
        while let Some(&(at_s, row, _)) = self.patience.front() {
            if served.waits(row) {
                return at_s;
            }
            self.patience.pop_front();
        }
        f64::INFINITY
    }

    /// When the next event comes while every replica rests, s: now where a step is to begin.
    pub fn due_s(&self, arrival_s: f64) -> f64 {
        if self.due.is_empty() {
            arrival_s
        } else {
            self.now_s
        }
    }

    /// The step of the first replica ends at `at_s`, as a device says.
    pub fn step_ends_at(&mut self, at_s: f64) {
        self.replicas[0].ends_at(at_s);
        self.ends.set(0, at_s);
    }

    fn steps_begin(&mut self, cx: &mut Context<'_>) {
        self.due.sort_unstable();
        for &number in &self.due {
            let place = usize::from(number);
            self.is_due[place] = false;
            let replica = &mut self.replicas[place];
            replica.begin(self.now_s, cx);
            if let Some(most) = self.admission.max_waiting {
                replica.turn_away(most, self.now_s, cx);
            }
            self.ends.set(place, replica.end_s);
        }
        self.due.clear();
    }

    fn step_ends(&mut self, cx: &mut Context<'_>) {
        let place = self.ends.first();
        self.replicas[place].settle(cx);
        self.ends.set(place, f64::INFINITY);
        self.due.push(place as u16);
        self.is_due[place] = true;
    }

    fn gives_up(&mut self, cx: &mut Context<'_>) {
        let Some((gone_s, row, number)) = self.patience.pop_front() else {
            return;
        };
        let place = usize::from(number);
        let replica = &mut self.replicas[place];
        replica.is_gone(row, Fate::TimedOut, gone_s, cx);
        self.ends.set(place, replica.end_s);
    }

    fn arrival(&mut self, trace: &Trace, arrivals: &mut Arrivals, cx: &mut Context<'_>) {
        while arrivals.arrived >= self.next_mark && cx.totals.marks.len() < MARKS {
            mark(cx.totals, self.now_s, &self.replicas);
            let part = cx.totals.marks.len() as u64 * self.requests;
            self.next_mark = part.div_ceil(MARKS as u64);
        }
        let Some(row) = arrivals.take(trace, cx.rows.bin_of) else {
            return;
        };
        self.last_arrives = arrivals.arrived == self.requests;
        if cx.served.fate[row] == Fate::TooLong {
            cx.answered.push(row as u32);
            return;
        }
        if self.routing.looks_into_caches() {
            for replica in &mut self.replicas {
                replica.catch_up(self.now_s);
            }
        }
        let bin = cx.rows.bin_of[row];
        let row = row as u32;
        let place = self.routing.choose(&self.replicas, row, bin, cx);
        cx.served.replica[row as usize] = place as u16;
        let most = self.admission.max_waiting;
        if most.is_some_and(|most| !self.replicas[place].admits(row, most)) {
            cx.served.fate[row as usize] = Fate::Rejected;
            cx.answered.push(row);
            return;
        }
        self.waits_at(place, row, bin, trace, cx);
    }

    /// Puts a request that has arrived into a replica's queue.
    fn waits_at(&mut self, place: usize, row: u32, bin: u8, trace: &Trace, cx: &mut Context<'_>) {
        let now_s = self.now_s;
        let replica = &mut self.replicas[place];
        let queue = if cx.rules.bins { bin } else { 0 };
        let trace_row = cx.rows.first + row as usize;
        let key = self
            .keys
            .of(trace, trace_row, cx.rows.predicted(row), now_s);
        replica.arrives(row, queue, key, now_s, cx);
        if let Some(timeout_s) = self.admission.timeout_s {
            self.patience
                .push_back((now_s + timeout_s, row, place as u16));
        }
        if !replica.rests() {
            self.ends.set(place, replica.end_s);
        } else if !self.is_due[place] {
            self.is_due[place] = true;
            self.due.push(place as u16);
        }
    }
}

/// Takes down what has been done up to a moment at which no step ends that is not settled.
fn mark(totals: &mut Totals, at_s: f64, replicas: &[Replica]) {
    let series = std::mem::take(&mut totals.series);
    let marks = std::mem::take(&mut totals.marks);
    let mut so_far = totals.clone();
    totals.series = series;
    totals.marks = marks;
    for replica in replicas {
        replica.so_far(at_s, totals.last_mark_s(), &mut so_far);
    }
    totals.marks.push(Mark {
        at_s,
        totals: so_far,
    });
    totals.part_peak_blocks = 0;
    totals.part_peak_tokens = 0;
    totals.gaps.begin_part();
}
