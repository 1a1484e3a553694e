// Words of the article's figures: titles, axes, controls, and the sentence under each, written from its
// numbers. The article's prose is in index.html.

import { count, duration, number, percent, withUnit } from "../format.js";
import { NAME } from "../charts/palette.js";

/** @import { Policy, Cost } from "../types.js" */
/** @import { Settings } from "./figures.js" */

/** What stands on axes, beside curves and over columns. */
export const NAMES = {
  kept: "share of requests answered in time",
  keptToken: "share of requests within the token SLA",
  asPublished: "counted as published",
  perRequestCount: "each request by its own tokens",
  published: /** @param {string} share */ (share) => `published ${share}`,
  p99: "P99 latency",
  scheduler: "scheduler",
  step: "the whole step",
  weights: "reading weights",
  cache: "reading caches",
  each: "per token",
  sequences: "sequences that decode together",
  aBatch: /** @param {number} size */ (size) => `one batch of ${size}`,
  someBatches: /** @type {(k: number, batches: number) => string} */ (k, batches) => `${count(batches)} typical batches ${k === 1 ? "of unsorted requests" : `out of ${k} bins`}`,
  tokens: "time, in tokens of prompt and answer",
  member: "member",
  ownTokens: "its tokens",
  idleTokens: "idle, tokens",
  binCount: "bins, K",
  waste: "padding",
  throughput: "throughput",
  theory: "theory",
  simulated: "simulated",
  speedUp: "throughput against one bin",
  limit: /** @param {number} most */ (most) => `no waiting at all, ×\u202f${number(most)}`,
  interval: "search interval",
  size: "batch taken",
  tau: "measured",
  target: /** @param {number} ms */ (ms) => `target ${number(ms)} ms`,
  tokenTime: "ms per token, moving mean",
  batchSize: "requests",
  nth: "batches, in order",
  low: "low",
  high: "high",
  precision: /** @param {string} name */ (name) => ({ f16: "16 bit weights", int8: "8 bit weights", int4: "4 bit weights" })[name] ?? name,
  perRequest: "tokens of one request, prompt and answer",
  atOnce: "requests that fit at once",
  bursts: "in bursts",
  poisson: "at random",
  hours: "simulated hours",
  waiting: "requests waiting",
  arrivals: "arrivals",
  peak: "most waiting, mean of an interval",
  gpus: "GPUs",
  asked: /** @param {number} share */ (share) => `${share} % asked for`,
  sigma: "error of the prediction, sd of the logarithm",
  shareOf: "share of requests",
  rightBin: "in the right bin",
  server: "server",
  closed: "closed batches",
  closedBins: "closed, bins",
  continuous: "continuous",
  continuousBins: "continuous, bins",
  ttft50: "P50 time to first token",
};

/** @type {Record<string, {label: string, help: string}>} by the control's path */
const COMMON = {
  k: { label: "Bins, K", help: "Requests of similar predicted length share a bin and a batch." },
  sla: { label: "Promised time", help: "From a request's arrival to its last token." },
  gpus: { label: "GPUs", help: "Equal GPUs, each serving one batch at a time." },
  size: { label: "Batch size", help: "Requests that start together and leave together." },
  which: { label: "Which batch", help: "The batches of the trace, one after another." },
  model: { label: "Model", help: "Its weights are read once for each token of a batch." },
  card: { label: "GPU", help: "By its data sheet: peak bandwidth and arithmetic." },
  context: { label: "Context", help: "Tokens that each sequence already has." },
  rate: { label: "Arrivals", help: "A Poisson process of this rate, on one GPU." },
  share: { label: "Promised share", help: "Of the requests that must be answered in time." },
};

/** @type {Record<string, Record<string, {label: string, help: string}>>} by figure and path, where they differ */
const OWN = {
  controller: {
    target: { label: "Token SLA", help: "The time per token that the controller steers to." },
    first: { label: "First guess", help: "The mean batch size that the controller starts from." },
    variant: { label: "Controller", help: "As the paper has it, or as the studies' program ran it." },
  },
  counted: { target: { label: "Token SLA", help: "Promised time per output token." } },
};

/** @type {(figure: string, path: string) => {label: string, help: string}} */
export const controlWords = (figure, path) => OWN[figure]?.[path] ?? COMMON[path] ?? { label: path, help: "" };

/** @type {Record<string, Record<string, string>>} by path */
export const CHOICE = {
  model: { "llama-3.2-1b": "Llama 3.2 1B", "qwen3-4b": "Qwen3 4B", "llama-3.1-8b": "Llama 3.1 8B" },
  card: { l4: "L4", "rtx-4090": "RTX 4090", a100: "A100 80 GB", h100: "H100", h200: "H200" },
  variant: { nov29: "as in the studies", paper: "as in the paper" },
};

export const UI = {
  inLab: "All settings in the simulator",
  reset: "As it was",
  download: "Download",
  link: "Link to this figure",
  embed: "Code to embed it",
  copied: "Copied.",
  between: /** @type {(low: string, high: string) => string} */ (low, high) => `${low} to ${high}`,
  member: /** @param {number} nth */ (nth) => `Member ${nth}`,
  works: /** @type {(tokens: number, idle: number) => string} */ (tokens, idle) => (idle === 0 ? `${count(tokens)} tokens, the longest` : `${count(tokens)} tokens, then waits for ${count(idle)}`),
  batchOf: /** @type {(title: string, nth: number) => string} */ (title, nth) => `${title}, number ${nth}`,
  padded: /** @type {(longest: number, waste: number) => string} */ (longest, waste) => `${count(longest)} tokens long, ${percent(waste)} padding`,
  failed: /** @param {string} why */ (why) => `This figure could not be computed (${why}). The picture is the one that the page came with.`,
  controls: /** @param {string} title */ (title) => `Settings of “${title}”`,
  title: "Batchscope: the article",
  badHash: /** @type {(key: string, value: string) => string} */ (key, value) => `The link asks for ${key} = ${value}, which is not allowed; the default is used instead.`,
  unknownKey: /** @param {string} key */ (key) => `The link names a setting “${key}” that this version does not know; it is ignored.`,
  otherVersion: /** @param {string} version */ (version) => `The link was made for version ${version} of the article; the defaults are used instead.`,
};

/** @param {number} n */
const fleet = (n) => (n === 1 ? "one GPU" : `${count(n)} GPUs`);

/** @param {Policy} policy */
const named = (policy) => NAME[policy].name;

/** A value of the card's or model's menu. @type {(path: string, key: string) => string} */
const chosen = (path, key) => CHOICE[path]?.[key] ?? key;

/** Title, label and sentence of each figure. */
export const FIGURE = {
  promise: {
    title: "The same requests, four schedulers",
    label: "Share of requests answered in time, by scheduler",
    sentence: /** @type {(data: {rate: number, rows: {policy: Policy, kept: number, p99: number}[]}, s: Settings) => string} */ ({ rate, rows }, s) => {
      const bins = rows.find(({ policy }) => policy === "multi-bin-dynamic");
      const one = rows.find(({ policy }) => policy === "dynamic");
      const still = rows.find(({ policy }) => policy === "static-fifo");
      if (bins === undefined || one === undefined || still === undefined) return "";
      const where = `${fleet(s["gpus"])} get ${withUnit(rate, "requests/s")} and promise an answer within ${duration(s["sla"])}.`;
      return `${where} With ${count(s["k"])} ${s["k"] === 1 ? "bin" : "bins"} and dynamic batches ${percent(bins.kept)} of the requests are answered in time, with one queue of dynamic batches ${percent(one.kept)}, with fixed batches ${percent(still.kept)}. One request in a hundred takes longer than ${duration(bins.p99)}, ${duration(one.p99)} and ${duration(still.p99)}.`;
    },
  },
  decode: {
    title: "One step of decoding, for one sequence or for many",
    label: "Time of a step of decoding by the number of sequences in it",
    sentence: /** @type {(cost: Cost, s: Settings, sequences: number[]) => string} */ (cost, s, sequences) => {
      const many = sequences.indexOf(64);
      const alone = cost.step_s[0] ?? NaN;
      const together = cost.step_s[many] ?? NaN;
      return `${chosen("model", s["model"])} has ${number(cost.weight_bytes / 1e9)} GB of weights in 16 bit, and an ${chosen("card", s["card"])} needs ${duration(cost.weights_s)} to read them, at best. A step for one sequence of ${count(s["context"])} tokens takes ${duration(alone)}; a step for 64 of them takes ${duration(together)}, so each of their tokens costs ${number(alone / (together / 64))} times less.`;
    },
  },
  wait: {
    title: "A closed batch",
    label: "Members of a batch: work, and waiting for the longest",
    sentence: /** @type {(data: {batch: number[], waste: number}, s: Settings) => string} */ ({ batch, waste }) => {
      const longest = Math.max(...batch);
      const work = batch.reduce((a, b) => a + b, 0);
      return `The longest of these ${count(batch.length)} requests has ${count(longest)} tokens. The others wait for it: ${percent(1 - work / (longest * batch.length))} of this batch is padding. Over the whole trace it is ${percent(waste)}.`;
    },
  },
  bins: {
    title: "Sorted into bins first",
    label: "Some batches without and with bins",
    sentence: /** @type {(data: {groups: {bins: number, waste: number, served: number}[]}, s: Settings) => string} */ ({ groups }) => {
      const [one, many] = groups;
      if (one === undefined || many === undefined) return "";
      if (many.bins === 1) return `With a single bin nothing is sorted: ${percent(one.waste)} of the time is padding.`;
      return `Over the whole trace, ${count(many.bins)} bins of equally many requests cut the padding from ${percent(one.waste)} to ${percent(many.waste)}, and the same GPU serves ${number(many.served / one.served)} times as many requests a second.`;
    },
  },
  theorem: {
    title: "Theory beside simulation",
    label: "Throughput by the number of bins",
    sentence: /** @type {(data: {k: number[], theory: number[], simulated: number[], limit: number}, s: Settings) => string} */ ({ k, theory, simulated, limit }, s) => {
      const off = Math.max(...theory.map((value, i) => Math.abs((simulated[i] ?? NaN) / value - 1)));
      const eight = k.indexOf(8);
      return `With batches of ${count(s["size"])}, eight bins reach ${number(theory[eight] ?? NaN)} times the throughput of one, and no number of bins more than ${number(limit)} times. Simulation and theory differ by at most ${percent(off)}.`;
    },
  },
  controller: {
    title: "The controller looks for its batch",
    label: "Time per token, search interval and batch size, batch by batch",
    sentence: /** @type {(data: {size: number[], tau: number[], low: number[], high: number[]}, s: Settings) => string} */ ({ size, tau, low, high }, s) => {
      const end = size.length - 1;
      const taken = size.slice(-40);
      const mean = taken.reduce((a, b) => a + b, 0) / Math.max(1, taken.length);
      return `It began with any batch from 1 to 256. ${count(end + 1)} batches later it looks between ${number(low[end] ?? NaN)} and ${number(high[end] ?? NaN)}, the last forty batches had ${number(mean)} requests on average, and a token takes ${withUnit(tau[end] ?? NaN, "ms")} where ${withUnit(s["target"], "ms")} are promised.`;
    },
  },
  memory: {
    title: "What fits",
    label: "Requests that fit into the memory of a GPU, by their length",
    sentence: /** @type {(data: {kb: number, fits: Record<string, number[]>, weights: Record<string, number>, memory: number}, s: Settings, contexts: number[]) => string} */ (data, s, contexts) => {
      const i = contexts.indexOf(2048);
      const fit = (/** @type {string} */ key) => count(data.fits[key]?.[i] ?? NaN);
      return `Each token of ${chosen("model", s["model"])} leaves ${number(data.kb / 1024)} KiB of keys and values behind. Beside the weights, the ${number(data.memory / 1e9)} GB of an ${chosen("card", s["card"])} hold ${fit("f16")} requests of 2,048 tokens; with 4 bit weights it would be ${fit("int4")}.`;
    },
  },
  bursts: {
    title: "The same load, in bursts and at random",
    label: "Requests that wait over simulated time",
    sentence: /** @type {(data: {rate: number, runs: {kept: number, p99: number, waiting: number[]}[]}, s: Settings) => string} */ ({ rate, runs }, s) => {
      const [burst, even] = runs;
      if (burst === undefined || even === undefined) return "";
      return `Both send ${withUnit(rate, "requests/s")} on average to ${fleet(s["gpus"])}, with the same lengths. In bursts, ${percent(burst.kept)} are answered within 20 s, and one in a hundred waits longer than ${duration(burst.p99)}; at random it is ${percent(even.kept)} and ${duration(even.p99)}.`;
    },
  },
  gpus: {
    title: "How many GPUs for a promise",
    label: "Share of requests answered in time by the number of GPUs",
    sentence: /** @type {(data: {gpus: number[], kept: Record<string, number[]>}, s: Settings) => string} */ ({ gpus, kept }, s) => {
      const share = s["share"] / 100;
      const need = (/** @type {Policy} */ policy) => gpus.find((_, i) => (kept[policy] ?? []).slice(i).every((value) => value >= share));
      const said = (/** @type {Policy} */ policy) => {
        const found = need(policy);
        return found === undefined ? `${named(policy)} more than ${count(gpus.at(-1) ?? 0)}` : `${named(policy)} ${count(found)}`;
      };
      return `To answer ${number(s["share"])} % within ${duration(s["sla"])}, of the fleets tried, ${said("multi-bin-dynamic")} GPUs, ${said("dynamic")}, ${said("static-fifo")}, ${said("multi-bin")}.`.replace("tried, ", "tried it takes ");
    },
  },
  error: {
    title: "Bins with a predictor that errs",
    label: "Share of requests answered in time by the error of the predictor",
    sentence: /** @type {(data: {bins: number[], one: number, accuracy: number[]}, s: Settings, sigmas: number[]) => string} */ ({ bins, one, accuracy }, s, sigmas) => {
      const last = bins.length - 1;
      const worse = sigmas.find((_, i) => (bins[i] ?? 0) < one);
      const verdict =
        worse === undefined ? `Even then bins do no worse than one queue, which keeps ${percent(one)}.` : `From an error of ${number(worse)} on, bins are worse than one queue, which keeps ${percent(one)}.`;
      return `With perfect predictions ${count(s["k"])} bins answer ${percent(bins[0] ?? NaN)} in time; with an error of ${number(sigmas[last] ?? NaN)}, which puts ${percent(accuracy[last] ?? NaN)} into the right bin, ${percent(bins[last] ?? NaN)}. ${verdict}`;
    },
  },
  counted: {
    title: "One run, counted twice",
    label: "Share of requests within the token SLA, as published and request by request",
    sentence: /** @type {(data: {rows: {policy: Policy, published: number, honest: number}[]}, s: Settings) => string} */ ({ rows }, s) => {
      const best = (/** @type {"published" | "honest"} */ count) => [...rows].sort((a, b) => b[count] - a[count])[0];
      const [published, honest] = [best("published"), best("honest")];
      if (published === undefined || honest === undefined) return "";
      const turned = published.policy === honest.policy ? "Both counts put the same scheduler first." : "The two counts do not agree on the better scheduler.";
      return `Promised are ${withUnit(s["target"], "ms")} per token. Counted as published, ${named(published.policy)} keeps that best, for ${percent(published.published)} of the requests; counted by each request's own tokens it is ${named(honest.policy)}, for ${percent(honest.honest)}. ${turned}`;
    },
  },
  continuous: {
    title: "Four servers, one GPU",
    label: "Share of requests answered in time by the kind of server",
    sentence: /** @type {(data: {rows: {name: string, ttft: number, e2e: number, p99: number}[]}, s: Settings) => string} */ ({ rows }, s) => {
      const [closed, closedBins, open, openBins] = rows;
      if (closed === undefined || closedBins === undefined || open === undefined || openBins === undefined) return "";
      return `An H100 serving Llama 3.1 8B at ${withUnit(s["rate"], "requests/s")}: closed batches answer ${percent(closed.e2e)} within ${duration(s["sla"])}, with ${count(s["k"])} bins ${percent(closedBins.e2e)}; continuous batching ${percent(open.e2e)}, and with bins ${percent(openBins.e2e)}. Half of the first tokens come within ${duration(closed.ttft)}, ${duration(closedBins.ttft)}, ${duration(open.ttft)} and ${duration(openBins.ttft)}.`;
    },
  },
};

/** Title and label of the figure of this name. @type {Record<string, {title: string, label: string}>} */
export const WORDS = FIGURE;
