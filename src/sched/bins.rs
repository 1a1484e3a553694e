//! Bins by predicted length: where the boundaries lie and which bin is served next.

use serde::{Deserialize, Serialize};

/// How requests are sorted into bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Bins {
    /// K. Ignored by boundaries `fixed`, which bring their own count.
    pub count: u32,
    pub boundaries: Boundaries,
    pub served: Served,
    /// `equal-mass` and the other fitted boundaries look at this many leading rows of the trace.
    pub sample_rows: u32,
    /// Of those rows, the first so many that did not fail.
    pub sample_size: u32,
    /// Interior cuts of boundaries `fixed`: K - 1 increasing lengths, tokens.
    pub cuts: Vec<u32>,
    /// Upper end of the last bin, tokens.
    pub last_upper: u32,
    /// A prediction below the lowest boundary goes to the last bin, as in the published studies;
    /// otherwise to the first.
    pub below_range_to_last: bool,
}

impl Default for Bins {
    fn default() -> Self {
        Bins {
            count: 8,
            boundaries: Boundaries::default(),
            served: Served::default(),
            sample_rows: 20_000,
            sample_size: 10_000,
            cuts: vec![64, 256, 1024],
            last_upper: 10_000,
            below_range_to_last: false,
        }
    }
}

/// Where the boundaries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Boundaries {
    /// Quantiles of the true outputs of the sample (studies stress-v2 and two-step).
    EqualMassOutputs,
    /// Quantiles of the predictions of the sample (study three-step): bins that really hold equal
    /// shares of the requests.
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
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Served {
    /// The next bin that is not empty, from where the last turn ended.
    #[default]
    RoundRobin,
    /// The bin with most requests waiting; the lowest of equals.
    LongestQueue,
}
