// The exercises: each is broken at its start, can be solved by what it frees, and cannot be cheated.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Engine, initSync } from "../../pkg/batchscope.js";
import { strayed } from "../../www/closer/challenge.js";
import { CHALLENGES, begin } from "../../www/closer/challenges.js";
import { CHALLENGE } from "../../www/closer/words.js";
import { withPolicy } from "../../www/scenario.js";
import { CONTROLS, setPath } from "../../www/state.js";

initSync({ module: readFileSync(fileURLToPath(new URL("../../pkg/batchscope_bg.wasm", import.meta.url))) });

/** @type {(scenario: any, policy: any) => any} */
function summary(scenario, policy) {
  const engine = new Engine();
  const made = withPolicy(scenario, policy);
  engine.generate(made);
  engine.begin(made);
  while (!engine.advance(1 << 30));
  const found = engine.finish("run");
  engine.free();
  return found;
}

for (const challenge of CHALLENGES) {
  test(`exercise ${challenge.id}: broken at first, and can be solved`, () => {
    assert.ok(CHALLENGE.of[challenge.id] !== undefined);
    const scenario = begin(challenge);
    const first = challenge.judge(summary(scenario, challenge.policy));
    assert.equal(first.met, false, `it is met at the start: ${first.value}`);
    for (const [path, value] of challenge.solution) {
      assert.ok(CONTROLS.some((control) => control.path === path && challenge.free.includes(control.id)), `${path} is not free`);
      setPath(scenario, path, value);
    }
    assert.equal(strayed(challenge, scenario), null);
    const solved = challenge.judge(summary(scenario, challenge.policy));
    assert.equal(solved.met, true, `the solution gives ${solved.value}`);
  });

  test(`exercise ${challenge.id}: what is not free is told`, () => {
    const scenario = begin(challenge);
    scenario.sla.request_s = 1000;
    assert.equal(strayed(challenge, scenario), "requestSla");
  });
}
