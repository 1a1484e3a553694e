// Serves the double of the module with the GPU, gpu-double.js, to a page.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "./harness.mjs";

/** @import { Page } from "playwright-core" */

/**
 * How the double behaves; times in ms.
 * @typedef {object} Behaviour
 * @property {number} [step] between two points that are measured
 * @property {boolean} [deaf] a run that neither yields nor sees a cancel
 * @property {string} [fails] the code that a run ends with, after some points
 * @property {string} [refuses] the code that opening ends with
 * @property {boolean} [software] plays a software adapter
 */

/** Serves the double to a page that has not been opened yet. @type {(page: Page, behaviour?: Behaviour) => Promise<void>} */
export async function serveDouble(page, behaviour = {}) {
  const body = `const BEHAVIOUR = ${JSON.stringify(behaviour)};\n${readFileSync(join(ROOT, "tests/e2e/gpu-double.js"), "utf8")}`;
  await page.route("**/pkg-gpu/batchscope.js", (route) => route.fulfill({ contentType: "text/javascript", body }));
}
