// A search among settings: hides those whose name and sentence do not have what is looked for.

import { el } from "../dom.js";
import { UI } from "../words.js";

/**
 * @param {string} id
 * @param {HTMLElement} host of the controls, in groups
 */
export function finder(id, host) {
  const input = el("input", { type: "search", id, autocomplete: "off", "aria-describedby": `${id}-help` });
  const said = el("p", { class: "help", id: `${id}-help`, role: "status" });
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    let found = 0;
    for (const control of host.querySelectorAll(".control")) {
      const text = (control.textContent ?? "").toLowerCase();
      const fits = words.every((word) => text.includes(word));
      control.classList.toggle("unfound", !fits);
      if (fits && !(control instanceof HTMLElement && control.hidden)) found += 1;
    }
    for (const group of host.querySelectorAll("fieldset")) {
      group.classList.toggle("unfound", group.querySelector(".control:not(.unfound):not([hidden])") === null);
    }
    said.textContent = found === 0 ? UI.nothingFound : "";
  });
  return el("div", { class: "control wide" }, el("label", { for: id }, UI.search), input, said);
}
