// Batches on their GPUs over simulated time: a lane for each GPU, a bar for each batch, as high as the
// logarithm of its size. Zoom, pan, play, step; a batch that is pointed at is reported, so that other figures mark it.

import { el } from "../dom.js";
import { count, duration } from "../format.js";
import { TIMELINE } from "./words.js";
import { colour, css } from "../charts/palette.js";

/** @import { BatchColumns, Policy } from "../types.js" */

/** Height of a lane and its gap, px. */
const LANE = 16;
const MOST_LANES = 24;
/** Room for the axis, px. */
const AXIS = 22;
/** Room for the lanes' names, px. */
const NAMES = 52;
/** A play-through of what is shown takes so long, s. */
const PLAY_S = 12;
/** A press of a zoom button. */
const ZOOM = 2;

/**
 * @param {HTMLElement} host
 * @param {{point: (batch: number | null) => void, choose: (batch: number) => void}} on
 */
export function timeline(host, on) {
  /** @type {{policy: Policy, columns: BatchColumns, lanes: Int32Array[], end: number, most: number} | null} */
  let data = null;
  /** What is shown, s. */
  let [from, to] = [0, 1];
  /** The scrubber, s. @type {number | null} */
  let now = null;
  /** @type {number | null} */
  let pointed = null;
  /** The batch that was chosen. @type {number | null} */
  let chosen = null;
  let playing = 0;
  let frame = 0;
  /** What the bars are drawn into, kept from frame to frame. @type {ImageData | null} */
  let image = null;

  const canvas = el("canvas", { class: "timeline-canvas", tabindex: 0, role: "img" });
  const readout = el("p", { class: "readout", "aria-hidden": "true" });
  const live = el("p", { class: "visually-hidden", "aria-live": "polite" });
  /** @type {(text: string, act: () => void) => HTMLElement} */
  const button = (text, act) => el("button", { type: "button", onclick: act }, text);
  const play = button(TIMELINE.play, () => (playing === 0 ? start() : stop()));
  const scrubber = el("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": TIMELINE.scrubber });
  scrubber.addEventListener("input", () => {
    stop();
    now = from + (Number(scrubber.value) / 1000) * (to - from);
    told();
    draw();
  });
  const bar = el(
    "div",
    { class: "timeline-bar" },
    play,
    button(TIMELINE.back, () => step(-1)),
    button(TIMELINE.next, () => step(1)),
    button(TIMELINE.in, () => zoom(1 / ZOOM, 0.5)),
    button(TIMELINE.out, () => zoom(ZOOM, 0.5)),
    button(TIMELINE.all, () => show(0, data?.end ?? 1)),
    scrubber,
  );
  host.append(canvas, readout, live, bar);

  const lanes = () => Math.min(MOST_LANES, data?.lanes.length ?? 1);
  const width = () => Math.max(200, host.clientWidth);

  function resize() {
    const ratio = devicePixelRatio;
    canvas.width = Math.round(width() * ratio);
    canvas.height = Math.round((lanes() * LANE + AXIS) * ratio);
    canvas.style.height = `${lanes() * LANE + AXIS}px`;
    draw();
  }
  new ResizeObserver(resize).observe(host);

  /** Draws with the next frame. */
  function draw() {
    if (frame !== 0) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      paint();
    });
  }

  /** @param {number} s */
  const placeOf = (s) => NAMES + ((s - from) / (to - from)) * (width() - NAMES);
  /** @param {number} x */
  const timeAt = (x) => from + ((x - NAMES) / (width() - NAMES)) * (to - from);

  function paint() {
    const context = canvas.getContext("2d");
    if (context === null || data === null) return;
    const { columns, most, policy } = data;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width(), canvas.height);
    context.font = `11px ${css("--sans")}`;
    context.textBaseline = "middle";
    const [ink, quiet, hairline] = [css("--ink"), css("--quiet"), css("--hairline")];
    bars(context, columns, most, rgba(colour(policy)));
    for (let lane = 0; lane < lanes(); lane += 1) {
      const base = (lane + 1) * LANE - 2;
      context.fillStyle = quiet;
      context.fillText(TIMELINE.gpu(lane), 0, base - LANE / 2 + 2);
      context.fillStyle = hairline;
      context.fillRect(NAMES, base, width() - NAMES, 1);
    }
    for (const [batch, style] of /** @type {const} */ ([[chosen, ink], [pointed, ink]])) {
      if (batch === null) continue;
      const lane = columns.gpu[batch] ?? 0;
      if (lane >= lanes()) continue;
      const [left, right] = [Math.max(NAMES, placeOf(columns.start_s[batch] ?? 0)), Math.min(width(), placeOf(columns.end_s[batch] ?? 0))];
      if (right < NAMES || left > width()) continue;
      context.strokeStyle = style;
      context.lineWidth = batch === chosen ? 2 : 1;
      context.strokeRect(left, lane * LANE + 1, Math.max(2, right - left), LANE - 3);
    }
    if (now !== null && now >= from && now <= to) {
      context.fillStyle = ink;
      context.fillRect(placeOf(now), 0, 1, lanes() * LANE);
    }
    context.fillStyle = quiet;
    const bottom = lanes() * LANE + AXIS / 2;
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      context.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      context.fillText(duration(from + share * (to - from)), NAMES + share * (width() - NAMES), bottom);
    }
    context.textAlign = "left";
  }

  /**
   * All bars that are in view, pixel by pixel: thousands of rectangles a frame are too many for a canvas that
   * a processor paints. Batches under one pixel are one bar, as high as the one that is met there.
   * @type {(context: CanvasRenderingContext2D, columns: BatchColumns, most: number, fill: number) => void}
   */
  function bars(context, columns, most, fill) {
    const ratio = devicePixelRatio;
    const first = Math.round(NAMES * ratio);
    const wide = canvas.width - first;
    const high = Math.round(lanes() * LANE * ratio);
    if (wide <= 0 || high <= 0) return;
    if (image === null || image.width !== wide || image.height !== high) image = context.createImageData(wide, high);
    const pixels = new Uint32Array(image.data.buffer);
    pixels.fill(0);
    const perPixel = (to - from) / wide;
    for (let lane = 0; lane < lanes(); lane += 1) {
      const list = data?.lanes[lane];
      if (list === undefined) continue;
      const base = Math.round(((lane + 1) * LANE - 2) * ratio);
      for (let i = firstEnding(columns, list, from); i < list.length; ) {
        const batch = list[i] ?? 0;
        const begins = columns.start_s[batch] ?? 0;
        if (begins > to) break;
        const ends = columns.end_s[batch] ?? 0;
        const left = Math.max(0, Math.floor((begins - from) / perPixel));
        const right = Math.min(wide, (ends - from) / perPixel);
        // A pixel between two bars that are wide enough to be told apart.
        const until = Math.min(wide, Math.max(left + 1, Math.floor(right) - (right - left > 4 ? 1 : 0)));
        const tall = Math.max(2, Math.round((Math.log2(1 + (columns.size[batch] ?? 0)) / Math.log2(1 + most)) * (LANE - 4) * ratio));
        for (let y = base - tall; y < base; y += 1) pixels.fill(fill, y * wide + left, y * wide + until);
        i = right - left >= 1 ? i + 1 : Math.max(i + 1, firstEnding(columns, list, ends + perPixel));
      }
    }
    context.putImageData(image, first, 0);
  }

  /** @type {(s0: number, s1: number) => void} */
  function show(s0, s1) {
    const end = data?.end ?? 1;
    const length = Math.min(end, Math.max(end * 1e-7, s1 - s0));
    from = Math.min(Math.max(0, s0), end - length);
    to = from + length;
    if (now !== null) scrubber.value = String(Math.round(((now - from) / (to - from)) * 1000));
    draw();
  }

  /** @type {(factor: number, where: number) => void} */
  function zoom(factor, where) {
    const middle = from + where * (to - from);
    show(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  /** @param {number} share of what is shown */
  const pan = (share) => show(from + share * (to - from), to + share * (to - from));

  function start() {
    play.textContent = TIMELINE.pause;
    const begun = performance.now();
    const at = now === null || now >= to ? from : now;
    playing = requestAnimationFrame(function next(time) {
      now = at + ((time - begun) / 1000 / PLAY_S) * (to - from);
      scrubber.value = String(Math.round(((now - from) / (to - from)) * 1000));
      told();
      paint();
      if (now >= to) stop();
      else playing = requestAnimationFrame(next);
    });
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = TIMELINE.play;
  }

  /** To the next start of a batch, or the one before. @param {1 | -1} by */
  function step(by) {
    if (data === null) return;
    stop();
    const starts = data.columns.start_s;
    let i = pointed ?? firstFrom(starts, now ?? from) - (by > 0 ? 1 : 0);
    i = Math.min(starts.length - 1, Math.max(0, i + by));
    now = starts[i] ?? 0;
    if (now < from || now > to) show(now - (to - from) / 2, now + (to - from) / 2);
    scrubber.value = String(Math.round(((now - from) / (to - from)) * 1000));
    pointAt(i, true);
    draw();
  }

  /** What runs at the scrubber. */
  function told() {
    if (data === null || now === null) return;
    const { columns } = data;
    let [busy, inside] = [0, 0];
    for (const list of data.lanes) {
      const batch = list[firstEnding(columns, list, now)];
      if (batch === undefined || (columns.start_s[batch] ?? 0) > now) continue;
      busy += 1;
      inside += columns.size[batch] ?? 0;
    }
    readout.textContent = TIMELINE.at(now, busy, inside);
  }

  /** @type {(batch: number | null, announce?: boolean) => void} */
  function pointAt(batch, announce = false) {
    if (batch === pointed) return;
    pointed = batch;
    on.point(batch);
    if (data !== null && batch !== null) {
      const { columns } = data;
      const text = TIMELINE.batch(batch + 1, columns.gpu[batch] ?? 0, columns.size[batch] ?? 0, columns.start_s[batch] ?? 0, columns.end_s[batch] ?? 0);
      readout.textContent = text;
      if (announce) live.textContent = text;
    }
    draw();
  }

  /** The batch under a point of the canvas. @type {(x: number, y: number) => number | null} */
  function under(x, y) {
    if (data === null) return null;
    const list = data.lanes[Math.floor(y / LANE)];
    if (list === undefined || x < NAMES) return null;
    const s = timeAt(x);
    const batch = list[firstEnding(data.columns, list, s)];
    return batch !== undefined && (data.columns.start_s[batch] ?? Infinity) <= s + ((to - from) / width()) * 2 ? batch : null;
  }

  /** @type {{x: number, from: number, to: number, moved: boolean} | null} */
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, from, to, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag === null) {
      pointAt(under(event.offsetX, event.offsetY));
      return;
    }
    const by = ((drag.x - event.offsetX) / (width() - NAMES)) * (drag.to - drag.from);
    if (Math.abs(event.offsetX - drag.x) > 3) drag.moved = true;
    if (drag.moved) show(drag.from + by, drag.to + by);
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = drag !== null && !drag.moved;
    drag = null;
    const batch = click ? under(event.offsetX, event.offsetY) : null;
    if (batch !== null) choose(batch);
  });
  canvas.addEventListener("pointercancel", () => {
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => pointAt(null));
  canvas.addEventListener(
    "wheel",
    (event) => {
      // Plain wheels scroll the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, Math.max(0, (event.offsetX - NAMES) / (width() - NAMES)));
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      PageUp: () => pan(-0.5),
      PageDown: () => pan(0.5),
      "+": () => zoom(1 / ZOOM, 0.5),
      "-": () => zoom(ZOOM, 0.5),
      Home: () => show(0, data?.end ?? 1),
      " ": () => (playing === 0 ? start() : stop()),
      Enter: () => pointed !== null && choose(pointed),
      Escape: () => pointAt(null),
    };
    const act = keys[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  });

  /** @param {number} batch */
  function choose(batch) {
    chosen = batch;
    on.choose(batch);
    draw();
  }

  return {
    /** @param {Policy} policy @param {BatchColumns} columns */
    update(policy, columns) {
      stop();
      const gpus = columns.gpu.reduce((most, gpu) => Math.max(most, gpu + 1), 1);
      /** @type {number[][]} */
      const lists = Array.from({ length: gpus }, () => []);
      for (let i = 0; i < columns.gpu.length; i += 1) lists[columns.gpu[i] ?? 0]?.push(i);
      const end = columns.end_s.reduce((most, s) => Math.max(most, s), 1e-9);
      const most = columns.size.reduce((a, b) => Math.max(a, b), 1);
      data = { policy, columns, lanes: lists.map((list) => Int32Array.from(list)), end, most };
      [now, pointed, chosen] = [null, null, null];
      canvas.setAttribute("aria-label", TIMELINE.label(count(columns.gpu.length), gpus));
      readout.textContent = gpus > MOST_LANES ? TIMELINE.someLanes(MOST_LANES, gpus) : TIMELINE.help;
      show(0, end);
      resize();
    },
    redraw: draw,
    show,
    pan,
  };
}

/** A colour of the style sheet, "#rrggbb", as a pixel's four bytes. @param {string} hex */
function rgba(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return new Uint32Array(Uint8Array.of(value >> 16, value >> 8, value, 255).buffer)[0] ?? 0;
}

/** Index in a lane of the first batch that ends after `s`: a GPU's batches follow each other. @type {(columns: BatchColumns, list: Int32Array, s: number) => number} */
function firstEnding({ end_s: ends }, list, s) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[list[middle] ?? 0] ?? 0) > s) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Index of the first value that is not below `s`. @type {(values: Float64Array, s: number) => number} */
function firstFrom(values, s) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] ?? 0) >= s) high = middle;
    else low = middle + 1;
  }
  return low;
}
