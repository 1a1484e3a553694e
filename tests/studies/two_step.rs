//! The study `two-step`: which runs follow from which, and its files byte for byte.

use batchscope::published::two_step::{Step, TwoStep};
use batchscope::published::{Execution, Study};
use batchscope::report::document::{Cell, Content};
use batchscope::report::figure::Plot;
use batchscope::sched::Policy;

use crate::support::studies::{all_but_figures, names, run, same_as_golden, table, text};

fn small(step: Step) -> Study {
    Study::TwoStep(TwoStep {
        step,
        request_counts: vec![200, 1_000],
        gpu_counts: vec![1, 2, 4],
        bin_counts: vec![1, 2, 4],
        ..TwoStep::default()
    })
}

#[test]
fn the_published_grid_has_192_points() {
    let execution = Execution::new(Study::TwoStep(TwoStep::default()), 1).unwrap();
    assert_eq!(execution.pending().len(), 4 * 8 * 6);
    for scenario in execution.pending() {
        assert_eq!(scenario.closed().unwrap().policy, Policy::MultiBinDynamic);
        assert_eq!(scenario.workload.time_scale, 200.0);
        assert_eq!(
            (scenario.sla.token_ms, scenario.sla.request_s),
            (50.0, 10.0)
        );
    }
}

#[test]
fn step_2_runs_the_optimum_of_step_1() {
    let execution = run(small(Step::All));
    let outcomes: Vec<_> = execution.outcomes().cloned().collect();
    assert_eq!(outcomes.len(), 2 * 9 + 2 * 4);
    let (grid, methods) = outcomes.split_at(18);
    for (grid, methods) in grid.chunks(9).zip(methods.chunks(4)) {
        let policies: Vec<Policy> = methods
            .iter()
            .map(|s| s.scenario.closed().unwrap().policy)
            .collect();
        assert_eq!(
            policies,
            [
                Policy::StaticFifo,
                Policy::Dynamic,
                Policy::MultiBinDynamic,
                Policy::MultiBinDynamic
            ]
        );
        // 1 GPU and 4 bins is in the grid as well: the same run, the same figures.
        let same = grid
            .iter()
            .find(|s| s.scenario == methods[2].scenario)
            .unwrap();
        assert_eq!(same.published, methods[2].published);
        let best = &methods[3];
        let optimum = grid
            .iter()
            .find(|s| s.scenario == best.scenario)
            .expect("the optimum is a point of the grid");
        let violations = |s: &batchscope::metrics::Summary| {
            s.published().token_violations as f64 / s.workload.rows_replayed as f64
        };
        assert!(violations(optimum) < 0.1, "{}", violations(optimum));
        // No smaller point is as good, by the rule's own words.
        let fastest = grid
            .iter()
            .filter(|s| violations(s) < 0.1)
            .map(|s| s.published().tokens_per_s)
            .fold(0.0, f64::max);
        let size =
            |s: &batchscope::metrics::Summary| (s.scenario.fleet.gpus, s.scenario.bins.count);
        assert!(optimum.published().tokens_per_s >= 0.9 * fastest);
        assert!(!grid.iter().any(|s| violations(s) < 0.1
            && s.published().tokens_per_s >= 0.9 * fastest
            && size(s) < size(optimum)));
    }
}

#[test]
fn files_are_the_golden_ones() {
    let files = run(small(Step::All)).files().unwrap();
    assert_eq!(
        names(&files),
        [
            "STRESS_TEST_REPORT.md",
            "step1_all_results_final.csv",
            "step1_summary_table.csv",
            "step1_scaling_analysis.csv",
            "step1_grid_search_results_optimal_configs.json",
            "step2_comparison.csv",
            "two_step_honest.csv",
            "gpu_scaling_by_workload",
            "latency_heatmap_200",
            "latency_heatmap_1k",
            "gpu_efficiency",
            "step2_method_comparison",
        ]
    );
    same_as_golden(&files, "two-step", &all_but_figures(&files));
    let report = text(&files, "STRESS_TEST_REPORT.md");
    assert!(
        !report.contains("NaN") && !report.contains("inf"),
        "{report}"
    );
    let end = report
        .find("## How the field counts the same runs")
        .unwrap();
    assert!(report[..end].contains("## Recommendations"));
}

#[test]
fn each_step_alone() {
    let grid = run(small(Step::Grid)).files().unwrap();
    assert!(!names(&grid).iter().any(|name| name.starts_with("step2")));
    assert_eq!(table(&grid, "step1_all_results_final.csv").rows.len(), 18);
    let methods = run(small(Step::Methods)).files().unwrap();
    assert!(!names(&methods).iter().any(|name| name.starts_with("step1")));
    let comparison = table(&methods, "step2_comparison.csv");
    assert_eq!(comparison.rows.len(), 2 * 3);
    let group = comparison
        .columns
        .iter()
        .position(|c| c == "comparison_group");
    assert_eq!(comparison.rows[0][group.unwrap()], Cell::from("local"));
    assert!(text(&methods, "STRESS_TEST_REPORT.md").contains("needs step 1"));
}

#[test]
fn heat_maps_have_a_value_for_every_point() {
    let files = run(small(Step::Grid)).files().unwrap();
    let mut maps = 0;
    for file in &files {
        let Content::Figure(figure) = &file.content else {
            continue;
        };
        assert!(figure.caption.ends_with('.'), "{}", figure.caption);
        for panel in &figure.panels {
            if let Plot::Heat { values, .. } = &panel.plot {
                maps += 1;
                assert_eq!(values.len(), 3);
                assert!(values.iter().all(|row| row.len() == 3));
                assert!(values.iter().flatten().all(Option::is_some));
            }
        }
    }
    // P95 and throughput for each number of requests.
    assert_eq!(maps, 4);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    for (study, field) in [
        (
            TwoStep {
                gpu_counts: vec![0],
                ..TwoStep::default()
            },
            "two-step.gpu_counts",
        ),
        (
            TwoStep {
                request_counts: vec![],
                ..TwoStep::default()
            },
            "two-step.request_counts",
        ),
        (
            TwoStep {
                rps_scaling: 0.0,
                ..TwoStep::default()
            },
            "workload.time_scale",
        ),
    ] {
        let error = Execution::new(Study::TwoStep(study), 1)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("{field}: ")), "{error}");
    }
}
