// Every word of the Studies view, apart from words.js so that the first picture does not wait for
// it. The same house rules.

import { count, duration } from "../format.js";

/** @import { FileErratum, LeftOut, ReproduceResult, StudyProgress, StudyResult } from "../types.js" */

/**
 * Title and source of each study; one that is not here goes by its name.
 * @type {Record<string, {title: string, source: string}>}
 */
export const STUDY = {
  "stress-v2": { title: "Stress test v2", source: "TravisLeeTS/llm-scheduler-sim, plots/step2_report.txt and results_v2.csv (2025-12-02)" },
  "three-step": { title: "Three-step study", source: "TravisLeeTS/llm-scheduler-sim, UPDATE_3STEP_SUMMARY.md (2025-11-27)" },
  "two-step": { title: "Two-step study", source: "TravisLeeTS/llm-scheduler-sim, STRESS_TEST_REPORT.md (2025-12-02)" },
  paper: { title: "Multi-bin paper check", source: "Guldogan et al., Multi-Bin Batching, arXiv 2412.04504" },
  continuous: { title: "Do bins still pay?", source: "this simulator: continuous batching with bins and without" },
  contract: { title: "Year-1 contract", source: "intellistream/sagellm-benchmark, examples/sample_REPORT.md (2026-01-17)" },
  saturation: { title: "Saturation of one GPU", source: "swayam8624/bentomlReCreation, lmdeploy/lmdeploy_journey.md (2025-12-12)" },
};

/**
 * Label, unit and one sentence of each setting, by the last part of its path; one that is not here
 * goes by its name.
 * @type {Record<string, {label: string, unit?: string, help?: string}>}
 */
export const SETTING = {
  seed: { label: "Seed", help: "Same seed, same files, to the byte." },
  replications: { label: "Replications", help: "Each repeats every run with the next seed and adds tables of means and 95 % intervals." },
  step: { label: "Step" },
  steps: { label: "Steps" },
  request_counts: { label: "Requests", help: "Taken from the head of the trace, one run each." },
  gpu_counts: { label: "Fleets", unit: "GPUs" },
  bin_counts: { label: "Bins, K" },
  optimal_gpus: { label: "Fleet of the last method", unit: "GPUs" },
  optimal_bins: { label: "Bins of the last method" },
  sla: { label: "SLA" },
  max_requests: { label: "Most requests", help: "Step 1 goes there in powers of ten; steps 2 and 3 use this number." },
  max_gpus: { label: "Largest fleet", unit: "GPUs" },
  use_real_timestamps: { label: "Recorded arrival times", help: "At the trace’s own pace; the speed-up has no effect then." },
  rps_scaling: { label: "Speed-up of arrivals", unit: "×", help: "Recorded arrival times are divided by this." },
  d_sla_s: { label: "Promise, arrival to end", unit: "s" },
  users: { label: "Users", help: "Each waits for the answer before the next request." },
  requests_per_user: { label: "Requests of each user" },
  think_min_s: { label: "Shortest pause", unit: "s" },
  think_max_s: { label: "Longest pause", unit: "s" },
  prompt_tokens: { label: "Prompt", unit: "tokens" },
  output_tokens: { label: "Output", unit: "tokens" },
  workloads: { label: "Workloads", help: "short, long, stress, contract-long." },
  requests: { label: "Requests of each run" },
  batch_sizes: { label: "Batch sizes, B" },
  bin_errors: { label: "Prediction errors", help: "Chance of one bin too low, and the same of one too high." },
  error_bin_counts: { label: "Bins with errors, k" },
  shortest_s: { label: "Shortest service time", unit: "s" },
  longest_s: { label: "Longest service time", unit: "s" },
  exponential_bin_counts: { label: "Bins, exponential times, k" },
  best_gpu_count: { label: "Fleet of step 3", unit: "GPUs", help: "Empty: the fleet of step 2 with the highest published capacity." },
};

/** What the values of a choice are called. @type {Record<string, Record<string, string>>} */
export const CHOICE = {
  sla: { strict: "10 ms, 5 s", default: "10 ms, 10 s", loose: "30 ms, 20 s (published)" },
  step: { 1: "1, grid of GPUs and bins", 2: "2, comparison of schedulers", grid: "the grid", methods: "the methods on one GPU", all: "all" },
  steps: { all: "all three", step1: "1, requests", step2: "2, GPUs", step3: "3, bins" },
};

export const VIEW = {
  title: "Published studies",
  pageTitle: "Batchscope: published studies",
  lead: "Each study below can be run again here, on your machine, with its published settings or your own. It leaves the files that “batchscope study” writes, byte for byte: report, tables and pictures. Figures that stand beside published ones repeat the published arithmetic, flaws included, and say so.",
  list: "Studies",
  loading: "Loading the studies.",
  source: "Source",
  settings: "Settings",
  size: "Size",
  sizes: { published: "as published", small: "small, seconds", custom: "custom" },
  trace: "Trace",
  traceGenerated: "generated: BurstGPT's first week",
  traceOwn: /** @param {string} name */ (name) => `your file, ${name}`,
  traceChoose: "Choose a trace file",
  traceNone: "This study makes its own requests.",
  listHelp: "Several values with commas between.",
  reset: "Published settings",
  run: "Run",
  cancel: "Cancel",
  plan: /** @type {(runs: number, requests: number) => string} */ (runs, requests) =>
    `${count(runs)} ${runs === 1 ? "run" : "runs"} with ${count(requests)} simulated requests.`,
  planMore: "A study that searches adds runs as it goes.",
  results: "Results",
  report: /** @param {string} name */ (name) => `Report, ${name}`,
  table: /** @type {(name: string, rows: number) => string} */ (name, rows) => `${name}, ${count(rows)} ${rows === 1 ? "row" : "rows"}`,
  firstRows: /** @type {(shown: number, rows: number) => string} */ (shown, rows) => `The first ${count(shown)} of ${count(rows)} rows; the file has them all.`,
  figures: "Figures",
  tables: "Tables",
  texts: "Reports",
  otherFiles: "Other files",
  download: "Download",
  downloadFile: /** @param {string} name */ (name) => `Download ${name}`,
  downloadAll: "All files, ZIP",
  errata: /** @param {number} count */ (count) => `What is wrong in what was published: ${count === 1 ? "one erratum" : `${count} errata`}`,
  erratum: /** @param {FileErratum} erratum */ ({ number, title }) => `${number}. ${title.replaceAll("`", "")}`,
  stale: "The settings have changed since; these are the results of the last run.",
};

/** What needs more rows than a file has, in all. @param {LeftOut[]} leftOut */
const figuresLeftOut = (leftOut) => leftOut.reduce((sum, { figures }) => sum + figures, 0);

/** The comparison of a file with all published figures. */
export const REPRODUCE = {
  title: "Reproduce",
  listed: "Drop BurstGPT_1.csv or its first rows here: every figure that the studies printed for them, beside the simulated one.",
  source: "HPMLL/BurstGPT, BurstGPT_1.csv (CC-BY-4.0), not part of this site",
  about: "A published program printed figures for BurstGPT_1.csv in thirteen versions. Each figure that your file is long enough for is simulated here, on your machine, and set beside the printed one, as “batchscope reproduce” does. The first 400 rows are enough for 96 figures, which the program prints for these rows; the first 10,956 rows for all figures of up to 10,000 requests. Figures of 100,000 and 1,000,000 requests are not verified: this project was never tested with the complete file, only with its first 19,431 rows.",
  rowsChoose: "Choose published rows",
  rowsNone: "Optional: a CSV of published result rows to compare with, instead of the built-in figures",
  rows: /** @type {(compared: number, agree: number) => string} */ (compared, agree) =>
    `${count(compared)} ${compared === 1 ? "row" : "rows"} compared: ${count(agree)} agree, ${count(compared - agree)} differ.`,
  noFile: "No file is chosen yet.",
  drop: "or drop one anywhere on the page",
  reading: /** @param {string} name */ (name) => `Reading ${name}.`,
  details: /** @type {(bytes: number, sha256: string) => string} */ (bytes, sha256) => `${count(bytes)} bytes, SHA-256 ${sha256}`,
  plan: /** @type {(figures: number, runs: number, requests: number) => string} */ (figures, runs, requests) =>
    `${count(figures)} published ${figures === 1 ? "figure" : "figures"} to compare, from ${VIEW.plan(runs, requests)}`,
  leftOut: /** @param {LeftOut[]} leftOut */ (leftOut) => {
    const figures = figuresLeftOut(leftOut);
    return figures === 0 ? "" : `${count(figures)} more need more rows than the file has.`;
  },
  run: "Compare",
  anyway: "Compare anyway",
  bar: "Progress of the comparison",
  done: /** @param {ReproduceResult} result */ ({ runs, requests, elapsed_ms }) =>
    `Done: ${count(runs)} ${runs === 1 ? "run" : "runs"} with ${count(requests)} simulated requests in ${duration(elapsed_ms / 1000)}.`,
  caveat: /** @param {string} caveat */ (caveat) => `${caveat.charAt(0).toUpperCase()}${caveat.slice(1)}.`,
  summary: /** @type {(compared: number, differ: number, leftOut: LeftOut[]) => string} */ (compared, differ, leftOut) => {
    const left = figuresLeftOut(leftOut);
    const agree = `${count(compared - differ)} of ${count(compared)} figures agree`;
    return left === 0 ? `${agree}.` : `${agree}; ${count(left)} need more rows.`;
  },
  rule: "A figure agrees where it is within half a unit of the last digit that was printed, or within 1e-9 of a figure with all its digits. What differs stands first and is marked ≠.",
  leftOutTitle: "What needs more rows",
  needs: /** @param {LeftOut} left */ ({ study, figures, needs_rows }) =>
    `${titleOf(study)}: ${figures === 1 ? "1 figure needs" : `${count(figures)} figures need`} the first ${count(needs_rows)} rows`,
  download: "Download every comparison, CSV",
  study: /** @type {(study: string, figures: number, differ: number) => string} */ (study, figures, differ) =>
    `${titleOf(study)}: ${differ === 0 ? `all ${count(figures)} agree` : `${count(differ)} of ${count(figures)} differ`}`,
  columns: ["Figure", "Published", "Simulated", "Difference", "Verdict", "Errata"],
  mark: "≠ ",
  erratum: /** @param {string} words */ (words) => `Erratum ${words}`,
};

/** What a set of published figures is called. @param {string} study */
function titleOf(study) {
  return study === "head-400" ? "The first 400 rows alone" : (STUDY[study]?.title ?? study);
}

export const STATUS = {
  started: "Running.",
  cancelled: "Cancelled.",
  progress: /** @param {StudyProgress} progress */ ({ stage, step, done, of }) => {
    if (stage === "reading") return "reading the trace";
    if (stage === "drawing") return `writing and drawing, file ${count(done)} of ${count(of)}`;
    return step === 1 ? `${count(done)} of ${count(of)} runs` : `step ${step}, ${count(done)} of ${count(of)} runs`;
  },
  bar: "Progress of the study",
  done: /** @param {StudyResult} result */ ({ runs, requests, files, elapsed_ms }) =>
    `Done: ${count(runs)} ${runs === 1 ? "run" : "runs"} with ${count(requests)} simulated requests in ${duration(elapsed_ms / 1000)}; ${count(files.length)} files.`,
  crashed: /** @param {string} message */ (message) => `The study was stopped: the simulator failed (${message}).`,
};

export const PROBLEM = {
  number: "A number, please.",
  list: "Numbers with commas between, please.",
  fileMissing: /** @param {string} name */ (name) =>
    `The link was made with the file “${name}”. Files stay on their reader’s machine: choose it again to compare it.`,
  unknownStudy: /** @param {string} name */ (name) => `The link names a study “${name}” that this version does not know.`,
};
