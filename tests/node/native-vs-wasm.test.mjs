// The promise behind every shared link: the same scenario gives the same bytes from the native
// program and from the browser's wasm. Compared are digests of every column of the outcome.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Engine, initSync } from "../../pkg/batchscope.js";
import * as studies from "../../pkg-studies/batchscope.js";
import { DEFAULT_SCENARIO, PRESETS } from "../../www/defaults.js";
import { closed } from "../../www/scenario.js";
import { program } from "./program.mjs";

/** @import { Scenario } from "../../www/types.js" */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const REAL_TRACE = join(ROOT, "../shared/data/burstgpt_slice/BurstGPT_1_head.csv");
/** Events per slice; another slicing must not change the outcome. */
const SLICE = 777;

initSync({ module: readFileSync(join(ROOT, "pkg/batchscope_bg.wasm")) });
// Both modules have both engines.
studies.initSync({ module: readFileSync(join(ROOT, "pkg-studies/batchscope_bg.wasm")) });
const scratch = mkdtempSync(join(tmpdir(), "batchscope-native-vs-wasm-"));
after(() => rmSync(scratch, { recursive: true }));

/** @type {(scenario: Scenario, file?: string) => Record<string, string>} */
function native(scenario, file) {
  const path = join(scratch, "scenario.json");
  writeFileSync(path, JSON.stringify(scenario));
  const args = ["run", path, ...(file === undefined ? [] : ["--trace", file]), "--digest"];
  const printed = JSON.parse(execFileSync(program(), args, { encoding: "utf8", maxBuffer: 1 << 26 }));
  return printed.digests ?? printed.digest ?? printed;
}

/** @type {(scenario: Scenario, file?: string) => Record<string, string>} */
function wasm(scenario, file) {
  const engine = "closed" in scenario.engine ? new Engine() : new studies.Engine();
  if (file === undefined) engine.generate(scenario);
  else engine.loadBytes(readFileSync(file), basename(file));
  engine.begin(scenario);
  while (!engine.advance(SLICE));
  engine.finish("run");
  const digests = engine.digests("run");
  engine.free();
  return digests;
}

/** The default scenario with some of it changed. @type {(change: (scenario: Scenario) => void) => Scenario} */
function scenario(change) {
  const made = structuredClone(DEFAULT_SCENARIO);
  if ("synthetic" in made.trace) made.trace.synthetic.requests = 3000;
  change(made);
  return made;
}

/** @type {[string, Scenario][]} */
const CASES = [];
for (const policy of /** @type {const} */ (["static-fifo", "dynamic", "multi-bin", "multi-bin-dynamic"])) {
  CASES.push([`scheduler ${policy}`, scenario((s) => { closed(s).policy = policy; })]);
}
for (const kind of /** @type {const} */ (["published", "oracle", "noisy", "prompt-only"])) {
  CASES.push([`predictor ${kind}`, scenario((s) => { s.predictor.kind = kind; if (kind === "noisy") s.predictor.bin_error = 0.1; })]);
}
CASES.push(["a closed loop", scenario((s) => {
  s.workload.closed_loop = { users: 50, requests_per_user: 40, think_min_s: 0.5, think_max_s: 2 };
})]);

/** Continuous batching with some of it changed. @type {(name: string, change: object, more?: (scenario: Scenario) => void) => void} */
function continuous(name, change, more = () => {}) {
  CASES.push([`continuous batching, ${name}`, scenario((s) => {
    s.workload.time_scale = 60;
    s.fleet.gpus = 2;
    s.engine = /** @type {any} */ ({ continuous: { memory: { capacity_gb: 17.5, model_gb: 16, kv_gb_per_token: 0.000131072, margin_gb: 0 }, ...change } });
    more(s);
  })]);
}
for (const rule of ["orca", "vllm", "sarathi"]) continuous(rule, { rule, kv: { prefix: { reuse: "own" } } });
continuous("speculative decoding", {
  speculative: { draft_tokens: 3, acceptance: [0.8, 0.6], draft_s: 0.0003, draft_s_per_sequence: 1e-6 },
  router: "power-of-two",
});
continuous("bins, deadlines and time-outs", { order: "edf", classes: [{ label: "Conversation log", level: 0, deadline_s: 5 }], bins: true, router: "random", admission: { timeout_s: 3, max_waiting: 40 } });
continuous("swapping, users, sessions", { kv: { preemption: { swap: { gb_per_s: 20 } } }, order: "sjf", ageing_per_s: 5, router: "least-work" }, (s) => {
  s.workload.time_scale = 1;
  s.workload.closed_loop = { users: 90, requests_per_user: 20, think_min_s: 0.1, think_max_s: 1 };
});
continuous("a measured table", {
  latency: { table: { sequences: [1, 64, 1, 64], context: [0, 0, 50_000, 50_000], prefill: [0, 0, 0, 0], time_ms: [5, 8, 9, 12] } },
});

for (const [name, made] of CASES) {
  test(`native and wasm agree: ${name}`, () => {
    const digests = wasm(made);
    assert.ok(Object.keys(digests).length > 3, "too few digests to mean anything");
    assert.deepEqual(digests, native(made));
  });
}

for (const [name, preset] of Object.entries(PRESETS)) {
  test(`native and wasm agree: the real trace, preset ${name}`, { skip: existsSync(REAL_TRACE) ? false : `${REAL_TRACE} is absent` }, () => {
    const made = structuredClone(preset);
    made.workload.time_scale = 2000;
    made.trace = { file: { name: REAL_TRACE, format: null, time_unit: null, hash_tokens: null } };
    assert.deepEqual(wasm(made, REAL_TRACE), native(made, REAL_TRACE));
  });
}

for (const policy of /** @type {const} */ (["static-fifo", "dynamic", "multi-bin", "multi-bin-dynamic"])) {
  test(`every request of ${policy} on the page is that of the native program`, () => {
    const made = scenario((s) => {
      closed(s).policy = policy;
      s.workload.time_scale = 100;
    });
    const [path, rows] = [join(scratch, "rows.json"), join(scratch, "rows.csv")];
    writeFileSync(path, JSON.stringify(made));
    execFileSync(program(), ["run", path, "--requests-csv", rows], { stdio: ["ignore", "ignore", "inherit"] });
    const [head = "", ...lines] = readFileSync(rows, "utf8").trim().split("\n");
    const names = head.split(",");
    const engine = new Engine();
    engine.generate(made);
    engine.begin(made);
    while (!engine.advance(SLICE));
    engine.finish("run");
    const [columns, batches] = [engine.requests("run"), engine.batches("run")];
    engine.free();
    assert.equal(columns.row.length, lines.length);
    const place = new Map([...columns.row].map((row, i) => [row, i]));
    for (const line of lines) {
      const cells = new Map(line.split(",").map((cell, i) => [names[i], cell]));
      const number = (/** @type {string} */ name) => Number(cells.get(name));
      const i = place.get(number("request") - 1) ?? -1;
      for (const name of /** @type {const} */ (["arrival_s", "prompt_tokens", "output_tokens", "start_s", "end_s", "gpu"])) assert.equal(columns[name][i], number(name), `${name} of ${line}`);
      // Its batch holds it.
      const batch = columns.batch[i] ?? -1;
      const first = batches.first[batch] ?? NaN;
      assert.ok(i >= first && i < first + (batches.size[batch] ?? 0), line);
      assert.equal(batches.start_s[batch], number("start_s"), line);
      if (policy.startsWith("multi-bin")) assert.equal(columns.predicted_tokens[i], number("predicted_tokens"), line);
    }
  });
}

test("another seed gives other digests", () => {
  assert.notDeepEqual(wasm(scenario(() => {})), wasm(scenario((s) => { s.seed = 7; })));
});
