// Exercises for a class: a promise that the settings break, and a few controls to keep it with. Each is
// checked by the simulator, and each can be solved: tests/node/challenges.test.mjs does.

import { BURSTS, DEFAULT_SCENARIO, setPath } from "../state.js";

/** @import { RunResult, Scenario } from "../types.js" */

/**
 * @typedef {object} Challenge
 * @property {string} id words.js has its words
 * @property {[string, unknown][]} from what differs from the page's own settings with a load in bursts at the start
 * @property {string[]} free controls that may be moved
 * @property {"multi-bin-dynamic" | "dynamic" | "multi-bin" | "static-fifo"} policy whose run is judged
 * @property {(result: RunResult["summary"]) => {value: number, met: boolean}} judge
 * @property {[string, unknown][]} solution one of them
 */

/** @type {readonly Challenge[]} */
export const CHALLENGES = [
  {
    id: "bins",
    from: [["fleet.gpus", 16], ["bins.count", 1], ["engine.closed.max_batch", 128]],
    free: ["bins", "maxBatch"],
    policy: "multi-bin-dynamic",
    judge: (summary) => {
      const p99 = summary.honest.e2e_s?.p99 ?? Infinity;
      return { value: p99, met: p99 <= 37 };
    },
    solution: [["bins.count", 8], ["engine.closed.max_batch", 16]],
  },
  {
    id: "fleet",
    from: [["fleet.gpus", 16]],
    free: ["gpus"],
    policy: "multi-bin-dynamic",
    judge: (summary) => {
      const kept = summary.honest.sla.joint ?? 0;
      return { value: kept, met: kept >= 0.95 && summary.scenario.fleet.gpus <= 48 };
    },
    solution: [["fleet.gpus", 48]],
  },
  {
    id: "static",
    from: [["fleet.gpus", 16], ["engine.closed.static_batch", 1]],
    free: ["staticBatch"],
    policy: "static-fifo",
    judge: atLeast(0.75),
    solution: [["engine.closed.static_batch", 16]],
  },
  {
    id: "waiting",
    from: [["fleet.gpus", 16], ["bins.full_batch", 32], ["bins.count", 8]],
    free: ["bins", "fullBatch"],
    policy: "multi-bin",
    judge: atLeast(0.7),
    solution: [["bins.full_batch", 4], ["bins.count", 4]],
  },
];

/** So large a share within the request SLA. @type {(share: number) => Challenge["judge"]} */
function atLeast(share) {
  return (summary) => {
    const kept = summary.honest.sla.request ?? 0;
    return { value: kept, met: kept >= share };
  };
}

/** The settings that a challenge begins with. @param {Challenge} challenge @returns {Scenario} */
export function begin({ from }) {
  const scenario = structuredClone(DEFAULT_SCENARIO);
  for (const [path, value] of [...BURSTS, ...from]) setPath(scenario, path, value);
  return scenario;
}
