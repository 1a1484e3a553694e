// The line on the simulator's view that says whose GPU the latency model is of, and what its error
// does to the figures. The address carries it as one key, so that a link says it too.

import { byId, el } from "../dom.js";
import { duration, percent } from "../format.js";
import { POLICY, kept } from "../words.js";
import { sheet } from "./chart.js";
import { LINE, PROBLEM, errorOf, whose } from "./words.js";

/** @import { Calibration, PolicyRange, RunResult, TraceFile } from "../types.js" */
/** @import { State } from "../state.js" */
/** @import { Gpu } from "./engine.js" */

/** Between the parts of the key. */
const APART = "~";
/** Longest name that a link may bring, characters. */
const LONGEST = 80;

/**
 * A measured GPU as the address names it: name, relative error, and whether it is a demonstration.
 * @type {(calibration: Calibration, closedForm: number) => string}
 */
export function nameOf(calibration, closedForm) {
  const name = whose(calibration).replaceAll(APART, "-").slice(0, LONGEST);
  return [name, errorOf(calibration).toPrecision(3), closedForm.toPrecision(3), calibration.demonstration ? "demo" : "gpu"].join(APART);
}

/**
 * Reads such a key; null where it is none. It comes from a link, so nothing of it is trusted.
 * @param {string} key
 */
export function readName(key) {
  const [name = "", error, closedForm, kind, ...more] = key.split(APART);
  const [e, form] = [Number(error), Number(closedForm)];
  if (more.length > 0 || (kind !== "demo" && kind !== "gpu") || name === "" || name.length > LONGEST) return null;
  if (!(error !== "" && e >= 0 && e < 1) || !(closedForm !== "" && form >= 0 && form < 10)) return null;
  return { name, error: e, closedForm: form, demonstration: kind === "demo" };
}

/** @param {Gpu} engine */
export function gauge(engine) {
  const text = el("span", {});
  const more = el("span", { role: "status" });
  const table = el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": LINE.more });
  const details = el("details", { hidden: true }, el("summary", {}, LINE.more), table);
  const line = el("div", { class: "whose-gpu help", id: "whose-gpu", hidden: true }, text, " ", more, details);
  byId("finding").after(line);
  /** What the range shown, or being worked out, is of. */
  let asked = "";

  return {
    /** @type {(state: State, results: RunResult[], file: TraceFile | null) => void} */
    painted(state, results, file) {
      line.hidden = state.gpu === undefined;
      if (state.gpu === undefined) {
        asked = "";
        return;
      }
      const named = readName(state.gpu);
      if (named === null) {
        text.textContent = PROBLEM.badLink;
        more.textContent = "";
        details.hidden = true;
        return;
      }
      line.classList.toggle("demonstration-line", named.demonstration);
      text.textContent = LINE.whose(named.name, named.error, named.demonstration);
      const key = JSON.stringify([state, file?.id]);
      if (key === asked) return;
      asked = key;
      void range(state, results, file, named, key);
    },
  };

  /** @type {(state: State, results: RunResult[], file: TraceFile | null, named: {error: number, closedForm: number}, key: string) => Promise<void>} */
  async function range(state, results, file, { error, closedForm }, key) {
    more.textContent = LINE.working;
    const reply = await engine.ask("ranged", (runId) => ({
      type: "range",
      runId,
      scenario: state.scenario,
      policies: results.map(({ policy }) => policy),
      file: "file" in state.scenario.trace ? file : null,
      error,
    }));
    // A newer picture asks for itself.
    if (key !== asked) return;
    details.hidden = reply.type !== "ranged";
    if (reply.type === "error") more.textContent = LINE.failed(reply.error.message);
    if (reply.type !== "ranged") return;
    const best = [...results].sort((a, b) => kept(b, "joint") - kept(a, "joint"))[0];
    const of = reply.ranges.find(({ policy }) => policy === best?.policy);
    more.textContent = of === undefined ? "" : LINE.best(POLICY[of.policy].name, joint(of), p95(of));
    const rows = reply.ranges.map((one) => [POLICY[one.policy].name, joint(one), p95(one)]);
    table.replaceChildren(sheet(LINE.caption(error), LINE.head, rows), el("p", {}, LINE.closedForm(closedForm)));
  }
}

/** @type {(low: number | null, high: number | null, show: (value: number) => string) => string} */
function span(low, high, show) {
  const ends = [low, high].filter((end) => end !== null).sort((a, b) => a - b).map(show);
  return LINE.span(ends[0] ?? "–", ends.at(-1) ?? "–");
}

/** @param {PolicyRange} one */
const joint = ({ shorter, longer }) => span(shorter.joint, longer.joint, percent);
/** @param {PolicyRange} one */
const p95 = ({ shorter, longer }) => span(shorter.p95_s, longer.p95_s, duration);
