//! Users against a real stack: [`sched::joining`](crate::sched::joining) decides the steps, a device
//! takes them, the wall clock says when they ended. What happened is a [`Record`] like that of a
//! prediction, and whoever wants figures makes them of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::error::Error;
use crate::sched::joining::{Joining, Load, Next, Record, Row, Token};

/// Longest time without a look at whether the person has had enough.
const LOOK: Duration = Duration::from_millis(50);
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

/// Serves the loads one after another, each after a short warm-up of its own, which is not recorded.
///
/// `step` processes rows and returns when the tokens they ask for are read back, as a server needs
/// them. `stop` is asked at least every 50 ms and after every step. `progress` is told of every step;
/// what it takes counts as time between steps.
///
/// Errors: a load out of range, [`Error::Interrupted`] once `stop` says so, and those of `step`.
pub async fn serve(
    step: &mut impl AsyncFnMut(&[Row]) -> Result<(), Error>,
    loads: &[Load],
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Record>, Error> {
    for load in loads {
        load.check()?;
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
        one(step, &warm_up, stop, &mut |_, _| {}).await?;
        let mut written = |tokens: &[Token], elapsed_s: f64| {
            told.tokens += tokens.len() as u32;
            told.answered += tokens.iter().filter(|token| token.last).count() as u32;
            told.elapsed_s = elapsed_s;
            progress(told);
        };
        records.push(one(step, load, stop, &mut written).await?);
    }
    Ok(records)
}

/// Serves one load from its first request to its last token.
async fn one(
    step: &mut impl AsyncFnMut(&[Row]) -> Result<(), Error>,
    load: &Load,
    stop: &dyn Fn() -> bool,
    written: &mut dyn FnMut(&[Token], f64),
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
                step(rows).await?;
                let ended_s = now_s();
                written(joining.ended(ended_s), ended_s);
            }
            Next::Wait(until_s) => {
                let left_s = (until_s - now_s()).clamp(0.0, LOOK.as_secs_f64());
                pause(Duration::from_secs_f64(left_s)).await;
            }
            Next::Done => return Ok(joining.record()),
        }
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
    use std::cell::Cell;

    const LOAD: Load = Load {
        users: 3,
        requests_per_user: 2,
        prompt_tokens: 10,
        output_tokens: 6,
        think_min_s: 0.0,
        think_max_s: 0.0,
        seed: 1,
        limits: crate::sched::joining::Limits {
            sequences: 2,
            rows: 8,
            prefill_rows: 6,
            kv_blocks: None,
            block_tokens: 16,
        },
    };

    fn run(
        step: &mut impl AsyncFnMut(&[Row]) -> Result<(), Error>,
        loads: &[Load],
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Record>, Error> {
        pollster::block_on(serve(step, loads, stop, progress))
    }

    #[test]
    fn a_pretended_device_serves_every_level() {
        let loads = [LOAD, Load { users: 5, ..LOAD }];
        let took = Duration::from_millis(1);
        let mut told = Vec::new();
        let records = run(
            &mut async |rows: &[Row]| {
                assert!(!rows.is_empty());
                std::thread::sleep(took);
                Ok(())
            },
            &loads,
            &|| false,
            &mut |progress| told.push(progress),
        )
        .unwrap();
        for ((load, record), level) in loads.iter().zip(&records).zip(0..) {
            assert_eq!(record.requests.len() as u32, load.requests());
            for step in &record.steps {
                assert!(step.ended_s - step.began_s >= took.as_secs_f64());
            }
            for request in &record.requests {
                assert_eq!(request.tokens_s.len(), 6);
            }
            let last = told.iter().rfind(|p| p.level == level).unwrap();
            assert_eq!(last.answered, last.requests);
            assert_eq!(last.tokens, load.requests() * 6);
            assert!(last.elapsed_s > 0.0);
            assert_eq!(
                told.iter().filter(|p| p.level == level).count(),
                record.steps.len() + 1
            );
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
        let records = run(&mut async |_: &[Row]| Ok(()), &[load], &stop, &mut |_| {}).unwrap();
        let [first, second] = &records[0].requests[..] else {
            panic!("{records:?}")
        };
        let answered_s = first.tokens_s[5];
        assert!((second.sent_s - answered_s - 0.08).abs() < 1e-9);
        assert!(second.joined_s.unwrap() >= second.sent_s);
        // The pause takes more than one look.
        assert!(looks.get() as usize >= records[0].steps.len() + 2);
    }

    #[test]
    fn whoever_has_had_enough_is_heard_after_a_step_and_in_a_pause() {
        let steps = Cell::new(0);
        let stop = || steps.get() >= 9;
        let result = run(
            &mut async |_: &[Row]| {
                steps.set(steps.get() + 1);
                Ok(())
            },
            &[LOAD],
            &stop,
            &mut |_| {},
        );
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
        let result = run(&mut async |_: &[Row]| Ok(()), &[load], &stop, &mut |_| {});
        assert_eq!(result, Err(Error::Interrupted));
    }

    #[test]
    fn what_the_device_says_comes_back() {
        let lost = Error::Gpu {
            code: "device-lost",
            problem: "the GPU was lost".to_owned(),
        };
        let result = run(
            &mut async |_: &[Row]| Err(lost.clone()),
            &[LOAD],
            &|| false,
            &mut |_| {},
        );
        assert_eq!(result, Err(lost));
        let bad = Load { users: 0, ..LOAD };
        let result = run(
            &mut async |_: &[Row]| panic!("a load out of range was served"),
            &[LOAD, bad],
            &|| false,
            &mut |_| {},
        );
        assert!(matches!(result, Err(Error::BadField { .. })));
    }
}
