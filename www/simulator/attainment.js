// Promises kept: three small tables side by side, each value with its mark on a line from 0 to 100 %.

import { el } from "../dom.js";
import { percent } from "../format.js";
import { FIGURE, POLICY, UI, kept } from "../words.js";
import { frame } from "../charts/figure.js";
import { SIGN, svg } from "../charts/palette.js";

/** @import { Attainment, RunResult } from "../types.js" */

const WORDS = FIGURE.attainment;
/** The promises of this page. @type {Exclude<keyof Attainment, "ttft">[]} */
const PROMISES = ["token", "request", "joint"];

/** @param {HTMLElement} host */
export function attainment(host) {
  const { body, setSentence } = frame(host, WORDS);
  body.classList.add("promises");

  return {
    /** @param {RunResult[]} results @param {RunResult[]} before the picture that is compared with */
    update(results, before) {
      const sla = results[0]?.summary.scenario.sla;
      if (sla === undefined) return;
      const captions = { token: WORDS.token(sla.token_ms), request: WORDS.request(sla.request_s), joint: WORDS.joint };
      body.replaceChildren(
        ...PROMISES.map((promise) =>
          el(
            "table",
            // Rows are laid out as a grid, which would take their roles from them.
            { class: `promise ${promise}`, role: "table" },
            el("caption", {}, captions[promise]),
            el("thead", { class: "visually-hidden" }, el("tr", {}, el("th", { scope: "col" }, WORDS.scheduler), el("th", { scope: "col" }, WORDS.column))),
            el(
              "tbody",
              {},
              ...results.map((result) => row(result, promise, before.find((r) => r.policy === result.policy))),
            ),
          ),
        ),
      );
      setSentence(WORDS.sentence(results));
    },
    redraw() {},
  };
}

/** @type {(result: RunResult, promise: keyof Attainment, before: RunResult | undefined) => HTMLElement} */
function row(result, promise, before) {
  const { policy } = result;
  const share = kept(result, promise);
  const old = before === undefined ? undefined : kept(before, promise);
  const changed = old !== undefined && percent(old) !== percent(share);
  return el(
    "tr",
    { class: policy, role: "row" },
    el("th", { scope: "row", role: "rowheader" }, POLICY[policy].name),
    el(
      "td",
      { role: "cell" },
      ...(changed ? [el("span", { class: "visually-hidden" }, UI.changedFrom), el("span", { class: "was" }, UI.was(percent(old)))] : []),
      " ",
      el("span", { class: "share" }, percent(share)),
      bar(policy, share, changed ? old : null),
    ),
  );
}

/** @type {(policy: import("../types.js").Policy, share: number, old: number | null) => SVGElement} */
function bar(policy, share, old) {
  const at = `${share * 100}%`;
  return svg("svg", { class: "bar", "aria-hidden": "true", height: 16, width: "100%" }, [
    svg("line", { class: "track", x1: 0, x2: "100%", y1: 8, y2: 8 }),
    svg("line", { class: "reach", x1: 0, x2: at, y1: 8, y2: 8, "stroke-dasharray": SIGN[policy].dash.join(" ") }),
    ...(old === null ? [] : [svg("line", { class: "old", x1: `${old * 100}%`, x2: `${old * 100}%`, y1: 2, y2: 14 })]),
    svg("svg", { x: at, y: 8, overflow: "visible" }, [svg("path", { class: "mark", d: SIGN[policy].marker })]),
  ]);
}
