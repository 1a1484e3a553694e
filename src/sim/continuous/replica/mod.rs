//! One replica: what its steps do, and the jump over steps in which nothing changes but time, contexts
//! and blocks.
//!
//! While the same sequences decode and nobody joins, leaves or lacks a block, step j of a jump lasts
//! `at + j slope`: the contexts grow by one token each, and the latency is a line in their sum. So n steps
//! last `n at + slope n (n - 1) / 2`, and blocks, tokens and gaps follow in closed form too. A jump ends
//! before the first event that could change the next step; an arrival that could join cuts it short.

mod compose;
mod join;
mod leave;
mod preempt;
mod step;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::record::{Fate, Served, Totals};
use super::series::Level;
use crate::latency::{Chunk, StepModel};
use crate::sched::continuous::kv::{Pool, Preemption, Reuse};
use crate::sched::continuous::speculative::Speculative;
use crate::sched::continuous::waiting::{Place, Waiting};
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
            ahead: server.async_scheduling,
            block: u64::from(kv.block_tokens),
            blocks,
            watermark: libm::floor(kv.watermark * all as f64) as u64,
            whole_fits: server.admission.whole_prompt_fits,
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
    /// [`DROPPED`](crate::sched::bins::DROPPED) where a row is not replayed.
    pub bin_of: &'a [u8],
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
pub(super) struct Context<'a> {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Prefilling,
    Decoding,
    /// Has all its tokens and keeps its place until the scheduler knows.
    Done,
}

/// A running request.
#[derive(Debug, Clone, Default)]
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
    /// Sequences that decode.
    decoding: u32,
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
    pub fn arrives(&mut self, row: u32, bin: u8, key: f64, now_s: f64, cx: &mut Context<'_>) {
        self.waiting_changes(now_s, cx.totals);
        self.work += cx.rows.work(row);
        let others_wait = self.waiting.count() > 0;
        if cx.rules.ahead {
            self.waiting.push_unseen(row, bin, key, now_s);
        } else {
            self.waiting.push(row, bin, key, now_s);
        }
        if self.now.count > 1 {
            let rules = cx.rules;
            let hopeless = self.running >= rules.max_sequences
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
    pub fn turn_away(&mut self, most: u32, now_s: f64, cx: &mut Context<'_>) {
        let mut newcomers = std::mem::take(&mut self.newcomers);
        newcomers.retain(|&row| cx.served.waits(row));
        // Who came before each of them.
        let mut others = self.waiting.count() - newcomers.len() as u32;
        for row in newcomers.drain(..) {
            if others < most {
                others += 1;
                continue;
            }
            self.is_gone(row, Fate::Rejected, now_s, cx);
        }
        self.newcomers = newcomers;
    }

    /// A request that waits and never joined is gone.
    pub fn is_gone(&mut self, row: u32, fate: Fate, now_s: f64, cx: &mut Context<'_>) {
        self.waiting_changes(now_s, cx.totals);
        self.waiting.gone();
        self.work -= cx.rows.work(row);
        cx.served.fate[row as usize] = fate;
        cx.answered.push(row);
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
}
