//! What engines reach in practice: the parts of a step of any model on any GPU, by shares of the data sheet's peaks that
//! were fitted to public measurements (docs/MODEL.md, "Typical steps").

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::hardware::Card;
use super::model::{Feed, Mixer, Model};
use super::modelled::{Dense, Experts, Modelled, Spread, Window};

/// Whether a step is what engines reach or the most that a data sheet allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// By shares of the peaks fitted to measurements.
    #[default]
    Typical,
    /// The upper bound of a data sheet: every peak reached, nothing else costs time.
    Datasheet,
}

/// The GPUs of a replica.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group<'a> {
    pub card: &'a Card,
    /// GPUs that share every matrix.
    pub gpus: u32,
    /// Groups that the experts are divided into: 1, or the number of GPUs.
    pub expert_groups: u32,
}

/// What a generation of hardware with its engines reaches. Factors are times over what the data sheet's peak would take.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Where the numbers come from.
    pub source: String,
    /// Every step, ms.
    step_ms: f64,
    /// A sequence that draws a token, ms.
    sequence_ms: f64,
    /// A layer, ms.
    layer_ms: f64,
    /// A layer with routed experts, ms; and more where each GPU has experts of its own.
    expert_layer_ms: f64,
    exchanged_expert_layer_ms: f64,
    /// A layer whose products have operands of 8 bits or less, ms.
    low_precision_layer_ms: f64,
    /// A step with prompt tokens, ms; and for each layer with experts, and with a state.
    prompt_step_ms: f64,
    prompt_expert_layer_ms: f64,
    prompt_state_layer_ms: f64,
    /// Reading weights, routed experts, keys and values, states.
    weights: f64,
    experts: f64,
    cache: f64,
    state: f64,
    /// Experts of 4 bits, beside `experts`.
    four_bit_experts: f64,
    /// Products with weights, and attention within prompts.
    arithmetic: f64,
    attention: f64,
    /// Tokens that count as choosing their experts independently.
    independent: f64,
    /// Measured step times over predicted ones of models left out of the fit: quantiles of 5 and 95 %.
    spread: [f64; 2],
}

/// GPUs, latency in us, and GB/s of the reduced vector.
type Reduced = (u32, f64, f64);

/// All-reduce of the links inside CUDA graphs, by generation.
const ALL_REDUCE: [(&str, [Reduced; 3]); 4] = [
    ("ampere", [(2, 5.0, 167.0), (4, 6.1, 106.0), (8, 7.3, 93.0)]),
    (
        "hopper",
        [(2, 4.2, 230.0), (4, 5.1, 176.0), (8, 6.0, 181.0)],
    ),
    (
        "blackwell",
        [(2, 7.5, 354.0), (4, 8.0, 284.0), (8, 9.2, 291.0)],
    ),
    // PCIe 5, an RTX PRO 6000: GPUs without a link.
    ("", [(2, 4.5, 38.0), (4, 14.7, 17.0), (8, 29.0, 12.0)]),
];

impl Shares {
    /// The shares of the card's generation, or those named `other` where no measurement of the generation is known.
    pub fn of(card: &Card) -> &'static Shares {
        let all = Self::all();
        all.get(&*card.generation)
            .or_else(|| all.get("other"))
            .unwrap_or_else(|| Self::datasheet())
    }

    fn all() -> &'static BTreeMap<String, Shares> {
        static ALL: OnceLock<BTreeMap<String, Shares>> = OnceLock::new();
        ALL.get_or_init(|| serde_json::from_str(include_str!("typical.json")).unwrap_or_default())
    }

    /// Every peak reached, and nothing else.
    fn datasheet() -> &'static Shares {
        static BOUND: Shares = Shares {
            source: String::new(),
            step_ms: 0.0,
            sequence_ms: 0.0,
            layer_ms: 0.0,
            expert_layer_ms: 0.0,
            exchanged_expert_layer_ms: 0.0,
            low_precision_layer_ms: 0.0,
            prompt_step_ms: 0.0,
            prompt_expert_layer_ms: 0.0,
            prompt_state_layer_ms: 0.0,
            weights: 1.0,
            experts: 1.0,
            cache: 1.0,
            state: 1.0,
            four_bit_experts: 1.0,
            arithmetic: 1.0,
            attention: 1.0,
            // Routers have favourites whatever the hardware.
            independent: 0.3,
            spread: [1.0, 1.0],
        };
        &BOUND
    }
}

/// A step of a model on the GPUs of a replica.
pub fn step(model: &Model, group: &Group<'_>, basis: Basis) -> Modelled {
    let shares = match basis {
        Basis::Typical => Shares::of(group.card),
        Basis::Datasheet => Shares::datasheet(),
    };
    step_by(model, group, basis, shares)
}

/// The same by given shares.
fn step_by(model: &Model, group: &Group<'_>, basis: Basis, shares: &Shares) -> Modelled {
    let ideal = basis == Basis::Datasheet;
    let parts = Parts {
        model,
        group,
        shares,
    };
    let exchange = parts.exchange(ideal);
    let state_s = parts.state_s();
    let whole = parts.attention().remove(&None).unwrap_or_default();
    let (context_token_s, pair_s) = parts.attention_s(&whole);
    Modelled {
        basis: format!(
            "{}, {} in {} on {}{}",
            if ideal {
                "data sheet (upper bound)"
            } else {
                "typical"
            },
            model.name,
            model.quantisation.name,
            match group.gpus {
                1 => String::new(),
                n => format!("{n} x "),
            },
            group.card.hardware.name
        ),
        ideal,
        step_s: parts.every_step_s() + exchange.0,
        sequence_s: shares.sequence_ms * 1e-3 + state_s,
        prompt_step_s: parts.prompt_step_s(),
        dense: parts.dense(),
        experts: parts.experts(),
        context_token_s,
        windows: parts.windows(),
        pair_s,
        exchange_token_s: exchange.1,
        spread: (!ideal).then_some(Spread {
            low: shares.spread[0],
            high: shares.spread[1],
        }),
    }
}

/// What attention costs in all layers that see equally far.
#[derive(Default)]
struct Attention {
    /// That one token of context holds.
    values: f64,
    /// FLOP of one query token and one token of context.
    pair_flop: f64,
}

struct Parts<'a> {
    model: &'a Model,
    group: &'a Group<'a>,
    shares: &'a Shares,
}

impl Parts<'_> {
    fn gpus(&self) -> f64 {
        f64::from(self.group.gpus)
    }

    /// Bytes/s of all GPUs.
    fn bandwidth(&self) -> f64 {
        self.group.card.hardware.bandwidth_bytes_per_s * self.gpus()
    }

    /// FLOP/s of all GPUs in the precision of the model's products.
    fn peak(&self) -> f64 {
        let card = self.group.card;
        let stored = &self.model.quantisation;
        let one = match card.f8_flops {
            Some(rate) if stored.low_precision_arithmetic => rate,
            // No tensor core multiplies weights of 32 bits in full precision.
            _ if stored.dense_bits >= 32.0 => card.f32_flops,
            _ => card.hardware.peak_flops,
        };
        one * self.gpus()
    }

    /// Layers of a kind.
    fn layers(&self, of: impl Fn(&super::model::Layer) -> bool) -> f64 {
        let layers = self.model.layers.iter().filter(|layer| of(layer));
        layers.map(|layer| f64::from(layer.count)).sum()
    }

    fn expert_layers(&self) -> f64 {
        self.layers(|layer| matches!(layer.feed, Feed::Experts { .. }))
    }

    fn every_step_s(&self) -> f64 {
        let s = self.shares;
        let all = self.layers(|_| true);
        let experts = self.expert_layers();
        let exchanged = if self.group.expert_groups > 1 {
            experts
        } else {
            0.0
        };
        let low = if self.model.quantisation.low_precision_arithmetic {
            all
        } else {
            0.0
        };
        (s.step_ms
            + s.layer_ms * all
            + s.expert_layer_ms * experts
            + s.exchanged_expert_layer_ms * exchanged
            + s.low_precision_layer_ms * low)
            * 1e-3
    }

    fn prompt_step_s(&self) -> f64 {
        let s = self.shares;
        let states = self.layers(|layer| matches!(layer.mixer, Mixer::State { .. }));
        (s.prompt_step_ms
            + s.prompt_expert_layer_ms * self.expert_layers()
            + s.prompt_state_layer_ms * states)
            * 1e-3
    }

    fn dense(&self) -> Dense {
        let bits = &self.model.quantisation;
        let head = self.model.embedding_weights() as f64;
        let (mut bytes, mut weights) = (head * bits.head_bits / 8.0, 0.0);
        for layer in &self.model.layers {
            let count = f64::from(layer.count);
            let (mixer, feed) = (
                layer.mixer.weights() as f64,
                layer.feed.dense_weights() as f64,
            );
            bytes += count * (mixer * bits.attention_bits + feed * bits.dense_bits) / 8.0;
            weights += count * (mixer + feed);
        }
        let flop_s = 2.0 * self.shares.arithmetic / self.peak();
        Dense {
            read_s: bytes * self.shares.weights / self.bandwidth(),
            token_s: weights * flop_s,
            sampled_s: head * flop_s,
        }
    }

    /// All layers with experts together; of several kinds the one with the most experts stands for all.
    fn experts(&self) -> Option<Experts> {
        let (mut most, mut sent) = (0, 0);
        let (mut weights, mut all) = (0.0, 0.0);
        for layer in &self.model.layers {
            if let Feed::Experts {
                count,
                active,
                expert_weights,
                ..
            } = layer.feed
            {
                let of_layers = f64::from(layer.count) * expert_weights as f64;
                if count > most {
                    (most, sent) = (count, active);
                }
                weights += of_layers * f64::from(active);
                all += of_layers * f64::from(count);
            }
        }
        let groups = self.group.expert_groups.clamp(1, most.max(1));
        let bits = self.model.quantisation.expert_bits;
        let factor = if bits < 8.0 {
            self.shares.experts * self.shares.four_bit_experts
        } else {
            self.shares.experts
        };
        // A group's experts are read by its own GPUs.
        let bandwidth = self.bandwidth() / f64::from(groups);
        (most > 0).then(|| Experts {
            count: most,
            active: sent,
            groups,
            independent: self.shares.independent,
            read_s: all / f64::from(most) * bits / 8.0 * factor / bandwidth,
            token_s: 2.0 * weights * self.shares.arithmetic / self.peak(),
        })
    }

    /// What attention costs by the number of tokens that it sees at most; `None` is all of a context.
    fn attention(&self) -> BTreeMap<Option<u32>, Attention> {
        let mut found: BTreeMap<Option<u32>, Attention> = BTreeMap::new();
        for layer in &self.model.layers {
            let count = f64::from(layer.count);
            let mut add = |sees: Option<u32>, values: u64, pair_flop: f64| {
                let of = found.entry(sees).or_default();
                of.values += count * values as f64;
                of.pair_flop += count * pair_flop;
            };
            match layer.mixer {
                Mixer::Attention {
                    heads,
                    kv_heads,
                    head_size,
                    window,
                    ..
                } => add(
                    window,
                    2 * u64::from(kv_heads) * u64::from(head_size),
                    4.0 * f64::from(heads) * f64::from(head_size),
                ),
                Mixer::Latent {
                    latent,
                    pair_flops,
                    index,
                    top,
                    ..
                } => {
                    add(top, latent.into(), pair_flops as f64);
                    // The indexer of sparse attention looks at every token.
                    add(None, index.into(), 0.0);
                }
                Mixer::State { .. } | Mixer::None => {}
            }
        }
        found
    }

    /// Reading the values of one token of context, and attention of a prompt token to it, s.
    fn attention_s(&self, of: &Attention) -> (f64, f64) {
        let bytes = of.values * self.model.kv_bits() / 8.0 * copies(self.model, self.group.gpus);
        let peak = self.group.card.hardware.peak_flops * self.gpus();
        (
            bytes * self.shares.cache / self.bandwidth(),
            of.pair_flop * self.shares.attention / peak,
        )
    }

    fn windows(&self) -> Vec<Window> {
        let limited = self.attention().into_iter();
        limited
            .filter_map(|(sees, of)| {
                let (token_s, pair_s) = self.attention_s(&of);
                Some(Window {
                    tokens: sees?,
                    token_s,
                    pair_s,
                })
            })
            .collect()
    }

    /// Reading and writing the states of one sequence, s.
    fn state_s(&self) -> f64 {
        2.0 * self.model.state_bytes() as f64 * self.shares.state / self.bandwidth()
    }

    /// All-reduces of a step: their latency, and the time for each token; nothing of it in an upper bound.
    fn exchange(&self, ideal: bool) -> (f64, f64) {
        if self.group.gpus == 1 || ideal {
            return (0.0, 0.0);
        }
        // One after each mixer and each feed-forward part.
        let blocks = self.layers(|layer| layer.mixer != Mixer::None)
            + self.layers(|layer| layer.feed != Feed::None);
        let (latency_us, gb_s) = all_reduce(self.group.card, self.group.gpus);
        let bytes = 2.0 * f64::from(self.model.hidden);
        (blocks * latency_us * 1e-6, blocks * bytes / (gb_s * 1e9))
    }
}

/// Latency in us and GB/s of an all-reduce among `gpus` GPUs.
fn all_reduce(card: &Card, gpus: u32) -> (f64, f64) {
    let generation = card.link.as_ref().map_or("", |_| &*card.generation);
    let found = ALL_REDUCE.iter().find(|(name, _)| *name == generation);
    // Of a generation that is not in the table: an H100's latency, and its share of the link's rate.
    let rows = found.map_or(ALL_REDUCE[1].1, |(_, rows)| *rows);
    let row = rows
        .into_iter()
        .find(|(n, ..)| *n >= gpus)
        .unwrap_or(rows[2]);
    // The table's links have this rate; others of the generation are slower or faster in proportion.
    let measured_gb_s = match generation {
        "ampere" => 300.0,
        "blackwell" => 900.0,
        _ => 450.0,
    };
    let scale = card
        .link
        .as_ref()
        .map_or(1.0, |link| link.gb_s / measured_gb_s);
    (row.1, row.2 * scale)
}

/// How often the GPUs of a replica hold the same keys and values: once, unless there are more GPUs than heads of keys and
/// values; what serves all heads at once (latent attention) is held by each GPU.
pub fn copies(model: &Model, gpus: u32) -> f64 {
    let heads = model.layers.iter().map(|layer| match layer.mixer {
        Mixer::Attention { kv_heads, .. } => kv_heads,
        Mixer::Latent { .. } => 1,
        Mixer::State { .. } | Mixer::None => u32::MAX,
    });
    let fewest = heads.min().unwrap_or(1).max(1);
    (f64::from(gpus) / f64::from(fewest)).max(1.0)
}
