// What a reader does in the laboratory: opens it, moves every setting, keeps runs beside each other, takes
// the files, brings step times and traces, follows links, and sees the simulator crash.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { program } from "../node/program.mjs";
import { CONTROLS } from "../../www/lab/state.js";
import { Harness } from "./harness.mjs";

/** @import { Page } from "playwright-core" */

/** Plenty for a picture, also on a busy machine. */
const WAIT = { timeout: 60_000 };
/** One run of few requests. */
/** A search loads a module of its own first. */
const SEARCH_WAIT = { timeout: 60_000 };
const SMALL = "#lab=1&trace.synthetic.requests=500";

/** @type {Harness} */
let harness;
const scratch = mkdtempSync(join(tmpdir(), "batchscope-e2e-lab-"));
before(async () => {
  harness = await Harness.start();
});
after(async () => {
  await harness?.close();
  rmSync(scratch, { recursive: true });
});

/** Opens the laboratory and waits for its first picture. @param {string} [hash] */
async function open(hash = "#lab") {
  const opened = await harness.newPage(`index.html${hash}`);
  await painted(opened.page);
  return opened;
}

/** @param {Page} page */
const painted = (page) => page.waitForSelector('#lab-stage[data-painted][aria-busy="false"]', WAIT);

/** Acts, and waits for the next picture. @type {(page: Page, act: () => Promise<unknown>, what?: string) => Promise<void>} */
async function repaint(page, act, what = "") {
  const last = await page.locator("#lab-stage").getAttribute("data-painted");
  await act();
  try {
    await page.waitForFunction(
      (before) => {
        const stage = document.getElementById("lab-stage");
        return stage?.dataset["painted"] !== before && stage?.getAttribute("aria-busy") === "false";
      },
      last,
      WAIT,
    );
  } catch (failed) {
    throw new Error(`${what} was not drawn; told is: ${await page.locator("#lab-notices").innerText()}`, { cause: failed });
  }
}

/** Types into a box. @type {(page: Page, id: string, value: string) => Promise<void>} */
async function set(page, id, value) {
  await repaint(page, async () => {
    await page.fill(`#${id}`, value);
    await page.keyboard.press("Enter");
  }, `${id} = ${value}`);
}

/** @type {(page: Page, id: string, key: string) => Promise<void>} */
const choose = (page, id, key) => repaint(page, () => page.selectOption(`#${id}`, key), `${id} = ${key}`);

/** @param {Page} page @param {string} name */
async function download(page, name) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name, exact: true }).click()]);
  return readFileSync(await file.path());
}

/** Of a row of the table, by the letters of the runs. @type {(page: Page, label: string) => Promise<Record<string, string>>} */
async function row(page, label) {
  const cells = page.locator("#lab-table tr", { has: page.locator("th", { hasText: new RegExp(`^${label.replace(".", "\\.")}( |$)`) }) }).locator("td");
  return Object.fromEntries(await cells.evaluateAll((all) => all.map((cell) => [cell.dataset["run"] ?? "", cell.firstChild?.textContent ?? ""])));
}

/** A calibration of version 1 with these steps, half of whose points are off by `error`. @type {(steps: Record<string, number | null>, error: number) => object} */
function calibration(steps, error) {
  const estimate = (/** @type {number} */ value, /** @type {string} */ unit) => ({ value, unit, mad: 0, n: 1, samples: [[1, value]] });
  const architecture = { name: "demo", layers: 4, hidden: 256, heads: 4, kv_heads: 2, head_size: 64, mlp: 768, vocabulary: 4096, qk_norm: true, tied: true, rope_theta: 1e6, norm_epsilon: 1e-6, source: "made up" };
  return {
    kind: "batchscope-calibration", version: 1, program: "batchscope 0.1.0", commit: null, measured_at: "2026-11-25T20:15:00Z",
    adapter: { name: "Made up", backend: "Vulkan", driver: "", user_agent: null, software: false, subgroups: false, subgroup_min: 32, subgroup_max: 32, shader_f16: true, timestamps: true, max_buffer_bytes: 4e9, max_binding_bytes: 2e9 },
    model: { architecture, precision: "f16", layers_resident: 4, quick: true },
    bandwidth: { read: estimate(302e9, "B/s"), working_set_bytes: 5e8, by_timestamps: null },
    launch: { dispatch: estimate(2e-6, "s"), submission: estimate(3e-4, "s") },
    kernels: [], points: [], checks: [], check_median_error: error, check_worst_error: error, drift: null, layers: null, warnings: [], demonstration: true, took_s: 1,
    fit: { model: steps, intervals: [null, null, null, null], r2: 1, held_out_median: error, held_out_worst: error, fitted: 0, held_out: 0 },
  };
}

test("the laboratory is loaded when it is opened, and opens with four ways to serve", async () => {
  const { page, complaints } = await harness.newPage(null);
  /** @type {string[]} */
  const asked = [];
  page.on("request", (request) => asked.push(request.url().slice(harness.url.length)));
  await page.goto(`${harness.url}/#v=2`);
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  assert.deepEqual(asked.filter((path) => /\/lab\/|pkg-studies/.test(path)), []);

  await page.getByRole("link", { name: "Laboratory" }).first().click();
  await painted(page);
  assert.equal(await page.evaluate(() => location.hash), "#lab");
  assert.match(await page.title(), /Laboratory/);
  assert.match(await page.evaluate(() => document.activeElement?.textContent ?? ""), /Laboratory/);
  assert.match(await page.locator("#lab-finding").innerText(), /^On one NVIDIA GeForce RTX 4090 with llama-3\.1-8b, at 1\.4\d+\s*requests\/s, run B \(Sarathi, 512 tokens a step\) keeps all promises for .* run D \(one bin at a time, K = 8\) for /);
  assert.match(await page.locator('.lab-runs [data-run="run-d"]').innerText(), /one bin at a time, K = 8/);
  assert.deepEqual(await page.locator(".lab-runs li").evaluateAll((items) => items.map((item) => item.dataset["run"])), ["run-a", "run-b", "run-c", "run-d"]);
  assert.equal(await page.locator("#lab figure canvas").count(), 6);
  assert.deepEqual(await harness.axe(page), []);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("each choice of each setting runs, and the engine's words for it come back in the scenario", async () => {
  const { page, complaints } = await open(`#lab=1&trace.synthetic.requests=1000&fleet.gpus=4&b=engine.continuous.rule%3Dorca`);
  await repaint(page, () => page.getByRole("button", { name: "Remove: B" }).click());
  // Requests that share prefixes, and others that belong to sessions.
  const [hashes, sessions] = [join(scratch, "hashes.jsonl"), join(scratch, "sessions.csv")];
  const rows = Array.from({ length: 200 }, (_, i) => ({ timestamp: i * 500, input_length: 1100, output_length: 20 + (i % 11) * 10, hash_ids: [i % 7, 100 + (i % 14), 1000 + i], log_type: i % 3 === 0 ? "chat" : "batch" }));
  writeFileSync(hashes, `${rows.map((one) => JSON.stringify(one)).join("\n")}\n`);
  writeFileSync(sessions, `arrival_ms,prompt,output,session_id\n${rows.map((one, i) => `${one.timestamp},${one.input_length},${one.output_length},${i % 7}`).join("\n")}\n`);
  /** @param {string} file */
  const replay = (file) => repaint(page, () => page.setInputFiles("#lab-trace-file", file), file);
  // What a choice shows must be there before its own settings are tried.
  for (const control of CONTROLS) {
    if (control.kind === "choice") {
      if (!(await page.locator(`#${control.id}`).isVisible())) continue;
      const keys = Object.keys(control.options).filter((key) => !["hashes", "sessions", "prefix-affinity", "session-sticky"].includes(key));
      for (const key of [...keys.slice(1), ...keys.slice(0, 1)]) {
        const selected = await page.locator(`#${control.id}`).inputValue();
        if (selected !== key) await choose(page, control.id, key);
        assert.equal(await page.locator(`#${control.id}`).inputValue(), key, control.id);
      }
      // What else the last but one shows: closed loops, blocks, copying, drafts, classes, bins.
      const rich = { "lab-order": "priority", "lab-capacity": "blocks", "lab-preemption": "swap", "lab-speculative": "draft", "lab-router": "bin-affinity", "lab-warmup": "share" }[control.id];
      if (rich !== undefined) await choose(page, control.id, rich);
    } else if (control.kind === "switch") {
      await repaint(page, () => page.click(`#${control.id}`), control.id);
    }
  }
  // What only some traces have.
  await replay(sessions);
  await choose(page, "lab-router", "session-sticky");
  await choose(page, "lab-reuse", "sessions");
  assert.ok(Number((await row(page, "Prefix cache, found"))["run-a"]) > 10);
  await choose(page, "lab-reuse", "own");
  await choose(page, "lab-router", "bin-affinity");
  await replay(hashes);
  await choose(page, "lab-reuse", "hashes");
  for (const eviction of ["lfu", "lru"]) await choose(page, "lab-eviction", eviction);
  await choose(page, "lab-router", "prefix-affinity");
  assert.ok(Number((await row(page, "Prefix cache, found"))["run-a"]) > 10);
  await choose(page, "lab-router", "bin-affinity");
  // The numbers that came with them.
  await set(page, "lab-tensor-parallel", "2");
  await set(page, "lab-ageing", "0.5");
  await set(page, "lab-classes", "chat, -1, 10; batch, 1");
  await set(page, "lab-bin-patience", "0.5");
  await set(page, "lab-blocks", "2000");
  await set(page, "lab-swap", "50");
  await set(page, "lab-draft", "4");
  await set(page, "lab-acceptance", "0.9, 0.5");
  await set(page, "lab-max-waiting", "20");
  await set(page, "lab-timeout", "30");
  const scenario = JSON.parse(String(await download(page, "Scenario of run A, JSON")));
  const server = scenario.engine.continuous;
  assert.equal(server.tensor_parallel, 2);
  assert.equal(server.order, "priority");
  // The file has what had an effect: deadlines are of another order.
  assert.deepEqual(server.classes, [{ label: "chat", level: -1, deadline_s: null }, { label: "batch", level: 1, deadline_s: null }]);
  assert.deepEqual(server.kv.capacity, { blocks: 2000 });
  assert.deepEqual(server.kv.preemption, { swap: { gb_per_s: 50 } });
  assert.equal(server.kv.prefix.reuse, "hashes");
  assert.deepEqual([server.speculative.draft_tokens, server.speculative.acceptance], [4, [0.9, 0.5]]);
  assert.deepEqual(server.admission, { whole_prompt_fits: false, max_waiting: 20, timeout_s: 30, reject_too_long: true });
  assert.equal(server.router, "bin-affinity");
  assert.equal(server.bins, true);
  assert.deepEqual(server.warmup, { share: 0.1 });
  assert.deepEqual(complaints, []);
  await page.close();
});

test("the files are those of the native program, byte for byte", async () => {
  const { page } = await open(`${SMALL}&workload.time_scale=60&engine.continuous.kv.prefix.reuse=own`);
  const file = join(scratch, "scenario.json");
  writeFileSync(file, await download(page, "Scenario of run A, JSON"));
  const [rows, steps] = [join(scratch, "requests.csv"), join(scratch, "steps.json")];
  execFileSync(program(), ["run", file, "--requests-csv", rows, "--chrome-trace", steps], { stdio: ["ignore", "ignore", "inherit"] });
  assert.ok((await download(page, "Requests of run A, CSV")).equals(readFileSync(rows)), "requests");
  assert.ok((await download(page, "Steps of run A, for Perfetto")).equals(readFileSync(steps)), "steps");
  const summary = String(await download(page, "All figures, CSV"));
  assert.match(summary, /^scheduler,figure,value\nA,/);
  assert.match(summary, /A,continuous\.preemptions,\d+/);
  await page.close();
});

test("closed batches stand beside continuous batching, on the same GPU", async () => {
  const { page, complaints } = await open(`${SMALL}&workload.time_scale=60&b=`);
  await choose(page, "lab-engine", "closed");
  assert.equal(await page.locator("#lab-rule").isVisible(), false);
  await choose(page, "lab-policy", "static-fifo");
  await set(page, "lab-static-batch", "16");
  assert.match(page.url(), /engine=closed&.*engine\.closed\.policy=static-fifo&engine\.closed\.static_batch=16/);
  assert.match(await page.locator('.lab-runs [data-run="run-a"]').innerText(), /closed batches, static FIFO, .*static batch size 16/);
  assert.match(await page.locator('.lab-runs [data-run="run-b"]').innerText(), /continuous/);
  // Gaps between tokens are those of the server alone.
  const [ttft, gaps] = [await row(page, "TTFT, P99"), await row(page, "TBT, P99")];
  assert.ok(Number(ttft["run-a"]?.replaceAll(/\s/g, "")) > 0 && Number(ttft["run-b"]?.replaceAll(/\s/g, "")) > 0, JSON.stringify(ttft));
  assert.equal(gaps["run-a"], "–");
  assert.notEqual(gaps["run-b"], "–");
  assert.equal(await page.getByRole("button", { name: "Steps of run A, for Perfetto" }).count(), 0);
  // What it runs is what the command line runs.
  const file = join(scratch, "closed.json");
  writeFileSync(file, await download(page, "Scenario of run A, JSON"));
  const rows = join(scratch, "closed.csv");
  execFileSync(program(), ["run", file, "--requests-csv", rows], { stdio: ["ignore", "ignore", "inherit"] });
  assert.ok((await download(page, "Requests of run A, CSV")).equals(readFileSync(rows)), "requests");
  // The address shows the same.
  const found = await page.locator("#lab-table").textContent();
  const again = await open(new URL(page.url()).hash);
  assert.equal(await again.page.locator("#lab-table").textContent(), found);
  assert.deepEqual(await harness.axe(page), []);
  assert.deepEqual([...complaints, ...again.complaints], []);
  await again.page.close();
  await page.close();
});

test("settings stand in the address; back undoes them; a copy of the address shows the same", async () => {
  const { page } = await open(SMALL);
  await set(page, "lab-max-sequences", "16");
  assert.match(page.url(), /engine\.continuous\.max_sequences=16/);
  const found = await page.locator("#lab-table").textContent();
  assert.match(found ?? "", /TTFT/);
  const again = await open(new URL(page.url()).hash);
  assert.equal(await again.page.locator("#lab-table").textContent(), found);
  await again.page.close();
  await repaint(page, () => page.goBack());
  assert.equal(await page.locator("#lab-max-sequences").inputValue(), "256");
  await page.close();
});

test("a run is kept beside another, changes places with it, and is removed", async () => {
  const { page } = await open(SMALL);
  await repaint(page, () => page.click("#lab-pin"));
  await choose(page, "lab-rule", "orca");
  const kept = await row(page, "TTFT, P99");
  assert.deepEqual(Object.keys(kept), ["run-a", "run-b"]);
  assert.notEqual(kept["run-a"], kept["run-b"]);
  assert.match(await page.locator('.lab-runs [data-run="run-b"]').innerText(), /vLLM/);
  await repaint(page, () => page.getByRole("button", { name: "Make it run A: B" }).click());
  assert.deepEqual(await row(page, "TTFT, P99"), { "run-a": kept["run-b"], "run-b": kept["run-a"] });
  assert.equal(await page.locator("#lab-rule").inputValue(), "vllm");
  // The load is everybody's.
  await set(page, "lab-time-scale", "80");
  assert.match(page.url(), /workload\.time_scale=80.*workload\.time_scale%3D80/);
  await repaint(page, () => page.getByRole("button", { name: "Remove: B" }).click());
  assert.deepEqual(Object.keys(await row(page, "TTFT, P99")), ["run-a"]);
  await page.close();
});

test("what the core refuses is told, and the settings are those of the picture", async () => {
  const { page, complaints } = await open(SMALL);
  await page.fill("#lab-max-batched-tokens", "100");
  await page.keyboard.press("Enter");
  await page.waitForSelector('#lab-notices [data-kind="error"]', WAIT);
  assert.match(await page.locator("#lab-notices").innerText(), /max_batched_tokens: 100 is not allowed; allowed is a whole number from 256/);
  await page.waitForSelector('#lab-stage[aria-busy="false"]', WAIT);
  assert.equal(await page.locator("#lab-max-batched-tokens").inputValue(), "2048");
  await page.selectOption("#lab-precision", "f32");
  await page.waitForFunction(() => /memory/.test(document.querySelector("#lab-notices")?.textContent ?? ""), undefined, WAIT);
  await page.waitForFunction(() => /** @type {HTMLSelectElement} */ (document.querySelector("#lab-precision")).value === "f16", undefined, WAIT);
  // Beside the box, before anything is run.
  await page.fill("#lab-gpus", "-3");
  await page.keyboard.press("Enter");
  assert.match(await page.locator("#lab-gpus-problem").innerText(), /Allowed is 1 to 4,096 GPUs/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a link with nonsense falls back and says so", async () => {
  const { page, complaints } = await open(`${SMALL}&engine.continuous.rule=fastest&engine.continuous.kv.capacity=%7B%22blocks%22%3A0%7D&x=1`);
  const told = await page.locator("#lab-notices").innerText();
  assert.match(told, /fastest/);
  assert.match(told, /blocks/);
  assert.equal(await page.locator("#lab-rule").inputValue(), "vllm");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("step times: by hand, from a table, and a file that is none", async () => {
  const { page } = await open(SMALL);
  const usual = await row(page, "TBT, mean");
  await repaint(page, () => page.click("#lab-by-hand"));
  assert.deepEqual(await row(page, "TBT, mean"), usual);
  await set(page, "lab-c0", "0.1");
  assert.ok(Number((await row(page, "TBT, mean"))["run-a"]) > 100);

  const table = join(scratch, "steps.csv");
  const rows = [1, 4, 16, 64].flatMap((b) => [128, 1024].flatMap((each) => [0, 512].map((p) => `${b},${b * each},${p},${20 + b / 10 + p / 50}`)));
  writeFileSync(table, `batch,context,prefill,time_ms\n${rows.join("\n")}\n`);
  await repaint(page, () => page.setInputFiles("#lab-steps-file", table));
  assert.match(await page.locator("#lab-step-words").innerText(), /Measured steps/);
  assert.match(await page.locator("#lab-notices").innerText(), /not in the link/);
  const mean = Number((await row(page, "TBT, mean"))["run-a"]);
  assert.ok(mean > 20 && mean < 40, `${mean}`);

  writeFileSync(table, "batch,context\n1,2\n");
  await page.setInputFiles("#lab-steps-file", table);
  await page.waitForFunction(() => /steps\.csv/.test(document.querySelector("#lab-notices")?.textContent ?? ""), undefined, WAIT);
  await page.close();
});

for (const engine of ["continuous", "closed"]) {
  test(`a calibration's error is in every figure and chart: ${engine}`, async () => {
    const { page, complaints } = await open(`${SMALL}&b=`);
    if (engine === "closed") await choose(page, "lab-engine", "closed");
    assert.equal(await page.locator("#lab-table .within").count(), 0);
    // As a file of version 1 has it, which is the smallest.
    const steps = { c0_s: 0.02, c1_s_per_sequence: 0.0001, c2_s_per_context_token: 1e-7, c3_s_per_prefill_token: 0.0002, c4_s_per_prefill_pair: 0, compute: null };
    const cal = join(scratch, "cal.json");
    writeFileSync(cal, JSON.stringify(calibration(steps, 0.2)));
    await repaint(page, () => page.setInputFiles("#lab-steps-file", cal), "a calibration");
    const label = "Latency, mean";
    const at = Number((await row(page, label))["run-a"]);
    const within = page.locator("#lab-table tr", { has: page.locator("th", { hasText: label }) }).locator('[data-run="run-a"] .within');
    // What is outside the window has no inner text: the section's content is not laid out there.
    const [, low, high] = /steps: ([\d.]+) to ([\d.]+)/.exec((await within.textContent()) ?? "") ?? [];
    assert.ok(Number(low) < 0.9 * at && at < 0.95 * Number(high), `${low}, ${at}, ${high}`);
    // Run B has its data sheet, and no error that is known of.
    assert.equal(await page.locator('#lab-table [data-run="run-b"] .within').count(), 0);
    for (const title of await page.locator("#lab figure figcaption").allTextContents()) assert.match(title, /Thin lines: steps shorter and longer by the calibration’s error, 20\.0.%\./);
    // What it runs is what the command line says of the same steps.
    const scenario = JSON.parse(String(await download(page, "Scenario of run A, JSON")));
    assert.equal(scenario.step_error, undefined);
    assert.deepEqual(await harness.axe(page), []);
    await repaint(page, () => page.getByRole("button", { name: "Back to the data sheet" }).click(), "the data sheet");
    assert.equal(await page.locator("#lab-table .within").count(), 0);
    assert.deepEqual(complaints, []);
    await page.close();
  });
}

test("a trace of the reader's takes the place of the generated one in every run, and goes again", async () => {
  const { page } = await open(`${SMALL}&b=engine.continuous.rule%3Dorca`);
  const file = join(scratch, "mine.csv");
  const rows = Array.from({ length: 300 }, (_, i) => `${(i * 0.2).toFixed(1)},${100 + (i % 7) * 50},${20 + (i % 11) * 10}`);
  writeFileSync(file, `arrival,prompt,output\n${rows.join("\n")}\n`);
  await repaint(page, () => page.setInputFiles("#lab-trace-file", file));
  assert.match(await page.locator("#lab-trace").innerText(), /mine\.csv: 300 rows/);
  assert.match(page.url(), /file=mine\.csv/);
  assert.deepEqual(Object.keys(await row(page, "TTFT, P99")), ["run-a", "run-b"]);
  await repaint(page, () => page.getByRole("button", { name: "Back to the generated trace" }).last().click());
  assert.match(await page.locator("#lab-trace").innerText(), /generated requests/);
  await page.close();
});

test("a situation sets load, server and promises of all runs, and is named as long as it is in force", async () => {
  const { page, complaints } = await open();
  for (const [id, shape] of /** @type {const} */ ([["chat-peak", "poisson"], ["batch-burst", "poisson"], ["one-gpu", "burstgpt-week1"]])) {
    await repaint(page, () => page.selectOption("#lab-situation", id), id);
    assert.equal(await page.inputValue("#lab-situation"), id);
    assert.equal(await page.inputValue("#lab-shape"), shape);
    assert.equal(await page.locator("#lab-notices .notice").count(), 0);
    assert.equal((await page.locator(".lab-runs li").count()), 4);
    // The four ways to serve are not all alike in it.
    const kept = Object.values(await row(page, "All"));
    assert.ok(new Set(kept).size > 1, `${id}: ${kept}`);
    const again = await open(new URL(page.url()).hash);
    assert.equal(await again.page.inputValue("#lab-situation"), id);
    await again.page.close();
  }
  await repaint(page, () => page.selectOption("#lab-situation", ""));
  assert.equal(new URL(page.url()).hash, "#lab");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("differences with intervals and capacity are those of the native program", async () => {
  const { page, complaints } = await open(`#lab=1&trace.synthetic.requests=300&workload.time_scale=20&b=${encodeURIComponent("trace.synthetic.requests=300&workload.time_scale=20&engine.continuous.rule=sarathi")}`);
  const scenario = join(scratch, "a.json");
  writeFileSync(scenario, await download(page, "Scenario of run A, JSON"));
  const other = JSON.parse(readFileSync(scenario, "utf8"));
  other.engine.continuous.rule = "sarathi";
  const second = join(scratch, "b.json");
  writeFileSync(second, JSON.stringify(other));
  await page.click("#differences-begin");
  await page.waitForSelector('#lab-differences[aria-busy="false"] tbody tr', SEARCH_WAIT);
  const native = JSON.parse(execFileSync(program(), ["compare", scenario, second, "--replications", "10", "--json"], { encoding: "utf8" }));
  /** @param {string} label */
  const cells = async (label) => (await page.locator("#lab-differences tbody tr", { has: page.locator("th", { hasText: label }) }).first().locator("td").allInnerTexts()).map((text) => text.replace("−", "-"));
  const short = (/** @type {number} */ value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  for (const [label, figure] of [["TTFT, P99", "honest.ttft_s.p99"], ["Latency, mean", "honest.e2e_s.mean"]]) {
    const found = native.differences.find((/** @type {{figure: string}} */ one) => one.figure === figure);
    const [a, b, difference, interval] = await cells(label ?? "");
    assert.deepEqual([a, b], [short(found.a), short(found.b)], label);
    assert.equal(Number(difference), Number(short(found.difference)), label);
    assert.equal(interval?.replaceAll("−", "-"), [found.low, found.high].map((end) => `${end < 0 ? "-" : "+"}${short(Math.abs(end))}`).join(" to "), label);
  }
  assert.match(await page.locator("#lab-differences .search-finding").innerText(), /Of \d+ figures B differs from A in \d+/);

  await page.fill("#lab-sizing-rate", "5");
  await page.keyboard.press("Enter");
  await page.click("#lab-sizing .search-begin");
  await page.waitForFunction(() => document.querySelectorAll("#lab-sizing tbody tr").length === 2 && document.querySelector('#lab-sizing[aria-busy="false"]') !== null, null, SEARCH_WAIT);
  const fewest = JSON.parse(execFileSync(program(), ["capacity", scenario, "--fewest-gpus", "--rate", "5", "--replications", "3", "--json"], { encoding: "utf8" }));
  assert.equal(await page.locator("#lab-sizing tbody tr:first-child td").first().innerText(), String(fewest.gpus));
  // Another setting: both say that they are of the one before.
  await set(page, "lab-max-sequences", "16");
  assert.match(await page.locator("#lab-differences [role=status]").innerText(), /other settings/);
  assert.match(await page.locator("#lab-sizing [role=status]").innerText(), /other settings/);
  // Users who wait have no rate: the core's sentence, for each run.
  await set(page, "lab-requests", "1000");
  await choose(page, "lab-users", "closed");
  await page.click("#lab-sizing .search-begin");
  await page.waitForFunction(() => /leave the users out/.test(document.querySelector("#lab-sizing [role=status]")?.textContent ?? ""), null, SEARCH_WAIT);
  assert.deepEqual(await harness.axe(page), []);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("settings are found by their words", async () => {
  const { page } = await open(SMALL);
  await page.fill("#lab-search", "preempt");
  const found = () => page.evaluate(() => [...document.querySelectorAll("#lab .settings [data-control]")].filter((one) => one.checkVisibility()).map((one) => one.getAttribute("data-control")));
  assert.deepEqual(await found(), ["lab-order", "lab-preemption", "lab-reuse"]);
  await page.fill("#lab-search", "zzz");
  assert.match(await page.locator("#lab-search-help").innerText(), /No setting/);
  await page.fill("#lab-search", "");
  assert.ok(await page.locator("#lab-router").isVisible());
  await page.close();
});

test("a crash of the simulator is told, and a fresh worker goes on", async () => {
  const { page } = await open(SMALL);
  const worker = page.workers().find((one) => one.url().includes("/lab/"));
  assert.ok(worker !== undefined);
  await worker.evaluate(() => {
    setTimeout(() => {
      // What a panic in wasm is to the worker: an instruction that traps.
      const trap = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 5, 1, 3, 0, 0, 11]);
      new WebAssembly.Instance(new WebAssembly.Module(trap));
    });
  });
  await page.waitForSelector('#lab-notices [data-kind="crash"]', WAIT);
  await set(page, "lab-gpus", "2");
  // An outcome that the fresh worker never had is made again.
  assert.match(String(await download(page, "Requests of run A, CSV")), /^request,arrival_s,/);
  await page.close();
});

for (const width of [390, 1280]) {
  test(`at ${width} px, in the dark, nothing runs over the edge, and axe is content`, async () => {
    const { page } = await harness.newPage(null);
    await page.setViewportSize({ width, height: 844 });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.goto(`${harness.url}/index.html#lab`);
    await painted(page);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${over} px too wide`);
    assert.deepEqual(await harness.axe(page), []);
    await page.close();
  });
}
