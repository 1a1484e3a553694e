//! The decoder's twin on the processor: the same random weights, the same step, in double precision.
//! Made for small configurations.

use super::decoder::{Config, HEAD_LAYER, Row};
use super::kernels::rope_append::{Cache, Rope};
use super::kernels::weights::Matrix;
use super::kernels::{attention, embed, fill, gemv, rope_append, sample};

/// A decoder of which nothing is on a device.
pub struct Twin {
    config: Config,
    layers: Vec<[Matrix; 4]>,
    head: Matrix,
    qk_gain: Vec<f64>,
    /// Keys and values, `[slot][layer]`.
    caches: Vec<Vec<[Cache; 2]>>,
    /// The last token of each slot.
    sampled: Vec<u32>,
}

impl Twin {
    /// A twin of `config` with `layers` layers and room for `slots` sequences.
    pub fn new(config: Config, layers: u32, slots: u32) -> Twin {
        let a = &config.architecture;
        let matrix = |layer, number, rows, width| {
            fill::matrix(
                config.precision,
                rows,
                width,
                config.matrix_seed(layer, number),
            )
        };
        Twin {
            layers: (0..layers)
                .map(|layer| {
                    [
                        matrix(layer, 0, a.qkv(), a.hidden),
                        matrix(layer, 1, a.hidden, a.heads * a.head_size),
                        matrix(layer, 2, 2 * a.mlp, a.hidden),
                        matrix(layer, 3, a.hidden, a.mlp),
                    ]
                })
                .collect(),
            head: matrix(HEAD_LAYER, 0, a.vocabulary, a.hidden),
            qk_gain: config.head_gains().into_iter().map(f64::from).collect(),
            caches: vec![vec![Default::default(); layers as usize]; slots as usize],
            sampled: vec![0; slots as usize],
            config,
        }
    }

    /// A step: logits and drawn token of every sampled row. Rows of a sequence come in the order of
    /// their positions.
    pub fn step(&mut self, rows: &[Row]) -> Vec<(Vec<f64>, u32)> {
        let a = self.config.architecture.clone();
        let mut drawn = Vec::new();
        for row in rows {
            let slot = row.slot as usize;
            let token = row.token.unwrap_or(self.sampled[slot]);
            let mut x = embed::embed(&self.head, token);
            for (matrices, [keys, values]) in self.layers.iter().zip(&mut self.caches[slot]) {
                let [qkv, output, gate_up, down] = matrices;
                let normed = gemv::rms_norm(&x, a.norm_epsilon);
                let rope = Rope {
                    heads: a.heads,
                    kv_heads: a.kv_heads,
                    head_size: a.head_size,
                    theta: a.rope_theta,
                    epsilon: a.norm_epsilon,
                    gain: a.qk_norm.then_some(&self.qk_gain),
                };
                let queries = rope_append::rope_append(
                    &gemv::gemv(qkv, &normed),
                    row.position,
                    rope,
                    keys,
                    values,
                );
                let attended = attention::attention(&queries, keys, values).concat();
                add(&mut x, &gemv::gemv(output, &attended));
                let normed = gemv::rms_norm(&x, a.norm_epsilon);
                let gated = gemv::gated(&gemv::gemv(gate_up, &normed));
                add(&mut x, &gemv::gemv(down, &gated));
            }
            if row.sample {
                let normed = gemv::rms_norm(&x, a.norm_epsilon);
                let logits = gemv::gemv(&self.head, &normed);
                let token = sample::sample(
                    &logits,
                    row.slot,
                    row.position,
                    f64::from(self.config.temperature),
                    self.config.seed,
                );
                self.sampled[slot] = token;
                drawn.push((logits, token));
            }
        }
        drawn
    }

    /// Makes the twin go on from a token that another drew.
    pub fn follow(&mut self, slot: u32, token: u32) {
        self.sampled[slot as usize] = token;
    }
}

/// Adds a branch to the residual stream.
fn add(x: &mut [f64], branch: &[f64]) {
    for (x, d) in x.iter_mut().zip(branch) {
        *x += d;
    }
}
