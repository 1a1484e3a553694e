//! Users against a real stack: [`sched::joining`](crate::sched::joining) decides the steps, a device
//! takes them, the wall clock says when they ended. What happened is a [`Record`] like that of a
//! prediction, and whoever wants figures makes them of it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::decoder::{self, Decoder, MOST_ROWS, SLOTS};
use super::device::{Device, gpu_error};
use super::kernels::{BLOCK, Flavour, fill};
use crate::error::Error;
use crate::latency::calibration::{Calibration, Measured};
use crate::sched::joining::{Joining, Load, MAX_ROWS, MAX_SEQUENCES, Next, Record, Row, Token};

// What a load may ask for a decoder has.
const _: () = assert!(MAX_SEQUENCES <= SLOTS && MAX_ROWS <= MOST_ROWS);

/// Longest time without a look at whether the person has had enough.
const LOOK: Duration = Duration::from_millis(50);
/// Of the weights; their values are of no account to a step's time.
const SEED: u32 = 42;
/// Output tokens of the requests that warm a level up: its prompts, and a few steps of decode.
const WARM_UP_TOKENS: u32 = 4;

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
    /// Makes room for a sequence of so many tokens that begins in a free slot.
    fn begin(&mut self, slot: u32, tokens: u32) -> Result<(), Error>;

    /// Processes rows and returns when the tokens they ask for are read back, as a server needs them.
    /// Gives the time from submission to that moment, s.
    async fn step(&mut self, rows: &[Row]) -> Result<f64, Error>;

    /// Frees a slot.
    fn end(&mut self, slot: u32);
}

/// Serves the loads one after another, each after a short warm-up of its own, which is not recorded.
///
/// `stop` is asked at least every 50 ms and after every step. `progress` is told of every step; what it
/// takes counts as time between steps.
///
/// Errors: a load out of range, [`Error::Interrupted`] once `stop` says so, and those of the device.
pub async fn serve(
    device: &mut impl Steps,
    loads: &[Load],
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Record>, Error> {
    for load in loads {
        load.check()?;
        if load.limits.block_tokens != BLOCK {
            return Err(Error::BadField {
                field: "load.limits.block_tokens".to_owned(),
                value: load.limits.block_tokens.to_string(),
                allowed: format!("{BLOCK}, as the decoder's cache has them"),
            });
        }
    }
    let mut records = Vec::with_capacity(loads.len());
    for (level, load) in (0..).zip(loads) {
        let mut told = Progress {
            level,
            levels: loads.len() as u32,
            users: load.users,
            answered: 0,
            requests: load.requests(),
            tokens: 0,
            elapsed_s: 0.0,
        };
        progress(told);
        let warm_up = Load {
            requests_per_user: 1,
            output_tokens: load.output_tokens.min(WARM_UP_TOKENS),
            ..*load
        };
        one(device, &warm_up, stop, &mut |_, _| {}).await?;
        let mut written = |tokens: &[Token], elapsed_s: f64| {
            told.tokens += tokens.len() as u32;
            told.answered += tokens.iter().filter(|token| token.last).count() as u32;
            told.elapsed_s = elapsed_s;
            progress(told);
        };
        records.push(one(device, load, stop, &mut written).await?);
    }
    Ok(records)
}

/// Serves one load from its first request to its last token, and leaves every slot free.
async fn one(
    device: &mut impl Steps,
    load: &Load,
    stop: &dyn Fn() -> bool,
    written: &mut dyn FnMut(&[Token], f64),
) -> Result<Record, Error> {
    let mut held = BTreeSet::new();
    let result = run(device, load, stop, written, &mut held).await;
    for slot in held {
        device.end(slot);
    }
    result
}

/// `held`: the slots in use.
async fn run(
    device: &mut impl Steps,
    load: &Load,
    stop: &dyn Fn() -> bool,
    written: &mut dyn FnMut(&[Token], f64),
    held: &mut BTreeSet<u32>,
) -> Result<Record, Error> {
    let mut joining = Joining::new(load)?;
    let begun = Instant::now();
    let now_s = || begun.elapsed().as_secs_f64();
    loop {
        if stop() {
            return Err(Error::Interrupted);
        }
        match joining.next(now_s()) {
            Next::Step { rows, .. } => {
                for row in rows.iter().filter(|row| row.position == 0) {
                    held.insert(row.slot);
                    device.begin(row.slot, load.positions())?;
                }
                let took_s = device.step(rows).await?;
                let ended_s = now_s();
                joining.began(ended_s - took_s);
                let tokens = joining.ended(ended_s);
                for token in tokens.iter().filter(|token| token.last) {
                    held.remove(&token.slot);
                    device.end(token.slot);
                }
                written(tokens, ended_s);
            }
            Next::Wait(until_s) => {
                let left_s = (until_s - now_s()).clamp(0.0, LOOK.as_secs_f64());
                pause(Duration::from_secs_f64(left_s)).await;
            }
            Next::Done => return Ok(joining.record()),
        }
    }
}

/// Tokens of the KV cache that a decoder needs to serve these loads.
pub fn pool_tokens(loads: &[Load]) -> u32 {
    loads.iter().map(Load::cache_tokens).max().unwrap_or(0)
}

/// A decoder of a calibration's whole model with random weights and a cache for these loads. It runs the
/// kernels that the calibration timed. `file` is for errors.
///
/// Errors: `bad-calibration` where the calibration does not name its kernels, or its GPU has others by
/// now; `out-of-gpu-memory` where not every layer fits: a shorter stack would be another server.
pub async fn decoder(
    device: Rc<Device>,
    calibration: &Calibration,
    file: &str,
    loads: &[Load],
) -> Result<Decoder, Error> {
    let Measured {
        architecture,
        precision,
        ..
    } = &calibration.model;
    device.choose(calibration.kernels(file)?);
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
        pool_tokens: pool_tokens(loads),
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
    fn begin(&mut self, slot: u32, tokens: u32) -> Result<(), Error> {
        if self.reserve(slot, tokens) {
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
        let (_, took) = Decoder::step(self, &rows).await?;
        Ok(took.wall_s)
    }

    fn end(&mut self, slot: u32) {
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
    use super::*;
    use crate::sched::joining::Limits;
    use std::cell::Cell;

    const LOAD: Load = Load {
        users: 3,
        requests_per_user: 2,
        prompt_tokens: 10,
        output_tokens: 6,
        think_min_s: 0.0,
        think_max_s: 0.0,
        seed: 1,
        limits: Limits {
            sequences: 2,
            rows: 8,
            kv_blocks: None,
            block_tokens: 16,
        },
    };

    /// A device whose steps take no memory and as long as they are told to.
    struct Pretended<F> {
        step: F,
        slots: BTreeSet<u32>,
    }

    impl<F: FnMut(&[Row]) -> Result<f64, Error>> Steps for Pretended<F> {
        fn begin(&mut self, slot: u32, tokens: u32) -> Result<(), Error> {
            assert!([13, 15].contains(&tokens), "{tokens}");
            assert!(self.slots.insert(slot), "slot {slot} is in use");
            Ok(())
        }

        async fn step(&mut self, rows: &[Row]) -> Result<f64, Error> {
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|row| self.slots.contains(&row.slot)));
            (self.step)(rows)
        }

        fn end(&mut self, slot: u32) {
            assert!(self.slots.remove(&slot), "slot {slot} is free");
        }
    }

    /// Whatever comes of it, no slot stays in use.
    fn serve_with(
        step: impl FnMut(&[Row]) -> Result<f64, Error>,
        loads: &[Load],
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Record>, Error> {
        let mut device = Pretended {
            step,
            slots: BTreeSet::new(),
        };
        let result = pollster::block_on(serve(&mut device, loads, stop, progress));
        assert!(device.slots.is_empty());
        result
    }

    #[test]
    fn a_pretended_device_serves_every_level() {
        let loads = [LOAD, Load { users: 5, ..LOAD }];
        let took = Duration::from_millis(1);
        let mut told = Vec::new();
        let records = serve_with(
            |_| {
                std::thread::sleep(2 * took);
                Ok(took.as_secs_f64())
            },
            &loads,
            &|| false,
            &mut |progress| told.push(progress),
        )
        .unwrap();
        for ((load, record), level) in loads.iter().zip(&records).zip(0..) {
            assert_eq!(record.requests.len() as u32, load.requests());
            let mut before_s = 0.0;
            for step in &record.steps {
                let step_s = step.ended_s - step.began_s;
                assert!((step_s - took.as_secs_f64()).abs() < 1e-9, "{step_s}");
                // What the device did before it submitted the step is time between steps.
                assert!(step.began_s - before_s >= took.as_secs_f64());
                before_s = step.ended_s;
            }
            for request in &record.requests {
                assert_eq!(request.tokens_s.len(), 6);
            }
            let of_level: Vec<&Progress> = told.iter().filter(|p| p.level == level).collect();
            assert_eq!(of_level.len(), record.steps.len() + 1);
            let last = of_level.last().unwrap();
            assert_eq!(last.answered, last.requests);
            assert_eq!(last.tokens, load.requests() * 6);
            assert!(last.elapsed_s > 0.0);
        }
    }

    #[test]
    fn a_thinking_user_is_waited_for() {
        let load = Load {
            users: 1,
            think_min_s: 0.08,
            think_max_s: 0.08,
            ..LOAD
        };
        let looks = Cell::new(0);
        let stop = || {
            looks.set(looks.get() + 1);
            false
        };
        let records = serve_with(|_| Ok(0.0), &[load], &stop, &mut |_| {}).unwrap();
        let [first, second] = &records[0].requests[..] else {
            panic!("{records:?}")
        };
        assert!((second.sent_s - first.tokens_s[5] - 0.08).abs() < 1e-9);
        assert!(second.joined_s.unwrap() >= second.sent_s);
        // The pause takes more than one look.
        assert!(looks.get() as usize >= records[0].steps.len() + 2);
    }

    #[test]
    fn whoever_has_had_enough_is_heard_after_a_step_and_in_a_pause() {
        let steps = Cell::new(0);
        let stop = || steps.get() >= 9;
        let step = |_: &[Row]| {
            steps.set(steps.get() + 1);
            Ok(0.0)
        };
        let result = serve_with(step, &[LOAD], &stop, &mut |_| {});
        assert_eq!(result, Err(Error::Interrupted));
        assert_eq!(steps.get(), 9);

        let load = Load {
            users: 1,
            think_min_s: 1000.0,
            think_max_s: 1000.0,
            ..LOAD
        };
        let begun = Instant::now();
        let stop = || begun.elapsed() > Duration::from_millis(100);
        let result = serve_with(|_| Ok(0.0), &[load], &stop, &mut |_| {});
        assert_eq!(result, Err(Error::Interrupted));
    }

    #[test]
    fn what_the_device_says_comes_back() {
        let lost = gpu_error("device-lost", "the GPU was lost");
        let result = serve_with(|_| Err(lost.clone()), &[LOAD], &|| false, &mut |_| {});
        assert_eq!(result, Err(lost));
        let bad = Load { users: 0, ..LOAD };
        let other_blocks = Limits {
            block_tokens: 32,
            ..LOAD.limits
        };
        for bad in [
            bad,
            Load {
                limits: other_blocks,
                ..LOAD
            },
        ] {
            let step = |_: &[Row]| panic!("a load out of range was served");
            let result = serve_with(step, &[LOAD, bad], &|| false, &mut |_| {});
            assert!(matches!(result, Err(Error::BadField { .. })));
        }
    }
}
