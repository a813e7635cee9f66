// What a visitor does with an item: an event of the application's own type, sent with the list that it answers.

import { call, item } from "./api.js";
import { eventType, putInCart, state } from "./state.js";

const DONE = { click: "Clicked", like: "Liked", cart: "Put in the cart:", buy: "Bought", dismiss: "Not for me:" };

export async function doing(name, id) {
  return `${DONE[name]} ${(await item(id)).title || id}`;
}

// `context` says where, and of which list at which place.
export async function send(name, id, context) {
  const { price } = await item(id), event = { ...state.visitor, event_type: eventType(name), item_id: id, context };
  if (name === "cart" || name === "buy") putInCart(id, name === "cart");
  if (name === "buy" && price) event.event_value = { price };
  return call("POST", "v1/events", event);
}
