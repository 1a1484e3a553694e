//! Requests that wait join the step at hand.

use super::{Context, NONE, Replica, Rules, Slot, Stage};
use crate::latency::Chunk;
use crate::sched::continuous::Rule;
use crate::sched::continuous::kv::{Left, Reuse};
use crate::sched::continuous::waiting::{Head, Place, Preempted};

/// What of a request's tokens is in the cache when it joins: hash units from the first on, and behind them blocks
/// that its session or it itself left.
struct Cached<'a> {
    units: &'a [u32],
    unit_blocks: u64,
    session: Option<u32>,
    own_blocks: u64,
}

impl Cached<'_> {
    fn blocks(&self) -> u64 {
        self.unit_blocks + self.own_blocks
    }

    /// Units that have blocks of their own.
    fn owners(&self, rules: &Rules) -> impl Iterator<Item = u32> {
        let is_owner = |place: &usize| rules.unit_end(*place) > rules.unit_blocks(*place);
        let owners = (0..self.units.len()).filter(is_owner);
        owners.map(|place| self.units[place])
    }
}

impl Replica {
    /// Those that wait join, as long as the first of them fits.
    pub(super) fn join(&mut self, budget: &mut u32, now_s: f64, cx: &mut Context<'_>) {
        let rules = cx.rules;
        while self.running < rules.max_sequences && self.waiting.count() > 0 {
            if *budget == 0 && matches!(rules.rule, Rule::Vllm | Rule::Sarathi) {
                break;
            }
            let served = &*cx.served;
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
                    self.comes_back(&request, budget, now_s, cx)
                }
                _ => self.joins(&head, budget, now_s, cx),
            };
            if !joined {
                break;
            }
            self.waiting.pop(&head);
        }
    }

    /// The first of those that wait joins with its prompt, if it fits.
    fn joins(&mut self, head: &Head, budget: &mut u32, now_s: f64, cx: &mut Context<'_>) -> bool {
        let rules = cx.rules;
        let (row, bin, place, emitted, left) = match *head {
            Head::New { row, bin, place } => (row, bin, place, 0, Left::NOTHING),
            Head::Again(r) => (r.row, r.bin, r.place, r.emitted, r.left),
        };
        let target = cx.rows.prompt(row) + emitted;
        let cached = self.cached(head, target, cx);
        let found = (cached.blocks() * rules.block) as u32;
        let chunk = match rules.rule {
            Rule::Orca if target - found > *budget && !self.fresh.is_empty() => return false,
            Rule::Orca => target - found,
            _ => (target - found).min(rules.longest_chunk).min(*budget),
        };
        let covered = if rules.whole() { target } else { found + chunk };
        let need = rules.blocks_for(covered).saturating_sub(cached.blocks());
        if !self.fits(&cached, target, need, rules) {
            return false;
        }

        let at = self.enter(row, bin, place, now_s);
        self.claim(at, &cached, left, rules);
        self.pool.take(need);
        let slot = &mut self.slots[at as usize];
        slot.target = target;
        slot.processed = found;
        slot.emitted = emitted;
        slot.output = cx.rows.output[row as usize];
        slot.stage = Stage::Prefilling;
        self.tokens += u64::from(found);
        self.prefilling.push_back(at);
        match head {
            Head::New { .. } => {
                cx.served.joined_s[row as usize] = now_s;
                if rules.reuse != Reuse::Off {
                    cx.totals.looked_up_tokens += u64::from(target);
                    cx.totals.found_tokens += u64::from(found);
                }
            }
            Head::Again(request) => {
                self.slots[at as usize].last_token_s = request.last_token_s;
                // The cache may hold more than it had processed: another request computed the same prompt
                // meanwhile. Both counts grow, so that the hit rate stays within 1 in every part of the run.
                let more = u64::from(found.saturating_sub(request.processed));
                cx.totals.recomputed_tokens += u64::from(request.processed.saturating_sub(found));
                cx.totals.looked_up_tokens += more;
                cx.totals.found_tokens += more;
            }
        }
        self.takes_chunk(at, chunk, need, cx);
        *budget = budget.saturating_sub(chunk);
        true
    }

    /// What the cache has of a request, at most all of its `target` tokens but one.
    fn cached<'a>(&self, head: &Head, target: u32, cx: &Context<'a>) -> Cached<'a> {
        let rules = cx.rules;
        let (row, left) = match *head {
            Head::New { row, .. } => (row, Left::NOTHING),
            Head::Again(request) => (request.row, request.left),
        };
        let all = cx.rows.units(row, rules.unit);
        let mut units = &all[..self.found_units(all, rules)];
        let most = u64::from(target - 1) / rules.block;
        while rules.unit_blocks(units.len()) > most {
            units = &units[..units.len() - 1];
        }
        let unit_blocks = rules.unit_blocks(units.len());
        let session = match (rules.reuse, head) {
            (Reuse::Sessions, Head::New { .. }) => cx.rows.session(row),
            _ => None,
        };
        let own_blocks = match session {
            Some(session) => self.pool.session(session).min(most),
            None if unit_blocks == rules.unit_blocks(all.len()) => {
                self.pool.own(left).min(most - unit_blocks)
            }
            None => 0,
        };
        Cached {
            units,
            unit_blocks,
            session,
            own_blocks,
        }
    }

    /// Whether the blocks for a request are there: `need` for the step at hand, and those in the cache that nobody
    /// uses.
    fn fits(&self, cached: &Cached<'_>, target: u32, need: u64, rules: &Rules) -> bool {
        let owners = cached.owners(rules);
        let unused = owners.map(|unit| self.pool.unused_of(unit)).sum::<u64>() + cached.own_blocks;
        let asked = if rules.whole_fits {
            rules.blocks_for(target).saturating_sub(cached.blocks())
        } else {
            need
        };
        asked + unused + self.spare(rules) <= self.pool.free()
    }

    /// Blocks that stay free when a request joins.
    fn spare(&self, rules: &Rules) -> u64 {
        if self.running > 0 { rules.watermark } else { 0 }
    }

    /// A request that joined uses what the cache has of it.
    fn claim(&mut self, at: u32, cached: &Cached<'_>, left: Left, rules: &Rules) {
        let mut shared = std::mem::take(&mut self.slots[at as usize].shared);
        for unit in cached.owners(rules) {
            self.pool.claim_unit(unit);
            shared.push(unit);
        }
        match cached.session {
            Some(session) => self.pool.claim_session(session, cached.own_blocks),
            None => self.pool.claim_own(left, cached.own_blocks),
        }
        let slot = &mut self.slots[at as usize];
        slot.shared = shared;
        slot.shared_blocks = cached.unit_blocks;
        slot.units_passed = cached.units.len();
        slot.held = cached.blocks();
    }

    /// A request whose tokens are in the host's memory joins again, if it fits.
    fn comes_back(
        &mut self,
        request: &Preempted,
        budget: &mut u32,
        now_s: f64,
        cx: &mut Context<'_>,
    ) -> bool {
        let rules = cx.rules;
        let prompt = cx.rows.prompt(request.row);
        let output = cx.rows.output[request.row as usize];
        let decodes = request.emitted > 0;
        let (drafted, tokens) = self.tokens_again(request, prompt, output, *budget, rules);
        if rules.rule != Rule::Orca && decodes && tokens > *budget {
            return false;
        }
        let covered = if !decodes && rules.whole() {
            prompt
        } else {
            request.swapped + tokens
        };
        let need = rules.blocks_for(covered);
        let asked = if rules.whole_fits && !decodes {
            rules.blocks_for(prompt)
        } else {
            need
        };
        if asked + self.spare(rules) > self.pool.free() {
            return false;
        }

        self.pool.take(need);
        cx.totals.swapped_blocks += rules.blocks_for(request.swapped);
        let at = self.enter(request.row, request.bin, request.place, now_s);
        let slot = &mut self.slots[at as usize];
        slot.target = prompt;
        slot.processed = request.swapped;
        slot.emitted = request.emitted;
        slot.output = output;
        slot.last_token_s = request.last_token_s;
        // The blocks of its hash units are its own from now on.
        slot.units_passed = usize::MAX;
        slot.held = 0;
        self.tokens += u64::from(request.swapped);
        if decodes {
            self.decodes_again(at, drafted, need, rules);
        } else {
            slot.stage = Stage::Prefilling;
            self.prefilling.push_back(at);
            self.takes_chunk(at, tokens, need, cx);
        }
        *budget = budget.saturating_sub(tokens);
        true
    }

    /// Of a request that comes back: proposed tokens, and all tokens in the step at hand.
    fn tokens_again(
        &self,
        request: &Preempted,
        prompt: u32,
        output: u32,
        budget: u32,
        rules: &Rules,
    ) -> (u32, u32) {
        if request.emitted > 0 {
            let left = output - request.emitted - 1;
            let drafted = rules
                .draft
                .as_ref()
                .map_or(0, |draft| draft.draft_tokens.min(left));
            return (drafted, 1 + drafted);
        }
        let left = prompt.saturating_sub(request.swapped);
        match rules.rule {
            Rule::Orca => (0, left),
            _ => (0, left.min(rules.longest_chunk).min(budget)),
        }
    }

    /// A request that came back decodes in the step at hand; it has `need` blocks.
    fn decodes_again(&mut self, at: u32, drafted: u32, need: u64, rules: &Rules) {
        let slot = &mut self.slots[at as usize];
        slot.since = self.step;
        slot.drafted = drafted;
        if rules.draft.is_some() {
            slot.held = need;
            self.drafted += drafted;
            if drafted > 0 {
                self.chunks.push(Chunk {
                    tokens: drafted,
                    before: slot.processed + 1,
                });
            }
        }
        self.starts_decoding(at, rules);
        self.odd.push(at);
    }

    /// A slot for a request that joins, the last in order.
    fn enter(&mut self, row: u32, bin: u8, place: Place, now_s: f64) -> u32 {
        if self.running == 0 {
            self.bin = bin;
            self.bin_since_s = now_s;
        }
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
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

    /// A prompt's chunk is in the step at hand, and its blocks are taken.
    pub(super) fn takes_chunk(&mut self, at: u32, chunk: u32, blocks: u64, cx: &Context<'_>) {
        let rules = cx.rules;
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
            let units = cx.rows.units(slot.row, rules.unit);
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
}
