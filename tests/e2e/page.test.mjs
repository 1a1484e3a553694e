// What a reader does with the page: opens it, moves settings, follows links, uses the keyboard alone,
// drops files, and sees the simulator crash.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Harness, ROOT } from "./harness.mjs";

/** @import { Page } from "playwright-core" */

const REAL_TRACE = join(ROOT, "../shared/data/burstgpt_slice/BurstGPT_1_head.csv");
const GOLDEN = join(ROOT, "../shared/golden/published-400.json");
/** Plenty for a picture, also on a busy machine. */
const WAIT = { timeout: 20_000 };

/** @type {Harness} */
let harness;
before(async () => {
  harness = await Harness.start();
});
after(() => harness?.close());

/** Opens the page and waits for its first picture. @param {string} [hash] */
async function open(hash = "") {
  const opened = await harness.newPage(`index.html${hash === "" ? "#v=2" : hash}`);
  await painted(opened.page);
  return opened;
}

/** Waits until no run is in progress and at least one picture was drawn. @param {Page} page */
async function painted(page) {
  await page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
}

/** Acts, and waits for the picture that follows. @param {Page} page @param {() => Promise<unknown>} act */
async function repaint(page, act) {
  const last = await page.getAttribute("#page", "data-painted");
  await act();
  await page.waitForFunction(
    (/** @type {string | null} */ old) => document.getElementById("page")?.dataset["painted"] !== old,
    last,
    WAIT,
  );
  await painted(page);
}

/** @param {Page} page */
const hash = (page) => page.evaluate(() => location.hash);
/** @param {Page} page @param {string} kind @param {string} label @param {string} policy */
const cell = (page, kind, label, policy) =>
  page.locator(`table[data-table="${kind}"] tr`, { has: page.locator("th", { hasText: label }) }).locator(`td[data-policy="${policy}"]`).textContent();
/** @param {Page} page @param {string} name @param {string} text */
const fileFrom = (page, name, text) => page.setInputFiles("#trace-file", { name, mimeType: "text/csv", buffer: Buffer.from(text) });

test("opens on a finished picture, without a complaint, and asks nobody else", async () => {
  const { page, complaints } = await harness.newPage(null);
  /** @type {string[]} */
  const elsewhere = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(harness.url)) elsewhere.push(request.url());
  });
  await page.goto(`${harness.url}/#v=2`);
  await painted(page);
  assert.match(await page.locator("#finding").innerText(), /keeps both promises for [\d.]+\s%/);
  assert.equal(await page.locator(".promise tbody tr").count(), 12);
  assert.equal(await page.locator("#cdf canvas, #queue canvas, #batch canvas").count(), 3);
  assert.equal(await page.locator("#busy-shares .strip").count(), 4);
  for (const sentence of await page.locator("#page .sentence").allTextContents()) assert.ok(sentence.length > 20, sentence);
  await page.waitForLoadState("networkidle");
  assert.match(await page.locator("#version").innerText(), /^Version \d/);
  assert.deepEqual(complaints, []);
  assert.deepEqual(elsewhere, []);
  assert.equal(await hash(page), "#v=2");
  await page.close();
});

test("works from a subdirectory's point of view: every address is relative", async () => {
  const sources = await harness.newPage(null);
  await sources.page.goto(`${harness.url}/`);
  const absolute = await sources.page.evaluate(() =>
    [...document.querySelectorAll("[src], [href]")].map((node) => node.getAttribute("src") ?? node.getAttribute("href") ?? "").filter((url) => url.startsWith("/") || url.includes("://")),
  );
  assert.deepEqual(absolute, []);
  await sources.page.close();
});

test("a slider changes table and link; back and forward undo and redo it", async () => {
  const { page, complaints } = await open();
  const before = await cell(page, "honest", "Utilisation", "dynamic");
  const slider = page.locator('[data-control="gpus"] input[type="range"]');
  await repaint(page, async () => {
    await slider.focus();
    await page.keyboard.press("ArrowRight");
  });
  assert.equal(await page.inputValue("#gpus"), "20");
  assert.equal(await hash(page), "#v=2&fleet.gpus=20");
  assert.notEqual(await cell(page, "honest", "Utilisation", "dynamic"), before);
  assert.match(await page.locator(".promise.joint .was").last().innerText(), /^[\d.]+ →$/);

  await repaint(page, async () => {
    await page.fill("#bins", "3");
    await page.keyboard.press("Enter");
  });
  assert.equal(await hash(page), "#v=2&bins.count=3&fleet.gpus=20");
  await repaint(page, () => page.goBack());
  assert.equal(await page.inputValue("#bins"), "8");
  await repaint(page, () => page.goBack());
  assert.equal(await page.inputValue("#gpus"), "16");
  assert.equal(await cell(page, "honest", "Utilisation", "dynamic"), before);
  await repaint(page, () => page.goForward());
  assert.equal(await page.inputValue("#gpus"), "20");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a link restores settings and schedulers", async () => {
  const { page, complaints } = await open("#v=1&fleet.gpus=12&workload.failed=keep&predictor.kind=oracle&latency.linear.gamma=0.4&show=dynamic,multi-bin-dynamic");
  assert.equal(await page.inputValue("#gpus"), "12");
  assert.equal(await page.inputValue("#failed"), "keep");
  assert.equal(await page.inputValue("#predictor"), "oracle");
  assert.equal(await page.locator(".promise.joint tbody tr").count(), 2);
  assert.equal(await page.isChecked("#show-static-fifo"), false);
  assert.equal(await page.locator("#notices .notice").count(), 0);
  assert.deepEqual(complaints, []);
  await page.close();
});

for (const [name, link, expected] of [
  ["out of range", "#v=2&fleet.gpus=99999999", /fleet\.gpus/],
  ["markup", "#v=2&fleet.gpus=<img src=x onerror=alert(1)>", /<img src=x/],
  ["an unknown word for the core to refuse", "#v=2&bins.served=nobody", /nobody/],
  ["a number that only the core knows to be wrong", "#v=1&memory.capacity_gb=-5", /memory\.capacity_gb/],
  ["another version", "#v=77&fleet.gpus=2", /version 77/],
]) {
  test(`a hostile link falls back to the default and says so: ${name}`, async () => {
    const { page, complaints } = await open(String(link));
    await page.waitForSelector("#notices .notice", WAIT);
    assert.match(await page.locator("#notices").innerText(), /** @type {RegExp} */ (expected));
    assert.equal(await page.inputValue("#gpus"), "16");
    assert.equal(await page.locator(".promise.joint tbody tr").count(), 4);
    assert.deepEqual(complaints, []);
    await page.close();
  });
}

test("a box refuses what is not allowed, in words", async () => {
  const { page } = await open();
  await page.fill("#gpus", "0");
  await page.keyboard.press("Tab");
  assert.match(await page.locator("#gpus-problem").innerText(), /Allowed is 1 to/);
  assert.equal(await page.getAttribute("#gpus", "aria-invalid"), "true");
  assert.equal(await hash(page), "#v=2");
  await page.close();
});

test("the keyboard alone reaches and moves everything", async () => {
  const { page } = await open();
  /** @type {Set<string>} */
  const reached = new Set();
  for (let i = 0; i < 90; i += 1) {
    await page.keyboard.press("Tab");
    const where = await page.evaluate(() => {
      const node = document.activeElement;
      if (node === null || node === document.body) return null;
      const style = getComputedStyle(node);
      const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
      const name = node.id || node.closest("figure")?.id || node.closest("[data-control]")?.getAttribute("data-control") || node.textContent?.slice(0, 20) || node.tagName;
      return { name, visible: ring || node.id === "trace-file" };
    });
    if (where === null) break;
    assert.ok(where.visible, `focus cannot be seen on ${where.name}`);
    reached.add(where.name);
  }
  for (const wanted of ["show-dynamic", "gpus", "timeScale", "seed", "predictor", "latency", "preset", "trace-file", "cdf", "queue", "batch"]) {
    assert.ok(reached.has(wanted), `${wanted} not reached; only ${[...reached].join(", ")}`);
  }

  await page.locator("#cdf .picture").focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.locator("#cdf .readout").innerText(), /^Within .*%/s);
  await page.waitForFunction(() => document.querySelector("#cdf [aria-live]")?.textContent?.includes("multi-bin dynamic"), null, WAIT);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#cdf .readout").innerText(), "");

  await page.locator("#cdf summary").focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#cdf .numbers tbody tr", WAIT);
  assert.equal(await page.locator("#cdf .numbers tbody tr").count(), 8);
  await page.close();
});

for (const [name, width, scheme] of /** @type {const} */ ([
  ["desktop, light", 1280, "light"],
  ["desktop, dark", 1280, "dark"],
  ["phone, light", 360, "light"],
  ["phone, dark", 360, "dark"],
])) {
  test(`no accessibility rule is broken and nothing overflows: ${name}`, async () => {
    const { page } = await open();
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 740 });
    await harness.frames(page);
    for (const summary of await page.locator("figure summary").all()) await summary.click();
    assert.deepEqual(await harness.axe(page), []);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${overflow} px too wide`);
    await page.close();
  });
}

test("200 % zoom and a narrow window leave nothing to scroll sideways", async () => {
  const { page } = await open();
  for (const width of [1280, 900, 640, 480, 320]) {
    await page.setViewportSize({ width, height: 700 });
    await harness.frames(page);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${overflow} px too wide at ${width}`);
  }
  await page.close();
});

test("the real trace, dropped, gives the published figures", { skip: existsSync(REAL_TRACE) && existsSync(GOLDEN) ? false : `${REAL_TRACE} or its golden figures are absent` }, async () => {
  const { page, complaints } = await open();
  await repaint(page, () => page.selectOption("#preset", "stress-v2"));
  await repaint(page, async () => {
    await page.fill("#gpus", "1");
    await page.keyboard.press("Enter");
  });
  await repaint(page, async () => {
    await page.fill("#bins", "4");
    await page.keyboard.press("Enter");
  });
  await repaint(page, async () => {
    await page.fill("#timeScale", "2000");
    await page.keyboard.press("Enter");
  });
  const transfer = await page.evaluateHandle((/** @type {string} */ text) => {
    const data = new DataTransfer();
    data.items.add(new File([text], "BurstGPT_1_head.csv", { type: "text/csv" }));
    return data;
  }, readFileSync(REAL_TRACE, "utf8"));
  await page.dispatchEvent("body", "dragover", { dataTransfer: transfer });
  await repaint(page, () => page.dispatchEvent("body", "drop", { dataTransfer: transfer }));
  assert.match(await page.locator("#trace-read").innerText(), /BurstGPT_1_head\.csv: 400 rows \(burstgpt\), 17 without output/);

  const golden = JSON.parse(readFileSync(GOLDEN, "utf8")).linear_model_v2.rows;
  for (const [sched, k, policy] of /** @type {const} */ ([["static_fifo", 1, "static-fifo"], ["dynamic_no_bins", 1, "dynamic"], ["multi_bin_dynamic", 4, "multi-bin-dynamic"]])) {
    const row = golden.find((/** @type {{sched: string, g: number, k: number}} */ r) => r.sched === sched && r.g === 1 && r.k === k);
    assert.equal(await cell(page, "published", "Token violations", policy), String(row.tok_viol));
    assert.equal(await cell(page, "published", "Request violations", policy), String(row.req_viol));
    assert.equal(await cell(page, "published", "Mean latency", policy), Number(row.avg_lat.toPrecision(3)).toString());
    assert.equal(await cell(page, "published", "Mean TBT", policy), Number(row.avg_tbt.toPrecision(3)).toString());
    assert.equal(await cell(page, "published", "Largest batch", policy), String(row.maxb));
  }
  assert.match(await hash(page), /file=BurstGPT_1_head\.csv/);
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a bad file is refused with file, row and column, and the picture stays", async () => {
  const { page, complaints } = await open();
  const finding = await page.locator("#finding").innerText();
  await fileFrom(page, "bad.csv", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,many,230,1317,Conversation log\n");
  await page.waitForSelector("#notices .notice", WAIT);
  const alert = await page.locator("#notices").innerText();
  assert.match(alert, /bad\.csv, row 3, column "Request tokens": "many" is not/);
  assert.equal(await page.locator("#notices").getAttribute("role"), "alert");
  assert.equal(await page.locator("#finding").innerText(), finding);
  assert.equal(await hash(page), "#v=2");
  // A good file afterwards clears the complaint.
  await repaint(page, () => fileFrom(page, "good.csv", "arrival_s,prompt_tokens,output_tokens\n0,10,5\n1,20,6\n2,30,7\n"));
  assert.equal(await page.locator("#notices .notice").count(), 0);
  assert.match(await page.locator("#trace-read").innerText(), /good\.csv: 3 rows/);
  await repaint(page, () => page.locator("#trace button").click());
  assert.equal(await hash(page), "#v=2");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a situation sets load, fleet and promises, and is named as long as it is in force", async () => {
  const { page, complaints } = await open();
  for (const id of ["chat-peak", "batch-burst", "one-gpu"]) {
    await repaint(page, () => page.selectOption("#preset", id));
    assert.equal(await page.inputValue("#preset"), id);
    assert.equal(await page.locator("#notices .notice").count(), 0);
    const kept = await page.locator(".promise.joint .share").allInnerTexts();
    assert.ok(new Set(kept).size > 1, `${id}: all schedulers alike, ${kept}`);
  }
  await repaint(page, async () => {
    await page.fill("#gpus", "2");
    await page.keyboard.press("Enter");
  });
  assert.equal(await page.inputValue("#preset"), "");
  assert.deepEqual(complaints, []);
  await page.close();
});

test("settings are found by their words", async () => {
  const { page } = await open();
  await page.fill("#find", "promised");
  const found = () => page.evaluate(() => [...document.querySelectorAll("#controls [data-control]")].filter((one) => one.checkVisibility()).map((one) => one.getAttribute("data-control")));
  assert.deepEqual(await found(), ["tokenSla", "requestSla"]);
  await page.fill("#find", "zzz");
  assert.match(await page.locator("#find-help").innerText(), /No setting/);
  await page.fill("#find", "");
  assert.ok(await page.locator("#seed").isVisible());
  await page.close();
});

test("a long run is shared by several workers, and its numbers are those of one", async () => {
  const long = "#v=2&trace.synthetic.requests=100000&workload.time_scale=20";
  const { page, complaints } = await open(long);
  const alone = await page.locator("#tables").textContent();
  assert.match(alone ?? "", /Utilisation/);
  // The first run was slow enough for a second worker.
  await repaint(page, async () => {
    await page.fill("#gpus", "15");
    await page.keyboard.press("Enter");
  });
  const workers = page.workers().filter((worker) => /www\/worker\.js/.test(worker.url()));
  assert.ok(workers.length >= 2, `${workers.length} workers`);
  await repaint(page, async () => {
    await page.fill("#gpus", "16");
    await page.keyboard.press("Enter");
  });
  assert.equal(await page.locator("#tables").textContent(), alone);
  // Each scheduler's requests are with the worker that served them.
  for (const policy of ["static FIFO", "dynamic", "multi-bin", "multi-bin dynamic"]) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `Requests of ${policy}, CSV`, exact: true }).click()]);
    assert.equal(readFileSync(await file.path(), "utf8").trim().split("\n").length > 90_000, true, policy);
  }
  assert.deepEqual(complaints, []);
  await page.close();
});

test("fifty quick moves end in the right picture", async () => {
  const { page, complaints } = await open();
  await page.evaluate(() => {
    const slider = document.querySelector('[data-control="gpus"] input[type="range"]');
    if (!(slider instanceof HTMLInputElement)) throw new Error("no slider");
    for (let i = 0; i < 50; i += 1) {
      slider.value = String(i % 17);
      slider.dispatchEvent(new Event("input"));
    }
    slider.value = "7";
    slider.dispatchEvent(new Event("input"));
    slider.dispatchEvent(new Event("change"));
  });
  await page.waitForFunction(() => document.querySelector("#finding")?.textContent?.startsWith("On 8 GPUs"), null, WAIT);
  await painted(page);
  const quick = await page.locator("#tables").textContent();
  assert.match(quick ?? "", /Utilisation/);
  assert.equal(await hash(page), "#v=2&fleet.gpus=8");
  assert.deepEqual(complaints, []);
  const calm = await open("#v=2&fleet.gpus=8");
  assert.equal(await calm.page.locator("#tables").textContent(), quick);
  await calm.page.close();
  await page.close();
});

test("a newer run cancels an older one at its next slice", async () => {
  const { page } = await open();
  const told = await page.evaluate(async () => {
    const { DEFAULT_SCENARIO } = await import(new URL("www/defaults.js", location.href).href);
    const worker = new Worker(new URL("www/worker.js", location.href), { type: "module" });
    /** @type {{type: string, runId: number, at: number}[]} */
    const log = [];
    let asked = 0;
    await new Promise((resolve) => {
      worker.onmessage = ({ data }) => {
        log.push({ type: data.type, runId: data.runId, at: performance.now() - asked });
        // The long run is under way once it reports progress.
        if (data.type === "progress" && asked === 0) {
          asked = performance.now();
          worker.postMessage({ type: "run", runId: 2, scenario: DEFAULT_SCENARIO, policies: ["dynamic"], file: null });
        }
        if (data.type === "done") resolve(null);
      };
      const long = structuredClone(DEFAULT_SCENARIO);
      long.trace.synthetic.requests = 1_000_000;
      long.workload.time_scale = 200;
      worker.postMessage({ type: "run", runId: 1, scenario: long, policies: ["multi-bin-dynamic", "dynamic", "static-fifo"], file: null });
    });
    worker.terminate();
    return log;
  });
  const cancelled = told.find(({ type }) => type === "cancelled");
  assert.equal(cancelled?.runId, 1);
  assert.ok(told.some(({ type, runId }) => type === "done" && runId === 2));
  assert.ok(!told.some(({ type, runId }) => type === "done" && runId === 1));
});

test("a crash of the simulator is told, and a fresh worker goes on", async () => {
  const { page } = await open();
  const [worker] = page.workers();
  assert.ok(worker !== undefined);
  await worker.evaluate(() => {
    setTimeout(() => {
      // What a panic in wasm is to the worker: an instruction that traps.
      const trap = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 5, 1, 3, 0, 0, 11]);
      new WebAssembly.Instance(new WebAssembly.Module(trap));
    });
  });
  await page.waitForSelector('#notices [data-kind="crash"]', WAIT);
  assert.match(await page.locator("#notices").innerText(), /stopped unexpectedly.*unreachable/s);
  await repaint(page, async () => {
    await page.fill("#gpus", "6");
    await page.keyboard.press("Enter");
  });
  assert.match(await page.locator("#finding").innerText(), /^On 6 GPUs/);
  await page.close();
});

test("downloads: summary as CSV and JSON, requests as CSV, all digits", async () => {
  const { page } = await open();
  /** @param {string} name */
  const get = async (name) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).click()]);
    return readFileSync(await download.path(), "utf8");
  };
  const csv = await get("Summary, CSV");
  assert.match(csv, /^scheduler,figure,value\nstatic-fifo,/);
  assert.match(csv, /multi-bin-dynamic,honest\.sla\.joint,0\.\d{4,}/);
  const json = JSON.parse(await get("Summary, JSON"));
  assert.equal(json.length, 4);
  const requests = (await get("Requests of dynamic, CSV")).trim().split("\n");
  assert.match(requests[0] ?? "", /^row,arrival_s,start_s,end_s,/);
  assert.equal(requests.length - 1, json[1].workload.rows_replayed);
  await page.close();
});

test("a file without a request to replay leaves figures and trace as they were", async () => {
  const { page } = await open();
  const said = await page.locator("#trace-read").innerText();
  await fileFrom(page, "failed.csv", "arrival_s,prompt_tokens,output_tokens\n0,0,0\n1,0,0\n");
  await page.waitForSelector("#notices .notice", WAIT);
  assert.match(await page.locator("#notices").innerText(), /no request is left to replay/);
  assert.equal(await page.locator("#trace-read").innerText(), said);
  await page.close();
});
