//! Columns of numbers from CSV files of measurements.

use std::io::Read;

use crate::Error;

/// The named columns of a CSV file as numbers, and one as text; other columns are not read.
pub(super) fn columns<const N: usize>(
    input: impl Read,
    file: &str,
    columns: [&str; N],
    text: Option<&str>,
) -> Result<(Vec<String>, [Vec<f64>; N]), Error> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(input);
    let broken = |e: csv::Error, row: u64| Error::BadRow {
        file: file.to_owned(),
        row,
        problem: e.to_string(),
    };
    let header = reader.headers().map_err(|e| broken(e, 1))?.clone();
    let place = |name: &str| {
        let found = header.iter().position(|h| h.eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::MissingColumn {
            file: file.to_owned(),
            needed: name.to_owned(),
            found: header.iter().collect::<Vec<_>>().join(", "),
        })
    };
    let mut places = [0; N];
    for (at, name) in places.iter_mut().zip(columns) {
        *at = place(name)?;
    }
    let text = text.map(place).transpose()?;
    let mut names = Vec::new();
    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for (row, record) in (2u64..).zip(reader.records()) {
        let record = record.map_err(|e| broken(e, row))?;
        for ((column, &at), name) in values.iter_mut().zip(&places).zip(columns) {
            let cell = record.get(at).unwrap_or_default();
            let value = cell.parse::<f64>().ok();
            // Counts are whole and fit; the checks of their ranges come with the whole.
            let fits = |v: &f64| {
                v.is_finite() && *v >= 0.0 && (is_time(name) || (*v <= 4e9 && v.fract() == 0.0))
            };
            match value.filter(fits) {
                Some(value) => column.push(value),
                None => {
                    return Err(Error::BadCell {
                        file: file.to_owned(),
                        row,
                        column: name.to_owned(),
                        value: crate::error::printable(cell.as_bytes()),
                        allowed: if is_time(name) {
                            "a time from 0 up"
                        } else {
                            "a whole number from 0 to 4e9"
                        }
                        .to_owned(),
                    });
                }
            }
        }
        if let Some(at) = text {
            names.push(record.get(at).unwrap_or_default().to_owned());
        }
    }
    if values[0].is_empty() {
        return Err(Error::EmptyTrace {
            file: file.to_owned(),
            problem: "there is no row of data in it".to_owned(),
        });
    }
    Ok((names, values))
}

fn is_time(column: &str) -> bool {
    column.contains("time") || column.ends_with("_us")
}
