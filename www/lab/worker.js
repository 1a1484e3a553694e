// The laboratory's worker. Types of all messages: messages.d.ts.
//
// Page to worker                     Worker to page, in this order
//   run     { runId, runs,             trace    when the trace is another than before
//             keep, file }             progress at most every 50 ms: reading or simulating, 0 to 1
//                                      result   one per run, as soon as it is ready
//                                      done     or: cancelled, or error
//   cancel  { runId }                  cancelled, if that run was in progress or waiting
//   csv     { runId, run, file }       csv, or error: every request of a run, done once more
//                                               where its outcome is no longer there
//   steps   { runId, run, file }       steps, or error: every step of a run, done once more for it
//   latency { runId, name, text }      latency, or error: step times out of a file
//   seed    { runId }                  seed
//   –                                  ready    once, when messages are being answered
//   –                                  crashed  the simulator can no longer be trusted: the page
//                                               ends this worker and starts a fresh one
//
// Columns of figures are transferred, never copied; files cross as Blobs. Slices and cancelling:
// ../desk.js.

import init, { Engine, randomSeed, version } from "../../pkg-studies/batchscope.js";
import { buffers, desk } from "../desk.js";

/** @import { FromLab, LabJob, LabResult, LabServed, Scenario, ToLab, TraceFile } from "../types.js" */
/** @typedef {Extract<ToLab, {type: "run"}>} RunMessage */

/** Points of a distribution: about one per two pixels of a figure. */
const POINTS = 400;

/** @type {Engine} */
let engine;
/** What the engine's trace was made from. */
let traceKey = "";
/** Keys of the outcomes that the engine has. @type {Set<string>} */
const kept = new Set();

/** @type {(message: FromLab, transfer?: Transferable[]) => void} */
const post = (message, transfer = []) => self.postMessage(message, { transfer });

/** @type {WebAssembly.Memory | null} */
let memory = null;
const ready = init().then((module) => {
  ({ memory } = module);
  engine = new Engine();
  post({ type: "ready", version: version() });
});
const { progress, simulate } = desk({ ready, run, answer, post, memory: () => memory?.buffer.byteLength ?? 0 });

/** @param {Exclude<ToLab, {type: "run" | "cancel"}>} message */
function answer(message) {
  const { runId } = message;
  switch (message.type) {
    case "seed":
      post({ type: "seed", runId, seed: randomSeed() });
      return;
    case "latency":
      post({ type: "latency", runId, times: engine.stepTimes(message.text, message.name) });
      return;
    case "csv": {
      const { key } = message.run;
      const scenario = placed(message.run);
      open(scenario, message.file, runId, () => {});
      if (!kept.has(key)) {
        engine.begin(scenario);
        while (!engine.advance(1 << 20));
        engine.finish(key);
        kept.add(key);
      }
      post({ type: "csv", runId, blob: new Blob([bytes(engine.requestsCsv(key))], { type: "text/csv" }) });
      return;
    }
    case "steps": {
      const scenario = placed(message.run);
      open(scenario, message.file, runId, () => {});
      engine.beginTraced(scenario);
      while (!engine.advance(1 << 20));
      post({ type: "steps", runId, blob: new Blob([bytes(engine.finishTraced())], { type: "application/json" }) });
    }
  }
}

/** Memory of the module's own is never shared. @type {(array: Uint8Array) => Uint8Array<ArrayBuffer>} */
const bytes = (array) => /** @type {Uint8Array<ArrayBuffer>} */ (array);

/** Without the settings that have no effect: the form keeps them. @param {LabJob} job @returns {Scenario} */
const placed = ({ scenario, on }) => engine.effective(on === null ? scenario : engine.place(scenario, on));

/** @type {(scenario: Scenario, file: TraceFile | null, runId: number, report: (done: number) => void) => void} */
function open(scenario, file, runId, report) {
  const key = JSON.stringify("file" in scenario.trace && file !== null ? ["file", file.id, scenario.trace] : [scenario.trace, scenario.seed]);
  if (key === traceKey) return;
  // A trace that was not read leaves the former one, and outcomes are of that.
  const trace = "file" in scenario.trace && file !== null ? engine.loadBlob(file.blob, file.name, scenario, report) : engine.generate(scenario);
  traceKey = key;
  kept.clear();
  post({ type: "trace", runId, trace });
}

/** The key of an outcome that is not kept. */
const END = "end of an error";

/** What a run that is through has to show. @type {(as: string, key: string, simulated: number) => LabServed} */
function finished(as, key, simulated) {
  const started = performance.now();
  const summary = engine.finish(as);
  const [cdfs, series] = [engine.servedCdfs(as, POINTS), engine.servedSeries(as)];
  return { key, summary, cdfs, series, simulated_ms: simulated + (performance.now() - started) };
}

/** @param {RunMessage} message */
async function run({ runId, runs, keep, file }) {
  for (const key of kept) {
    if (keep.includes(key)) continue;
    engine.forget(key);
    kept.delete(key);
  }
  const begun = performance.now();
  const report = progress(runId);
  for (const [index, job] of runs.entries()) {
    const scenario = placed(job);
    open(scenario, file, runId, (done) => report("reading", done));
    // A calibration's run is done three times: as it is, and with its steps shorter and longer.
    const scenarios = [scenario, ...(job.error === null ? [] : engine.withinError(scenario, job.error))];
    /** @type {LabServed[]} */
    const served = [];
    for (const [i, one] of scenarios.entries()) {
      engine.begin(one);
      const simulated = await simulate(runId, engine, (done) => report("simulating", (index + (i + done) / scenarios.length) / runs.length));
      if (simulated === null) {
        post({ type: "cancelled", runId });
        return;
      }
      served.push(finished(i === 0 ? job.key : END, job.key, simulated));
    }
    engine.forget(END);
    kept.add(job.key);
    const [at, ...ends] = served;
    if (at === undefined) continue;
    /** @type {LabResult} */
    const result = { ...at, ends: ends.length === 0 ? null : ends };
    post({ type: "result", runId, result }, served.flatMap(({ cdfs, series }) => buffers(cdfs, series)));
  }
  post({ type: "done", runId, elapsedMs: performance.now() - begun });
}
