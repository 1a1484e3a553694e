// What workers reply, as both sides know it.

/** @import { ErrorReport } from "./types.js" */

/** Why a worker crashed, where it asked for more memory than there is; words.js has the sentence. */
export const OUT_OF_MEMORY = "out of memory";

/** What the core refuses is a plain object with a code; everything else that is thrown is a crash. @type {(thrown: unknown) => thrown is ErrorReport} */
export function isReport(thrown) {
  return typeof thrown === "object" && thrown !== null && "code" in thrown && "row" in thrown;
}
