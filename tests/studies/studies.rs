//! Studies and sweeps from outside: the real program, killed and resumed, split over "machines".
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use batchscope::Scenario;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{fed, program, run, text};

fn succeeded(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Every file of a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

/// Twelve runs, long enough to be killed among.
const GRID: [&str; 10] = [
    "study",
    "stress-v2",
    "--step",
    "1",
    "--request-counts",
    "20000,40000,60000",
    "--gpu-counts",
    "1,2",
    "--bin-counts",
    "2,4",
];

fn grid(folder: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command
        .args(GRID)
        .arg("--out")
        .arg(folder)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&b| b == b'\n').count())
}

#[test]
fn a_killed_study_goes_on_and_gives_the_bytes_of_an_unbroken_one() {
    let place = TempDir::new().unwrap();
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    succeeded(&grid(&whole, &[]).output().unwrap());
    let expected = contents(&whole);
    assert!(
        expected.contains_key("results_v2.csv"),
        "{:?}",
        expected.keys()
    );

    let journal = broken.join("unfinished.jsonl");
    // SIGKILL on Unix: no handler runs.
    killed(&broken);
    let left: Vec<String> = contents(&broken).into_keys().collect();
    assert_eq!(left, ["unfinished.jsonl"], "only the journal may be there");

    // The kill may have cut the last line; make sure that one is cut.
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend(br#"{"scenario":{"vers"#);
    fs::write(&journal, bytes).unwrap();

    let resumed = grid(&broken, &[]).output().unwrap();
    succeeded(&resumed);
    let said = text(&resumed.stderr);
    assert!(said.contains("going on after"), "{said}");
    assert_eq!(contents(&broken), expected);
}

/// Starts the grid in a folder and kills it once its journal has some outcomes.
fn killed(folder: &Path) {
    let journal = folder.join("unfinished.jsonl");
    let mut child = grid(folder, &["--jobs", "1"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(&journal) < 4 {
        assert!(Instant::now() < deadline, "the study never got going");
        assert_eq!(child.try_wait().unwrap(), None, "the study ended too soon");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_journal_of_another_study_is_kept_and_refused() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("out");
    killed(&out);
    let journal = out.join("unfinished.jsonl");
    let kept = fs::read(&journal).unwrap();
    let seven = grid(&out, &["--seed", "7"]).output().unwrap();
    let other = grid(&out, &["--replications", "2"]).output().unwrap();
    let saturation = ["study", "saturation", "--users", "2,4", "--out"];
    let saturation = run(&[&saturation[..], &[out.to_str().unwrap()]].concat());
    for (output, words) in [
        (
            seven,
            "stress-v2 with seed 42, and this is the study stress-v2 with seed 7",
        ),
        (other, "stress-v2 with seed 42 with other settings"),
        (saturation, "and this is the study saturation"),
    ] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for words in [words, "finished runs", "remove the file", "--out"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert_eq!(fs::read(&journal).unwrap(), kept);
    }

    // Another version's, and what is no journal at all.
    let study = ["study", "stress-v2", "--request-counts", "100", "--out"];
    let study = [&study[..], &[out.to_str().unwrap()]].concat();
    let header = "{\"batchscope\":\"0.0.1\",\"study\":\"stress-v2\",\"trace\":\"\"}\n";
    for content in [format!("{header}{{}}\n"), "mine\n".to_owned()] {
        fs::write(&journal, &content).unwrap();
        assert_eq!(run(&study).status.code(), Some(2));
        assert_eq!(fs::read_to_string(&journal).unwrap(), content);
    }
    // Without an outcome there is nothing to lose.
    fs::write(&journal, header).unwrap();
    succeeded(&run(&study));
    assert!(!journal.exists());
}

#[test]
fn a_damaged_line_of_a_journal_costs_one_run() {
    let place = TempDir::new().unwrap();
    let (whole, broken) = (place.path().join("whole"), place.path().join("broken"));
    succeeded(&grid(&whole, &[]).output().unwrap());
    killed(&broken);
    let journal = broken.join("unfinished.jsonl");
    let bytes = fs::read_to_string(&journal).unwrap();
    let mut lines: Vec<&str> = bytes.split_inclusive('\n').collect();
    lines.retain(|line| line.ends_with('\n'));
    let good = lines.len() - 2;
    lines[2] = "garbage\n";
    fs::write(&journal, lines.concat()).unwrap();
    let resumed = grid(&broken, &[]).output().unwrap();
    succeeded(&resumed);
    let said = text(&resumed.stderr);
    assert!(said.contains("1 damaged line of "), "{said}");
    let going_on = format!("going on after {good} run");
    assert!(said.contains(&going_on), "{going_on}: {said}");
    assert_eq!(contents(&broken), contents(&whole));
}

#[cfg(unix)]
#[test]
fn an_interrupted_study_says_how_it_goes_on() {
    let place = TempDir::new().unwrap();
    let journal = place.path().join("unfinished.jsonl");
    let child = grid(place.path(), &["--jobs", "1"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(&journal) < 3 {
        assert!(Instant::now() < deadline, "the study never got going");
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let runs = lines(&journal) - 1;
    let words =
        format!("unfinished.jsonl holds {runs} finished runs, and the same command goes on");
    assert!(said.contains(&words), "{words}: {said}");
    assert!(said.trim_end().ends_with("[interrupted]"), "{said}");
}

#[test]
fn a_folder_holds_the_files_of_one_study_and_run() {
    let place = TempDir::new().unwrap();
    let (used, fresh) = (place.path().join("used"), place.path().join("fresh"));
    let study = |folder: &Path, more: &[&str]| {
        let args = ["study", "stress-v2", "--request-counts", "300", "--out"];
        run(&[&args[..], &[folder.to_str().unwrap()], more].concat())
    };
    succeeded(&study(&used, &["--replications", "2"]));
    assert!(contents(&used).contains_key("results_v2_intervals.csv"));
    fs::write(used.join("notes.txt"), "mine").unwrap();
    succeeded(&study(&used, &[]));
    succeeded(&study(&fresh, &[]));
    let mut expected = contents(&fresh);
    expected.insert("notes.txt".to_owned(), b"mine".to_vec());
    assert_eq!(contents(&used), expected);

    let saturation = |folder: &Path| {
        let args = ["study", "saturation", "--users", "2,4", "--out"];
        run(&[&args[..], &[folder.to_str().unwrap()]].concat())
    };
    let refused = saturation(&used);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("those of the study stress-v2"), "{said}");
    assert_eq!(contents(&used), expected);

    // A list that names something outside the folder removes nothing.
    let list = used.join("files.json");
    for name in ["../notes.txt", "/notes.txt", "..", "a/b"] {
        let text = serde_json::json!({"study": "stress-v2", "files": [name]});
        fs::write(&list, text.to_string()).unwrap();
        assert_eq!(study(&used, &[]).status.code(), Some(2), "{name}");
    }
}

#[test]
fn a_study_split_into_lines_gives_the_same_files() {
    let place = TempDir::new().unwrap();
    let (here, split) = (place.path().join("here"), place.path().join("split"));
    let study = ["study", "stress-v2", "--request-counts", "300,700"];
    let with = |more: &[&str]| run(&[&study[..], more].concat());
    succeeded(&with(&["--out", here.to_str().unwrap()]));

    let scenarios = with(&["--emit-scenarios"]);
    let scenarios = succeeded(&scenarios);
    // Out of order and twice: outcomes are known by their scenario.
    let mut shuffled: Vec<&str> = scenarios.lines().collect();
    shuffled.reverse();
    shuffled.push(shuffled[0]);
    let outcomes = fed(&["sweep"], shuffled.join("\n").as_bytes());
    let file = place.path().join("outcomes.jsonl");
    fs::write(&file, succeeded(&outcomes)).unwrap();

    let file = file.to_str().unwrap();
    succeeded(&with(&[
        "--from-outcomes",
        file,
        "--out",
        split.to_str().unwrap(),
    ]));
    assert_eq!(contents(&split), contents(&here));

    let nothing_left = with(&["--from-outcomes", file, "--emit-scenarios"]);
    assert_eq!(succeeded(&nothing_left), "");
}

#[test]
fn missing_and_broken_outcomes_are_named() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("outcomes.jsonl");
    let study = |file: &Path| {
        run(&[
            "study",
            "stress-v2",
            "--request-counts",
            "50",
            "--from-outcomes",
            file.to_str().unwrap(),
        ])
    };
    fs::write(&file, "").unwrap();
    let output = study(&file);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("5 of 5 scenarios have no outcome"),
        "{message}"
    );

    let failed = fed(&["sweep"], br#"{"fleet":{"gpus":0}}"#);
    fs::write(&file, &failed.stdout).unwrap();
    let output = study(&file);
    assert_eq!(output.status.code(), Some(3));
    let message = text(&output.stderr);
    for words in ["row 1", "this run failed", "fleet.gpus"] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_sweep_answers_every_line_in_order() {
    let mut input = String::new();
    for gpus in [3, 1, 4, 1, 5, 9, 2, 6] {
        input += &format!(
            "{{\"fleet\":{{\"gpus\":{gpus}}},\"trace\":{{\"synthetic\":{{\"requests\":{}}}}}}}\n",
            gpus * 500
        );
    }
    let one = fed(&["sweep", "--jobs", "1"], input.as_bytes());
    let four = fed(&["sweep", "--jobs", "4"], input.as_bytes());
    assert_eq!(succeeded(&one), succeeded(&four));
    let gpus: Vec<u64> = succeeded(&one)
        .lines()
        .map(|line| {
            let outcome: Value = serde_json::from_str(line).unwrap();
            outcome["scenario"]["fleet"]["gpus"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(gpus, [3, 1, 4, 1, 5, 9, 2, 6]);
}

#[test]
fn a_bad_line_of_a_sweep_leaves_the_others_alone() {
    let input = "{}\nnonsense\n\n{\"fleet\":{\"gpus\":0}}\n{\"seed\":7}\n";
    let output = fed(&["sweep"], input.as_bytes());
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("2 of 4 lines failed"));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["scenario"]["seed"], 42);
    assert_eq!(lines[1]["error"]["code"], "bad-scenario");
    let message = lines[1]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("scenario 2,"), "{message}");
    assert_eq!(lines[2]["error"]["field"], "fleet.gpus");
    assert_eq!(lines[3]["scenario"]["seed"], 7);
}

#[test]
fn a_sweep_answers_before_its_input_ends() {
    let mut child = program()
        .args(["sweep", "--jobs", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for seed in 1..4 {
        writeln!(input, "{{\"seed\":{seed}}}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let outcome: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(outcome["scenario"]["seed"], seed);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn emitted_scenarios_are_scenarios() {
    let output = run(&["study", "stress-v2", "--emit-scenarios"]);
    let lines: Vec<&str> = succeeded(&output).lines().collect();
    assert_eq!(lines.len(), 10);
    for line in lines {
        let scenario = Scenario::from_json(line, "line").unwrap();
        assert_eq!(serde_json::to_string(&scenario).unwrap(), line);
    }
}

#[test]
fn replications_add_tables_of_intervals() {
    let place = TempDir::new().unwrap();
    let out = place.path().to_str().unwrap();
    let args = [
        "study",
        "stress-v2",
        "--request-counts",
        "300",
        "--out",
        out,
    ];
    succeeded(&run(&[&args[..], &["--replications", "3"]].concat()));
    let files = contents(place.path());
    let table = text(&files["results_v2_intervals.csv"]);
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let column = |name: &str, rows: &mut csv::Reader<&[u8]>| {
        rows.headers()
            .unwrap()
            .iter()
            .position(|h| h == name)
            .unwrap_or_else(|| panic!("no {name} in {table}"))
    };
    let [mean, low, high] =
        ["avg_latency", "avg_latency_low", "avg_latency_high"].map(|name| column(name, &mut rows));
    let mut seen = 0;
    for row in rows.records() {
        let row = row.unwrap();
        assert_eq!(&row[0], "3");
        let [mean, low, high]: [f64; 3] = [mean, low, high].map(|i| row[i].parse().unwrap());
        assert!(low < mean && mean < high, "{low} {mean} {high}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_trace_file_of_a_study_limits_its_counts() {
    let place = TempDir::new().unwrap();
    let trace = place.path().join("trace.csv");
    let trace = trace.to_str().unwrap();
    succeeded(&run(&[
        "trace",
        "generate",
        "--requests",
        "150",
        "--out",
        trace,
    ]));
    let output = run(&["study", "stress-v2", "--trace", trace, "--emit-scenarios"]);
    assert_eq!(succeeded(&output).lines().count(), 5);
    assert!(text(&output.stderr).contains("150 rows"));
}

#[test]
fn outcomes_of_another_trace_of_the_same_name_are_refused() {
    let place = TempDir::new().unwrap();
    let in_folder = |name: &str, seed: &str| {
        let folder = place.path().join(name);
        fs::create_dir(&folder).unwrap();
        let trace = folder.join("x.csv");
        let trace = trace.to_str().unwrap();
        let args = [
            "trace",
            "generate",
            "--requests",
            "200",
            "--seed",
            seed,
            "--out",
            trace,
        ];
        succeeded(&run(&args));
        folder
    };
    let (a, b) = (in_folder("a", "1"), in_folder("b", "2"));
    let study = |folder: &Path, more: &[&str]| {
        program()
            .args(["study", "stress-v2", "--trace", "x.csv"])
            .args(["--request-counts", "150"])
            .args(more)
            .current_dir(folder)
            .output()
            .unwrap()
    };
    let out = place.path().join("out");
    succeeded(&study(&a, &["--out", out.to_str().unwrap()]));
    let outcomes = out.join("outcomes.jsonl");
    let outcomes = outcomes.to_str().unwrap();
    let own = study(&a, &["--from-outcomes", outcomes]);
    succeeded(&own);
    let other = study(&b, &["--from-outcomes", outcomes]);
    assert_eq!(other.status.code(), Some(3));
    let said = text(&other.stderr);
    assert!(
        said.contains("row 1: this run replayed another x.csv"),
        "{said}"
    );
}

#[test]
fn outcomes_that_no_run_has_are_refused() {
    let place = TempDir::new().unwrap();
    let study = ["study", "stress-v2", "--request-counts", "300"];
    let scenarios = run(&[&study[..], &["--emit-scenarios"]].concat());
    let swept = fed(&["sweep"], succeeded(&scenarios).as_bytes());
    let good: Vec<Value> = succeeded(&swept)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let file = place.path().join("edited.jsonl");
    let refused = |lines: &[Value], words: &[&str]| {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        let args = ["--from-outcomes", file.to_str().unwrap()];
        let output = run(&[&study[..], &args].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{words:?}: {said}");
        for words in words {
            assert!(said.contains(words), "{words}: {said}");
        }
    };
    let edits = [
        ("/published/token_violations", "301", "token_violations"),
        ("/published/avg_latency_s", "-1.0", "below 0"),
        ("/published/p95_latency_s", "1e9", "ascending"),
        ("/published/gpu_utilization_mean", "1.5", "above 1"),
        ("/honest/sla/joint", "1.5", "sla.joint"),
        ("/honest/requests", "7", "honest requests"),
        ("/workload/rows_replayed", "299", "rows_taken"),
        ("/honest/utilization/per_gpu", "[]", "per_gpu"),
    ];
    for (pointer, value, words) in edits {
        let mut lines = good.clone();
        *lines[1].pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        refused(&lines, &["row 2: no run has this outcome", words]);
    }

    let mut twice = good.clone();
    let mut other = good[2].clone();
    other["published"]["avg_queueing_s"] = Value::from(0.125);
    twice.push(other);
    refused(&twice, &["row 6: the scenario of row 3 again"]);

    let silent = serde_json::json!({ "error": {} });
    refused(&[silent], &["row 1: this run failed; its error object"]);
}

#[test]
fn a_line_that_is_no_text_leaves_the_others_alone() {
    let output = fed(
        &["sweep", "--jobs", "2"],
        b"{\"seed\":1}\r\n{\"seed\":\xff}\n{\"seed\":3}",
    );
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("1 of 3 lines failed"), "{said}");
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["scenario"]["seed"], 1);
    let message = lines[1]["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("scenario 2, line 1, column 9") && message.contains("UTF-8"),
        "{message}"
    );
    assert_eq!(lines[2]["scenario"]["seed"], 3);
}

/// A reader's own levels are of the reader's own server: what the flags do not say of it is not known.
#[test]
fn levels_of_a_reader_are_of_no_a40() {
    let levels = b"users,tok_s\n1,100\n8,9823\n16,14782\n";
    let points = ["study", "saturation", "--points", "-"];
    let with = |more: &[&str]| {
        let output = fed(&[&points, more].concat(), levels);
        succeeded(&output).to_owned()
    };
    let bare = with(&[]);
    for words in ["A40", "8.000e9", "256", "MFU of", " %\n  Power", "1.25 s"] {
        assert!(!bare.contains(words), "{words}: {bare}");
    }
    assert!(bare.contains("Hardware              not given"), "{bare}");
    let published = with(&["--published"]);
    let spelt = [
        "--hardware",
        "a40",
        "--params",
        "8e9",
        "--bytes-per-param",
        "2",
        "--max-batch",
        "256",
        "--think",
        "0.5,2",
    ];
    // The flags one by one say the same, under another heading.
    let after = |report: &str| report[report.find("Load levels").unwrap()..].to_owned();
    assert_eq!(after(&with(&spelt)), after(&published));
    for words in [
        "MFU                   104.99 %",
        "MFU                   157.99 %",
    ] {
        assert!(published.contains(words), "{words}: {published}");
    }
    let partly = with(&["--peak-flops", "989e12", "--params", "8e9"]);
    // 14782 of 989e12/(2 x 8e9) = 61,812.5 tok/s.
    assert!(partly.contains("MFU                   23.91 %"), "{partly}");
    assert!(partly.contains("the accelerator\n"), "{partly}");
    assert!(!partly.contains("A40"), "{partly}");
    for (more, words) in [
        (&["--bytes-per-param", "2"][..], "without --params"),
        (&["--published", "--params", "8e9"], "--published"),
        (&["--hardware", "a40", "--peak-flops", "1e12"], "--hardware"),
    ] {
        let output = fed(&[&points, more].concat(), levels);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(text(&output.stderr).contains(words), "{more:?}: {output:?}");
    }
}

/// Nor is the server of a scenario an A40.
#[test]
fn a_server_of_a_scenario_has_no_hardware_but_the_flags() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("server.json");
    fs::write(&path, "{}").unwrap();
    let server = [
        "study",
        "saturation",
        "--users",
        "2,4",
        "--server",
        path.to_str().unwrap(),
    ];
    let bare = run(&server);
    let report = succeeded(&bare);
    assert!(
        report.contains("Hardware              not given"),
        "{report}"
    );
    assert!(
        report.contains("Model                 not given"),
        "{report}"
    );
    // Four GPUs by default, each with batches of its own.
    let batch = Scenario::default().closed().unwrap().max_batch;
    let words = format!("Largest batch         {} requests at once", 4 * batch);
    assert!(report.contains(&words), "{words}: {report}");
    let given = run(&[&server[..], &["--hardware", "h100", "--params", "8e9"]].concat());
    let report = succeeded(&given);
    assert!(
        report.contains("Hardware              4 x NVIDIA H100"),
        "{report}"
    );
    assert!(report.contains("of a size that was not given"), "{report}");
}
