"""The item block says what reading every item anew would say, whatever happened in between and whoever comes late."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.features.context import ItemAgeFeature, PriceFeature
from nearline.features.popularity import PopularityFeature
from nearline.features.session import SessionFeature
from nearline.features.totals import ItemTotalsFeature
from nearline.features.windowed_counts import ItemCountsFeature
from nearline.pipeline.feature_set import FeatureSet
from nearline.pipeline.item_block import ItemBlock, Refresh
from nearline.schema.candidates import F32, I32
from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.schema.components import ItemFeature
from nearline.schema.event import empty_events
from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.stores.catalog import Catalog
from nearline.stores.state import MemoryState
from nearline.stores.world import OnlineWorld

NOW, ITEMS = 1_700_000_040_000, 60
FEATURES: tuple[ItemFeature, ...] = (
    PopularityFeature(), ItemCountsFeature(), ItemTotalsFeature(), ItemAgeFeature(), PriceFeature()
)  # fmt: skip
WIDTH = sum(len(feature.columns) for feature in FEATURES)
EVERY = np.arange(ITEMS, dtype=np.int32)


class Shop:
    """A world of items, and its block."""

    def __init__(self, n: int = ITEMS) -> None:
        state = MemoryState([fold for feature in FEATURES for fold in feature.folds])
        self.world = OnlineWorld(state, Catalog(state))
        self.random = np.random.default_rng(7)
        self.put(*range(n))
        self.block = ItemBlock(self.world, WIDTH)
        self.reread = 0

    def put(self, *numbers: int) -> None:
        prices = self.random.random(len(numbers)).tolist()
        items = [Item(f"i{n}", price=price, created_at=NOW - DAY) for n, price in zip(numbers, prices, strict=True)]
        self.world.catalog.put(items)

    def touch(self, *numbers: int, at: int = NOW) -> None:
        events = empty_events(len(numbers))
        events["offset"], events["ts"] = self.world.offset + np.arange(len(numbers)), at
        events["user"], events["item"] = key("u"), [key(f"i{n}") for n in numbers]
        events["kind"], events["role"], events["weight"], events["rating"] = 1, 3, 1000, 400
        self.world.apply(events)

    def read(self, slots: I32, now: int) -> F32:
        """Read every item anew."""
        out, end = np.full((WIDTH, len(slots)), -777, np.float32), 0
        for feature in FEATURES:
            begin, end = end, end + len(feature.columns)
            feature.read_items(self.world.rows, self.world.columns, slots, now, out[begin:end])
        return out

    def fill(self, stale: Refresh) -> Refresh:
        stale.columns[:] = self.read(stale.slots, stale.now)
        return stale

    def ask(self, slots: I32 = EVERY, now: int = NOW) -> F32:
        """Read by the block, as the pipeline does."""
        out = np.full((WIDTH, len(slots)), -777, np.float32)
        stale = self.block.gather(slots, now, out)
        self.reread = 0 if stale is None else len(stale.slots)
        if stale is not None:
            self.block.publish(self.fill(stale), out, keep=True)
        return out


def same(got: F32, wanted: F32) -> bool:
    return got.tobytes() == wanted.tobytes()


def test_whatever_happens_the_block_says_what_reading_anew_says() -> None:
    shop, random = Shop(), np.random.default_rng(1)
    n, now = ITEMS, NOW
    for _ in range(400):
        match random.integers(0, 6):
            case 0:
                shop.touch(*random.integers(0, n, 3).tolist(), at=now + int(random.integers(-2 * DAY, MINUTE)))
            case 1:
                shop.put(int(random.integers(0, n)))
            case 2:
                shop.world.catalog.withdraw(f"i{random.integers(0, n)}")
            case 3:
                shop.put(*range(n, n + 60))  # more than there was room for
                n += 60
            case 4:
                now += MINUTE * int(random.choice([1, 5, -3, 240, -2000]))
            case _:
                pass
        slots = random.permutation(n)[:50].astype(np.int32)
        assert same(shop.ask(slots, now), shop.read(slots, now))


def test_only_what_has_changed_is_read_anew() -> None:
    shop = Shop()
    shop.ask()
    assert shop.reread == ITEMS
    shop.ask(EVERY[::-1].copy())
    assert shop.reread == 0
    shop.touch(3, 5)
    shop.put(9)
    shop.world.catalog.withdraw("i11")
    shop.ask()
    assert shop.reread == 4
    shop.ask(now=NOW + MINUTE)
    assert shop.reread == ITEMS
    shop.ask()  # and back again: only one minute is kept
    assert shop.reread == ITEMS


def test_a_row_read_while_its_item_changes_is_read_again() -> None:
    shop, out = Shop(), np.empty((WIDTH, ITEMS), np.float32)
    stale = shop.block.gather(EVERY, NOW, out)
    assert stale is not None
    shop.fill(stale)
    shop.touch(4)
    shop.block.publish(stale, out, keep=True)
    assert same(shop.ask(), shop.read(EVERY, NOW))
    assert shop.reread == 1


@pytest.mark.parametrize("moves", ["the minute", "an event"])
def test_who_comes_late_never_makes_an_old_row_fresh(moves: str) -> None:
    shop, out = Shop(), np.empty((WIDTH, ITEMS), np.float32)
    late = shop.block.gather(EVERY, NOW, out)
    assert late is not None
    shop.fill(late)
    now = NOW + HOUR if moves == "the minute" else NOW
    shop.touch(*range(ITEMS))
    shop.ask(now=now)
    shop.block.publish(late, out, keep=True)
    assert same(shop.ask(now=now), shop.read(EVERY, now))
    assert shop.reread == ITEMS


def test_what_is_not_kept_is_read_anew() -> None:
    shop, out = Shop(), np.empty((WIDTH, ITEMS), np.float32)
    stale = shop.block.gather(EVERY, NOW, out)
    assert stale is not None
    shop.block.publish(shop.fill(stale), out, keep=False)
    assert same(out, shop.read(EVERY, NOW))
    shop.ask()
    assert shop.reread == ITEMS


def test_after_a_restored_state_nothing_is_fresh() -> None:
    shop = Shop()
    other = MemoryState(list(shop.world.state.folds.values()))
    other.register(shop.world.state.items.keys.copy())
    shop.ask()
    shop.world.state.load(other.dump())
    shop.put(*range(ITEMS))  # as often as before: their marks must not be those of before
    assert same(shop.ask(), shop.read(EVERY, NOW))
    assert shop.reread == ITEMS


def test_item_features_come_last_as_one_block() -> None:
    features = FeatureSet((PriceFeature(), SessionFeature(), ItemTotalsFeature()))
    assert [feature.name for feature in features.features] == ["session", "price", "item_totals"]
    assert features.items_from == len(SessionFeature.columns)
    assert len(features) == features.items_from + 7
