//! Bins by predicted length: where the boundaries lie and which bin is served next.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::quantiles::quantile;

/// How requests are sorted into bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Bins {
    /// K. Ignored by boundaries `fixed`, which bring their own count.
    pub count: u32,
    pub boundaries: Boundaries,
    pub served: Served,
    /// Batch size that `multi-bin` waits for, and that boundaries `exponential-optimal` are made for.
    pub full_batch: u32,
    /// `equal-mass-outputs` looks at this many leading rows of the trace file.
    pub sample_rows: u32,
    /// Most requests that boundaries are fitted to: the first of those rows that did not
    /// fail, or the first replayed requests where predictions are fitted.
    pub sample_size: u32,
    /// Interior cuts of boundaries `fixed`: K - 1 increasing lengths, tokens.
    pub cuts: Vec<u32>,
    /// Upper end of the last bin, tokens.
    pub last_upper: u32,
    /// A prediction below the lowest boundary goes to the last bin, as in the published studies;
    /// otherwise to the first.
    pub below_range_to_last: bool,
    /// Bounds each bin's batch by the memory that requests of its middle length need, as in the published studies from v3
    /// on.
    pub batch_caps: bool,
}

impl Default for Bins {
    fn default() -> Self {
        Bins {
            count: 8,
            boundaries: Boundaries::default(),
            served: Served::default(),
            full_batch: 32,
            sample_rows: 20_000,
            sample_size: 10_000,
            cuts: vec![64, 256, 1024],
            last_upper: LAST_UPPER,
            below_range_to_last: false,
            batch_caps: false,
        }
    }
}

/// Where the boundaries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Boundaries {
    /// Quantiles of the true outputs of the sample (studies stress-v2 and two-step).
    EqualMassOutputs,
    /// Quantiles of the predictions of the sample (studies three-step, v3 and later): bins that
    /// really hold equal shares of the requests. Where quantiles coincide, the bins between them
    /// are empty.
    #[default]
    EqualMassPredictions,
    /// Equal steps between the shortest and the longest prediction of the sample.
    EqualWidth,
    /// The list in `cuts`.
    Fixed,
    /// The multi-bin paper's optimum for exponential lengths (appendix A.4), with the sample's
    /// mean prediction and batch size `full_batch`.
    ExponentialOptimal,
}

/// Which bin is served when a GPU is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Served {
    /// The next bin that is not empty, from where the last turn ended.
    #[default]
    RoundRobin,
    /// The bin with most requests waiting; the lowest of equals.
    LongestQueue,
}

/// No row of this bin is replayed.
pub const DROPPED: u8 = u8::MAX;

/// Most bins there can be: bin numbers are bytes, and one is [`DROPPED`].
pub const MAX_BINS: u32 = 128;

/// Default upper end of the last bin, tokens.
const LAST_UPPER: u32 = 10_000;

/// Longest length that a boundary can have, tokens: the look-up has an entry for each.
pub const MAX_CUT: u32 = 4_000_000;

/// What boundaries are fitted to.
pub struct Sample<'a> {
    /// True outputs of requests that did not fail, from the head of the trace file.
    pub outputs: &'a mut [u32],
    /// Predictions of the first replayed requests.
    pub predictions: &'a mut [u32],
}

/// The bins of a run: half-open intervals and a look-up from predicted length to bin.
#[derive(Debug, Clone, PartialEq)]
pub struct BinTable {
    intervals: Vec<[u32; 2]>,
    below_range_to_last: bool,
    /// Bin of every length up to the highest cut; longer ones are in the last bin.
    bin_of: Vec<u8>,
}

impl BinTable {
    /// One bin for everything, where requests are not sorted into bins.
    pub fn single() -> BinTable {
        BinTable::new(vec![[1, LAST_UPPER]], false)
    }

    fn new(intervals: Vec<[u32; 2]>, below_range_to_last: bool) -> BinTable {
        let last = intervals.len() - 1;
        let beyond = intervals[last][0];
        let lowest = intervals[0][0];
        let bin_of = (0..=beyond)
            .map(|length| {
                // The published rule: the first interval that holds the length, else the last.
                // Intervals may overlap where quantiles coincide.
                let bin = intervals
                    .iter()
                    .position(|[low, high]| (*low..*high).contains(&length))
                    .unwrap_or(if length < lowest && !below_range_to_last {
                        0
                    } else {
                        last
                    });
                bin as u8
            })
            .collect();
        BinTable {
            intervals,
            below_range_to_last,
            bin_of,
        }
    }

    /// `[lower, upper)` of each bin, tokens.
    pub fn intervals(&self) -> &[[u32; 2]] {
        &self.intervals
    }

    pub fn len(&self) -> usize {
        self.intervals.len()
    }

    /// Never: there is at least one bin.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Bin of a predicted length.
    #[inline(always)]
    pub fn bin(&self, predicted: u32) -> u8 {
        match self.bin_of.get(predicted as usize) {
            Some(&bin) => bin,
            None => (self.intervals.len() - 1) as u8,
        }
    }
}

impl Bins {
    /// The bins that these settings give for a sample.
    ///
    /// `full_batch` is the batch size that boundaries `exponential-optimal` are optimal for.
    /// Errors: a sample without any length to fit to.
    pub fn table(&self, sample: Sample<'_>, full_batch: u32) -> Result<BinTable, Error> {
        let count = self.count as usize;
        if count == 1 && self.boundaries != Boundaries::Fixed {
            let lowest = u32::from(self.boundaries != Boundaries::EqualMassPredictions);
            return Ok(BinTable::new(vec![[lowest, self.last_upper]], false));
        }
        let may_be_empty = self.boundaries == Boundaries::EqualMassPredictions;
        let edges = match self.boundaries {
            Boundaries::EqualMassOutputs => equal_mass(sample.outputs, count),
            Boundaries::EqualMassPredictions => equal_mass(sample.predictions, count),
            Boundaries::EqualWidth => equal_width(sample.predictions, count),
            Boundaries::Fixed => Some(
                std::iter::once(0)
                    .chain(self.cuts.iter().copied())
                    .collect(),
            ),
            Boundaries::ExponentialOptimal => {
                exponential_optimal(sample.predictions, count, full_batch)
            }
        };
        let edges = edges.ok_or_else(|| {
            Error::contradiction(
                "bins.boundaries",
                "the boundaries are fitted to a sample of the trace, and the sample has no \
                  request that did not fail; use \"fixed\" or another part of the trace",
            )
        })?;
        let intervals = (0..edges.len())
            .map(|i| {
                let low = edges[i].min(MAX_CUT);
                let high = match edges.get(i + 1) {
                    Some(&next) if may_be_empty => next.min(MAX_CUT),
                    next => next
                        .copied()
                        .unwrap_or(self.last_upper)
                        .max(low.saturating_add(1)),
                };
                [low, high]
            })
            .collect();
        Ok(BinTable::new(intervals, self.below_range_to_last))
    }
}

/// Lower edge of each bin: the i/K quantiles, cut to whole tokens as the published studies do.
fn equal_mass(lengths: &mut [u32], count: usize) -> Option<Vec<u32>> {
    (0..count)
        .map(|i| quantile(lengths, i as f64 / count as f64).map(|cut| cut as u32))
        .collect()
}

fn equal_width(lengths: &[u32], count: usize) -> Option<Vec<u32>> {
    let low = f64::from(*lengths.iter().min()?);
    let high = f64::from(*lengths.iter().max()?);
    let step = (high - low) / count as f64;
    Some((0..count).map(|i| (low + step * i as f64) as u32).collect())
}

/// Cuts `l_i = (1/mu) sum_{j=1..i} ln L_{k-j}`, with `L_1 = H_B`, `L_m = 1 + ln L_{m-1}`: the
/// minimum of the paper's upper bound for exponential lengths of mean `1/mu` (arXiv 2412.04504,
/// appendix A.4).
fn exponential_optimal(lengths: &[u32], count: usize, full_batch: u32) -> Option<Vec<u32>> {
    if lengths.is_empty() {
        return None;
    }
    let mean = lengths.iter().map(|&l| f64::from(l)).sum::<f64>() / lengths.len() as f64;
    Some(
        std::iter::once(0)
            .chain(
                exponential_cuts(mean, count, full_batch)
                    .into_iter()
                    .map(|cut| cut as u32),
            )
            .collect(),
    )
}

/// The interior cuts of [`Boundaries::ExponentialOptimal`], in the unit of `mean`.
pub fn exponential_cuts(mean: f64, count: usize, full_batch: u32) -> Vec<f64> {
    let harmonic: f64 = (1..=full_batch).map(|i| 1.0 / f64::from(i)).sum();
    let mut levels = vec![harmonic];
    while levels.len() < count {
        levels.push(1.0 + libm::log(levels[levels.len() - 1]));
    }
    let mut cut = 0.0;
    (1..count)
        .map(|i| {
            cut += libm::log(levels[count - i - 1]);
            mean * cut
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bins: &Bins, outputs: &[u32]) -> BinTable {
        bins.table(
            Sample {
                outputs: &mut outputs.to_vec(),
                predictions: &mut outputs.to_vec(),
            },
            8,
        )
        .unwrap()
    }

    #[test]
    fn published_rule_below_range_and_beyond() {
        let mut bins = Bins {
            count: 2,
            boundaries: Boundaries::EqualMassOutputs,
            below_range_to_last: true,
            ..Bins::default()
        };
        let outputs = [5, 6, 7, 8];
        let published = table(&bins, &outputs);
        assert_eq!(published.intervals(), [[5, 6], [6, 10_000]]);
        assert_eq!([1, 5, 6, 20_000].map(|l| published.bin(l)), [1, 0, 1, 1]);
        bins.below_range_to_last = false;
        assert_eq!(table(&bins, &outputs).bin(1), 0);
    }

    #[test]
    fn coinciding_quantiles_leave_every_length_a_bin() {
        let bins = Bins {
            count: 4,
            boundaries: Boundaries::EqualMassOutputs,
            ..Bins::default()
        };
        let table = table(&bins, &[3, 3, 3, 3, 9]);
        assert_eq!(table.intervals(), [[3, 4], [3, 4], [3, 4], [3, 10_000]]);
        assert_eq!([3, 4, 9].map(|l| table.bin(l)), [0, 3, 3]);
    }

    #[test]
    fn exponential_cuts_of_the_paper() {
        // arXiv 2412.04504, appendix A.4, mu = .1, B = 200.
        for (count, cuts) in [
            (2, vec![17.71]),
            (3, vec![10.19, 27.91]),
            (4, vec![7.03, 17.22, 34.93]),
            (5, vec![5.32, 12.35, 22.54, 40.25]),
        ] {
            let got = exponential_cuts(10.0, count, 200);
            assert_eq!(got.len(), cuts.len());
            for (got, want) in got.iter().zip(cuts) {
                assert!((got - want).abs() <= 0.0051, "{got} {want}");
            }
        }
    }
}
