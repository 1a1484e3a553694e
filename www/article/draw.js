// Figures of the article as SVG, from plain descriptions. Pure: the same picture is drawn on the page, into
// index.html (for readers without JavaScript and for paper) and into a file.
//
//   Chart, Strips or Slots  --draw-->  Tree  --toText-->  text of an SVG
//                                            --toDom--->  elements

import { SIGN } from "../charts/palette.js";

/** @import { Key } from "../charts/palette.js" */

/** Name, attributes, children. @typedef {[string, Record<string, string | number>, ...(Tree | string)[]]} Tree */

/**
 * @typedef {object} Scale
 * @property {"linear" | "log"} kind
 * @property {number} min
 * @property {number} max
 * @property {string} label with its unit
 * @property {{at: number, text: string}[]} ticks
 * @property {(value: number) => string} text a value in words, where the cursor reads it
 */

/**
 * `band` fills between `y` and `below`; `steps` holds each value until the next; `dots` are values that
 * were measured or simulated one by one.
 * @typedef {object} Curve
 * @property {Key} key
 * @property {string} name
 * @property {number[]} x ascending
 * @property {number[]} y
 * @property {"line" | "steps" | "dots" | "band"} look
 * @property {number[]} [below]
 */

/** @typedef {{y: Scale, curves: Curve[], rule: {at: number, text: string} | null, height: number}} Panel */
/** Curves over one axis, in panels below each other. @typedef {{kind: "chart", x: Scale, panels: Panel[], mark: {at: number, text: string} | null}} Chart */

/** A value on a line from 0 to 1; hollow ones are counted another way. @typedef {{at: number, text: string, hollow: boolean}} Mark */
/** Shares, one line each. @typedef {{kind: "strips", rows: {key: Key, name: string, marks: Mark[]}[], label: string}} Strips */

/**
 * Batches side by side: each member fills its slot as long as it has work, and holds it until the longest is done.
 * @typedef {{kind: "slots", groups: {title: string, key: Key, batches: number[][]}[], longest: number, label: string}} Slots
 */

/** @typedef {Chart | Strips | Slots} Spec */

/** Where a chart's curves are. @typedef {{left: number, right: number, top: number, bottom: number}} Area */

/** Width of a letter of the figures' type, px: about, for places of words. */
const LETTER = 6.4;
/** Of one in bold. */
const BOLD = 7.5;
const LINE = 14;
/** Of a figure in the text column. */
export const WIDTH = 640;
/** Below this, names of curves stand above the picture. */
const NARROW = 480;

/** @type {(value: number) => number} */
const r = (value) => Math.round(value * 10) / 10;

/** @type {(text: string, letter?: number) => number} */
const width = (text, letter = LETTER) => text.length * letter;

/** The picture, so wide. @type {(spec: Spec, wide: number) => Tree} */
export function draw(spec, wide) {
  switch (spec.kind) {
    case "chart":
      return chart(spec, wide);
    case "strips":
      return strips(spec, wide);
    case "slots":
      return slots(spec, wide);
  }
}

/** @type {(wide: number, high: number, children: Tree[]) => Tree} */
const picture = (wide, high, children) => ["svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${r(wide)} ${r(high)}`, class: "drawn" }, ...children];

/** @type {(x: number, y: number, className: string, words: string, anchor?: "start" | "middle" | "end") => Tree} */
const text = (x, y, className, words, anchor = "start") => ["text", { x: r(x), y: r(y), class: className, "text-anchor": anchor }, words];

/** A value's place from `from` to `to`. @type {(scale: Scale, from: number, to: number) => (value: number) => number} */
function placing({ kind, min, max }, from, to) {
  const by = kind === "log" ? (/** @type {number} */ value) => Math.log(Math.max(value, 1e-300)) : (/** @type {number} */ value) => value;
  const [low, high] = [by(min), by(max)];
  return (value) => from + ((by(value) - low) / (high - low)) * (to - from);
}

/** The value at a place from 0 to 1. @type {(scale: Scale, place: number) => number} */
export function valueAt({ kind, min, max }, place) {
  return kind === "log" ? Math.exp(Math.log(min) + place * (Math.log(max) - Math.log(min))) : min + place * (max - min);
}

/** Where the curves of a chart's panel are. @type {(spec: Chart, wide: number) => {area: Area[], high: number, narrow: boolean}} */
export function areas(spec, wide) {
  const narrow = wide < NARROW;
  const names = spec.panels.flatMap(({ curves }) => curves.map(({ name }) => width(name, BOLD)));
  const right = narrow ? wide - 14 : wide - Math.min(wide * 0.3, Math.max(...names, 20) + 14);
  const left = 6 + Math.max(...spec.panels.flatMap(({ y }) => y.ticks.map((tick) => width(tick.text))), 20) + 6;
  let top = spec.mark === null ? 4 : LINE + 4;
  const area = spec.panels.map((panel) => {
    const legend = narrow ? Math.ceil(panel.curves.length / 2) * (LINE + 2) : 0;
    const begins = top + LINE + 10 + legend;
    top = begins + panel.height;
    const found = { left, right, top: begins, bottom: top };
    top += 14;
    return found;
  });
  return { area, high: top + 2 * LINE + 6, narrow };
}

/** A rule's words, at whichever end and side of it the curves come least into their way. @type {(panel: Panel, x: (value: number) => number, y: (value: number) => number, place: Area) => Tree} */
function ruleText({ rule, curves }, x, y, place) {
  if (rule === null) throw new Error("there is no rule");
  const [at, wide] = [y(rule.at), width(rule.text)];
  const spots = [at - 4, at + LINE - 2].flatMap((base) => [
    { left: place.left + 4, base },
    { left: place.right - 4 - wide, base },
  ]);
  /** How much of the curves lies behind the words. @param {{left: number, base: number}} spot */
  const hidden = ({ left, base }) => {
    let points = base > place.bottom || base - LINE + 4 < place.top ? Infinity : 0;
    for (const { x: xs, y: ys } of curves) {
      for (const [i, value] of xs.entries()) {
        const [px, py] = [x(value), y(ys[i] ?? NaN)];
        if (px > left - 4 && px < left + wide + 4 && py > base - LINE && py < base + 3) points += 1;
      }
    }
    return points;
  };
  const best = spots.reduce((a, b) => (hidden(b) < hidden(a) ? b : a));
  return text(best.left, best.base, "mark", rule.text);
}

/** @type {(spec: Chart, wide: number) => Tree} */
function chart(spec, wide) {
  const { area, high, narrow } = areas(spec, wide);
  /** @type {Tree[]} */
  const parts = [];
  for (const [i, panel] of spec.panels.entries()) {
    const place = area[i];
    if (place === undefined) continue;
    const x = placing(spec.x, place.left, place.right);
    const y = placing(panel.y, place.bottom, place.top);
    const legend = narrow ? Math.ceil(panel.curves.length / 2) * (LINE + 2) : 0;
    parts.push(text(0, place.top - 12 - legend, "axis", panel.y.label));
    for (const tick of panel.y.ticks) {
      if (tick.at < panel.y.min - 1e-9 || tick.at > panel.y.max * (1 + 1e-9)) continue;
      parts.push(["line", { class: "grid", x1: r(place.left), x2: r(place.right), y1: r(y(tick.at)), y2: r(y(tick.at)) }]);
      parts.push(text(place.left - 6, y(tick.at) + 4, "tick", tick.text, "end"));
    }
    if (panel.rule !== null) {
      const at = r(y(panel.rule.at));
      parts.push(["line", { class: "rule", x1: r(place.left), x2: r(place.right), y1: at, y2: at }]);
      parts.push(ruleText(panel, x, y, place));
    }
    for (const curve of panel.curves) parts.push(...drawn(curve, x, y, place));
    parts.push(...(narrow ? legendOf(panel.curves, place, legend) : namesOf(panel.curves, y, place)));
    parts.push(["rect", { class: "plot-area", x: r(place.left), y: r(place.top), width: r(place.right - place.left), height: r(place.bottom - place.top) }]);
  }
  const [first] = area;
  const last = area.at(-1);
  if (first === undefined || last === undefined) return picture(wide, high, parts);
  const x = placing(spec.x, last.left, last.right);
  parts.push(["line", { class: "base", x1: r(last.left), x2: r(last.right), y1: r(last.bottom), y2: r(last.bottom) }]);
  let free = -Infinity;
  for (const tick of spec.x.ticks) {
    if (tick.at < spec.x.min * (1 - 1e-9) || tick.at > spec.x.max * (1 + 1e-9)) continue;
    const at = x(tick.at);
    parts.push(["line", { class: "base", x1: r(at), x2: r(at), y1: r(last.bottom), y2: r(last.bottom + 4) }]);
    const half = width(tick.text) / 2;
    if (at - half < free || at + half > wide) continue;
    free = at + half + 6;
    parts.push(text(at, last.bottom + LINE + 3, "tick", tick.text, "middle"));
  }
  parts.push(text(last.right, last.bottom + 2 * LINE + 5, "axis", spec.x.label, "end"));
  if (spec.mark !== null) {
    const at = r(x(spec.mark.at));
    parts.push(["line", { class: "mark-line", x1: at, x2: at, y1: r(first.top - 6), y2: r(last.bottom) }]);
    const half = width(spec.mark.text) / 2;
    parts.push(text(Math.min(Math.max(at, half), wide - half), 11, "mark", spec.mark.text, "middle"));
  }
  parts.push(["line", { class: "cursor off", x1: 0, x2: 0, y1: r(first.top), y2: r(last.bottom) }]);
  return picture(wide, high, parts);
}

/** @type {(curve: Curve, x: (value: number) => number, y: (value: number) => number, area: Area) => Tree[]} */
function drawn({ key, look, x: xs, y: ys, below }, x, y, area) {
  const inside = (/** @type {number} */ value) => Math.min(area.bottom, Math.max(area.top, value));
  const points = xs.map((value, i) => [r(x(value)), r(inside(y(ys[i] ?? NaN)))]).filter(([, at]) => Number.isFinite(at));
  if (look === "dots") {
    return points.map(([px = 0, py = 0]) => ["path", { class: `dot ${key}`, d: SIGN[key].marker, transform: `translate(${px} ${py})` }]);
  }
  if (look === "band") {
    const under = xs.map((value, i) => `${r(x(value))},${r(inside(y(below?.[i] ?? NaN)))}`).reverse();
    return [["path", { class: `band ${key}`, d: `M${points.map(([px, py]) => `${px},${py}`).join("L")}L${under.join("L")}Z` }]];
  }
  let d = "";
  for (const [i, [px = 0, py = 0]] of points.entries()) d += i === 0 ? `M${px},${py}` : look === "steps" ? `H${px}V${py}` : `L${px},${py}`;
  return [["path", { class: `curve ${key}`, d, "stroke-dasharray": SIGN[key].dash.join(" ") }]];
}

/** Names at the ends of their curves, moved apart. @type {(curves: Curve[], y: (value: number) => number, area: Area) => Tree[]} */
function namesOf(curves, y, area) {
  const ends = curves
    .filter(({ name }) => name !== "")
    .map((curve) => {
      const last = curve.y.filter(Number.isFinite).at(-1) ?? NaN;
      const end = curve.look === "band" ? (last + (curve.below?.at(-1) ?? last)) / 2 : last;
      return { curve, at: Math.min(area.bottom, Math.max(area.top + 4, y(end))) };
    })
    .filter(({ at }) => Number.isFinite(at))
    .sort((a, b) => a.at - b.at);
  for (let i = 1; i < ends.length; i += 1) {
    const [before, here] = [ends[i - 1], ends[i]];
    if (before !== undefined && here !== undefined) here.at = Math.max(here.at, before.at + LINE);
  }
  for (let i = ends.length - 1; i >= 0; i -= 1) {
    const here = ends[i];
    const most = i === ends.length - 1 ? area.bottom : (ends[i + 1]?.at ?? 0) - LINE;
    if (here !== undefined) here.at = Math.min(here.at, most);
  }
  return ends.map(({ curve, at }) => text(area.right + 8, at + 4, `name ${curve.key}`, curve.name));
}

/** Names above the picture, two in a row. @type {(curves: Curve[], area: Area, high: number) => Tree[]} */
function legendOf(curves, area, high) {
  return curves.flatMap((curve, i) => {
    const left = i % 2 === 0 ? 0 : area.right / 2;
    const middle = area.top - high + 4 + Math.floor(i / 2) * (LINE + 2);
    return [...sampleOf(curve.key, left, middle), text(left + 36, middle + 4, `name ${curve.key}`, curve.name)];
  });
}

/** @type {(key: Key, left: number, middle: number) => Tree[]} */
const sampleOf = (key, left, middle) => [
  ["line", { class: `curve ${key}`, x1: r(left), x2: r(left + 30), y1: r(middle), y2: r(middle), "stroke-dasharray": SIGN[key].dash.join(" ") }],
  ["path", { class: `dot ${key}`, d: SIGN[key].marker, transform: `translate(${r(left + 15)} ${r(middle)})` }],
];

/** @type {(spec: Strips, wide: number) => Tree} */
function strips({ rows, label }, wide) {
  const narrow = wide < NARROW;
  const names = narrow ? 0 : Math.max(...rows.map(({ name }) => width(name, BOLD))) + 4;
  const left = names + 8;
  const right = wide - 12;
  const step = narrow ? 46 : 34;
  /** @type {Tree[]} */
  const parts = [];
  const x = (/** @type {number} */ share) => left + share * (right - left);
  for (const [i, { key, name, marks }] of rows.entries()) {
    const y = i * step + (narrow ? 30 : 22);
    parts.push(narrow ? text(0, y - 14, `name ${key}`, name) : text(0, y + 4, `name ${key}`, name));
    parts.push(["line", { class: "grid", x1: r(left), x2: r(right), y1: y, y2: y }]);
    // Where there is no room beside the marks, their values stand at the end of the line above.
    if (narrow) parts.push(text(right, y - 14, `value ${key}`, marks.map((mark) => mark.text).join(", "), "end"));
    const solid = marks.find(({ hollow }) => !hollow);
    if (solid !== undefined) parts.push(["line", { class: `reach ${key}`, x1: r(left), x2: r(x(solid.at)), y1: y, y2: y, "stroke-dasharray": SIGN[key].dash.join(" ") }]);
    for (const { at, text: words, hollow } of marks) {
      if (!Number.isFinite(at)) continue;
      parts.push(["path", { class: `${hollow ? "hollow" : "dot"} ${key}`, d: SIGN[key].marker, transform: `translate(${r(x(at))} ${y})` }]);
      if (narrow) continue;
      const half = width(words) / 2 + 2;
      const others = marks.filter((mark) => mark.at !== at).map((mark) => x(mark.at));
      const near = others.some((other) => Math.abs(other - x(at)) < 2 * half);
      // Two that are close say their values on either side.
      const centre = near ? x(at) + (others[0] !== undefined && others[0] > x(at) ? -half : half) : x(at);
      parts.push(text(Math.min(Math.max(centre, left + half), right - half + 8), y - 8, `value ${hollow ? "quiet" : key}`, words, "middle"));
    }
  }
  const bottom = rows.length * step + (narrow ? 12 : 4);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) parts.push(text(x(share), bottom + LINE, "tick", `${share * 100}${share === 1 ? "\u202f%" : ""}`, share === 1 ? "end" : "middle"));
  parts.push(text(right, bottom + 2 * LINE + 2, "axis", label, "end"));
  parts.push(["rect", { class: "plot-area", x: r(left), y: 0, width: r(right - left), height: bottom }]);
  return picture(wide, bottom + 2 * LINE + 8, parts);
}

/** @type {(spec: Slots, wide: number) => Tree} */
function slots({ groups, longest, label }, wide) {
  const bar = 5;
  const gap = 2;
  /** @type {Tree[]} */
  const parts = [];
  let y = 0;
  for (const { title, key, batches } of groups) {
    parts.push(text(0, y + 12, `name ${key}`, title));
    y += 20;
    const most = Math.max(1, ...batches.map((batch) => batch.length));
    const high = most * (bar + gap);
    // Batches stand one after another, each as long as its longest member.
    const total = groups.reduce((sum, group) => Math.max(sum, group.batches.reduce((all, batch) => all + Math.max(...batch), 0)), longest);
    const scale = (wide - 2) / (total + (Math.max(...groups.map((group) => group.batches.length)) - 1) * total * 0.004);
    let x = 1;
    for (const batch of batches) {
      const long = Math.max(...batch) * scale;
      parts.push(["rect", { class: "padding", x: r(x), y: r(y), width: r(long), height: batch.length * (bar + gap) - gap }]);
      for (const [i, tokens] of batch.entries()) {
        parts.push(["rect", { class: `work ${key}`, x: r(x), y: r(y + i * (bar + gap)), width: r(Math.max(0.5, tokens * scale)), height: bar }]);
      }
      x += long + total * 0.004 * scale;
    }
    parts.push(["rect", { class: "plot-area", x: 1, y: r(y), width: r(Math.max(2, x - 1)), height: high }]);
    y += high + 14;
  }
  parts.push(text(wide, y + 4, "axis", label, "end"));
  return picture(wide, y + 10, parts);
}

// ---- Trees -------------------------------------------------------------------------------------

/** @param {string} words */
const escaped = (words) => words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** The text of an SVG. @param {Tree} tree @returns {string} */
export function toText([name, attributes, ...children]) {
  const said = Object.entries(attributes).filter(([, value]) => value !== "").map(([key, value]) => ` ${key}="${escaped(String(value))}"`).join("");
  if (children.length === 0) return `<${name}${said}/>`;
  return `<${name}${said}>${children.map((child) => (typeof child === "string" ? escaped(child) : toText(child))).join("")}</${name}>`;
}

/** Elements of a document. @param {Tree} tree @returns {SVGElement} */
export function toDom([name, attributes, ...children]) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) if (value !== "" && key !== "xmlns") element.setAttribute(key, String(value));
  element.append(...children.map((child) => (typeof child === "string" ? child : toDom(child))));
  return element;
}

/** The classes of a drawing, for a file that has no style sheet beside it. @type {[string, string][]} */
const LOOKS = [
  ["text", "font:12px system-ui,sans-serif;fill:$ink"],
  [".tick,.axis,.quiet", "fill:$quiet"],
  [".name,.value", "font-weight:600"],
  [".grid", "stroke:$hairline"],
  [".base,.cursor,.mark-line", "stroke:$quiet"],
  [".rule", "stroke:$ink;stroke-dasharray:2 3"],
  [".cursor.off", "display:none"],
  [".plot-area", "fill:none"],
  [".mark", "paint-order:stroke;stroke:$paper;stroke-width:4px"],
  [".curve,.reach", "fill:none;stroke-width:2"],
  [".padding", "fill:$hairline"],
  [".band", "stroke:none;fill-opacity:.25"],
];

/** A whole file: the colours of the page written into it. @type {(tree: Tree, css: (name: string) => string) => string} */
export function standalone(tree, css) {
  const [name, attributes, ...children] = tree;
  const [, , wide = "", high = ""] = String(attributes["viewBox"]).split(" ");
  const rules = LOOKS.map(([where, look]) => `${where}{${look.replaceAll(/\$(\w+)/g, (_, variable) => css(`--${variable}`))}}`);
  for (const key of Object.keys(SIGN)) {
    const [fill, words] = [css(`--${key}`), css(`--${key}-text`)];
    if (fill === "") continue;
    rules.push(`.curve.${key},.reach.${key},.hollow.${key}{stroke:${fill}}`, `.dot.${key},.work.${key},.band.${key}{fill:${fill}}`, `.hollow.${key}{fill:${css("--paper")}}`, `text.${key}{fill:${words === "" ? fill : words}}`);
  }
  const ground = ["rect", { width: wide, height: high, fill: css("--paper") }];
  return `<?xml version="1.0" encoding="UTF-8"?>\n${toText([name, { ...attributes, width: wide, height: high }, ["style", {}, rules.join("")], /** @type {Tree} */ (ground), ...children])}\n`;
}

// ---- Ticks -------------------------------------------------------------------------------------

/** Round ticks. @type {(min: number, max: number, count: number, write: (value: number) => string) => {at: number, text: string}[]} */
export function ticks(min, max, count, write) {
  const rough = Math.max(1e-12, max - min) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((digit) => digit * power >= rough) ?? 10) * power;
  const found = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max * (1 + 1e-9); i += 1) found.push({ at: i * step, text: write(i * step) });
  return found;
}

/** Of a logarithmic axis. @type {(values: number[], write: (value: number) => string) => {at: number, text: string}[]} */
export const at = (values, write) => values.map((value) => ({ at: value, text: write(value) }));
