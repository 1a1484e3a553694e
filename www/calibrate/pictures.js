// What the figures of a calibration show, from its points: no elements, only numbers and words.

import { count, duration, number, withUnit } from "../format.js";
import { FIGURE, RESULT, signed } from "./words.js";

/** @import { Check, Described, Point } from "../types.js" */
/** @import { Picture, Series } from "./chart.js" */

const ms = (/** @type {number} */ seconds) => seconds * 1e3;

/** Context of each sequence of a step, tokens. @param {{sequences: number, context: number}} step */
export const each = ({ sequences, context }) => Math.round(context / Math.max(1, sequences));

/** The measured points without prompts, by the context of each sequence. @param {Point[]} points */
function byContext(points) {
  /** @type {Map<number, Point[]>} */
  const groups = new Map();
  for (const point of points) {
    if (point.prefill > 0 || point.sequences === 0) continue;
    const context = each(point);
    groups.set(context, [...(groups.get(context) ?? []), point]);
  }
  for (const group of groups.values()) group.sort((a, b) => a.sequences - b.sequences);
  return new Map([...groups].sort(([a], [b]) => a - b));
}

/**
 * Step time against batch, a curve per context: as measured so far, or with the fit.
 * @type {(points: Point[], described: Described | null) => Picture}
 */
export function steps(points, described) {
  const groups = byContext(points);
  const curves = new Map((described?.curves ?? []).map((curve) => [curve.context, curve]));
  /** @type {Series[]} */
  const series = [];
  for (const [context, group] of groups) {
    const curve = curves.get(context);
    const label = FIGURE.steps.context(context);
    series.push(
      curve === undefined
        ? { name: label, kind: "measured", as: "line", at: group.map((p) => ({ x: p.sequences, y: ms(p.seconds) })), label }
        : { name: label, kind: "predicted", as: "line", at: curve.sequences.map((x, i) => ({ x, y: ms(curve.seconds[i] ?? NaN) })), label },
    );
  }
  for (const kind of /** @type {const} */ (["measured", "held"])) {
    const wanted = [...groups.values()].flat().filter(({ held_out }) => held_out === (kind === "held"));
    series.push({ name: kind, kind, as: "points", at: wanted.map((p) => ({ x: p.sequences, y: ms(p.seconds), spread: ms(p.mad_s) })) });
  }
  const stops = [...new Set([...groups.values()].flat().map(({ sequences }) => sequences))].sort((a, b) => a - b);
  /** @type {(context: number, sequences: number) => number | undefined} */
  const fitted = (context, sequences) => {
    const i = points.findIndex((p) => p.prefill === 0 && p.sequences === sequences && each(p) === context);
    return described?.predicted[i];
  };
  return {
    series,
    stops,
    sentence: described === null ? FIGURE.steps.live : stepsSentence(described),
    legend: described === null ? "" : FIGURE.steps.legend,
    read: (i) => {
      const sequences = stops[i] ?? 0;
      return {
        where: FIGURE.steps.at(sequences),
        values: [...groups].flatMap(([context, group]) =>
          group
            .filter((p) => p.sequences === sequences)
            .map((p) => {
              const fit = fitted(context, sequences);
              const tail = fit === undefined ? "" : `, ${FIGURE.predicted} ${duration(fit)}`;
              return { kind: /** @type {"held" | "measured"} */ (p.held_out ? "held" : "measured"), text: `${FIGURE.steps.contextOf(context)}: ${duration(p.seconds)}${tail}` };
            }),
        ),
      };
    },
    numbers: {
      head: [FIGURE.steps.rows, ...[...groups.keys()].flatMap((context) => [FIGURE.steps.contextOf(context), ...(described === null ? [] : [FIGURE.predicted])])],
      rows: stops.map((sequences) => [
        count(sequences),
        ...[...groups].flatMap(([context, group]) => {
          const point = group.find((p) => p.sequences === sequences);
          const fit = fitted(context, sequences);
          return [point === undefined ? "" : number(ms(point.seconds)), ...(described === null ? [] : [fit === undefined ? "" : number(ms(fit))])];
        }),
      ]),
    },
  };
}

/** @param {Described} described */
function stepsSentence({ calibration: { fit } }) {
  const { model } = fit;
  return `A step costs ${duration(model.c0_s)}, ${duration(model.c1_s_per_sequence)} more for each sequence and ${duration(model.c2_s_per_context_token * 1000)} more for each thousand tokens of context.`;
}

/** How far the fit is from what was measured. @param {Described} described @returns {Picture} */
export function residuals({ calibration, predicted }) {
  /** @type {{kind: "measured" | "held" | "check", seconds: number, error: number, what: string}[]} */
  const all = [
    ...calibration.points.map((p, i) => ({
      kind: /** @type {"measured" | "held"} */ (p.held_out ? "held" : "measured"),
      seconds: p.seconds,
      error: ((predicted[i] ?? NaN) - p.seconds) / p.seconds,
      what: stepWords(p),
    })),
    ...calibration.checks.map((c) => ({ kind: /** @type {const} */ ("check"), seconds: c.measured_s, error: c.error, what: stepWords(c) })),
  ]
    .filter(({ seconds, error }) => seconds > 0 && Number.isFinite(error))
    .sort((a, b) => a.seconds - b.seconds);
  const far = Math.max(0.05, ...all.map(({ error }) => Math.abs(error))) * 110;
  const kinds = FIGURE.residuals.kind;
  const name = (/** @type {"measured" | "held" | "check"} */ kind) => (kind === "measured" ? kinds.fitted : kinds[kind]);
  return {
    series: /** @type {const} */ (["measured", "held", "check"]).map((kind) => ({
      name: name(kind),
      kind,
      as: "points",
      at: all.filter((one) => one.kind === kind).map(({ seconds, error }) => ({ x: ms(seconds), y: 100 * error })),
    })),
    rules: [0],
    y: [-far, far],
    stops: all.map(({ seconds }) => ms(seconds)),
    sentence: RESULT.coefficients.heldOut(calibration),
    legend: FIGURE.residuals.legend,
    read: (i) => {
      const one = all[i];
      if (one === undefined) return { where: "", values: [] };
      return { where: `${one.what}: ${FIGURE.measured} ${duration(one.seconds)}`, values: [{ kind: one.kind, text: `${name(one.kind)}, ${signed(one.error)}` }] };
    },
    numbers: {
      head: [FIGURE.residuals.rows, "step", "kind", "error"],
      rows: all.map(({ kind, seconds, error, what }) => [number(ms(seconds)), what, name(kind), signed(error)]),
    },
  };
}

/** A step in words. @param {Point | Check} step */
export function stepWords(step) {
  const sequences = step.sequences === 0 ? "" : `${FIGURE.steps.at(step.sequences)} at ${withUnit(each(step), "tokens")}`;
  const prompt = step.prefill === 0 ? "" : `${withUnit(step.prefill, "prompt tokens")}`;
  return [sequences, prompt].filter((part) => part !== "").join(" and ");
}

/** Whether the chart of steps has anything to show. @param {Point[]} points */
export const drawable = (points) => byContext(points).size > 0;

