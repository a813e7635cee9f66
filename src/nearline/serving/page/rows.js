// A page of rows: titled lists one below another, no item in two of them; each is a list of its own in the log.

import { doing, send } from "./acts.js";
import { get, item, know } from "./api.js";
import { compare, show } from "./cards.js";
import { dot, h, ms, say } from "./dom.js";
import { journey, knownOf } from "./journey.js";
import { list, state, visited } from "./state.js";

async function ask(page, about) {
  const { value, inside } = await get(`v1/pages/${page.name}`, {
    ...visited(), item_id: about?.item_id, cart: page.surface === "cart" ? state.cart.join(",") : "",
  });
  for (const row of value.rows) know(row.items);
  return { list: value, inside, places: value.rows.flatMap((row) => row.items).map((one, n) => ({ ...one, rank: n + 1 })) };
}

// The item that an item's page is about: the one that was opened last, or else the first of the visitor's list.
async function subject() {
  const id = state.item || (await list("homepage")).list.items[0]?.item_id;
  return id ? item(id) : null;
}

function choice(page, reload) {
  return h("div", { class: "segments", role: "group", "aria-label": "Page" }, state.application.pages.map(({ name }) =>
    h("button", { type: "button", "aria-pressed": String(name === page.name), onclick: () => { state.page = name; reload(); } }, name)));
}

export async function rowsView(main, reload) {
  const pages = state.application.pages, page = pages.find((one) => one.name === state.page) || pages[0];
  if (!page) {
    main.replaceChildren(h("p", { class: "empty" }, "The application declares no pages."));
    return;
  }
  const about = page.surface === "item" ? await subject() : null, panel = journey(), known = knownOf();
  const rows = h("div", { class: "rows" }), count = h("p", { class: "num" }), lists = new Map();
  let last = await ask(page, about), busy = false;

  async function act(name, id, row) {
    if (busy) return;
    busy = true;
    try {
      const what = await doing(name, id), started = performance.now(), was = last;
      panel.sent(what);
      const place = row.items.find((one) => one.item_id === id);
      const { value, inside } = await send(name, id, { page: page.surface, position: place.rank, request_id: row.request_id });
      last = await ask(page, about);
      const total = performance.now() - started, moved = compare(was.places, last.places);
      render();
      panel.arrived({ doing: what, inside, offset: value.offset, last, total, moved });
      say(`${what}. In the next page after ${ms(inside + last.inside)}.`);
      known.refresh();
    } catch (problem) {
      panel.failed(problem);
    } finally {
      busy = false;
    }
  }

  // A row that was there before keeps its element, so that its cards glide.
  function render() {
    const found = last.list.rows;
    count.textContent = `${found.length} rows in ${ms(last.inside)}, by ${last.list.served_from.replace("_", " ")}`;
    rows.replaceChildren(...found.map((row, n) => {
      const key = `${row.name}-${found.slice(0, n).filter((one) => one.name === row.name).length}`;
      if (!lists.has(key)) lists.set(key, h("ol", { class: "cards strip", tabindex: "0" }));
      const cards = lists.get(key);
      cards.setAttribute("aria-label", row.title);
      cards.dataset.request = row.request_id;
      show(cards, row.items, (name, id) => act(name, id, row), null);
      cards.scrollLeft = 0;
      return h("section", { class: "row", "data-row": row.name },
        h("div", { class: "heading" }, h("h2", {}, row.title), h("p", { class: "small" }, dot(row.name), row.name.replaceAll("_", " "))), cards);
    }));
    if (!found.length) rows.replaceChildren(h("p", { class: "empty" }, state.filters.length ? "Nothing meets the filters." : "Nothing for this page yet."));
  }
  main.replaceChildren(h("div", { class: "split" },
    h("section", { "aria-label": "Rows" },
      h("div", { class: "heading" }, h("h1", {}, "A page of rows"), count), choice(page, reload),
      about ? h("p", { class: "small soft subject" }, "On the page of ", h("a", { href: `#/item/${encodeURIComponent(about.item_id)}` }, about.title || about.item_id)) : null, rows),
    h("aside", { class: "side", "aria-label": "What happened" }, panel.panel, known.panel)));
  render();
  known.refresh();
}
