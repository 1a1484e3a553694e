//! llmperf: a summary, several by number of users, or single responses. Its `inter_token_latency_s` has the time to the
//! first token in it and is not read.

use serde_json::Value;

use super::place::{LEAST, MOST, Place};
use super::{Benchmark, Format, Load, Quantity, Request, Statistic};
use crate::Error;

const TIMES: [(Quantity, &str); 2] = [
    (Quantity::Ttft, "ttft_s"),
    (Quantity::E2e, "end_to_end_latency_s"),
];

const STATISTICS: [(Statistic, &str); 5] = [
    (Statistic::Mean, "mean"),
    (Statistic::P50, "quantiles_p50"),
    (Statistic::P90, "quantiles_p90"),
    (Statistic::P95, "quantiles_p95"),
    (Statistic::P99, "quantiles_p99"),
];

pub(super) fn is_summary(value: &Value) -> bool {
    ["results_ttft_s_mean", "num_concurrent_requests"]
        .iter()
        .all(|name| value.get(name).is_some())
}

/// One summary, or an object of them by number of users.
pub(super) fn read(root: &Place) -> Result<Vec<Benchmark>, Error> {
    if is_summary(root.value) {
        return Ok(vec![one(root, "the benchmark")?]);
    }
    let names = root
        .value
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys());
    let all = names.map(|name| one(&root.get(name)?, &format!("benchmark {name}")));
    let mut all = all.collect::<Result<Vec<Benchmark>, Error>>()?;
    all.sort_by_key(|benchmark| match benchmark.load {
        Load::Users { users } => users,
        _ => 0,
    });
    Ok(all)
}

fn one(place: &Place, name: &str) -> Result<Benchmark, Error> {
    let mut found = Benchmark::new(Format::Llmperf, place, name);
    for (quantity, name) in TIMES {
        for (statistic, which) in STATISTICS {
            let field = format!("results_{name}_{which}");
            found.take(place, &field, (quantity, statistic), 1.0)?;
        }
    }
    for (quantity, field, unit) in [
        (
            Quantity::RequestRate,
            "results_num_completed_requests_per_min",
            1.0 / 60.0,
        ),
        (
            Quantity::OutputRate,
            "results_mean_output_throughput_token_per_s",
            1.0,
        ),
        (Quantity::Prompt, "results_number_input_tokens_mean", 1.0),
        (Quantity::Output, "results_number_output_tokens_mean", 1.0),
    ] {
        found.take(place, field, (quantity, Statistic::Mean), unit)?;
    }
    found.requests = place.maybe_number("results_num_completed_requests", 0.0)?;
    let users = place.get("num_concurrent_requests")?.number(1.0, 1e9)?;
    found.load = Load::Users {
        users: users.round() as u32,
    };
    let allowed = ("num_concurrent_requests".to_owned(), users);
    found.most.push(allowed);
    Ok(found)
}

/// Single responses: lengths and times, without when they were sent.
pub(super) fn read_responses(root: &Place) -> Result<Benchmark, Error> {
    let mut found = Benchmark::new(Format::LlmperfResponses, root, "the responses");
    for place in root.all("a list of responses")? {
        if place.maybe("error_code").is_some() {
            continue;
        }
        let need = |name: &str, low: f64| place.get(name)?.number(low, MOST);
        found.each.push(Request {
            sent_s: None,
            prompt: place.maybe_number("number_input_tokens", 0.0)?,
            output: need("number_output_tokens", 0.0)?,
            ttft_s: Some(need("ttft_s", LEAST)?),
            gaps_s: Vec::new(),
            e2e_s: Some(need("end_to_end_latency_s", LEAST)?),
        });
    }
    if found.each.is_empty() {
        let name = "number_output_tokens";
        return Err(root
            .origin
            .refuse(name, "no response that was done", "at least one"));
    }
    let n = found.each.len() as f64;
    found.requests = Some(n);
    let output: f64 = found.each.iter().map(|r| r.output).sum();
    found.put(
        Quantity::Output,
        Statistic::Mean,
        "number_output_tokens",
        output / n,
    );
    if let Some(prompts) = found.each.iter().map(|r| r.prompt).sum::<Option<f64>>() {
        found.put(
            Quantity::Prompt,
            Statistic::Mean,
            "number_input_tokens",
            prompts / n,
        );
    }
    Ok(found)
}
