//! Against a run of a real server, where its log is there.

use std::fs::{self, File};
use std::path::Path;

use batchscope::Scenario;
use batchscope::latency::{StepLatency, profile};
use batchscope::scenario::Engine;
use batchscope::sched::continuous::Server;
use batchscope::sched::continuous::kv::{Capacity, Reuse};
use batchscope::study::validation::server::Measured;

const RUN: &str = "../shared/data/vllm_rtx4090";

#[test]
fn a_vllm_run_is_met() {
    let file = |name: &str| File::open(Path::new(RUN).join(name)).unwrap();
    let Ok(log) = fs::read_to_string(Path::new(RUN).join("run_requests.jsonl")) else {
        println!("skipped: {RUN} is not there");
        return;
    };
    let measured = Measured::read(&log, "run_requests.jsonl").unwrap();
    let profile = profile::read(
        32,
        (file("profile_attention.csv"), "attention"),
        (file("profile_dense.csv"), "dense"),
        (file("profile_per_sequence.csv"), "per sequence"),
    )
    .unwrap();
    let mut server = Server {
        latency: StepLatency::Profile(Box::new(profile)),
        ..Server::default()
    };
    server.kv.capacity = Capacity::Blocks(2588);
    server.kv.prefix.reuse = Reuse::Own;
    let mut scenario = Scenario::default();
    scenario.fleet.gpus = 1;
    scenario.engine = Engine::Continuous(Box::new(server));
    let comparison = measured.against(&scenario, 1.0).unwrap();
    // The four that are further off, and how far: docs/VALIDATION.md says what is known of it.
    let known = [
        ("TTFT", "P95", 0.092),
        ("TPOT", "P90", 0.031),
        ("TPOT", "P95", 0.052),
        ("E2E", "P50", 0.045),
    ];
    assert_eq!(comparison.rows.len(), 15);
    for row in &comparison.rows {
        let bound = known
            .iter()
            .find(|k| (k.0, k.1) == (row.metric, row.statistic))
            .map_or(0.02, |k| k.2);
        assert!(
            row.error().abs() <= bound,
            "{} {}: {} measured, {} simulated",
            row.metric,
            row.statistic,
            row.measured_s,
            row.simulated_s
        );
    }
}

#[test]
fn a_broken_log_is_refused_by_its_line() {
    let good = r#"{"arrival_time": 1.0, "input_toks": 5, "output_toks": 2, "queued_ts": 7.0, "first_token_ts": 8.0, "last_token_ts": 9.0}"#;
    for (bad, said) in [
        (good.replace("\"queued_ts\": 7.0, ", ""), "row 2"),
        (good.replace("9.0", "7.5"), "do not follow each other"),
        (good.replace("8.0", "\"soon\""), "row 2"),
    ] {
        let text = format!("{good}\n{bad}\n");
        let error = Measured::read(&text, "log").err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn fits_to_splitwise_are_judged_on_what_they_have_not_seen() {
    use batchscope::study::validation::splitwise::held_out;
    let path = Path::new("../shared/data/splitwise/perf_model.csv");
    let Ok(input) = File::open(path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let found = held_out(input, "perf_model.csv").unwrap();
    // Twelve groups with both times, and power where it was measured.
    let of = |quantity: &str| found.iter().filter(|f| f.quantity == quantity).count();
    assert_eq!((of("prompt time"), of("time per output token")), (12, 12));
    assert!(of("average power") >= 4);
    for f in &found {
        assert!(
            f.held_out * 3 <= f.fitted + f.held_out && f.held_out > 0,
            "{f:?}"
        );
        if f.quantity == "time per output token" {
            assert!(f.median < 0.1, "{f:?}");
        }
    }
    let broken = "model,hardware,prompt_size,batch_size,token_size,peak_power,average_power,prompt_time,token_time,e2e_time,tensor_parallel\na,b,1,1,1,0,0,-5,1,1,2\n";
    assert!(
        held_out(broken.as_bytes(), "p.csv")
            .unwrap_err()
            .to_string()
            .contains("row 2")
    );
}
