// Replays a batch of the swarm's cases with the browser's module, and prints those whose digests differ
// from the native program's: one line of JSON each, and a last one with the number of cases compared.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Engine, initSync } from "../../pkg-studies/batchscope.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Events of a slice: another slicing must not change the outcome. */
const SLICE = 777;

initSync({ module: readFileSync(join(ROOT, "pkg-studies/batchscope_bg.wasm")) });

const path = process.argv[2];
if (path === undefined) throw new Error("name the file of cases");
let compared = 0;
for (const line of readFileSync(path, "utf8").split("\n")) {
  const { case: number, scenario, text, name, digests } = JSON.parse(line);
  /** @type {string[]} */
  let differs = [];
  try {
    const engine = new Engine();
    if (text === null) engine.generate(scenario);
    else engine.loadBytes(new TextEncoder().encode(text), name);
    engine.begin(scenario);
    while (!engine.advance(SLICE));
    engine.finish("run");
    const found = /** @type {Record<string, string>} */ (engine.digests("run"));
    engine.free();
    differs = Object.keys({ ...digests, ...found }).filter((key) => digests[key] !== found[key]);
  } catch (error) {
    differs = [error instanceof Error ? String(error) : JSON.stringify(error)];
  }
  if (differs.length > 0) console.log(JSON.stringify({ case: number, differs }));
  compared += 1;
}
console.log(JSON.stringify({ compared }));
