// The page's frame: visitor, surface, language, and which view the address names.

import { get } from "./api.js";
import { by, count, h } from "./dom.js";
import { filterBox } from "./filters.js";
import { onboardingView } from "./onboarding.js";
import { rowsView } from "./rows.js";
import { rulesView } from "./rules.js";
import { itemView, shopView } from "./shop.js";
import { newVisitor, speak, state, visit } from "./state.js";
import { pipelineView, releasesView, traceView } from "./views.js";

const LOCALES = { "": "English", de: "Deutsch", fr: "Français", es: "Español" };
const NEW = "\u0000new", OTHER = "\u0000other";
const main = by("main");
const VIEWS = {
  rows: rowsView, rules: rulesView, pipeline: pipelineView, releases: releasesView, trace: traceView,
  onboarding: (frame) => onboardingView(frame, () => { visitors(); location.hash = "#/"; }),
};
let turn = 0;

async function route() {
  const [, view = "", id = ""] = location.hash.split("/"), mine = ++turn;
  for (const link of document.querySelectorAll(".top nav a")) {
    const here = link.getAttribute("href") === (view === "item" ? "#/" : `#/${view}`);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // A view that is late must not replace the one that was asked for since.
  const frame = { replaceChildren: (...parts) => { if (mine === turn) main.replaceChildren(...parts.filter(Boolean)); } };
  try {
    if (VIEWS[view]) await VIEWS[view](frame, route);
    else if (view === "item" && id) await itemView(frame, decodeURIComponent(id));
    else await shopView(frame, route);
    if (mine === turn) main.dataset.view = view || "shop";
  } catch (problem) {
    frame.replaceChildren(h("p", { class: "notice" }, problem.message));
  }
}

function again() {
  if (location.hash.length > 2 && !location.hash.startsWith("#/item")) route();
  else if (location.hash.startsWith("#/item")) location.hash = "#/";
  else route();
}

function visitors() {
  const select = by("visitor"), { user_id, session_id } = state.visitor;
  const users = state.users.map((user) => user.user_id);
  if (user_id && !users.includes(user_id)) users.unshift(user_id);
  select.replaceChildren(
    session_id ? h("option", { value: "" }, "you, a new visitor") : null,
    h("option", { value: NEW }, session_id ? "start anew" : "be a new visitor"),
    h("optgroup", { label: "here lately" }, users.map((id) => h("option", { value: id }, id))),
    h("option", { value: OTHER }, "somebody else …"));
  for (const child of [...select.childNodes]) if (child.nodeType !== 1) child.remove();
  select.value = user_id || "";
}

function choose(value) {
  if (value === NEW) visit(newVisitor());
  else if (value === OTHER) {
    const id = window.prompt("The user's id")?.trim();
    if (id) visit({ user_id: id });
  } else if (value) visit({ user_id: value });
  visitors();
  again();
}

function surfaces() {
  by("surfaces").replaceChildren(...state.application.surfaces.filter((name) => name !== "item").map((name) =>
    h("button", { type: "button", "aria-pressed": String(name === state.surface), onclick: () => {
      state.surface = name;
      state.last = null;
      surfaces();
      again();
    } }, name)));
}

async function begin() {
  try {
    const { value } = await get("v1/application");
    state.application = value;
    by("app-name").textContent = value.name;
    const [{ value: recent }, { value: releases }] = await Promise.all([get("v1/users", { limit: 30 }), get("v1/releases")]);
    state.users = recent.users;
    if (!state.visitor) visit(recent.users.length ? { user_id: recent.users[0].user_id } : newVisitor());
    by("status").textContent = `${count(value.items)} items · ${releases.in_service ? `release ${releases.in_service}` : "no release yet"}`;
    visitors();
    surfaces();
    filterBox(by("filters"), () => { state.last = null; again(); });
    by("visitor").addEventListener("change", (event) => choose(event.target.value));
    by("locale").replaceChildren(...Object.entries(LOCALES).map(([tag, name]) => h("option", { value: tag }, name)));
    by("locale").value = state.locale;
    by("locale").addEventListener("change", (event) => { speak(event.target.value); state.last = null; again(); });
    window.addEventListener("hashchange", route);
    await route();
  } catch (problem) {
    main.replaceChildren(h("p", { class: "notice" }, problem.message));
  }
}

begin();
