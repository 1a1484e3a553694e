//! Every kernel on a software adapter: its cost per byte against the median of the others. A kernel
//! that is written much worse than the rest shows here without a GPU; how fast any of them is on one
//! does not.
//!
//! `cargo bench --bench gpu -- --json FILE` writes the rows of `cargo xtask bench`.

use std::path::PathBuf;

use batchscope::gpu::kernels::{
    BLOCK, SPLIT, attention, embed, fill, gemv, read, rms_norm, rope_append, sample, silu_gate,
    spread, weights,
};
use batchscope::gpu::{Device, Dispatch, adapters};
use batchscope::latency::architecture::Precision;
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
        Ok(device) => device,
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
    cases
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
                "id": format!("gpu_{}", case.name.replace([' ', '-'], "_")),
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
        .collect()
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
        let (source, workgroups) =
            gemv::for_columns(flavour, precision, [side, side], 1, gemv::Wide::Tiles);
        let bytes = f64::from(side * side) * precision.bytes_per_weight();
        case(
            &format!("gemv {}", precision.name()),
            bytes,
            vec![device.dispatch(
                &source,
                &[
                    &packed,
                    &scales,
                    &x,
                    &y,
                    &device.uniform(&gemv::shape(precision, side, side, side, 0)),
                    &device.uniform(&[1, 0, 0, 0]),
                ],
                workgroups,
            )],
        );
        if precision == Precision::F16 {
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

    let (width, rows) = (2048, 128);
    case(
        "rms norm",
        // The stream, the branch and both results.
        f64::from(width * rows) * 16.0,
        vec![device.dispatch(
            &rms_norm::source(flavour, true, false),
            &[
                &floats(device, width * rows),
                &floats(device, width * rows),
                &floats(device, width),
                &device.storage(u64::from(width * rows) * 4),
                &device.filled(&[0u32; 4]),
                &device.uniform(&rms_norm::shape(width, 1e-6)),
            ],
            [rows, 1, 1],
        )],
    );
    let mlp = 6144;
    case(
        "silu gate",
        f64::from(mlp * rows) * 12.0,
        vec![device.dispatch(
            &silu_gate::source(flavour),
            &[
                &floats(device, 2 * mlp * rows),
                &device.storage(u64::from(mlp * rows) * 4),
                &device.uniform(&[mlp, 0, 0, 0]),
            ],
            [mlp.div_ceil(silu_gate::WORKGROUP), rows, 1],
        )],
    );

    // Qwen3-1.7B's heads.
    let (heads, kv_heads, head) = (16, 8, 128);
    let blocks = 4096 / BLOCK;
    let table: Vec<u32> = (0..blocks).rev().collect();
    let tables = device.filled(&table);
    let cache_words = 4096 * kv_heads * head / 2;
    let keys = random(device, cache_words);
    let values = random(device, cache_words);
    let all_heads = heads + 2 * kv_heads;
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
                &device.filled(rope_append::turns(4096, head, 1e6).as_flattened()),
                &floats(device, 2 * head),
                &tables,
                &device.storage(u64::from(rows * heads * head) * 4),
                &keys,
                &values,
                &device.uniform(&rope_append::shape(heads, kv_heads, blocks, 1e-6)),
            ],
            [all_heads, rows, 1],
        )],
    );
    let splits = 4096 / SPLIT;
    let items: Vec<u32> = (0..splits).flat_map(|i| [0, i]).collect();
    let one = device.filled(&[0, 4095, 0, 0, 0, splits, 0, 0]);
    let partial = device.storage(u64::from(splits * heads * (head + 2)) * 4);
    let shape = device.uniform(&attention::shape(heads, kv_heads, blocks));
    case(
        "attention",
        4096.0 * f64::from(kv_heads * head) * 4.0,
        vec![
            device.dispatch(
                &attention::split(flavour, head, heads / kv_heads),
                &[
                    &one,
                    &device.filled(&items),
                    &tables,
                    &floats(device, heads * head),
                    &keys,
                    &values,
                    &partial,
                    &shape,
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
