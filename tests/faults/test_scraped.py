"""A real Prometheus beside a real server: what is scraped, recorded, asked by the dashboard, and what alarms."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from server_process import Server, items

from engines.prometheus import Prometheus, available
from nearline.serving.metrics import METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"
KEY = "k" * 20
# What Kubernetes tells of two pods: a server, and a worker that is not there.
PODS = {"serving": "http", "stream": "metrics"}


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def configured(folder: Path, server: int, worker: int) -> Path:
    """Return the settings for Kubernetes, with the pods named instead of found, and asked each second."""
    shutil.copytree(DEPLOY / "prometheus", folder)
    (folder / "key").write_text(KEY)
    settings = yaml.safe_load(
        (folder / "kubernetes.yaml").read_text().replace("/run/secrets/nearline-api-key", str(folder / "key"))
    )
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = settings["scrape_configs"]
    del job["kubernetes_sd_configs"]
    meta = "__meta_kubernetes"
    job["static_configs"] = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {
                f"{meta}_namespace": "shops",
                f"{meta}_pod_name": f"shop-{component}-0",
                f"{meta}_pod_container_port_name": PODS[component],
                f"{meta}_pod_label_app_kubernetes_io_instance": "shop",
                f"{meta}_pod_label_app_kubernetes_io_component": component,
            },
        }
        for component, port in [("serving", server), ("stream", worker)]
    ]
    file = folder / "pods.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def test_a_server_is_scraped_recorded_and_shown(tmp_path: Path) -> None:
    if missing := available():
        pytest.skip(f"Prometheus {missing}")
    server = Server(tmp_path / "shop", {"TRAIN_EVERY": "", "SERVER_API_KEY": KEY})
    server.headers["Authorization"] = f"Bearer {KEY}"
    server.start()
    watcher = Prometheus(configured(tmp_path / "prometheus", server.port, 1), tmp_path)
    try:
        watcher.start()
        assert server.ask("POST", "/v1/items", items(20))[0] == 200
        of = '{namespace="shops",fleet="shop"}'
        p99, behind = f"fleet:nearline_lists_seconds:p99{of}", f"fleet:nearline_log_lag_events:max{of}"

        def counted() -> bool:
            assert server.ask("GET", "/v1/recommendations?user_id=u1")[0] == 200
            return any(value > 0 for value in watcher.values(p99))

        until(counted)
        (seconds,) = watcher.values(p99)
        assert 0 < seconds <= 5
        assert watcher.values(behind) == [0]
        assert watcher.values('up{component="serving",instance="shop-serving-0"}') == [1]
        assert watcher.values('up{component="stream",instance="shop-stream-0"}') == [0]
        until(lambda: watcher.values('ALERTS{alertname="NearlineDown",component="stream"}') == [1])
        assert not watcher.values('ALERTS{alertname!="NearlineDown"} unless ALERTS{alertname="NearlineListsPoor"}')
        # What the table says is what comes.
        known = set(watcher.ask("label/__name__/values"))
        assert {one.name + ("_bucket" if one.type == "histogram" else "") for one in METRICS if not one.label} <= known
        # The adapter asks so.
        (rule, _) = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())["rules"]["external"]
        asked = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"])
        assert len(watcher.values(asked.replace("<<.LabelMatchers>>", of[1:-1]))) == 1
        # All that the dashboard asks is understood, and most of it is answered by a server alone.
        board = (DEPLOY / "grafana" / "nearline.json").read_text()
        for name, value in {"$namespace": "shops", "$fleet": "shop", "$__rate_interval": "30s"}.items():
            board = board.replace(name, value)
        found = {t["expr"]: watcher.values(t["expr"]) for panel in json.loads(board)["panels"] for t in panel["targets"]}
        empty = [expression for expression, values in found.items() if not values]
        others = (
            r"nearline_(stream|publish|results_(delivered|dead))|component_(errors|timeouts)|release_age|train_last_timestamp"
        )
        assert not [expression for expression in empty if not re.search(others, expression)]
    finally:
        watcher.kill()
        server.end()
