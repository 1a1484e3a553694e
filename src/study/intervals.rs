//! Mean and 95 % interval of every number of a table that was made several times.

use super::document::{Cell, Table};
use crate::least_squares::student_t_975;

/// From the same table of several replications: a column of numbers becomes three (mean, `_low`
/// and `_high` of its 95 % interval by Student's t), other columns stay. Numbers of a row that some
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
            for (column, &is_number) in is_number.iter().enumerate() {
                let found = cells(row, column);
                if is_number {
                    let numbers: Vec<f64> = found.iter().filter_map(|c| number(c)).collect();
                    out.extend(interval(&numbers));
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

/// Mean, low and high; a single number has no interval.
fn interval(numbers: &[f64]) -> [Cell; 3] {
    let n = numbers.len() as f64;
    if numbers.is_empty() {
        return [Cell::Empty, Cell::Empty, Cell::Empty];
    }
    let mean = numbers.iter().sum::<f64>() / n;
    if numbers.len() == 1 {
        return [Cell::Number(mean), Cell::Empty, Cell::Empty];
    }
    let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    let half = student_t_975(numbers.len() as u32 - 1) * libm::sqrt(variance / n);
    [
        Cell::Number(mean),
        Cell::Number(mean - half),
        Cell::Number(mean + half),
    ]
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
    fn mean_and_student_interval_of_three_values() {
        let tables = [table(1.0, "a"), table(2.0, "a"), table(3.0, "a")];
        let out = intervals(&tables.iter().collect::<Vec<_>>());
        assert_eq!(
            out.columns,
            ["replications", "name", "x", "x_low", "x_high"]
        );
        let row = &out.rows[0];
        assert_eq!(row[..2], [Cell::Whole(3), Cell::from("a")]);
        // 2 -+ 4.302653 * 1 / sqrt(3).
        for (cell, expected) in row[2..].iter().zip([2.0, -0.484_138, 4.484_138]) {
            assert!((number(cell).unwrap() - expected).abs() < 1e-6, "{cell:?}");
        }
    }

    #[test]
    fn text_that_differs_says_so() {
        let tables = [table(1.0, "a"), table(2.0, "b")];
        let out = intervals(&tables.iter().collect::<Vec<_>>());
        assert_eq!(out.rows[0][1], Cell::from("varies"));
    }
}
