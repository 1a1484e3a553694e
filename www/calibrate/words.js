// Every word of the calibrate view, apart from words.js so that the first picture does not wait for
// it. The same house rules.

import { count, duration, number, percent, withUnit } from "../format.js";

/** @import { Adapter, CalibratePlan, Calibration, ErrorReport, Proof as ServedProof, ProofLevel, ProofSide, ServedLevels } from "../types.js" */

/** What a model is called on screen; one that is not here goes by its name. @type {Record<string, string>} */
export const MODEL = {
  demo: "demo model (made up, tiny)",
  "qwen3-0.6b": "Qwen3 0.6B",
  "llama-3.2-1b": "Llama 3.2 1B",
  "qwen3-1.7b": "Qwen3 1.7B",
  "qwen3-4b": "Qwen3 4B",
  "qwen3-8b": "Qwen3 8B",
  "llama-3.1-8b": "Llama 3.1 8B",
};

/** @type {Record<string, string>} */
export const PRECISION = {
  f32: "f32, 4 bytes each",
  f16: "f16, 2 bytes each",
  int8: "int8, 1.06 bytes each",
  int4: "int4, 0.56 bytes each",
};

/** @param {string} name */
export const modelName = (name) => MODEL[name] ?? name;

export const VIEW = {
  pageTitle: "Your GPU – Batchscope",
  title: "Your GPU",
  lead: "Measure how fast this computer’s GPU decodes tokens, then let the simulator answer for it. The page runs a real language model with random weights, times whole steps of it and predicts from them. Then it serves users on it and shows how far the prediction was off. Nothing leaves this machine.",
  settings: "What to run",
  model: "Model",
  modelHelp: /** @type {(layers: number, weights: number) => string} */ (layers, weights) =>
    `${count(layers)} layers, ${weights < 1e9 ? `${number(weights / 1e6)} million` : `${number(weights / 1e9)} billion`} weights read in each step, filled at random.`,
  precision: "Weights",
  precisionHelp: "As they are stored; arithmetic is f32.",
  noF16: "This adapter has no shader-f16: f16 weights are unpacked by integer means, which costs some time.",
  length: "Length",
  lengths: { default: "default", quick: "quick: fewer points, wider intervals" },
  plan: "What will run",
  planning: "Working out what would run.",
  planned: /** @param {CalibratePlan} plan */ ({ seconds, bytes, layers }) =>
    `About ${duration(seconds)} with ${bytesOf(bytes)} of GPU memory and ${count(layers)} ${layers === 1 ? "layer" : "layers"} of the model. The screen may stutter meanwhile. It starts when you press the button, not before.`,
  steps: "Step by step",
  calibrate: "Calibrate",
  again: "Calibrate again",
  cancel: "Cancel",
  tryAgain: "Look for a GPU again",
  import: "Open a calibration file",
  importHelp: "or drop one here: what this page or batchscope calibrate saved",
  dropNow: "Drop to open this calibration",
  adapter: "Adapter",
  looking: "Asking the browser for a GPU.",
  loading: "Loading the kernels.",
  features: "Features",
  limits: "Limits",
};

/** The adapter as rows of a list. @param {Adapter} a @returns {[string, string][]} */
export function adapterRows(a) {
  const features = [
    a.subgroups ? (a.subgroup_min === a.subgroup_max ? `subgroups of ${a.subgroup_min}` : `subgroups of ${a.subgroup_min} to ${a.subgroup_max}`) : "no subgroups",
    a.shader_f16 ? "shader-f16" : "no shader-f16",
    a.timestamps ? "timestamps" : "no timestamps",
  ];
  /** @type {[string, string][]} */
  const rows = [
    ["Adapter", a.software ? `${a.name || "not named"} (software: a processor plays the GPU)` : a.name || "not named by the browser"],
    ["Reached through", [a.backend === "BrowserWebGpu" ? "WebGPU" : a.backend, a.driver].filter((part) => part !== "").join(", ")],
    ["Features in use", features.join(", ")],
    ["Limits", `buffers up to ${bytesOf(a.max_buffer_bytes)}, of which a kernel sees ${bytesOf(a.max_binding_bytes)}`],
  ];
  return rows;
}

/** Bytes in decimal units. @param {number} bytes */
export function bytesOf(bytes) {
  for (const [size, unit] of /** @type {const} */ ([[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]])) {
    if (bytes >= size) return withUnit(bytes / size, unit);
  }
  return withUnit(bytes, "B");
}

/** @param {number} bytesPerS */
export const bandwidth = (bytesPerS) => `${bytesOf(bytesPerS)}/s`;

/** A share with its sign. @param {number} share */
export const signed = (share) => `${share < 0 ? "−" : share > 0 ? "+" : ""}${percent(Math.abs(share))}`;

export const STATUS = {
  bar: "Progress of the calibration",
  /** Where a stage has no words of its own the module's are shown. @type {Record<string, string>} */
  stages: {
    open: "opening the GPU",
    build: "filling its memory with a model",
    verify: "checking its results",
    read: "reading its memory",
    kernels: "each kernel",
    points: "step times",
    proof: "users on the real decoder",
  },
  at: /** @type {(stage: string, what: string) => string} */ (stage, what) => {
    const words = STATUS.stages[stage] ?? stage;
    return what === "" || what === stage ? words : `${words}, ${what}`;
  },
  spoken: /** @type {(done: number, stage: string) => string} */ (done, stage) => `${Math.floor(done * 100)} %, ${STATUS.stages[stage] ?? stage}`,
  started: "Started.",
  cancelled: "Cancelled. Nothing of it was kept.",
  forced: "Cancelled. The driver did not answer in time, so the measurement was cut off; the GPU is opened afresh when you measure again.",
  done: /** @param {number} seconds */ (seconds) => `Done in ${duration(seconds)}.`,
  opened: /** @param {string} name */ (name) => `Opened ${name}.`,
};

/** What to do about a failure, by its code. @type {Record<string, string>} */
const ADVICE = {
  "no-webgpu": "Use a current Chrome, Edge, Safari or Firefox that has WebGPU, over https or from this machine. Without it you can still open a calibration file, or measure with the command line, batchscope calibrate.",
  "no-adapter": "Hardware acceleration may be switched off in the browser’s settings, or this driver may be on its list of refused ones; chrome://gpu or about:support says which. You can still open a calibration file, or measure with the command line, batchscope calibrate.",
  "device-lost": "The driver was reset, or the GPU was taken by something else. Close what else uses it and calibrate again; a smaller model or the quick length asks less of it. The simulator is not affected.",
  "out-of-gpu-memory": "Choose a smaller model or smaller weights, or close what else uses the GPU, and calibrate again.",
  "gpu-refused": "Calibrate again; if it is refused again, update the driver or the browser, or choose another precision.",
  "wrong-result": "A kernel’s result was not what the same arithmetic gives on the processor, so its time is worth nothing. Update the driver or the browser; until then use a calibration of another machine.",
  "no-fit": "The times scattered too much. Close what else uses the GPU and calibrate again, with the default length.",
  crashed: "The worker was started afresh: calibrate again. The simulator is not affected.",
};

export const PROBLEM = {
  /** @param {ErrorReport} error */
  // A sentence begins like one, unless it begins with a name.
  error: (error) => [sentence(error.message.replace(/^[a-z]+ /, (word) => word.charAt(0).toUpperCase() + word.slice(1))), ADVICE[error.code] ?? ""].join(" ").trim(),
  load: /** @param {string} why */ (why) => `The kernels could not be loaded (${why}). Reload the page to try again; the simulator works without them.`,
  tooManyFiles: "One file at a time: the first is opened.",
  tooLarge: /** @param {string} name */ (name) => `${name}: more than 20 MB; a calibration file is smaller.`,
  unreadable: /** @type {(name: string, why: string) => string} */ (name, why) => `${name} could not be read (${why}).`,
  busy: "A measurement is in progress; open the file when it is over.",
  badLink: "The link names a measured GPU in a form that this version does not know; its coefficients are used all the same.",
};

/** What the page adds to a calibration’s own warnings. */
export const WARNING = {
  hidden: /** @param {string[]} stages */ (stages) =>
    `The tab was in the background while it measured ${stages.join(" and ")}: browsers slow hidden tabs. Measure again with the tab in front.`,
  hiddenNow: "This tab went to the background while it was measuring: browsers slow hidden tabs, and the result will say so.",
  battery: "The machine ran on its battery while it measured: GPUs are often slowed then. Plug it in and measure again.",
  batteryNow: "The machine runs on its battery: GPUs are often slowed then. Plug it in before you measure.",
  software: "This is a software adapter: a processor plays the GPU. A calibration of it is a demonstration and says nothing of any GPU.",
};

/** The module's words as a sentence; they may begin with a name. @param {string} text */
export const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/** How far a figure of a load is off, in proportion. @type {(level: ProofLevel, figure: keyof ProofSide) => number} */
export const relative = ({ predicted, measured }, figure) => predicted[figure] / measured[figure] - 1;

/** The calibrated thing in a few words. @param {Calibration} c */
export const whose = (c) => `${c.adapter.name || "unnamed adapter"}, ${modelName(c.model.architecture.name)}, ${c.model.precision}`;

export const RESULT = {
  title: "Result",
  demonstration: "Demonstration",
  /** @type {(c: Calibration, one: number, many: number) => string} */
  finding: (c, one, many) =>
    `A decode step of ${modelName(c.model.architecture.name)} with ${c.model.precision} weights takes ${duration(one)} for one sequence and ${duration(many)} for 32, each with 1,024 tokens of context, on ${c.adapter.name || "this adapter"}.`,
  /** @param {Calibration} c */
  trust: (c) =>
    c.checks.length === 0
      ? `No whole step was run; points held out of the fit were met within ${percent(c.fit.held_out_median)} (median) and ${percent(c.fit.held_out_worst)} (worst).`
      : `Whole steps that the calibration had not seen took what it predicts within ${percent(c.check_median_error)} (median) and ${percent(c.check_worst_error)} (worst).`,
  /** The loads served after the calibration. @param {ServedProof} proof */
  verdict: (proof) => {
    const errors = proof.levels.flatMap((level) => [relative(level, "output_tokens_per_s"), relative(level, "tbt_mean_ms")].map(Math.abs));
    const users = proof.levels.map(({ users: n }) => count(n)).join(" and ");
    return `It predicts this GPU within ${percent(Math.max(...errors))}: throughput and mean time between tokens, measured with ${users} users on the real decoder.`;
  },
  /** What a file of an earlier version cannot say. @param {number} version */
  old: (version) =>
    `This file is of version ${version}. It has no whole steps as a server takes them, so predictions come from a straight line through steps composed of their kernels, without the processor’s part, and can be far off. Calibrate again for better ones.`,
  proof: {
    title: "The proof: users on the real decoder",
    note: "After the measurement the real decoder served these users. Each sent three requests of 64 prompt and 32 output tokens, one after another.",
    head: ["Users", "Which", "Output, tok/s", "Time between tokens, mean", "Time between tokens, P95"],
    measured: "measured",
    predicted: "predicted",
    error: "error",
  },
  wholeSteps: {
    title: "Whole steps as a server takes them",
    note: "From laying out its rows to reading its tokens; median of the rounds that count. Predictions are lines between these.",
    head: ["Sequences", "Context of each", "Prompt tokens", "Behind", "Tokens drawn", "Dispatches", "Read", "Time", "Of it the processor’s"],
  },
  when: /** @param {Calibration} c */ (c) =>
    `Measured ${c.measured_at.replace("T", " ").replace("Z", " UTC")} in ${duration(c.took_s)}${c.model.quick ? ", quick" : ""}, ${count(c.model.layers_resident)} of ${count(c.model.architecture.layers)} layers in memory, by ${c.program}${c.commit === null ? "" : `, commit ${c.commit}`}.`,
  use: "Use my GPU",
  useOf: /** @param {string} name */ (name) => `Use ${name}`,
  useHelp: "Re-runs every chart of the simulator with this latency model; the address then carries its coefficients.",
  useDemo: "Re-runs every chart with this latency model, marked as a demonstration.",
  save: "Save as JSON",
  warnings: "Warnings",
  coefficients: {
    title: "Fitted coefficients",
    /** Since version 3. */
    lineTitle: "The straight line nearest to the steps",
    lineNote: "A line cannot follow a staircase. Only the closed-batch formula of the simulator is made from it; every other prediction comes from the measured steps.",
    head: ["Coefficient", "Value", "95 % interval", "Meaning"],
    notDetermined: "not determined",
    rows: [
      ["c0", "every step: the weights are read once"],
      ["c1", "each decoding sequence"],
      ["c2", "each token of context: its keys and values are read"],
      ["c3", "each prompt token processed besides"],
    ],
    compute: [
      ["d0", "every step, once arithmetic bounds it"],
      ["d1", "each token of such a step"],
    ],
    r2: "R², fitted points",
    heldOut: /** @param {Calibration} c */ (c) =>
      `R² ${c.fit.r2.toFixed(4)} over ${count(c.fit.fitted)} fitted points. Of ${count(c.fit.held_out)} held out, the median is missed by ${percent(c.fit.held_out_median)}, the worst by ${percent(c.fit.held_out_worst)}.`,
  },
  checks: {
    title: "Whole steps, predicted and measured",
    head: ["Sequences", "Context, tokens in all", "Prompt tokens", "Measured", "Predicted", "Error"],
    none: "No whole step was run.",
  },
  device: {
    title: "The device itself",
    head: ["Quantity", "Measured", "Median deviation", "Samples"],
    read: "Read bandwidth",
    byTimestamps: "Read bandwidth by timestamps",
    dispatch: "One more dispatch in a pass",
    submission: "One submission and the wait for it",
    drift: "A step at the end against the beginning",
    spread: "Spread of that step over the measurement",
    leftOut: "Steps left out because the device was disturbed",
    host: "The processor’s part of a step",
    /** @type {(step: string, dispatch: string) => string} */
    hostOf: (step, dispatch) => `${step} and ${dispatch} a dispatch`,
    perLayer: "One layer of a step",
    nonlinearity: "Distance from a line in the layer count",
  },
  kernels: {
    title: "Kernels",
    head: ["Kernel", "Sequences", "Context", "Bytes", "Time", "Share of read bandwidth"],
    note: "Bytes that must be read at least once, over the time, over the read bandwidth measured in the same run.",
  },
  sheets: {
    title: "Beside the data sheets",
    head: ["GPU", "Memory bandwidth", "Peak, f16", "Step, 1 sequence", "Step, 32 sequences", "Output of 32"],
    note: "Weights and KV bytes over the bandwidth, operations over the peak, for the same model and weights at 1,024 tokens of context: what no implementation beats.",
    own: "measured",
    ownSheet: "this GPU’s sheet",
    /** @type {(mbu: number, mfu: number) => string} */
    utilisation: (mbu, mfu) => `Of its own data sheet, the fitted step uses ${percent(mbu)} of the bandwidth with one sequence (MBU) and ${percent(mfu)} of the arithmetic with 32 (MFU).`,
    sources: "Sources",
  },
};

export const FIGURE = {
  steps: {
    title: "Time of one decode step",
    label: "Time of one decode step against the number of sequences",
    x: "decoding sequences in the step (log scale)",
    y: "time of a step, ms",
    context: /** @param {number} tokens */ (tokens) => `${count(tokens)} tokens`,
    contextOf: /** @param {number} tokens */ (tokens) => `${count(tokens)} tokens in all`,
    contextEach: /** @param {number} tokens */ (tokens) => `${count(tokens)} tokens each`,
    legendOfSteps: "Points were measured as a server takes steps; bars span their median deviation. The line is the prediction: it jumps where another kernel takes over.",
    /** @type {(parts: [number, number][]) => string} */
    sentence: (parts) => `A step takes ${parts.map(([n, s]) => `${duration(s)} with ${count(n)} ${n === 1 ? "sequence" : "sequences"}`).join(", ")}.`,
    at: /** @param {number} n */ (n) => `${count(n)} ${n === 1 ? "sequence" : "sequences"}`,
    table: "Time of one decode step, ms",
    rows: "sequences",
    columns: ["context, tokens in all", "measured"],
    legend: "A curve for each size of the context of all sequences together. Points were measured, bars span their median deviation, hollow ones were held out of the fit; lines join what the fit says at the points.",
    live: "Points as they are measured; the lines follow when the fit is done.",
  },
  residuals: {
    title: "Predicted against measured",
    label: "Relative error of the fit against the measured step time",
    x: "measured step time, ms (log scale)",
    y: "predicted above measured, %",
    fitted: "fitted",
    heldOut: "held out",
    check: "whole step",
    table: "Errors of the fit",
    rows: "measured, ms",
    legend: "Dots were fitted, circles held out, diamonds are whole steps, run with every layer in turn.",
    legendOfSteps: "Whole steps at sizes that the prediction had not seen.",
    kind: { fitted: "fitted", held: "held out", check: "whole step" },
  },
  serveTbt: {
    title: "Time between tokens",
    label: "Median time between tokens against simulated users",
    x: "simulated users (log scale)",
    y: "time between tokens, median, ms",
    table: "Time between tokens, median, ms",
  },
  serveRate: {
    title: "Output of all users together",
    label: "Output tokens per second against simulated users",
    x: "simulated users (log scale)",
    y: "output, tokens/s",
    table: "Output, tokens/s",
  },
  keys: "Arrow keys move the cursor, Home and End jump, Escape hides it.",
  showNumbers: "Show the numbers",
  numbers: "Numbers of the figure",
  measured: "measured",
  predicted: "predicted",
  interval: "error of the prediction",
};

/** @param {number} users */
const usersAt = (users) => `${count(users)} ${users === 1 ? "user" : "users"}`;

export const SERVE = {
  title: "Serve simulated users",
  help: "The whole decoder serves users who each wait for an answer before they ask again; requests join and leave at every step. What they get is measured, and what the calibration predicts for the same load stands beside it.",
  users: "Users",
  usersHelp: "Levels to serve one after another, each of 1 to 64 users.",
  requests: "Requests of each user",
  prompt: "Prompt",
  output: "Output",
  tokens: "tokens",
  run: "Serve them on this GPU",
  predict: "Predict only",
  cancel: "Stop serving",
  bar: "Progress of serving",
  building: "building the decoder",
  done: "Served.",
  predicted: "Predicted; nothing was measured.",
  legend: /** @param {number} error */ (error) => `Points were measured, the line was predicted. Bars are the calibration’s error, ± ${percent(error)}.`,
  table: "What users get, measured / predicted",
  head: ["Users", "TTFT, P50", "Time between tokens, P50", "Time between tokens, P95", "Output, tok/s", "MBU", "MFU"],
  report: "The report, with the fit of the saturation study",
  /** @type {(users: number, answered: number, requests: number, tokens: number) => string} */
  at: (users, answered, requests, tokens) => `${usersAt(users)}: ${count(answered)} of ${count(requests)} answered, ${count(tokens)} tokens`,
  usersAt,
  /** @type {(levels: number, users: number) => string} */
  badUsers: (levels, users) => `Users are up to ${levels} different whole numbers from 1 to ${users}, with commas between them.`,
  badNumbers: "Requests, prompt and output are whole numbers from 1 to 8,192.",
  /** @type {(levels: ServedLevels["levels"], most: number | null) => string} */
  rateSentence: (levels, most) => {
    const last = levels.at(-1)?.comparison;
    if (last === undefined) return "";
    const best = last.measured ?? last.predicted;
    const ceiling = most === null ? "" : ` The curve u/(K + u) through the levels ends at ${number(most)} tokens/s.`;
    return `${usersAt(best.level.users)} together get ${number(best.level.tok_s)} tokens/s${last.measured === null ? ", predicted" : ""}.${ceiling}`;
  },
  /** @param {ServedLevels["levels"]} levels */
  errorSentence: (levels) => {
    const errors = levels.flatMap(({ comparison: { step_errors: errors } }) => (errors === null ? [] : [errors.median_size])).sort((a, b) => a - b);
    if (errors.length === 0) return "Predicted; nothing was measured.";
    return `The prediction is off by ${percent(errors[0] ?? NaN)} to ${percent(errors.at(-1) ?? NaN)} at the steps that were served (median of each level).`;
  },
};

export const COMPARE = {
  title: "Compare with another calibration",
  help: "A second GPU, model or day. Differences are of the second against the first.",
  open: "Open a second calibration",
  remove: "Remove the second",
  head: ["Quantity", "Difference"],
  caption: "Two calibrations side by side",
  bandwidth: "Read bandwidth",
  step: /** @type {(sequences: number, context: number) => string} */ (sequences, context) =>
    `Step, ${count(sequences)} ${sequences === 1 ? "sequence" : "sequences"} at ${count(context)} tokens`,
  error: "Typical error",
  otherModel: "The two measured different models or weights, so step times differ for that reason too.",
};

export const LINE = {
  /** @type {(name: string, error: number, demo: boolean) => string} */
  whose: (name, error, demo) =>
    `${demo ? "Demonstration, no real GPU: step" : "Step"} times from a calibration of ${name}, ± ${percent(error)}.`,
  more: "What that error does to the figures",
  head: ["Scheduler", "Both promises kept", "E2E latency, P95"],
  caption: /** @param {number} error */ (error) => `With all step times ${percent(error)} shorter and longer`,
  working: "Running both ends of the error.",
  /** @type {(low: string, high: string) => string} */
  span: (low, high) => (low === high ? low : `${low} to ${high}`),
  best: /** @type {(name: string, joint: string, p95: string) => string} */ (name, joint, p95) =>
    `Within that error ${name} keeps both promises for ${joint} of requests, and its P95 latency is ${p95}.`,
  failed: /** @param {string} why */ (why) => `The error bar could not be worked out: ${why}`,
  closedForm: /** @type {(median: number, worst: number) => string} */ (median, worst) =>
    `Batches here start and end together. Their closed form differs from the exact sum over the fitted steps by ${percent(median)} (median), by ${percent(worst)} at worst. Its coefficients are those for the mean lengths of the trace that was at hand then: for another trace, use the GPU again.`,
};
