// RMSNorm of each row, after adding a branch to the residual stream where ADD says so: x += d, then
// out = x / rms(x) * gain. With GATHER the rows are those that a list names.

struct Shape {
  width: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> branch: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> normed: array<f32>;
@group(0) @binding(4) var<storage, read> list: array<u32>;
@group(0) @binding(5) var<uniform> shape: Shape;

@compute @workgroup_size(WORKGROUP)
fn rms_norm(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  LANE_ARGUMENTS
) {
  var row = group.x;
  if (GATHER) {
    row = list[group.x];
  }
  let base = row * shape.width;
  var squares = 0.0;
  for (var i = index; i < shape.width; i += WORKGROUP) {
    var value = x[base + i];
    if (ADD) {
      value += branch[base + i];
      x[base + i] = value;
    }
    squares += value * value;
  }
  let sum = reduce_add(squares, LANE);
  let factor = inverseSqrt(sum / f32(shape.width) + shape.epsilon);
  let to = group.x * shape.width;
  for (var i = index; i < shape.width; i += WORKGROUP) {
    // Each thread reads what it wrote itself.
    normed[to + i] = x[base + i] * factor * gain[i];
  }
}
