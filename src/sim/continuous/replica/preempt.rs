//! Blocks that run out: who gives theirs back, and what is left of the step.

use super::{Context, NONE, Replica, Rules, Slot, Stage};
use crate::latency::Chunk;
use crate::sched::continuous::kv::{Left, Reuse};
use crate::sched::continuous::speculative::Speculative;
use crate::sched::continuous::waiting::Preempted;

impl Replica {
    /// Proposals of every decoding sequence and blocks for them; whether somebody was preempted.
    pub(super) fn blocks_for_drafts(
        &mut self,
        draft: &Speculative,
        now_s: f64,
        cx: &mut Context<'_>,
    ) -> bool {
        let rules = cx.rules;
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
                    self.preempt(victim, 0, now_s, cx);
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
    pub(super) fn continue_prompts(
        &mut self,
        budget: &mut u32,
        now_s: f64,
        cx: &mut Context<'_>,
    ) -> bool {
        let rules = cx.rules;
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
                self.preempt(victim, 0, now_s, cx);
                preempted = true;
            }
            if itself {
                continue;
            }
            self.pool.take(need);
            self.takes_chunk(at, chunk, need, cx);
            *budget -= chunk;
            i += 1;
        }
        preempted
    }

    /// A sequence that has its block for the step at hand does not decode in it after all: it joined behind a
    /// prompt that needs the block.
    pub(super) fn undo_decoding(&mut self, at: u32, rules: &Rules) {
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

    /// Who is preempted next: of the running requests that are not done, the last in the order of those that
    /// wait; there is one. With `fcfs` that is the order of joining.
    pub(super) fn victim(&self, rules: &Rules) -> u32 {
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
    pub(super) fn took_block(&self, at: u32, taken: u64, rules: &Rules) -> bool {
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
    pub(super) fn work_that_is_left(&mut self) {
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
    pub(super) fn preempt(&mut self, at: u32, extra: u64, now_s: f64, cx: &mut Context<'_>) {
        let rules = cx.rules;
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
            cx.totals.swapped_blocks += rules.blocks_for(tokens);
            self.give_back(at, held);
        } else if rules.reuse == Reuse::Off {
            self.pool.give(held);
        } else {
            let slot = &mut self.slots[at as usize];
            let shared = std::mem::take(&mut slot.shared);
            let units = cx.rows.units(slot.row, rules.unit).len();
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
        cx.totals.preemptions += 1;
        self.vacate(at);
    }
}
