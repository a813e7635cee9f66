"""The release that an application can serve from."""

from __future__ import annotations

import copy
import logging

from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError
from nearline.stores.releases import Release

logger = logging.getLogger("nearline.release")


def current_release(tenant: Tenant) -> Release | None:
    """Return the release in service, `None` where there is none or where it does not fit the application."""
    version = tenant.releases.current()
    if not version:
        return None
    try:
        release = tenant.releases.load(version, tenant.feature_set)
        if (outcomes := release.manifest.outcomes) != list(tenant.app.outcomes):
            raise NearlineError("release", version, f"it predicts {outcomes}, the application other outcomes; train again")
        if (own := release.arrays.get(tenant.parts.ranker.name)) is not None:
            copy.copy(tenant.parts.ranker).load(own)  # it refuses what another version fitted
        return release
    except NearlineError as error:
        logger.warning("release not loaded; the streamed sources serve", extra={"error": str(error)})
        return None
