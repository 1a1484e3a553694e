// What the page knows of a scenario's shape.

/** @import { Closed, ContinuousServer, Policy, Scenario } from "./types.js" */

/** The settings of closed batches. @param {Scenario} scenario @returns {Closed} */
export function closed({ engine }) {
  if (!("closed" in engine)) throw new Error("a scenario of continuous batching");
  return engine.closed;
}

/** The settings of continuous batching, where it has them. @param {Scenario} scenario @returns {ContinuousServer | undefined} */
export const server = ({ engine }) => ("continuous" in engine ? engine.continuous : undefined);

/** The same in closed batches by another policy. @type {(scenario: Scenario, policy: Policy) => Scenario} */
export const withPolicy = (scenario, policy) => ({ ...scenario, engine: { closed: { ...closed(scenario), policy } } });

/** What a setting is called since version 2. @type {(path: string, engine: "closed" | "continuous") => string} */
export function renamed(path, engine) {
  if (path === "scheduler.full_batch") return "bins.full_batch";
  if (path.startsWith("scheduler.bins.")) return path.slice("scheduler.".length);
  if (path.startsWith("scheduler.")) return `engine.${engine}.${path.slice("scheduler.".length)}`;
  return path.startsWith("latency.") || path.startsWith("memory.") ? `engine.${engine}.${path}` : path;
}
