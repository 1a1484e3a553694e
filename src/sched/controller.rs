//! The SLA controller: a batch size that keeps the time per token near its target.

use serde::{Deserialize, Serialize};

use super::memory::Ended;

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

/// The controller of one queue at work.
#[derive(Debug, Clone)]
pub struct ControllerState {
    settings: Controller,
    target_s: f64,
    max_batch: f64,
    low: f64,
    high: f64,
    /// Moving averages of the feedback time and of the batch size.
    tau: f64,
    mean_batch: f64,
    ended: u32,
}

/// What the controller holds at a moment, for pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl ControllerState {
    /// `token_sla_s` is the target unless the settings bring their own.
    pub fn new(settings: &Controller, token_sla_s: f64, max_batch: u32) -> ControllerState {
        ControllerState {
            settings: settings.clone(),
            target_s: settings.target_s.unwrap_or(token_sla_s),
            max_batch: f64::from(max_batch),
            low: 1.0,
            high: f64::from(max_batch),
            tau: 0.0,
            mean_batch: settings.initial_batch,
            ended: 0,
        }
    }

    /// Learns from a batch that ended.
    #[inline]
    pub fn ended(&mut self, ended: &Ended) {
        let observed = match self.settings.feedback {
            Feedback::Total if ended.longest_output > 0 => {
                ended.service_s / f64::from(ended.longest_output)
            }
            Feedback::Total | Feedback::Service => ended.service_s,
            Feedback::Decode => ended.decode_step_s,
        };
        let weight = self.settings.smoothing;
        self.tau = weight * observed + (1.0 - weight) * self.tau;
        self.mean_batch = weight * f64::from(ended.size) + (1.0 - weight) * self.mean_batch;
        self.ended = self.ended.saturating_add(1);
    }

    /// Moves the interval and gives the batch size, 1..=max_batch.
    ///
    /// `running_elsewhere`: requests in service on the other GPUs.
    #[inline]
    pub fn batch(&mut self, running_elsewhere: u32) -> u32 {
        if self.settings.variant == Variant::Off {
            return self.max_batch as u32;
        }
        if self.ended >= self.settings.warmup_batches {
            match self.settings.variant {
                Variant::Off => {}
                Variant::Nov24 => self.move_nov24(),
                Variant::Nov29 => self.move_nov29(),
                Variant::Paper => self.move_paper(),
            }
        } else {
            // The published program answers from the first interval, without the floor below.
            return ((self.low + self.high) / 2.0) as u32;
        }
        let mut batch = whole((self.low + self.high) / 2.0);
        if self.settings.at_least_running {
            batch = batch.max(f64::from(running_elsewhere));
        }
        batch.clamp(1.0, self.max_batch) as u32
    }

    pub fn interval(&self) -> Interval {
        Interval {
            low: self.low,
            high: self.high,
        }
    }

    fn whole_mean_batch(&self) -> f64 {
        whole(self.mean_batch)
    }

    fn half_band(&self) -> f64 {
        let width = if self.settings.band_from_delta {
            self.settings.delta
        } else {
            self.settings.alpha
        };
        f64::from(width / 2)
    }

    fn settle(&mut self) {
        self.low = self.low.max(1.0);
        self.high = self.high.min(self.max_batch);
        self.low = self.low.min(self.high);
    }

    fn move_nov29(&mut self) {
        let alpha = f64::from(self.settings.alpha);
        let delta = f64::from(self.settings.delta);
        let mean = self.whole_mean_batch();
        if self.tau > self.target_s + self.settings.epsilon_s {
            self.high = self.high.min(mean.max(self.low + alpha));
            self.low = (self.low - delta).max(1.0);
        } else if self.tau < self.target_s - self.settings.epsilon_s {
            // Uses the interval's upper end before it gives way.
            let raised = mean.min(self.high - alpha);
            self.low = self.low.max(raised);
            self.high = (self.high + delta).min(self.max_batch);
        } else {
            let half = self.half_band();
            self.high = (mean + half).min(self.max_batch);
            self.low = (mean - half).max(1.0);
        }
        self.settle();
    }

    fn move_paper(&mut self) {
        let alpha = f64::from(self.settings.alpha);
        let delta = f64::from(self.settings.delta);
        let (low, high) = (self.low, self.high);
        if self.tau > self.target_s + self.settings.epsilon_s {
            self.high = self.mean_batch.max(low + alpha);
            self.low = (low - delta).max(1.0);
        } else if self.tau < self.target_s - self.settings.epsilon_s {
            self.low = self.mean_batch.min(high - alpha);
            self.high = (high + delta).min(self.max_batch);
        } else {
            let half = self.half_band();
            self.high = (self.mean_batch + half).min(self.max_batch);
            self.low = (self.mean_batch - half).max(1.0);
        }
        self.settle();
    }

    fn move_nov24(&mut self) {
        let band = 2.0 * self.settings.epsilon_s;
        if self.tau > self.target_s + band {
            self.high = self.high.min(whole(0.9 * self.mean_batch).max(1.0));
            self.low = self.low.min(whole(0.7 * self.mean_batch)).max(1.0);
        } else if self.tau < self.target_s - band {
            self.low = self.low.max(self.whole_mean_batch());
            // Below a mean batch of 3.34 this growth is 0: once low, `high` never recovers.
            self.high = (self.high + whole(0.3 * self.mean_batch)).min(self.max_batch);
        } else {
            let margin = whole(0.15 * (self.high - self.low)).max(2.0);
            let mean = self.whole_mean_batch();
            self.low = (mean - margin).max(1.0);
            self.high = (mean + margin).min(self.max_batch);
        }
        self.settle();
    }
}

/// Whole part of a number that is not negative, as Python's `int` has it. A cast, because `floor`
/// is a call on processors before SSE 4.1 and this runs once a batch.
#[inline]
fn whole(value: f64) -> f64 {
    value as u32 as f64
}
