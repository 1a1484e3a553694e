//! From the text of a `config.json` to a [`Model`].

use serde_json::{Map, Value};

use super::family::{self, Family, Kind};
use super::fields::{Fields, narrow};
use super::shape::Shape;
use super::{Layer, Model, blocks, feed, mixer, quantisation};
use crate::{Error, json};

/// Longest text that is read: files with long lists of modules have some 200 KB.
const MAX_BYTES: usize = 4 << 20;

/// Most parameters of a decoder.
const MAX_PARAMETERS: u64 = 1_000_000_000_000_000;

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
