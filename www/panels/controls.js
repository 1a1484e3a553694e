// Settings: controls with slider, box, unit and sentence, in groups. What is set stands at a path of a
// plain object; a control whose path is not there is hidden.

import { el } from "../dom.js";
import { allows, getPath, same, toNumber } from "../state.js";
import { UI } from "../words.js";

/**
 * @import { Control, ChoiceControl, ListControl, NumberControl, SwitchControl } from "../state.js"
 */

/** @typedef {(path: string, value: unknown, settled: boolean) => void} Change `settled` is false while a slider is being dragged */
/** @typedef {{element: HTMLElement, update: (settings: object) => void}} Part */

/**
 * @typedef {object} Words
 * @property {Record<string, string>} groups in the order of the page
 * @property {Record<string, {label: string, help: string}>} control by id
 * @property {Record<string, Record<string, string>>} choice by id
 */

/**
 * @param {HTMLElement} host
 * @param {readonly Control[]} list
 * @param {Words} words
 * @param {Change} change
 * @param {() => Promise<number>} newSeed
 */
export function controls(host, list, words, change, newSeed) {
  /** @type {((settings: object) => void)[]} */
  const updates = [];
  for (const [group, title] of Object.entries(words.groups)) {
    const members = list.filter((control) => control.group === group);
    const fieldset = el(
      "fieldset",
      { "data-group": group },
      el("legend", {}, title),
      ...members.map((control) => {
        const part = make(control, words, change);
        const { shown } = control;
        updates.push((settings) => {
          part.update(settings);
          if (shown !== undefined && !shown(settings)) part.element.hidden = true;
        });
        if (control.path === "seed") part.element.append(seedButton(change, newSeed));
        return part.element;
      }),
    );
    host.append(fieldset);
  }
  return {
    /** @param {object} settings */
    update(settings) {
      for (const update of updates) update(settings);
    },
  };
}

/** @type {(control: Control, words: Words, change: Change) => Part} */
function make(control, words, change) {
  const said = words.control[control.id] ?? { label: control.id, help: "" };
  switch (control.kind) {
    case "number":
      return numberControl(control, said, change);
    case "choice":
      return choiceControl(control, said, words.choice[control.id] ?? {}, change);
    case "switch":
      return switchControl(control, said, change);
    case "list":
      return listControl(control, said, change);
  }
}

/** @typedef {{label: string, help: string}} Said */

/** @type {(control: NumberControl, said: Said, change: Change) => Part} */
function numberControl(control, said, change) {
  const { id, path, unit, min, max, stops, empty } = control;
  const helpId = `${id}-help`;
  const problem = el("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  const box = el("input", {
    id,
    type: "text",
    inputmode: control.whole ? "numeric" : "decimal",
    autocomplete: "off",
    "aria-describedby": `${helpId} ${id}-problem`,
    ...(empty === undefined ? {} : { placeholder: empty }),
  });
  const slider = el("input", { type: "range", min: 0, max: Math.max(0, stops.length - 1), step: 1, "aria-label": UI.slider(said.label) });

  // What is being typed is not overwritten before it is settled.
  let typing = false;
  box.addEventListener("input", () => {
    typing = true;
  });

  /** @param {number | null} value */
  const show = (value) => {
    const text = value === null ? "" : String(value);
    if (!typing) box.value = text;
    if (document.activeElement !== slider || stops[Number(slider.value)] !== value) slider.value = String(nearest(stops, value ?? 0));
    slider.setAttribute("aria-valuetext", value === null ? (empty ?? "") : `${value} ${unit}`.trim());
    problem.textContent = "";
    box.removeAttribute("aria-invalid");
  };
  /** @param {boolean} settled */
  const slide = (settled) => {
    const value = stops[Number(slider.value)];
    if (value === undefined) return;
    box.value = String(value);
    slider.setAttribute("aria-valuetext", `${value} ${unit}`.trim());
    change(path, value, settled);
  };
  slider.addEventListener("input", () => slide(false));
  slider.addEventListener("change", () => slide(true));
  box.addEventListener("change", () => {
    typing = false;
    const text = box.value.replaceAll(/[\s,\u202f]/g, "");
    if (empty !== undefined && text === "") {
      change(path, null, true);
      return;
    }
    const value = toNumber(text);
    if (value === undefined || !allows(control, value)) {
      problem.textContent = control.whole ? UI.allowed(min, max, unit) : UI.allowedFine(min, max, unit);
      box.setAttribute("aria-invalid", "true");
      return;
    }
    box.value = String(value);
    change(path, value, true);
  });

  const element = el(
    "div",
    { class: "control", "data-control": id },
    el("label", { for: id }, said.label),
    el("span", { class: "box" }, box, el("span", { class: "unit" }, unit)),
    ...(stops.length > 0 ? [slider] : []),
    el("p", { class: "help", id: helpId }, said.help),
    problem,
  );
  return {
    element,
    update(settings) {
      const value = getPath(settings, path);
      element.hidden = value === undefined;
      if (typeof value === "number" || (value === null && empty !== undefined)) show(value);
    },
  };
}

/** @type {(stops: number[], value: number) => number} */
function nearest(stops, value) {
  let best = 0;
  for (const [i, stop] of stops.entries()) {
    if (Math.abs(Math.log((stop + 1e-3) / (value + 1e-3))) < Math.abs(Math.log(((stops[best] ?? 0) + 1e-3) / (value + 1e-3)))) best = i;
  }
  return best;
}

/** @type {(control: ChoiceControl, said: Said, names: Record<string, string>, change: Change) => Part} */
function choiceControl({ id, path, options, wide, of = (/** @type {unknown} */ value) => Object.keys(options).find((key) => same(options[key], value)) }, said, names, change) {
  const custom = el("option", { value: "", disabled: true, hidden: true }, UI.custom);
  const select = el(
    "select",
    { id, "aria-describedby": `${id}-help` },
    ...Object.keys(options).map((key) => el("option", { value: key }, names[key] ?? key)),
    custom,
  );
  select.addEventListener("change", () => change(path, options[select.value], true));
  return row({ id, path }, said, wide === true, [select], (value) => {
    select.value = of(value) ?? "";
  });
}

/** @type {(control: SwitchControl, said: Said, change: Change) => Part} */
function switchControl({ id, path }, said, change) {
  const box = el("input", { id, type: "checkbox", "aria-describedby": `${id}-help` });
  box.addEventListener("change", () => change(path, box.checked, true));
  return row({ id, path }, said, false, [box], (value) => {
    box.checked = value === true;
  });
}

/** A list in words of its own. @type {(control: ListControl, said: Said, change: Change) => Part} */
function listControl({ id, path, write, read, allowed }, said, change) {
  const problem = el("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  const box = el("input", { id, type: "text", autocomplete: "off", "aria-describedby": `${id}-help ${id}-problem` });
  let typing = false;
  box.addEventListener("input", () => {
    typing = true;
  });
  box.addEventListener("change", () => {
    typing = false;
    const value = read(box.value);
    if (value === undefined) {
      problem.textContent = allowed;
      box.setAttribute("aria-invalid", "true");
      return;
    }
    change(path, value, true);
  });
  return row({ id, path }, said, true, [box, problem], (value) => {
    if (!Array.isArray(value)) return;
    if (!typing) box.value = write(value);
    problem.textContent = "";
    box.removeAttribute("aria-invalid");
  });
}

/**
 * A name, what sets it, a sentence, and what follows; hidden where its path is not there.
 * @type {(place: {id: string, path: string}, said: Said, wide: boolean, inputs: [HTMLElement, ...HTMLElement[]], show: (value: unknown) => void) => Part}
 */
function row({ id, path }, said, wide, [input, ...rest], show) {
  const element = el(
    "div",
    { class: wide ? "control wide" : "control", "data-control": id },
    el("label", { for: id }, said.label),
    input,
    el("p", { class: "help", id: `${id}-help` }, said.help),
    ...rest,
  );
  return {
    element,
    update(settings) {
      const value = getPath(settings, path);
      element.hidden = value === undefined;
      if (value !== undefined) show(value);
    },
  };
}

/** @type {(change: Change, newSeed: () => Promise<number>) => HTMLElement} */
function seedButton(change, newSeed) {
  return el(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: async () => change("seed", await newSeed(), true),
    },
    UI.newSeed,
  );
}
