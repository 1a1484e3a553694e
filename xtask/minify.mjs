// Takes comments and spaces out of the page's modules and styles in the folder that is named; each
// stays a file of its own, and names stay, so that an error a reader reports can be understood; with
// --short-names those inside a module do not, for generated code.
// Through esbuild's API, because its executable is found differently on every system.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildSync } from "esbuild";

const [folder, flag] = process.argv.slice(2);
if (folder === undefined || (flag !== undefined && flag !== "--short-names")) throw new Error("usage: node minify.mjs FOLDER [--short-names]");
const entryPoints = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(js|css)$/.test(name))
  .sort()
  .map((name) => join(folder, name));
buildSync({
  entryPoints,
  outdir: folder,
  outbase: folder,
  allowOverwrite: true,
  minifyWhitespace: true,
  minifyIdentifiers: flag === "--short-names",
  minifySyntax: true,
  charset: "utf8",
  logLevel: "warning",
});
