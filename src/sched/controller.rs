//! The SLA controller: a batch size that keeps the time per token near its target.

use serde::{Deserialize, Serialize};

/// The controller's variant and every constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Controller {
    pub variant: Variant,
    pub feedback: Feedback,
    /// The time it steers to, s; absent means the token SLA.
    pub target_s: Option<f64>,
    /// Dead band around the target, s.
    pub epsilon_s: f64,
    /// The paper's alpha: least width of the search interval, requests.
    pub alpha: u32,
    /// The paper's delta: how far the other end gives way, requests.
    pub delta: u32,
    /// Weight of the newest batch in the moving averages.
    pub smoothing: f64,
    /// First estimate of the batch size.
    pub initial_batch: f64,
    /// Until so many batches have ended, the interval stays as it began.
    pub warmup_batches: u32,
    /// Never below the number of requests running on the other GPUs.
    pub at_least_running: bool,
    /// Inside the dead band the interval is `delta / 2` about the mean batch instead of
    /// `alpha / 2` (the last published commit).
    pub band_from_delta: bool,
}

impl Default for Controller {
    fn default() -> Self {
        Controller {
            variant: Variant::default(),
            feedback: Feedback::default(),
            target_s: None,
            epsilon_s: 0.005,
            alpha: 4,
            delta: 2,
            smoothing: 0.2,
            initial_batch: 64.0,
            warmup_batches: 3,
            at_least_running: true,
            band_from_delta: false,
        }
    }
}

/// Which published controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Variant {
    /// No controller: memory and `max_batch` alone bound the batch.
    Off,
    /// As it ran in study three-step.
    Nov24,
    /// As it ran in studies two-step and stress-v2: ratchets that only shrink or shift right.
    #[default]
    Nov29,
    /// Algorithm 2 of the dynamic-batching paper (arXiv 2503.05248), without ratchets.
    Paper,
}

/// What a batch that ended tells the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Feedback {
    /// Service time over the longest output (the service time if that is 0).
    #[default]
    Total,
    /// One decode position, `beta h(b)`.
    Decode,
    /// The whole service time.
    Service,
}
