//! All kernels together: the logits of a small decoder.

use std::ops::Range;

use super::{Check, Effort};
use crate::error::Error;
use crate::gpu::decoder::{Config, Decoder, Row};
use crate::gpu::device::gpu_error;
use crate::gpu::twin::Twin;
use crate::latency::architecture::{Architecture, Precision};

/// Odd wherever it may be.
const VOCABULARY: u32 = 301;
const SLOTS: u32 = 4;
/// By how much a drawn token's logit may be below the greatest: its own tolerance, as logits are about 1.
const GAP: f64 = 1e-2;

fn tiny(precision: Precision, seed: u32) -> Config {
    Config {
        architecture: Architecture {
            name: "tiny".to_owned(),
            layers: 3,
            hidden: 96,
            heads: 4,
            kv_heads: 2,
            head_size: 32,
            mlp: 160,
            vocabulary: VOCABULARY,
            qk_norm: true,
            tied: true,
            rope_theta: 1e4,
            norm_epsilon: 1e-6,
            source: "made up, to be small".to_owned(),
        },
        precision,
        pool_tokens: 1024,
        seed,
        temperature: 0.0,
        most_bytes: None,
    }
}

fn prompt(slot: u32, tokens: Range<u32>, last: bool) -> Vec<Row> {
    let end = tokens.end - 1;
    tokens
        .map(|position| Row {
            slot,
            position,
            token: Some((slot * 97 + position * 31) % VOCABULARY),
            sample: last && position == end,
        })
        .collect()
}

fn decode(slot: u32, position: u32) -> Row {
    Row {
        slot,
        position,
        token: None,
        sample: true,
    }
}

impl Check<'_> {
    /// Prompts and decoding in one step, sequences of different lengths; both do the same steps, and
    /// the twin goes on from the tokens of the device.
    pub(super) async fn decoder(&mut self, precision: Precision) -> Result<(), Error> {
        let mut config = tiny(precision, self.random.bits());
        // With and without the norm of queries and keys, each in two precisions.
        config.architecture.qk_norm = matches!(precision, Precision::F32 | Precision::Int8);
        let mut decoder = Decoder::new(self.device.clone(), config.clone()).await?;
        let mut twin = Twin::new(config, decoder.layers(), SLOTS);
        // Block by block in turn, so that no sequence lies in one piece.
        for tokens in [20, 40, 60] {
            for slot in 0..SLOTS {
                if !decoder.reserve(slot, tokens) {
                    return Err(gpu_error("gpu-refused", "the cache is too small"));
                }
            }
        }
        let mut steps = vec![
            [prompt(0, 0..5, true), prompt(1, 0..20, false)].concat(),
            [
                vec![decode(0, 5)],
                prompt(1, 20..37, true),
                prompt(3, 0..1, true),
            ]
            .concat(),
        ];
        let decoded = match self.effort {
            Effort::Quick => 1,
            Effort::Full => 12,
        };
        for step in 0..decoded {
            steps.push(vec![
                decode(1, 37 + step),
                decode(3, 1 + step),
                decode(0, 6 + step),
            ]);
        }
        for (number, rows) in steps.iter().enumerate() {
            self.begin()?;
            let case = format!("step {number}");
            let tokens = decoder.step(rows).await?.tokens;
            let logits = decoder.logits().await?;
            let twins = twin.step(rows);
            self.verdict.as_many(&case, tokens.len(), twins.len())?;
            let sampled = rows.iter().filter(|row| row.sample);
            for (((row, &token), logits), (expected, _)) in sampled
                .zip(&tokens)
                .zip(logits.chunks(VOCABULARY as usize))
                .zip(&twins)
            {
                let case = format!("{case}, slot {}", row.slot);
                self.verdict.close(&case, logits, expected)?;
                let greatest = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let drawn = expected.get(token as usize).copied();
                // The comparison fails where the token is none.
                if !drawn.is_some_and(|drawn| greatest - drawn < GAP) {
                    let what = format!("token {token} was drawn, which has not the greatest logit");
                    return Err(self.verdict.wrong(&case, &what));
                }
                twin.follow(row.slot, token);
            }
        }
        Ok(())
    }
}
