// What a calibration left: how far to trust it, its figures, its coefficients and every table. It
// fills while it is measured.

import { el, save } from "../dom.js";
import { count, duration, number, percent, withUnit } from "../format.js";
import { chart, sheet } from "./chart.js";
import { drawable, residuals, steps } from "./pictures.js";
import { COMPARE, FIGURE, RESULT, bandwidth, bytesOf, relative, sentence, signed, whose } from "./words.js";

/** @import { Calibration, Described, Estimate, Point, StepLatency } from "../types.js" */

/** Where the sentence on top takes its two step times from. */
const CONTEXT = 1024;

/**
 * @param {HTMLElement} host
 * @param {HTMLElement} serve the panel that serves users by the calibration shown
 * @param {{use: (described: Described) => void, second: (files: FileList | null) => void, dropSecond: () => void}} on
 */
export function results(host, serve, on) {
  const tick = (/** @type {number} */ value) => number(value);
  const stepFigure = chart(FIGURE.steps, { scale: "log2", tick: count }, tick);
  const errorFigure = chart(FIGURE.residuals, { scale: "log10", tick }, tick);
  const top = el("div", {});
  const rest = el("div", {});
  const heading = el("h2", { id: "calibrate-result", tabindex: -1, hidden: true }, RESULT.title);
  stepFigure.element.hidden = true;
  errorFigure.element.hidden = true;
  host.append(heading, top, stepFigure.element, errorFigure.element, rest);

  /** @param {boolean} shown */
  const whole = (shown) => {
    heading.hidden = !shown;
    errorFigure.element.hidden = !shown;
  };

  return {
    clear() {
      whole(false);
      stepFigure.element.hidden = true;
      top.replaceChildren();
      rest.replaceChildren();
    },
    /** Points as they come. @param {Point[]} points */
    live(points) {
      if (!drawable(points)) return;
      stepFigure.element.hidden = false;
      stepFigure.update(steps(points, null));
    },
    /** @type {(described: Described, second: Described | null) => void} */
    show(described, second) {
      const { calibration } = described;
      whole(true);
      stepFigure.element.hidden = !drawable(calibration.points);
      top.replaceChildren(...summary(described, on));
      stepFigure.update(steps(calibration.points, described));
      errorFigure.update(residuals(described));
      rest.replaceChildren(
        ...proof(calibration),
        ...checks(calibration),
        ...coefficients(calibration),
        ...sheets(described),
        ...device(calibration),
        ...wholeSteps(calibration),
        ...kernels(calibration),
        serve,
        ...compare(described, second, on),
      );
    },
    focus() {
      heading.focus();
    },
  };
}

/** Which of the places that every calibration is asked for. @type {(described: Described, sequences: number, context: number) => number} */
const index = ({ places }, sequences, context) => places.findIndex((p) => p.sequences === sequences && p.context === context);

/** The fit's time there. @type {(described: Described, sequences: number, context: number) => number} */
const at = (described, sequences, context) => described.places[index(described, sequences, context)]?.seconds ?? NaN;

/** @type {(described: Described, on: {use: (described: Described) => void}) => HTMLElement[]} */
function summary(described, on) {
  const { calibration: c, text } = described;
  const warnings = c.warnings.map(({ code, message }) => el("li", { "data-code": code }, sentence(message)));
  const file = `batchscope-calibration-${c.model.architecture.name}-${c.model.precision}.json`;
  return [
    ...(c.demonstration ? [el("p", { class: "demonstration" }, RESULT.demonstration)] : []),
    el("p", { class: "finding" }, RESULT.finding(c, at(described, 1, CONTEXT), at(described, 32, CONTEXT))),
    ...(c.proof === undefined ? [] : [el("p", { class: "trust", id: "verdict" }, RESULT.verdict(c.proof))]),
    el("p", { class: "trust" }, RESULT.trust(c)),
    ...(c.steps === undefined ? [el("p", { class: "help", id: "old-version" }, RESULT.old(c.version))] : []),
    ...(warnings.length === 0 ? [] : [el("ul", { class: "warnings", "aria-label": RESULT.warnings }, ...warnings)]),
    el("p", { class: "help" }, RESULT.when(c)),
    el(
      "p",
      { class: "calibrate-actions" },
      el("button", { type: "button", id: "use-gpu", "aria-describedby": "use-gpu-help", onclick: () => on.use(described) }, c.demonstration ? RESULT.useOf("the demonstration") : RESULT.use),
      " ",
      el("button", { type: "button", id: "save-calibration", onclick: () => save(file, text, "application/json") }, RESULT.save),
    ),
    el("p", { class: "help", id: "use-gpu-help" }, c.demonstration ? RESULT.useDemo : RESULT.useHelp),
  ];
}

/** A titled part with a table that may scroll. @type {(title: string, table: HTMLElement, ...notes: string[]) => HTMLElement[]} */
const part = (title, table, ...notes) => [
  el(
    "section",
    { class: "part", "aria-label": title },
    el("h3", {}, title),
    ...notes.map((note) => el("p", { class: "help" }, note)),
    // It may scroll on a phone, and what scrolls must be reachable by keyboard.
    el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": title }, table),
  ),
];

/** @param {Calibration} c */
function coefficients(c) {
  const words = RESULT.coefficients;
  const { model, intervals } = c.fit;
  const values = [model.c0_s, model.c1_s_per_sequence, model.c2_s_per_context_token, model.c3_s_per_prefill_token];
  const rows = words.rows.map(([name = "", meaning = ""], i) => {
    const interval = intervals[i];
    const span = interval === null || interval === undefined ? words.notDetermined : `${duration(interval[0])} to ${duration(interval[1])}`;
    return [name, duration(values[i] ?? NaN), span, meaning];
  });
  const { compute } = model;
  if (compute !== null) {
    const more = [compute.d0_s, compute.d1_s_per_token];
    rows.push(...words.compute.map(([name = "", meaning = ""], i) => [name, duration(more[i] ?? NaN), "", meaning]));
  }
  const title = c.steps === undefined ? words.title : words.lineTitle;
  const made = part(title, sheet(title, words.head, rows, true), ...(c.steps === undefined ? [] : [words.lineNote]));
  made[0]?.classList.add("worded");
  return made;
}

/** Users served after the measurement, beside the prediction. @param {Calibration} c */
function proof(c) {
  if (c.proof === undefined) return [];
  const words = RESULT.proof;
  const rows = c.proof.levels.flatMap((level) => {
    const figures = (/** @type {typeof level.measured} */ side) => [number(side.output_tokens_per_s), duration(side.tbt_mean_ms / 1e3), duration(side.tbt_p95_ms / 1e3)];
    return [
      [count(level.users), words.measured, ...figures(level.measured)],
      [count(level.users), words.predicted, ...figures(level.predicted)],
      [count(level.users), words.error, ...(/** @type {const} */ (["output_tokens_per_s", "tbt_mean_ms", "tbt_p95_ms"]).map((figure) => signed(relative(level, figure))))],
    ];
  });
  const made = part(words.title, sheet(words.title, words.head, rows, true), words.note);
  if (made[0] !== undefined) made[0].id = "proof";
  return made;
}

/** @param {Calibration} c */
function wholeSteps(c) {
  if (c.steps === undefined) return [];
  const words = RESULT.wholeSteps;
  const rows = c.steps.map((s) => [
    count(s.sequences),
    count(s.context),
    count(s.chunk),
    count(s.before),
    count(s.sampled),
    count(s.dispatches),
    bytesOf(s.bytes),
    `${duration(s.seconds)} ± ${duration(s.mad_s)}`,
    duration(s.host_s),
  ]);
  return part(words.title, sheet(words.title, words.head, rows, true), words.note);
}

/** @param {Calibration} c */
function checks(c) {
  const words = RESULT.checks;
  if (c.checks.length === 0) return part(words.title, el("p", { class: "help" }, words.none));
  const rows = c.checks.map((k) => [
    count(k.sequences),
    count(k.context),
    count(k.prefill),
    `${duration(k.measured_s)} ± ${duration(k.mad_s)}`,
    duration(k.predicted_s),
    signed(k.error),
  ]);
  return part(words.title, sheet(words.title, words.head, rows, true));
}

/** @param {Described} described */
function sheets(described) {
  const words = RESULT.sheets;
  const { calibration: c } = described;
  const own = [
    `${c.adapter.name || c.adapter.backend}, ${words.own}`,
    bandwidth(c.bandwidth.read.value),
    "",
    duration(at(described, 1, CONTEXT)),
    duration(at(described, 32, CONTEXT)),
    withUnit(32 / at(described, 32, CONTEXT), "tok/s"),
  ];
  const [one, many] = [index(described, 1, CONTEXT), index(described, 32, CONTEXT)];
  const rows = described.sheets.map(({ card: { hardware }, own: isOwn, seconds }) => [
    isOwn ? `${hardware.name}, ${words.ownSheet}` : hardware.name,
    bandwidth(hardware.bandwidth_bytes_per_s),
    `${number(hardware.peak_flops / 1e12)} TFLOP/s`,
    duration(seconds[one] ?? NaN),
    duration(seconds[many] ?? NaN),
    withUnit(32 / (seconds[many] ?? NaN), "tok/s"),
  ]);
  const used = described.sheets.find(({ own: isOwn }) => isOwn);
  const utilisation = used === undefined ? [] : [words.utilisation(used.mbu?.[one] ?? NaN, used.mfu?.[many] ?? NaN)];
  const made = part(words.title, sheet(words.title, words.head, [own, ...rows], true), words.note, ...utilisation);
  const sources = described.sheets.map(({ card: { hardware } }) => el("li", {}, hardware.source));
  made[0]?.append(el("details", {}, el("summary", {}, words.sources), el("ul", {}, ...sources)));
  return made;
}

/** @param {Calibration} c */
function device(c) {
  const words = RESULT.device;
  /** @type {(name: string, e: Estimate, show: (value: number) => string) => string[]} */
  const row = (name, e, show) => [name, show(e.value), `± ${show(e.mad)}`, count(e.n)];
  const rows = [row(words.read, c.bandwidth.read, bandwidth)];
  if (c.bandwidth.by_timestamps !== null) rows.push([words.byTimestamps, bandwidth(c.bandwidth.by_timestamps), "", ""]);
  rows.push(row(words.dispatch, c.launch.dispatch, duration), row(words.submission, c.launch.submission, duration));
  if (c.host !== undefined) rows.push([words.host, words.hostOf(duration(c.host.per_step_s), duration(c.host.per_dispatch_s)), "", ""]);
  if (c.drift !== null) rows.push([words.drift, signed(c.drift), "", ""]);
  if (c.steadiness !== undefined) rows.push([words.spread, percent(c.steadiness.spread), "", ""], [words.leftOut, percent(c.steadiness.left_out), "", ""]);
  if (c.layers !== null) {
    rows.push([words.perLayer, duration(c.layers.per_layer_s), "", ""], [words.nonlinearity, signed(c.layers.nonlinearity), "", ""]);
  }
  return part(words.title, sheet(words.title, words.head, rows, true));
}

/** @param {Calibration} c */
function kernels(c) {
  const words = RESULT.kernels;
  const rows = c.kernels.map((k) => [
    k.name,
    count(k.columns),
    k.context === null ? "" : count(k.context),
    bytesOf(k.bytes),
    `${duration(k.seconds.value)} ± ${duration(k.seconds.mad)}`,
    percent(k.share_of_read),
  ]);
  return part(words.title, sheet(words.title, words.head, rows, true), words.note);
}

/** @type {(first: Described, second: Described | null, on: {second: (files: FileList | null) => void, dropSecond: () => void}) => HTMLElement[]} */
function compare(first, second, on) {
  const input = el("input", { type: "file", id: "second-file", class: "visually-hidden", accept: ".json,application/json", "aria-label": COMPARE.open });
  input.addEventListener("change", () => {
    on.second(input.files);
    input.value = "";
  });
  const section = el(
    "section",
    { class: "part", "aria-label": COMPARE.title },
    el("h3", {}, COMPARE.title),
    el("p", { class: "help" }, COMPARE.help),
    el(
      "p",
      { class: "calibrate-actions" },
      input,
      el("label", { for: "second-file", class: "button" }, COMPARE.open),
      ...(second === null ? [] : [" ", el("button", { type: "button", class: "quiet", onclick: on.dropSecond }, COMPARE.remove)]),
    ),
  );
  if (second === null) return [section];
  if (first.calibration.model.architecture.name !== second.calibration.model.architecture.name || first.calibration.model.precision !== second.calibration.model.precision) {
    section.append(el("p", { class: "help" }, COMPARE.otherModel));
  }
  section.append(
    el(
      "div",
      { class: "numbers", tabindex: 0, role: "group", "aria-label": COMPARE.caption, id: "compared" },
      sheet(COMPARE.caption, [COMPARE.head[0] ?? "", whose(first.calibration), whose(second.calibration), COMPARE.head[1] ?? ""], compared(first, second)),
    ),
  );
  return [section];
}

/** Quantity, first, second, difference. @type {(first: Described, second: Described) => string[][]} */
export function compared(first, second) {
  /** @type {(name: string, a: number, b: number, show: (value: number) => string) => string[]} */
  const row = (name, a, b, show) => [name, show(a), show(b), a > 0 && Number.isFinite(b) ? signed((b - a) / a) : "–"];
  const [a, b] = [first.calibration, second.calibration];
  /** @type {[string, keyof Omit<StepLatency, "compute">][]} */
  const coefficients = [
    ["c0", "c0_s"],
    ["c1", "c1_s_per_sequence"],
    ["c2", "c2_s_per_context_token"],
    ["c3", "c3_s_per_prefill_token"],
  ];
  return [
    row(COMPARE.bandwidth, a.bandwidth.read.value, b.bandwidth.read.value, bandwidth),
    ...coefficients.map(([name, key]) => row(name, a.fit.model[key], b.fit.model[key], duration)),
    ...first.places.map(({ sequences, context, seconds }) => row(COMPARE.step(sequences, context), seconds, at(second, sequences, context), duration)),
    [COMPARE.error, percent(first.error), percent(second.error), ""],
  ];
}

