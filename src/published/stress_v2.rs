//! Stress test v2: a grid of multi-bin runs (step 1), or four schedulers on one GPU and a fleet
//! (step 2), under a token and a request SLA. Published in `results_v2.csv` and
//! `step2_report.txt` of TravisLeeTS/llm-scheduler-sim; docs/MODEL.md, "Studies".

mod figures;
mod report;

use serde::{Deserialize, Serialize};

use super::published_columns::{self as columns, Column};
use super::{Plan, check, field, limit_counts};
use crate::metrics::Summary;
use crate::report::document::{Cell, Content, File};
use crate::scenario::{MAX_GPUS, Preset, Scenario, Source};
use crate::sched::Policy;
use crate::sched::bins::MAX_BINS;
use crate::{Error, error};

/// Settings of the study, with the published defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StressV2 {
    pub trace: Source,
    pub seed: u32,
    /// 1: the grid of GPUs and bins. 2: the comparison of schedulers.
    pub step: u32,
    pub request_counts: Vec<u32>,
    /// Of step 1.
    pub gpu_counts: Vec<u32>,
    /// Of step 1.
    pub bin_counts: Vec<u32>,
    /// The fleet of step 2's last method; absent means the three fall-back fleets.
    pub optimal_gpus: Option<u32>,
    pub optimal_bins: Option<u32>,
    pub sla: SlaMode,
}

/// The published pairs of token and request SLA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum SlaMode {
    /// 10 ms and 5 s.
    Strict,
    /// 10 ms and 10 s.
    Default,
    /// 30 ms and 20 s: what the published figures used.
    #[default]
    Loose,
}

impl SlaMode {
    /// Token SLA, ms, and request SLA, s.
    pub fn limits(self) -> (f64, f64) {
        match self {
            SlaMode::Strict => (10.0, 5.0),
            SlaMode::Default => (10.0, 10.0),
            SlaMode::Loose => (30.0, 20.0),
        }
    }
}

impl Default for StressV2 {
    fn default() -> Self {
        StressV2 {
            trace: Source::default(),
            seed: 42,
            step: 2,
            request_counts: vec![1_000, 10_000],
            gpu_counts: vec![1, 2, 4],
            bin_counts: vec![1, 2, 4],
            optimal_gpus: Some(32),
            optimal_bins: Some(8),
            sla: SlaMode::default(),
        }
    }
}

impl StressV2 {
    fn point(&self, requests: u32, policy: Policy, gpus: u32, bins: u32) -> Scenario {
        let mut scenario = Preset::StressV2.scenario();
        scenario.trace = self.trace.clone();
        scenario.seed = self.seed;
        scenario.workload.limit = Some(requests);
        scenario.closed_mut().policy = policy;
        scenario.bins.count = bins;
        scenario.fleet.gpus = gpus;
        (scenario.sla.token_ms, scenario.sla.request_s) = self.sla.limits();
        scenario
    }

    /// The fleet and bins of step 2's last method.
    fn optimal(&self) -> Result<Option<(u32, u32)>, Error> {
        match (self.optimal_gpus, self.optimal_bins) {
            (Some(gpus), Some(bins)) => {
                check::count("stress-v2.optimal_gpus", gpus, MAX_GPUS)?;
                check::count("stress-v2.optimal_bins", bins, MAX_BINS)?;
                Ok(Some((gpus, bins)))
            }
            (None, None) => Ok(None),
            (gpus, _) => {
                let missing = if gpus.is_some() { "bins" } else { "gpus" };
                Err(Error::bad_field(
                    format!("stress-v2.optimal_{missing}"),
                    "nothing",
                    "a number where the other of optimal_gpus and optimal_bins has one".to_owned(),
                ))
            }
        }
    }

    fn grid(&self) -> Result<Vec<Scenario>, Error> {
        error::counts("stress-v2.gpu_counts", &self.gpu_counts, MAX_GPUS)?;
        error::counts("stress-v2.bin_counts", &self.bin_counts, MAX_BINS)?;
        check::grid(
            "stress-v2.request_counts, gpu_counts and bin_counts",
            [&self.request_counts, &self.gpu_counts, &self.bin_counts],
        )?;
        let mut points = Vec::new();
        for &n in &self.request_counts {
            for &gpus in &self.gpu_counts {
                for &bins in &self.bin_counts {
                    points.push(self.point(n, Policy::MultiBinDynamic, gpus, bins));
                }
            }
        }
        Ok(points)
    }

    fn comparison(&self) -> Result<Vec<Scenario>, Error> {
        let optimal = self.optimal()?;
        let mut points = Vec::new();
        for &n in &self.request_counts {
            points.push(self.point(n, Policy::StaticFifo, 1, 1));
            points.push(self.point(n, Policy::Dynamic, 1, 1));
            points.push(self.point(n, Policy::MultiBinDynamic, 1, 4));
            points.push(self.point(n, Policy::MultiBinDynamic, 1, BASE_BINS));
            if let Some((gpus, bins)) = optimal {
                points.push(self.point(n, Policy::MultiBinDynamic, gpus, bins));
            } else {
                points.push(self.point(n, Policy::Dynamic, 4, 1));
                points.push(self.point(n, Policy::MultiBinDynamic, 4, 4));
                points.push(self.point(n, Policy::MultiBinDynamic, 8, 4));
            }
        }
        Ok(points)
    }
}

/// Bins of the one-GPU method that the published findings compare with static batching.
const BASE_BINS: u32 = 8;

/// The columns of `results_v2.csv`, in the published order.
fn results(optimal: bool) -> Vec<Column> {
    let mut all = columns::RUN.to_vec();
    all.extend([columns::K_BINS, columns::ACTUAL_RPS, columns::RPS_SCALING]);
    all.extend([
        (
            "d_sla_token",
            (|s| (s.scenario.sla.token_ms / 1e3).into()) as fn(&Summary) -> Cell,
        ),
        ("d_sla_request", |s| s.scenario.sla.request_s.into()),
        ("sla_violation_rate_token", |s| {
            columns::token_violation_rate(s).into()
        }),
        ("sla_violation_rate_request", |s| {
            columns::request_violation_rate(s).into()
        }),
        ("sla_violations_token", |s| {
            s.published().token_violations.into()
        }),
        ("sla_violations_request", |s| {
            s.published().request_violations.into()
        }),
        columns::SLA_VIOLATION_RATE,
        columns::REQUESTS_PER_S,
        columns::TOKENS_PER_S,
        columns::CAPACITY,
        ("avg_tbt_ms", |s| s.published().avg_tbt_ms.into()),
        ("p95_tbt_ms", |s| s.published().p95_tbt_ms.into()),
        ("p99_tbt_ms", |s| s.published().p99_tbt_ms.into()),
        ("max_tbt_ms", |s| s.published().max_tbt_ms.into()),
    ]);
    all.extend(columns::OUTCOME);
    all.push(if optimal {
        ("method_label", |s| label(s, "Optimal").into())
    } else {
        ("method_label", |s| label(s, "Dynamic").into())
    });
    all
}

/// As in the published file: "MultiBin_Dynamic_1GPU_K8", "MultiBin_Optimal_32GPU_K8".
fn label(s: &Summary, fleet: &str) -> String {
    let gpus = s.scenario.fleet.gpus;
    let kind = if gpus > 1 { fleet } else { "Dynamic" };
    let bins = s.scenario.bins.count;
    match s.scenario.policy().unwrap_or_default() {
        Policy::StaticFifo => format!("Static_FIFO_{gpus}GPU"),
        Policy::Dynamic => format!("Dynamic_NoBins_{gpus}GPU"),
        Policy::MultiBinDynamic => format!("MultiBin_{kind}_{gpus}GPU_K{bins}"),
        Policy::MultiBin => format!("MultiBin_Full_{gpus}GPU_K{bins}"),
    }
}

/// The runs of each request count.
fn by_count(runs: &[Summary]) -> Vec<&[Summary]> {
    runs.chunk_by(|a, b| a.workload.rows_replayed == b.workload.rows_replayed)
        .collect()
}

impl Plan for StressV2 {
    fn name(&self) -> &'static str {
        "stress-v2"
    }

    fn describe(&self) -> &'static str {
        "stress test v2: four schedulers and a fleet under a token and a request SLA"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        error::counts("stress-v2.request_counts", &self.request_counts, u32::MAX)?;
        let points = match self.step {
            1 => self.grid()?,
            2 => self.comparison()?,
            other => {
                return Err(Error::bad_field(
                    "stress-v2.step",
                    other,
                    "1 or 2".to_owned(),
                ));
            }
        };
        Ok(if done.is_empty() { points } else { Vec::new() })
    }

    fn files(&self, runs: &[Summary]) -> Result<Vec<File>, Error> {
        let groups = by_count(runs);
        let mut files = vec![
            File::new(
                "results_v2.csv",
                Content::Table(columns::table(
                    &results(self.step == 2 && self.optimal_gpus.is_some()),
                    runs,
                )),
            ),
            File::new("results_v2_honest.csv", Content::Table(field::table(runs))),
        ];
        if self.step == 1 {
            files.push(File::new(
                "step1_report.txt",
                Content::Text(report::grid(self, &groups)),
            ));
            files.push(File::new(
                "step1_grid",
                Content::Figure(figures::grid(self, &groups)),
            ));
            return Ok(files);
        }
        files.push(File::new(
            "step2_report.txt",
            Content::Text(report::comparison(self, &groups)),
        ));
        files.push(File::new(
            "step2_comparison",
            Content::Figure(figures::comparison(&groups)),
        ));
        files.push(File::new(
            "tbt_comparison",
            Content::Figure(figures::tbt(&groups)),
        ));
        files.push(File::new(
            "step2_honest",
            Content::Figure(figures::honest(&groups)),
        ));
        Ok(files)
    }

    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        Some((&mut self.trace, &mut self.seed))
    }

    fn limit_to(&mut self, rows: u64) -> Option<String> {
        limit_counts(&mut self.request_counts, rows)
    }

    fn rows_needed(&self) -> u32 {
        self.request_counts.iter().copied().max().unwrap_or(1)
    }
}
