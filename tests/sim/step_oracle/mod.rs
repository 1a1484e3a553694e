//! Continuous batching once more, from docs/MODEL.md ("Continuous batching"): step by step, block by block,
//! as plainly as possible. Nothing is jumped over and nothing is clever; the engine is held against it.

use std::collections::{BTreeMap, VecDeque};

use batchscope::latency::{Chunk, StepModel, StepWork};
use batchscope::sched::continuous::kv::{Capacity, Eviction, Preemption, Reuse};
use batchscope::sched::continuous::router::Router;
use batchscope::sched::continuous::speculative::uniform;
use batchscope::sched::continuous::{Order, Rule, Server};
use batchscope::sim::continuous::Fate;
use batchscope::trace::NO_SESSION;
use batchscope::{Scenario, Trace};

/// What came of a run.
#[derive(Debug, Default)]
pub struct Told {
    pub joined_s: Vec<f64>,
    pub first_s: Vec<f64>,
    pub done_s: Vec<f64>,
    pub replica: Vec<u16>,
    pub fate: Vec<Fate>,
    pub gaps: Vec<f64>,
    /// When each output token came, s.
    pub tokens_s: Vec<f64>,
    pub steps: u64,
    pub decoded: f64,
    pub context: f64,
    pub prefilled: f64,
    pub pairs: f64,
    pub busy_s: Vec<f64>,
    pub preemptions: u64,
    pub recomputed: u64,
    pub swapped_blocks: u64,
    pub swap_s: f64,
    pub peak_blocks: u64,
    pub peak_tokens: u64,
    pub token_s: f64,
    pub looked_up: u64,
    pub found: u64,
    pub evictions: u64,
    pub eviction_s: f64,
    pub proposed: u64,
    pub accepted: u64,
    pub end_s: f64,
    /// Requests that kept place and blocks for one step more, units of answers that a next turn can find, and steps
    /// that unequal contexts made longer.
    pub lingered: u64,
    pub answer_units: u64,
    pub skewed: u64,
    /// How often power-of-two chose the one replica that was fuller than all others.
    pub chosen_fullest: u64,
    /// Two moments were so near that rounding decides which comes first: a run in closed form may see them
    /// the other way round.
    pub near_tie: bool,
    /// Replica, start, end, decoding sequences, tokens in the cache of every step.
    pub log: Vec<(usize, f64, f64, u32, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Empty,
    Own { row: usize, index: usize },
    Session { session: u32, index: usize },
    Unit { unit: u32 },
}

#[derive(Debug, Clone)]
struct Block {
    content: Content,
    uses: u32,
}

#[derive(Debug, Clone, Default)]
struct Unit {
    blocks: Vec<usize>,
    users: u32,
    uses: u32,
}

#[derive(Debug, Clone)]
struct Request {
    row: usize,
    prompt: u32,
    output: u32,
    bin: u8,
    emitted: u32,
    /// Tokens in the cache.
    cached: u32,
    /// Tokens after which the prompt (or what stands for it) is processed.
    target: u32,
    decoding: bool,
    blocks: Vec<usize>,
    /// For each whole unit that is passed, its hash if it is shared.
    units: Vec<Option<u32>>,
    last_token_s: Option<f64>,
    /// Came back from the host since it joined: it shares nothing.
    swapped: bool,
    /// In the step at hand.
    chunk: u32,
    drafted: u32,
    runs: bool,
}

#[derive(Debug, Clone)]
struct Waiter {
    row: usize,
    bin: u8,
    arrival_s: f64,
    /// A preempted request.
    again: Option<Request>,
    on_host: bool,
}

struct Replica {
    blocks: Vec<Block>,
    /// Blocks that nobody uses, front first.
    free: VecDeque<usize>,
    limited: bool,
    in_use: u64,
    units: BTreeMap<u32, Unit>,
    session_uses: BTreeMap<u32, u32>,
    waiting: Vec<Waiter>,
    running: Vec<Request>,
    bin: u8,
    bin_since_s: f64,
    end_s: f64,
    start_s: f64,
    /// Rows that arrived at this moment, at which a step begins.
    newcomers: Vec<usize>,
    /// When the last step ended, s.
    ended_s: f64,
    /// Answered in the last step; place and blocks come back one step later (asynchronous scheduling).
    lingering: Vec<Request>,
}

pub struct Oracle<'a> {
    trace: &'a Trace,
    scenario: &'a Scenario,
    server: &'a Server,
    model: StepModel,
    predicted: &'a [u32],
    bin_of: &'a [u8],
    block: u32,
    /// Blocks of a replica.
    capacity: Option<u64>,
    unit_tokens: u32,
    /// Rows that are replayed, from the first.
    window: usize,
    replicas: Vec<Replica>,
    told: Told,
    answered: Vec<usize>,
    arrival_s: Vec<f64>,
    /// Key and number of arrival by row: the order of those that wait, and who is preempted last.
    place: Vec<(f64, usize)>,
    arrivals: usize,
    turn: usize,
}

fn blocks_for(tokens: u32, block: u32) -> usize {
    tokens.div_ceil(block) as usize
}

/// Runs a scenario over all rows of a trace. `predicted` and `bin_of` by row; `chosen`: where the random
/// routers sent each request.
pub fn run(
    trace: &Trace,
    scenario: &Scenario,
    predicted: &[u32],
    bin_of: &[u8],
    chosen: &[u16],
) -> Told {
    let Some(server) = scenario.server() else {
        panic!("not continuous");
    };
    let memory = scenario.memory();
    let block = server.kv.block_tokens;
    let capacity = match server.kv.capacity {
        Capacity::Unlimited => None,
        Capacity::Blocks(blocks) => Some(u64::from(blocks)),
        Capacity::Memory => {
            let tp = f64::from(server.tensor_parallel);
            let free = tp * (memory.capacity_gb - memory.margin_gb) - memory.model_gb;
            Some((free / (memory.kv_gb_per_token * f64::from(block))).floor() as u64)
        }
    };
    let null = u64::from(server.kv.null_block);
    let capacity = capacity.map(|blocks| blocks - null);
    let rows = trace.len();
    let count = (scenario.fleet.gpus / server.tensor_parallel) as usize;
    let replicas = (0..count)
        .map(|_| {
            let total = capacity.unwrap_or(0) as usize;
            Replica {
                blocks: vec![
                    Block {
                        content: Content::Empty,
                        uses: 0
                    };
                    total
                ],
                free: (0..total).collect(),
                limited: capacity.is_some(),
                in_use: 0,
                units: BTreeMap::new(),
                session_uses: BTreeMap::new(),
                waiting: Vec::new(),
                running: Vec::new(),
                bin: 0,
                bin_since_s: 0.0,
                end_s: f64::INFINITY,
                start_s: 0.0,
                newcomers: Vec::new(),
                ended_s: f64::NAN,
                lingering: Vec::new(),
            }
        })
        .collect();
    let unit_tokens = trace.prefix.as_ref().map_or(0, |p| p.tokens_per_block);
    let mut oracle = Oracle {
        trace,
        scenario,
        server,
        model: server.latency.model(),
        predicted,
        bin_of,
        block,
        capacity,
        unit_tokens,
        window: rows,
        replicas,
        told: Told {
            joined_s: vec![f64::NAN; rows],
            first_s: vec![f64::NAN; rows],
            done_s: vec![f64::NAN; rows],
            replica: vec![0; rows],
            fate: vec![Fate::Dropped; rows],
            busy_s: vec![0.0; count],
            ..Told::default()
        },
        answered: Vec::new(),
        arrival_s: vec![f64::NAN; rows],
        place: vec![(f64::NAN, 0); rows],
        arrivals: 0,
        turn: 0,
    };
    oracle.go(chosen);
    oracle.told
}

impl Oracle<'_> {
    fn go(&mut self, chosen: &[u16]) {
        let rows: Vec<usize> = (0..self.trace.len())
            .filter(|&row| self.trace.output[row] > 0)
            .collect();
        let zero = self.trace.arrival[rows[0]];
        let scale = self.scenario.workload.time_scale;
        // Arrivals to come: time, order at one moment, row.
        let mut arrivals: Vec<(f64, usize, usize)> = Vec::new();
        let users = self.scenario.workload.closed_loop;
        let mut sent = Vec::new();
        match users {
            None => {
                for &row in &rows {
                    arrivals.push(((self.trace.arrival[row] - zero) / scale, row, row));
                }
            }
            Some(users) => {
                assert_eq!(users.think_min_s, users.think_max_s);
                for (user, &row) in rows.iter().enumerate().take(users.users as usize) {
                    arrivals.push((0.0, user, row));
                }
                sent = vec![1; users.users as usize];
                self.window = rows[(users.users * users.requests_per_user) as usize - 1] + 1;
            }
        }
        let closed = &self.scenario.workload.closed_loop;
        let pauses = closed.as_ref().is_some_and(|users| users.think_min_s > 0.0);
        let mut patience: Vec<(f64, usize, usize)> = Vec::new();
        let mut before = f64::NEG_INFINITY;
        loop {
            arrivals.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            patience.retain(|&(_, row, _)| {
                self.told.joined_s[row].is_nan() && self.told.fate[row] == Fate::Dropped
            });
            let ends = self.replicas.iter().map(|r| r.end_s);
            let now = ends
                .chain(arrivals.first().map(|a| a.0))
                .chain(patience.iter().map(|p| p.0))
                .fold(f64::INFINITY, f64::min);
            if now == f64::INFINITY {
                return;
            }
            self.told.near_tie |= now > before && now - before < 1e-9 * now.max(1.0);
            // A pause after one sum of steps may end with another sum of them: exactly so here, where each step is
            // added, and an ulp apart where a jump multiplies.
            self.told.near_tie |= pauses
                && now > 0.0
                && arrivals.first().is_some_and(|a| a.0 == now)
                && self.replicas.iter().any(|r| r.end_s == now);
            before = now;
            // Steps that end, arrivals, steps that begin, time-outs; what answers at this moment may bring
            // more arrivals.
            for number in 0..self.replicas.len() {
                if self.replicas[number].end_s == now {
                    self.end_step(number, now);
                }
            }
            self.answer(users, &rows, &mut sent, &mut arrivals, now);
            loop {
                arrivals.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                if arrivals.first().is_none_or(|a| a.0 > now) {
                    break;
                }
                let (_, _, row) = arrivals.remove(0);
                self.arrive(row, now, chosen, &mut patience);
                self.answer(users, &rows, &mut sent, &mut arrivals, now);
            }
            for number in 0..self.replicas.len() {
                if self.replicas[number].end_s == f64::INFINITY {
                    self.begin(number, now);
                    self.reject(number);
                }
            }
            self.answer(users, &rows, &mut sent, &mut arrivals, now);
            // Arrivals at this very moment come before those that give up.
            if arrivals.iter().any(|arrival| arrival.0 <= now) {
                continue;
            }
            patience.retain(|&(at, row, number)| {
                let waits =
                    self.told.joined_s[row].is_nan() && self.told.fate[row] == Fate::Dropped;
                if at == now && waits {
                    self.replicas[number].waiting.retain(|w| w.row != row);
                    self.told.fate[row] = Fate::TimedOut;
                    self.answered.push(row);
                }
                at != now
            });
            self.answer(users, &rows, &mut sent, &mut arrivals, now);
        }
    }

    /// Of those that arrived when a step began and did not join it, rejects the ones that find too many
    /// waiting that came before.
    fn reject(&mut self, number: usize) {
        let Some(most) = self.server.admission.max_waiting else {
            return;
        };
        let newcomers = std::mem::take(&mut self.replicas[number].newcomers);
        for &row in &newcomers {
            let waiting = &mut self.replicas[number].waiting;
            let later = newcomers.iter().skip_while(|&&other| other != row);
            let later: Vec<usize> = later.copied().collect();
            let before = waiting.iter().filter(|w| !later.contains(&w.row)).count();
            if waiting.iter().any(|w| w.row == row) && before >= most as usize {
                waiting.retain(|w| w.row != row);
                self.told.fate[row] = Fate::Rejected;
                self.answered.push(row);
            }
        }
    }

    fn answer(
        &mut self,
        users: Option<batchscope::scenario::ClosedLoop>,
        rows: &[usize],
        sent: &mut [usize],
        arrivals: &mut Vec<(f64, usize, usize)>,
        now: f64,
    ) {
        let answered = std::mem::take(&mut self.answered);
        let Some(users) = users else {
            return;
        };
        for row in answered {
            let place = rows.iter().position(|&r| r == row).unwrap();
            let user = place % users.users as usize;
            if sent[user] < users.requests_per_user as usize {
                let next = rows[user + sent[user] * users.users as usize];
                sent[user] += 1;
                arrivals.push((now + users.think_min_s, user, next));
            }
        }
    }

    fn prompt(&self, row: usize) -> u32 {
        self.trace.prompt[row].max(1)
    }

    fn predicted(&self, row: usize) -> u32 {
        self.predicted.get(row).copied().unwrap_or(0)
    }

    fn session(&self, row: usize) -> Option<u32> {
        let session = self.trace.session.as_ref().map(|s| s[row]);
        session.filter(|&s| s != NO_SESSION)
    }

    /// The whole hash blocks of a prompt.
    fn units(&self, row: usize) -> Vec<u32> {
        match &self.trace.prefix {
            Some(prefix) if self.server.kv.prefix.reuse == Reuse::Hashes => {
                let whole = (self.prompt(row) / prefix.tokens_per_block) as usize;
                prefix.of(row).iter().copied().take(whole).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The blocks of a prompt that belong to its unit number `at`: those whose last token lies in it.
    fn blocks_of_unit(&self, at: usize) -> std::ops::Range<usize> {
        let ends_before = |token: usize| token / self.block as usize;
        let unit = self.unit_tokens as usize;
        ends_before(at * unit)..ends_before((at + 1) * unit)
    }

    /// How many leading units of a prompt are there, up to the last with a block of its own.
    fn found_units(&self, number: usize, row: usize) -> usize {
        let mut found = 0;
        for (at, unit) in self.units(row).iter().enumerate() {
            let blocks = self.blocks_of_unit(at).len();
            if blocks == 0 {
                continue;
            }
            match self.replicas[number].units.get(unit) {
                Some(place) if place.blocks.len() == blocks => found = at + 1,
                _ => break,
            }
        }
        found
    }

    /// The units that a session's next prompt has behind those of this one, if it begins with prompt and answer.
    fn units_of_answer(&self, row: usize) -> Vec<u32> {
        let session = self.session(row);
        let next = (row + 1..self.window)
            .find(|&other| session.is_some() && self.session(other) == session);
        let Some(next) = next else {
            return Vec::new();
        };
        let (mine, its) = (self.units(row), self.units(next));
        let long_enough = self.prompt(next) >= self.prompt(row) + self.trace.output[row];
        if long_enough && its.len() >= mine.len() && its[..mine.len()] == mine[..] {
            its[mine.len()..].to_vec()
        } else {
            Vec::new()
        }
    }

    fn load(&self, number: usize) -> usize {
        let replica = &self.replicas[number];
        replica.waiting.len() + replica.running.len()
    }

    fn fewest(&self, among: std::ops::Range<usize>) -> usize {
        among
            .min_by_key(|&number| (self.load(number), number))
            .unwrap()
    }

    fn route(&mut self, row: usize, chosen: &[u16]) -> usize {
        let count = self.replicas.len();
        match self.server.router {
            Router::RoundRobin => {
                self.turn += 1;
                (self.turn - 1) % count
            }
            Router::Random => usize::from(chosen[row]),
            Router::PowerOfTwo => {
                // Of any two the fuller is never chosen, so the only fullest of all never is.
                let number = usize::from(chosen[row]);
                let others = (0..count).filter(|&other| other != number);
                if count > 1 && others.into_iter().all(|o| self.load(o) < self.load(number)) {
                    self.told.chosen_fullest += 1;
                }
                number
            }
            Router::LeastRequests => self.fewest(0..count),
            Router::LeastWork => {
                let work = |number: usize| -> u64 {
                    let replica = &self.replicas[number];
                    let rows = replica.waiting.iter().map(|w| w.row);
                    rows.chain(replica.running.iter().map(|r| r.row))
                        .map(|row| u64::from(self.prompt(row)) + u64::from(self.predicted(row)))
                        .sum()
                };
                (0..count).min_by_key(|&n| (work(n), n)).unwrap()
            }
            Router::BinAffinity => {
                let bins = self.scenario.bins.cuts.len() + 1;
                let bin = usize::from(self.bin_of[row]);
                let from = bin * count / bins;
                self.fewest(from..((bin + 1) * count / bins).max(from + 1))
            }
            Router::PrefixAffinity => {
                let found = |number: usize| self.found_units(number, row);
                let most = (0..count).map(found).max().unwrap();
                let best: Vec<usize> = (0..count).filter(|&n| found(n) == most).collect();
                *best.iter().min_by_key(|&&n| (self.load(n), n)).unwrap()
            }
            Router::SessionSticky => match self.session(row) {
                Some(session) => session as usize % count,
                None => {
                    self.turn += 1;
                    (self.turn - 1) % count
                }
            },
        }
    }

    fn arrive(
        &mut self,
        row: usize,
        now: f64,
        chosen: &[u16],
        patience: &mut Vec<(f64, usize, usize)>,
    ) {
        self.arrival_s[row] = now;
        let tokens = self.prompt(row) + self.trace.output[row] - 1;
        if let Some(capacity) = self.capacity
            && blocks_for(tokens, self.block) as u64 > capacity
        {
            self.told.fate[row] = Fate::TooLong;
            self.answered.push(row);
            return;
        }
        let number = self.route(row, chosen);
        self.told.replica[row] = number as u16;
        let admission = &self.server.admission;
        let replica = &mut self.replicas[number];
        if let Some(most) = admission.max_waiting {
            if replica.end_s == f64::INFINITY {
                replica.newcomers.push(row);
            } else if replica.waiting.len() >= most as usize {
                self.told.fate[row] = Fate::Rejected;
                self.answered.push(row);
                return;
            }
        }
        let class = self.trace.log_type.as_ref().and_then(|labels| {
            let label = &labels.names[usize::from(labels.ids[row])];
            self.server.classes.iter().find(|c| &c.label == label)
        });
        let ageing = self.server.ageing_per_s * now;
        let key = match self.server.order {
            Order::Fcfs => now,
            Order::Sjf => f64::from(self.predicted(row)) + ageing,
            Order::Edf => {
                let deadline = class.and_then(|c| c.deadline_s);
                now + deadline.unwrap_or(self.scenario.sla.request_s)
            }
            Order::Priority => class.map_or(0.0, |c| c.level) + ageing,
        };
        let bin = if self.server.bins {
            self.bin_of[row]
        } else {
            0
        };
        // Keys of two arrivals may meet (steps of 30 ms, and deadlines 750 ms apart): the sums of times then differ by
        // an ulp, or not, and with them the order.
        let timed = match self.server.order {
            Order::Fcfs | Order::Edf => true,
            Order::Sjf | Order::Priority => ageing > 0.0,
        };
        let near = 1e-9 * key.abs().max(1.0);
        self.told.near_tie |= timed
            && (0..self.trace.len()).any(|other| {
                let apart = (self.place[other].0 - key).abs();
                apart < near && self.arrival_s[other] != now
            });
        self.arrivals += 1;
        self.place[row] = (key, self.arrivals);
        self.replicas[number].waiting.push(Waiter {
            row,
            bin,
            arrival_s: now,
            again: None,
            on_host: false,
        });
        if let Some(timeout) = admission.timeout_s {
            patience.push((now + timeout, row, number));
        }
    }

    // ---- Blocks --------------------------------------------------------------------------------

    fn free_blocks(&self, number: usize) -> usize {
        let replica = &self.replicas[number];
        if replica.limited {
            replica.free.len()
        } else {
            usize::MAX / 2
        }
    }

    /// Takes one block that nobody uses, the content of which is lost.
    fn take_block(&mut self, number: usize) -> usize {
        let lfu = self.server.kv.prefix.eviction == Eviction::Lfu;
        let keeps = self.server.kv.prefix.reuse != Reuse::Off;
        let replica = &mut self.replicas[number];
        replica.in_use += 1;
        if !replica.limited {
            replica.blocks.push(Block {
                content: Content::Empty,
                uses: 0,
            });
            return replica.blocks.len() - 1;
        }
        let place = if lfu && keeps {
            let rank = |id: usize| match replica.blocks[id].content {
                Content::Empty => (0, 0),
                _ => (1, replica.blocks[id].uses),
            };
            (0..replica.free.len())
                .min_by_key(|&place| (rank(replica.free[place]), place))
                .unwrap()
        } else {
            0
        };
        let id = replica.free.remove(place).unwrap();
        let content = replica.blocks[id].content;
        self.told.evictions += match content {
            Content::Empty => 0,
            Content::Own { .. } | Content::Session { .. } => 1,
            // With one block all of the unit are lost.
            Content::Unit { unit } => self.replicas[number].units[&unit].blocks.len() as u64,
        };
        let replica = &mut self.replicas[number];
        replica.blocks[id].content = Content::Empty;
        if let Content::Unit { unit } = content {
            let lost = replica.units.remove(&unit).unwrap();
            for other in lost.blocks {
                replica.blocks[other].content = Content::Empty;
            }
        }
        id
    }

    /// A block comes back, behind all others.
    fn give_block(&mut self, number: usize, id: usize, content: Content, uses: u32) {
        let replica = &mut self.replicas[number];
        replica.in_use -= 1;
        replica.blocks[id] = Block { content, uses };
        replica.free.push_back(id);
    }

    /// Takes a particular block out of those that nobody uses.
    fn claim_block(&mut self, number: usize, id: usize) {
        let replica = &mut self.replicas[number];
        let place = replica.free.iter().position(|&other| other == id).unwrap();
        replica.free.remove(place);
        replica.blocks[id].content = Content::Empty;
        replica.in_use += 1;
    }

    /// Blocks in the queue with the first indices of a piece, without a gap.
    fn piece(&self, number: usize, is: impl Fn(Content) -> Option<usize>) -> Vec<usize> {
        let replica = &self.replicas[number];
        let mut found = BTreeMap::new();
        for &id in &replica.free {
            if let Some(index) = is(replica.blocks[id].content) {
                found.insert(index, id);
            }
        }
        let whole: Vec<usize> = found
            .iter()
            .enumerate()
            .take_while(|(i, (index, _))| i == *index)
            .map(|(_, (_, &id))| id)
            .collect();
        assert_eq!(
            whole.len(),
            found.len(),
            "a piece loses its blocks from behind"
        );
        whole
    }

    fn own_piece(&self, number: usize, row: usize) -> Vec<usize> {
        self.piece(number, |content| match content {
            Content::Own { row: its, index } if its == row => Some(index),
            _ => None,
        })
    }

    fn session_piece(&self, number: usize, session: u32) -> Vec<usize> {
        self.piece(number, |content| match content {
            Content::Session {
                session: its,
                index,
            } if its == session => Some(index),
            _ => None,
        })
    }

    fn forget(&mut self, number: usize, ids: &[usize]) {
        for &id in ids {
            self.replicas[number].blocks[id].content = Content::Empty;
        }
    }

    /// Which blocks of a request are of shared units.
    fn shared_blocks(&self, request: &Request) -> Vec<bool> {
        let mut shared = vec![false; request.blocks.len()];
        for (unit, &is) in request.units.iter().enumerate() {
            if is.is_some() {
                for block in &mut shared[self.blocks_of_unit(unit)] {
                    *block = true;
                }
            }
        }
        shared
    }

    /// Units whose blocks are all full with `tokens` are there from now on.
    fn pass_units(&mut self, number: usize, request: &mut Request, units: &[u32], tokens: u32) {
        let full = (tokens / self.block) as usize;
        while request.units.len() < units.len() {
            let at = request.units.len();
            let range = self.blocks_of_unit(at);
            if range.end > full {
                break;
            }
            let unit = units[at];
            let ids = request.blocks[range].to_vec();
            let replica = &mut self.replicas[number];
            let is_new = !ids.is_empty() && !replica.units.contains_key(&unit);
            if is_new {
                // How often it was used outlives its eviction.
                let uses = replica
                    .session_uses
                    .get(&(unit | 1 << 31))
                    .copied()
                    .unwrap_or(0)
                    + 1;
                replica.session_uses.insert(unit | 1 << 31, uses);
                replica.units.insert(
                    unit,
                    Unit {
                        blocks: ids,
                        users: 1,
                        uses,
                    },
                );
            }
            request.units.push(is_new.then_some(unit));
        }
    }

    /// Blocks of units go back, the last first.
    fn release_units(&mut self, number: usize, request: &Request) {
        for unit in request.units.iter().rev().copied().flatten() {
            let place = self.replicas[number].units.get_mut(&unit).unwrap();
            place.users -= 1;
            if place.users == 0 {
                let (ids, uses) = (place.blocks.clone(), place.uses);
                for &id in ids.iter().rev() {
                    self.give_block(number, id, Content::Unit { unit }, uses);
                }
            }
        }
    }

    /// Takes a request's blocks away: those of its own first, empty; then, of the given kind, its whole blocks;
    /// then its units.
    fn give_all(&mut self, number: usize, request: &Request, keep: Keep) {
        let shared = self.shared_blocks(request);
        let own: Vec<usize> = (0..request.blocks.len()).filter(|&j| !shared[j]).collect();
        let units = self.units(request.row).len();
        let units_end = match units {
            0 => 0,
            some => self.blocks_of_unit(some - 1).end,
        };
        let whole = (request.cached / self.block) as usize;
        let passed_all = request.units.len() >= units;
        let kept: Vec<usize> = match keep {
            Keep::Nothing => Vec::new(),
            _ if !passed_all => Vec::new(),
            _ => own
                .iter()
                .copied()
                .filter(|&j| j >= units_end && j < whole)
                .collect(),
        };
        for &j in own.iter().rev().filter(|j| !kept.contains(j)) {
            self.give_block(number, request.blocks[j], Content::Empty, 0);
        }
        for &j in kept.iter().rev() {
            let index = j - units_end;
            let (content, uses) = match keep {
                Keep::Own => (
                    Content::Own {
                        row: request.row,
                        index,
                    },
                    1,
                ),
                Keep::Session(session) => {
                    let uses = self.replicas[number].session_uses.get(&session);
                    (
                        Content::Session { session, index },
                        uses.copied().unwrap_or(0).max(1),
                    )
                }
                Keep::Nothing => unreachable!(),
            };
            self.give_block(number, request.blocks[j], content, uses);
        }
        self.release_units(number, request);
    }

    // ---- Steps ---------------------------------------------------------------------------------

    fn order(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let (a, b) = (self.place[a], self.place[b]);
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    }

    /// Preempts the last in the order of those that wait; says where it stood among the running ones, and how
    /// many tokens it decodes and proposes in the step at hand.
    fn preempt(&mut self, number: usize, now: f64) -> (usize, u32) {
        let running = &self.replicas[number].running;
        let place = (0..running.len())
            .max_by(|&a, &b| self.order(running[a].row, running[b].row))
            .unwrap();
        let mut request = self.replicas[number].running.remove(place);
        let had = if request.runs && request.decoding {
            1 + request.drafted
        } else {
            0
        };
        self.told.preemptions += 1;
        let on_host = match self.server.kv.preemption {
            Preemption::Swap { .. } => {
                self.told.swapped_blocks += blocks_for(request.cached, self.block) as u64;
                self.give_all(number, &request, Keep::Nothing);
                request.cached > 0
            }
            Preemption::Recompute => {
                let keep = match self.server.kv.prefix.reuse {
                    Reuse::Off => Keep::Nothing,
                    _ => Keep::Own,
                };
                self.give_all(number, &request, keep);
                false
            }
        };
        if request.decoding && request.last_token_s.is_none() {
            request.last_token_s = Some(now);
        }
        request.blocks.clear();
        request.units.clear();
        let (row, bin) = (request.row, request.bin);
        self.replicas[number].waiting.push(Waiter {
            row,
            bin,
            arrival_s: self.arrival_s[row],
            again: Some(request),
            on_host,
        });
        (place, had)
    }

    fn begin(&mut self, number: usize, now: f64) {
        let (swapped, evictions) = (self.told.swapped_blocks, self.told.evictions);
        // With asynchronous scheduling a step is put together when the one before it begins.
        let replica = &self.replicas[number];
        let mut known = now;
        if self.ahead() && replica.ended_s == now {
            known = replica.start_s;
        }
        loop {
            let preempted = self.compose(number, now, known, swapped, evictions);
            let replica = &self.replicas[number];
            if replica.end_s < f64::INFINITY {
                return;
            }
            let unseen = replica.waiting.iter().any(|w| w.arrival_s > known);
            if !replica.lingering.is_empty() || unseen {
                self.let_go(number);
                known = now;
                continue;
            }
            if !preempted {
                return;
            }
        }
    }

    fn ahead(&self) -> bool {
        self.server.async_scheduling
    }

    fn let_go(&mut self, number: usize) {
        let lingering = std::mem::take(&mut self.replicas[number].lingering);
        self.leave(number, lingering);
    }

    fn longest_chunk(&self) -> u32 {
        match self.server.long_prefill_token_threshold {
            0 => u32::MAX,
            _ if self.server.rule == Rule::Orca => u32::MAX,
            most => most,
        }
    }

    /// `swapped`, `evictions`: blocks before this step, whose time has all that follow in it.
    fn compose(
        &mut self,
        number: usize,
        now: f64,
        known: f64,
        swapped: u64,
        evictions: u64,
    ) -> bool {
        let server = self.server;
        let mut preempted = false;
        for request in &mut self.replicas[number].running {
            request.chunk = 0;
            request.drafted = 0;
            request.runs = false;
        }
        let draft = server.speculative.as_ref().map_or(0, |d| d.draft_tokens);
        let mut budget = server.max_batched_tokens;
        let counts = server.rule != Rule::Orca;

        // Those that decode come first, in order of joining, then those with a prompt to process.
        let running = self.replicas[number].running.iter();
        let (decoding, prompts): (Vec<&Request>, Vec<&Request>) = running.partition(|r| r.decoding);
        let order: Vec<usize> = decoding.iter().chain(&prompts).map(|r| r.row).collect();
        for row in order {
            let running = &self.replicas[number].running;
            let Some(mut at) = running.iter().position(|r| r.row == row) else {
                // Preempted for one before it.
                continue;
            };
            let request = &running[at];
            let (tokens, drafted, chunk) = if request.decoding {
                let drafted = draft.min(request.output - request.emitted - 1);
                (request.cached + 1 + drafted, drafted, 0)
            } else {
                let left = request.target - request.cached;
                let chunk = left.min(self.longest_chunk()).min(budget);
                (request.cached + chunk, 0, chunk)
            };
            if !request.decoding && chunk == 0 {
                break;
            }
            let need = blocks_for(tokens, self.block).saturating_sub(request.blocks.len());
            let mut gone = false;
            while self.free_blocks(number) < need {
                preempted = true;
                let (place, had) = self.preempt(number, now);
                // Prompts do not take over what it had of the budget.
                budget += if chunk == 0 && counts { had } else { 0 };
                if place == at {
                    gone = true;
                    break;
                }
                at -= usize::from(place < at);
            }
            if gone {
                continue;
            }
            for _ in 0..need {
                let id = self.take_block(number);
                self.replicas[number].running[at].blocks.push(id);
            }
            let mut request = self.replicas[number].running[at].clone();
            request.chunk = chunk;
            request.drafted = drafted;
            request.runs = true;
            let (units, filled) = (self.units(row), request.cached + chunk);
            self.pass_units(number, &mut request, &units, filled);
            if request.decoding {
                if counts {
                    budget -= 1 + drafted;
                }
            } else {
                budget -= chunk;
            }
            self.replicas[number].running[at] = request;
        }

        if !preempted {
            self.join(number, &mut budget, now, known);
        }

        let replica = &self.replicas[number];
        let sequences: Vec<&Request> = replica
            .running
            .iter()
            .filter(|r| r.runs && r.decoding)
            .collect();
        let mut chunks = Vec::new();
        let mut context = 0u64;
        let mut proposals = 0;
        for request in &sequences {
            context += u64::from(request.cached) + 1;
            if request.drafted > 0 {
                proposals += request.drafted;
                chunks.push(Chunk {
                    tokens: request.drafted,
                    before: request.cached + 1,
                });
            }
        }
        let mut ends = 0;
        for request in replica.running.iter().filter(|r| r.chunk > 0) {
            chunks.push(Chunk {
                tokens: request.chunk,
                before: request.cached,
            });
            ends += u32::from(request.cached + request.chunk == request.target);
        }
        let decoding = sequences.len() as u32;
        if decoding == 0 && chunks.is_empty() {
            return preempted;
        }
        let timed = self.model.step(&StepWork {
            sequences: decoding,
            context,
            chunks: &chunks,
            sampled: decoding + proposals + ends,
        });
        let mut seconds = timed.seconds;
        if decoding > 1 {
            let longest = sequences.iter().map(|r| r.cached + 1).max().unwrap();
            let work = StepWork {
                sequences: decoding,
                context,
                chunks: &chunks,
                sampled: 0,
            };
            let more = self.model.skew(&work, u64::from(longest)).at_s;
            self.told.skewed += u64::from(more > 0.0);
            seconds += more;
        }
        let eviction_s = (self.told.evictions - evictions) as f64 * server.kv.prefix.eviction_s;
        self.told.eviction_s += eviction_s;
        seconds += eviction_s;
        if let Preemption::Swap { gb_per_s } = server.kv.preemption {
            let block_gb = f64::from(self.block) * self.scenario.memory().kv_gb_per_token;
            let s = (self.told.swapped_blocks - swapped) as f64 * block_gb / gb_per_s;
            self.told.swap_s += s;
            seconds += s;
        }
        if let Some(draft) = &server.speculative
            && decoding > 0
        {
            seconds += f64::from(draft.draft_tokens)
                * (draft.draft_s + draft.draft_s_per_sequence * f64::from(decoding));
        }
        self.told.steps += 1;
        self.told.decoded += f64::from(decoding);
        self.told.context += context as f64;
        for chunk in &chunks {
            self.told.prefilled += f64::from(chunk.tokens);
            self.told.pairs += chunk.pairs();
        }
        let replica = &mut self.replicas[number];
        self.told.peak_blocks = self.told.peak_blocks.max(replica.in_use);
        let inside = replica.running.iter().chain(&replica.lingering);
        let held: u64 = inside.map(|r| u64::from(r.cached)).sum();
        self.told.token_s += held as f64 * seconds;
        replica.start_s = now;
        replica.end_s = now + seconds;
        self.told
            .log
            .push((number, now, replica.end_s, decoding, held));
        self.told.busy_s[number] += replica.end_s - now;
        self.told.end_s = self.told.end_s.max(replica.end_s);
        preempted
    }

    /// The first of those that wait, preempted or not: by key, then by arrival.
    fn first_waiting(&self, number: usize, bin: Option<u8>, known: f64) -> Option<usize> {
        let waiting = &self.replicas[number].waiting;
        (0..waiting.len())
            .filter(|&place| waiting[place].arrival_s <= known)
            .filter(|&place| bin.is_none_or(|bin| bin == waiting[place].bin))
            .min_by(|&a, &b| self.order(waiting[a].row, waiting[b].row))
    }

    fn join(&mut self, number: usize, budget: &mut u32, now: f64, known: f64) {
        let server = self.server;
        let lingering = self.replicas[number].lingering.len();
        while ((self.replicas[number].running.len() + lingering) as u32) < server.max_sequences {
            if *budget == 0 && matches!(server.rule, Rule::Vllm | Rule::Sarathi) {
                return;
            }
            let replica = &self.replicas[number];
            let someone = replica.running.len() + lingering > 0;
            let bin = (server.bins && someone).then_some(replica.bin);
            if let Some(bin) = bin {
                let others = replica.waiting.iter();
                let overdue = others
                    .filter(|w| w.arrival_s <= known && w.bin != bin)
                    .map(|w| now - w.arrival_s.max(replica.bin_since_s))
                    .fold(0.0, f64::max);
                let any = replica
                    .waiting
                    .iter()
                    .any(|w| w.bin != bin && w.arrival_s <= known);
                if any && overdue >= server.bin_patience_s {
                    return;
                }
            }
            let Some(place) = self.first_waiting(number, bin, known) else {
                return;
            };
            let waiter = self.replicas[number].waiting[place].clone();
            let spare = match (someone, self.capacity) {
                (true, Some(usable)) => {
                    let total = usable + u64::from(server.kv.null_block);
                    (server.kv.watermark * total as f64).floor() as usize
                }
                _ => 0,
            };
            let Some(request) = self.try_join(number, &waiter, budget, spare) else {
                return;
            };
            let replica = &mut self.replicas[number];
            replica.waiting.remove(place);
            if !someone {
                replica.bin = request.bin;
                replica.bin_since_s = now;
            }
            if waiter.again.is_none() {
                self.told.joined_s[request.row] = now;
            }
            self.replicas[number].running.push(request);
        }
    }

    fn try_join(
        &mut self,
        number: usize,
        waiter: &Waiter,
        budget: &mut u32,
        spare: usize,
    ) -> Option<Request> {
        let server = self.server;
        let row = waiter.row;
        let mut request = waiter.again.clone().unwrap_or(Request {
            row,
            prompt: self.prompt(row),
            output: self.trace.output[row],
            bin: waiter.bin,
            emitted: 0,
            cached: 0,
            target: 0,
            decoding: false,
            blocks: Vec::new(),
            units: Vec::new(),
            last_token_s: None,
            swapped: false,
            chunk: 0,
            drafted: 0,
            runs: false,
        });
        request.runs = true;
        request.chunk = 0;
        request.drafted = 0;
        let whole = matches!(server.rule, Rule::Sarathi | Rule::Orca);
        let must_fit = server.admission.whole_prompt_fits;

        if waiter.on_host {
            let draft = server.speculative.as_ref().map_or(0, |d| d.draft_tokens);
            let tokens = if request.emitted > 0 {
                request.decoding = true;
                request.drafted = draft.min(request.output - request.emitted - 1);
                if server.rule != Rule::Orca && 1 + request.drafted > *budget {
                    return None;
                }
                1 + request.drafted
            } else {
                request.decoding = false;
                request.target = request.prompt;
                let rest = request.prompt - request.cached;
                request.chunk = if server.rule == Rule::Orca {
                    rest
                } else {
                    rest.min(self.longest_chunk()).min(*budget)
                };
                request.chunk
            };
            let covered = if whole && !request.decoding {
                request.prompt
            } else {
                request.cached + tokens
            };
            let need = blocks_for(covered, self.block);
            let asked = if must_fit && !request.decoding {
                blocks_for(request.prompt, self.block)
            } else {
                need
            };
            if asked + spare > self.free_blocks(number) {
                return None;
            }
            for _ in 0..need {
                let id = self.take_block(number);
                request.blocks.push(id);
            }
            // Its blocks are its own: none of its units is shared.
            request.units = vec![None; self.units(row).len()];
            request.swapped = true;
            self.told.swapped_blocks += blocks_for(request.cached, self.block) as u64;
            *budget = budget.saturating_sub(tokens);
            return Some(request);
        }

        request.decoding = false;
        request.swapped = false;
        request.target = request.prompt + request.emitted;
        let lost = request.cached;
        let units = self.units(row);
        let blocks_of = |units: usize| match units {
            0 => 0,
            some => self.blocks_of_unit(some - 1).end,
        };
        let mut found_units = self.found_units(number, row);
        // One token at least is computed.
        while blocks_of(found_units) * self.block as usize >= request.target as usize {
            found_units -= 1;
        }
        let in_units = blocks_of(found_units);
        let most = ((request.target - 1) / self.block) as usize;
        let session = match (server.kv.prefix.reuse, &waiter.again) {
            (Reuse::Sessions, None) => self.session(row),
            _ => None,
        };
        let left = match session {
            Some(session) => self.session_piece(number, session),
            None => self.own_piece(number, row),
        };
        let own = if in_units == blocks_of(units.len()) {
            left.len().min(most - in_units)
        } else {
            0
        };
        let found_blocks = in_units + own;
        let found = found_blocks as u32 * self.block;
        let rest = request.target - found;
        let first_prompt = self.replicas[number].running.iter().all(|r| r.chunk == 0);
        request.chunk = match server.rule {
            Rule::Orca if rest > *budget && !first_prompt => return None,
            Rule::Orca => rest,
            _ => rest.min(self.longest_chunk()).min(*budget),
        };
        let covered = if whole {
            request.target
        } else {
            found + request.chunk
        };
        let need = blocks_for(covered, self.block).saturating_sub(found_blocks);
        let asked = if must_fit {
            blocks_for(request.target, self.block) - found_blocks
        } else {
            need
        };
        // Blocks that are found and nobody uses are no longer free either.
        let unused: usize = (0..found_units)
            .map(|at| (self.blocks_of_unit(at).len(), &units[at]))
            .filter(|&(blocks, u)| blocks > 0 && self.replicas[number].units[u].users == 0)
            .map(|(blocks, _)| blocks)
            .sum::<usize>()
            + own;
        if asked + unused + spare > self.free_blocks(number) {
            return None;
        }
        for (at, unit) in units[..found_units].iter().enumerate() {
            if self.blocks_of_unit(at).is_empty() {
                request.units.push(None);
                continue;
            }
            let place = self.replicas[number].units.get_mut(unit).unwrap();
            place.users += 1;
            place.uses += 1;
            let (ids, users, uses) = (place.blocks.clone(), place.users, place.uses);
            self.replicas[number]
                .session_uses
                .insert(unit | 1 << 31, uses);
            if users == 1 {
                for &id in &ids {
                    self.claim_block(number, id);
                }
            }
            request.blocks.extend(ids);
            request.units.push(Some(*unit));
        }
        for &id in &left[..own] {
            self.claim_block(number, id);
            request.blocks.push(id);
        }
        self.forget(number, &left[own..]);
        if let Some(session) = session
            && !left.is_empty()
        {
            *self.replicas[number]
                .session_uses
                .entry(session)
                .or_insert(0) += 1;
        }
        for _ in 0..need {
            let id = self.take_block(number);
            request.blocks.push(id);
        }
        request.cached = found;
        let filled = found + request.chunk;
        self.pass_units(number, &mut request, &units, filled);
        if waiter.again.is_none() {
            if server.kv.prefix.reuse != Reuse::Off {
                self.told.looked_up += u64::from(request.prompt);
                self.told.found += u64::from(found);
            }
        } else {
            self.told.recomputed += u64::from(lost.saturating_sub(found));
            self.told.looked_up += u64::from(found.saturating_sub(lost));
            self.told.found += u64::from(found.saturating_sub(lost));
        }
        *budget = budget.saturating_sub(request.chunk);
        Some(request)
    }

    fn end_step(&mut self, number: usize, now: f64) {
        let start_s = self.replicas[number].start_s;
        let mut running = std::mem::take(&mut self.replicas[number].running);
        // Those that decode leave before those whose prompt ends.
        let mut ended_prompts = Vec::new();
        for request in running.iter_mut().filter(|r| r.runs) {
            if !request.decoding {
                ended_prompts.push(request.row);
            }
            let gap = request
                .last_token_s
                .map_or(now - start_s, |last| now - last);
            if request.decoding {
                let mut tokens = 1;
                if let Some(draft) = &self.server.speculative {
                    let u = uniform(self.scenario.seed, request.row as u32, request.emitted);
                    let accepted = draft.accepted(request.drafted, u);
                    self.told.proposed += u64::from(request.drafted);
                    self.told.accepted += u64::from(accepted);
                    tokens += accepted;
                }
                self.told.gaps.push(gap);
                self.told.tokens_s.extend((0..tokens).map(|_| now));
                for _ in 1..tokens {
                    self.told.gaps.push(0.0);
                }
                request.emitted += tokens;
                request.cached += tokens;
                request.last_token_s = None;
            } else {
                request.cached += request.chunk;
                if request.cached == request.target {
                    if request.emitted == 0 {
                        self.told.first_s[request.row] = now;
                    } else {
                        self.told.gaps.push(now - request.last_token_s.unwrap());
                    }
                    self.told.tokens_s.push(now);
                    request.last_token_s = None;
                    request.emitted += 1;
                    request.decoding = true;
                }
            }
        }
        let inside = running.iter().chain(&self.replicas[number].lingering);
        let held: u64 = inside.map(|r| u64::from(r.cached)).sum();
        self.told.peak_tokens = self.told.peak_tokens.max(held);
        let replica = &mut self.replicas[number];
        replica.end_s = f64::INFINITY;
        replica.ended_s = now;
        let (mut done, rest): (Vec<Request>, Vec<Request>) =
            running.into_iter().partition(|r| r.emitted == r.output);
        done.sort_by_key(|r| ended_prompts.contains(&r.row));
        replica.running = rest;
        if self.ahead() {
            // Places and blocks of those that were done before.
            self.let_go(number);
            self.tell_done(&done, now);
            self.told.lingered += done.len() as u64;
            self.replicas[number].lingering = done;
        } else {
            self.tell_done(&done, now);
            self.leave(number, done);
        }
    }

    fn tell_done(&mut self, done: &[Request], now: f64) {
        for request in done {
            self.told.done_s[request.row] = now;
            self.told.fate[request.row] = Fate::Done;
            self.answered.push(request.row);
        }
    }

    fn leave(&mut self, number: usize, done: Vec<Request>) {
        for mut request in done {
            let mut units = self.units(request.row);
            // Whole blocks of the answer have the hashes that the next turn's prompt has for them.
            let whole = request.units.len() == units.len() && !request.swapped;
            if self.server.kv.prefix.reuse == Reuse::Hashes && whole {
                units.extend(self.units_of_answer(request.row));
                let cached = request.cached;
                let before = request.units.len();
                self.pass_units(number, &mut request, &units, cached);
                let passed = request.units[before..].iter().flatten().count();
                self.told.answer_units += passed as u64;
            }
            let keep = match (self.server.kv.prefix.reuse, self.session(request.row)) {
                (Reuse::Sessions, Some(session)) => Keep::Session(session),
                _ => Keep::Nothing,
            };
            if let Keep::Session(session) = keep {
                // Partial blocks come back first, then what was there before is empty.
                let old = self.session_piece(number, session);
                self.forget(number, &old);
                let uses = self.replicas[number]
                    .session_uses
                    .entry(session)
                    .or_insert(0);
                *uses = (*uses).max(1);
            }
            self.give_all(number, &request, keep);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Keep {
    Nothing,
    Own,
    Session(u32),
}
