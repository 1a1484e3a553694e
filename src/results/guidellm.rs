//! guidellm: several benchmarks, each with distributions by status. Its `inter_token_latency_ms` is of tokens, whatever
//! a message brings; its `time_per_output_token_ms` includes the time to the first.

use super::place::{LEAST, MOST, Place};
use super::{Benchmark, Format, Load, Quantity, Request, Sent, Statistic};
use crate::Error;

const FIGURES: [(Quantity, &str, f64); 7] = [
    (Quantity::RequestRate, "requests_per_second", 1.0),
    (Quantity::OutputRate, "output_tokens_per_second", 1.0),
    (Quantity::Prompt, "prompt_token_count", 1.0),
    (Quantity::Output, "output_token_count", 1.0),
    (Quantity::Ttft, "time_to_first_token_ms", 1e-3),
    (Quantity::Tpot, "inter_token_latency_ms", 1e-3),
    (Quantity::E2e, "request_latency", 1.0),
];

const PERCENTILES: [(Statistic, &str); 3] = [
    (Statistic::P90, "p90"),
    (Statistic::P95, "p95"),
    (Statistic::P99, "p99"),
];

pub(super) fn read(root: &Place) -> Result<Vec<Benchmark>, Error> {
    let all = root.get("benchmarks")?.all("a list of benchmarks")?;
    let named = all.iter().enumerate();
    named
        .map(|(i, place)| one(place, &format!("benchmark {}", i + 1)))
        .collect()
}

fn one(place: &Place, name: &str) -> Result<Benchmark, Error> {
    let metrics = place.get("metrics")?;
    let mut found = Benchmark::new(Format::Guidellm, &metrics, name);
    for (quantity, field, unit) in FIGURES {
        let Some(of) = metrics.maybe(field) else {
            continue;
        };
        // The whole's rate is its mean; spreads of rates are of moments.
        let is_rate = matches!(quantity, Quantity::RequestRate | Quantity::OutputRate);
        let Some(done) = of.maybe("successful") else {
            continue;
        };
        let mean = done.get("mean")?.number(0.0, MOST)?;
        found.put(quantity, Statistic::Mean, field, mean * unit);
        let lengths = matches!(quantity, Quantity::Prompt | Quantity::Output);
        if is_rate || lengths {
            continue;
        }
        if let Some(median) = done.maybe_number("median", 0.0)? {
            let name = format!("{field}.median");
            found.put(quantity, Statistic::P50, &name, median * unit);
        }
        let percentiles = done.maybe("percentiles");
        for (statistic, which) in PERCENTILES {
            if let Some(percentiles) = &percentiles
                && let Some(value) = percentiles.maybe_number(which, 0.0)?
            {
                let name = format!("{field}.{which}");
                found.put(quantity, statistic, &name, value * unit);
            }
        }
    }
    let counted = metrics.maybe("request_concurrency");
    if let Some(done) = counted.and_then(|of| of.maybe("successful")) {
        let mean = done.get("mean")?.number(0.0, MOST)?;
        found.counted = Some(("request_concurrency".to_owned(), mean));
    }
    found.by_token = found.mean(Quantity::Tpot);
    found.requests = requests(place, &metrics)?;
    found.load = load(place)?;
    each(place, &mut found)?;
    Ok(found)
}

/// Requests that were done: beside the metrics (0.3) or within them (0.8).
fn requests(place: &Place, metrics: &Place) -> Result<Option<f64>, Error> {
    let totals = place
        .maybe("request_totals")
        .or_else(|| metrics.maybe("request_totals"));
    match totals {
        Some(totals) => totals.maybe_number("successful", 0.0),
        None => Ok(None),
    }
}

fn load(place: &Place) -> Result<Load, Error> {
    let settings = place.maybe("args").or_else(|| place.maybe("config"));
    let Some(strategy) = settings.and_then(|args| args.maybe("strategy")) else {
        return Ok(Load::Unknown);
    };
    let users = |name: &str| -> Result<Option<Load>, Error> {
        let users = strategy.maybe(name).map(|n| n.number(1.0, 1e9));
        Ok(users.transpose()?.map(|users| Load::Users {
            users: users.round() as u32,
        }))
    };
    Ok(match strategy.text("type_") {
        Some("synchronous") => Load::Users { users: 1 },
        Some("concurrent") => users("streams")?.unwrap_or(Load::Unknown),
        Some("throughput") => users("max_concurrency")?.unwrap_or(Load::AtOnce),
        Some(kind @ ("constant" | "poisson" | "async")) => match strategy.maybe("rate") {
            Some(rate) => Load::Rate {
                per_s: rate.number(LEAST, MOST)?,
                steady: kind != "poisson",
            },
            None => Load::Unknown,
        },
        _ => Load::Unknown,
    })
}

/// Single requests, where the file has all of them: it may keep a sample.
fn each(place: &Place, found: &mut Benchmark) -> Result<(), Error> {
    let Some(done) = place
        .maybe("requests")
        .and_then(|all| all.maybe("successful"))
    else {
        return Ok(());
    };
    let all = done.all("a list of requests")?;
    if all.is_empty() || Some(all.len() as f64) != found.requests {
        return Ok(());
    }
    let begins = all.iter().map(|r| r.get("start_time")?.moment());
    let begins = begins.collect::<Result<Vec<f64>, Error>>()?;
    let first = begins.iter().copied().fold(f64::INFINITY, f64::min);
    for (request, begin) in all.iter().zip(begins) {
        let ttft = request.maybe_number("time_to_first_token_ms", 0.0)?;
        found.each.push(Request {
            sent_s: Some(begin - first),
            prompt: request.maybe_number("prompt_tokens", 0.0)?,
            output: request.get("output_tokens")?.number(0.0, MOST)?,
            ttft_s: ttft.map(|ms| ms / 1e3),
            gaps_s: Vec::new(),
            e2e_s: request.maybe_number("request_latency", 0.0)?,
        });
    }
    found.sent = Sent::Given;
    Ok(())
}
