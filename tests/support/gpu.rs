//! Adapters for tests, random numbers, and what several test files do with a device.
#![allow(dead_code, reason = "each test file uses a part")]

use batchscope::Error;
use batchscope::gpu::kernels::{Flavour, embed, fill, gemv, weights};
use batchscope::gpu::{Device, adapters};
use half::f16;

/// Every device here, once for each way in which it can be used. None, with a message, where there is
/// no driver.
pub fn devices() -> Vec<Device> {
    let count = pollster::block_on(adapters()).len();
    if count == 0 {
        eprintln!(
            "skipped: no driver for Vulkan, Metal or Direct3D 12 here; Mesa's lavapipe (on Debian: \
             mesa-vulkan-drivers) is one in software"
        );
    }
    let mut devices = Vec::new();
    for number in 0..count {
        for flavour in Flavour::ALL {
            let mut device = pollster::block_on(Device::open(Some(number))).unwrap();
            device.restrict(flavour);
            if device.flavour() == flavour {
                eprintln!("{} {flavour:?}", device.adapter().name);
                devices.push(device);
            }
        }
    }
    devices
}

/// xorshift; the tests need bits, not statistics.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    /// From -1 to 1, exact in single precision.
    pub fn value(&mut self) -> f64 {
        f64::from((self.bits() >> 8) as f32 / 8_388_608.0 - 1.0)
    }

    pub fn values(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.value()).collect()
    }

    pub fn shuffle(&mut self, list: &mut [u32]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.bits() as usize % (i + 1));
        }
    }
}

pub fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

/// A buffer in which every word not written shows.
pub fn poison(device: &Device, values: usize) -> wgpu::Buffer {
    device.filled(&vec![f32::NAN; values])
}

/// Every value within `tolerance` of its twin, in proportion to the largest twin: a sum of many terms
/// that happens to be near zero has their rounding.
pub fn close(got: &[f32], twin: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), twin.len(), "{what}");
    let size = twin.iter().fold(1e-6, |m: f64, x| m.max(x.abs()));
    for (i, (&got, twin)) in got.iter().zip(twin).enumerate() {
        let error = (f64::from(got) - twin).abs() / size;
        assert!(error < tolerance, "{what}: [{i}] {got} is not {twin}");
    }
}

pub type Place = fn(u32, u32, u32, u32, u32, u32) -> (u32, u32);

/// Puts a number in half precision into its half of a word; gives it as it was rounded.
pub fn put_half(word: &mut u32, half: u32, value: f32) -> f64 {
    let bits = u32::from(f16::from_f32(value).to_bits());
    *word = *word & !(0xffff << (16 * half)) | bits << (16 * half);
    weights::half_of(*word, half)
}

/// A matrix filled on the device: words and scales.
pub async fn fill(
    device: &Device,
    like: &weights::Matrix,
    seed: u32,
) -> Result<(Vec<u32>, Vec<u32>), Error> {
    let stride = weights::vectors(like.precision, like.width) * 4;
    let scale = fill::scale(like.precision, like.width);
    let mut read = Vec::new();
    for (kind, words, seed, width, stride) in [
        (
            fill::Kind::Weights(like.precision),
            like.words.len() as u32,
            seed,
            like.width,
            stride,
        ),
        (
            fill::Kind::Scales,
            like.scales.len() as u32,
            fill::hash(seed),
            u32::MAX,
            u32::MAX,
        ),
    ] {
        let buffer = device.filled(&vec![0xdead_beef_u32; words as usize + 4]);
        let run = device.dispatch(
            &fill::source(device.flavour(), kind),
            &[
                &buffer,
                &device.uniform(&fill::shape(words, seed, scale, width, stride, 0)),
            ],
            [words.div_ceil(fill::WORKGROUP).max(1), 1, 1],
        );
        device.run([&run]).await?;
        read.push(device.read(&buffer, words as usize).await?);
    }
    let scales = read.pop().unwrap_or_default();
    Ok((read.pop().unwrap_or_default(), scales))
}

pub async fn gemv(
    device: &Device,
    matrix: &weights::Matrix,
    x: &[f64],
    columns: u32,
    wide: gemv::Wide,
) -> Result<Vec<f32>, Error> {
    let count = (columns * matrix.rows) as usize;
    let y = poison(device, count);
    let (source, workgroups) = gemv::for_columns(
        device.flavour(),
        matrix.precision,
        [matrix.rows, matrix.width],
        columns,
        wide,
    );
    let run = device.dispatch(
        &source,
        &[
            &device.filled(&matrix.words),
            &device.filled(&matrix.scales),
            &device.filled(&f32s(x)),
            &y,
            &device.uniform(&gemv::shape(
                matrix.precision,
                matrix.rows,
                matrix.width,
                matrix.rows,
                0,
            )),
            &device.uniform(&[columns, 0, 0, 0]),
        ],
        workgroups,
    );
    device.run([&run]).await?;
    device.read(&y, count).await
}

pub async fn embed(
    device: &Device,
    matrix: &weights::Matrix,
    token: u32,
) -> Result<Vec<f32>, Error> {
    let x = poison(device, matrix.width as usize);
    let run = device.dispatch(
        &embed::source(device.flavour(), matrix.precision),
        &[
            &device.filled(&matrix.words),
            &device.filled(&matrix.scales),
            &device.filled(&[0, 0, token, 0, 0, 0, 0, 0u32]),
            &device.filled(&[0u32; 4]),
            &x,
            &device.uniform(&[
                0,
                matrix.rows,
                matrix.width,
                weights::vectors(matrix.precision, matrix.width),
            ]),
        ],
        [1, 1, 1],
    );
    device.run([&run]).await?;
    device.read(&x, matrix.width as usize).await
}
