//! The settings of a scenario as they are described: every one has its range or a check of its own, a sentence and a
//! value that can be set by its path.

use batchscope::scenario::ClosedLoop;
use batchscope::scenario::describe::{all, explain, page, schema, set, set_all};
use batchscope::sched::continuous::kv::Capacity;
use batchscope::sched::memory::Memory;
use batchscope::{Error, Scenario};
use serde_json::{Value, json};

/// Numbers whose range depends on other settings, or on what was chosen beside them.
const CHECKED_BY_THEMSELVES: [&str; 4] = [
    "version",
    "engine.continuous.max_batched_tokens",
    "engine.continuous.classes.",
    "engine.continuous.kv.capacity.blocks",
];

#[test]
fn every_number_has_its_range() {
    let own = [
        "trace.",
        "engine.continuous.latency.table",
        "engine.continuous.latency.profile",
        "engine.closed.latency.steps.table",
        "engine.closed.latency.steps.profile",
    ];
    let mut ranges = 0;
    for setting in all() {
        let kind = &setting.kind;
        if !kind.starts_with("a number") && !kind.starts_with("a whole number") {
            continue;
        }
        let named = CHECKED_BY_THEMSELVES.iter().chain(&own);
        if named.into_iter().any(|path| setting.path.starts_with(path)) {
            continue;
        }
        assert!(kind.contains(" from "), "{}: {kind}", setting.path);
        ranges += 1;
    }
    assert!(ranges > 60, "{ranges}");
}

#[test]
fn every_setting_has_a_sentence() {
    for setting in all() {
        assert!(!setting.about.is_empty(), "{}", setting.path);
        assert_eq!(explain(&setting.path).unwrap(), setting);
    }
    // What is said of effects is said of settings that there are.
    for path in Scenario::fields_at_times_without_effect() {
        explain(path).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// The value of a path in a scenario's JSON.
fn at<'a>(whole: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(whole, |value, name| value.get(name))
}

#[test]
fn what_is_set_to_itself_changes_nothing() {
    let mut continuous = Scenario::default();
    set(&mut continuous, "engine=continuous").unwrap_err();
    set(&mut continuous, "engine.continuous.rule=vllm").unwrap();
    continuous.workload.closed_loop = Some(ClosedLoop::default());
    let mut seen = 0;
    for base in [Scenario::default(), continuous] {
        let whole = serde_json::to_value(&base).unwrap();
        for setting in all() {
            let Some(value) = at(&whole, &setting.path) else {
                continue;
            };
            let mut same = base.clone();
            set(&mut same, &format!("{}={value}", setting.path)).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(same, base, "{}", setting.path);
            seen += 1;
        }
    }
    assert!(seen > 120, "{seen}");
}

#[test]
fn a_path_chooses_what_it_names() {
    let mut s = Scenario::default();
    let assignments = [
        "engine.continuous.max_sequences=128",
        "engine.continuous.kv.capacity.blocks=900",
        "engine.continuous.warmup.share=0.1",
        "workload.closed_loop.users=3",
        "trace.file.name=a.csv",
        "sla.ttft_s=0.5",
        "predictor.kind=oracle",
    ];
    set_all(&mut s, &assignments.map(str::to_owned)).unwrap_err();
    for assignment in assignments {
        set(&mut s, assignment).unwrap_or_else(|e| panic!("{e}"));
    }
    let Some(server) = s.server() else {
        panic!("{:?}", s.engine)
    };
    assert_eq!(server.max_sequences, 128);
    assert_eq!(server.kv.capacity, Capacity::Blocks(900));
    // The default step and memory are of one machine.
    assert_eq!(*s.memory(), Memory::LLAMA_3_1_8B_ON_H100);
    let users = ClosedLoop {
        users: 3,
        ..ClosedLoop::default()
    };
    assert_eq!(s.workload.closed_loop, Some(users));
    assert_eq!(s.sla.ttft_s, Some(0.5));
    set(&mut s, "workload.closed_loop=null").unwrap();
    assert_eq!(s.workload.closed_loop, None);
    set(&mut s, "engine.closed={}").unwrap();
    assert!(s.closed().is_some());
}

#[test]
fn what_cannot_be_set_is_refused_by_name() {
    for (assignment, words) in [
        (
            "sla.tokenms=1",
            "sla.tokenms: tokenms is not allowed; allowed is a part of sla: ",
        ),
        ("engine.closed.rule=vllm", "engine.closed.rule"),
        ("seed", "it has no \"=\""),
        ("seed=many", "many"),
        ("engine.closed.policy=lifo", "lifo"),
        ("bins=3", "expected"),
        ("engine.continuous.kv.capacity.blocks=-1", "-1"),
    ] {
        let mut s = Scenario::default();
        let said = set(&mut s, assignment).unwrap_err().to_string();
        assert!(said.contains(words), "{assignment}: {said}");
        assert_eq!(s, Scenario::default(), "{assignment}");
    }
    let with = |assignments: &[&str]| {
        let all: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
        set_all(&mut Scenario::default(), &all)
    };
    // Out of range, and without effect.
    match with(&["fleet.gpus=0"]) {
        Err(Error::BadField { field, .. }) => assert_eq!(field, "fleet.gpus"),
        other => panic!("{other:?}"),
    }
    match with(&["engine.closed.static_batch=4"]) {
        Err(Error::Contradiction { what, why }) => {
            assert_eq!(what, "--set engine.closed.static_batch");
            assert!(why.contains("would have no effect"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    with(&[
        "engine.closed.policy=static-fifo",
        "engine.closed.static_batch=4",
    ])
    .unwrap();
}

#[test]
fn explanations_name_range_default_choices_and_effect() {
    let text = |path: &str| explain(path).unwrap().text();
    let batch = text("engine.closed.max_batch");
    for words in [
        "engine.closed.max_batch: a whole number from 1 to 4096",
        "default: 128",
        "it has an effect with: dynamic, multi-bin-dynamic",
    ] {
        assert!(batch.contains(words), "{words}: {batch}");
    }
    let rule = text("engine.continuous.rule");
    assert!(rule.contains("  sarathi: "), "{rule}");
    let group = text("engine.continuous.kv");
    assert!(
        group.contains("  engine.continuous.kv.watermark\n"),
        "{group}"
    );
    assert!(text("sla.ttft_s").contains("null (s)"));
    let acts = explain("sla.request_s").unwrap().acts;
    assert_eq!(acts, None);
}

#[test]
fn the_schema_has_ranges_and_no_other_fields() {
    let memory = &schema()["$defs"]["Memory"];
    assert_eq!(memory["additionalProperties"], json!(false));
    assert_eq!(memory["properties"]["margin_gb"]["maximum"], json!(1e6));
    assert!(page().starts_with("# Settings\n"));
}
