// The Studies view: a list of studies, the settings of the chosen one, its run and what it left.
// Loaded when it is opened; it loads the second module in a worker.
//
//   a link, a field, a file  ->  state  ->  address bar, plan
//   Run                      ->  coordinator  ->  progress  ->  results
//
// The last entry of the list compares a file with all published figures: reproduce.js.

import { el } from "../dom.js";
import { errorSentence, NOTICE } from "../words.js";
import { notices } from "../panels/notices.js";
import { Studies } from "./engine.js";
import { form } from "./form.js";
import { reproduction } from "./reproduce.js";
import { errataOf, results } from "./results.js";
import { fromHash, REPRODUCE, reproduceFrom, reproduceHash, small, sizeOf, standard, toHash, toStudy, withSetting } from "./state.js";
import { same } from "../state.js";
import { PROBLEM, REPRODUCE as REPRODUCE_WORDS, STATUS, STUDY, VIEW } from "./words.js";

/** @import { StudyInfo, StudyJob, TraceFile } from "../types.js" */
/** @import { Settings, StudyState } from "./state.js" */

/**
 * @param {HTMLElement} host
 * @param {{choose: (files: FileList | null) => void, moved: (hash: string) => void}} on `choose`: the
 *   reader named trace files; `moved`: the view's address is another
 */
export function studiesView(host, on) {
  /** @type {StudyState | null} */
  let state = null;
  /** The reader's trace file, shared with the simulator. @type {TraceFile | null} */
  let file = null;
  /** Whether the study replays it. */
  let ownTrace = false;
  /** Whether the file is held against published figures, in place of a study. */
  let reproducing = false;
  /** @type {StudyInfo[] | null} */
  let studies = null;
  /** @type {ReturnType<typeof form> | null} */
  let fieldsOf = null;
  let running = false;
  /** What the results shown were made from. @type {StudyJob | null} */
  let shown = null;
  /** Counts the plans asked for: an answer to an older question is not shown. */
  let asked = 0;

  // ---- What stands there -----------------------------------------------------------------------

  const alertHost = el("div", { role: "alert", id: "study-notices" });
  const alerts = notices(alertHost);
  const heading = el("h1", { tabindex: -1 }, VIEW.title);
  const list = el("ul", { class: "study-list", "aria-label": VIEW.list });
  const loading = el("p", { class: "help" }, VIEW.loading);
  const title = el("h2", { id: "study-title" });
  const what = el("p", {});
  const source = el("p", { class: "help" });
  const faults = el("div", {});
  const size = el("select", { id: "study-size" });
  const trace = el("select", { id: "study-trace" });
  const input = el("input", { type: "file", id: "study-file", class: "visually-hidden", "aria-label": VIEW.traceChoose });
  const traceControl = el(
    "div",
    { class: "control wide" },
    el("label", { for: "study-trace" }, VIEW.trace),
    trace,
    el("p", { class: "help" }, input, el("label", { for: "study-file", class: "button" }, VIEW.traceChoose)),
  );
  const fieldHost = el("div", {});
  const reset = el("button", { type: "button", class: "quiet", onclick: () => state !== null && apply(standard(state.info)) }, VIEW.reset);
  const plan = el("p", { class: "help plan" });
  const runButton = el("button", { type: "button", id: "study-run", onclick: run }, VIEW.run);
  const cancelButton = el("button", { type: "button", id: "study-cancel", hidden: true, onclick: () => engine.cancel() }, VIEW.cancel);
  const status = el("p", { class: "help", id: "study-status", role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": STATUS.bar });
  const barText = el("span", {});
  const progress = el("p", { class: "status", id: "study-progress", hidden: true }, bar, barText);
  const stale = el("p", { class: "help", hidden: true }, VIEW.stale);
  const resultHost = el("div", { id: "study-files" });
  const shownResults = results(resultHost, async (files) => engine.zip(files.map(({ name, blob }) => ({ name, blob }))));
  const settings = el(
    "aside",
    { class: "settings", "aria-labelledby": "study-settings" },
    el("div", { class: "settings-head" }, el("h2", { id: "study-settings" }, VIEW.settings), el("p", { class: "actions" }, reset)),
    el("div", { class: "control wide" }, el("label", { for: "study-size" }, VIEW.size), size),
    traceControl,
    fieldHost,
  );
  const study = el(
    "div",
    { class: "study", hidden: true },
    el("div", { class: "study-head" }, title, what, source, faults),
    el(
      "section",
      { class: "study-main", "aria-labelledby": "study-title" },
      plan,
      el("p", { class: "study-actions" }, runButton, " ", cancelButton),
      status,
      progress,
      stale,
      resultHost,
    ),
    settings,
  );
  host.replaceChildren(
    el("div", { class: "masthead" }, heading, el("p", { class: "lead" }, VIEW.lead)),
    alertHost,
    loading,
    list,
    study,
  );

  size.addEventListener("change", () => {
    if (state === null) return;
    const chosen = size.value === "small" ? small(state.info) : standard(state.info).settings;
    if (chosen !== null) apply({ ...state, settings: keepTrace(chosen) });
  });
  trace.addEventListener("change", () => {
    ownTrace = trace.value === "own";
    if (state !== null) apply(state);
  });
  input.addEventListener("change", () => {
    on.choose(input.files);
    input.value = "";
  });

  /** Settings with the trace as it stands. @param {Settings} settings */
  const keepTrace = (settings) => ({ ...settings, ...(state?.settings["trace"] === undefined ? {} : { trace: state.settings["trace"] }) });

  // ---- State -----------------------------------------------------------------------------------

  /** @param {StudyState} next */
  function apply(next) {
    state = next;
    remember();
    showState();
  }

  /** The file that the study replays, if it does. */
  const replayed = () => (state?.info.takes_trace === true && ownTrace ? file : null);

  function remember() {
    if (state === null && !reproducing) return;
    const hash = state === null ? reproduceHash(file?.name ?? null) : toHash(state, replayed()?.name ?? null);
    if (hash !== location.hash) history.pushState(null, "", hash);
    on.moved(hash);
  }

  function job() {
    return state === null ? null : { study: toStudy(state), replications: state.replications, file: replayed() };
  }

  /** @type {(a: StudyJob | null, b: StudyJob | null) => boolean} */
  const sameJob = (a, b) => a !== null && b !== null && a.file?.id === b.file?.id && same([a.study, a.replications], [b.study, b.replications]);

  function showState() {
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset["study"] === (reproducing ? REPRODUCE : state?.info.name)) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    study.hidden = state === null;
    panel.element.hidden = !reproducing;
    if (state === null) return;
    const { info } = state;
    const words = STUDY[info.name];
    title.textContent = words?.title ?? info.name;
    what.textContent = describe(info);
    source.textContent = words === undefined ? "" : `${VIEW.source}: ${words.source}.`;
    if (fieldHost.dataset["study"] !== info.name) {
      fieldHost.dataset["study"] = info.name;
      fieldsOf = form(
        state,
        (path, value) => state !== null && apply(withSetting(state, path, value)),
        (replications) => state !== null && apply({ ...state, replications }),
      );
      fieldHost.replaceChildren(...fieldsOf.elements);
      faults.replaceChildren(...errataOf(info.errata));
      const sizes = small(info) === null ? /** @type {const} */ (["published", "custom"]) : /** @type {const} */ (["published", "small", "custom"]);
      size.replaceChildren(...sizes.map((key) => el("option", { value: key, ...(key === "custom" ? { disabled: true, hidden: true } : {}) }, VIEW.sizes[key])));
    }
    fieldsOf?.update(state);
    size.value = sizeOf(state);
    trace.replaceChildren(
      el("option", { value: "generated" }, VIEW.traceGenerated),
      ...(file === null ? [] : [el("option", { value: "own" }, VIEW.traceOwn(file.name))]),
    );
    trace.value = replayed() === null ? "generated" : "own";
    traceControl.hidden = !info.takes_trace;
    stale.hidden = shown === null || sameJob(shown, job());
    void showPlan();
  }

  /** How much there is to run, as the core counts it; its refusal stands beside the field. */
  async function showPlan() {
    const wanted = job();
    if (wanted === null) return;
    asked += 1;
    const mine = asked;
    const answer = await engine.plan(wanted);
    if (mine !== asked || answer === null) return;
    if ("runs" in answer) {
      plan.textContent = `${VIEW.plan(answer.runs, answer.requests)} ${VIEW.planMore}`;
      alerts.clear("plan");
      return;
    }
    plan.textContent = "";
    const text = errorSentence(answer);
    if (fieldsOf?.complain(answer.field, text) === true) alerts.clear("plan");
    else alerts.show("plan", text);
  }

  // ---- Runs ------------------------------------------------------------------------------------

  function run() {
    const wanted = job();
    if (wanted === null) return;
    running = true;
    shown = null;
    stale.hidden = true;
    shownResults.clear();
    for (const kind of ["run", "said", "plan"]) alerts.clear(kind);
    status.textContent = STATUS.started;
    bar.value = 0;
    barText.textContent = "";
    begun = wanted;
    showRunning();
    engine.run(wanted);
  }
  /** What is being run. @type {StudyJob | null} */
  let begun = null;

  function showRunning() {
    progress.hidden = !running;
    cancelButton.hidden = !running;
    runButton.hidden = running;
  }

  /** The run is over, well or not. @param {string} said */
  function settle(said) {
    const focused = document.activeElement === cancelButton;
    running = false;
    status.textContent = said;
    showRunning();
    // The button that was pressed is gone: the next one takes its place for the keyboard.
    if (focused) runButton.focus();
  }

  const engine = new Studies({
    progress(at) {
      bar.value = at.share;
      barText.textContent = STATUS.progress(at);
    },
    said: (text) => alerts.show("said", sentence(text)),
    done(result) {
      shown = begun;
      const name = Object.keys(begun?.study ?? {})[0] ?? "study";
      shownResults.show(name, result.files);
      stale.hidden = sameJob(shown, job());
      settle(STATUS.done(result));
    },
    cancelled: () => settle(STATUS.cancelled),
    error(error) {
      settle("");
      const text = error.code === "crashed" ? STATUS.crashed(error.message) : errorSentence(error);
      if (fieldsOf?.complain(error.field, text) !== true) alerts.show("run", text);
    },
    crashed(message) {
      settle("");
      alerts.show("run", STATUS.crashed(message));
    },
  });

  const panel = reproduction(engine, on.choose);
  host.append(panel.element);

  // ---- Doors for the page ----------------------------------------------------------------------

  /** Takes the state from the address bar. */
  function readHash() {
    if (studies === null) return;
    const comparison = reproduceFrom(location.hash);
    reproducing = comparison !== null;
    if (comparison !== null) {
      state = null;
      const missing = comparison.file !== null && comparison.file !== file?.name ? [PROBLEM.fileMissing(comparison.file)] : [];
      alerts.clear("link");
      const told = [...comparison.notices, ...missing];
      if (told.length > 0) alerts.show("link", told.join(" "));
      showState();
      panel.show(file);
      return;
    }
    const found = fromHash(location.hash, studies);
    const changed = found.state?.info.name !== state?.info.name;
    state = found.state;
    ownTrace = found.file !== null && found.file === file?.name;
    if (found.file !== null && !ownTrace) found.notices.push(NOTICE.fileMissing(found.file));
    alerts.clear("link");
    if (found.notices.length > 0) alerts.show("link", found.notices.join(" "));
    if (changed && shown !== null) {
      shown = null;
      shownResults.clear();
      status.textContent = "";
    }
    showState();
  }

  const loaded = engine.list.then(
    (found) => {
      studies = found;
      loading.remove();
      list.append(
        ...found.map((info) => entry(info.name, toHash(standard(info), null), STUDY[info.name]?.title ?? info.name, describe(info), STUDY[info.name]?.source)),
        entry(REPRODUCE, reproduceHash(null), REPRODUCE_WORDS.title, REPRODUCE_WORDS.listed, REPRODUCE_WORDS.source),
      );
    },
    (/** @type {Error} */ failed) => {
      loading.remove();
      alerts.show("load", NOTICE.notLoaded(failed.message));
    },
  );

  return {
    title: VIEW.pageTitle,
    /** Shows what the address bar says. @param {TraceFile | null} chosen the reader's file */
    async show(chosen) {
      file = chosen;
      await loaded;
      readHash();
    },
    /** For who comes by a link of the keyboard or a screen reader. */
    focus() {
      heading.focus();
    },
    /** The reader chose another trace, or went back to the generated one. @param {TraceFile | null} chosen */
    choose(chosen) {
      file = chosen;
      ownTrace = chosen !== null;
      if (reproducing) {
        alerts.clear("link");
        remember();
        panel.choose(chosen);
      } else if (state !== null) apply(state);
    },
  };
}

/** A line of the list. @type {(name: string, href: string, title: string, what: string, source?: string) => HTMLElement} */
function entry(name, href, title, what, source) {
  return el(
    "li",
    {},
    el("a", { href, "data-study": name }, title),
    el("p", { class: "help" }, what),
    ...(source === undefined ? [] : [el("p", { class: "help source" }, source)]),
  );
}

/** A study's description without the title, which stands above it. @param {StudyInfo} info */
function describe({ name, description }) {
  const prefix = `${STUDY[name]?.title ?? name}: `;
  return sentence(description.toLowerCase().startsWith(prefix.toLowerCase()) ? description.slice(prefix.length) : description);
}

/** A description as a sentence. @param {string} text */
function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?]$/.test(upper) ? upper : `${upper}.`;
}
