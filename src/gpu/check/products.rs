//! What reads weights: fill, read, embeddings, GEMV and GEMM.

use super::{Check, Effort, Random, f32s};
use crate::error::Error;
use crate::gpu::kernels::gemv::{Around, COLUMNS, Choice, End, TILES, Variant, Wide};
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

    /// As many columns as a GEMV has and, eight at a time, more, in the chosen way; three cases in every other.
    pub(super) async fn gemv(&mut self, precision: Precision) -> Result<(), Error> {
        let cases = self.cases(
            &[(37, 96, 1), (37, 100, 2), (129, 256, 4), (33, 260, 13)],
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
        let chosen = Choice {
            wide: [Wide::Eights; TILES.len()],
            ..self.device.choice()
        };
        self.products(precision, chosen, &cases).await?;
        if self.effort == Effort::Quick {
            return Ok(());
        }
        for (i, columns) in COLUMNS.into_iter().enumerate() {
            for way in gemv::ways(self.device.flavour(), columns) {
                let mut choice = chosen;
                choice.gemv[i] = way;
                let cases = [(71, 260, columns), (70, 132, columns), (64, 64, columns)];
                self.products(precision, choice, &cases).await?;
            }
        }
        Ok(())
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
        let choice = Choice {
            wide: [Wide::Tiles; TILES.len()],
            ..self.device.choice()
        };
        self.products(precision, choice, &cases).await
    }

    /// Each case plainly, and with one of the ways in which layers use products.
    async fn products(
        &mut self,
        precision: Precision,
        choice: Choice,
        cases: &[Shape],
    ) -> Result<(), Error> {
        for (&(rows, width, columns), around) in cases.iter().zip(AROUND.iter().cycle()) {
            let plain = Around::default();
            for (rows, around) in [(rows, plain), (rows.next_multiple_of(2), *around)] {
                self.begin()?;
                let matrix = fill::matrix(precision, rows, width, self.random.bits());
                let x = self.random.values((width * columns) as usize);
                let before = self.random.values((columns * rows) as usize);
                let mut list: Vec<u32> = (0..columns).collect();
                if around.gather {
                    self.random.shuffle(&mut list);
                }
                let case = Case {
                    matrix: &matrix,
                    x: &x,
                    before: &before,
                    list: &list,
                    around,
                };
                let variant = choice.variant(columns);
                let got = self.product(&case, variant).await?;
                let name =
                    format!("{rows}x{width} times {columns} columns, {around:?}, {variant:?}");
                self.verdict.close(&name, &got, &case.twin())?;
            }
        }
        Ok(())
    }

    async fn product(&self, case: &Case<'_>, variant: Variant) -> Result<Vec<f32>, Error> {
        let &Matrix {
            precision,
            rows,
            width,
            ..
        } = case.matrix;
        let columns = case.list.len() as u32;
        let results = case.around.end.results(rows);
        let count = (columns * results) as usize;
        let y = match case.around.end {
            End::Add => self.device.filled(&f32s(case.before)),
            End::Write | End::Gate => self.poison(count),
        };
        let source = variant.source(self.device.flavour(), precision, width);
        let shape = gemv::shape(precision, [rows, width], [0, rows], case.around);
        let run = self.device.dispatch(
            &source,
            &[
                &self.device.filled(&case.matrix.words),
                &self.device.filled(&case.matrix.scales),
                &self.device.filled(&f32s(case.x)),
                &y,
                &self.device.uniform(&shape),
                &self.device.uniform(&[columns, 0, 0, 0]),
                &self.device.filled(case.list),
            ],
            variant.workgroups(rows, columns),
        );
        self.device.run([&run]).await?;
        self.device.read(&y, count).await
    }
}

/// As a decoder has them: QKV, output and down, gate and up, LM head.
const AROUND: [Around; 4] = [
    Around {
        norm: Some(1e-6),
        gather: false,
        end: End::Write,
    },
    Around {
        norm: None,
        gather: false,
        end: End::Add,
    },
    Around {
        norm: Some(1e-6),
        gather: false,
        end: End::Gate,
    },
    Around {
        norm: Some(1e-6),
        gather: true,
        end: End::Write,
    },
];

/// One product.
struct Case<'a> {
    matrix: &'a Matrix,
    x: &'a [f64],
    /// What y held.
    before: &'a [f64],
    /// Columns of x.
    list: &'a [u32],
    around: Around,
}

impl Case<'_> {
    fn twin(&self) -> Vec<f64> {
        let (rows, width) = (self.matrix.rows as usize, self.matrix.width as usize);
        let mut y = Vec::new();
        for (i, &column) in self.list.iter().enumerate() {
            let x = &self.x[column as usize * width..][..width];
            let x = match self.around.norm {
                Some(epsilon) => gemv::rms_norm(x, epsilon),
                None => x.to_vec(),
            };
            let sums = gemv::gemv(self.matrix, &x);
            match self.around.end {
                End::Write => y.extend(sums),
                End::Add => y.extend(
                    sums.iter()
                        .zip(&self.before[i * rows..])
                        .map(|(a, b)| a + b),
                ),
                End::Gate => y.extend(gemv::gated(&sums)),
            }
        }
        y
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
