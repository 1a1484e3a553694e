//! The SLA controller: a batch size that keeps the time per token near its target.

use serde::{Deserialize, Serialize};

use super::memory::Ended;

/// The controller's variant and every constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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
    /// First estimate of the batch size; where bins have caps, at most the middle of 1 and the cap.
    pub initial_batch: f64,
    /// The interval keeps its initial value until this many batches have ended.
    pub warmup_batches: u32,
    pub running_floor: RunningFloor,
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
            running_floor: RunningFloor::default(),
            band_from_delta: false,
        }
    }
}

/// Which published controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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

/// The paper's `N_decode`: no batch is smaller than the number of requests in service on the other
/// GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum RunningFloor {
    /// No such floor (studies of 24 November).
    Off,
    /// Counted when the batch is formed (the published program from 4 December on).
    #[default]
    AtFormation,
    /// Counted when the last batch of the same bin ended, 0 before that (studies of 29 November to
    /// 2 December).
    AtLastEnd,
}

/// What a batch that ended tells the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
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
    /// Requests in service on the other GPUs when the last batch ended.
    running_at_end: u32,
}

/// What the controller holds at a moment, for pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl ControllerState {
    /// `token_sla_s` is the target unless the settings bring their own; no batch is larger than
    /// `max_batch`.
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
            running_at_end: 0,
        }
    }

    /// Bounds the batch below the scheduler's maximum; the first estimate of the batch size is then
    /// at most the middle of the interval.
    pub(crate) fn capped(mut self, cap: u32) -> ControllerState {
        let cap = f64::from(cap);
        self.max_batch = least(self.max_batch, cap);
        self.high = self.max_batch;
        self.mean_batch = least(self.mean_batch, whole((self.low + self.high) / 2.0));
        self
    }

    /// Learns from a batch that ended, with `running_elsewhere` requests in service on the other
    /// GPUs.
    #[inline(always)]
    pub fn ended(&mut self, ended: &Ended, running_elsewhere: u32) {
        let observed = match self.settings.feedback {
            Feedback::Total if ended.shape.longest_output > 0 => {
                ended.service_s / f64::from(ended.shape.longest_output)
            }
            Feedback::Total | Feedback::Service => ended.service_s,
            Feedback::Decode => ended.decode_step_s,
        };
        let weight = self.settings.smoothing;
        self.tau = weight * observed + (1.0 - weight) * self.tau;
        self.mean_batch = weight * f64::from(ended.shape.size) + (1.0 - weight) * self.mean_batch;
        self.ended = self.ended.saturating_add(1);
        self.running_at_end = running_elsewhere;
    }

    /// Moves the interval and gives the batch size, 1..=max_batch.
    ///
    /// `running_elsewhere`: requests in service on the other GPUs.
    #[inline(always)]
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
        let floor = match self.settings.running_floor {
            RunningFloor::Off => 0,
            RunningFloor::AtFormation => running_elsewhere,
            RunningFloor::AtLastEnd => self.running_at_end,
        };
        batch = most(batch, f64::from(floor));
        batch.clamp(1.0, self.max_batch) as u32
    }

    pub fn interval(&self) -> Interval {
        Interval {
            low: self.low,
            high: self.high,
        }
    }

    /// The moving mean of the feedback time, which is compared with the target, s.
    pub fn tau_s(&self) -> f64 {
        self.tau
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
        self.low = most(self.low, 1.0);
        self.high = least(self.high, self.max_batch);
        self.low = least(self.low, self.high);
    }

    #[inline(always)]
    fn move_nov29(&mut self) {
        let alpha = f64::from(self.settings.alpha);
        let delta = f64::from(self.settings.delta);
        let mean = self.whole_mean_batch();
        if self.tau > self.target_s + self.settings.epsilon_s {
            self.high = least(self.high, most(mean, self.low + alpha));
            self.low = most(self.low - delta, 1.0);
        } else if self.tau < self.target_s - self.settings.epsilon_s {
            // Uses the interval's upper end before it gives way.
            let raised = least(mean, self.high - alpha);
            self.low = most(self.low, raised);
            self.high = least(self.high + delta, self.max_batch);
        } else {
            let half = self.half_band();
            self.high = least(mean + half, self.max_batch);
            self.low = most(mean - half, 1.0);
        }
        self.settle();
    }

    fn move_paper(&mut self) {
        let alpha = f64::from(self.settings.alpha);
        let delta = f64::from(self.settings.delta);
        let (low, high) = (self.low, self.high);
        if self.tau > self.target_s + self.settings.epsilon_s {
            self.high = most(self.mean_batch, low + alpha);
            self.low = most(low - delta, 1.0);
        } else if self.tau < self.target_s - self.settings.epsilon_s {
            self.low = least(self.mean_batch, high - alpha);
            self.high = least(high + delta, self.max_batch);
        } else {
            let half = self.half_band();
            self.high = least(self.mean_batch + half, self.max_batch);
            self.low = most(self.mean_batch - half, 1.0);
        }
        self.settle();
    }

    fn move_nov24(&mut self) {
        let band = 2.0 * self.settings.epsilon_s;
        if self.tau > self.target_s + band {
            self.high = least(self.high, most(whole(0.9 * self.mean_batch), 1.0));
            self.low = most(least(self.low, whole(0.7 * self.mean_batch)), 1.0);
        } else if self.tau < self.target_s - band {
            self.low = most(self.low, self.whole_mean_batch());
            // Below a mean batch of 3.34 this growth is 0: once low, `high` never recovers.
            self.high = least(self.high + whole(0.3 * self.mean_batch), self.max_batch);
        } else {
            let margin = most(whole(0.15 * (self.high - self.low)), 2.0);
            let mean = self.whole_mean_batch();
            self.low = most(mean - margin, 1.0);
            self.high = least(mean + margin, self.max_batch);
        }
        self.settle();
    }
}

/// `f64::min` without its care for NaN, which none of these is: one instruction instead of five.
#[inline]
fn least(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// `f64::max`, likewise.
#[inline]
fn most(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// Whole part of a number that is not negative, as Python's `int` has it. A cast, because `floor`
/// is a call on processors before SSE 4.1 and this runs once a batch.
#[inline]
fn whole(value: f64) -> f64 {
    value as u32 as f64
}
