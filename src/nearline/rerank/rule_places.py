"""Declared places: pins and quotas of rules, on the page as it is shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.rerank.rule_effects import lowest, note
from nearline.schema.candidates import I32, Arranged, Ranked
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, kernel, u8
from nearline.schema.query import Query
from nearline.schema.rules import AT_LEAST, AT_MOST, PIN, InForce

SPARE = 8
"""Items kept for a rule beyond those it needs: another rule may want the same ones."""
Bits = NDArray[np.uint64]


@kernel(i4[::1], u8[:, ::1], u8[::1], i4[:, ::1], i4[::1])
def _reserve(items: I32, bits: Bits, rules: Bits, rows: I32, out: I32) -> int:
    """Write the places of the first few items that each pin and each lower quota is for; return how many."""
    need = np.zeros(64 * len(rules), np.int64)
    for j in range(len(rows)):
        if rows[j, 1] != AT_MOST:
            need[rows[j, 0]] = rows[j, 2] + SPARE
    n = 0
    for i in range(len(items)):
        chosen = False
        for w in range(len(rules) if items[i] < len(bits) else 0):
            own = bits[items[i], w] & rules[w]
            while own:
                place = 64 * w + lowest(own)
                chosen = chosen or need[place] > 0
                need[place] -= 1
                own &= own - np.uint64(1)
        if chosen:
            out[n] = i
            n += 1
    return n


@kernel(i4[::1], u8[:, ::1], i4[:, ::1], i8, i4[::1], b1[::1], i4[::1], i8[::1])
def _arrange(
    items: I32,
    bits: Bits,
    rows: I32,
    size: int,
    out: I32,
    held: NDArray[np.bool_],
    said: I32,
    hits: NDArray[np.int64],
) -> None:
    """Fill a page with places, pins first, then from above: what a lower quota needs as late as it can be.

    Args:
        items: slots in ranked order, `[n]`.
        bits: rules by item, `[n_slots, words]`.
        rows: place, action, count and window or position of each rule, highest priority first, `[m, 4]`.
        size: of the page.
        out: places in the new order, the page first, `[n]`.
        held: what a rule holds on the page, and keeps out of it, false before, `[n]`.
        said: place of the lower quota that an item on the page counts for, -1 before, `[n]`.
        hits: effects by place of the rule.
    """
    n, m = len(items), len(rows)
    page = min(size, n)
    match = np.zeros((m, n), np.bool_)
    need, room, window = np.zeros(m, np.int64), np.zeros(m, np.int64), np.zeros(m, np.int64)
    for j in range(m):
        word, bit = rows[j, 0] >> 6, np.uint64(rows[j, 0] & 63)
        for i in range(n):
            match[j, i] = items[i] < len(bits) and (bits[items[i], word] >> bit) & np.uint64(1)
        window[j] = min(rows[j, 3], page)
    by_window = np.argsort(window)
    used, passed = np.zeros(n, np.bool_), np.full(n, -1, np.int32)
    at = np.full(page, -1, np.int32)
    for j in range(m):
        if rows[j, 1] != PIN or rows[j, 3] > size:
            continue
        # The next free place from its position on; else the next one above.
        place = min(rows[j, 3], page) - 1
        while place < page and at[place] >= 0:
            place += 1
        if place == page:
            place = min(rows[j, 3], page) - 1
            while place >= 0 and at[place] >= 0:
                place -= 1
        for i in range(n if place >= 0 else 0):
            if match[j, i] and not used[i]:
                at[place], used[i], held[place] = i, True, True
                hits[rows[j, 0]] += i != place
                break
    for j in range(m):
        left, pinned = 0, 0
        for i in range(n):
            left += match[j, i] and not used[i]
        for place in range(window[j]):
            pinned += at[place] >= 0 and match[j, at[place]]
        if rows[j, 1] == AT_LEAST:
            need[j] = max(0, min(rows[j, 2] - pinned, left))
        room[j] = rows[j, 2] - pinned
    free = np.zeros(page + 1, np.int64)
    for here in range(page):
        if at[here] >= 0:
            continue
        for place in range(here, page):
            free[place + 1] = (free[place] if place > here else 0) + (at[place] < 0)
        # Narrow windows first: where together they need all places that are left, one of theirs must come now.
        total, forced = 0, -1
        for k in range(m):
            j = by_window[k]
            if need[j] > 0 and window[j] > here:
                total += need[j]
                if total >= free[window[j]]:
                    forced = k
                    break
        short = forced >= 0 and total > free[window[by_window[forced]]]
        natural, pick, ruler = -1, -1, m
        for i in range(n):
            if used[i]:
                continue
            barred = -1
            for j in range(m):
                if rows[j, 1] == AT_MOST and here < window[j] and room[j] <= 0 and match[j, i]:
                    barred = j
                    break
            if barred >= 0:
                passed[i] = rows[barred, 0]
                continue
            if natural < 0:
                natural = i
                if forced < 0:
                    break
            for k in range(forced + 1):
                j = by_window[k]
                if need[j] > 0 and window[j] > here and match[j, i] and j < ruler:
                    # Where not all can have what they need, the highest priority goes first.
                    pick, ruler = i, j
            if pick >= 0 and (not short or ruler == 0):
                break
        if pick < 0:
            pick = natural
        elif pick != natural:
            hits[rows[ruler, 0]] += 1
        if pick < 0:
            # Nothing but what a quota bars is left: an empty place would be worse.
            for i in range(n):
                if not used[i]:
                    pick = i
                    break
        at[here], used[pick] = pick, True
        for j in range(m):
            if match[j, pick] and here < window[j]:
                if rows[j, 1] == AT_LEAST and need[j] > 0:
                    need[j] -= 1
                    held[here] = True
                room[j] -= 1
    for place in range(page):
        out[place] = at[place]
        for j in range(m):
            if said[place] < 0 and rows[j, 1] == AT_LEAST and place < window[j] and match[j, at[place]]:
                said[place] = rows[j, 0]
    rest = page
    for i in range(n):
        if not used[i]:
            out[rest] = i
            rest += 1
    for place in range(page, n):
        # Chance may bring in as many as an upper quota has room for, the best ones: whatever it draws, the quota holds.
        for j in range(m):
            if rows[j, 1] == AT_MOST and window[j] > 0 and match[j, out[place]] and room[j] <= 0:
                held[place] = True
        for j in range(0 if held[place] else m):
            room[j] -= match[j, out[place]]
    for place in range(n):
        if passed[out[place]] >= 0 and place > out[place]:
            hits[passed[out[place]]] += 1


class RulePlaces:
    """Pins items at positions and holds quotas, as declared rules say, whatever the rules before did.

    A pin takes its place before all else; a lower quota brings up the best that match, as late as it can; an upper quota
    lets others pass, and gives way where nothing else is left. Items that were off the list come back for it.
    """

    name = "rule_places"
    order = 95
    always = True

    def bind(self, world: World) -> None:
        """Read this world's rules."""
        self._world = world

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether a rule in force pins anything or has a quota."""
        return self._force(query, user) is not None

    def reserve(self, query: Query, user: UserState, items: I32) -> I32:
        """Return places of what rules in force may need, `[m] int32`."""
        force = self._force(query, user)
        if force is None or force.arrange is None:
            return np.empty(0, np.int32)
        out = np.empty(len(items), np.int32)
        return out[: _reserve(np.ascontiguousarray(items), force.bits, force.arrange, force.places, out)]

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32 | Arranged:
        """Return places with the page first, `[n] int32`, what is held on it, and labels."""
        n, force = len(ranked.scores), self._force(query, user)
        if force is None:
            return np.arange(n, dtype=np.int32)
        out, held, said = np.empty(n, np.int32), np.zeros(n, np.bool_), np.full(n, -1, np.int32)
        hits = np.zeros(len(force.names), np.int64)
        _arrange(np.ascontiguousarray(ranked.candidates.items), force.bits, force.places, size, out, held, said, hits)
        note(user, force, hits)
        if ranked.held is not None:
            held |= ranked.held[out]
        return Arranged(out, labels=_labels(ranked, force, out, said), held=held)

    def _force(self, query: Query, user: UserState) -> InForce | None:
        force = self._world.rules.in_force(query, user.slot >= 0)
        return None if force is None or force.arrange is None else force


def _labels(ranked: Ranked, force: InForce, places: I32, said: I32) -> NDArray[np.object_] | None:
    """Return the labels in the new order, `None` where there are none."""
    own = [(place, force.labels[rule]) for place, rule in enumerate(said.tolist()) if rule >= 0 and force.labels[rule]]
    if not own:
        return None
    labels = np.full(len(places), "", object) if ranked.labels is None else ranked.labels[places]
    for place, label in own:
        labels[place] = label
    return labels
