// Reductions over a workgroup by subgroups: each adds up its own lanes, the few results meet in
// workgroup memory. No size of a subgroup is assumed; lanes are taken to follow the local index.

var<workgroup> reduced: array<f32, WORKGROUP>;

struct Lane {
  index: u32,
  lane: u32,
  size: u32,
}

fn reduce_add(value: f32, at: Lane) -> f32 {
  let part = subgroupAdd(value);
  if (at.lane == 0u) {
    reduced[at.index / at.size] = part;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < (WORKGROUP + at.size - 1u) / at.size; i += 1u) {
    sum += reduced[i];
  }
  workgroupBarrier();
  return sum;
}

fn reduce_max(value: f32, at: Lane) -> f32 {
  let part = subgroupMax(value);
  if (at.lane == 0u) {
    reduced[at.index / at.size] = part;
  }
  workgroupBarrier();
  var greatest = LEAST;
  for (var i = 0u; i < (WORKGROUP + at.size - 1u) / at.size; i += 1u) {
    greatest = max(greatest, reduced[i]);
  }
  workgroupBarrier();
  return greatest;
}
