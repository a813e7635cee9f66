"""Opening a log by its URL: the scheme is the name of the adapter's file in `stores/logs`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nearline.stores import logs
from nearline.stores.adapters import adapter
from nearline.stores.log import Log


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a tenant's log is.

    Attributes:
        url: such as "sqlite:" or "kafka://127.0.0.1:9092".
        folder: the tenant's own, for logs that are files.
        tenant: in the names of topics and tables.
        durability: "fsync" or "relaxed", for logs that are files.
        partitions: of `user_events` and `feedback`.
        read_only: whether it is only read.
        keep_days: how long records are kept at least, for logs that drop them by themselves.
    """

    url: str
    folder: Path
    tenant: str = "default"
    durability: str = "fsync"
    partitions: int = 1
    read_only: bool = False
    keep_days: int = 7


def open_log(place: LogPlace) -> Log:
    """Open a log.

    Raises:
        NearlineError: no such adapter, its client is not installed, or it refuses.
        StoreUnavailableError: it can't be reached.
    """
    opened: Log = adapter(logs, "storage.log", place.url).open_log(place)
    return opened
