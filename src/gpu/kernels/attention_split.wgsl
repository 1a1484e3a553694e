// Attention of one token over a part of its context, for all query heads that share a head of keys and
// values: flash-decode's first pass. A workgroup has an item (a row and a split of its context) and a
// head of keys; every key and value is read once for all of its query heads.

struct Shape {
  heads: u32,
  kv_heads: u32,
  slot_blocks: u32,
}

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

// Vectors of eight values of a head.
const EIGHTS = HEAD / 8u;
// Tokens whose values are added up at the same time.
const ABREAST = WORKGROUP / EIGHTS;

var<workgroup> asked: array<vec4<f32>, GROUP * HEAD / 4u>;
var<workgroup> weight: array<f32, GROUP * WORKGROUP>;
var<workgroup> block_of: array<u32, WORKGROUP / BLOCK>;
var<workgroup> gathered: array<f32, WORKGROUP * 8>;

@compute @workgroup_size(WORKGROUP)
fn attention_split(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  LANE_ARGUMENTS
) {
  let item = items[group.x];
  let kv_head = group.y;
  let row = rows[2u * item.x];
  // A token sees itself and what was before it.
  let context = row.y + 1u;
  let begin = item.y * SPLIT;
  let end = min(begin + SPLIT, context);

  let first_query = (item.x * shape.heads + kv_head * GROUP) * (HEAD / 4u);
  for (var i = index; i < GROUP * HEAD / 4u; i += WORKGROUP) {
    asked[i] = queries[first_query + i];
  }

  var greatest: array<f32, GROUP>;
  var total: array<f32, GROUP>;
  var low: array<vec4<f32>, GROUP>;
  var high: array<vec4<f32>, GROUP>;
  for (var g = 0u; g < GROUP; g += 1u) {
    greatest[g] = LEAST;
  }
  let eighth = index % EIGHTS;
  let abreast = index / EIGHTS;

  // The same number of turns for every thread, also where a split is not full.
  for (var tile = 0u; tile < SPLIT; tile += WORKGROUP) {
    workgroupBarrier();
    if (index < WORKGROUP / BLOCK) {
      let at = min(begin + tile + index * BLOCK, context - 1u);
      block_of[index] = tables[row.x * shape.slot_blocks + at / BLOCK];
    }
    workgroupBarrier();

    // Scores: a thread has a token.
    let token = begin + tile + index;
    var score: array<f32, GROUP>;
    if (token < end) {
      let block = block_of[index / BLOCK];
      let origin = (block * shape.kv_heads + kv_head) * EIGHTS * BLOCK + index % BLOCK;
      for (var c = 0u; c < EIGHTS; c += 1u) {
        let packed = keys[origin + c * BLOCK];
        let k_low = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
        let k_high = vec4<f32>(unpack2x16float(packed.z), unpack2x16float(packed.w));
        for (var g = 0u; g < GROUP; g += 1u) {
          let q = g * (HEAD / 4u) + c * 2u;
          score[g] += dot(k_low, asked[q]) + dot(k_high, asked[q + 1u]);
        }
      }
    }
    // Softmax as it goes: what was summed so far shrinks when a greater score comes.
    for (var g = 0u; g < GROUP; g += 1u) {
      let mine = select(LEAST, score[g], token < end);
      let most = max(greatest[g], reduce_max(mine, LANE));
      let shrink = exp(greatest[g] - most);
      greatest[g] = most;
      let w = select(0.0, exp(mine - most), token < end);
      weight[g * WORKGROUP + index] = w;
      total[g] = total[g] * shrink + reduce_add(w, LANE);
      low[g] *= shrink;
      high[g] *= shrink;
    }
    workgroupBarrier();
    // Values: a thread has eight values of every ABREAST-th token.
    for (var t = abreast; t < WORKGROUP; t += ABREAST) {
      if (begin + tile + t < end) {
        let block = block_of[t / BLOCK];
        let packed = values[((block * shape.kv_heads + kv_head) * BLOCK + t % BLOCK) * EIGHTS + eighth];
        let v_low = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
        let v_high = vec4<f32>(unpack2x16float(packed.z), unpack2x16float(packed.w));
        for (var g = 0u; g < GROUP; g += 1u) {
          let w = weight[g * WORKGROUP + t];
          low[g] += w * v_low;
          high[g] += w * v_high;
        }
      }
    }
  }

  for (var g = 0u; g < GROUP; g += 1u) {
    workgroupBarrier();
    for (var j = 0u; j < 4u; j += 1u) {
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
    if (index == 0u) {
      partial[to + HEAD] = greatest[g];
      partial[to + HEAD + 1u] = total[g];
    }
  }
}
