//! Runs a study in this process and compares its files with those under `tests/golden/studies/`.

use std::fs;
use std::path::PathBuf;

use batchscope::scenario::{Scenario, Source};
use batchscope::study::document::{Content, File, Table};
use batchscope::study::{Execution, Study};
use batchscope::{Trace, report, simulate};

/// The study run to its end, on the given trace or on those that its scenarios make.
pub fn run(study: Study, trace: Option<&Trace>) -> Execution {
    let mut execution = Execution::new(study, 1).unwrap();
    // Scenarios of one study mostly share a trace.
    let mut made: Option<(Source, u32, Trace)> = None;
    while !execution.pending().is_empty() {
        let outcomes = execution
            .pending()
            .iter()
            .map(|scenario: &Scenario| {
                let Source::Synthetic(synthetic) = &scenario.trace else {
                    let trace = trace.expect("a trace for scenarios that name a file");
                    return simulate(trace, scenario).unwrap().summary;
                };
                let same = |(source, seed, _): &(Source, u32, Trace)| {
                    *source == scenario.trace && *seed == scenario.seed
                };
                if !made.as_ref().is_some_and(same) {
                    let trace = synthetic.generate(scenario.seed).unwrap();
                    made = Some((scenario.trace.clone(), scenario.seed, trace));
                }
                let (_, _, trace) = made.as_ref().unwrap();
                simulate(trace, scenario).unwrap().summary
            })
            .collect();
        execution.take(outcomes).unwrap();
    }
    execution
}

/// The table of that name; panics with the names there are.
pub fn table<'a>(files: &'a [File], name: &str) -> &'a Table {
    let found = files.iter().find(|file| file.name == name);
    match found.map(|file| &file.content) {
        Some(Content::Table(table)) => table,
        _ => panic!("no table {name} among {:?}", names(files)),
    }
}

pub fn text<'a>(files: &'a [File], name: &str) -> &'a str {
    let found = files.iter().find(|file| file.name == name);
    match found.map(|file| &file.content) {
        Some(Content::Text(text)) => text,
        _ => panic!("no text {name} among {:?}", names(files)),
    }
}

pub fn names(files: &[File]) -> Vec<&str> {
    files.iter().map(|file| file.name.as_str()).collect()
}

/// Tables, texts and JSON byte for byte; figures are not compared. `BATCHSCOPE_UPDATE=1` rewrites
/// the golden files.
pub fn compare_golden(study: &str, files: &[File]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/studies")
        .join(study);
    let mut stale = Vec::new();
    for file in files {
        if matches!(file.content, Content::Figure(_)) {
            continue;
        }
        for (name, bytes) in report::bytes(file).unwrap() {
            let path = folder.join(&name);
            if std::env::var_os("BATCHSCOPE_UPDATE").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &bytes).unwrap();
            } else if fs::read(&path).unwrap_or_default() != bytes {
                stale.push(name);
            }
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} in {} differ; after a wanted change run the test with BATCHSCOPE_UPDATE=1",
        folder.display()
    );
}
