// Figures with curves: distributions of times, and quantities over simulated time.

import { count, duration, number, percent, tickTime, timeUnit } from "../format.js";
import { FIGURE } from "../words.js";
import { frame } from "./figure.js";
import { plot } from "./plot.js";

/** @import { RunResult } from "../types.js" */
/** @import { Key } from "./palette.js" */
/** @import { Axis, Line, View } from "./plot.js" */

/** Rows of a table of numbers. */
const TABLE_ROWS = 20;
const PERCENTILES = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999];
/** Ticks of the y axis of the distribution. */
const SHARES = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];

/** Ticks of a logarithmic time axis, where people look for them, s. */
const TIMES = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 36_000, 86_400, 864_000];

/** How far into the tail a share is. @param {number} share */
const tail = (share) => -Math.log10(1 - share);

/** A curve's value at `x`, between its points on a straight line. @type {(line: Line, x: number) => number} */
function at({ x: xs, y: ys }, x) {
  let low = 0;
  let high = xs.length - 1;
  if (high < 0 || x < (xs[0] ?? 0) || x > (xs[high] ?? 0)) return NaN;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((xs[middle] ?? 0) <= x) low = middle;
    else high = middle;
  }
  const [x0, x1, y0, y1] = [xs[low] ?? 0, xs[high] ?? 0, ys[low] ?? 0, ys[high] ?? 0];
  return x1 === x0 ? y1 : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

/**
 * What a distribution says: `at` of a time where the cursor is, `mark` beside the vertical line.
 * @typedef {{title: string, label: string, x: string, y: string, at: (s: number) => string, table: string, rows: string}} DistributionWords
 */

/**
 * A distribution of times, log time against the depth of the tail.
 * @param {HTMLElement} host
 * @param {DistributionWords} words
 * @param {number} height
 */
export function distribution(host, words, height) {
  /** @type {Line[]} */
  let lines = [];
  const { body, setSentence, refresh } = frame(host, words, {
    point: (position) => chart.point(position),
    read(position) {
      const latency = chart.value(position);
      return {
        where: words.at(latency),
        values: lines.map((line) => {
          const first = line.x[0] ?? Infinity;
          const depth = at(line, latency);
          const share = latency < first ? 0 : Number.isNaN(depth) ? 1 : 1 - 10 ** -depth;
          return { policy: line.policy, text: percent(share) };
        }),
      };
    },
    numbers: () => ({
      caption: words.table,
      head: words.rows,
      policies: lines.map((line) => line.policy),
      rows: PERCENTILES.map((share) => ({
        label: `P${Number((share * 100).toPrecision(4))}`,
        cells: lines.map(({ policy, x, y }) => duration(at({ policy, x: y, y: x }, tail(share)))),
      })),
    }),
  });
  /** @type {Axis} */
  const y = {
    label: words.y,
    scale: "linear",
    splits: (_min, max) => SHARES.map(tail).filter((split) => split <= max + 1e-9),
    values: (splits) => splits.map((split) => `${Number(((1 - 10 ** -split) * 100).toPrecision(6))} %`),
  };
  const chart = plot(body, {
    x: { label: words.x, scale: "log", splits: (min, max) => TIMES.filter((t) => t >= min && t <= max), values: (splits) => splits.map(tickTime) },
    y,
    height,
  });

  return {
    /**
     * @param {Line[]} next
     * @param {Line[]} faint thin ones: of the picture before, or the ends of an error
     * @param {{x: number, text: string} | null} mark
     * @param {string} sentence
     */
    update(next, faint, mark, sentence) {
      lines = next;
      const shown = [...faint.map((line) => ({ ...line, faint: true })), ...lines];
      const xs = shown.flatMap(({ x }) => [x[0] ?? 1, x.at(-1) ?? 1]);
      const most = Math.max(...xs, (mark?.x ?? 0) * 1.2);
      // The fastest per cent of the requests may be a hundred times faster than all others; the
      // picture is about the slow ones.
      const least = Math.max(Math.min(...xs, (mark?.x ?? Infinity) / 2), Math.max(...xs) / 1e5);
      chart.update({
        lines: shown,
        x: [least, most * 1.1],
        y: [0, Math.max(1, ...shown.map(({ y: ys }) => ys.at(-1) ?? 1)) * 1.02],
        xLabel: words.x,
        mark,
      });
      setSentence(sentence);
      refresh();
    },
    redraw: chart.redraw,
    /** Marks a part of the x axis. */
    span: chart.span,
  };
}

/**
 * Shares below as depths of the tail. The largest of n values has no distance to 1; half a value is its
 * place in the tail.
 * @type {(fraction: Float64Array, count: number) => Float64Array}
 */
export function depths(fraction, count) {
  const nearest = 0.5 / Math.max(1, count);
  return fraction.map((share) => -Math.log10(Math.max(1 - share, nearest)));
}

/** The latency distribution of the schedulers. @param {HTMLElement} host */
export function cdf(host) {
  const words = FIGURE.cdf;
  const figure = distribution(host, words, 380);
  /** @param {RunResult} result @returns {Line} */
  const line = ({ policy, cdf: columns, summary }) => ({ policy, x: columns.latency_s, y: depths(columns.fraction, summary.honest.requests) });
  return {
    /** @param {RunResult[]} results @param {RunResult[]} before */
    update(results, before) {
      const sla = results[0]?.summary.scenario.sla.request_s ?? 1;
      const still = before.filter((old) => results.some((r) => r.policy === old.policy));
      figure.update(results.map(line), still.map(line), { x: sla, text: words.sla(sla) }, words.sentence(results));
    },
    redraw: figure.redraw,
    span: figure.span,
  };
}

/** A line without the intervals in which there was nothing to measure. @type {(policy: Key, x: Float64Array, y: Float64Array) => Line} */
function known(policy, x, y) {
  if (!y.some(Number.isNaN)) return { policy, x, y };
  return { policy, x: x.filter((_, i) => !Number.isNaN(y[i])), y: y.filter((value) => !Number.isNaN(value)) };
}

/** About six round numbers from `min` to `max`. @type {(min: number, max: number) => number[]} */
function round(min, max) {
  const rough = Math.max(1e-12, max - min) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((digit) => digit * power >= rough) ?? 10) * power;
  const ticks = [];
  for (let i = Math.ceil(min / step); i * step <= max; i += 1) ticks.push(i * step);
  return ticks;
}

/** Waiting requests over time. @param {HTMLElement} host */
export function queue(host) {
  const words = FIGURE.queue;
  const figure = overTime(host, words, (value) => count(Math.round(value)));
  return {
    /** @param {RunResult[]} results */
    update(results) {
      const peaks = new Map(results.map((r) => [r.policy, r.series.waiting_max.reduce((a, b) => Math.max(a, b), 0)]));
      const lines = results.map(({ policy, series }) => ({ policy, x: series.t_s, y: series.waiting_mean }));
      figure.update(lines, words.sentence(results, peaks));
    },
    redraw: figure.redraw,
    span: figure.span,
  };
}

/** Mean batch size over time. @param {HTMLElement} host */
export function batch(host) {
  const figure = overTime(host, FIGURE.batch, number);
  return {
    /** @param {RunResult[]} results */
    update(results) {
      const lines = results.map(({ policy, series }) => ({ policy, x: series.t_s, y: series.batch_mean }));
      figure.update(lines, FIGURE.batch.sentence(results));
    },
    redraw: figure.redraw,
    span: figure.span,
  };
}

/**
 * A quantity over simulated time.
 * @param {HTMLElement} host
 * @param {DistributionWords} words
 * @param {(value: number) => string} text
 */
export function overTime(host, words, text) {
  /** @type {Line[]} */
  let lines = [];
  const { body, setSentence, refresh } = frame(host, words, {
    point: (position) => chart.point(position),
    read(position) {
      const time = chart.value(position);
      return { where: words.at(time), values: lines.map((line) => ({ policy: line.policy, text: valueText(line, time) })) };
    },
    numbers() {
      const end = Math.max(...lines.map(({ x }) => x.at(-1) ?? 0));
      return {
        caption: words.table,
        head: words.rows,
        policies: lines.map((line) => line.policy),
        rows: Array.from({ length: TABLE_ROWS }, (_, i) => {
          const time = ((i + 0.5) / TABLE_ROWS) * end;
          return { label: duration(time), cells: lines.map((line) => valueText(line, time)) };
        }),
      };
    },
  });
  let unit = timeUnit(1);
  const chart = plot(body, {
    x: {
      label: words.x,
      scale: "linear",
      // Round in the unit that is shown, which is not always the second.
      splits: (min, max) => round(min / unit.size, max / unit.size).map((tick) => tick * unit.size),
      values: (splits) => splits.map((s) => number(s / unit.size)),
    },
    y: { label: words.y, scale: "linear", values: (splits) => splits.map(number) },
    height: 240,
  });

  /** @type {(line: Line, time: number) => string} */
  const valueText = (line, time) => {
    const value = at(line, time);
    return Number.isNaN(value) ? "–" : text(value);
  };

  return {
    /**
     * @param {Line[]} next values that are no numbers are left out
     * @param {string} sentence
     * @param {number} [least] of the top of the picture
     * @param {Line[]} [faint] thin ones: the ends of an error
     */
    update(next, sentence, least = 1, faint = []) {
      lines = next.map(({ policy, x, y }) => known(policy, x, y));
      const shown = [...faint.map(({ policy, x, y }) => ({ ...known(policy, x, y), faint: true })), ...lines];
      const end = Math.max(1e-9, ...shown.map(({ x }) => x.at(-1) ?? 0));
      const top = Math.max(least, ...shown.map(({ y }) => y.reduce((a, b) => Math.max(a, b), 0)));
      unit = timeUnit(end);
      /** @type {View} */
      const view = { lines: shown, x: [0, end], y: [0, top * 1.05], xLabel: `${words.x}, ${unit.unit}`, mark: null };
      chart.update(view);
      setSentence(sentence);
      refresh();
    },
    redraw: chart.redraw,
    /** Marks a part of the x axis. */
    span: chart.span,
  };
}
