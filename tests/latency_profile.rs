//! Step times from kernel profiles and measured tables.

use std::fs::File;
use std::path::Path;

use batchscope::Error;
use batchscope::latency::{Chunk, StepLatency, StepTable, StepWork, profile};
use proptest::prelude::*;

const RUN: &str = "../shared/data/vllm_rtx4090";

/// The real profile, where it is there.
fn real() -> Option<profile::Profile> {
    let file = |name: &str| File::open(Path::new(RUN).join(name)).ok();
    let Some(attention) = file("profile_attention.csv") else {
        println!("skipped: {RUN} is not there");
        return None;
    };
    let dense = file("profile_dense.csv").unwrap();
    let per_sequence = file("profile_per_sequence.csv").unwrap();
    let read = profile::read(
        32,
        (attention, "attention"),
        (dense, "dense"),
        (per_sequence, "per sequence"),
    );
    Some(read.unwrap())
}

/// One layer; decode attention n x context x 1 us + 10, prompts q x (s + q/2) us, beside a prompt twice
/// the decode attention.
fn by_hand() -> Result<profile::Profile, Error> {
    let mut attention = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us,note\n".to_owned();
    for n in [1, 4] {
        for kv in [16, 64] {
            attention += &format!("0,0,{n},{kv},{},x\n", 10 + n * kv);
        }
    }
    for q in [16, 32] {
        for s in [0, 100] {
            let alone = q * (s + q / 2);
            attention += &format!("{q},{s},0,0,{alone},x\n");
            for n in [1, 4] {
                for kv in [16, 64] {
                    attention += &format!("{q},{s},{n},{kv},{},x\n", alone + 2 * n * kv);
                }
            }
        }
    }
    let mut dense = "layer,tokens,time_us\n".to_owned();
    for name in [
        "qkv_proj",
        "o_proj",
        "gate_up_proj",
        "down_proj",
        "layernorm",
        "embedding",
    ] {
        dense += &format!("{name},1,100\n{name},101,200\n");
    }
    let per_sequence = "layer,sequences,time_us\nlm_head,1,7\nlm_head,8,14\n";
    profile::read(
        1,
        (attention.as_bytes(), "attention.csv"),
        (dense.as_bytes(), "dense.csv"),
        (per_sequence.as_bytes(), "per_sequence.csv"),
    )
}

#[test]
fn a_profile_by_hand() {
    let model = StepLatency::Profile(Box::new(by_hand().unwrap())).model();
    let us = |seconds: f64| (seconds * 1e9).round() / 1e3;
    // Two sequences with 64 tokens together: a third of the way from one to four: attention
    // 74 and 74 at that total; dense 7 kernels (layernorm twice) of 101 us; lm_head 8.
    let piece = model.decode(2, 64);
    assert_eq!(us(piece.at_s), 74.0 + 7.0 * 101.0 + 8.0);
    // On both curves a token of context is 1 us; the first of them ends at 64 tokens.
    assert_eq!(us(piece.per_token_s), 1.0);
    assert!(model.decode(1, 64).inside);
    // Beside: chunk of 16 behind 100 tokens (1728 us alone), two sequences, 64 tokens of context.
    let chunks = [Chunk {
        tokens: 16,
        before: 100,
    }];
    let step = model.step(&StepWork {
        sequences: 2,
        context: 64,
        chunks: &chunks,
        sampled: 3,
    });
    let expected = 16.0 * 108.0 + 128.0 + 7.0 * 117.0 + 9.0;
    assert_eq!(us(step.seconds), expected);
    assert!(step.inside);
    // Beyond the profile: said so, and no shorter.
    let beyond = model.decode(5, 10_000);
    assert!(!beyond.inside && beyond.at_s > model.decode(4, 256).at_s);
}

#[test]
fn other_kernels_captured_sizes_and_unequal_contexts_by_hand() {
    let us = |seconds: f64| (seconds * 1e9).round() / 1e3;
    let model = |p: &profile::Profile| StepLatency::Profile(Box::new(p.clone())).model();
    let sweep = |count: &[u32], time_us: &[f64]| profile::Sweep {
        count: count.to_vec(),
        time_us: time_us.to_vec(),
    };
    // Two layers: attention, dense kernels once or twice in each, embedding and lm_head once.
    let mut p = by_hand().unwrap();
    p.layers = 2;
    let before = model(&p).decode(4, 64).at_s;
    p.dense
        .insert("qk_norm".to_owned(), sweep(&[1, 101], &[3.0, 3.0]));
    p.dense
        .insert("another".to_owned(), sweep(&[1, 101], &[0.5, 0.5]));
    p.per_sequence
        .insert("logits".to_owned(), sweep(&[1, 8], &[2.0, 2.0]));
    p.check("profile").unwrap();
    assert_eq!(us(model(&p).decode(4, 64).at_s - before), 2.0 * 3.5 + 2.0);

    // Three sequences run as four, five as eight, nine as nine: a dense kernel takes 99 + n us, seven of them.
    let mut p = by_hand().unwrap();
    let plain = model(&p);
    p.captured = vec![1, 2, 4, 8];
    p.check("profile").unwrap();
    let padded = model(&p);
    for (n, more) in [
        (1, 0.0),
        (2, 0.0),
        (3, 1.0),
        (4, 0.0),
        (5, 3.0),
        (8, 0.0),
        (9, 0.0),
    ] {
        let added = padded.decode(n, 100).at_s - plain.decode(n, 100).at_s;
        assert_eq!(us(added), 7.0 * more, "{n}");
    }
    // Beside a prompt nothing is padded.
    let chunks = [Chunk {
        tokens: 16,
        before: 0,
    }];
    let mixed = StepWork {
        sequences: 3,
        context: 100,
        chunks: &chunks,
        sampled: 4,
    };
    assert_eq!(padded.step(&mixed), plain.step(&mixed));
    for bad in [vec![4, 2], vec![0, 1], vec![2, 2]] {
        p.captured = bad;
        assert!(p.check("profile").is_err());
    }

    // Measured with 4 sequences: a quarter of the way from mean to longest, half of it beside a prompt.
    let csv =
        "regime,n,pc,t_mean_us,t_max_us,t_skew_us\npure,4,0,100,180,120\nmixed,4,16,100,120,110\n";
    let mut p = by_hand().unwrap();
    p.skew = Some(profile::read_skew(csv.as_bytes(), "skew.csv").unwrap());
    p.check("profile").unwrap();
    let skewed = model(&p);
    assert!(skewed.is_skewed() && !plain.is_skewed());
    // Contexts 10, 10, 10 and 34: together 64, all at the longest 136, a token of decode attention 1 us; beside a
    // prompt 2 us.
    let alone = StepWork {
        sequences: 4,
        context: 64,
        chunks: &[],
        sampled: 4,
    };
    let piece = skewed.skew(&alone, 34);
    assert_eq!(us(piece.at_s), 0.25 * 72.0);
    assert_eq!(us(piece.per_token_s), 0.0);
    let beside = StepWork {
        chunks: &chunks,
        ..alone
    };
    assert_eq!(us(skewed.skew(&beside, 34).at_s), 0.5 * 144.0);
    // Equal contexts cost nothing more.
    assert_eq!(skewed.skew(&alone, 16).at_s, 0.0);
    let error = profile::read_skew("n,pc\n1,2\n".as_bytes(), "skew.csv").unwrap_err();
    assert!(error.to_string().contains("no column t_mean_us"), "{error}");
}

#[test]
fn what_is_wrong_with_a_profile_is_named() {
    let read = |attention: &str, dense: &str, per_sequence: &str| {
        profile::read(
            1,
            (attention.as_bytes(), "a.csv"),
            (dense.as_bytes(), "d.csv"),
            (per_sequence.as_bytes(), "p.csv"),
        )
        .unwrap_err()
        .to_string()
    };
    let good = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,16,9\n16,0,0,0,9\n";
    let dense = "layer,tokens,time_us\nqkv_proj,1,1\no_proj,1,1\ngate_up_proj,1,1\ndown_proj,1,1\n";
    let head = "layer,sequences,time_us\nlm_head,1,5\n";
    for (said, expected) in [
        (
            read(
                "prefill_chunk,kv_prefill,n_decode,time_us\n0,0,1,9\n",
                dense,
                head,
            ),
            "a.csv: no column kv_decode",
        ),
        (
            read(&good.replace("9\n16", "nine\n16"), dense, head),
            "a.csv, row 2, column \"time_us\": \"nine\" is not a time from 0 up",
        ),
        (
            read(&good.replace("1,16,9", "1.5,16,9"), dense, head),
            "column \"n_decode\": \"1.5\" is not a whole number",
        ),
        (
            read(&good.replace(",9\n16", ",0\n16"), dense, head),
            "attention.time_us[0]: 0 is not",
        ),
        (
            read(good, &dense.replace("o_proj", "out"), head),
            "a profile without o_proj",
        ),
        (
            read(good, &dense.replace("o_proj,1,1\n", ""), head),
            "a profile without o_proj",
        ),
        (
            read(good, dense, &head.replace("lm_head", "sampler")),
            "a profile without lm_head",
        ),
        (
            read(
                "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,16,9\n",
                dense,
                head,
            ),
            "some that only decode",
        ),
        (read(good, "", head), "d.csv"),
    ] {
        assert!(said.contains(expected), "{said}\nlacks {expected}");
    }
}

#[test]
fn measured_points_come_out_as_they_were_measured() {
    let Some(profile) = real() else { return };
    let model = StepLatency::Profile(Box::new(profile.clone())).model();
    let dense = |tokens: u32| -> Option<f64> {
        let mut sum = 0.0;
        for (name, sweep) in &profile.dense {
            let at = sweep.count.iter().position(|&c| c == tokens)?;
            let times = match name.as_str() {
                "layernorm" => 64.0,
                "embedding" | "final_layernorm" => 1.0,
                _ => 32.0,
            };
            sum += times * sweep.time_us[at];
        }
        Some(sum)
    };
    let head = |sequences: u32| -> Option<f64> {
        let mut sum = 0.0;
        for sweep in profile.per_sequence.values() {
            let at = sweep.count.iter().position(|&c| c == sequences)?;
            sum += sweep.time_us[at];
        }
        Some(sum)
    };
    let a = &profile.attention;
    let mut checked = 0;
    for i in 0..a.time_us.len() {
        let (q, s, n, kv) = (
            a.prefill_chunk[i],
            a.kv_prefill[i],
            a.n_decode[i],
            a.kv_decode[i],
        );
        // Beside a chunk the profile is taken at the chunk's shortest context.
        if q > 0 && n > 0 && s > 0 {
            continue;
        }
        let chunks = [Chunk {
            tokens: q,
            before: s,
        }];
        let sampled = if n == 0 { 1 } else { n };
        let (Some(dense), Some(head)) = (dense(q + n), head(sampled)) else {
            continue;
        };
        let step = model.step(&StepWork {
            sequences: n,
            context: u64::from(n) * u64::from(kv),
            chunks: if q > 0 { &chunks } else { &[] },
            sampled,
        });
        let expected = (dense + head + 32.0 * a.time_us[i]) * 1e-6;
        // A chunk that is quicker beside others than alone is not believed.
        let off = step.seconds / expected - 1.0;
        assert!(
            off.abs() < 1e-9 || (q > 0 && (0.0..0.01).contains(&off)),
            "{q} {s} {n} {kv}: {off}"
        );
        checked += 1;
    }
    assert!(checked > 500, "{checked}");
}

/// Steps along the lines that `decode` gives are those that `step` gives.
fn lines_hold(
    latency: &StepLatency,
    sequences: u32,
    from: u64,
    steps: u64,
) -> Result<(), TestCaseError> {
    let model = latency.model();
    let mut context = from;
    let mut left = steps;
    while left > 0 {
        let piece = model.decode(sequences, context);
        prop_assert!(piece.until >= context);
        let mut along = context;
        while left > 0 && along <= piece.until {
            let step = model.step(&StepWork {
                sequences,
                context: along,
                chunks: &[],
                sampled: sequences,
            });
            let line = piece.at_s + piece.per_token_s * (along - context) as f64;
            prop_assert!(
                (line - step.seconds).abs() <= 1e-12 * step.seconds.max(1e-3),
                "{} sequences at {}: {} and {}",
                sequences,
                along,
                line,
                step.seconds
            );
            along += u64::from(sequences);
            left -= 1;
        }
        context = along;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_of_a_profile_are_its_steps(sequences in 1..300u32, from in 0..200_000u64) {
        let latency = StepLatency::Profile(Box::new(by_hand().unwrap()));
        lines_hold(&latency, sequences.min(9), from % 900, 100)?;
        if let Some(profile) = real() {
            lines_hold(&StepLatency::Profile(Box::new(profile)), sequences, from, 60)?;
        }
    }

    #[test]
    fn lines_of_a_table_are_its_steps(
        points in prop::collection::vec((1..40u32, 0..5000u32, 0.5..50.0f64), 2..40),
        sequences in 1..60u32,
        from in 0..8000u64,
    ) {
        let table = StepTable {
            sequences: points.iter().map(|p| p.0).collect(),
            context: points.iter().map(|p| p.1).collect(),
            prefill: vec![0; points.len()],
            time_ms: points.iter().map(|p| p.2).collect(),
        };
        prop_assert!(table.check("table").is_ok());
        let least = points.iter().map(|p| p.2).fold(f64::INFINITY, f64::min) * 1e-3;
        let latency = StepLatency::Table(table);
        let model = latency.model();
        // Never below the shortest that was measured, however far the lines are drawn.
        for far in [0, 1_000, 1_000_000] {
            prop_assert!(model.decode(sequences, far).at_s >= least * (1.0 - 1e-12));
        }
        lines_hold(&latency, sequences, from, 60)?;
    }
}

#[test]
fn a_table_by_hand() {
    let csv = "batch,context,prefill,time_ms\n1,0,0,10\n1,1000,0,12\n3,0,0,14\n3,1000,0,20\n1,0,100,30\n3,1000,100,50\n";
    let table = StepTable::read(csv.as_bytes(), "t.csv").unwrap();
    let model = StepLatency::Table(table).model();
    let piece = model.decode(2, 500);
    assert!((piece.at_s - 0.014).abs() < 1e-12);
    assert!((piece.per_token_s - 4e-6).abs() < 1e-15);
    assert_eq!(piece.until, 1000);
    let chunks = [Chunk {
        tokens: 50,
        before: 0,
    }];
    let step = model.step(&StepWork {
        sequences: 1,
        context: 0,
        chunks: &chunks,
        sampled: 2,
    });
    assert!((step.seconds - 0.020).abs() < 1e-12 && step.inside);
    let refused = StepTable::read(
        "batch,context,prefill,time_ms\n1,0,0,-1\n".as_bytes(),
        "t.csv",
    );
    assert!(refused.unwrap_err().to_string().contains("\"-1\""));
}
