//! Decoders whose layers differ one by one: Nemotron-H, where a layer is either a mixer or an MLP, and the decoders
//! of a search over architectures, Nemotron-NAS.

use super::fields::{Fields, MAX_SIZE, narrow};
use super::shape::{Shape, state};
use super::{Feed, Layer, Mixer, feed, mixer};
use crate::Error;

/// One block of Nemotron-H.
pub(super) fn hybrid(fields: &Fields, shape: &Shape, layer: usize) -> Result<Layer, Error> {
    let (mixer, feed) = match letter(fields, layer)? {
        'M' => (mamba(fields, shape)?, Feed::None),
        '*' => (attention(shape), Feed::None),
        '-' => {
            let weights = 2 * shape.hidden * fields.size(&["intermediate_size"])?;
            (Mixer::None, Feed::Dense { weights })
        }
        _ => (Mixer::None, experts(fields, shape)?),
    };
    Ok(Layer {
        count: 1,
        mixer,
        feed,
        norms: shape.hidden,
    })
}

/// The letter of a block: M for Mamba, E for experts, * for attention, - for an MLP.
fn letter(fields: &Fields, layer: usize) -> Result<char, Error> {
    let pattern = "hybrid_override_pattern";
    if let Some(text) = fields.text(pattern)? {
        return text
            .as_bytes()
            .get(layer)
            .map(|&byte| char::from(byte))
            .filter(|letter| "ME*-".contains(*letter))
            .ok_or_else(|| fields.refuse(pattern, "one letter of M, E, * and - for each layer"));
    }
    let list = "layers_block_type";
    match fields.entry(list, layer)?.and_then(|name| name.as_str()) {
        Some("mamba") => Ok('M'),
        Some("moe") => Ok('E'),
        Some("attention") => Ok('*'),
        Some("mlp") => Ok('-'),
        _ => Err(fields.refuse(list, "mamba, moe, attention or mlp for each layer")),
    }
}

fn attention(shape: &Shape) -> Mixer {
    Mixer::Attention {
        weights: mixer::projections(shape),
        heads: narrow(shape.heads),
        kv_heads: narrow(shape.kv_heads),
        head_size: narrow(shape.head),
        window: None,
    }
}

/// A Mamba-2 layer.
fn mamba(fields: &Fields, shape: &Shape) -> Result<Mixer, Error> {
    let size = |name: &'static str| fields.size(&[name]);
    let (heads, state_size) = (size("mamba_num_heads")?, size("ssm_state_size")?);
    let inner = fields.width("mamba_num_heads", heads, size("mamba_head_dim")?)?;
    let group = fields.width("n_groups", size("n_groups")?, state_size)?;
    let (kernel, mixed) = (size("conv_kernel")?, inner + 2 * group);
    let bias = u64::from(fields.flag("use_conv_bias")? != Some(false));
    let weights = shape.hidden * (inner + mixed + heads)
        + mixed * (kernel + bias)
        + 3 * heads
        + inner
        + inner * shape.hidden;
    state(
        fields,
        "mamba_ssm_cache_dtype",
        weights,
        inner * state_size,
        mixed * (kernel - 1),
    )
}

/// Experts of Nemotron-H: no gate, in a narrower width where the file has `moe_latent_size`.
fn experts(fields: &Fields, shape: &Shape) -> Result<Feed, Error> {
    let hidden = shape.hidden;
    let count = fields.size(&["n_routed_experts"])?;
    let inner = fields.size(&["moe_intermediate_size"])?;
    let latent = fields.size_or_none(&["moe_latent_size"])?;
    let shared = fields.size_or_none(&["moe_shared_expert_intermediate_size"])?;
    Ok(Feed::Experts {
        count: narrow(count),
        active: narrow(feed::active(fields, count)?),
        expert_weights: 2 * latent.unwrap_or(hidden) * inner,
        shared_weights: count * (hidden + 1)
            + 2 * hidden * (shared.unwrap_or(0) + latent.unwrap_or(0)),
    })
}

/// One layer of Nemotron-NAS, where attention, MLP or both may be left out.
pub(super) fn searched(fields: &Fields, shape: &Shape, layer: usize) -> Result<Layer, Error> {
    let allowed = "an object with attention and ffn for each layer";
    let entry = fields.entry("block_configs", layer)?;
    let block = entry
        .and_then(|block| block.as_object())
        .ok_or_else(|| fields.refuse("block_configs", allowed))?;
    let block = fields.within("block_configs", block);
    let part = |name: &'static str| match block.object(name)? {
        Some(part) => Ok(block.within(name, part)),
        None => Err(fields.refuse("block_configs", allowed)),
    };
    let (heads, mlp) = (part("attention")?, part("ffn")?);
    let mut norms = 0;
    let mixer = if heads.flag("no_op")? == Some(true) {
        Mixer::None
    } else {
        norms += shape.hidden;
        let group = heads.size(&["n_heads_in_group"])?;
        if !shape.heads.is_multiple_of(group) {
            let allowed = format!("a divisor of the {} attention heads", shape.heads);
            return Err(heads.refuse("n_heads_in_group", allowed));
        }
        let kv_heads = shape.heads / group;
        attention(&Shape { kv_heads, ..*shape })
    };
    let feed = if mlp.flag("no_op")? == Some(true) {
        Feed::None
    } else {
        norms += shape.hidden;
        let weights = 3 * shape.hidden * searched_width(&mlp, shape.hidden)?;
        Feed::Dense { weights }
    };
    Ok(Layer {
        count: 1,
        mixer,
        feed,
        norms,
    })
}

/// Width of an MLP from `ffn_mult`: two thirds of that multiple of the hidden width, up to a multiple of 256.
fn searched_width(mlp: &Fields, hidden: u64) -> Result<u64, Error> {
    let factor = mlp.get("ffn_mult").and_then(|factor| factor.as_f64());
    match factor.map(|factor| 2.0 * factor * hidden as f64 / 3.0) {
        Some(width) if (1.0..=MAX_SIZE as f64).contains(&width) => {
            Ok((width as u64).next_multiple_of(256))
        }
        _ => Err(mlp.refuse(
            "ffn_mult",
            format!("a number that makes a width from 1 to {MAX_SIZE}"),
        )),
    }
}
