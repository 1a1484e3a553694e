// The simulator's worker. Types of all messages: types.d.ts, generated from src/web/messages.rs.
//
// Page to worker                     Worker to page, in this order
//   run     { runId, scenario,         trace    when the trace is another than before
//             policies, file }         progress at most every 50 ms: reading or simulating, 0 to 1
//                                      result   one per scheduler, as soon as it is ready
//                                      done     or: cancelled, or error
//   cancel  { runId }                  cancelled, if that run was in progress or waiting
//   csv     { runId, policy }          csv, or error: every request of the scheduler's last run
//   digests { runId, policy }          digests, or error: of the scheduler's last run
//   seed    { runId }                  seed
//   –                                  ready    once, when messages are being answered
//   –                                  crashed  the simulator can no longer be trusted: the page
//                                               ends this worker and starts a fresh one
//
// A newer run cancels an older one at the end of its slice (about 8 ms). Between slices the worker
// looks at its messages; it pings itself through a MessageChannel for that, because timers are
// throttled. Reading a file is not sliced: to stop it, the page ends the worker.
//
// Columns of figures are transferred, never copied; a CSV crosses as a Blob.

import init, { Engine, randomSeed, version } from "../pkg/batchscope.js";

/** @import { ErrorReport, FromWorker, Policy, RequestColumns, RunResult, ToWorker } from "./types.js" */
/** @typedef {Extract<ToWorker, {type: "run"}>} RunMessage */

/** Longest time without looking at messages, ms. */
const SLICE_MS = 8;
/** Least time between two progress messages, ms. */
const PROGRESS_MS = 50;
/** Events between two looks at the clock; some tens of microseconds of work. */
const EVENTS = 2048;
/** Points of a latency curve and buckets of a time series: about one per two pixels of a figure. */
const POINTS = 400;

/** @type {Engine} */
let engine;
/** What the engine's trace was made from. */
let traceKey = "";
/** The newest run that was asked for; older ones stop. @type {number | null} */
let wanted = null;
/** @type {RunMessage | null} */
let waiting = null;
let busy = false;

/** @type {(message: FromWorker, transfer?: Transferable[]) => void} */
const post = (message, transfer = []) => self.postMessage(message, { transfer });

self.addEventListener("message", (event) => {
  /** @type {ToWorker} */
  const message = event.data;
  switch (message.type) {
    case "run":
      if (waiting !== null) post({ type: "cancelled", runId: waiting.runId });
      wanted = message.runId;
      waiting = message;
      void work();
      return;
    case "cancel":
      if (wanted === message.runId) wanted = null;
      if (waiting?.runId === message.runId) {
        waiting = null;
        post({ type: "cancelled", runId: message.runId });
      }
      return;
    default:
      guarded(message.runId, () => answer(message));
  }
});

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
    case "csv":
      post({ type: "csv", runId, policy: message.policy, blob: csv(engine.requests(message.policy)) });
  }
}

/** Works off the newest run, and again while a newer one came in meanwhile. */
async function work() {
  if (busy) return;
  busy = true;
  await ready;
  for (let message = waiting; message !== null; message = waiting) {
    waiting = null;
    const { runId } = message;
    try {
      await run(message);
    } catch (thrown) {
      fail(runId, thrown);
    }
  }
  busy = false;
}

/** @param {RunMessage} message */
async function run({ runId, scenario, policies, file }) {
  const begun = performance.now();
  let reported = begun;
  /** @type {(stage: "reading" | "simulating", done: number) => void} */
  const progress = (stage, done) => {
    const now = performance.now();
    if (now - reported < PROGRESS_MS) return;
    reported = now;
    post({ type: "progress", runId, stage, done });
  };

  const key = JSON.stringify(file === null ? [scenario.trace, scenario.seed] : ["file", file.id]);
  if (key !== traceKey) {
    const trace =
      file === null
        ? engine.generate(scenario)
        : engine.loadBlob(file.blob, file.name, (/** @type {number} */ done) => progress("reading", done));
    traceKey = key;
    post({ type: "trace", runId, trace });
  }

  for (const [index, policy] of policies.entries()) {
    const simulated = await simulate(runId, { ...scenario, scheduler: { ...scenario.scheduler, policy } }, (done) =>
      progress("simulating", (index + done) / policies.length),
    );
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
 * One scheduler's run, slice by slice; the time it took, or null where a newer run is wanted.
 * @param {number} runId
 * @param {import("./types.js").Scenario} scenario
 * @param {(done: number) => void} progress
 */
async function simulate(runId, scenario, progress) {
  let spent = 0;
  let sliceBegan = performance.now();
  engine.begin(scenario);
  for (;;) {
    const ended = engine.advance(EVENTS);
    const now = performance.now();
    if (!ended && now - sliceBegan < SLICE_MS) continue;
    spent += now - sliceBegan;
    if (ended && spent < SLICE_MS) return wanted === runId ? spent : null;
    progress(engine.progress());
    await breath();
    if (wanted !== runId) return null;
    if (ended) return spent;
    sliceBegan = performance.now();
  }
}

const pings = new MessageChannel();
/** @type {(() => void) | null} */
let onPing = null;
pings.port1.onmessage = () => onPing?.();

/** Lets waiting messages in. @returns {Promise<void>} */
function breath() {
  return new Promise((resolve) => {
    onPing = resolve;
    pings.port2.postMessage(null);
  });
}

/** @param {object[]} columns */
function buffers(...columns) {
  return columns.flatMap((object) => Object.values(object).map((column) => column.buffer));
}

/** @type {(runId: number, act: () => void) => void} */
function guarded(runId, act) {
  ready.then(act).catch((/** @type {unknown} */ thrown) => fail(runId, thrown));
}

/**
 * What the core refuses is a plain object with a code. Everything else that is thrown is a crash.
 * @type {(runId: number, thrown: unknown) => void}
 */
function fail(runId, thrown) {
  if (isReport(thrown)) {
    post({ type: "error", runId, policy: null, error: thrown });
    return;
  }
  post({ type: "crashed", runId, message: thrown instanceof Error ? thrown.message : String(thrown) });
}

/** @type {(thrown: unknown) => thrown is ErrorReport} */
function isReport(thrown) {
  return typeof thrown === "object" && thrown !== null && "code" in thrown && "row" in thrown;
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

const ready = init().then(() => {
  engine = new Engine();
  post({ type: "ready", version: version() });
});
ready.catch((/** @type {unknown} */ thrown) => fail(0, thrown));
