//! Mean and 95 % interval of every number of a table that was made several times.

use crate::interval::{self, Range};
use crate::report::document::{Cell, Table};

/// From the same table of several replications: a column of numbers becomes three (mean, `_low`
/// and `_high` of its 95 % interval, empty where the data do not suffice), other columns stay. Numbers of a row that some
/// replications lack are of those that have it. Text that differs reads "varies".
pub(super) fn intervals(tables: &[&Table]) -> Table {
    let Some(first) = tables.first() else {
        return Table::default();
    };
    let cells = |row: usize, column: usize| -> Vec<&Cell> {
        tables
            .iter()
            .filter_map(|table| table.rows.get(row)?.get(column))
            .collect()
    };
    let rows = tables.iter().map(|t| t.rows.len()).max().unwrap_or(0);
    let is_number: Vec<bool> = (0..first.columns.len())
        .map(|column| {
            (0..rows).any(|row| cells(row, column).into_iter().any(|c| number(c).is_some()))
        })
        .collect();
    let mut columns = vec!["replications".to_owned()];
    for (name, &is_number) in first.columns.iter().zip(&is_number) {
        columns.push(name.clone());
        if is_number {
            columns.push(format!("{name}_low"));
            columns.push(format!("{name}_high"));
        }
    }
    let rows = (0..rows)
        .map(|row| {
            let mut out = vec![Cell::Whole(cells(row, 0).len() as u64)];
            for (column, (&is_number, name)) in is_number.iter().zip(&first.columns).enumerate() {
                let found = cells(row, column);
                if is_number {
                    let numbers: Vec<f64> = found.iter().filter_map(|c| number(c)).collect();
                    out.extend(interval(name, &numbers));
                } else {
                    out.push(match found.split_first() {
                        Some((&one, rest)) if rest.iter().all(|&c| c == one) => one.clone(),
                        _ => Cell::from("varies"),
                    });
                }
            }
            out
        })
        .collect();
    Table { columns, rows }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Whole(n) => Some(*n as f64),
        Cell::Number(x) => Some(*x),
        Cell::Text(_) | Cell::NotModelled | Cell::Empty => None,
    }
}

/// Mean, low and high.
fn interval(column: &str, numbers: &[f64]) -> [Cell; 3] {
    if numbers.is_empty() {
        return [Cell::Empty, Cell::Empty, Cell::Empty];
    }
    let mean = Cell::Number(interval::mean(numbers));
    match interval::of_mean(numbers, range(column, numbers)) {
        Some([low, high]) => [mean, Cell::Number(low), Cell::Number(high)],
        None => [mean, Cell::Empty, Cell::Empty],
    }
}

/// The values that a column of the studies' tables can take, by its name.
fn range(column: &str, numbers: &[f64]) -> Range {
    const SHARES: [&str; 10] = [
        "_kept",
        "violation_rate",
        "violation_rate_token",
        "violation_rate_request",
        "utilization",
        "utilization_mean",
        "utilization_min",
        "utilization_max",
        "accuracy",
        "waste",
    ];
    const SIGNED: [&str; 6] = [
        "difference",
        "gain",
        "improvement",
        "reduction",
        "error",
        "variance_pct",
    ];
    let within = |most: f64| numbers.iter().all(|x| (0.0..=most).contains(x));
    if (column == "right_bin" || SHARES.iter().any(|name| column.ends_with(name))) && within(1.0) {
        Range::Share
    } else if SIGNED.iter().any(|name| column.contains(name)) || !within(f64::INFINITY) {
        Range::Any
    } else {
        Range::Positive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(x: f64, text: &str) -> Table {
        Table {
            columns: vec!["name".to_owned(), "x".to_owned()],
            rows: vec![vec![Cell::from(text), Cell::Number(x)]],
        }
    }

    #[test]
    fn mean_and_interval_of_three_values() {
        let tables = [table(1.0, "a"), table(2.0, "a"), table(3.0, "a")];
        let out = intervals(&tables.iter().collect::<Vec<_>>());
        assert_eq!(
            out.columns,
            ["replications", "name", "x", "x_low", "x_high"]
        );
        let row = &out.rows[0];
        assert_eq!(row[..2], [Cell::Whole(3), Cell::from("a")]);
        // 2 exp(-+4.302653 / sqrt(3) / 2): a time, a count or a rate is not below 0.
        for (cell, expected) in row[2..].iter().zip([2.0, 0.577_572, 6.925_541]) {
            assert!((number(cell).unwrap() - expected).abs() < 1e-6, "{cell:?}");
        }
    }

    #[test]
    fn columns_have_the_range_of_their_figure() {
        let shares = [0.9, 0.95, 1.0];
        for name in [
            "sla_violation_rate",
            "both_slas_kept",
            "gpu_utilization",
            "right_bin",
        ] {
            assert_eq!(range(name, &shares), Range::Share, "{name}");
        }
        assert_eq!(range("avg_latency", &shares), Range::Positive);
        assert_eq!(range("throughput_gain_pct", &shares), Range::Any);
        assert_eq!(range("x", &[-1.0, 1.0]), Range::Any);
    }

    #[test]
    fn text_that_differs_says_so() {
        let tables = [table(1.0, "a"), table(2.0, "b")];
        let out = intervals(&tables.iter().collect::<Vec<_>>());
        assert_eq!(out.rows[0][1], Cell::from("varies"));
    }
}
