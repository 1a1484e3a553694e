//! The server with continuous batching: replicas whose requests join and leave at every step (docs/MODEL.md,
//! "Continuous batching").

mod clock;
mod fleet;
mod gaps;
mod keys;
mod prepare;
mod record;
mod replica;
mod row;
mod series;

use super::workload::Workload;
use crate::latency::StepModel;
use crate::sched::bins::BinTable;
use crate::sched::continuous::kv::{Pool, Reuse};
use crate::sched::continuous::waiting::Waiting;
use crate::sched::continuous::{Order, Server};
use crate::{Error, Scenario, Trace};
use clock::Clock;
use fleet::Routing;
use keys::Keys;
use prepare::Shared;
use replica::{Context, MOST_STEP_ROWS, Replica, Rows, Rules};

pub use gaps::Gaps;
pub use record::{Fate, MARKS, Mark, Served, Totals};
pub use replica::StepRow;
pub use row::Row;
pub use series::{Level, Series};

/// Replicas at work.
#[derive(Debug, Clone)]
pub(super) struct ContinuousServer {
    rules: Rules,
    model: StepModel,
    clock: Clock,
    next_turn: Vec<u32>,
    served: Served,
    totals: Totals,
    answered: Vec<u32>,
    steps: Option<Vec<StepRow>>,
}

impl ContinuousServer {
    /// Errors: what the settings ask of the trace or of the memory and is not there.
    pub fn new(
        trace: &Trace,
        scenario: &Scenario,
        server: &Server,
        workload: &Workload,
    ) -> Result<ContinuousServer, Error> {
        prepare::enough_for_bins(scenario, server, workload.report.rows_replayed)?;
        prepare::classes_are_there(trace, server)?;
        let shared = Shared::new(trace, scenario, server)?;
        let blocks = prepare::blocks(server)?;
        let mut served = Served::new(workload.rows.len());
        if let Some(blocks) = blocks {
            prepare::turn_away_too_long(trace, server, workload, blocks, &mut served)?;
        }
        let next_turn = match (&trace.session, server.kv.prefix.reuse) {
            (Some(sessions), Reuse::Hashes) => {
                prepare::next_turns(&sessions[workload.rows.clone()])
            }
            _ => Vec::new(),
        };
        let rules = Rules::new(
            server,
            blocks,
            f64::from(server.kv.block_tokens) * server.memory.kv_gb_per_token,
            shared.unit_tokens,
            scenario.seed,
        );
        // `validate` bounds the fleet; the conversion cannot lose replicas.
        let count = u16::try_from(scenario.replicas()).unwrap_or(u16::MAX);
        let replicas = replicas(count, server, &rules, &workload.bins, shared);
        Ok(ContinuousServer {
            clock: Clock::new(
                replicas,
                Routing::new(server.router, scenario.seed, workload.bins.len(), count),
                Keys::new(trace, scenario, server),
                server.admission,
                workload.report.rows_replayed,
            ),
            model: server.latency.model(),
            next_turn,
            totals: Totals {
                busy_s: vec![0.0; usize::from(count)],
                blocks,
                gaps: Gaps::new(scenario.sla.token_ms / 1e3),
                ..Totals::default()
            },
            served,
            rules,
            answered: Vec::new(),
            steps: None,
        })
    }

    /// Does every step by itself: how long that takes is what the closed form is measured against.
    pub fn step_by_step(&mut self) {
        self.rules.longest_jump = 1;
    }

    /// Takes every step down from now on.
    pub fn record_steps(&mut self) {
        self.steps = Some(Vec::new());
    }

    /// The steps taken down so far.
    ///
    /// Errors: more of them than are kept.
    pub fn take_steps(&mut self) -> Result<Vec<StepRow>, Error> {
        let steps = self.steps.take().unwrap_or_default();
        if steps.len() > MOST_STEP_ROWS {
            return Err(Error::too_large(
                "steps of the run",
                format!("there are more than {MOST_STEP_ROWS}"),
                format!("at most {MOST_STEP_ROWS}; take fewer requests"),
            ));
        }
        Ok(steps)
    }

    /// Handles up to `events` events; true when the replay is over.
    pub fn advance(&mut self, trace: &Trace, workload: &mut Workload, events: u64) -> bool {
        let window = workload.rows.clone();
        let sessions = trace.session.as_ref();
        let mut cx = Context {
            rules: &self.rules,
            model: &self.model,
            rows: Rows {
                prompt: &trace.prompt[window.clone()],
                output: &trace.output[window.clone()],
                predicted: &workload.predicted,
                bin_of: &workload.bin_of,
                session: sessions.map_or(&[][..], |sessions| &sessions[window.clone()]),
                prefix: trace.prefix.as_ref(),
                next_turn: &self.next_turn,
                first: window.start,
            },
            served: &mut self.served,
            totals: &mut self.totals,
            answered: &mut self.answered,
            steps: self.steps.as_mut(),
        };
        for _ in 0..events {
            if !self.clock.tick(trace, &mut workload.arrivals, &mut cx) {
                return true;
            }
        }
        false
    }

    /// Whether the first replica has no step under way.
    pub fn rests(&self) -> bool {
        self.clock.replicas[0].rests()
    }

    /// When the next event is due while the first replica rests, s; infinity when there is none.
    pub fn due_s(&self, workload: &Workload) -> f64 {
        self.clock.due_s(workload.arrivals.next_s())
    }

    /// The step of the first replica ends at `at_s`, whatever its model says.
    pub fn step_ends_at(&mut self, at_s: f64) {
        self.clock.step_ends_at(at_s);
    }

    /// Adds the rows of the first replica's step.
    pub fn lay(&self, rows: &mut Vec<Row>) {
        self.clock.replicas[0].lay(&self.rules, rows);
    }

    /// Whether a request of the first replica has this slot.
    pub fn holds(&self, slot: u32) -> bool {
        self.clock.replicas[0].holds(slot)
    }

    /// Blocks of a replica that requests can use; `None` without a limit.
    pub fn blocks(&self) -> Option<u64> {
        self.rules.blocks
    }

    /// Output tokens so far.
    pub fn tokens(&self) -> u64 {
        self.totals.emitted
    }

    /// Requests that wait or run.
    pub fn requests(&self) -> u64 {
        let replicas = self.clock.replicas.iter();
        replicas.map(|replica| u64::from(replica.requests())).sum()
    }

    /// What became of the requests, and what the replicas did.
    pub fn finish(mut self) -> (Served, Totals) {
        let replicas = self.clock.replicas.iter();
        self.totals.evictions = replicas.map(Replica::evictions).sum();
        (self.served, self.totals)
    }
}

fn replicas(
    count: u16,
    server: &Server,
    rules: &Rules,
    bins: &BinTable,
    shared: Shared,
) -> Vec<Replica> {
    let queues = if server.bins { bins.len() } else { 1 };
    (0..count)
        .map(|number| {
            let prefix = &server.kv.prefix;
            let pool = Pool::new(rules.blocks, prefix, shared.units, shared.sessions);
            let waiting = Waiting::new(queues, server.order != Order::Fcfs);
            Replica::new(number, rules, waiting, pool)
        })
        .collect()
}
