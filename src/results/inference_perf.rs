//! inference-perf: the metrics of a stage, or of all stages together. Its `time_per_output_token` and
//! `inter_token_latency` are of messages, which may bring less than a token.

use super::place::{LEAST, MOST, Place};
use super::{Benchmark, Format, Load, Quantity, Statistic};
use crate::Error;

const TIMES: [(Quantity, &str); 3] = [
    (Quantity::Ttft, "time_to_first_token"),
    (Quantity::Itl, "inter_token_latency"),
    (Quantity::E2e, "request_latency"),
];

const STATISTICS: [(Statistic, &str); 4] = [
    (Statistic::P50, "median"),
    (Statistic::P90, "p90"),
    (Statistic::P95, "p95"),
    (Statistic::P99, "p99"),
];

pub(super) fn read(root: &Place) -> Result<Benchmark, Error> {
    let done = root.get("successes")?;
    let summary = root.get("load_summary")?;
    let mut found = Benchmark::new(Format::InferencePerf, &done, "the stage");
    let latency = done.get("latency")?;
    for (quantity, name) in TIMES {
        let Some(of) = latency.maybe(name) else {
            continue;
        };
        let mean = of.get("mean")?.number(0.0, MOST)?;
        let field = format!("latency.{name}");
        found.put(quantity, Statistic::Mean, &field, mean);
        for (statistic, which) in STATISTICS {
            if let Some(value) = of.maybe_number(which, 0.0)? {
                found.put(quantity, statistic, &format!("{field}.{which}"), value);
            }
        }
    }
    if let Some(rates) = done.maybe("throughput") {
        for (quantity, name) in [
            (Quantity::RequestRate, "requests_per_sec"),
            (Quantity::OutputRate, "output_tokens_per_sec"),
        ] {
            if let Some(value) = rates.maybe_number(name, 0.0)? {
                found.put(
                    quantity,
                    Statistic::Mean,
                    &format!("throughput.{name}"),
                    value,
                );
            }
        }
    }
    for (quantity, name) in [
        (Quantity::Prompt, "prompt_len"),
        (Quantity::Output, "output_len"),
    ] {
        if let Some(of) = done.maybe(name) {
            let mean = of.get("mean")?.number(0.0, MOST)?;
            found.put(quantity, Statistic::Mean, name, mean);
        }
    }
    found.requests = done.maybe_number("count", 0.0)?;
    // A stage has a rate; all stages together have several.
    if let Some(per_s) = summary.maybe_number("requested_rate", LEAST)? {
        found.load = Load::Rate {
            per_s,
            steady: false,
        };
    } else {
        found.what = "all stages".to_owned();
    }
    Ok(found)
}
