// gate * sigmoid(gate) * up, where a row holds all gates and then all ups.

struct Shape {
  width: u32,
}

@group(0) @binding(0) var<storage, read> gate_up: array<f32>;
@group(0) @binding(1) var<storage, read_write> gated: array<f32>;
@group(0) @binding(2) var<uniform> shape: Shape;

@compute @workgroup_size(WORKGROUP)
fn silu_gate(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let i = group.x * WORKGROUP + index;
  if (i >= shape.width) {
    return;
  }
  let gate = gate_up[group.y * 2u * shape.width + i];
  let up = gate_up[group.y * 2u * shape.width + shape.width + i];
  gated[group.y * shape.width + i] = gate / (1.0 + exp(-gate)) * up;
}
