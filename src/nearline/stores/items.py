"""Registered items, held encoded: a large catalogue takes a third of the memory, and what is asked for often stays decoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.item import Item

T = TypeVar("T")
REMEMBERED = 1 << 16
"""Items that are kept decoded."""
PAGE = 5_000
"""Items that are read from a snapshot at a time."""


class Metadata(msgspec.Struct, omit_defaults=True):
    """What a list shows of an item."""

    title: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    image_url: str = ""
    tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


class _Rest(msgspec.Struct, omit_defaults=True):
    """What a list does not show."""

    item_id: str
    created_at: int = 0
    available: bool = True
    available_from: int = 0
    available_until: int = 0
    owner: str = ""
    regions: tuple[str, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Item).decode


class Items(Mapping[str, Item]):
    """Items by id, in the order in which they were registered. One thread changes them, any may read.

    Each is two lines of JSON: what a list shows of it, and the rest.
    """

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._held: list[bytes] = []
        self._recent: dict[str, Item] = {}
        self._lock = threading.Lock()

    def put(self, slot: int, item: Item) -> None:
        """Register an item, or replace it."""
        shown = Metadata(item.title, item.category, item.brand, item.price, item.image_url, item.tags, item.attributes)
        times = item.created_at, item.available, item.available_from, item.available_until
        held = _encode(shown) + b"\n" + _encode(_Rest(item.item_id, *times, item.owner, item.regions))
        with self._lock:
            self.extend(slot + 1)
            self._held[slot] = held
            self._slots[item.item_id] = slot
            self._recent.pop(item.item_id, None)

    def withdraw(self, item_id: str) -> bool:
        """Forget that an item is registered, not what lists show of it; return whether it was."""
        with self._lock:
            self._recent.pop(item_id, None)
            return self._slots.pop(item_id, None) is not None

    def extend(self, n: int) -> None:
        """Make room for `n` slots."""
        self._held.extend([b"{}"] * (n - len(self._held)))

    def fragment(self, slot: int) -> msgspec.Raw:
        """Return the encoded `Metadata` of a slot."""
        return msgspec.Raw(self._held[slot].partition(b"\n")[0])

    def __len__(self) -> int:
        """Return the number of registered items."""
        return len(self._slots)

    def __iter__(self) -> Iterator[str]:
        """Go through the ids."""
        return iter(self._slots)

    def __contains__(self, item_id: object) -> bool:
        """Return whether an item is registered."""
        return item_id in self._slots

    def __getitem__(self, item_id: str) -> Item:
        """Return an item."""
        found = self._recent.get(item_id)
        if found is not None:
            return found
        with self._lock:
            item = _decoded(*self._held[self._slots[item_id]].split(b"\n"))
            if len(self._recent) >= REMEMBERED:
                self._recent.clear()
            self._recent[item_id] = item
            return item

    @overload
    def get(self, item_id: str, /) -> Item | None: ...
    @overload
    def get(self, item_id: str, /, default: Item | T) -> Item | T: ...
    def get(self, item_id: str, /, default: Item | T | None = None) -> Item | T | None:
        """Return an item, or the default."""
        found = self._recent.get(item_id)
        if found is not None:
            return found
        try:
            return self[item_id] if item_id in self._slots else default
        except KeyError:  # withdrawn meanwhile
            return default

    def dump(self) -> NDArray[np.uint8]:
        """Return all items, two lines each, `[n_bytes] uint8`."""
        with self._lock:
            held = [self._held[slot] for slot in self._slots.values()]
        return np.frombuffer(b"".join(one + b"\n" for one in held), np.uint8)


def loaded(dumped: NDArray[np.uint8]) -> Iterator[list[Item]]:
    """Return the items that `Items.dump` wrote, some thousand at a time."""
    ends = np.flatnonzero(dumped == ord("\n"))[2 * PAGE - 1 :: 2 * PAGE] + 1
    starts = [0, *ends.tolist()]
    for begin, end in zip(starts, [*starts[1:], len(dumped)], strict=True):
        lines = dumped[begin:end].tobytes().split(b"\n")
        if len(lines) > 1:
            yield [_decoded(shown, rest) for shown, rest in zip(lines[0:-1:2], lines[1::2], strict=True)]


def _decoded(shown: bytes, rest: bytes) -> Item:
    item: Item = _decode(rest if shown == b"{}" else rest[:-1] + b"," + shown[1:])
    return item
