//! A simulated case: a scenario and the rows of its trace, both plain data that a file can hold.

use batchscope::scenario::Source;
use batchscope::{Error, Scenario, Trace, trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rng::Rng;
use crate::rows::{self, Row};
use crate::settings::{self, Has};

/// What a run is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub scenario: Value,
    /// Of the trace file that the scenario names; without effect where it makes its own requests.
    #[serde(default)]
    pub rows: Vec<Row>,
}

impl Case {
    pub fn random(rng: &mut Rng) -> Case {
        let rows = rows::rows(rng);
        let has = Has {
            requests: rows.iter().filter(|row| row.output > 0).count() as u64,
            sessions: rows.iter().any(|row| row.session.is_some()),
            classes: rows.iter().any(|row| row.class.is_some()),
            hashes: rows.iter().any(|row| row.family.is_some()),
        };
        let mut scenario = settings::scenario(has, rng);
        // Most random scenarios have settings without effect, which a file must not have; some keep them, and
        // are refused.
        if rng.chance(0.95) {
            scenario = with_an_effect(scenario);
        }
        Case { scenario, rows }
    }

    /// Reads the scenario, and reads or makes its trace.
    pub fn open(&self) -> Result<(Scenario, Trace), Error> {
        let scenario = Scenario::from_json(&self.scenario.to_string(), "case.json")?;
        let trace = match &scenario.trace {
            Source::Synthetic(synthetic) => synthetic.generate(scenario.seed)?,
            // A reader refuses a file without rows; the engines must do so too.
            Source::File { .. } if self.rows.is_empty() => Trace::default(),
            Source::File { name, .. } => trace::read_as(
                self.text(&scenario).as_bytes(),
                name,
                &scenario.trace.reading(),
            )?,
        };
        Ok((scenario, trace))
    }

    /// The trace file's text.
    pub fn text(&self, scenario: &Scenario) -> String {
        rows::text(&self.rows, &scenario.trace.reading())
    }
}

/// The scenario with every setting that has no effect at its default; as it is where it cannot be read.
fn with_an_effect(scenario: Value) -> Value {
    match serde_json::from_value::<Scenario>(scenario.clone()) {
        Ok(mut read) if read.validate().is_ok() => {
            read.reset_without_effect();
            serde_json::to_value(read).unwrap_or(scenario)
        }
        _ => scenario,
    }
}
