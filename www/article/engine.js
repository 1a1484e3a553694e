// The page's side of the worker that computes figures: asks it, and starts a fresh one when it crashes.

/** @import { ErrorReport } from "../types.js" */
/** @import { Settings } from "./figures.js" */

/** @typedef {{asker: number, figure: string, settings: Settings, tries: number, resolve: (data: any) => void, reject: (why: Error) => void}} Asked */

/** A question that a newer one of the same asker has overtaken. */
export const OLDER = Symbol("older");

export class FigureEngine {
  /** @type {Worker | null} */
  #worker = null;
  #lastId = 0;
  #askers = 0;
  /** @type {Map<number, Asked>} */
  #asked = new Map();
  /** Starts in a row that never got ready; after two there is no point in a third. */
  #failedStarts = 0;

  /** A number for who asks: a page may have a figure twice. */
  asker() {
    this.#askers += 1;
    return this.#askers;
  }

  /** A figure's data; [`OLDER`] where the asker asks again before. @type {(asker: number, figure: string, settings: Settings) => Promise<any>} */
  compute(asker, figure, settings) {
    return new Promise((resolve, reject) => this.#send({ asker, figure, settings, tries: 0, resolve, reject }));
  }

  /** @param {Asked} asked */
  #send(asked) {
    this.#lastId += 1;
    asked.tries += 1;
    this.#asked.set(this.#lastId, asked);
    this.#worker ??= this.#start();
    this.#worker.postMessage({ runId: this.#lastId, asker: asked.asker, figure: asked.figure, settings: asked.settings });
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

  /** @param {any} reply */
  #receive(reply) {
    if (reply.type === "ready") this.#failedStarts = 0;
    if (reply.type === "crashed") this.#crashed(reply.message);
    const asked = this.#asked.get(reply.runId);
    if (asked === undefined) return;
    this.#asked.delete(reply.runId);
    if (reply.type === "data") asked.resolve(reply.data);
    else if (reply.type === "refused") asked.reject(new Error(/** @type {ErrorReport} */ (reply.error).message));
    else asked.resolve(OLDER);
  }

  /** Ends the worker and asks a fresh one what it left open, each question once more. @param {string} message */
  #crashed(message) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#failedStarts += 1;
    const open = [...this.#asked.values()];
    this.#asked.clear();
    for (const asked of open) {
      if (asked.tries > 1 || this.#failedStarts > 2) asked.reject(new Error(message));
      else this.#send(asked);
    }
  }
}
