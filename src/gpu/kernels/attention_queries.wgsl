// Queries as `rope_append.wgsl` leaves them, and a cache that it has appended to: for steps with prompts, whose later rows
// see the keys of earlier ones.

@group(0) @binding(3) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> values: array<vec4<u32>>;

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
