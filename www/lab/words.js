// Every word of the laboratory. House rules: ../words.js.

import { count, duration, number, percent, withUnit } from "../format.js";
import { NAME } from "../charts/palette.js";
import { server } from "../scenario.js";
import { POLICY } from "../words.js";
import { HARDWARE_NAME } from "./defaults.js";

/** @import { LabResult, Placement } from "../types.js" */
/** @import { Slot } from "../charts/palette.js" */

export const VIEW = {
  title: "Laboratory: a server as it really runs",
  lead: "Production servers let requests join and leave at every step of the model, keep their keys and values in a paged cache, and cut long prompts into chunks. Here the same requests go through up to four such servers, or through the closed batches of the studies. Change the settings of run A; keep others beside it to compare.",
  settings: "Settings of run A",
  loading: "Loading the simulator.",
  runs: "Runs",
  pin: "Keep as another run",
  pinFull: "Four runs are shown; remove one to keep another.",
  edit: "Make it run A",
  remove: "Remove",
  same: "as run A",
  first: "as the page opens",
  reset: "Reset",
  situation: "Begin from",
  noSituation: "what is set below",
  copyLink: "Copy link",
  more: /** @param {number} n */ (n) => `and ${n} more`,
  trace: "Trace",
  steps: "Step times",
  chooseSteps: "Step times from a file",
  stepsHelp: "A calibration, measured steps as CSV, or what batchscope latency writes; they take the place of the data sheet.",
  stepsOwn: "Set the numbers by hand",
  stepsSheet: "Back to the data sheet",
  stepsFile: /** @param {string} kind */ (kind) => (kind === "table" ? "Measured steps of your file; a link does not hold them." : "Kernel profiles of your file; a link does not hold them."),
  coefficients: /** @type {(c0: number, c1: number, c2: number, c3: number) => string} */ (c0, c1, c2, c3) =>
    `A step takes at least ${duration(c0)}, and ${duration(c1)} for each sequence, ${duration(c2)} for each token of context, ${duration(c3)} for each prompt token.`,
  downloads: "Download",
  scenario: "Scenario of run A, JSON",
  summaries: "All figures, CSV",
  requests: /** @param {Slot} slot */ (slot) => `Requests of run ${NAME[slot].name}, CSV`,
  chromeTrace: "Steps of run A, for Perfetto",
  chromeTraceWait: "Doing the run once more, step by step.",
  warnings: "Before you trust these figures",
  figures: "Figures",
  thin: /** @param {number[]} errors in proportion */ (errors) => `Thin lines: steps shorter and longer by the calibration’s error, ${[...new Set(errors.map(percent))].join(" and ")}.`,
  tooLongForLink: "The step times of a file are not in the link.",
  reading: /** @param {number} done */ (done) => `reading the trace, ${Math.floor(done * 100)} %`,
  simulating: /** @param {number} done */ (done) => `simulating, ${Math.floor(done * 100)} %`,
};

/** What is doubtful about runs, by the core's code, where many runs say the same with other numbers. @type {Record<string, string>} */
export const DOUBT = {
  unsettled: "More arrives than is served, or the run ends in a burst: latency grows from part to part of the run, or many requests give up. The figures depend on the length of the run, or on who gives up.",
  correlated: "Neighbouring parts of the run are alike: it is short against its own ups and downs, and the true intervals are wider.",
  "warm-up": "The first part of the run is far quicker than all others: set a warm-up.",
};

export const UNIT = {
  gpus: "GPUs",
  requests: "requests",
  users: "users",
  tokens: "tokens",
  blocks: "blocks",
  bins: "bins",
  times: "×",
  s: "s",
  ms: "ms",
  gb: "GB",
  gbPerSecond: "GB/s",
  perSecond: "/s",
  none: "",
};

/** @type {Record<string, string>} */
export const GROUP = {
  load: "Load, of all runs",
  hardware: "Model and GPUs",
  batching: "Steps and order",
  memory: "KV cache",
  speculation: "Speculative decoding",
  fleet: "Routing and admission",
  promises: "Promises of all runs, statistics",
};

/** @type {Record<string, {label: string, help: string}>} */
export const CONTROL = {
  "lab-model": { label: "Model", help: "Its weights and the bytes of a token's keys and values." },
  "lab-hardware": { label: "GPU", help: "By its data sheet: the upper bound of what the hardware allows. Real servers are slower; batchscope run --model --hardware takes what they typically reach." },
  "lab-precision": { label: "Weights", help: "How they are stored. Keys and values are always f16." },
  "lab-memory-share": { label: "Share of memory", help: "Of a GPU that the server may use, as vLLM's gpu_memory_utilization." },
  "lab-gpus": { label: "GPUs", help: "Equal; those that work together make one replica." },
  "lab-tensor-parallel": { label: "GPUs of a replica", help: "Tensor parallel: they share weights, cache and arithmetic. What they say to each other is not modelled." },
  "lab-c0": { label: "Every step", help: "c0: reading the weights." },
  "lab-c1": { label: "Per sequence", help: "c1: each decoding sequence." },
  "lab-c2": { label: "Per token of context", help: "c2: reading its keys and values." },
  "lab-c3": { label: "Per prompt token", help: "c3: its arithmetic." },
  "lab-c4": { label: "Per pair of a prompt", help: "c4: attention, a token to a token before it." },
  "lab-memory": { label: "Memory of a GPU", help: "What the server may use of it." },
  "lab-model-gb": { label: "Weights", help: "Of the whole model; the GPUs of a replica share them." },
  "lab-margin-gb": { label: "Kept free", help: "Of each GPU, beside weights and cache." },
  "lab-kv-gb": { label: "Keys and values of a token", help: "What a token of context takes of the cache." },
  "lab-shape": { label: "Requests", help: "Made up: like the first week of the BurstGPT trace, like all of it with its bursts, or Poisson arrivals of prompts of 692 and outputs of 240 tokens on average." },
  "lab-requests": { label: "How many", help: "Requests that the generator makes." },
  "lab-time-scale": { label: "Speed-up of arrivals", help: "Arrival times are divided by this; the lengths stay." },
  "lab-users": { label: "Who sends them", help: "At the trace's times, or users who wait for an answer before they send the next." },
  "lab-user-count": { label: "Users", help: "Each has one request at a time." },
  "lab-requests-per-user": { label: "Requests of each", help: "One after the other." },
  "lab-think-min": { label: "Shortest pause", help: "After an answer; any pause between the two is as likely." },
  "lab-think-max": { label: "Longest pause", help: "After an answer." },
  "lab-seed": { label: "Seed", help: "Same seed, same trace, same settings: same bytes." },
  "lab-engine": { label: "Batching", help: "Requests join and leave at every step, or a batch starts together and leaves when its longest answer is done." },
  "lab-policy": { label: "Scheduler", help: "How closed batches are formed." },
  "lab-static-batch": { label: "Static batch size", help: "As many as wait, up to this." },
  "lab-full-batch": { label: "Full batch", help: "A bin waits until this many requests are in it." },
  "lab-max-batch": { label: "Batch cap", help: "No batch of the two dynamic schedulers is larger." },
  "lab-rule": { label: "Rule of a step", help: "What a step does with prompts, and who may join." },
  "lab-max-sequences": { label: "Sequences at most", help: "Requests at work on a replica (max_num_seqs)." },
  "lab-max-batched-tokens": { label: "Tokens of a step at most", help: "Decoded and of prompts (max_num_batched_tokens); not below the sequences." },
  "lab-long-prefill": { label: "Tokens of a prompt at most", help: "In one step, so that a long prompt leaves room for others (long_prefill_token_threshold); 0 for no limit." },
  "lab-async": { label: "Asynchronous scheduling", help: "The next step is put together while one runs, as in vLLM since 0.19: a newcomer waits one step more, a finished request keeps its place and blocks one step more." },
  "lab-order": { label: "Who comes first", help: "Of those that wait; preempted requests come before them." },
  "lab-ageing": { label: "Ageing", help: "How fast waiting makes a request more urgent: tokens of predicted output, or levels, per second." },
  "lab-classes": { label: "Classes", help: "Label of the trace's log type, level (lower comes first), deadline in s: chat, -1, 10; batch, 1. Without classes, requests are served in order of arrival." },
  "lab-share-bins": { label: "One bin at a time", help: "Only requests of similar predicted length share a replica." },
  "lab-bins": { label: "Bins, K", help: "By predicted output, with equal shares of the requests." },
  "lab-bin-patience": { label: "Patience of the others", help: "A bin keeps its replica until a request of another bin has waited so long." },
  "lab-predictor": { label: "Length predictor", help: "What is known of an answer's length before it is written." },
  "lab-sigma": { label: "Prediction error", help: "Standard deviation of the logarithm: 0.1 is about 10 % off." },
  "lab-capacity": { label: "Size of the cache", help: "What memory leaves beside the weights, as many blocks as a server says at its start, or no limit." },
  "lab-blocks": { label: "Blocks", help: "Of one replica." },
  "lab-null-block": { label: "One is the null block", help: "The number that vLLM v1 reports (num_gpu_blocks) includes a block that no request gets." },
  "lab-block-tokens": { label: "Tokens of a block", help: "The last block of a request is partly empty." },
  "lab-watermark": { label: "Watermark", help: "Share of the blocks, rounded down, that stays free when a request joins." },
  "lab-whole-prompt": { label: "The whole prompt must fit", help: "A request joins only if all blocks of its prompt are free, as in vLLM since 0.19." },
  "lab-preemption": { label: "Short of blocks", help: "Preemption: the request that joined last gives up its blocks, and its tokens are computed again, or copied out and in." },
  "lab-swap": { label: "Copying", help: "To the host's memory and back, each direction." },
  "lab-reuse": { label: "Prefix cache", help: "Which blocks a prompt can find instead of computing them. Generated requests share nothing; traces with hashes or sessions do." },
  "lab-eviction": { label: "Evicted first", help: "Of blocks that nobody uses." },
  "lab-eviction-s": { label: "Cost of an eviction", help: "Of one block, for the step that needs it." },
  "lab-speculative": { label: "A draft proposes tokens", help: "One step of the model checks them all." },
  "lab-draft": { label: "Proposed at a time", help: "Tokens for each sequence in each step." },
  "lab-acceptance": { label: "Chance of acceptance", help: "Of the first proposed token, the second, ...: numbers from 0 to 1, at most 16; the last holds for all that follow" },
  "lab-draft-s": { label: "Draft, each token", help: "Time for one proposed token of all sequences." },
  "lab-draft-each": { label: "Draft, each sequence", help: "And on top for each sequence." },
  "lab-router": { label: "Router", help: "Which replica an arriving request goes to." },
  "lab-max-waiting": { label: "Waiting at most", help: "A request that finds so many waiting at its replica is rejected." },
  "lab-timeout": { label: "Patience", help: "A request that has not joined within this time is gone." },
  "lab-reject-long": { label: "Reject what never fits", help: "Otherwise a request larger than the cache refuses the whole run." },
  "lab-ttft-sla": { label: "First token within", help: "Promised time from arrival to the first token (TTFT)." },
  "lab-token-sla": { label: "Token SLA", help: "Promised time per output token after the first (TPOT)." },
  "lab-request-sla": { label: "Request SLA", help: "Promised time from arrival to the last token." },
  "lab-warmup": { label: "Warm-up", help: "Requests at the beginning. The figures are of the time after them." },
  "lab-warmup-share": { label: "Share of the requests", help: "Counted in twentieths, rounded up." },
};

/** What a list can hold, where one holds something else. */
export const ALLOWED = {
  classes: "Allowed is for each class a label, a level and, if it has one, a deadline in s, with commas between, and semicolons between classes: chat, -1, 10; batch, 1",
  acceptance: "Allowed are 1 to 16 numbers from 0 to 1, with commas between.",
};

/** @type {Record<string, Record<string, string>>} */
export const CHOICE = {
  "lab-hardware": HARDWARE_NAME,
  "lab-shape": { "burstgpt-week1": "BurstGPT's first week", "burstgpt-like": "all of BurstGPT", poisson: "Poisson" },
  "lab-users": { open: "at the trace's times", closed: "users who wait" },
  "lab-engine": { continuous: "continuous", closed: "closed batches" },
  "lab-policy": Object.fromEntries(Object.entries(POLICY).map(([key, { name }]) => [key, name])),
  "lab-rule": {
    vllm: "vLLM: decode, then prompts in chunks",
    sarathi: "Sarathi: chunks, prompt's blocks at once",
    orca: "Orca: whole prompts first",
  },
  "lab-order": { fcfs: "in order of arrival", sjf: "shortest predicted output", edf: "earliest deadline", priority: "priority of the class" },
  "lab-predictor": { oracle: "perfect", noisy: "noisy", "prompt-only": "from the prompt", published: "as published" },
  "lab-capacity": { memory: "what memory leaves", blocks: "so many blocks", unlimited: "no limit" },
  "lab-preemption": { recompute: "compute again", swap: "copy out and in" },
  "lab-reuse": { off: "none", own: "own blocks after a preemption", hashes: "prompts with equal hashes", sessions: "the session before" },
  "lab-eviction": { lru: "least recently used", lfu: "least often used" },
  "lab-speculative": { off: "off", draft: "on" },
  "lab-router": {
    "round-robin": "one after the other",
    random: "random",
    "least-requests": "fewest requests",
    "least-work": "least predicted work",
    "power-of-two": "better of two at random",
    "bin-affinity": "each bin its replicas",
    "prefix-affinity": "most of the prompt in its cache",
    "session-sticky": "a session stays",
  },
  "lab-warmup": { none: "none", auto: "found by itself", share: "a share" },
};

/**
 * A setting in a few words, as in a list of what is different.
 * @type {(difference: {id: string, label: string, value: unknown}) => string}
 */
export function brief({ id, label, value }) {
  const said = BRIEF[id];
  if (said !== undefined) return said(String(value));
  const name = label.charAt(0).toLowerCase() + label.slice(1);
  if (typeof value === "boolean") return value ? name : `not ${name}`;
  const choice = CHOICE[id]?.[String(value)];
  if (choice !== undefined) return id === "lab-rule" ? (choice.split(":")[0] ?? choice) : choice;
  return `${name} ${value === null ? "none" : Array.isArray(value) ? value.length : String(value)}`;
}

/** @type {Record<string, (value: string) => string>} */
const BRIEF = {
  "lab-model": (v) => v,
  "lab-precision": (v) => `${v} weights`,
  "lab-gpus": (v) => `${v} GPUs`,
  "lab-tensor-parallel": (v) => `${v} GPUs a replica`,
  "lab-max-sequences": (v) => `${v} sequences`,
  "lab-max-batched-tokens": (v) => `${v} tokens a step`,
  "lab-share-bins": (v) => (v === "true" ? "one bin at a time" : "bins mixed"),
  "lab-bins": (v) => `K = ${v}`,
  "lab-sigma": (v) => `prediction error ${v}`,
  "lab-blocks": (v) => `${v} blocks`,
  "lab-block-tokens": (v) => `blocks of ${v} tokens`,
  "lab-speculative": (v) => (v === "off" ? "no draft" : "draft"),
  "lab-draft": (v) => `${v} proposed`,
  "lab-hardware": (v) => HARDWARE_NAME[v] ?? v,
};

/** @param {string} policy */
export const closedName = (policy) => `closed batches, ${CHOICE["lab-policy"]?.[policy] ?? policy}`;

/** The rule of a run in a word or two. @param {string} rule */
export const ruleName = (rule) => (CHOICE["lab-rule"]?.[rule] ?? rule).split(":")[0] ?? rule;

/** @param {LabResult} result */
const joint = ({ summary }) => summary.honest.sla.joint ?? NaN;

/** @param {LabResult} result */
const nameOf = ({ key }) => NAME[/** @type {Slot} */ (key)].name;

/**
 * Where a run is served, as the beginning of a sentence; empty where the step times are no data sheet's.
 * @type {(on: Placement | null, gpus: number) => string}
 */
export function placeOf(on, gpus) {
  if (on === null) return "";
  const card = (HARDWARE_NAME[on.hardware] ?? on.hardware).split(",")[0] ?? on.hardware;
  return `On ${gpus === 1 ? "one" : count(gpus)} ${card} with ${on.model}, `;
}

/**
 * The one-sentence answer; `where` begins it, where all runs are served alike.
 * @type {(results: LabResult[], where: string, says: (result: LabResult) => string) => string}
 */
export function finding(results, where, says) {
  const [first] = results;
  if (first === undefined) return "";
  const ranked = results.filter((r) => Number.isFinite(joint(r))).sort((a, b) => joint(b) - joint(a));
  const [best, worst] = [ranked[0], ranked.at(-1)];
  if (best === undefined || worst === undefined) return "No request was served.";
  const rate = first.summary.workload.offered_requests_per_s;
  const load = `${where}${rate === null ? "" : `${where === "" ? "At" : "at"} ${withUnit(rate, "requests/s")}, `}`;
  const kept = (/** @type {LabResult} */ r) => percent(joint(r));
  const start = `${load}run ${nameOf(best)} (${says(best)}) keeps all promises for ${kept(best)} of the requests`;
  const sentence = load === "" ? `R${start.slice(1)}` : start;
  if (ranked.length === 1) return `${sentence}.`;
  if (joint(best) - joint(worst) < 0.005) return `${load}${load === "" ? "All" : "all"} runs keep all promises for ${kept(worst)} to ${kept(best)} of the requests.`;
  return `${sentence}, run ${nameOf(worst)} (${says(worst)}) for ${kept(worst)}.`;
}

/** @type {(results: LabResult[], value: (result: LabResult) => number | null | undefined) => [LabResult, LabResult] | null} */
function extremes(results, value) {
  const ranked = results.filter((r) => Number.isFinite(value(r) ?? NaN)).sort((a, b) => (value(a) ?? 0) - (value(b) ?? 0));
  const [low, high] = [ranked[0], ranked.at(-1)];
  return low === undefined || high === undefined ? null : [low, high];
}

/** @type {(results: LabResult[], value: (result: LabResult) => number | null | undefined, text: (value: number) => string, before: string) => string} */
function spread(results, value, text, before) {
  const found = extremes(results, value);
  if (found === null) return "";
  const [low, high] = found;
  const [least, most] = [text(value(low) ?? NaN), text(value(high) ?? NaN)];
  if (low === high || least === most) return `${before} ${least}.`;
  return `${before} ${least} in run ${nameOf(low)}, ${most} in run ${nameOf(high)}.`;
}

const at = /** @param {number} s */ (s) => `At ${duration(s)}`;
const within = /** @param {number} s */ (s) => `Within ${duration(s)}`;

export const FIGURE = {
  ttft: {
    title: "Time to first token",
    label: "Distribution of the time to first token",
    x: "arrival to first token (log scale)",
    y: "share of requests",
    sla: /** @param {number} s */ (s) => `SLA ${duration(s)}`,
    at: within,
    table: "TTFT at percentiles",
    rows: "percentile",
    sentence: /** @param {LabResult[]} r */ (r) => spread(r, (one) => one.summary.honest.ttft_s?.p99, duration, "One request in a hundred waits for its first token longer than"),
  },
  tbt: {
    title: "Gaps between tokens",
    label: "Distribution of the gaps between two tokens of a request",
    x: "gap between tokens (log scale)",
    y: "share of gaps",
    sla: /** @param {number} s */ (s) => `SLA ${duration(s)}`,
    at: within,
    table: "TBT at percentiles",
    rows: "percentile",
    sentence: /** @param {LabResult[]} r */ (r) => {
      const closed = r.some(({ summary }) => summary.continuous === null) ? "Of closed batches they are not modelled." : "";
      return [spread(r, (one) => (one.summary.continuous?.tbt_ms?.p99 ?? NaN) / 1e3, duration, "Every gap is counted, not each request's mean: one in a hundred is longer than"), closed].filter((said) => said !== "").join(" ");
    },
  },
  latency: {
    title: "Latency of requests",
    label: "Distribution of the time from arrival to the last token",
    x: "arrival to last token (log scale)",
    y: "share of requests",
    sla: /** @param {number} s */ (s) => `SLA ${duration(s)}`,
    at: within,
    table: "Latency at percentiles",
    rows: "percentile",
    sentence: /** @param {LabResult[]} r */ (r) => spread(r, (one) => one.summary.honest.e2e_s?.p99, duration, "One request in a hundred takes longer than"),
  },
  running: {
    title: "Requests at work",
    label: "Requests at work over simulated time",
    x: "simulated time",
    y: "at work, mean",
    at,
    table: "Requests at work",
    rows: "time",
    sentence: /** @param {LabResult[]} r */ (r) => spread(r, (one) => one.summary.continuous?.mean_batch, number, "Sequences that decode in a step, on average:"),
  },
  waiting: {
    title: "Requests waiting",
    label: "Waiting requests over simulated time",
    x: "simulated time",
    y: "waiting, mean",
    at,
    table: "Waiting requests",
    rows: "time",
    sentence: /** @param {LabResult[]} r */ (r) => spread(r, (one) => Math.max(0, ...one.series.waiting), (n) => count(Math.round(n)), "Most requests waiting at a time:"),
  },
  cache: {
    title: "KV cache",
    label: "Blocks of the KV caches in use over simulated time",
    x: "simulated time",
    y: "blocks in use, mean",
    at,
    table: "Blocks in use",
    rows: "time",
    sentence: /** @param {LabResult[]} r */ (r) => {
      const cache = r[0]?.summary.continuous?.kv;
      const blocks = cache?.blocks ?? null;
      const size = cache === undefined ? "The memory of closed batches is not modelled over time." : blocks === null ? "The cache of run A has no limit." : `A replica of run A has ${count(blocks)} blocks of ${count(tokensOf(r[0]))} tokens.`;
      return `${size} ${spread(r, (one) => one.summary.continuous?.preemptions, count, "Preemptions:")}`;
    },
  },
};

/** @param {LabResult | undefined} result */
function tokensOf(result) {
  return (result && server(result.summary.scenario)?.kv.block_tokens) ?? NaN;
}

/**
 * Rows of the table: label, unit, value, and the name of its interval.
 * @typedef {{label: string, unit: string, value: (result: LabResult) => number | null | undefined, figure?: string, heading?: string}} Row
 */

/** @type {Row[]} */
export const ROWS = [
  { heading: "Promises kept", label: "All", unit: "%", value: (r) => r.summary.honest.sla.joint, figure: "honest.sla.joint" },
  { label: "First token", unit: "%", value: (r) => r.summary.honest.sla.ttft, figure: "honest.sla.ttft" },
  { label: "Token (TPOT)", unit: "%", value: (r) => r.summary.honest.sla.token, figure: "honest.sla.token" },
  { label: "Request", unit: "%", value: (r) => r.summary.honest.sla.request, figure: "honest.sla.request" },
  { label: "Every gap (TBT)", unit: "%", value: (r) => r.summary.continuous?.tbt_within_sla, figure: "continuous.tbt_within_sla" },
  { label: "Goodput", unit: "req/s", value: (r) => r.summary.honest.goodput_requests_per_s, figure: "honest.goodput_requests_per_s" },
  { heading: "Times", label: "TTFT, mean", unit: "s", value: (r) => r.summary.honest.ttft_s?.mean, figure: "honest.ttft_s.mean" },
  { label: "TTFT, P50", unit: "s", value: (r) => r.summary.honest.ttft_s?.p50, figure: "honest.ttft_s.p50" },
  { label: "TTFT, P99", unit: "s", value: (r) => r.summary.honest.ttft_s?.p99, figure: "honest.ttft_s.p99" },
  { label: "TBT, mean", unit: "ms", value: (r) => r.summary.continuous?.tbt_ms?.mean, figure: "continuous.tbt_ms.mean" },
  { label: "TBT, P99", unit: "ms", value: (r) => r.summary.continuous?.tbt_ms?.p99, figure: "continuous.tbt_ms.p99" },
  { label: "TBT, P99.9", unit: "ms", value: (r) => r.summary.continuous?.tbt_ms?.p999, figure: "continuous.tbt_ms.p999" },
  { label: "TPOT, P50", unit: "ms", value: (r) => r.summary.honest.tpot_ms?.p50, figure: "honest.tpot_ms.p50" },
  { label: "TPOT, P99", unit: "ms", value: (r) => r.summary.honest.tpot_ms?.p99, figure: "honest.tpot_ms.p99" },
  { label: "Latency, mean", unit: "s", value: (r) => r.summary.honest.e2e_s?.mean, figure: "honest.e2e_s.mean" },
  { label: "Latency, P50", unit: "s", value: (r) => r.summary.honest.e2e_s?.p50, figure: "honest.e2e_s.p50" },
  { label: "Latency, P95", unit: "s", value: (r) => r.summary.honest.e2e_s?.p95, figure: "honest.e2e_s.p95" },
  { label: "Latency, P99", unit: "s", value: (r) => r.summary.honest.e2e_s?.p99, figure: "honest.e2e_s.p99" },
  { heading: "Work", label: "Output", unit: "tok/s", value: (r) => r.summary.honest.output_tokens_per_s, figure: "honest.output_tokens_per_s" },
  { label: "Replicas busy", unit: "%", value: (r) => r.summary.honest.utilization.mean, figure: "honest.utilization.mean" },
  { label: "MFU", unit: "%", value: (r) => r.summary.continuous?.mfu, figure: "continuous.mfu" },
  { label: "MBU", unit: "%", value: (r) => r.summary.continuous?.mbu, figure: "continuous.mbu" },
  { label: "Sequences of a step", unit: "", value: (r) => r.summary.continuous?.mean_batch, figure: "continuous.mean_batch" },
  { label: "Prompt tokens of a step", unit: "", value: (r) => r.summary.continuous?.mean_prompt_tokens, figure: "continuous.mean_prompt_tokens" },
  { heading: "Cache", label: "Cache full at most", unit: "%", value: (r) => full(r) },
  { label: "Tokens in it, mean", unit: "", value: (r) => r.summary.continuous?.kv.mean_tokens, figure: "continuous.kv.mean_tokens" },
  { label: "Preemptions", unit: "", value: (r) => r.summary.continuous?.preemptions },
  { label: "Tokens computed again", unit: "", value: (r) => r.summary.continuous?.recomputed_tokens },
  { label: "Prefix cache, found", unit: "%", value: (r) => r.summary.continuous?.prefix?.hit_rate },
  { label: "Evictions", unit: "", value: (r) => r.summary.continuous?.prefix?.evictions },
  { label: "Drafts accepted", unit: "%", value: (r) => r.summary.continuous?.speculative?.accept_rate },
  { heading: "Turned away", label: "Rejected", unit: "", value: (r) => r.summary.continuous?.rejected },
  { label: "Can never fit", unit: "", value: (r) => r.summary.continuous?.too_long },
  { label: "Gave up", unit: "", value: (r) => r.summary.continuous?.timed_out },
];

/** @param {LabResult} result */
function full({ summary }) {
  const kv = summary.continuous?.kv;
  return kv === undefined || kv.blocks === null ? null : kv.peak_blocks / kv.blocks;
}

export const TABLE = {
  title: "The runs, figure by figure",
  note: "Below a figure stands its 95 % interval, by batch means of the run's twenty parts; a figure without one has too little data for it, or counts the whole run. A dash: not modelled in this run.",
  within: "Below it, after “steps”, stands the range of the figure with all steps shorter and longer by the calibration’s error.",
  steps: "steps: ",
  metric: "Metric",
  to: " to ",
};
