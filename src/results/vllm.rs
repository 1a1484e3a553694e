//! `vllm bench serve` and `sglang.bench_serving`: totals and means, and with --save-detailed or --output-details a list
//! entry per request.

use serde_json::Value;

use super::place::{LEAST, MOST, Place};
use super::{Benchmark, Format, Load, Quantity, Request, Sent, Statistic, arrivals};
use crate::Error;

/// A quantity's name in fields: "mean_ttft_ms".
const TIMES: [(Quantity, &str); 5] = [
    (Quantity::Ttft, "ttft"),
    (Quantity::Tpot, "tpot"),
    (Quantity::Itl, "itl"),
    (Quantity::E2e, "e2el"),
    (Quantity::E2e, "e2e_latency"),
];

const STATISTICS: [(Statistic, &str); 5] = [
    (Statistic::Mean, "mean"),
    (Statistic::P50, "median"),
    (Statistic::P90, "p90"),
    (Statistic::P95, "p95"),
    (Statistic::P99, "p99"),
];

pub(super) fn read(root: &Place) -> Result<Benchmark, Error> {
    let positive = |name: &str| root.get(name)?.number(LEAST, MOST);
    let (duration, completed) = (positive("duration")?, positive("completed")?);
    let mut found = Benchmark::new(Format::Vllm, root, "the benchmark");
    found.requests = Some(completed);
    found.speculative = speculative(root.value);
    let (output, prompt) = (
        positive("total_output_tokens")?,
        root.maybe_number("total_input_tokens", LEAST)?,
    );
    let rate = completed / duration;
    let mean = Statistic::Mean;
    found.put(Quantity::RequestRate, mean, "completed / duration", rate);
    let name = "total_output_tokens / duration";
    found.put(Quantity::OutputRate, mean, name, output / duration);
    let name = "total_output_tokens / completed";
    found.put(Quantity::Output, mean, name, output / completed);
    if let Some(prompt) = prompt {
        let name = "total_input_tokens / completed";
        found.put(Quantity::Prompt, mean, name, prompt / completed);
    }
    for (quantity, name) in TIMES {
        for (statistic, which) in STATISTICS {
            let field = format!("{which}_{name}_ms");
            // A mean of null is wrong; other figures are left out so.
            if let Some(value) = root.value.get(&field)
                && (!value.is_null() || field == "mean_ttft_ms")
            {
                let ms = root.get(&field)?.number(0.0, MOST)?;
                found.put(quantity, statistic, &field, ms / 1e3);
            }
        }
    }
    found.most.push(("completed".to_owned(), completed));
    let allowed = root.maybe_number("max_concurrency", 1.0)?;
    found
        .most
        .extend(allowed.map(|most| ("max_concurrency".to_owned(), most)));
    found.load = load(root, allowed)?;
    lists(root, &mut found, duration)?;
    Ok(found)
}

/// A finite rate is an open loop; without one so many requests at once as are allowed, or all.
fn load(root: &Place, most: Option<f64>) -> Result<Load, Error> {
    let Some(rate) = root.maybe("request_rate") else {
        return Ok(most.map_or(Load::Unknown, users));
    };
    // Python's infinity, and vLLM's text for it.
    if matches!(rate.value.as_str(), Some("inf" | "Infinity")) {
        return Ok(most.map_or(Load::AtOnce, users));
    }
    Ok(Load::Rate {
        per_s: rate.number(LEAST, MOST)?,
        steady: false,
    })
}

fn users(most: f64) -> Load {
    Load::Users {
        users: most.round() as u32,
    }
}

/// The field by which the server decodes speculatively, by its own numbers, and what it says.
fn speculative(value: &Value) -> Option<(String, String)> {
    let all = value.as_object()?;
    let drafts = all
        .iter()
        .find(|(name, value)| name.starts_with("spec_decode_") && !value.is_null());
    if let Some((name, _)) = drafts {
        return Some((name.clone(), "speculative decoding".to_owned()));
    }
    let length = all.get("accept_length")?;
    length.as_f64().filter(|&tokens| tokens > 1.0)?;
    let what = format!("speculative decoding, {length} tokens a step,");
    Some(("accept_length".to_owned(), what))
}

/// The lists of a detailed result.
fn lists(root: &Place, found: &mut Benchmark, duration: f64) -> Result<(), Error> {
    let prompts = root.list("input_lens")?;
    let ttfts = root.list("ttfts")?;
    let outputs = root.list("output_lens")?;
    same_length(root, ("ttfts", ttfts.len()), ("input_lens", prompts.len()))?;
    let gaps = gaps(root, outputs.len())?;
    by_token(found, &outputs, &gaps);
    if !outputs.is_empty() && !ttfts.is_empty() {
        same_length(root, ("output_lens", outputs.len()), ("ttfts", ttfts.len()))?;
        let failed = failed(root);
        let starts = start_times(root, ttfts.len())?;
        for (i, (&ttft, &output)) in ttfts.iter().zip(&outputs).enumerate() {
            // A failed request has no times, and is not among those that were done.
            if failed.get(i) == Some(&true) {
                continue;
            }
            let gaps_s = gaps.get(i).cloned().unwrap_or_default();
            let e2e = ttft + gaps_s.iter().sum::<f64>();
            found.each.push(Request {
                sent_s: starts.get(i).copied(),
                prompt: prompts.get(i).copied(),
                output,
                ttft_s: Some(ttft),
                e2e_s: (!gaps.is_empty()).then_some(e2e),
                gaps_s,
            });
        }
        if !starts.is_empty() {
            found.sent = Sent::Given;
        } else if let Load::Rate { per_s, .. } = found.load
            && found.each.len() == ttfts.len()
            && !gaps.is_empty()
        {
            regenerate(found, per_s, duration);
        }
    }
    found.single = prompts.into_iter().zip(ttfts).collect();
    Ok(())
}

fn regenerate(found: &mut Benchmark, rate: f64, duration: f64) {
    if let Some(sent) = arrivals::regenerated(&found.each, rate, duration) {
        for (request, sent) in found.each.iter_mut().zip(sent) {
            request.sent_s = Some(sent);
        }
        found.sent = Sent::Regenerated;
    }
}

/// Moments of sending, s from the first.
fn start_times(root: &Place, requests: usize) -> Result<Vec<f64>, Error> {
    let Some(place) = root.maybe("start_times") else {
        return Ok(Vec::new());
    };
    let all = place.all("a list of moments")?;
    same_length(root, ("start_times", all.len()), ("ttfts", requests))?;
    let moments = all.iter().map(Place::moment);
    let moments = moments.collect::<Result<Vec<f64>, Error>>()?;
    let first = moments.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(moments.into_iter().map(|at| at - first).collect())
}

fn failed(root: &Place) -> Vec<bool> {
    let errors = root.value.get("errors").and_then(Value::as_array);
    errors.map_or_else(Vec::new, |all| {
        let failed = |e: &Value| e.as_str().is_some_and(|text| !text.is_empty());
        all.iter().map(failed).collect()
    })
}

/// Refuses two lists, both there, of different lengths.
fn same_length(root: &Place, list: (&str, usize), other: (&str, usize)) -> Result<(), Error> {
    if list.1 == other.1 || list.1 == 0 || other.1 == 0 {
        return Ok(());
    }
    Err(root.origin.refuse(
        list.0,
        &format!("a list of {}", list.1),
        &format!("one entry for each of the {} {}", other.1, other.0),
    ))
}

/// Gaps between messages, of each request; nothing where they or the outputs are missing.
fn gaps(root: &Place, outputs: usize) -> Result<Vec<Vec<f64>>, Error> {
    let Some(place) = root.maybe("itls").filter(|place| place.value.is_array()) else {
        return Ok(Vec::new());
    };
    let all = place.all("a list")?;
    if all.is_empty() || outputs == 0 {
        return Ok(Vec::new());
    }
    same_length(root, ("itls", all.len()), ("output_lens", outputs))?;
    all.iter().map(Place::numbers).collect()
}

/// The time between the first token and the last of all requests over the gaps between their tokens.
fn by_token(found: &mut Benchmark, outputs: &[f64], all: &[Vec<f64>]) {
    // Requests that failed have no output, and gaps until they did.
    let done = all.iter().zip(outputs).filter(|(_, output)| **output > 1.0);
    let (mut seconds, mut gaps) = (0.0, 0.0);
    for (own, output) in done {
        seconds += own.iter().sum::<f64>();
        gaps += output - 1.0;
    }
    if gaps > 0.0 {
        found.by_token = Some(("itls over output_lens".to_owned(), seconds / gaps));
    }
}
