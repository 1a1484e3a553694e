// How long a page's main thread stood still, as its reader sees it: gaps between animation frames.

/** @import { Page } from "playwright-core" */

/** Begins to watch. @param {Page} page */
export async function watchFrames(page) {
  await page.evaluate(() => {
    const frames = { last: performance.now(), longest: 0, count: 0, on: true };
    Object.assign(window, { frames });
    const tick = () => {
      const now = performance.now();
      frames.longest = Math.max(frames.longest, now - frames.last);
      frames.last = now;
      frames.count += 1;
      if (frames.on) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
}

/** The longest gap since then, ms, and the frames that were drawn. @param {Page} page */
export async function longestGap(page) {
  return page.evaluate(() => {
    const { frames } = /** @type {{frames: {last: number, longest: number, count: number, on: boolean}}} */ (/** @type {unknown} */ (window));
    frames.on = false;
    // A gap that has not ended yet is one too.
    return { longest: Math.max(frames.longest, performance.now() - frames.last), count: frames.count };
  });
}
