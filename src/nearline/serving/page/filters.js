// The filters that every list of the page is under: chips, and a form to add one.

import { conditionFields, told, written } from "./conditions.js";
import { h } from "./dom.js";
import { state } from "./state.js";

export function filterBox(box, changed) {
  const button = h("button", { class: "button", type: "button", "aria-expanded": "false", "aria-controls": "add-filter", onclick: () => open(form.hidden) }, "Filter");
  const form = h("form", { class: "condition", id: "add-filter", hidden: true, onsubmit: add });
  const chips = h("div", { class: "chips", role: "list", "aria-label": "Filters in force" });
  let fields;

  function open(yes) {
    form.hidden = !yes;
    button.setAttribute("aria-expanded", String(yes));
    if (!yes) return;
    fields = conditionFields("filter");
    form.replaceChildren(...fields.parts, h("button", { class: "button strong" }, "Add"));
    form.querySelector("select").focus();
  }
  function add(event) {
    event.preventDefault();
    const text = written(fields.read());
    if (!state.filters.includes(text)) state.filters.push(text);
    open(false);
    draw();
    changed();
  }
  function draw() {
    chips.replaceChildren(...state.filters.map((text) => h("span", { class: "chip good", role: "listitem" }, told(text),
      h("button", { type: "button", "aria-label": `Take out ${told(text)}`, onclick: () => {
        state.filters = state.filters.filter((one) => one !== text);
        draw();
        changed();
      } }, "×"))));
  }
  box.replaceChildren(button, chips, form);
}
