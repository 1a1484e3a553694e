//! Random traces and scenarios, small enough to replay by hand-written oracles and odd enough to
//! reach every branch: ties, failed rows, prompts beyond the memory limit, overload and idleness.
use batchscope::Trace;
use batchscope::latency::{Latency, Linear};
use batchscope::scenario::{ClosedLoop, Engine, Fleet, Scenario, Sla, Ties, TokenRule, Workload};
use batchscope::sched::memory::Memory;
use batchscope::sched::{
    Bins, Boundaries, Closed, Controller, Feedback, MemoryBound, MemoryRule, Policy, RunningFloor,
    Served, Variant,
};
use batchscope::trace::Failed;
use batchscope::trace::predict::{Kind, Predictor};
use proptest::prelude::*;
use proptest::sample::select;

/// Requests in arrival order; most gaps are 0 or whole seconds, so that ties are common.
pub fn trace(rows: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Trace> {
    let gap = prop_oneof![
        4 => Just(0.0),
        3 => (1..4u32).prop_map(f64::from),
        3 => 0.0..1.5f64,
        1 => 5.0..60.0f64,
    ];
    let prompt = prop_oneof![
        1 => Just(0),
        6 => 1..400u32,
        2 => Just(64),
        2 => 400..4000u32,
        1 => 20_000..60_000u32,
    ];
    let output = prop_oneof![
        2 => Just(0),
        1 => Just(1),
        8 => 2..500u32,
        2 => Just(64),
        1 => 500..6000u32,
    ];
    (
        0.0..100.0f64,
        prop::collection::vec((gap, prompt, output), rows),
    )
        .prop_map(|(mut clock, rows)| {
            let mut trace = Trace {
                name: "random".to_owned(),
                ..Trace::default()
            };
            for (gap, prompt, output) in rows {
                clock += gap;
                trace.arrival.push(clock);
                trace.prompt.push(prompt);
                trace.output.push(output);
            }
            trace
        })
}

fn latency() -> impl Strategy<Value = Latency> {
    prop_oneof![
        2 => Just(Linear::STRESS_V2),
        1 => Just(Linear::TWO_STEP),
        1 => Just(Linear::THREE_STEP),
        // Whole seconds: ends that coincide with arrivals.
        1 => Just(Linear { alpha_s: 1.0, beta_s_per_token: 0.0, gamma: 0.0, growth: 0.0, floor_s: 0.001 }),
        1 => Just(Linear { alpha_s: 0.0, beta_s_per_token: 1e-6, gamma: 0.5, growth: 0.02, floor_s: 0.5 }),
        1 => (0.0..0.5f64, 0.0..0.01f64, 0.0..2.0f64, 0.0..0.1f64, 1e-6..1.0f64).prop_map(
            |(alpha_s, beta_s_per_token, gamma, growth, floor_s)| Linear {
                alpha_s,
                beta_s_per_token,
                gamma,
                growth,
                floor_s,
            }
        ),
    ]
    .prop_map(Latency::Linear)
}

fn workload() -> impl Strategy<Value = Workload> {
    (
        prop_oneof![4 => Just(None), 1 => (0.0..30.0f64).prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => (30.0..120.0f64).prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => (1..150u32).prop_map(Some)],
        prop_oneof![2 => Just(1.0), 1 => Just(2.0), 2 => 0.05..50.0f64],
        prop_oneof![6 => Just(None), 1 => (0.05..50.0f64).prop_map(Some)],
        select(vec![Failed::Drop, Failed::Keep]),
    )
        .prop_map(
            |(window_start_s, window_end_s, limit, time_scale, rate_per_s, failed)| Workload {
                window_start_s,
                window_end_s,
                limit,
                time_scale,
                rate_per_s,
                failed,
                ties: Ties::Fixed,
                closed_loop: None,
            },
        )
}

/// A closed loop for traces of up to about 200 rows; some ask for more than there are. Think times
/// of whole seconds, and none at all, meet ends of batches.
pub fn closed_loop() -> impl Strategy<Value = ClosedLoop> {
    (
        prop_oneof![1 => Just(1u32), 4 => 2..12u32, 1 => 12..100u32],
        prop_oneof![1 => Just(1u32), 4 => 2..10u32, 1 => 10..30u32],
        prop_oneof![
            2 => Just((0.0, 0.0)),
            2 => Just((1.0, 1.0)),
            2 => Just((0.5, 2.0)),
            1 => (0.0..3.0f64, 0.0..20.0f64).prop_map(|(least, more)| (least, least + more)),
        ],
    )
        .prop_map(
            |(users, requests_per_user, (think_min_s, think_max_s))| ClosedLoop {
                users,
                requests_per_user,
                think_min_s,
                think_max_s,
            },
        )
}

/// A workload with users instead of recorded arrivals.
pub fn by_users(workload: Workload, closed_loop: ClosedLoop) -> Workload {
    Workload {
        limit: workload.limit,
        failed: workload.failed,
        closed_loop: Some(closed_loop),
        ..Workload::default()
    }
}

fn bins() -> impl Strategy<Value = Bins> {
    (
        prop_oneof![Just(1u32), 2..9u32, 9..40u32],
        select(vec![
            Boundaries::EqualMassOutputs,
            Boundaries::EqualMassPredictions,
            Boundaries::EqualWidth,
            Boundaries::Fixed,
            Boundaries::ExponentialOptimal,
        ]),
        select(vec![Served::RoundRobin, Served::LongestQueue]),
        prop_oneof![Just(20_000u32), 1..200u32],
        prop_oneof![Just(10_000u32), 1..100u32],
        prop::collection::btree_set(1..2000u32, 0..6),
        prop_oneof![Just(10_000u32), 2..500u32],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                count,
                boundaries,
                served,
                sample_rows,
                sample_size,
                cuts,
                last_upper,
                below_range_to_last,
                batch_caps,
            )| {
                Bins {
                    count,
                    boundaries,
                    served,
                    full_batch: 32,
                    sample_rows,
                    sample_size,
                    cuts: cuts.into_iter().collect(),
                    last_upper,
                    below_range_to_last,
                    batch_caps,
                }
            },
        )
}

fn memory_bound() -> impl Strategy<Value = MemoryBound> {
    (
        select(vec![
            MemoryRule::Published,
            MemoryRule::Exact,
            MemoryRule::Off,
        ]),
        0.0..0.9f64,
        prop_oneof![Just(0.05), 1e-6..0.5f64],
        prop_oneof![4 => Just(0.2), 1 => 0.0..1.0f64, 1 => Just(1.0)],
        prop_oneof![4 => Just(300.0), 1 => 0.0..3000.0f64, 1 => Just(0.0)],
        prop_oneof![4 => Just(200.0), 1 => 0.0..3000.0f64, 1 => Just(0.0)],
        prop_oneof![4 => Just(500.0), 1 => 0.0..3000.0f64],
        any::<bool>(),
    )
        .prop_map(
            |(
                rule,
                reserve,
                overflow_probability,
                smoothing,
                initial_prompt_tokens,
                initial_output_tokens,
                initial_sd_tokens,
                at_least_running,
            )| MemoryBound {
                rule,
                reserve,
                overflow_probability,
                smoothing,
                initial_prompt_tokens,
                initial_output_tokens,
                initial_sd_tokens,
                at_least_running,
            },
        )
}

fn controller() -> impl Strategy<Value = Controller> {
    (
        select(vec![Variant::Off, Variant::Nov24, Variant::Nov29, Variant::Paper]),
        select(vec![Feedback::Total, Feedback::Decode, Feedback::Service]),
        prop_oneof![1 => Just(None), 1 => (1e-3..0.05f64).prop_map(Some), 1 => (0.1..10.0f64).prop_map(Some)],
        prop_oneof![2 => Just(0.005), 1 => 0.0..0.5f64],
        prop_oneof![2 => Just(4u32), 1 => 0..40u32],
        prop_oneof![2 => Just(2u32), 1 => 0..40u32],
        prop_oneof![3 => Just(0.2), 1 => 0.0..=1.0f64],
        prop_oneof![3 => Just(64.0), 1 => 1.0..200.0f64],
        prop_oneof![2 => Just(3u32), 1 => 0..6u32],
        select(vec![
            RunningFloor::Off,
            RunningFloor::AtFormation,
            RunningFloor::AtLastEnd,
        ]),
        any::<bool>(),
    )
        .prop_map(
            |(
                variant,
                feedback,
                target_s,
                epsilon_s,
                alpha,
                delta,
                smoothing,
                initial_batch,
                warmup_batches,
                running_floor,
                band_from_delta,
            )| Controller {
                variant,
                feedback,
                target_s,
                epsilon_s,
                alpha,
                delta,
                smoothing,
                initial_batch,
                warmup_batches,
                running_floor,
                band_from_delta,
            },
        )
}

/// Closed batches with their bins.
fn closed(policy: impl Strategy<Value = Policy>) -> impl Strategy<Value = (Closed, Bins)> {
    (
        policy,
        1..12u32,
        1..12u32,
        prop_oneof![2 => Just(128u32), 1 => 1..20u32],
        bins(),
        memory_bound(),
        controller(),
        latency(),
        memory(),
    )
        .prop_map(
            |(
                policy,
                static_batch,
                full_batch,
                max_batch,
                bins,
                memory_bound,
                controller,
                latency,
                memory,
            )| {
                let closed = Closed {
                    policy,
                    static_batch,
                    max_batch,
                    memory_bound,
                    controller,
                    latency,
                    memory,
                };
                (closed, Bins { full_batch, ..bins })
            },
        )
}

fn memory() -> impl Strategy<Value = Memory> {
    (
        // 1 / 64 makes the limit a sum that a batch can meet exactly.
        prop_oneof![4 => Just(1.875e-4), 2 => 5e-5..5e-3f64, 2 => Just(1.0 / 64.0)],
        prop_oneof![2 => Just(1.0), 1 => 0.0..7.9f64],
    )
        .prop_map(|(kv_gb_per_token, margin_gb)| Memory {
            kv_gb_per_token,
            margin_gb,
            ..Memory::default()
        })
}

fn sla() -> impl Strategy<Value = Sla> {
    (
        prop_oneof![2 => Just(30.0), 2 => 1.0..50.0f64, 1 => 100.0..20_000.0f64],
        prop_oneof![1 => Just(20.0), 2 => 0.1..30.0f64],
        select(vec![
            TokenRule::BatchTbt,
            TokenRule::DecodeStep,
            TokenRule::EndToEnd,
        ]),
        prop::option::of(select(vec![0.01, 0.1, 1.0, 10.0, 100.0])),
    )
        .prop_map(|(token_ms, request_s, published_token_rule, ttft_s)| Sla {
            token_ms,
            request_s,
            ttft_s,
            published_token_rule,
        })
}

fn predictor(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Predictor> {
    kind.prop_map(|kind| Predictor {
        kind,
        ..Predictor::default()
    })
}

/// Every policy.
pub const POLICIES: [Policy; 4] = [
    Policy::StaticFifo,
    Policy::Dynamic,
    Policy::MultiBin,
    Policy::MultiBinDynamic,
];

/// A scenario in range, with ties `fixed`; `kinds` are the predictors to choose from.
pub fn scenario(kinds: &'static [Kind]) -> impl Strategy<Value = Scenario> {
    (
        workload(),
        predictor(select(kinds)),
        closed(select(&POLICIES[..])),
        prop_oneof![3 => 1..4u32, 2 => 4..9u32, 1 => 60..70u32],
        sla(),
        any::<u32>(),
    )
        .prop_map(
            |(workload, predictor, (closed, bins), gpus, sla, seed)| Scenario {
                workload,
                predictor,
                bins,
                engine: Engine::Closed(Box::new(closed)),
                fleet: Fleet { gpus },
                sla,
                seed,
                ..Scenario::default()
            },
        )
}
