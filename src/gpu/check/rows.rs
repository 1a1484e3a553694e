//! What works row by row: sampling.

use super::{Check, f32s};
use crate::error::Error;
use crate::gpu::kernels::sample;

impl Check<'_> {
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
