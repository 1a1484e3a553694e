// What the workers that simulate have in common: the newest run is worked off slice by slice, and
// between slices messages are looked at.
//
// A newer run cancels an older one at the end of its slice (about 8 ms). The worker pings itself
// through a MessageChannel to let messages in, because timers are throttled. Reading a file is not
// sliced: to stop it, the page ends the worker.

import { OUT_OF_MEMORY, isReport } from "./replies.js";

/** @import { Scenario } from "./types.js" */

/** Longest time without looking at messages, ms. */
const SLICE_MS = 8;
/** Least time between two progress messages, ms. */
const PROGRESS_MS = 50;
/** Events between two looks at the clock; some tens of microseconds of work. */
const EVENTS = 2048;

/** A module that crashes with as much memory as this has asked for more than there is, bytes. */
const NEARLY_ALL = 1.5e9;

/** The part of the engine that runs. @typedef {{begin: (scenario: Scenario) => void, advance: (events: number) => boolean, progress: () => number}} Runs */

/**
 * @template {{type: "run", runId: number}} Run
 * @template {{type: string, runId: number}} Question
 * @param {object} on
 * @param {Promise<unknown>} on.ready settles when messages can be answered
 * @param {(message: Run) => Promise<void>} on.run
 * @param {(question: Question) => void | Promise<void>} on.answer
 * @param {(message: any, transfer?: Transferable[]) => void} on.post
 * @param {() => number} on.memory what the module has, bytes
 */
export function desk({ ready, run, answer, post, memory }) {
  /** The newest run that was asked for; older ones stop. @type {number | null} */
  let wanted = null;
  /** @type {Run | null} */
  let waiting = null;
  let busy = false;

  self.addEventListener("message", ({ data }) => {
    if (data.type === "run") {
      if (waiting !== null) post({ type: "cancelled", runId: waiting.runId });
      wanted = data.runId;
      waiting = data;
      void work();
    } else if (data.type === "cancel") {
      if (wanted === data.runId) wanted = null;
      if (waiting?.runId !== data.runId) return;
      waiting = null;
      post({ type: "cancelled", runId: data.runId });
    } else {
      ready.then(() => answer(data)).catch((/** @type {unknown} */ thrown) => fail(data.runId, thrown));
    }
  });
  ready.catch((/** @type {unknown} */ thrown) => fail(0, thrown));

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

  /** @type {(runId: number, thrown: unknown) => void} */
  function fail(runId, thrown) {
    if (isReport(thrown)) post({ type: "error", runId, error: thrown });
    else post({ type: "crashed", runId, message: memory() > NEARLY_ALL ? OUT_OF_MEMORY : thrown instanceof Error ? thrown.message : String(thrown) });
  }

  /** Sends progress, but not too often. @param {number} runId */
  function progress(runId) {
    let reported = performance.now();
    /** @type {(stage: "reading" | "simulating", done: number) => void} */
    return (stage, done) => {
      const now = performance.now();
      if (now - reported < PROGRESS_MS) return;
      reported = now;
      post({ type: "progress", runId, stage, done });
    };
  }

  /**
   * Carries a run that has begun to its end, slice by slice; the time it took, or null where a newer
   * run is wanted.
   * @param {number} runId
   * @param {Runs} engine
   * @param {(done: number) => void} report
   */
  async function simulate(runId, engine, report) {
    let spent = 0;
    let sliceBegan = performance.now();
    for (;;) {
      const ended = engine.advance(EVENTS);
      const now = performance.now();
      if (!ended && now - sliceBegan < SLICE_MS) continue;
      spent += now - sliceBegan;
      if (ended && spent < SLICE_MS) return wanted === runId ? spent : null;
      report(engine.progress());
      await breath();
      if (wanted !== runId) return null;
      if (ended) return spent;
      sliceBegan = performance.now();
    }
  }

  return { progress, simulate };
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

/** The buffers of typed arrays, to be transferred. @param {object[]} columns */
export function buffers(...columns) {
  return columns.flatMap((object) => Object.values(object).map((column) => column.buffer));
}
