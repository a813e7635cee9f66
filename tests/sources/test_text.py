"""Texts are compared by words and parts of words, and the index follows the catalogue."""

from __future__ import annotations

import numpy as np
import pytest
from test_source_contract import NOW, touched

from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.sources import indexing
from nearline.sources.text import TextSource
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

TITLES = {
    "item-1": "Wireless headphones, black",
    "close": "Wireless headphones in white",
    "part": "Headphone case",
    "other": "Garden hose, green",
    "described": "Model X",
}


def test_what_shares_words_then_parts_of_words_and_a_new_item_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PAUSE", 0.0)
    source = TextSource()
    state = MemoryState(source.folds)
    world = OnlineWorld(state, Catalog(state))
    world.catalog.put(Item(name, title) for name, title in TITLES.items() if name != "described")
    source.bind(world, {})
    world.apply(touched([("someone", 1, 2)], offset=0))

    def found() -> list[str]:
        out = source.fetch(Query(key("someone"), NOW), world.hydrate(key("someone"), NOW), 10)
        assert out.scores[0] == pytest.approx(1.0, abs=1e-5)
        assert set(out.because.tolist()) == {world.catalog.slot("item-1")}
        assert np.isfinite(out.scores).all()
        return [world.catalog.ids[slot] for slot in out.items.tolist()]

    assert found() == ["item-1", "close", "part"]
    world.catalog.put([Item("described", TITLES["described"], attributes={"about": "wireless headphones", "watts": 3})])
    source.renew(NOW)
    assert set(found()) == {"item-1", "close", "part", "described"}
    world.catalog.withdraw("close")
    source.renew(NOW)
    assert "close" not in found()
