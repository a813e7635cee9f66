// What runs: the pipeline with its counts and times, the releases, the trace of the last request.

import { get } from "./api.js";
import { bar, count, dot, h, hue, leaf, ms, share, short, when } from "./dom.js";
import { asked, list, state, trace } from "./state.js";
import { why } from "./why.js";

const heading = (title, ...about) => h("div", { class: "heading" }, h("h1", {}, title), about.map((text) => h("p", {}, text)));
const after = (name) => name.slice(name.indexOf(":") + 1).replaceAll("_", " ");
const fine = (n) => (n < 1 ? `${Math.round(n * 1000)} µs` : ms(n));

async function traced() {
  const last = state.last ?? await list(state.surface, {});
  return { last, whole: await trace(last) };
}

function stage(title, took, ...body) {
  return h("section", { class: "stage", "aria-label": title },
    h("header", {}, h("h2", {}, title), h("span", { class: "ms" }, took === undefined ? "" : ms(took))), body);
}

function steps(found, most) {
  const top = Math.max(...found.map((one) => one.milliseconds), 0.001);
  const shown = [...found].sort((a, b) => b.milliseconds - a.milliseconds).slice(0, most);
  return h("div", { class: "bars" }, shown.map((one) => bar(after(one.step), fine(one.milliseconds), one.milliseconds / top, 222)),
    found.length > most ? h("p", { class: "small soft" }, `and ${found.length - most} more`) : null);
}

export async function pipelineView(main, reload) {
  state.last = null;
  const { last, whole } = await traced();
  const found = whole.trace, at = found.milliseconds || {}, of = (prefix) => (found.steps || []).filter((one) => one.step.startsWith(prefix));
  const total = Object.values(at).reduce((sum, one) => sum + one, 0), most = Math.max(...Object.values(found.sources || {}), 1);
  const merged = of("merge")[0]?.left ?? 0, columns = Object.keys(Object.values(found.features || {})[0] || {}).length;
  const sourceTime = Object.fromEntries(of("source:").map((one) => [one.step.slice(7), one.milliseconds]));
  const sum = Object.values(found.sources || {}).reduce((all, one) => all + one, 0);
  const names = Object.keys(at), tone = (n) => 174 + n * 34;
  main.replaceChildren(
    heading("One request, from inside", `${whole.items.length} items in ${ms(total)} on the server, ${whole.served_from.replace("_", " ")}, release ${whole.model_version}`,
      h("button", { class: "button", type: "button", onclick: reload }, "Ask again")),
    h("div", { class: "timeline", role: "img", "aria-label": names.map((name) => `${name} ${ms(at[name])}`).join(", ") },
      names.map((name, n) => h("i", { "--share": Math.max(at[name], total / 200), "--hue": tone(n), title: `${name} ${ms(at[name])}` }))),
    h("div", { class: "key" }, names.map((name, n) => h("span", {}, h("i", { class: "dot", "--hue": tone(n) }), `${name} ${fine(at[name])}`))),
    h("div", { class: "flow" },
      stage("Sources", at.candidates, h("p", { class: "big" }, count(sum)), h("p", { class: "small soft" }, "found, by source"),
        h("div", { class: "bars" }, Object.entries(found.sources || {}).sort((a, b) => b[1] - a[1])
          .map(([name, n]) => bar(name.replace("_", " "), String(n), n / most, hue(name), sourceTime[name] === undefined ? "" : fine(sourceTime[name]))))),
      stage("Merge", at.merge, h("p", { class: "big" }, count(merged)), h("p", { class: "small soft" }, "different items")),
      stage("Filters", undefined, h("p", { class: "big" }, count(found.candidates)), h("p", { class: "small soft" }, "left"),
        h("div", { class: "bars" }, Object.entries(found.filters || {}).map(([name, gone]) =>
          bar(name.replace("_", " "), gone.length ? `−${gone.length}` : "0", gone.length / Math.max(merged, 1) * 10, 0)))),
      stage("Features", at.features, h("p", { class: "big" }, count(columns)), h("p", { class: "small soft" }, "for each candidate"), steps(of("feature:"), 6)),
      stage("Ranking", at.ranking, h("p", { class: "big" }, count(found.candidates)), h("p", { class: "small soft" }, `scored by ${whole.served_from.replace("_", " ")}`)),
      stage("Rules", at.rules, h("p", { class: "big" }, count(whole.items.length)), h("p", { class: "small soft" }, "in the list"), steps(of("rule:"), 6))),
    whole.missing ? h("p", { class: "notice" }, `Late or failed: ${whole.missing.join(", ")}`) : null,
    h("p", { class: "small soft note" }, `A traced twin of the request ${last.list.request_id}; it leaves no impression.`));
}

function metric(name, ours, popular) {
  return h("div", { class: "metric" }, h("h3", {}, name), h("p", { class: "big" }, ours === undefined ? "–" : ours.toFixed(3)),
    popular === undefined ? null : h("p", { class: "small soft" }, `popularity ${popular.toFixed(3)}`));
}

export async function releasesView(main) {
  const { value } = await get("v1/releases");
  const cards = value.releases.map((one) => {
    const ours = one.metrics.release || {}, popular = one.metrics.popularity || {};
    return h("article", { class: "release" },
      h("header", {}, h("h2", {}, one.version), one.version === value.in_service ? h("span", { class: "chip good" }, "in service") : null,
        h("p", { class: "soft small" }, `${when(one.created_at)} · ${count(one.events)} events of ${count(one.items)} items · taught by ${one.examples}`)),
      h("div", { class: "metrics" }, ["ndcg@10", "recall@10", "coverage"].map((name) => metric(name, ours[name], popular[name]))),
      h("div", { class: "gates" }, h("h3", {}, "Gates"), one.gates.map((gate) => h("div", {},
        h("span", { class: gate.passed ? "pass" : "fail", role: "img", "aria-label": gate.passed ? "passed" : "refused" }, gate.passed ? "✓" : "✕"), h("span", {}, gate.name), h("span", {}, gate.reason)))));
  });
  main.replaceChildren(heading("Releases", "Each is judged before it serves."),
    h("div", { class: "releases" }, cards.length ? cards : h("p", { class: "empty" }, "None yet: `nearline train` makes the first; until then the streamed sources serve.")));
}

export async function traceView(main) {
  const { last, whole } = await traced();
  const input = h("input", { type: "text", placeholder: "an item's id", "aria-label": "Item id", required: true });
  main.replaceChildren(
    heading("The last request", `${last.list.request_id}, offset ${count(last.list.offset)}, ${ms(last.inside)} in the server, ${ms(last.took)} in this browser`),
    h("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); why(input.value.trim(), last.asked ?? asked(state.surface)); } },
      input, h("button", { class: "button" }, "Why is it not in the list?")),
    h("div", { class: "scroll" }, h("table", {},
      h("tr", {}, ["", "item", "score", "found by", "shares of the find", "reason"].map((name) => h("th", { scope: "col" }, name))),
      whole.items.map((one) => h("tr", {}, h("td", {}, String(one.rank)),
        h("td", {}, h("a", { href: `#/item/${encodeURIComponent(one.item_id)}` }, one.metadata.title || one.item_id), h("span", { class: "soft" }, ` ${leaf(one.metadata.category)}`)),
        h("td", {}, short(one.score)), h("td", {}, dot(one.rec_source), one.rec_source.replace("_", " ")),
        h("td", {}, Object.entries(one.explanation.retrieval_shares || {}).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, part]) => `${name.replace("_", " ")} ${share(part)}`).join(", ")),
        h("td", { class: "wrap" }, one.explanation.reason))))),
    h("details", { class: "raw" }, h("summary", {}, "The whole answer, as JSON"), h("pre", { tabindex: "0" }, JSON.stringify(whole, null, 1))));
}
