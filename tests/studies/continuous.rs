//! The study of continuous batching: its places, files, words and refusals.

use batchscope::published::continuous::Continuous;
use batchscope::published::{Execution, Study};
use batchscope::report::document::Content;

use crate::support::studies::run;

fn small() -> Continuous {
    Continuous {
        seeds: 3,
        requests_per_gpu: 300,
        rates_per_gpu: vec![5.0, 30.0],
        gpu_counts: vec![1, 2],
        bin_counts: vec![1, 4],
        ..Continuous::default()
    }
}

#[test]
fn one_bin_is_no_bin_and_every_difference_is_paired() {
    let execution = run(Study::Continuous(small()));
    let files = execution.files().unwrap();
    let table = |name: &str| {
        let file = files.iter().find(|f| f.name == name).unwrap();
        match &file.content {
            Content::Table(table) => table.clone(),
            other => panic!("{other:?}"),
        }
    };
    let points = table("continuous_points.csv");
    // Per fleet, rate and promise: four systems that predict nothing, and of the others five predictors
    // each; on one GPU no bin has replicas of its own.
    let places = 2 * 2 * (4 + 3 * 5) + 2 * 2 * (4 + 4 * 5) + 2 * 2;
    assert_eq!(points.rows.len(), places * 3);
    let differences = table("continuous_differences.csv");
    assert_eq!(differences.rows.len(), places - 2 * 2 * 2);
    // A single bin shares a replica with everybody: the very run of the plain system.
    let latency = points
        .columns
        .iter()
        .position(|c| c == "e2e_mean_s")
        .unwrap();
    let row = |system: &str, bins: &str, rate: &str, promise: &str| {
        let text = |cell: &batchscope::report::document::Cell| format!("{cell:?}");
        points
            .rows
            .iter()
            .find(|r| {
                text(&r[0]).contains(&format!("\"{system}\""))
                    && text(&r[1]).contains(rate)
                    && text(&r[2]).contains("(1)")
                    && text(&r[3]).contains(bins)
                    && text(&r[5]).contains(promise)
            })
            .unwrap()[latency]
            .clone()
    };
    assert_eq!(
        row("bins share a replica", "(1)", "(30.0)", "loose"),
        row("continuous", "Empty", "(30.0)", "loose")
    );
    let report = files
        .iter()
        .find(|f| f.name == "continuous_report.md")
        .unwrap();
    let Content::Text(text) = &report.content else {
        panic!("the report is text");
    };
    for words in [
        "# Do bins still pay",
        "**bins share a replica**",
        "| closed batches, bins |",
        "| 4 |",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut Continuous)| {
        let mut study = small();
        change(&mut study);
        Execution::new(Study::Continuous(study), 1)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(|s| s.seeds = 2).starts_with("continuous.seeds: 2 is not allowed"));
    assert!(refused(|s| s.rates_per_gpu.clear()).starts_with("continuous.rates_per_gpu: []"));
    assert!(refused(|s| s.rates_per_gpu = vec![f64::NAN]).starts_with("continuous.rates_per_gpu"));
    assert!(refused(|s| s.gpu_counts = vec![0]).starts_with("continuous.gpu_counts: [0]"));
    assert!(refused(|s| s.bins = 0).starts_with("continuous.bins: 0"));
    assert!(refused(|s| s.model = "gpt-9".to_owned()).starts_with("continuous.model: gpt-9"));
    assert!(
        refused(|s| s.hardware = "abacus".to_owned()).starts_with("continuous.hardware: abacus")
    );
}
