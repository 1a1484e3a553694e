// The page's side of the coordinator: starts it, asks it, and starts a fresh one when it crashes.

/** @import { ErrorReport, FromStudies, NamedBlob, StudyInfo, StudyJob, StudyProgress, StudyResult, ToStudies } from "../types.js" */

/** Runners beyond these gain nothing: memory is shared. */
const MOST_RUNNERS = 8;

/**
 * @typedef {object} Listener of the newest run
 * @property {(progress: StudyProgress) => void} progress
 * @property {(sentence: string) => void} said
 * @property {(result: StudyResult) => void} done
 * @property {() => void} cancelled
 * @property {(error: ErrorReport) => void} error
 * @property {(message: string) => void} crashed the coordinator; a fresh one has taken its place
 */

export class Studies {
  #listener;
  /** @type {Worker} */
  #worker;
  #lastId = 0;
  /** @type {number | null} */
  #running = null;
  /** Starts in a row that never got ready. */
  #failedStarts = 0;
  /** Questions that wait for their answer. @type {Map<number, (reply: FromStudies | null) => void>} */
  #questions = new Map();
  /** @type {(studies: StudyInfo[]) => void} */
  #loaded = () => {};
  /** @type {(reason: Error) => void} */
  #failed = () => {};
  /** The studies there are, once the module is loaded. @type {Promise<StudyInfo[]>} */
  list;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
    this.list = new Promise((resolve, reject) => {
      this.#loaded = resolve;
      this.#failed = reject;
    });
    this.#worker = this.#start();
  }

  /** How many runs go on at a time. */
  get runners() {
    return Math.max(1, Math.min(navigator.hardwareConcurrency || 1, MOST_RUNNERS));
  }

  /** @param {StudyJob} job */
  run(job) {
    this.cancel();
    this.#lastId += 1;
    this.#running = this.#lastId;
    this.#post({ type: "run", runId: this.#lastId, job, runners: this.runners });
  }

  cancel() {
    if (this.#running !== null) this.#post({ type: "cancel", runId: this.#running });
  }

  /**
   * The first step's runs and requests; null where a crash took the answer.
   * @param {StudyJob} job
   * @returns {Promise<{runs: number, requests: number} | ErrorReport | null>}
   */
  async plan(job) {
    const reply = await this.#ask((runId) => ({ type: "plan", runId, job }));
    if (reply?.type === "planned") return { runs: reply.runs, requests: reply.requests };
    return reply?.type === "error" ? reply.error : null;
  }

  /** Files in one archive. @param {NamedBlob[]} files @returns {Promise<Blob | null>} */
  async zip(files) {
    const reply = await this.#ask((runId) => ({ type: "zip", runId, files }));
    return reply?.type === "zip" ? reply.blob : null;
  }

  /** @param {(runId: number) => ToStudies} question @returns {Promise<FromStudies | null>} */
  #ask(question) {
    this.#lastId += 1;
    const runId = this.#lastId;
    return new Promise((resolve) => {
      this.#questions.set(runId, resolve);
      this.#post(question(runId));
    });
  }

  /** @param {ToStudies} message */
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
    /** @type {ToStudies} */
    const first = { type: "list" };
    worker.postMessage(first);
    return worker;
  }

  /** @param {string} message */
  #crashed(message) {
    this.#worker.terminate();
    this.#failedStarts += 1;
    if (this.#failedStarts > 2) this.#failed(new Error(message));
    else this.#worker = this.#start();
    for (const resolve of this.#questions.values()) resolve(null);
    this.#questions.clear();
    if (this.#running === null) return;
    this.#running = null;
    this.#listener.crashed(message);
  }

  /** @param {FromStudies} reply */
  #receive(reply) {
    if (reply.type === "ready") {
      this.#failedStarts = 0;
      this.#loaded(reply.studies);
      return;
    }
    if (reply.type === "crashed") {
      this.#crashed(reply.message);
      return;
    }
    const question = this.#questions.get(reply.runId);
    if (question !== undefined) {
      this.#questions.delete(reply.runId);
      question(reply);
      return;
    }
    if (reply.runId !== this.#running) return;
    switch (reply.type) {
      case "progress":
        this.#listener.progress(reply.progress);
        return;
      case "said":
        this.#listener.said(reply.sentence);
        return;
      case "done":
        this.#running = null;
        this.#listener.done(reply.result);
        return;
      case "cancelled":
        this.#running = null;
        this.#listener.cancelled();
        return;
      case "error":
        this.#running = null;
        this.#listener.error(reply.error);
    }
  }
}
