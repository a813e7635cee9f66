"""Opening a log by its URL: the scheme is the name of the adapter's file in `stores/logs`."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from nearline.schema.errors import NearlineError
from nearline.stores import logs
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


def log_schemes() -> list[str]:
    """Return the schemes that there are adapters for."""
    return sorted(module.name for module in pkgutil.iter_modules(logs.__path__))


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, without what may be behind a plus sign."""
    return url.partition(":")[0].partition("+")[0].lower()


def shown(url: str) -> str:
    """Return a URL as it may be printed: without names, passwords and parameters."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


def open_log(place: LogPlace) -> Log:
    """Open a log.

    Raises:
        NearlineError: no such adapter, its client is not installed, or it refuses.
        StoreUnavailableError: it can't be reached.
    """
    scheme = scheme_of(place.url)
    if scheme not in log_schemes():
        raise NearlineError("storage.log", shown(place.url), f"use one of {', '.join(name + ':' for name in log_schemes())}")
    try:
        module = import_module(f"{logs.__name__}.{scheme}")
    except ImportError as error:
        remedy = f'its client is not installed ({error.name}): pip install "nearline[{scheme}]"'
        raise NearlineError("storage.log", shown(place.url), remedy) from error
    opened: Log = module.open_log(place)
    return opened
