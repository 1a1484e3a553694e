//! The study `paper`: simulation beside the closed forms, and its files byte for byte.

use crate::support::program::program;
use batchscope::published::paper::Paper;
use batchscope::published::{Execution, Study};
use batchscope::report::document::Cell;
use batchscope::report::document::Content;
use batchscope::report::figure::{Form, Plot};

use crate::support::studies::{all_but_figures, names, run, same_as_golden, table, text};

fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Whole(n) => *n as f64,
        Cell::Number(x) => *x,
        other => panic!("{other:?} is no number"),
    }
}

#[test]
fn simulated_throughput_is_the_theorems() {
    let paper = Paper {
        bin_errors: vec![0.0, 0.05, 0.5],
        ..Paper::default()
    };
    let files = run(Study::Paper(paper)).files().unwrap();
    let throughput = table(&files, "multi_bin_throughput.csv");
    let at = |name: &str| throughput.columns.iter().position(|c| c == name).unwrap();
    for row in &throughput.rows {
        let of = |name: &str| number(&row[at(name)]);
        let (off, error) = (of("relative_difference"), of("expected_standard_error"));
        assert!(off.abs() < 0.01, "{row:?}");
        assert!(off.abs() < 4.0 * error, "{row:?}");
        // Overloaded: the server is never idle for long, and the trace's end weighs little.
        assert!(of("gpu_utilization") > 0.999, "{row:?}");
        let served = of("served_requests_per_s") / of("simulated_requests_per_s");
        assert!((0.98..=1.0).contains(&served), "{row:?}");
    }
    // 2 batch sizes, 8 bins without errors and 3 with, 2 errors above 0.
    assert_eq!(throughput.rows.len(), 2 * (8 + 3 * 2));

    let exponential = table(&files, "multi_bin_exponential.csv");
    let ratio = exponential.columns.len() - 3;
    assert_eq!(exponential.columns[ratio], "simulated_over_bound");
    for row in &exponential.rows {
        // A bound, and close to it; one bin is exact and has 2,000 batches of 0.5 % error each.
        assert!((0.98..1.05).contains(&number(&row[ratio])), "{row:?}");
    }
}

fn small() -> Paper {
    Paper {
        requests: 4_000,
        batch_sizes: vec![8],
        bin_counts: vec![1, 2, 4],
        bin_errors: vec![0.0, 0.1],
        error_bin_counts: vec![2],
        exponential_bin_counts: vec![1, 2],
        ..Paper::default()
    }
}

#[test]
fn files_are_the_golden_ones() {
    let files = run(Study::Paper(small())).files().unwrap();
    assert_eq!(
        names(&files),
        [
            "paper_report.txt",
            "multi_bin_throughput.csv",
            "multi_bin_exponential.csv",
            "multi_bin_bins_needed.csv",
            "multi_bin_published.csv",
            "dynamic_batching_capacity.csv",
            "dynamic_batching_published.csv",
            "multi_bin_throughput",
            "dynamic_batching_model",
        ]
    );
    same_as_golden(&files, "paper", &all_but_figures(&files));
}

#[test]
fn the_report_and_figures_hold_what_is_known() {
    let files = run(Study::Paper(small())).files().unwrap();
    let report = text(&files, "paper_report.txt");
    for wanted in [
        "1,818",
        "2,841",
        "not modelled",
        "12.190",
        "outside that: 6.5 %",
    ] {
        assert!(report.contains(wanted), "{wanted} is not in\n{report}");
    }
    assert!(
        !report.contains("NaN") && !report.contains("inf"),
        "{report}"
    );
    for file in &files {
        let Content::Figure(figure) = &file.content else {
            continue;
        };
        assert!(figure.caption.ends_with('.'), "{}", figure.caption);
        for panel in &figure.panels {
            let Plot::Series { series, .. } = &panel.plot else {
                panic!("only series are drawn here");
            };
            for series in series {
                let (Form::Curve(points) | Form::Dots(points)) = &series.form else {
                    panic!("only curves and dots are drawn here");
                };
                assert!(!points.is_empty(), "{} has no point", series.name);
                assert!(points.iter().flatten().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn the_command_line_takes_a_seed_and_no_trace() {
    let run = |flags: &[&str]| {
        let small = [
            "--requests=10000",
            "--batch-sizes=8",
            "--bin-counts=2",
            "--error-bin-counts=2",
        ];
        program()
            .args(["study", "paper", "--bin-errors=0.1"])
            .args(small)
            .args(flags)
            .output()
            .unwrap()
    };
    let (first, again, other) = (run(&[]), run(&["--seed=42"]), run(&["--seed=7"]));
    assert!(first.status.success(), "{first:?}");
    assert_eq!(first.stdout, again.stdout);
    assert_ne!(first.stdout, other.stdout);
    let refused = run(&["--trace=x.csv"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("makes its own requests"));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |paper: Paper| Execution::new(Study::Paper(paper), 1).unwrap_err();
    for (paper, field) in [
        (
            Paper {
                batch_sizes: vec![0],
                ..small()
            },
            "paper.batch_sizes",
        ),
        (
            Paper {
                bin_counts: vec![129],
                ..small()
            },
            "paper.bin_counts",
        ),
        (
            Paper {
                bin_errors: vec![],
                ..small()
            },
            "paper.bin_errors",
        ),
        (
            Paper {
                bin_errors: vec![0.6],
                ..small()
            },
            "predictor.bin_error",
        ),
        (
            Paper {
                longest_s: 0.5,
                ..small()
            },
            "paper.longest_s",
        ),
        (
            Paper {
                shortest_s: f64::NAN,
                ..small()
            },
            "paper.shortest_s",
        ),
        (
            Paper {
                requests: 0,
                ..small()
            },
            "paper.requests",
        ),
    ] {
        let error = refused(paper).to_string();
        assert!(error.starts_with(&format!("{field}: ")), "{error}");
    }
    // Ten full batches for each bin: of 200 and 2 with exponential times, of 2,000 and 4.
    assert!(Execution::new(Study::Paper(small()), 1).is_ok());
    for (paper, least) in [
        (
            Paper {
                requests: 3_999,
                ..small()
            },
            "4000",
        ),
        (
            Paper {
                batch_sizes: vec![8, 2_000],
                ..small()
            },
            "80000",
        ),
    ] {
        let error = refused(paper);
        assert_eq!(error.code(), "bad-field");
        assert!(
            error.to_string().contains(&format!("at least {least}, ")),
            "{error}"
        );
    }
}
