//! Users against a real stack: the engine with continuous batching composes the steps, a device takes them, and the wall
//! clock says when they ended ([`DeviceRun`]). What happened is a record like that of a prediction.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::decoder::{self, Decoder, MOST_ROWS, SLOTS};
use super::device::{Device, gpu_error};
use super::kernels::gemv::Choice;
use super::kernels::{BLOCK, Flavour, fill};
use crate::error::Error;
use crate::latency::calibration::{self, Calibration};
use crate::scenario::Scenario;
use crate::sim::device::{DeviceRun, Limits, Measured, Next, Row};
use crate::trace::Trace;

/// Longest time without a look at whether the person has had enough.
const LOOK: Duration = Duration::from_millis(50);
/// Of the weights; their values are of no account to a step's time.
const SEED: u32 = 42;
/// Output tokens of the requests that warm a level up: its prompts, and a few steps of decode.
const WARM_UP_TOKENS: u32 = 4;
/// Requests of a warm-up where no users send them.
const WARM_UP_REQUESTS: u32 = 4;

/// How far serving is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "ServeProgress"))]
pub struct Progress {
    /// Which level, from 0, of how many.
    pub level: u32,
    pub levels: u32,
    pub users: u32,
    /// Requests of this level that are answered, of how many.
    pub answered: u32,
    pub requests: u32,
    /// Output tokens of this level so far.
    pub tokens: u32,
    /// Since the level began, s; 0 while it is warmed up.
    pub elapsed_s: f64,
}

/// What takes the steps: a decoder on a device.
#[allow(
    async_fn_in_trait,
    reason = "a device belongs to one thread, in a browser to one worker"
)]
pub trait Steps {
    /// Makes room for so many tokens of a slot, those that it has room for among them.
    fn reserve(&mut self, slot: u32, tokens: u32) -> Result<(), Error>;

    /// Processes rows and returns when the tokens they ask for are read back, as a server needs them.
    /// Gives the time that it took, s.
    async fn step(&mut self, rows: &[Row]) -> Result<f64, Error>;

    /// Frees a slot, used or not.
    fn free(&mut self, slot: u32);
}

/// What steps and cache of the decoder hold.
pub const LIMITS: Limits = Limits {
    sequences: SLOTS,
    rows: MOST_ROWS,
    block_tokens: BLOCK,
};

/// Serves the levels one after another, each after a short warm-up of its own, which is not recorded.
///
/// `stop` is asked at least every 50 ms and after every step. `progress` is told of every step; what it
/// takes counts as time between steps.
///
/// Errors: what the decoder lacks, [`Error::Interrupted`] once `stop` says so, and those of the device.
pub async fn serve(
    device: &mut impl Steps,
    trace: &Trace,
    levels: &[Scenario],
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Measured>, Error> {
    let runs = levels
        .iter()
        .map(|scenario| DeviceRun::new(trace, scenario, LIMITS))
        .collect::<Result<Vec<_>, _>>()?;
    let mut measured = Vec::with_capacity(runs.len());
    for ((level, run), scenario) in (0..).zip(runs).zip(levels) {
        let (_, requests) = run.answered();
        let mut told = Progress {
            level,
            levels: levels.len() as u32,
            users: users(scenario),
            answered: 0,
            requests: requests as u32,
            tokens: 0,
            elapsed_s: 0.0,
        };
        progress(told);
        let (short, once) = warm_up(trace, scenario);
        let warm = DeviceRun::new(&short, &once, LIMITS)?;
        one(device, warm, stop, &mut |_, _| {}).await?;
        let mut written = |run: &DeviceRun<'_>, elapsed_s: f64| {
            told.tokens = run.tokens() as u32;
            told.answered = run.answered().0 as u32;
            told.elapsed_s = elapsed_s;
            progress(told);
        };
        measured.push(one(device, run, stop, &mut written).await?);
    }
    Ok(measured)
}

fn users(scenario: &Scenario) -> u32 {
    let users = scenario.workload.closed_loop.as_ref();
    users.map_or(0, |users| users.users)
}

/// The first request of each user with a few output tokens.
fn warm_up(trace: &Trace, scenario: &Scenario) -> (Trace, Scenario) {
    let mut short = trace.clone();
    for output in &mut short.output {
        *output = (*output).min(WARM_UP_TOKENS);
    }
    let mut once = scenario.clone();
    match &mut once.workload.closed_loop {
        Some(users) => users.requests_per_user = 1,
        None => once.workload.limit = Some(WARM_UP_REQUESTS),
    }
    (short, once)
}

/// Serves one level from its first request to its last token, and leaves every slot free.
async fn one(
    device: &mut impl Steps,
    run: DeviceRun<'_>,
    stop: &dyn Fn() -> bool,
    written: &mut dyn FnMut(&DeviceRun<'_>, f64),
) -> Result<Measured, Error> {
    let result = to_the_end(device, run, stop, written).await;
    for slot in 0..SLOTS {
        device.free(slot);
    }
    result
}

async fn to_the_end(
    device: &mut impl Steps,
    mut run: DeviceRun<'_>,
    stop: &dyn Fn() -> bool,
    written: &mut dyn FnMut(&DeviceRun<'_>, f64),
) -> Result<Measured, Error> {
    let begun = Instant::now();
    let now_s = || begun.elapsed().as_secs_f64();
    loop {
        if stop() {
            return Err(Error::Interrupted);
        }
        match run.next(now_s()) {
            Next::Step { vacant, rows } => {
                for &slot in vacant {
                    device.free(slot);
                }
                for row in rows {
                    device.reserve(row.slot, row.position + 1)?;
                }
                let took_s = device.step(rows).await?;
                let ended_s = now_s();
                run.ended(ended_s, took_s);
                written(&run, ended_s);
            }
            Next::Wait(until_s) => {
                let left_s = (until_s - now_s()).clamp(0.0, LOOK.as_secs_f64());
                pause(Duration::from_secs_f64(left_s)).await;
            }
            Next::Done => return Ok(run.finish()),
        }
    }
}

/// Tokens of the KV cache that a decoder needs to serve these levels.
///
/// Errors: what the decoder lacks.
pub fn pool_tokens(trace: &Trace, levels: &[Scenario]) -> Result<u32, Error> {
    let mut most = 0;
    for scenario in levels {
        most = most.max(DeviceRun::new(trace, scenario, LIMITS)?.cache_tokens());
    }
    Ok(u32::try_from(most).unwrap_or(u32::MAX))
}

/// A decoder of a calibration's whole model with random weights and a cache of so many tokens. It runs the
/// kernels that the calibration timed. `file` is for errors.
///
/// Errors: `bad-calibration` where the calibration does not name its kernels, or its GPU has others by
/// now; `out-of-gpu-memory` where not every layer fits: a shorter stack would be another server.
pub async fn decoder(
    device: Rc<Device>,
    calibration: &Calibration,
    file: &str,
    pool_tokens: u32,
) -> Result<Decoder, Error> {
    let calibration::Measured {
        architecture,
        precision,
        ..
    } = &calibration.model;
    let named = calibration.kernels(file)?;
    device.choose(Choice {
        gemv: named.gemv.unwrap_or(Choice::first(device.flavour()).gemv),
        wide: named.many_columns,
    });
    let (timed, has) = (Flavour::of(&calibration.adapter), device.flavour());
    if device.adapter().name == calibration.adapter.name && timed != has {
        return Err(Error::BadCalibration {
            file: file.to_owned(),
            line: 0,
            column: 0,
            field: "adapter".to_owned(),
            problem: format!(
                "it timed kernels {timed}, and on this system {} runs kernels {has}, which take other times; \
                 calibrate it again",
                calibration.adapter.name
            ),
        });
    }
    let config = decoder::Config {
        architecture: architecture.clone(),
        precision: *precision,
        pool_tokens,
        seed: SEED,
        temperature: 1.0,
        most_bytes: None,
    };
    let decoder = Decoder::new(device, config).await?;
    if decoder.layers() == architecture.layers {
        return Ok(decoder);
    }
    Err(gpu_error(
        "out-of-gpu-memory",
        format!(
            "the GPU's memory holds {} of the {} layers of {} and the cache of these requests; serving \
             is measured with all of them: choose a smaller model, fewer users or shorter requests",
            decoder.layers(),
            architecture.layers,
            architecture.name
        ),
    ))
}

impl Steps for Decoder {
    fn reserve(&mut self, slot: u32, tokens: u32) -> Result<(), Error> {
        if Decoder::reserve(self, slot, tokens) {
            return Ok(());
        }
        Err(gpu_error(
            "out-of-gpu-memory",
            format!(
                "the KV cache has no room for {tokens} more tokens; serve fewer users or shorter requests"
            ),
        ))
    }

    async fn step(&mut self, rows: &[Row]) -> Result<f64, Error> {
        let vocabulary = self.config().architecture.vocabulary;
        let rows: Vec<decoder::Row> = rows
            .iter()
            .map(|row| decoder::Row {
                slot: row.slot,
                position: row.position,
                // What a prompt says is of no account to its time: any words will do.
                token: row
                    .prompt
                    .then(|| fill::hash(row.slot ^ fill::hash(row.position)) % vocabulary),
                sample: row.sampled,
            })
            .collect();
        Ok(Decoder::step(self, &rows).await?.took_s)
    }

    fn free(&mut self, slot: u32) {
        self.release(slot);
    }
}

/// Nobody has anything to ask. Natively there is nothing else to do meanwhile.
#[cfg(not(target_arch = "wasm32"))]
async fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A browser's clock counts whole milliseconds; a user who is due within one is waited for by asking
/// again.
#[cfg(target_arch = "wasm32")]
async fn pause(time: Duration) {
    gloo_timers::future::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::{ClosedLoop, Engine};
    use crate::sched::continuous::Server;
    use crate::sched::continuous::kv::Capacity;
    use crate::trace::synth::Synthetic;

    /// Users who each send two requests of 10 prompt and 6 output tokens.
    fn level(users: u32, think_s: f64) -> Scenario {
        let mut server = Server {
            max_sequences: 2,
            max_batched_tokens: 8,
            ..Server::default()
        };
        server.kv.capacity = Capacity::Unlimited;
        let mut scenario = Scenario {
            engine: Engine::Continuous(Box::new(server)),
            ..Scenario::default()
        };
        scenario.fleet.gpus = 1;
        scenario.workload.closed_loop = Some(ClosedLoop {
            users,
            requests_per_user: 2,
            think_min_s: think_s,
            think_max_s: think_s,
        });
        scenario
    }

    /// A device whose steps take no memory and as long as they are told to.
    struct Pretended<F> {
        step: F,
        slots: BTreeSet<u32>,
    }

    impl<F: FnMut(&[Row]) -> Result<f64, Error>> Steps for Pretended<F> {
        fn reserve(&mut self, slot: u32, tokens: u32) -> Result<(), Error> {
            assert!(tokens <= 15, "{tokens}");
            assert_eq!(
                self.slots.insert(slot),
                tokens == 1,
                "a slot begins anew where it was free"
            );
            Ok(())
        }

        async fn step(&mut self, rows: &[Row]) -> Result<f64, Error> {
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|row| self.slots.contains(&row.slot)));
            (self.step)(rows)
        }

        fn free(&mut self, slot: u32) {
            self.slots.remove(&slot);
        }
    }

    /// Whatever comes of it, no slot stays in use.
    fn serve_with(
        step: impl FnMut(&[Row]) -> Result<f64, Error>,
        levels: &[Scenario],
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Measured>, Error> {
        let mut device = Pretended {
            step,
            slots: BTreeSet::new(),
        };
        let trace = Synthetic::alike(10, 10, 6).generate(1).unwrap();
        let result = pollster::block_on(serve(&mut device, &trace, levels, stop, progress));
        assert!(device.slots.is_empty());
        result
    }

    #[test]
    fn a_pretended_device_serves_every_level() {
        let levels = [level(3, 0.0), level(5, 0.0)];
        let took = Duration::from_millis(1);
        let mut told = Vec::new();
        let measured = serve_with(
            |_| {
                std::thread::sleep(2 * took);
                Ok(took.as_secs_f64())
            },
            &levels,
            &|| false,
            &mut |progress| told.push(progress),
        )
        .unwrap();
        for ((level, measured), number) in levels.iter().zip(&measured).zip(0..) {
            let requests = 2 * users(level);
            let crate::sim::Work::Continuous(work) = &measured.record.work else {
                panic!("no closed batches")
            };
            let (served, totals) = &**work;
            assert_eq!(totals.emitted, u64::from(requests) * 6);
            assert_eq!(totals.steps, measured.steps.len() as u64);
            assert_eq!(
                served.done_s.iter().filter(|s| s.is_finite()).count() as u32,
                requests
            );
            // What the device did before it submitted a step is in the times of requests, not of steps.
            assert!(
                measured
                    .steps
                    .iter()
                    .all(|step| step.took_s == took.as_secs_f64())
            );
            assert!(totals.busy_s[0] >= 2.0 * took.as_secs_f64() * totals.steps as f64);
            let of_level: Vec<&Progress> = told.iter().filter(|p| p.level == number).collect();
            assert_eq!(of_level.len(), measured.steps.len() + 1);
            let last = of_level.last().unwrap();
            assert_eq!(last.answered, last.requests);
            assert_eq!(last.tokens, requests * 6);
            assert!(last.elapsed_s > 0.0);
        }
    }

    #[test]
    fn a_thinking_user_is_waited_for() {
        let looks = Cell::new(0);
        let stop = || {
            looks.set(looks.get() + 1);
            false
        };
        let levels = [level(1, 0.08)];
        let measured = serve_with(|_| Ok(0.0), &levels, &stop, &mut |_| {}).unwrap();
        let crate::sim::Work::Continuous(work) = &measured[0].record.work else {
            panic!("no closed batches")
        };
        let (served, sent_s) = (&work.0, &measured[0].record.requests.sent_s);
        assert!((sent_s[1] - served.done_s[0] - 0.08).abs() < 1e-9);
        assert!(served.joined_s[1] >= sent_s[1]);
        // The pause takes more than one look.
        assert!(looks.get() as usize >= measured[0].steps.len() + 2);
    }

    #[test]
    fn whoever_has_had_enough_is_heard_after_a_step_and_in_a_pause() {
        let steps = Cell::new(0);
        let stop = || steps.get() >= 9;
        let step = |_: &[Row]| {
            steps.set(steps.get() + 1);
            Ok(0.0)
        };
        let result = serve_with(step, &[level(3, 0.0)], &stop, &mut |_| {});
        assert_eq!(result, Err(Error::Interrupted));
        assert_eq!(steps.get(), 9);

        let begun = Instant::now();
        let stop = || begun.elapsed() > Duration::from_millis(100);
        let result = serve_with(|_| Ok(0.0), &[level(1, 1000.0)], &stop, &mut |_| {});
        assert_eq!(result, Err(Error::Interrupted));
    }

    #[test]
    fn what_the_device_says_comes_back() {
        let lost = gpu_error("device-lost", "the GPU was lost");
        let levels = [level(3, 0.0)];
        let result = serve_with(|_| Err(lost.clone()), &levels, &|| false, &mut |_| {});
        assert_eq!(result, Err(lost));
    }

    #[test]
    fn what_the_decoder_lacks_is_refused_before_a_step() {
        let with = |change: fn(&mut Server)| {
            let mut level = level(3, 0.0);
            if let Some(server) = level.server_mut() {
                change(server);
            }
            level
        };
        for (bad, field) in [
            (level(0, 0.0), "workload.closed_loop.users"),
            (
                with(|s| s.kv.block_tokens = 32),
                "engine.continuous.kv.block_tokens",
            ),
            (
                with(|s| (s.max_sequences, s.max_batched_tokens) = (65, 128)),
                "engine.continuous.max_sequences",
            ),
            (
                with(|s| s.max_batched_tokens = 129),
                "engine.continuous.max_batched_tokens",
            ),
            (
                with(|s| s.async_scheduling = true),
                "engine.continuous.async_scheduling",
            ),
        ] {
            let step = |_: &[Row]| panic!("{field}");
            let levels = [level(3, 0.0), bad.clone()];
            match serve_with(step, &levels, &|| false, &mut |_| {}) {
                Err(
                    Error::BadField { field: named, .. } | Error::Contradiction { what: named, .. },
                ) => {
                    assert_eq!(named, field);
                }
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
