// The page's state: one Scenario and the schedulers that are shown, kept in the URL hash.
//
// The hash holds the version and what differs from the default, one `path=value` for each leaf of
// the Scenario, as in `#v=1&fleet.gpus=32&show=dynamic,multi-bin`. What a link says is never
// trusted: a value of the wrong type or outside its range falls back to the default, with a notice.

import { DEFAULT_SCENARIO as CORE_DEFAULT, PRESETS } from "./defaults.js";
import { RANGES } from "./ranges.js";
import { closed, renamed } from "./scenario.js";
import { CHOICE, CONTROL, NOTICE, UI } from "./words.js";

/** @import { Policy, Scenario } from "./types.js" */

/** Every scheduler, in the order of the page. @type {readonly Policy[]} */
export const POLICIES = ["static-fifo", "dynamic", "multi-bin", "multi-bin-dynamic"];

/**
 * What every control has.
 * @typedef {object} Place
 * @property {string} id
 * @property {string} path where it stands in the settings
 * @property {string} group
 * @property {(settings: any) => boolean} [shown] where it has no meaning, it is hidden
 */

/**
 * A number that the reader sets with a slider over `stops` or, more finely, in a box.
 * @typedef {object} NumberOnly
 * @property {"number"} kind
 * @property {string} unit
 * @property {number} min
 * @property {number} max
 * @property {boolean} whole
 * @property {number[]} stops what the slider offers
 * @property {string} [empty] what it means that nothing is set (null); without it, a number must be
 */
/** @typedef {Place & NumberOnly} NumberControl */

/**
 * One of a few; for `latency` the choices are whole objects.
 * @typedef {object} ChoiceOnly
 * @property {"choice"} kind
 * @property {Record<string, unknown>} options by key; words.js has their names
 * @property {(value: unknown) => string | undefined} [of] the key of a value, where it is not the
 *   option that is the same
 * @property {boolean} [wide] the choice stands below its name
 */
/** @typedef {Place & ChoiceOnly} ChoiceControl */

/** Yes or no. @typedef {Place & {kind: "switch"}} SwitchControl */

/**
 * A list that is written in one line.
 * @typedef {object} ListOnly
 * @property {"list"} kind
 * @property {unknown} item what each part of the list looks like
 * @property {(value: any[]) => string} write
 * @property {(text: string) => unknown[] | undefined} read undefined where the text is no such list
 * @property {string} allowed
 */
/** @typedef {Place & ListOnly} ListControl */

/** @typedef {NumberControl | ChoiceControl | SwitchControl | ListControl} Control */

/**
 * The range of a setting, as the core has it.
 * @param {string} path
 */
export function range(path) {
  const found = RANGES[path];
  if (found === undefined) throw new Error(`${path} has no range of its own`);
  return found;
}

/** @type {(a: number, b: number) => number[]} */
const steps = (a, b) => Array.from({ length: b - a + 1 }, (_, i) => a + i);

/** One, two, five: round numbers from `low` to `high`. @type {(low: number, high: number) => number[]} */
const decades = (low, high) => {
  const stops = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const digit of [1, 1.5, 2, 3, 5, 7]) {
      const stop = Number((digit * 10 ** power).toPrecision(2));
      if (stop >= low && stop <= high) stops.push(stop);
    }
  }
  return stops;
};

const FLEETS = [...steps(1, 8), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 100, 128];

/** @type {readonly (NumberControl | ChoiceControl)[]} */
export const CONTROLS = [
  { kind: "number", id: "gpus", path: "fleet.gpus", group: "fleet", unit: UI.unit.gpus, ...range("fleet.gpus"), stops: FLEETS },
  { kind: "number", id: "timeScale", path: "workload.time_scale", group: "fleet", unit: UI.unit.times, ...range("workload.time_scale"), stops: decades(0.1, 20_000) },
  { kind: "number", id: "requests", path: "trace.synthetic.requests", group: "fleet", unit: UI.unit.requests, min: 1, max: 2_000_000, whole: true, stops: [1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000] },
  { kind: "choice", id: "shape", path: "trace.synthetic.shape", group: "fleet", options: keys("shape") },
  { kind: "number", id: "tokenSla", path: "sla.token_ms", group: "promises", unit: UI.unit.ms, ...range("sla.token_ms"), stops: [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100, 120, 150, 200] },
  { kind: "number", id: "requestSla", path: "sla.request_s", group: "promises", unit: UI.unit.s, ...range("sla.request_s"), stops: [1, 2, 3, 5, 7, 10, 12, 15, 20, 25, 30, 40, 50, 60, 90, 120, 300, 600] },
  { kind: "number", id: "bins", path: "bins.count", group: "batches", unit: UI.unit.bins, ...range("bins.count"), stops: [...steps(1, 12), 14, 16, 20, 24, 28, 32] },
  { kind: "number", id: "maxBatch", path: "engine.closed.max_batch", group: "batches", unit: UI.unit.requests, ...range("engine.closed.max_batch"), stops: [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256] },
  { kind: "number", id: "staticBatch", path: "engine.closed.static_batch", group: "batches", unit: UI.unit.requests, ...range("engine.closed.static_batch"), stops: [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128] },
  { kind: "number", id: "fullBatch", path: "bins.full_batch", group: "batches", unit: UI.unit.requests, ...range("bins.full_batch"), stops: [1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128] },
  { kind: "choice", id: "predictor", path: "predictor.kind", group: "prediction", options: keys("predictor") },
  { kind: "number", id: "sigma", path: "predictor.sigma", group: "prediction", unit: UI.unit.none, ...range("predictor.sigma"), stops: [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2] },
  { kind: "number", id: "binError", path: "predictor.bin_error", group: "prediction", unit: UI.unit.none, ...range("predictor.bin_error"), stops: [0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5] },
  { kind: "choice", id: "failed", path: "workload.failed", group: "model", options: keys("failed") },
  {
    kind: "choice",
    id: "latency",
    path: "engine.closed.latency",
    group: "model",
    options: Object.fromEntries(Object.entries(PRESETS).map(([name, scenario]) => [name, closed(scenario).latency])),
  },
  { kind: "number", id: "seed", path: "seed", group: "model", unit: UI.unit.none, ...range("seed"), stops: [] },
];

/** The choices of a plain enum stand for themselves. @param {string} id */
function keys(id) {
  return Object.fromEntries(Object.keys(CHOICE[id] ?? {}).map((key) => [key, key]));
}

for (const control of CONTROLS) {
  if (CONTROL[control.id] === undefined) throw new Error(`words.js has no words for ${control.id}`);
}

/**
 * What the page opens with: the core's defaults at a hundred times the speed on a fleet that is busy in
 * bursts, because at the recorded rate nothing waits and every scheduler looks alike.
 * @type {Scenario}
 */
export const DEFAULT_SCENARIO = structuredClone(CORE_DEFAULT);
DEFAULT_SCENARIO.workload.time_scale = 100;
DEFAULT_SCENARIO.fleet.gpus = 16;

/**
 * A load in bursts, as changes of the default: all of BurstGPT, which the article and the exercises are about. The trace's
 * first week has hardly any bursts.
 * @type {readonly [string, unknown][]}
 */
export const BURSTS = [["trace.synthetic.shape", "burstgpt-like"], ["workload.time_scale", 10]];

/**
 * @typedef {object} State
 * @property {Scenario} scenario
 * @property {Policy[]} shown in the order of the page, never empty
 * @property {string} [gpu] the measured GPU whose latency this is, as calibrate/line.js writes it
 */

/** @returns {State} */
export function defaultState() {
  return { scenario: structuredClone(DEFAULT_SCENARIO), shown: [...POLICIES] };
}

/** A file of the reader's, as a scenario names it. @param {import("./types.js").TraceFile} chosen @returns {Scenario["trace"]} */
export const fileSource = (chosen) => ({ file: { name: chosen.name, format: null, time_unit: null, hash_tokens: null } });

// ---- Paths -------------------------------------------------------------------------------------

/** @type {(object: unknown, path: string) => unknown} */
export function getPath(object, path) {
  /** @type {unknown} */
  let value = object;
  for (const key of path.split(".")) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = /** @type {Record<string, unknown>} */ (value)[key];
  }
  return value;
}

/**
 * A copy of the state with one value changed.
 * @type {(state: State, path: string, value: unknown) => State}
 */
export function withPath(state, path, value) {
  const scenario = structuredClone(state.scenario);
  setPath(scenario, path, structuredClone(value));
  return { ...state, scenario };
}

/** @type {(object: object, path: string, value: unknown) => void} */
export function setPath(object, path, value) {
  const parts = path.split(".");
  const last = parts.pop();
  const parent = parts.length === 0 ? object : getPath(object, parts.join("."));
  if (last === undefined || parent === null || typeof parent !== "object") return;
  /** @type {Record<string, unknown>} */ (parent)[last] = value;
}

/** Every leaf of a plain object by its path; a list is a leaf. @type {(object: object, prefix?: string) => Map<string, unknown>} */
export function leaves(object, prefix = "") {
  const found = new Map();
  for (const [key, value] of Object.entries(object)) {
    const path = prefix + key;
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [inner, leaf] of leaves(value, `${path}.`)) found.set(inner, leaf);
    } else {
      found.set(path, value);
    }
  }
  return found;
}

const DEFAULT_LEAVES = leaves(DEFAULT_SCENARIO);
/** Decided by the page or by the version, never by a link. */
const NOT_IN_HASH = new Set(["version", "workload.closed_loop"]);

/** @type {(a: unknown, b: unknown) => boolean} */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// ---- The hash ----------------------------------------------------------------------------------

/** Whether a link of this version can be read. @param {string | undefined} version */
export const knows = (version) => version === "1" || version === String(DEFAULT_SCENARIO.version);

/** @param {State} state */
export function toHash(state) {
  const parts = [];
  const { trace } = state.scenario;
  if ("file" in trace) parts.push(`file=${encodeURIComponent(trace.file.name)}`);
  for (const [path, value] of leaves(state.scenario)) {
    if (NOT_IN_HASH.has(path) || !DEFAULT_LEAVES.has(path)) continue;
    if (!same(value, DEFAULT_LEAVES.get(path))) parts.push(`${path}=${encode(value)}`);
  }
  if (state.gpu !== undefined) parts.push(`gpu=${encodeURIComponent(state.gpu)}`);
  if (state.shown.length < POLICIES.length) parts.push(`show=${state.shown.join(",")}`);
  return `#${[`v=${DEFAULT_SCENARIO.version}`, ...parts].join("&")}`;
}

/** @param {unknown} value */
export function encode(value) {
  return encodeURIComponent(Array.isArray(value) ? value.join(",") : String(value)).replaceAll("%2C", ",");
}

/**
 * Reads a hash. `file` is the trace file that the link was made with, if it was.
 * @param {string} hash
 * @returns {{state: State, file: string | null, notices: string[]}}
 */
export function fromHash(hash) {
  let state = defaultState();
  /** @type {string[]} */
  const notices = [];
  /** @type {string | null} */
  let file = null;
  // A fragment without "=" is an anchor of the document.
  if (!hash.includes("=")) return { state, file, notices };
  const pairs = [...new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"))].slice(0, 100);
  const version = pairs.find(([key]) => key === "v")?.[1];
  if (pairs.length > 0 && !knows(version)) {
    return { state, file, notices: [NOTICE.otherVersion(shorten(version ?? "?"))] };
  }
  for (const [given, text] of pairs) {
    const key = version === "1" ? renamed(given, "closed") : given;
    if (key === "v") continue;
    if (key === "file") {
      file = shorten(text);
    } else if (key === "gpu") {
      state.gpu = text;
    } else if (key === "show") {
      const shown = POLICIES.filter((policy) => text.split(",").includes(policy));
      if (shown.length > 0) state.shown = shown;
      if (shown.length !== text.split(",").length) notices.push(NOTICE.badHash(key, shorten(text)));
    } else if (!DEFAULT_LEAVES.has(key) || NOT_IN_HASH.has(key)) {
      notices.push(NOTICE.unknownKey(shorten(key)));
    } else {
      const value = decode(key, text);
      if (value === undefined) notices.push(NOTICE.badHash(key, shorten(text)));
      else state = withPath(state, key, value);
    }
  }
  return { state, file, notices };
}

/**
 * A leaf's value from text; undefined where the text is none. Ranges of leaves without a control are
 * the core's to check.
 * @param {string} path
 * @param {string} text
 */
function decode(path, text) {
  const standard = DEFAULT_LEAVES.get(path);
  const control = CONTROLS.find((c) => c.path === path);
  if (control?.kind === "number") {
    const value = toNumber(text);
    return value !== undefined && allows(control, value) ? value : undefined;
  }
  if (control?.kind === "choice") return Object.hasOwn(control.options, text) ? text : undefined;
  if (typeof standard === "boolean") return text === "true" ? true : text === "false" ? false : undefined;
  if (typeof standard === "string") return text;
  if (Array.isArray(standard)) {
    const list = text.split(",").map(toNumber);
    return list.length <= 128 && list.every((n) => n !== undefined) ? list : undefined;
  }
  // Where the default is null, the value is an optional number.
  return standard === null && text === "null" ? null : toNumber(text);
}

/** @param {string} text */
export function toNumber(text) {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : undefined;
}

/** @type {(control: NumberControl, value: number) => boolean} */
export function allows(control, value) {
  return value >= control.min && value <= control.max && (!control.whole || Number.isInteger(value));
}

/** Text from a link, short enough for a sentence. @param {string} text */
export function shorten(text) {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
