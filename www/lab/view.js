// The laboratory: one server after the other on the same requests, with every setting that the engine
// of continuous batching has. Loaded when it is opened; it loads the second module in a worker.
//
//   a control, a link, a file  ->  runs  ->  Lab.run (those without a result)  ->  figures, table, words
//
// Run A is the one whose settings are shown; others are kept beside it. Load and promises are those of
// all runs. The last finished picture stays until the next is complete.

import { depths, distribution, overTime } from "../charts/curves.js";
import { NAME, sample } from "../charts/palette.js";
import { el, save } from "../dom.js";
import { number, withUnit } from "../format.js";
import { controls } from "../panels/controls.js";
import { finder } from "../panels/finder.js";
import { notices } from "../panels/notices.js";
import { differencesPanel } from "../search/differences.js";
import { searchPanel } from "../search/panel.js";
import { SEARCH } from "../search/words.js";
import { DEFAULT_SCENARIO } from "../defaults.js";
import { closed, server } from "../scenario.js";
import { getPath, same } from "../state.js";
import { summaryCsv } from "../summary.js";
import { CHOICE as WORDS, NOTICE, UI, errorSentence, traceSentence } from "../words.js";
import { Lab } from "./engine.js";
import { SITUATIONS, inForce } from "./situations.js";
import { CONTROLS, SLOTS, differences, firstRuns, fromHash, standard, toHash, withChange, withClasses, withSetting } from "./state.js";
import { table, text } from "./table.js";
import { CHOICE, CONTROL, DOUBT, FIGURE, GROUP, ROWS, VIEW, brief, closedName, finding, placeOf, ruleName } from "./words.js";

/** @import { ErrorReport, LabJob, LabResult, LabServed, Latency, Scenario, TraceFile, TraceInfo } from "../types.js" */
/** @import { Line } from "../charts/plot.js" */
/** @import { LabReply } from "./engine.js" */
/** @import { LabRun, Settings } from "./state.js" */
/** @import { Slot } from "../charts/palette.js" */

/** Steps out of a file, where closed batches have them. @param {Latency} latency */
const ofFile = (latency) => ("steps" in latency ? latency.steps : null);

/** How long the last picture may stand unmarked while the next is computed, ms. */
const STALE_MS = 150;
/** Differences that are named in a run's description. */
const MOST_SAID = 3;
/** A file of step times is far below this, bytes. */
const MOST_BYTES = 20e6;

/**
 * @param {HTMLElement} host
 * @param {{choose: (files: FileList | null) => void, generated: () => void, moved: (hash: string) => void}} on
 *   `choose`: the reader named trace files; `generated`: back to the generated trace; `moved`: the
 *   view's address is another
 */
export function labView(host, on) {
  /** Never empty; the first is run A. @type {LabRun[]} */
  let runs = firstRuns();
  /** The reader's trace file, shared with the other views. @type {TraceFile | null} */
  let file = null;
  /** By the run's key. @type {Map<string, LabResult>} */
  const results = new Map();
  /** What the last finished picture was made from. */
  let good = { runs, file: /** @type {TraceFile | null} */ (null) };
  /** The curves of run A before the last change. @type {LabResult | null} */
  let before = null;
  let dragging = false;
  /** Nothing was drawn since a link was read: what is refused is the link's. */
  let fromLink = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let staleTimer;

  // ---- What stands there -----------------------------------------------------------------------

  const alertHost = el("div", { role: "alert", id: "lab-notices" });
  const alerts = notices(alertHost);
  const heading = el("h1", { tabindex: -1 }, VIEW.title);
  const answer = el("p", { class: "finding", id: "lab-finding" }, VIEW.loading);
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Progress", hidden: true });
  const barText = el("span", {});
  const runList = el("ul", { class: "lab-runs", "aria-label": VIEW.runs });
  const pin = el("button", { type: "button", id: "lab-pin", onclick: keep }, VIEW.pin);
  const pinHelp = el("span", { class: "help" });
  const doubts = el("ul", { class: "warnings" });
  const doubtBox = el("section", { class: "doubts", "aria-label": VIEW.warnings, hidden: true }, el("h2", {}, VIEW.warnings), doubts);
  const holder = () => el("figure", {});
  const [ttftHost, tbtHost, latencyHost, runningHost, waitingHost, cacheHost] = [holder(), holder(), holder(), holder(), holder(), holder()];
  const tableHost = el("section", { class: "counted", id: "lab-table" });
  const differencesHost = el("section", { class: "counted", id: "lab-differences" });
  const sizingHost = el("section", { class: "counted", id: "lab-sizing" }, el("h2", {}, SEARCH.title));
  const downloads = el("p", { class: "downloads" });
  const controlHost = el("div", {});
  const situation = el(
    "select",
    { id: "lab-situation" },
    el("option", { value: "" }, VIEW.noSituation),
    ...SITUATIONS.map(({ id }) => el("option", { value: id }, WORDS.situation?.[id] ?? id)),
  );
  situation.addEventListener("change", () => {
    const next = SITUATIONS.find(({ id }) => id === situation.value)?.make() ?? firstRuns();
    apply(file === null ? next : withFile(next, file), true);
  });
  const traceRead = el("p", { class: "trace-read", id: "lab-trace" });
  const traceInput = el("input", { type: "file", id: "lab-trace-file", class: "visually-hidden", accept: ".csv,.jsonl,.ndjson,.gz,.txt,text/csv,application/gzip" });
  const generated = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => on.generated() }, UI.useGenerated);
  const stepInput = el("input", { type: "file", id: "lab-steps-file", class: "visually-hidden", accept: ".json,.csv,application/json,text/csv" });
  const stepWords = el("p", { class: "help", id: "lab-step-words" });
  const stepChoice = el("p", { class: "trace-choose" }, stepInput, el("label", { for: "lab-steps-file", class: "button" }, VIEW.chooseSteps));
  const stepHelp = el("p", { class: "help" }, VIEW.stepsHelp);
  const byHand = el("button", { type: "button", class: "quiet", id: "lab-by-hand", onclick: ownNumbers }, VIEW.stepsOwn);
  const bySheet = el("button", { type: "button", class: "quiet", onclick: dataSheet }, VIEW.stepsSheet);
  const said = el("span", { role: "status", class: "help" });

  const stage = el(
    "div",
    { class: "stage lab", id: "lab-stage", "aria-busy": "true" },
    el(
      "div",
      { class: "first" },
      answer,
      el("p", { class: "status" }, bar, " ", barText),
      runList,
      el("p", { class: "lab-actions" }, pin, " ", pinHelp),
      doubtBox,
      el("h2", { class: "visually-hidden" }, VIEW.figures),
      el("div", { class: "lab-pair" }, ttftHost, tbtHost),
    ),
    el(
      "aside",
      { class: "settings", "aria-labelledby": "lab-settings-title", tabindex: -1 },
      el(
        "div",
        { class: "settings-head" },
        el("h2", { id: "lab-settings-title" }, VIEW.settings),
        el(
          "p",
          { class: "actions" },
          el("button", { type: "button", class: "quiet", id: "lab-copy", onclick: copyLink }, VIEW.copyLink),
          " ",
          el("button", { type: "button", class: "quiet", id: "lab-reset", onclick: () => apply(file === null ? firstRuns() : withFile(firstRuns(), file), true) }, VIEW.reset),
          " ",
          said,
        ),
      ),
      el("div", { class: "control" }, el("label", { for: "lab-situation" }, VIEW.situation), situation),
      finder("lab-search", controlHost),
      controlHost,
      el(
        "fieldset",
        { "data-group": "trace" },
        el("legend", {}, VIEW.trace),
        traceRead,
        el("p", { class: "trace-choose" }, traceInput, el("label", { for: "lab-trace-file", class: "button" }, UI.chooseTrace), " ", generated),
        el("p", { class: "help" }, UI.formats),
      ),
    ),
    el(
      "div",
      { class: "rest" },
      latencyHost,
      el("div", { class: "lab-pair" }, runningHost, waitingHost),
      cacheHost,
      tableHost,
      downloads,
      differencesHost,
      sizingHost,
    ),
  );
  host.replaceChildren(el("div", { class: "masthead" }, heading, el("p", { class: "lead" }, VIEW.lead)), alertHost, stage);

  const cdfs = {
    ttft: distribution(ttftHost, FIGURE.ttft, 300),
    tbt: distribution(tbtHost, FIGURE.tbt, 300),
    latency: distribution(latencyHost, FIGURE.latency, 340),
  };
  const whole = (/** @type {number} */ value) => String(Math.round(value));
  const series = {
    running: overTime(runningHost, FIGURE.running, whole),
    waiting: overTime(waitingHost, FIGURE.waiting, whole),
    kv_blocks: overTime(cacheHost, FIGURE.cache, whole),
  };
  const shownTable = table(tableHost);
  const compared = differencesPanel(
    differencesHost,
    ROWS.flatMap((row) => (row.figure === undefined ? [] : [{ label: row.label, unit: row.unit, figure: row.figure, text: (/** @type {number} */ value) => text(row, value), change: (/** @type {number} */ value) => number(row.unit === "%" ? 100 * value : value) }])),
  );
  const sizing = searchPanel(sizingHost, "lab-sizing");
  const panel = controls(
    controlHost,
    CONTROLS,
    { groups: GROUP, control: CONTROL, choice: CHOICE },
    (path, value, settled) => apply(withChange(runs, path, value), settled),
    () => engine.seed(),
  );
  const hardwareGroup = controlHost.querySelector('[data-group="hardware"]');
  hardwareGroup?.append(
    el(
      "div",
      { class: "control wide", "data-control": "lab-step-times" },
      el("p", { class: "name" }, VIEW.steps),
      stepWords,
      stepChoice,
      stepHelp,
      byHand,
      bySheet,
    ),
  );
  const rateNote = el("p", { class: "help rate" });
  controlHost.querySelector('[data-control="lab-time-scale"]')?.append(rateNote);

  traceInput.addEventListener("change", () => {
    on.choose(traceInput.files);
    traceInput.value = "";
  });
  stepInput.addEventListener("change", () => {
    void stepTimes(stepInput.files?.[0]);
    stepInput.value = "";
  });

  const engine = new Lab({ reply: receive, crashed });

  // ---- State -----------------------------------------------------------------------------------

  /** @type {(next: LabRun[], settled: boolean) => void} */
  function apply(next, settled) {
    if (!dragging) before = resultOf(good.runs[0]) ?? null;
    dragging = !settled;
    runs = next;
    alerts.clear("error");
    if (settled) remember();
    showState();
    run();
  }

  function remember() {
    const hash = toHash(runs);
    if (hash !== location.hash) history.pushState(null, "", hash);
    on.moved(hash);
  }

  const now = () => /** @type {LabRun} */ (runs[0]).settings;

  function showState() {
    panel.update(now());
    situation.value = inForce(runs) ?? "";
    const { on: sheet } = now();
    const latency = server(now())?.latency;
    byHand.hidden = sheet === null || latency === undefined;
    bySheet.hidden = sheet !== null;
    const steps = latency ?? ofFile(closed(now()).latency);
    if (sheet === null && steps !== null && !("linear" in steps)) stepWords.textContent = VIEW.stepsFile("table" in steps ? "table" : "profile");
    pin.disabled = runs.length === SLOTS.length;
    pinHelp.textContent = pin.disabled ? VIEW.pinFull : "";
    generated.hidden = !("file" in now().trace);
    runList.replaceChildren(...runs.map(runEntry));
  }

  /** @param {LabRun} run */
  function runEntry(run) {
    const { slot } = run;
    const name = NAME[slot].name;
    const first = slot === "run-a";
    /** @type {(text: string, onclick: () => void) => HTMLElement} */
    const button = (text, onclick) => el("button", { type: "button", class: "quiet", "aria-label": `${text}: ${name}`, onclick }, text);
    return el(
      "li",
      { class: slot, "data-run": slot },
      sample(slot),
      el("strong", {}, name),
      el("span", { class: "what" }, says(run)),
      ...(first ? [] : [el("span", { class: "lab-run-actions" }, button(VIEW.edit, () => swap(run)), " ", button(VIEW.remove, () => drop(run)))]),
    );
  }

  /** What a run is, in a few words. @param {LabRun} run */
  function says(run) {
    const serving = server(run.settings);
    const rule = serving === undefined ? closedName(closed(run.settings).policy) : ruleName(serving.rule);
    if (run.slot === "run-a") {
      const others = differences(run.settings, standard()).filter(({ id }) => !["lab-rule", "lab-engine", "lab-policy"].includes(id));
      return [rule, ...shorter(others)].join(", ");
    }
    const found = differences(run.settings, now());
    return found.length === 0 ? VIEW.same : shorter(found).join(", ");
  }

  /** @param {ReturnType<typeof differences>} found */
  function shorter(found) {
    const more = found.length - MOST_SAID;
    return [...found.slice(0, MOST_SAID).map(brief), ...(more > 0 ? [VIEW.more(more)] : [])];
  }

  /** Run A as another run, so that A can be changed. */
  function keep() {
    const slot = SLOTS.find((one) => runs.every((run) => run.slot !== one));
    if (slot === undefined) return;
    const next = [...runs, { slot, settings: structuredClone(now()) }];
    apply(next.sort((a, b) => SLOTS.indexOf(a.slot) - SLOTS.indexOf(b.slot)), true);
  }

  /** @param {LabRun} run */
  function drop(run) {
    apply(runs.filter((one) => one !== run), true);
    pin.focus();
  }

  /** Run A and another change places. @param {LabRun} run */
  function swap(run) {
    const settings = now();
    apply(
      runs.map((one, i) => (i === 0 ? { ...one, settings: run.settings } : one === run ? { ...one, settings } : one)),
      true,
    );
    heading.ownerDocument.getElementById("lab-settings-title")?.scrollIntoView({ block: "nearest" });
  }

  /** @type {(all: LabRun[], chosen: TraceFile | null) => LabRun[]} */
  const withFile = (all, chosen) =>
    all.map((one) => ({
      ...one,
      settings: withSetting(
        chosen === null || "file" in one.settings.trace ? one.settings : withSetting(one.settings, "workload.time_scale", 1),
        "trace",
        chosen === null ? standard().trace : { file: { name: chosen.name, format: null, time_unit: null, hash_tokens: null } },
      ),
    }));

  /** The numbers of the data sheet, to be changed by hand. */
  function ownNumbers() {
    const scenario = resultOf(good.runs[0])?.summary.scenario;
    if (scenario === undefined) return;
    const next = structuredClone(now());
    next.on = null;
    const [own, resolved] = [server(next), server(scenario)];
    if (own !== undefined && resolved !== undefined) Object.assign(own, { latency: resolved.latency, ceiling: resolved.ceiling, memory: resolved.memory });
    else if (own === undefined && resolved === undefined) closed(next).memory = closed(scenario).memory;
    else return;
    apply([{ slot: "run-a", settings: next }, ...runs.slice(1)], true);
  }

  function dataSheet() {
    const usual = standard();
    const next = { ...structuredClone(now()), on: usual.on, step_error: null };
    const [own, given] = [server(next), server(usual)];
    if (own === undefined) Object.assign(closed(next), { latency: closed(DEFAULT_SCENARIO).latency, memory: closed(DEFAULT_SCENARIO).memory });
    else if (given !== undefined) Object.assign(own, { latency: given.latency, memory: given.memory });
    apply([{ slot: "run-a", settings: next }, ...runs.slice(1)], true);
  }

  /** @param {File | undefined} chosen */
  async function stepTimes(chosen) {
    if (chosen === undefined) return;
    alerts.clear("steps");
    try {
      if (chosen.size > MOST_BYTES) throw new Error(`${chosen.name}: ${withUnit(chosen.size / 1e6, "MB")} are too many; allowed are ${MOST_BYTES / 1e6}`);
      const { latency, error } = await engine.latency(chosen.name, await chosen.text());
      ownNumbers();
      const continuous = server(now()) !== undefined;
      const changed = continuous ? withChange(runs, "engine.continuous.latency", latency) : withChange(runs, "engine.closed.latency", { steps: latency });
      apply(withChange(changed, "step_error", error), true);
      if (!("linear" in latency)) alerts.show("steps", VIEW.tooLongForLink);
    } catch (failed) {
      alerts.show("steps", failed instanceof Error ? failed.message : String(failed));
    }
  }

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = UI.linkCopied;
    } catch {
      said.textContent = UI.linkNotCopied;
    }
    setTimeout(() => {
      said.textContent = "";
    }, 4000);
  }

  // ---- Runs ------------------------------------------------------------------------------------

  /** A result belongs to settings and file, whichever run has them. @param {Settings} settings */
  const keyOf = (settings) => JSON.stringify([settings, "file" in settings.trace ? file?.id : null]);
  /** @param {LabRun | undefined} one */
  const resultOf = (one) => {
    const found = one === undefined ? undefined : results.get(keyOf(one.settings));
    return found === undefined || one === undefined ? undefined : { ...found, key: one.slot };
  };

  /** @param {LabRun} one @returns {LabJob} */
  function job({ settings }) {
    const { on: sheet, step_error: error, ...scenario } = settings;
    return { key: keyOf(settings), scenario: withClasses(scenario), on: sheet, error };
  }

  function run() {
    const keys = runs.map(({ settings }) => keyOf(settings));
    const missing = runs.filter(({ settings }, i) => !results.has(keyOf(settings)) && keys.indexOf(keys[i] ?? "") === i);
    stage.setAttribute("aria-busy", "true");
    clearTimeout(staleTimer);
    staleTimer = setTimeout(() => stage.classList.add("stale"), STALE_MS);
    engine.run({ runs: missing.map(job), keep: keys, file });
  }

  /** @param {LabReply} reply */
  function receive(reply) {
    switch (reply.type) {
      case "trace":
        traceRead.textContent = traceSentence(/** @type {TraceInfo} */ (reply.trace));
        return;
      case "progress":
        bar.hidden = false;
        bar.value = reply.done;
        barText.textContent = reply.stage === "reading" ? VIEW.reading(reply.done) : VIEW.simulating(reply.done);
        return;
      case "result":
        results.set(reply.result.key, reply.result);
        return;
      case "done": {
        good = { runs, file };
        const shown = new Set(runs.map(({ settings }) => keyOf(settings)));
        for (const key of results.keys()) if (!shown.has(key)) results.delete(key);
        paint();
        settle();
        fromLink = false;
        stage.dataset["painted"] = String(reply.runId);
        return;
      }
      case "error":
        settle();
        refused(reply.error);
    }
  }

  /** The run is over, well or not. */
  function settle() {
    clearTimeout(staleTimer);
    stage.classList.remove("stale");
    stage.setAttribute("aria-busy", "false");
    bar.hidden = true;
    barText.textContent = "";
  }

  function paint() {
    const picture = runs.map(resultOf).filter((one) => one !== undefined);
    const [first] = picture;
    if (first === undefined) return;
    const of = new Map(runs.map((one) => [/** @type {string} */ (one.slot), one]));
    const { on: sheet, fleet } = now();
    const alike = runs.every(({ settings }) => same(settings.on, sheet) && settings.fleet.gpus === fleet.gpus);
    answer.textContent = finding(picture, alike ? placeOf(sheet, fleet.gpus) : "", ({ key }) => {
      const one = of.get(key);
      return one === undefined ? "" : says(one);
    });
    const { sla } = first.summary.scenario;
    // Runs of a calibration, with its steps shorter and longer by its error.
    const ends = picture.flatMap(({ key, ends: both }) => (both ?? []).map((end) => ({ ...end, key })));
    const errors = runs.flatMap(({ settings: { step_error: error } }) => (error === null ? [] : [error]));
    /** @param {keyof typeof FIGURE} which */
    const said = (which) => [FIGURE[which].sentence(picture), ...(ends.length === 0 ? [] : [VIEW.thin(errors)])].join(" ");
    /** @type {(served: LabServed, which: "ttft" | "latency" | "tbt") => Line} */
    const curve = ({ key, cdfs: c, summary }, which) => {
      const of = which === "tbt" ? summary.continuous?.tbt_ms?.count : summary.honest.requests;
      return { policy: /** @type {Slot} */ (key), x: c[`${which}_s`], y: depths(c[`${which}_fraction`], of ?? 0) };
    };
    const marks = {
      ttft: sla.ttft_s === null ? null : { x: sla.ttft_s, text: FIGURE.ttft.sla(sla.ttft_s) },
      tbt: { x: sla.token_ms / 1e3, text: FIGURE.tbt.sla(sla.token_ms / 1e3) },
      latency: { x: sla.request_s, text: FIGURE.latency.sla(sla.request_s) },
    };
    for (const which of /** @type {const} */ (["ttft", "tbt", "latency"])) {
      const faint = before === null ? [] : [curve({ ...before, key: "run-a" }, which)];
      cdfs[which].update(picture.map((one) => curve(one, which)), [...faint, ...ends.map((one) => curve(one, which))], marks[which], said(which));
    }
    /** @type {(level: "running" | "waiting" | "kv_blocks") => (of: LabServed) => Line} */
    const over = (level) => ({ key, series: s }) => ({ policy: /** @type {Slot} */ (key), x: s.t_s, y: s[level] });
    for (const [which, level] of /** @type {const} */ ([["running", "running"], ["waiting", "waiting"], ["cache", "kv_blocks"]])) {
      series[level].update(picture.map(over(level)), said(which), 1, ends.map(over(level)));
    }
    shownTable.update(picture);
    showSearches(first.summary.workload.offered_requests_per_s);
    showDoubts(picture);
    showResolved(first.summary.scenario);
    const rate = first.summary.workload.offered_requests_per_s;
    rateNote.textContent = rate === null ? "" : UI.arrivalRate(rate);
    showDownloads(picture);
  }

  /** @param {number | null} rate of the arrivals, requests/s */
  function showSearches(rate) {
    const candidates = runs.map((one) => ({ slot: one.slot, key: one.slot, name: NAME[one.slot].name, job: job(one) }));
    compared.update({ runs: candidates, file });
    sizing.update({ candidates, file, rate });
  }

  /** What the numbers of the steps are, where a data sheet or a hand has set them. @param {Scenario} resolved */
  function showResolved(resolved) {
    const latency = server(resolved)?.latency ?? closed(resolved).latency;
    const steps = "steps" in latency ? latency.steps : latency;
    if (!("linear" in steps) || !("c0_s" in steps.linear)) return;
    const step = steps.linear;
    const perToken = step.compute === null ? 0 : step.compute.d1_s_per_token;
    stepWords.textContent = VIEW.coefficients(step.c0_s, step.c1_s_per_sequence, step.c2_s_per_context_token, Math.max(step.c3_s_per_prefill_token, perToken));
  }

  /** @param {LabResult[]} picture */
  function showDoubts(picture) {
    /** @type {Map<string, string[]>} */
    const found = new Map();
    for (const { key, summary } of picture) {
      for (const { code, message } of summary.continuous?.statistics.warnings ?? []) {
        const sentence = DOUBT[code] ?? `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
        found.set(sentence, [...(found.get(sentence) ?? []), NAME[/** @type {Slot} */ (key)].name]);
      }
    }
    doubtBox.hidden = found.size === 0;
    doubts.replaceChildren(...[...found].map(([message, names]) => el("li", {}, el("strong", {}, names.join(", ")), ` ${message}`)));
  }

  /** Every step of run A, which is done once more for it. */
  async function trace() {
    said.textContent = VIEW.chromeTraceWait;
    try {
      save("batchscope-steps.json", await engine.steps(job(/** @type {LabRun} */ (runs[0])), file));
    } finally {
      said.textContent = "";
    }
  }

  /** @param {LabResult[]} picture */
  function showDownloads(picture) {
    /** @type {(text: string, onclick: () => void | Promise<void>) => HTMLElement} */
    const button = (text, onclick) =>
      el("button", { type: "button", class: "quiet", onclick: () => Promise.resolve(onclick()).catch((failed) => alerts.show("download", String(failed instanceof Error ? failed.message : failed))) }, text);
    const [first] = picture;
    if (first === undefined) return;
    downloads.replaceChildren(
      `${UI.downloads} `,
      button(VIEW.scenario, () => save("batchscope-scenario.json", `${JSON.stringify(first.summary.scenario, null, 2)}\n`, "application/json")),
      " ",
      button(VIEW.summaries, () =>
        save("batchscope-lab.csv", summaryCsv(picture.map(({ key, summary }) => ({ policy: NAME[/** @type {Slot} */ (key)].name, summary }))), "text/csv"),
      ),
      ...runs.flatMap((one) => [" ", button(VIEW.requests(one.slot), async () => save(`batchscope-requests-${NAME[one.slot].name}.csv`, await engine.csv(job(one), file)))]),
      ...(first.summary.continuous === null ? [] : [" ", button(VIEW.chromeTrace, trace)]),
    );
  }

  /**
   * The core refused. What a link brought in goes back to its default; what the reader chose goes back
   * to what it was, with the sentence.
   * @param {ErrorReport} error
   */
  function refused(error) {
    if (fromLink) {
      const field = inDefault(error.field ?? "");
      const usual = getPath(standard(), field);
      const wrong = field !== "" && runs.some(({ settings }) => !same(getPath(settings, field), usual));
      if (!wrong && same(runs, firstRuns())) {
        alerts.show("error", errorSentence(error));
        return;
      }
      alerts.show("default", `${errorSentence(error)} ${wrong ? NOTICE.backToDefault : NOTICE.allBackToDefault}`);
      runs = wrong ? runs.map((one) => ({ ...one, settings: withSetting(one.settings, field, usual) })) : firstRuns();
      again();
      return;
    }
    alerts.show("error", errorSentence(error));
    if (!same(runs, good.runs) || file !== good.file) {
      ({ runs, file } = good);
      // The figures are those of these runs.
      history.replaceState(null, "", toHash(runs));
      on.moved(toHash(runs));
      showState();
      if (runs.some(({ settings }) => !results.has(keyOf(settings)))) run();
    }
  }

  /** The field, or the nearest that holds it and that the default has. @param {string} field */
  function inDefault(field) {
    const parts = field.replaceAll(/\[\d+\]/g, "").split(".");
    while (parts.length > 0 && getPath(standard(), parts.join(".")) === undefined) parts.pop();
    return parts.join(".");
  }

  function again() {
    history.replaceState(null, "", toHash(runs));
    on.moved(toHash(runs));
    showState();
    run();
  }

  /** @type {(message: string, givenUp: boolean) => void} */
  function crashed(message, givenUp) {
    alerts.show("crash", NOTICE.crashed(message));
    if (givenUp) settle();
  }

  function redraw() {
    for (const figure of [...Object.values(cdfs), ...Object.values(series)]) figure.redraw();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // ---- Doors for the page ----------------------------------------------------------------------

  return {
    title: `${VIEW.title} – Batchscope`,
    /** Shows what the address bar says. @param {TraceFile | null} chosen the reader's file */
    show(chosen) {
      file = chosen;
      const found = fromHash(location.hash);
      const told = found.notices;
      if (found.file !== null && found.file !== file?.name) told.push(NOTICE.fileMissing(found.file));
      runs = found.file !== null && found.file === file?.name ? withFile(found.runs, file) : found.runs;
      for (const kind of ["link", "default", "error"]) alerts.clear(kind);
      if (told.length > 0) alerts.show("link", told.join(" "));
      on.moved(location.hash);
      dragging = false;
      before = null;
      fromLink = true;
      showState();
      run();
    },
    /** For who comes by a link of the keyboard or a screen reader. */
    focus() {
      heading.focus();
    },
    /** The reader chose another trace, or went back to the generated one. @param {TraceFile | null} chosen */
    choose(chosen) {
      file = chosen;
      alerts.clear("link");
      apply(withFile(runs, chosen), true);
    },
  };
}
