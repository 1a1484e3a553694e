//! The MLP or the mixture of experts of each family.

use serde_json::Value;

use super::Feed;
use super::family::{Family, Kind};
use super::fields::{Fields, MAX_SIZE, narrow};
use super::shape::Shape;
use crate::Error;

const COUNT: [&str; 3] = ["n_routed_experts", "num_local_experts", "num_experts"];

const ACTIVE: [&str; 4] = [
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "experts_per_token",
];

/// What works on each token alone in one layer.
pub(super) fn read(
    fields: &Fields,
    family: &Family,
    shape: &Shape,
    layer: usize,
) -> Result<Feed, Error> {
    let hidden = shape.hidden;
    if family.kind == Kind::Bloom {
        let weights = 8 * hidden * hidden + 5 * hidden;
        return Ok(Feed::Dense { weights });
    }
    let count = fields.size_or_none(&COUNT)?;
    match count {
        Some(count) if has_experts(fields, family, layer)? => {
            experts(fields, family, shape, layer, count)
        }
        _ => {
            // Where dense layers are among layers of experts, their width may have its own name.
            let names = [
                "intermediate_size_mlp",
                "dense_intermediate_size",
                "intermediate_size",
            ];
            let weights = 3 * hidden * fields.size(&names)?;
            Ok(Feed::Dense { weights })
        }
    }
}

/// Whether a layer has experts, in a file that has some.
fn has_experts(fields: &Fields, family: &Family, layer: usize) -> Result<bool, Error> {
    let index = layer as u64;
    if family.kind == Kind::TwoHeadSizes && fields.flag("enable_moe_block")? != Some(true) {
        return Ok(false);
    }
    if matches!(fields.get("moe_layer_freq"), Some(Value::Array(_))) {
        return Ok(fields.switch("moe_layer_freq", layer)? == Some(true));
    }
    if let Some(first) = fields.whole(&["first_k_dense_replace"], 0, MAX_SIZE)? {
        let every = fields.optional_size(&["moe_layer_freq"])?.unwrap_or(1);
        return Ok(index >= first && index.is_multiple_of(every));
    }
    if let Some(every) = fields.optional_size(&["interleave_moe_layer_step"])? {
        return Ok((index + 1).is_multiple_of(every));
    }
    let dense = fields.list("mlp_only_layers")?.unwrap_or_default();
    let every = fields.optional_size(&["decoder_sparse_step"])?.unwrap_or(1);
    Ok((index + 1).is_multiple_of(every)
        && !dense.iter().any(|value| value.as_u64() == Some(index)))
}

/// How many experts a token takes.
pub(super) fn active(fields: &Fields, count: u64) -> Result<u64, Error> {
    let active = fields.size(&ACTIVE)?;
    if active > count {
        let name = ACTIVE.iter().find(|name| fields.get(name).is_some());
        let allowed = format!("at most the {count} experts");
        return Err(fields.refuse(name.unwrap_or(&ACTIVE[0]), allowed));
    }
    Ok(active)
}

/// A layer of experts: SwiGLU or GeGLU each, a router, and what every token takes beside them.
fn experts(
    fields: &Fields,
    family: &Family,
    shape: &Shape,
    layer: usize,
    count: u64,
) -> Result<Feed, Error> {
    let hidden = shape.hidden;
    let active = active(fields, count)?;
    let inner = fields.size(&["moe_intermediate_size", "intermediate_size"])?;
    let biases = family.types.contains(&"gpt_oss");
    let biases = if biases { 2 * inner + hidden } else { 0 };
    let scoring = fields.text("scoring_func")?;
    let hashed = family.kind == Kind::Compressed
        && (layer as u64)
            < fields
                .whole(&["num_hash_layers"], 0, MAX_SIZE)?
                .unwrap_or(0);
    let router = if hashed {
        // A table from each token of the vocabulary to its experts.
        shape.vocabulary * active
    } else if family.router_bias || matches!(scoring, Some("sigmoid" | "sqrtsoftplus")) {
        count
    } else {
        0
    };
    let shared = shared(fields, family, hidden, inner, count)?;
    Ok(Feed::Experts {
        count: narrow(count),
        active: narrow(active),
        expert_weights: 3 * hidden * inner + biases,
        shared_weights: count * hidden + router + shared,
    })
}

/// Weights beside the router that every token takes in a layer of experts.
fn shared(
    fields: &Fields,
    family: &Family,
    hidden: u64,
    inner: u64,
    count: u64,
) -> Result<u64, Error> {
    if family.kind == Kind::TwoHeadSizes {
        // Gemma 4: an MLP beside the experts, scales of the router and of each expert, three norms more.
        return Ok(3 * hidden * fields.size(&["intermediate_size"])? + 4 * hidden + count);
    }
    if family.types.contains(&"llama4") {
        return Ok(3 * hidden * fields.size(&["intermediate_size"])?);
    }
    if let Some(width) = fields.size_or_none(&["shared_expert_intermediate_size"])? {
        // The shared expert of Qwen has a gate.
        return Ok(3 * hidden * width + hidden);
    }
    match fields.size_or_none(&["n_shared_experts"])? {
        Some(experts) => Ok(3 * hidden * fields.width("n_shared_experts", experts, inner)?),
        None => Ok(0),
    }
}
