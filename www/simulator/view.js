// The simulator: one trace through up to four schedulers of closed batches. Loaded when it is opened.
//
//   a control, a link, a file  ->  state  ->  crew.run  ->  results  ->  figures, tables, words
//
// The last finished picture stays until the next is complete; it is marked stale when that takes
// longer than a glance.

import { batch, cdf, queue } from "../charts/curves.js";
import { PRESETS } from "../defaults.js";
import { byId, el, loadStyle, save } from "../dom.js";
import { Crew } from "../engine.js";
import { controls } from "../panels/controls.js";
import { finder } from "../panels/finder.js";
import { notices } from "../panels/notices.js";
import { closed, withPolicy } from "../scenario.js";
import { CONTROLS, POLICIES, defaultState, fileSource, fromHash, getPath, same, toHash, withPath } from "../state.js";
import { summaryCsv, summaryJson } from "../summary.js";
import { CHOICE, CONTROL, GROUP, NOTICE, UI, errorSentence, finding } from "../words.js";
import { attainment } from "./attainment.js";
import { gpus } from "./gpus.js";
import { schedulers } from "./schedulers.js";
import { SITUATIONS, inForce } from "./situations.js";
import { tables } from "./tables.js";

/** @import { ErrorReport, Latency, RunResult, Scenario, TraceFile, TraceInfo } from "../types.js" */
/** @import { RunReply } from "../engine.js" */
/** @import { State } from "../state.js" */

/** How long the last picture may stand unmarked while the next is computed, ms. */
const STALE_MS = 150;

/**
 * @param {object} on
 * @param {(hash: string) => void} on.moved the view's address is another
 * @param {(file: TraceFile | null) => void} on.chosen the reader's trace file is another
 * @param {(info: TraceInfo) => void} on.read what was read of the trace at hand
 * @param {(state: State, results: RunResult[], file: TraceFile | null) => void} on.painted
 */
export function simulatorView(on) {
  /** @type {State} */
  let state = defaultState();
  /** The reader's trace file, shared with the other views. @type {TraceFile | null} */
  let file = null;
  /** What was read of the trace at hand. @type {TraceInfo | null} */
  let read = null;
  /** What the last finished picture was made from. @type {{state: State, file: TraceFile | null, read: TraceInfo | null}} */
  let good = { state, file, read };
  /** The last finished picture. @type {RunResult[]} */
  let picture = [];
  /** The picture that changes are compared with. @type {RunResult[]} */
  let before = [];
  /** Results of the run in progress. @type {RunResult[]} */
  let coming = [];
  let dragging = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let staleTimer;

  const page = byId("page");
  const alerts = notices(byId("notices"));
  const findingLine = byId("finding");
  const progress = byId("progress", HTMLProgressElement);
  const progressText = byId("progress-text");
  const presetSelect = byId("preset", HTMLSelectElement);

  const latencies = cdf(byId("cdf"));
  const overTime = [queue(byId("queue")), batch(byId("batch"))];
  const figures = [attainment(byId("attainment")), latencies, ...overTime, gpus(byId("busy-shares"))];
  const summaryTables = tables(byId("tables"));
  const schedulerPanel = schedulers(byId("schedulers"), (shown) => apply({ ...state, shown }, true));
  const controlPanel = controls(
    byId("controls"),
    CONTROLS,
    { groups: GROUP, control: CONTROL, choice: CHOICE },
    (path, value, settled) => apply(withPath(state, path, value), settled),
    () => crew.seed(),
  );
  byId("controls").before(finder("find", byId("controls")));
  const rateNote = el("p", { class: "help rate" });
  byId("controls").querySelector('[data-control="timeScale"]')?.append(rateNote);
  const crew = new Crew({ reply: receive, crashed });

  // ---- A closer look ---------------------------------------------------------------------------

  /** What looks closer at a run, once one of its parts was opened. @type {ReturnType<typeof makeCloser> | null} */
  let closer = null;
  async function makeCloser() {
    const [{ explore }, { begin }] = await Promise.all([import("../closer/explore.js"), import("../closer/challenges.js"), loadStyle("closer"), loadStyle("search")]);
    return explore({
      ask: (policy) => crew.timeline(policy),
      set(gpus, bins) {
        apply(withPath(withPath(state, "fleet.gpus", gpus), "bins.count", bins), true);
      },
      mark(marked) {
        latencies.span(marked?.latency_s ?? null);
        for (const figure of overTime) figure.span(marked?.span_s ?? null);
      },
      begin(challenge) {
        choose(null);
        apply({ ...defaultState(), scenario: begin(challenge), shown: [challenge.policy] }, true);
      },
    });
  }
  for (const part of document.querySelectorAll("#explore details")) {
    part.addEventListener("toggle", () => {
      closer ??= makeCloser();
      void look();
    });
  }

  /** Shows the last picture to what looks closer at it. */
  async function look() {
    try {
      (await closer)?.update({ results: picture, scenario: good.state.scenario, file: good.file });
    } catch (failed) {
      closer = null;
      alerts.show("closer", NOTICE.notLoaded(String(failed)));
    }
  }

  // ---- State -----------------------------------------------------------------------------------

  /** @type {(next: State, settled: boolean) => void} */
  function apply(next, settled) {
    if (!dragging) before = picture;
    dragging = !settled;
    // Another latency model is not of that GPU any more.
    if (!same(closed(next.scenario).latency, closed(state.scenario).latency)) delete next.gpu;
    state = next;
    if (settled) remember();
    showState();
    run();
  }

  /** Puts the state into the address bar, as a step that the back button undoes. */
  function remember() {
    const hash = toHash(state);
    on.moved(hash);
    if (hash !== location.hash) history.pushState(null, "", hash);
  }

  function showState() {
    controlPanel.update(state.scenario);
    schedulerPanel.update(state.shown);
    const { scenario } = state;
    const [published] = Object.entries(PRESETS).find(([, preset]) => same(withPreset(preset, scenario), scenario)) ?? [];
    presetSelect.value = published ?? inForce(scenario) ?? "";
  }

  /**
   * A preset with what it leaves to the reader, as on the command line: trace, limit, fleet and K.
   * @type {(preset: Scenario, kept: Scenario) => Scenario}
   */
  function withPreset(preset, kept) {
    return {
      ...structuredClone(withPolicy(preset, closed(kept).policy)),
      trace: kept.trace,
      workload: { ...preset.workload, limit: kept.workload.limit },
      fleet: kept.fleet,
      bins: { ...preset.bins, count: kept.bins.count },
    };
  }

  /** Another file, or none, without a run. @param {TraceFile | null} chosen */
  function choose(chosen) {
    file = chosen;
    on.chosen(chosen);
  }

  // ---- Runs ------------------------------------------------------------------------------------

  function run() {
    coming = [];
    page.setAttribute("aria-busy", "true");
    clearTimeout(staleTimer);
    staleTimer = setTimeout(() => page.classList.add("stale"), STALE_MS);
    crew.run({
      scenario: state.scenario,
      policies: state.shown,
      file: "file" in state.scenario.trace ? file : null,
    });
  }

  /** @param {RunReply} reply */
  function receive(reply) {
    switch (reply.type) {
      case "trace":
        read = reply.trace;
        on.read(read);
        return;
      case "progress":
        progress.hidden = false;
        progress.value = reply.done;
        progressText.textContent = reply.stage === "reading" ? UI.reading(reply.done) : UI.simulating(reply.done);
        return;
      case "result":
        coming.push(reply.result);
        return;
      case "done":
        good = { state, file, read };
        picture = POLICIES.flatMap((policy) => coming.filter((result) => result.policy === policy));
        paint();
        settle();
        on.painted(good.state, picture, file);
        alerts.clear("error");
        page.dataset["painted"] = String(reply.runId);
        return;
      case "error":
        settle();
        refused(reply.error);
    }
  }

  /** The run is over, well or not. */
  function settle() {
    clearTimeout(staleTimer);
    page.classList.remove("stale");
    page.setAttribute("aria-busy", "false");
    progress.hidden = true;
    progressText.textContent = "";
  }

  function paint() {
    findingLine.textContent = finding(picture);
    for (const figure of figures) figure.update(picture, before);
    summaryTables.update(picture);
    void look();
    const rate = picture[0]?.summary.workload.offered_requests_per_s;
    rateNote.textContent = rate === null || rate === undefined ? "" : UI.arrivalRate(rate);
    showDownloads();
  }

  /**
   * The core refused. A field that a link brought in goes back to its default, and where the core
   * could not tell the field, all do. A trace that cannot be read leaves the former one in place.
   * Anything else stays as the reader set it, with the sentence.
   * @param {ErrorReport} error
   */
  function refused(error) {
    const field = error.field ?? "";
    const standard = getPath(defaultState().scenario, field);
    if ((error.code === "bad-field" || error.code === "bad-scenario") && standard !== undefined && !same(getPath(state.scenario, field), standard)) {
      alerts.show("link", `${errorSentence(error)} ${NOTICE.backToDefault}`);
      state = withPath(state, field, standard);
      again();
      return;
    }
    if (error.code === "bad-scenario" && !same(state.scenario, defaultState().scenario)) {
      alerts.show("link", `${errorSentence(error)} ${NOTICE.allBackToDefault}`);
      state = { ...defaultState(), shown: state.shown };
      again();
      return;
    }
    alerts.show("error", errorSentence(error));
    if (file !== good.file && "file" in state.scenario.trace) {
      choose(good.file);
      // The figures are still those of the former trace: so is what is said of it.
      read = good.read;
      if (read !== null) on.read(read);
      state = withPath(state, "trace", good.state.scenario.trace);
      remember();
      showState();
    }
  }

  /** Runs what is left after a refusal, without a step for the back button to fall into. */
  function again() {
    history.replaceState(null, "", toHash(state));
    on.moved(toHash(state));
    showState();
    run();
  }

  /** @type {(message: string, givenUp: boolean) => void} */
  function crashed(message, givenUp) {
    alerts.show("crash", NOTICE.crashed(message));
    if (givenUp) settle();
  }

  // ---- Buttons ---------------------------------------------------------------------------------

  /** @param {() => void | Promise<void>} begin */
  async function download(begin) {
    alerts.clear("download");
    try {
      await begin();
    } catch (failed) {
      alerts.show("download", failed instanceof Error ? failed.message : String(failed));
    }
  }

  let offered = "";
  function showDownloads() {
    const key = picture.map(({ policy }) => policy).join();
    if (key === offered) return;
    offered = key;
    /** @type {(text: string, onclick: () => void | Promise<void>) => HTMLElement} */
    const button = (text, onclick) => el("button", { type: "button", class: "quiet", onclick: () => void download(onclick) }, text);
    byId("downloads").replaceChildren(
      `${UI.downloads} `,
      button(UI.downloadSummaryCsv, () => save("batchscope-summary.csv", summaryCsv(picture), "text/csv")),
      " ",
      button(UI.downloadSummaryJson, () => save("batchscope-summary.json", summaryJson(picture), "application/json")),
      ...picture.flatMap(({ policy }) => [
        " ",
        button(UI.downloadRequests(policy), async () => save(`batchscope-requests-${policy}.csv`, await crew.csv(policy))),
      ]),
    );
  }

  /** @type {(label: string, names: [string, string][]) => HTMLElement} */
  const options = (label, names) => el("optgroup", { label }, ...names.map(([value, name]) => el("option", { value }, name)));
  presetSelect.append(
    el("option", { value: "" }, UI.presetNone),
    options(UI.situations, SITUATIONS.map(({ id }) => [id, CHOICE["situation"]?.[id] ?? id])),
    options(UI.publishedSettings, Object.keys(PRESETS).map((name) => [name, CHOICE["latency"]?.[name] ?? name])),
  );
  byId("preset-help").textContent = UI.presetHelp;
  presetSelect.addEventListener("change", () => {
    const { value } = presetSelect;
    alerts.clear("preset");
    const situation = SITUATIONS.find(({ id }) => id === value);
    if (situation !== undefined) {
      choose(null);
      apply({ scenario: situation.make(), shown: [...POLICIES] }, true);
      return;
    }
    const preset = PRESETS[value];
    if (preset !== undefined && !("file" in state.scenario.trace)) alerts.show("preset", UI.presetNeedsTrace(CHOICE["latency"]?.[value] ?? value));
    apply({ ...state, scenario: withPreset(preset ?? defaultState().scenario, state.scenario) }, true);
  });

  byId("reset").addEventListener("click", () => {
    alerts.clear("preset");
    alerts.clear("link");
    choose(null);
    apply(defaultState(), true);
  });

  byId("copy-link").addEventListener("click", async () => {
    const said = byId("copied");
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = UI.linkCopied;
    } catch {
      said.textContent = UI.linkNotCopied;
    }
    setTimeout(() => {
      said.textContent = "";
    }, 4000);
  });

  // ---- Surroundings ----------------------------------------------------------------------------

  function redraw() {
    void closer?.then((opened) => opened.redraw());
    for (const figure of figures) figure.redraw();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // Canvases are drawn in the screen's colours; on paper they are always light.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    redraw();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    redraw();
  });

  return {
    /** The document's own. */
    title: "",
    /** Shows what the address says. @param {TraceFile | null} chosen the reader's file */
    show(chosen) {
      file = chosen;
      on.moved(location.hash);
      const { state: next, file: named, notices: problems } = fromHash(location.hash);
      state = next;
      if (named !== null && file?.name === named) state = withPath(state, "trace", fileSource(file));
      else if (named !== null) problems.push(NOTICE.fileMissing(named));
      alerts.clear("link");
      if (problems.length > 0) alerts.show("link", problems.join(" "));
      dragging = false;
      before = picture;
      showState();
      run();
    },
    /** Who comes by the keyboard stays on the link that led here. */
    focus() {},
    /** The reader chose another trace, or went back to the generated one. @param {TraceFile | null} chosen */
    choose(chosen) {
      alerts.clear("trace");
      alerts.clear("link");
      file = chosen;
      apply(withPath(state, "trace", chosen === null ? defaultState().scenario.trace : fileSource(chosen)), true);
    },
    /** That, while another view is shown. @param {TraceFile | null} chosen */
    keep(chosen) {
      file = chosen;
      state = withPath(state, "trace", chosen === null ? defaultState().scenario.trace : fileSource(chosen));
      on.moved(toHash(state));
    },
    /** For the other views. */
    state: () => state,
    /** Latency of a measured GPU, named so that a link says whose it is. @type {(latency: Latency, gpu: string) => void} */
    use(latency, gpu) {
      state = { ...withPath(state, "engine.closed.latency", latency), gpu };
      apply(state, true);
      findingLine.focus();
    },
  };
}
