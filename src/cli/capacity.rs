//! `batchscope capacity`.

use std::sync::Arc;

use serde::Serialize;

use super::args::CapacityArgs;
use super::calibrated::Prediction;
use super::{calibrated, files, pool, replay, run, table};
use crate::experiment::capacity::{
    Fewest, Highest, HighestRate, Part, Promise, Replication, Simulate, fewest_gpus,
};
use crate::published::execution::check_replications;
use crate::scenario::{Source, no_effect};
use crate::trace::Trace;
use crate::{Error, Scenario, sim};

/// Searches and prints.
pub fn capacity(args: CapacityArgs) -> Result<(), Error> {
    let searched = [
        Some(("the search", "workload.time_scale")),
        (args.scenario.rate.is_none()).then_some(("the search", "workload.rate_per_s")),
        args.fewest_gpus.then_some(("the search", "fleet.gpus")),
    ]
    .into_iter()
    .flatten();
    let (mut scenario, file) = run::resolve(&args.scenario, searched)?;
    let promise = Promise {
        which: args.of,
        share: args.attainment,
    };
    if let Some(replications) = args.replications {
        check_replications(replications)?;
    }
    if args.scenario.rate.is_some() && !args.fewest_gpus {
        return Err(Error::contradiction(
            "--rate",
            "the rate is what is searched; add --fewest-gpus, or leave it out",
        ));
    }
    if args.scenario.gpus.is_some() && args.fewest_gpus {
        return Err(Error::contradiction(
            "--gpus",
            "the fleet is what --fewest-gpus searches; leave one of them out",
        ));
    }
    if args.scenario.time_scale.is_some() {
        return Err(no_effect("--time-scale", "the search sets the rate itself"));
    }
    if let Source::Synthetic(synthetic) = &scenario.trace {
        few_enough(
            synthetic.requests,
            args.replications.unwrap_or(REPLICATIONS),
        )?;
    }
    let shared = match &scenario.trace {
        Source::File { .. } => Some(Arc::new(run::load(&scenario, file.as_deref())?)),
        Source::Synthetic(_) => None,
    };
    let calibrated = match (args.scenario.calibration(), &shared) {
        (None, _) => None,
        (Some(_), Some(trace)) => calibrated::put_on(&args.scenario, trace, &mut scenario)?,
        // Replications have other seeds and the same mean lengths; one form serves all.
        (Some(_), None) => {
            let trace = run::load(&scenario, None)?;
            calibrated::put_on(&args.scenario, &trace, &mut scenario)?
        }
    };
    let note = calibrated
        .as_ref()
        .map_or_else(String::new, |c| c.about(None).text(&scenario))
        + &Prediction::about(&scenario).map_or_else(String::new, |p| p.text());
    let jobs = args.jobs.unwrap_or_else(pool::default_jobs);
    let count = args
        .replications
        .unwrap_or_else(|| usual(&scenario, shared.as_deref()));
    let parts = Part::all(&scenario, count);
    let replications = pool::in_order(jobs, parts.into_iter(), |part| {
        let trace = match &shared {
            Some(trace) => trace.clone(),
            None => {
                let own = Scenario {
                    seed: part.seed(&scenario),
                    ..scenario.clone()
                };
                Arc::new(run::load(&own, None)?)
            }
        };
        let replication = Replication::new(&trace, &scenario, promise, part)?;
        Ok((trace, replication))
    })?;
    let simulate: Simulate<'_> = &replay::replay_quietly;
    if let (true, Some(rate)) = (args.fewest_gpus, args.scenario.rate) {
        let found = fewest_gpus(&scenario, rate, promise, |gpus| {
            pool::in_order(jobs, replications.iter(), |(trace, replication)| {
                replication.attempt(trace, rate, gpus, simulate)
            })
        })?;
        return show(args.json, &found, |f: &Fewest| {
            table::fewest(f, &scenario, &promise) + &note
        });
    }
    let highest: Vec<Highest> =
        pool::in_order(jobs, replications.iter(), |(trace, replication)| {
            replication.highest_rate(trace, simulate)
        })?;
    let found = HighestRate::of(&scenario, &highest);
    show(args.json, &found, |f| {
        table::highest_rate(f, &scenario, &promise) + &note
    })
}

/// Repetitions where none are asked for.
const REPLICATIONS: u32 = 5;

/// The usual number of repetitions, or as many as a short file has blocks of two requests.
fn usual(scenario: &Scenario, file: Option<&Trace>) -> u32 {
    let blocks = file.map_or(usize::MAX, |trace| sim::rows(trace, scenario).len() / 2);
    // At most 5.
    blocks.clamp(1, REPLICATIONS as usize) as u32
}

/// Refuses replications whose generated traces, which are all kept, would not fit into memory.
fn few_enough(requests: u32, replications: u32) -> Result<(), Error> {
    const MOST: u64 = 100_000_000;
    let all = u64::from(requests) * u64::from(replications);
    if all <= MOST {
        return Ok(());
    }
    Err(Error::too_large(
        "replications",
        format!("{replications} of {requests} requests each are {all} requests"),
        format!("{MOST} in all; ask for fewer replications or requests"),
    ))
}

fn show<T: Serialize>(json: bool, found: &T, text: impl Fn(&T) -> String) -> Result<(), Error> {
    if json {
        return files::print_json(found);
    }
    let text = text(found);
    files::print(|output| output.write_all(text.as_bytes()))
}
