//! Models on GPUs: typical steps and upper bounds.

use batchscope::latency::architecture::{Architecture, Precision};
use batchscope::latency::hardware::Card;
use batchscope::latency::model::Model;
use batchscope::latency::roofline::Stored;
use batchscope::latency::typical::{Basis, Group, step};
use batchscope::latency::{Chunk, StepLatency, StepModel, StepWork};
use batchscope::scenario::{MEMORY_SHARE, Placement, Scenario};

fn work(sequences: u32, context: u64, chunks: &[Chunk]) -> StepWork<'_> {
    StepWork {
        sequences,
        context,
        chunks,
        sampled: sequences + u32::from(!chunks.is_empty()),
    }
}

fn of(model: &str, card: &str, gpus: u32, expert_groups: u32, basis: Basis) -> StepModel {
    let (model, card) = (Model::named(model).unwrap(), Card::preset(card).unwrap());
    let group = Group {
        card: &card,
        gpus,
        expert_groups,
    };
    StepLatency::Modelled(Box::new(step(&model, &group, basis))).model()
}

/// One question has one answer: the upper bound of a dense model is its roofline. Only prompts differ: the roofline charges each of
/// their tokens the LM head, and keys and values are written in it.
#[test]
fn the_upper_bound_of_a_dense_model_is_its_roofline() {
    let architecture = Architecture::preset("llama-3.1-8b").unwrap();
    for name in ["l4", "a100", "h100", "b200"] {
        let card = Card::preset(name).unwrap();
        let sheet = Stored::new(&architecture, Precision::F16).roofline(&card.hardware);
        let bound = of("llama-3.1-8b", name, 1, 1, Basis::Datasheet);
        for (sequences, context) in [(1, 100), (8, 9000), (64, 64_000), (512, 900_000)] {
            let line = sheet.step_s(f64::from(sequences), context as f64, 0.0);
            let modelled = bound.step(&work(sequences, context, &[])).seconds;
            // The roofline writes 131 kB a sequence, and biases and norms are left out of both.
            assert!(
                (modelled / line - 1.0).abs() < 0.01,
                "{name} {sequences}: {modelled} {line}"
            );
        }
    }
}

/// vLLM on one H100 with Llama-3.1-8B leaves 7.3, 11.5 and 26.1 ms between tokens at 8, 64 and 256 sequences (ML.ENERGY
/// benchmark); this model is in the fit, so this holds the form and not the prediction.
#[test]
fn typical_steps_are_what_was_measured() {
    let h100 = of("llama-3.1-8b", "h100", 1, 1, Basis::Typical);
    for (sequences, measured_ms) in [(8, 7.3), (64, 11.5), (256, 26.1)] {
        let context = u64::from(sequences) * 460;
        let ms = h100.step(&work(sequences, context, &[])).seconds * 1e3;
        assert!(
            (ms / measured_ms - 1.0f64).abs() < 0.15,
            "{sequences}: {ms}"
        );
    }
}

/// Every model of the catalogue on every card has steps, and the upper bound is above what is typical.
#[test]
fn every_model_has_steps_on_every_card() {
    let chunk = [Chunk {
        tokens: 700,
        before: 300,
    }];
    for name in Model::names() {
        let model = Model::named(name).unwrap();
        for card in Card::all() {
            let group = Group {
                card,
                gpus: 1,
                expert_groups: 1,
            };
            let [typical, bound] = [Basis::Typical, Basis::Datasheet].map(|basis| {
                let step = step(&model, &group, basis);
                step.check("latency.modelled").unwrap();
                StepLatency::Modelled(Box::new(step)).model()
            });
            for work in [
                work(1, 100, &[]),
                work(64, 99_000, &[]),
                work(7, 5000, &chunk),
            ] {
                let (a, b) = (typical.step(&work).seconds, bound.step(&work).seconds);
                assert!(
                    a.is_finite() && a >= b && b > 0.0,
                    "{name} {}: {a} {b}",
                    card.key
                );
            }
        }
    }
}

/// The line of decode steps is the step itself, up to and at the place where a window is full, and beyond.
#[test]
fn decode_lines_hold_until_windows_are_full() {
    for name in [
        "gpt-oss-20b",
        "gemma-3-27b",
        "llama-4-scout",
        "nemotron-nano-9b-v2",
    ] {
        let model = of(name, "h100", 1, 1, Basis::Typical);
        for sequences in [1, 13, 200] {
            let mut context = u64::from(sequences);
            for _ in 0..6 {
                let piece = model.decode(sequences, context);
                let ends = [context, context + 17, piece.until.min(context + 90_000_000)];
                for at in ends.into_iter().filter(|&at| at <= piece.until) {
                    let line = piece.at_s + piece.per_token_s * (at - context) as f64;
                    let step = model.step(&work(sequences, at, &[])).seconds;
                    assert!((line / step - 1.0).abs() < 1e-12, "{name} {sequences} {at}");
                }
                if piece.until == u64::MAX {
                    break;
                }
                context = piece.until + 1;
            }
        }
    }
}

/// Sparse attention reads the latent vectors of 2,048 tokens at most, and the keys of its indexer of all: 61 layers of 576 and
/// of 128 values of 2 bytes, on one H200 with the cache's share of the bandwidth.
#[test]
fn sparse_attention_reads_no_more_than_it_attends_to() {
    let bound = of("deepseek-v3.2", "h200", 1, 1, Basis::Datasheet);
    let at = |context: u64| bound.step(&work(1, context, &[])).seconds;
    let per_token = |from: u64, to: u64| (at(to) - at(from)) / (to - from) as f64;
    let one_byte_s = 1.0 / 4.8e12;
    let short = 61.0 * 2.0 * (576.0 + 128.0) * one_byte_s;
    let long = 61.0 * 2.0 * 128.0 * one_byte_s;
    assert!((per_token(100, 2048) / short - 1.0).abs() < 1e-6);
    assert!((per_token(2048, 100_000) / long - 1.0).abs() < 1e-6);
}

/// Two GPUs exchange once after each mixer and each feed-forward part, which a layer of Nemotron-H has one of.
#[test]
fn a_layer_exchanges_what_it_has() {
    let exchange = |name: &str, gpus| {
        let (model, card) = (Model::named(name).unwrap(), Card::preset("h100").unwrap());
        let group = Group {
            card: &card,
            gpus,
            expert_groups: 1,
        };
        step(&model, &group, Basis::Typical).exchange_token_s
    };
    assert_eq!(exchange("llama-3.1-8b", 1), 0.0);
    // 230 GB/s of the reduced vector.
    for (name, blocks, hidden) in [
        ("llama-3.1-8b", 64.0, 4096.0),
        ("nemotron-nano-9b-v2", 56.0, 4480.0),
    ] {
        let expected = blocks * hidden * 2.0 / 230e9;
        let got = exchange(name, 2);
        assert!((got / expected - 1.0).abs() < 1e-12, "{name}: {got}");
    }
}

/// A GeForce is no B200, although both are called Blackwell.
#[test]
fn another_chip_has_no_shares_of_a_datacentre_gpu() {
    let spread = |card: &str| {
        let (model, card) = (
            Model::named("qwen3-8b").unwrap(),
            Card::preset(card).unwrap(),
        );
        let group = Group {
            card: &card,
            gpus: 1,
            expert_groups: 1,
        };
        step(&model, &group, Basis::Typical).spread.unwrap()
    };
    let (geforce, b200) = (spread("rtx-5090"), spread("b200"));
    assert!(geforce.high > b200.high && geforce.low < b200.low);
}

/// More tokens never make a step shorter, nor do experts of one's own read less than an even share.
#[test]
fn steps_grow_with_what_they_do() {
    for (name, groups) in [
        ("qwen3-30b-a3b", 1),
        ("qwen3-30b-a3b", 4),
        ("deepseek-v3", 4),
    ] {
        let model = of(name, "h200", 4, groups, Basis::Typical);
        let mut last = 0.0;
        for sequences in 1..600 {
            let seconds = model
                .step(&work(sequences, 1000 * u64::from(sequences), &[]))
                .seconds;
            assert!(seconds > last, "{name} {groups} {sequences}");
            last = seconds;
        }
    }
    let even = of("qwen3-30b-a3b", "h100", 4, 1, Basis::Datasheet);
    let own = of("qwen3-30b-a3b", "h100", 4, 4, Basis::Datasheet);
    for sequences in [1, 8, 64] {
        let work = work(sequences, 1000, &[]);
        assert!(own.step(&work).seconds >= even.step(&work).seconds * (1.0 - 1e-9));
    }
}

#[test]
fn a_placement_takes_the_memory_that_there_is() {
    let place = |model: &str, gpus: u32, sequences: u32, experts: bool| {
        let mut scenario = Scenario::continuous();
        scenario.fleet.gpus = gpus;
        scenario.server_mut().unwrap().max_sequences = sequences;
        let (model, card) = (Model::named(model).unwrap(), Card::preset("h100").unwrap());
        let placement = Placement {
            model: &model,
            precision: None,
            card: &card,
            tensor_parallel: gpus,
            expert_parallel: experts,
            memory_share: MEMORY_SHARE,
            basis: Basis::Typical,
        };
        placement.put_on(&mut scenario)?;
        scenario.validate()?;
        Ok::<_, batchscope::Error>(*scenario.memory())
    };
    // 8.03 billion weights of two bytes; 131,072 bytes of keys and values a token.
    let dense = place("llama-3.1-8b", 1, 256, false).unwrap();
    assert!((dense.model_gb / 16.06 - 1.0).abs() < 1e-3);
    assert_eq!(dense.kv_gb_per_token, 131_072e-9);
    // Latent attention is held by each of eight GPUs.
    let latent = place("deepseek-v3", 8, 64, true);
    assert!(
        latent.unwrap_err().to_string().contains("memory"),
        "671 GB do not fit into 576"
    );
    for (model, gpus, sequences, experts, said) in [
        ("nemotron-nano-9b-v2", 1, 4096, false, "max_sequences"),
        ("llama-3.1-8b", 2, 64, true, "has no experts"),
        ("llama-3.1-8b", 3, 64, false, "32 query heads"),
        ("deepseek-v3", 1, 64, false, "memory"),
    ] {
        let refused = place(model, gpus, sequences, experts)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(said), "{model}: {refused}");
    }
}
