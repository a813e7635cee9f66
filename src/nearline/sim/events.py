"""Events in the client's form, and the rows they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.sim.catalog import Catalog
from nearline.sim.people import DEVICES
from nearline.sim.taxonomy import LEAVES

KINDS = ("search", "seen", "click", "view", "add_to_cart", "purchase", "dislike", "rate", "return")
SEARCH, SEEN, CLICK, VIEW, CART, PURCHASE, DISLIKE, RATE, RETURN = range(len(KINDS))
PAGES = ("homepage", "category", "search", "item", "cart", "checkout", "orders")
HOME, CATEGORY, RESULTS, ITEM, BASKET, CHECKOUT, ORDERS = range(len(PAGES))

Rows = NDArray[np.void]
"""A structured array of `ROW`."""

ROW = np.dtype(
    [
        ("time", "i8"),
        ("user", "i8"),
        ("session", "i8"),  # number of the session, or -1
        ("kind", "i1"),
        ("page", "i1"),
        ("item", "i8"),  # row in the catalogue, or -1
        ("position", "i4"),  # place on the page, from 1; or 0
        ("dwell", "i4"),  # ms; or 0
        ("rating", "i1"),  # 1 to 5; or 0
        ("query", "i2"),  # leaf searched for, or -1
        ("device", "i1"),  # row in DEVICES, or -1
    ]
)
_PRICED = np.isin(np.arange(len(KINDS)), [CLICK, VIEW, CART, PURCHASE, RETURN])


class SimContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an event happened; absent fields are left out."""

    page: str = ""
    position: int | None = None
    request_id: str = ""
    session_id: str = ""
    device: str = ""


class SimValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event carries; absent fields are left out."""

    price: float | None = None
    rating: int | None = None
    dwell_ms: int | None = None
    query: str = ""


_NO_CONTEXT, _NO_VALUE = SimContext(), SimValue()


class SimEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event in the client's form (design §4); `timestamp` in ms UTC, absent for the server to assign."""

    user_id: str
    event_type: str
    item_id: str = ""
    timestamp: int | None = None
    event_id: str = ""
    context: SimContext = _NO_CONTEXT
    event_value: SimValue = _NO_VALUE


def to_json(event: SimEvent) -> bytes:
    """Return an event as one JSON object."""
    return msgspec.json.encode(event)


def rows_of(n: int, **columns: Any) -> Rows:
    """Return `n` rows with the given columns; the others say "none"."""
    rows = np.zeros(n, ROW)
    for name in ("session", "item", "query", "device"):
        rows[name] = -1
    for name, values in columns.items():
        rows[name] = values
    return rows


def to_events(
    rows: Rows,
    users: Sequence[str],
    catalog: Catalog,
    first: int,
    prefix: str,
    request_id: str = "",
    timed: bool = True,
) -> list[SimEvent]:
    """Make events of rows.

    Args:
        rows: `[n] ROW`, in the order wanted.
        users: user ids by row.
        catalog: the items.
        first: number of the first event.
        prefix: event ids are `sim-<prefix>-<number>`, sessions `s<prefix>-<number>`.
        request_id: the served list that the events answer.
        timed: False leaves the timestamp to the server.
    """
    made: list[SimEvent] = []
    items, nothing = catalog.items, _NO_VALUE
    columns = (rows[name].tolist() for name in ROW.names or ())
    for n, (time, user, session, kind, page, item, position, dwell, rating, query, device) in enumerate(
        zip(*columns, strict=True), first
    ):
        price = items[item].price if item >= 0 and _PRICED[kind] else None
        words = LEAVES[query].nouns[n % len(LEAVES[query].nouns)] if query >= 0 else ""
        valued = price is not None or dwell or rating or words
        made.append(
            SimEvent(
                users[user],
                KINDS[kind],
                items[item].item_id if item >= 0 else "",
                time if timed else None,
                f"sim-{prefix}-{n}",
                SimContext(
                    PAGES[page],
                    position or None,
                    request_id,
                    f"s{prefix}-{session}" if session >= 0 else "",
                    DEVICES[device] if device >= 0 else "",
                ),
                SimValue(price, rating or None, dwell or None, words) if valued else nothing,
            )
        )
    return made
