// The exercises on the page: one is begun with a button, and judged after every run while its settings
// are in force.

import { el } from "../dom.js";
import { getPath, same } from "../state.js";
import { CHALLENGE } from "./words.js";
import { CHALLENGES, begin } from "./challenges.js";
import { CONTROLS } from "../state.js";

/** @import { RunResult } from "../types.js" */
/** @import { Challenge } from "./challenges.js" */

/**
 * @param {HTMLElement} host
 * @param {(challenge: Challenge) => void} start
 */
export function challenges(host, start) {
  /** @type {Challenge | null} */
  let current = null;
  const verdict = el("p", { class: "verdict", role: "status" });
  const list = el(
    "ol",
    { class: "challenge-list" },
    ...CHALLENGES.map((challenge) => {
      const words = CHALLENGE.of[challenge.id];
      return el("li", { "data-challenge": challenge.id }, el("p", {}, words?.task ?? challenge.id), el("button", {
        type: "button",
        onclick: () => {
          current = challenge;
          start(challenge);
        },
      }, CHALLENGE.begin));
    }),
  );
  host.append(list, verdict);

  return {
    /** @param {RunResult[]} results */
    update(results) {
      if (current === null) return;
      const found = results.find(({ policy }) => policy === current?.policy);
      const words = CHALLENGE.of[current.id];
      if (found === undefined || words === undefined) {
        verdict.textContent = CHALLENGE.switchOn;
        return;
      }
      const moved = strayed(current, found.summary.scenario);
      if (moved !== null) {
        verdict.textContent = CHALLENGE.strayed(moved);
        verdict.className = "verdict";
        return;
      }
      const { value, met } = current.judge(found.summary);
      verdict.textContent = met ? CHALLENGE.met(words.value(value)) : CHALLENGE.notYet(words.value(value));
      verdict.className = met ? "verdict kept" : "verdict broken";
    },
  };
}

/** A control that was moved though the exercise does not free it. @type {(challenge: Challenge, scenario: object) => string | null} */
export function strayed(challenge, scenario) {
  const wanted = begin(challenge);
  for (const { id, path } of CONTROLS) {
    if (challenge.free.includes(id)) continue;
    if (!same(getPath(scenario, path), getPath(wanted, path))) return id;
  }
  return null;
}
