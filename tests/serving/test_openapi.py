"""The API does what its own description says: Schemathesis asks, from the document, good and bad requests."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from fake_engine import FakeEngine
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from test_api import asked

from nearline.schema.item import Item
from nearline.serving.api import Api, create_app
from nearline.serving.metrics import Metrics


def served() -> FakeEngine:
    made = FakeEngine()
    made.fake.items |= {name: Item(name, f"Item {name}", "Home > Kitchen") for name in ("0", "1")}
    return made


ENGINE = served()
schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(ENGINE))


@schema.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_conforms(case: schemathesis.Case[Any]) -> None:
    response = case.call()
    excluded: list[Any] = [positive_data_acceptance]  # rules that span fields, such as user_id or session_id
    if response.status_code < 300 and b'"rejected":[{' in response.content:
        excluded.append(negative_data_rejection)  # the others of the batch were good
    case.validate_response(response, excluded_checks=excluded)


def test_describes_what_is_served() -> None:
    document = asked(ENGINE, "GET", "/openapi.json").json()
    described = {(m.upper(), path) for path, operations in document["paths"].items() for m in operations}
    assert described == Api(ENGINE, Metrics()).endpoints
    names = [o["operationId"] for operations in document["paths"].values() for o in operations.values()]
    assert len(names) == len(set(names))
    assert all(has_target(ref, document) for ref in refs(document))
    events = document["components"]["schemas"]["EventIn"]["properties"]["event_type"]
    assert events["enum"] == [kind.name for kind in ENGINE.app.types]


def test_says_when_a_key_is_needed() -> None:
    document = asked(FakeEngine(api_key="k"), "GET", "/openapi.json", headers={"X-API-Key": "k"}).json()
    trending, health = document["paths"]["/v1/trending"]["get"], document["paths"]["/healthz"]["get"]
    assert trending["security"]
    assert "401" in trending["responses"]
    assert "security" not in health


def test_page_needs_no_other_host_and_no_script() -> None:
    response: httpx.Response = asked(ENGINE, "GET", "/docs")
    text = response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<script" not in text
    assert "http://" not in text.replace("http://t", "")
    assert "https://" not in text
    for _, path in Api(ENGINE, Metrics()).endpoints:
        assert path in text


def refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [ref for value in node.values() for ref in refs(value)]
    return [ref for value in node for ref in refs(value)] if isinstance(node, list) else []


def has_target(ref: str, document: Any) -> bool:
    for part in ref.removeprefix("#/").split("/"):
        document = document.get(part)
    return document is not None
