// Random addresses: those of real states with parts of them changed, unusual values for known keys, and noise.
// Drawn by fast-check, so that a failure is shrunk and its line (`seed` and `path`) replays it.

import fc from "fast-check";

import { FIGURES } from "../../www/article/figures.js";
import * as article from "../../www/article/view.js";
import * as lab from "../../www/lab/state.js";
import * as simulator from "../../www/state.js";

/** @typedef {[key: string, text: string]} Pair */

/** Every key that some view reads, and keys that none does. */
const KEYS = [
  ...simulator.leaves(simulator.DEFAULT_SCENARIO).keys(),
  ...lab.CONTROLS.map(({ path }) => path),
  ...FIGURES.flatMap(({ id, controls }) => controls.map(({ path }) => `${id}.${path}`)),
  ...["on", "engine", "engine.continuous", "engine.continuous.latency", "engine.continuous.ceiling", "engine.continuous.classes", "version"],
  ...["v", "a", "lab", "study", "file", "gpu", "show", "replications", "b", "c", "d", "points", "seeds", "requests"],
  ...["__proto__", "constructor", "__proto__.x", "toString", "", "x", ".", "fleet.", ".gpus", "trace.file.name"],
];

/** Text at the edges of what a value may be. */
const VALUES = [
  ...["", " ", "0", "-0", "1", "-1", "2", "1.5", "1e9", "1e-9", "1e308", "-1e308", "1e400", "5e-324", "0x10", "1_000", "01", "NaN", "Infinity", "null", "undefined"],
  ...["true", "false", "[]", "{}", "[0]", "[1,2,3]", '["a"]', "[[]]", "[null]", '""', '"x"', '{"blocks":0}', '{"blocks":-1}', '{"blocks":"9"}', '{"blocks":null}', '{"blocks":5,"x":1}'],
  ...["unlimited", "memory", "vllm", "sarathi", "burstgpt-like", "two-step", "stress-v2", "contract", "reproduce", "dynamic,multi-bin", "everything", ",", ",,,", "1,2,3", "a,b"],
  ...['{"swap":{"gb_per_s":1e-400}}', '{"swap":null}', '{"share":2}', '{"linear":null}', '{"linear":{}}', '{"table":{}}', '{"custom":null}', '{"custom":{"arrivals":{}}}'],
  ...['{"users":0,"requests_per_user":1,"think_min_s":0,"think_max_s":0}', '{"users":1e5,"requests_per_user":1e5,"think_min_s":5,"think_max_s":1}', '{"users":[],"requests_per_user":{}}'],
  ...['[{"label":"API log","level":1,"deadline_s":null}]', '[{"label":5}]', '[{"level":"x"}]', "[5]", '{"draft_tokens":0,"acceptance":[],"draft_s":-1,"draft_s_per_sequence":0}', '{"draft_tokens":2,"acceptance":"x"}'],
  ...['{"model":"llama-3.1-8b","hardware":"h100","precision":"f16","memory_share":0.9}', '{"model":null}', '{"model":"llama-3.1-70b","hardware":"rtx-4090","precision":"f16","memory_share":1e-9}'],
  ...["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "\u0000", "\ud800", "\u202etxt.exe", "😀".repeat(50), "x".repeat(5000), "A GPU~0.1~0.1~0.1~gpu", "~~~~", "A~-1~NaN~1e9~demo", "../../etc/passwd", "a.csv"],
];

/** What the views themselves write. @type {string[]} */
const WRITTEN = [
  "",
  "#v=2",
  "#lab",
  "#studies",
  "#calibrate",
  ...simulator.CONTROLS.flatMap((control) =>
    (control.kind === "number" ? [control.min, control.max] : Object.values(control.options)).map((value) => simulator.toHash(simulator.withPath(simulator.defaultState(), control.path, value))),
  ),
  lab.toHash(lab.firstRuns().slice(0, 2)),
  ...lab.CONTROLS.flatMap((control) => {
    if (control.kind !== "choice" && control.kind !== "number") return [];
    const values = control.kind === "number" ? [control.min, control.max] : Object.values(control.options);
    return values.map((value) => lab.toHash(lab.withChange(lab.firstRuns(), control.path, value)));
  }),
  ...FIGURES.flatMap(({ id, controls }) =>
    controls.flatMap((control) => (control.kind === "choice" ? Object.keys(control.options) : control.kind === "number" ? [control.min, control.max] : []).map((value) => article.toHash({ ...article.standard(), [id]: { ...article.standard()[id], [control.path]: value } }))),
  ),
  "#v=2&study=two-step&replications=3&replays.requests=100,200",
  "#v=2&study=stress-v2&requests=500",
  "#v=2&study=reproduce&file=BurstGPT_1.csv",
];

/** Without halves of letters, which no address can hold. @param {string} text */
const whole = (text) => text.replaceAll(/[\ud800-\udfff]/gu, "\ufffd");

const key = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...KEYS) }, fc.string({ maxLength: 30 }));
const value = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...VALUES) }, fc.string({ unit: "binary", maxLength: 40 }), fc.json({ maxDepth: 3 }), fc.double().map(String));
/** @type {fc.Arbitrary<Pair>} */
const pair = fc.tuple(key, value);
/** Percent signs that stand for nothing, signs of a form, and letters that need none. */
const coded = fc.constantFrom(encodeURIComponent, (/** @type {string} */ text) => text, (/** @type {string} */ text) => text.replaceAll(/[a-z]/g, "%"));
const start = fc.constantFrom("#v=2", "#v=1", "#lab=2", "#lab=1", "#a=1", "#v=2&study=two-step", "#v=2&study=stress-v2", "#v=2&study=reproduce", "#studies", "#calibrate", "#v=2", "#", "");

const built = fc.tuple(start, fc.array(pair, { maxLength: 8 }), coded).map(([first, pairs, code]) => first + pairs.map(([k, v]) => `&${code(whole(k))}=${code(whole(v))}`).join(""));
/** One of a pinned run's own lists of pairs within the laboratory's. */
const nested = fc.tuple(fc.constantFrom("b", "c", "d"), fc.array(pair, { maxLength: 5 })).map(([slot, pairs]) => `#lab=2&${slot}=${encodeURIComponent(pairs.map(([k, v]) => `${whole(k)}=${encodeURIComponent(whole(v))}`).join("&"))}`);
/** A written address with one place cut out, doubled or replaced. */
const changed = fc.tuple(fc.constantFrom(...WRITTEN), fc.nat(), fc.nat(30), fc.oneof(fc.constant(""), fc.constantFrom(...VALUES), fc.string({ maxLength: 5 }))).map(([hash, at, length, by]) => {
  const from = at % (hash.length + 1);
  return hash.slice(0, from) + by + hash.slice(from + length);
});
/** Two written addresses in one. */
const joined = fc.tuple(fc.constantFrom(...WRITTEN), fc.constantFrom(...WRITTEN)).map(([a, b]) => `${a}&${b.slice(1)}`);
const noise = fc.string({ unit: "binary", maxLength: 200 }).map((text) => `#${text}`);

/** Any address's part after the document, `#` included. */
export const hashes = fc
  .oneof({ weight: 4, arbitrary: built }, { weight: 2, arbitrary: nested }, { weight: 3, arbitrary: changed }, joined, noise)
  .map((hash) => (hash.startsWith("#") || hash === "" ? hash : `#${hash}`));
