//! From the text of a `config.json` to a [`Model`].

use serde_json::{Map, Value};

use super::family::{self, Family, Kind};
use super::fields::{Fields, MAX_LAYERS, narrow};
use super::{Layer, Mixer, Model, blocks, feed, mixer, quantisation};
use crate::{Error, json};

/// Longest text that is read: files with long lists of modules have some 200 KB.
const MAX_BYTES: usize = 4 << 20;

/// Most parameters of a decoder.
const MAX_PARAMETERS: u64 = 1_000_000_000_000_000;

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

impl Model {
    /// Reads a `config.json` of Hugging Face as it is; `file` names it in errors and becomes the model's name.
    ///
    /// Files of unknown families are read where their fields leave no choice (docs/MODEL.md, "Models").
    ///
    /// Errors: text that is not JSON, a family or a quantisation that is not known, a field outside its range.
    pub fn from_config(text: &str, file: &str) -> Result<Model, Error> {
        if text.len() > MAX_BYTES {
            let found = format!("{} bytes", text.len());
            return Err(Error::too_large(
                file,
                found,
                format!("at most {MAX_BYTES} bytes"),
            ));
        }
        let outer: Map<String, Value> = serde_json::from_str(text).map_err(|e| Error::BadRow {
            file: file.to_owned(),
            row: e.line() as u64,
            problem: json::problem(&e, e.is_data()),
        })?;
        let fields = Fields::of_decoder(file, &outer);
        let family = family::of(&fields)?;
        let shape = Shape::read(&fields, family)?;
        let layers = layers(&fields, family, &shape)?;
        let model = Model {
            name: file.to_owned(),
            source: file.to_owned(),
            hidden: narrow(shape.hidden),
            vocabulary: narrow(shape.vocabulary),
            tied: fields.flag("tie_word_embeddings")?.unwrap_or(family.tied),
            quantisation: quantisation::read(&fields, &layers)?,
            layers: grouped(layers),
            published: None,
            positions: fields
                .whole(&["max_position_embeddings"], 1, u64::from(u32::MAX))?
                .map(narrow),
        };
        match model.parameters() {
            0..=MAX_PARAMETERS => Ok(model),
            found => Err(Error::too_large(
                file,
                format!("{found} parameters"),
                format!("at most {MAX_PARAMETERS} parameters"),
            )),
        }
    }
}

impl Shape {
    fn read(fields: &Fields, family: &Family) -> Result<Shape, Error> {
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

/// All layers, one by one.
fn layers(fields: &Fields, family: &Family, shape: &Shape) -> Result<Vec<Layer>, Error> {
    let mut layers = (0..shape.layers)
        .map(|layer| match family.kind {
            Kind::Blocks => blocks::hybrid(fields, shape, layer),
            Kind::Searched => blocks::searched(fields, shape, layer),
            _ => Ok(Layer {
                count: 1,
                mixer: mixer::read(fields, family, shape, layer)?,
                feed: feed::read(fields, family, shape, layer)?,
                norms: norms(family, shape),
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if family.kind == Kind::Compressed {
        mixer::windows_as_state(fields, shape, &mut layers)?;
    }
    Ok(layers)
}

/// Gemma 4 scales each layer by one number more.
fn norms(family: &Family, shape: &Shape) -> u64 {
    family.norms * shape.hidden + u64::from(family.kind == Kind::TwoHeadSizes)
}

/// Equal layers as one.
fn grouped(layers: Vec<Layer>) -> Vec<Layer> {
    let mut groups: Vec<Layer> = Vec::new();
    for layer in layers {
        let same = |group: &&mut Layer| {
            (&group.mixer, &group.feed, group.norms) == (&layer.mixer, &layer.feed, layer.norms)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.count += 1,
            None => groups.push(layer),
        }
    }
    groups
}

/// A state of so many recurrent values, and so many of the convolution's, which have 2 bytes each.
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
