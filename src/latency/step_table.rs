//! Step times from a measured table: lines between the points (docs/MODEL.md, "Measured step tables").

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::columns::columns;
use super::curve::{Curve, Family, beyond};
use super::work::{Piece, StepWork, Timed};
use crate::Error;

/// Measured steps, a column per number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StepTable {
    /// Decoding sequences.
    pub sequences: Vec<u32>,
    /// Their contexts together, tokens.
    pub context: Vec<u32>,
    /// Prompt tokens processed in the same step.
    pub prefill: Vec<u32>,
    /// Time of the step, ms.
    pub time_ms: Vec<f64>,
}

impl StepTable {
    /// Reads a CSV with the columns `batch`, `context`, `prefill` and `time_ms`.
    ///
    /// Errors: as [`super::profile::read`].
    pub fn read(input: impl Read, file: &str) -> Result<StepTable, Error> {
        let names = ["batch", "context", "prefill", "time_ms"];
        let [batch, context, prefill, time_ms] = columns(input, file, names, None)?.1;
        let counts = |column: Vec<f64>| column.into_iter().map(|x| x as u32).collect();
        let table = StepTable {
            sequences: counts(batch),
            context: counts(context),
            prefill: counts(prefill),
            time_ms,
        };
        table.check("latency.table")?;
        Ok(table)
    }

    /// Errors: names what is wrong, by its path under `at`.
    pub fn check(&self, at: &str) -> Result<(), Error> {
        let refuse = |field: &str, value: String, allowed: &str| {
            Err(Error::bad_field(format!("{at}.{field}"), value, allowed))
        };
        let rows = self.time_ms.len();
        let columns = [&self.sequences, &self.context, &self.prefill];
        if columns.iter().any(|column| column.len() != rows) {
            let value = "columns of different lengths".to_owned();
            return refuse("time_ms", value, "one entry per measurement in each column");
        }
        let bad = |time: &f64| !(1e-6..1e7).contains(time);
        if let Some(row) = self.time_ms.iter().position(bad) {
            let value = self.time_ms[row].to_string();
            return refuse(
                &format!("time_ms[{row}]"),
                value,
                "at least 1e-6 and below 1e7 ms",
            );
        }
        let decodes = (0..rows).filter(|&i| self.prefill[i] == 0 && self.sequences[i] > 0);
        if decodes.count() < 2 {
            let value = format!("{rows} measurements");
            return refuse(
                "prefill",
                value,
                "at least two that only decode (prefill 0, batch above 0)",
            );
        }
        Ok(())
    }

    /// The table for the inner loop.
    pub fn model(&self) -> StepTableModel {
        let mut surfaces: BTreeMap<u32, BTreeMap<u32, Vec<(f64, f64)>>> = BTreeMap::new();
        for i in 0..self.time_ms.len() {
            let point = (f64::from(self.context[i]), self.time_ms[i] * 1e-3);
            let surface = surfaces.entry(self.prefill[i]).or_default();
            surface.entry(self.sequences[i]).or_default().push(point);
        }
        StepTableModel {
            surfaces: surfaces
                .into_iter()
                .map(|(prefill, curves)| {
                    let curves = curves.into_iter();
                    let curves = curves.map(|(n, points)| (f64::from(n), Curve::new(points)));
                    (f64::from(prefill), Family::new(curves))
                })
                .collect(),
        }
    }
}

/// A table, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTableModel {
    /// By prompt tokens: by sequences, over context.
    surfaces: Vec<(f64, Family)>,
}

impl StepTableModel {
    /// Time of a step.
    pub fn step(&self, work: &StepWork<'_>) -> Timed {
        if work.chunks.is_empty() {
            let piece = self.decode(work.sequences, work.context);
            return Timed {
                seconds: piece.at_s,
                inside: piece.inside,
            };
        }
        let tokens = f64::from(work.chunks.iter().map(|c| c.tokens).sum::<u32>());
        let (sequences, context) = (f64::from(work.sequences), work.context as f64);
        let n = self.surfaces.len();
        let at = |place: usize| self.surfaces[place].1.line(sequences, context);
        let after = self.surfaces.partition_point(|(p, _)| *p < tokens);
        if n == 1 {
            return Timed {
                seconds: at(0).y,
                inside: false,
            };
        }
        // The surface without a prompt is the first.
        let low = after.clamp(1, n - 1) - 1;
        let (a, b) = (at(low), at(low + 1));
        let (p, q) = (self.surfaces[low].0, self.surfaces[low + 1].0);
        let weight = (tokens - p) / (q - p);
        if after == n {
            return Timed {
                seconds: beyond(a.y, b.y, weight - 1.0),
                inside: false,
            };
        }
        Timed {
            seconds: a.y + (b.y - a.y) * weight,
            inside: a.inside && b.inside,
        }
    }

    /// The line of steps that only decode.
    #[inline]
    pub fn decode(&self, sequences: u32, context: u64) -> Piece {
        let line = self.surfaces[0]
            .1
            .line(f64::from(sequences), context as f64);
        Piece {
            at_s: line.y,
            per_token_s: line.slope,
            until: if line.until < 1e18 {
                line.until as u64
            } else {
                u64::MAX
            },
            inside: line.inside,
        }
    }
}
