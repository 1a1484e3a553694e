// The page without a network, after the first visit: what the network gives is kept, and what it does not
// give any more is taken from there. Fresh files always win, so that nobody is stuck with an old version.

/// <reference lib="webworker" />

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = "batchscope";

/** A file's name in the cache: links and embedding differ only behind it. @param {string} url */
function plain(url) {
  const address = new URL(url);
  address.search = "";
  address.hash = "";
  return address.href;
}

worker.addEventListener("install", (event) => event.waitUntil(keepPage()));
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === location.origin) event.respondWith(answer(request));
});

/** Keeps what the page needs before another view is opened; the build has written down what that is. */
async function keepPage() {
  const list = new URL("build.json", worker.registration.scope);
  const response = await fetch(list);
  const { files } = await response.json();
  const cache = await caches.open(CACHE);
  await cache.addAll(["./", "build.json", ...files].map((name) => new URL(name, worker.registration.scope).href));
  await worker.skipWaiting();
}

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await cache.put(plain(request.url), fresh.clone());
    return fresh;
  } catch (offline) {
    const kept = await cache.match(plain(request.url));
    if (kept === undefined) throw offline;
    return kept;
  }
}
