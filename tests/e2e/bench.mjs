// The page's speed and size in real Chromium: `node tests/e2e/bench.mjs --json FILE` writes one row
// per measurement, `{ id, what, measured, unit, bar, sense, absolute }`; `cargo xtask bench` runs it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { sizes } from "../../xtask/sizes.mjs";
import { longestGap, watchFrames } from "./frames.mjs";
import { Harness, ROOT } from "./harness.mjs";

/** @import { Page } from "playwright-core" */

/** @typedef {{id: string, what: string, measured: number | null, unit: string, bar: number | null, sense: "<=" | ">=", absolute: string | null}} Row */

const MOVES = 64;
const OPENINGS = 9;
const RUNS = 5;
/** Requests of the large runs. */
const LARGE = 1_000_000;

/** @type {(values: number[], share: number) => number} */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** Slider input to painted picture, ms: the second animation frame after the figures were drawn. @param {Page} page */
async function moves(page) {
  await page.waitForSelector('#page[data-painted][aria-busy="false"]');
  return page.evaluate(async (count) => {
    const slider = document.querySelector('[data-control="gpus"] input[type="range"]');
    const main = document.getElementById("page");
    if (!(slider instanceof HTMLInputElement) || main === null) throw new Error("no slider");
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const times = [];
    for (let i = 0; i < count; i += 1) {
      const drawn = new Promise((resolve) => {
        const observer = new MutationObserver(() => {
          observer.disconnect();
          resolve(null);
        });
        observer.observe(main, { attributeFilter: ["data-painted"] });
      });
      const begun = performance.now();
      slider.value = String((i * 5) % 20);
      slider.dispatchEvent(new Event("input"));
      await drawn;
      await frame();
      await frame();
      times.push(performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    return times;
  }, MOVES);
}

/** Navigation to painted first picture, ms. @param {Harness} harness */
async function opening(harness) {
  const { page } = await harness.newPage(null);
  await page.addInitScript(() => {
    const watch = new MutationObserver(() => {
      if (document.getElementById("page")?.dataset["painted"] === undefined) return;
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("painted")));
    });
    watch.observe(document, { subtree: true, childList: true, attributeFilter: ["data-painted"] });
  });
  await page.goto(`${harness.url}/`);
  await page.waitForFunction(() => performance.getEntriesByName("painted").length > 0);
  const time = await page.evaluate(() => performance.getEntriesByName("painted")[0]?.startTime ?? NaN);
  await page.close();
  return time;
}

/**
 * Seconds in the worker's simulator for one large run, without trace, figures and messages.
 * @param {Page} page
 * @param {import("../../www/types.js").Policy} policy
 * @param {number} gpus
 */
async function large(page, policy, gpus) {
  return page.evaluate(
    async ({ policy, gpus, requests, runs }) => {
      const { DEFAULT_SCENARIO } = await import(new URL("www/defaults.js", location.href).href);
      const worker = new Worker(new URL("www/worker.js", location.href), { type: "module" });
      const scenario = structuredClone(DEFAULT_SCENARIO);
      scenario.trace.synthetic.requests = requests;
      scenario.workload.time_scale = 200;
      scenario.scheduler.bins.count = 8;
      scenario.fleet.gpus = gpus;
      const times = [];
      for (let runId = 1; runId <= runs + 1; runId += 1) {
        const time = await new Promise((resolve, reject) => {
          worker.onmessage = ({ data }) => {
            if (data.type === "result") resolve(data.result.simulated_ms);
            if (data.type === "error" || data.type === "crashed") reject(new Error(JSON.stringify(data)));
          };
          worker.postMessage({ type: "run", runId, scenario, policies: [policy], file: null });
        });
        // The first run warms the compiler up.
        if (runId > 1) times.push(time / 1000);
      }
      worker.terminate();
      return times;
    },
    { policy, gpus, requests: LARGE, runs: RUNS },
  );
}

/**
 * A study as published, from the press of its button to its files: seconds, and the longest time
 * between two frames meanwhile, ms; null where this version has no such study.
 * @param {Harness} harness
 * @param {string} name
 */
async function study(harness, name) {
  const { page } = await harness.newPage(`index.html#v=1&study=${name}`);
  await page.waitForSelector(".study-list a");
  if (!(await page.locator("#study-run").isVisible())) {
    await page.close();
    return null;
  }
  // The module was compiled, the plan shown: what follows is the study alone.
  await page.waitForFunction(() => document.querySelector(".plan")?.textContent !== "");
  await watchFrames(page);
  const begun = performance.now();
  await page.click("#study-run");
  await page.waitForSelector("#study-results", { timeout: 600_000 });
  const seconds = (performance.now() - begun) / 1000;
  // What was added is laid out and drawn within the next frames.
  await page.waitForTimeout(1000);
  const { longest } = await longestGap(page);
  await page.close();
  return { seconds, longest };
}

/** Where the native benches of this run wrote their rows. */
const nativeFile = process.argv[process.argv.indexOf("--native") + 1] ?? "";
const native = process.argv.includes("--native") ? JSON.parse(readFileSync(nativeFile, "utf8")) : [];

/** How long the same run took natively, s; NaN where it was not measured. @param {string} policy */
function nativeSeconds(policy) {
  const id = { "multi-bin-dynamic": "mbd_native", "static-fifo": "static_native", dynamic: "dynamic_native" }[policy];
  return native.find((/** @type {{id: string}} */ row) => row.id === id)?.seconds ?? NaN;
}

const harness = await Harness.start();
/** @type {Row[]} */
const rows = [];
try {
  const { page } = await harness.newPage("");
  const times = await moves(page);
  rows.push({ id: "slider_p95", what: `slider input to painted picture, P95 of ${MOVES} moves, default trace, four schedulers`, measured: quantile(times, 0.95), unit: "ms", bar: 100, sense: "<=", absolute: null });
  rows.push({ id: "slider_p50", what: "the same, median", measured: quantile(times, 0.5), unit: "ms", bar: null, sense: "<=", absolute: null });
  await page.close();

  const openings = [];
  for (let i = 0; i < OPENINGS; i += 1) openings.push(await opening(harness));
  rows.push({ id: "page_open", what: `page opened to finished first picture, median of ${OPENINGS}, warm server`, measured: quantile(openings, 0.5), unit: "ms", bar: 1000, sense: "<=", absolute: null });

  const bytes = sizes(join(ROOT, "target/site"));
  rows.push({ id: "page_bytes", what: "all files of the page, gzip, without traces and studies", measured: bytes.page / 1000, unit: "kB", bar: 300, sense: "<=", absolute: null });
  rows.push({ id: "studies_bytes", what: "what the studies add once they are opened, gzip", measured: bytes.studies / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });
  rows.push({ id: "calibrate_bytes", what: "what the calibration adds once it is opened, gzip", measured: bytes.calibrate / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });

  const threeStep = await study(harness, "three-step");
  rows.push({ id: "three_step_chromium", what: "three-step as published in Chromium, button to files", measured: threeStep?.seconds ?? null, unit: "s", bar: 8, sense: "<=", absolute: null });
  rows.push({ id: "three_step_frames", what: "longest time between two frames meanwhile", measured: threeStep?.longest ?? null, unit: "ms", bar: 100, sense: "<=", absolute: null });

  const blank = (await harness.newPage("")).page;
  for (const [policy, gpus] of /** @type {const} */ ([["multi-bin-dynamic", 32], ["static-fifo", 1], ["dynamic", 1]])) {
    const seconds = await large(blank, policy, gpus);
    // The least, as the native benches have it.
    const wasm = Math.min(...seconds);
    rows.push({ id: `wasm-1m-${policy}-${gpus}`, what: `1 M requests, ${policy}, ${gpus} GPU${gpus === 1 ? "" : "s"}, wasm in Chromium`, measured: wasm / nativeSeconds(policy), unit: "x native", bar: 1.5, sense: "<=", absolute: `${(wasm * 1000).toFixed(1)} ms` });
  }
} finally {
  await harness.close();
}

const flag = process.argv.indexOf("--json");
const file = flag === -1 ? undefined : process.argv[flag + 1];
if (file !== undefined) writeFileSync(file, `${JSON.stringify(rows, null, 2)}\n`);
for (const { id, measured, unit, bar } of rows) {
  console.log(`${id.padEnd(32)} ${(measured?.toPrecision(3) ?? "–").padStart(8)} ${unit}${bar === null ? "" : ` (bar ${bar})`}`);
}
