//! docs/SCENARIOS.md: every block is a scenario that runs, and together they have every rule, order, router and
//! feature of continuous batching.

use std::collections::BTreeSet;
use std::fs;

use batchscope::scenario::Source;
use batchscope::scenario::describe::explain;
use batchscope::trace::{self, Trace};
use batchscope::{Scenario, simulate};
use serde_json::Value;

/// The JSON blocks of a Markdown text.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// A small trace of the kind that a name asks for.
fn named(name: &str) -> Trace {
    let rows = 0..120u32;
    let text: String = match name {
        "prefixes.jsonl" => rows
            .map(|i| {
                format!(
                    "{{\"timestamp\": {}, \"input_length\": 1500, \"output_length\": {}, \"hash_ids\": [{}, {}, {}]}}\n",
                    i * 300,
                    20 + i % 50,
                    i % 5,
                    100 + i % 10,
                    1000 + i
                )
            })
            .collect(),
        "sessions.csv" => std::iter::once("arrival_s,prompt,output,session_id\n".to_owned())
            .chain(rows.map(|i| format!("{},{},{},{}\n", i, 200 + 30 * (i / 6), 10 + i % 40, i % 6)))
            .collect(),
        other => panic!("docs/SCENARIOS.md names {other}, which this test does not make"),
    };
    trace::read(text.as_bytes(), name, None).unwrap()
}

/// Every setting's path with its value, or the word of an object that stands for a choice.
fn settings(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                found.insert(format!("{path}.{name}"));
                settings(&format!("{path}.{name}"), inner, found);
            }
        }
        Value::String(word) => {
            found.insert(format!("{path}={word}"));
        }
        _ => {}
    }
}

#[test]
fn every_block_runs_and_nothing_is_left_out() {
    let text = fs::read_to_string("docs/SCENARIOS.md").unwrap();
    let mut named_settings = BTreeSet::new();
    let mut reused = 0;
    for block in blocks(&text) {
        let mut scenario = Scenario::from_json(block, "a block").unwrap();
        scenario.validate().unwrap();
        let trace = match &mut scenario.trace {
            Source::File { name, .. } => named(name),
            Source::Synthetic(synthetic) => {
                synthetic.requests = 1000;
                synthetic.generate(scenario.seed).unwrap()
            }
        };
        let summary = simulate(&trace, &scenario)
            .unwrap_or_else(|e| panic!("{block}: {e}"))
            .summary;
        let continuous = summary.continuous.as_ref().unwrap();
        assert!(summary.honest.requests > 100, "{block}");
        reused += u32::from(
            continuous
                .prefix
                .as_ref()
                .is_some_and(|p| p.found_tokens > 0),
        );
        let value: Value = serde_json::from_str(block).unwrap();
        settings(
            "engine.continuous",
            &value["engine"]["continuous"],
            &mut named_settings,
        );
    }
    assert_eq!(reused, 4, "the prefix caches of four blocks find something");

    let wanted = |path: &str, words: &[&str]| -> Vec<String> {
        words
            .iter()
            .map(|word| format!("engine.continuous.{path}={word}"))
            .collect()
    };
    let mut every = wanted("rule", &["vllm", "sarathi", "orca"]);
    every.extend(wanted("order", &["sjf", "edf", "priority"]));
    let routers = explain("engine.continuous.router").unwrap().choices;
    let routers: Vec<&str> = routers.iter().map(|(word, _)| word.as_str()).collect();
    every.extend(wanted("router", &routers));
    every.extend(wanted("kv.prefix.reuse", &["own", "hashes", "sessions"]));
    every.extend(wanted("kv.prefix.eviction", &["lru", "lfu"]));
    every.extend(wanted("kv.capacity", &["unlimited"]));
    every.extend(wanted("warmup", &["auto"]));
    // And every setting by name, but for what follows from a data sheet.
    let defaults: Value = serde_json::from_str(
        &Scenario::from_json(r#"{"engine": {"continuous": {"speculative": {"draft_tokens": 1, "acceptance": [1]}}}}"#, "d")
            .unwrap()
            .to_json(),
    )
    .unwrap();
    let mut all = BTreeSet::new();
    settings(
        "engine.continuous",
        &defaults["engine"]["continuous"],
        &mut all,
    );
    every.extend(
        all.into_iter()
            .filter(|s| !s.contains('=') && !s.ends_with(".ceiling") && !s.contains(".compute.")),
    );
    every.extend(
        [
            "kv.preemption.swap",
            "kv.capacity.blocks",
            "latency.table",
            "warmup.share",
        ]
        .map(|s| format!("engine.continuous.{s}")),
    );
    let missing: Vec<_> = every
        .iter()
        .filter(|s| !named_settings.contains(*s))
        .collect();
    assert!(missing.is_empty(), "docs/SCENARIOS.md lacks {missing:?}");
}
