"""What the tests of the page share: a browser, and a server with the simulated shop. The server process is the fault tests'."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium
from playwright.sync_api import Browser

from nearline.batch.importing import import_dataset
from nearline.embedded.demo import SHOP_APP, shop_dataset
from nearline.sim.world import ShopWorld

sys.path.append(str(Path(__file__).parent.parent / "faults"))

from server_process import Server
from visit import PATIENT


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        if found is None:
            pytest.skip("no Chromium is installed, and none could be installed")
        yield found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    app = SHOP_APP.format(folder="shop")
    made = Server(tmp_path_factory.mktemp("page"), {**PATIENT, "BUDGET_RANKING_MS": 3000, "TRAIN_EXAMPLES": 1000}, app)
    try:
        import_dataset(made.tenant(), shop_dataset(ShopWorld(users=300, items=600), 10))
        made.run("train")
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def untaught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same shop before its first release: so small a history teaches a ranker nothing of newcomers."""
    made = Server(tmp_path_factory.mktemp("untaught"), PATIENT, SHOP_APP.format(folder="shop"))
    try:
        import_dataset(made.tenant(), shop_dataset(ShopWorld(users=300, items=600), 10))
        made.start()
        yield made
    finally:
        made.end()
