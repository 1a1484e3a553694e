// The page's side of the worker that searches.

import { errorSentence } from "../words.js";

/** @import { FromSearch, ToSearch } from "../types.js" */

/** @template T @template {PropertyKey} K @typedef {T extends unknown ? Omit<T, K> : never} Without */
/** @typedef {Without<ToSearch, "runId">} Question */

/** What was asked is not wanted any more. */
export const CANCELLED = Symbol("cancelled");

/** Searches one after the other, until they are cancelled. */
export class Searcher {
  /** @type {Worker | null} */
  #worker = null;
  #lastId = 0;
  /** @type {((answer: typeof CANCELLED) => void) | null} */
  #giveUp = null;

  /**
   * The answer, or [`CANCELLED`]; what the core refuses is an exception with its sentence.
   * @template {Question["type"]} T
   * @param {Question & {type: T}} question
   * @param {(number: number) => void} trying
   * @returns {Promise<Extract<FromSearch, {type: T}> | typeof CANCELLED>}
   */
  ask(question, trying) {
    this.#lastId += 1;
    const runId = this.#lastId;
    const worker = (this.#worker ??= new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
    return new Promise((resolve, reject) => {
      /** @param {string} why */
      const fail = (why) => {
        this.cancel();
        reject(new Error(why));
      };
      this.#giveUp = resolve;
      worker.onerror = (event) => {
        event.preventDefault();
        fail(event.message || "the worker could not be loaded");
      };
      worker.onmessage = ({ data }) => {
        /** @type {FromSearch} */
        const reply = data;
        if (reply.runId !== runId) return;
        if (reply.type === "trying") trying(reply.number);
        else if (reply.type === "error") reject(new Error(errorSentence(reply.error)));
        else if (reply.type === "crashed") fail(reply.message);
        else resolve(/** @type {any} */ (reply));
      };
      worker.postMessage({ ...question, runId });
    });
  }

  /** Ends what is searched, and the worker with it: its memory is given back. */
  cancel() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#giveUp?.(CANCELLED);
    this.#giveUp = null;
  }
}
