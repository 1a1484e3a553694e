// The simulator's worker. Types of all messages: messages.d.ts.
//
// Page to worker                     Worker to page, in this order
//   run     { runId, scenario,         trace    when the trace is another than before
//             policies, file }         progress at most every 50 ms: reading or simulating, 0 to 1
//                                      result   one per scheduler, as soon as it is ready
//                                      done     or: cancelled, or error
//   cancel  { runId }                  cancelled, if that run was in progress or waiting
//   csv     { runId, policy }          csv, or error: every request of the scheduler's last run
//   digests { runId, policy }          digests, or error: of the scheduler's last run
//   timeline{ runId, policy }          timeline, or error: batches and requests of that run
//   seed    { runId }                  seed
//   –                                  ready    once, when messages are being answered
//   –                                  crashed  the simulator can no longer be trusted: the page
//                                               ends this worker and starts a fresh one
//
// Columns of figures are transferred, never copied; a CSV crosses as a Blob.

import init, { Engine, randomSeed, version } from "../pkg/batchscope.js";
import { buffers, desk } from "./desk.js";
import { withPolicy } from "./scenario.js";

/** @import { FromWorker, RequestColumns, RunResult, ToWorker } from "./types.js" */
/** @typedef {Extract<ToWorker, {type: "run"}>} RunMessage */

/** Points of a latency curve and buckets of a time series: about one per two pixels of a figure. */
const POINTS = 400;

/** @type {Engine} */
let engine;
/** What the engine's trace was made from. */
let traceKey = "";

/** @type {(message: FromWorker, transfer?: Transferable[]) => void} */
const post = (message, transfer = []) => self.postMessage(message, { transfer });

/** @type {WebAssembly.Memory | null} */
let memory = null;
const ready = init().then((module) => {
  ({ memory } = module);
  engine = new Engine();
  post({ type: "ready", version: version() });
});
const { progress, simulate } = desk({ ready, run, answer, post, memory: () => memory?.buffer.byteLength ?? 0 });

/** @param {Exclude<ToWorker, {type: "run" | "cancel"}>} message */
function answer(message) {
  const { runId } = message;
  switch (message.type) {
    case "seed":
      post({ type: "seed", runId, seed: randomSeed() });
      return;
    case "digests":
      post({ type: "digests", runId, policy: message.policy, digests: engine.digests(message.policy) });
      return;
    case "timeline": {
      const batches = engine.batches(message.policy);
      const requests = engine.requests(message.policy);
      post({ type: "timeline", runId, policy: message.policy, batches, requests }, buffers(batches, requests));
      return;
    }
    case "csv":
      post({ type: "csv", runId, policy: message.policy, blob: csv(engine.requests(message.policy)) });
  }
}

/** @param {RunMessage} message */
async function run({ runId, scenario, policies, file }) {
  const begun = performance.now();
  const report = progress(runId);

  const key = JSON.stringify(file === null ? [scenario.trace, scenario.seed] : ["file", file.id, scenario.trace]);
  if (key !== traceKey) {
    const trace =
      file === null
        ? engine.generate(scenario)
        : engine.loadBlob(file.blob, file.name, scenario, (/** @type {number} */ done) => report("reading", done));
    traceKey = key;
    post({ type: "trace", runId, trace });
  }

  for (const [index, policy] of policies.entries()) {
    engine.begin(withPolicy(scenario, policy));
    const simulated = await simulate(runId, engine, (done) => report("simulating", (index + done) / policies.length));
    if (simulated === null) {
      post({ type: "cancelled", runId });
      return;
    }
    const started = performance.now();
    const summary = engine.finish(policy);
    const simulatedMs = simulated + (performance.now() - started);
    /** @type {RunResult} */
    const result = {
      policy,
      summary,
      cdf: engine.cdf(policy, POINTS),
      series: engine.series(policy, POINTS),
      simulated_ms: simulatedMs,
    };
    post({ type: "result", runId, result }, buffers(result.cdf, result.series));
  }
  post({ type: "done", runId, elapsedMs: performance.now() - begun });
}

/**
 * A table of every request, built in pieces so that no string grows with the trace.
 * @param {RequestColumns} columns
 */
function csv(columns) {
  const names = /** @type {(keyof RequestColumns)[]} */ (Object.keys(columns));
  const lists = names.map((name) => columns[name]);
  const pieces = [`${names.join(",")}\n`];
  let piece = "";
  for (let i = 0; i < columns.row.length; i += 1) {
    piece += `${lists.map((list) => list[i] ?? "").join(",")}\n`;
    if (i % 4096 === 4095) {
      pieces.push(piece);
      piece = "";
    }
  }
  pieces.push(piece);
  return new Blob(pieces, { type: "text/csv" });
}
