//! Decoders by their public numbers: the reader of `config.json` and the catalogue.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use batchscope::Error;
use batchscope::latency::architecture::Architecture;
use batchscope::latency::model::{Feed, Mixer, Model, catalogue};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn named(name: &str) -> Model {
    Model::named(name).unwrap_or_else(|| panic!("{name} is not in the catalogue"))
}

fn near(found: f64, wanted: f64, share: f64) -> bool {
    (found / wanted - 1.0).abs() <= share
}

/// Name, parameters, active parameters, bytes of keys and values that a token adds at 16 bits, the same of indexers,
/// window and bytes a token of its layers, bytes of state of a sequence. Worked out by another program from the same
/// formulas.
type Row = (&'static str, u64, u64, u64, u64, Option<(u32, u64)>, u64);
#[rustfmt::skip]
const ROWS: [Row; 87] = [
    ("bloom-176b", 176_247_271_424, 176_247_271_424, 4_014_080, 0, None, 0),
    ("deepseek-v2-lite", 15_706_484_224, 2_661_150_208, 31_104, 0, None, 0),
    ("deepseek-v4-flash", 284_334_567_511, 13_801_959_511, 5536, 1344, None, 5_636_096),
    ("deepseek-r1", 671_026_419_200, 37_552_297_472, 70_272, 0, None, 0),
    ("deepseek-v3", 671_026_419_200, 37_552_297_472, 70_272, 0, None, 0),
    ("deepseek-v3.1", 671_026_419_200, 37_552_297_472, 70_272, 0, None, 0),
    ("deepseek-v3.2", 671_877_944_064, 38_403_822_336, 70_272, 15_616, None, 0),
    ("deepseek-v4-pro", 1_572_999_528_803, 49_781_408_099, 7920, 1920, None, 7_995_392),
    ("gemma-3-1b", 999_885_952, 999_885_952, 4096, 0, Some((512, 22_528)), 0),
    ("gemma-3-4b", 3_880_263_168, 3_880_263_168, 20_480, 0, Some((1024, 118_784)), 0),
    ("gemma-2-9b", 9_241_705_984, 9_241_705_984, 172_032, 0, Some((4096, 172_032)), 0),
    ("gemma-3-12b", 11_766_034_176, 11_766_034_176, 65_536, 0, Some((1024, 327_680)), 0),
    ("gemma-4-26b-a4b", 25_233_141_790, 3_822_530_590, 20_480, 0, Some((1024, 204_800)), 0),
    ("gemma-3-27b", 27_009_346_304, 27_009_346_304, 81_920, 0, Some((1024, 425_984)), 0),
    ("gemma-2-27b", 27_227_128_320, 27_227_128_320, 188_416, 0, Some((4096, 188_416)), 0),
    ("gemma-4-31b", 30_697_345_340, 30_697_345_340, 81_920, 0, Some((1024, 819_200)), 0),
    ("glm-4-9b", 9_399_951_360, 9_399_951_360, 40_960, 0, None, 0),
    ("glm-4.5-air", 106_852_251_264, 13_424_129_664, 188_416, 0, None, 0),
    ("glm-4.5", 352_797_829_024, 33_632_266_144, 376_832, 0, None, 0),
    ("glm-4.6", 352_797_829_024, 33_632_266_144, 376_832, 0, None, 0),
    ("glm-5.2", 743_377_019_904, 41_250_530_304, 89_856, 5376, None, 0),
    ("glm-5", 743_911_218_432, 41_784_728_832, 89_856, 19_968, None, 0),
    ("glm-5-fp8", 743_911_218_432, 41_784_728_832, 89_856, 19_968, None, 0),
    ("gpt-oss-20b", 20_914_757_184, 4_187_440_704, 24_576, 0, Some((128, 24_576)), 0),
    ("gpt-oss-120b", 116_829_156_672, 5_711_982_912, 36_864, 0, Some((128, 36_864)), 0),
    ("kimi-k2", 1_026_408_232_448, 32_861_500_928, 70_272, 0, None, 0),
    ("kimi-k2.5", 1_026_408_232_448, 32_861_500_928, 70_272, 0, None, 0),
    ("llama-3.2-1b", 1_235_814_400, 1_235_814_400, 32_768, 0, None, 0),
    ("llama-3.2-3b", 3_212_749_824, 3_212_749_824, 114_688, 0, None, 0),
    ("llama-2-7b", 6_738_415_616, 6_738_415_616, 524_288, 0, None, 0),
    ("llama-3.1-8b", 8_030_261_248, 8_030_261_248, 131_072, 0, None, 0),
    ("llama-2-13b", 13_015_864_320, 13_015_864_320, 819_200, 0, None, 0),
    ("llama-2-70b", 68_976_648_192, 68_976_648_192, 327_680, 0, None, 0),
    ("llama-3.1-70b", 70_553_706_496, 70_553_706_496, 327_680, 0, None, 0),
    ("llama-3.1-70b-fp8", 70_553_706_496, 70_553_706_496, 327_680, 0, None, 0),
    ("llama-3.3-70b", 70_553_706_496, 70_553_706_496, 327_680, 0, None, 0),
    ("llama-4-scout", 107_769_861_120, 17_172_894_720, 49_152, 0, Some((8192, 147_456)), 0),
    ("llama-4-maverick", 400_711_848_960, 17_184_691_200, 49_152, 0, Some((8192, 147_456)), 0),
    ("llama-4-maverick-fp8", 400_711_848_960, 17_184_691_200, 49_152, 0, Some((8192, 147_456)), 0),
    ("llama-3.1-405b", 405_853_388_800, 405_853_388_800, 516_096, 0, None, 0),
    ("llama-3.1-405b-fp8", 405_853_388_800, 405_853_388_800, 516_096, 0, None, 0),
    ("minimax-m2", 228_689_764_864, 11_030_553_088, 253_952, 0, None, 0),
    ("minimax-m3", 426_174_572_928, 25_962_473_856, 122_880, 14_592, None, 0),
    ("minimax-m1", 456_089_655_296, 48_403_306_496, 40_960, 0, None, 146_800_640),
    ("mistral-7b-v0.1", 7_241_732_096, 7_241_732_096, 0, 0, Some((4096, 131_072)), 0),
    ("mistral-7b-v0.3", 7_248_023_552, 7_248_023_552, 131_072, 0, None, 0),
    ("mistral-nemo-12b", 12_247_782_400, 12_247_782_400, 163_840, 0, None, 0),
    ("mistral-small-24b", 23_572_403_200, 23_572_403_200, 163_840, 0, None, 0),
    ("mistral-small-3.2-24b", 23_572_403_200, 23_572_403_200, 163_840, 0, None, 0),
    ("mixtral-8x7b", 46_702_792_704, 12_879_925_248, 131_072, 0, None, 0),
    ("mistral-large-123b", 122_610_069_504, 122_610_069_504, 360_448, 0, None, 0),
    ("mixtral-8x22b", 140_620_634_112, 39_152_031_744, 229_376, 0, None, 0),
    ("nemotron-nano-9b-v2", 8_888_227_328, 8_888_227_328, 16_384, 0, None, 72_769_536),
    ("nemotron-nano-12b-v2", 12_310_001_152, 12_310_001_152, 24_576, 0, None, 75_464_704),
    ("nemotron-3-nano-30b-a3b", 31_577_940_288, 3_580_076_352, 6144, 0, None, 49_082_368),
    ("nemotron-super-49b", 49_867_145_216, 49_867_145_216, 200_704, 0, None, 0),
    ("nemotron-3-super-120b-a12b", 120_668_707_840, 12_770_237_440, 8192, 0, None, 170_229_760),
    ("nemotron-3-ultra-550b-a55b", 549_308_993_536, 56_058_843_136, 12_288, 0, None, 407_961_600),
    ("phi-3-mini", 3_821_079_552, 3_821_079_552, 0, 0, Some((2047, 393_216)), 0),
    ("phi-4-mini", 3_836_021_760, 3_836_021_760, 131_072, 0, None, 0),
    ("phi-4", 14_659_507_200, 14_659_507_200, 204_800, 0, None, 0),
    ("qwen2.5-0.5b", 494_032_768, 494_032_768, 12_288, 0, None, 0),
    ("qwen3-0.6b", 596_049_920, 596_049_920, 114_688, 0, None, 0),
    ("qwen2.5-1.5b", 1_543_714_304, 1_543_714_304, 28_672, 0, None, 0),
    ("qwen3-1.7b", 1_720_574_976, 1_720_574_976, 114_688, 0, None, 0),
    ("qwen2.5-3b", 3_085_938_688, 3_085_938_688, 36_864, 0, None, 0),
    ("qwen3-4b", 4_022_468_096, 4_022_468_096, 147_456, 0, None, 0),
    ("qwen2.5-7b", 7_615_616_512, 7_615_616_512, 57_344, 0, None, 0),
    ("qwen3-8b", 8_190_735_360, 8_190_735_360, 147_456, 0, None, 0),
    ("qwen3.5-9b", 8_953_803_264, 8_953_803_264, 32_768, 0, None, 51_511_296),
    ("qwen3-14b", 14_768_307_200, 14_768_307_200, 163_840, 0, None, 0),
    ("qwen2.5-14b", 14_770_033_664, 14_770_033_664, 196_608, 0, None, 0),
    ("qwen3.5-27b", 26_895_998_464, 26_895_998_464, 65_536, 0, None, 153_944_064),
    ("qwen3-30b-a3b", 30_532_122_624, 3_353_032_704, 98_304, 0, None, 0),
    ("qwen3-30b-a3b-fp8", 30_532_122_624, 3_353_032_704, 98_304, 0, None, 0),
    ("qwen3-coder-30b-a3b", 30_532_122_624, 3_353_032_704, 98_304, 0, None, 0),
    ("qwen3-32b", 32_762_123_264, 32_762_123_264, 262_144, 0, None, 0),
    ("qwen3-32b-fp8", 32_762_123_264, 32_762_123_264, 262_144, 0, None, 0),
    ("qwen2.5-32b", 32_763_876_352, 32_763_876_352, 262_144, 0, None, 0),
    ("qwen3.5-35b-a3b", 34_660_610_688, 3_454_988_928, 20_480, 0, None, 64_389_120),
    ("qwen2.5-72b", 72_706_203_648, 72_706_203_648, 327_680, 0, None, 0),
    ("qwen3-next-80b-a3b", 79_674_391_296, 3_874_929_408, 24_576, 0, None, 39_518_208),
    ("qwen3.5-122b-a10b", 122_111_526_912, 9_771_288_576, 24_576, 0, None, 153_649_152),
    ("qwen3-235b-a22b", 235_093_634_560, 22_190_763_520, 192_512, 0, None, 0),
    ("qwen3-235b-a22b-fp8", 235_093_634_560, 22_190_763_520, 192_512, 0, None, 0),
    ("qwen3.5-397b-a17b", 396_346_350_336, 17_349_040_896, 30_720, 0, None, 192_061_440),
    ("qwen3-coder-480b-a35b", 480_154_875_392, 35_474_765_312, 253_952, 0, None, 0),
];

#[test]
fn every_model_has_its_published_number_of_parameters() {
    assert_eq!(catalogue().len(), ROWS.len());
    for entry in catalogue() {
        let model = entry.model().unwrap_or_else(|| panic!("{}", entry.name));
        let found = model.parameters() as f64;
        assert_eq!(model.published, Some(entry.parameters));
        assert!(
            near(found, entry.parameters, 0.01),
            "{}: {found}",
            entry.name
        );
    }
}

#[test]
fn every_model_has_the_sizes_worked_out_elsewhere() {
    for (name, total, active, kv, index, window, state) in ROWS {
        let model = named(name);
        // Left out here: three norms of Bloom, the last hyper-connection of DeepSeek-V4.
        assert!(
            near(model.parameters() as f64, total as f64, 1e-6),
            "{name}"
        );
        assert!(
            near(model.active_parameters() as f64, active as f64, 2e-5),
            "{name}"
        );
        assert_eq!(2 * model.kv_values(), kv + index, "{name}");
        assert_eq!(2 * model.index_values(), index, "{name}");
        let windows: Vec<_> = window
            .map(|(tokens, bytes)| (tokens, bytes / 2))
            .into_iter()
            .collect();
        assert_eq!(model.window_values(), windows, "{name}");
        assert_eq!(model.state_bytes(), state, "{name}");
    }
}

#[test]
fn caches_have_their_published_sizes() {
    let kv = |name| named(name).kv_values() as f64 * named(name).kv_bits() / 8.0;
    assert_eq!(kv("llama-3.1-8b"), 131_072.0);
    assert_eq!(kv("deepseek-v3"), 70_272.0);
    let gemma = named("gemma-3-27b");
    assert_eq!(gemma.window_values(), [(1024, 212_992)]);
    assert_eq!(gemma.context_values(100), 100 * (40_960 + 212_992));
    assert_eq!(gemma.context_values(5000), 5000 * 40_960 + 1024 * 212_992);
    assert_eq!(gemma.context_values(u64::MAX), u64::MAX);
}

#[test]
fn active_parameters_are_near_the_published_ones() {
    // What publishers leave out: nothing, the embeddings, or the LM head too.
    let close = [
        "llama-4-scout",
        "llama-4-maverick",
        "qwen3-30b-a3b",
        "qwen3-235b-a22b",
        "qwen3-coder-480b-a35b",
        "qwen3.5-122b-a10b",
        "qwen3.5-397b-a17b",
        "gemma-4-26b-a4b",
        "mixtral-8x7b",
        "mixtral-8x22b",
        "deepseek-v3",
        "deepseek-v4-pro",
        "kimi-k2",
        "nemotron-3-nano-30b-a3b",
        "nemotron-3-ultra-550b-a55b",
    ];
    let close = close.map(|name| (name, 0));
    let others = [
        ("gpt-oss-20b", 1),
        ("gpt-oss-120b", 1),
        ("minimax-m1", 2),
        ("minimax-m2", 2),
        ("minimax-m3", 2),
    ];
    for (name, left_out) in close.into_iter().chain(others) {
        let entry = catalogue().iter().find(|entry| entry.name == name).unwrap();
        let model = named(name);
        let found = model.active_parameters() - left_out * model.embedding_weights();
        let wanted = entry.active_parameters.unwrap();
        assert!(near(found as f64, wanted, 0.03), "{name}: {found}");
    }
}

#[test]
fn weights_and_arithmetic_of_a_dense_model() {
    let model = named("llama-3.1-8b");
    assert_eq!(model.weight_bytes(), 2.0 * 8_030_261_248.0);
    assert_eq!(
        model.token_flops(),
        2.0 * (8_030_261_248.0 - 128_256.0 * 4096.0)
    );
    let tied = named("llama-3.2-1b");
    assert_eq!(tied.token_flops(), 2.0 * 1_235_814_400.0);
    assert_eq!(tied.weight_bytes(), 2.0 * 1_235_814_400.0);
}

#[test]
fn latent_attention_has_its_arithmetic() {
    let Mixer::Latent {
        latent,
        pair_flops,
        index,
        top,
        ..
    } = named("deepseek-v3.2").layers[0].mixer
    else {
        panic!("not latent");
    };
    // Scores over 576 values, the weighted sum over 512, in 128 heads.
    assert_eq!(
        (latent, pair_flops, index, top),
        (576, 2 * 128 * (576 + 512), 128, Some(2048))
    );
}

#[test]
fn layers_sum_to_their_number() {
    for (name, layers) in [
        ("deepseek-v3", 61),
        ("deepseek-v4-pro", 61),
        ("nemotron-3-ultra-550b-a55b", 108),
        ("bloom", 70),
    ] {
        assert_eq!(named(name).layer_count(), layers, "{name}");
    }
    let experts = |model: Model| {
        let of =
            |layer: &batchscope::latency::model::Layer| matches!(layer.feed, Feed::Experts { .. });
        model
            .layers
            .iter()
            .filter(|layer| of(layer))
            .map(|layer| layer.count)
            .sum::<u32>()
    };
    assert_eq!(experts(named("deepseek-v3")), 58);
    assert_eq!(experts(named("llama-4-maverick")), 24);
}

#[test]
fn names_aliases_and_repositories_are_understood() {
    for (name, wanted) in [
        ("QWEN3-8B", "qwen3-8b"),
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("meta-llama/llama-3.1-8b-instruct", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("bloom", "bloom-176b"),
    ] {
        assert_eq!(named(name).name, wanted);
    }
    assert!(Model::named("").is_none());
    assert!(Model::named("qwen3").is_none());
    // Each name once, families in alphabetical order, sizes rising in each.
    let family = |name: &str| {
        let word: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        if word == "mixtral" {
            "mistral".to_owned()
        } else {
            word
        }
    };
    let order: Vec<_> = catalogue()
        .iter()
        .map(|e| (family(&e.name), e.parameters))
        .collect();
    assert!(order.is_sorted());
    let mut every: Vec<_> = catalogue()
        .iter()
        .flat_map(|e| e.aliases.iter().chain([&e.name, &e.repository]))
        .map(|name| name.to_lowercase())
        .collect();
    every.sort();
    let count = every.len();
    every.dedup();
    assert_eq!(every.len(), count);
    assert!(Model::names().eq(catalogue().iter().map(|entry| entry.name.as_str())));
}

#[test]
fn every_configuration_is_a_file() {
    for entry in catalogue() {
        let config: Value = serde_json::from_str(entry.config()).unwrap();
        let text = serde_json::to_string_pretty(&config).unwrap();
        let mut read = Model::from_config(&text, "config.json").unwrap();
        assert_eq!(read.name, "config.json");
        let kept = named(&entry.name);
        (read.name, read.source, read.published) =
            (kept.name.clone(), kept.source.clone(), kept.published);
        assert_eq!(read, kept);
    }
}

#[test]
fn the_kernels_models_are_models() {
    for preset in Architecture::PRESETS {
        let architecture = Architecture::preset(preset).unwrap();
        let model = Model::from(&architecture);
        assert!(model.matches(&architecture), "{preset}");
        assert_eq!(model.dense().as_ref(), Some(&architecture));
        if preset != "demo" {
            assert_eq!(named(preset).layers, model.layers, "{preset}");
            assert!(named(preset).matches(&architecture), "{preset}");
        }
        let norms = (2 * u64::from(architecture.layers) + 1) * u64::from(architecture.hidden);
        let qk = 2 * u64::from(architecture.layers * architecture.head_size);
        let matrices = model.parameters() - norms - if architecture.qk_norm { qk } else { 0 };
        let untied = if architecture.tied {
            0
        } else {
            architecture.head_weights()
        };
        assert_eq!(matrices, architecture.step_weights() + untied, "{preset}");
    }
    for other in [
        "qwen2.5-7b",
        "gemma-2-9b",
        "glm-4-9b",
        "mixtral-8x7b",
        "mistral-7b-v0.1",
        "bloom",
        "nemotron-super-49b",
    ] {
        assert!(named(other).dense().is_none(), "{other}");
    }
    assert!(!named("qwen3-8b").matches(&Architecture::preset("llama-3.1-8b").unwrap()));
}

/// A small decoder of a family that is not known, with other fields.
fn unknown(more: Value) -> Result<Model, Error> {
    let mut config = json!({
        "model_type": "unheard-of", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
        "num_key_value_heads": 2, "intermediate_size": 4096, "vocab_size": 1000, "hidden_act": "silu",
        "rms_norm_eps": 1e-5
    });
    let more = more.as_object().cloned().unwrap_or_default();
    config.as_object_mut().unwrap().extend(more);
    Model::from_config(&config.to_string(), "config.json")
}

#[test]
fn an_unknown_family_is_read_where_its_fields_leave_no_choice() {
    let dense = unknown(json!({})).unwrap().dense().unwrap();
    assert_eq!((dense.mlp, dense.head_size, dense.kv_heads), (4096, 128, 2));
    let experts = unknown(json!({
        "num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 512, "first_k_dense_replace": 1
    }));
    assert_eq!(
        experts.unwrap().layers[1].feed,
        Feed::Experts {
            count: 16,
            active: 2,
            expert_weights: 3 * 1024 * 512,
            shared_weights: 16 * 1024
        }
    );
    for open in [
        json!({"hidden_act": "gelu"}),
        json!({"rms_norm_eps": null}),
        json!({"kv_lora_rank": 512}),
        json!({"moe_num_experts": 8}),
        json!({"sliding_window": 128}),
        json!({"mamba_d_state": 16}),
    ] {
        let error = unknown(open.clone()).unwrap_err();
        assert_eq!(error.code(), "unknown-format", "{open}");
        let said = error.to_string();
        assert!(
            said.contains("unheard-of") && said.contains("qwen3_moe"),
            "{said}"
        );
    }
}

#[test]
fn absurd_numbers_are_refused_by_field() {
    for (field, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-4096)),
        ("hidden_size", json!(1.5)),
        ("hidden_size", json!("4096")),
        ("hidden_size", json!(null)),
        ("vocab_size", json!(20_000_000)),
        ("num_hidden_layers", json!(5000)),
        ("num_key_value_heads", json!(3)),
        ("num_attention_heads", json!(6)),
        ("intermediate_size", json!(1e30)),
        ("tie_word_embeddings", json!("yes")),
        ("max_position_embeddings", json!(0)),
        ("quantization_config", json!([])),
    ] {
        let error = unknown(json!({ field: value })).unwrap_err();
        assert_eq!(
            error.report().field.as_deref(),
            Some(field),
            "{value}: {error}"
        );
    }
    let more = json!({"num_experts": 4, "num_experts_per_tok": 5});
    assert!(
        unknown(more)
            .unwrap_err()
            .to_string()
            .starts_with("num_experts_per_tok: 5")
    );
    assert_eq!(Model::from_config("{", "x").unwrap_err().code(), "bad-row");
    assert_eq!(Model::from_config("[]", "x").unwrap_err().code(), "bad-row");
    let huge = json!({"hidden_size": 8_000_000, "intermediate_size": 9_000_000, "num_hidden_layers": 4096});
    assert_eq!(unknown(huge).unwrap_err().code(), "too-large");
}

#[test]
fn the_form_of_stored_weights_is_read() {
    let bits = |config: Value| {
        let model = unknown(json!({
            "quantization_config": config, "num_experts": 16, "num_experts_per_tok": 2,
            "moe_intermediate_size": 512, "first_k_dense_replace": 1
        }));
        let q = model.unwrap().quantisation;
        let bits = [q.attention_bits, q.expert_bits, q.dense_bits, q.head_bits];
        (
            q.name,
            bits.map(|b| (b * 1e4).round() / 1e4),
            q.kv_bits,
            q.low_precision_arithmetic,
        )
    };
    let is = |name: &str, bits, kv, low| (name.to_owned(), bits, kv, low);
    let group = |weights: Value, inputs: Value| {
        json!({"quant_method": "compressed-tensors", "ignore": ["lm_head", "re:.*self_attn.*"],
               "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": inputs}}})
    };
    assert_eq!(
        bits(json!({"quant_method": "fp8", "weight_block_size": [128, 128]})),
        is("fp8", [8.002, 8.002, 8.002, 16.0], None, true)
    );
    assert_eq!(
        bits(json!({"quant_method": "mxfp4"})),
        is("mxfp4", [16.0, 4.25, 16.0, 16.0], None, false)
    );
    assert_eq!(
        bits(
            json!({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8",
                    "exclude_modules": ["lm_head", "model.layers.0.self_attn*", "model.layers.2.self_attn*"]})
        ),
        is("nvfp4", [10.25, 4.5, 4.5, 16.0], Some(8.0), true)
    );
    assert_eq!(
        bits(group(
            json!({"num_bits": 4, "type": "int", "group_size": 32}),
            json!(null)
        )),
        is("int4", [16.0, 4.5, 4.5, 16.0], None, false)
    );
    assert_eq!(
        bits(group(
            json!({"num_bits": 8, "type": "float", "strategy": "channel"}),
            json!({"num_bits": 8})
        )),
        is("fp8", [16.0, 8.0, 8.0, 16.0], None, true)
    );
    assert_eq!(
        bits(json!({"quant_method": "gptq", "bits": 4, "group_size": 128})),
        is("int4", [4.1563, 4.1563, 4.1563, 16.0], None, false)
    );
    assert_eq!(
        bits(json!({"quant_method": "bitsandbytes", "load_in_4bit": true})).1[0],
        4.5
    );
    let error = unknown(json!({"quantization_config": {"quant_method": "vodoo"}})).unwrap_err();
    assert!(error.to_string().contains("\"vodoo\""), "{error}");
}

#[test]
fn known_checkpoints_have_their_sizes() {
    // Bits of attention, experts and the other weights.
    for (name, form, bits) in [
        ("deepseek-v3", "fp8", [8.0, 8.0, 8.0]),
        ("deepseek-v4-flash", "mxfp4", [8.0, 4.25, 8.0]),
        ("kimi-k2.5", "int4", [16.0, 4.5, 16.0]),
        ("gpt-oss-120b", "mxfp4", [16.0, 4.25, 16.0]),
        ("llama-3.1-70b-fp8", "fp8", [8.0, 16.0, 8.0]),
        ("llama-4-maverick-fp8", "fp8", [8.0, 8.0, 8.0]),
        ("qwen3-8b", "bf16", [16.0, 16.0, 16.0]),
    ] {
        let found = named(name).quantisation;
        assert_eq!(found.name, form, "{name}");
        let parts = [found.attention_bits, found.expert_bits, found.dense_bits];
        for (found, wanted) in parts.into_iter().zip(bits) {
            assert!(near(found, wanted, 0.001), "{name}: {found}");
        }
    }
    // The files of gpt-oss-120b have 60.8 GiB, from memory, not verified; its 117 billion weights would have 218 in 16 bits.
    let gib = named("gpt-oss-120b").weight_bytes() / 1024f64.powi(3);
    assert!(near(gib, 60.8, 0.01), "{gib}");
}

/// Calls everything, as a caller might.
fn use_up(model: &Model) {
    let sums = [
        model.parameters(),
        model.active_parameters(),
        model.kv_values(),
        model.state_bytes(),
    ];
    let more = [
        model.context_values(1 << 40),
        model.embedding_weights(),
        model.index_values(),
    ];
    assert!(sums.iter().chain(&more).all(|&sum| sum < u64::MAX));
    assert!(model.weight_bytes().is_finite() && model.token_flops() >= 0.0);
    assert!(model.active_parameters() <= model.parameters());
    assert!(model.layer_count() <= 4096);
    let _ = (model.window_values(), model.dense());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u64..300).prop_map(Value::from),
        prop::sample::select(vec![0u64, 1, 4096, 10_000_000, 10_000_001, u64::MAX])
            .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "fp8",
            "mxfp4",
            "modelopt",
            "gptq",
            "compressed-tensors",
            "NVFP4",
            "full_attention",
            "full",
            "sliding_attention",
            "linear_attention",
            "mamba",
            "M*E-",
            "re:.*(a|b",
            "*",
            "float32",
            "sigmoid",
            "silu",
        ])
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "quant_method",
                        "quant_algo",
                        "config_groups",
                        "weights",
                        "num_bits",
                        "group_size",
                        "ignore",
                        "targets",
                        "attention",
                        "ffn",
                        "ffn_mult",
                        "n_heads_in_group",
                        "no_op",
                        "kv_cache_scheme",
                        "bits",
                    ]),
                    inner
                ),
                0..6
            )
            .prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

/// Every field of the catalogue, nested ones too, and values of its `model_type`.
fn fields() -> Vec<String> {
    let mut all = std::collections::BTreeSet::new();
    for entry in catalogue() {
        let config: Map<String, Value> = serde_json::from_str(entry.config()).unwrap();
        for object in [
            Some(&config),
            config.get("text_config").and_then(Value::as_object),
        ] {
            all.extend(object.into_iter().flat_map(Map::keys).cloned());
        }
    }
    all.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_is_a_panic(
        at in 0..ROWS.len(),
        blank in any::<bool>(),
        changes in prop::collection::vec((prop::sample::select(fields()), any_value()), 1..5),
    ) {
        let entry = &catalogue()[at];
        let mut config: Value = serde_json::from_str(entry.config()).unwrap();
        let kind = config["model_type"].clone();
        if blank {
            config = json!({"model_type": kind});
        }
        let nested = config.get("text_config").is_some_and(Value::is_object);
        let object = if nested { &mut config["text_config"] } else { &mut config };
        for (field, value) in changes {
            object[field.as_str()] = value;
        }
        match Model::from_config(&config.to_string(), "config.json") {
            Ok(model) => use_up(&model),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,60}") {
        prop_assert!(Model::from_config(&text, "config.json").is_err());
    }
}

/// A number of weights, as in "8.03B".
fn billions(weights: f64) -> String {
    format!("{:.2}B", weights / 1e9)
}

/// docs/MODELS.md.
fn page() -> String {
    let mut page = "# Models\n\n\
        The catalogue of decoders, from the Rust code: `BATCHSCOPE_UPDATE=1 cargo test --test latency model` rewrites this \
        text. [MODEL](MODEL.md#models) defines the columns. Parameters are those of the text decoder, derived from the \
        sizes, without layers for multi-token prediction. Bytes that a token adds to the cache are those of layers without \
        a window, in the form that the file names for keys and values, 16 bits if none; \"+\" stands before the bytes in \
        layers with a window and its length. Sources say where the sizes and the published number of parameters come \
        from; a commit stands in brackets.\n\n\
        | name | parameters | active | weights | cache, bytes a token | state, bytes a sequence | source |\n\
        |---|---|---|---|---|---|---|\n"
        .to_owned();
    for entry in catalogue() {
        let model = entry.model().unwrap();
        let bytes = |values: u64| values as f64 * model.kv_bits() / 8.0;
        let mut cache = bytes(model.kv_values()).to_string();
        for (window, values) in model.window_values() {
            let _ = write!(cache, " + {} ({window})", bytes(values));
        }
        let state = match model.state_bytes() {
            0 => "–".to_owned(),
            bytes => bytes.to_string(),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {cache} | {state} | {} |",
            entry.name,
            billions(model.parameters() as f64),
            billions(model.active_parameters() as f64),
            model.quantisation.name,
            entry.source,
        );
    }
    page
}

#[test]
fn the_page_of_models_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MODELS.md");
    if std::env::var_os("BATCHSCOPE_UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page(),
        "docs/MODELS.md is stale; run `BATCHSCOPE_UPDATE=1 cargo test --test latency model`"
    );
}
