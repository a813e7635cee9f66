"""Snapshots: a tenant's derived state at an offset, so that a start replays only the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np

from nearline.schema.components import Arrays
from nearline.schema.item import Item


class SnapshotInfo(msgspec.Struct, frozen=True):
    """What a snapshot holds and up to where (offsets of `user_events` and `item_events`)."""

    feature_set: str
    user_events: int
    item_events: int
    items: list[Item]


class SnapshotStore:
    """The two newest snapshots of a tenant, each a folder of arrays.

    Args:
        folder: holds one directory per snapshot, named by offset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, info: SnapshotInfo, arrays: Arrays) -> None:
        """Write a snapshot whole, then drop all but the two newest."""
        final = self.folder / f"{info.user_events:016d}-{info.item_events:016d}-{info.feature_set}"
        if final.exists():
            return
        draft = self.folder / ".draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array)
        (draft / "info.msgpack").write_bytes(msgspec.msgpack.encode(info))
        draft.rename(final)
        for old in sorted(self.folder.glob("[0-9]*"))[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self, feature_set: str) -> tuple[SnapshotInfo, Arrays] | None:
        """Return the newest snapshot of a feature set that can be read; `None` where there is none: replay all."""
        for folder in sorted(self.folder.glob(f"*-{feature_set}"), reverse=True):
            try:
                info = msgspec.msgpack.decode((folder / "info.msgpack").read_bytes(), type=SnapshotInfo)
                return info, {path.stem: np.load(path) for path in folder.glob("*.npy")}
            except (OSError, ValueError, EOFError, msgspec.MsgspecError):
                continue
        return None
