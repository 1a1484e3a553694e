//! Every figure that the original program printed for the 400-row head of BurstGPT, to the printed
//! digit.

use batchscope::latency::{Latency, Linear};
use batchscope::scenario::{Preset, Scenario, TokenRule};
use batchscope::sched::{Feedback, Policy};
use batchscope::{Trace, simulate};
use serde_json::Value;

mod support;

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
        scenario.scheduler.controller.feedback = Feedback::Decode;
        scenario.sla.published_token_rule = TokenRule::DecodeStep;
        v2
    } else {
        &settings[group]
    };
    scenario.workload.time_scale = own["time_scale"].as_f64().unwrap();
    scenario.latency = Latency::Linear(Linear {
        alpha_s: own["alpha_s"].as_f64().unwrap(),
        beta_s_per_token: own["beta_s_per_token"].as_f64().unwrap(),
        gamma: own["gamma"].as_f64().unwrap(),
        ..Linear::default()
    });
    scenario.scheduler.policy = policy(row["sched"].as_str().unwrap());
    scenario.scheduler.bins.count = row["k"].as_u64().unwrap() as u32;
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
    let (Some(trace), Some(golden)) = (support::burstgpt_head(), support::golden_400()) else {
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
    let (Some(trace), Some(golden)) = (support::burstgpt_head(), support::golden_400()) else {
        return;
    };
    for count in [1u32, 2, 4] {
        let mut scenario = Preset::StressV2.scenario();
        scenario.scheduler.bins.count = count;
        let outcome = simulate(&trace, &scenario).unwrap();
        assert_eq!(
            serde_json::to_value(&outcome.summary.bins).unwrap(),
            golden["bins"][count.to_string()],
            "K = {count}"
        );
    }
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
