// One colour, one dash and one marker per scheduler, everywhere on the page, and per run of the
// laboratory. The colours themselves are CSS variables (style.css), so that light, dark and print come
// from one place.

import { POLICY } from "../words.js";

/** @import { Policy } from "../types.js" */

/** A run of the laboratory. @typedef {"run-a" | "run-b" | "run-c" | "run-d"} Slot */
/** What a figure of the article has besides schedulers. @typedef {"series-a" | "series-b" | "series-c" | "series-d"} Series */
/** What has curves. @typedef {Policy | Slot | Series} Key */

/** In the order in which curves are drawn and listed. @type {Record<Key, {dash: number[], marker: string}>} */
export const SIGN = {
  "static-fifo": { dash: [1.5, 3.5], marker: "M-3.6,-3.6H3.6V3.6H-3.6Z" },
  dynamic: { dash: [7, 4], marker: "M0,-4.8L4.6,3.6H-4.6Z" },
  "multi-bin": { dash: [9, 3, 1.5, 3], marker: "M0,-5.2L5.2,0L0,5.2L-5.2,0Z" },
  "multi-bin-dynamic": { dash: [], marker: "M4.3,0A4.3,4.3 0 1 1 -4.3,0A4.3,4.3 0 1 1 4.3,0Z" },
  "run-a": { dash: [], marker: "M4.3,0A4.3,4.3 0 1 1 -4.3,0A4.3,4.3 0 1 1 4.3,0Z" },
  "run-b": { dash: [7, 4], marker: "M0,-4.8L4.6,3.6H-4.6Z" },
  "run-c": { dash: [9, 3, 1.5, 3], marker: "M0,-5.2L5.2,0L0,5.2L-5.2,0Z" },
  "run-d": { dash: [1.5, 3.5], marker: "M-3.6,-3.6H3.6V3.6H-3.6Z" },
  "series-a": { dash: [], marker: "M3.6,0A3.6,3.6 0 1 1 -3.6,0A3.6,3.6 0 1 1 3.6,0Z" },
  "series-b": { dash: [7, 4], marker: "M0,-4.8L4.6,3.6H-4.6Z" },
  "series-c": { dash: [9, 3, 1.5, 3], marker: "M0,-5.2L5.2,0L0,5.2L-5.2,0Z" },
  "series-d": { dash: [1.5, 3.5], marker: "M-3.6,-3.6H3.6V3.6H-3.6Z" },
};

/** @type {Record<Key, {name: string, short: string}>} */
export const NAME = {
  ...POLICY,
  "run-a": { name: "A", short: "A" },
  "run-b": { name: "B", short: "B" },
  "run-c": { name: "C", short: "C" },
  "run-d": { name: "D", short: "D" },
  // Each figure has words of its own for these.
  "series-a": { name: "", short: "" },
  "series-b": { name: "", short: "" },
  "series-c": { name: "", short: "" },
  "series-d": { name: "", short: "" },
};

/** Values of CSS variables by name, as long as scheme and paper are the same: reading one makes the browser work out all styles. */
const values = new Map();
let valuesOf = "";
/** @type {MediaQueryList | null} */
let dark = null;

/** The current value of a CSS variable. @param {string} name @returns {string} */
export function css(name) {
  dark ??= matchMedia("(prefers-color-scheme: dark)");
  const now = `${dark.matches} ${document.documentElement.className}`;
  if (now !== valuesOf) values.clear();
  valuesOf = now;
  const known = values.get(name);
  if (known !== undefined) return known;
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  values.set(name, value);
  return value;
}

/** @param {Key} policy */
export const colour = (policy) => css(`--${policy}`);

/** @param {Key} policy */
export const textColour = (policy) => css(`--${policy}-text`);

const SVG = "http://www.w3.org/2000/svg";

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number>} [attributes]
 * @param {Element[]} [children]
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, children = []) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** The sample of a line and its marker, as in a legend. @param {Key} policy */
export function sample(policy) {
  const { dash, marker } = SIGN[policy];
  return svg("svg", { class: `sample ${policy}`, viewBox: "0 0 30 12", width: 30, height: 12, "aria-hidden": "true" }, [
    svg("line", { x1: 0, x2: 30, y1: 6, y2: 6, "stroke-dasharray": dash.join(" ") }),
    svg("path", { d: marker, transform: "translate(15 6)" }),
  ]);
}
