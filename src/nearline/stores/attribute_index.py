"""The attribute index: which items meet conditions, as masks over the catalogue, kept up to date as items change."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import MINUTE
from nearline.schema.conditions import ITEM_KINDS, OPPOSITES, Condition, Kind, is_timed
from nearline.schema.item import Item
from nearline.stores.attribute_columns import Column, Mask, NumberColumn, column_of
from nearline.stores.catalog import Catalog

FEW = 200
"""Changed items that a request follows by itself; more are left to `renew`."""
PATIENCE = 2.0
"""Seconds without a renewal after which nobody seems to renew it, and requests follow whatever changed."""
ROOM = 64 << 20
"""Bytes of masks remembered."""
_KNOWN = "$known"


class AttributeIndex:
    """Answers which slots meet conditions. A column is made when its attribute is first asked for.

    Args:
        catalog: whose items.
        kinds: attributes that conditions may name; those that every item has by default.

    Attributes:
        version: changes when a mask may have.
    """

    def __init__(self, catalog: Catalog, kinds: Mapping[str, Kind] = ITEM_KINDS) -> None:
        self._catalog, self.kinds = catalog, dict(kinds)
        self.version = 0
        self._columns: dict[str, Column] = {}
        self._masks: dict[tuple[tuple[Condition, ...], int], tuple[int, Mask]] = {}
        self._lock = threading.Lock()
        self._renewed = -PATIENCE

    def mask(self, conditions: tuple[Condition, ...], now: int) -> Mask:
        """Return which slots hold an item that meets all conditions, `[n] bool`; do not change it.

        What is asked is the minute that `now` (ms UTC) is in. Slots beyond `n` came since: they hold none yet.

        Args:
            conditions: as `conditions.checked` returned them.
            now: ms UTC.
        """
        self._follow()
        now = now // MINUTE * MINUTE if is_timed(conditions) else 0
        held = self._masks.get((conditions, now))
        if held is None or held[0] != self.version:
            held = self.version, self._made(conditions, now)
            if len(self._masks) >= max(16, ROOM // max(1, len(held[1]))):
                self._masks.clear()
            self._masks[conditions, now] = held
        return held[1]

    def kept(self, conditions: tuple[Condition, ...], now: int, items: NDArray[np.int32]) -> Mask:
        """Return which of some slots (`[m] int32`) meet all conditions, `[m] bool`."""
        mask = self.mask(conditions, now)
        found: Mask = mask.take(items, mode="clip") & (items < len(mask)) if len(mask) else np.zeros(len(items), np.bool_)
        return found

    def ready(self, conditions: tuple[Condition, ...]) -> bool:
        """Return whether the columns are there; making one takes long over a large catalogue."""
        return _KNOWN in self._columns and all(one.attribute in self._columns for one in conditions)

    def renew(self) -> None:
        """Follow every change; called beside the requests."""
        with self._lock:
            self._take()
            self._renewed = time.monotonic()

    def _follow(self) -> None:
        """Follow a few changes at once, so that the next list is right; leave many to `renew`."""
        if self._seen == self._catalog.version or not self._lock.acquire(blocking=False):
            return
        try:
            edited = self._catalog.edited
            few = np.count_nonzero(edited > self._seen) <= FEW
            if few or time.monotonic() - self._renewed > PATIENCE:
                self._take()
        finally:
            self._lock.release()

    _seen = 0

    def _take(self) -> None:
        seen = self._catalog.version
        if seen == self._seen:
            return
        if self._columns:
            changed = np.flatnonzero(self._catalog.edited > self._seen)
            changes = [(slot, self._item(slot)) for slot in changed.tolist()]
            for column in list(self._columns.values()):
                column.take(changes, len(self._catalog.ids))
        self._seen = seen
        self.version += 1

    def _made(self, conditions: tuple[Condition, ...], now: int) -> Mask:
        n = len(self._catalog.ids)
        known = np.zeros(n, np.bool_)
        self._column(_KNOWN).fill("is", 1.0, now, known)
        for one in conditions:
            op = OPPOSITES.get(one.op, one.op)
            holds = np.zeros(n, np.bool_)
            self._column(one.attribute).fill(op, one.value, now, holds)
            known &= holds if op == one.op else ~holds
        return known

    def _column(self, attribute: str) -> Column:
        column = self._columns.get(attribute)
        if column is None:
            with self._lock:
                column = self._columns.get(attribute)
                if column is None:
                    self._take()
                    column = self._new(attribute)
                    column.take([(slot, self._item(slot)) for slot in range(len(self._catalog.ids))], len(self._catalog.ids))
                    self._columns[attribute] = column
        return column

    def _new(self, attribute: str) -> Column:
        if attribute == _KNOWN:
            return NumberColumn(lambda item: 1.0)
        return column_of(attribute, self.kinds[attribute], self._catalog)

    def _item(self, slot: int) -> Item | None:
        return self._catalog.items.get(self._catalog.ids[slot])
