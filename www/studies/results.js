// What a study left: reports, pictures, tables, and every file to download. Parts that are closed
// are made when they are opened, so that nothing large is laid out unasked.

import { el, save } from "../dom.js";
import { VIEW } from "./words.js";

/** @import { FileErratum, ShownFile } from "../types.js" */

/** Rows of a table that the module hands out beside its file. */
const HEADER = 1;

/**
 * @param {HTMLElement} host
 * @param {(files: ShownFile[]) => Promise<Blob | null>} zip
 */
export function results(host, zip) {
  /** Addresses of the pictures shown. @type {string[]} */
  let addresses = [];
  return {
    clear() {
      for (const address of addresses) URL.revokeObjectURL(address);
      addresses = [];
      host.replaceChildren();
    },
    /** @type {(study: string, files: ShownFile[]) => void} */
    show(study, files) {
      this.clear();
      /** @param {Blob} blob */
      const address = (blob) => {
        const made = URL.createObjectURL(blob);
        addresses.push(made);
        return made;
      };
      const of = (/** @type {ShownFile["kind"]} */ kind) => files.filter((file) => file.kind === kind);
      const pictures = of("figure").filter(({ name }) => name.endsWith(".svg"));
      const rest = files.filter(({ kind }) => kind === "json" || kind === "outcomes");
      host.append(
        el("h2", { id: "study-results", tabindex: -1 }, VIEW.results),
        el("p", { class: "zip" }, zipButton(study, files, zip)),
        ...of("text").map((file, i) => report(file, i === 0)),
        ...part(VIEW.figures, pictures.map((file) => picture(file, files, address))),
        ...part(VIEW.tables, of("table").map(table)),
        ...part(VIEW.otherFiles, rest.length === 0 ? [] : [el("p", { class: "downloads" }, ...rest.flatMap((file) => [download(file), " "]))]),
      );
    },
  };
}

/** @type {(title: string, elements: HTMLElement[]) => HTMLElement[]} */
const part = (title, elements) => (elements.length === 0 ? [] : [el("section", { class: "part", "aria-label": title }, el("h3", {}, title), ...elements)]);

/** @type {(file: ShownFile, label?: string) => HTMLElement} */
function download(file, label = file.name) {
  return el("button", { type: "button", class: "quiet", "aria-label": VIEW.downloadFile(file.name), onclick: () => save(file.name, file.blob) }, label);
}

/** @type {(study: string, files: ShownFile[], zip: (files: ShownFile[]) => Promise<Blob | null>) => HTMLElement} */
function zipButton(study, files, zip) {
  return el(
    "button",
    {
      type: "button",
      onclick: async () => {
        const blob = await zip(files);
        if (blob !== null) save(`${study}.zip`, blob);
      },
    },
    VIEW.downloadAll,
  );
}

/** A link into a document of the repository, as one to its page. @param {string} link */
export const documentPage = (link) => link.replace(/\.md(?=#|$)/, ".html");

/** What is known to be wrong with what was published. @param {FileErratum[]} errata @returns {HTMLElement[]} */
export function errataOf(errata) {
  if (errata.length === 0) return [];
  const items = errata.map((erratum) => el("li", {}, el("a", { href: documentPage(erratum.link) }, VIEW.erratum(erratum))));
  return [el("details", { class: "errata" }, el("summary", {}, VIEW.errata(errata.length)), el("ul", {}, ...items))];
}

/** @type {(file: ShownFile, open: boolean) => HTMLElement} */
function report(file, open) {
  return el(
    "details",
    { class: "report", open },
    el("summary", {}, VIEW.report(file.name)),
    // A reader without a mouse scrolls it by its focus.
    el("pre", { tabindex: 0, role: "region", "aria-label": VIEW.report(file.name) }, file.text),
    el("p", { class: "downloads" }, `${VIEW.download} `, download(file)),
    ...errataOf(file.errata),
  );
}

/** @type {(file: ShownFile, files: ShownFile[], address: (blob: Blob) => string) => HTMLElement} */
function picture(file, files, address) {
  const stem = file.name.replace(/\.svg$/, "");
  const png = files.find(({ name }) => name === `${stem}.png`);
  return el(
    "figure",
    { class: "drawing", "data-file": file.name },
    el("img", { src: address(file.blob), alt: file.caption || file.title, decoding: "async", loading: "lazy" }),
    el(
      "figcaption",
      {},
      el("p", { class: "sentence" }, file.caption),
      el("p", { class: "downloads" }, `${VIEW.download} `, download(file, "SVG"), ...(png === undefined ? [] : [" ", download(png, "PNG")])),
      ...errataOf(file.errata),
    ),
  );
}

/** @param {ShownFile} file */
function table(file) {
  const host = el("details", { class: "sheet-host", "data-file": file.name }, el("summary", {}, VIEW.table(file.name, file.rows)));
  host.addEventListener(
    "toggle",
    () => {
      if (host.childElementCount === 1) host.append(...sheet(file));
    },
  );
  return host;
}

/** @param {ShownFile} file @returns {HTMLElement[]} */
function sheet(file) {
  const [header = [], ...rows] = file.preview;
  const numeric = header.map((_, i) => rows.some((row) => row[i] !== "") && rows.every((row) => row[i] === "" || Number.isFinite(Number(row[i]))));
  const kind = (/** @type {number} */ i) => (numeric[i] ? { class: "number" } : {});
  const shown = file.preview.length - HEADER;
  return [
    el(
      "div",
      { class: "sheet", tabindex: 0, role: "region", "aria-label": file.name },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...header.map((name, i) => el("th", { scope: "col", ...kind(i) }, name)))),
        el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) => el("td", kind(i), cell))))),
      ),
    ),
    el(
      "p",
      { class: "downloads" },
      ...(shown < file.rows ? [VIEW.firstRows(shown, file.rows), " "] : []),
      `${VIEW.download} `,
      download(file, "CSV"),
    ),
    ...errataOf(file.errata),
  ];
}
