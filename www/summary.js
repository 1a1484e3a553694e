// The numbers of runs as files: every figure with all digits.

/** @import { RunResult } from "./types.js" */

/** Every number of the summaries, one line each, all digits. @param {{policy: string, summary: object}[]} results */
export function summaryCsv(results) {
  const lines = ["scheduler,figure,value"];
  for (const { policy, summary } of results) {
    for (const [path, value] of flat(summary, "")) lines.push(`${policy},${path},${quoted(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** @param {RunResult[]} results */
export function summaryJson(results) {
  return `${JSON.stringify(results.map(({ summary }) => summary), null, 2)}\n`;
}

/** @type {(value: unknown, path: string) => [string, unknown][]} */
function flat(value, path) {
  if (value === null || typeof value !== "object") return [[path, value ?? ""]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, path === "" ? key : `${path}.${key}`));
}

/** @param {unknown} value */
function quoted(value) {
  // A file may be called as it likes: no table program takes its name for a formula.
  const plain = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
