"""Surfaces: how often an item is clicked where it is shown, by kind of page."""

from __future__ import annotations

from typing import Any

import numpy as np

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, i4, i8, kernel, record
from nearline.schema.query import SURFACE_CODES, SURFACES

EXPOSURE, CLICK = int(Role.EXPOSURE), int(Role.CLICK)
ITEM_SURFACES: np.dtype[np.void] = np.dtype([("exposures", "<u4", (len(SURFACES),)), ("clicks", "<u4", (len(SURFACES),))])
"""Counts by place in `SURFACES`, of events that answer a list."""


@kernel(record(ITEM_SURFACES), i4[::1], record(EVENT))
def _update(rows: Any, slots: I32, events: Events) -> None:
    for i in range(len(slots)):
        event: Any = events[i]
        if slots[i] < 0 or event.surface == 0 or event.surface > len(SURFACES):
            continue
        row = rows[slots[i]]
        if event.role == EXPOSURE:
            row.exposures[event.surface - 1] += 1
        elif event.role == CLICK:
            row.clicks[event.surface - 1] += 1


class ItemSurfacesFold:
    """All-time exposures and clicks of an item by surface, of lists alone (48 bytes); sums, so commutative."""

    name = "item_surfaces"
    entity: Entity = "item"
    tier: Tier = "history"
    dtype = ITEM_SURFACES

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Count each exposure and click that answers a list, where its surface is known."""
        _update(rows, batch.items, batch.events)


@kernel(record(ITEM_SURFACES), i4[::1], i8, f4[:, ::1])
def _read(rows: Any, items: I32, surface: int, out: F32) -> None:
    for i in range(len(items)):
        row = rows[items[i]]
        shown, clicked = 0.0, 0.0
        for s in range(len(SURFACES)):
            shown += row.exposures[s]
            clicked += row.clicks[s]
        # Towards 5 % with the weight of 20 exposures, as the counts of seven days; the surface's own towards that, so
        # that an item which was never shown there is as good as elsewhere.
        overall = (clicked + 1.0) / (shown + 20.0)
        own, here = 0.0, 0.0
        if surface > 0:
            own, here = np.float64(row.exposures[surface - 1]), np.float64(row.clicks[surface - 1])
        rate = (here + 20.0 * overall) / (own + 20.0)
        out[0, i] = own
        out[1, i] = rate
        out[2, i] = rate / overall


class SurfacesFeature:
    """A candidate on the surface that asks: its exposures there, its click rate there, and that against its rate everywhere.

    Rates are shrunken: the surface's towards the item's own of all surfaces, with the weight of 20 exposures. Only events that
    answer a list count. Off by default: it says something where one application has surfaces that differ.
    """

    name = "surfaces"
    default = False
    columns: tuple[str, ...] = ("surface_exposures", "surface_ctr", "surface_lift")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (ItemSurfacesFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[3, n] float32`."""
        surface = SURFACE_CODES.get(context.query.surface, 0)
        _read(context.rows["item_surfaces"], context.candidates.items, surface, out)
