"""What segments of visitors choose: weights by segment and item, moved by each event.

A segment is what visitors have in common: nothing (everyone); device and part of the day; location; age group and gender; all
three declared attributes. The first 64 segments that occur are kept; whoever is in another is served by the wider ones. All
weights halve every two days together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, HOUR
from nearline.schema.components import ALL_EXPIRED, Arrays, FoldBatch
from nearline.schema.event import EVENT, Events, Role
from nearline.schema.kernel import f4, f8, i4, i8, inline, kernel, record, u1, u4, u8
from nearline.schema.kinds import RESERVED
from nearline.schema.profile import PROFILE

FIRST = RESERVED[PROFILE[0]]
LEVELS, MOST = 5, 64
WIDTH = 2 * DAY
PARTS = 6 * HOUR
"""Parts of the day: night, morning, afternoon, evening (UTC)."""
ENOUGH = 20_000.0
"""Weight (hundredths; a hundred clicks) at which a segment counts as much as the wider one it is backed by."""
VIEW, CONVERSION = int(Role.VIEW), int(Role.CONVERSION)
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


@inline
def _keys(profile: Any, device: Any, ts: Any, out: U64) -> None:
    """Write the keys of a visitor's segments, from everyone on to the narrowest; 0 where he is in none of that level."""
    age, gender, place = np.uint64(profile[0]), np.uint64(profile[1]), np.uint64(profile[2])
    prime, one = np.uint64(0x9E3779B97F4A7C15), np.uint64(1)
    both = (age + one) * prime ^ (gender + np.uint64(2)) * prime * prime
    out[0] = one
    out[1] = np.uint64(2) + np.uint64(4) * np.uint64(device) + np.uint64(ts // PARTS % 4)
    out[2] = (place + one) * prime if place != 0 else np.uint64(0)
    out[3] = both if age != 0 or gender != 0 else np.uint64(0)
    out[4] = both * prime ^ place if place != 0 and out[3] != 0 else np.uint64(0)


@inline
def _row(keys: U64, count: int, key: Any) -> int:
    for row in range(count):
        if keys[row] == key:
            return row
    return -1


@kernel(u4[:, ::1], u8[::1], i4[:, ::1], i8[::1], i8[::1], i4[::1], i4[::1], record(EVENT), u1[::1])
def _update(
    profiles: U32,
    keys: U64,
    weights: I32,
    totals: I64,
    meta: I64,
    users: I32,
    items: I32,
    events: Events,
    reset: NDArray[np.uint8],
) -> None:
    own = np.zeros(LEVELS, np.uint64)
    for i in range(len(users)):
        user = users[i]
        if user < 0:
            continue
        if reset[i] >= ALL_EXPIRED:
            profiles[user, :] = 0
        event: Any = events[i]
        if event.kind >= FIRST and event.kind < FIRST + 3:
            profiles[user, event.kind - FIRST] = event.category
        if items[i] < 0 or event.role < VIEW or event.role > CONVERSION or event.weight < 10:
            continue
        tile = event.ts // WIDTH
        if meta[0] > 0 and tile > meta[1]:
            # Halving twice is halving by four: it does not matter how many steps lead there.
            steps = min(31, tile - meta[1])
            for row in range(meta[0]):
                total = 0
                for item in range(weights.shape[1]):
                    weights[row, item] >>= steps
                    total += weights[row, item]
                totals[row] = total
        if meta[0] == 0 or tile > meta[1]:
            meta[1] = tile
        weight = (event.weight // 10) >> min(31, meta[1] - tile)
        _keys(profiles[user], event.device, event.ts, own)
        for level in range(LEVELS if weight > 0 else 0):
            if own[level] == 0:
                continue
            row = _row(keys, meta[0], own[level])
            if row < 0 and meta[0] < MOST:
                row = meta[0]
                keys[row] = own[level]
                meta[0] += 1
            if row >= 0 and weights[row, items[i]] < 1 << 30:
                weights[row, items[i]] += weight
                totals[row] += weight


@kernel(u4[::1], i8, i8, u8[::1], i8, i4[::1])
def _chain(profile: U32, device: int, now: int, keys: U64, count: int, rows: I32) -> int:
    own = np.zeros(LEVELS, np.uint64)
    _keys(profile, device, now, own)
    known = 0
    for level in range(LEVELS):
        rows[level] = _row(keys, count, own[level]) if own[level] != 0 else -1
        known += level > 0 and rows[level] >= 0
    return known


@kernel(i4[:, ::1], i8[::1], f8, i4[::1], i4[::1], f4[::1])
def _shares(weights: I32, totals: I64, scale: float, rows: I32, items: I32, out: F32) -> None:
    out[:] = 0.0
    for level in range(len(rows)):
        row = rows[level]
        if row < 0:
            continue
        # Everyone's share is the root, and has nothing behind it.
        behind = np.float32(ENOUGH if level > 0 else 1.0)
        own_scale = np.float32(scale)
        whole = np.float32(totals[row]) * own_scale + behind
        for i in range(len(items)):
            own = np.float32(weights[row, items[i]] if items[i] < weights.shape[1] else 0) * own_scale
            out[i] = (own + behind * out[i]) / whole


class SegmentTables:
    """Weights (hundredths of the event weights) by segment and item: 4 bytes for each of both."""

    name = "segments"

    def __init__(self) -> None:
        self.users = self.items = 0
        self.profiles = np.zeros((0, 3), np.uint32)
        self.keys = np.zeros(MOST, np.uint64)
        self.weights = np.zeros((MOST, 0), np.int32)
        self.totals = np.zeros(MOST, np.int64)
        self.meta = np.zeros(2, np.int64)
        """How many segments are kept, and the tile of two days that the weights are of."""

    def update(self, batch: FoldBatch) -> None:
        """Follow who declares what, and add each choice to the segments of who made it."""
        if not len(batch.users):
            return
        self.users = max(self.users, int(batch.users.max()) + 1)
        self.items = max(self.items, int(batch.items.max()) + 1)
        self._make_room()
        _update(
            self.profiles,
            self.keys,
            self.weights,
            self.totals,
            self.meta,
            batch.users,
            batch.items,
            batch.events,
            batch.reset,
        )

    def chain(self, user: int, location: int, device: int, now: int) -> tuple[I32, int]:
        """Return the rows of a visitor's segments, from everyone on, `[5] int32`, -1 for none; and how many are narrower.

        Args:
            user: slot, -1 for a stranger.
            location: key of where he is, for who declared none; 0 for unknown.
            device: its code.
            now: ms UTC.
        """
        profile = np.zeros(3, np.uint32)
        if 0 <= user < len(self.profiles):
            profile[:] = self.profiles[user]
        if profile[2] == 0:
            profile[2] = location
        rows = np.empty(LEVELS, np.int32)
        return rows, _chain(profile, device, now, self.keys, int(self.meta[0]), rows)

    def shares(self, rows: I32, items: I32, now: int) -> F32:
        """Return the items' shares of what a chain of segments chooses, each backed by the wider one, `[n] float32`."""
        out = np.empty(len(items), np.float32)
        scale = 0.5 ** max(0, min(31, now // WIDTH - int(self.meta[1])))
        _shares(self.weights, self.totals, scale, rows, items, out)
        return out

    def forget(self, user: int) -> None:
        """Clear what a visitor declared; what he chose is a count among others, and stays."""
        if user < len(self.profiles):
            self.profiles[user] = 0

    def dump(self) -> Arrays:
        """Return the tables as arrays."""
        n = int(self.meta[0])
        return {
            "profiles": self.profiles[: self.users],
            "keys": self.keys[:n],
            "weights": np.ascontiguousarray(self.weights[:n, : self.items]),
            "meta": self.meta,
        }

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        n, self.items = arrays["weights"].shape
        self.users = len(arrays["profiles"])
        self.profiles, self.weights = np.zeros((0, 3), np.uint32), np.zeros((MOST, 0), np.int32)
        self._make_room()
        self.profiles[: self.users] = arrays["profiles"]
        self.weights[:n, : self.items] = arrays["weights"]
        self.keys[:n], self.meta = arrays["keys"], arrays["meta"].copy()
        self.totals[:] = 0
        self.totals[:n] = arrays["weights"].sum(axis=1, dtype=np.int64)

    def nbytes(self) -> int:
        """Return the bytes in use; of segments that nobody is in, the system gives no memory."""
        return int(self.profiles.nbytes + int(self.meta[0]) * self.weights.shape[1] * 4)

    def _make_room(self) -> None:
        if self.users > len(self.profiles):
            profiles = np.zeros((self.users + self.users // 2 + 64, 3), np.uint32)
            profiles[: len(self.profiles)] = self.profiles
            self.profiles = profiles
        if self.items > self.weights.shape[1]:
            weights, n = np.zeros((MOST, self.items + self.items // 2 + 64), np.int32), int(self.meta[0])
            weights[:n, : self.weights.shape[1]] = self.weights[:n]
            self.weights = weights
