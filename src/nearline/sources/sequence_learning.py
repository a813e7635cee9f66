"""What the sequence source learns from, how long, and the release's arrays that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.models.histories import Stream, gap_classes, last_of
from nearline.models.item_tower import buckets_of, said
from nearline.models.sequence_fit import Recipe, fit_towers
from nearline.models.session import OnnxSession
from nearline.models.tower_graph import INPUTS, OUTPUTS, tower_graph
from nearline.models.user_tower import Shape, asked, packed, unpacked
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, FitData
from nearline.schema.errors import NearlineError
from nearline.schema.interactions import confidence, touching

PASSED = 20_000_000
"""Events that a training passes over in all, at most; at least three passes are made, and at most forty."""
WHOLE = 10_000
"""Items up to which each is compared with all others in training; with more, with `SAMPLES`."""
SAMPLES = 1024
AGREED = 1e-4
"""How far the exported tower may be from the trained one."""
CHECKED = 32
Past = tuple[NDArray[np.uint64], Stream, NDArray[np.int64]]


def stream_of(data: FitData) -> Past:
    """Return the keys of the items touched now or before, everyone's events in order, and who has two events or more."""
    events = data.events[touching(data.events)]
    events = events[np.isin(events["item"], data.items)]
    former = data.earlier["keys"] if data.earlier else np.empty(0, np.uint64)
    keys = np.union1d(events["item"], former[np.isin(former, data.items)])
    items = np.searchsorted(keys, events["item"])
    _, users = np.unique(events["user"], return_inverse=True)
    order = np.argsort(users, kind="stable")
    users, items, events = users[order], items[order], events[order]
    if not len(items):
        none = np.empty(0, np.int32)
        return keys, Stream(none, none, none, none, none.astype(np.float32)), users
    begins = np.concatenate(([True], (users[1:] != users[:-1]) | (items[1:] != items[:-1])))
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(items)) - 1
    roles = np.maximum.reduceat(events["role"].astype(np.int32), first)
    weights = confidence(np.add.reduceat(events["weight"].astype(np.int64), first))
    waits = np.append(events["ts"][first[1:]] - events["ts"][last[:-1]], 0) // 1000
    gaps = np.zeros(len(first), np.int32) if data.order_only else gap_classes(waits)
    # Numbers without holes: a visitor is a place in the list of counts.
    _, visitors = np.unique(users[first], return_inverse=True)
    stream = Stream(
        items[first].astype(np.int32), roles, gaps, visitors.astype(np.int32), weights / max(1e-9, float(weights.mean()))
    )
    return keys, stream, np.flatnonzero(np.bincount(stream.users) > 1)


def recipe_for(events: int, items: int, seed: int, again: bool, both: bool = False) -> Recipe:
    """Return how long to train, by the size of the data; going on from an earlier training takes a quarter.

    Where events look in both directions, fewer teach in a pass: it takes two thirds of the time or less, and there are more.
    """
    epochs = int(np.clip(PASSED // max(1, events), 3, 40)) * (3 if both else 2) // 2
    # The best passes come when the rate has fallen: who ends early must have waited long.
    rate, samples = 5e-3 if both else 2e-3, SAMPLES if items > WHOLE else 0
    recipe = Recipe(epochs=epochs, rate=rate, patience=max(5, epochs // 3), samples=samples, seed=seed)
    return replace(recipe, epochs=max(2, epochs // 4), rate=recipe.rate / 2, held=0) if again else recipe


def learned(data: FitData, past: Past, shape: Shape, recipe: Recipe, buckets: int) -> Arrays:
    """Train, check the export, and return a release's arrays.

    Args:
        data: what there is to learn from.
        past: its events as `stream_of` returns them.
        shape, recipe: of the tower, and of its training.
        buckets: rows of the table of what attributes say.

    Returns:
        `keys [n] uint64`, `vectors [n, d] float32` (of the touched items), `table [buckets, d] float32` (what attributes say),
        `tower [n_bytes] uint8` (ONNX), `shape [6] int32`, `timed [1] bool`, `weights [m] float32` (the tower's, to go on from).

    Raises:
        NearlineError: the exported tower does not say what the trained one does.
    """
    keys, stream, several = past
    rows = np.zeros((len(keys), 1), np.int32)
    if data.tokens is not None:
        order = np.argsort(data.items)
        rows = buckets_of(data.tokens.of(order[np.searchsorted(data.items, keys, sorter=order)]), buckets)
    start = _start(data.earlier or {}, keys, rows) if goes_on(data.earlier, shape, buckets) else {}
    weights = fit_towers(stream, rows, buckets, shape, recipe, start, data.say)
    table: F32 = weights.pop("table")
    vectors = weights.pop("own") + said(table, rows)
    model = tower_graph(weights, shape)
    _check(weights, shape, model, vectors, stream, several)
    arrays: Arrays = {"keys": keys, "vectors": vectors, "table": table, "tower": model}
    sizes = (shape.dimensions, shape.blocks, shape.heads, shape.lags, shape.inner, shape.both)
    arrays |= {"shape": np.array(sizes, np.int32), "timed": np.array([not data.order_only])}
    return arrays | {"weights": packed(weights)}


def shape_of(arrays: Arrays) -> Shape:
    """Return the shape that a release's tower has."""
    dimensions, blocks, heads, lags, inner, *both = (int(size) for size in arrays["shape"])
    return Shape(dimensions, blocks, heads, lags, inner, any(both))


def goes_on(earlier: Arrays | None, shape: Shape, buckets: int) -> bool:
    """Return whether a training can go on from what an earlier one left."""
    return bool(earlier) and earlier is not None and shape_of(earlier) == shape and len(earlier["table"]) == buckets


def _start(earlier: Arrays, keys: NDArray[np.uint64], rows: NDArray[np.int32]) -> dict[str, Any]:
    """Return the weights of an earlier training, for the items that there are now; what came since begins with nothing."""
    shape = shape_of(earlier)
    start = unpacked(earlier["weights"], shape)
    place = np.searchsorted(earlier["keys"], keys).clip(max=len(earlier["keys"]) - 1)
    known = earlier["keys"][place] == keys
    own = np.zeros((len(keys), shape.dimensions), np.float32)
    own[known] = (earlier["vectors"][place] - said(earlier["table"], rows))[known]
    return start | {"own": own, "table": earlier["table"]}


def _check(
    weights: Mapping[str, Any], shape: Shape, model: NDArray[np.uint8], vectors: F32, stream: Stream, several: NDArray[np.int64]
) -> None:
    session = OnnxSession(model, "source sequence: exported tower", INPUTS, OUTPUTS)
    some = last_of(stream, several[:CHECKED], shape.reads)
    trained = np.asarray(asked(dict(weights), shape, vectors[some.items], some.roles, some.gaps, some.users))
    for place, wanted in enumerate(trained):
        own = some.users[place] >= 0
        columns = (vectors[some.items[place]], some.roles[place], some.gaps[place])
        (found,) = session.run(**{name: column[own] for name, column in zip(INPUTS, columns, strict=True)})
        if (apart := float(np.abs(found - wanted).max())) > AGREED * max(1.0, float(np.abs(wanted).max())):
            raise NearlineError(
                "source sequence", apart, f"its export must agree within {AGREED}: report this with the versions"
            )
