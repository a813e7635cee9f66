"""The rules for Prometheus, by its own promtool: each alert fires on a series that should make it, and not on its neighbour."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from metric_names import unknown

from engines.prometheus import available, promtool

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
OF = 'namespace="a",fleet="shop",instance="one"'
FLEET = 'namespace="a",fleet="shop"'
Series = dict[str, str]


def asked(slow: str) -> Series:
    """Return buckets of lists of which those over 200 ms grow by `slow`."""
    named = f'{{{OF},endpoint="/v1/recommendations"'
    counts = {"0.1": "0+90x60", "0.25": "0+90x60", "1.0": f"0+{slow}x60", "+Inf": f"0+{slow}x60"}
    return {f'nearline_request_seconds_bucket{named},le="{bound}"}}': values for bound, values in counts.items()} | {
        f"nearline_request_seconds_count{named}}}": f"0+{slow}x60"
    }


def lists(whole: int, poor: int) -> Series:
    return {
        f'nearline_lists_total{{{OF},served_from="{name}"}}': f"0+{n}x120"
        for name, n in [("ranker", whole), ("trending", poor)]
    }


def lag(values: str) -> Series:
    """Return a fleet's lag, of two partitions at two workers."""
    return {f'nearline_stream_lag_events{{{FLEET},instance="{n}",partition="{n}"}}': values for n in (1, 2)}


def one(name: str, values: str, label: str = "") -> Series:
    return {f"{name}{{{OF}{label}}}": values}


# A value each quarter of a minute; by alert: series that make it fire at the end, and ones that do not.
CASES: dict[str, tuple[Series, Series]] = {
    "NearlineConsumerLag": (lag("6000+500x60"), lag("30000-400x60")),
    "NearlineNoWorkers": (one("nearline_stream_partitions", "4x20 _x40"), one("nearline_stream_partitions", "4x60")),
    "NearlineServerLag": (one("nearline_log_lag_events", "11000x60"), one("nearline_log_lag_events", "9000+10x60")),
    "NearlinePublishLag": (one("nearline_publish_lag_seconds", "0+3x60"), one("nearline_publish_lag_seconds", "0x50 90x3 0x7")),
    "NearlineArchiveLag": (
        one("nearline_archive_lag_events", "200000x2000"),
        one("nearline_archive_lag_events", "0+1000x300 0x1700"),
    ),
    "NearlineDown": (one("up", "1x10 0x50", ',job="nearline-workers"'), one("up", "0x60", ',job="another"')),
    "NearlineLogAway": (one("nearline_log_answers", "1x50 0x10"), one("nearline_log_answers", "1x57 0x3")),
    "NearlineRowsAway": (one("nearline_stream_rows_answer", "0x60"), one("nearline_rows_answer", "1x60")),
    "NearlineRowsFailing": (one("nearline_rows_failures_total", "0+1x60"), one("nearline_rows_failures_total", "7x60")),
    "NearlineResultsAway": (one("nearline_results_answer", "0x60"), one("nearline_results_answer", "1x60")),
    "NearlineDeadLists": (
        one("nearline_results_dead_total", "0x50 3x10", ',subscriber="mail"'),
        one("nearline_results_dead_total", "3x60", ',subscriber="mail"'),
    ),
    "NearlinePoison": (one("nearline_stream_poison_total", "0x50 1x10"), one("nearline_poison_messages_total", "2x60")),
    "NearlineQueueFull": (one("nearline_queue_events", "45000x60"), one("nearline_queue_events", "20000x60")),
    "NearlineImpressionsLost": (
        one("nearline_impressions_lost_total", "0x50 9x10"),
        one("nearline_impressions_lost_total", "9x60"),
    ),
    "NearlineListsSlow": (asked("100"), asked("90")),
    "NearlineListsPoor": (lists(90, 10), lists(100, 1)),
    "NearlineComponentErrors": (
        one("nearline_component_errors_total", "1x50 5x10", ',component="als"'),
        one("nearline_component_errors_total", "5x60", ',component="als"'),
    ),
    "NearlineTrainingFailed": (one("nearline_train_last_failed", "1x60"), one("nearline_train_last_failed", "0x60")),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `deploy/prometheus`, with a key where the files look for one."""
    if missing := available():
        pytest.skip(f"promtool {missing}")
    copy = shutil.copytree(PROMETHEUS, tmp_path_factory.mktemp("alerts") / "prometheus")
    (copy / "key").write_text("secret")
    for path in copy.glob("*.yaml"):
        path.write_text(path.read_text().replace("/run/secrets/nearline-api-key", str(copy / "key")))
    return copy


def test_rules_and_settings_are_valid(folder: Path) -> None:
    promtool("check", "rules", "--lint-fatal", str(folder / "rules.yaml"))
    promtool("check", "config", str(folder / "prometheus.yaml"))
    # Debian's build knows no Kubernetes: all but the finding of pods is checked.
    inside = yaml.safe_load((folder / "kubernetes.yaml").read_text())
    (job,) = inside["scrape_configs"]
    assert job.pop("kubernetes_sd_configs")[0]["role"] == "pod"
    (folder / "inside.yaml").write_text(yaml.safe_dump(inside))
    promtool("check", "config", str(folder / "inside.yaml"))


def test_every_alert_fires_where_it_should_and_nowhere_else(folder: Path) -> None:
    assert CASES.keys() == ALERTS.keys()
    tests = []
    for alert, series in CASES.items():
        for fires, given in zip((True, False), series, strict=True):
            at = "480m" if any("x2000" in values or "x1700" in values for values in given.values()) else "15m"
            # With labels and text promtool would compare all of them: how many fire is what counts.
            expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
            tests.append(
                {
                    "name": f"{alert} {'fires' if fires else 'is quiet'}",
                    "interval": "15s",
                    "input_series": [{"series": name, "values": values} for name, values in given.items()],
                    "promql_expr_test": [
                        {"expr": expression, "eval_time": at, "exp_samples": [{"labels": "{}", "value": int(fires)}]}
                    ],
                }
            )
    file = folder / "cases.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(file))


def test_what_is_recorded_is_what_fleets_are_scaled_by(folder: Path) -> None:
    quiet = dict.fromkeys(asked("1"), "5x60")
    file = folder / "recorded.yaml"
    p99, behind = "fleet:nearline_lists_seconds:p99", "fleet:nearline_stream_lag_events:sum"
    expected = [
        ({**asked("90"), **lag("700x60")}, p99, 0.099),
        (quiet, p99, 0),
        (lag("700x60"), behind, 1400),
    ]
    tests = [
        {
            "interval": "15s",
            "input_series": [{"series": name, "values": values} for name, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f"round({wanted}, 0.001)",
                    "eval_time": "10m",
                    "exp_samples": [{"labels": f"{{{FLEET}}}", "value": value}],
                }
            ],
        }
        for given, wanted, value in expected
    ]
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(file))


def test_rules_read_what_is_exported_and_say_what_to_do() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        assert not unknown(rule["expr"], recorded), rule
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert rule["annotations"].keys() == {"summary", "remedy"}, name
    external = yaml.safe_load((PROMETHEUS / "adapter.yaml").read_text())["rules"]["external"]
    assert {rule["seriesQuery"] for rule in external} <= recorded


def test_each_row_of_the_page_has_its_alert() -> None:
    page = (PROMETHEUS.parents[1] / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| `(nearline_\w+)` \| .* \| `(Nearline\w+)` \|$", page, re.M)
    assert len(rows) >= len(ALERTS) - 2
    recorded = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
    for metric, alert in rows:
        read = re.sub("|".join(recorded), lambda found: recorded[found[0]], ALERTS[alert]["expr"])
        assert re.search(rf"\b{metric}\b|\b{metric}_bucket\b", read), (metric, alert)
    assert {alert for _, alert in rows} >= ALERTS.keys() - {"NearlineDown", "NearlineNoWorkers"}
