// The table of predicted and measured users in docs/GPU.md, a row a call:
//
//   node tests/e2e/served.mjs [--native] [RUNS]
//
// Each of the runs (3) calibrates quickly, then serves 1, 4 and 16 users, three requests each of 64 prompt and 32 output tokens. In
// Chromium on its software adapter (after `cargo xtask build`), or with `--native` by the command line on the adapter that it takes
// by itself. The row has the errors of the prediction, the least and the greatest of the runs.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { program } from "../node/program.mjs";
import { Harness } from "./harness.mjs";

/** @typedef {{calibration: string, levels: string}} Texts the two files that a run leaves */

const USERS = [1, 4, 16];
const LONG = { timeout: 1_800_000 };

/** @type {(harness: Harness) => Promise<Texts>} */
async function inBrowser(harness) {
  // A page of its own: the GPU is opened again, and nothing is compiled yet.
  const { page } = await harness.newPage("#calibrate");
  await page.waitForSelector("#calibrate-run:not([disabled]):not([hidden])", LONG);
  await page.selectOption("#gpu-length", "quick");
  // A calibration beside which the processor had other work is refused, and begun again.
  for (let attempt = 1; (await page.locator("#use-gpu").count()) === 0; attempt += 1) {
    if (attempt > 5) throw new Error(await page.locator("#calibrate-notices").innerText());
    await page.click("#calibrate-run");
    await page.waitForSelector("#calibrate-cancel:not([hidden])", LONG);
    await page.waitForSelector("#calibrate-run:not([disabled]):not([hidden])", LONG);
  }
  const saved = async (/** @type {string} */ button) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(button).click()]);
    return readFileSync(await file.path(), "utf8");
  };
  const calibration = await saved("#save-calibration");
  for (const [field, value] of Object.entries({ users: USERS.join(", "), requests: "3", prompt: "64", output: "32" })) await page.fill(`#serve-${field}`, value);
  await page.click("#serve-run");
  await page.waitForFunction(() => /^Served/.test(document.querySelector("#serve-status")?.textContent ?? ""), null, LONG);
  const levels = await saved('#serve-results button:has-text("serving_levels.csv")');
  await page.close();
  return { calibration, levels };
}

/** @returns {Texts} */
function natively() {
  const folder = mkdtempSync(join(tmpdir(), "batchscope-served-"));
  const file = join(folder, "cal.json");
  const run = (/** @type {string} */ line) => execFileSync(program(), line.split(" "), { stdio: ["ignore", "ignore", "inherit"] });
  run(`calibrate --model demo --quick --out ${file}`);
  run(
    `run --gpus 1 --rule vllm --latency ${file} --measure --users ${USERS} --requests-per-user 3 --prompt 64 --output 32 --max-sequences 64 ` +
      `--max-batched-tokens 128 --set engine.continuous.kv.capacity=unlimited --out ${folder}`,
  );
  const [calibration, levels] = [readFileSync(file, "utf8"), readFileSync(join(folder, "serving_levels.csv"), "utf8")];
  rmSync(folder, { recursive: true });
  return { calibration, levels };
}

/** Errors of the prediction, %, one a run, by figure and users. @type {Map<string, number[]>} */
const errors = new Map();

/** Takes the errors of a run, and prints what it says of itself. @param {Texts} texts */
function take({ calibration, levels }) {
  /** @type {import("../../www/types.js").Calibration} */
  const { adapter, proof, steadiness, drift, check_median_error: checks, took_s: took } = JSON.parse(calibration);
  const note = (/** @type {string} */ key, /** @type {number} */ error) => errors.set(key, [...(errors.get(key) ?? []), error]);
  for (const { predicted, measured } of proof?.levels ?? []) note("proof", 100 * (predicted.output_tokens_per_s / measured.output_tokens_per_s - 1));
  for (const line of levels.trim().split("\n").slice(1)) {
    const [users, figure, , , error] = line.split(",");
    note(`${figure} ${users}`, Number(error));
  }
  const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(1)} %`;
  console.log(`${adapter.name}: ${took.toFixed(0)} s; checks ${percent(checks)}, spread ${percent(steadiness?.spread ?? NaN)}, drift ${percent(drift ?? NaN)}`);
  console.log(levels.split("\n").filter((line) => /,(tok_s|tbt_ms|tbt_p95_ms),/.test(line)).join("\n"));
}

/** @param {string} key */
function range(key) {
  const all = errors.get(key) ?? [];
  const sign = (/** @type {number} */ error) => `${error >= 0.5 ? "+" : ""}${Math.round(error)}`;
  return `${sign(Math.min(...all))} to ${sign(Math.max(...all))}`;
}

const runs = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 3);
const harness = process.argv.includes("--native") ? null : await Harness.start({ webgpu: true });
for (let run = 0; run < runs; run += 1) take(harness === null ? natively() : await inBrowser(harness));
await harness?.close();
const cells = ["tok_s", "tbt_ms", "tbt_p95_ms"].map((figure) => `${USERS.map((users) => range(`${figure} ${users}`)).join(" / ")} %`);
console.log(`| | ${[`${range("proof")} %`, ...cells].join(" | ")} |`);
