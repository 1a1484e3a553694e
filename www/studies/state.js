// The Studies view's state: the study that was chosen and what differs from its published settings,
// in the URL hash as `#v=1&study=stress-v2&request_counts=200,400`. The conventions are state.js's:
// what a link says is never trusted.

import { renamed } from "../scenario.js";
import { DEFAULT_SCENARIO, encode, getPath, knows, leaves, same, setPath, shorten, toNumber } from "../state.js";
import { NOTICE } from "../words.js";
import { PROBLEM } from "./words.js";

/** @import { Study, StudyInfo } from "../types.js" */

/** @typedef {Record<string, unknown>} Settings of one study, without its name */

/**
 * @typedef {object} StudyState
 * @property {StudyInfo} info
 * @property {Settings} settings
 * @property {number} replications
 */

/** Replications that the core allows. */
export const MOST_REPLICATIONS = 1000;
/** The largest run of a small study, in requests: seconds on a phone. */
const SMALL = 2000;

/** The settings inside a study. @param {StudyInfo} info @returns {Settings} */
export function published({ name, study }) {
  const settings = /** @type {Record<string, Settings>} */ (/** @type {unknown} */ (study))[name];
  return structuredClone(settings ?? {});
}

/** @param {StudyState} state @returns {Study} */
export function toStudy({ info, settings }) {
  return /** @type {Study} */ (/** @type {unknown} */ ({ [info.name]: settings }));
}

/** @param {StudyInfo} info @returns {StudyState} */
export function standard(info) {
  return { info, settings: published(info), replications: 1 };
}

/** The trace is chosen apart; a measured report is a file of the command line's. */
const NO_FIELDS = /^(trace|measured)(\.|$)/;

/** The paths of the settings that a reader sets. @param {Settings} settings */
export function fields(settings) {
  return [...leaves(settings).keys()].filter((path) => !NO_FIELDS.test(path));
}

/** A copy with one setting changed. @type {(state: StudyState, path: string, value: unknown) => StudyState} */
export function withSetting(state, path, value) {
  const settings = structuredClone(state.settings);
  setPath(settings, path, structuredClone(value));
  return { ...state, settings };
}

// ---- Size --------------------------------------------------------------------------------------

/** Whether a setting counts requests. @type {(path: string, value: unknown) => boolean} */
function countsRequests(path, value) {
  const key = path.slice(path.lastIndexOf(".") + 1);
  if (!/request/.test(key) || /_(s|ms|per_s)$/.test(key)) return false;
  return Array.isArray(value) ? value.length > 0 && value.every(Number.isInteger) : Number.isInteger(value) && Number(value) > SMALL;
}

/**
 * The published settings with all request counts lowered in proportion; null where that changes
 * nothing.
 * @param {StudyInfo} info
 * @returns {Settings | null}
 */
export function small(info) {
  const settings = published(info);
  const counts = fields(settings).filter((path) => countsRequests(path, getPath(settings, path)));
  const largest = Math.max(...counts.flatMap((path) => /** @type {number | number[]} */ (getPath(settings, path))));
  if (counts.length === 0 || largest <= SMALL) return null;
  /** @param {number} n */
  const lower = (n) => Math.max(Math.min(n, 100), Math.round((n * SMALL) / largest));
  for (const path of counts) {
    const value = getPath(settings, path);
    setPath(settings, path, Array.isArray(value) ? [...new Set(value.map(lower))] : lower(Number(value)));
  }
  return settings;
}

/** Which size the settings are. @param {StudyState} state @returns {"published" | "small" | "custom"} */
export function sizeOf({ info, settings }) {
  /** @param {Settings | null} other */
  const equals = (other) => other !== null && fields(settings).every((path) => same(getPath(settings, path), getPath(other, path)));
  if (equals(published(info))) return "published";
  return equals(small(info)) ? "small" : "custom";
}

// ---- Values and text ---------------------------------------------------------------------------

/** A setting as text, for a box. @param {unknown} value */
export function toText(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.every((v) => typeof v !== "object") ? value.join(", ") : JSON.stringify(value);
  return String(value);
}

/**
 * A setting's value from text; undefined where the text is none. What the core allows is the core's
 * to judge.
 * @type {(standard: unknown, text: string) => unknown}
 */
export function fromText(standard, text) {
  const trimmed = text.trim();
  if (typeof standard === "boolean") return trimmed === "true" ? true : trimmed === "false" ? false : undefined;
  if (typeof standard === "string") return trimmed;
  if (Array.isArray(standard)) return listFrom(standard, trimmed);
  // An optional setting may be left out; where it may not, the core says so.
  if (trimmed === "" || trimmed === "null") return null;
  if (typeof standard === "number") return toNumber(trimmed);
  return toNumber(trimmed) ?? (trimmed.includes(",") ? listFrom([0], trimmed) : trimmed);
}

/** @type {(standard: unknown[], text: string) => unknown[] | undefined} */
function listFrom(standard, text) {
  if (text === "") return [];
  if (standard.some((item) => typeof item === "object")) {
    try {
      const list = JSON.parse(text);
      return Array.isArray(list) ? list : undefined;
    } catch {
      return undefined;
    }
  }
  const items = text.split(/[\s,;]+/).filter((item) => item !== "");
  if (items.length > 128) return undefined;
  if (standard.length > 0 && standard.every((item) => typeof item === "string")) return items;
  const numbers = items.map(toNumber);
  return numbers.includes(undefined) ? undefined : numbers;
}

// ---- The hash ----------------------------------------------------------------------------------

/** @type {(state: StudyState, file: string | null) => string} */
export function toHash({ info, settings, replications }, file) {
  const parts = [`v=${DEFAULT_SCENARIO.version}`, `study=${info.name}`];
  if (file !== null) parts.push(`file=${encodeURIComponent(file)}`);
  if (replications !== 1) parts.push(`replications=${replications}`);
  const defaults = published(info);
  for (const path of fields(defaults)) {
    const value = getPath(settings, path);
    if (same(value, getPath(defaults, path))) continue;
    const text = Array.isArray(value) && value.some((v) => typeof v === "object") ? encodeURIComponent(JSON.stringify(value)) : encode(value);
    parts.push(`${path}=${text}`);
  }
  return `#${parts.join("&")}`;
}

/** The hash's keys and values, as many as any link of ours has. @param {string} hash */
const pairsOf = (hash) => [...new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"))].slice(0, 100);

/** What links call the comparison of a file with all published figures, beside the studies' names. */
export const REPRODUCE = "reproduce";

/** @param {string | null} file */
export function reproduceHash(file) {
  return `#v=${DEFAULT_SCENARIO.version}&study=${REPRODUCE}${file === null ? "" : `&file=${encodeURIComponent(file)}`}`;
}

/**
 * Reads the hash of a comparison; null where it is none.
 * @param {string} hash
 * @returns {{file: string | null, notices: string[]} | null}
 */
export function reproduceFrom(hash) {
  const pairs = pairsOf(hash);
  if (pairs.find(([key]) => key === "study")?.[1] !== REPRODUCE) return null;
  /** @type {string | null} */
  let file = null;
  const notices = [];
  for (const [key, text] of pairs) {
    if (key === "file") file = shorten(text);
    else if (key === "v" && !knows(text)) notices.push(NOTICE.otherVersion(shorten(text)));
    else if (key !== "v" && key !== "study") notices.push(NOTICE.unknownKey(shorten(key)));
  }
  return { file, notices };
}

/**
 * Reads a hash. Without a study in it, the state is null: the list alone.
 * @param {string} hash
 * @param {StudyInfo[]} studies
 * @returns {{state: StudyState | null, file: string | null, notices: string[]}}
 */
export function fromHash(hash, studies) {
  const pairs = pairsOf(hash);
  const named = pairs.find(([key]) => key === "study")?.[1];
  if (named === undefined) return { state: null, file: null, notices: [] };
  const info = studies.find(({ name }) => name === named);
  if (info === undefined) return { state: null, file: null, notices: [PROBLEM.unknownStudy(shorten(named))] };
  let state = standard(info);
  /** @type {string | null} */
  let file = null;
  const version = pairs.find(([key]) => key === "v")?.[1];
  if (!knows(version)) {
    return { state, file, notices: [NOTICE.otherVersion(shorten(version ?? "?"))] };
  }
  const defaults = published(info);
  const known = new Set(fields(defaults));
  const engine = getPath(defaults, "server.engine.continuous") === undefined ? "closed" : "continuous";
  const notices = [];
  for (const [given, text] of pairs) {
    const key = version === "1" && given.startsWith("server.") ? `server.${renamed(given.slice("server.".length), engine)}` : given;
    if (key === "v" || key === "study") continue;
    if (key === "file") {
      file = shorten(text);
    } else if (key === "replications") {
      const value = toNumber(text);
      if (value !== undefined && allowsReplications(value)) state = { ...state, replications: value };
      else notices.push(NOTICE.badHash(key, shorten(text)));
    } else if (!known.has(key)) {
      notices.push(NOTICE.unknownKey(shorten(key)));
    } else {
      const value = fromText(getPath(defaults, key), text);
      if (value === undefined) notices.push(NOTICE.badHash(key, shorten(text)));
      else state = withSetting(state, key, value);
    }
  }
  return { state, file, notices };
}

/** @param {number} n */
export const allowsReplications = (n) => Number.isInteger(n) && n >= 1 && n <= MOST_REPLICATIONS;
