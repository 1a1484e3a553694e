// A small figure in SVG: points and lines on two axes, direct labels, a cursor by keyboard and
// pointer, the value announced, a table of the numbers, a sentence. Colour says measured (ink) or
// predicted (accent) and nothing else; the marker's shape says the same without colour.

import { svg } from "../charts/palette.js";
import { el } from "../dom.js";
import { FIGURE } from "./words.js";

/**
 * @typedef {object} Series
 * @property {string} name
 * @property {"measured" | "held" | "check" | "predicted"} kind
 * @property {"points" | "line"} as
 * @property {{x: number, y: number, spread?: number}[]} at ascending in x; `spread` is drawn as a bar
 *   to both sides
 * @property {string} [label] stands at the end of a line
 */

/**
 * @typedef {object} Picture
 * @property {Series[]} series
 * @property {string} sentence
 * @property {string} [legend]
 * @property {number[]} [rules] horizontal lines across
 * @property {[number, number]} [y] where it is not from 0 to the largest value
 * @property {(i: number) => {where: string, values: {kind: Series["kind"], text: string}[]}} read what
 *   stands at a stop of the cursor
 * @property {number[]} stops the cursor's places on the x axis, ascending
 * @property {{head: string[], rows: string[][]}} numbers
 */

/** Rest after the last key before the value is announced, ms. */
const ANNOUNCE_MS = 350;
const HEIGHT = 320;
const TOP = 16;
const BOTTOM = 44;
/** Least distance between two direct labels, and the width of their letters, px. */
const LINE_PX = 15;
const LETTER_PX = 7;

/** Signs beside a value and on the paper. @type {Record<Series["kind"], string>} */
const MARKER = {
  measured: "M3.6,0A3.6,3.6 0 1 1 -3.6,0A3.6,3.6 0 1 1 3.6,0Z",
  held: "M4,0A4,4 0 1 1 -4,0A4,4 0 1 1 4,0Z",
  check: "M0,-5L5,0L0,5L-5,0Z",
  predicted: "M-6,0H6",
};

let serial = 0;

/**
 * @param {{title: string, label: string, x: string, y: string, table: string}} words
 * @param {{scale: "log2" | "log10", tick: (value: number) => string}} xAxis
 * @param {(value: number) => string} yTick
 */
export function chart(words, xAxis, yTick) {
  serial += 1;
  const id = `calibrate-figure-${serial}`;
  /** @type {Picture | null} */
  let picture = null;
  /** @type {number | null} */
  let at = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** From a stop to its place, px; set by drawing. @type {(x: number) => number} */
  let across = () => 0;

  const body = el("div", { class: "picture plane", tabindex: 0, role: "group", "aria-label": `${words.label}. ${FIGURE.keys}` });
  const readout = el("p", { class: "readout", "aria-hidden": "true" });
  const live = el("p", { class: "visually-hidden", "aria-live": "polite" });
  const sentence = el("p", { class: "sentence" });
  const legend = el("p", { class: "help" });
  const table = el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": FIGURE.numbers });
  const details = el("details", { ontoggle: fill }, el("summary", {}, FIGURE.showNumbers), table);
  const element = el(
    "figure",
    { class: "figure", "aria-labelledby": id },
    el("h3", { id, class: "figure-title" }, words.title),
    body,
    readout,
    live,
    el("figcaption", {}, sentence, legend, details),
  );

  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });

  function draw() {
    const width = body.clientWidth;
    if (picture === null || width === 0) return;
    const { series, rules = [] } = picture;
    const narrow = width < 480;
    const left = 52;
    const right = 14 + LETTER_PX * Math.max(0, ...series.map(({ label = "" }) => label.length));
    const all = series.flatMap((s) => s.at);
    const log = xAxis.scale === "log2" ? Math.log2 : Math.log10;
    const xs = all.map(({ x }) => x);
    let low = log(Math.min(...xs));
    let high = log(Math.max(...xs));
    if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
    const margin = series.every(({ as }) => as === "points") ? 0.03 * (high - low) : 0;
    [low, high] = [low - margin, high + margin];
    const top = Math.max(...all.map(({ y, spread = 0 }) => y + spread));
    const [yLow, yHigh] = picture.y ?? [0, top > 0 ? top * 1.06 : 1];
    across = (x) => left + ((log(x) - low) / (high - low)) * (width - left - right);
    const down = (/** @type {number} */ y) => HEIGHT - BOTTOM - ((y - yLow) / (yHigh - yLow)) * (HEIGHT - TOP - BOTTOM);
    const end = width - right;

    /** @type {Element[]} */
    const parts = [];
    for (const y of ticks(yLow, yHigh, 5)) {
      parts.push(svg("line", { class: "grid", x1: left, x2: end, y1: down(y), y2: down(y) }));
      parts.push(text(left - 8, down(y) + 4, yTick(y), "end"));
    }
    for (const x of logTicks(low, high, xAxis.scale, narrow)) {
      parts.push(svg("line", { class: "tick", x1: across(x), x2: across(x), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }));
      parts.push(text(across(x), HEIGHT - BOTTOM + 17, xAxis.tick(x), "middle"));
    }
    parts.push(svg("line", { class: "axis", x1: left, x2: end, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
    parts.push(text((left + end) / 2, HEIGHT - 6, words.x, "middle"));
    for (const y of rules) parts.push(svg("line", { class: "rule", x1: left, x2: end, y1: down(y), y2: down(y) }));

    /** @type {Label[]} */
    const labels = [];
    for (const { kind, as, at: points, label } of series) {
      if (as === "line") {
        const d = points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${across(x).toFixed(1)},${down(y).toFixed(1)}`).join("");
        parts.push(svg("path", { class: `line ${kind}`, d }));
      }
      for (const { x, y, spread = 0 } of as === "points" ? points : []) {
        if (spread > 0) parts.push(svg("line", { class: `spread ${kind}`, x1: across(x), x2: across(x), y1: down(y - spread), y2: down(y + spread) }));
        parts.push(svg("path", { class: `mark ${kind}`, d: MARKER[kind], transform: `translate(${across(x).toFixed(1)} ${down(y).toFixed(1)})` }));
      }
      const last = points.at(-1);
      if (label !== undefined && last !== undefined) labels.push({ x: across(last.x) + 8, y: down(last.y), text: label });
    }
    for (const { x, y, text: name } of apart(labels)) parts.push(text(x, y + 4, name, "start", "name"));
    parts.push(cursor);
    body.replaceChildren(
      el("p", { class: "axis-name" }, words.y),
      svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" }, parts),
    );
    point();
  }

  function point() {
    const stop = at === null ? undefined : picture?.stops[at];
    cursor.setAttribute("visibility", stop === undefined ? "hidden" : "visible");
    if (stop === undefined) return;
    cursor.setAttribute("x1", String(across(stop)));
    cursor.setAttribute("x2", String(across(stop)));
  }

  /** @type {(to: number | null, announce: boolean) => void} */
  function move(to, announce) {
    at = to;
    point();
    clearTimeout(timer);
    // It keeps its place when it is hidden: what stands below must not move under a pointer.
    readout.classList.toggle("off", to === null);
    if (to === null) return;
    const spoken = show(to);
    if (!announce) return;
    timer = setTimeout(() => {
      live.textContent = spoken;
    }, ANNOUNCE_MS);
  }

  /** Puts a stop's reading into its place; what it says, for the ear. @param {number} stop */
  function show(stop) {
    if (picture === null) return "";
    const { where, values } = picture.read(stop);
    readout.replaceChildren(el("span", {}, where), ...values.map(({ kind, text: value }) => el("span", { class: "value" }, sign(kind), value)));
    return `${where}: ${values.map(({ text: value }) => value).join(", ")}`;
  }

  body.addEventListener("keydown", (event) => {
    if (picture === null || picture.stops.length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const last = picture.stops.length - 1;
    /** @type {Record<string, number | null>} */
    const targets = {
      ArrowRight: (at ?? -1) + 1,
      ArrowUp: (at ?? -1) + 1,
      ArrowLeft: (at ?? 0) - 1,
      ArrowDown: (at ?? 0) - 1,
      Home: 0,
      End: last,
      Escape: null,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    move(target === null ? null : Math.min(last, Math.max(0, target)), true);
  });
  body.addEventListener("pointermove", (event) => {
    if (picture === null || picture.stops.length === 0) return;
    const x = event.clientX - body.getBoundingClientRect().left;
    const distance = picture.stops.map((stop) => Math.abs(across(stop) - x));
    move(distance.indexOf(Math.min(...distance)), false);
  });
  body.addEventListener("pointerleave", () => move(null, false));
  body.addEventListener("blur", () => move(null, false));
  new ResizeObserver(draw).observe(body);

  function fill() {
    if (!details.open || picture === null) return;
    table.replaceChildren(sheet(words.table, picture.numbers.head, picture.numbers.rows));
  }

  return {
    element,
    /** @param {Picture} next */
    update(next) {
      picture = next;
      sentence.textContent = next.sentence;
      legend.textContent = next.legend ?? "";
      draw();
      if (at !== null && at >= next.stops.length) at = null;
      if (next.stops.length > 0) show(at ?? next.stops.length - 1);
      move(at, false);
      fill();
    },
  };
}

/** @type {(x: number, y: number, words: string, anchor: string, kind?: string) => SVGElement} */
function text(x, y, words, anchor, kind = "") {
  const made = svg("text", { x, y, "text-anchor": anchor, class: kind });
  made.textContent = words;
  return made;
}

/** The sign of a kind of value, for a legend or a reading. @param {Series["kind"]} kind */
export function sign(kind) {
  return svg("svg", { class: `sign ${kind}`, viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, [
    svg("path", { class: `${kind === "predicted" ? "line" : "mark"} ${kind}`, d: MARKER[kind] }),
  ]);
}

/**
 * A table; the first column heads its rows.
 * @type {(caption: string, head: string[], rows: (string | Node)[][], hiddenCaption?: boolean) => HTMLElement}
 */
export function sheet(caption, head, rows, hiddenCaption = false) {
  return el(
    "table",
    {},
    el("caption", hiddenCaption ? { class: "visually-hidden" } : {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map(([first = "", ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((cell) => el("td", {}, cell))))),
  );
}

/** @typedef {{x: number, y: number, text: string}} Label */

/** Labels of lines that end at the same place, moved apart upwards. @param {Label[]} labels @returns {Label[]} */
function apart(labels) {
  /** @type {Map<number, number>} */
  const floors = new Map();
  return [...labels]
    .sort((a, b) => b.y - a.y)
    .map(({ x, y, text: name }) => {
      const placed = Math.min(y, (floors.get(x) ?? Infinity) - LINE_PX);
      floors.set(x, placed);
      return { x, y: placed, text: name };
    });
}

/** Round numbers from `low` to `high`, about `wanted` of them. @type {(low: number, high: number, wanted: number) => number[]} */
export function ticks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= raw) ?? raw;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  // Multiples of the step, not sums of it: 0.3, not 0.30000000000000004.
  return Array.from({ length: Math.max(0, count) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Round numbers of a log axis; `low` and `high` are logarithms. @type {(low: number, high: number, scale: "log2" | "log10", few: boolean) => number[]} */
function logTicks(low, high, scale, few) {
  const found = [];
  const base = scale === "log2" ? 2 : 10;
  const digits = scale === "log2" || high - low > 2 ? [1] : few || high - low > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  for (let power = Math.floor(low) - 1; power <= Math.ceil(high); power += 1) {
    for (const digit of digits) {
      const value = digit * base ** power;
      const place = Math.log(value) / Math.log(base);
      if (place >= low - 1e-9 && place <= high + 1e-9) found.push(value);
    }
  }
  // An axis within one power of its base has at least its ends.
  return found.length > 1 ? found : ticks(base ** low, base ** high, 3).filter((value) => value > 0);
}
