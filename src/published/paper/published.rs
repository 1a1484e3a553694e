//! What the two papers state, as they state it. Nothing here is computed or simulated.

/// A value that a paper states about multi-bin batching.
pub(super) struct Measured {
    pub what: &'static str,
    pub unit: &'static str,
    pub bins: u32,
    pub stated: f64,
}

const fn measured(what: &'static str, unit: &'static str, bins: u32, stated: f64) -> Measured {
    Measured {
        what,
        unit,
        bins,
        stated,
    }
}

pub(super) const THRESHOLD: &str = "Throughput threshold, true lengths known";

/// arXiv 2412.04504: Phi-3.5-mini on A100, lengths of GSM8K, 0.0366 s a token, B = 8, 8 servers;
/// below them the BERT predictor of output length on LMSYS-1M and its effect on Vicuna-13B.
pub(super) const MULTI_BIN: [Measured; 12] = [
    measured(THRESHOLD, "requests/s", 1, 22.71),
    measured(THRESHOLD, "requests/s", 2, 27.48),
    measured(THRESHOLD, "requests/s", 4, 31.91),
    measured(THRESHOLD, "requests/s", 8, 35.27),
    measured(THRESHOLD, "requests/s", 16, 37.87),
    measured(THRESHOLD, "requests/s", 32, 39.65),
    measured("BERT predictor, right bin", "%", 2, 86.14),
    measured("BERT predictor, right bin", "%", 4, 62.97),
    measured("BERT predictor, right bin", "%", 8, 42.29),
    measured("BERT predictor, at most one bin off", "%", 4, 95.91),
    measured("BERT predictor, at most one bin off", "%", 8, 79.42),
    measured("Throughput gain with the BERT predictor", "%", 4, 8.0),
];

/// Gain of that last experiment where the true lengths are known, %.
pub(super) const GAIN_TRUE_LENGTHS: f64 = 45.0;

/// Throughput gains of table I of arXiv 2503.05248, %, in its order.
pub(super) const TABLE_I: [f64; 6] = [8.2, 6.5, 12.2, 28.2, 26.0, 8.0];

/// A row of table II: capacity under D_SLA = 50 ms with a fixed batch size and with the dynamic one,
/// requests/s, and the stated gain of throughput, %.
pub(super) struct Capacity {
    pub fixed: f64,
    pub dynamic: f64,
    pub throughput_gain: f64,
}

pub(super) const TABLE_II: [Capacity; 3] = [
    Capacity {
        fixed: 3.0,
        dynamic: 3.3,
        throughput_gain: 2.7,
    },
    Capacity {
        fixed: 5.4,
        dynamic: 6.6,
        throughput_gain: 22.4,
    },
    Capacity {
        fixed: 3.0,
        dynamic: 3.8,
        throughput_gain: 25.9,
    },
];

/// The abstract's gains: throughput from .. to, capacity, %.
pub(super) const ABSTRACT_THROUGHPUT: [f64; 2] = [8.0, 28.0];
pub(super) const ABSTRACT_CAPACITY: f64 = 22.0;

/// What the dynamic batching paper reads off its decode model: D_SLA, ms; batch; tokens/s.
pub(super) const DECODE_READINGS: [(f64, f64, f64); 2] =
    [(50.0, 100.0, 1900.0), (80.0, 230.0, 2700.0)];
