// The panel beside the list: how the last event travelled, and what is known of the visitor.

import { get } from "./api.js";
import { bar, count, h, ms } from "./dom.js";
import { state } from "./state.js";

const step = (title, took, what, ...more) => h("li", {},
  took === null ? null : h("span", { class: "ms" }, took), h("b", {}, title), what ? h("p", { class: "what" }, what) : null, more);

export function journey() {
  const small = window.matchMedia("(max-width: 760px)").matches;
  const title = h("h2", {}, "Click something");
  const body = h("div", {}, h("p", { class: "small soft" },
    "The event goes to the log, into features and candidates, and the next list is made from them. You see each step here."));
  const panel = h("details", { class: "panel journey", open: !small }, h("summary", {}, title), body);
  return {
    panel,
    sent(doing) { title.textContent = `${doing} …`; },
    failed(problem) { title.textContent = "It was not taken"; body.replaceChildren(h("p", { class: "notice" }, problem.message)); },
    arrived({ doing, inside, offset, last, total, moved, changes }) {
      title.textContent = small ? `In the next list after ${ms(inside + last.inside)}` : doing;
      panel.dataset.offset = offset;
      panel.dataset.seen = last.list.offset;
      const chips = [["new", moved.fresh], ["up", moved.up], ["down", moved.down], ["gone", moved.gone], ["as it was", moved.same]]
        .filter(([, n]) => n).map(([name, n]) => h("span", { class: name === "new" ? "chip good" : "chip" }, `${n} ${name}`));
      const features = h("div", {});
      body.replaceChildren(h("ol", { class: "way" }, [
        step("On disk", ms(inside), `offset ${count(offset)} in the log`),
        step("In the next list", ms(inside + last.inside), `made in ${ms(last.inside)} at offset ${count(last.list.offset)}, by ${last.list.served_from.replace("_", " ")}; both took ${ms(total)} as this browser saw it`),
        step("Places that changed", null, null, h("div", { class: "tally" }, chips)),
        changes ? step("Features that changed", null, null, features) : null]));
      if (!changes) return;
      features.replaceChildren(h("p", { class: "what" }, "comparing …"));
      changes.then((found) => {
        const shown = found.slice(0, 7);
        features.replaceChildren(shown.length
          ? h("div", { class: "deltas" }, shown.map((one) => [h("span", { title: `of ${one.items} items` }, one.name), h("span", {}, `${one.from} → ${one.to}`)]))
          : h("p", { class: "what" }, "None of the items in both lists."));
        if (found.length > shown.length) features.append(h("p", { class: "what" }, `and ${found.length - shown.length} more`));
      }).catch((problem) => features.replaceChildren(h("p", { class: "what" }, problem.message)));
    },
  };
}

export function knownOf() {
  const body = h("div", { class: "bars" });
  const panel = h("details", { class: "panel known", open: !window.matchMedia("(max-width: 760px)").matches }, h("summary", {}, h("h2", {}, "Known of this visitor")), body);
  async function refresh() {
    if (!state.visitor.user_id) {
      body.replaceChildren(h("p", { class: "small soft" }, "An anonymous session: its clicks count at once, and no name is kept."));
      return;
    }
    const { value } = await get(`v1/users/${encodeURIComponent(state.visitor.user_id)}`);
    const tastes = (value.preferences?.categories || []).slice(0, 5), top = tastes[0]?.share || 1;
    const views = value.session_context?.page_views_in_session;
    body.replaceChildren(
      ...tastes.map((taste) => bar(taste.name, `${Math.round(taste.share * 100)} %`, taste.share / top)),
      h("p", { class: "small soft" }, `${value.recent_views.length} recent items${views ? `, ${views} views in this session` : ""}`));
  }
  return { panel, refresh: () => refresh().catch(() => body.replaceChildren(h("p", { class: "small soft" }, "Nothing yet."))) };
}
