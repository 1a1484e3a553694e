// The site is served as a browser needs it, and the page opens without a complaint.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Harness } from "./harness.mjs";

/** @type {Harness} */
let harness;
before(async () => {
  harness = await Harness.start();
});
after(() => harness?.close());

for (const [path, type] of [
  ["", "text/html; charset=utf-8"],
  ["index.html", "text/html; charset=utf-8"],
  ["pkg/batchscope.js", "text/javascript; charset=utf-8"],
  ["pkg/batchscope_bg.wasm", "application/wasm"],
  ["vendor/uPlot.esm.js", "text/javascript; charset=utf-8"],
  ["www/style.css", "text/css; charset=utf-8"],
  ["build.json", "application/json"],
]) {
  test(`/${path} is served as ${type}`, async () => {
    const response = await fetch(`${harness.url}/${path}`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), type);
    const body = await response.arrayBuffer();
    assert.ok(body.byteLength > 0);

    const head = await fetch(`${harness.url}/${path}`, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), String(body.byteLength));
  });
}

test("nothing outside the site is served", async () => {
  for (const path of ["Cargo.toml", "%2e%2e/%2e%2e/Cargo.toml", "..%2fCargo.toml", "pkg/.made-from"]) {
    const response = await fetch(`${harness.url}/${path}`);
    assert.ok([400, 404].includes(response.status), `${path}: ${response.status}`);
  }
});

test("the wasm compiles while it streams and its bindings load", async () => {
  const { page } = await harness.newPage("build.json");
  const streamed = await page.evaluate(async (url) => {
    const module = await WebAssembly.compileStreaming(fetch(`${url}/pkg/batchscope_bg.wasm`));
    const bindings = await import(`${url}/pkg/batchscope.js`);
    await bindings.default();
    return WebAssembly.Module.exports(module).length;
  }, harness.url);
  assert.ok(streamed > 0);
  await page.close();
});

test("the page opens without a complaint", async () => {
  const { page, complaints } = await harness.newPage();
  assert.match(await page.title(), /Batchscope/);
  await page.waitForLoadState("networkidle");
  assert.deepEqual(complaints, []);
  await page.close();
});
