// What the figures of the article ask of the simulator, over one wasm module: in a worker, and in Node.js
// for the pictures that stand in index.html.

/** @import { Cost, Policy, Scenario, Summary, BatchColumns, ControllerColumns, RequestColumns, SeriesColumns } from "../types.js" */

import { withPolicy } from "../scenario.js";

/** Events of a slice. */
const EVENTS = 1 << 30;

/** The exports of pkg/batchscope.js that are used here. @typedef {Pick<typeof import("../../pkg/batchscope.js"), "Engine" | "stepCosts" | "uniformThroughput">} Core */

/** A run, and what else can be asked of it before the next run under its name. */
export class Ran {
  /** @param {import("../../pkg/batchscope.js").Engine} engine @param {string} key @param {Summary} summary */
  constructor(engine, key, summary) {
    this.engine = engine;
    this.key = key;
    this.summary = summary;
  }

  /** @param {number} buckets @returns {SeriesColumns} */
  series(buckets) {
    return this.engine.series(this.key, buckets);
  }

  /** @returns {RequestColumns} */
  requests() {
    return this.engine.requests(this.key);
  }

  /** @returns {BatchColumns} */
  batches() {
    return this.engine.batches(this.key);
  }

  /** @param {number} bin @returns {ControllerColumns} */
  controller(bin) {
    return this.engine.controller(this.key, bin);
  }
}

export class Sim {
  /** What the engine's trace was made from. */
  #trace = "";

  /** @param {Core} core */
  constructor(core) {
    this.core = core;
    this.engine = new core.Engine();
  }

  /** @type {(scenario: Scenario, policy?: Policy) => Ran} */
  run(scenario, policy) {
    const { engine } = this;
    const trace = JSON.stringify([scenario.trace, scenario.seed]);
    if (this.#trace !== trace) {
      engine.generate(scenario);
      this.#trace = trace;
    }
    engine.begin(policy === undefined ? scenario : withPolicy(scenario, policy));
    while (!engine.advance(EVENTS));
    return new Ran(engine, "run", engine.finish("run"));
  }

  /** @type {(model: string, card: string, precision: string, context: number, sequences: number[]) => Cost} */
  costs(model, card, precision, context, sequences) {
    return this.core.stepCosts(model, card, precision, context, Float64Array.from(sequences));
  }

  /** @type {(batch: number, low: number, high: number, bins: number[]) => Float64Array} */
  theory(batch, low, high, bins) {
    return this.core.uniformThroughput(batch, low, high, Float64Array.from(bins));
  }
}
