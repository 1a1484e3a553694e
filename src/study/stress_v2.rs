//! Stress test v2: a grid of multi-bin runs (step 1), or four schedulers on one GPU and a fleet
//! (step 2), under a token and a request SLA. Published in `results_v2.csv` and
//! `step2_report.txt` of TravisLeeTS/llm-scheduler-sim.

use serde::{Deserialize, Serialize};

use super::document::{Cell, Content, File, Table};
use super::{Plan, limit_counts};
use crate::Error;
use crate::metrics::Summary;
use crate::scenario::{Preset, Scenario, Source};
use crate::sched::Policy;

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
        scenario.scheduler.policy = policy;
        scenario.scheduler.bins.count = bins;
        scenario.fleet.gpus = gpus;
        (scenario.sla.token_ms, scenario.sla.request_s) = self.sla.limits();
        scenario
    }
}

impl Plan for StressV2 {
    fn name(&self) -> &'static str {
        "stress-v2"
    }

    fn describe(&self) -> &'static str {
        "stress test v2: four schedulers and a fleet under a token and a request SLA"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        if !done.is_empty() {
            return Ok(Vec::new());
        }
        let mut points = Vec::new();
        for &n in &self.request_counts {
            if self.step == 1 {
                for &gpus in &self.gpu_counts {
                    for &bins in &self.bin_counts {
                        points.push(self.point(n, Policy::MultiBinDynamic, gpus, bins));
                    }
                }
                continue;
            }
            points.push(self.point(n, Policy::StaticFifo, 1, 1));
            points.push(self.point(n, Policy::Dynamic, 1, 1));
            points.push(self.point(n, Policy::MultiBinDynamic, 1, 4));
            points.push(self.point(n, Policy::MultiBinDynamic, 1, 8));
            match (self.optimal_gpus, self.optimal_bins) {
                (Some(gpus), Some(bins)) => {
                    points.push(self.point(n, Policy::MultiBinDynamic, gpus, bins));
                }
                _ => {
                    points.push(self.point(n, Policy::Dynamic, 4, 1));
                    points.push(self.point(n, Policy::MultiBinDynamic, 4, 4));
                    points.push(self.point(n, Policy::MultiBinDynamic, 8, 4));
                }
            }
        }
        Ok(points)
    }

    fn files(&self, outcomes: &[Summary]) -> Result<Vec<File>, Error> {
        let mut table = Table::new(["scheduler_type", "num_requests", "num_gpus", "k_bins"]);
        for s in outcomes {
            table.rows.push(vec![
                Cell::from(format!("{:?}", s.scenario.scheduler.policy)),
                Cell::from(s.workload.rows_replayed),
                Cell::from(s.scenario.fleet.gpus),
                Cell::from(s.scenario.scheduler.bins.count),
            ]);
        }
        Ok(vec![File::new("results_v2.csv", Content::Table(table))])
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
