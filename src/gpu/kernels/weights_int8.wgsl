// Sixteen 8-bit weights in a vector of 16 bytes; blocks of 32 share a scale, two scales a word.
const EACH = 16u;
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

alias Packed = vec4<u32>;

fn part(packed: Packed, e: u32) -> vec4<f32> {
  let word = bitcast<i32>(packed[e]);
  // Shifted to the top and back, so that the sign comes along.
  return vec4<f32>(vec4<i32>(word << 24u, word << 16u, word << 8u, word) >> vec4<u32>(24u));
}

fn scale_of(vector: u32) -> f32 {
  let block = vector / 2u;
  let pair = unpack2x16float(scales[block / 2u]);
  return select(pair.x, pair.y, (block & 1u) == 1u);
}
