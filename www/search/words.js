// Words of the searches: how many GPUs, how high a rate, how two runs differ. House rules: ../words.js.

import { count, number, percent } from "../format.js";

/** @import { FleetPromise, MeanEstimate } from "../types.js" */

/** @type {Record<string, {label: string, help: string}>} */
export const CONTROL = {
  what: { label: "Looked for", help: "The fewest, or the highest, that keeps the promise; each run above by itself, everything else as it is set." },
  which: { label: "Promise", help: "As it is set among the settings." },
  share: { label: "Kept for", help: "Share of the requests." },
  rate: { label: "Rate", help: "Mean rate of arrivals; the trace’s own bursts are kept." },
  replications: { label: "Repetitions", help: "Each with requests of its own (another seed, or another part of a file); intervals come from them." },
};

/** @type {Record<string, Record<string, string>>} */
export const CHOICE = {
  what: { "fewest-gpus": "GPUs for a rate", "highest-rate": "rate for this fleet" },
  which: { joint: "all promises", token: "time per token", request: "whole request" },
};

export const SEARCH = {
  title: "How many GPUs?",
  begin: "Search",
  cancel: "Cancel",
  loading: "Loading the searcher.",
  cancelled: "Cancelled; what was found stays.",
  old: "These answers are of other settings; search again.",
  run: "Run",
  perSecond: "requests/s",
  gpus: "GPUs",
  tryingGpus: /** @type {(name: string, gpus: number) => string} */ (name, gpus) => `${name}: trying ${count(gpus)} ${gpus === 1 ? "GPU" : "GPUs"}.`,
  tryingPart: /** @type {(name: string, index: number, of: number) => string} */ (name, index, of) => `${name}: repetition ${count(index + 1)} of ${count(of)}.`,
  failed: /** @type {(name: string, why: string) => string} */ (name, why) => `${name}: ${why}`,
  fewestCaption: /** @type {(promise: FleetPromise, rate: number) => string} */ (promise, rate) =>
    `Fewest GPUs that keep ${PROMISE[promise.which]} for ${percent(promise.share)} of the requests at ${number(rate)} requests/s`,
  highestCaption: /** @type {(promise: FleetPromise) => string} */ (promise) => `Highest rate at which ${PROMISE[promise.which]} ${promise.which === "joint" ? "are" : "is"} kept for ${percent(promise.share)} of the requests`,
  fewestHead: ["GPUs, by the mean", "GPUs, by the interval’s lower end", "Kept then", "Serves at most, requests/s"],
  highestHead: ["Requests/s", "95 % interval", "Kept at that rate", "GPUs"],
  none: "no fleet that was tried",
  noInterval: "one repetition, no interval",
  never: "none: it fails even at a thousandth of what the fleet serves",
  unbounded: "no end seen: the trace is too short",
  range: /** @type {(low: number, high: number) => string} */ (low, high) => `${number(low)} to ${number(high)}`,
  /** @type {(found: {name: string, gpus: number | null}[], rate: number) => string} */
  fewestSentence(found, rate) {
    const known = found.flatMap(({ name, gpus }) => (gpus === null ? [] : [{ name, gpus }])).sort((a, b) => a.gpus - b.gpus);
    const [best, ...rest] = known;
    const worst = rest.at(-1);
    if (best === undefined) return "No fleet that was tried keeps the promise.";
    const at = `At ${number(rate)} requests/s `;
    if (worst === undefined || worst.gpus === best.gpus) return `${at}${best.name} needs ${count(best.gpus)} ${best.gpus === 1 ? "GPU" : "GPUs"}.`;
    return `${at}${best.name} needs ${count(best.gpus)} ${best.gpus === 1 ? "GPU" : "GPUs"}, ${worst.name} ${count(worst.gpus)}.`;
  },
  /** @type {(found: {name: string, rate: MeanEstimate | null}[]) => string} */
  highestSentence(found) {
    const known = found.flatMap(({ name, rate }) => (rate === null ? [] : [{ name, rate: rate.mean }])).sort((a, b) => b.rate - a.rate);
    const [best, ...rest] = known;
    const worst = rest.at(-1);
    if (best === undefined) return "No run has a highest rate; the table says why.";
    const first = `This fleet takes ${number(best.rate)} requests/s with ${best.name}`;
    return worst === undefined ? `${first}.` : `${first}, ${number(worst.rate)} with ${worst.name}.`;
  },
};

/** @type {Record<FleetPromise["which"], string>} */
const PROMISE = { joint: "all promises", token: "the time per token", request: "the time of the whole request" };

export const DIFFERENCES = {
  title: "Are they really different?",
  help: "Run A and another serve the same requests, once for each seed; the interval is that of the mean difference. Where it holds 0, no difference is shown.",
  with: "Compare A with",
  begin: "Compare over 10 seeds",
  cancel: "Cancel",
  pair: /** @type {(index: number, of: number) => string} */ (index, of) => `Seed ${count(index + 1)} of ${count(of)}.`,
  old: "These differences are of other settings; compare again.",
  cancelled: "Cancelled.",
  alone: "Keep another run beside A to compare.",
  caption: /** @type {(other: string, seeds: number) => string} */ (other, seeds) => `Means over ${count(seeds)} seeds, and what ${other} has more than A`,
  metric: "Metric",
  more: /** @param {string} other */ (other) => `${other} − A`,
  interval: "95 % interval",
  verdict: "Shown",
  yes: "yes",
  no: "no",
  to: " to ",
  fixed: "the seed has no say",
  /** @type {(other: string, shown: number, all: number) => string} */
  sentence: (other, shown, all) => `Of ${count(all)} figures ${other} differs from A in ${count(shown)} by more than chance.`,
};
