// The article as its readers meet it: without JavaScript, with it, by keyboard alone, on a phone, in another
// page's frame, as an element of another page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { extname, join } from "node:path";

import { Harness, ROOT } from "./harness.mjs";
import { FIGURES } from "../../www/article/figures.js";

/** @import { Page } from "playwright-core" */

const WAIT = { timeout: 30_000 };

/** @type {Harness} */
let harness;
before(async () => {
  harness = await Harness.start();
});
after(() => harness?.close());

/** @param {string} [address] */
async function open(address = "") {
  const opened = await harness.newPage(address);
  await painted(opened.page, "promise");
  return opened;
}

/** Comes to a figure with the pointer and waits for its picture from fresh numbers. @type {(page: Page, id: string) => Promise<void>} */
async function painted(page, id) {
  await page.locator(`#fig-${id} .figure-controls`).dispatchEvent("pointerover");
  await page.waitForSelector(`#fig-${id}[data-painted][aria-busy="false"]`, WAIT);
}

/** Acts, and waits for the figure's next picture. @type {(page: Page, id: string, act: () => Promise<unknown>) => Promise<void>} */
async function repaint(page, id, act) {
  const last = await page.getAttribute(`#fig-${id}`, "data-painted");
  await act();
  await page.waitForFunction(([figure, old]) => document.getElementById(`fig-${figure}`)?.dataset["painted"] !== old, [id, last], WAIT);
  await painted(page, id);
}

/** Scrolls to a figure and waits for it to be alive. @type {(page: Page, id: string) => Promise<void>} */
async function reach(page, id) {
  await page.locator(`#fig-${id}`).scrollIntoViewIfNeeded();
  await page.hover(`#fig-${id} .picture`);
  await painted(page, id);
}

/** @type {(page: Page, id: string) => Promise<string>} */
const sentence = (page, id) => page.locator(`#fig-${id} .sentence`).innerText();

test("reads without JavaScript: every figure has its picture and its sentence", async () => {
  const context = await harness.context.browser()?.newContext({ javaScriptEnabled: false, serviceWorkers: "block" });
  const page = await (context ?? harness.context).newPage();
  if (context === undefined) {
    // A persistent context has no browser to ask: the scripts are refused instead.
    await page.route("**/*.js", (route) => route.abort());
  }
  await page.goto(`${harness.url}/`);
  for (const { id } of FIGURES) {
    assert.ok(await page.locator(`#fig-${id} svg`).first().isVisible(), id);
    assert.ok((await sentence(page, id)).length > 60, id);
  }
  assert.equal(await page.locator("#page").isVisible(), false);
  await page.close();
  await context?.close();
});

test("opens on the picture that the document came with, asks nobody else, and complains of nothing", async () => {
  const { page, complaints } = await harness.newPage(null);
  /** @type {string[]} */
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${harness.url}/`);
  const before = await page.locator("#fig-promise .picture svg").first().evaluate((svg) => svg.outerHTML);
  await page.waitForLoadState("networkidle");
  assert.deepEqual(asked.filter((url) => /\/pkg/.test(url)), [], "the simulator is loaded when a figure is touched");
  await painted(page, "promise");
  // Drawn at the column's width, which is that of the document's picture: nothing moves.
  const after = await page.locator("#fig-promise .picture").innerHTML();
  assert.equal(after.replaceAll(/ xmlns="[^"]*"/g, ""), before.replaceAll(/ xmlns="[^"]*"/g, "").replace("for-wide ", ""));
  await page.waitForLoadState("networkidle");
  assert.deepEqual(asked.filter((url) => !url.startsWith(harness.url)), []);
  assert.deepEqual(asked.filter((url) => /pkg-studies|pkg-gpu|\/lab\/|\/studies\//.test(url)), []);
  assert.deepEqual(complaints, []);
  assert.equal(await page.evaluate(() => location.hash), "");
  await page.close();
});

test("a newcomer drags K, shares the link, and another reader sees the same", async () => {
  const { page, complaints } = await open();
  const before = await sentence(page, "promise");
  const slider = page.locator('#fig-promise [data-control="promise-k"] input[type="range"]');
  await repaint(page, "promise", async () => {
    const box = await slider.boundingBox();
    assert.ok(box !== null);
    // From eight bins to the left end.
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + 2, box.y + box.height / 2, { steps: 5 });
    await page.mouse.up();
  });
  assert.equal(await page.inputValue("#promise-k"), "1");
  const after = await sentence(page, "promise");
  assert.notEqual(after, before);
  assert.equal(await page.evaluate(() => location.hash), "#a=1&promise.k=1");
  const link = await page.evaluate(() => location.href);
  await page.goBack();
  await page.waitForFunction((text) => document.querySelector("#fig-promise .sentence")?.textContent === text, before.replaceAll("\u00a0", " "), WAIT).catch(() => {});
  await painted(page, "promise");
  assert.equal(await sentence(page, "promise"), before);
  await page.close();

  const other = await open(link.slice(harness.url.length + 1));
  assert.equal(await other.page.inputValue("#promise-k"), "1");
  assert.equal(await sentence(other.page, "promise"), after);
  assert.deepEqual([...complaints, ...other.complaints], []);
  await other.page.close();
});

for (const { id } of FIGURES) {
  test(`figure ${id}: every control moves it, the cursor reads it, its numbers open`, async () => {
    const { page, complaints } = await open();
    await reach(page, id);
    const figure = FIGURES.find((one) => one.id === id);
    for (const control of figure?.controls ?? []) {
      await repaint(page, id, async () => {
        if (control.kind === "choice") {
          const value = await page.inputValue(`#${control.id}`);
          const other = Object.keys(control.options).find((key) => key !== value);
          await page.selectOption(`#${control.id}`, other ?? "");
        } else {
          const range = page.locator(`[data-control="${control.id}"] input[type="range"]`);
          await range.focus();
          const at = Number(await range.inputValue());
          await page.keyboard.press(at > 0 ? "ArrowLeft" : "ArrowRight");
        }
      });
      assert.match(await page.evaluate(() => location.hash), new RegExp(`${id}\\.${control.path}=`));
    }
    await page.locator(`#fig-${id} .picture`).focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    const read = await page.locator(`#fig-${id} .readout`).innerText();
    assert.ok(read.length > 8, read);
    await page.waitForFunction((name) => (document.querySelector(`#fig-${name} [aria-live="polite"]`)?.textContent ?? "") !== "", id, WAIT);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(`#fig-${id} .readout`).innerText(), "");
    await page.locator(`#fig-${id} details > summary`).click();
    // The table is filled by the event that follows the opening, not by the click itself.
    await page.waitForSelector(`#fig-${id} .numbers tbody tr`, WAIT);
    assert.doesNotMatch(await page.locator(`#fig-${id}`).innerText(), /NaN|undefined|Infinity/);
    assert.equal(await page.locator(`#fig-${id} .problem`).last().innerText(), "");
    assert.deepEqual(complaints, []);
    await page.close();
  });
}

test("SVG, PNG, CSV and JSON of a figure", async () => {
  const { page, complaints } = await open();
  /** @param {string} kind */
  const download = async (kind) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator("#fig-promise .figure-tools").getByRole("button", { name: kind, exact: true }).click()]);
    return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
  };
  const svg = await download("SVG");
  assert.equal(svg.name, "batchscope-promise.svg");
  assert.match(svg.bytes.toString(), /^<\?xml[^]*<svg [^>]*width="640"[^]*multi-bin dynamic/);
  assert.doesNotMatch(svg.bytes.toString(), /var\(|\$[a-z]/);
  const png = await download("PNG");
  assert.equal(png.bytes.subarray(1, 4).toString(), "PNG");
  assert.equal(png.bytes.readUInt32BE(16), 1280);
  assert.ok(png.bytes.length > 5000);
  const csv = (await download("CSV")).bytes.toString().trim().split("\n");
  assert.equal(csv.length, 5);
  // All digits, not those of the page.
  assert.match(csv[4] ?? "", /^multi-bin dynamic,0\.\d{10,},\d+\.\d{10,}$/);
  const json = JSON.parse((await download("JSON")).bytes.toString());
  assert.deepEqual(json.settings, { k: 8, sla: 20, gpus: 16 });
  assert.equal(json.rows.length, 4);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a hostile link falls back with a notice, and nothing of it becomes part of the page", async () => {
  const { page, complaints } = await open("#a=1&promise.k=<img src=x onerror=alert(1)>&promise.gpus=1e99&__proto__.x=1");
  assert.equal(await page.inputValue("#promise-k"), "8");
  const said = await page.locator("#notices").innerText();
  assert.match(said, /promise\.k = <img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator("#notices img").count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("an anchor leads to its figure, and links lead to the other views and back", async () => {
  const { page } = await harness.newPage("#fig-gpus");
  await painted(page, "gpus");
  await page.waitForFunction(() => Math.abs(document.getElementById("fig-gpus")?.getBoundingClientRect().top ?? 9999) < 200, null, WAIT);
  await page.locator("#fig-gpus .figure-tools a").click();
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
  assert.match(await page.evaluate(() => location.hash), /^#v=2/);
  await page.getByRole("link", { name: "Article" }).click();
  await page.waitForFunction(() => document.querySelector("#fig-promise")?.checkVisibility() === true, null, WAIT);
  await page.close();
});

test("two hundred quick moves end in the right picture", async () => {
  const { page, complaints } = await open();
  await page.evaluate(async () => {
    const slider = document.querySelector('[data-control="promise-k"] input[type="range"]');
    if (!(slider instanceof HTMLInputElement)) throw new Error("no slider");
    for (let i = 0; i <= 200; i += 1) {
      slider.value = String((i * 7) % 12);
      slider.dispatchEvent(new Event("input"));
      if (i % 20 === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    slider.dispatchEvent(new Event("change"));
  });
  await painted(page, "promise");
  const last = await sentence(page, "promise");
  const hash = await page.evaluate(() => location.hash);
  await page.close();
  const again = await open(hash);
  assert.equal(await sentence(again.page, "promise"), last);
  assert.deepEqual(complaints, []);
  await again.page.close();
});

test("a crash of the worker is mended by a fresh one, a second one is told", async () => {
  const { page } = await harness.newPage(null);
  let crashes = 1;
  await page.route("**/article/worker.js", async (route) => {
    crashes -= 1;
    if (crashes >= 0) await route.fulfill({ contentType: "text/javascript", body: "onmessage = () => { postMessage({ type: 'crashed', message: 'out of memory' }); };" });
    else await route.continue();
  });
  await page.goto(`${harness.url}/`);
  await painted(page, "promise");
  assert.equal(await page.locator("#fig-promise .problem").last().innerText(), "");
  await page.close();

  const other = await harness.newPage(null);
  await other.page.route("**/article/worker.js", (route) => route.fulfill({ contentType: "text/javascript", body: "onmessage = () => { postMessage({ type: 'crashed', message: 'out of memory' }); };" }));
  await other.page.goto(`${harness.url}/`);
  await other.page.locator("#fig-promise .figure-controls").dispatchEvent("pointerover");
  await other.page.waitForFunction(() => /out of memory/.test(document.querySelector("#fig-promise")?.textContent ?? ""), null, WAIT);
  assert.ok(await other.page.locator("#fig-promise svg").first().isVisible(), "the picture of the document stays");
  await other.page.close();
});

test("one figure in a frame: nothing else, and it tells its height", async () => {
  const { page, complaints } = await harness.newPage(null);
  await page.goto(`${harness.url}/build.json`);
  const told = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        addEventListener("message", ({ data }) => {
          if (data.type === "batchscope-height" && data.height > 150) resolve(data);
        });
        const frame = document.createElement("iframe");
        frame.src = url;
        frame.style.width = "700px";
        document.body.append(frame);
      }),
    `${harness.url}/?embed=promise&hide=controls,tools#a=1&promise.k=2`,
  );
  assert.equal(/** @type {any} */ (told).figure, "promise");
  const frame = page.frames().at(-1);
  assert.ok(frame !== undefined);
  await frame.waitForSelector("#fig-promise[data-painted]", WAIT);
  assert.equal(await frame.locator("h1").isVisible().catch(() => false), false);
  assert.equal(await frame.locator("#fig-promise .figure-controls").isVisible(), false);
  assert.equal(await frame.locator("#fig-promise .figure-tools").isVisible(), false);
  assert.match(await frame.locator("#fig-promise .sentence").innerText(), /With 2 bins/);
  assert.deepEqual(complaints.filter((text) => !/favicon/.test(text)), []);
  await page.close();
});

test("the package's five lines work in a plain page", async () => {
  const kinds = /** @type {Record<string, string>} */ ({ ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css", ".html": "text/html" });
  const readme = readFileSync(join(ROOT, "pkg/README.md"), "utf8");
  const example = /```html\n([^]*?)```/.exec(readme)?.[1] ?? "";
  assert.equal(example.trim().split("\n").length, 5);
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    if (path === "/") {
      // With the policy that the README asks for.
      response.writeHead(200, { "content-type": "text/html", "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; connect-src 'self'" });
      response.end(example);
      return;
    }
    try {
      const file = join(ROOT, "pkg", path.replace(/^\/node_modules\/batchscope\//, ""));
      const bytes = readFileSync(file);
      response.writeHead(200, { "content-type": kinds[extname(file)] ?? "application/octet-stream" });
      response.end(bytes);
    } catch {
      response.writeHead(404);
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const { page, complaints } = await harness.newPage(null);
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.waitForSelector("batchscope-figure figure[data-painted]", WAIT);
  assert.match(await page.locator("batchscope-figure .sentence").innerText(), /^20 GPUs .* With 12 bins/);
  // An attribute moves the figure; a move of the reader's comes back as an attribute.
  await page.evaluate(() => document.querySelector("batchscope-figure")?.setAttribute("k", "3"));
  await page.waitForFunction(() => /With 3 bins/.test(document.querySelector("batchscope-figure")?.shadowRoot?.querySelector(".sentence")?.textContent ?? ""), null, WAIT);
  const heard = page.evaluate(() => new Promise((resolve) => document.querySelector("batchscope-figure")?.addEventListener("change", (event) => resolve(/** @type {CustomEvent} */ (event).detail))));
  await page.locator('batchscope-figure [data-control="promise-k"] input[type="range"]').focus();
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await heard, { k: 4, sla: 20, gpus: 20 });
  assert.equal(await page.getAttribute("batchscope-figure", "k"), "4");
  // Another figure.
  await page.evaluate(() => document.querySelector("batchscope-figure")?.setAttribute("figure", "continuous"));
  await page.waitForFunction(() => /An H100 serving/.test(document.querySelector("batchscope-figure")?.shadowRoot?.querySelector(".sentence")?.textContent ?? ""), null, WAIT);
  await page.evaluate(() => document.querySelector("batchscope-figure")?.setAttribute("figure", "nothing"));
  assert.match(await page.locator("batchscope-figure p").innerText(), /no figure “nothing”/);
  assert.deepEqual(complaints.filter((text) => !/favicon/.test(text)), []);
  await page.close();
  server.close();
});

for (const [name, width, scheme] of /** @type {const} */ ([["desktop, light", 1280, "light"], ["desktop, dark", 1280, "dark"], ["phone, light", 390, "light"], ["phone, dark", 360, "dark"]])) {
  test(`no accessibility rule is broken and nothing overflows: ${name}`, async () => {
    const { page } = await harness.newPage(null);
    await page.setViewportSize({ width, height: 844 });
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(`${harness.url}/`);
    for (const { id } of FIGURES) await reach(page, id);
    assert.deepEqual(await harness.axe(page), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "something runs over the edge");
    const over = await page.evaluate(() => {
      /** @type {string[]} */
      const found = [];
      for (const text of document.querySelectorAll(".drawn text")) {
        const [box, svg] = [text.getBoundingClientRect(), text.closest("svg")?.getBoundingClientRect()];
        if (svg !== undefined && (box.left < svg.left - 1 || box.right > svg.right + 1)) found.push(`${text.closest("figure")?.id}: ${text.textContent}`);
      }
      return found;
    });
    assert.deepEqual(over, []);
    await page.close();
  });
}

test("on paper there are pictures and text, and no controls", async () => {
  const { page } = await open();
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator("#fig-promise .figure-controls").isVisible(), false);
  assert.ok(await page.locator("#fig-theorem svg").first().isVisible());
  await page.close();
});

test("the errata and the model that the page links to are pages, for every screen", async () => {
  const article = await open();
  const links = await article.page.$$eval('#article a[href^="docs/"]', (found) => found.map((a) => a.getAttribute("href") ?? ""));
  await article.page.close();
  const { page, complaints } = await harness.newPage(null);
  assert.ok(links.includes("docs/ERRATA.html") && links.includes("docs/MODEL.html#reproduction"), links.join());
  for (const [scheme, width] of /** @type {["light" | "dark", number][]} */ ([["light", 1280], ["dark", 390]])) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 800 });
    for (const link of new Set([...links, "docs/ERRATA.html#3"])) {
      const response = await page.goto(`${harness.url}/${link}`);
      // A second visit to another place of the same page asks for nothing.
      assert.ok(response === null || response.ok(), link);
      const anchor = link.split("#")[1];
      if (anchor !== undefined) assert.ok((await page.locator(`[id="${anchor}"]`).count()) === 1, link);
      assert.ok((await page.locator("h1").count()) === 1, link);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, `${link} scrolls sideways at ${width}`);
    }
    for (const document of ["docs/ERRATA.html", "docs/MODEL.html"]) {
      await page.goto(`${harness.url}/${document}`);
      assert.deepEqual(await harness.axe(page), [], document);
    }
  }
  assert.deepEqual(complaints, []);
  await page.close();
});
