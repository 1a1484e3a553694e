// The pictures that stand in index.html: every figure of the article with its standard settings, drawn by
// the page's own code. `node xtask/article.mjs` rewrites them after the modules were built; a test fails
// where they are stale.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as core from "../pkg/batchscope.js";
import { WIDTH, draw, toText } from "../www/article/draw.js";
import { FIGURES } from "../www/article/figures.js";
import { Sim } from "../www/article/sim.js";
import { WORDS } from "../www/article/words.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const INDEX = join(ROOT, "index.html");

/** @param {string} words */
const escaped = (words) => words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** What a phone has beside its margins. */
const NARROW = 350;

/**
 * A figure's picture, and another for phones: both stand until the reader touches the figure.
 * @type {(figure: (typeof FIGURES)[number], data: any, settings: any) => string}
 */
function drawn(figure, data, settings) {
  const spec = figure.spec(data, settings);
  /** @type {(width: number, name: string) => string} */
  const at = (width, name) => toText(draw(spec, width)).replace('class="', `class="${name}`);
  return at(WIDTH, "for-wide ") + at(NARROW, "for-narrow ");
}

/** A simulator with the module that was built. */
export function simulator() {
  core.initSync({ module: readFileSync(join(ROOT, "pkg/batchscope_bg.wasm")) });
  return new Sim(core);
}

/** index.html with fresh pictures. @returns {Promise<{now: string, fresh: string}>} */
export async function pictures() {
  const sim = simulator();
  const now = readFileSync(INDEX, "utf8");
  let fresh = now;
  for (const figure of FIGURES) {
    const settings = structuredClone(figure.standard);
    const data = await figure.compute(sim, settings);
    const words = WORDS[figure.id];
    if (words === undefined) throw new Error(`words.js has no words for ${figure.id}`);
    const inner = [
      `<h3 class="figure-title">${escaped(words.title)}</h3>`,
      `<div class="picture" role="img" aria-label="${escaped(words.label)}">${drawn(figure, data, settings)}</div>`,
      `<figcaption><p class="sentence">${escaped(figure.sentence(data, settings))}</p></figcaption>`,
    ].join("\n    ");
    const place = new RegExp(`(<figure id="fig-${figure.id}"[^>]*>)[^]*?(</figure>)`);
    if (!place.test(fresh)) throw new Error(`index.html has no figure fig-${figure.id}`);
    fresh = fresh.replace(place, (_, begin, end) => `${begin}\n    ${inner}\n  ${end}`);
  }
  return { now, fresh };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { now, fresh } = await pictures();
  if (now !== fresh) writeFileSync(INDEX, fresh);
  console.log(now === fresh ? "   index.html has the current pictures" : "   index.html was given fresh pictures");
}
