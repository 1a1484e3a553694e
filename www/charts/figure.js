// What every figure shares: title, a focusable picture with a cursor, a sentence, a table.

import { el } from "../dom.js";
import { UI } from "../words.js";
import { NAME, sample } from "./palette.js";

/** @import { Key } from "./palette.js" */

/** Rest after the last key before the value is announced, ms. */
const ANNOUNCE_MS = 350;
/** Positions of the cursor from end to end by arrow keys. */
const STEPS = 60;

/**
 * A value that the cursor reads, per curve; `name` where it is not the key's.
 * @typedef {{where: string, values: {policy: Key, name?: string, text: string}[]}} Reading
 */

/**
 * A table of down-sampled rows; `names` where its columns are not those of the keys.
 * @typedef {{caption: string, head: string, policies: Key[], names?: string[], rows: {label: string, cells: string[]}[]}} Numbers
 */

/**
 * What a figure draws and how its cursor reads it; positions run from 0 to 1.
 * @typedef {object} Picture
 * @property {(position: number | null) => void} point moves the cursor's line, or hides it
 * @property {(position: number) => Reading} read
 * @property {() => Numbers} numbers
 * @property {number} [steps] positions of the cursor where they are not `STEPS`
 * @property {"x" | "y"} [along] which way the pointer moves it, to the right unless said
 */

let serial = 0;

/**
 * Builds the frame of a figure in `host`.
 * @param {HTMLElement} host
 * @param {{title: string, label?: string}} words
 * @param {Picture} [picture] none for figures that are tables themselves
 */
export function frame(host, words, picture) {
  serial += 1;
  const id = `figure-${serial}`;
  const title = el("h3", { id, class: "figure-title" }, words.title);
  const sentence = el("p", { class: "sentence" });
  const body = el("div", { class: "picture" });
  host.classList.add("figure");
  host.setAttribute("aria-labelledby", id);

  if (picture === undefined) {
    host.append(title, body, el("figcaption", {}, sentence));
    return { body, setSentence, refresh: () => {} };
  }

  const readout = el("p", { class: "readout", "aria-hidden": "true" });
  const live = el("p", { class: "visually-hidden", "aria-live": "polite" });
  // It may scroll on a phone, and what scrolls must be reachable by keyboard.
  const table = el("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": UI.numbers });
  const details = el("details", { ontoggle: fillTable }, el("summary", {}, UI.showNumbers), table);
  body.tabIndex = 0;
  body.setAttribute("role", "group");
  body.setAttribute("aria-label", words.label === undefined ? words.title : `${words.label}. ${UI.chartKeys}`);
  host.append(title, body, readout, live, el("figcaption", {}, sentence, details));

  /** @type {number | null} */
  let position = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** @type {(to: number | null, announce: boolean) => void} */
  function move(to, announce) {
    position = to;
    picture?.point(to);
    clearTimeout(timer);
    if (to === null || picture === undefined) {
      readout.replaceChildren();
      return;
    }
    const { where, values } = picture.read(to);
    readout.replaceChildren(
      el("span", { class: "where" }, where),
      ...values.map(({ policy, name = "", text }) => el("span", { class: "value" }, sample(policy), `${name} ${text}`.trim())),
    );
    if (!announce) return;
    const spoken = `${where}: ${values.map(({ policy, name = NAME[policy].name, text }) => `${name} ${text}`.trim()).join(", ")}`;
    timer = setTimeout(() => {
      live.textContent = spoken;
    }, ANNOUNCE_MS);
  }

  body.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = 1 / (picture.steps ?? STEPS);
    const from = position ?? -step;
    /** @type {Record<string, number | null>} */
    const targets = {
      ArrowRight: from + step,
      ArrowUp: from + step,
      ArrowLeft: from - step,
      ArrowDown: from - step,
      PageUp: from + 10 * step,
      PageDown: from - 10 * step,
      Home: 0,
      End: 1,
      Escape: null,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    move(target === null ? null : Math.min(1, Math.max(0, target)), true);
  });
  body.addEventListener("pointermove", (event) => {
    const plot = body.querySelector(".u-over, .plot-area")?.getBoundingClientRect();
    if (plot === undefined || plot.width === 0) return;
    const at = picture.along === "y" ? (event.clientY - plot.top) / plot.height : (event.clientX - plot.left) / plot.width;
    move(at < 0 || at > 1 ? null : at, false);
  });
  body.addEventListener("pointerleave", () => move(null, false));
  body.addEventListener("blur", () => move(null, false));

  function fillTable() {
    if (!details.open || picture === undefined) return;
    const { caption, head, policies, names = policies.map((policy) => NAME[policy].short), rows } = picture.numbers();
    table.replaceChildren(
      el(
        "table",
        {},
        el("caption", {}, caption),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, head), ...names.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...rows.map(({ label, cells }) => el("tr", {}, el("th", { scope: "row" }, label), ...cells.map((cell) => el("td", {}, cell))))),
      ),
    );
  }

  /** @param {string} text */
  function setSentence(text) {
    sentence.textContent = text;
  }

  return {
    body,
    setSentence,
    /** After new data: the cursor and the open table read anew. */
    refresh: () => {
      if (position !== null) move(position, false);
      fillTable();
    },
  };
}
