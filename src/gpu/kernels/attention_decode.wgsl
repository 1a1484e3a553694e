// Steps in which every row is of another sequence need no `rope_append.wgsl`: a row's queries, and its own key and value,
// are read by no other row. Each workgroup normalises (QK_NORM) and rotates its query heads; the one whose part of the
// context has the row's own token attends to its key and value as it has them, and appends them to the cache.

// Queries, keys and values as the matrix gives them.
@group(0) @binding(3) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> keys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> values: array<vec4<u32>>;
// Cosine and sine for each position and pair; from `gains` on the gains of queries, then of keys.
@group(0) @binding(8) var<storage, read> turns: array<vec2<f32>>;

const OWN = true;
const HALF = HEAD / 2u;
// Four values of a head's first half, and the four that rotate with them.
const QUADS = HEAD / 8u;
// The query heads' and the key's.
const TURNED = (GROUP + 1u) * QUADS;

var<workgroup> asked: array<vec4<f32>, GROUP * HEAD / 4u>;
var<workgroup> own_keys: array<vec4<f32>, HEAD / 4u>;
var<workgroup> own_values: array<vec4<f32>, HEAD / 4u>;
var<workgroup> squares: array<f32, TURNED>;

// As the cache holds them.
fn halved(x: vec4<f32>) -> vec2<u32> {
  return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
}

fn from_halves(x: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(x.x), unpack2x16float(x.y));
}

fn gains_of(first: u32) -> vec4<f32> {
  let at = shape.gains + first / 2u;
  return vec4<f32>(turns[at], turns[at + 1u]);
}

fn ask(index: u32, number: u32, row: vec4<u32>, kv_head: u32, own: bool) {
  let all = number * (shape.heads + 2u * shape.kv_heads);
  let queries = (all + kv_head * GROUP) * (HEAD / 4u);
  let key = (all + shape.heads + kv_head) * (HEAD / 4u);
  let value = (all + shape.heads + shape.kv_heads + kv_head) * (HEAD / 4u);
  if (QK_NORM) {
    for (var i = index; i < TURNED; i += WORKGROUP) {
      let head = i / QUADS;
      let at = select(queries + head * (HEAD / 4u), key, head == GROUP) + i % QUADS;
      let a = qkv[at];
      let b = qkv[at + QUADS];
      squares[i] = dot(a, a) + dot(b, b);
    }
    workgroupBarrier();
  }
  for (var i = index; i < TURNED; i += WORKGROUP) {
    let head = i / QUADS;
    let quad = i % QUADS;
    let is_key = head == GROUP;
    let at = select(queries + head * (HEAD / 4u), key, is_key) + quad;
    var a = qkv[at];
    var b = qkv[at + QUADS];
    if (QK_NORM) {
      var sum = 0.0;
      for (var j = 0u; j < QUADS; j += 1u) {
        sum += squares[head * QUADS + j];
      }
      let factor = inverseSqrt(sum / f32(HEAD) + shape.epsilon);
      let gain = select(0u, HEAD, is_key) + 4u * quad;
      a *= factor * gains_of(gain);
      b *= factor * gains_of(gain + HALF);
    }
    let turn = row.y * HALF + 4u * quad;
    let t0 = turns[turn];
    let t1 = turns[turn + 1u];
    let t2 = turns[turn + 2u];
    let t3 = turns[turn + 3u];
    let cosines = vec4<f32>(t0.x, t1.x, t2.x, t3.x);
    let sines = vec4<f32>(t0.y, t1.y, t2.y, t3.y);
    let turned_a = a * cosines - b * sines;
    let turned_b = b * cosines + a * sines;
    if (is_key) {
      own_keys[quad] = from_halves(halved(turned_a));
      own_keys[QUADS + quad] = from_halves(halved(turned_b));
    } else {
      let scale = inverseSqrt(f32(HEAD));
      asked[head * (HEAD / 4u) + quad] = turned_a * scale;
      asked[head * (HEAD / 4u) + QUADS + quad] = turned_b * scale;
    }
  }
  for (var i = index; i < HEAD / 4u; i += WORKGROUP) {
    own_values[i] = from_halves(halved(qkv[value + i]));
  }
  workgroupBarrier();
  if (own && index < EIGHTS) {
    let block = tables[row.x * shape.slot_blocks + row.y / BLOCK] * shape.kv_heads + kv_head;
    let token = row.y % BLOCK;
    let k = vec4<u32>(halved(own_keys[2u * index]), halved(own_keys[2u * index + 1u]));
    let v = vec4<u32>(halved(own_values[2u * index]), halved(own_values[2u * index + 1u]));
    keys[block * EIGHTS * BLOCK + index * BLOCK + token] = k;
    values[(block * BLOCK + token) * EIGHTS + index] = v;
  }
}

fn own_score(head: u32) -> f32 {
  var score = 0.0;
  for (var i = 0u; i < HEAD / 4u; i += 1u) {
    score += dot(asked[head * (HEAD / 4u) + i], own_keys[i]);
  }
  return score;
}

fn own_value(vector: u32) -> vec4<f32> {
  return own_values[vector];
}
