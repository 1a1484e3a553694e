//! Continuous joining from outside: whatever the load, the limits and the times of steps, every
//! token comes once and in order, and no slot, row or block is used twice.

use std::collections::{BTreeMap, BTreeSet};

use batchscope::Error;
use batchscope::sched::joining::{Joining, Limits, Load, Next, Record, Row, Work};
use proptest::prelude::*;

fn limits() -> impl Strategy<Value = Limits> {
    (1..=8u32, 0..=8u32, 1..=6u32).prop_map(|(sequences, more, block_tokens)| Limits {
        sequences,
        rows: sequences + more,
        kv_blocks: None,
        block_tokens,
    })
}

/// Loads with too few slots, rows or blocks among them.
fn load() -> impl Strategy<Value = Load> {
    (
        1..=12u32,
        1..=4u32,
        1..=20u32,
        1..=9u32,
        prop_oneof![Just([0.0, 0.0]), Just([0.3, 0.3]), Just([0.0, 4.0])],
        any::<u32>(),
        limits(),
        prop::option::of(0..=10u32),
    )
        .prop_map(
            |(users, requests_per_user, prompt, output, think, seed, limits, spare)| {
                let blocks = (prompt + output - 1).div_ceil(limits.block_tokens);
                Load {
                    users,
                    requests_per_user,
                    prompt_tokens: prompt,
                    output_tokens: output,
                    think_min_s: think[0],
                    think_max_s: think[1],
                    seed,
                    limits: Limits {
                        kv_blocks: spare.map(|spare| blocks + spare),
                        ..limits
                    },
                }
            },
        )
}

/// What a decoder would see, and what it may rely on.
struct Decoder {
    load: Load,
    /// By slot that is in use: positions that are filled, and tokens that were written.
    slots: BTreeMap<u32, (u32, u32)>,
    rows: u32,
}

impl Decoder {
    fn take(&mut self, rows: &[Row], work: Work) {
        let limits = &self.load.limits;
        assert!(!rows.is_empty() && rows.len() as u32 <= limits.rows);
        let (mut sampled, mut seen) = (BTreeSet::new(), Work::default());
        let mut prompts_began = false;
        for row in rows {
            assert!(row.slot < limits.sequences);
            if row.position == 0 {
                let taken = self.slots.insert(row.slot, (0, 0));
                assert_eq!(taken, None, "slot {} is in use", row.slot);
            }
            let (filled, written) = self.slots.get_mut(&row.slot).unwrap();
            assert_eq!(row.position, *filled, "positions follow one another");
            *filled += 1;
            let prompt = self.load.prompt_tokens;
            if row.position >= prompt {
                assert!(!prompts_began, "decoding sequences come first");
                assert_eq!(*written, row.position - prompt + 1, "its token is there");
                seen.sequences += 1;
                seen.context += row.position + 1;
            } else {
                prompts_began = true;
                seen.prefill += 1;
            }
            assert_eq!(row.prompt, row.position < prompt);
            assert_eq!(row.sampled, row.position + 1 >= prompt);
            if row.sampled {
                *written += 1;
                assert!(sampled.insert(row.slot), "one token a step");
            }
        }
        assert_eq!(seen, work);
        self.rows += rows.len() as u32;
        // Whoever decodes gets a token in every step.
        for (slot, (filled, _)) in &self.slots {
            let through = *filled >= self.load.prompt_tokens;
            assert_eq!(through, sampled.contains(slot), "slot {slot}");
        }
        if let Some(blocks) = limits.kv_blocks {
            let used: u32 = self
                .slots
                .values()
                .map(|(filled, _)| filled.div_ceil(limits.block_tokens))
                .sum();
            assert!(used <= blocks, "{used} blocks of {blocks}");
        }
    }

    /// Slots whose sequence has all its tokens are free again.
    fn leave(&mut self) {
        let output = self.load.output_tokens;
        self.slots.retain(|_, (_, written)| *written < output);
    }
}

/// Serves a load with the given times of steps, over and over.
fn serve(load: &Load, times_s: &[f64]) -> Record {
    let mut joining = Joining::new(load).unwrap();
    let mut decoder = Decoder {
        load: *load,
        slots: BTreeMap::new(),
        rows: 0,
    };
    let mut times = times_s.iter().cycle();
    let (mut now_s, mut written) = (0.0, BTreeMap::new());
    loop {
        match joining.next(now_s) {
            Next::Step { rows, work } => {
                let rows = rows.to_vec();
                decoder.take(&rows, work);
                assert_eq!(joining.next(now_s), Next::Step { rows: &rows, work });
                now_s += times.next().unwrap();
                let tokens = joining.ended(now_s).to_vec();
                assert_eq!(tokens.len(), rows.iter().filter(|r| r.sampled).count());
                for token in tokens {
                    let row = rows.iter().find(|r| r.sampled && r.slot == token.slot);
                    let filled = row.map(|row| row.position + 1);
                    assert_eq!(filled, Some(load.prompt_tokens + token.number));
                    let before = written.entry(token.request).or_insert(0);
                    assert_eq!(token.number, *before);
                    *before += 1;
                    assert_eq!(token.last, *before == load.output_tokens);
                }
                decoder.leave();
                assert!(joining.ended(now_s).is_empty(), "nothing is under way");
            }
            Next::Wait(until_s) => {
                assert!(until_s > now_s, "waiting for what is past");
                assert!(decoder.slots.is_empty(), "waiting with work at hand");
                now_s = until_s;
            }
            Next::Done => break,
        }
    }
    assert!(decoder.slots.is_empty());
    assert_eq!(decoder.rows, load.requests() * load.positions());
    joining.record()
}

proptest! {
    #[test]
    fn every_token_comes_once_and_nothing_is_used_twice(
        load in load(),
        times_s in prop::collection::vec(0.01..2.0f64, 1..20),
    ) {
        let record = serve(&load, &times_s);
        prop_assert_eq!(&record, &serve(&load, &times_s));

        prop_assert_eq!(record.requests.len() as u32, load.requests());
        let ends: BTreeSet<u64> = record.steps.iter().map(|s| s.ended_s.to_bits()).collect();
        let mut last_s = BTreeMap::new();
        let mut joined_s = 0.0;
        for request in &record.requests {
            prop_assert_eq!(request.tokens_s.len() as u32, load.output_tokens);
            prop_assert!(request.tokens_s.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(request.tokens_s.iter().all(|t| ends.contains(&t.to_bits())));
            let joined = request.joined_s.unwrap();
            prop_assert!(request.sent_s <= joined && joined < request.tokens_s[0]);
            prop_assert!(joined_s <= joined, "first come, first served");
            joined_s = joined;
            let think = match last_s.insert(request.user, *request.tokens_s.last().unwrap()) {
                Some(answer_s) => request.sent_s - answer_s,
                None => {
                    prop_assert_eq!(request.sent_s, 0.0);
                    continue;
                }
            };
            // A sum and a difference of times below 1e4 are off by less than this.
            let rounding = 1e-11;
            prop_assert!(think >= load.think_min_s - rounding && think <= load.think_max_s + rounding);
        }
        prop_assert_eq!(last_s.len() as u32, load.users);
        prop_assert!(record.steps.windows(2).all(|pair| pair[0].ended_s <= pair[1].began_s));
        // Rows of steps: every position of every request once.
        let rows: u32 = record.steps.iter().map(|s| s.work.sequences + s.work.prefill).sum();
        prop_assert_eq!(rows, load.requests() * load.positions());
    }
}

#[test]
fn a_request_joins_at_the_next_step_while_another_decodes() {
    let load = Load {
        users: 2,
        requests_per_user: 1,
        prompt_tokens: 3,
        output_tokens: 3,
        limits: Limits {
            sequences: 2,
            rows: 4,
            ..Limits::default()
        },
        ..Load::default()
    };
    let row = |slot, position, sampled| Row {
        slot,
        position,
        prompt: position < 3,
        sampled,
    };
    let mut joining = Joining::new(&load).unwrap();
    let mut steps = Vec::new();
    let mut now_s = 0.0;
    while let Next::Step { rows, .. } = joining.next(now_s) {
        steps.push(rows.to_vec());
        now_s += 1.0;
        joining.ended(now_s);
    }
    assert_eq!(
        steps,
        [
            // The first prompt whole, and what room is left for the second.
            vec![
                row(0, 0, false),
                row(0, 1, false),
                row(0, 2, true),
                row(1, 0, false)
            ],
            vec![row(0, 3, true), row(1, 1, false), row(1, 2, true)],
            vec![row(0, 4, true), row(1, 3, true)],
            vec![row(1, 4, true)],
        ]
    );
    let record = joining.record();
    assert_eq!(record.requests[0].tokens_s, [1.0, 2.0, 3.0]);
    assert_eq!(record.requests[1].tokens_s, [2.0, 3.0, 4.0]);
    assert_eq!(record.requests[1].joined_s, Some(0.0));
}

#[test]
fn what_no_server_could_serve_is_refused_by_name() {
    let good = Load::default();
    let limits = good.limits;
    let with = |limits| Load { limits, ..good };
    for (bad, field) in [
        (Load { users: 0, ..good }, "load.users"),
        (
            Load {
                users: 100_001,
                ..good
            },
            "load.users",
        ),
        (
            Load {
                requests_per_user: 0,
                ..good
            },
            "load.requests_per_user",
        ),
        (
            Load {
                requests_per_user: 1_000_000,
                ..good
            },
            "load.requests_per_user",
        ),
        (
            Load {
                prompt_tokens: 0,
                ..good
            },
            "load.prompt_tokens",
        ),
        (
            Load {
                output_tokens: u32::MAX,
                ..good
            },
            "load.output_tokens",
        ),
        (
            Load {
                think_min_s: f64::NAN,
                ..good
            },
            "load.think_min_s",
        ),
        (
            Load {
                think_min_s: 2.0,
                think_max_s: 1.0,
                ..good
            },
            "load.think_max_s",
        ),
        (
            with(Limits {
                sequences: 65,
                ..limits
            }),
            "load.limits.sequences",
        ),
        // A decoding sequence would be left without its row.
        (with(Limits { rows: 63, ..limits }), "load.limits.rows"),
        // More than a decoder has.
        (
            with(Limits {
                rows: 129,
                ..limits
            }),
            "load.limits.rows",
        ),
        (
            with(Limits {
                block_tokens: 0,
                ..limits
            }),
            "load.limits.block_tokens",
        ),
        // 95 positions are six blocks of 16.
        (
            with(Limits {
                kv_blocks: Some(5),
                ..limits
            }),
            "load.limits.kv_blocks",
        ),
    ] {
        match Joining::new(&bad) {
            Err(Error::BadField { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert!(
        Joining::new(&with(Limits {
            kv_blocks: Some(6),
            ..limits
        }))
        .is_ok()
    );
}
