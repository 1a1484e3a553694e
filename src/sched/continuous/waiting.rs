//! Those that wait at a replica: queues per bin, in the order of their keys, and in front of them those
//! that were preempted.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::kv::Left;

/// A request that was preempted, and what it takes along.
#[derive(Debug, Clone, Copy)]
pub struct Preempted {
    pub row: u32,
    pub bin: u8,
    /// Tokens it has so far.
    pub emitted: u32,
    /// When the last of them came, s; NaN where there is none.
    pub last_token_s: f64,
    /// Tokens of keys and values that are in the host's memory.
    pub swapped: u32,
    /// What it left in the cache.
    pub left: Left,
    /// Tokens that it had processed, to tell what is computed again.
    pub processed: u32,
}

/// Who is next.
#[derive(Debug, Clone, Copy)]
pub enum Head {
    New { row: u32, bin: u8 },
    Again(Preempted),
}

/// The queues of a replica.
#[derive(Debug, Clone)]
pub struct Waiting {
    preempted: Vec<Preempted>,
    bins: Vec<Queue>,
    /// Requests that arrived and that the scheduler has not seen, in order of arrival: bin and key.
    unseen: VecDeque<(u8, Keyed)>,
    /// Requests that wait, both kinds.
    count: u32,
    /// Requests that ever arrived.
    arrivals: u32,
}

#[derive(Debug, Clone, Default)]
struct Queue {
    /// In order of arrival; some may be gone.
    arrived: VecDeque<Keyed>,
    /// In order of keys, where that is another; some may be gone.
    keyed: Option<BinaryHeap<Keyed>>,
}

/// The smallest key is the greatest.
#[derive(Debug, Clone, Copy)]
struct Keyed {
    key: f64,
    arrival_s: f64,
    /// Number of its arrival at this replica.
    number: u32,
    row: u32,
}

impl Ord for Keyed {
    fn cmp(&self, other: &Keyed) -> Ordering {
        let keys = other.key.total_cmp(&self.key);
        keys.then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Keyed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Keyed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Keyed {}

impl Waiting {
    pub fn new(bins: usize, by_key: bool) -> Waiting {
        let queue = Queue {
            arrived: VecDeque::new(),
            keyed: by_key.then(BinaryHeap::new),
        };
        Waiting {
            preempted: Vec::new(),
            bins: vec![queue; bins.max(1)],
            unseen: VecDeque::new(),
            count: 0,
            arrivals: 0,
        }
    }

    /// How many wait.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A request arrived; it joins the queue when [`Waiting::see`] is called. `key` counts only where an order by
    /// keys was asked for.
    pub fn push_unseen(&mut self, row: u32, bin: u8, key: f64, arrival_s: f64) {
        let request = Keyed {
            key,
            arrival_s,
            number: self.arrivals,
            row,
        };
        self.unseen.push_back((bin, request));
        self.arrivals += 1;
        self.count += 1;
    }

    /// Whether there are requests that are not in the queue yet.
    pub fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// Those that arrived until `until_s` join the queue.
    pub fn see(&mut self, until_s: f64) {
        while let Some(&(bin, request)) = self.unseen.front()
            && request.arrival_s <= until_s
        {
            self.unseen.pop_front();
            self.enqueue(bin, request);
        }
    }

    /// A request arrived. `key` counts only where an order by keys was asked for.
    pub fn push(&mut self, row: u32, bin: u8, key: f64, arrival_s: f64) {
        let request = Keyed {
            key,
            arrival_s,
            number: self.arrivals,
            row,
        };
        self.arrivals += 1;
        self.count += 1;
        self.enqueue(bin, request);
    }

    fn enqueue(&mut self, bin: u8, request: Keyed) {
        let queue = &mut self.bins[usize::from(bin)];
        queue.arrived.push_back(Keyed {
            key: request.arrival_s,
            ..request
        });
        if let Some(keyed) = &mut queue.keyed {
            keyed.push(request);
        }
    }

    /// A request was preempted: it comes before all others.
    pub fn preempt(&mut self, request: Preempted) {
        self.preempted.push(request);
        self.count += 1;
    }

    /// A request that waited is gone; the queues will pass over it.
    pub fn gone(&mut self) {
        self.count -= 1;
    }

    /// The first of those that wait, of one bin or of all. `waits`: whether a row still waits.
    pub fn head(&mut self, bin: Option<u8>, waits: impl Fn(u32) -> bool + Copy) -> Option<Head> {
        if let Some(&last) = self.preempted.last()
            && bin.is_none_or(|bin| bin == last.bin)
        {
            return Some(Head::Again(last));
        }
        match bin {
            Some(bin) => {
                let queue = &mut self.bins[usize::from(bin)];
                queue.first(waits).map(|first| Head::New {
                    row: first.row,
                    bin,
                })
            }
            None => {
                let firsts = self.bins.iter_mut().enumerate();
                firsts
                    .filter_map(|(bin, queue)| Some((queue.first(waits)?, bin)))
                    .max_by(|a, b| a.0.cmp(&b.0))
                    .map(|(first, bin)| Head::New {
                        row: first.row,
                        // There are at most 256 bins.
                        bin: bin as u8,
                    })
            }
        }
    }

    /// The head joined.
    pub fn pop(&mut self, head: &Head) {
        self.count -= 1;
        match *head {
            Head::Again(_) => {
                self.preempted.pop();
            }
            Head::New { bin, .. } => {
                let queue = &mut self.bins[usize::from(bin)];
                match &mut queue.keyed {
                    Some(keyed) => {
                        keyed.pop();
                    }
                    None => {
                        queue.arrived.pop_front();
                    }
                }
            }
        }
    }

    /// When the one arrived that has waited longest in bins other than this (`None`: in any), s, and
    /// its row; preempted ones do not count.
    pub fn oldest_but(
        &mut self,
        bin: Option<u8>,
        waits: impl Fn(u32) -> bool + Copy,
    ) -> Option<(f64, u32)> {
        let queues = (0u8..).zip(self.bins.iter_mut());
        queues
            .filter(|&(other, _)| bin != Some(other))
            .filter_map(|(_, queue)| queue.oldest(waits))
            .max()
            .map(|oldest| (oldest.arrival_s, oldest.row))
    }
}

impl Queue {
    fn oldest(&mut self, waits: impl Fn(u32) -> bool) -> Option<Keyed> {
        while let Some(&first) = self.arrived.front() {
            if waits(first.row) {
                return Some(first);
            }
            self.arrived.pop_front();
        }
        None
    }

    fn first(&mut self, waits: impl Fn(u32) -> bool) -> Option<Keyed> {
        let Some(keyed) = &mut self.keyed else {
            return self.oldest(waits);
        };
        while let Some(&first) = keyed.peek() {
            if waits(first.row) {
                return Some(first);
            }
            keyed.pop();
        }
        None
    }
}
