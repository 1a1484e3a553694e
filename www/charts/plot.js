// uPlot, held by one narrow door: axes, scales and the cursor's line are its own; curves have their
// own x columns and are drawn by our path builder, so that schedulers of different length need no
// common grid.

import uPlot from "../../vendor/uPlot.esm.js";
import { NAME, SIGN, colour, css, textColour } from "./palette.js";
import { place } from "./labels.js";

/** @import { Key } from "./palette.js" */

/**
 * @typedef {object} Line
 * @property {Key} policy
 * @property {Float64Array} x ascending
 * @property {Float64Array} y
 * @property {boolean} [faint] the picture before; drawn thin and without label
 */

/**
 * @typedef {object} Axis
 * @property {string} label
 * @property {"linear" | "log"} scale
 * @property {(splits: number[]) => string[]} [values] text of the ticks
 * @property {(min: number, max: number) => number[]} [splits]
 */

/**
 * @typedef {object} View
 * @property {Line[]} lines
 * @property {[number, number]} x
 * @property {[number, number]} y
 * @property {string} xLabel
 * @property {{x: number, text: string} | null} mark a vertical line with words
 */

const FONT_PX = 12;
/** How far outside the view a figure is drawn at once. */
const AHEAD = "300px";
const ORDER = Object.keys(SIGN);

/**
 * @param {HTMLElement} host
 * @param {{x: Axis, y: Axis, height: number}} axes
 */
export function plot(host, axes) {
  /** @type {View | null} */
  let view = null;
  /** @type {uPlot | null} */
  let chart = null;
  const font = () => `${FONT_PX}px ${css("--sans")}`;

  /** @param {uPlot} u @param {number} index */
  function path(u, index) {
    const line = view?.lines[index - 1];
    if (line === undefined) return null;
    const stroke = new Path2D();
    for (let i = 0; i < line.x.length; i += 1) {
      const x = u.valToPos(line.x[i] ?? 0, "x", true);
      const y = u.valToPos(line.y[i] ?? 0, "y", true);
      if (i === 0) stroke.moveTo(x, y);
      else stroke.lineTo(x, y);
    }
    return { stroke, fill: null, clip: null, flags: 0 };
  }

  /** @param {uPlot} u */
  function drawMark(u) {
    const mark = view?.mark;
    if (view === null || mark === null || mark === undefined || mark.x < view.x[0] || mark.x > view.x[1]) return;
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    const x = Math.round(u.valToPos(mark.x, "x", true));
    ctx.save();
    ctx.strokeStyle = css("--ink");
    ctx.lineWidth = ratio;
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - 6 * ratio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillStyle = css("--ink");
    ctx.font = scaled(ratio);
    ctx.textBaseline = "bottom";
    ctx.textAlign = x > bbox.left + bbox.width * 0.8 ? "right" : "center";
    ctx.fillText(mark.text, x, bbox.top - 8 * ratio);
    ctx.restore();
  }

  /** @param {uPlot} u */
  function drawLabels(u) {
    if (view === null) return;
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = scaled(ratio, 600);
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    const lines = view.lines.filter((line) => line.faint !== true && line.x.length > 0);
    const curves = lines.map(({ policy, x, y }) => ({
      text: NAME[policy].name,
      x: Array.from(x, (value) => u.valToPos(value, "x", true)),
      y: Array.from(y, (value) => u.valToPos(value, "y", true)),
    }));
    const spots = place(curves, bbox, (text) => ctx.measureText(text).width, FONT_PX * 1.3 * ratio);
    ctx.lineJoin = "round";
    for (const [i, spot] of spots.entries()) {
      const policy = lines[i]?.policy;
      if (spot === null || policy === undefined) continue;
      // A halo in the paper's colour keeps the name legible where it touches a line.
      ctx.lineWidth = 4 * ratio;
      ctx.strokeStyle = css("--paper");
      ctx.strokeText(NAME[policy].name, spot.x, spot.y);
      ctx.fillStyle = textColour(policy);
      ctx.fillText(NAME[policy].name, spot.x, spot.y);
    }
    ctx.restore();
  }

  /** @type {(ratio: number, weight?: number) => string} */
  const scaled = (ratio, weight = 400) => `${weight} ${FONT_PX * ratio}px ${css("--sans")}`;

  /** @returns {uPlot.Options} */
  function options() {
    /** @param {Axis} axis @param {number} side @returns {uPlot.Axis} */
    const common = ({ label, splits, values }, side) => ({
      side,
      stroke: () => css("--quiet"),
      font: font(),
      labelFont: font(),
      label,
      labelSize: 20,
      labelGap: 2,
      ticks: { stroke: () => css("--hairline"), width: 1, size: 4 },
      grid: { stroke: () => css("--hairline"), width: 1, show: side === 3 },
      // uPlot would hide ticks of a log axis that are no powers of ten.
      filter: (/** @type {uPlot} */ _u, /** @type {number[]} */ found) => found,
      ...(splits === undefined ? {} : { splits: (/** @type {uPlot} */ u, /** @type {number} */ _i, /** @type {number} */ min, /** @type {number} */ max) => splits(min, max) }),
      ...(values === undefined ? {} : { values: (/** @type {uPlot} */ _u, /** @type {number[]} */ found) => values(found) }),
    });
    return {
      width: Math.max(200, host.clientWidth),
      height: axes.height,
      padding: [22, 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false, setScale: false }, bind: { mousemove: () => null, mouseleave: () => null, mouseenter: () => null, mousedown: () => null, mouseup: () => null, click: () => null, dblclick: () => null } },
      scales: {
        x: { time: false, distr: axes.x.scale === "log" ? 3 : 1, range: () => view?.x ?? [1, 10] },
        y: { distr: axes.y.scale === "log" ? 3 : 1, range: () => view?.y ?? [0, 1] },
      },
      axes: [
        { ...common(axes.x, 2), size: 30, label: view?.xLabel ?? axes.x.label },
        { ...common(axes.y, 3), size: 66 },
      ],
      series: [{}, ...(view?.lines ?? []).map(series)],
      hooks: { drawSeries: [], drawAxes: [drawMark], draw: [drawLabels] },
    };
  }

  /** @param {Line} line @returns {uPlot.Series} */
  const series = ({ policy, faint }) => ({
    stroke: () => colour(policy),
    width: faint === true ? 1 : 2,
    alpha: faint === true ? 0.35 : 1,
    dash: SIGN[policy].dash,
    points: { show: false },
    paths: path,
  });

  /** Only uPlot's scales need data; the curves themselves are in `view`. @returns {uPlot.AlignedData} */
  function data() {
    const count = view?.lines.length ?? 0;
    return [view?.x ?? [1, 10], ...Array.from({ length: count }, () => [view?.y[0] ?? 0, view?.y[1] ?? 1])];
  }

  const marked = document.createElement("div");
  marked.className = "marked-span";

  /** What is marked of the x axis. @type {[number, number] | null} */
  let spanned = null;
  function showSpan() {
    marked.remove();
    if (chart === null || view === null || spanned === null) return;
    const [left, right] = spanned.map((value) => Math.min(chart?.over.clientWidth ?? 0, Math.max(0, chart?.valToPos(value, "x") ?? 0)));
    if (left === undefined || right === undefined) return;
    marked.style.left = `${left}px`;
    marked.style.width = `${Math.max(2, right - left)}px`;
    chart.over.append(marked);
  }

  // Drawn when it is in view or nearly so: of a slider's move only that must not wait.
  let [near, due] = [true, false];
  new IntersectionObserver(
    ([entry]) => {
      near = entry?.isIntersecting === true;
      if (near && due) draw();
    },
    { rootMargin: AHEAD },
  ).observe(host);

  let shape = "";
  function draw() {
    if (view === null || host.clientWidth === 0) return;
    due = false;
    const wanted = JSON.stringify([view.lines.map(({ policy, faint }) => [policy, faint]), view.xLabel]);
    if (chart === null || wanted !== shape) {
      shape = wanted;
      chart?.destroy();
      chart = new uPlot(options(), data(), host);
    } else {
      chart.setData(data(), true);
    }
    showSpan();
  }

  new ResizeObserver(() => {
    if (chart !== null && host.clientWidth > 0 && host.clientWidth !== chart.width) {
      chart.setSize({ width: host.clientWidth, height: axes.height });
    }
  }).observe(host);

  return {
    /** @param {View} next */
    update(next) {
      next.lines.sort((a, b) => ORDER.indexOf(a.policy) - ORDER.indexOf(b.policy));
      view = next;
      due = true;
      if (near || chart === null) draw();
    },
    /** After a change of colours. */
    redraw() {
      shape = "";
      draw();
    },
    /** @param {number | null} position from 0 to 1, left to right */
    point(position) {
      if (chart === null) return;
      const width = chart.over.clientWidth;
      chart.setCursor(position === null ? { left: -10, top: -10 } : { left: position * width, top: 10 }, false);
    },
    /** Marks a part of the x axis, or nothing. @param {[number, number] | null} range */
    span(range) {
      spanned = range;
      if (due) draw();
      else showSpan();
    },
    /** The value on the x axis at a position. @param {number} position */
    value(position) {
      if (view === null) return 0;
      const [low, high] = view.x;
      return axes.x.scale === "log" ? low * (high / low) ** position : low + (high - low) * position;
    },
  };
}
