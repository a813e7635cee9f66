"""`nearline evaluate`: the protocols through a real server, on made data; streaming pays on real data."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearline.app.sections import Settings, Train
from nearline.batch.importers import load_dataset
from nearline.embedded import evaluation
from nearline.embedded.evaluation import Plan, app_source, evaluate
from nearline.embedded.systems import Listed

REAL = Path(__file__).parents[3] / "shared" / "data" / "ml-100k"
START = 1_700_000_000
FAST = Settings(train=Train(examples=400, deep=False))
"""What is trained here is not what is looked at; the sequence model has tests of its own."""
FIELDS = {
    "data", "protocol", "holdout", "through", "rules", "cases", "candidates", "hr@10", "ndcg@10", "recall@10",
    "precision@10", "mrr@10", "coverage", "gini", "hr@10_error", "lists_per_second", "p50_ms", "p99_ms",
    "import_seconds", "train_seconds", "train_megabytes", "known_cases", "known_ndcg@10", "first_list_seconds",
    "repeats", "degraded",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty days of 240 users, each of one of eight tastes and walking through its 30 items in order."""
    random = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("made")
    place = random.integers(0, 30, 240)
    rows = []
    for step, user in enumerate(random.integers(0, 240, 4_000).tolist()):
        taste = user % 8
        rows.append((user, f"{taste}-{place[user] % 30:02}", START + step * 855, f"taste {taste}"))
        place[user] += 1 if random.random() < 0.8 else 2
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("user_id", "item_id", "timestamp", "category"))
        writer.writerows(rows)
    return folder


def command(*arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "nearline.cli", "evaluate", *map(str, arguments)]
    environment = {**os.environ, "NEARLINE_TRAIN_EXAMPLES": str(FAST.train.examples), "NEARLINE_TRAIN_DEEP": "false"}
    return subprocess.run(line, capture_output=True, text=True, timeout=280, env=environment)


@pytest.mark.parametrize("protocol", ["A", "B", "C"])
def test_each_protocol_measures_through_the_api(data: Path, protocol: str, tmp_path: Path) -> None:
    done = command("--data", data, "--protocol", protocol, "--json", "--users", 60, "--keep", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.keys() >= FIELDS
    assert (found["through"], found["protocol"], found["data"]) == ("api", protocol, data.name)
    assert found["degraded"] == {}
    assert 50 < found["train_megabytes"] < 20_000
    assert found["users"] == 60
    assert 0 < found["cases"] < found["of_cases"]
    assert found["hr@10"] > 0.3, "ten of 240 items by chance are 0.04"
    revealed = {"A": 240, "B": 0, "C": 400}[protocol]
    assert revealed - 25 <= found["revealed_events"] <= revealed
    assert "[evaluation]\n" in (tmp_path / "kept" / "nearline.toml").read_text()


def test_offline_gives_the_very_lists_of_the_api(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists: dict[str, list[Listed]] = {}
    walk = evaluation.walk

    def watched(system: Any, *rest: Any) -> tuple[list[Listed], int]:
        found, revealed = walk(system, *rest)
        lists[system.through] = found
        return found, revealed

    monkeypatch.setattr(evaluation, "walk", watched)
    for offline in (False, True):
        plan = Plan(data, "C", "validation", offline=offline, users=40)
        evaluate(plan, tmp_path / str(offline), FAST)
    assert [one.items for one in lists["api"]] == [one.items for one in lists["offline"]]
    assert len({one.items for one in lists["api"]}) > 40


def test_a_degraded_list_fails_the_measurement(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from nearline.cli.main import cli
    from nearline.embedded import systems

    ask = systems.OfflineSystem.ask

    def broken(self: systems.OfflineSystem, user_id: str, now: int, rules: bool) -> Listed:
        one = ask(self, user_id, now, rules)
        return Listed(one.items, "light_ranker", ("ranker",), one.seconds)

    monkeypatch.setattr(systems.OfflineSystem, "ask", broken)
    arguments = ["evaluate", "--data", str(data), "--protocol", "B", "--users", "5", "--offline", "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "light_ranker, without ranker" in result.output


def test_the_application_suppresses_what_a_user_has_had(data: Path) -> None:
    source = app_source(load_dataset(data))
    assert "name='view'" in source
    assert "outcome=True, suppresses=(Suppression(scope='item', days=None),)" in source


@pytest.mark.skipif(not (REAL / "u.data").is_file(), reason=f"the real MovieLens 100K is not in {REAL}")
def test_streaming_pays_on_real_data(tmp_path: Path) -> None:
    found = {}
    for frozen in (False, True):
        plan = Plan(REAL, "C", "validation", frozen=frozen, users=60)
        found[frozen] = evaluate(plan, tmp_path / str(frozen), FAST)
        assert found[frozen].degraded == {}
    assert found[False].cases == found[True].cases > 1_000
    gain = found[False].ndcg.mean - found[True].ndcg.mean
    assert gain > 2 * found[True].ndcg.error, (found[False].ndcg, found[True].ndcg)
