// Simulated users against the real decoder: what each gets, measured, with the prediction of the
// fitted model beside it.
//
//   users, prompt, output  ->  Serve  ->  worker  ->  progress  ->  charts, table, report

import { el, save } from "../dom.js";
import { count, duration, number, percent } from "../format.js";
import { toNumber } from "../state.js";
import { chart, sheet } from "./chart.js";
import { FIGURE, PROBLEM, SERVE, STATUS } from "./words.js";

/** @import { Described, ServedComparison, ServedLevels } from "../types.js" */
/** @import { Gpu } from "./engine.js" */
/** @import { Picture } from "./chart.js" */

/** What is asked for at first: a few minutes of tokens on a slow GPU, seconds on a fast one. */
const FIRST = { users: "1, 2, 4, 8, 16, 32", requests: "2", prompt: "64", output: "32" };
/** Most levels, and the most users of one. */
const MOST = { levels: 12, users: 64 };

/**
 * @param {Gpu} engine
 * @param {{busy: (busy: boolean) => void}} on `busy`: the GPU is taken, or free again
 */
export function serving(engine, on) {
  /** @type {Described | null} */
  let described = null;

  const users = el("input", { id: "serve-users", type: "text", value: FIRST.users, autocomplete: "off", "aria-describedby": "serve-users-help serve-problem" });
  const [requests, prompt, output] = /** @type {const} */ (["requests", "prompt", "output"]).map((key) =>
    el("input", { id: `serve-${key}`, type: "text", inputmode: "numeric", value: FIRST[key], autocomplete: "off", "aria-describedby": "serve-problem" }),
  );
  const problem = el("p", { class: "problem", id: "serve-problem", role: "alert" });
  const runButton = el("button", { type: "button", id: "serve-run", onclick: () => void run(true) }, SERVE.run);
  const predictButton = el("button", { type: "button", id: "serve-predict", onclick: () => void run(false) }, SERVE.predict);
  const cancelButton = el("button", { type: "button", id: "serve-cancel", hidden: true, onclick: () => engine.cancel() }, SERVE.cancel);
  const status = el("p", { class: "help", id: "serve-status", role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": SERVE.bar });
  const barText = el("span", {});
  const progress = el("p", { class: "status", id: "serve-progress", hidden: true }, bar, barText);
  const log2 = /** @type {const} */ ({ scale: "log2", tick: count });
  const rate = chart(FIGURE.serveRate, log2, (value) => number(value));
  const between = chart(FIGURE.serveTbt, log2, (value) => number(value));
  const results = el("div", { id: "serve-results" });
  /** @type {(label: string, input: HTMLInputElement, unit?: string) => HTMLElement} */
  const field = (label, input, unit = "") =>
    el("div", { class: "control" }, el("label", { for: input.id }, label), el("span", { class: "box" }, input, ...(unit === "" ? [] : [el("span", { class: "unit" }, unit)])));
  users.classList.add("list");
  const element = el(
    "section",
    { class: "part serve", "aria-label": SERVE.title },
    el("h3", {}, SERVE.title),
    el("p", { class: "help" }, SERVE.help),
    el(
      "div",
      { class: "serve-fields" },
      field(SERVE.users, users),
      field(SERVE.requests, /** @type {HTMLInputElement} */ (requests)),
      field(SERVE.prompt, /** @type {HTMLInputElement} */ (prompt), SERVE.tokens),
      field(SERVE.output, /** @type {HTMLInputElement} */ (output), SERVE.tokens),
    ),
    el("p", { class: "help", id: "serve-users-help" }, SERVE.usersHelp),
    problem,
    el("p", { class: "calibrate-actions" }, runButton, " ", predictButton, " ", cancelButton),
    status,
    progress,
    results,
  );

  /** What the fields say; null, with a sentence, where they say nothing that can be served. */
  function asked() {
    const levels = users.value.split(/[\s,;]+/).filter((text) => text !== "").map(toNumber);
    const numbers = [requests, prompt, output].map((input) => toNumber(input?.value ?? ""));
    const [each, promptTokens, outputTokens] = numbers;
    const whole = (/** @type {number | undefined} */ value, /** @type {number} */ most) => value !== undefined && Number.isInteger(value) && value >= 1 && value <= most;
    const distinct = new Set(levels);
    if (levels.length === 0 || levels.length > MOST.levels || distinct.size !== levels.length || !levels.every((n) => whole(n, MOST.users))) {
      problem.textContent = SERVE.badUsers(MOST.levels, MOST.users);
      return null;
    }
    if (each === undefined || promptTokens === undefined || outputTokens === undefined || !numbers.every((n) => whole(n, 8192))) {
      problem.textContent = SERVE.badNumbers;
      return null;
    }
    problem.textContent = "";
    return {
      users: levels.flatMap((n) => (n === undefined ? [] : [n])).sort((a, b) => a - b),
      scenario: scenario(Math.max(...levels.map((n) => n ?? 0)), each, promptTokens, outputTokens),
    };
  }

  /** @param {boolean} measure */
  async function run(measure) {
    const wanted = asked();
    if (wanted === null || described === null) return;
    const { calibration } = described;
    status.textContent = measure ? STATUS.started : "";
    bar.value = 0;
    barText.textContent = SERVE.building;
    show(true, measure);
    const ended = await engine.run(
      "served",
      (runId) => ({ type: "serve", runId, calibration, ...wanted, measure }),
      {
        serving(now) {
          bar.value = (now.level + now.answered / Math.max(1, now.requests)) / now.levels;
          barText.textContent = SERVE.at(now.users, now.answered, now.requests, now.tokens);
        },
      },
    );
    show(false, measure);
    if (ended.type === "served") {
      status.textContent = measure ? SERVE.done : SERVE.predicted;
      draw(ended.result);
    } else if (ended.type === "cancelled") status.textContent = ended.forced ? STATUS.forced : STATUS.cancelled;
    else {
      status.textContent = "";
      problem.textContent = PROBLEM.error(ended.error);
    }
  }

  /** @type {(running: boolean, measure: boolean) => void} */
  function show(running, measure) {
    const focused = [runButton, predictButton, cancelButton].some((button) => button === document.activeElement);
    on.busy(running);
    runButton.disabled = running;
    predictButton.disabled = running;
    cancelButton.hidden = !running;
    progress.hidden = !running;
    if (focused) (running ? cancelButton : measure ? runButton : predictButton).focus();
  }

  /** @param {ServedLevels} served */
  function draw({ levels, report, files, most }) {
    const error = described?.error ?? 0;
    rate.update(picture(levels, ({ level }) => level.tok_s, error, SERVE.rateSentence(levels, most), number));
    between.update(picture(levels, ({ tbt_ms: times }) => times.p50, error, SERVE.errorSentence(levels), number));
    results.replaceChildren(
      rate.element,
      between.element,
      el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": SERVE.table, id: "served" }, sheet(SERVE.table, SERVE.head, rows(levels))),
      el("details", {}, el("summary", {}, SERVE.report), el("pre", { tabindex: 0, role: "region", "aria-label": SERVE.report }, report)),
      el(
        "p",
        { class: "downloads" },
        ...files.flatMap(({ name, text }) => [el("button", { type: "button", class: "quiet", onclick: () => save(name, text) }, name), " "]),
      ),
    );
  }

  return {
    element,
    /** Which calibration predicts, and whether its GPU is the one that is open. @type {(next: Described, isHere: boolean) => void} */
    show(next, isHere) {
      if (described !== next) {
        results.replaceChildren();
        status.textContent = "";
      }
      described = next;
      runButton.hidden = !isHere;
    },
  };
}

/**
 * One GPU that serves users with equal requests, as many at once as the decoder has places for, in a cache for all of them.
 * @type {(users: number, each: number, prompt: number, output: number) => object}
 */
const scenario = (users, each, prompt, output) => ({
  trace: {
    synthetic: {
      requests: users * each,
      shape: { custom: { arrivals: { poisson: { rate: 1 } }, prompt: { fixed: { tokens: prompt } }, output: { fixed: { tokens: output } } } },
    },
  },
  workload: { closed_loop: { users, requests_per_user: each } },
  fleet: { gpus: 1 },
  engine: { continuous: { max_sequences: MOST.users, max_batched_tokens: 128, kv: { capacity: "unlimited" } } },
});

/** @param {ServedLevels["levels"]} levels @returns {string[][]} */
const rows = (levels) =>
  levels.map(({ comparison: { predicted, measured }, mbu, mfu }) => {
    const both = (/** @type {(one: ServedComparison["predicted"]) => number | null} */ of, /** @type {(value: number) => string} */ say) =>
      `${measured === null ? "–" : say(of(measured) ?? NaN)} / ${say(of(predicted) ?? NaN)}`;
    const ms = (/** @type {number} */ value) => duration(value / 1e3);
    return [
      count(predicted.level.users),
      both(({ level }) => level.ttft_ms.p50, ms),
      both(({ tbt_ms: times }) => times.p50, ms),
      both(({ tbt_ms: times }) => times.p95, ms),
      both(({ level }) => level.tok_s, number),
      mbu === null ? "–" : percent(mbu),
      mfu === null ? "–" : percent(mfu),
    ];
  });

/**
 * A quantity of each level against users: measured points, the prediction as a line with bars of its error, in proportion.
 * @type {(levels: ServedLevels["levels"], of: (one: ServedComparison["predicted"]) => number | null, error: number, sentence: string, say: (value: number) => string) => Picture}
 */
function picture(levels, of, error, sentence, say) {
  const at = levels.map(({ comparison: { predicted, measured } }) => ({
    users: predicted.level.users,
    predicted: of(predicted) ?? NaN,
    measured: measured === null ? NaN : (of(measured) ?? NaN),
  }));
  const known = (/** @type {"predicted" | "measured"} */ key) => at.filter((one) => Number.isFinite(one[key])).map((one) => ({ x: one.users, y: one[key] }));
  return {
    series: [
      { name: FIGURE.predicted, kind: "predicted", as: "line", at: known("predicted"), label: FIGURE.predicted },
      { name: FIGURE.interval, kind: "predicted", as: "points", at: known("predicted").map(({ x, y }) => ({ x, y, spread: error * y })) },
      { name: FIGURE.measured, kind: "measured", as: "points", at: known("measured") },
    ],
    stops: at.map(({ users }) => users),
    sentence,
    legend: SERVE.legend(error),
    read: (i) => ({
      where: SERVE.usersAt(at[i]?.users ?? 0),
      values: /** @type {const} */ (["measured", "predicted"])
        .filter((kind) => Number.isFinite(at[i]?.[kind]))
        .map((kind) => ({ kind, text: `${FIGURE[kind]} ${say(at[i]?.[kind] ?? NaN)}` })),
    }),
    numbers: {
      head: [SERVE.users, FIGURE.measured, FIGURE.predicted],
      rows: at.map(({ users, measured, predicted }) => [count(users), say(measured), say(predicted)]),
    },
  };
}
