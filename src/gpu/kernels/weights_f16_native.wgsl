// Eight half-precision weights in 16 bytes, read as such where the device has shader-f16. A matrix of
// two columns is the one type of that size.
const EACH = 8u;
@group(0) @binding(0) var<storage, read> weights: array<mat2x4<f16>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

alias Packed = mat2x4<f16>;

fn part(packed: Packed, e: u32) -> vec4<f32> {
  if (e == 1u) {
    return vec4<f32>(packed[1]);
  }
  return vec4<f32>(packed[0]);
}

fn scale_of(vector: u32) -> f32 {
  return 1.0;
}
