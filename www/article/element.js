// `<batchscope-figure figure="promise" k="12">`: a figure of the article in any page, computed there. Each
// setting is an attribute; a change of one is drawn, and the reader's own moves are written back.

import { FigureEngine } from "./engine.js";
import { FIGURES } from "./figures.js";
import { liveFigure, valueFrom } from "./live.js";

/** @import { Figure } from "./figures.js" */

const STYLES = ["../style.css", "./style.css"];

/** One for all figures of a page. @type {FigureEngine | undefined} */
let engine;

export class BatchscopeFigure extends HTMLElement {
  static observedAttributes = ["figure", "hide", ...new Set(FIGURES.flatMap(({ controls }) => controls.map(({ path }) => path)))];

  /** @type {ReturnType<typeof liveFigure> | null} */
  #live = null;
  /** @type {Figure<any> | null} */
  #figure = null;
  #writing = false;
  #connected = false;

  connectedCallback() {
    this.#connected = true;
    this.#build();
  }

  disconnectedCallback() {
    this.#connected = false;
    this.#live?.stop();
    this.#live = null;
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    // Before it is connected there is nothing to change.
    if (this.#writing || !this.#connected) return;
    if (name === "figure" || name === "hide") this.#build();
    else this.#show();
  }

  #build() {
    this.#live?.stop();
    this.#live = null;
    const shadow = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const named = this.getAttribute("figure") ?? "";
    this.#figure = FIGURES.find(({ id }) => id === named) ?? null;
    const styles = STYLES.map((path) => {
      const link = document.createElement("link");
      link.rel = "stylesheet";
      link.href = new URL(path, import.meta.url).href;
      return link;
    });
    if (this.#figure === null) {
      const said = document.createElement("p");
      said.setAttribute("role", "alert");
      said.textContent = `There is no figure “${named}”. There are ${FIGURES.map(({ id }) => id).join(", ")}.`;
      shadow.replaceChildren(said);
      return;
    }
    const host = document.createElement("figure");
    host.className = "figure article-figure";
    shadow.replaceChildren(...styles, host);
    engine ??= new FigureEngine();
    const figure = this.#figure;
    this.#live = liveFigure(host, figure, engine, {
      hide: (this.getAttribute("hide") ?? "").split(","),
      changed: (settings, settled) => {
        if (!settled) return;
        this.#writing = true;
        for (const { path } of figure.controls) {
          if (settings[path] !== figure.standard[path] || this.hasAttribute(path)) this.setAttribute(path, String(settings[path]));
        }
        this.#writing = false;
        this.dispatchEvent(new CustomEvent("change", { detail: settings }));
      },
      link: () => location.href,
      embed: null,
    });
    this.#show();
  }

  #show() {
    const figure = this.#figure;
    if (figure === null) return;
    const settings = structuredClone(figure.standard);
    for (const { path } of figure.controls) {
      const text = this.getAttribute(path);
      const value = text === null ? undefined : valueFrom(figure, path, text);
      if (value !== undefined) settings[path] = value;
      else if (text !== null) console.warn(`batchscope-figure: ${path}="${text}" is not allowed; the default is used`);
    }
    this.#live?.show(settings);
  }
}

if (!customElements.get("batchscope-figure")) customElements.define("batchscope-figure", BatchscopeFigure);
