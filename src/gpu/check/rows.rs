//! What works row by row: norm, gate, sampling.

use super::{Check, f32s};
use crate::error::Error;
use crate::gpu::kernels::{rms_norm, sample, silu_gate};

impl Check<'_> {
    /// With and without the residual addition, of all rows and of listed ones.
    pub(super) async fn rms_norm(&mut self) -> Result<(), Error> {
        for (width, rows) in self.cases(
            &[(100, 3)],
            &[(4, 1), (100, 3), (1024, 2), (4096, 5)],
            4,
            |random| (random.between(1, 3000), random.between(1, 9)),
        ) {
            let count = (width * rows) as usize;
            let x = self.random.values(count);
            let branch = self.random.values(count);
            let gain = self.random.values(width as usize);
            for (add, gather) in [(false, false), (true, false), (true, true)] {
                self.begin()?;
                let list: Vec<u32> = if gather {
                    (0..rows).rev().step_by(2).collect()
                } else {
                    (0..rows).collect()
                };
                let x_buffer = self.device.filled(&f32s(&x));
                let normed = self.poison(width as usize * list.len());
                let run = self.device.dispatch(
                    &rms_norm::source(self.device.flavour(), add, gather),
                    &[
                        &x_buffer,
                        &self.device.filled(&f32s(&branch)),
                        &self.device.filled(&f32s(&gain)),
                        &normed,
                        &self.device.filled(&list),
                        &self.device.uniform(&rms_norm::shape(width, 1e-6)),
                    ],
                    [list.len() as u32, 1, 1],
                );
                self.device.run([&run]).await?;
                let got: Vec<f32> = self
                    .device
                    .read(&normed, width as usize * list.len())
                    .await?;
                let stream: Vec<f32> = self.device.read(&x_buffer, count).await?;
                let case = format!("{rows} rows of {width}");
                for (&row, got) in list.iter().zip(got.chunks(width as usize)) {
                    let at = (row * width) as usize..((row + 1) * width) as usize;
                    let [added, twin] = rms_norm::rms_norm(
                        &x[at.clone()],
                        add.then(|| &branch[at.clone()]),
                        &gain,
                        1e-6,
                    );
                    self.verdict
                        .close(&format!("{case}, norm of row {row}"), got, &twin)?;
                    self.verdict.close(
                        &format!("{case}, sum of row {row}"),
                        &stream[at],
                        &added,
                    )?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn silu_gate(&mut self) -> Result<(), Error> {
        for (width, rows) in self.cases(&[(77, 3)], &[(1, 1), (77, 3), (256, 2)], 4, |random| {
            (random.between(1, 2000), random.between(1, 9))
        }) {
            self.begin()?;
            // Beyond +-4 the gate is nearly shut or open.
            let gate_up: Vec<f64> = self
                .random
                .values((2 * width * rows) as usize)
                .into_iter()
                .map(|x| 8.0 * x)
                .collect();
            let gated = self.poison((width * rows) as usize);
            let run = self.device.dispatch(
                &silu_gate::source(self.device.flavour()),
                &[
                    &self.device.filled(&f32s(&gate_up)),
                    &gated,
                    &self.device.uniform(&[width, 0, 0, 0]),
                ],
                [width.div_ceil(silu_gate::WORKGROUP), rows, 1],
            );
            self.device.run([&run]).await?;
            let got = self.device.read(&gated, (width * rows) as usize).await?;
            let twin: Vec<f64> = gate_up
                .chunks(2 * width as usize)
                .flat_map(silu_gate::silu_gate)
                .collect();
            self.verdict
                .close(&format!("{rows} rows of {width}"), &got, &twin)?;
        }
        Ok(())
    }

    /// The token of two rows of three; of equal logits the first.
    pub(super) async fn sample(&mut self) -> Result<(), Error> {
        for (vocabulary, temperature) in self.cases(
            &[(37, 0.0), (5000, 0.7)],
            &[
                (1, 0.0),
                (37, 0.0),
                (5000, 0.0),
                (5000, 0.7),
                (151_936, 1.0),
            ],
            4,
            |random| {
                (
                    random.between(1, 40_000),
                    random.between(0, 15) as f32 * 0.1,
                )
            },
        ) {
            self.begin()?;
            let case = format!("{vocabulary} tokens at temperature {temperature}");
            let each = vocabulary as usize;
            let seed = self.random.bits();
            let listed = [2u32, 0];
            let place = |row: u32| (2 - row, 100 + row);
            let rows: Vec<[u32; 4]> = (0..3)
                .map(place)
                .flat_map(|(slot, position)| [[slot, position, 0, 1], [0; 4]])
                .collect();
            let mut logits = self.random.values(each * listed.len());
            if each > 30 && temperature == 0.0 {
                logits[30] = 9.0;
                logits[12] = 9.0;
            }
            let bests = self.device.storage(8 * 2 * u64::from(sample::PARTS));
            let sampled = self.device.filled(&[u32::MAX; 4]);
            let drawn = self.device.filled(&[u32::MAX; 4]);
            let shape = sample::shape(vocabulary, temperature, seed);
            let buffers = [
                &self.device.filled(&f32s(&logits)),
                &self.device.filled(rows.as_flattened()),
                &self.device.filled(&listed),
                &bests,
                &sampled,
                &drawn,
                &self.device.uniform(&shape),
            ];
            let flavour = self.device.flavour();
            let parts =
                self.device
                    .dispatch(&sample::parts(flavour), &buffers, [sample::PARTS, 2, 1]);
            let best = self
                .device
                .dispatch(&sample::best(flavour), &buffers, [2, 1, 1]);
            self.device.run([&parts, &best]).await?;
            let got: Vec<u32> = self.device.read(&drawn, listed.len()).await?;
            let last: Vec<u32> = self.device.read(&sampled, 3).await?;
            for ((&row, &got), logits) in listed.iter().zip(&got).zip(logits.chunks(each)) {
                let (slot, position) = place(row);
                let temperature = f64::from(temperature);
                let scores = sample::scores(logits, slot, position, temperature, seed);
                let twin = sample::sample(logits, slot, position, temperature, seed);
                self.verdict.drawn(&case, got, twin, &scores)?;
                self.verdict.same(
                    &format!("{case}, slot {slot}"),
                    &last[slot as usize..][..1],
                    &[got],
                )?;
            }
        }
        Ok(())
    }
}
