// The messages between the page and its workers, and the columns that cross in them. When each is sent stands at the
// beginning of the worker that answers it. What the core itself reads or makes is in types.d.ts, which hands these on.

import type { Adapter, Calibration, CalibrateOptions, CalibratePlan, Check, Derived, Described, ErrorRange, ErrorReport, Fewest, FileErratum, FleetPromise, GpuModel, HighestRate, KernelTime, PairedComparison, Placement, Point, Policy, RecognisedFile, Reproduced, Scenario, ServeProgress, ServedLevels, StepTimes, Study, StudyInfo, Summary, TraceInfo } from "./types.js";

/** A question with its number; the answer has the same. */
type Asked<Type extends string, Content = {}> = { type: Type; runId: number } & Content;

/** What any worker may answer. */
type Failed = Asked<"error", { error: ErrorReport }> | Asked<"crashed", { message: string }>;

/** A file of the reader's; `id` tells files apart, since a `Blob` is another object on each side. */
export type TraceFile = { id: number; name: string; blob: Blob };

/** What a run is busy with. */
export type Stage = "reading" | "simulating";

/** What a worker that replays a trace answers. */
type Replaying =
  | { type: "ready"; version: string }
  | Asked<"trace", { trace: TraceInfo }>
  | Asked<"progress", { stage: Stage; done: number }>
  | Asked<"done", { elapsedMs: number }>
  | Asked<"cancelled">
  | Asked<"seed", { seed: number }>
  | Failed;

// ---- The simulator: www/worker.js --------------------------------------------------------------

export type ToWorker =
  | Asked<"run", { scenario: Scenario; policies: Policy[]; file: TraceFile | null }>
  | Asked<"cancel">
  | Asked<"csv", { policy: Policy }>
  | Asked<"digests", { policy: Policy }>
  /** Batches and requests of the scheduler's last run. */
  | Asked<"timeline", { policy: Policy }>
  | Asked<"seed">;

export type FromWorker =
  | Replaying
  | Asked<"result", { result: RunResult }>
  | Asked<"csv", { policy: Policy; blob: Blob }>
  | Asked<"digests", { policy: Policy; digests: { [column: string]: string } }>
  | Asked<"timeline", { policy: Policy; batches: BatchColumns; requests: RequestColumns }>;

/** One scheduler's run: its figures, ready to draw. */
export type RunResult = {
  policy: Policy;
  summary: Summary;
  cdf: CdfColumns;
  series: SeriesColumns;
  /** Time in the simulator, without figures and messages, ms. */
  simulated_ms: number;
};

/** The latency distribution: `fraction[i]` of the requests took less than `latency_s[i]`. */
export type CdfColumns = { latency_s: Float64Array; fraction: Float64Array };

/** Down-sampled columns over simulated time. */
export type SeriesColumns = { t_s: Float64Array; waiting_mean: Float64Array; waiting_max: Float64Array; batch_mean: Float64Array; batch_max: Float64Array; busy_gpus: Float64Array };

/** Every request of a run, batch by batch; `predicted_tokens` is empty for policies without bins. */
export type RequestColumns = { row: Uint32Array; arrival_s: Float64Array; start_s: Float64Array; end_s: Float64Array; prompt_tokens: Uint32Array; output_tokens: Uint32Array; predicted_tokens: Uint32Array; batch: Uint32Array; gpu: Uint32Array };

/** Every batch of a run, in order of its start; `first` is where its members begin among the requests. */
export type BatchColumns = { start_s: Float64Array; end_s: Float64Array; gpu: Uint16Array; bin: Uint8Array; first: Uint32Array; size: Uint32Array; longest_total: Uint32Array; longest_output: Uint32Array };

/** What an SLA controller did, batch by batch. */
export type ControllerColumns = { start_s: Float64Array; low: Float64Array; high: Float64Array; allowed: Uint32Array; size: Uint32Array; tau_s: Float64Array };

/** What decoding steps cost at best. */
export type Cost = {
  /** The whole step, and of it reading the caches, s, by number of sequences. */
  step_s: Float64Array;
  cache_s: Float64Array;
  /** Of it, reading the weights, s. */
  weights_s: number;
  weight_bytes: number;
  /** Keys and values of a token, bytes. */
  token_bytes: number;
  /** Of the GPU, bytes, and the share of it that a server uses. */
  memory_bytes: number;
  memory_share: number;
};

// ---- The laboratory: www/lab/worker.js ---------------------------------------------------------

/**
 * One run: the page's name of it, and a model to put on its GPUs first. `error`: how far off its step times typically are, in
 * proportion, where they are a calibration's.
 */
export type LabJob = { key: string; scenario: Scenario; on: Placement | null; error: number | null };

export type ToLab =
  /** `keep`: keys of outcomes that are still shown; the others are forgotten. */
  | Asked<"run", { runs: LabJob[]; keep: string[]; file: TraceFile | null }>
  | Asked<"cancel">
  | Asked<"csv", { run: LabJob; file: TraceFile | null }>
  | Asked<"steps", { run: LabJob; file: TraceFile | null }>
  | Asked<"seed">
  | Asked<"latency", { name: string; text: string }>;

export type FromLab =
  | Replaying
  | Asked<"result", { result: LabResult }>
  | Asked<"csv", { blob: Blob }>
  | Asked<"steps", { blob: Blob }>
  | Asked<"latency", { times: StepTimes }>;

/** What a run left; `simulated_ms`: time in the simulator, without breaks. */
export type LabServed = { key: string; summary: Summary; cdfs: ServedCdfColumns; series: ServedSeriesColumns; simulated_ms: number };

/** With the same run where all steps are shorter, and where they are longer, by a calibration's error; null without one. */
export type LabResult = LabServed & { ends: LabServed[] | null };

/** Distributions: ascending times, s, and shares below them. */
export type ServedCdfColumns = { ttft_s: Float64Array; ttft_fraction: Float64Array; latency_s: Float64Array; latency_fraction: Float64Array; tbt_s: Float64Array; tbt_fraction: Float64Array };

/** Time averages of all replicas together; `t_s` is the middle of each interval. */
export type ServedSeriesColumns = { t_s: Float64Array; waiting: Float64Array; running: Float64Array; kv_blocks: Float64Array; kv_tokens: Float64Array; busy: Float64Array };

// ---- Searches: www/search/worker.js ------------------------------------------------------------

/** What all searches are given. */
type Searched = { replications: number; file: TraceFile | null };

export type ToSearch =
  /** The fewest GPUs that keep a promise at a rate. */
  | Asked<"fewest-gpus", { run: LabJob; promise: FleetPromise; ratePerS: number } & Searched>
  /** The highest rate at which the fleet keeps it. */
  | Asked<"highest-rate", { run: LabJob; promise: FleetPromise } & Searched>
  /** How run `b` differs from run `a`. */
  | Asked<"differences", { a: LabJob; b: LabJob } & Searched>;

export type FromSearch =
  /** What is tried now: a number of GPUs, or a replication. */
  | Asked<"trying", { number: number }>
  | Asked<"fewest-gpus", { found: Fewest }>
  | Asked<"highest-rate", { found: HighestRate }>
  | Asked<"differences", { found: PairedComparison }>
  | Failed;

// ---- Studies: www/studies/worker.js ------------------------------------------------------------

/** A study to run; `file` takes the place of its own trace. */
export type StudyJob = { study: Study; replications: number; file: TraceFile | null };

/**
 * A file to hold against published figures, or against rows of published result files; `anyway`: also where they are not
 * about it.
 */
export type ReproduceJob = { file: TraceFile; rows: TraceFile | null; anyway: boolean };

export type NamedBlob = { name: string; blob: Blob };

export type ToStudies =
  | { type: "list" }
  | Asked<"plan", { job: StudyJob }>
  /** `runners`: most runs at a time. */
  | Asked<"run", { job: StudyJob; runners: number }>
  | Asked<"recognise", { file: TraceFile; rows: TraceFile | null }>
  | Asked<"reproduce", { job: ReproduceJob; runners: number }>
  | Asked<"cancel">
  | Asked<"zip", { files: NamedBlob[] }>;

export type FromStudies =
  | { type: "ready"; studies: StudyInfo[] }
  | Asked<"planned", { runs: number; requests: number }>
  | Asked<"progress", { progress: StudyProgress }>
  | Asked<"said", { sentence: string }>
  | Asked<"done", { result: StudyResult }>
  | Asked<"recognised", { recognised: RecognisedFile }>
  | Asked<"reproduced", { result: ReproduceResult }>
  | Asked<"cancelled">
  | Asked<"zip", { blob: Blob }>
  | Failed;

/** What a study is busy with. */
export type StudyStage = "reading" | "running" | "drawing";

/**
 * The first `step` is 1. Of a stage and step: runs or files that are done, all of them, and the share that is done, from 0
 * to 1.
 */
export type StudyProgress = { stage: StudyStage; step: number; done: number; of: number; share: number };

/** What a finished study leaves. */
export type StudyResult = { files: ShownFile[]; runs: number; requests: number; runners: number; elapsed_ms: number };

/** Every published figure beside the simulated one; `csv` as of `batchscope reproduce --out`. */
export type ReproduceResult = { reproduced: Reproduced; csv: Blob; runs: number; requests: number; elapsed_ms: number };

export type FileKind = "table" | "text" | "json" | "figure" | "outcomes";

/** What is said of a file. */
type Said = {
  kind: FileKind;
  name: string;
  /** Of a figure, else empty. */
  title: string;
  caption: string;
  /** Header and first rows of a table, else empty, and how many rows it has without its header. */
  preview: string[][];
  rows: number;
  /** What is known to be wrong with what was published here, apart from what concerns the whole study. */
  errata: FileErratum[];
};

/** A file as the module hands it out. */
export type StudyFile = Said & { bytes: Uint8Array<ArrayBuffer> };

/** A file as it crosses to the page; `text` of a text, else empty. */
export type ShownFile = Said & { blob: Blob; text: string };

// ---- The reader's GPU: www/calibrate/worker.js -------------------------------------------------

export type ToGpu =
  | Asked<"open">
  | Asked<"plan", { options: CalibrateOptions }>
  | Asked<"calibrate", { options: CalibrateOptions }>
  | Asked<"serve", { calibration: Calibration; users: number[]; scenario: object; measure: boolean }>
  | Asked<"cancel">
  | Asked<"read", { name: string; text: string }>
  | Asked<"describe", { calibration: Calibration }>
  | Asked<"derive", { calibration: Calibration; scenario: Scenario; policies: Policy[]; file: TraceFile | null }>
  | Asked<"range", { summaries: Summary[]; file: TraceFile | null; error: number }>;

export type FromGpu =
  | { type: "ready"; models: GpuModel[] }
  | Asked<"opened", { adapter: Adapter }>
  | Asked<"planned", { plan: CalibratePlan }>
  | Asked<"progress", { progress: GpuProgress }>
  | Asked<"calibrated", { result: Described }>
  | Asked<"serving", { progress: ServeProgress }>
  | Asked<"served", { result: ServedLevels }>
  | Asked<"described", { result: Described }>
  | Asked<"derived", { derived: Derived }>
  | Asked<"ranged", { ranges: PolicyRange[] }>
  | Asked<"cancelled">
  | Failed;

/** What a calibration is at, of which share is `done`, and what it measured since the last message. */
export type GpuProgress = { stage: string; what: string; done: number; kernels: KernelTime[]; points: Point[]; checks: Check[] };

/** The figures of one scheduler at both ends of an error. */
export type PolicyRange = { policy: Policy; range: ErrorRange };
