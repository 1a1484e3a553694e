// y = W x for COLUMNS columns at a time. A workgroup has ROWS rows of W and walks along them; what
// it reads of x serves all of them. Each thread reads 16 bytes of every row at a time, neighbours read
// neighbouring bytes, and all sums stay in registers until the end.

// The workgroup's sums, and what those of a column are multiplied by.
var<workgroup> totals: array<f32, SUMS>;
var<workgroup> factors: array<f32, COLUMNS>;

@compute @workgroup_size(WORKGROUP)
fn gemv(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  LANE_ARGUMENTS
) {
  let first = (group.y * groups.x + group.x) * ROWS;
  if (first >= shape.rows) {
    return;
  }
  let left = group.z * COLUMNS;
  let norm = has(NORM);
  var sums: array<f32, SUMS>;
  UNROLL(s, SUMS) { sums[s] = 0.0; }
  var squares: array<f32, COLUMNS>;
  var origins: array<u32, COLUMNS>;
  UNROLL(c, COLUMNS) {
    squares[c] = 0.0;
    origins[c] = column_of_x(left + c);
  }
  // A row behind the last is read in its place, and not written.
  var bases: array<u32, ROWS>;
  UNROLL(r, ROWS) {
    bases[r] = min(first + r, shape.rows - 1u) * shape.w_stride;
  }
  for (var v = index; v < shape.w_stride; v += WORKGROUP) {
    var packed: array<Packed, ROWS>;
    UNROLL(r, ROWS) {
      packed[r] = weights[bases[r] + v];
    }
    var parts: array<f32, SUMS>;
    UNROLL(s, SUMS) { parts[s] = 0.0; }
    for (var e = 0u; e < FOURS; e += 1u) {
      let k = v * FOURS + e;
      UNROLL(c, COLUMNS) {
        let xs = read_x(origins[c], k);
        if (norm) {
          squares[c] += dot(xs, xs);
        }
        UNROLL(r, ROWS) {
          parts[r * COLUMNS + c] += dot(part(packed[r], e), xs);
        }
      }
    }
    UNROLL(r, ROWS) {
      let scale = scale_of(bases[r] + v);
      UNROLL(c, COLUMNS) {
        sums[r * COLUMNS + c] += scale * parts[r * COLUMNS + c];
      }
    }
  }
  add_up(sums, squares, index LANE_VALUES);
  let gates = has(GATE);
  let results = select(SUMS, SUMS / 2u, gates);
  for (var s = index; s < results; s += WORKGROUP) {
    let r = s / COLUMNS;
    let c = s % COLUMNS;
    if (gates) {
      let gate = totals[2u * r * COLUMNS + c] * factors[c];
      let up = totals[(2u * r + 1u) * COLUMNS + c] * factors[c];
      write_y(first / 2u + r, left + c, shape.rows / 2u, gated(gate, up));
    } else {
      write_y(first + r, left + c, shape.rows, totals[s] * factors[c]);
    }
  }
}

fn read_x(origin: u32, k: u32) -> vec4<f32> {
  if (TAIL && k >= shape.x_stride) {
    return vec4<f32>(0.0);
  }
  return x[origin + k];
}
