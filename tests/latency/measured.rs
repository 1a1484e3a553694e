//! Step times out of measurements made elsewhere: what a simulated server's benchmark says gives back the step
//! that it was simulated with, in each form that benchmarks are written in.
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

use super::results::text;

/// 8 ms, 40 us a sequence, 0.1 us a token of context, 25 us a prompt token.
pub const TRUTH: Step = Step {
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
            "mean_itl_ms: a missing field",
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
            "benchmarks[0].metrics.requests_per_second: a missing field",
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
            "input_sequence_length.avg: a missing field",
        ),
    ] {
        let error = refused(&text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

/// A number of a refusal's sentence.
fn refusal(text: &str) -> String {
    match measured::read(text, "bad.json") {
        Err(error) => {
            assert_eq!(error.code(), "bad-calibration", "{error}");
            error.to_string()
        }
        Ok(found) => panic!("{text} gives {found:?}"),
    }
}

fn set(mut value: Value, fields: &[(&str, Value)]) -> Value {
    for (name, to) in fields {
        value[*name] = to.clone();
    }
    value
}

/// What the sweep's files say where a message brings so many tokens, in each way of saying it.
#[test]
fn gaps_between_messages_are_not_gaps_between_tokens() {
    let all = sweep();
    let tokens = 8.0;
    type Form = fn(&Seen, f64) -> Value;
    let forms: [Form; 4] = [
        |seen, itl_ms| {
            let gap = json!(seen.itl_s() * 1e3);
            set(
                seen.vllm(),
                &[("mean_itl_ms", json!(itl_ms)), ("mean_tpot_ms", gap)],
            )
        },
        |seen, itl_ms| {
            let latency = json!(Seen::mean(&seen.e2e_s) * 1e3);
            let fields = [("mean_itl_ms", json!(itl_ms)), ("mean_e2el_ms", latency)];
            set(seen.vllm(), &fields)
        },
        |seen, itl_ms| {
            // The first message brings a token, each other one eight, the last one the rest.
            let messages = (seen.output as usize - 1).div_ceil(8);
            let lists: Vec<Vec<f64>> = seen
                .e2e_s
                .iter()
                .zip(&seen.ttft_s)
                .map(|(e2e, ttft)| vec![(e2e - ttft) / messages as f64; messages])
                .collect();
            let fields = [("mean_itl_ms", json!(itl_ms)), ("itls", json!(lists))];
            set(seen.vllm(), &fields)
        },
        |seen, itl_ms| {
            let chunk = json!({ "unit": "ms", "avg": itl_ms });
            set(seen.aiperf(), &[("inter_chunk_latency", chunk)])
        },
    ];
    for form in forms {
        let mut found = Vec::new();
        for seen in &all {
            let value = form(seen, seen.itl_s() * 1e3 * tokens);
            found.extend(measured::read(&value.to_string(), "sweep.json").unwrap());
        }
        near_the_truth(&fitted(&found), [0.03, 0.15, 0.1, 0.02]);
        let note = found[0].note.as_deref().unwrap();
        assert!(note.contains("a message brings 8.0 tokens"), "{note}");
    }
}

#[test]
fn messages_alone_are_told_of_and_held_against_the_users() {
    let users = 16;
    let seen = benchmark(users, 200, 300);
    let itl_ms = seen.itl_s() * 1e3;
    let told = &measured::read(&seen.vllm().to_string(), "itl.json").unwrap()[0];
    let note = told.note.as_deref().unwrap();
    assert!(note.contains("how many tokens a message brings"), "{note}");
    assert!((told.point.seconds * 1e3 - itl_ms).abs() < 1e-9);
    let limited = |tokens: f64| {
        let fields = [
            ("max_concurrency", json!(users)),
            ("mean_itl_ms", json!(itl_ms * tokens)),
        ];
        set(seen.vllm(), &fields).to_string()
    };
    assert!(measured::read(&limited(1.0), "itl.json").is_ok());
    for tokens in [1.1, 2.0, 8.0] {
        // r (TTFT + (O - 1) g), by hand.
        let here = seen.rate() * (Seen::mean(&seen.ttft_s) + 299.0 * seen.itl_s() * tokens);
        let sentence = refusal(&limited(tokens));
        for words in [
            "bad.json, field mean_itl_ms",
            &format!("{here:.2} requests at once"),
            "max_concurrency is 16.00",
        ] {
            assert!(sentence.contains(words), "{words}: {sentence}");
        }
    }
    // All requests at once take no longer each than the whole benchmark.
    let sentence = refusal(&set(seen.vllm(), &[("mean_itl_ms", json!(itl_ms * 40.0))]).to_string());
    assert!(sentence.contains("completed is 320.00"), "{sentence}");
}

#[test]
fn figures_that_contradict_each_other_are_refused_with_both() {
    let seen = benchmark(16, 200, 300);
    let gap_ms = seen.itl_s() * 1e3;
    let e2e_ms = Seen::mean(&seen.e2e_s) * 1e3;
    let ttft_ms = Seen::mean(&seen.ttft_s) * 1e3;
    let guidellm = |name: &str, factor: f64| {
        let mut value = Seen::guidellm(std::slice::from_ref(&seen));
        let place = format!("/benchmarks/0/metrics/{name}/successful/mean");
        let found = value.pointer_mut(&place).unwrap();
        *found = json!(found.as_f64().unwrap() * factor);
        value
    };
    let mut concurrency = guidellm("request_latency", 1.0);
    concurrency["benchmarks"][0]["metrics"]["request_concurrency"] =
        json!({ "successful": { "mean": 128.0 } });
    let loadgen = json!({ "loadgen": { "concurrency": 2 } });
    for (value, field, words) in [
        (
            set(
                seen.vllm(),
                &[
                    ("mean_tpot_ms", json!(8.0 * gap_ms)),
                    ("mean_e2el_ms", json!(e2e_ms)),
                ],
            ),
            "field mean_e2el_ms",
            [
                format!("{gap_ms:.4} ms from token to token"),
                format!("by mean_tpot_ms it is {:.4} ms", 8.0 * gap_ms),
            ],
        ),
        (
            set(
                seen.vllm(),
                &[
                    ("mean_ttft_ms", json!(60_000.0)),
                    ("mean_e2e_latency_ms", json!(e2e_ms)),
                ],
            ),
            "field mean_e2e_latency_ms",
            [
                format!("{e2e_ms:.4} ms"),
                "less than mean_ttft_ms, 60000.0000 ms".to_owned(),
            ],
        ),
        (
            guidellm("inter_token_latency_ms", 8.0),
            "field benchmarks[0].metrics.inter_token_latency_ms",
            [
                format!("{:.4} ms from token to token", 8.0 * gap_ms),
                format!("by request_latency it is {gap_ms:.4} ms"),
            ],
        ),
        (
            concurrency,
            "field benchmarks[0].metrics.request_latency",
            [
                format!("{:.2} requests at once", seen.rate() * e2e_ms / 1e3),
                "request_concurrency is 128.00".to_owned(),
            ],
        ),
        (
            set(seen.aiperf(), &[("input_config", loadgen)]),
            "field request_latency",
            [
                format!("{:.2} requests at once", seen.rate() * e2e_ms / 1e3),
                "input_config.loadgen.concurrency is 2.00".to_owned(),
            ],
        ),
    ] {
        let sentence = refusal(&value.to_string());
        assert!(sentence.contains(field), "{field}: {sentence}");
        for words in words {
            assert!(sentence.contains(&words), "{words}: {sentence}");
        }
    }
    // Means over tokens and over requests differ where outputs do: no contradiction.
    let differing = set(
        seen.vllm(),
        &[
            ("mean_tpot_ms", json!(1.2 * gap_ms)),
            ("mean_e2el_ms", json!(e2e_ms)),
        ],
    );
    let found = measured::read(&differing.to_string(), "x.json").unwrap();
    assert!((found[0].point.seconds - (e2e_ms - ttft_ms) / 299e3).abs() < 1e-9);
    let lists = set(seen.vllm(), &[("itls", json!([[0.1]]))]);
    assert!(refusal(&lists.to_string()).contains("field itls: a list of 1 is not allowed"));
}

/// SGLang's results at a server whose step takes 8 + 0.02 b + 1e-4 C + 0.03 p ms a token.
fn sglang(accept_length: Value) -> Vec<String> {
    let mut files = Vec::new();
    for users in [1.0, 4.0, 16.0, 64.0] {
        for (prompt, output) in [(128.0, 257.0), (1024.0, 129.0)] {
            let (mut gap, mut latency) = (10.0, 0.0);
            for _ in 0..200 {
                latency = 8.0 + 0.03 * prompt + (output - 1.0) * gap;
                let rate = users / latency;
                let b: f64 = rate * (output - 1.0) * gap;
                let context = b * (prompt + output / 2.0);
                gap = 8.0 + 0.02 * b + 1e-4 * context + 0.03 * rate * prompt * gap;
            }
            let requests = 20.0 * users;
            files.push(
                json!({
                    "backend": "sglang", "accept_length": accept_length, "max_concurrency": users,
                    "duration": requests * latency / users / 1e3, "completed": requests,
                    "total_input_tokens": requests * prompt, "total_output_tokens": requests * output,
                    "mean_ttft_ms": 8.0 + 0.03 * prompt, "mean_tpot_ms": gap,
                    "mean_itl_ms": 2.5 * gap,
                })
                .to_string(),
            );
        }
    }
    files
}

#[test]
fn sglang_says_itself_that_it_decodes_speculatively() {
    for text in sglang(json!(2.5)) {
        let sentence = refusal(&text);
        assert!(
            sentence.starts_with(
                "bad.json, field accept_length: speculative decoding, 2.5 tokens a step"
            ),
            "{sentence}"
        );
    }
    // Without it, as of a stream that is sent in parts: per token, never c0 = 20 ms.
    for accept_length in [json!(null), json!(1.0)] {
        let mut found = Vec::new();
        for text in sglang(accept_length) {
            found.extend(measured::read(&text, "sglang.json").unwrap());
        }
        let step = fitted(&found).model;
        for (got, truth, share) in [
            (step.c0_s, 8e-3, 0.01),
            (step.c1_s_per_sequence, 2e-5, 0.1),
            (step.c2_s_per_context_token, 1e-7, 0.02),
            (step.c3_s_per_prefill_token, 3e-5, 0.02),
        ] {
            assert!(
                (got / truth - 1.0).abs() < share,
                "{got} for {truth}: {step:?}"
            );
        }
    }
}

#[test]
fn a_result_a_line_and_pythons_numbers_are_read() {
    let [one, two] = [benchmark(1, 100, 50), benchmark(4, 100, 50)].map(|seen| seen.vllm());
    let single = measured::read(&one.to_string(), "one.json").unwrap();
    // As sglang --output-file and vllm --append-result write a sweep, with Python's numbers in it.
    let python = |value: &Value| {
        let text = value.to_string();
        let rest = text.strip_prefix('{').unwrap();
        format!(
            r#"{{"request_rate": Infinity, "std": NaN, "low": -Infinity, "tag": "a \"NaN\" \\", "n": -1.5, {rest}"#
        )
    };
    let text = format!("{}\n\n{}\n", python(&one), python(&two));
    let found = measured::read(&text, "sweep.jsonl").unwrap();
    assert_eq!(found.len(), single.len() + 1);
    assert_eq!(found[0].point, single[0].point);
    assert_eq!(found[0].what, "decoding of the benchmark in line 1");
    assert_eq!(found[2].what, "decoding of the benchmark in line 3");
    // What is wrong is named with its line.
    let wrong = python(&two).replace("\"mean_itl_ms\":", "\"mean_itl_ms\": NaN, \"x\":");
    let sentence = refusal(&format!("{}\n{wrong}\n", python(&one)));
    assert!(
        sentence
            .starts_with("bad.json, line 2, column 1, field mean_itl_ms: \"NaN\" is not allowed"),
        "{sentence}"
    );
    for (text, code, words) in [
        (
            format!("{one}\n{{\"a\": 1}}\n"),
            "unknown-format",
            "the JSON in line 2 is no result",
        ),
        (
            format!("{one}\n{{\"a\": Infinite}}\n"),
            "bad-row",
            "bad.json, row 2",
        ),
        (
            r#"{"metadata": {}, "metrics": {}}"#.to_owned(),
            "bad-calibration",
            "metrics.output_sequence_length: a missing field",
        ),
    ] {
        let error = measured::read(&text, "bad.json").unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    // An old result with medians alone says so in words.
    let mut old = two;
    old["median_ttft_ms"] = old.as_object_mut().unwrap().remove("mean_ttft_ms").unwrap();
    let sentence = refusal(&old.to_string());
    assert!(
        sentence.contains("field mean_ttft_ms: a missing field")
            && sentence.contains("median_ttft_ms cannot replace it"),
        "{sentence}"
    );
}

/// Results that the programs really wrote: what is read of them, or why not.
#[test]
fn real_results_are_read_or_refused_in_words() {
    if text("aiperf/qwen_concurrency1_profile_export_aiperf.json").is_none() {
        return;
    }
    let text = |name: &str| text(name).unwrap();
    // The gap of each, ms, worked out of the file by other means (a few lines of Python).
    for (name, points, first_ms) in [
        (
            "aiperf/qwen_concurrency1_profile_export_aiperf.json",
            2,
            18.19907,
        ),
        (
            "aiperf/qwen_concurrency2_profile_export_aiperf.json",
            1,
            18.65264,
        ),
        (
            "aiperf/qwen_concurrency4_profile_export_aiperf.json",
            1,
            18.56239,
        ),
        ("guidellm/guidellm_0.3_benchmarks_stripped.json", 2, 4.94161),
        (
            "guidellm/guidellm_0.8.0dev_report_v2_mock.json",
            4,
            1.150846,
        ),
    ] {
        let found = measured::read(&text(name), name).unwrap();
        assert_eq!(found.len(), points, "{name}: {found:?}");
        let got = found[0].point.seconds * 1e3;
        assert!((got / first_ms - 1.0).abs() < 1e-6, "{name}: {got} ms");
        assert!(found.iter().all(|m| m.note.is_none()), "{name}: {found:?}");
    }
    // The gap over all tokens of a file that gives every request: its steps are points of their own.
    let name = "vllm/8xH100-Llama-3.1-405B-FP8-16qps.json.gz";
    let benchmarks = batchscope::results::read(&text(name), name).unwrap();
    let (_, gap_s) = benchmarks[0].by_token.clone().unwrap();
    assert!((gap_s * 1e3 / 99.44656 - 1.0).abs() < 1e-6, "{gap_s}");
    for (name, code, words) in [
        (
            "sglang/h200_sglang_outputs_llama_3_3_70b_online_output.jsonl",
            "bad-calibration",
            "line 1, column 1, field mean_ttft_ms: a missing field",
        ),
        (
            "sglang/h200_sglang_outputs_llama_3_3_70b_offline_output.jsonl",
            "bad-calibration",
            "line 1, column 1, field mean_ttft_ms: a missing field",
        ),
        (
            "vllm/dstack_comparison_h100sxm5_vs_mi300x_csv_data_throughput_latency_curve.csv",
            "missing-column",
            "batch",
        ),
    ] {
        let error = measured::read(&text(name), name).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}
