//! The published rules: which configuration is the optimum, and from which fleet on more GPUs
//! bring little.

use super::{bin_count, gpu_count, throughput};
use crate::metrics::Summary;
use crate::published::published_columns::token_violation_rate;
use crate::published::runs::best_by;

/// A configuration is wanted only if fewer requests than this share break the token SLA.
pub(super) const VIOLATION_LIMIT: f64 = 0.10;
/// The optimum serves at least this share of the best throughput.
pub(super) const GOOD_ENOUGH: f64 = 0.90;
/// A reduction of P95 below this share is a diminishing return.
pub(super) const LITTLE: f64 = 0.10;
/// A run keeps up if it serves at least this share of the offered tokens. Less than 1, because the
/// last batch ends after the last arrival.
pub(super) const KEEPS_UP: f64 = 0.95;

pub(super) struct Optimum<'a> {
    pub run: &'a Summary,
    /// Whether any configuration was within the limit; otherwise `run` has the fewest violations.
    pub within_limit: bool,
}

/// Among runs with fewer than 10 % token violations: the best throughput, then the fewest GPUs,
/// then the fewest bins, with at least 90 % of it. Without such a run: the fewest violations, and
/// of equals the fewest GPUs, then bins. Absent for an empty grid.
pub(super) fn optimum(grid: &[Summary]) -> Option<Optimum<'_>> {
    let size = |s: &&Summary| (gpu_count(s), bin_count(s));
    let within = || {
        grid.iter()
            .filter(|s| token_violation_rate(s) < VIOLATION_LIMIT)
    };
    let Some(fastest) = best_by(within(), throughput) else {
        let fewest = best_by(grid, |s| -token_violation_rate(s))?;
        let run = grid
            .iter()
            .filter(|s| token_violation_rate(s) <= token_violation_rate(fewest))
            .min_by_key(size)?;
        return Some(Optimum {
            run,
            within_limit: false,
        });
    };
    let run = within()
        .filter(|s| throughput(s) >= GOOD_ENOUGH * throughput(fastest))
        .min_by_key(size)?;
    Some(Optimum {
        run,
        within_limit: true,
    })
}

/// A fleet beside the next smaller one.
pub(super) struct Step<'a> {
    pub run: &'a Summary,
    /// Of P95 against the next smaller fleet, as a share; negative where it rose.
    pub reduction: Option<f64>,
    /// The first fleet whose reduction is less than 10 %.
    pub diminishing: bool,
}

/// The runs with that many bins, by rising number of GPUs.
pub(super) fn scaling(grid: &[Summary], bins: u32) -> Vec<Step<'_>> {
    let mut runs: Vec<&Summary> = grid.iter().filter(|s| bin_count(s) == bins).collect();
    runs.sort_by_key(|s| gpu_count(s));
    let mut steps = Vec::<Step<'_>>::new();
    for run in runs {
        let reduction = steps.last().map(|before| {
            1.0 - run.published().p95_latency_s / before.run.published().p95_latency_s
        });
        let diminishing =
            reduction.is_some_and(|r| r < LITTLE) && !steps.iter().any(|step| step.diminishing);
        steps.push(Step {
            run,
            reduction,
            diminishing,
        });
    }
    steps
}

/// The last fleet before the first diminishing return, and that return; the largest fleet where
/// there is none.
pub(super) fn enough<'a>(steps: &[Step<'a>]) -> Option<(&'a Summary, Option<f64>)> {
    match steps.iter().position(|step| step.diminishing) {
        Some(at) => {
            let before = steps.get(at.checked_sub(1)?)?;
            Some((before.run, steps.get(at)?.reduction))
        }
        None => Some((steps.last()?.run, None)),
    }
}

/// Tokens served over tokens offered, per second; absent where all requests come at once.
pub(super) fn served_share(s: &Summary) -> Option<f64> {
    Some(s.honest.served_tokens_per_s / s.honest.offered_tokens_per_s?)
}

/// Whether the fleet serves what is offered: its throughput is then the load, not a capacity.
pub(super) fn keeps_up(s: &Summary) -> bool {
    served_share(s).is_some_and(|share| share >= KEEPS_UP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Published;
    use crate::scenario::Preset;
    use crate::{Trace, simulate};

    /// A summary with these figures: GPUs, bins, tokens/s, violations of 100 requests, P95 in s.
    fn made((gpus, bins, tokens, violations, p95): (u32, u32, f64, u64, f64)) -> Summary {
        let trace = Trace {
            arrival: vec![0.0],
            prompt: vec![1],
            output: vec![1],
            ..Trace::default()
        };
        let mut s = simulate(&trace, &Preset::TwoStep.scenario())
            .unwrap()
            .summary;
        s.scenario.fleet.gpus = gpus;
        s.scenario.bins.count = bins;
        s.workload.rows_replayed = 100;
        s.published = Some(Published {
            token_violations: violations,
            tokens_per_s: tokens,
            p95_latency_s: p95,
            ..s.published().clone()
        });
        s
    }

    fn chosen(grid: &[(u32, u32, f64, u64, f64)]) -> (u32, u32, bool) {
        let grid: Vec<Summary> = grid.iter().copied().map(made).collect();
        let best = optimum(&grid).unwrap();
        (gpu_count(best.run), bin_count(best.run), best.within_limit)
    }

    #[test]
    fn smallest_within_nine_tenths_of_the_best() {
        let grid = [
            (1, 1, 89.9, 0, 1.0),
            (2, 8, 90.0, 0, 1.0),
            (2, 4, 91.0, 0, 1.0),
            (4, 1, 100.0, 9, 1.0),
            // Faster, but a tenth of its requests break the SLA.
            (8, 1, 200.0, 10, 1.0),
        ];
        assert_eq!(chosen(&grid), (2, 4, true));
        // Whatever the order.
        let turned: Vec<_> = grid.into_iter().rev().collect();
        assert_eq!(chosen(&turned), (2, 4, true));
    }

    #[test]
    fn without_a_run_within_the_limit_the_fewest_violations() {
        let grid = [
            (1, 1, 10.0, 50, 1.0),
            (4, 2, 90.0, 20, 1.0),
            (2, 8, 9.0, 20, 1.0),
        ];
        assert_eq!(chosen(&grid), (2, 8, false));
        assert!(optimum(&[]).is_none());
    }

    #[test]
    fn the_first_small_reduction_is_diminishing() {
        let grid: Vec<Summary> = [
            (8, 2, 1.0, 0, 46.0),
            (1, 2, 1.0, 0, 100.0),
            (1, 4, 1.0, 0, 7.0),
            (4, 2, 1.0, 0, 48.0),
            (2, 2, 1.0, 0, 50.0),
            (16, 2, 1.0, 0, 20.0),
        ]
        .into_iter()
        .map(made)
        .collect();
        let steps = scaling(&grid, 2);
        let gpus: Vec<u32> = steps.iter().map(|s| gpu_count(s.run)).collect();
        assert_eq!(gpus, [1, 2, 4, 8, 16]);
        let reductions: Vec<Option<f64>> = steps.iter().map(|s| s.reduction).collect();
        assert_eq!(reductions[..2], [None, Some(0.5)]);
        let flags: Vec<bool> = steps.iter().map(|s| s.diminishing).collect();
        assert_eq!(flags, [false, false, true, false, false]);
        let (fleet, next) = enough(&steps).unwrap();
        assert_eq!(gpu_count(fleet), 2);
        assert!((next.unwrap() - 0.04).abs() < 1e-12);
        // One fleet alone has nothing to diminish.
        let (fleet, next) = enough(&scaling(&grid, 4)).unwrap();
        assert_eq!((gpu_count(fleet), next), (1, None));
        assert!(enough(&scaling(&grid, 3)).is_none());
    }
}
