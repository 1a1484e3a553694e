// The worker of the article's figures: the newest question of each asker is answered, in the order in
// which they came.
//
// Page to worker                       Worker to page
//   { runId, asker, figure, settings }   { type: "data", runId, data }, or
//                                        { type: "refused", runId, error }  what the core refuses
//                                        { type: "older", runId }           a newer one was asked for
//   –                                    { type: "ready" }                  once
//   –                                    { type: "crashed", message }       the page starts a fresh worker

import init, * as core from "../../pkg/batchscope.js";
import { isReport } from "../replies.js";
import { FIGURES } from "./figures.js";
import { Sim } from "./sim.js";

/** @typedef {{runId: number, asker: number, figure: string, settings: import("./figures.js").Settings}} Question */

/** @param {unknown} message */
const post = (message) => self.postMessage(message);

/** Questions that wait, by asker. @type {Map<number, Question>} */
const waiting = new Map();
let busy = false;

/** @type {Sim} */
let sim;
const ready = init().then(() => {
  sim = new Sim(core);
  post({ type: "ready" });
});
ready.catch(crash);

self.addEventListener("message", ({ data }) => {
  const older = waiting.get(data.asker);
  if (older !== undefined) post({ type: "older", runId: older.runId });
  // Deleted first, so that it stands last.
  waiting.delete(data.asker);
  waiting.set(data.asker, data);
  void work();
});

async function work() {
  if (busy) return;
  busy = true;
  await ready;
  for (;;) {
    // Whatever is newer has come in by then.
    await new Promise((resolve) => setTimeout(resolve));
    const next = waiting.values().next().value;
    if (next === undefined) break;
    waiting.delete(next.asker);
    await answer(next);
  }
  busy = false;
}

/** @param {Question} question */
async function answer({ runId, figure, settings }) {
  try {
    const found = FIGURES.find(({ id }) => id === figure);
    if (found === undefined) throw new Error(`there is no figure ${figure}`);
    post({ type: "data", runId, data: await found.compute(sim, settings) });
  } catch (thrown) {
    if (isReport(thrown)) post({ type: "refused", runId, error: thrown });
    else crash(thrown);
  }
}

/** @param {unknown} thrown */
function crash(thrown) {
  post({ type: "crashed", message: thrown instanceof Error ? thrown.message : String(thrown) });
}
