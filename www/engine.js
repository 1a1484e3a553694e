// The page's side of a worker that simulates: starts it, asks it, and starts a fresh one when it
// crashes.

/** @import { FromWorker, Policy, Scenario, ToWorker, TraceFile } from "./types.js" */
/** @typedef {Extract<FromWorker, {type: "trace" | "progress" | "result" | "done" | "error"}>} RunReply */

/**
 * @typedef {object} Job
 * @property {Scenario} scenario
 * @property {Policy[]} policies
 * @property {TraceFile | null} file
 */

/**
 * @template Reply
 * @typedef {object} Listener
 * @property {(reply: Reply) => void} reply of the newest run only
 * @property {(message: string, again: boolean) => void} crashed `again`: the same run crashed
 *   twice and is not tried a third time
 */

/** What every worker says, whatever else it does. @typedef {{type: string, runId?: number}} Message */

/**
 * @template {{file: TraceFile | null}} RunJob what a run is of
 * @template {Message} From what the worker says
 * @template {From} Reply what it says of a run
 * @template To what it is told
 */
export class Desk {
  /** @type {Listener<Reply>} */
  #listener;
  /** @type {() => Worker} */
  #open;
  /** @type {Worker} */
  #worker;
  #lastId = 0;
  /** The newest run, for a fresh worker to repeat. @type {{runId: number, job: RunJob, tries: number} | null} */
  #current = null;
  #reading = false;
  /** Starts in a row that never got ready; after two there is no point in a third. */
  #failedStarts = 0;
  /** Questions that wait for their answer. @type {Map<number, (reply: From | {type: "cancelled"}) => void>} */
  #questions = new Map();

  /**
   * @param {Listener<Reply>} listener
   * @param {() => Worker} open
   */
  constructor(listener, open) {
    this.#listener = listener;
    this.#open = open;
    this.#worker = this.#start();
  }

  /** Starts a run; an older one is cancelled. @param {RunJob} job */
  run(job) {
    this.#lastId += 1;
    const before = this.#current;
    this.#current = { runId: this.#lastId, job, tries: 1 };
    // Reading a file cannot be interrupted from inside: when it is no longer wanted, begin anew.
    if (this.#reading && before?.job.file?.id !== job.file?.id) this.#restart();
    this.#send();
    return this.#lastId;
  }

  /** Ends the worker; nothing can be asked after that. */
  end() {
    this.#current = null;
    this.#worker.terminate();
  }

  /** Asks beside the runs. @param {(runId: number) => To} question @returns {Promise<From | {type: "cancelled"}>} */
  ask(question) {
    this.#lastId += 1;
    const runId = this.#lastId;
    return new Promise((resolve) => {
      this.#questions.set(runId, resolve);
      this.#post(question(runId));
    });
  }

  /** @param {unknown} message */
  #post(message) {
    this.#worker.postMessage(message);
  }

  #send() {
    if (this.#current === null) return;
    const { runId, job } = this.#current;
    this.#post({ type: "run", runId, ...job });
  }

  #start() {
    const worker = this.#open();
    worker.addEventListener("message", (event) => {
      if (worker === this.#worker) this.#receive(event.data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#crashed(event.message || "the worker could not be loaded");
    });
    return worker;
  }

  #restart() {
    this.#worker.terminate();
    this.#reading = false;
    for (const resolve of this.#questions.values()) resolve({ type: "cancelled" });
    this.#questions.clear();
    this.#worker = this.#start();
  }

  /** @param {string} message */
  #crashed(message) {
    this.#failedStarts += 1;
    const again = this.#failedStarts > 2 || this.#current === null || this.#current.tries > 1;
    if (this.#failedStarts <= 2) this.#restart();
    this.#listener.crashed(message, again);
    if (this.#current === null || again) return;
    this.#current.tries += 1;
    this.#send();
  }

  /** @param {any} reply From, which TypeScript cannot tell apart by `type` while it is a parameter */
  #receive(reply) {
    if (reply.type === "ready") {
      this.#failedStarts = 0;
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
    this.#reading = reply.type === "progress" && reply.stage === "reading";
    if (reply.runId !== this.#current?.runId) return;
    switch (reply.type) {
      case "trace":
      case "progress":
      case "result":
      case "done":
      case "error":
        this.#listener.reply(reply);
    }
  }
}

/** The simulator's worker. @extends {Desk<Job, FromWorker, RunReply, ToWorker>} */
export class Engine extends Desk {
  /** @param {Listener<RunReply>} listener */
  constructor(listener) {
    super(listener, () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
  }

  /** Every request of a scheduler's last run. @param {Policy} policy @returns {Promise<Blob>} */
  async csv(policy) {
    const reply = await this.ask((runId) => ({ type: "csv", runId, policy }));
    if (reply.type !== "csv") throw new Error(reply.type === "error" ? reply.error.message : reply.type);
    return reply.blob;
  }

  /** Batches and requests of a scheduler's last run; null where a newer run took its place. @param {Policy} policy */
  async timeline(policy) {
    const reply = await this.ask((runId) => ({ type: "timeline", runId, policy }));
    return reply.type === "timeline" ? reply : null;
  }

  /** @returns {Promise<number>} */
  async seed() {
    const reply = await this.ask((runId) => ({ type: "seed", runId }));
    if (reply.type !== "seed") throw new Error(reply.type);
    return reply.seed;
  }
}
