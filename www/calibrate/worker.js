// The worker of the calibrate view: it holds the GPU and the module that drives it. Types of all
// messages: messages.d.ts.
//
// Page to worker                        Worker to page, in this order
//   open      { runId }                 opened      the adapter; or: error. Nothing asks for a GPU
//                                                   before this message
//   plan      { runId, options }        planned     what would run, how long, how much memory
//   calibrate { runId, options }        progress    at most every 50 ms; what was measured since the
//                                                   last one comes with it, nothing is left out
//                                       calibrated  or: cancelled, or error
//   serve     { runId, calibration,     serving     at most every 50 ms, where it is measured and not
//               users, scenario, measure }          only predicted
//                                       served      or: cancelled, or error
//   cancel    { runId }                 cancelled, if that run was in progress
//   read      { runId, name, text }     described   a calibration file; or: error
//   describe  { runId, calibration }    described   a calibration of this page's
//   derive    { runId, calibration,     derived     the latency model for the trace's lengths;
//               scenario, policies,                 or: error
//               file }
//   range     { runId, summaries,       ranged      the figures at both ends of the error; or:
//               file, error }                       cancelled when a newer one came, or error
//   –                                   ready       once, when messages are being answered
//   –                                   crashed     the module can no longer be trusted: the page
//                                                   ends this worker and starts a fresh one
//
// One thing runs at a time: a question that would disturb a measurement waits for its end. The
// module gives way between two submissions, each well under 0.3 s, so a `cancel` is seen in time;
// where a driver holds a submission longer, the page ends the worker. A lost device ends its run
// with an error; the next run opens the GPU anew.

import init, { Engine, GpuEngine } from "../../pkg-gpu/batchscope.js";
import { closed } from "../scenario.js";

/** @import { ErrorReport, FromGpu, CalibrateProgress, GpuProgress, ServeProgress, ToGpu, TraceFile, Scenario } from "../types.js" */
/** @template {ToGpu["type"]} T @typedef {Extract<ToGpu, {type: T}>} Question */

/** Least time between two progress messages, ms. */
const PROGRESS_MS = 50;

/** @type {GpuEngine | null} */
let gpu = null;
/** The run in progress that can be cancelled. @type {number | null} */
let running = null;
/** The run that was cancelled last, perhaps before it began. */
let cancelled = 0;
/** What the engine's trace was made from. */
let traceKey = "";
/** The simulator, once a run of it is asked for. @type {Engine | null} */
let engine = null;
/** The newest question for a range; older ones are not worth an answer. */
let newestRange = 0;
/** @type {(message: FromGpu) => void} */
const post = (message) => self.postMessage(message);

self.addEventListener("message", (event) => {
  /** @type {ToGpu} */
  const message = event.data;
  if (message.type === "cancel") {
    cancelled = message.runId;
    if (running === cancelled) gpu?.cancel();
    return;
  }
  if (message.type === "range") newestRange = message.runId;
  queue = queue.then(() => answer(message));
});

/** @param {Exclude<ToGpu, Question<"cancel">>} message */
async function answer(message) {
  const { runId } = message;
  try {
    switch (message.type) {
      case "open":
        close();
        post({ type: "opened", runId, adapter: (await opened()).adapter() });
        return;
      case "plan":
        post({ type: "planned", runId, plan: (await opened()).plan(message.options) });
        return;
      case "calibrate":
        await calibrate(message);
        return;
      case "serve":
        await serve(message);
        return;
      case "read":
        post({ type: "described", runId, result: GpuEngine.read(message.text, message.name) });
        return;
      case "describe":
        post({ type: "described", runId, result: GpuEngine.describe(message.calibration) });
        return;
      case "derive":
        post({ type: "derived", runId, derived: traceOf(message.scenario, message.file).derive(message.calibration, message.scenario, message.policies) });
        return;
      case "range":
        await range(message);
        return;
    }
  } catch (thrown) {
    running = null;
    if (!isReport(thrown)) {
      post({ type: "crashed", runId, message: words(thrown) });
      return;
    }
    if (thrown.code === "interrupted") {
      post({ type: "cancelled", runId });
      return;
    }
    // After any of these the device is of no use: the next run asks for a fresh one.
    if (["device-lost", "out-of-gpu-memory", "gpu-refused"].includes(thrown.code)) close();
    post({ type: "error", runId, error: thrown });
  }
}

/** The GPU, opened when it is first wanted. */
async function opened() {
  if (gpu !== null) return gpu;
  // Absent where a page is not secure, whatever the types say.
  const webgpu = /** @type {GPU | undefined} */ (navigator.gpu);
  if (webgpu === undefined) throw GpuEngine.noWebGpu();
  const adapter = await webgpu.requestAdapter({ powerPreference: "high-performance" });
  const info = adapter?.info;
  const name = info?.description || [info?.vendor, info?.architecture].filter((part) => part).join(" ");
  const subgroups = adapter?.features.has("subgroups") ?? false;
  if (subgroups) askForSubgroups();
  gpu = await GpuEngine.open(name, navigator.userAgent, subgroups);
  return gpu;
}

/** wgpu has no name for the browsers' subgroups and so cannot ask for them: they come with its request. */
let askForSubgroups = () => {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = function (descriptor = {}) {
    const features = new Set(descriptor.requiredFeatures).add("subgroups");
    return requestDevice.call(this, { ...descriptor, requiredFeatures: [...features] });
  };
  askForSubgroups = () => {};
};

/** The GPU for a run; null where the run was cancelled before it began. @param {number} runId */
async function begun(runId) {
  const device = await opened();
  if (cancelled === runId) {
    post({ type: "cancelled", runId });
    return null;
  }
  running = runId;
  return device;
}

/** Gives the GPU back: its memory is freed by nothing else. */
function close() {
  gpu?.destroy();
  gpu?.free();
  gpu = null;
}

/** @param {Question<"calibrate">} message */
async function calibrate({ runId, options }) {
  const device = await begun(runId);
  if (device === null) return;
  const report = batched(runId);
  const result = await device.calibrate(options, report.take);
  report.flush();
  running = null;
  post({ type: "calibrated", runId, result });
}

/** @param {Question<"serve">} message */
async function serve({ runId, calibration, users, scenario, measure }) {
  if (!measure) {
    post({ type: "served", runId, result: GpuEngine.predict(calibration, users, scenario) });
    return;
  }
  const device = await begun(runId);
  if (device === null) return;
  let told = -Infinity;
  const result = await device.serve(calibration, users, scenario, (/** @type {ServeProgress} */ progress) => {
    const now = performance.now();
    if (now - told < PROGRESS_MS) return;
    told = now;
    post({ type: "serving", runId, progress });
  });
  running = null;
  post({ type: "served", runId, result });
}

/** Gathers what was measured until the next message is due. @param {number} runId */
function batched(runId) {
  let told = -Infinity;
  /** @type {GpuProgress | null} */
  let gathered = null;
  const flush = () => {
    if (gathered === null) return;
    post({ type: "progress", runId, progress: gathered });
    gathered = null;
    told = performance.now();
  };
  return {
    flush,
    take: (/** @type {CalibrateProgress} */ { stage, what, done, kernel, point, check }) => {
      /** @type {Pick<GpuProgress, "kernels" | "points" | "checks">} */
      const { kernels, points, checks } = gathered ?? { kernels: [], points: [], checks: [] };
      if (kernel !== null) kernels.push(kernel);
      if (point !== null) points.push(point);
      if (check !== null) checks.push(check);
      gathered = { stage, what, done, kernels, points, checks };
      if (performance.now() - told >= PROGRESS_MS) flush();
    },
  };
}

/** The simulator with the trace of a scenario. @type {(scenario: Scenario, file: TraceFile | null) => Engine} */
function traceOf(scenario, file) {
  const key = JSON.stringify(file === null ? [scenario.trace, scenario.seed] : ["file", file.id, scenario.trace]);
  engine ??= new Engine();
  if (key !== traceKey) {
    traceKey = "";
    if (file === null) engine.generate(scenario);
    else engine.loadBlob(file.blob, file.name, scenario);
    traceKey = key;
  }
  return engine;
}

/** @param {Question<"range">} message */
async function range({ runId, summaries, file, error }) {
  const ranges = [];
  for (const summary of summaries) {
    // A newer question may have come: messages are looked at between two policies.
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (newestRange !== runId) {
      post({ type: "cancelled", runId });
      return;
    }
    const { scenario } = summary;
    ranges.push({ policy: closed(scenario).policy, range: traceOf(scenario, file).range(summary, error) });
  }
  post({ type: "ranged", runId, ranges });
}

/** What the core refuses is a plain object with a code. @type {(thrown: unknown) => thrown is ErrorReport} */
function isReport(thrown) {
  return typeof thrown === "object" && thrown !== null && "code" in thrown && "row" in thrown;
}

/** @param {unknown} thrown */
function words(thrown) {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** What is done one after another, from when the module is loaded. @type {Promise<void>} */
let queue = init().then(
  () => post({ type: "ready", models: GpuEngine.models() }),
  (/** @type {unknown} */ thrown) => post({ type: "crashed", runId: 0, message: words(thrown) }),
);
