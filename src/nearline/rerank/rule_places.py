"""Declared places: pins and quotas of rules, on the page as it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.rerank.rule_effects import hits, lowest, touched
from nearline.schema.candidates import I32, Arranged, Ranked
from nearline.schema.components import UserState, World
from nearline.schema.kernel import b1, i4, i8, inline, kernel, u8
from nearline.schema.query import Query
from nearline.schema.rules import AT_LEAST, AT_MOST, PIN, InForce

SPARE = 8
"""Items kept for a rule beyond those it needs: another rule may want the same ones."""
Bits = NDArray[np.uint64]
_NO_LABEL = np.array([""], object)


@inline
def _bit(place: Any) -> Any:
    return np.uint64(1) << np.uint64(place & 63)


@inline
def _first(own: Any, rules: Any) -> Any:
    """Return the place of the first rule of some that an item is for, -1 for none."""
    for w in range(len(rules)):
        if own[w] & rules[w]:
            return 64 * w + lowest(own[w] & rules[w])
    return -1


@kernel(i4[::1], u8[:, ::1], i4[:, ::1], i4[::1])
def _reserve(items: I32, bits: Bits, rows: I32, out: I32) -> int:
    """Write the places of the first few items that each pin and each lower quota is for; return how many."""
    words = bits.shape[1]
    need, needy = np.zeros(64 * words, np.int64), np.zeros(words, np.uint64)
    for j in range(len(rows)):
        if rows[j, 1] != AT_MOST:
            need[rows[j, 0]] = rows[j, 2] + SPARE
            needy[rows[j, 0] >> 6] |= _bit(rows[j, 0])
    n = 0
    places = np.empty(len(items) + 1, np.int32)
    for i in places[: touched(items, bits, needy, places)]:
        chosen = False
        for w in range(words):
            own = bits[items[i], w] & needy[w]
            chosen = chosen or own != 0
            while own:
                place = 64 * w + lowest(own)
                need[place] -= 1
                if need[place] == 0:
                    needy[w] ^= _bit(place)
                own &= own - np.uint64(1)
        if chosen:
            out[n] = i
            n += 1
    return n


@kernel(i4[::1], u8[:, ::1], u8[::1], i4[:, ::1], i8, i4[::1], b1[::1], i4[::1], i8[::1])
def _arrange(
    items: I32,
    bits: Bits,
    rules: Bits,
    rows: I32,
    size: int,
    out: I32,
    held: NDArray[np.bool_],
    said: I32,
    done: NDArray[np.int64],
) -> None:
    """Fill a page with places, pins first, then from above: what a lower quota needs as late as it can be.

    Args:
        items: slots in ranked order, `[n]`.
        bits: rules by item, `[n_slots, words]`.
        rules: those of them that have rows, `[words]`.
        rows: place, action, count and window or position of each rule, highest priority first, `[m, 4]`.
        size: of the page.
        out: places in the new order, the page first, `[n]`.
        held: what a rule holds on the page, and keeps out of it, false before, `[n]`.
        said: place of the lower quota that an item on the page counts for, -1 before, `[page]`.
        done: effects by place of the rule.
    """
    n, m, words = len(items), len(rows), len(rules)
    page = min(size, n)
    # What each item is for, of the rules that have rows; of each rule its row, how many items it is for, and the first.
    own, row = np.zeros((n, words), np.uint64), np.full(64 * words, -1, np.int64)
    left, first, pinned = np.zeros(m, np.int64), np.full(m, n, np.int64), np.zeros(m, np.int64)
    for j in range(m):
        row[rows[j, 0]] = j
    meant = np.empty(n + 1, np.int32)
    meant = meant[: touched(items, bits, rules, meant)]
    for one in meant:
        for w in range(words):
            own[one, w] = rest = bits[items[one], w] & rules[w]
            while rest:
                j = row[64 * w + lowest(rest)]
                first[j] = min(first[j], one)
                left[j] += 1
                rest &= rest - np.uint64(1)
    need, room, window = np.zeros(m, np.int64), np.zeros(m, np.int64), np.zeros(m, np.int64)
    for j in range(m):
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
        word, bit = rows[j, 0] >> 6, _bit(rows[j, 0])
        for i in range(first[j], n if place >= 0 else 0):
            if own[i, word] & bit and not used[i]:
                at[place], used[i], held[place] = i, True, True
                done[rows[j, 0]] += i != place
                break
    for place in range(page):
        for w in range(words if at[place] >= 0 else 0):
            rest = own[at[place], w]
            while rest:
                j = row[64 * w + lowest(rest)]
                left[j] -= 1
                pinned[j] += place < window[j]
                rest &= rest - np.uint64(1)
    for j in range(m):
        if rows[j, 1] == AT_LEAST:
            need[j] = max(0, min(rows[j, 2] - pinned[j], left[j]))
        room[j] = rows[j, 2] - pinned[j]
    free = np.zeros(page + 1, np.int64)
    begin, next_ = 0, 0
    barring, needing = np.zeros(words, np.uint64), np.zeros(words, np.uint64)
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
        barring[:], needing[:] = 0, 0
        for k in range(m):
            j = by_window[k]
            if window[j] > here and rows[j, 1] == AT_MOST and room[j] <= 0:
                barring[rows[j, 0] >> 6] |= _bit(rows[j, 0])
            if window[j] > here and need[j] > 0 and k <= forced:
                needing[rows[j, 0] >> 6] |= _bit(rows[j, 0])
        # The best that may stand here; then, where one of those that are needed must, it is among what rules are for.
        natural, pick, ruler = -1, -1, m
        while used[begin]:
            begin += 1
        for i in range(begin, n):
            if not used[i]:
                barred = _first(own[i], barring)
                if barred < 0:
                    natural = i
                    break
                passed[i] = barred
        while next_ < len(meant) and meant[next_] < begin:
            next_ += 1
        for k in range(next_, len(meant) if natural >= 0 and forced >= 0 else 0):
            i = int(meant[k])
            if used[i] or i < natural:
                continue
            barred = _first(own[i], barring)
            if barred >= 0:
                passed[i] = barred
                continue
            needed = _first(own[i], needing)
            # Where not all can have what they need, the highest priority goes first.
            if needed >= 0 and row[needed] < ruler:
                pick, ruler = i, row[needed]
            if pick >= 0 and (not short or ruler == 0):
                break
        if pick < 0:
            pick = natural
        elif pick != natural:
            done[rows[ruler, 0]] += 1
        if pick < 0:
            # Nothing but what a quota bars is left: an empty place would be worse.
            for i in range(n):
                if not used[i]:
                    pick = i
                    break
        at[here], used[pick] = pick, True
        for w in range(words):
            rest = own[pick, w]
            while rest:
                j = row[64 * w + lowest(rest)]
                if here < window[j]:
                    if rows[j, 1] == AT_LEAST and need[j] > 0:
                        need[j] -= 1
                        held[here] = True
                    room[j] -= 1
                rest &= rest - np.uint64(1)
    for place in range(page):
        out[place] = at[place]
        for w in range(words):
            rest = own[at[place], w]
            while rest and said[place] < 0:
                j = row[64 * w + lowest(rest)]
                if rows[j, 1] == AT_LEAST and place < window[j]:
                    said[place] = rows[j, 0]
                rest &= rest - np.uint64(1)
    behind = page
    for i in range(n):
        if not used[i]:
            out[behind] = i
            behind += 1
    barring[:] = 0
    for j in range(m):
        if rows[j, 1] == AT_MOST and window[j] > 0 and room[j] <= 0:
            barring[rows[j, 0] >> 6] |= _bit(rows[j, 0])
    for place in range(page, n):
        # Chance may bring in as many as an upper quota has room for, the best ones: whatever it draws, the quota holds.
        for w in range(words):
            held[place] = held[place] or own[out[place], w] & barring[w] != 0
        for w in range(0 if held[place] else words):
            rest = own[out[place], w]
            while rest:
                j = row[64 * w + lowest(rest)]
                room[j] -= 1
                if rows[j, 1] == AT_MOST and window[j] > 0 and room[j] <= 0:
                    barring[w] |= _bit(rows[j, 0])
                rest &= rest - np.uint64(1)
    for place in range(n):
        if passed[out[place]] >= 0 and place > out[place]:
            done[passed[out[place]]] += 1


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
        return out[: _reserve(np.ascontiguousarray(items), force.bits, force.places, out)]

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32 | Arranged:
        """Return places with the page first, `[n] int32`, what is held on it, and labels."""
        n, force = len(ranked.scores), self._force(query, user)
        if force is None or force.arrange is None:
            return np.arange(n, dtype=np.int32)
        out, held, said = np.empty(n, np.int32), np.zeros(n, np.bool_), np.full(min(size, n), -1, np.int32)
        items, done = np.ascontiguousarray(ranked.candidates.items), hits(user, force)
        _arrange(items, force.bits, force.arrange, force.places, size, out, held, said, done)
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
    labels = np.repeat(_NO_LABEL, len(places)) if ranked.labels is None else ranked.labels[places]
    for place, label in own:
        labels[place] = label
    return labels
