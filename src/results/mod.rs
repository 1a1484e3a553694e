//! Result files of load tests: one type for what every program writes (docs/MODEL.md, "Result files of load tests").
//!
//! Read are vllm bench serve, SGLang's bench_serving, guidellm, aiperf, llmperf, inference-perf and the collections of
//! llm-d-benchmark, in JSON or with a result or request a line; each is known by what it holds.

mod aiperf;
mod arrivals;
mod guidellm;
mod inference_perf;
mod llm_d;
mod llmperf;
mod place;
mod requests;
mod vllm;

use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::words::joined;
pub use place::{LEAST, MOST, Origin};
use place::{Place, documents};
pub use requests::{Request, Sent};

/// Who wrote a file, and what kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Of vllm bench serve and SGLang's bench_serving.
    Vllm,
    Guidellm,
    Aiperf,
    /// aiperf's profile_export.jsonl.
    AiperfRecords,
    Llmperf,
    /// llmperf's individual responses.
    LlmperfResponses,
    InferencePerf,
    LlmD,
}

impl Format {
    pub const ALL: [Format; 8] = [
        Format::Vllm,
        Format::Guidellm,
        Format::Aiperf,
        Format::AiperfRecords,
        Format::Llmperf,
        Format::LlmperfResponses,
        Format::InferencePerf,
        Format::LlmD,
    ];

    /// For the list of what is understood: the program, and the fields by which its file is known.
    fn known_by(self) -> &'static str {
        match self {
            Format::Vllm => {
                "vllm bench serve and SGLang's bench_serving (duration, total_output_tokens)"
            }
            Format::Guidellm => "guidellm (benchmarks)",
            Format::Aiperf => "aiperf (inter_token_latency, request_throughput)",
            Format::AiperfRecords => "aiperf's profile_export.jsonl (metadata, metrics)",
            Format::Llmperf => "llmperf (results_ttft_s_mean, num_concurrent_requests)",
            Format::LlmperfResponses => {
                "llmperf's individual responses (number_output_tokens, end_to_end_latency_s)"
            }
            Format::InferencePerf => "inference-perf (load_summary, successes)",
            Format::LlmD => "llm-d-benchmarks (a list with metrics and workload)",
        }
    }

    /// The name of a figure's field, for the error where it is missing.
    fn field(self, quantity: Quantity) -> &'static str {
        use Quantity::{E2e, Itl, Output, OutputRate, Prompt, RequestRate, Tpot, Ttft};
        match (self, quantity) {
            (Format::Vllm, RequestRate) => "completed",
            (Format::Vllm, OutputRate) => "output_throughput",
            (Format::Vllm, Prompt) => "total_input_tokens",
            (Format::Vllm, Output) => "total_output_tokens",
            (Format::Vllm, Ttft) => "mean_ttft_ms",
            (Format::Vllm, Tpot) => "mean_tpot_ms",
            (Format::Vllm, Itl) => "mean_itl_ms",
            (Format::Vllm, E2e) => "mean_e2el_ms",
            (Format::Guidellm, RequestRate) => "requests_per_second",
            (Format::Guidellm, OutputRate) => "output_tokens_per_second",
            (Format::Guidellm, Prompt) => "prompt_token_count",
            (Format::Guidellm, Output) => "output_token_count",
            (Format::Guidellm, Ttft) => "time_to_first_token_ms",
            (Format::Guidellm, Tpot | Itl) => "inter_token_latency_ms",
            (Format::Aiperf | Format::AiperfRecords, RequestRate) => "request_throughput",
            (Format::Aiperf | Format::AiperfRecords, OutputRate) => "output_token_throughput",
            (Format::Aiperf | Format::AiperfRecords, Prompt) => "input_sequence_length",
            (Format::Aiperf | Format::AiperfRecords, Output) => "output_sequence_length",
            (Format::Aiperf | Format::AiperfRecords, Tpot) => "inter_token_latency",
            (Format::Aiperf | Format::AiperfRecords, Itl) => "inter_chunk_latency",
            (Format::Llmperf | Format::LlmperfResponses, RequestRate) => {
                "results_num_completed_requests_per_min"
            }
            (Format::Llmperf | Format::LlmperfResponses, OutputRate) => {
                "results_mean_output_throughput_token_per_s"
            }
            (Format::Llmperf, Prompt) => "results_number_input_tokens_mean",
            (Format::Llmperf, Output) => "results_number_output_tokens_mean",
            (Format::Llmperf, Ttft) => "results_ttft_s_mean",
            (Format::Llmperf, E2e | Tpot | Itl) => "results_end_to_end_latency_s_mean",
            (Format::LlmperfResponses, Prompt) => "number_input_tokens",
            (Format::LlmperfResponses, Output) => "number_output_tokens",
            (Format::LlmperfResponses, Ttft) => "ttft_s",
            (Format::LlmperfResponses, E2e | Tpot | Itl) => "end_to_end_latency_s",
            (Format::InferencePerf, RequestRate) => "throughput.requests_per_sec",
            (Format::InferencePerf, OutputRate) => "throughput.output_tokens_per_sec",
            (Format::InferencePerf, Prompt) => "prompt_len",
            (Format::InferencePerf, Output) => "output_len",
            (Format::InferencePerf, Ttft) => "latency.time_to_first_token",
            (Format::InferencePerf, Itl | Tpot) => "latency.inter_token_latency",
            (Format::InferencePerf, E2e) => "latency.request_latency",
            (Format::LlmD, RequestRate) => "metrics.request_rate",
            (Format::LlmD, OutputRate) => "metrics.throughput",
            (Format::LlmD, Prompt) => "workload.input_tokens",
            (Format::LlmD, Output) => "workload.output_tokens",
            (Format::LlmD, Ttft) => "metrics.ttft_ms",
            (Format::LlmD, Tpot) => "metrics.tpot_ms",
            (Format::LlmD, Itl) => "metrics.itl_ms",
            (Format::LlmD, E2e) => "metrics.e2e_latency",
            (Format::Aiperf | Format::AiperfRecords, Ttft) => "time_to_first_token",
            (Format::Guidellm | Format::Aiperf | Format::AiperfRecords, E2e) => "request_latency",
        }
    }

    /// The format of a JSON value, by the names in it.
    fn of(value: &Value) -> Option<Format> {
        let item = match value {
            Value::Array(all) => all.first()?,
            other => other,
        };
        let has = |names: [&str; 2]| names.iter().all(|name| item.get(name).is_some());
        if value.is_array() {
            return match () {
                () if has(["number_output_tokens", "end_to_end_latency_s"]) => {
                    Some(Format::LlmperfResponses)
                }
                () if has(["metrics", "workload"]) => Some(Format::LlmD),
                () => None,
            };
        }
        let by_users = |all: &serde_json::Map<String, Value>| {
            all.values().next().is_some_and(llmperf::is_summary)
        };
        match () {
            () if has(["total_output_tokens", "duration"]) => Some(Format::Vllm),
            () if item.get("benchmarks").is_some() => Some(Format::Guidellm),
            () if has(["inter_token_latency", "request_throughput"]) => Some(Format::Aiperf),
            () if has(["metadata", "metrics"]) => Some(Format::AiperfRecords),
            () if has(["load_summary", "successes"]) => Some(Format::InferencePerf),
            () if llmperf::is_summary(item) => Some(Format::Llmperf),
            () => item
                .as_object()
                .is_some_and(by_users)
                .then_some(Format::Llmperf),
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Requests that were done, 1/s.
    RequestRate,
    /// Output tokens/s of all requests together.
    OutputRate,
    /// Tokens of a prompt.
    Prompt,
    /// Tokens of an output.
    Output,
    /// Time to first token, s.
    Ttft,
    /// Mean time between two tokens of a request, s; a distribution over requests.
    Tpot,
    /// Time between two messages of a request, s; a distribution over messages.
    Itl,
    /// From the request to its last token, s.
    E2e,
}

/// Of a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    Mean,
    P50,
    P90,
    P95,
    P99,
}

impl Statistic {
    pub const ALL: [Statistic; 5] = [
        Statistic::Mean,
        Statistic::P50,
        Statistic::P90,
        Statistic::P95,
        Statistic::P99,
    ];
}

/// A measured figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub quantity: Quantity,
    pub statistic: Statistic,
    /// In s, 1/s or tokens.
    pub value: f64,
    /// Its name in the file, below the benchmark's own path.
    pub field: String,
    /// The file has no such figure; it was worked out of the single requests' times.
    pub derived: bool,
}

/// A figure with the name of its field, or of the fields that it is made of.
pub type Named = (String, f64);

/// How requests were sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// Open loop, so many a second, at even distances where `steady`.
    Rate { per_s: f64, steady: bool },
    /// All at the start.
    AtOnce,
    /// Closed loop: so many at a time, each followed by the next when it is answered.
    Users { users: u32 },
    /// The file does not say.
    Unknown,
}

/// One benchmark of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    pub format: Format,
    pub origin: Origin,
    /// Within the file, as in "the benchmark in line 3".
    pub what: String,
    pub load: Load,
    /// Requests that were done.
    pub requests: Option<f64>,
    pub figures: Vec<Figure>,
    /// Every request, where the file has them, as it lists them.
    pub each: Vec<Request>,
    /// Where the requests' times of arrival come from.
    pub sent: Sent,
    /// Prompt and time to first token of single requests, where the file has them.
    pub single: Vec<(f64, f64)>,
    /// A gap over the tokens of all requests, s.
    pub by_token: Option<Named>,
    /// Requests at once that the benchmark allowed at most, and that it counted, mean.
    pub most: Vec<Named>,
    pub counted: Option<Named>,
    /// What the file says of speculative decoding: the field and what it is.
    pub speculative: Option<(String, String)>,
}

impl Benchmark {
    fn new(format: Format, place: &Place, name: &str) -> Benchmark {
        let what = match place.origin.line {
            0 => name.to_owned(),
            line => format!("{name} in line {line}"),
        };
        Benchmark {
            format,
            origin: place.origin.clone(),
            what,
            load: Load::Unknown,
            requests: None,
            figures: Vec::new(),
            each: Vec::new(),
            sent: Sent::Unknown,
            single: Vec::new(),
            by_token: None,
            most: Vec::new(),
            counted: None,
            speculative: None,
        }
    }

    pub fn figure(&self, quantity: Quantity, statistic: Statistic) -> Option<&Figure> {
        self.figures
            .iter()
            .find(|f| f.quantity == quantity && f.statistic == statistic)
    }

    /// A mean with its field, if the file has it.
    pub fn mean(&self, quantity: Quantity) -> Option<Named> {
        let found = self.figure(quantity, Statistic::Mean)?;
        Some((found.field.clone(), found.value))
    }

    /// The same.
    ///
    /// Errors: the file does not have it.
    pub fn need(&self, quantity: Quantity) -> Result<Named, Error> {
        self.mean(quantity)
            .ok_or_else(|| self.origin.missing(self.format.field(quantity)))
    }

    /// The name of the field in which this program gives a mean.
    pub fn field(&self, quantity: Quantity) -> &'static str {
        self.format.field(quantity)
    }

    fn put(&mut self, quantity: Quantity, statistic: Statistic, field: &str, value: f64) {
        self.figures.push(Figure {
            quantity,
            statistic,
            value,
            field: field.to_owned(),
            derived: false,
        });
    }

    /// A figure of a name, in so many of our units; none where the name has none.
    fn take(
        &mut self,
        place: &Place,
        name: &str,
        (quantity, statistic): (Quantity, Statistic),
        unit: f64,
    ) -> Result<(), Error> {
        if let Some(value) = place.maybe_number(name, 0.0)? {
            self.put(quantity, statistic, name, value * unit);
        }
        Ok(())
    }
}

/// The benchmarks of a file's text, recognised by its content; `file` is for the errors' sentences.
///
/// Errors: text that is no JSON of a format above; a missing field that a benchmark cannot do without, or a number
/// that no benchmark has, by its place; lists of different lengths.
pub fn read(text: &str, file: &str) -> Result<Vec<Benchmark>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = documents(text, file)?;
    let mut found = Vec::new();
    let mut records = Vec::new();
    for (line, value) in &documents {
        let root = Place {
            value,
            origin: Origin {
                file: file.to_owned(),
                line: if documents.len() > 1 { *line } else { 0 },
                path: String::new(),
            },
        };
        match Format::of(value) {
            Some(Format::Vllm) => found.push(vllm::read(&root)?),
            Some(Format::Guidellm) => found.extend(guidellm::read(&root)?),
            Some(Format::Aiperf) => found.push(aiperf::read(&root)?),
            Some(Format::AiperfRecords) => records.push(root),
            Some(Format::Llmperf) => found.extend(llmperf::read(&root)?),
            Some(Format::LlmperfResponses) => found.push(llmperf::read_responses(&root)?),
            Some(Format::InferencePerf) => found.push(inference_perf::read(&root)?),
            Some(Format::LlmD) => found.extend(llm_d::read(&root)?),
            None => return Err(unknown(&root)),
        }
    }
    if !records.is_empty() {
        found.push(aiperf::read_records(&records, file)?);
    }
    for benchmark in &mut found {
        benchmark.derive();
    }
    Ok(found)
}

/// Whether a text may be JSON.
pub fn is_json(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_start().starts_with(['{', '['])
}

/// Whether a text is JSON that begins with one of these results.
pub fn is_result(text: &str, file: &str) -> bool {
    is_json(text)
        && documents(text.strip_prefix('\u{feff}').unwrap_or(text), file).is_ok_and(|all| {
            all.first()
                .is_some_and(|(_, value)| Format::of(value).is_some())
        })
}

fn unknown(root: &Place) -> Error {
    let what = "is no result of a load test that is known";
    let names = Format::ALL.map(|format| format.known_by().to_owned());
    Error::UnknownFormat {
        file: root.origin.file.clone(),
        problem: match root.origin.line {
            0 => format!("this JSON {what}"),
            line => format!("the JSON in line {line} {what}"),
        },
        allowed: format!("results of {}", joined(names)),
    }
}
