// "Why is this here?", and why something else is not: what each stage did with an item.

import { get, item } from "./api.js";
import { bar, by, h, hue, share, short } from "./dom.js";

const WORDS = {
  shown: "In the list", not_retrieved: "Not found", filtered: "Filtered", crowded_out: "Crowded out", not_ranked: "Not ranked",
  outranked: "Outranked", arranged: "Moved by a rule", withdrawn: "Not available", fallback: "Not made in time",
};

export async function why(id, asked) {
  const dialog = by("dialog");
  const { item_id: page, ...rest } = asked;
  let sheet;
  try {
    const { value } = await get("v1/explain", { ...rest, page_item_id: page, item_id: id });
    sheet = answer(value, await item(id).catch(() => ({ item_id: id })));
  } catch (problem) {
    sheet = h("div", { class: "sheet" }, head(id), h("p", { class: "notice" }, problem.message));
  }
  dialog.replaceChildren(sheet);
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
}

const head = (title) => h("header", {}, h("h2", { id: "dialog-title" }, title),
  h("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => by("dialog").close() }, "×"));

function answer(found, about) {
  const best = Math.max(...(found.retrieved_by || []).map((one) => one.share), 0.01);
  const last = found.last_shown;
  return h("div", { class: "sheet", "data-verdict": found.verdict },
    head(about.title || found.item_id),
    h("p", {}, h("span", { class: `verdict ${found.verdict}` }, WORDS[found.verdict] || found.verdict), found.rank ? ` at place ${found.rank}` : ""),
    found.explanation ? h("p", { class: "answer" }, found.explanation.reason) : h("p", { class: "answer" }, found.answer),
    found.needed ? h("p", { class: "soft" }, h("b", {}, "It would take: "), found.needed) : null,
    found.retrieved_by ? h("div", {}, h("h3", {}, "Who found it"), h("div", { class: "bars" }, found.retrieved_by.map((one) =>
      bar(one.source.replace("_", " "), share(one.share), one.share / best, hue(one.source), `rank ${one.rank} of ${one.of}`)))) : null,
    found.changes ? h("div", {}, h("h3", {}, "What moved it"), h("table", {},
      h("tr", {}, ["step", "rank", "was", "score"].map((name) => h("th", { scope: "col" }, name))),
      found.changes.map((one) => h("tr", {}, [one.step.replace("rule:", ""), `${one.rank} of ${one.of}`, one.was_rank ? String(one.was_rank) : "", short(one.score)].map((text) => h("td", {}, text)))))) : null,
    last ? h("p", { class: "small soft" }, `The list ends with ${last.item_id} at place ${last.rank}, score ${short(last.score)}`
      + (last.gap === null ? "." : `: ${short(Math.abs(last.gap))} ${last.gap > 0 ? "above" : "below"} it.`)) : null,
    h("p", { class: "small soft" }, `Release ${found.model_version}, served from ${found.served_from.replace("_", " ")}`
      + (found.missing ? `; late or failed: ${found.missing.join(", ")}` : "")));
}
