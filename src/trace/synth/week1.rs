//! The first week of BurstGPT_1.csv (19,431 rows), by aggregates; later days as [`burstgpt`] makes them, with
//! the published volumes of the file's days in their order.
//!
//! Requests come in sessions: a session starts at a uniform moment of its hour, has a geometric number of
//! requests (mean 3, after the paper's 35 % of single ones and median of 2) and exponential gaps. Each hour has
//! as many requests as the file's, those of a session that outlasts it included. Members of a session share
//! part of their lengths, and mostly their fate and their model.

use super::Trace;
use super::burstgpt::{self, Quantiles, Row, Rows};
use super::lengths::tokens;
use super::week1_tables::{API_OUTPUT, API_PROMPT, GPT4, HOURS, OUTPUT, PARTS, PROMPT};
use crate::trace::random::{Purpose, Stream};

const HOUR_S: f64 = 3600.0;
/// Requests of a session, on average.
const SESSION: f64 = 3.0;
const GAP_S: f64 = 90.0;
/// Shares of the variance of a prompt's and an output's normal score that a session's members have in common,
/// and the correlation of the two common parts.
const COMMON_PROMPT: f64 = 0.4;
const COMMON_OUTPUT: f64 = 0.4;
const COMMON_BOTH: f64 = 0.8;
/// How often a request fails, or is answered by GPT-4, as its session decides.
const COMMON_FATE: f64 = 0.8;

/// Of the week: the later days draw from the plain streams of the same purposes.
fn stream(seed: u32, purpose: Purpose) -> Stream {
    Stream::numbered(seed, purpose, 1)
}

fn share_below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / core::f64::consts::SQRT_2)
}

pub(super) fn generate(requests: u32, seed: u32) -> Trace {
    let mut rows = Rows::new("burstgpt-week1", requests as usize);
    let mut arrivals = stream(seed, Purpose::Arrivals);
    let mut sizes = stream(seed, Purpose::Bursts);
    let mut prompts = stream(seed, Purpose::Prompts);
    let mut outputs = stream(seed, Purpose::Outputs);
    let mut failures = stream(seed, Purpose::Failures);
    let mut models = stream(seed, Purpose::Models);
    let prompt_table = Quantiles::new(&PROMPT);
    let output_tables = OUTPUT.each_ref().map(Quantiles::new);
    let (api_prompt, api_output) = (Quantiles::new(&API_PROMPT), Quantiles::new(&API_OUTPUT));

    // What is a request's own is tied the other way, so that prompt and output scores are independent.
    let common = libm::sqrt(COMMON_PROMPT * COMMON_OUTPUT) * COMMON_BOTH;
    let tie = -common / libm::sqrt((1.0 - COMMON_PROMPT) * (1.0 - COMMON_OUTPUT));
    let mut waiting: Vec<Row> = Vec::new();
    for (hour, &count) in HOURS.iter().enumerate() {
        let mut left = count;
        while left > 0 {
            let mut t = (hour as f64 + arrivals.uniform()) * HOUR_S;
            // Geometric by inversion.
            let drawn = libm::log(sizes.uniform()) / libm::log(1.0 - 1.0 / SESSION);
            let size = (drawn as u16).saturating_add(1).min(left);
            left -= size;
            let session_prompt = prompts.normal();
            let session_output = COMMON_BOTH * session_prompt
                + libm::sqrt(1.0 - COMMON_BOTH * COMMON_BOTH) * outputs.normal();
            let (session_failure, session_model) = (failures.uniform(), models.uniform());
            let kind = failures.uniform();
            for _ in 0..size {
                let hour_now = (t / HOUR_S) as usize;
                let part = hour_now / 24 * 5
                    + [0, 8, 12, 16, 20].partition_point(|h| *h <= hour_now % 24)
                    - 1;
                let Some(&(fails, api, prompt_power, output_power)) = PARTS.get(part) else {
                    break;
                };
                let own = prompts.normal();
                let p = share_below(
                    libm::sqrt(COMMON_PROMPT) * session_prompt
                        + libm::sqrt(1.0 - COMMON_PROMPT) * own,
                );
                let own = tie * own + libm::sqrt(1.0 - tie * tie) * outputs.normal();
                let o = share_below(
                    libm::sqrt(COMMON_OUTPUT) * session_output
                        + libm::sqrt(1.0 - COMMON_OUTPUT) * own,
                );
                let (copied, own) = (failures.uniform() < COMMON_FATE, failures.uniform());
                let failed = if copied { session_failure } else { own } < fails;
                let (copied, own) = (models.uniform() < COMMON_FATE, models.uniform());
                let model = if copied { session_model } else { own };
                let api = kind < api;
                let p = if api { p } else { libm::pow(p, prompt_power) };
                let group =
                    ((p * output_tables.len() as f64) as usize).min(output_tables.len() - 1);
                let (prompt, output) = if failed {
                    (0, 0)
                } else if api {
                    (tokens(api_prompt.at(p)), tokens(api_output.at(o)))
                } else {
                    let table = output_tables.get(group);
                    let o = table.map_or(1.0, |table| table.at(libm::pow(o, output_power)));
                    (tokens(prompt_table.at(p)), tokens(o))
                };
                waiting.push(Row {
                    arrival: t,
                    prompt,
                    output,
                    gpt4: model < GPT4,
                    api,
                });
                t += GAP_S * arrivals.exponential();
            }
        }
        // Later hours add nothing before their start.
        waiting.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
        let done = waiting.partition_point(|row| row.arrival < (hour + 1) as f64 * HOUR_S);
        for row in waiting.drain(..done).take(rows.missing()) {
            rows.push(&row);
        }
        if rows.missing() == 0 {
            return rows.into_trace();
        }
    }
    burstgpt::go_on(&mut rows, 7, seed);
    rows.into_trace()
}
