//! The two-step study: a grid of fleets and bins for the multi-bin dynamic scheduler (step 1), then
//! four methods beside each other, the last with the grid's optimum (step 2). Published in
//! `STRESS_TEST_REPORT.md` of TravisLeeTS/llm-scheduler-sim; docs/MODEL.md, "Studies".

mod choice;
mod figures;
mod report;

use serde::{Deserialize, Serialize};

use super::published_columns::{self as columns, Column};
use super::{Plan, check, field, limit_counts, runs};
use crate::metrics::Summary;
use crate::report::document::{Cell, Content, File, Table};
use crate::scenario::{MAX_GPUS, Preset, Scenario, Source};
use crate::sched::Policy;
use crate::sched::bins::MAX_BINS;
use crate::words;
use crate::{Error, error};
use choice::{optimum, scaling};

/// Settings of the study, with the published defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TwoStep {
    pub trace: Source,
    pub seed: u32,
    pub step: Step,
    pub request_counts: Vec<u32>,
    /// Of the grid.
    pub gpu_counts: Vec<u32>,
    /// Of the grid.
    pub bin_counts: Vec<u32>,
    /// Arrival times are divided by this.
    pub rps_scaling: f64,
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Step {
    /// The grid.
    Grid,
    /// The methods on one GPU; the optimum would need the grid.
    Methods,
    /// The grid, then all four methods.
    #[default]
    All,
}

impl Default for TwoStep {
    fn default() -> Self {
        TwoStep {
            trace: Source::default(),
            seed: 42,
            step: Step::All,
            request_counts: vec![1_000, 10_000, 100_000, 1_000_000],
            gpu_counts: vec![1, 2, 4, 8, 16, 32, 64, 100],
            bin_counts: vec![1, 2, 4, 8, 16, 32],
            rps_scaling: 200.0,
        }
    }
}

/// Bins of the third method.
const LOCAL_BINS: u32 = 4;
/// Bins at which the published report reads the effect of GPUs.
const READ_BINS: u32 = 2;
/// From this many requests on the published program wrote a comparison of its own.
const LARGE: u32 = 1_000_000;

/// The runs of one request count.
struct Group<'a> {
    requests: u32,
    /// In the order of GPUs, then bins.
    grid: &'a [Summary],
    methods: &'a [Summary],
}

impl TwoStep {
    fn point(&self, requests: u32, policy: Policy, gpus: u32, bins: u32) -> Scenario {
        let mut scenario = Preset::TwoStep.scenario();
        scenario.trace = self.trace.clone();
        scenario.seed = self.seed;
        scenario.workload.limit = Some(requests);
        scenario.workload.time_scale = self.rps_scaling;
        scenario.closed_mut().policy = policy;
        scenario.bins.count = bins;
        scenario.fleet.gpus = gpus;
        scenario
    }

    /// Runs of the grid for one request count.
    fn grid_size(&self) -> usize {
        match self.step {
            Step::Grid | Step::All => self.gpu_counts.len() * self.bin_counts.len(),
            Step::Methods => 0,
        }
    }

    fn grid(&self) -> Vec<Scenario> {
        let mut points = Vec::new();
        if self.step != Step::Methods {
            for &n in &self.request_counts {
                for &gpus in &self.gpu_counts {
                    for &bins in &self.bin_counts {
                        points.push(self.point(n, Policy::MultiBinDynamic, gpus, bins));
                    }
                }
            }
        }
        points
    }

    /// The methods; `grid` is what step 1 found, empty where it did not run.
    fn methods(&self, grid: &[Summary]) -> Vec<Scenario> {
        let mut points = Vec::new();
        for (i, &n) in self.request_counts.iter().enumerate() {
            points.push(self.point(n, Policy::StaticFifo, 1, 1));
            points.push(self.point(n, Policy::Dynamic, 1, 1));
            points.push(self.point(n, Policy::MultiBinDynamic, 1, LOCAL_BINS));
            let size = self.grid_size();
            let found = grid.get(i * size..(i + 1) * size).unwrap_or_default();
            if let Some(best) = optimum(found) {
                let Scenario { fleet, bins, .. } = &best.run.scenario;
                points.push(self.point(n, Policy::MultiBinDynamic, fleet.gpus, bins.count));
            }
        }
        points
    }

    fn groups<'a>(&self, runs: &'a [Summary]) -> Vec<Group<'a>> {
        let counts = self.request_counts.len();
        let (grid, methods) = runs.split_at((counts * self.grid_size()).min(runs.len()));
        let method_count = methods.len() / counts.max(1);
        let mut grids = grid.chunks(self.grid_size().max(1));
        let mut methods = methods.chunks(method_count.max(1));
        self.request_counts
            .iter()
            .map(|&requests| Group {
                requests,
                grid: grids.next().unwrap_or_default(),
                methods: methods.next().unwrap_or_default(),
            })
            .collect()
    }

    /// The number of bins at which effects of GPUs are read: 2 as published, else the first.
    fn read_bins(&self) -> u32 {
        match self.bin_counts.first() {
            Some(&first) if !self.bin_counts.contains(&READ_BINS) => first,
            _ => READ_BINS,
        }
    }
}

/// The columns of `step1_all_results_final.csv`: those of `results_v2.csv` without TBT and the
/// second SLA, which this study did not have.
fn results() -> Vec<Column> {
    let mut all = columns::RUN.to_vec();
    all.extend([
        columns::K_BINS,
        columns::ACTUAL_RPS,
        columns::RPS_SCALING,
        columns::SLA_VIOLATION_RATE,
        columns::REQUESTS_PER_S,
        columns::TOKENS_PER_S,
        columns::CAPACITY,
    ]);
    all.extend(columns::OUTCOME);
    all
}

fn throughput(s: &Summary) -> f64 {
    s.published().tokens_per_s
}

/// tokens/s per GPU.
fn efficiency(s: &Summary) -> f64 {
    throughput(s) / f64::from(s.scenario.fleet.gpus)
}

fn gpu_count(s: &Summary) -> u32 {
    s.scenario.fleet.gpus
}

fn bin_count(s: &Summary) -> u32 {
    s.scenario.bins.count
}

/// "4 GPUs, 1 bin".
fn fleet(s: &Summary) -> String {
    format!(
        "{}, {}",
        words::gpus(gpu_count(s)),
        words::counted(bin_count(s), "bin")
    )
}

/// What the methods of a group are called, in their order.
fn description(at: usize, s: &Summary) -> String {
    match at {
        0 => "Static Batch (1 GPU)".to_owned(),
        1 => "Dynamic Batching (1 GPU)".to_owned(),
        2 => format!("MultiBin+Dynamic ({})", fleet(s)),
        _ => format!("Optimized ({})", fleet(s)),
    }
}

/// The lowest P95 of a grid, the highest throughput and the highest throughput per GPU; of equals
/// the one with fewer GPUs, then bins.
struct Best<'a> {
    latency: &'a Summary,
    throughput: &'a Summary,
    efficiency: &'a Summary,
}

fn best(grid: &[Summary]) -> Option<Best<'_>> {
    Some(Best {
        latency: runs::best_by(grid, |s| -s.published().p95_latency_s)?,
        throughput: runs::best_by(grid, throughput)?,
        efficiency: runs::best_by(grid, efficiency)?,
    })
}

fn summary_table(groups: &[Group<'_>]) -> Table {
    let mut table = Table::new([
        "num_requests",
        "best_latency_gpus",
        "best_latency_bins",
        "best_p95_latency",
        "best_throughput_gpus",
        "best_throughput_bins",
        "best_throughput",
        "best_efficiency_gpus",
        "best_efficiency_bins",
        "best_efficiency",
    ]);
    for group in groups {
        let Some(best) = best(group.grid) else {
            continue;
        };
        let mut row = vec![Cell::from(group.requests)];
        for (run, value) in [
            (best.latency, best.latency.published().p95_latency_s),
            (best.throughput, throughput(best.throughput)),
            (best.efficiency, efficiency(best.efficiency)),
        ] {
            row.extend([gpu_count(run).into(), bin_count(run).into(), value.into()]);
        }
        table.rows.push(row);
    }
    table
}

fn scaling_table(study: &TwoStep, groups: &[Group<'_>]) -> Table {
    let mut table = Table::new([
        "num_requests",
        "k_bins",
        "num_gpus",
        "p95_latency",
        "reduction_from_previous",
        "diminishing",
    ]);
    for group in groups {
        for &bins in &study.bin_counts {
            for step in scaling(group.grid, bins) {
                table.rows.push(vec![
                    group.requests.into(),
                    bins.into(),
                    gpu_count(step.run).into(),
                    step.run.published().p95_latency_s.into(),
                    step.reduction.into(),
                    step.diminishing.to_string().into(),
                ]);
            }
        }
    }
    table
}

/// Step 2 of the request counts that `wanted` picks.
fn comparison_table(groups: &[Group<'_>], wanted: impl Fn(u32) -> bool) -> Table {
    let mut table = columns::table(&results(), &[]);
    table
        .columns
        .extend(["description", "comparison_group"].map(str::to_owned));
    for group in groups.iter().filter(|group| wanted(group.requests)) {
        for (at, mut row) in columns::table(&results(), group.methods)
            .rows
            .into_iter()
            .enumerate()
        {
            let name = group.methods.get(at).map(|s| description(at, s));
            row.push(name.into());
            row.push(if at < 3 { "local" } else { "cloud" }.into());
            table.rows.push(row);
        }
    }
    table
}

fn optimal_configs(groups: &[Group<'_>]) -> serde_json::Value {
    groups
        .iter()
        .filter_map(|group| {
            let best = optimum(group.grid)?;
            let config = serde_json::json!({
                "num_gpus": gpu_count(best.run),
                "k_bins": bin_count(best.run),
                "throughput_tokens_per_sec": throughput(best.run),
                "p95_latency": best.run.published().p95_latency_s,
                "sla_violation_rate": columns::token_violation_rate(best.run),
                "within_violation_limit": best.within_limit,
            });
            Some((group.requests.to_string(), config))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

impl Plan for TwoStep {
    fn name(&self) -> &'static str {
        "two-step"
    }

    fn describe(&self) -> &'static str {
        "two steps: a grid of fleets and bins, then four methods, the last with the grid's optimum"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        error::counts("two-step.request_counts", &self.request_counts, u32::MAX)?;
        error::counts("two-step.gpu_counts", &self.gpu_counts, MAX_GPUS)?;
        error::counts("two-step.bin_counts", &self.bin_counts, MAX_BINS)?;
        check::grid(
            "two-step.request_counts, gpu_counts and bin_counts",
            [&self.request_counts, &self.gpu_counts, &self.bin_counts],
        )?;
        let size = self.request_counts.len() * self.grid_size();
        if done.len() < size {
            return Ok(self.grid());
        }
        if self.step == Step::Grid || done.len() > size {
            return Ok(Vec::new());
        }
        Ok(self.methods(done))
    }

    fn files(&self, runs: &[Summary]) -> Result<Vec<File>, Error> {
        let groups = self.groups(runs);
        let table = |name: &str, table: Table| File::new(name, Content::Table(table));
        let mut files = vec![File::new(
            "STRESS_TEST_REPORT.md",
            Content::Text(report::text(self, &groups)),
        )];
        if self.step != Step::Methods {
            let grid = self.request_counts.len() * self.grid_size();
            let grid = runs.get(..grid).unwrap_or(runs);
            files.extend([
                table(
                    "step1_all_results_final.csv",
                    columns::table(&results(), grid),
                ),
                table("step1_summary_table.csv", summary_table(&groups)),
                table("step1_scaling_analysis.csv", scaling_table(self, &groups)),
                File::new(
                    "step1_grid_search_results_optimal_configs.json",
                    Content::Json(optimal_configs(&groups)),
                ),
            ]);
        }
        if self.step != Step::Grid {
            for (name, large) in [
                ("step2_comparison.csv", false),
                ("step2_comparison_1m.csv", true),
            ] {
                let wanted = |requests: u32| (requests >= LARGE) == large;
                if self.request_counts.iter().any(|&n| wanted(n)) {
                    files.push(table(name, comparison_table(&groups, wanted)));
                }
            }
        }
        files.push(table("two_step_honest.csv", field::table(runs)));
        files.extend(figures::all(self, &groups));
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
