//! What the numbers of a measured report say about each other.

use super::metric::{Metric, Sample};
use super::simulated::published_index;
use crate::words::trimmed;

/// Numbers that do not go together, or that no measurement gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Stable name of the check.
    pub check: &'static str,
    /// Absent where it is about all of them.
    pub workload: Option<String>,
    pub sentence: String,
}

/// Rounded figures and a client's own time may be so far off, as a share.
const TOLERANCE: f64 = 0.05;
/// K and V of one layer with one head of 64 values in 16 bits: no model stores less per token.
const LEAST_KV_BYTES: f64 = 256.0;

/// Every check on every workload, then those on all together.
pub fn findings(samples: &[Sample]) -> Vec<Finding> {
    let mut found = Vec::new();
    for sample in samples {
        let checks = [
            ("counts", counts(sample)),
            ("error-rate", error_rate(sample)),
            ("throughput", throughput(sample)),
            ("percentile-order", percentile_order(sample)),
            ("percentile-rule", percentile_rule(sample)),
            ("spread", spread(sample)),
            ("kv-tokens", kv_tokens(sample)),
            ("kv-bytes", kv_bytes(sample)),
        ];
        found.extend(checks.into_iter().filter_map(|(check, sentence)| {
            Some(Finding {
                check,
                workload: Some(sample.workload.clone()),
                sentence: sentence?,
            })
        }));
    }
    let checks = [
        ("tbt-is-tpot", tbt_is_tpot(samples)),
        ("memory-mean", memory_mean(samples)),
    ];
    found.extend(checks.into_iter().filter_map(|(check, sentence)| {
        Some(Finding {
            check,
            workload: None,
            sentence: sentence?,
        })
    }));
    found
}

fn counts(s: &Sample) -> Option<String> {
    let requests = s.get(Metric::Requests)?;
    let (successful, failed) = (s.get(Metric::Successful)?, s.get(Metric::Failed)?);
    (successful + failed != requests).then(|| {
        format!("{successful} successful and {failed} failed requests are not {requests} requests")
    })
}

fn error_rate(s: &Sample) -> Option<String> {
    let (rate, requests) = (s.get(Metric::ErrorRate)?, s.get(Metric::Requests)?);
    let failed = s.get(Metric::Failed)?;
    let counted = (requests > 0.0).then_some(failed / requests)?;
    // Percent with two digits after the point are off by up to 0.00005.
    ((rate - counted).abs() > 1e-4).then(|| {
        format!(
            "an error rate of {} % is reported, and {failed} of {requests} requests are {} %",
            trimmed(rate * 100.0),
            trimmed(counted * 100.0)
        )
    })
}

/// Little's law: throughput / output x latency is the mean number of requests at work, which lies
/// between 1 and the concurrency while the client never pauses.
fn throughput(s: &Sample) -> Option<String> {
    let throughput = s.get(Metric::ThroughputTokensPerS)?;
    let output = s.or_defined(Metric::OutputTokens)?;
    let concurrency = s.or_defined(Metric::Concurrency)?;
    let (name, gap) = match s.get(Metric::TbtAvgMs) {
        Some(tbt) => ("TBT", tbt),
        None => ("TPOT", s.get(Metric::TpotAvgMs)?),
    };
    let ttft = s.get(Metric::TtftAvgMs)?;
    let latency_ms = ttft + gap * (output - 1.0);
    if gap <= 0.0 || output < 2.0 {
        return None;
    }
    let own = output / latency_ms * 1e3;
    let at_work = throughput / own;
    let fits = (1.0 - TOLERANCE..=concurrency * (1.0 + TOLERANCE)).contains(&at_work);
    (!fits).then(|| {
        let range = if concurrency > 1.0 {
            format!("with {concurrency} at a time it is 1 to {concurrency}")
        } else {
            "with one after another it is 1".to_owned()
        };
        format!(
            "a {name} of {} ms means {} tok/s for one request ({} with its TTFT), and {} tok/s are \
             reported: {} requests at work on average, where {range}",
            trimmed(gap),
            trimmed(1e3 / gap),
            trimmed(own),
            trimmed(throughput),
            trimmed(at_work),
        )
    })
}

const TTFT: [(Metric, &str, f64); 3] = [
    (Metric::TtftP50Ms, "P50", 0.5),
    (Metric::TtftP95Ms, "P95", 0.95),
    (Metric::TtftP99Ms, "P99", 0.99),
];
const TPOT: [(Metric, &str, f64); 3] = [
    (Metric::TpotP50Ms, "P50", 0.5),
    (Metric::TpotP95Ms, "P95", 0.95),
    (Metric::TpotP99Ms, "P99", 0.99),
];

fn percentile_order(s: &Sample) -> Option<String> {
    let mut wrong = Vec::new();
    for (what, points) in [("TTFT", TTFT), ("TPOT", TPOT)] {
        for (low, high) in [(0, 1), (1, 2), (0, 2)] {
            let ((a, name_a, _), (b, name_b, _)) = (points[low], points[high]);
            if let (Some(a), Some(b)) = (s.get(a), s.get(b))
                && a > b
            {
                wrong.push(format!(
                    "{what} {name_a} of {} ms is above {name_b} of {} ms",
                    trimmed(a),
                    trimmed(b)
                ));
            }
        }
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// The published rule `sorted[int(n p)]` gives equal numbers where it picks one value twice.
fn percentile_rule(s: &Sample) -> Option<String> {
    let requests = s.get(Metric::Requests);
    let successes = s
        .get(Metric::Successful)
        .or_else(|| Some(requests? - s.failed()?));
    let mut sizes: Vec<u64> = [successes, requests]
        .into_iter()
        .flatten()
        .filter(|n| *n >= 1.0)
        .map(|n| n as u64)
        .collect();
    sizes.dedup();
    let mut wrong = Vec::new();
    for (low, high) in [(0, 1), (1, 2)] {
        let ((a, name_a, p_a), (b, name_b, p_b)) = (TTFT[low], TTFT[high]);
        let (Some(a), Some(b)) = (s.get(a), s.get(b)) else {
            continue;
        };
        let one_value = |n: &u64| published_index(*n, p_a) == published_index(*n, p_b);
        if a != b && !sizes.is_empty() && sizes.iter().all(one_value) {
            let maximum = sizes.iter().all(|n| published_index(*n, p_a) + 1 == *n);
            wrong.push(format!(
                "TTFT {name_a} of {} ms and {name_b} of {} ms differ, and sorted[int(n p)] picks \
                 {} for both with n = {}: another rule, or not from these requests",
                trimmed(a),
                trimmed(b),
                if maximum { "the maximum" } else { "one value" },
                sizes
                    .iter()
                    .map(u64::to_string)
                    .collect::<Vec<_>>()
                    .join(" or "),
            ));
        }
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

fn spread(s: &Sample) -> Option<String> {
    let requests = s.get(Metric::Requests)?;
    let mean = s.get(Metric::TtftAvgMs)?;
    let same = TTFT.iter().all(|(metric, ..)| s.get(*metric) == Some(mean));
    (same && requests > 1.0).then(|| {
        format!(
            "mean, P50, P95 and P99 of the TTFT are all {} ms: {requests} requests without any \
             spread are a constant",
            trimmed(mean)
        )
    })
}

fn kv_tokens(s: &Sample) -> Option<String> {
    let tokens = s.get(Metric::KvTokens)?;
    let (prompt, output) = (
        s.or_defined(Metric::PromptTokens)?,
        s.or_defined(Metric::OutputTokens)?,
    );
    let requests = s.get(Metric::Requests)?;
    let successes = requests - s.failed().unwrap_or(0.0);
    [successes, requests]
        .into_iter()
        .find(|n| *n > 0.0 && prompt > 0.0 && tokens == n * output)
        .map(|n| {
            format!(
                "{tokens} KV tokens are the {n} x {output} output tokens alone; with the prompts, \
                 which a KV cache holds too, they are {}",
                n * (prompt + output)
            )
        })
}

fn kv_bytes(s: &Sample) -> Option<String> {
    let (tokens, bytes) = (s.get(Metric::KvTokens)?, s.get(Metric::KvBytes)?);
    let each = (tokens > 0.0).then_some(bytes / tokens)?;
    (each < LEAST_KV_BYTES).then(|| {
        format!(
            "{bytes} bytes for {tokens} KV tokens are {} bytes per token, less than one layer with \
             one head of 64 values takes ({LEAST_KV_BYTES})",
            trimmed(each)
        )
    })
}

fn tbt_is_tpot(samples: &[Sample]) -> Option<String> {
    let same = |s: &Sample| {
        s.get(Metric::TbtAvgMs).is_some() && s.get(Metric::TbtAvgMs) == s.get(Metric::TpotAvgMs)
    };
    (samples.len() > 1 && samples.iter().all(same)).then(|| {
        "TBT and TPOT are equal in every workload: one is a copy of the other, or neither was \
         measured"
            .to_owned()
    })
}

fn memory_mean(samples: &[Sample]) -> Option<String> {
    let share = |s: &Sample| {
        let peak = s.get(Metric::MemoryPeakMb)?;
        (peak > 0.0).then_some(s.get(Metric::MemoryAvgMb)? / peak)
    };
    let first = share(samples.first()?)?;
    (samples.len() > 1 && samples.iter().all(|s| share(s) == Some(first))).then(|| {
        format!(
            "mean memory is exactly {} of the peak in every workload, which no measurement gives",
            trimmed(first)
        )
    })
}
