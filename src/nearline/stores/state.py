"""Online state in this process's memory: rows of folds, moved by events, read once per request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.features.presence import PRESENCE, expired, touch
from nearline.schema.candidates import I32
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import (
    ALL_EXPIRED,
    Arrays,
    Entity,
    Fold,
    FoldBatch,
    Rows,
    Stateful,
    Tier,
    UserState,
)
from nearline.schema.event import Events
from nearline.schema.ids import partition_of
from nearline.schema.kernel import i4, kernel, u4
from nearline.schema.kinds import ERASED
from nearline.stores.key_index import KeyIndex
from nearline.stores.packing import TIERS, packed


@kernel(u4[::1], i4[::1])
def _mark(marks: NDArray[np.uint32], slots: I32) -> None:
    for i in range(len(slots)):
        if slots[i] >= 0:
            marks[slots[i]] += 1


class MemoryState:
    """All rows of one tenant.

    One thread applies events; any thread may read. `version` is odd while a batch is being applied (a sequence lock), so
    that a reader can tell whether what it read belongs together.

    Attributes:
        marks: by item slot, one more each time that the item's rows or its place in the catalogue changed.

    Args:
        folds: fixed-size rows to keep; the same name twice is kept once.
        stateful: state of variable size.
        hot_ttl: ms without an event after which a visitor's hot row is gone.
        history_ttl: ms after which all of it is gone.
        partitions: of the log that the events come from; offsets are counted in each by itself.
        remote: whether visitors' rows are in a store of their own: their form is known here, and they are moved elsewhere.
    """

    def __init__(
        self,
        folds: Sequence[Fold],
        stateful: Sequence[Stateful] = (),
        hot_ttl: int = 24 * HOUR,
        history_ttl: int = 400 * DAY,
        partitions: int = 1,
        remote: bool = False,
    ) -> None:
        self.remote = remote
        self.folds: dict[str, Fold] = {fold.name: fold for fold in folds}
        # Sources that ask one table differently share it: the first of a name is kept.
        self.stateful: dict[str, Stateful] = {part.name: part for part in reversed(stateful)}
        self.hot_ttl, self.history_ttl = hot_ttl, history_ttl
        self.users, self.items = KeyIndex(), KeyIndex()
        self.offsets = np.zeros(partitions, np.int64)
        self.version = 0
        self.marks: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self.rows: dict[str, Rows] = {}
        self._user_folds = [fold for fold in self.folds.values() if fold.entity == "user"]
        self._moved = {name: fold for name, fold in self.folds.items() if fold.entity == "item" or not remote}
        self.packed: dict[Tier, np.dtype[np.void]] = {tier: packed(self._user_folds, tier) for tier in TIERS}
        self._clear()
        self._blank: dict[str, Rows] = {name: np.zeros(1, fold.dtype) for name, fold in self.folds.items()}

    def _clear(self) -> None:
        kept = [] if self.remote else self._user_folds
        self._users = {tier: np.zeros(0, packed(kept, tier)) for tier in TIERS}
        self.rows = {name: np.zeros(0, fold.dtype) for name, fold in self.folds.items() if fold.entity == "item"}
        self._unpack()

    def _unpack(self) -> None:
        """Look at the packed rows by fold."""
        for fold in self._user_folds if not self.remote else ():
            self.rows[fold.name] = self._users[fold.tier][fold.name]
        self.presence = self._users["hot"]["presence"]

    @property
    def offset(self) -> int:
        """Number of events below which all are folded; with one partition, its offset."""
        return int(self.offsets.sum())

    def offset_of(self, visitor: int) -> int:
        """Return up to which offset the partition of a visitor's events is folded."""
        return int(self.offsets[partition_of(visitor, len(self.offsets))])

    def apply(self, events: Events) -> None:
        """Fold events (`[n] EVENT`, each partition's in offset order); those that are in already are left out.

        A tombstone clears its visitor.
        """
        if len(events) == 0:
            return
        old = events["offset"] < self.offsets[self._partitions(events)]
        if old.any():
            events = events[~old]
        begin = 0
        for place in np.flatnonzero(events["kind"] == ERASED).tolist():
            self._fold(events[begin:place])
            self.forget(int(events["user"][place]))
            self.reach(events[place : place + 1])
            begin = place + 1
        self._fold(events[begin:])

    def _partitions(self, events: Events) -> NDArray[np.int64]:
        """Return the partition of each event, `[n] int64`."""
        if len(self.offsets) == 1:
            return np.zeros(len(events), np.int64)
        parts: NDArray[np.int64] = (events["user"] % np.uint64(len(self.offsets))).astype(np.int64)
        return parts

    def reach(self, events: Events) -> None:
        """Take events as folded that change nothing, such as duplicates."""
        if len(self.offsets) == 1:
            self.offsets[0] = max(self.offsets[0], int(events["offset"][-1]) + 1)
        else:
            np.maximum.at(self.offsets, self._partitions(events), events["offset"] + 1)

    def reached(self, partition: int, offset: int) -> None:
        """Take all of a partition below an offset as folded, also what moved nothing."""
        self.offsets[partition] = max(self.offsets[partition], offset)

    def _fold(self, events: Events) -> None:
        if len(events) == 0:
            return
        self.version += 1
        try:
            users, items = self.users.intern(events["user"]), self.items.intern(events["item"])
            self._make_room()
            reset = touch(self.presence, users, events, self.hot_ttl, self.history_ttl)
            batch = common = FoldBatch(events, users, items, reset)
            if events["own"].any():
                # Only the visitor's rows take these: to all that items share, they are about none.
                common = FoldBatch(events, users, np.where(events["own"], np.int32(-1), items), reset)
            for name, fold in self._moved.items():
                fold.update(self.rows[name], batch if fold.entity == "user" else common)
            for part in self.stateful.values():
                part.update(common)
            self.mark(common.items)
            self.reach(events)
        finally:
            self.version += 1

    def register(self, keys: NDArray[np.uint64]) -> I32:
        """Give slots to item keys, in order, and room for their rows."""
        slots = self.items.intern(keys)
        self._make_room()
        return slots

    def admit(self, visitors: NDArray[np.uint64]) -> I32:
        """Give slots to visitors' keys, in order, and room for their rows."""
        slots = self.users.intern(visitors)
        self._make_room()
        return slots

    def mark(self, slots: I32) -> None:
        """Note that items (`[n] int32`, -1 for none) have changed; after the change, so that who saw half of it reads again."""
        _mark(self.marks, slots)

    def hydrate(self, visitor: int, now: int) -> UserState:
        """Return a copy of a visitor's rows; blank where expired at `now` (ms UTC) or never seen."""
        seen = self.offset_of(visitor)
        slot = self.users.find_one(visitor)
        hot = self._users["hot"]
        if not 0 <= slot < len(hot):
            # Never seen, or so new that there is no room for his rows yet.
            return UserState(-1, self._blank, -1, seen)
        head = _copy(hot, slot)
        offset, last = head["presence"][0].item()
        gone = expired(last, now, self.hot_ttl, self.history_ttl)
        if gone == ALL_EXPIRED:
            # Forgotten or never seen: his offset is none of a row.
            return UserState(slot, self._blank, offset if last else -1, seen, last)
        # Both tiers grow together, the hot one last.
        history = _copy(self._users["history"], slot)
        return UserState(slot, self.unpacked(None if gone else head, history), offset, seen, last)

    def unpacked(self, hot: Rows | None, history: Rows | None) -> dict[str, Rows]:
        """Return a visitor's rows by fold, from his packed ones (`[1]`); blank where a tier is not given."""
        rows = dict(self._blank)
        for fold in self._user_folds:
            packed_row = history if fold.tier == "history" else hot
            if packed_row is not None:
                rows[fold.name] = packed_row[fold.name]
        return rows

    def pull(self, slots: I32) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return packed rows as bytes, hot `[n, hot bytes]` and history `[n, history bytes]`."""
        hot, history = (_bytes(self._users[tier])[slots] for tier in TIERS)
        return hot, history

    def push(self, slot: int, hot: bytes, history: bytes) -> None:
        """Put one visitor's packed rows into his place; zeros for what is not given."""
        for tier, given in zip(TIERS, (hot, history), strict=True):
            own = _bytes(self._users[tier])[slot]
            own[:] = np.frombuffer(given, np.uint8) if given else 0

    def forget(self, visitor: int) -> bool:
        """Zero everything kept of a visitor, as if he had never been; return whether there was anything."""
        slot = self.users.find_one(visitor)
        if slot < 0:
            return False
        self.version += 1
        for rows in self._users.values():
            rows[slot : slot + 1] = np.zeros(1, rows.dtype)
        for part in self.stateful.values():
            part.forget(slot)
        self.version += 1
        return True

    def dump(self) -> Arrays:
        """Return the whole state as named arrays; canonical, so equal states give equal bytes."""
        users, items = len(self.users), len(self.items)
        out: dict[str, NDArray[Any]] = {
            "offset": self.offsets.copy(),
            "users": self.users.keys,
            "items": self.items.keys,
            "presence": np.ascontiguousarray(self.presence[:users]),
        }
        for name, fold in self._moved.items():
            out[f"fold.{name}"] = np.ascontiguousarray(self.rows[name][: users if fold.entity == "user" else items])
        for name, part in self.stateful.items():
            out |= {f"part.{name}.{key}": array for key, array in part.dump().items()}
        return out

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `dump` returned, by a state with the same folds."""
        self.users, self.items = KeyIndex(), KeyIndex()
        # Copies: what was dumped may be another state's own arrays, or a file that can't be written.
        self.users.intern(arrays["users"].copy())
        self.items.intern(arrays["items"].copy())
        self.presence = np.zeros(0, PRESENCE)
        # Other items may stand in the slots now: every mark goes beyond all that anyone has seen.
        self.marks = np.full(len(self.items), self.marks.max(initial=0) + 1, np.uint32)
        self.rows = {name: np.zeros(0, fold.dtype) for name, fold in self._moved.items()}
        self._make_room()
        self.presence[: len(self.users)] = arrays["presence"]
        for name in self._moved:
            rows = arrays[f"fold.{name}"]
            self.rows[name][: len(rows)] = rows
        for name, part in self.stateful.items():
            prefix = f"part.{name}."
            part.load({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)})
        self.offsets = np.array(arrays["offset"], np.int64)
        self.version += 2

    def row_bytes(self) -> dict[str, tuple[Entity, str, int]]:
        """Return entity, tier and bytes of one row, by fold; the presence head counts to the hot row."""
        sizes: dict[str, tuple[Entity, str, int]] = {"presence": ("user", "hot", PRESENCE.itemsize)}
        return sizes | {n: (f.entity, f.tier, f.dtype.itemsize) for n, f in self.folds.items()}

    def nbytes(self) -> int:
        """Return the bytes of all rows and parts."""
        users = sum(rows.nbytes for rows in self._users.values())
        items = sum(self.rows[fold.name].nbytes for fold in self.folds.values() if fold.entity == "item")
        return int(users + items + sum(part.nbytes() for part in self.stateful.values()))

    def _make_room(self) -> None:
        for name, fold in self.folds.items():
            if fold.entity == "item" and len(self.items) > len(self.rows[name]):
                self.rows[name] = _room(self.rows[name], len(self.items))
        if len(self.items) > len(self.marks):
            self.marks = _room(self.marks, len(self.items))
        if len(self.users) > len(self.presence):
            # The hot tier last, so that a reader who finds a visitor's head finds his history too.
            for tier in ("history", "hot"):
                self._users[tier] = _room(self._users[tier], len(self.users))
            self._unpack()


def _copy(rows: Rows, slot: int) -> Rows:
    """Return one row, `[1] dtype`, copied as bytes: NumPy would copy nested records field by field, at five times the cost."""
    if not rows.dtype.itemsize:
        return rows[slot : slot + 1].copy()  # a tier without folds
    copied: Rows = _bytes(rows)[slot].copy().view(rows.dtype)
    return copied


def _bytes(rows: Rows) -> NDArray[np.uint8]:
    """Return rows as what they are made of, `[n, bytes of a row] uint8`; the same memory."""
    return (
        rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)
        if rows.dtype.itemsize
        else np.zeros((len(rows), 0), np.uint8)
    )


def _room(rows: NDArray[Any], need: int) -> NDArray[Any]:
    out = np.zeros(max(1024, need + need // 2), rows.dtype)
    out[: len(rows)] = rows
    return out
