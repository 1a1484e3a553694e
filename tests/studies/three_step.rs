//! The three-step study: steps, files, analysis, findings.
//! `BATCHSCOPE_UPDATE=1 cargo test --test studies three_step` rewrites the tracked files.

use crate::support::program::program;

use batchscope::metrics::Summary;
use batchscope::published::three_step::{Steps, ThreeStep};
use batchscope::published::{Execution, Study};
use batchscope::report::figure::Plot;

use crate::support::studies::{
    column, figure, json, names, outcome, refused_field, run, run_with, same_as_golden, table, text,
};

const PREFIX: &str = "comprehensive_stress_results";

fn small() -> ThreeStep {
    ThreeStep {
        max_requests: 1_000,
        ..ThreeStep::default()
    }
}

const COLUMNS: &str = "timestamp,scheduler_type,num_requests,num_gpus,use_real_timestamps,\
    rps_scaling,d_sla,k_bins,sla_violation_rate,capacity_qps_under_sla,\
    throughput_requests_per_sec,throughput_tokens_per_sec,avg_latency,p50_latency,p95_latency,\
    p99_latency,max_latency,avg_queueing_delay,avg_service_time,avg_gpu_utilization,\
    min_gpu_utilization,max_gpu_utilization,num_batches,avg_batch_size,min_batch_size,\
    max_batch_size,total_time,total_tokens,num_completed,execution_time_seconds,status,error";

#[test]
fn files_are_the_tracked_ones() {
    let files = run(Study::ThreeStep(small())).files().unwrap();
    let all_results = format!("{PREFIX}_all_results.csv");
    let analysis = format!("{PREFIX}_analysis.json");
    same_as_golden(
        &files,
        "three-step",
        &["three_step_report.txt", &all_results, &analysis],
    );
    assert_eq!(table(&files, &all_results).columns.join(","), COLUMNS);
}

#[test]
fn the_published_settings_make_34_runs() {
    let mut execution = Execution::new(Study::ThreeStep(ThreeStep::default()), 1).unwrap();
    // 20 + 8 runs, three of them both in step 1 and in step 2.
    let first = execution.pending().to_vec();
    assert_eq!(first.len(), 25);
    let counts: Vec<u32> = first.iter().filter_map(|s| s.workload.limit).collect();
    assert_eq!(
        counts[..20].chunks(5).map(|c| c[0]).collect::<Vec<_>>(),
        [1_000, 10_000, 100_000, 1_000_000]
    );

    // The real runs take minutes; outcomes of a short one stand in, told apart by capacity.
    let short = ThreeStep {
        max_requests: 100,
        ..ThreeStep::default()
    };
    let some = outcome(
        &Execution::new(Study::ThreeStep(short), 1)
            .unwrap()
            .pending()[0],
    );
    let stand_in = |scenario: &batchscope::Scenario| {
        let mut summary = some.clone();
        summary.scenario = scenario.clone();
        let gpus = f64::from(scenario.fleet.gpus);
        summary.published.as_mut().unwrap().capacity_qps_under_sla = 100.0 - (gpus - 16.0).abs();
        summary
    };
    execution
        .take(first.iter().map(stand_in).collect())
        .unwrap();
    // Of step 3, K = 8 on the best fleet has run in step 2.
    let third = execution.pending().to_vec();
    assert_eq!(third.len(), 5);
    assert!(third.iter().all(|s| s.fleet.gpus == 16));
    let bins: Vec<u32> = third.iter().map(|s| s.bins.count).collect();
    assert_eq!(bins, [1, 2, 4, 16, 32]);
    execution
        .take(third.iter().map(stand_in).collect())
        .unwrap();
    assert!(execution.pending().is_empty());
    assert_eq!(execution.outcomes().count(), 34);
    let bins: Vec<u32> = execution
        .outcomes()
        .skip(28)
        .map(|s| s.scenario.bins.count)
        .collect();
    assert_eq!(bins, [1, 2, 4, 8, 16, 32]);
}

#[test]
fn a_run_that_stands_at_two_places_has_one_outcome() {
    let files = run(Study::ThreeStep(small())).files().unwrap();
    let step1 = table(&files, &format!("{PREFIX}_step1_request_scaling.csv"));
    let step2 = table(&files, &format!("{PREFIX}_step2_gpu_scaling.csv"));
    assert_eq!(step1.rows.len(), 5);
    assert_eq!(step2.rows.len(), 8);
    assert_eq!(step1.rows[2..5], step2.rows[..3]);
    assert_eq!(
        table(&files, &format!("{PREFIX}_all_results.csv"))
            .rows
            .len(),
        19
    );
}

#[test]
fn a_skipped_step_leaves_no_file() {
    let only = |steps| {
        let study = ThreeStep {
            steps,
            max_requests: 300,
            max_gpus: 4,
            best_gpu_count: Some(2),
            ..ThreeStep::default()
        };
        let files = run(Study::ThreeStep(study)).files().unwrap();
        let names: Vec<String> = names(&files).into_iter().map(str::to_owned).collect();
        let parts: Vec<String> = json(&files, &format!("{PREFIX}_analysis.json"))
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        (names, parts)
    };
    let cases = [
        (
            Steps::Step1,
            "step1_request_scaling",
            "request_scaling_latency",
        ),
        (Steps::Step2, "step2_gpu_scaling", "scaling_efficiency"),
        (Steps::Step3, "step3_kbins_sensitivity", "kbins_sensitivity"),
    ];
    for (steps, part, drawn) in cases {
        let (names, parts) = only(steps);
        for (_, other, other_drawn) in cases {
            let here = other == part;
            assert_eq!(
                names.contains(&format!("{PREFIX}_{other}.csv")),
                here,
                "{other}"
            );
            assert_eq!(
                names.contains(&other_drawn.to_owned()),
                here,
                "{other_drawn}"
            );
            assert_eq!(parts.contains(&other.to_owned()), here, "{other}");
        }
        assert!(names.contains(&drawn.to_owned()));
        assert!(names.contains(&"batch_size_analysis".to_owned()));
    }
}

#[test]
fn step_3_alone_uses_the_given_fleet_or_32() {
    for (given, wanted) in [(None, 32), (Some(3), 3)] {
        let study = ThreeStep {
            steps: Steps::Step3,
            best_gpu_count: given,
            ..small()
        };
        let execution = Execution::new(Study::ThreeStep(study), 1).unwrap();
        assert_eq!(execution.pending().len(), 6);
        assert!(execution.pending().iter().all(|s| s.fleet.gpus == wanted));
    }
}

#[test]
fn the_deadline_and_the_pace_are_what_was_asked_for() {
    let study = |d_sla_s, use_real_timestamps| ThreeStep {
        steps: Steps::Step2,
        max_gpus: 1,
        d_sla_s,
        use_real_timestamps,
        ..small()
    };
    let one = |study| {
        let execution = run(Study::ThreeStep(study));
        let summary = execution.outcomes().next().unwrap().clone();
        (execution.files().unwrap(), summary)
    };
    let (_, strict) = one(study(1.0, false));
    let (files, loose) = one(study(5.0, false));
    assert_eq!(
        loose.scenario.closed().unwrap().controller.target_s,
        Some(5.0)
    );
    assert_eq!(loose.scenario.sla.request_s, 5.0);
    let late = |s: &Summary| s.published().token_violations;
    assert!(
        late(&loose) < late(&strict),
        "{} {}",
        late(&loose),
        late(&strict)
    );
    let results = table(&files, &format!("{PREFIX}_all_results.csv"));
    assert_eq!(column(results, "d_sla"), [5.0]);

    let (files, real) = one(study(1.0, true));
    assert_eq!(real.scenario.workload.time_scale, 1.0);
    assert!(late(&real) < late(&strict));
    let row = &table(&files, &format!("{PREFIX}_all_results.csv")).rows[0];
    assert_eq!(row[4], "True".into());
}

#[test]
fn efficiency_is_capacity_over_gpus() {
    let files = run(Study::ThreeStep(small())).files().unwrap();
    let step2 = table(&files, &format!("{PREFIX}_step2_gpu_scaling.csv"));
    let qps = column(step2, "capacity_qps_under_sla");
    let gpus = column(step2, "num_gpus");
    let analysis = json(&files, &format!("{PREFIX}_analysis.json"));
    let scaling = analysis["step2_gpu_scaling"]["scaling_efficiency"]
        .as_array()
        .unwrap();
    assert_eq!(scaling.len(), 8);
    for (i, entry) in scaling.iter().enumerate() {
        let wanted = (qps[i] / qps[0]) / (gpus[i] / gpus[0]);
        let found = entry["efficiency"].as_f64().unwrap();
        assert!((found / wanted - 1.0).abs() < 1e-12, "{found} {wanted}");
        let name = if wanted > 1.05 {
            "superlinear"
        } else if wanted > 0.85 {
            "linear"
        } else {
            "sublinear"
        };
        assert_eq!(entry["interpretation"], name);
    }
    let first = (1..8)
        .find(|&i| (qps[i] - qps[i - 1]) / qps[i - 1] < 0.10)
        .unwrap();
    let details = &analysis["step2_gpu_scaling"]["bottleneck_analysis"]["details"];
    assert_eq!(details["gpu_count"].as_f64().unwrap(), gpus[first - 1]);
    let sentence = format!("GPU scaling saturates at ~{} GPU", gpus[first - 1]);
    let report = text(&files, "three_step_report.txt");
    assert!(report.contains(&sentence), "{sentence} is not in\n{report}");
}

#[test]
fn findings_follow_the_numbers() {
    let report = |change: fn(&mut Summary)| {
        let files = run_with(Study::ThreeStep(small()), change).files().unwrap();
        text(&files, "three_step_report.txt").to_owned()
    };
    // Capacity in proportion to the fleet; violations fall with K.
    let growing = report(|s| {
        s.published.as_mut().unwrap().capacity_qps_under_sla = f64::from(s.scenario.fleet.gpus);
        s.published.as_mut().unwrap().token_violations = 100 - u64::from(s.scenario.bins.count);
    });
    for line in [
        "GPU scaling does not saturate up to 100 GPUs",
        "Scaling from 1 to 100 GPUs: 100.00x QPS improvement (100 % efficiency)",
        "Optimal K-bins: 32 (100.00 QPS, 6.8 % SLA violations)",
        "K-bins sensitivity: 0.0 % performance variance across K=[1,2,4,8,16,32]",
        "Multi-bin on 1 GPU beats both baselines at 0 of 1 request counts by QPS",
    ] {
        assert!(growing.contains(line), "{line} is not in\n{growing}");
    }
    // The other way round.
    let falling = report(|s| {
        s.published.as_mut().unwrap().capacity_qps_under_sla =
            if s.scenario.bins.count == 1 { 1.0 } else { 4.0 };
        s.published.as_mut().unwrap().token_violations = u64::from(s.scenario.bins.count);
    });
    for line in [
        "GPU scaling saturates at ~1 GPU (4.00 QPS with 2 GPUs)",
        "Scaling from 1 to 100 GPUs: 1.00x QPS improvement (1 % efficiency)",
        "Optimal K-bins: 1 (1.00 QPS, 0.1 % SLA violations)",
        "K-bins sensitivity: 75.0 % performance variance",
        "Multi-bin on 1 GPU beats both baselines at 1 of 1 request counts by QPS",
    ] {
        assert!(falling.contains(line), "{line} is not in\n{falling}");
    }
}

#[test]
fn figures_are_those_of_the_study() {
    let files = run(Study::ThreeStep(small())).files().unwrap();
    for (name, panels) in [
        ("request_scaling_capacity", 1),
        ("request_scaling_latency", 2),
        ("gpu_scaling_analysis", 4),
        ("scaling_efficiency", 1),
        ("kbins_sensitivity", 4),
        ("scheduler_comparison_heatmap", 1),
        ("throughput_latency_tradeoff", 1),
        ("batch_size_analysis", 3),
        ("three_step_honest", 3),
    ] {
        let figure = figure(&files, name);
        assert_eq!(figure.panels.len(), panels, "{name}");
        assert!(!figure.caption.is_empty(), "{name}");
    }
    let heat = &figure(&files, "scheduler_comparison_heatmap").panels[0].plot;
    let Plot::Heat { values, .. } = heat else {
        panic!("not a heat map");
    };
    for row in values {
        let most = row.iter().flatten().copied().fold(0.0, f64::max);
        assert_eq!(most, 100.0, "{row:?}");
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut ThreeStep)| {
        let mut study = small();
        change(&mut study);
        refused_field(Study::ThreeStep(study))
    };
    assert_eq!(refused(|s| s.max_requests = 0), "three-step.max_requests");
    assert_eq!(refused(|s| s.max_gpus = 0), "three-step.max_gpus");
    assert_eq!(refused(|s| s.rps_scaling = 0.0), "three-step.rps_scaling");
    assert_eq!(refused(|s| s.d_sla_s = f64::NAN), "three-step.d_sla_s");
    assert_eq!(
        refused(|s| s.best_gpu_count = Some(0)),
        "three-step.best_gpu_count"
    );
}

#[test]
fn flags_of_the_command_line() {
    let batchscope = |flags: &[&str]| {
        let output = program()
            .args(["study", "three-step", "--max-requests", "100"])
            .args(flags)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = batchscope(&[
        "--step3-only",
        "--best-gpu-count",
        "2",
        "--d-sla",
        "3",
        "--rps-scaling",
        "50",
    ]);
    assert_eq!(code, Some(0));
    assert!(text.contains("SLA: 3 s from arrival"), "{text}");
    assert!(text.contains("Arrivals: 50 times as fast"), "{text}");
    assert!(text.contains("Runs: 0 + 0 + 6 = 6"), "{text}");
    assert!(text.contains("Multi-Bin K=32 (2 GPUs)"), "{text}");
    assert_eq!(batchscope(&["--step1-only", "--step2-only"]).0, Some(2));
    assert_eq!(batchscope(&["--max-gpus", "0"]).0, Some(2));
}
