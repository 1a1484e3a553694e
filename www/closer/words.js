// Words of what looks closer at a run: the timeline, the life of a request, the map, the exercises. Their
// titles are in index.html.

import { count, duration, percent, withUnit } from "../format.js";
import { CONTROL } from "../words.js";

/** The timeline of batches. */
export const TIMELINE = {
  play: "Play",
  pause: "Pause",
  back: "Previous batch",
  next: "Next batch",
  in: "Zoom in",
  out: "Zoom out",
  all: "Whole run",
  scrubber: "Moment that is shown",
  scheduler: "Scheduler",
  gpu: /** @param {number} lane */ (lane) => `GPU ${lane + 1}`,
  help: "A bar is a batch, the higher the more requests are in it (logarithmic). Drag to move, Ctrl and wheel to zoom, click a batch to see who is in it. With the keyboard: arrows for batches, + and − to zoom, Page keys to move, space to play, Enter to open.",
  someLanes: /** @type {(shown: number, all: number) => string} */ (shown, all) => `The first ${count(shown)} of ${count(all)} GPUs are shown.`,
  label: /** @type {(batches: string, gpus: number) => string} */ (batches, gpus) => `Timeline of ${batches} batches on ${count(gpus)} ${gpus === 1 ? "GPU" : "GPUs"}. Arrow keys go from batch to batch, Enter opens one.`,
  at: /** @type {(s: number, busy: number, inside: number) => string} */ (s, busy, inside) => `At ${duration(s)} ${count(busy)} GPUs are busy with ${count(inside)} requests.`,
  batch: /** @type {(nth: number, gpu: number, size: number, start: number, end: number) => string} */ (nth, gpu, size, start, end) =>
    `Batch ${count(nth)} on GPU ${gpu + 1}: ${count(size)} ${size === 1 ? "request" : "requests"}, from ${duration(start)} for ${duration(end - start)}.`,
};

/** A batch and the life of a request in it. */
export const LIFE = {
  help: "Click a batch in the timeline to see its requests.",
  batch: /** @type {(nth: number, size: number, gpu: number, bin: number, bins: boolean, longest: number, waste: number) => string} */ (nth, size, gpu, bin, bins, longest, waste) =>
    `Batch ${count(nth)} on GPU ${gpu + 1}${bins ? `, out of bin ${bin + 1}` : ""}: ${count(size)} ${size === 1 ? "request" : "requests"}, the longest of ${count(longest)} tokens, ${percent(waste)} padding.`,
  member: /** @type {(row: number, tokens: number) => string} */ (row, tokens) => `Request ${count(row)}, ${count(tokens)} tokens`,
  more: /** @param {number} n */ (n) => `and ${count(n)} more.`,
  title: /** @param {number} row */ (row) => `The life of request ${count(row)}`,
  arrived: /** @type {(s: number, prompt: number, output: number, predicted: number | null) => string} */ (s, prompt, output, predicted) =>
    `Arrived at ${duration(s)} with a prompt of ${count(prompt)} tokens; its answer will have ${count(output)}${predicted === null ? "" : `, predicted were ${count(predicted)}`}.`,
  waited: /** @type {(ahead: number, s: number) => string} */ (ahead, s) => (s <= 0 ? "A GPU was free: it did not wait." : `${ahead === 0 ? "Nobody who came before it" : `${count(ahead)} who came before it`} still waited then. It waited ${duration(s)} for a GPU.`),
  served: /** @type {(s: number, others: number, gpu: number, own: number, longest: number) => string} */ (s, others, gpu, own, longest) =>
    `Started at ${duration(s)} on GPU ${gpu + 1} ${others === 0 ? "alone" : `with ${count(others)} ${others === 1 ? "other" : "others"}`}${own < longest ? `; it has ${count(own)} tokens and stays for the ${count(longest)} of the longest` : "; it is the longest of them"}.`,
  finished: /** @type {(s: number, latency: number) => string} */ (s, latency) => `Left at ${duration(s)}, ${duration(latency)} after it came.`,
  verdict: /** @type {(kept: boolean, latency: number, sla: number) => string} */ (kept, latency, sla) =>
    kept ? `The promise of ${duration(sla)} was kept.` : `The promise of ${duration(sla)} was broken by ${duration(latency - sla)}.`,
};

/** GPUs against bins. */
export const MAP = {
  draw: "Draw the map",
  corner: "K \u2193  GPUs \u2192",
  help: "A run for each number of GPUs and bins; a click sets both.",
  scheduler: "Scheduler",
  of: "Promise",
  promise: { joint: "both", token: "token", request: "request" },
  old: "The map is of other settings; draw it again.",
  none: "–",
  caption: /** @type {(name: string, promise: "joint" | "token" | "request", ms: number, s: number) => string} */ (name, promise, ms, s) =>
    `Share of requests for which ${name} keeps ${{ joint: `both promises (${withUnit(ms, "ms")} per token, ${duration(s)} in all)`, token: `the promise of ${withUnit(ms, "ms")} per token`, request: `the promise of ${duration(s)} in all` }[promise]}`,
  progress: /** @type {(done: number, all: number) => string} */ (done, all) => `${count(done)} of ${count(all)} simulated`,
  cell: /** @type {(gpus: number, bins: number, share: string) => string} */ (gpus, bins, share) => `${count(gpus)} GPUs, ${count(bins)} bins: ${share}. Set both.`,
};

/** Exercises. */
export const CHALLENGE = {
  begin: "Begin",
  switchOn: "The scheduler that this exercise is about is switched off.",
  strayed: /** @param {string} control */ (control) => `“${CONTROL[control]?.label ?? control}” is not part of this exercise; put it back, or begin again.`,
  met: /** @param {string} value */ (value) => `Met: ${value}.`,
  notYet: /** @param {string} value */ (value) => `Not yet: ${value}.`,
  /** @type {Record<string, {task: string, value: (value: number) => string}>} */
  of: {
    bins: {
      task: "Sixteen GPUs, one bin: one request in a hundred takes longer than 45 s. By bins and batch cap alone, bring the P99 latency of multi-bin dynamic down to 37 s.",
      value: (value) => `one request in a hundred takes longer than ${duration(value)}`,
    },
    fleet: {
      task: "Sixteen GPUs break the promises of a third of the requests. How few GPUs keep both promises for 95 % of them, with multi-bin dynamic? At most 48 may be used.",
      value: (value) => `both promises are kept for ${percent(value)} of the requests`,
    },
    static: {
      task: "Sixteen GPUs serve one request at a time. Find the static batch with which static FIFO answers 75 % in time.",
      value: (value) => `${percent(value)} are answered in time`,
    },
    waiting: {
      task: "Plain multi-bin waits until a bin can fill a whole batch, and its requests wait with it. Find a full batch and a number of bins with which it answers 70 % in time.",
      value: (value) => `${percent(value)} are answered in time`,
    },
  },
};
