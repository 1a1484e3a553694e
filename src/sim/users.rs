//! Users of a closed loop: each sends its requests one after another and thinks in between.

use std::collections::BinaryHeap;

use super::due::Due;
use crate::scenario::ClosedLoop;
use crate::sched::bins::DROPPED;
use crate::trace::random::{Purpose, Stream};

/// Who sends what, and when.
#[derive(Debug, Clone)]
pub(super) struct Users {
    settings: ClosedLoop,
    /// Of each user, how many requests it has sent.
    sent: Vec<u32>,
    /// Of each user, the think times to come: they belong to the user and its request, whatever
    /// the other users meet.
    think: Vec<Stream>,
    /// Users who have an answer and will send again.
    thinking: BinaryHeap<Due>,
    /// Row of the window that each request takes its lengths from; the i-th of user u is number
    /// u + i x users.
    rows: Vec<u32>,
    /// By row of the window, who sends it.
    sender: Vec<u32>,
    /// By trace row, when it was sent, s.
    pub arrival: Vec<f64>,
    /// Trace rows in the order in which they were sent.
    pub in_order: Vec<u32>,
}

impl Users {
    /// All users are about to send. `bin_of`: by row of the window, which is as long as it must be.
    pub fn new(settings: ClosedLoop, seed: u32, first_row: usize, bin_of: &[u8]) -> Users {
        let users = settings.users;
        let mut rows = Vec::new();
        let mut sender = Vec::with_capacity(bin_of.len());
        let mut turn = 0;
        for (row, &bin) in (0u32..).zip(bin_of) {
            sender.push(turn);
            if bin != DROPPED {
                rows.push(row);
                turn = if turn + 1 == users { 0 } else { turn + 1 };
            }
        }
        Users {
            settings,
            sent: vec![0; users as usize],
            think: (0..users)
                .map(|user| Stream::numbered(seed, Purpose::ThinkTimes, user))
                .collect(),
            thinking: (0..users).map(|who| Due { at_s: 0.0, who }).collect(),
            rows,
            sender,
            arrival: vec![0.0; first_row + bin_of.len()],
            in_order: Vec::with_capacity(bin_of.len()),
        }
    }

    /// When the next request is sent; infinity when nobody is about to send one.
    pub fn next_s(&self) -> f64 {
        self.thinking.peek().map_or(f64::INFINITY, |next| next.at_s)
    }

    /// The next request is sent; gives its row of the window.
    pub fn send(&mut self, first_row: usize) -> Option<usize> {
        let Due { at_s, who } = self.thinking.pop()?;
        let sent = &mut self.sent[who as usize];
        let number = who as usize + *sent as usize * self.settings.users as usize;
        *sent += 1;
        let row = self.rows[number] as usize;
        self.arrival[first_row + row] = at_s;
        self.in_order.push((first_row + row) as u32);
        Some(row)
    }

    /// The senders of these trace rows have their answers.
    pub fn answer(&mut self, rows: &[u32], first_row: usize, now_s: f64) {
        let ClosedLoop {
            think_min_s: least,
            think_max_s: most,
            ..
        } = self.settings;
        for &row in rows {
            let who = self.sender[row as usize - first_row];
            if self.sent[who as usize] < self.settings.requests_per_user {
                let think_s = least + (most - least) * self.think[who as usize].uniform();
                self.thinking.push(Due {
                    at_s: now_s + think_s,
                    who,
                });
            }
        }
    }
}
