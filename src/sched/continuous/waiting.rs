//! The requests that wait at a replica: queues per bin, in the order of their keys. A preempted request
//! goes back to its place in that order.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::kv::Left;

/// A request's place in the order of its replica: the smallest key is the most urgent, and among equal
/// keys the first arrival.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    pub key: f64,
    pub arrival_s: f64,
    /// Number of its arrival at this replica.
    pub number: u32,
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        let keys = self.key.total_cmp(&other.key);
        keys.then_with(|| self.number.cmp(&other.number))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place {}

/// A request that was preempted, and what it takes along.
#[derive(Debug, Clone, Copy)]
pub struct Preempted {
    pub row: u32,
    pub bin: u8,
    pub place: Place,
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
    New { row: u32, bin: u8, place: Place },
    Again(Preempted),
}

/// The queues of a replica.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The most urgent last.
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

/// The most urgent is the greatest, so that it is on top of a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keyed {
    place: Place,
    row: u32,
}

impl Ord for Keyed {
    fn cmp(&self, other: &Keyed) -> Ordering {
        other.place.cmp(&self.place)
    }
}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Keyed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

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
        let request = self.arrives(row, key, arrival_s);
        self.unseen.push_back((bin, request));
    }

    fn arrives(&mut self, row: u32, key: f64, arrival_s: f64) -> Keyed {
        let place = Place {
            key,
            arrival_s,
            number: self.arrivals,
        };
        self.arrivals += 1;
        self.count += 1;
        Keyed { place, row }
    }

    /// Whether there are requests that are not in the queue yet.
    pub fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// Those that arrived until `until_s` join the queue.
    pub fn see(&mut self, until_s: f64) {
        while let Some(&(bin, request)) = self.unseen.front()
            && request.place.arrival_s <= until_s
        {
            self.unseen.pop_front();
            self.enqueue(bin, request);
        }
    }

    /// A request arrived. `key` counts only where an order by keys was asked for.
    pub fn push(&mut self, row: u32, bin: u8, key: f64, arrival_s: f64) {
        let request = self.arrives(row, key, arrival_s);
        self.enqueue(bin, request);
    }

    fn enqueue(&mut self, bin: u8, Keyed { place, row }: Keyed) {
        let queue = &mut self.bins[usize::from(bin)];
        if let Some(keyed) = &mut queue.keyed {
            keyed.push(Keyed { place, row });
        }
        let place = Place {
            key: place.arrival_s,
            ..place
        };
        queue.arrived.push_back(Keyed { place, row });
    }

    /// A request was preempted: it goes back to its place.
    pub fn preempt(&mut self, request: Preempted) {
        let behind = |other: &Preempted| other.place > request.place;
        let at = self.preempted.partition_point(behind);
        self.preempted.insert(at, request);
        self.count += 1;
    }

    /// A request that waited is gone; the queues will pass over it.
    pub fn gone(&mut self) {
        self.count -= 1;
    }

    /// The first of those that wait, of one bin or of all. `waits`: whether a row still waits.
    pub fn head(&mut self, bin: Option<u8>, waits: impl Fn(u32) -> bool + Copy) -> Option<Head> {
        let first = match bin {
            Some(bin) => {
                let queue = &mut self.bins[usize::from(bin)];
                queue.first(waits).map(|first| (first, bin))
            }
            None => (0u8..=u8::MAX)
                .zip(self.bins.iter_mut())
                .filter_map(|(bin, queue)| Some((queue.first(waits)?, bin)))
                .max_by(|a, b| a.0.cmp(&b.0)),
        };
        let again = self.first_preempted(bin).map(|at| self.preempted[at]);
        match (again, first) {
            (Some(again), Some((first, _))) if again.place < first.place => {
                Some(Head::Again(again))
            }
            (Some(again), None) => Some(Head::Again(again)),
            (_, first) => first.map(|(first, bin)| Head::New {
                row: first.row,
                bin,
                place: first.place,
            }),
        }
    }

    /// Where the most urgent of those preempted is, of one bin or of all.
    fn first_preempted(&self, bin: Option<u8>) -> Option<usize> {
        let mut preempted = self.preempted.iter();
        preempted.rposition(|request| bin.is_none_or(|bin| bin == request.bin))
    }

    /// The head joined.
    pub fn pop(&mut self, head: &Head) {
        self.count -= 1;
        match *head {
            Head::Again(again) => {
                let mut preempted = self.preempted.iter();
                if let Some(at) = preempted.rposition(|request| request.row == again.row) {
                    self.preempted.remove(at);
                }
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

    /// When the first of those that wait in bins other than this arrived (`None`: in any), s.
    pub fn oldest_but(
        &mut self,
        bin: Option<u8>,
        waits: impl Fn(u32) -> bool + Copy,
    ) -> Option<f64> {
        let queues = (0u8..=u8::MAX).zip(self.bins.iter_mut());
        let new = queues
            .filter(|&(other, _)| bin != Some(other))
            .filter_map(|(_, queue)| queue.oldest(waits))
            .map(|oldest| oldest.place.arrival_s);
        let again = self.preempted.iter();
        let again = again
            .filter(|request| bin != Some(request.bin))
            .map(|request| request.place.arrival_s);
        new.chain(again).min_by(f64::total_cmp)
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
