// The page: which view is shown, and the simulator's: its state, its engine, what comes back.
//
//   a control, a link, a file  ->  state  ->  engine.run  ->  results  ->  figures, tables, words
//
// The address says which view it is: the article (none of the others), the simulator (#v=…), or one that
// is loaded when it is opened.
//
// The last finished picture stays until the next is complete; it is marked stale when that takes
// longer than a glance.

import { articleView } from "./article/view.js";
import { attainment } from "./charts/attainment.js";
import { batch, cdf, queue } from "./charts/curves.js";
import { gpus } from "./charts/gpus.js";
import { PRESETS } from "./defaults.js";
import { byId, el, save } from "./dom.js";
import { withUnit } from "./format.js";
import { Engine } from "./engine.js";
import { controls } from "./panels/controls.js";
import { notices } from "./panels/notices.js";
import { schedulers } from "./panels/schedulers.js";
import { summaryCsv, summaryJson, tables } from "./panels/table.js";
import { trace } from "./panels/trace.js";
import { CONTROLS, defaultState, fromHash, getPath, same, toHash, withPath } from "./state.js";
import { CHOICE, CONTROL, GROUP, NOTICE, UI, errorSentence, finding } from "./words.js";

/** @import { ErrorReport, RunResult, Scenario, TraceFile, TraceInfo } from "./types.js" */
/** @import { RunReply } from "./engine.js" */
/** @import { State } from "./state.js" */

/** How long the last picture may stand unmarked while the next is computed, ms. */
const STALE_MS = 150;

/** @type {State} */
let state = defaultState();
/** The reader's trace file, where the state names one. @type {TraceFile | null} */
let file = null;
/** What was read of the trace at hand. */
let read = /** @type {TraceInfo | null} */ (null);
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
const figures = [attainment(byId("attainment")), latencies, ...overTime, gpus(byId("gpus"))];
const summaryTables = tables(byId("tables"));
/** What looks closer at a run, once one of its parts was opened. @type {ReturnType<typeof makeCloser> | null} */
let closer = null;
async function makeCloser() {
  const [{ explore }, { begin }] = await Promise.all([import("./simulator/explore.js"), import("./simulator/challenges.js"), style("simulator")]);
  return explore({
    ask: (policy) => simulator().timeline(policy),
    set(gpus, bins) {
      apply(withPath(withPath(state, "fleet.gpus", gpus), "scheduler.bins.count", bins), true);
    },
    mark(marked) {
      latencies.span(marked?.latency_s ?? null);
      for (const figure of overTime) figure.span(marked?.span_s ?? null);
    },
    begin(challenge) {
      file = null;
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
const tracePanel = trace(byId("trace"), {
  choose: chooseFile,
  refuse: (why) => alerts.show("trace", why === "several" ? NOTICE.tooManyFiles : NOTICE.notAFile),
});
const schedulerPanel = schedulers(byId("schedulers"), (shown) => apply({ ...state, shown }, true));
const controlPanel = controls(
  byId("controls"),
  CONTROLS,
  { groups: GROUP, control: CONTROL, choice: CHOICE },
  (path, value, settled) => apply(withPath(state, path, value), settled),
  () => simulator().seed(),
);
const rateNote = el("p", { class: "help rate" });
byId("controls").querySelector('[data-control="timeScale"]')?.append(rateNote);

/** Started with the first run: the article has a worker of its own. @type {Engine | null} */
let engine = null;
const simulator = () => (engine ??= new Engine({ reply: receive, crashed }));

// ---- State -------------------------------------------------------------------------------------

/** @type {(next: State, settled: boolean) => void} */
function apply(next, settled) {
  if (!dragging) before = picture;
  dragging = !settled;
  // Another latency model is not of that GPU any more.
  if (!same(next.scenario.latency, state.scenario.latency)) delete next.gpu;
  state = next;
  if (settled) remember();
  showState();
  run();
}

/** Puts the state into the address bar, as a step that the back button undoes. */
function remember() {
  const hash = toHash(state);
  toSimulator.href = hash;
  if (hash === location.hash) return;
  history.pushState(null, "", hash);
}

function showState() {
  controlPanel.update(state.scenario);
  schedulerPanel.update(state.shown);
  const { scenario } = state;
  const [inForce] = Object.entries(PRESETS).find(([, preset]) => same(withPreset(preset, scenario), scenario)) ?? [""];
  presetSelect.value = inForce;
}

/**
 * A preset with what it leaves to the reader, as on the command line: trace, limit, fleet and K.
 * @type {(preset: Scenario, kept: Scenario) => Scenario}
 */
function withPreset(preset, kept) {
  const { policy, bins } = kept.scheduler;
  return {
    ...structuredClone(preset),
    trace: kept.trace,
    workload: { ...preset.workload, limit: kept.workload.limit },
    fleet: kept.fleet,
    scheduler: { ...preset.scheduler, policy, bins: { ...preset.scheduler.bins, count: bins.count } },
  };
}

/** Takes view and state from the address bar. */
function readHash() {
  const later = laterView();
  if (later !== null) {
    void open(later);
    return;
  }
  showView("simulator");
  toSimulator.href = location.hash;
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
}

/** @param {TraceFile} chosen */
const fileSource = (chosen) => ({ file: { name: chosen.name, format: null } });

/** @param {TraceFile | null} chosen */
function chooseFile(chosen) {
  alerts.clear("trace");
  alerts.clear("link");
  file = chosen;
  const next = withPath(state, "trace", chosen === null ? defaultState().scenario.trace : fileSource(chosen));
  // The article's figures have their own requests: a file is for the simulator.
  if (view === "article") showView("simulator");
  if (view === "simulator") {
    apply(next, true);
    return;
  }
  state = next;
  toSimulator.href = toHash(state);
  // Only the view that is shown replays it now; the others find it when they are opened.
  if (view === "lab") void made.lab?.then((opened) => opened.choose(chosen));
  else void made.studies?.then((opened) => opened.choose(chosen));
}

// ---- Views -------------------------------------------------------------------------------------

/** What makes the other views, when they are opened first; each is named as its element and folder. */
const make = {
  article: async () =>
    articleView(byId("article"), {
      moved: (hash) => {
        links.article.href = hash || "#";
      },
      notice: (text) => (text === "" ? alerts.clear("link") : alerts.show("link", text)),
    }),
  studies: async () => {
    const [{ studiesView }] = await Promise.all([import("./studies/view.js"), style("studies")]);
    return studiesView(byId("studies"), {
      choose: (files) => tracePanel.take(files),
      moved: (hash) => {
        links.studies.href = hash;
      },
    });
  },
  lab: async () => {
    const [{ labView }] = await Promise.all([import("./lab/view.js"), style("lab")]);
    return labView(byId("lab"), {
      choose: (files) => tracePanel.take(files),
      generated: () => chooseFile(null),
      moved: (hash) => {
        links.lab.href = hash;
      },
    });
  },
  calibrate: async () => {
    const [{ calibrateView }] = await Promise.all([import("./calibrate/view.js"), style("calibrate")]);
    return calibrateView(byId("calibrate"), {
      now: () => ({ state, file }),
      use: (latency, gpu) => {
        state = { ...withPath(state, "latency", latency), gpu };
        showView("simulator");
        apply(state, true);
        findingLine.focus();
      },
    });
  },
};
/** @typedef {keyof typeof make} Later */
/** Those that were opened. @type {{[K in Later]?: ReturnType<(typeof make)[K]>}} */
const made = {};

/** @type {"simulator" | Later} */
let view = "article";
const toSimulator = byId("to-simulator", HTMLAnchorElement);
const links = {
  article: byId("to-article", HTMLAnchorElement),
  simulator: toSimulator,
  lab: byId("to-lab", HTMLAnchorElement),
  studies: byId("to-studies", HTMLAnchorElement),
  calibrate: byId("to-calibrate", HTMLAnchorElement),
};
const title = document.title;

/** Which of the other views the address names; null is the simulator. @returns {Later | null} */
function laterView() {
  const { hash } = location;
  if (/^#lab\b/.test(hash)) return "lab";
  if (/^#calibrate\b/.test(hash)) return "calibrate";
  if (/^#studies$|[#&]study=/.test(hash)) return "studies";
  return /^#(?!a=).*=/.test(hash) ? null : "article";
}

/** The part of the article that the address names, if it is one. */
function anchor() {
  const { hash } = location;
  return hash.length > 1 && !hash.includes("=") ? document.getElementById(hash.slice(1)) : null;
}

/** @param {typeof view} next */
function showView(next) {
  view = next;
  for (const part of document.querySelectorAll("[data-view]")) part.toggleAttribute("hidden", part.getAttribute("data-view") !== next);
  for (const [name, link] of Object.entries(links)) {
    if (name === next) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = title;
}

/** @param {Later} name */
async function open(name) {
  const wasOpen = view === name;
  showView(name);
  try {
    const opened = await (made[name] ??= /** @type {any} */ (make[name]()));
    await opened.show(file);
    if (view !== name) return;
    document.title = opened.title;
    if (!wasOpen) opened.focus();
    if (name === "article" && !wasOpen) anchor()?.scrollIntoView();
  } catch (failed) {
    delete made[name];
    byId(name).replaceChildren(el("p", { class: "notice", role: "alert" }, NOTICE.notLoaded(String(failed))));
  }
}

/** The style in a folder: what it is of is laid out once that is there. @param {string} name */
function style(name) {
  const link = el("link", { rel: "stylesheet", href: new URL(`./${name}/style.css`, import.meta.url).href });
  const there = new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => reject(new Error(link.href)));
  });
  document.head.append(link);
  return there;
}

// ---- Runs --------------------------------------------------------------------------------------

function run() {
  coming = [];
  page.setAttribute("aria-busy", "true");
  clearTimeout(staleTimer);
  staleTimer = setTimeout(() => page.classList.add("stale"), STALE_MS);
  simulator().run({
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
      tracePanel.update(read);
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
      picture = coming;
      paint();
      settle();
      // Whose GPU it is, and its error bar, are that view's to say.
      if (state.gpu !== undefined) made.calibrate ??= make.calibrate();
      void made.calibrate?.then(
        (opened) => opened.painted(good.state, picture, file),
        (failed) => alerts.show("gpu", NOTICE.notLoaded(String(failed))),
      );
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
    file = good.file;
    // The figures are still those of the former trace: so is what is said of it.
    read = good.read;
    if (read !== null) tracePanel.update(read);
    state = withPath(state, "trace", good.state.scenario.trace);
    remember();
    showState();
  }
}

/** Runs what is left after a refusal, without a step for the back button to fall into. */
function again() {
  history.replaceState(null, "", toHash(state));
  showState();
  run();
}

/** @type {(message: string, givenUp: boolean) => void} */
function crashed(message, givenUp) {
  alerts.show("crash", NOTICE.crashed(message));
  if (givenUp) settle();
}

// ---- Buttons -----------------------------------------------------------------------------------

let offered = "";
function showDownloads() {
  const key = picture.map(({ policy }) => policy).join();
  if (key === offered) return;
  offered = key;
  /** @type {(text: string, onclick: () => void) => HTMLElement} */
  const button = (text, onclick) => el("button", { type: "button", class: "quiet", onclick }, text);
  byId("downloads").replaceChildren(
    `${UI.downloads} `,
    button(UI.downloadSummaryCsv, () => save("batchscope-summary.csv", summaryCsv(picture), "text/csv")),
    " ",
    button(UI.downloadSummaryJson, () => save("batchscope-summary.json", summaryJson(picture), "application/json")),
    ...picture.flatMap(({ policy }) => [
      " ",
      button(UI.downloadRequests(policy), async () => save(`batchscope-requests-${policy}.csv`, await simulator().csv(policy))),
    ]),
  );
}

presetSelect.append(
  el("option", { value: "" }, UI.presetNone),
  ...Object.keys(PRESETS).map((name) => el("option", { value: name }, CHOICE["latency"]?.[name] ?? name)),
);
byId("preset-help").textContent = UI.presetHelp;
presetSelect.addEventListener("change", () => {
  const preset = PRESETS[presetSelect.value];
  alerts.clear("preset");
  if (preset !== undefined && !("file" in state.scenario.trace)) {
    alerts.show("preset", UI.presetNeedsTrace(CHOICE["latency"]?.[presetSelect.value] ?? presetSelect.value));
  }
  apply({ ...state, scenario: withPreset(preset ?? defaultState().scenario, state.scenario) }, true);
});

byId("reset").addEventListener("click", () => {
  alerts.clear("preset");
  alerts.clear("link");
  file = null;
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

// ---- Surroundings ------------------------------------------------------------------------------

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
// Also fires for back and forward, since all that differs is the hash.
addEventListener("popstate", () => {
  const part = anchor();
  // A heading or figure of what is shown: the browser goes there by itself.
  if (part === null || part.closest("[data-view]") === part || part.closest("[data-view]")?.getAttribute("data-view") !== view) readHash();
});

async function showVersion() {
  const response = await fetch(new URL("../build.json", import.meta.url));
  if (!response.ok) return;
  const { version, commit } = await response.json();
  byId("version").textContent = UI.version(version, commit);
}

readHash();
void showVersion();
// After the first picture: what is kept for the next visit must not hold up this one.
if ("serviceWorker" in navigator && isSecureContext) {
  addEventListener("load", () => void navigator.serviceWorker.register(new URL("../sw.js", import.meta.url)).catch(() => {}));
}
