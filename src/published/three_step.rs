//! The three-step study: more requests (step 1), more GPUs (step 2), more bins (step 3), under one
//! second end to end. Published in the `comprehensive_stress_results_*` files and
//! `UPDATE_3STEP_SUMMARY.md` of TravisLeeTS/llm-scheduler-sim; docs/MODEL.md, "Studies".

mod analysis;
mod figures;
mod report;

use serde::{Deserialize, Serialize};

use super::published_columns::{self as columns, Column};
use super::{Plan, check, field, runs};
use crate::Error;
use crate::metrics::Summary;
use crate::report::document::{Cell, Content, File};
use crate::scenario::{MAX_GPUS, Preset, Scenario, Source};
use crate::sched::Policy;

/// Settings of the study, with the published defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ThreeStep {
    pub trace: Source,
    pub seed: u32,
    /// Requests of steps 2 and 3. Step 1 has 1,000, 10,000 and so on up to it; it alone where it
    /// is smaller than 1,000.
    pub max_requests: u32,
    /// The largest fleet of step 2.
    pub max_gpus: u32,
    /// Arrivals at the trace's own pace; `rps_scaling` has no effect then.
    pub use_real_timestamps: bool,
    /// Arrival times are divided by this.
    pub rps_scaling: f64,
    /// The promise, arrival to end, and the target of the controllers, s. The published program
    /// left its deadline at 1 s whatever it was told.
    pub d_sla_s: f64,
    pub steps: Steps,
    /// The fleet of step 3; absent means the one of step 2 with the highest published capacity,
    /// or 32 without step 2.
    pub best_gpu_count: Option<u32>,
}

/// Which steps to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Steps {
    #[default]
    All,
    Step1,
    Step2,
    Step3,
}

impl Default for ThreeStep {
    fn default() -> Self {
        ThreeStep {
            trace: Source::default(),
            seed: 42,
            max_requests: 1_000_000,
            max_gpus: 100,
            use_real_timestamps: false,
            rps_scaling: 200.0,
            d_sla_s: 1.0,
            steps: Steps::default(),
            best_gpu_count: None,
        }
    }
}

/// Bins of steps 1 and 2.
const BINS: u32 = 8;
/// Fleets of multi-bin in step 1.
const STEP1_GPUS: [u32; 3] = [1, 2, 4];
/// Fleets of step 2.
const STEP2_GPUS: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 100];
/// Bins of step 3.
const STEP3_BINS: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// The fleet of step 3 where step 2 did not run.
const FALLBACK_GPUS: u32 = 32;

/// The runs of each step; empty where it was skipped.
#[derive(Clone, Copy)]
struct StepRuns<'a> {
    requests: &'a [Summary],
    gpus: &'a [Summary],
    bins: &'a [Summary],
}

impl<'a> StepRuns<'a> {
    /// With what the steps are called in files and reports.
    fn named(self) -> [(&'static str, &'a [Summary]); 3] {
        [
            ("step1_request_scaling", self.requests),
            ("step2_gpu_scaling", self.gpus),
            ("step3_kbins_sensitivity", self.bins),
        ]
    }
}

impl ThreeStep {
    fn check(&self) -> Result<(), Error> {
        check::count("three-step.max_requests", self.max_requests, u32::MAX)?;
        check::count("three-step.max_gpus", self.max_gpus, MAX_GPUS)?;
        crate::error::number("three-step.rps_scaling", self.rps_scaling, 1e-6, 1e9)?;
        crate::error::number("three-step.d_sla_s", self.d_sla_s, 1e-6, 1e4)?;
        match self.best_gpu_count {
            Some(gpus) => check::count("three-step.best_gpu_count", gpus, MAX_GPUS),
            None => Ok(()),
        }
    }

    fn point(&self, requests: u32, policy: Policy, gpus: u32, bins: u32) -> Scenario {
        let mut scenario = Preset::ThreeStep.scenario();
        scenario.trace = self.trace.clone();
        scenario.seed = self.seed;
        scenario.workload.limit = Some(requests);
        scenario.workload.time_scale = if self.use_real_timestamps {
            1.0
        } else {
            self.rps_scaling
        };
        scenario.closed_mut().policy = policy;
        scenario.bins.count = bins;
        scenario.bins.sample_size = self.sample(bins);
        scenario.closed_mut().controller.target_s = Some(self.d_sla_s);
        scenario.sla.token_ms = self.d_sla_s * 1e3;
        scenario.sla.request_s = self.d_sla_s;
        scenario.fleet.gpus = gpus;
        scenario
    }

    /// Requests whose predictions give the bins' boundaries. The published program kept boundaries
    /// by K alone, so the first run with this K decides for all later ones.
    fn sample(&self, bins: u32) -> u32 {
        const MOST: u32 = 5_000;
        let in_step1 = bins == BINS && matches!(self.steps, Steps::All | Steps::Step1);
        let first = match in_step1 {
            true => self.request_counts()[0],
            false => self.max_requests,
        };
        first.min(MOST)
    }

    fn request_counts(&self) -> Vec<u32> {
        let powers = std::iter::successors(Some(1_000u32), |n| n.checked_mul(10));
        let mut counts: Vec<u32> = powers.take_while(|&n| n <= self.max_requests).collect();
        if counts.is_empty() {
            counts.push(self.max_requests);
        }
        counts
    }

    fn step1(&self) -> Vec<Scenario> {
        if !matches!(self.steps, Steps::All | Steps::Step1) {
            return Vec::new();
        }
        let mut points = Vec::new();
        for n in self.request_counts() {
            points.push(self.point(n, Policy::StaticFifo, 1, 1));
            points.push(self.point(n, Policy::Dynamic, 1, 1));
            for gpus in STEP1_GPUS {
                points.push(self.point(n, Policy::MultiBinDynamic, gpus, BINS));
            }
        }
        points
    }

    fn step2(&self) -> Vec<Scenario> {
        if !matches!(self.steps, Steps::All | Steps::Step2) {
            return Vec::new();
        }
        let fleets = STEP2_GPUS.iter().filter(|&&gpus| gpus <= self.max_gpus);
        fleets
            .map(|&gpus| self.point(self.max_requests, Policy::MultiBinDynamic, gpus, BINS))
            .collect()
    }

    fn step3(&self, step2: &[Summary]) -> Vec<Scenario> {
        if !matches!(self.steps, Steps::All | Steps::Step3) {
            return Vec::new();
        }
        let best = runs::best_by(step2, |s| s.published().capacity_qps_under_sla);
        let gpus = self
            .best_gpu_count
            .or(best.map(|s| s.scenario.fleet.gpus))
            .unwrap_or(FALLBACK_GPUS);
        STEP3_BINS
            .iter()
            .map(|&bins| self.point(self.max_requests, Policy::MultiBinDynamic, gpus, bins))
            .collect()
    }

    fn split<'a>(&self, runs: &'a [Summary]) -> StepRuns<'a> {
        let (requests, rest) = runs.split_at(self.step1().len().min(runs.len()));
        let (gpus, bins) = rest.split_at(self.step2().len().min(rest.len()));
        StepRuns {
            requests,
            gpus,
            bins,
        }
    }

    /// The columns of the result tables, in the published order.
    fn results(&self) -> Vec<Column> {
        let real: fn(&Summary) -> Cell = if self.use_real_timestamps {
            |_| "True".into()
        } else {
            |_| "False".into()
        };
        let mut all = columns::RUN.to_vec();
        all.extend([
            ("use_real_timestamps", real),
            columns::RPS_SCALING,
            ("d_sla", |s| s.scenario.sla.request_s.into()),
            columns::K_BINS,
            columns::SLA_VIOLATION_RATE,
            columns::CAPACITY,
            columns::REQUESTS_PER_S,
            columns::TOKENS_PER_S,
        ]);
        all.extend(columns::OUTCOME);
        all.push(("error", |_| Cell::Empty));
        all
    }
}

impl Plan for ThreeStep {
    fn name(&self) -> &'static str {
        "three-step"
    }

    fn describe(&self) -> &'static str {
        "three steps: more requests, more GPUs, more bins, under one second end to end"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        self.check()?;
        let mut first = self.step1();
        first.extend(self.step2());
        if done.is_empty() && !first.is_empty() {
            return Ok(first);
        }
        if done.len() > first.len() {
            return Ok(Vec::new());
        }
        Ok(self.step3(self.split(done).gpus))
    }

    fn files(&self, runs: &[Summary]) -> Result<Vec<File>, Error> {
        let steps = self.split(runs);
        let name = |part: &str| format!("comprehensive_stress_results_{part}");
        let results = self.results();
        let table = |runs: &[Summary]| Content::Table(columns::table(&results, runs));
        let mut files = vec![File::new(
            "three_step_report.txt",
            Content::Text(report::report(self, steps)),
        )];
        for (step, runs) in steps.named() {
            if !runs.is_empty() {
                files.push(File::new(name(step) + ".csv", table(runs)));
            }
        }
        files.push(File::new(name("all_results.csv"), table(runs)));
        files.push(File::new(
            name("honest.csv"),
            Content::Table(field::table(runs)),
        ));
        files.push(File::new(
            name("analysis.json"),
            Content::Json(analysis::json(self, steps)),
        ));
        for (name, figure) in figures::all(steps) {
            files.push(File::new(name, Content::Figure(figure)));
        }
        Ok(files)
    }

    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        Some((&mut self.trace, &mut self.seed))
    }

    fn limit_to(&mut self, rows: u64) -> Option<String> {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        if self.max_requests <= rows {
            return None;
        }
        self.max_requests = rows;
        Some(format!(
            "the trace has {rows} rows, so --max-requests is lowered to that"
        ))
    }

    fn rows_needed(&self) -> u32 {
        self.max_requests
    }
}
