//! Rotary positions for queries and keys, and keys and values into the paged cache.

use super::gemv::lanes;
use super::weights::{half_of, pack_halves};
use super::{BLOCK, Bind, Flavour, HEADS, Source, Text};

pub fn source(flavour: Flavour, head_size: u32, qk_norm: bool) -> Source {
    let mut text = Text::new(flavour)
        .set("WORKGROUP", head_size / 4)
        .set("HEAD", head_size)
        .set("BLOCK", BLOCK)
        .flag("QK_NORM", qk_norm);
    text.lanes = true;
    Source {
        name: format!(
            "rope-append-{head_size}{}{}",
            if qk_norm { "-norm" } else { "" },
            lanes(flavour)
        ),
        wgsl: text.of(&[text.reductions(), HEADS, include_str!("rope_append.wgsl")]),
        entry: "rope_append",
        bindings: &[
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Read,
            Bind::Write,
            Bind::Write,
            Bind::Write,
            Bind::Uniform,
        ],
    }
}

/// What this kernel and those of attention are told of the heads.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    pub heads: u32,
    pub kv_heads: u32,
    pub head_size: u32,
    /// Entries of a slot in the block table.
    pub slot_blocks: u32,
    /// Of the norm of queries and keys.
    pub epsilon: f64,
    /// Positions that [`turns`] has.
    pub positions: u32,
}

impl Heads {
    /// The uniform.
    pub fn shape(&self) -> [u32; 8] {
        let epsilon = (self.epsilon as f32).to_bits();
        let gains = self.positions * self.head_size / 2;
        let [heads, kv_heads] = [self.heads, self.kv_heads];
        [heads, kv_heads, self.slot_blocks, epsilon, gains, 0, 0, 0]
    }
}

/// Cosine and sine of every position and pair, `[position][pair]`, then the gains of queries and of keys; on the
/// device the former would lose digits at large angles.
pub fn turns(positions: u32, head_size: u32, theta: f64, gains: &[f32]) -> Vec<[f32; 2]> {
    let half = head_size / 2;
    let pace: Vec<f64> = (0..half)
        .map(|i| libm::pow(theta, -2.0 * f64::from(i) / f64::from(head_size)))
        .collect();
    (0..positions)
        .flat_map(|position| {
            pace.iter().map(move |pace| {
                let angle = f64::from(position) * pace;
                [libm::cos(angle) as f32, libm::sin(angle) as f32]
            })
        })
        .chain(gains.chunks_exact(2).map(|pair| [pair[0], pair[1]]))
        .collect()
}

/// Keys or values of one sequence on the processor, `[token][kv head][value]`, rounded to half
/// precision as the cache holds them.
pub type Cache = Vec<Vec<Vec<f64>>>;

/// What a head is normalised and turned by.
#[derive(Debug, Clone, Copy)]
pub struct Rope<'a> {
    pub heads: u32,
    pub kv_heads: u32,
    pub head_size: u32,
    pub theta: f64,
    pub epsilon: f64,
    /// Gains of queries, then of keys, where they are normalised.
    pub gain: Option<&'a [f64]>,
}

/// Twin for one row: its queries, scaled, `[head][value]`; keys and values are appended to the caches.
pub fn rope_append(
    qkv: &[f64],
    position: u32,
    rope: Rope,
    keys: &mut Cache,
    values: &mut Cache,
) -> Vec<Vec<f64>> {
    let size = rope.head_size as usize;
    let half = size / 2;
    let mut heads = qkv.chunks_exact(size).map(<[f64]>::to_vec);
    let turned = |head: Vec<f64>, gain: Option<&[f64]>| {
        let head = match gain {
            Some(gain) => {
                let normed = super::gemv::rms_norm(&head, rope.epsilon);
                normed.iter().zip(gain).map(|(x, g)| x * g).collect()
            }
            None => head,
        };
        let mut out = head.clone();
        for i in 0..half {
            let angle = f64::from(position) * libm::pow(rope.theta, -2.0 * i as f64 / size as f64);
            let (sin, cos) = (libm::sin(angle), libm::cos(angle));
            out[i] = head[i] * cos - head[i + half] * sin;
            out[i + half] = head[i + half] * cos + head[i] * sin;
        }
        out
    };
    let scale = 1.0 / libm::sqrt(f64::from(rope.head_size));
    let queries = heads
        .by_ref()
        .take(rope.heads as usize)
        .map(|head| {
            turned(head, rope.gain.map(|gain| &gain[..size]))
                .into_iter()
                .map(|value| value * scale)
                .collect()
        })
        .collect();
    let rounded = |head: Vec<f64>| -> Vec<f64> {
        head.into_iter()
            .map(|value| half_of(pack_halves(value as f32, 0.0), 0))
            .collect()
    };
    keys.push(
        heads
            .by_ref()
            .take(rope.kv_heads as usize)
            .map(|head| rounded(turned(head, rope.gain.map(|gain| &gain[size..]))))
            .collect(),
    );
    values.push(heads.map(rounded).collect());
    queries
}

/// Twin of the cache's layout: the word and half of a key's value.
pub fn key_place(
    block: u32,
    kv_heads: u32,
    head: u32,
    head_size: u32,
    token: u32,
    value: u32,
) -> (u32, u32) {
    let vector = ((block * kv_heads + head) * (head_size / 8) + value / 8) * BLOCK + token;
    (vector * 4 + (value % 8) / 2, value % 2)
}

/// The same of a value's.
pub fn value_place(
    block: u32,
    kv_heads: u32,
    head: u32,
    head_size: u32,
    token: u32,
    value: u32,
) -> (u32, u32) {
    let word = ((block * kv_heads + head) * BLOCK + token) * (head_size / 2) + value / 2;
    (word, value % 2)
}
