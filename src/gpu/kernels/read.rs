//! Streaming reads: what the memory gives when nothing else is asked of the device.

use super::{Bind, Flavour, Source, Text};

/// Bytes that a workgroup reads.
pub const BYTES: u32 = WORKGROUP * 8 * 16;
const WORKGROUP: u32 = 256;

pub fn source(flavour: Flavour) -> Source {
    Source {
        name: "read".to_owned(),
        wgsl: Text::new(flavour)
            .set("WORKGROUP", WORKGROUP)
            .of(&[include_str!("read.wgsl")]),
        entry: "read_all",
        bindings: &[Bind::Read, Bind::Write],
    }
}

/// Twin: the words that are kept, one per workgroup.
pub fn read(words: &[u32]) -> Vec<u32> {
    words
        .chunks(BYTES as usize / 4)
        .map(|chunk| chunk.iter().fold(0, |mixed, word| mixed ^ word))
        .collect()
}
