//! What the SLA controller did in a run: its interval, what it measured, and the batch that came of it.

use super::Outcome;
use crate::latency::LinearTable;
use crate::sched::controller::ControllerState;
use crate::sched::memory::Ended;
use crate::sched::{Policy, Shape};
use crate::sim::Batches;

/// Every batch that one controller had a say in, in order of its start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steering {
    /// Start of the batch, s.
    pub start_s: Vec<f64>,
    /// The search interval when it was formed, requests.
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// The batch size that the controller allowed; memory or the queue may have made it smaller.
    pub allowed: Vec<u32>,
    /// The size that was taken.
    pub size: Vec<u32>,
    /// The moving mean of the feedback time that the controller compares with its target, s.
    pub tau_s: Vec<f64>,
}

/// The controller of `bin` (0 for one queue) through a run of closed batches; empty for policies without
/// one.
///
/// A controller depends on nothing but the batches that ended before, so its states follow from the
/// record and need not be kept by every run. Of batches that end at the moment at which another starts,
/// those on GPUs up to that of the new one count as ended, as in the event loop.
pub fn steering(outcome: &Outcome, bin: u8) -> Steering {
    let scenario = &outcome.summary.scenario;
    let mut steering = Steering::default();
    let Some(closed) = scenario.closed() else {
        return steering;
    };
    if !matches!(closed.policy, Policy::Dynamic | Policy::MultiBinDynamic) {
        return steering;
    }
    let batches = &outcome.batches;
    let table = scenario.linear_table();
    let mut state = ControllerState::new(
        &closed.controller,
        scenario.sla.token_ms / 1e3,
        closed.max_batch,
    );
    let interval = outcome.summary.bins.get(usize::from(bin));
    if let Some(cap) = interval.and_then(|&i| closed.batch_cap(&scenario.bins, i)) {
        state = state.capped(cap);
    }
    let mut by_end: Vec<usize> = (0..batches.len()).collect();
    by_end.sort_unstable_by(|&a, &b| {
        let key = |i: usize| (batches.end(i), batches.gpu[i]);
        let ((end_a, gpu_a), (end_b, gpu_b)) = (key(a), key(b));
        end_a.total_cmp(&end_b).then(gpu_a.cmp(&gpu_b))
    });
    let mut ended = by_end.into_iter().peekable();
    let mut running = 0;
    for i in 0..batches.len() {
        let (now, gpu) = (batches.start[i], batches.gpu[i]);
        while let Some(over) = ended.next_if(|&j| {
            let end = batches.end(j);
            end < now || (end == now && batches.gpu[j] <= gpu && j < i)
        }) {
            running -= batches.size[over];
            if batches.bin[over] == bin {
                let ended = ended_of(batches, over, table.as_ref());
                state.ended(&ended, running);
            }
        }
        if batches.bin[i] == bin {
            let allowed = state.batch(running);
            let interval = state.interval();
            steering.start_s.push(now);
            steering.low.push(interval.low);
            steering.high.push(interval.high);
            steering.allowed.push(allowed);
            steering.size.push(batches.size[i]);
            steering.tau_s.push(state.tau_s());
        }
        running += batches.size[i];
    }
    steering
}

/// What a controller is told of a batch that ended.
fn ended_of(batches: &Batches, over: usize, table: Option<&LinearTable>) -> Ended {
    Ended {
        shape: Shape {
            size: batches.size[over],
            longest_total: batches.longest_total[over],
            longest_output: batches.longest_output[over],
            ..Shape::default()
        },
        service_s: batches.clocked_service(over),
        decode_step_s: match table {
            Some(table) => table.decode_step_s(batches.size[over]),
            None => batches.decode_step(over),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::controller::Variant;
    use crate::trace::synth::{Shape as Load, Synthetic};
    use crate::{Scenario, scenario::Source, simulate};

    fn run(policy: Policy, variant: Variant, gpus: u32) -> Outcome {
        let synthetic = Synthetic {
            requests: 20_000,
            shape: Load::default(),
        };
        let mut scenario = Scenario {
            trace: Source::Synthetic(synthetic.clone()),
            ..Scenario::default()
        };
        scenario.closed_mut().policy = policy;
        scenario.closed_mut().controller.variant = variant;
        // Overloaded and with memory to spare: the controller alone decides.
        scenario.workload.time_scale = 1e5;
        scenario.memory_mut().capacity_gb = 1000.0;
        scenario.fleet.gpus = gpus;
        let trace = synthetic.generate(scenario.seed).unwrap();
        simulate(&trace, &scenario).unwrap()
    }

    #[test]
    fn no_batch_is_larger_than_its_controller_allowed() {
        for policy in [Policy::Dynamic, Policy::MultiBinDynamic] {
            for variant in [Variant::Nov24, Variant::Nov29, Variant::Paper] {
                for gpus in [1, 3] {
                    let outcome = run(policy, variant, gpus);
                    let bins = outcome.summary.bins.len().max(1);
                    let mut batches = 0;
                    let mut equal = 0;
                    for bin in 0..bins {
                        let steering = steering(&outcome, bin as u8);
                        // Nothing is measured before the first batch ends.
                        assert!(steering.tau_s.first().is_none_or(|&tau_s| tau_s == 0.0));
                        batches += steering.size.len();
                        for (i, (&size, &allowed)) in
                            steering.size.iter().zip(&steering.allowed).enumerate()
                        {
                            assert!(
                                size <= allowed,
                                "{policy:?} {variant:?} on {gpus}: batch {i} of bin {bin} has {size}, \
                                 allowed were {allowed}"
                            );
                            equal += usize::from(size == allowed);
                            assert!(steering.low[i] <= steering.high[i]);
                        }
                    }
                    assert_eq!(batches, outcome.batches.len());
                    // All but those at the beginning and the end of a queue.
                    let said = format!("{policy:?} {variant:?}: {equal} of {batches}");
                    assert!(equal * 4 >= batches * 3, "{said}");
                }
            }
        }
    }

    #[test]
    fn policies_without_a_controller_have_none() {
        let outcome = run(Policy::StaticFifo, Variant::Paper, 1);
        assert_eq!(steering(&outcome, 0), Steering::default());
    }
}
