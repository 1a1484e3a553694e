// Utilisation of each GPU: a row of thin bars per scheduler, GPU 1 on the left.

import { el } from "../dom.js";
import { percent } from "../format.js";
import { FIGURE, POLICY } from "../words.js";
import { frame } from "../charts/figure.js";
import { sample, svg } from "../charts/palette.js";

/** @import { RunResult } from "../types.js" */

const WORDS = FIGURE.gpus;
/** Rows of the table of numbers at most. */
const TABLE_ROWS = 32;

/** @param {HTMLElement} host */
export function gpus(host) {
  /** @type {RunResult[]} */
  let results = [];
  const gpuCount = () => results[0]?.summary.honest.utilization.per_gpu.length ?? 1;
  /** @param {number} position */
  const gpuAt = (position) => Math.min(gpuCount() - 1, Math.floor(position * gpuCount()));
  /** @type {SVGElement[]} */
  let cursors = [];

  const picture = {
    get steps() {
      return gpuCount();
    },
    /** @param {number | null} position */
    point(position) {
      for (const cursor of cursors) {
        cursor.toggleAttribute("hidden", position === null);
        cursor.setAttribute("class", position === null ? "cursor off" : "cursor");
        if (position !== null) cursor.setAttribute("x", `${(gpuAt(position) / gpuCount()) * 100}%`);
      }
    },
    /** @param {number} position */
    read(position) {
      const gpu = gpuAt(position);
      return {
        where: WORDS.at(gpu + 1),
        values: results.map(({ policy, summary }) => ({ policy, text: percent(summary.honest.utilization.per_gpu[gpu] ?? NaN) })),
      };
    },
    numbers() {
      const count = gpuCount();
      const stride = Math.ceil(count / TABLE_ROWS);
      const rows = [];
      for (let gpu = 0; gpu < count; gpu += stride) {
        rows.push({
          label: String(gpu + 1),
          cells: results.map(({ summary }) => percent(summary.honest.utilization.per_gpu[gpu] ?? NaN)),
        });
      }
      return { caption: WORDS.table, head: WORDS.rows, policies: results.map((r) => r.policy), rows };
    },
  };
  const { body, setSentence, refresh } = frame(host, WORDS, picture);
  body.classList.add("fleet");

  return {
    /** @param {RunResult[]} next */
    update(next) {
      results = next;
      cursors = [];
      body.replaceChildren(...next.map(strip), el("p", { class: "axis-note" }, WORDS.x));
      setSentence(WORDS.sentence(next));
      refresh();
    },
    redraw() {},
  };

  /** @param {RunResult} result */
  function strip({ policy, summary }) {
    const shares = summary.honest.utilization.per_gpu;
    const gap = shares.length > 64 ? 0 : 0.12;
    const path = shares
      .map((share, gpu) => `M${gpu + gap / 2},100V${(100 - share * 100).toFixed(2)}H${gpu + 1 - gap / 2}V100Z`)
      .join("");
    const cursor = svg("rect", { class: "cursor off", y: 0, width: `${100 / shares.length}%`, height: "100%" });
    cursors.push(cursor);
    return el(
      "div",
      { class: `strip ${policy}` },
      el("span", { class: "strip-name" }, sample(policy), POLICY[policy].name),
      (() => {
        const area = el("div", { class: "strip-area plot-area" });
        area.append(
          svg("svg", { width: "100%", height: "100%", "aria-hidden": "true" }, [
            svg("svg", { viewBox: `0 0 ${shares.length} 100`, preserveAspectRatio: "none", width: "100%", height: "100%" }, [
              svg("path", { class: "bars", d: path }),
            ]),
            cursor,
          ]),
        );
        return area;
      })(),
      el("span", { class: "strip-mean" }, WORDS.mean(summary.honest.utilization.mean)),
    );
  }
}
