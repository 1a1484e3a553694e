//! The files of the study: report, metrics, verdicts, figure.

use serde_json::{Map, Value, json};

use super::findings::{Finding, findings};
use super::metric::{Kind, Metric, Sample};
use super::verdict::{ALL_WORKLOADS, Count, LIMITS, Limit, Line, Side, Verdict, YEARS, lines};
use super::{Measured, Workload, simulated};
use crate::latency::Latency;
use crate::metrics::Summary;
use crate::published::server::Server;
use crate::report::document::{Cell, Content, File, Table};
use crate::report::figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series};
use crate::scenario::Engine;
use crate::sched::continuous;
use crate::words::{gpus, pipes, quiet, trimmed};

/// Said of a metric that the engine does not know.
const NOT_MODELLED: &str = "not modelled";
/// Said of a metric that a measured report does not have.
const NOT_MEASURED: &str = "not measured";

/// Whether a cell of a measured file says that there is no value.
pub fn is_absent(text: &str) -> bool {
    text.is_empty() || text == NOT_MODELLED || text == NOT_MEASURED
}

/// What a report is made from.
struct Report {
    simulated: bool,
    /// One sentence: where the numbers come from.
    source: String,
    server: Option<Value>,
    samples: Vec<Sample>,
    lines: Vec<Line>,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

/// The files of a report that somebody measured.
pub fn measured(measured: &Measured) -> Vec<File> {
    Report {
        simulated: false,
        source: format!("Measured: {}.", measured.source),
        server: None,
        lines: lines(&measured.samples),
        findings: findings(&measured.samples),
        notes: Vec::new(),
        samples: measured.samples.clone(),
    }
    .files()
}

/// The files of the workloads that ran.
pub fn simulated(server: &Server, runs: &[(Workload, &Summary)]) -> Vec<File> {
    let samples: Vec<_> = runs
        .iter()
        .map(|(workload, run)| simulated::sample(*workload, run))
        .collect();
    Report {
        simulated: true,
        source: describe(server),
        server: Some(json!(server)),
        lines: lines(&samples),
        // Its numbers come from one record and cannot contradict each other.
        findings: Vec::new(),
        notes: notes(runs),
        samples,
    }
    .files()
}

fn describe(server: &Server) -> String {
    let closed = match &server.engine {
        Engine::Closed(closed) => closed,
        Engine::Continuous(continuous) => return by_steps(server, continuous),
    };
    let memory = &closed.memory;
    let time = match &closed.latency {
        Latency::Linear(latency) => format!(
            "batch time {} s + {} ms x longest prompt and output x h(b) with gamma {}{}",
            trimmed(latency.alpha_s),
            trimmed(latency.beta_s_per_token * 1e3),
            trimmed(latency.gamma),
            if latency.growth == 0.0 {
                String::new()
            } else {
                format!(" and growth {}", trimmed(latency.growth))
            },
        ),
        Latency::Steps(_) => "batch time added up from steps".to_owned(),
    };
    format!(
        "Simulated: {}, policy {}, {time}, memory {} GB per GPU, {} GB of it for the model, {} kB KV per token.",
        gpus(server.fleet.gpus),
        json!(closed.policy).as_str().unwrap_or_default(),
        trimmed(memory.capacity_gb),
        trimmed(memory.model_gb),
        trimmed(memory.kv_gb_per_token * 1e6),
    )
}

fn by_steps(server: &Server, continuous: &continuous::Server) -> String {
    let memory = &continuous.memory;
    format!(
        "Simulated: {}, continuous batching with rule {}, at most {} sequences and {} tokens a step, \
             prefix cache {}, speculative decoding {}, memory {} GB per GPU, {} GB of it for the model, {} kB KV per \
             token.",
        gpus(server.fleet.gpus),
        json!(continuous.rule).as_str().unwrap_or_default(),
        continuous.max_sequences,
        continuous.max_batched_tokens,
        json!(continuous.kv.prefix.reuse)
            .as_str()
            .unwrap_or_default(),
        match &continuous.speculative {
            Some(draft) => format!("of {} tokens", draft.draft_tokens),
            None => "off".to_owned(),
        },
        trimmed(memory.capacity_gb),
        trimmed(memory.model_gb),
        trimmed(memory.kv_gb_per_token * 1e6),
    )
}

/// What a reader of simulated numbers must know.
fn notes(runs: &[(Workload, &Summary)]) -> Vec<String> {
    if runs.iter().all(|(_, run)| run.continuous.is_some()) {
        return vec![
            "Failed are requests that were rejected, can never fit, or gave up; there are no other errors in this \
             engine."
                .to_owned(),
            "The workloads' prompts share nothing: what a prefix cache finds are blocks of preempted requests."
                .to_owned(),
            "Batches are of closed batching: here requests join and leave at every step. A metric of something \
             that the scenario switches off is not there either."
                .to_owned(),
        ];
    }
    let mut notes = vec![
        "Error rate, successes and failures: the engine serves every request, however long it \
         takes."
            .to_owned(),
        "Prefix cache, evictions and speculative decoding do not exist in this engine, and it \
         knows what a batch holds in memory at its end, not how that grew: there is no mean."
            .to_owned(),
        "TBT equals TPOT by construction: every gap between two tokens of a request is one step \
         of its batch, and the requests of a workload have one length."
            .to_owned(),
        "The TTFT contains a prefill that costs as much per token as decoding, as in the \
         published latency models; a real prefill is many times cheaper."
            .to_owned(),
    ];
    for (workload, run) in runs {
        let name = workload.name();
        let h = &run.honest;
        if !simulated::fits(*workload, run) {
            notes.push(format!(
                "{name}: a request of {} tokens does not fit beside the model, which leaves room \
                 for {}: a real server fails each of them. The engine serves them all the same, \
                 and the times are of that.",
                workload.prompt() + workload.output(),
                trimmed(libm::floor(run.scenario.memory().kv_tokens())),
            ));
        } else if h.batches_over_memory > 0 {
            notes.push(format!(
                "{name}: {} of {} batches exceed the memory limit and are served all the same; a \
                 real server would have failed or delayed some of their requests.",
                h.batches_over_memory,
                run.published().batches,
            ));
        }
        if workload.users() > 1 {
            notes.push(format!(
                "{name}: all {} requests are sent at time 0, and an idle GPU takes the first at \
                 once: {} batches of {} to {}.",
                workload.users(),
                run.published().batches,
                run.published().min_batch,
                run.published().max_batch,
            ));
        }
    }
    notes
}

impl Report {
    fn files(&self) -> Vec<File> {
        vec![
            File::new("contract_report.md", Content::Text(self.text())),
            File::new("contract_report.json", Content::Json(self.json())),
            File::new("contract_report.csv", Content::Table(self.table())),
            File::new("contract_verdicts.csv", Content::Table(self.verdicts())),
            File::new("contract_margins", Content::Figure(self.figure())),
        ]
    }

    fn absent(&self) -> &'static str {
        if self.simulated {
            NOT_MODELLED
        } else {
            NOT_MEASURED
        }
    }

    fn words(&self, verdict: Verdict) -> String {
        match verdict {
            Verdict::Met => "met".to_owned(),
            Verdict::NotMet => "NOT met".to_owned(),
            Verdict::NotJudged => format!("{} (cannot be judged)", self.absent()),
        }
    }

    fn overall(&self, year: usize) -> String {
        let count = Count::of(&self.lines, year);
        match count.verdict() {
            Verdict::Met => "met".to_owned(),
            Verdict::NotMet => "NOT met".to_owned(),
            Verdict::NotJudged => {
                let n = count.not_judged;
                let lines = if n == 1 { "line is" } else { "lines are" };
                format!("cannot be judged: {n} {lines} {}", self.absent())
            }
        }
    }

    fn value(&self, metric: Metric, value: Option<f64>) -> Value {
        match (value, metric.kind()) {
            (None, _) => json!(self.absent()),
            (Some(value), Kind::Count) => json!(value as u64),
            (Some(value), _) => json!(value),
        }
    }

    fn cell(&self, metric: Metric, value: Option<f64>) -> Cell {
        match (value, metric.kind()) {
            (None, _) if self.simulated => Cell::NotModelled,
            (None, _) => Cell::from(NOT_MEASURED),
            (Some(value), Kind::Count) => Cell::Whole(value as u64),
            (Some(value), _) => Cell::Number(value),
        }
    }

    fn json(&self) -> Value {
        let workload = |sample: &Sample| {
            let mut fields = Map::new();
            fields.insert("workload".to_owned(), json!(sample.workload));
            for metric in Metric::ALL {
                let value = self.value(metric, sample.get(metric));
                fields.insert(metric.name().to_owned(), value);
            }
            Value::Object(fields)
        };
        let year = |year: usize| {
            let count = Count::of(&self.lines, year);
            json!({
                "year": year + 1,
                "verdict": self.overall(year),
                "met": count.met,
                "not_met": count.not_met,
                "not_judged": count.not_judged,
            })
        };
        let finding = |f: &Finding| json!({ "check": f.check, "workload": f.workload, "finding": f.sentence });
        let mut verdicts = Vec::new();
        self.each_verdict(|line, year, limit, verdict| {
            verdicts.push(json!({
                "year": year + 1,
                "workload": line.workload,
                "metric": line.limit.metric.name(),
                "value": self.value(line.limit.metric, line.value),
                "side": side(&line.limit),
                "limit": limit,
                "verdict": self.words(verdict),
            }));
        });
        json!({
            "source": self.source,
            "server": self.server,
            "workloads": self.samples.iter().map(workload).collect::<Vec<_>>(),
            "years": (0..YEARS).map(year).collect::<Vec<_>>(),
            "verdicts": verdicts,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    fn each_verdict(&self, mut show: impl FnMut(&Line, usize, f64, Verdict)) {
        for year in 0..YEARS {
            for line in &self.lines {
                if let (Some(limit), Some(verdict)) =
                    (line.limit.years[year], line.limit.judge(year, line.value))
                {
                    show(line, year, limit, verdict);
                }
            }
        }
    }

    fn table(&self) -> Table {
        let names = Metric::ALL.iter().map(|m| m.name());
        let mut table = Table::new(std::iter::once("workload").chain(names));
        for sample in &self.samples {
            let mut row = vec![Cell::from(sample.workload.as_str())];
            row.extend(Metric::ALL.map(|m| self.cell(m, sample.get(m))));
            table.rows.push(row);
        }
        table
    }

    fn verdicts(&self) -> Table {
        let columns = [
            "year", "workload", "metric", "value", "side", "limit", "verdict",
        ];
        let mut table = Table::new(columns);
        self.each_verdict(|line, year, limit, verdict| {
            table.rows.push(vec![
                Cell::Whole(year as u64 + 1),
                Cell::from(line.workload.as_str()),
                Cell::from(line.limit.metric.name()),
                self.cell(line.limit.metric, line.value),
                Cell::from(side(&line.limit)),
                Cell::Number(limit),
                Cell::from(self.words(verdict)),
            ]);
        });
        table
    }

    fn text(&self) -> String {
        let mut text = format!(
            "# Contract report\n\n{}\n\n## Verdict\n\n",
            quiet(&self.source)
        );
        let mut years = Vec::new();
        for year in 0..YEARS {
            let count = Count::of(&self.lines, year);
            years.push(vec![
                format!("Year {}", year + 1),
                self.overall(year),
                count.met.to_string(),
                count.not_met.to_string(),
                count.not_judged.to_string(),
            ]);
        }
        text.push_str(&pipes(
            &["year", "contract", "met", "not met", "cannot be judged"],
            &years,
        ));
        text.push_str("\n## Workloads\n\n");
        let names = self.samples.iter().map(|s| s.workload.clone());
        let header: Vec<String> = std::iter::once("metric".to_owned()).chain(names).collect();
        text.push_str(&pipes(&header, &self.across()));
        text.push_str("\n## Lines of the contract\n\n");
        text.push_str(&pipes(
            &["workload", "metric", "value", "Year 1", "Year 2", "Year 3"],
            &self.judged(),
        ));
        if !self.simulated {
            text.push_str("\n## What the numbers say about each other\n\n");
            for f in &self.findings {
                let name = f.workload.as_deref().unwrap_or(ALL_WORKLOADS);
                text.push_str(&format!("- {}: {}.\n", quiet(name), f.sentence));
            }
            if self.findings.is_empty() {
                text.push_str("No contradiction found.\n");
            }
        }
        if !self.notes.is_empty() {
            let closed = self
                .server
                .as_ref()
                .is_some_and(|s| s["engine"]["closed"].is_object());
            let heading = if closed {
                "What is not modelled"
            } else {
                "What the numbers are"
            };
            text.push_str(&format!("\n## {heading}\n\n"));
            for note in &self.notes {
                text.push_str(&format!("- {note}\n"));
            }
        }
        text.push_str(DEFINITIONS);
        text
    }

    /// A row per metric, a column per workload.
    fn across(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for metric in Metric::ALL {
            let values = self
                .samples
                .iter()
                .map(|s| self.short(metric, s.get(metric)));
            rows.push(
                std::iter::once(metric.label().to_owned())
                    .chain(values)
                    .collect(),
            );
        }
        rows
    }

    fn short(&self, metric: Metric, value: Option<f64>) -> String {
        match (value, metric.kind()) {
            (None, _) => self.absent().to_owned(),
            (Some(value), Kind::Share) => format!("{} %", trimmed(value * 100.0)),
            (Some(value), Kind::Count) => (value as u64).to_string(),
            (Some(value), Kind::Amount) => trimmed(value),
        }
    }

    /// A row per value, a column per year.
    fn judged(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for line in &self.lines {
            let metric = line.limit.metric;
            let mut row = vec![
                line.workload.clone(),
                metric.label().to_owned(),
                self.short(metric, line.value),
            ];
            for year in 0..YEARS {
                let judged = line.limit.judge(year, line.value);
                row.push(match (judged, line.limit.years[year]) {
                    (Some(verdict), Some(limit)) => {
                        let word = match verdict {
                            Verdict::Met => "met",
                            Verdict::NotMet => "NOT met",
                            Verdict::NotJudged => "cannot be judged",
                        };
                        format!("{}: {word}", bound(&line.limit, limit))
                    }
                    _ => "no threshold".to_owned(),
                });
            }
            rows.push(row);
        }
        rows
    }

    /// Every value over its threshold, a panel per year.
    fn figure(&self) -> Figure {
        let mut broken = [0u64; YEARS];
        let mut zeros = 0u64;
        let mut unknown = 0u64;
        let panels = (0..YEARS)
            .map(|year| {
                let limits: Vec<&Limit> =
                    LIMITS.iter().filter(|l| l.years[year].is_some()).collect();
                let known = |limit: &Limit| {
                    let mut of = self.lines.iter().filter(|line| line.limit == *limit);
                    of.any(|line| line.value.is_some())
                };
                let names = limits
                    .iter()
                    .map(|l| match known(l) {
                        true => short_name(l).to_owned(),
                        false => format!("{} ({})", short_name(l), self.absent()),
                    })
                    .collect();
                let series = self
                    .samples
                    .iter()
                    .enumerate()
                    .map(|(nth, sample)| {
                        // Beside each other about the metric's place.
                        let middle = (self.samples.len() - 1) as f64 / 2.0;
                        let aside = (nth as f64 - middle) * 0.6 / self.samples.len() as f64;
                        let mut dots = Vec::new();
                        for (at, limit) in limits.iter().enumerate() {
                            let line = self.lines.iter().find(|line| {
                                line.workload == sample.workload && line.limit == **limit
                            });
                            let value = line.and_then(|line| line.value);
                            let judged = limit.judge(year, value);
                            broken[year] += u64::from(judged == Some(Verdict::NotMet));
                            match limit.margin(year, value) {
                                Some(ratio) if ratio > 0.0 => {
                                    dots.push([at as f64 + aside, ratio]);
                                }
                                // A ratio of 0 or infinity has no place on a logarithmic axis.
                                _ if value.is_some() => zeros += 1,
                                _ => unknown += 1,
                            }
                        }
                        Series {
                            name: sample.workload.clone(),
                            form: Form::Dots(dots),
                        }
                    })
                    .collect();
                Panel {
                    title: format!("Year {}", year + 1),
                    x: Axis {
                        label: String::new(),
                        scale: Scale::Names(names),
                    },
                    y: Axis {
                        label: "value / threshold".to_owned(),
                        scale: Scale::Log10,
                    },
                    plot: Plot::Series {
                        series,
                        marks: vec![Mark {
                            label: "threshold".to_owned(),
                            at: At::Y(1.0),
                        }],
                    },
                }
            })
            .collect();
        let [one, two, three] = broken;
        Figure {
            title: "Every value against its threshold: above 1 the contract is broken".to_owned(),
            caption: format!(
                "Broken in years 1, 2 and 3: {one}, {two} and {three} values. For throughput, prefix \
                 hits and accepted tokens, where more is better, threshold / value.{}",
                match (unknown, zeros) {
                    (0, 0) => String::new(),
                    (n, 0) => format!(" Not drawn: {n} that are {}.", self.absent()),
                    (0, n) => format!(" Not drawn: {n} of 0, for which a log axis has no place."),
                    (n, m) => format!(
                        " Not drawn: {n} that are {} and {m} of 0, for which a log axis has no place.",
                        self.absent()
                    ),
                },
            ),
            columns: 1,
            panels,
        }
    }
}

fn side(limit: &Limit) -> &'static str {
    match limit.side {
        Side::AtMost => "at most",
        Side::AtLeast => "at least",
    }
}

fn bound(limit: &Limit, value: f64) -> String {
    match limit.metric.kind() {
        Kind::Share => format!("{} {} %", side(limit), trimmed(value * 100.0)),
        Kind::Count | Kind::Amount => format!("{} {}", side(limit), trimmed(value)),
    }
}

/// Under the axis of the figure.
fn short_name(limit: &Limit) -> &'static str {
    match limit.metric {
        Metric::TtftAvgMs => "TTFT",
        Metric::TbtAvgMs => "TBT",
        Metric::TpotAvgMs => "TPOT",
        Metric::ThroughputTokensPerS => "throughput",
        Metric::ErrorRate => "errors",
        Metric::MemoryPeakMb => "memory",
        Metric::PrefixHitRate => "prefix hits",
        Metric::SpeculativeAcceptRate => "accepted",
        other => other.label(),
    }
}

const DEFINITIONS: &str = "
## Definitions

- These are the simulator's; a measured report has those of its own tool.
- Judged are the mean TTFT, TBT and TPOT of a workload's requests, its throughput, error rate, memory \
peak, prefix hit rate and speculative accept rate. A year is met only if every line is met, and \
not met if one is not; otherwise it cannot be judged.
- TTFT: arrival to first token. TPOT: (latency - TTFT) / (output - 1) of each request. TBT: time \
between two tokens of a request.
- Throughput: output tokens of all requests over the workload's duration, first arrival to last end.
- Percentiles interpolate between order statistics; beside them stands the published rule, which \
takes sorted[int(n p)]. With fewer than 20 requests its P95 and P99 are both the maximum.
- Memory peak: model and KV cache at the fullest moment of a GPU; of closed batches that is the end of \
the largest. 1 MB is 1e6 bytes; \
thresholds that are multiples of 1,024 may mean MiB, which would be 4.9 % laxer.
- KV tokens: prompt and output tokens of all requests. KV bytes: these times the bytes of one token.
- Error rate: failed requests over all requests, 5 % as 0.05 in files.
- Workloads: short 5 x 128 + 128 tokens, long 3 x 200 + 200, contract-long 3 x 2,048 + 512, each one \
after another; stress 10 x 256 + 256 at once. The contract's text has contract-long where the \
published program ran long.
";
