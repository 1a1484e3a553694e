//! Least squares for [`Linear`](super::Linear) from a grid of measured batch times.
//!
//! `T = alpha + beta L + (beta gamma) L (b - 1) / b` is linear in alpha, beta and beta gamma, so
//! the minimum is found directly; the published studies searched for the same minimum by iteration
//! from a start value.

use std::io::Read;

use serde::Serialize;

use super::Linear;
use crate::error::{Error, printable};
use crate::least_squares::{inverse, student_t_975};

/// One measured batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub batch: u32,
    /// Longest prompt + output of the batch, tokens.
    pub longest_total: u32,
    pub seconds: f64,
}

/// A fitted model and how well it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fit {
    pub model: Linear,
    /// 95 % intervals (Student's t; gamma by the delta method).
    pub alpha_s_interval: [f64; 2],
    pub beta_s_per_token_interval: [f64; 2],
    pub gamma_interval: [f64; 2],
    /// Coefficient of determination.
    pub r2: f64,
    /// Root mean square of the residuals, s.
    pub rmse_s: f64,
    /// Largest residual in proportion to its measurement.
    pub worst_relative_error: f64,
    pub points: u32,
    /// Coefficients outside the bounds of the published fit (alpha .001..1 s, beta 1e-5..0.01
    /// s/token, gamma 0..2), where the original program would have stopped at the bound.
    pub outside_published_bounds: Vec<String>,
}

/// Times of a batch that are fitted, s: squares and proportions of them are finite.
const RANGE_S: std::ops::RangeInclusive<f64> = 1e-9..=1e9;
const ALLOWED_S: &str = "a time from 1e-9 to 1e9 s";

/// Fits [`Linear`] to measured batch times. `name` is for the error's sentence.
///
/// Errors: fewer than four points, a time outside [`RANGE_S`], a grid that does not vary both batch size and
/// length, or coefficients that are no finite numbers.
pub fn linear(points: &[Point], name: &str) -> Result<Fit, Error> {
    let no_fit = |problem: &str| Error::NoFit {
        file: name.to_owned(),
        problem: problem.to_owned(),
    };
    if points.len() < 4 {
        return Err(no_fit(&format!(
            "three coefficients and their errors need at least 4 points, and there {}",
            match points.len() {
                1 => "is 1".to_owned(),
                n => format!("are {n}"),
            }
        )));
    }
    if let Some(p) = points.iter().find(|p| !RANGE_S.contains(&p.seconds)) {
        return Err(no_fit(&format!(
            "a batch of {} took {:e} s; allowed is {ALLOWED_S}",
            p.batch, p.seconds
        )));
    }
    // Lengths in units of their mean keep the normal equations well conditioned.
    let unit = points
        .iter()
        .map(|p| f64::from(p.longest_total))
        .sum::<f64>()
        / points.len() as f64;
    let row = |p: &Point| {
        let length = f64::from(p.longest_total) / unit;
        let b = f64::from(p.batch);
        [1.0, length, length * (b - 1.0) / b]
    };
    let mut normal = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for p in points {
        let x = row(p);
        for i in 0..3 {
            for j in 0..3 {
                normal[i][j] += x[i] * x[j];
            }
            right[i] += x[i] * p.seconds;
        }
    }
    let inverse = inverse(normal).ok_or_else(|| {
        no_fit("the grid must vary the length and, apart from it, the batch size")
    })?;
    let solution: [f64; 3] =
        std::array::from_fn(|i| (0..3).map(|j| inverse[i][j] * right[j]).sum());
    let [alpha, beta, beta_gamma] = solution;
    if beta == 0.0 {
        return Err(no_fit("the time does not depend on the length"));
    }

    let mean = points.iter().map(|p| p.seconds).sum::<f64>() / points.len() as f64;
    let (mut residual, mut total, mut worst) = (0.0, 0.0, 0.0f64);
    for p in points {
        let x = row(p);
        let off = p.seconds - (0..3).map(|i| x[i] * solution[i]).sum::<f64>();
        residual += off * off;
        total += (p.seconds - mean) * (p.seconds - mean);
        worst = worst.max((off / p.seconds).abs());
    }
    if total == 0.0 {
        return Err(no_fit("every measurement is the same"));
    }
    let freedom = points.len() as u32 - 3;
    let variance = residual / f64::from(freedom);
    let t = student_t_975(freedom);
    let gamma = beta_gamma / beta;
    // d(gamma) = d(beta gamma) / beta - gamma d(beta) / beta.
    let gamma_variance = (inverse[2][2] - 2.0 * gamma * inverse[1][2]
        + gamma * gamma * inverse[1][1])
        / (beta * beta);
    let interval = |centre: f64, spread: f64, scale: f64| {
        let half = t * libm::sqrt((variance * spread).max(0.0)) * scale;
        [centre - half, centre + half]
    };
    let model = Linear {
        alpha_s: alpha,
        beta_s_per_token: beta / unit,
        gamma,
        ..Linear::default()
    };
    let found = Fit {
        alpha_s_interval: interval(alpha, inverse[0][0], 1.0),
        beta_s_per_token_interval: interval(beta / unit, inverse[1][1], 1.0 / unit),
        gamma_interval: interval(gamma, gamma_variance, 1.0),
        model,
        r2: 1.0 - residual / total,
        rmse_s: libm::sqrt(residual / points.len() as f64),
        worst_relative_error: worst,
        points: points.len() as u32,
        outside_published_bounds: outside(&model),
    };
    if found.numbers().into_iter().all(f64::is_finite) {
        Ok(found)
    } else {
        Err(no_fit(
            "the measurements are so unlike that a coefficient or its interval is no finite number; \
             measure again, or leave out what is no batch time",
        ))
    }
}

impl Fit {
    /// Whether gamma came out below 0 although 0 lies in its interval.
    pub fn gamma_may_be_zero(&self) -> bool {
        self.model.gamma < 0.0 && self.gamma_interval[1] >= 0.0
    }

    fn numbers(&self) -> [f64; 12] {
        let Linear {
            alpha_s,
            beta_s_per_token,
            gamma,
            ..
        } = self.model;
        let [a, b] = self.alpha_s_interval;
        let [c, d] = self.beta_s_per_token_interval;
        let [e, f] = self.gamma_interval;
        let quality = [self.r2, self.rmse_s, self.worst_relative_error];
        let [r2, rmse_s, worst] = quality;
        [
            alpha_s,
            beta_s_per_token,
            gamma,
            a,
            b,
            c,
            d,
            e,
            f,
            r2,
            rmse_s,
            worst,
        ]
    }
}

/// The coefficients outside the bounds of the published fit.
fn outside(model: &Linear) -> Vec<String> {
    [
        ("alpha_s", model.alpha_s, 0.001, 1.0),
        ("beta_s_per_token", model.beta_s_per_token, 1e-5, 0.01),
        ("gamma", model.gamma, 0.0, 2.0),
    ]
    .into_iter()
    .filter(|(_, value, low, high)| !(low..=high).contains(&value))
    .map(|(name, ..)| name.to_owned())
    .collect()
}

/// The accepted column names, the published grid's first.
const BATCH: [&str; 3] = ["batch_size", "batch", "b"];
const LENGTH: [&str; 4] = ["max_seq_len", "longest_total", "tokens", "L"];
const SECONDS: [&str; 4] = ["mean_latency_sec", "latency_s", "seconds", "s"];

/// Reads a grid of measured batch times from CSV with a header.
///
/// Errors: a missing column, or a cell outside its range, with its row.
pub fn read_grid(input: impl Read, name: &str) -> Result<Vec<Point>, Error> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(input);
    let broken = |e: csv::Error| Error::of_csv(&e, name);
    let header = reader.headers().map_err(broken)?.clone();
    let column = |names: &[&str]| {
        header
            .iter()
            .position(|h| names.contains(&h.trim_start_matches('\u{feff}')))
            .ok_or_else(|| Error::MissingColumn {
                file: name.to_owned(),
                needed: format!("\"{}\"", names.join("\" or \"")),
                found: format!("\"{}\"", header.iter().collect::<Vec<_>>().join("\", \"")),
            })
    };
    let columns = [column(&BATCH)?, column(&LENGTH)?, column(&SECONDS)?];
    let mut points = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let row = record.position().map_or(1, csv::Position::line);
        let text = columns.map(|c| record.get(c).unwrap_or(""));
        let bad = |i: usize, allowed: &str| Error::BadCell {
            file: name.to_owned(),
            row,
            column: header.get(columns[i]).unwrap_or("").to_owned(),
            value: printable(text[i].as_bytes()),
            allowed: allowed.to_owned(),
        };
        let whole = |i: usize| match text[i].parse::<u32>() {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(bad(i, "a whole number of at least 1")),
        };
        points.push(Point {
            batch: whole(0)?,
            longest_total: whole(1)?,
            seconds: match text[2].parse::<f64>() {
                Ok(s) if RANGE_S.contains(&s) => s,
                _ => return Err(bad(2, ALLOWED_S)),
            },
        });
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published 30-point grid: batch, then s at 128, 256, 512, 1024, 2048 tokens.
    const GRID: [(u32, [f64; 5]); 6] = [
        (1, [0.80, 1.55, 3.05, 6.05, 12.05]),
        (2, [0.88, 1.71, 3.36, 6.66, 13.26]),
        (4, [0.96, 1.86, 3.66, 7.26, 14.46]),
        (8, [1.00, 1.94, 3.82, 7.58, 15.10]),
        (16, [1.02, 1.98, 3.90, 7.74, 15.42]),
        (32, [1.04, 2.01, 3.95, 7.83, 15.59]),
    ];

    fn grid() -> Vec<Point> {
        GRID.iter()
            .flat_map(|&(batch, seconds)| {
                seconds
                    .into_iter()
                    .enumerate()
                    .map(move |(i, seconds)| Point {
                        batch,
                        longest_total: 128 << i,
                        seconds,
                    })
            })
            .collect()
    }

    #[test]
    fn the_published_fit() {
        let fit = linear(&grid(), "grid").unwrap();
        assert_eq!(format!("{:.8}", fit.model.alpha_s), "0.05965278");
        assert_eq!(format!("{:.8}", fit.model.beta_s_per_token), "0.00574200");
        assert_eq!(format!("{:.8}", fit.model.gamma), "0.31568071");
        assert_eq!(format!("{:.8}", fit.r2), "0.99946010");
        assert_eq!(fit.points, 30);
        assert!(fit.outside_published_bounds.is_empty());
        // The preset is the original program's own last digits.
        let preset = Linear::STRESS_V2;
        assert!((fit.model.alpha_s - preset.alpha_s).abs() < 1e-9);
        assert!((fit.model.beta_s_per_token - preset.beta_s_per_token).abs() < 1e-11);
        assert!((fit.model.gamma - preset.gamma).abs() < 1e-8);
    }

    #[test]
    fn intervals_hold_the_truth_and_shrink_to_it() {
        let truth = Linear::THREE_STEP;
        let exact: Vec<Point> = grid()
            .into_iter()
            .map(|p| Point {
                seconds: truth.service_s(p.batch, p.longest_total),
                ..p
            })
            .collect();
        let fit = linear(&exact, "exact").unwrap();
        assert!((fit.model.gamma - truth.gamma).abs() < 1e-9);
        assert!(fit.gamma_interval[1] - fit.gamma_interval[0] < 1e-6);
        let fit = linear(&grid(), "grid").unwrap();
        let [low, high] = fit.gamma_interval;
        assert!(low < fit.model.gamma && fit.model.gamma < high && high - low > 1e-3);
    }

    #[test]
    fn data_that_does_not_determine_a_fit() {
        let one_batch: Vec<Point> = grid().into_iter().filter(|p| p.batch == 4).collect();
        assert_eq!(linear(&one_batch, "g").unwrap_err().code(), "no-fit");
        assert_eq!(linear(&grid()[..3], "g").unwrap_err().code(), "no-fit");
    }

    #[test]
    fn times_beyond_any_batch_are_refused_with_a_sentence() {
        for time in ["1e300", "1e10", "1e-10", "5e-324", "0", "-1", "inf", "nan"] {
            let text = format!("b,tokens,s\n1,128,0.8\n2,128,{time}\n");
            let error = read_grid(text.as_bytes(), "grid").unwrap_err();
            assert_eq!(error.code(), "bad-cell", "{time}");
            assert!(error.to_string().ends_with("not a time from 1e-9 to 1e9 s"));
        }
        for time in [1e300, 5e-324, f64::NAN] {
            let mut points = grid();
            points[3].seconds = time;
            assert_eq!(linear(&points, "g").unwrap_err().code(), "no-fit");
        }
        // Within the range whatever comes out is a number or a sentence.
        for (i, time) in (0..30).flat_map(|i| [(i, 1e-9), (i, 1e9)]) {
            let mut points = grid();
            points[i].seconds = time;
            if let Ok(fit) = linear(&points, "g") {
                assert!(fit.numbers().into_iter().all(f64::is_finite), "{fit:?}");
            }
        }
    }

    #[test]
    fn a_bad_grid_names_row_and_column() {
        let text = "batch_size,max_seq_len,mean_latency_sec\n1,128,0.8\n2,x,0.9\n";
        let error = read_grid(text.as_bytes(), "grid.csv").unwrap_err();
        assert_eq!(
            error.to_string(),
            "grid.csv, row 3, column \"max_seq_len\": \"x\" is not a whole number of at least 1"
        );
        let error = read_grid("a,b\n1,2\n".as_bytes(), "grid.csv").unwrap_err();
        assert_eq!(error.code(), "missing-column");
    }
}
