// Situations to begin from: a load, a server and promises that belong together, for all four ways to
// serve. What they are called is in ../words.js.

import { same } from "../state.js";
import { SHAPES, firstRuns, withSetting } from "./state.js";

/** @import { LabRun } from "./state.js" */

/** What differs from what the laboratory opens with, by path; in this order. @type {[string, [string, unknown][]][]} */
const CHANGES = [
  [
    "chat-peak",
    [
      ["on.hardware", "h100"],
      ["trace.synthetic.shape", SHAPES.poisson],
      ["workload.time_scale", 20],
      ["sla.ttft_s", 1],
      ["sla.token_ms", 40],
      ["sla.request_s", 30],
    ],
  ],
  [
    "batch-burst",
    [
      ["on.hardware", "h100"],
      ["trace.synthetic.shape", SHAPES.poisson],
      ["trace.synthetic.requests", 5000],
      ["workload.time_scale", 100_000],
      ["sla.ttft_s", null],
      ["sla.token_ms", 200],
      ["sla.request_s", 120],
    ],
  ],
  [
    "one-gpu",
    [
      ["workload.closed_loop", { users: 64, requests_per_user: 50, think_min_s: 1, think_max_s: 10 }],
      ["trace.synthetic.requests", 4000],
    ],
  ],
];

/** @type {readonly {id: string, make: () => LabRun[]}[]} */
export const SITUATIONS = CHANGES.map(([id, changes]) => ({
  id,
  make: () => firstRuns().map((run) => ({ ...run, settings: changes.reduce((settings, [path, value]) => withSetting(settings, path, value), run.settings) })),
}));

/** The situation that runs are, if they are one. @param {LabRun[]} runs */
export const inForce = (runs) => SITUATIONS.find(({ make }) => same(make(), runs))?.id;
