// Random weights, made where they are needed. Every value is exact in half precision, so that a twin on
// the processor has the very same.

struct Shape {
  words: u32,
  seed: u32,
  // Of a weight, a power of two: weights are -1024..1023 times this. Of scales: the scale itself.
  scale: f32,
  // Weights of a row, and words of a row: those behind the last weight are zero.
  width: u32,
  stride: u32,
  // Where in the whole matrix these words begin: a matrix is the same in however many buffers.
  first: u32,
}

@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@group(0) @binding(1) var<uniform> shape: Shape;

fn hash(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn value_of(bits: u32) -> f32 {
  return (f32(bits & 2047u) - 1024.0) * shape.scale;
}

@compute @workgroup_size(WORKGROUP)
fn fill(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + index;
  if (i >= shape.words) {
    return;
  }
  let bits = hash((shape.first + i) ^ hash(shape.seed));
  let first = (i % shape.stride) * PER_WORD;
  if (KIND == 0u) {
    // f32
    words[i] = select(0u, bitcast<u32>(value_of(bits)), first < shape.width);
  } else if (KIND == 1u) {
    // A pair of f16.
    let pair = vec2<f32>(
      select(0.0, value_of(bits), first < shape.width),
      select(0.0, value_of(bits >> 11u), first + 1u < shape.width),
    );
    words[i] = pack2x16float(pair);
  } else if (KIND == 2u) {
    // Four bytes: 0 is zero. -128 is left out, as quantisers do.
    var word = 0u;
    for (var j = 0u; j < 4u; j += 1u) {
      let byte = (bits >> (8u * j)) & 255u;
      let kept = select(byte, 129u, byte == 128u);
      word |= select(0u, kept, first + j < shape.width) << (8u * j);
    }
    words[i] = word;
  } else if (KIND == 3u) {
    // Eight nibbles: 8 is zero.
    var word = 0u;
    for (var j = 0u; j < 8u; j += 1u) {
      word |= select(8u, (bits >> (4u * j)) & 15u, first + j < shape.width) << (4u * j);
    }
    words[i] = word;
  } else {
    // A pair of scales: the given one and three quarters of it, by chance.
    let pair = select(vec2<f32>(1.0), vec2<f32>(0.75), vec2<bool>((bits & 1u) == 1u, (bits & 2u) == 2u));
    words[i] = pack2x16float(pair * shape.scale);
  }
}
