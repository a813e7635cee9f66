// Cards of a list, and how they move from one list to the next.

import { dot, h, icon, leaf, picture, short } from "./dom.js";
import { eventType } from "./state.js";
import { why } from "./why.js";

export const ACTS = { click: "Click", like: "Like", cart: "Add to cart", buy: "Buy", dismiss: "Not for me" };
const SLOW = 620;
const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const money = (price) => (price === undefined || price === null ? "" : price.toFixed(2));

export function actions(id, act, wide) {
  const names = Object.keys(ACTS).filter((name) => (name !== "click" || wide) && eventType(name));
  return names.map((name) => h("button", { class: name, type: "button", title: ACTS[name], "aria-label": ACTS[name], "data-act": name, onclick: () => act(name, id) },
    icon(name), wide ? ACTS[name] : null));
}

function card(place, act, asked) {
  const about = { item_id: place.item_id, ...place.metadata }, title = about.title || place.item_id;
  const explanation = place.explanation || {};
  return h("li", { class: "card", "data-item": place.item_id },
    h("button", { class: "pick", type: "button", "data-act": "click", title: `Click ${title}`, onclick: () => act("click", place.item_id) },
      picture(about), place.rec_source ? h("span", { class: "badge" }, dot(place.rec_source), place.rec_source.replaceAll("_", " ")) : null,
      h("span", { class: "hidden" }, `Click ${title}`)),
    h("span", { class: "rank" }, String(place.rank)),
    h("div", { class: "about" },
      h("p", { class: "title" }, h("a", { href: `#/item/${encodeURIComponent(place.item_id)}`, title: "Open its page" }, title)),
      h("p", { class: "kind" }, h("span", { title: about.category }, leaf(about.category)), h("span", { class: "price" }, money(about.price))),
      place.label ? h("p", { class: "label" }, place.label) : null),
    explanation.reason ? h("p", { class: "reason" }, explanation.reason) : null,
    h("div", { class: "acts" }, actions(place.item_id, act),
      asked ? h("button", { type: "button", class: "ask-why", title: "Why is this here?", "aria-label": `Why is ${title} here?`, onclick: () => why(place.item_id, asked) }, icon("why"))
        : h("a", { href: `#/item/${encodeURIComponent(place.item_id)}`, title: "Open its page", "aria-label": `Open ${title}` }, icon("open"))));
}

// Cards of items that were there before glide from where they were; new ones rise into view.
export function show(element, places, act, asked) {
  const before = new Map([...element.children].map((child) => [child.dataset.item, { box: child.getBoundingClientRect(), rank: Number(child.dataset.rank) }]));
  const cards = places.map((place) => {
    const made = card(place, act, asked), was = before.get(place.item_id);
    made.dataset.rank = place.rank;
    if (before.size && !was) {
      made.classList.add("new");
      made.append(h("span", { class: "moved fresh" }, "new"));
    } else if (was && was.rank !== place.rank) {
      const up = was.rank - place.rank;
      made.append(h("span", { class: up > 0 ? "moved" : "moved fell" }, `${up > 0 ? "↑" : "↓"}${Math.abs(up)}`));
    }
    return made;
  });
  element.replaceChildren(...cards);
  if (!before.size || still.matches) return;
  for (const made of cards) {
    const was = before.get(made.dataset.item), now = made.getBoundingClientRect();
    const easing = "cubic-bezier(.2, .8, .2, 1)";
    if (!was) made.animate([{ opacity: 0, transform: "translateY(28px) scale(.94)" }, { opacity: 1, transform: "none" }], { duration: SLOW, easing });
    else {
      const [x, y] = [was.box.left - now.left, was.box.top - now.top];
      if (x || y) made.animate([{ transform: `translate(${x}px, ${y}px)`, zIndex: 2 }, { transform: "none", zIndex: 2 }], { duration: SLOW, easing });
    }
  }
}

export function compare(before, after) {
  const was = new Map(before.map((place) => [place.item_id, place.rank]));
  const out = { fresh: 0, up: 0, down: 0, same: 0, gone: before.filter((place) => !after.some((one) => one.item_id === place.item_id)).length };
  for (const place of after) {
    const rank = was.get(place.item_id);
    out[rank === undefined ? "fresh" : rank > place.rank ? "up" : rank < place.rank ? "down" : "same"] += 1;
  }
  return out;
}

// Features whose values differ between two traces, over the items that are in both lists; those of most items first.
export function featureChanges(before, after) {
  const found = new Map();
  for (const [id, values] of Object.entries(after?.features || {})) {
    const was = before?.features?.[id];
    if (!was) continue;
    for (const name of new Set([...Object.keys(values), ...Object.keys(was)])) {
      if (was[name] === values[name] || /hours|minutes|idle|since/.test(name)) continue;
      const one = found.get(name) || { name, items: 0, from: short(was[name]) || "–", to: short(values[name]) || "–" };
      one.items += 1;
      if (one.from !== one.to) found.set(name, one);
    }
  }
  return [...found.values()].sort((a, b) => (a.from === "–") - (b.from === "–") || b.items - a.items);
}
