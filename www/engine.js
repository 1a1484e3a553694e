// The page's side of a worker that simulates: starts it, asks it, and starts a fresh one when it
// crashes.

import { OUT_OF_MEMORY } from "./replies.js";
import { NOTICE } from "./words.js";

/** @import { ErrorReport, FromWorker, Policy, Scenario, ToWorker, TraceFile } from "./types.js" */
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
 *   twice, or would, and is not tried once more
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

  /** What is run is not wanted any more. */
  stop() {
    if (this.#current !== null) this.#post({ type: "cancel", runId: this.#current.runId });
    this.#current = null;
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
    const again = this.#failedStarts > 2 || message === OUT_OF_MEMORY || this.#current === null || this.#current.tries > 1;
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
    return expect(await this.ask((runId) => ({ type: "csv", runId, policy })), "csv").blob;
  }

  /** Batches and requests of a scheduler's last run; null where a newer run took its place. @param {Policy} policy */
  async timeline(policy) {
    const reply = await this.ask((runId) => ({ type: "timeline", runId, policy }));
    return reply.type === "timeline" ? reply : null;
  }

  /** @returns {Promise<number>} */
  async seed() {
    const reply = await this.ask((runId) => ({ type: "seed", runId }));
    // The worker was exchanged: any other has seeds too.
    return reply.type === "cancelled" ? this.seed() : expect(reply, "seed").seed;
  }
}

/**
 * The reply, or what went wrong as an exception whose message is for the reader.
 * @template {{type: string}} R
 * @template {R["type"]} T
 * @param {R | {type: "error", error: ErrorReport} | {type: "cancelled"}} reply
 * @param {T} type
 */
export function expect(reply, type) {
  if (reply.type === type) return /** @type {Extract<R, {type: T}>} */ (reply);
  if (reply.type === "cancelled") throw new Error(NOTICE.superseded);
  throw new Error("error" in reply ? reply.error.message : reply.type);
}

/** A run shorter than this is not worth a second worker, which would need the trace as well, ms. */
const WORTH_MS = 40;
/** A file above this is read by one worker only, bytes: each holds what it has read. */
const SHARED_BYTES = 64e6;
/** Workers at once, at most. */
const MOST_WORKERS = 4;

/** One of a crew, with what it works at and how far it is. @typedef {{engine: Engine, share: {policies: Policy[], done: number, runId: number} | null}} Member */

/**
 * Simulators that share the schedulers of a run between them. One is enough until a run has taken long;
 * the replies are those of one.
 */
export class Crew {
  /** @type {Listener<RunReply>} */
  #listener;
  /** @type {Member[]} */
  #members = [];
  #lastId = 0;
  /** The newest run, while it has not ended. @type {{runId: number, traced: boolean} | null} */
  #current = null;
  #wanted = 1;
  /** How long each scheduler took last, ms. @type {Map<Policy, number>} */
  #took = new Map();
  /** Who has the outcome of a scheduler's last run. @type {Map<Policy, Engine>} */
  #holder = new Map();

  /** @param {Listener<RunReply>} listener */
  constructor(listener) {
    this.#listener = listener;
    this.#add();
  }

  /** Starts a run; an older one is cancelled. @param {Job} job */
  run(job) {
    this.#lastId += 1;
    this.#current = { runId: this.#lastId, traced: false };
    const most = job.file !== null && job.file.blob.size > SHARED_BYTES ? 1 : Math.min(this.#wanted, job.policies.length);
    while (this.#members.length < most) this.#add();
    // The longest first, each to whom has least to do.
    /** @type {{policies: Policy[], ms: number}[]} */
    const shares = Array.from({ length: Math.max(1, most) }, () => ({ policies: [], ms: 0 }));
    const longest = [...job.policies].sort((a, b) => (this.#took.get(b) ?? 0) - (this.#took.get(a) ?? 0));
    for (const policy of longest) {
      const least = shares.reduce((a, b) => (b.ms < a.ms ? b : a));
      least.policies.push(policy);
      least.ms += (this.#took.get(policy) ?? 0) + 1e-3;
    }
    this.#holder.clear();
    for (const [i, member] of this.#members.entries()) {
      const policies = shares[i]?.policies ?? [];
      if (policies.length === 0) {
        // What it still works at is not wanted any more.
        if (member.share !== null) member.engine.stop();
        member.share = null;
        continue;
      }
      for (const policy of policies) this.#holder.set(policy, member.engine);
      member.share = { policies, done: 0, runId: member.engine.run({ ...job, policies }) };
    }
    return this.#lastId;
  }

  /** Every request of a scheduler's last run. @param {Policy} policy */
  csv(policy) {
    return this.#of(policy).csv(policy);
  }

  /** Batches and requests of a scheduler's last run; null where a newer run took its place. @param {Policy} policy */
  timeline(policy) {
    return this.#of(policy).timeline(policy);
  }

  seed() {
    return this.#first().seed();
  }

  /** @param {Policy} policy */
  #of(policy) {
    return this.#holder.get(policy) ?? this.#first();
  }

  #first() {
    return /** @type {{engine: Engine}} */ (this.#members[0]).engine;
  }

  #add() {
    /** @type {Member} */
    const member = {
      engine: new Engine({
        reply: (reply) => this.#receive(member, reply),
        crashed: (message, givenUp) => {
          if (givenUp) member.share = null;
          this.#listener.crashed(message, givenUp);
        },
      }),
      share: null,
    };
    this.#members.push(member);
  }

  /** @type {(member: Member, reply: RunReply) => void} */
  #receive(member, reply) {
    const [run, { share }] = [this.#current, member];
    if (run === null || share === null || reply.runId !== share.runId) return;
    const { runId } = run;
    switch (reply.type) {
      case "trace":
        // All read the same.
        if (!run.traced) this.#listener.reply({ ...reply, runId });
        run.traced = true;
        return;
      case "progress": {
        share.done = reply.done;
        const shares = this.#members.flatMap((one) => one.share ?? []);
        const all = shares.reduce((sum, { policies }) => sum + policies.length, 0);
        const done = shares.reduce((sum, one) => sum + one.done * one.policies.length, 0) / all;
        this.#listener.reply({ ...reply, runId, done });
        return;
      }
      case "result":
        this.#took.set(reply.result.policy, reply.result.simulated_ms);
        this.#listener.reply({ ...reply, runId });
        return;
      case "error":
        // The others' word on the same scenario would be the same.
        this.#current = null;
        this.#listener.reply({ ...reply, runId });
        return;
      case "done": {
        share.done = 1;
        share.runId = -1;
        if (this.#members.some((one) => one.share !== null && one.share.runId >= 0)) return;
        const simulated = [...this.#took.values()].reduce((sum, ms) => sum + ms, 0);
        if (simulated > WORTH_MS) this.#wanted = Math.min(MOST_WORKERS, navigator.hardwareConcurrency ?? 1);
        this.#current = null;
        this.#listener.reply({ ...reply, runId });
      }
    }
  }
}
