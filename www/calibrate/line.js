// The line on the simulator's view that says whose GPU the latency model is of, and what its error
// does to the figures. The address carries it as one key, so that a link says it too.

import { byId, el } from "../dom.js";
import { duration, percent } from "../format.js";
import { toNumber } from "../state.js";
import { POLICY, kept } from "../words.js";
import { sheet } from "./chart.js";
import { LINE, PROBLEM, whose } from "./words.js";

/** @import { ClosedForm, Described, Moved, PolicyRange, RunResult, TraceFile } from "../types.js" */
/** @import { State } from "../state.js" */
/** @import { Gpu } from "./engine.js" */

/** Between the parts of the key. */
const APART = "~";
/** Longest name that a link may bring, characters. */
const LONGEST = 80;

/**
 * A measured GPU as the address names it: name, relative error, and whether it is a demonstration.
 * @type {(described: Described, form: ClosedForm) => string}
 */
export function nameOf({ calibration, line_error: error }, form) {
  const name = whose(calibration).replaceAll(APART, "-").slice(0, LONGEST);
  return [name, ...[error, form.median_error, form.worst_error].map((share) => share.toPrecision(3)), calibration.demonstration ? "demo" : "gpu"].join(APART);
}

/**
 * Reads such a key; null where it is none. It comes from a link, so nothing of it is trusted.
 * @param {string} key
 */
export function readName(key) {
  const parts = key.split(APART);
  const [name = "", , , , kind] = parts;
  const [error = NaN, formMedian = NaN, formWorst = NaN] = parts.slice(1, 4).map((text) => toNumber(text) ?? NaN);
  if (parts.length !== 5 || (kind !== "demo" && kind !== "gpu") || name === "" || name.length > LONGEST) return null;
  if (![error, formMedian, formWorst].every((share) => share >= 0 && share < 100)) return null;
  return { name, error, formMedian, formWorst, demonstration: kind === "demo" };
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

  /** @type {(state: State, results: RunResult[], file: TraceFile | null, named: NonNullable<ReturnType<typeof readName>>, key: string) => Promise<void>} */
  async function range(state, results, file, { error, formMedian, formWorst }, key) {
    more.textContent = LINE.working;
    const reply = await engine.ask("ranged", (runId) => ({
      type: "range",
      runId,
      summaries: results.map(({ summary }) => summary),
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
    table.replaceChildren(sheet(LINE.caption(error), LINE.head, rows), el("p", {}, LINE.closedForm(formMedian, formWorst)));
  }
}

/** @type {(moved: Moved, show: (value: number) => string) => string} */
function span({ at, faster, slower }, show) {
  const ends = [at, faster, slower].filter((end) => end !== null).sort((a, b) => a - b).map(show);
  return LINE.span(ends[0] ?? "–", ends.at(-1) ?? "–");
}

/** @param {PolicyRange} one */
const joint = ({ range }) => span(range.joint, percent);
/** @param {PolicyRange} one */
const p95 = ({ range }) => span(range.e2e_p95_s, duration);
