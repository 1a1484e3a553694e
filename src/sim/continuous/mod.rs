//! The continuous engine: replicas whose requests join and leave at every step (docs/MODEL.md,
//! "Continuous batching").
//!
//! Events at one moment: steps that end, the lowest replica first; arrivals; all replicas that can begin a
//! step begin it; then requests that wait give up.

mod fleet;
mod gaps;
mod record;
mod replica;
mod series;

use std::collections::VecDeque;

use super::record::{Prediction, Requests, WorkloadReport};
use super::users::Users;
use super::workload::Prepared;
use crate::latency::StepModel;
use crate::scenario::Engine;
use crate::sched::Boundaries;
use crate::sched::bins::{BinTable, DROPPED};
use crate::sched::continuous::kv::{Capacity, Pool, Reuse};
use crate::sched::continuous::router::Router;
use crate::sched::continuous::waiting::Waiting;
use crate::sched::continuous::{Order, Server};
use crate::trace::NO_SESSION;
use crate::{Error, Scenario, Trace};
use fleet::{Ends, Routing};
use replica::{Desk, Replica, Rows, Rules};

pub use gaps::Gaps;
pub use record::{Fate, MARKS, Mark, Record, Served, Totals};
use replica::MOST_STEP_ROWS;
pub use replica::StepRow;
pub use series::{Level, Series};

/// A replay that has begun.
#[derive(Debug, Clone)]
pub struct Run {
    scenario: Scenario,
    server: Box<Server>,
    report: WorkloadReport,
    bins: BinTable,
    prediction: Option<Prediction>,
    predicted: Vec<u32>,
    next_turn: Vec<u32>,
    first_row: usize,
    origin_s: f64,
    time_scale: f64,
    /// Bin of each row of the window; [`DROPPED`] where it is not replayed.
    bin_of: Vec<u8>,
    rules: Rules,
    model: StepModel,
    replicas: Vec<Replica>,
    ends: Ends,
    routing: Routing,
    keys: Keys,
    served: Served,
    totals: Totals,
    users: Option<Users>,
    /// The next row that has not arrived, and when it does, s (infinity when there is none).
    next: usize,
    next_arrival_s: f64,
    /// Requests that have arrived, and how many at the next mark.
    arrived: u64,
    next_mark: u64,
    /// Whether the last request arrives at this moment.
    last_arrives: bool,
    now_s: f64,
    /// Replicas that may begin a step now.
    due: Vec<u16>,
    is_due: Vec<bool>,
    /// When those that wait give up: time, row, replica, in order of arrival.
    patience: VecDeque<(f64, u32, u16)>,
    answered: Vec<u32>,
    steps: Option<Vec<StepRow>>,
}

/// By what those that wait are ordered.
#[derive(Debug, Clone)]
struct Keys {
    order: Order,
    ageing_per_s: f64,
    request_s: f64,
    /// By label of the log type: level and deadline.
    classes: Vec<(f64, f64)>,
}

impl Keys {
    fn new(trace: &Trace, scenario: &Scenario, server: &Server) -> Keys {
        let request_s = scenario.sla.request_s;
        let names = trace.log_type.as_ref().map_or(&[][..], |l| &l.names);
        let class = |name: &String| {
            let found = server.classes.iter().find(|class| class.label == *name);
            found.map_or((0.0, request_s), |class| {
                (class.level, class.deadline_s.unwrap_or(request_s))
            })
        };
        Keys {
            order: server.order,
            ageing_per_s: server.ageing_per_s,
            request_s,
            classes: names.iter().map(class).collect(),
        }
    }

    fn of(&self, trace: &Trace, trace_row: usize, predicted: u32, arrival_s: f64) -> f64 {
        let (level, deadline_s) = trace
            .log_type
            .as_ref()
            .and_then(|labels| self.classes.get(usize::from(*labels.ids.get(trace_row)?)))
            .copied()
            .unwrap_or((0.0, self.request_s));
        match self.order {
            Order::Fcfs => arrival_s,
            Order::Sjf => f64::from(predicted) + self.ageing_per_s * arrival_s,
            Order::Edf => arrival_s + deadline_s,
            Order::Priority => level + self.ageing_per_s * arrival_s,
        }
    }
}

impl Run {
    /// Checks the scenario and prepares the replay.
    pub fn new(trace: &Trace, scenario: &Scenario) -> Result<Run, Error> {
        scenario.validate()?;
        let Engine::Continuous(server) = &scenario.engine else {
            return Err(Error::Contradiction {
                what: "engine".to_owned(),
                why: "this run is of continuous batching, and the scenario's is closed".to_owned(),
            });
        };
        let prepared = Prepared::new(trace, scenario)?;
        enough_for_bins(scenario, server, prepared.report.rows_replayed)?;
        classes_are_there(trace, server)?;
        let unit = shared_units(trace, server)?;
        let blocks = blocks(scenario, server)?;
        let block_tokens = server.kv.block_tokens;
        let rules = Rules::new(
            server,
            blocks,
            f64::from(block_tokens) * scenario.memory.kv_gb_per_token,
            unit,
            scenario.seed,
        );
        let rows = prepared.rows.len();
        let mut served = Served {
            joined_s: vec![f64::NAN; rows],
            first_token_s: vec![f64::NAN; rows],
            done_s: vec![f64::NAN; rows],
            replica: vec![0; rows],
            fate: vec![Fate::Dropped; rows],
        };
        if let Some(blocks) = blocks {
            turn_away_too_long(trace, server, &prepared, blocks, &mut served)?;
        }

        let units = match (&trace.prefix, rules.unit) {
            (Some(prefix), 1..) => prefix
                .blocks
                .iter()
                .max()
                .map_or(0, |most| *most as usize + 1),
            _ => 0,
        };
        let next_turn = match (&trace.session, server.kv.prefix.reuse) {
            (Some(sessions), Reuse::Hashes) => next_turns(&sessions[prepared.rows.clone()]),
            _ => Vec::new(),
        };
        let sessions = match (&trace.session, server.kv.prefix.reuse) {
            (Some(sessions), Reuse::Sessions) => sessions
                .iter()
                .filter(|session| **session != NO_SESSION)
                .max()
                .map_or(0, |most| *most as usize + 1),
            _ => 0,
        };
        // Each replica knows of each hash block and session whether it has it.
        let known = (units + sessions) as u64 * u64::from(scenario.replicas());
        if known > MOST_KNOWN {
            return Err(Error::Contradiction {
                what: "fleet.gpus".to_owned(),
                why: format!(
                    "{} replicas with a prefix cache over {} hash units and sessions each are {known} entries, and \
                     {MOST_KNOWN} are the most; use fewer replicas, or set kv.prefix.reuse to own",
                    scenario.replicas(),
                    units + sessions
                ),
            });
        }
        // `validate` bounds the fleet; the conversion cannot lose replicas.
        let count = u16::try_from(scenario.fleet.gpus / server.tensor_parallel).unwrap_or(u16::MAX);
        let queues = if server.bins { prepared.bins.len() } else { 1 };
        let replicas = (0..count)
            .map(|number| {
                let pool = Pool::new(blocks, &server.kv.prefix, units, sessions);
                let waiting = Waiting::new(queues, server.order != Order::Fcfs);
                Replica::new(number, &rules, waiting, pool)
            })
            .collect();
        let totals = Totals {
            busy_s: vec![0.0; usize::from(count)],
            blocks,
            gaps: Gaps::new(scenario.sla.token_ms / 1e3),
            ..Totals::default()
        };
        let mut run = Run {
            keys: Keys::new(trace, scenario, server),
            routing: Routing::new(server.router, scenario.seed, prepared.bins.len(), count),
            model: server.latency.model(),
            server: server.clone(),
            report: prepared.report,
            bins: prepared.bins,
            prediction: prepared.prediction,
            predicted: prepared.predicted,
            next_turn,
            first_row: prepared.rows.start,
            origin_s: prepared.origin_s,
            time_scale: prepared.time_scale,
            bin_of: prepared.bin_of,
            rules,
            replicas,
            ends: Ends::new(usize::from(count)),
            served,
            totals,
            users: None,
            next: 0,
            next_arrival_s: 0.0,
            arrived: 0,
            next_mark: 0,
            last_arrives: false,
            now_s: 0.0,
            due: Vec::with_capacity(usize::from(count)),
            is_due: vec![false; usize::from(count)],
            patience: VecDeque::new(),
            answered: Vec::new(),
            steps: None,
            scenario: scenario.clone(),
        };
        match scenario.workload.closed_loop {
            Some(settings) => {
                let users = Users::new(settings, scenario.seed, run.first_row, &run.bin_of);
                run.users = Some(users);
            }
            None => run.find_next_arrival(trace),
        }
        Ok(run)
    }

    /// Does every step by itself: how long that takes is what the closed form is measured against.
    pub fn step_by_step(&mut self) {
        self.rules.longest_jump = 1;
    }

    /// Takes every step down, for pictures of it; [`Run::take_steps`] gives them.
    pub fn record_steps(&mut self) {
        self.steps = Some(Vec::new());
    }

    /// The steps taken down so far.
    ///
    /// Errors: more of them than are kept.
    pub fn take_steps(&mut self) -> Result<Vec<StepRow>, Error> {
        let steps = self.steps.take().unwrap_or_default();
        if steps.len() > MOST_STEP_ROWS {
            return Err(Error::TooLarge {
                what: "steps of the run".to_owned(),
                found: format!("there are more than {MOST_STEP_ROWS}"),
                most: format!("at most {MOST_STEP_ROWS}; take fewer requests"),
            });
        }
        Ok(steps)
    }

    /// Share of the requests that have arrived, 0 to 1.
    pub fn progress(&self) -> f64 {
        self.arrived as f64 / self.report.rows_replayed as f64
    }

    /// Handles up to about `events` events; true when the replay is over.
    pub fn advance(&mut self, trace: &Trace, events: u64) -> bool {
        let window = self.first_row..self.first_row + self.bin_of.len();
        let rows = Rows {
            prompt: &trace.prompt[window.clone()],
            output: &trace.output[window.clone()],
            predicted: &self.predicted,
            session: trace
                .session
                .as_ref()
                .map_or(&[][..], |sessions| &sessions[window]),
            prefix: trace.prefix.as_ref(),
            next_turn: &self.next_turn,
            first: self.first_row,
        };
        let mut desk = Desk {
            rules: &self.rules,
            model: &self.model,
            rows,
            served: &mut self.served,
            totals: &mut self.totals,
            answered: &mut self.answered,
            steps: self.steps.as_mut(),
        };
        for _ in 0..events {
            let end_s = self.ends.first_s();
            let arrival_s = match &self.users {
                Some(users) => users.next_s(),
                None => self.next_arrival_s,
            };
            let gone_s = match self.patience.front() {
                Some(&(at_s, row, _)) => {
                    if !desk.served.waits(row) {
                        self.patience.pop_front();
                        continue;
                    }
                    at_s
                }
                None => f64::INFINITY,
            };
            let next_s = end_s.min(arrival_s);
            if self.last_arrives && self.due.is_empty() && next_s > self.now_s {
                self.last_arrives = false;
                let waiting = self.replicas.iter().map(|replica| replica.waiting.count());
                desk.totals.backlog_at_last_arrival = waiting.map(u64::from).sum();
            }
            if !self.due.is_empty() && next_s > self.now_s {
                self.due.sort_unstable();
                for &number in &self.due {
                    let place = usize::from(number);
                    self.is_due[place] = false;
                    let replica = &mut self.replicas[place];
                    replica.begin(self.now_s, &mut desk);
                    if let Some(most) = self.server.admission.max_waiting {
                        replica.turn_away(most, self.now_s, &mut desk);
                    }
                    self.ends.set(place, replica.end_s);
                }
                self.due.clear();
            } else if end_s <= arrival_s && end_s <= gone_s {
                if end_s == f64::INFINITY {
                    return true;
                }
                let place = self.ends.first();
                self.now_s = end_s;
                let replica = &mut self.replicas[place];
                replica.settle(&mut desk);
                self.ends.set(place, f64::INFINITY);
                self.due.push(place as u16);
                self.is_due[place] = true;
            } else if gone_s < arrival_s {
                self.now_s = gone_s;
                let Some((_, row, number)) = self.patience.pop_front() else {
                    continue;
                };
                let place = usize::from(number);
                let replica = &mut self.replicas[place];
                replica.is_gone(row, Fate::TimedOut, gone_s, &mut desk);
                self.ends.set(place, replica.end_s);
            } else {
                self.now_s = arrival_s;
                let row = match &mut self.users {
                    Some(users) => match users.send(self.first_row) {
                        Some(row) => row,
                        None => continue,
                    },
                    None => {
                        let row = self.next;
                        self.next += 1;
                        while self.bin_of.get(self.next) == Some(&DROPPED) {
                            self.next += 1;
                        }
                        self.next_arrival_s = match trace.arrival.get(self.first_row + self.next) {
                            Some(&at) if self.next < self.bin_of.len() => {
                                (at - self.origin_s) / self.time_scale
                            }
                            _ => f64::INFINITY,
                        };
                        row
                    }
                };
                while self.arrived >= self.next_mark && desk.totals.marks.len() < MARKS {
                    desk.totals.mark(arrival_s, &self.replicas);
                    let part = desk.totals.marks.len() as u64 * self.report.rows_replayed;
                    self.next_mark = part.div_ceil(MARKS as u64);
                }
                self.arrived += 1;
                self.last_arrives = self.arrived == self.report.rows_replayed;
                if desk.served.fate[row] == Fate::TooLong {
                    desk.answered.push(row as u32);
                } else {
                    let row = row as u32;
                    let bin = self.bin_of[row as usize];
                    if self.server.router == Router::PrefixAffinity {
                        for replica in &mut self.replicas {
                            replica.catch_up(arrival_s);
                        }
                    }
                    let place = self.routing.choose(&self.replicas, row, bin, &desk);
                    let replica = &mut self.replicas[place];
                    desk.served.replica[row as usize] = place as u16;
                    let most = self.server.admission.max_waiting;
                    if most.is_some_and(|most| !replica.admits(row, most)) {
                        desk.served.fate[row as usize] = Fate::Rejected;
                        desk.answered.push(row);
                    } else {
                        let queue = if self.rules.bins { bin } else { 0 };
                        let key = self.keys.of(
                            trace,
                            self.first_row + row as usize,
                            desk.rows.predicted(row),
                            arrival_s,
                        );
                        replica.arrives(row, queue, key, arrival_s, &mut desk);
                        replica.work += desk.rows.work(row);
                        if let Some(timeout_s) = self.server.admission.timeout_s {
                            self.patience
                                .push_back((arrival_s + timeout_s, row, place as u16));
                        }
                        if replica.rests() {
                            if !self.is_due[place] {
                                self.is_due[place] = true;
                                self.due.push(place as u16);
                            }
                        } else {
                            self.ends.set(place, replica.end_s);
                        }
                    }
                }
            }
            if !desk.answered.is_empty() {
                if let Some(users) = &mut self.users {
                    for row in desk.answered.iter_mut() {
                        *row += self.first_row as u32;
                    }
                    users.answer(desk.answered, self.first_row, self.now_s);
                }
                desk.answered.clear();
            }
        }
        false
    }

    fn find_next_arrival(&mut self, trace: &Trace) {
        while self.bin_of.get(self.next) == Some(&DROPPED) {
            self.next += 1;
        }
        self.next_arrival_s = match trace.arrival.get(self.first_row + self.next) {
            Some(&at) if self.next < self.bin_of.len() => (at - self.origin_s) / self.time_scale,
            _ => f64::INFINITY,
        };
    }

    /// The record of a replay that is over.
    pub fn finish(mut self) -> Record {
        let (sent_s, sent) = match self.users {
            Some(users) => (users.arrival, users.in_order),
            None => (Vec::new(), Vec::new()),
        };
        if let Some(&last) = sent.last() {
            self.report.span_s = sent_s[last as usize];
        }
        self.totals.evictions = self.replicas.iter().map(Replica::evictions).sum();
        Record {
            bins: if self.scenario.has_bins() {
                self.bins.intervals().to_vec()
            } else {
                Vec::new()
            },
            scenario: self.scenario,
            workload: self.report,
            prediction: self.prediction,
            requests: Requests {
                order: Vec::new(),
                predicted: self.predicted,
                first_row: self.first_row as u32,
                origin_s: self.origin_s,
                time_scale: self.time_scale,
                sent_s,
                sent,
            },
            served: self.served,
            totals: self.totals,
        }
    }
}

/// Most entries of all prefix caches together: 16 bytes each.
const MOST_KNOWN: u64 = 1 << 27;

/// Refuses more bins than there are requests to fill them.
fn enough_for_bins(scenario: &Scenario, server: &Server, requests: u64) -> Result<(), Error> {
    let bins = &scenario.scheduler.bins;
    if server.has_bins() && bins.boundaries != Boundaries::Fixed && u64::from(bins.count) > requests
    {
        return Err(Error::BadField {
            field: "scheduler.bins.count".to_owned(),
            value: bins.count.to_string(),
            allowed: format!("at most the number of requests to serve, which is {requests}"),
        });
    }
    Ok(())
}

/// Refuses a class that no request can be in, where the order looks at classes.
fn classes_are_there(trace: &Trace, server: &Server) -> Result<(), Error> {
    if !server.order.has_classes() {
        return Ok(());
    }
    let names = trace.log_type.as_ref().map_or(&[][..], |l| &l.names);
    let unknown = server
        .classes
        .iter()
        .position(|class| !names.contains(&class.label));
    let Some((i, class)) = unknown.and_then(|i| Some((i, server.classes.get(i)?))) else {
        return Ok(());
    };
    let there = match names {
        [] => "the trace has no log types".to_owned(),
        _ => format!("its log types are {}", names.join(", ")),
    };
    Err(Error::Contradiction {
        what: format!("engine.continuous.classes[{i}].label"),
        why: format!(
            "no request of {} is of the class \"{}\": {there}",
            trace.name, class.label
        ),
    })
}

/// By row of the window, the row of the next request of its session; [`NO_SESSION`] where there is none.
fn next_turns(sessions: &[u32]) -> Vec<u32> {
    let most = sessions.iter().filter(|s| **s != NO_SESSION).max();
    let mut next_of = vec![NO_SESSION; most.map_or(0, |most| *most as usize + 1)];
    let mut next_turn = vec![NO_SESSION; sessions.len()];
    for (row, &session) in sessions.iter().enumerate().rev() {
        if session != NO_SESSION {
            // A window has fewer than 2^32 rows.
            next_turn[row] = std::mem::replace(&mut next_of[session as usize], row as u32);
        }
    }
    next_turn
}

/// Tokens of a hash unit, 0 where nothing is shared by hashes; refuses what the trace cannot give.
fn shared_units(trace: &Trace, server: &Server) -> Result<u32, Error> {
    let contradiction = |what: &str, why: String| {
        Err(Error::Contradiction {
            what: format!("engine.continuous.{what}"),
            why,
        })
    };
    let by_prefix = server.router == Router::PrefixAffinity;
    if by_prefix && server.kv.prefix.reuse != Reuse::Hashes {
        return contradiction(
            "router",
            "prefix-affinity needs kv.prefix.reuse to be hashes".to_owned(),
        );
    }
    let no_sessions = trace.session.is_none();
    if no_sessions && server.router == Router::SessionSticky {
        return contradiction(
            "router",
            format!("{} has no sessions; choose another router", trace.name),
        );
    }
    match server.kv.prefix.reuse {
        Reuse::Off | Reuse::Own => Ok(0),
        Reuse::Sessions if no_sessions => contradiction(
            "kv.prefix.reuse",
            format!("{} has no sessions; set it to off or own", trace.name),
        ),
        Reuse::Sessions => Ok(0),
        Reuse::Hashes => match &trace.prefix {
            None => contradiction(
                "kv.prefix.reuse",
                format!("{} has no prefix hashes; set it to off or own", trace.name),
            ),
            Some(prefix) if prefix.tokens_per_block == 0 => contradiction(
                "kv.prefix.reuse",
                format!(
                    "{} has hash_ids and does not say how many tokens each stands for; name it with \
                     --hash-tokens (trace.file.hash_tokens)",
                    trace.name
                ),
            ),
            Some(prefix) => Ok(prefix.tokens_per_block),
        },
    }
}

/// Blocks of a replica that requests can use; `None` without a limit.
fn blocks(scenario: &Scenario, server: &Server) -> Result<Option<u64>, Error> {
    let memory = &scenario.memory;
    let null = u64::from(server.kv.null_block);
    match server.kv.capacity {
        Capacity::Unlimited => Ok(None),
        // `validate` leaves at least one.
        Capacity::Blocks(blocks) => Ok(Some(u64::from(blocks) - null)),
        Capacity::Memory => {
            let gpus = f64::from(server.tensor_parallel);
            let free_gb = gpus * (memory.capacity_gb - memory.margin_gb) - memory.model_gb;
            let block_gb = memory.kv_gb_per_token * f64::from(server.kv.block_tokens);
            let blocks = libm::floor(free_gb / block_gb);
            if blocks < 1.0 + null as f64 {
                return Err(Error::BadField {
                    field: "memory.capacity_gb".to_owned(),
                    value: memory.capacity_gb.to_string(),
                    allowed: format!(
                        "enough for one block of {} tokens, which is {block_gb} GB, beside the \
                         model's {} GB and a margin of {} GB",
                        server.kv.block_tokens, memory.model_gb, memory.margin_gb
                    ),
                });
            }
            Ok(Some(blocks as u64 - null))
        }
    }
}

/// Finds the requests that can never fit into the cache.
fn turn_away_too_long(
    trace: &Trace,
    server: &Server,
    prepared: &Prepared,
    blocks: u64,
    served: &mut Served,
) -> Result<(), Error> {
    let block = u64::from(server.kv.block_tokens);
    let lengths = trace.prompt[prepared.rows.clone()]
        .iter()
        .zip(&trace.output[prepared.rows.clone()]);
    let mut worst: Option<(u64, usize)> = None;
    for (row, ((&prompt, &output), &bin)) in lengths.zip(&prepared.bin_of).enumerate() {
        let tokens = u64::from(prompt.max(1)) + u64::from(output.max(1)) - 1;
        let need = tokens.div_ceil(block);
        if bin != DROPPED && need > blocks {
            served.fate[row] = Fate::TooLong;
            if worst.is_none_or(|(most, _)| need > most) {
                worst = Some((need, row));
            }
        }
    }
    match worst {
        Some((need, row)) if !server.admission.reject_too_long => {
            let row = prepared.rows.start + row;
            let field = match server.kv.capacity {
                Capacity::Blocks(_) => "engine.continuous.kv.capacity.blocks",
                _ => "memory.capacity_gb",
            };
            Err(Error::BadField {
                field: field.to_owned(),
                value: format!(
                    "a cache of {} blocks of {block} tokens",
                    blocks + u64::from(server.kv.null_block)
                ),
                allowed: format!(
                    "at least {} blocks, which request {} of {} needs ({} prompt and {} output \
                     tokens); or set engine.continuous.admission.reject_too_long",
                    need + u64::from(server.kv.null_block),
                    row + 1,
                    trace.name,
                    trace.prompt[row],
                    trace.output[row]
                ),
            })
        }
        _ => Ok(()),
    }
}
