"""Demographics: what a visitor said of himself; it outlives the hot row and leaves with him."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32
from nearline.schema.components import ALL_EXPIRED, Entity, Fold, FoldBatch, ReadContext, Rows, Tier
from nearline.schema.event import EVENT, Events
from nearline.schema.ids import key32
from nearline.schema.kernel import f4, i4, kernel, record, u1, u4
from nearline.schema.kinds import RESERVED
from nearline.schema.profile import AGE_GROUPS, GENDERS, PROFILE

AGE_GROUP, GENDER, LOCATION = (RESERVED[name] for name in PROFILE)
AGE_KEYS = np.array([key32(name) for name in AGE_GROUPS], np.uint32)
GENDER_KEYS = np.array([key32(name) for name in GENDERS], np.uint32)
DEMOGRAPHICS: np.dtype[np.void] = np.dtype([("location", "<u4"), ("age_group", "u1"), ("gender", "u1"), ("pad", "u1", (2,))])
"""location: key of its name; age_group, gender: place in `AGE_GROUPS` and `GENDERS` from 1; 0 where not declared."""


@kernel(record(DEMOGRAPHICS, packed=True), i4[::1], record(EVENT), u1[::1], u4[::1], u4[::1])
def _update(
    rows: Any,
    users: NDArray[np.int32],
    events: Events,
    reset: NDArray[np.uint8],
    age_keys: NDArray[np.uint32],
    gender_keys: NDArray[np.uint32],
) -> None:
    for i in range(len(users)):
        slot = users[i]
        if slot < 0:
            continue
        event: Any = events[i]
        row = rows[slot]
        if reset[i] >= ALL_EXPIRED:
            row.location, row.age_group, row.gender = 0, 0, 0
        if event.kind == LOCATION:
            row.location = event.category
        elif event.kind == AGE_GROUP:
            row.age_group = 0
            for place in range(len(age_keys)):
                if age_keys[place] == event.category:
                    row.age_group = place + 1
        elif event.kind == GENDER:
            row.gender = 0
            for place in range(len(gender_keys)):
                if gender_keys[place] == event.category:
                    row.gender = place + 1


class DemographicsFold:
    """Age group, gender and location as last declared (8 bytes)."""

    name = "demographics"
    entity: Entity = "user"
    tier: Tier = "history"
    dtype = DEMOGRAPHICS

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Set or withdraw what each profile event names."""
        _update(rows, batch.users, batch.events, batch.reset, AGE_KEYS, GENDER_KEYS)


@kernel(record(DEMOGRAPHICS), f4[:, ::1])
def _read(rows: Any, out: F32) -> None:
    row = rows[0]
    out[0, :] = row.age_group if row.age_group > 0 else np.nan
    out[1, :] = row.gender if row.gender > 0 else np.nan


class DemographicsFeature:
    """Age group (1 the youngest to 7) and gender (1..3), the same for every candidate; NaN where not declared.

    A location is no number that a tree could split: the source `segment` says what is chosen there.
    """

    name = "demographics"
    columns = ("age_group", "gender")
    time_based = False

    def __init__(self) -> None:
        self.folds: tuple[Fold, ...] = (DemographicsFold(),)

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `[2, n] float32`."""
        _read(context.user.rows["demographics"], out)
