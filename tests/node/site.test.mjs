// The built site works from any folder of any static host.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { files } from "../../xtask/sizes.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SITE = join(ROOT, "target/site");

/** @returns {Promise<string[]>} the site's text files, relative to the site */
async function textFiles() {
  const entries = await readdir(SITE, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(html|js|mjs|css)$/.test(entry.name))
    .map((entry) => relative(SITE, join(entry.parentPath ?? entry.path, entry.name)));
}

test("what the site loads, it loads by a relative address", async () => {
  // Addresses that a browser fetches by itself; links that a person clicks may lead anywhere.
  const loads = [
    /<(?:script|img|iframe|source)\b[^>]*\bsrc\s*=\s*["']([^"']*)/g,
    /<link\b[^>]*\bhref\s*=\s*["']([^"']*)/g,
    /^\s*(?:import|export)\b[^"'`;]*["']([^"']+)["']/gm,
    /\bimport\(\s*["']([^"']+)["']/g,
    /\bfetch\(\s*["']([^"']+)["']/g,
    /\burl\(\s*["']?([^"')]+)/g,
  ];
  const names = await textFiles();
  assert.ok(names.includes("index.html"));
  for (const file of names) {
    const text = await readFile(join(SITE, file), "utf8");
    for (const [, address] of loads.flatMap((pattern) => [...text.matchAll(pattern)])) {
      assert.doesNotMatch(address ?? "", /^(\/|https?:)/, `${file} loads ${address}`);
    }
  }
});

test("the site says which version it is", async () => {
  const info = JSON.parse(await readFile(join(SITE, "build.json"), "utf8"));
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  assert.ok(info.commit === null || /^[0-9a-f]{12,}$/.test(info.commit));
});

for (const folder of ["pkg", "pkg-studies", "pkg-gpu"]) {
  test(`the bindings in ${folder} need nothing of a bundler and load in Node.js too`, async () => {
    const bindings = await import(join(SITE, folder, "batchscope.js"));
    const wasm = await readFile(join(SITE, folder, "batchscope_bg.wasm"));
    const exports = bindings.initSync({ module: wasm });
    assert.ok(exports.memory instanceof WebAssembly.Memory);
  });
}

test("the page stays small: what is loaded before another view is opened", () => {
  const { page, figures, simulator, studies, lab, calibrate } = files(SITE);
  const sum = [...page.values()].reduce((a, b) => a + b, 0);
  assert.ok(sum <= 350_000, `${sum} bytes with gzip: ${JSON.stringify([...page])}`);
  assert.ok(page.has("www/page.js"));
  assert.ok(figures.has("pkg/batchscope_bg.wasm") && figures.has("www/article/worker.js"));
  assert.ok(studies.has("pkg-studies/batchscope_bg.wasm") && studies.has("www/studies/view.js"));
  assert.ok(simulator.has("www/simulator/view.js") && simulator.has("vendor/uPlot.esm.js"));
  assert.ok(lab.has("www/lab/view.js"));
  assert.ok(calibrate.has("pkg-gpu/batchscope_bg.wasm") && calibrate.has("www/calibrate/view.js"));
});

for (const [view, own, named] of /** @type {const} */ ([
  // The laboratory's worker and that of the searches take the studies' module.
  ["the studies", /^(www\/studies|www\/lab|www\/search|vendor\/fflate|pkg-studies)\//, "studies|fflate"],
  ["the laboratory", /^www\/lab\//, "\\/lab\\/"],
  ["the calibration", /^(www\/calibrate|pkg-gpu)\//, "calibrate|pkg-gpu"],
  ["a closer look", /^www\/closer\//, "\\/closer\\/"],
])) {
  test(`only the door to ${view} loads anything of it`, async () => {
    for (const file of await textFiles()) {
      if (own.test(file)) continue;
      const text = await readFile(join(SITE, file), "utf8");
      assert.doesNotMatch(text, new RegExp(`from\\s*["'][^"']*(${named})`), file);
      const door = file === "www/page.js" || file === "www/simulator/view.js";
      if (!door) assert.doesNotMatch(text, new RegExp(`import\\(["'][^"']*(${named})`), file);
    }
  });
}

test("what counts as the page's is all that it loads before another view is opened", async () => {
  const { page } = files(SITE);
  // From the document's script along every import that is not asked for later.
  const seen = new Set();
  const waiting = ["www/page.js"];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const text = await readFile(join(SITE, name), "utf8");
    for (const [, address] of text.matchAll(/\b(?:import|export)\b[^"'`;()]*?["'](\.[^"']+)["']/g)) waiting.push(join(dirname(name), address ?? ""));
  }
  assert.ok(seen.size > 10);
  assert.deepEqual([...seen].filter((name) => !page.has(name)), []);
});
