//! Steps that a device takes: the engine with continuous batching says what a step holds, and the device's clock when
//! it ended. Arrivals, admission, queues, blocks and the record are those of a simulated run, so that a measured and a
//! predicted run differ by the clock alone.

use super::continuous::ContinuousServer;
pub use super::continuous::Row;
use super::workload::Workload;
use super::{Record, Work};
use crate::latency::Chunk;
use crate::sched::continuous::kv::{Preemption, Reuse};
use crate::sched::continuous::{Rule, Server};
use crate::{Error, Scenario, Trace};

/// What the device does next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next<'a> {
    /// Free the slots that are `vacant`, process the rows, decoding sequences before prompts, then call
    /// [`DeviceRun::ended`].
    Step { vacant: &'a [u32], rows: &'a [Row] },
    /// Nobody has anything to ask before this time, s.
    Wait(f64),
    /// Every request has its answer.
    Done,
}

/// A step that a device took.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Sequences that decoded, and their contexts together, tokens.
    pub sequences: u32,
    pub context: u64,
    /// Pieces of prompts.
    pub chunks: Vec<Chunk>,
    /// Tokens that were asked for.
    pub sampled: u32,
    /// From submission to its tokens, s.
    pub took_s: f64,
}

impl Taken {
    /// The work of a step with these rows.
    pub fn of(rows: &[Row], took_s: f64) -> Taken {
        let mut taken = Taken {
            sequences: 0,
            context: 0,
            chunks: Vec::new(),
            sampled: 0,
            took_s,
        };
        let mut slot = None;
        for row in rows {
            taken.sampled += u32::from(row.sampled);
            if !row.prompt {
                taken.sequences += 1;
                taken.context += u64::from(row.position) + 1;
                continue;
            }
            if slot.replace(row.slot) != Some(row.slot) {
                taken.chunks.push(Chunk {
                    tokens: 0,
                    before: row.position,
                });
            }
            if let Some(chunk) = taken.chunks.last_mut() {
                chunk.tokens += 1;
            }
        }
        taken
    }
}

/// What a device did.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub record: Record,
    pub steps: Vec<Taken>,
}

/// A run whose steps a device takes.
#[derive(Debug, Clone)]
pub struct DeviceRun<'a> {
    trace: &'a Trace,
    scenario: Scenario,
    workload: Workload,
    server: ContinuousServer,
    /// Slots in use at the last step.
    held: Vec<u32>,
    vacant: Vec<u32>,
    rows: Vec<Row>,
    taken: Vec<Taken>,
}

impl<'a> DeviceRun<'a> {
    /// The run before its first arrival, at time 0. `limits`: most sequences and most rows of the device's steps, and
    /// tokens of a block of its KV cache.
    ///
    /// Errors: those of a simulated run, and settings that the device lacks.
    pub fn new(
        trace: &'a Trace,
        scenario: &Scenario,
        limits: Limits,
    ) -> Result<DeviceRun<'a>, Error> {
        scenario.validate()?;
        let server = limits.server_of(scenario)?;
        let workload = Workload::new(trace, scenario)?;
        let mut server = ContinuousServer::new(trace, scenario, server, &workload)?;
        server.step_by_step();
        Ok(DeviceRun {
            trace,
            scenario: scenario.clone(),
            workload,
            server,
            held: Vec::new(),
            vacant: Vec::new(),
            rows: Vec::new(),
            taken: Vec::new(),
        })
    }

    /// What to do at `now_s`, which must not be before any time given so far. While a step is under way the answer is
    /// that step again.
    pub fn next(&mut self, now_s: f64) -> Next<'_> {
        if self.rows.is_empty() {
            while self.server.rests() {
                let at_s = self.server.due_s(&self.workload);
                if at_s == f64::INFINITY {
                    return Next::Done;
                }
                if at_s > now_s {
                    return Next::Wait(at_s);
                }
                self.advance();
            }
            self.lay();
        }
        Next::Step {
            vacant: &self.vacant,
            rows: &self.rows,
        }
    }

    /// The step that [`DeviceRun::next`] gave ended at `at_s`: its tokens are there. `took_s`: since it was submitted; what
    /// lies before that is no time of the step, and is in the times of requests. Nothing happens where no step was under
    /// way.
    pub fn ended(&mut self, at_s: f64, took_s: f64) {
        if self.rows.is_empty() {
            return;
        }
        self.taken.push(Taken::of(&self.rows, took_s));
        self.rows.clear();
        self.server.step_ends_at(at_s);
        while !self.server.rests() {
            self.advance();
        }
    }

    /// Tokens of the KV cache that the run can fill at once: what the server's cache holds, and no more than its requests
    /// need.
    pub fn cache_tokens(&self) -> u64 {
        let Some(server) = self.scenario.server() else {
            return 0;
        };
        let block = u64::from(server.kv.block_tokens);
        let rows = self.workload.rows.clone();
        let lengths = self.trace.prompt[rows.clone()]
            .iter()
            .zip(&self.trace.output[rows]);
        let needs = lengths.map(|(&prompt, &output)| {
            (u64::from(prompt.max(1)) + u64::from(output)).div_ceil(block)
        });
        let users = self.scenario.workload.closed_loop.as_ref();
        let at_once = users.map_or(u32::MAX, |users| users.users);
        let filled = needs.max().unwrap_or(0) * u64::from(server.max_sequences.min(at_once));
        self.server
            .blocks()
            .map_or(filled, |blocks| blocks.min(filled))
            * block
    }

    /// Output tokens so far.
    pub fn tokens(&self) -> u64 {
        self.server.tokens()
    }

    /// Requests that are answered, of how many.
    pub fn answered(&self) -> (u64, u64) {
        let at_work = self.server.requests();
        let arrived = self.workload.arrivals.arrived;
        (arrived - at_work, self.workload.report.rows_replayed)
    }

    /// What a run that is over leaves.
    pub fn finish(self) -> Measured {
        let work = Work::Continuous(Box::new(self.server.finish()));
        Measured {
            record: self.workload.record(self.scenario, work, Vec::new()),
            steps: self.taken,
        }
    }

    fn advance(&mut self) {
        self.server.advance(self.trace, &mut self.workload, 1);
    }

    /// Lays out the step at hand, and which slots were left since the one before.
    fn lay(&mut self) {
        self.server.lay(&mut self.rows);
        let begins = |slot: u32| self.rows.iter().any(|r| r.slot == slot && r.position == 0);
        let left = |slot: &u32| !self.server.holds(*slot) || begins(*slot);
        self.vacant = self.held.iter().copied().filter(left).collect();
        let vacant = &self.vacant;
        self.held.retain(|slot| !vacant.contains(slot));
        let begun = self.rows.iter().filter(|row| row.position == 0);
        self.held.extend(begun.map(|row| row.slot));
    }
}

/// What a device's steps and its KV cache can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sequences at work at once.
    pub sequences: u32,
    /// Rows of a step.
    pub rows: u32,
    /// Tokens of a block.
    pub block_tokens: u32,
}

impl Limits {
    /// The server of a scenario, where the device can do what it asks.
    fn server_of(self, scenario: &Scenario) -> Result<&Server, Error> {
        let Some(server) = scenario.server() else {
            return Err(lacks("engine", "a device serves with continuous batching"));
        };
        self.can(scenario, server)?;
        self.holds(server)?;
        Ok(server)
    }

    /// Refuses what a decoder cannot do at all.
    fn can(self, scenario: &Scenario, server: &Server) -> Result<(), Error> {
        let kv = &server.kv;
        for (has, field, why) in [
            (scenario.replicas() == 1, "fleet.gpus", "one device serves"),
            (
                server.tensor_parallel == 1,
                "engine.continuous.tensor_parallel",
                "the model is on one device",
            ),
            (
                matches!(server.rule, Rule::Vllm | Rule::Sarathi),
                "engine.continuous.rule",
                "the decoder takes prompts in chunks; choose vllm or sarathi",
            ),
            (
                server.speculative.is_none(),
                "engine.continuous.speculative",
                "the decoder has no draft model",
            ),
            (
                !server.async_scheduling,
                "engine.continuous.async_scheduling",
                "the decoder reads a step's tokens before it begins the next",
            ),
            (
                kv.prefix.reuse == Reuse::Off,
                "engine.continuous.kv.prefix.reuse",
                "the decoder computes every prompt",
            ),
            (
                kv.preemption == Preemption::Recompute,
                "engine.continuous.kv.preemption",
                "the decoder copies nothing to the host",
            ),
        ] {
            if !has {
                return Err(lacks(field, why));
            }
        }
        Ok(())
    }

    /// Refuses what the device's steps and its cache do not hold.
    fn holds(self, server: &Server) -> Result<(), Error> {
        let refuse = |field: &str, value: u32, allowed: String| {
            Err(Error::bad_field(
                format!("engine.continuous.{field}"),
                value,
                allowed,
            ))
        };
        for (field, value, most) in [
            ("max_sequences", server.max_sequences, self.sequences),
            ("max_batched_tokens", server.max_batched_tokens, self.rows),
        ] {
            if value > most {
                return refuse(field, value, format!("at most {most} on this device"));
            }
        }
        let tokens = server.kv.block_tokens;
        if tokens != self.block_tokens {
            let allowed = format!("{}, as the decoder's cache has them", self.block_tokens);
            return refuse("kv.block_tokens", tokens, allowed);
        }
        Ok(())
    }
}

fn lacks(what: &str, why: &str) -> Error {
    Error::contradiction(what, format!("it cannot be measured: {why}"))
}
