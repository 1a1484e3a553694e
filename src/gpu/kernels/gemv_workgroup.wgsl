// The end of a GEMV: every sum over the workgroup's threads, in workgroup memory. SEGMENTS threads
// share a sum; WORKGROUP is a multiple of SUMS.

var<workgroup> shared_sums: array<f32, SUMS * WORKGROUP>;
var<workgroup> segments: array<f32, WORKGROUP>;

const SEGMENTS = WORKGROUP / SUMS;

fn finish(sums: array<f32, SUMS>, first: u32, left: u32, index: u32) {
  UNROLL(s, SUMS) {
    shared_sums[s * WORKGROUP + index] = sums[s];
  }
  workgroupBarrier();
  let s = index / SEGMENTS;
  var part = 0.0;
  for (var i = index % SEGMENTS; i < WORKGROUP; i += SEGMENTS) {
    part += shared_sums[s * WORKGROUP + i];
  }
  segments[index] = part;
  workgroupBarrier();
  if (index < SUMS) {
    var sum = 0.0;
    for (var i = 0u; i < SEGMENTS; i += 1u) {
      sum += segments[index * SEGMENTS + i];
    }
    write_y(index, first, left, sum);
  }
}
