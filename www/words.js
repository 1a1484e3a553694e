// Words that the program puts on the page; each view has its own beside it, in its words.js. The document's
// own prose (headline, lead, notes) is in index.html, where it can be read without JavaScript.
//
// House rules: the field's terms as docs/MODEL.md defines them; sentence case; a unit with every
// number; no colon after a label; an error says what is wrong and what is allowed.

import { count, duration, number, percent, withUnit } from "./format.js";
import { OUT_OF_MEMORY } from "./replies.js";

/** @import { Attainment, ErrorReport, Honest, Policy, RunResult, TraceInfo } from "./types.js" */

/** @type {Record<Policy, {name: string, short: string, what: string}>} */
export const POLICY = {
  "static-fifo": {
    name: "static FIFO",
    short: "static",
    what: "One queue. A free GPU takes up to a fixed number of requests and never waits for more.",
  },
  dynamic: {
    name: "dynamic",
    short: "dynamic",
    what: "One queue. Batch size follows the KV memory and a controller that steers to the token SLA.",
  },
  "multi-bin": {
    name: "multi-bin",
    short: "bins",
    what: "Bins by predicted length. A bin waits until it can fill a whole batch.",
  },
  "multi-bin-dynamic": {
    name: "multi-bin dynamic",
    short: "bins + dyn",
    what: "Bins by predicted length, each with its own dynamic batch size; never waits.",
  },
};

/**
 * Label and one sentence of each control; units are in state.js.
 * @type {Record<string, {label: string, help: string}>}
 */
export const CONTROL = {
  gpus: { label: "GPUs", help: "Equal GPUs, each serving one batch at a time." },
  timeScale: {
    label: "Speed-up of arrivals",
    help: "Recorded arrival times are divided by this; the lengths stay.",
  },
  requests: { label: "Requests", help: "How many requests the generator makes." },
  shape: { label: "Made like", help: "The first week of the BurstGPT trace, nearly all conversations, or all its days with their bursts of API calls, which come five times as fast." },
  bins: { label: "Bins, K", help: "Requests of similar predicted length share a bin and a batch." },
  maxBatch: { label: "Batch cap", help: "No batch of the two dynamic schedulers is larger." },
  staticBatch: { label: "Static batch", help: "What static FIFO takes at most." },
  fullBatch: { label: "Full batch", help: "What plain multi-bin waits for." },
  tokenSla: {
    label: "Token SLA",
    help: "Promised time per output token; the dynamic schedulers also steer to it.",
  },
  requestSla: { label: "Request SLA", help: "Promised time from arrival to the last token." },
  predictor: {
    label: "Length predictor",
    help: "What the bins know of an answer's length before it is written.",
  },
  sigma: {
    label: "Prediction error",
    help: "Standard deviation of the logarithm: 0.1 is about 10 % off.",
  },
  binError: {
    label: "Bin mistakes",
    help: "Chance to land one bin too low, and the same again one too high (noisy predictor).",
  },
  failed: {
    label: "Failed rows",
    help: "Rows without output never reached the model; the published studies served them.",
  },
  latency: {
    label: "Latency model",
    help: "The three published parameter sets; none of them was measured on a GPU.",
  },
  seed: { label: "Seed", help: "Same seed, same trace, same settings: same bytes." },
};

/** @type {Record<string, Record<string, string>>} */
export const CHOICE = {
  predictor: {
    oracle: "perfect",
    noisy: "noisy",
    "prompt-only": "from the prompt",
    published: "as published",
  },
  shape: { "burstgpt-week1": "BurstGPT's first week", "burstgpt-like": "all of BurstGPT" },
  failed: { drop: "leave out", keep: "serve, as published" },
  latency: {
    "stress-v2": "stress test v2",
    "two-step": "two-step study",
    "three-step": "three-step study",
  },
  situation: {
    "chat-peak": "chat at peak hour",
    "batch-burst": "batch API burst",
    "one-gpu": "one GPU, many users",
  },
};

/** @type {Record<string, string>} */
export const GROUP = {
  fleet: "Fleet and load",
  promises: "Promises",
  batches: "Batches and bins",
  prediction: "Prediction",
  model: "Model and data",
};

export const UI = {
  settings: "Settings",
  unit: {
    gpus: "GPUs",
    times: "×",
    requests: "requests",
    bins: "bins",
    ms: "ms",
    s: "s",
    none: "",
  },
  slider: /** @param {string} label */ (label) => `${label}, slider`,
  custom: "custom",
  newSeed: "New seed",
  reset: "Reset",
  copyLink: "Copy link",
  linkCopied: "Link copied.",
  linkNotCopied: "The browser did not allow copying; the link is in the address bar.",
  presetNone: "what is set below",
  situations: "A situation",
  publishedSettings: "As published, for reproducing",
  presetHelp: "A published setting leaves trace, fleet and K as they are, and has the study’s flaws.",
  search: "Find a setting",
  nothingFound: "No setting has this in its name or sentence.",
  presetNeedsTrace: /** @param {string} name */ (name) =>
    `The study “${name}” replayed BurstGPT_1.csv; until you choose that file, its settings run on the trace at hand.`,
  chooseTrace: "Choose a trace file",
  dropHere: "or drop one anywhere; it stays on your machine",
  dropNow: "Drop to replay this trace here",
  useGenerated: "Back to the generated trace",
  formats: "BurstGPT, Azure LLM, Mooncake, Qwen-Bailian, or CSV and JSON lines with named columns; gzip too",
  downloadSummaryCsv: "Summary, CSV",
  downloadSummaryJson: "Summary, JSON",
  downloadRequests: /** @param {Policy} policy */ (policy) =>
    `Requests of ${POLICY[policy].name}, CSV`,
  downloads: "Download",
  dismiss: "Dismiss",
  showNumbers: "Show the numbers",
  numbers: "Numbers of the figure",
  chartKeys: "Arrow keys move the cursor, Home and End jump, Escape hides it.",
  reading: /** @param {number} done */ (done) => `reading the trace, ${percentWhole(done)}`,
  simulating: /** @param {number} done */ (done) => `simulating, ${percentWhole(done)}`,
  arrivalRate: /** @param {number} rate */ (rate) => `= ${withUnit(rate, "requests/s")}`,
  allowed: /** @type {(min: number, max: number, unit: string) => string} */ (min, max, unit) =>
    `Allowed is ${count(min)} to ${count(max)}${unit ? ` ${unit}` : ""}.`,
  allowedFine: /** @type {(min: number, max: number, unit: string) => string} */ (min, max, unit) =>
    `Allowed is ${min} to ${max}${unit ? ` ${unit}` : ""}.`,
  /** Before the new value, where there is little room. @param {string} value */
  was: (value) => `${value.replace(/\u202f%$/, "")} →`,
  changedFrom: "changed from",
  atLeastOneScheduler: "At least one scheduler stays on.",
  version: /** @type {(version: string, commit: string | null) => string} */ (version, commit) =>
    commit === null ? `Version ${version}` : `Version ${version}, commit ${commit}`,
};

/** @param {number} done */
function percentWhole(done) {
  return `${Math.floor(done * 100)} %`;
}

export const NOTICE = {
  badHash: /** @type {(key: string, value: string) => string} */ (key, value) =>
    `The link asks for ${key} = ${value}, which is not allowed; the default is used instead.`,
  unknownKey: /** @param {string} key */ (key) =>
    `The link names a setting “${key}” that this version does not know; it is ignored.`,
  ofDataSheet: /** @param {string} key */ (key) =>
    `The link sets ${key}, which the data sheet of the GPU decides; it is ignored.`,
  backToDefault: "The default is used instead.",
  allBackToDefault: "All settings are back at their defaults.",
  otherVersion: /** @param {string} version */ (version) =>
    `The link was made for version ${version} of the settings; the defaults are used instead.`,
  fileMissing: /** @param {string} name */ (name) =>
    `The link was made with the trace file “${name}”. Files stay on their reader's machine: choose it again to see the same picture. Until then the generated trace is shown.`,
  crashed: /** @param {string} message */ (message) =>
    message === OUT_OF_MEMORY
      ? "The run needs more memory than a browser gives. Ask for fewer requests, or do it with the command line; the picture shown is the last finished one."
      : `The simulator stopped unexpectedly (${message}). It was started afresh; the picture shown is the last finished one.`,
  noWorker:
    "This browser cannot run the simulator (module workers and WebAssembly are needed). Any current Firefox, Chrome, Edge or Safari can.",
  notLoaded: /** @param {string} why */ (why) => `This view could not be loaded (${why}). Reload the page to try again.`,
  superseded: "A newer run has taken the place of the one that this was asked of. Ask again.",
  tooManyFiles: "One trace at a time: the first of the dropped files is read.",
  notAFile: "What was dropped is not a file.",
};

/**
 * An error as a sentence. The core's sentences already say file, row, column and what is allowed.
 * @param {ErrorReport} error
 */
export function errorSentence(error) {
  return error.message.endsWith(".") ? error.message : `${error.message}.`;
}

/**
 * What was read or generated, and what was mended.
 * @param {TraceInfo} trace
 */
export function traceSentence(trace) {
  const { report } = trace;
  const parts = [];
  if (report.format === "synthetic") {
    parts.push(`${count(trace.requests)} generated requests`);
  } else {
    parts.push(`${trace.name}: ${count(report.rows)} rows (${report.format})`);
    if (report.rows_sorted > 0) parts.push(`${count(report.rows_sorted)} put into time order`);
    if (report.rows_blank > 0) parts.push(`${count(report.rows_blank)} blank ones skipped`);
  }
  parts.push(
    report.rows_failed === 0 ? "none failed" : `${count(report.rows_failed)} without output (failed)`,
  );
  return `${parts.join(", ")}.`;
}

/**
 * The page's one-sentence answer, written from the numbers.
 * @param {RunResult[]} results
 */
export function finding(results) {
  const ranked = [...results].sort((a, b) => joint(b) - joint(a));
  const best = ranked[0];
  const worst = ranked.at(-1);
  if (best === undefined || worst === undefined) return "";
  const { scenario, workload } = best.summary;
  const gpus = scenario.fleet.gpus === 1 ? "one GPU" : `${count(scenario.fleet.gpus)} GPUs`;
  const rate = workload.offered_requests_per_s;
  const load = rate === null ? "" : ` at ${withUnit(rate, "requests/s")}`;
  const where = `On ${gpus}${load}, `;
  const spread = joint(best) - joint(worst);
  let text;
  if (ranked.length === 1) {
    text = `${where}${POLICY[best.policy].name} keeps both promises for ${percent(joint(best))} of requests.`;
  } else if (spread < 0.02) {
    text = `${where}the schedulers hardly differ: each keeps both promises for ${range(joint(worst), joint(best))} of requests.`;
  } else {
    text = `${where}${POLICY[best.policy].name} keeps both promises for ${percent(joint(best))} of requests, ${POLICY[worst.policy].name} for ${percent(joint(worst))}.`;
  }
  const backlog = Math.min(...results.map((r) => r.summary.honest.backlog_at_last_arrival));
  // Users of a closed loop send no more than they have answers for.
  if (scenario.workload.closed_loop === null && backlog > 0.1 * best.summary.honest.requests) {
    text += ` The fleet is overloaded: when the last request arrived, at least ${count(backlog)} were still waiting, so latencies mostly measure how long the trace is.`;
  }
  return text;
}

/**
 * Share of requests that kept a promise; NaN where no request produced output.
 * @type {(result: RunResult, promise: keyof Attainment) => number}
 */
export const kept = (result, promise) => result.summary.honest.sla[promise] ?? NaN;

/** @param {RunResult} result */
const joint = (result) => kept(result, "joint");

/** @type {(low: number, high: number) => string} */
const range = (low, high) =>
  percent(low) === percent(high) ? percent(low) : `${percent(low)} to ${percent(high)}`;

/** The figures: title, axes and the sentence under each. */
export const FIGURE = {
  attainment: {
    title: "Promises kept",
    token: /** @param {number} ms */ (ms) => `Token SLA, ≤ ${withUnit(ms, "ms")} per token`,
    request: /** @param {number} s */ (s) => `Request SLA, ≤ ${duration(s)} in all`,
    joint: "Both",
    column: "Share of requests",
    scheduler: "Scheduler",
    sentence: /** @param {RunResult[]} results */ (results) => {
      const [best, worst] = extremes(results, (r) => kept(r, "request"));
      if (best === undefined || worst === undefined) return "";
      const token = results.map((r) => kept(r, "token"));
      const tokenPart = `The token SLA holds for ${range(Math.min(...token), Math.max(...token))} of requests, each judged by its own time per output token.`;
      if (best === worst || Math.abs(kept(worst, "request") - kept(best, "request")) < 0.005) {
        return `${tokenPart} The request SLA holds for ${percent(kept(best, "request"))}.`;
      }
      return `${tokenPart} The request SLA holds for ${percent(kept(worst, "request"))} with ${POLICY[worst.policy].name}, ${percent(kept(best, "request"))} with ${POLICY[best.policy].name}.`;
    },
  },
  cdf: {
    title: "Latency of requests",
    label: "Latency distribution of each scheduler",
    x: "latency, arrival to last token (log scale)",
    y: "share of requests served within",
    sla: /** @param {number} s */ (s) => `SLA ${duration(s)}`,
    at: /** @param {number} s */ (s) => `Within ${duration(s)}`,
    table: "Latency at percentiles",
    rows: "percentile",
    sentence: /** @param {RunResult[]} results */ (results) => {
      const [low, high] = extremes(results, (r) => r.summary.honest.e2e_s?.p99 ?? NaN);
      if (low === undefined || high === undefined) return "";
      const p99 = /** @param {RunResult} r */ (r) => duration(r.summary.honest.e2e_s?.p99 ?? NaN);
      if (low === high) return `One request in a hundred takes longer than ${p99(low)}.`;
      return `One request in a hundred takes longer than ${p99(low)} with ${POLICY[low.policy].name}, than ${p99(high)} with ${POLICY[high.policy].name}.`;
    },
  },
  queue: {
    title: "Queue over time",
    label: "Waiting requests over simulated time",
    x: "simulated time",
    y: "requests waiting, mean",
    at: /** @param {number} s */ (s) => `At ${duration(s)}`,
    table: "Waiting requests",
    rows: "time",
    unit: "waiting",
    sentence: /** @type {(results: RunResult[], peaks: Map<Policy, number>) => string} */ (results, peaks) => {
      const [low, high] = extremes(results, (r) => peaks.get(r.policy) ?? NaN);
      if (low === undefined || high === undefined) return "";
      const peak = /** @param {RunResult} r */ (r) => count(peaks.get(r.policy) ?? 0);
      if (low === high) return `At most ${peak(low)} requests wait at once.`;
      return `At most ${peak(low)} requests wait at once with ${POLICY[low.policy].name}, ${peak(high)} with ${POLICY[high.policy].name}.`;
    },
  },
  batch: {
    title: "Batch size over time",
    label: "Mean batch size over simulated time",
    x: "simulated time",
    y: "requests in a batch, mean",
    at: /** @param {number} s */ (s) => `At ${duration(s)}`,
    table: "Mean batch size",
    rows: "time",
    unit: "per batch",
    sentence: /** @param {RunResult[]} results */ (results) => {
      const [low, high] = extremes(results, (r) => r.summary.published?.avg_batch ?? NaN);
      if (low === undefined || high === undefined) return "";
      const mean = /** @param {RunResult} r */ (r) => number(r.summary.published?.avg_batch ?? NaN);
      const waste = extremes(results, (r) => r.summary.honest.padding_waste ?? NaN);
      const least = waste[0];
      const tail =
        least === undefined
          ? ""
          : ` ${POLICY[least.policy].name} pads least: ${percent(least.summary.honest.padding_waste ?? NaN)} of token positions.`;
      if (low === high) return `A batch holds ${mean(low)} requests on average.`;
      return `A batch holds ${mean(low)} requests on average with ${POLICY[low.policy].name}, ${mean(high)} with ${POLICY[high.policy].name}.${tail}`;
    },
  },
  gpus: {
    title: "Utilisation of each GPU",
    label: "Busy share of each GPU",
    x: "GPU 1 on the left; the full height of a row is 100 % of the time",
    at: /** @param {number} gpu */ (gpu) => `GPU ${gpu}`,
    table: "Busy share of each GPU",
    rows: "GPU",
    mean: /** @param {number} share */ (share) => `mean ${percent(share)}`,
    sentence: /** @param {RunResult[]} results */ (results) => {
      const [low, high] = extremes(results, (r) => r.summary.honest.utilization.mean);
      if (low === undefined || high === undefined) return "";
      const busy = /** @param {RunResult} r */ (r) => percent(r.summary.honest.utilization.mean);
      const uneven = extremes(results, spreadOfGpus)[1];
      const tail =
        uneven !== undefined && spreadOfGpus(uneven) > 0.1
          ? ` The lowest-numbered idle GPU takes the next batch, so later ones rest: ${percent(uneven.summary.honest.utilization.min)} to ${percent(uneven.summary.honest.utilization.max)} with ${POLICY[uneven.policy].name}.`
          : "";
      if (low === high || busy(low) === busy(high)) return `The GPUs are busy ${busy(low)} of the time.${tail}`;
      return `The GPUs are busy ${busy(low)} of the time with ${POLICY[low.policy].name}, ${busy(high)} with ${POLICY[high.policy].name}.${tail}`;
    },
  },
};

/** @param {RunResult} result */
function spreadOfGpus(result) {
  const { min, max } = result.summary.honest.utilization;
  return max - min;
}

/**
 * The results with the smallest and the largest value.
 * @param {RunResult[]} results
 * @param {(result: RunResult) => number} value
 * @returns {[RunResult | undefined, RunResult | undefined]}
 */
function extremes(results, value) {
  const ranked = results
    .filter((r) => Number.isFinite(value(r)))
    .sort((a, b) => value(a) - value(b));
  return [ranked[0], ranked.at(-1)];
}

/**
 * The rows of the two tables: label, unit, value. Percentages are shares of 1.
 * @typedef {object} Row
 * @property {string} label
 * @property {string} unit
 * @property {(result: RunResult) => number | null} value
 */

/** @type {(pick: (honest: Honest) => number | null | undefined) => Row["value"]} */
const honest = (pick) => (result) => pick(result.summary.honest) ?? null;

/** @type {(pick: (published: import("./types.js").Published) => number) => Row["value"]} */
const published = (pick) => (result) => (result.summary.published === null ? null : pick(result.summary.published));

export const TABLE = {
  metric: "Metric",
  honest: {
    title: "As the field defines it",
    note: "Failed rows are in none of these; each request counts with its own output; time to first token and time per token are kept apart.",
    /** @type {Row[]} */
    rows: [
      { label: "E2E latency, P50", unit: "s", value: honest((h) => h.e2e_s?.p50) },
      { label: "E2E latency, P95", unit: "s", value: honest((h) => h.e2e_s?.p95) },
      { label: "E2E latency, P99", unit: "s", value: honest((h) => h.e2e_s?.p99) },
      { label: "Queueing, P95", unit: "s", value: honest((h) => h.queueing_s?.p95) },
      { label: "TTFT, P95", unit: "s", value: honest((h) => h.ttft_s?.p95) },
      { label: "TPOT, P50", unit: "ms", value: honest((h) => h.tpot_ms?.p50) },
      { label: "TPOT, P95", unit: "ms", value: honest((h) => h.tpot_ms?.p95) },
      { label: "Goodput", unit: "req/s", value: honest((h) => h.goodput_requests_per_s) },
      { label: "Output", unit: "tok/s", value: honest((h) => h.output_tokens_per_s) },
      { label: "Padding waste", unit: "%", value: honest((h) => h.padding_waste) },
      { label: "Utilisation", unit: "%", value: honest((h) => h.utilization.mean) },
      { label: "Right bin", unit: "%", value: honest((h) => h.prediction?.bin_accuracy) },
      { label: "Waiting at last arrival", unit: "req", value: honest((h) => h.backlog_at_last_arrival) },
    ],
  },
  published: {
    title: "As published",
    note: "The same runs, counted as the published studies counted them, flaws included.",
    /** @type {Row[]} */
    rows: [
      { label: "Token violations", unit: "req", value: published((p) => p.token_violations) },
      { label: "Request violations", unit: "req", value: published((p) => p.request_violations) },
      { label: "Mean TBT", unit: "ms", value: published((p) => p.avg_tbt_ms) },
      { label: "P95 TBT", unit: "ms", value: published((p) => p.p95_tbt_ms) },
      { label: "P99 TBT", unit: "ms", value: published((p) => p.p99_tbt_ms) },
      { label: "Mean latency", unit: "s", value: published((p) => p.avg_latency_s) },
      { label: "P95 latency", unit: "s", value: published((p) => p.p95_latency_s) },
      { label: "Throughput", unit: "tok/s", value: published((p) => p.tokens_per_s) },
      { label: "Capacity under SLA", unit: "req/s", value: published((p) => p.capacity_qps_under_sla) },
      { label: "Utilisation", unit: "%", value: published((p) => p.gpu_utilization_mean) },
      { label: "Batches", unit: "", value: published((p) => p.batches) },
      { label: "Mean batch", unit: "req", value: published((p) => p.avg_batch) },
      { label: "Largest batch", unit: "req", value: published((p) => p.max_batch) },
    ],
  },
};
