"""The sequence source learns a rule that counting can't see, and keeps it through export, new items and a second training."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from nearline.app.definition import App
from nearline.features.suppression import SuppressionLists
from nearline.models.graph import Graph
from nearline.models.session import OnnxSession
from nearline.models.tower_graph import INPUTS, OUTPUTS, tower_graph
from nearline.models.user_tower import Shape, new_weights
from nearline.models.user_tower import asked as answered
from nearline.schema.components import Arrays, FitData
from nearline.schema.errors import NearlineError
from nearline.schema.event import Events, empty_events
from nearline.schema.ids import key, keys
from nearline.schema.item import Item
from nearline.schema.item_tokens import ItemTokens
from nearline.schema.query import Query
from nearline.sources import sequence, sequence_learning
from nearline.sources.item_words import item_tokens
from nearline.sources.onnx import OnnxSource
from nearline.sources.sequence import SequenceSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

APP, NOW = App(events=["view", "click", "purchase", "dislike"]), 1_700_000_000_000
N, USERS, LENGTH, SHELVES = 60, 240, 40, 6
ITEMS = [Item(f"i{n}", f"number {n}", f"shelf {n % SHELVES}", tags=(f"row {n % SHELVES}",)) for n in range(N)]
NEW = Item("new", "number", "shelf 2", tags=("row 2",))
SMALL: dict[str, Any] = {"least": 0, "dimensions": 16, "buckets": 256}
KINDS: dict[str, dict[str, int]] = {
    "causal": {"epochs": 20},
    "bidirectional": {"epochs": 80, "dimensions": 32, "bidirectional": 1},
}
"""Arguments of each kind. Where a fifth is hidden, and teaches, it takes more passes."""


class Fitted(NamedTuple):
    """What a kind learned from what, what it said, and its arguments."""

    data: FitData
    arrays: Arrays
    said: list[str]
    small: dict[str, Any]


def following(item: int, before: int) -> int:
    """The rule: what comes next depends on the last item and on the one before it, and mostly keeps to a shelf."""
    return (item + SHELVES * (1 + before % 3)) % N


def walks(seed: int, users: int = USERS) -> Events:
    """Events of users who follow the rule four times in five."""
    random, events = np.random.default_rng(seed), empty_events(users * LENGTH)
    items = np.empty((users, LENGTH), np.int64)
    items[:, :2] = random.integers(0, N, (users, 2))
    for step in range(2, LENGTH):
        ruled = [following(int(a), int(b)) for a, b in zip(items[:, step - 1], items[:, step - 2], strict=True)]
        items[:, step] = np.where(random.random(users) < 0.8, ruled, random.integers(0, N, users))
    events["user"] = np.repeat(keys(f"w{seed}-{u}" for u in range(users)), LENGTH)
    events["item"] = keys(item.item_id for item in ITEMS)[items.reshape(-1)]
    events["ts"] = NOW - 1_000_000 + np.tile(np.arange(LENGTH), users) * 1000
    events["offset"], events["kind"], events["role"], events["weight"] = np.arange(len(events)), 2, 3, 1000
    return events


def world_of(source: SequenceSource) -> OnlineWorld:
    state = MemoryState(source.folds, [SuppressionLists(APP.kinds())])
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(ITEMS)
    return world


def tokens() -> ItemTokens:
    return item_tokens(world_of(SequenceSource()), np.arange(N))


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    said: list[str] = []
    data = FitData(walks(1), keys(item.item_id for item in ITEMS), NOW, 1, tokens=tokens(), say=said.append)
    small = SMALL | KINDS[request.param]
    return Fitted(data, SequenceSource(**small).fit(data), said, small)


def asked(arrays: Arrays, history: list[int]) -> tuple[SequenceSource, OnlineWorld, Query]:
    """A source bound to what was learned, and a visitor with a history."""
    source = SequenceSource(**SMALL)
    world = world_of(source)
    events = empty_events(len(history))
    events["item"], events["user"] = keys(ITEMS[n].item_id for n in history), key("you")
    events["ts"], events["offset"] = NOW - 1000 * np.arange(len(history))[::-1], np.arange(len(history))
    events["kind"], events["role"], events["weight"] = 2, 3, 1000
    world.apply(events)
    source.bind(world, arrays)
    return source, world, Query(key("you"), NOW)


def hits(arrays: Arrays) -> float:
    """The share of histories after which the rule's item comes first."""
    found = 0
    random = np.random.default_rng(9)
    for _ in range(40):
        history = random.integers(0, N, 2).tolist()
        for _ in range(10):
            history.append(following(history[-1], history[-2]))
        source, world, query = asked(arrays, history[:-1])
        first = source.fetch(query, world.hydrate(query.visitor, NOW), 5).items[0]
        found += world.columns.key[first] == key(ITEMS[history[-1]].item_id)
    return found / 40


def test_it_learns_what_follows_and_says_how_long_it_learns(fitted: Fitted) -> None:
    _, arrays, said, small = fitted
    assert hits(arrays) > 0.8  # popularity, and any one item's successors, know a third at best
    assert any(
        f"events of 60 items, {small['dimensions']} dimensions, {small['epochs']} epochs, each against all" in text
        for text in said
    )
    assert any("held out" in text for text in said)
    source, world, query = asked(arrays, [4, 9, 15])
    found = source.fetch(query, world.hydrate(query.visitor, NOW), N)
    assert found.scores.sum() == pytest.approx(1.0, abs=1e-4)
    told = np.empty((1, N), np.float32)
    source.tell(query, world.hydrate(query.visitor, NOW), np.arange(N, dtype=np.int32), told)
    # Whoever found a candidate, it is told its probability; codes of 8 bits are close to it.
    np.testing.assert_allclose(np.exp(told[0][found.items] - 16), found.scores, rtol=0.2, atol=2e-3)
    # A page's item is what is asked with, alone: the rule after it and nothing before.
    on_page = Query(query.visitor, NOW, item_id="i7", surface="item")
    again = source.fetch(on_page, world.hydrate(query.visitor, NOW), 10)
    assert set((again.items[:3] % SHELVES).tolist()) == {7 % SHELVES}


def test_the_tower_is_asked_once_for_a_history_whatever_was_shown_since(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, world, query = asked(fitted.arrays, [4, 9, 15])
    runs, run = [], source._tower.run

    def counted(**given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        runs.append(len(given["items"]))
        return run(**given)

    monkeypatch.setattr(source._tower, "run", counted)
    first = source.fetch(query, world.hydrate(query.visitor, NOW), 5)
    shown = empty_events(1)
    shown["item"], shown["user"], shown["ts"], shown["offset"] = key("i7"), query.visitor, NOW, 3
    shown["kind"], shown["role"] = 1, 1
    world.apply(shown)
    again = source.fetch(query, world.hydrate(query.visitor, NOW), 5)
    assert (runs, again.items.tolist()) == ([3], first.items.tolist())
    shown["offset"], shown["kind"], shown["role"], shown["weight"] = 4, 2, 3, 1000
    world.apply(shown)
    source.fetch(query, world.hydrate(query.visitor, NOW), 5)
    assert runs == [3, 4]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("shape", [Shape(16), Shape(24, blocks=1, heads=3, lags=20, inner=4), Shape(8, blocks=3, heads=1)])
def test_the_exported_tower_is_the_trained_one(shape: Shape, both: bool) -> None:
    shape = replace(shape, both=both)
    random = np.random.default_rng(4)
    weights = {name: np.asarray(value) + random.normal(0, 0.2, value.shape) for name, value in new_weights(shape, 1).items()}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    session = OnnxSession(tower_graph(weights, shape), "tower", INPUTS, OUTPUTS)
    for n in (1, 2, 7, shape.reads):
        items = random.normal(size=(1, n, shape.dimensions)).astype(np.float32)
        roles, gaps = random.integers(0, 9, (1, n), np.int32), random.integers(0, 5, (1, n), np.int32)
        trained = answered(weights, shape, items, roles, gaps, np.zeros((1, n), np.int32))[0]
        (served,) = session.run(items=items[0], roles=roles[0], gaps=gaps[0])
        np.testing.assert_allclose(served, trained, atol=1e-4)


def test_an_export_that_differs_is_refused(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(weights: dict[str, Any], shape: Shape) -> Any:
        return tower_graph(weights | {"shift": weights["shift"] + np.float32(0.01)}, shape)

    monkeypatch.setattr(sequence_learning, "tower_graph", other)
    with pytest.raises(Exception, match="its export must agree within"):
        SequenceSource(**fitted.small | {"epochs": 1}).fit(fitted.data)


def test_a_new_item_is_found_by_its_attributes_on_the_day_it_arrives(fitted: Fitted) -> None:
    places = []
    for shelf in range(SHELVES):
        history = [shelf, (shelf + SHELVES) % N, (shelf + 3 * SHELVES) % N]
        source, world, query = asked(fitted.arrays, history)
        world.catalog.put([NEW])
        source._next = 0.0  # no need to wait for the pause between two looks at the catalogue
        source.renew(NOW)
        found = source.fetch(query, world.hydrate(query.visitor, NOW), N + 1).items
        places.append(found.tolist().index(world.catalog.slot("new")))
    assert min(places) == places[2]
    assert places[2] < 12 < min(place for shelf, place in enumerate(places) if shelf != 2)
    # And asked with: what a visitor does with it says where he is.
    page = Query(key("stranger"), NOW, item_id="new", surface="item")
    found = source.fetch(page, world.hydrate(page.visitor, NOW), 5).items
    assert sum(int(slot) % SHELVES == 2 for slot in found if slot < N) >= 3


def test_many_items_are_compared_with_samples(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_learning, "WHOLE", N - 1)
    monkeypatch.setattr(sequence_learning, "SAMPLES", 48)
    said: list[str] = []
    arrays = SequenceSource(**fitted.small).fit(replace(fitted.data, say=said.append))
    assert "each against 48 samples" in said[0]
    assert hits(arrays) > 0.7


def test_a_later_training_goes_on_from_an_earlier_one(fitted: Fitted) -> None:
    data, arrays, _, small = fitted
    said: list[str] = []
    more = replace(data, events=np.concatenate((data.events, walks(2, 20))), say=said.append)
    again = SequenceSource(**small | {"epochs": 2}).fit(replace(more, earlier=arrays))
    anew = SequenceSource(**small | {"epochs": 2}).fit(more)
    assert hits(again) > 0.8
    assert hits(anew) < 0.4
    # A few days are enough to go on with, and no item is forgotten that nobody touched in them.
    few = replace(more, events=walks(2, 20)[::3], earlier=arrays)
    longer = SequenceSource(**small | {"least": 60_000, "dimensions": 0, "epochs": 1}).fit(few)
    assert longer["keys"].tolist() == arrays["keys"].tolist()
    assert longer["vectors"].shape == arrays["vectors"].shape
    assert hits(longer) > 0.7
    # Where there was too little before, the ranker was not taught to read it.
    assert SequenceSource(**small).fit(replace(more, earlier={})) == {}


def test_it_is_left_out_and_says_why(fitted: Fitted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    data = replace(fitted.data, say=said.append)
    assert SequenceSource().fit(data) == {}
    monkeypatch.setattr(sequence, "missing", lambda: "jax")
    assert SequenceSource(**SMALL).fit(data) == {}
    # Trained where the extra is, and served where it is not: the others find what they find.
    monkeypatch.setattr(sequence, "missing", lambda packages: "onnxruntime")
    with caplog.at_level("ERROR"):
        source, world, query = asked(fitted.arrays, [4, 9, 15])
    assert len(source.fetch(query, world.hydrate(query.visitor, NOW), 5).items) == 0
    assert "onnxruntime is not installed" in caplog.text
    assert [re.sub("[0-9],[0-9]+ events", "9 events", text) for text in said] == [
        "  sequence left out: 9 events are fewer than 60,000",
        '  sequence left out: jax is not installed: pip install "nearline[deep]"',
    ]


def test_a_tower_of_ones_own_is_checked_before_it_serves(tmp_path: Path) -> None:
    data = FitData(empty_events(0), keys(item.item_id for item in ITEMS), NOW, 1)
    vectors = np.eye(N, dtype=np.float32)[:, :8] + 0.1
    np.savez(tmp_path / "items.npz", item_ids=[item.item_id for item in ITEMS], vectors=vectors)

    def written(name: str, first: str, d: int) -> OnnxSource:
        graph = Graph("last")
        given = graph.input(first, ("n", d))
        graph.output("user", graph.node("ReduceMax", given, graph.integers(0), keepdims=0), (d,))
        (tmp_path / name).write_bytes(graph.build().tobytes())
        return OnnxSource(str(tmp_path / name), str(tmp_path / "items.npz"))

    assert written("fine.onnx", "items", 8).fit(data)["keys"].tolist() == data.items.tolist()
    with pytest.raises(NearlineError, match="export it with the input items"):
        written("other.onnx", "history", 8).fit(data)
    with pytest.raises(NearlineError, match="the model takes"):
        written("narrow.onnx", "items", 4).fit(data)
    with pytest.raises(NearlineError, match="with item_ids and vectors"):
        OnnxSource(str(tmp_path / "fine.onnx"), str(tmp_path / "none.npz")).fit(data)
    with pytest.raises(NearlineError, match="name a file that can be read"):
        OnnxSource(str(tmp_path / "none.onnx"), str(tmp_path / "items.npz")).fit(data)
