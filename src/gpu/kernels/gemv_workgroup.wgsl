// The sums of a GEMV over the workgroup's threads, in workgroup memory. Equally many threads share each
// sum; WORKGROUP is a multiple of SUMS, and of COLUMNS.

var<workgroup> shared_sums: array<f32, SUMS * WORKGROUP>;
var<workgroup> segments: array<f32, WORKGROUP>;

// The part of sum `s` that thread `place` of `threads` adds up.
fn segment(s: u32, place: u32, threads: u32) -> f32 {
  var part = 0.0;
  for (var i = place; i < WORKGROUP; i += threads) {
    part += shared_sums[s * WORKGROUP + i];
  }
  return part;
}

fn joined(s: u32, threads: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < threads; i += 1u) {
    sum += segments[s * threads + i];
  }
  return sum;
}

fn add_up(sums: array<f32, SUMS>, squares: array<f32, COLUMNS>, index: u32) {
  UNROLL(s, SUMS) {
    shared_sums[s * WORKGROUP + index] = sums[s];
  }
  workgroupBarrier();
  let threads = WORKGROUP / SUMS;
  segments[index] = segment(index / threads, index % threads, threads);
  workgroupBarrier();
  if (index < SUMS) {
    totals[index] = joined(index, threads);
  }
  if (has(NORM)) {
    UNROLL(c, COLUMNS) {
      shared_sums[c * WORKGROUP + index] = squares[c];
    }
    workgroupBarrier();
    let threads = WORKGROUP / COLUMNS;
    segments[index] = segment(index / threads, index % threads, threads);
    workgroupBarrier();
    if (index < COLUMNS) {
      factors[index] = factor_of(joined(index, threads));
    }
  } else if (index < COLUMNS) {
    factors[index] = 1.0;
  }
  workgroupBarrier();
}
