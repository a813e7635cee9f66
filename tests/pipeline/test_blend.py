"""The order before the first release: what counts is the share of a source's say, believed by how much stands behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from nearline.features.history import HistoryFold
from nearline.pipeline.blend import DOUBT, Blend
from nearline.schema.candidates import F32, Candidates
from nearline.schema.components import Source, UserState


def source(name: str, family: str, counted: bool = False) -> Source:
    return cast(Source, SimpleNamespace(name=name, family=family, counted=counted))


COVISIT, TRENDING = source("covisit", "collaborative", True), source("trending", "popularity", True)
CONTENT, LIKED, PLACED = source("content", "content"), source("affinity", "preferences"), source("placed", "rules")


def visitor(touched: int) -> UserState:
    row = np.zeros(1, HistoryFold().dtype)
    row["count"] = touched
    return cast(UserState, SimpleNamespace(rows={"history": row}))


def candidates(*scores: list[float]) -> Candidates:
    """Return candidates with each source's scores, its ranks following from them."""
    retrieval = np.array(scores, np.float32).T.copy()
    ranks: F32 = np.zeros_like(retrieval)
    for s in range(retrieval.shape[1]):
        found = np.flatnonzero(retrieval[:, s])
        ranks[found[np.argsort(-retrieval[found, s], kind="stable")], s] = 1 / np.arange(1, len(found) + 1)
    n = len(retrieval)
    return Candidates(np.arange(n, dtype=np.int32), retrieval, ranks, np.zeros(n, np.int32), np.full(n, -1, np.int32))


def test_a_few_co_visits_do_not_outweigh_what_everybody_takes_and_many_do() -> None:
    blend, trend = Blend([COVISIT, TRENDING]), [0.0, 3000.0, 2000.0, 1000.0]
    assert blend.order(visitor(1), candidates([1.0, 0, 0, 0], trend)).tolist() == [1, 2, 3, 0]
    assert blend.order(visitor(1), candidates([20 * DOUBT, 0, 0, 0], trend)).tolist()[0] == 0
    # The same first place says less where it is one of many that are as good.
    assert blend.order(visitor(1), candidates([30.0] + 40 * [29.0], [0.0, 3000.0] + 39 * [1.0])).tolist()[0] == 1


def test_who_touched_more_hears_less_of_what_trends() -> None:
    blend, found = Blend([COVISIT, TRENDING]), candidates([30.0, 0], [0, 50.0])
    assert [int(blend.order(visitor(touched), found)[0]) for touched in (0, 200)] == [1, 0]


def test_scores_that_are_no_counts_go_by_rank() -> None:
    blend, nobody = Blend([CONTENT, LIKED, PLACED]), visitor(0)
    none = [0.0] * 3
    by_rank = [blend.order(nobody, candidates(scores, none, none)).tolist() for scores in ([3.0, 2, 1], [900.0, 2, 1])]
    assert by_rank == [[0, 1, 2], [0, 1, 2]]
    # Merely liked counts while nothing was touched, placed by rules never.
    assert blend.order(nobody, candidates([1.0, 2.0, 0], [3.0, 0, 0], [0, 0, 9.0])).tolist() == [0, 1, 2]
    assert blend.order(visitor(500), candidates([1.0, 2.0, 0], [3.0, 0, 0], [0, 0, 9.0])).tolist() == [1, 0, 2]


@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [-1.0, -2.0, -3.0], [1e30, 1e30, 1e30]])
def test_strange_counts_still_give_every_place_once(scores: list[float]) -> None:
    order = Blend([COVISIT, TRENDING]).order(visitor(2), candidates(scores, scores))
    assert sorted(order.tolist()) == [0, 1, 2]
    assert not len(Blend([COVISIT]).order(visitor(2), candidates([])))
