//! Load levels out of result files of load tests.

use super::points::{Level, Times, check};
use crate::Error;
use crate::results::{Benchmark, Load, Quantity, Statistic};

/// One level for each benchmark, in order of users. A benchmark with an open loop has as many users as requests were in
/// the system by Little's law, at least 1. `name` is for the errors of all levels together.
///
/// Errors: a benchmark without a rate, output tokens/s, or anything that says how many users there were; what
/// [`check`] refuses, as two benchmarks with the same users.
pub fn levels(benchmarks: &[Benchmark], name: &str) -> Result<Vec<Level>, Error> {
    let all = benchmarks.iter().map(level);
    check(all.collect::<Result<Vec<Level>, Error>>()?, name)
}

/// Whether any benchmark has users by Little's law alone.
pub fn has_open_loop(benchmarks: &[Benchmark]) -> bool {
    let closed = |b: &Benchmark| matches!(b.load, Load::Users { .. });
    !benchmarks.iter().all(closed)
}

fn level(benchmark: &Benchmark) -> Result<Level, Error> {
    let (_, rate) = benchmark.need(Quantity::RequestRate)?;
    let users = match benchmark.load {
        Load::Users { users } => users,
        _ => {
            let (_, latency) = benchmark.need(Quantity::E2e)?;
            (rate * latency).round().clamp(1.0, 1e9) as u32
        }
    };
    let requests = benchmark.requests.map(|n| n.round().min(1e9) as u32);
    Ok(Level {
        users,
        tok_s: benchmark.need(Quantity::OutputRate)?.1,
        requests,
        successful: requests,
        duration_s: benchmark.requests.map(|n| n / rate),
        ttft_ms: times(benchmark, Quantity::Ttft),
        latency_ms: times(benchmark, Quantity::E2e),
        tokens_per_request: benchmark.mean(Quantity::Output).map(|(_, tokens)| tokens),
        ..Level::default()
    })
}

fn times(benchmark: &Benchmark, quantity: Quantity) -> Times {
    let ms = |statistic| benchmark.figure(quantity, statistic).map(|f| f.value * 1e3);
    Times {
        avg: ms(Statistic::Mean),
        p50: ms(Statistic::P50),
        p95: ms(Statistic::P95),
        p99: ms(Statistic::P99),
    }
}
