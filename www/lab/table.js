// The runs, figure by figure, each with its interval.

import { el } from "../dom.js";
import { count, number, percent } from "../format.js";
import { NAME, sample } from "../charts/palette.js";
import { ROWS, TABLE } from "./words.js";

/** @import { LabResult } from "../types.js" */
/** @import { Slot } from "../charts/palette.js" */
/** @import { Row } from "./words.js" */

/** @param {HTMLElement} host */
export function table(host) {
  return {
    /** @param {LabResult[]} results */
    update(results) {
      const intervals = results.map(({ summary }) => new Map((summary.continuous?.statistics.intervals ?? []).map((one) => [one.figure, one])));
      /** @type {HTMLElement[]} */
      const bodies = [];
      for (const row of ROWS) {
        // A figure that no run has says nothing.
        if (results.every((result) => missing(row.value(result)))) continue;
        if (row.heading !== undefined || bodies.length === 0) {
          bodies.push(el("tbody", {}, el("tr", { class: "part-head" }, el("th", { scope: "rowgroup", colspan: results.length + 1 }, row.heading ?? ""))));
        }
        bodies.at(-1)?.append(
          el(
            "tr",
            {},
            el("th", { scope: "row" }, row.label, ...(row.unit === "" ? [] : [" ", el("span", { class: "unit" }, row.unit)])),
            ...results.map((result, i) => {
              const interval = row.figure === undefined ? undefined : intervals[i]?.get(row.figure);
              const range = interval === undefined ? [] : [el("span", { class: "interval" }, `${text(row, interval.low)}${TABLE.to}${text(row, interval.high)}`)];
              const ends = within(row, result);
              const bounds = ends === null ? [] : [el("span", { class: "interval within" }, `${TABLE.steps}${text(row, ends[0])}${TABLE.to}${text(row, ends[1])}`)];
              return el("td", { "data-run": result.key }, text(row, row.value(result)), ...range, ...bounds);
            }),
          ),
        );
      }
      const head = results.map(({ key }) => {
        const slot = /** @type {Slot} */ (key);
        return el("th", { scope: "col", class: slot }, sample(slot), el("span", {}, NAME[slot].short));
      });
      host.replaceChildren(
        el("h2", {}, TABLE.title),
        el("p", { class: "note" }, TABLE.note, ...(results.some(({ ends }) => ends !== null) ? [` ${TABLE.within}`] : [])),
        // It may scroll on a phone, and what scrolls must be reachable by keyboard.
        el(
          "div",
          { class: "numbers", tabindex: 0, role: "group", "aria-label": TABLE.title },
          el("table", { class: "summary" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, TABLE.metric), ...head)), ...bodies),
        ),
      );
    },
  };
}

/** @param {number | null | undefined} value */
const missing = (value) => value === null || value === undefined || !Number.isFinite(value);

/**
 * The least and the most of a figure within a calibration's error: of the run, and with its steps shorter and longer.
 * @type {(row: Row, result: LabResult) => [number, number] | null}
 */
function within(row, result) {
  if (result.ends === null) return null;
  const values = [result, ...result.ends].map((one) => row.value({ ...result, ...one }) ?? NaN);
  return values.every(Number.isFinite) ? [Math.min(...values), Math.max(...values)] : null;
}

/** @type {(row: Row, value: number | null | undefined) => string} */
export function text(row, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  // Units stand in the first column; counts are exact, shares are in percent.
  if (row.unit === "%") return percent(value).replace(/\u202f%$/, "");
  return row.unit === "" && Number.isInteger(value) ? count(value) : number(value);
}
