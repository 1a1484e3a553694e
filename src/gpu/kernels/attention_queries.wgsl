// Queries as `rope_append.wgsl` leaves them, and a cache that it has appended to: for steps with prompts, whose later rows
// see the keys of earlier ones.

struct Shape {
  heads: u32,
  kv_heads: u32,
  slot_blocks: u32,
  epsilon: f32,
  gains: u32,
}

// Two vectors a row: slot, position, token, sample | first item, items, -, -.
@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>;
// Row and number of the split within its context.
@group(0) @binding(1) var<storage, read> items: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
@group(0) @binding(3) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> values: array<vec4<u32>>;
// For each item and query head: the weighted sum of values, the greatest score, the sum of weights.
@group(0) @binding(6) var<storage, read_write> partial: array<f32>;
@group(0) @binding(7) var<uniform> shape: Shape;

const OWN = false;

var<workgroup> asked: array<vec4<f32>, GROUP * HEAD / 4u>;

fn ask(index: u32, number: u32, row: vec4<u32>, kv_head: u32, own: bool) {
  let first = (number * shape.heads + kv_head * GROUP) * (HEAD / 4u);
  for (var i = index; i < GROUP * HEAD / 4u; i += WORKGROUP) {
    asked[i] = queries[first + i];
  }
}

fn own_score(head: u32) -> f32 {
  return 0.0;
}

fn own_value(vector: u32) -> vec4<f32> {
  return vec4<f32>(0.0);
}
