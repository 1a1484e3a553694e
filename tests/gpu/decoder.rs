//! The whole decoder against its twin: prompts and decoding in one step, sequences of different
//! lengths, every precision; and what it does where memory runs out.

use std::rc::Rc;

use crate::support::gpu::{agree, agrees, devices};
use batchscope::gpu::check::Part;
use batchscope::gpu::decoder::{Config, Decoder, Row};
use batchscope::latency::architecture::{Architecture, Precision};

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

fn decode(slot: u32, position: u32) -> Row {
    Row {
        slot,
        position,
        token: None,
        sample: true,
    }
}

#[test]
fn logits_agree_with_the_twins_in_f32() {
    agree(Part::Decoder(Precision::F32));
}

#[test]
fn logits_agree_with_the_twins_in_f16() {
    agree(Part::Decoder(Precision::F16));
}

#[test]
fn logits_agree_with_the_twins_in_int8() {
    agree(Part::Decoder(Precision::Int8));
}

#[test]
fn logits_agree_with_the_twins_in_int4() {
    agree(Part::Decoder(Precision::Int4));
}

#[test]
fn matrices_in_several_buffers_are_the_same_matrices() {
    for precision in Precision::ALL {
        for mut device in devices().into_iter().take(1) {
            // Some forty rows a buffer, and the cache in one.
            device.restrict_binding(8192);
            agrees(device, Part::Decoder(precision));
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
