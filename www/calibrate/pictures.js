// What the figures of a calibration show, from its points: no elements, only numbers and words.

import { count, duration, number, withUnit } from "../format.js";
import { FIGURE, RESULT, signed } from "./words.js";

/** @import { Check, Described, Point } from "../types.js" */
/** @import { Picture, Series } from "./chart.js" */

const ms = (/** @type {number} */ seconds) => seconds * 1e3;

/** Context of each sequence of a step, tokens. @param {{sequences: number, context: number}} step */
export const each = ({ sequences, context }) => Math.round(context / Math.max(1, sequences));

/**
 * The measured steps without prompts as curves over the batch, by the size of the context of all
 * sequences together. The sizes of one curve are not quite equal (contexts are whole blocks, and
 * have a longest), so a curve takes the i-th size of each batch, and of a batch that has fewer the
 * nearest.
 * @param {Step[]} steps
 */
function curvesOf(steps) {
  /** @type {Map<number, Step[]>} */
  const batches = new Map();
  for (const step of steps) batches.set(step.sequences, [...(batches.get(step.sequences) ?? []), step]);
  for (const batch of batches.values()) batch.sort((a, b) => a.context - b.context);
  const most = Math.max(0, ...[...batches.values()].map(({ length }) => length));
  const whole = [...batches.values()].filter(({ length }) => length === most);
  const sizes = Array.from({ length: most }, (_, i) => median(whole.map((batch) => batch[i]?.context ?? NaN)));
  /** @type {{size: number, steps: Step[]}[]} */
  const curves = sizes.map((size) => ({ size, steps: [] }));
  for (const [, batch] of [...batches].sort(([a], [b]) => a - b)) {
    for (const [rank, step] of batch.entries()) {
      const far = sizes.map((size) => Math.abs(Math.log(size / Math.max(1, step.context))));
      curves[batch.length === most ? rank : far.indexOf(Math.min(...far))]?.steps.push(step);
    }
  }
  return curves;
}

/**
 * Whole steps as curves: all numbers of sequences at the shortest context of each, and those that were also measured with the
 * longest that the cache holds. Null where there is no such context: steps of a calibration before version 3.
 * @param {Step[]} steps
 */
function stairs(steps) {
  const short = Math.min(...steps.map(each));
  const sorted = [...steps].sort((a, b) => a.sequences - b.sequences);
  const all = sorted.filter((step) => each(step) === short);
  if (all.length < STAIRS) return null;
  /** @type {Map<number, Step>} */
  const longest = new Map();
  for (const step of sorted.filter((one) => each(one) > short)) {
    if (step.context > (longest.get(step.sequences)?.context ?? 0)) longest.set(step.sequences, step);
  }
  const long = [...longest.values()];
  return [all, long].filter(({ length }) => length > 0).map((of) => ({ size: median(of.map(({ context }) => context)), steps: of }));
}

/** Steps at one context of each sequence from which on they are stairs. */
const STAIRS = 6;

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** A measured point with what the fit says of it, if it is there. @typedef {Point & {fit: number | undefined}} Step */

/** Points that decode and process no prompt. @type {(points: Point[], predicted?: number[]) => Step[]} */
const decoding = (points, predicted) => points.map((point, i) => ({ ...point, fit: predicted?.[i] })).filter(({ prefill, sequences }) => prefill === 0 && sequences > 0);

/** Two digits are enough to tell the sizes apart. @param {number} size */
const round = (size) => Number(size.toPrecision(2));

/** The words of a curve: by the context of each sequence where all have the same. @type {(size: number, of: Step[]) => {name: string, label: string}} */
function named(size, of) {
  const [first] = of;
  if (first !== undefined && of.length > 1 && of.every((step) => each(step) === each(first))) {
    const words = FIGURE.steps.contextEach(each(first));
    return { name: words, label: words };
  }
  return { name: FIGURE.steps.contextOf(round(size)), label: FIGURE.steps.context(round(size)) };
}

/**
 * Step time against batch: as measured so far, or with the fit.
 * @type {(points: Point[], described: Described | null) => Picture}
 */
export function steps(points, described) {
  const shown = decoding(points, described?.predicted);
  const whole = stairs(shown);
  const curves = whole ?? curvesOf(shown);
  const all = curves.flatMap((curve) => curve.steps).sort((a, b) => a.sequences - b.sequences);
  /** @type {Series[]} */
  const series = curves.map(({ size, steps: of }) => ({
    ...named(size, of),
    as: "line",
    ...(described === null
      ? { kind: /** @type {const} */ ("measured"), at: of.map((s) => ({ x: s.sequences, y: ms(s.seconds) })) }
      : { kind: /** @type {const} */ ("predicted"), at: of.map((s) => ({ x: s.sequences, y: ms(s.fit ?? NaN) })) }),
  }));
  for (const kind of /** @type {const} */ (["measured", "held"])) {
    // What is held out of the line nearest to the stairs says nothing of the prediction.
    const wanted = all.filter(({ held_out }) => (held_out && whole === null) === (kind === "held"));
    series.push({ name: kind, kind, as: "points", at: wanted.map((s) => ({ x: s.sequences, y: ms(s.seconds), spread: ms(s.mad_s) })) });
  }
  const stops = [...new Set(all.map(({ sequences }) => sequences))];
  return {
    series,
    stops,
    sentence: described === null ? FIGURE.steps.live : stepsSentence(described),
    legend: described === null ? "" : described.calibration.steps === undefined ? FIGURE.steps.legend : FIGURE.steps.legendOfSteps,
    read: (i) => ({
      where: FIGURE.steps.at(stops[i] ?? 0),
      values: all
        .filter(({ sequences }) => sequences === stops[i])
        .map(({ context, seconds, held_out, fit }) => ({
          kind: /** @type {Series["kind"]} */ (held_out && whole === null ? "held" : "measured"),
          text: `${FIGURE.steps.contextOf(context)}: ${duration(seconds)}${fit === undefined ? "" : `, ${FIGURE.predicted} ${duration(fit)}`}`,
        })),
    }),
    numbers: {
      head: [FIGURE.steps.rows, ...FIGURE.steps.columns, ...(described === null ? [] : [FIGURE.predicted])],
      rows: all.map((s) => [count(s.sequences), count(s.context), number(ms(s.seconds)), ...(s.fit === undefined ? [] : [number(ms(s.fit))])]),
    },
  };
}

/** Numbers of sequences that the sentence under the steps names. */
const TOLD = [1, 8, 64];

/** @param {Described} described */
function stepsSentence({ calibration: { fit, steps: whole } }) {
  if (whole !== undefined) {
    const short = Math.min(...whole.filter(({ sequences }) => sequences > 0).map(({ context }) => context));
    return FIGURE.steps.sentence(
      TOLD.flatMap((n) => {
        const found = whole.find((s) => s.sequences === n && s.sampled === n && s.context === short);
        return found === undefined ? [] : [/** @type {[number, number]} */ ([n, found.seconds])];
      }),
    );
  }
  const { model } = fit;
  return `A step costs ${duration(model.c0_s)}, ${duration(model.c1_s_per_sequence)} more for each sequence and ${duration(model.c2_s_per_context_token * 1000)} more for each thousand tokens of context.`;
}

/** How far the fit is from what was measured. @param {Described} described @returns {Picture} */
export function residuals({ calibration, predicted }) {
  /** @type {{kind: "measured" | "held" | "check", seconds: number, error: number, what: string}[]} */
  const all = [
    // Where the prediction goes through the points, they say nothing of it.
    ...(calibration.steps === undefined ? calibration.points : []).map((p, i) => ({
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
    sentence: calibration.steps === undefined ? RESULT.coefficients.heldOut(calibration) : RESULT.trust(calibration),
    legend: calibration.steps === undefined ? FIGURE.residuals.legend : FIGURE.residuals.legendOfSteps,
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
export const drawable = (points) => decoding(points).length > 0;

