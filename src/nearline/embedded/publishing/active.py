"""What is meaningful, and who did most of it of late."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches

import pyarrow as pa
import pyarrow.compute as pc

from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.event import CARRIED, ERASE
from nearline.schema.ids import key
from nearline.stores.history import pieces
from nearline.stores.log import Log

DAYS = 30
"""Days that the most active are looked for in."""
COLUMNS = ("user_id", "event_type", "timestamp")


def meaningful(tenant: Tenant) -> list[str]:
    """Return the event types after which lists are made anew.

    Raises:
        NearlineError: a setting names one that the application does not have.
    """
    names = [kind.name for kind in tenant.app.types]
    for name in (chosen := tenant.settings.publish.on):
        if name not in names:
            near = get_close_matches(name, names, 1)
            raise NearlineError("publish.on", name, f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}")
    return list(chosen) or [kind.name for kind in tenant.app.types if kind.weight > 0]


def most_active(tenant: Tenant, log: Log, n: int) -> list[tuple[str, int]]:
    """Return the users with most meaningful events in lake and log within `DAYS`, by id and key; erased ones are left out."""
    since, on = tenant.clock.now() - DAYS * DAY, meaningful(tenant)
    names = {*on, *(CARRIED + name for name in on)}
    counts: Counter[str] = Counter()
    for number in range(log.partitions):
        for piece in pieces(log.partition(number), tenant.lake.partition(number), "user_events", 0, COLUMNS):
            if isinstance(piece, pa.Table):
                gone = piece.filter(pc.equal(piece["event_type"], ERASE))["user_id"].to_pylist()
                fine = pc.and_(
                    pc.greater_equal(piece["timestamp"], since), pc.is_in(piece["event_type"], pa.array(sorted(names)))
                )
                found = Counter(
                    {one["values"]: one["counts"] for one in piece.filter(fine)["user_id"].value_counts().to_pylist()}
                )
            else:
                records = piece[1]
                gone = [record.user_id for record in records if record.event_type == ERASE]
                found = Counter(r.user_id for r in records if r.timestamp >= since and r.event_type in names)
            for user_id in gone:
                counts.pop(user_id, None)
                found.pop(user_id, None)
            counts.update(found)
    counts.pop("", None)
    return [(user_id, key(user_id)) for user_id, _ in counts.most_common(n)]
