// The URL hash: what goes in comes back out, and nothing hostile gets through.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PRESETS } from "../../www/defaults.js";
import { closed, withPolicy } from "../../www/scenario.js";
import { CONTROLS, DEFAULT_SCENARIO, POLICIES, allows, defaultState, fromHash, getPath, same, toHash, withPath } from "../../www/state.js";

test("the default has the shortest hash", () => {
  assert.equal(toHash(defaultState()), "#v=2");
  assert.deepEqual(fromHash("").state, defaultState());
  assert.deepEqual(fromHash("#settings").notices, []);
});

test("every control points into the scenario, and its default is allowed", () => {
  for (const control of CONTROLS) {
    const value = getPath(DEFAULT_SCENARIO, control.path);
    assert.notEqual(value, undefined, control.id);
    if (control.kind === "number") {
      assert.ok(typeof value === "number" && allows(control, value), `${control.id} = ${value}`);
      for (const stop of control.stops) assert.ok(allows(control, stop), `${control.id}: stop ${stop}`);
    } else {
      assert.ok(Object.values(control.options).some((option) => same(option, value)), control.id);
    }
  }
});

test("each control survives the journey through a link", () => {
  for (const control of CONTROLS) {
    const values = control.kind === "number" ? [control.min, control.max, ...control.stops] : Object.values(control.options);
    for (const value of values) {
      const state = withPath(defaultState(), control.path, value);
      const { state: back, notices } = fromHash(toHash(state));
      assert.deepEqual(back, state, `${control.id} = ${JSON.stringify(value)}`);
      assert.deepEqual(notices, []);
    }
  }
});

test("links of version 1 say the same", () => {
  const now = fromHash("#v=2&bins.count=3&bins.full_batch=9&bins.cuts=1,2&engine.closed.max_batch=64&engine.closed.controller.alpha=3&engine.closed.latency.linear.gamma=0.4&engine.closed.memory.margin_gb=2&fleet.gpus=5");
  const then = fromHash("#v=1&scheduler.bins.count=3&scheduler.full_batch=9&scheduler.bins.cuts=1,2&scheduler.max_batch=64&scheduler.controller.alpha=3&latency.linear.gamma=0.4&memory.margin_gb=2&fleet.gpus=5");
  assert.deepEqual(now.notices, []);
  assert.deepEqual(then, now);
  // Each version has its own names.
  assert.equal(fromHash("#v=2&scheduler.max_batch=64").notices.length, 1);
});

test("presets and switched-off schedulers survive the journey", () => {
  for (const scenario of Object.values(PRESETS)) {
    const state = { scenario: structuredClone(scenario), shown: POLICIES.slice(1, 3) };
    state.scenario = withPolicy(state.scenario, closed(DEFAULT_SCENARIO).policy);
    const { state: back, notices } = fromHash(toHash(state));
    assert.deepEqual(back, state);
    assert.deepEqual(notices, []);
  }
});

for (const [hash, word] of [
  ["#v=2&fleet.gpus=0", "fleet.gpus"],
  ["#v=2&fleet.gpus=1e9", "fleet.gpus"],
  ["#v=2&fleet.gpus=2.5", "fleet.gpus"],
  ["#v=2&fleet.gpus=NaN", "fleet.gpus"],
  ["#v=2&fleet.gpus=<script>alert(1)</script>", "fleet.gpus"],
  ["#v=2&workload.failed=explode", "workload.failed"],
  ["#v=2&__proto__.x=1", "__proto__.x"],
  ["#v=2&constructor=1", "constructor"],
  ["#v=2&fleet=1", "fleet"],
  ["#v=2&version=9", "version"],
  ["#v=2&workload.closed_loop=5", "workload.closed_loop"],
  ["#v=2&show=everything", "show"],
  ["#v=999&fleet.gpus=8", "999"],
  ["#fleet.gpus=8", "version"],
]) {
  test(`${hash} falls back to the default and says so`, () => {
    const { state, notices } = fromHash(String(hash));
    assert.deepEqual(state, defaultState());
    assert.equal(notices.length, 1);
    assert.ok(notices[0]?.includes(String(word)), notices[0]);
  });
}

test("a file in a link is named, not opened", () => {
  const state = withPath(defaultState(), "trace", { file: { name: "my trace&=.csv", format: null, time_unit: null, hash_tokens: null } });
  const { state: back, file, notices } = fromHash(toHash(state));
  assert.equal(file, "my trace&=.csv");
  assert.deepEqual(back.scenario.trace, DEFAULT_SCENARIO.trace);
  assert.deepEqual(notices, []);
});
