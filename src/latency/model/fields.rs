//! Checked access to the fields of a `config.json`.

use serde_json::{Map, Value};

use crate::Error;
use crate::error::{MAX_LIST, printable};

/// Greatest width, vocabulary or number of experts. Every product in the formulas stays below 2^64.
pub(super) const MAX_SIZE: u64 = 10_000_000;

/// Most layers of a decoder.
pub(super) const MAX_LAYERS: u64 = 4096;

/// An object of the file. Null is absent.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    /// The file's name.
    pub file: &'a str,
    /// What stands before a field's name in errors.
    prefix: &'a str,
    inner: &'a Map<String, Value>,
    outer: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The decoder's fields: a multimodal file nests them.
    pub fn of_decoder(file: &'a str, outer: &'a Map<String, Value>) -> Fields<'a> {
        let nested = ["text_config", "llm_config", "language_config"];
        let (inner, prefix) = nested
            .iter()
            .find_map(|name| Some((outer.get(*name)?.as_object()?, *name)))
            .unwrap_or((outer, ""));
        Fields {
            file,
            prefix,
            inner,
            outer,
        }
    }

    /// The fields of a nested object.
    pub fn within(&self, prefix: &'a str, inner: &'a Map<String, Value>) -> Fields<'a> {
        Fields {
            file: self.file,
            prefix,
            inner,
            outer: inner,
        }
    }

    /// A value as it is. Three fields of a multimodal file stand outside the nested object.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let outside = matches!(
            name,
            "tie_word_embeddings" | "quantization_config" | "model_type"
        );
        self.inner
            .get(name)
            .filter(|value| !value.is_null())
            .or_else(|| self.outer.get(name).filter(|_| outside))
            .filter(|value| !value.is_null())
    }

    /// The names of the fields that have a value.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.inner
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| name.as_str())
    }

    /// Refuses a field by its path.
    pub fn refuse(&self, name: &str, allowed: impl Into<String>) -> Error {
        let path = match self.prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}.{name}"),
        };
        let value = self.get(name).map_or_else(
            || "no value".to_owned(),
            |value| printable(value.to_string().as_bytes()),
        );
        Error::bad_field(path, value, allowed)
    }

    /// The first of several names that is there, a whole number in a range.
    pub fn whole(&self, names: &[&str], low: u64, high: u64) -> Result<Option<u64>, Error> {
        let Some((name, value)) = names
            .iter()
            .find_map(|name| self.get(name).map(|value| (name, value)))
        else {
            return Ok(None);
        };
        let number = value.as_u64().or_else(|| {
            let number = value.as_f64()?;
            // Some files write whole numbers as 1e6.
            (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
        });
        match number {
            Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
            _ => Err(self.refuse(name, format!("a whole number from {low} to {high}"))),
        }
    }

    /// A size that must be there: 1 to [`MAX_SIZE`].
    pub fn size(&self, names: &[&str]) -> Result<u64, Error> {
        self.optional_size(names)?.ok_or_else(|| {
            let name = names.first().copied().unwrap_or_default();
            self.refuse(name, format!("a whole number from 1 to {MAX_SIZE}"))
        })
    }

    /// A size that may be absent.
    pub fn optional_size(&self, names: &[&str]) -> Result<Option<u64>, Error> {
        self.whole(names, 1, MAX_SIZE)
    }

    /// A size for which 0 means that there is none.
    pub fn size_or_none(&self, names: &[&str]) -> Result<Option<u64>, Error> {
        Ok(self.whole(names, 0, MAX_SIZE)?.filter(|&size| size > 0))
    }

    /// The product of two sizes, where it is a width that a decoder can have.
    pub fn width(&self, name: &str, a: u64, b: u64) -> Result<u64, Error> {
        match a.saturating_mul(b) {
            width if width <= MAX_SIZE => Ok(width),
            width => Err(self.refuse(
                name,
                format!("one that makes a width of at most {MAX_SIZE}, not {width}"),
            )),
        }
    }

    /// A yes or no that may be absent.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.refuse(name, "true or false")),
        }
    }

    /// A text that may be absent.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(name, "a text")),
        }
    }

    /// A list that may be absent.
    pub fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(list)) if list.len() <= 2 * MAX_LIST => Ok(Some(list)),
            Some(_) => Err(self.refuse(name, format!("a list of at most {}", 2 * MAX_LIST))),
        }
    }

    /// The entry of a layer in a list with one entry for each layer.
    pub fn entry(&self, name: &str, layer: usize) -> Result<Option<&'a Value>, Error> {
        let Some(list) = self.list(name)? else {
            return Ok(None);
        };
        match list.get(layer) {
            Some(value) => Ok(Some(value)),
            None => Err(self.refuse(name, "one entry for each layer")),
        }
    }

    /// The entry of a layer in a list of switches, 0 or 1.
    pub fn switch(&self, name: &str, layer: usize) -> Result<Option<bool>, Error> {
        match self.entry(name, layer)? {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number != 0)),
                None => Err(self.refuse(name, "a list of 0 and 1")),
            },
        }
    }

    /// A nested object that may be absent.
    pub fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(self.refuse(name, "an object")),
        }
    }
}

/// A size as the model stores it.
pub(super) fn narrow(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
