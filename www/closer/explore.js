// Looking closer at the simulator's last run: the batches on their GPUs with the requests in them, and
// the map of GPUs against bins, the search for a fleet, the exercises. All are worked out when they are
// opened or asked for.

import { byId, el } from "../dom.js";
import { withPolicy } from "../scenario.js";
import { searchPanel } from "../search/panel.js";
import { POLICY } from "../words.js";
import { challenges } from "./challenge.js";
import { life } from "./life.js";
import { map } from "./map.js";
import { timeline } from "./timeline.js";
import { TIMELINE } from "./words.js";

/** @import { BatchColumns, Policy, RequestColumns, RunResult, Scenario, TraceFile } from "../types.js" */
/** @import { Challenge } from "./challenges.js" */

/** What a batch is marked by in the other figures: when it ran, and how long its requests took. @typedef {{span_s: [number, number], latency_s: [number, number]}} Marked */

/**
 * @param {object} on
 * @param {(policy: Policy) => Promise<{batches: BatchColumns, requests: RequestColumns} | null>} on.ask
 * @param {(gpus: number, bins: number) => void} on.set
 * @param {(marked: Marked | null) => void} on.mark
 * @param {(challenge: Challenge) => void} on.begin
 */
export function explore(on) {
  /** @type {{results: RunResult[], scenario: Scenario, file: TraceFile | null} | null} */
  let now = null;
  /** @type {{batches: BatchColumns, requests: RequestColumns} | null} */
  let columns = null;
  let asked = 0;

  const select = el("select", { "aria-label": TIMELINE.scheduler });
  select.addEventListener("change", () => void load());
  const drawn = el("div", { class: "timeline" });
  const story = el("div", { class: "life" });
  const lanes = timeline(drawn, { point: (batch) => on.mark(batch === null || columns === null ? null : marked(columns, batch)), choose: (batch) => told.show(batch) });
  const told = life(story);
  /** Fills one of the parts that index.html has. @type {(id: string, ...inside: HTMLElement[]) => HTMLDetailsElement} */
  const part = (id, ...inside) => {
    const details = byId(id, HTMLDetailsElement);
    details.append(...inside);
    return details;
  };
  const batches = part("timeline", select, drawn, story);
  batches.addEventListener("toggle", () => void load());
  const mapHost = el("div", {});
  const cells = map(mapHost, on.set);
  const tasks = el("div", {});
  const exercises = challenges(tasks, on.begin);
  const field = part("map", mapHost);
  /** Only what is open is about to be asked for. */
  const ready = () => {
    if (field.open) cells.warm();
  };
  field.addEventListener("toggle", ready);
  ready();
  const sizing = el("div", {});
  const search = searchPanel(sizing, "sizing");
  part("sizing", sizing);
  part("challenges", tasks);

  async function load() {
    if (now === null || !batches.open) return;
    const shown = now.results.map(({ policy }) => policy);
    const policy = shown.find((one) => one === select.value) ?? shown.at(-1);
    if (policy === undefined) return;
    asked += 1;
    const mine = asked;
    const { scenario } = now;
    const found = await on.ask(policy);
    if (found === null || mine !== asked) return;
    columns = found;
    on.mark(null);
    lanes.update(policy, found.batches);
    told.update({ ...found, scenario });
    batches.dataset["loaded"] = String(mine);
  }

  return {
    /** After each picture. @param {{results: RunResult[], scenario: Scenario, file: TraceFile | null}} next */
    update(next) {
      now = next;
      const chosen = select.value;
      select.replaceChildren(...next.results.map(({ policy }) => el("option", { value: policy }, POLICY[policy].name)));
      const last = next.results.at(-1)?.policy ?? "";
      select.value = next.results.some(({ policy }) => policy === chosen) ? chosen : last;
      cells.update(next);
      exercises.update(next.results);
      const { scenario } = next;
      search.update({
        candidates: next.results.map(({ policy }) => ({ key: policy, name: POLICY[policy].name, job: { key: policy, scenario: withPolicy(scenario, policy), on: null, error: null } })),
        file: next.file,
        rate: next.results[0]?.summary.workload.offered_requests_per_s ?? null,
      });
      void load();
    },
    redraw: lanes.redraw,
  };
}

/** @type {(columns: {batches: BatchColumns, requests: RequestColumns}, batch: number) => Marked} */
function marked({ batches, requests }, batch) {
  const first = batches.first[batch] ?? 0;
  const size = batches.size[batch] ?? 0;
  const end = batches.end_s[batch] ?? 0;
  let [low, high] = [Infinity, 0];
  for (let i = first; i < first + size; i += 1) {
    const latency = end - (requests.arrival_s[i] ?? 0);
    low = Math.min(low, latency);
    high = Math.max(high, latency);
  }
  return { span_s: [batches.start_s[batch] ?? 0, end], latency_s: [low, high] };
}
