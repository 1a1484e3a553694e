//! Against a run of a real server, where its log is there.

use crate::support::program::program;
use std::fs::{self, File};
use std::path::Path;

use batchscope::Scenario;
use batchscope::experiment::validation::server::{Measured, Meta, median_worst};
use batchscope::latency::{StepLatency, profile};
use batchscope::scenario::Engine;
use batchscope::sched::continuous::Server;
use batchscope::sched::continuous::kv::{Capacity, Reuse};

const RUN: &str = "../shared/data/vllm_rtx4090";

/// The run, its settings, and the profile of its GPU.
fn run() -> Option<(Measured, Meta, StepLatency)> {
    let file = |name: &str| File::open(Path::new(RUN).join(name)).unwrap();
    let text = |name: &str| fs::read_to_string(Path::new(RUN).join(name)).unwrap();
    let Ok(log) = fs::read_to_string(Path::new(RUN).join("run_requests.jsonl")) else {
        println!("skipped: {RUN} is not there");
        return None;
    };
    let mut measured = Measured::read(&log, "run_requests.jsonl").unwrap();
    measured
        .read_prompts(&text("prompt_blocks.jsonl"), "prompt_blocks.jsonl")
        .unwrap();
    let meta = Meta::read(&text("run_meta.json"), "run_meta.json").unwrap();
    let profile = profile::read(
        32,
        (file("profile_attention.csv"), "attention"),
        (file("profile_dense.csv"), "dense"),
        (file("profile_per_sequence.csv"), "per sequence"),
    )
    .unwrap();
    Some((measured, meta, StepLatency::Profile(Box::new(profile))))
}

fn with(scenario: &Scenario, change: impl FnOnce(&mut Server)) -> Scenario {
    let mut scenario = scenario.clone();
    if let Some(server) = scenario.server_mut() {
        change(server);
    }
    scenario
}

#[test]
fn a_vllm_run_is_met() {
    let Some((measured, meta, profile)) = run() else {
        return;
    };
    assert_eq!(meta.blocks(), Some(2588));
    let without = meta.serve(&Scenario::default(), profile);
    let hashes = with(&without, |server| server.kv.prefix.reuse = Reuse::Hashes);
    let comparison = measured.against(&hashes, 1.0).unwrap();
    assert_eq!(comparison.rows.len(), 15);
    for row in &comparison.rows {
        assert!(
            row.error().abs() <= 0.01,
            "{} {}: {} measured, {} simulated",
            row.metric,
            row.statistic,
            row.measured_s,
            row.simulated_s
        );
    }
    let perturbed = measured.perturbed(&hashes).unwrap();
    assert_eq!(perturbed.len(), 15);
    let median = median_worst(&perturbed);
    assert!(median <= 0.015, "{median}: {perturbed:?}");
    // What the hashes are good for.
    let blind = measured.against(&without, 1.0).unwrap();
    let worst = blind.rows.iter().map(|row| row.error().abs());
    let worst = worst.fold(0.0, f64::max);
    assert!((0.08..0.1).contains(&worst), "{worst}");
}

#[test]
fn a_run_of_several_replicas_and_without_blocks() {
    let meta = |kv: &str| {
        let text = format!(
            r#"{{"vllm_version": "0.19.0", "engine_kwargs": {{"max_num_seqs": 128, "max_num_batched_tokens": 4096,
            "tensor_parallel_size": 2, "data_parallel_size": 3, "long_prefill_token_threshold": 512,
            "async_scheduling": true, "dtype": "bfloat16"}}{kv}}}"#
        );
        Meta::read(&text, "run_meta.json").unwrap()
    };
    let served = |meta: &Meta| {
        let scenario = meta.serve(&Scenario::default(), StepLatency::default());
        scenario.validate().unwrap();
        let Engine::Continuous(server) = scenario.engine.clone() else {
            panic!("not continuous");
        };
        (scenario, server)
    };
    let (scenario, server) = served(&meta(""));
    assert_eq!((scenario.fleet.gpus, scenario.replicas()), (6, 3));
    assert_eq!(server.kv.capacity, Capacity::Memory);
    assert_eq!(server.kv.block_tokens, 16);
    assert_eq!(server.kv.prefix.reuse, Reuse::Own);
    assert_eq!(server.long_prefill_token_threshold, 512);
    assert!(server.async_scheduling && server.kv.null_block);
    let told = meta(
        r#", "kv_cache": {"num_kv_tokens": 3200, "block_size": 32, "enable_prefix_caching": false}"#,
    );
    let (_, server) = served(&told);
    assert_eq!(server.kv.capacity, Capacity::Blocks(100));
    assert_eq!(server.kv.prefix.reuse, Reuse::Off);
    assert!(Meta::read("{}", "run_meta.json").is_err());
}

#[test]
fn prompt_hashes_that_do_not_fit_are_refused_by_their_line() {
    let log = r#"{"request_id": "a", "arrival_time": 1.0, "input_toks": 5, "output_toks": 2, "queued_ts": 7.0, "first_token_ts": 8.0, "last_token_ts": 9.0}"#;
    let good = r#"{"request_id": "a", "prompt_tokens": 5, "block_tokens": 4, "hash_ids": [3]}"#;
    let read = |text: &str| {
        let mut measured = Measured::read(log, "log").unwrap();
        measured.read_prompts(text, "prompts").map(|()| measured)
    };
    let prefix = read(good).unwrap().trace.prefix.unwrap();
    assert_eq!((prefix.tokens_per_block, prefix.of(0)), (4, &[0][..]));
    for (bad, said) in [
        (good.replace("[3]", "[3, 4]"), "row 1"),
        (
            good.replace("\"prompt_tokens\": 5", "\"prompt_tokens\": 6"),
            "5 in the run",
        ),
        (good.replace("\"a\"", "\"b\""), "no line for request \"a\""),
        (format!("{good}\n{good}"), "request a a second time"),
        (
            good.replace("\"block_tokens\": 4", "\"block_tokens\": 0"),
            "block_tokens 0",
        ),
        ("{".to_owned(), "row 1"),
    ] {
        let error = read(&bad).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
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
    use batchscope::experiment::validation::splitwise::held_out;
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

/// A request of a run's log, by its times.
fn logged(arrival: f64, queued: f64, last: f64) -> String {
    format!(
        r#"{{"arrival_time": {arrival}, "input_toks": 8, "output_toks": 2, "queued_ts": {queued}, "first_token_ts": {queued}, "last_token_ts": {last}}}"#
    ) + "\n"
}

#[test]
fn a_log_of_two_clocks_is_refused_by_its_line() {
    let read = |second: String| {
        let text = logged(1.7e9, 100.0, 101.0) + "\n" + &second;
        Measured::read(&text, "log")
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert_eq!(read(logged(1.7e9 + 9e6, 9e6, 9e6 + 5.0)), Ok(()));
    for (second, column) in [
        (logged(105.0, 105.0, 106.0), "arrival_time"),
        (logged(1.7e9 + 5.0, 1.7e9, 1.7e9 + 1.0), "queued_ts"),
        (logged(1.7e9 + 5.0, 105.0, 1e300), "last_token_ts"),
    ] {
        let message = read(second).unwrap_err();
        assert!(
            message.starts_with(&format!("log, row 3, column \"{column}\"")),
            "{message}"
        );
        assert!(message.contains("within 10000000 s"), "{message}");
    }
}

#[test]
fn a_long_run_is_compared_at_ten_thousand_moments() {
    let text = logged(0.0, 0.0, 1.0) + &logged(9e6, 9e6, 9e6 + 1.0);
    let measured = Measured::read(&text, "log").unwrap();
    let mut scenario = Scenario::default();
    scenario.fleet.gpus = 1;
    scenario.engine = Engine::Continuous(Box::default());
    let comparison = measured.against(&scenario, 1.0).unwrap();
    let moments = comparison.moments.len();
    assert!((9_990..=10_001).contains(&moments), "{moments}");
}

/// docs/VALIDATION.md and the figure beside it; `BATCHSCOPE_UPDATE=1` rewrites them.
#[test]
fn the_document_is_what_the_program_prints() {
    let splitwise = Path::new("../shared/data/splitwise/perf_model.csv");
    if !Path::new(RUN).exists() || !splitwise.exists() {
        println!("skipped: the measurements are not there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kept = match std::env::var_os("BATCHSCOPE_UPDATE") {
        Some(_) => Path::new("docs"),
        None => folder.path(),
    };
    let done = program()
        .args(["validate", "--run", RUN, "--splitwise"])
        .arg(splitwise)
        .arg("--out")
        .arg(kept.join("VALIDATION.md"))
        .status()
        .unwrap();
    assert!(done.success());
    for name in ["VALIDATION.md", "validation-run.svg"] {
        let printed = fs::read_to_string(kept.join(name)).unwrap();
        let committed = fs::read_to_string(Path::new("docs").join(name)).unwrap();
        assert!(
            printed == committed,
            "docs/{name} is out of date; BATCHSCOPE_UPDATE=1 rewrites it"
        );
    }
}
