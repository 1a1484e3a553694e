// Splits a row's queries, keys and values: queries and keys are normalised (QK_NORM) and rotated by
// their position, queries are scaled by 1/sqrt(head size), keys and values go to the paged cache in
// half precision. A workgroup has one head of one row; a thread two of its values.
//
// The cache of keys holds, for each block and head, vectors of eight values: [value / 8][token], so
// that threads with neighbouring tokens read neighbouring vectors. That of values holds
// [token][value / 2].

struct Shape {
  heads: u32,
  kv_heads: u32,
  // Entries of a slot in the block table.
  slot_blocks: u32,
  epsilon: f32,
}

// Two vectors a row: slot, position, token, sample | first item, items, -, -.
@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
// Cosine and sine for each position and pair.
@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>;
// Gain of queries, then of keys.
@group(0) @binding(3) var<storage, read> gain: array<f32>;
@group(0) @binding(4) var<storage, read> tables: array<u32>;
@group(0) @binding(5) var<storage, read_write> queries: array<f32>;
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<u32>;
@group(0) @binding(8) var<uniform> shape: Shape;

const HALF = HEAD / 2u;

var<workgroup> head_values: array<f32, HEAD>;

@compute @workgroup_size(WORKGROUP)
fn rope_append(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  LANE_ARGUMENTS
) {
  let head = group.x;
  let row = rows[2u * group.y];
  let position = row.y;
  let all_heads = shape.heads + 2u * shape.kv_heads;
  let base = (group.y * all_heads + head) * HEAD;
  var a = qkv[base + index];
  var b = qkv[base + index + HALF];
  let is_query = head < shape.heads;
  let is_value = head >= shape.heads + shape.kv_heads;

  if (QK_NORM) {
    let sum = reduce_add(a * a + b * b, LANE);
    if (!is_value) {
      let factor = inverseSqrt(sum / f32(HEAD) + shape.epsilon);
      let origin = select(HEAD, 0u, is_query);
      a *= factor * gain[origin + index];
      b *= factor * gain[origin + index + HALF];
    }
  }
  if (!is_value) {
    let turn = turns[position * HALF + index];
    let turned = vec2<f32>(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
    a = turned.x;
    b = turned.y;
  }
  if (is_query) {
    let scale = inverseSqrt(f32(HEAD));
    let to = (group.y * shape.heads + head) * HEAD + index;
    queries[to] = a * scale;
    queries[to + HALF] = b * scale;
  }
  head_values[index] = a;
  head_values[index + HALF] = b;
  workgroupBarrier();
  if (is_query) {
    return;
  }
  let block = tables[row.x * shape.slot_blocks + position / BLOCK];
  let token = position % BLOCK;
  let word = pack2x16float(vec2<f32>(head_values[2u * index], head_values[2u * index + 1u]));
  if (is_value) {
    let h = head - shape.heads - shape.kv_heads;
    values[((block * shape.kv_heads + h) * BLOCK + token) * HALF + index] = word;
  } else {
    let h = head - shape.heads;
    keys[(((block * shape.kv_heads + h) * (HEAD / 8u) + index / 4u) * BLOCK + token) * 4u + index % 4u] = word;
  }
}
