"""A network as an application's ranker, from the import to the list: trained, judged, calibrated, published, served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.importing import import_dataset
from nearline.batch.training import train
from nearline.embedded.demo import shop_dataset
from nearline.embedded.engine import Engine
from nearline.embedded.in_process import InProcess, at_time
from nearline.embedded.simulation import APP, DEFAULTS
from nearline.rankers.cross import CrossRanker
from nearline.rankers.networks import Learning
from nearline.schema.clock import VirtualClock
from nearline.serving.metrics import Metrics
from nearline.sim.world import ShopWorld


def test_a_network_serves(tmp_path: Path) -> None:
    world = ShopWorld(4, 80, 150, bots=1)
    clock = VirtualClock(world.end_ms + 1)
    settings = load_settings(
        None, {f"NEARLINE_{name}": value for name, value in DEFAULTS.items()} | {"NEARLINE_STORAGE_PATH": str(tmp_path)}
    )
    app = replace(APP, ranker=CrossRanker(learning=Learning(batch=1024, epochs=4)))

    def tenant() -> Tenant:
        return at_time(Tenant(app, settings), clock)

    import_dataset(tenant(), shop_dataset(world, 28))
    said: list[str] = []
    outcome = train(tenant(), said.append)
    assert outcome.published, outcome.manifest.gates
    metrics = outcome.manifest.metrics["release"]
    assert 0 <= metrics["ece.click"] < 0.02
    assert any("P(click): said" in text for text in said)
    client = InProcess(Engine(tenant(), Metrics()), clock)
    client.do(client.engine.open())
    try:
        answer = client.get(f"/v1/recommendations?user_id={world.people.ids[3]}&page_size=10")
    finally:
        client.end()
    body = msgspec.json.decode(answer.body)
    assert body["served_from"] == "ranker"
    assert len(body["items"]) == 10
