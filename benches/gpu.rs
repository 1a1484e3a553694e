//! Every kernel on a software adapter: its cost per byte against the median of the others. A kernel
//! that is written much worse than the rest shows here without a GPU; how fast any of them is on one
//! does not.
//!
//! `cargo bench --bench gpu -- --json FILE` writes the rows of `cargo xtask bench`.

use std::path::PathBuf;
use std::rc::Rc;

use batchscope::gpu::decoder::{Config, Decoder, Row};
use batchscope::gpu::kernels::{
    BLOCK, SPLIT, attention, embed, fill, gemv, read, rope_append, sample, spread, weights,
};
use batchscope::gpu::{Device, Dispatch, adapters};
use batchscope::latency::architecture::{Architecture, Precision};
use pollster::block_on;
use serde_json::{Value, json};

/// Times slower per byte than the median of the other kernels that a kernel may be.
const BAR: f64 = 2.0;
const ROUNDS: usize = 15;

/// A kernel at one size.
struct Case {
    name: String,
    /// What it has to read and write.
    bytes: f64,
    work: Vec<Dispatch>,
}

fn main() {
    let json = std::env::args().skip_while(|a| a != "--json").nth(1);
    let rows = block_on(rows());
    for row in &rows {
        println!("{row}");
    }
    if let Some(path) = json.map(PathBuf::from) {
        let text = Value::Array(rows).to_string();
        if let Err(e) = std::fs::write(&path, text) {
            eprintln!("cannot write {}: {e}", path.display());
            std::process::exit(1);
        }
    }
}

async fn rows() -> Vec<Value> {
    let all = adapters().await;
    let software = all
        .iter()
        .position(|a| a.name.contains("llvmpipe"))
        .or_else(|| all.iter().position(|a| a.software));
    let Some(number) = software else {
        return vec![json!({
            "id": "gpu_software",
            "what": "kernels on a software adapter (none here: install Mesa's lavapipe)",
            "measured": null,
            "bar": BAR,
        })];
    };
    let device = match Device::open(Some(number)).await {
        Ok(device) => Rc::new(device),
        Err(e) => panic!("{e}"),
    };
    let cases = cases(&device);
    let mut times = vec![f64::INFINITY; cases.len()];
    // In turn, and the least of many: another program's work only ever adds to a time.
    for _ in 0..ROUNDS {
        for (case, least) in cases.iter().zip(&mut times) {
            let took = device
                .run(&case.work)
                .await
                .unwrap_or_else(|e| panic!("{e}"));
            *least = least.min(took.wall_s);
        }
    }
    // A submission's own cost is no kernel's.
    let idle = times.pop().unwrap_or(0.0);
    let costs: Vec<f64> = cases
        .iter()
        .zip(&times)
        .map(|(case, t)| (t - idle).max(0.0) / case.bytes)
        .collect();
    let mut rows: Vec<Value> = cases
        .iter()
        .zip(&costs)
        .enumerate()
        .map(|(i, (case, cost))| {
            let mut others: Vec<f64> = costs
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, c)| *c)
                .collect();
            others.sort_by(f64::total_cmp);
            let median = others[others.len() / 2];
            json!({
                "id": format!("gpu_{}", case.name.replace([' ', '-'], "_").replace(",_", "-")),
                "what": format!(
                    "kernel {} on a software adapter ({}): cost per byte over the others' median",
                    case.name,
                    device.adapter().name
                ),
                "measured": cost / median,
                "unit": "x",
                "bar": BAR,
                "sense": "<=",
                "absolute": format!("{:.2} ns/byte", cost * 1e9),
            })
        })
        .collect();
    let dispatches = [2, 4].map(|layers| block_on(dispatches(&device, layers)));
    rows.push(json!({
        "id": "gpu_dispatches",
        "what": "dispatches of a layer in a decode step",
        "measured": (dispatches[1] - dispatches[0]) / 2.0,
        "unit": "dispatches",
        "bar": 6,
        "sense": "<=",
    }));
    rows
}

/// Dispatches of a decode step of two sequences in a model of `layers` layers.
async fn dispatches(device: &Rc<Device>, layers: u32) -> f64 {
    let config = Config {
        architecture: Architecture {
            layers,
            ..Architecture::preset("demo").expect("a preset")
        },
        precision: Precision::F16,
        pool_tokens: 1024,
        seed: 1,
        temperature: 0.0,
        most_bytes: None,
    };
    let decoder = Decoder::new(device.clone(), config).await;
    let mut decoder = decoder.unwrap_or_else(|e| panic!("{e}"));
    let row = |slot| Row {
        slot,
        position: 0,
        token: None,
        sample: true,
    };
    assert!(decoder.reserve(0, 1) && decoder.reserve(1, 1));
    let step = decoder.dispatches(&[row(0), row(1)]);
    step.unwrap_or_else(|e| panic!("{e}")).len() as f64
}

fn random(device: &Device, words: u32) -> wgpu::Buffer {
    // Half-precision numbers below 1; as single ones they are small and ordinary too.
    device.filled(&fill::fill(
        fill::Kind::Weights(Precision::F16),
        words,
        words,
        1.0 / 1024.0,
        u32::MAX,
        u32::MAX,
    ))
}

fn floats(device: &Device, count: u32) -> wgpu::Buffer {
    let values: Vec<f32> = (0..count)
        .map(|i| (fill::hash(i) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect();
    device.filled(&values)
}

/// The idle submission comes last.
fn cases(device: &Device) -> Vec<Case> {
    let flavour = device.flavour();
    let mut cases = Vec::new();
    let mut case = |name: &str, bytes: f64, work: Vec<Dispatch>| {
        cases.push(Case {
            name: name.to_owned(),
            bytes,
            work,
        });
    };

    let words = 4 << 20;
    let workgroups = words * 4 / read::BYTES;
    let kept = device.storage(u64::from(workgroups) * 4);
    let source = random(device, words);
    let [x, y] = spread(workgroups);
    case(
        "read",
        f64::from(words) * 4.0,
        vec![device.dispatch(&read::source(flavour), &[&source, &kept], [x, y, 1])],
    );

    let side = 2048;
    for precision in Precision::ALL {
        let matrix = fill::matrix(precision, side, side, 1);
        let (packed, scales) = (device.filled(&matrix.words), device.filled(&matrix.scales));
        let x = floats(device, side);
        let y = device.storage(u64::from(side) * 4);
        let variant = device.variant(1);
        let source = variant.source(flavour, precision, side);
        let workgroups = variant.workgroups(side, 1);
        let bytes = f64::from(side * side) * precision.bytes_per_weight();
        let product = |around| {
            let shape = gemv::shape(precision, [side, side], [0, side], around);
            let buffers = [
                &packed,
                &scales,
                &x,
                &y,
                &device.uniform(&shape),
                &device.uniform(&[1, 0, 0, 0]),
                &device.filled(&[0u32; 4]),
            ];
            vec![device.dispatch(&source, &buffers, workgroups)]
        };
        case(
            &format!("gemv {}", precision.name()),
            bytes,
            product(gemv::Around::default()),
        );
        if precision == Precision::F16 {
            let around = gemv::Around {
                norm: Some(1e-6),
                gather: false,
                end: gemv::End::Gate,
            };
            case(
                "gemv f16, norm before and gate after",
                bytes,
                product(around),
            );
            let tokens: Vec<u32> = (0..128)
                .flat_map(|i| [0, 0, i * 7, 0, 0, 0, 0, 0])
                .collect();
            case(
                "embed f16",
                // Read, and written as f32.
                128.0 * f64::from(side) * (2.0 + 4.0),
                vec![device.dispatch(
                    &embed::source(flavour, precision),
                    &[
                        &packed,
                        &scales,
                        &device.filled(&tokens),
                        &device.filled(&[0u32; 4]),
                        &device.storage(128 * u64::from(side) * 4),
                        &device.uniform(&[0, side, side, weights::vectors(precision, side)]),
                    ],
                    [128, 1, 1],
                )],
            );
        }
    }

    let rows = 128;
    // Qwen3-1.7B's heads.
    let (heads, kv_heads, head) = (16, 8, 128);
    let blocks = 4096 / BLOCK;
    let table: Vec<u32> = (0..blocks).rev().collect();
    let tables = device.filled(&table);
    let cache_words = 4096 * kv_heads * head / 2;
    let keys = random(device, cache_words);
    let values = random(device, cache_words);
    let all_heads = heads + 2 * kv_heads;
    let gains = vec![1.0; 2 * head as usize];
    let turns = rope_append::turns(4096, head, 1e6, &gains);
    let turns = device.filled(turns.as_flattened());
    let shape = rope_append::Heads {
        heads,
        kv_heads,
        head_size: head,
        slot_blocks: blocks,
        epsilon: 1e-6,
        positions: 4096,
    };
    let shape = device.uniform(&shape.shape());
    let info: Vec<u32> = (0..rows).flat_map(|i| [0, i, 0, 0, i, 1, 0, 0]).collect();
    case(
        "rope append",
        // Read as f32; queries written as f32, keys and values as f16.
        f64::from(rows * head) * f64::from(4 * all_heads + 4 * heads + 2 * 2 * kv_heads),
        vec![device.dispatch(
            &rope_append::source(flavour, head, true),
            &[
                &device.filled(&info),
                &floats(device, rows * all_heads * head),
                &turns,
                &tables,
                &device.storage(u64::from(rows * heads * head) * 4),
                &keys,
                &values,
                &shape,
            ],
            [all_heads, rows, 1],
        )],
    );
    let splits = 4096 / SPLIT;
    let items: Vec<u32> = (0..splits).flat_map(|i| [0, i]).collect();
    let one = device.filled(&[0, 4095, 0, 0, 0, splits, 0, 0]);
    let partial = device.storage(u64::from(splits * heads * (head + 2)) * 4);
    case(
        "attention",
        4096.0 * f64::from(kv_heads * head) * 4.0,
        vec![
            device.dispatch(
                &attention::decode(flavour, head, heads / kv_heads, true),
                &[
                    &one,
                    &device.filled(&items),
                    &tables,
                    &floats(device, all_heads * head),
                    &keys,
                    &values,
                    &partial,
                    &shape,
                    &turns,
                ],
                [splits, kv_heads, 1],
            ),
            device.dispatch(
                &attention::combine(flavour, head),
                &[
                    &one,
                    &partial,
                    &device.storage(u64::from(heads * head) * 4),
                    &shape,
                ],
                [heads, 1, 1],
            ),
        ],
    );

    let (vocabulary, sampled) = (151_936, 8);
    let list: Vec<u32> = (0..sampled).collect();
    let buffers = [
        &floats(device, vocabulary * sampled),
        &device.filled(&info),
        &device.filled(&list),
        &device.storage(u64::from(sampled * sample::PARTS) * 8),
        &device.storage(256),
        &device.storage(256),
        &device.uniform(&sample::shape(vocabulary, 0.0, 1)),
    ];
    case(
        "argmax",
        f64::from(vocabulary * sampled) * 4.0,
        vec![
            device.dispatch(
                &sample::parts(flavour),
                &buffers,
                [sample::PARTS, sampled, 1],
            ),
            device.dispatch(&sample::best(flavour), &buffers, [sampled, 1, 1]),
        ],
    );

    case(
        "idle",
        1.0,
        vec![device.dispatch(
            &fill::source(flavour, fill::Kind::Scales),
            &[
                &device.storage(64),
                &device.uniform(&fill::shape(16, 1, 1.0, 32, 16, 0)),
            ],
            [1, 1, 1],
        )],
    );
    cases
}
