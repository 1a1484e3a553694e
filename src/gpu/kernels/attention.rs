//! Attention over the paged cache in two passes: splits of a context, then all of them together.

use super::rope_append::Cache;
use super::{BLOCK, Bind, Flavour, HEADS, SPLIT, Source, Text};

/// Threads of a workgroup of the first pass; a thread has a token.
pub const WORKGROUP: u32 = 128;

/// The first pass, for `group` query heads to a head of keys.
pub fn split(flavour: Flavour, head_size: u32, group: u32) -> Source {
    Source {
        name: format!("attention-split-{head_size}-{group}"),
        wgsl: first_pass(flavour, head_size, group).of(&[
            HEADS,
            include_str!("attention_queries.wgsl"),
            include_str!("attention_split.wgsl"),
        ]),
        entry: "attention_split",
        bindings: &[
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Write,
            Bind::Uniform,
        ],
    }
}

/// The same for steps in which every row is of another sequence, which do without `rope_append`.
pub fn decode(flavour: Flavour, head_size: u32, group: u32, qk_norm: bool) -> Source {
    let norm = if qk_norm { "-norm" } else { "" };
    Source {
        name: format!("attention-decode-{head_size}-{group}{norm}"),
        wgsl: first_pass(flavour, head_size, group)
            .flag("QK_NORM", qk_norm)
            .of(&[
                HEADS,
                include_str!("attention_decode.wgsl"),
                include_str!("attention_split.wgsl"),
            ]),
        entry: "attention_split",
        bindings: &[
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Write,
            Bind::Write,
            Bind::Write,
            Bind::Uniform,
            Bind::Read,
        ],
    }
}

fn first_pass(flavour: Flavour, head_size: u32, group: u32) -> Text {
    Text::new(flavour)
        .set("WORKGROUP", WORKGROUP)
        .set("HEAD", head_size)
        .set("GROUP", group)
        .set("BLOCK", BLOCK)
        .set("SPLIT", SPLIT)
        .set("FOUR", 4)
}

/// The second pass.
pub fn combine(flavour: Flavour, head_size: u32) -> Source {
    Source {
        name: format!("attention-combine-{head_size}"),
        wgsl: Text::new(flavour)
            .set("WORKGROUP", head_size)
            .set("HEAD", head_size)
            .of(&[HEADS, include_str!("attention_combine.wgsl")]),
        entry: "attention_combine",
        bindings: &[Bind::Read, Bind::Read, Bind::Write, Bind::Uniform],
    }
}

/// Twin for one row that sees all of the cache: `[head][value]`. The queries are scaled already.
pub fn attention(queries: &[Vec<f64>], keys: &Cache, values: &Cache) -> Vec<Vec<f64>> {
    let kv_heads = keys.first().map_or(1, Vec::len);
    let group = queries.len() / kv_heads;
    queries
        .iter()
        .enumerate()
        .map(|(head, query)| {
            let kv = head / group;
            let scores: Vec<f64> = keys
                .iter()
                .map(|token| token[kv].iter().zip(query).map(|(k, q)| k * q).sum())
                .collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| libm::exp(s - most)).collect();
            let total: f64 = weights.iter().sum();
            let mut sum = vec![0.0; query.len()];
            for (token, weight) in values.iter().zip(&weights) {
                for (sum, value) in sum.iter_mut().zip(&token[kv]) {
                    *sum += weight / total * value;
                }
            }
            sum
        })
        .collect()
}
