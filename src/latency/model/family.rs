//! What sets one family of decoders apart from another, one row each (docs/MODEL.md, "Models").

use super::fields::Fields;
use crate::Error;

/// How the layers' token mixers are built.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Grouped-query attention, or multi-head latent attention where the file has `kv_lora_rank`.
    Attention,
    /// Gated delta networks, with full attention in some layers.
    GatedDelta,
    /// Lightning attention, with full attention in some layers.
    Lightning,
    /// Gemma 4: other heads in full layers than in window layers.
    TwoHeadSizes,
    /// MiniMax-M3: attention to the blocks that an indexer chooses.
    BlockSparse,
    /// DeepSeek-V4: compressed caches.
    Compressed,
    /// Bloom: biases everywhere, MLP of four times the width.
    Bloom,
    /// Nemotron-H: each layer is one block, named by a letter.
    Blocks,
    /// Nemotron-NAS: each layer has its own sizes.
    Searched,
}

/// Which layers attend to a window, where the file has no `layer_types`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Windows {
    None,
    /// Every layer, if the window is shorter than the positions.
    All,
    /// Every other layer, from the first on.
    Alternate,
    /// All but every sixth, or as `sliding_window_pattern` says.
    Pattern,
    /// Those with rotary positions attend to chunks.
    Chunks,
    /// From `max_window_layers` on, if `use_sliding_window`.
    Later,
}

/// Weights that normalise queries and keys.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum QkNorm {
    /// One vector for all heads if the field `use_qk_norm` says so.
    Field,
    /// One vector for all heads.
    Head,
    /// Over all heads together.
    Width,
    None,
}

/// One row of the table.
pub(super) struct Family {
    pub types: &'static [&'static str],
    pub kind: Kind,
    pub windows: Windows,
    pub qk_norm: QkNorm,
    /// Biases of queries, keys and values where the file does not say.
    pub bias: bool,
    /// Whether a bias of queries, keys and values comes with one of the output.
    pub output_bias: bool,
    /// Vectors of the hidden width that normalise in a layer.
    pub norms: u64,
    /// Whether the embeddings are the LM head where the file does not say.
    pub tied: bool,
    /// Whether the router always has a bias.
    pub router_bias: bool,
}

const PLAIN: Family = Family {
    types: &[],
    kind: Kind::Attention,
    windows: Windows::None,
    qk_norm: QkNorm::None,
    bias: false,
    output_bias: false,
    norms: 2,
    tied: false,
    router_bias: false,
};

const QWEN3: Family = Family {
    qk_norm: QkNorm::Head,
    windows: Windows::Later,
    ..PLAIN
};

const GEMMA: Family = Family {
    norms: 4,
    tied: true,
    ..PLAIN
};

/// The reading of a file of no known family.
pub(super) const UNKNOWN: Family = Family {
    qk_norm: QkNorm::Field,
    ..PLAIN
};

/// All families that are known by their `model_type`.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        types: &["llama"],
        output_bias: true,
        ..PLAIN
    },
    Family {
        types: &[
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "glm",
            "glm_moe_dsa",
            "kimi_k2",
            "kimi_k25",
        ],
        ..PLAIN
    },
    Family {
        types: &["deepseek_v4"],
        kind: Kind::Compressed,
        ..PLAIN
    },
    Family {
        types: &["mistral", "mistral3", "ministral3", "mixtral", "phi3"],
        windows: Windows::All,
        ..PLAIN
    },
    Family {
        types: &["qwen2"],
        windows: Windows::Later,
        bias: true,
        ..PLAIN
    },
    Family {
        types: &["qwen3", "qwen3_moe"],
        ..QWEN3
    },
    Family {
        types: &[
            "qwen3_next",
            "qwen3_5",
            "qwen3_5_text",
            "qwen3_5_moe",
            "qwen3_5_moe_text",
        ],
        kind: Kind::GatedDelta,
        ..QWEN3
    },
    Family {
        types: &["gemma2"],
        windows: Windows::Alternate,
        ..GEMMA
    },
    Family {
        types: &["gemma3", "gemma3_text"],
        windows: Windows::Pattern,
        qk_norm: QkNorm::Head,
        ..GEMMA
    },
    Family {
        types: &["gemma4", "gemma4_text"],
        kind: Kind::TwoHeadSizes,
        qk_norm: QkNorm::Head,
        ..GEMMA
    },
    Family {
        types: &["glm4"],
        norms: 4,
        ..PLAIN
    },
    Family {
        types: &["glm4_moe"],
        qk_norm: QkNorm::Field,
        router_bias: true,
        ..PLAIN
    },
    Family {
        types: &["gpt_oss"],
        bias: true,
        output_bias: true,
        router_bias: true,
        ..PLAIN
    },
    Family {
        types: &["llama4", "llama4_text"],
        windows: Windows::Chunks,
        ..PLAIN
    },
    Family {
        types: &["minimax_m1"],
        kind: Kind::Lightning,
        ..PLAIN
    },
    Family {
        types: &["minimax_m2"],
        qk_norm: QkNorm::Width,
        router_bias: true,
        ..PLAIN
    },
    Family {
        types: &["minimax_m3", "minimax_m3_vl"],
        kind: Kind::BlockSparse,
        qk_norm: QkNorm::Field,
        ..PLAIN
    },
    Family {
        types: &["nemotron_h"],
        kind: Kind::Blocks,
        ..PLAIN
    },
    Family {
        types: &["nemotron-nas"],
        kind: Kind::Searched,
        ..PLAIN
    },
    Family {
        types: &["bloom"],
        kind: Kind::Bloom,
        norms: 4,
        tied: true,
        ..PLAIN
    },
];

/// The family of a file, by its `model_type`.
pub(super) fn of(fields: &Fields) -> Result<&'static Family, Error> {
    let name = fields.text("model_type")?.unwrap_or_default();
    match FAMILIES.iter().find(|row| row.types.contains(&name)) {
        Some(family) => Ok(family),
        None if plain(fields) => Ok(&UNKNOWN),
        None => Err(Error::UnknownFormat {
            file: fields.file.to_owned(),
            problem: format!(
                "model_type \"{name}\" is not known, and its fields leave its layers open"
            ),
            allowed: known().join(", "),
        }),
    }
}

/// Every known `model_type`.
fn known() -> Vec<&'static str> {
    let mut types: Vec<_> = FAMILIES.iter().flat_map(|row| row.types).copied().collect();
    types.sort_unstable();
    types
}

/// Fields about experts that the reader understands, or that change no size.
const EXPERTS: [&str; 9] = [
    "n_routed_experts",
    "num_local_experts",
    "num_experts",
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "top_k_experts",
    "n_shared_experts",
    "shared_expert_intermediate_size",
];

/// Beginnings of fields that stand for other layers than attention and a gated MLP.
const FOREIGN: [&str; 18] = [
    "altup",
    "attn_type",
    "block_configs",
    "compress_",
    "conv",
    "cross_attention",
    "full_attention_interval",
    "hybrid",
    "index_",
    "kv_lora",
    "laurel",
    "linear_",
    "mamba",
    "num_kv_shared",
    "q_lora",
    "sparse_attention",
    "ssm",
    "zamba",
];

/// Whether the fields alone say what the layers are: RMSNorm and a SiLU gate make a decoder of the Llama family,
/// with or without experts.
fn plain(fields: &Fields) -> bool {
    let text = |name| fields.get(name).and_then(serde_json::Value::as_str);
    let gated = matches!(text("hidden_act"), Some("silu" | "swiglu"));
    let experts = EXPERTS[..3].iter().any(|name| fields.get(name).is_some());
    let foreign = fields.names().any(|name| {
        FOREIGN.iter().any(|start| name.starts_with(start))
            || name.contains("expert") && !EXPERTS.contains(&name)
            || name.starts_with("moe_") && !experts
    });
    let window = fields.get("sliding_window").is_some() && fields.get("layer_types").is_none();
    let off = fields.get("use_sliding_window") == Some(&serde_json::Value::Bool(false));
    gated && fields.get("rms_norm_eps").is_some() && !foreign && (!window || off)
}
