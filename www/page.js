// The page: which view is shown, and the trace file that they share.
//
// The address says which view it is: the article (none of the others), the simulator (#v=…), or one of
// the rest. All but the article are loaded when they are opened.

import { articleView } from "./article/view.js";
import { byId, el, loadStyle } from "./dom.js";
import { notices } from "./panels/notices.js";
import { trace } from "./panels/trace.js";
import { defaultState, fileSource, toHash, withPath } from "./state.js";
import { NOTICE, UI } from "./words.js";

/** @import { TraceFile } from "./types.js" */

/** The reader's trace file. @type {TraceFile | null} */
let file = null;

const alerts = notices(byId("notices"));
const tracePanel = trace(byId("trace"), {
  choose: chooseFile,
  refuse: (why) => alerts.show("trace", why === "several" ? NOTICE.tooManyFiles : NOTICE.notAFile),
});

/** @param {TraceFile | null} chosen */
function chooseFile(chosen) {
  alerts.clear("trace");
  file = chosen;
  // Only the view that is shown replays it now; the others find it when they are opened.
  if (view === "lab" || view === "studies") {
    const address = toHash(chosen === null ? defaultState() : withPath(defaultState(), "trace", fileSource(chosen)));
    void (made.simulator?.then((opened) => opened.keep(chosen)) ?? links.simulator.setAttribute("href", address));
    void made[view]?.then((/** @type {{choose: (file: TraceFile | null) => void}} */ opened) => opened.choose(chosen));
    return;
  }
  // The article's figures have their own requests: a file is for the simulator.
  void open("simulator", (opened) => opened.choose(chosen));
}

// ---- Views -------------------------------------------------------------------------------------

/** What makes the views, when they are opened first; each is named as its folder. */
const make = {
  article: async () =>
    articleView(byId("article"), {
      moved: (hash) => {
        links.article.href = hash || "#";
      },
      notice: (text) => (text === "" ? alerts.clear("link") : alerts.show("link", text)),
    }),
  simulator: async () => {
    const { simulatorView } = await import("./simulator/view.js");
    return simulatorView({
      moved: (hash) => {
        links.simulator.href = hash;
      },
      chosen: (chosen) => {
        file = chosen;
      },
      read: (info) => tracePanel.update(info),
      painted(state, results, of) {
        // Whose GPU it is, and its error bar, are that view's to say.
        if (state.gpu !== undefined) made.calibrate ??= make.calibrate();
        void made.calibrate?.then(
          (opened) => opened.painted(state, results, of),
          (failed) => alerts.show("gpu", NOTICE.notLoaded(String(failed))),
        );
      },
    });
  },
  studies: async () => {
    const [{ studiesView }] = await Promise.all([import("./studies/view.js"), loadStyle("studies")]);
    return studiesView(byId("studies"), {
      choose: (files) => tracePanel.take(files),
      moved: (hash) => {
        links.studies.href = hash;
      },
    });
  },
  lab: async () => {
    const [{ labView }] = await Promise.all([import("./lab/view.js"), loadStyle("lab"), loadStyle("search")]);
    return labView(byId("lab"), {
      choose: (files) => tracePanel.take(files),
      generated: () => chooseFile(null),
      moved: (hash) => {
        links.lab.href = hash;
      },
    });
  },
  calibrate: async () => {
    const [{ calibrateView }] = await Promise.all([import("./calibrate/view.js"), loadStyle("calibrate")]);
    return calibrateView(byId("calibrate"), {
      now: async () => ({ state: (await (made.simulator ??= make.simulator())).state(), file }),
      use(latency, gpu) {
        void open("simulator", (opened) => opened.use(latency, gpu));
      },
    });
  },
};
/** @typedef {keyof typeof make} View */
/** Those that were opened. @type {{[K in View]?: ReturnType<(typeof make)[K]>}} */
const made = {};

/** @type {View} */
let view = "article";
const links = {
  article: byId("to-article", HTMLAnchorElement),
  simulator: byId("to-simulator", HTMLAnchorElement),
  lab: byId("to-lab", HTMLAnchorElement),
  studies: byId("to-studies", HTMLAnchorElement),
  calibrate: byId("to-calibrate", HTMLAnchorElement),
};
const title = document.title;

/** Which view the address names. @returns {View} */
function named() {
  const { hash } = location;
  if (/^#lab\b/.test(hash)) return "lab";
  if (/^#calibrate\b/.test(hash)) return "calibrate";
  if (/^#studies$|[#&]study=/.test(hash)) return "studies";
  return /^#(?!a=).*=/.test(hash) ? "simulator" : "article";
}

/** The part of the article that the address names, if it is one. */
function anchor() {
  const { hash } = location;
  return hash.length > 1 && !hash.includes("=") ? document.getElementById(hash.slice(1)) : null;
}

/** @param {View} next */
function showView(next) {
  view = next;
  for (const part of document.querySelectorAll("[data-view]")) part.toggleAttribute("hidden", part.getAttribute("data-view") !== next);
  for (const [name, link] of Object.entries(links)) {
    if (name === next) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = title;
}

/**
 * Opens a view, which shows what the address says, unless it is to do something else.
 * @template {View} V
 * @param {V} name
 * @param {(opened: Awaited<ReturnType<(typeof make)[V]>>) => void} [act]
 */
async function open(name, act) {
  const wasOpen = view === name;
  showView(name);
  try {
    const opened = await (made[name] ??= /** @type {any} */ (make[name]()));
    if (act !== undefined) act(/** @type {any} */ (opened));
    else await opened.show(file);
    if (view !== name) return;
    document.title = opened.title || title;
    if (!wasOpen) opened.focus();
    if (name === "article" && !wasOpen) anchor()?.scrollIntoView();
  } catch (failed) {
    delete made[name];
    const sentence = NOTICE.notLoaded(String(failed));
    // The simulator's parts are the document's own, and wait there for another try.
    if (name === "simulator") byId("finding").textContent = sentence;
    else byId(name).replaceChildren(el("p", { class: "notice", role: "alert" }, sentence));
  }
}

// ---- Surroundings ------------------------------------------------------------------------------

// Also fires for back and forward, since all that differs is the hash.
addEventListener("popstate", () => {
  const part = anchor();
  // A heading or figure of what is shown: the browser goes there by itself.
  if (part === null || part.closest("[data-view]") === part || part.closest("[data-view]")?.getAttribute("data-view") !== view) void open(named());
});

async function showVersion() {
  const response = await fetch(new URL("../build.json", import.meta.url));
  if (!response.ok) return;
  const { version, commit } = await response.json();
  byId("version").textContent = UI.version(version, commit);
}

void open(named());
void showVersion();
// After the first picture: what is kept for the next visit must not hold up this one.
if ("serviceWorker" in navigator && isSecureContext) {
  addEventListener("load", () => void navigator.serviceWorker.register(new URL("../sw.js", import.meta.url)).catch(() => {}));
}
