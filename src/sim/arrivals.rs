//! When requests arrive: as the trace has it, or when their users have thought.

use super::users::Users;
use crate::sched::bins::DROPPED;
use crate::{Scenario, Trace};

/// The arrivals of a run, one after another.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    /// Row of the trace that is row 0 of the window.
    pub first_row: usize,
    pub origin_s: f64,
    pub time_scale: f64,
    /// Requests that have arrived.
    pub arrived: u64,
    /// The next row of an open trace, and when it arrives, s (infinity when there is none).
    next: usize,
    next_s: f64,
    /// Who sends the requests, in a closed loop.
    users: Option<Users>,
}

impl Arrivals {
    pub fn new(first_row: usize, origin_s: f64, time_scale: f64) -> Arrivals {
        Arrivals {
            first_row,
            origin_s,
            time_scale,
            arrived: 0,
            next: 0,
            next_s: f64::INFINITY,
            users: None,
        }
    }

    /// Looks for the first. `bin_of`: by row of the window.
    pub fn begin(&mut self, trace: &Trace, bin_of: &[u8], scenario: &Scenario) {
        match scenario.workload.closed_loop {
            Some(settings) => {
                let users = Users::new(settings, scenario.seed, self.first_row, bin_of);
                self.users = Some(users);
            }
            None => self.find_next(trace, bin_of),
        }
    }

    /// Whether users send the requests, who wait for their answers.
    pub fn by_users(&self) -> bool {
        self.users.is_some()
    }

    /// Returns when the next request arrives, s: infinity when none is left, or when every user waits for an answer.
    #[inline(always)]
    pub fn next_s(&self) -> f64 {
        match &self.users {
            Some(users) => users.next_s(),
            None => self.next_s,
        }
    }

    /// The same of an open trace.
    #[inline(always)]
    pub fn next_open_s(&self) -> f64 {
        self.next_s
    }

    /// The next request arrives; gives its row of the window.
    #[inline]
    pub fn take(&mut self, trace: &Trace, bin_of: &[u8]) -> Option<usize> {
        match &mut self.users {
            Some(users) => {
                let row = users.send(self.first_row)?;
                self.arrived += 1;
                Some(row)
            }
            None if self.next_s == f64::INFINITY => None,
            None => Some(self.take_open(trace, bin_of)),
        }
    }

    /// The same of an open trace, where there is one.
    #[inline(always)]
    pub fn take_open(&mut self, trace: &Trace, bin_of: &[u8]) -> usize {
        let row = self.next;
        self.arrived += 1;
        self.next += 1;
        self.find_next(trace, bin_of);
        row
    }

    #[inline(always)]
    fn find_next(&mut self, trace: &Trace, bin_of: &[u8]) {
        while bin_of.get(self.next) == Some(&DROPPED) {
            self.next += 1;
        }
        self.next_s = if self.next < bin_of.len() {
            self.recorded_s(trace, self.next)
        } else {
            f64::INFINITY
        };
    }

    /// When a row of the window arrives by the trace, s.
    #[inline(always)]
    pub fn recorded_s(&self, trace: &Trace, row: usize) -> f64 {
        (trace.arrival[self.first_row + row] - self.origin_s) / self.time_scale
    }

    /// By trace row, when requests arrived, on a clock of their own.
    pub fn times<'a>(&'a self, trace: &'a Trace) -> &'a [f64] {
        match &self.users {
            Some(users) => &users.arrival,
            None => &trace.arrival,
        }
    }

    /// The requests of these trace rows have their answers.
    pub fn answered(&mut self, rows: &[u32], now_s: f64) {
        if let Some(users) = &mut self.users {
            users.answer(rows, self.first_row, now_s);
        }
    }

    /// By trace row, when users sent it, and the rows in the order in which they did; both empty of an open trace.
    pub fn sent(self) -> (Vec<f64>, Vec<u32>) {
        match self.users {
            Some(users) => (users.arrival, users.in_order),
            None => (Vec::new(), Vec::new()),
        }
    }
}
