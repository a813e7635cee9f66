"""What is outside this machine as objects: the lake and the registry of releases in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.adapters import shown
from nearline.stores.finding import Finding
from nearline.stores.objects import FILE

if TYPE_CHECKING:
    from nearline.embedded.doctor import System

REMEDY = "let this machine reach it; see the bucket's name, and AWS_ENDPOINT_URL, AWS_REGION and the key in the environment"


def look(system: System) -> Iterator[Finding]:
    """Yield whether lake and registry answer, and whether the release they name is here."""
    storage, releases = system.tenant.settings.storage, system.tenant.releases
    if system.lake_away:
        why = "nothing is archived, and training and a start without a snapshot wait for it; lists are served"
        yield Finding("wrong", "lake", system.lake_away, why, REMEDY)
    elif system.log is not None and storage.lake != FILE:
        yield Finding("ok", "lake", shown(storage.lake))
    if storage.releases == FILE:
        return
    here = releases.current()
    try:
        published = releases.published()
    except StoreUnavailableError as error:
        why = f"new releases don't come here; {here or 'no release'} serves"
        yield Finding("wrong", "registry", str(error), why, REMEDY)
        return
    told = f"{shown(storage.releases)}: {published or 'no release yet'}"
    if published not in ("", here):
        why = f"{here or 'no release'} serves here: a server that runs takes a new one up within seconds"
        yield Finding("warning", "registry", told, why, "start the server, or see its log for why it refused it")
    else:
        yield Finding("ok", "registry", told)
