// The laboratory's state: every setting has its words, its place in the scenario and its way through a
// link, and nothing hostile gets through.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULT_SCENARIO } from "../../www/defaults.js";
import { closed, server } from "../../www/scenario.js";
import { allows, getPath, same } from "../../www/state.js";
import { CONTROLS, SLOTS, differences, firstRuns, fromHash, standard, toHash, withChange, withClasses, withSetting } from "../../www/lab/state.js";
import { CHOICE, GROUP, brief } from "../../www/lab/words.js";
import { CHOICES } from "./choices.js";

/** @import { LabRun } from "../../www/lab/state.js" */
/** @import { Control } from "../../www/state.js" */

/** @type {(changes: [string, unknown][]) => LabRun[]} */
const one = (changes) => [{ slot: "run-a", settings: changes.reduce((settings, [path, value]) => withSetting(settings, path, value), standard()) }];

/** Settings in which a control's path is there: what stands inside a choice needs that choice. @type {[string, unknown][]} */
const OPENED = [
  ["engine.continuous.kv.capacity", { blocks: 100 }],
  ["engine.continuous.kv.preemption", { swap: { gb_per_s: 25 } }],
  ["engine.continuous.speculative", { draft_tokens: 3, acceptance: [0.7], draft_s: 0, draft_s_per_sequence: 0 }],
  ["engine.continuous.warmup", { share: 0.1 }],
  ["workload.closed_loop", { users: 2, requests_per_user: 3, think_min_s: 0, think_max_s: 1 }],
];

/** Closed batches instead. @type {[string, unknown]} */
const BATCHED = ["engine", { closed: closed(DEFAULT_SCENARIO) }];

/** Values to try of a control. @param {Control} control @returns {unknown[]} */
function values(control) {
  switch (control.kind) {
    case "number":
      return [control.min, control.max, ...control.stops, ...(control.empty === undefined ? [] : [null])];
    case "choice":
      return Object.values(control.options);
    case "switch":
      return [true, false];
    case "list":
      return control.id === "lab-classes" ? [[], [{ label: "Conversation log", level: -1, deadline_s: null }, { label: "API; a=b&c", level: 2.5, deadline_s: 30 }]] : [[0.5], [0.9, 0.8, 0.1]];
  }
}

test("links of version 1 say the same", () => {
  const now = fromHash("#lab=2&on=null&bins.count=3&engine.continuous.memory.capacity_gb=30&engine.continuous.rule=orca&b=bins.count%3D5");
  const then = fromHash("#lab=1&on=null&scheduler.bins.count=3&memory.capacity_gb=30&engine.continuous.rule=orca&b=scheduler.bins.count%3D5");
  assert.deepEqual(now.notices, []);
  assert.deepEqual(then, now);
});

test("the default is what the page opens with, and its link is short", () => {
  assert.equal(toHash(firstRuns()), "#lab");
  assert.deepEqual(fromHash("#lab"), { runs: firstRuns(), file: null, notices: [] });
  assert.deepEqual(firstRuns().map(({ slot }) => slot), [...SLOTS]);
});

test("every setting of the engine of continuous batching has a control", () => {
  const { engine } = OPENED.reduce((settings, [path, value]) => withSetting(settings, path, value), standard());
  assert.ok("continuous" in engine);
  const paths = CONTROLS.map(({ path }) => path);
  // These follow from the model and its GPUs, or from a file of step times.
  const derived = ["engine.continuous.ceiling", "engine.continuous.latency.linear.compute"];
  /** @type {(value: unknown, path: string) => void} */
  const walk = (value, path) => {
    if (paths.includes(path) && (value === null || typeof value !== "object" || Array.isArray(value))) return;
    if (derived.includes(path)) return;
    assert.ok(value !== null && typeof value === "object" && !Array.isArray(value), `no control for ${path}`);
    for (const [key, inner] of Object.entries(value)) walk(inner, `${path}.${key}`);
  };
  walk(engine.continuous, "engine.continuous");
});

test("every control has a place, words, and a default that it allows", () => {
  const open = OPENED.reduce((settings, [path, value]) => withSetting(settings, path, value), standard());
  for (const control of CONTROLS) {
    assert.ok(GROUP[control.group] !== undefined, control.id);
    const places = [...(control.path.startsWith("workload.closed_loop.") ? [] : [standard()]), open, withSetting(standard(), ...BATCHED)];
    const value = places.map((settings) => getPath(settings, control.path)).find((found) => found !== undefined);
    assert.notEqual(value, undefined, `${control.id}: ${control.path}`);
    if (control.kind === "number") {
      assert.ok((value === null && control.empty !== undefined) || (typeof value === "number" && allows(control, value)), `${control.id} = ${value}`);
      for (const stop of control.stops) assert.ok(allows(control, stop), `${control.id}: stop ${stop}`);
    } else if (control.kind === "choice") {
      const key = (control.of ?? ((wanted) => Object.keys(control.options).find((name) => same(control.options[name], wanted))))(value);
      assert.ok(key !== undefined && Object.hasOwn(control.options, key), `${control.id}: ${key}`);
      if (CHOICE[control.id] !== undefined) assert.deepEqual(Object.keys(control.options).sort(), Object.keys(CHOICE[control.id] ?? {}).sort(), control.id);
      // No choice of the server is missing; a latency is chosen as a whole.
      const words = CHOICES[control.path];
      if (words !== undefined && control.path.startsWith("engine.continuous.") && !control.path.endsWith("latency")) {
        assert.deepEqual(words.filter((word) => !Object.hasOwn(control.options, word)), [], control.id);
      }
    }
  }
});

test("each setting survives the journey through a link, in run A and in another", () => {
  for (const control of CONTROLS) {
    for (const value of values(control)) {
      const opened = control.path.startsWith("engine.closed.") ? [BATCHED] : OPENED.filter(([path]) => control.path.startsWith(`${path}.`));
      const byHand = control.path.includes(".latency.") || control.path.includes(".memory.");
      const runs = one([...opened, ...(byHand ? /** @type {[string, unknown][]} */ ([["on", null]]) : []), [control.path, value]]);
      const [first] = runs;
      assert.ok(first !== undefined);
      const both = [...one([]), { slot: /** @type {const} */ ("run-c"), settings: first.settings }];
      for (const sent of [runs, both]) {
        const { runs: back, notices } = fromHash(toHash(sent));
        assert.deepEqual(notices, [], `${control.id} = ${JSON.stringify(value)}`);
        assert.deepEqual(back, sent, `${control.id} = ${JSON.stringify(value)}`);
      }
    }
  }
});

test("load and promises are those of all runs, the rest is run A's", () => {
  const runs = withChange(withChange(firstRuns(), "workload.time_scale", 12), "engine.continuous.max_sequences", 8);
  assert.deepEqual(runs.map(({ settings }) => settings.workload.time_scale), [12, 12, 12, 12]);
  const most = runs.map(({ settings }) => server(settings)?.max_sequences);
  assert.deepEqual(most, [8, 256, 256, 256]);
});

test("what differs is said in words", () => {
  const [a, b, , d] = firstRuns();
  assert.ok(a !== undefined && b !== undefined && d !== undefined);
  assert.deepEqual(differences(a.settings, a.settings), []);
  assert.deepEqual(differences(b.settings, a.settings).map(brief), ["Sarathi", "512 tokens a step"]);
  assert.deepEqual(differences(d.settings, a.settings).map(brief), ["one bin at a time", "K = 8"]);
});

test("closed batches stand beside the others, on a data sheet", () => {
  const [run] = one([BATCHED, ["engine.closed.policy", "static-fifo"], ["engine.closed.static_batch", 16]]);
  assert.ok(run !== undefined);
  assert.deepEqual(differences(run.settings, standard()).map(brief), ["closed batches", "static FIFO", "static batch size 16"]);
  assert.deepEqual(differences(standard(), run.settings).map(brief), ["continuous"]);
  assert.match(toHash([run]), /^#lab=2&engine=closed&engine\.closed\.policy=static-fifo&engine\.closed\.static_batch=16$/);
  // Without a data sheet the steps would be nobody's.
  const [own] = one([["on", null], BATCHED]);
  assert.deepEqual(own?.settings.on, standard().on);
  assert.deepEqual(fromHash("#lab=2&on=null&engine=closed").runs[0]?.settings.on, standard().on);
});

test("what a link says in vain falls back, with a notice", () => {
  const bad = {
    "fleet.gpus": "0",
    "engine.continuous.max_sequences": "1.5",
    "engine.continuous.rule": "fastest",
    "engine.continuous.bins": "perhaps",
    on: '{"model":"llama-99b","hardware":"h100","precision":"f16","memory_share":0.9}',
    "engine.continuous.kv.watermark": "NaN",
    "sla.ttft_s": "-1",
    nonsense: "1",
    "__proto__.polluted": "1",
  };
  for (const [path, text] of Object.entries(bad)) {
    const { runs, notices } = fromHash(`#lab=2&${path}=${encodeURIComponent(text)}`);
    assert.equal(notices.length, 1, path);
    assert.deepEqual(runs, one([]), path);
  }
  assert.equal(fromHash("#lab=7&fleet.gpus=2").notices.length, 1);
  assert.deepEqual(fromHash("#lab=7&fleet.gpus=2").runs, firstRuns());
  assert.deepEqual(fromHash(`#lab=1&on=${"x".repeat(50_000)}`).runs, firstRuns());
  assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
});

test("a link names the trace file, and not its content", () => {
  const runs = one([["trace", { file: { name: "my trace & more.csv", format: null, time_unit: null, hash_tokens: null } }]]);
  const hash = toHash(runs);
  assert.match(hash, /file=my%20trace%20%26%20more\.csv/);
  assert.equal(fromHash(hash).file, "my trace & more.csv");
});

test("an order by class runs once there are classes, and stays chosen before", () => {
  const classes = [{ label: "chat", level: 1, deadline_s: null }];
  for (const order of /** @type {const} */ (["edf", "priority"])) {
    for (const [given, runs] of /** @type {const} */ ([[[], "fcfs"], [classes, order]])) {
      const settings = /** @type {LabRun} */ (one([["engine.continuous.order", order], ["engine.continuous.classes", given]])[0]).settings;
      assert.equal(getPath(withClasses(settings), "engine.continuous.order"), runs);
      assert.equal(getPath(settings, "engine.continuous.order"), order);
    }
  }
  const { settings } = /** @type {LabRun} */ (one([["engine.continuous.order", "sjf"]])[0]);
  assert.equal(withClasses(settings), settings);
});
