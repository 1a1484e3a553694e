//! Measurements of large models on servers of Splitwise (Patel et al., ISCA 2024): how far a linear model fitted to
//! three quarters of them is off on the rest.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use crate::Error;
use crate::least_squares::Weighted;

/// One measurement; times in ms, power as a share of the board's limit, 0 where it was not measured.
#[derive(Deserialize)]
struct Point {
    model: String,
    hardware: String,
    tensor_parallel: u32,
    prompt_size: u32,
    batch_size: u32,
    token_size: u32,
    prompt_time: f64,
    token_time: f64,
    average_power: f64,
    peak_power: f64,
}

/// How a fit does on the points that it has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Model, hardware and how many GPUs.
    pub group: String,
    pub quantity: &'static str,
    pub fitted: usize,
    pub held_out: usize,
    /// Of the absolute relative errors of the points held out.
    pub median: f64,
    pub p90: f64,
    pub worst: f64,
}

/// What is fitted: its name, and its value of a point.
type Quantity = (&'static str, fn(&Point) -> f64);

const QUANTITIES: [Quantity; 4] = [
    ("prompt time", |p| p.prompt_time),
    ("time per output token", |p| p.token_time),
    ("average power", |p| p.average_power),
    ("peak power", |p| p.peak_power),
];

/// Columns of the linear model: a constant, sequences, prompt tokens, pairs of them (attention) and, for
/// tokens, the context that they read.
fn columns(p: &Point) -> [f64; 5] {
    let (b, prompt, output) = (
        f64::from(p.batch_size),
        f64::from(p.prompt_size),
        f64::from(p.token_size),
    );
    [
        1.0,
        b,
        b * prompt,
        b * prompt * prompt,
        b * (prompt + output / 2.0),
    ]
}

/// Fits each group's times and powers on three quarters of its settings (in ascending order of prompt, batch and output
/// every fourth from the second on is held out, with all its repetitions), with errors in proportion and no coefficient
/// below 0.
///
/// Errors: the row and what is wrong with it.
pub fn held_out(input: impl Read, file: &str) -> Result<Vec<HeldOut>, Error> {
    let mut groups: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    let mut reader = csv::Reader::from_reader(input);
    for (row, record) in (2u64..).zip(reader.deserialize::<Point>()) {
        let bad = |problem: String| Error::BadRow {
            file: file.to_owned(),
            row,
            problem,
        };
        let point = record.map_err(|e| bad(e.to_string()))?;
        let good = |x: f64| x == 0.0 || (1e-9..=1e12).contains(&x);
        if !QUANTITIES.iter().all(|(_, of)| good(of(&point))) {
            let problem = "a time or power is not 0 or a number from 1e-9 to 1e12".to_owned();
            return Err(bad(problem));
        }
        let group = format!(
            "{}, {} x {}",
            point.model, point.tensor_parallel, point.hardware
        );
        groups.entry(group).or_default().push(point);
    }
    let mut found = Vec::new();
    for (group, points) in &groups {
        let setting = |p: &Point| (p.prompt_size, p.batch_size, p.token_size);
        let mut settings: Vec<_> = points.iter().map(setting).collect();
        settings.sort_unstable();
        settings.dedup();
        let is_held = |p: &Point| {
            let place = settings.binary_search(&setting(p)).unwrap_or(0);
            place % 4 == 1
        };
        for (quantity, of) in QUANTITIES {
            // 0 is not measured.
            let known: Vec<&Point> = points.iter().filter(|p| of(p) > 0.0).collect();
            let mut fit = Weighted::<5>::default();
            let mut fitted = 0;
            for p in known.iter().filter(|p| !is_held(p)) {
                let value = of(p);
                fit.add(&columns(p), value, 1.0 / (value * value));
                fitted += 1;
            }
            // A prompt's time does not depend on what is written after it.
            let free = [true, true, true, true, quantity == "time per output token"];
            let Some(solution) = fit.solve_nonnegative(free) else {
                continue;
            };
            let mut errors: Vec<f64> = known
                .iter()
                .filter(|p| is_held(p))
                .map(|p| {
                    let x = columns(p);
                    let predicted: f64 = x.iter().zip(solution.at).map(|(x, c)| x * c).sum();
                    (predicted / of(p) - 1.0).abs()
                })
                .collect();
            errors.sort_by(f64::total_cmp);
            if let Some(&worst) = errors.last() {
                let at = |q: f64| errors[((errors.len() - 1) as f64 * q) as usize];
                found.push(HeldOut {
                    group: group.clone(),
                    quantity,
                    fitted,
                    held_out: errors.len(),
                    median: at(0.5),
                    p90: at(0.9),
                    worst,
                });
            }
        }
    }
    Ok(found)
}
