// Where the native program is.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** @returns {string} the native program */
export function program() {
  const given = process.env["BATCHSCOPE_CLI"];
  const built = ["target/release/batchscope", "target/debug/batchscope"].map((path) => join(ROOT, path));
  const found = [given, ...built].find((path) => path !== undefined && path !== "" && existsSync(path));
  if (found === undefined) throw new Error("no native batchscope; run `cargo build --release`");
  return found;
}
