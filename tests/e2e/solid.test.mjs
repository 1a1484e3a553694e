// What goes wrong on a reader's machine: a file of 2 GB, too many rows, no memory left, a file that means
// harm, a tab that is put aside. Nothing is lost, and a sentence says what happened.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { Harness } from "./harness.mjs";

/** @import { Page } from "playwright-core" */

const WAIT = { timeout: 60_000 };

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

/**
 * Gives the page a file that is made there: a head, and the same lines so often. The browser holds them once.
 * @type {(page: Page, name: string, head: string, lines: string, times: number) => Promise<number>}
 */
const giveFile = (page, name, head, lines, times) =>
  page.evaluate(
    ([called, first, repeated, often]) => {
      const part = new Blob([repeated]);
      const file = new File([first, ...Array.from({ length: often }, () => part)], called);
      const transfer = new DataTransfer();
      transfer.items.add(file);
      const input = document.getElementById("trace-file");
      if (!(input instanceof HTMLInputElement)) throw new Error("no input");
      input.files = transfer.files;
      input.dispatchEvent(new Event("change"));
      return file.size;
    },
    /** @type {const} */ ([name, head, lines, times]),
  );

/** About a megabyte of requests with a remark of so many letters. @param {number} letters */
const requests = (letters) => `5,100,20,${"x".repeat(letters)}\n`.repeat(Math.ceil(1e6 / (10 + letters)));

test("a file of 2 GB: progress, a page that answers, and a reader who changes their mind", async () => {
  const { page, complaints } = await open();
  const finding = await page.locator("#finding").innerText();
  // Long remarks: 2 GB are few enough requests to be served.
  const size = await giveFile(page, "large.csv", "arrival_s,prompt_tokens,output_tokens,remark\n", requests(20_000), 2200);
  assert.ok(size > 2 ** 31, `${size} bytes`);
  await page.waitForFunction(() => /reading the trace/.test(document.getElementById("progress-text")?.textContent ?? ""), null, WAIT);
  // The page answers while a worker reads: it draws, and reading is not over yet.
  await harness.frames(page, 30);
  assert.match(await page.locator("#progress-text").innerText(), /reading the trace/);
  assert.equal(await page.locator("#finding").innerText(), finding);
  await repaint(page, () => page.click("#reset"));
  assert.equal(await page.locator("#finding").innerText(), finding);
  assert.match(await page.locator("#trace-read").innerText(), /generated requests/);
  assert.equal(await page.evaluate(() => location.hash), "#v=2");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a file of 2 GB is read to its end, and served", async () => {
  const { page, complaints } = await open();
  await repaint(page, () => giveFile(page, "large.csv", "arrival_s,prompt_tokens,output_tokens,remark\n", requests(20_000), 2200).then(() => {}));
  assert.match(await page.locator("#trace-read").innerText(), /large\.csv: 1[01]\d,\d{3} rows/);
  assert.equal(await page.locator("#notices .notice").count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("more rows than a browser's memory holds are refused in a sentence, and the former trace stays", async () => {
  const { page, complaints } = await open();
  const finding = await page.locator("#finding").innerText();
  await giveFile(page, "many.csv", "arrival_s,prompt_tokens,output_tokens,remark\n", requests(0), 90);
  await page.waitForSelector("#notices .notice", WAIT);
  assert.match(await page.locator("#notices").innerText(), /many\.csv, row 8000002: more than 8000000 rows, which is what a browser's memory holds; cut the file, or replay it with the command line/i);
  assert.equal(await page.locator("#finding").innerText(), finding);
  assert.match(await page.locator("#trace-read").innerText(), /generated requests/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a run that needs more memory than there is says so, and the page goes on", async () => {
  const { page } = await harness.newPage(null);
  // A worker that has used up nearly all of its memory already.
  let [hungry, changed] = [true, false];
  await page.context().route("**/www/worker.js", async (route) => {
    const response = await route.fetch();
    const text = await response.text();
    const made = text.replace(/engine ?= ?new Engine(\(\))?/, "engine = (memory.grow(65536 - memory.buffer.byteLength / 65536 - 100), new Engine())");
    changed ||= made !== text;
    await route.fulfill({ response, body: hungry ? made : text });
  });
  await page.goto(`${harness.url}/#v=2&trace.synthetic.requests=1000000`);
  await page.waitForSelector('#notices [data-kind="crash"]', WAIT);
  assert.ok(changed);
  assert.match(await page.locator("#notices").innerText(), /needs more memory than a browser gives.*fewer requests.*command line/);
  await page.waitForSelector('#page[aria-busy="false"]', WAIT);
  // The next worker, in the place of the one that was started when this one ended, has memory.
  hungry = false;
  await page.click("#reset");
  await painted(page);
  assert.match(await page.locator("#finding").innerText(), /^On 16 GPUs/);
  await page.context().unroute("**/www/worker.js");
  await page.close();
});

test("a file that means harm is text and numbers, on the page and in what is taken away", async () => {
  const { page, complaints } = await open();
  let asked = 0;
  page.on("dialog", (dialog) => {
    asked += 1;
    void dialog.dismiss();
  });
  const script = "<img src=x onerror=alert(1)><script>alert(2)</script>";
  // As a name of a column, as a cell that is no number, as a label, as the file's own name.
  await giveFile(page, `=HYPERLINK("http://x") ${script}.csv`, "arrival_s,prompt_tokens,output_tokens\n", `0,${script},5\n`, 1);
  await page.waitForSelector('#notices [data-kind="error"]', WAIT);
  assert.match(await page.locator("#notices").innerText(), /<script>alert\(2\)<\/script>/);
  await giveFile(page, "head.csv", `arrival_s,prompt_tokens,${script}\n`, "0,1,2\n", 1);
  await page.waitForFunction(() => /head\.csv/.test(document.getElementById("notices")?.textContent ?? ""), null, WAIT);
  const name = `=HYPERLINK("http://x",A1).csv`;
  await repaint(page, () => giveFile(page, name, "arrival_s,prompt_tokens,output_tokens,model\n", `0,10,5,=1+1\n1,20,5,"${script.replaceAll('"', '""')}"\n2,30,5,@SUM(A1)\n`, 1).then(() => {}));
  assert.match(await page.locator("#trace-read").innerText(), /3 rows/);
  assert.equal(await page.locator("#page img, #notices img, #page script").count(), 0);
  // No cell of a table that is taken away begins like a formula.
  for (const button of ["Summary, CSV", "Requests of dynamic, CSV"]) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button, exact: true }).click()]);
    const text = readFileSync(await file.path(), "utf8");
    assert.doesNotMatch(text, /(^|[,"\n])[=@]/m, button);
    if (button === "Summary, CSV") assert.match(text, /trace\.file\.name,"?'=HYPERLINK/);
  }
  assert.equal(asked, 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a tab that is put aside in the middle of a run goes on where it was", async () => {
  const { page, complaints } = await open();
  const session = await page.context().newCDPSession(page);
  // Headless Chromium takes the commands and dispatches no event of a visible page that is frozen, so that nothing
  // tells how long it was.
  const putAside = async () => {
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await session.send("Page.setWebLifecycleState", { state: "active" });
  };
  const last = await page.getAttribute("#page", "data-painted");
  await page.fill("#requests", "500000");
  await page.keyboard.press("Enter");
  await putAside();
  await page.waitForFunction((old) => document.getElementById("page")?.dataset["painted"] !== old, last, WAIT);
  await painted(page);
  assert.match(await page.locator("#trace-read").innerText(), /500,000 generated requests/);
  // The same for a figure of the article that had not been reached.
  await page.goto(`${harness.url}/`);
  await page.locator("#fig-promise .figure-controls").dispatchEvent("pointerover");
  await page.waitForSelector('#fig-promise[data-painted][aria-busy="false"]', WAIT);
  await putAside();
  await page.locator("#fig-bursts").scrollIntoViewIfNeeded();
  await page.locator("#fig-bursts .figure-controls").dispatchEvent("pointerover");
  await page.waitForSelector('#fig-bursts[data-painted][aria-busy="false"]', WAIT);
  assert.deepEqual(complaints, []);
  await page.close();
});
