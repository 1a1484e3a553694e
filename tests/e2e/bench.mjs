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
// As many as the native benches take the least of.
const RUNS = 15;
/** Requests of the large runs. */
const LARGE = 1_000_000;

/** @type {(values: number[], share: number) => number} */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/**
 * Slider input to painted picture, ms: the second animation frame after it was drawn.
 * @param {Page} page
 * @param {string} where the id of what says that it was painted
 * @param {string} control whose slider is moved
 */
async function moves(page, where, control) {
  // A figure of the article loads the simulator when somebody comes to it.
  if (where.startsWith("fig-")) await page.locator(`#${where} .figure-controls`).dispatchEvent("pointerover");
  await page.waitForSelector(`#${where}[data-painted][aria-busy="false"]`);
  return page.evaluate(async ({ count, where, control }) => {
    const slider = document.querySelector(`[data-control="${control}"] input[type="range"]`);
    const main = document.getElementById(where);
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
  }, { count: MOVES, where, control });
}

/**
 * Navigation with an empty cache to the article's first picture from fresh numbers where the reader's pointer is there
 * at once, ms; and to the first paint, in which the document's own picture already is.
 * @param {Harness} harness
 */
async function opening(harness) {
  const { page } = await harness.newPage(null);
  // As for somebody who was never here.
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.addInitScript(() => {
    const watch = new MutationObserver(() => {
      if (document.getElementById("fig-promise")?.dataset["painted"] === undefined) return;
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("painted")));
    });
    watch.observe(document, { subtree: true, childList: true, attributeFilter: ["data-painted"] });
  });
  await page.goto(`${harness.url}/`);
  await page.locator("#fig-promise .figure-controls").dispatchEvent("pointerover");
  await page.waitForFunction(() => performance.getEntriesByName("painted").length > 0);
  const times = await page.evaluate(() => ({
    alive: performance.getEntriesByName("painted")[0]?.startTime ?? NaN,
    first: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
  }));
  await page.close();
  return times;
}

/** Opens the simulator and waits for its picture. @type {(harness: Harness, settings: string) => Promise<Page>} */
async function simulator(harness, settings) {
  const { page } = await harness.newPage(`index.html#v=2${settings}`);
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', { timeout: 120_000 });
  return page;
}

/**
 * A million requests on the page, from a changed setting to the picture: milliseconds, the longest gap between
 * frames meanwhile, and whether progress was shown.
 * @param {Harness} harness
 */
async function million(harness) {
  const page = await simulator(harness, `&trace.synthetic.requests=${LARGE}&workload.time_scale=200&fleet.gpus=32&show=multi-bin-dynamic`);
  const found = [];
  for (const gpus of ["31", "32", "30"]) {
    const last = await page.getAttribute("#page", "data-painted");
    await watchFrames(page);
    const begun = await page.evaluate((value) => {
      document.documentElement.dataset["progress"] = "none";
      new MutationObserver(() => {
        if (document.getElementById("progress")?.hidden === false) document.documentElement.dataset["progress"] = "seen";
      }).observe(document.getElementById("progress") ?? document.body, { attributes: true });
      const box = document.getElementById("gpus");
      const input = document.querySelector('[data-control="gpus"] input[type="text"]');
      if (box === null || !(input instanceof HTMLInputElement)) throw new Error("no control");
      input.value = value;
      const now = performance.now();
      input.dispatchEvent(new Event("change"));
      return now;
    }, gpus);
    await page.waitForFunction((old) => document.getElementById("page")?.dataset["painted"] !== old, last, { timeout: 120_000 });
    const ended = await page.evaluate(() => performance.now());
    const { longest } = await longestGap(page);
    found.push({ ms: ended - begun, longest, progress: await page.evaluate(() => document.documentElement.dataset["progress"] === "seen") });
  }
  await page.close();
  return found.sort((a, b) => a.ms - b.ms)[0] ?? { ms: NaN, longest: NaN, progress: false };
}

/** The map of GPUs against bins at 100 K requests: first cell and all of them, ms. @param {Harness} harness */
async function mapped(harness) {
  const page = await simulator(harness, "&trace.synthetic.requests=100000");
  await page.click("#map > summary");
  await page.click("text=Draw the map");
  await page.waitForSelector("#map [data-done]", { timeout: 120_000 });
  const times = await page.evaluate(() => {
    const of = /** @type {HTMLElement | null} */ (document.querySelector("#map [data-done]"))?.dataset ?? {};
    return { first: Number(of["first"]), all: Number(of["done"]) };
  });
  await page.close();
  return times;
}

/** Frames a second while a timeline of about 100 K batches is panned by the pointer. @param {Harness} harness */
async function panned(harness) {
  const page = await simulator(harness, "&trace.synthetic.requests=110000&engine.closed.static_batch=1&show=static-fifo");
  await page.click("#timeline > summary");
  await page.waitForSelector("#timeline[data-loaded]", { timeout: 120_000 });
  const canvas = page.locator(".timeline-canvas");
  await canvas.scrollIntoViewIfNeeded();
  await canvas.focus();
  await page.keyboard.press("+");
  const batches = Number(/of ([\d,]+) batches/.exec((await canvas.getAttribute("aria-label")) ?? "")?.[1]?.replaceAll(",", ""));
  const box = await canvas.boundingBox();
  if (box === null) throw new Error("no timeline");
  await page.mouse.move(box.x + 400, box.y + 20);
  await page.mouse.down();
  const counted = page.evaluate(async () => {
    const begun = performance.now();
    let frames = 0;
    while (performance.now() - begun < 2000) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      frames += 1;
    }
    return frames / ((performance.now() - begun) / 1000);
  });
  for (let i = 0, until = Date.now() + 2100; Date.now() < until; i += 1) await page.mouse.move(box.x + 400 + 250 * Math.sin(i / 9), box.y + 20);
  const rate = await counted;
  await page.mouse.up();
  await page.close();
  return { batches, rate };
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
      scenario.bins.count = 8;
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

/** Llama-3.1-8B on H100s by their data sheet, as the native benches serve it. */
const ON_H100 = {
  engine: { continuous: {} },
  memory: { capacity_gb: 72, model_gb: 16.060_522_496, kv_gb_per_token: 0.000_131_072, margin_gb: 0 },
};

/** The peers' workload: 20 requests a second, log-normal lengths with means of 695 and 240 tokens. */
const PEERS = {
  custom: {
    arrivals: { poisson: { rate: 20 } },
    prompt: { lognormal: { median: 695 / Math.exp(0.5), sigma: 1 } },
    output: { lognormal: { median: 240 / Math.exp(0.5), sigma: 1 } },
  },
};

/**
 * Seconds of continuous batching with the fast module, the least of some runs, summary included.
 * @param {Page} page
 * @param {{requests: number, shape: unknown, gpus: number, timeScale: number}} load
 */
async function served(page, load) {
  return page.evaluate(
    async ({ load, onH100, runs }) => {
      const { DEFAULT_SCENARIO } = await import(new URL("www/defaults.js", location.href).href);
      const { default: init, Engine } = await import(new URL("pkg-studies/batchscope.js", location.href).href);
      await init();
      const scenario = { ...structuredClone(DEFAULT_SCENARIO), ...onH100 };
      scenario.trace = { synthetic: { requests: load.requests, shape: load.shape } };
      scenario.workload.time_scale = load.timeScale;
      scenario.fleet.gpus = load.gpus;
      const engine = new Engine();
      engine.generate(scenario);
      let least = Infinity;
      // The first run warms the compiler up.
      for (let run = 0; run <= runs; run += 1) {
        const begun = performance.now();
        engine.begin(scenario);
        while (!engine.advance(4_000_000_000));
        engine.finish("run");
        if (run > 0) least = Math.min(least, performance.now() - begun);
      }
      engine.free();
      return least / 1000;
    },
    // Enough that one of them has the machine to itself.
    { load, onH100: ON_H100, runs: 8 },
  );
}

/**
 * A study as published, from the press of its button to its files: seconds, and the longest time
 * between two frames meanwhile, ms; null where this version has no such study.
 * @param {Harness} harness
 * @param {string} name
 */
async function study(harness, name) {
  const { page } = await harness.newPage(`index.html#v=2&study=${name}`);
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
  for (const [id, what, address, where, control, bar] of /** @type {const} */ ([
    ["article", "slider input to painted picture, the article's first figure", "", "fig-promise", "promise-k", 50],
    ["slider", "slider input to painted picture, simulator, default trace, four schedulers", "#v=2", "page", "gpus", 100],
    ["large", "slider input to painted picture, simulator, 100 K requests, four schedulers", "#v=2&trace.synthetic.requests=100000", "page", "gpus", 150],
  ])) {
    const { page } = await harness.newPage(address);
    const times = await moves(page, where, control);
    rows.push({ id: `${id}_p95`, what: `${what}, P95 of ${MOVES} moves`, measured: quantile(times, 0.95), unit: "ms", bar, sense: "<=", absolute: null });
    rows.push({ id: `${id}_p50`, what: "the same, median", measured: quantile(times, 0.5), unit: "ms", bar: null, sense: "<=", absolute: null });
    await page.close();
  }

  const openings = [];
  for (let i = 0; i < OPENINGS; i += 1) openings.push(await opening(harness));
  rows.push({ id: "page_first", what: `page opened with an empty cache to its first paint, the document's pictures, median of ${OPENINGS}`, measured: quantile(openings.map(({ first }) => first), 0.5), unit: "ms", bar: 1000, sense: "<=", absolute: null });
  rows.push({ id: "page_open", what: `page opened with an empty cache to the first picture from fresh numbers, median of ${OPENINGS}`, measured: quantile(openings.map(({ alive }) => alive), 0.5), unit: "ms", bar: 1000, sense: "<=", absolute: null });

  const whole = await million(harness);
  rows.push({ id: "million", what: "1 M requests on the page, multi-bin-dynamic, setting to picture, the least of 3", measured: whole.ms / 1000, unit: "s", bar: 1, sense: "<=", absolute: whole.progress ? "progress was shown" : "no progress was shown" });
  rows.push({ id: "million_frames", what: "longest time between two frames meanwhile", measured: whole.longest, unit: "ms", bar: 50, sense: "<=", absolute: null });
  const cells = await mapped(harness);
  rows.push({ id: "map_first", what: "map of GPUs against bins, 8 x 6 at 100 K requests, first cell", measured: cells.first, unit: "ms", bar: 200, sense: "<=", absolute: null });
  rows.push({ id: "map_all", what: "the same, all cells", measured: cells.all / 1000, unit: "s", bar: 3, sense: "<=", absolute: null });
  const pan = await panned(harness);
  rows.push({ id: "timeline_pan", what: "timeline while it is panned", measured: pan.rate, unit: "frames/s", bar: 50, sense: ">=", absolute: `${pan.batches.toLocaleString("en")} batches` });

  const bytes = sizes(join(ROOT, "target/site"));
  rows.push({ id: "page_bytes", what: "all files of the page, gzip, without traces and studies", measured: bytes.page / 1000, unit: "kB", bar: 350, sense: "<=", absolute: null });
  rows.push({ id: "figures_bytes", what: "what the first figure adds that is touched, gzip", measured: bytes.figures / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });
  rows.push({ id: "studies_bytes", what: "what the studies add once they are opened, gzip", measured: bytes.studies / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });
  rows.push({ id: "simulator_bytes", what: "what the simulator adds once it is opened, gzip", measured: bytes.simulator / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });
  rows.push({ id: "closer_bytes", what: "what timeline, map, search and exercises add once one is opened, gzip", measured: (bytes.closer + bytes.search) / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });
  rows.push({ id: "lab_bytes", what: "what the laboratory adds beside the module of the studies, gzip", measured: bytes.lab / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });
  rows.push({ id: "calibrate_bytes", what: "what the calibration adds once it is opened, gzip", measured: bytes.calibrate / 1000, unit: "kB", bar: null, sense: "<=", absolute: null });

  const threeStep = await study(harness, "three-step");
  rows.push({ id: "three_step_chromium", what: "three-step as published in Chromium, button to files", measured: threeStep?.seconds ?? null, unit: "s", bar: 8, sense: "<=", absolute: null });
  rows.push({ id: "three_step_frames", what: "longest time between two frames meanwhile", measured: threeStep?.longest ?? null, unit: "ms", bar: 100, sense: "<=", absolute: null });

  const blank = (await harness.newPage("")).page;
  const peers = await served(blank, { requests: 100_000, shape: PEERS, gpus: 1, timeScale: 1 });
  rows.push({ id: "wasm_continuous_peers", what: "continuous batching, the peers' workload, 100 K requests, wasm in Chromium", measured: peers, unit: "s", bar: 0.3, sense: "<=", absolute: null });
  const fleet = await served(blank, { requests: LARGE, shape: "burstgpt-like", gpus: 16, timeScale: 200 });
  const nativeFleet = native.find((/** @type {{id: string}} */ row) => row.id === "continuous_fleet")?.seconds ?? NaN;
  rows.push({ id: "wasm_continuous_fleet", what: "continuous batching, burstgpt-like, 16 replicas, 1 M requests, wasm in Chromium", measured: fleet / nativeFleet, unit: "x native", bar: 1.6, sense: "<=", absolute: `${(fleet * 1000).toFixed(0)} ms` });
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
