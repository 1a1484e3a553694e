// The worker that searches: one question at a time, answered without a break. It is ended when its answer
// is not wanted any more. Types of all messages: messages.d.ts.
//
// Page to worker                              Worker to page, in this order
//   fewest-gpus  { runId, run, promise,         trying   { number } GPUs that are tried now
//                  ratePerS, replications,      fewest-gpus, or error
//                  file }
//   highest-rate { runId, run, promise,         trying   { number } the replication that begins
//                  replications, file }         highest-rate, or error
//   differences  { runId, a, b,                 trying   { number } the pair that begins
//                  replications, file }         differences, or error
//   –                                           crashed  the search cannot go on

import init, { Engine } from "../../pkg-studies/batchscope.js";
import { isReport } from "../replies.js";

/** @import { FromSearch, Scenario, ToSearch, TraceFile } from "../types.js" */

/** @type {(message: FromSearch) => void} */
const post = (message) => self.postMessage(message);

/** @type {Engine} */
let engine;
/** The file that the engine's trace was read from, and how. */
let readFrom = "";
const ready = init().then(() => {
  engine = new Engine();
});

self.addEventListener("message", async ({ data }) => {
  /** @type {ToSearch} */
  const message = data;
  const { runId } = message;
  try {
    await ready;
    open(message.file, (message.type === "differences" ? message.a : message.run).scenario);
    post(answer(message));
  } catch (thrown) {
    if (isReport(thrown)) post({ type: "error", runId, error: thrown });
    else post({ type: "crashed", runId, message: thrown instanceof Error ? thrown.message : String(thrown) });
  }
});

/** Generated requests are the search's to make. @type {(file: TraceFile | null, scenario: Scenario) => void} */
function open(file, scenario) {
  if (file === null) return;
  const key = JSON.stringify([file.id, scenario.trace]);
  if (key === readFrom) return;
  engine.loadBlob(file.blob, file.name, scenario, () => {});
  readFrom = key;
}

/** @param {ToSearch} message @returns {FromSearch} */
function answer(message) {
  const { runId, replications } = message;
  const trying = (/** @type {number} */ number) => post({ type: "trying", runId, number });
  switch (message.type) {
    case "fewest-gpus": {
      const { run, promise, ratePerS } = message;
      return { type: "fewest-gpus", runId, found: engine.fewestGpus(run.scenario, run.on, promise, ratePerS, replications, trying) };
    }
    case "highest-rate": {
      const { run, promise } = message;
      return { type: "highest-rate", runId, found: engine.highestRate(run.scenario, run.on, promise, replications, trying) };
    }
    case "differences": {
      const { a, b } = message;
      return { type: "differences", runId, found: engine.differences([a.scenario, a.on], [b.scenario, b.on], replications, trying) };
    }
  }
}
