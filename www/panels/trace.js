// The trace: chosen by button or dropped anywhere; it never leaves the reader's machine.

import { el } from "../dom.js";
import { UI, traceSentence } from "../words.js";

/** @import { TraceFile, TraceInfo } from "../types.js" */

/**
 * @param {HTMLElement} host
 * @param {{choose: (file: TraceFile | null) => void, refuse: (why: "several" | "none") => void}} on
 */
export function trace(host, on) {
  let serial = 0;
  const input = el("input", {
    type: "file",
    id: "trace-file",
    class: "visually-hidden",
    accept: ".csv,.jsonl,.ndjson,.gz,.txt,text/csv,application/gzip",
  });
  const read = el("p", { class: "trace-read", id: "trace-read" });
  const back = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => on.choose(null) }, UI.useGenerated);
  const veil = el("p", { class: "veil", hidden: true }, UI.dropNow);
  host.append(
    read,
    el(
      "p",
      { class: "trace-choose" },
      input,
      el("label", { for: "trace-file", class: "button" }, UI.chooseTrace),
      " ",
      el("span", { class: "help" }, UI.dropHere),
      " ",
      back,
    ),
    el("p", { class: "help" }, UI.formats),
  );
  document.body.append(veil);

  /** @param {FileList | null | undefined} files */
  function take(files) {
    const file = files?.[0];
    if (file === undefined) {
      on.refuse("none");
      return;
    }
    if ((files?.length ?? 0) > 1) on.refuse("several");
    serial += 1;
    on.choose({ id: serial, name: file.name, blob: file });
  }

  input.addEventListener("change", () => {
    if (input.files !== null && input.files.length > 0) take(input.files);
    // Choosing the same file again, perhaps mended, must count as a choice.
    input.value = "";
  });

  /** @param {DragEvent} event */
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") === true;
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer?.files);
  });

  return {
    take,
    /** @param {TraceInfo} info */
    update(info) {
      read.textContent = traceSentence(info);
      back.hidden = info.report.format === "synthetic";
    },
  };
}
