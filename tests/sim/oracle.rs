//! The engine against a second one: slow, plain, an object per request, written from the
//! description of the published simulator and of the papers rather than from the engine's code.
//! Random traces and scenarios; batches must be equal to the bit, figures to 1e-9.

use std::collections::BTreeMap;

use batchscope::latency::step::{Compute, Step};
use batchscope::latency::{Latency, Linear, StepLatency};
use batchscope::scenario::{ClosedLoop, Scenario, Ties, TokenRule};
use batchscope::sched::{Boundaries, Feedback, MemoryRule, Policy, RunningFloor, Served, Variant};
use batchscope::trace::Failed;
use batchscope::trace::predict::Kind;
use batchscope::{Outcome, Trace, simulate};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;

use crate::support::arbitrary;

#[derive(Clone)]
struct Request {
    row: usize,
    arrival: f64,
    prompt: u32,
    output: u32,
    predicted: u32,
    bin: usize,
}

impl Request {
    fn tokens(&self) -> f64 {
        f64::from(self.prompt) + f64::from(self.output)
    }
}

struct Batch {
    gpu: usize,
    bin: usize,
    start: f64,
    service: f64,
    members: Vec<Request>,
}

impl Batch {
    fn end(&self) -> f64 {
        self.start + self.service
    }

    /// The service time between two readings of the clock.
    fn clocked(&self) -> f64 {
        self.end() - self.start
    }

    fn longest_output(&self) -> u32 {
        self.members.iter().map(|r| r.output).max().unwrap()
    }

    fn longest_total(&self) -> u32 {
        self.members
            .iter()
            .map(|r| r.prompt + r.output)
            .max()
            .unwrap()
    }

    fn tokens(&self) -> f64 {
        self.members.iter().map(Request::tokens).sum()
    }
}

/// numpy.percentile of unsorted values, `q` from 0 to 1.
fn percentile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() - 1) as f64 * q;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let t = place - place.floor();
    let step = sorted[above] - sorted[below];
    if t >= 0.5 {
        sorted[above] - step * (1.0 - t)
    } else {
        sorted[below] + step * t
    }
}

/// z with Phi(z) = p, by bisection.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The memory estimate ("Algorithm 1") and the SLA controller ("Algorithm 2") of one queue.
struct Learner {
    mean_prompt: f64,
    mean_output: f64,
    variance: f64,
    low: i64,
    high: i64,
    low_real: f64,
    high_real: f64,
    tau: f64,
    mean_batch: f64,
    seen: u32,
    /// No batch of this queue is larger.
    most: i64,
    /// Requests in service on the other GPUs when the last batch ended.
    running_at_end: usize,
}

impl Learner {
    fn new(s: &Scenario, (low, high): (u32, u32)) -> Learner {
        let bound = &s.closed().unwrap().memory_bound;
        let mut most = i64::from(s.closed().unwrap().max_batch);
        let mut mean_batch = s.closed().unwrap().controller.initial_batch;
        if s.closed().unwrap().policy == Policy::MultiBinDynamic && s.bins.batch_caps {
            let middle = f64::from((low + high.min(4096)) / 2);
            let m = s.memory();
            let room = m.capacity_gb - m.model_gb - m.margin_gb;
            let cap = room / (2.0 * middle * m.kv_gb_per_token);
            most = most.min((cap.floor() as i64).max(1));
            mean_batch = mean_batch.min(((1 + most) / 2) as f64);
        }
        Learner {
            mean_prompt: bound.initial_prompt_tokens,
            mean_output: bound.initial_output_tokens,
            variance: bound.initial_sd_tokens.powi(2),
            low: 1,
            high: most,
            low_real: 1.0,
            high_real: most as f64,
            tau: 0.0,
            mean_batch,
            seen: 0,
            most,
            running_at_end: 0,
        }
    }

    fn by_memory(&self, s: &Scenario, theta: f64, running: usize) -> i64 {
        let most = self.most;
        let eta = (s.memory().capacity_gb - s.memory().model_gb) / s.memory().kv_gb_per_token;
        let mean = self.mean_prompt + self.mean_output;
        let bound = match s.closed().unwrap().memory_bound.rule {
            MemoryRule::Off => most,
            MemoryRule::Published => {
                let reserve = s.closed().unwrap().memory_bound.reserve * eta;
                let bound = ((eta - reserve) / mean).floor();
                if bound >= most as f64 {
                    most
                } else {
                    (bound as i64).max(1)
                }
            }
            // The largest batch whose tokens stay below eta at theta standard deviations.
            MemoryRule::Exact => {
                let need = |b: i64| {
                    let b = b as f64;
                    b * mean + theta * (b * self.variance).sqrt()
                };
                (1..=most)
                    .take_while(|&b| need(b) <= eta)
                    .last()
                    .unwrap_or(1)
            }
        };
        if s.closed().unwrap().memory_bound.at_least_running {
            bound.max(running as i64).min(most)
        } else {
            bound
        }
    }

    fn by_sla(&mut self, s: &Scenario, running_elsewhere: usize) -> i64 {
        let c = &s.closed().unwrap().controller;
        let most = self.most;
        if c.variant == Variant::Off {
            return most;
        }
        if self.seen < c.warmup_batches {
            return (1 + most) / 2;
        }
        let target = c.target_s.unwrap_or(s.sla.token_ms / 1000.0);
        let (alpha, delta) = (i64::from(c.alpha), i64::from(c.delta));
        let half = if c.band_from_delta {
            delta / 2
        } else {
            alpha / 2
        };
        let int = |x: f64| x as i64;
        let mean = self.mean_batch;
        let mut b = match c.variant {
            Variant::Off => unreachable!(),
            Variant::Nov24 => {
                if self.tau > target + 2.0 * c.epsilon_s {
                    self.high = self.high.min(int(0.9 * mean).max(1));
                    self.low = self.low.min(int(0.7 * mean)).max(1);
                } else if self.tau < target - 2.0 * c.epsilon_s {
                    self.low = self.low.max(int(mean));
                    self.high = (self.high + int(0.3 * mean)).min(most);
                } else {
                    let margin = int(0.15 * (self.high - self.low) as f64).max(2);
                    self.low = (int(mean) - margin).max(1);
                    self.high = (int(mean) + margin).min(most);
                }
                self.middle(most)
            }
            Variant::Nov29 => {
                if self.tau > target + c.epsilon_s {
                    self.high = self.high.min(int(mean).max(self.low + alpha));
                    self.low = (self.low - delta).max(1);
                } else if self.tau < target - c.epsilon_s {
                    let raised = int(mean).min(self.high - alpha);
                    self.low = self.low.max(raised);
                    self.high = (self.high + delta).min(most);
                } else {
                    self.high = (int(mean) + half).min(most);
                    self.low = (int(mean) - half).max(1);
                }
                self.middle(most)
            }
            Variant::Paper => {
                let (low, high) = (self.low_real, self.high_real);
                let (alpha, delta) = (alpha as f64, delta as f64);
                let most = most as f64;
                if self.tau > target + c.epsilon_s {
                    self.high_real = mean.max(low + alpha);
                    self.low_real = (low - delta).max(1.0);
                } else if self.tau < target - c.epsilon_s {
                    self.low_real = mean.min(high - alpha);
                    self.high_real = (high + delta).min(most);
                } else {
                    self.high_real = (mean + half as f64).min(most);
                    self.low_real = (mean - half as f64).max(1.0);
                }
                // The interval stays inside [1, max batch] and is never upside down.
                self.low_real = self.low_real.max(1.0);
                self.high_real = self.high_real.min(most);
                self.low_real = self.low_real.min(self.high_real);
                ((self.low_real + self.high_real) / 2.0).floor() as i64
            }
        };
        b = match c.running_floor {
            RunningFloor::Off => b,
            RunningFloor::AtFormation => b.max(running_elsewhere as i64),
            RunningFloor::AtLastEnd => b.max(self.running_at_end as i64),
        };
        b.clamp(1, most)
    }

    fn middle(&mut self, most: i64) -> i64 {
        self.low = self.low.max(1);
        self.high = self.high.min(most);
        self.low = self.low.min(self.high);
        (self.low + self.high).div_euclid(2)
    }

    fn learn(&mut self, s: &Scenario, batch: &Batch, decode_step: f64, elsewhere: usize) {
        self.running_at_end = elsewhere;
        let n = batch.members.len() as f64;
        let prompt = batch
            .members
            .iter()
            .map(|r| f64::from(r.prompt))
            .sum::<f64>()
            / n;
        let output = batch
            .members
            .iter()
            .map(|r| f64::from(r.output))
            .sum::<f64>()
            / n;
        let before = self.mean_prompt + self.mean_output;
        let distance = |r: &Request| (r.tokens() - before).powi(2);
        let spread = batch.members.iter().map(distance).sum::<f64>() / n;
        let w = s.closed().unwrap().memory_bound.smoothing;
        self.variance = w * spread + (1.0 - w) * self.variance;
        self.mean_prompt = w * prompt + (1.0 - w) * self.mean_prompt;
        self.mean_output = w * output + (1.0 - w) * self.mean_output;

        let observed = match s.closed().unwrap().controller.feedback {
            Feedback::Service => batch.clocked(),
            Feedback::Decode => decode_step,
            Feedback::Total => match batch.longest_output() {
                0 => batch.clocked(),
                longest => batch.clocked() / f64::from(longest),
            },
        };
        let w = s.closed().unwrap().controller.smoothing;
        self.tau = w * observed + (1.0 - w) * self.tau;
        self.mean_batch = w * n + (1.0 - w) * self.mean_batch;
        self.seen += 1;
    }
}

/// What may happen next.
#[derive(Clone, Copy)]
enum Event {
    Arrival(usize),
    Free(usize),
}

/// Python's `heapq`, statement by statement, over events compared by time alone.
#[derive(Default)]
struct Heapq {
    heap: Vec<(f64, Event)>,
}

impl Heapq {
    fn heappush(&mut self, item: (f64, Event)) {
        self.heap.push(item);
        let last = self.heap.len() - 1;
        self.siftdown(0, last);
    }

    fn heappop(&mut self) -> Option<(f64, Event)> {
        let lastelt = self.heap.pop()?;
        if self.heap.is_empty() {
            return Some(lastelt);
        }
        let returnitem = self.heap[0];
        self.heap[0] = lastelt;
        self.siftup(0);
        Some(returnitem)
    }

    fn siftdown(&mut self, startpos: usize, mut pos: usize) {
        let newitem = self.heap[pos];
        while pos > startpos {
            let parentpos = (pos - 1) >> 1;
            let parent = self.heap[parentpos];
            if newitem.0 < parent.0 {
                self.heap[pos] = parent;
                pos = parentpos;
                continue;
            }
            break;
        }
        self.heap[pos] = newitem;
    }

    fn siftup(&mut self, mut pos: usize) {
        let endpos = self.heap.len();
        let startpos = pos;
        let newitem = self.heap[pos];
        let mut childpos = 2 * pos + 1;
        while childpos < endpos {
            let rightpos = childpos + 1;
            let left_is_less = |heap: &[(f64, Event)]| heap[childpos].0 < heap[rightpos].0;
            if rightpos < endpos && !left_is_less(&self.heap) {
                childpos = rightpos;
            }
            self.heap[pos] = self.heap[childpos];
            pos = childpos;
            childpos = 2 * pos + 1;
        }
        self.heap[pos] = newitem;
        self.siftdown(startpos, pos);
    }
}

/// CPython's set of small integers (`Objects/setobject.c`: `set_add_entry`, `set_discard_entry`,
/// `set_table_resize`), whose hash is the integer itself.
struct PySet {
    table: Vec<Slot>,
    used: usize,
    fill: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Slot {
    Empty,
    Dummy,
    Id(usize),
}

impl PySet {
    fn new(ids: usize) -> PySet {
        let mut set = PySet {
            table: vec![Slot::Empty; 8],
            used: 0,
            fill: 0,
        };
        for id in 0..ids {
            set.add(id);
        }
        set
    }

    /// Places in the order of the search, more than are ever needed.
    fn probes(length: usize, id: usize) -> Vec<usize> {
        let mask = length - 1;
        let (mut i, mut perturb) = (id & mask, id);
        let mut places = Vec::new();
        for _ in 0..length + 20 {
            let last = if i + 9 <= mask { i + 9 } else { i };
            places.extend(i..=last);
            perturb >>= 5;
            i = (i * 5 + 1 + perturb) & mask;
        }
        places
    }

    fn add(&mut self, id: usize) {
        let places = Self::probes(self.table.len(), id);
        let free = *places
            .iter()
            .find(|&&i| self.table[i] == Slot::Empty)
            .unwrap();
        let before = places.into_iter().take_while(|&i| i != free);
        let dummy = before.filter(|&i| self.table[i] == Slot::Dummy).last();
        self.table[dummy.unwrap_or(free)] = Slot::Id(id);
        self.used += 1;
        if dummy.is_some() {
            return;
        }
        self.fill += 1;
        if self.fill * 5 >= (self.table.len() - 1) * 3 {
            let ids = self.ids();
            let length = (3..).map(|k| 1usize << k).find(|&l| l > 4 * self.used);
            self.table = vec![Slot::Empty; length.unwrap()];
            self.fill = self.used;
            for id in ids {
                let places = Self::probes(self.table.len(), id);
                let free = places.into_iter().find(|&i| self.table[i] == Slot::Empty);
                self.table[free.unwrap()] = Slot::Id(id);
            }
        }
    }

    fn discard(&mut self, id: usize) {
        let place = self.table.iter().position(|&slot| slot == Slot::Id(id));
        self.table[place.unwrap()] = Slot::Dummy;
        self.used -= 1;
    }

    fn ids(&self) -> Vec<usize> {
        let id = |slot: &Slot| match slot {
            Slot::Id(id) => Some(*id),
            _ => None,
        };
        self.table.iter().filter_map(id).collect()
    }
}

struct Oracle<'a> {
    s: &'a Scenario,
    theta: f64,
    /// Not yet arrived, in row order.
    future: Vec<Request>,
    queues: Vec<Vec<Request>>,
    /// `multi-bin`: full batches, in the order in which they filled.
    formed: Vec<(usize, Vec<Request>)>,
    learners: Vec<Learner>,
    pointer: usize,
    /// What each GPU is serving: the index into `batches`.
    gpus: Vec<Option<usize>>,
    batches: Vec<Batch>,
}

/// Times of a batch, s.
struct Times {
    service: f64,
    decode_step: f64,
    /// From its start to the first token of a member with this prompt.
    first_token: Box<dyn Fn(u32) -> f64>,
    /// Token positions that it takes.
    positions: f64,
}

fn times(s: &Scenario, members: &[Request]) -> Times {
    match &s.closed().unwrap().latency {
        Latency::Linear(linear) => by_formula(*linear, members),
        Latency::Steps(steps) => match &**steps {
            StepLatency::Linear(step) => step_by_step(step, members),
            other => panic!("the oracle does not know {other:?}"),
        },
    }
}

fn by_formula(linear: Linear, members: &[Request]) -> Times {
    let b = members.len() as f64;
    let h = 1.0 + linear.gamma * (b - 1.0) / b + linear.growth * (b - 1.0);
    let longest = members.iter().map(Request::tokens).fold(0.0, f64::max);
    let time = linear.alpha_s + linear.beta_s_per_token * longest * h;
    let decode_step = linear.beta_s_per_token * h;
    Times {
        service: time.max(linear.floor_s),
        decode_step,
        first_token: Box::new(move |prompt| {
            linear.alpha_s + decode_step * (f64::from(prompt) + 1.0)
        }),
        positions: b * longest,
    }
}

/// One pass over all prompts, then steps in which each member reads its keys and values, those that are done too.
fn step_by_step(step: &Step, members: &[Request]) -> Times {
    let b = members.len() as f64;
    let step_s = |sequences: f64, context: f64, prompt: f64| {
        let memory = step.c0_s + step.c1_s_per_sequence * sequences;
        let memory = memory + step.c3_s_per_prefill_token * prompt;
        let compute = step.compute.unwrap();
        let compute = compute.d0_s + compute.d1_s_per_token * (sequences + prompt);
        step.c2_s_per_context_token * context + memory.max(compute)
    };
    let prompts = || members.iter().map(|r| f64::from(r.prompt.max(1)));
    let pairs: f64 = prompts().map(|p| p * (p + 1.0) / 2.0).sum();
    let prefill = step_s(0.0, 0.0, prompts().sum()) + step.c4_s_per_prefill_pair * pairs;
    let longest = members.iter().map(|r| r.output).max().unwrap();
    let mut decode = 0.0;
    for k in 1..longest {
        let read = |r: &Request| f64::from(r.prompt.max(1) + k.min(r.output.max(1) - 1));
        decode += step_s(b, members.iter().map(read).sum(), 0.0);
    }
    Times {
        service: prefill + decode,
        decode_step: match longest {
            0 | 1 => prefill,
            _ => decode / f64::from(longest - 1),
        },
        first_token: Box::new(move |_| prefill),
        positions: members.iter().map(|r| f64::from(r.prompt)).sum::<f64>()
            + b * f64::from(longest),
    }
}

impl Oracle<'_> {
    fn over_memory(&self, members: &[Request]) -> bool {
        let m = self.s.memory();
        let tokens: f64 = members.iter().map(Request::tokens).sum();
        m.model_gb + m.kv_gb_per_token * tokens > m.capacity_gb - m.margin_gb
    }

    fn arrive(&mut self, request: Request) {
        let bin = request.bin;
        self.queues[bin].push(request);
        if self.s.closed().unwrap().policy == Policy::MultiBin {
            let full = self.s.bins.full_batch as usize;
            if self.queues[bin].len() == full {
                let members = std::mem::take(&mut self.queues[bin]);
                self.formed.push((bin, members));
            }
            if self.future.is_empty() {
                self.serve_the_rest();
            }
        }
    }

    /// `multi-bin`: nobody else will come, so what is left is served too, oldest request first.
    fn serve_the_rest(&mut self) {
        let mut rest: Vec<(usize, Vec<Request>)> = std::mem::take(&mut self.queues)
            .into_iter()
            .enumerate()
            .filter(|(_, queue)| !queue.is_empty())
            .collect();
        self.queues = vec![Vec::new(); self.learners.len()];
        rest.sort_by(|(_, a), (_, b)| {
            let (a, b) = (&a[0], &b[0]);
            a.arrival.total_cmp(&b.arrival).then(a.row.cmp(&b.row))
        });
        self.formed.extend(rest);
    }

    fn choose_bin(&mut self) -> Option<usize> {
        let count = self.queues.len();
        match self.s.bins.served {
            Served::RoundRobin => {
                for step in 0..count {
                    let bin = (self.pointer + step) % count;
                    if !self.queues[bin].is_empty() {
                        self.pointer = (bin + 1) % count;
                        return Some(bin);
                    }
                }
                None
            }
            Served::LongestQueue => {
                let longest = self.queues.iter().map(Vec::len).max()?;
                (longest > 0).then(|| self.queues.iter().position(|q| q.len() == longest))?
            }
        }
    }

    /// Lets an idle GPU look for work; true when it found some.
    fn schedule(&mut self, gpu: usize, now: f64) -> bool {
        let (bin, members) = match self.s.closed().unwrap().policy {
            Policy::StaticFifo => {
                let size = self.queues[0]
                    .len()
                    .min(self.s.closed().unwrap().static_batch as usize);
                let mut members = Vec::new();
                for _ in 0..size {
                    members.push(self.queues[0].remove(0));
                }
                (0, members)
            }
            Policy::MultiBin => {
                if self.formed.is_empty() {
                    return false;
                }
                self.formed.remove(0)
            }
            Policy::Dynamic | Policy::MultiBinDynamic => {
                let Some(bin) = self.choose_bin() else {
                    return false;
                };
                let elsewhere = self.gpus.iter().flatten();
                let running = elsewhere.map(|&i| self.batches[i].members.len()).sum();
                let by_sla = self.learners[bin].by_sla(self.s, running);
                let b = by_sla.min(self.learners[bin].by_memory(self.s, self.theta, running));
                let mut members = Vec::new();
                while !self.queues[bin].is_empty() && (members.len() as i64) < b {
                    members.push(self.queues[bin].remove(0));
                }
                while members.len() > 1 && self.over_memory(&members) {
                    let last = members.pop().unwrap();
                    self.queues[bin].insert(0, last);
                }
                (bin, members)
            }
        };
        if members.is_empty() {
            return false;
        }
        self.gpus[gpu] = Some(self.batches.len());
        self.batches.push(Batch {
            gpu,
            bin,
            start: now,
            service: times(self.s, &members).service,
            members,
        });
        true
    }

    fn free(&mut self, gpu: usize) {
        let index = self.gpus[gpu].take().unwrap();
        let batch = &self.batches[index];
        let step = times(self.s, &batch.members).decode_step;
        let others = self.gpus.iter().flatten();
        let elsewhere = others.map(|&i| self.batches[i].members.len()).sum();
        self.learners[batch.bin].learn(self.s, batch, step, elsewhere);
    }

    fn wake_all(&mut self, now: f64) -> Vec<usize> {
        let idle: Vec<usize> = (0..self.gpus.len())
            .filter(|&g| self.gpus[g].is_none())
            .collect();
        self.wake(&idle, now)
    }

    fn wake(&mut self, idle: &[usize], now: f64) -> Vec<usize> {
        let started = idle.iter().filter(|&&gpu| self.schedule(gpu, now));
        started.copied().collect()
    }

    /// Ends before arrivals, then the lowest GPU, then the earlier row.
    fn run_fixed(&mut self) {
        loop {
            let mut next_end: Option<(f64, usize)> = None;
            for (gpu, serving) in self.gpus.iter().enumerate() {
                if let Some(index) = serving {
                    let end = self.batches[*index].end();
                    if next_end.is_none_or(|(earliest, _)| end < earliest) {
                        next_end = Some((end, gpu));
                    }
                }
            }
            let next_arrival = self.future.first().map(|r| r.arrival);
            match (next_end, next_arrival) {
                (None, None) => return,
                (Some((end, gpu)), arrival) if arrival.is_none_or(|at| end <= at) => {
                    self.free(gpu);
                    self.schedule(gpu, end);
                }
                _ => {
                    let request = self.future.remove(0);
                    let now = request.arrival;
                    self.arrive(request);
                    self.wake_all(now);
                }
            }
        }
    }

    /// Users instead of recorded arrivals; what comes first at one moment is as with fixed ties, and
    /// of users the lowest. Request number `u + i * users` is the i-th of user u.
    fn run_users(&mut self, users: &ClosedLoop) {
        let mut users: Vec<User> = (0..users.users)
            .map(|u| User {
                to_send: (0..users.requests_per_user)
                    .map(|i| self.future[(u + i * users.users) as usize].clone())
                    .collect(),
                sends_at: Some(0.0),
                waits_for: None,
                draws: draws(self.s.seed, u),
                think: (users.think_min_s, users.think_max_s),
            })
            .collect();
        let mut now = 0.0;
        loop {
            let mut next_end: Option<(f64, usize)> = None;
            for (gpu, serving) in self.gpus.iter().enumerate() {
                if let Some(index) = serving {
                    let end = self.batches[*index].end();
                    if next_end.is_none_or(|(earliest, _)| end < earliest) {
                        next_end = Some((end, gpu));
                    }
                }
            }
            let mut next_user: Option<(f64, usize)> = None;
            for (u, user) in users.iter().enumerate() {
                if let Some(at) = user.sends_at
                    && next_user.is_none_or(|(earliest, _)| at < earliest)
                {
                    next_user = Some((at, u));
                }
            }
            match (next_end, next_user) {
                (None, None) => {
                    // Users who wait for a bin to fill wait for each other.
                    self.serve_the_rest();
                    if self.wake_all(now).is_empty() {
                        return;
                    }
                }
                (Some((end, gpu)), user) if user.is_none_or(|(at, _)| end <= at) => {
                    now = end;
                    let answered = &self.batches[self.gpus[gpu].unwrap()].members;
                    for user in &mut users {
                        if answered.iter().any(|r| Some(r.row) == user.waits_for) {
                            user.thinks(end);
                        }
                    }
                    self.free(gpu);
                    self.schedule(gpu, end);
                }
                (_, user) => {
                    let (at, u) = user.unwrap();
                    now = at;
                    let request = users[u].sends(at);
                    self.future.retain(|r| r.row != request.row);
                    self.arrive(request);
                    self.wake_all(at);
                }
            }
        }
    }

    /// One heap for everything, compared by time alone; idle GPUs in a set.
    fn run_published_heap(&mut self, ascending: bool) {
        let mut idle = PySet::new(self.gpus.len());
        let requests = self.future.clone();
        let mut heap = Heapq::default();
        for (i, request) in requests.iter().enumerate() {
            heap.heappush((request.arrival, Event::Arrival(i)));
        }
        while let Some((now, event)) = heap.heappop() {
            let started = match event {
                Event::Arrival(i) => {
                    self.future.pop();
                    self.arrive(requests[i].clone());
                    let mut snapshot = idle.ids();
                    if ascending {
                        snapshot.sort_unstable();
                    }
                    self.wake(&snapshot, now)
                }
                Event::Free(gpu) => {
                    self.free(gpu);
                    idle.add(gpu);
                    if self.schedule(gpu, now) {
                        vec![gpu]
                    } else {
                        Vec::new()
                    }
                }
            };
            for gpu in started {
                idle.discard(gpu);
                let end = self.batches[self.gpus[gpu].unwrap()].end();
                heap.heappush((end, Event::Free(gpu)));
            }
        }
    }
}

/// One user of a closed loop.
struct User {
    to_send: std::collections::VecDeque<Request>,
    sends_at: Option<f64>,
    /// The row of the request that is not answered yet.
    waits_for: Option<usize>,
    draws: Xoshiro256PlusPlus,
    think: (f64, f64),
}

impl User {
    fn sends(&mut self, now: f64) -> Request {
        self.sends_at = None;
        let request = self.to_send.pop_front().unwrap();
        self.waits_for = Some(request.row);
        Request {
            arrival: now,
            ..request
        }
    }

    fn thinks(&mut self, now: f64) {
        self.waits_for = None;
        if !self.to_send.is_empty() {
            // The middle of one of 2^52 cells of (0, 1).
            let uniform = ((self.draws.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
            let (least, most) = self.think;
            self.sends_at = Some(now + (least + (most - least) * uniform));
        }
    }
}

/// A user's stream: xoshiro256++, filled by SplitMix64 from the purpose (12, through SplitMix64's
/// finaliser), the seed in the lower half and the user in the upper.
fn draws(seed: u32, user: u32) -> Xoshiro256PlusPlus {
    let mut z = 12u64.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    Xoshiro256PlusPlus::seed_from_u64(z ^ (u64::from(user) << 32 | u64::from(seed)))
}

fn has_bins(s: &Scenario) -> bool {
    matches!(
        s.closed().unwrap().policy,
        Policy::MultiBin | Policy::MultiBinDynamic
    )
}

/// The published rule: the first interval that holds the length, else the last one (or the first,
/// for a length below all of them, where that flaw is switched off).
fn bin_of(s: &Scenario, intervals: &[(u32, u32)], length: u32) -> usize {
    for (i, (low, high)) in intervals.iter().enumerate() {
        if (*low..*high).contains(&length) {
            return i;
        }
    }
    if length < intervals[0].0 && !s.bins.below_range_to_last {
        0
    } else {
        intervals.len() - 1
    }
}

fn intervals(s: &Scenario, outputs: &[f64], predictions: &[f64]) -> Option<Vec<(u32, u32)>> {
    let bins = &s.bins;
    let k = bins.count as usize;
    if k == 1 && bins.boundaries != Boundaries::Fixed {
        let predictions = bins.boundaries == Boundaries::EqualMassPredictions;
        return Some(vec![(if predictions { 0 } else { 1 }, bins.last_upper)]);
    }
    let sample = match bins.boundaries {
        Boundaries::EqualMassOutputs => outputs,
        _ => predictions,
    };
    if sample.is_empty() && bins.boundaries != Boundaries::Fixed {
        return None;
    }
    let lower: Vec<u32> = match bins.boundaries {
        Boundaries::EqualMassOutputs | Boundaries::EqualMassPredictions => (0..k)
            .map(|i| percentile(sample, i as f64 / k as f64) as u32)
            .collect(),
        Boundaries::EqualWidth => {
            let low = sample.iter().copied().fold(f64::INFINITY, f64::min);
            let high = sample.iter().copied().fold(0.0, f64::max);
            (0..k)
                .map(|i| (low + (high - low) / k as f64 * i as f64) as u32)
                .collect()
        }
        Boundaries::Fixed => [0].into_iter().chain(bins.cuts.clone()).collect(),
        Boundaries::ExponentialOptimal => {
            let mean = sample.iter().sum::<f64>() / sample.len() as f64;
            // L_1 = H_B, L_m = 1 + ln L_(m-1); l_i = mean * sum over j = 1..i of ln L_(k-j).
            let level = |m: usize| {
                let mut l: f64 = (1..=s.bins.full_batch).map(|i| 1.0 / f64::from(i)).sum();
                for _ in 1..m {
                    l = 1.0 + l.ln();
                }
                l
            };
            (0..k)
                .map(|i| (mean * (1..=i).map(|j| level(k - j).ln()).sum::<f64>()) as u32)
                .collect()
        }
    };
    let upper = |i: usize| {
        let next = lower.get(i + 1).copied().unwrap_or(bins.last_upper);
        let last = i + 1 == lower.len();
        if !last && bins.boundaries == Boundaries::EqualMassPredictions {
            // Such a bin may be empty.
            return next;
        }
        if lower[i] >= next { lower[i] + 1 } else { next }
    };
    Some((0..lower.len()).map(|i| (lower[i], upper(i))).collect())
}

/// Everything the oracle says about a run.
struct Truth {
    batches: Vec<Batch>,
    intervals: Vec<(u32, u32)>,
    taken: usize,
    failed: usize,
    span: f64,
    /// Whether the span is over recorded arrivals, so that there is an offered load.
    offered: bool,
    time_scale: f64,
}

/// The rows of window and limit.
fn window(trace: &Trace, s: &Scenario) -> Vec<usize> {
    let w = &s.workload;
    let zero = trace.arrival.first().copied().unwrap_or(0.0);
    (0..trace.len())
        .filter(|&i| {
            let t = trace.arrival[i] - zero;
            w.window_start_s.is_none_or(|from| t >= from) && w.window_end_s.is_none_or(|to| t < to)
        })
        .take(w.limit.map_or(usize::MAX, |n| n as usize))
        .collect()
}

/// `None` where there is nothing to replay, nothing to scale or fit to, or less than users ask for.
fn oracle(trace: &Trace, s: &Scenario) -> Option<Truth> {
    let mut rows = window(trace, s);
    if let Some(users) = &s.workload.closed_loop {
        let usable = |&row: &usize| s.workload.failed == Failed::Keep || trace.output[row] > 0;
        let needed = (users.users * users.requests_per_user) as usize;
        let last = rows.iter().copied().filter(usable).nth(needed - 1)?;
        rows.retain(|&row| row <= last);
    }
    let prompts: Vec<u32> = rows.iter().map(|&i| trace.prompt[i]).collect();
    let outputs: Vec<u32> = rows.iter().map(|&i| trace.output[i]).collect();
    let predicted: Vec<u32> = match s.predictor.kind {
        Kind::Oracle => outputs.iter().map(|&o| o.max(1)).collect(),
        _ => s.predictor.predict(&prompts, &outputs, s.seed),
    };
    let kept: Vec<usize> = (0..rows.len())
        .filter(|&i| s.workload.failed == Failed::Keep || outputs[i] > 0)
        .collect();
    let origin = trace.arrival[rows[*kept.first()?]];
    let recorded_span = trace.arrival[rows[*kept.last()?]] - origin;
    let time_scale = match s.workload.rate_per_s {
        None => s.workload.time_scale,
        Some(_) if recorded_span == 0.0 => return None,
        Some(rate) => rate * recorded_span / kept.len() as f64,
    };
    let intervals = if has_bins(s) {
        let bins = &s.bins;
        let sample_outputs: Vec<f64> = trace
            .output
            .iter()
            .take(bins.sample_rows as usize)
            .filter(|&&output| output > 0)
            .take(bins.sample_size as usize)
            .map(|&output| f64::from(output))
            .collect();
        let sample_predictions: Vec<f64> = kept
            .iter()
            .take(bins.sample_size as usize)
            .map(|&i| f64::from(predicted[i]))
            .collect();
        intervals(s, &sample_outputs, &sample_predictions)?
    } else {
        vec![(1, s.bins.last_upper)]
    };
    let requests: Vec<Request> = kept
        .iter()
        .map(|&i| Request {
            row: rows[i],
            arrival: (trace.arrival[rows[i]] - origin) / time_scale,
            prompt: prompts[i],
            output: outputs[i],
            predicted: predicted[i],
            bin: if has_bins(s) {
                bin_of(s, &intervals, predicted[i])
            } else {
                0
            },
        })
        .collect();
    let recorded_span = requests.last()?.arrival;
    let mut oracle = Oracle {
        s,
        theta: normal_quantile(1.0 - s.closed().unwrap().memory_bound.overflow_probability),
        future: requests,
        queues: vec![Vec::new(); intervals.len()],
        formed: Vec::new(),
        learners: intervals.iter().map(|&i| Learner::new(s, i)).collect(),
        pointer: 0,
        gpus: vec![None; s.fleet.gpus as usize],
        batches: Vec::new(),
    };
    match (&s.workload.closed_loop, s.workload.ties) {
        (Some(users), _) => oracle.run_users(users),
        (None, Ties::Fixed) => oracle.run_fixed(),
        (None, Ties::PublishedHeap) => oracle.run_published_heap(false),
        (None, Ties::PublishedHeapAscending) => oracle.run_published_heap(true),
    }
    let offered = s.workload.closed_loop.is_none();
    let span = if offered {
        recorded_span
    } else {
        let sent = oracle.batches.iter().flat_map(|b| &b.members);
        sent.map(|r| r.arrival).fold(0.0, f64::max)
    };
    Some(Truth {
        batches: oracle.batches,
        intervals,
        taken: rows.len(),
        failed: outputs.iter().filter(|&&output| output == 0).count(),
        span,
        offered,
        time_scale,
    })
}

type Figures = BTreeMap<String, Option<f64>>;

fn distribution(figures: &mut Figures, name: &str, values: &[f64]) {
    if values.is_empty() {
        figures.insert(name.to_owned(), None);
        return;
    }
    let mut put = |key: &str, value: f64| figures.insert(format!("{name}.{key}"), Some(value));
    put("count", values.len() as f64);
    put("mean", values.iter().sum::<f64>() / values.len() as f64);
    for (key, q) in [
        ("p50", 0.5),
        ("p90", 0.9),
        ("p95", 0.95),
        ("p99", 0.99),
        ("p999", 0.999),
    ] {
        put(key, percentile(values, q));
    }
    put("max", percentile(values, 1.0));
}

/// Every figure of `published`, from the definitions.
fn published(s: &Scenario, truth: &Truth) -> Figures {
    let makespan = truth.batches.iter().map(Batch::end).fold(0.0, f64::max);
    let (mut latencies, mut tbt) = (Vec::new(), Vec::new());
    let (mut waits, mut services, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let (mut token_violations, mut request_violations, mut tokens) = (0.0, 0.0, 0.0);
    for batch in &truth.batches {
        let per_token = match batch.longest_output() {
            0 => 0.0,
            longest => batch.clocked() / f64::from(longest),
        };
        let step = times(s, &batch.members).decode_step;
        for r in &batch.members {
            let latency = batch.end() - r.arrival;
            let broken = match s.sla.published_token_rule {
                TokenRule::BatchTbt => per_token > s.sla.token_ms / 1e3,
                TokenRule::DecodeStep => step > s.sla.token_ms / 1e3,
                TokenRule::EndToEnd => batch.end() > r.arrival + s.sla.token_ms / 1e3,
            };
            token_violations += f64::from(u8::from(broken));
            request_violations += f64::from(u8::from(latency > s.sla.request_s));
            tokens += r.tokens();
            latencies.push(latency);
            waits.push(batch.start - r.arrival);
            services.push(batch.clocked());
            steps.push(step * 1e3);
            tbt.push(per_token * 1e3);
        }
    }
    let n = latencies.len() as f64;
    let mut busy = vec![0.0; s.fleet.gpus as usize];
    for batch in &truth.batches {
        busy[batch.gpu] += batch.service;
    }
    let utilization: Vec<f64> = busy.iter().map(|b| b / makespan).collect();
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    [
        ("token_violations", token_violations),
        ("request_violations", request_violations),
        ("avg_decode_step_ms", mean(&steps)),
        ("avg_tbt_ms", mean(&tbt)),
        ("p95_tbt_ms", percentile(&tbt, 0.95)),
        ("p99_tbt_ms", percentile(&tbt, 0.99)),
        ("max_tbt_ms", percentile(&tbt, 1.0)),
        ("avg_latency_s", mean(&latencies)),
        ("p50_latency_s", percentile(&latencies, 0.5)),
        ("p95_latency_s", percentile(&latencies, 0.95)),
        ("p99_latency_s", percentile(&latencies, 0.99)),
        ("max_latency_s", percentile(&latencies, 1.0)),
        ("avg_queueing_s", mean(&waits)),
        ("avg_service_s", mean(&services)),
        ("gpu_utilization_mean", mean(&utilization)),
        ("gpu_utilization_min", percentile(&utilization, 0.0)),
        ("gpu_utilization_max", percentile(&utilization, 1.0)),
        ("batches", truth.batches.len() as f64),
        ("avg_batch", n / truth.batches.len() as f64),
        (
            "min_batch",
            truth.batches.iter().map(|b| b.members.len()).min().unwrap() as f64,
        ),
        (
            "max_batch",
            truth.batches.iter().map(|b| b.members.len()).max().unwrap() as f64,
        ),
        ("makespan_s", makespan),
        ("tokens_per_s", tokens / makespan),
        ("requests_per_s", n / makespan),
        ("capacity_qps_under_sla", (n - token_violations) / makespan),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), Some(value)))
    .collect()
}

/// Every figure of `honest`, from the definitions.
fn honest(s: &Scenario, truth: &Truth) -> Figures {
    let makespan = truth.batches.iter().map(Batch::end).fold(0.0, f64::max);
    let (mut queueing, mut ttfts, mut tpots, mut e2e) = (vec![], vec![], vec![], vec![]);
    let (mut met_token, mut met_request, mut met_ttft, mut met_all) = (0.0, 0.0, 0.0, 0.0);
    let (mut tokens, mut outputs, mut positions, mut in_system) = (0.0, 0.0, 0.0, 0.0);
    let (mut failed_replayed, mut failed_only, mut backlog) = (0.0, 0.0, 0.0);
    let (mut peak, mut over_memory, mut right_bin, mut error) = (0.0f64, 0.0, 0.0, 0.0);
    for batch in &truth.batches {
        let b = batch.members.len() as f64;
        let times = times(s, &batch.members);
        positions += times.positions;
        peak = peak.max(batch.tokens());
        let need = s.memory().model_gb + s.memory().kv_gb_per_token * batch.tokens();
        if need > s.memory().capacity_gb - s.memory().margin_gb {
            over_memory += 1.0;
        }
        if batch.longest_output() == 0 {
            failed_only += batch.service;
        }
        if batch.start > truth.span {
            backlog += b;
        }
        for r in &batch.members {
            let latency = batch.end() - r.arrival;
            in_system += latency;
            if r.output == 0 {
                failed_replayed += 1.0;
                continue;
            }
            let waited = batch.start - r.arrival;
            let first_token = waited + (times.first_token)(r.prompt);
            let ttft = first_token.min(latency);
            let mut within = true;
            if r.output > 1 {
                let tpot = (latency - ttft) / f64::from(r.output - 1) * 1e3;
                within = tpot <= s.sla.token_ms;
                tpots.push(tpot);
            }
            let in_time = latency <= s.sla.request_s;
            met_token += f64::from(u8::from(within));
            met_request += f64::from(u8::from(in_time));
            let in_first = s.sla.ttft_s.is_none_or(|bound| ttft <= bound);
            met_ttft += f64::from(u8::from(in_first));
            met_all += f64::from(u8::from(within && in_time && in_first));
            tokens += r.tokens();
            outputs += f64::from(r.output);
            queueing.push(waited);
            ttfts.push(ttft);
            e2e.push(latency);
            error += (f64::from(r.predicted) - f64::from(r.output)).abs();
            if bin_of(s, &truth.intervals, r.output) == batch.bin {
                right_bin += 1.0;
            }
        }
    }
    let n = e2e.len() as f64;
    let replayed: usize = truth.batches.iter().map(|b| b.members.len()).sum();
    let mut busy = vec![0.0; s.fleet.gpus as usize];
    for batch in &truth.batches {
        busy[batch.gpu] += batch.service;
    }
    let utilization: Vec<f64> = busy.iter().map(|b| b / makespan).collect();
    let share = |met: f64| (n > 0.0).then(|| met / n);
    let per_span = |x: f64| (truth.offered && truth.span > 0.0).then(|| x / truth.span);
    let mut figures = Figures::new();
    distribution(&mut figures, "queueing_s", &queueing);
    distribution(&mut figures, "ttft_s", &ttfts);
    distribution(&mut figures, "tpot_ms", &tpots);
    distribution(&mut figures, "e2e_s", &e2e);
    // What one user gets: asked for in closed loops only.
    let rates: Vec<f64> = truth
        .batches
        .iter()
        .flat_map(|batch| batch.members.iter().map(|r| (batch.end(), r)))
        .filter(|(_, r)| s.workload.closed_loop.is_some() && r.output > 0)
        .map(|(end, r)| f64::from(r.output) / (end - r.arrival))
        .collect();
    distribution(&mut figures, "request_tokens_per_s", &rates);
    for (name, value) in [
        ("requests", Some(n)),
        ("failed_replayed", Some(failed_replayed)),
        ("failed_dropped", Some((truth.taken - replayed) as f64)),
        ("sla.token", share(met_token)),
        ("sla.request", share(met_request)),
        ("sla.joint", share(met_all)),
        ("sla.ttft", s.sla.ttft_s.and_then(|_| share(met_ttft))),
        ("makespan_s", Some(makespan)),
        ("goodput_requests_per_s", Some(met_all / makespan)),
        ("offered_requests_per_s", per_span(n)),
        ("served_requests_per_s", Some(n / makespan)),
        ("offered_tokens_per_s", per_span(tokens)),
        ("served_tokens_per_s", Some(tokens / makespan)),
        ("output_tokens_per_s", Some(outputs / makespan)),
        (
            "padding_waste",
            (positions > 0.0).then(|| 1.0 - tokens / positions),
        ),
        (
            "utilization.mean",
            Some(utilization.iter().sum::<f64>() / utilization.len() as f64),
        ),
        ("utilization.min", Some(percentile(&utilization, 0.0))),
        ("utilization.max", Some(percentile(&utilization, 1.0))),
        ("gpu_s_for_failed_only", Some(failed_only)),
        ("backlog_at_last_arrival", Some(backlog)),
        ("mean_in_system", Some(in_system / makespan)),
        ("peak_batch_tokens", Some(peak)),
        ("batches_over_memory", Some(over_memory)),
    ] {
        figures.insert(name.to_owned(), value);
    }
    if s.closed().unwrap().latency.linear().is_none() {
        figures.insert("outside_measurements".to_owned(), Some(0.0));
    }
    for (gpu, share) in utilization.iter().enumerate() {
        figures.insert(format!("utilization.per_gpu.{gpu}"), Some(*share));
    }
    if has_bins(s) && n > 0.0 {
        figures.insert("prediction.bin_accuracy".to_owned(), Some(right_bin / n));
        figures.insert(
            "prediction.mean_abs_error_tokens".to_owned(),
            Some(error / n),
        );
    } else {
        figures.insert("prediction".to_owned(), None);
    }
    figures
}

/// The numbers of a JSON value by dotted path.
fn flat(path: &str, value: &Value, into: &mut Figures) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Null => {
            into.insert(path.to_owned(), None);
        }
        Value::Number(number) => {
            into.insert(path.to_owned(), Some(number.as_f64().unwrap()));
        }
        Value::Object(fields) => fields.iter().for_each(|(k, v)| flat(&below(k), v, into)),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                flat(&below(&i.to_string()), item, into);
            }
        }
        Value::String(_) | Value::Bool(_) => {}
    }
}

/// Equal names, and values equal to 1e-9. What is a small difference of large times (a time per
/// token, a waste) carries their rounding: `scale` is the size of what was subtracted.
fn compare(set: &str, got: &impl serde::Serialize, want: &Figures) -> Result<(), TestCaseError> {
    let mut all = Figures::new();
    flat("", &serde_json::to_value(got).unwrap(), &mut all);
    let names = |figures: &Figures| figures.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(names(&all), names(want), "the names in {}", set);
    for (name, want) in want {
        let got = all[name];
        let near = match (got, *want) {
            (Some(got), Some(want)) => (got - want).abs() <= 1e-9 * want.abs().max(1e-3),
            (None, None) => true,
            _ => false,
        };
        prop_assert!(near, "{set}.{name} is {got:?}, the oracle says {want:?}");
    }
    Ok(())
}

fn check(trace: &Trace, s: &Scenario) -> Result<(), TestCaseError> {
    let got: Outcome = match (simulate(trace, s), oracle(trace, s)) {
        (Ok(outcome), Some(truth)) => {
            let b = &outcome.batches;
            prop_assert_eq!(b.len(), truth.batches.len(), "number of batches");
            for (i, want) in truth.batches.iter().enumerate() {
                let rows: Vec<u32> = want.members.iter().map(|r| r.row as u32).collect();
                prop_assert_eq!(
                    outcome.requests.members(b, i),
                    rows,
                    "members of batch {}",
                    i
                );
                prop_assert_eq!(b.start[i], want.start, "start of batch {}", i);
                prop_assert_eq!(b.service[i], want.service, "service of batch {}", i);
                prop_assert_eq!(b.end(i), want.end(), "end of batch {}", i);
                prop_assert_eq!(usize::from(b.gpu[i]), want.gpu, "GPU of batch {}", i);
                prop_assert_eq!(usize::from(b.bin[i]), want.bin, "bin of batch {}", i);
                prop_assert_eq!(b.size[i] as usize, want.members.len());
                prop_assert_eq!(b.longest_total[i], want.longest_total());
                prop_assert_eq!(b.longest_output[i], want.longest_output());
            }
            let bins: Vec<(u32, u32)> = outcome
                .summary
                .bins
                .iter()
                .map(|&[low, high]| (low, high))
                .collect();
            if has_bins(s) {
                prop_assert_eq!(&bins, &truth.intervals);
            } else {
                prop_assert!(bins.is_empty());
            }
            let w = &outcome.summary.workload;
            prop_assert_eq!(w.rows_taken as usize, truth.taken);
            prop_assert_eq!(w.rows_failed as usize, truth.failed);
            prop_assert_eq!(w.time_scale, truth.time_scale);
            prop_assert_eq!(w.span_s, truth.span);
            let arrivals = outcome.requests.arrivals(trace);
            for r in truth.batches.iter().flat_map(|b| &b.members) {
                prop_assert_eq!(arrivals.of(r.row), r.arrival, "arrival of row {}", r.row);
            }
            compare(
                "published",
                &outcome.summary.published,
                &published(s, &truth),
            )?;
            compare("honest", &outcome.summary.honest, &honest(s, &truth))?;
            return Ok(());
        }
        (Err(_), None) => return Ok(()),
        (Ok(outcome), None) => outcome,
        (Err(error), Some(_)) => {
            return Err(TestCaseError::fail(format!(
                "refused what can be replayed: {error}"
            )));
        }
    };
    Err(TestCaseError::fail(format!(
        "replayed {} batches where there is nothing to replay",
        got.batches.len()
    )))
}

/// Coefficients whose sums over steps are exact, in whatever order they are added.
fn dyadic_step() -> impl Strategy<Value = Step> {
    let many =
        |most: u32, bits: i32| (0..=most).prop_map(move |n| f64::from(n) * 0.5f64.powi(bits));
    let coefficients = (
        many(64, 10),
        many(32, 14),
        many(32, 22),
        many(32, 16),
        many(8, 26),
        many(32, 12),
        many(32, 14),
    );
    coefficients.prop_map(|(c0, c1, c2, c3, c4, d0, d1)| Step {
        c0_s: c0 + 0.5f64.powi(10),
        c1_s_per_sequence: c1,
        c2_s_per_context_token: c2,
        c3_s_per_prefill_token: c3,
        c4_s_per_prefill_pair: c4,
        compute: Some(Compute {
            d0_s: d0,
            d1_s_per_token: d1,
        }),
    })
}

const KINDS: &[Kind] = &[
    Kind::Oracle,
    Kind::Oracle,
    Kind::Published,
    Kind::PromptOnly,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_batch_and_figure_with_fixed_ties(
        trace in arbitrary::trace(0..=200),
        scenario in arbitrary::scenario(KINDS),
    ) {
        check(&trace, &scenario)?;
    }

    #[test]
    fn every_batch_and_figure_by_steps(
        trace in arbitrary::trace(0..=200),
        mut scenario in arbitrary::scenario(KINDS),
        closed_loop in prop::option::of(arbitrary::closed_loop()),
        step in dyadic_step(),
    ) {
        scenario.closed_mut().latency = Latency::Steps(Box::new(StepLatency::Linear(step)));
        if let Some(closed_loop) = closed_loop {
            scenario.workload = arbitrary::by_users(scenario.workload, closed_loop);
        }
        check(&trace, &scenario)?;
    }

    #[test]
    fn every_batch_and_figure_in_a_closed_loop(
        trace in arbitrary::trace(0..=200),
        mut scenario in arbitrary::scenario(KINDS),
        closed_loop in arbitrary::closed_loop(),
    ) {
        scenario.workload = arbitrary::by_users(scenario.workload, closed_loop);
        check(&trace, &scenario)?;
    }

    #[test]
    fn every_batch_and_figure_with_the_published_heap(
        trace in arbitrary::trace(0..=200),
        mut scenario in arbitrary::scenario(KINDS),
    ) {
        scenario.workload.ties = Ties::PublishedHeap;
        check(&trace, &scenario)?;
    }

    #[test]
    fn every_batch_and_figure_with_the_published_heap_and_ascending_gpus(
        trace in arbitrary::trace(0..=200),
        mut scenario in arbitrary::scenario(KINDS),
    ) {
        scenario.workload.ties = Ties::PublishedHeapAscending;
        check(&trace, &scenario)?;
    }
}
