//! `y = W x` for one to many columns: `gemv.wgsl` for up to eight, `gemm.wgsl` beyond. What a layer does before
//! and after a product ([`Around`]) is done in the same kernel: a dispatch of its own would cost more than its work.

use super::weights::{self, Matrix, per_vector, unpacking};
use super::{Bind, Flavour, Source, Text};
use crate::latency::architecture::Precision;

/// Columns that a GEMV is compiled for; more than the last go through tiles.
pub const COLUMNS: [u32; 4] = [1, 2, 4, 8];
/// Columns of a tile.
pub const TILES: [u32; 3] = [16, 32, 64];
/// Rows of a tile.
pub const TILE_ROWS: u32 = 32;

const BINDINGS: &[Bind] = &[
    Bind::Read,
    Bind::Read,
    Bind::Read,
    Bind::Write,
    Bind::Uniform,
    Bind::Uniform,
    Bind::Read,
];

/// What becomes of a product's columns before it, and of its results.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Around {
    /// RMSNorm of each column with this epsilon; its gains are folded into the matrix.
    pub norm: Option<f64>,
    /// The columns are those that a list names.
    pub gather: bool,
    pub end: End,
}

/// What becomes of a product's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// They are y.
    #[default]
    Write,
    /// They are added to y.
    Add,
    /// Rows in pairs, a gate and what it lets through, become one: gate x sigmoid(gate) x up.
    Gate,
}

impl End {
    /// Results of so many rows.
    pub fn results(self, rows: u32) -> u32 {
        match self {
            End::Write | End::Add => rows,
            End::Gate => rows / 2,
        }
    }
}

impl Around {
    fn bits(self) -> u32 {
        let end = match self.end {
            End::Write => 0,
            End::Add => 4,
            End::Gate => 8,
        };
        u32::from(self.norm.is_some()) + 2 * u32::from(self.gather) + end
    }
}

/// Rows of a workgroup. With eight columns two, so that the sums fit in registers and workgroup memory.
pub fn rows(columns: u32) -> u32 {
    if columns == 8 { 2 } else { 4 }
}

/// Threads of a workgroup: no more than a row has vectors, up to 128.
fn workgroup(precision: Precision, width: u32) -> u32 {
    match weights::vectors(precision, width) {
        0..=63 => 32,
        64..=127 => 64,
        _ => 128,
    }
}

/// The variant for up to `columns` columns (one of [`COLUMNS`]) of `width` values.
pub fn source(flavour: Flavour, precision: Precision, width: u32, columns: u32) -> Source {
    let workgroup = workgroup(precision, width);
    let tail = !width.is_multiple_of(weights::QUANTUM);
    let (mut text, file) = unpacking(Text::new(flavour), precision);
    text.lanes = true;
    let text = text
        .set("WORKGROUP", workgroup)
        .set("ROWS", rows(columns))
        .set("COLUMNS", columns)
        .set("SUMS", rows(columns) * columns)
        .set("FOURS", per_vector(precision) / 4)
        .flag("TAIL", tail);
    let end = if flavour.subgroups {
        include_str!("gemv_subgroup.wgsl")
    } else {
        include_str!("gemv_workgroup.wgsl")
    };
    Source {
        name: format!(
            "gemv-{}-{columns}-{workgroup}{}{}",
            weights::name(flavour, precision),
            if tail { "-tail" } else { "" },
            lanes(flavour),
        ),
        wgsl: text.of(&[
            file,
            include_str!("product.wgsl"),
            include_str!("gemv.wgsl"),
            end,
        ]),
        entry: "gemv",
        bindings: BINDINGS,
    }
}

/// The variant for tiles of `tile` columns (one of [`TILES`]).
pub fn tiled(flavour: Flavour, precision: Precision, tile: u32) -> Source {
    let (text, file) = unpacking(Text::new(flavour), precision);
    let text = text
        .set("WORKGROUP", 128)
        .set("TILE", tile)
        // Columns of one thread; each has four rows.
        .set("WIDE", tile / 16)
        .set("FOUR", 4)
        .set("FOURS", per_vector(precision) / 4);
    Source {
        name: format!("gemm-{}-{tile}", weights::name(flavour, precision)),
        wgsl: text.of(&[
            file,
            include_str!("product.wgsl"),
            include_str!("gemm.wgsl"),
        ]),
        entry: "gemm",
        bindings: BINDINGS,
    }
}

/// Which of the two files serves more columns than [`COLUMNS`] has: `gemm.wgsl`, or `gemv.wgsl` eight
/// columns at a time.
pub use crate::latency::calibration::ManyColumns as Wide;

/// The number of variants that [`class`] tells apart.
pub const CLASSES: usize = COLUMNS.len() + TILES.len();

/// Which variant serves so many columns: the GEMVs, then the tiles.
pub fn class(columns: u32) -> usize {
    COLUMNS
        .into_iter()
        .chain(TILES)
        .position(|most| columns <= most)
        .unwrap_or(CLASSES - 1)
}

/// The variant for so many columns and its workgroups for a matrix of `height` rows.
pub fn for_columns(
    flavour: Flavour,
    precision: Precision,
    [height, width]: [u32; 2],
    columns: u32,
    wide: Wide,
) -> (Source, [u32; 3]) {
    let source = match (class(columns).checked_sub(COLUMNS.len()), wide) {
        (None, _) => source(flavour, precision, width, COLUMNS[class(columns)]),
        (Some(_), Wide::Eights) => source(flavour, precision, width, 8),
        (Some(tile), Wide::Tiles) => tiled(flavour, precision, TILES[tile]),
    };
    (source, workgroups(height, columns, wide))
}

/// The workgroups for a matrix of `height` rows and so many columns, in three dimensions.
pub fn workgroups(height: u32, columns: u32, wide: Wide) -> [u32; 3] {
    let (tall, across) = match (class(columns).checked_sub(COLUMNS.len()), wide) {
        (None, _) => (rows(COLUMNS[class(columns)]), 1),
        (Some(_), Wide::Eights) => (rows(8), columns.div_ceil(8)),
        (Some(tile), Wide::Tiles) => (TILE_ROWS, columns.div_ceil(TILES[tile])),
    };
    let [x, y] = super::spread(height.div_ceil(tall));
    [x, y, across]
}

pub(super) fn lanes(flavour: Flavour) -> &'static str {
    if flavour.subgroups { "-subgroup" } else { "" }
}

/// The uniform of a matrix of `height` rows, the first of which is row `first` of `all`.
pub fn shape(
    precision: Precision,
    [height, width]: [u32; 2],
    [first, all]: [u32; 2],
    around: Around,
) -> [u32; 8] {
    let vectors = weights::vectors(precision, width);
    debug_assert!(width.is_multiple_of(4) && vectors * per_vector(precision) >= width);
    let end = around.end;
    [
        height,
        width / 4,
        vectors,
        end.results(all),
        end.results(first),
        around.bits(),
        (around.norm.unwrap_or(0.0) as f32).to_bits(),
        0,
    ]
}

/// Twin: `y[column][row]`, from `x[column][value]`.
pub fn gemv(matrix: &Matrix, x: &[f64]) -> Vec<f64> {
    let width = matrix.width as usize;
    let mut y = Vec::with_capacity(x.len() / width * matrix.rows as usize);
    // Unpacked once a row, not once a column.
    let columns = x.len() / width;
    y.resize(columns * matrix.rows as usize, 0.0);
    for row in 0..matrix.rows {
        let weights: Vec<f64> = (0..matrix.width).map(|k| matrix.weight(row, k)).collect();
        for (column, x) in x.chunks_exact(width).enumerate() {
            y[column * matrix.rows as usize + row as usize] =
                weights.iter().zip(x).map(|(w, x)| w * x).sum();
        }
    }
    y
}

/// Twin of [`Around::norm`], for one column.
pub fn rms_norm(x: &[f64], epsilon: f64) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let factor = 1.0 / libm::sqrt(mean + epsilon);
    x.iter().map(|x| x * factor).collect()
}

/// Twin of [`End::Gate`], for one column.
pub fn gated(rows: &[f64]) -> Vec<f64> {
    rows.chunks_exact(2)
        .map(|pair| pair[0] / (1.0 + libm::exp(-pair[0])) * pair[1])
        .collect()
}
