//! aiperf: a block per metric, and a line per request. Its `inter_token_latency` is of tokens, its
//! `inter_chunk_latency` of messages.

use super::place::{LEAST, MOST, Origin, Place};
use super::{Benchmark, Format, Load, Quantity, Request, Sent, Statistic};
use crate::Error;

const FIGURES: [(Quantity, &str, &str, f64); 8] = [
    (
        Quantity::RequestRate,
        "request_throughput",
        "requests/sec",
        1.0,
    ),
    (
        Quantity::OutputRate,
        "output_token_throughput",
        "tokens/sec",
        1.0,
    ),
    (Quantity::Output, "output_sequence_length", "tokens", 1.0),
    (Quantity::Ttft, "time_to_first_token", "ms", 1e-3),
    (Quantity::E2e, "request_latency", "ms", 1e-3),
    (Quantity::Tpot, "inter_token_latency", "ms", 1e-3),
    (Quantity::Itl, "inter_chunk_latency", "ms", 1e-3),
    (Quantity::Prompt, "input_sequence_length", "tokens", 1.0),
];

const PERCENTILES: [(Statistic, &str); 4] = [
    (Statistic::P50, "p50"),
    (Statistic::P90, "p90"),
    (Statistic::P95, "p95"),
    (Statistic::P99, "p99"),
];

/// A metric's block, if it is there and has this unit.
fn metric<'a>(place: &Place<'a>, name: &str, unit: &str) -> Result<Option<Place<'a>>, Error> {
    let Some(metric) = place.maybe(name) else {
        return Ok(None);
    };
    match metric.get("unit")?.value.as_str() {
        Some(text) if text == unit => Ok(Some(metric)),
        found => {
            let found = found.unwrap_or("no text").to_owned();
            Err(place.origin.refuse(&format!("{name}.unit"), &found, unit))
        }
    }
}

pub(super) fn read(root: &Place) -> Result<Benchmark, Error> {
    let mut found = Benchmark::new(Format::Aiperf, root, "the benchmark");
    for (quantity, name, unit, ours) in FIGURES {
        let Some(metric) = metric(root, name, unit)? else {
            continue;
        };
        let mean = metric.get("avg")?.number(0.0, MOST)?;
        found.put(quantity, Statistic::Mean, name, mean * ours);
        if unit != "ms" {
            continue;
        }
        for (statistic, which) in PERCENTILES {
            if let Some(value) = metric.maybe_number(which, 0.0)? {
                let field = format!("{name}.{which}");
                found.put(quantity, statistic, &field, value * ours);
            }
        }
    }
    if let Some(count) = metric(root, "request_count", "requests")? {
        found.requests = count.maybe_number("avg", 0.0)?;
    }
    let config = root.maybe("input_config");
    if let Some(loadgen) = config.and_then(|config| config.maybe("loadgen")) {
        settings(&loadgen, &mut found)?;
    }
    Ok(found)
}

fn settings(loadgen: &Place, found: &mut Benchmark) -> Result<(), Error> {
    let most = loadgen.maybe_number("concurrency", 1.0)?;
    let name = "input_config.loadgen.concurrency".to_owned();
    found.most.extend(most.map(|most| (name, most)));
    let steady = loadgen.text("arrival_pattern") == Some("constant");
    if let Some(per_s) = loadgen.maybe_number("request_rate", LEAST)? {
        found.load = Load::Rate { per_s, steady };
    } else if let Some(most) = most {
        found.load = Load::Users {
            users: most.round() as u32,
        };
    }
    Ok(())
}

/// Requests, one a line: those of the measured phase that were not cancelled and met no error.
///
/// Errors: a line that is no record, by its field; no request that counts.
pub(super) fn read_records(all: &[Place], file: &str) -> Result<Benchmark, Error> {
    let of_file = Place {
        value: &serde_json::Value::Null,
        origin: Origin {
            file: file.to_owned(),
            ..Origin::default()
        },
    };
    let mut found = Benchmark::new(Format::AiperfRecords, &of_file, "the requests");
    let mut begins = Vec::new();
    for place in all {
        if let Some((begin_ns, request)) = record(place)? {
            begins.push(begin_ns);
            found.each.push(request);
        }
    }
    if found.each.is_empty() {
        let none = "no request that was done";
        return Err(of_file.origin.refuse("metrics", none, "at least one"));
    }
    let earliest = begins.iter().copied().fold(f64::INFINITY, f64::min);
    for (request, begin) in found.each.iter_mut().zip(begins) {
        request.sent_s = Some((begin - earliest) / 1e9);
    }
    found.sent = Sent::Given;
    found.requests = Some(found.each.len() as f64);
    totals(&mut found);
    Ok(found)
}

/// When it was sent, ns, and what it got; `None` of one that does not count.
fn record(place: &Place) -> Result<Option<(f64, Request)>, Error> {
    let metadata = place.get("metadata")?;
    let phase = metadata.text("benchmark_phase");
    let cancelled = metadata.value.get("was_cancelled") == Some(&true.into());
    if phase.is_some_and(|phase| phase != "profiling")
        || cancelled
        || place.maybe("error").is_some()
    {
        return Ok(None);
    }
    let metrics = place.get("metrics")?;
    let value = |name: &str, unit: &str| -> Result<Option<f64>, Error> {
        let Some(metric) = metric(&metrics, name, unit)? else {
            return Ok(None);
        };
        Ok(Some(metric.get("value")?.number(0.0, MOST)?))
    };
    let gaps = match metric(&metrics, "inter_chunk_latency", "ms")? {
        Some(metric) => metric.get("value")?.numbers()?,
        None => Vec::new(),
    };
    let output = value("output_sequence_length", "tokens")?;
    let output = output.ok_or_else(|| metrics.origin.missing("output_sequence_length"))?;
    let request = Request {
        sent_s: None,
        prompt: value("input_sequence_length", "tokens")?,
        output,
        ttft_s: value("time_to_first_token", "ms")?.map(|ms| ms / 1e3),
        gaps_s: gaps.into_iter().map(|ms| ms / 1e3).collect(),
        e2e_s: value("request_latency", "ms")?.map(|ms| ms / 1e3),
    };
    let begin = metadata.get("request_start_ns")?.moment()?;
    Ok(Some((begin, request)))
}

/// Rates and lengths of single requests.
fn totals(found: &mut Benchmark) {
    let n = found.each.len() as f64;
    let output: f64 = found.each.iter().map(|r| r.output).sum();
    let prompts: Option<f64> = found.each.iter().map(|r| r.prompt).sum();
    let ends = found
        .each
        .iter()
        .map(|r| r.sent_s.unwrap_or(0.0) + r.e2e_s.unwrap_or(0.0));
    let end = ends.fold(0.0, f64::max);
    let mean = Statistic::Mean;
    if end > 0.0 {
        let name = "requests / time from the first start to the last end";
        found.put(Quantity::RequestRate, mean, name, n / end);
        let name = "output_sequence_length / time from the first start to the last end";
        found.put(Quantity::OutputRate, mean, name, output / end);
    }
    found.put(Quantity::Output, mean, "output_sequence_length", output / n);
    if let Some(prompts) = prompts {
        found.put(Quantity::Prompt, mean, "input_sequence_length", prompts / n);
    }
}
