//! The swarm itself: every setting is drawn, every invariant can be broken, every kept case passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use batchscope::sched::continuous::Server;
use batchscope::{Outcome, Scenario};
use serde_json::{Value, json};
use swarm::harness::{Options, guarded, judge, swarm};
use swarm::invariants::{self, OF_AN_OUTCOME, SAME_BYTES, STEP_BY_STEP};
use swarm::memory::{self, Counting};
use swarm::schema::Shape;
use swarm::searches::{COMPARED, PLAYED_BACK};
use swarm::targets::{Input, Target, is_a_sentence};
use swarm::twins::TWINS;
use swarm::wasm::{self, NATIVE_AND_WASM};
use swarm::{Case, Rng, ways};

#[global_allocator]
static MEMORY: Counting = Counting;

/// Settings that one value alone is allowed for.
const FIXED: [&str; 1] = ["version"];

/// A setting that exists and is never drawn, or never accepted, fails here on the day it appears.
#[test]
fn every_setting_is_drawn_and_accepted() {
    let shape = Shape::scenario();
    let settings = shape.settings();
    assert!(settings.len() > 200, "{} settings", settings.len());
    let mut seen = BTreeMap::new();
    let (mut accepted, cases) = (0, 6000);
    for case in 0..cases {
        let case = Case::random(&mut Rng::new(11, case, 1));
        let begun = case
            .open()
            .and_then(|(scenario, trace)| ways::begin(&trace, &scenario));
        if begun.is_ok() {
            accepted += 1;
            shape.note("", &case.scenario, &mut seen);
        }
    }
    let once = |setting: &String| {
        let values = seen.get(setting).map_or(0, Vec::len);
        let needed = if setting.contains(" = ") || FIXED.contains(&setting.as_str()) {
            1
        } else {
            2
        };
        values < needed
    };
    let missing: Vec<_> = settings.into_iter().filter(once).collect();
    assert!(
        missing.is_empty(),
        "never drawn and accepted with two values: {missing:#?}"
    );
    assert!(
        accepted * 2 > cases,
        "{accepted} of {cases} scenarios are accepted; half is the least"
    );
}

/// The declarations lag behind the types until they are generated again.
#[test]
fn the_schema_knows_every_default() {
    let settings = Shape::scenario().settings();
    let mut closed = json!(Scenario::default());
    let mut continuous = closed.clone();
    continuous["engine"] = json!({ "continuous": Server::default() });
    for scenario in [&mut closed, &mut continuous] {
        fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    for (name, value) in map {
                        paths(value, &swarm::schema::join(path, name), found);
                    }
                }
                Value::Array(_) => {}
                _ => found.push(path.to_owned()),
            }
        }
        let mut found = Vec::new();
        paths(scenario, "", &mut found);
        for path in found {
            let known = settings
                .iter()
                .any(|s| *s == path || s.starts_with(&format!("{path} = ")));
            assert!(known, "www/types.d.ts has no {path}; generate it again");
        }
    }
}

#[test]
fn every_invariant_can_be_broken() {
    let mut broke = BTreeMap::<&str, u32>::new();
    for case in 0..300 {
        let case = Case::random(&mut Rng::new(12, case, 1));
        let Ok((scenario, trace)) = case.open() else {
            continue;
        };
        let Ok(record) = ways::record(&trace, &scenario, u64::MAX) else {
            continue;
        };
        let sound = Outcome::of(&trace, record.clone());
        for twin in &TWINS {
            let Some(faulty) = twin.outcome(&trace, record.clone()) else {
                continue;
            };
            let noticed = match twin.breaks {
                SAME_BYTES => invariants::same_bytes(&sound, &faulty, "with the fault").is_err(),
                STEP_BY_STEP => invariants::same_steps(&sound, &faulty).is_err(),
                name => invariants::broken(&trace, &scenario, &faulty)
                    .iter()
                    .any(|b| b.name == name),
            };
            assert!(
                noticed,
                "\"{}\" does not notice that {}: {}",
                twin.breaks,
                twin.what,
                scenario.to_json()
            );
            *broke.entry(twin.what).or_default() += 1;
        }
    }
    let never: Vec<_> = TWINS
        .iter()
        .filter(|twin| !broke.contains_key(twin.what))
        .map(|twin| twin.what)
        .collect();
    assert!(never.is_empty(), "no run has a place for {never:?}");
    let names = OF_AN_OUTCOME
        .iter()
        .map(|(name, _)| *name)
        .chain([SAME_BYTES, STEP_BY_STEP]);
    for name in names {
        assert!(
            TWINS.iter().any(|twin| twin.breaks == name),
            "nothing breaks \"{name}\""
        );
    }
}

#[test]
fn the_document_names_every_invariant() {
    let text = include_str!("../../../docs/RELIABILITY.md");
    let names = OF_AN_OUTCOME.iter().map(|(name, _)| *name);
    for name in names.chain([SAME_BYTES, STEP_BY_STEP, PLAYED_BACK, COMPARED]) {
        assert!(
            text.contains(&format!("| {name} |")),
            "docs/RELIABILITY.md has no {name}"
        );
    }
}

/// The negative twins of what the harness itself watches.
#[test]
fn panics_and_memory_and_bad_sentences_are_noticed() {
    let panicked = guarded(|| panic!("a fault")).unwrap_err();
    assert!(
        panicked.name == "no panic" && panicked.detail.contains("a fault"),
        "{panicked:?}"
    );
    let (list, bytes) = memory::peak(|| vec![1u8; 3 << 20]);
    assert!(bytes >= list.len() && bytes < 4 << 20, "{bytes}");
    assert!(is_a_sentence("bad-row", "file, row 1: not a number").is_ok());
    for text in ["", "a \u{1b}[2J b", &"x".repeat(20_000)] {
        assert!(is_a_sentence("bad-row", text).is_err());
    }
}

/// Each is a fault that the swarm found, as small as it became.
#[test]
fn every_kept_case_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let input = Input::from_json(&document).unwrap();
        let name = document["target"].as_str().unwrap();
        let judged = match (Target::named(name), &input) {
            (Some(target), _) => judge(target, &input).err(),
            (None, Input::Case(case)) if name == NATIVE_AND_WASM => wasm::differs(case),
            _ => panic!("{}: no target \"{name}\"", path.display()),
        };
        if let Some(broken) = judged {
            panic!("{}: {}: {}", path.display(), broken.name, broken.detail);
        }
    }
}

#[test]
fn a_case_is_the_same_whenever_it_is_made() {
    for case in 0..300 {
        let target = Target::of(3, case);
        assert_eq!(
            target.make(3, case).to_json(),
            target.make(3, case).to_json()
        );
        let input = target.make(3, case);
        assert_eq!(
            Input::from_json(&input.to_json()).unwrap().to_json(),
            input.to_json()
        );
    }
}

#[test]
fn some_thousand_inputs_pass() {
    let report = swarm(&Options {
        seed: 4,
        cases: Some(4000),
        threads: 2,
        ..Options::default()
    });
    assert_eq!(report.failures, 0, "\n{}", report.table());
}

/// The negative twin of the time limit: no case is over within no time.
#[test]
fn a_case_without_end_is_noticed() {
    let ran = Command::new(env!("CARGO_BIN_EXE_swarm"))
        .args(["--target", "capacity", "--cases", "1000000"])
        .args(["--threads", "1", "--longest", "0"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    assert!(
        text.contains("time within its limit") && text.contains("--case "),
        "{text}"
    );
}

/// Judges what `cargo xtask mutants` breaks: the engines and searches alone, to the first failure.
#[test]
#[ignore = "a judge of mutants: cargo xtask mutants"]
fn the_engines_pass() {
    let part = |targets: &[&str], cases| {
        let report = swarm(&Options {
            seed: 5,
            cases: Some(cases),
            targets: targets
                .iter()
                .map(|name| Target::named(name).unwrap())
                .collect(),
            threads: 2,
            fail_fast: true,
            ..Options::default()
        });
        assert_eq!(report.failures, 0, "\n{}", report.table());
    };
    part(&["simulate"], 20_000);
    part(&["capacity", "compare"], 20_000);
}
