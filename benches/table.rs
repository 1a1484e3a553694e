//! The native part of the bench table (`cargo xtask bench`): ratios to a floor measured in the same
//! run, because absolute times on a shared machine mean nothing alone.
//!
//! `cargo bench --bench table -- [--json FILE]`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use batchscope::latency::Linear;
use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::hardware::Card;
use batchscope::scenario::{Scenario, Source, put_on_hardware};
use batchscope::sched::Policy;
use batchscope::sim::Run;
use batchscope::trace::synth::{Arrivals, Lengths, Shape, Synthetic};
use batchscope::{Trace, simulate};
use serde_json::{Value, json};

/// Counts what is allocated, so that "memory beyond the trace" is a measurement.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grew(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may live while the content moves.
        grew(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Wall time of one run, s.
fn once<T>(mut work: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

/// Least wall time of `repeats` runs after one that warms up, s: on a shared machine disturbance
/// only ever adds, so the least is the most repeatable.
fn least_s<T>(repeats: usize, mut work: impl FnMut() -> T) -> f64 {
    once(&mut work);
    (0..repeats)
        .map(|_| once(&mut work))
        .fold(f64::INFINITY, f64::min)
}

/// One pass over arrivals and services of one FIFO server, and the standard library's selection of
/// the 95th and 99th percentile of the latencies: what any simulator of this must do at least.
fn floor(arrivals: &[f64], services: &[f64], latencies: &mut [f64]) -> (f64, f64) {
    let mut free = 0.0f64;
    for ((latency, &arrival), &service) in latencies.iter_mut().zip(arrivals).zip(services) {
        free = free.max(arrival) + service;
        *latency = free - arrival;
    }
    let mut select = |share: f64| {
        let rank = (latencies.len() as f64 * share) as usize;
        *latencies.select_nth_unstable_by(rank, f64::total_cmp).1
    };
    (select(0.95), select(0.99))
}

fn synthetic(requests: u32) -> Trace {
    let trace = Synthetic {
        requests,
        shape: Shape::BurstgptLike,
    };
    trace.generate(42).expect("the shape is in range")
}

/// A stationary Poisson stream: 10 K and 10 M requests of it differ in nothing but their number.
fn stationary(requests: u32) -> Trace {
    let json = format!(
        r#"{{"trace": {{"synthetic": {{"requests": {requests}, "shape": {{"custom": {{
            "arrivals": {{"poisson": {{"rate": 0.27}}}},
            "prompt": {{"lognormal": {{"median": 250, "sigma": 1.2}}}},
            "output": {{"lognormal": {{"median": 34, "sigma": 1.5}}}}}}}}}}}}}}"#
    );
    let scenario = Scenario::from_json(&json, "bench").expect("the scenario above is in range");
    match scenario.trace {
        Source::Synthetic(synthetic) => synthetic.generate(42).expect("and so is its trace"),
        Source::File { .. } => unreachable!("the scenario above is synthetic"),
    }
}

fn scenario(policy: Policy, gpus: u32, time_scale: f64) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.closed_mut().policy = policy;
    scenario.bins.count = 8;
    scenario.fleet.gpus = gpus;
    // The published studies compress time by 200.
    scenario.workload.time_scale = time_scale;
    scenario
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let json_file = arguments
        .iter()
        .position(|a| a == "--json")
        .and_then(|i| arguments.get(i + 1));

    let trace = synthetic(1_000_000);
    // The floor serves the same requests one by one, at the same compressed arrivals.
    let arrivals: Vec<f64> = trace.arrival.iter().map(|t| t / 200.0).collect();
    let services: Vec<f64> = trace
        .prompt
        .iter()
        .zip(&trace.output)
        .map(|(&prompt, &output)| Linear::default().service_s(1, prompt + output))
        .collect();
    let mut latencies = vec![0.0; trace.len()];
    let mut rows = Vec::new();

    let runs = [
        (
            "mbd_native",
            "multi-bin-dynamic, K = 8, 32 GPUs, 1 M requests, all metrics, native",
            scenario(Policy::MultiBinDynamic, 32, 200.0),
        ),
        (
            "static_native",
            "static-fifo, 1 GPU, 1 M requests, overloaded, native",
            scenario(Policy::StaticFifo, 1, 200.0),
        ),
        (
            "dynamic_native",
            "dynamic, 1 GPU, 1 M requests, overloaded, native",
            scenario(Policy::Dynamic, 1, 200.0),
        ),
    ];
    // In turns, so that a slow minute of the machine is everybody's.
    let mut floor_s = f64::INFINITY;
    let mut run_s = [f64::INFINITY; 3];
    for _ in 0..15 {
        floor_s = floor_s.min(once(|| floor(&arrivals, &services, &mut latencies)));
        for (least, (_, _, scenario)) in run_s.iter_mut().zip(&runs) {
            *least = least.min(once(|| simulate(&trace, scenario).map(|o| o.summary)));
        }
    }
    rows.push(json!({
        "id": "floor",
        "what": "floor: 1 M requests through one FIFO server, selection of P95 and P99",
        "measured": 1.0, "unit": "floor", "absolute": ms(floor_s), "seconds": floor_s,
    }));
    for ((id, what, _), seconds) in runs.into_iter().zip(run_s) {
        rows.push(json!({
            "id": id, "what": what, "measured": seconds / floor_s, "unit": "floors", "bar": 8.0,
            "sense": "<=", "absolute": ms(seconds), "seconds": seconds,
        }));
    }

    LIVE.store(0, Ordering::Relaxed);
    PEAK.store(0, Ordering::Relaxed);
    let outcome = simulate(&trace, &scenario(Policy::MultiBinDynamic, 32, 200.0));
    let peak = PEAK.load(Ordering::Relaxed) as f64 / trace.len() as f64;
    drop(black_box(outcome));
    rows.push(json!({
        "id": "memory", "what": "memory beyond the trace, multi-bin-dynamic, at its peak",
        "measured": peak, "unit": "bytes a request", "bar": 64.0, "sense": "<=",
    }));
    drop(trace);

    let per_request = |requests: u32, repeats: usize| {
        let trace = stationary(requests);
        let scenario = scenario(Policy::MultiBinDynamic, 32, 200.0);
        least_s(repeats, || simulate(&trace, &scenario).map(|o| o.summary)) / f64::from(requests)
    };
    let small = per_request(10_000, 201);
    let large = per_request(10_000_000, 2);
    rows.push(json!({
        "id": "scaling", "what": "time per request, 10 K to 10 M requests",
        "measured": large / small, "unit": "x", "bar": 1.5, "sense": "<=",
        "absolute": format!("{:.0} ns to {:.0} ns", small * 1e9, large * 1e9),
    }));

    continuous(&mut rows);

    let text = serde_json::to_string_pretty(&rows).expect("plain data");
    match json_file {
        Some(path) => std::fs::write(path, text).expect("the bench file can be written"),
        None => println!("{text}"),
    }
}

/// Poisson arrivals at 20/s, log-normal lengths with these means and a sigma of 1.
fn lognormal(requests: u32, prompt: f64, output: f64) -> Trace {
    // The mean of a log-normal is its median times exp(sigma^2/2).
    let median = |mean: f64| mean / 0.5f64.exp();
    let synthetic = Synthetic {
        requests,
        shape: Shape::Custom {
            arrivals: Arrivals::Poisson { rate: 20.0 },
            prompt: Lengths::Lognormal {
                median: median(prompt),
                sigma: 1.0,
            },
            output: Lengths::Lognormal {
                median: median(output),
                sigma: 1.0,
            },
            failed_share: 0.0,
        },
    };
    synthetic.generate(42).expect("the shape is in range")
}

/// Llama-3.1-8B on H100s, as vLLM serves it.
fn on_h100(gpus: u32) -> Scenario {
    let mut scenario = Scenario::continuous();
    scenario.fleet.gpus = gpus;
    let model = Architecture::preset("llama-3.1-8b").expect("a preset");
    let card = Card::preset("h100").expect("a preset");
    put_on_hardware(&mut scenario, &model, Precision::F16, &card, 1, 0.9).unwrap();
    scenario
}

/// The rows of continuous batching.
fn continuous(rows: &mut Vec<Value>) {
    let seconds = |id: &str, what: &str, measured: f64, bar: f64| {
        json!({
            "id": id, "what": what, "measured": measured, "unit": "s", "bar": bar, "sense": "<=",
            "seconds": measured,
        })
    };
    let trace = lognormal(100_000, 695.0, 240.0);
    let peers = on_h100(1);
    rows.push(seconds(
        "continuous_peers",
        "continuous batching, the peers' workload (20/s, 695 in, 240 out, 1 replica), 100 K requests, native",
        least_s(5, || simulate(&trace, &peers).map(|o| o.summary)),
        0.2,
    ));
    drop(trace);

    let trace = synthetic(1_000_000);
    let mut fleet = on_h100(16);
    fleet.workload.time_scale = 200.0;
    rows.push(seconds(
        "continuous_fleet",
        "continuous batching, burstgpt-like at 200 times its speed, 16 replicas, 1 M requests, native",
        least_s(2, || simulate(&trace, &fleet).map(|o| o.summary)),
        1.5,
    ));
    LIVE.store(0, Ordering::Relaxed);
    PEAK.store(0, Ordering::Relaxed);
    let outcome = simulate(&trace, &fleet);
    let peak = PEAK.load(Ordering::Relaxed) as f64 / trace.len() as f64;
    drop(black_box(outcome));
    rows.push(json!({
        "id": "continuous_memory", "what": "memory beyond the trace, the same run, at its peak",
        "measured": peak, "unit": "bytes a request", "bar": 160.0, "sense": "<=",
    }));
    drop(trace);

    let trace = lognormal(100_000, 695.0, 1000.0);
    rows.push(seconds(
        "continuous_saturated",
        "continuous batching, saturated, outputs of 1,000 tokens, 1 replica, 100 K requests, native",
        least_s(3, || simulate(&trace, &peers).map(|o| o.summary)),
        0.5,
    ));
    drop(trace);

    // Few seats and long outputs: what the closed form is for.
    let trace = lognormal(20_000, 695.0, 4000.0);
    let mut seats = on_h100(1);
    if let Some(server) = seats.server_mut() {
        server.max_sequences = 16;
    }
    let every_step = || {
        let mut run = Run::new(&trace, &seats).expect("the scenario is in range");
        run.step_by_step();
        while !run.advance(&trace, u64::MAX) {}
        run.finish()
    };
    let jumps = || {
        let mut run = Run::new(&trace, &seats).expect("the scenario is in range");
        while !run.advance(&trace, u64::MAX) {}
        run.finish()
    };
    let (slow, quick) = (least_s(2, every_step), least_s(5, jumps));
    rows.push(json!({
        "id": "continuous_closed_form",
        "what": "every step by itself against the closed form, saturated, 16 seats, outputs of 4,000 tokens",
        "measured": slow / quick, "unit": "x", "bar": 10.0, "sense": ">=",
        "absolute": format!("{} and {}", ms(slow), ms(quick)),
    }));
    drop(trace);

    let per_request = |requests: u32, repeats: usize| {
        let trace = lognormal(requests, 695.0, 240.0);
        least_s(repeats, || simulate(&trace, &peers).map(|o| o.summary)) / f64::from(requests)
    };
    let (small, large) = (per_request(10_000, 41), per_request(3_000_000, 1));
    rows.push(json!({
        "id": "continuous_scaling", "what": "continuous batching, time per request, 10 K to 3 M requests",
        "measured": large / small, "unit": "x", "bar": 1.5, "sense": "<=",
        "absolute": format!("{:.0} ns to {:.0} ns", small * 1e9, large * 1e9),
    }));
}

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}
