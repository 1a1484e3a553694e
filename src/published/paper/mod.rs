//! The two papers that the published simulator builds on: multi-bin batching (Guldogan et al.,
//! arXiv 2412.04504), its closed forms beside this engine's multi-bin scheduler, and dynamic
//! batching (Pang, Li, Wang; arXiv 2503.05248), its decode model and its stated results.

pub mod decode;
pub mod multi_bin;
mod pictures;
mod published;
mod report;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::latency::{Latency, Linear};
use crate::metrics::Summary;
use crate::report::document::{Cell, Content, File, Table};
use crate::scenario::{Engine, Fleet, MAX_BATCH, Scenario, Source};
use crate::sched::bins::{MAX_BINS, MAX_CUT};
use crate::sched::{Bins, Boundaries, Closed, Policy};
use crate::trace::predict::{Kind, Predictor};
use crate::trace::synth::{Arrivals, Lengths, MAX_TOKENS, Shape, Synthetic};
use crate::{Error, error};
use decode::DecodeModel;
use multi_bin::{ExponentialTimes, UniformTimes};

/// Settings of the study, with the multi-bin paper's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Paper {
    pub seed: u32,
    /// Of each run.
    pub requests: u32,
    /// B of the runs with uniform service times.
    pub batch_sizes: Vec<u32>,
    /// k of the runs without prediction errors.
    pub bin_counts: Vec<u32>,
    /// p_e: the chance of one bin too low, and the same chance of one too high.
    pub bin_errors: Vec<f64>,
    /// k of the runs with prediction errors.
    pub error_bin_counts: Vec<u32>,
    /// l_min and l_max of the uniform service times, s.
    pub shortest_s: f64,
    pub longest_s: f64,
    /// k of the runs with exponential service times.
    pub exponential_bin_counts: Vec<u32>,
}

impl Default for Paper {
    fn default() -> Self {
        Paper {
            seed: 42,
            requests: 400_000,
            batch_sizes: vec![128, 8],
            bin_counts: vec![1, 2, 3, 4, 5, 8, 16, 32],
            bin_errors: vec![0.0, 0.01, 0.05, 0.1, 0.25, 0.5],
            error_bin_counts: vec![2, 4, 8],
            shortest_s: 1.0,
            longest_s: 20.0,
            exponential_bin_counts: vec![1, 2, 3, 4, 5],
        }
    }
}

/// Service time of a token: fine enough that whole tokens do not show, and a service time of
/// 1000 s is still a length that a generator makes.
const TOKEN_S: f64 = 1e-3;

/// Every request has a prompt of one token, so that none of its time is the prompt's.
const PROMPT: u32 = 1;

/// Requests arrive this many times as fast as any policy could serve them.
const OVERLOAD: f64 = 10.0;

/// Fewest full batches of a bin, on average, beside which the short last one of each bin weighs
/// little.
const FULL_BATCHES: u64 = 10;

/// Throughput gaps of theorem 4.3, requests/s.
const GAPS: [f64; 5] = [5.0, 2.0, 1.0, 0.5, 0.1];

const EXPONENTIAL: ExponentialTimes = ExponentialTimes {
    batch: 200,
    mean_s: 10.0,
};

/// A run with uniform service times.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    batch: u32,
    bins: u32,
    error: f64,
}

/// A point with its outcome and what theory says.
struct Row<'a> {
    point: Point,
    theory: f64,
    outcome: &'a Summary,
}

impl Row<'_> {
    fn simulated(&self) -> f64 {
        full_batch_throughput(self.outcome)
    }

    /// Simulation over theory, less 1.
    fn difference(&self) -> f64 {
        self.simulated() / self.theory - 1.0
    }
}

/// A number of bins with its outcome under exponential service times.
struct ExponentialRow<'a> {
    bins: u32,
    outcome: &'a Summary,
}

/// Proposition 4.1, B / E[t], with the mean over requests of the service time of their batch: a
/// batch that the trace's end left short counts with the requests it has.
fn full_batch_throughput(outcome: &Summary) -> f64 {
    f64::from(outcome.scenario.bins.full_batch) / outcome.published().avg_service_s
}

fn tokens(seconds: f64) -> u32 {
    // The cast saturates; the generator refuses what is out of its range.
    (seconds / TOKEN_S + 0.5) as u32
}

impl Paper {
    fn uniform(&self, batch: u32) -> UniformTimes {
        UniformTimes {
            batch,
            low_s: self.shortest_s,
            high_s: self.longest_s,
        }
    }

    /// Fewest requests from which every bin of every run makes [`FULL_BATCHES`].
    fn least_requests(&self) -> u64 {
        let most = |values: &[u32]| values.iter().copied().max().map_or(0, u64::from);
        let bins = most(&self.bin_counts).max(most(&self.error_bin_counts));
        let uniform = most(&self.batch_sizes) * bins;
        let exponential = u64::from(EXPONENTIAL.batch) * most(&self.exponential_bin_counts);
        FULL_BATCHES * uniform.max(exponential)
    }

    /// Without errors first, per batch size; no point twice.
    fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for &batch in &self.batch_sizes {
            let exact = self.bin_counts.iter().map(|&bins| (bins, 0.0));
            let wrong = self
                .error_bin_counts
                .iter()
                .flat_map(|&bins| self.bin_errors.iter().map(move |&error| (bins, error)));
            for (bins, error) in exact.chain(wrong) {
                let point = Point { batch, bins, error };
                if !points.contains(&point) {
                    points.push(point);
                }
            }
        }
        points
    }

    /// Lengths in tokens of [`TOKEN_S`] each, all time in the longest member of the batch.
    fn scenario(
        &self,
        batch: u32,
        bins: u32,
        rate: f64,
        output: Lengths,
        boundaries: Boundaries,
    ) -> Scenario {
        Scenario {
            trace: Source::Synthetic(Synthetic {
                requests: self.requests,
                shape: Shape::Custom {
                    arrivals: Arrivals::Poisson { rate },
                    prompt: Lengths::Fixed { tokens: PROMPT },
                    output,
                    failed_share: 0.0,
                },
            }),
            engine: Engine::Closed(Box::new(Closed {
                policy: Policy::MultiBin,
                latency: Latency::Linear(Linear {
                    alpha_s: 0.0,
                    beta_s_per_token: TOKEN_S,
                    gamma: 0.0,
                    growth: 0.0,
                    floor_s: 1e-9,
                }),
                ..Closed::default()
            })),
            bins: Bins {
                full_batch: batch,
                count: bins,
                boundaries,
                sample_rows: self.requests,
                sample_size: self.requests,
                last_upper: MAX_CUT,
                ..Bins::default()
            },
            fleet: Fleet { gpus: 1 },
            predictor: Predictor {
                kind: Kind::Oracle,
                ..Predictor::default()
            },
            seed: self.seed,
            ..Scenario::default()
        }
    }

    fn uniform_scenario(&self, point: Point) -> Scenario {
        let mut scenario = self.scenario(
            point.batch,
            point.bins,
            OVERLOAD * self.uniform(point.batch).capacity(),
            Lengths::Uniform {
                min: tokens(self.shortest_s).saturating_sub(PROMPT),
                max: tokens(self.longest_s).saturating_sub(PROMPT),
            },
            Boundaries::EqualWidth,
        );
        if point.error != 0.0 {
            scenario.predictor = Predictor {
                kind: Kind::Noisy,
                sigma: 0.0,
                bin_error: point.error,
                ..Predictor::default()
            };
        }
        scenario
    }

    fn exponential_scenario(&self, bins: u32) -> Scenario {
        self.scenario(
            EXPONENTIAL.batch,
            bins,
            OVERLOAD * f64::from(EXPONENTIAL.batch) / EXPONENTIAL.mean_s,
            Lengths::Gamma {
                mean: EXPONENTIAL.mean_s / TOKEN_S,
                cv: 1.0,
            },
            Boundaries::ExponentialOptimal,
        )
    }

    fn rows<'a>(
        &self,
        outcomes: &'a [Summary],
    ) -> Result<(Vec<Row<'a>>, Vec<ExponentialRow<'a>>), Error> {
        let points = self.points();
        let needed = points.len() + self.exponential_bin_counts.len();
        if outcomes.len() != needed {
            return Err(Error::contradiction(
                "outcomes",
                format!("there are {} for {needed} scenarios", outcomes.len()),
            ));
        }
        let (uniform, exponential) = outcomes.split_at(points.len());
        let rows = points.into_iter().zip(uniform).map(|(point, outcome)| Row {
            point,
            theory: self
                .uniform(point.batch)
                .throughput_with_errors(point.bins, point.error),
            outcome,
        });
        let exponential = self
            .exponential_bin_counts
            .iter()
            .zip(exponential)
            .map(|(&bins, outcome)| ExponentialRow { bins, outcome });
        Ok((rows.collect(), exponential.collect()))
    }
}

impl Plan for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn describe(&self) -> &'static str {
        "the papers on multi-bin and dynamic batching: closed forms beside simulation"
    }

    fn next(&self, done: &[Summary]) -> Result<Vec<Scenario>, Error> {
        error::counts("paper.batch_sizes", &self.batch_sizes, MAX_BATCH)?;
        error::counts("paper.bin_counts", &self.bin_counts, MAX_BINS)?;
        error::counts("paper.error_bin_counts", &self.error_bin_counts, MAX_BINS)?;
        error::counts(
            "paper.exponential_bin_counts",
            &self.exponential_bin_counts,
            MAX_BINS,
        )?;
        if self.bin_errors.is_empty() {
            return Err(Error::bad_field(
                "paper.bin_errors",
                "an empty list",
                "at least one number".to_owned(),
            ));
        }
        let seconds = 2.0 * TOKEN_S..=f64::from(MAX_TOKENS) * TOKEN_S;
        for (field, value) in [
            ("paper.shortest_s", self.shortest_s),
            ("paper.longest_s", self.longest_s),
        ] {
            if !seconds.contains(&value) {
                return Err(Error::bad_field(
                    field,
                    value,
                    format!("{} to {}", seconds.start(), seconds.end()),
                ));
            }
        }
        if self.longest_s <= self.shortest_s {
            return Err(Error::bad_field(
                "paper.longest_s",
                self.longest_s,
                format!("more than shortest_s, which is {}", self.shortest_s),
            ));
        }
        let least = self.least_requests();
        if u64::from(self.requests) < least {
            return Err(Error::bad_field(
                "paper.requests",
                self.requests,
                format!(
                    "at least {least}, which is {FULL_BATCHES} full batches for each bin of the \
                     largest run"
                ),
            ));
        }
        if !done.is_empty() {
            return Ok(Vec::new());
        }
        let uniform = self.points().into_iter().map(|p| self.uniform_scenario(p));
        let exponential = self
            .exponential_bin_counts
            .iter()
            .map(|&bins| self.exponential_scenario(bins));
        Ok(uniform.chain(exponential).collect())
    }

    fn files(&self, outcomes: &[Summary]) -> Result<Vec<File>, Error> {
        let (rows, exponential) = self.rows(outcomes)?;
        let table = |name: &str, table: Table| File::new(name, Content::Table(table));
        let figure = |figure: (&str, _)| File::new(figure.0, Content::Figure(figure.1));
        Ok(vec![
            File::new(
                "paper_report.txt",
                Content::Text(report::text(self, &rows, &exponential)),
            ),
            table("multi_bin_throughput.csv", self.throughput_table(&rows)),
            table("multi_bin_exponential.csv", exponential_table(&exponential)),
            table("multi_bin_bins_needed.csv", self.bins_needed_table()),
            table("multi_bin_published.csv", multi_bin_published()),
            table("dynamic_batching_capacity.csv", decode_table()),
            table("dynamic_batching_published.csv", dynamic_published()),
            figure(("multi_bin_throughput", pictures::multi_bin(self, &rows))),
            figure(("dynamic_batching_model", pictures::decode())),
        ])
    }

    fn trace_mut(&mut self) -> Option<(&mut Source, &mut u32)> {
        None
    }

    fn seed_mut(&mut self) -> Option<&mut u32> {
        Some(&mut self.seed)
    }

    fn rows_needed(&self) -> u32 {
        self.requests
    }

    fn limit_to(&mut self, _rows: u64) -> Option<String> {
        None
    }
}

impl Paper {
    fn throughput_table(&self, rows: &[Row<'_>]) -> Table {
        let mut table = Table::new([
            "batch_size",
            "bins",
            "bin_error",
            "theory_batch_s",
            "theory_requests_per_s",
            "simulated_requests_per_s",
            "relative_difference",
            "expected_standard_error",
            "capacity_requests_per_s",
            "bin_accuracy",
            "served_requests_per_s",
            "gpu_utilization",
            "requests",
        ]);
        for row in rows {
            let Point { batch, bins, error } = row.point;
            let theory = self.uniform(batch);
            let outcome = row.outcome;
            table.rows.push(vec![
                batch.into(),
                bins.into(),
                error.into(),
                theory.batch_with_errors_s(bins, error).into(),
                row.theory.into(),
                row.simulated().into(),
                row.difference().into(),
                theory.standard_error(bins, error, self.requests).into(),
                theory.capacity().into(),
                outcome
                    .honest
                    .prediction
                    .as_ref()
                    .and_then(|p| p.bin_accuracy)
                    .into(),
                outcome.published().requests_per_s.into(),
                outcome.published().gpu_utilization_mean.into(),
                outcome.workload.rows_replayed.into(),
            ]);
        }
        table
    }

    fn bins_needed_table(&self) -> Table {
        let mut table = Table::new([
            "batch_size",
            "gap_requests_per_s",
            "bins_needed",
            "throughput_requests_per_s",
            "capacity_requests_per_s",
        ]);
        for &batch in &self.batch_sizes {
            let theory = self.uniform(batch);
            for gap in GAPS {
                let bins = theory.bins_within(gap);
                table.rows.push(vec![
                    batch.into(),
                    gap.into(),
                    bins.into(),
                    bins.map(|k| theory.throughput(k as f64)).into(),
                    theory.capacity().into(),
                ]);
            }
        }
        table
    }
}

fn exponential_table(rows: &[ExponentialRow<'_>]) -> Table {
    let mut table = Table::new([
        "batch_size",
        "mean_s",
        "bins",
        "cuts_s",
        "bound_batch_s",
        "bound_requests_per_s",
        "simulated_requests_per_s",
        "simulated_over_bound",
        "served_requests_per_s",
        "gpu_utilization",
    ]);
    for row in rows {
        let simulated = full_batch_throughput(row.outcome);
        let bound = EXPONENTIAL.throughput_bound(row.bins);
        table.rows.push(vec![
            EXPONENTIAL.batch.into(),
            EXPONENTIAL.mean_s.into(),
            row.bins.into(),
            cuts(row.bins).into(),
            EXPONENTIAL.batch_bound_s(row.bins).into(),
            bound.into(),
            simulated.into(),
            (simulated / bound).into(),
            row.outcome.published().requests_per_s.into(),
            row.outcome.published().gpu_utilization_mean.into(),
        ]);
    }
    table
}

/// Cuts of the exponential optimum, s, as text.
fn cuts(bins: u32) -> String {
    let cuts: Vec<String> = EXPONENTIAL
        .cuts_s(bins)
        .iter()
        .map(|cut| format!("{cut:.2}"))
        .collect();
    cuts.join(" ")
}

fn multi_bin_published() -> Table {
    let mut table = Table::new(["quantity", "unit", "bins", "stated", "simulated_here"]);
    for row in &published::MULTI_BIN {
        table.rows.push(vec![
            row.what.into(),
            row.unit.into(),
            row.bins.into(),
            row.stated.into(),
            // Not a limit of the engine: the lengths that were served are not known.
            "inputs not published".into(),
        ]);
    }
    table
}

fn decode_table() -> Table {
    let mut table = Table::new([
        "d_sla_ms",
        "batch",
        "tokens_per_s",
        "whole_batch",
        "whole_batch_step_ms",
        "whole_batch_tokens_per_s",
        "stated_batch",
        "stated_tokens_per_s",
        "stated_batch_step_ms",
        "stated_batch_tokens_per_s",
    ]);
    let model = DecodeModel::PAPER;
    for (sla_ms, batch, tokens) in published::DECODE_READINGS {
        let exact = model.batch_at(sla_ms);
        let whole = libm::floor(exact);
        table.rows.push(vec![
            sla_ms.into(),
            exact.into(),
            model.tokens_per_s(exact).into(),
            Cell::Whole(whole as u64),
            model.step_ms(whole).into(),
            model.tokens_per_s(whole).into(),
            batch.into(),
            tokens.into(),
            model.step_ms(batch).into(),
            model.tokens_per_s(batch).into(),
        ]);
    }
    table
}

fn dynamic_published() -> Table {
    let mut table = Table::new([
        "table",
        "row",
        "fixed_batch_requests_per_s",
        "dynamic_batch_requests_per_s",
        "capacity_gain_percent",
        "stated_throughput_gain_percent",
        "simulated_here",
    ]);
    for (row, &gain) in (1u64..).zip(&published::TABLE_I) {
        table.rows.push(vec![
            "I".into(),
            row.into(),
            Cell::Empty,
            Cell::Empty,
            Cell::Empty,
            gain.into(),
            Cell::NotModelled,
        ]);
    }
    for (row, stated) in (1u64..).zip(&published::TABLE_II) {
        table.rows.push(vec![
            "II".into(),
            row.into(),
            stated.fixed.into(),
            stated.dynamic.into(),
            report::capacity_gain(stated).into(),
            stated.throughput_gain.into(),
            Cell::NotModelled,
        ]);
    }
    table
}
