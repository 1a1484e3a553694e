//! Step times out of measurements that were made elsewhere: measured steps as CSV, and results of serving
//! benchmarks (docs/MODEL.md, "Measurements of serving benchmarks").
//!
//! Read are the results of `vllm bench serve`, SGLang's `bench_serving`, guidellm and aiperf, in JSON or
//! with a result a line; each is known by what it holds.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::calibration::Point;
use super::step_table::StepTable;
use crate::quantiles::middle;
use crate::{Error, json};

/// A measured step, and where it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    pub file: String,
    /// Within the file, as in "row 7" or "decoding of benchmark 2".
    pub what: String,
    /// What has to be known before the point is trusted.
    pub note: Option<String>,
    pub point: Point,
}

/// Below this mean number of requests in the system a request has the server to itself, and its time to
/// the first token is the time of a step.
const ALONE: f64 = 1.05;
/// Most lengths of prompts of a file whose first tokens become points of their own.
const MOST_ALONE: usize = 64;
/// Beyond every count, length and time of a benchmark.
const MOST: f64 = 1e12;
/// Below every one of them but 0: a proportion of two figures stays finite.
const LEAST: f64 = 1e-12;
/// Two figures of a file for the gap between tokens, or for the requests in the system, that differ by a
/// larger factor contradict each other. Means over requests and over tokens differ by less.
const SAME: f64 = 1.5;
/// More requests at once than a benchmark allowed, in proportion, that rounding explains; and that a gap
/// explains which is a mean over requests, short ones counting as much as long ones.
const ROUNDED: f64 = 1.05;
const BY_REQUEST: f64 = 1.25;
/// Tokens of a message, or messages of a token, from which on a reader is told.
const WORTH_A_NOTE: f64 = 1.1;

/// The measurements of a file, recognised by its content: CSV with the columns of [`StepTable::read`], or
/// JSON of serving benchmarks, one or several after another; `file` is for the errors' sentences.
///
/// Errors: text that is neither, a missing field, or a number that no benchmark has, by its place;
/// figures that contradict each other; a server with speculative decoding; a benchmark without anything
/// that says how long a step takes.
pub fn read(text: &str, file: &str) -> Result<Vec<Measurement>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with(['{', '[']) {
        return rows(text, file);
    }
    let documents = documents(text, file)?;
    let mut found = Vec::new();
    for (line, value) in &documents {
        let root = Place {
            value,
            path: String::new(),
            file,
            line: if documents.len() > 1 { *line } else { 0 },
        };
        let benchmarks = match value {
            Value::Object(o)
                if o.contains_key("total_output_tokens") && o.contains_key("duration") =>
            {
                vec![vllm(&root)?]
            }
            Value::Object(o) if o.contains_key("benchmarks") => guidellm(&root)?,
            Value::Object(o)
                if o.contains_key("inter_token_latency")
                    && o.contains_key("request_throughput") =>
            {
                vec![aiperf(&root)?]
            }
            _ => return Err(unknown(&root)),
        };
        for benchmark in &benchmarks {
            benchmark.measurements(file, &mut found);
        }
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

fn unknown(root: &Place) -> Error {
    let has = |name: &str| root.value.get(name).is_some();
    let what = if has("metadata") && has("metrics") {
        "is a record of one request, as in aiperf's profile_export.jsonl; the means are in \
         profile_export_aiperf.json"
    } else {
        "is no result of a serving benchmark that is known"
    };
    Error::UnknownFormat {
        file: root.file.to_owned(),
        problem: match root.line {
            0 => format!("this JSON {what}"),
            line => format!("the JSON in line {line} {what}"),
        },
        allowed: "results of vllm bench serve and SGLang's bench_serving (duration, total_output_tokens), guidellm \
                  (benchmarks), aiperf (inter_token_latency, request_throughput), and CSV with batch, context, \
                  prefill and time_ms"
            .to_owned(),
    }
}

/// The JSON values of a text, one or several after another, each with the line in which it begins.
fn documents(text: &str, file: &str) -> Result<Vec<(usize, Value)>, Error> {
    let text = without_python(text);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let (mut found, mut line, mut counted) = (Vec::new(), 1, 0);
    loop {
        let rest = &text[values.byte_offset()..];
        let begin = text.len() - rest.trim_start().len();
        line += text[counted..begin].bytes().filter(|&b| b == b'\n').count();
        counted = begin;
        match values.next() {
            None => return Ok(found),
            Some(Ok(value)) => found.push((line, value)),
            Some(Err(e)) => {
                return Err(Error::BadRow {
                    file: file.to_owned(),
                    row: e.line() as u64,
                    problem: format!("this is not JSON: {}", json::problem(&e, false)),
                });
            }
        }
    }
}

/// The text with Python's `NaN`, `Infinity` and `-Infinity`, which JSON lacks, as strings: no figure that
/// is read may be one of them, and an error shows what stands there.
fn without_python(text: &str) -> Cow<'_, str> {
    const NAMES: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    if !NAMES.iter().any(|name| text.contains(name)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = match NAMES.iter().find(|name| from.starts_with(**name)) {
            Some(name) => {
                out.extend(["\"", name, "\""]);
                &from[name.len()..]
            }
            None => {
                // A string as a whole, whatever it says; else the sign of a number.
                let length = if from.starts_with('"') {
                    string_length(from)
                } else {
                    1
                };
                out.push_str(&from[..length]);
                &from[length..]
            }
        };
    }
    out.push_str(rest);
    out.into()
}

/// Bytes of the string at the beginning of `text`, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
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
            note: None,
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
    /// Between two tokens of a request; 0 where no request has two.
    gap_s: f64,
    /// What has to be known of `gap_s`.
    note: Option<String>,
    /// Prompt and time to first token of single requests, where the file has them.
    single: Vec<(f64, f64)>,
}

impl Benchmark {
    fn measurements(&self, file: &str, found: &mut Vec<Measurement>) {
        let mut push =
            |what: String, note, [sequences, context, prefill]: [f64; 3], seconds, mad_s| {
                found.push(Measurement {
                    file: file.to_owned(),
                    what,
                    note,
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
        let decoding = self.rate * gaps * self.gap_s;
        if gaps > 0.0 && self.gap_s > 0.0 {
            let sequences = decoding.max(1.0);
            push(
                format!("decoding of {}", self.what),
                self.note.clone(),
                [
                    sequences,
                    sequences * (self.prompt + self.output / 2.0),
                    self.rate * self.prompt * self.gap_s,
                ],
                self.gap_s,
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
            let usual = middle(&times).unwrap_or(0.0);
            let mut apart: Vec<f64> = times.iter().map(|t| (t - usual).abs()).collect();
            apart.sort_by(f64::total_cmp);
            let prompt = alike.first().map_or(0.0, |&(prompt, _)| prompt);
            let what = format!("first tokens of {}, prompts of {prompt}", self.what);
            push(
                what,
                None,
                [0.0, 0.0, prompt],
                usual,
                middle(&apart).unwrap_or(0.0),
            );
        }
    }
}

/// A figure with the name of its field, or of the fields that it is made of.
type Named = (&'static str, f64);

/// What a benchmark's result says of the gaps between tokens, in every way that it does.
///
/// A client sees messages. One message may bring several tokens (several steps at once, a stream that is
/// sent in parts, speculative decoding), or none: a gap between messages is no gap between tokens.
struct Gaps<'a> {
    place: &'a Place<'a>,
    rate: f64,
    output: f64,
    ttft: Named,
    /// From the request to its last token, s.
    e2e: Option<Named>,
    /// A gap over the tokens of all requests, s.
    by_token: Option<Named>,
    /// A gap as a mean over the requests' own means, s.
    by_request: Option<Named>,
    /// A gap between messages, s.
    by_message: Option<Named>,
    /// Requests at once that the benchmark allowed at most, and that it counted, mean.
    most: Vec<Named>,
    counted: Option<Named>,
}

impl Gaps<'_> {
    /// The gap between tokens, s, and what has to be known of it.
    ///
    /// Errors: no figure at all, and figures that contradict each other.
    fn settle(&self) -> Result<(f64, Option<String>), Error> {
        let gaps = self.output - 1.0;
        if gaps <= 0.0 {
            return Ok((0.0, None));
        }
        let ms = |seconds: f64| format!("{:.4} ms", seconds * 1e3);
        let by_latency = match self.e2e {
            Some((name, e2e)) if e2e < self.ttft.1 => {
                return Err(self.place.contradiction(
                    name,
                    &format!(
                        "{}, less than {}, {}",
                        ms(e2e),
                        self.ttft.0,
                        ms(self.ttft.1)
                    ),
                ));
            }
            Some((name, e2e)) => Some((name, (e2e - self.ttft.1) / gaps)),
            None => None,
        };
        let per_token = [self.by_token, by_latency, self.by_request];
        let mut known = per_token.into_iter().flatten();
        let Some((name, gap)) = known.next().or(self.by_message) else {
            return Err(self.place.refuse(
                "mean_itl_ms",
                "a missing field",
                "a figure of the time between tokens: mean_tpot_ms, mean_itl_ms, or the mean latency",
            ));
        };
        for (other_name, other) in known {
            if other > gap * SAME || other * SAME < gap {
                return Err(self.place.contradiction(
                    name,
                    &format!(
                        "{} from token to token, and by {other_name} it is {}",
                        ms(gap),
                        ms(other)
                    ),
                ));
            }
        }
        let of_requests = per_token[0].or(by_latency).is_none() && self.by_request.is_some();
        self.little(name, gap, if of_requests { BY_REQUEST } else { ROUNDED })?;
        let note = match self.by_message {
            Some((message, _)) if per_token.iter().all(Option::is_none) => Some(format!(
                "{message} is a gap between messages, and nothing in the file says how many tokens a \
                 message brings; one is assumed"
            )),
            Some((message, between)) if between > gap * WORTH_A_NOTE => Some(format!(
                "a message brings {:.1} tokens ({message} is {}, a gap between tokens {}); the gap between \
                 tokens is taken for a step, which is wrong where the server decodes speculatively",
                between / gap,
                ms(between),
                ms(gap)
            )),
            Some((message, between)) if between * WORTH_A_NOTE < gap => Some(format!(
                "a token comes in {:.1} messages ({message} is {}, a gap between tokens {}); the gap between \
                 tokens is taken for a step",
                gap / between,
                ms(between),
                ms(gap)
            )),
            _ => None,
        };
        Ok((gap, note))
    }

    /// Requests in the system by Little's law against those that the benchmark allowed and counted.
    fn little(&self, name: &str, gap: f64, slack: f64) -> Result<(), Error> {
        let (name, latency, slack) = match self.e2e {
            Some((name, e2e)) => (name, e2e, ROUNDED),
            None => (name, self.ttft.1 + (self.output - 1.0) * gap, slack),
        };
        let here = self.rate * latency;
        let says = |other: &str, value: f64| {
            self.place.contradiction(
                name,
                &format!(
                    "by Little's law {here:.2} requests at once ({:.4} a second, {latency:.4} s each), and {other} \
                     is {value:.2}",
                    self.rate
                ),
            )
        };
        for &(other, most) in &self.most {
            if here > most * slack {
                return Err(says(other, most));
            }
        }
        match self.counted {
            Some((other, counted)) if here > counted * SAME || here * SAME < counted => {
                Err(says(other, counted))
            }
            _ => Ok(()),
        }
    }
}

/// `vllm bench serve` and `sglang.bench_serving`: totals and means, and with --save-detailed or
/// --output-details a list entry per request.
fn vllm(root: &Place) -> Result<Benchmark, Error> {
    speculative(root)?;
    let positive = |name: &str| root.get(name)?.number(LEAST, MOST);
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
    for (mean, middle) in [("mean_ttft_ms", "median_ttft_ms")] {
        if root.value.get(mean).is_none() && root.value.get(middle).is_some() {
            return Err(root.refuse(
                mean,
                "a missing field",
                &format!(
                    "a mean, as newer versions of the program write it; {middle} cannot replace it"
                ),
            ));
        }
    }
    let seconds = |name: &str| Ok(root.get(name)?.number(0.0, MOST)? / 1e3);
    let maybe = |name: &'static str| -> Result<Option<Named>, Error> {
        match root.value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => Ok(Some((name, seconds(name)?))),
        }
    };
    let rate = completed / duration;
    let output = positive("total_output_tokens")? / completed;
    let ttft_s = seconds("mean_ttft_ms")?;
    let mut most = vec![("completed", completed)];
    if let Some(value) = root.value.get("max_concurrency")
        && !value.is_null()
    {
        let allowed = root.get("max_concurrency")?.number(1.0, MOST)?;
        most.push(("max_concurrency", allowed));
    }
    let (gap_s, note) = Gaps {
        place: root,
        rate,
        output,
        ttft: ("mean_ttft_ms", ttft_s),
        e2e: match maybe("mean_e2el_ms")? {
            None => maybe("mean_e2e_latency_ms")?,
            found => found,
        },
        by_token: by_token(root)?,
        by_request: maybe("mean_tpot_ms")?,
        by_message: maybe("mean_itl_ms")?,
        most,
        counted: None,
    }
    .settle()?;
    Ok(Benchmark {
        what: root.what("the benchmark"),
        rate,
        prompt: positive("total_input_tokens")? / completed,
        output,
        ttft_s,
        gap_s,
        note,
        single: lengths.into_iter().zip(ttfts).collect(),
    })
}

/// Refuses a server that, by its own numbers, decodes speculatively: its gaps are no steps.
fn speculative(root: &Place) -> Result<(), Error> {
    let allowed = "a server without it: a gap between tokens is then no step";
    let drafts = root.value.as_object().and_then(|all| {
        all.iter()
            .find(|(name, value)| name.starts_with("spec_decode_") && !value.is_null())
    });
    if let Some((name, _)) = drafts {
        return Err(root.refuse(name, "speculative decoding", allowed));
    }
    match root.value.get("accept_length") {
        Some(value) if value.as_f64().is_some_and(|tokens| tokens > 1.0) => {
            let what = format!("speculative decoding, {value} tokens a step,");
            Err(root.refuse("accept_length", &what, allowed))
        }
        _ => Ok(()),
    }
}

/// The time between the first token and the last of all requests over the gaps between their tokens, from
/// the lists of a detailed result.
fn by_token(root: &Place) -> Result<Option<Named>, Error> {
    let outputs = root.list("output_lens")?;
    let Some(Value::Array(all)) = root.value.get("itls") else {
        return Ok(None);
    };
    if all.is_empty() || outputs.is_empty() {
        return Ok(None);
    }
    if all.len() != outputs.len() {
        return Err(root.refuse(
            "itls",
            &format!("a list of {}", all.len()),
            &format!("one entry for each of the {} output_lens", outputs.len()),
        ));
    }
    let (mut seconds, mut gaps) = (0.0, 0.0);
    for (i, (value, &output)) in all.iter().zip(&outputs).enumerate() {
        let one = Place {
            value,
            path: format!("itls[{i}]"),
            ..*root
        };
        // Requests that failed have no output, and gaps until they did.
        if output > 1.0 {
            seconds += one.numbers()?.iter().sum::<f64>();
            gaps += output - 1.0;
        }
    }
    Ok((gaps > 0.0).then(|| ("itls over output_lens", seconds / gaps)))
}

/// guidellm: several benchmarks, each with distributions by status. Its `inter_token_latency_ms` is of
/// tokens, whatever a message brings; its `time_per_output_token_ms` includes the time to the first.
fn guidellm(root: &Place) -> Result<Vec<Benchmark>, Error> {
    let benchmarks = root.get("benchmarks")?;
    let Value::Array(all) = benchmarks.value else {
        return Err(root.refuse("benchmarks", "no list", "a list of benchmarks"));
    };
    let one = |(i, value): (usize, &Value)| -> Result<Benchmark, Error> {
        let place = Place {
            value,
            path: format!("benchmarks[{i}]"),
            ..*root
        };
        let metrics = place.get("metrics")?;
        let mean = |name: &str| -> Result<f64, Error> {
            let of = metrics.get(name)?.get("successful")?;
            of.get("mean")?.number(0.0, MOST)
        };
        let maybe = |name: &'static str| -> Result<Option<Named>, Error> {
            match metrics.value.get(name).and_then(|of| of.get("successful")) {
                None | Some(Value::Null) => Ok(None),
                Some(_) => Ok(Some((name, mean(name)?))),
            }
        };
        let (rate, output) = (mean("requests_per_second")?, mean("output_token_count")?);
        let ttft_s = mean("time_to_first_token_ms")? / 1e3;
        let (gap_s, note) = Gaps {
            place: &metrics,
            rate,
            output,
            ttft: ("time_to_first_token_ms", ttft_s),
            e2e: maybe("request_latency")?,
            by_token: Some((
                "inter_token_latency_ms",
                mean("inter_token_latency_ms")? / 1e3,
            )),
            by_request: None,
            by_message: None,
            most: Vec::new(),
            counted: maybe("request_concurrency")?,
        }
        .settle()?;
        Ok(Benchmark {
            what: root.what(&format!("benchmark {}", i + 1)),
            rate,
            prompt: mean("prompt_token_count")?,
            output,
            ttft_s,
            gap_s,
            note,
            single: Vec::new(),
        })
    };
    all.iter().enumerate().map(one).collect()
}

/// aiperf: a block per metric. Its `inter_token_latency` is of tokens, its `inter_chunk_latency` of messages.
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
    let seconds = |name: &str| Ok(mean(name, &["ms"])? / 1e3);
    let maybe = |name: &'static str| -> Result<Option<Named>, Error> {
        match root.value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => Ok(Some((name, seconds(name)?))),
        }
    };
    let rate = mean("request_throughput", &["requests/sec"])?;
    let output = mean("output_sequence_length", &["tokens"])?;
    let ttft_s = seconds("time_to_first_token")?;
    let allowed = root.value.pointer("/input_config/loadgen/concurrency");
    let (gap_s, note) = Gaps {
        place: root,
        rate,
        output,
        ttft: ("time_to_first_token", ttft_s),
        e2e: maybe("request_latency")?,
        by_token: None,
        by_request: Some(("inter_token_latency", seconds("inter_token_latency")?)),
        by_message: maybe("inter_chunk_latency")?,
        most: allowed
            .and_then(|value| number(value, 1.0, MOST))
            .map(|most| ("input_config.loadgen.concurrency", most))
            .into_iter()
            .collect(),
        counted: None,
    }
    .settle()?;
    Ok(Benchmark {
        what: root.what("the benchmark"),
        rate,
        prompt: mean("input_sequence_length", &["tokens"])?,
        output,
        ttft_s,
        gap_s,
        note,
        single: Vec::new(),
    })
}

/// A value of a file's JSON, and where it stands.
struct Place<'a> {
    value: &'a Value,
    path: String,
    file: &'a str,
    /// Where the result begins, in a file of several; else 0.
    line: usize,
}

impl<'a> Place<'a> {
    fn at(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// The name of a benchmark of this result.
    fn what(&self, name: &str) -> String {
        match self.line {
            0 => name.to_owned(),
            line => format!("{name} in line {line}"),
        }
    }

    fn refuse(&self, name: &str, value: &str, allowed: &str) -> Error {
        self.problem(
            self.at(name),
            format!("{value} is not allowed; allowed is {allowed}"),
        )
    }

    /// Two figures of the result that cannot both be true; `says`: what the first gives, and the second.
    fn contradiction(&self, name: &str, says: &str) -> Error {
        let problem = format!(
            "it gives {says}: the file contradicts itself, as where a figure of messages is taken for one of tokens"
        );
        self.problem(self.at(name), problem)
    }

    fn problem(&self, field: String, problem: String) -> Error {
        Error::BadCalibration {
            file: self.file.to_owned(),
            line: self.line,
            column: usize::from(self.line > 0),
            field,
            problem,
        }
    }

    fn get(&self, name: &str) -> Result<Place<'a>, Error> {
        match self.value.get(name) {
            Some(value) => Ok(Place {
                value,
                path: self.at(name),
                ..*self
            }),
            None => Err(self.refuse(
                name,
                "a missing field",
                "what the benchmark's program writes there",
            )),
        }
    }

    fn number(&self, low: f64, high: f64) -> Result<f64, Error> {
        number(self.value, low, high).ok_or_else(|| {
            let allowed = if low > 0.0 {
                format!("a number from {low:e} to {high:e}")
            } else {
                format!("0, or a number from {LEAST:e} to {high:e}")
            };
            let problem = format!("{} is not allowed; allowed is {allowed}", shown(self.value));
            self.problem(self.path.clone(), problem)
        })
    }

    /// A list of numbers, empty where there is none.
    fn list(&self, name: &str) -> Result<Vec<f64>, Error> {
        match self.value.get(name) {
            Some(Value::Array(_)) => self.get(name)?.numbers(),
            _ => Ok(Vec::new()),
        }
    }

    /// The value as a list of numbers.
    fn numbers(&self) -> Result<Vec<f64>, Error> {
        let Value::Array(all) = self.value else {
            let problem = format!("{} is not allowed; allowed is a list", shown(self.value));
            return Err(self.problem(self.path.clone(), problem));
        };
        let one = |(i, value): (usize, &Value)| {
            number(value, 0.0, MOST).ok_or_else(|| {
                let problem = format!(
                    "{} is not allowed; allowed is 0, or a number from {LEAST:e} to {MOST:e}",
                    shown(value)
                );
                self.problem(format!("{}[{i}]", self.path), problem)
            })
        };
        all.iter().enumerate().map(one).collect()
    }
}

fn number(value: &Value, low: f64, high: f64) -> Option<f64> {
    value
        .as_f64()
        .filter(|x| (low..=high).contains(x) && (*x == 0.0 || *x >= LEAST))
}

/// Text for a sentence.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
