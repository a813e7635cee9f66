"""A tenant's state as a server would have it at its start, for commands that read it without one; nothing is written."""

from __future__ import annotations

from pathlib import Path

from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError
from nearline.stores.adapters import scheme_of
from nearline.stream.local import LocalStream


def restored(tenant: Tenant) -> LocalStream:
    """Return the newest snapshot with the rest of lake and log folded in.

    Raises:
        NearlineError: there is no data.
    """
    folder = Path(tenant.settings.storage.path) / tenant.name
    if scheme_of(tenant.settings.storage.log) == "sqlite" and not (folder / "log.sqlite").exists():
        remedy = "there is no data yet: import some, or start a server with `nearline serve`; or name another --app"
        raise NearlineError("storage.path", str(folder), remedy)
    log = tenant.log(read_only=True)
    try:
        stream = LocalStream(tenant)
        stream.restore(log)
    finally:
        log.close()
    return stream
