//! The study `saturation` from users to files.
#![cfg(feature = "figures")]

mod support;

use batchscope::study::document::Cell;
use batchscope::study::saturation::{Measured, Saturation, points};
use batchscope::study::{Execution, Study};
use support::studies::{all_but_figures, column, run, same_as_golden, table, text};

#[test]
fn the_simulated_server_saturates_below_its_ceilings() {
    let study = Saturation {
        users: vec![10, 100, 400, 1600],
        ..Saturation::default()
    };
    let files = run(Study::Saturation(study)).files().unwrap();
    same_as_golden(&files, "saturation", &all_but_figures(&files));
    let levels = table(&files, "saturation_levels.csv");
    let throughput = column(levels, "tok_s");
    assert!(throughput.is_sorted(), "{throughput:?}");
    // 696 GB/s over 16 GB of weights, 256 requests at once; prompts take positions too.
    assert!(throughput[3] <= 11_136.0, "{throughput:?}");
    // Ten users on an idle server: N tokens / (latency + think time), in whole cycles.
    assert!((throughput[0] - 199.0).abs() < 2.0, "{throughput:?}");
    let power = levels.columns.iter().position(|c| c == "power_w").unwrap();
    assert!(
        levels
            .rows
            .iter()
            .all(|row| row[power] == Cell::NotModelled)
    );
}

#[test]
fn the_closed_loop_law_holds_for_the_simulator_itself() {
    let files = run(Study::Saturation(Saturation::default()))
        .files()
        .unwrap();
    let levels = table(&files, "saturation_levels.csv");
    let (given, law) = (column(levels, "tok_s"), column(levels, "closed_loop_tok_s"));
    for (given, law) in given.iter().zip(&law) {
        assert!((given / law - 1.0).abs() < 0.02, "{given} against {law}");
    }
    let report = text(&files, "saturation_report.txt");
    assert!(!report.contains("not what it was taken for"), "{report}");
}

#[test]
fn a_simulated_maximum_beyond_the_card_is_not_supported() {
    let study = Saturation {
        users: vec![50, 100, 200, 400, 800, 1600],
        ..Saturation::default()
    };
    let files = run(Study::Saturation(study)).files().unwrap();
    let report = text(&files, "saturation_report.txt");
    assert!(
        report.contains("The data cannot support a maximum:"),
        "{report}"
    );
    assert!(
        report
            .contains("\n- The fitted maximum of 12,568.6 tok/s exceeds what the hardware can do"),
        "{report}"
    );
}

#[test]
fn one_level_is_refused_before_anything_runs() {
    let study = Saturation {
        users: vec![10],
        ..Saturation::default()
    };
    let error = Execution::new(Study::Saturation(study), 1).unwrap_err();
    assert_eq!(error.report().field.as_deref(), Some("saturation.users"));
    assert!(error.to_string().contains("at least two levels"), "{error}");
}

#[test]
fn measured_levels_need_no_runs() {
    let study = Saturation {
        measured: Some(Measured {
            source: "the seed".to_owned(),
            levels: points::published(),
        }),
        ..Saturation::default()
    };
    let execution = run(Study::Saturation(study));
    assert_eq!(execution.outcomes().count(), 0);
    let files = execution.files().unwrap();
    let report = text(&files, "saturation_report.txt");
    assert!(report.contains("14,447.5 tok/s"), "{report}");
}
