// The page's side of the coordinator: starts it, asks it, and starts a fresh one when it crashes.

/** @import { ErrorReport, FromStudies, NamedBlob, RecognisedFile, ReproduceJob, ReproduceResult, StudyInfo, StudyJob, StudyProgress, StudyResult, ToStudies, TraceFile } from "../types.js" */

/** Runners beyond these gain nothing: memory is shared. */
const MOST_RUNNERS = 8;

/**
 * @typedef {object} Listener of a run
 * @property {(progress: StudyProgress) => void} progress
 * @property {() => void} cancelled also where a run of another kind took its place
 * @property {(error: ErrorReport) => void} error
 * @property {(message: string) => void} crashed the coordinator; a fresh one has taken its place
 */

/** @typedef {Listener & {said: (sentence: string) => void, done: (result: StudyResult) => void}} StudyListener */
/** @typedef {Listener & {reproduced: (result: ReproduceResult) => void}} ReproduceListener */
/** @typedef {Listener & Partial<StudyListener> & Partial<ReproduceListener>} AnyListener */

export class Studies {
  #listener;
  /** @type {Worker} */
  #worker;
  #lastId = 0;
  /** @type {{runId: number, listener: AnyListener} | null} */
  #running = null;
  /** Starts in a row that never got ready. */
  #failedStarts = 0;
  /** Questions that wait for their answer. @type {Map<number, {answer: (reply: FromStudies) => void, progress: (progress: StudyProgress) => void}>} */
  #questions = new Map();
  /** @type {(studies: StudyInfo[]) => void} */
  #loaded = () => {};
  /** @type {(reason: Error) => void} */
  #failed = () => {};
  /** The studies there are, once the module is loaded. @type {Promise<StudyInfo[]>} */
  list;

  /** @param {StudyListener} listener */
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
    const runId = this.#begin(this.#listener);
    this.#post({ type: "run", runId, job, runners: this.runners });
  }

  /** @type {(job: ReproduceJob, listener: ReproduceListener) => void} */
  reproduce(job, listener) {
    const runId = this.#begin(listener);
    this.#post({ type: "reproduce", runId, job, runners: this.runners });
  }

  /** The newest run's number; one in progress ends. @param {AnyListener} listener */
  #begin(listener) {
    this.cancel();
    const before = this.#running?.listener;
    this.#lastId += 1;
    this.#running = { runId: this.#lastId, listener };
    if (before !== listener) before?.cancelled();
    return this.#lastId;
  }

  cancel() {
    if (this.#running !== null) this.#post({ type: "cancel", runId: this.#running.runId });
  }

  /**
   * The first step's runs and requests; null where a crash took the answer.
   * @param {StudyJob} job
   * @returns {Promise<{runs: number, requests: number} | ErrorReport | null>}
   */
  async plan(job) {
    const reply = await this.#ask((runId) => ({ type: "plan", runId, job }));
    if (reply.type === "planned") return { runs: reply.runs, requests: reply.requests };
    return reply.type === "error" ? reply.error : null;
  }

  /**
   * What a file is, as to published figures; a string says how the coordinator crashed over it.
   * @param {TraceFile} file
   * @param {TraceFile | null} rows of published result files, instead of the built-in figures
   * @param {(progress: StudyProgress) => void} progress
   * @returns {Promise<RecognisedFile | ErrorReport | string>}
   */
  async recognise(file, rows, progress) {
    const reply = await this.#ask((runId) => ({ type: "recognise", runId, file, rows }), progress);
    if (reply.type === "recognised") return reply.recognised;
    if (reply.type === "error") return reply.error;
    return reply.type === "crashed" ? reply.message : reply.type;
  }

  /** Files in one archive. @param {NamedBlob[]} files @returns {Promise<Blob | null>} */
  async zip(files) {
    const reply = await this.#ask((runId) => ({ type: "zip", runId, files }));
    return reply.type === "zip" ? reply.blob : null;
  }

  /** @type {(question: (runId: number) => ToStudies, progress?: (progress: StudyProgress) => void) => Promise<FromStudies>} */
  #ask(question, progress = () => {}) {
    this.#lastId += 1;
    const runId = this.#lastId;
    return new Promise((answer) => {
      this.#questions.set(runId, { answer, progress });
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
    for (const [runId, { answer }] of this.#questions) answer({ type: "crashed", runId, message });
    this.#questions.clear();
    const running = this.#running;
    this.#running = null;
    running?.listener.crashed(message);
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
      if (reply.type === "progress") {
        question.progress(reply.progress);
        return;
      }
      this.#questions.delete(reply.runId);
      question.answer(reply);
      return;
    }
    if (reply.runId !== this.#running?.runId) return;
    const { listener } = this.#running;
    if (reply.type === "progress") {
      listener.progress(reply.progress);
      return;
    }
    if (reply.type === "said") {
      listener.said?.(reply.sentence);
      return;
    }
    this.#running = null;
    switch (reply.type) {
      case "done":
        listener.done?.(reply.result);
        return;
      case "reproduced":
        listener.reproduced?.(reply.result);
        return;
      case "cancelled":
        listener.cancelled();
        return;
      case "error":
        listener.error(reply.error);
    }
  }
}
