//! Every figure that the original program printed for the 400-row head of BurstGPT, to the printed
//! digit.

use batchscope::latency::{Latency, Linear};
use batchscope::scenario::{Preset, Scenario, TokenRule};
use batchscope::sched::{Feedback, Policy};
use batchscope::{Trace, simulate};
use serde_json::Value;

fn policy(name: &str) -> Policy {
    match name {
        "static_fifo" => Policy::StaticFifo,
        "dynamic_no_bins" => Policy::Dynamic,
        "multi_bin_dynamic" => Policy::MultiBinDynamic,
        other => panic!("unknown scheduler {other} in the golden file"),
    }
}

fn scenario(group: &str, settings: &Value, row: &Value) -> Scenario {
    let mut scenario = match group {
        // The file states no SLAs for this group; they are the two-step study's.
        "fallback_model" => Preset::TwoStep.scenario(),
        _ => Preset::StressV2.scenario(),
    };
    let v2 = &settings["linear_model_v2"];
    let own = if group == "decode_feedback_v2" {
        scenario.closed_mut().controller.feedback = Feedback::Decode;
        scenario.sla.published_token_rule = TokenRule::DecodeStep;
        v2
    } else {
        &settings[group]
    };
    scenario.workload.time_scale = own["time_scale"].as_f64().unwrap();
    scenario.closed_mut().latency = Latency::Linear(Linear {
        alpha_s: own["alpha_s"].as_f64().unwrap(),
        beta_s_per_token: own["beta_s_per_token"].as_f64().unwrap(),
        gamma: own["gamma"].as_f64().unwrap(),
        ..Linear::default()
    });
    scenario.closed_mut().policy = policy(row["sched"].as_str().unwrap());
    scenario.bins.count = row["k"].as_u64().unwrap() as u32;
    scenario.fleet.gpus = row["g"].as_u64().unwrap() as u32;
    scenario
}

/// The golden number as text, and ours printed to as many digits.
fn same_digits(golden: &Value, got: f64) -> bool {
    let printed = golden.to_string();
    let digits = printed.split_once('.').map_or(0, |(_, d)| d.len());
    // The file drops trailing zeros, so compare as numbers after rounding to the printed digits.
    let rounded: f64 = format!("{got:.digits$}").parse().unwrap();
    rounded == golden.as_f64().unwrap()
}

#[test]
fn every_published_figure_of_the_400_row_head() {
    let (Some(trace), Some(golden)) = (
        crate::support::burstgpt_head(),
        crate::support::golden_400(),
    ) else {
        return;
    };
    let mut wrong = Vec::new();
    let mut figures = 0;
    for group in ["linear_model_v2", "decode_feedback_v2", "fallback_model"] {
        for row in golden[group]["rows"].as_array().unwrap() {
            let outcome = simulate(&trace, &scenario(group, &golden, row)).unwrap();
            let p = outcome.summary.published();
            for (name, got) in [
                ("tok_viol", p.token_violations as f64),
                ("req_viol", p.request_violations as f64),
                ("avg_tbt", p.avg_tbt_ms),
                ("p95_tbt", p.p95_tbt_ms),
                ("max_tbt", p.max_tbt_ms),
                ("avg_lat", p.avg_latency_s),
                ("p95_lat", p.p95_latency_s),
                ("util", p.gpu_utilization_mean),
                ("nb", p.batches as f64),
                ("maxb", f64::from(p.max_batch)),
                ("total", p.makespan_s),
                ("tps", p.tokens_per_s),
            ] {
                figures += 1;
                if !same_digits(&row[name], got) {
                    wrong.push(format!(
                        "{group} {} k={}: {name} = {got}, published {}",
                        row["sched"], row["k"], row[name]
                    ));
                }
            }
        }
    }
    assert_eq!(figures, 8 * 12);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bins_of_the_400_row_head() {
    let (Some(trace), Some(golden)) = (
        crate::support::burstgpt_head(),
        crate::support::golden_400(),
    ) else {
        return;
    };
    for count in [1u32, 2, 4] {
        let mut scenario = Preset::StressV2.scenario();
        scenario.bins.count = count;
        let outcome = simulate(&trace, &scenario).unwrap();
        assert_eq!(
            serde_json::to_value(&outcome.summary.bins).unwrap(),
            golden["bins"][count.to_string()],
            "K = {count}"
        );
    }
}

/// The bins of a preset over the first rows of the first week, and the cap of each.
fn bins_and_caps(trace: &Trace, preset: Preset, rows: u32, count: u32) -> (Vec<u32>, Vec<u32>) {
    let mut scenario = preset.scenario();
    scenario.bins.count = count;
    scenario.workload.limit = Some(rows);
    let outcome = simulate(trace, &scenario).unwrap();
    let bins = outcome.summary.bins.iter();
    let caps = bins
        .clone()
        .map(|&bin| scenario.memory().batch_cap(bin, 128));
    (bins.map(|&[low, _]| low).collect(), caps.collect())
}

/// Lower bounds and caps as printed for the original program.
#[test]
fn bins_and_caps_of_the_first_week() {
    let Some(trace) = crate::support::burstgpt_week() else {
        return;
    };
    let lower = |preset, rows, count| bins_and_caps(&trace, preset, rows, count).0;
    let outputs = |count| lower(Preset::StressV2, 100, count);
    assert_eq!(outputs(2), [1, 234]);
    assert_eq!(outputs(4), [1, 82, 234, 386]);
    assert_eq!(outputs(8), [1, 31, 82, 156, 234, 309, 386, 501]);
    assert_eq!(
        outputs(16),
        [
            1, 15, 31, 55, 82, 114, 156, 195, 234, 273, 309, 346, 386, 437, 501, 602
        ]
    );
    assert_eq!(
        outputs(32),
        [
            1, 9, 15, 23, 31, 42, 55, 68, 82, 98, 114, 135, 156, 175, 195, 214, 234, 254, 273, 292,
            309, 328, 346, 365, 386, 410, 437, 465, 501, 542, 602, 710
        ]
    );
    let thousand = |count| lower(Preset::V3, 1_000, count);
    assert_eq!(thousand(1), [0]);
    assert_eq!(thousand(2), [1, 78]);
    assert_eq!(thousand(4), [1, 18, 78, 172]);
    assert_eq!(thousand(8), [1, 8, 18, 40, 78, 119, 172, 230]);
    assert_eq!(
        thousand(16),
        [
            1, 1, 8, 13, 18, 27, 40, 56, 78, 96, 119, 142, 172, 205, 230, 267
        ]
    );
    // The three-step study looks at 5,000 predictions at most.
    let five = |count| lower(Preset::ThreeStep, 10_000, count);
    assert_eq!(five(2), [1, 101]);
    assert_eq!(five(4), [1, 27, 101, 188]);
    assert_eq!(five(8), [1, 11, 27, 65, 101, 140, 188, 240]);
    assert_eq!(
        five(16),
        [
            1, 1, 11, 17, 27, 44, 65, 83, 101, 118, 140, 161, 188, 216, 240, 279
        ]
    );
    assert_eq!(
        five(32),
        [
            1, 1, 1, 9, 11, 14, 17, 21, 27, 34, 44, 55, 65, 74, 83, 93, 101, 110, 118, 129, 140,
            150, 161, 174, 188, 201, 216, 227, 240, 259, 279, 302
        ]
    );
    let ten = |count| lower(Preset::V4, 10_000, count);
    assert_eq!(ten(2), [1, 103]);
    assert_eq!(ten(4), [1, 28, 103, 191]);
    assert_eq!(ten(8), [1, 12, 28, 64, 103, 142, 191, 247]);

    let caps = |rows, count| bins_and_caps(&trace, Preset::V3, rows, count).1;
    assert_eq!(caps(1_000, 1), [9]);
    assert_eq!(caps(1_000, 2), [128, 8]);
    assert_eq!(caps(1_000, 4), [128, 128, 128, 8]);
    assert_eq!(caps(1_000, 8), [128, 128, 128, 128, 128, 128, 92, 8]);
    assert_eq!(caps(10_000, 2), [128, 8]);
    assert_eq!(caps(10_000, 4), [128, 128, 126, 8]);
    assert_eq!(caps(10_000, 8), [128, 128, 128, 128, 128, 112, 85, 8]);
    let mut sixteen = vec![128; 10];
    sixteen.extend([121, 104, 91, 80, 70, 8]);
    assert_eq!(caps(10_000, 16), sixteen);
}

#[test]
fn the_first_row_alone() {
    // (0.0596528 + 0.005742 * 490) / 18: pins L = prompt + output and TBT = service / output.
    let trace = Trace {
        arrival: vec![5.0],
        prompt: vec![472],
        output: vec![18],
        ..Trace::default()
    };
    let outcome = simulate(&trace, &Preset::StressV2.scenario()).unwrap();
    assert_eq!(
        outcome.summary.published().max_tbt_ms,
        159.623_961_041_665_9
    );
}
