//! What the device itself is good for: its reads, its launches, the faster kernels, and each kernel on the model's
//! shapes.

use super::super::decoder::{Decoder, Product, Sides};
use super::super::device::{Dispatch, gpu_error};
use super::super::kernels::gemv::{self, Around, COLUMNS, Choice, TILES, Variant, Wide};
use super::super::kernels::{fill, read, spread};
use super::super::measure::Job;
use super::steps::Size;
use super::{BUILD, KERNELS, Run};
use crate::error::Error;
use crate::latency::architecture::Precision;
use crate::latency::calibration::{Bandwidth, Estimate, KernelTime, Launch};
use crate::quantiles::median;
use crate::words::counted;

/// Chooses the fastest kernel for each number of columns on the widest matrix, and leaves the device with them. All
/// sizes: serving asks for steps that the grid of a small calibration lacks.
pub(super) async fn tune(run: &mut Run<'_>, decoder: &mut Decoder) -> Result<Choice, Error> {
    let mut choice = run.device.choice();
    for (i, columns) in COLUMNS.into_iter().enumerate() {
        let ways = gemv::ways(run.device.flavour(), columns);
        let variants: Vec<Variant> = ways
            .iter()
            .map(|&way| Variant::Gemv(columns, way))
            .collect();
        let part = 0.4 + 0.08 * i as f64;
        choice.gemv[i] = ways[fastest(run, decoder, columns, &variants, part).await?];
    }
    for (i, columns) in TILES.into_iter().enumerate() {
        let kinds = [Wide::Tiles, Wide::Eights];
        let variants = kinds.map(|kind| {
            choice.wide[i] = kind;
            choice.variant(columns)
        });
        let part = 0.72 + 0.08 * i as f64;
        choice.wide[i] = kinds[fastest(run, decoder, columns, &variants, part).await?];
    }
    run.device.choose(choice);
    Ok(choice)
}

/// The place in `variants` of the kernel that is fastest with `columns` columns.
async fn fastest(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    columns: u32,
    variants: &[Variant],
    part: f64,
) -> Result<usize, Error> {
    run.say(
        BUILD,
        format!("the fastest kernel for {}", counted(columns, "column")),
        part,
    );
    let rows = Size::short(columns, true).rows(decoder)?;
    let jobs: Vec<Job> = variants
        .iter()
        .map(|&variant| Job {
            what: format!("{} by {variant:?}", counted(columns, "column")),
            rows: rows.clone(),
            units: decoder
                .widest()
                .map(|product| product.by(columns, variant).collect())
                .collect(),
        })
        .collect();
    let timed = run.measure().group(Some(decoder), &jobs).await?;
    let times = timed.iter().map(|timed| timed.slope.each_s).enumerate();
    let least = times.min_by(|a, b| a.1.total_cmp(&b.1));
    Ok(least.map_or(0, |(i, _)| i))
}

/// Bytes of a buffer that is read as a whole; a software adapter reads less.
fn read_bytes(run: &Run) -> (u64, u32) {
    let adapter = run.device.adapter();
    let (each, buffers) = if adapter.software {
        (16 << 20, 4)
    } else {
        (64 << 20, 8)
    };
    (
        adapter.max_binding_bytes.min(each) / 65_536 * 65_536,
        buffers,
    )
}

pub(super) async fn read_bandwidth(run: &Run<'_>) -> Result<Bandwidth, Error> {
    let device = &run.device;
    let (bytes, buffers) = read_bytes(run);
    let workgroups = (bytes / u64::from(read::BYTES)) as u32;
    let kept = device.storage(u64::from(workgroups) * 4);
    let mut sources = Vec::new();
    for seed in 0..buffers {
        run.cancel.check()?;
        // Where memory is short, fewer: the working set is what there is.
        let Some(source) = device.try_storage(bytes).await? else {
            break;
        };
        let words = (bytes / 4) as u32;
        let [x, y] = spread(words.div_ceil(fill::WORKGROUP));
        let random = device.dispatch(
            &fill::source(device.flavour(), fill::Kind::Weights(Precision::Int4)),
            &[
                &source,
                &device.uniform(&fill::shape(words, seed, 1.0, u32::MAX, u32::MAX, 0)),
            ],
            [x, y, 1],
        );
        device.run([&random]).await?;
        sources.push(source);
    }
    let [x, y] = spread(workgroups);
    let job = Job {
        what: "a streaming read".to_owned(),
        rows: Vec::new(),
        units: sources
            .iter()
            .map(|source| {
                let source = [source, &kept];
                vec![device.dispatch(&read::source(device.flavour()), &source, [x, y, 1])]
            })
            .collect(),
    };
    if job.units.is_empty() {
        return Err(gpu_error(
            "out-of-gpu-memory",
            "the GPU's memory is full before anything was measured; close other programs that use it",
        ));
    }
    let timed = run.measure().group(None, &[job]).await?.remove(0);
    let working_set_bytes = bytes * sources.len() as u64;
    sources.iter().for_each(wgpu::Buffer::destroy);
    kept.destroy();
    let bytes = bytes as f64;
    Ok(Bandwidth {
        read: rate(&timed.estimate, bytes),
        working_set_bytes,
        by_timestamps: timed.device_s.map(|s| bytes / s),
    })
}

/// A time as a rate.
fn rate(time: &Estimate, bytes: f64) -> Estimate {
    Estimate {
        value: bytes / time.value,
        unit: "bytes/s".to_owned(),
        mad: bytes / time.value * (time.mad / time.value),
        ..time.clone()
    }
}

pub(super) async fn launch(
    run: &Run<'_>,
    idle: &Dispatch,
    idle_times: &[f64],
) -> Result<Launch, Error> {
    let job = Job {
        what: "a dispatch".to_owned(),
        rows: Vec::new(),
        units: vec![vec![idle.clone()]],
    };
    let dispatch = run.measure().group(None, &[job]).await?.remove(0).estimate;
    let mut times = idle_times.to_vec();
    let value = median(&mut times).unwrap_or(0.0);
    let mut off: Vec<f64> = times.iter().map(|t| (t - value).abs()).collect();
    Ok(Launch {
        dispatch,
        submission: Estimate {
            value,
            unit: "s".to_owned(),
            mad: median(&mut off).unwrap_or(0.0),
            n: idle_times.len() as u32,
            samples: idle_times.iter().map(|&t| [1.0, t]).collect(),
        },
    })
}

fn kernel_time(
    run: &Run,
    name: String,
    columns: u32,
    context: Option<u32>,
    bytes: f64,
    seconds: Estimate,
) -> KernelTime {
    KernelTime {
        name,
        columns,
        context,
        bytes,
        share_of_read: bytes / seconds.value / run.bandwidth,
        seconds,
    }
}

/// GEMV in every precision on a square matrix, with more copies than a cache holds: what the kernel
/// makes of the bandwidth, whatever the model.
pub(super) async fn squares(run: &mut Run<'_>) -> Result<Vec<KernelTime>, Error> {
    let device = run.device.clone();
    let (side, working_set) = if device.adapter().software {
        (1024u32, 8u64 << 20)
    } else {
        (4096, 256 << 20)
    };
    let mut times = Vec::new();
    for (i, precision) in Precision::ALL.into_iter().enumerate() {
        run.say(
            KERNELS,
            format!("GEMV, {} {side} x {side}", precision.name()),
            0.1 * i as f64,
        );
        let bytes = f64::from(side) * f64::from(side) * precision.bytes_per_weight();
        let copies = (working_set as f64 / bytes).ceil() as u32;
        let x = device.filled(&vec![0.25f32; side as usize]);
        let y = device.storage(u64::from(side) * 4);
        let count = device.uniform(&[1, 0, 0, 0]);
        let unused = device.storage(16);
        let mut products = Vec::new();
        for seed in 0..copies {
            run.cancel.check()?;
            let shape = [side, side];
            let sides = Sides {
                x: &x,
                y: &y,
                count: &count,
                list: &unused,
                around: Around::default(),
            };
            match Product::new(&device, precision, shape, seed, sides).await? {
                Some(product) => products.push(product),
                None => break,
            }
        }
        if products.is_empty() {
            continue;
        }
        let job = Job {
            what: format!("GEMV in {}", precision.name()),
            rows: Vec::new(),
            units: products.iter().map(|p| p.over(1).collect()).collect(),
        };
        let timed = run.measure().group(None, &[job]).await?.remove(0);
        times.push(kernel_time(
            run,
            format!("gemv-{} {side}x{side}", precision.name()),
            1,
            None,
            bytes,
            timed.estimate,
        ));
        let mut said = run.say(
            KERNELS,
            format!("GEMV, {} {side} x {side}", precision.name()),
            0.1 * (i + 1) as f64,
        );
        said.kernel = times.last().cloned();
        (run.listener)(said);
    }
    Ok(times)
}

/// The model's own matrices, all layers in turn, with each of `counts` columns, and attention over the whole cache by as
/// many sequences.
pub(super) async fn shapes(
    run: &mut Run<'_>,
    decoder: &mut Decoder,
    counts: &[u32],
) -> Result<Vec<KernelTime>, Error> {
    let mut times = Vec::new();
    for (i, &columns) in counts.iter().enumerate() {
        run.say(
            KERNELS,
            format!("the model's matrices, {columns} columns"),
            0.4 + 0.6 * i as f64 / counts.len() as f64,
        );
        let size = Size::short(columns, true);
        let rows = size.rows(decoder)?;
        decoder.lay(&rows)?;
        let mut jobs = Vec::new();
        let mut named = Vec::new();
        for (name, bytes, units) in decoder.products(columns) {
            jobs.push(Job {
                what: name.clone(),
                rows: rows.clone(),
                units,
            });
            named.push((name, bytes));
        }
        let timed = run.measure().group(Some(decoder), &jobs).await?;
        for ((name, bytes), timed) in named.into_iter().zip(timed) {
            times.push(kernel_time(run, name, columns, None, bytes, timed.estimate));
            let mut said = run.say(
                KERNELS,
                format!("the model's matrices, {columns} columns"),
                0.4 + 0.6 * (i + 1) as f64 / counts.len() as f64,
            );
            said.kernel = times.last().cloned();
            (run.listener)(said);
        }
        let time = attention(run, decoder, columns).await?;
        let mut said = run.say(
            KERNELS,
            format!("attention, {}", counted(columns, "sequence")),
            0.4 + 0.6 * (i + 1) as f64 / counts.len() as f64,
        );
        said.kernel = Some(time.clone());
        times.push(time);
        (run.listener)(said);
    }
    Ok(times)
}

/// Attention of `sequences` sequences that share the cache, all layers in turn.
async fn attention(
    run: &Run<'_>,
    decoder: &mut Decoder,
    sequences: u32,
) -> Result<KernelTime, Error> {
    let size = Size::of(sequences, 1.0, 0, decoder.config().pool_tokens);
    let rows = size.rows(decoder)?;
    decoder.lay(&rows)?;
    let units = (0..decoder.layers() as usize).map(|layer| {
        let mut unit = Vec::new();
        decoder.attention(layer, &mut unit);
        unit
    });
    let job = Job {
        what: format!("attention, {}", size.words()),
        units: units.collect(),
        rows,
    };
    let timed = run.measure().group(Some(decoder), &[job]).await?.remove(0);
    let a = &run.options.architecture;
    Ok(kernel_time(
        run,
        format!("attention {}/{}x{}", a.heads, a.kv_heads, a.head_size),
        sequences,
        Some(size.context),
        f64::from(sequences * size.context) * a.kv_values() as f64 * 2.0,
        timed.estimate,
    ))
}
