// The settings: every control of state.js with its slider, its box, its unit and its sentence.

import { el } from "../dom.js";
import { CONTROLS, allows, getPath, same, toNumber } from "../state.js";
import { CHOICE, CONTROL, GROUP, UI } from "../words.js";

/** @import { Control, ChoiceControl, NumberControl, State } from "../state.js" */

/**
 * @param {HTMLElement} host
 * @param {(path: string, value: unknown, settled: boolean) => void} change `settled` is false while
 *   a slider is being dragged
 * @param {() => Promise<number>} newSeed
 */
export function controls(host, change, newSeed) {
  /** @type {((state: State) => void)[]} */
  const updates = [];
  for (const [group, title] of Object.entries(GROUP)) {
    const members = CONTROLS.filter((control) => control.group === group);
    host.append(
      el(
        "fieldset",
        {},
        el("legend", {}, title),
        ...members.map((control) => {
          const part = control.kind === "number" ? numberControl(control, change) : choiceControl(control, change);
          updates.push(part.update);
          if (control.id === "seed") part.element.append(seedButton(change, newSeed));
          return part.element;
        }),
      ),
    );
  }
  return {
    /** @param {State} state */
    update(state) {
      for (const update of updates) update(state);
    },
  };
}

/** @type {(control: NumberControl, change: (path: string, value: unknown, settled: boolean) => void) => {element: HTMLElement, update: (state: State) => void}} */
function numberControl(control, change) {
  const { id, path, unit, min, max, stops } = control;
  const words = CONTROL[id] ?? { label: id, help: "" };
  const helpId = `${id}-help`;
  const problem = el("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  const box = el("input", {
    id,
    type: "text",
    inputmode: control.whole ? "numeric" : "decimal",
    autocomplete: "off",
    "aria-describedby": `${helpId} ${id}-problem`,
  });
  const slider = el("input", { type: "range", min: 0, max: Math.max(0, stops.length - 1), step: 1, "aria-label": UI.slider(words.label) });

  // What is being typed is not overwritten before it is settled.
  let typing = false;
  box.addEventListener("input", () => {
    typing = true;
  });

  /** @param {number} value */
  const show = (value) => {
    if (!typing) box.value = String(value);
    if (document.activeElement !== slider || stops[Number(slider.value)] !== value) slider.value = String(nearest(stops, value));
    slider.setAttribute("aria-valuetext", `${value} ${unit}`.trim());
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
    const value = toNumber(box.value.replaceAll(/[\s,\u202f]/g, ""));
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
    el("label", { for: id }, words.label),
    el("span", { class: "box" }, box, el("span", { class: "unit" }, unit)),
    ...(stops.length > 0 ? [slider] : []),
    el("p", { class: "help", id: helpId }, words.help),
    problem,
  );
  return {
    element,
    update(state) {
      const value = getPath(state.scenario, path);
      element.hidden = value === undefined;
      if (typeof value === "number") show(value);
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

/** @type {(control: ChoiceControl, change: (path: string, value: unknown, settled: boolean) => void) => {element: HTMLElement, update: (state: State) => void}} */
function choiceControl({ id, path, options }, change) {
  const words = CONTROL[id] ?? { label: id, help: "" };
  const custom = el("option", { value: "", disabled: true, hidden: true }, UI.custom);
  const select = el(
    "select",
    { id, "aria-describedby": `${id}-help` },
    ...Object.keys(options).map((key) => el("option", { value: key }, CHOICE[id]?.[key] ?? key)),
    custom,
  );
  select.addEventListener("change", () => change(path, options[select.value], true));
  return {
    element: el(
      "div",
      { class: "control", "data-control": id },
      el("label", { for: id }, words.label),
      select,
      el("p", { class: "help", id: `${id}-help` }, words.help),
    ),
    update(state) {
      const value = getPath(state.scenario, path);
      select.value = Object.keys(options).find((key) => same(options[key], value)) ?? "";
    },
  };
}

/** @type {(change: (path: string, value: unknown, settled: boolean) => void, newSeed: () => Promise<number>) => HTMLElement} */
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
