// y = W x for COLUMNS columns at a time. A workgroup has ROWS rows of W and walks along them; what
// it reads of x serves all of them. Each thread reads 16 bytes of every row at a time, neighbours read
// neighbouring bytes, and all sums stay in registers until the end.

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
  var sums: array<f32, SUMS>;
  UNROLL(s, SUMS) { sums[s] = 0.0; }
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
        let xs = read_x(group.z * COLUMNS + c, k);
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
  finish(sums, first, group.z * COLUMNS, index LANE_VALUES);
}

fn read_x(column: u32, k: u32) -> vec4<f32> {
  // Columns beyond the last read the last; their sums are not written.
  let c = min(column, count.x - 1u);
  if (TAIL && k >= shape.x_stride) {
    return vec4<f32>(0.0);
  }
  return x[c * shape.x_stride + k];
}

fn write_y(sum: u32, first: u32, left: u32, value: f32) {
  let row = first + sum / COLUMNS;
  let column = left + sum % COLUMNS;
  if (row < shape.rows && column < count.x) {
    y[column * shape.y_stride + shape.y_first + row] = value;
  }
}
