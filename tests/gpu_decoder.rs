//! The whole decoder against its twin: prompts and decoding in one step, sequences of different
//! lengths, every precision; and what it does where memory runs out.

#[path = "support/gpu.rs"]
mod gpu;

use std::rc::Rc;

use batchscope::gpu::Device;
use batchscope::gpu::decoder::{Config, Decoder, Row};
use batchscope::gpu::twin::Twin;
use batchscope::latency::architecture::{Architecture, Precision};
use gpu::{close, devices};

fn tiny(precision: Precision, qk_norm: bool) -> Config {
    Config {
        architecture: Architecture {
            name: "tiny".to_owned(),
            layers: 3,
            hidden: 96,
            heads: 4,
            kv_heads: 2,
            head_size: 32,
            mlp: 160,
            vocabulary: 301,
            qk_norm,
            tied: true,
            rope_theta: 1e4,
            norm_epsilon: 1e-6,
            source: "a test".to_owned(),
        },
        precision,
        pool_tokens: 1024,
        seed: 5,
        temperature: 0.0,
        most_bytes: None,
    }
}

fn prompt(slot: u32, tokens: std::ops::Range<u32>, last: bool) -> Vec<Row> {
    let end = tokens.end - 1;
    tokens
        .map(|position| Row {
            slot,
            position,
            token: Some((slot * 97 + position * 31) % 301),
            sample: last && position == end,
        })
        .collect()
}

fn decode(slot: u32, position: u32) -> Row {
    Row {
        slot,
        position,
        token: None,
        sample: true,
    }
}

/// Runs the same steps on both; the twin goes on from the tokens of the device.
fn compare(device: Device, config: Config) {
    let what = format!(
        "{} {:?} {:?}",
        device.adapter().name,
        device.flavour(),
        config.precision
    );
    let mut decoder = pollster::block_on(Decoder::new(Rc::new(device), config.clone())).unwrap();
    assert_eq!(decoder.layers(), config.architecture.layers);
    let mut twin = Twin::new(config.clone(), decoder.layers(), 4);
    // Block by block in turn, so that no sequence lies in one piece.
    for tokens in [20, 40, 60] {
        for slot in 0..4 {
            assert!(decoder.reserve(slot, tokens));
        }
    }
    let mut steps = vec![
        [prompt(0, 0..5, true), prompt(1, 0..20, false)].concat(),
        [
            vec![decode(0, 5)],
            prompt(1, 20..37, true),
            prompt(3, 0..1, true),
        ]
        .concat(),
    ];
    for step in 0..12 {
        steps.push(vec![
            decode(1, 37 + step),
            decode(3, 1 + step),
            decode(0, 6 + step),
        ]);
    }
    let vocabulary = config.architecture.vocabulary as usize;
    for (number, rows) in steps.iter().enumerate() {
        let (tokens, _) = pollster::block_on(decoder.step(rows)).unwrap();
        let logits = pollster::block_on(decoder.logits()).unwrap();
        let twins = twin.step(rows);
        assert_eq!(tokens.len(), twins.len());
        let sampled: Vec<&Row> = rows.iter().filter(|row| row.sample).collect();
        for (i, (expected, token)) in twins.iter().enumerate() {
            let got = &logits[i * vocabulary..][..vocabulary];
            close(got, expected, 1e-2, &format!("{what}, step {number}"));
            let gap = expected[*token as usize] - expected[tokens[i] as usize];
            assert!(gap < 1e-2, "{what}, step {number}: {gap}");
            twin.follow(sampled[i].slot, tokens[i]);
        }
    }
}

#[test]
fn logits_agree_with_the_twins() {
    for (i, device) in devices().into_iter().enumerate() {
        let precision = Precision::ALL[i % 4];
        compare(device, tiny(precision, i % 2 == 0));
    }
    for device in devices().into_iter().take(1) {
        let number = Some(0);
        drop(device);
        for precision in Precision::ALL {
            let device = pollster::block_on(Device::open(number)).unwrap();
            compare(device, tiny(precision, true));
        }
    }
}

#[test]
fn matrices_in_several_buffers_are_the_same_matrices() {
    for precision in Precision::ALL {
        for mut device in devices().into_iter().take(1) {
            // Some forty rows a buffer, and the cache in one.
            device.restrict_binding(8192);
            compare(device, tiny(precision, false));
        }
    }
}

#[test]
fn fewer_layers_where_memory_ends() {
    for device in devices().into_iter().take(1) {
        let device = Rc::new(device);
        let config = tiny(Precision::F16, true);
        let two = Config {
            most_bytes: Some(2 * config.layer_bytes() + 1),
            ..config.clone()
        };
        let decoder = pollster::block_on(Decoder::new(device.clone(), two)).unwrap();
        assert_eq!(decoder.layers(), 2);
        let none = Config {
            most_bytes: Some(config.layer_bytes()),
            ..config
        };
        let refused = pollster::block_on(Decoder::new(device, none)).err();
        assert_eq!(refused.map(|e| e.code()), Some("out-of-gpu-memory"));
    }
}

#[test]
fn rows_without_room_are_refused() {
    for device in devices().into_iter().take(1) {
        let config = tiny(Precision::F32, true);
        let mut decoder = pollster::block_on(Decoder::new(Rc::new(device), config)).unwrap();
        assert!(decoder.reserve(0, 16));
        for rows in [
            vec![],
            vec![decode(0, 16)],
            vec![decode(1, 0)],
            vec![decode(64, 0)],
            vec![decode(0, 0); 129],
        ] {
            let refused = pollster::block_on(decoder.step(&rows)).err();
            assert_eq!(refused.map(|e| e.code()), Some("gpu-refused"));
        }
        assert!(pollster::block_on(decoder.step(&[decode(0, 0)])).is_ok());
    }
}

#[test]
fn a_lost_device_says_so() {
    for device in devices().into_iter().take(1) {
        let device = Rc::new(device);
        let mut decoder =
            pollster::block_on(Decoder::new(device.clone(), tiny(Precision::F32, true))).unwrap();
        assert!(decoder.reserve(0, 16));
        device.destroy();
        assert!(pollster::block_on(decoder.step(&[decode(0, 0)])).is_err());
    }
}
