// What a reader does with the calibrate view: sees what would run, measures, cancels, uses the result
// in the simulator, saves it, opens it again, compares two. And every way in which it fails.
//
// What a software adapter shows is shown on one, with the real module; what needs a real GPU or a bad
// driver is shown with a double of the module.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { serveDouble } from "./gpu-double.mjs";
import { Harness } from "./harness.mjs";

/** @import { Page } from "playwright-core" */
/** @import { Behaviour } from "./gpu-double.mjs" */

const WAIT = { timeout: 60_000 };

/** A browser that has no adapter to give. @type {Harness} */
let plain;
/** A browser with a software adapter. @type {Harness} */
let software;
before(async () => {
  [plain, software] = await Promise.all([Harness.start(), Harness.start({ webgpu: true })]);
});
after(async () => {
  await Promise.all([plain?.close(), software?.close()]);
});

/** Opens the view with the double. @param {Behaviour} [behaviour] */
async function open(behaviour = {}) {
  const opened = await plain.newPage(null);
  await serveDouble(opened.page, behaviour);
  await opened.page.goto(`${plain.url}/#calibrate`);
  return opened;
}

/** @param {Page} page */
const ready = (page) => page.waitForSelector("#calibrate-run:not([disabled]):not([hidden])", WAIT);

/** Presses Calibrate and waits for the result. @param {Page} page */
async function calibrate(page) {
  await ready(page);
  await page.click("#calibrate-run");
  await page.waitForSelector("#use-gpu", WAIT);
}

/** @param {Page} page */
const status = (page) => page.locator("#calibrate-status").innerText();

/** @param {Page} page @param {string} selector @param {RegExp} pattern */
const says = (page, selector, pattern) =>
  page.waitForFunction(([where, source]) => new RegExp(source ?? "").test(document.querySelector(where ?? "")?.textContent ?? ""), [selector, pattern.source], WAIT);

/**
 * Waits while a measurement gets on. How long it takes depends on the machine, and on what else it does.
 * @param {Page} page @param {string} selector @param {RegExp} [pattern]
 */
async function gettingOn(page, selector, pattern = /(?:)/) {
  let [seen, since] = ["", performance.now()];
  for (;;) {
    const found = page.locator(selector).first();
    if ((await page.locator(selector).count()) > 0 && (await found.isVisible()) && pattern.test((await found.textContent()) ?? "")) return;
    const now = await page.evaluate(() => JSON.stringify([[...document.querySelectorAll("progress")].map(({ value }) => value), document.querySelectorAll(".mark").length, document.body.textContent]));
    if (now !== seen) [seen, since] = [now, performance.now()];
    assert.ok(performance.now() - since < 240_000, `nothing new while waiting for ${selector}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** @param {Page} page @param {() => Promise<unknown>} act */
async function download(page, act) {
  const [saved] = await Promise.all([page.waitForEvent("download"), act()]);
  return { name: saved.suggestedFilename(), text: readFileSync(await saved.path(), "utf8") };
}

test("it says what would run, and starts nothing by itself", async () => {
  const { page, complaints } = await open();
  await ready(page);
  await says(page, "#gpu-plan", /^About 42.s with 1\.9.GB of GPU memory and 20 layers/);
  assert.match(await page.locator("#gpu-adapter").innerText(), /Double 9000[^]*subgroups of 32, shader-f16, timestamps[^]*buffers up to 4.GB/);
  await page.selectOption("#gpu-length", "quick");
  await says(page, "#gpu-plan", /^About 10.s/);
  await page.selectOption("#gpu-model", "qwen3-1.7b");
  assert.match(await page.locator("#gpu-model-help").innerText(), /1\.72 billion weights/);
  await plain.frames(page);
  assert.equal(await page.locator("#calibrate-progress").isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Your GPU");
  assert.match(await page.title(), /^Your GPU/);
  assert.deepEqual(await plain.axe(page), []);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("the view is loaded when it is opened, not before", async () => {
  const { page } = await plain.newPage(null);
  /** @type {string[]} */
  const asked = [];
  page.on("request", (request) => asked.push(request.url().slice(plain.url.length)));
  await page.goto(`${plain.url}/#v=2`);
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  assert.deepEqual(asked.filter((path) => /calibrate|pkg-gpu/.test(path)), []);
  await page.close();
});

test("from the button to re-drawn charts, and a link that says whose GPU it was", async () => {
  const { page, complaints } = await open({ step: 40 });
  await ready(page);
  await page.focus("#calibrate-run");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#calibrate-results .plane .mark.measured", WAIT);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "calibrate-cancel");
  assert.equal(await page.locator("#use-gpu").count(), 0);
  await page.waitForSelector("#use-gpu", WAIT);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "calibrate-run");
  assert.match(await status(page), /^Done in/);
  assert.match(await page.locator("#calibrate-results .finding").innerText(), /takes 6\.23.ms for one sequence and 10\.3.ms for 32/);
  assert.match(await page.locator(".warnings").innerText(), /20 of 28 layers/);
  assert.equal(await page.locator(".demonstration").count(), 0);

  // The chart by keyboard: the cursor's reading is announced.
  await page.locator("#calibrate-results .plane").first().focus();
  await page.keyboard.press("Home");
  assert.match(await page.locator("#calibrate-results .readout").first().innerText(), /1 sequence\s.*tokens in all: /s);
  await page.locator("#calibrate-results details summary").first().click();
  // The rows are made when the table is opened, an event after the click.
  await page.waitForSelector("#calibrate-results details tbody tr", WAIT);
  assert.equal(await page.locator("#calibrate-results details").first().locator("tbody tr").count(), 20);
  assert.deepEqual(await plain.axe(page), []);

  await page.click("#use-gpu");
  await says(page, "#whose-gpu", /Step times from a calibration of Double 9000, Qwen3 0\.6B, f16, ± 3\.9.%.*keeps both promises for 87\.0.% to 93\.0.% of requests, and its P95 latency is 9\.1.s to 10\.4.s/);
  assert.equal(await page.locator("#calibrate").isVisible(), false);
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  const address = await page.evaluate(() => location.hash);
  assert.match(address, /latency\.linear\.beta_s_per_token=0\.0051/);
  assert.match(address, /gpu=Double%209000/);
  const finding = await page.locator("#finding").innerText();
  assert.deepEqual(await plain.axe(page), []);

  // The same link in a fresh tab: the same picture, and the same line.
  const other = await plain.newPage(null);
  await serveDouble(other.page);
  await other.page.goto(`${plain.url}/${address}`);
  await says(other.page, "#whose-gpu", /Double 9000.*87\.0.% to 93\.0.%/);
  assert.equal(await other.page.locator("#finding").innerText(), finding);
  await other.page.close();

  // Another latency model is not of that GPU any more.
  await page.selectOption("#latency", "two-step");
  await page.waitForSelector("#whose-gpu", { state: "hidden", ...WAIT });
  assert.doesNotMatch(await page.evaluate(() => location.hash), /gpu=/);
  await page.goBack();
  await page.waitForSelector("#whose-gpu:not([hidden])", WAIT);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a link that names a GPU in a wrong form is told so, and does no harm", async () => {
  const { page, complaints } = await plain.newPage(null);
  await serveDouble(page);
  await page.goto(`${plain.url}/#v=1&latency.linear.gamma=0.2&gpu=<img src=x onerror=alert(1)>`);
  await says(page, "#whose-gpu", /names a measured GPU in a form/);
  assert.equal(await page.locator("#whose-gpu img").count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a run that is cancelled ends within 300 ms, and the button is there again", async () => {
  const { page, complaints } = await open({ step: 100 });
  await ready(page);
  await page.click("#calibrate-run");
  await page.waitForSelector("#calibrate-results .plane .mark.measured", WAIT);
  // The worker's answer, however slow the machine is: the page's patience does not end.
  await cancel(page, 0);
  await says(page, "#calibrate-status", /^Cancelled\. Nothing/);
  await page.clock.resume();
  await calibrate(page);
  // A run that is cancelled leaves the result before it.
  const finding = await page.locator("#calibrate-results .finding").innerText();
  await page.click("#calibrate-run");
  await page.waitForSelector("#calibrate-results .plane .mark.measured", WAIT);
  await cancel(page, 300);
  await says(page, "#calibrate-status", /^Cancelled/);
  assert.equal(await page.locator("#calibrate-results .finding").innerText(), finding);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a driver that does not answer is cut off, and can be measured again", async () => {
  const { page } = await open({ deaf: true });
  await ready(page);
  await page.click("#calibrate-run");
  await page.waitForSelector("#calibrate-cancel:not([hidden])", WAIT);
  await cancel(page, 150);
  assert.doesNotMatch(await page.locator("#calibrate-status").innerText(), /^Cancelled/);
  await page.clock.runFor(150);
  await says(page, "#calibrate-status", /^Cancelled\. The driver did not answer/);
  await page.clock.resume();
  await ready(page);
  await page.close();
});

/**
 * Presses Cancel, and lets so much of the page's own time pass, ms: how long the machine takes has no part in it.
 * @param {Page} page
 * @param {number} ms
 */
async function cancel(page, ms) {
  await page.clock.install();
  await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 1000);
  await page.click("#calibrate-cancel");
  await page.clock.runFor(ms);
}

for (const [code, advice] of /** @type {const} */ ([
  ["device-lost", /driver was reset.*The simulator is not affected/],
  ["out-of-gpu-memory", /smaller model/],
  ["gpu-refused", /update the driver/],
  ["wrong-result", /its time is worth nothing/],
])) {
  test(`a run that ends with ${code} is told in words, and the page goes on`, async () => {
    const { page, complaints } = await open({ fails: code });
    await ready(page);
    await page.click("#calibrate-run");
    await says(page, "#calibrate-notices", advice);
    await ready(page);
    assert.equal(await page.locator("#calibrate-progress").isVisible(), false);
    await page.getByRole("link", { name: "Simulator" }).click();
    await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
    assert.match(await page.locator("#finding").innerText(), /keeps both promises/);
    assert.deepEqual(complaints, []);
    await page.close();
  });
}

test("a module that cannot be loaded leaves the simulator working", async () => {
  const { page } = await plain.newPage(null);
  await page.route("**/pkg-gpu/*", (route) => route.abort());
  await page.goto(`${plain.url}/#calibrate`);
  await says(page, "#calibrate-notices", /could not be loaded.*Reload the page/);
  await page.getByRole("link", { name: "Simulator" }).click();
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  await page.close();
});

test("a tab that was hidden and a battery are warned of, in the saved file too", async () => {
  const { page, complaints } = await plain.newPage(null);
  await page.addInitScript(() => {
    Object.assign(navigator, { getBattery: async () => ({ charging: false }) });
  });
  await serveDouble(page, { step: 60 });
  await page.goto(`${plain.url}/#calibrate`);
  await says(page, "#calibrate-notices", /runs on its battery/);
  await ready(page);
  await page.click("#calibrate-run");
  await page.waitForSelector("#calibrate-results .plane .mark.measured", WAIT);
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await says(page, "#calibrate-notices", /went to the background/);
  await page.waitForSelector("#use-gpu", WAIT);
  assert.match(await page.locator('.warnings [data-code="hidden-page"]').innerText(), /in the background while it measured step times/);
  const { name, text } = await download(page, () => page.click("#save-calibration"));
  assert.equal(name, "batchscope-calibration-qwen3-0.6b-f16.json");
  assert.deepEqual(JSON.parse(text).warnings.map((/** @type {{code: string}} */ { code }) => code), ["fewer-layers", "hidden-page", "on-battery"]);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a saved calibration opens again, and two are compared", async () => {
  const { page, complaints } = await open();
  await calibrate(page);
  const { text } = await download(page, () => page.click("#save-calibration"));
  const finding = await page.locator("#calibrate-results .finding").innerText();
  await page.reload();
  await ready(page);
  await page.setInputFiles("#calibration-file", { name: "mine.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await page.waitForSelector("#use-gpu", WAIT);
  assert.equal(await status(page), "Opened mine.json.");
  assert.equal(await page.locator("#calibrate-results .finding").innerText(), finding);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "calibrate-result");

  const slower = JSON.parse(text);
  slower.adapter.name = "Slower 8000";
  slower.fit.model.c0_s *= 2;
  await page.setInputFiles("#second-file", { name: "slow.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(slower)) });
  await page.waitForSelector("#compared", WAIT);
  assert.match(await page.locator("#compared thead").innerText(), /Double 9000.*Slower 8000/s);
  assert.match(await page.locator("#compared tr", { hasText: "c0" }).innerText(), /\+100.%/);
  assert.match(await page.locator("#compared tr", { hasText: "c1" }).innerText(), /\t0.%/);
  assert.deepEqual(await plain.axe(page), []);
  await page.getByRole("button", { name: "Remove the second" }).click();
  assert.equal(await page.locator("#compared").count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("simulated users are served, with the prediction beside what was measured", async () => {
  const { page, complaints } = await open({ step: 60 });
  await calibrate(page);
  await page.fill("#serve-users", "1, 1");
  await page.click("#serve-run");
  assert.match(await page.locator("#serve-problem").innerText(), /different whole numbers from 1 to 64/);
  await page.fill("#serve-users", "16 4, 1");
  await page.click("#serve-run");
  await says(page, "#serve-progress", /of .* answered/);
  assert.equal(await page.isDisabled("#calibrate-run"), true);
  await says(page, "#serve-status", /^Served/);
  assert.equal(await page.isDisabled("#calibrate-run"), false);
  assert.equal(await page.locator("#served tbody tr").count(), 3);
  assert.match(await page.locator("#served tbody tr").first().innerText(), /^1\t13.ms \/ 12\.4.ms/);
  assert.equal(await page.locator("#serve-results .plane .mark.measured").count(), 6);
  assert.match(await page.locator("#serve-results figcaption").first().innerText(), /16 users together get .*ends at 4,200 tokens\/s/);
  assert.deepEqual(await plain.axe(page), []);
  const { name } = await download(page, () => page.getByRole("button", { name: "serving_levels.csv" }).click());
  assert.equal(name, "serving_levels.csv");

  await page.click("#serve-predict");
  await says(page, "#serve-status", /nothing was measured/);
  assert.equal(await page.locator("#serve-results .plane .mark.measured").count(), 0);
  await page.click("#serve-run");
  await page.click("#serve-cancel");
  await says(page, "#serve-status", /^Cancelled/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("the view fits a phone, in the dark too", async () => {
  const { page } = await open();
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
  await calibrate(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
  assert.deepEqual(await plain.axe(page), []);
  await page.close();
});

// ---- The real module -----------------------------------------------------------------------------

/**
 * Opens the view with the real module in the browser with a software adapter.
 * @param {string} [line] what runs in the worker before anything else
 */
async function openReal(line) {
  const opened = await software.newPage(null);
  if (line !== undefined) await beforeWorker(opened.page, line);
  await opened.page.goto(`${software.url}/#calibrate`);
  return opened;
}

/** Lets a line run in the worker before the worker does anything. @type {(page: Page, line: string) => Promise<void>} */
async function beforeWorker(page, line) {
  await page.route("**/www/calibrate/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\n${line}` });
  });
}

for (const subgroups of [false, true]) {
  test(`every kernel agrees with its twin in the browser, ${subgroups ? "by subgroups" : "in workgroup memory"}`, { timeout: 480_000 }, async () => {
    const { page, complaints } = await software.newPage(null);
    await page.goto(`${software.url}/#calibrate`);
    await ready(page);
    const checked = await page.evaluate(async (bySubgroups) => {
      if (bySubgroups) {
        // As the view's worker does.
        const { requestDevice } = GPUAdapter.prototype;
        GPUAdapter.prototype.requestDevice = function (descriptor = {}) {
          return requestDevice.call(this, { ...descriptor, requiredFeatures: [...(descriptor.requiredFeatures ?? []), "subgroups"] });
        };
      }
      // The page's own module: a path of the site, not of this file.
      const module = "/pkg-gpu/batchscope.js";
      const { default: init, GpuEngine } = await import(module);
      await init();
      const gpu = await GpuEngine.open("", navigator.userAgent, bySubgroups);
      return { adapter: gpu.adapter(), checked: await gpu.check(7, true) };
    }, subgroups);
    assert.equal(checked.adapter.subgroups, subgroups);
    const kernels = checked.checked.map((/** @type {{kernel: string}} */ { kernel }) => kernel);
    for (const kernel of ["gemv f32", "gemv f16", "gemv int8", "gemv int4", "rope-append", "attention", "sample", "decoder"]) {
      assert.ok(kernels.some((/** @type {string} */ name) => name.startsWith(kernel)), `${kernel} in ${kernels.join(", ")}`);
    }
    for (const { kernel, cases, worst_error, tolerance } of checked.checked) {
      assert.ok(cases > 0 && worst_error <= tolerance, `${kernel}: ${worst_error} of ${tolerance}`);
    }
    assert.deepEqual(complaints, []);
    await page.close();
  });
}

test("on a software adapter, from the button to re-drawn charts, as a demonstration throughout", async () => {
  const { page, complaints } = await openReal();
  await ready(page);
  assert.match(await page.locator("#calibrate-notices").innerText(), /software adapter.*demonstration/);
  assert.equal(await page.inputValue("#gpu-model"), "demo");
  await page.selectOption("#gpu-length", "quick");
  await page.click("#calibrate-run");
  await gettingOn(page, "#calibrate-results .plane .mark.measured");
  await gettingOn(page, "#use-gpu");
  assert.equal(await page.locator(".demonstration").innerText(), "Demonstration");
  assert.match(await page.locator(".warnings").innerText(), /runs GPU programs on the processor: this is a demonstration/);
  assert.ok((await page.locator("#calibrate-results .plane .mark.measured").count()) > 5);
  assert.ok((await page.locator("#calibrate-results .plane .mark.check").count()) > 1);
  // The proof: two loads on the real decoder, and a verdict in words.
  assert.match(await page.locator("#verdict").innerText(), /predicts this GPU within [\d.]+\s%: throughput/);
  assert.equal(await page.locator("#proof tbody tr").count(), 6);
  assert.equal(await page.locator("#old-version").count(), 0);
  assert.deepEqual(await software.axe(page), []);

  // What is saved is what the command line reads: the other way round is tested there.
  const { text } = await download(page, () => page.click("#save-calibration"));
  const saved = JSON.parse(text);
  assert.equal(saved.demonstration, true);
  assert.equal(saved.version, 3);
  assert.deepEqual(saved.proof.levels.map((/** @type {{users: number}} */ { users }) => users), [1, 16]);
  assert.match(saved.adapter.user_agent, /Chrome/);
  await page.setInputFiles("#calibration-file", { name: "again.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await says(page, "#calibrate-status", /^Opened again\.json/);

  // The whole decoder serves, and the prediction stands beside it.
  await page.fill("#serve-users", "1, 2");
  await page.fill("#serve-requests", "1");
  await page.fill("#serve-prompt", "8");
  await page.fill("#serve-output", "3");
  await page.click("#serve-run");
  await gettingOn(page, "#serve-status", /^Served/);
  assert.equal(await page.locator("#served tbody tr").count(), 2);
  // In a part that is closed: there, and not shown.
  assert.match((await page.locator("#serve-results pre").textContent()) ?? "", /demonstration/);

  const before = await page.locator("#finding").textContent();
  await page.click("#use-gpu");
  await says(page, "#whose-gpu", /^Demonstration, no real GPU.*keeps both promises for/);
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  assert.notEqual(await page.locator("#finding").innerText(), before);
  assert.match(await page.evaluate(() => location.hash), /latency\.linear\.alpha_s=.*gpu=.*demo/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a run on the software adapter is cancelled within 300 ms", async () => {
  const { page, complaints } = await openReal();
  await ready(page);
  await page.click("#calibrate-run");
  await says(page, "#calibrate-progress", /\w/);
  await cancel(page, 300);
  await says(page, "#calibrate-status", /^Cancelled/);
  await page.clock.resume();
  await ready(page);
  assert.equal(await page.locator("#use-gpu").count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a device that is lost in the middle is told, and the next run opens another", async () => {
  // The first device goes in the middle of the run, with what a browser says when a driver is reset.
  const { page } = await openReal(`{
    const request = GPUAdapter.prototype.requestDevice;
    let lose;
    GPUAdapter.prototype.requestDevice = async function (...what) {
      const device = await request.apply(this, what);
      if (lose !== undefined) return device;
      const lost = new Promise((resolve) => {
        lose = () => {
          resolve({ reason: "unknown", message: "a driver was reset" });
          device.destroy();
          lose = () => {};
        };
      });
      Object.defineProperty(device, "lost", { value: lost });
      return device;
    };
    // With the twentieth piece of work that a run gives to the GPU.
    let left = 0;
    addEventListener("message", ({ data }) => {
      if (data.type === "calibrate") left = 20;
    });
    const submit = GPUQueue.prototype.submit;
    GPUQueue.prototype.submit = function (...what) {
      if (left > 0 && --left === 0) lose();
      return submit.apply(this, what);
    };
  }`);
  await ready(page);
  await page.selectOption("#gpu-length", "quick");
  await page.click("#calibrate-run");
  await gettingOn(page, "#calibrate-notices", /a driver was reset.*The simulator is not affected/s);
  await ready(page);
  await page.click("#calibrate-run");
  await gettingOn(page, "#calibrate-progress", /each kernel/);
  await page.click("#calibrate-cancel");
  await page.close();
});

test("a browser without an adapter says what to do, looks again when asked, and still opens files", async () => {
  const { page, complaints } = await plain.newPage(null);
  await page.goto(`${plain.url}/#calibrate`);
  await page.waitForSelector("#gpu-look:not([hidden])", WAIT);
  assert.match(await page.locator("#calibrate-notices").innerText(), /Hardware acceleration.*chrome:\/\/gpu/s);
  assert.equal(await page.isDisabled("#calibrate-run"), true);
  assert.deepEqual(await plain.axe(page), []);
  await page.click("#gpu-look");
  await page.waitForSelector("#gpu-look:not([hidden])", WAIT);
  assert.equal(await page.locator("#calibrate-notices .notice").count(), 1);
  await page.getByRole("link", { name: "Simulator" }).click();
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  assert.deepEqual(complaints.filter((text) => !/No available adapters/.test(text)), []);
  await page.close();
});

test("a browser without WebGPU says which have it", async () => {
  const { page } = await plain.newPage(null);
  await beforeWorker(page, "delete WorkerNavigator.prototype.gpu;");
  await page.goto(`${plain.url}/#calibrate`);
  await says(page, "#calibrate-notices", /current Chrome, Edge, Safari or Firefox/);
  await page.close();
});

test("files that are no calibration are answered in words", async () => {
  const { page, complaints } = await plain.newPage(null);
  await page.goto(`${plain.url}/#calibrate`);
  await page.waitForSelector("#gpu-look:not([hidden])", WAIT);
  for (const [text, answer] of /** @type {const} */ ([
    ["", /bad\.json/],
    ["no JSON at all", /bad\.json/],
    ["[1, 2]", /bad\.json/],
    ['{"kind": "batchscope-calibration", "version": 99}', /99/],
    ['{"kind": "something-else", "version": 1}', /something-else|batchscope-calibration/],
    ['{"kind": "batchscope-calibration", "version": 1, "surprise": 2}', /bad\.json/],
  ])) {
    await page.setInputFiles("#calibration-file", { name: "bad.json", mimeType: "application/json", buffer: Buffer.from(text) });
    await page.waitForSelector('#calibrate-notices [data-kind="file"]', WAIT);
    assert.match(await page.locator('#calibrate-notices [data-kind="file"]').innerText(), answer, text);
    await page.locator('#calibrate-notices [data-kind="file"] button').click();
    assert.equal(await page.locator("#use-gpu").count(), 0);
  }
  // Dropped, it is taken for a calibration and not for a trace.
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["{}"], "dropped.json", { type: "application/json" }));
    document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
  });
  await says(page, '#calibrate-notices [data-kind="file"]', /dropped\.json/);
  assert.doesNotMatch((await page.locator("#trace-read").textContent()) ?? "", /dropped/);
  assert.deepEqual(complaints.filter((text) => !/No available adapters/.test(text)), []);
  await page.close();
});
