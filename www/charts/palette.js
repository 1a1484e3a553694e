// One colour, one dash and one marker per scheduler, everywhere on the page. The colours themselves
// are CSS variables (style.css), so that light, dark and print come from one place.

/** @import { Policy } from "../types.js" */

/** @type {Record<Policy, {dash: number[], marker: string}>} */
export const SIGN = {
  "static-fifo": { dash: [1.5, 3.5], marker: "M-3.6,-3.6H3.6V3.6H-3.6Z" },
  dynamic: { dash: [7, 4], marker: "M0,-4.8L4.6,3.6H-4.6Z" },
  "multi-bin": { dash: [9, 3, 1.5, 3], marker: "M0,-5.2L5.2,0L0,5.2L-5.2,0Z" },
  "multi-bin-dynamic": { dash: [], marker: "M4.3,0A4.3,4.3 0 1 1 -4.3,0A4.3,4.3 0 1 1 4.3,0Z" },
};

/** The current value of a CSS variable. @param {string} name */
export function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @param {Policy} policy */
export const colour = (policy) => css(`--${policy}`);

/** @param {Policy} policy */
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

/** The sample of a scheduler's line and marker, as in a legend. @param {Policy} policy */
export function sample(policy) {
  const { dash, marker } = SIGN[policy];
  return svg("svg", { class: `sample ${policy}`, viewBox: "0 0 30 12", width: 30, height: 12, "aria-hidden": "true" }, [
    svg("line", { x1: 0, x2: 30, y1: 6, y2: 6, "stroke-dasharray": dash.join(" ") }),
    svg("path", { d: marker, transform: "translate(15 6)" }),
  ]);
}
