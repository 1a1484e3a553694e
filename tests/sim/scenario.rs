//! The JSON form of a scenario: what is written reads back, what is wrong is refused by name, and
//! nothing panics.

use batchscope::latency::Latency;
use batchscope::scenario::{ClosedLoop, Preset, Scenario, Source, Ties};
use batchscope::trace::synth::{Arrivals, Lengths, Shape, Synthetic};
use batchscope::{Error, Trace, simulate};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::arbitrary;

fn read(value: &Value) -> Result<Scenario, Error> {
    Scenario::from_json(&value.to_string(), "s.json")
}

/// Scenarios that between them have every field there is.
fn examples() -> Vec<Scenario> {
    let custom = |arrivals, prompt, output| Scenario {
        trace: Source::Synthetic(Synthetic {
            requests: 100,
            shape: Shape::Custom {
                arrivals,
                prompt,
                output,
                failed_share: 0.25,
            },
        }),
        ..Scenario::default()
    };
    let mut full = custom(
        Arrivals::OnOff {
            on_rate: 5.0,
            off_rate: 0.5,
            mean_on_s: 10.0,
            mean_off_s: 30.0,
        },
        Lengths::Lognormal {
            median: 100.0,
            sigma: 1.0,
        },
        Lengths::Empirical {
            values: vec![1, 5, 9],
            weights: vec![0.5, 0.25, 0.25],
        },
    );
    full.workload.window_start_s = Some(1.0);
    full.workload.window_end_s = Some(1e6);
    full.workload.limit = Some(50);
    full.workload.rate_per_s = Some(3.5);
    full.closed_mut().controller.target_s = Some(0.75);
    full.bins.boundaries = batchscope::sched::Boundaries::Fixed;
    let mut all = vec![
        Scenario::default(),
        full,
        custom(
            Arrivals::Poisson { rate: 2.0 },
            Lengths::Fixed { tokens: 7 },
            Lengths::Zipf {
                theta: 1.5,
                max: 1000,
            },
        ),
        custom(
            Arrivals::Gamma { rate: 2.0, cv: 3.0 },
            Lengths::Gamma {
                mean: 80.0,
                cv: 2.0,
            },
            Lengths::Fixed { tokens: 1 },
        ),
        custom(
            Arrivals::Diurnal {
                mean_rate: 3.0,
                peak_to_valley: 4.0,
                period_s: 3600.0,
                peak_at_s: 1800.0,
            },
            Lengths::Fixed { tokens: 7 },
            Lengths::Fixed { tokens: 7 },
        ),
        Scenario {
            trace: Source::File {
                name: "a file.csv".to_owned(),
                format: Some(batchscope::trace::Format::Burstgpt),
                time_unit: Some(batchscope::trace::TimeUnit::Us),
                // Only a server that shares blocks by hashes has an effect of it.
                hash_tokens: None,
            },
            ..Scenario::default()
        },
    ];
    let mut by_users = Scenario::default();
    by_users.workload.limit = Some(1_000);
    by_users.workload.closed_loop = Some(FIFTY_REQUESTS);
    all.push(by_users);
    all.extend(Preset::ALL.map(Preset::scenario));
    all
}

const FIFTY_REQUESTS: ClosedLoop = ClosedLoop {
    users: 10,
    requests_per_user: 5,
    think_min_s: 0.5,
    think_max_s: 2.0,
};

/// JSON pointers of everything in a value, the whole not counted.
fn pointers(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, all: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v)).collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, v)| (i.to_string(), v))
                .collect(),
            _ => Vec::new(),
        };
        for (key, child) in children {
            let path = format!("{at}/{key}");
            all.push(path.clone());
            walk(child, &path, all);
        }
    }
    let mut all = Vec::new();
    walk(value, "", &mut all);
    all
}

/// "/scheduler/bins/cuts/0" as "bins.cuts".
fn dotted(pointer: &str) -> String {
    let names = pointer[1..]
        .split('/')
        .filter(|name| name.parse::<usize>().is_err());
    names.collect::<Vec<_>>().join(".")
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// Whether an error names the field at a pointer: itself, its partner in a rule about two fields
/// of one group, or the group where JSON's own reader knows no more.
fn names(error: &Error, pointer: &str) -> bool {
    let path = dotted(pointer);
    match error {
        Error::BadField {
            field,
            value,
            allowed,
        } => {
            assert!(!value.is_empty() && !allowed.is_empty());
            *field == path || parent(field) == parent(&path)
        }
        Error::BadScenario {
            file,
            line,
            column,
            field,
            problem,
        } => {
            assert!(file == "s.json" && *line > 0 && *column > 0 && !problem.is_empty());
            let field = field.split('[').next().unwrap_or_default();
            // Or inside the field, where a wrong group brings wrong fields of its own.
            let within = |a: &str, b: &str| format!("{a}.").starts_with(&format!("{b}."));
            !field.is_empty() && (within(&path, field) || within(field, &path))
        }
        Error::Contradiction { what, why } => *what == path && !why.is_empty(),
        _ => false,
    }
}

fn with(base: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = base.clone();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

fn without(base: &Value, pointer: &str) -> Value {
    let (group, key) = pointer.rsplit_once('/').unwrap();
    let mut changed = base.clone();
    changed
        .pointer_mut(group)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(key)
        .unwrap();
    changed
}

#[test]
fn what_is_written_reads_back() {
    for scenario in examples() {
        assert_eq!(
            Scenario::from_json(&scenario.to_json(), "s.json").unwrap(),
            scenario
        );
    }
}

#[test]
fn every_default_is_written_out_and_may_be_left_out() {
    assert_eq!(
        Scenario::from_json("{}", "s.json").unwrap(),
        Scenario::default()
    );
    let base: Value = serde_json::from_str(&Scenario::default().to_json()).unwrap();
    let mut needed = Vec::new();
    for pointer in pointers(&base) {
        if base
            .pointer(pointer.rsplit_once('/').unwrap().0)
            .unwrap()
            .is_array()
        {
            continue;
        }
        match read(&without(&base, &pointer)) {
            Ok(scenario) => assert_eq!(scenario, Scenario::default(), "without {pointer}"),
            Err(_) => needed.push(pointer),
        }
    }
    // The tags that say what the rest of their group means, and nothing else.
    needed.sort();
    assert_eq!(
        needed,
        [
            "/engine/closed",
            "/engine/closed/latency/linear",
            "/trace/synthetic"
        ]
    );
}

#[test]
fn unknown_fields_are_refused_in_every_group() {
    for scenario in examples() {
        let base: Value = serde_json::from_str(&scenario.to_json()).unwrap();
        let groups = pointers(&base).into_iter().chain([String::new()]);
        for group in groups.filter(|p| base.pointer(p).unwrap().is_object()) {
            let mut changed = base.clone();
            let fields = changed
                .pointer_mut(&group)
                .unwrap()
                .as_object_mut()
                .unwrap();
            fields.insert("gpu_count".to_owned(), json!(1));
            match read(&changed) {
                Err(Error::BadScenario { problem, .. }) => {
                    // Where one name is a choice among several, a second one makes no choice.
                    let choice = [
                        "/trace",
                        "/engine",
                        "/latency",
                        "/shape",
                        "/arrivals",
                        "/prompt",
                        "/output",
                    ]
                    .iter()
                    .any(|choice| group.ends_with(choice));
                    assert!(
                        choice || problem.contains("gpu_count"),
                        "{group}: {problem}"
                    );
                }
                other => panic!("unknown field in {group:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn wrong_types_are_refused_by_name() {
    for scenario in examples() {
        let base: Value = serde_json::from_str(&scenario.to_json()).unwrap();
        for pointer in pointers(&base) {
            let now = base.pointer(&pointer).unwrap();
            for wrong in [json!({"a": 1}), json!([[]]), json!(true), json!("NaN")] {
                let same_type = match (&wrong, now) {
                    (Value::Bool(_), Value::Bool(_)) => true,
                    // A file may have any name.
                    (Value::String(_), Value::String(_)) => pointer == "/trace/file/name",
                    _ => false,
                };
                if same_type {
                    continue;
                }
                match read(&with(&base, &pointer, wrong.clone())) {
                    Err(error @ Error::BadScenario { .. }) => {
                        assert!(names(&error, &pointer), "{pointer} = {wrong}: {error:?}");
                    }
                    // serde takes a list for a group, by position; its values are checked all the
                    // same, and refused under their own names.
                    Err(Error::BadField { field, .. }) => {
                        assert!(field.starts_with(&dotted(&pointer)), "{pointer}: {field}");
                    }
                    other => panic!("{pointer} = {wrong}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let mut numbers = 0;
    for scenario in examples() {
        let base: Value = serde_json::from_str(&scenario.to_json()).unwrap();
        for pointer in pointers(&base) {
            if !base.pointer(&pointer).unwrap().is_number() {
                continue;
            }
            numbers += 1;
            for wrong in [
                json!(-1),
                json!(-1e-3),
                json!(1e300),
                json!(1e13),
                json!(u64::MAX),
            ] {
                match read(&with(&base, &pointer, wrong.clone())) {
                    Err(error) => {
                        assert!(names(&error, &pointer), "{pointer} = {wrong}: {error:?}")
                    }
                    Ok(_) => panic!("{pointer} = {wrong} is allowed"),
                }
            }
            // These may be right or wrong, but if wrong then by name.
            for odd in [
                json!(0),
                json!(0.5),
                json!(1e-300),
                json!(1e9),
                json!(u32::MAX),
                Value::Null,
            ] {
                if let Err(error) = read(&with(&base, &pointer, odd.clone())) {
                    assert!(names(&error, &pointer), "{pointer} = {odd}: {error:?}");
                }
            }
        }
    }
    assert!(numbers > 300, "{numbers} numbers tried");
}

#[test]
fn not_a_number_is_refused_by_name() {
    type Field = (&'static str, fn(&mut Scenario) -> &mut f64);
    fn linear(s: &mut Scenario) -> &mut batchscope::latency::Linear {
        let Latency::Linear(linear) = &mut s.closed_mut().latency else {
            panic!("another latency");
        };
        linear
    }
    let fields: [Field; 21] = [
        ("workload.time_scale", |s| &mut s.workload.time_scale),
        ("workload.rate_per_s", |s| s.workload.rate_per_s.insert(1.0)),
        ("workload.window_start_s", |s| {
            s.workload.window_start_s.insert(1.0)
        }),
        ("workload.window_end_s", |s| {
            s.workload.window_end_s.insert(1.0)
        }),
        ("workload.closed_loop.think_min_s", |s| {
            let users = s.workload.closed_loop.insert(FIFTY_REQUESTS);
            &mut users.think_min_s
        }),
        ("workload.closed_loop.think_max_s", |s| {
            let users = s.workload.closed_loop.insert(FIFTY_REQUESTS);
            &mut users.think_max_s
        }),
        ("predictor.sigma", |s| &mut s.predictor.sigma),
        ("predictor.bin_error", |s| &mut s.predictor.bin_error),
        ("engine.closed.memory_bound.reserve", |s| {
            &mut s.closed_mut().memory_bound.reserve
        }),
        ("engine.closed.memory_bound.smoothing", |s| {
            &mut s.closed_mut().memory_bound.smoothing
        }),
        ("engine.closed.controller.target_s", |s| {
            s.closed_mut().controller.target_s.insert(1.0)
        }),
        ("engine.closed.controller.epsilon_s", |s| {
            &mut s.closed_mut().controller.epsilon_s
        }),
        ("engine.closed.controller.smoothing", |s| {
            &mut s.closed_mut().controller.smoothing
        }),
        ("engine.closed.controller.initial_batch", |s| {
            &mut s.closed_mut().controller.initial_batch
        }),
        ("engine.closed.latency.linear.alpha_s", |s| {
            &mut linear(s).alpha_s
        }),
        ("engine.closed.latency.linear.gamma", |s| {
            &mut linear(s).gamma
        }),
        ("engine.closed.latency.linear.growth", |s| {
            &mut linear(s).growth
        }),
        ("engine.closed.memory.kv_gb_per_token", |s| {
            &mut s.memory_mut().kv_gb_per_token
        }),
        ("engine.closed.memory.margin_gb", |s| {
            &mut s.memory_mut().margin_gb
        }),
        ("sla.token_ms", |s| &mut s.sla.token_ms),
        ("sla.request_s", |s| &mut s.sla.request_s),
    ];
    for (name, field) in fields {
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut scenario = Scenario::default();
            *field(&mut scenario) = wrong;
            match scenario.validate() {
                Err(Error::BadField { field, .. }) => assert_eq!(field, name),
                other => panic!("{name} = {wrong}: {other:?}"),
            }
            // A run refuses it as well.
            assert!(simulate(&Trace::default(), &scenario).is_err());
        }
    }
}

#[test]
fn a_closed_loop_refuses_what_is_about_recorded_arrivals() {
    type Change = fn(&mut Scenario);
    let cases: [(&str, Change); 5] = [
        ("workload.rate_per_s", |s| s.workload.rate_per_s = Some(2.0)),
        ("workload.time_scale", |s| s.workload.time_scale = 200.0),
        ("workload.window_start_s", |s| {
            s.workload.window_start_s = Some(5.0)
        }),
        ("workload.window_end_s", |s| {
            s.workload.window_end_s = Some(5.0)
        }),
        ("workload.ties", |s| s.workload.ties = Ties::PublishedHeap),
    ];
    for (field, change) in cases {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        scenario.validate().unwrap();
        scenario.workload.closed_loop = Some(FIFTY_REQUESTS);
        match scenario.validate() {
            Err(Error::Contradiction { what, why }) => {
                assert_eq!(what, field);
                assert!(why.contains("workload.closed_loop"), "{why}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    for (field, change) in [
        ("users", (|u| u.users = 0) as fn(&mut ClosedLoop)),
        ("users", |u| u.users = 10_000_001),
        ("requests_per_user", |u| u.requests_per_user = 0),
        ("requests_per_user", |u| u.requests_per_user = u32::MAX),
        ("think_min_s", |u| u.think_min_s = -0.5),
        ("think_max_s", |u| u.think_max_s = 1e7),
        // Out of order.
        ("think_max_s", |u| u.think_max_s = 0.25),
    ] {
        let mut scenario = Scenario::default();
        let mut users = FIFTY_REQUESTS;
        change(&mut users);
        scenario.workload.closed_loop = Some(users);
        match scenario.validate() {
            Err(Error::BadField { field: named, .. }) => {
                assert_eq!(named, format!("workload.closed_loop.{field}"));
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    // Of what is not given there is one request, and no think time.
    let users = read(&json!({"workload": {"closed_loop": {"users": 3}}})).unwrap();
    let expected = ClosedLoop {
        users: 3,
        ..ClosedLoop::default()
    };
    assert_eq!(users.workload.closed_loop, Some(expected));
}

#[test]
fn users_take_as_many_rows_as_they_need_and_no_row_twice() {
    // Every third row failed.
    let trace = |rows: u32| Trace {
        name: "some.csv".to_owned(),
        arrival: (0..rows).map(f64::from).collect(),
        prompt: vec![10; rows as usize],
        output: (0..rows).map(|row| u32::from(row % 3 != 0) * 20).collect(),
        ..Trace::default()
    };
    let mut scenario = Scenario::default();
    scenario.workload.closed_loop = Some(FIFTY_REQUESTS);
    // The 50th good row is the 75th.
    for (rows, limit) in [(75, None), (200, None), (200, Some(75))] {
        scenario.workload.limit = limit;
        let outcome = simulate(&trace(rows), &scenario).unwrap();
        let w = &outcome.summary.workload;
        assert_eq!((w.rows_taken, w.rows_failed, w.rows_replayed), (75, 25, 50));
        assert_eq!(w.rows_in_trace, u64::from(rows));
        let mut served = outcome.requests.order.clone();
        served.sort_unstable();
        let good: Vec<u32> = (0..75).filter(|row| row % 3 != 0).collect();
        assert_eq!(served, good);
    }
    for (rows, limit) in [(74, None), (200, Some(74))] {
        scenario.workload.limit = limit;
        match simulate(&trace(rows), &scenario) {
            Err(Error::Contradiction { what, why }) => {
                assert_eq!(what, "workload.closed_loop");
                for part in [
                    "need 50 rows",
                    "some.csv has 49",
                    "74 inside",
                    "25 of them failed",
                ] {
                    assert!(why.contains(part), "{part}: {why}");
                }
            }
            other => panic!("{rows} rows: {other:?}"),
        }
    }
    scenario.workload.failed = batchscope::trace::Failed::Keep;
    scenario.workload.limit = Some(50);
    let outcome = simulate(&trace(200), &scenario).unwrap();
    assert_eq!(outcome.summary.workload.rows_replayed, 50);
    assert_eq!(outcome.summary.honest.failed_replayed, 17);
    // Nothing at all is what it is without users.
    let nothing = simulate(&trace(0), &scenario).unwrap_err();
    assert_eq!(nothing.code(), "empty-trace");
}

#[test]
fn version_1_says_the_same() {
    let step = json!({"linear": {"c0_s": 0.01, "c1_s_per_sequence": 1e-4, "c2_s_per_context_token": 0.0,
        "c3_s_per_prefill_token": 1e-5}});
    for (then, now) in [
        (json!({}), json!({})),
        (
            json!({"engine": "closed"}),
            json!({"engine": {"closed": {}}}),
        ),
        (
            json!({"scheduler": {"policy": "multi-bin", "full_batch": 9,
                "bins": {"boundaries": "fixed", "cuts": [1, 2, 3]}}}),
            json!({"engine": {"closed": {"policy": "multi-bin"}},
                "bins": {"boundaries": "fixed", "cuts": [1, 2, 3], "full_batch": 9}}),
        ),
        (
            json!({"scheduler": {"policy": "static-fifo", "static_batch": 3}}),
            json!({"engine": {"closed": {"policy": "static-fifo", "static_batch": 3}}}),
        ),
        (
            json!({"scheduler": {"max_batch": 7, "bins": {"count": 4}, "memory_bound": {"rule": "off"},
                "controller": {"variant": "off"}}}),
            json!({"engine": {"closed": {"max_batch": 7, "memory_bound": {"rule": "off"},
                "controller": {"variant": "off"}}}, "bins": {"count": 4}}),
        ),
        (
            json!({"latency": {"linear": {"alpha_s": 0.0, "beta_s_per_token": 0.002, "gamma": 0.0}}, "seed": 7}),
            json!({"engine": {"closed": {"latency":
                {"linear": {"alpha_s": 0.0, "beta_s_per_token": 0.002, "gamma": 0.0}}}}, "seed": 7}),
        ),
        (
            json!({"version": 1, "latency": {"steps": step}, "memory": {"margin_gb": 2.0}}),
            json!({"version": 2, "engine": {"closed": {"latency": {"steps": step}, "memory": {"margin_gb": 2.0}}}}),
        ),
        // Memory that is not given is of each engine's usual machine.
        (
            json!({"version": 1, "engine": {"continuous": {"rule": "orca"}}}),
            json!({"engine": {"continuous": {"rule": "orca"}}}),
        ),
        (
            json!({"engine": {"continuous": {"bins": true}}, "scheduler": {"bins": {"count": 4}},
                "memory": {"capacity_gb": 40.0}, "workload": {"limit": 9}, "predictor": {"kind": "oracle"},
                "fleet": {"gpus": 2}, "sla": {"request_s": 5.0}, "trace": {"file": {"name": "a.csv"}}}),
            json!({"engine": {"continuous": {"bins": true, "memory": {"capacity_gb": 40.0}}},
                "bins": {"count": 4}, "workload": {"limit": 9}, "predictor": {"kind": "oracle"},
                "fleet": {"gpus": 2}, "sla": {"request_s": 5.0}, "trace": {"file": {"name": "a.csv"}}}),
        ),
    ] {
        let read = |value: &Value| {
            let scenario = Scenario::from_json(&value.to_string(), "s.json");
            scenario
                .unwrap_or_else(|e| panic!("{value}: {e}"))
                .to_json()
        };
        assert_eq!(read(&then), read(&now), "{then}");
    }
    // What had no effect has none now.
    for (text, field) in [
        (
            r#"{"engine": {"continuous": {}}, "scheduler": {"policy": "dynamic"}}"#,
            "scheduler.policy",
        ),
        (
            r#"{"engine": {"continuous": {}}, "latency": {"linear": {"gamma": 0.5}}}"#,
            "latency",
        ),
        (
            r#"{"scheduler": {"bins": {"full_batch": 9}}}"#,
            "scheduler.bins.full_batch",
        ),
        (
            r#"{"engine": {"continuous": {"memory": {"capacity_gb": 20}}}, "memory": {"capacity_gb": 80}}"#,
            "memory",
        ),
    ] {
        match Scenario::from_json(text, "s.json") {
            Err(Error::Contradiction { what, .. }) => assert_eq!(what, field),
            other => panic!("{text}: {other:?}"),
        }
    }
    // Each version has its own fields.
    for text in [
        r#"{"version": 1, "bins": {"count": 4}}"#,
        r#"{"version": 2, "scheduler": {"policy": "dynamic"}}"#,
        r#"{"memory": {"capacity_gb": null}}"#,
        // Both at once.
        r#"{"engine": {"closed": {}}, "memory": {"capacity_gb": 20}}"#,
        r#"{"bins": {"count": 4}, "scheduler": {"policy": "dynamic"}}"#,
    ] {
        let refused = Scenario::from_json(text, "s.json");
        assert!(
            matches!(refused, Err(Error::BadScenario { line: 1, .. })),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn other_versions_and_broken_texts_are_refused() {
    match read(&json!({"version": 3})) {
        Err(Error::BadField { field, value, .. }) => {
            assert_eq!((field.as_str(), value.as_str()), ("version", "3"));
        }
        other => panic!("{other:?}"),
    }
    for (text, line, column) in [
        ("", 1, 0),
        ("{\n  \"seed\": 1,\n}", 3, 1),
        ("{} {}", 1, 4),
        ("{\"seed\": 1, \"seed\": 2}", 1, 18),
    ] {
        match Scenario::from_json(text, "s.json") {
            Err(Error::BadScenario {
                line: l,
                column: c,
                file,
                ..
            }) => {
                assert_eq!((file.as_str(), l, c), ("s.json", line, column), "{text:?}");
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..200u32).prop_map(Value::from),
        (0.0..2.0f64).prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "fixed",
            "off",
            "exact",
            "oracle",
            "dynamic",
            "multi-bin",
            "keep",
            "longest-queue",
            "published-heap",
            "exponential-optimal",
            "file",
            "custom",
            "linear",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(
                (prop::sample::select(vec!["kind", "name", "x"]), inner),
                0..3
            )
            .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_number_reads_back_to_the_bit(
        mut scenario in arbitrary::scenario(&[batchscope::trace::predict::Kind::Noisy]),
    ) {
        scenario.reset_without_effect();
        prop_assert_eq!(Scenario::from_json(&scenario.to_json(), "s.json").unwrap(), scenario);
    }

    #[test]
    fn no_text_panics_and_what_is_accepted_runs(
        example in 0..9usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..5),
    ) {
        let mut value: Value = serde_json::from_str(&examples()[example].to_json()).unwrap();
        for (place, new) in changes {
            let all = pointers(&value);
            if !all.is_empty() {
                *value.pointer_mut(place.get::<String>(&all)).unwrap() = new;
            }
        }
        if let Ok(scenario) = read(&value) {
            let again = Scenario::from_json(&scenario.to_json(), "s.json");
            prop_assert_eq!(again.as_ref().ok(), Some(&scenario));
            let trace = Trace {
                arrival: vec![0.0, 0.0, 1.5, 2.0, 3.0],
                prompt: vec![0, 10, 2000, 60_000, 1],
                output: vec![0, 1, 300, 20, 9],
                ..Trace::default()
            };
            if let Ok(outcome) = simulate(&trace, &scenario) {
                prop_assert_eq!(
                    outcome.batches.size.iter().sum::<u32>() as usize,
                    outcome.requests.order.len()
                );
            }
        }
    }
}

#[test]
fn a_list_is_no_group_of_settings() {
    for (text, at, line, column) in [
        ("[]", "", 1, 1),
        ("{\n \"fleet\": [3]}", "fleet", 2, 11),
        (r#"{"fleet":["x"]}"#, "fleet", 1, 10),
        (r#"{"trace":{"synthetic":[]}}"#, "trace.synthetic", 1, 23),
        (r#"{"trace":{"file":["a.csv"]}}"#, "trace.file", 1, 18),
        (r#"{"latency":{"linear":[1,2]}}"#, "latency.linear", 1, 22),
        (
            r#"{"engine":{"closed":{"latency":{"linear":[1,2]}}}}"#,
            "engine.closed.latency.linear",
            1,
            42,
        ),
        (
            r#"{"workload":{"closed_loop":[1,2,3,4]}}"#,
            "workload.closed_loop",
            1,
            28,
        ),
    ] {
        let wanted = Error::BadScenario {
            file: "s.json".to_owned(),
            line,
            column,
            field: at.to_owned(),
            problem: "expected an object, found a list".to_owned(),
        };
        assert_eq!(Scenario::from_json(text, "s.json"), Err(wanted), "{text}");
    }
    // As deep as a reader's stack would not be.
    let deep = format!("{}[]{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    assert!(Scenario::from_json(&deep, "s.json").is_err());
}

#[test]
fn refusals_speak_of_json() {
    for (text, wanted) in [
        ("5", "expected an object, found 5"),
        (r#"{"fleet":null}"#, "expected an object, found null"),
        (
            r#"{"fleet":{"gpus":[1]}}"#,
            "expected a whole number from 1 to 4096, found a list",
        ),
        (
            r#"{"fleet":{"gpus":1.5}}"#,
            "expected a whole number from 1 to 4096, found 1.5",
        ),
        (
            r#"{"sla":{"token_ms":"30"}}"#,
            "expected a number, found \"30\"",
        ),
        (
            r#"{"bins":{"cuts":{}}}"#,
            "expected a list, found an object",
        ),
        (
            r#"{"engine":{"closed":{"policy":5}}}"#,
            "expected a name or an object",
        ),
        (
            r#"{"trace":"synthetic"}"#,
            "expected an object, found the name alone",
        ),
    ] {
        match Scenario::from_json(text, "s.json") {
            Err(Error::BadScenario { problem, .. }) => assert_eq!(problem, wanted, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

/// A list with another name would be taken for a group by the reader of scenarios.
#[test]
fn the_lists_of_a_scenario_are_known() {
    fn lists(name: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(_) => found.push(name.to_owned()),
            Value::Object(fields) => {
                for (name, value) in fields {
                    lists(name, value, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for example in examples() {
        let json = serde_json::to_value(example).unwrap();
        lists("", &json, &mut found);
    }
    found.sort();
    found.dedup();
    assert_eq!(found, ["cuts", "values", "weights"]);
}

/// The versions of the published program (docs/MODEL.md), a line each: name; controller; its feed;
/// D, s; eps, s; boundaries and how many predictions; caps; token violations; time scale.
const VERSIONS: &str = "\
real-time nov24 service 1 0.1 equal-mass-predictions 5000 false end-to-end 1
three-step nov24 service 1 0.1 equal-mass-predictions 5000 false end-to-end 200
real-time-afternoon nov24 total 0.05 0.01 equal-mass-predictions 5000 false end-to-end 1
real-time-evening nov24 total 0.05 0.01 equal-mass-predictions 5000 false batch-tbt 1
two-step nov29 total 0.05 0.005 equal-mass-outputs 10000 false batch-tbt 200
stress-v2 nov29 total 0.03 0.005 equal-mass-outputs 10000 false batch-tbt 200
v3 nov29 total 0.03 0.01 equal-mass-predictions 4294967295 true batch-tbt 200
v4-first nov29 total 0.01 0.005 equal-mass-predictions 4294967295 true decode-step 200
v4-fixed nov29 decode 0.01 0.01 equal-mass-predictions 4294967295 true decode-step 200
v4 nov29 decode 0.01 0.001 equal-mass-predictions 4294967295 true decode-step 100
v4-low nov29 decode 0.01 0.001 equal-mass-predictions 4294967295 true decode-step 10
v4-ultra-low nov29 decode 0.01 0.001 equal-mass-predictions 4294967295 true decode-step 1
seeds nov29 decode 0.01 0.005 equal-mass-predictions 4294967295 true decode-step 10
december nov29 decode 0.01 0.005 equal-mass-predictions 4294967295 true decode-step 10
last-commit nov29 decode 0.01 0.005 equal-mass-predictions 4294967295 true decode-step 10
";

#[test]
fn every_version_of_the_published_program_is_a_preset() {
    let mut lines = String::new();
    for preset in Preset::ALL {
        assert_eq!(Preset::named(preset.name()), Some(preset));
        let scenario = preset.scenario();
        scenario.validate().unwrap();
        let json = serde_json::to_value(&scenario).unwrap();
        let word = |pointer: &str| match json.pointer(pointer).unwrap() {
            Value::String(word) => word.clone(),
            value => value.to_string(),
        };
        let d = scenario.closed().unwrap().controller.target_s;
        lines += &format!(
            "{} {} {} {} {} {} {} {} {} {}\n",
            preset.name(),
            word("/engine/closed/controller/variant"),
            word("/engine/closed/controller/feedback"),
            d.unwrap_or(scenario.sla.token_ms / 1e3),
            word("/engine/closed/controller/epsilon_s"),
            word("/bins/boundaries"),
            word("/bins/sample_size"),
            word("/bins/batch_caps"),
            word("/sla/published_token_rule"),
            scenario.workload.time_scale,
        );
        let ties = match preset.name() {
            "real-time" => "published-heap-ascending",
            _ => "published-heap",
        };
        assert_eq!(word("/workload/ties"), ties);
        let floor = match preset.name() {
            "december" | "last-commit" => "at-formation",
            name if name.starts_with("real-time") || name == "three-step" => "off",
            _ => "at-last-end",
        };
        assert_eq!(word("/engine/closed/controller/running_floor"), floor);
    }
    assert_eq!(lines, VERSIONS);
    assert_eq!(Preset::named("v5"), None);
}

/// Requests with ties, failures, log types, sessions and prefix hashes.
fn odd_requests() -> Trace {
    let rows = 0..60u32;
    let mut text = String::new();
    for i in rows {
        let output = if i % 9 == 4 { 0 } else { 3 + i * 7 % 50 };
        let prompt = 64 + i * 13 % 60;
        let hashes = [i % 5, 100 + i % 12, 1000 + i, 2000 + i];
        text += &format!(
            "{{\"arrival_s\": {}, \"prompt_tokens\": {prompt}, \"output_tokens\": {output}, \"log_type\": \"{}\", \
             \"hash_ids\": {:?}}}\n",
            f64::from(i / 3) * 0.05,
            if i % 4 == 1 { "chat" } else { "api" },
            &hashes[..prompt.div_ceil(32) as usize],
        );
    }
    let reading = batchscope::trace::Reading {
        hash_tokens: Some(32),
        ..Default::default()
    };
    batchscope::trace::read_as(Box::new(text.as_bytes()), "odd.jsonl", &reading).unwrap()
}

/// Everything that a run leaves, but for the scenario that it repeats: digests of the columns, and the summary.
fn left_by(trace: &Trace, scenario: &Scenario) -> Result<Value, Error> {
    let outcome = simulate(trace, scenario)?;
    let mut digests = outcome.digests();
    let mut summary = serde_json::to_value(&outcome.summary).unwrap();
    summary.as_object_mut().unwrap().remove("scenario");
    digests.remove("summary");
    Ok(json!([digests, summary]))
}

fn merged(base: &Value, change: &Value) -> Value {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            let mut all = base.clone();
            for (key, value) in change {
                let old = all.get(key).cloned().unwrap_or(Value::Null);
                all.insert(key.clone(), merged(&old, value));
            }
            Value::Object(all)
        }
        _ => change.clone(),
    }
}

/// `{"a": {"b": value}}` of "a.b".
fn at(path: &str, value: &Value) -> Value {
    path.rsplit('.')
        .fold(value.clone(), |inner, name| json!({ name: inner }))
}

/// A setting that a scenario ignores: scenario, field, a value other than its default, words of the reason.
type Ignored = (Value, &'static str, Value, &'static str);

/// Every row of src/scenario/effect.rs, each of its reasons at least once.
fn ignored() -> Vec<Ignored> {
    let file = json!({"trace": {"file": {"name": "odd.jsonl"}}});
    let policy = |name: &str| json!({"engine": {"closed": {"policy": name}}});
    let fifo = policy("static-fifo");
    let dynamic = policy("dynamic");
    let full = policy("multi-bin");
    let own = policy("multi-bin-dynamic");
    let one_bin = json!({"bins": {"count": 1}});
    let boundaries = |name: &str| json!({"bins": {"boundaries": name}});
    let predictor = |kind: &str| json!({"predictor": {"kind": kind}});
    let server = |settings: Value| json!({"engine": {"continuous": settings}});
    let vllm = server(json!({}));
    // 13 blocks of 16 tokens: requests are preempted.
    let tight = server(
        json!({"kv": {"capacity": {"blocks": 13}}, "admission": {"whole_prompt_fits": false}}),
    );
    let roomy = server(json!({"kv": {"capacity": "unlimited"}}));
    let sjf = server(json!({"order": "sjf", "kv": {"capacity": {"blocks": 13}}}));
    let classes = |level: f64, deadline_s: Value| json!([{"label": "chat", "level": level, "deadline_s": deadline_s}]);
    let custom = json!({"trace": {"synthetic": {"requests": 60, "shape": {"custom": {
        "arrivals": {"poisson": {"rate": 2.0}}, "prompt": {"fixed": {"tokens": 9}},
        "output": {"fixed": {"tokens": 9}}, "failed_share": 0.0}}}}});
    let once = json!({"workload": {"closed_loop":
        {"users": 20, "requests_per_user": 1, "think_min_s": 0.0, "think_max_s": 0.0}}});
    let off = json!({"engine": {"closed": {"controller": {"variant": "off"}}}});
    let nov24 = json!({"engine": {"closed": {"controller": {"variant": "nov24"}}}});
    let rule = |name: &str| json!({"engine": {"closed": {"memory_bound": {"rule": name}}}});
    let one_gpu = json!({"fleet": {"gpus": 1}});
    let continuous = "of continuous batching";
    let no_bins = "has no bins";
    let fixed_size = "batches of a fixed size";

    #[rustfmt::skip]
    let mut all = vec![
        (file.clone(), "trace.file.hash_tokens", json!(16), "no prefix cache"),
        (merged(&file, &vllm), "trace.file.hash_tokens", json!(16), "no block is shared by hashes"),
        (json!({"workload": {"rate_per_s": 3.0}}), "workload.time_scale", json!(5.0), "workload.rate_per_s"),
        (custom, "workload.failed", json!("keep"), "failed_share is 0"),
        (merged(&once, &json!({"workload": {"closed_loop": {"think_max_s": 0.0}}})), "workload.closed_loop.think_max_s", json!(2.0), "one request"),
        (merged(&file, &fifo), "seed", json!(7), "nothing of this run is random"),
        (merged(&merged(&file, &own), &predictor("oracle")), "seed", json!(7), "nothing of this run is random"),
        (merged(&file, &tight), "seed", json!(7), "nothing of this run is random"),
        (fifo.clone(), "predictor.kind", json!("oracle"), "static-fifo does not look at predictions"),
        (tight.clone(), "predictor.kind", json!("oracle"), "this server does not look at predictions"),
        (dynamic.clone(), "predictor.sigma", json!(0.5), "dynamic does not look at predictions"),
        (predictor("oracle"), "predictor.sigma", json!(0.5), "oracle makes no such error"),
        (fifo.clone(), "predictor.bin_error", json!(0.1), no_bins),
        (sjf.clone(), "predictor.bin_error", json!(0.1), "does not sort requests into bins"),
        (predictor("published"), "predictor.bin_error", json!(0.1), "only the predictor noisy"),
        (one_bin.clone(), "predictor.bin_error", json!(0.1), "one bin"),
        (json!({}), "predictor.exponent", json!(0.5), "noisy starts from the true output"),
        (predictor("oracle"), "predictor.scale", json!(2.5), "oracle starts from the true output"),
        (fifo.clone(), "predictor.max_tokens", json!(99), "does not look at predictions"),
        (full.clone(), "engine.closed.static_batch", json!(3), "bins.full_batch"),
        (dynamic.clone(), "engine.closed.static_batch", json!(3), "sizes its batches itself"),
        (fifo.clone(), "bins.full_batch", json!(3), "engine.closed.static_batch"),
        (own.clone(), "bins.full_batch", json!(3), "sizes its batches itself"),
        (merged(&own, &merged(&one_bin, &boundaries("exponential-optimal"))), "bins.full_batch", json!(3), "sizes its batches itself"),
        (sjf.clone(), "bins.full_batch", json!(3), "does not sort"),
        (server(json!({"bins": true})), "bins.full_batch", json!(3), "exponential-optimal"),
        (fifo.clone(), "engine.closed.max_batch", json!(3), fixed_size),
        (full.clone(), "engine.closed.max_batch", json!(3), fixed_size),
        (dynamic.clone(), "bins.count", json!(3), no_bins),
        (boundaries("fixed"), "bins.count", json!(3), "bins.cuts"),
        (sjf.clone(), "bins.count", json!(3), "engine.continuous.bins"),
        (fifo.clone(), "bins.boundaries", json!("equal-width"), no_bins),
        (sjf.clone(), "bins.boundaries", json!("fixed"), "engine.continuous.bins"),
        (full.clone(), "bins.served", json!("longest-queue"), "in which they filled"),
        (one_bin.clone(), "bins.served", json!("longest-queue"), "one bin"),
        (server(json!({"bins": true})), "bins.served", json!("longest-queue"), continuous),
        (json!({}), "bins.sample_rows", json!(9), "do not look at outputs"),
        (merged(&one_bin, &boundaries("equal-mass-outputs")), "bins.sample_rows", json!(9), "one bin"),
        (boundaries("fixed"), "bins.sample_size", json!(9), "not fitted to a sample"),
        (one_bin.clone(), "bins.sample_size", json!(9), "one bin"),
        (json!({}), "bins.cuts", json!([5]), "make their own cuts"),
        (fifo.clone(), "bins.last_upper", json!(500), no_bins),
        (sjf.clone(), "bins.last_upper", json!(500), "does not sort"),
        (boundaries("fixed"), "bins.below_range_to_last", json!(true), "begins at 0"),
        (boundaries("exponential-optimal"), "bins.below_range_to_last", json!(true), "begins at 0"),
        (one_bin.clone(), "bins.below_range_to_last", json!(true), "one bin"),
        (full.clone(), "bins.batch_caps", json!(true), "only the scheduler multi-bin-dynamic"),
        (server(json!({"bins": true})), "bins.batch_caps", json!(true), continuous),
        (rule("exact"), "engine.closed.memory_bound.reserve", json!(0.5), "of the rule published"),
        (rule("published"), "engine.closed.memory_bound.overflow_probability", json!(0.5), "of the rule exact"),
        (rule("off"), "engine.closed.memory_bound.overflow_probability", json!(0.5), "of the rule exact"),
        (rule("published"), "engine.closed.memory_bound.initial_sd_tokens", json!(5.0), "of the rule exact"),
        (rule("off"), "engine.closed.memory_bound.smoothing", json!(0.5), "memory_bound.rule is off"),
        (rule("off"), "engine.closed.memory_bound.initial_prompt_tokens", json!(5.0), "memory_bound.rule is off"),
        (rule("off"), "engine.closed.memory_bound.initial_output_tokens", json!(5.0), "memory_bound.rule is off"),
        (rule("off"), "engine.closed.memory_bound.at_least_running", json!(true), "memory_bound.rule is off"),
        (one_gpu.clone(), "engine.closed.memory_bound.at_least_running", json!(true), "there is one GPU"),
        (one_gpu, "engine.closed.controller.running_floor", json!("at-last-end"), "there is one GPU"),
        (nov24.clone(), "engine.closed.controller.alpha", json!(40), "neither alpha nor delta"),
        (nov24.clone(), "engine.closed.controller.delta", json!(40), "neither alpha nor delta"),
        (nov24, "engine.closed.controller.band_from_delta", json!(true), "neither alpha nor delta"),
        (tight.clone(), "sla.published_token_rule", json!("end-to-end"), continuous),
        (tight.clone(), "engine.continuous.memory.capacity_gb", json!(60.0), "kv.capacity says how many"),
        (roomy.clone(), "engine.continuous.memory.model_gb", json!(10.0), "kv.capacity is unlimited"),
        (tight.clone(), "engine.continuous.memory.margin_gb", json!(2.0), "kv.capacity says how many"),
        (tight.clone(), "engine.continuous.ageing_per_s", json!(3.0), "fcfs does not age"),
        (merged(&tight, &server(json!({"order": "edf", "classes": classes(0.0, json!(1.0))}))), "engine.continuous.ageing_per_s", json!(3.0), "edf does not age"),
        (tight.clone(), "engine.continuous.classes", classes(1.0, json!(1.0)), "fcfs does not look at classes"),
        (sjf.clone(), "engine.continuous.classes", classes(1.0, json!(1.0)), "sjf does not look at classes"),
        (tight.clone(), "engine.continuous.bin_patience_s", json!(0.5), "engine.continuous.bins is false"),
        (merged(&server(json!({"bins": true})), &one_bin), "engine.continuous.bin_patience_s", json!(0.5), "one bin"),
        (server(json!({"rule": "orca"})), "engine.continuous.long_prefill_token_threshold", json!(20), "whole prompts"),
        (server(json!({"max_sequences": 4, "max_batched_tokens": 48})), "engine.continuous.long_prefill_token_threshold", json!(50), "max_batched_tokens"),
        (roomy.clone(), "engine.continuous.kv.null_block", json!(true), "unlimited"),
        (roomy.clone(), "engine.continuous.kv.watermark", json!(0.25), "unlimited"),
        (roomy.clone(), "engine.continuous.kv.preemption", json!({"swap": {"gb_per_s": 1.0}}), "unlimited"),
        (roomy.clone(), "engine.continuous.admission.reject_too_long", json!(true), "unlimited"),
        (roomy.clone(), "engine.continuous.admission.whole_prompt_fits", json!(false), "unlimited"),
        (vllm.clone(), "engine.continuous.kv.prefix.eviction", json!("lfu"), "prefix cache is off"),
        (tight.clone(), "engine.continuous.kv.prefix.eviction_s", json!(0.5), "prefix cache is off"),
        (merged(&roomy, &server(json!({"kv": {"prefix": {"reuse": "hashes"}}}))), "engine.continuous.kv.prefix.eviction", json!("lfu"), "unlimited"),
        (merged(&roomy, &server(json!({"kv": {"prefix": {"reuse": "own"}}}))), "engine.continuous.kv.prefix.eviction_s", json!(0.5), "unlimited"),
    ];
    for rule in ["sarathi", "orca"] {
        let base = server(json!({"rule": rule, "kv": {"capacity": {"blocks": 13}}}));
        all.push((
            base,
            "engine.continuous.admission.whole_prompt_fits",
            json!(false),
            rule,
        ));
    }
    for router in ["round-robin", "random", "power-of-two"] {
        let base = merged(&tight, &json!({"fleet": {"gpus": 1}}));
        all.push((
            base,
            "engine.continuous.router",
            json!(router),
            "one replica",
        ));
    }
    // All of the two dynamic schedulers, with those that have neither bound nor controller.
    for (field, value) in [
        ("memory_bound.rule", json!("exact")),
        ("memory_bound.reserve", json!(0.5)),
        ("memory_bound.overflow_probability", json!(0.25)),
        ("memory_bound.smoothing", json!(0.5)),
        ("memory_bound.initial_prompt_tokens", json!(5.0)),
        ("memory_bound.initial_output_tokens", json!(5.0)),
        ("memory_bound.initial_sd_tokens", json!(5.0)),
        ("memory_bound.at_least_running", json!(true)),
        ("controller.variant", json!("paper")),
        ("controller.feedback", json!("decode")),
        ("controller.target_s", json!(0.5)),
        ("controller.epsilon_s", json!(0.5)),
        ("controller.alpha", json!(40)),
        ("controller.delta", json!(40)),
        ("controller.smoothing", json!(0.5)),
        ("controller.initial_batch", json!(5.0)),
        ("controller.warmup_batches", json!(30)),
        ("controller.running_floor", json!("off")),
        ("controller.band_from_delta", json!(true)),
    ] {
        let field: &'static str = format!("engine.closed.{field}").leak();
        all.push((fifo.clone(), field, value.clone(), fixed_size));
        all.push((full.clone(), field, value.clone(), fixed_size));
        if field.contains("controller") && !field.ends_with("variant") {
            all.push((off.clone(), field, value, "controller.variant is off"));
        }
    }
    all
}

#[test]
fn a_setting_without_effect_is_refused_and_its_reason_is_true() {
    let odd = odd_requests();
    let mut shown: Vec<&str> = vec![
        // Parts of lists, and a pair that is set together: below.
        "engine.continuous.classes.level",
        "engine.continuous.classes.deadline_s",
        "workload.closed_loop.think_min_s",
    ];
    let (mut wrong, mut preemptions) = (Vec::new(), 0);
    for (base, field, value, words) in ignored() {
        let said = format!("{field} = {value} in {base}");
        let without = read(&base).unwrap_or_else(|e| panic!("{said}: {e}"));
        let reasons = ["would have no effect", words, "leave it out"];
        match read(&merged(&base, &at(field, &value))) {
            Err(Error::Contradiction { what, why })
                if what == field && reasons.iter().all(|part| why.contains(part)) => {}
            other => wrong.push(format!("{said}: {:?}", other.err())),
        }
        // As the page has it: read without the check.
        let complete = serde_json::to_value(&without).unwrap();
        let mut with: Scenario =
            serde_json::from_value(merged(&complete, &at(field, &value))).unwrap();
        // The generated trace without failed requests counts by itself.
        let generated = match &without.trace {
            Source::Synthetic(own) if own.requests == 60 => own.generate(without.seed).ok(),
            _ => None,
        };
        let trace = generated.as_ref().unwrap_or(&odd);
        let outcomes =
            [&with, &without].map(|s| left_by(trace, s).unwrap_or_else(|e| panic!("{said}: {e}")));
        if with == without || outcomes[0] != outcomes[1] {
            wrong.push(format!("{said}: it changes nothing, or the outcome"));
        }
        let continuous = &outcomes[0][1]["continuous"];
        preemptions += continuous["preemptions"].as_u64().unwrap_or(0);
        let found: Vec<&str> = with.without_effect().iter().map(|f| f.0).collect();
        with.reset_without_effect();
        if found != [field] || with != without {
            wrong.push(format!("{said}: without effect are {found:?}"));
        }
        shown.push(field);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        preemptions > 100,
        "{preemptions}: memory is plenty, and its settings decide nothing"
    );
    let mut fields = Scenario::fields_at_times_without_effect();
    fields.sort_unstable();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(fields, shown);
}

#[test]
fn parts_of_a_class_and_think_times_without_effect_are_refused() {
    let trace = odd_requests();
    for (order, class, field) in [
        (
            "priority",
            json!({"label": "chat", "level": 2.0, "deadline_s": 3.0}),
            "deadline_s",
        ),
        (
            "edf",
            json!({"label": "chat", "level": 2.0, "deadline_s": 3.0}),
            "level",
        ),
    ] {
        let settings =
            json!({"order": order, "classes": [class], "kv": {"capacity": {"blocks": 13}}});
        let scenario = json!({"engine": {"continuous": settings}});
        match read(&scenario) {
            Err(Error::Contradiction { what, why }) => {
                assert_eq!(what, format!("engine.continuous.classes.{field}"));
                assert!(why.contains(order), "{why}");
            }
            other => panic!("{order}: {other:?}"),
        }
        let all: Scenario = serde_json::from_value(scenario).unwrap();
        let mut without = all.clone();
        without.reset_without_effect();
        assert_ne!(all, without);
        assert_eq!(
            left_by(&trace, &all).unwrap(),
            left_by(&trace, &without).unwrap()
        );
    }
    let users =
        json!({"users": 20, "requests_per_user": 1, "think_min_s": 1.0, "think_max_s": 2.0});
    match read(&json!({"workload": {"closed_loop": users}})) {
        Err(Error::Contradiction { what, .. }) => {
            assert_eq!(what, "workload.closed_loop.think_min_s")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_predicts_and_does_not_sort_has_no_bins() {
    let trace = odd_requests();
    for (settings, sorts) in [
        (json!({"order": "sjf"}), false),
        (json!({"router": "least-work"}), false),
        (json!({"order": "sjf", "bins": true}), true),
        (json!({"router": "bin-affinity"}), true),
    ] {
        let scenario = read(&json!({"engine": {"continuous": settings}})).unwrap();
        let outcome = simulate(&trace, &scenario).unwrap();
        let prediction = outcome.summary.honest.prediction.unwrap();
        assert!(prediction.mean_abs_error_tokens > 0.0);
        assert_eq!(prediction.bin_accuracy.is_some(), sorts, "{settings}");
        assert_eq!(outcome.summary.bins.len(), if sorts { 8 } else { 0 });
    }
}

/// Servers of every kind on a small fleet, memory short and plenty.
fn any_server() -> impl Strategy<Value = Value> {
    let word = |all: &'static [&'static str]| prop::sample::select(all).prop_map(Value::from);
    let batching = (
        word(&["vllm", "sarathi", "orca"]),
        word(&["fcfs", "sjf", "edf", "priority"]),
        prop::sample::select(vec![0.0, 2.0]),
        prop::sample::select(vec![
            json!([]),
            json!([{"label": "chat", "level": 1.0}]),
            json!([{"label": "chat", "deadline_s": 0.5}]),
            json!([{"label": "api", "level": -1.0, "deadline_s": 9.0}]),
        ]),
        any::<bool>(),
        prop::sample::select(vec![0.0, 0.1, 2.0]),
        prop::sample::select(vec![0, 8, 40, 64, 500]),
        any::<bool>(),
    );
    let cache = (
        prop::sample::select(vec![
            json!("unlimited"),
            json!({"blocks": 14}),
            json!({"blocks": 40}),
            json!("memory"),
        ]),
        any::<bool>(),
        prop::sample::select(vec![0.0, 0.2]),
        prop::sample::select(vec![json!("recompute"), json!({"swap": {"gb_per_s": 1.0}})]),
        word(&["off", "own", "hashes"]),
        word(&["lru", "lfu"]),
        prop::sample::select(vec![0.0, 0.001]),
        any::<bool>(),
        any::<bool>(),
    );
    let rest = (
        word(&[
            "round-robin",
            "random",
            "least-requests",
            "least-work",
            "power-of-two",
            "bin-affinity",
        ]),
        1..4u32,
        word(&["published", "oracle", "noisy", "prompt-only"]),
        prop::sample::select(vec![0.0, 0.3]),
        prop::sample::select(vec![1, 3]),
        word(&[
            "equal-mass-outputs",
            "equal-mass-predictions",
            "equal-width",
            "fixed",
            "exponential-optimal",
        ]),
        any::<bool>(),
        prop::sample::select(vec![
            json!(null),
            json!({"draft_tokens": 2, "acceptance": [0.6]}),
        ]),
        any::<u32>(),
    );
    (batching, cache, rest).prop_map(|(b, c, r)| {
        json!({
            "trace": {"file": {"name": "odd.jsonl", "hash_tokens": 32}},
            "fleet": {"gpus": r.1},
            "seed": r.8,
            "predictor": {"kind": r.2, "sigma": r.3, "bin_error": r.3 / 2.0},
            "bins": {"count": r.4, "boundaries": r.5, "sample_rows": 20, "sample_size": 9, "cuts": [20],
                "last_upper": 40, "below_range_to_last": r.6, "served": "longest-queue", "batch_caps": true,
                "full_batch": 3},
            "sla": {"published_token_rule": "end-to-end", "request_s": 1.0},
            "engine": {"continuous": {
                "rule": b.0, "order": b.1, "ageing_per_s": b.2, "classes": b.3, "bins": b.4, "bin_patience_s": b.5,
                "long_prefill_token_threshold": b.6, "async_scheduling": b.7,
                "max_sequences": 8, "max_batched_tokens": 64,
                "memory": {"capacity_gb": 60.0, "model_gb": 59.0, "margin_gb": 0.5},
                "kv": {"capacity": c.0, "null_block": c.1, "watermark": c.2, "preemption": c.3,
                    "prefix": {"reuse": c.4, "eviction": c.5, "eviction_s": c.6}},
                "admission": {"whole_prompt_fits": c.7, "reject_too_long": c.8},
                "router": r.0, "speculative": r.7,
            }},
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_has_no_effect_leaves_closed_batches_as_they_are(
        trace in arbitrary::trace(1..=80),
        scenario in arbitrary::scenario(&[
            batchscope::trace::predict::Kind::Noisy,
            batchscope::trace::predict::Kind::Oracle,
            batchscope::trace::predict::Kind::Published,
            batchscope::trace::predict::Kind::PromptOnly,
        ]),
        users in prop::option::weighted(0.25, arbitrary::closed_loop()),
    ) {
        let mut scenario = scenario;
        if let Some(users) = users {
            scenario.workload = arbitrary::by_users(scenario.workload, users);
        }
        scenario.trace = Source::file("random");
        let mut without = scenario.clone();
        without.reset_without_effect();
        prop_assert!(without.without_effect().is_empty());
        prop_assert_eq!(left_by(&trace, &scenario).ok(), left_by(&trace, &without).ok());
    }

    #[test]
    fn what_has_no_effect_leaves_continuous_batching_as_it_is(settings in any_server()) {
        let scenario: Scenario = serde_json::from_value(settings).unwrap();
        let mut without = scenario.clone();
        without.reset_without_effect();
        prop_assert!(without.without_effect().is_empty());
        let trace = odd_requests();
        prop_assert_eq!(left_by(&trace, &scenario).ok(), left_by(&trace, &without).ok());
    }
}
