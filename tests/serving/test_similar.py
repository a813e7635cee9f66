"""Similar items: two lists become one, and filters look no further than they must."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nearline.schema.candidates import I32, NOTHING, Candidates, Retrieved
from nearline.schema.components import UserState
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.serving.similar import Similar, similar_items
from nearline.sources.content import ContentSource
from nearline.sources.covisit import CovisitSource

N = 300
QUERY = Query(0, 1_760_000_000_000)


class Covisit(CovisitSource):
    def __init__(self, found: Retrieved) -> None:
        self.found = found

    def after(self, recent: I32, limit: int) -> Retrieved:
        return self.found


class Content(ContentSource):
    def __init__(self, found: Retrieved) -> None:
        self.found = found

    def like(self, recent: I32, limit: int) -> Retrieved:
        return self.found


class Drops:
    """A filter that drops some slots and notes how many candidates it was shown."""

    name = "drops"

    def __init__(self, slots: list[int]) -> None:
        self.slots, self.shown = slots, list[int]()

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        self.shown.append(len(candidates))
        return ~np.isin(candidates.items, self.slots)


def found(*pairs: tuple[int, float]) -> Retrieved:
    items, scores = [slot for slot, _ in pairs], [score for _, score in pairs]
    return Retrieved(np.array(items, np.int32), np.array(scores, np.float32), np.full(len(items), -1, np.int32))


def ask(
    behaviour: Retrieved,
    content: Retrieved,
    limit: int,
    diversity: float = 0.0,
    filters: tuple[Drops, ...] = (),
    withdrawn: tuple[int, ...] = (),
    items: dict[str, Item] | None = None,
) -> list[Similar]:
    known = {f"i{slot}": (items or {}).get(f"i{slot}", Item(f"i{slot}")) for slot in range(N) if slot not in withdrawn}
    available = np.ones(N, np.bool_)
    available[list(withdrawn)] = False
    columns = SimpleNamespace(
        available=available, category=1 + np.arange(N, dtype=np.uint32) // 100, brand=np.zeros(N, np.uint32)
    )
    world: Any = SimpleNamespace(
        columns=columns,
        catalog=SimpleNamespace(items=known, ids=[f"i{slot}" for slot in range(N)]),
        hydrate=lambda visitor, now: UserState(-1, {}, -1),
    )
    breakers = SimpleNamespace(open=lambda name: False)
    pipeline: Any = SimpleNamespace(sources=[Covisit(behaviour), Content(content)], filters=filters, breakers=breakers)
    return similar_items(world, pipeline, 0, QUERY, limit, diversity)


def test_two_lists_become_one() -> None:
    behaviour = found((5, 10.0), (3, 5.0), (9, 2.0), (7, 1.0))
    # The item asked for is always most like itself; shares count from it.
    content = found((0, 4.0), (3, 2.0), (8, 1.0), (6, 1.0))
    out = ask(behaviour, content, 10, withdrawn=(9,))
    assert [(s.item_id, s.similarity_score, s.similarity_type) for s in out] == [
        ("i5", 0.7, "behaviour"),
        ("i3", 0.5, "both"),
        ("i6", 0.075, "content"),  # equal ones by slot
        ("i8", 0.075, "content"),
        ("i7", 0.07, "behaviour"),
    ]
    assert [s.item_id for s in ask(behaviour, content, 2)] == ["i5", "i3"]
    assert ask(NOTHING, NOTHING, 5) == []


def test_shared_attributes_are_named_in_the_order_of_the_item_asked_for() -> None:
    mine = Item("i0", category="Home", brand="Orbel", tags=("red", "oak", "new"))
    items = {
        "i1": Item("i1", category="Home", brand="Orbel", tags=("new", "red", "old")),
        "i2": Item("i2", category="Garden", brand="Orbel"),
        "i3": Item("i3"),
    }
    out = ask(found((1, 3.0), (2, 2.0), (3, 1.0)), NOTHING, 5, items={"i0": mine, **items})
    assert [s.shared_attributes for s in out] == [
        ["category: Home", "brand: Orbel", "tag: red", "tag: new"],
        ["brand: Orbel"],
        [],
    ]
    # What neither has is nothing in common.
    assert ask(found((3, 1.0)), NOTHING, 5)[0].shared_attributes == []


def many(n: int) -> Retrieved:
    return found(*((slot, float(n - slot)) for slot in range(1, n)))


def test_filters_see_the_head_alone_and_more_where_too_few_are_left() -> None:
    rule = Drops([1])
    assert [s.item_id for s in ask(many(200), NOTHING, 5, filters=(rule,))] == ["i2", "i3", "i4", "i5", "i6"]
    assert rule.shown == [20]
    rule = Drops(list(range(1, 90)))
    assert [s.item_id for s in ask(many(200), NOTHING, 5, filters=(rule,))] == ["i90", "i91", "i92", "i93", "i94"]
    assert rule.shown == [20, 80, 199]
    assert ask(many(200), NOTHING, 5, filters=(Drops(list(range(N))),)) == []


@pytest.mark.parametrize("diversity", [0.6, 1.0])
def test_diversity_looks_beyond_the_page(diversity: float) -> None:
    near = [s.item_id for s in ask(many(200), NOTHING, 5)]
    wide = [s.item_id for s in ask(many(200), NOTHING, 5, diversity)]
    assert near == ["i1", "i2", "i3", "i4", "i5"]
    assert len(wide) == 5
    # Slots from 100 on are of another category.
    assert any(int(one[1:]) >= 100 for one in wide)
