"""Who is offered what, where and when: windows, own items, regions and price limits, on every rung."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nearline.app.binding import build_pipeline
from nearline.app.definition import App
from nearline.app.sections import Budget, RuleSettings, Settings, Storage
from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY, HOUR
from nearline.schema.errors import NearlineError
from nearline.schema.ids import key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.serving.recommender import Recommender
from nearline.serving.validate_items import ItemValidator

NOW = 1_700_000_000_000
APP = App(events=["click"])


class Shop:
    """Some items, and lists of them as served: by the pipeline, and with nothing retrieved by the last rungs."""

    def __init__(self, folder: Path, *items: Item, rules: RuleSettings | None = None) -> None:
        budget = Budget(20_000, 20_000, 20_000, 20_000, 20_000)
        settings = Settings(storage=Storage(path=str(folder)), budget=budget, rules=rules or RuleSettings())
        self.tenant = Tenant(APP, settings)
        self.world = self.tenant.world()
        self.world.catalog.put([Item("plain", price=5.0), *items])
        self.recommender = Recommender(self.tenant, self.world, build_pipeline(self.tenant, self.world, {}))

    def shown(self, now: int = NOW, user: str = "u", **asked: str) -> set[str]:
        """Return what is in the list, the same on every rung."""
        query = Query(key(user), now, user_id=user, **asked)  # type: ignore[arg-type]
        lists = []
        for advanced in (True, False):
            self.recommender.fallback.forget(query.visitor, 0)
            run = self.recommender.start(query)
            if advanced:
                assert self.recommender.pipeline.advance(run)
            served, _ = self.recommender.finish(run, self.recommender.pipeline)
            assert served.missing == ()
            lists.append({item.item_id for item in served.items})
        assert lists[0] == lists[1]
        return lists[0]


def test_a_window_opens_and_closes_with_the_clock(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Item("show", available_from=NOW - HOUR, available_until=NOW + DAY), Item("sale", available_until=NOW))
    assert shop.shown(NOW - HOUR - 1) == {"plain", "sale"}
    assert shop.shown(NOW - HOUR) == {"plain", "sale", "show"}
    assert shop.shown(NOW) == {"plain", "show"}
    assert shop.shown(NOW + DAY) == {"plain"}
    # It may be moved, and taken away.
    shop.world.catalog.put([Item("show")])
    assert shop.shown(NOW + DAY) == {"plain", "show"}


def test_nobody_is_recommended_what_he_offers_himself(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Item("bike", owner="ann"), Item("lamp", owner="bob"))
    assert shop.shown(user="ann") == {"plain", "lamp"}
    assert shop.shown(user="bob") == {"plain", "bike"}
    assert shop.shown(user="eve") == {"plain", "bike", "lamp"}


def test_an_item_with_regions_is_offered_only_there(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Item("film", regions=("de", "at")), Item("wine", regions=("fr",)))
    assert shop.shown(location="at") == {"plain", "film"}
    assert shop.shown(location="fr") == {"plain", "wine"}
    assert shop.shown(location="us") == {"plain"}
    # Where nobody says where he is, what is not for everywhere is left out.
    assert shop.shown() == {"plain"}
    shop.world.catalog.put([Item("cheese", regions=("fr", "us"))])
    assert shop.shown(location="us") == {"plain", "cheese"}
    assert shop.shown(location="fr") == {"plain", "wine", "cheese"}


def test_prices_outside_the_limits_are_left_out_and_unknown_ones_are_not(tmp_path: Path) -> None:
    items = [Item("gift", price=0.5), Item("yacht", price=1e6), Item("quote")]
    assert Shop(tmp_path, *items).shown() == {"plain", "gift", "yacht", "quote"}
    assert Shop(tmp_path, *items, rules=RuleSettings(price_min=1.0)).shown() == {"plain", "yacht", "quote"}
    assert Shop(tmp_path, *items, rules=RuleSettings(price_max=100.0)).shown() == {"plain", "gift", "quote"}


def test_offers_come_as_fields_of_items_and_survive_a_change_of_others() -> None:
    validator = ItemValidator(APP)
    given = {
        "item_id": "i", "available_from": "2024-05-01T00:00:00Z", "available_until": 1_714_608_000,
        "owner": "ann", "regions": ["de", "at"],
    }  # fmt: skip
    item = validator.whole(msgspec.json.encode(given), "i")
    assert (item.available_from, item.available_until) == (1_714_521_600_000, 1_714_608_000_000)
    assert (item.owner, item.regions) == ("ann", ("de", "at"))
    changed = validator.changed(b'{"title": "Bike"}', item)
    assert changed == msgspec.structs.replace(item, title="Bike")
    assert validator.changed(b'{"available_until": null, "regions": null}', item).available_until == 0
    with pytest.raises(NearlineError, match="let it end after"):
        validator.changed(b'{"available_until": "2024-04-01T00:00:00Z"}', item)
