// Splits a row's queries, keys and values: queries and keys are normalised (QK_NORM) and rotated by
// their position, queries are scaled by 1/sqrt(head size), keys and values go to the paged cache in
// half precision. A workgroup has one head of one row; a thread two neighbouring values and the two that are
// half a head behind them, which rotate with them: so it has whole words of the cache.
//
// The cache of keys holds, for each block and head, vectors of eight values: [value / 8][token], so
// that threads with neighbouring tokens read neighbouring vectors. That of values holds
// [token][value / 2].

@group(0) @binding(1) var<storage, read> qkv: array<f32>;
// Cosine and sine for each position and pair; from `gains` on the gains of queries, then of keys.
@group(0) @binding(2) var<storage, read> turns: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> tables: array<u32>;
@group(0) @binding(4) var<storage, read_write> queries: array<f32>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;
@group(0) @binding(7) var<uniform> shape: Shape;

const HALF = HEAD / 2u;

fn key_word(head: u32, token: u32, word: u32, pair: vec2<f32>) {
  keys[((head * (HEAD / 8u) + word / 4u) * BLOCK + token) * 4u + word % 4u] = pack2x16float(pair);
}

@compute @workgroup_size(WORKGROUP)
fn rope_append(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  LANE_ARGUMENTS
) {
  let head = group.x;
  let row = rows[2u * group.y];
  let position = row.y;
  let origin = (group.y * (shape.heads + 2u * shape.kv_heads) + head) * HEAD + 2u * index;
  var a = vec2<f32>(qkv[origin], qkv[origin + 1u]);
  var b = vec2<f32>(qkv[origin + HALF], qkv[origin + HALF + 1u]);
  let place = tables[row.x * shape.slot_blocks + position / BLOCK] * shape.kv_heads;
  let token = position % BLOCK;

  // All threads of a workgroup take the same way: it has one head.
  if (head >= shape.heads + shape.kv_heads) {
    let h = place + head - shape.heads - shape.kv_heads;
    let to = (h * BLOCK + token) * HALF + index;
    values[to] = pack2x16float(a);
    values[to + WORKGROUP] = pack2x16float(b);
    return;
  }
  let is_query = head < shape.heads;
  if (QK_NORM) {
    let sum = reduce_add(dot(a, a) + dot(b, b), LANE);
    let factor = inverseSqrt(sum / f32(HEAD) + shape.epsilon);
    let gain = shape.gains + select(HALF, 0u, is_query) + index;
    a *= factor * turns[gain];
    b *= factor * turns[gain + HALF / 2u];
  }
  let turn = position * HALF + 2u * index;
  let cosines = vec2<f32>(turns[turn].x, turns[turn + 1u].x);
  let sines = vec2<f32>(turns[turn].y, turns[turn + 1u].y);
  let turned_a = a * cosines - b * sines;
  let turned_b = b * cosines + a * sines;
  if (is_query) {
    let scale = inverseSqrt(f32(HEAD));
    let to = (group.y * shape.heads + head) * HEAD + 2u * index;
    queries[to] = turned_a.x * scale;
    queries[to + 1u] = turned_a.y * scale;
    queries[to + HALF] = turned_b.x * scale;
    queries[to + HALF + 1u] = turned_b.y * scale;
  } else {
    let h = place + head - shape.heads;
    key_word(h, token, index, turned_a);
    key_word(h, token, index + WORKGROUP, turned_b);
  }
}
