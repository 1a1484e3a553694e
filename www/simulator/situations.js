// Situations to begin from: a load, a fleet and promises that belong together. What they are called is
// in ../words.js.

import { defaultState, same, setPath } from "../state.js";

/** @import { Scenario } from "../types.js" */

/** What differs from the default, by path. @type {[string, [string, unknown][]][]} */
const CHANGES = [
  ["chat-peak", [["workload.time_scale", 200], ["fleet.gpus", 28], ["trace.synthetic.requests", 20_000]]],
  ["batch-burst", [["workload.time_scale", 100_000], ["fleet.gpus", 8], ["sla.token_ms", 100], ["sla.request_s", 600], ["engine.closed.max_batch", 256]]],
  ["one-gpu", [["workload.time_scale", 5], ["fleet.gpus", 1], ["trace.synthetic.requests", 2000], ["sla.request_s", 30]]],
];

/** @type {readonly {id: string, make: () => Scenario}[]} */
export const SITUATIONS = CHANGES.map(([id, changes]) => ({
  id,
  make() {
    const { scenario } = defaultState();
    for (const [path, value] of changes) setPath(scenario, path, value);
    return scenario;
  },
}));

/** The situation that a scenario is, if it is one. @param {Scenario} scenario */
export const inForce = (scenario) => SITUATIONS.find(({ make }) => same(make(), scenario))?.id;
