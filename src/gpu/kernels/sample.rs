//! The next token: the greatest logit, or a draw from the softmax by Gumbel noise.

use super::fill::hash;
use super::{Bind, Flavour, Source, Text};

/// Parts into which a vocabulary is divided.
pub const PARTS: u32 = 32;

const BINDINGS: &[Bind] = &[
    Bind::Read,
    Bind::Read,
    Bind::Read,
    Bind::Write,
    Bind::Write,
    Bind::Write,
    Bind::Uniform,
];

fn source(flavour: Flavour, entry: &'static str) -> Source {
    Source {
        name: entry.replace('_', "-"),
        wgsl: Text::new(flavour)
            .set("WORKGROUP", 128)
            .of(&[include_str!("sample.wgsl")]),
        entry,
        bindings: BINDINGS,
    }
}

/// The first pass: workgroups are parts times rows.
pub fn parts(flavour: Flavour) -> Source {
    source(flavour, "sample_parts")
}

/// The second: a workgroup a row.
pub fn best(flavour: Flavour) -> Source {
    source(flavour, "sample_best")
}

/// The uniform.
pub fn shape(vocabulary: u32, temperature: f32, seed: u32) -> [u32; 4] {
    [vocabulary, PARTS, temperature.to_bits(), seed]
}

/// Twin: what each token is judged by; the greatest is drawn, of equals the first.
pub fn scores(logits: &[f64], slot: u32, position: u32, temperature: f64, seed: u32) -> Vec<f64> {
    let stream = hash(position ^ hash(slot ^ hash(seed)));
    logits
        .iter()
        .zip(0u32..)
        .map(|(logit, token)| {
            if temperature > 0.0 {
                let uniform = (f64::from(hash(token ^ stream) >> 9) + 0.5) / 8_388_608.0;
                logit / temperature - libm::log(-libm::log(uniform))
            } else {
                *logit
            }
        })
        .collect()
}

/// Twin: the token.
pub fn sample(logits: &[f64], slot: u32, position: u32, temperature: f64, seed: u32) -> u32 {
    let mut best = (f64::NEG_INFINITY, u32::MAX);
    for (score, token) in scores(logits, slot, position, temperature, seed)
        .into_iter()
        .zip(0u32..)
    {
        if score > best.0 {
            best = (score, token);
        }
    }
    best.1
}
