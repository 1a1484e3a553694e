//! How a checkpoint stores its weights: `quantization_config` of a `config.json`.

use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;
use super::{Layer, Mixer};
use crate::Error;

/// Bits of a stored weight, scales included, by part: 16 unless the file quantises.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quantisation {
    /// As "bf16", "fp8", "mxfp4", "nvfp4", "int4": the form of the experts' weights, or of all.
    pub name: String,
    /// Projections of attention and of state-space layers.
    pub attention_bits: f64,
    pub expert_bits: f64,
    /// MLPs that every token takes, shared experts and routers.
    pub dense_bits: f64,
    pub head_bits: f64,
    /// Bits of a stored key or value, where the file says.
    pub kv_bits: Option<f64>,
    /// Whether products are computed in 8 or 4 bits, not only stored so.
    pub low_precision_arithmetic: bool,
}

impl Default for Quantisation {
    fn default() -> Self {
        Quantisation {
            name: "bf16".to_owned(),
            attention_bits: 16.0,
            expert_bits: 16.0,
            dense_bits: 16.0,
            head_bits: 16.0,
            kv_bits: None,
            low_precision_arithmetic: false,
        }
    }
}

/// One way of storing weights.
#[derive(Debug, Clone)]
struct Scheme {
    name: String,
    bits: f64,
    low: bool,
    /// Modules that it holds for; all if empty.
    targets: Vec<String>,
}

impl Scheme {
    fn new(name: impl Into<String>, bits: f64, low: bool) -> Scheme {
        let (name, targets) = (name.into(), Vec::new());
        Scheme {
            name,
            bits,
            low,
            targets,
        }
    }

    fn only(mut self, target: &str) -> Scheme {
        self.targets = vec![target.to_owned()];
        self
    }
}

const METHODS: &str = "fp8, fbgemm_fp8, mxfp4, nvfp4, modelopt, modelopt_fp4, compressed-tensors, gptq, gptq_marlin, \
                       awq, awq_marlin, auto-round, bitsandbytes";

/// Reads the file's `quantization_config` for these layers, one by one.
pub(super) fn read(fields: &Fields, layers: &[Layer]) -> Result<Quantisation, Error> {
    let Some(object) = fields.object("quantization_config")? else {
        return Ok(Quantisation::default());
    };
    let config = fields.within("quantization_config", object);
    let schemes = schemes(fields, &config)?;
    let kept = kept(&config)?;
    let mut found = parts(layers, &schemes, &kept);
    found.kv_bits = kv_bits(&config)?;
    if config.flag("lm_head")? == Some(true) {
        found.head_bits = schemes.first().map_or(16.0, |scheme| scheme.bits);
    }
    Ok(found)
}

fn schemes(fields: &Fields, config: &Fields) -> Result<Vec<Scheme>, Error> {
    let method = match config.text("quant_method")? {
        Some(method) => method,
        None if config.get("quant_algo").is_some() => "modelopt",
        None => return Err(config.refuse("quant_method", METHODS)),
    };
    let one = |scheme| Ok(vec![scheme]);
    match method {
        "fp8" => {
            let fp8 = Scheme::new("fp8", 8.0 + block_scale(config, "weight_block_size")?, true);
            // DeepSeek-V4 says so outside: experts in FP4, with one byte of scale for 32 weights.
            match fields.text("expert_dtype")? {
                Some("fp4") => Ok(vec![Scheme::new("mxfp4", 4.25, true).only("experts"), fp8]),
                _ => one(fp8),
            }
        }
        "fbgemm_fp8" => one(Scheme::new("fp8", 8.0, true)),
        // The library converts the experts alone, and computes in 16 bits.
        "mxfp4" => one(Scheme::new("mxfp4", 4.25, false).only("experts")),
        "nvfp4" => one(Scheme::new("nvfp4", 4.5, true)),
        "modelopt" | "modelopt_fp4" | "compressed-tensors" => {
            match config.object("config_groups")? {
                Some(groups) => groups
                    .values()
                    .take(16)
                    .map(|group| self::group(config, group))
                    .collect(),
                None => one(algorithm(config, method)?),
            }
        }
        "gptq" | "gptq_marlin" | "awq" | "awq_marlin" | "auto-round" => one(integers(config)?),
        "bitsandbytes" => one(if config.flag("load_in_4bit")? == Some(true) {
            // One scale for 64 weights, of 4 bytes, or of 1 byte if the scales are quantised in blocks of 256.
            let double = config.flag("bnb_4bit_use_double_quant")? == Some(true);
            let scale = if double { 8.0 + 32.0 / 256.0 } else { 32.0 };
            Scheme::new("int4", 4.0 + scale / 64.0, false)
        } else {
            Scheme::new("int8", 8.0, false)
        }),
        _ => Err(config.refuse("quant_method", METHODS)),
    }
}

/// Bits that one 4-byte scale for a block of weights adds to each.
fn block_scale(config: &Fields, name: &str) -> Result<f64, Error> {
    let Some(list) = config.list(name)? else {
        return Ok(0.0);
    };
    match list.iter().map(Value::as_u64).collect::<Option<Vec<_>>>() {
        Some(sides)
            if sides.len() == 2 && sides.iter().all(|&side| (1..=65_536).contains(&side)) =>
        {
            Ok(32.0 / sides.iter().product::<u64>() as f64)
        }
        _ => Err(config.refuse(name, "two whole numbers from 1 to 65536")),
    }
}

/// Groups of weights with a scale each: `None` where a scale serves a whole row or matrix, which -1 stands for too.
fn group_size(config: &Fields, names: &[&str]) -> Result<Option<f64>, Error> {
    let negative = names
        .iter()
        .find_map(|name| config.get(name))
        .and_then(Value::as_i64);
    match negative {
        Some(-1) => Ok(None),
        _ => Ok(config.whole(names, 1, 65_536)?.map(|size| size as f64)),
    }
}

/// GPTQ, AWQ and AutoRound: whole numbers in groups, each with a scale of 16 bits and a zero point.
fn integers(config: &Fields) -> Result<Scheme, Error> {
    let bits = config.whole(&["bits", "w_bit"], 1, 8)?.unwrap_or(4);
    let group = group_size(config, &["group_size", "q_group_size"])?;
    let width = bits as f64;
    let scale = group.map_or(0.0, |size| (16.0 + width) / size);
    Ok(Scheme::new(format!("int{bits}"), width + scale, false))
}

/// One of the groups of compressed-tensors and ModelOpt.
fn group(config: &Fields, group: &Value) -> Result<Scheme, Error> {
    let allowed = "objects with weights for each group";
    let object = group
        .as_object()
        .ok_or_else(|| config.refuse("config_groups", allowed))?;
    let group = config.within("config_groups", object);
    let weights = group
        .object("weights")?
        .ok_or_else(|| config.refuse("config_groups", allowed))?;
    let weights = group.within("config_groups.weights", weights);
    let bits = weights.whole(&["num_bits"], 1, 16)?.unwrap_or(8);
    let float = weights.text("type")? == Some("float");
    let size = group_size(&weights, &["group_size"])?;
    let scale = match (float, bits, size) {
        // One byte of scale for each group: 16 weights in NVFP4, 32 in MXFP4.
        (true, 4, Some(size)) => 8.0 / size,
        (_, _, Some(size)) => 16.0 / size,
        (_, _, None) => block_scale(&weights, "block_structure")?,
    };
    let name = match (float, bits, size) {
        (true, 8, _) => "fp8".to_owned(),
        (true, 4, Some(32.0)) => "mxfp4".to_owned(),
        (true, 4, _) => "nvfp4".to_owned(),
        (true, ..) => format!("fp{bits}"),
        (false, ..) => format!("int{bits}"),
    };
    let low = match group.object("input_activations")? {
        Some(inputs) => {
            let inputs = group.within("config_groups.input_activations", inputs);
            inputs
                .whole(&["num_bits"], 1, 32)?
                .is_some_and(|bits| bits <= 8)
        }
        None => false,
    };
    let mut scheme = Scheme::new(name, bits as f64 + scale, low);
    let targets = texts(&group, "targets")?;
    if !targets.iter().any(|target| target == "Linear") {
        scheme.targets = targets.iter().flat_map(|target| patterns(target)).collect();
    }
    Ok(scheme)
}

/// ModelOpt without groups.
fn algorithm(config: &Fields, method: &str) -> Result<Scheme, Error> {
    let named = config.text("quant_algo")?;
    Ok(match (named, method) {
        (Some("FP8" | "FP8_PER_CHANNEL_PER_TOKEN"), _) => Scheme::new("fp8", 8.0, true),
        (Some("FP8_PB_WO"), _) => Scheme::new("fp8", 8.0 + 32.0 / 16_384.0, true),
        (Some("NVFP4" | "NVFP4_AWQ"), _) | (None, "modelopt_fp4") => {
            Scheme::new("nvfp4", 4.5, true)
        }
        (Some("W4A16_AWQ" | "INT4_AWQ"), _) => Scheme::new("int4", 4.0 + 16.0 / 128.0, false),
        _ => {
            let allowed = "FP8, FP8_PER_CHANNEL_PER_TOKEN, FP8_PB_WO, NVFP4, NVFP4_AWQ, W4A16_AWQ, INT4_AWQ, or config_groups";
            return Err(config.refuse("quant_algo", allowed));
        }
    })
}

/// Bits of keys and values: `kv_cache_scheme`, or ModelOpt's name of an algorithm.
fn kv_bits(config: &Fields) -> Result<Option<f64>, Error> {
    if let Some(Value::Object(scheme)) = config.get("kv_cache_scheme") {
        let scheme = config.within("quantization_config.kv_cache_scheme", scheme);
        return Ok(scheme.whole(&["num_bits"], 1, 32)?.map(|bits| bits as f64));
    }
    let name = ["kv_cache_scheme", "kv_cache_quant_algo"]
        .into_iter()
        .find(|name| config.get(name).is_some());
    let Some(name) = name else {
        return Ok(None);
    };
    match config.text(name)? {
        Some("FP8" | "fp8") => Ok(Some(8.0)),
        Some("INT8" | "int8") => Ok(Some(8.0)),
        Some("NVFP4" | "nvfp4") => Ok(Some(4.5)),
        _ => Err(config.refuse(name, "FP8, INT8, NVFP4 or an object with num_bits")),
    }
}

fn texts(config: &Fields, name: &str) -> Result<Vec<String>, Error> {
    let list = config.list(name)?.unwrap_or_default();
    let texts = list.iter().filter_map(Value::as_str);
    Ok(texts.map(str::to_owned).collect())
}

/// Modules that stay in 16 bits.
fn kept(config: &Fields) -> Result<Vec<String>, Error> {
    let names = [
        "modules_to_not_convert",
        "ignore",
        "exclude_modules",
        "ignored_layers",
        "llm_int8_skip_modules",
    ];
    let mut kept = Vec::new();
    for name in names {
        kept.extend(texts(config, name)?.iter().flat_map(|text| patterns(text)));
    }
    Ok(kept)
}

/// A name of modules as patterns with `*`: of a regular expression, what such files use of them is understood.
fn patterns(text: &str) -> Vec<String> {
    let short: String = text.chars().take(200).collect();
    let mut text = short.replace("language_model.", "");
    if let Some(expression) = text.strip_prefix("re:") {
        text = expression
            .trim_matches(['^', '$'])
            .replace("\\.", ".")
            .replace("\\d+", "*")
            .replace("[0-9]+", "*")
            .replace(".*", "*")
            .replace("(?:", "(");
    }
    // One choice of words, as in "(gate|up)_proj".
    let choice = text
        .split_once('(')
        .and_then(|(start, rest)| Some((start, rest.split_once(')')?)));
    match choice {
        Some((start, (words, end))) => words
            .split('|')
            .map(|word| format!("{start}{word}{end}"))
            .collect(),
        None => vec![text],
    }
}

/// Whether a pattern names a module or one that holds it: "self_attn" and "layers.0" name "layers.0.self_attn.q_proj".
fn names(pattern: &str, module: &str) -> bool {
    if !pattern.contains('*') {
        return module.match_indices(pattern).any(|(at, _)| {
            let end = at + pattern.len();
            !pattern.is_empty()
                && (at == 0 || module[..at].ends_with('.'))
                && (end == module.len() || module[end..].starts_with('.'))
        });
    }
    // A dot in front and one behind stand for the ends of names.
    let module = format!(".{module}.");
    glob(format!("*.{pattern}.*").as_bytes(), module.as_bytes())
}

/// Whether a text is of a pattern in which `*` stands for any text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            // The latest star takes one byte more.
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The modules that stand for a part of a layer; a module goes by several names.
fn modules(part: Part, layer: &Layer) -> &'static [&'static [&'static str]] {
    match (part, &layer.mixer) {
        (Part::Attention, Mixer::State { .. }) => &[&[
            "linear_attn.in_proj_qkvz",
            "linear_attn.in_proj_qkv",
            "mixer.in_proj",
        ]],
        (Part::Attention, _) => &[
            &["self_attn.q_proj", "mixer.q_proj"],
            &["self_attn.o_proj", "mixer.o_proj"],
        ],
        (Part::Experts, _) => &[&[
            "mlp.experts.0.up_proj",
            "block_sparse_moe.experts.0.w1",
            "mixer.experts.0.up_proj",
        ]],
        (Part::Dense, _) => match layer.feed {
            super::Feed::Experts { .. } => &[&[
                "mlp.shared_experts.up_proj",
                "mlp.shared_expert.up_proj",
                "mixer.shared_experts.up_proj",
            ]],
            _ => &[&["mlp.up_proj", "mixer.up_proj"]],
        },
    }
}

#[derive(Clone, Copy)]
enum Part {
    Attention,
    Experts,
    Dense,
}

impl Part {
    fn weights(self, layer: &Layer) -> u64 {
        match self {
            Part::Attention => layer.mixer.weights(),
            Part::Experts => layer.feed.expert_weights(),
            Part::Dense => layer.feed.dense_weights(),
        }
    }
}

/// Bits of each part: the mean over its layers, weighted by their weights.
fn parts(layers: &[Layer], schemes: &[Scheme], kept: &[String]) -> Quantisation {
    // Long lists name each module of each layer. A bound on the work: beyond it, a sample of the layers stands for all.
    let step = 1 + layers.len() * kept.len() / 1_000_000;
    let mut found = Quantisation::default();
    let mut used: Option<&Scheme> = None;
    for part in [Part::Attention, Part::Dense, Part::Experts] {
        let (mut bits, mut weights) = (0.0, 0.0);
        for (at, layer) in layers.iter().enumerate().step_by(step) {
            let modules = modules(part, layer);
            let share = part.weights(layer) as f64 / modules.len() as f64;
            if share == 0.0 {
                continue;
            }
            for aliases in modules {
                let scheme = scheme(at, aliases, schemes, kept);
                bits += share * scheme.map_or(16.0, |scheme| scheme.bits);
                weights += share;
                used = scheme.or(used);
            }
        }
        let mean = if weights > 0.0 { bits / weights } else { 16.0 };
        match part {
            Part::Attention => found.attention_bits = mean,
            Part::Experts => found.expert_bits = mean,
            Part::Dense => found.dense_bits = mean,
        }
    }
    if let Some(scheme) = used {
        found.name.clone_from(&scheme.name);
        found.low_precision_arithmetic = scheme.low;
    }
    found
}

/// The scheme of a module of one layer: none if any of its names is kept.
fn scheme<'a>(
    layer: usize,
    aliases: &[&str],
    schemes: &'a [Scheme],
    kept: &[String],
) -> Option<&'a Scheme> {
    let full = |alias: &&str| format!("model.layers.{layer}.{alias}");
    let modules: Vec<String> = aliases.iter().map(full).collect();
    let any = |patterns: &[String]| {
        let named = |pattern: &String| modules.iter().any(|module| names(pattern, module));
        patterns.iter().any(named)
    };
    if any(kept) {
        return None;
    }
    schemes
        .iter()
        .find(|scheme| scheme.targets.is_empty() || any(&scheme.targets))
}
