// The page's side of the worker with the GPU: starts it, asks it, ends it where it does not answer,
// and starts a fresh one.

/** @import { ErrorReport, FromGpu, GpuModel, GpuProgress, ServeProgress, ToGpu } from "../types.js" */
/** @template {FromGpu["type"]} T @typedef {Extract<FromGpu, {type: T}>} Reply */

/** Longest wait for a cancelled run to end by itself, ms: what follows has to be done before 300, on a busy machine too. */
const PATIENCE_MS = 200;

/** How a run ended that has no result. @typedef {{type: "cancelled", forced: boolean} | {type: "error", error: ErrorReport}} Ended */

/**
 * @typedef {object} Asked a question that waits for its answer
 * @property {(reply: FromGpu | {type: "forced"}) => void} answer
 * @property {(progress: GpuProgress) => void} [progress]
 * @property {(progress: ServeProgress) => void} [serving]
 */

export class Gpu {
  /** @type {Worker} */
  #worker;
  #lastId = 0;
  /** @type {Map<number, Asked>} */
  #asked = new Map();
  /** The run that cancel is about. @type {number | null} */
  #running = null;
  /** Starts in a row that never got ready; after two there is no point in a third. */
  #failedStarts = 0;
  /** Why no worker can be had, once that is certain. @type {string | null} */
  #dead = null;
  /** @type {(models: GpuModel[]) => void} */
  #loaded = () => {};
  /** @type {(why: Error) => void} */
  #failed = () => {};
  /** The models that can be run, once the module is loaded. @type {Promise<GpuModel[]>} */
  models = new Promise((resolve, reject) => {
    this.#loaded = resolve;
    this.#failed = reject;
  });

  constructor() {
    this.#worker = this.#start();
    // Whoever asks is told; nobody asking is no fault.
    this.models.catch(() => {});
  }

  /**
   * Asks one question.
   * @template {FromGpu["type"]} T
   * @param {T} wanted the type of its answer
   * @param {(runId: number) => ToGpu} question
   * @returns {Promise<Reply<T> | Ended>}
   */
  ask(wanted, question) {
    return this.#ask(wanted, question, {}, false);
  }

  /**
   * Begins a run that can be cancelled.
   * @template {FromGpu["type"]} T
   * @param {T} wanted
   * @param {(runId: number) => ToGpu} question
   * @param {Pick<Asked, "progress" | "serving">} on
   * @returns {Promise<Reply<T> | Ended>}
   */
  run(wanted, question, on) {
    return this.#ask(wanted, question, on, true);
  }

  cancel() {
    const runId = this.#running;
    if (runId === null) return;
    this.#post({ type: "cancel", runId });
    setTimeout(() => {
      if (this.#running !== runId) return;
      // The driver holds the worker: without it the GPU's work ends too.
      this.#restart({ type: "forced" });
    }, PATIENCE_MS);
  }

  /**
   * @template {FromGpu["type"]} T
   * @param {T} wanted
   * @param {(runId: number) => ToGpu} question
   * @param {Pick<Asked, "progress" | "serving">} on
   * @param {boolean} isRun
   * @returns {Promise<Reply<T> | Ended>}
   */
  #ask(wanted, question, on, isRun) {
    this.#lastId += 1;
    const runId = this.#lastId;
    if (this.#dead !== null) return Promise.resolve({ type: "error", error: crash(this.#dead) });
    if (isRun) this.#running = runId;
    return new Promise((resolve) => {
      this.#asked.set(runId, {
        ...on,
        answer: (reply) => {
          if (isRun) this.#running = null;
          if (reply.type === wanted) resolve(/** @type {Reply<T>} */ (reply));
          else if (reply.type === "error") resolve({ type: "error", error: reply.error });
          else if (reply.type === "crashed") resolve({ type: "error", error: crash(reply.message) });
          else resolve({ type: "cancelled", forced: reply.type === "forced" });
        },
      });
      this.#post(question(runId));
    });
  }

  /** @param {ToGpu} message */
  #post(message) {
    this.#worker.postMessage(message);
  }

  #start() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      if (worker === this.#worker) this.#receive(data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#crashed(event.message || "the worker could not be loaded");
    });
    return worker;
  }

  /** @param {{type: "forced"} | {type: "crashed", runId: number, message: string}} why */
  #restart(why) {
    this.#worker.terminate();
    if (this.#dead === null) this.#worker = this.#start();
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { answer } of asked) answer(why);
  }

  /** @param {string} message */
  #crashed(message) {
    this.#failedStarts += 1;
    if (this.#failedStarts > 2) {
      this.#dead = message;
      this.#failed(new Error(message));
    }
    this.#restart({ type: "crashed", runId: 0, message });
  }

  /** @param {FromGpu} reply */
  #receive(reply) {
    switch (reply.type) {
      case "ready":
        this.#failedStarts = 0;
        this.#loaded(reply.models);
        return;
      case "crashed":
        this.#crashed(reply.message);
        return;
      case "progress":
        this.#asked.get(reply.runId)?.progress?.(reply.progress);
        return;
      case "serving":
        this.#asked.get(reply.runId)?.serving?.(reply.progress);
        return;
    }
    const asked = this.#asked.get(reply.runId);
    this.#asked.delete(reply.runId);
    asked?.answer(reply);
  }
}

/** A crash as the page shows errors. @param {string} message @returns {ErrorReport} */
const crash = (message) => ({ code: "crashed", message, file: null, row: null, field: null });
