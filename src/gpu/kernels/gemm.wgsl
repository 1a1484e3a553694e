// Y = W X for more columns than a GEMV keeps in registers: tiles of 32 rows and TILE columns go through
// workgroup memory, 32 weights of each row at a time, so that W is read once per tile of columns.

const DEPTH = 32u;
const TALL = 32u;
// Vectors of a row in a tile.
const VECTORS = DEPTH / EACH;

// Single floats: a store to a part of a vector may touch its other parts.
var<workgroup> w_tile: array<f32, DEPTH * TALL>;
var<workgroup> x_tile: array<f32, DEPTH * TILE>;

@compute @workgroup_size(WORKGROUP)
fn gemm(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let first = (group.y * groups.x + group.x) * TALL;
  let left = group.z * TILE;
  let four = index % 8u;
  let across = index / 8u;
  let norm = has(NORM);
  var sums: array<vec4<f32>, WIDE>;
  // This thread reads every eighth vector of these columns of x.
  var origins: array<u32, WIDE>;
  var squares: array<f32, WIDE>;
  UNROLL(c, WIDE) {
    origins[c] = column_of_x(left + c * 16u + across);
    squares[c] = 0.0;
  }
  for (var v = 0u; v < shape.w_stride; v += VECTORS) {
    for (var i = index; i < TALL * VECTORS; i += WORKGROUP) {
      let row = i / VECTORS;
      let at = min(first + row, shape.rows - 1u) * shape.w_stride + v + i % VECTORS;
      // Rows are padded to whole blocks of 32 weights: a tile never reaches into the next row.
      let packed = weights[at];
      let scale = scale_of(at);
      for (var e = 0u; e < FOURS; e += 1u) {
        let four_weights = scale * part(packed, e);
        let k = (i % VECTORS) * EACH + e * 4u;
        UNROLL(j, FOUR) {
          w_tile[(k + j) * TALL + row] = four_weights[j];
        }
      }
    }
    let origin = v * (EACH / 4u) + four;
    UNROLL(c, WIDE) {
      let column = c * 16u + across;
      var xs = vec4<f32>(0.0);
      if (left + column < count.x && origin < shape.x_stride) {
        xs = x[origins[c] + origin];
        if (norm) {
          squares[c] += dot(xs, xs);
        }
      }
      UNROLL(j, FOUR) {
        x_tile[(four * 4u + j) * TILE + column] = xs[j];
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k += 1u) {
      let w = k * TALL + four * 4u;
      let ws = vec4<f32>(w_tile[w], w_tile[w + 1u], w_tile[w + 2u], w_tile[w + 3u]);
      UNROLL(c, WIDE) {
        sums[c] += ws * x_tile[k * TILE + c * 16u + across];
      }
    }
    workgroupBarrier();
  }
  // The squares of a column are with eight threads.
  UNROLL(c, WIDE) {
    x_tile[(c * 16u + across) * 8u + four] = squares[c];
  }
  workgroupBarrier();
  UNROLL(c, WIDE) {
    let column = c * 16u + across;
    var sum = 0.0;
    for (var i = 0u; i < 8u; i += 1u) {
      sum += x_tile[column * 8u + i];
    }
    let results = sums[c] * factor_of(sum);
    let row = first + four * 4u;
    if (has(GATE)) {
      write_y(row / 2u, left + column, shape.rows / 2u, gated(results.x, results.y));
      write_y(row / 2u + 1u, left + column, shape.rows / 2u, gated(results.z, results.w));
    } else {
      UNROLL(j, FOUR) {
        write_y(row + j, left + column, shape.rows, results[j]);
      }
    }
  }
}
