// The page's side of the laboratory's worker: ../engine.js does the work.

import { Desk, expect } from "../engine.js";

/** @import { FromLab, LabJob, StepTimes, ToLab, TraceFile } from "../types.js" */
/** @import { Listener } from "../engine.js" */
/** @typedef {Extract<FromLab, {type: "trace" | "progress" | "result" | "done" | "error"}>} LabReply */
/** @typedef {{runs: LabJob[], keep: string[], file: TraceFile | null}} LabRuns */

/** @extends {Desk<LabRuns, FromLab, LabReply, ToLab>} */
export class Lab extends Desk {
  /** @param {Listener<LabReply>} listener */
  constructor(listener) {
    super(listener, () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
  }

  /** Every request of a run. @type {(run: LabJob, file: TraceFile | null) => Promise<Blob>} */
  async csv(run, file) {
    return expect(await this.ask((runId) => ({ type: "csv", runId, run, file })), "csv").blob;
  }

  /** Every step of a run, as trace events. @type {(run: LabJob, file: TraceFile | null) => Promise<Blob>} */
  async steps(run, file) {
    return expect(await this.ask((runId) => ({ type: "steps", runId, run, file })), "steps").blob;
  }

  /** Step times out of a file. @type {(name: string, text: string) => Promise<StepTimes>} */
  async latency(name, text) {
    return expect(await this.ask((runId) => ({ type: "latency", runId, name, text })), "latency").times;
  }

  /** @returns {Promise<number>} */
  async seed() {
    const reply = await this.ask((runId) => ({ type: "seed", runId }));
    return reply.type === "cancelled" ? this.seed() : expect(reply, "seed").seed;
  }
}
