// One figure of the article, alive: its controls, the picture that follows them, the cursor, the sentence,
// the numbers and what can be taken away.

import { frame } from "../charts/figure.js";
import { css } from "../charts/palette.js";
import { el, save } from "../dom.js";
import { controls } from "../panels/controls.js";
import { allows, getPath, same, setPath } from "../state.js";
import { areas, draw, standalone, toDom, valueAt } from "./draw.js";
import { OLDER } from "./engine.js";
import { CHOICE, UI, WORDS, controlWords } from "./words.js";

/** @import { Key } from "../charts/palette.js" */
/** @import { Chart, Curve, Slots, Spec, Strips } from "./draw.js" */
/** @import { FigureEngine } from "./engine.js" */
/** @import { Figure, Settings } from "./figures.js" */

/** How long the last picture may stand unmarked while the next is computed, ms. */
const STALE_MS = 150;
/** The widest that a figure is drawn; index.html has it so. */
const WIDEST = 640;

/**
 * @param {HTMLElement} host
 * @param {Figure<any>} figure
 * @param {FigureEngine} engine
 * @param {{changed: (settings: Settings, settled: boolean) => void, link: (settings: Settings) => string, embed: ((settings: Settings) => string) | null, hide?: string[]}} on
 */
export function liveFigure(host, figure, engine, on) {
  const { id } = figure;
  const words = WORDS[id];
  if (words === undefined) throw new Error(`words.js has no words for ${id}`);
  let settings = structuredClone(figure.standard);
  /** What is drawn. @type {{data: any, settings: Settings, spec: Spec} | null} */
  let drawn = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let stale;
  const hide = on.hide ?? [];
  const asker = engine.asker();

  // What the page came with stays until the first picture is there.
  const stills = host.querySelectorAll("svg");
  const said = host.querySelector(".sentence")?.textContent ?? "";
  host.replaceChildren();
  const main = el("div", { class: "figure-main" });
  const { body, setSentence, refresh } = frame(main, words, {
    point,
    read: (position) => (drawn === null ? { where: "", values: [] } : reading(drawn.spec, position)),
    numbers,
    get steps() {
      return drawn === null ? 1 : stepsOf(drawn.spec);
    },
    get along() {
      return drawn?.spec.kind === "strips" ? /** @type {const} */ ("y") : /** @type {const} */ ("x");
    },
  });
  // Its name comes from the title inside, which `frame` gave to its own host.
  host.setAttribute("aria-labelledby", main.getAttribute("aria-labelledby") ?? "");
  main.removeAttribute("aria-labelledby");
  main.classList.remove("figure");
  body.append(...stills);
  setSentence(said);
  const problem = el("p", { class: "problem", role: "alert" });
  const set = el("div", { class: "figure-controls", role: "group", "aria-label": UI.controls(words.title) });
  const panel = controls(
    set,
    figure.controls,
    { groups: { all: "" }, control: Object.fromEntries(figure.controls.map((control) => [control.id, controlWords(id, control.path)])), choice: Object.fromEntries(figure.controls.map((control) => [control.id, CHOICE[control.path] ?? {}])) },
    (path, value, settled) => {
      const next = structuredClone(settings);
      setPath(next, path, value);
      settings = next;
      void update(settled);
    },
    async () => 0,
  );
  const lab = el("a", { href: "#" }, UI.inLab);
  const copied = el("span", { role: "status", class: "quiet-note" });
  /** @type {(text: string, act: () => unknown) => HTMLElement} */
  const button = (text, act) => el("button", { type: "button", class: "quiet", onclick: act }, text);
  const tools = el(
    "p",
    { class: "figure-tools" },
    ...(figure.lab === undefined ? [] : [lab, " "]),
    button(UI.link, () => copy(on.link(settings), copied)),
    " ",
    ...(on.embed === null ? [] : [button(UI.embed, () => copy(on.embed?.(settings) ?? "", copied)), " "]),
    `${UI.download} `,
    ...["SVG", "PNG", "CSV", "JSON"].flatMap((kind) => [button(kind, () => download(kind)), " "]),
    copied,
  );
  main.append(problem, tools);
  if (hide.includes("controls")) set.hidden = true;
  if (hide.includes("tools")) tools.hidden = true;
  if (hide.includes("title")) main.querySelector(".figure-title")?.classList.add("visually-hidden");
  if (hide.includes("sentence")) main.querySelector("figcaption")?.setAttribute("hidden", "");
  host.append(main, set);
  panel.update(settings);
  // The simulator is loaded when the reader points at the figure or tabs to it. Until then the picture in index.html stands,
  // which is that of the standard settings.
  for (const kind of ["pointerover", "focusin"]) host.addEventListener(kind, () => wake(), { once: true });

  const watch = new ResizeObserver(() => redraw());
  watch.observe(body);

  function wake() {
    if (drawn === null && host.getAttribute("aria-busy") !== "true") void update(true);
  }

  /** @param {boolean} settled */
  async function update(settled) {
    panel.update(settings);
    if (figure.lab !== undefined) lab.href = figure.lab(settings);
    on.changed(settings, settled);
    clearTimeout(stale);
    // The picture that the page came with is right for as long as the simulator is loaded.
    if (drawn !== null || !same(settings, figure.standard)) stale = setTimeout(() => host.classList.add("stale"), STALE_MS);
    host.setAttribute("aria-busy", "true");
    const asked = settings;
    try {
      const data = await engine.compute(asker, id, asked);
      if (data === OLDER) return;
      drawn = { data, settings: asked, spec: figure.spec(data, asked) };
      problem.textContent = "";
      setSentence(figure.sentence(data, asked));
      redraw();
    } catch (failed) {
      problem.textContent = UI.failed(failed instanceof Error ? failed.message : String(failed));
    }
    if (asked !== settings) return;
    clearTimeout(stale);
    host.classList.remove("stale");
    host.setAttribute("aria-busy", "false");
    host.dataset["painted"] = String(Number(host.dataset["painted"] ?? 0) + 1);
  }

  let width = 0;
  function redraw() {
    if (drawn === null) return;
    width = Math.min(WIDEST, Math.max(280, body.clientWidth));
    body.replaceChildren(toDom(draw(drawn.spec, width)));
    refresh();
  }

  /** @param {number | null} position */
  function point(position) {
    const cursor = body.querySelector(".cursor");
    if (cursor === null || drawn === null || drawn.spec.kind !== "chart") return;
    cursor.classList.toggle("off", position === null);
    if (position === null) return;
    const [area] = areas(drawn.spec, width).area;
    if (area === undefined) return;
    const x = String(area.left + position * (area.right - area.left));
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
  }

  function numbers() {
    if (drawn === null) return { caption: words?.title ?? "", head: "", policies: [], names: [], rows: [] };
    const table = figure.table(drawn.data, drawn.settings);
    return {
      caption: words?.label ?? "",
      head: table.head,
      policies: [],
      names: table.columns.map(({ name }) => name),
      rows: thinned(table.rows).map(({ label, cells }) => ({ label, cells: cells.map((cell, i) => table.columns[i]?.text(cell) ?? "") })),
    };
  }

  /** @param {string} kind */
  async function download(kind) {
    if (drawn === null) return;
    const name = `batchscope-${id}`;
    const table = figure.table(drawn.data, drawn.settings);
    if (kind === "CSV") {
      const lines = [[table.head, ...table.columns.map((column) => column.name)], ...table.rows.map(({ label, cells }) => [label, ...cells.map(String)])];
      save(`${name}.csv`, `${lines.map((line) => line.map(quoted).join(",")).join("\n")}\n`, "text/csv");
    } else if (kind === "JSON") {
      save(`${name}.json`, `${JSON.stringify({ figure: id, settings: drawn.settings, columns: table.columns.map((column) => column.name), rows: table.rows }, null, 2)}\n`, "application/json");
    } else {
      const svg = standalone(draw(drawn.spec, WIDEST), css);
      if (kind === "SVG") save(`${name}.svg`, svg, "image/svg+xml");
      else save(`${name}.png`, await png(svg));
    }
  }

  return {
    /** Settings from a link; what is not named is at its default. @param {Settings} next */
    show(next) {
      const changed = !same(next, settings);
      settings = next;
      if (figure.lab !== undefined) lab.href = figure.lab(settings);
      if (changed || stills.length === 0) void update(true);
    },
    redraw,
    settings: () => settings,
    stop: () => watch.disconnect(),
  };
}

/** A field of a CSV file. @param {string} text */
const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Rows of a table on the page, at most. */
const ROWS = 24;

/** @template T @param {T[]} rows @returns {T[]} */
const thinned = (rows) => (rows.length <= ROWS ? rows : Array.from({ length: ROWS }, (_, i) => /** @type {T} */ (rows[Math.floor((i * rows.length) / ROWS)])));

/** @type {(text: string, said: HTMLElement) => Promise<void>} */
async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = UI.copied;
  } catch {
    said.textContent = text;
  }
}

/** @param {string} svg @returns {Promise<Blob>} */
async function png(svg) {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const image = new Image();
  await new Promise((resolve, reject) => {
    image.addEventListener("load", resolve);
    image.addEventListener("error", () => reject(new Error("the picture could not be drawn")));
    image.src = url;
  });
  const canvas = el("canvas", { width: image.naturalWidth * 2, height: image.naturalHeight * 2 });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob === null ? reject(new Error("no PNG")) : resolve(blob))));
}

// ---- The cursor --------------------------------------------------------------------------------

/** Positions of the cursor from end to end. @param {Spec} spec */
function stepsOf(spec) {
  switch (spec.kind) {
    case "chart":
      return 40;
    case "strips":
      return Math.max(1, spec.rows.length - 1);
    case "slots":
      return Math.max(1, places(spec).length - 1);
  }
}

/** @type {(spec: Spec, position: number) => {where: string, values: {policy: Key, name: string, text: string}[]}} */
function reading(spec, position) {
  switch (spec.kind) {
    case "chart":
      return ofChart(spec, position);
    case "strips":
      return ofStrips(spec, position);
    case "slots": {
      const all = places(spec);
      return all[Math.round(position * (all.length - 1))] ?? { where: "", values: [] };
    }
  }
}

/** @type {(spec: Chart, position: number) => {where: string, values: {policy: Key, name: string, text: string}[]}} */
function ofChart(spec, position) {
  const x = valueAt(spec.x, position);
  return {
    where: spec.x.text(x),
    values: spec.panels.flatMap(({ curves, y }) =>
      curves.map((curve) => ({
        policy: curve.key,
        name: curve.name,
        text: curve.below === undefined ? written(near(curve, curve.y, x), y.text) : UI.between(written(near(curve, curve.below, x), y.text), written(near(curve, curve.y, x), y.text)),
      })),
    ),
  };
}

/** @type {(value: number, text: (value: number) => string) => string} */
const written = (value, text) => (Number.isFinite(value) ? text(value) : "–");

/** A curve's value at `x`: on a straight line between its points, or the one before. @type {(curve: Curve, ys: number[], x: number) => number} */
function near({ x: xs, look }, ys, x) {
  const after = xs.findIndex((value) => value >= x);
  const last = xs.length - 1;
  if (after < 0) return x <= (xs[last] ?? NaN) * (1 + 1e-9) ? (ys[last] ?? NaN) : NaN;
  if (after === 0) return x >= (xs[0] ?? NaN) * (1 - 1e-9) ? (ys[0] ?? NaN) : NaN;
  const [x0 = NaN, x1 = NaN, y0 = NaN, y1 = NaN] = [xs[after - 1], xs[after], ys[after - 1], ys[after]];
  if (look === "steps") return x === x1 ? y1 : y0;
  if (look === "dots") return x - x0 < x1 - x ? y0 : y1;
  return y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

/** @type {(spec: Strips, position: number) => {where: string, values: {policy: Key, name: string, text: string}[]}} */
function ofStrips({ rows }, position) {
  const row = rows[Math.round(position * (rows.length - 1))];
  return row === undefined ? { where: "", values: [] } : { where: row.name, values: row.marks.map(({ text }) => ({ policy: row.key, name: "", text })) };
}

/** Each member of a single batch, or each of several batches. @param {Slots} spec */
function places({ groups }) {
  const batches = groups.flatMap(({ title, key, batches: members }) => members.map((batch, i) => ({ title, key, batch, i })));
  const [only] = batches;
  if (batches.length === 1 && only !== undefined) {
    const longest = Math.max(...only.batch);
    return only.batch.map((tokens, i) => ({ where: UI.member(i + 1), values: [{ policy: only.key, name: "", text: UI.works(tokens, longest - tokens) }] }));
  }
  return batches.map(({ title, key, batch, i }) => {
    const longest = Math.max(...batch);
    const waste = 1 - batch.reduce((a, b) => a + b, 0) / (longest * batch.length);
    return { where: UI.batchOf(title, i + 1), values: [{ policy: key, name: "", text: UI.padded(longest, waste) }] };
  });
}

// ---- Links -------------------------------------------------------------------------------------

/** The pairs of a link that differ from the default. @type {(figure: Figure<any>, settings: Settings) => string[]} */
export function pairs({ id, controls: list, standard }, settings) {
  return list.filter(({ path }) => !same(getPath(settings, path), getPath(standard, path))).map(({ path }) => `${id}.${path}=${encodeURIComponent(String(getPath(settings, path)))}`);
}

/** A control's value from a link's text; undefined where it is none. @type {(figure: Figure<any>, path: string, text: string) => unknown} */
export function valueFrom({ controls: list }, path, text) {
  const control = list.find((one) => one.path === path);
  if (control?.kind === "choice") return Object.hasOwn(control.options, text) ? text : undefined;
  if (control?.kind !== "number") return undefined;
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) && allows(control, value) ? value : undefined;
}
