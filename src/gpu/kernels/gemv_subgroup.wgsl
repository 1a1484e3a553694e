// The end of a GEMV: every sum over the workgroup's threads, by subgroups.

var<workgroup> shared_sums: array<f32, SUMS * WORKGROUP / 4>;

fn finish(sums: array<f32, SUMS>, first: u32, left: u32, index: u32, lane: u32, size: u32) {
  let groups = (WORKGROUP + size - 1u) / size;
  UNROLL(s, SUMS) {
    let part = subgroupAdd(sums[s]);
    if (lane == 0u) {
      shared_sums[s * groups + index / size] = part;
    }
  }
  workgroupBarrier();
  for (var s = index; s < SUMS; s += WORKGROUP) {
    var sum = 0.0;
    for (var g = 0u; g < groups; g += 1u) {
      sum += shared_sums[s * groups + g];
    }
    write_y(s, first, left, sum);
  }
}
