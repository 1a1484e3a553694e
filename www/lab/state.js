// The laboratory's state: up to four runs, each a complete description, kept in the URL hash.
//
// A run's settings are a Scenario, and beside it `on`: a model put on GPUs by their data sheets, which
// decides latency and memory in place of the scenario's own numbers. The hash holds what differs from
// the default, one `path=value` each; the runs that are
// compared with stand in it as `b`, `c` and `d`, each with its own such list.

import { DEFAULT_SCENARIO } from "../defaults.js";
import { closed, renamed, server } from "../scenario.js";
import { allows, getPath, range, same, setPath, shorten, toNumber } from "../state.js";
import { NOTICE } from "../words.js";
import { DEFAULT_SERVER, HARDWARE, MODELS, PRECISIONS } from "./defaults.js";
import { ALLOWED, CHOICE, CONTROL, UNIT } from "./words.js";

/** @import { Placement, RequestClass, Scenario } from "../types.js" */
/** @import { Control } from "../state.js" */
/** @import { Slot } from "../charts/palette.js" */

/**
 * What a run is made from. `step_error`: how far off its step times typically are, in proportion, where they are a calibration's.
 * @typedef {Scenario & {on: Placement | null, step_error: number | null}} Settings
 */
/** @typedef {{slot: Slot, settings: Settings}} LabRun */

/** @type {readonly Slot[]} */
export const SLOTS = ["run-a", "run-b", "run-c", "run-d"];
/** The version of the hash. */
const VERSION = "2";
/** Most letters of a link that are read. */
const MOST_LETTERS = 20_000;

const SERVER = "engine.continuous";
const CLOSED = "engine.closed";

/** @type {(a: number, b: number) => number[]} */
const steps = (a, b) => Array.from({ length: b - a + 1 }, (_, i) => a + i);
const DOUBLES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** A choice whose values are words. @param {string} id */
const plain = (id) => Object.fromEntries(Object.keys(CHOICE[id] ?? {}).map((key) => [key, key]));

/** The kind of a value that is a word, or an object of one property. @param {unknown} value */
const kindOf = (value) => (typeof value === "string" ? value : value === null ? "none" : Object.keys(/** @type {object} */ (value))[0]);

/** @param {Settings} settings */
const ownLatency = (settings) => settings.on === null;
/** The policy of closed batches, where the run has them. @param {Settings} settings */
const policy = (settings) => ("closed" in settings.engine ? settings.engine.closed.policy : undefined);
/** @param {Settings} settings */
const predicts = (settings) => {
  const s = server(settings);
  if (s === undefined) return binned(settings);
  return s.bins || s.order === "sjf" || s.router === "least-work" || s.router === "bin-affinity";
};
/** @param {Settings} settings */
const binned = (settings) => server(settings)?.bins === true || server(settings)?.router === "bin-affinity" || policy(settings)?.startsWith("multi-bin") === true;

/** A list of numbers. @type {(low: number, high: number, most: number) => {item: number, write: (value: number[]) => string, read: (text: string) => number[] | undefined}} */
const numbers = (low, high, most) => ({
  item: 0,
  write: (value) => value.join(", "),
  read: (text) => {
    const list = text.split(/[,;\s]+/).filter((part) => part !== "").map(toNumber);
    const good = list.length >= 1 && list.length <= most && list.every((n) => n !== undefined && n >= low && n <= high);
    return good ? /** @type {number[]} */ (list) : undefined;
  },
});

/** Classes as "label level deadline; ...", where a label may hold spaces. */
const CLASSES = {
  item: { label: "", level: 0, deadline_s: null },
  /** @param {RequestClass[]} classes */
  write: (classes) => classes.map(({ label, level, deadline_s }) => `${label}, ${level}${deadline_s === null ? "" : `, ${deadline_s}`}`).join("; "),
  /** @type {(text: string) => RequestClass[] | undefined} */
  read: (text) => {
    const parts = text.split(";").map((part) => part.trim()).filter((part) => part !== "");
    const classes = parts.map((part) => {
      const [label = "", level = "", deadline] = part.split(",").map((word) => word.trim());
      const [number, seconds] = [toNumber(level), deadline === undefined ? null : toNumber(deadline)];
      if (label === "" || number === undefined || seconds === undefined) return undefined;
      return { label, level: number, deadline_s: seconds };
    });
    return classes.length <= 64 && classes.every((one) => one !== undefined) ? /** @type {RequestClass[]} */ (classes) : undefined;
  },
};

export const SHAPES = {
  "burstgpt-week1": "burstgpt-week1",
  "burstgpt-like": "burstgpt-like",
  // Arrivals without bursts, and the lengths of the simulators' usual workload (docs/BENCH.md).
  poisson: {
    custom: {
      arrivals: { poisson: { rate: 1 } },
      prompt: { lognormal: { median: 420, sigma: 1 } },
      output: { lognormal: { median: 170, sigma: 0.83 } },
      failed_share: 0,
    },
  },
};

/** @type {readonly Control[]} */
export const CONTROLS = [
  { kind: "choice", id: "lab-model", path: "on.model", group: "hardware", options: Object.fromEntries(MODELS.map((key) => [key, key])) },
  { kind: "choice", id: "lab-hardware", path: "on.hardware", group: "hardware", wide: true, options: Object.fromEntries(HARDWARE.map((key) => [key, key])) },
  { kind: "choice", id: "lab-precision", path: "on.precision", group: "hardware", options: Object.fromEntries(PRECISIONS.map((key) => [key, key])) },
  { kind: "number", id: "lab-memory-share", path: "on.memory_share", group: "hardware", unit: UNIT.none, min: 0.01, max: 1, whole: false, stops: [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1] },
  { kind: "number", id: "lab-gpus", path: "fleet.gpus", group: "hardware", unit: UNIT.gpus, ...range("fleet.gpus"), stops: [...steps(1, 8), 10, 12, 16, 24, 32, 48, 64] },
  { kind: "number", id: "lab-tensor-parallel", path: `${SERVER}.tensor_parallel`, group: "hardware", unit: UNIT.gpus, ...range(`${SERVER}.tensor_parallel`), stops: [1, 2, 4, 8] },
  { kind: "number", id: "lab-c0", path: `${SERVER}.latency.linear.c0_s`, group: "hardware", unit: UNIT.s, ...range(`${SERVER}.latency.linear.c0_s`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-c1", path: `${SERVER}.latency.linear.c1_s_per_sequence`, group: "hardware", unit: UNIT.s, ...range(`${SERVER}.latency.linear.c1_s_per_sequence`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-c2", path: `${SERVER}.latency.linear.c2_s_per_context_token`, group: "hardware", unit: UNIT.s, ...range(`${SERVER}.latency.linear.c2_s_per_context_token`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-c3", path: `${SERVER}.latency.linear.c3_s_per_prefill_token`, group: "hardware", unit: UNIT.s, ...range(`${SERVER}.latency.linear.c3_s_per_prefill_token`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-c4", path: `${SERVER}.latency.linear.c4_s_per_prefill_pair`, group: "hardware", unit: UNIT.s, ...range(`${SERVER}.latency.linear.c4_s_per_prefill_pair`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-memory", path: `${SERVER}.memory.capacity_gb`, group: "hardware", unit: UNIT.gb, ...range(`${SERVER}.memory.capacity_gb`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-model-gb", path: `${SERVER}.memory.model_gb`, group: "hardware", unit: UNIT.gb, ...range(`${SERVER}.memory.model_gb`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-margin-gb", path: `${SERVER}.memory.margin_gb`, group: "hardware", unit: UNIT.gb, ...range(`${SERVER}.memory.margin_gb`), stops: [], shown: ownLatency },
  { kind: "number", id: "lab-kv-gb", path: `${SERVER}.memory.kv_gb_per_token`, group: "hardware", unit: UNIT.gb, ...range(`${SERVER}.memory.kv_gb_per_token`), stops: [], shown: ownLatency },

  { kind: "choice", id: "lab-shape", path: "trace.synthetic.shape", group: "load", options: SHAPES },
  { kind: "number", id: "lab-requests", path: "trace.synthetic.requests", group: "load", unit: UNIT.requests, min: 1, max: 2_000_000, whole: true, stops: [1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000] },
  { kind: "number", id: "lab-time-scale", path: "workload.time_scale", group: "load", unit: UNIT.times, ...range("workload.time_scale"), stops: [1, 2, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 100, 120, 150, 200, 300, 500, 1000], shown: (s) => s.workload.closed_loop === null },
  {
    kind: "choice",
    id: "lab-users",
    path: "workload.closed_loop",
    group: "load",
    options: { open: null, closed: { users: 16, requests_per_user: 50, think_min_s: 0, think_max_s: 0 } },
    of: (value) => (value === null ? "open" : "closed"),
  },
  { kind: "number", id: "lab-user-count", path: "workload.closed_loop.users", group: "load", unit: UNIT.users, ...range("workload.closed_loop.users"), stops: DOUBLES },
  { kind: "number", id: "lab-requests-per-user", path: "workload.closed_loop.requests_per_user", group: "load", unit: UNIT.requests, ...range("workload.closed_loop.requests_per_user"), stops: [1, 2, 5, 10, 20, 50, 100, 200] },
  { kind: "number", id: "lab-think-min", path: "workload.closed_loop.think_min_s", group: "load", unit: UNIT.s, ...range("workload.closed_loop.think_min_s"), stops: [] },
  { kind: "number", id: "lab-think-max", path: "workload.closed_loop.think_max_s", group: "load", unit: UNIT.s, ...range("workload.closed_loop.think_max_s"), stops: [] },
  { kind: "number", id: "lab-seed", path: "seed", group: "load", unit: UNIT.none, ...range("seed"), stops: [] },

  { kind: "choice", id: "lab-engine", path: "engine", group: "batching", options: { continuous: { continuous: DEFAULT_SERVER }, closed: { closed: closed(DEFAULT_SCENARIO) } }, of: kindOf },
  { kind: "choice", id: "lab-policy", path: `${CLOSED}.policy`, group: "batching", wide: true, options: plain("lab-policy") },
  { kind: "number", id: "lab-static-batch", path: `${CLOSED}.static_batch`, group: "batching", unit: UNIT.requests, ...range(`${CLOSED}.static_batch`), stops: DOUBLES, shown: (s) => policy(s) === "static-fifo" },
  { kind: "number", id: "lab-full-batch", path: "bins.full_batch", group: "batching", unit: UNIT.requests, ...range("bins.full_batch"), stops: DOUBLES, shown: (s) => policy(s) === "multi-bin" },
  { kind: "number", id: "lab-max-batch", path: `${CLOSED}.max_batch`, group: "batching", unit: UNIT.requests, ...range(`${CLOSED}.max_batch`), stops: DOUBLES, shown: (s) => policy(s) === "dynamic" || policy(s) === "multi-bin-dynamic" },
  { kind: "choice", id: "lab-rule", path: `${SERVER}.rule`, group: "batching", wide: true, options: plain("lab-rule") },
  { kind: "number", id: "lab-max-sequences", path: `${SERVER}.max_sequences`, group: "batching", unit: UNIT.requests, ...range(`${SERVER}.max_sequences`), stops: DOUBLES },
  { kind: "number", id: "lab-max-batched-tokens", path: `${SERVER}.max_batched_tokens`, group: "batching", unit: UNIT.tokens, min: 1, max: 1 << 24, whole: true, stops: [256, 512, 1024, 2048, 4096, 8192, 16_384] },
  { kind: "number", id: "lab-long-prefill", path: `${SERVER}.long_prefill_token_threshold`, group: "batching", unit: UNIT.tokens, ...range(`${SERVER}.long_prefill_token_threshold`), stops: [0, 128, 256, 512, 1024, 2048, 4096], shown: (s) => server(s)?.rule !== "orca" },
  { kind: "switch", id: "lab-async", path: `${SERVER}.async_scheduling`, group: "batching" },
  { kind: "choice", id: "lab-order", path: `${SERVER}.order`, group: "batching", wide: true, options: plain("lab-order") },
  { kind: "number", id: "lab-ageing", path: `${SERVER}.ageing_per_s`, group: "batching", unit: UNIT.perSecond, ...range(`${SERVER}.ageing_per_s`), stops: [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100], shown: (s) => ["sjf", "priority"].includes(server(s)?.order ?? "") },
  { kind: "list", id: "lab-classes", path: `${SERVER}.classes`, group: "batching", ...CLASSES, allowed: ALLOWED.classes, shown: (s) => ["edf", "priority"].includes(server(s)?.order ?? "") },
  { kind: "switch", id: "lab-share-bins", path: `${SERVER}.bins`, group: "batching" },
  { kind: "number", id: "lab-bins", path: "bins.count", group: "batching", unit: UNIT.bins, ...range("bins.count"), stops: [...steps(1, 12), 16, 24, 32], shown: binned },
  { kind: "number", id: "lab-bin-patience", path: `${SERVER}.bin_patience_s`, group: "batching", unit: UNIT.s, ...range(`${SERVER}.bin_patience_s`), stops: [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60], shown: (s) => server(s)?.bins === true },
  { kind: "choice", id: "lab-predictor", path: "predictor.kind", group: "batching", options: plain("lab-predictor"), shown: predicts },
  { kind: "number", id: "lab-sigma", path: "predictor.sigma", group: "batching", unit: UNIT.none, ...range("predictor.sigma"), stops: [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2], shown: (s) => predicts(s) && s.predictor.kind === "noisy" },

  { kind: "choice", id: "lab-capacity", path: `${SERVER}.kv.capacity`, group: "memory", wide: true, options: { memory: "memory", blocks: { blocks: 2588 }, unlimited: "unlimited" }, of: kindOf },
  { kind: "number", id: "lab-blocks", path: `${SERVER}.kv.capacity.blocks`, group: "memory", unit: UNIT.blocks, min: 1, max: 1 << 30, whole: true, stops: [] },
  { kind: "switch", id: "lab-null-block", path: `${SERVER}.kv.null_block`, group: "memory", shown: (s) => server(s)?.kv.capacity !== "unlimited" },
  { kind: "number", id: "lab-block-tokens", path: `${SERVER}.kv.block_tokens`, group: "memory", unit: UNIT.tokens, ...range(`${SERVER}.kv.block_tokens`), stops: [1, 8, 16, 32, 64, 128, 256, 512] },
  { kind: "number", id: "lab-watermark", path: `${SERVER}.kv.watermark`, group: "memory", unit: UNIT.none, ...range(`${SERVER}.kv.watermark`), stops: [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3] },
  { kind: "switch", id: "lab-whole-prompt", path: `${SERVER}.admission.whole_prompt_fits`, group: "memory" },
  { kind: "choice", id: "lab-preemption", path: `${SERVER}.kv.preemption`, group: "memory", options: { recompute: "recompute", swap: { swap: { gb_per_s: 25 } } }, of: kindOf },
  { kind: "number", id: "lab-swap", path: `${SERVER}.kv.preemption.swap.gb_per_s`, group: "memory", unit: UNIT.gbPerSecond, ...range(`${SERVER}.kv.preemption.swap.gb_per_s`), stops: [5, 10, 16, 25, 32, 50, 64, 100, 200, 400] },
  { kind: "choice", id: "lab-reuse", path: `${SERVER}.kv.prefix.reuse`, group: "memory", wide: true, options: plain("lab-reuse") },
  { kind: "choice", id: "lab-eviction", path: `${SERVER}.kv.prefix.eviction`, group: "memory", options: plain("lab-eviction"), shown: (s) => server(s)?.kv.prefix.reuse !== "off" },
  { kind: "number", id: "lab-eviction-s", path: `${SERVER}.kv.prefix.eviction_s`, group: "memory", unit: UNIT.s, ...range(`${SERVER}.kv.prefix.eviction_s`), stops: [], shown: (s) => server(s)?.kv.prefix.reuse !== "off" },

  {
    kind: "choice",
    id: "lab-speculative",
    path: `${SERVER}.speculative`,
    group: "speculation",
    options: { off: null, draft: { draft_tokens: 3, acceptance: [0.7], draft_s: 0, draft_s_per_sequence: 0 } },
    of: (value) => (value === null ? "off" : "draft"),
  },
  { kind: "number", id: "lab-draft", path: `${SERVER}.speculative.draft_tokens`, group: "speculation", unit: UNIT.tokens, ...range(`${SERVER}.speculative.draft_tokens`), stops: steps(1, 16) },
  { kind: "list", id: "lab-acceptance", path: `${SERVER}.speculative.acceptance`, group: "speculation", ...numbers(0, 1, 16), allowed: ALLOWED.acceptance },
  { kind: "number", id: "lab-draft-s", path: `${SERVER}.speculative.draft_s`, group: "speculation", unit: UNIT.s, ...range(`${SERVER}.speculative.draft_s`), stops: [] },
  { kind: "number", id: "lab-draft-each", path: `${SERVER}.speculative.draft_s_per_sequence`, group: "speculation", unit: UNIT.s, ...range(`${SERVER}.speculative.draft_s_per_sequence`), stops: [] },

  { kind: "choice", id: "lab-router", path: `${SERVER}.router`, group: "fleet", wide: true, options: plain("lab-router") },
  { kind: "number", id: "lab-max-waiting", path: `${SERVER}.admission.max_waiting`, group: "fleet", unit: UNIT.requests, ...range(`${SERVER}.admission.max_waiting`), stops: [], empty: "no limit" },
  { kind: "number", id: "lab-timeout", path: `${SERVER}.admission.timeout_s`, group: "fleet", unit: UNIT.s, ...range(`${SERVER}.admission.timeout_s`), stops: [], empty: "never" },
  { kind: "switch", id: "lab-reject-long", path: `${SERVER}.admission.reject_too_long`, group: "fleet" },

  { kind: "number", id: "lab-ttft-sla", path: "sla.ttft_s", group: "promises", unit: UNIT.s, ...range("sla.ttft_s"), stops: [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20], empty: "none" },
  { kind: "number", id: "lab-token-sla", path: "sla.token_ms", group: "promises", unit: UNIT.ms, ...range("sla.token_ms"), stops: [5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100, 120, 150, 200, 300] },
  { kind: "number", id: "lab-request-sla", path: "sla.request_s", group: "promises", unit: UNIT.s, ...range("sla.request_s"), stops: [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 60, 90, 120, 300, 600] },
  { kind: "choice", id: "lab-warmup", path: `${SERVER}.warmup`, group: "promises", options: { none: "none", auto: "auto", share: { share: 0.1 } }, of: kindOf },
  { kind: "number", id: "lab-warmup-share", path: `${SERVER}.warmup.share`, group: "promises", unit: UNIT.none, ...range(`${SERVER}.warmup.share`), stops: [0, 0.05, 0.1, 0.2, 0.3, 0.5] },
];

for (const { id } of CONTROLS) {
  if (CONTROL[id] === undefined) throw new Error(`lab/words.js has no words for ${id}`);
}

// ---- Defaults ----------------------------------------------------------------------------------

/**
 * What the laboratory opens with: a model that people run at home on a card that holds little beside
 * it, and as much load as it can take.
 * @returns {Settings}
 */
export function standard() {
  const settings = /** @type {Settings} */ (structuredClone({ ...DEFAULT_SCENARIO, engine: { continuous: DEFAULT_SERVER }, on: null, step_error: null }));
  settings.on = { model: "llama-3.1-8b", hardware: "rtx-4090", precision: "f16", memory_share: 0.9 };
  settings.fleet.gpus = 1;
  settings.workload.time_scale = 50;
  settings.sla = { ...settings.sla, ttft_s: 2, token_ms: 50, request_s: 20 };
  return settings;
}

/** The defaults of both engines. */
const ENGINES = { engine: { continuous: DEFAULT_SERVER, closed: closed(DEFAULT_SCENARIO) } };

/** Settings that all runs have in common, so that the same requests are judged alike. */
const SHARED = new Set(["load", "promises"]);

/**
 * The runs with one setting of the first changed, or of all where all have it in common.
 * @type {(runs: LabRun[], path: string, value: unknown) => LabRun[]}
 */
export function withChange(runs, path, value) {
  const shared = CONTROLS.some((control) => control.path === path && SHARED.has(control.group)) || path === "trace";
  return runs.map((run, i) => (i === 0 || shared ? { ...run, settings: withSetting(run.settings, path, value) } : run));
}

/**
 * The scenario as it runs: the simulator refuses an order by class without classes, and the form shows the field for
 * them only once such an order is chosen. Until then the order is that of arrival, as the field's help says.
 * @type {(scenario: Scenario) => Scenario}
 */
export function withClasses(scenario) {
  const serving = server(scenario);
  if (serving === undefined || !["edf", "priority"].includes(serving.order) || serving.classes.length > 0) return scenario;
  return { ...scenario, engine: { continuous: { ...serving, order: "fcfs" } } };
}

/** @type {(settings: Settings, path: string, value: unknown) => Settings} */
export function withSetting(settings, path, value) {
  const next = structuredClone(settings);
  setPath(next, path, structuredClone(value));
  // What is known of a calibration is not of other steps.
  if (path === "engine" || path.startsWith(`${SERVER}.latency`) || path === `${CLOSED}.latency`) next.step_error = null;
  if (path === "engine" && (server(next) === undefined || server(settings) === undefined)) {
    // Steps and memory of closed batches are a data sheet's or a file's here; the studies' formula is the simulator's.
    next.on ??= standard().on;
  } else if (path === "workload.closed_loop" && value !== null) {
    // Users send when they have their answer: arrival times have no meaning.
    next.workload.time_scale = 1;
    next.workload.rate_per_s = null;
  } else if (path === "workload.closed_loop") {
    next.workload.time_scale = standard().workload.time_scale;
  } else if (path === `${SERVER}.speculative.draft_tokens`) {
    // A chance for each drafted token at most.
    const draft = server(next)?.speculative;
    if (draft) draft.acceptance = draft.acceptance.slice(0, draft.draft_tokens);
  } else if (path === "trace.synthetic.shape") {
    // Each is made at a rate of its own: on average 0.03, 0.14 and 1 a second.
    next.workload.time_scale = same(value, SHAPES.poisson) ? 1 : value === SHAPES["burstgpt-like"] ? standard().workload.time_scale / 5 : standard().workload.time_scale;
  }
  return next;
}

/** Settings with the other ways to serve that a newcomer compares with. @returns {LabRun[]} */
export function firstRuns() {
  const run = (/** @type {Slot} */ slot, /** @type {[string, unknown][]} */ ...changes) => ({
    slot,
    settings: changes.reduce((settings, [path, value]) => withSetting(settings, path, value), standard()),
  });
  return [
    run("run-a"),
    run("run-b", [`${SERVER}.rule`, "sarathi"], [`${SERVER}.max_batched_tokens`, 512]),
    run("run-c", [`${SERVER}.rule`, "orca"]),
    run("run-d", [`${SERVER}.bins`, true], ["bins.count", 8]),
  ];
}

// ---- Leaves ------------------------------------------------------------------------------------

/** Values that are one thing, whatever they are made of. */
const WHOLE = new Set([
  "on",
  `${CLOSED}.latency`,
  `${CLOSED}.memory`,
  "trace.synthetic.shape",
  "workload.closed_loop",
  `${SERVER}.classes`,
  `${SERVER}.kv.capacity`,
  `${SERVER}.kv.preemption`,
  `${SERVER}.speculative`,
  `${SERVER}.latency`,
  `${SERVER}.ceiling`,
  `${SERVER}.warmup`,
]);
/** Never in a link: decided by the version, or a name of a file that stays with its reader. */
const NOT_IN_LINK = new Set(["version", "trace.file.name", "trace.file.format", "trace.file.time_unit", "trace.file.hash_tokens"]);

/** Every leaf by its path. @type {(settings: object, prefix?: string) => Map<string, unknown>} */
function leaves(settings, prefix = "") {
  const found = new Map();
  for (const [key, value] of Object.entries(settings)) {
    const path = prefix + key;
    if (!WHOLE.has(path) && value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [inner, leaf] of leaves(value, `${path}.`)) found.set(inner, leaf);
    } else if (!NOT_IN_LINK.has(path)) {
      found.set(path, value);
    }
  }
  return found;
}

/** What a link leaves out: the default of every setting, of either engine. */
const USUAL = new Map([...leaves(withSetting(standard(), "engine", { closed: closed(DEFAULT_SCENARIO) })), ...leaves(standard())]);

/**
 * What differs between two runs, as a reader says it: names of settings with the first one's values.
 * @type {(settings: Settings, than: Settings) => {label: string, value: unknown, id: string}[]}
 */
export function differences(settings, than) {
  const found = [];
  for (const control of CONTROLS) {
    // What another engine does not have is compared with its own default.
    const [value, there] = [getPath(settings, control.path), getPath(than, control.path)];
    const other = there === undefined ? getPath(ENGINES, control.path) : there;
    if (value === undefined || (control.shown !== undefined && !control.shown(settings))) continue;
    // How many bins there are belongs to there being bins at all, and a scheduler to closed batches.
    // What the engines have in them is compared setting by setting.
    const alike = control.path === "engine" ? kindOf(value) === kindOf(other) : same(value, other);
    const belongs = (control.id === "lab-bins" && !binned(than)) || (control.id === "lab-policy" && policy(than) === undefined);
    if (alike && !belongs) continue;
    found.push({ id: control.id, label: CONTROL[control.id]?.label ?? control.id, value: control.kind === "choice" ? (control.of ?? keyOf(control.options))(value) : value });
  }
  return found;
}

/** @type {(options: Record<string, unknown>) => (value: unknown) => string | undefined} */
const keyOf = (options) => (value) => Object.keys(options).find((key) => same(options[key], value));

// ---- The hash ----------------------------------------------------------------------------------

/** What the data sheet says of a model put on GPUs, in place of the settings. @param {string} path */
const ofDataSheet = (path) => ["step_error", `${SERVER}.latency`, `${SERVER}.ceiling`, `${CLOSED}.latency`, `${CLOSED}.memory`].includes(path) || path.startsWith(`${SERVER}.memory.`);

/** One run's settings as `path=value` pairs. @param {Settings} settings */
function toPairs(settings) {
  const parts = server(settings) === undefined ? ["engine=closed"] : [];
  for (const [path, value] of leaves(settings)) {
    if (!USUAL.has(path) || same(value, USUAL.get(path))) continue;
    // A long table would fill the address bar.
    if (settings.on !== null && ofDataSheet(path)) continue;
    // Nor do closed batches take steps of a file from a link.
    if (server(settings) === undefined && (path === "on" ? value === null : ofDataSheet(path))) continue;
    if (["step_error", `${SERVER}.latency`].includes(path) && kindOf(server(settings)?.latency) !== "linear") continue;
    parts.push(`${path}=${encodeURIComponent(typeof value === "string" ? value : JSON.stringify(value))}`);
  }
  return parts.join("&");
}

const FIRST = JSON.stringify(firstRuns());

/** The first run's settings, those of the others, the name of their trace file. @param {LabRun[]} runs */
export function toHash(runs) {
  if (JSON.stringify(runs) === FIRST) return "#lab";
  const [now, ...pinned] = runs;
  const parts = [`lab=${VERSION}`];
  if (now !== undefined && "file" in now.settings.trace) parts.push(`file=${encodeURIComponent(now.settings.trace.file.name)}`);
  const own = now === undefined ? "" : toPairs(now.settings);
  if (own !== "") parts.push(own);
  for (const { slot, settings } of pinned) parts.push(`${slot.slice(-1)}=${encodeURIComponent(toPairs(settings))}`);
  return `#${parts.join("&")}`;
}

/**
 * Reads a hash; what it says is never trusted. Whether a value is in its range is for the controls to
 * say, and where there is none, for the core.
 * @param {string} hash
 * @returns {{runs: LabRun[], file: string | null, notices: string[]}} `file`: the trace file that the link
 *   was made with, if it was
 */
export function fromHash(hash) {
  /** @type {string[]} */
  const notices = [];
  const text = hash.replace(/^#/, "");
  if (text === "lab" || text === "") return { runs: firstRuns(), file: null, notices };
  const pairs = text.length > MOST_LETTERS ? [] : [...new URLSearchParams(text.replaceAll("+", "%2B"))];
  const version = pairs.find(([key]) => key === "lab")?.[1];
  if (version !== "1" && version !== VERSION) {
    notices.push(NOTICE.otherVersion(shorten(version ?? "?")));
    return { runs: firstRuns(), file: null, notices };
  }
  /** @type {LabRun[]} */
  const runs = [{ slot: "run-a", settings: fromPairs(pairs.filter(([key]) => key !== "lab" && key !== "file" && key.length > 1), version, notices) }];
  for (const slot of SLOTS.slice(1)) {
    const of = pairs.find(([key]) => key === slot.slice(-1))?.[1];
    if (of === undefined) continue;
    runs.push({ slot, settings: fromPairs([...new URLSearchParams(of.replaceAll("+", "%2B"))], version, notices) });
  }
  const file = pairs.find(([key]) => key === "file")?.[1];
  return { runs, file: file === undefined ? null : shorten(file), notices };
}

/** @type {(pairs: [string, string][], version: string, notices: string[]) => Settings} */
function fromPairs(pairs, version, notices) {
  const batched = pairs.some(([path, text]) => path === "engine" && text === "closed");
  const settings = batched ? withSetting(standard(), "engine", { closed: closed(DEFAULT_SCENARIO) }) : standard();
  for (const [given, text] of pairs.slice(0, 100)) {
    const path = version === "1" ? renamed(given, "continuous") : given;
    if (path === "engine" && batched) continue;
    if (!USUAL.has(path)) {
      notices.push(NOTICE.unknownKey(shorten(path)));
      continue;
    }
    const value = decode(path, text, USUAL.get(path));
    if (value === undefined) notices.push(NOTICE.badHash(path, shorten(text)));
    else setPath(settings, path, value);
  }
  if (settings.on === null && server(settings) !== undefined) return settings;
  settings.on ??= standard().on;
  for (const [path, value] of leaves(settings)) {
    if (!ofDataSheet(path) || same(value, USUAL.get(path))) continue;
    notices.push(NOTICE.ofDataSheet(path));
    setPath(settings, path, structuredClone(USUAL.get(path)));
  }
  return settings;
}

/** A leaf's value from a link's text; undefined where the text is none. @type {(path: string, text: string, usual: unknown) => unknown} */
function decode(path, text, usual) {
  const value = typeof usual === "string" && !WHOLE.has(path) ? text : parsed(text);
  if (path === "on") return placement(value);
  const control = CONTROLS.find((one) => one.path === path);
  const good = control === undefined ? alike(value, shapeOf(path, usual)) : legal(control, value);
  const parts = CONTROLS.filter((one) => one.path.startsWith(`${path}.`));
  const inner = (/** @type {Control} */ part) => getPath(value, part.path.slice(path.length + 1));
  return good && parts.every((part) => inner(part) === undefined || legal(part, inner(part))) ? value : undefined;
}

/** JSON, or a word where a value may also be an object. @param {string} text @returns {unknown} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Whether a control can show a value. @type {(control: Control, value: unknown) => boolean} */
function legal(control, value) {
  switch (control.kind) {
    case "number":
      return value === null ? control.empty !== undefined : typeof value === "number" && allows(control, value);
    case "switch":
      return typeof value === "boolean";
    case "list":
      return Array.isArray(value) && value.length <= 64 && value.every((item) => alike(item, control.item));
    case "choice": {
      const key = (control.of ?? keyOf(control.options))(value);
      return key !== undefined && Object.hasOwn(control.options, key) && alike(value, control.options[key]);
    }
  }
}

/** What a value without a control looks like. @type {(path: string, usual: unknown) => unknown} */
function shapeOf(path, usual) {
  if (path === `${SERVER}.latency`) return { linear: { .../** @type {object} */ (getPath(usual, "linear")), compute: OPTIONAL } };
  return path === `${SERVER}.ceiling` ? OPTIONAL : usual;
}
/** The shape of a part that may be absent. */
const OPTIONAL = {};

/** Whether a value has the same type and the same parts as another; their ranges are the core's to check. @type {(value: unknown, usual: unknown) => boolean} */
function alike(value, usual) {
  // An optional number.
  if (usual === null) return value === null || Number.isFinite(value);
  if (Array.isArray(usual)) return Array.isArray(value) && value.length <= 128 && value.every(Number.isFinite);
  if (typeof usual === "number") return Number.isFinite(value);
  if (typeof usual !== "object") return typeof value === typeof usual;
  if (usual === OPTIONAL && value === null) return true;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  if (usual === OPTIONAL) return true;
  const parts = Object.entries(usual);
  return parts.length === Object.keys(value).length && parts.every(([key, part]) => Object.hasOwn(value, key) && alike(getPath(value, key), part));
}

/** A placement, or nothing, from a link. @param {unknown} value @returns {Placement | null | undefined} */
function placement(value) {
  if (value === null) return null;
  if (typeof value !== "object") return undefined;
  const { model, hardware, precision, memory_share } = /** @type {Record<string, unknown>} */ (value);
  const known = MODELS.includes(String(model)) && HARDWARE.includes(String(hardware)) && PRECISIONS.includes(String(precision));
  const share = CONTROLS.find(({ id }) => id === "lab-memory-share");
  return known && share !== undefined && legal(share, memory_share) ? /** @type {Placement} */ ({ model, hardware, precision, memory_share }) : undefined;
}
