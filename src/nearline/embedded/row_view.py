"""One visitor's row, read from where it is kept and taken apart by fold; nothing is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from nearline.app.tenant import MEMORY, Tenant
from nearline.embedded.restored import restored
from nearline.features.presence import PRESENCE
from nearline.schema.components import Tier
from nearline.schema.ids import partition_of, visitor_key
from nearline.stores.adapters import shown
from nearline.stores.packing import TIERS
from nearline.stores.state import MemoryState
from nearline.stores.user_rows import NamedRows, UserRow

HEAD = PRESENCE.itemsize


class FoldView(Struct, frozen=True):
    """What a fold keeps of a visitor: its fields by name, as numbers or lists of them."""

    name: str
    tier: Tier
    fields: dict[str, Any]


class RowView(Struct, frozen=True):
    """A visitor's row.

    Attributes:
        store: where it is, by URL without secrets.
        names: what other tools find its values by there; empty where it is in memory.
        key: the visitor's, in hex.
        partition: of the log that his events go to.
        progress: up to which offset that partition is in the store.
        offset: of the last event that is in the row, -1 for none.
        last: time of his last event, ms UTC; 0 where he was never seen, or erased.
        bytes: of the row, by tier.
        folds: in the order in which they lie there; none of a tier that is gone.
    """

    store: str
    names: list[str]
    key: str
    partition: int
    progress: int
    offset: int
    last: int
    bytes: dict[str, int]
    folds: list[FoldView]


def row_view(tenant: Tenant, user_id: str, session_id: str = "") -> RowView:
    """Return a visitor's row from the store of rows; where rows are in memory, from snapshot, lake and log, read as they are.

    Raises:
        NearlineError: there is no data.
        StoreUnavailableError: the store does not answer.
    """
    storage, visitor = tenant.settings.storage, visitor_key(user_id, session_id)
    partition = partition_of(visitor, storage.partitions)
    names: list[str] = []
    if storage.state == MEMORY:
        state = restored(tenant).world.state
        row, progress = _in_memory(state, visitor), int(state.offsets[partition])
    else:
        store, state = tenant.user_rows(5.0), tenant.user_state()
        try:
            (row,), (progress,) = store.read([visitor], [partition])
            names = store.names(visitor) if isinstance(store, NamedRows) else []
        finally:
            store.close()
    packed = {"hot": row.hot, "history": row.history[HEAD:]}
    head = np.frombuffer(max(row.hot[:HEAD], row.history[:HEAD], key=_offset) or b"\xff" * 8 + bytes(8), PRESENCE)[0]
    folds = [
        FoldView(name, tier, _fields(np.frombuffer(packed[tier], state.packed[tier])[name]))
        for tier in TIERS
        if len(packed[tier]) == state.packed[tier].itemsize
        for name in state.packed[tier].names or ()
        if name != "presence"
    ]
    return RowView(
        shown(storage.state), names, f"{visitor:016x}", partition, progress, int(head["offset"]), int(head["last"]),
        {tier: len(packed[tier]) for tier in TIERS}, folds,
    )  # fmt: skip


def _in_memory(state: MemoryState, visitor: int) -> UserRow:
    slot = state.users.find_one(visitor)
    if slot < 0 or not state.presence["last"][slot]:
        return UserRow(visitor)
    hot, history = (rows[0].tobytes() for rows in state.pull(np.array([slot], np.int32)))
    return UserRow(visitor, hot, hot[:HEAD] + history)


def _fields(row: Any) -> dict[str, Any]:
    """Return a fold's row (`[1]`) as plain values by field."""
    return {name: row[name][0].tolist() for name in row.dtype.names or ()}


def _offset(head: bytes) -> int:
    return int.from_bytes(head[:8], "little", signed=True) if head else -2
