//! A study on its way: which scenarios come next, which outcomes are in, and in the end the files.

use super::Study;
use super::document::{Content, File};
use super::intervals::intervals;
use crate::Error;
use crate::metrics::Summary;
use crate::scenario::Scenario;

/// The most replications of a study; each repeats every run.
pub const MAX_REPLICATIONS: u32 = 1000;

/// A study between its first scenario and its files.
#[derive(Debug, Clone)]
pub struct Execution {
    study: Study,
    /// Outcomes by replication, each in the order of the study's scenarios.
    outcomes: Vec<Vec<Summary>>,
    /// What must run now, replication after replication.
    pending: Vec<Scenario>,
}

impl Execution {
    /// Replication `r` runs with the scenario's seed + r. Later steps of a study follow the first
    /// replication's outcomes, so that all replications run the same scenarios.
    ///
    /// Errors: settings out of range.
    pub fn new(mut study: Study, replications: u32) -> Result<Execution, Error> {
        if !(1..=MAX_REPLICATIONS).contains(&replications) {
            return Err(Error::BadField {
                field: "replications".to_owned(),
                value: replications.to_string(),
                allowed: format!("a whole number from 1 to {MAX_REPLICATIONS}"),
            });
        }
        study.size_trace();
        let mut execution = Execution {
            study,
            outcomes: vec![Vec::new(); replications as usize],
            pending: Vec::new(),
        };
        execution.find_pending()?;
        Ok(execution)
    }

    pub fn study(&self) -> &Study {
        &self.study
    }

    /// The scenarios to run now; empty once the study is complete.
    pub fn pending(&self) -> &[Scenario] {
        &self.pending
    }

    /// Takes the outcomes of [`Execution::pending`], in its order, and finds what comes next.
    ///
    /// Errors: a number of outcomes that is not that of the scenarios.
    pub fn take(&mut self, outcomes: Vec<Summary>) -> Result<(), Error> {
        if outcomes.len() != self.pending.len() {
            return Err(Error::Contradiction {
                what: "outcomes".to_owned(),
                why: format!(
                    "there are {} for {} scenarios",
                    outcomes.len(),
                    self.pending.len()
                ),
            });
        }
        let step = self.pending.len() / self.outcomes.len();
        let mut outcomes = outcomes.into_iter();
        for replication in &mut self.outcomes {
            replication.extend(outcomes.by_ref().take(step));
        }
        self.find_pending()
    }

    fn find_pending(&mut self) -> Result<(), Error> {
        let step = self.study.plan().next(&self.outcomes[0])?;
        self.pending = (0..self.outcomes.len() as u32)
            .flat_map(|r| {
                step.iter().map(move |scenario| Scenario {
                    seed: scenario.seed.wrapping_add(r),
                    ..scenario.clone()
                })
            })
            .collect();
        for scenario in &self.pending {
            scenario.validate()?;
        }
        Ok(())
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
            return Err(Error::Contradiction {
                what: "outcomes".to_owned(),
                why: format!("{} scenarios have not run yet", self.pending.len()),
            });
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
