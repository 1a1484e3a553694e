//! `batchscope study paper`.

use clap::Args;

use super::{Common, set};
use crate::cli::args::{count, number};
use crate::published::Study;
use crate::published::paper::Paper;
use crate::scenario::MAX_BATCH;
use crate::sched::bins::MAX_BINS;

#[derive(Args)]
pub struct PaperArgs {
    #[command(flatten)]
    common: Common,
    /// Requests of each run, at least ten full batches for each bin [default: 400000].
    #[arg(long, value_name = "N", value_parser = count(1, u32::MAX))]
    requests: Option<u32>,
    /// Batch sizes [default: 128,8].
    #[arg(long, value_name = "B,B,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_BATCH))]
    batch_sizes: Option<Vec<u32>>,
    /// Numbers of bins without prediction errors [default: 1,2,3,4,5,8,16,32].
    #[arg(long, value_name = "K,K,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_BINS))]
    bin_counts: Option<Vec<u32>>,
    /// Numbers of bins with prediction errors [default: 2,4,8].
    #[arg(long, value_name = "K,K,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = count(1, MAX_BINS))]
    error_bin_counts: Option<Vec<u32>>,
    /// Chances of one bin too low, and the same of one too high [default: 0,0.01,0.05,0.1,0.25,0.5].
    #[arg(long, value_name = "P,P,...", value_delimiter = ',', allow_hyphen_values = true, value_parser = number(0.0, 0.5))]
    bin_errors: Option<Vec<f64>>,
}

impl PaperArgs {
    pub fn study(self) -> (Study, Common) {
        let mut study = Paper::default();
        set(&mut study.requests, self.requests);
        set(&mut study.batch_sizes, self.batch_sizes);
        set(&mut study.bin_counts, self.bin_counts);
        set(&mut study.error_bin_counts, self.error_bin_counts);
        set(&mut study.bin_errors, self.bin_errors);
        (Study::Paper(study), self.common)
    }
}
