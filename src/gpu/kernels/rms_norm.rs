//! RMSNorm, with the residual addition before it.

use super::gemv::lanes;
use super::{Bind, Flavour, Source, Text};

/// `add`: the branch is added to the residual stream first. `gather`: only listed rows.
pub fn source(flavour: Flavour, add: bool, gather: bool) -> Source {
    let mut text = Text::new(flavour)
        .set("WORKGROUP", 256)
        .flag("ADD", add)
        .flag("GATHER", gather);
    text.lanes = true;
    Source {
        name: format!(
            "rms-norm{}{}{}",
            if add { "-add" } else { "" },
            if gather { "-gather" } else { "" },
            lanes(flavour)
        ),
        wgsl: text.of(&[text.reductions(), include_str!("rms_norm.wgsl")]),
        entry: "rms_norm",
        bindings: &[
            Bind::Write,
            Bind::Read,
            Bind::Read,
            Bind::Write,
            Bind::Read,
            Bind::Uniform,
        ],
    }
}

/// The uniform.
pub fn shape(width: u32, epsilon: f64) -> [u32; 4] {
    [width, (epsilon as f32).to_bits(), 0, 0]
}

/// Twin for one row: the residual stream after the addition, and its norm.
pub fn rms_norm(x: &[f64], branch: Option<&[f64]>, gain: &[f64], epsilon: f64) -> [Vec<f64>; 2] {
    let added: Vec<f64> = match branch {
        Some(branch) => x.iter().zip(branch).map(|(x, d)| x + d).collect(),
        None => x.to_vec(),
    };
    let mean = added.iter().map(|x| x * x).sum::<f64>() / added.len() as f64;
    let factor = 1.0 / libm::sqrt(mean + epsilon);
    let normed = added
        .iter()
        .zip(gain)
        .map(|(x, g)| x * factor * g)
        .collect();
    [added, normed]
}
