// A rule tried out: the list without it and with it, side by side; and the rules that are set.

import { call, get } from "./api.js";
import { conditionFields, told, words, written } from "./conditions.js";
import { h, leaf } from "./dom.js";
import { state, visited } from "./state.js";

const ACTIONS = { boost: { factor: 3 }, bury: { factor: 3 }, exclude: {}, pin: { position: 1 }, at_least: { count: 3, first: 10 }, at_most: { count: 1, first: 10 } };
const LEADS = { factor: "by a factor of", position: "at place", first: "of the first" };

function actionFields() {
  const type = h("select", { "aria-label": "Action" }, Object.keys(ACTIONS).map((name) => h("option", { value: name }, words(name))));
  const slot = h("span", { class: "slot" });
  let inputs = {};
  function ask() {
    inputs = Object.fromEntries(Object.entries(ACTIONS[type.value]).map(([name, value]) =>
      [name, h("input", { type: "number", "aria-label": name, value, min: name === "factor" ? 1.01 : 0, step: name === "factor" ? "any" : 1, required: true })]));
    slot.replaceChildren(...Object.entries(inputs).flatMap(([name, input]) => [LEADS[name] || "", input]));
  }
  type.addEventListener("change", ask);
  ask();
  return { parts: [type, slot], read: () => ({ type: type.value, ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, Number(input.value)])) }) };
}

function moved(place) {
  if (place.before === null) return h("span", { class: "move fresh" }, "new");
  const up = place.before - place.rank;
  return up ? h("span", { class: up > 0 ? "move" : "move fell" }, `${up > 0 ? "↑" : "↓"}${Math.abs(up)}`) : null;
}

function column(title, places, mark) {
  return h("section", { "aria-label": title }, h("h3", {}, title), h("ol", { class: "places" }, places.map((place) =>
    h("li", { class: mark(place).class, "data-item": place.item_id }, h("span", { class: "num soft" }, String(place.rank)),
      h("span", { class: "name", title: place.title }, place.title || place.item_id, h("small", { title: place.category }, leaf(place.category)), place.label ? h("span", { class: "label" }, place.label) : null), mark(place).note))));
}

function sideBySide(found, rule) {
  const gone = new Set(found.gone), chips = [[`${found.effects} ${found.effects === 1 ? "effect" : "effects"}`, found.effects > 0], [`${gone.size} gone`, false]];
  return h("section", { class: "trial", "data-effects": found.effects },
    h("div", { class: "tally" }, chips.map(([text, good]) => h("span", { class: good ? "chip good" : "chip" }, text))),
    h("div", { class: "sides" },
      column("Before", found.before, (place) => ({ class: gone.has(place.item_id) ? "gone" : "", note: gone.has(place.item_id) ? h("span", { class: "move fell" }, "gone") : null })),
      column("After", found.after, (place) => ({ class: place.before === null ? "came" : "", note: moved(place) }))),
    h("details", { class: "raw" }, h("summary", {}, "To set it"), h("pre", { tabindex: "0" }, `PUT /v1/rules/my-rule\n${JSON.stringify(rule, null, 1)}`)));
}

function standing({ rule, origin, state: stands, problem }) {
  const { type, ...how } = rule.action;
  return h("li", {}, h("div", {}, h("b", {}, rule.name), h("span", { class: stands === "in_force" ? "chip good" : "chip" }, words(stands)), h("span", { class: "chip" }, origin)),
    h("p", { class: "small" }, `${words(type)} ${Object.entries(how).map(([name, value]) => `${words(name)} ${value}`).join(", ")}`),
    h("p", { class: "small soft" }, [...rule.where, ...(rule.when || []).map((one) => ({ ...one, attribute: `when ${one.attribute}` }))].map((one) => told(written(one))).join(" · ")),
    problem ? h("p", { class: "notice" }, problem) : null);
}

export async function rulesView(main) {
  const { value } = await get("v1/rules"), action = actionFields(), where = conditionFields("rule");
  const out = h("div", { "aria-live": "polite" });
  async function preview(event) {
    event.preventDefault();
    const rule = { action: action.read(), where: [where.read()] };
    const { filter, ...who } = visited();
    const asked = { rule: { name: "tried here", ...rule }, ...who, context: state.surface, page_size: 12, filter };
    try {
      out.replaceChildren(sideBySide((await call("POST", "v1/rules/preview", asked)).value, rule));
    } catch (problem) {
      out.replaceChildren(h("p", { class: "notice" }, problem.message));
    }
  }
  main.replaceChildren(
    h("div", { class: "heading" }, h("h1", {}, "Try a rule"), h("p", {}, "The list of this visitor without it and with it; nothing is set.")),
    h("form", { class: "condition try", onsubmit: preview }, h("div", {}, action.parts), h("div", {}, h("span", { class: "lead" }, "items with"), where.parts), h("button", { class: "button strong" }, "Preview")),
    out,
    h("section", { class: "block" }, h("h2", {}, "Rules that are set"), value.rules.length
      ? h("ul", { class: "standing" }, value.rules.map(standing)) : h("p", { class: "soft" }, "None yet.")));
}
