// Generated from the Rust types by tests/types.rs; do not edit.

export type * from "./messages.js";

/**
 * What is known of an accelerator; what was not given is `None`.
 */
export type Accelerator = { name: string, 
/**
 * Dense, at the precision of the model's arithmetic, FLOP/s.
 */
peak_flops: number | null, bandwidth_bytes_per_s: number | null, 
/**
 * Where the figures are from.
 */
source: string, };

/**
 * The device and what it can do, as its driver says.
 */
export type Adapter = { name: string, 
/**
 * Vulkan, Metal, Dx12 or BrowserWebGpu.
 */
backend: string, 
/**
 * Driver and its version; empty where a browser hides it.
 */
driver: string, 
/**
 * The browser, where one measured.
 */
user_agent: string | null, 
/**
 * Whether a processor plays the GPU.
 */
software: boolean, subgroups: boolean, subgroup_min: number, subgroup_max: number, shader_f16: boolean, timestamps: boolean, 
/**
 * Longest buffer and longest part of one that a kernel can see, bytes.
 */
max_buffer_bytes: number, max_binding_bytes: number, };

/**
 * Who is turned away, and who goes.
 */
export type Admission = { 
/**
 * A request joins only if the blocks of its whole prompt are free, also where it takes no more
 * than its first chunk's (vLLM's `scheduler_reserve_full_isl`, on since 0.19).
 */
whole_prompt_fits: boolean, 
/**
 * Most requests that wait at a replica: a request that would have to wait beside as many is rejected. Absent: no
 * limit.
 */
max_waiting: number | null, 
/**
 * A request that has not joined this long after its arrival gives up, s.
 */
timeout_s: number | null, 
/**
 * Reject a request that can never fit into the cache, instead of refusing the whole run.
 */
reject_too_long: boolean, };

/**
 * A dense decoder of the Llama family: grouped-query attention, SiLU-gated MLP, RMSNorm.
 */
export type Architecture = { name: string, layers: number, 
/**
 * Width of the residual stream.
 */
hidden: number, 
/**
 * Query heads.
 */
heads: number, 
/**
 * Key and value heads; `heads / kv_heads` query heads share one.
 */
kv_heads: number, head_size: number, 
/**
 * Inner width of the MLP.
 */
mlp: number, vocabulary: number, 
/**
 * Whether queries and keys are normalised head by head (Qwen3).
 */
qk_norm: boolean, 
/**
 * Whether the embeddings are the LM head's weights too.
 */
tied: boolean, 
/**
 * Base of the rotary embedding.
 */
rope_theta: number, 
/**
 * Added to the mean square under RMSNorm's root.
 */
norm_epsilon: number, 
/**
 * Where the numbers come from.
 */
source: string, };

/**
 * How requests arrive; rates are requests/s, the first arrival is one gap after time 0.
 */
export type Arrivals = { "poisson": { rate: number, } } | { "gamma": { rate: number, cv: number, } } | { "on-off": { on_rate: number, off_rate: number, mean_on_s: number, mean_off_s: number, } } | { "diurnal": { mean_rate: number, peak_to_valley: number, period_s: number, peak_at_s: number, } };

/**
 * Shares of requests that met an SLA; absent where no request produced output.
 */
export type Attainment = { 
/**
 * TPOT within the token SLA; requests of one output token meet it.
 */
token: number | null, 
/**
 * E2E latency within the request SLA.
 */
request: number | null, 
/**
 * All that are promised.
 */
joint: number | null, 
/**
 * TTFT within its SLA; absent where none is promised.
 */
ttft: number | null, };

/**
 * Attention of one layer, a column per number: a chunk of a prompt behind a context, beside sequences that
 * decode with a context each.
 */
export type AttentionProfile = { 
/**
 * Tokens of the chunk.
 */
prefill_chunk: Array<number>, 
/**
 * Context before the chunk, tokens.
 */
kv_prefill: Array<number>, 
/**
 * Decoding sequences.
 */
n_decode: Array<number>, 
/**
 * Context of each decoding sequence, tokens.
 */
kv_decode: Array<number>, 
/**
 * Time of the kernel, µs.
 */
time_us: Array<number>, };

/**
 * Streaming reads.
 */
export type Bandwidth = { 
/**
 * By wall clock, bytes/s.
 */
read: Estimate, 
/**
 * Bytes that were cycled through.
 */
working_set_bytes: number, 
/**
 * The same by timestamps, bytes/s, where the device has them and they make sense.
 */
by_timestamps: number | null, };

/**
 * How requests are sorted into bins.
 */
export type Bins = { 
/**
 * K. Ignored by boundaries `fixed`, which bring their own count.
 */
count: number, boundaries: Boundaries, served: Served, 
/**
 * Batch size that `multi-bin` waits for, and that boundaries `exponential-optimal` are made for.
 */
full_batch: number, 
/**
 * `equal-mass-outputs` looks at this many leading rows of the trace file.
 */
sample_rows: number, 
/**
 * Most requests that boundaries are fitted to: the first of those rows that did not
 * fail, or the first replayed requests where predictions are fitted.
 */
sample_size: number, 
/**
 * Interior cuts of boundaries `fixed`: K - 1 increasing lengths, tokens.
 */
cuts: Array<number>, 
/**
 * Upper end of the last bin, tokens.
 */
last_upper: number, 
/**
 * A prediction below the lowest boundary goes to the last bin, as in the published studies;
 * otherwise to the first.
 */
below_range_to_last: boolean, 
/**
 * Bounds each bin's batch by the memory that requests of its middle length need, as in the published studies from v3
 * on.
 */
batch_caps: boolean, };

/**
 * Where the boundaries come from.
 */
export type Boundaries = "equal-mass-outputs" | "equal-mass-predictions" | "equal-width" | "fixed" | "exponential-optimal";

/**
 * What to calibrate.
 */
export type CalibrateOptions = { architecture: Architecture, precision: Precision, 
/**
 * Fewer sizes, fewer and shorter repetitions.
 */
quick: boolean, seed: number, 
/**
 * Bytes of layers after which no further one is put into the GPU's memory; absent: as many as
 * it holds.
 */
most_bytes?: number, };

/**
 * What would run.
 */
export type CalibratePlan = { 
/**
 * About how long, s.
 */
seconds: number, 
/**
 * GPU memory, if all layers fit.
 */
bytes: number, layers: number, 
/**
 * The stages in their order.
 */
steps: Array<string>, };

/**
 * What a calibration is busy with, and what it has just found.
 */
export type CalibrateProgress = { 
/**
 * verify, build, read, kernels or points.
 */
stage: string, 
/**
 * What is measured now.
 */
what: string, 
/**
 * From 0 to 1.
 */
done: number, kernel: KernelTime | null, 
/**
 * By what is known so far: a later one of the same size replaces it.
 */
point: Point | null, check: Check | null, };

/**
 * A whole calibration.
 */
export type Calibration = { 
/**
 * [`KIND`].
 */
kind: string, version: number, 
/**
 * Version of the program, and the commit it was built from where that is known.
 */
program: string, commit: string | null, 
/**
 * When it was measured, UTC, as in 2026-11-25T20:15:00Z.
 */
measured_at: string, adapter: Adapter, model: MeasuredModel, 
/**
 * The kernels that multiplied a matrix by 9 to 16, by 17 to 32 and by more columns (sequences and
 * prompt tokens of a step); absent in version 1. Step times hold for these kernels alone.
 */
many_columns?: [ManyColumns, ManyColumns, ManyColumns], 
/**
 * The kernels for 1, for 2, for up to 4 and for up to 8 columns; absent before version 3.
 */
few_columns?: [GemvKernel, GemvKernel, GemvKernel, GemvKernel], bandwidth: Bandwidth, launch: Launch, kernels: Array<KernelTime>, 
/**
 * Whole steps as a server takes them. Predictions come from these; empty in versions 1 and 2, whose predictions
 * come from `fit`.
 */
steps?: Array<WholeStep>, 
/**
 * The processor's part of a step.
 */
host?: HostTime, 
/**
 * What the fit was made from, and the points held out of it: since version 3 those whole steps that are decode
 * or short prompts, before it steps composed of their kernels.
 */
points: Array<Point>, 
/**
 * The straight line nearest to the points. Since version 3 only the closed-batch form comes from it.
 */
fit: Fit, 
/**
 * Whole steps at sizes that nothing above has seen, against the prediction.
 */
checks: Array<Check>, 
/**
 * Median and greatest relative error of the checks.
 */
check_median_error: number, check_worst_error: number, 
/**
 * How much longer a step took at the end than at the beginning, in proportion: above 0.1 the GPU's clock was
 * not steady.
 */
drift: number | null, 
/**
 * How even the device's pace was meanwhile.
 */
steadiness?: Steadiness, 
/**
 * Loads that the device served after the calibration, beside their predictions.
 */
proof?: Proof, 
/**
 * How whole steps grow with the number of layers.
 */
layers: LayerScaling | null, warnings: Array<Warning>, 
/**
 * Measured on a software adapter or with a made-up model: shows how it works, and says nothing
 * of any GPU.
 */
demonstration: boolean, 
/**
 * Wall-clock time of the whole calibration, s.
 */
took_s: number, };

/**
 * A data sheet. Rates are dense; those of GeForce cards in FP16 are with sums in FP32, which is half the advertised rate,
 * because sums in FP16 are too coarse for a hidden size of thousands.
 */
export type Card = { 
/**
 * As on the command line.
 */
key: string, 
/**
 * With the rate of FP16, in which f16, int8 and int4 weights are multiplied; [`Card::hardware_for`]
 * gives that of any precision.
 */
hardware: Hardware, 
/**
 * Peak rate in FP32, FLOP/s: f32 weights do not run on FP16 tensor cores.
 */
f32_flops: number, 
/**
 * Peak rate of products in 8 bit floating point, FLOP/s; absent where the hardware has none.
 */
f8_flops: number | null, 
/**
 * bytes, at 1e9 a GB.
 */
memory_bytes: number, 
/**
 * Most that the board may draw, W; absent where the maker gives none.
 */
power_w: number | null, 
/**
 * The family of chips, as in "hopper".
 */
generation: string, 
/**
 * The link between GPUs; absent where they have PCIe alone.
 */
link: Link | null, };

/**
 * What a model asks of the hardware of a replica, and what that can do at most (docs/MODEL.md,
 * "Roofline").
 */
export type Ceiling = { 
/**
 * Weights that a step reads, bytes.
 */
weight_bytes: number, 
/**
 * Keys and values of a token, bytes.
 */
token_bytes: number, 
/**
 * Arithmetic of a token outside attention, FLOP.
 */
token_flops: number, 
/**
 * Arithmetic of a pair of tokens in attention, FLOP.
 */
pair_flops: number, 
/**
 * Peak arithmetic of a replica, FLOP/s.
 */
peak_flops: number, 
/**
 * Peak bandwidth of a replica, bytes/s.
 */
bandwidth_bytes_per_s: number, };

/**
 * A whole step, measured and predicted.
 */
export type Check = { sequences: number, context: number, prefill: number, 
/**
 * Extrapolated by layer count where not all layers were resident.
 */
measured_s: number, mad_s: number, predicted_s: number, 
/**
 * (predicted - measured)/measured.
 */
error: number, };

/**
 * What came out for one kernel.
 */
export type Checked = { 
/**
 * As in "gemv int4".
 */
kernel: string, cases: number, 
/**
 * The greatest difference to the twin, in proportion to the twin's largest value; of sampling, how
 * far the drawn token's score was below the greatest.
 */
worst_error: number, 
/**
 * What it may be at most; 0 where every bit has to be the twin's.
 */
tolerance: number, };

/**
 * One class of requests.
 */
export type ClassFigures = { label: string, ttft_s: Distribution, e2e_s: Distribution, };

/**
 * Closed batches: the policy that forms them with every parameter, how long they take, and the memory that bounds them.
 * A parameter that the chosen policy does not use must have its default: `--set` and files that change it are refused.
 */
export type Closed = { policy: Policy, 
/**
 * Batch size of `static-fifo`.
 */
static_batch: number, 
/**
 * No batch of the two dynamic policies is larger.
 */
max_batch: number, memory_bound: MemoryBound, controller: Controller, latency: Latency, memory: Memory, };

/**
 * A [`Step`] in the closed-batch form, and how far that form is from the steps.
 */
export type ClosedForm = { linear: Linear, 
/**
 * Median and greatest error of `linear` against the sum over steps, in proportion, over the
 * batches that it was derived from.
 */
median_error: number, worst_error: number, 
/**
 * Those batches: sizes from 1 to this, and lengths (prompt + output) from and to these, tokens.
 */
max_batch: number, lengths: [number, number], 
/**
 * A decoding step of one sequence in the middle of its output, s. In the form it takes
 * `linear.beta_s_per_token`, which is less the longer prompts are, because there a prompt token
 * costs as much as an output token.
 */
step_s: number, };

/**
 * A closed loop: a fixed number of users, each sending its requests one after another. All send
 * their first at time 0; after each answer a user thinks and sends the next.
 */
export type ClosedLoop = { 
/**
 * Users who each keep one request under way, apart from think times.
 */
users: number, 
/**
 * Requests of each user, one after another.
 */
requests_per_user: number, 
/**
 * Shortest time from an answer to the user's next request, s.
 */
think_min_s: number, 
/**
 * Longest, s; think times are uniform between the two.
 */
think_max_s: number, };

/**
 * Whether two scenarios serve the same requests.
 */
export type ComparedRequests = { 
/**
 * The same rows arrive at the same times, and every figure counts all of them.
 */
same: boolean, 
/**
 * What differs, a sentence each.
 */
differ: Array<string>, };

/**
 * `d0 + d1 (b + p)`: the weights' part of a step once arithmetic bounds it.
 */
export type Compute = { 
/**
 * What every such step costs, s.
 */
d0_s: number, 
/**
 * Per token of the step, decoded or of a prompt, s.
 */
d1_s_per_token: number, };

/**
 * What only continuous batching has; absent parts are not modelled in this scenario.
 */
export type Continuous = { 
/**
 * Gaps between the tokens of a request, every one, ms; quantiles to within 0.4 %.
 */
tbt_ms: Distribution | null, 
/**
 * Share of these gaps within the token SLA.
 */
tbt_within_sla: number | null, 
/**
 * Requests that found too many waiting, that can never fit into the cache, and that gave up.
 */
rejected: number, too_long: number, timed_out: number, steps: number, 
/**
 * Decoding sequences of a step, mean over the steps.
 */
mean_batch: number, 
/**
 * Prompt tokens of a step, mean over the steps.
 */
mean_prompt_tokens: number, 
/**
 * Steps beyond the measurements of the latency model.
 */
steps_outside: number, 
/**
 * Model FLOP/s and bandwidth utilisation of busy replicas; absent without `ceiling`.
 */
mfu: number | null, mbu: number | null, kv: KvFigures, preemptions: number, 
/**
 * Tokens that were in the cache when their request was preempted and not when it joined again.
 */
recomputed_tokens: number, swapped_blocks: number, 
/**
 * Time of steps that copying took, s.
 */
swap_s: number, prefix: PrefixFigures | null, speculative: SpeculativeFigures | null, fairness: Fairness, statistics: Statistics, };

/**
 * A server with continuous batching, and how its replicas share the requests.
 */
export type ContinuousServer = { 
/**
 * What a step does with prompts, and who may join.
 */
rule: StepRule, 
/**
 * Who of those that wait comes first.
 */
order: QueueOrder, 
/**
 * Priority lowered per second of waiting: tokens of predicted output (`sjf`), levels
 * (`priority`); no effect with other orders. With 0 a request may wait forever.
 */
ageing_per_s: number, 
/**
 * Classes of requests by the trace's log type; `priority` and `edf` look here.
 */
classes: Array<RequestClass>, 
/**
 * Only requests of one bin (`bins`, by predicted output) share a replica at a time.
 */
bins: boolean, 
/**
 * A bin keeps its replica until a request of another bin has waited so long, s.
 */
bin_patience_s: number, 
/**
 * Most requests at work on a replica.
 */
max_sequences: number, 
/**
 * Most tokens of a step, decoded and of prompts.
 */
max_batched_tokens: number, 
/**
 * Most tokens of one prompt in a step, so that a long prompt leaves room for others; 0 for no such limit.
 */
long_prefill_token_threshold: number, 
/**
 * The next step is put together while a step runs, as in vLLM since 0.19: a request that arrives during a
 * step waits for one step more, and one that is done keeps its place and its blocks for one step more.
 */
async_scheduling: boolean, kv: KvCache, speculative: Speculative | null, admission: Admission, router: Router, 
/**
 * GPUs that work together as one replica; `fleet.gpus` is a multiple. The latency must be that of
 * such a group.
 */
tensor_parallel: number, 
/**
 * Time of a step.
 */
latency: StepLatencyModel, 
/**
 * Of each GPU; a text that gives some of its fields has the others of the default.
 */
memory: Memory, 
/**
 * What the model asks of the hardware, where known: MFU and MBU are shares of it.
 */
ceiling: Ceiling | null, 
/**
 * Requests at the beginning before the window that the figures are of (docs/MODEL.md, "Intervals of a
 * run").
 */
warmup: Warmup, };

/**
 * Settings of the study.
 */
export type ContinuousStudy = { 
/**
 * The first seed.
 */
seed: number, 
/**
 * Seeds of each run: systems are compared seed by seed.
 */
seeds: number, 
/**
 * Of each run and GPU.
 */
requests_per_gpu: number, 
/**
 * Arrivals per second and GPU.
 */
rates_per_gpu: Array<number>, gpu_counts: Array<number>, 
/**
 * Bins where they are not varied.
 */
bins: number, 
/**
 * Bins where they are, at the middle rate on the first fleet.
 */
bin_counts: Array<number>, 
/**
 * A model that [`Architecture::preset`] knows, and a card that [`Card::preset`] knows.
 */
model: string, hardware: string, };

/**
 * Settings of the study.
 */
export type Contract = { 
/**
 * What runs; without meaning for a measured report.
 */
workloads: Array<ContractWorkload>, 
/**
 * What it runs on.
 */
server: Server, seed: number, 
/**
 * A measured report to judge instead of running anything.
 */
measured: Measured | null, };

/**
 * A workload of the contract: requests of one length, one after another or all at once.
 */
export type ContractWorkload = "short" | "long" | "stress" | "contract-long";

/**
 * The controller's variant and every constant.
 */
export type Controller = { variant: Variant, feedback: Feedback, 
/**
 * The time it steers to, s; absent means the token SLA.
 */
target_s: number | null, 
/**
 * Dead band around the target, s.
 */
epsilon_s: number, 
/**
 * The paper's alpha: least width of the search interval, requests.
 */
alpha: number, 
/**
 * The paper's delta: how far the other end gives way, requests.
 */
delta: number, 
/**
 * Weight of the newest batch in the moving averages.
 */
smoothing: number, 
/**
 * First estimate of the batch size; where bins have caps, at most the middle of 1 and the cap.
 */
initial_batch: number, 
/**
 * The interval keeps its initial value until this many batches have ended.
 */
warmup_batches: number, running_floor: RunningFloor, 
/**
 * Inside the dead band the interval is `delta / 2` about the mean batch instead of
 * `alpha / 2` (the last published commit).
 */
band_from_delta: boolean, };

/**
 * What a GPU's data sheet allows the calibrated model at best.
 */
export type DataSheet = { card: Card, 
/**
 * Whether it is the measured GPU's own.
 */
own: boolean, 
/**
 * Times of [`Described::places`], s.
 */
seconds: Array<number>, 
/**
 * Of the measured GPU's own sheet, at the same places: the share of its peak bandwidth and
 * arithmetic that the fitted times amount to.
 */
mbu: Array<number> | null, mfu: Array<number> | null, };

/**
 * Weights that every token of a step uses.
 */
export type Dense = { 
/**
 * Reading all of them, s.
 */
read_s: number, 
/**
 * Arithmetic of one token of the step, s.
 */
token_s: number, 
/**
 * Arithmetic of one token that is drawn (the LM head), s.
 */
sampled_s: number, };

/**
 * A latency model for a trace's lengths.
 */
export type Derived = { latency: Latency, form: ClosedForm, };

/**
 * A calibration with what its fit says.
 */
export type Described = { calibration: Calibration, 
/**
 * The file, as the command line writes it.
 */
text: string, 
/**
 * How far off predicted step times typically are, in proportion.
 */
error: number, 
/**
 * The same of the straight line that the simulator's closed batches come from.
 */
line_error: number, 
/**
 * The predicted time at each of the calibration's points, s.
 */
predicted: Array<number>, 
/**
 * Predictions at the same places for every calibration.
 */
places: Array<Place>, 
/**
 * The same steps by data sheets.
 */
sheets: Array<DataSheet>, };

/**
 * A figure of both scenarios, means over the seeds.
 */
export type Difference = { 
/**
 * Its path in `honest` or `continuous`, as in "honest.ttft_s.p99".
 */
figure: string, a: number, b: number, 
/**
 * b - a.
 */
difference: number, 
/**
 * Its 95 % interval; absent with one seed, and where nothing varies from seed to seed.
 */
low: number | null, high: number | null, };

/**
 * A distribution over requests. Quantiles interpolate linearly between order statistics.
 */
export type Distribution = { count: number, mean: number, p50: number, p90: number, p95: number, p99: number, p999: number, max: number, };

/**
 * How a fleet serves.
 */
export type Engine = { "closed": Closed } | { "continuous": ContinuousServer };

/**
 * The main figures of a run within the error of its step times.
 */
export type ErrorRange = { 
/**
 * By how much the steps are faster and slower, in proportion; of two unequal ones the greater.
 */
error: number, 
/**
 * Times the steps' times: faster, slower.
 */
factors: [number, number], 
/**
 * Output tokens/s.
 */
output_tokens_per_s: Moved, 
/**
 * Time to the first token, s.
 */
ttft_p50_s: Moved, ttft_p95_s: Moved, 
/**
 * Time per output token after the first, median over requests, ms.
 */
tpot_p50_ms: Moved, 
/**
 * Share of the requests that met both SLAs.
 */
joint: Moved, 
/**
 * E2E latency, s.
 */
e2e_p95_s: Moved, 
/**
 * Requests that met both SLAs, per second.
 */
goodput_requests_per_s: Moved, };

/**
 * An [`Error`] as plain data.
 */
export type ErrorReport = { code: string, message: string, file: string | null, row: number | null, field: string | null, };

/**
 * A number that was measured several times.
 */
export type Estimate = { value: number, unit: string, 
/**
 * Median absolute deviation of the single estimates, same unit.
 */
mad: number, 
/**
 * How many samples.
 */
n: number, 
/**
 * Every sample: repeats within one submission, seconds.
 */
samples: Array<[number, number]>, };

/**
 * Which of the unused blocks is evicted first.
 */
export type Eviction = "lru" | "lfu";

/**
 * Routed experts of all layers.
 */
export type Experts = { 
/**
 * Of a layer.
 */
count: number, 
/**
 * That a token is sent to.
 */
active: number, 
/**
 * Groups that the experts of a layer are divided into, each on GPUs of its own: 1 where every GPU has a part of each
 * expert.
 */
groups: number, 
/**
 * Share of a step's tokens after the first that count as choosing their experts independently of the others, fraction of
 * 1: 1 for a router without preferences, less where tokens of a step choose alike.
 */
independent: number, 
/**
 * Reading one expert in each layer, s.
 */
read_s: number, 
/**
 * Arithmetic of one token of the step, s.
 */
token_s: number, };

/**
 * What to do with failed requests (0 output tokens).
 */
export type Failed = "drop" | "keep";

/**
 * How differently requests fare by whose they are.
 */
export type Fairness = { 
/**
 * By log type, where the trace has several.
 */
classes: Array<ClassFigures>, 
/**
 * Jain's index (Jain, Chiu and Hawe 1984) over sessions of their mean latency per output token: 1 where
 * all fare alike, 1/n where one has it all. Absent without sessions.
 */
sessions_jain: number | null, };

/**
 * What a batch that ended tells the controller.
 */
export type Feedback = "total" | "decode" | "service";

/**
 * The answer to "how many GPUs for this rate".
 */
export type Fewest = { rate_per_s: number, 
/**
 * The fewest that keep the promise, and keep up, when the scenario is played as it stands;
 * absent where even the largest fleet does not.
 */
gpus: number | null, 
/**
 * The playback that this rests on.
 */
verified: Probe | null, 
/**
 * The fewest at which the lower end of the 95 % interval keeps the promise too; absent for one
 * replication and where no fleet up to twice `gpus` does.
 */
gpus_with_confidence: number | null, 
/**
 * Every fleet that was tried, ascending.
 */
tried: Array<Tried>, };

/**
 * An item of docs/ERRATA.md that concerns a study or one of its files.
 */
export type FileErratum = { number: number, title: string, 
/**
 * Where to read it, from the root of the repository and of the site.
 */
link: string, };

/**
 * A file that was read, and what it is.
 */
export type FileReport = { name: string, bytes: number, 
/**
 * Of its bytes, in lower-case hex.
 */
sha256: string, rows: number, recognised: Recognised, };

/**
 * The fitted step latency and how well it holds.
 */
export type Fit = { model: StepLatency, 
/**
 * 95 % intervals of c0, c1, c2, c3; null where nothing determines the coefficient.
 */
intervals: [[number, number] | null, [number, number] | null, [number, number] | null, [number, number] | null], 
/**
 * Coefficient of determination over the fitted points.
 */
r2: number, 
/**
 * Relative errors of the points that were held out.
 */
held_out_median: number, held_out_worst: number, 
/**
 * Points fitted and held out.
 */
fitted: number, held_out: number, };

/**
 * The GPUs: equal, each serving one batch at a time.
 */
export type Fleet = { 
/**
 * GPUs; with continuous batching a replica has `tensor_parallel` of them.
 */
gpus: number, };

/**
 * What must hold.
 */
export type FleetPromise = { which: PromiseKind, 
/**
 * Share of the requests, above 0 and at most 1.
 */
share: number, };

/**
 * A trace file's format, as in `--format`.
 */
export type Format = "burstgpt" | "azure" | "bailian" | "mooncake" | "csv" | "jsonl";

/**
 * How the kernel for few columns shares its work out.
 */
export type GemvKernel = { 
/**
 * Rows of the matrix that a workgroup has.
 */
rows: number, 
/**
 * Whether its sums are added up by subgroups, or else in workgroup memory.
 */
subgroups: boolean, };

/**
 * A model that can be run.
 */
export type GpuModel = { architecture: Architecture, 
/**
 * Weights that a step reads.
 */
weights: number, };

/**
 * An accelerator, or several as one.
 */
export type Hardware = { name: string, 
/**
 * Peak rate of dense matrix arithmetic in the precision that is used, FLOP/s.
 */
peak_flops: number, 
/**
 * Peak memory bandwidth, bytes/s.
 */
bandwidth_bytes_per_s: number, 
/**
 * Where the two numbers come from.
 */
source: string, };

/**
 * The highest rate of one replication.
 */
export type Highest = { "found": Probe } | { "never": Probe } | { "unbounded": Probe };

/**
 * The answer to "how high a rate".
 */
export type HighestRate = { 
/**
 * Requests/s; absent where the promise fails at every rate.
 */
rate_per_s: number | null, 
/**
 * The playback of the scenario as it stands that the answer rests on.
 */
verified: Highest, 
/**
 * How far the rate can be trusted; absent for one replication and where one has none.
 */
over_replications: ReplicatedEstimate | null, 
/**
 * Seeds (the first is the scenario's own), or blocks of the file; empty for one replication.
 */
replications: Array<Highest>, };

/**
 * Honest metrics of one run.
 */
export type Honest = { 
/**
 * Requests that produced output.
 */
requests: number, 
/**
 * Failed requests that were replayed all the same (`failed: keep`).
 */
failed_replayed: number, 
/**
 * Failed requests that were left out (`failed: drop`).
 */
failed_dropped: number, 
/**
 * Arrival to start of service, s.
 */
queueing_s: Distribution | null, 
/**
 * Arrival to first token, s.
 */
ttft_s: Distribution | null, 
/**
 * (latency - TTFT) / (own output - 1), ms; requests of one output token have none.
 */
tpot_ms: Distribution | null, 
/**
 * Arrival to the end of the batch, s.
 */
e2e_s: Distribution | null, 
/**
 * A request's own output tokens over its latency, tok/s; only in a closed loop, where it is
 * what one user gets.
 */
request_tokens_per_s: Distribution | null, sla: Attainment, 
/**
 * From the first arrival to the last end, s.
 */
makespan_s: number, 
/**
 * Requests that met every SLA, per second of makespan.
 */
goodput_requests_per_s: number, 
/**
 * Absent where all requests arrive at one moment, and in a closed loop.
 */
offered_requests_per_s: number | null, served_requests_per_s: number, 
/**
 * Prompt and output tokens of requests that did not fail, per second of the arrival span;
 * absent like `offered_requests_per_s`.
 */
offered_tokens_per_s: number | null, 
/**
 * The same tokens, per second of makespan.
 */
served_tokens_per_s: number, 
/**
 * Output tokens alone, per second of makespan.
 */
output_tokens_per_s: number, 
/**
 * Share of the batches' token positions in which a member had already finished (or had
 * failed): 1 - sum(prompt + output) / sum(batch size x longest member); where steps are added up, a member stays for
 * its prompt and the longest output.
 */
padding_waste: number | null, 
/**
 * Busy time over makespan, per GPU and over all.
 */
utilization: Utilization, 
/**
 * GPU time of batches in which every member had failed, s.
 */
gpu_s_for_failed_only: number, 
/**
 * Requests not yet in service when the last one had arrived: a large backlog means that latencies
 * grow with the trace's length and say little about the scheduler.
 */
backlog_at_last_arrival: number, 
/**
 * Time average of requests in the system (waiting or in service), those that gave up included.
 */
mean_in_system: number, 
/**
 * Largest KV tokens of one batch (every member's prompt + output).
 */
peak_batch_tokens: number, 
/**
 * Batches whose tokens exceed the hard memory limit: `static-fifo` and `multi-bin` do not look
 * at memory, and a single request may be too long for any policy. Served all the same; a real
 * server would have failed.
 */
batches_over_memory: number, 
/**
 * Batches with a step beyond what the step latency was measured for; absent where closed batches take the studies'
 * formula, and with continuous batching, which counts such steps.
 */
outside_measurements?: number, 
/**
 * How good the predictor was; absent for policies that do not predict.
 */
prediction: Prediction | null, 
/**
 * What a reader might look for here and this engine does not model.
 */
not_modelled: Array<string>, };

/**
 * What a step costs the processor before the device has it: `per_step_s + per_dispatch_s x dispatches`.
 */
export type HostTime = { per_step_s: number, per_dispatch_s: number, };

/**
 * A figure and its 95 % interval.
 */
export type Interval = { 
/**
 * Its path in `honest` or `continuous`, as in "honest.ttft_s.p99".
 */
figure: string, value: number, low: number, high: number, };

/**
 * Times of a model's kernels on one GPU, as they were measured.
 */
export type KernelProfile = { 
/**
 * Layers of the model; attention and most dense kernels run once in each.
 */
layers: number, attention: AttentionProfile, 
/**
 * By layer name: time over tokens of the step.
 */
dense: { [key in string]: KernelSweep }, 
/**
 * By layer name: time over sequences that are sampled. Without a time at 0, a step that samples none takes
 * what one takes, as on engines that compute its logits all the same.
 */
per_sequence: { [key in string]: KernelSweep }, 
/**
 * Batch sizes that CUDA graphs were captured for, ascending: a step that only decodes runs its dense kernels
 * at the next of these. Empty: at its own size.
 */
captured: Array<number>, 
/**
 * What decoding sequences of unequal contexts cost, where it was measured.
 */
skew: SkewProfile | null, };

/**
 * One kernel over one count.
 */
export type KernelSweep = { 
/**
 * Tokens or sequences.
 */
count: Array<number>, 
/**
 * Time of the kernel, µs.
 */
time_us: Array<number>, };

/**
 * One kernel at one shape.
 */
export type KernelTime = { 
/**
 * As in `gemv-f16 6144x2048` (rows and width of the matrix) and `attention 16/8x128` (query heads,
 * heads of keys, and their size).
 */
name: string, 
/**
 * Columns (sequences) at once.
 */
columns: number, 
/**
 * Context of each, where it matters, tokens.
 */
context: number | null, 
/**
 * Bytes that must be read at least once.
 */
bytes: number, seconds: Estimate, 
/**
 * `bytes / seconds` over the measured read bandwidth.
 */
share_of_read: number, };

/**
 * What a prediction is made of.
 */
export type Kind = "published" | "oracle" | "noisy" | "prompt-only";

/**
 * Settings of the cache.
 */
export type KvCache = { 
/**
 * Tokens of a block.
 */
block_tokens: number, capacity: KvCapacity, 
/**
 * One of the blocks is never given to a request: the null block of vLLM v1, which the number that it
 * reports (`num_gpu_blocks`) includes.
 */
null_block: boolean, 
/**
 * Share of the blocks, rounded down, that must stay free when a request joins a replica that is not idle.
 */
watermark: number, preemption: Preemption, prefix: PrefixCache, };

/**
 * How many blocks a replica has.
 */
export type KvCapacity = "memory" | { "blocks": number } | "unlimited";

/**
 * The KV cache of a replica.
 */
export type KvFigures = { 
/**
 * Blocks of a replica; absent where there is no limit.
 */
blocks: number | null, 
/**
 * Most blocks in use on one replica.
 */
peak_blocks: number, 
/**
 * Most tokens in the cache of one replica.
 */
peak_tokens: number, 
/**
 * Tokens in the caches of all replicas, time average.
 */
mean_tokens: number, 
/**
 * The same in bytes, by `engine.continuous.memory.kv_gb_per_token`.
 */
peak_bytes: number, mean_bytes: number, };

/**
 * Requests with a label.
 */
export type LabelCount = { name: string, requests: number, };

/**
 * How long closed batches take.
 */
export type Latency = { "linear": Linear } | { "steps": StepLatencyModel };

/**
 * What it costs to ask for work.
 */
export type Launch = { 
/**
 * One more dispatch within a pass, s.
 */
dispatch: Estimate, 
/**
 * One submission and the wait for it, s.
 */
submission: Estimate, };

/**
 * Whole steps with fewer layers.
 */
export type LayerScaling = { 
/**
 * Layer count and seconds of a step, with growing count.
 */
counts: Array<[number, number]>, 
/**
 * Per layer, by the first two counts, s.
 */
per_layer_s: number, 
/**
 * How far the last count is from the line through the first two, in proportion.
 */
nonlinearity: number, 
/**
 * Whether the steps of all layers were extrapolated.
 */
extrapolated: boolean, };

/**
 * Published figures that a file is too short for.
 */
export type LeftOut = { study: string, 
/**
 * Rows, from the first, without which they cannot be computed.
 */
needs_rows: number, figures: number, };

/**
 * Lengths in tokens; percentiles interpolate linearly between order statistics, as numpy's do.
 */
export type LengthStats = { mean: number, p50: number, p90: number, p95: number, p99: number, max: number, };

/**
 * How long prompts or outputs are, tokens.
 */
export type Lengths = { "lognormal": { median: number, sigma: number, } } | { "gamma": { mean: number, cv: number, } } | { "zipf": { theta: number, max: number, } } | { "uniform": { min: number, max: number, } } | { "fixed": { tokens: number, } } | { "empirical": { values: Array<number>, weights: Array<number>, } };

/**
 * One level of load: how many users there were and what they got. What is not known is `None`.
 */
export type Level = { 
/**
 * Users who each keep one request under way, apart from think time.
 */
users: number, 
/**
 * Output tokens per second of all users together.
 */
tok_s: number, requests: number | null, successful: number | null, 
/**
 * From the first start to the last end, s.
 */
duration_s: number | null, 
/**
 * Time to first token, ms.
 */
ttft_ms: Times, 
/**
 * From a request's start to its end, ms.
 */
latency_ms: Times, 
/**
 * Output tokens over latency of one request, mean and median, tok/s.
 */
request_tok_s: number | null, request_tok_s_p50: number | null, 
/**
 * Mean power of the accelerators, W.
 */
power_w: number | null, 
/**
 * Mean output of a request, tokens.
 */
tokens_per_request: number | null, };

/**
 * `T(b, L) = max(floor, alpha + beta L h(b))`, `h(b) = 1 + gamma (b - 1) / b + growth (b - 1)`, for a
 * batch of `b` requests whose longest member has `L` = prompt + output tokens (docs/MODEL.md,
 * "Closed-batch latency").
 */
export type Linear = { 
/**
 * Cost of a batch whatever its length, s.
 */
alpha_s: number, 
/**
 * Cost of one token position at batch size 1, s.
 */
beta_s_per_token: number, 
/**
 * How much dearer a position gets as the batch grows, at most: without `growth`,
 * `h(inf) = 1 + gamma`.
 */
gamma: number, 
/**
 * How much dearer each further member makes a position; 0 in the published studies. Derived from
 * a measured GPU, whose steps get longer with every sequence.
 */
growth: number, 
/**
 * Shortest service time, s.
 */
floor_s: number, };

/**
 * A link between the GPUs of a machine.
 */
export type Link = { name: string, 
/**
 * Of one GPU, in one direction, GB/s.
 */
gb_s: number, 
/**
 * GPUs that it connects.
 */
domain_gpus: number, };

/**
 * A kernel that multiplies a matrix by more columns than a GEMV has. Which one is faster depends on
 * the device: it is measured.
 */
export type ManyColumns = "tiles" | "eights";

/**
 * A measured report.
 */
export type Measured = { 
/**
 * Where it comes from, for the reader.
 */
source: string, samples: Array<Sample>, };

/**
 * Levels that somebody measured, and what is known of the server that they were measured on.
 */
export type MeasuredLevels = { 
/**
 * Whose, for the reader.
 */
source: string, levels: Array<Level>, hardware: Accelerator | null, model: ModelSize | null, 
/**
 * Most requests that the server works on at once.
 */
max_batch: number | null, 
/**
 * Mean pause of a user between two requests, s.
 */
think_time_s: number | null, };

/**
 * What ran.
 */
export type MeasuredModel = { architecture: Architecture, precision: Precision, 
/**
 * Layers that were in the device's memory; times of more are extrapolated by layer count.
 */
layers_resident: number, 
/**
 * Whether `--quick` was asked for.
 */
quick: boolean, };

/**
 * The GPU's memory as the scheduler knows it.
 */
export type Memory = { 
/**
 * Memory of a GPU (of a group of GPUs that work together), GB.
 */
capacity_gb: number, 
/**
 * Weights and everything else that stays, GB.
 */
model_gb: number, 
/**
 * KV cache of one token, GB.
 */
kv_gb_per_token: number, 
/**
 * Kept free beside weights, keys and values, GB; of closed batches the hard limit keeps it.
 */
margin_gb: number, };

/**
 * The batch bound by memory, estimated from the lengths of batches that ended.
 */
export type MemoryBound = { rule: MemoryRule, 
/**
 * Share of the KV tokens kept free by rule `published`.
 */
reserve: number, 
/**
 * Probability of overflow that rule `exact` accepts.
 */
overflow_probability: number, 
/**
 * Weight of the newest batch in the moving averages.
 */
smoothing: number, 
/**
 * First estimate of the mean prompt, tokens.
 */
initial_prompt_tokens: number, 
/**
 * First estimate of the mean output, tokens.
 */
initial_output_tokens: number, 
/**
 * First estimate of the standard deviation of prompt + output, tokens (rule `exact`).
 */
initial_sd_tokens: number, 
/**
 * Never below the number of requests in service on the other GPUs (the published program from
 * 4 December on; the paper's Algorithm 1).
 */
at_least_running: boolean, };

/**
 * How the bound follows from the estimates.
 */
export type MemoryRule = "published" | "exact" | "off";

/**
 * One metric of a workload; the name is its column, its JSON key and its name in a measured file.
 */
export type Metric = "requests" | "successful" | "failed" | "error_rate" | "concurrency" | "prompt_tokens" | "output_tokens" | "ttft_avg_ms" | "ttft_p50_ms" | "ttft_p95_ms" | "ttft_p99_ms" | "ttft_p50_published_ms" | "ttft_p95_published_ms" | "ttft_p99_published_ms" | "tbt_avg_ms" | "tpot_avg_ms" | "tpot_p50_ms" | "tpot_p95_ms" | "tpot_p99_ms" | "throughput_tokens_per_s" | "duration_s" | "memory_peak_mb" | "memory_avg_mb" | "kv_tokens" | "kv_bytes" | "prefix_hit_rate" | "evictions" | "eviction_ms" | "speculative_accept_rate" | "batches" | "batches_over_memory";

/**
 * A dense model's weights.
 */
export type ModelSize = { params: number, 
/**
 * `None` where it was not given.
 */
bytes_per_param: number | null, };

/**
 * The numbers of such a step. Every time is that of one replica, on all GPUs that it has.
 */
export type Modelled = { 
/**
 * What the times rest on, as in "typical, llama-3.1-8b in bf16 on H100".
 */
basis: string, 
/**
 * Whether reads and arithmetic overlap fully, as no engine makes them: the upper bound of a data sheet.
 */
ideal: boolean, 
/**
 * What every step costs beside its kernels' work: the engine's own part and launching kernels, s.
 */
step_s: number, 
/**
 * Per sequence that draws a token: sampling, and the engine's book-keeping, s.
 */
sequence_s: number, 
/**
 * More for a step with prompt tokens, which runs outside captured graphs, s.
 */
prompt_step_s: number, 
/**
 * Weights that every token uses: attention, MLPs, shared experts and the LM head.
 */
dense: Dense, 
/**
 * Routed experts, where the model has some.
 */
experts: Experts | null, 
/**
 * Reading the keys and values of one token of context in the layers that attend to all of it, s.
 */
context_token_s: number, 
/**
 * Layers that attend to the last tokens only.
 */
windows: Array<Window>, 
/**
 * Attention of a prompt token to one token in the layers that attend to all of it, s.
 */
pair_s: number, 
/**
 * Exchange between the GPUs of a replica, per token of the step, s.
 */
exchange_token_s: number, 
/**
 * Measured step times over predicted ones of models left out of the fit: the quantiles of 5 and 95 %. Absent where
 * nothing was fitted.
 */
spread: Spread | null, };

/**
 * A figure as simulated, with all steps faster, and with all steps slower.
 */
export type Moved = { at: number | null, faster: number | null, slower: number | null, };

/**
 * Two scenarios compared.
 */
export type PairedComparison = { requests: ComparedRequests, 
/**
 * Bounds that differ between the two, a sentence each: their attainments and goodputs are then of different
 * promises.
 */
promises: Array<string>, differences: Array<Difference>, };

/**
 * Settings of the study, with the multi-bin paper's defaults.
 */
export type Paper = { seed: number, 
/**
 * Of each run.
 */
requests: number, 
/**
 * B of the runs with uniform service times.
 */
batch_sizes: Array<number>, 
/**
 * k of the runs without prediction errors.
 */
bin_counts: Array<number>, 
/**
 * p_e: the chance of one bin too low, and the same chance of one too high.
 */
bin_errors: Array<number>, 
/**
 * k of the runs with prediction errors.
 */
error_bin_counts: Array<number>, 
/**
 * l_min and l_max of the uniform service times, s.
 */
shortest_s: number, longest_s: number, 
/**
 * k of the runs with exponential service times.
 */
exponential_bin_counts: Array<number>, };

/**
 * A step that is asked of every calibration.
 */
export type Place = { sequences: number, 
/**
 * Of each sequence, tokens.
 */
context: number, seconds: number, };

/**
 * A model on GPUs by data sheet, as `--model`, `--hardware` and `--precision` say it.
 */
export type Placement = { model: string, hardware: string, precision: Precision, 
/**
 * Share of a GPU's memory that the server may use, above 0 and at most 1.
 */
memory_share: number, };

/**
 * A step's time, composed of its kernels' times.
 */
export type Point = { 
/**
 * Decoding sequences.
 */
sequences: number, 
/**
 * Their contexts together, tokens.
 */
context: number, 
/**
 * Prompt tokens processed besides.
 */
prefill: number, seconds: number, 
/**
 * Median absolute deviation of `seconds`.
 */
mad_s: number, 
/**
 * Not used by the fit; its error is judged here.
 */
held_out: boolean, };

/**
 * Which scheduler forms the batches.
 */
export type Policy = "static-fifo" | "dynamic" | "multi-bin" | "multi-bin-dynamic";

/**
 * How weights are stored.
 */
export type Precision = "f32" | "f16" | "int8" | "int4";

/**
 * How good the predictor was.
 */
export type Prediction = { 
/**
 * Share of requests sorted into the bin of their true output; absent where none is sorted into bins.
 */
bin_accuracy: number | null, 
/**
 * Mean of |predicted - true| output tokens.
 */
mean_abs_error_tokens: number, };

/**
 * A predictor and its parameters; those that a kind does not use are ignored by it.
 */
export type Predictor = { kind: Kind, 
/**
 * Standard deviation of the logarithmic error (`published`, `noisy`).
 */
sigma: number, 
/**
 * Chance that `noisy` sorts a request one bin too low, and the same chance of one too high
 * (the multi-bin paper's p_e).
 */
bin_error: number, 
/**
 * `published` and `prompt-only` predict `scale * prompt^exponent`.
 */
exponent: number, 
/**
 * The factor in `scale * prompt^exponent`.
 */
scale: number, 
/**
 * Predictions are clamped to 1..=max_tokens (`published` and `prompt-only`).
 */
max_tokens: number, };

/**
 * What becomes of a request whose blocks are taken away.
 */
export type Preemption = "recompute" | { "swap": { 
/**
 * Of each direction, GB/s.
 */
gb_per_s: number, } };

/**
 * Which blocks are kept for prompts that begin alike.
 */
export type PrefixCache = { reuse: PrefixReuse, eviction: Eviction, 
/**
 * What the eviction of one block costs the step that needs it, s.
 */
eviction_s: number, };

/**
 * The prefix cache.
 */
export type PrefixFigures = { 
/**
 * Prompt tokens found in the cache over prompt tokens looked up, from 0 to 1.
 */
hit_rate: number | null, looked_up_tokens: number, found_tokens: number, 
/**
 * Blocks with content that were taken for something else.
 */
evictions: number, 
/**
 * What that cost, s.
 */
eviction_s: number, };

/**
 * What two requests can share.
 */
export type PrefixReuse = "off" | "own" | "hashes" | "sessions";

/**
 * A playback at one rate and fleet, as far as the search looks at it.
 */
export type Probe = { 
/**
 * Offered, requests/s; of a block, the rate of the whole file at the block's time scale.
 */
rate_per_s: number, gpus: number, 
/**
 * Attainment of the promise, a share.
 */
attainment: number, 
/**
 * Requests that were played.
 */
requests: number, seed: number, 
/**
 * Busy share of the fleet.
 */
utilization: number, 
/**
 * Requests not yet in service when the last one arrived.
 */
backlog: number, 
/**
 * Served requests over the makespan, requests/s.
 */
served_per_s: number, 
/**
 * Requests arrive faster than they are served: a promise that is kept is kept because the trace ends. So it is
 * taken where less than 0.9 of the rate is served and more than 5 % of the requests wait when the last arrives;
 * a short trace alone has the first, for its last requests take their time.
 */
overloaded: boolean, };

/**
 * The attainment that is promised.
 */
export type PromiseKind = "token" | "request" | "joint";

/**
 * Loads that a device served, beside their predictions.
 */
export type Proof = { levels: Array<ProofLevel>, };

/**
 * One load.
 */
export type ProofLevel = { users: number, requests: number, predicted: ProofSide, measured: ProofSide, };

/**
 * The figures of a load that are compared.
 */
export type ProofSide = { output_tokens_per_s: number, 
/**
 * Between two tokens of a request: mean and 95 % quantile, ms.
 */
tbt_mean_ms: number, tbt_p95_ms: number, };

/**
 * Published metrics of one run; the names are part of the `--json` contract.
 */
export type Published = { token_violations: number, request_violations: number, 
/**
 * Mean over requests of their batch's decode step, `beta h(b)`, ms.
 */
avg_decode_step_ms: number, 
/**
 * Mean over requests of batch service time / longest output of the batch, ms.
 */
avg_tbt_ms: number, p95_tbt_ms: number, p99_tbt_ms: number, max_tbt_ms: number, 
/**
 * Completion - arrival, failed rows included, s.
 */
avg_latency_s: number, p50_latency_s: number, p95_latency_s: number, p99_latency_s: number, max_latency_s: number, 
/**
 * Start of service - arrival, mean over requests, s.
 */
avg_queueing_s: number, 
/**
 * Service time of the request's batch, mean over requests, s.
 */
avg_service_s: number, 
/**
 * Busy time over the last moment any GPU was busy, mean over GPUs.
 */
gpu_utilization_mean: number, gpu_utilization_min: number, gpu_utilization_max: number, batches: number, avg_batch: number, min_batch: number, max_batch: number, 
/**
 * Last completion - first arrival, s.
 */
makespan_s: number, 
/**
 * Prompt and output tokens over the makespan.
 */
tokens_per_s: number, requests_per_s: number, 
/**
 * Requests without token violation over the makespan.
 */
capacity_qps_under_sla: number, };

/**
 * Who of those that wait comes first, and who is preempted: the last. A preempted request goes back to
 * its place.
 */
export type QueueOrder = "fcfs" | "sjf" | "edf" | "priority";

/**
 * What a reader found and what it mended; shown to the person, never swallowed.
 */
export type ReadReport = { 
/**
 * The format that was recognised, as in `--format`; "synthetic" for a generator.
 */
format: string, 
/**
 * Data rows in the file, the header not counted.
 */
rows: number, 
/**
 * Rows that stood behind a later one and were moved in front of it (stable sort).
 */
rows_sorted: number, 
/**
 * Blank rows that were passed over.
 */
rows_blank: number, 
/**
 * Requests with 0 output tokens, kept in the trace as failed.
 */
rows_failed: number, };

/**
 * What a file is.
 */
export type Recognised = "whole" | "week" | "beginning" | "unknown";

/**
 * What a reader's file is and what it allows.
 */
export type RecognisedFile = { file: FileReport, 
/**
 * What it is.
 */
sentence: string, 
/**
 * Why it is not compared unless the reader asks for it all the same.
 */
refusal: string | null, runs: number, 
/**
 * That all runs replay.
 */
requests: number, 
/**
 * Published figures to compare.
 */
figures: number, left_out: Array<LeftOut>, };

/**
 * A value over replications with its 95 % interval; absent where they are too few or too unlike.
 *
 * Over seeds the value is their mean. Over blocks of a file it is that of the whole file, which the
 * interval is about: blocks differ in load, and their mean is not the file's.
 */
export type ReplicatedEstimate = { value: number, interval: [number, number] | null, };

/**
 * Published figures beside simulated ones.
 */
export type Reproduced = { compared: number, differ: number, 
/**
 * Of rows of the reader's: how many there are and how many agree in every figure.
 */
rows: RowsAgree | null, 
/**
 * Where published figures are not about the file.
 */
caveat: string | null, left_out: Array<LeftOut>, 
/**
 * Those with a mismatch first.
 */
studies: Array<ReproducedStudy>, };

/**
 * A published figure beside the simulated one, as text.
 */
export type ReproducedFigure = { run: string, figure: string, published: string, simulated: string, difference: string, agrees: boolean, verdict: string, 
/**
 * The file that prints it.
 */
source: string, 
/**
 * What is known to be wrong with this figure, apart from what concerns the whole study.
 */
errata: Array<FileErratum>, };

export type ReproducedStudy = { study: string, compared: number, differ: number, 
/**
 * What is known to be wrong with all of what it published.
 */
errata: Array<FileErratum>, 
/**
 * Mismatches first; of rows of the reader's, which may be thousands of figures, they alone.
 */
figures: Array<ReproducedFigure>, };

/**
 * A class of requests.
 */
export type RequestClass = { 
/**
 * The trace's log type.
 */
label: string, 
/**
 * Lower comes first; requests of no class have 0.
 */
level: number, 
/**
 * From arrival, s; absent means the request SLA.
 */
deadline_s: number | null, };

/**
 * How arriving requests are spread over the replicas.
 */
export type Router = "round-robin" | "random" | "least-requests" | "least-work" | "power-of-two" | "bin-affinity" | "prefix-affinity" | "session-sticky";

export type RowsAgree = { compared: number, agree: number, };

/**
 * Something that a reader must know before trusting a figure.
 */
export type RunWarning = { 
/**
 * Stable: short-run, unsettled, correlated, warm-up, survivors, outside-measurements,
 * two-machines.
 */
code: string, message: string, };

/**
 * The paper's `N_decode`: no batch is smaller than the number of requests in service on the other
 * GPUs.
 */
export type RunningFloor = "off" | "at-formation" | "at-last-end";

/**
 * What is known of one workload; a metric that is not there is not modelled or was not measured.
 */
export type Sample = { workload: string, values: { [key in Metric]?: number }, };

/**
 * Settings of the study, with those of the published benchmark as defaults.
 */
export type Saturation = { 
/**
 * Levels of load.
 */
users: Array<number>, requests_per_user: number, 
/**
 * Shortest pause between an answer and the next request, s.
 */
think_min_s: number, 
/**
 * Longest, s.
 */
think_max_s: number, 
/**
 * Of every request; the published benchmark drew from eight short sentences.
 */
prompt_tokens: number, output_tokens: number, server: Server, 
/**
 * Of the server, for the ceilings and MFU; absent: not given.
 */
hardware: Accelerator | null, model: ModelSize | null, seed: number, 
/**
 * Measured levels; with these nothing runs, and nothing above is of them.
 */
measured: MeasuredLevels | null, };

/**
 * Everything that decides a run's outcome, besides the trace's rows themselves.
 */
export type Scenario = { 
/**
 * The version of this JSON form: 2. Texts of version 1 are read too.
 */
version: number, trace: Source, workload: Workload, predictor: Predictor, bins: Bins, engine: Engine, fleet: Fleet, sla: Sla, 
/**
 * Seeds every random choice: the generator's, the predictor's, the users' think times.
 */
seed: number, };

/**
 * How far serving is.
 */
export type ServeProgress = { 
/**
 * Which level, from 0, of how many.
 */
level: number, levels: number, users: number, 
/**
 * Requests of this level that are answered, of how many.
 */
answered: number, requests: number, 
/**
 * Output tokens of this level so far.
 */
tokens: number, 
/**
 * Since the level began, s; 0 while it is warmed up.
 */
elapsed_s: number, };

/**
 * Which bin is served when a GPU is free.
 */
export type Served = "round-robin" | "longest-queue";

/**
 * One load, predicted and where a device served it too, measured.
 */
export type ServedComparison = { predicted: ServedLoad, measured: ServedLoad | null, 
/**
 * Of the model at the steps that were measured: the part of the difference that is not of
 * queueing.
 */
step_errors: StepErrors | null, };

/**
 * A text file.
 */
export type ServedFile = { name: string, text: string, };

/**
 * One number of users.
 */
export type ServedLevel = { comparison: ServedComparison, 
/**
 * Of what was measured, else of what is predicted.
 */
mbu: number | null, 
/**
 * Where the data sheet is known.
 */
mfu: number | null, };

/**
 * A load at several numbers of users.
 */
export type ServedLevels = { 
/**
 * By rising users.
 */
levels: Array<ServedLevel>, 
/**
 * For people, with the maximum that the saturation study's curves find.
 */
report: string, 
/**
 * The report and the tables, as `batchscope run --users --out` writes them.
 */
files: Array<ServedFile>, 
/**
 * The maximum of the curve u/(K + u) through the levels, output tokens/s, where they determine
 * one.
 */
most: number | null, };

/**
 * What a load got.
 */
export type ServedLoad = { 
/**
 * As the study `saturation` reads it: throughput, TTFT, latency, rate of a request.
 */
level: Level, 
/**
 * Between two tokens of one request, all such gaps together, ms; without values where outputs
 * have one token.
 */
tbt_ms: Times, 
/**
 * From sending to the step that takes up the prompt, ms.
 */
queueing_ms: Times, 
/**
 * Of a step, ms.
 */
step_ms: Times, steps: number, 
/**
 * Of them, those beyond what the step latency was measured for; 0 where a device took them.
 */
steps_outside: number, 
/**
 * Time in steps, s. In the rest of the level's duration nobody had anything to ask, or a device's driver put the
 * next step together.
 */
busy_s: number, 
/**
 * Decoding sequences of a step, mean.
 */
sequences: number, 
/**
 * Their contexts together, tokens, mean.
 */
context: number, 
/**
 * Prompt tokens of a step, mean.
 */
prefill: number, 
/**
 * Pairs of a prompt token and one that it attends to, of a step, mean.
 */
pairs: number, };

/**
 * The parts of a scenario that describe a server.
 */
export type Server = { predictor: Predictor, bins: Bins, engine: Engine, fleet: Fleet, sla: Sla, };

/**
 * What the generated requests look like.
 */
export type Shape = "burstgpt-like" | "burstgpt-week1" | { "custom": { arrivals: Arrivals, prompt: Lengths, output: Lengths, 
/**
 * Share of requests that failed: 0 prompt and 0 output tokens, as BurstGPT logs them.
 */
failed_share: number, } };

/**
 * Attention of one layer over decoding sequences of unequal contexts, a column per number.
 */
export type SkewProfile = { 
/**
 * Decoding sequences.
 */
n_decode: Array<number>, 
/**
 * Prompt tokens beside them.
 */
prefill_chunk: Array<number>, 
/**
 * Measured with all at the mean context, µs.
 */
mean_us: Array<number>, 
/**
 * Measured with all at the longest context, µs.
 */
longest_us: Array<number>, 
/**
 * Measured with their own contexts, µs.
 */
skewed_us: Array<number>, };

/**
 * What is promised, and how the published studies counted a broken promise.
 */
export type Sla = { 
/**
 * Time per output token, ms.
 */
token_ms: number, 
/**
 * From arrival to the end, s.
 */
request_s: number, 
/**
 * From arrival to the first token, s; absent means that nothing is promised.
 */
ttft_s: number | null, 
/**
 * What counts as a token violation among the published metrics; the honest ones always use
 * each request's own time per output token.
 */
published_token_rule: TokenRule, };

/**
 * The published pairs of token and request SLA.
 */
export type SlaMode = "strict" | "default" | "loose";

/**
 * Where the requests come from.
 */
export type Source = { "file": { 
/**
 * Path of the file.
 */
name: string, 
/**
 * Absent: recognised from the file.
 */
format: Format | null, 
/**
 * Unit of the arrival times; absent: the format's, or that of the column's name.
 */
time_unit: TimeUnit | null, 
/**
 * Tokens that each of a prompt's `hash_ids` stands for; absent: the format's, or the rows'.
 */
hash_tokens: number | null, } } | { "synthetic": Synthetic };

/**
 * How a draft proposes and how often it is right.
 */
export type Speculative = { 
/**
 * Tokens that are proposed for each sequence in each step.
 */
draft_tokens: number, 
/**
 * Chance that a proposed token is accepted, if all before it were: of the first position, the
 * second, ...; the last value holds for all that follow.
 */
acceptance: Array<number>, 
/**
 * Time that the draft takes for one token of all sequences, s.
 */
draft_s: number, 
/**
 * What the draft takes longer for each sequence of the step, s.
 */
draft_s_per_sequence: number, };

/**
 * Speculative decoding.
 */
export type SpeculativeFigures = { proposed: number, accepted: number, 
/**
 * Accepted over proposed tokens.
 */
accept_rate: number | null, };

/**
 * Between which factors of a predicted step time nine of ten measured ones are.
 */
export type Spread = { 
/**
 * The quantile of 5 %.
 */
low: number, 
/**
 * The quantile of 95 %.
 */
high: number, };

/**
 * The statistics of a run.
 */
export type Statistics = { 
/**
 * Requests that arrived before the window that the figures are of.
 */
warmup_requests: number, 
/**
 * Parts of the run that the intervals come from.
 */
parts: number, intervals: Array<Interval>, warnings: Array<RunWarning>, };

/**
 * Statistics of a trace as it stands in the file: failed requests included, time not scaled.
 */
export type Stats = { requests: number, 
/**
 * From the first arrival to the last, s.
 */
span_s: number, 
/**
 * Requests over the span; absent where the span is 0.
 */
mean_per_s: number | null, 
/**
 * The most requests in one of the consecutive 1-s windows. Windows are counted from the first arrival and the last
 * one, which the span may not fill, counts too.
 */
peak_1s: number, 
/**
 * The most requests in one of the consecutive 60-s windows, per second; absent where the span
 * fills no such window.
 */
peak_60s_per_s: number | null, 
/**
 * Index of dispersion of the counts in 1-s windows: variance over mean (population variance);
 * 1 for a Poisson process, more for bursts. Absent where the span fills fewer than two windows:
 * one count has no variance.
 */
iod_1s: number | null, 
/**
 * The same in 60-s windows.
 */
iod_60s: number | null, 
/**
 * Standard deviation over mean of the gaps between arrivals (population); absent where there is
 * no gap above 0.
 */
cv_gap: number | null, prompt: LengthStats, output: LengthStats, 
/**
 * Share of requests with 0 output tokens, that is failed ones.
 */
failed_share: number, 
/**
 * Share of prefix blocks that an infinite cache would already hold: the leading blocks of each
 * prompt that some earlier request had. Absent where the trace has no blocks.
 */
prefix_hit_ratio: number | null, models: Array<LabelCount>, log_types: Array<LabelCount>, };

/**
 * The pace of a device while it was calibrated, by one small step that was taken again and again.
 */
export type Steadiness = { 
/**
 * What that step usually took: the median, s.
 */
usual_s: number, 
/**
 * Half the difference of its 90 % and 10 % quantiles over its median.
 */
spread: number, 
/**
 * Share of the measured steps that were left out.
 */
left_out: number, };

/**
 * What runs.
 */
export type Step = "grid" | "methods" | "all";

/**
 * Relative errors of a step latency at steps that a device took: (model - measured)/measured.
 */
export type StepErrors = { 
/**
 * Median over the steps, sign kept: whether the model is early or late on the whole.
 */
median: number, 
/**
 * Median of the sizes.
 */
median_size: number, 
/**
 * 95 % of the sizes are no greater.
 */
p95_size: number, };

/**
 * `t_step = c2 C + c4 A + max(c0 + c1 b + c3 p, compute)` for a step that decodes one token of each
 * of `b` sequences whose contexts have `C` tokens together, and processes `p` prompt tokens, which
 * attend to `A` tokens together (docs/MODEL.md, "Step latency").
 */
export type StepLatency = { 
/**
 * What every step costs: the weights are read once, s.
 */
c0_s: number, 
/**
 * Per decoding sequence, s.
 */
c1_s_per_sequence: number, 
/**
 * Per token of context whose keys and values are read, s.
 */
c2_s_per_context_token: number, 
/**
 * Per prompt token, s.
 */
c3_s_per_prefill_token: number, 
/**
 * Per pair of a prompt token and a token that it attends to, its own included, s; 0 in a
 * calibration, which measures short prompts.
 */
c4_s_per_prefill_pair: number, 
/**
 * The branch that arithmetic bounds, where the measurements show one.
 */
compute: Compute | null, };

/**
 * A model of step times and its numbers.
 */
export type StepLatencyModel = { "linear": StepLatency } | { "table": StepTable } | { "profile": KernelProfile } | { "modelled": Modelled };

/**
 * How a step is put together.
 */
export type StepRule = "orca" | "vllm" | "sarathi";

/**
 * Measured steps, a column per number.
 */
export type StepTable = { 
/**
 * Decoding sequences.
 */
sequences: Array<number>, 
/**
 * Their contexts together, tokens.
 */
context: Array<number>, 
/**
 * Prompt tokens processed in the same step.
 */
prefill: Array<number>, 
/**
 * Time of the step, ms.
 */
time_ms: Array<number>, };

/**
 * Step times out of a file.
 */
export type StepTimes = { latency: StepLatencyModel, 
/**
 * How far off they typically are, in proportion, where a calibration says it.
 */
error: number | null, };

/**
 * Which steps to run.
 */
export type Steps = "all" | "step1" | "step2" | "step3";

/**
 * Settings of the study, with the published defaults.
 */
export type StressV2 = { trace: Source, seed: number, 
/**
 * 1: the grid of GPUs and bins. 2: the comparison of schedulers.
 */
step: number, request_counts: Array<number>, 
/**
 * Of step 1.
 */
gpu_counts: Array<number>, 
/**
 * Of step 1.
 */
bin_counts: Array<number>, 
/**
 * The fleet of step 2's last method; absent means the three fall-back fleets.
 */
optimal_gpus: number | null, optimal_bins: number | null, sla: SlaMode, };

/**
 * A study with its settings, as `batchscope study NAME` and the page make it.
 */
export type Study = { "stress-v2": StressV2 } | { "three-step": ThreeStep } | { "two-step": TwoStep } | { "saturation": Saturation } | { "contract": Contract } | { "paper": Paper } | { "continuous": ContinuousStudy };

/**
 * A study that can be chosen.
 */
export type StudyInfo = { 
/**
 * As in `batchscope study NAME`.
 */
name: string, description: string, 
/**
 * With its published settings.
 */
study: Study, 
/**
 * Whether it replays a trace that can be another.
 */
takes_trace: boolean, 
/**
 * What is known to be wrong with all of what was published.
 */
errata: Array<FileErratum>, };

/**
 * Every figure of a run. `published` and `honest` are computed apart and never mixed.
 */
export type Summary = { 
/**
 * The resolved scenario, every default written out.
 */
scenario: Scenario, workload: WorkloadReport, 
/**
 * The bins that were used, `[lower, upper)` in tokens; empty for policies without bins.
 */
bins: Array<[number, number]>, 
/**
 * Absent with continuous batching: the studies define their figures on closed batches.
 */
published: Published | null, honest: Honest, 
/**
 * What only continuous batching has.
 */
continuous: Continuous | null, };

/**
 * A generated trace.
 */
export type Synthetic = { 
/**
 * Requests to make, failed ones among them.
 */
requests: number, shape: Shape, };

/**
 * Settings of the study, with the published defaults.
 */
export type ThreeStep = { trace: Source, seed: number, 
/**
 * Requests of steps 2 and 3. Step 1 has 1,000, 10,000 and so on up to it; it alone where it
 * is smaller than 1,000.
 */
max_requests: number, 
/**
 * The largest fleet of step 2.
 */
max_gpus: number, 
/**
 * Arrivals at the trace's own pace; `rps_scaling` has no effect then.
 */
use_real_timestamps: boolean, 
/**
 * Arrival times are divided by this.
 */
rps_scaling: number, 
/**
 * The promise, arrival to end, and the target of the controllers, s. The published program
 * left its deadline at 1 s whatever it was told.
 */
d_sla_s: number, steps: Steps, 
/**
 * The fleet of step 3; absent means the one of step 2 with the highest published capacity,
 * or 32 without step 2.
 */
best_gpu_count: number | null, };

/**
 * What comes first of events at one moment.
 */
export type Ties = "fixed" | "published-heap" | "published-heap-ascending";

/**
 * A unit of arrival times, as in `--time-unit`.
 */
export type TimeUnit = "s" | "ms" | "us" | "ns";

/**
 * Mean and percentiles of a time, ms.
 */
export type Times = { avg: number | null, p50: number | null, p95: number | null, p99: number | null, };

/**
 * The published definitions of a token violation.
 */
export type TokenRule = "batch-tbt" | "decode-step" | "end-to-end";

/**
 * What was read or generated, and what it is like.
 */
export type TraceInfo = { name: string, requests: number, report: ReadReport, stats: Stats, };

/**
 * A fleet that was tried.
 */
export type Tried = { 
/**
 * The playback of the scenario as it stands.
 */
probe: Probe, 
/**
 * 95 % interval of the attainment, from the replications.
 */
interval: [number, number] | null, 
/**
 * Whether the fleet serves requests as fast as they arrive; absent where the promise fails. One
 * that does not cannot keep a promise for long.
 */
keeps_up: boolean | null, };

/**
 * Settings of the study, with the published defaults.
 */
export type TwoStep = { trace: Source, seed: number, step: Step, request_counts: Array<number>, 
/**
 * Of the grid.
 */
gpu_counts: Array<number>, 
/**
 * Of the grid.
 */
bin_counts: Array<number>, 
/**
 * Arrival times are divided by this.
 */
rps_scaling: number, };

/**
 * Busy shares of the fleet.
 */
export type Utilization = { mean: number, min: number, max: number, per_gpu: Array<number>, };

/**
 * Which published controller.
 */
export type Variant = "off" | "nov24" | "nov29" | "paper";

/**
 * Requests at the beginning before the window that the figures are of, in twentieths of all.
 */
export type Warmup = "none" | "auto" | { "share": number };

/**
 * Something that a reader must know before trusting the numbers.
 */
export type Warning = { 
/**
 * Stable: software-adapter, made-up-model, drift, fewer-layers, no-f16, no-timestamps,
 * timestamps-disagree, nonlinear-layers, poor-fit (before version 3), poor-check, no-proof; from the page
 * besides hidden-page, on-battery.
 */
code: string, message: string, };

/**
 * A step timed as it runs: laid out, encoded, submitted, computed, its tokens read back.
 */
export type WholeStep = { 
/**
 * Rows that decode: one for each sequence.
 */
sequences: number, 
/**
 * Context of each of them, tokens.
 */
context: number, 
/**
 * Prompt tokens beside them, of one sequence.
 */
chunk: number, 
/**
 * Tokens of that sequence before the chunk.
 */
before: number, 
/**
 * Rows after which a token is drawn: all that decode, or none.
 */
sampled: number, 
/**
 * Kernels that it dispatches.
 */
dispatches: number, 
/**
 * Bytes of weights and cache that it reads at least once.
 */
bytes: number, 
/**
 * Median over the rounds that count, times what all steps take longer in the mean than in the median, s; of more
 * layers than are in memory, extrapolated.
 */
seconds: number, 
/**
 * Median absolute deviation of `seconds`.
 */
mad_s: number, 
/**
 * The part of it until the work was submitted, s.
 */
host_s: number, 
/**
 * Rounds that count, and rounds left out because the device was slower or faster than usual just then.
 */
rounds: number, left_out: number, };

/**
 * Layers that attend to the last tokens of a sequence only.
 */
export type Window = { 
/**
 * Most tokens that a token attends to.
 */
tokens: number, 
/**
 * Reading the keys and values of one of them, s.
 */
token_s: number, 
/**
 * Attention of a prompt token to one of them, s.
 */
pair_s: number, };

/**
 * What a run takes from the trace and how fast it arrives.
 */
export type Workload = { 
/**
 * Skip rows that arrive before this time on the trace's clock, s after its first row.
 */
window_start_s: number | null, 
/**
 * Skip rows that arrive at or after this time on the trace's clock, s after its first row.
 */
window_end_s: number | null, 
/**
 * The first N rows of what is left; absent means all.
 */
limit: number | null, 
/**
 * Arrival times are divided by this; 200 packs 200 s into one.
 */
time_scale: number, 
/**
 * Mean arrival rate, requests/s; replaces `time_scale` where given.
 */
rate_per_s: number | null, failed: Failed, ties: Ties, 
/**
 * Users who wait for each answer send the requests, and the trace gives their lengths alone;
 * absent means that requests arrive when the trace says.
 */
closed_loop: ClosedLoop | null, };

/**
 * What the run took from the trace.
 */
export type WorkloadReport = { trace: string, rows_in_trace: number, 
/**
 * Rows inside window and limit; in a closed loop, of these as many as the users need.
 */
rows_taken: number, 
/**
 * Failed rows (0 output tokens) among them.
 */
rows_failed: number, 
/**
 * Rows that were replayed: `rows_taken`, less the failed ones where those are dropped.
 */
rows_replayed: number, 
/**
 * The factor that arrival times were divided by, also where a rate was asked for.
 */
time_scale: number, 
/**
 * First to last arrival after scaling, s; in a closed loop, as it came about.
 */
span_s: number, 
/**
 * Replayed requests over the span; absent where the span is 0, and in a closed loop, where
 * the answers set the pace.
 */
offered_requests_per_s: number | null, 
/**
 * Prompt and output tokens over the span; absent like `offered_requests_per_s`.
 */
offered_tokens_per_s: number | null, prompt_tokens: number, output_tokens: number, };
