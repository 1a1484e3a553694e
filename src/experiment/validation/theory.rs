//! Queues that have an exact answer, simulated.

use crate::interval::{self, Range};
use crate::latency::StepLatency;
use crate::latency::step::Step;
use crate::latency::{Latency, Linear};
use crate::metrics::Summary;
use crate::scenario::{Engine, Fleet, Scenario, Source};
use crate::sched::continuous::kv::Capacity;
use crate::sched::continuous::router::Router;
use crate::sched::continuous::{Server, Warmup};
use crate::sched::{Closed, Policy};
use crate::trace::synth::{Arrivals, Lengths, Shape, Synthetic};
use crate::{Error, Trace, simulate};

/// A queue and what theory says of it.
pub struct Case {
    pub queue: &'static str,
    /// What is compared, with its unit.
    pub quantity: &'static str,
    pub source: &'static str,
    theory: Theory,
    scenario: Scenario,
    of: fn(&Summary) -> Option<f64>,
    /// The interval is at least so wide to each side, in proportion.
    least_half: f64,
}

/// What theory says.
enum Theory {
    /// In the long run.
    Value(f64),
    /// Of these very requests, which are served on the scenario's fleet.
    OfRequests(fn(&Trace, &Scenario) -> f64),
}

/// A case simulated with several seeds.
pub struct Checked {
    pub queue: &'static str,
    pub quantity: &'static str,
    pub source: &'static str,
    pub theory: f64,
    pub simulated: f64,
    /// 95 % interval of the mean over the seeds.
    pub low: f64,
    pub high: f64,
}

impl Checked {
    /// Distance from theory in half widths of the interval.
    pub fn half_widths(&self) -> f64 {
        (self.simulated - self.theory).abs() / ((self.high - self.low) / 2.0)
    }
}

/// Seeds of each case.
pub const SEEDS: u32 = 12;
/// Requests of each run.
const REQUESTS: u32 = 60_000;

impl Case {
    /// Simulates the case.
    pub fn check(&self) -> Result<Checked, Error> {
        let (mut values, mut theory) = (Vec::new(), Vec::new());
        for seed in 1..=SEEDS {
            let scenario = Scenario {
                seed,
                ..self.scenario.clone()
            };
            let Source::Synthetic(synthetic) = &scenario.trace else {
                continue;
            };
            let trace = synthetic.generate(seed)?;
            values.extend((self.of)(&simulate(&trace, &scenario)?.summary));
            theory.push(match self.theory {
                Theory::Value(value) => value,
                Theory::OfRequests(of) => of(&trace, &scenario),
            });
        }
        let mean = interval::mean(&values);
        let half = interval::of_mean(&values, Range::Any).map_or(0.0, |[_, high]| high - mean);
        // Where nothing is random but the first arrivals, the beginning and the end of the run are what differs.
        let half = half.max(self.least_half * mean);
        Ok(Checked {
            queue: self.queue,
            quantity: self.quantity,
            source: self.source,
            theory: interval::mean(&theory),
            simulated: mean,
            low: mean - half,
            high: mean + half,
        })
    }
}

/// Poisson arrivals, prompts of one token, outputs as given.
fn requests(rate: f64, output: Lengths) -> Source {
    Source::Synthetic(Synthetic {
        requests: REQUESTS,
        shape: Shape::Custom {
            arrivals: Arrivals::Poisson { rate },
            prompt: Lengths::Fixed { tokens: 1 },
            output,
            failed_share: 0.0,
        },
    })
}

/// One replica without a limit of memory, whose steps cost what is given: for each step, for each
/// sequence that decodes, for each prompt token.
fn replica(source: Source, seats: u32, step_s: f64, sequence_s: f64, prompt_s: f64) -> Scenario {
    let mut scenario = Scenario {
        trace: source,
        ..Scenario::default()
    };
    let mut server = Server {
        max_sequences: seats,
        max_batched_tokens: 4096,
        warmup: Warmup::Share(0.1),
        latency: StepLatency::Linear(Step {
            c0_s: step_s,
            c1_s_per_sequence: sequence_s,
            c2_s_per_context_token: 0.0,
            c3_s_per_prefill_token: prompt_s,
            c4_s_per_prefill_pair: 0.0,
            compute: None,
        }),
        ..Server::default()
    };
    server.kv.capacity = Capacity::Unlimited;
    scenario.engine = Engine::Continuous(Box::new(server));
    scenario.fleet.gpus = 1;
    scenario
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let queueing: fn(&Summary) -> Option<f64> = |s| s.honest.queueing_s.map(|d| d.mean);
    let latency: fn(&Summary) -> Option<f64> = |s| s.honest.e2e_s.map(|d| d.mean);
    let mut cases = Vec::new();

    // M/D/1: ten steps of 10 ms each, one at a time.
    for load in [0.5, 0.8] {
        let service = 0.1;
        cases.push(Case {
            queue: if load == 0.5 {
                "M/D/1, load 0.5"
            } else {
                "M/D/1, load 0.8"
            },
            quantity: "mean wait, s",
            source: "Pollaczek-Khinchine",
            theory: Theory::Value(load * service / (2.0 * (1.0 - load))),
            scenario: replica(
                requests(load / service, Lengths::Fixed { tokens: 10 }),
                1,
                0.01,
                0.0,
                0.0,
            ),
            of: queueing,
            least_half: 0.0,
        });
    }
    // M/G/1: as many steps as tokens, 1 to 199 of them.
    let (mean, second) = (100.0 * 0.01, 13_300.0 * 0.0001);
    let uniform = Lengths::Uniform { min: 1, max: 199 };
    let rate = 0.7 / mean;
    cases.push(Case {
        queue: "M/G/1, outputs uniform 1 to 199, load 0.7",
        quantity: "mean wait, s",
        source: "Pollaczek-Khinchine",
        theory: Theory::Value(rate * second / (2.0 * (1.0 - 0.7))),
        scenario: replica(requests(rate, uniform.clone()), 1, 0.01, 0.0, 0.0),
        of: queueing,
        least_half: 0.0,
    });
    // M/G/infinity: everybody has a seat; a request waits for the end of the step during which it came,
    // half a step on average.
    cases.push(Case {
        queue: "M/G/infinity, outputs uniform 1 to 199",
        quantity: "mean requests in the system",
        source: "Little's law with E[S] and half a step",
        theory: Theory::Value(50.0 * (mean + 0.005)),
        scenario: replica(requests(50.0, uniform.clone()), 4096, 0.01, 0.0, 0.0),
        of: |s| {
            s.honest
                .e2e_s
                .zip(s.honest.offered_requests_per_s)
                .map(|(e, r)| e.mean * r)
        },
        least_half: 0.0,
    });
    // All that wait in one batch that takes alpha n + tau: outputs of one token are done with their
    // prompts.
    for (queue, rate, alpha, tau, theory) in [
        (
            "batch service, lambda 0.5, alpha 1, tau 1",
            0.5,
            1.0,
            1.0,
            4.417,
        ),
        (
            "batch service, lambda 3, alpha 0.2, tau 3",
            3.0,
            0.2,
            3.0,
            11.656,
        ),
    ] {
        cases.push(Case {
            queue,
            quantity: "mean latency, s",
            source: "Inoue, arXiv 1912.06322: chain of batch sizes",
            theory: Theory::Value(exact_batch_latency(rate, alpha, tau).unwrap_or(theory)),
            scenario: replica(
                requests(rate, Lengths::Fixed { tokens: 1 }),
                4096,
                tau,
                0.0,
                alpha,
            ),
            of: latency,
            least_half: 0.0,
        });
    }
    // Saturated decoding: all there from the beginning, 32 seats, a step of 5 ms and 0.2 ms a sequence.
    let mut saturated = replica(
        requests(1e5, Lengths::Fixed { tokens: 500 }),
        32,
        0.005,
        0.0002,
        0.0,
    );
    if let Source::Synthetic(synthetic) = &mut saturated.trace {
        synthetic.requests = 6400;
    }
    cases.push(Case {
        queue: "saturated decoding, 32 seats",
        quantity: "output tokens/s",
        source: "n/(a + b n), and one prompt step in 500",
        // Of 500 steps one processes the prompts of all and decodes nobody.
        theory: Theory::Value(32.0 * 500.0 / (499.0 * (0.005 + 0.0002 * 32.0) + 0.005)),
        scenario: saturated,
        of: |s| Some(s.honest.requests as f64 * 500.0 / s.honest.makespan_s / 0.9),
        least_half: 1e-3,
    });
    // Closed batches of one on c GPUs with one queue.
    for (queue, servers) in [("M/M/4, load 0.8", 4u32), ("M/M/16, load 0.9", 16)] {
        let load = if servers == 4 { 0.8 } else { 0.9 };
        let service = 1.0;
        let rate = load * f64::from(servers) / service;
        let output = Lengths::Gamma {
            mean: 20_000.0,
            cv: 1.0,
        };
        let scenario = one_at_a_time(requests(rate, output), servers, service / 20_001.0);
        cases.push(Case {
            queue,
            quantity: "mean wait, s",
            source: "Erlang C",
            theory: Theory::Value(
                erlang_c(servers, load * f64::from(servers)) * service
                    / (f64::from(servers) * (1.0 - load)),
            ),
            scenario,
            of: queueing,
            least_half: 0.0,
        });
    }
    // Any lengths: the same requests by the recursion of Kiefer and Wolfowitz.
    for (queue, servers, load) in [
        ("G/G/2, log-normal outputs, load 0.8", 2u32, 0.8),
        ("G/G/4, log-normal outputs, load 0.8", 4, 0.8),
        ("G/G/16, log-normal outputs, load 0.9", 16, 0.9),
    ] {
        let output = Lengths::Lognormal {
            median: 5_000.0,
            sigma: 1.2,
        };
        // Its mean is exp(sigma^2/2) times the median, and a second of service.
        let token_s = 1.0 / (5_000.0 * libm::exp(0.72));
        cases.push(Case {
            queue,
            quantity: "mean wait, s",
            source: "Kiefer and Wolfowitz's recursion over the same requests",
            theory: Theory::OfRequests(mean_wait),
            scenario: one_at_a_time(
                requests(load * f64::from(servers), output),
                servers,
                token_s,
            ),
            of: queueing,
            least_half: 1e-9,
        });
    }
    // Replicas that a request is sent to by chance are M/G/1 queues of their own.
    let mut spread = replica(requests(4.0 * rate, uniform), 1, 0.01, 0.0, 0.0);
    spread.fleet.gpus = 4;
    if let Some(server) = spread.server_mut() {
        server.router = Router::Random;
    }
    cases.push(Case {
        queue: "4 replicas, router random, each M/G/1 at load 0.7",
        quantity: "mean wait, s",
        source: "Pollaczek-Khinchine",
        theory: Theory::Value(rate * second / (2.0 * (1.0 - 0.7))),
        scenario: spread,
        of: queueing,
        least_half: 0.0,
    });
    cases
}

/// Closed batches of one request, from one queue: a G/G/c queue whose service takes so long a token.
fn one_at_a_time(source: Source, servers: u32, token_s: f64) -> Scenario {
    Scenario {
        trace: source,
        engine: Engine::Closed(Box::new(Closed {
            policy: Policy::StaticFifo,
            static_batch: 1,
            latency: Latency::Linear(Linear {
                alpha_s: 0.0,
                beta_s_per_token: token_s,
                gamma: 0.0,
                growth: 0.0,
                floor_s: 1e-9,
            }),
            ..Closed::default()
        })),
        fleet: Fleet { gpus: servers },
        ..Scenario::default()
    }
}

/// Mean wait of the requests of [`one_at_a_time`], s.
fn mean_wait(trace: &Trace, scenario: &Scenario) -> f64 {
    let waits = waits(trace, scenario);
    waits.iter().sum::<f64>() / waits.len() as f64
}

/// The wait of each request in a queue in order of arrival for several servers (Kiefer and Wolfowitz
/// 1955): the servers' unfinished work, ascending, when a request comes; it waits for the least.
fn waits(trace: &Trace, scenario: &Scenario) -> Vec<f64> {
    let linear = scenario.closed().and_then(|closed| closed.latency.linear());
    let s_per_token = linear.map_or(0.0, |linear| linear.beta_s_per_token);
    let mut work = vec![0.0; scenario.fleet.gpus as usize];
    let mut last = 0.0;
    let mut waits = Vec::with_capacity(trace.len());
    for (i, &arrival) in trace.arrival.iter().enumerate() {
        for left in &mut work {
            *left = f64::max(*left - (arrival - last), 0.0);
        }
        last = arrival;
        waits.push(work[0]);
        let tokens = f64::from(trace.prompt[i]) + f64::from(trace.output[i]);
        work[0] += s_per_token * tokens;
        work.sort_by(f64::total_cmp);
    }
    waits
}

/// Chance that a request waits with `servers` and `offered` erlangs.
fn erlang_c(servers: u32, offered: f64) -> f64 {
    // Erlang B by its recursion.
    let mut blocked = 1.0;
    for n in 1..=servers {
        blocked = offered * blocked / (f64::from(n) + offered * blocked);
    }
    let busy = offered / f64::from(servers);
    blocked / (1.0 - busy * (1.0 - blocked))
}

/// Mean latency where all that wait are one batch of `alpha n + tau` seconds: batch sizes are the chain
/// `B' = max(1, Poisson(rate (alpha B + tau)))`, and `E[W] = (E[rate s^2]/2 + E[B s])/E[B]`. `None` where the
/// chain has too many states to be solved.
fn exact_batch_latency(rate: f64, alpha: f64, tau: f64) -> Option<f64> {
    const MOST: usize = 400;
    let time = |b: usize| alpha * b as f64 + tau;
    if rate * alpha >= 0.9 {
        return None;
    }
    let mut share = vec![0.0; MOST + 1];
    share[1] = 1.0;
    for _ in 0..2000 {
        let mut next = vec![0.0; MOST + 1];
        for (b, &p) in share.iter().enumerate().skip(1) {
            if p < 1e-300 {
                continue;
            }
            let mean = rate * time(b);
            let mut poisson = libm::exp(-mean);
            for n in 0..=MOST {
                next[n.max(1)] += p * poisson;
                poisson *= mean / (n + 1) as f64;
            }
        }
        let moved: f64 = next.iter().zip(&share).map(|(a, b)| (a - b).abs()).sum();
        share = next;
        if moved < 1e-14 {
            break;
        }
    }
    let expected = |of: &dyn Fn(usize) -> f64| -> f64 {
        share
            .iter()
            .enumerate()
            .skip(1)
            .map(|(b, p)| p * of(b))
            .sum()
    };
    let squares = expected(&|b| rate * time(b) * time(b));
    let own = expected(&|b| b as f64 * time(b));
    Some((squares / 2.0 + own) / expected(&|b| b as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theory_by_hand() {
        // Two servers, one erlang: C = 1/3.
        assert!((erlang_c(2, 1.0) - 1.0 / 3.0).abs() < 1e-12);
        // Inoue's published values.
        assert!((exact_batch_latency(0.5, 1.0, 1.0).unwrap() - 4.417).abs() < 5e-4);
        assert!((exact_batch_latency(3.0, 0.2, 3.0).unwrap() - 11.656).abs() < 5e-4);
    }

    #[test]
    fn each_request_waits_as_the_recursion_has_it() {
        let lengths = Lengths::Lognormal {
            median: 500.0,
            sigma: 1.5,
        };
        for servers in [1, 2, 3, 16] {
            let source = requests(0.9 * f64::from(servers), lengths.clone());
            let scenario = one_at_a_time(source, servers, 1.0 / 1540.0);
            let Source::Synthetic(synthetic) = &scenario.trace else {
                panic!("{:?}", scenario.trace);
            };
            let trace = synthetic.generate(7).unwrap();
            let outcome = simulate(&trace, &scenario).unwrap();
            let waits = waits(&trace, &scenario);
            assert!(waits.iter().any(|&wait| wait > 5.0));
            for (i, &row) in outcome.requests.order.iter().enumerate() {
                let (row, start) = (row as usize, outcome.batches.start[i]);
                let arrival = trace.arrival[row] - trace.arrival[0];
                assert!(
                    (start - arrival - waits[row]).abs() < 1e-9 * (1.0 + start),
                    "{servers} servers, request {row}"
                );
            }
        }
    }

    #[test]
    fn the_simulator_agrees_with_theory() {
        for case in cases() {
            let checked = case.check().unwrap();
            // 2.2 half widths of a 95 % interval of 12 values: one case in 7000 lies outside.
            assert!(
                checked.half_widths() < 2.2,
                "{} {}: theory {}, simulated {} ({} to {})",
                checked.queue,
                checked.quantity,
                checked.theory,
                checked.simulated,
                checked.low,
                checked.high
            );
        }
    }
}
