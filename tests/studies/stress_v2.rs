//! Stress test v2: columns, report, findings and figures.
//! `BATCHSCOPE_UPDATE=1 cargo test --test studies stress_v2` rewrites the tracked files.

use batchscope::metrics::Summary;
use batchscope::published::stress_v2::{SlaMode, StressV2};
use batchscope::published::{Execution, Study};
use batchscope::report::figure::{At, Form, Plot};
use batchscope::sched::Policy;

use crate::support::studies::{
    column, figure, names, refused_field, run, run_with, same_as_golden, table, text,
};

fn small() -> StressV2 {
    StressV2 {
        request_counts: vec![200, 400],
        ..StressV2::default()
    }
}

const COLUMNS: &str = "timestamp,scheduler_type,num_requests,num_gpus,k_bins,actual_rps,\
    rps_scaling,d_sla_token,d_sla_request,sla_violation_rate_token,sla_violation_rate_request,\
    sla_violations_token,sla_violations_request,sla_violation_rate,throughput_requests_per_sec,\
    throughput_tokens_per_sec,capacity_qps_under_sla,avg_tbt_ms,p95_tbt_ms,p99_tbt_ms,max_tbt_ms,\
    avg_latency,p50_latency,p95_latency,p99_latency,max_latency,avg_queueing_delay,\
    avg_service_time,avg_gpu_utilization,min_gpu_utilization,max_gpu_utilization,num_batches,\
    avg_batch_size,min_batch_size,max_batch_size,total_time,total_tokens,num_completed,\
    execution_time_seconds,status,method_label";

#[test]
fn files_are_the_tracked_ones() {
    let files = run(Study::StressV2(small())).files().unwrap();
    same_as_golden(
        &files,
        "stress-v2",
        &[
            "results_v2.csv",
            "results_v2_honest.csv",
            "step2_report.txt",
        ],
    );
}

#[test]
fn columns_are_the_published_ones() {
    let execution = run(Study::StressV2(small()));
    let files = execution.files().unwrap();
    let table = table(&files, "results_v2.csv");
    assert_eq!(table.columns.join(","), COLUMNS);
    assert_eq!(table.rows.len(), 10);
    let outcomes: Vec<&Summary> = execution.outcomes().collect();
    for (name, value) in [
        (
            "sla_violation_rate_token",
            (|s| s.published().token_violations as f64 / s.workload.rows_replayed as f64)
                as fn(&Summary) -> f64,
        ),
        ("actual_rps", |s| {
            s.workload.rows_replayed as f64 / s.workload.span_s
        }),
        ("d_sla_token", |_| 0.03),
        ("d_sla_request", |_| 20.0),
        ("rps_scaling", |_| 200.0),
        ("capacity_qps_under_sla", |s| {
            (s.workload.rows_replayed - s.published().token_violations) as f64
                / s.published().makespan_s
        }),
    ] {
        let wanted: Vec<f64> = outcomes.iter().map(|s| value(s)).collect();
        assert_eq!(column(table, name), wanted, "{name}");
    }
}

/// Multi-bin K=8 and static batching on one GPU.
fn is(s: &Summary, policy: Policy, bins: u32) -> bool {
    s.scenario.fleet.gpus == 1
        && s.scenario.policy() == Some(policy)
        && s.scenario.bins.count == bins
}

#[test]
fn findings_follow_the_numbers() {
    let plain = run(Study::StressV2(small())).files().unwrap();
    let plain = text(&plain, "step2_report.txt");
    for line in [
        "1. TOKEN SLA IMPROVEMENT:",
        "2. REQUEST SLA IMPROVEMENT:",
        "3. TBT REDUCTION:",
        "No single GPU configuration meets the 20s Request SLA",
    ] {
        assert!(plain.contains(line), "{line} is not in\n{plain}");
    }

    // The same runs with the two methods' roles changed.
    let worse = run_with(Study::StressV2(small()), |s| {
        let (multi, single) = (
            is(s, Policy::MultiBinDynamic, 8),
            is(s, Policy::StaticFifo, 1),
        );
        let (rows, gpus) = (s.workload.rows_replayed, s.scenario.fleet.gpus);
        let Some(p) = &mut s.published else {
            return;
        };
        if multi {
            p.token_violations = rows / 2;
            p.avg_tbt_ms = 50.0;
        } else if single {
            p.token_violations = 0;
            p.request_violations = 0;
            p.avg_tbt_ms = 25.0;
        } else if gpus > 1 {
            p.request_violations = rows;
        }
    });
    let worse = worse.files().unwrap();
    let worse = text(&worse, "step2_report.txt");
    for line in [
        "1. TOKEN SLA LOSS:",
        "200 req: Multi-Bin K=8 (50.0 %) vs Static (100.0 %)",
        "0.50x as many: worse than static batching",
        "2. REQUEST SLA LOSS:",
        "2 of 8 single GPU runs meet the 20s Request SLA",
        "the best is 200 req Static FIFO (1 GPU) with 100.0 %",
        "Multi-GPU scaling (32 GPUs, Multi-Bin K=8) does not help: it reaches 0.0 %",
        "3. TBT INCREASE:",
        "400 req: 25.0ms \u{2192} 50.0ms (100.0 % increase)",
    ] {
        assert!(worse.contains(line), "{line} is not in\n{worse}");
    }
}

#[test]
fn the_honest_section_names_its_own_winner() {
    let best = |name: &str| {
        let files = run_with(Study::StressV2(small()), |s| {
            s.honest.goodput_requests_per_s = if is(s, Policy::StaticFifo, 1) == (name == "static")
            {
                9.0
            } else {
                1.0
            };
        });
        text(&files.files().unwrap(), "step2_report.txt").to_owned()
    };
    assert!(best("static").contains("best by goodput is Static FIFO (1 GPU) (9.000/s)"));
    assert!(!best("others").contains("best by goodput is Static FIFO"));
}

#[test]
fn figures_show_the_table() {
    let files = run(Study::StressV2(small())).files().unwrap();
    let results = table(&files, "results_v2.csv");
    let rates = column(results, "sla_violation_rate_token");
    let comparison = figure(&files, "step2_comparison");
    assert_eq!(comparison.panels.len(), 2);
    for (panel, rates) in comparison.panels.iter().zip(rates.chunks(5)) {
        let Plot::Series { series, marks } = &panel.plot else {
            panic!("bars are series");
        };
        let at: Vec<At> = marks.iter().map(|mark| mark.at).collect();
        assert_eq!(at, [At::Y(95.0), At::Y(90.0)]);
        let Form::Bars(bars) = &series[0].form else {
            panic!("not bars");
        };
        let wanted: Vec<Option<f64>> = rates.iter().map(|v| Some((1.0 - v) * 100.0)).collect();
        assert_eq!(*bars, wanted);
    }
    let tbt = figure(&files, "tbt_comparison");
    let Plot::Series { marks, .. } = &tbt.panels[0].plot else {
        panic!("bars are series");
    };
    assert_eq!(marks[0].at, At::Y(30.0));
    assert_eq!(figure(&files, "step2_honest").panels.len(), 4);
}

#[test]
fn step_1_is_a_grid() {
    let study = StressV2 {
        step: 1,
        request_counts: vec![200],
        gpu_counts: vec![1, 2],
        bin_counts: vec![1, 2, 4],
        sla: SlaMode::Strict,
        ..StressV2::default()
    };
    let files = run(Study::StressV2(study)).files().unwrap();
    let results = table(&files, "results_v2.csv");
    assert_eq!(column(results, "num_gpus"), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(column(results, "k_bins"), [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]);
    assert_eq!(column(results, "d_sla_request")[0], 5.0);
    let Plot::Heat { values, .. } = &figure(&files, "step1_grid").panels[0].plot else {
        panic!("not a heat map");
    };
    let shown: Vec<f64> = values.iter().flatten().flatten().copied().collect();
    let capacity = column(results, "capacity_qps_under_sla");
    assert_eq!(shown, capacity);
    let most = capacity.iter().copied().fold(0.0, f64::max);
    let best = capacity.iter().position(|&x| x == most).unwrap();
    let label = ["K=1 (1 GPU)", "K=2 (1 GPU)", "K=4 (1 GPU)", "K=1 (2 GPUs)"];
    let label = label.get(best).copied().unwrap_or(if best == 4 {
        "K=2 (2 GPUs)"
    } else {
        "K=4 (2 GPUs)"
    });
    let report = text(&files, "step1_report.txt");
    let first = report
        .lines()
        .find(|line| line.starts_with("Best: "))
        .unwrap();
    assert!(
        first.starts_with(&format!("Best: Multi-Bin {label} with ")),
        "{first}"
    );
    assert!(!names(&files).contains(&"step2_report.txt"));
}

#[test]
fn without_an_optimum_three_fleets_stand_in() {
    let study = StressV2 {
        optimal_gpus: None,
        optimal_bins: None,
        request_counts: vec![100],
        ..StressV2::default()
    };
    let execution = Execution::new(Study::StressV2(study), 1).unwrap();
    let fleets: Vec<(u32, u32)> = execution
        .pending()
        .iter()
        .map(|s| (s.fleet.gpus, s.bins.count))
        .collect();
    assert_eq!(
        fleets,
        [(1, 1), (1, 1), (1, 4), (1, 8), (4, 1), (4, 4), (8, 4)]
    );
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut StressV2)| {
        let mut study = small();
        change(&mut study);
        refused_field(Study::StressV2(study))
    };
    assert_eq!(
        refused(|s| s.request_counts.clear()),
        "stress-v2.request_counts"
    );
    assert_eq!(
        refused(|s| s.request_counts.push(0)),
        "stress-v2.request_counts"
    );
    assert_eq!(
        refused(|s| s.request_counts.push(200)),
        "stress-v2.request_counts"
    );
    assert_eq!(refused(|s| s.step = 3), "stress-v2.step");
    assert_eq!(
        refused(|s| s.optimal_bins = Some(129)),
        "stress-v2.optimal_bins"
    );
    assert_eq!(
        refused(|s| s.optimal_gpus = Some(0)),
        "stress-v2.optimal_gpus"
    );
    assert_eq!(refused(|s| s.optimal_gpus = None), "stress-v2.optimal_gpus");
    let grid = |change: fn(&mut StressV2)| {
        let mut study = StressV2 { step: 1, ..small() };
        change(&mut study);
        refused_field(Study::StressV2(study))
    };
    assert_eq!(grid(|s| s.gpu_counts.clear()), "stress-v2.gpu_counts");
    assert_eq!(grid(|s| s.gpu_counts.push(4097)), "stress-v2.gpu_counts");
    assert_eq!(grid(|s| s.bin_counts.push(0)), "stress-v2.bin_counts");
}
