//! What a trace looks like, in numbers.

use serde::Serialize;

use super::{Labels, Trace};

/// Statistics of a trace as it stands in the file: failed requests included, time not scaled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Stats {
    pub requests: u32,
    /// From the first arrival to the last, s.
    pub span_s: f64,
    /// Requests over the span; absent where the span is 0.
    pub mean_per_s: Option<f64>,
    /// The most requests in one of the consecutive 1-s windows. Windows are counted from the first arrival and the last
    /// one, which the span may not fill, counts too.
    pub peak_1s: u32,
    /// The most requests in one of the consecutive 60-s windows, per second; absent where the span
    /// fills no such window.
    pub peak_60s_per_s: Option<f64>,
    /// Index of dispersion of the counts in 1-s windows: variance over mean (population variance);
    /// 1 for a Poisson process, more for bursts. Absent where the span fills fewer than two windows:
    /// one count has no variance.
    pub iod_1s: Option<f64>,
    /// The same in 60-s windows.
    pub iod_60s: Option<f64>,
    /// Standard deviation over mean of the gaps between arrivals (population); absent where there is
    /// no gap above 0.
    pub cv_gap: Option<f64>,
    pub prompt: LengthStats,
    pub output: LengthStats,
    /// Share of requests with 0 output tokens, that is failed ones.
    pub failed_share: f64,
    /// Share of prefix blocks that an infinite cache would already hold: the leading blocks of each
    /// prompt that some earlier request had. Absent where the trace has no blocks.
    pub prefix_hit_ratio: Option<f64>,
    pub models: Vec<LabelCount>,
    pub log_types: Vec<LabelCount>,
}

/// Lengths in tokens; percentiles interpolate linearly between order statistics, as numpy's do.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct LengthStats {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: u32,
}

/// Requests with a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct LabelCount {
    pub name: String,
    pub requests: u32,
}

/// Computes the statistics, in one pass over the arrivals and one sort of each length column.
pub fn stats(trace: &Trace) -> Stats {
    let n = trace.arrival.len();
    let first = trace.arrival.first().copied().unwrap_or_default();
    let span_s = trace.arrival.last().copied().unwrap_or_default() - first;
    let (peak_1s, iod_1s) = windows(&trace.arrival, first, span_s, 1.0);
    let (peak_60s, iod_60s) = windows(&trace.arrival, first, span_s, 60.0);
    let failed = trace.output.iter().filter(|o| **o == 0).count();
    Stats {
        requests: n as u32,
        span_s,
        mean_per_s: (span_s > 0.0).then(|| n as f64 / span_s),
        peak_1s,
        peak_60s_per_s: (span_s >= 60.0).then(|| f64::from(peak_60s) / 60.0),
        iod_1s,
        iod_60s,
        cv_gap: cv_gap(&trace.arrival, span_s),
        prompt: lengths(&trace.prompt),
        output: lengths(&trace.output),
        failed_share: if n == 0 {
            0.0
        } else {
            failed as f64 / n as f64
        },
        prefix_hit_ratio: prefix_hit_ratio(trace),
        models: counts(trace.model.as_ref()),
        log_types: counts(trace.log_type.as_ref()),
    }
}

/// The largest count of a window and the counts' index of dispersion. Only windows that hold a
/// request are walked, so that a span of centuries costs no more than one of seconds.
fn windows(arrival: &[f64], first: f64, span_s: f64, window_s: f64) -> (u32, Option<f64>) {
    let mut peak = 0u32;
    let mut squares = 0.0;
    let mut current = (f64::NAN, 0u32);
    let mut close = |count: u32| {
        peak = peak.max(count);
        squares += f64::from(count) * f64::from(count);
    };
    for t in arrival {
        let window = libm::floor((t - first) / window_s);
        if window == current.0 {
            current.1 += 1;
        } else {
            close(current.1);
            current = (window, 1);
        }
    }
    close(current.1);
    let count = libm::floor(span_s / window_s) + 1.0;
    let mean = arrival.len() as f64 / count;
    // Equal counts may leave a rounding below 0.
    let dispersion =
        (span_s >= 2.0 * window_s).then(|| ((squares / count - mean * mean) / mean).max(0.0));
    (peak, dispersion)
}

fn cv_gap(arrival: &[f64], span_s: f64) -> Option<f64> {
    let gaps = || {
        arrival
            .iter()
            .zip(arrival.iter().skip(1))
            .map(|(a, b)| b - a)
    };
    let count = arrival.len().checked_sub(1)? as f64;
    let mean = span_s / count;
    if mean.is_nan() || mean <= 0.0 {
        return None;
    }
    let variance = gaps().map(|g| (g - mean) * (g - mean)).sum::<f64>() / count;
    Some(libm::sqrt(variance) / mean)
}

fn lengths(column: &[u32]) -> LengthStats {
    let mut sorted = column.to_vec();
    sorted.sort_unstable();
    let Some(max) = sorted.last().copied() else {
        return LengthStats::default();
    };
    let sum: u64 = column.iter().map(|v| u64::from(*v)).sum();
    let percentile = |p: f64| {
        let at = p * (sorted.len() - 1) as f64;
        let below = libm::floor(at);
        let value = |i: f64| f64::from(sorted.get(i as usize).copied().unwrap_or(max));
        value(below) + (at - below) * (value(below + 1.0) - value(below))
    };
    LengthStats {
        mean: sum as f64 / column.len() as f64,
        p50: percentile(0.50),
        p90: percentile(0.90),
        p95: percentile(0.95),
        p99: percentile(0.99),
        max,
    }
}

fn prefix_hit_ratio(trace: &Trace) -> Option<f64> {
    let prefix = trace.prefix.as_ref()?;
    let largest = prefix.blocks.iter().max()?;
    // Block numbers are dense, so a table knows them all.
    let mut cached = vec![false; *largest as usize + 1];
    let known = |cached: &[bool], block: u32| cached.get(block as usize).is_some_and(|c| *c);
    let mut hits = 0u64;
    for i in 0..trace.len() {
        let blocks = prefix.of(i);
        hits += blocks.iter().take_while(|b| known(&cached, **b)).count() as u64;
        for block in blocks {
            if let Some(slot) = cached.get_mut(*block as usize) {
                *slot = true;
            }
        }
    }
    Some(hits as f64 / prefix.blocks.len() as f64)
}

fn counts(labels: Option<&Labels>) -> Vec<LabelCount> {
    let Some(labels) = labels else {
        return Vec::new();
    };
    let mut requests = [0u32; 256];
    for id in &labels.ids {
        requests[usize::from(*id)] += 1;
    }
    labels
        .names
        .iter()
        .zip(requests)
        .map(|(name, requests)| LabelCount {
            name: name.clone(),
            requests,
        })
        .collect()
}
