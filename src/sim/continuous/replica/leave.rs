//! Requests that are done leave, and their blocks come back.

use super::{Context, Replica, Rules, Slot, Stage};
use crate::sched::continuous::kv::Reuse;
use crate::sim::continuous::record::Fate;

impl Replica {
    /// A request has its last token.
    pub(super) fn is_done(&mut self, at: u32, end_s: f64, cx: &mut Context<'_>) {
        let rules = cx.rules;
        if !rules.ahead {
            self.stops_decoding(at, rules);
            self.leaves(at, end_s, cx);
            return;
        }
        let slot = &self.slots[at as usize];
        let (tokens, held, emitted) = (
            self.tokens_of(slot, rules),
            self.held_by(slot, rules),
            self.emitted_of(slot, rules),
        );
        self.stops_decoding(at, rules);
        let slot = &mut self.slots[at as usize];
        slot.processed = tokens;
        slot.held = held;
        slot.emitted = emitted;
        slot.stage = Stage::Done;
        self.is_answered(at, end_s, cx);
        self.leaving.push(at);
    }

    /// Those leave who were done before the last step.
    pub(super) fn let_go(&mut self, cx: &mut Context<'_>) {
        let mut leaving = std::mem::take(&mut self.leaving);
        for at in leaving.drain(..) {
            self.gives_up(at, cx);
        }
        self.leaving = leaving;
    }

    /// A sequence decodes no longer.
    pub(super) fn stops_decoding(&mut self, at: u32, rules: &Rules) {
        let slot = &self.slots[at as usize];
        self.decoding -= 1;
        self.context -= u64::from(self.tokens_of(slot, rules)) + 1;
        if rules.draft.is_none() {
            let place = Self::place(slot, rules.block);
            self.ring[place] -= 1;
        }
    }

    /// A request is answered; its blocks come back.
    pub(super) fn leaves(&mut self, at: u32, end_s: f64, cx: &mut Context<'_>) {
        self.is_answered(at, end_s, cx);
        self.gives_up(at, cx);
    }

    pub(super) fn is_answered(&mut self, at: u32, end_s: f64, cx: &mut Context<'_>) {
        let row = self.slots[at as usize].row;
        self.work -= cx.rows.work(row);
        cx.served.done_s[row as usize] = end_s;
        cx.served.fate[row as usize] = Fate::Done;
        cx.answered.push(row);
    }

    /// A request's place and blocks come back.
    pub(super) fn gives_up(&mut self, at: u32, cx: &mut Context<'_>) {
        let rules = cx.rules;
        let (row, tokens, held) = {
            let slot = &self.slots[at as usize];
            (
                slot.row,
                self.tokens_of(slot, rules),
                self.held_by(slot, rules),
            )
        };
        match (rules.reuse, cx.rows.session(row)) {
            (Reuse::Sessions, Some(session)) => {
                let whole = u64::from(tokens) / rules.block;
                self.pool.give(held - whole);
                self.pool.leave_session(session, whole);
            }
            (Reuse::Hashes, _) => {
                self.pass_answer(at, u64::from(tokens) / rules.block, cx);
                self.give_back(at, held);
            }
            _ => self.pool.give(held),
        }
        self.tokens -= u64::from(tokens);
        self.vacate(at);
    }

    /// Whole blocks of the answer get the hashes that the session's next prompt has for them.
    pub(super) fn pass_answer(&mut self, at: u32, whole: u64, cx: &Context<'_>) {
        let rules = cx.rules;
        let slot = &self.slots[at as usize];
        let units = cx.rows.units_of_answer(slot.row, rules.unit);
        let first = cx.rows.units(slot.row, rules.unit).len();
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
    pub(super) fn pass_unit(&mut self, at: u32, place: usize, unit: u32, rules: &Rules) {
        let blocks = rules.unit_end(place) - rules.unit_blocks(place);
        // A unit has at most as many blocks as tokens.
        if blocks > 0 && self.pool.add_unit(unit, blocks as u32) {
            let slot = &mut self.slots[at as usize];
            slot.shared.push(unit);
            slot.shared_blocks += blocks;
        }
    }

    /// Blocks of a request's own come back empty, and then its hash units, the last first.
    pub(super) fn give_back(&mut self, at: u32, held: u64) {
        let slot = &mut self.slots[at as usize];
        let shared = std::mem::take(&mut slot.shared);
        self.pool.give(held - slot.shared_blocks);
        self.release_units(at, shared);
    }

    pub(super) fn release_units(&mut self, at: u32, mut shared: Vec<u32>) {
        while let Some(unit) = shared.pop() {
            self.pool.release_unit(unit);
        }
        // Its room is used again.
        self.slots[at as usize].shared = shared;
        self.slots[at as usize].shared_blocks = 0;
    }

    pub(super) fn vacate(&mut self, at: u32) {
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
}
