// The calibrate view's parts that need no browser and no GPU: the module's reader and figures, the
// address key, the pictures. The double of the e2e tests is held to the module's own reader.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Engine, GpuEngine, initSync } from "../../pkg-gpu/batchscope.js";
import { ticks } from "../../www/calibrate/chart.js";
import { nameOf, readName } from "../../www/calibrate/line.js";
import { residuals, steps } from "../../www/calibrate/pictures.js";
import { MODEL, PRECISION } from "../../www/calibrate/words.js";
import { closed } from "../../www/scenario.js";
import { DEFAULT_SCENARIO } from "../../www/state.js";

/** @import { Calibration, ErrorReport, Point, Scenario } from "../../www/types.js" */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
initSync({ module: readFileSync(join(ROOT, "pkg-gpu/batchscope_bg.wasm")) });

/** What the e2e tests' double measures. @type {Calibration} */
const CALIBRATION = await (async () => {
  Object.assign(globalThis, { BEHAVIOUR: { step: 0 } });
  // By an address that the type checker does not follow: it has no types.
  const double = await import(new URL("../e2e/gpu-double.js", import.meta.url).href);
  const gpu = await double.GpuEngine.open();
  const [, model = assert.fail("no model")] = double.GpuEngine.models();
  const described = await gpu.calibrate({ architecture: model.architecture, precision: "f16", quick: false, seed: 1 }, () => {});
  return described.calibration;
})();
const TEXT = JSON.stringify({ ...CALIBRATION, model: { ...CALIBRATION.model, architecture: GpuEngine.models()[1]?.architecture } });

/** A small scenario, so that runs take no time. @type {Scenario} */
const SCENARIO = structuredClone(DEFAULT_SCENARIO);
if ("synthetic" in SCENARIO.trace) SCENARIO.trace.synthetic.requests = 500;

/** The refusal of a call. @param {() => unknown} call @returns {ErrorReport} */
function refusal(call) {
  try {
    call();
  } catch (thrown) {
    return /** @type {ErrorReport} */ (thrown);
  }
  assert.fail("nothing was refused");
}

test("every model and precision of the module has a name on the page", () => {
  const names = GpuEngine.models().map(({ architecture }) => architecture.name);
  assert.deepEqual(Object.keys(MODEL).sort(), [...names].sort());
  assert.deepEqual(Object.keys(PRECISION), ["f32", "f16", "int8", "int4"]);
});

test("a file that the page saved is read to the same calibration, and to the same text", () => {
  const first = GpuEngine.read(TEXT, "mine.json");
  const second = GpuEngine.read(first.text, "mine.json");
  assert.deepEqual(second.calibration, first.calibration);
  assert.equal(second.text, first.text);
  assert.equal(first.predicted.length, first.calibration.points.length);
  const { c0_s, c1_s_per_sequence, c2_s_per_context_token } = first.calibration.fit.model;
  const place = first.places.find(({ sequences, context }) => sequences === 8 && context === 1024);
  // A file of version 1: its line, and the submission that a server waits for.
  const served = c0_s + first.calibration.launch.submission.value;
  assert.ok(Math.abs((place?.seconds ?? 0) - (served + 8 * c1_s_per_sequence + 8 * 1024 * c2_s_per_context_token)) < 1e-12);
  assert.ok(first.sheets.length >= 8);
  // What a data sheet allows grows slower with its bandwidth: the fastest is the last.
  const times = first.sheets.map(({ seconds }) => seconds[0] ?? 0);
  assert.ok((times[0] ?? 0) > (times.at(-1) ?? 0));
});

test("what is no calibration is refused by name", () => {
  for (const text of ["", "{", "[]", "{}", TEXT.replace('"version":1', '"version":2'), TEXT.replace('"c0_s":', '"c9_s":'), TEXT.replace(/"c0_s":[\d.e-]+/, '"c0_s":-1')]) {
    const { code, message } = refusal(() => GpuEngine.read(text, "bad.json"));
    assert.equal(typeof code, "string");
    assert.match(message, /bad\.json|c0_s|version/);
  }
});

test("the closed form for a trace runs in the simulator, and a larger error moves the figures further", () => {
  const engine = new Engine();
  engine.generate(SCENARIO);
  const { calibration } = GpuEngine.read(TEXT, "mine.json");
  const { latency, form } = engine.derive(calibration, SCENARIO, ["static-fifo", "multi-bin-dynamic"]);
  assert.equal(form.max_batch, closed(SCENARIO).max_batch);
  assert.ok(form.worst_error >= form.median_error);
  engine.begin({ ...SCENARIO, engine: { closed: { ...closed(SCENARIO), latency } } });
  while (!engine.advance(1_000_000));
  const summary = engine.finish("run");
  assert.deepEqual(closed(summary.scenario).latency, latency);
  const [small, large] = [0.02, 0.2].map((error) => engine.range(summary, error).e2e_p95_s);
  const width = (/** @type {typeof small} */ moved) => (moved?.slower ?? NaN) - (moved?.faster ?? NaN);
  assert.ok(width(small) > 0 && width(large) > width(small));
  assert.equal(small?.at, summary.honest.e2e_s?.p95);
});

test("the key of the address comes back as it went, and a foreign one not at all", () => {
  const described = GpuEngine.read(TEXT, "mine.json");
  const key = nameOf(described, { ...new Engine().derive(described.calibration, SCENARIO, ["dynamic"]).form, median_error: 0.0123, worst_error: 0.0456 });
  assert.deepEqual(readName(key), { name: "Double 9000, Qwen3 0.6B, f16", error: Number(described.error.toPrecision(3)), formMedian: 0.0123, formWorst: 0.0456, demonstration: false });
  for (const bad of ["", "~~~~", "x~1~1~1", "x~-1~0~0~gpu", "x~0.1~0~0~other", "x~NaN~0~0~gpu", "x~~0~0~gpu", `${"x".repeat(81)}~0.1~0~0~gpu`, "x~0.1~0~0~gpu~more"]) {
    assert.equal(readName(bad), null, bad);
  }
});

/** @type {(sequences: number, context: number, more?: Partial<Point>) => Point} */
const point = (sequences, context, more = {}) => ({ sequences, context, prefill: 0, seconds: 0.001 * sequences, mad_s: 0, held_out: false, ...more });

test("steps fall into curves by the size of their context, though no two sizes are quite equal", () => {
  const points = [
    point(64, 31_744), point(1, 1936), point(64, 1024), point(1, 8192), point(2, 1920), point(2, 9728), point(2, 16_384),
    point(64, 9216), point(8, 32_512), point(8, 1920), point(8, 9728, { held_out: true }), point(4, 64, { prefill: 32 }),
  ];
  const { series, stops } = steps(points, null);
  const lines = series.filter(({ as }) => as === "line");
  assert.deepEqual(lines.map(({ at }) => at.map(({ x }) => x)), [[1, 2, 8, 64], [1, 2, 8, 64], [2, 8, 64]]);
  assert.deepEqual(stops, [1, 2, 8, 64]);
  assert.deepEqual(series.filter(({ as }) => as === "points").map(({ at }) => at.length), [10, 1]);
  assert.deepEqual(steps([], null).stops, []);
});

test("whole steps are stairs at the shortest context, with the longest contexts beside them", () => {
  const short = [1, 2, 3, 4, 5, 8, 9, 16].map((n) => point(n, 16 * n, { held_out: n === 3 }));
  const { series } = steps([...short, point(1, 3840), point(1, 256), point(16, 3840), point(4, 960), point(0, 0, { prefill: 64 })], null);
  const lines = series.filter(({ as }) => as === "line");
  assert.deepEqual(lines.map(({ at }) => at.map(({ x }) => x)), [[1, 2, 3, 4, 5, 8, 9, 16], [1, 4, 16]]);
  assert.deepEqual(lines.map(({ name }) => name), ["16 tokens each", "3,800 tokens in all"]);
  assert.deepEqual(series.filter(({ as }) => as === "points").map(({ at }) => at.length), [11, 0]);
});

test("errors stand at their step times, sign kept", () => {
  const described = GpuEngine.read(TEXT, "mine.json");
  const { series, stops, y } = residuals(described);
  assert.equal(series.flatMap(({ at }) => at).length, described.calibration.points.length + described.calibration.checks.length);
  assert.deepEqual(stops, [...stops].sort((a, b) => a - b));
  const checks = series.find(({ kind }) => kind === "check");
  assert.ok(checks?.at.some(({ y: error }) => error < 0) && checks.at.some(({ y: error }) => error > 0));
  for (const { y: error } of series.flatMap(({ at }) => at)) assert.ok(y !== undefined && error >= y[0] && error <= y[1]);
});

test("ticks are round and within the axis", () => {
  assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(-5.5, 5.5, 5), [-5, 0, 5]);
  assert.deepEqual(ticks(0, 0.3, 3), [0, 0.1, 0.2, 0.3]);
});
