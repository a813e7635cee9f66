// Small helpers: elements, numbers, pictures.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);
export const by = (id) => document.getElementById(id);

export const count = (n) => Number(n).toLocaleString("en");
export const ms = (n) => `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;
export const short = (n) => (n === null || n === undefined ? "" : Number(Number(n).toPrecision(3)).toString());
export const share = (n) => `${Math.round(n * 100)} %`;
export const leaf = (category) => (category || "").split(">").pop().trim();
export const when = (at) => new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const say = (text) => { by("live").textContent = text; };

function hash(text) {
  let value = 2166136261;
  for (const letter of text) value = Math.imul(value ^ letter.charCodeAt(0), 16777619);
  return value >>> 0;
}

const SOURCES = { covisit: 174, next_item: 262, als: 222, content: 38, trending: 342, history: 140 };
export const hue = (source) => SOURCES[source] ?? (hash(source) % 36) * 10;
export const dot = (source) => h("span", { class: "dot", "--hue": hue(source), title: source });

const ICONS = {
  click: "M4 4l7 16 2-7 7-2z",
  like: "M12 20s-7-4.4-7-9.6A4 4 0 0 1 12 8a4 4 0 0 1 7 2.4C19 15.600 12 20 12 20z",
  cart: "M3 4h2l2.400 11h10.200L20 7H6.200M9 19.500h.01M16.500 19.500h.01",
  buy: "M6 8h12l1 12H5zM9 8a3 3 0 0 1 6 0",
  dismiss: "M6 6l12 12M18 6L6 18",
  why: "M9.200 9.200a2.900 2.900 0 1 1 4 2.700c-.8.400-1.200 1-1.200 2M12 17.500h.01M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  open: "M7 17L17 7M9 7h8v8",
};
export const icon = (name) => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

// A picture for an item that has none: its category gives the colour and the shapes, its id their places.
function drawing(item) {
  const path = (item.category || item.title || item.item_id).split(">").map((part) => part.trim());
  const tone = hash(path[0]) % 360, form = hash(path[path.length - 1]) % 4, seed = hash(item.item_id);
  const at = (n, most) => ((seed >>> (n * 4)) % 16) / 15 * most;
  const own = (tone + (hash(path[path.length - 1]) % 70) - 35 + 360) % 360;
  const [a, b, c] = [own, (own + 28 + at(5, 24)) % 360, (own + 320) % 360];
  const paint = (turn, light, alpha) => `hsla(${turn}, 46%, ${light}%, ${alpha})`;
  const shapes = [];
  for (let n = 0; n < 3; n += 1) {
    const x = 40 + at(n, 240), y = 40 + at(n + 2, 160), r = 34 + at(n + 4, 62);
    const look = { fill: paint(n === 1 ? c : b, 92 - n * 13, 0.55) };
    if (form === 0) shapes.push(svg("circle", { cx: x, cy: y, r, ...look }));
    else if (form === 1) shapes.push(svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, rx: 18, transform: `rotate(${at(n + 1, 80)} ${x} ${y})`, ...look }));
    else if (form === 2) shapes.push(svg("path", { d: `M${x - r} 240V${y + 20}a${r} ${r} 0 0 1 ${2 * r} 0V240z`, ...look }));
    else shapes.push(svg("path", { d: `M0 ${y}C80 ${y - r} 160 ${y + r} 320 ${y - r / 3}V240H0z`, ...look }));
  }
  const id = `g${seed}`;
  return svg("svg", { class: "art", viewBox: "0 0 320 240", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" },
    svg("defs", {}, svg("linearGradient", { id, x1: 0, y1: 0, x2: 1, y2: 1 },
      svg("stop", { "stop-color": paint(a, 80, 1) }), svg("stop", { offset: 1, "stop-color": paint(b, 64, 1) }))),
    svg("rect", { width: 320, height: 240, fill: `url(#${id})` }), ...shapes);
}

export function picture(item) {
  if (!item.image_url) return drawing(item);
  const image = h("img", { class: "art", src: item.image_url, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(drawing(item)), { once: true });
  return image;
}

export function bar(name, value, part, color, note) {
  return h("div", { class: "bar" },
    h("div", {}, h("span", { title: name }, name), h("span", { class: "num" }, value, note ? h("span", { class: "soft" }, ` ${note}`) : null)),
    h("div", { class: "track" }, h("i", { "--share": Math.min(1, part || 0), "--hue": color ?? 174 })));
}
