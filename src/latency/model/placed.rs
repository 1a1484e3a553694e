//! What placing a model on GPUs asks of it.

use super::{Feed, Mixer, Model, Quantisation};
use crate::latency::architecture::{Architecture, Precision};

impl Model {
    /// The same with every weight stored in one precision.
    pub fn in_precision(self, precision: Precision) -> Model {
        let bits = precision.bytes_per_weight() * 8.0;
        Model {
            quantisation: Quantisation {
                name: precision.name().to_owned(),
                attention_bits: bits,
                expert_bits: bits,
                dense_bits: bits,
                head_bits: bits,
                kv_bits: self.quantisation.kv_bits,
                low_precision_arithmetic: false,
            },
            ..self
        }
    }

    /// The architecture and the one precision of its weights, where it is of a shape that the roofline of a dense decoder has
    /// and its weights have one precision: `precision`, or the 16 bits of its publisher.
    pub fn plain(&self, precision: Option<Precision>) -> Option<(Architecture, Precision)> {
        let stored = &self.quantisation;
        let bits = [stored.attention_bits, stored.dense_bits, stored.head_bits];
        let sixteen = bits == [16.0; 3] && stored.kv_bits.is_none();
        let one = precision.or(sixteen.then_some(Precision::F16))?;
        Some((self.dense()?, one))
    }

    /// Numbers of query heads, one for each kind of layer that has some.
    pub fn heads(&self) -> Vec<u32> {
        let mut heads: Vec<u32> = self
            .layers
            .iter()
            .filter_map(|layer| match layer.mixer {
                Mixer::Attention { heads, .. } | Mixer::Latent { heads, .. } => Some(heads),
                Mixer::State { .. } | Mixer::None => None,
            })
            .collect();
        heads.sort_unstable();
        heads.dedup();
        heads
    }

    /// Routed experts of a layer, and how many of them a token takes; absent where there are none.
    pub fn experts(&self) -> Option<(u32, u32)> {
        self.layers.iter().find_map(|layer| match layer.feed {
            Feed::Experts { count, active, .. } => Some((count, active)),
            _ => None,
        })
    }
}
