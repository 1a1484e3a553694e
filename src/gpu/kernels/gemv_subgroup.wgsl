// The sums of a GEMV over the workgroup's threads, by subgroups.

var<workgroup> shared_sums: array<f32, SUMS * WORKGROUP / 4>;
var<workgroup> shared_squares: array<f32, COLUMNS * WORKGROUP / 4>;

fn add_up(sums: array<f32, SUMS>, squares: array<f32, COLUMNS>, index: u32, lane: u32, size: u32) {
  let groups = (WORKGROUP + size - 1u) / size;
  UNROLL(s, SUMS) {
    let part = subgroupAdd(sums[s]);
    if (lane == 0u) {
      shared_sums[s * groups + index / size] = part;
    }
  }
  if (has(NORM)) {
    UNROLL(c, COLUMNS) {
      let part = subgroupAdd(squares[c]);
      if (lane == 0u) {
        shared_squares[c * groups + index / size] = part;
      }
    }
  }
  workgroupBarrier();
  for (var s = index; s < SUMS; s += WORKGROUP) {
    var sum = 0.0;
    for (var g = 0u; g < groups; g += 1u) {
      sum += shared_sums[s * groups + g];
    }
    totals[s] = sum;
  }
  for (var c = index; c < COLUMNS; c += WORKGROUP) {
    var sum = 0.0;
    for (var g = 0u; g < groups; g += 1u) {
      sum += shared_squares[c * groups + g];
    }
    factors[c] = factor_of(sum);
  }
  workgroupBarrier();
}
