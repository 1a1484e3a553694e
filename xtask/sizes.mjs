// What a reader downloads, in bytes as a server with gzip sends them: the page, and what is loaded
// once the studies, the laboratory or the calibration are opened. `node sizes.mjs SITE` prints all, with
// --list the names of the page's own files and the simulator's, which are kept for times without a network.

import { readFileSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** Nothing in these folders of the site is loaded before that view is opened; the laboratory takes the studies' module. */
const LATER = {
  // The simulator's module, when a figure of the article is touched.
  figures: ["pkg", "www/article/worker.js", "www/article/sim.js"],
  studies: ["pkg-studies", "www/studies", "vendor/fflate"],
  lab: ["www/lab"],
  calibrate: ["pkg-gpu", "www/calibrate"],
  // Those with charts have these in common; the article draws its own.
  simulator: ["www/simulator", "www/charts/curves.js", "www/charts/labels.js", "www/charts/plot.js", "vendor/uPlot.esm.js", "vendor/uPlot.LICENSE", "www/desk.js", "www/engine.js", "www/panels/finder.js", "www/summary.js", "www/worker.js"],
  closer: ["www/closer"],
  search: ["www/search"],
  // Of the package, not of the page.
  element: ["www/article/element.js"],
  documents: ["docs", "www/documents"],
};

/** @typedef {"page" | keyof typeof LATER} Part */

/**
 * Every file's compressed size, by which part of the page it belongs to.
 * @param {string} site the folder of a built site
 * @returns {Record<Part, Map<string, number>>}
 */
export function files(site) {
  const parts = /** @type {Record<Part, Map<string, number>>} */ (Object.fromEntries(["page", ...Object.keys(LATER)].map((part) => [part, new Map()])));
  for (const entry of readdirSync(site, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith(".d.ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(site, path).split(sep).join("/");
    /** @param {string[]} folders */
    const within = (folders) => folders.some((folder) => name === folder || name.startsWith(`${folder}/`));
    const later = Object.entries(LATER).find(([, folders]) => within(folders))?.[0];
    const part = /** @type {Part} */ (later ?? "page");
    parts[part].set(name, gzipSync(readFileSync(path), { level: 9 }).length);
  }
  return parts;
}

/** The sum of each part. @param {string} site @returns {Record<Part, number>} */
export function sizes(site) {
  /** @param {Map<string, number>} part */
  const sum = (part) => [...part.values()].reduce((a, b) => a + b, 0);
  return /** @type {Record<Part, number>} */ (Object.fromEntries(Object.entries(files(site)).map(([name, part]) => [name, sum(part)])));
}

const [, script, site] = process.argv;
if (script === fileURLToPath(import.meta.url) && site !== undefined && process.argv.includes("--list")) {
  const { page, figures, simulator } = files(site);
  console.log(JSON.stringify([...page.keys(), ...figures.keys(), ...simulator.keys()].sort()));
} else if (script === fileURLToPath(import.meta.url) && site !== undefined) {
  const { page, figures, simulator, studies, lab, calibrate } = sizes(site);
  /** @param {number} bytes */
  const kB = (bytes) => (bytes / 1000).toFixed(1);
  console.log(`   ${kB(page)} kB with gzip; the first figure that is touched ${kB(figures)} kB more; the simulator, once opened, ${kB(simulator)} kB more; the studies ${kB(studies)} kB more; the laboratory ${kB(lab)} kB beside their module; the calibration ${kB(calibrate)} kB more`);
}
