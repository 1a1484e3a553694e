//! Step times out of measurements made elsewhere: what a simulated server's benchmark says gives back the step
//! that it was simulated with, in each form that benchmarks are written in.
#![cfg(feature = "cli")]

use batchscope::latency::calibration::{Fit, Point};
use batchscope::latency::measured::{self, Measurement};
use batchscope::latency::step::Step;
use batchscope::latency::{StepLatency, step_fit};
use batchscope::scenario::{ClosedLoop, Engine};
use batchscope::sched::continuous::Server;
use batchscope::sched::continuous::kv::Capacity;
use batchscope::trace::synth::{Arrivals, Lengths, Shape, Synthetic};
use batchscope::{Error, Scenario, simulate};
use serde_json::{Value, json};

/// 8 ms, 40 us a sequence, 0.1 us a token of context, 25 us a prompt token.
const TRUTH: Step = Step {
    c0_s: 8e-3,
    c1_s_per_sequence: 4e-5,
    c2_s_per_context_token: 1e-7,
    c3_s_per_prefill_token: 2.5e-5,
    c4_s_per_prefill_pair: 0.0,
    compute: None,
};

/// What a client sees of so many users, who send prompts and get outputs of these lengths.
struct Seen {
    duration_s: f64,
    prompt: u32,
    output: u32,
    ttft_s: Vec<f64>,
    e2e_s: Vec<f64>,
}

impl Seen {
    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn itl_s(&self) -> f64 {
        (Self::mean(&self.e2e_s) - Self::mean(&self.ttft_s)) / (f64::from(self.output) - 1.0)
    }

    fn rate(&self) -> f64 {
        self.e2e_s.len() as f64 / self.duration_s
    }

    fn vllm(&self) -> Value {
        let n = self.e2e_s.len();
        json!({
            "date": "20261126-120000", "backend": "vllm", "num_prompts": n,
            "duration": self.duration_s, "completed": n, "failed": 0,
            "total_input_tokens": self.prompt as usize * n,
            "total_output_tokens": self.output as usize * n,
            "request_throughput": self.rate(),
            "input_lens": vec![self.prompt; n],
            "output_lens": vec![self.output; n],
            "ttfts": self.ttft_s,
            "mean_ttft_ms": Self::mean(&self.ttft_s) * 1e3,
            "mean_itl_ms": self.itl_s() * 1e3,
        })
    }

    fn guidellm(all: &[Seen]) -> Value {
        let status =
            |mean: f64| json!({ "successful": { "mean": mean, "median": mean }, "errored": {} });
        let one = |seen: &Seen| {
            json!({ "metrics": {
                "requests_per_second": status(seen.rate()),
                "request_latency": status(Self::mean(&seen.e2e_s)),
                "prompt_token_count": status(f64::from(seen.prompt)),
                "output_token_count": status(f64::from(seen.output)),
                "time_to_first_token_ms": status(Self::mean(&seen.ttft_s) * 1e3),
                "inter_token_latency_ms": status(seen.itl_s() * 1e3),
            }})
        };
        json!({ "metadata": {}, "benchmarks": all.iter().map(one).collect::<Vec<_>>() })
    }

    fn aiperf(&self) -> Value {
        let metric = |unit: &str, avg: f64| json!({ "unit": unit, "avg": avg });
        json!({
            "schema_version": "1.1",
            "request_throughput": metric("requests/sec", self.rate()),
            "request_latency": metric("ms", Self::mean(&self.e2e_s) * 1e3),
            "time_to_first_token": metric("ms", Self::mean(&self.ttft_s) * 1e3),
            "inter_token_latency": metric("ms", self.itl_s() * 1e3),
            "input_sequence_length": metric("tokens", f64::from(self.prompt)),
            "output_sequence_length": metric("tokens", f64::from(self.output)),
        })
    }
}

fn benchmark(users: u32, prompt: u32, output: u32) -> Seen {
    let mut scenario = Scenario::default();
    let requests_per_user = 20;
    scenario.workload.closed_loop = Some(ClosedLoop {
        users,
        requests_per_user,
        think_min_s: 0.0,
        think_max_s: 0.0,
    });
    let mut server = Server {
        latency: StepLatency::Linear(TRUTH),
        ..Server::default()
    };
    server.kv.capacity = Capacity::Unlimited;
    scenario.engine = Engine::Continuous(Box::new(server));
    scenario.fleet.gpus = 1;
    let source = Synthetic {
        requests: users * requests_per_user,
        shape: Shape::Custom {
            arrivals: Arrivals::Poisson { rate: 1.0 },
            prompt: Lengths::Fixed { tokens: prompt },
            output: Lengths::Fixed { tokens: output },
            failed_share: 0.0,
        },
    };
    let trace = source.generate(1).unwrap();
    let outcome = simulate(&trace, &scenario).unwrap();
    let served = &outcome.served.as_ref().unwrap().0;
    let arrivals = outcome.requests.arrivals(&trace);
    let since = |times: &[f64]| -> Vec<f64> {
        let all = times.iter().enumerate();
        all.map(|(row, &t)| t - arrivals.of(row)).collect()
    };
    Seen {
        duration_s: outcome.summary.honest.makespan_s,
        prompt,
        output,
        ttft_s: since(&served.first_token_s),
        e2e_s: since(&served.done_s),
    }
}

/// A sweep over users, with two shapes of requests.
fn sweep() -> Vec<Seen> {
    let mut all = Vec::new();
    for users in [1, 2, 4, 8, 16, 32, 64] {
        all.push(benchmark(users, 200, 300));
        all.push(benchmark(users, 1500, 100));
    }
    all
}

fn fitted(measurements: &[Measurement]) -> Fit {
    let mut points: Vec<Point> = measurements.iter().map(|m| m.point).collect();
    step_fit::hold_out(&mut points);
    step_fit::fit(&points, "a sweep").unwrap()
}

/// Every coefficient within these shares of the truth, and the truth near each interval.
fn near_the_truth(fit: &Fit, shares: [f64; 4]) {
    let found = &fit.model;
    let pairs = [
        (found.c0_s, TRUTH.c0_s),
        (found.c1_s_per_sequence, TRUTH.c1_s_per_sequence),
        (found.c2_s_per_context_token, TRUTH.c2_s_per_context_token),
        (found.c3_s_per_prefill_token, TRUTH.c3_s_per_prefill_token),
    ];
    for (i, ((got, truth), share)) in pairs.into_iter().zip(shares).enumerate() {
        assert!(
            (got / truth - 1.0).abs() < share,
            "c{i}: {got} for {truth}: {fit:?}"
        );
        assert!(fit.intervals[i].is_some(), "c{i} is not determined");
    }
    assert!(fit.held_out_median < 0.02, "{fit:?}");
}

#[test]
fn each_form_gives_back_the_step_that_was_simulated() {
    let all = sweep();
    let mut vllm = Vec::new();
    let mut aiperf = Vec::new();
    for (i, seen) in all.iter().enumerate() {
        let name = format!("{i}.json");
        vllm.extend(measured::read(&seen.vllm().to_string(), &name).unwrap());
        aiperf.extend(measured::read(&seen.aiperf().to_string(), &name).unwrap());
    }
    let guidellm = measured::read(&Seen::guidellm(&all).to_string(), "all.json").unwrap();
    // Decoding of each benchmark, and first tokens where a user is alone, of each shape.
    assert_eq!(vllm.len(), all.len() + 2);
    assert_eq!(aiperf.len(), all.len() + 2);
    assert_eq!(guidellm.len(), all.len() + 2);
    for (a, g) in aiperf.iter().zip(&guidellm) {
        assert_eq!(a.point.context, g.point.context);
        assert!((a.point.seconds - g.point.seconds).abs() < 1e-12);
    }
    for measurements in [&vllm, &aiperf, &guidellm] {
        near_the_truth(&fitted(measurements), [0.03, 0.15, 0.1, 0.02]);
    }
}

#[test]
fn measured_steps_as_csv_are_fitted_exactly() {
    let mut text = "batch,context,prefill,time_ms\n".to_owned();
    for b in [1u32, 4, 16, 64] {
        for each in [100u32, 500, 2000] {
            for p in [0u32, 256, 1024] {
                let time = TRUTH.step_s(f64::from(b), f64::from(b * each), f64::from(p));
                text += &format!("{b},{},{p},{}\n", b * each, time * 1e3);
            }
        }
    }
    let measurements = measured::read(&text, "steps.csv").unwrap();
    assert_eq!(measurements[0].what, "row 2");
    near_the_truth(&fitted(&measurements), [1e-6; 4]);
}

#[test]
fn one_length_does_not_tell_sequences_from_context() {
    let mut points: Vec<Point> = [1, 2, 4, 8, 16, 32, 64, 128]
        .iter()
        .map(|&b| Point {
            sequences: b,
            context: b * 350,
            prefill: 0,
            seconds: TRUTH.step_s(f64::from(b), f64::from(b * 350), 0.0),
            mad_s: 0.0,
            held_out: false,
        })
        .collect();
    step_fit::hold_out(&mut points);
    let refused = step_fit::fit(&points, "one.json").unwrap_err();
    assert_eq!(refused.code(), "no-fit");
    assert!(refused.to_string().contains("context of each"), "{refused}");
}

#[test]
fn what_is_no_benchmark_is_refused_by_its_place() {
    let good = benchmark(4, 100, 50);
    let refused = |text: &str| -> Error {
        match measured::read(text, "bad.json") {
            Err(error) => error,
            Ok(found) => panic!("{text} gives {found:?}"),
        }
    };
    let without = |value: Value, name: &str| {
        let mut value = value;
        value.as_object_mut().unwrap().remove(name);
        value.to_string()
    };
    let with = |value: Value, name: &str, to: Value| {
        let mut value = value;
        value[name] = to;
        value.to_string()
    };
    let guidellm = Seen::guidellm(std::slice::from_ref(&good));
    for (text, code, words) in [
        ("{".to_owned(), "bad-row", "bad.json, row 1"),
        ("{}".to_owned(), "unknown-format", "vllm bench serve"),
        ("[1, 2]".to_owned(), "unknown-format", "aiperf"),
        ("a,b\n1,2\n".to_owned(), "missing-column", "batch"),
        (
            without(good.vllm(), "mean_itl_ms"),
            "bad-calibration",
            "mean_itl_ms: nothing",
        ),
        (
            with(good.vllm(), "completed", json!(0)),
            "bad-calibration",
            "completed: 0",
        ),
        (
            with(good.vllm(), "duration", json!(-1.5)),
            "bad-calibration",
            "duration: -1.5",
        ),
        (
            with(good.vllm(), "mean_ttft_ms", json!("fast")),
            "bad-calibration",
            "mean_ttft_ms: \"fast\"",
        ),
        (
            with(good.vllm(), "mean_ttft_ms", json!(null)),
            "bad-calibration",
            "mean_ttft_ms: null",
        ),
        (
            with(good.vllm(), "ttfts", json!([0.1])),
            "bad-calibration",
            "ttfts: a list of 1",
        ),
        (
            with(good.vllm(), "ttfts", json!([-0.1])),
            "bad-calibration",
            "ttfts[0]: -0.1",
        ),
        (
            with(good.vllm(), "spec_decode_num_drafts", json!(7)),
            "bad-calibration",
            "speculative",
        ),
        (
            with(guidellm.clone(), "benchmarks", json!({})),
            "bad-calibration",
            "a list of benchmarks",
        ),
        (
            with(guidellm.clone(), "benchmarks", json!([])),
            "no-fit",
            "nothing says",
        ),
        (
            with(guidellm, "benchmarks", json!([{ "metrics": {} }])),
            "bad-calibration",
            "benchmarks[0].metrics.requests_per_second: nothing",
        ),
        (
            with(
                good.aiperf(),
                "inter_token_latency",
                json!({ "unit": "sec", "avg": 1.0 }),
            ),
            "bad-calibration",
            "inter_token_latency.unit: sec is not allowed; allowed is ms",
        ),
        (
            with(
                good.aiperf(),
                "input_sequence_length",
                json!({ "unit": "tokens" }),
            ),
            "bad-calibration",
            "input_sequence_length.avg: nothing",
        ),
    ] {
        let error = refused(&text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}
