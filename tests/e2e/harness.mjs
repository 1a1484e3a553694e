// What every browser test needs: the built site at an address, one Chromium, and pages that remember
// every complaint the browser made.
//
// `cargo xtask test` serves the site and finds the browser, and says so in the environment. A test file
// started by hand (`node --test tests/e2e/smoke.test.mjs`, after `cargo xtask build`) gets both from here.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";

import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

/** The repository's root folder. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Keeps the browser off the network and out of the way. */
const QUIET = [
  "--headless=new",
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A WebGPU adapter in software, for machines without a GPU. Without these flags there is no adapter. */
const SOFTWARE_GPU = [
  "--enable-unsafe-webgpu",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-webgpu-adapter=swiftshader",
];

/**
 * @typedef {object} Options
 * @property {boolean} [webgpu] give the page a (software) WebGPU adapter; default false
 * @property {boolean} [offline] let the page keep itself for times without a network; default false
 * @property {string[]} [args] further flags of Chromium
 */

/**
 * @typedef {object} OpenedPage
 * @property {import("playwright-core").Page} page
 * @property {string[]} complaints console errors and warnings, uncaught errors, failed requests: as they
 *   come. A test that ends with none left unexplained asserts that this is empty.
 */

/** One browser and one served site, for one test file. Call `close()` in `after`. */
export class Harness {
  /**
   * @param {string} url
   * @param {import("playwright-core").BrowserContext} context
   * @param {Array<() => void | Promise<void>>} closers
   */
  constructor(url, context, closers) {
    /** The site's address, without a slash at its end. */
    this.url = url;
    /** Playwright's context, for what this class has no word for. */
    this.context = context;
    this.closers = closers;
  }

  /**
   * Finds or starts the server, and starts a browser with an empty profile.
   * @param {Options} [options]
   * @returns {Promise<Harness>}
   */
  static async start({ webgpu = false, offline = false, args = [] } = {}) {
    const site = await findSite();
    const profile = mkdtempSync(join(tmpdir(), "batchscope-chromium-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: findChromium(),
      args: [...QUIET, ...(webgpu ? SOFTWARE_GPU : []), ...args],
      viewport: { width: 1280, height: 800 },
      acceptDownloads: true,
      // It would answer before the doubles of the tests do; offline.test.mjs is about it.
      serviceWorkers: offline ? "allow" : "block",
    });
    return new Harness(site.url, context, [
      () => context.close(),
      // Chromium may still be writing its profile when its window is gone.
      () => rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }),
      site.close,
    ]);
  }

  /**
   * Opens a page of the site in a tab of its own.
   * @param {string | null} [path] relative to the site: "", "index.html#…"; `null` opens an empty tab
   * @returns {Promise<OpenedPage>}
   */
  async newPage(path = "") {
    const page = await this.context.newPage();
    /** @type {string[]} */
    const complaints = [];
    page.on("console", (message) => {
      // Ours, not the page's: see `serviceWorkers` above.
      if (message.text().startsWith("Service Worker registration blocked")) return;
      if (["error", "warning"].includes(message.type())) {
        complaints.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
      }
    });
    page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack ?? error.message}`));
    page.on("requestfailed", (request) => {
      complaints.push(`request failed: ${request.url()} (${request.failure()?.errorText})`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
    });
    if (path !== null) await page.goto(`${this.url}/${path}`);
    return { page, complaints };
  }

  /**
   * The accessibility rules (WCAG 2.2 A and AA, and axe's good practice) that the page breaks, one line each.
   * @param {import("playwright-core").Page} page
   * @param {string} [within] a selector, to look at one part only
   * @returns {Promise<string[]>}
   */
  async axe(page, within) {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    // axe's multi-frame mode wants a blank page of its own, which a persistent context cannot give.
    const builder = new AxeBuilder({ page }).withTags(tags).setLegacyMode(true);
    const { violations } = await (within ? builder.include(within) : builder).analyze();
    return violations.map(({ id, impact, help, nodes }) => {
      const places = nodes.map((node) => node.target.join(" ")).join(", ");
      return `${id} (${impact}): ${help}: ${places}`;
    });
  }

  /**
   * Waits until the page has laid itself out anew: after the next frame that begins now, when observers of sizes
   * have been told, and one more for what they asked for.
   * @param {import("playwright-core").Page} page
   */
  async frames(page, count = 3) {
    await page.evaluate(async (wanted) => {
      for (let i = 0; i < wanted; i += 1) await new Promise((resolve) => requestAnimationFrame(resolve));
    }, count);
  }

  /** Ends the browser, removes its profile and ends a server that was started here. */
  async close() {
    for (const close of this.closers) await close();
  }
}

/**
 * The site that `cargo xtask test` serves, or one served from here.
 * @returns {Promise<{ url: string, close: () => void }>}
 */
async function findSite() {
  const given = process.env.BATCHSCOPE_SITE_URL;
  if (given) return { url: given, close: () => {} };
  const server = spawn("cargo", ["xtask", "serve", "--no-build", "--port", "0"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: server.stdout })) {
    const address = /is at (http:\S+)/.exec(line);
    if (address) return { url: /** @type {string} */ (address[1]), close: () => void server.kill() };
  }
  throw new Error("`cargo xtask serve --no-build` ended without naming an address; run `cargo xtask build` first");
}

/** @returns {string} the browser's program */
function findChromium() {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const given = process.env.BATCHSCOPE_CHROMIUM;
  if (given) return given;
  for (const name of names) {
    try {
      return execFileSync("which", [name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      // Not under this name: try the next one.
    }
  }
  throw new Error("no Chromium found; run `cargo xtask setup`, or set BATCHSCOPE_CHROMIUM to its path");
}
