// Who visits, where, and in which language; what the last list was. The visitor is kept in this browser.

import { get, know } from "./api.js";

const stored = (name, otherwise) => {
  try { return JSON.parse(localStorage.getItem(`nearline-${name}`)) ?? otherwise; } catch { return otherwise; }
};
const store = (name, value) => localStorage.setItem(`nearline-${name}`, JSON.stringify(value));

export const state = {
  application: null,
  users: [],
  visitor: stored("visitor", null), // { user_id } or { session_id }
  surface: "homepage",
  locale: stored("locale", ""),
  cart: stored("cart", []),
  filters: [], // attribute:op:value
  page: "home", // of rows
  item: "", // whose page was opened last
  liked: null, // what a new user has just said
  last: null, // { list, took, trace, asked }
};

export const newVisitor = () => ({ session_id: `visit-${crypto.getRandomValues(new Uint32Array(2)).join("-")}` });

export const newUser = () => `guest-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

export function visit(visitor) {
  state.visitor = visitor;
  state.item = "";
  state.liked = null;
  state.cart = [];
  state.last = null;
  store("visitor", visitor);
  store("cart", []);
}

export function speak(locale) {
  state.locale = locale;
  store("locale", locale);
}

export function putInCart(id, inside) {
  state.cart = state.cart.filter((one) => one !== id);
  if (inside) state.cart.push(id);
  store("cart", state.cart);
}

// Who asks and for what, as every list has it.
export const visited = () => ({ ...state.visitor, locale: state.locale, filter: state.filters });

export const asked = (surface, more) => ({
  ...visited(), context: surface, page_size: 24,
  cart: surface === "cart" ? state.cart.join(",") : "", ...more,
});

// The list as a visitor gets it, which leaves an impression; and the same once more with its trace, which leaves none.
export async function list(surface, more) {
  const given = asked(surface, more);
  const { value, took, inside } = await get("v1/recommendations", given);
  know(value.items);
  state.last = { list: value, took, inside, asked: given, trace: null };
  return state.last;
}

export async function trace(last) {
  last.trace ??= (await get("v1/recommendations", { ...last.asked, debug: true })).value;
  return last.trace;
}

const ROLES = {
  view: (kind) => kind.role === "view",
  click: (kind) => kind.role === "click" && kind.name === "click" || kind.name === "watch" || kind.name === "view",
  like: (kind) => /like|fav|save|wish/.test(kind.name) && kind.weight > 0,
  cart: (kind) => /cart|basket/.test(kind.name),
  buy: (kind) => kind.role === "conversion",
  dismiss: (kind) => kind.role === "negative" && /dislike|dismiss|hide|skip/.test(kind.name),
};

// The application's own event type for a button, "" where it has none.
export function eventType(act) {
  const kinds = [...(state.application?.events || [])].sort((a, b) => b.weight - a.weight);
  const fits = kinds.filter(ROLES[act]);
  const exact = fits.find((kind) => kind.name === act);
  if (act === "click") return (exact || fits[0] || kinds.find((kind) => kind.role === "click") || kinds[0])?.name || "";
  if (act === "dismiss") return (exact || fits[fits.length - 1] || kinds.find((kind) => kind.role === "negative"))?.name || "";
  return (exact || fits[0])?.name || "";
}
