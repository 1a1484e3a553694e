// What the figures of the article ask of the simulator, over one wasm module: in a worker, and in Node.js
// for the pictures that stand in index.html.

/** @import { Cost, Policy, Scenario, Summary, BatchColumns, ControllerColumns, RequestColumns, SeriesColumns } from "../types.js" */

/** Events of a slice. */
const EVENTS = 1 << 30;

/** The exports of pkg/batchscope.js that are used here. @typedef {Pick<typeof import("../../pkg/batchscope.js"), "Engine" | "stepCosts" | "uniformThroughput">} Core */
/** Those of pkg-studies/batchscope.js. @typedef {Pick<typeof import("../../pkg-studies/batchscope.js"), "Engine">} Continuous */

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
  /** @type {Map<string, {engine: any, trace: string}>} */
  #engines = new Map();

  /**
   * @param {Core} core
   * @param {() => Promise<Continuous>} continuous loads the module with continuous batching
   */
  constructor(core, continuous) {
    this.core = core;
    this.continuous = continuous;
  }

  /** A run of closed batches. @type {(scenario: Scenario, policy?: Policy) => Ran} */
  run(scenario, policy = scenario.scheduler.policy) {
    return this.#run("closed", this.core.Engine, { ...scenario, scheduler: { ...scenario.scheduler, policy } });
  }

  /** A run of continuous batching. @param {Scenario} scenario @returns {Promise<Ran>} */
  async serve(scenario) {
    return this.#run("continuous", (await this.continuous()).Engine, scenario);
  }

  /** @type {(which: string, Engine: new () => any, scenario: Scenario) => Ran} */
  #run(which, Engine, scenario) {
    let held = this.#engines.get(which);
    if (held === undefined) {
      held = { engine: new Engine(), trace: "" };
      this.#engines.set(which, held);
    }
    const trace = JSON.stringify([scenario.trace, scenario.seed]);
    if (held.trace !== trace) {
      held.engine.generate(scenario);
      held.trace = trace;
    }
    held.engine.begin(scenario);
    while (!held.engine.advance(EVENTS));
    return new Ran(held.engine, "run", held.engine.finish("run"));
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
