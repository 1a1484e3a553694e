// What a reader downloads, in bytes as a server with gzip sends them: the page, and what is loaded
// once the studies are opened. `node sizes.mjs SITE` prints both.

import { readFileSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** Nothing in these folders of the site is loaded before the studies are opened. */
const STUDIES = ["pkg-studies", "www/studies", "vendor/fflate", "docs"];

/**
 * Every file's compressed size, by which part of the page it belongs to.
 * @param {string} site the folder of a built site
 * @returns {{page: Map<string, number>, studies: Map<string, number>}}
 */
export function files(site) {
  const parts = { page: new Map(), studies: new Map() };
  for (const entry of readdirSync(site, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith(".d.ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(site, path).split(sep).join("/");
    const part = STUDIES.some((folder) => name.startsWith(`${folder}/`)) ? "studies" : "page";
    parts[part].set(name, gzipSync(readFileSync(path), { level: 9 }).length);
  }
  return parts;
}

/** The sum of each part. @param {string} site @returns {{page: number, studies: number}} */
export function sizes(site) {
  const { page, studies } = files(site);
  /** @param {Map<string, number>} part */
  const sum = (part) => [...part.values()].reduce((a, b) => a + b, 0);
  return { page: sum(page), studies: sum(studies) };
}

const [, script, site] = process.argv;
if (script === fileURLToPath(import.meta.url) && site !== undefined) {
  const { page, studies } = sizes(site);
  console.log(`   ${(page / 1000).toFixed(1)} kB with gzip; the studies, once opened, ${(studies / 1000).toFixed(1)} kB more`);
}
