"""Showings in this process's memory: moved by the impressions of the topic `feedback`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY, SECOND
from nearline.schema.components import Arrays
from nearline.schema.event import Record
from nearline.schema.ids import keys, visitor_key
from nearline.schema.query import MESSAGES
from nearline.schema.showings import Shown
from nearline.stores.shown import ShownItems

ERASED = 20_000
"""Erased visitors remembered: what was on its way when they went must not come back."""


class _List(msgspec.Struct):
    """The part of an impression that is followed."""

    items: list[str]


class MemoryShowings:
    """Two bounded tables: what pages showed (counted within a day), and what messages sent.

    Attributes:
        offsets: of `feedback`, up to which impressions are in, by partition.
    """

    def __init__(self, partitions: int = 1) -> None:
        self.offsets = [0] * partitions
        self._pages, self._messages = ShownItems(DAY // SECOND), ShownItems(DAY // SECOND, places=96)
        self._erased: OrderedDict[int, int] = OrderedDict()
        self._decode = msgspec.json.Decoder(_List).decode

    def of(self, visitor: int) -> Shown | None:
        """Return what a visitor was shown on pages of late, `None` where nothing is known."""
        return self._pages.of(visitor)

    def sent(self, visitor: int) -> Shown | None:
        """Return what he was sent by email and push, `None` where nothing is known."""
        return self._messages.of(visitor)

    @property
    def offset(self) -> int:
        """Number of impressions that are in; with one partition, the offset up to which."""
        return sum(self.offsets)

    def follow(self, first: int, records: Sequence[Record], partition: int = 0) -> None:
        """Enter impressions, the first of them at an offset of `feedback`; what is in already is passed over."""
        done = self.offsets[partition]
        for table, messages in ((self._pages, False), (self._messages, True)):
            visitors: list[int] = []
            seconds: list[int] = []
            items: list[list[str]] = []
            for record in records[max(0, done - first) :]:
                visitor = visitor_key(record.user_id, record.session_id)
                if not visitor or (record.page in MESSAGES) != messages or record.timestamp <= self._erased.get(visitor, -1):
                    continue
                try:
                    shown = self._decode(record.context).items
                except msgspec.MsgspecError:
                    continue  # a record of another kind
                visitors.append(visitor)
                seconds.append(record.timestamp // SECOND)
                items.append(shown)
            if visitors:
                table.note(
                    np.array(visitors, np.uint64),
                    np.array(seconds, np.uint32),
                    np.array([len(shown) for shown in items], np.int32),
                    keys(item for shown in items for item in shown),
                )
        self.offsets[partition] = max(done, first + len(records))

    def forget(self, visitor: int, at: int) -> None:
        """Clear a visitor, and pass over impressions up to `at` (ms UTC) that are still on their way."""
        self._pages.forget(visitor)
        self._messages.forget(visitor)
        self._erased[visitor] = at
        if len(self._erased) > ERASED:
            self._erased.popitem(last=False)

    def dump(self) -> Arrays:
        """Return everything as arrays."""
        out: Arrays = {"showings.offset": np.array(self.offsets, np.int64)}
        for name, table in (("pages", self._pages), ("messages", self._messages)):
            out |= {f"showings.{name}.{key}": array for key, array in table.dump().items()}
        return out

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `dump` returned; from nothing where a snapshot is older than this."""
        if "showings.offset" not in arrays:
            return
        self.offsets = arrays["showings.offset"].tolist()
        for name, table in (("pages", self._pages), ("messages", self._messages)):
            prefix = f"showings.{name}."
            table.load({key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)})

    def nbytes(self) -> int:
        """Return the bytes in use."""
        return self._pages.nbytes() + self._messages.nbytes()
