//! A study on its way: which scenarios come next, which outcomes are in, and in the end the files.

use super::Study;
use super::intervals::intervals;
use crate::Error;
use crate::metrics::Summary;
use crate::report::document::{Content, File};
use crate::scenario::Scenario;

/// The most replications of a study; each repeats every run.
pub const MAX_REPLICATIONS: u32 = 1000;

/// Refuses none, and more than [`MAX_REPLICATIONS`].
pub fn check_replications(replications: u32) -> Result<(), Error> {
    if (1..=MAX_REPLICATIONS).contains(&replications) {
        return Ok(());
    }
    Err(Error::bad_field(
        "replications",
        replications,
        format!("a whole number from 1 to {MAX_REPLICATIONS}"),
    ))
}

/// A study between its first scenario and its files.
#[derive(Debug, Clone)]
pub struct Execution {
    study: Study,
    /// Outcomes by replication, each in the order of the study's scenarios.
    outcomes: Vec<Vec<Summary>>,
    /// What must run now, replication after replication, each scenario once.
    pending: Vec<Scenario>,
    /// Where the outcomes of the study's current step come from, for each replication.
    places: Vec<Vec<Place>>,
}

/// Where a scenario's outcome comes from: studies ask for the same run at several places.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// An outcome of the same replication.
    Done(usize),
    Pending(usize),
}

impl Execution {
    /// Replication `r` runs with the scenario's seed + r. Later steps of a study follow the first
    /// replication's outcomes, so that all replications run the same scenarios.
    ///
    /// Errors: settings out of range.
    pub fn new(mut study: Study, replications: u32) -> Result<Execution, Error> {
        check_replications(replications)?;
        study.size_trace();
        let mut execution = Execution {
            study,
            outcomes: vec![Vec::new(); replications as usize],
            pending: Vec::new(),
            places: Vec::new(),
        };
        execution.find_pending()?;
        Ok(execution)
    }

    pub fn study(&self) -> &Study {
        &self.study
    }

    /// The scenarios to run now, each once although the study may ask for it at several places;
    /// empty once the study is complete.
    pub fn pending(&self) -> &[Scenario] {
        &self.pending
    }

    /// Takes the outcomes of [`Execution::pending`], in its order, and finds what comes next.
    ///
    /// Errors: a number of outcomes that is not that of the scenarios.
    pub fn take(&mut self, outcomes: Vec<Summary>) -> Result<(), Error> {
        if outcomes.len() != self.pending.len() {
            return Err(Error::contradiction(
                "outcomes",
                format!(
                    "there are {} for {} scenarios",
                    outcomes.len(),
                    self.pending.len()
                ),
            ));
        }
        self.keep(&outcomes);
        self.find_pending()
    }

    /// Puts the outcomes of the current step where they belong.
    fn keep(&mut self, outcomes: &[Summary]) {
        for (replication, places) in self.outcomes.iter_mut().zip(&self.places) {
            for &place in places {
                let outcome = match place {
                    Place::Done(at) => replication.get(at),
                    Place::Pending(at) => outcomes.get(at),
                };
                replication.extend(outcome.cloned());
            }
        }
    }

    fn find_pending(&mut self) -> Result<(), Error> {
        loop {
            let step = self.study.plan().next(&self.outcomes[0])?;
            self.pending.clear();
            self.places.clear();
            for (r, done) in (0u32..).zip(&self.outcomes) {
                let first = self.pending.len();
                let mut places = Vec::with_capacity(step.len());
                for scenario in &step {
                    let scenario = Scenario {
                        seed: scenario.seed.wrapping_add(r),
                        ..scenario.clone()
                    };
                    scenario.validate()?;
                    let waiting = &self.pending[first..];
                    places.push(
                        if let Some(at) = done.iter().position(|s| s.scenario == scenario) {
                            Place::Done(at)
                        } else if let Some(at) = waiting.iter().position(|s| *s == scenario) {
                            Place::Pending(first + at)
                        } else {
                            self.pending.push(scenario);
                            Place::Pending(self.pending.len() - 1)
                        },
                    );
                }
                self.places.push(places);
            }
            if step.is_empty() || !self.pending.is_empty() {
                return Ok(());
            }
            // Every run of this step has been made already.
            self.keep(&[]);
        }
    }

    /// Every outcome so far, replication after replication.
    pub fn outcomes(&self) -> impl Iterator<Item = &Summary> {
        self.outcomes.iter().flatten()
    }

    /// The study's files. With replications, each table `NAME.csv` has a `NAME_intervals.csv`
    /// beside it: mean and 95 % interval of every number.
    ///
    /// Errors: outcomes are missing.
    pub fn files(&self) -> Result<Vec<File>, Error> {
        if !self.pending.is_empty() {
            return Err(Error::contradiction(
                "outcomes",
                format!("{} scenarios have not run yet", self.pending.len()),
            ));
        }
        let mut replications = Vec::new();
        for outcomes in &self.outcomes {
            replications.push(self.study.plan().files(outcomes)?);
        }
        let mut files = replications[0].clone();
        if replications.len() > 1 {
            for (i, file) in replications[0].iter().enumerate() {
                let tables: Vec<_> = replications
                    .iter()
                    .filter_map(|files| match files.get(i).map(|f| &f.content) {
                        Some(Content::Table(table)) => Some(table),
                        _ => None,
                    })
                    .collect();
                if tables.len() == replications.len() {
                    let name = file.name.trim_end_matches(".csv");
                    files.push(File::new(
                        format!("{name}_intervals.csv"),
                        Content::Table(intervals(&tables)),
                    ));
                }
            }
        }
        Ok(files)
    }
}
