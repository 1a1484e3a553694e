// Words of the searches: how many GPUs, how high a rate, how two runs differ. House rules: ../words.js.

import { count, number, percent } from "../format.js";

/** @import { FleetPromise, Probe } from "../types.js" */

/** @type {Record<string, {label: string, help: string}>} */
export const CONTROL = {
  what: { label: "Looked for", help: "The fewest, or the highest, that keeps the promise; each run above by itself, everything else as it is set." },
  which: { label: "Promise", help: "As it is set among the settings." },
  share: { label: "Kept for", help: "Share of the requests." },
  rate: { label: "Rate", help: "Mean rate of arrivals; the trace’s own bursts are kept." },
  replications: { label: "Repetitions", help: "Each with requests of its own (another seed, or another part of a file at the file’s time scale); only intervals come from them." },
};

/** @type {Record<string, Record<string, string>>} */
export const CHOICE = {
  what: { "fewest-gpus": "GPUs for a rate", "highest-rate": "rate for this fleet" },
  which: { joint: "all promises", token: "time per token", request: "whole request" },
};

/** Four digits: the rate that was played, not one near it. @type {(rate: number) => string} */
const rateOf = (rate) => rate.toLocaleString("en", { maximumSignificantDigits: 4 });

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
  tryingPart: /** @type {(name: string, index: number, of: number) => string} */ (name, index, of) => `${name}: search ${count(index + 1)} of ${count(of)}.`,
  failed: /** @type {(name: string, why: string) => string} */ (name, why) => `${name}: ${why}`,
  fewestCaption: /** @type {(promise: FleetPromise, rate: number) => string} */ (promise, rate) =>
    `Fewest GPUs that keep ${PROMISE[promise.which]} for ${percent(promise.share)} of the requests at ${number(rate)} requests/s`,
  highestCaption: /** @type {(promise: FleetPromise) => string} */ (promise) => `Highest rate at which ${PROMISE[promise.which]} ${promise.which === "joint" ? "are" : "is"} kept for ${percent(promise.share)} of the requests`,
  fewestHead: ["GPUs", "GPUs, by the interval’s lower end", "Kept then", "95 % interval", "Verified by playing"],
  highestHead: ["Requests/s", "95 % interval", "Kept at that rate", "GPUs", "Verified by playing"],
  none: "no fleet that was tried",
  noInterval: "not enough data",
  never: "none: it fails even at a thousandth of what the fleet serves",
  unbounded: /** @type {(rate: number) => string} */ (rate) => `${rateOf(rate)}, all that the fleet serves; the trace is too short for more`,
  range: /** @type {(low: number, high: number) => string} */ (low, high) => `${number(low)} to ${number(high)}`,
  shareRange: /** @type {(low: number, high: number) => string} */ (low, high) => `${percent(low)} to ${percent(high)}`,
  rate: rateOf,
  /** @type {(probe: Probe) => string} */
  verified: ({ requests, rate_per_s, seed, served_per_s, overloaded }) =>
    `${count(requests)} requests at ${rateOf(rate_per_s)}/s, seed ${seed}${overloaded ? `; ${rateOf(served_per_s)}/s are served: the promise holds because the trace ends, give it more requests` : ""}`,
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
  /** @type {(found: {name: string, rate: number | null}[]) => string} */
  highestSentence(found) {
    const known = found.flatMap(({ name, rate }) => (rate === null ? [] : [{ name, rate }])).sort((a, b) => b.rate - a.rate);
    const [best, ...rest] = known;
    const worst = rest.at(-1);
    if (best === undefined) return "No run has a highest rate; the table says why.";
    const first = `This fleet takes ${rateOf(best.rate)} requests/s with ${best.name}`;
    return worst === undefined ? `${first}.` : `${first}, ${rateOf(worst.rate)} with ${worst.name}.`;
  },
};

/** @type {Record<FleetPromise["which"], string>} */
const PROMISE = { joint: "all promises", token: "the time per token", request: "the time of the whole request" };

export const DIFFERENCES = {
  title: "Are they really different?",
  help: "Run A and another run with the same seeds; the interval is that of the mean difference. Where it holds 0, no difference is shown.",
  same: "Both serve the same requests.",
  /** @type {(what: string[]) => string} */
  notSame: (what) => `They do not serve the same requests: ${what.join("; ")}.`,
  /** @type {(what: string[]) => string} */
  otherPromises: (what) => `They are judged by different promises: ${what.join("; ")}.`,
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
