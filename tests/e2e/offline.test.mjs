// After the first visit the page works without a network.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Harness } from "./harness.mjs";

const WAIT = { timeout: 30_000 };

/** @type {Harness} */
let harness;
before(async () => {
  harness = await Harness.start({ offline: true });
});
after(() => harness?.close());

test("without a network the article computes and the simulator simulates", async () => {
  const { page } = await harness.newPage("");
  await page.locator("#fig-promise .figure-controls").dispatchEvent("pointerover");
  await page.waitForSelector("#fig-promise[data-painted]", WAIT);
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });
  await page.waitForFunction(async () => {
    const cache = await caches.open("batchscope");
    return (await cache.match(new URL("pkg/batchscope_bg.wasm", location.href).href)) !== undefined;
  }, null, WAIT);
  await page.close();

  await harness.context.setOffline(true);
  try {
    const again = await harness.newPage("?embed=promise#a=1&promise.k=2");
    await again.page.waitForSelector("#fig-promise[data-painted]", WAIT);
    assert.match(await again.page.locator("#fig-promise .sentence").innerText(), /With 2 bins/);
    await again.page.close();
    const simulator = await harness.newPage("#v=2&fleet.gpus=5");
    await simulator.page.waitForSelector('#page[data-painted][aria-busy="false"]', WAIT);
    assert.match(await simulator.page.locator("#finding").innerText(), /On 5 GPUs/);
    // What was never loaded says so in a sentence.
    await simulator.page.getByRole("link", { name: "Published studies", exact: true }).click();
    await simulator.page.waitForFunction(() => /could not be loaded/.test(document.querySelector("#studies")?.textContent ?? ""), null, WAIT);
    await simulator.page.close();
  } finally {
    await harness.context.setOffline(false);
  }
});
