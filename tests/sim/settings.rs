//! The settings of a scenario as they are described: every one has its range or a check of its own, a sentence and a
//! value that can be set by its path.

use batchscope::scenario::ClosedLoop;
use batchscope::scenario::describe::{self, Before, all, explain, page, schema};
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

fn set(scenario: &mut Scenario, assignment: &str) -> Result<(), Error> {
    describe::assign(scenario, &[assignment.to_owned()], Before::Flags, &[]).map(|_| ())
}

fn set_all(scenario: &mut Scenario, assignments: &[&str]) -> Result<(), Error> {
    let all: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
    describe::set_all(scenario, &all, Before::Flags, &[])
}

#[test]
fn every_number_has_its_range() {
    let own = [
        "trace.",
        "engine.continuous.latency.table",
        "engine.continuous.latency.profile",
        "engine.continuous.latency.modelled",
        "engine.closed.latency.steps.table",
        "engine.closed.latency.steps.profile",
        "engine.closed.latency.steps.modelled",
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
    set_all(&mut s, &assignments).unwrap_err();
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
            "--set sla.tokenms=1: there is no tokenms; allowed is a part of sla: ",
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
    let with = |assignments: &[&str]| set_all(&mut Scenario::default(), assignments);
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
fn an_object_sets_its_parts_and_leaves_the_others() {
    let mut s = Scenario::default();
    s.sla.request_s = 7.0;
    set(&mut s, r#"sla={"token_ms":10,"ttft_s":2}"#).unwrap();
    assert_eq!(
        (s.sla.token_ms, s.sla.request_s, s.sla.ttft_s),
        (10.0, 7.0, Some(2.0))
    );
    // Parts that need each other may come one by one, in one command.
    set_all(
        &mut s,
        &[
            "engine.continuous.speculative.draft_tokens=2",
            "engine.continuous.speculative.acceptance=[0.8,0.5]",
        ],
    )
    .unwrap();
    let draft = s
        .server()
        .and_then(|server| server.speculative.clone())
        .unwrap();
    assert_eq!((draft.draft_tokens, draft.acceptance), (2, vec![0.8, 0.5]));
    // What an object sets without effect is refused as its path is.
    for (group, path) in [
        (
            r#"predictor={"kind":"oracle","sigma":2}"#,
            "predictor.sigma",
        ),
        (
            r#"engine.closed={"policy":"static-fifo","max_batch":4}"#,
            "engine.closed.max_batch",
        ),
        (r#"bins={"count":4}"#, "bins.count"),
    ] {
        let scheduler = "engine.closed.policy=dynamic";
        let all = match path {
            "bins.count" => vec![scheduler, group],
            _ => vec![group],
        };
        match set_all(&mut Scenario::default(), &all) {
            Err(Error::Contradiction { what, .. }) => assert_eq!(what, format!("--set {path}")),
            other => panic!("{group}: {other:?}"),
        }
    }
    let swap = [
        "engine.continuous.kv.capacity=unlimited",
        "engine.continuous.kv.preemption.swap.gb_per_s=3",
    ];
    assert!(matches!(
        set_all(&mut Scenario::default(), &swap),
        Err(Error::Contradiction { .. })
    ));
}

#[test]
fn what_is_set_twice_is_refused() {
    let twice = |assignments: &[&str], flags: &[(&str, &str)], before| {
        let all: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
        let said = describe::set_all(&mut Scenario::default(), &all, before, flags);
        said.unwrap_err().to_string()
    };
    let said = twice(&["fleet.gpus=4", "fleet.gpus=8"], &[], Before::Flags);
    assert!(said.contains("--set fleet.gpus=4 sets it too"), "{said}");
    let said = twice(
        &[r#"sla={"token_ms":9}"#, "sla.token_ms=8"],
        &[],
        Before::Flags,
    );
    assert!(said.contains("sets it too"), "{said}");
    let flags = [("--gpus", "fleet.gpus")];
    let said = twice(&["fleet.gpus=8"], &flags, Before::Flags);
    assert!(said.contains("--gpus sets it too"), "{said}");
    // A text has chosen its engine; a flag or a default has not.
    let other = ["engine.continuous.max_sequences=8"];
    let said = twice(&other, &[], Before::Text);
    assert!(
        said.contains("--set engine.continuous={} chooses"),
        "{said}"
    );
    set_all(&mut Scenario::default(), &other).unwrap();
    let chosen = ["engine.continuous={}".to_owned(), other[0].to_owned()];
    describe::set_all(&mut Scenario::default(), &chosen, Before::Text, &[]).unwrap();
}

#[test]
fn defaults_are_those_of_the_engine() {
    for base in [Scenario::default(), Scenario::continuous()] {
        let whole = serde_json::to_value(&base).unwrap();
        for setting in all() {
            let engine = if base.closed().is_some() {
                "engine.continuous."
            } else {
                "engine.closed."
            };
            if setting.path.starts_with(engine) || setting.path == "engine" {
                continue;
            }
            if let Some(value) = at(&whole, &setting.path) {
                assert_eq!(setting.default.as_ref(), Some(value), "{}", setting.path);
            }
        }
    }
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
