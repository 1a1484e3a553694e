//! The complete description of one run: the CLI's file, the URL hash, the worker's message and a
//! study's grid point are all this one noun.

mod check;
#[cfg(feature = "cli")]
pub mod describe;
mod effect;
mod json;
mod preset;
mod settings;
mod version1;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::latency::LinearTable;
use crate::sched::continuous::Server;
use crate::sched::memory::Memory;
use crate::sched::{Bins, Closed, Policy};
use crate::trace::predict::Predictor;
use crate::trace::synth::Synthetic;
use crate::trace::{Failed, Format, Reading, TimeUnit};

pub use preset::{MEMORY_SHARE, Preset};
pub use preset::{Placement, put_on_hardware};
#[cfg(feature = "cli")]
pub(crate) use settings::refusal as no_effect;
pub use settings::{MAX_BATCH, MAX_GPUS};

/// The version of the JSON form that this code writes.
pub const VERSION: u32 = 2;

/// Everything that decides a run's outcome, besides the trace's rows themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Scenario {
    /// The version of this JSON form: 2. Texts of version 1 are read too.
    pub version: u32,
    pub trace: Source,
    pub workload: Workload,
    pub predictor: Predictor,
    pub bins: Bins,
    pub engine: Engine,
    pub fleet: Fleet,
    pub sla: Sla,
    /// Seeds every random choice: the generator's, the predictor's, the users' think times.
    pub seed: u32,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            version: VERSION,
            trace: Source::default(),
            workload: Workload::default(),
            predictor: Predictor::default(),
            bins: Bins::default(),
            engine: Engine::default(),
            fleet: Fleet::default(),
            sla: Sla::default(),
            seed: 42,
        }
    }
}

/// How a fleet serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Engine {
    /// Closed batches: those of a batch start together and leave together.
    Closed(Box<Closed>),
    /// Continuous batching: requests join and leave at every step.
    Continuous(Box<Server>),
}

impl Default for Engine {
    fn default() -> Self {
        Engine::Closed(Box::default())
    }
}

/// Where the requests come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Source {
    /// A file of the reader's; the scenario names it, its rows travel apart.
    File {
        /// Path of the file.
        name: String,
        /// Absent: recognised from the file.
        #[serde(default)]
        format: Option<Format>,
        /// Unit of the arrival times; absent: the format's, or that of the column's name.
        #[serde(default)]
        time_unit: Option<TimeUnit>,
        /// Tokens that each of a prompt's `hash_ids` stands for; absent: the format's, or the rows'.
        #[serde(default)]
        hash_tokens: Option<u32>,
    },
    /// Made here, from the seed.
    Synthetic(Synthetic),
}

impl Source {
    /// A file that says itself how to read it.
    pub fn file(name: impl Into<String>) -> Source {
        Source::File {
            name: name.into(),
            format: None,
            time_unit: None,
            hash_tokens: None,
        }
    }

    /// How to read the file; what a generated trace has is its own.
    pub fn reading(&self) -> Reading {
        match self {
            Source::File {
                format,
                time_unit,
                hash_tokens,
                ..
            } => Reading {
                format: *format,
                time_unit: *time_unit,
                hash_tokens: *hash_tokens,
                most_rows: None,
            },
            Source::Synthetic(_) => Reading::default(),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Source::Synthetic(Synthetic::default())
    }
}

/// What a run takes from the trace and how fast it arrives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Workload {
    /// Skip rows that arrive before this time on the trace's clock, s after its first row.
    pub window_start_s: Option<f64>,
    /// Skip rows that arrive at or after this time on the trace's clock, s after its first row.
    pub window_end_s: Option<f64>,
    /// The first N rows of what is left; absent means all.
    pub limit: Option<u32>,
    /// Arrival times are divided by this; 200 packs 200 s into one.
    pub time_scale: f64,
    /// Mean arrival rate, requests/s; replaces `time_scale` where given.
    pub rate_per_s: Option<f64>,
    pub failed: Failed,
    pub ties: Ties,
    /// Users who wait for each answer send the requests, and the trace gives their lengths alone;
    /// absent means that requests arrive when the trace says.
    pub closed_loop: Option<ClosedLoop>,
}

/// A closed loop: a fixed number of users, each sending its requests one after another. All send
/// their first at time 0; after each answer a user thinks and sends the next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ClosedLoop {
    /// Users who each keep one request under way, apart from think times.
    pub users: u32,
    /// Requests of each user, one after another.
    pub requests_per_user: u32,
    /// Shortest time from an answer to the user's next request, s.
    pub think_min_s: f64,
    /// Longest, s; think times are uniform between the two.
    pub think_max_s: f64,
}

impl Default for ClosedLoop {
    /// One user with one request.
    fn default() -> Self {
        ClosedLoop {
            users: 1,
            requests_per_user: 1,
            think_min_s: 0.0,
            think_max_s: 0.0,
        }
    }
}

impl ClosedLoop {
    /// Requests of all users together.
    pub fn requests(&self) -> u64 {
        u64::from(self.users) * u64::from(self.requests_per_user)
    }
}

/// What comes first of events at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Ties {
    /// Ends before arrivals, then the lowest GPU, then the earlier row (in a closed loop: the
    /// lower user).
    #[default]
    Fixed,
    /// Whatever the published program's event heap made of it, and idle GPUs in the order of its
    /// set (slower; needed to meet published figures exactly, because BurstGPT's clock counts whole
    /// seconds).
    PublishedHeap,
    /// The same heap, and idle GPUs in ascending order: the published program of 24 November, 16:10.
    PublishedHeapAscending,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            window_start_s: None,
            window_end_s: None,
            limit: None,
            time_scale: 1.0,
            rate_per_s: None,
            failed: Failed::default(),
            ties: Ties::default(),
            closed_loop: None,
        }
    }
}

/// The GPUs: equal, each serving one batch at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fleet {
    /// GPUs; with continuous batching a replica has `tensor_parallel` of them.
    pub gpus: u32,
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet { gpus: 4 }
    }
}

/// What is promised, and how the published studies counted a broken promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Sla {
    /// Time per output token, ms.
    pub token_ms: f64,
    /// From arrival to the end, s.
    pub request_s: f64,
    /// From arrival to the first token, s; absent means that nothing is promised.
    pub ttft_s: Option<f64>,
    /// What counts as a token violation among the published metrics; the honest ones always use
    /// each request's own time per output token.
    pub published_token_rule: TokenRule,
}

impl Default for Sla {
    fn default() -> Self {
        Sla {
            token_ms: 30.0,
            request_s: 20.0,
            ttft_s: None,
            published_token_rule: TokenRule::default(),
        }
    }
}

/// The published definitions of a token violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum TokenRule {
    /// Batch service time over the batch's longest output exceeds the token SLA (stress-v2,
    /// two-step).
    #[default]
    BatchTbt,
    /// `beta h(b)` exceeds the token SLA (the December state).
    DecodeStep,
    /// The whole latency exceeds the token SLA (three-step, where it is 1 s).
    EndToEnd,
}

impl Scenario {
    /// The defaults of continuous batching, whose step and memory are of one machine.
    pub fn continuous() -> Scenario {
        Scenario {
            engine: Engine::Continuous(Box::default()),
            ..Scenario::default()
        }
    }

    /// The settings of closed batches, where it has them.
    pub fn closed(&self) -> Option<&Closed> {
        match &self.engine {
            Engine::Closed(closed) => Some(closed),
            Engine::Continuous(_) => None,
        }
    }

    /// The settings of closed batches to change; of continuous batching it changes to their defaults first.
    pub fn closed_mut(&mut self) -> &mut Closed {
        if let Engine::Continuous(_) = self.engine {
            self.engine = Engine::default();
        }
        match &mut self.engine {
            Engine::Closed(closed) => closed,
            Engine::Continuous(_) => unreachable!("it was replaced"),
        }
    }

    /// The settings of continuous batching, where it has them.
    pub fn server(&self) -> Option<&Server> {
        match &self.engine {
            Engine::Closed(_) => None,
            Engine::Continuous(server) => Some(server),
        }
    }

    /// The settings of continuous batching to change, where it has them.
    pub fn server_mut(&mut self) -> Option<&mut Server> {
        match &mut self.engine {
            Engine::Closed(_) => None,
            Engine::Continuous(server) => Some(server),
        }
    }

    /// The memory of each GPU.
    pub fn memory(&self) -> &Memory {
        match &self.engine {
            Engine::Closed(closed) => &closed.memory,
            Engine::Continuous(server) => &server.memory,
        }
    }

    /// The memory of each GPU, to change.
    pub fn memory_mut(&mut self) -> &mut Memory {
        match &mut self.engine {
            Engine::Closed(closed) => &mut closed.memory,
            Engine::Continuous(server) => &mut server.memory,
        }
    }

    /// The policy of closed batches, where it has them.
    pub fn policy(&self) -> Option<Policy> {
        self.closed().map(|closed| closed.policy)
    }

    /// The formula of the studies for batches of any size that the policy forms; absent where steps are added up, and with
    /// continuous batching.
    pub fn linear_table(&self) -> Option<LinearTable> {
        let closed = self.closed()?;
        closed.latency.table(closed.largest_batch(&self.bins))
    }

    /// Reads a scenario from JSON, of version 2 or 1; `file` is for the error's sentence.
    ///
    /// Errors: text that is no scenario, fields outside their ranges, settings that differ from their default and
    /// have no effect.
    pub fn from_json(text: &str, file: &str) -> Result<Scenario, Error> {
        let scenario = json::read(text, file)?;
        scenario.validate()?;
        settings::check_effects(&scenario)?;
        Ok(scenario)
    }

    /// The complete JSON form, every default written out.
    pub fn to_json(&self) -> String {
        // Plain numbers, strings and options cannot fail to serialise; non-finite floats become
        // null, and `validate` refuses them.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// GPUs, or groups of them, that serve apart from each other.
    pub fn replicas(&self) -> u32 {
        self.fleet.gpus / self.gpus_together()
    }

    /// GPUs that work on the same step: a fleet is a multiple of them.
    pub fn gpus_together(&self) -> u32 {
        match &self.engine {
            Engine::Closed(_) => 1,
            Engine::Continuous(server) => server.tensor_parallel,
        }
    }

    /// Whether anything asks for predicted lengths.
    pub fn predicts(&self) -> bool {
        match &self.engine {
            Engine::Closed(closed) => closed.policy.has_bins(),
            Engine::Continuous(server) => server.predicts(),
        }
    }

    /// Whether anything asks which bin a request is in.
    pub fn has_bins(&self) -> bool {
        match &self.engine {
            Engine::Closed(closed) => closed.policy.has_bins(),
            Engine::Continuous(server) => server.has_bins(),
        }
    }

    /// Refuses any field outside its range, by name. Settings without effect pass: see
    /// [`Scenario::without_effect`].
    pub fn validate(&self) -> Result<(), Error> {
        check::scenario(self)
    }

    /// Each field that differs from its default and has no effect, with the reason.
    pub fn without_effect(&self) -> Vec<(&'static str, String)> {
        settings::without_effect(self).collect()
    }

    /// Why a field has no effect in this scenario, whatever its value; absent where it has one.
    pub fn no_effect_of(&self, field: &str) -> Option<String> {
        settings::reason(self, field)
    }

    /// Puts every field that has no effect back to its default; the outcome stays the same.
    pub fn reset_without_effect(&mut self) {
        settings::reset(self);
    }

    /// Paths of the fields that have no effect in some scenarios.
    pub fn fields_at_times_without_effect() -> Vec<&'static str> {
        let idle = settings::SETTINGS
            .iter()
            .filter(|setting| setting.is_at_times_idle());
        idle.map(|setting| setting.path).collect()
    }
}
