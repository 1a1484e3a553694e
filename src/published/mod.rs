//! The published studies, and their reports for a server of one's own. Each study is a plain list of scenarios
//! plus a way to tabulate and draw their outcomes; none has an engine of its own.
//!
//! A [`Study`] is data: its settings. [`Execution`] says which scenarios must run next and, once
//! their outcomes are in, gives the files. Who runs the scenarios is another's business: threads,
//! a pool of workers, other machines.

mod check;
pub mod continuous;
pub mod contract;
pub mod errata;
pub mod execution;
mod field;
mod intervals;
pub mod paper;
mod published_columns;
pub mod published_rows;
pub mod published_values;
pub mod reproduce;
mod runs;
pub mod saturation;
pub mod server;
pub mod stress_v2;
pub mod three_step;
pub mod two_step;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::metrics::Summary;
use crate::report::document::File;
use crate::scenario::{Scenario, Source};

pub use execution::Execution;

/// A study with its settings, as `batchscope study NAME` and the page make it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Study {
    StressV2(stress_v2::StressV2),
    ThreeStep(three_step::ThreeStep),
    TwoStep(two_step::TwoStep),
    Saturation(saturation::Saturation),
    Contract(contract::Contract),
    Paper(paper::Paper),
    Continuous(continuous::Continuous),
}

/// What every study can do.
trait Plan {
    /// As in `batchscope study NAME`.
    fn name(&self) -> &'static str;

    /// One sentence for a list of choices.
    fn describe(&self) -> &'static str;

    /// The scenarios to run after the first `done` outcomes; empty once the study is complete.
    ///
    /// Studies whose later steps depend on earlier outcomes give one step at a time. The list
    /// depends on nothing but the settings and `done`, in which outcomes stand in the order of
    /// their scenarios.
    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error>;

    /// Tables, texts and figures of a complete study; the first text is the report that people
    /// read.
    fn files(&self, outcomes: &[Summary]) -> Result<Vec<File>, Error>;

    /// Where the requests come from and the seed; absent where the scenarios bring their own.
    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)>;

    /// The seed, also of studies whose scenarios bring their own requests; absent where nothing is
    /// random.
    fn seed_mut(&mut self) -> Option<&mut u32> {
        self.trace_mut().map(|(_, seed)| seed)
    }

    /// The requests of its largest run; a generated trace is made that long.
    fn rows_needed(&self) -> u32;

    /// Lowers what asks for more rows than the trace has, as the published programs did; says so
    /// in a sentence.
    fn limit_to(&mut self, rows: u64) -> Option<String>;
}

impl Study {
    /// The published settings of every study, in the order in which people meet them.
    pub fn all() -> Vec<Study> {
        vec![
            Study::StressV2(stress_v2::StressV2::default()),
            Study::ThreeStep(three_step::ThreeStep::default()),
            Study::TwoStep(two_step::TwoStep::default()),
            Study::Saturation(saturation::Saturation::default()),
            Study::Contract(contract::Contract::default()),
            Study::Paper(paper::Paper::default()),
            Study::Continuous(continuous::Continuous::default()),
        ]
    }

    fn plan(&self) -> &dyn Plan {
        match self {
            Study::StressV2(study) => study,
            Study::ThreeStep(study) => study,
            Study::TwoStep(study) => study,
            Study::Saturation(study) => study,
            Study::Contract(study) => study,
            Study::Paper(study) => study,
            Study::Continuous(study) => study,
        }
    }

    fn plan_mut(&mut self) -> &mut dyn Plan {
        match self {
            Study::StressV2(study) => study,
            Study::ThreeStep(study) => study,
            Study::TwoStep(study) => study,
            Study::Saturation(study) => study,
            Study::Contract(study) => study,
            Study::Paper(study) => study,
            Study::Continuous(study) => study,
        }
    }

    /// As in `batchscope study NAME`.
    pub fn name(&self) -> &'static str {
        self.plan().name()
    }

    /// One sentence for a list of choices.
    pub fn describe(&self) -> &'static str {
        self.plan().describe()
    }

    /// Where the study's requests come from, and its seed; absent where its scenarios bring their
    /// own.
    pub fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        self.plan_mut().trace_mut()
    }

    /// The study's seed; absent where nothing is random.
    pub fn seed_mut(&mut self) -> Option<&mut u32> {
        self.plan_mut().seed_mut()
    }

    /// Lowers what asks for more rows than the trace has, as the published programs did; says so.
    pub fn limit_to(&mut self, rows: u64) -> Option<String> {
        self.plan_mut().limit_to(rows)
    }

    /// A generated trace gets the length that the largest run asks for.
    fn size_trace(&mut self) {
        let needed = self.plan().rows_needed();
        if let Some((Source::Synthetic(synthetic), _)) = self.trace_mut() {
            synthetic.requests = needed;
        }
    }
}

/// Lowers request counts to the rows there are; a sentence where that changed anything.
fn limit_counts(counts: &mut Vec<u32>, rows: u64) -> Option<String> {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    if counts.iter().all(|&n| n <= rows) {
        return None;
    }
    for n in counts.iter_mut() {
        *n = rows.min(*n);
    }
    counts.dedup();
    Some(format!(
        "the trace has {rows} rows, so larger request counts are lowered to that"
    ))
}
