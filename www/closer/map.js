// GPUs against K: what each pair promises, worked out by a few workers, cell by cell. A click sets both.

import { el } from "../dom.js";
import { Engine } from "../engine.js";
import { count, percent } from "../format.js";
import { POLICIES } from "../state.js";
import { POLICY } from "../words.js";
import { MAP } from "./words.js";

/** @import { Policy, Scenario, TraceFile } from "../types.js" */

export const GPUS = [1.0, 0.25, 0.5, 0.75, 1.25, 1.5, 2, 3];
export const BINS = [1, 2, 4, 8, 16, 32];
/** Workers at once, at most: each holds the trace. */
const MOST_WORKERS = 4;

/** Fleets around that of the settings, each once. @param {number} gpus */
export const fleets = (gpus) => {
  const around = [...new Set(GPUS.map((share) => Math.max(1, Math.round(share * gpus))))];
  for (let more = gpus + 1; around.length < GPUS.length && more < 1025; more += 1) if (!around.includes(more)) around.push(more);
  return around.sort((a, b) => a - b);
};

/**
 * @param {HTMLElement} host
 * @param {(gpus: number, bins: number) => void} set
 */
export function map(host, set) {
  /** @type {{engine: Engine, promise: "joint" | "token" | "request", done: (kept: number | null) => void}[]} */
  let pool = [];
  let run = 0;
  /** What the map was made of, without fleet and bins. */
  let made = "";
  const status = el("p", { class: "help", role: "status" }, MAP.help);
  const table = el("table", { class: "map" });
  const button = el("button", { type: "button" }, MAP.draw);
  const policy = el("select", { id: "map-scheduler" }, ...POLICIES.map((one) => el("option", { value: one }, POLICY[one].name)));
  policy.value = "multi-bin-dynamic";
  const which = el("select", { id: "map-promise" }, ...Object.entries(MAP.promise).map(([value, name]) => el("option", { value }, name)));
  for (const select of [policy, which]) select.addEventListener("change", () => judge());
  host.append(el("p", { class: "map-choice" }, el("label", { for: "map-scheduler" }, MAP.scheduler), policy, el("label", { for: "map-promise" }, MAP.of), which, button), status, el("div", { class: "map-scroll" }, table));
  /** @type {{scenario: Scenario, file: TraceFile | null} | null} */
  let now = null;
  button.addEventListener("click", () => void fill());

  /** Everything that decides the cells. @param {{scenario: Scenario, file: TraceFile | null}} of */
  const keyOf = ({ scenario, file }) => JSON.stringify([{ ...scenario, fleet: null, bins: { ...scenario.bins, count: 0 } }, file?.id ?? null, policy.value, which.value]);

  async function fill() {
    if (now === null) return;
    const { scenario, file } = now;
    run += 1;
    const mine = run;
    made = keyOf(now);
    const [scheduler, promise] = [/** @type {Policy} */ (policy.value), /** @type {"joint" | "token" | "request"} */ (which.value)];
    const columns = fleets(scenario.fleet.gpus);
    /** @type {{gpus: number, bins: number, cell: HTMLElement}[]} */
    const cells = [];
    const head = el("tr", {}, el("th", { scope: "col" }, MAP.corner), ...columns.map((gpus) => el("th", { scope: "col" }, count(gpus))));
    const rows = BINS.map((bins) =>
      el("tr", {}, el("th", { scope: "row" }, count(bins)), ...columns.map((gpus) => {
        const cell = el("td", {}, "…");
        cells.push({ gpus, bins, cell });
        return cell;
      })),
    );
    table.classList.remove("old");
    table.replaceChildren(el("caption", {}, el("span", {}, MAP.caption(POLICY[scheduler].name, promise, scenario.sla.token_ms, scenario.sla.request_s))), el("thead", {}, head), el("tbody", {}, ...rows));
    // From the middle outwards, where the reader is.
    cells.sort((a, b) => Math.abs(Math.log(a.gpus / scenario.fleet.gpus)) - Math.abs(Math.log(b.gpus / scenario.fleet.gpus)));
    const begun = performance.now();
    host.setAttribute("aria-busy", "true");
    delete host.dataset["first"];
    delete host.dataset["done"];
    let next = 0;
    let finished = 0;
    warm();
    await Promise.all(
      pool.map(async (one) => {
        while (mine === run) {
          const at = cells[next];
          next += 1;
          if (at === undefined) return;
          const kept = await new Promise((resolve) => {
            one.promise = promise;
            one.done = resolve;
            one.engine.run({
              scenario: { ...scenario, fleet: { ...scenario.fleet, gpus: at.gpus }, bins: { ...scenario.bins, count: at.bins } },
              policies: [scheduler],
              file,
            });
          });
          if (mine !== run) return;
          finished += 1;
          host.dataset["first"] ??= String(Math.round(performance.now() - begun));
          status.textContent = MAP.progress(finished, cells.length);
          paint(at.cell, kept, at.gpus, at.bins);
        }
      }),
    );
    if (mine !== run) return;
    mark();
    status.textContent = MAP.help;
    host.dataset["done"] = String(Math.round(performance.now() - begun));
    host.setAttribute("aria-busy", "false");
    // Idle workers would hold their traces for nothing.
    for (const { engine } of pool) engine.end();
    pool = [];
  }

  /** @type {(cell: HTMLElement, kept: number | null, gpus: number, bins: number) => void} */
  function paint(cell, kept, gpus, bins) {
    cell.dataset["gpus"] = String(gpus);
    cell.dataset["bins"] = String(bins);
    if (kept === null) {
      cell.replaceChildren(MAP.none);
      return;
    }
    // The share as a colour as well, from paper to the scheduler's own.
    cell.style.setProperty("--share", `${Math.round(kept * 100)}%`);
    cell.replaceChildren(el("button", { type: "button", "aria-label": MAP.cell(gpus, bins, percent(kept)), onclick: () => set(gpus, bins) }, percent(kept)));
  }

  /** Says where the map is of other settings. */
  function judge() {
    if (now === null || made === "") return;
    const old = made !== keyOf(now);
    table.classList.toggle("old", old);
    status.textContent = old ? MAP.old : MAP.help;
    mark();
  }

  function mark() {
    for (const cell of table.querySelectorAll("td")) {
      const here = now !== null && cell.dataset["gpus"] === String(now.scenario.fleet.gpus) && cell.dataset["bins"] === String(now.scenario.bins.count);
      cell.classList.toggle("here", here);
    }
  }

  /** Starts the workers: the reader is about to ask. */
  function warm() {
    const workers = Math.max(1, Math.min(MOST_WORKERS, (navigator.hardwareConcurrency ?? 2) - 1));
    while (pool.length < workers) pool.push(worker());
  }

  function worker() {
    /** @type {(typeof pool)[number]} */
    const one = {
      promise: "joint",
      engine: new Engine({
        reply(reply) {
          if (reply.type === "result") one.done(reply.result.summary.honest.sla[one.promise]);
          if (reply.type === "error") one.done(null);
        },
        crashed(_message, givenUp) {
          if (givenUp) one.done(null);
        },
      }),
      done: () => {},
    };
    return one;
  }

  return {
    warm,
    /** What the settings are now: the map is drawn when asked for, and says when it is of others. @param {{scenario: Scenario, file: TraceFile | null}} of */
    update(of) {
      now = of;
      judge();
    },
  };
}
