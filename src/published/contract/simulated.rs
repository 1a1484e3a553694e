//! A workload's metrics from the outcome of its run.

use std::collections::BTreeMap;

use super::{Metric, Sample, Workload};
use crate::metrics::Summary;
use crate::metrics::honest::Distribution;

/// What the engine knows of a workload. What it does not model, or the scenario switches off, is absent.
pub fn sample(workload: Workload, run: &Summary) -> Sample {
    let h = &run.honest;
    let memory = run.scenario.memory();
    let mut values = BTreeMap::new();
    let mut set = |metric, value: Option<f64>| {
        if let Some(value) = value {
            values.insert(metric, value);
        }
    };
    let turned_away = run
        .continuous
        .as_ref()
        .map_or(0, |c| c.rejected + c.too_long + c.timed_out);
    let requests = (h.requests + turned_away) as f64;
    set(Metric::Requests, Some(requests));
    // Closed batches fail nobody. Only where no request fits is it certain what a server would do.
    if run.continuous.is_some() {
        let failed = turned_away as f64;
        set(Metric::Successful, Some(requests - failed));
        set(Metric::Failed, Some(failed));
        set(Metric::ErrorRate, Some(failed / requests));
    } else if !fits(workload, run) {
        set(Metric::Successful, Some(0.0));
        set(Metric::Failed, Some(requests));
        set(Metric::ErrorRate, Some(1.0));
    }
    set(Metric::Concurrency, Some(f64::from(workload.users())));
    set(Metric::PromptTokens, Some(f64::from(workload.prompt())));
    set(Metric::OutputTokens, Some(f64::from(workload.output())));
    if let Some(ttft) = &h.ttft_s {
        set(Metric::TtftAvgMs, Some(ttft.mean * 1e3));
        set(Metric::TtftP50Ms, Some(ttft.p50 * 1e3));
        set(Metric::TtftP95Ms, Some(ttft.p95 * 1e3));
        set(Metric::TtftP99Ms, Some(ttft.p99 * 1e3));
        let published = |p| published_rule(ttft, p).map(|s| s * 1e3);
        set(Metric::TtftP50PublishedMs, published(0.5));
        set(Metric::TtftP95PublishedMs, published(0.95));
        set(Metric::TtftP99PublishedMs, published(0.99));
    }
    if let Some(tpot) = &h.tpot_ms {
        // Requests of one length have as many gaps each, so the mean over gaps is the mean over
        // requests.
        set(Metric::TbtAvgMs, Some(tpot.mean));
        set(Metric::TpotAvgMs, Some(tpot.mean));
        set(Metric::TpotP50Ms, Some(tpot.p50));
        set(Metric::TpotP95Ms, Some(tpot.p95));
        set(Metric::TpotP99Ms, Some(tpot.p99));
    }
    set(Metric::ThroughputTokensPerS, Some(h.output_tokens_per_s));
    set(Metric::DurationS, Some(run.honest.makespan_s));
    let peak_gb = memory.model_gb + memory.kv_gb_per_token * h.peak_batch_tokens as f64;
    set(Metric::MemoryPeakMb, Some(peak_gb * 1e3));
    if let Some(c) = &run.continuous {
        // Every gap is known, not only the mean of each request.
        set(Metric::TbtAvgMs, c.tbt_ms.map(|d| d.mean));
        let replicas = f64::from(run.scenario.replicas());
        let mean_gb = memory.model_gb + c.kv.mean_bytes / 1e9 / replicas;
        set(Metric::MemoryAvgMb, Some(mean_gb * 1e3));
        if let Some(prefix) = &c.prefix {
            set(Metric::PrefixHitRate, prefix.hit_rate);
            set(Metric::Evictions, Some(prefix.evictions as f64));
            set(Metric::EvictionMs, Some(prefix.eviction_s * 1e3));
        }
        let accepted = c.speculative.as_ref().and_then(|s| s.accept_rate);
        set(Metric::SpeculativeAcceptRate, accepted);
    }
    let tokens = (run.workload.prompt_tokens + run.workload.output_tokens) as f64;
    set(Metric::KvTokens, Some(tokens));
    let bytes = libm::round(tokens * memory.kv_gb_per_token * 1e9);
    set(Metric::KvBytes, Some(bytes));
    if let Some(published) = &run.published {
        set(Metric::Batches, Some(published.batches as f64));
        set(
            Metric::BatchesOverMemory,
            Some(h.batches_over_memory as f64),
        );
    }
    Sample {
        workload: workload.name().to_owned(),
        values,
    }
}

/// Whether one request alone fits beside the model.
pub fn fits(workload: Workload, run: &Summary) -> bool {
    let tokens = workload.prompt() + workload.output();
    f64::from(tokens) <= run.scenario.memory().kv_tokens()
}

/// Place of the published report's percentile `p` among `n >= 1` sorted values: `int(n p)`, at most
/// the last.
pub fn published_index(n: u64, p: f64) -> u64 {
    (libm::floor(n as f64 * p) as u64).min(n.saturating_sub(1))
}

/// The order statistic that the published rule picks, where the interpolated quantiles determine
/// it.
///
/// A quantile at place x lies between the order statistics on both sides of x; where the nearest
/// ones below and above agree, whatever lies between is the same.
pub fn published_rule(values: &Distribution, p: f64) -> Option<f64> {
    let n = values.count;
    let wanted = published_index(n, p) as f64;
    let last = n.checked_sub(1)? as f64;
    let places = [
        (0.5, values.p50),
        (0.9, values.p90),
        (0.95, values.p95),
        (0.99, values.p99),
        (0.999, values.p999),
        (1.0, values.max),
    ]
    .map(|(q, value)| (last * q, value));
    let below = places
        .into_iter()
        .rfind(|(place, _)| libm::ceil(*place) <= wanted);
    let above = places
        .into_iter()
        .find(|(place, _)| libm::floor(*place) >= wanted);
    let (below, above) = (below?.1, above?.1);
    (below == above).then_some(above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantiles::Histogram;

    fn distribution(values: &[f64]) -> Distribution {
        let mut all = Histogram::keeping_all();
        all.add_all(values);
        let [p50, p90, p95, p99, p999] = all.quantiles([0.5, 0.9, 0.95, 0.99, 0.999]).unwrap();
        Distribution {
            count: values.len() as u64,
            mean: 0.0,
            p50,
            p90,
            p95,
            p99,
            p999,
            max: all.max(),
        }
    }

    #[test]
    fn what_the_published_rule_picks_is_right_or_absent() {
        let rows: [&[f64]; 6] = [
            &[7.0],
            &[1.0, 2.0],
            &[1.0, 2.0, 3.0],
            &[1.0, 2.0, 2.0, 2.0, 5.0],
            &[1.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0],
        ];
        let mut known = 0;
        for sorted in rows {
            for p in [0.5, 0.95, 0.99] {
                let index = ((sorted.len() as f64 * p) as usize).min(sorted.len() - 1);
                if let Some(got) = published_rule(&distribution(sorted), p) {
                    assert_eq!(got, sorted[index], "{sorted:?} {p}");
                    known += 1;
                }
            }
        }
        // All but the upper median of an even number of values that differ there.
        assert_eq!(known, 17);
    }

    #[test]
    fn up_to_nineteen_values_p95_and_p99_are_the_maximum() {
        for n in 1..=19 {
            assert_eq!(published_index(n, 0.95), n - 1);
            assert_eq!(published_index(n, 0.99), n - 1);
        }
        assert_eq!(published_index(20, 0.95), 19);
        assert_eq!(published_index(40, 0.95), 38);
    }
}
