//! What must hold of every run, whatever the trace, the policy and its parameters.

use std::collections::BTreeMap;

use batchscope::latency::Latency;
use batchscope::metrics::{figures, rows};
use batchscope::scenario::{ClosedLoop, Scenario, Ties};
use batchscope::sched::{Boundaries, Policy};
use batchscope::sim::Run;
use batchscope::trace::Failed;
use batchscope::trace::predict::Kind;
use batchscope::trace::synth::Synthetic;
use batchscope::{Error, Outcome, Trace, simulate};
use proptest::prelude::*;

use crate::support::arbitrary;

const KINDS: &[Kind] = &[Kind::Oracle, Kind::Published, Kind::PromptOnly, Kind::Noisy];

/// Scenarios with either order of ties, some with users and, among noisy predictors, with errors of bins.
fn scenario() -> impl Strategy<Value = Scenario> {
    let users = prop_oneof![3 => Just(None), 1 => arbitrary::closed_loop().prop_map(Some)];
    (
        arbitrary::scenario(KINDS),
        prop::sample::select(vec![
            Ties::Fixed,
            Ties::PublishedHeap,
            Ties::PublishedHeapAscending,
        ]),
        users,
        0.0..0.5f64,
    )
        .prop_map(|(mut scenario, ties, users, bin_error)| {
            scenario.workload.ties = ties;
            if let Some(users) = users {
                scenario.workload = arbitrary::by_users(scenario.workload, users);
            }
            scenario.predictor.bin_error = bin_error;
            scenario
        })
}

/// `None` where window and failures leave nothing to replay, or nothing to give a rate.
fn run(trace: &Trace, scenario: &Scenario) -> Option<Outcome> {
    match simulate(trace, scenario) {
        Ok(outcome) => Some(outcome),
        Err(Error::EmptyTrace { .. } | Error::Contradiction { .. }) => None,
        Err(error) => panic!("a scenario in range is refused: {error}"),
    }
}

/// A request as the columns tell of it.
struct Served {
    row: usize,
    batch: usize,
    arrival: f64,
    start: f64,
    end: f64,
}

fn served(trace: &Trace, outcome: &Outcome) -> Vec<Served> {
    let b = &outcome.batches;
    (0..b.len())
        .flat_map(|i| {
            outcome
                .requests
                .members(b, i)
                .iter()
                .map(move |&row| Served {
                    row: row as usize,
                    batch: i,
                    arrival: outcome.requests.arrivals(trace).of(row as usize),
                    start: b.start[i],
                    end: b.start[i] + b.service[i],
                })
        })
        .collect()
}

/// A table written as CSV, by column name; empty cells are `None`.
fn columns(text: &str) -> BTreeMap<String, Vec<Option<f64>>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut table = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), names.len(), "{line}");
        for (name, cell) in names.iter().zip(cells) {
            let value = (!cell.is_empty()).then(|| cell.parse::<f64>().unwrap());
            table
                .entry((*name).to_owned())
                .or_insert_with(Vec::new)
                .push(value);
        }
    }
    table
}

fn requests_csv(trace: &Trace, outcome: &Outcome) -> BTreeMap<String, Vec<Option<f64>>> {
    let mut text = Vec::new();
    rows::requests_csv(trace, outcome, &mut text).unwrap();
    columns(std::str::from_utf8(&text).unwrap())
}

/// Times GPU by GPU in which it serves nothing, from 0 to infinity.
fn idle_times(outcome: &Outcome) -> Vec<(f64, f64)> {
    let b = &outcome.batches;
    let gpus = outcome.summary.scenario.fleet.gpus as usize;
    let mut since = vec![0.0; gpus];
    let mut idle = Vec::new();
    for i in 0..b.len() {
        let gpu = usize::from(b.gpu[i]);
        idle.push((since[gpu], b.start[i]));
        since[gpu] = b.end(i);
    }
    idle.extend(since.into_iter().map(|from| (from, f64::INFINITY)));
    idle
}

fn near(got: f64, want: f64, scale: f64) -> bool {
    (got - want).abs() <= 1e-9 * scale.abs().max(want.abs())
}

fn by_sorting(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() - 1) as f64 * q;
    let t = place.fract();
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    if t < 0.5 {
        below + (above - below) * t
    } else {
        above - (above - below) * (1.0 - t)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_replayed_request_is_in_exactly_one_batch(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
    ) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let w = &outcome.summary.workload;
        let first = outcome.requests.first_row as usize;
        let taken = w.rows_taken as usize;
        let replayed: Vec<usize> = (first..first + taken)
            .filter(|&row| scenario.workload.failed == Failed::Keep || trace.output[row] > 0)
            .collect();
        let mut got: Vec<usize> = served(&trace, &outcome).iter().map(|r| r.row).collect();
        got.sort_unstable();
        prop_assert_eq!(&got, &replayed);
        prop_assert_eq!(w.rows_replayed as usize, replayed.len());
        prop_assert_eq!(outcome.requests.order.len(), replayed.len());
        prop_assert!(outcome.batches.size.iter().all(|&size| size > 0));
    }

    #[test]
    fn the_clock_never_goes_back_and_no_gpu_serves_two_batches(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
    ) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let b = &outcome.batches;
        prop_assert!(b.start.is_sorted());
        let mut free_at = vec![0.0; scenario.fleet.gpus as usize];
        for i in 0..b.len() {
            let gpu = usize::from(b.gpu[i]);
            prop_assert!(b.start[i] >= free_at[gpu], "batch {} overlaps", i);
            prop_assert!(b.service[i] > 0.0);
            free_at[gpu] = b.end(i);
        }
        for request in served(&trace, &outcome) {
            prop_assert!(request.start >= request.arrival, "row {} before it came", request.row);
        }
    }

    #[test]
    fn a_bin_is_first_in_first_out_and_no_batch_is_too_large(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
    ) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let b = &outcome.batches;
        let mut last: BTreeMap<u8, (f64, usize)> = BTreeMap::new();
        let mut rows: Vec<u32> = outcome.requests.order.clone();
        rows.sort_unstable();
        for request in served(&trace, &outcome) {
            // Ties of the published heap come in the heap's order, not the rows'; users at one
            // moment by their number.
            let tie = match (scenario.workload.closed_loop, scenario.workload.ties) {
                (Some(users), _) => {
                    rows.partition_point(|&row| (row as usize) < request.row) % users.users as usize
                }
                (None, Ties::Fixed) => request.row,
                (None, _) => 0,
            };
            let now = (request.arrival, tie);
            let before = last.insert(b.bin[request.batch], now);
            prop_assert!(before.is_none_or(|before| before <= now), "row {}", request.row);
        }
        let scheduler = scenario.closed().unwrap();
        let largest = match scheduler.policy {
            Policy::StaticFifo => scheduler.static_batch,
            Policy::MultiBin => scenario.bins.full_batch,
            Policy::Dynamic | Policy::MultiBinDynamic => scheduler.max_batch,
        };
        for i in 0..b.len() {
            prop_assert!(b.size[i] <= largest);
            let members = outcome.requests.members(b, i).iter();
            let tokens: u64 = members
                .map(|&row| u64::from(trace.prompt[row as usize]) + u64::from(trace.output[row as usize]))
                .sum();
            let looks_at_memory = matches!(scheduler.policy, Policy::Dynamic | Policy::MultiBinDynamic);
            if looks_at_memory && b.size[i] > 1 {
                prop_assert!(!scenario.memory().exceeds_limit(tokens), "batch {} of {} tokens", i, tokens);
            }
        }
    }

    #[test]
    fn no_gpu_idles_while_a_request_waits(
        trace in arbitrary::trace(1..=200),
        mut scenario in scenario(),
        policy in prop::sample::select(vec![
            Policy::StaticFifo, Policy::Dynamic, Policy::MultiBinDynamic,
        ]),
    ) {
        scenario.closed_mut().policy = policy;
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let idle = idle_times(&outcome);
        for request in served(&trace, &outcome) {
            for &(from, to) in &idle {
                prop_assert!(
                    from.max(request.arrival) >= to.min(request.start),
                    "row {} waits from {} to {}, a GPU idles from {} to {}",
                    request.row, request.arrival, request.start, from, to
                );
            }
        }
    }

    #[test]
    fn users_send_one_after_another_and_think_in_between(
        trace in arbitrary::trace(1..=200),
        mut scenario in scenario(),
        closed_loop in arbitrary::closed_loop(),
    ) {
        scenario.workload = arbitrary::by_users(scenario.workload, closed_loop);
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let mut requests = served(&trace, &outcome);
        requests.sort_by_key(|r| r.row);
        prop_assert_eq!(requests.len() as u64, closed_loop.requests());
        let users = closed_loop.users as usize;
        // Row by row, so that number u + i N is the i-th of user u.
        for (number, request) in requests.iter().enumerate() {
            if number < users {
                prop_assert_eq!(request.arrival, 0.0);
                continue;
            }
            let answer = requests[number - users].end;
            let (low, high) = (answer + closed_loop.think_min_s, answer + closed_loop.think_max_s);
            prop_assert!(
                (low..=high).contains(&request.arrival),
                "row {} arrives at {}, not in {} to {}", request.row, request.arrival, low, high
            );
        }
        // Nobody has two requests at a time, so no more than N are in the system, nor on average.
        prop_assert!(outcome.summary.honest.mean_in_system <= users as f64 * (1.0 + 1e-12));
        let report = &outcome.summary.workload;
        let last = requests.iter().map(|r| r.arrival).fold(0.0, f64::max);
        prop_assert_eq!(report.span_s, last);
        prop_assert_eq!(report.offered_requests_per_s, None);
        prop_assert_eq!(outcome.summary.honest.offered_tokens_per_s, None);
    }

    #[test]
    fn a_think_time_belongs_to_its_user_and_request(
        users in 1..20u32,
        each in 1..6u32,
        more_users in 0..20u32,
        gpus in 1..5u32,
        seed in any::<u32>(),
    ) {
        // All lengths alike, so that only event order and number of users differ.
        let think = |users: u32, gpus: u32| -> Vec<Vec<f64>> {
            let count = (users * each) as usize;
            let trace = Trace {
                arrival: vec![0.0; count],
                prompt: vec![100; count],
                output: vec![50; count],
                ..Trace::default()
            };
            let mut scenario = Scenario { seed, ..Scenario::default() };
            scenario.fleet.gpus = gpus;
            scenario.workload.closed_loop = Some(ClosedLoop {
                users,
                requests_per_user: each,
                think_min_s: 0.5,
                think_max_s: 2.0,
            });
            let outcome = simulate(&trace, &scenario).unwrap();
            let mut requests = served(&trace, &outcome);
            requests.sort_by_key(|r| r.row);
            let n = users as usize;
            (0..n)
                .map(|u| {
                    (1..each as usize)
                        .map(|i| requests[u + i * n].arrival - requests[u + (i - 1) * n].end)
                        .collect()
                })
                .collect()
        };
        let few = think(users, gpus);
        let many = think(users + more_users, 1);
        for (few, many) in few.iter().zip(&many) {
            for (few, many) in few.iter().zip(many) {
                prop_assert!((few - many).abs() < 1e-9, "{} {}", few, many);
            }
        }
    }

    #[test]
    fn waiting_over_time_is_the_mean_queue_of_a_closed_loop(
        trace in arbitrary::trace(1..=200),
        mut scenario in scenario(),
        closed_loop in arbitrary::closed_loop(),
        buckets in 1..50usize,
    ) {
        scenario.workload = arbitrary::by_users(scenario.workload, closed_loop);
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let series = figures::series(&trace, &outcome, buckets);
        let requests = served(&trace, &outcome);
        let waited: f64 = requests.iter().map(|r| r.start - r.arrival).sum();
        let makespan = outcome.summary.published().makespan_s;
        let area = series.waiting_mean.iter().sum::<f64>() * makespan / buckets as f64;
        prop_assert!(near(area, waited, makespan), "{} {}", area, waited);
        prop_assert!(series.waiting_max.iter().all(|&most| most <= f64::from(closed_loop.users)));
        let cells = requests_csv(&trace, &outcome);
        let mut by_row = requests;
        by_row.sort_by_key(|r| r.row);
        for (i, request) in by_row.iter().enumerate() {
            prop_assert_eq!(cells["arrival_s"][i], Some(request.arrival));
            prop_assert_eq!(cells["latency_s"][i], Some(request.end - request.arrival));
        }
    }

    #[test]
    fn littles_law(trace in arbitrary::trace(1..=200), scenario in scenario()) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        // The area between the arrivals' and the departures' curves.
        let mut events: Vec<(f64, f64)> = served(&trace, &outcome)
            .iter()
            .flat_map(|r| [(r.arrival, 1.0), (r.end, -1.0)])
            .collect();
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut area, mut inside, mut at) = (0.0, 0.0, 0.0);
        for (time, change) in events {
            area += inside * (time - at);
            inside += change;
            at = time;
        }
        prop_assert_eq!(inside, 0.0);
        prop_assert_eq!(at, outcome.summary.published().makespan_s);
        let got = outcome.summary.honest.mean_in_system;
        prop_assert!(near(got, area / at, area / at), "{} {}", got, area / at);
    }

    #[test]
    fn one_bin_is_no_bins(trace in arbitrary::trace(1..=200), mut scenario in scenario()) {
        scenario.bins.count = 1;
        scenario.bins.boundaries = Boundaries::EqualMassPredictions;
        // Without bins there is no cap.
        scenario.bins.batch_caps = false;
        scenario.closed_mut().policy = Policy::MultiBinDynamic;
        let binned = run(&trace, &scenario);
        scenario.closed_mut().policy = Policy::Dynamic;
        let plain = run(&trace, &scenario);
        prop_assert_eq!(binned.is_some(), plain.is_some());
        let (Some(binned), Some(plain)) = (binned, plain) else { return Ok(()) };
        prop_assert_eq!(&binned.batches, &plain.batches);
        prop_assert_eq!(&binned.requests.order, &plain.requests.order);
        prop_assert_eq!(&binned.summary.published, &plain.summary.published);
        prop_assert_eq!(binned.summary.honest.ttft_s, plain.summary.honest.ttft_s);
    }

    #[test]
    fn the_same_bytes_twice_and_in_slices(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
        slices in prop::collection::vec(1..40u64, 1..20),
    ) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let digests = outcome.digests();
        prop_assert_eq!(&simulate(&trace, &scenario).unwrap().digests(), &digests);
        let mut sliced = Run::new(&trace, &scenario).unwrap();
        let mut progress = sliced.progress();
        for &events in slices.iter().cycle() {
            let over = sliced.advance(&trace, events);
            let now = sliced.progress();
            prop_assert!((progress..=1.0).contains(&now), "{} after {}", now, progress);
            progress = now;
            if over {
                break;
            }
        }
        prop_assert_eq!(progress, 1.0);
        prop_assert_eq!(&Outcome::of(&trace, sliced.finish()).digests(), &digests);
    }

    #[test]
    fn a_slower_clock_scales_every_time(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
        // A power of two scales exactly: every comparison and every rounding stays as it was.
        factor in prop::sample::select(vec![0.25, 0.5, 2.0, 8.0]),
    ) {
        let mut slow_trace = trace.clone();
        slow_trace.arrival.iter_mut().for_each(|t| *t *= factor);
        let mut slow = scenario.clone();
        let Latency::Linear(linear) = &mut slow.closed_mut().latency else {
            panic!("another latency");
        };
        linear.alpha_s *= factor;
        linear.beta_s_per_token *= factor;
        linear.floor_s *= factor;
        let w = &mut slow.workload;
        for t in [&mut w.window_start_s, &mut w.window_end_s].into_iter().flatten() {
            *t *= factor;
        }
        if let Some(rate) = &mut w.rate_per_s {
            *rate /= factor;
        }
        if let Some(users) = &mut w.closed_loop {
            users.think_min_s *= factor;
            users.think_max_s *= factor;
        }
        slow.sla.token_ms *= factor;
        slow.sla.request_s *= factor;
        slow.sla.ttft_s = slow.sla.ttft_s.map(|s| s * factor);
        let controller = &mut slow.closed_mut().controller;
        controller.epsilon_s *= factor;
        if let Some(target) = &mut controller.target_s {
            *target *= factor;
        }
        let (before, after) = (run(&trace, &scenario), run(&slow_trace, &slow));
        prop_assert_eq!(before.is_some(), after.is_some());
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        prop_assert_eq!(&before.requests.order, &after.requests.order);
        prop_assert_eq!(&before.batches.size, &after.batches.size);
        prop_assert_eq!(&before.batches.gpu, &after.batches.gpu);
        let scaled = |times: &[f64]| times.iter().map(|t| t * factor).collect::<Vec<_>>();
        prop_assert_eq!(scaled(&before.batches.start), after.batches.start);
        prop_assert_eq!(scaled(&before.batches.service), after.batches.service);
        let (b, a) = (before.summary.published(), after.summary.published());
        prop_assert_eq!(b.token_violations, a.token_violations);
        prop_assert_eq!(b.request_violations, a.request_violations);
        prop_assert_eq!(
            scaled(&[b.makespan_s, b.p50_latency_s, b.p99_latency_s, b.max_tbt_ms]),
            [a.makespan_s, a.p50_latency_s, a.p99_latency_s, a.max_tbt_ms]
        );
        prop_assert_eq!(b.gpu_utilization_mean, a.gpu_utilization_mean);
        prop_assert_eq!(before.summary.honest.sla, after.summary.honest.sla);
        prop_assert_eq!(
            before.summary.honest.padding_waste,
            after.summary.honest.padding_waste
        );
    }

    #[test]
    fn the_rows_add_up_to_the_figures(trace in arbitrary::trace(1..=200), scenario in scenario()) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let table = requests_csv(&trace, &outcome);
        let value = |name: &str, i: usize| table[name][i];
        let n = table["request"].len();
        prop_assert_eq!(n, outcome.requests.order.len());
        let sla = &scenario.sla;
        let (mut good, mut token, mut request, mut first, mut all) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut ttfts = Vec::new();
        for i in 0..n {
            let latency = value("latency_s", i).unwrap();
            let queueing = value("queueing_s", i).unwrap();
            let (start, end) = (value("start_s", i).unwrap(), value("end_s", i).unwrap());
            prop_assert!(near(end - start, latency - queueing, end));
            let row = value("request", i).unwrap() as usize - 1;
            let output = f64::from(trace.output[row]);
            prop_assert_eq!(value("output_tokens", i), Some(output));
            prop_assert_eq!(value("failed", i), Some(f64::from(u8::from(output == 0.0))));
            let (ttft, tpot) = (value("ttft_s", i), value("tpot_ms", i));
            prop_assert_eq!(ttft.is_some(), output > 0.0);
            prop_assert_eq!(tpot.is_some(), output > 1.0);
            let Some(ttft) = ttft else { continue };
            ttfts.push(ttft);
            prop_assert!(queueing <= ttft && ttft <= latency, "{} {} {}", queueing, ttft, latency);
            let decode = tpot.unwrap_or(0.0) / 1e3 * (output - 1.0);
            if output > 1.0 {
                prop_assert!(near(ttft + decode, latency, latency), "{} {}", ttft + decode, latency);
            }
            let (t, r) = (tpot.is_none_or(|ms| ms <= sla.token_ms), latency <= sla.request_s);
            good += 1.0;
            token += f64::from(u8::from(t));
            request += f64::from(u8::from(r));
            let f = sla.ttft_s.is_none_or(|most| ttft <= most);
            first += f64::from(u8::from(f));
            all += f64::from(u8::from(t && r && f));
        }
        let share = |met: f64| (good > 0.0).then(|| met / good);
        let got = outcome.summary.honest.sla;
        prop_assert_eq!(got.token, share(token));
        prop_assert_eq!(got.request, share(request));
        prop_assert_eq!(got.ttft, sla.ttft_s.and(share(first)));
        prop_assert_eq!(got.joint, share(all));
        prop_assert_eq!(outcome.summary.honest.requests as f64, good);
        if good > 0.0 {
            let got = outcome.summary.honest.ttft_s.unwrap();
            prop_assert_eq!(got.p95, by_sorting(&ttfts, 0.95));
        }

        let mut text = Vec::new();
        rows::batches_csv(&outcome, &mut text).unwrap();
        let batches = columns(std::str::from_utf8(&text).unwrap());
        prop_assert_eq!(batches["size"].iter().flatten().sum::<f64>(), n as f64);
        prop_assert_eq!(batches["batch"].len() as u64, outcome.summary.published().batches);
    }

    #[test]
    fn the_curves_hold_the_same_areas(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
        buckets in 1..120usize,
    ) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let series = figures::series(&trace, &outcome, buckets);
        let makespan = outcome.summary.published().makespan_s;
        let width = makespan / buckets as f64;
        prop_assert_eq!(series.t_s.len(), buckets);
        let served = served(&trace, &outcome);
        let queueing: f64 = served.iter().map(|r| r.start - r.arrival).sum();
        let scale = makespan * served.len() as f64;
        let area = series.waiting_mean.iter().sum::<f64>() * width;
        prop_assert!(near(area, queueing, scale), "waiting {} {}", area, queueing);
        let busy: f64 = outcome.batches.service.iter().sum();
        let area = series.busy_gpus.iter().sum::<f64>() * width;
        prop_assert!(near(area, busy, scale), "busy {} {}", area, busy);
        for i in 0..buckets {
            let from = i as f64 * width;
            let to = if i + 1 == buckets { f64::INFINITY } else { from + width };
            // Edges are a rounding apart; a start that close to one may fall on either side.
            let eps = 1e-9 * makespan;
            let clear = outcome.batches.start.iter().all(|s| (s - from).abs() > eps && (s - to).abs() > eps);
            let inside: Vec<f64> = (0..outcome.batches.len())
                .filter(|&b| (from..to).contains(&outcome.batches.start[b]))
                .map(|b| f64::from(outcome.batches.size[b]))
                .collect();
            if clear && !inside.is_empty() {
                let mean = inside.iter().sum::<f64>() / inside.len() as f64;
                prop_assert_eq!(series.batch_mean[i], mean);
                prop_assert_eq!(series.batch_max[i], inside.iter().copied().fold(0.0, f64::max));
            } else if clear {
                prop_assert!(series.batch_mean[i].is_nan() && series.batch_max[i].is_nan());
            }
            prop_assert!(series.waiting_max[i] >= series.waiting_mean[i] - 1e-9);
        }
        // Whoever waits at the fullest moment arrived by then and starts after it.
        let waiting_at = |t: f64| {
            served.iter().filter(|r| r.arrival <= t && r.start > t).count() as f64
        };
        let peak = series.waiting_max.iter().copied().fold(0.0, f64::max);
        for request in &served {
            prop_assert!(waiting_at(request.arrival) <= peak);
        }
    }

    #[test]
    fn points_of_the_latency_distribution_are_exact(
        trace in arbitrary::trace(1..=200),
        scenario in scenario(),
        points in 2..300usize,
    ) {
        let Some(outcome) = run(&trace, &scenario) else { return Ok(()) };
        let latencies: Vec<f64> = served(&trace, &outcome)
            .iter()
            .filter(|r| trace.output[r.row] > 0)
            .map(|r| r.end - r.arrival)
            .collect();
        let cdf = figures::latency_cdf(&trace, &outcome, points);
        prop_assert_eq!(cdf.latency_s.is_empty(), latencies.is_empty());
        prop_assert!(cdf.latency_s.len() <= points, "{} of {}", cdf.latency_s.len(), points);
        prop_assert!(cdf.latency_s.is_sorted_by(|a, b| a < b));
        for (x, fraction) in cdf.latency_s.iter().zip(&cdf.fraction) {
            let below = latencies.iter().filter(|&&l| l < *x).count();
            prop_assert_eq!(*fraction, below as f64 / latencies.len() as f64);
        }
        if !latencies.is_empty() {
            prop_assert_eq!(cdf.fraction.first().copied(), Some(0.0));
            prop_assert_eq!(cdf.fraction.last().copied(), Some(1.0));
        }
    }
}

/// Long runs guess which values their quantiles need; the guess must never show.
#[test]
fn quantiles_of_a_long_run_are_those_of_its_sorted_rows() {
    for (seed, gpus, policy) in [
        (1, 1, Policy::StaticFifo),
        (2, 64, Policy::MultiBinDynamic),
        (3, 8, Policy::MultiBin),
    ] {
        let mut scenario = Scenario {
            seed,
            ..Scenario::default()
        };
        scenario.fleet.gpus = gpus;
        scenario.closed_mut().policy = policy;
        scenario.workload.failed = Failed::Keep;
        scenario.workload.time_scale = 200.0;
        let synthetic = Synthetic {
            requests: 30_000,
            ..Synthetic::default()
        };
        let trace = synthetic.generate(seed).unwrap();
        let outcome = simulate(&trace, &scenario).unwrap();
        let table = requests_csv(&trace, &outcome);
        let honest = &outcome.summary.honest;
        let good: Vec<usize> = (0..table["request"].len())
            .filter(|&i| table["failed"][i] == Some(0.0))
            .collect();
        assert!(
            good.len() < table["request"].len(),
            "the trace has failed rows"
        );
        for (name, got) in [
            ("queueing_s", honest.queueing_s),
            ("ttft_s", honest.ttft_s),
            ("tpot_ms", honest.tpot_ms),
            ("latency_s", honest.e2e_s),
        ] {
            let values: Vec<f64> = good.iter().filter_map(|&i| table[name][i]).collect();
            let got = got.unwrap();
            assert_eq!(got.count as usize, values.len(), "{name}");
            for (q, got) in [
                (0.5, got.p50),
                (0.9, got.p90),
                (0.95, got.p95),
                (0.99, got.p99),
                (1.0, got.max),
            ] {
                assert_eq!(got, by_sorting(&values, q), "{policy:?}: {name} at {q}");
            }
        }
        let all: Vec<f64> = table["latency_s"].iter().flatten().copied().collect();
        let published = outcome.summary.published();
        for (q, got) in [
            (0.5, published.p50_latency_s),
            (0.95, published.p95_latency_s),
            (0.99, published.p99_latency_s),
        ] {
            assert_eq!(
                got,
                by_sorting(&all, q),
                "{policy:?}: published latency at {q}"
            );
        }
    }
}
