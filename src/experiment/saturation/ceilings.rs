//! What the hardware could do at most: bounds that no fitted maximum may exceed.

use serde::{Deserialize, Serialize};

use crate::latency::hardware;

/// What is known of an accelerator; what was not given is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Accelerator"))]
pub struct Hardware {
    pub name: String,
    /// Dense, at the precision of the model's arithmetic, FLOP/s.
    pub peak_flops: Option<f64>,
    pub bandwidth_bytes_per_s: Option<f64>,
    /// Where the figures are from.
    pub source: String,
}

impl Hardware {
    /// The published benchmark's accelerator.
    pub fn a40() -> Hardware {
        hardware::Hardware::a40().into()
    }
}

impl From<hardware::Hardware> for Hardware {
    fn from(sheet: hardware::Hardware) -> Hardware {
        Hardware {
            name: sheet.name,
            peak_flops: Some(sheet.peak_flops),
            bandwidth_bytes_per_s: Some(sheet.bandwidth_bytes_per_s),
            source: sheet.source,
        }
    }
}

/// A dense model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ModelSize {
    pub params: f64,
    /// `None` where it was not given.
    pub bytes_per_param: Option<f64>,
}

impl ModelSize {
    /// Eight billion parameters in FP16, as the published benchmark counted Llama-3-8B.
    pub const LLAMA_3_8B_FP16: ModelSize = ModelSize {
        params: 8e9,
        bytes_per_param: Some(2.0),
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
        let peak = hardware.and_then(|h| h.peak_flops);
        let bandwidth = hardware.and_then(|h| h.bandwidth_bytes_per_s);
        let params = model.map(|m| m.params);
        let weights = model.and_then(|m| Some(m.params * m.bytes_per_param?));
        Ceilings {
            compute: peak.zip(params).map(|(peak, params)| peak / (2.0 * params)),
            weights: bandwidth
                .zip(weights)
                .zip(max_batch)
                .map(|((bandwidth, bytes), batch)| bandwidth / bytes * f64::from(batch)),
            max_batch,
        }
    }

    /// The ceilings of this number of equal servers.
    pub fn times(self, servers: u32) -> Ceilings {
        let all = |bound: Option<f64>| bound.map(|bound| bound * f64::from(servers));
        Ceilings {
            compute: all(self.compute),
            weights: all(self.weights),
            max_batch: self.max_batch.map(|batch| batch.saturating_mul(servers)),
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
