//! Where the tests find real data. None of it is in the repository; a test without it says so.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod arbitrary;
pub mod calibration;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "cli")]
pub mod program;
pub mod studies;

use std::fs::File;
use std::path::PathBuf;

use batchscope::Trace;

/// A file beside the checkout, or a message that the test is skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(path);
    if full.exists() {
        return Some(full);
    }
    eprintln!("skipped: {} is not on this machine", full.display());
    None
}

/// The real first 400 rows of BurstGPT_1.csv.
pub fn burstgpt_head() -> Option<Trace> {
    let path = shared("data/burstgpt_slice/BurstGPT_1_head.csv")?;
    let file = File::open(&path).unwrap();
    Some(batchscope::trace::read(file, "BurstGPT_1_head.csv", None).unwrap())
}

/// The real first 19,431 rows of BurstGPT_1.csv.
pub fn burstgpt_week() -> Option<Trace> {
    let path = shared("data/burstgpt_week1/BurstGPT_first7days.csv")?;
    let file = File::open(&path).unwrap();
    Some(batchscope::trace::read(file, "BurstGPT_first7days.csv", None).unwrap())
}

/// What the original program printed for them.
pub fn golden_400() -> Option<serde_json::Value> {
    let path = shared("golden/published-400.json")?;
    Some(serde_json::from_reader(File::open(path).unwrap()).unwrap())
}
