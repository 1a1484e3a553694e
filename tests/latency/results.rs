//! Result files of load tests: what is read of those that programs really wrote, against an independent script's figures;
//! what is refused; and a simulated server's own file, which gives back its step and its figures.

use std::io::Read;

use super::measured::TRUTH;
use batchscope::experiment::saturation::load_tests;
use batchscope::experiment::validation::load_test::{Prediction, predict};
use batchscope::latency::calibration::Point;
use batchscope::latency::{StepLatency, measured, step_fit};
use batchscope::results::{self, Benchmark, Format, Load, Quantity, Sent, Statistic};
use batchscope::scenario::{ClosedLoop, Engine};
use batchscope::sched::continuous::Server;
use batchscope::sched::continuous::kv::Capacity;
use batchscope::sim::Run;
use batchscope::sim::continuous::StepRow;
use batchscope::trace::synth::{Arrivals, Lengths, Shape, Synthetic};
use batchscope::{Error, Outcome, Scenario, Trace};
use serde_json::{Value, json};

use crate::support::shared;

use Quantity::{E2e, Itl, Output, OutputRate, Prompt, RequestRate, Tpot, Ttft};
use Statistic::{Mean, P50, P90, P99};

/// A result file of a real load test; `None`, counted as skipped, where it is absent.
pub fn text(name: &str) -> Option<String> {
    let bytes = std::fs::read(shared(&format!("data/results/{name}"))?).unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        let mut unpacked = flate2::read::GzDecoder::new(bytes.as_slice());
        unpacked.read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text)
}

fn read(name: &str) -> Option<Vec<Benchmark>> {
    Some(results::read(&text(name)?, name).unwrap_or_else(|e| panic!("{e}")))
}

fn poisson(per_s: f64) -> Load {
    let steady = false;
    Load::Rate { per_s, steady }
}

/// File, number of benchmarks, load and requests of the last, and figures of it (a few lines of Python).
type Golden = (
    &'static str,
    usize,
    Load,
    Option<f64>,
    &'static [(Quantity, Statistic, f64)],
);

#[rustfmt::skip]
fn golden() -> Vec<Golden> {
    vec![
        ("vllm/8xH100-Llama-3.1-405B-FP8-16qps.json.gz", 1, poisson(16.0), Some(1000.0), &[
            (RequestRate, Mean, 9.93370108), (OutputRate, Mean, 1198.88845), (Prompt, Mean, 215.196), (Output, Mean, 120.689),
            (Ttft, Mean, 1.48639374), (Ttft, P99, 9.91253647), (Tpot, P50, 0.112454522), (E2e, Mean, 13.4267435),
            (E2e, P90, 37.9874284), (Tpot, P90, 0.11866902)]),
        ("sglang/h200_sglang_outputs_llama_3_3_70b_online_output.jsonl", 7, poisson(8.0), Some(2400.0), &[
            (RequestRate, Mean, 7.64409246), (OutputRate, Mean, 1471.08648), (Prompt, Mean, 225.324583),
            (Ttft, P50, 0.0831656696), (E2e, Mean, 5.30255066), (Itl, P50, 0.0176676901)]),
        ("sglang/h200_sglang_outputs_llama_3_3_70b_offline_output.jsonl", 7, Load::AtOnce, Some(2000.0), &[
            (RequestRate, Mean, 20.5705869), (OutputRate, Mean, 3939.92565), (Prompt, Mean, 224.051),
            (Ttft, P50, 18.7269222), (E2e, Mean, 51.991706), (Itl, P50, 0.0855932219)]),
        ("guidellm/guidellm_0.3_benchmarks_stripped.json", 1, Load::Users { users: 1 }, Some(46.0), &[
            (RequestRate, Mean, 1.54818065), (OutputRate, Mean, 198.133468), (Prompt, Mean, 257.108696),
            (Ttft, Mean, 0.0167925358), (Ttft, P90, 0.0185053349), (Tpot, P50, 0.00492412274), (E2e, P99, 0.689184666)]),
        ("guidellm/guidellm_0.8.0dev_report_v2_mock.json", 2, Load::Rate { per_s: 4.0, steady: true }, Some(2.0), &[
            (RequestRate, Mean, 0.794088201), (OutputRate, Mean, 6.37713157), (Prompt, Mean, 65.5), (Ttft, Mean, 0.00978386402),
            (Ttft, P90, 0.01014781), (Tpot, P50, 0.000906705856), (E2e, P99, 0.0192940235)]),
        ("aiperf/qwen_concurrency1_profile_export_aiperf.json", 1, Load::Users { users: 1 }, Some(64.0), &[
            (RequestRate, Mean, 0.250430258), (OutputRate, Mean, 50.0821386), (Prompt, Mean, 100.0), (Ttft, Mean, 0.0308149877),
            (Tpot, P90, 0.0185017675), (Itl, P99, 0.0208811646), (E2e, P50, 3.64408092)]),
        ("aiperf/qwen_concurrency2_profile_export_aiperf.json", 1, Load::Users { users: 2 }, Some(64.0), &[
            (RequestRate, Mean, 0.503334724), (Ttft, Mean, 0.036455308), (Itl, P99, 0.0218145252)]),
        ("aiperf/qwen_concurrency4_profile_export_aiperf.json", 1, Load::Users { users: 4 }, Some(64.0), &[
            (RequestRate, Mean, 0.972680804), (Ttft, Mean, 0.049838312), (Itl, P99, 0.0208277849)]),
        ("aiperf/qwen_concurrency1_profile_export.jsonl", 1, Load::Unknown, Some(10.0), &[
            (RequestRate, Mean, 0.253887729), (Ttft, Mean, 0.0312755395), (E2e, P90, 3.65125243), (Tpot, Mean, 0.0180822494)]),
        ("aiperf/qwen_concurrency2_profile_export.jsonl", 1, Load::Unknown, Some(10.0), &[
            (RequestRate, Mean, 0.533050147), (Ttft, Mean, 0.0390011698), (E2e, P90, 3.83449044), (Itl, P99, 0.0207203387)]),
        ("aiperf/qwen_concurrency4_profile_export.jsonl", 1, Load::Unknown, Some(10.0), &[
            (RequestRate, Mean, 0.887151569), (OutputRate, Mean, 177.430314), (Prompt, Mean, 100.0), (Ttft, Mean, 0.0545963525),
            (E2e, P90, 3.78299475), (Itl, P99, 0.020739108), (Tpot, Mean, 0.0186192511)]),
        ("llmperf/llmperf_summary_groq_70b.json", 1, Load::Users { users: 5 }, Some(150.0), &[
            (RequestRate, Mean, 2.94564919), (OutputRate, Mean, 441.847378), (Prompt, Mean, 550.0), (Ttft, Mean, 0.227860346),
            (Ttft, P50, 0.221888379), (E2e, P99, 0.992271416)]),
        ("llmperf/tgi-2.0.1_meta-llama_Meta-Llama-3-8B-Instruct_tp_1_results.json", 8, Load::Users { users: 128 }, Some(128.0), &[
            (RequestRate, Mean, 2.26946954), (OutputRate, Mean, 396.164277), (Prompt, Mean, 602.9375), (Ttft, Mean, 17.3276404),
            (Ttft, P50, 17.8932321), (E2e, P99, 39.6011041)]),
        ("llmperf/llmperf_individual_groq_70b.json", 1, Load::Unknown, Some(150.0), &[
            (Prompt, Mean, 550.0), (Output, Mean, 150.0), (Ttft, Mean, 0.227860346), (E2e, P90, 0.932908715),
            (Tpot, Mean, 0.00394126016)]),
        ("inference_perf/vllm+batch_size_stage_0_lifecycle_metrics.json", 1, poisson(1.0), Some(60.0), &[
            (RequestRate, Mean, 0.996850671), (OutputRate, Mean, 62.1536393), (Ttft, Mean, 0.0333189859), (Itl, P90, 0.00716123186)]),
        ("inference_perf/vllm+batch_size_stage_3_lifecycle_metrics.json", 1, poisson(111.92), Some(6715.0), &[
            (RequestRate, Mean, 110.759518), (OutputRate, Mean, 6955.73074), (Prompt, Mean, 200.928071), (Output, Mean, 62.8002978),
            (Ttft, Mean, 0.146233855), (Itl, P90, 0.030320913), (E2e, P50, 1.72659251)]),
        ("inference_perf/vllm+batch_size_stage_6_lifecycle_metrics.json", 1, poisson(222.83), Some(13369.0), &[
            (RequestRate, Mean, 113.660076), (Ttft, Mean, 2.2004547), (E2e, P50, 3.69195086)]),
        ("inference_perf/vllm+batch_size_summary_lifecycle_metrics.json", 1, Load::Unknown, Some(47002.0), &[
            (RequestRate, Mean, 73.9616566), (Ttft, Mean, 1.54345361), (E2e, P50, 3.70311642)]),
        ("inference_perf/vllm+chunking_and_prefix_caching_stage_0_lifecycle_metrics.json", 1, poisson(1.0), Some(60.0), &[
            (RequestRate, Mean, 1.00706459), (Ttft, Mean, 0.0299244962), (E2e, P50, 0.478570792)]),
        ("inference_perf/vllm+chunking_and_prefix_caching_stage_3_lifecycle_metrics.json", 1, poisson(127.75), Some(7665.0), &[
            (RequestRate, Mean, 126.534707), (Ttft, Mean, 0.0322223094), (E2e, P50, 0.664661898)]),
        ("inference_perf/vllm+chunking_and_prefix_caching_stage_6_lifecycle_metrics.json", 1, poisson(254.49), Some(15269.0), &[
            (RequestRate, Mean, 172.961583), (Ttft, Mean, 1.7348163), (E2e, P50, 2.5183821)]),
        ("inference_perf/vllm+chunking_and_prefix_caching_summary_lifecycle_metrics.json", 1, Load::Unknown, Some(53652.0), &[
            (RequestRate, Mean, 95.0864941), (Ttft, Mean, 0.921627595), (E2e, P50, 1.39601026)]),
        ("llm_d/llm-d-benchmarks.json.gz", 114, Load::Users { users: 8 }, None, &[
            (RequestRate, Mean, 0.251989226), (OutputRate, Mean, 251.989226), (Ttft, Mean, 1.5379173), (Tpot, Mean, 0.0296533405),
            (E2e, P50, 31.2872956)]),
    ]
}

#[test]
fn real_results_have_the_figures_of_an_independent_script() {
    for (name, benchmarks, load, requests, figures) in golden() {
        let Some(found) = read(name) else { return };
        assert_eq!(found.len(), benchmarks, "{name}");
        let last = &found[found.len() - 1];
        assert_eq!(last.load, load, "{name}");
        assert_eq!(last.requests, requests, "{name}");
        for &(quantity, statistic, value) in figures {
            let figure = last.figure(quantity, statistic);
            let figure = figure.unwrap_or_else(|| panic!("{name}: no {quantity:?} {statistic:?}"));
            let off = (figure.value / value - 1.0).abs();
            assert!(off < 1e-8, "{name}: {figure:?} for {value}");
            assert!(!figure.field.is_empty());
        }
    }
}

/// The times of vLLM's generator and one excess a wait explain when the benchmark ended (0.858 ms by the script).
#[test]
fn arrivals_of_vllm_are_regenerated_where_they_explain_the_file() {
    let name = "vllm/8xH100-Llama-3.1-405B-FP8-16qps.json.gz";
    let Some(text) = text(name) else { return };
    let found = &results::read(&text, name).unwrap()[0];
    assert_eq!(found.sent, Sent::Regenerated);
    let sent = |i: usize| found.each[i].sent_s.unwrap();
    assert_eq!(sent(0), 0.0);
    // numpy: np.random.seed(0); np.random.exponential(1 / 16, 1000).
    assert!(
        (sent(1) - (0.049_742_5 + 0.000_858_2)).abs() < 1e-6,
        "{}",
        sent(1)
    );
    assert!((sent(999) - 63.507_963).abs() < 1e-4, "{}", sent(999));
    // Another rate or another end explains nothing.
    for (from, to) in [
        ("\"request_rate\": 16.0", "\"request_rate\": 12.0"),
        ("\"duration\": 100.66741408899998", "\"duration\": 103.0"),
    ] {
        assert!(text.contains(from));
        let other = &results::read(&text.replace(from, to), name).unwrap()[0];
        assert_eq!(other.sent, Sent::Unknown, "{to}");
    }
}

#[test]
fn one_detailed_file_is_enough_for_a_fit() {
    let name = "vllm/8xH100-Llama-3.1-405B-FP8-16qps.json.gz";
    let Some(text) = text(name) else { return };
    let found = measured::read(&text, name).unwrap();
    assert!(found.len() > 100, "{}", found.len());
    let note = found[0].note.as_deref().unwrap();
    assert!(note.contains("generator with seed 0"), "{note}");
    let mut points: Vec<Point> = found.iter().map(|m| m.point).collect();
    step_fit::hold_out(&mut points);
    let fit = step_fit::fit(&points, name).unwrap();
    // A server of 405 GB of weights on 8 x 3.35 TB/s reads them once in 15 ms at best; alone a token took about 33 ms.
    assert!((0.025..0.045).contains(&fit.model.c0_s), "{fit:?}");
    assert!(fit.held_out_median < 0.12, "{fit:?}");
}

fn server() -> Scenario {
    let mut server = Server {
        latency: StepLatency::Linear(TRUTH),
        ..Server::default()
    };
    server.kv.capacity = Capacity::Unlimited;
    let mut scenario = Scenario {
        engine: Engine::Continuous(Box::new(server)),
        ..Scenario::default()
    };
    scenario.fleet.gpus = 1;
    scenario
}

fn requests(n: u32, rate: f64) -> Trace {
    let source = Synthetic {
        requests: n,
        shape: Shape::Custom {
            arrivals: Arrivals::Poisson { rate },
            prompt: Lengths::Uniform { min: 50, max: 1500 },
            output: Lengths::Uniform { min: 20, max: 400 },
            failed_share: 0.0,
        },
    };
    source.generate(7).unwrap()
}

/// When every step of a run ended, s.
fn step_ends(rows: &[StepRow]) -> Vec<f64> {
    let mut ends = Vec::new();
    for row in rows {
        let n = f64::from(row.steps);
        let more = match row.steps {
            1 => 0.0,
            _ => (row.end_s - row.start_s - n * row.first_s) / (n * (n - 1.0) / 2.0),
        };
        let mut now = row.start_s;
        for i in 0..row.steps {
            now += row.first_s + f64::from(i) * more;
            ends.push(now);
        }
    }
    ends
}

/// What `vllm bench serve --save-detailed` would write of the run: each request gets a token in every step between its
/// first token and its last.
fn as_vllm(trace: &Trace, scenario: &Scenario, with_times: bool) -> Value {
    let mut run = Run::new(trace, scenario).unwrap();
    run.record_steps();
    while !run.advance(trace, u64::MAX) {}
    let ends = step_ends(&run.take_steps().unwrap());
    let outcome = Outcome::of(trace, run.finish());
    let served = &outcome.served.as_ref().unwrap().0;
    let arrivals = outcome.requests.arrivals(trace);
    let n = trace.len();
    let (mut starts, mut ttfts, mut itls, mut e2e) = (vec![], vec![], vec![], vec![]);
    for row in 0..n {
        let (at, first, done) = (
            arrivals.of(row),
            served.first_token_s[row],
            served.done_s[row],
        );
        let from = ends.partition_point(|&end| end < first + 1e-9);
        let to = ends.partition_point(|&end| end < done + 1e-9);
        assert_eq!(to - from, trace.output[row] as usize - 1);
        // A clock that has run for a while.
        starts.push(at + 5000.25);
        ttfts.push(first - at);
        let mut before = first;
        let gaps = ends[from..to].iter().map(|&end| {
            let gap = end - before;
            before = end;
            gap
        });
        itls.push(gaps.collect::<Vec<f64>>());
        e2e.push(done - at);
    }
    let mean = |of: &[f64]| of.iter().sum::<f64>() / n as f64 * 1e3;
    let mut value = json!({
        "backend": "vllm", "completed": n, "duration": outcome.summary.honest.makespan_s,
        "total_input_tokens": trace.prompt.iter().sum::<u32>(),
        "total_output_tokens": trace.output.iter().sum::<u32>(),
        "input_lens": trace.prompt, "output_lens": trace.output, "ttfts": ttfts, "itls": itls,
        "mean_ttft_ms": mean(&ttfts), "mean_e2el_ms": mean(&e2e),
    });
    if with_times {
        value["request_rate"] = json!(4.0);
        value["start_times"] = json!(starts);
    } else {
        value["request_rate"] = json!("inf");
    }
    value
}

/// The largest error; the simulator keeps gaps in bins, so that their quantiles may be off by 0.2 %.
fn worst(prediction: &Prediction) -> f64 {
    let errors = prediction.rows.iter().filter_map(|row| {
        let error = row.error()?.abs();
        let binned = row.figure == "ITL" && row.statistic != Mean && error < 2e-3;
        (!binned).then_some(error)
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn a_simulated_result_is_predicted_by_the_server_that_made_it() {
    let trace = requests(400, 4.0);
    let open = as_vllm(&trace, &server(), true).to_string();
    let benchmark = &results::read(&open, "open.json").unwrap()[0];
    assert_eq!(benchmark.sent, Sent::Given);
    let found = predict(benchmark, &server(), None).unwrap();
    assert_eq!((found.requests, found.notes.as_slice()), (400, &[][..]));
    assert_eq!(found.load, "the file's arrival times");
    assert!(
        found
            .rows
            .iter()
            .filter(|row| row.error().is_some())
            .count()
            >= 20
    );
    assert!(worst(&found) < 1e-6, "{found:?}");
    // A server twice as slow is found out.
    let mut slow = server();
    let latency = StepLatency::Linear(TRUTH).times(2.0);
    slow.server_mut().unwrap().latency = latency;
    assert!(worst(&predict(benchmark, &slow, None).unwrap()) > 0.9);

    let mut closed = server();
    closed.workload.closed_loop = Some(ClosedLoop {
        users: 16,
        requests_per_user: 25,
        ..ClosedLoop::default()
    });
    let mut file = as_vllm(&trace, &closed, false);
    file["max_concurrency"] = json!(16);
    let benchmark = &results::read(&file.to_string(), "closed.json").unwrap()[0];
    assert_eq!(benchmark.load, Load::Users { users: 16 });
    let found = predict(benchmark, &server(), None).unwrap();
    assert_eq!(found.load, "16 users, each with one request at a time");
    assert!(worst(&found) < 1e-6, "{found:?}");
}

#[test]
fn one_simulated_result_gives_back_the_step() {
    let mut trace = requests(500, 1.0);
    // Load that rises, twice, from a few requests at once to some tens.
    let (mut at, mut rate) = (0.0, 0.5);
    for arrival in &mut trace.arrival {
        *arrival = at;
        at += 1.0 / rate;
        rate = if rate > 12.0 { 0.5 } else { rate * 1.013 };
    }
    let file = as_vllm(&trace, &server(), true).to_string();
    let found = measured::read(&file, "one.json").unwrap();
    assert!(found.len() > 100, "{}", found.len());
    assert!(found.iter().all(|m| m.note.is_none()));
    let mut points: Vec<Point> = found.iter().map(|m| m.point).collect();
    step_fit::hold_out(&mut points);
    let fit = step_fit::fit(&points, "one.json").unwrap();
    for (got, truth, share) in [
        (fit.model.c0_s, TRUTH.c0_s, 0.03),
        (
            fit.model.c3_s_per_prefill_token,
            TRUTH.c3_s_per_prefill_token,
            0.05,
        ),
    ] {
        assert!(
            (got / truth - 1.0).abs() < share,
            "{got} for {truth}: {fit:?}"
        );
    }
    assert!(fit.held_out_median < 0.03, "{fit:?}");
}

#[test]
fn what_a_file_lacks_is_not_made_up() {
    let summary = json!({
        "request_rate": 2.0, "completed": 100, "duration": 60, "total_input_tokens": 20_000,
        "total_output_tokens": 5_000, "mean_ttft_ms": 40.0, "mean_tpot_ms": 9.0,
    });
    let benchmark = &results::read(&summary.to_string(), "summary.json").unwrap()[0];
    let found = predict(benchmark, &server(), None).unwrap();
    let row = |figure: &str, statistic| {
        let mut all = found.rows.iter();
        all.find(|r| r.figure == figure && r.statistic == statistic)
            .unwrap()
    };
    assert_eq!(row("TTFT", Mean).field.as_deref(), Some("mean_ttft_ms"));
    for (figure, statistic) in [("TTFT", P99), ("E2E", Mean), ("ITL", P50)] {
        let row = row(figure, statistic);
        assert_eq!((row.measured, row.error()), (None, None));
        assert!(row.predicted.is_some());
    }
    assert!(
        found.notes.iter().any(|note| note.contains("Poisson")),
        "{:?}",
        found.notes
    );
    assert!(
        found.notes.iter().any(|note| note.contains("mean lengths")),
        "{:?}",
        found.notes
    );
    // The same seed, the same times.
    assert_eq!(predict(benchmark, &server(), None).unwrap(), found);
    let users = Load::Users { users: 3 };
    let refused = predict(benchmark, &server(), Some(&users)).unwrap_err();
    assert!(
        refused.to_string().contains("the file says itself"),
        "{refused}"
    );
    let mut unknown = summary;
    unknown.as_object_mut().unwrap().remove("request_rate");
    let benchmark = &results::read(&unknown.to_string(), "unknown.json").unwrap()[0];
    let refused = predict(benchmark, &server(), None).unwrap_err();
    assert!(
        refused.to_string().contains("--users or --rate"),
        "{refused}"
    );
    let found = predict(benchmark, &server(), Some(&users)).unwrap();
    // 102 = 3 x 34 for the file's 100, and said so.
    assert_eq!(found.requests, 102);
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.starts_with("102 requests for 100"))
    );
}

#[test]
fn hostile_results_are_refused_by_their_place() {
    let good = json!({
        "request_rate": 2.0, "completed": 3, "duration": 6, "total_input_tokens": 30, "total_output_tokens": 9,
        "input_lens": [10, 10, 10], "output_lens": [3, 3, 3], "ttfts": [0.1, 0.1, 0.1], "itls": [[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]],
        "mean_ttft_ms": 100.0, "start_times": [1.0, 2.0, 3.0],
    });
    let record = json!({
        "metadata": { "request_start_ns": 5, "benchmark_phase": "profiling" }, "error": null,
        "metrics": { "output_sequence_length": { "value": 3, "unit": "tokens" } },
    });
    let response = json!({ "number_output_tokens": 5, "end_to_end_latency_s": 1.0, "ttft_s": 0.1 });
    let stage = json!({ "load_summary": { "requested_rate": 1.0 }, "successes": { "count": 2, "latency": {} } });
    let llm_d = json!({ "metrics": { "request_rate": 1.0 }, "workload": { "concurrency": 2 } });
    let summary = json!({ "results_ttft_s_mean": 0.1, "num_concurrent_requests": 2 });
    let with = |value: &Value, path: &str, to: Value| {
        let mut value = value.clone();
        *value.pointer_mut(path).unwrap() = to;
        value
    };
    for (value, words) in [
        (
            with(&good, "/start_times", json!([1.0, 2.0])),
            "start_times: a list of 2",
        ),
        (
            with(&good, "/start_times", json!([1.0, 2.0, "NaN"])),
            "start_times[2]: \"NaN\"",
        ),
        (with(&good, "/output_lens", json!([3, 3])), "a list of"),
        (
            with(&good, "/request_rate", json!(-1.0)),
            "request_rate: -1",
        ),
        (
            with(&good, "/completed", json!(1e300)),
            "completed: 1e+300 is not allowed; allowed is a number from",
        ),
        (with(&good, "/itls/1/0", json!(-0.1)), "itls[1][0]: -0.1"),
        (
            with(
                &record,
                "/metrics/output_sequence_length/unit",
                json!("words"),
            ),
            "output_sequence_length.unit: words",
        ),
        (
            with(&record, "/metadata/request_start_ns", json!("now")),
            "metadata.request_start_ns: \"now\"",
        ),
        (
            with(&record, "/error", json!({ "code": 500 })),
            "no request that was done",
        ),
        (
            json!([with(&response, "/ttft_s", json!(0))]),
            "[0].ttft_s: 0 is not allowed",
        ),
        (
            with(&stage, "/load_summary/requested_rate", json!(1e99)),
            "requested_rate: 1e+99",
        ),
        (
            with(&stage, "/successes", json!({ "count": 2 })),
            "successes.latency: a missing field",
        ),
        (
            json!([with(&llm_d, "/workload/concurrency", json!(0))]),
            "[0].workload.concurrency: 0",
        ),
        (
            with(&summary, "/num_concurrent_requests", json!(0.5)),
            "num_concurrent_requests: 0.5",
        ),
    ] {
        let error = results::read(&value.to_string(), "bad.json").unwrap_err();
        assert_eq!(error.code(), "bad-calibration", "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("bad.json, ") && text.contains(words),
            "{words}: {text}"
        );
    }
    let sentence = |e: Error| (e.code().to_owned(), e.to_string());
    for (text, code, words) in [
        ("[]", "unknown-format", "inference-perf"),
        ("{\"duration\": 1", "bad-row", "row 1"),
        ("{\"a\": 1}", "unknown-format", "no result of a load test"),
    ] {
        let (found, said) = sentence(results::read(text, "bad.json").unwrap_err());
        assert!(found == code && said.contains(words), "{found}: {said}");
    }
    // Lengths that no request has.
    let long = with(&good, "/input_lens/0", json!(1e11));
    let benchmark = &results::read(&long.to_string(), "long.json").unwrap()[0];
    let (_, said) = sentence(predict(benchmark, &server(), None).unwrap_err());
    assert!(said.contains("allowed is at most"), "{said}");
    // A contradiction is refused by the fit.
    let slow = with(&good, "/duration", json!(0.1));
    let (code, said) = sentence(measured::read(&slow.to_string(), "slow.json").unwrap_err());
    assert!(
        code == "bad-calibration" && said.contains("contradicts itself"),
        "{said}"
    );
}

#[test]
fn levels_of_load_come_from_results() {
    let names = [1, 2, 4].map(|n| format!("aiperf/qwen_concurrency{n}_profile_export_aiperf.json"));
    let mut all = Vec::new();
    for name in &names {
        let Some(found) = read(name) else { return };
        all.extend(found);
    }
    assert!(!load_tests::has_open_loop(&all));
    let levels = load_tests::levels(&all, "aiperf").unwrap();
    assert_eq!(
        levels.iter().map(|l| l.users).collect::<Vec<_>>(),
        [1, 2, 4]
    );
    assert!((levels[1].tok_s - 100.651_215_6).abs() < 1e-6);
    assert!((levels[1].ttft_ms.p95.unwrap() - 40.534_870_5).abs() < 1e-9);
    // An open loop: 110.76/s x 1.698 s.
    let stages =
        [0, 3].map(|n| format!("inference_perf/vllm+batch_size_stage_{n}_lifecycle_metrics.json"));
    let all: Vec<Benchmark> = stages.iter().flat_map(|name| read(name).unwrap()).collect();
    assert!(load_tests::has_open_loop(&all));
    let levels = load_tests::levels(&all, "stages").unwrap();
    assert_eq!(levels.iter().map(|l| l.users).collect::<Vec<_>>(), [1, 188]);
}

#[test]
fn every_real_result_is_fitted_or_says_why_not() {
    for (name, points) in [
        (
            "inference_perf/vllm+batch_size_stage_3_lifecycle_metrics.json",
            1,
        ),
        (
            "inference_perf/vllm+batch_size_stage_0_lifecycle_metrics.json",
            2,
        ),
        ("llmperf/llmperf_summary_groq_70b.json", 1),
        (
            "llmperf/tgi-2.0.1_meta-llama_Meta-Llama-3-8B-Instruct_tp_1_results.json",
            9,
        ),
        // 19 of them with one request at a time, whose first tokens count too.
        ("llm_d/llm-d-benchmarks.json.gz", 133),
    ] {
        let Some(text) = text(name) else { return };
        let found = measured::read(&text, name).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(found.len(), points, "{name}");
    }
    let name = "aiperf/qwen_concurrency4_profile_export.jsonl";
    let found = measured::read(&text(name).unwrap(), name).unwrap();
    assert!(found.len() > 10, "{}", found.len());
    assert_eq!(
        results::read(&text(name).unwrap(), name).unwrap()[0].format,
        Format::AiperfRecords
    );
    let name = "llmperf/llmperf_individual_groq_70b.json";
    let refused = measured::read(&text(name).unwrap(), name).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("results_num_completed_requests_per_min"),
        "{refused}"
    );
}
