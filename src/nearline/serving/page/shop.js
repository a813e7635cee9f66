// The shop: a list by surface, and an item's page; each act is an event, and the list that follows shows what it did.

import { doing, send } from "./acts.js";
import { call, get, item, know } from "./api.js";
import { actions, compare, featureChanges, show } from "./cards.js";
import { by, h, ms, picture, say } from "./dom.js";
import { journey, knownOf } from "./journey.js";
import { asked, eventType, list, putInCart, state, trace } from "./state.js";
import { why } from "./why.js";

const HEADINGS = {
  homepage: ["For you", "Click a picture, and watch the list follow."], item: ["On an item's page", "Open an item to see what goes with it."],
  cart: ["With your cart", "What goes with what is in it."], email: ["For an e-mail", "A list that is read later."],
  push: ["For a push", "The few that are worth a message."], search: ["Beside search results", ""],
};

function describe(about, last) {
  const { list: made, inside } = last;
  about.textContent = made.items.length ? `${made.items.length} items in ${ms(inside)}, by ${made.served_from.replace("_", " ")}` : "";
}

// A list on the page that acts change: one on the shop's pages, one on an item's.
async function board(surface, more, panel, known, after) {
  const cards = h("ol", { class: "cards", "aria-label": "Recommendations" }), about = h("p", { class: "num" });
  let last = await list(surface, more), busy = false;
  const before = trace(last);
  before.catch(() => null);

  async function act(name, id) {
    if (busy) return;
    busy = true;
    const place = last.list.items.find((one) => one.item_id === id), what = await doing(name, id);
    panel.sent(what);
    try {
      const earlier = await trace(last).catch(() => null), started = performance.now();
      const { value, inside } = await send(name, id, { page: surface, ...(place ? { position: place.rank, request_id: last.list.request_id } : {}) });
      const next = await list(surface, { ...more });
      const total = performance.now() - started, was = last;
      last = next;
      render();
      const moved = compare(was.list.items, next.list.items);
      const changes = trace(next).then((traced) => featureChanges(earlier?.trace, traced.trace));
      panel.arrived({ doing: what, inside, offset: value.offset, last: next, total, moved, changes });
      say(`${what}. In the next list after ${ms(inside + next.inside)}: ${moved.fresh} new, ${moved.up} up, ${moved.down} down.`);
      known.refresh();
      after?.();
    } catch (problem) {
      panel.failed(problem);
    } finally {
      busy = false;
    }
  }

  function render() {
    describe(about, last);
    show(cards, last.list.items, act, last.asked);
    cards.dataset.request = last.list.request_id;
    if (!last.list.items.length) cards.replaceChildren(h("li", { class: "empty" }, state.filters.length ? "Nothing meets the filters." : "No items yet: register some with POST /v1/items."));
  }
  render();
  return { cards, about, act };
}

function cartOf(refresh) {
  const row = h("div", { class: "basket" });
  async function draw() {
    const chips = await Promise.all(state.cart.map(async (id) => h("span", { class: "chip" }, (await item(id)).title || id,
      h("button", { type: "button", "aria-label": "Take out", onclick: () => { putInCart(id, false); refresh(); } }, "×"))));
    row.replaceChildren(...(chips.length ? chips : [h("p", { class: "soft" }, "The cart is empty: add something with the cart button of a card.")]));
  }
  return { row, draw };
}

// Above the list of someone new: the way to say what he likes; and, once he did, what he said.
function greeting() {
  if (state.liked) {
    const { names, inside } = state.liked;
    return h("p", { class: "told", id: "liked" }, h("b", {}, "Made from what you like: "), names.join(", "), h("span", { class: "soft num" }, ` · taken in ${ms(inside)}`));
  }
  return state.visitor.session_id ? h("p", { class: "told" }, "New here? ", h("a", { href: "#/onboarding" }, "Say what you like"), ", and your first list is yours already.") : null;
}

export async function shopView(main, reload) {
  const panel = journey(), known = knownOf(), surface = state.surface;
  const cart = surface === "cart" ? cartOf(reload) : null;
  const made = await board(surface, {}, panel, known, () => cart?.draw());
  await cart?.draw();
  const [title, hint] = HEADINGS[surface] || [surface, ""];
  made.about.title = hint;
  main.replaceChildren(h("div", { class: "split" },
    h("section", { "aria-label": title }, h("div", { class: "heading" }, h("h1", {}, title), h("p", {}, hint), made.about), greeting(), cart?.row, made.cards),
    h("aside", { class: "side", "aria-label": "What happened" }, panel.panel, known.panel)));
  known.refresh();
}

export async function itemView(main, id) {
  const about = await item(id), panel = journey(), known = knownOf(), seen = eventType("view");
  state.item = id;
  // To open an item's page is to view it.
  if (seen) await call("POST", "v1/events", { ...state.visitor, event_type: seen, item_id: id, context: { page: "item" } });
  const found = (await get(`v1/items/${encodeURIComponent(id)}/similar`, { ...state.visitor, limit: 8, diversity: 0.3 })).value.items;
  const others = await Promise.all(found.map((one) => item(one.item_id)));
  const similar = found.map((one, n) => ({
    item_id: one.item_id, rank: n + 1, rec_source: one.similarity_type, metadata: others[n],
    explanation: { reason: { behaviour: "People went on to it", content: "Much in common", both: "People went on to it, and much in common" }[one.similarity_type] },
  }));
  know(similar);
  const made = await board("item", { item_id: id, page_size: 12 }, panel, known);
  const row = h("ol", { class: "cards" });
  show(row, similar, made.act, null);
  main.replaceChildren(h("div", { class: "split" }, h("div", {},
    h("section", { class: "hero", "aria-label": "The item" }, picture(about), h("div", {},
      h("p", { class: "soft small" }, (about.category || "").replaceAll(">", "›")), h("h1", {}, about.title || id),
      h("p", { class: "soft" }, [about.brand, about.price === undefined ? "" : about.price?.toFixed(2)].filter(Boolean).join(" · ")),
      h("div", { class: "acts" }, actions(id, made.act, true),
        h("button", { type: "button", onclick: () => why(id, asked("homepage")) }, "Why, or why not?")))),
    h("section", { class: "block" }, h("div", { class: "heading" }, h("h2", {}, "Recommended on this page"), made.about), made.cards),
    similar.length ? h("section", { class: "block" }, h("div", { class: "heading" }, h("h2", {}, "Similar items")), row) : null),
  h("aside", { class: "side", "aria-label": "What happened" }, panel.panel, known.panel)));
  known.refresh();
  by("main").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
}
