//! The metrics of a contract report: names, units, ranges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Workload;

/// One metric of a workload; the name is its column, its JSON key and its name in a measured file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Metric {
    Requests,
    Successful,
    Failed,
    ErrorRate,
    Concurrency,
    PromptTokens,
    OutputTokens,
    TtftAvgMs,
    TtftP50Ms,
    TtftP95Ms,
    TtftP99Ms,
    TtftP50PublishedMs,
    TtftP95PublishedMs,
    TtftP99PublishedMs,
    TbtAvgMs,
    TpotAvgMs,
    TpotP50Ms,
    TpotP95Ms,
    TpotP99Ms,
    ThroughputTokensPerS,
    DurationS,
    MemoryPeakMb,
    MemoryAvgMb,
    KvTokens,
    KvBytes,
    PrefixHitRate,
    Evictions,
    EvictionMs,
    SpeculativeAcceptRate,
    Batches,
    BatchesOverMemory,
}

/// Which values a metric can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Count,
    /// From 0 to 1.
    Share,
    /// Any number from 0 up.
    Amount,
}

/// Beyond every count, time and size that a report can hold; whole numbers up to it are exact.
const MOST: f64 = 1e15;
/// Below every share, time and size of a report but 0: a proportion of two values stays finite.
const LEAST: f64 = 1e-15;

impl Metric {
    /// In the order of the report.
    pub const ALL: [Metric; 31] = [
        Metric::Requests,
        Metric::Successful,
        Metric::Failed,
        Metric::ErrorRate,
        Metric::Concurrency,
        Metric::PromptTokens,
        Metric::OutputTokens,
        Metric::TtftAvgMs,
        Metric::TtftP50Ms,
        Metric::TtftP95Ms,
        Metric::TtftP99Ms,
        Metric::TtftP50PublishedMs,
        Metric::TtftP95PublishedMs,
        Metric::TtftP99PublishedMs,
        Metric::TbtAvgMs,
        Metric::TpotAvgMs,
        Metric::TpotP50Ms,
        Metric::TpotP95Ms,
        Metric::TpotP99Ms,
        Metric::ThroughputTokensPerS,
        Metric::DurationS,
        Metric::MemoryPeakMb,
        Metric::MemoryAvgMb,
        Metric::KvTokens,
        Metric::KvBytes,
        Metric::PrefixHitRate,
        Metric::Evictions,
        Metric::EvictionMs,
        Metric::SpeculativeAcceptRate,
        Metric::Batches,
        Metric::BatchesOverMemory,
    ];

    /// Name in files, words for people, range.
    fn facts(self) -> (&'static str, &'static str, Kind) {
        use Kind::{Amount, Count, Share};
        match self {
            Metric::Requests => ("requests", "Requests", Count),
            Metric::Successful => ("successful", "Successful", Count),
            Metric::Failed => ("failed", "Failed", Count),
            Metric::ErrorRate => ("error_rate", "Error rate", Share),
            Metric::Concurrency => ("concurrency", "Requests at a time", Count),
            Metric::PromptTokens => ("prompt_tokens", "Prompt of a request, tokens", Amount),
            Metric::OutputTokens => ("output_tokens", "Output of a request, tokens", Amount),
            Metric::TtftAvgMs => ("ttft_avg_ms", "TTFT mean, ms", Amount),
            Metric::TtftP50Ms => ("ttft_p50_ms", "TTFT P50, ms", Amount),
            Metric::TtftP95Ms => ("ttft_p95_ms", "TTFT P95, ms", Amount),
            Metric::TtftP99Ms => ("ttft_p99_ms", "TTFT P99, ms", Amount),
            Metric::TtftP50PublishedMs => (
                "ttft_p50_published_ms",
                "TTFT P50, published rule, ms",
                Amount,
            ),
            Metric::TtftP95PublishedMs => (
                "ttft_p95_published_ms",
                "TTFT P95, published rule, ms",
                Amount,
            ),
            Metric::TtftP99PublishedMs => (
                "ttft_p99_published_ms",
                "TTFT P99, published rule, ms",
                Amount,
            ),
            Metric::TbtAvgMs => ("tbt_avg_ms", "TBT mean, ms", Amount),
            Metric::TpotAvgMs => ("tpot_avg_ms", "TPOT mean, ms", Amount),
            Metric::TpotP50Ms => ("tpot_p50_ms", "TPOT P50, ms", Amount),
            Metric::TpotP95Ms => ("tpot_p95_ms", "TPOT P95, ms", Amount),
            Metric::TpotP99Ms => ("tpot_p99_ms", "TPOT P99, ms", Amount),
            Metric::ThroughputTokensPerS => (
                "throughput_tokens_per_s",
                "Throughput, output tok/s",
                Amount,
            ),
            Metric::DurationS => ("duration_s", "Duration, s", Amount),
            Metric::MemoryPeakMb => ("memory_peak_mb", "Memory peak of a GPU, MB", Amount),
            Metric::MemoryAvgMb => ("memory_avg_mb", "Memory mean, MB", Amount),
            Metric::KvTokens => ("kv_tokens", "KV tokens", Count),
            Metric::KvBytes => ("kv_bytes", "KV bytes", Count),
            Metric::PrefixHitRate => ("prefix_hit_rate", "Prefix hit rate", Share),
            Metric::Evictions => ("evictions", "Evictions", Count),
            Metric::EvictionMs => ("eviction_ms", "Eviction time, ms", Amount),
            Metric::SpeculativeAcceptRate => {
                ("speculative_accept_rate", "Speculative accept rate", Share)
            }
            Metric::Batches => ("batches", "Batches", Count),
            Metric::BatchesOverMemory => ("batches_over_memory", "Batches over memory", Count),
        }
    }

    /// As in files.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// For people, with the unit.
    pub fn label(self) -> &'static str {
        self.facts().1
    }

    pub fn kind(self) -> Kind {
        self.facts().2
    }

    /// What the metric's values can be, as an error says it; absent where `value` is one.
    pub fn refuses(self, value: f64) -> Option<&'static str> {
        let (fits, allowed) = match self.kind() {
            Kind::Count => (
                (0.0..=MOST).contains(&value) && value == libm::floor(value),
                "a whole number from 0 to 1e15",
            ),
            Kind::Share => (
                value == 0.0 || (LEAST..=1.0).contains(&value),
                "0, or a share from 1e-15 to 1 (not percent)",
            ),
            Kind::Amount => (
                value == 0.0 || (LEAST..=MOST).contains(&value),
                "0, or a number from 1e-15 to 1e15",
            ),
        };
        (!fits).then_some(allowed)
    }
}

/// What is known of one workload; a metric that is not there is not modelled or was not measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Sample {
    pub workload: String,
    pub values: BTreeMap<Metric, f64>,
}

impl Sample {
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.values.get(&metric).copied()
    }

    /// The value, or what the contract says of a workload of this name: lengths and concurrency
    /// are its definition.
    pub fn or_defined(&self, metric: Metric) -> Option<f64> {
        self.get(metric).or_else(|| {
            let defined = Workload::named(&self.workload)?;
            match metric {
                Metric::PromptTokens => Some(f64::from(defined.prompt())),
                Metric::OutputTokens => Some(f64::from(defined.output())),
                Metric::Concurrency => Some(f64::from(defined.users())),
                _ => None,
            }
        })
    }

    /// The error rate, or what the counts make of it.
    pub fn error_rate(&self) -> Option<f64> {
        self.get(Metric::ErrorRate).or_else(|| {
            let requests = self.get(Metric::Requests)?;
            (requests > 0.0).then_some(self.failed()? / requests)
        })
    }

    /// Requests that failed, as far as counts and rate tell.
    pub fn failed(&self) -> Option<f64> {
        let requests = self.get(Metric::Requests);
        self.get(Metric::Failed)
            .or_else(|| Some(requests? - self.get(Metric::Successful)?))
            .or_else(|| Some(libm::round(self.get(Metric::ErrorRate)? * requests?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_settings_json_and_each_stands_once() {
        for (i, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
            // Derived order is declaration order: nothing is missing, nothing twice.
            assert_eq!(metric as usize, i);
        }
    }
}
