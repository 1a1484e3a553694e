// How run A differs from another, seed by seed: the table of differences with intervals.

import { NAME } from "../charts/palette.js";
import { el } from "../dom.js";
import { CANCELLED, Searcher } from "./search.js";
import { DIFFERENCES } from "./words.js";

/** @import { LabJob, TraceFile } from "../types.js" */
/** @import { Slot } from "../charts/palette.js" */

/** Pairs of runs, each with a seed of its own. */
const SEEDS = 10;

/** A figure as the laboratory writes it. @typedef {{label: string, unit: string, figure: string, text: (value: number) => string, change: (value: number) => string}} Figure `change`: how a difference is written */
/** @typedef {{runs: {slot: Slot, job: LabJob}[], file: TraceFile | null}} Now */

/**
 * @param {HTMLElement} host
 * @param {readonly Figure[]} figures
 */
export function differencesPanel(host, figures) {
  const searcher = new Searcher();
  /** @type {Now} */
  let now = { runs: [], file: null };
  /** What the differences are of. */
  let answered = "";
  let comparing = false;

  const select = el("select", { id: "differences-with" });
  const begin = el("button", { type: "button", id: "differences-begin", onclick: () => void compare() }, DIFFERENCES.begin);
  const cancel = el("button", { type: "button", hidden: true, onclick: () => searcher.cancel() }, DIFFERENCES.cancel);
  const status = el("p", { class: "help", role: "status" });
  const finding = el("p", { class: "search-finding" });
  const table = el("table", { class: "summary search-table" });
  // It may scroll on a phone, and what scrolls must be reachable by keyboard.
  const numbers = el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": DIFFERENCES.title, hidden: true }, table);
  host.append(
    el("h2", {}, DIFFERENCES.title),
    el("p", { class: "note" }, DIFFERENCES.help),
    el("p", { class: "search-actions" }, el("label", { for: "differences-with" }, DIFFERENCES.with), " ", select, " ", begin, " ", cancel),
    status,
    finding,
    numbers,
  );

  /** @param {string} slot */
  const keyOf = (slot) => {
    const [a, b] = [now.runs[0], now.runs.find((run) => run.slot === slot)];
    return JSON.stringify([slot, a?.job.scenario, a?.job.on, b?.job.scenario, b?.job.on, now.file?.id ?? null]);
  };
  select.addEventListener("change", judge);

  function judge() {
    if (comparing) return;
    const old = answered !== "" && answered !== keyOf(select.value);
    for (const one of [numbers, finding]) one.classList.toggle("old", old);
    status.textContent = now.runs.length < 2 ? DIFFERENCES.alone : old ? DIFFERENCES.old : "";
  }

  async function compare() {
    const [a] = now.runs;
    const b = now.runs.find(({ slot }) => slot === select.value);
    if (a === undefined || b === undefined) return;
    const { file } = now;
    const other = NAME[b.slot].name;
    answered = keyOf(b.slot);
    comparing = true;
    begin.disabled = true;
    cancel.hidden = false;
    host.setAttribute("aria-busy", "true");
    let said = "";
    try {
      const reply = await searcher.ask(
        { type: "differences", a: a.job, b: b.job, replications: SEEDS, file: "file" in a.job.scenario.trace ? file : null },
        (index) => (status.textContent = DIFFERENCES.pair(index, SEEDS)),
      );
      if (reply === CANCELLED) {
        said = DIFFERENCES.cancelled;
        answered = "";
      } else {
        const byFigure = new Map(reply.found.differences.map((one) => [one.figure, one]));
        const rows = figures.flatMap((figure) => {
          const found = byFigure.get(figure.figure);
          return found === undefined ? [] : [{ ...figure, ...found }];
        });
        const shown = rows.filter(({ low, high }) => low !== null && high !== null && (low > 0 || high < 0)).length;
        table.replaceChildren(
          el("caption", {}, DIFFERENCES.caption(other, SEEDS)),
          el("thead", {}, el("tr", {}, ...[DIFFERENCES.metric, "A", other, DIFFERENCES.more(other), DIFFERENCES.interval, DIFFERENCES.verdict].map((text) => el("th", { scope: "col" }, text)))),
          el(
            "tbody",
            {},
            ...rows.map(({ label, unit, text, change, a: of, b: than, difference, low, high }) => {
              const known = low !== null && high !== null;
              return el(
                "tr",
                {},
                el("th", { scope: "row" }, label, ...(unit === "" ? [] : [" ", el("span", { class: "unit" }, unit)])),
                ...[text(of), text(than), signed(difference, change), known ? `${signed(low, change)}${DIFFERENCES.to}${signed(high, change)}` : DIFFERENCES.fixed, known && !(low > 0 || high < 0) ? DIFFERENCES.no : DIFFERENCES.yes].map((cell) => el("td", {}, cell)),
              );
            }),
          ),
        );
        numbers.hidden = false;
        const { requests: { same, differ }, promises } = reply.found;
        const otherwise = promises.length === 0 ? "" : ` ${DIFFERENCES.otherPromises(promises)}`;
        finding.textContent = `${DIFFERENCES.sentence(other, shown, rows.length)} ${same ? DIFFERENCES.same : DIFFERENCES.notSame(differ)}${otherwise}`;
      }
    } catch (failed) {
      said = failed instanceof Error ? failed.message : String(failed);
    }
    comparing = false;
    searcher.cancel();
    begin.disabled = false;
    cancel.hidden = true;
    host.setAttribute("aria-busy", "false");
    judge();
    if (said !== "") status.textContent = said;
  }

  return {
    /** @param {Now} next */
    update(next) {
      now = next;
      const chosen = select.value;
      const others = next.runs.slice(1);
      select.replaceChildren(...others.map(({ slot }) => el("option", { value: slot }, NAME[slot].name)));
      if (others.some(({ slot }) => slot === chosen)) select.value = chosen;
      select.disabled = others.length === 0;
      begin.disabled = comparing || others.length === 0;
      judge();
    },
  };
}

/** With its sign. @type {(value: number, text: (value: number) => string) => string} */
const signed = (value, text) => (value < 0 ? `−${text(-value)}` : `+${text(value)}`);
