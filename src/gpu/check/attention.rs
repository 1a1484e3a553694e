//! What uses the paged cache: appending to it, and attention.

use half::f16;

use super::{Check, HALF, Random, SINGLE, f32s};
use crate::error::Error;
use crate::gpu::kernels::rope_append::{Cache, Rope};
use crate::gpu::kernels::{BLOCK, SPLIT, attention, rope_append, weights};

/// Two halves of a word that are no numbers: whatever lies behind a context must not be seen.
const NO_NUMBERS: u32 = 0x7e00_7e00;

/// Where a value lies: `rope_append::key_place` or `value_place`.
type Place = fn(u32, u32, u32, u32, u32, u32) -> (u32, u32);

/// Sequences side by side.
#[derive(Clone)]
struct Heads {
    size: u32,
    queries: u32,
    keys: u32,
    contexts: Vec<u32>,
}

impl Heads {
    fn new(size: u32, queries: u32, keys: u32, contexts: &[u32]) -> Heads {
        Heads {
            size,
            queries,
            keys,
            contexts: contexts.to_vec(),
        }
    }

    fn some(random: &mut Random) -> Heads {
        let size = 32 << random.between(0, 2);
        let group = 1 << random.between(0, 3);
        let keys = random.between(1, 3);
        let sequences = random.between(1, 6);
        let contexts = (0..sequences).map(|_| random.between(1, 700)).collect();
        Heads {
            size,
            queries: keys * group,
            keys,
            contexts,
        }
    }
}

impl Check<'_> {
    /// Contexts of 1 to 8192 tokens, sequences of different lengths side by side, blocks in no order.
    pub(super) async fn attention(&mut self) -> Result<(), Error> {
        for case in self.cases(
            &[Heads::new(64, 4, 2, &[300, 1, 17])],
            &[
                Heads::new(32, 2, 2, &[1, 2, 15, 16, 17]),
                Heads::new(64, 8, 4, &[300, 1, 256, 255, 257]),
                Heads::new(128, 8, 2, &[513, 64]),
                Heads::new(64, 8, 1, &[8192]),
            ],
            3,
            Heads::some,
        ) {
            self.begin()?;
            self.attend(&case).await?;
        }
        Ok(())
    }

    async fn attend(&mut self, case: &Heads) -> Result<(), Error> {
        let &Heads {
            size,
            queries: heads,
            keys: kv_heads,
            ref contexts,
        } = case;
        let longest = contexts.iter().copied().max().unwrap_or(1);
        let slot_blocks = longest.div_ceil(BLOCK);
        let mut places: Vec<u32> = (0..slot_blocks * contexts.len() as u32).collect();
        self.random.shuffle(&mut places);
        let words = places.len() * (BLOCK * kv_heads * size / 2) as usize;
        let mut key_words = vec![NO_NUMBERS; words];
        let mut value_words = key_words.clone();
        let mut queries = Vec::new();
        let mut twins = Vec::new();
        let mut rows = Vec::new();
        let mut items: Vec<[u32; 2]> = Vec::new();
        for (slot, &context) in (0u32..).zip(contexts) {
            let (mut keys, mut values): (Cache, Cache) = (Vec::new(), Vec::new());
            for token in 0..context {
                let place = places[(slot * slot_blocks + token / BLOCK) as usize];
                for (cache, words, of) in [
                    (&mut keys, &mut key_words, rope_append::key_place as Place),
                    (&mut values, &mut value_words, rope_append::value_place),
                ] {
                    let mut store = |head, value| {
                        let (word, half) = of(place, kv_heads, head, size, token % BLOCK, value);
                        let number = self.random.value() as f32;
                        put_half(&mut words[word as usize], half, number)
                    };
                    cache.push(
                        (0..kv_heads)
                            .map(|head| (0..size).map(|value| store(head, value)).collect())
                            .collect(),
                    );
                }
            }
            let query: Vec<Vec<f64>> = (0..heads)
                .map(|_| self.random.values(size as usize))
                .collect();
            let splits = context.div_ceil(SPLIT);
            rows.push([slot, context - 1, 0, 0]);
            rows.push([items.len() as u32, splits, 0, 0]);
            items.extend((0..splits).map(|split| [slot, split]));
            twins.extend(attention::attention(&query, &keys, &values).concat());
            queries.extend(query.concat());
        }
        let device = self.device;
        let rows = device.filled(rows.as_flattened());
        let partial = self.poison(items.len() * (heads * (size + 2)) as usize);
        let attended = self.poison(twins.len());
        let shape = rope_append::Heads {
            heads,
            kv_heads,
            head_size: size,
            slot_blocks,
            epsilon: 0.0,
            positions: 0,
        };
        let shape = device.uniform(&shape.shape());
        let split = device.dispatch(
            &attention::split(device.flavour(), size, heads / kv_heads),
            &[
                &rows,
                &device.filled(items.as_flattened()),
                &device.filled(&places),
                &device.filled(&f32s(&queries)),
                &device.filled(&key_words),
                &device.filled(&value_words),
                &partial,
                &shape,
            ],
            [items.len() as u32, kv_heads, 1],
        );
        let combine = device.dispatch(
            &attention::combine(device.flavour(), size),
            &[&rows, &partial, &attended, &shape],
            [heads, contexts.len() as u32, 1],
        );
        device.run([&split, &combine]).await?;
        let got = device.read(&attended, twins.len()).await?;
        let case = format!("{heads} heads of {size} on {kv_heads}, contexts {contexts:?}");
        self.verdict.close(&case, &got, &twins)
    }

    /// Positions up to 8191, in several sequences at the same time, with and without the norm.
    pub(super) async fn rope_append(&mut self) -> Result<(), Error> {
        for (size, heads, kv_heads, qk_norm) in self.cases(
            &[(64, 4, 2, true)],
            &[(32, 4, 2, false), (64, 4, 1, true), (128, 2, 2, true)],
            2,
            |random| {
                let kv_heads = random.between(1, 3);
                let size = 32 << random.between(0, 2);
                (
                    size,
                    kv_heads << random.between(0, 2),
                    kv_heads,
                    random.bits() % 2 == 0,
                )
            },
        ) {
            self.begin()?;
            self.append(
                Rope {
                    heads,
                    kv_heads,
                    head_size: size,
                    theta: 1e6,
                    epsilon: 1e-6,
                    gain: None,
                },
                qk_norm,
            )
            .await?;
        }
        Ok(())
    }

    async fn append(&mut self, rope: Rope<'_>, qk_norm: bool) -> Result<(), Error> {
        const ROWS: [(u32, u32); 4] = [(0, 0), (1, 5), (0, 8191), (1, 17)];
        const PLACES: [u32; 4] = [3, 1, 0, 2];
        let Rope {
            heads,
            kv_heads,
            head_size: size,
            theta,
            epsilon,
            ..
        } = rope;
        let slot_blocks = 8192 / BLOCK;
        let mut table = vec![0u32; 2 * slot_blocks as usize];
        for ((slot, position), place) in ROWS.into_iter().zip(PLACES) {
            table[(slot * slot_blocks + position / BLOCK) as usize] = place;
        }
        let width = ((heads + 2 * kv_heads) * size) as usize;
        let qkv = self.random.values(width * ROWS.len());
        let gain = self.random.values(2 * size as usize);
        let rows: Vec<[u32; 4]> = ROWS
            .into_iter()
            .flat_map(|(slot, position)| [[slot, position, 0, 0], [0; 4]])
            .collect();
        let device = self.device;
        let each = (heads * size) as usize;
        let queries = self.poison(ROWS.len() * each);
        let words = ROWS.len() * (BLOCK * kv_heads * size / 2) as usize;
        let keys = device.filled(&vec![NO_NUMBERS; words]);
        let values = device.filled(&vec![NO_NUMBERS; words]);
        let turns = rope_append::turns(8192, size, theta, &f32s(&gain));
        let shape = rope_append::Heads {
            heads,
            kv_heads,
            head_size: size,
            slot_blocks,
            epsilon,
            positions: 8192,
        };
        let run = device.dispatch(
            &rope_append::source(device.flavour(), size, qk_norm),
            &[
                &device.filled(rows.as_flattened()),
                &device.filled(&f32s(&qkv)),
                &device.filled(turns.as_flattened()),
                &device.filled(&table),
                &queries,
                &keys,
                &values,
                &device.uniform(&shape.shape()),
            ],
            [heads + 2 * kv_heads, ROWS.len() as u32, 1],
        );
        device.run([&run]).await?;
        let got: Vec<f32> = device.read(&queries, ROWS.len() * each).await?;
        let keys: Vec<u32> = device.read(&keys, words).await?;
        let values: Vec<u32> = device.read(&values, words).await?;
        let rope = Rope {
            gain: qk_norm.then_some(&gain),
            ..rope
        };
        for (row, ((_, position), place)) in ROWS.into_iter().zip(PLACES).enumerate() {
            let (mut key_twin, mut value_twin): (Cache, Cache) = (Vec::new(), Vec::new());
            let twin = rope_append::rope_append(
                &qkv[row * width..][..width],
                position,
                rope,
                &mut key_twin,
                &mut value_twin,
            );
            let stored = |words: &[u32], of: Place| -> Vec<f32> {
                let mut stored = Vec::new();
                for head in 0..kv_heads {
                    for value in 0..size {
                        let (word, half) = of(place, kv_heads, head, size, position % BLOCK, value);
                        stored.push(weights::half_of(words[word as usize], half) as f32);
                    }
                }
                stored
            };
            let case = format!("{heads} heads of {size}, position {position}");
            self.verdict.within(
                &format!("{case}, queries"),
                SINGLE,
                &got[row * each..][..each],
                &twin.concat(),
            )?;
            self.verdict.within(
                &format!("{case}, keys"),
                HALF,
                &stored(&keys, rope_append::key_place),
                &key_twin.concat().concat(),
            )?;
            self.verdict.within(
                &format!("{case}, values"),
                HALF,
                &stored(&values, rope_append::value_place),
                &value_twin.concat().concat(),
            )?;
        }
        Ok(())
    }
}

/// Puts a number in half precision into its half of a word; gives it as it was rounded.
fn put_half(word: &mut u32, half: u32, value: f32) -> f64 {
    let bits = u32::from(f16::from_f32(value).to_bits());
    *word = *word & !(0xffff << (16 * half)) | bits << (16 * half);
    weights::half_of(*word, half)
}
