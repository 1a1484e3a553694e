//! Continuous joining: requests join a running server at its next step and leave when their last
//! token is written, as in Orca (Yu et al., OSDI 2022), with prompts in chunks beside the decoding
//! sequences, as in Sarathi-Serve (Agrawal et al., OSDI 2024).
//!
//! [`Joining`] decides what each step of a real decoder does and takes down when every token came. It
//! knows no clock: the device's driver says when a step ended. The continuous engine with the same limits
//! predicts it; a test holds the two together (docs/MODEL.md, "Serving users: measured and predicted").

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::trace::random::{Purpose, Stream};

/// Most sequences that a decoder works on at once.
pub const MAX_SEQUENCES: u32 = 64;
/// Most rows of a decoder's step.
pub const MAX_ROWS: u32 = 128;
/// Most users; those beyond the server's sequences wait.
pub const MAX_USERS: u32 = 100_000;
/// Most sequences and rows of a server whose figures are predicted.
const MOST_SEQUENCES: u32 = 4096;
const MOST_ROWS: u32 = 1 << 24;
/// Most requests of a load whose figures are predicted.
const MOST_REQUESTS: u32 = 10_000_000;
/// Longest prompt and longest output, tokens.
const MAX_TOKENS: u32 = 131_072;
/// Most tokens, prompts and outputs together, of a whole load; each output token's time is kept.
const MAX_LOAD_TOKENS: u64 = 20_000_000;

/// Users who wait for each answer before they send the next request, and the server's limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ServeLoad"))]
pub struct Load {
    pub users: u32,
    pub requests_per_user: u32,
    /// Of every request.
    pub prompt_tokens: u32,
    /// Of every request.
    pub output_tokens: u32,
    /// Shortest pause between an answer and the next request, s.
    pub think_min_s: f64,
    /// Longest, s.
    pub think_max_s: f64,
    /// Of the think times.
    pub seed: u32,
    pub limits: Limits,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            users: 1,
            requests_per_user: 4,
            prompt_tokens: 64,
            output_tokens: 32,
            think_min_s: 0.0,
            think_max_s: 0.0,
            seed: 42,
            limits: Limits::default(),
        }
    }
}

/// What a step can hold, and what the KV cache can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ServeLimits"))]
pub struct Limits {
    /// Sequences at work at once, each in a slot of its own.
    pub sequences: u32,
    /// Rows of a step: tokens that go through the decoder together.
    pub rows: u32,
    /// Blocks of the KV cache; `None` where there are enough for every slot.
    pub kv_blocks: Option<u32>,
    /// Tokens of a block.
    pub block_tokens: u32,
}

/// Those of the decoder that is measured.
impl Default for Limits {
    fn default() -> Self {
        Limits {
            sequences: MAX_SEQUENCES,
            rows: MAX_ROWS,
            kv_blocks: None,
            block_tokens: 16,
        }
    }
}

impl Load {
    /// Requests of all users together.
    pub fn requests(&self) -> u32 {
        self.users.saturating_mul(self.requests_per_user)
    }

    /// Positions of the KV cache that a request fills: the last token is written and never read.
    pub fn positions(&self) -> u32 {
        self.prompt_tokens + self.output_tokens - 1
    }

    /// Tokens of the KV cache that serve all of the load: of every slot that is ever in use at once.
    pub fn cache_tokens(&self) -> u32 {
        let limits = &self.limits;
        let most = self.users.min(limits.sequences) * self.blocks();
        limits.kv_blocks.map_or(most, |blocks| blocks.min(most)) * limits.block_tokens
    }

    /// Blocks that a request needs.
    pub fn blocks(&self) -> u32 {
        self.positions().div_ceil(self.limits.block_tokens)
    }

    /// What a decoder can serve.
    ///
    /// Errors: a number outside its range, or a request that no server of these limits could serve.
    pub fn check(&self) -> Result<(), Error> {
        self.check_within(MAX_SEQUENCES, MAX_ROWS)?;
        let per_request = u64::from(self.prompt_tokens) + u64::from(self.output_tokens);
        let most = MAX_LOAD_TOKENS / (u64::from(self.users) * per_request);
        if u64::from(self.requests_per_user) > most {
            return Err(refuse(
                "load.requests_per_user",
                self.requests_per_user,
                format!(
                    "what keeps all requests together within {MAX_LOAD_TOKENS} tokens: at most {most} \
                     requests of {per_request} tokens for each of {} users",
                    self.users
                ),
            ));
        }
        Ok(())
    }

    /// What can be predicted: servers larger than a decoder, and more requests.
    ///
    /// Errors: as [`Load::check`].
    pub fn check_predicted(&self) -> Result<(), Error> {
        self.check_within(MOST_SEQUENCES, MOST_ROWS)?;
        let most = MOST_REQUESTS / self.users;
        whole("load.requests_per_user", self.requests_per_user, 1, most)
    }

    fn check_within(&self, sequences: u32, rows: u32) -> Result<(), Error> {
        let limits = &self.limits;
        whole("load.users", self.users, 1, MAX_USERS)?;
        whole(
            "load.requests_per_user",
            self.requests_per_user,
            1,
            1_000_000,
        )?;
        whole("load.prompt_tokens", self.prompt_tokens, 1, MAX_TOKENS)?;
        whole("load.output_tokens", self.output_tokens, 1, MAX_TOKENS)?;
        whole("load.limits.sequences", limits.sequences, 1, sequences)?;
        // Every running sequence has its row in every step; what is left is for prompts.
        whole("load.limits.rows", limits.rows, limits.sequences, rows)?;
        whole("load.limits.block_tokens", limits.block_tokens, 1, 4096)?;
        for (field, value) in [
            ("load.think_min_s", self.think_min_s),
            ("load.think_max_s", self.think_max_s),
        ] {
            if !(0.0..=1e6).contains(&value) {
                return Err(refuse(
                    field,
                    value,
                    "a number from 0 to 1000000".to_owned(),
                ));
            }
        }
        if self.think_max_s < self.think_min_s {
            return Err(refuse(
                "load.think_max_s",
                self.think_max_s,
                format!("at least think_min_s, which is {}", self.think_min_s),
            ));
        }
        match limits.kv_blocks {
            Some(blocks) if blocks < self.blocks() => Err(refuse(
                "load.limits.kv_blocks",
                blocks,
                format!(
                    "at least the {} blocks of {} tokens that one request of {} and {} tokens needs",
                    self.blocks(),
                    limits.block_tokens,
                    self.prompt_tokens,
                    self.output_tokens
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn whole(field: &str, value: u32, least: u32, most: u32) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refuse(
        field,
        value,
        format!("a whole number from {least} to {most}"),
    ))
}

fn refuse(field: &str, value: impl ToString, allowed: String) -> Error {
    Error::BadField {
        field: field.to_owned(),
        value: value.to_string(),
        allowed,
    }
}

/// One token on its way through the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whose keys and values it reads and adds to.
    pub slot: u32,
    /// Its place in the sequence, from 0; 0 means that the slot begins anew.
    pub position: u32,
    /// Whether it is one of the prompt; else the one that its sequence sampled last.
    pub prompt: bool,
    /// Whether the next token of its sequence is asked for: of every decoding sequence, and of the
    /// last token of a prompt.
    pub sampled: bool,
}

/// A step in the terms of [`latency::step::Step`](crate::latency::step::Step).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "StepWork"))]
pub struct Work {
    /// Sequences that decode a token.
    pub sequences: u32,
    /// Their contexts together, tokens: the keys and values that they read, their own included.
    pub context: u32,
    /// Prompt tokens that are processed besides.
    pub prefill: u32,
}

/// What the server does next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next<'a> {
    /// Process these rows, decoding sequences before prompts, then call [`Joining::ended`].
    Step { rows: &'a [Row], work: Work },
    /// Nobody has anything to ask before this time, s.
    Wait(f64),
    /// Every request has its answer.
    Done,
}

/// A token that a step has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Which request, counted in the order in which they were sent.
    pub request: usize,
    pub user: u32,
    pub slot: u32,
    /// Which of the request's tokens, from 0: the first ends the wait for an answer to begin.
    pub number: u32,
    /// Whether the request is answered.
    pub last: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub user: u32,
    pub sent_s: f64,
    /// Start of the step that processed the first token of its prompt, s; `None` while it waits.
    pub joined_s: Option<f64>,
    /// When each of its tokens came, s.
    pub tokens_s: Vec<f64>,
}

/// A step that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    pub began_s: f64,
    pub ended_s: f64,
    pub work: Work,
}

/// Everything that happened, for whoever wants figures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// In the order in which they were sent.
    pub requests: Vec<Request>,
    pub steps: Vec<Taken>,
}

/// A request that has a slot.
#[derive(Debug, Clone, Copy)]
struct Running {
    request: usize,
    user: u32,
    slot: u32,
    /// Prompt tokens that are processed.
    processed: u32,
    /// Output tokens that are written.
    written: u32,
    /// Prompt tokens in the step that is under way.
    chunk: u32,
}

/// A user between two requests, or after the last one.
#[derive(Debug, Clone)]
struct User {
    /// When the next request is sent, s; `None` while one is under way or where none is left.
    sends_s: Option<f64>,
    sent: u32,
    think: Stream,
}

/// A server with continuous joining, and its users.
#[derive(Debug, Clone)]
pub struct Joining {
    load: Load,
    users: Vec<User>,
    /// Requests without a slot, by number, first come first served.
    waiting: VecDeque<usize>,
    /// In the order in which they joined.
    running: Vec<Running>,
    /// Free slots, the lowest last.
    slots: Vec<u32>,
    free_blocks: Option<u32>,
    /// The step that is under way; empty where none is.
    rows: Vec<Row>,
    work: Work,
    began_s: f64,
    written: Vec<Token>,
    record: Record,
}

impl Joining {
    /// All users are about to send their first request, at time 0.
    ///
    /// Errors: as of [`Load::check`].
    pub fn new(load: &Load) -> Result<Joining, Error> {
        load.check()?;
        Ok(Joining {
            users: (0..load.users)
                .map(|user| User {
                    sends_s: Some(0.0),
                    sent: 0,
                    think: Stream::numbered(load.seed, Purpose::ThinkTimes, user),
                })
                .collect(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            slots: (0..load.limits.sequences).rev().collect(),
            free_blocks: load.limits.kv_blocks,
            rows: Vec::new(),
            work: Work::default(),
            began_s: 0.0,
            written: Vec::new(),
            record: Record::default(),
            load: *load,
        })
    }

    /// What to do at `now_s`, which must not be before any time given so far. While a step is under
    /// way the answer is that step again.
    pub fn next(&mut self, now_s: f64) -> Next<'_> {
        if self.rows.is_empty() {
            self.send(now_s);
            self.admit();
            self.form(now_s);
        }
        if !self.rows.is_empty() {
            return Next::Step {
                rows: &self.rows,
                work: self.work,
            };
        }
        // Whoever runs has a row, so here nobody runs, and nobody waits for a slot.
        match self.users.iter().filter_map(|u| u.sends_s).reduce(f64::min) {
            Some(until_s) => Next::Wait(until_s),
            None => Next::Done,
        }
    }

    /// The step that [`Joining::next`] gave was handed over at `at_s`, later than it was asked for: what
    /// lies between is no time of the step.
    pub fn began(&mut self, at_s: f64) {
        self.began_s = at_s;
    }

    /// The step that [`Joining::next`] gave ended at `at_s`: its tokens are there. Gives them; none
    /// where no step was under way.
    pub fn ended(&mut self, at_s: f64) -> &[Token] {
        self.written.clear();
        if self.rows.is_empty() {
            return &self.written;
        }
        self.rows.clear();
        self.record.steps.push(Taken {
            began_s: self.began_s,
            ended_s: at_s,
            work: self.work,
        });
        for running in &mut self.running {
            running.processed += std::mem::take(&mut running.chunk);
            // Whoever's prompt is through had a sampled row: its decoding one, or the prompt's last.
            if running.processed < self.load.prompt_tokens {
                continue;
            }
            let number = running.written;
            running.written += 1;
            self.written.push(Token {
                request: running.request,
                user: running.user,
                slot: running.slot,
                number,
                last: running.written == self.load.output_tokens,
            });
        }
        for token in &self.written {
            if let Some(request) = self.record.requests.get_mut(token.request) {
                request.tokens_s.push(at_s);
            }
        }
        self.leave(at_s);
        &self.written
    }

    /// The load that is served.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// What has happened so far; complete after [`Next::Done`].
    pub fn record(self) -> Record {
        self.record
    }

    /// Users whose time has come send, the earliest first, then the lowest.
    fn send(&mut self, now_s: f64) {
        let mut due: Vec<(f64, usize)> = self
            .users
            .iter()
            .enumerate()
            .filter_map(|(i, user)| Some((user.sends_s.filter(|&at_s| at_s <= now_s)?, i)))
            .collect();
        due.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (sent_s, i) in due {
            if let Some(user) = self.users.get_mut(i) {
                user.sends_s = None;
                user.sent += 1;
            }
            self.waiting.push_back(self.record.requests.len());
            self.record.requests.push(Request {
                user: i as u32,
                sent_s,
                joined_s: None,
                tokens_s: Vec::with_capacity(self.load.output_tokens as usize),
            });
        }
    }

    /// Gives slots to those who wait. A request takes the blocks of its whole length at once, so that
    /// nobody ever has to be thrown out again.
    fn admit(&mut self) {
        let blocks = self.load.blocks();
        while let (Some(&request), Some(&slot)) = (self.waiting.front(), self.slots.last()) {
            match &mut self.free_blocks {
                Some(free) if *free < blocks => return,
                Some(free) => *free -= blocks,
                None => {}
            }
            self.waiting.pop_front();
            self.slots.pop();
            self.running.push(Running {
                request,
                user: self.record.requests.get(request).map_or(0, |r| r.user),
                slot,
                processed: 0,
                written: 0,
                chunk: 0,
            });
        }
    }

    /// Fills the rows of the next step.
    fn form(&mut self, now_s: f64) {
        let (prompt, rows) = (self.load.prompt_tokens, self.load.limits.rows);
        self.work = Work::default();
        self.began_s = now_s;
        for running in self.running.iter().filter(|r| r.processed == prompt) {
            // Its newest token is the one that goes in.
            let position = prompt + running.written - 1;
            self.rows.push(Row {
                slot: running.slot,
                position,
                prompt: false,
                sampled: true,
            });
            self.work.sequences += 1;
            self.work.context += position + 1;
        }
        let mut room = rows - self.work.sequences;
        for running in self.running.iter_mut().filter(|r| r.processed < prompt) {
            let chunk = room.min(prompt - running.processed);
            if chunk == 0 {
                break;
            }
            if running.processed == 0
                && let Some(request) = self.record.requests.get_mut(running.request)
            {
                request.joined_s = Some(now_s);
            }
            for position in running.processed..running.processed + chunk {
                self.rows.push(Row {
                    slot: running.slot,
                    position,
                    prompt: true,
                    sampled: position + 1 == prompt,
                });
            }
            running.chunk = chunk;
            self.work.prefill += chunk;
            room -= chunk;
        }
    }

    /// Frees what answered requests held; their users think, or are through.
    fn leave(&mut self, at_s: f64) {
        let blocks = self.load.blocks();
        let Joining {
            load,
            users,
            running,
            slots,
            free_blocks,
            ..
        } = self;
        running.retain(|done| {
            if done.written < load.output_tokens {
                return true;
            }
            slots.push(done.slot);
            if let Some(free) = free_blocks {
                *free += blocks;
            }
            if let Some(user) = users.get_mut(done.user as usize)
                && user.sent < load.requests_per_user
            {
                let (least, most) = (load.think_min_s, load.think_max_s);
                user.sends_s = Some(at_s + least + (most - least) * user.think.uniform());
            }
            false
        });
        // The lowest free slot is the next to be taken.
        slots.sort_unstable_by(|a, b| b.cmp(a));
    }
}
