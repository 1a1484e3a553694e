//! Putting the next step together: who decodes, whose prompt goes on, who joins, and how long it all takes.

use std::cmp::Reverse;

use super::{Context, Copied, MOST_STEP_ROWS, NONE, Now, Replica, Rules, Stage, StepRow};
use crate::latency::{Piece, StepWork};
use crate::sched::continuous::Rule;
use crate::sim::continuous::row::Row;
use crate::sim::continuous::series::Level;

impl Replica {
    /// Begins the next step at `now_s`, if there is anything to do.
    pub fn begin(&mut self, now_s: f64, cx: &mut Context<'_>) {
        // What is copied and evicted while the step is put together, in however many tries, is in its time.
        let before = Copied {
            evictions: self.pool.evictions,
            swapped_blocks: cx.totals.swapped_blocks,
        };
        if cx.rules.ahead {
            // The step was put together when the last one began; after a rest, now.
            let (start_s, end_s) = self.last_step_s;
            self.waiting
                .see(if end_s == now_s { start_s } else { now_s });
        }
        loop {
            let waiting = self.waiting.count();
            let since_s = self.waiting_since_s;
            let preempted = self.compose(before, now_s, cx);
            if self.waiting.count() != waiting {
                // Record the queue length before it changes.
                if waiting > 0 && now_s > since_s {
                    cx.totals
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
                self.let_go(cx);
                self.waiting.see(now_s);
                continue;
            }
            if !preempted {
                return;
            }
            // All that could have gone on was preempted: who waits may join at once.
        }
    }

    /// Composes the next step and returns whether a request was preempted.
    fn compose(&mut self, before: Copied, now_s: f64, cx: &mut Context<'_>) -> bool {
        let rules = cx.rules;
        self.chunks.clear();
        let mut preempted = self.decode_on(now_s, cx);
        let mut budget = match rules.rule {
            Rule::Orca => rules.budget,
            _ => rules.budget.saturating_sub(self.decoding + self.drafted),
        };
        preempted |= self.continue_prompts(&mut budget, now_s, cx);
        if preempted && !rules.fcfs {
            self.work_that_is_left();
        }
        if !preempted && self.waiting.count() > 0 {
            self.join(&mut budget, now_s, cx);
        }
        if self.decoding == 0 && self.chunks.is_empty() {
            return preempted;
        }
        let extra_s = self.extra_s(before, cx);
        let single = !self.chunks.is_empty()
            || !self.odd.is_empty()
            || extra_s > 0.0
            || rules.draft.is_some();
        self.now = if single {
            self.one_step(extra_s, now_s, cx)
        } else {
            self.like_steps(preempted, now_s, cx)
        };
        self.end_s = self.now.end_s(self.now.count);
        self.take_down(now_s, cx);
        preempted
    }

    /// Takes the blocks of the next tokens of all decoding sequences, in order of joining, and returns whether a
    /// request was preempted.
    fn decode_on(&mut self, now_s: f64, cx: &mut Context<'_>) -> bool {
        let rules = cx.rules;
        self.drafted = 0;
        if let Some(draft) = &rules.draft {
            let preempted = self.blocks_for_drafts(draft, now_s, cx);
            if preempted && !rules.fcfs {
                self.work_that_is_left();
            }
            return preempted;
        }
        // One block each: who lacks one has let those before it take what there was.
        let mut preempted = false;
        let place = (self.step % rules.block) as usize;
        let mut taken = 0;
        loop {
            let need = u64::from(self.ring[place]) - taken;
            let some = need.min(self.pool.free());
            self.pool.take(some);
            if some == need {
                return preempted;
            }
            taken += some;
            let victim = self.victim(rules);
            let extra = u64::from(self.took_block(victim, taken, rules));
            taken -= extra;
            self.preempt(victim, extra, now_s, cx);
            preempted = true;
        }
    }

    /// What the step at hand takes besides its work, s: evictions, copies, proposals of a draft.
    fn extra_s(&self, before: Copied, cx: &mut Context<'_>) -> f64 {
        let rules = cx.rules;
        let mut extra_s = (self.pool.evictions - before.evictions) as f64 * rules.eviction_s;
        cx.totals.eviction_s += extra_s;
        if let Some(swap_s) = rules.swap_s {
            let s = (cx.totals.swapped_blocks - before.swapped_blocks) as f64 * swap_s;
            cx.totals.swap_s += s;
            extra_s += s;
        }
        if let Some(draft) = &rules.draft
            && self.decoding > 0
        {
            extra_s += draft.draft_s(self.decoding);
        }
        extra_s
    }

    fn work(&self) -> StepWork<'_> {
        StepWork {
            sequences: self.decoding,
            context: self.context,
            chunks: &self.chunks,
            sampled: self.decoding + self.drafted + self.fresh.len() as u32,
        }
    }

    /// What unequal contexts add to a step, where the model knows.
    fn skew(&self, cx: &Context<'_>) -> Option<Piece> {
        let work = self.work();
        (work.sequences > 1 && cx.model.is_skewed())
            .then(|| cx.model.skew(&work, self.longest_context(cx.rules)))
    }

    /// A step that is like no other.
    fn one_step(&self, extra_s: f64, now_s: f64, cx: &Context<'_>) -> Now {
        let mut timed = cx.model.step(&self.work());
        if let Some(skew) = self.skew(cx) {
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
    }

    /// Steps in which the same sequences decode and nothing else happens, up to the first after which something
    /// may change.
    fn like_steps(&mut self, preempted: bool, now_s: f64, cx: &Context<'_>) -> Now {
        let rules = cx.rules;
        let mut piece = cx.model.decode(self.decoding, self.context);
        if let Some(skew) = self.skew(cx) {
            piece.at_s += skew.at_s;
            piece.per_token_s += skew.per_token_s;
            piece.inside &= skew.inside;
            piece.until = piece.until.min(skew.until);
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
    }

    /// The step at hand takes until `at_s`, as a device says, whatever the model does.
    pub fn ends_at(&mut self, at_s: f64) {
        self.now.at_s = at_s - self.now.start_s;
        self.now.slope_s = 0.0;
        self.now.inside = true;
        self.end_s = at_s;
    }

    /// Adds the rows of the step at hand: those that decode, in order of joining, then prompts.
    pub fn lay(&self, rules: &Rules, rows: &mut Vec<Row>) {
        let mut at = self.first;
        while at != NONE {
            let slot = &self.slots[at as usize];
            if slot.stage == Stage::Decoding {
                rows.push(Row {
                    slot: at,
                    position: self.tokens_of(slot, rules),
                    prompt: false,
                    sampled: true,
                });
            }
            at = slot.after;
        }
        for &at in &self.prefilling {
            let slot = &self.slots[at as usize];
            let chunk = slot.processed..slot.processed + slot.chunk;
            rows.extend(chunk.map(|position| Row {
                slot: at,
                position,
                prompt: true,
                sampled: position + 1 == slot.target,
            }));
        }
    }

    /// Whether a running request has this slot.
    pub fn holds(&self, slot: u32) -> bool {
        self.slots[slot as usize].joined != u64::MAX
    }

    /// The steps at hand, for whoever wants to see every one.
    fn take_down(&self, now_s: f64, cx: &mut Context<'_>) {
        let Some(steps) = &mut cx.steps else {
            return;
        };
        if steps.len() > MOST_STEP_ROWS {
            return;
        }
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

    /// The longest context that the next step reads, tokens.
    fn longest_context(&self, rules: &Rules) -> u64 {
        let (mut longest, mut at) = (0, self.first);
        while at != NONE {
            let slot = &self.slots[at as usize];
            longest = longest.max(match slot.stage {
                Stage::Decoding => self.tokens_of(slot, rules) + 1,
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
    pub(super) fn blocks_needed(&self, from: u64, to: u64) -> u64 {
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
}
