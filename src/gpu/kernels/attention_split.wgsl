// Attention of one token over a part of its context, for all query heads that share a head of keys and
// values: flash-decode's first pass. A workgroup has an item (a row and a split of its context) and a
// head of keys; every key and value is read once for all of its query heads. What goes before says where the queries
// come from: `attention_queries.wgsl` or `attention_decode.wgsl`.

// Row and number of the split within its context.
@group(0) @binding(1) var<storage, read> items: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
// For each item and query head: the weighted sum of values, the greatest score, the sum of weights.
@group(0) @binding(6) var<storage, read_write> partial: array<f32>;
@group(0) @binding(7) var<uniform> shape: Shape;

// Vectors of eight values of a head.
const EIGHTS = HEAD / 8u;
// Tokens whose values are added up at the same time.
const ABREAST = WORKGROUP / EIGHTS;
// Threads that share a query head's softmax.
const SHARE = WORKGROUP / GROUP;

// Scores, then weights.
var<workgroup> weight: array<f32, GROUP * SPLIT>;
var<workgroup> part: array<f32, WORKGROUP>;
var<workgroup> gathered: array<f32, WORKGROUP * 8>;

@compute @workgroup_size(WORKGROUP)
fn attention_split(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let item = items[group.x];
  let kv_head = group.y;
  let row = rows[2u * item.x];
  let begin = item.y * SPLIT;
  // A token sees itself and what was before it.
  let tokens = min(SPLIT, row.y + 1u - begin);
  let table = row.x * shape.slot_blocks + begin / BLOCK;
  // Whether the token itself is of this part and not in the cache yet.
  let own = OWN && begin + tokens == row.y + 1u;
  let cached = tokens - select(0u, 1u, own);
  ask(index, item.x, row, kv_head, own);
  workgroupBarrier();

  // Scores: a thread has a token.
  for (var token = index; token < cached; token += WORKGROUP) {
    var score: array<f32, GROUP>;
    UNROLL(g, GROUP) {
      score[g] = 0.0;
    }
    let block = tables[table + token / BLOCK];
    let origin = (block * shape.kv_heads + kv_head) * EIGHTS * BLOCK + token % BLOCK;
    for (var c = 0u; c < EIGHTS; c += 1u) {
      let packed = keys[origin + c * BLOCK];
      let k_low = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
      let k_high = vec4<f32>(unpack2x16float(packed.z), unpack2x16float(packed.w));
      UNROLL(g, GROUP) {
        let q = g * (HEAD / 4u) + c * 2u;
        score[g] += dot(k_low, asked[q]) + dot(k_high, asked[q + 1u]);
      }
    }
    UNROLL(g, GROUP) {
      weight[g * SPLIT + token] = score[g];
    }
  }
  if (own && index < GROUP) {
    weight[index * SPLIT + cached] = own_score(index);
  }
  workgroupBarrier();

  // Softmax: each query head's threads find its greatest score, then the sum of its weights. Few
  // barriers for all heads at once, where a reduction a head would take many.
  let head = index / SHARE;
  let mine = index % SHARE;
  var greatest = LEAST;
  for (var token = mine; token < tokens; token += SHARE) {
    greatest = max(greatest, weight[head * SPLIT + token]);
  }
  part[index] = greatest;
  workgroupBarrier();
  for (var i = 0u; i < SHARE; i += 1u) {
    greatest = max(greatest, part[head * SHARE + i]);
  }
  var total = 0.0;
  for (var token = mine; token < tokens; token += SHARE) {
    let w = exp(weight[head * SPLIT + token] - greatest);
    weight[head * SPLIT + token] = w;
    total += w;
  }
  workgroupBarrier();
  part[index] = total;
  workgroupBarrier();
  if (mine == 0u) {
    total = 0.0;
    for (var i = 0u; i < SHARE; i += 1u) {
      total += part[head * SHARE + i];
    }
    let to = (group.x * shape.heads + kv_head * GROUP + head) * (HEAD + 2u) + HEAD;
    partial[to] = greatest;
    partial[to + 1u] = total;
  }

  // Values: a thread has eight values of every ABREAST-th token.
  let eighth = index % EIGHTS;
  let abreast = index / EIGHTS;
  var low: array<vec4<f32>, GROUP>;
  var high: array<vec4<f32>, GROUP>;
  UNROLL(g, GROUP) {
    low[g] = vec4<f32>(0.0);
    high[g] = vec4<f32>(0.0);
  }
  for (var token = abreast; token < cached; token += ABREAST) {
    let block = tables[table + token / BLOCK];
    let packed = values[((block * shape.kv_heads + kv_head) * BLOCK + token % BLOCK) * EIGHTS + eighth];
    let v_low = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
    let v_high = vec4<f32>(unpack2x16float(packed.z), unpack2x16float(packed.w));
    UNROLL(g, GROUP) {
      let w = weight[g * SPLIT + token];
      low[g] += w * v_low;
      high[g] += w * v_high;
    }
  }
  if (own && abreast == cached % ABREAST) {
    UNROLL(g, GROUP) {
      let w = weight[g * SPLIT + cached];
      low[g] += w * own_value(2u * eighth);
      high[g] += w * own_value(2u * eighth + 1u);
    }
  }
  UNROLL(g, GROUP) {
    workgroupBarrier();
    UNROLL(j, FOUR) {
      gathered[abreast * HEAD + eighth * 8u + j] = low[g][j];
      gathered[abreast * HEAD + eighth * 8u + 4u + j] = high[g][j];
    }
    workgroupBarrier();
    let to = (group.x * shape.heads + kv_head * GROUP + g) * (HEAD + 2u);
    for (var d = index; d < HEAD; d += WORKGROUP) {
      var sum = 0.0;
      for (var a = 0u; a < ABREAST; a += 1u) {
        sum += gathered[a * HEAD + d];
      }
      partial[to + d] = sum;
    }
  }
}
