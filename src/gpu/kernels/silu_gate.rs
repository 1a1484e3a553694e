//! The MLP's gate: SiLU of one half of a row times the other.

use super::{Bind, Flavour, Source, Text};

pub const WORKGROUP: u32 = 128;

pub fn source(flavour: Flavour) -> Source {
    Source {
        name: "silu-gate".to_owned(),
        wgsl: Text::new(flavour)
            .set("WORKGROUP", WORKGROUP)
            .of(&[include_str!("silu_gate.wgsl")]),
        entry: "silu_gate",
        bindings: &[Bind::Read, Bind::Write, Bind::Uniform],
    }
}

/// Twin for one row: gates, then ups.
pub fn silu_gate(gate_up: &[f64]) -> Vec<f64> {
    let (gates, ups) = gate_up.split_at(gate_up.len() / 2);
    gates
        .iter()
        .zip(ups)
        .map(|(gate, up)| gate / (1.0 + libm::exp(-gate)) * up)
        .collect()
}
