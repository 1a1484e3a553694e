//! One replica: what its steps do, and the jump over steps in which nothing changes but time, contexts
//! and blocks.
//!
//! While the same sequences decode and nobody joins, leaves or lacks a block, step j of a jump lasts
//! `at + j slope`: the contexts grow by one token each, and the latency is a line in their sum. So n steps
//! last `n at + slope n (n - 1) / 2`, and blocks, tokens and gaps follow in closed form too. A jump ends
//! before the first event that could change the next step; an arrival that could join cuts it short.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::record::{Fate, Served, Totals};
use super::series::Level;
use crate::latency::{Chunk, StepModel, StepWork};
use crate::sched::continuous::kv::{Left, Pool, Preemption, Reuse};
use crate::sched::continuous::speculative::{Speculative, uniform};
use crate::sched::continuous::waiting::{Head, Place, Preempted, Waiting};
use crate::sched::continuous::{Order, Rule, Server};
use crate::trace::{NO_SESSION, PrefixBlocks};

/// No slot.
const NONE: u32 = u32::MAX;

/// A server's settings in the units of the inner loop.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub rule: Rule,
    pub fcfs: bool,
    pub bins: bool,
    pub patience_s: f64,
    pub max_sequences: u32,
    pub budget: u32,
    /// Most tokens of one prompt in a step.
    pub longest_chunk: u32,
    /// Whether a step is put together while the one before it runs.
    pub ahead: bool,
    /// Tokens of a block.
    pub block: u64,
    /// Blocks of a replica that requests can use; `None` without a limit.
    pub blocks: Option<u64>,
    /// Blocks that stay free when a request joins others.
    pub watermark: u64,
    /// Whether a request joins only if its whole prompt fits.
    pub whole_fits: bool,
    /// Time to copy a block one way; `None` where preempted requests compute again.
    pub swap_s: Option<f64>,
    pub eviction_s: f64,
    pub reuse: Reuse,
    /// Tokens of a hash unit; 0 where there are none.
    pub unit: u64,
    pub draft: Option<Speculative>,
    pub seed: u32,
    /// Most steps of a jump.
    pub longest_jump: u64,
}

impl Rules {
    /// `blocks`: of a replica, that requests can use. `block_gb`: of a block. `unit`: tokens of a hash unit.
    pub fn new(server: &Server, blocks: Option<u64>, block_gb: f64, unit: u32, seed: u32) -> Rules {
        let kv = &server.kv;
        let unit = if kv.prefix.reuse == Reuse::Hashes {
            u64::from(unit)
        } else {
            0
        };
        let all = blocks.map_or(0, |blocks| blocks + u64::from(kv.null_block));
        Rules {
            rule: server.rule,
            fcfs: server.order == Order::Fcfs,
            bins: server.bins,
            patience_s: server.bin_patience_s,
            max_sequences: server.max_sequences,
            budget: server.max_batched_tokens,
            longest_chunk: match server.long_prefill_token_threshold {
                0 => u32::MAX,
                most => most,
            },
            ahead: server.async_scheduling && server.rule != Rule::Closed,
            block: u64::from(kv.block_tokens),
            blocks,
            watermark: libm::floor(kv.watermark * all as f64) as u64,
            whole_fits: server.admission.whole_prompt_fits && server.rule != Rule::Closed,
            swap_s: match kv.preemption {
                Preemption::Recompute => None,
                Preemption::Swap { gb_per_s } => Some(block_gb / gb_per_s),
            },
            eviction_s: kv.prefix.eviction_s,
            reuse: kv.prefix.reuse,
            unit,
            draft: server.speculative.clone(),
            seed,
            longest_jump: u64::MAX,
        }
    }

    fn blocks_for(&self, tokens: u32) -> u64 {
        u64::from(tokens).div_ceil(self.block)
    }

    /// Blocks that end with a hash unit or before it, by its place in the prompt.
    pub fn unit_end(&self, place: usize) -> u64 {
        (place as u64 + 1) * self.unit / self.block
    }

    /// Blocks of the first `units` hash units.
    fn unit_blocks(&self, units: usize) -> u64 {
        units as u64 * self.unit / self.block
    }

    /// Whether a prompt's blocks are all taken when it joins.
    fn whole(&self) -> bool {
        matches!(self.rule, Rule::Sarathi | Rule::Orca)
    }
}

/// What replicas read of the requests, by row of the window.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub prompt: &'a [u32],
    pub output: &'a [u32],
    /// Empty where nothing asks for predictions.
    pub predicted: &'a [u32],
    pub session: &'a [u32],
    pub prefix: Option<&'a PrefixBlocks>,
    /// Row of the next request of the session, [`NO_SESSION`] where there is none; empty where nothing asks.
    pub next_turn: &'a [u32],
    /// Row of the trace that is row 0 of the window.
    pub first: usize,
}

impl<'a> Rows<'a> {
    pub fn predicted(&self, row: u32) -> u32 {
        self.predicted.get(row as usize).copied().unwrap_or(0)
    }

    /// A prompt has at least the token that begins it.
    pub fn prompt(&self, row: u32) -> u32 {
        self.prompt[row as usize].max(1)
    }

    pub fn session(&self, row: u32) -> Option<u32> {
        let session = self.session.get(row as usize).copied();
        session.filter(|&session| session != NO_SESSION)
    }

    /// Prompt and predicted output, tokens.
    pub fn work(&self, row: u32) -> u64 {
        u64::from(self.prompt(row)) + u64::from(self.predicted(row))
    }

    /// The hash units of the session's next prompt behind those of this one, if that prompt begins with this
    /// request's prompt and answer.
    pub fn units_of_answer(&self, row: u32, unit: u64) -> &'a [u32] {
        let next = self.next_turn.get(row as usize).copied();
        let Some(next) = next.filter(|&next| next != NO_SESSION) else {
            return &[];
        };
        let tokens = u64::from(self.prompt(row)) + u64::from(self.output[row as usize]);
        if u64::from(self.prompt(next)) < tokens {
            return &[];
        }
        let units = self.units(next, unit);
        units
            .strip_prefix(self.units(row, unit))
            .unwrap_or_default()
    }

    /// The hash units of the prompt that are whole.
    pub fn units(&self, row: u32, unit: u64) -> &'a [u32] {
        match self.prefix {
            Some(prefix) if unit > 0 => {
                let units = prefix.of(self.first + row as usize);
                let whole = u64::from(self.prompt[row as usize]) / unit;
                &units[..units.len().min(whole as usize)]
            }
            _ => &[],
        }
    }
}

/// What all replicas share while one of them is at work.
pub(super) struct Desk<'a> {
    pub rules: &'a Rules,
    pub model: &'a StepModel,
    pub rows: Rows<'a>,
    pub served: &'a mut Served,
    pub totals: &'a mut Totals,
    /// Rows of requests that have just been answered.
    pub answered: &'a mut Vec<u32>,
    /// Every step, where somebody wants to see them.
    pub steps: Option<&'a mut Vec<StepRow>>,
}

/// Most rows of steps that a run keeps, 64 bytes each. In a browser they and their file share 4 GiB.
pub(super) const MOST_STEP_ROWS: usize = if cfg!(target_arch = "wasm32") {
    2_000_000
} else {
    10_000_000
};

/// Steps of a replica one after another with the same requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRow {
    pub replica: u16,
    /// s.
    pub start_s: f64,
    pub end_s: f64,
    pub steps: u32,
    /// How long the first lasts, s; each further one is longer or shorter by as much as the one before.
    pub first_s: f64,
    /// Sequences that decode in each.
    pub sequences: u32,
    /// Prompt tokens of the step.
    pub prompt_tokens: u32,
    /// Requests that wait when they begin.
    pub waiting: u32,
    /// Tokens in the cache when they begin.
    pub tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prefilling,
    Decoding,
    /// Has all its tokens and keeps its place (closed batches, or until the scheduler knows).
    Done,
}

/// A running request.
#[derive(Debug, Clone)]
struct Slot {
    row: u32,
    bin: u8,
    /// In the order of those that wait, to which it goes back if it is preempted.
    place: Place,
    stage: Stage,
    /// Neighbours in the order of joining.
    before: u32,
    after: u32,
    /// Number of its joining.
    joined: u64,
    /// Tokens after which its prompt is processed.
    target: u32,
    /// Tokens in the cache, at decode step `since` if it decodes.
    processed: u32,
    /// Tokens it has, at `since` if it decodes.
    emitted: u32,
    since: u64,
    output: u32,
    /// Prompt tokens that the step at hand processes.
    chunk: u32,
    /// Tokens that are proposed in the step at hand.
    drafted: u32,
    /// Blocks; while it decodes without a draft they follow from its tokens.
    held: u64,
    /// When its last token came, if that was not at the end of the step before; NaN otherwise.
    last_token_s: f64,
    /// Hash units that it uses, their blocks, and how many of the prompt's it has passed.
    shared: Vec<u32>,
    shared_blocks: u64,
    units_passed: usize,
}

/// The step at hand, or several.
#[derive(Debug, Clone, Copy, Default)]
struct Now {
    start_s: f64,
    /// Steps.
    count: u64,
    /// Of these, how many have their blocks already; without a look from outside, the first alone.
    taken: u64,
    /// Length of the first, s, and by how much each further one is longer.
    at_s: f64,
    slope_s: f64,
    /// Whether more follows from its shape than decoding: chunks, proposals, odd gaps.
    single: bool,
    inside: bool,
}

impl Now {
    fn end_s(&self, count: u64) -> f64 {
        let n = count as f64;
        self.start_s + (n * self.at_s + self.slope_s * (n * (n - 1.0) * 0.5))
    }
}

/// Counts from which a step's copies and evictions are told.
#[derive(Debug, Clone, Copy)]
struct Copied {
    evictions: u64,
    swapped_blocks: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Replica {
    number: u16,
    pub waiting: Waiting,
    /// Prompt and predicted output of all that wait or run, tokens.
    pub work: u64,
    pool: Pool,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// First and last in the order of joining.
    first: u32,
    last: u32,
    running: u32,
    joined: u64,
    /// Those whose prompt is not processed, in order of joining.
    prefilling: VecDeque<u32>,
    /// Decode steps so far.
    step: u64,
    /// Sequences that decode, and those that only keep their place.
    decoding: u32,
    done: u32,
    /// Contexts that the next step reads, tokens.
    context: u64,
    /// Tokens in the cache.
    tokens: u64,
    /// By step number modulo block size, how many decoding sequences need a block then.
    ring: Vec<u32>,
    /// When each decoding sequence has its last token: step, number of joining, slot.
    finish: BinaryHeap<Reverse<(u64, u64, u32)>>,
    now: Now,
    /// When the steps at hand end; infinity while it rests.
    pub end_s: f64,
    chunks: Vec<Chunk>,
    /// Tokens that are proposed in it.
    drafted: u32,
    /// Slots whose prompt ends in the step at hand.
    fresh: Vec<u32>,
    /// Slots that decode in the step at hand and whose last token is longer ago.
    odd: Vec<u32>,
    /// The bin that shares the replica, and since when.
    bin: u8,
    bin_since_s: f64,
    /// Since when the number of those that wait has not changed, s.
    waiting_since_s: f64,
    /// Rows that arrived while it rests, at this very moment, where admission limits how many wait.
    newcomers: Vec<u32>,
    /// Slots that are done since the end of the last step, where steps are put together ahead.
    leaving: Vec<u32>,
    /// When the last step began and ended, s.
    last_step_s: (f64, f64),
}

impl Replica {
    pub fn new(number: u16, rules: &Rules, waiting: Waiting, pool: Pool) -> Replica {
        Replica {
            number,
            waiting,
            work: 0,
            pool,
            slots: Vec::new(),
            vacant: Vec::new(),
            first: NONE,
            last: NONE,
            running: 0,
            joined: 0,
            prefilling: VecDeque::new(),
            step: 0,
            decoding: 0,
            done: 0,
            context: 0,
            tokens: 0,
            ring: vec![0; rules.block as usize],
            finish: BinaryHeap::new(),
            now: Now::default(),
            end_s: f64::INFINITY,
            chunks: Vec::new(),
            drafted: 0,
            fresh: Vec::new(),
            odd: Vec::new(),
            bin: 0,
            bin_since_s: 0.0,
            waiting_since_s: 0.0,
            newcomers: Vec::new(),
            leaving: Vec::new(),
            last_step_s: (f64::NAN, f64::NAN),
        }
    }

    /// Requests that wait or run.
    pub fn requests(&self) -> u32 {
        self.waiting.count() + self.at_work()
    }

    /// Requests that run and are not answered.
    fn at_work(&self) -> u32 {
        self.running - self.leaving.len() as u32
    }

    /// Blocks with content that were taken for something else.
    pub fn evictions(&self) -> u64 {
        self.pool.evictions
    }

    pub fn rests(&self) -> bool {
        self.end_s == f64::INFINITY
    }

    /// How many of these hash units are in the cache, from the first on.
    pub fn found_units(&self, units: &[u32], rules: &Rules) -> usize {
        self.pool.found_units(units, |place| rules.unit_end(place))
    }

    /// The number of those that wait is about to change: what it was goes into the series.
    #[inline]
    pub fn waiting_changes(&mut self, now_s: f64, totals: &mut Totals) {
        let waiting = self.waiting.count();
        if waiting > 0 && now_s > self.waiting_since_s {
            totals.series.hold(
                Level::Waiting,
                self.waiting_since_s,
                now_s,
                f64::from(waiting),
            );
        }
        self.waiting_since_s = now_s;
    }

    /// A request arrived and waits. Where it could join the next step, the steps at hand end with the one
    /// during which it came.
    #[inline]
    pub fn arrives(&mut self, row: u32, bin: u8, key: f64, now_s: f64, desk: &mut Desk<'_>) {
        self.waiting_changes(now_s, desk.totals);
        let others_wait = self.waiting.count() > 0;
        if desk.rules.ahead {
            self.waiting.push_unseen(row, bin, key, now_s);
        } else {
            self.waiting.push(row, bin, key, now_s);
        }
        if self.now.count > 1 {
            let rules = desk.rules;
            let hopeless = self.running >= rules.max_sequences
                || rules.rule == Rule::Closed
                || (rules.bins && bin != self.bin)
                // Whoever was first and did not fit is first still.
                || (rules.fcfs && !rules.bins && others_wait);
            if !hopeless {
                self.cut(now_s);
            }
        }
    }

    /// A request arrives that may find too many waiting, `most` of them. Where a step begins at this moment,
    /// [`Replica::turn_away`] decides after those have joined that can.
    pub fn admits(&mut self, row: u32, most: u32) -> bool {
        if self.rests() {
            self.newcomers.push(row);
            return true;
        }
        self.waiting.count() < most
    }

    /// Rejects those that arrived at `now_s`, when a step begins, did not join it and find `most` others
    /// waiting.
    pub fn turn_away(&mut self, most: u32, now_s: f64, desk: &mut Desk<'_>) {
        let mut newcomers = std::mem::take(&mut self.newcomers);
        newcomers.retain(|&row| desk.served.waits(row));
        // Who came before each of them.
        let mut others = self.waiting.count() - newcomers.len() as u32;
        for row in newcomers.drain(..) {
            if others < most {
                others += 1;
                continue;
            }
            self.is_gone(row, Fate::Rejected, now_s, desk);
        }
        self.newcomers = newcomers;
    }

    /// A request that waits and never joined is gone.
    pub fn is_gone(&mut self, row: u32, fate: Fate, now_s: f64, desk: &mut Desk<'_>) {
        self.waiting_changes(now_s, desk.totals);
        self.waiting.gone();
        self.work -= desk.rows.work(row);
        desk.served.fate[row as usize] = fate;
        desk.answered.push(row);
        // Those behind it may fit.
        self.cut(now_s);
    }

    /// The steps at hand end with the first that does not end before `now_s`.
    pub fn cut(&mut self, now_s: f64) {
        if self.rests() || self.now.count <= 1 {
            return;
        }
        self.now.count = self.begun(now_s);
        self.end_s = self.now.end_s(self.now.count);
    }

    /// Blocks that steps begun before `now_s` need are taken, so that the cache is what it is at that
    /// moment.
    pub fn catch_up(&mut self, now_s: f64) {
        if self.rests() || self.now.taken == self.now.count {
            return;
        }
        let begun = self.begun(now_s);
        if begun > self.now.taken {
            let more = self.blocks_needed(self.now.taken, begun);
            self.pool.take(more);
            self.now.taken = begun;
        }
    }

    /// How many of the steps at hand there are up to the first that does not end before `now_s`.
    fn begun(&self, now_s: f64) -> u64 {
        let now = &self.now;
        let x = now_s - now.start_s;
        let q = now.at_s - 0.5 * now.slope_s;
        // The root of n at + slope n (n - 1)/2 = x, in the form that does not cancel. Where steps get
        // shorter the sum has a greatest value, which x meets at most by rounding.
        let root = 2.0 * x / (q + libm::sqrt((q * q + 2.0 * now.slope_s * x).max(0.0)));
        let mut count = (libm::ceil(root).max(1.0) as u64).min(now.count);
        while count < now.count && now.end_s(count) < now_s {
            count += 1;
        }
        while count > 1 && now.end_s(count - 1) >= now_s {
            count -= 1;
        }
        count
    }

    /// How many of the steps at hand have ended by `at_s`.
    fn ended_by(&self, at_s: f64) -> u64 {
        if at_s <= self.now.start_s {
            return 0;
        }
        let begun = self.begun(at_s);
        begun - u64::from(self.now.end_s(begun) > at_s)
    }

    /// The steps at hand are over: tokens come, and who is done leaves.
    pub fn settle(&mut self, desk: &mut Desk<'_>) {
        let now = self.now;
        let end_s = self.end_s;
        let n = now.count;
        let nf = n as f64;
        let length_s = end_s - now.start_s;
        let totals = &mut *desk.totals;
        totals.steps += n;
        totals.end_s = totals.end_s.max(end_s);
        totals.busy_s[usize::from(self.number)] += length_s;
        if !now.inside {
            totals.steps_outside += n;
        }
        if let Some(steps) = &mut desk.steps
            && let Some(step) = steps.iter_mut().rfind(|s| s.replica == self.number)
        {
            // An arrival may have cut them short.
            step.end_s = end_s;
            step.steps = n as u32;
        }
        let held = self.tokens as f64;
        totals.token_s += self.token_s(n);
        let growth = f64::from(self.decoding);
        totals.decoded += growth * nf;
        totals.context += self.context as f64 * nf + growth * (nf * (nf - 1.0) * 0.5);

        if now.single {
            self.settle_single(desk);
        } else {
            let active = u64::from(self.decoding);
            let more = self.blocks_needed(now.taken, n);
            self.pool.take(more);
            self.step += n;
            self.context += active * n;
            self.tokens += active * n;
            totals.emitted += active * n;
            let before = self.ended_by(totals.last_mark_s());
            let gaps = &mut totals.gaps;
            gaps.add_line(now.at_s, now.slope_s, n, active, before);
        }
        let totals = &mut *desk.totals;
        totals.peak_tokens = totals.peak_tokens.max(self.tokens);
        let used = self.pool.used();
        totals.peak_blocks = totals.peak_blocks.max(used);
        totals.part_peak_tokens = totals.part_peak_tokens.max(self.tokens);
        totals.part_peak_blocks = totals.part_peak_blocks.max(used);
        let series = &mut totals.series;
        let tokens = self.tokens as f64;
        let at_work = f64::from(self.at_work());
        series.hold(Level::Running, now.start_s, end_s, at_work);
        series.slope(Level::Tokens, now.start_s, end_s, held, tokens);
        series.hold(Level::Blocks, now.start_s, end_s, used as f64);
        series.hold(Level::Busy, now.start_s, end_s, 1.0);

        self.last_step_s = (now.end_s(n - 1), end_s);
        self.let_go(desk);
        if desk.rules.draft.is_some() {
            self.leave_drafting(end_s, desk);
        } else {
            while let Some(&Reverse((step, joined, slot))) = self.finish.peek() {
                if step > self.step {
                    break;
                }
                self.finish.pop();
                if self.slots[slot as usize].joined == joined {
                    self.is_done(slot, end_s, desk);
                }
            }
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        for slot in fresh.drain(..) {
            self.prompt_ends(slot, end_s, desk);
        }
        self.fresh = fresh;
        if self.done > 0 && self.decoding == 0 && self.prefilling.is_empty() {
            self.all_leave(end_s, desk);
        }
        self.end_s = f64::INFINITY;
    }

    /// Tokens in the cache times time, of the first `n` of the steps at hand, token s.
    fn token_s(&self, n: u64) -> f64 {
        let (now, nf) = (&self.now, n as f64);
        // Tokens before the step times its length, summed over the steps.
        let growth = f64::from(self.decoding);
        let held = self.tokens as f64;
        let steps_sum = nf * (nf - 1.0) * 0.5;
        let squares_sum = steps_sum * (2.0 * nf - 1.0) / 3.0;
        nf * held * now.at_s
            + (held * now.slope_s + growth * now.at_s) * steps_sum
            + growth * now.slope_s * squares_sum
    }

    /// Adds what the steps at hand have done by `at_s`: the steps that have ended, and the time up to this
    /// moment. Evictions are counted here alone.
    /// `last_mark_s` is when the part of the run began that ends now.
    pub fn so_far(&self, at_s: f64, last_mark_s: f64, totals: &mut Totals) {
        totals.evictions += self.pool.evictions;
        if self.rests() {
            return;
        }
        let now = &self.now;
        let ended = self.ended_by(at_s);
        let (active, ended_f) = (u64::from(self.decoding), ended as f64);
        let growth = f64::from(self.decoding);
        let ended_s = if ended > 0 {
            now.end_s(ended)
        } else {
            now.start_s
        };
        totals.steps += ended;
        if !now.inside {
            totals.steps_outside += ended;
        }
        totals.at_hand_s += at_s - ended_s;
        totals.busy_s[usize::from(self.number)] += at_s - now.start_s;
        totals.token_s += self.token_s(ended);
        totals.token_s += (self.tokens as f64 + growth * ended_f) * (at_s - ended_s);
        totals.decoded += growth * ended_f;
        totals.context +=
            self.context as f64 * ended_f + growth * (ended_f * (ended_f - 1.0) * 0.5);
        totals.emitted += active * ended;
        let before = self.ended_by(last_mark_s);
        let gaps = &mut totals.gaps;
        gaps.add_line(now.at_s, now.slope_s, ended, active, before);
    }

    /// What a step leaves that has chunks, proposals or gaps of its own.
    fn settle_single(&mut self, desk: &mut Desk<'_>) {
        let end_s = self.end_s;
        let length_s = end_s - self.now.start_s;
        let totals = &mut *desk.totals;
        for chunk in &self.chunks {
            totals.prefilled += f64::from(chunk.tokens);
            totals.pairs += chunk.pairs();
        }
        for i in 0..self.prefilling.len() {
            let slot = &mut self.slots[self.prefilling[i] as usize];
            slot.processed += slot.chunk;
            self.tokens += u64::from(slot.chunk);
            slot.chunk = 0;
        }
        if !self.fresh.is_empty() {
            let slots = &self.slots;
            self.prefilling
                .retain(|&at| slots[at as usize].processed < slots[at as usize].target);
        }
        if let Some(draft) = &desk.rules.draft {
            let mut at = self.first;
            while at != NONE {
                let slot = &mut self.slots[at as usize];
                let next = slot.after;
                if slot.stage == Stage::Decoding {
                    let u = uniform(desk.rules.seed, slot.row, slot.emitted);
                    let accepted = draft.accepted(slot.drafted, u);
                    totals.proposed += u64::from(slot.drafted);
                    totals.accepted += u64::from(accepted);
                    let gap = if slot.last_token_s.is_nan() {
                        length_s
                    } else {
                        end_s - slot.last_token_s
                    };
                    slot.last_token_s = f64::NAN;
                    totals.gaps.add(gap, 1);
                    if accepted > 0 {
                        totals.gaps.add(0.0, u64::from(accepted));
                    }
                    let tokens = accepted + 1;
                    slot.emitted += tokens;
                    slot.processed += tokens;
                    self.tokens += u64::from(tokens);
                    self.context += u64::from(tokens);
                    totals.emitted += u64::from(tokens);
                }
                at = next;
            }
            self.odd.clear();
        } else {
            let active = u64::from(self.decoding);
            let usual = active - self.odd.len() as u64;
            if usual > 0 {
                totals.gaps.add(length_s, usual);
            }
            for slot in self.odd.drain(..) {
                let slot = &mut self.slots[slot as usize];
                totals.gaps.add(end_s - slot.last_token_s, 1);
                slot.last_token_s = f64::NAN;
            }
            self.context += active;
            self.tokens += active;
            totals.emitted += active;
        }
        self.step += 1;
    }

    /// Those leave who have all their tokens, where drafts decide how many come in a step.
    fn leave_drafting(&mut self, end_s: f64, desk: &mut Desk<'_>) {
        let mut at = self.first;
        while at != NONE {
            let slot = &self.slots[at as usize];
            let next = slot.after;
            if slot.stage == Stage::Decoding && slot.emitted == slot.output {
                self.is_done(at, end_s, desk);
            }
            at = next;
        }
    }

    /// A prompt is processed: the next token comes, the first or the one at which the request was
    /// preempted.
    fn prompt_ends(&mut self, at: u32, end_s: f64, desk: &mut Desk<'_>) {
        let step = self.step;
        let slot = &mut self.slots[at as usize];
        if slot.emitted == 0 {
            desk.served.first_token_s[slot.row as usize] = end_s;
        } else {
            desk.totals.gaps.add(end_s - slot.last_token_s, 1);
        }
        slot.last_token_s = f64::NAN;
        desk.totals.emitted += 1;
        slot.emitted += 1;
        slot.since = step;
        self.starts_decoding(at, desk.rules);
        let slot = &self.slots[at as usize];
        if slot.emitted == slot.output {
            self.is_done(at, end_s, desk);
        }
    }

    /// The slot's sequence decodes from the next step on.
    fn starts_decoding(&mut self, at: u32, rules: &Rules) {
        let slot = &mut self.slots[at as usize];
        slot.stage = Stage::Decoding;
        self.decoding += 1;
        self.context += u64::from(slot.processed) + 1;
        if rules.draft.is_none() {
            let left = u64::from(slot.output - slot.emitted);
            if left > 0 {
                self.finish
                    .push(Reverse((slot.since + left, slot.joined, at)));
            }
            let place = Self::place(slot, rules.block);
            self.ring[place] += 1;
        }
    }

    /// Where in the ring a decoding sequence needs its blocks: at steps at which its tokens fill whole
    /// blocks.
    fn place(slot: &Slot, block: u64) -> usize {
        let tokens = u64::from(slot.processed) % block;
        ((slot.since + block - tokens) % block) as usize
    }

    /// Tokens in the cache.
    fn tokens_of(&self, slot: &Slot, rules: &Rules) -> u32 {
        if slot.stage == Stage::Decoding && rules.draft.is_none() {
            slot.processed + (self.step - slot.since) as u32
        } else {
            slot.processed
        }
    }

    /// Output tokens so far.
    fn emitted_of(&self, slot: &Slot, rules: &Rules) -> u32 {
        if slot.stage == Stage::Decoding && rules.draft.is_none() {
            slot.emitted + (self.step - slot.since) as u32
        } else {
            slot.emitted
        }
    }

    /// Blocks that a slot holds.
    fn held_by(&self, slot: &Slot, rules: &Rules) -> u64 {
        if slot.stage == Stage::Decoding && rules.draft.is_none() {
            rules.blocks_for(self.tokens_of(slot, rules)).max(slot.held)
        } else {
            slot.held
        }
    }

    /// A request has its last token.
    fn is_done(&mut self, at: u32, end_s: f64, desk: &mut Desk<'_>) {
        let rules = desk.rules;
        if rules.rule != Rule::Closed && !rules.ahead {
            self.stops_decoding(at, rules);
            self.leaves(at, end_s, desk);
            return;
        }
        let slot = &self.slots[at as usize];
        let (tokens, held, emitted) = (
            self.tokens_of(slot, rules),
            self.held_by(slot, rules),
            self.emitted_of(slot, rules),
        );
        let last_context = u64::from(tokens);
        self.stops_decoding(at, rules);
        let slot = &mut self.slots[at as usize];
        slot.processed = tokens;
        slot.held = held;
        slot.emitted = emitted;
        slot.stage = Stage::Done;
        if rules.ahead {
            self.is_answered(at, end_s, desk);
            self.leaving.push(at);
        } else {
            self.done += 1;
            self.context += last_context;
        }
    }

    /// Those leave who were done before the last step.
    fn let_go(&mut self, desk: &mut Desk<'_>) {
        let mut leaving = std::mem::take(&mut self.leaving);
        for at in leaving.drain(..) {
            self.gives_up(at, desk);
        }
        self.leaving = leaving;
    }

    /// A sequence decodes no longer.
    fn stops_decoding(&mut self, at: u32, rules: &Rules) {
        let slot = &self.slots[at as usize];
        self.decoding -= 1;
        self.context -= u64::from(self.tokens_of(slot, rules)) + 1;
        if rules.draft.is_none() {
            let place = Self::place(slot, rules.block);
            self.ring[place] -= 1;
        }
    }

    /// A closed batch is over.
    fn all_leave(&mut self, end_s: f64, desk: &mut Desk<'_>) {
        let mut at = self.first;
        while at != NONE {
            let next = self.slots[at as usize].after;
            let tokens = u64::from(self.slots[at as usize].processed);
            self.context -= tokens;
            self.done -= 1;
            self.leaves(at, end_s, desk);
            at = next;
        }
    }

    /// A request is answered; its blocks come back.
    fn leaves(&mut self, at: u32, end_s: f64, desk: &mut Desk<'_>) {
        self.is_answered(at, end_s, desk);
        self.gives_up(at, desk);
    }

    fn is_answered(&mut self, at: u32, end_s: f64, desk: &mut Desk<'_>) {
        let row = self.slots[at as usize].row;
        self.work -= desk.rows.work(row);
        desk.served.done_s[row as usize] = end_s;
        desk.served.fate[row as usize] = Fate::Done;
        desk.answered.push(row);
    }

    /// A request's place and blocks come back.
    fn gives_up(&mut self, at: u32, desk: &mut Desk<'_>) {
        let rules = desk.rules;
        let (row, tokens, held) = {
            let slot = &self.slots[at as usize];
            (
                slot.row,
                self.tokens_of(slot, rules),
                self.held_by(slot, rules),
            )
        };
        match (rules.reuse, desk.rows.session(row)) {
            (Reuse::Sessions, Some(session)) => {
                let whole = u64::from(tokens) / rules.block;
                self.pool.give(held - whole);
                self.pool.leave_session(session, whole);
            }
            (Reuse::Hashes, _) => {
                self.pass_answer(at, u64::from(tokens) / rules.block, desk);
                self.give_back(at, held);
            }
            _ => self.pool.give(held),
        }
        self.tokens -= u64::from(tokens);
        self.vacate(at);
    }

    /// Whole blocks of the answer get the hashes that the session's next prompt has for them.
    fn pass_answer(&mut self, at: u32, whole: u64, desk: &Desk<'_>) {
        let rules = desk.rules;
        let slot = &self.slots[at as usize];
        let units = desk.rows.units_of_answer(slot.row, rules.unit);
        let first = desk.rows.units(slot.row, rules.unit).len();
        // A request that was swapped shares nothing.
        if slot.units_passed == first {
            for (place, &unit) in (first..).zip(units) {
                if rules.unit_end(place) > whole {
                    break;
                }
                self.pass_unit(at, place, unit, rules);
            }
        }
    }

    /// A request has filled the last block of a hash unit.
    fn pass_unit(&mut self, at: u32, place: usize, unit: u32, rules: &Rules) {
        let blocks = rules.unit_end(place) - rules.unit_blocks(place);
        // A unit has at most as many blocks as tokens.
        if blocks > 0 && self.pool.add_unit(unit, blocks as u32) {
            let slot = &mut self.slots[at as usize];
            slot.shared.push(unit);
            slot.shared_blocks += blocks;
        }
    }

    /// Blocks of a request's own come back empty, and then its hash units, the last first.
    fn give_back(&mut self, at: u32, held: u64) {
        let slot = &mut self.slots[at as usize];
        let shared = std::mem::take(&mut slot.shared);
        self.pool.give(held - slot.shared_blocks);
        self.release_units(at, shared);
    }

    fn release_units(&mut self, at: u32, mut shared: Vec<u32>) {
        while let Some(unit) = shared.pop() {
            self.pool.release_unit(unit);
        }
        // Its room is used again.
        self.slots[at as usize].shared = shared;
        self.slots[at as usize].shared_blocks = 0;
    }

    fn vacate(&mut self, at: u32) {
        let Slot { before, after, .. } = self.slots[at as usize];
        match self.slots.get_mut(before as usize) {
            Some(other) => other.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(other) => other.before = before,
            None => self.last = before,
        }
        // Its entry in the heap is of another joining from now on.
        self.slots[at as usize].joined = u64::MAX;
        self.vacant.push(at);
        self.running -= 1;
    }

    /// Begins the next step at `now_s`, if there is anything to do.
    pub fn begin(&mut self, now_s: f64, desk: &mut Desk<'_>) {
        // What is copied and evicted while the step is put together, in however many tries, is in its time.
        let before = Copied {
            evictions: self.pool.evictions,
            swapped_blocks: desk.totals.swapped_blocks,
        };
        if desk.rules.ahead {
            // The step was put together when the last one began; after a rest, now.
            let (start_s, end_s) = self.last_step_s;
            self.waiting
                .see(if end_s == now_s { start_s } else { now_s });
        }
        loop {
            let waiting = self.waiting.count();
            let since_s = self.waiting_since_s;
            let preempted = self.compose(before, now_s, desk);
            if self.waiting.count() != waiting {
                // What waited until now waited until now.
                if waiting > 0 && now_s > since_s {
                    desk.totals
                        .series
                        .hold(Level::Waiting, since_s, now_s, f64::from(waiting));
                }
                self.waiting_since_s = now_s;
            }
            if !self.rests() {
                return;
            }
            if !self.leaving.is_empty() || self.waiting.has_unseen() {
                // No step is under way: the scheduler knows everything now.
                self.let_go(desk);
                self.waiting.see(now_s);
                continue;
            }
            if !preempted {
                return;
            }
            // All that could have gone on was preempted: who waits may join at once.
            if self.done > 0 {
                self.all_leave(now_s, desk);
            }
        }
    }

    /// Puts the next step together; whether somebody was preempted.
    fn compose(&mut self, before: Copied, now_s: f64, desk: &mut Desk<'_>) -> bool {
        let rules = desk.rules;
        self.chunks.clear();
        let mut preempted = false;

        // Running requests, in order: first those that decode.
        self.drafted = 0;
        if let Some(draft) = &rules.draft {
            preempted |= self.blocks_for_drafts(draft, now_s, desk);
            if preempted && !rules.fcfs {
                self.work_that_is_left();
            }
        } else {
            // One block each, in order of joining: who lacks one has let those before it take what there was.
            let place = (self.step % rules.block) as usize;
            let mut taken = 0;
            loop {
                let need = u64::from(self.ring[place]) - taken;
                let some = need.min(self.pool.free());
                self.pool.take(some);
                if some == need {
                    break;
                }
                taken += some;
                let victim = self.victim(rules);
                let extra = u64::from(self.took_block(victim, taken, rules));
                taken -= extra;
                self.preempt(victim, extra, now_s, desk);
                preempted = true;
            }
        }
        let mut budget = match rules.rule {
            Rule::Orca => rules.budget,
            _ => rules.budget.saturating_sub(self.decoding + self.drafted),
        };
        preempted |= self.continue_prompts(&mut budget, now_s, desk);
        if preempted && !rules.fcfs {
            self.work_that_is_left();
        }
        if !preempted
            && self.waiting.count() > 0
            && (rules.rule != Rule::Closed || self.running == 0)
        {
            self.join(&mut budget, now_s, desk);
        }
        if self.decoding == 0 && self.chunks.is_empty() {
            return preempted;
        }

        let mut extra_s = (self.pool.evictions - before.evictions) as f64 * rules.eviction_s;
        desk.totals.eviction_s += extra_s;
        if let Some(swap_s) = rules.swap_s {
            let s = (desk.totals.swapped_blocks - before.swapped_blocks) as f64 * swap_s;
            desk.totals.swap_s += s;
            extra_s += s;
        }
        if let Some(draft) = &rules.draft
            && self.decoding > 0
        {
            extra_s += draft.draft_s(self.decoding);
        }
        let sequences = self.decoding + self.done;
        let single = !self.chunks.is_empty()
            || !self.odd.is_empty()
            || extra_s > 0.0
            || rules.draft.is_some();
        let work = StepWork {
            sequences,
            context: self.context,
            chunks: &self.chunks,
            sampled: sequences + self.drafted + self.fresh.len() as u32,
        };
        let skew = (sequences > 1 && desk.model.is_skewed())
            .then(|| desk.model.skew(&work, self.longest_context(rules)));
        self.now = if single {
            let mut timed = desk.model.step(&work);
            if let Some(skew) = skew {
                timed.seconds += skew.at_s;
                timed.inside &= skew.inside;
            }
            Now {
                start_s: now_s,
                count: 1,
                taken: 1,
                at_s: timed.seconds + extra_s,
                slope_s: 0.0,
                single: true,
                inside: timed.inside,
            }
        } else {
            let mut piece = desk.model.decode(sequences, self.context);
            if let Some(skew) = skew {
                piece.at_s += skew.at_s;
                piece.per_token_s += skew.per_token_s;
                piece.inside &= skew.inside;
                // The context of those that are done does not grow.
                let until = if self.done > 0 {
                    self.context
                } else {
                    skew.until
                };
                piece.until = piece.until.min(until);
            }
            let active = u64::from(self.decoding);
            let news = !self.leaving.is_empty() || self.waiting.has_unseen();
            let mut count = if preempted || news {
                1
            } else {
                self.until_one_is_done().min(rules.longest_jump)
            };
            if piece.until != u64::MAX {
                count = count.min(piece.until.saturating_sub(self.context) / active + 1);
            }
            if count > 1 {
                // An eviction takes time, or leaves the first of those that wait with less to find, and it
                // may fit then.
                let room = if rules.eviction_s > 0.0 || self.waiting.count() > 0 {
                    self.pool.before_eviction()
                } else {
                    self.pool.free()
                };
                count = self.while_blocks_last(count, room);
            }
            Now {
                start_s: now_s,
                count,
                taken: 1,
                at_s: piece.at_s,
                slope_s: piece.per_token_s * active as f64,
                single: false,
                inside: piece.inside,
            }
        };
        self.end_s = self.now.end_s(self.now.count);
        if let Some(steps) = &mut desk.steps
            && steps.len() <= MOST_STEP_ROWS
        {
            let prompt_tokens = self.chunks.iter().map(|c| c.tokens).sum::<u32>();
            steps.push(StepRow {
                replica: self.number,
                start_s: now_s,
                end_s: self.end_s,
                steps: self.now.count as u32,
                first_s: self.now.at_s,
                sequences: self.decoding,
                prompt_tokens: prompt_tokens - self.drafted,
                waiting: self.waiting.count(),
                tokens: self.tokens,
            });
        }
        preempted
    }

    /// The longest context that the next step reads, tokens.
    fn longest_context(&self, rules: &Rules) -> u64 {
        let (mut longest, mut at) = (0, self.first);
        while at != NONE {
            let slot = &self.slots[at as usize];
            longest = longest.max(match slot.stage {
                Stage::Decoding => self.tokens_of(slot, rules) + 1,
                Stage::Done if rules.rule == Rule::Closed => slot.processed,
                Stage::Done | Stage::Prefilling => 0,
            });
            at = slot.after;
        }
        u64::from(longest)
    }

    /// Steps until the first decoding sequence has its last token.
    fn until_one_is_done(&mut self) -> u64 {
        while let Some(&Reverse((step, joined, slot))) = self.finish.peek() {
            if self.slots[slot as usize].joined == joined {
                return step - self.step;
            }
            self.finish.pop();
        }
        1
    }

    /// Blocks that steps `from..to` from now on need (0 is the next step).
    fn blocks_needed(&self, from: u64, to: u64) -> u64 {
        let block = self.ring.len() as u64;
        let steps = to - from;
        let mut need = steps / block * u64::from(self.decoding);
        let mut place = ((self.step + from) % block) as usize;
        for _ in 0..steps % block {
            need += u64::from(self.ring[place]);
            place += 1;
            if place == self.ring.len() {
                place = 0;
            }
        }
        need
    }

    /// How many of `most` steps the blocks last for; those of the first are taken already.
    fn while_blocks_last(&self, most: u64, room: u64) -> u64 {
        let block = self.ring.len() as u64;
        let round = u64::from(self.decoding);
        if ((most - 1) / block + 1) * round <= room {
            return most;
        }
        let rounds = room / round;
        let mut count = 1 + rounds * block;
        let mut left = room - rounds * round;
        let mut place = ((self.step + 1) % block) as usize;
        while count < most {
            let need = u64::from(self.ring[place]);
            if need > left {
                break;
            }
            left -= need;
            count += 1;
            place += 1;
            if place == self.ring.len() {
                place = 0;
            }
        }
        count.min(most)
    }

    /// Proposals of every decoding sequence and blocks for them; whether somebody was preempted.
    fn blocks_for_drafts(&mut self, draft: &Speculative, now_s: f64, desk: &mut Desk<'_>) -> bool {
        let rules = desk.rules;
        let mut preempted = false;
        let mut at = self.first;
        while at != NONE {
            let slot = &mut self.slots[at as usize];
            if slot.stage == Stage::Decoding {
                slot.drafted = draft.draft_tokens.min(slot.output - slot.emitted - 1);
                let tokens = slot.processed + 1 + slot.drafted;
                let need = rules.blocks_for(tokens).saturating_sub(slot.held);
                let mut itself = false;
                while need > self.pool.free() && !itself {
                    let victim = self.victim(rules);
                    itself = victim == at;
                    self.preempt(victim, 0, now_s, desk);
                    preempted = true;
                }
                if itself {
                    // Its slot still says who is behind it.
                    at = self.slots[at as usize].after;
                    continue;
                }
                self.pool.take(need);
                let slot = &mut self.slots[at as usize];
                slot.held += need;
                self.drafted += slot.drafted;
                if slot.drafted > 0 {
                    self.chunks.push(Chunk {
                        tokens: slot.drafted,
                        before: slot.processed + 1,
                    });
                }
            }
            at = self.slots[at as usize].after;
        }
        preempted
    }

    /// Next chunks of prompts that are being processed; whether somebody was preempted.
    fn continue_prompts(&mut self, budget: &mut u32, now_s: f64, desk: &mut Desk<'_>) -> bool {
        let rules = desk.rules;
        let mut preempted = false;
        let mut i = 0;
        while i < self.prefilling.len() && *budget > 0 {
            let at = self.prefilling[i];
            let slot = &self.slots[at as usize];
            let left = (slot.target - slot.processed).min(rules.longest_chunk);
            let chunk = left.min(*budget);
            let need = rules
                .blocks_for(slot.processed + chunk)
                .saturating_sub(slot.held);
            let mut itself = false;
            while need > self.pool.free() && !itself {
                let victim = self.victim(rules);
                itself = victim == at;
                let mut before = self.prefilling.iter().take(i);
                i -= usize::from(before.any(|&other| other == victim));
                self.undo_decoding(victim, rules);
                self.preempt(victim, 0, now_s, desk);
                preempted = true;
            }
            if itself {
                continue;
            }
            self.pool.take(need);
            self.takes_chunk(at, chunk, need, desk);
            *budget -= chunk;
            i += 1;
        }
        preempted
    }

    /// A sequence that has its block for the step at hand does not decode in it after all: it joined behind a
    /// prompt that needs the block.
    fn undo_decoding(&mut self, at: u32, rules: &Rules) {
        let slot = &mut self.slots[at as usize];
        if slot.stage != Stage::Decoding {
            return;
        }
        if rules.draft.is_none() {
            if Self::place(slot, rules.block) == (self.step % rules.block) as usize {
                self.pool.give(1);
            }
        } else if slot.drafted > 0 {
            let before = slot.processed + 1;
            self.drafted -= slot.drafted;
            let proposed = Chunk {
                tokens: slot.drafted,
                before,
            };
            let proposed = self.chunks.iter().position(|c| *c == proposed);
            if let Some(place) = proposed {
                self.chunks.remove(place);
            }
        }
    }

    /// A prompt's chunk is in the step at hand, and its blocks are taken.
    fn takes_chunk(&mut self, at: u32, chunk: u32, blocks: u64, desk: &Desk<'_>) {
        let rules = desk.rules;
        let slot = &mut self.slots[at as usize];
        slot.held += blocks;
        slot.chunk = chunk;
        if chunk > 0 {
            self.chunks.push(Chunk {
                tokens: chunk,
                before: slot.processed,
            });
        }
        if slot.processed + chunk == slot.target {
            self.fresh.push(at);
        }
        if rules.unit > 0 {
            // Blocks that the step fills; a block that is partly filled is not in the cache.
            let filled = u64::from(slot.processed + chunk) / rules.block;
            let units = desk.rows.units(slot.row, rules.unit);
            let mut place = slot.units_passed;
            while let Some(&unit) = units.get(place)
                && rules.unit_end(place) <= filled
            {
                self.pass_unit(at, place, unit, rules);
                place += 1;
            }
            self.slots[at as usize].units_passed = place;
        }
    }

    /// Those that wait join, as long as the first of them fits.
    fn join(&mut self, budget: &mut u32, now_s: f64, desk: &mut Desk<'_>) {
        let rules = desk.rules;
        // Blocks that a closed batch may come to need.
        let mut foreseen = 0;
        while self.running < rules.max_sequences && self.waiting.count() > 0 {
            if *budget == 0 && matches!(rules.rule, Rule::Vllm | Rule::Sarathi) {
                break;
            }
            let served = &*desk.served;
            let waits = |row: u32| served.waits(row);
            let shared = (rules.bins && self.running > 0).then_some(self.bin);
            if shared.is_some()
                && let Some(arrival_s) = self.waiting.oldest_but(shared, waits)
                && now_s - arrival_s.max(self.bin_since_s) >= rules.patience_s
            {
                break;
            }
            let Some(head) = self.waiting.head(shared, waits) else {
                break;
            };
            let joined = match head {
                Head::Again(request) if request.swapped > 0 => {
                    self.comes_back(&request, budget, now_s, desk)
                }
                _ => self.joins(&head, budget, &mut foreseen, now_s, desk),
            };
            if !joined {
                break;
            }
            self.waiting.pop(&head);
        }
    }

    /// The first of those that wait joins with its prompt, if it fits.
    fn joins(
        &mut self,
        head: &Head,
        budget: &mut u32,
        foreseen: &mut u64,
        now_s: f64,
        desk: &mut Desk<'_>,
    ) -> bool {
        let rules = desk.rules;
        let (row, bin, place, emitted, left) = match *head {
            Head::New { row, bin, place } => (row, bin, place, 0, Left::NOTHING),
            Head::Again(r) => (r.row, r.bin, r.place, r.emitted, r.left),
        };
        let prompt = desk.rows.prompt(row);
        let target = prompt + emitted;

        // What is in the cache, at most all tokens but one.
        let mut units = desk.rows.units(row, rules.unit);
        let all_units = units.len();
        units = &units[..self.found_units(units, rules)];
        let most = u64::from(target - 1) / rules.block;
        while rules.unit_blocks(units.len()) > most {
            units = &units[..units.len() - 1];
        }
        let unit_blocks = rules.unit_blocks(units.len());
        let session = match (rules.reuse, head) {
            (Reuse::Sessions, Head::New { .. }) => desk.rows.session(row),
            _ => None,
        };
        let own_blocks = match session {
            Some(session) => self.pool.session(session).min(most),
            None if unit_blocks == rules.unit_blocks(all_units) => {
                self.pool.own(left).min(most - unit_blocks)
            }
            None => 0,
        };
        let found_blocks = unit_blocks + own_blocks;
        let found = (found_blocks * rules.block) as u32;

        let chunk = match rules.rule {
            Rule::Orca => {
                if target - found > *budget && !self.fresh.is_empty() {
                    return false;
                }
                target - found
            }
            _ => (target - found).min(rules.longest_chunk).min(*budget),
        };
        let covered = if rules.whole() { target } else { found + chunk };
        let need = rules.blocks_for(covered).saturating_sub(found_blocks);
        let is_owner = |place: &usize| rules.unit_end(*place) > rules.unit_blocks(*place);
        let owners = (0..units.len()).filter(is_owner).map(|place| units[place]);
        let unused = owners
            .clone()
            .map(|unit| self.pool.unused_of(unit))
            .sum::<u64>()
            + own_blocks;
        let spare = if self.running > 0 { rules.watermark } else { 0 };
        let asked = if rules.whole_fits {
            rules.blocks_for(target).saturating_sub(found_blocks)
        } else {
            need
        };
        if asked + unused + spare > self.pool.free() {
            return false;
        }
        if rules.rule == Rule::Closed {
            let longest = prompt.saturating_add(desk.rows.predicted(row));
            let blocks = rules.blocks_for(longest);
            let room = rules.blocks.unwrap_or(u64::MAX);
            if *foreseen > 0 && *foreseen + blocks > room {
                return false;
            }
            *foreseen += blocks.max(1);
        }

        let at = self.enter(row, bin, place, now_s);
        let mut shared = std::mem::take(&mut self.slots[at as usize].shared);
        for unit in owners {
            self.pool.claim_unit(unit);
            shared.push(unit);
        }
        match session {
            Some(session) => self.pool.claim_session(session, own_blocks),
            None => self.pool.claim_own(left, own_blocks),
        }
        self.pool.take(need);
        let slot = &mut self.slots[at as usize];
        slot.shared = shared;
        slot.shared_blocks = unit_blocks;
        slot.units_passed = units.len();
        slot.target = target;
        slot.processed = found;
        slot.emitted = emitted;
        slot.output = desk.rows.output[row as usize];
        slot.held = found_blocks;
        slot.stage = Stage::Prefilling;
        self.tokens += u64::from(found);
        self.prefilling.push_back(at);
        match head {
            Head::New { .. } => {
                desk.served.joined_s[row as usize] = now_s;
                if rules.reuse != Reuse::Off {
                    desk.totals.looked_up_tokens += u64::from(prompt);
                    desk.totals.found_tokens += u64::from(found);
                }
            }
            Head::Again(request) => {
                self.slots[at as usize].last_token_s = request.last_token_s;
                // It may find more than it had: what others computed of the same prompt meanwhile.
                desk.totals.recomputed_tokens += u64::from(request.processed.saturating_sub(found));
                desk.totals.found_tokens += u64::from(found.saturating_sub(request.processed));
            }
        }
        self.takes_chunk(at, chunk, need, desk);
        *budget = budget.saturating_sub(chunk);
        true
    }

    /// A request whose tokens are in the host's memory joins again, if it fits.
    fn comes_back(
        &mut self,
        request: &Preempted,
        budget: &mut u32,
        now_s: f64,
        desk: &mut Desk<'_>,
    ) -> bool {
        let rules = desk.rules;
        let row = request.row;
        let prompt = desk.rows.prompt(row);
        let output = desk.rows.output[row as usize];
        let decodes = request.emitted > 0;
        let drafted = match &rules.draft {
            Some(draft) if decodes => draft.draft_tokens.min(output - request.emitted - 1),
            _ => 0,
        };
        let chunk = if decodes {
            0
        } else if rules.rule == Rule::Orca {
            prompt - request.swapped
        } else {
            (prompt - request.swapped)
                .min(rules.longest_chunk)
                .min(*budget)
        };
        let tokens = if decodes { 1 + drafted } else { chunk };
        if rules.rule != Rule::Orca && decodes && tokens > *budget {
            return false;
        }
        let covered = if !decodes && rules.whole() {
            prompt
        } else {
            request.swapped + tokens
        };
        let need = rules.blocks_for(covered);
        let spare = if self.running > 0 { rules.watermark } else { 0 };
        let asked = if rules.whole_fits && !decodes {
            rules.blocks_for(prompt)
        } else {
            need
        };
        if asked + spare > self.pool.free() {
            return false;
        }
        self.pool.take(need);
        desk.totals.swapped_blocks += rules.blocks_for(request.swapped);
        let at = self.enter(row, request.bin, request.place, now_s);
        let step = self.step;
        let slot = &mut self.slots[at as usize];
        slot.target = prompt;
        slot.processed = request.swapped;
        slot.emitted = request.emitted;
        slot.output = output;
        slot.last_token_s = request.last_token_s;
        // The blocks of its hash units are its own from now on.
        slot.units_passed = usize::MAX;
        self.tokens += u64::from(request.swapped);
        if decodes {
            slot.since = step;
            slot.drafted = drafted;
            if rules.draft.is_some() {
                slot.held = need;
                self.drafted += drafted;
                if drafted > 0 {
                    self.chunks.push(Chunk {
                        tokens: drafted,
                        before: request.swapped + 1,
                    });
                }
            } else {
                slot.held = 0;
            }
            self.starts_decoding(at, rules);
            self.odd.push(at);
            *budget = budget.saturating_sub(tokens);
        } else {
            slot.stage = Stage::Prefilling;
            slot.held = 0;
            self.prefilling.push_back(at);
            self.takes_chunk(at, chunk, need, desk);
            *budget = budget.saturating_sub(chunk);
        }
        true
    }

    /// A slot for a request that joins, the last in order.
    fn enter(&mut self, row: u32, bin: u8, place: Place, now_s: f64) -> u32 {
        if self.running == 0 && self.bin != bin {
            self.bin = bin;
        }
        if self.running == 0 {
            self.bin_since_s = now_s;
        }
        let at = match self.vacant.pop() {
            Some(at) => at,
            None => {
                self.slots.push(Slot {
                    row,
                    bin,
                    place,
                    stage: Stage::Prefilling,
                    before: NONE,
                    after: NONE,
                    joined: 0,
                    target: 0,
                    processed: 0,
                    emitted: 0,
                    since: 0,
                    output: 0,
                    chunk: 0,
                    drafted: 0,
                    held: 0,
                    last_token_s: f64::NAN,
                    shared: Vec::new(),
                    shared_blocks: 0,
                    units_passed: 0,
                });
                (self.slots.len() - 1) as u32
            }
        };
        let slot = &mut self.slots[at as usize];
        slot.row = row;
        slot.bin = bin;
        slot.place = place;
        slot.before = self.last;
        slot.after = NONE;
        slot.joined = self.joined;
        slot.chunk = 0;
        slot.drafted = 0;
        slot.last_token_s = f64::NAN;
        slot.shared.clear();
        slot.shared_blocks = 0;
        self.joined += 1;
        match self.slots.get_mut(self.last as usize) {
            Some(other) => other.after = at,
            None => self.first = at,
        }
        self.last = at;
        self.running += 1;
        at
    }

    /// Who is preempted next: of the running requests that are not done, the last in the order of those that
    /// wait; there is one. With `fcfs` that is the order of joining.
    fn victim(&self, rules: &Rules) -> u32 {
        let mut at = self.last;
        while self.slots[at as usize].stage == Stage::Done {
            at = self.slots[at as usize].before;
        }
        let mut last = at;
        while !rules.fcfs && at != NONE {
            let slot = &self.slots[at as usize];
            if slot.stage != Stage::Done && slot.place > self.slots[last as usize].place {
                last = at;
            }
            at = slot.before;
        }
        last
    }

    /// Whether a slot is among the first `taken` of the decoding ones that need a block in this step. With
    /// drafts, `held` says what a slot has.
    fn took_block(&self, at: u32, taken: u64, rules: &Rules) -> bool {
        if rules.fcfs || rules.draft.is_some() {
            // With `fcfs` the victim is the last and gets its block after all others.
            return false;
        }
        let place = (self.step % rules.block) as usize;
        let needs =
            |slot: &Slot| slot.stage == Stage::Decoding && Self::place(slot, rules.block) == place;
        let mut before = 0;
        let mut other = self.first;
        while other != at {
            before += u64::from(needs(&self.slots[other as usize]));
            other = self.slots[other as usize].after;
        }
        needs(&self.slots[at as usize]) && before < taken
    }

    /// Chunks and proposals of the step at hand, where some of them were of requests that were preempted.
    fn work_that_is_left(&mut self) {
        self.chunks.clear();
        self.fresh.clear();
        if self.drafted > 0 {
            self.drafted = 0;
            let mut at = self.first;
            while at != NONE {
                let slot = &self.slots[at as usize];
                if slot.stage == Stage::Decoding && slot.drafted > 0 {
                    self.drafted += slot.drafted;
                    self.chunks.push(Chunk {
                        tokens: slot.drafted,
                        before: slot.processed + 1,
                    });
                }
                at = slot.after;
            }
        }
        for &at in &self.prefilling {
            let slot = &self.slots[at as usize];
            if slot.chunk > 0 {
                self.chunks.push(Chunk {
                    tokens: slot.chunk,
                    before: slot.processed,
                });
                if slot.processed + slot.chunk == slot.target {
                    self.fresh.push(at);
                }
            }
        }
    }

    /// A running request gives its blocks back and waits again; it took `extra` blocks for the step at hand
    /// that its tokens do not show.
    fn preempt(&mut self, at: u32, extra: u64, now_s: f64, desk: &mut Desk<'_>) {
        let rules = desk.rules;
        let slot = &self.slots[at as usize];
        let tokens = self.tokens_of(slot, rules);
        let emitted = self.emitted_of(slot, rules);
        let held = self.held_by(slot, rules) + extra;
        let mut request = Preempted {
            row: slot.row,
            bin: slot.bin,
            place: slot.place,
            emitted,
            last_token_s: slot.last_token_s,
            swapped: 0,
            left: Left::NOTHING,
            processed: tokens,
        };
        match slot.stage {
            Stage::Decoding => {
                if request.last_token_s.is_nan() {
                    request.last_token_s = now_s;
                }
                self.stops_decoding(at, rules);
            }
            Stage::Prefilling => self.prefilling.retain(|&other| other != at),
            Stage::Done => {}
        }
        self.tokens -= u64::from(tokens);
        if rules.swap_s.is_some() {
            request.swapped = tokens;
            desk.totals.swapped_blocks += rules.blocks_for(tokens);
            self.give_back(at, held);
        } else if rules.reuse == Reuse::Off {
            self.pool.give(held);
        } else {
            let slot = &mut self.slots[at as usize];
            let shared = std::mem::take(&mut slot.shared);
            let units = desk.rows.units(slot.row, rules.unit).len();
            let unit_blocks = rules.unit_blocks(units);
            // Behind the hash units of its prompt, if it has passed them all.
            let whole = if slot.units_passed >= units {
                (u64::from(tokens) / rules.block).saturating_sub(unit_blocks)
            } else {
                0
            };
            self.pool.give(held - slot.shared_blocks - whole);
            request.left = self.pool.leave_own(whole);
            self.release_units(at, shared);
        }
        self.waiting.preempt(request);
        desk.totals.preemptions += 1;
        self.vacate(at);
    }
}
