// What the kernels of a matrix times columns are given.

struct Shape {
  rows: u32,
  // Vectors of four of a column of x.
  x_stride: u32,
  // Vectors of 16 bytes of a row of W; behind the last weight they hold zeros.
  w_stride: u32,
  y_stride: u32,
  // Where in a column of y the rows of this matrix begin.
  y_first: u32,
}

@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> shape: Shape;
// How many columns there are, in its first element.
@group(0) @binding(5) var<uniform> count: vec4<u32>;
