// Requests to this server, with its key where it wants one; how long each took here, and how long inside the server.

import { by, h } from "./dom.js";

const KEY = "nearline-key";
let asking = null;

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || `the server answered ${status}`);
    this.status = status;
  }
}

export async function call(method, path, body) {
  const headers = {}, key = sessionStorage.getItem(KEY);
  if (key) headers["X-API-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const started = performance.now();
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  const took = performance.now() - started;
  if (response.status === 401) {
    await (asking ??= askForKey(Boolean(key)).finally(() => { asking = null; }));
    return call(method, path, body);
  }
  const value = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Problem(response.status, value);
  return { value, took, inside: Number(/dur=([\d.]+)/.exec(response.headers.get("Server-Timing") || "")?.[1] ?? took) };
}

export async function get(path, given) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(given || {})) {
    if (Array.isArray(value)) value.forEach((one) => asked.append(name, one));
    else if (value !== "" && value !== undefined && value !== null) asked.set(name, value);
  }
  return call("GET", asked.size ? `${path}?${asked}` : path);
}

function askForKey(wrong) {
  const dialog = by("dialog");
  return new Promise((resolve) => {
    const input = h("input", { type: "password", id: "key", autocomplete: "off", required: true });
    const form = h("form", { class: "sheet", method: "dialog" },
      h("h2", { id: "dialog-title" }, "This server asks for a key"),
      h("p", { class: "soft" }, wrong ? "That key was not right." : "It is kept in this tab until you close it."),
      h("label", { class: "field" }, h("span", {}, "API key"), input),
      h("button", { class: "button strong" }, "Go on"));
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, input.value);
      resolve();
    }, { once: true });
    dialog.showModal();
  });
}

const known = new Map();

// Items of lists come with what is shown of them; those of other endpoints are asked for once.
export function know(items) {
  for (const one of items) known.set(one.item_id, { item_id: one.item_id, ...one.metadata });
}

export async function item(id) {
  if (!known.has(id)) known.set(id, (await get(`v1/items/${encodeURIComponent(id)}`)).value);
  return known.get(id);
}
