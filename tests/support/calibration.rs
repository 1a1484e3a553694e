//! A calibration as a file would hold it: made up, with the errors of a real one.

use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::calibration::{
    Adapter, Bandwidth, Calibration, Check, Estimate, Gemv, Host, KIND, KernelTime, Launch,
    LayerScaling, ManyColumns, Measured, Point, Steadiness, VERSION, Warning, WholeStep,
};
use batchscope::latency::step::Step;
use batchscope::latency::step_fit::{fit, hold_out};

/// Qwen3-1.7B at a good share of an H100's data sheet.
pub const TRUTH: Step = Step {
    c0_s: 1.4e-3,
    c1_s_per_sequence: 15e-6,
    c2_s_per_context_token: 0.05e-6,
    c3_s_per_prefill_token: 12e-6,
    c4_s_per_prefill_pair: 0.0,
    compute: None,
};

/// What drawing the tokens of so many sequences adds to a step of [`TRUTH`], s.
pub fn sampling_s(sequences: u32) -> f64 {
    1e-4 + 1e-6 * f64::from(sequences)
}

/// What [`steps`] take: a row of a prompt costs what a decoding one costs.
pub const STEPS_TRUTH: Step = Step {
    c3_s_per_prefill_token: 15e-6,
    ..TRUTH
};

/// Whole steps that take exactly what [`STEPS_TRUTH`] says, with and without drawing tokens.
fn steps() -> Vec<WholeStep> {
    let step = |[sequences, context, chunk, before]: [u32; 4], sampled: bool| {
        let together = f64::from(sequences * context + chunk * before);
        let whole = STEPS_TRUTH.step_s(sequences.into(), together, chunk.into());
        let drawing = if sampled { 0.0 } else { sampling_s(sequences) };
        WholeStep {
            sequences,
            context,
            chunk,
            before,
            sampled: if sampled { sequences } else { 0 },
            dispatches: 199,
            bytes: 3.4e9,
            seconds: whole - drawing,
            mad_s: 0.005 * whole,
            host_s: 0.4e-3,
            rounds: 7,
            left_out: 0,
        }
    };
    let mut steps = Vec::new();
    for sequences in [1, 2, 4, 8, 16, 32, 64] {
        steps.push(step([sequences, 16, 0, 0], false));
        for context in [16, 1024, 4096] {
            steps.push(step([sequences, context, 0, 0], true));
        }
    }
    for chunk in [16, 64, 128] {
        steps.extend([0, 1024].map(|before| step([0, 0, chunk, before], false)));
    }
    steps
}

/// The same on every call: errors of up to 3 % in a fixed order.
pub fn calibration() -> Calibration {
    let error = |i: usize| 0.03 * ((i as f64 * 0.618_033_988_749_895) % 1.0 * 2.0 - 1.0);
    let mut points = Vec::new();
    for sequences in [1, 2, 4, 8, 16, 32, 64] {
        for each in [128, 1024, 4096] {
            points.push([sequences, sequences * each, 0]);
        }
    }
    for prefill in [16, 64, 256, 1024] {
        points.push([0, 0, prefill]);
        points.push([8, 4096, prefill]);
    }
    let mut points: Vec<Point> = points
        .into_iter()
        .enumerate()
        .map(|(i, [sequences, context, prefill])| {
            let exact = TRUTH.step_s(sequences.into(), context.into(), prefill.into());
            Point {
                sequences,
                context,
                prefill,
                seconds: exact * (1.0 + error(i)),
                mad_s: 0.005 * exact,
                held_out: false,
            }
        })
        .collect();
    hold_out(&mut points);
    let fit = fit(&points, "made up").unwrap();
    let checks: Vec<Check> = [[1, 777], [6, 6000], [24, 30_000]]
        .into_iter()
        .enumerate()
        .map(|(i, [sequences, context])| {
            let predicted_s = fit.model.step_s(sequences.into(), context.into(), 0.0);
            let measured_s = predicted_s / (1.04 + error(i));
            Check {
                sequences,
                context,
                prefill: 0,
                measured_s,
                mad_s: 1e-5,
                predicted_s,
                error: predicted_s / measured_s - 1.0,
            }
        })
        .collect();
    let mut errors: Vec<f64> = checks.iter().map(|c| c.error.abs()).collect();
    errors.sort_by(f64::total_cmp);
    let estimate = |value: f64, unit: &str| Estimate {
        value,
        unit: unit.to_owned(),
        mad: 0.01 * value,
        n: 2,
        samples: vec![[1.0, 1e-3], [2.0, 2e-3]],
    };
    Calibration {
        kind: KIND.to_owned(),
        version: VERSION,
        program: "batchscope 0.1.0".to_owned(),
        commit: None,
        measured_at: "2026-11-25T20:15:00Z".to_owned(),
        adapter: Adapter {
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            backend: "Vulkan".to_owned(),
            driver: "570.00".to_owned(),
            subgroups: true,
            subgroup_min: 32,
            subgroup_max: 32,
            shader_f16: true,
            timestamps: true,
            max_buffer_bytes: 1 << 34,
            max_binding_bytes: 1 << 32,
            ..Adapter::default()
        },
        model: Measured {
            architecture: Architecture::preset("qwen3-1.7b").unwrap(),
            precision: Precision::F16,
            layers_resident: 28,
            quick: false,
        },
        many_columns: Some([ManyColumns::Eights, ManyColumns::Tiles, ManyColumns::Tiles]),
        few_columns: Some([4, 4, 8, 2].map(|rows| Gemv {
            rows,
            subgroups: true,
        })),
        bandwidth: Bandwidth {
            read: estimate(3.0e12, "bytes/s"),
            working_set_bytes: 1 << 30,
            by_timestamps: None,
        },
        launch: Launch {
            dispatch: estimate(3e-6, "s"),
            submission: estimate(40e-6, "s"),
        },
        kernels: vec![KernelTime {
            name: "gemv-f16 6144x2048".to_owned(),
            columns: 1,
            context: None,
            bytes: 25_165_824.0,
            seconds: estimate(9.3e-6, "s"),
            share_of_read: 0.9,
        }],
        steps: steps(),
        host: Some(Host {
            per_step_s: 0.1e-3,
            per_dispatch_s: 1.5e-6,
        }),
        points,
        fit,
        check_median_error: errors[1],
        check_worst_error: errors[2],
        checks,
        drift: Some(0.01),
        steadiness: Some(Steadiness {
            usual_s: 1.4e-3,
            spread: 0.015,
            left_out: 0.02,
        }),
        proof: None,
        layers: Some(LayerScaling {
            counts: vec![[1.0, 0.2e-3], [2.0, 0.25e-3], [28.0, 1.4e-3]],
            per_layer_s: 0.05e-3,
            nonlinearity: 0.02,
            extrapolated: false,
        }),
        warnings: vec![Warning {
            code: "no-timestamps".to_owned(),
            message: "times are by the wall clock alone".to_owned(),
        }],
        demonstration: true,
        took_s: 42.0,
    }
}
