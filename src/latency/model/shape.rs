//! The sizes that all layers of a file share.

use super::Mixer;
use super::family::Family;
use super::fields::{Fields, MAX_LAYERS};
use crate::Error;

/// The sizes that all layers share.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub hidden: u64,
    pub layers: usize,
    pub heads: u64,
    pub kv_heads: u64,
    /// Width of a head; 0 where latent attention names its own widths.
    pub head: u64,
    pub vocabulary: u64,
}

impl Shape {
    pub fn read(fields: &Fields, family: &Family) -> Result<Shape, Error> {
        // The fields that a Gemma 3 file leaves to the library's defaults.
        let gemma = family.types.contains(&"gemma3").then_some(());
        let or = |found: Option<u64>, default| found.or(gemma.map(|()| default));
        let hidden = fields.size(&["hidden_size", "n_embed"])?;
        let heads = ["num_attention_heads", "n_head"];
        let heads = match or(fields.optional_size(&heads)?, 8) {
            Some(found) => found,
            None => fields.size(&heads)?,
        };
        let vocabulary = match or(fields.optional_size(&["vocab_size"])?, 262_208) {
            Some(found) => found,
            None => fields.size(&["vocab_size"])?,
        };
        let kv_heads = or(fields.optional_size(&["num_key_value_heads"])?, 4).unwrap_or(heads);
        if heads % kv_heads != 0 {
            let allowed = format!("a divisor of the {heads} attention heads");
            return Err(fields.refuse("num_key_value_heads", allowed));
        }
        let head = or(
            fields.optional_size(&["head_dim", "attention_head_dim"])?,
            256,
        );
        let head = match head {
            Some(head) => head,
            None if fields.get("kv_lora_rank").is_some() => 0,
            None if hidden % heads == 0 => hidden / heads,
            None => {
                let allowed =
                    format!("a divisor of the hidden width {hidden}, or head_dim beside it");
                return Err(fields.refuse("num_attention_heads", allowed));
            }
        };
        fields.width("num_attention_heads", heads, head)?;
        Ok(Shape {
            hidden,
            layers: depth(fields)?,
            heads,
            kv_heads,
            head,
            vocabulary,
        })
    }
}

/// The number of layers.
fn depth(fields: &Fields) -> Result<usize, Error> {
    let names = ["num_hidden_layers", "n_layer"];
    let found = match fields.whole(&names, 1, MAX_LAYERS)? {
        Some(found) => found,
        // Newer files of Nemotron-H only list the blocks.
        None => match fields.list("layers_block_type")? {
            Some(blocks) if (1..=MAX_LAYERS).contains(&(blocks.len() as u64)) => {
                blocks.len() as u64
            }
            _ => {
                let allowed = format!("a whole number from 1 to {MAX_LAYERS}");
                return Err(fields.refuse("num_hidden_layers", allowed));
            }
        },
    };
    Ok(found as usize)
}

/// The state of a layer: `recurrent` values in the file's precision, and `convolution` values of 2 bytes each.
pub(super) fn state(
    fields: &Fields,
    precision: &str,
    weights: u64,
    recurrent: u64,
    convolution: u64,
) -> Result<Mixer, Error> {
    let width = match fields.text(precision)? {
        Some("float32") => 4,
        _ => 2,
    };
    Ok(Mixer::State {
        weights,
        bytes: width * recurrent + 2 * convolution,
    })
}
