//! The paged KV cache of a replica: blocks, the prefix cache over them, preemption.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Settings of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "KvCache"))]
pub struct Kv {
    /// Tokens of a block.
    pub block_tokens: u32,
    pub capacity: Capacity,
    /// One of the blocks is never given to a request: the null block of vLLM v1, which the number that it
    /// reports (`num_gpu_blocks`) includes.
    pub null_block: bool,
    /// Share of the blocks, rounded down, that must stay free when a request joins a replica that is not idle.
    pub watermark: f64,
    pub preemption: Preemption,
    pub prefix: PrefixCache,
}

impl Default for Kv {
    fn default() -> Self {
        Kv {
            block_tokens: 16,
            capacity: Capacity::default(),
            null_block: false,
            watermark: 0.0,
            preemption: Preemption::default(),
            prefix: PrefixCache::default(),
        }
    }
}

/// How many blocks a replica has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "KvCapacity"))]
pub enum Capacity {
    /// As many as `memory` leaves beside model and margin.
    #[default]
    Memory,
    /// A fixed number. vLLM reports it when it starts (`num_gpu_blocks`), its null block included: set
    /// `null_block` with that number.
    Blocks(u32),
    /// Without a limit.
    Unlimited,
}

/// What becomes of a request whose blocks are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Preemption {
    /// Its tokens are computed again.
    #[default]
    Recompute,
    /// Its blocks go to the host's memory, which has room for all, and come back.
    Swap {
        /// Of each direction, GB/s.
        gb_per_s: f64,
    },
}

/// Which blocks are kept for prompts that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct PrefixCache {
    pub reuse: Reuse,
    pub eviction: Eviction,
    /// What the eviction of one block costs the step that needs it, s.
    pub eviction_s: f64,
}

/// What two requests can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "PrefixReuse"))]
pub enum Reuse {
    /// Nothing; a preempted request finds nothing of its own either.
    #[default]
    Off,
    /// A preempted request finds its own blocks, as far as they were not taken.
    Own,
    /// Besides, prompts share the blocks whose hashes the trace gives.
    Hashes,
    /// Besides, a request finds what the one before it in its session left.
    Sessions,
}

/// Which of the unused blocks is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Eviction {
    /// The least recently used.
    #[default]
    Lru,
    /// The least often used, of these the least recently used.
    Lfu,
}

/// No node.
const NONE: u32 = u32::MAX;
/// Blocks of a cache without a limit: never used up, and sums stay far below `u64::MAX`.
const ENDLESS: u64 = 1 << 60;

/// The blocks of one replica that nobody uses, and what they still hold.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Blocks in all; [`ENDLESS`] without a limit.
    total: u64,
    /// Blocks that nobody uses.
    free: u64,
    /// What those hold, where anything is kept.
    kept: Option<Kept>,
    /// Blocks with content that were taken for something else.
    pub evictions: u64,
}

/// Blocks that a preempted request left, while they are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    node: u32,
    turn: u32,
}

impl Left {
    pub const NOTHING: Left = Left {
        node: NONE,
        turn: 0,
    };
}

impl Pool {
    /// `blocks`: `None` without a limit. `units`, `sessions`: how many hash units and sessions the
    /// trace has, where they are shared.
    pub fn new(blocks: Option<u64>, prefix: &PrefixCache, units: usize, sessions: usize) -> Pool {
        let total = blocks.unwrap_or(ENDLESS);
        Pool {
            total,
            free: total,
            kept: (prefix.reuse != Reuse::Off)
                .then(|| Kept::new(total, prefix.eviction, units, sessions)),
            evictions: 0,
        }
    }

    pub fn free(&self) -> u64 {
        self.free
    }

    pub fn used(&self) -> u64 {
        self.total - self.free
    }

    /// How many blocks can be taken before one with content has to go.
    pub fn before_eviction(&self) -> u64 {
        match &self.kept {
            None => self.free,
            Some(kept) => kept.before_eviction(),
        }
    }

    /// Takes blocks that nobody uses; there must be so many.
    #[inline]
    pub fn take(&mut self, blocks: u64) {
        debug_assert!(blocks <= self.free);
        self.free -= blocks;
        if let Some(kept) = &mut self.kept {
            self.evictions += kept.take(blocks);
        }
    }

    /// Blocks without content come back.
    #[inline]
    pub fn give(&mut self, blocks: u64) {
        self.free += blocks;
        if let Some(kept) = &mut self.kept {
            kept.push(blocks, Content::Empty, 0);
        }
    }

    /// A preempted request's whole blocks come back.
    pub fn leave_own(&mut self, blocks: u64) -> Left {
        self.free += blocks;
        match &mut self.kept {
            Some(kept) if blocks > 0 => {
                let node = kept.push(blocks, Content::Own, 1);
                Left {
                    node,
                    turn: kept.nodes[node as usize].turn,
                }
            }
            Some(_) | None => Left::NOTHING,
        }
    }

    /// How many of those blocks are still there.
    pub fn own(&self, left: Left) -> u64 {
        match &self.kept {
            Some(kept) => kept.nodes.get(left.node as usize).map_or(0, |node| {
                if node.turn == left.turn && node.content == Content::Own {
                    node.blocks
                } else {
                    0
                }
            }),
            None => 0,
        }
    }

    /// Takes the first `blocks` of what a preempted request left; the others are empty from now on.
    pub fn claim_own(&mut self, left: Left, blocks: u64) {
        if self.own(left) > 0
            && let Some(kept) = &mut self.kept
        {
            kept.claim(left.node, blocks);
            self.free -= blocks;
        }
    }

    /// A session's request leaves its whole blocks to the next one.
    pub fn leave_session(&mut self, session: u32, blocks: u64) {
        self.free += blocks;
        if let Some(kept) = &mut self.kept {
            let old = kept.sessions[session as usize];
            let mut uses = kept.session_uses[session as usize];
            if old != NONE {
                kept.claim(old, 0);
            }
            uses = uses.max(1);
            kept.session_uses[session as usize] = uses;
            if blocks > 0 {
                kept.sessions[session as usize] =
                    kept.push(blocks, Content::Session(session), uses);
            }
        }
    }

    /// How many blocks the session's last request left, as far as they are there.
    pub fn session(&self, session: u32) -> u64 {
        match &self.kept {
            Some(kept) => match kept.sessions[session as usize] {
                NONE => 0,
                node => kept.nodes[node as usize].blocks,
            },
            None => 0,
        }
    }

    /// Takes the first `blocks` of them; the others are empty from now on.
    pub fn claim_session(&mut self, session: u32, blocks: u64) {
        if let Some(kept) = &mut self.kept
            && kept.sessions[session as usize] != NONE
        {
            let node = kept.sessions[session as usize];
            kept.claim(node, blocks);
            kept.session_uses[session as usize] += 1;
            self.free -= blocks;
        }
    }

    /// How many of these hash units are there, from the first on without a gap; units without blocks of their
    /// own count only before one that has some. `end`: blocks that end with a unit or before it, by its place.
    pub fn found_units(&self, units: &[u32], end: impl Fn(usize) -> u64) -> usize {
        let Some(kept) = &self.kept else {
            return 0;
        };
        let (mut found, mut before) = (0, 0);
        for (place, &unit) in units.iter().enumerate() {
            let blocks = end(place) - before;
            if blocks > 0 {
                // A hash in another place of another prompt may end other blocks.
                if u64::from(kept.units[unit as usize].blocks) != blocks {
                    break;
                }
                before += blocks;
                found = place + 1;
            }
        }
        found
    }

    /// How many unused blocks claiming this hash unit takes.
    pub fn unused_of(&self, unit: u32) -> u64 {
        match &self.kept {
            Some(kept) => {
                let unit = &kept.units[unit as usize];
                if unit.users == 0 {
                    u64::from(unit.blocks)
                } else {
                    0
                }
            }
            None => 0,
        }
    }

    /// A request uses a hash unit that is there.
    pub fn claim_unit(&mut self, unit: u32) {
        if let Some(kept) = &mut self.kept {
            let place = &mut kept.units[unit as usize];
            place.uses += 1;
            place.users += 1;
            if place.users == 1 {
                let node = std::mem::replace(&mut place.node, NONE);
                self.free -= kept.nodes[node as usize].blocks;
                kept.remove(node);
            }
        }
    }

    /// A request fills the last of the `blocks` of a hash unit: it is there from now on. False where it
    /// was there already; the request's blocks are its own then.
    pub fn add_unit(&mut self, unit: u32, blocks: u32) -> bool {
        match &mut self.kept {
            Some(kept) => {
                let place = &mut kept.units[unit as usize];
                if place.blocks > 0 {
                    return false;
                }
                *place = Unit {
                    blocks,
                    users: 1,
                    uses: place.uses + 1,
                    node: NONE,
                };
                true
            }
            None => false,
        }
    }

    /// A request uses a hash unit no longer.
    pub fn release_unit(&mut self, unit: u32) {
        if let Some(kept) = &mut self.kept {
            let place = &mut kept.units[unit as usize];
            place.users -= 1;
            if place.users == 0 {
                let (uses, blocks) = (place.uses, u64::from(place.blocks));
                self.free += blocks;
                let node = kept.push(blocks, Content::Unit(unit), uses);
                kept.units[unit as usize].node = node;
            }
        }
    }
}

/// What a run of blocks in the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Empty,
    /// Of a preempted request.
    Own,
    Session(u32),
    Unit(u32),
}

#[derive(Debug, Clone, Copy)]
struct Node {
    blocks: u64,
    content: Content,
    /// How often its content was taken up.
    uses: u32,
    /// Told apart from former content in the same place.
    turn: u32,
    /// Place in the order of coming.
    order: u64,
    before: u32,
    after: u32,
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    /// Blocks that it has; 0 where it is not there.
    blocks: u32,
    /// Requests that use it.
    users: u32,
    /// How often a request has taken it up.
    uses: u32,
    /// Where it stands in the queue, when nobody uses it.
    node: u32,
}

/// The queue of blocks that nobody uses: a linked list of runs, taken from its front; with `lfu`, empty
/// blocks are a number and the others are sorted by uses.
#[derive(Debug, Clone)]
struct Kept {
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    front: u32,
    back: u32,
    order: u64,
    /// By uses and order; only with `lfu`.
    rarest: Option<BTreeSet<(u32, u64, u32)>>,
    /// Blocks without content; only with `lfu`.
    empty: u64,
    units: Vec<Unit>,
    /// By session, where its blocks are.
    sessions: Vec<u32>,
    session_uses: Vec<u32>,
}

impl Kept {
    fn new(total: u64, eviction: Eviction, units: usize, sessions: usize) -> Kept {
        let unit = Unit {
            blocks: 0,
            users: 0,
            uses: 0,
            node: NONE,
        };
        let mut kept = Kept {
            nodes: Vec::new(),
            vacant: Vec::new(),
            front: NONE,
            back: NONE,
            order: 0,
            rarest: (eviction == Eviction::Lfu).then(BTreeSet::new),
            empty: 0,
            units: vec![unit; units],
            sessions: vec![NONE; sessions],
            session_uses: vec![0; sessions],
        };
        kept.push(total, Content::Empty, 0);
        kept
    }

    fn before_eviction(&self) -> u64 {
        match (&self.rarest, self.nodes.get(self.front as usize)) {
            (Some(_), _) => self.empty,
            (None, Some(node)) if node.content == Content::Empty => node.blocks,
            (None, _) => 0,
        }
    }

    /// Puts blocks at the end; gives their node ([`NONE`] for empty ones).
    fn push(&mut self, blocks: u64, content: Content, uses: u32) -> u32 {
        if content == Content::Empty {
            if self.rarest.is_some() {
                self.empty += blocks;
                return NONE;
            }
            if blocks == 0 {
                return NONE;
            }
            // Empty runs side by side are one.
            if let Some(last) = self.nodes.get_mut(self.back as usize)
                && last.content == Content::Empty
            {
                last.blocks += blocks;
                return NONE;
            }
        }
        self.order += 1;
        let node = match self.vacant.pop() {
            Some(node) => node,
            None => {
                self.nodes.push(Node {
                    blocks: 0,
                    content: Content::Empty,
                    uses: 0,
                    turn: 0,
                    order: 0,
                    before: NONE,
                    after: NONE,
                });
                (self.nodes.len() - 1) as u32
            }
        };
        let back = self.back;
        let place = &mut self.nodes[node as usize];
        *place = Node {
            blocks,
            content,
            uses,
            turn: place.turn.wrapping_add(1),
            order: self.order,
            before: NONE,
            after: NONE,
        };
        match &mut self.rarest {
            Some(rarest) => {
                rarest.insert((uses, self.order, node));
            }
            None => {
                place.before = back;
                match self.nodes.get_mut(back as usize) {
                    Some(last) => last.after = node,
                    None => self.front = node,
                }
                self.back = node;
            }
        }
        node
    }

    /// Takes a node out of the queue.
    fn remove(&mut self, node: u32) {
        let Node {
            before,
            after,
            uses,
            order,
            ..
        } = self.nodes[node as usize];
        match &mut self.rarest {
            Some(rarest) => {
                rarest.remove(&(uses, order, node));
            }
            None => {
                match self.nodes.get_mut(before as usize) {
                    Some(other) => other.after = after,
                    None => self.front = after,
                }
                match self.nodes.get_mut(after as usize) {
                    Some(other) => other.before = before,
                    None => self.back = before,
                }
            }
        }
        self.nodes[node as usize].content = Content::Empty;
        self.nodes[node as usize].turn = self.nodes[node as usize].turn.wrapping_add(1);
        self.vacant.push(node);
    }

    /// Its content is nowhere to be found any more.
    fn forget(&mut self, content: Content) {
        match content {
            Content::Session(session) => self.sessions[session as usize] = NONE,
            Content::Unit(unit) => {
                self.units[unit as usize].blocks = 0;
                self.units[unit as usize].node = NONE;
            }
            Content::Own | Content::Empty => {}
        }
    }

    /// Takes the first `blocks` of a piece for their owner; what is left becomes empty where it stands.
    fn claim(&mut self, node: u32, blocks: u64) {
        let place = self.nodes[node as usize];
        self.forget(place.content);
        let rest = place.blocks - blocks;
        if rest == 0 {
            self.remove(node);
        } else if self.rarest.is_some() {
            self.remove(node);
            self.empty += rest;
        } else {
            let place = &mut self.nodes[node as usize];
            place.blocks = rest;
            place.content = Content::Empty;
            place.turn = place.turn.wrapping_add(1);
        }
    }

    /// Takes blocks from the front; gives how many of them had content.
    fn take(&mut self, mut blocks: u64) -> u64 {
        let mut evicted = 0;
        while blocks > 0 {
            if self.rarest.is_some() && self.empty > 0 {
                let some = blocks.min(self.empty);
                self.empty -= some;
                blocks -= some;
                continue;
            }
            let node = match &self.rarest {
                Some(rarest) => rarest.first().map_or(NONE, |&(_, _, node)| node),
                None => self.front,
            };
            let Some(place) = self.nodes.get_mut(node as usize) else {
                debug_assert!(false, "more blocks taken than are free");
                return evicted;
            };
            let some = blocks.min(place.blocks);
            let content = place.content;
            match content {
                Content::Empty => {}
                // A piece loses its blocks from behind, and is still a prefix.
                Content::Own | Content::Session(_) => evicted += some,
                // A hash unit is whole or nothing: what is left of it is empty, and first.
                Content::Unit(_) => evicted += place.blocks,
            }
            blocks -= some;
            place.blocks -= some;
            if place.blocks == 0 {
                self.forget(content);
                self.remove(node);
            } else if let Content::Unit(_) = content {
                let rest = place.blocks;
                self.forget(content);
                if self.rarest.is_some() {
                    self.remove(node);
                    self.empty += rest;
                } else {
                    let place = &mut self.nodes[node as usize];
                    place.content = Content::Empty;
                    place.turn = place.turn.wrapping_add(1);
                }
            }
        }
        evicted
    }
}
