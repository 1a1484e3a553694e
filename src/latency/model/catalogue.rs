//! Published models by name: catalogue.jsonl, one model a line.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Model;

/// One model of the catalogue.
#[derive(Debug, Deserialize)]
// The text of the configurations stays where the program has it.
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Entry {
    /// In lower case, as on the command line.
    pub name: String,
    /// On Hugging Face.
    pub repository: String,
    /// Other names, in lower case: those of models with the same sizes among them.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Published number of parameters of the text decoder.
    pub parameters: f64,
    /// Published number of parameters that a token uses, where the model has experts. Publishers count differently
    /// (docs/MODEL.md, "Models").
    pub active_parameters: Option<f64>,
    /// Where the sizes and the number of parameters come from.
    pub source: String,
    config: &'static RawValue,
}

impl Entry {
    /// The fields of the repository's `config.json` that the reader uses.
    pub fn config(&self) -> &'static str {
        self.config.get()
    }

    /// The model; a test reads every entry.
    pub fn model(&self) -> Option<Model> {
        let mut model = Model::from_config(self.config(), &self.name).ok()?;
        model.source.clone_from(&self.source);
        model.published = Some(self.parameters);
        Some(model)
    }

    /// Whether this is the entry's name, one of its aliases, or its repository, which may lack "-Instruct" at its end.
    fn is(&self, name: &str) -> bool {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        same(&self.name)
            || same(&self.repository)
            || self.repository.strip_suffix("-Instruct").is_some_and(same)
            || self.aliases.iter().any(|alias| same(alias))
    }
}

/// All models, by family and then by size.
pub fn catalogue() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        include_str!("catalogue.jsonl")
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    })
}

pub(super) fn named(name: &str) -> Option<Model> {
    catalogue().iter().find(|entry| entry.is(name))?.model()
}
