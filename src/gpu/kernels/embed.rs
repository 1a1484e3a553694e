//! Embeddings: rows of the LM head's matrix.

use super::weights::{self, Matrix, unpacking};
use super::{Bind, Flavour, Source, Text};
use crate::latency::architecture::Precision;

pub fn source(flavour: Flavour, precision: Precision) -> Source {
    let (text, file) = unpacking(Text::new(flavour), precision);
    Source {
        name: format!("embed-{}", weights::name(flavour, precision)),
        wgsl: text
            .set("WORKGROUP", 64)
            .of(&[file, include_str!("embed.wgsl")]),
        entry: "embed",
        bindings: &[
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Write,
            Bind::Uniform,
        ],
    }
}

/// Twin: the embedding of a token.
pub fn embed(matrix: &Matrix, token: u32) -> Vec<f64> {
    (0..matrix.width).map(|i| matrix.weight(token, i)).collect()
}
