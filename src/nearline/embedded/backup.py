"""Backup: a copy of a tenant that a server can start on, taken beside one that runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError
from nearline.stores.adapters import scheme_of, shown
from nearline.stores.logs.sqlite import SqliteLog


def backup(tenant: Tenant, to: Path) -> int:
    """Copy everything that can't be rebuilt, and what makes a start quick; return the bytes copied.

    The log comes before the lake: what is trimmed from the one meanwhile is in the other, so that there is no hole.

    Args:
        to: the `[storage] path` of the copy; new, or an empty folder.

    Raises:
        NearlineError: `to` holds something already, or log or lake are a server's, which has backups of its own.
    """
    if scheme_of(tenant.settings.storage.log) != "sqlite":
        remedy = "back that server up by its own means; the folder storage.path may be copied as it is"
        raise NearlineError("storage.log", shown(tenant.settings.storage.log), remedy)
    if tenant.lake.objects.remote:
        remedy = (
            "the lake is not on this machine: copy its bucket by its own means; the folder storage.path may be copied as it is"
        )
        raise NearlineError("storage.lake", shown(tenant.settings.storage.lake), remedy)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise NearlineError("to", str(to), "name a new folder: a backup is never written over anything")
    here, there = tenant.folder, to / tenant.name
    there.mkdir(parents=True)
    # A snapshot that is dropped while it is copied is incomplete, and passed over at the start.
    _copy(here / "snapshots", there / "snapshots")
    log = tenant.log(read_only=True)
    try:
        if isinstance(log, SqliteLog):
            log.copy(there / "log.sqlite")
    finally:
        log.close()
    with tenant.lake.locked():
        _copy_lake(tenant, to / "lake")
    _copy(here / "releases", there / "releases")
    for name in ("meta.json", "erased"):
        if (here / name).exists():
            shutil.copy2(here / name, there / name)
    return sum(path.stat().st_size for path in to.rglob("*") if path.is_file())


def _copy_lake(tenant: Tenant, to: Path) -> None:
    for name in tenant.lake.objects.names(tenant.name):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(tenant.lake.objects.read(name))


def _copy(source: Path, to: Path) -> None:
    """Copy a folder; files that vanish meanwhile and drafts that are still being written are left out."""
    for path in sorted(source.rglob("*")):
        place = path.relative_to(source)
        if any(part.startswith(".") for part in place.parts) or not path.is_file():
            continue
        (to / place).parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, to / place)
        except FileNotFoundError:
            continue
