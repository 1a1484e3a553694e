//! What a calibration is worth on its own GPU: two loads that the real decoder serves, beside their predictions
//! (docs/MODEL.md, "The proof").

use super::{Served, levels, predict};
use crate::latency::StepLatency;
use crate::latency::calibration::{Calibration, Proof, ProofLevel, ProofSide};
use crate::scenario::Scenario;
use crate::sched::continuous::kv::Capacity;
use crate::sim::device::Measured;
use crate::trace::synth::Synthetic;
use crate::words::{joined, percent};
use crate::{Error, Trace};

/// One user, whose steps have one row, and as many as make steps of many rows.
const USERS: [u32; 2] = [1, 16];
/// Requests of each user, one after another.
const REQUESTS: u32 = 3;
/// Tokens of each request.
const PROMPT: u32 = 64;
const OUTPUT: u32 = 32;
/// Sequences and rows of a step: what the decoder holds.
const SEQUENCES: u32 = 64;
const ROWS: u32 = 128;

/// The loads, ready to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Loads {
    pub trace: Trace,
    /// By rising users.
    pub scenarios: Vec<Scenario>,
}

impl Loads {
    /// With the calibration's prediction as the latency.
    ///
    /// Errors: those of the scenario.
    pub fn new(calibration: &Calibration) -> Result<Loads, Error> {
        let mut scenario = Scenario::continuous();
        scenario.fleet.gpus = 1;
        if let Some(server) = scenario.server_mut() {
            server.max_sequences = SEQUENCES;
            server.max_batched_tokens = ROWS;
            server.kv.capacity = Capacity::Unlimited;
            server.latency = StepLatency::from(calibration);
        }
        let mut scenarios = levels(&USERS, &scenario)?;
        for scenario in &mut scenarios {
            if let Some(users) = &mut scenario.workload.closed_loop {
                users.requests_per_user = REQUESTS;
            }
        }
        let most = USERS.into_iter().max().unwrap_or(1) * REQUESTS;
        let trace = Synthetic::alike(most, PROMPT, OUTPUT).generate(scenario.seed)?;
        Ok(Loads { trace, scenarios })
    }

    /// What a device took for each of them, beside the prediction.
    ///
    /// Errors: those of the prediction.
    pub fn proof(&self, measured: &[Measured]) -> Result<Proof, Error> {
        let level = |(scenario, measured): (&Scenario, &Measured)| {
            let predicted = predict(&self.trace, scenario)?;
            let measured = Served::measured(&self.trace, measured);
            Ok(ProofLevel {
                users: predicted.level.users,
                requests: predicted.level.requests.unwrap_or(0),
                predicted: side(&predicted),
                measured: side(&measured),
            })
        };
        let levels = self.scenarios.iter().zip(measured).map(level);
        Ok(Proof {
            levels: levels.collect::<Result<_, Error>>()?,
        })
    }
}

fn side(served: &Served) -> ProofSide {
    ProofSide {
        output_tokens_per_s: served.level.tok_s,
        tbt_mean_ms: served.tbt_ms.avg.unwrap_or(0.0),
        tbt_p95_ms: served.tbt_ms.p95.unwrap_or(0.0),
    }
}

/// "The calibration predicts this GPU within 8.0 %: throughput and mean time between tokens, with 1 and 16 users."
pub fn verdict(proof: &Proof) -> String {
    let users = proof.levels.iter().map(|level| level.users.to_string());
    format!(
        "The calibration predicts this GPU within {}: throughput and mean time between tokens, with {} users.",
        percent(proof.error()),
        joined(users),
    )
}
