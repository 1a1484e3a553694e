// Eight half-precision weights in a vector of 16 bytes, unpacked by a function that every device has.
const EACH = 8u;
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

alias Packed = vec4<u32>;

fn part(packed: Packed, e: u32) -> vec4<f32> {
  let pair = select(packed.xy, packed.zw, e == 1u);
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

fn scale_of(vector: u32) -> f32 {
  return 1.0;
}
