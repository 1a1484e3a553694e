// What the reader must be told: errors and what a link asked for in vain.

import { el } from "../dom.js";
import { UI } from "../words.js";

/** @param {HTMLElement} host an empty element with role=alert */
export function notices(host) {
  return {
    /**
     * Shows a sentence; one of the same kind replaces the one before.
     * @type {(kind: string, sentence: string) => void}
     */
    show(kind, sentence) {
      this.clear(kind);
      const notice = el(
        "p",
        { class: "notice", "data-kind": kind },
        el("span", {}, sentence),
        el("button", { type: "button", class: "quiet", onclick: () => notice.remove() }, UI.dismiss),
      );
      host.append(notice);
    },
    /** @param {string} kind */
    clear(kind) {
      for (const notice of host.querySelectorAll(`[data-kind="${CSS.escape(kind)}"]`)) notice.remove();
    },
  };
}
