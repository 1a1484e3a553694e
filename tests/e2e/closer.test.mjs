// A closer look at the simulator's run: the timeline and the life of a request, the map of GPUs against
// bins, the search for a fleet, the exercises.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { program } from "../node/program.mjs";
import { Harness } from "./harness.mjs";

/** @import { Page } from "playwright-core" */

const WAIT = { timeout: 30_000 };
/** A search loads a module of its own first. */
const SEARCH_WAIT = { timeout: 60_000 };

/** @type {Harness} */
let harness;
before(async () => {
  harness = await Harness.start();
});
after(() => harness?.close());

/** @param {string[]} complaints */
/** @param {string} [hash] */
async function open(hash = "#v=2") {
  const opened = await harness.newPage(hash);
  await painted(opened.page);
  return opened;
}

/** @param {Page} page */
const painted = (page) => page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);

/** @type {(page: Page, act: () => Promise<unknown>) => Promise<void>} */
async function repaint(page, act) {
  const last = await page.getAttribute("#page", "data-painted");
  await act();
  await page.waitForFunction((old) => document.getElementById("page")?.dataset["painted"] !== old, last, WAIT);
  await painted(page);
}

/** What the native program answers. @param {string[]} args */
const cli = (...args) => JSON.parse(execFileSync(program(), args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));

/** @param {Page} page */
async function timeline(page) {
  await page.click("#timeline > summary");
  await page.waitForSelector("#timeline[data-loaded]", WAIT);
}

test("nothing of it is loaded before it is opened", async () => {
  const { page, complaints } = await harness.newPage(null);
  /** @type {string[]} */
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${harness.url}/#v=2`);
  await painted(page);
  assert.deepEqual(asked.filter((url) => /www\/(closer|search)/.test(url)), []);
  await timeline(page);
  assert.ok(asked.some((url) => /www\/closer\/timeline/.test(url)));
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a batch is clicked, its requests are told, and the other figures mark it", async () => {
  const { page, complaints } = await open();
  await timeline(page);
  const canvas = page.locator(".timeline-canvas");
  await canvas.scrollIntoViewIfNeeded();
  // By keyboard: to the third batch, and into it.
  await canvas.focus();
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("ArrowRight");
  assert.match(await page.locator("#timeline .readout").innerText(), /^Batch 3 on GPU \d+: \d+ requests?, from /);
  assert.equal(await page.locator("#cdf .marked-span").count(), 1);
  assert.equal(await page.locator("#queue .marked-span").count(), 1);
  await page.keyboard.press("Enter");
  const story = await page.locator(".life").innerText();
  assert.match(story, /Batch 3 on GPU/);
  assert.match(story, /The life of request/);
  // The request started when its batch did.
  const began = /^Batch 3 on GPU \d+: .* from ([\d.,]+\s\S+) for/.exec(await page.locator("#timeline .readout").innerText())?.[1];
  assert.ok(began !== undefined && story.includes(`Started at ${began} on GPU`), `${began}: ${story}`);
  assert.match(story, /Arrived at .* with a prompt of/);
  assert.match(story, /The promise of 20\s?s was (kept|broken)/);
  // By pointer: zoom in on the first minutes and click the first lane.
  for (let i = 0; i < 4; i += 1) await page.click("#timeline button:has-text('Zoom in')");
  const box = await canvas.boundingBox();
  assert.ok(box !== null);
  let opened = "";
  for (let x = 80; x < box.width - 10 && opened === ""; x += 7) {
    await page.mouse.move(box.x + x, box.y + 10);
    if (/^Batch/.test(await page.locator("#timeline .readout").innerText())) {
      await page.mouse.click(box.x + x, box.y + 10);
      opened = await page.locator(".life > p").first().innerText();
    }
  }
  assert.match(opened, /^Batch \d[\d,]* on GPU 1/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("play, pause, scrub, pan and the whole run again", async () => {
  const { page } = await open();
  await timeline(page);
  const said = () => page.locator("#timeline .readout").innerText();
  await page.click("#timeline button:has-text('Play')");
  await page.waitForFunction(() => /^At .* GPUs are busy/.test(document.querySelector("#timeline .readout")?.textContent ?? ""), null, WAIT);
  await page.click("#timeline button:has-text('Pause')");
  const stopped = await said();
  await harness.frames(page, 10);
  assert.equal(await said(), stopped);
  await page.locator("#timeline input[type=range]").evaluate((/** @type {HTMLInputElement} */ range) => {
    range.value = "900";
    range.dispatchEvent(new Event("input"));
  });
  assert.notEqual(await said(), stopped);
  await page.click("#timeline button:has-text('Whole run')");
  await page.close();
});

test("the timeline follows the settings, and another scheduler can be looked at", async () => {
  const { page } = await open("#v=2&trace.synthetic.requests=2000");
  await timeline(page);
  const label = () => page.getAttribute(".timeline-canvas", "aria-label");
  const first = await label();
  assert.match(first ?? "", /on 16 GPUs/);
  const loaded = await page.getAttribute("#timeline", "data-loaded");
  await page.selectOption("#timeline select", "static-fifo");
  await page.waitForFunction((old) => document.getElementById("timeline")?.dataset["loaded"] !== old, loaded, WAIT);
  assert.notEqual(await label(), first);
  await repaint(page, async () => {
    await page.fill("#gpus", "3");
    await page.keyboard.press("Enter");
  });
  await page.waitForFunction(() => /on 3 GPUs/.test(document.querySelector(".timeline-canvas")?.getAttribute("aria-label") ?? ""), null, WAIT);
  await page.close();
});

test("the map fills in, agrees with the simulator, and a click sets both", async () => {
  const { page, complaints } = await open();
  await page.click("#map > summary");
  await page.click("text=Draw the map");
  await page.waitForSelector("#map [data-done]", WAIT);
  assert.equal(await page.locator("#map tbody td button").count(), 48);
  // The cell of the settings says what the figure above says.
  const here = await page.locator("#map td.here").innerText();
  assert.equal(here.trim(), (await page.locator(".promise.joint tr.multi-bin-dynamic .share").innerText()).trim());
  await repaint(page, () => page.locator('#map td[data-gpus="32"][data-bins="4"] button').click());
  assert.equal(await page.inputValue("#gpus"), "32");
  assert.equal(await page.inputValue("#bins"), "4");
  // Another scheduler, another promise: the same agreement.
  await page.selectOption("#map-scheduler", "dynamic");
  await page.selectOption("#map-promise", "request");
  await page.waitForSelector("#map table.old", WAIT);
  await page.click("text=Draw the map");
  await page.waitForSelector("#map [data-done]", WAIT);
  assert.equal((await page.locator("#map td.here").innerText()).trim(), (await page.locator(".promise.request tr.dynamic .share").innerText()).trim());
  // The map is of the same settings otherwise, and stays; another promise makes it old.
  assert.equal(await page.locator("#map table.old").count(), 0);
  await repaint(page, async () => {
    await page.fill("#requestSla", "10");
    await page.keyboard.press("Enter");
  });
  await page.waitForSelector("#map table.old", WAIT);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("an exercise is begun, strayed from and met", async () => {
  const { page, complaints } = await open();
  await page.click("#challenges > summary");
  await repaint(page, () => page.locator('[data-challenge="fleet"] button').click());
  const verdict = () => page.locator(".verdict").innerText();
  await page.waitForFunction(() => /^Not yet/.test(document.querySelector(".verdict")?.textContent ?? ""), null, WAIT);
  await repaint(page, async () => {
    await page.fill("#requestSla", "600");
    await page.keyboard.press("Enter");
  });
  await page.waitForFunction(() => /not part of this exercise/.test(document.querySelector(".verdict")?.textContent ?? ""), null, WAIT);
  await repaint(page, async () => {
    await page.fill("#requestSla", "20");
    await page.keyboard.press("Enter");
  });
  await repaint(page, async () => {
    await page.fill("#gpus", "48");
    await page.keyboard.press("Enter");
  });
  await page.waitForFunction(() => /^Met/.test(document.querySelector(".verdict")?.textContent ?? ""), null, WAIT);
  assert.match(await verdict(), /both promises are kept for 9\d/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("how many GPUs: the answers of the native program", async () => {
  const { page, complaints } = await open("#v=2&trace.synthetic.requests=1000&show=dynamic,multi-bin-dynamic");
  await page.click("#sizing > summary");
  await page.waitForSelector("#sizing-rate", WAIT);
  // The rate is that of the arrivals until the reader sets another.
  assert.ok(Number(await page.inputValue("#sizing-rate")) > 0.1);
  const fill = async (/** @type {string} */ id, /** @type {string} */ value) => {
    await page.fill(id, value);
    await page.keyboard.press("Enter");
  };
  await fill("#sizing-rate", "2");
  await fill("#sizing-share", "80");
  await page.click("#sizing .search-begin");
  await page.waitForSelector('#sizing [aria-busy="false"] tbody tr:nth-child(2)', SEARCH_WAIT);
  const cells = (/** @type {number} */ nth) => page.locator(`#sizing tbody tr:nth-child(${nth}) td`).allInnerTexts();
  const scratch = mkdtempSync(join(tmpdir(), "batchscope-e2e-closer-"));
  const scenario = (/** @type {string} */ policy) => {
    const path = join(scratch, `${policy}.json`);
    writeFileSync(path, JSON.stringify({ trace: { synthetic: { requests: 1000, shape: "burstgpt-week1" } }, scheduler: { policy }, fleet: { gpus: 16 } }));
    return path;
  };
  for (const [i, policy] of ["dynamic", "multi-bin-dynamic"].entries()) {
    const native = cli("capacity", scenario(policy), "--fewest-gpus", "--rate", "2", "--attainment", "0.8", "--replications", "3", "--json");
    const shown = await cells(i + 1);
    assert.equal(shown[0], String(native.gpus), policy);
    assert.equal(shown[1], String(native.gpus_with_confidence ?? "–"), policy);
  }
  assert.match(await page.locator("#sizing .search-finding").innerText(), /^At 2 requests\/s .* needs \d+ GPUs?, .* \d+\.$/);

  await page.selectOption("#sizing-what", "highest-rate");
  assert.match(await page.locator("#sizing [role=status]").innerText(), /other settings/);
  assert.equal(await page.locator("#sizing-rate").isVisible(), false);
  await page.click("#sizing .search-begin");
  await page.waitForFunction(() => document.querySelectorAll("#sizing tbody tr").length === 2 && document.querySelector('#sizing [aria-busy="false"]') !== null, null, SEARCH_WAIT);
  const native = cli("capacity", scenario("dynamic"), "--attainment", "0.8", "--replications", "3", "--json");
  assert.equal((await cells(1))[0], native.rate_per_s.toLocaleString("en", { maximumSignificantDigits: 4 }));
  assert.match((await cells(1))[4] ?? "", /^[\d,]+ requests at [\d.]+\/s, seed 42$/);

  rmSync(scratch, { recursive: true });

  // What is not allowed is told beside its box.
  await fill("#sizing-replications", "0");
  assert.match(await page.locator("#sizing-replications-problem").innerText(), /1 to 100/);
  assert.deepEqual(await harness.axe(page, "#sizing"), []);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a search is cancelled, and what was found stays", async () => {
  const { page } = await open("#v=2&trace.synthetic.requests=100000");
  await page.click("#sizing > summary");
  await page.waitForSelector("#sizing-rate", WAIT);
  await page.fill("#sizing-replications", "30");
  await page.keyboard.press("Enter");
  await page.click("#sizing .search-begin");
  await page.waitForFunction(() => /trying/.test(document.querySelector("#sizing [role=status]")?.textContent ?? ""), null, SEARCH_WAIT);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.waitForSelector('#sizing [aria-busy="false"]', WAIT);
  assert.match(await page.locator("#sizing [role=status]").innerText(), /Cancelled/);
  assert.equal(await page.locator("#sizing .search-begin").isEnabled(), true);
  await page.close();
});

for (const [name, width, scheme] of /** @type {const} */ ([["desktop, dark", 1280, "dark"], ["phone, light", 390, "light"]])) {
  test(`no accessibility rule is broken and nothing overflows: ${name}`, async () => {
    const { page } = await harness.newPage(null);
    await page.setViewportSize({ width, height: 844 });
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(`${harness.url}/#v=2`);
    await painted(page);
    for (const part of ["timeline", "map", "sizing", "challenges"]) await page.click(`#${part} > summary`);
    await page.waitForSelector("#timeline[data-loaded]", WAIT);
    await page.click("text=Draw the map");
    await page.waitForSelector("#map [data-done]", WAIT);
    await page.locator(".timeline-canvas").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    assert.deepEqual(await harness.axe(page, "#explore"), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "something runs over the edge");
    await page.close();
  });
}
