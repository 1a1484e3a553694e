// A batch that was clicked: its members, and the life of one of them.

import { el } from "../dom.js";
import { LIFE } from "./words.js";

/** @import { BatchColumns, RequestColumns, Scenario } from "../types.js" */

/** Members that are listed, at most. */
const MOST = 64;

/** @param {HTMLElement} host */
export function life(host) {
  /** @type {{batches: BatchColumns, requests: RequestColumns, scenario: Scenario} | null} */
  let data = null;
  host.append(el("p", { class: "help" }, LIFE.help));

  /** @param {number} batch */
  function show(batch) {
    if (data === null) return;
    const { batches, requests } = data;
    const first = batches.first[batch] ?? 0;
    const size = batches.size[batch] ?? 0;
    const longest = batches.longest_total[batch] ?? 0;
    const members = Array.from({ length: Math.min(size, MOST) }, (_, i) => first + i);
    const story = el("div", { class: "life-story", "aria-live": "polite" });
    const list = el(
      "ol",
      { class: "life-members", start: 1 },
      ...members.map((at) => {
        const tokens = (requests.prompt_tokens[at] ?? 0) + (requests.output_tokens[at] ?? 0);
        const bar = el("span", { class: "life-bar" });
        bar.style.setProperty("--share", `${(100 * tokens) / Math.max(1, longest)}%`);
        return el("li", {}, el("button", { type: "button", class: "quiet", onclick: () => tell(story, at, batch) }, LIFE.member((requests.row[at] ?? 0) + 1, tokens)), bar);
      }),
    );
    const work = Array.from({ length: size }, (_, i) => (requests.prompt_tokens[first + i] ?? 0) + (requests.output_tokens[first + i] ?? 0)).reduce((a, b) => a + b, 0);
    host.replaceChildren(
      el("p", {}, LIFE.batch(batch + 1, size, batches.gpu[batch] ?? 0, batches.bin[batch] ?? 0, data.requests.predicted_tokens.length > 0, longest, 1 - work / Math.max(1, longest * size))),
      list,
      ...(size > MOST ? [el("p", { class: "help" }, LIFE.more(size - MOST))] : []),
      story,
    );
    if (members[0] !== undefined) tell(story, members[0], batch);
  }

  /** @type {(story: HTMLElement, at: number, batch: number) => void} */
  function tell(story, at, batch) {
    if (data === null) return;
    const { requests, batches, scenario } = data;
    const arrival = requests.arrival_s[at] ?? 0;
    const start = requests.start_s[at] ?? 0;
    const end = requests.end_s[at] ?? 0;
    const own = (requests.prompt_tokens[at] ?? 0) + (requests.output_tokens[at] ?? 0);
    const longest = batches.longest_total[batch] ?? 0;
    const predicted = requests.predicted_tokens.length > 0 ? (requests.predicted_tokens[at] ?? null) : null;
    // Who came before and was still waiting when it came: those it queued behind.
    let ahead = 0;
    for (let i = 0; i < requests.arrival_s.length; i += 1) {
      if ((requests.arrival_s[i] ?? 0) < arrival && (requests.start_s[i] ?? 0) > arrival) ahead += 1;
    }
    const latency = end - arrival;
    const kept = latency <= scenario.sla.request_s;
    story.replaceChildren(
      el("h3", {}, LIFE.title((requests.row[at] ?? 0) + 1)),
      el(
        "ol",
        {},
        el("li", {}, LIFE.arrived(arrival, requests.prompt_tokens[at] ?? 0, requests.output_tokens[at] ?? 0, predicted)),
        el("li", {}, LIFE.waited(ahead, start - arrival)),
        el("li", {}, LIFE.served(start, (batches.size[batch] ?? 1) - 1, batches.gpu[batch] ?? 0, own, longest)),
        el("li", {}, LIFE.finished(end, latency)),
        el("li", { class: kept ? "kept" : "broken" }, LIFE.verdict(kept, latency, scenario.sla.request_s)),
      ),
    );
  }

  return {
    /** @param {{batches: BatchColumns, requests: RequestColumns, scenario: Scenario}} next */
    update(next) {
      data = next;
      host.replaceChildren(el("p", { class: "help" }, LIFE.help));
    },
    show,
  };
}
