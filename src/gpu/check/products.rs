//! What reads weights: fill, read, embeddings, GEMV and GEMM.

use super::{Check, Random, f32s};
use crate::error::Error;
use crate::gpu::kernels::gemv::Wide;
use crate::gpu::kernels::weights::{self, Matrix};
use crate::gpu::kernels::{embed, fill, gemv, read};
use crate::latency::architecture::Precision;

/// Rows, width and columns.
type Shape = (u32, u32, u32);

impl Check<'_> {
    /// Widths stay below those at which a half-precision weight is a subnormal number, which a device
    /// may take for 0.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        for precision in Precision::ALL {
            for (rows, width) in
                self.cases(&[(7, 100)], &[(3, 64), (7, 100), (1, 4)], 3, |random| {
                    (random.between(1, 40), random.between(1, 250) * 4)
                })
            {
                self.begin()?;
                let case = format!("{} {rows}x{width}", precision.name());
                let seed = self.random.bits();
                let twin = fill::matrix(precision, rows, width, seed);
                let scale = fill::scale(precision, width);
                let stride = weights::vectors(precision, width) * 4;
                let kind = fill::Kind::Weights(precision);
                let shape = fill::shape(twin.words.len() as u32, seed, scale, width, stride, 0);
                let words = self.filled(kind, shape).await?;
                self.verdict.same(&case, &words, &twin.words)?;
                if !twin.scales.is_empty() {
                    let words = twin.scales.len() as u32;
                    let seed = fill::hash(seed);
                    let shape = fill::shape(words, seed, scale, u32::MAX, u32::MAX, 0);
                    let scales = self.filled(fill::Kind::Scales, shape).await?;
                    self.verdict
                        .same(&format!("scales of {case}"), &scales, &twin.scales)?;
                }
            }
        }
        Ok(())
    }

    /// As many words as the shape says, made on the device.
    async fn filled(&self, kind: fill::Kind, shape: [u32; 8]) -> Result<Vec<u32>, Error> {
        let [words, ..] = shape;
        let buffer = self.device.filled(&vec![0xdead_beef_u32; words as usize]);
        let run = self.device.dispatch(
            &fill::source(self.device.flavour(), kind),
            &[&buffer, &self.device.uniform(&shape)],
            [words.div_ceil(fill::WORKGROUP), 1, 1],
        );
        self.device.run([&run]).await?;
        self.device.read(&buffer, words as usize).await
    }

    pub(super) async fn read(&mut self) -> Result<(), Error> {
        for vectors in self.cases(&[2048 * 3 + 77], &[1, 2048, 2048 * 3 + 77], 4, |random| {
            random.between(1, 50_000)
        }) {
            self.begin()?;
            let data: Vec<u32> = (0..vectors * 4).map(|_| self.random.bits()).collect();
            let twin = read::read(&data);
            let source = self.device.filled(&data);
            let kept = self.device.filled(&vec![0xdead_beef_u32; twin.len()]);
            let run = self.device.dispatch(
                &read::source(self.device.flavour()),
                &[&source, &kept],
                [twin.len() as u32, 1, 1],
            );
            self.device.run([&run]).await?;
            let got = self.device.read(&kept, twin.len()).await?;
            self.verdict
                .same(&format!("{vectors} vectors"), &got, &twin)?;
        }
        Ok(())
    }

    /// Widths as in [`Check::fill`].
    pub(super) async fn embed(&mut self, precision: Precision) -> Result<(), Error> {
        for (rows, width) in self.cases(&[(50, 100)], &[(50, 100), (3, 4)], 3, |random| {
            (random.between(1, 60), random.between(1, 250) * 4)
        }) {
            let matrix = fill::matrix(precision, rows, width, self.random.bits());
            for token in [0, self.random.between(0, rows - 1), rows - 1] {
                self.begin()?;
                let got = self.embedded(&matrix, token).await?;
                let twin = embed::embed(&matrix, token);
                self.verdict
                    .close(&format!("{rows}x{width}, token {token}"), &got, &twin)?;
            }
        }
        Ok(())
    }

    async fn embedded(&self, matrix: &Matrix, token: u32) -> Result<Vec<f32>, Error> {
        let x = self.poison(matrix.width as usize);
        let run = self.device.dispatch(
            &embed::source(self.device.flavour(), matrix.precision),
            &[
                &self.device.filled(&matrix.words),
                &self.device.filled(&matrix.scales),
                &self.device.filled(&[0, 0, token, 0, 0, 0, 0, 0u32]),
                &self.device.filled(&[0u32; 4]),
                &x,
                &self.device.uniform(&[
                    0,
                    matrix.rows,
                    matrix.width,
                    weights::vectors(matrix.precision, matrix.width),
                ]),
            ],
            [1, 1, 1],
        );
        self.device.run([&run]).await?;
        self.device.read(&x, matrix.width as usize).await
    }

    /// As many columns as a GEMV has and, eight at a time, more.
    pub(super) async fn gemv(&mut self, precision: Precision) -> Result<(), Error> {
        let cases = self.cases(
            &[(37, 96, 1), (33, 260, 13)],
            &[
                (1, 4, 1),
                (5, 36, 1),
                (37, 100, 2),
                (64, 512, 3),
                (129, 1024, 4),
                (33, 260, 5),
                (70, 2052, 8),
                (67, 132, 17),
                (34, 96, 64),
                (40, 160, 97),
            ],
            10,
            |random| {
                let columns = [random.between(1, 8), random.between(9, 64)];
                some(random, columns)
            },
        );
        self.products(precision, Wide::Eights, &cases).await
    }

    /// From nine columns to more than a tile has.
    pub(super) async fn gemm(&mut self, precision: Precision) -> Result<(), Error> {
        let cases = self.cases(
            &[(31, 100, 9)],
            &[
                (31, 64, 9),
                (67, 132, 17),
                (65, 256, 40),
                (34, 96, 64),
                (40, 160, 97),
            ],
            5,
            |random| {
                let columns = [random.between(9, 32), random.between(33, 128)];
                some(random, columns)
            },
        );
        self.products(precision, Wide::Tiles, &cases).await
    }

    async fn products(
        &mut self,
        precision: Precision,
        wide: Wide,
        cases: &[Shape],
    ) -> Result<(), Error> {
        for &(rows, width, columns) in cases {
            self.begin()?;
            let matrix = fill::matrix(precision, rows, width, self.random.bits());
            let x = self.random.values((width * columns) as usize);
            let twin = gemv::gemv(&matrix, &x);
            let got = self.product(&matrix, &x, columns, wide).await?;
            let case = format!("{rows}x{width} times {columns} columns");
            self.verdict.close(&case, &got, &twin)?;
        }
        Ok(())
    }

    async fn product(
        &self,
        matrix: &Matrix,
        x: &[f64],
        columns: u32,
        wide: Wide,
    ) -> Result<Vec<f32>, Error> {
        let &Matrix {
            precision,
            rows,
            width,
            ..
        } = matrix;
        let count = (columns * rows) as usize;
        let y = self.poison(count);
        let flavour = self.device.flavour();
        let (source, workgroups) =
            gemv::for_columns(flavour, precision, [rows, width], columns, wide);
        let shape = gemv::shape(precision, rows, width, rows, 0);
        let run = self.device.dispatch(
            &source,
            &[
                &self.device.filled(&matrix.words),
                &self.device.filled(&matrix.scales),
                &self.device.filled(&f32s(x)),
                &y,
                &self.device.uniform(&shape),
                &self.device.uniform(&[columns, 0, 0, 0]),
            ],
            workgroups,
        );
        self.device.run([&run]).await?;
        self.device.read(&y, count).await
    }
}

/// A matrix of about any size, as often narrow as wide, times one of two numbers of columns.
fn some(random: &mut Random, columns: [u32; 2]) -> Shape {
    let widest = [16, 64, 300][random.between(0, 2) as usize];
    (
        random.between(1, 140),
        random.between(1, widest) * 4,
        columns[random.between(0, 1) as usize],
    )
}
