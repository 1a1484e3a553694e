// The two tables of figures: counted honestly, and as published.

import { el } from "../dom.js";
import { count, number, percent } from "../format.js";
import { POLICY, TABLE } from "../words.js";
import { sample } from "../charts/palette.js";

/** @import { RunResult } from "../types.js" */
/** @import { Row } from "../words.js" */

/** @param {HTMLElement} host */
export function tables(host) {
  return {
    /** @param {RunResult[]} results */
    update(results) {
      host.replaceChildren(half("honest", results), half("published", results));
    },
  };
}

/** @type {(kind: "honest" | "published", results: RunResult[]) => HTMLElement} */
function half(kind, results) {
  const { title, note, rows } = TABLE[kind];
  return el(
    "section",
    { class: `half ${kind}`, "aria-label": title },
    el("h3", { class: "figure-title" }, title),
    el("p", { class: "note" }, note),
    el(
      "table",
      { class: "summary", "data-table": kind },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, TABLE.metric),
          ...results.map(({ policy }) => el("th", { scope: "col", class: policy }, sample(policy), el("span", {}, POLICY[policy].short))),
        ),
      ),
      el(
        "tbody",
        {},
        ...rows.map((row) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, row.label, ...(row.unit === "" ? [] : [" ", el("span", { class: "unit" }, row.unit)])),
            ...results.map((result) => el("td", { "data-policy": result.policy }, text(row, result))),
          ),
        ),
      ),
    ),
  );
}

/** @type {(row: Row, result: RunResult) => string} */
function text(row, result) {
  const value = row.value(result);
  if (value === null) return "–";
  // Units stand in the first column; counts are exact, shares are in percent.
  if (row.unit === "%") return percent(value).replace(/\u202f%$/, "");
  // Counts are exact; everything else has three significant digits.
  const counted = row.unit === "req" || row.unit === "";
  return counted && Number.isInteger(value) ? count(value) : number(value);
}
