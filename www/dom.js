// Elements in one call.

/** @typedef {Record<string, string | number | boolean | ((event: any) => void)>} Attributes */

/**
 * An element with attributes, listeners (`onclick` and the like) and children. Nothing is ever
 * parsed as HTML, so text from a file or a link stays text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * The element that index.html has under this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [type]
 * @returns {T}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (element === null || (type !== undefined && !(element instanceof type))) {
    throw new Error(`index.html lacks #${id}`);
  }
  return /** @type {T} */ (element);
}

/** Saves text or a blob as a file. @type {(name: string, content: Blob | string, type?: string) => void} */
export function save(name, content, type = "text/plain") {
  const blob = typeof content === "string" ? new Blob([content], { type }) : content;
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  // The browser has taken its own hold of the blob once the click was handled.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** The style in a folder: what it is of is laid out once that is there. @param {string} name */
export function loadStyle(name) {
  const link = el("link", { rel: "stylesheet", href: new URL(`./${name}/style.css`, import.meta.url).href });
  const there = new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => reject(new Error(link.href)));
  });
  document.head.append(link);
  return there;
}
