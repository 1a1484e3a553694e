//! Step times out of measurements that were made elsewhere: measured steps as CSV, and results of serving
//! benchmarks (docs/MODEL.md, "Measurements of serving benchmarks").
//!
//! Read are the files of `vllm bench serve --save-result`, guidellm and aiperf, in JSON; each is known by
//! what it holds.

use serde::Serialize;
use serde_json::Value;

use super::calibration::Point;
use super::step_fit::median;
use super::step_table::StepTable;
use crate::Error;

/// A measured step, and where it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    pub file: String,
    /// Within the file, as in "row 7" or "decoding of benchmark 2".
    pub what: String,
    pub point: Point,
}

/// Below this mean number of requests in the system a request has the server to itself, and its time to
/// the first token is the time of a step.
const ALONE: f64 = 1.05;
/// Most lengths of prompts of a file whose first tokens become points of their own.
const MOST_ALONE: usize = 64;
/// Beyond every count, length and time of a benchmark.
const MOST: f64 = 1e12;

/// The measurements of a file, recognised by its content: CSV with the columns of [`StepTable::read`], or
/// JSON of a serving benchmark; `file` is for the errors' sentences.
///
/// Errors: text that is neither, a missing field, or a number that no benchmark has, by its place; a
/// benchmark without anything that says how long a step takes.
pub fn read(text: &str, file: &str) -> Result<Vec<Measurement>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with(['{', '[']) {
        return rows(text, file);
    }
    let value: Value = serde_json::from_str(text).map_err(|e| Error::BadRow {
        file: file.to_owned(),
        row: e.line() as u64,
        problem: e.to_string(),
    })?;
    let root = Place {
        value: &value,
        path: String::new(),
        file,
    };
    let benchmarks = match &value {
        Value::Object(o) if o.contains_key("total_output_tokens") && o.contains_key("duration") => {
            vec![vllm(&root)?]
        }
        Value::Object(o) if o.contains_key("benchmarks") => guidellm(&root)?,
        Value::Object(o)
            if o.contains_key("inter_token_latency") && o.contains_key("request_throughput") =>
        {
            vec![aiperf(&root)?]
        }
        _ => {
            return Err(Error::UnknownFormat {
                file: file.to_owned(),
                problem: "this JSON is no result of a serving benchmark that is known".to_owned(),
                allowed: "results of vllm bench serve (duration, total_output_tokens), guidellm (benchmarks), aiperf \
                          (inter_token_latency, request_throughput), and CSV with batch, context, prefill and time_ms"
                    .to_owned(),
            });
        }
    };
    let mut found = Vec::new();
    for benchmark in &benchmarks {
        benchmark.measurements(file, &mut found);
    }
    if found.is_empty() {
        return Err(Error::NoFit {
            file: file.to_owned(),
            problem: "no request had a second token, and none had the server to itself: nothing says how long a step \
                      takes"
                .to_owned(),
        });
    }
    Ok(found)
}

/// Measured steps.
fn rows(text: &str, file: &str) -> Result<Vec<Measurement>, Error> {
    let table = StepTable::read(text.as_bytes(), file)?;
    let point = |i: usize| Point {
        sequences: table.sequences[i],
        context: table.context[i],
        prefill: table.prefill[i],
        seconds: table.time_ms[i] / 1e3,
        mad_s: 0.0,
        held_out: false,
    };
    Ok((0..table.time_ms.len())
        .map(|i| Measurement {
            file: file.to_owned(),
            // The header is row 1.
            what: format!("row {}", i + 2),
            point: point(i),
        })
        .collect())
}

/// What a benchmark says of steps: means over its requests.
struct Benchmark {
    what: String,
    /// Requests that were done, 1/s.
    rate: f64,
    /// Tokens.
    prompt: f64,
    output: f64,
    ttft_s: f64,
    /// Over all gaps.
    itl_s: f64,
    /// Prompt and time to first token of single requests, where the file has them.
    single: Vec<(f64, f64)>,
}

impl Benchmark {
    fn measurements(&self, file: &str, found: &mut Vec<Measurement>) {
        let mut push = |what: String, [sequences, context, prefill]: [f64; 3], seconds, mad_s| {
            found.push(Measurement {
                file: file.to_owned(),
                what,
                point: Point {
                    sequences: sequences.round() as u32,
                    context: context.round() as u32,
                    prefill: prefill.round() as u32,
                    seconds,
                    mad_s,
                    held_out: false,
                },
            });
        };
        let gaps = (self.output - 1.0).max(0.0);
        // Little's law for the time between the first token and the last.
        let decoding = self.rate * gaps * self.itl_s;
        if gaps > 0.0 && self.itl_s > 0.0 {
            let sequences = decoding.max(1.0);
            push(
                format!("decoding of {}", self.what),
                [
                    sequences,
                    sequences * (self.prompt + self.output / 2.0),
                    self.rate * self.prompt * self.itl_s,
                ],
                self.itl_s,
                0.0,
            );
        }
        if self.rate * self.ttft_s + decoding > ALONE {
            return;
        }
        // With others in the system the wait for the first token is a queue's, not a step's.
        let mut single = match self.single.as_slice() {
            [] => vec![(self.prompt, self.ttft_s)],
            all => all.to_vec(),
        };
        single.retain(|&(prompt, ttft_s)| prompt >= 1.0 && ttft_s > 0.0);
        single.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        // Prompts of one length are one measurement, repeated.
        for alike in single.chunk_by(|a, b| a.0 == b.0).take(MOST_ALONE) {
            let times: Vec<f64> = alike.iter().map(|&(_, ttft_s)| ttft_s).collect();
            let middle = median(&times);
            let mut apart: Vec<f64> = times.iter().map(|t| (t - middle).abs()).collect();
            apart.sort_by(f64::total_cmp);
            let prompt = alike.first().map_or(0.0, |&(prompt, _)| prompt);
            let what = format!("first tokens of {}, prompts of {prompt}", self.what);
            push(what, [0.0, 0.0, prompt], middle, median(&apart));
        }
    }
}

/// `vllm bench serve`: totals and means, and with --save-detailed a list entry per request.
fn vllm(root: &Place) -> Result<Benchmark, Error> {
    if root.value.get("spec_decode_num_drafts").is_some() {
        return Err(root.refuse(
            "spec_decode_num_drafts",
            "speculative decoding",
            "a server without it: a gap between tokens is then no step",
        ));
    }
    let positive = |name: &str| root.get(name)?.number(f64::MIN_POSITIVE, MOST);
    let (duration, completed) = (positive("duration")?, positive("completed")?);
    let lengths = root.list("input_lens")?;
    let ttfts = root.list("ttfts")?;
    if lengths.len() != ttfts.len() && !lengths.is_empty() && !ttfts.is_empty() {
        return Err(root.refuse(
            "ttfts",
            &format!("a list of {}", ttfts.len()),
            &format!("one entry for each of the {} input_lens", lengths.len()),
        ));
    }
    let ms = |name: &str| Ok(root.get(name)?.number(0.0, MOST)? / 1e3);
    Ok(Benchmark {
        what: "the benchmark".to_owned(),
        rate: completed / duration,
        prompt: positive("total_input_tokens")? / completed,
        output: positive("total_output_tokens")? / completed,
        ttft_s: ms("mean_ttft_ms")?,
        itl_s: ms("mean_itl_ms")?,
        single: lengths.into_iter().zip(ttfts).collect(),
    })
}

/// guidellm: several benchmarks, each with distributions by status.
fn guidellm(root: &Place) -> Result<Vec<Benchmark>, Error> {
    let benchmarks = root.get("benchmarks")?;
    let Value::Array(all) = benchmarks.value else {
        return Err(root.refuse("benchmarks", "no list", "a list of benchmarks"));
    };
    let one = |(i, value): (usize, &Value)| -> Result<Benchmark, Error> {
        let place = Place {
            value,
            path: format!("benchmarks[{i}]"),
            file: root.file,
        };
        let metrics = place.get("metrics")?;
        let mean = |name: &str| -> Result<f64, Error> {
            let of = metrics.get(name)?.get("successful")?;
            of.get("mean")?.number(0.0, MOST)
        };
        Ok(Benchmark {
            what: format!("benchmark {}", i + 1),
            rate: mean("requests_per_second")?,
            prompt: mean("prompt_token_count")?,
            output: mean("output_token_count")?,
            ttft_s: mean("time_to_first_token_ms")? / 1e3,
            itl_s: mean("inter_token_latency_ms")? / 1e3,
            single: Vec::new(),
        })
    };
    all.iter().enumerate().map(one).collect()
}

/// aiperf: a block per metric.
fn aiperf(root: &Place) -> Result<Benchmark, Error> {
    let mean = |name: &str, units: &[&str]| -> Result<f64, Error> {
        let metric = root.get(name)?;
        let unit = metric.get("unit")?;
        match unit.value.as_str() {
            Some(text) if units.contains(&text) => metric.get("avg")?.number(0.0, MOST),
            found => {
                let found = found.unwrap_or("no text").to_owned();
                let allowed = units.join(" or ");
                Err(root.refuse(&format!("{name}.unit"), &found, &allowed))
            }
        }
    };
    Ok(Benchmark {
        what: "the benchmark".to_owned(),
        rate: mean("request_throughput", &["requests/sec"])?,
        prompt: mean("input_sequence_length", &["tokens"])?,
        output: mean("output_sequence_length", &["tokens"])?,
        ttft_s: mean("time_to_first_token", &["ms"])? / 1e3,
        itl_s: mean("inter_token_latency", &["ms"])? / 1e3,
        single: Vec::new(),
    })
}

/// A value of a file's JSON, and where it stands.
struct Place<'a> {
    value: &'a Value,
    path: String,
    file: &'a str,
}

impl<'a> Place<'a> {
    fn at(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    fn refuse(&self, name: &str, value: &str, allowed: &str) -> Error {
        refuse(self.file, &self.at(name), value, allowed)
    }

    fn get(&self, name: &str) -> Result<Place<'a>, Error> {
        match self.value.get(name) {
            Some(value) => Ok(Place {
                value,
                path: self.at(name),
                file: self.file,
            }),
            None => Err(self.refuse(name, "nothing", "what the benchmark's program writes there")),
        }
    }

    fn number(&self, low: f64, high: f64) -> Result<f64, Error> {
        number(self.value, low, high).ok_or_else(|| {
            let allowed = if low > 0.0 {
                format!("a number above 0 and at most {high:e}")
            } else {
                format!("a number from {low} to {high:e}")
            };
            refuse(self.file, &self.path, &shown(self.value), &allowed)
        })
    }

    /// A list of numbers, empty where there is none.
    fn list(&self, name: &str) -> Result<Vec<f64>, Error> {
        let Some(Value::Array(all)) = self.value.get(name) else {
            return Ok(Vec::new());
        };
        let one = |(i, value): (usize, &Value)| {
            number(value, 0.0, MOST).ok_or_else(|| {
                let name = format!("{name}[{i}]");
                self.refuse(&name, &shown(value), "a number from 0 up")
            })
        };
        all.iter().enumerate().map(one).collect()
    }
}

fn refuse(file: &str, field: &str, value: &str, allowed: &str) -> Error {
    Error::BadCalibration {
        file: file.to_owned(),
        line: 0,
        column: 0,
        field: field.to_owned(),
        problem: format!("{value} is not allowed; allowed is {allowed}"),
    }
}

fn number(value: &Value, low: f64, high: f64) -> Option<f64> {
    value.as_f64().filter(|x| (low..=high).contains(x))
}

/// Text for a sentence.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
