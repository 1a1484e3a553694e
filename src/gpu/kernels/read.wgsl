// Reads a whole buffer and keeps a word of it per workgroup, so that no compiler can leave the reading
// out. The pace of this is the bandwidth that other kernels are measured against.

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> kept: array<u32>;

const STEPS = 8u;

var<workgroup> all: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn read_all(
  @builtin(local_invocation_index) index: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let which = group.y * groups.x + group.x;
  let vectors = arrayLength(&source);
  let first = which * WORKGROUP * STEPS + index;
  var mixed = vec4<u32>(0u);
  for (var i = 0u; i < STEPS; i += 1u) {
    let at = first + i * WORKGROUP;
    if (at < vectors) {
      mixed ^= source[at];
    }
  }
  all[index] = mixed.x ^ mixed.y ^ mixed.z ^ mixed.w;
  workgroupBarrier();
  if (index == 0u && which < arrayLength(&kept)) {
    var word = 0u;
    for (var i = 0u; i < WORKGROUP; i += 1u) {
      word ^= all[i];
    }
    kept[which] = word;
  }
}
