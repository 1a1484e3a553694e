//! The replicas together: who ends first, and where a request goes.

use super::replica::{Context, Replica};
use crate::sched::continuous::router::Router;
use crate::trace::random::{Purpose, Stream};

/// When each replica's steps end: a tree of winners, so that the first is at hand and a change costs as
/// many comparisons as the tree is high.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// Leaves from `leaves` on; each inner node is the smaller of its two.
    tree: Vec<f64>,
    leaves: usize,
}

impl Ends {
    pub fn new(replicas: usize) -> Ends {
        let leaves = replicas.next_power_of_two();
        Ends {
            tree: vec![f64::INFINITY; 2 * leaves],
            leaves,
        }
    }

    /// s; infinity when all rest.
    #[inline]
    pub fn first_s(&self) -> f64 {
        self.tree[1]
    }

    /// Who ends first; of several the lowest.
    #[inline]
    pub fn first(&self) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if self.tree[node] > self.tree[node + 1] {
                node += 1;
            }
        }
        node - self.leaves
    }

    #[inline]
    pub fn set(&mut self, replica: usize, end_s: f64) {
        let mut node = self.leaves + replica;
        self.tree[node] = end_s;
        while node > 1 {
            node /= 2;
            self.tree[node] = self.tree[2 * node].min(self.tree[2 * node + 1]);
        }
    }
}

/// A router at work.
#[derive(Debug, Clone)]
pub(super) struct Routing {
    router: Router,
    /// Whose turn it is.
    turn: usize,
    random: Stream,
    /// Bins, for affinity.
    bins: usize,
    replicas: usize,
}

impl Routing {
    pub fn new(router: Router, seed: u32, bins: usize, replicas: u16) -> Routing {
        Routing {
            router,
            turn: 0,
            random: Stream::new(seed, Purpose::Routing),
            bins,
            replicas: usize::from(replicas),
        }
    }

    /// Whether the choice depends on what the replicas' caches hold at this moment.
    pub fn looks_into_caches(&self) -> bool {
        self.router == Router::PrefixAffinity
    }

    /// Chooses the replica for a request that has arrived.
    pub fn choose(&mut self, replicas: &[Replica], row: u32, bin: u8, cx: &Context<'_>) -> usize {
        let count = self.replicas;
        if count == 1 && !matches!(self.router, Router::Random | Router::PowerOfTwo) {
            return 0;
        }
        match self.router {
            Router::RoundRobin => self.in_turn(),
            Router::Random => self.random.below(count as u32) as usize,
            Router::LeastRequests => fewest(replicas, 0..count),
            Router::LeastWork => {
                let works = replicas.iter().map(|replica| replica.work).enumerate();
                works
                    .min_by_key(|&(at, work)| (work, at))
                    .map_or(0, |w| w.0)
            }
            Router::PowerOfTwo => {
                let one = self.random.below(count as u32) as usize;
                if count == 1 {
                    return 0;
                }
                let mut other = self.random.below(count as u32 - 1) as usize;
                other += usize::from(other >= one);
                if replicas[other].requests() < replicas[one].requests() {
                    other
                } else {
                    one
                }
            }
            Router::BinAffinity => {
                let bin = usize::from(bin);
                let from = bin * count / self.bins;
                let to = ((bin + 1) * count / self.bins).max(from + 1);
                fewest(replicas, from..to)
            }
            Router::PrefixAffinity => {
                let units = cx.rows.units(row, cx.rules.unit);
                let found = |at: usize| replicas[at].found_units(units, cx.rules);
                let most = (0..count).map(found).max().unwrap_or(0);
                let best = (0..count).filter(|&at| found(at) == most);
                best.min_by_key(|&at| (replicas[at].requests(), at))
                    .unwrap_or(0)
            }
            Router::SessionSticky => match cx.rows.session(row) {
                Some(session) => session as usize % count,
                None => self.in_turn(),
            },
        }
    }

    fn in_turn(&mut self) -> usize {
        let turn = self.turn;
        self.turn = if turn + 1 == self.replicas {
            0
        } else {
            turn + 1
        };
        turn
    }
}

/// The replica with the fewest requests; of several the lowest.
fn fewest(replicas: &[Replica], among: std::ops::Range<usize>) -> usize {
    let first = among.start;
    let loads = replicas[among].iter().map(Replica::requests);
    let mut best = (u32::MAX, first);
    for (load, at) in loads.zip(first..) {
        if load < best.0 {
            best = (load, at);
        }
    }
    best.1
}
