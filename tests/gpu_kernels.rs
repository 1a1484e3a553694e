//! Every kernel's text is valid, and on every adapter here (software ones too) every kernel computes
//! what its twin does: random inputs, odd sizes, outputs poisoned before.

#[path = "support/gpu.rs"]
mod gpu;

use batchscope::gpu::kernels::rope_append::{Cache, Rope};
use batchscope::gpu::kernels::{
    self, BLOCK, Flavour, SPLIT, attention, embed, fill, gemv, read, rms_norm, rope_append, sample,
    silu_gate, weights,
};
use batchscope::latency::architecture::Precision;
use gpu::{Random, close, devices, f32s, poison};

/// Relative errors of sums in single and with half precision; against twins in double.
const SINGLE: f64 = 1e-3;
const HALF: f64 = 1e-2;

#[test]
fn every_variant_is_valid() {
    let mut names = std::collections::BTreeSet::new();
    for flavour in Flavour::ALL {
        for source in kernels::all(flavour) {
            if !names.insert((source.name.clone(), source.wgsl.clone())) {
                continue;
            }
            let module = naga::front::wgsl::parse_str(&source.wgsl)
                .unwrap_or_else(|e| panic!("{}: {}", source.name, e.emit_to_string(&source.wgsl)));
            let capabilities = naga::valid::Capabilities::SHADER_FLOAT16
                | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
                | naga::valid::Capabilities::SUBGROUP;
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {}", source.name, e.emit_to_string(&source.wgsl)));
            let bound = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.binding.is_some())
                .count();
            assert_eq!(bound, source.bindings.len(), "{}", source.name);
            assert!(
                module.entry_points.iter().any(|e| e.name == source.entry),
                "{}",
                source.name
            );
        }
    }
    // One name, one text: pipelines are kept by name.
    let unique: std::collections::BTreeSet<_> = names.iter().map(|(name, _)| name).collect();
    let flavours_of_a_text = names.len() - unique.len();
    assert_eq!(flavours_of_a_text, 0, "a name stands for several texts");
}

#[test]
fn fill_makes_the_twins_words() {
    for device in devices() {
        for precision in Precision::ALL {
            for (rows, width) in [(3, 64), (7, 100), (1, 4)] {
                let twin = fill::matrix(precision, rows, width, 11);
                let (words, scales) = pollster::block_on(gpu::fill(&device, &twin, 11)).unwrap();
                assert_eq!(words, twin.words, "{precision:?} {rows} {width}");
                assert_eq!(scales, twin.scales, "{precision:?} {rows} {width}");
            }
        }
    }
}

#[test]
fn read_keeps_a_word_of_every_workgroup() {
    let mut random = Random::new(5);
    for device in devices() {
        for words in [4, 8192, 8192 * 3 + 4 * 77] {
            let data: Vec<u32> = (0..words).map(|_| random.bits()).collect();
            let twin = read::read(&data);
            let source = device.filled(&data);
            let kept = device.filled(&vec![0xdead_beef_u32; twin.len().max(4)]);
            let run = device.dispatch(
                &read::source(device.flavour()),
                &[&source, &kept],
                [twin.len() as u32, 1, 1],
            );
            pollster::block_on(device.run([&run])).unwrap();
            let got: Vec<u32> = pollster::block_on(device.read(&kept, twin.len())).unwrap();
            assert_eq!(got, twin);
        }
    }
}

#[test]
fn gemv_and_gemm() {
    let mut random = Random::new(7);
    for device in devices() {
        for precision in Precision::ALL {
            for (rows, width, columns) in [
                (1, 4, 1),
                (5, 36, 1),
                (37, 100, 2),
                (64, 512, 3),
                (129, 1024, 4),
                (33, 260, 5),
                (70, 2052, 8),
                (31, 64, 9),
                (67, 132, 17),
                (65, 256, 40),
                (34, 96, 64),
                (40, 160, 97),
            ] {
                let matrix = fill::matrix(precision, rows, width, random.bits());
                let x = random.values((width * columns) as usize);
                let twin = gemv::gemv(&matrix, &x);
                for wide in [gemv::Wide::Tiles, gemv::Wide::Eights] {
                    let got =
                        pollster::block_on(gpu::gemv(&device, &matrix, &x, columns, wide)).unwrap();
                    let tolerance = if precision == Precision::F32 {
                        SINGLE
                    } else {
                        HALF
                    };
                    close(
                        &got,
                        &twin,
                        tolerance,
                        &format!(
                            "{precision:?} {rows}x{width} n={columns} {wide:?} {:?}",
                            device.flavour()
                        ),
                    );
                }
            }
        }
    }
}

#[test]
fn quantised_weights_are_unpacked_exactly() {
    for device in devices() {
        for precision in [Precision::F16, Precision::Int8, Precision::Int4] {
            let matrix = fill::matrix(precision, 50, 100, 3);
            for token in [0, 17, 49] {
                let got = pollster::block_on(gpu::embed(&device, &matrix, token)).unwrap();
                let twin: Vec<f64> = embed::embed(&matrix, token);
                let exact: Vec<f64> = got.iter().map(|&x| f64::from(x)).collect();
                assert_eq!(exact, twin, "{precision:?}");
            }
        }
    }
}

#[test]
fn rms_norm_with_and_without_the_residual() {
    let mut random = Random::new(9);
    for device in devices() {
        for (width, rows) in [(4usize, 1usize), (100, 3), (1024, 2), (4096, 5)] {
            let x = random.values(width * rows);
            let branch = random.values(width * rows);
            let gain = random.values(width);
            for (add, gather) in [(false, false), (true, false), (true, true)] {
                let list: Vec<u32> = if gather {
                    (0..rows as u32).rev().step_by(2).collect()
                } else {
                    (0..rows as u32).collect()
                };
                let x_buffer = device.filled(&f32s(&x));
                let branch_buffer = device.filled(&f32s(&branch));
                let normed = poison(&device, width * rows);
                let run = device.dispatch(
                    &rms_norm::source(device.flavour(), add, gather),
                    &[
                        &x_buffer,
                        &branch_buffer,
                        &device.filled(&f32s(&gain)),
                        &normed,
                        &device.filled(&list),
                        &device.uniform(&rms_norm::shape(width as u32, 1e-6)),
                    ],
                    [list.len() as u32, 1, 1],
                );
                pollster::block_on(device.run([&run])).unwrap();
                let got: Vec<f32> =
                    pollster::block_on(device.read(&normed, width * list.len())).unwrap();
                let stream: Vec<f32> =
                    pollster::block_on(device.read(&x_buffer, width * rows)).unwrap();
                for (to, &row) in list.iter().enumerate() {
                    let at = row as usize * width..(row as usize + 1) * width;
                    let [added, twin] = rms_norm::rms_norm(
                        &x[at.clone()],
                        add.then(|| &branch[at.clone()]),
                        &gain,
                        1e-6,
                    );
                    close(&got[to * width..][..width], &twin, SINGLE, "normed");
                    close(&stream[at], &added, SINGLE, "stream");
                }
            }
        }
    }
}

#[test]
fn silu_gate_gates() {
    let mut random = Random::new(13);
    for device in devices() {
        for (width, rows) in [(1usize, 1usize), (77, 3), (256, 2)] {
            let gate_up: Vec<f64> = random
                .values(2 * width * rows)
                .into_iter()
                .map(|x| 8.0 * x)
                .collect();
            let gated = poison(&device, width * rows);
            let run = device.dispatch(
                &silu_gate::source(device.flavour()),
                &[
                    &device.filled(&f32s(&gate_up)),
                    &gated,
                    &device.uniform(&[width as u32, 0, 0, 0]),
                ],
                [
                    (width as u32).div_ceil(silu_gate::WORKGROUP),
                    rows as u32,
                    1,
                ],
            );
            pollster::block_on(device.run([&run])).unwrap();
            let got: Vec<f32> = pollster::block_on(device.read(&gated, width * rows)).unwrap();
            let twin: Vec<f64> = gate_up
                .chunks(2 * width)
                .flat_map(silu_gate::silu_gate)
                .collect();
            close(&got, &twin, SINGLE, "gated");
        }
    }
}

/// Contexts 1..8192, sequences of different lengths side by side, blocks in no order.
#[test]
fn attention_over_the_paged_cache() {
    let mut random = Random::new(17);
    for device in devices() {
        for (head, heads, kv_heads, contexts) in [
            (32, 2, 2, vec![1u32, 2, 15, 16, 17]),
            (64, 8, 4, vec![300, 1, 256, 255, 257]),
            (128, 8, 2, vec![513, 64]),
            (64, 8, 1, vec![8192]),
        ] {
            let slot_blocks = contexts.iter().max().unwrap().div_ceil(BLOCK);
            let mut places: Vec<u32> = (0..slot_blocks * contexts.len() as u32).collect();
            random.shuffle(&mut places);
            let mut keys = vec![0u32; places.len() * (BLOCK * kv_heads * head / 2) as usize];
            // Whatever lies behind a context must not be seen: it is no number.
            keys.fill(0x7e00_7e00);
            let mut values = keys.clone();
            let mut queries = Vec::new();
            let mut twins = Vec::new();
            let mut rows = Vec::new();
            let mut items: Vec<[u32; 2]> = Vec::new();
            for (slot, &context) in contexts.iter().enumerate() {
                let (mut k, mut v): (Cache, Cache) = (Vec::new(), Vec::new());
                for token in 0..context {
                    let place = places[slot * slot_blocks as usize + (token / BLOCK) as usize];
                    let mut store = |cache: &mut Cache, words: &mut [u32], of: gpu::Place| {
                        cache.push(
                            (0..kv_heads)
                                .map(|h| {
                                    (0..head)
                                        .map(|d| {
                                            let value = random.value() as f32;
                                            let (word, half) =
                                                of(place, kv_heads, h, head, token % BLOCK, d);
                                            gpu::put_half(&mut words[word as usize], half, value)
                                        })
                                        .collect()
                                })
                                .collect(),
                        );
                    };
                    store(&mut k, &mut keys, rope_append::key_place);
                    store(&mut v, &mut values, rope_append::value_place);
                }
                let query: Vec<Vec<f64>> =
                    (0..heads).map(|_| random.values(head as usize)).collect();
                let splits = context.div_ceil(SPLIT);
                rows.push([slot as u32, context - 1, 0, 0]);
                rows.push([items.len() as u32, splits, 0, 0]);
                items.extend((0..splits).map(|split| [slot as u32, split]));
                twins.extend(attention::attention(&query, &k, &v).concat());
                queries.extend(query.concat());
            }
            let rows = device.filled(rows.as_flattened());
            let partial = poison(&device, items.len() * (heads * (head + 2)) as usize);
            let attended = poison(&device, contexts.len() * (heads * head) as usize);
            let shape = device.uniform(&attention::shape(heads, kv_heads, slot_blocks));
            let split = device.dispatch(
                &attention::split(device.flavour(), head, heads / kv_heads),
                &[
                    &rows,
                    &device.filled(items.as_flattened()),
                    &device.filled(&places),
                    &device.filled(&f32s(&queries)),
                    &device.filled(&keys),
                    &device.filled(&values),
                    &partial,
                    &shape,
                ],
                [items.len() as u32, kv_heads, 1],
            );
            let combine = device.dispatch(
                &attention::combine(device.flavour(), head),
                &[&rows, &partial, &attended, &shape],
                [heads, contexts.len() as u32, 1],
            );
            pollster::block_on(device.run([&split, &combine])).unwrap();
            let got: Vec<f32> = pollster::block_on(device.read(&attended, twins.len())).unwrap();
            close(&got, &twins, HALF, &format!("head {head} {contexts:?}"));
        }
    }
}

#[test]
fn rope_append_turns_and_stores() {
    let mut random = Random::new(19);
    for device in devices() {
        for (head, heads, kv_heads, qk_norm) in
            [(32, 4, 2, false), (64, 4, 1, true), (128, 2, 2, true)]
        {
            let slot_blocks = 8192 / BLOCK;
            let (positions, slots): (Vec<u32>, Vec<u32>) =
                [(0, 0), (5, 1), (8191, 0), (17, 1)].into_iter().unzip();
            let mut table = vec![0u32; 2 * slot_blocks as usize];
            for (row, place) in (0..4).zip([3, 1, 0, 2]) {
                table[(slots[row] * slot_blocks + positions[row] / BLOCK) as usize] = place;
            }
            let width = (heads + 2 * kv_heads) * head;
            let qkv = random.values((width * 4) as usize);
            let gain = random.values(2 * head as usize);
            let rows: Vec<[u32; 4]> = (0..4)
                .flat_map(|i| [[slots[i], positions[i], 0, 0], [0; 4]])
                .collect();
            let queries = poison(&device, (4 * heads * head) as usize);
            let cache_words = (4 * BLOCK * kv_heads * head / 2) as usize;
            let keys = device.filled(&vec![0x7e00_7e00u32; cache_words]);
            let values = device.filled(&vec![0x7e00_7e00u32; cache_words]);
            let turns = rope_append::turns(8192, head, 1e6);
            let run = device.dispatch(
                &rope_append::source(device.flavour(), head, qk_norm),
                &[
                    &device.filled(rows.as_flattened()),
                    &device.filled(&f32s(&qkv)),
                    &device.filled(turns.as_flattened()),
                    &device.filled(&f32s(&gain)),
                    &device.filled(&table),
                    &queries,
                    &keys,
                    &values,
                    &device.uniform(&rope_append::shape(heads, kv_heads, slot_blocks, 1e-6)),
                ],
                [heads + 2 * kv_heads, 4, 1],
            );
            pollster::block_on(device.run([&run])).unwrap();
            let got: Vec<f32> =
                pollster::block_on(device.read(&queries, (4 * heads * head) as usize)).unwrap();
            let keys: Vec<u32> = pollster::block_on(device.read(&keys, cache_words)).unwrap();
            let values: Vec<u32> = pollster::block_on(device.read(&values, cache_words)).unwrap();
            for row in 0..4 {
                let (mut k, mut v): (Cache, Cache) = (Vec::new(), Vec::new());
                let rope = Rope {
                    heads,
                    kv_heads,
                    head_size: head,
                    theta: 1e6,
                    epsilon: 1e-6,
                    gain: qk_norm.then_some(&gain),
                };
                let at = row * width as usize;
                let twin = rope_append::rope_append(
                    &qkv[at..at + width as usize],
                    positions[row],
                    rope,
                    &mut k,
                    &mut v,
                );
                let each = (heads * head) as usize;
                close(
                    &got[row * each..][..each],
                    &twin.concat(),
                    SINGLE,
                    "queries",
                );
                let place = table[(slots[row] * slot_blocks + positions[row] / BLOCK) as usize];
                let stored = |words: &[u32], of: gpu::Place| -> Vec<f32> {
                    (0..kv_heads)
                        .flat_map(|h| (0..head).map(move |d| (h, d)))
                        .map(|(h, d)| {
                            let (word, half) =
                                of(place, kv_heads, h, head, positions[row] % BLOCK, d);
                            weights::half_of(words[word as usize], half) as f32
                        })
                        .collect()
                };
                close(
                    &stored(&keys, rope_append::key_place),
                    &k[0].concat(),
                    HALF,
                    "keys",
                );
                close(
                    &stored(&values, rope_append::value_place),
                    &v[0].concat(),
                    HALF,
                    "values",
                );
            }
        }
    }
}

#[test]
fn sampling_draws_what_the_twin_draws() {
    let mut random = Random::new(23);
    for device in devices() {
        for (vocabulary, temperature) in [
            (1usize, 0.0f32),
            (37, 0.0),
            (5000, 0.0),
            (5000, 0.7),
            (151_936, 1.0),
        ] {
            let sampled_rows = [2u32, 0];
            let rows: Vec<[u32; 4]> = (0..3u32)
                .flat_map(|i| [[2 - i, 100 + i, 0, 1], [0; 4]])
                .collect();
            let mut logits = random.values(vocabulary * 2);
            if vocabulary == 37 {
                // Of equals the first.
                logits[30] = 9.0;
                logits[12] = 9.0;
            }
            let bests = device.storage(8 * 2 * u64::from(sample::PARTS));
            let sampled = device.filled(&[u32::MAX; 4]);
            let drawn = device.filled(&[u32::MAX; 4]);
            let buffers = [
                &device.filled(&f32s(&logits)),
                &device.filled(rows.as_flattened()),
                &device.filled(&sampled_rows),
                &bests,
                &sampled,
                &drawn,
                &device.uniform(&sample::shape(vocabulary as u32, temperature, 99)),
            ];
            let parts = device.dispatch(
                &sample::parts(device.flavour()),
                &buffers,
                [sample::PARTS, 2, 1],
            );
            let best = device.dispatch(&sample::best(device.flavour()), &buffers, [2, 1, 1]);
            pollster::block_on(device.run([&parts, &best])).unwrap();
            let got: Vec<u32> = pollster::block_on(device.read(&drawn, 2)).unwrap();
            let last: Vec<u32> = pollster::block_on(device.read(&sampled, 4)).unwrap();
            for i in 0..2 {
                let row = sampled_rows[i];
                let (slot, position) = (2 - row, 100 + row);
                let logits = &logits[i * vocabulary..][..vocabulary];
                let scores = sample::scores(logits, slot, position, f64::from(temperature), 99);
                let twin = sample::sample(logits, slot, position, f64::from(temperature), 99);
                // In single precision two scores may change places only when they are this close.
                let gap = scores[twin as usize] - scores[got[i] as usize];
                assert!(
                    gap < 1e-4 && (gap == 0.0) == (got[i] == twin),
                    "{vocabulary}: {gap}"
                );
                assert_eq!(last[slot as usize], got[i]);
            }
        }
    }
}
