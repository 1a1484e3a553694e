//! Step times out of measurements that were made elsewhere: measured steps as CSV, and results of serving
//! benchmarks (docs/MODEL.md, "Measurements of serving benchmarks").
//!
//! [`crate::results`] reads the files; here their means, or their single requests, become steps.

mod traffic;

use serde::Serialize;

use super::calibration::Point;
use super::step_table::StepTable;
use crate::Error;
use crate::quantiles::middle;
use crate::results::{self, Benchmark, Format, Named, Origin, Quantity, Statistic};

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
/// Two figures of a file for the gap between tokens, or for the requests in the system, that differ by a
/// larger factor contradict each other. Means over requests and over tokens differ by less.
const SAME: f64 = 1.5;
/// More requests at once than a benchmark allowed, in proportion, that rounding explains; and that a gap
/// explains which is a mean over requests, short ones counting as much as long ones.
const ROUNDED: f64 = 1.05;
const BY_REQUEST: f64 = 1.25;
/// Tokens of a message, or messages of a token, from which on a reader is told.
const WORTH_A_NOTE: f64 = 1.1;

/// The measurements of a file, recognised by its content: CSV with the columns of [`StepTable::read`], or a result of a
/// load test ([`results::read`]); `file` is for the errors' sentences. A benchmark whose requests are all there, with every
/// gap and time of arrival, gives many points ([`traffic`]), any other those of its means.
///
/// Errors: text that is neither, a missing field, or a number that no benchmark has, by its place;
/// figures that contradict each other; a server with speculative decoding; a benchmark without anything
/// that says how long a step takes.
pub fn read(text: &str, file: &str) -> Result<Vec<Measurement>, Error> {
    if !results::is_json(text) {
        return rows(text, file);
    }
    let mut found = Vec::new();
    for benchmark in results::read(text, file)? {
        // Its own contradictions are refused either way.
        let means = Means::of(&benchmark)?;
        let steps = traffic::points(&benchmark);
        if steps.len() > 1 {
            found.extend(traffic::measurements(&benchmark, steps));
        } else {
            means.measurements(file, &mut found);
        }
    }
    something(found, file)
}

fn something(found: Vec<Measurement>, file: &str) -> Result<Vec<Measurement>, Error> {
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
            note: None,
            point: point(i),
        })
        .collect())
}

/// What a benchmark says of steps: means over its requests.
struct Means {
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

impl Means {
    /// Errors: a mean that is missing; figures that contradict each other; a server that decodes speculatively, by its
    /// own numbers, whose gaps are no steps.
    fn of(benchmark: &Benchmark) -> Result<Means, Error> {
        let origin = &benchmark.origin;
        if let Some((field, what)) = &benchmark.speculative {
            let allowed = "a server without it: a gap between tokens is then no step";
            return Err(origin.refuse(field, what, allowed));
        }
        let rate = benchmark.need(Quantity::RequestRate)?.1;
        let ttft = first_token(benchmark)?;
        let output = benchmark.need(Quantity::Output)?.1;
        let of_tokens = benchmark.format == Format::Guidellm;
        let (gap_s, note) = Gaps {
            origin,
            missing: benchmark.field(Quantity::Itl),
            rate,
            output,
            ttft: ttft.clone(),
            e2e: given(benchmark, Quantity::E2e),
            by_token: benchmark.by_token.clone(),
            by_request: given(benchmark, Quantity::Tpot).filter(|_| !of_tokens),
            by_message: given(benchmark, Quantity::Itl),
            most: &benchmark.most,
            counted: benchmark.counted.clone(),
        }
        .settle()?;
        Ok(Means {
            what: benchmark.what.clone(),
            rate,
            prompt: benchmark.need(Quantity::Prompt)?.1,
            output,
            ttft_s: ttft.1,
            gap_s,
            note,
            single: benchmark.single.clone(),
        })
    }

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

/// The mean time to the first token.
///
/// Errors: there is none, also where there is a median.
fn first_token(benchmark: &Benchmark) -> Result<Named, Error> {
    let median = benchmark.figure(Quantity::Ttft, Statistic::P50);
    match (given(benchmark, Quantity::Ttft), median) {
        (None, Some(median)) if !median.derived => Err(benchmark.origin.refuse(
            benchmark.field(Quantity::Ttft),
            "a missing field",
            &format!(
                "a mean, as newer versions of the program write it; {} cannot replace it",
                median.field
            ),
        )),
        (None, _) => benchmark.need(Quantity::Ttft),
        (Some(mean), _) => Ok(mean),
    }
}

/// A mean that the file itself says; of single requests, theirs.
fn given(benchmark: &Benchmark, quantity: Quantity) -> Option<Named> {
    let single = matches!(
        benchmark.format,
        Format::AiperfRecords | Format::LlmperfResponses
    );
    let found = benchmark.figure(quantity, Statistic::Mean)?;
    (single || !found.derived).then(|| (found.field.clone(), found.value))
}

/// What a benchmark's result says of the gaps between tokens, in every way that it does.
///
/// A client sees messages. One message may bring several tokens (several steps at once, a stream that is
/// sent in parts, speculative decoding), or none: a gap between messages is no gap between tokens.
struct Gaps<'a> {
    origin: &'a Origin,
    /// The field that is missed where no figure is there.
    missing: &'a str,
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
    most: &'a [Named],
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
        let by_latency = match &self.e2e {
            Some((name, e2e)) if *e2e < self.ttft.1 => {
                return Err(self.origin.contradiction(
                    name,
                    &format!(
                        "{}, less than {}, {}",
                        ms(*e2e),
                        self.ttft.0,
                        ms(self.ttft.1)
                    ),
                ));
            }
            Some((name, e2e)) => Some((name.clone(), (e2e - self.ttft.1) / gaps)),
            None => None,
        };
        let per_token = [&self.by_token, &by_latency, &self.by_request];
        let mut known = per_token.into_iter().flatten();
        let Some((name, gap)) = known.next().or(self.by_message.as_ref()) else {
            return Err(self.origin.refuse(
                self.missing,
                "a missing field",
                "a figure of the time between tokens: mean_tpot_ms, mean_itl_ms, or the mean latency",
            ));
        };
        let gap = *gap;
        for (other_name, other) in known {
            if *other > gap * SAME || other * SAME < gap {
                return Err(self.origin.contradiction(
                    name,
                    &format!(
                        "{} from token to token, and by {other_name} it is {}",
                        ms(gap),
                        ms(*other)
                    ),
                ));
            }
        }
        let of_requests =
            per_token[0].is_none() && by_latency.is_none() && self.by_request.is_some();
        self.little(name, gap, if of_requests { BY_REQUEST } else { ROUNDED })?;
        let note = self.note(gap, per_token.iter().all(|p| p.is_none()));
        Ok((gap, note))
    }

    /// What has to be known of a gap. `messages_alone`: nothing in the file is of tokens.
    fn note(&self, gap: f64, messages_alone: bool) -> Option<String> {
        let ms = |seconds: f64| format!("{:.4} ms", seconds * 1e3);
        match &self.by_message {
            Some((message, _)) if messages_alone => Some(format!(
                "{message} is a gap between messages, and nothing in the file says how many tokens a \
                 message brings; one is assumed"
            )),
            Some((message, between)) if *between > gap * WORTH_A_NOTE => Some(format!(
                "a message brings {:.1} tokens ({message} is {}, a gap between tokens {}); the gap between \
                 tokens is taken for a step, which is wrong where the server decodes speculatively",
                between / gap,
                ms(*between),
                ms(gap)
            )),
            Some((message, between)) if between * WORTH_A_NOTE < gap => Some(format!(
                "a token comes in {:.1} messages ({message} is {}, a gap between tokens {}); the gap between \
                 tokens is taken for a step",
                gap / between,
                ms(*between),
                ms(gap)
            )),
            _ => None,
        }
    }

    /// Requests in the system by Little's law against those that the benchmark allowed and counted.
    fn little(&self, name: &str, gap: f64, slack: f64) -> Result<(), Error> {
        let (name, latency, slack) = match &self.e2e {
            Some((name, e2e)) => (name.as_str(), *e2e, ROUNDED),
            None => (name, self.ttft.1 + (self.output - 1.0) * gap, slack),
        };
        let here = self.rate * latency;
        let says = |other: &str, value: f64| {
            self.origin.contradiction(
                name,
                &format!(
                    "by Little's law {here:.2} requests at once ({:.4} a second, {latency:.4} s each), and {other} \
                     is {value:.2}",
                    self.rate
                ),
            )
        };
        for (other, most) in self.most {
            if here > most * slack {
                return Err(says(other, *most));
            }
        }
        match &self.counted {
            Some((other, counted)) if here > counted * SAME || here * SAME < *counted => {
                Err(says(other, *counted))
            }
            _ => Ok(()),
        }
    }
}
