//! Searches, and their answers played back.

use batchscope::experiment::capacity::{
    Highest, Part, Probe, Promise, Replication, Which, fewest_gpus,
};
use batchscope::experiment::compare::{Difference, comparison, pair};
use batchscope::{Error, Scenario, Trace, simulate};

use crate::case::Case;
use crate::invariants::Broken;

pub const PLAYED_BACK: &str = "answers played back";
pub const COMPARED: &str = "comparisons of pairs";

fn broken<T>(name: &'static str, detail: String) -> Result<T, Broken> {
    Err(Broken { name, detail })
}

/// What a case asks of a fleet: it follows from the seed, so that a case says everything.
fn promise(scenario: &Scenario) -> Promise {
    let which = [Which::Token, Which::Request, Which::Joint][scenario.seed as usize % 3];
    let share = [0.5, 0.9, 0.99, 1.0][scenario.seed as usize / 3 % 4];
    Promise { which, share }
}

fn same(probe: &Probe, scenario: &Scenario, trace: &Trace, promise: Promise) -> Result<(), Broken> {
    let outcome = match simulate(trace, scenario) {
        Ok(outcome) => outcome,
        Err(error) => return broken(PLAYED_BACK, format!("the answer is refused: {error}")),
    };
    let honest = &outcome.summary.honest;
    let attainment = match promise.which {
        Which::Token => honest.sla.token,
        Which::Request => honest.sla.request,
        Which::Joint => honest.sla.joint,
    };
    let played = (
        attainment,
        honest.utilization.mean,
        honest.backlog_at_last_arrival,
    );
    if played != (Some(probe.attainment), probe.utilization, probe.backlog) {
        return broken(PLAYED_BACK, format!("{probe:?} plays back as {played:?}"));
    }
    Ok(())
}

/// The highest rate, and the fewest GPUs for it.
pub fn capacity(case: &Case) -> Result<Result<(), Error>, Broken> {
    let (scenario, trace) = match case.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let promise = promise(&scenario);
    let highest = Replication::new(&trace, &scenario, promise, Part::Whole)
        .and_then(|search| Ok((search.highest_rate(&trace, &simulate)?, search)));
    let (highest, search) = match highest {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let (probe, holds) = match &highest {
        Highest::Found(probe) | Highest::Unbounded(probe) => (probe, true),
        Highest::Never(probe) => (probe, false),
    };
    same(
        probe,
        &search.at(probe.rate_per_s, probe.gpus),
        &trace,
        promise,
    )?;
    if holds {
        kept(probe, promise)?;
    }
    // More than a few GPUs beyond the answer cost time and show nothing.
    if !holds || probe.gpus > 16 {
        return Ok(Ok(()));
    }
    let rate = probe.rate_per_s;
    let fewest = fewest_gpus(&scenario, rate, promise, |gpus| {
        Ok(vec![search.attempt(&trace, rate, gpus, &simulate)?])
    });
    let fewest = match fewest {
        Ok(fewest) => fewest,
        Err(error) => return Ok(Err(error)),
    };
    let fleets: Vec<u32> = fewest.tried.iter().map(|tried| tried.probe.gpus).collect();
    fleets_in_order(&fleets, scenario.gpus_together())?;
    if let (Some(gpus), Some(probe)) = (fewest.gpus, &fewest.verified) {
        same(probe, &search.at(rate, gpus), &trace, promise)?;
        kept(probe, promise)?;
    }
    Ok(Ok(()))
}

/// The fleet of an answer keeps the promise.
fn kept(probe: &Probe, promise: Promise) -> Result<(), Broken> {
    if probe.attainment < promise.share {
        return broken(PLAYED_BACK, format!("{promise:?} is not kept by {probe:?}"));
    }
    Ok(())
}

/// The fleets that were tried grow, and each consists of whole groups of GPUs.
fn fleets_in_order(fleets: &[u32], together: u32) -> Result<(), Broken> {
    if !fleets.is_sorted() || fleets.iter().any(|gpus| !gpus.is_multiple_of(together)) {
        return broken(PLAYED_BACK, format!("{fleets:?} GPUs, {together} together"));
    }
    Ok(())
}

/// A scenario against itself and against twice the fleet, over two seeds.
pub fn compare(case: &Case) -> Result<Result<(), Error>, Broken> {
    let (scenario, trace) = match case.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let mut other = scenario.clone();
    other.fleet.gpus *= 2;
    let seeds = [scenario.seed, scenario.seed.wrapping_add(1)];
    let pairs = |a: &Scenario, b: &Scenario| -> Result<Vec<_>, Error> {
        seeds
            .iter()
            .map(|&seed| pair([a, b], Some(&trace), seed, &simulate))
            .collect()
    };
    let runs = (|| {
        Ok((
            pairs(&scenario, &scenario)?,
            pairs(&scenario, &other)?,
            pairs(&other, &scenario)?,
        ))
    })();
    let (itself, forth, back) = match runs {
        Ok(runs) => runs,
        Err(error) => return Ok(Err(error)),
    };
    for d in comparison([&scenario, &scenario], &itself).differences {
        if !is_nothing(&d) {
            return broken(COMPARED, format!("with itself: {d:?}"));
        }
    }
    let forth = comparison([&scenario, &other], &forth).differences;
    let back = comparison([&other, &scenario], &back).differences;
    if forth.len() != back.len() {
        return broken(
            COMPARED,
            format!("{} figures one way, {} the other", forth.len(), back.len()),
        );
    }
    for (d, r) in forth.iter().zip(&back) {
        if !fits(d, r) {
            return broken(COMPARED, format!("{d:?} and turned round {r:?}"));
        }
    }
    Ok(Ok(()))
}

/// Whether there is no difference, and none is claimed.
fn is_nothing(d: &Difference) -> bool {
    d.difference == 0.0 && d.a == d.b && d.shown() != Some(true)
}

/// Whether a difference is sound, and the other one is the same turned round.
fn fits(d: &Difference, turned: &Difference) -> bool {
    let ordered = d.low.is_none_or(|low| low <= d.difference)
        && d.high.is_none_or(|high| d.difference <= high);
    let finite = [d.a, d.b, d.difference].iter().all(|x| x.is_finite());
    let same = d.figure == turned.figure && (d.a, d.b) == (turned.b, turned.a);
    ordered && finite && same && d.difference == -turned.difference
}

#[cfg(test)]
mod tests {
    use batchscope::trace::synth::Synthetic;

    use super::*;

    /// The negative twins of a comparison.
    #[test]
    fn a_difference_that_does_not_fit_is_noticed() {
        let there = Difference {
            figure: "x".to_owned(),
            a: 1.0,
            b: 3.0,
            difference: 2.0,
            low: Some(1.5),
            high: Some(2.5),
        };
        let back = Difference {
            a: 3.0,
            b: 1.0,
            difference: -2.0,
            ..there.clone()
        };
        assert!(fits(&there, &back));
        assert!(!is_nothing(&there));
        let none = Difference {
            b: 1.0,
            difference: 0.0,
            low: Some(0.0),
            high: Some(0.0),
            ..there.clone()
        };
        assert!(is_nothing(&none));
        let claimed = Difference {
            low: Some(1e-9),
            high: Some(1e-9),
            ..none
        };
        assert!(!is_nothing(&claimed), "{claimed:?}");
        let faults: [fn(&mut Difference); 5] = [
            |d| d.low = Some(2.1),
            |d| d.high = Some(1.9),
            |d| d.difference = 2.0 + 1e-9,
            |d| d.a = f64::NAN,
            |d| d.figure.push('y'),
        ];
        for fault in faults {
            let mut faulty = there.clone();
            fault(&mut faulty);
            assert!(!fits(&faulty, &back), "{faulty:?}");
        }
    }

    /// The negative twins of an answer.
    #[test]
    fn an_answer_that_does_not_play_back_is_noticed() {
        let scenario = Scenario::default();
        let source = Synthetic {
            requests: 50,
            ..Synthetic::default()
        };
        let trace = source.generate(1).unwrap();
        let promise = Promise {
            which: Which::Joint,
            share: 0.9,
        };
        let honest = simulate(&trace, &scenario).unwrap().summary.honest;
        let probe = Probe {
            rate_per_s: 1.0,
            gpus: 4,
            attainment: honest.sla.joint.unwrap(),
            requests: 50,
            seed: 42,
            utilization: honest.utilization.mean,
            backlog: honest.backlog_at_last_arrival,
            served_per_s: honest.requests as f64 / honest.makespan_s,
            overloaded: false,
        };
        assert_eq!(same(&probe, &scenario, &trace, promise), Ok(()));
        let asks = |share| Promise { share, ..promise };
        assert!(kept(&probe, asks(probe.attainment)).is_ok());
        assert!(kept(&probe, asks(probe.attainment + 1e-9)).is_err());
        assert!(fleets_in_order(&[2, 4, 8], 2).is_ok());
        assert!(fleets_in_order(&[2, 8, 4], 2).is_err());
        assert!(fleets_in_order(&[2, 3], 2).is_err());
        for faulty in [
            Probe {
                attainment: probe.attainment - 0.01,
                ..probe
            },
            Probe {
                utilization: probe.utilization * 1.001,
                ..probe
            },
            Probe {
                backlog: probe.backlog + 1,
                ..probe
            },
        ] {
            let played = same(&faulty, &scenario, &trace, promise);
            assert!(played.is_err(), "{faulty:?}");
        }
    }
}
