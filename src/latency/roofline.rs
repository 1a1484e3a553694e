//! What a data sheet allows at best: the time of a step that reads its bytes at the peak bandwidth and
//! computes at the peak rate (Williams, Waterman and Patterson 2009; docs/MODEL.md, "Roofline").

use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, Precision};
use super::hardware::Hardware;
use super::step::{Compute, Step};
pub use super::work::Work;
use crate::Error;

/// What a model asks of the hardware of a replica, and what that can do at most (docs/MODEL.md,
/// "Roofline").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Ceiling {
    /// Weights that a step reads, bytes.
    pub weight_bytes: f64,
    /// Keys and values of a token, bytes.
    pub token_bytes: f64,
    /// Arithmetic of a token outside attention, FLOP.
    pub token_flops: f64,
    /// Arithmetic of a pair of tokens in attention, FLOP.
    pub pair_flops: f64,
    /// Peak arithmetic of a replica, FLOP/s.
    pub peak_flops: f64,
    /// Peak bandwidth of a replica, bytes/s.
    pub bandwidth_bytes_per_s: f64,
}

/// A model as it is stored: what its steps cost in bytes and FLOP.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<'a> {
    pub architecture: &'a Architecture,
    pub precision: Precision,
    /// Bytes of one stored key or value.
    pub kv_bytes: f64,
    /// GPUs that hold the same head of keys and values: 1, unless more GPUs work together than there are
    /// such heads.
    pub copies: u32,
}

impl<'a> Stored<'a> {
    /// Keys and values are stored in f16, whatever the weights are.
    pub fn new(architecture: &'a Architecture, precision: Precision) -> Stored<'a> {
        Stored {
            architecture,
            precision,
            kv_bytes: 2.0,
            copies: 1,
        }
    }

    /// The model on GPUs that work together, all of them taken as one. Each has its share of the query
    /// heads. Where there are more GPUs than heads of keys and values, each GPU has one of these heads, with
    /// its weights and its cache, and several have the same one (as vLLM's `QKVParallelLinear`).
    ///
    /// Errors: a number of GPUs that does not divide the query heads, or neither divides the heads of keys
    /// and values nor is a multiple of them.
    pub fn on_gpus(self, gpus: u32) -> Result<Stored<'a>, Error> {
        let Architecture {
            name,
            heads,
            kv_heads,
            ..
        } = self.architecture;
        let refuse =
            |allowed: String| Error::bad_field("engine.continuous.tensor_parallel", gpus, allowed);
        if gpus == 0 || !heads.is_multiple_of(gpus) {
            return Err(refuse(format!(
                "a number of GPUs that divides the {heads} query heads of {name}"
            )));
        }
        if !gpus.is_multiple_of(*kv_heads) && !kv_heads.is_multiple_of(gpus) {
            return Err(refuse(format!(
                "a number of GPUs that divides the {kv_heads} heads of keys and values of {name} or is a \
                 multiple of them"
            )));
        }
        Ok(Stored {
            copies: (gpus / kv_heads).max(1),
            ..self
        })
    }

    /// Weights that a step reads: each copy of a head of keys and values has its own.
    fn step_weights(&self) -> f64 {
        let a = self.architecture;
        let copied = u64::from(a.layers) * u64::from(a.hidden) * a.kv_values();
        (a.step_weights() + copied * u64::from(self.copies - 1)) as f64
    }

    /// Weights that a step reads, bytes.
    pub fn weight_bytes(&self) -> f64 {
        self.step_weights() * self.precision.bytes_per_weight()
    }

    /// Weights that the memory holds, bytes: embeddings too, of which a step reads a few rows, where they
    /// are not the LM head's weights.
    pub fn memory_bytes(&self) -> f64 {
        let a = self.architecture;
        let embeddings = if a.tied { 0 } else { a.head_weights() };
        self.weight_bytes() + embeddings as f64 * self.precision.bytes_per_weight()
    }

    /// Keys and values of one token in all layers, bytes.
    pub fn token_bytes(&self) -> f64 {
        let a = self.architecture;
        (u64::from(a.layers) * a.kv_values() * u64::from(self.copies)) as f64 * self.kv_bytes
    }

    /// 2 FLOP per weight: what one token costs outside attention.
    fn token_flops(&self) -> f64 {
        2.0 * self.step_weights()
    }

    /// What one decoding sequence's attention to one token of context costs in all layers: a product
    /// and a sum for the score and the same for the value, in each query head.
    pub fn context_flops(&self) -> f64 {
        let a = self.architecture;
        4.0 * f64::from(a.layers) * f64::from(a.heads) * f64::from(a.head_size)
    }

    /// What a step asks for that decodes one token of each of `sequences`, whose contexts have
    /// `context` tokens together, and processes `prefill` prompt tokens.
    pub fn work(&self, sequences: f64, context: f64, prefill: f64) -> Work {
        let tokens = sequences + prefill;
        Work {
            bytes: self.weight_bytes() + self.token_bytes() * (context + tokens),
            flops: self.token_flops() * tokens + self.context_flops() * context,
        }
    }

    /// What a step asks for, and what the hardware can do, for MFU and MBU.
    pub fn ceiling(&self, hardware: &Hardware) -> Ceiling {
        Ceiling {
            weight_bytes: self.weight_bytes(),
            token_bytes: self.token_bytes(),
            token_flops: self.token_flops(),
            pair_flops: self.context_flops(),
            peak_flops: hardware.peak_flops,
            bandwidth_bytes_per_s: hardware.bandwidth_bytes_per_s,
        }
    }

    /// The step that the data sheet allows at best: c0 reads the weights, c1 and c3 write a token's keys
    /// and values, c2 reads those of one token of context (or computes with them, if that takes
    /// longer), c4 computes a prompt's attention, and the compute branch is 2 FLOP per weight and token.
    /// Each prompt token is charged the LM head, which only the last one needs.
    pub fn roofline(&self, hardware: &Hardware) -> Step {
        let write = self.token_bytes() / hardware.bandwidth_bytes_per_s;
        Step {
            c0_s: self.weight_bytes() / hardware.bandwidth_bytes_per_s,
            c1_s_per_sequence: write,
            c2_s_per_context_token: (self.token_bytes() / hardware.bandwidth_bytes_per_s)
                .max(self.context_flops() / hardware.peak_flops),
            c3_s_per_prefill_token: write,
            c4_s_per_prefill_pair: self.context_flops() / hardware.peak_flops,
            compute: Some(Compute {
                d0_s: 0.0,
                d1_s_per_token: self.token_flops() / hardware.peak_flops,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::hardware::Card;

    fn qwen() -> Architecture {
        Architecture::preset("qwen3-1.7b").unwrap()
    }

    #[test]
    fn the_built_in_step_is_a_roofline() {
        let model = Architecture::preset("llama-3.1-8b").unwrap();
        let card = Card::preset("h100").unwrap();
        let step = Stored::new(&model, Precision::F16).roofline(&card.hardware);
        assert_eq!(step, Step::LLAMA_3_1_8B_ON_H100);
    }

    #[test]
    fn sizes_by_hand() {
        // Qwen3-1.7B: 28 layers of 2048 x 4096 (QKV), 2048 x 2048, 3 x 2048 x 6144; head 2048 x 151936.
        let weights =
            28.0 * (2048.0 * 4096.0 + 2048.0 * 2048.0 + 3.0 * 2048.0 * 6144.0) + 2048.0 * 151_936.0;
        let model = qwen();
        let stored = Stored::new(&model, Precision::F16);
        assert_eq!(stored.weight_bytes(), 2.0 * weights);
        // Keys and values: 2 x 8 heads x 128 x 2 bytes x 28 layers.
        assert_eq!(stored.token_bytes(), 114_688.0);
        let work = stored.work(8.0, 8192.0, 100.0);
        assert_eq!(work.bytes, 2.0 * weights + 114_688.0 * 8300.0);
        assert_eq!(
            work.flops,
            2.0 * weights * 108.0 + 4.0 * 28.0 * 16.0 * 128.0 * 8192.0
        );
    }

    #[test]
    fn the_roofline_is_all_bandwidth_or_all_arithmetic() {
        let model = qwen();
        for card in Card::all() {
            for precision in Precision::ALL {
                let stored = Stored::new(&model, precision);
                let hardware = card.hardware_for(precision);
                let step = stored.roofline(&hardware);
                // One sequence: every byte at the peak bandwidth.
                let work = stored.work(1.0, 1024.0, 0.0);
                let mbu = hardware.mbu(&work, step.step_s(1.0, 1024.0, 0.0));
                assert!((mbu - 1.0).abs() < 1e-12, "{} {mbu}", card.key);
                // A long prompt: every FLOP at the peak rate.
                let work = stored.work(0.0, 0.0, 8192.0);
                let mfu = hardware.mfu(&work, step.step_s(0.0, 0.0, 8192.0));
                assert!((mfu - 1.0).abs() < 1e-12, "{} {mfu}", card.key);
            }
        }
    }

    #[test]
    fn f32_weights_are_multiplied_at_the_rate_of_fp32() {
        for card in Card::all() {
            let [f32_peak, f16_peak, int4_peak] = [Precision::F32, Precision::F16, Precision::Int4]
                .map(|precision| card.hardware_for(precision).peak_flops);
            assert_eq!(f16_peak, card.hardware.peak_flops);
            assert_eq!(int4_peak, f16_peak);
            assert!(f32_peak > 1e12 && f32_peak <= f16_peak, "{}", card.key);
            assert!(card.hardware_for(Precision::F32).source.contains("FP32"));
        }
        // H100: 67 TFLOP/s instead of the tensor cores' 989.4.
        let h100 = Card::preset("h100").unwrap();
        assert_eq!(h100.hardware_for(Precision::F32).peak_flops, 67e12);
    }

    #[test]
    fn untied_embeddings_are_held_and_not_read() {
        // Llama-3.1-8B: 8.03 billion weights (6.98 in layers, 0.525 twice: embeddings and LM head).
        let model = Architecture::preset("llama-3.1-8b").unwrap();
        let stored = Stored::new(&model, Precision::F16);
        let head = 2.0 * 4096.0 * 128_256.0;
        assert_eq!(stored.memory_bytes(), stored.weight_bytes() + head);
        assert!((stored.memory_bytes() / 16.06e9 - 1.0).abs() < 1e-3);
        let model = qwen();
        let tied = Stored::new(&model, Precision::F16);
        assert_eq!(tied.memory_bytes(), tied.weight_bytes());
    }

    #[test]
    fn heads_are_split_and_then_copied() {
        // 32 query heads, 8 of keys and values.
        let model = Architecture::preset("llama-3.1-8b").unwrap();
        let one = Stored::new(&model, Precision::F16);
        let card = Card::preset("h100").unwrap();
        for (gpus, copies) in [(1, 1.0), (2, 1.0), (8, 1.0), (16, 2.0), (32, 4.0)] {
            let group = one.clone().on_gpus(gpus).unwrap();
            assert_eq!(group.token_bytes(), copies * 131_072.0, "{gpus}");
            // The weights of keys and values: 32 layers of 4096 x 2 x 8 x 128.
            let copied = 2.0 * 32.0 * 4096.0 * 2048.0 * (copies - 1.0);
            assert_eq!(group.weight_bytes(), one.weight_bytes() + copied);
            assert_eq!(group.memory_bytes(), one.memory_bytes() + copied);
            // What a GPU reads of a token of context stops falling at 8 GPUs.
            let n = f64::from(gpus);
            let together = Hardware {
                peak_flops: n * card.hardware.peak_flops,
                bandwidth_bytes_per_s: n * card.hardware.bandwidth_bytes_per_s,
                ..card.hardware.clone()
            };
            let read_s = group.roofline(&together).c2_s_per_context_token;
            let expected = 131_072.0 / n.min(8.0) / card.hardware.bandwidth_bytes_per_s;
            assert!((read_s / expected - 1.0).abs() < 1e-12, "{gpus}");
        }
        for (gpus, said) in [
            (0, "32 query heads"),
            (3, "32 query heads"),
            (12, "32 query heads"),
            (64, "32 query heads"),
        ] {
            let refused = one.clone().on_gpus(gpus).unwrap_err().to_string();
            assert!(refused.contains(said), "{gpus}: {refused}");
        }
        // 12 query heads are split in three or six; 4 heads of keys and values are not.
        let odd = Architecture {
            heads: 12,
            kv_heads: 4,
            ..model.clone()
        };
        for gpus in [3, 6] {
            let refused = Stored::new(&odd, Precision::F16).on_gpus(gpus);
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("4 heads of keys and values"), "{said}");
        }
        let odd = Stored::new(&odd, Precision::F16).on_gpus(12).unwrap();
        assert_eq!(odd.copies, 3);
    }
}
