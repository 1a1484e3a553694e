//! The engine against closed forms: throughput of multi-bin batching, waits of M/G/1, M/M/c and of
//! a batch-service queue, throughput of closed loops. Every tolerance is 4 standard errors, estimated
//! from the run itself.

use batchscope::latency::{Latency, Linear};
use batchscope::scenario::{ClosedLoop, Scenario};
use batchscope::sched::{Bins, Boundaries, Policy};
use batchscope::trace::predict::{Kind, Predictor};
use batchscope::trace::synth::{Arrivals, Lengths, Shape, Synthetic};
use batchscope::{Outcome, Trace, simulate};

/// SplitMix64, so that the draws are not the library's.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let m = mean(values);
    values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

/// Prints theory and simulation, and remembers what is more than 4 standard errors off.
struct Sheet(Vec<String>);

impl Sheet {
    fn new(title: &str) -> Sheet {
        println!(
            "\n{title}\n{:<36}{:>12}{:>12}{:>12}{:>8}",
            "", "theory", "simulated", "std error", "z"
        );
        Sheet(Vec::new())
    }

    fn row(&mut self, what: &str, theory: f64, got: f64, error: f64) -> f64 {
        let z = (got - theory) / error;
        println!("{what:<36}{theory:>12.5}{got:>12.5}{error:>12.6}{z:>8.2}");
        z
    }

    fn equal(&mut self, what: &str, theory: f64, got: f64, error: f64) {
        assert!(
            error > 0.0 && error < 0.05 * theory,
            "{what}: too short a run, error {error}"
        );
        let z = self.row(what, theory, got, error);
        if z.abs() > 4.0 {
            self.0.push(format!(
                "{what}: {got} is {z:.1} standard errors from {theory}"
            ));
        }
    }

    fn at_least(&mut self, what: &str, bound: f64, got: f64, error: f64) {
        let z = self.row(what, bound, got, error);
        if z < -4.0 {
            self.0.push(format!(
                "{what}: {got} is {z:.1} standard errors below {bound}"
            ));
        }
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{}", self.0.join("\n"));
        }
    }
}

/// Tokens per second of service in the multi-bin tests.
const SCALE: f64 = 1e5;

/// All requests at once, one GPU that is never idle, service time = the longest member's length.
fn saturated(lengths: &[f64], bins: u32, batch: u32, boundaries: Boundaries) -> Outcome {
    let n = lengths.len();
    let trace = Trace {
        arrival: vec![0.0; n],
        prompt: vec![0; n],
        output: lengths.iter().map(|l| (l * SCALE).round() as u32).collect(),
        ..Trace::default()
    };
    let mut scenario = Scenario {
        predictor: Predictor {
            kind: Kind::Oracle,
            ..Predictor::default()
        },
        ..Scenario::default()
    };
    scenario.fleet.gpus = 1;
    let scheduler = scenario.closed_mut();
    scheduler.policy = Policy::MultiBin;
    scheduler.latency = Latency::Linear(Linear {
        alpha_s: 0.0,
        beta_s_per_token: 1.0 / SCALE,
        gamma: 0.0,
        growth: 0.0,
        floor_s: 1e-9,
    });
    scenario.bins = Bins {
        full_batch: batch,
        count: bins,
        boundaries,
        sample_rows: n as u32,
        sample_size: n as u32,
        last_upper: 4_000_000,
        ..Bins::default()
    };
    let outcome = simulate(&trace, &scenario).unwrap();
    // Saturated: the GPU never paused.
    let utilization = outcome.summary.published().gpu_utilization_mean;
    assert!((utilization - 1.0).abs() < 1e-9, "{utilization}");
    outcome
}

/// Requests per second while full batches are served, and its standard error. A finite trace leaves
/// a rest in each bin, so each bin's mean batch time is weighted with its share of the requests,
/// which is its share of the batches in the long run.
fn throughput(outcome: &Outcome, batch: u32) -> (f64, f64) {
    let b = &outcome.batches;
    let bins = outcome.summary.bins.len();
    let mut times = vec![Vec::new(); bins];
    let mut requests = vec![0.0; bins];
    for i in 0..b.len() {
        let bin = usize::from(b.bin[i]);
        requests[bin] += f64::from(b.size[i]);
        if b.size[i] == batch {
            times[bin].push(b.service[i]);
        }
    }
    let n: f64 = requests.iter().sum();
    let (mut time, mut within, mut second) = (0.0, 0.0, 0.0);
    for (times, requests) in times.iter().zip(&requests) {
        assert!(times.len() >= 20, "{} full batches", times.len());
        let share = requests / n;
        time += share * mean(times);
        second += share * mean(times).powi(2);
        within += share * share * variance(times) / times.len() as f64;
    }
    // The shares are a multinomial draw of n requests.
    let shares = (second - time * time).max(0.0) / n;
    let error = (within + shares).sqrt();
    let got = f64::from(batch) / time;
    (got, got * error / time)
}

#[test]
fn multi_bin_theorem_for_uniform_lengths() {
    let mut sheet = Sheet::new("requests/s of multi-bin batching, lengths U[1, 20] s");
    let (low, high) = (1.0, 20.0);
    for (batch, requests) in [(8u32, 60_000), (128, 200_000)] {
        let mut random = Random(u64::from(batch));
        let lengths: Vec<f64> = (0..requests)
            .map(|_| low + (high - low) * random.uniform())
            .collect();
        let b = f64::from(batch);
        for bins in [1u32, 2, 3, 4, 5, 8, 16, 32] {
            // arXiv 2412.04504, theorem 4.2.
            let middle = (low + high) / 2.0;
            let longest = b / (b + 1.0) * high + 1.0 / (b + 1.0) * low;
            let theory = b / (middle + (longest - middle) / f64::from(bins));
            for boundaries in [Boundaries::EqualMassPredictions, Boundaries::EqualWidth] {
                let (got, error) = throughput(&saturated(&lengths, bins, batch, boundaries), batch);
                let name = format!("B = {batch}, k = {bins}, {boundaries:?}");
                sheet.equal(&name, theory, got, error);
            }
        }
    }
}

#[test]
fn multi_bin_bound_for_exponential_lengths() {
    let mut sheet = Sheet::new("requests/s, exponential lengths, B = 200, against the lower bound");
    let (mean_length, batch) = (10.0, 200u32);
    let mut random = Random(7);
    let lengths: Vec<f64> = (0..400_000)
        .map(|_| -mean_length * (1.0 - random.uniform()).ln() + 1e-5)
        .collect();
    let mut before = 0.0;
    for (bins, bound) in [
        (1u32, 3.402),
        (2, 7.217),
        (3, 9.904),
        (4, 11.746),
        (5, 13.053),
    ] {
        let outcome = saturated(&lengths, bins, batch, Boundaries::ExponentialOptimal);
        let (got, error) = throughput(&outcome, batch);
        sheet.at_least(&format!("k = {bins}"), bound, got, error);
        assert!(got > before, "more bins, less throughput");
        before = got;
        let (mass, mass_error) = throughput(
            &saturated(&lengths, bins, batch, Boundaries::EqualMassPredictions),
            batch,
        );
        // Not the optimum for exponential lengths: the last bin's tail costs too much.
        if bins > 1 {
            assert!(
                got - mass > 4.0 * (error + mass_error),
                "k = {bins}: {got}, equal mass {mass}"
            );
        }
    }
}

/// A FIFO queue with Poisson arrivals.
struct Queue {
    rate: f64,
    output: Lengths,
    batch: u32,
    gpus: u32,
    latency: Linear,
    requests: u32,
}

/// What customers after the warm-up met, in order of arrival, s.
struct Met {
    wait: Vec<f64>,
    sojourn: Vec<f64>,
    size: Vec<f64>,
}

const WARM_UP: usize = 5_000;

impl Queue {
    fn replay(&self, seed: u32) -> Met {
        let synthetic = Synthetic {
            requests: self.requests,
            shape: Shape::Custom {
                arrivals: Arrivals::Poisson { rate: self.rate },
                prompt: Lengths::Fixed { tokens: 1 },
                output: self.output.clone(),
                failed_share: 0.0,
            },
        };
        let trace = synthetic.generate(seed).unwrap();
        let mut scenario = Scenario::default();
        scenario.closed_mut().policy = Policy::StaticFifo;
        scenario.closed_mut().static_batch = self.batch;
        scenario.fleet.gpus = self.gpus;
        scenario.closed_mut().latency = Latency::Linear(self.latency);
        let outcome = simulate(&trace, &scenario).unwrap();
        let n = trace.len();
        let mut met = Met {
            wait: vec![0.0; n],
            sojourn: vec![0.0; n],
            size: vec![0.0; n],
        };
        let b = &outcome.batches;
        for i in 0..b.len() {
            for &row in outcome.requests.members(b, i) {
                let row = row as usize;
                let arrival = outcome.requests.arrivals(&trace).of(row);
                met.wait[row] = b.start[i] - arrival;
                met.sojourn[row] = b.end(i) - arrival;
                met.size[row] = f64::from(b.size[i]);
            }
        }
        for column in [&mut met.wait, &mut met.sojourn, &mut met.size] {
            column.drain(..WARM_UP);
        }
        met
    }
}

/// Mean and its standard error, from the means of 50 blocks: neighbours depend on each other.
fn batch_means(values: &[f64]) -> (f64, f64) {
    let blocks: Vec<f64> = values.chunks_exact(values.len() / 50).map(mean).collect();
    (
        mean(&blocks),
        (variance(&blocks) / blocks.len() as f64).sqrt(),
    )
}

/// Service time of a token, s.
const TOKEN: Linear = Linear {
    alpha_s: 0.0,
    beta_s_per_token: 1e-3,
    gamma: 0.0,
    growth: 0.0,
    floor_s: 1e-9,
};

#[test]
fn waits_of_one_server_are_pollaczek_khinchines() {
    let mut sheet = Sheet::new("mean wait (s) of M/G/1");
    for rate in [0.3, 0.7, 0.85] {
        // (seconds, probability)
        let fixed: &[(f64, f64)] = &[(1.0, 1.0)];
        let two: &[(f64, f64)] = &[(0.2, 0.8), (4.2, 0.2)];
        for times in [fixed, two] {
            let output = Lengths::Empirical {
                values: times.iter().map(|(t, _)| (t * 1e3) as u32 - 1).collect(),
                weights: times.iter().map(|(_, p)| *p).collect(),
            };
            let queue = Queue {
                rate,
                output,
                batch: 1,
                gpus: 1,
                latency: TOKEN,
                requests: 405_000,
            };
            let first: f64 = times.iter().map(|(t, p)| t * p).sum();
            let second: f64 = times.iter().map(|(t, p)| t * t * p).sum();
            let theory = rate * second / (2.0 * (1.0 - rate * first));
            let (got, error) = batch_means(&queue.replay(11).wait);
            sheet.equal(&format!("load {rate}, times {times:?}"), theory, got, error);
        }
    }
}

#[test]
fn waits_of_many_servers_are_erlangs() {
    let mut sheet = Sheet::new("mean wait (s) and share that waits, M/M/c");
    for (servers, rate) in [(1u32, 0.7), (4, 3.2), (16, 14.0)] {
        let queue = Queue {
            rate,
            // Exponential with mean 1 s; the generator's limit of 1e6 tokens is 20 means.
            output: Lengths::Gamma {
                mean: 50_000.0,
                cv: 1.0,
            },
            batch: 1,
            gpus: servers,
            latency: Linear {
                beta_s_per_token: 2e-5,
                ..TOKEN
            },
            requests: 405_000,
        };
        let c = f64::from(servers);
        // Erlang B by its recursion, then C.
        let blocked = (1..=servers).fold(1.0, |b, i| rate * b / (f64::from(i) + rate * b));
        let waits = blocked / (1.0 - rate / c * (1.0 - blocked));
        let met = queue.replay(12);
        let (got, error) = batch_means(&met.wait);
        sheet.equal(
            &format!("{servers} servers, wait"),
            waits / (c - rate),
            got,
            error,
        );
        let waited: Vec<f64> = met
            .wait
            .iter()
            .map(|&w| f64::from(u8::from(w > 0.0)))
            .collect();
        let (got, error) = batch_means(&waited);
        sheet.equal(
            &format!("{servers} servers, share that waits"),
            waits,
            got,
            error,
        );
    }
}

/// Mean wait, sojourn and batch size (over batches) of the queue whose server takes all who wait,
/// from the chain B' = max(1, Poisson(rate s(B))) of successive batch sizes (arXiv 1912.06322).
fn all_who_wait(rate: f64, service: impl Fn(f64) -> f64) -> (f64, f64, f64) {
    const STATES: usize = 400;
    let rows: Vec<Vec<f64>> = (1..=STATES)
        .map(|b| {
            let arrivals = rate * service(b as f64);
            let mut p = (-arrivals).exp();
            let mut row = vec![0.0; STATES];
            for n in 0..=STATES {
                row[n.max(1) - 1] += p;
                p *= arrivals / (n + 1) as f64;
            }
            row
        })
        .collect();
    let mut share = vec![1.0 / STATES as f64; STATES];
    for _ in 0..2_000 {
        let mut next = vec![0.0; STATES];
        for (p, row) in share.iter().zip(&rows) {
            for (next, q) in next.iter_mut().zip(row) {
                *next += p * q;
            }
        }
        let sum: f64 = next.iter().sum();
        next.iter_mut().for_each(|p| *p /= sum);
        let change: f64 = next.iter().zip(&share).map(|(a, b)| (a - b).abs()).sum();
        share = next;
        if change < 1e-14 {
            break;
        }
    }
    let expect = |f: &dyn Fn(f64) -> f64| -> f64 {
        share
            .iter()
            .enumerate()
            .map(|(i, p)| p * f((i + 1) as f64))
            .sum()
    };
    let size = expect(&|b| b);
    // Those who arrive during a service of length s wait s / 2 on average.
    let wait = expect(&|b| rate * service(b).powi(2) / 2.0) / size;
    let sojourn = wait + expect(&|b| b * service(b)) / size;
    (wait, sojourn, size)
}

#[test]
fn batch_service_queue() {
    // The solver itself, on the figures of the paper's linear service times.
    for (rate, slope, base, exact) in [(0.5, 1.0, 1.0, 4.417), (3.0, 0.2, 3.0, 11.656)] {
        let (_, sojourn, _) = all_who_wait(rate, |b| slope * b + base);
        assert!((sojourn - exact).abs() < 5e-4, "{sojourn} {exact}");
    }
    let mut sheet = Sheet::new("queue whose server takes all who wait");
    for (rate, gamma, growth) in [
        (0.5, 0.0, 0.0),
        (0.5, 2.0, 0.0),
        (4.0, 0.0, 0.0),
        (4.0, 2.0, 0.0),
        (40.0, 0.3, 0.0),
        (4.0, 0.3, 0.1),
    ] {
        let latency = Linear {
            alpha_s: 0.2,
            gamma,
            growth,
            ..TOKEN
        };
        let queue = Queue {
            rate,
            output: Lengths::Fixed { tokens: 999 },
            batch: 4096,
            gpus: 1,
            latency,
            requests: 205_000,
        };
        let (wait, sojourn, _) = all_who_wait(rate, |b| {
            0.2 + 1.0 * (1.0 + gamma * (b - 1.0) / b + growth * (b - 1.0))
        });
        let met = queue.replay(13);
        let name = format!("rate {rate}, gamma {gamma}, growth {growth}");
        let (got, error) = batch_means(&met.wait);
        sheet.equal(&format!("{name}, wait (s)"), wait, got, error);
        let (got, error) = batch_means(&met.sojourn);
        sheet.equal(&format!("{name}, sojourn (s)"), sojourn, got, error);
    }
}

/// Users on a FIFO fleet that serves one request at a time.
fn users(trace: &Trace, gpus: u32, closed_loop: ClosedLoop) -> Outcome {
    let mut scenario = Scenario::default();
    scenario.closed_mut().policy = Policy::StaticFifo;
    scenario.closed_mut().static_batch = 1;
    scenario.fleet.gpus = gpus;
    scenario.closed_mut().latency = Latency::Linear(TOKEN);
    scenario.workload.closed_loop = Some(closed_loop);
    simulate(trace, &scenario).unwrap()
}

/// Requests of so many tokens; arrival times that a closed loop must not look at.
fn bodies(tokens: impl Iterator<Item = u32>) -> Trace {
    let output: Vec<u32> = tokens.collect();
    Trace {
        arrival: (0..output.len()).map(|i| 1e6 + i as f64).collect(),
        prompt: vec![0; output.len()],
        output,
        ..Trace::default()
    }
}

#[test]
fn one_user_without_a_pause_is_served_in_sequence() {
    let mut random = Random(21);
    let trace = bodies((0..5).map(|_| 1 + (random.uniform() * 500.0) as u32));
    for gpus in [1, 4] {
        let outcome = users(
            &trace,
            gpus,
            ClosedLoop {
                users: 1,
                requests_per_user: 5,
                think_min_s: 0.0,
                think_max_s: 0.0,
            },
        );
        let mut end = 0.0;
        for (i, &output) in trace.output.iter().enumerate() {
            assert_eq!(outcome.batches.start[i], end, "request {i}");
            assert_eq!(outcome.requests.arrivals(&trace).of(i), end, "request {i}");
            end += f64::from(output) * TOKEN.beta_s_per_token;
        }
        assert_eq!(outcome.summary.published().makespan_s, end);
        assert_eq!(outcome.summary.honest.queueing_s.unwrap().max, 0.0);
        let inside = outcome.summary.honest.mean_in_system;
        assert!((inside - 1.0).abs() < 1e-12, "{inside}");
    }
}

#[test]
fn users_who_never_wait_send_once_a_cycle() {
    // R = 0.25 s and Z = 0.75 s are sums of powers of two: every time is exact.
    let (n, each) = (7u32, 40u32);
    let trace = bodies((0..n * each).map(|_| 250));
    let latency = Latency::Linear(Linear {
        beta_s_per_token: 1.0 / 1024.0,
        ..TOKEN
    });
    let mut scenario = Scenario::default();
    scenario.closed_mut().latency = latency;
    scenario.closed_mut().policy = Policy::StaticFifo;
    scenario.closed_mut().static_batch = 1;
    scenario.fleet.gpus = n;
    scenario.workload.closed_loop = Some(ClosedLoop {
        users: n,
        requests_per_user: each,
        think_min_s: 0.75,
        think_max_s: 0.75,
    });
    let (service, think) = (250.0 / 1024.0, 0.75);
    let outcome = simulate(&trace, &scenario).unwrap();
    let cycle = service + think;
    let b = &outcome.batches;
    for i in 0..b.len() {
        // Every user sends at the beginning of every cycle, so cycle k has the requests of all.
        assert_eq!(b.start[i], (i as u32 / n) as f64 * cycle, "batch {i}");
    }
    // X = N / (R + Z) over full cycles: the last one lacks its pause.
    let makespan = outcome.summary.published().makespan_s;
    assert_eq!(makespan, f64::from(each) * cycle - think);
    let x = f64::from(n * each) / (makespan + think);
    assert!((x - f64::from(n) / cycle).abs() < 1e-12, "{x}");
    // Little's law, with R = E2E: N = X (R + Z).
    let e2e = outcome.summary.honest.e2e_s.unwrap().mean;
    assert!((x * (e2e + think) - f64::from(n)).abs() < 1e-9);
}

#[test]
fn users_who_share_servers_are_the_machine_repairmans() {
    let mut sheet = Sheet::new("requests/s of N users, exponential service of 1 s, c servers");
    let mut random = Random(22);
    for (n, servers, (least, most)) in [
        (1u32, 1u32, (1.0, 3.0)),
        (5, 1, (2.0, 6.0)),
        (12, 1, (0.0, 10.0)),
        (12, 4, (0.5, 2.0)),
        (40, 16, (2.0, 2.0)),
    ] {
        let each = 400_000 / n;
        let trace = bodies((0..n * each).map(|_| {
            let time = -(1.0 - random.uniform()).ln();
            (time / TOKEN.beta_s_per_token).round() as u32 + 1
        }));
        let outcome = users(
            &trace,
            servers,
            ClosedLoop {
                users: n,
                requests_per_user: each,
                think_min_s: least,
                think_max_s: most,
            },
        );
        // Product form (BCMP): of the think time only the mean matters. p(k), k users at the
        // servers, by birth and death; times in mean services.
        let service = trace.output.iter().map(|&t| f64::from(t)).sum::<f64>() / trace.len() as f64
            * TOKEN.beta_s_per_token;
        let think = (least + most) / 2.0;
        let busy = |k: u32| f64::from(k.min(servers));
        let mut weight = vec![1.0];
        for k in 1..=n {
            let before = weight[k as usize - 1];
            weight.push(before * f64::from(n - k + 1) * service / (think * busy(k)));
        }
        let sum: f64 = weight.iter().sum();
        let mean_busy = (0..=n).zip(&weight).map(|(k, w)| busy(k) * w / sum);
        let theory = mean_busy.sum::<f64>() / service;
        // Ends in order, without the beginning and the end, where not all users are at it.
        let b = &outcome.batches;
        let mut ends: Vec<f64> = (0..b.len()).map(|i| b.end(i)).collect();
        ends.sort_by(f64::total_cmp);
        let ends = &ends[ends.len() / 10..ends.len() * 8 / 10];
        let gaps: Vec<f64> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (gap, error) = batch_means(&gaps);
        let name = format!("N = {n}, c = {servers}, Z in [{least}, {most}]");
        sheet.equal(&name, theory, 1.0 / gap, error / gap / gap);
        // The asymptotic bounds of operational analysis, at the measured mean service.
        let bound = (f64::from(n) / (service + think)).min(f64::from(servers) / service);
        assert!(theory < bound * 1.000_001, "{name}: {theory} above {bound}");
    }
}
