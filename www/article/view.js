// The article: index.html has its prose and a picture of each figure; here the figures come alive.
//
// Its part of the address is `#a=1&FIGURE.SETTING=VALUE&…`; `?embed=FIGURE` shows one figure alone, and
// `?hide=controls,tools,title,sentence` takes parts of it away.

import { el } from "../dom.js";
import { shorten } from "../state.js";
import { FigureEngine } from "./engine.js";
import { FIGURES } from "./figures.js";
import { liveFigure, pairs, valueFrom } from "./live.js";
import { UI } from "./words.js";

/** @import { Figure, Settings } from "./figures.js" */

/** Of the article's part of the address. */
const VERSION = 1;
/** Sentences about a bad link, at most. */
const MOST_NOTICES = 5;

/** @typedef {Record<string, Settings>} State settings by figure */

/** @returns {State} */
export const standard = () => Object.fromEntries(FIGURES.map(({ id, standard: settings }) => [id, structuredClone(settings)]));

/** The address of a state; empty for the default. @param {State} state @returns {string} */
export function toHash(state) {
  const said = FIGURES.flatMap((figure) => pairs(figure, state[figure.id] ?? figure.standard));
  return said.length === 0 ? "" : `#${[`a=${VERSION}`, ...said].join("&")}`;
}

/** Reads an address. @param {string} hash @returns {{state: State, notices: string[]}} */
export function fromHash(hash) {
  const state = standard();
  /** @type {string[]} */
  const notices = [];
  if (!/^#a=/.test(hash)) return { state, notices };
  const said = [...new URLSearchParams(hash.slice(1).replaceAll("+", "%2B"))].slice(0, 100);
  const version = said[0]?.[1] ?? "";
  if (version !== String(VERSION)) return { state, notices: [UI.otherVersion(shorten(version))] };
  for (const [key, text] of said.slice(1)) {
    const [id = "", path = ""] = key.split(".");
    const figure = FIGURES.find((one) => one.id === id);
    const settings = state[id];
    if (figure === undefined || settings === undefined || !Object.hasOwn(settings, path)) {
      notices.push(UI.unknownKey(shorten(key)));
      continue;
    }
    const value = valueFrom(figure, path, text);
    if (value === undefined) notices.push(UI.badHash(shorten(key), shorten(text)));
    else settings[path] = value;
  }
  return { state, notices };
}

/**
 * @param {HTMLElement} host
 * @param {{moved: (hash: string) => void, notice: (text: string) => void}} on
 */
export function articleView(host, on) {
  const engine = new FigureEngine();
  let state = standard();
  const { embed, hide } = asked();
  /** @type {Map<string, ReturnType<typeof liveFigure>>} */
  const live = new Map();

  for (const figure of FIGURES) {
    const place = host.querySelector(`[data-figure="${figure.id}"]`);
    if (!(place instanceof HTMLElement)) throw new Error(`index.html lacks the figure ${figure.id}`);
    if (embed !== null && embed !== figure.id) continue;
    live.set(
      figure.id,
      liveFigure(place, figure, engine, {
        hide,
        changed(settings, settled) {
          state = { ...state, [figure.id]: settings };
          if (settled) remember();
        },
        link: (settings) => address(null, toHash({ ...standard(), [figure.id]: settings }), figure.id),
        embed: (settings) => `<iframe src="${address(figure.id, toHash({ ...standard(), [figure.id]: settings }))}" title="Batchscope" width="100%" height="520" loading="lazy" style="border:0"></iframe>`,
      }),
    );
  }

  if (embed !== null) alone(host, embed);

  /** Puts the state into the address bar, as a step that the back button undoes. */
  function remember() {
    const hash = toHash(state);
    if (hash === location.hash) return;
    on.moved(hash);
    history.pushState(null, "", hash === "" ? location.pathname + location.search : hash);
  }

  return {
    title: document.title,
    /** Shows what the address says. */
    async show() {
      const { state: next, notices } = fromHash(location.hash);
      state = next;
      on.notice(notices.slice(0, MOST_NOTICES).join(" "));
      on.moved(toHash(state));
      for (const [id, one] of live) one.show(state[id] ?? {});
    },
    focus() {},
    async choose() {},
  };
}

/** What the address asks for besides the state. */
export function asked() {
  const query = new URLSearchParams(location.search);
  const named = query.get("embed");
  return {
    embed: FIGURES.some(({ id }) => id === named) ? named : null,
    hide: (query.get("hide") ?? "").split(",").filter((part) => part !== ""),
  };
}

/** @type {(embed: string | null, hash: string, anchor?: string) => string} */
function address(embed, hash, anchor) {
  const url = new URL(location.href);
  url.search = embed === null ? "" : `?embed=${embed}`;
  url.hash = hash === "" && anchor !== undefined ? `#fig-${anchor}` : hash;
  return url.href;
}

/** Leaves nothing but one figure, and tells the page around it how high that is. @type {(host: HTMLElement, id: string) => void} */
function alone(host, id) {
  document.documentElement.classList.add("embedded");
  const figure = host.querySelector(`[data-figure="${id}"]`);
  if (figure === null) return;
  const whole = new URL(location.href);
  whole.search = "";
  const source = el("p", { class: "embedded-source" }, el("a", { href: whole.href, target: "_blank", rel: "noopener" }, "Batchscope"));
  host.replaceChildren(figure, source);
  const tell = () => parent.postMessage({ type: "batchscope-height", figure: id, height: Math.ceil(document.documentElement.getBoundingClientRect().height) }, "*");
  new ResizeObserver(tell).observe(document.body);
}
