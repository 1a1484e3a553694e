//! The first week of BurstGPT_1.csv (19,431 rows), by aggregates; later days as [`burstgpt`] makes them, with
//! the published volumes of the file's days in their order.
//!
//! - **Arrivals**: each hour has about as many requests as the file's. Within it the rate is a straight line
//!   towards its neighbours, and six slots of ten minutes are busier or quieter by chance.
//! - **Lengths** of conversations follow quantile functions of the period (the first 14 hours, those up to
//!   the 88th, the rest of the week), shifted by how busy the hour is; outputs also depend on
//!   their prompt. API calls have lengths of their own.
//! - **Likeness**: people go on with what they do. Some requests resemble one a few rows before: in both
//!   lengths, in the model, and in whether they fail.

use super::Trace;
use super::burstgpt::{self, Quantiles, Row, Rows};
use super::lengths::tokens;
use super::week1_tables::{
    API_OUTPUT, API_PROMPT, CLASSES, FIRST_OUTPUT, GPT4, HOURS, LOADS, OUTPUT, PERIODS, PROMPT,
};
use crate::trace::random::{Purpose, Stream};

const HOUR_S: f64 = 3600.0;
const SLOTS: usize = 6;
/// Standard deviation of the logarithm of a slot's rate.
const SLOT_SPREAD: f64 = 0.2;
/// Share of the requests that resemble an earlier one, and how many rows before it is on average.
const ALIKE: f64 = 0.44;
const ROWS_BEFORE: f64 = 11.0;
/// How much: the correlations of the normal scores of the two prompts, outputs and fates.
const ALIKE_PROMPT: f64 = 0.9;
const ALIKE_OUTPUT: f64 = 0.9;
const ALIKE_FATE: f64 = 0.95;

/// Of the week: the later days draw from the plain streams of the same purposes.
fn stream(seed: u32, purpose: Purpose) -> Stream {
    Stream::numbered(seed, purpose, 1)
}

fn share_below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / core::f64::consts::SQRT_2)
}

/// Requests of an hour; there are none before and after the week.
fn count(hour: usize) -> f64 {
    HOURS.get(hour).copied().map_or(0.0, f64::from)
}

/// The arrivals of one hour, in order, s.
fn arrivals(hour: usize, random: &mut Stream, levels: &mut Stream) -> Vec<f64> {
    let here = count(hour);
    let (start, end) = (
        (count(hour.wrapping_sub(1)) + here) / 2.0,
        (here + count(hour + 1)) / 2.0,
    );
    let mut total = 0.0;
    let sums: [f64; SLOTS] = core::array::from_fn(|slot| {
        // From the hour's start over its middle to its end.
        let at = (slot as f64 + 0.5) / SLOTS as f64 * 2.0;
        let rate = if at < 1.0 {
            start + (here - start) * at
        } else {
            here + (end - here) * (at - 1.0)
        };
        total += rate * libm::exp(SLOT_SPREAD * levels.normal());
        total
    });
    // As a Poisson process would have, to the second moment.
    let requests = libm::round(here + libm::sqrt(here) * levels.normal());
    let mut times: Vec<f64> = (0..requests as usize)
        .map(|_| {
            let drawn = random.uniform() * total;
            let slot = sums.partition_point(|sum| *sum <= drawn).min(SLOTS - 1);
            (hour as f64 + (slot as f64 + random.uniform()) / SLOTS as f64) * HOUR_S
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// What requests can have in common: normal scores of the lengths and the fate, uniform draws of the rest.
#[derive(Clone, Copy)]
struct Character {
    prompt: f64,
    output: f64,
    fate: f64,
    model: f64,
    kind: f64,
}

impl Character {
    /// This one, made to resemble `other` without a change of its distribution.
    fn like(self, other: Character) -> Character {
        let blend = |correlation: f64, own: f64, others: f64| {
            correlation * others + libm::sqrt(1.0 - correlation * correlation) * own
        };
        Character {
            prompt: blend(ALIKE_PROMPT, self.prompt, other.prompt),
            output: blend(ALIKE_OUTPUT, self.output, other.output),
            fate: blend(ALIKE_FATE, self.fate, other.fate),
            ..other
        }
    }
}

/// Makes characters, one a row.
struct Cast {
    prompts: Stream,
    outputs: Stream,
    failures: Stream,
    models: Stream,
    likeness: Stream,
    /// Of all rows so far.
    past: Vec<Character>,
}

impl Cast {
    fn new(seed: u32) -> Self {
        Cast {
            prompts: stream(seed, Purpose::Prompts),
            outputs: stream(seed, Purpose::Outputs),
            failures: stream(seed, Purpose::Failures),
            models: stream(seed, Purpose::Models),
            likeness: stream(seed, Purpose::Bursts),
            past: Vec::new(),
        }
    }

    fn next(&mut self) -> Character {
        let own = Character {
            prompt: self.prompts.normal(),
            output: self.outputs.normal(),
            fate: self.failures.normal(),
            model: self.models.uniform(),
            kind: self.models.uniform(),
        };
        let is_alike = self.likeness.uniform() < ALIKE;
        // Geometric by inversion.
        let drawn = libm::log(self.likeness.uniform()) / libm::log(1.0 - 1.0 / ROWS_BEFORE);
        let other = self
            .past
            .len()
            .checked_sub(1 + drawn as usize)
            .filter(|_| is_alike);
        let next = other.map_or(own, |row| own.like(self.past[row]));
        self.past.push(next);
        next
    }
}

/// The quantile functions of the lengths.
struct Lengths {
    prompt: [Quantiles<15>; 3],
    first_output: [Quantiles<14>; 4],
    output: [Quantiles<14>; 8],
    api_prompt: Quantiles<9>,
    api_output: Quantiles<9>,
}

impl Lengths {
    fn new() -> Self {
        Lengths {
            prompt: PROMPT.each_ref().map(Quantiles::new),
            first_output: FIRST_OUTPUT.each_ref().map(Quantiles::new),
            output: OUTPUT.each_ref().map(Quantiles::new),
            api_prompt: Quantiles::new(&API_PROMPT),
            api_output: Quantiles::new(&API_OUTPUT),
        }
    }

    /// Prompt and output of a conversation in a period, from their probabilities.
    fn conversation(&self, period: usize, p: f64, o: f64) -> (f64, f64) {
        let outputs: &[Quantiles<14>] = match period {
            0 => &self.first_output,
            _ => &self.output,
        };
        let group = ((p * outputs.len() as f64) as usize).min(outputs.len() - 1);
        (self.prompt[period].at(p), outputs[group].at(o))
    }
}

pub(super) fn generate(requests: u32, seed: u32) -> Trace {
    let mut rows = Rows::new("burstgpt-week1", requests as usize);
    let mut random = stream(seed, Purpose::Arrivals);
    let mut levels = stream(seed, Purpose::Levels);
    let mut cast = Cast::new(seed);
    let lengths = Lengths::new();
    for (hour, in_file) in HOURS.iter().enumerate() {
        let period = PERIODS.partition_point(|start| *start <= hour);
        let load = LOADS.partition_point(|start| start <= in_file);
        let class = match period {
            0 => 0,
            _ => (period - 1) * 3 + 1 + load,
        };
        let (fails, api, prompt_shift, output_shift) = CLASSES[class];
        for arrival in arrivals(hour, &mut random, &mut levels) {
            if rows.missing() == 0 {
                return rows.into_trace();
            }
            let character = cast.next();
            let api = character.kind < api;
            let (prompt, output) = if share_below(character.fate) < fails {
                (0, 0)
            } else if api {
                let (p, o) = (share_below(character.prompt), share_below(character.output));
                (
                    tokens(lengths.api_prompt.at(p)),
                    tokens(lengths.api_output.at(o)),
                )
            } else {
                let (p, o) = lengths.conversation(
                    period,
                    share_below(character.prompt + prompt_shift),
                    share_below(character.output + output_shift),
                );
                (tokens(p), tokens(o))
            };
            rows.push(&Row {
                arrival,
                prompt,
                output,
                gpt4: character.model < GPT4,
                api,
            });
        }
    }
    burstgpt::go_on(&mut rows, 7, seed);
    rows.into_trace()
}
