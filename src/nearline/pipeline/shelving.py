"""Shelving: the ranked candidates of one request are dealt out over the rows of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Candidates, Ranked, Retrieved
from nearline.schema.components import Source, World
from nearline.schema.conditions import Condition
from nearline.schema.kernel import f4, i4, inline, kernel, u1
from nearline.schema.page import Page, Row, Shelf
from nearline.schema.query import Query

HEAD = 5
"""Items of a row that its place on the page depends on."""
SPARE = 4
"""Times a row's size that arrangements get to see."""
Arranging = Callable[[Ranked, int], Ranked]
Values = NDArray[np.int32] | NDArray[np.uint32]


@runtime_checkable
class Listing(Protocol):
    """A source with editorial lists."""

    def shown(self, query: Query) -> Mapping[str, tuple[str, I32]]:
        """Return the lists in force by name: title and items (slots), in order."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """What a row may have.

    Attributes:
        shelf: as it will be; its `ranked` is the whole list.
        places: into the ranked list, in the row's order, `[n] int32`.
        source: place of the source that it is asked of, -1 for whichever found an item.
        reasons: that source's own, by place of the ranked list, `[m] int32`; `None` for whichever.
    """

    shelf: Shelf
    places: I32
    source: int = -1
    reasons: I32 | None = None


@inline
def _claim(places: I32, size: int, used: Any) -> int:
    """Take the first places that nobody has; return how many."""
    count = 0
    for place in places:
        if count < size and not used[place]:
            used[place] = 1
            count += 1
    return count


@kernel(i4[::1], i4[::1], f4[::1], i4[::1], i4[::1], i4[::1], u1[::1], i4[::1])
def _order(
    places: I32, starts: I32, scores: F32, sizes: I32, least: I32, fixed: I32, used: NDArray[np.uint8], chosen: I32
) -> int:
    """Choose rows from the top of the page down, each with what no other has; return how many.

    Fixed rows (`fixed` is where, -1 for none) take their items first and stand where they must. Of the others the next is
    the one whose head is worth most: the sum of its first items' scores, each divided by the logarithm of its place (DCG).
    """
    gone = np.zeros(len(sizes), np.uint8)
    for g in range(len(sizes)):
        if fixed[g] >= 0 and _claim(places[starts[g] : starts[g + 1]], sizes[g], used) < least[g]:
            gone[g] = 1
    rows = 0
    while rows < len(chosen):
        pick, turn, most = -1, 1 << 30, np.float32(0.0)
        for g in range(len(sizes)):
            if not gone[g] and 0 <= fixed[g] < turn:
                pick, turn = g, fixed[g]
        if turn > rows:
            # None must stand here; the one whose turn would be next moves up where nothing else is left.
            best = -1
            for g in range(len(sizes)):
                if gone[g] or fixed[g] >= 0:
                    continue
                value, free = np.float32(0.0), 0
                for p in range(starts[g], starts[g + 1]):
                    if used[places[p]]:
                        continue
                    if free < HEAD:
                        value += scores[places[p]] / np.float32(np.log2(free + 2.0))
                    free += 1
                    if free >= HEAD and free >= least[g]:
                        break
                if free < least[g]:
                    gone[g] = 1
                elif best < 0 or value > most:
                    best, most = g, value
            pick = best if best >= 0 else pick
        if pick < 0:
            break
        if fixed[pick] < 0:
            _claim(places[starts[pick] : starts[pick + 1]], sizes[pick], used)
        gone[pick] = 1
        chosen[rows] = pick
        rows += 1
    return rows


def groups(
    page: Page, query: Query, ranked: Ranked, sources: Sequence[Source], retrieved: Mapping[int, Retrieved], world: World
) -> list[Group]:
    """Return what each row may have, in the order of declaration."""
    named = {source.name: place for place, source in enumerate(sources)}
    lists = next((source.shown(query) for source in sources if isinstance(source, Listing)), {})
    found: list[Group] = []
    for row in page.rows:
        fine = np.ones(len(ranked.scores), np.bool_)
        if row.filter:
            conditions = tuple(one for one in row.filter if isinstance(one, Condition))
            fine = world.attributes.kept(conditions, query.now, ranked.candidates.items)
        if row.list:
            for name in lists if row.list == "*" else [row.list] if row.list in lists else []:
                title, items = lists[name]
                found.append(Group(Shelf(row, ranked, name=name, title=title), _places(items, ranked, fine)))
            continue
        at, reasons = -1, None
        if row.source:
            if row.source not in named:
                continue
            at = named[row.source]
            fine = fine & (ranked.candidates.ranks[:, at] > 0)
            reasons = _reasons(retrieved[at], ranked.candidates.items) if at in retrieved else None
        title = row.title or (sources[at].template if at >= 0 else "")
        places = np.flatnonzero(fine).astype(np.int32)
        if "{title}" in title:
            whose = ranked.candidates.because if reasons is None else reasons
            for because, own in _apart(places, np.where(whose == ranked.candidates.items, -1, whose), -1, ranked.scores, row):
                found.append(Group(Shelf(row, ranked, because=because), own, at, reasons))
        elif "{category}" in title:
            categories = world.columns.category[ranked.candidates.items]
            for category, own in _apart(places, categories, 0, ranked.scores, row):
                found.append(Group(Shelf(row, ranked, category=category), own, at, reasons))
        else:
            found.append(Group(Shelf(row, ranked), places, at, reasons))
    return found


def dealt(page: Page, found: Sequence[Group], arranged: Arranging) -> list[Shelf]:
    """Return the rows of a page, filled, from the top down.

    Args:
        arranged: what the arrangements make of the head of a row; a list's order stays.
    """
    if not found:
        return []
    ranked = found[0].shelf.ranked
    starts = np.zeros(len(found) + 1, np.int32)
    starts[1:] = np.cumsum([len(group.places) for group in found])
    declared = {row: place for place, row in enumerate(page.rows)}
    rows = [group.shelf.row for group in found]
    chosen = np.empty(min(page.most, len(found)), np.int32)
    n = _order(
        np.concatenate([group.places for group in found]),
        starts,
        np.ascontiguousarray(ranked.scores),
        np.array([row.size for row in rows], np.int32),
        np.array([row.least for row in rows], np.int32),
        np.array([declared[row] if row.fixed else -1 for row in rows], np.int32),
        np.zeros(len(ranked.scores), np.uint8),
        chosen,
    )
    free = np.ones(len(ranked.scores), np.bool_)
    filled: dict[int, Shelf] = {}
    for g in sorted(chosen[:n].tolist(), key=lambda g: not rows[g].fixed):
        row, places = rows[g], found[g].places
        places = places[free[places]][: row.size if row.list else SPARE * row.size]
        if len(places) < row.least:
            continue
        own = _own(found[g], places)
        own = (own if row.list else arranged(own, row.size)).take(np.arange(min(row.size, len(places)), dtype=np.int32))
        free[places[np.isin(ranked.candidates.items[places], own.candidates.items)]] = False
        filled[g] = replace(found[g].shelf, ranked=own)
    return [filled[g] for g in chosen[:n].tolist() if g in filled]


def _own(group: Group, places: I32) -> Ranked:
    """Return some of a group's items with the source and the reason of its row."""
    ranked = group.shelf.ranked.take(places)
    c = ranked.candidates
    source = c.source if group.source < 0 else np.full(len(places), group.source, np.int32)
    because = c.because if group.reasons is None else group.reasons[places]
    return replace(ranked, candidates=Candidates(c.items, c.retrieval, c.ranks, source, because, c.fusion))


def _apart(places: I32, values: Values, none: int, scores: F32, row: Row) -> Iterator[tuple[int, I32]]:
    """Yield what a row's places have in common and those places: the values whose heads are worth most, at most `row.most`."""
    own = values[places]
    worth: list[tuple[float, int]] = []
    for value in dict.fromkeys(own[own != none].tolist()):
        head = places[own == value]
        if len(head) >= row.least:
            worth.append((-float(scores[head[:HEAD]].sum()), value))
    for _, value in sorted(worth)[: row.most]:
        yield value, places[own == value]


def _reasons(found: Retrieved, items: I32) -> I32:
    """Return a source's own reason for each item, -1 for none."""
    if not len(found.items):
        return np.full(len(items), -1, np.int32)
    order = np.argsort(found.items)
    at = order[np.searchsorted(found.items[order], items).clip(max=len(order) - 1)]
    return np.where(found.items[at] == items, found.because[at], -1).astype(np.int32)


def _places(wanted: I32, ranked: Ranked, fine: NDArray[np.bool_]) -> I32:
    """Return where wanted items are in the ranked list, in their own order."""
    items = ranked.candidates.items
    if not len(items):
        return np.empty(0, np.int32)
    order = np.argsort(items)
    at = order[np.searchsorted(items[order], wanted).clip(max=len(order) - 1)]
    found: I32 = at[(items[at] == wanted) & fine[at]].astype(np.int32)
    return found
