// The workers of the Studies view. One file, two roles: the page starts the coordinator; the
// coordinator starts the runners, each with `{ type: "start" }` as its first message. Types of the
// page's messages: messages.d.ts.
//
// Page to coordinator                Coordinator to page, in this order
//   list       { }                     ready       the studies there are
//   plan       { runId, job }          planned     or: error
//   run        { runId, job, runners } progress    at most every 100 ms: reading, running, drawing
//                                      said        where the trace lowered something
//                                      done        or: cancelled, or error
//   recognise  { runId, file, rows }   progress    reading
//                                      recognised  or: error
//   reproduce  { runId, job, runners } progress    reading, running
//                                      reproduced  or: cancelled, or error
//   cancel     { runId }               cancelled, if that run was in progress
//   zip        { runId, files }        zip         or: error
//   –                                  crashed     the page ends this worker and starts a fresh one
//
// Coordinator to runner              Runner to coordinator
//   start   { module }                 ready
//   run     { index, scenario, file }  progress  at most every 100 ms: the share of the run
//                                      outcome   the summary, a plain object
//                                      error     what the core refused, or crashed
//
// The coordinator asks the module which scenarios come next, hands them out, the longest first, and
// makes the files. The page's thread only ever sees what it shows. Cancelling ends the runners: a
// run in progress is not sliced. A runner that crashes is replaced and its scenario is tried once
// more. Runners share one compiled module; each makes the trace for itself and keeps the last few.

import init, { Engine, StudyEngine, initSync } from "../../pkg-studies/batchscope.js";

/** @import { ErrorReport, FromStudies, RecognisedFile, Scenario, ShownFile, StudyJob, StudyProgress, Summary, ToStudies, TraceFile } from "../types.js" */

/** @typedef {{type: "start", module: WebAssembly.Module} | {type: "run", index: number, scenario: Scenario, file: TraceFile | null}} ToRunner */
/** @typedef {{type: "ready"} | {type: "progress", index: number, share: number} | {type: "outcome", index: number, summary: Summary} | {type: "error", index: number, error: ErrorReport} | {type: "crashed", message: string}} FromRunner */

/** Least time between two progress messages, ms. */
const PROGRESS_MS = 100;
/** Events between two looks at the clock: about a millisecond of work. */
const EVENTS = 32_768;
/** Traces that a runner keeps; replications ask for one each. */
const TRACES = 2;

/** The one instance, in either role; the runners are given it compiled. */
const MODULE = new URL("../../pkg-studies/batchscope_bg.wasm", import.meta.url);

/** What the role does with a message; the first message decides the role. @type {((message: any) => void) | null} */
let receive = null;
self.addEventListener("message", ({ data }) => {
  if (receive !== null) receive(data);
  else if (data.type === "start") receive = runner(data.module);
  else (receive = coordinator)(data);
});

// ---- Runner ------------------------------------------------------------------------------------

/** A runner's answer to messages. @type {(module: WebAssembly.Module) => (message: ToRunner) => void} */
function runner(module) {
  /** @type {(message: FromRunner) => void} */
  const post = (message) => self.postMessage(message);
  /** By what the trace was made from, the one used last at the end. @type {Map<string, Engine>} */
  const engines = new Map();

  /** @type {(scenario: Scenario, file: TraceFile | null) => Engine} */
  const engineFor = (scenario, file) => {
    const key = JSON.stringify(file === null ? [scenario.trace, scenario.seed] : ["file", file.id, scenario.trace]);
    let engine = engines.get(key);
    if (engine === undefined) {
      for (const [oldest, old] of engines) {
        if (engines.size < TRACES) break;
        engines.delete(oldest);
        old.free();
      }
      engine = new Engine();
      if (file === null) engine.generate(scenario);
      else engine.loadBlob(file.blob, file.name, scenario);
    }
    engines.delete(key);
    engines.set(key, engine);
    return engine;
  };

  try {
    initSync({ module });
    post({ type: "ready" });
  } catch (thrown) {
    post({ type: "crashed", message: words(thrown) });
  }
  return (message) => {
    if (message.type !== "run") return;
    const { index, scenario, file } = message;
    try {
      const engine = engineFor(scenario, file);
      engine.begin(scenario);
      let reported = performance.now();
      while (!engine.advance(EVENTS)) {
        const now = performance.now();
        if (now - reported < PROGRESS_MS) continue;
        reported = now;
        post({ type: "progress", index, share: engine.progress() });
      }
      post({ type: "outcome", index, summary: engine.finish("run") });
    } catch (thrown) {
      if (isReport(thrown)) post({ type: "error", index, error: thrown });
      else post({ type: "crashed", message: words(thrown) });
    }
  };
}

// ---- Pool --------------------------------------------------------------------------------------

/**
 * @typedef {object} Task
 * @property {number} index
 * @property {Scenario} scenario
 * @property {number} weight its share of the work, in requests
 * @property {number} share how far it is, 0 to 1
 * @property {number} tries
 */

/**
 * @typedef {object} Batch scenarios that are worked off together
 * @property {Task[]} tasks
 * @property {Task[]} waiting the longest first, so that no runner is left with one at the end
 * @property {Summary[]} summaries
 * @property {number} done
 * @property {TraceFile | null} file
 * @property {(tasks: Task[], done: number) => void} progress
 * @property {(summaries: Summary[]) => void} resolve
 * @property {(reason: unknown) => void} reject
 */

/** A runner that failed in a way of its own, not the study's. */
class RunnerFailed extends Error {}

/** Runners, and the scenarios that they work off. They stay from one step of a study to the next. */
class Pool {
  #module;
  #most;
  /** Ready runners by what they are at. @type {Map<Worker, Task | null>} */
  #runners = new Map();
  /** Runners that are not ready yet. @type {Set<Worker>} */
  #starting = new Set();
  /** Starts in a row that never got ready. */
  #failedStarts = 0;
  /** @type {Batch | null} */
  #batch = null;

  /** @param {WebAssembly.Module} module @param {number} most runners at a time */
  constructor(module, most) {
    this.#module = module;
    this.#most = most;
  }

  /** Ends all runners, whatever they are doing. */
  stop() {
    for (const worker of [...this.#runners.keys(), ...this.#starting]) worker.terminate();
    this.#runners.clear();
    this.#starting.clear();
    this.#batch = null;
  }

  /**
   * The summaries of scenarios, in their order; rejects with the first error.
   * @param {Scenario[]} scenarios
   * @param {TraceFile | null} file
   * @param {Batch["progress"]} progress
   * @returns {Promise<Summary[]>}
   */
  run(scenarios, file, progress) {
    return new Promise((resolve, reject) => {
      const tasks = scenarios.map((scenario, index) => ({ index, scenario, weight: requestsOf(scenario), share: 0, tries: 0 }));
      const waiting = [...tasks].sort((a, b) => b.weight - a.weight);
      this.#batch = { tasks, waiting, summaries: [], done: 0, file, progress, resolve, reject };
      progress(tasks, 0);
      for (const worker of this.#runners.keys()) this.#next(worker);
      this.#fill();
    });
  }

  /** Starts runners while there is work for more. */
  #fill() {
    const waiting = this.#batch?.waiting.length ?? 0;
    while (this.#starting.size < waiting && this.#starting.size + this.#runners.size < this.#most) this.#start();
  }

  #start() {
    const worker = new Worker(import.meta.url, { type: "module" });
    this.#starting.add(worker);
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#crashed(worker, event.message || "a worker could not be loaded");
    });
    worker.addEventListener("message", ({ data }) => this.#receive(worker, data));
    /** @type {ToRunner} */
    const first = { type: "start", module: this.#module };
    worker.postMessage(first);
  }

  /** Hands a runner its next scenario, if one is waiting. @param {Worker} worker */
  #next(worker) {
    const task = this.#batch?.waiting.shift() ?? null;
    this.#runners.set(worker, task);
    if (task === null || this.#batch === null) return;
    task.tries += 1;
    /** @type {ToRunner} */
    const message = { type: "run", index: task.index, scenario: task.scenario, file: this.#batch.file };
    worker.postMessage(message);
  }

  /** @type {(worker: Worker, message: FromRunner) => void} */
  #receive(worker, message) {
    if (message.type === "crashed") {
      this.#crashed(worker, message.message);
      return;
    }
    if (message.type === "ready") {
      this.#failedStarts = 0;
      if (this.#starting.delete(worker)) this.#next(worker);
      return;
    }
    const task = this.#runners.get(worker);
    const batch = this.#batch;
    if (task === undefined || task === null || batch === null) return;
    switch (message.type) {
      case "error":
        batch.reject(message.error);
        return;
      case "progress":
        task.share = message.share;
        break;
      case "outcome":
        task.share = 1;
        batch.summaries[task.index] = message.summary;
        batch.done += 1;
        this.#next(worker);
    }
    batch.progress(batch.tasks, batch.done);
    if (batch.done === batch.tasks.length) batch.resolve(batch.summaries);
  }

  /** A fresh runner takes the place of one that crashed, and its scenario. @type {(worker: Worker, message: string) => void} */
  #crashed(worker, message) {
    const task = this.#runners.get(worker) ?? null;
    if (this.#starting.delete(worker)) this.#failedStarts += 1;
    else if (!this.#runners.delete(worker)) return;
    worker.terminate();
    if ((task?.tries ?? 0) > 1 || this.#failedStarts > 2) {
      this.#batch?.reject(new RunnerFailed(message));
      return;
    }
    if (task !== null) {
      task.share = 0;
      this.#batch?.waiting.unshift(task);
    }
    this.#fill();
  }
}

/** Requests of a run; one that replays a whole trace is as long as its trace. @param {Scenario} scenario */
function requestsOf(scenario) {
  const { limit } = scenario.workload;
  const all = "synthetic" in scenario.trace ? scenario.trace.synthetic.requests : Infinity;
  return Math.min(limit ?? Infinity, all, 0xffff_ffff);
}

// ---- Coordinator -------------------------------------------------------------------------------

/** The run in progress; another value stops it at its next breath. @type {number | null} */
let wanted = null;
/** @type {Pool | null} */
let pool = null;
/** Stops waiting for runners that were ended. @type {(() => void) | null} */
let abandon = null;

/** @type {(message: FromStudies) => void} */
const post = (message) => self.postMessage(message);

class Cancelled extends Error {}

/** @type {Promise<WebAssembly.Module> | null} */
let loading = null;
/** The module, compiled once; messages that come before it is there wait for it. */
function load() {
  loading ??= (async () => {
    const response = await fetch(MODULE);
    if (!response.ok) throw new Error(`${MODULE.pathname}: ${response.status}`);
    const module = await WebAssembly.compile(await response.arrayBuffer());
    await init({ module_or_path: module });
    return module;
  })();
  return loading;
}

/** @param {ToStudies} message */
function coordinator(message) {
  switch (message.type) {
    case "list":
      load().then(() => post({ type: "ready", studies: StudyEngine.studies() })).catch((thrown) => fail(0, thrown));
      return;
    case "cancel":
      if (wanted !== message.runId) return;
      wanted = null;
      pool?.stop();
      abandon?.();
      return;
    case "plan":
      plan(message).catch((thrown) => fail(message.runId, thrown));
      return;
    case "zip":
      zip(message).catch((thrown) => fail(message.runId, thrown));
      return;
    case "recognise":
      recognise(message).catch((thrown) => fail(message.runId, thrown));
      return;
    case "reproduce":
      wanted = message.runId;
      reproduce(message).catch((thrown) => fail(message.runId, thrown));
      return;
    case "run":
      wanted = message.runId;
      run(message).catch((thrown) => fail(message.runId, thrown));
  }
}

/** Rows of a reader's file, so that reading it twice is not needed. @type {{id: number, rows: number} | null} */
let known = null;

/**
 * How many rows a reader's file has.
 * @param {TraceFile} file
 * @param {(done: number) => void} progress
 */
function rowsOf(file, progress) {
  if (known?.id !== file.id) {
    const engine = new Engine();
    try {
      known = { id: file.id, rows: engine.loadBlob(file.blob, file.name, null, progress).requests };
    } finally {
      engine.free();
    }
  }
  return known.rows;
}

/**
 * A study that has begun, and the sentence about what the trace's length lowered.
 * @param {StudyJob} job
 * @param {(done: number) => void} progress
 * @returns {[StudyEngine, string | undefined]}
 */
function open({ study, replications, file }, progress) {
  const rows = file === null ? undefined : rowsOf(file, progress);
  const engine = new StudyEngine();
  try {
    return [engine, engine.open(study, replications, file?.name, rows)];
  } catch (thrown) {
    engine.free();
    throw thrown;
  }
}

/** @param {Extract<ToStudies, {type: "plan"}>} message */
async function plan({ runId, job }) {
  await load();
  const [engine] = open(job, () => {});
  const scenarios = engine.pending();
  engine.free();
  post({ type: "planned", runId, runs: scenarios.length, requests: requestsIn(scenarios, job.file) });
}

/** Requests that scenarios replay in all. @type {(scenarios: Scenario[], file: TraceFile | null) => number} */
function requestsIn(scenarios, file) {
  const rows = file !== null && known?.id === file.id ? known.rows : Infinity;
  return scenarios.reduce((sum, scenario) => sum + Math.min(requestsOf(scenario), rows), 0);
}

/** Progress for the page, at most every 100 ms. @type {(runId: number) => (progress: StudyProgress) => void} */
function reporter(runId) {
  let reported = 0;
  return (progress) => {
    const now = performance.now();
    if (now - reported < PROGRESS_MS && progress.done < progress.of) return;
    reported = now;
    post({ type: "progress", runId, progress });
  };
}

/** How far the reading of a file is. @type {(report: (progress: StudyProgress) => void) => (share: number) => void} */
const reading = (report) => (share) => report({ stage: "reading", step: 1, done: 0, of: 1, share });

/** @typedef {(scenarios: Scenario[], file: TraceFile | null, step: number) => Promise<Summary[]>} Replay */

/**
 * Does `work` with a pool of its own, which takes the place of any other; a cancellation ends both.
 * @type {(runners: number, report: (progress: StudyProgress) => void, work: (replay: Replay) => Promise<void>) => Promise<void>}
 */
async function withRunners(runners, report, work) {
  const own = new Pool(await load(), runners);
  abandon?.();
  pool?.stop();
  pool = own;
  const cancelled = new Promise((_, reject) => {
    abandon = () => reject(new Cancelled());
  });
  // Where nothing waits for it, a cancellation is seen by its flag.
  cancelled.catch(() => {});
  try {
    await work(async (scenarios, file, step) => {
      const outcomes = await Promise.race([
        cancelled,
        own.run(scenarios, file, (tasks, done) => {
          const whole = tasks.reduce((sum, { weight }) => sum + weight, 0);
          const share = tasks.reduce((sum, { weight, share }) => sum + weight * share, 0) / whole;
          report({ stage: "running", step, done, of: tasks.length, share });
        }),
      ]);
      return /** @type {Summary[]} */ (outcomes);
    });
  } finally {
    own.stop();
  }
}

/** @param {Extract<ToStudies, {type: "run"}>} message */
async function run({ runId, job, runners }) {
  const begun = performance.now();
  const report = reporter(runId);
  await withRunners(runners, report, async (replay) => {
    const [engine, said] = open(job, reading(report));
    try {
      if (said !== undefined) post({ type: "said", runId, sentence: said });
      let [runs, requests, step] = [0, 0, 0];
      for (let scenarios = engine.pending(); scenarios.length > 0; scenarios = engine.pending()) {
        step += 1;
        runs += scenarios.length;
        requests += requestsIn(scenarios, job.file);
        engine.take(await replay(scenarios, job.file, step));
      }
      const files = await draw(engine, runId, report);
      post({ type: "done", runId, result: { files, runs, requests, runners, elapsed_ms: performance.now() - begun } });
    } finally {
      engine.free();
    }
  });
}

// ---- Published figures against a file ----------------------------------------------------------

/** The file that was recognised last, the rows it is compared with, and what it is. @type {{id: number, rowsId: number | null, engine: StudyEngine, found: RecognisedFile} | null} */
let recognised = null;

/** @type {(file: TraceFile, rows: TraceFile | null, progress: (share: number) => void) => Promise<NonNullable<typeof recognised>>} */
async function recognisedFile(file, rows, progress) {
  const rowsId = rows?.id ?? null;
  if (recognised?.id === file.id && recognised.rowsId === rowsId) return recognised;
  const text = await rows?.blob.text();
  recognised?.engine.free();
  recognised = null;
  const engine = new StudyEngine();
  try {
    const found = engine.recogniseBlob(file.blob, file.name, progress, text, rows?.name);
    recognised = { id: file.id, rowsId, engine, found };
    known = { id: file.id, rows: found.file.rows };
    return recognised;
  } catch (thrown) {
    engine.free();
    throw thrown;
  }
}

/** @param {Extract<ToStudies, {type: "recognise"}>} message */
async function recognise({ runId, file, rows }) {
  await load();
  const { found } = await recognisedFile(file, rows, reading(reporter(runId)));
  post({ type: "recognised", runId, recognised: found });
}

/** @param {Extract<ToStudies, {type: "reproduce"}>} message */
async function reproduce({ runId, job: { file, rows, anyway }, runners }) {
  const begun = performance.now();
  const report = reporter(runId);
  await withRunners(runners, report, async (replay) => {
    const { engine, found } = await recognisedFile(file, rows, reading(report));
    const outcomes = await replay(engine.reproduce(anyway), file, 1);
    const reproduced = engine.judge(outcomes);
    const csv = new Blob([engine.comparisonsCsv()], { type: "text/csv" });
    const { runs, requests } = found;
    post({ type: "reproduced", runId, result: { reproduced, csv, runs, requests, elapsed_ms: performance.now() - begun } });
  });
}

// ---- Files -------------------------------------------------------------------------------------

/**
 * The study's files, one at a time, so that a cancellation is seen in between.
 * @type {(engine: StudyEngine, runId: number, report: (progress: StudyProgress) => void) => Promise<ShownFile[]>}
 */
async function draw(engine, runId, report) {
  const count = engine.finish();
  /** @type {ShownFile[]} */
  const files = [];
  for (let i = 0; i < count; i += 1) {
    report({ stage: "drawing", step: 1, done: i, of: count, share: i / count });
    await breath();
    if (wanted !== runId) throw new Cancelled();
    for (const { bytes, ...file } of engine.file(i)) {
      const text = file.kind === "text" ? new TextDecoder().decode(bytes) : "";
      files.push({ ...file, text, blob: new Blob([bytes], { type: mediaType(file.name) }) });
    }
  }
  return files;
}

/** @param {string} name */
function mediaType(name) {
  const ending = name.slice(name.lastIndexOf(".") + 1);
  return { csv: "text/csv", svg: "image/svg+xml", png: "image/png", json: "application/json", md: "text/markdown" }[ending] ?? "text/plain";
}

/** All files in one, stored as they are. @param {Extract<ToStudies, {type: "zip"}>} message */
async function zip({ runId, files }) {
  const { zipSync } = await import("../../vendor/fflate/fflate.js");
  /** @type {import("../../vendor/fflate/fflate.js").Zippable} */
  const content = {};
  for (const { name, blob } of files) {
    // The same study makes the same archive: no clock, and the earliest time that the format knows.
    content[name] = [new Uint8Array(await blob.arrayBuffer()), { level: 0, mtime: new Date(1980, 0, 1) }];
  }
  post({ type: "zip", runId, blob: new Blob([zipSync(content)], { type: "application/zip" }) });
}

/** Lets waiting messages in; timers would be throttled. @returns {Promise<void>} */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** @type {(runId: number, thrown: unknown) => void} */
function fail(runId, thrown) {
  if (thrown instanceof Cancelled) post({ type: "cancelled", runId });
  else if (isReport(thrown)) post({ type: "error", runId, error: thrown });
  else if (thrown instanceof RunnerFailed) {
    post({ type: "error", runId, error: { code: "crashed", message: thrown.message, file: null, row: null, field: null } });
  } else post({ type: "crashed", runId, message: words(thrown) });
}

/** What the core refuses is a plain object with a code. @type {(thrown: unknown) => thrown is ErrorReport} */
function isReport(thrown) {
  return typeof thrown === "object" && thrown !== null && "code" in thrown && "row" in thrown;
}

/** @param {unknown} thrown */
function words(thrown) {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
