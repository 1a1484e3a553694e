// Random gestures over all views, and random addresses. Both are drawn from a seed:
//
//   BATCHSCOPE_WALK_SEED=7 BATCHSCOPE_WALK_SECONDS=3600 node --test tests/e2e/walk.test.mjs
//
// After each, the page answers, shows exactly one view, prints no NaN, fits its window and logs no error. A failure
// prints the gestures before it; the same seed makes the same choices again.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import fc from "fast-check";

import { hashes } from "../node/hashes.mjs";
import { Harness } from "./harness.mjs";

/** @import { ElementHandle, Page } from "playwright-core" */

const SEED = Number(process.env["BATCHSCOPE_WALK_SEED"] ?? 1);
const SECONDS = Number(process.env["BATCHSCOPE_WALK_SECONDS"] ?? 60);
const LINKS = Number(process.env["BATCHSCOPE_WALK_LINKS"] ?? 500);
/** For the page to answer, and a control to be reachable, also on a busy machine. */
const WAIT = { timeout: 60_000 };
/** For a control to be reached: no work of the page's comes in between. */
const REACH = { timeout: 20_000 };
/** The narrowest of today's telephones, a tablet, a laptop, a large screen. */
const SIZES = [[320, 640], [390, 844], [768, 1024], [1280, 800], [1920, 1080]];
/** Typed into boxes for numbers and lists. */
const TYPED = ["", "0", "1", "2", "3", "8", "12.5", "100", "1000", "-1", "1e9", "x", "0.5, 0.7", "API log, 1, 5", " 7 ", "\u0000"];
const KEYS = ["Tab", "Shift+Tab", "Enter", "Space", "Escape", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageDown"];
const TRACE = "arrival_s,prompt_tokens,output_tokens\n" + Array.from({ length: 200 }, (_, i) => `${i / 3},${100 + (i % 7) * 50},${20 + (i % 11) * 9}\n`).join("");
/** Not a trace. */
const OTHER = "name,colour\nno,numbers\n";

/** @type {Harness} */
let harness;
before(async () => {
  harness = await Harness.start();
});
after(() => harness?.close());

/**
 * What must hold after every gesture; a sentence where it does not.
 * @param {Page} page
 */
async function wrong(page) {
  const { views, broken, over, widest, titles, twice } = await page.evaluate(() => {
    const shown = [...document.querySelectorAll("main[data-view]")].filter((view) => view instanceof HTMLElement && !view.hidden);
    // Only where numbers are drawn: prose and boxes may hold these words.
    const numbers = [...document.querySelectorAll("td, output, text, .finding, #finding, [role=status]")];
    const found = numbers.map((node) => node.textContent ?? "").find((text) => /\bNaN\b|\bundefined\b|\[object |\bInfinity\b/.test(text));
    const { scrollWidth, clientWidth } = document.documentElement;
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
    const over = scrollWidth - clientWidth;
    const beyond = over <= 1 ? [] : [...document.querySelectorAll("body *")].filter((part) => part.checkVisibility() && part.getBoundingClientRect().right > clientWidth + 1);
    const widest = beyond.slice(-3).map((part) => `${part.tagName.toLowerCase()}#${part.id}.${part.getAttribute("class") ?? ""}`);
    return { views: shown.map((view) => view.getAttribute("data-view")), broken: found, over, widest: `${innerWidth} pixels: ${widest.join(", ")}`, titles: document.title, twice };
  });
  if (views.length !== 1) return `the views shown are: ${views.join(", ") || "none"}`;
  if (broken !== undefined) return `drawn is: ${broken.slice(0, 200)}`;
  if (over > 1) return `the page is ${over} pixels wider than its window of ${widest}`;
  if (twice.length > 0) return `two parts have the id ${twice.join(", ")}`;
  return titles === "" ? "the page has no title" : "";
}

/** No view is at work. @param {Page} page */
const settled = (page) => page.waitForFunction(() => [...document.querySelectorAll('[aria-busy="true"]')].every((part) => part instanceof HTMLElement && !part.checkVisibility()), null, WAIT);

test(`${LINKS} random addresses`, async () => {
  let { page, complaints } = await harness.newPage("");
  const drawn = fc.sample(hashes, { seed: SEED, numRuns: LINKS });
  for (const [i, hash] of drawn.entries()) {
    // Most as a reader's next step in an open page, some as a page of their own.
    if (i % 25 === 24) {
      await page.close();
      ({ page, complaints } = await harness.newPage(hash));
    } else {
      await page.evaluate((next) => {
        location.hash = next;
      }, hash);
    }
    const where = `address ${i} of seed ${SEED}: ${JSON.stringify(hash)}`;
    assert.equal(await wrong(page), "", where);
    assert.deepEqual(complaints, [], where);
  }
  // After all that: the simulator's own picture.
  await page.evaluate(() => {
    location.hash = "#v=2&trace.synthetic.requests=1000";
  });
  await page.waitForFunction(() => /1,000 generated requests/.test(document.getElementById("trace-read")?.textContent ?? ""), null, WAIT);
  await settled(page);
  assert.equal(await wrong(page), "");
  assert.deepEqual(complaints, []);
  await page.close();
});

/** Three numbers that decide a gesture: which, on what, and with which value. @typedef {[number, number, number]} Choice */

/** @type {<T>(list: readonly T[], at: number) => T} */
const pick = (list, at) => /** @type {any} */ (list[at % list.length]);

/**
 * One of the things that a reader can use now; null where there is none.
 * @type {(page: Page, at: number) => Promise<ElementHandle<HTMLElement> | null>}
 */
async function thing(page, at) {
  const handle = await page.evaluateHandle((number) => {
    const usable = [...document.querySelectorAll("button, a[href], input, select, summary, [tabindex='0'], [role=slider]")].filter((part) => {
      if (!(part instanceof HTMLElement) || !part.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
      const { width, height, right } = part.getBoundingClientRect();
      // A link that is there for those who have no mouse stands beside the page.
      if (width === 0 || height === 0 || right <= 0 || part.matches(":disabled, [aria-disabled=true]")) return false;
      // Another page, or a window of the system's.
      if (part instanceof HTMLAnchorElement && (part.target !== "" || part.origin !== location.origin || part.pathname !== location.pathname || part.search !== location.search)) return false;
      return part.id !== "calibrate-run";
    });
    return usable[number % Math.max(usable.length, 1)] ?? null;
  }, at);
  return /** @type {ElementHandle<HTMLElement> | null} */ (handle.asElement());
}

/**
 * Does one gesture. Returns what it was.
 * @type {(page: Page, choice: Choice) => Promise<string>}
 */
async function gesture(page, [kind, on, value]) {
  const dice = kind % 100;
  if (dice < 3) {
    const [width = 0, height = 0] = pick(SIZES, value);
    await page.setViewportSize({ width, height });
    return `window of ${width} by ${height}`;
  }
  if (dice < 5) {
    const colorScheme = value % 2 === 0 ? "dark" : "light";
    await page.emulateMedia({ colorScheme });
    return colorScheme;
  }
  if (dice < 9) {
    // Back beyond the page's own steps would leave it.
    const back = value % 2 === 0;
    await page.evaluate((one) => (one ? history.back() : history.forward()), back);
    return back ? "back" : "forward";
  }
  if (dice < 12) {
    const [hash = ""] = fc.sample(hashes, { seed: value, numRuns: 1 });
    await page.evaluate((next) => {
      location.hash = next;
    }, hash);
    return `address ${JSON.stringify(hash).slice(0, 200)}`;
  }
  if (dice < 15) {
    const view = pick(["#to-article", "#to-simulator", "#to-lab", "#to-studies", "#to-calibrate"], value);
    await page.click(view, WAIT);
    return `view ${view}`;
  }
  if (dice < 25) {
    const key = pick(KEYS, value);
    await page.keyboard.press(key);
    return `key ${key}`;
  }
  if (dice < 30) {
    await page.mouse.wheel(0, (value % 2000) - 1000);
    return "wheel";
  }
  const part = await thing(page, on);
  if (part === null) return "nothing to use";
  const what = await part.evaluate((node) => ({
    tag: node.tagName.toLowerCase(),
    type: node.getAttribute("type") ?? "",
    name: `${node.tagName.toLowerCase()}#${node.id} “${(node.getAttribute("aria-label") ?? node.textContent ?? "").trim().slice(0, 40)}”`,
    options: node instanceof HTMLSelectElement ? [...node.options].filter((option) => !option.disabled).map((option) => option.value) : [],
  }));
  if (what.tag === "select") {
    // Its choices are still being loaded.
    if (what.options.length === 0) return `${what.name}: empty`;
    const chosen = pick(what.options, value);
    await part.selectOption(chosen, WAIT);
    return `${what.name}: ${chosen}`;
  }
  if (what.type === "file") {
    const good = value % 3 !== 0;
    await part.setInputFiles({ name: good ? "walk.csv" : "other.csv", mimeType: "text/csv", buffer: Buffer.from(good ? TRACE : OTHER) });
    return `${what.name}: ${good ? "a trace" : "not a trace"}`;
  }
  if (what.type === "range") {
    const key = pick(["ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"], value);
    await part.focus();
    await page.keyboard.press(key);
    return `${what.name}: ${key}`;
  }
  if (what.tag === "input" && ["text", "number", "search", ""].includes(what.type)) {
    const text = pick(TYPED, value);
    await part.fill(text, WAIT);
    await page.keyboard.press(value % 2 === 0 ? "Enter" : "Tab");
    return `${what.name}: ${JSON.stringify(text)}`;
  }
  if (value % 4 === 0) {
    await part.focus();
    await page.keyboard.press(what.type === "checkbox" ? "Space" : "Enter");
    return `${what.name}: by key`;
  }
  if (value % 4 === 1) {
    await part.hover(REACH);
    return `${what.name}: pointed at`;
  }
  // A part that cannot be reached is a fault: Playwright waits until nothing lies over it.
  try {
    await part.click(REACH);
  } catch (error) {
    throw new Error(`${what.name} cannot be pressed: ${String(error)}`, { cause: error });
  }
  return `${what.name}: pressed`;
}

/** A redrawn part is gone before it could be used. @param {unknown} error */
const gone = (error) => /not attached|was detached|element is not (visible|enabled|stable)|Element is not visible/i.test(String(error));

test(`${SECONDS} s of random gestures`, async () => {
  const { page, complaints } = await harness.newPage("");
  page.on("dialog", (dialog) => void dialog.dismiss());
  const choices = fc.sample(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { seed: SEED, numRuns: 20 * SECONDS + 1000 });
  /** @type {string[]} */
  const done = [];
  const end = performance.now() + SECONDS * 1000;
  for (const [i, choice] of choices.entries()) {
    if (performance.now() >= end) break;
    const told = () => `gesture ${i} of seed ${SEED}; before it, the last first:\n${done.slice(-15).reverse().join("\n")}`;
    try {
      done.push(`${i}: ${await gesture(page, choice)}`);
    } catch (error) {
      if (!gone(error)) throw new Error(`${String(error)}\n${told()}`, { cause: error });
      done.push(`${i}: gone`);
    }
    // Back to the page that was there before the first gesture.
    if (!page.url().startsWith(harness.url)) {
      await page.goto(harness.url, WAIT);
      continue;
    }
    let sentence = await wrong(page);
    // A window that has just become narrower is laid out with the next frame.
    if (/wider/.test(sentence)) {
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      sentence = await wrong(page);
    }
    assert.equal(sentence, "", told());
    assert.deepEqual(complaints, [], told());
  }
  assert.ok(done.length > SECONDS, `${done.length} gestures`);
  const redrawn = done.filter((text) => / gone$/.test(text)).length;
  assert.ok(redrawn <= done.length / 20, `${redrawn} of ${done.length} gestures found their part redrawn, hidden or disabled`);
  // No control is dead after all that: the simulator still follows its sliders.
  await page.evaluate(() => {
    location.hash = "#v=2&trace.synthetic.requests=1000";
  });
  await page.waitForFunction(() => /1,000 generated requests/.test(document.getElementById("trace-read")?.textContent ?? ""), null, WAIT);
  await settled(page);
  // The walk may have looked for a setting, which hides the others.
  await page.fill("#find", "");
  await page.fill("#gpus", "3");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /fleet\.gpus=3\b/.test(location.hash), null, WAIT);
  await settled(page);
  assert.deepEqual(complaints, []);
  console.log(`   ${done.length} gestures, ${redrawn} of them on a part that was redrawn`);
  await page.close();
});
