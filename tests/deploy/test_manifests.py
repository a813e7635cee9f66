"""What is deployed: manifests are those of the chart and valid, compose is too, and both set what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from deploy.render import CHART, PLAIN, manifests, values
from nearline.app.load import load_app
from nearline.app.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
OTHERS: list[dict[str, Any]] = [
    {},
    {"secret": {"existing": "mine"}, "data": {"existingClaim": "theirs"}, "stream": {"scaleByLag": False}},
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


def test_helm_makes_the_same(tmp_path: Path) -> None:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed; deploy/render.py alone rendered the chart")
    for given in OTHERS:
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(given))
        command = [helm, "template", "nearline", str(CHART), "--values", str(tmp_path / "values.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        made = [document for document in yaml.safe_load_all(done.stdout) if document]
        ours = documents(manifests(values(**given)))
        order = lambda one: (one["kind"], one["metadata"]["name"])  # noqa: E731
        assert sorted(made, key=order) == sorted(ours, key=order)


def test_compose_is_valid_and_its_settings_are_taken() -> None:
    # As compose itself does it first.
    text = re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", (DEPLOY / "compose.yaml").read_text())
    merged = yaml.safe_load(text)
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(merged)).validate()
    services = merged["services"]
    assert {"kafka", "redis", "server", "stream", "publish", "maintain", "train"} == set(services)
    for name in ("server", "stream", "publish", "maintain", "train"):
        given = {**services[name]["environment"], "NEARLINE_SERVER_API_KEY": "k", "NEARLINE_SERVER_HOST": "0.0.0.0"}
        settings = load_settings(None, given)
        assert settings.storage.log == "kafka://kafka:9092"
        assert not settings.server.jobs
    assert "--appendonly" in services["redis"]["command"]
    assert services["redis"]["command"][-1] == "noeviction"
