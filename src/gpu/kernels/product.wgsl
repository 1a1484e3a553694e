// What the kernels of a matrix times columns share: W, x, y, what is done to the columns before and to the
// results after. All of that is known when a step is submitted and is the same for every thread, so that
// one kernel serves all products of a layer.

struct Shape {
  rows: u32,
  // Vectors of four of a column of x.
  x_stride: u32,
  // Vectors of 16 bytes of a row of W; behind the last weight they hold zeros.
  w_stride: u32,
  y_stride: u32,
  // Where in a column of y the results of this matrix begin.
  y_first: u32,
  // Bits NORM, GATHER, ADD, GATE.
  around: u32,
  epsilon: f32,
}

// RMSNorm of each column: x / sqrt(mean x^2 + epsilon). The factor is the same for a whole column, so it is
// found on the way and applied to the sums. Gains are folded into W.
const NORM = 1u;
// The columns are those of x that a list names.
const GATHER = 2u;
// The results are added to y, the residual stream.
const ADD = 4u;
// Rows come in pairs, a gate and what it lets through: gate * sigmoid(gate) * up.
const GATE = 8u;

@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> shape: Shape;
// How many columns there are, in its first element.
@group(0) @binding(5) var<uniform> count: vec4<u32>;
@group(0) @binding(6) var<storage, read> list: array<u32>;

fn has(what: u32) -> bool {
  return (shape.around & what) != 0u;
}

// Where in x a column begins.
fn column_of_x(column: u32) -> u32 {
  // Columns beyond the last read the last; their sums are not written.
  var c = min(column, count.x - 1u);
  if (has(GATHER)) {
    c = list[c];
  }
  return c * shape.x_stride;
}

// What a column's sums are multiplied by, from the sum of its squares.
fn factor_of(squares: f32) -> f32 {
  if (has(NORM)) {
    return inverseSqrt(squares / f32(4u * shape.x_stride) + shape.epsilon);
  }
  return 1.0;
}

fn gated(gate: f32, up: f32) -> f32 {
  return gate / (1.0 + exp(-gate)) * up;
}

// A result; `rows` is how many a column of this matrix has.
fn write_y(row: u32, column: u32, rows: u32, value: f32) {
  if (row < rows && column < count.x) {
    let at = column * shape.y_stride + shape.y_first + row;
    if (has(ADD)) {
      y[at] += value;
    } else {
      y[at] = value;
    }
  }
}
