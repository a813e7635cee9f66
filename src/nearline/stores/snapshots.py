"""Snapshots: a tenant's derived state at an offset, so that a start replays only the rest."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from nearline.schema.components import Arrays
from nearline.schema.declared import Declaration
from nearline.stores.durable import sync

STALE = 3600
"""Seconds after which a half-written snapshot is taken to be nobody's."""


class SnapshotInfo(msgspec.Struct, frozen=True):
    """What a snapshot holds and up to where (offsets of `user_events` and `item_events`).

    Attributes:
        state_set: hash of everything that gives the rows their form and meaning.
        n_items: that were registered; the items are an array.
        arrays: names of its arrays; set when it is saved.
    """

    state_set: str
    user_events: int
    item_events: int
    n_items: int
    declared: list[Declaration] = []
    arrays: tuple[str, ...] = ()


class SnapshotStore:
    """The two newest snapshots of a tenant, each a folder of arrays.

    Args:
        folder: holds one directory per snapshot, named by offset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, info: SnapshotInfo, arrays: Arrays) -> None:
        """Write a snapshot whole, then drop all but the two newest."""
        final = self.folder / f"{info.user_events:016d}-{info.item_events:016d}-{info.state_set}"
        if final.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".draft*"):
            # Of a process that was killed; a fresh one is another process's that saves now.
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
        try:
            for name, array in arrays.items():
                np.save(draft / f"{name}.npy", array)
            info = msgspec.structs.replace(info, arrays=tuple(sorted(arrays)))
            (draft / "info.msgpack").write_bytes(msgspec.msgpack.encode(info))
            for path in [*draft.iterdir(), draft]:
                sync(path)
            draft.rename(final)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, OSError) and final.exists():
                return  # another process saved the same moment
            raise
        sync(self.folder)
        for old in sorted(self.folder.glob("[0-9]*"))[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self, state_set: str, user_events: int, item_events: int) -> tuple[SnapshotInfo, Arrays] | None:
        """Return the newest snapshot of a state set that can be read; `None` where there is none: replay all.

        Args:
            user_events, item_events: ends of the topics; a snapshot beyond them knows events that a power cut took.
        """
        for folder in sorted(self.folder.glob(f"[0-9]*-{state_set}"), reverse=True):
            try:
                info = msgspec.msgpack.decode((folder / "info.msgpack").read_bytes(), type=SnapshotInfo)
                if info.user_events > user_events or info.item_events > item_events:
                    continue
                return info, {name: np.load(folder / f"{name}.npy") for name in info.arrays}
            except (OSError, ValueError, EOFError, msgspec.MsgspecError):
                continue
        return None
