// The embedding of each row's token: a row of the LM head's matrix, unpacked. A matrix may lie in
// several buffers; each is asked for the tokens it has.

struct Shape {
  // The first token of this buffer, and how many it has.
  first: u32,
  tokens: u32,
  width: u32,
  w_stride: u32,
}

@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;
// The last token of each slot, as it was sampled.
@group(0) @binding(3) var<storage, read> sampled: array<u32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
@group(0) @binding(5) var<uniform> shape: Shape;

@compute @workgroup_size(WORKGROUP)
fn embed(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let row = rows[2u * group.x];
  var token = row.z;
  if (token == 0xffffffffu) {
    token = sampled[row.x];
  }
  if (token < shape.first || token >= shape.first + shape.tokens) {
    return;
  }
  let base = (token - shape.first) * shape.w_stride;
  for (var v = index; v < shape.w_stride; v += WORKGROUP) {
    let packed = weights[base + v];
    let scale = scale_of(base + v);
    for (var e = 0u; e < EACH / 4u; e += 1u) {
      let four = scale * part(packed, e);
      for (var j = 0u; j < 4u; j += 1u) {
        let i = v * EACH + e * 4u + j;
        if (i < shape.width) {
          x[group.x * shape.width + i] = four[j];
        }
      }
    }
  }
}
