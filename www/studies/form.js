// The settings of a study as form fields, one for each leaf of its settings.

import { el } from "../dom.js";
import { getPath, toNumber } from "../state.js";
import { allowsReplications, fields, fromText, published, toText } from "./state.js";
import { CHOICE, PROBLEM, SETTING, VIEW } from "./words.js";

/** @import { StudyState } from "./state.js" */

/**
 * @typedef {object} Field
 * @property {HTMLElement} element
 * @property {(state: StudyState) => void} update
 * @property {(sentence: string) => void} complain
 */

/**
 * The fields of a study; made anew when another study is chosen.
 * @param {StudyState} state
 * @param {(path: string, value: unknown) => void} change
 * @param {(replications: number) => void} repeat
 */
export function form(state, change, repeat) {
  const defaults = published(state.info);
  /** @type {Map<string, Field>} */
  const made = new Map();
  for (const path of fields(defaults)) {
    const standard = getPath(defaults, path);
    const set = (/** @type {unknown} */ value) => change(path, value);
    const id = `study-${path.replaceAll(".", "-")}`;
    const read = (/** @type {StudyState} */ s) => getPath(s.settings, path);
    const choices = choicesOf(path, standard);
    if (typeof standard === "boolean") made.set(path, checkField(id, path, read, set));
    else if (choices !== undefined) {
      made.set(path, choiceField(id, path, choices, read, (key) => set(typeof standard === "number" ? Number(key) : key)));
    }
    else made.set(path, textField(id, path, Array.isArray(standard), (text) => fromText(standard, text), (s) => toText(read(s)), set));
  }
  made.set(
    "replications",
    textField(
      "study-replications",
      "replications",
      false,
      (text) => {
        const value = toNumber(text);
        return value !== undefined && allowsReplications(value) ? value : undefined;
      },
      (s) => String(s.replications),
      (value) => repeat(Number(value)),
    ),
  );
  return {
    elements: [...made.values()].map(({ element }) => element),
    /** @param {StudyState} next */
    update(next) {
      for (const field of made.values()) field.update(next);
    },
    /**
     * Shows the core's sentence beside the field that it names; false where it names none.
     * @type {(field: string | null, sentence: string) => boolean}
     */
    complain(field, sentence) {
      const path = [...made.keys()].find((key) => field === key || field?.endsWith(`.${key}`) || field?.includes(`${key}[`));
      if (path === undefined) return false;
      made.get(path)?.complain(sentence);
      return true;
    },
  };
}

/**
 * The choices of a setting, where it is one: those of the kind of its published value.
 * @type {(path: string, standard: unknown) => Record<string, string> | undefined}
 */
function choicesOf(path, standard) {
  const known = CHOICE[last(path)];
  if (known === undefined || !Object.hasOwn(known, String(standard))) return undefined;
  const isNumber = (/** @type {string} */ key) => toNumber(key) !== undefined;
  return Object.fromEntries(Object.entries(known).filter(([key]) => isNumber(key) === (typeof standard === "number")));
}

/** @param {string} path */
const last = (path) => path.slice(path.lastIndexOf(".") + 1);

/** What a setting is called. @param {string} path */
function wordsFor(path) {
  const key = last(path);
  const spaced = key.replaceAll("_", " ");
  return SETTING[path] ?? SETTING[key] ?? { label: spaced.charAt(0).toUpperCase() + spaced.slice(1) };
}

/** @type {(id: string, path: string, control: HTMLElement, help: string) => {element: HTMLElement, problem: HTMLElement}} */
function framed(id, path, control, help) {
  const { label, unit } = wordsFor(path);
  const problem = el("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  const described = [help === "" ? "" : `${id}-help`, `${id}-problem`].join(" ").trim();
  control.setAttribute("aria-describedby", described);
  const element = el(
    "div",
    { class: "control", "data-setting": path },
    el("label", { for: id }, label),
    el("span", { class: "box" }, control, ...(unit === undefined ? [] : [el("span", { class: "unit" }, unit)])),
    ...(help === "" ? [] : [el("p", { class: "help", id: `${id}-help` }, help)]),
    problem,
  );
  return { element, problem };
}

/** @type {(id: string, path: string, isList: boolean, parse: (text: string) => unknown, read: (state: StudyState) => string, set: (value: unknown) => void) => Field} */
function textField(id, path, isList, parse, read, set) {
  const box = el("input", { id, type: "text", autocomplete: "off", spellcheck: "false", class: isList ? "list" : "" });
  const help = [wordsFor(path).help ?? "", isList ? VIEW.listHelp : ""].filter((text) => text !== "").join(" ");
  const { element, problem } = framed(id, path, box, help);
  /** @param {string} sentence */
  const complain = (sentence) => {
    problem.textContent = sentence;
    box.toggleAttribute("aria-invalid", false);
    if (sentence !== "") box.setAttribute("aria-invalid", "true");
  };
  box.addEventListener("change", () => {
    const value = parse(box.value);
    if (value === undefined) complain(isList ? PROBLEM.list : PROBLEM.number);
    else set(value);
  });
  return {
    element,
    update(state) {
      box.value = read(state);
      complain("");
    },
    complain,
  };
}

/** @type {(id: string, path: string, choices: Record<string, string>, read: (state: StudyState) => unknown, set: (value: unknown) => void) => Field} */
function choiceField(id, path, choices, read, set) {
  const select = el("select", { id }, ...Object.entries(choices).map(([key, name]) => el("option", { value: key }, name)));
  const { element, problem } = framed(id, path, select, wordsFor(path).help ?? "");
  element.classList.add("wide");
  select.addEventListener("change", () => set(select.value));
  return {
    element,
    update(state) {
      select.value = String(read(state));
      problem.textContent = "";
    },
    complain(sentence) {
      problem.textContent = sentence;
    },
  };
}

/** @type {(id: string, path: string, read: (state: StudyState) => unknown, set: (value: unknown) => void) => Field} */
function checkField(id, path, read, set) {
  const box = el("input", { id, type: "checkbox" });
  const { element, problem } = framed(id, path, box, wordsFor(path).help ?? "");
  box.addEventListener("change", () => set(box.checked));
  return {
    element,
    update(state) {
      box.checked = read(state) === true;
      problem.textContent = "";
    },
    complain(sentence) {
      problem.textContent = sentence;
    },
  };
}
