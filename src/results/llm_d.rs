//! A collection of llm-d-benchmark: a list of benchmarks with means, some medians, and 0 for what was not measured.

use super::place::{LEAST, MOST, Place};
use super::{Benchmark, Format, Load, Quantity, Statistic};
use crate::Error;

pub(super) fn read(root: &Place) -> Result<Vec<Benchmark>, Error> {
    let all = root.all("a list of benchmarks")?;
    let named = all.iter().enumerate();
    named
        .map(|(i, place)| one(place, &format!("benchmark {}", i + 1)))
        .collect()
}

fn one(place: &Place, name: &str) -> Result<Benchmark, Error> {
    let mut found = Benchmark::new(Format::LlmD, place, name);
    let (metrics, workload) = (place.get("metrics")?, place.get("workload")?);
    let mean = Statistic::Mean;
    for (block, quantity, field, unit) in [
        (&metrics, Quantity::RequestRate, "request_rate", 1.0),
        (&metrics, Quantity::Ttft, "ttft_ms", 1e-3),
        (&metrics, Quantity::Tpot, "tpot_ms", 1e-3),
        (&metrics, Quantity::Itl, "itl_ms", 1e-3),
        (&metrics, Quantity::E2e, "e2e_latency", 1e-3),
        (&workload, Quantity::Prompt, "input_tokens", 1.0),
        (&workload, Quantity::Output, "output_tokens", 1.0),
    ] {
        let path = if quantity == Quantity::Prompt || quantity == Quantity::Output {
            format!("workload.{field}")
        } else {
            format!("metrics.{field}")
        };
        if let Some(value) = measured(block, field)? {
            found.put(quantity, mean, &path, value * unit);
        }
    }
    for (quantity, field) in [(Quantity::Ttft, "ttft"), (Quantity::E2e, "latency")] {
        let Some(of) = metrics.maybe(field).filter(|of| of.value.is_object()) else {
            continue;
        };
        for (statistic, which) in [
            (Statistic::P50, "p50"),
            (Statistic::P90, "p90"),
            (Statistic::P95, "p95"),
            (Statistic::P99, "p99"),
        ] {
            if let Some(ms) = measured(&of, which)? {
                let path = format!("metrics.{field}.{which}");
                found.put(quantity, statistic, &path, ms / 1e3);
            }
        }
    }
    rates(&metrics, &mut found)?;
    if let Some(users) = workload.maybe("concurrency") {
        let users = users.number(1.0, 1e9)?;
        let field = "workload.concurrency".to_owned();
        found.most.push((field, users));
        found.load = Load::Users {
            users: users.round() as u32,
        };
    } else if let Some(per_s) = workload.maybe_number("target_qps", LEAST)? {
        found.load = Load::Rate {
            per_s,
            steady: false,
        };
    }
    Ok(found)
}

/// A number, `None` where it is 0 or missing.
fn measured(place: &Place, name: &str) -> Result<Option<f64>, Error> {
    let value = place.maybe_number(name, 0.0)?;
    Ok(value.filter(|&value| value > 0.0))
}

/// `throughput` is of prompts and outputs together.
fn rates(metrics: &Place, found: &mut Benchmark) -> Result<(), Error> {
    let Some(all) = measured(metrics, "throughput")? else {
        return Ok(());
    };
    let [prompt, output] = [Quantity::Prompt, Quantity::Output].map(|q| found.mean(q));
    if let (Some((_, prompt)), Some((_, output))) = (prompt, output)
        && all <= MOST
    {
        let share = output / (prompt + output);
        let field = "metrics.throughput x output_tokens / (input_tokens + output_tokens)";
        found.put(Quantity::OutputRate, Statistic::Mean, field, all * share);
    }
    Ok(())
}
