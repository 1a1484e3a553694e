//! The contract study: its files byte for byte, the judgement of a measured report, refusals.
//! `BATCHSCOPE_UPDATE=1 cargo test --test studies contract` rewrites the files.

use crate::support::program::program;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::support::studies::{all_but_figures, outcome, run, same_as_golden};
use batchscope::latency::Latency;
use batchscope::published::contract::{Contract, Measured, Metric, Sample, Workload, measured};
use batchscope::published::server::Server;
use batchscope::published::{Execution, Study};
use batchscope::report::document::{Content, File};
use batchscope::report::figure::{Form, Plot, Scale};
use batchscope::scenario::Engine;
use batchscope::sched::Closed;
use batchscope::{Error, Scenario, report};
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/studies/contract")
        .join(name)
}

/// The study's files, every scenario run here.
fn files(contract: Contract) -> Result<Vec<File>, Error> {
    let mut execution = Execution::new(Study::Contract(contract), 1)?;
    while !execution.pending().is_empty() {
        let outcomes = execution.pending().iter().map(outcome).collect();
        execution.take(outcomes)?;
    }
    execution.files()
}

/// The study on closed batches, of which nobody knows what fails and what a cache finds.
fn closed() -> Contract {
    Contract {
        server: Server::default(),
        ..Contract::default()
    }
}

fn text(files: &[File]) -> &str {
    files
        .iter()
        .find_map(|file| match &file.content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .unwrap()
}

fn json_of(files: &[File]) -> &Value {
    files
        .iter()
        .find_map(|file| match &file.content {
            Content::Json(value) => Some(value),
            _ => None,
        })
        .unwrap()
}

fn judged(sample: &Measured) -> Value {
    let contract = Contract {
        measured: Some(sample.clone()),
        ..closed()
    };
    json_of(&files(contract).unwrap()).clone()
}

/// The published report's numbers, hand-written there: docs/MODEL.md, "Studies".
fn published_sample() -> Measured {
    let text = fs::read_to_string(golden("published_sample.json")).unwrap();
    measured::read(&text, "published_sample.json").unwrap()
}

/// Compares the documents with the tracked files of a folder; figures are drawn elsewhere.
fn compare(folder: &str, files: &[File]) {
    same_as_golden(
        files,
        &format!("contract/{folder}"),
        &all_but_figures(files),
    );
}

#[test]
fn the_files_of_a_simulated_contract() {
    let contract = Contract {
        workloads: vec![Workload::Short, Workload::Stress],
        ..closed()
    };
    compare("simulated", &files(contract).unwrap());
}

#[test]
fn the_files_of_the_usual_server() {
    compare("continuous", &files(Contract::default()).unwrap());
}

#[test]
fn every_metric_of_the_published_report_is_simulated() {
    let published = published_sample();
    let files = files(Contract::default()).unwrap();
    let workloads = json_of(&files)["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), Workload::ALL.len());
    let printed: BTreeSet<Metric> = published
        .samples
        .iter()
        .flat_map(|sample| sample.values.keys().copied())
        .collect();
    assert!(printed.contains(&Metric::SpeculativeAcceptRate) && printed.len() > 15);
    for row in workloads {
        for metric in &printed {
            assert!(row[metric.name()].is_number(), "{metric:?}: {row}");
        }
        // What stands in the cache is never more than at the peak.
        let number = |metric: Metric| row[metric.name()].as_f64().unwrap();
        assert!(number(Metric::MemoryAvgMb) <= number(Metric::MemoryPeakMb));
        assert_eq!(number(Metric::Failed), 0.0);
        let rate = number(Metric::SpeculativeAcceptRate);
        // Of three proposed tokens 0.7, 0.7^2 and 0.7^3 are accepted on average.
        assert!((rate - (0.7 + 0.49 + 0.343) / 3.0).abs() < 0.1, "{rate}");
    }
    for verdict in json_of(&files)["verdicts"].as_array().unwrap() {
        let words = verdict["verdict"].as_str().unwrap();
        assert!(!words.contains("cannot be judged"), "{verdict}");
    }
}

#[test]
fn the_files_of_the_published_sample() {
    let contract = Contract {
        measured: Some(published_sample()),
        ..closed()
    };
    compare("measured", &files(contract).unwrap());
}

#[test]
fn simulated_values_are_those_of_the_closed_forms() {
    let files = files(closed()).unwrap();
    let Latency::Linear(model) = Latency::default() else {
        panic!("another latency");
    };
    let (alpha, beta) = (model.alpha_s, model.beta_s_per_token);
    let workloads = json_of(&files)["workloads"].as_array().unwrap();
    let near = |row: &Value, name: &str, expected: f64| {
        let got = row[name].as_f64().unwrap();
        assert!(
            (got - expected).abs() < 1e-9 * expected,
            "{name}: {got}, {expected}"
        );
    };
    assert_eq!(workloads.len(), 4);
    for (row, workload) in workloads.iter().zip(Workload::ALL) {
        if workload.users() > 1 {
            continue;
        }
        let (prompt, output) = (f64::from(workload.prompt()), f64::from(workload.output()));
        let requests = f64::from(workload.requests_per_user());
        assert_eq!(row["workload"], workload.name());
        near(row, "ttft_avg_ms", 1e3 * (alpha + beta * (prompt + 1.0)));
        near(row, "tpot_avg_ms", 1e3 * beta);
        let duration = requests * (alpha + beta * (prompt + output));
        near(row, "duration_s", duration);
        near(row, "throughput_tokens_per_s", requests * output / duration);
        near(row, "memory_peak_mb", 4000.0 + 0.1875 * (prompt + output));
        near(row, "kv_tokens", requests * (prompt + output));
    }
    // Ten at once on one GPU: the first alone, the other nine after it.
    let stress = &workloads[2];
    assert_eq!(stress["batches"], 2);
    let first = alpha + beta * 512.0;
    let step = beta * model.h(9);
    let early = alpha + beta * 257.0;
    let late = first + alpha + step * 257.0;
    near(stress, "ttft_avg_ms", 1e3 * (early + 9.0 * late) / 10.0);
    near(stress, "ttft_p50_published_ms", 1e3 * late);
    let duration = first + alpha + step * 512.0;
    near(stress, "throughput_tokens_per_s", 2560.0 / duration);
    near(stress, "memory_peak_mb", 4000.0 + 0.1875 * 9.0 * 512.0);
}

#[test]
fn what_the_engine_does_not_know_is_never_a_number() {
    let files = files(closed()).unwrap();
    for row in json_of(&files)["workloads"].as_array().unwrap() {
        for name in [
            "successful",
            "failed",
            "error_rate",
            "memory_avg_mb",
            "prefix_hit_rate",
            "evictions",
            "eviction_ms",
            "speculative_accept_rate",
        ] {
            assert_eq!(row[name], "not modelled", "{name}");
        }
    }
    let verdicts = json_of(&files)["verdicts"].as_array().unwrap();
    assert!(verdicts.iter().all(|v| {
        (v["value"] == "not modelled") == (v["verdict"] == "not modelled (cannot be judged)")
    }));
}

fn closed_batches(server: &mut Server) -> &mut Closed {
    match &mut server.engine {
        Engine::Closed(closed) => closed,
        Engine::Continuous(_) => panic!("another engine"),
    }
}

/// A server so fast that every threshold it models is met.
fn fast() -> Server {
    let mut server = Server::default();
    let Latency::Linear(model) = &mut closed_batches(&mut server).latency else {
        panic!("another latency");
    };
    model.alpha_s = 0.001;
    model.beta_s_per_token = 1e-5;
    server
}

#[test]
fn a_contract_with_unknown_lines_cannot_be_met() {
    let contract = Contract {
        server: fast(),
        ..closed()
    };
    let files = files(contract).unwrap();
    for (year, unknown) in json_of(&files)["years"]
        .as_array()
        .unwrap()
        .iter()
        .zip([5, 9, 13])
    {
        assert_eq!(year["not_met"], 0);
        assert_eq!(
            year["verdict"],
            format!("cannot be judged: {unknown} lines are not modelled")
        );
    }
}

#[test]
fn a_server_without_room_for_one_request_fails_all() {
    let mut server = fast();
    // 2,000 KV tokens.
    let memory = &mut closed_batches(&mut server).memory;
    memory.capacity_gb = 4.5;
    memory.kv_gb_per_token = 2.5e-4;
    memory.margin_gb = 0.0;
    let contract = Contract {
        workloads: vec![Workload::Short, Workload::ContractLong],
        server,
        ..closed()
    };
    let files = files(contract).unwrap();
    let report = json_of(&files);
    assert_eq!(report["workloads"][0]["error_rate"], "not modelled");
    assert_eq!(report["workloads"][1]["error_rate"], 1.0);
    assert_eq!(report["workloads"][1]["failed"], 3);
    assert_eq!(report["years"][0]["verdict"], "NOT met");
    assert!(text(&files).contains("a request of 2560 tokens does not fit"));
}

#[test]
fn the_published_sample_does_not_meet_year_1() {
    let report = judged(&published_sample());
    assert_eq!(report["years"][0]["verdict"], "NOT met");
    let broken: Vec<_> = report["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|v| v["year"] == 1 && v["verdict"] == "NOT met")
        .map(|v| {
            (
                v["workload"].as_str().unwrap(),
                v["metric"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        broken,
        [
            ("stress_test", "error_rate"),
            ("all workloads", "error_rate")
        ]
    );
    let overall = report["verdicts"].as_array().unwrap().iter();
    let overall = overall.clone().find(|v| v["workload"] == "all workloads");
    assert_eq!(overall.unwrap()["value"], 1.0 / 18.0);
}

#[test]
fn the_published_sample_contradicts_itself() {
    let report = judged(&published_sample());
    let found: Vec<(String, String, String)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            let of = |name: &str| f[name].as_str().unwrap_or_default().to_owned();
            (of("check"), of("workload"), of("finding"))
        })
        .collect();
    for (check, workload, words) in [
        (
            "throughput",
            "short_input",
            &["5 ms", "200 tok/s", "100 tok/s"][..],
        ),
        (
            "throughput",
            "long_input",
            &["8 ms", "125 tok/s", "75 tok/s"],
        ),
        (
            "throughput",
            "stress_test",
            &["6 ms", "166.7 tok/s", "90 tok/s"],
        ),
        (
            "percentile-rule",
            "stress_test",
            &["18 ms", "20 ms", "9 or 10"],
        ),
        ("kv-tokens", "short_input", &["640", "5 x 128", "1280"]),
        ("kv-tokens", "long_input", &["600", "3 x 200", "1200"]),
        ("kv-tokens", "stress_test", &["2304", "9 x 256", "4608"]),
        ("kv-bytes", "short_input", &["128 bytes per token"]),
        ("spread", "short_input", &["10 ms", "5 requests"]),
        ("tbt-is-tpot", "", &["equal in every workload"]),
        ("memory-mean", "", &["0.5 of the peak"]),
    ] {
        let one = found.iter().find(|f| f.0 == check && f.1 == workload);
        let sentence = &one.unwrap_or_else(|| panic!("{check} {workload}")).2;
        for word in words {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
    }
    assert_eq!(found.len(), 14);
}

/// A check, the workload that it found something in, and values with which it does not.
type Repair = (&'static str, usize, &'static [(Metric, f64)]);

/// Each finding comes from its numbers: without what it is about it goes, and only it.
#[test]
fn repaired_numbers_are_not_found() {
    let repairs: [Repair; 6] = [
        ("throughput", 0, &[(Metric::ThroughputTokensPerS, 198.4)]),
        // One request after another would be 166; ten at a time may be ten times that.
        ("throughput", 2, &[(Metric::ThroughputTokensPerS, 1600.0)]),
        ("percentile-rule", 2, &[(Metric::TtftP95Ms, 20.0)]),
        (
            "spread",
            0,
            &[(Metric::TtftP99Ms, 10.5), (Metric::TtftP95Ms, 10.5)],
        ),
        ("kv-tokens", 0, &[(Metric::KvTokens, 1280.0)]),
        ("kv-bytes", 1, &[(Metric::KvBytes, 600.0 * 114_688.0)]),
    ];
    let found = |sample: &Measured| -> BTreeSet<(String, String)> {
        let list = judged(sample)["findings"].clone();
        let name = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
        let list = list.as_array().unwrap();
        list.iter()
            .map(|f| (name(f, "check"), name(f, "workload")))
            .collect()
    };
    let all = found(&published_sample());
    for (check, at, values) in repairs {
        let mut sample = published_sample();
        sample.samples[at].values.extend(values.iter().copied());
        let gone = (check.to_owned(), sample.samples[at].workload.clone());
        let left = found(&sample);
        assert_eq!(all.difference(&left).collect::<Vec<_>>(), [&gone]);
        assert!(left.is_subset(&all), "{check}");
    }
    let mut beyond = published_sample();
    beyond.samples[2]
        .values
        .insert(Metric::ThroughputTokensPerS, 1800.0);
    assert_eq!(found(&beyond), all);
}

#[test]
fn numbers_that_do_not_add_up_are_found() {
    for (changes, check, words) in [
        (
            &[(Metric::Successful, 8.0)][..],
            "counts",
            "8 successful and 1 failed",
        ),
        (
            &[(Metric::ErrorRate, 0.02)],
            "error-rate",
            "1 of 10 requests are 10 %",
        ),
        (
            &[(Metric::TtftP50Ms, 25.0)],
            "percentile-order",
            "P50 of 25 ms is above P95 of 18 ms",
        ),
    ] {
        let mut sample = published_sample();
        sample.samples[2].values.extend(changes.iter().copied());
        let report = judged(&sample);
        let mut findings = report["findings"].as_array().unwrap().iter();
        let found = findings.find(|f| f["check"] == check).unwrap();
        let sentence = found["finding"].as_str().unwrap();
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn a_good_measured_report_meets_year_1_and_nothing_is_found() {
    let text = "workload,requests,successful,failed,error_rate,ttft_avg_ms,ttft_p50_ms,\
                ttft_p95_ms,ttft_p99_ms,tbt_avg_ms,tpot_avg_ms,throughput_tokens_per_s,\
                memory_peak_mb,kv_tokens,kv_bytes\n\
                short,5,5,0,0,30,29,34,34,9,9.1,107,20000,1280,146800640\n\
                stress,10,10,0,0,60,61,75,75,12,12.2,800,24000,5120,587202560\n";
    let report = judged(&measured::read(text, "good.csv").unwrap());
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["years"][0]["verdict"], "met");
    assert_eq!(report["years"][1]["verdict"], "NOT met");
    assert_eq!(report["workloads"][0]["evictions"], "not measured");
}

#[test]
fn a_simulated_report_reads_back_as_a_measured_one() {
    let files = files(closed()).unwrap();
    let simulated = json_of(&files).clone();
    for name in ["contract_report.json", "contract_report.csv"] {
        let file = files.iter().find(|f| f.name == name).unwrap();
        let bytes = report::bytes(file).unwrap().remove(0).1;
        let again = measured::read(&String::from_utf8(bytes).unwrap(), name).unwrap();
        let judged = judged(&again);
        for year in 0..3 {
            for count in ["met", "not_met", "not_judged"] {
                assert_eq!(
                    judged["years"][year][count],
                    simulated["years"][year][count]
                );
            }
        }
        // The simulator is as constant as the published sample, but does not contradict itself.
        let checks: BTreeSet<_> = judged["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["check"].as_str().unwrap())
            .collect();
        assert_eq!(checks, BTreeSet::from(["spread", "tbt-is-tpot"]));
    }
}

#[test]
fn the_figure_holds_every_judged_value_beside_its_threshold() {
    let contract = Contract {
        measured: Some(published_sample()),
        ..closed()
    };
    let files = files(contract).unwrap();
    let figure = files.iter().find_map(|file| match &file.content {
        Content::Figure(figure) => Some(figure),
        _ => None,
    });
    let figure = figure.unwrap();
    assert_eq!(figure.panels.len(), 3);
    for (panel, names) in figure.panels.iter().zip([6, 7, 8]) {
        assert!(matches!(&panel.x.scale, Scale::Names(n) if n.len() == names));
        let Plot::Series { series, marks } = &panel.plot else {
            panic!("dots");
        };
        assert_eq!(marks.len(), 1);
        assert_eq!(series.len(), 3);
    }
    let Plot::Series { series, .. } = &figure.panels[0].plot else {
        panic!("dots");
    };
    let Form::Dots(stress) = &series[2].form else {
        panic!("dots");
    };
    let ratios: Vec<f64> = stress.iter().map(|dot| dot[1]).collect();
    assert_eq!(ratios, [0.12, 0.3, 0.3, 50.0 / 90.0, 2.0, 0.125]);
    for words in [
        "Broken in years 1, 2 and 3: 1, 6 and 14 values.",
        "Not drawn: 15 of 0, for which a log axis has no place.",
    ] {
        assert!(figure.caption.contains(words), "{}", figure.caption);
    }
}

fn refused(text: &str, file: &str) -> Error {
    measured::read(text, file).unwrap_err()
}

#[test]
fn bad_cells_name_file_row_and_column() {
    let head = "workload,requests,error_rate\n";
    for (text, row, column, value) in [
        (format!("{head}a,5,0\nb,2.5,0\n"), 3, "requests", "2.5"),
        (format!("{head}a,5,10\n"), 2, "error_rate", "10"),
        (format!("{head}a,-1,0\n"), 2, "requests", "-1"),
        (format!("{head}a,five,0\n"), 2, "requests", "five"),
        (format!("{head}a,NaN,0\n"), 2, "requests", "NaN"),
        (format!("{head}a,inf,0\n"), 2, "requests", "inf"),
        (format!("{head},5,0\n"), 2, "workload", ""),
        (
            format!("{head}all workloads,5,0\n"),
            2,
            "workload",
            "all workloads",
        ),
        (format!("{head}a,5,0\na,5,0\n"), 3, "workload", "a"),
        (
            "{\"workloads\": [\n{\"workload\": \"a\",\n\"ttft_avg_ms\": true}]}".to_owned(),
            3,
            "workloads[0].ttft_avg_ms",
            "true",
        ),
        (
            "{\"workloads\": [{\"workload\": \"a\"},\n{\"requests\": 5}]}".to_owned(),
            2,
            "workloads[1].workload",
            "",
        ),
        (
            "{\"workloads\": [{\"workload\": \"a\",\n\n\"prefix_hit_rate\": \"70 %\"}]}".to_owned(),
            3,
            "workloads[0].prefix_hit_rate",
            "70 %",
        ),
    ] {
        let error = refused(&text, "mine");
        let Error::BadCell {
            file,
            row: at,
            column: of,
            value: got,
            allowed,
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(
            (file.as_str(), *at, of.as_str(), got.as_str()),
            ("mine", row, column, value)
        );
        assert!(!allowed.is_empty());
    }
}

#[test]
fn bad_rows_and_columns_are_refused() {
    for (text, row, words) in [
        ("workload,speed\na,5\n", 2, "unknown field speed"),
        ("workload,requests,requests\na,5,5\n", 1, "two columns"),
        (
            "workload,requests\na\n",
            2,
            "1 fields, but the header has 2",
        ),
        ("workload,requests\n", 1, "no workloads"),
        ("{\"workloads\": []}", 1, "no workloads"),
        (
            "{\"workloads\": [\n{\"speed\": 1}]}",
            2,
            "unknown field workloads[0].speed",
        ),
        ("{\"workload\": []}", 1, "unknown field `workload`"),
        ("{\n\"workloads\": [", 2, "EOF"),
    ] {
        let error = refused(text, "mine");
        let Error::BadRow {
            file,
            row: at,
            problem,
        } = &error
        else {
            panic!("{text}: {error}");
        };
        assert_eq!((file.as_str(), *at), ("mine", row), "{text}: {problem}");
        assert!(problem.contains(words), "{problem}");
    }
    let error = refused("requests\n5\n", "mine");
    assert_eq!(error.code(), "missing-column");
    assert_eq!(refused("", "mine").code(), "missing-column");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let field = |contract: Contract| match Execution::new(Study::Contract(contract), 1) {
        Err(Error::BadField { field, .. }) => field,
        other => panic!("{:?}", other.map(|_| ())),
    };
    let none = Contract {
        workloads: Vec::new(),
        ..closed()
    };
    assert_eq!(field(none), "contract.workloads");
    let twice = Contract {
        workloads: vec![Workload::Short, Workload::Short],
        ..closed()
    };
    assert_eq!(field(twice), "contract.workloads");
    let mut server = Server::default();
    server.fleet.gpus = 0;
    let no_gpu = Contract { server, ..closed() };
    assert_eq!(field(no_gpu), "fleet.gpus");
    let negative = Contract {
        measured: Some(Measured {
            source: "here".to_owned(),
            samples: vec![Sample {
                workload: "a".to_owned(),
                values: [(Metric::TtftAvgMs, -1.0)].into(),
            }],
        }),
        ..closed()
    };
    let nothing = Contract {
        measured: Some(Measured {
            source: "here".to_owned(),
            samples: Vec::new(),
        }),
        ..closed()
    };
    assert_eq!(field(nothing), "contract.measured.samples");
    assert_eq!(
        field(negative),
        "contract.measured.samples[0].values.ttft_avg_ms"
    );
}

#[test]
fn settings_survive_json() {
    let study = Study::Contract(Contract {
        measured: Some(published_sample()),
        ..closed()
    });
    let text = serde_json::to_string(&study).unwrap();
    assert_eq!(serde_json::from_str::<Study>(&text).unwrap(), study);
}

#[test]
fn every_policy_serves_the_contract() {
    for policy in ["static-fifo", "dynamic", "multi-bin", "multi-bin-dynamic"] {
        let text = json!({ "scheduler": { "policy": policy } }).to_string();
        let contract = Contract {
            server: Server::from(Scenario::from_json(&text, "here").unwrap()),
            ..closed()
        };
        let files = files(contract).unwrap();
        assert_eq!(json_of(&files)["workloads"][2]["requests"], 10);
        assert!(text_names(&files, policy), "{policy}");
    }
}

fn text_names(files: &[File], policy: &str) -> bool {
    text(files).contains(&format!("policy {policy},"))
}

#[cfg(feature = "cli")]
mod command_line {
    use super::*;
    use std::process::Output;

    fn study(args: &[&str]) -> Output {
        program()
            .args(["study", "contract"])
            .args(args)
            .output()
            .unwrap()
    }

    fn printed(args: &[&str]) -> String {
        let output = study(args);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn prints_what_is_asked_for_and_writes_everything() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let report = printed(&[
            "--engine",
            "closed",
            "--workload",
            "short,stress",
            "--out",
            out.to_str().unwrap(),
        ]);
        assert!(report.starts_with("# Contract report\n"));
        for name in [
            "contract_report.md",
            "contract_report.json",
            "contract_report.csv",
            "contract_verdicts.csv",
        ] {
            let wanted = fs::read(golden("simulated").join(name)).unwrap();
            assert_eq!(fs::read(out.join(name)).unwrap(), wanted, "{name}");
        }
        let again = printed(&[
            "--engine",
            "closed",
            "--workload",
            "short,stress",
            "--print",
            "json",
        ]);
        let wanted = fs::read_to_string(golden("simulated/contract_report.json")).unwrap();
        assert_eq!(again, wanted);
        let table = printed(&[
            "--engine",
            "closed",
            "--workload",
            "short",
            "--print",
            "table",
        ]);
        assert!(table.contains("ttft_avg_ms") && table.contains("not modelled"));
        // Continuous batching, unless told otherwise.
        let usual = printed(&["--print", "json"]);
        let wanted = fs::read_to_string(golden("continuous/contract_report.json")).unwrap();
        assert_eq!(usual, wanted);
    }

    #[test]
    fn judges_a_measured_file_without_running() {
        let sample = golden("published_sample.json");
        let report = printed(&["--measured", sample.to_str().unwrap()]);
        assert!(
            report.contains("| Year 1 | NOT met | 17 | 2 | 0 |"),
            "{report}"
        );
    }

    #[test]
    fn a_server_of_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.json");
        fs::write(
            &path,
            r#"{"fleet": {"gpus": 10}, "scheduler": {"policy": "static-fifo"}}"#,
        )
        .unwrap();
        let report = printed(&["--server", path.to_str().unwrap(), "--print", "json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["server"]["fleet"]["gpus"], 10);
        // Ten GPUs take one each.
        assert_eq!(report["workloads"][2]["batches"], 10);
    }

    #[test]
    fn contradictions_and_bad_files_end_with_their_codes() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.csv");
        fs::write(&bad, "workload,requests\na,many\n").unwrap();
        let bad = bad.to_str().unwrap();
        for (args, exit, words) in [
            (&["--measured", bad][..], 3, "row 2, column \"requests\""),
            (
                &["--measured", bad, "--workload", "short"],
                2,
                "cannot be used with",
            ),
            (&["--measured", "no/such/file"], 4, "no/such/file"),
            (&["--trace", bad], 2, "makes its own requests"),
            (&["--server", bad], 2, "line 1"),
            (&["--workload", "all,short"], 2, "twice"),
            (&["--print", "pdf"], 2, "markdown"),
        ] {
            let output = study(args);
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(exit), "{message}");
            assert!(message.contains(words), "{message}");
        }
    }
}

#[test]
fn with_continuous_batching_every_metric_is_simulated() {
    let text = r#"{"fleet": {"gpus": 1},
        "memory": {"capacity_gb": 24, "model_gb": 16, "kv_gb_per_token": 0.000131072, "margin_gb": 0},
        "engine": {"continuous": {"kv": {"prefix": {"reuse": "own", "eviction_s": 0.001}},
            "speculative": {"draft_tokens": 3, "acceptance": [0.7]}}}}"#;
    let scenario = Scenario::from_json(text, "server").unwrap();
    assert!(matches!(scenario.engine, Engine::Continuous(_)));
    let study = Contract {
        server: scenario.into(),
        ..closed()
    };
    let execution = run(Study::Contract(study));
    let files = execution.files().unwrap();
    let json = files
        .iter()
        .find(|f| f.name == "contract_report.json")
        .unwrap();
    let Content::Json(report) = &json.content else {
        panic!("the report is JSON");
    };
    let report = report.to_string();
    // Every line of the published report.
    for metric in [
        "ttft_avg_ms",
        "ttft_p50_ms",
        "ttft_p95_ms",
        "ttft_p99_ms",
        "tbt_avg_ms",
        "tpot_avg_ms",
        "throughput_tokens_per_s",
        "memory_peak_mb",
        "memory_avg_mb",
        "error_rate",
        "kv_tokens",
        "kv_bytes",
        "prefix_hit_rate",
        "evictions",
        "eviction_ms",
        "speculative_accept_rate",
    ] {
        assert!(
            report.contains(&format!("\"{metric}\":")),
            "{metric} is not in {report}"
        );
    }
}
