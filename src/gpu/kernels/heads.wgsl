// What the kernels of attention and `rope_append.wgsl` share: the heads, and the rows of a step.

struct Shape {
  heads: u32,
  kv_heads: u32,
  // Entries of a slot in the block table.
  slot_blocks: u32,
  epsilon: f32,
  // Where the gains begin.
  gains: u32,
}

// Two vectors a row: slot, position, token, sample | first item, items, -, -.
@group(0) @binding(0) var<storage, read> rows: array<vec4<u32>>;

