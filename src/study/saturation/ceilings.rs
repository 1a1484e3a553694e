//! What the hardware could do at most: bounds that no fitted maximum may exceed.

use serde::{Deserialize, Serialize};

pub use crate::latency::roofline::Hardware;

/// A dense model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ModelSize {
    pub params: f64,
    pub bytes_per_param: f64,
}

impl ModelSize {
    /// Eight billion parameters in FP16, as the published benchmark counted Llama-3-8B.
    pub const LLAMA_3_8B_FP16: ModelSize = ModelSize {
        params: 8e9,
        bytes_per_param: 2.0,
    };
}

/// Upper bounds of output throughput, tok/s; `None` where what they need was not given.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Ceilings {
    /// Peak FLOP/s over 2 FLOP per parameter and token: MFU 100 %. Attention is left out.
    pub compute: Option<f64>,
    /// Every step reads all weights once and gives each member of the largest batch a token. The
    /// KV cache is left out.
    pub weights: Option<f64>,
    /// Most requests that the server works on at once. By Little's law more users than this, and
    /// those who think, only queue.
    pub max_batch: Option<u32>,
}

impl Ceilings {
    pub fn of(
        hardware: Option<&Hardware>,
        model: Option<&ModelSize>,
        max_batch: Option<u32>,
    ) -> Ceilings {
        let both = hardware.zip(model);
        Ceilings {
            compute: both.map(|(h, m)| h.peak_flops / (2.0 * m.params)),
            weights: both.zip(max_batch).map(|((h, m), batch)| {
                h.bandwidth_bytes_per_s / (m.params * m.bytes_per_param) * f64::from(batch)
            }),
            max_batch,
        }
    }

    /// The lower of the two and its name.
    pub fn least(&self) -> Option<(f64, &'static str)> {
        match (self.compute, self.weights) {
            (Some(compute), Some(weights)) if weights < compute => {
                Some((weights, "weight-bandwidth bound"))
            }
            (Some(compute), _) => Some((compute, "compute bound")),
            (None, weights) => weights.map(|w| (w, "weight-bandwidth bound")),
        }
    }

    /// Model FLOP/s utilisation, %: 2 FLOP per parameter and output token over the peak.
    pub fn mfu_pct(&self, tok_s: f64) -> Option<f64> {
        self.compute.map(|compute| 100.0 * tok_s / compute)
    }
}
