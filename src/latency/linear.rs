//! The closed-batch latency of the published studies.

use serde::{Deserialize, Serialize};

/// `T(b, L) = max(floor, alpha + beta L h(b))`, `h(b) = 1 + gamma (b - 1) / b + growth (b - 1)`, for a
/// batch of `b` requests whose longest member has `L` = prompt + output tokens (docs/MODEL.md,
/// "Closed-batch latency").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Linear {
    /// Cost of a batch whatever its length, s.
    pub alpha_s: f64,
    /// Cost of one token position at batch size 1, s.
    pub beta_s_per_token: f64,
    /// How much dearer a position gets as the batch grows, at most: without `growth`,
    /// `h(inf) = 1 + gamma`.
    pub gamma: f64,
    /// How much dearer each further member makes a position; 0 in the published studies. Derived from
    /// a measured GPU, whose steps get longer with every sequence.
    pub growth: f64,
    /// Shortest service time, s.
    pub floor_s: f64,
}

impl Linear {
    /// Study "three-step" (November 24): the first generated grid, an exact line.
    pub const THREE_STEP: Linear = Linear {
        alpha_s: 0.015,
        beta_s_per_token: 0.000_30,
        gamma: 0.40,
        growth: 0.0,
        floor_s: 0.001,
    };
    /// Study "two-step" (November 29): hard-coded fall-back values, not calibrated at all.
    pub const TWO_STEP: Linear = Linear {
        alpha_s: 0.010,
        beta_s_per_token: 0.000_20,
        gamma: 0.30,
        growth: 0.0,
        floor_s: 0.001,
    };
    /// Study "stress-v2" (November 30): least squares over the 30-point grid, R2 = 0.999460.
    pub const STRESS_V2: Linear = Linear {
        alpha_s: 0.059_652_777_866_969_89,
        beta_s_per_token: 0.005_741_996_981_393_911,
        gamma: 0.315_680_711_512_069_94,
        growth: 0.0,
        floor_s: 0.001,
    };

    /// Slowdown of one position at batch size `b >= 1`.
    pub fn h(&self, b: u32) -> f64 {
        let b = f64::from(b);
        1.0 + self.gamma * (b - 1.0) / b + self.growth * (b - 1.0)
    }

    /// Service time of a batch, s.
    pub fn service_s(&self, b: u32, longest_total: u32) -> f64 {
        LinearTable::entry(self, b).service_s(longest_total, self.floor_s)
    }

    /// The model with `h` tabulated for every batch size up to `max_batch`.
    pub fn table(&self, max_batch: u32) -> LinearTable {
        LinearTable {
            floor_s: self.floor_s,
            entries: (0..=max_batch.max(1))
                .map(|b| LinearTable::entry(self, b.max(1)))
                .collect(),
        }
    }
}

impl Default for Linear {
    fn default() -> Self {
        Linear::STRESS_V2
    }
}

/// [`Linear`] for the inner loop: one multiplication and one addition a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearTable {
    floor_s: f64,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    alpha_s: f64,
    beta_s: f64,
    h: f64,
}

impl Entry {
    fn service_s(&self, longest_total: u32, floor_s: f64) -> f64 {
        // Association matters: the published figures are alpha + (beta * L) * h.
        (self.alpha_s + self.beta_s * f64::from(longest_total) * self.h).max(floor_s)
    }
}

impl LinearTable {
    fn entry(model: &Linear, b: u32) -> Entry {
        Entry {
            alpha_s: model.alpha_s,
            beta_s: model.beta_s_per_token,
            h: model.h(b),
        }
    }

    /// Service time of a batch, s. `b` must not exceed the table's `max_batch`.
    #[inline]
    pub fn service_s(&self, b: u32, longest_total: u32) -> f64 {
        self.entries[b as usize].service_s(longest_total, self.floor_s)
    }

    /// Time of one decode position, `beta h(b)`, s.
    #[inline]
    pub fn decode_step_s(&self, b: u32) -> f64 {
        let e = &self.entries[b as usize];
        e.beta_s * e.h
    }

    /// The part of a service time that does not depend on length, s.
    #[inline]
    pub fn base_s(&self) -> f64 {
        self.entries[1].alpha_s
    }
}
