// The calibrate view: what would run, the run, what it left, and the way into the simulator.
// Loaded when it is opened; the worker that it starts asks for a GPU only then.
//
//   model, weights, length  ->  plan
//   Calibrate               ->  worker  ->  points as they come  ->  result
//   a file                  ->  worker  ->  result
//   Use my GPU              ->  the page's state, so that every chart is re-run
//
// A link that names a measured GPU loads this view too, for the line on the simulator: line.js.

import { el } from "../dom.js";
import { notices } from "../panels/notices.js";
import { Gpu } from "./engine.js";
import { gauge, nameOf } from "./line.js";
import { results } from "./results.js";
import { serving } from "./serve.js";
import { PRECISION, PROBLEM, STATUS, VIEW, WARNING, adapterRows, modelName } from "./words.js";

/** @import { Adapter, Calibration, Described, GpuModel, CalibrateOptions, Latency, Point, Precision, RunResult, TraceFile } from "../types.js" */
/** @import { State } from "../state.js" */

/** Least time between two announcements of progress to a screen reader, ms. */
const SPOKEN_MS = 6000;
/** A calibration with every sample is well below this, bytes. */
const MOST_BYTES = 20e6;
/** Changes nothing but which random weights are measured. */
const SEED = 1;
/** What is offered first on a real GPU and on a software one. */
const FIRST = { model: "qwen3-0.6b", software: "demo" };

/** @typedef {"loading" | "looking" | "none" | "ready" | "measuring" | "serving"} Stage */

/**
 * @param {HTMLElement} host
 * @param {{use: (latency: Latency, gpu: string) => void, now: () => Promise<{state: State, file: TraceFile | null}>}} on
 *   `use`: the simulator takes this latency, of that GPU; `now`: what the simulator replays
 */
export function calibrateView(host, on) {
  /** @type {Stage} */
  let stage = "loading";
  /** @type {GpuModel[]} */
  let models = [];
  /** @type {Adapter | null} */
  let adapter = null;
  /** The result shown, and the one it is compared with. @type {Described | null} */
  let shown = null;
  /** @type {Described | null} */
  let second = null;
  /** Counts the plans asked for: an answer to an older question is not shown. */
  let asked = 0;
  /** Stages during which the tab was in the background. @type {Set<string>} */
  let hiddenIn = new Set();
  /** Where the run in progress is. */
  let at = "";

  // ---- What stands there -----------------------------------------------------------------------

  const alertHost = el("div", { role: "alert", id: "calibrate-notices" });
  const alerts = notices(alertHost);
  const heading = el("h1", { tabindex: -1 }, VIEW.title);
  const model = el("select", { id: "gpu-model", "aria-describedby": "gpu-model-help" });
  const modelHelp = el("p", { class: "help", id: "gpu-model-help" });
  const precision = el("select", { id: "gpu-precision", "aria-describedby": "gpu-precision-help" });
  const precisionHelp = el("p", { class: "help", id: "gpu-precision-help" }, VIEW.precisionHelp);
  const length = el("select", { id: "gpu-length" }, ...Object.entries(VIEW.lengths).map(([key, name]) => el("option", { value: key }, name)));
  const adapterHost = el("dl", { class: "adapter", id: "gpu-adapter" });
  const plan = el("p", { class: "plan", id: "gpu-plan" }, VIEW.loading);
  const stepList = el("ol", {});
  const stepDetails = el("details", { hidden: true }, el("summary", {}, VIEW.steps), stepList);
  const runButton = el("button", { type: "button", id: "calibrate-run", class: "primary", disabled: true, onclick: () => void run() }, VIEW.calibrate);
  const cancelButton = el("button", { type: "button", id: "calibrate-cancel", hidden: true, onclick: () => engine.cancel() }, VIEW.cancel);
  const lookButton = el("button", { type: "button", id: "gpu-look", hidden: true, onclick: () => void look() }, VIEW.tryAgain);
  const input = el("input", { type: "file", id: "calibration-file", class: "visually-hidden", accept: ".json,application/json", "aria-label": VIEW.import });
  const status = el("p", { class: "help", id: "calibrate-status", role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": STATUS.bar });
  const barText = el("span", {});
  const progress = el("p", { class: "status", id: "calibrate-progress", hidden: true }, bar, barText);
  const resultHost = el("div", { id: "calibrate-results" });
  const veil = el("p", { class: "veil", hidden: true }, VIEW.dropNow);
  const settings = el(
    "aside",
    { class: "settings", "aria-labelledby": "gpu-settings" },
    el("h2", { id: "gpu-settings" }, VIEW.settings),
    el("div", { class: "control wide" }, el("label", { for: "gpu-model" }, VIEW.model), model, modelHelp),
    el("div", { class: "control wide" }, el("label", { for: "gpu-precision" }, VIEW.precision), precision, precisionHelp),
    el("div", { class: "control wide" }, el("label", { for: "gpu-length" }, VIEW.length), length),
    adapterHost,
  );
  host.replaceChildren(
    el("div", { class: "masthead" }, heading, el("p", { class: "lead" }, VIEW.lead)),
    alertHost,
    el(
      "div",
      { class: "calibration" },
      el(
        "section",
        { class: "calibrate-head", "aria-label": VIEW.plan },
        plan,
        stepDetails,
        el("p", { class: "calibrate-actions" }, runButton, " ", cancelButton, " ", lookButton),
        status,
        progress,
        el(
          "p",
          { class: "calibrate-actions open" },
          input,
          el("label", { for: "calibration-file", class: "button" }, VIEW.import),
          " ",
          el("span", { class: "help" }, VIEW.importHelp),
        ),
      ),
      el("div", { class: "calibrate-main" }, resultHost),
      settings,
    ),
  );
  document.body.append(veil);

  const engine = new Gpu();
  const serve = serving(engine, { busy: (busy) => become(busy ? "serving" : adapter === null ? "none" : "ready") });
  const shownResults = results(resultHost, serve.element, {
    use: (described) => void use(described),
    second: (files) => void open(files, true),
    dropSecond: () => showSecond(null),
  });
  const line = gauge(engine);

  for (const select of [model, precision, length]) {
    select.addEventListener("change", () => {
      showModel();
      void showPlan();
    });
  }
  input.addEventListener("change", () => {
    void open(input.files, false);
    // Choosing the same file again, perhaps mended, must count as a choice.
    input.value = "";
  });

  /** @param {Stage} next */
  function become(next) {
    // The button that was pressed may be gone: the one in its place takes the keyboard's focus.
    const focused = [runButton, cancelButton, lookButton].some((button) => button === document.activeElement);
    stage = next;
    const measuring = stage === "measuring";
    runButton.hidden = measuring;
    runButton.disabled = stage !== "ready";
    runButton.textContent = shown === null ? VIEW.calibrate : VIEW.again;
    cancelButton.hidden = !measuring;
    lookButton.hidden = stage !== "none";
    progress.hidden = !measuring;
    for (const select of [model, precision, length]) select.disabled = measuring || stage === "serving" || models.length === 0;
    if (focused) [cancelButton, lookButton, runButton].find((button) => !button.hidden && !button.disabled)?.focus();
  }

  // ---- The GPU ---------------------------------------------------------------------------------

  /** Asks for the adapter: only ever after the view was opened. */
  async function look() {
    become("looking");
    alerts.clear("gpu");
    plan.textContent = VIEW.looking;
    const reply = await engine.ask("opened", (runId) => ({ type: "open", runId }));
    if (reply.type === "opened") {
      showAdapter(reply.adapter);
      become("ready");
      void showPlan();
      return;
    }
    become("none");
    plan.textContent = "";
    stepDetails.hidden = true;
    if (reply.type === "error") alerts.show("gpu", PROBLEM.error(reply.error));
  }

  /** @param {Adapter} found */
  function showAdapter(found) {
    const before = adapter;
    adapter = found;
    adapterHost.replaceChildren(...adapterRows(found).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    alerts.clear("software");
    if (found.software) alerts.show("software", WARNING.software);
    precisionHelp.textContent = found.shader_f16 ? VIEW.precisionHelp : `${VIEW.precisionHelp} ${VIEW.noF16}`;
    if (before === null && found.software) model.value = FIRST.software;
    showModel();
  }

  function showModel() {
    const chosen = models.find(({ architecture }) => architecture.name === model.value);
    modelHelp.textContent = chosen === undefined ? "" : VIEW.modelHelp(chosen.architecture.layers, chosen.weights);
  }

  /** @returns {CalibrateOptions | null} */
  function options() {
    const chosen = models.find(({ architecture }) => architecture.name === model.value);
    if (chosen === undefined) return null;
    return { architecture: chosen.architecture, precision: /** @type {Precision} */ (precision.value), quick: length.value === "quick", seed: SEED };
  }

  /** What would run, as the module works it out. */
  async function showPlan() {
    const wanted = options();
    if (wanted === null || stage !== "ready") return;
    asked += 1;
    const mine = asked;
    const reply = await engine.ask("planned", (runId) => ({ type: "plan", runId, options: wanted }));
    if (mine !== asked || stage !== "ready") return;
    if (reply.type === "error") {
      plan.textContent = "";
      stepDetails.hidden = true;
      alerts.show("plan", PROBLEM.error(reply.error));
      return;
    }
    alerts.clear("plan");
    if (reply.type !== "planned") return;
    plan.textContent = VIEW.planned(reply.plan);
    stepList.replaceChildren(...reply.plan.steps.map((step) => el("li", {}, step)));
    stepDetails.hidden = reply.plan.steps.length === 0;
  }

  // ---- The run ---------------------------------------------------------------------------------

  async function run() {
    const wanted = options();
    if (wanted === null || stage !== "ready") return;
    for (const kind of ["run", "file", "hidden"]) alerts.clear(kind);
    // It stands again if this run leaves nothing.
    const former = shown;
    shownResults.clear();
    hiddenIn = new Set();
    at = "open";
    if (document.hidden) hide();
    const battery = await onBattery();
    if (battery) alerts.show("battery", WARNING.batteryNow);
    status.textContent = STATUS.started;
    bar.value = 0;
    barText.textContent = "";
    become("measuring");
    /** @type {Map<string, Point>} */
    const points = new Map();
    let spoken = performance.now();
    const ended = await engine.run(
      "calibrated",
      (runId) => ({ type: "calibrate", runId, options: wanted }),
      {
        progress(now) {
          at = now.stage;
          bar.value = now.done;
          barText.textContent = STATUS.at(now.stage, now.what);
          if (performance.now() - spoken > SPOKEN_MS) {
            spoken = performance.now();
            status.textContent = STATUS.spoken(now.done, now.stage);
          }
          if (now.points.length === 0) return;
          // A step is told of in every round: the newest time of a size stands.
          for (const point of now.points) points.set(`${point.sequences} ${point.context} ${point.prefill}`, point);
          shownResults.live([...points.values()]);
        },
      },
    );
    at = "";
    if (ended.type === "calibrated") {
      second = null;
      const result = await warned(ended.result, battery || (await onBattery()));
      status.textContent = STATUS.done(result.calibration.took_s);
      showResult(result);
      become("ready");
      return;
    }
    shownResults.clear();
    if (former !== null) showResult(former);
    become("ready");
    if (ended.type === "cancelled") {
      status.textContent = ended.forced ? STATUS.forced : STATUS.cancelled;
      return;
    }
    status.textContent = "";
    alerts.show("run", PROBLEM.error(ended.error));
    // A browser that lost its GPU may have none to give any more.
    if (ended.error.code === "device-lost") void look();
  }

  /**
   * The result with what only the page knows of the run: whether the tab was hidden, and the battery.
   * @type {(result: Described, battery: boolean) => Promise<Described>}
   */
  async function warned(result, battery) {
    const more = [];
    if (hiddenIn.size > 0) more.push({ code: "hidden-page", message: WARNING.hidden([...hiddenIn].map((name) => STATUS.at(name, ""))) });
    if (battery) more.push({ code: "on-battery", message: WARNING.battery });
    if (more.length === 0) return result;
    /** @type {Calibration} */
    const calibration = { ...result.calibration, warnings: [...result.calibration.warnings, ...more] };
    const reply = await engine.ask("described", (runId) => ({ type: "describe", runId, calibration }));
    return reply.type === "described" ? reply.result : { ...result, calibration };
  }

  /** @param {Described} result */
  function showResult(result) {
    shown = result;
    const { name, backend } = result.calibration.adapter;
    serve.show(result, adapter !== null && adapter.name === name && adapter.backend === backend);
    shownResults.show(result, second);
  }

  /** @param {Described | null} result */
  function showSecond(result) {
    second = result;
    if (shown !== null) shownResults.show(shown, second);
  }

  function hide() {
    if (at === "") return;
    hiddenIn.add(at);
    alerts.show("hidden", WARNING.hiddenNow);
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hide();
  });

  // ---- Files -----------------------------------------------------------------------------------

  /** @type {(files: FileList | null | undefined, asSecond: boolean) => Promise<void>} */
  async function open(files, asSecond) {
    const file = files?.[0];
    if (file === undefined) return;
    alerts.clear("file");
    if (stage === "measuring" || stage === "serving") {
      alerts.show("file", PROBLEM.busy);
      return;
    }
    if (file.size > MOST_BYTES) {
      alerts.show("file", PROBLEM.tooLarge(file.name));
      return;
    }
    if ((files?.length ?? 0) > 1) alerts.show("file", PROBLEM.tooManyFiles);
    let text;
    try {
      text = await file.text();
    } catch (thrown) {
      alerts.show("file", PROBLEM.unreadable(file.name, thrown instanceof Error ? thrown.message : String(thrown)));
      return;
    }
    const reply = await engine.ask("described", (runId) => ({ type: "read", runId, name: file.name, text }));
    if (reply.type === "error") {
      alerts.show("file", PROBLEM.error(reply.error));
      return;
    }
    if (reply.type !== "described") return;
    if (asSecond && shown !== null) {
      showSecond(reply.result);
      return;
    }
    second = null;
    status.textContent = STATUS.opened(file.name);
    showResult(reply.result);
    become(stage);
    shownResults.focus();
  }

  /** @param {DragEvent} event */
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") === true;
  // Before the page's own listeners, which take what is dropped for a trace.
  for (const kind of /** @type {const} */ (["dragover", "dragleave", "drop"])) {
    document.addEventListener(
      kind,
      (event) => {
        if (host.hidden || !carriesFiles(event)) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        if (kind === "dragover") veil.hidden = false;
        else if (kind === "drop" || event.relatedTarget === null) veil.hidden = true;
        if (kind === "drop") void open(event.dataTransfer?.files, false);
      },
      { capture: true },
    );
  }

  // ---- Into the simulator ----------------------------------------------------------------------

  /** @param {Described} described */
  async function use(described) {
    alerts.clear("use");
    const { state, file } = await on.now();
    const { scenario } = state;
    const reply = await engine.ask("derived", (runId) => ({ type: "derive", runId, calibration: described.calibration, scenario, policies: state.shown, file: "file" in scenario.trace ? file : null }));
    if (reply.type === "error") alerts.show("use", PROBLEM.error(reply.error));
    if (reply.type === "derived") on.use(reply.derived.latency, nameOf(described, reply.derived.form));
  }

  const loaded = engine.models.then(
    (found) => {
      models = found;
      model.append(...found.map(({ architecture: { name } }) => el("option", { value: name }, modelName(name))));
      precision.append(...Object.entries(PRECISION).map(([key, name]) => el("option", { value: key }, name)));
      model.value = FIRST.model;
      precision.value = "f16";
      showModel();
      return true;
    },
    (/** @type {Error} */ failed) => {
      plan.textContent = "";
      alerts.show("load", PROBLEM.load(failed.message));
      return false;
    },
  );

  return {
    title: VIEW.pageTitle,
    /** Shows the view; the first time, asks for the adapter. */
    async show() {
      if (stage !== "loading" || !(await loaded)) return;
      if (await onBattery()) alerts.show("battery", WARNING.batteryNow);
      await look();
    },
    /** For who comes by a link of the keyboard or a screen reader. */
    focus() {
      heading.focus();
    },
    /** A picture of the simulator was finished. @type {(state: State, results: RunResult[], file: TraceFile | null) => void} */
    painted: line.painted,
  };
}

/** Whether the machine runs on its battery; false where the browser does not say. */
async function onBattery() {
  const asked = /** @type {{getBattery?: () => Promise<{charging: boolean}>}} */ (navigator);
  try {
    const battery = await asked.getBattery?.();
    return battery !== undefined && !battery.charging;
  } catch {
    // Refused by a policy of the page's host: as good as not known.
    return false;
  }
}
