//! The study `saturation` from users to files.
use crate::support::studies::{all_but_figures, column, run, same_as_golden, table, text};
use batchscope::experiment::saturation::ceilings::{Hardware, ModelSize};
use batchscope::experiment::saturation::points;
use batchscope::published::saturation::{Measured, Saturation};
use batchscope::published::{Execution, Study};
use batchscope::report::document::Cell;

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

/// The report on measured levels, which need no runs.
fn report_on(measured: Measured) -> String {
    let study = Saturation {
        measured: Some(measured),
        ..Saturation::default()
    };
    let execution = run(Study::Saturation(study));
    assert_eq!(execution.outcomes().count(), 0);
    let files = execution.files().unwrap();
    text(&files, "saturation_report.txt").to_owned()
}

#[test]
fn of_measured_levels_nothing_is_taken_from_the_published_server() {
    let report = report_on(Measured {
        source: "mine".to_owned(),
        levels: points::published(),
        ..Measured::default()
    });
    assert!(report.contains("14,447.5 tok/s"), "{report}");
    for words in [
        "  Hardware              not given\n  Model                 not given\n",
        "  MFU                   not given",
        "  Compute               not given",
        "  Weight bandwidth      not given",
        "  Largest batch         not given",
        "No ceiling of the hardware was held against these levels",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    for words in [
        "A40",
        "8.000e9",
        "256",
        "exceeds what the hardware",
        "Best MFU",
        "A closed loop",
    ] {
        assert!(!report.contains(words), "{words}: {report}");
    }
}

#[test]
fn what_is_given_of_measured_levels_is_used_and_no_more() {
    let peak_alone = Measured {
        source: "mine".to_owned(),
        levels: points::published(),
        hardware: Some(Hardware {
            name: "a card".to_owned(),
            peak_flops: Some(100e12),
            bandwidth_bytes_per_s: None,
            source: "as given".to_owned(),
        }),
        model: Some(ModelSize {
            params: 10e9,
            bytes_per_param: None,
        }),
        ..Measured::default()
    };
    let report = report_on(peak_alone);
    // 1457.8 tok/s of 100e12/(2 x 10e9) = 5000.
    for words in [
        "  MFU                   29.16 %",
        "  Compute               5,000 tok/s",
        "  Weight bandwidth      not given",
        "exceeds what the hardware can do, an MFU of 289 %",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    let published = Measured::as_published("the seed", points::published());
    let report = report_on(published);
    for words in [
        "SATURATION: the seed, on the server of the published benchmark\n",
        "  Hardware              NVIDIA A40\n",
        "  MFU                   15.58 %",
        "  Weight bandwidth      11,136 tok/s",
        "an MFU of 154 %",
        "A closed loop with 1.25 s of think time",
        "The server works on at most 256 requests at once",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
}

#[test]
fn another_peak_is_no_longer_that_of_an_a40() {
    let mut study = Saturation::default();
    study.hardware.as_mut().unwrap().peak_flops = Some(989e12);
    let files = run(Study::Saturation(study)).files().unwrap();
    let report = text(&files, "saturation_report.txt");
    assert!(
        report.contains("  Hardware              the accelerator\n"),
        "{report}"
    );
}
