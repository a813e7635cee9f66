"""The docs say what the code has, and their examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nearline.app.reference import component_table
from nearline.app.settings import settings_table
from nearline.embedded.publishing.metrics import reference as publisher_metrics
from nearline.serving.metrics import reference as server_metrics
from nearline.stream.metrics import reference as worker_metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("components.md", component_table),
        ("settings.md", settings_table),
        ("metrics.md", lambda: server_metrics() + worker_metrics() + publisher_metrics()),
    ],
)
def test_reference_pages_are_what_the_code_says(page: str, made: Any) -> None:
    assert (DOCS / "reference" / page).read_text() == made(), f"regenerate docs/reference/{page}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_how_to_adds_a_source_that_serves() -> None:
    from nearline.schema.components import UserState
    from nearline.schema.item import Item
    from nearline.schema.query import Query
    from nearline.stores.catalog import Catalog
    from nearline.stores.state import MemoryState
    from nearline.stores.world import OnlineWorld

    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "add-a-source.md").read_text(), re.S)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert [source.name for source in names["app"].sources][-1] == "bargains"
    source = names["BargainSource"]()
    state = MemoryState(source.folds)
    world = OnlineWorld(state, Catalog(state))
    items = [Item(f"i{n}", category="Shoes" if n % 2 else "Hats", price=float(10 - n)) for n in range(10)]
    world.catalog.put(items)
    source.bind(world, {})
    row = state.hydrate(0, 0).rows
    row["session"]["category"] = world.columns.category[world.catalog.slot("i1")]
    found = source.fetch(Query(0, 0), UserState(0, row, 0), 3)
    assert [world.catalog.ids[slot] for slot in found.items] == ["i9", "i7", "i5"]


def test_the_pages_of_the_how_to_are_right() -> None:
    from nearline.app.defaults import components

    for block in re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "pages.md").read_text(), re.S):
        names: dict[str, Any] = {}
        exec(block, names)
        assert components(names["app"]).sources
        assert list(names["app"].pages) == ["home", "watch"]
