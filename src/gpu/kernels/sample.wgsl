// The next token of each sampled row: the greatest of logit / temperature + Gumbel noise, which draws
// from the softmax (Gumbel-max); at temperature 0 the greatest logit. Of equals the first wins. Two
// passes, because a vocabulary is long: parts of it, then the best of the parts.

struct Shape {
  vocabulary: u32,
  parts: u32,
  temperature: f32,
  seed: u32,
}

struct Best {
  value: f32,
  token: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
// Which rows are sampled.
@group(0) @binding(2) var<storage, read> list: array<u32>;
@group(0) @binding(3) var<storage, read_write> bests: array<Best>;
// The last token of each slot.
@group(0) @binding(4) var<storage, read_write> sampled: array<u32>;
// The tokens in the order of the list.
@group(0) @binding(5) var<storage, read_write> drawn: array<u32>;
@group(0) @binding(6) var<uniform> shape: Shape;

var<workgroup> found: array<Best, WORKGROUP>;

fn better(a: Best, b: Best) -> bool {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

fn best_of_workgroup(mine: Best, index: u32) -> Best {
  found[index] = mine;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (index < half && better(found[index + half], found[index])) {
      found[index] = found[index + half];
    }
    workgroupBarrier();
  }
  return found[0];
}

// pcg (O'Neill 2014; as a hash: Jarzynski and Olano 2020).
fn hash(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn gumbel(row: vec4<u32>, token: u32) -> f32 {
  let bits = hash(token ^ hash(row.y ^ hash(row.x ^ hash(shape.seed))));
  // In the middle of one of 2^23 cells of (0, 1): neither end is hit, and each is a float.
  let uniform_number = (f32(bits >> 9u) + 0.5) / 8388608.0;
  // A device's logarithm may be off by 2^-21 near 1, where the greatest noise comes from and -log(u) is
  // as small as 2^-24: there by its series, to a part in 10^7.
  let rest = 1.0 - uniform_number;
  let series = rest * (1.0 + rest * (1.0 / 2.0 + rest * (1.0 / 3.0 + rest * (1.0 / 4.0))));
  return -log(select(-log(uniform_number), series, rest < 0.02));
}

@compute @workgroup_size(WORKGROUP)
fn sample_parts(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let row = rows[2u * list[group.y]];
  var best = Best(LEAST, 0xffffffffu);
  for (var t = group.x * WORKGROUP + index; t < shape.vocabulary; t += shape.parts * WORKGROUP) {
    var value = logits[group.y * shape.vocabulary + t];
    if (shape.temperature > 0.0) {
      value = value / shape.temperature + gumbel(row, t);
    }
    let candidate = Best(value, t);
    if (better(candidate, best)) {
      best = candidate;
    }
  }
  let one = best_of_workgroup(best, index);
  if (index == 0u) {
    bests[group.y * shape.parts + group.x] = one;
  }
}

@compute @workgroup_size(WORKGROUP)
fn sample_best(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  var best = Best(LEAST, 0xffffffffu);
  for (var p = index; p < shape.parts; p += WORKGROUP) {
    let candidate = bests[group.x * shape.parts + p];
    if (better(candidate, best)) {
      best = candidate;
    }
  }
  let one = best_of_workgroup(best, index);
  if (index == 0u) {
    drawn[group.x] = one.token;
    sampled[rows[2u * list[group.x]].x] = one.token;
  }
}
