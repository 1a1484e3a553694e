// A block of 32 4-bit weights in a vector of 16 bytes: a value of 8 stands for 0; two scales a word.
const EACH = 32u;
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

alias Packed = vec4<u32>;

fn part(packed: Packed, e: u32) -> vec4<f32> {
  let half = packed[e / 2u] >> ((e & 1u) * 16u);
  let nibbles = (vec4<u32>(half) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
  return vec4<f32>(vec4<i32>(nibbles) - vec4<i32>(8));
}

fn scale_of(vector: u32) -> f32 {
  let pair = unpack2x16float(scales[vector / 2u]);
  return select(pair.x, pair.y, (vector & 1u) == 1u);
}
