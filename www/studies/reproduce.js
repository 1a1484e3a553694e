// Published figures against a reader's file: what the file is, the comparison, its tables. What
// `batchscope reproduce` does, and its CSV, byte for byte.

import { el, save } from "../dom.js";
import { errorSentence } from "../words.js";
import { documentPage, errataOf } from "./results.js";
import { REPRODUCE as WORDS, STATUS, VIEW } from "./words.js";

/** @import { FileErratum, RecognisedFile, ReproducedFigure, ReproducedStudy, ReproduceResult, StudyProgress, TraceFile } from "../types.js" */
/** @import { Studies } from "./engine.js" */

/** What the CSV is called. */
const CSV_NAME = "reproduce.csv";

/**
 * @param {Studies} engine
 * @param {(files: FileList | null) => void} choose the reader named trace files
 */
export function reproduction(engine, choose) {
  /** @type {TraceFile | null} */
  let file = null;
  /** Rows of published result files to compare with, instead of the built-in figures. @type {TraceFile | null} */
  let rows = null;
  let running = false;
  /** Whether the reader asked for it although the figures are not about the file. */
  let anyway = false;

  const input = el("input", { type: "file", id: "reproduce-file", class: "visually-hidden", "aria-label": VIEW.traceChoose });
  const rowsInput = el("input", { type: "file", id: "reproduce-rows", class: "visually-hidden", accept: ".csv", "aria-label": WORDS.rowsChoose });
  const rowsWhat = el("span", { id: "reproduce-rows-what", class: "help" }, WORDS.rowsNone);
  const what = el("p", { id: "reproduce-what", class: "file-what" });
  const details = el("p", { class: "help file-details" });
  const alerts = el("div", { id: "reproduce-alerts", role: "alert" });
  const plan = el("p", { class: "help plan" });
  const runButton = el("button", { type: "button", id: "reproduce-run", hidden: true, onclick: run }, WORDS.run);
  const cancelButton = el("button", { type: "button", id: "reproduce-cancel", hidden: true, onclick: () => engine.cancel() }, VIEW.cancel);
  const status = el("p", { class: "help study-status", id: "reproduce-status", role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": WORDS.bar });
  const barText = el("span", {});
  const progress = el("p", { class: "status", hidden: true }, bar, barText);
  const results = el("div", { id: "reproduce-results" });
  const element = el(
    "section",
    { class: "study reproduction", "aria-labelledby": "reproduce-title", hidden: true },
    el("h2", { id: "reproduce-title" }, WORDS.title),
    el("p", {}, WORDS.about),
    what,
    details,
    el("p", { class: "study-actions" }, input, el("label", { for: "reproduce-file", class: "button" }, VIEW.traceChoose), " ", el("span", { class: "help" }, WORDS.drop)),
    el("p", { class: "study-actions" }, rowsInput, el("label", { for: "reproduce-rows", class: "button" }, WORDS.rowsChoose), " ", rowsWhat),
    alerts,
    plan,
    el("p", { class: "study-actions" }, runButton, " ", cancelButton),
    status,
    progress,
    results,
  );
  input.addEventListener("change", () => {
    choose(input.files);
    input.value = "";
  });
  rowsInput.addEventListener("change", () => {
    const blob = rowsInput.files?.[0];
    rows = blob === undefined ? null : { id: (rows?.id ?? 0) + 1, name: blob.name, blob };
    rowsWhat.textContent = rows?.name ?? WORDS.rowsNone;
    rowsInput.value = "";
    void take(file, false);
  });

  /** @param {string} sentence @param {...HTMLElement} more */
  const complain = (sentence, ...more) => alerts.replaceChildren(el("p", { class: "notice" }, el("span", {}, sentence), ...more));

  /** @param {StudyProgress} at */
  const reportProgress = (at) => {
    progress.hidden = false;
    bar.value = at.share;
    barText.textContent = STATUS.progress(at);
  };

  /**
   * Another file, or none.
   * @param {TraceFile | null} chosen
   * @param {boolean} start whether to compare at once what may be compared
   */
  async function take(chosen, start) {
    if (running) engine.cancel();
    file = chosen;
    anyway = false;
    alerts.replaceChildren();
    results.replaceChildren();
    for (const line of [what, details, plan, status]) line.textContent = "";
    runButton.hidden = true;
    progress.hidden = true;
    if (chosen === null) {
      what.textContent = WORDS.noFile;
      return;
    }
    what.textContent = WORDS.reading(chosen.name);
    const wanted = rows;
    const answer = await engine.recognise(chosen, wanted, (at) => {
      if (file === chosen) reportProgress(at);
    });
    if (file !== chosen || rows !== wanted) return;
    progress.hidden = true;
    if (typeof answer === "string" || "code" in answer) {
      what.textContent = "";
      complain(typeof answer === "string" ? STATUS.crashed(answer) : errorSentence(answer));
      return;
    }
    show(answer);
    if (start && answer.refusal === null) run();
  }

  /** What was read. @param {RecognisedFile} found */
  function show({ file: read, sentence, refusal, runs, requests, figures, left_out }) {
    what.textContent = `${sentence}.`;
    details.textContent = WORDS.details(read.bytes, read.sha256);
    plan.textContent = [WORDS.plan(figures, runs, requests), WORDS.leftOut(left_out)].join(" ").trim();
    runButton.hidden = refusal !== null;
    if (refusal === null) return;
    /** The reader's own choice. */
    const onclick = () => {
      anyway = true;
      run();
    };
    complain(`${refusal}.`, el("button", { type: "button", id: "reproduce-anyway", onclick }, WORDS.anyway));
  }

  function run() {
    if (file === null) return;
    running = true;
    results.replaceChildren();
    status.textContent = STATUS.started;
    bar.value = 0;
    barText.textContent = "";
    progress.hidden = false;
    cancelButton.hidden = false;
    // The button that was pressed goes, and the next one takes its place for the keyboard.
    const focused = document.activeElement === runButton || alerts.contains(document.activeElement);
    alerts.replaceChildren();
    runButton.hidden = true;
    if (focused) cancelButton.focus();
    const started = file;
    engine.reproduce(
      { file, rows, anyway },
      {
        progress: reportProgress,
        cancelled: () => settle(STATUS.cancelled),
        error(error) {
          settle("");
          complain(error.code === "crashed" ? STATUS.crashed(error.message) : errorSentence(error));
        },
        crashed(message) {
          settle("");
          complain(STATUS.crashed(message));
        },
        reproduced(result) {
          settle(WORDS.done(result));
          if (file === started) results.replaceChildren(...tables(result));
        },
      },
    );

    /** The run is over, well or not. @param {string} said */
    function settle(said) {
      running = false;
      // Another file is at hand: its own words stand there.
      if (file !== started) return;
      const wasFocused = document.activeElement === cancelButton;
      status.textContent = said;
      progress.hidden = true;
      cancelButton.hidden = true;
      runButton.hidden = false;
      if (wasFocused) runButton.focus();
    }
  }

  void take(null, false);
  return {
    element,
    /** Shows the reader's file; compares it only when asked. @param {TraceFile | null} chosen */
    show(chosen) {
      if (chosen?.id !== file?.id) void take(chosen, false);
    },
    /** The reader chose a file while this was shown. @param {TraceFile | null} chosen */
    choose(chosen) {
      void take(chosen, true);
    },
  };
}

/** @param {ReproduceResult} result @returns {HTMLElement[]} */
function tables({ reproduced, csv }) {
  const { compared, differ, rows, caveat, left_out, studies } = reproduced;
  return [
    el("h2", {}, VIEW.results),
    ...(caveat === null ? [] : [el("p", { class: "notice" }, WORDS.caveat(caveat))]),
    el("p", { class: "verdict-all", id: "reproduce-summary" }, WORDS.summary(compared, differ, left_out)),
    ...(rows === null ? [] : [el("p", { class: "verdict-all", id: "reproduce-rows-summary" }, WORDS.rows(rows.compared, rows.agree))]),
    el("p", { class: "help" }, WORDS.rule),
    ...(left_out.length === 0
      ? []
      : [
          el(
            "details",
            {},
            el("summary", {}, WORDS.leftOutTitle),
            el("ul", {}, ...left_out.map((left) => el("li", {}, WORDS.needs(left)))),
          ),
        ]),
    el("p", { class: "zip" }, el("button", { type: "button", onclick: () => save(CSV_NAME, csv) }, WORDS.download)),
    ...studies.map(study),
  ];
}

/** @param {ReproducedStudy} found */
function study({ study, compared, differ, errata, figures }) {
  const title = WORDS.study(study, compared, differ);
  const columns = WORDS.columns.map((name, i) => el("th", { scope: "col", ...(NUMBERS.includes(i) ? { class: "number" } : {}) }, name));
  return el(
    "div",
    { class: "part", "data-study": study },
    el("h3", {}, title),
    ...errataOf(errata),
    ...(figures.length === 0 ? [] : [sheet(title, columns, figures)]),
  );
}

/** The comparisons of a study. @param {string} title @param {HTMLElement[]} columns @param {ReproducedFigure[]} figures */
function sheet(title, columns, figures) {
  return el(
    "div",
    { class: "sheet", tabindex: 0, role: "region", "aria-label": title },
    el("table", { class: "verdicts" }, el("thead", {}, el("tr", {}, ...columns)), ...runs(figures)),
  );
}

/** Which columns are numbers. */
const NUMBERS = [1, 2, 3];

/** Neighbours of one run and one verdict under the run's name. @param {ReproducedFigure[]} figures */
function runs(figures) {
  /** @type {HTMLElement[]} */
  const bodies = [];
  let last = "";
  for (const figure of figures) {
    const key = `${figure.agrees} ${figure.run}`;
    if (key !== last) {
      const name = el("th", { scope: "rowgroup", colspan: WORDS.columns.length }, figure.run);
      bodies.push(el("tbody", figure.agrees ? {} : { class: "differs" }, el("tr", {}, name)));
    }
    last = key;
    bodies.at(-1)?.append(row(figure));
  }
  return bodies;
}

/** @param {ReproducedFigure} figure */
function row({ figure, published, simulated, difference, agrees, verdict, source, errata }) {
  // The word of the verdict may be out of sight on a narrow screen; the sign is not.
  const mark = agrees ? [] : [el("span", { class: "mark", "aria-hidden": "true" }, WORDS.mark)];
  return el(
    "tr",
    {},
    el("td", { class: "figure-name" }, ...mark, figure),
    el("td", { class: "number", title: source }, published),
    el("td", { class: "number" }, simulated),
    el("td", { class: "number" }, difference),
    el("td", { class: "verdict" }, verdict),
    el("td", { class: "items" }, ...errata.map(erratumLink)),
  );
}

/** @param {FileErratum} erratum */
function erratumLink(erratum) {
  const words = VIEW.erratum(erratum);
  return el("a", { href: documentPage(erratum.link), title: words, "aria-label": WORDS.erratum(words) }, String(erratum.number));
}
