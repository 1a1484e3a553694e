//! Published figures against simulated ones: the table, the plan, the verdicts, the command.
use crate::support::program::{program, text};
use std::fs;
use std::path::Path;
use std::process::Output;

use batchscope::published::published_rows;
use batchscope::published::published_values::{COLUMNS, Figure, Value, built_in};
use batchscope::published::reproduce::{
    Comparison, FileReport, Plan, Recognised, differing_first, judge, plan, recognise, rows_agree,
    table,
};
use batchscope::scenario::{Preset, Source, Ties, TokenRule};
use batchscope::sched::{Boundaries, Feedback, Policy};
use batchscope::{Error, Trace, simulate};
use serde_json::Value as Json;
use tempfile::TempDir;

fn reproduce(args: &[&str]) -> Output {
    program().arg("reproduce").args(args).output().unwrap()
}

fn refused(output: &Output, exit: i32, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{message}");
    assert_eq!(text(&output.stdout), "");
    for word in words {
        assert!(message.contains(word), "{word} is not in {message}");
    }
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Requests that overload one GPU for a while, some of them failed.
fn made_up(rows: u32) -> Trace {
    let column = |f: fn(u32) -> u32| (0..rows).map(f).collect::<Vec<_>>();
    Trace {
        name: "made up".to_owned(),
        arrival: (0..rows).map(|i| f64::from(i / 2) * 30.0).collect(),
        prompt: column(|i| if i % 17 == 0 { 0 } else { 20 + (i * 37) % 900 }),
        output: column(|i| if i % 17 == 0 { 0 } else { 1 + (i * 53) % 400 }),
        ..Trace::default()
    }
}

fn write_trace(folder: &TempDir, trace: &Trace) -> std::path::PathBuf {
    let path = folder.path().join("trace.csv");
    let mut csv = "arrival_s,prompt_tokens,output_tokens\n".to_owned();
    for i in 0..trace.len() {
        csv += &format!(
            "{},{},{}\n",
            trace.arrival[i], trace.prompt[i], trace.output[i]
        );
    }
    fs::write(&path, csv).unwrap();
    path
}

/// A line of a table; `settings` are scheduler, GPUs, bins.
fn line(requests: u32, settings: &str, figure: &str, published: &str) -> String {
    format!("mine,stress-v2,{requests},200,100,,{settings},{figure},{published},made up")
}

fn value(line: &str) -> Value {
    Value::of(&line.split(',').collect::<Vec<_>>(), "mine.csv", 2).unwrap()
}

fn write_table(folder: &TempDir, lines: &[String]) -> std::path::PathBuf {
    let path = folder.path().join("mine.csv");
    fs::write(
        &path,
        format!("{}\n{}\n", COLUMNS.join(","), lines.join("\n")),
    )
    .unwrap();
    path
}

#[test]
fn the_built_in_table_is_whole_and_valid() {
    let values = built_in().unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for value in &values {
        *counts.entry(value.study.as_str()).or_insert(0) += 1;
        value.scenario.validate().unwrap();
        assert!(value.number().is_finite());
        assert!(!value.source.is_empty());
    }
    let expected = [
        ("head-400", 96),
        ("real-time", 8),
        ("real-time-afternoon", 16),
        ("real-time-evening", 14),
        ("seeds", 2),
        ("stress-v2", 154),
        ("three-step", 137),
        ("two-step", 277),
        ("v3", 152),
        ("v4", 142),
        ("v4-first", 144),
        ("v4-fixed", 144),
        ("v4-low", 142),
        ("v4-ultra-low", 154),
    ];
    assert_eq!(counts, std::collections::BTreeMap::from(expected));
    for (i, a) in values.iter().enumerate() {
        let again = values[i + 1..].iter().any(|b| {
            a.figure == b.figure
                && a.published == b.published
                && a.study == b.study
                && a.scenario == b.scenario
        });
        assert!(!again, "listed twice: {a:?}");
    }
}

/// The embedded figures of the 400-row head are those of the file that they were carried over from.
#[test]
fn the_head_in_the_table_is_the_golden_file() {
    let Some(golden) = crate::support::golden_400() else {
        return;
    };
    let mut from_table: Vec<f64> = built_in()
        .unwrap()
        .iter()
        .filter(|v| v.study == "head-400")
        .map(Value::number)
        .collect();
    let mut from_file: Vec<f64> = ["linear_model_v2", "decode_feedback_v2", "fallback_model"]
        .iter()
        .flat_map(|group| golden[group]["rows"].as_array().unwrap())
        .flat_map(|row| {
            let row = row.as_object().unwrap();
            row.iter()
                .filter(|(key, _)| !["g", "k"].contains(&key.as_str()))
                .filter_map(|(_, figure)| figure.as_f64())
        })
        .collect();
    from_table.sort_by(f64::total_cmp);
    from_file.sort_by(f64::total_cmp);
    assert_eq!(from_table, from_file);
}

#[test]
fn a_plan_keeps_what_the_file_is_long_enough_for() {
    let source = Source::file("a.csv");
    let all = built_in().unwrap();
    let figures = |rows: u64| -> (u64, u64) {
        let plan = plan(all.clone(), rows, &source);
        assert!(plan.rows.iter().all(|row| row.scenario.trace == source));
        (
            plan.rows.iter().map(|row| row.values.len() as u64).sum(),
            plan.left_out.iter().map(|l| l.figures).sum(),
        )
    };
    assert_eq!(figures(400), (96, 1486));
    assert_eq!(figures(19_431), (1361, 221));
    assert_eq!(figures(1_429_737), (1582, 0));

    // Bins come from the first 10,000 requests with output, however few are replayed: these are in
    // the first 10,956 rows of BurstGPT_1.csv. One bin needs none.
    let values = [
        "static-fifo,1,1",
        "multi-bin-dynamic,1,1",
        "multi-bin-dynamic,1,4",
    ]
    .map(|s| value(&line(1000, s, "batches", "1").replace(",200,100,", ",200,,")));
    let plan = plan(values.to_vec(), 1000, &source);
    assert_eq!(plan.rows.len(), 2);
    assert_eq!(plan.left_out.len(), 1);
    assert_eq!(plan.left_out[0].needs_rows, 10_956);
}

#[test]
fn figures_of_one_run_share_it() {
    let values = ["batches", "max_batch"].map(|f| value(&line(50, "dynamic,1,1", f, "1")));
    let plan = plan(values.to_vec(), 50, &Source::default());
    assert_eq!(plan.rows.len(), 1);
    assert_eq!(plan.rows[0].values.len(), 2);
}

#[test]
fn a_figure_agrees_within_half_its_last_digit() {
    let tolerance =
        |printed: &str| value(&line(50, "dynamic,1,1", "makespan_s", printed)).tolerance();
    assert_eq!(tolerance("81"), 0.5);
    assert_eq!(tolerance("1.0"), 0.05);
    assert!((tolerance("0.455") - 0.0005).abs() < 1e-18);

    let trace = made_up(60);
    let exact = value(&line(50, "dynamic,1,1", "makespan_s", "1"));
    let outcome = simulate(&trace, &exact.scenario).unwrap().summary;
    let seconds = outcome.published().makespan_s;
    // One step of the last digit either way is outside, the rounded number is inside.
    for digits in 0..4usize {
        let step = 10f64.powi(-(digits as i32));
        for (shift, agrees) in [(0.0, true), (1.0, false), (-1.0, false)] {
            let printed = format!("{:.digits$}", seconds + shift * step);
            let row = plan(
                vec![value(&line(50, "dynamic,1,1", "makespan_s", &printed))],
                60,
                &Source::default(),
            );
            let judged = judge(&row.rows[0], &outcome);
            assert_eq!(judged[0].agrees, agrees, "{printed} for {seconds}");
            assert_eq!(judged[0].simulated, Some(seconds));
        }
    }
}

#[test]
fn every_figure_of_the_table_is_found_in_an_outcome() {
    let values = built_in().unwrap();
    // Some of these requests break a token SLA of 15 ms, not all.
    let mut scenario = values[0].scenario.clone();
    scenario.sla.token_ms = 15.0;
    let outcome = simulate(&made_up(60), &scenario).unwrap().summary;
    for value in &values {
        assert!(value.figure.of(&outcome).is_some(), "{:?}", value.figure);
    }
    let share = |name: &str| Figure::named(name).unwrap().of(&outcome).unwrap();
    let broken = share("token_violations");
    assert!(broken > 0.0 && broken < 60.0, "{broken}");
    assert_eq!(
        share("token_violations_percent"),
        100.0 * share("token_violations") / 60.0
    );
    assert_eq!(
        share("gpu_utilization_percent"),
        100.0 * share("gpu_utilization_mean")
    );
}

#[test]
fn the_whole_file_is_known_by_size_and_checksum() {
    let trace = made_up(60);
    let sha = format!("4bb37836{}e12122", "0".repeat(50));
    assert_eq!(recognise(&trace, 52_283_111, &sha), Recognised::Whole);
    assert_eq!(recognise(&trace, 52_283_110, &sha), Recognised::Unknown);
    let lf = format!("46fc9480{}", "0".repeat(56));
    assert_eq!(recognise(&trace, 50_853_373, &lf), Recognised::Whole);
    assert_eq!(recognise(&trace, 50_853_373, &sha), Recognised::Unknown);
    let other = sha.replace("e12122", "e12123");
    assert_eq!(recognise(&trace, 52_283_111, &other), Recognised::Unknown);
}

#[test]
fn a_beginning_is_known_by_its_first_400_rows() {
    let Some(mut trace) = crate::support::burstgpt_head() else {
        return;
    };
    assert_eq!(recognise(&trace, 1, ""), Recognised::Beginning);
    trace.arrival.push(1e6);
    trace.prompt.push(1);
    trace.output.push(1);
    assert_eq!(recognise(&trace, 1, ""), Recognised::Beginning);
    trace.output[399] += 1;
    assert_eq!(recognise(&trace, 1, ""), Recognised::Unknown);
}

#[test]
fn the_first_week_is_known_by_its_rows() {
    let Some(mut trace) = crate::support::burstgpt_week() else {
        return;
    };
    assert_eq!(recognise(&trace, 1, ""), Recognised::Week);
    trace.output[19_430] += 1;
    assert_eq!(recognise(&trace, 1, ""), Recognised::Beginning);
}

/// A row of a result file, with its settings as words.
fn published_row(run: &str, precision: &str, figure: &str, published: &str, note: &str) -> String {
    let header = format!("file,commit,line,version,precision,run,{figure},note");
    format!("{header}\na.csv,abc,2,v4 low,{precision},{run},{published},{note}\n")
}

const RUN: &str = "--limit 60 --scale 200 --state nov29 --sched dynamic_no_bins --gpus 1 --model \
                   grid-new --target 0.03 --eps 0.005 --token-sla 0.03 --request-sla 20 --rule tbt";

#[test]
fn words_of_a_run_are_a_scenario() {
    let values = published_rows::read(&published_row(RUN, "full", "num_batches", "3", ""), "r.csv");
    let mut expected = Preset::StressV2.scenario();
    expected.closed_mut().policy = Policy::Dynamic;
    expected.closed_mut().controller.target_s = Some(0.03);
    expected.bins.count = 1;
    expected.fleet.gpus = 1;
    expected.workload.limit = Some(60);
    assert_eq!(values.unwrap()[0].scenario, expected);

    let bins = "--sched multi_bin_dynamic --bins 4 --bounds sample:700 --cap --wake ascending --seed 3 \
                --kv 0.5 --mmod 1 --feed service --rule deadline --deadline 0.05";
    let s = published_rows::scenario(&format!("{RUN} {bins}")).unwrap();
    assert_eq!(s.closed().unwrap().policy, Policy::MultiBinDynamic);
    assert_eq!(s.bins.sample_size, 700);
    assert_eq!(s.bins.boundaries, Boundaries::EqualMassPredictions);
    assert!(s.bins.batch_caps);
    assert_eq!(s.workload.ties, Ties::PublishedHeapAscending);
    assert_eq!(
        (s.seed, s.memory().kv_gb_per_token, s.memory().model_gb),
        (3, 0.5, 1.0)
    );
    assert_eq!(s.closed().unwrap().controller.feedback, Feedback::Service);
    assert_eq!(s.sla.published_token_rule, TokenRule::EndToEnd);
    assert_eq!(s.sla.token_ms, 50.0);
}

#[test]
fn wrong_rows_are_refused_by_line_and_column() {
    for (text, words) in [
        ("a,b\n1,2\n".to_owned(), "version"),
        (
            published_row(RUN, "full", "num_batches", "three", ""),
            "num_batches",
        ),
        (published_row(RUN, "full", "batches", "3", ""), "batches"),
        (
            published_row(RUN, "exact", "num_batches", "3", ""),
            "precision",
        ),
        (
            published_row(RUN, "full", "num_batches", "", ""),
            "no figure",
        ),
        (
            published_row("--limit x", "full", "num_batches", "3", ""),
            "--scale",
        ),
        (
            published_row(&RUN.replace("60", "x"), "full", "num_batches", "3", ""),
            "--limit",
        ),
        (
            published_row(&RUN.replace("tbt", "tpot"), "full", "num_batches", "3", ""),
            "tpot",
        ),
        (
            published_row(&format!("{RUN} --what 1"), "full", "num_batches", "3", ""),
            "--what",
        ),
        (
            published_row(&format!("{RUN} --gpus 0"), "full", "num_batches", "3", ""),
            "fleet.gpus",
        ),
        (
            published_row(
                &RUN.replace("dynamic_no_bins", "multi_bin_dynamic"),
                "full",
                "num_batches",
                "3",
                "",
            ),
            "--bins",
        ),
    ] {
        let message = published_rows::read(&text, "r.csv")
            .unwrap_err()
            .to_string();
        assert!(message.contains(words), "{words} is not in {message}");
    }
}

#[test]
fn rows_agree_as_exactly_as_they_were_printed() {
    let trace = made_up(60);
    let scenario = published_rows::scenario(RUN).unwrap();
    let outcome = simulate(&trace, &scenario).unwrap().summary;
    let latency = outcome.published().avg_latency_s;
    let share = outcome.published().request_violations as f64 / 60.0;
    let cases = [
        ("full", "avg_latency", format!("{latency}"), "", true),
        (
            "full",
            "avg_latency",
            format!("{}", latency * (1.0 + 0.9e-9)),
            "",
            true,
        ),
        (
            "full",
            "avg_latency",
            format!("{}", latency * (1.0 + 1.1e-9)),
            "",
            false,
        ),
        ("rounded", "avg_latency", format!("{latency:.3}"), "", true),
        (
            "rounded",
            "avg_latency",
            format!("{:.3}", latency + 1e-3),
            "",
            false,
        ),
        (
            "spreadsheet",
            "avg_latency",
            format!("{}", (latency * 1e4).round() / 1e4),
            "",
            true,
        ),
        (
            "rounded",
            "request_violation_pct",
            format!("{:.1}", (share * 10.0).round() * 10.0),
            "printed from a row already rounded to 1 decimals",
            true,
        ),
    ];
    for (precision, figure, published, note, agrees) in cases {
        let text = published_row(RUN, precision, figure, &published, note);
        let values = published_rows::read(&text, "r.csv").unwrap();
        let plan = plan(values, 60, &Source::default());
        let judged = judge(&plan.rows[0], &outcome);
        assert_eq!(
            judged[0].agrees, agrees,
            "{figure} {published} for {latency}"
        );
    }
}

/// Every published row with up to 10,000 requests, every figure.
#[test]
fn all_915_published_rows_are_met() {
    let (Some(trace), Some(path)) = (
        crate::support::burstgpt_week(),
        crate::support::shared("golden/published-rows.csv"),
    ) else {
        return;
    };
    let text = fs::read_to_string(path).unwrap();
    let values = published_rows::read(&text, "published-rows.csv").unwrap();
    let plan = plan(values, trace.len() as u64, &Source::default());
    assert!(plan.left_out.is_empty());
    let comparisons = judge_all(&plan, &trace);
    assert_eq!(comparisons.len(), 16_066);
    let wrong: Vec<String> = comparisons
        .iter()
        .filter(|c| !c.agrees)
        .map(|c| {
            format!(
                "row {} {} {} {:?}",
                c.row, c.figure, c.published, c.simulated
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows_agree(&comparisons), (915, 915));
}

/// The built-in table, as far as the first week goes.
#[test]
fn the_built_in_table_is_met_on_the_first_week() {
    let Some(trace) = crate::support::burstgpt_week() else {
        return;
    };
    let plan = plan(built_in().unwrap(), trace.len() as u64, &Source::default());
    let comparisons = judge_all(&plan, &trace);
    assert_eq!(comparisons.len(), 1361);
    let wrong: Vec<&Comparison> = comparisons.iter().filter(|c| !c.agrees).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// On two threads: the runs are independent.
fn judge_all(plan: &Plan, trace: &Trace) -> Vec<Comparison> {
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || {
                let rows = plan.rows.iter().skip(half).step_by(2);
                let judged =
                    rows.map(|row| judge(row, &simulate(trace, &row.scenario).unwrap().summary));
                judged.flatten().collect::<Vec<_>>()
            })
        });
        halves
            .into_iter()
            .flat_map(|half| half.join().unwrap())
            .collect()
    })
}

#[test]
fn the_command_compares_rows_of_ones_own() {
    let folder = TempDir::new().unwrap();
    let trace = write_trace(&folder, &made_up(60));
    let outcome = simulate(&made_up(60), &published_rows::scenario(RUN).unwrap()).unwrap();
    let batches = outcome.summary.published().batches;
    let rows = folder.path().join("rows.csv");
    for (published, exit, said) in [
        (batches, 0, "1 row compared: 1 agree, 0 differ"),
        (batches + 1, 1, "1 row compared: 0 agree, 1 differ"),
    ] {
        let text = published_row(RUN, "full", "num_batches", &published.to_string(), "");
        fs::write(&rows, text).unwrap();
        let output = reproduce(&[
            "--trace",
            name(&trace),
            "--rows",
            name(&rows),
            "-j",
            "1",
            "--anyway",
        ]);
        let screen = self::text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{}",
            self::text(&output.stderr)
        );
        assert_eq!(screen.lines().last(), Some(said));
        let named = format!("num_batches published {published}, simulated {batches}");
        assert_eq!(screen.contains(&named), exit == 1, "{screen}");
    }
}

#[test]
fn a_file_is_described_and_refused_in_a_sentence() {
    let report = |recognised, rows| FileReport {
        name: "a.csv".to_owned(),
        bytes: 1,
        sha256: String::new(),
        rows,
        recognised,
    };
    let cases = [
        (Recognised::Whole, 1_429_737, "the complete BurstGPT_1.csv"),
        (
            Recognised::Beginning,
            400,
            "the first 400 rows of BurstGPT_1",
        ),
        (
            Recognised::Beginning,
            401,
            "401 rows; the first 400 are those",
        ),
        (
            Recognised::Unknown,
            401,
            "401 rows, not from BurstGPT_1.csv",
        ),
    ];
    for (recognised, rows, words) in cases {
        let file = report(recognised, rows);
        let said = file.describe();
        assert!(said.starts_with(&format!("a.csv: {words}")), "{said}");
        assert_eq!(
            file.refusal().is_some(),
            recognised == Recognised::Unknown,
            "{said}"
        );
    }
}

#[test]
fn what_differs_stands_first() {
    let trace = made_up(60);
    // The second figure of "b" is wrong by far, everything else is what the run gives.
    let settings = "dynamic,1,1";
    let scenario = value(&line(50, settings, "batches", "1")).scenario;
    let outcome = simulate(&trace, &scenario).unwrap().summary;
    let right = |figure: &str| {
        let number = Figure::named(figure).unwrap().of(&outcome).unwrap();
        value(&line(50, settings, figure, &format!("{number:.3}")))
    };
    let mut values = Vec::new();
    for study in ["a", "b"] {
        for figure in ["avg_latency_s", "makespan_s", "avg_batch"] {
            let mut value = right(figure);
            value.study = study.to_owned();
            values.push(value);
        }
    }
    values[4].published = "123456.789".to_owned();
    let plan = plan(values, 60, &Source::default());
    let comparisons: Vec<Comparison> = plan
        .rows
        .iter()
        .flat_map(|row| judge(row, &outcome))
        .collect();
    let shown: Vec<(&str, usize, Vec<&str>)> = differing_first(&comparisons)
        .into_iter()
        .map(|s| {
            (
                s.study,
                s.differ,
                s.comparisons.iter().map(|c| c.figure).collect(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("b", 1, vec!["makespan_s", "avg_latency_s", "avg_batch"]),
            ("a", 0, vec!["avg_latency_s", "makespan_s", "avg_batch"]),
        ]
    );
}

#[test]
fn a_comparison_shows_two_digits_more_than_were_printed() {
    let row = plan(
        vec![
            value(&line(50, "multi-bin-dynamic,2,4", "avg_latency_s", "1.5")),
            value(&line(50, "multi-bin-dynamic,2,4", "batches", "7")),
        ],
        120,
        &Source::default(),
    );
    let outcome = simulate(&made_up(120), &row.rows[0].scenario)
        .unwrap()
        .summary;
    let judged = judge(&row.rows[0], &outcome);
    let latency = outcome.published().avg_latency_s;
    assert_eq!(judged[0].simulated_text(), format!("{latency:.3}"));
    assert_eq!(
        judged[0].difference_text(),
        format!("{:+.3}", latency - 1.5)
    );
    let batches = outcome.published().batches;
    assert_eq!(judged[1].simulated_text(), batches.to_string());
    assert_eq!(
        judged[0].run_name(),
        "50 requests / 200, multi-bin-dynamic, 2 GPUs, 4 bins"
    );
    let mut none = judged[0].clone();
    none.simulated = None;
    assert_eq!(none.simulated_text(), "-");
}

#[test]
fn the_command_meets_every_figure_of_the_400_row_head() {
    let Some(path) = crate::support::shared("data/burstgpt_slice/BurstGPT_1_head.csv") else {
        return;
    };
    let output = reproduce(&["--trace", name(&path), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["file"]["recognised"], "beginning");
    assert_eq!(report["compared"], 96);
    assert_eq!(report["differ"], 0);
    assert_eq!(report["comparisons"].as_array().unwrap().len(), 96);
    let left_out = report["left_out"].as_array().unwrap();
    let figures: u64 = left_out
        .iter()
        .map(|l| l["figures"].as_u64().unwrap())
        .sum();
    assert_eq!(figures, 1486);
}

/// The figures of the first 400 rows have bins made of these rows, whatever follows them.
#[test]
fn rows_after_the_head_do_not_change_its_figures() {
    let Some(path) = crate::support::shared("data/burstgpt_slice/BurstGPT_1_head.csv") else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let longer = folder.path().join("longer.csv");
    let mut rows = fs::read_to_string(&path).unwrap();
    for i in 0..300 {
        rows += &format!("{},ChatGPT,10,3000,3010,API log\n", 50_000 + i);
    }
    fs::write(&longer, rows).unwrap();
    let output = reproduce(&["--trace", name(&longer)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let screen = text(&output.stdout);
    assert!(screen.contains("700 rows; the first 400 are those of BurstGPT_1.csv"));
    assert!(screen.contains("96 figures compared: 96 agree"));
}

#[test]
fn a_table_of_ones_own_is_met_or_not() {
    let folder = TempDir::new().unwrap();
    let trace = made_up(120);
    let file = write_trace(&folder, &trace);
    let settings = ["static-fifo,1,1", "dynamic,2,1", "multi-bin-dynamic,1,4"];
    let mut lines = Vec::new();
    for setting in settings {
        for figure in ["batches", "avg_latency_s", "tokens_per_s"] {
            let scenario = value(&line(110, setting, figure, "1")).scenario;
            let outcome = simulate(&trace, &scenario).unwrap().summary;
            let number = Figure::named(figure).unwrap().of(&outcome).unwrap();
            let digits = if figure == "batches" { 0 } else { 4 };
            lines.push(line(110, setting, figure, &format!("{number:.digits$}")));
        }
    }
    // Longer than the file: left out, and no mismatch.
    lines.push(line(500, "dynamic,1,1", "batches", "7"));
    let own = write_table(&folder, &lines);
    let args = ["--trace", name(&file), "--published", name(&own)];
    let output = reproduce(&args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let screen = text(&output.stdout);
    assert!(screen.contains("9 figures compared: 9 agree"), "{screen}");
    assert!(screen.contains("mine: 1 figure needs the first 500 rows"));
    assert!(!screen.contains("differs"));

    // One digit changed: the table says which, CSV and JSON too, and the exit code is 1.
    let right = lines[4].rsplit(',').nth(1).unwrap().to_owned();
    let wrong = format!("{:.4}", right.parse::<f64>().unwrap() + 0.0001);
    lines[4] = line(110, settings[1], "avg_latency_s", &wrong);
    write_table(&folder, &lines);
    let out = folder.path().join("out.csv");
    let output = reproduce(&[&args[..], &["--out", name(&out)]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "batchscope: 1 of 9 published figures differs by more than rounding [mismatch]\n"
    );
    // One verdict, and the last line counts it.
    assert_eq!(text(&output.stdout).matches("differs").count(), 2);
    assert!(text(&output.stdout).ends_with("last printed digit, 1 differs\n"));
    let written = fs::read_to_string(&out).unwrap();
    let differing: Vec<_> = written
        .lines()
        .filter(|l| l.contains(",differs,"))
        .collect();
    assert_eq!(differing.len(), 1);
    assert!(differing[0].contains(&format!(",avg_latency_s,{wrong},")));
    assert_eq!(written.lines().count(), 10);

    let output = reproduce(&[&args[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["differ"], 1);
    let wrongs: Vec<_> = report["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["agrees"] == false)
        .collect();
    assert_eq!(wrongs.len(), 1);
    assert_eq!(wrongs[0]["figure"], "avg_latency_s");
    assert_eq!(wrongs[0]["published"], wrong);
    assert_eq!(wrongs[0]["gpus"], 2);
}

#[test]
fn an_unknown_file_is_refused_unless_asked_for() {
    let folder = TempDir::new().unwrap();
    let file = write_trace(&folder, &made_up(450));
    let output = reproduce(&["--trace", name(&file)]);
    refused(
        &output,
        2,
        &["BurstGPT_1.csv", "--anyway", "[contradiction]"],
    );
    let output = reproduce(&["--trace", name(&file), "--anyway"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("no verdict below means anything"));
}

#[test]
fn wrong_tables_are_refused_by_line_and_column() {
    let folder = TempDir::new().unwrap();
    let file = write_trace(&folder, &made_up(60));
    let own = folder.path().join("mine.csv");
    let good = line(50, "dynamic,1,1", "batches", "7");
    for (bad, words) in [
        (
            good.replace("stress-v2", "v9"),
            &["row 2", "preset", "two-step"][..],
        ),
        (
            good.replace("batches", "speed"),
            &["row 2", "figure", "avg_tbt_ms"],
        ),
        (good.replace(",7,", ",7e3,"), &["row 2", "published", "7e3"]),
        (good.replace(",7,", ",,"), &["row 2", "published"]),
        (
            good.replace("dynamic,1", "fifo,1"),
            &["row 2", "scheduler", "static-fifo"],
        ),
        (
            good.replace("dynamic,1", "dynamic,0"),
            &["row 2", "fleet.gpus"],
        ),
        (
            good.replace(",100,,", ",100,new,"),
            &["row 2", "variant", "decode-step"],
        ),
        (good.replace(",made up", ""), &["row 2", "11 fields"]),
    ] {
        fs::write(&own, format!("{}\n{bad}\n", COLUMNS.join(","))).unwrap();
        let output = reproduce(&["--trace", name(&file), "--published", name(&own)]);
        refused(&output, 3, words);
    }
    fs::write(&own, format!("{good}\n")).unwrap();
    let output = reproduce(&["--trace", name(&file), "--published", name(&own)]);
    refused(&output, 3, &["no column", "[missing-column]"]);
    fs::write(&own, format!("{}\n", COLUMNS.join(","))).unwrap();
    let output = reproduce(&["--trace", name(&file), "--published", name(&own)]);
    refused(&output, 3, &["no published value"]);
}

#[test]
fn inputs_are_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let file = write_trace(&folder, &made_up(60));
    let own = write_table(&folder, &[line(50, "dynamic,1,1", "batches", "7")]);
    for out in [&file, &own] {
        let before = fs::read(out).unwrap();
        let output = reproduce(&[
            "--trace",
            name(&file),
            "--published",
            name(&own),
            "--out",
            name(out),
        ]);
        refused(&output, 2, &["--out", "the same file"]);
        assert_eq!(fs::read(out).unwrap(), before);
    }
}

#[test]
fn a_table_row_has_a_cell_for_every_column() {
    let row = plan(
        vec![value(&line(50, "dynamic,1,1", "offered_tokens_per_s", "1"))],
        60,
        &Source::default(),
    );
    // One request has no span, hence no rate: absent, not 0, and never in agreement.
    let mut scenario = row.rows[0].scenario.clone();
    scenario.workload.limit = Some(1);
    let outcome = simulate(&made_up(60), &scenario).unwrap().summary;
    let judged = judge(&row.rows[0], &outcome);
    assert_eq!(judged[0].simulated, None);
    assert!(!judged[0].agrees);
    let table = table(&judged);
    assert!(table.rows.iter().all(|r| r.len() == table.columns.len()));
}

#[test]
fn the_error_of_a_mismatch_has_a_stable_code() {
    let error = Error::Mismatch {
        differ: 1,
        compared: 2,
    };
    assert_eq!(error.code(), "mismatch");
    assert_eq!(error.report().file, None);
}
