// How many GPUs a promise needs, and how high a rate a fleet takes: a search over the runs that are shown,
// one after the other in a worker that is ended with Cancel.

import { el } from "../dom.js";
import { count, percent } from "../format.js";
import { sample } from "../charts/palette.js";
import { controls } from "../panels/controls.js";
import { setPath } from "../state.js";
import { CANCELLED, Searcher } from "./search.js";
import { CHOICE, CONTROL, SEARCH } from "./words.js";

/** @import { Fewest, FleetPromise, HighestRate, LabJob, TraceFile } from "../types.js" */
/** @import { Key } from "../charts/palette.js" */
/** @import { Control } from "../state.js" */

/** A run that is searched. @typedef {{key: Key, name: string, job: LabJob}} Candidate */
/** @typedef {{candidates: Candidate[], file: TraceFile | null, rate: number | null}} Now `rate`: of the arrivals as they are, requests/s */

/** @type {(prefix: string) => Control[]} */
const settings = (prefix) => [
  { kind: "choice", id: `${prefix}-what`, path: "what", group: "all", options: { "fewest-gpus": "fewest-gpus", "highest-rate": "highest-rate" } },
  { kind: "choice", id: `${prefix}-which`, path: "which", group: "all", options: { joint: "joint", token: "token", request: "request" } },
  { kind: "number", id: `${prefix}-share`, path: "share", group: "all", unit: "%", min: 1, max: 100, whole: false, stops: [50, 60, 70, 75, 80, 85, 90, 95, 97, 98, 99, 99.5, 99.9] },
  { kind: "number", id: `${prefix}-rate`, path: "rate", group: "all", unit: SEARCH.perSecond, min: 1e-3, max: 1e6, whole: false, stops: [], shown: ({ what }) => what === "fewest-gpus" },
  { kind: "number", id: `${prefix}-replications`, path: "replications", group: "all", unit: "", min: 1, max: 100, whole: true, stops: [1, 2, 3, 5, 10, 20, 30] },
];

/**
 * @param {HTMLElement} host
 * @param {string} prefix of the controls' ids: a page may have more than one
 */
export function searchPanel(host, prefix) {
  const searcher = new Searcher();
  /** @type {Now} */
  let now = { candidates: [], file: null, rate: null };
  /** @type {{what: "fewest-gpus" | "highest-rate", which: FleetPromise["which"], share: number, rate: number, replications: number}} */
  const asked = { what: "fewest-gpus", which: "joint", share: 95, rate: 1, replications: 3 };
  /** The reader has set a rate: the trace's own does not take its place. */
  let rateSet = false;
  /** What the answers are of. */
  let answered = "";
  let searching = false;

  const list = settings(prefix);
  /** Words by the ids of this panel's controls. @type {<T>(words: Record<string, T>) => Record<string, T>} */
  const named = (words) => Object.fromEntries(Object.entries(words).map(([path, said]) => [`${prefix}-${path}`, said]));
  const form = el("div", { class: "search-form" });
  const panel = controls(
    form,
    list,
    { groups: { all: "" }, control: named(CONTROL), choice: named(CHOICE) },
    (path, value) => {
      setPath(asked, path, value);
      if (path === "rate") rateSet = true;
      panel.update(asked);
      judge();
    },
    async () => 0,
  );
  const begin = el("button", { type: "button", class: "search-begin", onclick: () => void search() }, SEARCH.begin);
  const cancel = el("button", { type: "button", hidden: true, onclick: () => searcher.cancel() }, SEARCH.cancel);
  const status = el("p", { class: "help", role: "status" });
  const finding = el("p", { class: "search-finding" });
  const table = el("table", { class: "summary search-table" });
  // It may scroll on a phone, and what scrolls must be reachable by keyboard.
  const numbers = el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": SEARCH.title, hidden: true }, table);
  host.append(form, el("p", { class: "search-actions" }, begin, " ", cancel), status, finding, numbers);
  panel.update(asked);

  const keyOf = () => JSON.stringify([now.candidates.map(({ key, job }) => [key, job.scenario, job.on]), now.file?.id ?? null, asked]);

  /** Says where answers are of other settings. */
  function judge() {
    if (searching || answered === "") return;
    const old = answered !== keyOf();
    numbers.classList.toggle("old", old);
    finding.classList.toggle("old", old);
    status.textContent = old ? SEARCH.old : "";
  }

  async function search() {
    const { candidates, file } = now;
    const { what, which, share, rate, replications } = asked;
    const promise = { which, share: share / 100 };
    answered = keyOf();
    searching = true;
    begin.disabled = true;
    cancel.hidden = false;
    host.setAttribute("aria-busy", "true");
    status.textContent = SEARCH.loading;
    finding.textContent = "";
    for (const one of [numbers, finding]) one.classList.remove("old");
    numbers.hidden = false;
    const body = el("tbody", {});
    const fewest = what === "fewest-gpus";
    table.replaceChildren(
      el("caption", {}, fewest ? SEARCH.fewestCaption(promise, rate) : SEARCH.highestCaption(promise)),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, SEARCH.run), ...(fewest ? SEARCH.fewestHead : SEARCH.highestHead).map((text) => el("th", { scope: "col" }, text)))),
      body,
    );
    /** @type {{name: string, gpus: number | null}[]} */
    const gpus = [];
    /** @type {{name: string, rate: HighestRate["rate_per_s"]}[]} */
    const rates = [];
    /** @type {string[]} */
    const problems = [];
    let cancelled = false;
    for (const { key, name, job } of candidates) {
      try {
        // Of a file, the whole is searched besides its blocks.
        const searches = replications + Number("file" in job.scenario.trace && replications > 1);
        const of = { run: job, promise, replications, file: "file" in job.scenario.trace ? file : null };
        const reply = fewest
          ? await searcher.ask({ type: "fewest-gpus", ratePerS: rate, ...of }, (tried) => (status.textContent = SEARCH.tryingGpus(name, tried)))
          : await searcher.ask({ type: "highest-rate", ...of }, (index) => (status.textContent = SEARCH.tryingPart(name, index, searches)));
        cancelled = reply === CANCELLED;
        if (reply === CANCELLED) break;
        if (reply.type === "fewest-gpus") gpus.push({ name, gpus: reply.found.gpus });
        else rates.push({ name, rate: reply.found.rate_per_s });
        const cells = reply.type === "fewest-gpus" ? fewestCells(reply.found) : highestCells(reply.found, job.scenario.fleet.gpus);
        body.append(el("tr", {}, el("th", { scope: "row" }, sample(key), " ", name), ...cells.map((text) => el("td", {}, text))));
      } catch (failed) {
        problems.push(SEARCH.failed(name, failed instanceof Error ? failed.message : String(failed)));
      }
    }
    searching = false;
    searcher.cancel();
    begin.disabled = false;
    cancel.hidden = true;
    host.setAttribute("aria-busy", "false");
    if (gpus.length > 0) finding.textContent = SEARCH.fewestSentence(gpus, rate);
    if (rates.length > 0) finding.textContent = SEARCH.highestSentence(rates);
    judge();
    const said = [...problems, ...(cancelled ? [SEARCH.cancelled] : [])].join(" ");
    if (said !== "") status.textContent = said;
  }

  return {
    /** What is shown now. @param {Now} next */
    update(next) {
      now = next;
      if (!rateSet && next.rate !== null && Number.isFinite(next.rate)) asked.rate = Number(next.rate.toPrecision(3));
      panel.update(asked);
      judge();
    },
  };
}

/** @param {Fewest} found */
function fewestCells({ gpus, gpus_with_confidence: sure, tried, verified }) {
  const at = tried.find(({ probe }) => probe.gpus === gpus);
  return [
    gpus === null ? SEARCH.none : count(gpus),
    sure === null ? "–" : count(sure),
    verified === null ? "–" : percent(verified.attainment),
    at === undefined ? "–" : at.interval === null ? SEARCH.noInterval : SEARCH.shareRange(...at.interval),
    verified === null ? "–" : SEARCH.verified(verified),
  ];
}

/** @type {(found: HighestRate, gpus: number) => string[]} */
function highestCells({ rate_per_s: rate, verified, over_replications: over }, gpus) {
  const interval = over?.interval ?? null;
  const probe = "found" in verified ? verified.found : "never" in verified ? verified.never : verified.unbounded;
  return [
    rate === null ? SEARCH.never : "unbounded" in verified ? SEARCH.unbounded(rate) : SEARCH.rate(rate),
    rate === null ? "–" : interval === null ? SEARCH.noInterval : SEARCH.range(...interval),
    percent(probe.attainment),
    count(gpus),
    SEARCH.verified(probe),
  ];
}
