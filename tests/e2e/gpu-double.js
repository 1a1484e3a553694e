// A double of the module with the GPU (pkg-gpu/batchscope.js), for what a software adapter cannot
// show: a real GPU's calibration, a driver that does not answer, a device without memory. gpu-double.mjs
// serves it to a page in place of the module, with a line before it that says how it behaves
// (BEHAVIOUR); it is no part of the site.

const refusal = (code, message) => ({ code, message, file: null, row: null, field: null });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const architecture = (name, layers, hidden, heads, kv_heads, head_size, mlp, vocabulary) => ({
  name, layers, hidden, heads, kv_heads, head_size, mlp, vocabulary, qk_norm: true, tied: true, rope_theta: 1e6, norm_epsilon: 1e-6, source: "double",
});
const MODELS = [
  { architecture: architecture("demo", 4, 256, 4, 2, 64, 768, 4096), weights: 4_000_000 },
  { architecture: architecture("qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151_936), weights: 595_000_000 },
  { architecture: architecture("qwen3-1.7b", 28, 2048, 16, 8, 128, 6144, 151_936), weights: 1_720_000_000 },
];
const adapter = {
  name: BEHAVIOUR.software ? "SwiftShader Device" : "Double 9000", backend: "BrowserWebGpu", driver: "", user_agent: null, software: BEHAVIOUR.software === true,
  subgroups: true, subgroup_min: 32, subgroup_max: 32, shader_f16: BEHAVIOUR.software !== true, timestamps: true, max_buffer_bytes: 4e9, max_binding_bytes: 2e9,
};
const MODEL = { c0_s: 0.0061, c1_s_per_sequence: 0.000_09, c2_s_per_context_token: 4.1e-8, c3_s_per_prefill_token: 0.000_11, compute: null };
const step = (m, b, context, p = 0) => m.c0_s + m.c1_s_per_sequence * b + m.c2_s_per_context_token * context + m.c3_s_per_prefill_token * p;
const POINTS = [];
for (const b of [1, 64, 8, 2, 32, 4, 16]) {
  // Whole blocks for each, 8192 tokens at most: the smallest batches have no large context.
  const each = [0.06, 0.3, 1].map((share) => Math.min(8192, Math.max(16, Math.floor((32_512 * share) / b / 16) * 16)));
  for (const context of new Set(each)) {
    // Scattered by a few percent, the same every time.
    const off = 1 + 0.03 * Math.sin(POINTS.length * 2.4);
    const seconds = step(MODEL, b, b * context) * off;
    POINTS.push({ sequences: b, context: b * context, prefill: 0, seconds, mad_s: 0.01 * seconds, held_out: POINTS.length % 5 === 3 });
  }
}
for (const p of [16, 64]) POINTS.push({ sequences: 1, context: 1024, prefill: p, seconds: step(MODEL, 1, 1024, p), mad_s: 0.0001, held_out: false });
const estimate = (value, unit) => ({ value, unit, mad: 0.01 * value, n: 9, samples: [[1, value], [2, 2 * value]] });
const CHECKS = [[1, 512], [8, 8 * 700], [48, 48 * 1500]].map(([b, context], i) => {
  const predicted_s = step(MODEL, b, context);
  const measured_s = predicted_s * (1 + [0.02, -0.041, 0.06][i]);
  return { sequences: b, context, prefill: 0, measured_s, mad_s: 0.01 * measured_s, predicted_s, error: (predicted_s - measured_s) / measured_s };
});
const KERNELS = ["gemv-f16 6144x2048", "gemv-f16 2048x6144", "gemv-f16 151936x2048"].map((name, i) => ({
  name, columns: 1, context: null, bytes: [25e6, 25e6, 622e6][i], seconds: estimate([91e-6, 95e-6, 2.2e-3][i], "s"), share_of_read: [0.91, 0.87, 0.94][i],
}));
KERNELS.push({ name: "attention", columns: 8, context: 4096, bytes: 134e6, seconds: estimate(0.6e-3, "s"), share_of_read: 0.74 });

const calibration = (options) => ({
  kind: "batchscope-calibration", version: 1, program: "batchscope 0.1.0", commit: null, measured_at: "2026-11-25T20:15:00Z", adapter,
  model: { architecture: options.architecture, precision: options.precision, layers_resident: 20, quick: options.quick },
  bandwidth: { read: estimate(302e9, "B/s"), working_set_bytes: 5e8, by_timestamps: 305e9 },
  launch: { dispatch: estimate(2.4e-6, "s"), submission: estimate(0.31e-3, "s") },
  kernels: KERNELS, points: POINTS,
  fit: { model: MODEL, intervals: [[0.0060, 0.0062], [0.000_08, 0.0001], [3.9e-8, 4.3e-8], null], r2: 0.9987, held_out_median: 0.018, held_out_worst: 0.032, fitted: POINTS.filter((p) => !p.held_out).length, held_out: POINTS.filter((p) => p.held_out).length },
  checks: CHECKS, check_median_error: 0.039, check_worst_error: 0.057, drift: 0.02,
  layers: { counts: [[7, 0.0021], [14, 0.0036], [20, 0.0049]], per_layer_s: 0.000_22, nonlinearity: 0.01, extrapolated: true },
  warnings: [{ code: "fewer-layers", message: "20 of 28 layers fit into the GPU's memory; times of all are extrapolated by layer count" }],
  demonstration: adapter.software, took_s: 41.3,
});
const describe = (c) => ({
  calibration: c,
  text: `${JSON.stringify(c, null, 2)}\n`,
  predicted: c.points.map((p) => step(c.fit.model, p.sequences, p.context, p.prefill)),
  places: [[1, 1024], [8, 1024], [32, 1024], [1, 8192], [8, 8192], [32, 8192]].map(([sequences, context]) => ({ sequences, context, seconds: step(c.fit.model, sequences, sequences * context) })),
  error: 0.039,
  line_error: 0.039,
  sheets: [
    { card: { key: "h100", hardware: { name: "NVIDIA H100 SXM", peak_flops: 989e12, bandwidth_bytes_per_s: 3.35e12, source: "a data sheet" }, memory_bytes: 80e9 }, own: false, seconds: [0.0004, 0.0006, 0.0017, 0.0005, 0.0014, 0.005], mbu: null, mfu: null },
    { card: { key: "double", hardware: { name: "Double 9000", peak_flops: 40e12, bandwidth_bytes_per_s: 330e9, source: "the double's data sheet" }, memory_bytes: 12e9 }, own: true, seconds: [0.0041, 0.005, 0.0081, 0.0044, 0.0062, 0.0141], mbu: [0.66, 0.68, 0.7, 0.66, 0.68, 0.7], mfu: [0.005, 0.04, 0.1, 0.005, 0.04, 0.1] },
  ],
});

const served = (users, measured) => {
  const times = (p50) => ({ avg: p50, p50, p95: 1.3 * p50, p99: 1.5 * p50 });
  const one = (n, factor) => {
    const tbt = 1e3 * factor * step(MODEL, n, 80 * n);
    return { level: { users: n, tok_s: (1e3 * n) / tbt, ttft_ms: times(2 * tbt) }, tbt_ms: times(tbt), queueing_ms: times(0), step_ms: times(tbt), steps: 64, busy_s: 1, sequences: n, context: 80 * n, prefill: 0 };
  };
  return {
    levels: users.map((n) => ({ comparison: { predicted: one(n, 1), measured: measured ? one(n, 1.05) : null, step_errors: measured ? { median: -0.04, median_size: 0.04, p95_size: 0.09 } : null }, mbu: 0.6, mfu: null })),
    report: "SERVING USERS: a double",
    files: [{ name: "serving_levels.csv", text: "users\n1\n" }],
    most: 4200,
  };
};

class GpuEngine {
  #cancelled = false;
  static async open() {
    if (BEHAVIOUR.refuses) throw refusal(BEHAVIOUR.refuses, "the double refuses");
    return new GpuEngine();
  }
  static models() {
    return MODELS;
  }
  static read(text, name) {
    try {
      return describe(JSON.parse(text));
    } catch (thrown) {
      throw refusal("bad-scenario", `${name}: ${thrown.message}`);
    }
  }
  static describe(c) {
    return describe(c);
  }
  adapter() {
    return adapter;
  }
  plan(options) {
    return { seconds: options.quick ? 10 : 42, bytes: 1.9e9, layers: 20, steps: ["stream 256 MB of random bits", "launch cost", "matrix kernels at 1 to 64 columns", "attention at contexts of 128 to 8192", "whole steps"] };
  }
  cancel() {
    this.#cancelled = true;
  }
  async calibrate(options, progress) {
    this.#cancelled = false;
    for (const [i, point] of POINTS.entries()) {
      if (BEHAVIOUR.deaf) for (const begun = Date.now(); Date.now() - begun < 60_000; );
      await pause(BEHAVIOUR.step ?? 5);
      if (this.#cancelled) throw refusal("interrupted", "interrupted");
      progress({ stage: "points", what: `${point.sequences} sequences`, done: i / POINTS.length, kernel: null, point, check: null });
      if (BEHAVIOUR.fails && i === 3) throw refusal(BEHAVIOUR.fails, "the double fails");
    }
    return describe(calibration(options));
  }
  async serve(c, users, scenario, progress) {
    this.#cancelled = false;
    for (const [level, n] of users.entries()) {
      await pause(BEHAVIOUR.step ?? 5);
      if (this.#cancelled) throw refusal("interrupted", "interrupted");
      progress({ level, levels: users.length, users: n, answered: 1, requests: n * scenario.workload.closed_loop.requests_per_user, tokens: 32, elapsed_s: 0.1 });
    }
    return served(users, true);
  }
  static predict(c, users) {
    return served(users, false);
  }
  destroy() {}
  free() {}
}
class Engine {
  generate() {}
  loadBlob() {}
  derive(c) {
    const m = c.fit.model;
    return { latency: { linear: { alpha_s: m.c0_s, beta_s_per_token: 0.0051, gamma: 0, growth: 0.011, floor_s: 0.001 } }, form: { median_error: 0.012, worst_error: 0.034 } };
  }
  range() {
    return { error: 0.039, joint: { at: 0.9, faster: 0.93, slower: 0.87 }, e2e_p95_s: { at: 9.7, faster: 9.1, slower: 10.4 }, goodput_requests_per_s: { at: 1, faster: 1, slower: 1 } };
  }
}

export default async () => {};
export { Engine, GpuEngine };
