//! What the published analysis draws from the runs: comparisons, scaling efficiency, the point of
//! saturation, the best number of bins, and the key findings. All by the published definitions.

use serde_json::{Value, json};

use super::{StepRuns, ThreeStep};
use crate::metrics::Summary;
use crate::published::published_columns::{scheduler_type, token_violation_rate};
use crate::published::runs::best_by;
use crate::scenario::Source;
use crate::sched::Policy;
use crate::words::{gpus, percent, short, thousands};

/// Published capacity, requests/s.
pub(super) fn qps(s: &Summary) -> f64 {
    s.published().capacity_qps_under_sla
}

/// Published violations, %.
pub(super) fn violations(s: &Summary) -> f64 {
    token_violation_rate(s) * 100.0
}

pub(super) fn fleet(s: &Summary) -> u32 {
    s.scenario.fleet.gpus
}

pub(super) fn bins(s: &Summary) -> u32 {
    s.scenario.bins.count
}

/// The runs of step 1 by request count.
pub(super) fn by_count(runs: &[Summary]) -> Vec<&[Summary]> {
    runs.chunk_by(|a, b| a.workload.rows_replayed == b.workload.rows_replayed)
        .collect()
}

pub(super) fn requests(runs: &[Summary]) -> u64 {
    runs.first().map_or(0, |s| s.workload.rows_replayed)
}

/// a / b, nothing where b is 0.
fn over(a: f64, b: f64) -> Option<f64> {
    (b != 0.0).then(|| a / b)
}

/// One fleet against the smallest one.
pub(super) struct Scaling {
    pub gpus: u32,
    pub gpu_ratio: f64,
    pub qps_ratio: f64,
    /// (QPS / QPS of the smallest) / (GPUs / GPUs of the smallest).
    pub efficiency: f64,
}

impl Scaling {
    fn interpretation(&self) -> &'static str {
        match self.efficiency {
            e if e > 1.05 => "superlinear",
            e if e > 0.85 => "linear",
            _ => "sublinear",
        }
    }
}

/// Empty where the smallest fleet has no capacity to compare with.
pub(super) fn scaling(runs: &[Summary]) -> Vec<Scaling> {
    let Some(base) = runs.first() else {
        return Vec::new();
    };
    runs.iter()
        .filter_map(|s| {
            let gpu_ratio = f64::from(fleet(s)) / f64::from(fleet(base));
            let qps_ratio = over(qps(s), qps(base))?;
            Some(Scaling {
                gpus: fleet(s),
                gpu_ratio,
                qps_ratio,
                efficiency: qps_ratio / gpu_ratio,
            })
        })
        .collect()
}

/// The first fleet after which the next gains less than 10 % capacity: it, the next, the gain.
pub(super) fn saturation(runs: &[Summary]) -> Option<(&Summary, &Summary, f64)> {
    runs.windows(2).find_map(|pair| {
        let [before, after] = pair else { return None };
        let gain = over(qps(after) - qps(before), qps(before))?;
        (gain < 0.10).then_some((before, after, gain))
    })
}

/// (largest - smallest) / largest capacity, %.
fn spread(runs: &[Summary]) -> Option<f64> {
    let most = runs.iter().map(qps).fold(0.0, f64::max);
    let least = runs.iter().map(qps).fold(most, f64::min);
    over((most - least) * 100.0, most)
}

/// The first run of step 3 with the fewest violations.
pub(super) fn best_bins(runs: &[Summary]) -> Option<&Summary> {
    best_by(runs, |s| -violations(s))
}

/// Static, dynamic and multi-bin on one GPU, of one request count.
pub(super) struct Rivals<'a> {
    pub fixed: &'a Summary,
    pub dynamic: &'a Summary,
    pub bins: &'a Summary,
}

pub(super) fn rivals(runs: &[Summary]) -> Option<Rivals<'_>> {
    let one = |policy| {
        runs.iter()
            .find(|s| fleet(s) == 1 && s.scenario.policy() == Some(policy))
    };
    Some(Rivals {
        fixed: one(Policy::StaticFifo)?,
        dynamic: one(Policy::Dynamic)?,
        bins: one(Policy::MultiBinDynamic)?,
    })
}

/// Sentences from the numbers, in the published forms where those fit.
pub(super) fn key_findings(steps: StepRuns) -> Vec<String> {
    let mut said = Vec::new();
    step1_findings(steps.requests, &mut said);
    step2_findings(steps.gpus, &mut said);
    step3_findings(steps.bins, &mut said);
    said
}

fn step1_findings(runs: &[Summary], said: &mut Vec<String>) {
    let multi_bin = runs
        .iter()
        .filter(|s| s.scenario.policy() == Some(Policy::MultiBinDynamic));
    if let Some(best) = best_by(multi_bin, |s| -violations(s)) {
        said.push(format!(
            "Multi-bin achieves {:.1} % SLA violations with {} requests on {}",
            violations(best),
            thousands(best.workload.rows_replayed),
            gpus(fleet(best)),
        ));
    }
    let counts = by_count(runs);
    let rivals: Vec<Rivals> = counts.iter().filter_map(|runs| rivals(runs)).collect();
    for r in &rivals {
        let times = |other: &Summary, name: &str| match over(qps(r.bins), qps(other)) {
            Some(ratio) => format!("{ratio:.2}x the QPS of {name}"),
            None => format!("{:.2} QPS where {name} has none", qps(r.bins)),
        };
        let mean = |s: &Summary| short(s.published().avg_latency_s);
        said.push(format!(
            "At {} requests on 1 GPU: multi-bin has {} and {}; mean latency {} s against {} s and \
             {} s",
            thousands(r.bins.workload.rows_replayed),
            times(r.fixed, "static_fifo"),
            times(r.dynamic, "dynamic_no_bins"),
            mean(r.bins),
            mean(r.fixed),
            mean(r.dynamic),
        ));
    }
    if !rivals.is_empty() {
        let most = rivals
            .iter()
            .filter(|r| qps(r.bins) > qps(r.fixed).max(qps(r.dynamic)))
            .count();
        let mean = |s: &Summary| s.published().avg_latency_s;
        let fastest = rivals
            .iter()
            .filter(|r| mean(r.bins) < mean(r.fixed).min(mean(r.dynamic)))
            .count();
        said.push(format!(
            "Multi-bin on 1 GPU beats both baselines at {most} of {n} request counts by QPS and at \
             {fastest} of {n} by mean latency",
            n = rivals.len()
        ));
    }
}

fn step2_findings(runs: &[Summary], said: &mut Vec<String>) {
    if let Some((before, after, _)) = saturation(runs) {
        said.push(format!(
            "GPU scaling saturates at ~{} ({:.2} QPS with {})",
            gpus(fleet(before)),
            qps(after),
            gpus(fleet(after)),
        ));
    } else if let [_, .., largest] = runs {
        said.push(format!(
            "GPU scaling does not saturate up to {}: no larger fleet gains less than 10 %",
            gpus(fleet(largest)),
        ));
    }
    if let (Some(base), [_, .., last]) = (runs.first(), scaling(runs).as_slice()) {
        said.push(format!(
            "Scaling from {} to {}: {:.2}x QPS improvement ({:.0} % efficiency)",
            fleet(base),
            gpus(last.gpus),
            last.qps_ratio,
            last.efficiency * 100.0,
        ));
    }
}

fn step3_findings(runs: &[Summary], said: &mut Vec<String>) {
    let Some(best) = best_bins(runs) else {
        return;
    };
    if runs.len() > 1 && runs.iter().all(|s| violations(s) == violations(best)) {
        said.push(format!(
            "No optimal K-bins: {:.1} % SLA violations with every number of bins",
            violations(best),
        ));
    } else {
        said.push(format!(
            "Optimal K-bins: {} ({:.2} QPS, {:.1} % SLA violations)",
            bins(best),
            qps(best),
            violations(best),
        ));
    }
    if let Some(spread) = spread(runs) {
        let all: Vec<String> = runs.iter().map(|s| bins(s).to_string()).collect();
        said.push(format!(
            "K-bins sensitivity: {spread:.1} % performance variance across K=[{}]",
            all.join(",")
        ));
    }
}

/// `comprehensive_stress_results_analysis.json`; a part whose step was skipped is absent.
pub(super) fn json(study: &ThreeStep, steps: StepRuns) -> Value {
    let all: usize = steps.named().iter().map(|(_, runs)| runs.len()).sum();
    let mut out = json!({
        "experiment_metadata": {
            "dataset": match &study.trace {
                Source::File { name, .. } => name.clone(),
                Source::Synthetic(_) => format!("generated, seed {}", study.seed),
            },
            "use_real_timestamps": study.use_real_timestamps,
            "rps_scaling": if study.use_real_timestamps { 1.0 } else { study.rps_scaling },
            "sla_deadline_seconds": study.d_sla_s,
            "total_tests": all,
            "step1_tests": steps.requests.len(),
            "step2_tests": steps.gpus.len(),
            "step3_tests": steps.bins.len(),
            "successful_tests": all,
        },
    });
    if !steps.requests.is_empty() {
        out["step1_request_scaling"] = step1_json(steps.requests);
        out["scheduler_comparison"] = comparison_json(steps.requests);
    }
    if !steps.gpus.is_empty() {
        out["step2_gpu_scaling"] = step2_json(steps.gpus);
    }
    if !steps.bins.is_empty() {
        out["step3_kbins_sensitivity"] = step3_json(steps.bins);
    }
    out["key_findings"] = json!(key_findings(steps));
    out
}

fn list<T: Into<Value>>(runs: &[&Summary], value: impl Fn(&Summary) -> T) -> Value {
    runs.iter().map(|s| value(s)).collect::<Vec<T>>().into()
}

/// The lists that every step has.
fn lists(runs: &[&Summary]) -> Value {
    json!({
        "sla_violations_pct": list(runs, violations),
        "capacity_qps": list(runs, qps),
        "avg_latency_sec": list(runs, |s| s.published().avg_latency_s),
        "p95_latency_sec": list(runs, |s| s.published().p95_latency_s),
        "throughput_req_per_sec": list(runs, |s| s.published().requests_per_s),
        "gpu_utilization_pct": list(runs, |s| s.published().gpu_utilization_mean * 100.0),
    })
}

fn step1_json(runs: &[Summary]) -> Value {
    let mut out = json!({});
    for policy in [Policy::StaticFifo, Policy::Dynamic, Policy::MultiBinDynamic] {
        let of: Vec<&Summary> = runs
            .iter()
            .filter(|s| s.scenario.policy() == Some(policy))
            .collect();
        let mut part = lists(&of);
        part["request_volumes"] = list(&of, |s| s.workload.rows_replayed);
        part["num_gpus"] = list(&of, fleet);
        out[scheduler_type(policy)] = part;
    }
    out
}

fn step2_json(runs: &[Summary]) -> Value {
    let all: Vec<&Summary> = runs.iter().collect();
    let mut out = lists(&all);
    out["gpu_counts"] = list(&all, fleet);
    let efficiency = scaling(runs);
    let efficiency: Vec<Value> = efficiency
        .iter()
        .map(|x| {
            json!({
                "num_gpus": x.gpus,
                "gpu_ratio": x.gpu_ratio,
                "qps_ratio": x.qps_ratio,
                "efficiency": x.efficiency,
                "interpretation": x.interpretation(),
            })
        })
        .collect();
    out["scaling_efficiency"] = efficiency.into();
    let saturation = saturation(runs);
    let best = best_by(runs, qps);
    out["bottleneck_analysis"] = json!({
        "detected": saturation.is_some(),
        "details": saturation.map(|(before, after, gain)| json!({
            "gpu_count": fleet(before),
            "next_gpu_count": fleet(after),
            "qps_gain_pct": gain * 100.0,
        })),
        "max_qps": best.map(qps),
        "optimal_gpu_count": best.map(fleet),
    });
    out
}

fn step3_json(runs: &[Summary]) -> Value {
    let all: Vec<&Summary> = runs.iter().collect();
    let mut out = lists(&all);
    out["k_values"] = list(&all, bins);
    let best = best_bins(runs);
    out["optimal_k"] = best.map_or(Value::Null, |s| {
        json!({
            "k_bins": bins(s),
            "sla_violations_pct": violations(s),
            "capacity_qps": qps(s),
            "avg_latency_sec": s.published().avg_latency_s,
            "num_gpus": fleet(s),
        })
    });
    let most = runs.iter().map(qps).fold(0.0, f64::max);
    out["interpretation"] = json!({
        "best_k": best.map(bins),
        "performance_range": {
            "min_qps": runs.iter().map(qps).fold(most, f64::min),
            "max_qps": most,
            "variance_pct": spread(runs),
        },
    });
    out
}

fn comparison_json(runs: &[Summary]) -> Value {
    let figures = |s: &Summary| {
        json!({
            "sla_violations_pct": violations(s),
            "capacity_qps": qps(s),
            "avg_latency_sec": s.published().avg_latency_s,
            "p95_latency_sec": s.published().p95_latency_s,
            "num_gpus": fleet(s),
            "gpu_utilization_pct": s.published().gpu_utilization_mean * 100.0,
        })
    };
    // In percent of the base, positive where `s` is better.
    let less = |s: f64, base: f64| over((base - s) * 100.0, base);
    let against = |s: &Summary, base: &Summary| {
        json!({
            "sla_improvement_pct": less(violations(s), violations(base)),
            "qps_improvement_ratio": over(qps(s), qps(base)),
            "latency_reduction_pct":
                less(s.published().avg_latency_s, base.published().avg_latency_s),
        })
    };
    let mut out = json!({});
    for group in by_count(runs) {
        if let Some(r) = rivals(group) {
            out[format!("{}_requests", thousands(requests(group)))] = json!({
                "static_fifo": figures(r.fixed),
                "dynamic_no_bins": figures(r.dynamic),
                "multi_bin_dynamic": figures(r.bins),
                "multi_bin_vs_static_fifo": against(r.bins, r.fixed),
                "multi_bin_vs_dynamic_no_bins": against(r.bins, r.dynamic),
            });
        }
    }
    out
}

/// What the fleets of step 2 serve and keep, for the part that counts as the field does.
pub(super) fn honest_scaling(runs: &[Summary]) -> Option<String> {
    let last = runs.last()?;
    let waiting =
        |s: &Summary| s.honest.backlog_at_last_arrival as f64 / s.workload.rows_replayed as f64;
    let mut text = match runs.iter().find(|s| waiting(s) <= 0.01) {
        Some(enough) => format!(
            "With {} at most 1 % of the requests still wait at the last arrival; more GPUs shorten \
             the waits but cannot serve more than arrives.",
            gpus(fleet(enough)),
        ),
        None => format!(
            "With {} {} of the requests still wait at the last arrival.",
            gpus(fleet(last)),
            percent(waiting(last)),
        ),
    };
    let joint = |s: &Summary| s.honest.sla.joint.unwrap_or(0.0);
    let best = best_by(runs, joint)?;
    text += &match runs.iter().find(|s| joint(s) >= 0.95) {
        Some(enough) => format!(
            " {} are the fewest that keep both SLAs for 95 % of the requests: {}, a goodput of {}/s.",
            gpus(fleet(enough)),
            percent(joint(enough)),
            short(enough.honest.goodput_requests_per_s),
        ),
        None => format!(
            " No fleet keeps both SLAs for 95 % of the requests; the most is {} with {}.",
            percent(joint(best)),
            gpus(fleet(best)),
        ),
    };
    Some(text)
}

/// Goodput over bins, and how many requests a batch had to sort.
pub(super) fn honest_bins(runs: &[Summary]) -> Option<String> {
    let goodput = |s: &Summary| s.honest.goodput_requests_per_s;
    let batch = |s: &Summary| s.published().avg_batch;
    let (best, worst) = (best_by(runs, goodput)?, best_by(runs, |s| -goodput(s))?);
    let largest = best_by(runs, batch)?;
    let mut text = if goodput(best) == goodput(worst) {
        format!(
            "Goodput is {}/s with every number of bins.",
            short(goodput(best))
        )
    } else {
        format!(
            "Goodput runs from {}/s (K={}) to {}/s (K={}).",
            short(goodput(worst)),
            bins(worst),
            short(goodput(best)),
            bins(best),
        )
    };
    text += &format!(
        " Batches hold {} requests on average at most.",
        short(batch(largest))
    );
    Some(text)
}
