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

/// How a GEMV shares its work out; which way is fastest depends on the device.
pub use crate::latency::calibration::Gemv;
/// Which of the two files serves more columns than [`COLUMNS`] has: `gemm.wgsl`, or `gemv.wgsl` eight
/// columns at a time.
pub use crate::latency::calibration::ManyColumns as Wide;

/// The kernels for all numbers of columns: a GEMV for each of [`COLUMNS`], and who serves up to each of [`TILES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub gemv: [Gemv; COLUMNS.len()],
    pub wide: [Wide; TILES.len()],
}

impl Choice {
    /// Before anything was timed.
    pub fn first(flavour: Flavour) -> Choice {
        Choice {
            gemv: COLUMNS.map(|columns| Gemv {
                rows: if columns == 8 { 2 } else { 4 },
                subgroups: flavour.subgroups,
            }),
            wide: [Wide::Tiles; TILES.len()],
        }
    }

    /// The same where a device lacks what some of it asks for.
    pub fn on(self, flavour: Flavour) -> Choice {
        let first = Choice::first(flavour).gemv;
        let mut gemv = self.gemv;
        for (way, first) in gemv.iter_mut().zip(first) {
            if way.subgroups && !flavour.subgroups {
                *way = first;
            }
        }
        Choice { gemv, ..self }
    }

    /// The kernel for so many columns.
    pub fn variant(&self, columns: u32) -> Variant {
        let eights = COLUMNS.len() - 1;
        match place(columns).checked_sub(COLUMNS.len()) {
            None => Variant::Gemv(COLUMNS[place(columns)], self.gemv[place(columns)]),
            Some(size) => match self.wide[size] {
                Wide::Eights => Variant::Gemv(COLUMNS[eights], self.gemv[eights]),
                Wide::Tiles => Variant::Tile(TILES[size]),
            },
        }
    }
}

/// Which of [`COLUMNS`], then of [`TILES`], holds so many columns.
pub fn place(columns: u32) -> usize {
    let sizes = COLUMNS.into_iter().chain(TILES);
    let last = COLUMNS.len() + TILES.len() - 1;
    sizes
        .take(last)
        .position(|most| columns <= most)
        .unwrap_or(last)
}

/// Every way in which a GEMV of so many columns may share its work out on a device.
pub fn ways(flavour: Flavour, columns: u32) -> Vec<Gemv> {
    let rows = [2, 4, 8].into_iter();
    let all = rows.flat_map(|rows| [true, false].map(|subgroups| Gemv { rows, subgroups }));
    all.filter(|way| way.is_allowed(columns) && (flavour.subgroups || !way.subgroups))
        .collect()
}

/// A compiled kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// `gemv.wgsl` for so many columns at a time.
    Gemv(u32, Gemv),
    /// `gemm.wgsl` in tiles of so many columns.
    Tile(u32),
}

impl Variant {
    /// For a matrix of `width` values a row.
    pub fn source(self, flavour: Flavour, precision: Precision, width: u32) -> Source {
        match self {
            Variant::Gemv(columns, way) => gemv_source(flavour, precision, width, columns, way),
            Variant::Tile(columns) => tiled(flavour, precision, columns),
        }
    }

    /// The workgroups for a matrix of `height` rows and so many columns, in three dimensions.
    pub fn workgroups(self, height: u32, columns: u32) -> [u32; 3] {
        let (tall, wide) = match self {
            Variant::Gemv(wide, way) => (way.rows, wide),
            Variant::Tile(wide) => (TILE_ROWS, wide),
        };
        let [x, y] = super::spread(height.div_ceil(tall));
        [x, y, columns.div_ceil(wide)]
    }
}

/// Threads of a workgroup: no more than a row has vectors, up to 128.
fn workgroup(precision: Precision, width: u32) -> u32 {
    match weights::vectors(precision, width) {
        0..=63 => 32,
        64..=127 => 64,
        _ => 128,
    }
}

fn gemv_source(
    flavour: Flavour,
    precision: Precision,
    width: u32,
    columns: u32,
    way: Gemv,
) -> Source {
    let flavour = Flavour {
        subgroups: way.subgroups,
        ..flavour
    };
    let workgroup = workgroup(precision, width);
    let tail = !width.is_multiple_of(weights::QUANTUM);
    let (mut text, file) = unpacking(Text::new(flavour), precision);
    text.lanes = true;
    let text = text
        .set("WORKGROUP", workgroup)
        .set("ROWS", way.rows)
        .set("COLUMNS", columns)
        .set("SUMS", way.rows * columns)
        .set("FOURS", per_vector(precision) / 4)
        .flag("TAIL", tail);
    let end = if flavour.subgroups {
        include_str!("gemv_subgroup.wgsl")
    } else {
        include_str!("gemv_workgroup.wgsl")
    };
    Source {
        name: format!(
            "gemv-{}-{columns}x{}-{workgroup}{}{}",
            weights::name(flavour, precision),
            way.rows,
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

fn tiled(flavour: Flavour, precision: Precision, tile: u32) -> Source {
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
