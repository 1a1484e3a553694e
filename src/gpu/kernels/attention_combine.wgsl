// Flash-decode's second pass: the parts of a context that were attended to apart become one, each
// weighted by its share of the softmax. A workgroup has one query head of one row.

@group(0) @binding(1) var<storage, read> partial: array<f32>;
@group(0) @binding(2) var<storage, read_write> attended: array<f32>;
@group(0) @binding(3) var<uniform> shape: Shape;

@compute @workgroup_size(WORKGROUP)
fn attention_combine(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
) {
  let head = group.x;
  let items = rows[2u * group.y + 1u];
  var greatest = LEAST;
  for (var i = 0u; i < items.y; i += 1u) {
    greatest = max(greatest, partial[((items.x + i) * shape.heads + head) * (HEAD + 2u) + HEAD]);
  }
  for (var d = index; d < HEAD; d += WORKGROUP) {
    var sum = 0.0;
    var total = 0.0;
    for (var i = 0u; i < items.y; i += 1u) {
      let origin = ((items.x + i) * shape.heads + head) * (HEAD + 2u);
      let share = exp(partial[origin + HEAD] - greatest);
      total += share * partial[origin + HEAD + 1u];
      sum += share * partial[origin + d];
    }
    attended[(group.y * shape.heads + head) * HEAD + d] = sum / total;
  }
}
