// The figures of the article: what each asks of the simulator, and what of the answer is drawn. Pure
// but for the simulator that is handed in, so that the same picture stands in index.html and on the page.
//
//   settings  --compute (in the worker)-->  data  --spec-->  picture, cursor, sentence, table

import { count, duration, number, percent, withUnit } from "../format.js";
import { DEFAULT_STEPS } from "../defaults.js";
import { closed } from "../scenario.js";
import { BURSTS, DEFAULT_SCENARIO, POLICIES, setPath, toHash } from "../state.js";
import { NAME } from "../charts/palette.js";
import { at, ticks } from "./draw.js";
import { FIGURE, NAMES } from "./words.js";

/** @import { Key } from "../charts/palette.js" */
/** @import { Control } from "../state.js" */
/** @import { Policy, Scenario } from "../types.js" */
/** @import { Chart, Curve, Spec } from "./draw.js" */
/** @import { Sim } from "./sim.js" */

/** Values of a figure's controls. @typedef {Record<string, any>} Settings */

/** @typedef {{head: string, columns: {name: string, text: (value: number) => string}[], rows: {label: string, cells: number[]}[]}} Table */

/**
 * @template D
 * @typedef {object} Figure
 * @property {string} id as in index.html, in links and in `?embed=`
 * @property {Control[]} controls
 * @property {Settings} standard
 * @property {(sim: Sim, settings: Settings) => D} compute
 * @property {(data: D, settings: Settings) => Spec} spec
 * @property {(data: D, settings: Settings) => string} sentence
 * @property {(data: D, settings: Settings) => Table} table every number, with how it is written
 * @property {(settings: Settings) => string} [lab] the link to the laboratory with these settings
 */

/** @type {(figure: string, id: string, unit: string, stops: number[], whole?: boolean) => Control} */
const slider = (figure, id, unit, stops, whole = true) => ({
  kind: "number", id: `${figure}-${id}`, path: id, group: "all", unit, whole, stops,
  min: stops[0] ?? 0, max: stops.at(-1) ?? 1,
});

/** @type {(figure: string, id: string, options: string[]) => Control} */
const choice = (figure, id, options) => ({ kind: "choice", id: `${figure}-${id}`, path: id, group: "all", options: Object.fromEntries(options.map((key) => [key, key])) });

/** @type {(name: string, text: (value: number) => string) => {name: string, text: (value: number) => string}} */
const col = (name, text) => ({ name, text });

/** @type {(low: number, high: number) => number[]} */
const upTo = (low, high) => Array.from({ length: high - low + 1 }, (_, i) => low + i);

/** The page's own scenario with a load in bursts and some of it changed. @param {(scenario: Scenario) => void} change */
function scenario(change) {
  const made = structuredClone(DEFAULT_SCENARIO);
  for (const [path, value] of BURSTS) setPath(made, path, value);
  change(made);
  return made;
}

/** @param {Scenario} made */
const labLink = (made) => toHash({ scenario: made, shown: [...POLICIES] }) || `#v=${DEFAULT_SCENARIO.version}`;

/** Share of the requests within the request SLA. @param {import("../types.js").Summary} summary */
const within = (summary) => summary.honest.sla.request ?? NaN;

/** @type {(share: number) => string} */
const tick = (share) => `${Math.round(share * 100)}\u202f%`;

/** @type {import("./draw.js").Scale} */
const SHARE = { kind: "linear", min: 0, max: 1, label: NAMES.kept, ticks: at([0, 0.25, 0.5, 0.75, 1], tick), text: percent };

/** From 0 up, or from `min`. @type {(label: string, max: number, count: number, text: (value: number) => string, min?: number) => import("./draw.js").Scale} */
const linear = (label, max, marks, text, min = 0) => ({ kind: "linear", min, max, label, ticks: ticks(min, max, marks, text), text });

// ---- What a fleet can promise ------------------------------------------------------------------

/** @param {Settings} s */
const promised = (s) => scenario((made) => {
  made.bins.count = s["k"];
  made.fleet.gpus = s["gpus"];
  made.sla.request_s = s["sla"];
});

/** @type {Figure<{rate: number, rows: {policy: Policy, kept: number, p99: number}[]}>} */
const promise = {
  id: "promise",
  controls: [
    slider("promise", "k", "bins", [...upTo(1, 12), 16, 24, 32]),
    slider("promise", "sla", "s", [2, 3, 5, 7, 10, 12, 15, 20, 25, 30, 40, 60, 120]),
    slider("promise", "gpus", "GPUs", [...upTo(4, 16), 18, 20, 24, 28, 32, 48, 64]),
  ],
  standard: { k: 8, sla: 20, gpus: 16 },
  compute(sim, s) {
    const made = promised(s);
    let rate = NaN;
    const rows = POLICIES.map((policy) => {
      const { summary } = sim.run(made, policy);
      rate = summary.workload.offered_requests_per_s ?? NaN;
      return { policy, kept: within(summary), p99: summary.honest.e2e_s?.p99 ?? NaN };
    });
    return { rate, rows };
  },
  spec: ({ rows }) => ({
    kind: "strips",
    label: NAMES.kept,
    rows: rows.map(({ policy, kept }) => ({ key: policy, name: NAME[policy].name, marks: [{ at: kept, text: percent(kept), hollow: false }] })),
  }),
  sentence: (data, s) => FIGURE.promise.sentence(data, s),
  table: ({ rows }) => ({
    head: NAMES.scheduler,
    columns: [col(NAMES.kept, percent), col(NAMES.p99, duration)],
    rows: rows.map(({ policy, kept, p99 }) => ({ label: NAME[policy].name, cells: [kept, p99] })),
  }),
  lab: (s) => labLink(promised(s)),
};

// ---- One step reads all weights ----------------------------------------------------------------

const MODELS = ["llama-3.2-1b", "qwen3-4b", "llama-3.1-8b"];
const CARDS = ["l4", "rtx-4090", "a100", "h100", "h200"];
const SEQUENCES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];
const MANY = at([1, 2, 4, 8, 16, 32, 64, 128, 256, 512], String);
const MS = [1e-3, 1e-2, 0.1, 1, 10, 100, 1000, 10_000];

/** @type {Figure<import("../types.js").Cost>} */
const decode = {
  id: "decode",
  controls: [choice("decode", "model", MODELS), choice("decode", "card", CARDS), slider("decode", "context", "tokens", [128, 256, 512, 1024, 2048, 4096, 8192, 16_384])],
  standard: { model: "llama-3.1-8b", card: "h100", context: 512 },
  compute: (sim, s) => sim.costs(s["model"], s["card"], "f16", s["context"], SEQUENCES),
  spec(cost) {
    const ms = (/** @type {Float64Array | number[]} */ column) => [...column].map((s) => s * 1e3);
    /** @type {Curve[]} */
    const curves = [
      { key: "series-a", name: NAMES.step, x: SEQUENCES, y: ms(cost.step_s), look: "line" },
      { key: "series-b", name: NAMES.weights, x: SEQUENCES, y: SEQUENCES.map(() => cost.weights_s * 1e3), look: "line" },
      { key: "series-c", name: NAMES.cache, x: SEQUENCES, y: ms(cost.cache_s), look: "line" },
      { key: "series-d", name: NAMES.each, x: SEQUENCES, y: [...cost.step_s].map((s, i) => (s * 1e3) / (SEQUENCES[i] ?? 1)), look: "line" },
    ];
    return chartOf(logX(NAMES.sequences, 1, 512, MANY), [panelOf(logY("ms", curves, MS, (value) => number(value)), curves, 260)]);
  },
  sentence: (cost, s) => FIGURE.decode.sentence(cost, s, SEQUENCES),
  table: (cost) => ({
    head: NAMES.sequences,
    columns: [NAMES.step, NAMES.weights, NAMES.cache, NAMES.each].map((name) => col(name, duration)),
    rows: SEQUENCES.map((sequences, i) => ({
      label: String(sequences),
      cells: [cost.step_s[i] ?? NaN, cost.weights_s, cost.cache_s[i] ?? NaN, (cost.step_s[i] ?? NaN) / sequences],
    })),
  }),
};

// ---- A closed batch waits for its longest ------------------------------------------------------

/** Full batches at once, on one GPU that never rests. @type {(size: number, bins: number) => Scenario} */
const backlog = (size, bins) => scenario((made) => {
  made.trace = { synthetic: { requests: 4000, shape: "burstgpt-like" } };
  made.workload.time_scale = 1e6;
  made.fleet.gpus = 1;
  made.bins.full_batch = size;
  closed(made).static_batch = size;
  made.bins.count = bins;
  made.predictor.kind = "oracle";
});

/** Members' tokens, batch by batch. @param {import("./sim.js").Ran} ran */
function members(ran) {
  const requests = ran.requests();
  /** @type {number[][]} */
  const found = [];
  for (let i = 0; i < requests.batch.length; i += 1) (found[requests.batch[i] ?? 0] ??= []).push((requests.prompt_tokens[i] ?? 0) + (requests.output_tokens[i] ?? 0));
  return found;
}

/** @type {Figure<{batch: number[], waste: number}>} */
const wait = {
  id: "wait",
  controls: [slider("wait", "size", "requests", [2, 4, 8, 12, 16, 24, 32, 48]), slider("wait", "which", "", upTo(1, 40))],
  standard: { size: 16, which: 3 },
  compute(sim, s) {
    const ran = sim.run(backlog(s["size"], 1), "static-fifo");
    const full = members(ran).filter((batch) => batch.length === s["size"]);
    return { batch: full[(s["which"] - 1) % full.length] ?? [], waste: ran.summary.honest.padding_waste ?? NaN };
  },
  spec: ({ batch }) => ({ kind: "slots", label: NAMES.tokens, longest: 1, groups: [{ title: NAMES.aBatch(batch.length), key: "static-fifo", batches: [batch] }] }),
  sentence: (data, s) => FIGURE.wait.sentence(data, s),
  table: ({ batch }) => ({
    head: NAMES.member,
    columns: [col(NAMES.ownTokens, count), col(NAMES.idleTokens, count)],
    rows: batch.map((tokens, i) => ({ label: String(i + 1), cells: [tokens, Math.max(...batch) - tokens] })),
  }),
};

/** Batches that are shown of each run: evenly out of all, sorted by bin and length. */
const SHOWN = 8;

/** @type {Figure<{groups: {bins: number, batches: number[][], waste: number, served: number}[]}>} */
const bins = {
  id: "bins",
  controls: [slider("bins", "k", "bins", upTo(1, 16)), slider("bins", "size", "requests", [4, 8, 12, 16, 24])],
  standard: { k: 4, size: 12 },
  compute: (sim, s) => ({
    groups: [1, s["k"]].map((k) => {
      const ran = sim.run(backlog(s["size"], k), "multi-bin");
      const { bin, longest_total: longest } = ran.batches();
      const all = members(ran)
        .map((batch, i) => ({ batch, bin: bin[i] ?? 0, longest: longest[i] ?? 0 }))
        .filter(({ batch }) => batch.length === s["size"])
        .sort((a, b) => a.bin - b.bin || a.longest - b.longest);
      const batches = upTo(0, SHOWN - 1).map((i) => all[Math.floor(((i + 0.5) / SHOWN) * all.length)]?.batch ?? []);
      return { bins: k, batches, waste: ran.summary.honest.padding_waste ?? NaN, served: ran.summary.published?.requests_per_s ?? NaN };
    }),
  }),
  spec: ({ groups }) => ({
    kind: "slots",
    label: NAMES.tokens,
    longest: 1,
    groups: groups.map(({ bins: k, batches }) => ({ title: NAMES.someBatches(k, batches.length), key: k === 1 ? "static-fifo" : "multi-bin", batches })),
  }),
  sentence: (data, s) => FIGURE.bins.sentence(data, s),
  table: ({ groups }) => ({
    head: NAMES.binCount,
    columns: [col(NAMES.waste, percent), col(NAMES.throughput, (value) => withUnit(value, "requests/s"))],
    rows: groups.map(({ bins: k, waste, served }) => ({ label: String(k), cells: [waste, served] })),
  }),
};

// ---- The theorem -------------------------------------------------------------------------------

const KS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
/** Shortest and longest request of the theorem's example, tokens. */
const LEAST = 20;
const MOST = 1000;

/** Requests per second of busy time, without what was left in the bins at the end: the theorem knows full batches only. @type {(batches: import("../types.js").BatchColumns, size: number) => number} */
function ofFullBatches({ size: sizes, start_s: starts, end_s: ends }, size) {
  let [requests, busy] = [0, 0];
  for (const [i, members] of sizes.entries()) {
    if (members !== size) continue;
    requests += members;
    busy += (ends[i] ?? NaN) - (starts[i] ?? NaN);
  }
  return requests / busy;
}

/** @type {Figure<{k: number[], theory: number[], simulated: number[], limit: number}>} */
const theorem = {
  id: "theorem",
  controls: [slider("theorem", "size", "requests", [2, 4, 8, 16, 32, 64])],
  standard: { size: 16 },
  compute(sim, s) {
    const beta = 0.005;
    const per = sim.theory(s["size"], LEAST * beta, MOST * beta, [...KS, 1e9]);
    const simulated = KS.map((k) => {
      const made = backlog(s["size"], k);
      made.trace = { synthetic: { requests: 20_000, shape: { custom: { arrivals: { poisson: { rate: 1000 } }, prompt: { fixed: { tokens: 1 } }, output: { uniform: { min: LEAST - 1, max: MOST - 1 } }, failed_share: 0 } } } };
      closed(made).latency = { linear: { alpha_s: 0, beta_s_per_token: beta, gamma: 0, growth: 0, floor_s: 1e-9 } };
      return ofFullBatches(sim.run(made, "multi-bin").batches(), s["size"]);
    });
    const one = per[0] ?? 1;
    return { k: KS, theory: KS.map((_, i) => (per[i] ?? NaN) / one), simulated: simulated.map((value) => value / one), limit: (per[KS.length] ?? NaN) / one };
  },
  spec({ k, theory, simulated, limit }) {
    /** @type {Curve[]} */
    const curves = [
      { key: "series-b", name: NAMES.theory, x: k, y: theory, look: "line" },
      { key: "multi-bin", name: NAMES.simulated, x: k, y: simulated, look: "dots" },
    ];
    const most = Math.max(limit, ...simulated) * 1.04;
    return chartOf(logX(NAMES.binCount, 1, 32, at([1, 2, 4, 8, 16, 32], String)), [
      { ...panelOf(linear(NAMES.speedUp, most, 5, (value) => `×\u202f${number(value)}`, 1), curves, 240), rule: { at: limit, text: NAMES.limit(limit) } },
    ]);
  },
  sentence: (data, s) => FIGURE.theorem.sentence(data, s),
  table: ({ k, theory, simulated }) => ({
    head: NAMES.binCount,
    columns: [NAMES.theory, NAMES.simulated].map((name) => col(name, (value) => `× ${value.toFixed(3)}`)),
    rows: k.map((bin, i) => ({ label: String(bin), cells: [theory[i] ?? NaN, simulated[i] ?? NaN] })),
  }),
};

// ---- The controller at work --------------------------------------------------------------------

/**
 * The decode times of the controller's paper, 30 ms and 0.22 ms more for each request in the batch, and
 * more requests than one GPU can serve.
 * @param {Settings} s
 */
const steered = (s) => scenario((made) => {
  made.trace = { synthetic: { requests: 20_000, shape: "burstgpt-like" } };
  made.workload.time_scale = 1e6;
  made.fleet.gpus = 1;
  closed(made).latency = { linear: { alpha_s: 0, beta_s_per_token: 0.0302, gamma: 0, growth: 0.22 / 30.2, floor_s: 1e-9 } };
  closed(made).memory.capacity_gb = 200;
  made.sla.token_ms = s["target"];
  closed(made).max_batch = 256;
  Object.assign(closed(made).controller, { variant: s["variant"], feedback: "decode", epsilon_s: 0.0005, initial_batch: s["first"] });
});
/** Batches that are shown. */
const STEPS = 80;

/** @type {Figure<{t: number[], low: number[], high: number[], size: number[], tau: number[]}>} */
const controller = {
  id: "controller",
  controls: [
    slider("controller", "target", "ms", [32, 35, 40, 45, 50, 55, 60, 70, 80]),
    slider("controller", "first", "requests", [1, 8, 16, 32, 64, 128, 200]),
    choice("controller", "variant", ["nov29", "paper"]),
  ],
  standard: { target: 50, first: 64, variant: "paper" },
  compute(sim, s) {
    const columns = sim.run(steered(s), "dynamic").controller(0);
    const shown = Math.min(STEPS, columns.start_s.length);
    const head = (/** @type {Float64Array | Uint32Array} */ column, scale = 1) => [...column.slice(0, shown)].map((value) => value * scale);
    return { t: upTo(1, shown), low: head(columns.low), high: head(columns.high), size: head(columns.size), tau: head(columns.tau_s, 1e3) };
  },
  spec(data, s) {
    const most = Math.max(...data.high, 1) * 1.02;
    const slow = Math.max(s["target"] * 1.3, ...data.tau) * 1.02;
    /** @type {Curve[]} */
    const above = [{ key: "series-b", name: NAMES.tau, x: data.t, y: data.tau, look: "line" }];
    /** @type {Curve[]} */
    const below = [
      { key: "dynamic", name: NAMES.interval, x: data.t, y: data.high, below: data.low, look: "band" },
      { key: "series-a", name: NAMES.size, x: data.t, y: data.size, look: "steps" },
    ];
    return chartOf(linear(NAMES.nth, Math.max(2, data.t.length), 6, number, 1), [
      { ...panelOf(linear(NAMES.tokenTime, slow, 4, number), above, 110), rule: { at: s["target"], text: NAMES.target(s["target"]) } },
      panelOf(linear(NAMES.batchSize, most, 4, number), below, 150),
    ]);
  },
  sentence: (data, s) => FIGURE.controller.sentence(data, s),
  table: ({ t, low, high, size, tau }) => ({
    head: NAMES.nth,
    columns: [col(NAMES.low, number), col(NAMES.high, number), col(NAMES.size, count), col(NAMES.tau, (value) => withUnit(value, "ms"))],
    rows: t.map((n, i) => ({ label: String(n), cells: [low[i] ?? NaN, high[i] ?? NaN, size[i] ?? NaN, tau[i] ?? NaN] })),
  }),
  lab: (s) => labLink(steered(s)),
};

// ---- Memory ------------------------------------------------------------------------------------

const CONTEXTS = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
/** @type {[Key, string][]} */
const STORED = [["series-a", "f16"], ["series-b", "int8"], ["series-c", "int4"]];

/** @type {Figure<{kb: number, fits: Record<string, number[]>, weights: Record<string, number>, memory: number}>} */
const memory = {
  id: "memory",
  controls: [choice("memory", "model", MODELS), choice("memory", "card", CARDS)],
  standard: { model: "llama-3.1-8b", card: "rtx-4090" },
  compute(sim, s) {
    /** @type {Record<string, number[]>} */
    const fits = {};
    /** @type {Record<string, number>} */
    const weights = {};
    let [kb, all] = [NaN, NaN];
    for (const [, precision] of STORED) {
      const cost = sim.costs(s["model"], s["card"], precision, 1, [1]);
      weights[precision] = cost.weight_bytes;
      kb = cost.token_bytes;
      all = cost.memory_bytes;
      fits[precision] = CONTEXTS.map((context) => Math.max(0, Math.floor((cost.memory_bytes * cost.memory_share - cost.weight_bytes) / (cost.token_bytes * context))));
    }
    return { kb, fits, weights, memory: all };
  },
  spec({ fits }) {
    // What does not fit once is no point of a logarithmic axis.
    const curves = STORED.map(([key, precision]) => {
      const y = fits[precision] ?? [];
      return /** @type {Curve} */ ({ key, name: NAMES.precision(precision), x: CONTEXTS.filter((_, i) => (y[i] ?? 0) >= 1), y: y.filter((value) => value >= 1), look: "line" });
    });
    return chartOf(logX(NAMES.perRequest, 256, 131_072, at([256, 1024, 4096, 16_384, 65_536], count)), [panelOf(logY(NAMES.atOnce, curves, [1, 10, 100, 1000, 10_000], count), curves, 240)]);
  },
  sentence: (data, s) => FIGURE.memory.sentence(data, s, CONTEXTS),
  table: ({ fits }) => ({
    head: NAMES.perRequest,
    columns: STORED.map(([, precision]) => col(NAMES.precision(precision), count)),
    rows: CONTEXTS.map((context, i) => ({ label: String(context), cells: STORED.map(([, precision]) => fits[precision]?.[i] ?? NaN) })),
  }),
};

// ---- Bursts ------------------------------------------------------------------------------------

/** @param {Settings} s */
const bursting = (s) => scenario((made) => {
  made.fleet.gpus = s["gpus"];
});

/** Requests of the same lengths, at random moments of the same rate. @type {(like: Scenario, ran: import("./sim.js").Ran) => Scenario} */
function evenly(like, ran) {
  const { prompt_tokens, output_tokens } = ran.requests();
  /** @param {Uint32Array} column */
  const drawn = (column) => ({ empirical: { values: [...column], weights: [] } });
  const { offered_requests_per_s: rate, rows_replayed: requests } = ran.summary.workload;
  const made = structuredClone(like);
  made.trace = { synthetic: { requests, shape: { custom: { arrivals: { poisson: { rate: rate ?? 1 } }, prompt: drawn(prompt_tokens), output: drawn(output_tokens), failed_share: 0 } } } };
  made.workload.time_scale = 1;
  return made;
}

/** @type {Figure<{end: number, rate: number, runs: {key: Key, name: string, t: number[], waiting: number[], kept: number, p99: number}[]}>} */
const bursts = {
  id: "bursts",
  controls: [slider("bursts", "gpus", "GPUs", [...upTo(8, 16), 18, 20, 24, 28, 32, 48, 64])],
  standard: { gpus: 20 },
  compute(sim, s) {
    const made = bursting(s);
    const recorded = sim.run(made, "dynamic");
    const { span_s: end, offered_requests_per_s: rate } = recorded.summary.workload;
    const first = view("series-a", NAMES.bursts, recorded);
    const second = view("series-b", NAMES.poisson, sim.run(evenly(made, recorded), "dynamic"));
    return { end, rate: rate ?? NaN, runs: [first, second] };
  },
  spec({ end, runs }) {
    const most = Math.max(10, ...runs.flatMap(({ waiting }) => waiting)) * 1.05;
    return chartOf(linear(NAMES.hours, end / 3600, 6, number), [
      panelOf(linear(NAMES.waiting, most, 4, number), runs.map(({ key, name, t, waiting }) => ({ key, name, x: t.map((s) => s / 3600), y: waiting, look: "line" })), 220),
    ]);
  },
  sentence: (data, s) => FIGURE.bursts.sentence(data, s),
  table: ({ runs }) => ({
    head: NAMES.arrivals,
    columns: [col(NAMES.kept, percent), col(NAMES.p99, duration), col(NAMES.peak, count)],
    rows: runs.map(({ name, kept, p99, waiting }) => ({ label: name, cells: [kept, p99, Math.max(...waiting)] })),
  }),
  lab: (s) => labLink(bursting(s)),
};

/** @type {(key: Key, name: string, ran: import("./sim.js").Ran) => {key: Key, name: string, t: number[], waiting: number[], kept: number, p99: number}} */
function view(key, name, ran) {
  const { t_s, waiting_mean } = ran.series(160);
  return { key, name, t: [...t_s], waiting: [...waiting_mean], kept: within(ran.summary), p99: ran.summary.honest.e2e_s?.p99 ?? NaN };
}

// ---- More GPUs ---------------------------------------------------------------------------------

const FLEETS = [4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64];

/** @type {Figure<{gpus: number[], kept: Record<string, number[]>}>} */
const gpus = {
  id: "gpus",
  controls: [slider("gpus", "k", "bins", [...upTo(1, 12), 16]), slider("gpus", "sla", "s", [5, 7, 10, 12, 15, 20, 30, 60]), slider("gpus", "share", "%", [80, 90, 95, 98, 99])],
  standard: { k: 8, sla: 20, share: 95 },
  compute: (sim, s) => ({
    gpus: FLEETS,
    kept: Object.fromEntries(POLICIES.map((policy) => [policy, FLEETS.map((fleet) => within(sim.run(promised({ ...s, gpus: fleet }), policy).summary))])),
  }),
  spec({ gpus: fleets, kept }, s) {
    const curves = POLICIES.map((policy) => /** @type {Curve} */ ({ key: policy, name: NAME[policy].name, x: fleets, y: kept[policy] ?? [], look: "line" }));
    return chartOf(logX(NAMES.gpus, 4, 64, at([4, 8, 16, 32, 64], String)), [{ ...panelOf(SHARE, curves, 240), rule: { at: s["share"] / 100, text: NAMES.asked(s["share"]) } }]);
  },
  sentence: (data, s) => FIGURE.gpus.sentence(data, s),
  table: ({ gpus: fleets, kept }) => ({
    head: NAMES.gpus,
    columns: POLICIES.map((policy) => col(NAME[policy].name, percent)),
    rows: fleets.map((fleet, i) => ({ label: String(fleet), cells: POLICIES.map((policy) => kept[policy]?.[i] ?? NaN) })),
  }),
  lab: (s) => labLink(promised({ ...s, gpus: 16 })),
};

// ---- How wrong may the predictor be ------------------------------------------------------------

const SIGMAS = [0, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3];

/** @type {(s: Settings, sigma: number) => Scenario} */
const predicted = (s, sigma) => scenario((made) => {
  made.bins.count = s["k"];
  made.fleet.gpus = s["gpus"];
  made.predictor.sigma = sigma;
});

/** @type {Figure<{bins: number[], one: number, accuracy: number[]}>} */
const error = {
  id: "error",
  controls: [slider("error", "k", "bins", [...upTo(2, 12), 16]), slider("error", "gpus", "GPUs", [...upTo(8, 16), 18, 20, 24, 32])],
  standard: { k: 8, gpus: 16 },
  compute(sim, s) {
    const runs = SIGMAS.map((sigma) => sim.run(predicted(s, sigma), "multi-bin-dynamic").summary);
    return {
      bins: runs.map(within),
      one: within(sim.run(predicted(s, 0), "dynamic").summary),
      accuracy: runs.map((summary) => summary.honest.prediction?.bin_accuracy ?? NaN),
    };
  },
  spec({ bins: kept, one, accuracy }) {
    /** @type {Curve[]} */
    const curves = [
      { key: "multi-bin-dynamic", name: NAME["multi-bin-dynamic"].name, x: SIGMAS, y: kept, look: "line" },
      { key: "dynamic", name: NAME.dynamic.name, x: SIGMAS, y: SIGMAS.map(() => one), look: "line" },
      { key: "series-d", name: NAMES.rightBin, x: SIGMAS, y: accuracy, look: "line" },
    ];
    return chartOf(linear(NAMES.sigma, 3, 6, number), [panelOf({ ...SHARE, label: NAMES.shareOf }, curves, 240)]);
  },
  sentence: (data, s) => FIGURE.error.sentence(data, s, SIGMAS),
  table: ({ bins: kept, one, accuracy }) => ({
    head: NAMES.sigma,
    columns: [NAME["multi-bin-dynamic"].name, NAME.dynamic.name, NAMES.rightBin].map((name) => col(name, percent)),
    rows: SIGMAS.map((sigma, i) => ({ label: String(sigma), cells: [kept[i] ?? NaN, one, accuracy[i] ?? NaN] })),
  }),
  lab: (s) => labLink(predicted(s, 0.1)),
};

// ---- Counted twice -----------------------------------------------------------------------------

/** @type {Figure<{rows: {policy: Policy, published: number, honest: number}[]}>} */
const counted = {
  id: "counted",
  controls: [slider("counted", "target", "ms", [5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200]), slider("counted", "gpus", "GPUs", [4, 8, 12, 16, 24, 32])],
  standard: { target: 100, gpus: 16 },
  compute(sim, s) {
    const made = scenario((to) => {
      to.sla.token_ms = s["target"];
      to.fleet.gpus = s["gpus"];
    });
    return {
      rows: POLICIES.map((policy) => {
        const { summary } = sim.run(made, policy);
        const { published, workload } = summary;
        return { policy, published: published === null ? NaN : 1 - published.token_violations / workload.rows_replayed, honest: summary.honest.sla.token ?? NaN };
      }),
    };
  },
  spec: ({ rows }) => ({
    kind: "strips",
    label: NAMES.keptToken,
    rows: rows.map(({ policy, published, honest }) => ({
      key: policy,
      name: NAME[policy].name,
      marks: [{ at: published, text: NAMES.published(percent(published)), hollow: true }, { at: honest, text: percent(honest), hollow: false }],
    })),
  }),
  sentence: (data, s) => FIGURE.counted.sentence(data, s),
  table: ({ rows }) => ({
    head: NAMES.scheduler,
    columns: [NAMES.asPublished, NAMES.perRequestCount].map((name) => col(name, percent)),
    rows: rows.map(({ policy, published, honest }) => ({ label: NAME[policy].name, cells: [published, honest] })),
  }),
};

// ---- Closed against continuous -----------------------------------------------------------------

/** @type {import("../types.js").Memory} */
const MACHINE = { capacity_gb: 72, model_gb: 16.060522496, kv_gb_per_token: 0.000131072, margin_gb: 0 };

/** @type {(policy: Policy) => (made: Scenario) => void} */
const closedBatches = (policy) => (made) => {
  // As many as the others have at work, on the same machine.
  Object.assign(closed(made), { policy, max_batch: 256, latency: { steps: DEFAULT_STEPS }, memory: MACHINE });
};

/** What is not named is at its default, as in a scenario file. @type {(bins: boolean) => (made: Scenario) => void} */
const continuousBatching = (bins) => (made) => {
  made.engine = /** @type {any} */ ({ continuous: { bins, memory: MACHINE } });
};

/** Each takes the same steps. @type {[Key, string, (made: Scenario) => void][]} */
const SERVERS = [
  ["static-fifo", NAMES.closed, closedBatches("dynamic")],
  ["multi-bin", NAMES.closedBins, closedBatches("multi-bin-dynamic")],
  ["dynamic", NAMES.continuous, continuousBatching(false)],
  ["multi-bin-dynamic", NAMES.continuousBins, continuousBatching(true)],
];

/** @type {(s: Settings, serve: (made: Scenario) => void) => Scenario} */
const served = (s, serve) => scenario((made) => {
  made.trace = { synthetic: { requests: 3000, shape: { custom: { arrivals: { poisson: { rate: s["rate"] } }, prompt: { lognormal: { median: 421.5, sigma: 1 } }, output: { lognormal: { median: 145.6, sigma: 1 } }, failed_share: 0 } } } };
  made.workload.time_scale = 1;
  made.fleet.gpus = 1;
  made.bins.count = s["k"];
  made.predictor.kind = "oracle";
  serve(made);
});

/** @type {Figure<{rows: {key: Key, name: string, ttft: number, e2e: number, p99: number}[]}>} */
const continuous = {
  id: "continuous",
  controls: [slider("continuous", "rate", "requests/s", [1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 35, 40, 45], false), slider("continuous", "k", "bins", upTo(2, 8)), slider("continuous", "sla", "s", [1, 2, 3, 5, 7, 10, 15, 20, 30])],
  standard: { rate: 5, k: 4, sla: 10 },
  compute(sim, s) {
    const rows = [];
    for (const [key, name, serve] of SERVERS) {
      const made = served(s, serve);
      made.sla.request_s = s["sla"];
      const { honest } = sim.run(made).summary;
      rows.push({ key, name, ttft: honest.ttft_s?.p50 ?? NaN, e2e: honest.sla.request ?? NaN, p99: honest.e2e_s?.p99 ?? NaN });
    }
    return { rows };
  },
  spec: ({ rows }) => ({ kind: "strips", label: NAMES.kept, rows: rows.map(({ key, name, e2e }) => ({ key, name, marks: [{ at: e2e, text: percent(e2e), hollow: false }] })) }),
  sentence: (data, s) => FIGURE.continuous.sentence(data, s),
  table: ({ rows }) => ({
    head: NAMES.server,
    columns: [col(NAMES.kept, percent), col(NAMES.ttft50, duration), col(NAMES.p99, duration)],
    rows: rows.map(({ name, ttft, e2e, p99 }) => ({ label: name, cells: [e2e, ttft, p99] })),
  }),
};

// ---- All ---------------------------------------------------------------------------------------

/** In the order of the article. @type {readonly Figure<any>[]} */
export const FIGURES = [promise, decode, wait, bins, theorem, controller, memory, bursts, gpus, error, counted, continuous];

/** @type {(x: import("./draw.js").Scale, panels: import("./draw.js").Panel[]) => Chart} */
const chartOf = (x, panels) => ({ kind: "chart", x, panels, mark: null });

/** @type {(y: import("./draw.js").Scale, curves: Curve[], height: number) => import("./draw.js").Panel} */
const panelOf = (y, curves, height) => ({ y, curves, rule: null, height });

/** @type {(label: string, min: number, max: number, marks: {at: number, text: string}[]) => import("./draw.js").Scale} */
const logX = (label, min, max, marks) => ({ kind: "log", min, max, label, ticks: marks, text: (value) => `${number(value)} ${label.split(",")[0]}` });

/** @type {(label: string, curves: Curve[], marks: number[], write: (value: number) => string) => import("./draw.js").Scale} */
function logY(label, curves, marks, write) {
  const values = curves.flatMap(({ y }) => y).filter((value) => value > 0);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return { kind: "log", min: least / 1.2, max: most * 1.2, label, ticks: at(marks, write), text: write };
}
