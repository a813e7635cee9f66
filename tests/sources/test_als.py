"""The scan of codes against the plain product that it stands for, and a training that goes on from an earlier one."""

from __future__ import annotations

import numpy as np
import pytest
from test_source_contract import APP, ITEMS, NOW, history

from nearline.features.suppression import SuppressionLists
from nearline.schema.components import Arrays, FitData
from nearline.schema.event import empty_events
from nearline.schema.ids import key, keys
from nearline.schema.query import Query
from nearline.sources.als import AlsSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld


@pytest.mark.parametrize("factors", [5, 64])
def test_the_nearest_are_those_of_the_folded_in_vector(factors: int) -> None:
    random = np.random.default_rng(factors)
    source = AlsSource()
    state = MemoryState(source.folds, [SuppressionLists(APP.kinds())])
    world = OnlineWorld(state, Catalog(state))
    # Every third item is not of this process: its row counts for nothing.
    world.catalog.put(item for n, item in enumerate(ITEMS) if n % 3)
    touched = [1, 7, 4, 100]
    events = empty_events(len(touched))
    events["offset"], events["ts"], events["user"] = np.arange(4), NOW, key("someone")
    events["item"], events["role"], events["weight"] = keys(ITEMS[n].item_id for n in touched), 3, 1000
    world.apply(events)
    vectors = random.normal(size=(len(ITEMS), factors)).astype(np.float32)
    solve = np.linalg.inv(vectors.T @ vectors + np.eye(factors)).astype(np.float32)
    source.bind(world, {"keys": keys(item.item_id for item in ITEMS), "vectors": vectors, "solve": solve})
    found = source.fetch(Query(key("someone"), NOW), world.hydrate(key("someone"), NOW), 20)
    recent = touched[::-1]
    taste = solve @ sum(0.85**j * vectors[n] for j, n in enumerate(recent))
    exact = vectors @ taste
    slots = world.item_slots(keys(item.item_id for item in ITEMS))
    by_slot = {int(slot): float(exact[n]) for n, slot in enumerate(slots) if slot >= 0}
    best = sorted(by_slot, key=lambda slot: -by_slot[slot])[:20]
    assert len(set(best) & set(found.items.tolist())) >= 19
    close = 0.02 * float(np.abs(exact).max())
    assert all(
        abs(by_slot[item] - score) < close for item, score in zip(found.items.tolist(), found.scores.tolist(), strict=True)
    )
    reason = max(range(4), key=lambda j: 0.85**j * exact[recent[j]])
    assert set(found.because.tolist()) == {int(slots[recent[reason]])}
    # A stranger that comes to the catalogue is found from then on.
    strongest = max(range(0, len(ITEMS), 3), key=lambda n: exact[n])
    world.catalog.put([ITEMS[strongest]])
    again = source.fetch(Query(key("someone"), NOW), world.hydrate(key("someone"), NOW), 200)
    assert int(world.item_slots(keys([ITEMS[strongest].item_id]))[0]) in again.items.tolist()


def test_a_later_training_goes_on_in_the_same_space_and_keeps_what_nobody_touched_since() -> None:
    known, source = keys(item.item_id for item in ITEMS), AlsSource(factors=16)
    before = source.fit(FitData(history(), known, NOW, 1))
    events, gone = history(seed=4), known[7]
    events = events[~np.isin(events["item"], known[:21])]
    again = source.fit(FitData(events, np.delete(known, 7), NOW, 2, earlier=before))
    anew = source.fit(FitData(events, np.delete(known, 7), NOW, 2))
    own = {int(key): vector for key, vector in zip(before["keys"], before["vectors"], strict=True)}

    def alike(arrays: Arrays) -> float:
        pairs = [(own[int(k)], v) for k, v in zip(arrays["keys"], arrays["vectors"], strict=True) if k not in known[:21]]
        return float(np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs]))

    assert alike(again) > 0.8
    assert abs(alike(anew)) < 0.4
    assert (again["keys"] == np.sort(np.delete(known, 7))).all()
    kept = np.searchsorted(again["keys"], known[3])
    assert (again["vectors"][kept] == own[int(known[3])]).all()
    assert not np.isin(known[3], anew["keys"])
    assert gone not in again["keys"]
