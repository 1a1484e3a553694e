//! Decoders by their public numbers: read from a `config.json` of Hugging Face, or taken from a catalogue
//! (docs/MODEL.md, "Models").

mod blocks;
mod catalogue;
mod family;
mod feed;
mod fields;
mod mixer;
mod placed;
mod quantisation;
mod read;
mod shape;

use serde::Serialize;

use super::architecture::Architecture;
pub use catalogue::{Entry, catalogue};
pub use quantisation::Quantisation;

/// A decoder by its public numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Name in the catalogue, or that of the file.
    pub name: String,
    /// Where the numbers come from.
    pub source: String,
    /// Width of the residual stream.
    pub hidden: u32,
    pub vocabulary: u32,
    /// Whether the embeddings are the LM head's weights too.
    pub tied: bool,
    /// Groups of equal layers in no particular order; the counts sum to the number of layers.
    pub layers: Vec<Layer>,
    pub quantisation: Quantisation,
    /// Published number of parameters, where known.
    pub published: Option<f64>,
    /// `max_position_embeddings`.
    pub positions: Option<u32>,
}

/// Equal layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    pub count: u32,
    pub mixer: Mixer,
    pub feed: Feed,
    /// Weights that normalise, in one layer.
    pub norms: u64,
}

/// What mixes the tokens of a sequence in one layer. `weights` counts those of all projections, biases included.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixer {
    /// Grouped-query attention: a token holds `2 kv_heads head_size` values.
    Attention {
        weights: u64,
        heads: u32,
        kv_heads: u32,
        head_size: u32,
        /// Most tokens that a query attends to, and that are held.
        window: Option<u32>,
    },
    /// Multi-head latent attention: one vector serves all heads as key and as value.
    Latent {
        weights: u64,
        heads: u32,
        /// Values a token holds.
        latent: u32,
        /// FLOP of one query token and one context token in all heads, keys and values absorbed into the projections.
        pair_flops: u64,
        /// Further values a token holds for the indexer of sparse attention.
        index: u32,
        /// Most tokens that a query attends to.
        top: Option<u32>,
    },
    /// Linear attention or a state-space layer.
    State {
        weights: u64,
        /// State of one sequence, whatever its length.
        bytes: u64,
    },
    None,
}

/// What works on each token alone in one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feed {
    Dense {
        weights: u64,
    },
    /// Mixture of experts.
    Experts {
        count: u32,
        /// Experts that a token takes.
        active: u32,
        /// Weights of one expert.
        expert_weights: u64,
        /// Weights that every token takes: router, shared experts, an MLP beside the experts.
        shared_weights: u64,
    },
    None,
}

impl Mixer {
    /// Weights of one layer's projections.
    pub fn weights(&self) -> u64 {
        match *self {
            Mixer::Attention { weights, .. }
            | Mixer::Latent { weights, .. }
            | Mixer::State { weights, .. } => weights,
            Mixer::None => 0,
        }
    }

    /// Values that a token adds in one layer, and the window that bounds how many tokens are held.
    fn values(&self) -> (u64, Option<u32>) {
        match *self {
            Mixer::Attention {
                kv_heads,
                head_size,
                window,
                ..
            } => (2 * u64::from(kv_heads) * u64::from(head_size), window),
            Mixer::Latent { latent, index, .. } => (u64::from(latent) + u64::from(index), None),
            Mixer::State { .. } | Mixer::None => (0, None),
        }
    }
}

impl Feed {
    /// Weights of all experts of one layer.
    pub fn expert_weights(&self) -> u64 {
        match *self {
            Feed::Experts {
                count,
                expert_weights,
                ..
            } => u64::from(count).saturating_mul(expert_weights),
            _ => 0,
        }
    }

    /// Weights of one layer that every token takes.
    pub fn dense_weights(&self) -> u64 {
        match *self {
            Feed::Dense { weights } => weights,
            Feed::Experts { shared_weights, .. } => shared_weights,
            Feed::None => 0,
        }
    }

    /// Weights of one layer that no given token takes.
    fn idle_weights(&self) -> u64 {
        match *self {
            Feed::Experts {
                count,
                active,
                expert_weights,
                ..
            } => u64::from(count.saturating_sub(active)).saturating_mul(expert_weights),
            _ => 0,
        }
    }
}

impl Model {
    /// A model of the catalogue by its name, alias or repository, as "qwen3-8b" or "Qwen/Qwen3-8B"; case does not matter.
    pub fn named(name: &str) -> Option<Model> {
        catalogue::named(name)
    }

    /// The names of the catalogue, by family and then by size.
    pub fn names() -> impl Iterator<Item = &'static str> {
        catalogue().iter().map(|entry| entry.name.as_str())
    }

    /// Number of layers.
    pub fn layer_count(&self) -> u32 {
        self.layers
            .iter()
            .fold(0, |sum, layer| sum.saturating_add(layer.count))
    }

    /// Sum over all layers. Models are made of public fields: no sum overflows.
    fn sum(&self, of: impl Fn(&Layer) -> u64) -> u64 {
        self.layers.iter().fold(0, |sum, layer| {
            sum.saturating_add(u64::from(layer.count).saturating_mul(of(layer)))
        })
    }

    /// Weights of the embeddings, and of the LM head: hidden width times vocabulary.
    pub fn embedding_weights(&self) -> u64 {
        u64::from(self.hidden) * u64::from(self.vocabulary)
    }

    /// Parameters of the text decoder: embeddings, LM head, layers and norms. Layers for multi-token prediction and
    /// encoders of images are not counted.
    pub fn parameters(&self) -> u64 {
        let ends = self.embedding_weights() * if self.tied { 1 } else { 2 };
        self.sum(|layer| {
            let mixer = layer.mixer.weights().saturating_add(layer.norms);
            mixer
                .saturating_add(layer.feed.dense_weights())
                .saturating_add(layer.feed.expert_weights())
        })
        .saturating_add(ends)
        .saturating_add(u64::from(self.hidden))
    }

    /// Parameters without the experts that a token does not take. Embeddings and LM head count; some publishers leave
    /// one or both out.
    pub fn active_parameters(&self) -> u64 {
        let idle = self.sum(|layer| layer.feed.idle_weights());
        self.parameters().saturating_sub(idle)
    }

    /// Bytes of all weights as they are stored. Norms have 16 bits, untied embeddings as many as the LM head.
    pub fn weight_bytes(&self) -> f64 {
        let bits = &self.quantisation;
        let layers: f64 = self
            .layers
            .iter()
            .map(|layer| {
                let one = layer.mixer.weights() as f64 * bits.attention_bits
                    + layer.feed.expert_weights() as f64 * bits.expert_bits
                    + layer.feed.dense_weights() as f64 * bits.dense_bits
                    + layer.norms as f64 * 16.0;
                f64::from(layer.count) * one
            })
            .sum();
        let head = self.embedding_weights() as f64;
        let embeddings = if self.tied {
            0.0
        } else {
            head * bits.head_bits
        };
        (layers + head * bits.head_bits + embeddings + f64::from(self.hidden) * 16.0) / 8.0
    }

    /// Values that each token of a context adds, in all layers without a window: keys, values, latent vectors, and the
    /// keys of indexers ([`Model::index_values`]).
    pub fn kv_values(&self) -> u64 {
        self.sum(|layer| match layer.mixer.values() {
            (values, None) => values,
            _ => 0,
        })
    }

    /// Values of [`Model::kv_values`] that are keys of the indexers of sparse attention.
    pub fn index_values(&self) -> u64 {
        self.sum(|layer| match layer.mixer {
            Mixer::Latent { index, .. } => u64::from(index),
            _ => 0,
        })
    }

    /// Each length of window, ascending, with the values that a token adds in all layers with that window.
    pub fn window_values(&self) -> Vec<(u32, u64)> {
        let mut windows = std::collections::BTreeMap::new();
        for layer in &self.layers {
            if let (values, Some(window)) = layer.mixer.values() {
                let sum: &mut u64 = windows.entry(window).or_default();
                *sum = sum.saturating_add(u64::from(layer.count).saturating_mul(values));
            }
        }
        windows.into_iter().collect()
    }

    /// Bytes of a sequence's states, whatever its length.
    pub fn state_bytes(&self) -> u64 {
        self.sum(|layer| match layer.mixer {
            Mixer::State { bytes, .. } => bytes,
            _ => 0,
        })
    }

    /// Values that a context of `tokens` tokens holds: those of all tokens in layers without a window, those of the latest in the others.
    /// States are apart ([`Model::state_bytes`]).
    pub fn context_values(&self, tokens: u64) -> u64 {
        self.window_values().into_iter().fold(
            self.kv_values().saturating_mul(tokens),
            |sum, (window, values)| {
                sum.saturating_add(tokens.min(u64::from(window)).saturating_mul(values))
            },
        )
    }

    /// Bits of a stored key or value: 16 unless the file says otherwise.
    pub fn kv_bits(&self) -> f64 {
        self.quantisation.kv_bits.unwrap_or(16.0)
    }

    /// FLOP of one token in all products with weights: 2 for each active weight, LM head included. Looking up an
    /// embedding is none; the products of queries with keys and values come on top.
    pub fn token_flops(&self) -> f64 {
        let lookup = if self.tied {
            0
        } else {
            self.embedding_weights()
        };
        2.0 * self.active_parameters().saturating_sub(lookup) as f64
    }

    /// The architecture, where the numbers are those of a dense Llama or Qwen3 decoder: equal layers, no biases, no
    /// windows. The base of the rotary embedding and the epsilon of the norms, which change no time, are those of the
    /// family's presets.
    pub fn dense(&self) -> Option<Architecture> {
        let [
            Layer {
                count,
                mixer,
                feed,
                norms,
            },
        ] = self.layers.as_slice()
        else {
            return None;
        };
        let &Mixer::Attention {
            weights,
            heads,
            kv_heads,
            head_size,
            window: None,
        } = mixer
        else {
            return None;
        };
        let &Feed::Dense { weights: mlp } = feed else {
            return None;
        };
        let hidden = u64::from(self.hidden);
        let rows = 2 * (u64::from(heads) + u64::from(kv_heads)) * u64::from(head_size);
        let qk_norm = match weights.checked_sub(hidden.checked_mul(rows)?)? {
            0 => false,
            extra if extra == 2 * u64::from(head_size) => true,
            _ => return None,
        };
        if hidden == 0 || *norms != 2 * hidden || mlp % (3 * hidden) != 0 {
            return None;
        }
        Some(Architecture {
            name: self.name.clone(),
            layers: *count,
            hidden: self.hidden,
            heads,
            kv_heads,
            head_size,
            mlp: u32::try_from(mlp / (3 * hidden)).ok()?,
            vocabulary: self.vocabulary,
            qk_norm,
            tied: self.tied,
            rope_theta: if qk_norm { 1e6 } else { 5e5 },
            norm_epsilon: if qk_norm { 1e-6 } else { 1e-5 },
            source: self.source.clone(),
        })
    }

    /// Whether this is that architecture, whatever the names and the constants that change no time.
    pub fn matches(&self, architecture: &Architecture) -> bool {
        self.dense().is_some_and(|dense| {
            let sizes = |a: &Architecture| {
                let attention = (a.heads, a.kv_heads, a.head_size, a.qk_norm);
                (a.layers, a.hidden, attention, a.mlp, a.vocabulary, a.tied)
            };
            sizes(&dense) == sizes(architecture)
        })
    }
}

impl From<&Architecture> for Model {
    fn from(from: &Architecture) -> Model {
        let [hidden, heads, kv_heads, size] =
            [from.hidden, from.heads, from.kv_heads, from.head_size].map(u64::from);
        let norm = if from.qk_norm { 2 * size } else { 0 };
        Model {
            name: from.name.clone(),
            source: from.source.clone(),
            hidden: from.hidden,
            vocabulary: from.vocabulary,
            tied: from.tied,
            layers: vec![Layer {
                count: from.layers,
                mixer: Mixer::Attention {
                    weights: 2 * hidden * (heads + kv_heads) * size + norm,
                    heads: from.heads,
                    kv_heads: from.kv_heads,
                    head_size: from.head_size,
                    window: None,
                },
                feed: Feed::Dense {
                    weights: 3 * hidden * u64::from(from.mlp),
                },
                norms: 2 * hidden,
            }],
            quantisation: Quantisation::default(),
            published: None,
            positions: None,
        }
    }
}
