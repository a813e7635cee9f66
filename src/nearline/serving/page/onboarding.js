// A new user says what he likes; his very next list is made from it.

import { call, get } from "./api.js";
import { h, leaf, picture } from "./dom.js";
import { newUser, state, visit } from "./state.js";

function tile(name, about, small, toggle) {
  const made = h("button", { class: "tile", type: "button", "aria-pressed": "false", onclick: () => made.setAttribute("aria-pressed", String(toggle())) },
    picture(about), h("span", { class: "tick", "aria-hidden": "true" }, "✓"), h("span", { class: "name" }, name, small ? h("small", {}, small) : null));
  return made;
}

export async function onboardingView(main, settled) {
  const { value } = await get("v1/onboarding", { n: 12 });
  const chosen = { categories: new Map(), items: new Map() };
  const button = h("button", { class: "button strong", type: "button", disabled: true, onclick: done }, "Choose a few");
  const problem = h("p", { class: "notice", hidden: true });

  const toggle = (kind, id, name) => () => {
    const found = chosen[kind];
    if (!found.delete(id)) found.set(id, name);
    const n = chosen.categories.size + chosen.items.size;
    button.disabled = !n;
    button.textContent = n ? `Show my list, from ${n} choice${n > 1 ? "s" : ""}` : "Choose a few";
    return found.has(id);
  };

  async function done() {
    const user_id = state.visitor.user_id || newUser();
    button.disabled = true;
    try {
      const taken = await call("POST", `v1/users/${encodeURIComponent(user_id)}/interests`, { categories: [...chosen.categories.keys()], items: [...chosen.items.keys()] });
      if (state.visitor.user_id !== user_id) visit({ user_id });
      state.last = null;
      state.liked = { names: [...chosen.categories.values(), ...chosen.items.values()], inside: taken.inside };
      settled();
    } catch (found) {
      problem.hidden = false;
      problem.textContent = found.message;
      button.disabled = false;
    }
  }

  main.replaceChildren(
    h("div", { class: "heading" }, h("h1", {}, "What do you like?"),
      h("p", {}, state.visitor.user_id ? `${state.visitor.user_id} adds to what is known of them.` : "You become a user of your own, and your first list is yours already.")),
    value.categories.length || value.items.length ? null : h("p", { class: "empty" }, "There is nothing to choose yet: register items with POST /v1/items."),
    value.categories.length ? h("section", { class: "block", "aria-label": "Categories" }, h("h2", {}, "Categories"), h("div", { class: "tiles" },
      value.categories.map(({ category, image_url }) => tile(leaf(category), { item_id: category, category, image_url }, category.split(">").slice(0, -1).join("›").trim(), toggle("categories", category, leaf(category)))))) : null,
    value.items.length ? h("section", { class: "block", "aria-label": "Items" }, h("h2", {}, "Items"), h("div", { class: "tiles" },
      value.items.map((one) => tile(one.title || one.item_id, one, leaf(one.category), toggle("items", one.item_id, one.title || one.item_id))))) : null,
    problem, h("div", { class: "bottom" }, button));
}
