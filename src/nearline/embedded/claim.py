"""A lake outside a tenant's folder is one log's own: two would give the same offsets to different events."""

from __future__ import annotations

import uuid

from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError
from nearline.stores.adapters import scheme_of, shown
from nearline.stores.buckets.file import FileObjects
from nearline.stores.objects import FILE

ID = "log.id"


def claim(tenant: Tenant) -> None:
    """Claim the lake for the log in this tenant's folder; a log that servers share is one log wherever they run.

    Raises:
        NearlineError: it is another log's.
        StoreUnavailableError: it does not answer.
    """
    storage = tenant.settings.storage
    if storage.lake == FILE or scheme_of(storage.log) != "sqlite":
        return
    here, there, name = FileObjects(tenant.folder), tenant.lake.objects, f"{tenant.name}/.log"
    here.create(ID, uuid.uuid4().hex.encode())
    own = here.read(ID)
    if not there.create(name, own) and there.read(name) != own:
        remedy = (
            f"another server's log is archived there: name another prefix; if that log is gone for good, delete {name} there"
        )
        raise NearlineError("storage.lake", shown(storage.lake), remedy)
