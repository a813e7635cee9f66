"""The dashboard for Grafana: it is whole, and asks only for what is exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from metric_names import unknown

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_every_panel_asks_for_what_there_is() -> None:
    board: dict[str, Any] = json.loads((DEPLOY / "grafana" / "nearline.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"] if "record" in rule}
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${source}"}
            assert not unknown(target["expr"].replace("process_resident_memory_bytes", ""), recorded), target["expr"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    for name in ("lists_total", "stage_seconds", "events_total", "stream_lag_events", "log_answers", "release_age_seconds"):
        assert f"nearline_{name}" in asked
