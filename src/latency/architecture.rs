//! Decoder architectures by their public numbers: what a step has to read and to compute.

use serde::{Deserialize, Serialize};

/// A dense decoder of the Llama family: grouped-query attention, SiLU-gated MLP, RMSNorm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Architecture {
    pub name: String,
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; `heads / kv_heads` query heads share one.
    pub kv_heads: u32,
    pub head_size: u32,
    /// Inner width of the MLP.
    pub mlp: u32,
    pub vocabulary: u32,
    /// Whether queries and keys are normalised head by head (Qwen3).
    pub qk_norm: bool,
    /// Whether the embeddings are the LM head's weights too.
    pub tied: bool,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Added to the mean square under RMSNorm's root.
    pub norm_epsilon: f64,
    /// Where the numbers come from.
    pub source: String,
}

impl Architecture {
    /// The names that [`Architecture::preset`] knows, in order of size; the first is made up, for
    /// demonstrations on software adapters.
    pub const PRESETS: [&'static str; 7] = [
        "demo",
        "qwen3-0.6b",
        "llama-3.2-1b",
        "qwen3-1.7b",
        "qwen3-4b",
        "qwen3-8b",
        "llama-3.1-8b",
    ];

    /// A model by its name, in lower case.
    pub fn preset(name: &str) -> Option<Architecture> {
        // layers, hidden, heads, kv_heads, head_size, mlp, vocabulary, tied
        let (numbers, tied, qwen, source) = match name {
            "demo" => (
                [4, 256, 4, 2, 64, 768, 2048],
                true,
                true,
                "made up, for demonstrations on software adapters",
            ),
            "qwen3-0.6b" => (
                [28, 1024, 16, 8, 128, 3072, 151_936],
                true,
                true,
                "config.json of Qwen/Qwen3-0.6B",
            ),
            "qwen3-1.7b" => (
                [28, 2048, 16, 8, 128, 6144, 151_936],
                true,
                true,
                "config.json of Qwen/Qwen3-1.7B",
            ),
            "qwen3-4b" => (
                [36, 2560, 32, 8, 128, 9728, 151_936],
                true,
                true,
                "config.json of Qwen/Qwen3-4B",
            ),
            "qwen3-8b" => (
                [36, 4096, 32, 8, 128, 12_288, 151_936],
                false,
                true,
                "config.json of Qwen/Qwen3-8B",
            ),
            "llama-3.2-1b" => (
                [16, 2048, 32, 8, 64, 8192, 128_256],
                true,
                false,
                "config.json of meta-llama/Llama-3.2-1B",
            ),
            "llama-3.1-8b" => (
                [32, 4096, 32, 8, 128, 14_336, 128_256],
                false,
                false,
                "config.json of meta-llama/Llama-3.1-8B",
            ),
            _ => return None,
        };
        let [layers, hidden, heads, kv_heads, head_size, mlp, vocabulary] = numbers;
        Some(Architecture {
            name: name.to_owned(),
            layers,
            hidden,
            heads,
            kv_heads,
            head_size,
            mlp,
            vocabulary,
            qk_norm: qwen,
            tied,
            rope_theta: if qwen { 1e6 } else { 5e5 },
            norm_epsilon: if qwen { 1e-6 } else { 1e-5 },
            source: source.to_owned(),
        })
    }

    /// Width of queries, keys and values together.
    pub fn qkv(&self) -> u32 {
        (self.heads + 2 * self.kv_heads) * self.head_size
    }

    /// Weights of one layer's matrices; the norms' few thousand are left out.
    pub fn layer_weights(&self) -> u64 {
        let (h, q) = (
            u64::from(self.hidden),
            u64::from(self.heads * self.head_size),
        );
        h * u64::from(self.qkv()) + q * h + 3 * h * u64::from(self.mlp)
    }

    /// Weights of the LM head.
    pub fn head_weights(&self) -> u64 {
        u64::from(self.hidden) * u64::from(self.vocabulary)
    }

    /// Weights that a step reads: every layer and the LM head.
    pub fn step_weights(&self) -> u64 {
        u64::from(self.layers) * self.layer_weights() + self.head_weights()
    }

    /// Keys and values of one token in one layer.
    pub fn kv_values(&self) -> u64 {
        2 * u64::from(self.kv_heads) * u64::from(self.head_size)
    }
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Precision {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    #[default]
    F16,
    /// 8-bit integers in blocks of 32 with an f16 scale each.
    Int8,
    /// 4-bit integers in blocks of 32 with an f16 scale each.
    Int4,
}

impl Precision {
    pub const ALL: [Precision; 4] = [
        Precision::F32,
        Precision::F16,
        Precision::Int8,
        Precision::Int4,
    ];

    /// Stored bytes per weight, scales included.
    pub fn bytes_per_weight(self) -> f64 {
        match self {
            Precision::F32 => 4.0,
            Precision::F16 => 2.0,
            Precision::Int8 => 1.0 + 2.0 / 32.0,
            Precision::Int4 => 0.5 + 2.0 / 32.0,
        }
    }

    /// As in the JSON form and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
            Precision::Int4 => "int4",
        }
    }
}
