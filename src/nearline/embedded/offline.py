"""Explanations without a server: a tenant's data is read, beside a server or after it, and nothing is written."""

from __future__ import annotations

import msgspec

from nearline.app.binding import build_pipeline
from nearline.app.release import current_release
from nearline.app.tenant import Tenant
from nearline.embedded.restored import restored
from nearline.schema.query import Query
from nearline.serving.recommender import Recommender
from nearline.serving.why import Why, why


def explain_offline(tenant: Tenant, query: Query, item_id: str) -> Why | None:
    """Return why an item is in the list that a query gets now, or why not; `None` where the item never came.

    State is restored as at a server's start: the newest snapshot, then the rest of lake and log.

    Args:
        query: `now` is overridden by the tenant's clock; there is no budget, so that nothing is late.

    Raises:
        NearlineError: there is no data.
    """
    stream = restored(tenant)
    world, release = stream.world, current_release(tenant)
    if world.catalog.slot(item_id) < 0:
        return None
    arrays, version = (release.arrays, release.manifest.version) if release else ({}, "")
    pipeline = build_pipeline(tenant, world, arrays, version)
    query = msgspec.structs.replace(query, now=tenant.clock.now(), debug=True, limits=False, log=False)
    pipeline.renew(query.now)
    recommender = Recommender(tenant, world, pipeline)
    run = recommender.start(query)
    pipeline.advance(run)
    served, _ = recommender.finish(run, pipeline)
    return why(run, pipeline, served, world, item_id)
