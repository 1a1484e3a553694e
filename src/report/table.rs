//! Tables as CSV.

use crate::report::document::{Cell, Table};

/// What a table says where the engine does not know.
const NOT_MODELLED: &str = "not modelled";

/// A table as CSV: a header, then one record per row, each ended by a line feed.
///
/// A number is the shortest text that reads back as the same number. Text that a spreadsheet would
/// run as a formula (it begins with `=`, `+`, `-` or `@`) gets a leading `'`. A row keeps its own
/// length.
pub fn csv(table: &Table) -> String {
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new());
    let header = table.columns.iter().map(|name| inert(name)).collect();
    let rows = table
        .rows
        .iter()
        .map(|row| row.iter().map(field).collect::<Vec<_>>());
    for record in std::iter::once(header).chain(rows) {
        writer
            .write_record(record)
            .expect("memory takes every record of a flexible writer");
    }
    let bytes = writer.into_inner().expect("memory takes every byte");
    String::from_utf8(bytes).expect("fields and separators are UTF-8")
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => inert(text),
        other => plain(other),
    }
}

/// Text that no spreadsheet takes for a formula.
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Whole(n) => n.to_string(),
        // Display never uses an exponent: 1e300 would be 301 digits.
        Cell::Number(x) if *x != 0.0 && !(1e-7..1e21).contains(&x.abs()) && x.is_finite() => {
            format!("{x:e}")
        }
        Cell::Number(x) => x.to_string(),
        Cell::NotModelled => NOT_MODELLED.to_owned(),
        Cell::Empty => String::new(),
    }
}
