// A study leaves the same files, names and bytes, from the native program and from the module of the
// Studies view, pictures included; and the view's state survives its own links.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Engine, StudyEngine, initSync } from "../../pkg-studies/batchscope.js";
import * as first from "../../pkg/batchscope.js";
import { fromHash, published, reproduceFrom, reproduceHash, sizeOf, small, standard, toHash, toStudy, withSetting } from "../../www/studies/state.js";
import { program } from "./program.mjs";

/** @import { Scenario, Study, StudyFile, StudyInfo } from "../../www/types.js" */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HEAD = join(ROOT, "../shared/data/burstgpt_slice/BurstGPT_1_head.csv");
/** Events per slice; another slicing must not change a file. */
const SLICE = 777;

initSync({ module: readFileSync(join(ROOT, "pkg-studies/batchscope_bg.wasm")) });
const STUDIES = StudyEngine.studies();
const scratch = mkdtempSync(join(tmpdir(), "batchscope-studies-"));
after(() => rmSync(scratch, { recursive: true }));

/** @type {(scenario: Scenario) => import("../../www/types.js").Summary} */
function simulate(scenario) {
  const engine = new Engine();
  engine.generate(scenario);
  engine.begin(scenario);
  while (!engine.advance(SLICE));
  // As a message from a worker crosses.
  const summary = structuredClone(engine.finish("run"));
  engine.free();
  return summary;
}

/** Every file of a study by its name. @type {(study: Study, replications?: number) => Map<string, Uint8Array>} */
function wasm(study, replications = 1) {
  const engine = new StudyEngine();
  engine.open(study, replications);
  for (let scenarios = engine.pending(); scenarios.length > 0; scenarios = engine.pending()) {
    engine.take(structuredClone(scenarios).map(simulate));
  }
  /** @type {Map<string, Uint8Array>} */
  const files = new Map();
  const count = engine.finish();
  for (let i = 0; i < count; i += 1) {
    for (const { name, bytes } of engine.file(i)) files.set(name, bytes);
  }
  engine.free();
  return files;
}

/** @type {(...args: string[]) => Map<string, Uint8Array>} */
function native(...args) {
  const folder = mkdtempSync(join(scratch, "native-"));
  execFileSync(program(), ["study", ...args, "--out", folder], { stdio: ["ignore", "ignore", "inherit"] });
  return new Map(readdirSync(folder).filter((name) => name !== "files.json").map((name) => [name, readFileSync(join(folder, name))]));
}

/** @type {(found: Map<string, Uint8Array>, wanted: Map<string, Uint8Array>) => void} */
function equalFiles(found, wanted) {
  assert.ok(wanted.size > 1, "too few files to mean anything");
  assert.deepEqual([...found.keys()].sort(), [...wanted.keys()].sort());
  for (const [name, bytes] of wanted) assert.ok(Buffer.from(bytes).equals(found.get(name) ?? new Uint8Array()), `${name} differs`);
}

/** @param {string} name @returns {StudyInfo} */
function info(name) {
  const found = STUDIES.find((study) => study.name === name);
  assert.ok(found !== undefined, `there is no study ${name}`);
  return found;
}

/** @type {(settings: Record<string, unknown>, name?: string) => Study} */
function changed(settings, name = "stress-v2") {
  let state = standard(info(name));
  for (const [path, value] of Object.entries(settings)) state = withSetting(state, path, value);
  return toStudy(state);
}

test("native and wasm leave the same files: stress-v2, step 2", () => {
  equalFiles(wasm(changed({ request_counts: [200, 400] })), native("stress-v2", "--request-counts", "200,400"));
});

test("native and wasm leave the same files: stress-v2, step 1, three replications", () => {
  equalFiles(wasm(changed({ step: 1, request_counts: [300], seed: 7 }), 3), native("stress-v2", "--step", "1", "--request-counts", "300", "--seed", "7", "--replications", "3"));
});

/** @type {[string, Record<string, unknown>, string[]][]} */
const OTHERS = [
  ["three-step", { max_requests: 2000, max_gpus: 4 }, ["--max-requests", "2000", "--max-gpus", "4"]],
  ["two-step", { request_counts: [300] }, ["--request-counts", "300"]],
  ["paper", { requests: 10000, batch_sizes: [8] }, ["--requests", "10000", "--batch-sizes", "8"]],
  ["saturation", {}, []],
  ["contract", {}, []],
];
for (const [name, settings, flags] of OTHERS) {
  test(`native and wasm leave the same files: ${name}`, () => {
    equalFiles(wasm(changed(settings, name)), native(name, ...flags));
  });
}

/** The comparison of a file, as the view's workers make it. @type {(bytes: Uint8Array, name: string, anyway: boolean) => {found: import("../../www/types.js").RecognisedFile, reproduced: import("../../www/types.js").Reproduced, csv: Uint8Array}} */
function reproduce(bytes, name, anyway) {
  const studies = new StudyEngine();
  const found = studies.recogniseBytes(bytes, name);
  const runner = new Engine();
  runner.loadBytes(bytes, name);
  const outcomes = studies.reproduce(anyway).map((scenario) => {
    runner.begin(structuredClone(scenario));
    while (!runner.advance(SLICE));
    return structuredClone(runner.finish("run"));
  });
  const reproduced = studies.judge(outcomes);
  const csv = studies.comparisonsCsv();
  runner.free();
  studies.free();
  return { found, reproduced, csv };
}

/** What `batchscope reproduce --out` writes; it ends badly where a figure differs. @type {(path: string, ...flags: string[]) => Buffer} */
function nativeComparisons(path, ...flags) {
  const out = join(mkdtempSync(join(scratch, "reproduce-")), "out.csv");
  const ended = spawnSync(program(), ["reproduce", "--trace", path, ...flags, "--out", out], { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  assert.ok(existsSync(out), ended.stderr);
  return readFileSync(out);
}

test("native and wasm hold the 400-row head against the published figures alike", { skip: existsSync(HEAD) ? false : `${HEAD} is absent` }, () => {
  const { found, reproduced, csv } = reproduce(readFileSync(HEAD), "BurstGPT_1_head.csv", false);
  assert.equal(found.file.recognised, "beginning");
  assert.equal(found.file.rows, 400);
  assert.equal(found.file.sha256, createHash("sha256").update(readFileSync(HEAD)).digest("hex"));
  assert.equal(found.file.bytes, readFileSync(HEAD).length);
  assert.equal(found.figures, 96);
  assert.deepEqual([reproduced.compared, reproduced.differ, reproduced.caveat], [96, 0, null]);
  assert.equal(reproduced.left_out.reduce((sum, { figures }) => sum + figures, 0), 1486);
  const figures = reproduced.studies.flatMap((study) => study.figures);
  const linked = figures.find(({ figure }) => figure === "avg_tbt_ms");
  assert.deepEqual(linked?.errata.map(({ link }) => link), ["docs/ERRATA.md#3"]);
  assert.ok(Buffer.from(csv).equals(nativeComparisons(HEAD)));
});

test("a file that published figures are not about is refused; compared anyway, its mismatches stand first", () => {
  const rows = Array.from({ length: 1000 }, (_, i) => `${i * 30},${20 + ((i * 37) % 900)},${1 + ((i * 53) % 400)}`);
  const bytes = Buffer.from(`arrival_s,prompt_tokens,output_tokens\n${rows.join("\n")}\n`);
  const path = join(scratch, "own.csv");
  writeFileSync(path, bytes);
  const engine = new StudyEngine();
  assert.throws(() => engine.reproduce(false), /no file was recognised/);
  const found = engine.recogniseBytes(bytes, "own.csv");
  assert.equal(found.file.recognised, "unknown");
  assert.match(`${found.refusal}`, /own\.csv is neither BurstGPT_1\.csv nor a beginning/);
  assert.throws(() => engine.reproduce(false), { code: "contradiction", message: `own.csv: ${found.refusal}` });
  assert.throws(() => engine.judge([]), /has no outcome/);
  engine.free();

  const { reproduced, csv } = reproduce(bytes, "own.csv", true);
  assert.ok(reproduced.differ > 0 && reproduced.compared > reproduced.differ / 2);
  assert.match(`${reproduced.caveat}`, /not about this file/);
  for (const { figures, differ } of reproduced.studies) {
    assert.deepEqual(figures.map(({ agrees }) => agrees), figures.map((_, i) => i >= differ));
  }
  assert.ok(Buffer.from(csv).equals(nativeComparisons(path, "--anyway")));
});

test("a comparison's link names its file and nothing else", () => {
  assert.deepEqual(reproduceFrom(reproduceHash(null)), { file: null, notices: [] });
  assert.deepEqual(reproduceFrom(reproduceHash("a b+c.csv")), { file: "a b+c.csv", notices: [] });
  assert.equal(reproduceFrom("#v=2&study=reproduce&anyway=1")?.notices.length, 1);
  assert.equal(reproduceFrom("#v=99&study=reproduce")?.notices.length, 1);
  assert.equal(reproduceFrom("#v=2&study=stress-v2"), null);
  assert.ok(STUDIES.every(({ name }) => name !== "reproduce"));
});

test("what a study refuses is a report that names the field", () => {
  const engine = new StudyEngine();
  /** @type {(study: unknown) => unknown} */
  const opened = (study) => {
    try {
      engine.open(/** @type {Study} */ (study), 1);
    } catch (thrown) {
      return thrown;
    }
    return null;
  };
  const misspelt = /** @type {any} */ (opened({ "stress-v3": {} }));
  assert.equal(misspelt.code, "bad-scenario");
  const wrong = /** @type {any} */ (opened({ "stress-v2": { request_counts: [1, "many"] } }));
  assert.match(`${wrong.field}`, /request_counts/);
  const none = /** @type {any} */ (opened({ "stress-v2": { request_counts: [0] } }));
  assert.equal(none.code, "bad-field");
  assert.throws(() => engine.pending(), /no study was opened/);
  engine.free();
});

test("a reader's trace takes the study's place, and its length lowers what asks for more", () => {
  const engine = new StudyEngine();
  const said = engine.open(changed({ request_counts: [200, 400] }), 1, "own.csv", 300);
  assert.match(`${said}`, /300 rows/);
  assert.deepEqual(engine.pending().map(({ workload }) => workload.limit), [...Array(5).fill(200), ...Array(5).fill(300)]);
  assert.deepEqual(engine.pending()[0]?.trace, { file: { name: "own.csv", format: null, time_unit: null, hash_tokens: null } });
  engine.free();
});

test("the page's first module knows no studies", () => {
  assert.ok(!("StudyEngine" in first));
  assert.ok("Engine" in first);
});

test("every study has settings, a sentence and a link that restores it", () => {
  for (const study of STUDIES) {
    assert.ok(study.description.length > 10, study.name);
    const state = standard(study);
    assert.equal(sizeOf(state), "published");
    assert.deepEqual(fromHash(toHash(state, null), STUDIES), { state, file: null, notices: [] });
    const little = small(study);
    if (little === null) continue;
    const changed = { ...state, settings: little, replications: 3 };
    assert.equal(sizeOf(changed), "small");
    assert.deepEqual(fromHash(toHash(changed, "a b.csv"), STUDIES), { state: changed, file: "a b.csv", notices: [] });
  }
});

test("what a link says is not trusted", () => {
  /** @param {string} hash */
  const read = (hash) => fromHash(hash, STUDIES);
  const state = standard(info("stress-v2"));
  assert.deepEqual(read("#studies"), { state: null, file: null, notices: [] });
  assert.deepEqual(read("#v=2&study=stress-v2&request_counts=200,400").state?.settings["request_counts"], [200, 400]);
  for (const bad of ["request_counts=1,x", "replications=0", "trace.synthetic.requests=5", "nonsense=1"]) {
    const { state: found, notices } = read(`#v=2&study=stress-v2&${bad}`);
    assert.deepEqual(found, state, bad);
    assert.equal(notices.length, 1, bad);
  }
  // The server of a study was described in version 1 too.
  const then = read("#v=1&study=saturation&server.scheduler.max_batch=16&server.memory.margin_gb=1");
  assert.deepEqual(then.notices, []);
  assert.deepEqual(then.state, read("#v=2&study=saturation&server.engine.closed.max_batch=16&server.engine.closed.memory.margin_gb=1").state);
  assert.equal(read("#v=2&study=no-such").state, null);
  assert.equal(read("#v=2&study=no-such").notices.length, 1);
  assert.equal(read("#v=99&study=stress-v2&seed=1").notices.length, 1);
  // Settings of the core's own choosing are not made by a link, whatever their type.
  assert.notEqual(published(info("stress-v2")), published(info("stress-v2")));
});
