// The four schedulers: the legend of every figure, and the switches that turn each on or off.

import { el } from "../dom.js";
import { POLICIES } from "../state.js";
import { POLICY } from "../words.js";
import { sample } from "../charts/palette.js";

/** @import { Policy } from "../types.js" */

/**
 * @param {HTMLElement} host
 * @param {(shown: Policy[]) => void} change
 */
export function schedulers(host, change) {
  /** @type {Map<Policy, HTMLInputElement>} */
  const boxes = new Map();
  for (const policy of POLICIES) {
    const box = el("input", { type: "checkbox", id: `show-${policy}`, "aria-describedby": `what-${policy}` });
    box.addEventListener("change", () => change(POLICIES.filter((p) => boxes.get(p)?.checked === true)));
    boxes.set(policy, box);
    host.append(
      el(
        "div",
        { class: `scheduler ${policy}` },
        el("label", { for: `show-${policy}` }, box, sample(policy), el("span", { class: "scheduler-name" }, POLICY[policy].name)),
        el("p", { class: "help", id: `what-${policy}` }, POLICY[policy].what),
      ),
    );
  }
  return {
    /** @param {Policy[]} shown */
    update(shown) {
      for (const [policy, box] of boxes) {
        box.checked = shown.includes(policy);
        // The last one stays: a page without any picture says nothing.
        box.disabled = shown.length === 1 && box.checked;
      }
    },
  };
}
