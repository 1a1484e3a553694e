// 100,000 random addresses, a quarter for each reader of addresses: it falls back where it must, says so, and
// writes an address of its own that it reads as the same state.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import fc from "fast-check";

import { StudyEngine, initSync } from "../../pkg-studies/batchscope.js";
import * as article from "../../www/article/view.js";
import { readName } from "../../www/calibrate/line.js";
import * as lab from "../../www/lab/state.js";
import * as simulator from "../../www/state.js";
import * as studies from "../../www/studies/state.js";
import { hashes } from "./hashes.mjs";

/** @import { Control } from "../../www/state.js" */

/** `BATCHSCOPE_LINKS=1000000` for more of them; `BATCHSCOPE_LINKS_SEED` for others, and to replay a failure. */
const LINKS = Number(process.env["BATCHSCOPE_LINKS"] ?? 100_000);
const SEED = Number(process.env["BATCHSCOPE_LINKS_SEED"] ?? 1);
const READERS = 4;
/** Most letters of a notice; it quotes a key and a value, 40 letters of each. */
const LONGEST = 400;

initSync({ module: readFileSync(fileURLToPath(new URL("../../pkg-studies/batchscope_bg.wasm", import.meta.url))) });
const STUDIES = StudyEngine.studies();

/** @type {(hash: string, notices: string[]) => void} */
function told(hash, notices) {
  assert.ok(notices.length <= 400, `${notices.length} notices`);
  for (const text of notices) assert.ok(text !== "" && text.length <= LONGEST, text);
  assert.deepEqual(Reflect.ownKeys(Object.prototype).length, PROTOTYPE, hash);
}
const PROTOTYPE = Reflect.ownKeys(Object.prototype).length;

/** Equal as JSON, which writes -0 as 0. @type {(a: unknown, b: unknown) => void} */
const equal = (a, b) => assert.deepEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));

/** A control shows what stands in the settings, or nothing stands there. @type {(control: Control, settings: object) => void} */
function shows(control, settings) {
  const value = simulator.getPath(settings, control.path);
  if (value === undefined) return;
  switch (control.kind) {
    case "number":
      if (value === null) assert.ok(control.empty !== undefined, `${control.id}: nothing is set`);
      else assert.ok(typeof value === "number" && simulator.allows(control, value), `${control.id}: ${JSON.stringify(value)}`);
      break;
    case "switch":
      assert.equal(typeof value, "boolean", control.id);
      break;
    case "list":
      assert.doesNotMatch(control.write(/** @type {any[]} */ (value)), /undefined|NaN|\[object/, control.id);
      break;
    case "choice": {
      const key = control.of?.(value) ?? Object.keys(control.options).find((name) => simulator.same(control.options[name], value));
      assert.ok(key !== undefined && Object.hasOwn(control.options, key), `${control.id}: ${JSON.stringify(value)}`);
    }
  }
}

/** @type {(name: string, read: (hash: string) => void) => void} */
function each(name, read) {
  test(`${name}: no address breaks it`, () => {
    fc.assert(
      fc.property(hashes, (hash) => read(hash)),
      { numRuns: Math.ceil(LINKS / READERS), seed: SEED + name.length },
    );
  });
}

each("the simulator", (hash) => {
  const { state, file, notices } = simulator.fromHash(hash);
  told(hash, notices);
  // A measured GPU has a latency of its own, which the page calls so.
  for (const control of simulator.CONTROLS) if (control.id !== "latency") shows(control, state.scenario);
  assert.ok(file === null || file.length <= 41);
  assert.ok(state.shown.length > 0);
  // Whose GPU it is.
  if (state.gpu !== undefined) readName(state.gpu);
  equal(simulator.fromHash(simulator.toHash(state)), { state, file: null, notices: [] });
});

each("the laboratory", (hash) => {
  const { runs, notices } = lab.fromHash(hash);
  told(hash, notices);
  const [first] = runs;
  assert.ok(first !== undefined && runs.length <= lab.SLOTS.length);
  for (const { settings } of runs) {
    for (const control of lab.CONTROLS) shows(control, settings);
    lab.differences(settings, first.settings);
  }
  const again = lab.fromHash(lab.toHash(runs));
  equal(again, { runs, file: null, notices: [] });
});

each("the studies", (hash) => {
  const { state, notices } = studies.fromHash(hash, STUDIES);
  told(hash, notices);
  told(hash, studies.reproduceFrom(hash)?.notices ?? []);
  if (state === null) return;
  for (const path of studies.fields(state.settings)) studies.toText(simulator.getPath(state.settings, path));
  studies.sizeOf(state);
  equal(studies.fromHash(studies.toHash(state, null), STUDIES), { state, file: null, notices: [] });
});

each("the article", (hash) => {
  const { state, notices } = article.fromHash(hash);
  told(hash, notices);
  equal(article.fromHash(article.toHash(state)), { state, notices: [] });
});
