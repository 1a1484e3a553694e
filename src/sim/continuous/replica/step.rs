//! The end of the steps at hand: tokens come, and what was done is counted.

use std::cmp::Reverse;

use super::{Context, NONE, Replica, Rules, Stage};
use crate::sched::continuous::speculative::{Speculative, uniform};
use crate::sim::continuous::record::Totals;
use crate::sim::continuous::series::Level;

impl Replica {
    /// The steps at hand are over: tokens come, and who is done leaves.
    pub fn settle(&mut self, cx: &mut Context<'_>) {
        let now = self.now;
        let end_s = self.end_s;
        let held = self.tokens as f64;
        self.count_steps(cx);
        if now.single {
            self.settle_single(cx);
        } else {
            self.settle_like(cx.totals);
        }
        self.note_levels(held, cx.totals);

        self.last_step_s = (now.end_s(now.count - 1), end_s);
        self.let_go(cx);
        if cx.rules.draft.is_some() {
            self.leave_drafting(end_s, cx);
        } else {
            while let Some(&Reverse((step, joined, slot))) = self.finish.peek() {
                if step > self.step {
                    break;
                }
                self.finish.pop();
                if self.slots[slot as usize].joined == joined {
                    self.is_done(slot, end_s, cx);
                }
            }
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        for slot in fresh.drain(..) {
            self.prompt_ends(slot, end_s, cx);
        }
        self.fresh = fresh;
        self.end_s = f64::INFINITY;
    }

    /// Counts the steps at hand, their time, and the tokens and contexts that they held.
    fn count_steps(&self, cx: &mut Context<'_>) {
        let (now, end_s) = (&self.now, self.end_s);
        let (n, nf) = (now.count, now.count as f64);
        let totals = &mut *cx.totals;
        totals.steps += n;
        totals.end_s = totals.end_s.max(end_s);
        totals.busy_s[usize::from(self.number)] += end_s - now.start_s;
        if !now.inside {
            totals.steps_outside += n;
        }
        if let Some(steps) = &mut cx.steps
            && let Some(step) = steps.iter_mut().rfind(|s| s.replica == self.number)
        {
            // An arrival may have cut them short, and a device take another time than the model.
            step.end_s = end_s;
            step.steps = n as u32;
            step.first_s = now.at_s;
        }
        totals.token_s += self.token_s(n);
        let growth = f64::from(self.decoding);
        totals.decoded += growth * nf;
        totals.context += self.context as f64 * nf + growth * (nf * (nf - 1.0) * 0.5);
    }

    /// What steps leave in which the same sequences decoded and nothing else happened.
    fn settle_like(&mut self, totals: &mut Totals) {
        let now = self.now;
        let (n, active) = (now.count, u64::from(self.decoding));
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

    /// Peaks and series of the steps at hand; `held`: tokens in the cache when they began.
    fn note_levels(&self, held: f64, totals: &mut Totals) {
        let (start_s, end_s) = (self.now.start_s, self.end_s);
        totals.peak_tokens = totals.peak_tokens.max(self.tokens);
        let used = self.pool.used();
        totals.peak_blocks = totals.peak_blocks.max(used);
        totals.part_peak_tokens = totals.part_peak_tokens.max(self.tokens);
        totals.part_peak_blocks = totals.part_peak_blocks.max(used);
        let series = &mut totals.series;
        let at_work = f64::from(self.at_work());
        series.hold(Level::Running, start_s, end_s, at_work);
        series.slope(Level::Tokens, start_s, end_s, held, self.tokens as f64);
        series.hold(Level::Blocks, start_s, end_s, used as f64);
        series.hold(Level::Busy, start_s, end_s, 1.0);
    }

    /// What a step leaves that has chunks, proposals or gaps of its own.
    fn settle_single(&mut self, cx: &mut Context<'_>) {
        let totals = &mut *cx.totals;
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
        match &cx.rules.draft {
            Some(draft) => self.settle_drafts(draft, cx.rules.seed, totals),
            None => self.settle_gaps(totals),
        }
        self.step += 1;
    }

    /// Every decoding sequence gets a token and as many of its proposals as are accepted.
    fn settle_drafts(&mut self, draft: &Speculative, seed: u32, totals: &mut Totals) {
        let end_s = self.end_s;
        let length_s = end_s - self.now.start_s;
        let mut at = self.first;
        while at != NONE {
            let slot = &mut self.slots[at as usize];
            let next = slot.after;
            if slot.stage == Stage::Decoding {
                let u = uniform(seed, slot.row, slot.emitted);
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
    }

    /// Every decoding sequence gets a token, some after a gap longer than the step.
    fn settle_gaps(&mut self, totals: &mut Totals) {
        let end_s = self.end_s;
        let active = u64::from(self.decoding);
        let usual = active - self.odd.len() as u64;
        if usual > 0 {
            totals.gaps.add(end_s - self.now.start_s, usual);
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

    /// Those leave who have all their tokens, where drafts decide how many come in a step.
    fn leave_drafting(&mut self, end_s: f64, cx: &mut Context<'_>) {
        let mut at = self.first;
        while at != NONE {
            let slot = &self.slots[at as usize];
            let next = slot.after;
            if slot.stage == Stage::Decoding && slot.emitted == slot.output {
                self.is_done(at, end_s, cx);
            }
            at = next;
        }
    }

    /// A prompt is processed: the next token comes, the first or the one at which the request was
    /// preempted.
    fn prompt_ends(&mut self, at: u32, end_s: f64, cx: &mut Context<'_>) {
        let step = self.step;
        let slot = &mut self.slots[at as usize];
        if slot.emitted == 0 {
            cx.served.first_token_s[slot.row as usize] = end_s;
        } else {
            cx.totals.gaps.add(end_s - slot.last_token_s, 1);
        }
        slot.last_token_s = f64::NAN;
        cx.totals.emitted += 1;
        slot.emitted += 1;
        slot.since = step;
        self.starts_decoding(at, cx.rules);
        let slot = &self.slots[at as usize];
        if slot.emitted == slot.output {
            self.is_done(at, end_s, cx);
        }
    }

    /// The slot's sequence decodes from the next step on.
    pub(super) fn starts_decoding(&mut self, at: u32, rules: &Rules) {
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

    /// How many of the steps at hand there are up to the first that does not end before `now_s`.
    pub(super) fn begun(&self, now_s: f64) -> u64 {
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
    pub(super) fn ended_by(&self, at_s: f64) -> u64 {
        if at_s <= self.now.start_s {
            return 0;
        }
        let begun = self.begun(at_s);
        begun - u64::from(self.now.end_s(begun) > at_s)
    }
}
