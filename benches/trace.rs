//! Reading, predicting and generating, at the size of BurstGPT_1.csv.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use batchscope::trace::predict::{Kind, Predictor};
use batchscope::trace::synth::{Shape, Synthetic};
use batchscope::trace::{read, stats};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u32 = 1_429_737;

/// A file of BurstGPT_1.csv's shape: as many rows, about as many bytes.
fn burstgpt_file() -> String {
    let mut text =
        String::from("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n");
    for i in 0..u64::from(ROWS) {
        let (p, o) = (i * 7919 % 3001, i * 104_729 % 701);
        let model = if i % 10 == 0 { "GPT-4" } else { "ChatGPT" };
        let kind = if i % 9 == 0 {
            "Conversation log"
        } else {
            "API log"
        };
        let _ = writeln!(text, "{},{model},{p},{o},{},{kind}", i * 3686 / 1000, p + o);
    }
    text
}

fn reading(c: &mut Criterion) {
    let text = burstgpt_file();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder
        .write_all(text.as_bytes())
        .expect("writing to memory");
    let packed = encoder.finish().expect("writing to memory");
    let mut group = c.benchmark_group("read");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("burstgpt", |b| {
        b.iter(|| read(black_box(text.as_bytes()), "bench", None).expect("readable"));
    });
    group.bench_function("burstgpt.gz", |b| {
        b.iter(|| read(black_box(&packed[..]), "bench", None).expect("readable"));
    });
    group.finish();
}

fn predicting(c: &mut Criterion) {
    let prompts: Vec<u32> = (0..1_000_000u64)
        .map(|i| (i * 7919 % 3001) as u32)
        .collect();
    let mut group = c.benchmark_group("predict");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(prompts.len() as u64));
    for kind in [Kind::Published, Kind::Noisy] {
        let predictor = Predictor {
            kind,
            ..Predictor::default()
        };
        group.bench_function(format!("{kind:?}"), |b| {
            b.iter(|| predictor.predict(black_box(&prompts), black_box(&prompts), 42));
        });
    }
    group.finish();
}

fn generating(c: &mut Criterion) {
    let synthetic = Synthetic {
        requests: 1_000_000,
        shape: Shape::BurstgptLike,
    };
    let trace = synthetic.generate(42).expect("in range");
    let mut group = c.benchmark_group("generate");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(1_000_000));
    group.bench_function("burstgpt-like", |b| {
        b.iter(|| black_box(&synthetic).generate(42).expect("in range"));
    });
    group.bench_function("stats", |b| b.iter(|| stats(black_box(&trace))));
    group.finish();
}

criterion_group!(benches, reading, predicting, generating);
criterion_main!(benches);
