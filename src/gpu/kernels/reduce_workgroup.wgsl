// Reductions over a workgroup in workgroup memory alone, for devices without subgroups. WORKGROUP is
// a power of two.

var<workgroup> reduced: array<f32, WORKGROUP>;

struct Lane {
  index: u32,
  lane: u32,
  size: u32,
}

fn reduce_add(value: f32, at: Lane) -> f32 {
  reduced[at.index] = value;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (at.index < half) {
      reduced[at.index] += reduced[at.index + half];
    }
    workgroupBarrier();
  }
  let sum = reduced[0];
  workgroupBarrier();
  return sum;
}

fn reduce_max(value: f32, at: Lane) -> f32 {
  reduced[at.index] = value;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (at.index < half) {
      reduced[at.index] = max(reduced[at.index], reduced[at.index + half]);
    }
    workgroupBarrier();
  }
  let greatest = reduced[0];
  workgroupBarrier();
  return greatest;
}
