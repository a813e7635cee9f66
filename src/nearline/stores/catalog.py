"""The catalogue: registered items by slot, as the columns and fragments that serving reads."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.components import ItemColumns
from nearline.schema.declared import is_declaration
from nearline.schema.errors import NearlineError
from nearline.schema.event import POISON, Record
from nearline.schema.ids import key, key32, keys
from nearline.schema.item import Item
from nearline.stores.items import Items
from nearline.stores.state import MemoryState

logger = logging.getLogger("nearline.catalog")


DELETED = "delete"
"""Event type of `item_events` that withdraws an item; the others carry the item whole, or declare something."""


class Catalog:
    """Items by slot of the state's item index; an event about an unregistered item has a slot but is no candidate.

    Attributes:
        ids: item id by slot, "" where unregistered.
        items: those that are registered, by id.
        version: changes with every item.
        fields: which of the rarer fields some item has had.
        region_sets: regions by number, as `ItemColumns.regions` has them.
        edited: `version` of each slot's last change, 0 for none, `[n_slots] int64`.
        offset: of `item_events`, up to which the catalogue is.
    """

    def __init__(self, state: MemoryState) -> None:
        self.state = state
        self.items = Items()
        self.ids: list[str] = []
        self.version = 0
        self.offset = 0
        self.names: dict[int, str] = {}
        self._tokens: list[tuple[int, ...]] = []
        self.fields: set[str] = set()
        self.region_sets: list[frozenset[str]] = [frozenset()]
        self._region_numbers = {self.region_sets[0]: 0}
        self.columns = _columns(0)
        self.edited = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Return the number of registered items."""
        return len(self.items)

    def put(self, items: Iterable[Item]) -> None:
        """Register items or replace them.

        Raises:
            NearlineError: where an id's or a category's key collides with another's.
        """
        batch = list(items)
        for item in batch:
            if not item.item_id:
                raise NearlineError("item_id", item.item_id, "give every item an id")
            for name in (item.category, item.brand):
                if name and self.names.setdefault(key32(name), name) != name:
                    raise NearlineError("category or brand", name, f"its key is that of {self.names[key32(name)]!r}; rename it")
        slots = self.state.register(keys(item.item_id for item in batch))
        self.sync()
        for item, slot in zip(batch, slots.tolist(), strict=True):
            if self.ids[slot] and self.ids[slot] != item.item_id:
                raise NearlineError("item_id", item.item_id, f"its key is that of {self.ids[slot]!r}; use another id")
            self.ids[slot] = item.item_id
            self.items.put(slot, item)
            self._tokens[slot] = _tokens(item)
        # Of two that are the same item the last one counts.
        columns = self.columns
        columns.category[slots] = [key32(item.category) for item in batch]
        columns.brand[slots] = [key32(item.brand) for item in batch]
        columns.price[slots] = [math.nan if item.price is None else item.price for item in batch]
        columns.created[slots] = [item.created_at for item in batch]
        columns.top[slots] = [key32(item.category.split(">", 1)[0].strip()) for item in batch]
        columns.begins[slots] = [item.available_from for item in batch]
        columns.ends[slots] = [item.available_until for item in batch]
        columns.owner[slots] = keys(item.owner for item in batch)
        columns.regions[slots] = [self._regions(item.regions) for item in batch]
        # Last, so that who reads meanwhile does not take it without its window.
        columns.available[slots] = [item.available for item in batch]
        for name, given in (
            ("window", any(item.available_from or item.available_until for item in batch)),
            ("owner", any(item.owner for item in batch)),
            ("regions", any(item.regions for item in batch)),
        ):
            if given:
                self.fields.add(name)
        self._changed(slots)

    def _regions(self, names: Iterable[str]) -> int:
        """Return the number of a set of regions."""
        regions = frozenset(names)
        if regions not in self._region_numbers:
            self._region_numbers[regions] = len(self.region_sets)
            self.region_sets.append(regions)
        return self._region_numbers[regions]

    def follow(self, items: Iterable[Item]) -> None:
        """Register items of the log; one that `put` refuses is left out, the same one in every replay."""
        batch = list(items)
        try:
            self.put(batch)
        except NearlineError:
            for item in batch:
                try:
                    self.put([item])
                except NearlineError as error:
                    logger.warning("item left out", extra={"error": str(error)})

    def check(self, items: Iterable[Item]) -> None:
        """Refuse what `put` would refuse, changing nothing.

        Raises:
            NearlineError: where an id's or a category's key collides with another's.
        """
        for item in items:
            for name in (item.category, item.brand):
                if name and (other := self.names.get(key32(name), name)) != name:
                    raise NearlineError("category or brand", name, f"its key is that of {other!r}; rename it")
            slot = self.slot(item.item_id)
            if 0 <= slot < len(self.ids) and self.ids[slot] not in ("", item.item_id):
                raise NearlineError("item_id", item.item_id, f"its key is that of {self.ids[slot]!r}; use another id")

    def withdraw(self, item_id: str) -> bool:
        """Take an item out of every list; what is known of it stays. Return whether it was there."""
        if not self.items.withdraw(item_id):
            return False
        slot = self.slot(item_id)
        self.columns.available[slot] = False
        self._tokens[slot] = ()
        self._changed(np.array([slot], np.int32))
        return True

    def _changed(self, slots: I32) -> None:
        self.state.mark(slots)
        # What follows changes reads the version first: it may see a change twice, but never misses one.
        self.edited[slots] = self.version + 1
        self.version += 1

    def slot(self, item_id: str) -> int:
        """Return the slot of an id, -1 where it never came."""
        return self.state.items.find_one(key(item_id))

    def sync(self) -> None:
        """Make the columns as long as the state's item index."""
        have, need = len(self.ids), len(self.state.items)
        if need == have:
            return
        if need > have:
            more = need - have
            self.ids.extend([""] * more)
            self.items.extend(need)
            self._tokens.extend([()] * more)
        if need > len(self.columns.key):
            grown = _columns(max(1024, need + need // 2))
            for name in ItemColumns.__slots__:
                old = getattr(self.columns, name)
                getattr(grown, name)[: len(old)] = old
            edited = np.zeros(len(grown.key), np.int64)
            edited[: len(self.edited)] = self.edited
            self.columns, self.edited = grown, edited
        self.columns.key[have:need] = self.state.items.keys[have:need]

    def tokens(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return attribute tokens of all slots: (tokens `[m] uint32`, offsets `[n_slots + 1] int64`)."""
        held = list(self._tokens)  # a source indexes on its own thread while items arrive
        lengths = np.fromiter((len(t) for t in held), np.int64, len(held))
        flat = np.fromiter((t for tokens in held for t in tokens), np.uint32, int(lengths.sum()))
        return flat, np.concatenate(([0], np.cumsum(lengths)))

    def texts(self) -> list[str]:
        """Return the title and the texts among the attributes of all slots, "" where unregistered."""
        items = (self.items.get(item_id) for item_id in list(self.ids))
        return ["" if item is None else _text(item) for item in items]

    def labels(self) -> list[str]:
        """Return category, brand and tags of all slots as text, "" where unregistered."""
        items = (self.items.get(item_id) for item_id in list(self.ids))
        return ["" if item is None else " ".join((item.category, item.brand, *item.tags)) for item in items]


def _text(item: Item) -> str:
    return " ".join([item.title, *(value for value in item.attributes.values() if isinstance(value, str))])


def _tokens(item: Item) -> tuple[int, ...]:
    tokens = [*_path_tokens(item.category)] if item.category else []
    if item.brand:
        tokens.append(key32(f"brand:{item.brand}"))
    tokens += [key32(f"tag:{tag}") for tag in item.tags]
    return tuple(dict.fromkeys(tokens))


@lru_cache(1 << 14)
def _path_tokens(category: str) -> tuple[int, ...]:
    path = [part.strip() for part in category.split(">")]
    return tuple(key32(f"category:{' > '.join(path[: depth + 1])}") for depth in range(len(path)))


def _columns(n: int) -> ItemColumns:
    return ItemColumns(
        key=np.zeros(n, np.uint64),
        category=np.zeros(n, np.uint32),
        brand=np.zeros(n, np.uint32),
        price=np.full(n, np.nan, np.float32),
        created=np.zeros(n, np.int64),
        available=np.zeros(n, np.bool_),
        top=np.zeros(n, np.uint32),
        begins=np.zeros(n, np.int64),
        ends=np.zeros(n, np.int64),
        owner=np.zeros(n, np.uint64),
        regions=np.zeros(n, np.int32),
    )


def item_of(record: Record) -> Item | None:
    """Return the item that a record of `item_events` registers; `None` where it does something else, or can't be read."""
    if record.event_type in (DELETED, POISON) or is_declaration(record):
        return None
    try:
        return msgspec.json.decode(record.context, type=Item)
    except msgspec.MsgspecError as error:
        # Of a shared log, to which others write too.
        logger.warning("item left out", extra={"item": record.item_id, "error": str(error)})
        return None


def replay_catalog(pages: Iterable[tuple[int, list[Record]]]) -> list[Item]:
    """Return the items that `item_events` leave, in order of first registration."""
    items: dict[str, Item] = {}
    for _, records in pages:
        for record in records:
            if record.event_type == DELETED:
                items.pop(record.item_id, None)
            elif (item := item_of(record)) is not None:
                items[record.item_id] = item
    return list(items.values())
