//! Attention and linear attention of each family. Counts of weights follow the shapes of the checkpoints' tensors.

use super::Mixer;
use super::family::{Family, Kind, QkNorm, Windows};
use super::fields::{Fields, MAX_SIZE, narrow};
use super::shape::{Shape, state};
use crate::Error;

/// The token mixer of one layer.
pub(super) fn read(
    fields: &Fields,
    family: &Family,
    shape: &Shape,
    layer: usize,
) -> Result<Mixer, Error> {
    match family.kind {
        Kind::Compressed => compressed(fields, shape, layer),
        Kind::GatedDelta => gated_delta(fields, family, shape, layer),
        Kind::Lightning if fields.switch("attn_type_list", layer)? == Some(false) => {
            lightning(fields, shape)
        }
        Kind::TwoHeadSizes => two_head_sizes(fields, family, shape, layer),
        Kind::BlockSparse => block_sparse(fields, family, shape, layer),
        Kind::Bloom => Ok(attention(
            shape,
            4 * shape.hidden * (shape.hidden + 1),
            None,
        )),
        _ if fields.get("kv_lora_rank").is_some() => latent(fields, shape, layer),
        _ => plain(fields, family, shape, layer),
    }
}

fn attention(shape: &Shape, weights: u64, window: Option<u64>) -> Mixer {
    Mixer::Attention {
        weights,
        heads: narrow(shape.heads),
        kv_heads: narrow(shape.kv_heads),
        head_size: narrow(shape.head),
        window: window.map(narrow),
    }
}

/// Weights of the four projections of grouped-query attention.
pub(super) fn projections(shape: &Shape) -> u64 {
    2 * shape.hidden * (shape.heads + shape.kv_heads) * shape.head
}

/// Weights of grouped-query attention: projections, biases, norms of queries and keys, sinks.
fn weights(fields: &Fields, family: &Family, shape: &Shape) -> Result<u64, Error> {
    let &Shape {
        hidden,
        heads,
        kv_heads,
        head,
        ..
    } = shape;
    let says = fields.flag("attention_bias")?;
    // A file of Qwen 2 never says that it has biases.
    let bias = family.bias && family.windows == Windows::Later || says.unwrap_or(family.bias);
    let bias = match (bias, family.output_bias) {
        (false, _) => 0,
        (true, false) => (heads + 2 * kv_heads) * head,
        (true, true) => (heads + 2 * kv_heads) * head + hidden,
    };
    let norm = match family.qk_norm {
        QkNorm::Head => 2 * head,
        QkNorm::Field if fields.flag("use_qk_norm")? == Some(true) => 2 * head,
        QkNorm::Width => (heads + kv_heads) * head,
        QkNorm::Field | QkNorm::None => 0,
    };
    let sinks = if family.types.contains(&"gpt_oss") {
        heads
    } else {
        0
    };
    Ok(projections(shape) + bias + norm + sinks)
}

fn plain(fields: &Fields, family: &Family, shape: &Shape, layer: usize) -> Result<Mixer, Error> {
    let window = window(fields, family, layer)?;
    Ok(attention(shape, weights(fields, family, shape)?, window))
}

/// The window of a layer, if it has one.
fn window(fields: &Fields, family: &Family, layer: usize) -> Result<Option<u64>, Error> {
    let size = fields.size_or_none(&["sliding_window", "attention_chunk_size"])?;
    let needed = || match size {
        Some(size) => Ok(Some(size)),
        None => Err(fields.refuse("sliding_window", "a whole number of tokens")),
    };
    if let Some(kind) = fields.entry("layer_types", layer)? {
        return match kind.as_str() {
            Some("full_attention") => Ok(None),
            Some("sliding_attention" | "chunked_attention") => needed(),
            _ => Err(fields.refuse(
                "layer_types",
                "full_attention or sliding_attention in each layer",
            )),
        };
    }
    let place = layer as u64 + 1;
    let windowed = match family.windows {
        Windows::None => false,
        Windows::Alternate => place % 2 == 1,
        Windows::Pattern => {
            let every = fields
                .optional_size(&["sliding_window_pattern"])?
                .unwrap_or(6);
            !place.is_multiple_of(every)
        }
        Windows::Chunks => match fields.list("no_rope_layers")? {
            Some([_, ..]) => fields.switch("no_rope_layers", layer)? == Some(true),
            _ => !place.is_multiple_of(4),
        },
        Windows::Later => {
            fields.flag("use_sliding_window")? == Some(true)
                && layer as u64
                    >= fields
                        .whole(&["max_window_layers"], 0, MAX_SIZE)?
                        .unwrap_or(0)
        }
        // A window that no context exceeds is none.
        Windows::All => {
            let positions = fields.whole(&["max_position_embeddings"], 1, u64::from(u32::MAX))?;
            return Ok(size.filter(|&size| positions.is_none_or(|positions| size < positions)));
        }
    };
    if windowed { needed() } else { Ok(None) }
}

/// Multi-head latent attention of DeepSeek, with the indexer of sparse attention where the file has one.
fn latent(fields: &Fields, shape: &Shape, layer: usize) -> Result<Mixer, Error> {
    let &Shape { hidden, heads, .. } = shape;
    let size = |name: &'static str| fields.size(&[name]);
    let (content, rotary, value) = (
        size("qk_nope_head_dim")?,
        size("qk_rope_head_dim")?,
        size("v_head_dim")?,
    );
    let rank = size("kv_lora_rank")?;
    let queries = fields.width("qk_nope_head_dim", heads, content + rotary)?;
    let outputs = fields.width("v_head_dim", heads, value)?;
    let keys = fields.width("qk_nope_head_dim", heads, content)?;
    let query_rank = fields.size_or_none(&["q_lora_rank"])?;
    let query = match query_rank {
        None => hidden * queries,
        Some(rank) => hidden * rank + rank + rank * queries,
    };
    let latent = rank + rotary;
    let mut weights = query + hidden * latent + rank + rank * (keys + outputs) + outputs * hidden;
    let (mut index, mut top) = (0, None);
    if let Some(count) = fields.size_or_none(&["index_n_heads"])? {
        top = fields.optional_size(&["index_topk"])?.map(narrow);
        // Layers whose entry is "shared" take the choice of an earlier layer.
        let kind = fields.entry("indexer_types", layer)?;
        if kind.is_none_or(|kind| kind.as_str() == Some("full")) {
            index = size("index_head_dim")?;
            let inner = fields.width("index_n_heads", count, index)?;
            let rank = query_rank.unwrap_or(hidden);
            weights += rank * inner + hidden * index + 2 * index + hidden * count;
        }
    }
    Ok(Mixer::Latent {
        weights,
        heads: narrow(heads),
        latent: narrow(latent),
        pair_flops: 2 * heads * (latent + rank),
        index: narrow(index),
        top,
    })
}

/// Qwen3-Next and later: gated delta networks, and full attention whose output has a gate.
fn gated_delta(
    fields: &Fields,
    family: &Family,
    shape: &Shape,
    layer: usize,
) -> Result<Mixer, Error> {
    let full = match fields.entry("layer_types", layer)? {
        Some(kind) => kind.as_str() == Some("full_attention"),
        None => (layer as u64 + 1).is_multiple_of(fields.size(&["full_attention_interval"])?),
    };
    let hidden = shape.hidden;
    if full {
        let gate = hidden * shape.heads * shape.head;
        return Ok(attention(
            shape,
            weights(fields, family, shape)? + gate,
            None,
        ));
    }
    let size = |name: &'static str| fields.size(&[name]);
    let (key_heads, value_heads) = (
        size("linear_num_key_heads")?,
        size("linear_num_value_heads")?,
    );
    let (key, value) = (size("linear_key_head_dim")?, size("linear_value_head_dim")?);
    let keys = fields.width("linear_num_key_heads", key_heads, key)?;
    let values = fields.width("linear_num_value_heads", value_heads, value)?;
    let (kernel, mixed) = (size("linear_conv_kernel_dim")?, 2 * keys + values);
    let weights = hidden * 2 * (keys + values + value_heads)
        + mixed * kernel
        + 2 * value_heads
        + value
        + values * hidden;
    state(
        fields,
        "mamba_ssm_dtype",
        weights,
        values * key,
        mixed * (kernel - 1),
    )
}

/// Lightning attention of MiniMax-M1: projections, a gate and a norm; the state holds a square for each head.
fn lightning(fields: &Fields, shape: &Shape) -> Result<Mixer, Error> {
    let width = shape.heads * shape.head;
    let weights = 5 * shape.hidden * width + width;
    state(
        fields,
        "mamba_ssm_cache_dtype",
        weights,
        width * shape.head,
        0,
    )
}

/// Gemma 4: layers without a window have their own heads, and keys may serve as values.
fn two_head_sizes(
    fields: &Fields,
    family: &Family,
    shape: &Shape,
    layer: usize,
) -> Result<Mixer, Error> {
    let window = window(fields, family, layer)?;
    if window.is_some() {
        return Ok(attention(shape, weights(fields, family, shape)?, window));
    }
    let shared = fields.flag("attention_k_eq_v")? == Some(true);
    let head = fields
        .optional_size(&["global_head_dim"])?
        .unwrap_or(shape.head);
    let global = fields.optional_size(&["num_global_key_value_heads"])?;
    let kv_heads = global.filter(|_| shared).unwrap_or(shape.kv_heads);
    if !shape.heads.is_multiple_of(kv_heads) {
        let allowed = format!("a divisor of the {} attention heads", shape.heads);
        return Err(fields.refuse("num_global_key_value_heads", allowed));
    }
    fields.width("global_head_dim", shape.heads, head)?;
    let full = Shape {
        head,
        kv_heads,
        ..*shape
    };
    let values = if shared {
        shape.hidden * kv_heads * head
    } else {
        0
    };
    Ok(attention(
        &full,
        weights(fields, family, &full)? - values,
        None,
    ))
}

/// MiniMax-M3: keys and values of grouped-query attention, of which a query reads the blocks that an indexer chooses.
/// Written as latent attention, which has a limit of attended tokens.
fn block_sparse(
    fields: &Fields,
    family: &Family,
    shape: &Shape,
    layer: usize,
) -> Result<Mixer, Error> {
    let plain = weights(fields, family, shape)?;
    let Some(sparse) = fields.object("sparse_attention_config")? else {
        return Ok(attention(shape, plain, None));
    };
    let sparse = fields.within("sparse_attention_config", sparse);
    if sparse.switch("sparse_attention_freq", layer)? != Some(true) {
        return Ok(attention(shape, plain, None));
    }
    let size = |name: &'static str| sparse.size(&[name]);
    let (heads, index) = (size("sparse_num_index_heads")?, size("sparse_index_dim")?);
    let inner = sparse.width("sparse_num_index_heads", heads + 1, index)?;
    let top = size("sparse_topk_blocks")?.saturating_mul(size("sparse_block_size")?);
    Ok(Mixer::Latent {
        weights: plain + shape.hidden * inner + 2 * index,
        heads: narrow(shape.heads),
        latent: narrow(2 * shape.kv_heads * shape.head),
        pair_flops: 4 * shape.heads * shape.head,
        index: narrow(index),
        top: Some(narrow(top)),
    })
}

/// Tokens that one entry of a layer's cache stands for in DeepSeek-V4; 0 where the layer has only its window.
fn ratio(fields: &Fields, layer: usize) -> Result<u64, Error> {
    match fields
        .entry("compress_ratios", layer)?
        .map(|ratio| ratio.as_u64())
    {
        Some(Some(ratio)) if ratio <= MAX_SIZE => Ok(ratio),
        _ => Err(fields.refuse("compress_ratios", "a whole number for each layer")),
    }
}

/// DeepSeek-V4: one vector for all heads, one entry for `ratio` tokens; an indexer where the ratio is 4. The weights
/// of the hyper-connections count here. The window of raw tokens is left to [`windows_as_state`].
fn compressed(fields: &Fields, shape: &Shape, layer: usize) -> Result<Mixer, Error> {
    let &Shape {
        hidden,
        heads,
        head,
        ..
    } = shape;
    let size = |name: &'static str| fields.size(&[name]);
    let (rank, ratio) = (size("q_lora_rank")?, ratio(fields, layer)?);
    let outputs = size("o_lora_rank")?;
    let groups = fields.width("o_groups", size("o_groups")?, outputs)?;
    let streams = fields.whole(&["hc_mult"], 1, 64)?.unwrap_or(1);
    let width = heads * head;
    let compressor = |size: u64| {
        let wide = if ratio == 4 { 2 * size } else { size };
        2 * hidden * wide + ratio * wide + size
    };
    let mut weights = hidden * rank + rank + rank * width + hidden * head + head + heads;
    weights += width * outputs + groups * hidden;
    weights += 2 * ((2 + streams) * streams * (streams * hidden + 1) + 3);
    let (mut index, mut top) = (0, None);
    if ratio > 0 {
        weights += compressor(head);
    }
    if ratio == 4 {
        let (count, size_of) = (size("index_n_heads")?, size("index_head_dim")?);
        let inner = fields.width("index_n_heads", count, size_of)?;
        weights += rank * inner + hidden * count + compressor(size_of);
        index = size_of.div_ceil(ratio);
        top = Some(narrow(size("index_topk")? * ratio));
    }
    let share = |size: u64| if ratio > 0 { size.div_ceil(ratio) } else { 0 };
    Ok(Mixer::Latent {
        weights,
        heads: narrow(heads),
        latent: narrow(share(head)),
        pair_flops: share(4 * width),
        index: narrow(index),
        top,
    })
}

/// The windows of DeepSeek-V4, which every layer has beside its compressed cache: the state of one layer, of those
/// whose cache grows least, in place of that cache. Counts of layers and sums of bytes are right so.
pub(super) fn windows_as_state(
    fields: &Fields,
    shape: &Shape,
    layers: &mut [super::Layer],
) -> Result<(), Error> {
    let values = fields.size(&["sliding_window"])? * shape.head * shape.layers as u64;
    let growth = |layer: &super::Layer| layer.mixer.values().0;
    if let Some(least) = layers.iter_mut().min_by_key(|layer| growth(layer)) {
        least.mixer = Mixer::State {
            weights: least.mixer.weights(),
            bytes: 2 * values,
        };
    }
    Ok(())
}
