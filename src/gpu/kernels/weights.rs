//! Weights as a kernel reads them: rows of whole vectors of 16 bytes, padded to blocks of 32 weights.

use half::f16;

use super::{Flavour, Text};
use crate::latency::architecture::Precision;

/// Weights that share a scale, and to a multiple of which every row is padded.
pub const QUANTUM: u32 = 32;

/// Weights in a vector of 16 bytes.
pub fn per_vector(precision: Precision) -> u32 {
    match precision {
        Precision::F32 => 4,
        Precision::F16 => 8,
        Precision::Int8 => 16,
        Precision::Int4 => 32,
    }
}

/// Weights in a word.
pub fn per_word(precision: Precision) -> u32 {
    per_vector(precision) / 4
}

/// Vectors of a row of `width` weights.
pub fn vectors(precision: Precision, width: u32) -> u32 {
    width.div_ceil(QUANTUM) * QUANTUM / per_vector(precision)
}

/// Whether blocks have scales.
pub fn has_scales(precision: Precision) -> bool {
    matches!(precision, Precision::Int8 | Precision::Int4)
}

/// Words that hold the scales of `rows` rows, two to a word.
pub fn scale_words(precision: Precision, rows: u32, width: u32) -> u32 {
    if has_scales(precision) {
        (rows * width.div_ceil(QUANTUM)).div_ceil(2)
    } else {
        0
    }
}

/// The file that unpacks, and the text's settings for it.
pub(super) fn unpacking(text: Text, precision: Precision) -> (Text, &'static str) {
    let native = precision == Precision::F16 && text.flavour.f16;
    let file = match precision {
        Precision::F32 => include_str!("weights_f32.wgsl"),
        Precision::F16 if native => include_str!("weights_f16_native.wgsl"),
        Precision::F16 => include_str!("weights_f16.wgsl"),
        Precision::Int8 => include_str!("weights_int8.wgsl"),
        Precision::Int4 => include_str!("weights_int4.wgsl"),
    };
    (
        Text {
            f16: native,
            ..text
        },
        file,
    )
}

/// A name's part that tells the variants of a precision apart.
pub(super) fn name(flavour: Flavour, precision: Precision) -> String {
    let native = precision == Precision::F16 && flavour.f16;
    format!(
        "{}{}",
        precision.name(),
        if native { "-native" } else { "" }
    )
}

/// A matrix on the processor, packed as the kernels read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    pub precision: Precision,
    pub rows: u32,
    pub width: u32,
    pub words: Vec<u32>,
    pub scales: Vec<u32>,
}

impl Matrix {
    /// Twin of the unpacking: the weight in `row` and `column`.
    pub fn weight(&self, row: u32, column: u32) -> f64 {
        let stride = vectors(self.precision, self.width) * 4;
        let each = per_word(self.precision);
        let word = self.words[(row * stride + column / each) as usize];
        let part = column % each;
        match self.precision {
            Precision::F32 => f64::from(f32::from_bits(word)),
            Precision::F16 => half_of(word, part),
            Precision::Int8 => {
                f64::from((word >> (8 * part)) as u8 as i8) * self.scale(row, column)
            }
            Precision::Int4 => {
                (f64::from((word >> (4 * part)) & 15) - 8.0) * self.scale(row, column)
            }
        }
    }

    fn scale(&self, row: u32, column: u32) -> f64 {
        let block = row * self.width.div_ceil(QUANTUM) + column / QUANTUM;
        half_of(self.scales[(block / 2) as usize], block % 2)
    }
}

/// One of the two half-precision numbers of a word.
pub fn half_of(word: u32, which: u32) -> f64 {
    f16::from_bits((word >> (16 * which)) as u16).to_f64()
}

/// Two numbers as half-precision ones in a word.
pub fn pack_halves(low: f32, high: f32) -> u32 {
    u32::from(f16::from_f32(low).to_bits()) | u32::from(f16::from_f32(high).to_bits()) << 16
}
