//! Running studies and comparing their files with tracked ones.

use std::fs;
use std::path::Path;

use batchscope::metrics::Summary;
use batchscope::published::{Execution, Study};
use batchscope::report::document::{Cell, Content, File, Table};
use batchscope::report::figure::Figure;
use batchscope::scenario::Source;
use batchscope::{Error, Scenario, Trace, report, simulate};

/// The trace generated last: scenarios of one study mostly share it.
#[derive(Default)]
struct Generated(Option<(Source, u32, Trace)>);

impl Generated {
    /// The outcome of a scenario on its generated trace.
    fn outcome(&mut self, scenario: &Scenario) -> Summary {
        let Source::Synthetic(synthetic) = &scenario.trace else {
            panic!("this test replays generated traces only");
        };
        let same = |(source, seed, _): &(Source, u32, Trace)| {
            *source == scenario.trace && *seed == scenario.seed
        };
        if !self.0.as_ref().is_some_and(same) {
            let trace = synthetic.generate(scenario.seed).unwrap();
            self.0 = Some((scenario.trace.clone(), scenario.seed, trace));
        }
        let (_, _, trace) = self.0.as_ref().unwrap();
        simulate(trace, scenario).unwrap().summary
    }
}

/// The outcome of a scenario on its generated trace.
pub fn outcome(scenario: &Scenario) -> Summary {
    Generated::default().outcome(scenario)
}

/// All runs of a study.
pub fn run(study: Study) -> Execution {
    run_with(study, |_| {})
}

/// All runs of a study, each outcome changed on its way in.
pub fn run_with(study: Study, change: impl Fn(&mut Summary)) -> Execution {
    let mut execution = Execution::new(study, 1).unwrap();
    let mut traces = Generated::default();
    while !execution.pending().is_empty() {
        let outcomes = execution.pending().iter().map(|scenario| {
            let mut summary = traces.outcome(scenario);
            change(&mut summary);
            summary
        });
        let outcomes = outcomes.collect();
        execution.take(outcomes).unwrap();
    }
    execution
}

/// The field of which a study refuses the value.
pub fn refused_field(study: Study) -> String {
    match Execution::new(study, 1) {
        Err(Error::BadField { field, .. }) => field,
        other => panic!("not a refused field: {:?}", other.map(|_| "accepted")),
    }
}

pub fn names(files: &[File]) -> Vec<&str> {
    files.iter().map(|file| file.name.as_str()).collect()
}

fn find<'a>(files: &'a [File], name: &str) -> &'a Content {
    let file = files.iter().find(|file| file.name == name);
    &file.unwrap_or_else(|| panic!("no {name}")).content
}

pub fn text<'a>(files: &'a [File], name: &str) -> &'a str {
    match find(files, name) {
        Content::Text(text) => text,
        other => panic!("{name} is {other:?}"),
    }
}

pub fn table<'a>(files: &'a [File], name: &str) -> &'a Table {
    match find(files, name) {
        Content::Table(table) => table,
        other => panic!("{name} is {other:?}"),
    }
}

pub fn figure<'a>(files: &'a [File], name: &str) -> &'a Figure {
    match find(files, name) {
        Content::Figure(figure) => figure,
        other => panic!("{name} is {other:?}"),
    }
}

pub fn json<'a>(files: &'a [File], name: &str) -> &'a serde_json::Value {
    match find(files, name) {
        Content::Json(value) => value,
        other => panic!("{name} is {other:?}"),
    }
}

/// A column's numbers.
pub fn column(table: &Table, name: &str) -> Vec<f64> {
    let at = table.columns.iter().position(|c| c == name).unwrap();
    let number = |cell: &Cell| match cell {
        Cell::Whole(n) => *n as f64,
        Cell::Number(x) => *x,
        other => panic!("{name} holds {other:?}"),
    };
    table.rows.iter().map(|row| number(&row[at])).collect()
}

/// The names of everything but figures, whose bytes are compared once, for one study.
pub fn all_but_figures(files: &[File]) -> Vec<&str> {
    files
        .iter()
        .filter(|file| !matches!(file.content, Content::Figure(_)))
        .map(|file| file.name.as_str())
        .collect()
}

/// Compares files byte for byte with those in tests/golden/studies/`folder`, or rewrites them
/// where BATCHSCOPE_UPDATE is set.
pub fn same_as_golden(files: &[File], folder: &str, wanted: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/studies")
        .join(folder);
    for name in wanted {
        let file = files.iter().find(|file| file.name == *name).unwrap();
        for (name, bytes) in report::bytes(file).unwrap() {
            let path = folder.join(&name);
            if std::env::var_os("BATCHSCOPE_UPDATE").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, bytes).unwrap();
                continue;
            }
            let golden = fs::read(&path).unwrap_or_default();
            assert!(
                golden == bytes,
                "{} differs from what the study writes now; BATCHSCOPE_UPDATE=1 rewrites it",
                path.display()
            );
        }
    }
}
