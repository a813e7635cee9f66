// A condition on items, as a person puts it together: an attribute, an op and a value, of those that the application has.

import { get } from "./api.js";
import { h } from "./dom.js";
import { state } from "./state.js";

const several = (op) => op === "in" || op === "not_in";
export const words = (name) => name.replaceAll("_", " ");
const HINTS = { id: "an item's id", text: "text", tags: "a tag", category: "choose or write", in: "several, with | between" };
let offered = null;

// What categories and brands there are, as far as onboarding offers them; wide categories beside those below them.
function offers() {
  offered ??= get("v1/onboarding", { n: 60 }).then(({ value }) => {
    const paths = value.categories.flatMap(({ category }) => category.split(" > ").map((_, n, parts) => parts.slice(0, n + 1).join(" > ")));
    return { category: [...new Set(paths)].sort(), brand: [...new Set(value.items.map((one) => one.brand).filter(Boolean))].sort() };
  }).catch(() => ({}));
  return offered;
}

const options = (names, chosen) => names.map((name) => h("option", { value: name, selected: name === chosen }, words(name)));

// Fields for one condition; `read` gives it as the API has it.
export function conditionFields(id, first = "category") {
  const kinds = state.application.attributes;
  const attribute = h("select", { "aria-label": "Attribute" }, options(kinds.map((one) => one.name), first));
  const op = h("select", { "aria-label": "Comparison" }), list = h("datalist", { id: `${id}-values` }), slot = h("span", { class: "slot" });
  let input, kind;

  function ask() {
    const type = kind.kind === "number" || op.value.endsWith("_days") ? "number" : kind.kind === "time" ? "date" : "text";
    input = kind.kind === "flag"
      ? h("select", { "aria-label": "Value" }, options(["true", "false"]))
      : h("input", { type, "aria-label": "Value", required: true, step: "any", autocomplete: "off", list: several(op.value) ? null : list.id,
        placeholder: type === "text" ? HINTS[several(op.value) ? "in" : kind.kind] : type === "number" ? "0" : null });
    slot.replaceChildren(input);
    offers().then((all) => list.replaceChildren(...(all[kind.name] || []).map((value) => h("option", { value }))));
  }
  function compare() {
    kind = kinds.find((one) => one.name === attribute.value);
    op.replaceChildren(...options(kind.ops, kind.name === "category" ? "under" : kind.kind === "number" ? "at_most" : ""));
    ask();
  }
  attribute.addEventListener("change", compare);
  op.addEventListener("change", ask);
  compare();

  function read() {
    const text = input.value.trim();
    if (kind.kind === "flag") return { attribute: kind.name, op: op.value, value: text === "true" };
    if (input.type === "number") return { attribute: kind.name, op: op.value, value: Number(text) };
    if (input.type === "date") return { attribute: kind.name, op: op.value, value: `${text}T00:00:00Z` };
    return { attribute: kind.name, op: op.value, value: several(op.value) ? text.split("|").map((one) => one.trim()).filter(Boolean) : text };
  }
  return { parts: [attribute, op, slot, list], read };
}

export const written = ({ attribute, op, value }) => `${attribute}:${op}:${Array.isArray(value) ? value.join("|") : value}`;

export function told(text) {
  const [attribute, op, ...value] = text.split(":");
  return `${words(attribute)} ${words(op)} ${value.join(":").replaceAll("|", ", ")}`;
}
