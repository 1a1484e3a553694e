//! Random weights, made on the device: sending gigabytes there would take longer than measuring.

use super::weights::{self, Matrix, pack_halves, per_word};
use super::{Bind, Flavour, Source, Text};
use crate::latency::architecture::Precision;

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Weights(Precision),
    /// Scales of blocks.
    Scales,
}

impl Kind {
    pub const ALL: [Kind; 5] = [
        Kind::Weights(Precision::F32),
        Kind::Weights(Precision::F16),
        Kind::Weights(Precision::Int8),
        Kind::Weights(Precision::Int4),
        Kind::Scales,
    ];

    fn number(self) -> u32 {
        match self {
            Kind::Weights(Precision::F32) => 0,
            Kind::Weights(Precision::F16) => 1,
            Kind::Weights(Precision::Int8) => 2,
            Kind::Weights(Precision::Int4) => 3,
            Kind::Scales => 4,
        }
    }

    fn per_word(self) -> u32 {
        match self {
            Kind::Weights(precision) => per_word(precision),
            Kind::Scales => 2,
        }
    }
}

pub const WORKGROUP: u32 = 256;

pub fn source(flavour: Flavour, kind: Kind) -> Source {
    Source {
        name: format!("fill-{}", kind.number()),
        wgsl: Text::new(flavour)
            .set("WORKGROUP", WORKGROUP)
            .set("KIND", kind.number())
            .set("PER_WORD", kind.per_word())
            .of(&[include_str!("fill.wgsl")]),
        entry: "fill",
        bindings: &[Bind::Write, Bind::Uniform],
    }
}

/// The uniform for `words` words from the matrix's word `first` on, rows of `width` weights and
/// `stride` words.
pub fn shape(words: u32, seed: u32, scale: f32, width: u32, stride: u32, first: u32) -> [u32; 8] {
    [words, seed, scale.to_bits(), width, stride, first, 0, 0]
}

/// pcg as a hash (Jarzynski and Olano 2020), as in the WGSL files.
pub fn hash(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// Twin: the words.
pub fn fill(kind: Kind, words: u32, seed: u32, scale: f32, width: u32, stride: u32) -> Vec<u32> {
    let value = |bits: u32| ((bits & 2047) as f32 - 1024.0) * scale;
    let seed = hash(seed);
    let each = kind.per_word();
    let word = |i: u32| {
        let bits = hash(i ^ seed);
        let first = (i % stride) * each;
        let inside = |j: u32| first + j < width;
        match kind {
            Kind::Weights(Precision::F32) => {
                if inside(0) {
                    value(bits).to_bits()
                } else {
                    0
                }
            }
            Kind::Weights(Precision::F16) => pack_halves(
                if inside(0) { value(bits) } else { 0.0 },
                if inside(1) { value(bits >> 11) } else { 0.0 },
            ),
            Kind::Weights(Precision::Int8) => (0..4)
                .filter(|&j| inside(j))
                .map(|j| {
                    let byte = (bits >> (8 * j)) & 255;
                    (if byte == 128 { 129 } else { byte }) << (8 * j)
                })
                .sum(),
            Kind::Weights(Precision::Int4) => (0..8)
                .map(|j| (if inside(j) { (bits >> (4 * j)) & 15 } else { 8 }) << (4 * j))
                .sum(),
            Kind::Scales => {
                let one = |set: u32| if set == 0 { scale } else { 0.75 * scale };
                pack_halves(one(bits & 1), one(bits & 2))
            }
        }
    };
    (0..words).map(word).collect()
}

/// The power of two that gives weights of `precision` about the size at which a product with `width`
/// values neither grows nor shrinks, and the seeds of weights and scales.
pub fn scale(precision: Precision, width: u32) -> f32 {
    // Standard deviation of a uniform number from -n to n: n/sqrt(3).
    let steps = match precision {
        Precision::F32 | Precision::F16 => 1024.0,
        Precision::Int8 => 128.0,
        Precision::Int4 => 8.0,
    };
    let wanted = libm::sqrt(3.0 / f64::from(width)) / steps;
    libm::exp2(libm::round(libm::log2(wanted))) as f32
}

/// Twin: a whole matrix as [`scale`] and `seed` make it.
pub fn matrix(precision: Precision, rows: u32, width: u32, seed: u32) -> Matrix {
    let stride = weights::vectors(precision, width) * 4;
    let scale = scale(precision, width);
    let kind = Kind::Weights(precision);
    let scale_words = weights::scale_words(precision, rows, width);
    Matrix {
        precision,
        rows,
        width,
        words: fill(kind, rows * stride, seed, scale, width, stride),
        scales: if scale_words == 0 {
            Vec::new()
        } else {
            fill(
                Kind::Scales,
                scale_words,
                hash(seed),
                scale,
                u32::MAX,
                u32::MAX,
            )
        },
    }
}
